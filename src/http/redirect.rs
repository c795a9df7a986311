//! The plain HTTP listener (`listen.http`, usually port 80): answers a certificate authority's HTTP-01 check (RFC 8555 §8.3), and sends
//! everybody else to HTTPS. Nothing else is served in clear.

use super::message::{BodyLimit, Handler, Head, Request, Response};
use crate::service::Context;
use ::http::Method;
use std::sync::Arc;

const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// The handler of that listener.
pub struct Plain {
    cx: Arc<Context>,
}

impl Plain {
    pub fn new(cx: Arc<Context>) -> Self {
        Self { cx }
    }
}

impl Handler for Plain {
    fn body_limit(&self, _: &Head<'_>) -> BodyLimit {
        BodyLimit::at_most(0)
    }

    fn handle(&self, request: Request) -> Response {
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return Response::text(405, "Use HTTPS.\n").with_header("allow", "GET, HEAD");
        }
        if let Some(token) = request.path.strip_prefix(CHALLENGES) {
            return match self.cx.acme_answers.find(token) {
                Some(authorization) => Response::new(200, "application/octet-stream", authorization),
                None => Response::text(404, "No check is under way for this.\n"),
            };
        }
        // To the configured address, never to what the Host header says.
        let query = request.query.map(|query| format!("?{query}")).unwrap_or_default();
        let target = format!("{}{}{query}", self.cx.urls().people, request.path);
        Response::text(308, "Use HTTPS.\n").with_header("location", target)
    }
}
