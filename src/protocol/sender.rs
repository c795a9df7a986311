//! Who speaks: the identity keys that every check-in and every report carries, and the enrollment id that follows from them.
//!
//! Called by `checkin` and `report`. Whether the certificate shown may speak for this device is `lifecycle`'s question, not this room's.

use super::clip;
use crate::base::ids::{BadId, EnrollmentId, ShortName, Udid, UserEnrollmentId, UserId};
use crate::base::secret::Secret;
use crate::plist::{Dict, PlistError};

/// The `UserID` that every Shared iPad user reports. It says "no user authentication takes place" and names nobody.
pub const ALL_F: &str = "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF";

/// Longest display name kept, in bytes. Names are shown to people and decide nothing.
const MAX_NAME: usize = 256;
/// Longest `AuthToken`; ours are far shorter.
const MAX_AUTH_TOKEN: usize = 4096;

/// The keys that make up a [`Sender`]; a report's result is everything else.
pub(super) const IDENTITY_KEYS: [&str; 10] = [
    "UDID",
    "EnrollmentID",
    "UserID",
    "UserShortName",
    "UserLongName",
    "EnrollmentUserID",
    "NotOnConsole",
    "NeedSyncResponse",
    "UserConfiguration",
    "AuthToken",
];

/// The device that speaks. User Enrollment has no `UDID`, every other kind has no `EnrollmentID`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DeviceKey {
    Udid(Udid),
    EnrollmentId(UserEnrollmentId),
}

impl DeviceKey {
    /// The id as received.
    pub fn as_str(&self) -> &str {
        match self {
            DeviceKey::Udid(id) => id.as_str(),
            DeviceKey::EnrollmentId(id) => id.as_str(),
        }
    }
}

/// Which of a device's channels speaks. Each has its own queue and push target; all share one client certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Channel {
    Device,
    User(UserKey),
}

/// What tells the users of one device apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UserKey {
    /// macOS: the GUID of the directory record.
    UserId(UserId),
    /// Shared iPad: `UserID` is [`ALL_F`] for everyone, so the Managed Apple Account is the key.
    SharedIpad(ShortName),
    /// macOS user channel of a User Enrollment.
    EnrollmentUserId(UserId),
}

impl UserKey {
    /// The part after the colon of the enrollment id.
    pub fn as_str(&self) -> &str {
        match self {
            UserKey::UserId(id) | UserKey::EnrollmentUserId(id) => id.as_str(),
            UserKey::SharedIpad(name) => name.as_str(),
        }
    }
}

/// Names for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserNames {
    pub short: Option<String>,
    pub long: Option<String>,
}

/// The sender of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    pub device: DeviceKey,
    pub channel: Channel,
    pub names: UserNames,
    /// macOS user channel: the user's session is not at the console.
    pub not_on_console: bool,
    /// A login waits for this exchange: hand out everything now; the first empty reply releases it.
    pub need_sync_response: bool,
    /// Setup Assistant only wants to read password policy: every command will be answered NotNow.
    pub user_configuration: bool,
    /// What a network user got from UserAuthenticate.
    pub auth_token: Option<Secret<String>>,
    // Derived once, so that asking for them cannot fail.
    id: EnrollmentId,
    device_id: EnrollmentId,
}

