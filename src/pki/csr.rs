//! Certification requests (PKCS#10, RFC 2986): read leniently, because Apple's clients write version 2 where only 0 is defined, and
//! made for clients and for Apple's push-certificate portal.
//!
//! Of a request, only the public key and the challenge count. Names and extensions that it asks for are not even offered here.

use super::asn1::{self, BIT_STRING, INTEGER, Malformed, Reader, SEQUENCE, SET, context};
use super::digest::sha256;
use super::keys::{PrivateKey, PublicKey};
use super::{cms, name, oids, templates};
use crate::base::secret::Secret;

/// Requests of clients have 0.6 to 2 KB.
const MAX_REQUEST: usize = 32 * 1024;
/// Longer challenges are nobody's; ours have 32 characters.
const MAX_CHALLENGE: usize = 1024;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    #[error("not a certification request")]
    Malformed,
    /// A key or digest that is not supported, or a wrong signature: the sender does not prove that it has the key.
    #[error("the request is not signed with its own key")]
    BadSignature,
}

impl From<Malformed> for CsrError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// A request whose sender has the private key.
#[derive(Debug, Clone)]
pub struct Csr {
    spki: Vec<u8>,
    subject: Vec<u8>,
    challenge: Option<Secret<String>>,
}

impl Csr {
    /// Reads a DER request with any version, any attributes, and nothing behind it; checks its signature (RSA from 1024 bits or EC,
    /// SHA-1 included). What keys are good enough is decided where certificates are issued.
    ///
    /// # Errors
    /// [`CsrError`].
    pub fn parse(der: &[u8]) -> Result<Self, CsrError> {
        if der.len() > MAX_REQUEST {
            return Err(CsrError::Malformed);
        }
        let mut outer = Reader::only(der, SEQUENCE)?.inside();
        let info = outer.expect(SEQUENCE)?;
        let algorithm = outer.sequence()?.expect(asn1::OID)?.value;
        let signature = asn1::whole_bits(&outer.expect(BIT_STRING)?)?;
        outer.end()?;

        let mut inside = info.inside();
        inside.expect(INTEGER)?;
        let subject = inside.expect(SEQUENCE)?.raw.to_vec();
        name::to_text(&subject)?;
        let spki = inside.expect(SEQUENCE)?.raw.to_vec();
        let challenge = match inside.optional(context(0))? {
            Some(attributes) => challenge(attributes.inside())?,
            None => None,
        };
        inside.end()?;
        let signed = oids::signature_digest(algorithm)
            .is_some_and(|digest| PublicKey::parse(&spki).is_ok_and(|key| key.verify(digest, info.raw, signature)));
        if signed { Ok(Self { spki, subject, challenge }) } else { Err(CsrError::BadSignature) }
    }

    /// The public key as DER `SubjectPublicKeyInfo`.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// SHA-256 of the public key: with the transaction id, how a repeated request is known.
    pub fn public_key_hash(&self) -> [u8; 32] {
        sha256(&self.spki)
    }

    /// A claim, for logs and lists.
    pub fn subject_common_name(&self) -> Option<String> {
        name::find(&self.subject, &oids::CN)
    }

    /// The subject as encoded: a claim.
    pub fn subject_der(&self) -> &[u8] {
        &self.subject
    }

    /// The challengePassword attribute; to be compared in constant time or by its hash.
    pub fn challenge_password(&self) -> Option<Secret<String>> {
        self.challenge.clone()
    }
}

fn challenge(attributes: Reader<'_>) -> Result<Option<Secret<String>>, Malformed> {
    for attribute in attributes.each() {
        let mut inside = Reader::only(attribute?.raw, SEQUENCE)?.inside();
        if inside.expect(asn1::OID)?.is_oid(&oids::CHALLENGE_PASSWORD) {
            let mut values = inside.expect(SET)?.inside();
            let value = values.any()?;
            values.end()?;
            if value.value.len() > MAX_CHALLENGE {
                return Err(Malformed);
            }
            return asn1::text(&value).map(|text| Some(Secret::new(text))).ok_or(Malformed);
        }
    }
    Ok(None)
}

/// Makes a request, signed with the key's preferred digest. `subject` holds pairs of a short name (`CN`, `O`, `C`, `emailAddress`, …)
/// or dotted number, and a value; a pair whose name is neither is left out, as is one without a value.
///
/// # Panics
/// If this machine cannot sign at all (no memory, no randomness).
pub fn create(key: &PrivateKey, subject: &[(&str, &str)], challenge: Option<&str>) -> Vec<u8> {
    let subject: Vec<_> =
        subject.iter().filter_map(|(kind, value)| Some((name::attribute_type(kind)?, *value))).collect();
    let attributes = challenge.map_or_else(Vec::new, |text| {
        let tag = if text.bytes().all(is_printable) { asn1::PRINTABLE } else { asn1::UTF8 };
        cms::attribute(&oids::CHALLENGE_PASSWORD, &asn1::element(tag, &[text.as_bytes()]))
    });
    let info = asn1::sequence(&[
        &asn1::integer(&[0]),
        &name::build(&subject),
        &key.spki_der(),
        &asn1::element(context(0), &[&attributes]),
    ]);
    let algorithm = key.signature_algorithm(key.preferred_digest());
    templates::sign(&info, &algorithm, key).expect("a key signs with its preferred digest")
}

