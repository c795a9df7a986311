//! What a device reports at the command URL: idle, or the outcome of one command.
//!
//! Called by `inbound` for the device edge. Which command comes next is `queue`'s question.

use super::clip;
use super::sender::{IDENTITY_KEYS, Sender, SenderError};
use crate::base::ids::CommandUuid;
use crate::base::limits::MAX_ERROR_CHAIN;
use crate::plist::{Dict, Dictionary, PlistError, Value, parse_dict};
use std::fmt;

/// Longest text of one error that is kept, in bytes.
const MAX_ERROR_TEXT: usize = 2048;

/// One report.
#[derive(Clone, PartialEq)]
pub struct Report {
    pub from: Sender,
    pub status: Status,
    /// Always there unless the status is [`Status::Idle`].
    pub command_uuid: Option<CommandUuid>,
    /// First the top-level error, then its causes. Codes change between releases: shown, never branched on.
    pub error_chain: Vec<ErrorItem>,
    /// The result: every key that is not about the sender, the status or the error.
    pub keys: Dictionary,
}

/// Apple's `Status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// A poll without a result.
    Idle,
    Acknowledged,
    Error,
    /// The device could not make sense of the command; as final as an error, or it would be asked for ever.
    CommandFormatError,
    /// Received, cannot run now, and forgotten by the device: ask again later.
    NotNow,
}

impl Status {
    /// Apple's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Idle => "Idle",
            Status::Acknowledged => "Acknowledged",
            Status::Error => "Error",
            Status::CommandFormatError => "CommandFormatError",
            Status::NotNow => "NotNow",
        }
    }

    fn find(text: &str) -> Option<Self> {
        let all = [Status::Idle, Status::Acknowledged, Status::Error, Status::CommandFormatError, Status::NotNow];
        all.into_iter().find(|status| status.as_str() == text)
    }
}

/// One link of an `ErrorChain`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorItem {
    /// `ErrorCode`
    pub code: Option<i64>,
    /// `ErrorDomain`, such as `MCMDMErrorDomain`
    pub domain: Option<String>,
    /// `LocalizedDescription`, in the language of the device
    pub localized: Option<String>,
    /// `USEnglishDescription`
    pub english: Option<String>,
}

impl ErrorItem {
    /// With Apple's own keys, for the API and the history.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "ErrorCode": self.code,
            "ErrorDomain": self.domain,
            "LocalizedDescription": self.localized,
            "USEnglishDescription": self.english,
        })
    }
}

