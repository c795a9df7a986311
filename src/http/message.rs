//! What a listener hands to the rooms behind it and what it gets back: plain, synchronous values.
//!
//! Spoken by `listen`, `control` and every edge. Deliberately not here: sockets, TLS, routing, and what a status means to a device.

use ::http::{HeaderMap, Method};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use zeroize::Zeroize;

/// The listener that a request came through; it decides which routes exist and which identity is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// Browsers, scripts, SCEP: TLS that never asks for a client certificate.
    People,
    /// Enrolled devices: TLS that asks for a client certificate, optionally.
    Devices,
    /// Plain HTTP from a reverse proxy, all routes together.
    Proxied,
    /// The local Unix socket.
    Control,
}

/// Where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remote {
    Tcp(SocketAddr),
    /// A process on this machine. `uid` is what the system says of it.
    Local {
        uid: Option<u32>,
    },
}

/// A body, read to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Body {
    pub bytes: Vec<u8>,
    /// Larger than [`BodyLimit::soft`]; the route asked to see it all the same.
    pub oversized: bool,
}

/// Bodies bring passwords, unlock tokens and profiles: the bytes as they came are not left in memory.
impl Drop for Body {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

/// One request, complete: a truncated or stalled body never becomes one.
#[derive(Debug, Clone)]
pub struct Request {
    /// Unique within this process, for logs.
    pub id: u64,
    pub door: Door,
    pub remote: Remote,
    pub method: Method,
    /// As sent, percent-encoding untouched, without the query.
    pub path: String,
    /// As sent, without the `?`.
    pub query: Option<String>,
    pub headers: HeaderMap,
    /// DER of the TLS client's leaf certificate. The client proved to hold its key and nothing more:
    /// chain, dates, revocation and binding are the reader's to check.
    pub peer_certificate: Option<Vec<u8>>,
    pub body: Body,
}

impl Request {
    /// The value of a header that occurs once and is visible ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        single(&self.headers, name)
    }
}

/// A request whose body has not been read yet.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    pub id: u64,
    pub door: Door,
    pub remote: Remote,
    pub method: &'a Method,
    pub path: &'a str,
    pub query: Option<&'a str>,
    pub headers: &'a HeaderMap,
    pub peer_certificate: Option<&'a [u8]>,
}

impl Head<'_> {
    /// The value of a header that occurs once and is visible ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        single(self.headers, name)
    }

    /// The request that this head and its body make.
    pub fn with_body(&self, body: Body) -> Request {
        Request {
            id: self.id,
            door: self.door,
            remote: self.remote,
            method: self.method.clone(),
            path: self.path.to_owned(),
            query: self.query.map(str::to_owned),
            headers: self.headers.clone(),
            peer_certificate: self.peer_certificate.map(<[u8]>::to_vec),
            body,
        }
    }
}

fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() { None } else { first.to_str().ok() }
}

/// How much body a route takes, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimit {
    /// A body up to here is ordinary.
    pub soft: usize,
    /// A body up to here is read and handed over as [`Body::oversized`]; beyond it the client gets 413.
    pub hard: usize,
}

impl BodyLimit {
    /// Anything larger than `bytes` is refused.
    pub const fn at_most(bytes: usize) -> Self {
        Self { soft: bytes, hard: bytes }
    }

    /// Larger than `soft` is handed over as oversized, larger than `hard` refused.
    pub const fn tolerant(soft: usize, hard: usize) -> Self {
        Self { soft, hard }
    }
}

/// An answer. Header values with line breaks are dropped by the listener, so nothing can be smuggled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// A status with zero bytes of body.
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// A body with its `Content-Type`.
    pub fn new(status: u16, content_type: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("content-type", content_type.into())], body: body.into() }
    }

    /// A line of plain text.
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", text.into())
    }

    /// This answer with one more header; `name` in lower case.
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The value of the first header `name`.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

/// The rooms behind a listener. Called on a worker thread: it may block, and a panic costs only its own request (500).
pub trait Handler: Send + Sync + 'static {
    /// How much body this route takes. Called before the body is read, on a thread that must not wait: no database here.
    fn body_limit(&self, head: &Head<'_>) -> BodyLimit;

    /// Answers. Runs to its end even when the client has gone meanwhile.
    fn handle(&self, request: Request) -> Response;
}

/// The next [`Request::id`] of this process.
pub(super) fn next_request_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::http::HeaderValue;

    #[test]
    fn a_repeated_header_has_no_single_value() {
        let mut headers = HeaderMap::new();
        headers.append("mdm-signature", HeaderValue::from_static("a"));
        assert_eq!(single(&headers, "Mdm-Signature"), Some("a"));
        headers.append("mdm-signature", HeaderValue::from_static("b"));
        assert_eq!(single(&headers, "Mdm-Signature"), None);
        assert_eq!(single(&headers, "absent"), None);
    }

    #[test]
    fn answers_are_short_to_build() {
        let response = Response::text(404, "no").with_header("retry-after", "3");
        assert_eq!(response.header("Retry-After"), Some("3"));
        assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
        assert!(Response::empty(200).body.is_empty());
    }
}
