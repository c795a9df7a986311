//! One device's connection to its server for one session: its identity in TLS and, where the profile says so, a signature in each head.
//!
//! Called by `device` and `session`.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::device::{DeviceError, Managed, World};
use super::network::{Url, WireError};
use super::state::{Behaviour, Held, SignatureShape};
use super::wire::{Answer, Client, Delivery, Request};
use crate::pki;
use crate::pki::cms::{DetachedForm, sign_detached};

/// Header with a detached CMS signature over the body.
const SIGNATURE: &str = "Mdm-Signature";

pub(super) struct Link {
    client: Client,
    signer: Option<Signer>,
}

struct Signer {
    key: pki::keys::PrivateKey,
    certificate: pki::x509::Certificate,
    shape: SignatureShape,
}

impl Link {
    pub(super) fn open(world: &World, managed: &Managed, held: &Held, behaviour: &Behaviour) -> Result<Self, DeviceError> {
        let broken = |what: &str| DeviceError::Saved(format!("the identity's {what} cannot be read"));
        let signer = if managed.enrolling.mdm.sign_message {
            let leaf = held.chain.first().ok_or_else(|| broken("certificate"))?;
            Some(Signer {
                key: pki::keys::PrivateKey::from_pkcs8_der(&held.key_pkcs8.0).map_err(|_| broken("key"))?,
                certificate: pki::x509::Certificate::parse(&leaf.0).map_err(|_| broken("certificate"))?,
                shape: behaviour.signature,
            })
        } else {
            None
        };
        Ok(Self { client: Client::new(Arc::clone(&world.network), Arc::clone(&managed.tls)), signer })
    }

    /// PUTs a body and reads the answer.
    pub(super) fn put(&mut self, url: &Url, content_type: &str, body: &[u8]) -> Result<Answer, WireError> {
        let signature = self.signature(body)?;
        self.client.send(&Request { method: "PUT", url, headers: &headers(content_type, &signature), body })
    }

    /// PUTs a body and is gone, as told.
    pub(super) fn put_and_leave(&mut self, url: &Url, content_type: &str, body: &[u8], delivery: Delivery) -> Result<(), WireError> {
        let signature = self.signature(body)?;
        self.client.send_and_leave(&Request { method: "PUT", url, headers: &headers(content_type, &signature), body }, delivery)
    }

    fn signature(&self, body: &[u8]) -> Result<Option<String>, WireError> {
        let Some(signer) = &self.signer else { return Ok(None) };
        let form = match signer.shape {
            SignatureShape::Bare => DetachedForm::Bare,
            SignatureShape::WithAttributes => DetachedForm::WithAttributes,
        };
        let signed = sign_detached(body, &signer.certificate, &signer.key, form, signer.key.preferred_digest());
        signed.map(|der| Some(STANDARD.encode(der))).map_err(|e| WireError::Signature(e.to_string()))
    }
}

fn headers<'a>(content_type: &'a str, signature: &'a Option<String>) -> Vec<(&'a str, &'a str)> {
    let mut headers = vec![("User-Agent", "MDM/1.0"), ("Content-Type", content_type)];
    headers.extend(signature.iter().map(|s| (SIGNATURE, s.as_str())));
    headers
}