/// Why a body is not a report. Answered 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    #[error("{0}")]
    Plist(#[from] PlistError),
    #[error("{0}")]
    Sender(#[from] SenderError),
    #[error("unknown Status {0:?}")]
    UnknownStatus(String),
    #[error("{0} without a CommandUUID")]
    NoCommandUuid(&'static str),
}

/// Parses a report.
///
/// # Errors
/// [`ReportError`] for anything that no device sends.
pub fn parse(body: &[u8]) -> Result<Report, ReportError> {
    from_dict(parse_dict(body)?)
}

pub(super) fn from_dict(dict: Dict) -> Result<Report, ReportError> {
    let text = dict.string("Status")?;
    let status = Status::find(text).ok_or_else(|| ReportError::UnknownStatus(clip(text, 64)))?;
    let from = Sender::parse(&dict)?;
    let command_uuid = dict.find_id::<CommandUuid>("CommandUUID")?;
    if command_uuid.is_none() && status != Status::Idle {
        return Err(ReportError::NoCommandUuid(status.as_str()));
    }
    let error_chain = dict.get("ErrorChain").map(error_chain).unwrap_or_default();
    let mut keys = dict.into_dictionary();
    // macOS sometimes echoes RequestType; what was asked is known from the CommandUUID.
    for key in IDENTITY_KEYS.iter().chain(&["Status", "CommandUUID", "ErrorChain", "RequestType"]) {
        keys.remove(key);
    }
    Ok(Report { from, status, command_uuid, error_chain, keys })
}

/// Finds the `CommandUUID` in a result that is too large to be parsed, in one pass and without allocating.
///
/// `body` may be the whole or any piece of it. Two different values are no answer: finishing the wrong command would be worse.
pub fn scan_command_uuid(body: &[u8]) -> Option<CommandUuid> {
    const KEY: &[u8] = b"<key>CommandUUID</key>";
    let mut found: Option<CommandUuid> = None;
    let mut rest = body;
    while let Some(at) = rest.iter().position(|b| *b == b'<') {
        rest = &rest[at..];
        let Some(after) = rest.strip_prefix(KEY) else {
            rest = &rest[1..];
            continue;
        };
        rest = after;
        let Some(uuid) = string_after(after) else { continue };
        match &found {
            Some(earlier) if *earlier != uuid => return None,
            _ => found = Some(uuid),
        }
    }
    found
}

fn string_after(after: &[u8]) -> Option<CommandUuid> {
    let window = &after[..after.len().min(1024)];
    let value = window.trim_ascii_start().strip_prefix(b"<string>")?;
    let end = value.iter().position(|b| *b == b'<')?;
    let text = std::str::from_utf8(&value[..end]).ok()?;
    // An escaped character cannot be in a CommandUUID of ours; decoding it is not worth a parser.
    if !value[end..].starts_with(b"</string>") || text.contains('&') { None } else { text.parse().ok() }
}

/// Lenient on purpose: a device repeats a result until it is taken, so a strange description must not refuse it.
fn error_chain(value: &Value) -> Vec<ErrorItem> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(Value::as_dictionary).take(MAX_ERROR_CHAIN).map(error_item).collect()
}

fn error_item(item: &Dictionary) -> ErrorItem {
    let text = |key| item.get(key).and_then(Value::as_string).map(|text| clip(text, MAX_ERROR_TEXT));
    ErrorItem {
        code: item.get("ErrorCode").and_then(Value::as_signed_integer),
        domain: text("ErrorDomain"),
        localized: text("LocalizedDescription"),
        english: text("USEnglishDescription"),
    }
}

impl fmt::Debug for Report {
    /// Results hold recovery keys and bypass codes: only the names of the keys are shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("from", &self.from)
            .field("status", &self.status)
            .field("command_uuid", &self.command_uuid)
            .field("error_chain", &self.error_chain)
            .field("keys", &self.keys.keys().collect::<Vec<_>>())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::samples::{doc, strings};

    fn report(inner: &str) -> Result<Report, ReportError> {
        parse(&doc(&format!("<key>UDID</key><string>AA-1</string>{inner}")))
    }

    #[test]
    fn idle_has_no_command() {
        let idle = report("<key>Status</key><string>Idle</string>").unwrap();
        assert_eq!((idle.status, idle.command_uuid, idle.keys.len()), (Status::Idle, None, 0));
    }

    #[test]
    fn every_other_status_needs_its_command() {
        for status in ["Acknowledged", "Error", "CommandFormatError", "NotNow"] {
            let good = report(&strings(&[("Status", status), ("CommandUUID", "C-1")])).unwrap();
            assert_eq!(good.status.as_str(), status);
            assert_eq!(good.command_uuid.unwrap().as_str(), "C-1");
            assert!(matches!(report(&strings(&[("Status", status)])), Err(ReportError::NoCommandUuid(_))), "{status}");
            assert!(report(&strings(&[("Status", status), ("CommandUUID", "")])).is_err(), "{status}");
        }
    }

    #[test]
    fn refuses_what_is_no_report() {
        assert!(matches!(report(""), Err(ReportError::Plist(_))));
        assert!(matches!(report(&strings(&[("Status", "")])), Err(ReportError::UnknownStatus(_))));
        assert!(matches!(report(&strings(&[("Status", "idle")])), Err(ReportError::UnknownStatus(_))));
        let nobody = doc(&strings(&[("Status", "Idle")]));
        assert_eq!(parse(&nobody).unwrap_err(), ReportError::Sender(SenderError::NoIdentity));
    }

    #[test]
    fn the_result_is_everything_else() {
        let inner = strings(&[
            ("Status", "Acknowledged"),
            ("CommandUUID", "C"),
            ("RequestType", "DeviceInformation"),
            ("UserLongName", "x"),
        ]) + "<key>QueryResponses</key><dict><key>UDID</key><string>AA-1</string></dict>";
        let result = report(&inner).unwrap();
        assert_eq!(result.keys.keys().collect::<Vec<_>>(), ["QueryResponses"]);
    }

    #[test]
    fn an_error_chain_is_read_leniently_and_bounded() {
        let item = "<dict><key>ErrorCode</key><integer>12021</integer><key>ErrorDomain</key><string>MCMDMErrorDomain</string>\
                    <key>LocalizedDescription</key><string>Ungültig</string></dict>";
        let chain = format!("<key>ErrorChain</key><array>{item}<string>odd</string>{}</array>", "<dict/>".repeat(40));
        let failed = report(&(strings(&[("Status", "Error"), ("CommandUUID", "C")]) + &chain)).unwrap();
        assert_eq!(failed.error_chain.len(), MAX_ERROR_CHAIN);
        assert_eq!(failed.error_chain[0].code, Some(12021));
        assert_eq!(failed.error_chain[0].localized.as_deref(), Some("Ungültig"));
        let odd = strings(&[("Status", "Error"), ("CommandUUID", "C"), ("ErrorChain", "text")]);
        assert!(report(&odd).unwrap().error_chain.is_empty());
    }

    #[test]
    fn scans_the_uuid_out_of_what_is_too_large() {
        let scan = |text: &str| scan_command_uuid(text.as_bytes()).map(|u| u.to_string());
        assert_eq!(scan("<dict><key>CommandUUID</key>\n\t<string>C-9</string><key>X").as_deref(), Some("C-9"));
        assert_eq!(scan("cut off <data>AAAA <key>CommandUUID</key><string>C-9</string>").as_deref(), Some("C-9"));
        assert_eq!(
            scan("<key>CommandUUID</key><string>A</string><key>CommandUUID</key><string>A</string>").as_deref(),
            Some("A")
        );
        assert_eq!(scan("<key>CommandUUID</key><string>A</string><key>CommandUUID</key><string>B</string>"), None);
        assert_eq!(scan("<key>CommandUUID</key><string>cut"), None);
        assert_eq!(scan("<key>CommandUUID</key><string></string>"), None);
        assert_eq!(scan(&format!("<key>CommandUUID</key><string>{}</string>", "x".repeat(2000))), None);
        assert_eq!(scan("<key>Status</key><string>Idle</string>"), None);
        let large = "<data>AAAA</data>".repeat(100_000) + "<key>CommandUUID</key><string>Z</string>";
        assert_eq!(scan(&large).as_deref(), Some("Z"));
    }

    #[test]
    fn results_do_not_show_in_debug_text() {
        let inner =
            strings(&[("Status", "Acknowledged"), ("CommandUUID", "C"), ("ActivationLockBypassCode", "ABCDE-12345")]);
        let text = format!("{:?}", report(&inner).unwrap());
        assert!(text.contains("ActivationLockBypassCode") && !text.contains("ABCDE"));
    }
}
