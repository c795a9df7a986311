//! What Apple would say to a request, judged by the request and the certificate alone. Pure.
//!
//! Used by the stand-in before it looks a token up. Where Apple is lenient but our own rules are not (a missing expiration,
//! a body with more than `mdm`), the stand-in is strict, so that no test passes by luck.

use crate::base::time::{DAY, Timestamp};
use http::request::Parts;
use http::{HeaderMap, Method};

/// Apple stores a push for 30 days at most.
const MAX_KEEP: i64 = 30 * DAY;
/// Headers that Apple documents.
const KNOWN: &[&str] =
    &["apns-topic", "apns-push-type", "apns-priority", "apns-expiration", "apns-id", "apns-collapse-id"];

/// A push that is right in itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub token: Vec<u8>,
    pub topic: String,
    pub magic: String,
    pub apns_id: String,
    pub expiration_secs: i64,
    pub priority: u8,
}

/// Status and reason as Apple would answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: u16,
    pub reason: String,
}

fn refuse<T>(status: u16, reason: &str) -> Result<T, Refusal> {
    Err(Refusal { status, reason: reason.to_owned() })
}

/// Judges a request that came over a connection whose client certificate is for `certificate_topic`.
pub(super) fn judge(head: &Parts, body: &[u8], certificate_topic: &str, now: Timestamp) -> Result<Request, Refusal> {
    if head.method != Method::POST {
        return refuse(405, "MethodNotAllowed");
    }
    let Some(hex_token) = head.uri.path().strip_prefix("/3/device/") else { return refuse(404, "BadPath") };
    if head.uri.query().is_some() || head.uri.scheme_str() != Some("https") || head.uri.authority().is_none() {
        return refuse(404, "BadPath");
    }
    if hex_token.is_empty() {
        return refuse(400, "MissingDeviceToken");
    }
    let lower = hex_token.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let token = match hex::decode(hex_token) {
        Ok(token) if lower => token,
        _ => return refuse(400, "BadDeviceToken"),
    };
    let headers = Headers::new(&head.headers)?;
    let topic = headers.topic(certificate_topic)?;
    if headers.find("apns-push-type") != Some("mdm") {
        return refuse(400, "InvalidPushType");
    }
    let priority = headers.priority()?;
    let expiration_secs = headers.expiration(now)?;
    let apns_id = headers.id()?;
    if headers.find("apns-collapse-id").is_some_and(|id| id.is_empty() || id.len() > 64) {
        return refuse(400, "BadCollapseId");
    }
    Ok(Request { token, topic, magic: magic(body)?, apns_id, expiration_secs, priority })
}

/// The headers once it is sure that each is there once, is text, and belongs there.
struct Headers<'a>(&'a HeaderMap);

impl<'a> Headers<'a> {
    fn new(map: &'a HeaderMap) -> Result<Self, Refusal> {
        for name in map.keys() {
            if map.get_all(name).iter().count() > 1 {
                return refuse(400, "DuplicateHeaders");
            }
            if name == "authorization" {
                // A provider token; MDM never has one.
                return refuse(403, "InvalidProviderToken");
            }
            if name.as_str().starts_with("apns-") && !KNOWN.contains(&name.as_str()) {
                return refuse(400, "InvalidPushType");
            }
            if name == "content-encoding" || (name == "content-type" && map[name] != "application/json") {
                return refuse(400, "PayloadEmpty");
            }
        }
        Ok(Self(map))
    }

    fn find(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|value| value.to_str().unwrap_or(""))
    }

    fn topic(&self, certificate_topic: &str) -> Result<String, Refusal> {
        match self.find("apns-topic") {
            None => refuse(400, "MissingTopic"),
            Some(topic) if topic != certificate_topic => refuse(400, "BadTopic"),
            Some(topic) => Ok(topic.to_owned()),
        }
    }

    fn priority(&self) -> Result<u8, Refusal> {
        match self.find("apns-priority") {
            Some("10") => Ok(10),
            Some("5") => Ok(5),
            Some("1") => Ok(1),
            _ => refuse(400, "BadPriority"),
        }
    }

    fn expiration(&self, now: Timestamp) -> Result<i64, Refusal> {
        let text = self.find("apns-expiration").filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
        match text.and_then(|t| t.parse().ok()) {
            Some(secs) if secs > now.secs() && secs <= now.plus(MAX_KEEP).secs() => Ok(secs),
            _ => refuse(400, "BadExpirationDate"),
        }
    }

    fn id(&self) -> Result<String, Refusal> {
        let canonical =
            |text: &&str| uuid::Uuid::parse_str(text).is_ok_and(|id| id.as_hyphenated().to_string() == *text);
        match self.find("apns-id").filter(canonical) {
            Some(id) => Ok(id.to_owned()),
            None => refuse(400, "BadMessageId"),
        }
    }
}

