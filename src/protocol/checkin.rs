//! Check-in messages (`application/x-apple-aspen-mdm-checkin`): property list in, one typed [`Message`] with its [`Sender`] out.
//!
//! Called by `inbound` for the device edge and by tests. What a message may do is decided in `lifecycle`, not here.

use super::clip;
use super::sender::{Sender, SenderError};
use crate::base::ids::Serial;
use crate::base::push::{PushMagic, PushTarget, PushToken, Topic};
use crate::base::secret::Secret;
use crate::plist::{Dict, Fault, PlistError, fault, parse_dict};

/// Longest text of a device about itself that is kept, in bytes.
const MAX_TEXT: usize = 256;
/// `UnlockToken`s and bootstrap tokens are some hundred bytes to a few KB and may change size.
const MAX_TOKEN: usize = 256 * 1024;

/// One check-in message.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkin {
    pub from: Sender,
    pub message: Message,
}

/// The messages of Apple's 18.1 schema, by their `MessageType`.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    Authenticate(Authenticate),
    TokenUpdate(TokenUpdate),
    CheckOut {
        topic: Option<String>,
    },
    /// A network user of a Mac logs in. `digest_response` is absent in the first of the two requests.
    UserAuthenticate {
        digest_response: Option<String>,
    },
    /// `token` absent (or empty) means: forget the stored one.
    SetBootstrapToken {
        token: Option<Secret<Vec<u8>>>,
        awaiting_configuration: bool,
    },
    GetBootstrapToken {
        awaiting_configuration: bool,
    },
    GetToken {
        service_type: String,
        parameters: Option<TokenParameters>,
    },
    /// `data` is JSON and comes only with the endpoint `status`.
    DeclarativeManagement {
        endpoint: String,
        data: Option<Vec<u8>>,
    },
}

/// The first message of an enrolment, sent before the profile has fully installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticate {
    pub topic: Topic,
    pub device_name: Option<String>,
    pub model: Option<String>,
    pub model_name: Option<String>,
    pub os_version: Option<String>,
    pub build_version: Option<String>,
    pub product_name: Option<String>,
    /// A claim until attested; absent in User Enrollment and without access right 16.
    pub serial: Option<Serial>,
    pub imei: Option<String>,
    pub meid: Option<String>,
}

/// How to reach a channel; the end of every installation of the MDM payload, and sent again when something in it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenUpdate {
    pub target: PushTarget,
    /// Only when the device sent one: absence never invalidates what is stored (macOS and later updates leave it out).
    pub unlock_token: Option<Secret<Vec<u8>>>,
    /// The device waits in Setup Assistant for `DeviceConfigured` (or `UserConfigured`).
    pub awaiting_configuration: bool,
    pub not_on_console: bool,
}

/// `TokenParameters` of GetToken, for pairing a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenParameters {
    pub security_token: Option<Secret<String>>,
    pub phone_udid: Option<String>,
    pub watch_udid: Option<String>,
}

/// Why a body is not a check-in. Every one of these is answered 400: a server-side doubt never un-enrols.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckinError {
    #[error("{0}")]
    Plist(#[from] PlistError),
    #[error("neither UDID nor EnrollmentID is given")]
    NoIdentity,
    #[error("unknown MessageType {0:?}")]
    UnknownMessage(String),
    #[error("{0}")]
    Impossible(String),
}

impl From<SenderError> for CheckinError {
    fn from(error: SenderError) -> Self {
        match error {
            SenderError::Plist(error) => Self::Plist(error),
            SenderError::NoIdentity => Self::NoIdentity,
            other => Self::Impossible(other.to_string()),
        }
    }
}

/// Parses a check-in body.
///
/// # Errors
/// [`CheckinError`] for anything that no device sends.
pub fn parse(body: &[u8]) -> Result<Checkin, CheckinError> {
    from_dict(&parse_dict(body)?)
}

