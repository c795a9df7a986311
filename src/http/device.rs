//! The device edge: who is it, what does it say, do it, answer. A status here is an action on somebody's device, so every answer comes
//! from `protocol::status`; a fault of ours is 5xx, a doubt about the device 400.
//!
//! Identity is a certificate: of the TLS connection, of the `Mdm-Signature` header (a detached CMS signature over the body), or
//! forwarded by a named proxy. Where several are given they must be the same.

use super::message::{Door, Head, Remote, Request, Response};
use super::routes::CHECKIN;
use crate::base::limits::MAX_SIGNATURE;
use crate::pki::cms;
use crate::pki::digest::sha256;
use crate::pki::x509::Certificate;
use crate::protocol::inbound::{self, Inbound, InboundError};
use crate::protocol::report::scan_command_uuid;
use crate::protocol::status::{self, Outcome, RefusalStatus};
use crate::service::identity::Peer;
use crate::service::{Context, Error, Kind, checkin, polling};
use base64::Engine;
use std::net::IpAddr;
use std::sync::Arc;

const SIGNATURE: &str = "mdm-signature";
/// Client-Cert of RFC 9440, and the URL-escaped PEM of nginx's `$ssl_client_escaped_cert`.
const FORWARDED: [&str; 2] = ["client-cert", "x-ssl-client-cert"];

/// Whether the head alone offers something that may identify the sender; decides how much body is read.
pub fn may_be_identified(head: &Head<'_>) -> bool {
    let named = |name: &str| head.headers.contains_key(name);
    head.peer_certificate.is_some()
        || named(SIGNATURE)
        || (head.door == Door::Proxied && FORWARDED.iter().any(|name| named(name)))
}

/// One request of a device.
pub fn handle(cx: &Arc<Context>, request: &Request, trusted: &[IpAddr]) -> Response {
    let outcome = if request.method != ::http::Method::PUT {
        Outcome::refuse(RefusalStatus::MethodNotAllowed, "devices use PUT")
    } else {
        match identify(request, trusted) {
            Ok(peer) => receive(cx, request, &peer),
            Err(why) => {
                tracing::warn!(request = request.id, remote = ?request.remote, why, "client identity refused");
                Outcome::refuse(RefusalStatus::BadRequest, why)
            }
        }
    };
    let answer = status::answer(&outcome);
    let mut response = match answer.content_type {
        Some(content_type) => Response::new(answer.status, content_type, answer.body),
        None => Response::empty(answer.status),
    };
    if answer.status == 405 {
        response.headers.push(("allow", String::from("PUT")));
    }
    response
}

fn receive(cx: &Arc<Context>, request: &Request, peer: &Peer) -> Outcome {
    let body = &request.body;
    if body.oversized {
        let Some(uuid) = scan_command_uuid(&body.bytes) else {
            return Outcome::refuse(RefusalStatus::TooLarge, "the result is too large and names no command");
        };
        return or_fault(request, polling::receive_oversized(cx, peer, &uuid, body.bytes.len()));
    }
    match inbound::parse(&body.bytes) {
        Ok(Inbound::Checkin(message)) => or_fault(request, checkin::receive(cx, peer, &message)),
        Ok(Inbound::Report(report)) => or_fault(request, polling::receive(cx, peer, report, body.bytes.len())),
        Err(InboundError::CheckinTooLarge) => Outcome::refuse(RefusalStatus::TooLarge, "the check-in is too large"),
        Err(e) => {
            // The body itself is never logged: it may hold an unlock token.
            let kind = if request.path == CHECKIN { "check-in" } else { "report" };
            tracing::warn!(request = request.id, origin = peer.origin, bytes = body.bytes.len(), error = %e, kind, "message cannot be read");
            Outcome::refuse(RefusalStatus::BadRequest, "the message cannot be read")
        }
    }
}

/// Our own faults: the device keeps what it has and tries again.
fn or_fault(request: &Request, result: Result<Outcome, Error>) -> Outcome {
    result.unwrap_or_else(|e| {
        let source = e.source.as_ref().map(ToString::to_string).unwrap_or_default();
        tracing::error!(request = request.id, error = %e, source, "a device could not be served");
        match e.kind {
            Kind::Busy => Outcome::refuse(RefusalStatus::Unavailable, "busy"),
            _ => Outcome::refuse(RefusalStatus::Internal, "internal"),
        }
    })
}

/// The certificate that speaks. That it is one of ours, in date and bound is the service's question.
fn identify(request: &Request, trusted: &[IpAddr]) -> Result<Peer, &'static str> {
    let mut found: Vec<[u8; 32]> = Vec::new();
    if let Some(der) = &request.peer_certificate {
        found.push(sha256(der));
    }
    if let Some(der) = forwarded(request, trusted)? {
        found.push(sha256(&der));
    }
    if let Some(signer) = signed(request)? {
        found.push(signer.fingerprint());
    }
    if found.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err("the TLS certificate and the signature name different identities");
    }
    let origin = match request.remote {
        Remote::Tcp(address) => address.ip().to_string(),
        Remote::Local { .. } => String::from("local"),
    };
    Ok(Peer { fingerprint: found.first().copied(), origin })
}

/// The signer of `Mdm-Signature`, if the header is there; it must then be right.
fn signed(request: &Request) -> Result<Option<Certificate>, &'static str> {
    if !request.headers.contains_key(SIGNATURE) {
        return Ok(None);
    }
    let text = request.header(SIGNATURE).ok_or("Mdm-Signature is given twice or is not text")?;
    if text.len() > MAX_SIGNATURE * 4 / 3 + 4 {
        return Err("Mdm-Signature is too long");
    }
    let der = base64::prelude::BASE64_STANDARD.decode(text.trim()).map_err(|_| "Mdm-Signature is not base64")?;
    let signed = cms::verify_detached(&request.body.bytes, &der).map_err(|_| "Mdm-Signature does not fit the body")?;
    Ok(Some(signed.signer))
}

/// The certificate that a named proxy forwards. From anywhere else such a header is a lie and is not looked at.
fn forwarded(request: &Request, trusted: &[IpAddr]) -> Result<Option<Vec<u8>>, &'static str> {
    let Remote::Tcp(address) = request.remote else { return Ok(None) };
    if request.door != Door::Proxied || !trusted.contains(&address.ip().to_canonical()) {
        return Ok(None);
    }
    if request.headers.contains_key(FORWARDED[0]) {
        let value = request.header(FORWARDED[0]).ok_or("Client-Cert is given twice or is not text")?;
        let inner = value
            .trim()
            .strip_prefix(':')
            .and_then(|v| v.strip_suffix(':'))
            .ok_or("Client-Cert is not of the form :base64:")?;
        let der = base64::prelude::BASE64_STANDARD.decode(inner).map_err(|_| "Client-Cert is not base64")?;
        return Ok(Some(der));
    }
    if let Some(value) = request.headers.get(FORWARDED[1]) {
        // nginx sends the header empty when the client showed no certificate.
        if value.is_empty() {
            return Ok(None);
        }
        let value = request.header(FORWARDED[1]).ok_or("X-SSL-Client-Cert is given twice or is not text")?;
        let pem = super::query::percent_decode(value).ok_or("X-SSL-Client-Cert is not URL-escaped")?;
        let pem = String::from_utf8(pem).map_err(|_| "X-SSL-Client-Cert is not text")?;
        let certificate =
            Certificate::parse_pem(&pem).map_err(|_| "X-SSL-Client-Cert is not a certificate in PEM form")?;
        return Ok(Some(certificate.der().to_vec()));
    }
    Ok(None)
}