/// The magic of a body that is `{"mdm":"…"}` and nothing else. Apple has no reason for a wrong one, so it is `PayloadEmpty`.
fn magic(body: &[u8]) -> Result<String, Refusal> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Payload {
        mdm: String,
    }
    if body.len() > crate::protocol::push::MAX_PAYLOAD {
        return refuse(413, "PayloadTooLarge");
    }
    match serde_json::from_slice::<Payload>(body) {
        Ok(payload) if !payload.mdm.is_empty() && body.starts_with(b"{\"mdm\":\"") => Ok(payload.mdm),
        _ => refuse(400, "PayloadEmpty"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = "com.apple.mgmt.External.a1";
    const NOW: Timestamp = Timestamp(1_795_000_000_000);
    const GOOD: &[(&str, &str)] = &[
        ("apns-topic", TOPIC),
        ("apns-push-type", "mdm"),
        ("apns-priority", "10"),
        ("apns-expiration", "1795400000"),
        ("apns-id", "00000000-0000-4000-8000-00000000abcd"),
    ];

    fn judged(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Request, String> {
        let mut request = http::Request::builder().method(method).uri(format!("https://127.0.0.1:1{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        judge(&head, body, TOPIC, NOW).map_err(|r| format!("{} {}", r.status, r.reason))
    }

    /// The good headers with one replaced, removed (`None`) or added.
    fn with(name: &str, value: Option<&str>) -> Result<Request, String> {
        let mut headers: Vec<_> = GOOD.iter().copied().filter(|(n, _)| *n != name).collect();
        headers.extend(value.map(|v| (name, v)));
        judged("POST", "/3/device/ab01", &headers, br#"{"mdm":"m"}"#)
    }

    #[test]
    fn a_good_push_passes() {
        let request = judged("POST", "/3/device/ab01", GOOD, br#"{"mdm":"a\"b"}"#).unwrap();
        assert_eq!((request.token, request.magic.as_str()), (vec![0xab, 1], "a\"b"));
        assert_eq!((request.priority, request.expiration_secs), (10, 1_795_400_000));
    }

    #[test]
    fn each_wrong_header_has_its_reason() {
        let long = "x".repeat(65);
        let rows = [
            ("apns-topic", None, "400 MissingTopic"),
            ("apns-topic", Some("com.apple.mgmt.External.b2"), "400 BadTopic"),
            ("apns-push-type", None, "400 InvalidPushType"),
            ("apns-push-type", Some("alert"), "400 InvalidPushType"),
            ("apns-priority", None, "400 BadPriority"),
            ("apns-priority", Some("7"), "400 BadPriority"),
            ("apns-expiration", None, "400 BadExpirationDate"),
            ("apns-expiration", Some("0"), "400 BadExpirationDate"),
            ("apns-expiration", Some("1795000000"), "400 BadExpirationDate"),
            ("apns-expiration", Some("1795400000000"), "400 BadExpirationDate"),
            ("apns-expiration", Some("+1795400000"), "400 BadExpirationDate"),
            ("apns-id", None, "400 BadMessageId"),
            ("apns-id", Some("00000000-0000-4000-8000-00000000ABCD"), "400 BadMessageId"),
            ("apns-id", Some("0000000000004000800000000000abcd"), "400 BadMessageId"),
            ("apns-collapse-id", Some(&long), "400 BadCollapseId"),
            ("apns-new", Some("1"), "400 InvalidPushType"),
            ("authorization", Some("bearer x"), "403 InvalidProviderToken"),
            ("content-encoding", Some("gzip"), "400 PayloadEmpty"),
        ];
        for (name, value, expected) in rows {
            assert_eq!(with(name, value), Err(expected.to_owned()), "{name}: {value:?}");
        }
        assert!(with("apns-collapse-id", Some("x")).is_ok());
        assert!(with("content-type", Some("application/json")).is_ok());
        let twice: Vec<_> = GOOD.iter().chain(&[("apns-priority", "10")]).copied().collect();
        assert_eq!(judged("POST", "/3/device/ab", &twice, b""), Err("400 DuplicateHeaders".to_owned()));
    }

    #[test]
    fn method_path_and_body_are_checked() {
        let body = br#"{"mdm":"m"}"#.as_slice();
        let large = format!(r#"{{"mdm":"{}"}}"#, "x".repeat(4096));
        let rows = [
            ("GET", "/3/device/ab", body, "405 MethodNotAllowed"),
            ("POST", "/4/device/ab", body, "404 BadPath"),
            ("POST", "/3/device/ab?x", body, "404 BadPath"),
            ("POST", "/3/device/", body, "400 MissingDeviceToken"),
            ("POST", "/3/device/AB", body, "400 BadDeviceToken"),
            ("POST", "/3/device/abc", body, "400 BadDeviceToken"),
            ("POST", "/3/device/ab", b"", "400 PayloadEmpty"),
            ("POST", "/3/device/ab", br#"{"mdm":""}"#, "400 PayloadEmpty"),
            ("POST", "/3/device/ab", br#"{"mdm":"m","aps":{}}"#, "400 PayloadEmpty"),
            ("POST", "/3/device/ab", br#"{"aps":{},"mdm":"m"}"#, "400 PayloadEmpty"),
            ("POST", "/3/device/ab", large.as_bytes(), "413 PayloadTooLarge"),
        ];
        for (method, path, body, expected) in rows {
            assert_eq!(judged(method, path, GOOD, body), Err(expected.to_owned()), "{method} {path}");
        }
    }
}