/// Why a message names no possible sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SenderError {
    #[error("{0}")]
    Plist(#[from] PlistError),
    #[error("neither UDID nor EnrollmentID is given")]
    NoIdentity,
    #[error("{0}")]
    Impossible(&'static str),
    #[error("{0}")]
    BadId(#[from] BadId),
}

impl Sender {
    /// Reads the identity keys. A `UDID` wins over an `EnrollmentID`; a user channel is one whose own user key is not empty.
    ///
    /// # Errors
    /// [`SenderError`] when no device is named, or the combination cannot come from a device.
    pub fn parse(dict: &Dict) -> Result<Self, SenderError> {
        let (device, channel) = match dict.find_id::<Udid>("UDID")? {
            Some(udid) => (DeviceKey::Udid(udid), udid_channel(dict)?),
            None => {
                let id = dict.find_id::<UserEnrollmentId>("EnrollmentID")?.ok_or(SenderError::NoIdentity)?;
                let user = dict.find_id::<UserId>("EnrollmentUserID")?.map(UserKey::EnrollmentUserId);
                (DeviceKey::EnrollmentId(id), user.map_or(Channel::Device, Channel::User))
            }
        };
        let (device_id, id) = derive(&device, &channel)?;
        Ok(Self {
            device,
            channel,
            names: UserNames { short: name(dict, "UserShortName")?, long: name(dict, "UserLongName")? },
            not_on_console: dict.flag("NotOnConsole")?,
            need_sync_response: dict.flag("NeedSyncResponse")?,
            user_configuration: dict.flag("UserConfiguration")?,
            auth_token: auth_token(dict)?,
            id,
            device_id,
        })
    }

    /// The enrollment that speaks: `UDID`, `UDID:UserID`, `UDID:UserShortName` (Shared iPad), `EnrollmentID` or
    /// `EnrollmentID:EnrollmentUserID`, in the case the device used.
    pub fn enrollment_id(&self) -> EnrollmentId {
        self.id.clone()
    }

    /// The enrollment of the device channel; certificates are bound to this one, never to a user's.
    pub fn device_enrollment_id(&self) -> EnrollmentId {
        self.device_id.clone()
    }

    pub fn is_user(&self) -> bool {
        matches!(self.channel, Channel::User(_))
    }
}

fn udid_channel(dict: &Dict) -> Result<Channel, SenderError> {
    let Some(user) = dict.find_id::<UserId>("UserID")? else { return Ok(Channel::Device) };
    if !user.as_str().eq_ignore_ascii_case(ALL_F) {
        return Ok(Channel::User(UserKey::UserId(user)));
    }
    let short = dict.find_id::<ShortName>("UserShortName")?;
    let short = short.ok_or(SenderError::Impossible("a Shared iPad user without UserShortName"))?;
    Ok(Channel::User(UserKey::SharedIpad(short)))
}

fn derive(device: &DeviceKey, channel: &Channel) -> Result<(EnrollmentId, EnrollmentId), SenderError> {
    let device = device.as_str();
    if device.contains(':') {
        // Otherwise a device could call itself "UDID:UserID" and speak as the user channel of another.
        return Err(SenderError::Impossible("a device id with a colon"));
    }
    let device_id: EnrollmentId = device.parse()?;
    let id = match channel {
        Channel::Device => device_id.clone(),
        Channel::User(user) => format!("{device}:{}", user.as_str()).parse()?,
    };
    Ok((device_id, id))
}

fn name(dict: &Dict, key: &str) -> Result<Option<String>, PlistError> {
    Ok(dict.find_string(key)?.filter(|text| !text.is_empty()).map(|text| clip(text, MAX_NAME)))
}

fn auth_token(dict: &Dict) -> Result<Option<Secret<String>>, SenderError> {
    match dict.find_string("AuthToken")? {
        None | Some("") => Ok(None),
        Some(text) if text.len() > MAX_AUTH_TOKEN => {
            Err(SenderError::Impossible("an AuthToken of more than 4096 bytes"))
        }
        Some(text) => Ok(Some(Secret::new(text.to_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plist::parse_dict;
    use crate::protocol::samples::{doc, strings};

    fn sender(pairs: &[(&str, &str)]) -> Result<Sender, SenderError> {
        Sender::parse(&parse_dict(&doc(&strings(pairs))).unwrap())
    }

    const U: (&str, &str) = ("UDID", "00008030-001A2B3C4D5E802e");
    const E: (&str, &str) = ("EnrollmentID", "9f3C-e");
    const G: (&str, &str) = ("UserID", "7B0A-g");
    const F: (&str, &str) = ("UserID", ALL_F);
    const S: (&str, &str) = ("UserShortName", "ann@school.example");
    const L: (&str, &str) = ("UserLongName", "Ann");
    const X: (&str, &str) = ("EnrollmentUserID", "E-u");

    #[test]
    fn every_combination_of_identity_keys() {
        // keys, enrollment id, device's enrollment id; None is a refusal
        type Row = (&'static [(&'static str, &'static str)], Option<(&'static str, &'static str)>);
        let u = "00008030-001A2B3C4D5E802e";
        let rows: &[Row] = &[
            (&[], None),
            (&[G], None),
            (&[X], None),
            (&[S, L], None),
            (&[("UDID", "")], None),
            (&[("UDID", ""), ("EnrollmentID", "")], None),
            (&[U], Some((u, u))),
            (&[U, S, L], Some((u, u))),
            (&[U, X], Some((u, u))),
            (&[U, ("UserID", "")], Some((u, u))),
            (&[U, G], Some(("00008030-001A2B3C4D5E802e:7B0A-g", u))),
            (&[U, G, S, L], Some(("00008030-001A2B3C4D5E802e:7B0A-g", u))),
            (&[U, F, S, L], Some(("00008030-001A2B3C4D5E802e:ann@school.example", u))),
            (
                &[U, ("UserID", "ffffffff-ffff-ffff-ffff-ffffffffffff"), S],
                Some(("00008030-001A2B3C4D5E802e:ann@school.example", u)),
            ),
            (&[U, F], None),
            (&[U, F, ("UserShortName", "")], None),
            (&[E], Some(("9f3C-e", "9f3C-e"))),
            (&[("UDID", ""), E], Some(("9f3C-e", "9f3C-e"))),
            (&[E, G], Some(("9f3C-e", "9f3C-e"))),
            (&[E, X], Some(("9f3C-e:E-u", "9f3C-e"))),
            (&[E, X, S, L], Some(("9f3C-e:E-u", "9f3C-e"))),
            (&[U, E], Some((u, u))),
            (&[U, E, X], Some((u, u))),
            (&[U, E, G], Some(("00008030-001A2B3C4D5E802e:7B0A-g", u))),
            (&[("UDID", "A:B")], None),
            (&[("EnrollmentID", "A:B")], None),
        ];
        for (keys, wanted) in rows {
            let found =
                sender(keys).ok().map(|s| (s.enrollment_id().to_string(), s.device_enrollment_id().to_string()));
            assert_eq!(found, wanted.map(|(a, b)| (a.to_owned(), b.to_owned())), "{keys:?}");
        }
    }

    #[test]
    fn the_channel_says_what_kind_of_user() {
        assert_eq!(
            sender(&[U, F, S]).unwrap().channel,
            Channel::User(UserKey::SharedIpad("ann@school.example".parse().unwrap()))
        );
        assert_eq!(sender(&[U, G]).unwrap().channel, Channel::User(UserKey::UserId("7B0A-g".parse().unwrap())));
        assert_eq!(sender(&[E, X]).unwrap().channel, Channel::User(UserKey::EnrollmentUserId("E-u".parse().unwrap())));
        assert!(!sender(&[U, S]).unwrap().is_user());
    }

    #[test]
    fn reads_what_rides_along_on_a_user_channel() {
        let inner = strings(&[U, G, S, L, ("AuthToken", "tok")])
            + "<key>NeedSyncResponse</key><true/><key>UserConfiguration</key><true/><key>NotOnConsole</key><true/>";
        let who = Sender::parse(&parse_dict(&doc(&inner)).unwrap()).unwrap();
        assert!(who.need_sync_response && who.user_configuration && who.not_on_console);
        assert_eq!(who.names.long.as_deref(), Some("Ann"));
        assert_eq!(who.auth_token.unwrap().expose(), "tok");
    }

    #[test]
    fn long_parts_are_refused_before_they_become_an_id() {
        let long = "x".repeat(250);
        assert!(matches!(sender(&[("UDID", &long), ("UserID", "0123456789")]), Err(SenderError::BadId(_))));
    }
}
