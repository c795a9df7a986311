//! Why a subcommand failed, in the words that the person gets, with the exit code. Made by every file of this room.
//!
//! Faults of the API arrive as `application/problem+json` (RFC 9457) and keep their id.

use crate::service;
use serde_json::Value;
use std::fmt;
use std::io;
use std::path::Path;

/// Exit code: it was tried and did not work.
pub const FAILED: i32 = 1;
/// Exit code: it was said wrongly, nothing was tried.
pub const USAGE: i32 = 2;

/// A failed subcommand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Stable across languages and releases, such as `no-such-device`.
    pub id: String,
    /// What is wrong and what to do next.
    pub detail: String,
    exit_code: i32,
}

impl Failure {
    pub fn new(id: &str, detail: impl Into<String>) -> Self {
        Self { id: id.to_owned(), detail: detail.into(), exit_code: FAILED }
    }

    /// It was said wrongly.
    pub fn usage(detail: impl Into<String>) -> Self {
        Self { id: String::from("usage"), detail: detail.into(), exit_code: USAGE }
    }

    /// A file that could not be read or written; `doing` like `read`.
    pub fn file(doing: &str, path: &Path, error: &io::Error) -> Self {
        Self::new("file", format!("cannot {doing} {}: {error}", path.display()))
    }

    /// An answer of the API that is no success.
    pub fn from_answer(status: u16, body: &[u8]) -> Self {
        let problem: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |key: &str| problem.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let detail = text("detail").or_else(|| text("title")).map(str::to_owned);
        let detail = detail.unwrap_or_else(|| format!("the server answered with status {status} and no explanation"));
        Self::new(text("id").unwrap_or("server"), detail)
    }

    pub fn exit_code(&self) -> i32 {
        self.exit_code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Failure {}

impl From<service::Error> for Failure {
    fn from(error: service::Error) -> Self {
        // There is no log to look into: whoever typed the command may know everything.
        let detail = match (error.kind, &error.source) {
            (service::Kind::Internal, Some(source)) => source.to_string(),
            _ => error.public.to_string(),
        };
        Self::new(error.public.id(), detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_of_the_api_keep_their_words() {
        let body = br#"{"type":"about:blank","title":"Not found","status":404,"detail":"No device is known as X.","id":"no-such-device"}"#;
        let failure = Failure::from_answer(404, body);
        assert_eq!((failure.id.as_str(), failure.detail.as_str()), ("no-such-device", "No device is known as X."));
        assert_eq!(failure.exit_code(), FAILED);
        let bare = Failure::from_answer(502, b"<html>");
        assert_eq!((bare.id.as_str(), bare.detail.contains("502")), ("server", true));
    }

    #[test]
    fn faults_inside_are_told_in_full() {
        let inside = Failure::from(service::Error::internal("the machine key is missing"));
        assert_eq!((inside.id.as_str(), inside.detail.as_str()), ("internal", "the machine key is missing"));
    }
}
