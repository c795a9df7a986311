//! New authorities while devices live. A new root goes out in renewed profiles first; only when every enrolled device has proven to hold
//! it do the listeners use it. Issuing authority, profile signer and TLS certificate stand below a root that devices trust already, so they
//! are simply replaced.
//!
//! Called by `jobs` and the API. Not here: sending the profiles (`renewing`), and swapping the listeners' certificate (`serving`).

use super::actor::{Actor, Permission};
use super::trust::{self, Trust};
use super::{Context, Error, auditing, founding, renewing, school, serving};
use crate::base::texts::Text;
use crate::base::time::{DAY, Timestamp};
use crate::pki::keys::PrivateKey;
use crate::pki::templates::{self, Authority};
use crate::pki::x509::Certificate;
use crate::store::{DueRow, Purpose, Standing, Tx};
use serde_json::json;

/// A root is replaced by itself this long before it ends: every device is renewed once a year, and some sleep for another.
const ROOT_MARGIN: i64 = 2 * 365 * DAY;
/// Identities live for a year and cannot outlive who issued them.
const ISSUING_MARGIN: i64 = 500 * DAY;
/// Before the profiles that it signed are replaced for its sake.
const SIGNER_MARGIN: i64 = 180 * DAY;
/// Devices that a refusal names.
const NAMED: usize = 20;
/// Setting: `true` while a replacement that nobody asked for is under way; it is finished by itself.
const BY_ITSELF: &str = "ca.replacing_by_itself";

/// What a profile made today would hold.
pub(super) struct Fresh {
    /// Hex fingerprints of the roots; none where devices need no root of ours.
    roots: Vec<String>,
    pub(super) profile_ends_at: Timestamp,
}

impl Fresh {
    /// Whether a profile with these certificates lacks a root of today.
    pub(super) fn is_missing(&self, certificates: &str) -> bool {
        self.roots.iter().any(|root| !certificates.split(' ').any(|held| held == root))
    }
}

/// How the authorities stand.
#[derive(Debug, Clone)]
pub struct Status {
    /// What is in force, and what is to come.
    pub authorities: Vec<(Purpose, Standing, Certificate)>,
    /// Enrolled devices.
    pub devices: usize,
    /// Those among them that do not hold the root to come, by serial number or id.
    pub missing: Vec<String>,
}

pub(super) fn fresh(cx: &Context) -> Result<Fresh, Error> {
    let (trust, authorities) = (trust::current(cx)?, cx.authorities());
    let roots = trust.anchors.iter().map(|root| hex::encode(root.fingerprint())).collect();
    let all = trust.anchors.iter().chain(&trust.intermediates).chain([&authorities.signer.certificate]);
    let ends = all.map(Certificate::not_after).min();
    Ok(Fresh { roots, profile_ends_at: ends.unwrap_or(Timestamp(i64::MAX)) })
}

/// Enrolled devices, and those that lack a root that is to come.
fn strandable(cx: &Context) -> Result<(usize, Vec<DueRow>), Error> {
    let authorities = cx.authorities();
    // Where the listeners use a certificate from elsewhere, no device asks for a root of ours.
    let own = trust::current(cx)? == Trust::own(cx);
    let roots = authorities.next_roots.iter().filter(|_| own).map(|root| hex::encode(root.fingerprint())).collect();
    let next = Fresh { roots, profile_ends_at: Timestamp(0) };
    let rows = cx.store.read(|db| db.list_enrolled())?;
    let devices = rows.len();
    Ok((devices, rows.into_iter().filter(|row| next.is_missing(&row.certificates)).collect()))
}

fn name(cx: &Context, row: &DueRow) -> Result<String, Error> {
    let device = cx.store.read(|db| db.find_device(row.device))?;
    Ok(device.and_then(|device| device.serial).unwrap_or_else(|| row.device_id.clone()))
}

/// Every authority in force or to come, and who has no trust in what is to come.
///
/// # Errors
/// `Denied`.
pub fn status(cx: &Context, actor: &Actor) -> Result<Status, Error> {
    actor.require(Permission::LookAround)?;
    let mut authorities = Vec::new();
    for (purpose, row) in cx.store.read(|db| db.list_authorities())? {
        if row.standing != Standing::Former {
            authorities.push((purpose, row.standing, Certificate::parse(&row.der).map_err(Error::internal)?));
        }
    }
    let (devices, missing) = strandable(cx)?;
    let missing = missing.iter().map(|row| name(cx, row)).collect::<Result<_, _>>()?;
    Ok(Status { authorities, devices, missing })
}

