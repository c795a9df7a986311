//! How a simulated device gets its identity: GetCACaps, GetCACert, PKCSReq, and patience while the answer is PENDING (RFC 8894).
//!
//! Called by `device`. The messages themselves are made in `pki::scep::client`; here is what Apple's client demands around them.

use std::sync::Arc;
use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::device::{DeviceError, World};
use super::network::{Url, tls_config};
use super::profile::{Enrolling, ScepPayload};
use super::state::{Behaviour, Blob};
use super::wire::{Answer, Client, Request};
use crate::pki;
use crate::pki::digest::{sha1, sha256};

/// A key and the certificate chain it was given, leaf first.
pub(super) struct Identity {
    pub(super) key_pkcs8: Blob,
    pub(super) chain: Vec<Blob>,
}

/// The whole conversation.
///
/// # Errors
/// [`DeviceError::Scep`] in plain words, or what the network said.
pub(super) fn obtain(world: &World, anchors: &[Vec<u8>], enrolling: &Enrolling, behaviour: &Behaviour) -> Result<Identity, DeviceError> {
    let payload = &enrolling.scep;
    let client = Client::new(Arc::clone(&world.network), tls_config(anchors, None)?);
    let mut talk = Talk { client, payload };
    let post = talk.capabilities()? && !behaviour.scep_by_get;
    let ca = talk.ca_certificate()?;
    PENDING
}

struct Talk<'a> {
    client: Client,
    payload: &'a ScepPayload,
}

impl Talk<'_> {
    /// Whether POST is offered. Refuses a server without a modern digest, as iOS does since version 10.
    fn capabilities(&mut self) -> Result<bool, DeviceError> {
        let answer = self.get("GetCACaps", None)?;
        let text = String::from_utf8_lossy(&answer.body).to_ascii_lowercase();
        let has = |word: &str| text.lines().any(|line| line.trim() == word);
        if !(has("sha-1") || has("sha-256") || has("sha-512")) {
            return Err(bad("the server offers none of SHA-1, SHA-256, SHA-512"));
        }
        Ok(has("postpkioperation") || has("scepstandard"))
    }

    /// The one certificate to encrypt to. A bundle makes Apple's client look for separate RA certificates and stumble, so it is refused.
    fn ca_certificate(&mut self) -> Result<pki::x509::Certificate, DeviceError> {
        let answer = self.get("GetCACert", self.payload.name.clone().as_deref())?;
        let kind = answer.find_header("content-type").unwrap_or_default().to_ascii_lowercase();
        if !kind.starts_with("application/x-x509-ca-cert") {
            return Err(bad(format!("GetCACert came as “{kind}”, not as one application/x-x509-ca-cert")));
        }
        self.check_fingerprint(&answer.body)?;
        pki::x509::Certificate::parse(&answer.body).map_err(|e| bad(format!("GetCACert: {e}")))
    }

    /// The kind of digest follows from its length; MD5 is too weak to be believed.
    fn check_fingerprint(&self, ca: &[u8]) -> Result<(), DeviceError> {
        let Some(wanted) = &self.payload.fingerprint else { return Ok(()) };
        let same = match wanted.len() {
            20 => sha1(ca).as_slice() == wanted,
            32 => sha256(ca).as_slice() == wanted,
            n => return Err(bad(format!("a CAFingerprint of {n} bytes is neither SHA-1 nor SHA-256"))),
        };
        if same { Ok(()) } else { Err(bad("the CA certificate is not the one that CAFingerprint names")) }
    }

    fn get(&mut self, operation: &str, message: Option<&str>) -> Result<Answer, DeviceError> {
        let mut query = format!("operation={operation}");
        if let Some(message) = message {
            query.push_str("&message=");
            query.push_str(&percent_encoded(message));
        }
        let url = self.payload.url.with_query(&query);
        self.send(operation, &Request { method: "GET", url: &url, headers: &[], body: b"" })
    }

    /// Apple's client leaves `+` and `/` as they are in a GET and escapes only `=`.
    fn operate(&mut self, request: &[u8], post: bool) -> Result<Vec<u8>, DeviceError> {
        let url: Url;
        let sent = if post {
            url = self.payload.url.with_query("operation=PKIOperation");
            Request { method: "POST", url: &url, headers: &[("Content-Type", "application/x-pki-message")], body: request }
        } else {
            let message = STANDARD.encode(request).replace('=', "%3D");
            url = self.payload.url.with_query(&format!("operation=PKIOperation&message={message}"));
            Request { method: "GET", url: &url, headers: &[], body: b"" }
        };
        Ok(self.send("PKIOperation", &sent)?.body)
    }

    fn send(&mut self, operation: &str, request: &Request<'_>) -> Result<Answer, DeviceError> {
        let answer = self.client.send(request)?;
        if answer.status == 200 { Ok(answer) } else { Err(bad(format!("{operation} was answered with HTTP status {}", answer.status))) }
    }
}

fn bad(why: impl Into<String>) -> DeviceError {
    DeviceError::Scep(why.into())
}

fn percent_encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