pub(super) fn from_dict(dict: &Dict) -> Result<Checkin, CheckinError> {
    let message_type = dict.string("MessageType")?;
    let from = Sender::parse(dict)?;
    let message = match message_type {
        "Authenticate" => Message::Authenticate(authenticate(dict)?),
        "TokenUpdate" => Message::TokenUpdate(token_update(dict)?),
        "CheckOut" => Message::CheckOut { topic: text(dict, "Topic")? },
        "UserAuthenticate" if !from.is_user() => {
            return Err(CheckinError::Impossible("UserAuthenticate without a UserID".to_owned()));
        }
        "UserAuthenticate" => Message::UserAuthenticate { digest_response: digest_response(dict)? },
        "SetBootstrapToken" => Message::SetBootstrapToken {
            token: secret(dict, "BootstrapToken")?,
            awaiting_configuration: dict.flag("AwaitingConfiguration")?,
        },
        "GetBootstrapToken" => {
            Message::GetBootstrapToken { awaiting_configuration: dict.flag("AwaitingConfiguration")? }
        }
        "GetToken" => Message::GetToken {
            service_type: clip(dict.string("TokenServiceType")?, MAX_TEXT),
            parameters: token_parameters(dict)?,
        },
        "DeclarativeManagement" => Message::DeclarativeManagement {
            endpoint: endpoint(dict)?,
            data: dict.find_data("Data")?.map(<[u8]>::to_vec),
        },
        other => return Err(CheckinError::UnknownMessage(clip(other, 64))),
    };
    Ok(Checkin { from, message })
}

impl Message {
    /// Apple's `MessageType`.
    pub fn message_type(&self) -> &'static str {
        match self {
            Message::Authenticate(_) => "Authenticate",
            Message::TokenUpdate(_) => "TokenUpdate",
            Message::CheckOut { .. } => "CheckOut",
            Message::UserAuthenticate { .. } => "UserAuthenticate",
            Message::SetBootstrapToken { .. } => "SetBootstrapToken",
            Message::GetBootstrapToken { .. } => "GetBootstrapToken",
            Message::GetToken { .. } => "GetToken",
            Message::DeclarativeManagement { .. } => "DeclarativeManagement",
        }
    }
}

fn authenticate(dict: &Dict) -> Result<Authenticate, CheckinError> {
    Ok(Authenticate {
        topic: topic(dict)?,
        device_name: text(dict, "DeviceName")?,
        model: text(dict, "Model")?,
        model_name: text(dict, "ModelName")?,
        os_version: text(dict, "OSVersion")?,
        build_version: text(dict, "BuildVersion")?,
        product_name: text(dict, "ProductName")?,
        serial: dict.find_id("SerialNumber")?,
        imei: text(dict, "IMEI")?,
        meid: text(dict, "MEID")?,
    })
}

fn token_update(dict: &Dict) -> Result<TokenUpdate, CheckinError> {
    let bad = |key: &str, bad: crate::base::ids::BadId| CheckinError::Plist(fault(key, Fault::BadId(bad.why)));
    let token = PushToken::new(dict.data("Token")?.to_vec()).map_err(|e| bad("Token", e))?;
    let magic = PushMagic::new(dict.string("PushMagic")?).map_err(|e| bad("PushMagic", e))?;
    Ok(TokenUpdate {
        target: PushTarget { topic: topic(dict)?, token, magic },
        unlock_token: secret(dict, "UnlockToken")?,
        awaiting_configuration: dict.flag("AwaitingConfiguration")?,
        not_on_console: dict.flag("NotOnConsole")?,
    })
}

fn topic(dict: &Dict) -> Result<Topic, CheckinError> {
    Topic::new(dict.string("Topic")?).map_err(|bad| CheckinError::Plist(fault("Topic", Fault::BadId(bad.why))))
}

fn text(dict: &Dict, key: &str) -> Result<Option<String>, PlistError> {
    Ok(dict.find_string(key)?.filter(|text| !text.is_empty()).map(|text| clip(text, MAX_TEXT)))
}

