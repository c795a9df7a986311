//! The SCEP edge (RFC 8894): three operations, GET and POST. Everything a client can do wrong is answered; what it did is in the log.

use super::message::{Remote, Request, Response};
use super::query;
use crate::service::certifying::{self, Answer};
use crate::service::{Context, Kind};
use ::http::Method;
use base64::Engine;

/// The set that Apple's clients are content with; single DES and MD5 are never offered.
const CAPABILITIES: &str = crate::pki::scep::CAPABILITIES;

pub fn handle(cx: &Context, request: &Request) -> Response {
    let operation = query::find(request.query.as_deref(), "operation").unwrap_or_default();
    match (&request.method, operation.as_str()) {
        (&Method::GET, "GetCACaps") => Response::new(200, "text/plain", CAPABILITIES),
        // One certificate, not a list: with a list Apple's clients look for separate RA certificates and give up.
        (&Method::GET, "GetCACert") => {
            let name = query::find(request.query.as_deref(), "message");
            Response::new(200, "application/x-x509-ca-cert", certifying::ca_certificate(cx, name.as_deref()))
        }
        (&Method::POST, "PKIOperation") => operate(cx, request, &request.body.bytes),
        (&Method::GET, "PKIOperation") => match message(request) {
            Some(message) => operate(cx, request, &message),
            None => Response::text(400, "The message is not base64.\n"),
        },
        (&Method::GET | &Method::POST, _) => {
            Response::text(400, "The operation is not one of GetCACaps, GetCACert and PKIOperation.\n")
        }
        _ => {
            let mut response = Response::text(405, "SCEP uses GET and POST.\n");
            response.headers.push(("allow", String::from("GET, POST")));
            response
        }
    }
}

/// `message` of a GET: clients leave `+` and `/` unescaped, so `+` is a plus sign here and never a blank.
fn message(request: &Request) -> Option<Vec<u8>> {
    let text = query::find_bytes(request.query.as_deref(), "message")?;
    let text: Vec<u8> = text.into_iter().filter(|b| !b.is_ascii_whitespace()).collect();
    base64::prelude::BASE64_STANDARD.decode(text).ok()
}

fn operate(cx: &Context, request: &Request, message: &[u8]) -> Response {
    let origin = match request.remote {
        Remote::Tcp(address) => address.ip().to_string(),
        Remote::Local { .. } => String::from("local"),
    };
    match certifying::answer(cx, message, &origin) {
        Ok(Answer::Message(reply)) => Response::new(200, "application/x-pki-message", reply),
        Ok(Answer::Unreadable(_)) => Response::text(400, "The message is not a SCEP message for this CA.\n"),
        Err(e) => {
            let source = e.source.as_ref().map(ToString::to_string).unwrap_or_default();
            tracing::error!(request = request.id, error = %e, source, "a SCEP request could not be served");
            Response::text(if e.kind == Kind::Busy { 503 } else { 500 }, "Try again later.\n")
        }
    }
}
