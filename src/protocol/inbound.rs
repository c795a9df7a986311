//! The one door for device bodies: both URLs of an enrolment profile accept check-ins and reports, told apart by content.
//!
//! Called by the device edge. The property list is parsed once, whatever it turns out to be.

use super::checkin::{self, Checkin, CheckinError};
use super::report::{self, Report, ReportError};
use crate::base::limits::MAX_CHECKIN_BODY;
use crate::plist::{Dict, PlistError, parse_dict};

/// What came in.
#[derive(Debug, Clone, PartialEq)]
pub enum Inbound {
    Checkin(Checkin),
    Report(Report),
}

/// Why a body is neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InboundError {
    #[error("{0}")]
    Plist(#[from] PlistError),
    #[error("check-in: {0}")]
    Checkin(#[from] CheckinError),
    #[error("report: {0}")]
    Report(#[from] ReportError),
    /// Results may be large, check-ins may not; only the content tells which one this is. Answered 413.
    #[error("a check-in of more than 1 MiB")]
    CheckinTooLarge,
    #[error("neither MessageType nor Status is given")]
    Neither,
}

/// Parses a body from a device: a `MessageType` makes it a check-in, else a `Status` makes it a report.
///
/// # Errors
/// [`InboundError`]; all but `CheckinTooLarge` are answered 400.
pub fn parse(body: &[u8]) -> Result<Inbound, InboundError> {
    let dict = parse_dict(body)?;
    match kind(&dict) {
        Kind::Checkin if body.len() > MAX_CHECKIN_BODY => Err(InboundError::CheckinTooLarge),
        Kind::Checkin => Ok(Inbound::Checkin(checkin::from_dict(&dict)?)),
        Kind::Report => Ok(Inbound::Report(report::from_dict(dict)?)),
        Kind::Neither => Err(InboundError::Neither),
    }
}

enum Kind {
    Checkin,
    Report,
    Neither,
}

fn kind(dict: &Dict) -> Kind {
    if dict.get("MessageType").is_some() {
        Kind::Checkin
    } else if dict.get("Status").is_some() {
        Kind::Report
    } else {
        Kind::Neither
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::samples::{doc, strings};

    const U: (&str, &str) = ("UDID", "AA-1");

    #[test]
    fn content_decides() {
        let checkin = parse(&doc(&strings(&[("MessageType", "CheckOut"), U]))).unwrap();
        assert!(matches!(checkin, Inbound::Checkin(_)));
        let report = parse(&doc(&strings(&[("Status", "Idle"), U]))).unwrap();
        assert!(matches!(report, Inbound::Report(_)));
        let both = parse(&doc(&strings(&[("MessageType", "CheckOut"), ("Status", "Idle"), U]))).unwrap();
        assert!(matches!(both, Inbound::Checkin(_)));
        assert_eq!(parse(&doc(&strings(&[U]))), Err(InboundError::Neither));
        assert!(matches!(parse(b""), Err(InboundError::Plist(_))));
    }

    #[test]
    fn only_results_may_be_large() {
        let large = format!("<key>Blob</key><string>{}</string>", "x".repeat(MAX_CHECKIN_BODY));
        let checkin = doc(&(strings(&[("MessageType", "CheckOut"), U]) + &large));
        assert_eq!(parse(&checkin), Err(InboundError::CheckinTooLarge));
        assert!(parse(&doc(&(strings(&[("Status", "Acknowledged"), ("CommandUUID", "C"), U]) + &large))).is_ok());
    }
}
