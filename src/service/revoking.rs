//! Revocation: which identities no longer count, and the list that says so to others (RFC 5280). The register is asked at every request;
//! the list is for those who check certificates elsewhere, such as a Wi-Fi that lets the same identities in.

use super::actor::{Actor, Permission};
use super::{Context, Error, auditing, devices};
use crate::base::texts::Text;
use crate::base::time::{DAY, Timestamp};
use crate::pki::crl::{self, Reason, Revoked};
use crate::pki::digest::sha256;
use crate::pki::templates::Authority;
use crate::pki::x509::Certificate;
use crate::store::{IdentityFilter, IdentityRow, RevocationList};
use serde_json::json;

/// Reasons in the register. All but the last are undone when the device comes back as it is allowed to.
pub const CHECKED_OUT: &str = "checked-out";
pub const REMOVED: &str = "removed";
pub const REPLACED: &str = "replaced";
pub const RENEWAL_FAILED: &str = "renewal-failed";
pub const MANUAL: &str = "manual";

/// A list is made anew at least this often; it says of itself that it is good for a week.
const LIST_AGE: i64 = DAY;
/// Letters of an issuer's fingerprint in the address of its list.
const ISSUER_LETTERS: usize = 16;

/// Identities, those that end last first; of one device, by the beginning of a serial number, or revoked ones only.
///
/// # Errors
/// `Denied`; `NotFound` for the device.
pub fn list(
    cx: &Context,
    actor: &Actor,
    device: Option<&str>,
    filter: IdentityFilter,
) -> Result<Vec<IdentityRow>, Error> {
    actor.require(Permission::LookAround)?;
    let device = device.map(|device| devices::find(cx, actor, device)).transpose()?.map(|row| row.id);
    cx.store.read(|db| Ok(db.list_identities(&IdentityFilter { device, ..filter })?))
}

/// Revokes one identity by hand, for good. `which` is its serial number or fingerprint in hex. The device that has it can do nothing
/// with it from then on, and is not told to un-enrol.
///
/// # Errors
/// `NotFound` when no identity, or more than one, is called that.
pub fn revoke(cx: &Context, actor: &Actor, which: &str) -> Result<IdentityRow, Error> {
    actor.require(Permission::Destroy)?;
    let missing = || Error::not_found(Text::NoSuchCertificate { which: which.chars().take(80).collect() });
    let search: String = which.chars().filter(|c| *c != ':' && *c != ' ').collect();
    if search.len() < 8 || !search.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(missing());
    }
    let filter = IdentityFilter { search: Some(search), limit: 10, ..IdentityFilter::default() };
    let found = cx.store.read(|db| db.list_identities(&filter))?;
    let first = found.first().ok_or_else(missing)?.clone();
    if found.iter().any(|row| row.fingerprint != first.fingerprint) {
        return Err(missing());
    }
    let now = cx.now();
    cx.store.write(|tx| {
        tx.revoke(&first.fingerprint, MANUAL, now)?;
        if let Some(device) = first.device {
            let detail = json!({ "serial": first.serial, "by": actor.name() }).to_string();
            tx.tell(device, None, None, "identity-revoked", Some(&detail), now)?;
        }
        let detail = json!({ "device": first.device_id });
        auditing::record(tx, actor, "certificate.revoke", Some(&first.serial), Some(detail), now)
    })?;
    let search = Some(hex::encode(first.fingerprint));
    let filter = IdentityFilter { search, limit: 1, ..IdentityFilter::default() };
    cx.store.read(|db| db.list_identities(&filter))?.pop().ok_or_else(missing)
}

/// Where the list of an authority is published; stands in every identity that it issues.
pub fn list_url(cx: &Context, issuer: &Certificate) -> String {
    format!("{}/crl/{}", cx.urls().people, issuer_name(issuer))
}

/// Tells the school's issuing authorities apart, in addresses and in SCEP payloads.
pub(super) fn issuer_name(certificate: &Certificate) -> String {
    let mut name = hex::encode(certificate.fingerprint());
    name.truncate(ISSUER_LETTERS);
    name
}

/// The revocation list as DER: of the authority in force, or of the one whose name an older identity carries. Made anew when something
/// was revoked or a day has passed; the last one is given while the clock cannot be trusted.
///
/// # Errors
/// `NotFound` for an authority that is none of ours; `Conflict` when the clock is behind and there is no list yet.
pub fn crl(cx: &Context, issuer: Option<&str>) -> Result<Vec<u8>, Error> {
    let authorities = cx.authorities();
    let mut all = std::iter::once(&authorities.issuing).chain(&authorities.other_issuing);
    let authority = match issuer {
        None => Some(&authorities.issuing),
        Some(name) => all.find(|one| issuer_name(&one.certificate) == name),
    };
    let missing = || Error::not_found(Text::NoSuchCertificate { which: issuer.unwrap_or_default().to_owned() });
    let authority = authority.ok_or_else(missing)?;
    let key = authority.certificate.fingerprint();
    let last = cx.store.read(|db| db.find_revocation_list(&key))?;
    let now = cx.now();
    if let Some(seen) = cx.clock_is_behind() {
        let behind = || Error::conflict(Text::ClockBehind { now: now.to_string(), seen: seen.to_string() });
        return last.map(|list| list.der).ok_or_else(behind);
    }
    let (revoked, contents) = gather(cx, authority, now)?;
    let number = match last {
        Some(last) if last.contents == contents && (0..LIST_AGE).contains(&now.since(last.made_at)) => {
            return Ok(last.der);
        }
        last => last.map_or(1, |last| last.number + 1),
    };
    let der = crl::issue(authority, &revoked, number.unsigned_abs(), now);
    let list = RevocationList { number, der, contents, made_at: now };
    cx.store.write(|tx| {
        // Somebody else may have made one meanwhile; the numbers of published lists only grow.
        match tx.find_revocation_list(&key)? {
            Some(newer) if newer.number >= list.number => Ok(newer.der),
            _ => {
                tx.put_revocation_list(&key, &list)?;
                Ok(list.der)
            }
        }
    })
}

/// What is revoked of this authority's, and a digest of it.
fn gather(cx: &Context, authority: &Authority, now: Timestamp) -> Result<(Vec<Revoked>, [u8; 32]), Error> {
    let (mut revoked, mut contents) = (Vec::new(), Vec::new());
    for (der, at, why) in cx.store.read(|db| db.list_revoked(now))? {
        let certificate = Certificate::parse(&der).map_err(Error::internal)?;
        if certificate.issuer_der() != authority.certificate.subject_der()
            || !certificate.issued_by(&authority.certificate)
        {
            continue;
        }
        let reason = match why.as_str() {
            // It may come back.
            CHECKED_OUT => Reason::CertificateHold,
            REPLACED | RENEWAL_FAILED => Reason::Superseded,
            REMOVED => Reason::CessationOfOperation,
            _ => Reason::PrivilegeWithdrawn,
        };
        contents.extend_from_slice(&certificate.fingerprint());
        contents.push(reason as u8);
        revoked.push(Revoked { serial: certificate.serial().to_vec(), at, reason });
    }
    Ok((revoked, sha256(&contents)))
}
