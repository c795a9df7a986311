//! What a device must be given so that it trusts the listeners: nothing where the served chain ends in a public root, else roots and
//! intermediates. Called by `enrolling` and by the routes that tools ask.
//!
//! Whoever puts a TLS certificate in force settles this with it, in the database, so that a profile that is made while no server
//! runs carries the same. Not here: the certificate itself (`founding`).

use super::{Context, Error, school};
use crate::pki::x509::Certificate;
use crate::protocol::profile::{Anchor, trust_profile};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Setting: what [`settle`] wrote.
const TRUST: &str = "tls_trust";

/// Setting: devices come through a proxy that forwards no certificate.
const SIGN: &str = "devices_sign";

/// Below the address of people.
pub const ANCHORS_PATH: &str = "/anchors.json";
/// Below `public.trust_url`.
pub const PROFILE_PATH: &str = "/trust.mobileconfig";
/// Below the address of people: where Automated Device Enrolment begins.
pub const ADE_PATH: &str = "/enroll/ade";

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

/// What `/MDMServiceConfig` says, in Apple's order: the two `dep_` keys together or not at all, and a trust profile only where there is
/// one to fetch.
pub fn service_config(cx: &Context) -> Result<Vec<(&'static str, String)>, Error> {
    let (urls, trust) = (cx.urls(), current(cx)?);
    let known = trust.publicly_trusted || !trust.anchors.is_empty();
    let mut pairs = Vec::new();
    if known {
        pairs.push(("dep_enrollment_url", format!("{}{ADE_PATH}", urls.people)));
        pairs.push(("dep_anchor_certs_url", format!("{}{ANCHORS_PATH}", urls.people)));
    }
    if !trust.anchors.is_empty() {
        pairs.push(("trust_profile_url", format!("{}{PROFILE_PATH}", urls.trust)));
    }
    Ok(pairs)
}

/// `anchor_certs` of a profile for Automated Device Enrolment: base64 of DER. Empty when publicly trusted; `None` when the root of the
/// served chain is not known, so that nobody takes that for "none needed".
pub fn anchors_base64(cx: &Context) -> Result<Option<Vec<String>>, Error> {
    let trust = current(cx)?;
    let anchors: Vec<String> = trust.anchors.iter().map(|one| STANDARD.encode(one.der())).collect();
    Ok((trust.publicly_trusted || !anchors.is_empty()).then_some(anchors))
}

/// The profile with the roots alone; `None` when none is needed.
pub fn profile(cx: &Context) -> Result<Option<Vec<u8>>, Error> {
    let (trust, organization) = (current(cx)?, school::organization(cx)?);
    let name = |one: &Certificate| one.subject_common_name().unwrap_or_else(|| one.subject());
    let anchors = trust.anchors.iter().map(|one| Anchor {
        name: format!("{organization}: {}", name(one)),
        der: one.der(),
        fingerprint: one.fingerprint(),
    });
    let identifier = school::payload_identifier(cx)?;
    let identifier = format!("{}.trust", identifier.trim_end_matches(".mdm"));
    Ok(trust_profile(&identifier, &organization, &anchors.collect::<Vec<_>>()))
}

/// Whether devices must sign their messages because a proxy takes their certificate away; settled at each start.
pub fn devices_sign(cx: &Context) -> Result<bool, Error> {
    Ok(cx.store.read(|db| db.find_setting(SIGN))?.and_then(|value| value.as_bool()).unwrap_or(false))
}

/// As the listeners are now: `true` puts SignMessage into every profile from now on.
pub fn settle_signing(cx: &Context, sign: bool) -> Result<(), Error> {
    if devices_sign(cx)? != sign {
        cx.store.write(|tx| tx.put_setting(SIGN, &json!(sign)))?;
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
