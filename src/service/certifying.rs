//! The mini CA at work: SCEP (RFC 8894). A one-time challenge is bound to what it was issued for and consumed in the same
//! transaction that records the certificate; the same transaction asked again gets the same certificate.

use super::founding::certificate_row;
use super::identity::{self, Peer};
use super::{Context, Error, revoking, school};
use crate::base::time::{HOUR, Timestamp};
use crate::pki::csr::Csr;
use crate::pki::digest::sha256;
use crate::pki::scep::{FailInfo, Kind, Request};
use crate::pki::templates::{self, Authority};
use crate::pki::x509::Certificate;
use crate::store::{BindingState, ChallengeRow, Consumption, Db, Purpose};

/// Life of a device identity. Renewal comes at a third of it left, so that a summer holiday is survived.
pub const IDENTITY_DAYS: i64 = 365;
/// How long an answered transaction may be asked again: a lost answer is retried within seconds, a patient admin within hours.
const RETRY_WINDOW: i64 = 24 * HOUR;

/// What becomes of a PKIOperation.
#[derive(Debug)]
pub enum Answer {
    /// A CertRep, whatever it says.
    Message(Vec<u8>),
    /// Not even a transaction could be read out of it: no CertRep is possible.
    Unreadable(String),
}

/// The one certificate that GetCACert returns, as DER: the issuing CA's that `name` stands for, as the SCEP payload gave it; for any
/// other name that of the one in force. So a profile that was handed out before the authority was replaced finds the certificate whose
/// `CAFingerprint` it carries.
pub fn ca_certificate(cx: &Context, name: Option<&str>) -> Vec<u8> {
    let authorities = cx.authorities();
    let wanted = |one: &&Authority| name == Some(name_of(&one.certificate).as_str());
    let found = authorities.other_issuing.iter().find(wanted).unwrap_or(&authorities.issuing);
    found.certificate.der().to_vec()
}

/// `Name` of the SCEP payload: which of the school's issuing authorities is meant.
pub fn ca_name(cx: &Context) -> String {
    name_of(&cx.authorities().issuing.certificate)
}

fn name_of(certificate: &Certificate) -> String {
    format!("cordon-{}", revoking::issuer_name(certificate))
}

/// SHA-256 of it, for the SCEP payload's `CAFingerprint`.
pub fn ca_fingerprint(cx: &Context) -> [u8; 32] {
    cx.authorities().issuing.certificate.fingerprint()
}

/// Answers one PKIOperation. What the client gets for a refusal says little; the log says why.
///
/// # Errors
/// Only for faults of ours; everything the client did wrong is an [`Answer`].
pub fn answer(cx: &Context, message: &[u8], origin: &str) -> Result<Answer, Error> {
    let authorities = cx.authorities();
    // A device that fetched the certificate before the authority was replaced encrypted to that one, and gets its answer from it.
    let former = authorities.other_issuing.iter().find(|other| Request::is_to(message, &other.certificate));
    let issuing = former.unwrap_or(&authorities.issuing);
    let request = match Request::parse(message, &issuing.certificate, &issuing.key) {
        Ok(request) => request,
        Err(e) => {
            tracing::warn!(origin, error = %e, "SCEP message cannot be read");
            return Ok(Answer::Unreadable(e.to_string()));
        }
    };
    let decided = match &request.kind {
        Kind::PkcsReq(csr) => enroll(cx, issuing, &request, csr)?,
        Kind::RenewalReq(csr) => renew(cx, issuing, &request, csr)?,
        Kind::CertPoll { .. } => poll(cx, &request)?,
        Kind::Bad(info) => Err((*info, "the request inside cannot be read")),
        Kind::GetCert { .. } | Kind::Other(_) => Err((FailInfo::BadRequest, "this kind of message is not offered")),
    };
    let reply = match decided {
        Ok(leaf) => request
            .success(issuing, &leaf, std::slice::from_ref(&issuing.certificate), &*cx.random)
            .map_err(Error::internal)?,
        Err((info, why)) => {
            tracing::warn!(origin, transaction = request.transaction_id, why, "SCEP request refused");
            request.failure(issuing, info, &*cx.random)
        }
    };
    Ok(Answer::Message(reply))
}

