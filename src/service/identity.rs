//! Who is it? A client certificate that Cordon issued, and the device channel it is bound to. The id that a message reports is
//! checked against it afterwards: the certificate speaks first.

use super::Error;
use crate::base::time::Timestamp;
use crate::store::{BindingRow, CertificateStanding, Db};

/// What the edge knows of the caller: a certificate whose key it proved to hold, and from where.
#[derive(Debug, Clone)]
pub struct Peer {
    /// SHA-256 of the certificate's DER; `None` when no certificate came.
    pub fingerprint: Option<[u8; 32]>,
    /// Address, for the log.
    pub origin: String,
}

/// A certificate of ours, with everything it is bound to.
#[derive(Debug, Clone)]
pub struct Identity {
    pub certificate: CertificateStanding,
    pub bindings: Vec<BindingRow>,
}

/// Why a certificate does not count. Each is answered 400 and logged: it may be our own mistake, and 401 would un-enrol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    #[error("no client certificate was presented")]
    None,
    #[error("the client certificate was not issued here")]
    Foreign,
    #[error("the client certificate has expired")]
    Expired,
    #[error("the client certificate is not valid yet")]
    NotYet,
    #[error("the client certificate is revoked")]
    Revoked,
    /// It came in a PKCS#12 container that no device used in time.
    #[error("the profile with this identity was not installed in time")]
    Unused,
}

/// Looks the certificate up in the register of those issued here. That it is in the register proves its chain; that it is ours to
/// accept today is decided here. A clock that runs behind ends no certificate.
///
/// # Errors
/// The outer one is a fault of the store; the inner says why the certificate does not count.
pub fn resolve(
    db: &Db<'_>,
    peer: &Peer,
    now: Timestamp,
    clock_is_behind: bool,
) -> Result<Result<Identity, Distrust>, Error> {
    let Some(fingerprint) = peer.fingerprint else { return Ok(Err(Distrust::None)) };
    let Some((certificate, bindings)) = db.find_certificate_standing(&fingerprint)? else {
        return Ok(Err(Distrust::Foreign));
    };
    // Root, issuing CA and TLS certificates are in the register too, but only identities were issued by a profile.
    let Some(profile) = certificate.issued_profile else { return Ok(Err(Distrust::Foreign)) };
    if certificate.revoked_at.is_some() {
        return Ok(Err(Distrust::Revoked));
    }
    if !clock_is_behind {
        if certificate.not_after < now {
            return Ok(Err(Distrust::Expired));
        }
        if certificate.not_before > now {
            return Ok(Err(Distrust::NotYet));
        }
    }
    if bindings.is_empty()
        && let Some(until) = db.find_issued_profile(profile)?.and_then(|given| given.enroll_by)
        && until < now
    {
        return Ok(Err(Distrust::Unused));
    }
    Ok(Ok(Identity { certificate, bindings }))
}
