//! The rules of Apple's push service (APNs) for MDM: what a push holds, what an answer means, when to push again.
//!
//! Called by `apple::apns` (path, payload), `service::pushing` (action, schedule) and the simulator's stand-in.
//! Deliberately not here: connections, HTTP/2, and what is written to the store. A push is a hint without content:
//! a 200 says that Apple took it, never that a device saw it.

use crate::base::push::{PushMagic, PushToken};
use crate::base::time::{DAY, HOUR, MINUTE, SECOND, Timestamp};

/// Largest payload Apple accepts, in bytes; one byte more is answered `PayloadTooLarge`.
pub const MAX_PAYLOAD: usize = 4096;
/// Apple asks for at least 15 minutes before a push is repeated after 500 or 503.
pub const SERVER_TROUBLE_DELAY: i64 = 15 * MINUTE;
/// `TooManyRequests` is about one token; Apple names no time. Five minutes let a burst of commands pass.
pub const TOO_MANY_REQUESTS_DELAY: i64 = 5 * MINUTE;
/// No retry waits longer than this, or a transient fault would outlive the fault itself.
pub const MAX_RETRY_DELAY: i64 = DAY;
/// Waits after the first, second and every later push that no request of the device followed. Apple keeps the last
/// push for a device that is away, so more would only spend Apple's patience.
pub const REPUSH_DELAYS: [i64; 3] = [HOUR, 4 * HOUR, DAY];
/// How long Apple shall keep a push for a device that is away. Apple's limit is 30 days; a weekend plus a holiday is enough
/// because [`REPUSH_DELAYS`] pushes daily.
pub const KEEP: i64 = 5 * DAY;
/// A push is repeated this long before Apple forgets it, so that a device that was away never misses its work.
pub const REPUSH_BEFORE_LAPSE: i64 = DAY;
/// Expirations are rounded up to this, so that HPACK sends the same value as one byte for an hour.
const EXPIRATION_STEP: i64 = HOUR;

/// Why one token is no good although Apple did not call it dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFault {
    /// `BadDeviceToken`: malformed, or of another environment. Hits every device when host or certificate is wrong.
    Bad,
    /// `DeviceTokenNotForTopic`: the token belongs to another topic. Flag it; one lying device must not stop the school.
    OtherTopic,
}

/// Why nothing can be pushed with this topic and certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicFault {
    /// `BadTopic`, `MissingTopic`, `TopicDisallowed`: the certificate does not stand for the topic.
    WrongTopic,
    /// `BadCertificate`, `BadCertificateEnvironment`: revoked, expired or of the sandbox.
    BadCertificate,
    /// The provider-token reasons: Apple saw no client certificate.
    CertificateNotPresented,
    /// `Forbidden`.
    Forbidden,
}

/// What an answer of Apple asks the server to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushAction {
    /// 200: taken by Apple. Not delivered, and no proof of anything.
    Accepted,
    /// 410: the token is dead since then. Stop pushes and commands until the next TokenUpdate.
    DeadToken { since: Option<Timestamp> },
    /// 410, but a TokenUpdate came after the time that Apple names: the answer is about an older life of the token.
    IgnoreStale,
    /// Push no more to this enrollment until it sends a TokenUpdate; it still counts as managed.
    StopUntilTokenUpdate { why: TokenFault },
    /// Push nothing with this topic until a person has looked at it; raise the alarm.
    PauseTopic { why: TopicFault },
    /// Transient: again after at least so many milliseconds; [`retry_delay`] makes it grow.
    RetryAfter(i64),
    /// `IdleTimeout`: the connection is finished, the push is not. Again at once on a new connection.
    Reconnect,
    /// Our request was wrong: log it, do not repeat it blindly.
    Bug { reason: String },
    /// A 4xx that the table does not know: final for this push only.
    Refused { status: u16, reason: Option<String> },
}

#[derive(Debug, Clone, Copy)]
enum Rule {
    Dead,
    Token(TokenFault),
    Topic(TopicFault),
    RetryAfter(i64),
    Reconnect,
    Bug,
}

