//! Who is it? A client certificate that Cordon issued, and the device channel it is bound to. The id that a message reports is
//! checked against it afterwards: the certificate speaks first.

use super::Error;
use crate::base::time::{DAY, Timestamp};
use crate::store::{BindingRow, BindingState, CertificateStanding, Db};

/// Setting: for how many days an expired identity may still fetch its renewal; 0 is never.
pub(super) const EXPIRED_DAYS: &str = "identity.expired_days";
/// Where nobody decided otherwise: a summer holiday after the end.
pub const DEFAULT_EXPIRED_DAYS: i64 = 30;

/// What the edge knows of the caller: a certificate whose key it proved to hold, and from where.
#[derive(Debug, Clone)]
pub struct Peer {
    /// SHA-256 of the certificate's DER; `None` when no certificate came.
    pub fingerprint: Option<[u8; 32]>,
    /// Address, for the log.
    pub origin: String,
}

/// How far a certificate is still good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worth {
    Good,
    /// Expired not long ago, and some device's current one: good for the renewal only.
    Lapsed,
    /// Revoked because the device left or got another one: good for coming back, if that is allowed.
    Withdrawn,
}

/// A certificate of ours, with everything it is bound to.
#[derive(Debug, Clone)]
pub struct Identity {
    pub certificate: CertificateStanding,
    pub bindings: Vec<BindingRow>,
    pub worth: Worth,
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

/// As [`recognise`], for those who have no use for anything but a good one.
///
/// # Errors
/// As [`recognise`].
pub fn resolve(
    db: &Db<'_>,
    peer: &Peer,
    now: Timestamp,
    clock_is_behind: bool,
) -> Result<Result<Identity, Distrust>, Error> {
    Ok(recognise(db, peer, now, clock_is_behind)?.and_then(|identity| match identity.worth {
        Worth::Good => Ok(identity),
        Worth::Lapsed => Err(Distrust::Expired),
        Worth::Withdrawn => Err(Distrust::Revoked),
    }))
}

/// Looks the certificate up in the register of those issued here. That it is in the register proves its chain; that it is ours to
/// accept today is decided here. A clock that runs behind ends no certificate.
///
/// # Errors
/// The outer one is a fault of the store; the inner says why the certificate does not count.
pub fn recognise(
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
    if certificate.revoked_at.is_some() && certificate.revoked_for_good {
        return Ok(Err(Distrust::Revoked));
    }
    let mut worth = if certificate.revoked_at.is_some() { Worth::Withdrawn } else { Worth::Good };
    if !clock_is_behind {
        if certificate.not_after < now {
            let current = bindings.iter().any(|b| b.state == BindingState::Current);
            if worth == Worth::Withdrawn || !current || now.since(certificate.not_after) > expired_days(db)? * DAY {
                return Ok(Err(Distrust::Expired));
            }
            worth = Worth::Lapsed;
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
    Ok(Ok(Identity { certificate, bindings, worth }))
}

/// The school's policy for expired identities, in days.
pub(super) fn expired_days(db: &Db<'_>) -> Result<i64, Error> {
    let days = db.find_setting(EXPIRED_DAYS)?.and_then(|value| value.as_i64());
    Ok(days.unwrap_or(DEFAULT_EXPIRED_DAYS).clamp(0, 365))
}
