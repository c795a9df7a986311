//! What proves that a copy is a school that devices would know again: every key opens and fits, the authority still signs, and an
//! identity that a device holds verifies under it. Called by the two verbs above it.

use super::super::founding;
use super::super::{Context, Error, auditing, push_certificates, recovery, school};
use crate::base::texts::Text;
use crate::base::time::Timestamp;
use crate::pki::keys::PrivateKey;
use crate::pki::templates;
use crate::pki::x509::Certificate;
use crate::service::actor::Actor;
use crate::store::{Counts, IdentityFilter, Purpose};
use serde_json::Value;

/// Identities that are held against the authorities: the ones that end last.
const TRIED: usize = 200;

/// What was found to be in order.
#[derive(Debug, Clone)]
pub struct Proof {
    pub schema_version: i64,
    pub organization: Option<String>,
    pub hostname: Option<String>,
    /// Up to when the copy knows what happened.
    pub as_of: Option<Timestamp>,
    /// The school's own keys that open and fit their certificates.
    pub authority_keys: usize,
    pub push_keys: usize,
    pub push_topics: Vec<String>,
    /// Identities of devices that verify under the school's authorities.
    pub identities: usize,
    pub counts: Counts,
    /// Commands that were not answered when the copy was made.
    pub waiting: usize,
    /// Whether a recovery code exists for this file.
    pub recovery_code_made_at: Option<Timestamp>,
    /// What the server was told at its last start: key to text, or to a list of texts.
    pub configuration: Value,
}

fn told(why: String) -> Error {
    Error::invalid(Text::NotRestorable { path: String::from("the copy"), why })
}

/// Opens every key and holds it against its certificate; an audit chain that is broken is no restorable school either.
pub(super) fn examine(cx: &Context) -> Result<Proof, Error> {
    let authority_keys = examine_authorities(cx)?;
    let push_topics = examine_pushes(cx)?;
    let identities = examine_identities(cx)?;
    let verdict = auditing::verify(cx, &Actor::Job("restore"))?;
    if let Some(seq) = verdict.broken_at {
        return Err(told(format!("its audit was edited: row {seq} does not fit the one before it")));
    }
    if let Some(seq) = verdict.cut_before {
        return Err(told(format!("its audit was cut off: row {seq} is missing")));
    }
    let school = school::find(cx)?;
    let (waiting, as_of, counts) = cx.store.read(|db| {
        let as_of = db.find_setting(founding::HIGHEST_TIME)?.and_then(|at| at.as_i64()).map(Timestamp);
        Ok::<_, Error>((db.list_everything_unfinished()?.len(), as_of, db.count_everything()?))
    })?;
    Ok(Proof {
        schema_version: cx.store.schema_version()?,
        organization: school.organization,
        hostname: school.hostname,
        as_of,
        authority_keys,
        push_keys: push_topics.len(),
        push_topics,
        identities,
        counts,
        waiting,
        recovery_code_made_at: recovery::find_made_at(cx)?,
        configuration: school::find_configuration(cx)?,
    })
}

fn examine_authorities(cx: &Context) -> Result<usize, Error> {
    let authorities = cx.store.read(|db| db.list_authorities())?;
    for (purpose, row) in &authorities {
        let certificate = Certificate::parse(&row.der).map_err(Error::internal)?;
        let place = founding::key_place(*purpose, &certificate.fingerprint());
        let key = cx
            .open(&place, &row.sealed_key)
            .map_err(|_| told(format!("the {} key does not open", purpose.as_str())))?;
        if !PrivateKey::from_pkcs8_der(key.expose()).is_ok_and(|key| certificate.key_matches(&key)) {
            return Err(told(format!("the {} key does not belong to its certificate", purpose.as_str())));
        }
    }
    // And it signs: a certificate for nobody, which is not kept.
    let in_force = cx.authorities();
    let key = PrivateKey::generate_ec_p256().map_err(Error::internal)?;
    let trial = templates::issue_device_identity(
        &in_force.issuing,
        &key.spki_der(),
        "proof",
        "proof",
        cx.now(),
        1,
        &*cx.random,
    );
    let signs = trial.is_ok_and(|leaf| leaf.issued_by(&in_force.issuing.certificate));
    if !signs || !in_force.issuing.certificate.issued_by(&in_force.root) {
        return Err(told(String::from("its certificate authority does not sign")));
    }
    Ok(authorities.len())
}

fn examine_pushes(cx: &Context) -> Result<Vec<String>, Error> {
    let pushes = cx.store.read(|db| db.list_push_certificates())?;
    for row in &pushes {
        if !push_certificates::key_fits(cx, row)? {
            return Err(told(format!("the key of the push certificate {} does not open or fit", row.topic)));
        }
        let named = Certificate::parse_pem(&row.chain_pem).map_err(Error::internal)?.subject_uid();
        if named.as_deref() != Some(row.topic.as_str()) {
            return Err(told(format!("the push certificate kept for {} names another topic", row.topic)));
        }
    }
    Ok(pushes.into_iter().map(|row| row.topic).collect())
}

/// Identities of devices that stand under an authority of the school, replaced ones included.
fn examine_identities(cx: &Context) -> Result<usize, Error> {
    let mut issuers = Vec::new();
    for (purpose, row) in cx.store.read(|db| db.list_authorities())? {
        if purpose == Purpose::Issuing {
            issuers.push(Certificate::parse(&row.der).map_err(Error::internal)?);
        }
    }
    let filter = IdentityFilter { revoked: Some(false), limit: TRIED, ..IdentityFilter::default() };
    let mut good = 0;
    for identity in cx.store.read(|db| db.list_identities(&filter))? {
        let Some(row) = cx.store.read(|db| db.find_certificate(&identity.fingerprint))? else { continue };
        let certificate = Certificate::parse(&row.der).map_err(Error::internal)?;
        if !issuers.iter().any(|issuer| certificate.issued_by(issuer)) {
            let serial = identity.serial;
            return Err(told(format!(
                "the identity {serial} of a device does not verify under the school's authority"
            )));
        }
        good += 1;
    }
    Ok(good)
}
