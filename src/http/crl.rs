//! The revocation list's edge: `/crl` for the authority in force, `/crl/NAME` for the one that an older identity names.

use super::message::{Request, Response};
use crate::service::{Context, Kind, revoking};
use ::http::Method;

/// Whoever fetches it may keep it for so long, in seconds.
const MAX_AGE: &str = "max-age=3600";

pub fn handle(cx: &Context, request: &Request) -> Response {
    if request.method != Method::GET {
        let mut response = Response::text(405, "The list is fetched by GET.\n");
        response.headers.push(("allow", String::from("GET")));
        return response;
    }
    let issuer = request.path.strip_prefix("/crl/");
    match revoking::crl(cx, issuer) {
        Ok(der) => {
            let mut response = Response::new(200, "application/pkix-crl", der);
            response.headers.push(("cache-control", String::from(MAX_AGE)));
            response
        }
        Err(e) if e.kind == Kind::NotFound => Response::text(404, "There is no such list.\n"),
        Err(e) => {
            let source = e.source.as_ref().map(ToString::to_string).unwrap_or_default();
            tracing::error!(request = request.id, error = %e, source, "the revocation list could not be made");
            Response::text(503, "Try again later.\n")
        }
    }
}