/// Apple's documented answers ("Handling notification responses from APNs") with what each asks of an MDM server.
const TABLE: &[(u16, &str, Rule)] = &[
    (400, "BadDeviceToken", Rule::Token(TokenFault::Bad)),
    (400, "DeviceTokenNotForTopic", Rule::Token(TokenFault::OtherTopic)),
    (400, "BadTopic", Rule::Topic(TopicFault::WrongTopic)),
    (400, "MissingTopic", Rule::Topic(TopicFault::WrongTopic)),
    (400, "TopicDisallowed", Rule::Topic(TopicFault::WrongTopic)),
    (400, "BadExpirationDate", Rule::Bug),
    (400, "BadMessageId", Rule::Bug),
    (400, "BadPriority", Rule::Bug),
    (400, "BadCollapseId", Rule::Bug),
    (400, "DuplicateHeaders", Rule::Bug),
    (400, "InvalidPushType", Rule::Bug),
    (400, "MissingDeviceToken", Rule::Bug),
    (400, "PayloadEmpty", Rule::Bug),
    (400, "IdleTimeout", Rule::Reconnect),
    (403, "BadCertificate", Rule::Topic(TopicFault::BadCertificate)),
    (403, "BadCertificateEnvironment", Rule::Topic(TopicFault::BadCertificate)),
    (403, "Forbidden", Rule::Topic(TopicFault::Forbidden)),
    (403, "ExpiredProviderToken", Rule::Topic(TopicFault::CertificateNotPresented)),
    (403, "InvalidProviderToken", Rule::Topic(TopicFault::CertificateNotPresented)),
    (403, "MissingProviderToken", Rule::Topic(TopicFault::CertificateNotPresented)),
    (403, "UnrelatedKeyIdInToken", Rule::Topic(TopicFault::CertificateNotPresented)),
    (403, "BadEnvironmentKeyIdInToken", Rule::Topic(TopicFault::CertificateNotPresented)),
    (404, "BadPath", Rule::Bug),
    (405, "MethodNotAllowed", Rule::Bug),
    (410, "Unregistered", Rule::Dead),
    (410, "ExpiredToken", Rule::Dead),
    (413, "PayloadTooLarge", Rule::Bug),
    (429, "TooManyRequests", Rule::RetryAfter(TOO_MANY_REQUESTS_DELAY)),
    // Cannot happen with certificates; if it does, we sent something we never send.
    (429, "TooManyProviderTokenUpdates", Rule::Bug),
    (500, "InternalServerError", Rule::RetryAfter(SERVER_TROUBLE_DELAY)),
    (503, "ServiceUnavailable", Rule::RetryAfter(SERVER_TROUBLE_DELAY)),
    (503, "Shutdown", Rule::RetryAfter(SERVER_TROUBLE_DELAY)),
];

/// What to do about Apple's answer. `timestamp_ms` is the answer's `timestamp` (milliseconds since 1970, only with 410);
/// `last_token_update` is when this enrollment last sent a TokenUpdate.
pub fn action(
    status: u16,
    reason: Option<&str>,
    timestamp_ms: Option<i64>,
    last_token_update: Option<Timestamp>,
) -> PushAction {
    if status == 200 {
        return PushAction::Accepted;
    }
    let known = TABLE.iter().find(|(s, r, _)| *s == status && Some(*r) == reason).map(|row| row.2);
    match known.or_else(|| by_status(status)) {
        Some(Rule::Dead) => dead(timestamp_ms.map(Timestamp), last_token_update),
        Some(Rule::Token(why)) => PushAction::StopUntilTokenUpdate { why },
        Some(Rule::Topic(why)) => PushAction::PauseTopic { why },
        Some(Rule::RetryAfter(millis)) => PushAction::RetryAfter(millis),
        Some(Rule::Reconnect) => PushAction::Reconnect,
        Some(Rule::Bug) => PushAction::Bug { reason: reason.unwrap_or_default().to_owned() },
        None => PushAction::Refused { status, reason: reason.map(str::to_owned) },
    }
}

/// Answers whose reason is missing or new. 410 alone is sufficient; other 4xx end this push, all else is transient.
fn by_status(status: u16) -> Option<Rule> {
    match status {
        410 => Some(Rule::Dead),
        429 => Some(Rule::RetryAfter(TOO_MANY_REQUESTS_DELAY)),
        400..500 => None,
        _ => Some(Rule::RetryAfter(SERVER_TROUBLE_DELAY)),
    }
}

fn dead(since: Option<Timestamp>, last_token_update: Option<Timestamp>) -> PushAction {
    match (since, last_token_update) {
        (Some(since), Some(update)) if update > since => PushAction::IgnoreStale,
        _ => PushAction::DeadToken { since },
    }
}

/// True if this answer says that the connection itself should be left: Apple is closing it or wants us elsewhere.
pub fn leaves_connection(status: u16, reason: Option<&str>) -> bool {
    status == 503 || (status == 400 && reason == Some("IdleTimeout"))
}

/// Milliseconds to wait after the `attempts`-th transient failure in a row (1 = the first), doubling from `first_millis`
/// (of [`PushAction::RetryAfter`]) up to [`MAX_RETRY_DELAY`]. A `Retry-After` (seconds) is honoured when it is longer.
pub fn retry_delay(first_millis: i64, attempts: u32, retry_after_secs: Option<u64>) -> i64 {
    let doublings = attempts.saturating_sub(1).min(16);
    let grown = first_millis.saturating_mul(1 << doublings);
    let asked = i64::try_from(retry_after_secs.unwrap_or(0)).unwrap_or(i64::MAX).saturating_mul(SECOND);
    grown.max(asked).min(MAX_RETRY_DELAY)
}

