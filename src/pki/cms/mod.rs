//! Cryptographic messages (RFC 5652): signed ones in both directions, enveloped ones in both directions, and bags of certificates.
//!
//! Called by `scep`, by `http` for `Mdm-Signature` and enrolment bodies, by `service` for profiles and by `simulator`. Only signatures
//! are checked here; whether the signer is to be trusted is the caller's question, with `x509` and the store.

mod enveloped;
mod signed;

pub use enveloped::{ContentCipher, envelope, is_enveloped_to, open_envelope};
pub use signed::{DetachedForm, Signed, sign_attached, sign_detached, verify_attached, verify_detached};
pub(super) use signed::{Placement, Signing, attribute, verify_message};

use super::asn1::{self, Element, INTEGER, Malformed, Oid, Reader, SEQUENCE, context};
use super::ber::{self, BerError};
use super::keys::KeyError;
use super::oids;
use super::x509::Certificate;
use crate::base::limits::MAX_CMS_CERTIFICATES;

/// What is wrong with a message, or why one cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CmsError {
    #[error("not a cryptographic message of the expected kind")]
    Malformed,
    #[error("an algorithm that is not supported")]
    Algorithm,
    /// There must be exactly one SignerInfo.
    #[error("not exactly one signer")]
    Signers,
    #[error("the signer's certificate is not in the message")]
    NoCertificate,
    #[error("the signature is wrong")]
    BadSignature,
    /// Wrong recipient, wrong key, damaged: on purpose they cannot be told apart.
    #[error("the message cannot be decrypted")]
    Undecryptable,
    #[error("{0}")]
    Key(#[from] KeyError),
}

impl From<Malformed> for CmsError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<BerError> for CmsError {
    fn from(_: BerError) -> Self {
        Self::Malformed
    }
}

/// A degenerate SignedData with certificates only, in the order given: SCEP clients take the first for their own.
pub fn certificates_only(certificates: &[Certificate]) -> Vec<u8> {
    let data = asn1::sequence(&[&asn1::oid(&oids::DATA)]);
    let none = asn1::element(asn1::SET, &[]);
    wrap(&oids::SIGNED_DATA, &asn1::sequence(&[&asn1::integer(&[1]), &none, &data, &bag(certificates), &none]))
}

/// The certificates of a degenerate SignedData, in order.
///
/// # Errors
/// [`CmsError::Malformed`], also for more than [`MAX_CMS_CERTIFICATES`].
pub fn read_certificates(bytes: &[u8]) -> Result<Vec<Certificate>, CmsError> {
    let der = ber::to_der(bytes)?;
    let mut inside = unwrap(&der, &oids::SIGNED_DATA)?;
    inside.expect(INTEGER)?;
    inside.expect(asn1::SET)?;
    inside.expect(SEQUENCE)?;
    read_bag(inside.optional(context(0))?)
}

/// ContentInfo around `content`.
fn wrap(kind: &Oid, content: &[u8]) -> Vec<u8> {
    asn1::sequence(&[&asn1::oid(kind), &asn1::element(context(0), &[content])])
}

/// The fields of the SEQUENCE inside a ContentInfo of the wanted kind.
fn unwrap<'a>(der: &'a [u8], kind: &Oid) -> Result<Reader<'a>, Malformed> {
    let mut outer = Reader::only(der, SEQUENCE)?.inside();
    if !outer.any()?.is_oid(kind) {
        return Err(Malformed);
    }
    let content = outer.expect(context(0))?;
    Ok(Reader::only(content.value, SEQUENCE)?.inside())
}

fn bag(certificates: &[Certificate]) -> Vec<u8> {
    asn1::element(context(0), &certificates.iter().map(Certificate::der).collect::<Vec<_>>())
}

/// Reads a CertificateSet. Other kinds of certificates, and ones that we cannot read, are passed over: they may still be there for
/// somebody else, and the signer's must be found by name anyway.
fn read_bag(field: Option<Element<'_>>) -> Result<Vec<Certificate>, CmsError> {
    let mut found = Vec::new();
    for (i, member) in field.iter().flat_map(|field| field.inside().each()).enumerate() {
        let member = member?;
        if i == MAX_CMS_CERTIFICATES {
            return Err(CmsError::Malformed);
        }
        if member.tag == SEQUENCE
            && let Ok(certificate) = Certificate::parse(member.raw)
        {
            found.push(certificate);
        }
    }
    Ok(found)
}

fn issuer_and_serial(certificate: &Certificate) -> Vec<u8> {
    asn1::sequence(&[certificate.issuer_der(), &asn1::element(INTEGER, &[certificate.serial()])])
}

/// Whether an IssuerAndSerialNumber or a `[0]` SubjectKeyIdentifier names this certificate.
fn names(id: &Element<'_>, certificate: &Certificate) -> bool {
    match id.tag {
        SEQUENCE => id.raw == issuer_and_serial(certificate),
        0x80 => certificate.subject_key_id() == Some(id.value),
        _ => false,
    }
}