/// A certificate, or why not: what the client may know, and what the log says.
type Decided = Result<Certificate, (FailInfo, &'static str)>;

fn enroll(cx: &Context, issuing: &Authority, request: &Request, csr: &Csr) -> Result<Decided, Error> {
    let refuse = |why| Ok(Err((FailInfo::BadRequest, why)));
    let Some(password) = csr.challenge_password() else { return refuse("no challenge in the request") };
    let hash = sha256(password.expose().as_bytes());
    let now = cx.now();
    let Some(challenge) = cx.store.read(|db| db.find_challenge(&hash))? else {
        return refuse("the challenge is wrong");
    };
    if challenge.consumed.is_some() {
        return repeat(cx, request, csr, &challenge, now);
    }
    match &challenge.command {
        Some(command) if !cx.store.read(|db| waits(db, command))? => {
            return refuse("the command that carried the challenge is over");
        }
        None if challenge.expires_at < now => return refuse("the challenge has expired"),
        _ => {}
    }
    if cx.clock_is_behind().is_some() {
        return refuse("this machine's clock runs behind; nothing is issued until it is right");
    }
    let leaf = match issue(cx, issuing, csr, now)? {
        Ok(leaf) => leaf,
        Err(refused) => return Ok(Err(refused)),
    };
    let consumption = Consumption {
        transaction_id: request.transaction_id.clone(),
        key_hash: csr.public_key_hash(),
        certificate: leaf.fingerprint(),
    };
    let first = cx.store.write(|tx| {
        // The certificate first: the consumption refers to it. A lost race undoes both.
        tx.insert_certificate(&certificate_row(&leaf, challenge.issued_profile), Purpose::Identity, now)?;
        if tx.consume_challenge(challenge.id, &consumption, now)? { Ok(()) } else { Err(Raced) }
    });
    match first {
        Ok(()) => Ok(Ok(leaf)),
        Err(Race::Store(e)) => Err(e),
        Err(Race::Lost) => match cx.store.read(|db| db.find_challenge(&hash))? {
            Some(challenge) => repeat(cx, request, csr, &challenge, now),
            None => refuse("the challenge is gone"),
        },
    }
}

/// Whether a command has not been answered yet.
fn waits(db: &Db<'_>, command: &str) -> Result<bool, Error> {
    Ok(db.find_delivery_of(command)?.is_some_and(|delivery| !delivery.state.is_finished()))
}

/// Another request consumed the challenge between our look and our write.
enum Race {
    Lost,
    Store(Error),
}

use Race::Lost as Raced;

impl From<crate::store::StoreError> for Race {
    fn from(e: crate::store::StoreError) -> Self {
        Race::Store(e.into())
    }
}

/// A consumed challenge answers only the transaction and key that consumed it, with the same certificate.
fn repeat(
    cx: &Context,
    request: &Request,
    csr: &Csr,
    challenge: &ChallengeRow,
    now: Timestamp,
) -> Result<Decided, Error> {
    let refused = Ok(Err((FailInfo::BadRequest, "the challenge was used before")));
    let Some(used) = &challenge.consumed else { return refused };
    let same = used.transaction_id == request.transaction_id.as_str() && used.key_hash == csr.public_key_hash();
    if !same || now > challenge.expires_at.plus(RETRY_WINDOW) {
        return refused;
    }
    stored(cx, &used.certificate)
}

fn stored(cx: &Context, fingerprint: &[u8; 32]) -> Result<Decided, Error> {
    match cx.store.read(|db| db.find_certificate(fingerprint))? {
        Some(row) if row.revoked_at.is_none() => Ok(Ok(Certificate::parse(&row.der).map_err(Error::internal)?)),
        _ => Ok(Err((FailInfo::BadCertId, "that certificate is revoked or unknown"))),
    }
}

/// RenewalReq: the still valid old identity signs for a new key. The new certificate is bound beside the old one at once, since no
/// Authenticate follows such a renewal.
fn renew(cx: &Context, issuing: &Authority, request: &Request, csr: &Csr) -> Result<Decided, Error> {
    let now = cx.now();
    let behind = cx.clock_is_behind().is_some();
    let peer = Peer { fingerprint: Some(request.signer.fingerprint()), origin: String::new() };
    let identity = match cx.store.read(|db| identity::resolve(db, &peer, now, behind))? {
        Ok(identity) => identity,
        Err(_) => return Ok(Err((FailInfo::BadRequest, "a renewal must be signed by a valid identity issued here"))),
    };
    if behind {
        return Ok(Err((FailInfo::BadTime, "this machine's clock runs behind; nothing is issued until it is right")));
    }
    let leaf = match issue(cx, issuing, csr, now)? {
        Ok(leaf) => leaf,
        Err(refused) => return Ok(Err(refused)),
    };
    cx.store.write(|tx| -> Result<(), Error> {
        tx.insert_certificate(&certificate_row(&leaf, identity.certificate.issued_profile), Purpose::Identity, now)?;
        for binding in identity.bindings.iter().filter(|b| b.state == BindingState::Current) {
            tx.put_binding(&leaf.fingerprint(), binding.enrollment, BindingState::Pending, now)?;
        }
        Ok(())
    })?;
    Ok(Ok(leaf))
}

/// CertPoll: everything is decided at once here, so a poll either finds its certificate or there is none.
fn poll(cx: &Context, request: &Request) -> Result<Decided, Error> {
    match cx.store.read(|db| db.find_issued_by_transaction(request.transaction_id.as_str()))? {
        Some(fingerprint) => stored(cx, &fingerprint),
        None => Ok(Err((FailInfo::BadCertId, "no such transaction"))),
    }
}

/// Subject, usage and dates are ours; of the request only the public key is taken. The authority is the one that was asked: a client may
/// check that its certificate comes from the one it knows.
fn issue(cx: &Context, issuing: &Authority, csr: &Csr, now: Timestamp) -> Result<Decided, Error> {
    let organization = school::organization(cx)?;
    let name = format!("Cordon device {}", crate::base::ids::short_code(&cx.random_bytes::<10>()));
    let issued = templates::issue_listed_identity(
        issuing,
        csr.spki_der(),
        &name,
        &organization,
        now,
        IDENTITY_DAYS,
        Some(&revoking::list_url(cx, &issuing.certificate)),
        &*cx.random,
    );
    Ok(issued.map_err(|e| {
        tracing::warn!(error = %e, "no identity can be issued for this key");
        (FailInfo::BadAlg, "the key is of a kind or size that is not accepted")
    }))
}
