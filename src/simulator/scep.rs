//! How a simulated device gets its identity: GetCACaps, GetCACert, PKCSReq, and patience while the answer is PENDING (RFC 8894).
//!
//! Called by `device`. The messages themselves are made in `pki::scep::client`; here is what Apple's client demands around them.

use std::sync::Arc;
use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::device::{DeviceError, World};
use super::network::{Url, tls_config_at};
use super::profile::ScepPayload;
use super::state::{Behaviour, Blob};
use super::wire::{Answer, Client, Request};
use crate::base::ids::upper_uuid;
use crate::base::random::bytes;
use crate::pki;
use crate::pki::cms::ContentCipher;
use crate::pki::digest::{DigestKind, sha1, sha256};
use crate::pki::keys::PrivateKey;
use crate::pki::scep::ScepError;
use crate::pki::scep::client::{self, Reply};
use crate::pki::x509::{Certificate, KeyUsage};

/// A key and the certificate chain it was given, leaf first.
pub(super) struct Identity {
    pub(super) key_pkcs8: Blob,
    pub(super) chain: Vec<Blob>,
}

/// The whole conversation.
///
/// # Errors
/// [`DeviceError::Scep`] in plain words, or what the network said.
pub(super) fn obtain(
    world: &World,
    anchors: &[Vec<u8>],
    payload: &ScepPayload,
    behaviour: &Behaviour,
) -> Result<Identity, DeviceError> {
    let client = Client::new(Arc::clone(&world.network), tls_config_at(anchors, None, &world.clock)?);
    let mut talk = Talk { client, payload };
    let post = talk.capabilities()? && !behaviour.scep_by_get;
    let ca = talk.ca_certificate()?;
    let key = world.keys.take(payload.key_size).map_err(bad)?;
    let request = Pending::new(world, payload, &key, ca)?;
    let certificate = talk.until_decided(world, &request, post)?;
    if !certificate.key_matches(&key) {
        return Err(bad("the certificate is for another key than the one asked for"));
    }
    let (key_pkcs8, chain) = (Blob(key.to_pkcs8_der().expose().clone()), vec![Blob(certificate.der().to_vec())]);
    Ok(Identity { key_pkcs8, chain })
}

/// A request and what is needed to ask for its outcome again.
struct Pending {
    signer: Certificate,
    signer_key: PrivateKey,
    ca: Certificate,
    transaction_id: String,
    csr: Vec<u8>,
}

impl Pending {
    fn new(world: &World, payload: &ScepPayload, key: &PrivateKey, ca: Certificate) -> Result<Self, DeviceError> {
        let default = [("CN".to_owned(), format!("com.apple.security.scep.{}", upper_uuid(bytes(&*world.random))))];
        let asked: Vec<&(String, String)> = payload.subject.iter().flatten().collect();
        let subject: Vec<(&str, &str)> = if asked.is_empty() { default.iter().collect() } else { asked }
            .into_iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let (signer, signer_key) = world.keys.signer(world.clock.now(), &*world.random).map_err(bad)?;
        // Opaque to the server; Apple's client takes a digest of the key, so that a repeated request is the same transaction.
        let transaction_id = hex::encode_upper(sha1(&key.spki_der()));
        Ok(Self {
            signer,
            signer_key,
            ca,
            transaction_id,
            csr: pki::csr::create(key, &subject, payload.challenge.as_deref()),
        })
    }

    fn first(&self, world: &World) -> Result<Vec<u8>, ScepError> {
        let (cipher, digest) = (ContentCipher::Aes128Cbc, DigestKind::Sha256);
        client::build_request(
            &self.csr,
            &self.signer,
            &self.signer_key,
            &self.ca,
            &self.transaction_id,
            cipher,
            digest,
            &*world.random,
        )
    }

    fn again(&self, world: &World) -> Result<Vec<u8>, DeviceError> {
        let csr = pki::csr::Csr::parse(&self.csr).map_err(|e| bad(e.to_string()))?;
        client::build_poll(
            csr.subject_der(),
            &self.signer,
            &self.signer_key,
            &self.ca,
            &self.transaction_id,
            &*world.random,
        )
        .map_err(|e| bad(e.to_string()))
    }
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
    fn ca_certificate(&mut self) -> Result<Certificate, DeviceError> {
        let answer = self.get("GetCACert", self.payload.name.as_deref())?;
        let kind = answer.find_header("content-type").unwrap_or_default().to_ascii_lowercase();
        if !kind.starts_with("application/x-x509-ca-cert") {
            return Err(bad(format!("GetCACert came as “{kind}”, not as one application/x-x509-ca-cert")));
        }
        self.check_fingerprint(&answer.body)?;
        let ca = Certificate::parse(&answer.body).map_err(|_| bad("GetCACert is not one DER certificate"))?;
        // Without this usage macOS refuses to encrypt to it: -67731, key usage incorrect.
        if !ca.key_usage(KeyUsage::KeyEncipherment) {
            return Err(bad("the CA certificate may not be encrypted to: keyEncipherment is missing"));
        }
        Ok(ca)
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

    /// Asks, and while the answer is PENDING asks again: the first time at once, then after each delay.
    fn until_decided(&mut self, world: &World, request: &Pending, post: bool) -> Result<Certificate, DeviceError> {
        let mut message = request.first(world).map_err(|e| bad(e.to_string()))?;
        for retry in 0..=self.payload.retries {
            if retry > 1 {
                (world.pause)(Duration::from_secs(self.payload.retry_delay_secs));
            }
            let nonce = client::sender_nonce(&message).unwrap_or_default();
            let reply = self.operate(&message, post)?;
            let read = client::read_reply(&reply, &request.ca, &request.signer, &request.signer_key, &nonce);
            match read.map_err(|e| bad(e.to_string()))? {
                Reply::Success(certificate) => return Ok(certificate),
                Reply::Failure(info) => return Err(bad(format!("the server refused the request (failInfo {info})"))),
                Reply::Pending => message = request.again(world)?,
            }
        }
        Err(bad("the request is still pending after all retries"))
    }

    /// Apple's client leaves `+` and `/` as they are in a GET and escapes only `=`.
    fn operate(&mut self, request: &[u8], post: bool) -> Result<Vec<u8>, DeviceError> {
        let url: Url;
        let sent = if post {
            url = self.payload.url.with_query("operation=PKIOperation");
            Request {
                method: "POST",
                url: &url,
                headers: &[("Content-Type", "application/x-pki-message")],
                body: request,
            }
        } else {
            let message = STANDARD.encode(request).replace('=', "%3D");
            url = self.payload.url.with_query(&format!("operation=PKIOperation&message={message}"));
            Request { method: "GET", url: &url, headers: &[], body: b"" }
        };
        Ok(self.send("PKIOperation", &sent)?.body)
    }

    fn send(&mut self, operation: &str, request: &Request<'_>) -> Result<Answer, DeviceError> {
        let answer = self.client.send(request)?;
        if answer.status == 200 {
            Ok(answer)
        } else {
            Err(bad(format!("{operation} was answered with HTTP status {}", answer.status)))
        }
    }
}

fn bad(why: impl Into<String>) -> DeviceError {
    DeviceError::Scep(why.into())
}

fn percent_encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
