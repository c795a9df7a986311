//! `/expiry/SECRET.ics`: the calendar of everything that ends, for calendar programs, which cannot log in. The secret in the address is the
//! right to read it.

use super::message::{Request, Response};
use crate::service::{Context, expiry};
use ::http::Method;

const NOT_HERE: &str = "There is no such calendar. An owner makes a new address with cordon expiry --new-feed.\n";

/// The secret in a path of this room.
pub fn secret(path: &str) -> Option<&str> {
    path.strip_prefix("/expiry/")?.strip_suffix(".ics")
}

pub fn handle(cx: &Context, request: &Request) -> Response {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return Response::text(405, "A calendar is only read.\n").with_header("allow", "GET, HEAD");
    }
    match expiry::by_feed(cx, secret(&request.path).unwrap_or_default()) {
        Ok(Some(entries)) => Response::new(200, "text/calendar; charset=utf-8", expiry::calendar(&entries, cx.now()))
            .with_header("cache-control", "no-store"),
        Ok(None) => Response::text(404, NOT_HERE),
        Err(error) => {
            let source = error.source.as_ref().map(ToString::to_string).unwrap_or_default();
            tracing::error!(request = request.id, error = %error, source, "the calendar could not be made");
            Response::text(500, "The calendar could not be made; the log says why.\n")
        }
    }
}
