//! What an HTTP status DOES to a device. The only place that names 401 and 403, which make a device un-enrol itself.
//!
//! Called by the device edge to turn an outcome into bytes. A doubt, a bug or an overload must never reach [`Outcome::Unenroll`]:
//! one wrong 401 in front of a school takes every iPad out of management.

/// How a device's request ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// 200 and zero bytes: accepted; at the command URL, the end of the session. An empty property list would not be empty.
    Empty,
    /// 200 with an XML property list: a command, or the answer to a check-in.
    Plist(Vec<u8>),
    /// 200 with JSON: declarative management.
    Json(Vec<u8>),
    Refuse(Refusal),
    /// The device removes its MDM profile and everything that came with it. Only for a device that a person blocked.
    Unenroll {
        /// Newer systems want 403 with a code; older ones understand only 401. See [`knows_unrecognized_device`].
        prefer_403: bool,
    },
}

/// A refusal that leaves the device enrolled. `why` goes to the log and into the timeline, never to the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    pub status: RefusalStatus,
    pub why: &'static str,
}

/// The statuses that leave a device enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalStatus {
    /// 400: malformed, unknown, or not allowed to speak for this device.
    BadRequest,
    /// 404: only for a declaration; the device drops that declaration.
    NotFound,
    /// 405: not PUT.
    MethodNotAllowed,
    /// 410: this user is not managed for this session (UserAuthenticate, TokenUpdate of a Shared iPad user).
    Gone,
    /// 413: the body is too large; the device keeps its result and tries again.
    TooLarge,
    /// 500: our fault; the device keeps its result and tries again. Never after the result was stored.
    Internal,
    /// 503: too busy; the device tries again.
    Unavailable,
}

impl RefusalStatus {
    pub fn code(self) -> u16 {
        match self {
            RefusalStatus::BadRequest => 400,
            RefusalStatus::NotFound => 404,
            RefusalStatus::MethodNotAllowed => 405,
            RefusalStatus::Gone => 410,
            RefusalStatus::TooLarge => 413,
            RefusalStatus::Internal => 500,
            RefusalStatus::Unavailable => 503,
        }
    }
}

impl Outcome {
    /// A refusal, in one word.
    pub fn refuse(status: RefusalStatus, why: &'static str) -> Self {
        Outcome::Refuse(Refusal { status, why })
    }
}

/// Status line, content type and body of an answer to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub content_type: Option<&'static str>,
    pub body: Vec<u8>,
}

/// Content type of property-list answers.
pub const PLIST_TYPE: &str = "application/xml";
/// Content type of declarative-management answers and of 403 bodies.
pub const JSON_TYPE: &str = "application/json";

/// The bytes of an outcome.
pub fn answer(outcome: &Outcome) -> Answer {
    let empty = |status| Answer { status, content_type: None, body: Vec::new() };
    let full =
        |status, content_type, body: &[u8]| Answer { status, content_type: Some(content_type), body: body.to_vec() };
    match outcome {
        Outcome::Empty => empty(200),
        Outcome::Plist(bytes) => full(200, PLIST_TYPE, bytes),
        Outcome::Json(bytes) => full(200, JSON_TYPE, bytes),
        Outcome::Refuse(refusal) => empty(refusal.status.code()),
        Outcome::Unenroll { prefer_403: false } => empty(401),
        Outcome::Unenroll { prefer_403: true } => full(403, JSON_TYPE, br#"{"code":"com.apple.unrecognized.device"}"#),
    }
}

/// Whether this system understands 403 with `com.apple.unrecognized.device`, which Apple wants instead of 401 where it is known:
/// iOS 17, macOS 14, tvOS 17, visionOS 1.1, watchOS 10. Unknown products and versions get 401, which all understand.
pub fn knows_unrecognized_device(product_name: Option<&str>, os_version: Option<&str>) -> bool {
    const SINCE: [(&str, (u32, u32)); 8] = [
        ("iPhone", (17, 0)),
        ("iPad", (17, 0)),
        ("iPod", (17, 0)),
        ("AppleTV", (17, 0)),
        ("AudioAccessory", (17, 0)),
        ("RealityDevice", (1, 1)),
        ("Watch", (10, 0)),
        ("Mac", (14, 0)),
    ];
    let (Some(product), Some(version)) = (product_name, os_version) else { return false };
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let since = SINCE.iter().find(|(prefix, _)| product.starts_with(prefix)).map(|(_, since)| *since);
    // Product names of Macs are Mac14,2 as well as MacBookPro18,3, Macmini9,1, and iMac21,1 of old.
    let since = since.or(product.starts_with("iMac").then_some((14, 0)));
    since.is_some_and(|since| version >= since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unenroll_can_say_401_or_403() {
        let statuses = [
            RefusalStatus::BadRequest,
            RefusalStatus::NotFound,
            RefusalStatus::MethodNotAllowed,
            RefusalStatus::Gone,
            RefusalStatus::TooLarge,
            RefusalStatus::Internal,
            RefusalStatus::Unavailable,
        ];
        let mut all = vec![Outcome::Empty, Outcome::Plist(vec![1]), Outcome::Json(vec![2])];
        all.extend(statuses.map(|status| Outcome::refuse(status, "test")));
        for outcome in all {
            // A new variant stops this match, so it cannot slip past the assertion.
            match &outcome {
                Outcome::Empty | Outcome::Plist(_) | Outcome::Json(_) | Outcome::Refuse(_) => {}
                Outcome::Unenroll { .. } => unreachable!(),
            }
            let status = answer(&outcome).status;
            assert!(status != 401 && status != 403, "{outcome:?}");
        }
        assert_eq!(answer(&Outcome::Unenroll { prefer_403: false }).status, 401);
        let coded = answer(&Outcome::Unenroll { prefer_403: true });
        assert_eq!((coded.status, coded.content_type), (403, Some("application/json")));
        assert_eq!(coded.body, br#"{"code":"com.apple.unrecognized.device"}"#);
    }

    #[test]
    fn empty_is_zero_bytes_and_refusals_tell_nothing() {
        assert_eq!(answer(&Outcome::Empty), Answer { status: 200, content_type: None, body: vec![] });
        assert_eq!(
            answer(&Outcome::refuse(RefusalStatus::Gone, "x")),
            Answer { status: 410, content_type: None, body: vec![] }
        );
        assert_eq!(answer(&Outcome::Plist(vec![7])).content_type, Some("application/xml"));
    }

    #[test]
    fn old_and_unknown_systems_get_401() {
        let rows = [
            (Some("iPad12,1"), Some("17.0"), true),
            (Some("iPad12,1"), Some("16.7.2"), false),
            (Some("Mac14,2"), Some("14.1"), true),
            (Some("MacBookPro18,3"), Some("13.6"), false),
            (Some("iMac21,1"), Some("15.0"), true),
            (Some("RealityDevice14,1"), Some("1.0.3"), false),
            (Some("RealityDevice14,1"), Some("1.1"), true),
            (Some("Watch7,1"), Some("10"), true),
            (Some("Toaster1,1"), Some("99"), false),
            (None, Some("18.0"), false),
            (Some("iPad12,1"), None, false),
            (Some("iPad12,1"), Some("beta"), false),
        ];
        for (product, version, wanted) in rows {
            assert_eq!(knows_unrecognized_device(product, version), wanted, "{product:?} {version:?}");
        }
    }
}
