//! What a device must be given so that it trusts the listeners: nothing where the served chain ends in a public root, else roots and
//! intermediates. Called by `enrolling` and by the routes that tools ask.
//!
//! Whoever puts a TLS certificate in force settles this with it, in the database, so that a profile that is made while no server
//! runs carries the same. Not here: the certificate itself (`founding`).

use super::{Context, Error};
use crate::pki::x509::Certificate;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Setting: what [`settle`] wrote.
const TRUST: &str = "tls_trust";

/// What the served TLS chain needs at a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// The chain ends in a root that every device has; then nothing has to be given to it.
    pub publicly_trusted: bool,
    /// Roots; empty when publicly trusted.
    pub anchors: Vec<Certificate>,
    /// Between the roots and the certificates of the listeners; empty when publicly trusted.
    pub intermediates: Vec<Certificate>,
}

impl Trust {
    /// Of certificates that the school's own authority issued; with the root that is about to take over, if there is one.
    pub fn own(cx: &Context) -> Self {
        let authorities = cx.authorities();
        Self {
            publicly_trusted: false,
            anchors: authorities.anchors().cloned().collect(),
            intermediates: vec![authorities.issuing.certificate.clone()],
        }
    }

    /// Of a chain that public roots verify.
    pub fn public() -> Self {
        Self { publicly_trusted: true, anchors: Vec::new(), intermediates: Vec::new() }
    }
}

/// What is in force: as the last certificate was served, and before that as the school's own authority would need it.
pub fn current(cx: &Context) -> Result<Trust, Error> {
    let stored = cx.store.read(|db| db.find_setting(TRUST))?;
    match stored.as_ref().and_then(read) {
        Some(trust) => Ok(trust),
        None => Ok(Trust::own(cx)),
    }
}

/// Puts `trust` in force for every profile from now on; `None` for certificates of the school's own authority, whose roots are
/// asked for anew each time.
pub fn settle(cx: &Context, trust: Option<&Trust>) -> Result<(), Error> {
    let ders = |all: &[Certificate]| -> Vec<String> { all.iter().map(|one| STANDARD.encode(one.der())).collect() };
    let value = trust.map_or(Value::Null, |trust| {
        json!({
            "publicly_trusted": trust.publicly_trusted,
            "anchors": ders(&trust.anchors),
            "intermediates": ders(&trust.intermediates),
        })
    });
    if cx.store.read(|db| db.find_setting(TRUST))?.unwrap_or_default() != value {
        cx.store.write(|tx| tx.put_setting(TRUST, &value))?;
    }
    Ok(())
}

fn read(value: &Value) -> Option<Trust> {
    let certificates = |name: &str| -> Option<Vec<Certificate>> {
        let texts = value.get(name)?.as_array()?.iter().map(Value::as_str);
        texts.map(|text| Certificate::parse(&STANDARD.decode(text?).ok()?).ok()).collect()
    };
    Some(Trust {
        publicly_trusted: value.get("publicly_trusted")?.as_bool()?,
        anchors: certificates("anchors")?,
        intermediates: certificates("intermediates")?,
    })
}
