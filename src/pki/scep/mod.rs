//! SCEP messages (RFC 8894): what a client asks, and the three answers. Called by `http` and `service` on the server's side, and by the
//! simulator on the client's. Policy (challenges, repeated requests, who may renew) is deliberately not here.

pub mod client;
mod server;

pub use server::{Kind, Request};

use super::asn1::{self, Element};
use super::cms::{self, CmsError, Signed};
use super::oids;

/// What GetCACaps answers, one keyword a line. Single DES is understood but never offered; SHA-1 stands for reading it.
pub const CAPABILITIES: &str = "AES\nDES3\nPOSTPKIOperation\nRenewal\nSHA-1\nSHA-256\nSCEPStandard\n";

/// Longest transactionID that is taken; clients send 40 to 64 characters.
const MAX_TRANSACTION_ID: usize = 256;
/// Longest senderNonce that is taken; 16 bytes by the RFC, 8 from Apple.
const MAX_NONCE: usize = 256;

/// failInfo (RFC 8894 §3.2.1.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailInfo {
    BadAlg = 0,
    BadMessageCheck = 1,
    BadRequest = 2,
    BadTime = 3,
    BadCertId = 4,
}

/// messageType values (RFC 8894 §3.2.1.2).
const CERT_REP: u32 = 3;
const RENEWAL_REQ: u32 = 17;
const PKCS_REQ: u32 = 19;
const CERT_POLL: u32 = 20;
const GET_CERT: u32 = 21;

/// Why there is no message to answer (an HTTP error then), or none to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScepError {
    #[error("{0}")]
    Cms(#[from] CmsError),
    /// Signed, but without the attributes that an answer repeats.
    #[error("the message lacks the attributes of SCEP")]
    Attributes,
    /// The answer is not one to this request, or not from this authority.
    #[error("not an answer to this request")]
    NotTheAnswer,
}

/// The text of an attribute: PrintableString by the RFC, so ASCII and repeated without change.
fn text(signed: &Signed, kind: &asn1::Oid) -> Option<String> {
    asn1::text(&signed.attribute(kind)?)
        .filter(|text| text.is_ascii() && !text.is_empty() && text.len() <= MAX_TRANSACTION_ID)
}

fn number(signed: &Signed, kind: &asn1::Oid) -> Option<u32> {
    text(signed, kind)?.parse().ok()
}

fn nonce<'a>(signed: &'a Signed, kind: &asn1::Oid) -> Option<&'a [u8]> {
    let Element { tag, value, .. } = signed.attribute(kind)?;
    (tag == asn1::OCTET_STRING && !value.is_empty() && value.len() <= MAX_NONCE).then_some(value)
}

fn printable(kind: &asn1::Oid, value: &str) -> Vec<u8> {
    cms::attribute(kind, &asn1::element(asn1::PRINTABLE, &[value.as_bytes()]))
}

fn octets(kind: &asn1::Oid, value: &[u8]) -> Vec<u8> {
    cms::attribute(kind, &asn1::octets(value))
}

/// The three attributes that every message has.
fn attributes(message_type: u32, transaction_id: &str, sender_nonce: &[u8]) -> Vec<Vec<u8>> {
    vec![
        printable(&oids::SCEP_MESSAGE_TYPE, &message_type.to_string()),
        printable(&oids::SCEP_TRANSACTION_ID, transaction_id),
        octets(&oids::SCEP_SENDER_NONCE, sender_nonce),
    ]
}