fn require_clock(cx: &Context) -> Result<(), Error> {
    match cx.clock_is_behind() {
        Some(seen) => Err(Error::conflict(Text::ClockBehind { now: cx.now().to_string(), seen: seen.to_string() })),
        None => Ok(()),
    }
}

/// Begins to replace the root, and with it everything below it: the new one goes out to the devices, and is not used yet.
///
/// # Errors
/// `Conflict` when one is under way, or the clock is behind.
pub fn begin(cx: &Context, actor: &Actor) -> Result<(), Error> {
    actor.require(Permission::Administer)?;
    require_clock(cx)?;
    if !cx.authorities().next_roots.is_empty() {
        return Err(Error::conflict(Text::ReplacementUnderWay));
    }
    let (now, organization) = (cx.now(), school::organization(cx)?);
    let root = templates::new_root(&organization, now, &*cx.random);
    let issuing = templates::new_issuing_ca(&root, &organization, now, &*cx.random);
    let signer = new_signer(cx, &issuing, &organization)?;
    cx.store.write(|tx| {
        for (purpose, authority) in [(Purpose::Root, &root), (Purpose::Issuing, &issuing), (Purpose::Signer, &signer)] {
            founding::put(cx, tx, purpose, authority, Standing::Next, now)?;
        }
        tx.put_setting(BY_ITSELF, &json!(matches!(actor, Actor::Job(_))))?;
        record(tx, actor, "ca.replace", &root.certificate, now)
    })?;
    founding::reload_authorities(cx)?;
    renewing::refresh_queued(cx)
}

/// The new root and what stands below it come into force, for the listeners at once. The former ones stay on record: identities that
/// they issued count until they are renewed.
///
/// # Errors
/// `Conflict` naming the devices that would be stranded; or when nothing is under way.
pub fn finish(cx: &Context, actor: &Actor) -> Result<(), Error> {
    actor.require(Permission::Administer)?;
    require_clock(cx)?;
    let authorities = cx.authorities();
    let root = authorities.next_roots.first().ok_or_else(|| Error::conflict(Text::NoReplacement))?;
    let (_, missing) = strandable(cx)?;
    if !missing.is_empty() {
        let named: Vec<String> = missing.iter().take(NAMED).map(|row| name(cx, row)).collect::<Result<_, _>>()?;
        let more = if missing.len() > NAMED { ", …" } else { "" };
        let devices = format!("{}{more}", named.join(", "));
        return Err(Error::conflict(Text::WouldStrand { count: missing.len(), devices }));
    }
    let now = cx.now();
    cx.store.write(|tx| {
        tx.put_next_authorities_in_force()?;
        tx.put_setting(BY_ITSELF, &json!(false))?;
        record(tx, actor, "ca.replaced", root, now)
    })?;
    founding::reload_authorities(cx)?;
    // The listeners take a certificate of the new authority at once.
    cx.ring_certificates();
    Ok(())
}

/// Gives a replacement up. Devices that hold the new root already keep it until their next renewal; it is never used.
///
/// # Errors
/// `Conflict` when nothing is under way.
pub fn cancel(cx: &Context, actor: &Actor) -> Result<(), Error> {
    actor.require(Permission::Administer)?;
    let authorities = cx.authorities();
    let root = authorities.next_roots.first().ok_or_else(|| Error::conflict(Text::NoReplacement))?;
    let now = cx.now();
    cx.store.write(|tx| {
        tx.drop_next_authorities()?;
        record(tx, actor, "ca.replace-cancelled", root, now)
    })?;
    founding::reload_authorities(cx)
}

/// A new issuing authority below the root in force, and a TLS certificate from it.
///
/// # Errors
/// `Conflict` while a new root is on its way, or the clock is behind.
pub fn replace_issuing(cx: &Context, actor: &Actor) -> Result<(), Error> {
    actor.require(Permission::Administer)?;
    require_clock(cx)?;
    if !cx.authorities().next_roots.is_empty() {
        return Err(Error::conflict(Text::ReplacementUnderWay));
    }
    let root = cx.store.read(|db| db.find_authority(Purpose::Root))?;
    let root = founding::authority(cx, Purpose::Root, &root.ok_or_else(|| Error::internal("there is no root"))?)?;
    let (now, organization) = (cx.now(), school::organization(cx)?);
    let issuing = templates::new_issuing_ca(&root, &organization, now, &*cx.random);
    let signer = new_signer(cx, &issuing, &organization)?;
    cx.store.write(|tx| {
        founding::put(cx, tx, Purpose::Issuing, &issuing, Standing::Current, now)?;
        founding::put(cx, tx, Purpose::Signer, &signer, Standing::Current, now)?;
        record(tx, actor, "ca.replace-issuing", &issuing.certificate, now)
    })?;
    founding::reload_authorities(cx)?;
    // The listeners take a certificate of the new authority at once.
    cx.ring_certificates();
    Ok(())
}

