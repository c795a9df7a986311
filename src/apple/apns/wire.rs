//! The bytes of one push: request headers as Apple wants them, and what is read out of an answer.
//!
//! Used by `connection`. Deliberately not here: what an answer means (`protocol::push`).

use crate::base::push::Topic;
use crate::protocol::push::path;
use crate::service::ports::{Push, PushResult};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{Method, Request, Version};

const APNS_TOPIC: HeaderName = HeaderName::from_static("apns-topic");
const APNS_PUSH_TYPE: HeaderName = HeaderName::from_static("apns-push-type");
const APNS_PRIORITY: HeaderName = HeaderName::from_static("apns-priority");
const APNS_EXPIRATION: HeaderName = HeaderName::from_static("apns-expiration");
const APNS_ID: HeaderName = HeaderName::from_static("apns-id");

/// An answer's body that is read at all; Apple's are below 100 bytes.
pub(super) const MAX_ANSWER: usize = 4 * 1024;
/// Longest `reason` that is handed on.
const MAX_REASON: usize = 128;

/// What all requests of one connection share.
pub(super) struct Form {
    authority: Authority,
    topic: HeaderValue,
    /// The last expiration: it stays the same for an hour.
    expiration: (i64, HeaderValue),
}

impl Form {
    pub(super) fn new(authority: Authority, topic: &Topic) -> Result<Self, String> {
        let topic = HeaderValue::from_str(topic.as_str()).map_err(|e| e.to_string())?;
        Ok(Self { authority, topic, expiration: (0, HeaderValue::from_static("0")) })
    }

    /// Headers of a push. The library never indexes `:path`; `apns-id` is marked so too, or every push would throw
    /// the shared headers out of the HPACK table. Fails only on an `apns_id` that cannot be a header.
    pub(super) fn request(&mut self, push: &Push) -> Result<Request<()>, http::Error> {
        let path = PathAndQuery::from_maybe_shared(Bytes::from(path(&push.target.token)))?;
        let uri =
            Uri::builder().scheme(Scheme::HTTPS).authority(self.authority.clone()).path_and_query(path).build()?;
        if self.expiration.0 != push.expiration_secs {
            self.expiration = (push.expiration_secs, HeaderValue::from(push.expiration_secs));
        }
        let mut id = HeaderValue::from_str(&push.apns_id)?;
        id.set_sensitive(true);
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(APNS_TOPIC, self.topic.clone());
        headers.insert(APNS_PUSH_TYPE, HeaderValue::from_static("mdm"));
        headers.insert(APNS_PRIORITY, priority(push.priority));
        headers.insert(APNS_EXPIRATION, self.expiration.1.clone());
        headers.insert(APNS_ID, id);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

fn priority(value: u8) -> HeaderValue {
    match value {
        10 => HeaderValue::from_static("10"),
        5 => HeaderValue::from_static("5"),
        other => HeaderValue::from(u16::from(other)),
    }
}

/// The start of an answer, kept while its body comes.
pub(super) struct Head {
    status: u16,
    retry_after_secs: Option<u64>,
}

impl Head {
    pub(super) fn new(status: u16, headers: &HeaderMap) -> Self {
        let retry_after_secs = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.trim().parse().ok());
        Self { status, retry_after_secs }
    }
}

/// Apple's JSON body. Unknown members are ignored.
#[derive(serde::Deserialize)]
struct Body {
    reason: Option<String>,
    timestamp: Option<i64>,
}

/// Head and body as the port's answer. A body that is no such JSON leaves the status to speak alone.
pub(super) fn answer(head: &Head, body: &[u8]) -> PushResult {
    let body = match body {
        [] => None,
        bytes => serde_json::from_slice::<Body>(bytes).ok(),
    };
    let (reason, timestamp_ms) = body.map_or((None, None), |b| (b.reason, b.timestamp));
    let printable = |r: &String| !r.is_empty() && r.len() <= MAX_REASON && r.bytes().all(|b| b.is_ascii_graphic());
    PushResult::Answered {
        status: head.status,
        reason: reason.filter(printable),
        timestamp_ms,
        retry_after_secs: head.retry_after_secs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::push::{PushMagic, PushTarget, PushToken};

    #[test]
    fn a_request_has_apples_headers_and_no_other() {
        let topic = Topic::new("com.apple.mgmt.External.a1").unwrap();
        let mut form = Form::new(Authority::from_static("api.push.apple.com:443"), &topic).unwrap();
        let token = PushToken::new(vec![0xAB, 1]).unwrap();
        let target = PushTarget { topic, token, magic: PushMagic::new("m").unwrap() };
        let id = "00000000-0000-4000-8000-000000000001";
        let mut push = Push { target, expiration_secs: 1_795_000_000, priority: 10, apns_id: id.to_owned() };
        let request = form.request(&push).unwrap();
        assert_eq!(request.method(), "POST");
        assert_eq!(request.uri(), "https://api.push.apple.com:443/3/device/ab01");
        let mut headers: Vec<_> =
            request.headers().iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
        headers.sort();
        assert_eq!(
            headers,
            [
                "apns-expiration: 1795000000",
                "apns-id: 00000000-0000-4000-8000-000000000001",
                "apns-priority: 10",
                "apns-push-type: mdm",
                "apns-topic: com.apple.mgmt.External.a1",
                "content-type: application/json",
            ]
        );
        assert!(request.headers()["apns-id"].is_sensitive());
        push.apns_id = "a\nb".to_owned();
        assert!(form.request(&push).is_err());
    }

    #[test]
    fn answers_are_read_within_bounds() {
        let read = |body: &[u8]| match answer(&Head { status: 410, retry_after_secs: None }, body) {
            PushResult::Answered { reason, timestamp_ms, .. } => (reason, timestamp_ms),
            PushResult::Unreached { .. } => unreachable!(),
        };
        let dead = Some("Unregistered".to_owned());
        assert_eq!(
            read(br#"{"reason":"Unregistered","timestamp":1795000000123}"#),
            (dead.clone(), Some(1_795_000_000_123))
        );
        assert_eq!(read(br#"{"reason":"Unregistered","new":[]}"#), (dead, None));
        let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(129));
        for bad in ["", "{", "[]", "null", r#"{"reason":7}"#, r#"{"reason":"a b"}"#, r#"{"reason":""}"#, &long] {
            assert_eq!(read(bad.as_bytes()), (None, None), "{bad}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_nothing() {
        let read = |text: &'static str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            Head::new(503, &headers).retry_after_secs
        };
        assert_eq!(read("120"), Some(120));
        assert_eq!(read("-1"), None);
        assert_eq!(read("Fri, 31 Dec 1999 23:59:59 GMT"), None);
    }
}