fn secret(dict: &Dict, key: &str) -> Result<Option<Secret<Vec<u8>>>, CheckinError> {
    match dict.find_data(key)? {
        None | Some([]) => Ok(None),
        Some(bytes) if bytes.len() > MAX_TOKEN => {
            Err(CheckinError::Impossible(format!("{key} of more than {MAX_TOKEN} bytes")))
        }
        Some(bytes) => Ok(Some(Secret::new(bytes.to_vec()))),
    }
}

/// A cut digest would only be a wrong one, so a long one is refused.
fn digest_response(dict: &Dict) -> Result<Option<String>, CheckinError> {
    match dict.find_string("DigestResponse")? {
        Some(text) if text.len() > 4096 => {
            Err(CheckinError::Impossible("DigestResponse of more than 4096 bytes".to_owned()))
        }
        other => Ok(other.filter(|text| !text.is_empty()).map(str::to_owned)),
    }
}

fn endpoint(dict: &Dict) -> Result<String, CheckinError> {
    match dict.string("Endpoint")? {
        text if text.len() > 1024 => Err(CheckinError::Impossible("Endpoint of more than 1024 bytes".to_owned())),
        text => Ok(text.to_owned()),
    }
}

fn token_parameters(dict: &Dict) -> Result<Option<TokenParameters>, PlistError> {
    let Some(inner) = dict.find_dict("TokenParameters")? else { return Ok(None) };
    Ok(Some(TokenParameters {
        security_token: inner.find_string("SecurityToken")?.map(|text| Secret::new(text.to_owned())),
        phone_udid: text(&inner, "PhoneUDID")?,
        watch_udid: text(&inner, "WatchUDID")?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::samples::{doc, strings};

    const DEVICE: &str = "<key>UDID</key><string>AA-1</string>";
    const USER: &str = "<key>UDID</key><string>AA-1</string><key>UserID</key><string>G</string>";
    const TOPIC: &str = "<key>Topic</key><string>com.apple.mgmt.External.x</string>";

    fn message(kind: &str, rest: &str) -> Result<Message, CheckinError> {
        parse(&doc(&format!("<key>MessageType</key><string>{kind}</string>{rest}"))).map(|c| c.message)
    }

    #[test]
    fn authenticate_in_full_and_at_its_barest() {
        let rest = strings(&[
            ("DeviceName", "iPad 7"),
            ("Model", "MK2K3"),
            ("ModelName", "iPad"),
            ("OSVersion", "18.1"),
            ("BuildVersion", "22B83"),
            ("ProductName", "iPad12,1"),
            ("SerialNumber", "DMPXXXXX"),
            ("IMEI", "35 1"),
            ("MEID", "35"),
        ]);
        let Message::Authenticate(full) = message("Authenticate", &format!("{DEVICE}{TOPIC}{rest}")).unwrap() else {
            panic!()
        };
        assert_eq!(full.serial.unwrap().as_str(), "DMPXXXXX");
        assert_eq!((full.product_name.as_deref(), full.os_version.as_deref()), (Some("iPad12,1"), Some("18.1")));
        let bare = message("Authenticate", &format!("<key>EnrollmentID</key><string>E</string>{TOPIC}")).unwrap();
        let Message::Authenticate(bare) = bare else { panic!() };
        assert_eq!((bare.serial, bare.model, bare.imei), (None, None, None));
    }

    #[test]
    fn token_update_needs_token_magic_and_topic_together() {
        let token = "<key>Token</key><data>AQID</data>";
        let magic = "<key>PushMagic</key><string>m</string>";
        let rest = format!(
            "{DEVICE}{TOPIC}{token}{magic}<key>UnlockToken</key><data>BAUG</data><key>AwaitingConfiguration</key><true/>"
        );
        let Message::TokenUpdate(update) = message("TokenUpdate", &rest).unwrap() else { panic!() };
        assert_eq!(update.target.token.hex(), "010203");
        assert_eq!(update.unlock_token.unwrap().expose(), &[4, 5, 6]);
        assert!(update.awaiting_configuration);

        let Message::TokenUpdate(plain) = message("TokenUpdate", &format!("{USER}{TOPIC}{token}{magic}")).unwrap()
        else {
            panic!()
        };
        assert_eq!((plain.unlock_token, plain.awaiting_configuration), (None, false));

        for missing in [format!("{token}{magic}"), format!("{TOPIC}{magic}"), format!("{TOPIC}{token}")] {
            assert!(
                matches!(message("TokenUpdate", &format!("{DEVICE}{missing}")), Err(CheckinError::Plist(_))),
                "{missing}"
            );
        }
        let empty = format!("{DEVICE}{TOPIC}<key>Token</key><data></data>{magic}");
        assert!(message("TokenUpdate", &empty).is_err());
    }

    #[test]
    fn the_other_messages() {
        let rows: [(&str, String, Message); 9] = [
            (
                "CheckOut",
                format!("{DEVICE}{TOPIC}"),
                Message::CheckOut { topic: Some("com.apple.mgmt.External.x".into()) },
            ),
            ("CheckOut", DEVICE.into(), Message::CheckOut { topic: None }),
            ("UserAuthenticate", USER.into(), Message::UserAuthenticate { digest_response: None }),
            (
                "SetBootstrapToken",
                format!("{DEVICE}<key>BootstrapToken</key><data>AQ==</data>"),
                Message::SetBootstrapToken { token: Some(Secret::new(vec![1])), awaiting_configuration: false },
            ),
            (
                "SetBootstrapToken",
                format!("{DEVICE}<key>BootstrapToken</key><data></data>"),
                Message::SetBootstrapToken { token: None, awaiting_configuration: false },
            ),
            (
                "SetBootstrapToken",
                DEVICE.into(),
                Message::SetBootstrapToken { token: None, awaiting_configuration: false },
            ),
            ("GetBootstrapToken", DEVICE.into(), Message::GetBootstrapToken { awaiting_configuration: false }),
            (
                "GetToken",
                format!("{DEVICE}<key>TokenServiceType</key><string>com.apple.maid</string>"),
                Message::GetToken { service_type: "com.apple.maid".into(), parameters: None },
            ),
            (
                "DeclarativeManagement",
                format!("{DEVICE}<key>Endpoint</key><string>status</string><key>Data</key><data>e30=</data>"),
                Message::DeclarativeManagement { endpoint: "status".into(), data: Some(b"{}".to_vec()) },
            ),
        ];
        for (kind, rest, wanted) in rows {
            assert_eq!(wanted.message_type(), kind);
            assert_eq!(message(kind, &rest).unwrap(), wanted);
        }
    }

    #[test]
    fn refuses_with_the_reason() {
        assert_eq!(message("Authenticate", TOPIC), Err(CheckinError::NoIdentity));
        assert_eq!(message("ReturnToService", DEVICE), Err(CheckinError::UnknownMessage("ReturnToService".into())));
        assert!(matches!(message(&"ü".repeat(500), DEVICE), Err(CheckinError::UnknownMessage(t)) if t.len() <= 64));
        assert!(matches!(message("UserAuthenticate", DEVICE), Err(CheckinError::Impossible(_))));
        assert!(matches!(message("Authenticate", DEVICE), Err(CheckinError::Plist(_))));
        let foreign = format!("{DEVICE}<key>Topic</key><string>com.example</string>");
        assert!(matches!(message("Authenticate", &foreign), Err(CheckinError::Plist(_))));
        assert!(matches!(parse(b"junk"), Err(CheckinError::Plist(_))));
    }

    #[test]
    fn secrets_do_not_show_in_debug_text() {
        let secret =
            message("SetBootstrapToken", &format!("{DEVICE}<key>BootstrapToken</key><data>c2VjcmV0</data>")).unwrap();
        assert!(format!("{secret:?}").contains("Secret(…)"));
    }
}
