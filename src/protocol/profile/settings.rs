//! Any configuration profile, read as far as handing it out needs: its name on devices, what is inside, and what would go wrong.
//!
//! Called by `service::library` for what people upload. Not here: enrolment profiles (`read`), and whether the settings make sense.

use crate::pki::cms;
use crate::plist::{Dictionary, Fault, PlistError, Value, fault, parse_dict};

/// Payloads that are accounts: Apple wants each in a profile of its own, so that one can be changed without the others.
const ACCOUNTS: [&str; 9] = [
    "com.apple.mail.managed",
    "com.apple.eas.account",
    "com.apple.ews.account",
    "com.apple.caldav.account",
    "com.apple.carddav.account",
    "com.apple.subscribedcalendar.account",
    "com.apple.ldap.account",
    "com.apple.google-oauth",
    "com.apple.jabber.account",
];
/// What Setup Assistant wants to know before it lets somebody choose a password.
pub const PASSCODE_POLICY: &str = "com.apple.mobiledevice.passwordpolicy";
const MDM_TYPE: &str = "com.apple.mdm";

/// What is known of a profile from its bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingsFacts {
    /// `PayloadIdentifier`: the profile's name on devices.
    pub identifier: String,
    pub display_name: Option<String>,
    /// Payload types in order; empty for an encrypted profile.
    pub payload_types: Vec<String>,
    pub encrypted: bool,
    /// Who signed it, if it came with a signature, which was whole.
    pub signed_by: Option<String>,
    /// The profile itself, without a signature.
    pub plain: Dictionary,
}

impl SettingsFacts {
    /// How many accounts it would set up.
    pub fn has_passcode_policy(&self) -> bool {
        self.payload_types.iter().any(|kind| kind == PASSCODE_POLICY)
    }
}

/// How many of these payload types are accounts.
pub(super) fn accounts<'a>(types: impl Iterator<Item = &'a str>) -> usize {
    types.filter(|kind| is_account(kind)).count()
}

pub(super) fn is_account(kind: &str) -> bool {
    ACCOUNTS.contains(&kind)
}

/// Why bytes are no profile to hand out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    #[error("its signature is not whole: {0}")]
    Signature(String),
    #[error("{0}")]
    Plist(#[from] PlistError),
    #[error("{0}")]
    NoProfile(&'static str),
}

/// Reads a profile, signed or not.
///
/// # Errors
/// [`SettingsError`] for what a device would not install, and for enrolment profiles, which are given out otherwise.
pub fn read_settings(bytes: &[u8]) -> Result<SettingsFacts, SettingsError> {
    // DER and BER begin with SEQUENCE; a property list with `<`, a byte order mark, blanks, or `bplist`.
    let is_signed = bytes.first() == Some(&0x30);
    let (inner, mut signed_by) = (is_signed.then(|| cms::verify_attached(bytes)).transpose(), None);
    let inner = inner.map_err(|e| SettingsError::Signature(e.to_string()))?;
    let plain = match &inner {
        Some(signed) => {
            let name = signed.signer.subject_common_name().unwrap_or_else(|| signed.signer.subject());
            signed_by = Some(super::super::clip(&name, 128));
            signed.content.as_slice()
        }
        None => bytes,
    };
    let dict = parse_dict(plain)?;
    if dict.find_string("PayloadType")? != Some("Configuration") {
        return Err(SettingsError::NoProfile("its PayloadType is not Configuration"));
    }
    if dict.find_integer("PayloadVersion")? != Some(1) {
        return Err(SettingsError::NoProfile("its PayloadVersion is not 1"));
    }
    let identifier = filled(dict.string("PayloadIdentifier")?, "PayloadIdentifier")?;
    filled(dict.string("PayloadUUID")?, "PayloadUUID")?;
    let encrypted = dict.flag("IsEncrypted")?;
    let mut payload_types = Vec::new();
    if encrypted {
        dict.data("EncryptedPayloadContent")?;
    } else {
        for payload in dict.array("PayloadContent")? {
            let kind = payload.as_dictionary().and_then(|p| p.get("PayloadType")).and_then(Value::as_string);
            payload_types.push(super::super::clip(kind.unwrap_or_default(), 128));
        }
    }
    if payload_types.iter().any(|kind| kind == MDM_TYPE) {
        return Err(SettingsError::NoProfile("it is an enrolment profile; those are made by `cordon enroll profile`"));
    }
    if payload_types.iter().any(String::is_empty) {
        return Err(SettingsError::NoProfile("a payload has no PayloadType"));
    }
    let display_name = dict.find_string("PayloadDisplayName")?.filter(|t| !t.is_empty());
    let display_name = display_name.map(|text| super::super::clip(text, 256));
    Ok(SettingsFacts { identifier, display_name, payload_types, encrypted, signed_by, plain: dict.into_dictionary() })
}

fn filled(text: &str, key: &str) -> Result<String, PlistError> {
    let odd = text.is_empty() || text.len() > 256 || text.chars().any(char::is_control);
    if odd { Err(fault(key, Fault::BadId("is empty, too long or holds odd characters"))) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::samples::{doc, strings};

    fn profile(types: &[&str], more: &str) -> Vec<u8> {
        let inner: String = types.iter().map(|t| format!("<dict>{}</dict>", strings(&[("PayloadType", t)]))).collect();
        let top = strings(&[("PayloadType", "Configuration"), ("PayloadIdentifier", "a.b"), ("PayloadUUID", "U")]);
        doc(&format!(
            "{top}<key>PayloadVersion</key><integer>1</integer><key>PayloadContent</key><array>{inner}</array>{more}"
        ))
    }

    #[test]
    fn what_is_inside() {
        let bytes = profile(&["com.apple.wifi.managed", "com.apple.mail.managed", "com.apple.caldav.account"], "");
        let facts = read_settings(&bytes).unwrap();
        assert_eq!((facts.identifier.as_str(), facts.signed_by.as_ref()), ("a.b", None));
        assert_eq!(accounts(facts.payload_types.iter().map(String::as_str)), 2);
        assert!(!facts.has_passcode_policy());
        assert!(read_settings(&profile(&[PASSCODE_POLICY], "")).unwrap().has_passcode_policy());
    }

    #[test]
    fn what_is_refused() {
        let why = |bytes: &[u8]| read_settings(bytes).unwrap_err().to_string();
        assert!(why(&profile(&["com.apple.mdm"], "")).contains("enrolment profile"));
        assert!(why(&profile(&[""], "")).contains("no PayloadType"));
        assert!(why(&doc(&strings(&[("PayloadType", "other")]))).contains("not Configuration"));
        assert!(why(b"junk").len() > 3);
        assert!(why(&[0x30, 0x80, 1, 2]).contains("signature"));
        let encrypted = strings(&[("PayloadType", "Configuration"), ("PayloadIdentifier", "a"), ("PayloadUUID", "U")])
            + "<key>PayloadVersion</key><integer>1</integer><key>IsEncrypted</key><true/>";
        assert!(why(&doc(&encrypted)).contains("EncryptedPayloadContent"));
        let whole = encrypted + "<key>EncryptedPayloadContent</key><data>AQ==</data>";
        assert!(read_settings(&doc(&whole)).unwrap().encrypted);
    }
}