/// Makes a request for a TLS server's certificate, as ACME wants it: no subject, the names as extension.
///
/// # Panics
/// As [`create`].
pub fn create_for_names(key: &PrivateKey, names: &[String]) -> Vec<u8> {
    let extensions = asn1::sequence(&[&templates::alternative_names(names)]);
    let info = asn1::sequence(&[
        &asn1::integer(&[0]),
        &name::build(&[]),
        &key.spki_der(),
        &asn1::element(context(0), &[&cms::attribute(&oids::EXTENSION_REQUEST, &extensions)]),
    ]);
    let algorithm = key.signature_algorithm(key.preferred_digest());
    templates::sign(&info, &algorithm, key).expect("a key signs with its preferred digest")
}

/// The characters of PrintableString (X.680 §41.4).
fn is_printable(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::super::digest::DigestKind;
    use super::super::keys::tests::RSA;
    use super::*;

    #[test]
    fn round_trips() {
        for key in [RSA.clone(), PrivateKey::generate_ec_p256().unwrap()] {
            for challenge in [None, Some("plain-123"), Some("möglich_*"), Some("")] {
                let der = create(
                    &key,
                    &[("C", "DE"), ("CN", "device"), ("emailAddress", "a@b.c"), ("nonsense", "x")],
                    challenge,
                );
                let csr = Csr::parse(&der).unwrap();
                assert_eq!(csr.spki_der(), key.spki_der());
                assert_eq!(csr.subject_common_name().as_deref(), Some("device"));
                assert_eq!(csr.challenge_password().as_ref().map(|c| c.expose().as_str()), challenge);
                assert_eq!(csr.public_key_hash(), sha256(&key.spki_der()));
                for cut in 0..der.len() {
                    assert!(Csr::parse(&der[..cut]).is_err());
                }
            }
        }
    }

    #[test]
    fn a_changed_request_is_refused() {
        let der = create(&RSA, &[("CN", "device")], Some("secret"));
        for at in 0..der.len() {
            let mut bad = der.clone();
            bad[at] ^= 1;
            // The parameters of the outer algorithm are not signed, and not read.
            if let Ok(csr) = Csr::parse(&bad) {
                assert_eq!(
                    (csr.spki_der(), csr.challenge_password().unwrap().expose().as_str()),
                    (&*RSA.spki_der(), "secret"),
                    "byte {at}"
                );
            }
        }
    }

    #[test]
    fn apples_shape_is_accepted() {
        // Version 2, a requested critical extension, and the challenge in any string type.
        let extension_request =
            cms::attribute(&super::super::asn1::Oid::new_unwrap("1.2.840.113549.1.9.14"), &asn1::sequence(&[]));
        for (tag, bytes, text) in [
            (asn1::PRINTABLE, &b"secret"[..], "secret"),
            (asn1::IA5, b"secret", "secret"),
            (0x14, b"secr\xe9t", "secrét"),
            (0x1e, b"\0s\0e", "se"),
        ] {
            let attribute = cms::attribute(&oids::CHALLENGE_PASSWORD, &asn1::element(tag, &[bytes]));
            let info = asn1::sequence(&[
                &asn1::integer(&[2]),
                &name::build(&[]),
                &RSA.spki_der(),
                &asn1::element(context(0), &[&extension_request, &attribute]),
            ]);
            let der = templates::sign(&info, &RSA.signature_algorithm(DigestKind::Sha256), &RSA).unwrap();
            assert_eq!(Csr::parse(&der).unwrap().challenge_password().unwrap().expose(), text);
        }
    }

    #[test]
    fn signed_with_another_key() {
        let info = asn1::sequence(&[
            &asn1::integer(&[0]),
            &name::build(&[]),
            &PrivateKey::generate_ec_p256().unwrap().spki_der(),
        ]);
        let der = templates::sign(&info, &RSA.signature_algorithm(DigestKind::Sha256), &RSA).unwrap();
        assert_eq!(Csr::parse(&der).unwrap_err(), CsrError::BadSignature);
        assert_eq!(Csr::parse(b"").unwrap_err(), CsrError::Malformed);
    }
}