/// Milliseconds from the last push to the next one while work waits and the device has not come; `attempts` is how many
/// pushes went out since it last came. 0 attempts: push now.
pub fn next_push(attempts: u32) -> i64 {
    match attempts {
        0 => 0,
        n => REPUSH_DELAYS[(n as usize - 1).min(REPUSH_DELAYS.len() - 1)],
    }
}

/// `apns-expiration` for a push sent now: epoch seconds, [`KEEP`] ahead and rounded up to the hour.
/// Never 0, which would mean "try once, do not store".
pub fn expiration(now: Timestamp) -> i64 {
    let step = EXPIRATION_STEP / SECOND;
    let at = now.plus(KEEP).secs();
    (at.div_euclid(step) + 1).saturating_mul(step).max(step)
}

/// When a push with this `apns-expiration` (epoch seconds) must be repeated if its work is still waiting:
/// [`REPUSH_BEFORE_LAPSE`] before Apple forgets it.
pub fn repush_by(expiration_secs: i64) -> Timestamp {
    Timestamp::from_secs(expiration_secs).plus(-REPUSH_BEFORE_LAPSE)
}

/// The whole body of an MDM push: `{"mdm":"<PushMagic>"}`, no `aps`. At most [`MAX_PAYLOAD`] bytes unless the magic is
/// mostly control characters; the sender refuses that one.
pub fn payload(magic: &PushMagic) -> Vec<u8> {
    let mut body = Vec::with_capacity(magic.as_str().len() + 10);
    body.extend_from_slice(b"{\"mdm\":");
    body.extend_from_slice(serde_json::Value::from(magic.as_str()).to_string().as_bytes());
    body.push(b'}');
    body
}

