//! Answers of the API: JSON, and errors as `application/problem+json` (RFC 9457).

use crate::base::texts::Text;
use crate::http::message::{Request, Response};
use crate::service::{Error, Kind};
use serde::Serialize;
use utoipa::ToSchema;

/// An error in plain words, with what to do next in `detail`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// `about:blank`: the `id` below says more than a URL could.
    pub r#type: &'static str,
    pub title: &'static str,
    pub status: u16,
    pub detail: String,
    /// Stable across languages and releases.
    pub id: &'static str,
    /// Names this request in the server's log.
    pub request: String,
}

/// A body that serialises; ours always do.
pub fn json<T: Serialize>(status: u16, body: &T) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => Response::new(status, "application/json", bytes),
        Err(_) => Response::empty(500),
    }
}

/// There is such a path, but not for this method.
pub fn wrong_method(request: &Request, methods: &[&str]) -> Response {
    let allow = methods.join(", ").to_ascii_uppercase();
    let public = Text::WrongMethod { method: request.method.as_str().chars().take(20).collect(), allow: allow.clone() };
    let body = Problem {
        r#type: "about:blank",
        title: "Not for this method",
        status: 405,
        detail: public.to_string(),
        id: public.id(),
        request: format!("{:x}", request.id),
    };
    let mut response = json(405, &body);
    response.headers = vec![("content-type", String::from("application/problem+json")), ("allow", allow)];
    response
}

/// The table from kinds of fault to HTTP. Faults of ours are logged here, once.
pub fn problem(request: &Request, error: Error) -> Response {
    let (status, title) = match error.kind {
        Kind::NotFound => (404, "Not found"),
        Kind::Invalid => (400, "Not valid"),
        Kind::Denied
            if matches!(error.public, Text::LoginNeeded | Text::LoginFailed | Text::TotpNeeded | Text::TotpWrong) =>
        {
            (401, "Login needed")
        }
        Kind::Denied => (403, "Not allowed"),
        Kind::Conflict => (409, "Not possible now"),
        Kind::Busy if matches!(error.public, Text::TooManyTries { .. }) => (429, "Too many tries"),
        Kind::Busy => (503, "Busy"),
        Kind::Internal => (500, "Internal fault"),
    };
    let number = format!("{:x}", request.id);
    let public = match error.public {
        Text::Internal { .. } => Text::Internal { request: number.clone() },
        other => other,
    };
    if status >= 500 {
        let source = error.source.as_ref().map(ToString::to_string).unwrap_or_default();
        tracing::error!(request = number, error = %public, source, "an API request failed");
    }
    let wait = if let Text::TooManyTries { seconds } = public { Some(seconds) } else { None };
    let body =
        Problem { r#type: "about:blank", title, status, detail: public.to_string(), id: public.id(), request: number };
    let mut response = json(status, &body);
    response.headers = vec![("content-type", String::from("application/problem+json"))];
    if let Some(seconds) = wait {
        response.headers.push(("retry-after", seconds.to_string()));
    }
    if status == 401 {
        response.headers.push(("www-authenticate", String::from("Bearer realm=\"cordon\"")));
    }
    response
}
