//! Names of things. Ids that come from devices are bounded text, kept as received; ids that Cordon mints are strict.
//!
//! There is no `From<&str>`: an id is made by `FromStr`, which refuses what cannot be one.

use super::time::Timestamp;
use std::fmt;
use std::str::FromStr;

/// Why a text cannot be an id. Says which id and what is wrong, never the value itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct BadId {
    pub what: &'static str,
    pub why: &'static str,
}

/// Longest id that a device may report, in bytes. Apple's are 25 to 40; Managed Apple Accounts used as
/// short names can be long, RFC 5321 ends a mail address at 254.
pub const MAX_FOREIGN_ID: usize = 256;

fn bounded(what: &'static str, text: &str) -> Result<String, BadId> {
    if text.is_empty() {
        return Err(BadId { what, why: "is empty" });
    }
    if text.len() > MAX_FOREIGN_ID {
        return Err(BadId { what, why: "is longer than 256 bytes" });
    }
    if text.chars().any(char::is_control) {
        return Err(BadId { what, why: "holds control characters" });
    }
    Ok(text.to_owned())
}

macro_rules! foreign_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The text as the device sent it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                bounded($what, text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

foreign_id!(
    /// Apple's `UDID`, as received: 40 hex (older iOS), upper-case UUID (Mac), `8hex-16hex` (newer iOS).
    Udid, "UDID"
);
foreign_id!(
    /// Apple's `EnrollmentID`: stands for the device in User Enrollment, where there is no UDID.
    UserEnrollmentId, "EnrollmentID"
);
foreign_id!(
    /// Apple's `UserID` (or `EnrollmentUserID`) of a user channel: a GUID. All-F on Shared iPad, where it names nobody.
    UserId, "UserID"
);
foreign_id!(
    /// `UserShortName` of a user channel: the account name, or the Managed Apple Account on Shared iPad.
    ShortName, "UserShortName"
);
foreign_id!(
    /// Apple's serial number, upper-case letters and digits; a claim until attested.
    Serial, "SerialNumber"
);
foreign_id!(
    /// One management relationship on one channel: `UDID`, `UDID:UserID`, `UDID:ShortName` (Shared iPad),
    /// `EnrollmentID` or `EnrollmentID:EnrollmentUserID`. Derived by `protocol::checkin`, unique in the store.
    EnrollmentId, "enrollment id"
);
foreign_id!(
    /// The `CommandUUID` of a command plist. Ours are upper-case UUIDs; results may name any text.
    CommandUuid, "CommandUUID"
);

impl CommandUuid {
    /// A new CommandUUID (RFC 9562 version 7). The time in front puts commands of one moment side by side in every index that is
    /// ordered by it, so that a class's commands share pages; nothing reads an order from it.
    pub fn mint(now: Timestamp, random: [u8; 10]) -> Self {
        let millis = u64::try_from(now.0).unwrap_or(0);
        let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
        Self(uuid.as_hyphenated().to_string().to_uppercase())
    }
}

/// RFC 4122 version 4 UUID in Apple's upper-case spelling, for `PayloadUUID`.
pub fn upper_uuid(random: [u8; 16]) -> String {
    uuid::Builder::from_random_bytes(random).into_uuid().as_hyphenated().to_string().to_uppercase()
}

/// Cordon's own id of a device: `d-` and 10 characters. Stays with the physical thing for ever.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(String);

/// Letters and digits that are hard to misread (no i, l, o, u, 0, 1).
const ALPHABET: &[u8; 30] = b"23456789abcdefghjkmnpqrstvwxyz";

/// `n` characters of [`ALPHABET`] from random bytes (one byte each; the bias of 256 mod 30 is harmless for an id).
pub fn short_code(random: &[u8]) -> String {
    random.iter().map(|b| char::from(ALPHABET[usize::from(*b) % ALPHABET.len()])).collect()
}

/// Whether every character is one that [`short_code`] gives.
pub fn is_short_code(text: &str) -> bool {
    text.bytes().all(|b| ALPHABET.contains(&b))
}

impl DeviceId {
    /// A new id from random bytes.
    pub fn mint(random: [u8; 10]) -> Self {
        Self(format!("d-{}", short_code(&random)))
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DeviceId {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let why = "is not of the form d-xxxxxxxxxx";
        let rest = text.strip_prefix("d-").ok_or(BadId { what: "device id", why })?;
        if rest.len() == 10 && rest.bytes().all(|b| ALPHABET.contains(&b)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadId { what: "device id", why })
        }
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_ids_are_bounded_and_kept_as_received() {
        assert_eq!("aBc-1".parse::<Udid>().unwrap().as_str(), "aBc-1");
        assert!("".parse::<Udid>().is_err());
        assert!("x".repeat(257).parse::<Udid>().is_err());
        assert!("a\nb".parse::<Udid>().is_err());
    }

    #[test]
    fn minted_ids_are_strict() {
        let id = DeviceId::mint([7; 10]);
        assert_eq!(id.to_string().parse::<DeviceId>().unwrap(), id);
        assert!("d-short".parse::<DeviceId>().is_err());
        assert!("d-0000000000".parse::<DeviceId>().is_err());
        assert_eq!(CommandUuid::mint(Timestamp(1), [0; 10]).as_str(), "00000000-0001-7000-8000-000000000000");
    }
}