/// A new signer for profiles. Devices take profiles by command whoever signed them.
///
/// # Errors
/// `Conflict` while the clock is behind.
pub fn replace_signer(cx: &Context, actor: &Actor) -> Result<(), Error> {
    actor.require(Permission::Administer)?;
    require_clock(cx)?;
    let signer = new_signer(cx, &cx.authorities().issuing, &school::organization(cx)?)?;
    let now = cx.now();
    cx.store.write(|tx| {
        founding::put(cx, tx, Purpose::Signer, &signer, Standing::Current, now)?;
        record(tx, actor, "ca.replace-signer", &signer.certificate, now)
    })?;
    founding::reload_authorities(cx)
}

fn new_signer(cx: &Context, issuing: &Authority, organization: &str) -> Result<Authority, Error> {
    let key = PrivateKey::generate_rsa(2048).map_err(Error::internal)?;
    let (spki, name) = (key.spki_der(), format!("{organization} profiles"));
    let (now, days) = (cx.now(), founding::SIGNER_DAYS);
    let certificate = templates::issue_profile_signer(issuing, &spki, &name, organization, now, days, &*cx.random);
    Ok(Authority { certificate: certificate.map_err(Error::internal)?, key })
}

fn record(tx: &Tx<'_>, actor: &Actor, verb: &str, new: &Certificate, now: Timestamp) -> Result<(), Error> {
    let detail = json!({ "subject": new.subject(), "not_after": new.not_after().to_string() });
    auditing::record(tx, actor, verb, Some(&hex::encode(new.fingerprint())), Some(detail), now)
}

// ---- TLS

/// A new TLS certificate now, swapped in without a restart.
///
/// # Errors
/// `Conflict` when the certificate is not of our own authority, or the clock is behind.
pub fn renew_tls(cx: &Context, actor: &Actor) -> Result<Certificate, Error> {
    actor.require(Permission::Administer)?;
    require_clock(cx)?;
    let names = own_names(cx)?.ok_or_else(|| Error::conflict(Text::TlsNotOurs))?;
    let identity = founding::issue_tls_identity(cx, &names)?;
    let der = identity.chain_der.first().ok_or_else(|| Error::internal("an empty chain"))?;
    let certificate = Certificate::parse(der).map_err(Error::internal)?;
    cx.store.write(|tx| record(tx, actor, "tls.renew", &certificate, cx.now()))?;
    cx.ring_certificates();
    Ok(certificate)
}

/// The names on the certificate that is served, if it is one of our own authority.
fn own_names(cx: &Context) -> Result<Option<Vec<String>>, Error> {
    let source = serving::find(cx)?.served.get("source").cloned().unwrap_or_default();
    if !source.is_null() && source != "own-ca" {
        return Ok(None);
    }
    let names = cx.store.read(|db| db.find_setting(founding::TLS_NAMES))?;
    Ok(names.and_then(|names| serde_json::from_value(names).ok()))
}

// ---- by itself

/// Replaces what comes to its end: signer and issuing authority at once, a root through its devices. The TLS certificate is `serving`'s.
///
/// # Errors
/// Faults of the store. Nothing happens while the clock is behind.
pub fn keep_fresh(cx: &Context) -> Result<(), Error> {
    if cx.clock_is_behind().is_some() {
        return Ok(());
    }
    let (now, actor, authorities) = (cx.now(), Actor::Job("authorities"), cx.authorities());
    let ends_within = |certificate: &Certificate, margin: i64| certificate.not_after().since(now) < margin;
    if authorities.next_roots.is_empty() {
        if ends_within(&authorities.root, ROOT_MARGIN) {
            begin(cx, &actor)?;
        } else if ends_within(&authorities.issuing.certificate, ISSUING_MARGIN) {
            replace_issuing(cx, &actor)?;
        } else if ends_within(&authorities.signer.certificate, SIGNER_MARGIN) {
            replace_signer(cx, &actor)?;
        }
    } else if cx.store.read(|db| db.find_setting(BY_ITSELF))? == Some(json!(true)) && strandable(cx)?.1.is_empty() {
        finish(cx, &actor)?;
    }
    Ok(())
}