/// The request path: `/3/device/<lower-case hex of the token>`.
pub fn path(token: &PushToken) -> String {
    let bytes = token.as_bytes();
    let mut path = String::with_capacity(10 + 2 * bytes.len());
    path.push_str("/3/device/");
    for byte in bytes {
        path.push(char::from(b"0123456789abcdef"[usize::from(byte >> 4)]));
        path.push(char::from(b"0123456789abcdef"[usize::from(byte & 15)]));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_its_action() {
        use PushAction::*;
        let bug = |reason: &str| Bug { reason: reason.to_owned() };
        let pause = |why| PauseTopic { why };
        let no_certificate = TopicFault::CertificateNotPresented;
        let rows = [
            (200, "", Accepted),
            (400, "BadDeviceToken", StopUntilTokenUpdate { why: TokenFault::Bad }),
            (400, "DeviceTokenNotForTopic", StopUntilTokenUpdate { why: TokenFault::OtherTopic }),
            (400, "BadTopic", pause(TopicFault::WrongTopic)),
            (400, "MissingTopic", pause(TopicFault::WrongTopic)),
            (400, "TopicDisallowed", pause(TopicFault::WrongTopic)),
            (400, "BadExpirationDate", bug("BadExpirationDate")),
            (400, "BadMessageId", bug("BadMessageId")),
            (400, "BadPriority", bug("BadPriority")),
            (400, "BadCollapseId", bug("BadCollapseId")),
            (400, "DuplicateHeaders", bug("DuplicateHeaders")),
            (400, "InvalidPushType", bug("InvalidPushType")),
            (400, "MissingDeviceToken", bug("MissingDeviceToken")),
            (400, "PayloadEmpty", bug("PayloadEmpty")),
            (400, "IdleTimeout", Reconnect),
            (403, "BadCertificate", pause(TopicFault::BadCertificate)),
            (403, "BadCertificateEnvironment", pause(TopicFault::BadCertificate)),
            (403, "Forbidden", pause(TopicFault::Forbidden)),
            (403, "ExpiredProviderToken", pause(no_certificate)),
            (403, "InvalidProviderToken", pause(no_certificate)),
            (403, "MissingProviderToken", pause(no_certificate)),
            (403, "UnrelatedKeyIdInToken", pause(no_certificate)),
            (403, "BadEnvironmentKeyIdInToken", pause(no_certificate)),
            (404, "BadPath", bug("BadPath")),
            (405, "MethodNotAllowed", bug("MethodNotAllowed")),
            (410, "Unregistered", DeadToken { since: None }),
            (410, "ExpiredToken", DeadToken { since: None }),
            (413, "PayloadTooLarge", bug("PayloadTooLarge")),
            (429, "TooManyRequests", RetryAfter(5 * MINUTE)),
            (429, "TooManyProviderTokenUpdates", bug("TooManyProviderTokenUpdates")),
            (500, "InternalServerError", RetryAfter(15 * MINUTE)),
            (503, "ServiceUnavailable", RetryAfter(15 * MINUTE)),
            (503, "Shutdown", RetryAfter(15 * MINUTE)),
            // What Apple may invent tomorrow.
            (400, "NewReason", Refused { status: 400, reason: Some("NewReason".to_owned()) }),
            (403, "NewReason", Refused { status: 403, reason: Some("NewReason".to_owned()) }),
            (410, "NewReason", DeadToken { since: None }),
            (429, "NewReason", RetryAfter(5 * MINUTE)),
            (418, "", Refused { status: 418, reason: None }),
            (502, "", RetryAfter(15 * MINUTE)),
            (204, "", RetryAfter(15 * MINUTE)),
            (301, "", RetryAfter(15 * MINUTE)),
        ];
        for (status, reason, expected) in rows {
            let reason = Some(reason).filter(|r| !r.is_empty());
            assert_eq!(action(status, reason, None, None), expected, "{status} {reason:?}");
        }
    }

    #[test]
    fn a_dead_token_is_alive_again_after_a_later_token_update() {
        let dead_at = |since, update| action(410, Some("Unregistered"), since, update);
        let since = Some(Timestamp(1_000));
        assert_eq!(dead_at(Some(1_000), None), PushAction::DeadToken { since });
        assert_eq!(dead_at(Some(1_000), Some(Timestamp(999))), PushAction::DeadToken { since });
        assert_eq!(dead_at(Some(1_000), Some(Timestamp(1_000))), PushAction::DeadToken { since });
        assert_eq!(dead_at(Some(1_000), Some(Timestamp(1_001))), PushAction::IgnoreStale);
        assert_eq!(dead_at(None, Some(Timestamp(1_001))), PushAction::DeadToken { since: None });
    }

    #[test]
    fn some_answers_end_the_connection() {
        let ends = |status, reason| leaves_connection(status, Some(reason));
        assert!(ends(503, "Shutdown") && ends(503, "ServiceUnavailable") && ends(400, "IdleTimeout"));
        assert!(!ends(400, "BadDeviceToken") && !ends(410, "Unregistered") && !ends(500, "InternalServerError"));
    }

    #[test]
    fn delays_grow_and_end() {
        let delays: Vec<i64> = (0..5).map(|n| next_push(n) / HOUR).collect();
        assert_eq!(delays, [0, 1, 4, 24, 24]);
        let retries: Vec<i64> = (1..9).map(|n| retry_delay(SERVER_TROUBLE_DELAY, n, None) / MINUTE).collect();
        assert_eq!(retries, [15, 30, 60, 120, 240, 480, 960, 1440]);
        assert_eq!(retry_delay(SERVER_TROUBLE_DELAY, u32::MAX, None), DAY);
        assert_eq!(retry_delay(SERVER_TROUBLE_DELAY, 1, Some(3_600)), HOUR);
        assert_eq!(retry_delay(SERVER_TROUBLE_DELAY, 1, Some(5)), 15 * MINUTE);
        assert_eq!(retry_delay(SERVER_TROUBLE_DELAY, 1, Some(u64::MAX)), DAY);
    }

    #[test]
    fn an_expiration_is_days_ahead_never_zero_and_repeated_before_it_lapses() {
        let now = Timestamp(1_795_000_000_123);
        let at = expiration(now);
        assert!(at > now.plus(KEEP).secs() && at <= now.plus(KEEP + HOUR).secs());
        assert_eq!(at % 3_600, 0);
        assert_eq!(expiration(now.plus(1)), at);
        assert_eq!(repush_by(at), Timestamp::from_secs(at - 86_400));
        assert!(repush_by(at) > now.plus(next_push(3)), "the daily push comes first");
        for odd in [0, -1, i64::MIN, i64::MAX] {
            assert!(expiration(Timestamp(odd)) > 0);
        }
    }

    #[test]
    fn the_payload_is_mdm_and_nothing_else() {
        let body = |magic: &str| String::from_utf8(payload(&PushMagic::new(magic).unwrap())).unwrap();
        assert_eq!(body("7A6B"), r#"{"mdm":"7A6B"}"#);
        assert_eq!(body("a\"b\\c\n\u{e9}"), "{\"mdm\":\"a\\\"b\\\\c\\n\u{e9}\"}");
        let back: serde_json::Value = serde_json::from_str(&body("\u{1}/</script>")).unwrap();
        assert_eq!(back, serde_json::json!({ "mdm": "\u{1}/</script>" }));
    }

    #[test]
    fn the_path_is_lower_case_hex_of_any_length() {
        assert_eq!(path(&PushToken::new(vec![0x0a, 0xFF, 0x10]).unwrap()), "/3/device/0aff10");
        assert_eq!(path(&PushToken::new(vec![0xAB; 100]).unwrap()).len(), 10 + 200);
    }
}
