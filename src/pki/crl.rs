//! The list of what an authority has withdrawn. Called by `service::revoking`.

use super::asn1::{self, context};
use super::oids;
use super::templates::{Authority, BACKDATE, Critical, Issuer, NO_KEYS, extension, sign};
use crate::base::time::{DAY, Timestamp};

/// A CRL is made daily; a week bridges an outage of the server.
const CRL_LIFE: i64 = 7 * DAY;

/// Why a certificate is revoked, in the numbers of RFC 5280 §5.3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    Superseded = 4,
    CessationOfOperation = 5,
    /// It may come back.
    CertificateHold = 6,
    PrivilegeWithdrawn = 9,
}

/// One line of a revocation list.
#[derive(Debug, Clone)]
pub struct Revoked {
    /// As [`Certificate::serial`] gives it.
    pub serial: Vec<u8>,
    pub at: Timestamp,
    pub reason: Reason,
}

/// A certificate revocation list (RFC 5280 §5) as DER, good for a week. `number` must grow with every list.
///
/// # Panics
/// Like [`Random::fill`], if this machine cannot sign at all.
pub fn issue(authority: &Authority, revoked: &[Revoked], number: u64, now: Timestamp) -> Vec<u8> {
    let issuer = Issuer::of(authority);
    let algorithm = authority.key.signature_algorithm(authority.key.preferred_digest());
    let entries: Vec<Vec<u8>> = revoked
        .iter()
        .map(|one| {
            let reason = asn1::element(0x0a, &[&[one.reason as u8]]);
            let reason = asn1::sequence(&[&extension(&oids::CRL_REASON, Critical::No, &reason)]);
            asn1::sequence(&[&asn1::element(asn1::INTEGER, &[&one.serial]), &asn1::time(one.at), &reason])
        })
        .collect();
    let entries = match entries.is_empty() {
        true => Vec::new(), // RFC 5280 §5.1.2.6: an empty list is left out
        false => asn1::sequence(&entries.iter().map(Vec::as_slice).collect::<Vec<_>>()),
    };
    let number = extension(&oids::CRL_NUMBER, Critical::No, &asn1::integer(&number.to_be_bytes()));
    let extensions = asn1::element(context(0), &[&asn1::sequence(&[&issuer.authority_key_id(), &number])]);
    let (this, next) = (asn1::time(now.plus(-BACKDATE)), asn1::time(now.plus(CRL_LIFE)));
    let tbs = asn1::sequence(&[&asn1::integer(&[1]), &algorithm, issuer.name, &this, &next, &entries, &extensions]);
    sign(&tbs, &algorithm, &authority.key).expect(NO_KEYS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::digest;
    use crate::pki::templates::tests::{CA, NOW};

    #[test]
    fn revocation_list() {
        for list in [vec![], vec![Revoked { serial: vec![0x40, 1], at: NOW, reason: Reason::Superseded }]] {
            let der = issue(&CA, &list, 300, NOW);
            let mut outer = asn1::Reader::only(&der, asn1::SEQUENCE).unwrap().inside();
            let tbs = outer.any().unwrap();
            outer.any().unwrap();
            let signature = outer.any().unwrap();
            assert!(CA.certificate.verify_digest(
                digest::DigestKind::Sha256,
                tbs.raw,
                asn1::whole_bits(&signature).unwrap()
            ));
            assert_eq!(tbs.raw.windows(4).any(|w| w == [2, 2, 0x40, 1]), !list.is_empty());
        }
    }
}
