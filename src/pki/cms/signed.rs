//! SignedData (RFC 5652 §5), written as DER and read as BER. SHA-1 and a bare signature without attributes are read because devices
//! send them in `Mdm-Signature`; they are never written unless a caller asks for the bare form.

use super::{CmsError, bag, issuer_and_serial, names, read_bag, unwrap, wrap};
use crate::base::time::Timestamp;
use crate::pki::asn1::{self, Element, INTEGER, OCTET_STRING, Oid, Reader, SEQUENCE, SET, context};
use crate::pki::digest::{DigestKind, constant_time_eq};
use crate::pki::keys::PrivateKey;
use crate::pki::x509::Certificate;
use crate::pki::{ber, oids};

/// Signed attributes that one message may have; SCEP's have eight.
const MAX_ATTRIBUTES: usize = 32;

/// What a detached signature covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DetachedForm {
    /// Content type and digest as signed attributes: the usual form.
    WithAttributes,
    /// The content itself, as Apple devices do in `Mdm-Signature`.
    Bare,
}

/// A message whose signature is right. Nothing is known yet about who the signer is.
#[derive(Debug, Clone)]
pub struct Signed {
    pub content: Vec<u8>,
    pub signer: Certificate,
    /// All readable certificates of the message, the signer's among them, in the order sent.
    pub certificates: Vec<Certificate>,
    pub digest: DigestKind,
    /// None in the bare form.
    attributes: Vec<Attribute>,
}

#[derive(Debug, Clone)]
struct Attribute {
    /// Content octets of the OID.
    kind: Vec<u8>,
    /// All values, one behind the other, as encoded.
    values: Vec<u8>,
}

impl Signed {
    /// When the signer says it signed: a claim of a device clock.
    pub fn signing_time(&self) -> Option<Timestamp> {
        asn1::instant(&self.attribute(&oids::SIGNING_TIME)?).ok()
    }

    /// The value of a signed attribute that has exactly one.
    pub(in crate::pki) fn attribute(&self, kind: &Oid) -> Option<Element<'_>> {
        let attribute = self.attributes.iter().find(|one| one.kind == kind.as_bytes())?;
        let mut reader = Reader::new(&attribute.values);
        let element = reader.any().ok()?;
        reader.is_empty().then_some(element)
    }
}

/// Signs `content` into the message, as profiles are: DER, signer first, then `chain`, with the key's preferred digest.
///
/// # Panics
/// If this machine cannot sign at all (no memory, no randomness).
pub fn sign_attached(
    content: &[u8],
    signer: &Certificate,
    key: &PrivateKey,
    chain: &[Certificate],
    signing_time: Timestamp,
) -> Vec<u8> {
    let time = attribute(&oids::SIGNING_TIME, &asn1::time(signing_time));
    let digest = key.preferred_digest();
    Signing { content, placement: Placement::Inside, signer, key, chain, digest, attributes: Some(vec![time]) }
        .sign()
        .expect("a key signs with its preferred digest")
}

/// Signs `content` without holding it.
///
/// # Errors
/// [`CmsError::Key`] if the key does not sign with `digest`; SHA-1 is one that none does.
pub fn sign_detached(
    content: &[u8],
    signer: &Certificate,
    key: &PrivateKey,
    form: DetachedForm,
    digest: DigestKind,
) -> Result<Vec<u8>, CmsError> {
    let attributes = match form {
        DetachedForm::WithAttributes => Some(Vec::new()),
        DetachedForm::Bare => None,
    };
    Signing { content, placement: Placement::Beside, signer, key, chain: &[], digest, attributes }.sign()
}

/// Checks a signature over `content` that does not hold it, such as a decoded `Mdm-Signature` over a body.
///
/// # Errors
/// [`CmsError`]; a message that holds another content is [`CmsError::BadSignature`].
pub fn verify_detached(content: &[u8], message: &[u8]) -> Result<Signed, CmsError> {
    verify(message, Where::Beside(content))
}

/// Checks a signature over the content in the message.
///
/// # Errors
/// [`CmsError`]; a message without content is [`CmsError::Malformed`].
pub fn verify_attached(message: &[u8]) -> Result<Signed, CmsError> {
    verify(message, Where::Inside)
}

/// The same for SCEP, whose failures sign attributes and have no content.
pub(in crate::pki) fn verify_message(message: &[u8]) -> Result<Signed, CmsError> {
    verify(message, Where::InsideOrNone)
}

/// Where the content of a message to verify is.
enum Where<'a> {
    Inside,
    Beside(&'a [u8]),
    InsideOrNone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pki) enum Placement {
    Inside,
    Beside,
}

/// All that goes into a signed message.
pub(in crate::pki) struct Signing<'a> {
    pub content: &'a [u8],
    pub placement: Placement,
    pub signer: &'a Certificate,
    pub key: &'a PrivateKey,
    pub chain: &'a [Certificate],
    pub digest: DigestKind,
    /// Attributes beside content type and message digest; `None` signs the content itself.
    pub attributes: Option<Vec<Vec<u8>>>,
}

impl Signing<'_> {
    pub fn sign(self) -> Result<Vec<u8>, CmsError> {
        let algorithm = asn1::sequence(&[&asn1::oid(&oids::digest(self.digest)), &asn1::null()]);
        let (signed_attributes, signature) = match self.attributes {
            None => (Vec::new(), self.key.sign(self.digest, self.content)?),
            Some(mut attributes) => {
                attributes.push(attribute(&oids::CONTENT_TYPE, &asn1::oid(&oids::DATA)));
                attributes.push(attribute(&oids::MESSAGE_DIGEST, &asn1::octets(&self.digest.digest(self.content))));
                let mut set = asn1::set_of(SET, attributes);
                let signature = self.key.sign(self.digest, &set)?;
                set[0] = context(0); // signed as a SET, sent as [0] (RFC 5652 §5.4)
                (set, signature)
            }
        };
        // For RSA everybody writes the bare rsaEncryption here, the digest being said beside it.
        let signature_algorithm = match self.key.is_rsa() {
            true => asn1::sequence(&[&asn1::oid(&oids::RSA), &asn1::null()]),
            false => self.key.signature_algorithm(self.digest),
        };
        let info = asn1::sequence(&[
            &asn1::integer(&[1]),
            &issuer_and_serial(self.signer),
            &algorithm,
            &signed_attributes,
            &signature_algorithm,
            &asn1::octets(&signature),
        ]);
        let content = match self.placement {
            Placement::Inside => asn1::element(context(0), &[&asn1::octets(self.content)]),
            Placement::Beside => Vec::new(),
        };
        let mut certificates = vec![self.signer.clone()];
        certificates.extend(self.chain.iter().filter(|one| *one != self.signer).cloned());
        let data = asn1::sequence(&[
            &asn1::integer(&[1]),
            &asn1::element(SET, &[&algorithm]),
            &asn1::sequence(&[&asn1::oid(&oids::DATA), &content]),
            &bag(&certificates),
            &asn1::element(SET, &[&info]),
        ]);
        Ok(wrap(&oids::SIGNED_DATA, &data))
    }
}

/// One attribute with one value.
pub(in crate::pki) fn attribute(kind: &Oid, value: &[u8]) -> Vec<u8> {
    asn1::sequence(&[&asn1::oid(kind), &asn1::element(SET, &[value])])
}

fn verify(message: &[u8], place: Where<'_>) -> Result<Signed, CmsError> {
    let der = ber::to_der(message)?;
    let mut data = unwrap(&der, &oids::SIGNED_DATA)?;
    data.expect(INTEGER)?;
    data.expect(SET)?;
    let mut held = data.sequence()?;
    let content_type = held.expect(asn1::OID)?;
    let inside = held.optional(context(0))?.map(|wrapped| Reader::only(wrapped.value, OCTET_STRING)).transpose()?;
    let certificates = read_bag(data.optional(context(0))?)?;
    data.optional(context(1))?; // CRLs
    let mut infos = data.expect(SET)?.inside();
    data.end()?;
    let info = infos.any().map_err(|_| CmsError::Signers)?;
    infos.end().map_err(|_| CmsError::Signers)?;

    let content = match (inside, place) {
        (Some(inside), Where::Beside(outside)) if inside.value != outside => return Err(CmsError::BadSignature),
        (Some(inside), _) => inside.value,
        (None, Where::Beside(outside)) => outside,
        (None, Where::InsideOrNone) => b"",
        (None, Where::Inside) => return Err(CmsError::Malformed),
    };
    let info = SignerInfo::read(&info)?;
    let signer = certificates.iter().find(|one| names(&info.id, one)).ok_or(CmsError::NoCertificate)?.clone();
    let attributes = match &info.attributes {
        Some(field) => read_attributes(field)?,
        None => Vec::new(),
    };
    let signed = Signed { content: content.to_vec(), signer, certificates, digest: info.digest, attributes };
    if signed.is_right(&info, &content_type) { Ok(signed) } else { Err(CmsError::BadSignature) }
}

struct SignerInfo<'a> {
    id: Element<'a>,
    digest: DigestKind,
    attributes: Option<Element<'a>>,
    signature: &'a [u8],
}

impl<'a> SignerInfo<'a> {
    fn read(info: &Element<'a>) -> Result<Self, CmsError> {
        let mut inside = Reader::only(info.raw, SEQUENCE)?.inside();
        inside.expect(INTEGER)?;
        let id = inside.any()?;
        let digest = oids::digest_kind(inside.sequence()?.expect(asn1::OID)?.value).ok_or(CmsError::Algorithm)?;
        let attributes = inside.optional(context(0))?;
        let algorithm = inside.sequence()?.expect(asn1::OID)?;
        // Either the bare kind of key, or a combined algorithm that must then agree with the digest said beside it.
        let agrees = algorithm.is_oid(&oids::RSA)
            || algorithm.is_oid(&oids::EC)
            || oids::signature_digest(algorithm.value) == Some(digest);
        if !agrees {
            return Err(CmsError::Algorithm);
        }
        let signature = inside.expect(OCTET_STRING)?.value;
        Ok(Self { id, digest, attributes, signature })
    }
}

/// Kind and value of each attribute; a kind may come once only (RFC 5652 §5.3).
fn read_attributes(field: &Element<'_>) -> Result<Vec<Attribute>, CmsError> {
    let mut found: Vec<Attribute> = Vec::new();
    for attribute in field.inside().each() {
        let mut inside = Reader::only(attribute?.raw, SEQUENCE)?.inside();
        let kind = inside.expect(asn1::OID)?.value;
        let values = inside.expect(SET)?.value;
        if found.len() == MAX_ATTRIBUTES || found.iter().any(|known| known.kind == kind) {
            return Err(CmsError::Malformed);
        }
        found.push(Attribute { kind: kind.to_vec(), values: values.to_vec() });
    }
    Ok(found)
}

impl Signed {
    fn is_right(&self, info: &SignerInfo<'_>, content_type: &Element<'_>) -> bool {
        let Some(field) = &info.attributes else {
            return self.signer.verify_digest(self.digest, &self.content, info.signature);
        };
        let right_type = self.attribute(&oids::CONTENT_TYPE).is_some_and(|kind| kind.raw == content_type.raw);
        let digest = self.digest.digest(&self.content);
        let right_digest = self
            .attribute(&oids::MESSAGE_DIGEST)
            .is_some_and(|value| value.tag == OCTET_STRING && constant_time_eq(value.value, &digest));
        // The signature is over the DER of the SET; a sender who does not sort signs what it sends.
        let mut as_sent = field.raw.to_vec();
        as_sent[0] = SET; // an element has a tag
        let sorted = || asn1::set_of(SET, field.inside().each().flatten().map(|member| member.raw.to_vec()).collect());
        let check = |bytes: &[u8]| self.signer.verify_digest(self.digest, bytes, info.signature);
        right_type && right_digest && (check(&as_sent) || check(&sorted()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::SystemRandom;
    use crate::pki::ber::tests::indefinite;
    use crate::pki::keys::tests::RSA;
    use crate::pki::pem;
    use crate::pki::templates::issue_device_identity;
    use crate::pki::templates::tests::{CA, NOW};

    const BODY: &[u8] = b"<plist><dict/></plist>";

    fn identity(key: &PrivateKey) -> Certificate {
        issue_device_identity(&CA, &key.spki_der(), "E", "", NOW, 365, &SystemRandom).unwrap()
    }

    fn fixture(base64: &str) -> Vec<u8> {
        pem::blocks(&format!("-----BEGIN X-----\n{base64}\n-----END X-----")).remove(0).1
    }

    #[test]
    fn round_trips() {
        for key in [RSA.clone(), PrivateKey::generate_ec_p256().unwrap(), PrivateKey::generate_ec_p384().unwrap()] {
            let cert = identity(&key);
            let attached = sign_attached(BODY, &cert, &key, std::slice::from_ref(&CA.certificate), NOW);
            for message in [attached.clone(), indefinite(&attached, 5)] {
                // Pieces and indefinite lengths inside the certificates themselves come back as the same bytes.
                let signed = verify_attached(&message).unwrap();
                assert_eq!(
                    (signed.content.as_slice(), &signed.signer, signed.digest),
                    (BODY, &cert, key.preferred_digest())
                );
                assert_eq!(signed.certificates, [cert.clone(), CA.certificate.clone()]);
                assert_eq!(signed.signing_time(), Some(NOW));
            }
            assert!(verify_detached(BODY, &attached).is_ok());
            assert_eq!(verify_detached(b"other", &attached).unwrap_err(), CmsError::BadSignature);
            for form in [DetachedForm::WithAttributes, DetachedForm::Bare] {
                let message = sign_detached(BODY, &cert, &key, form, key.preferred_digest()).unwrap();
                assert_eq!(verify_detached(BODY, &indefinite(&message, 7)).unwrap().signer, cert);
                assert_eq!(verify_detached(b"", &message).unwrap_err(), CmsError::BadSignature);
                assert_eq!(verify_attached(&message).unwrap_err(), CmsError::Malformed);
            }
            assert!(sign_detached(BODY, &cert, &key, DetachedForm::Bare, DigestKind::Sha1).is_err());
        }
    }

    #[test]
    fn reads_what_openssl_streams() {
        // Made with openssl cms -sign -stream -outform DER: indefinite lengths, as devices send. The first also has SHA-1 and no attributes.
        let old = fixture(include_str!("../fixtures/detached-bare-sha1.b64"));
        let signed = verify_detached(BODY, &old).unwrap();
        assert_eq!((signed.digest, signed.signing_time()), (DigestKind::Sha1, None));
        assert_eq!(signed.signer.subject_common_name().as_deref(), Some("Old device"));
        assert_eq!(verify_detached(b"x", &old).unwrap_err(), CmsError::BadSignature);
        let new = fixture(include_str!("../fixtures/detached-attrs-sha256.b64"));
        assert!(verify_detached(BODY, &new).unwrap().signing_time().is_some());
        for message in [old, new] {
            assert_eq!(message[1], 0x80);
            for cut in 0..message.len() {
                assert!(verify_detached(BODY, &message[..cut]).is_err());
            }
        }
    }

    #[test]
    fn no_changed_byte_changes_what_is_signed() {
        let cert = identity(&RSA);
        let good = sign_attached(BODY, &cert, &RSA, &[], NOW);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            if let Ok(signed) = verify_attached(&bad) {
                assert!(signed.content == BODY && signed.signer.key_matches(&RSA), "byte {at}");
            }
        }
    }

    #[test]
    fn a_sender_that_does_not_sort_is_believed() {
        let cert = identity(&RSA);
        let kinds = [
            attribute(&oids::MESSAGE_DIGEST, &asn1::octets(&DigestKind::Sha256.digest(BODY))),
            attribute(&oids::CONTENT_TYPE, &asn1::oid(&oids::DATA)),
        ];
        let unsorted = [kinds[0].as_slice(), kinds[1].as_slice()];
        let sorted = asn1::set_of(SET, kinds.to_vec());
        assert_ne!(asn1::element(SET, &unsorted), sorted);
        for signed_bytes in [asn1::element(SET, &unsorted), sorted] {
            let message = hand_made(&cert, &[&asn1::element(context(0), &unsorted)], &signed_bytes, 1);
            assert!(verify_detached(BODY, &message).is_ok());
        }
        // Without the digest attribute, with one twice, with none or two signers: never.
        let without = asn1::element(SET, &unsorted[1..]);
        let message = hand_made(&cert, &[&asn1::element(context(0), &unsorted[1..])], &without, 1);
        assert_eq!(verify_detached(BODY, &message).unwrap_err(), CmsError::BadSignature);
        let twice = [unsorted[0], unsorted[0], unsorted[1]];
        let message = hand_made(&cert, &[&asn1::element(context(0), &twice)], &asn1::element(SET, &twice), 1);
        assert_eq!(verify_detached(BODY, &message).unwrap_err(), CmsError::Malformed);
        for signers in [0, 2] {
            assert_eq!(verify_detached(BODY, &hand_made(&cert, &[], BODY, signers)).unwrap_err(), CmsError::Signers);
        }
        assert!(verify_detached(BODY, &hand_made(&cert, &[], BODY, 1)).is_ok());
    }

    fn hand_made(cert: &Certificate, attributes: &[&[u8]], signed: &[u8], signers: usize) -> Vec<u8> {
        let digest = asn1::sequence(&[&asn1::oid(&oids::SHA256)]);
        let signature = asn1::octets(&RSA.sign(DigestKind::Sha256, signed).unwrap());
        let info = asn1::sequence(&[
            &asn1::integer(&[1]),
            &issuer_and_serial(cert),
            &digest,
            &attributes.concat(),
            &RSA.signature_algorithm(DigestKind::Sha256),
            &signature,
        ]);
        let data = asn1::sequence(&[&asn1::oid(&oids::DATA)]);
        let infos = asn1::element(SET, &vec![info.as_slice(); signers]);
        let digests = asn1::element(SET, &[&digest]);
        wrap(
            &oids::SIGNED_DATA,
            &asn1::sequence(&[&asn1::integer(&[1]), &digests, &data, &bag(std::slice::from_ref(cert)), &infos]),
        )
    }

    #[test]
    fn signer_must_be_in_the_bag() {
        let cert = identity(&RSA);
        let other = identity(&RSA);
        let signing = |signer| Signing {
            content: BODY,
            placement: Placement::Inside,
            signer,
            key: &RSA,
            chain: &[],
            digest: DigestKind::Sha256,
            attributes: None,
        };
        let mut message = signing(&cert).sign().unwrap();
        // The same message under another certificate of the same length: the id no longer names the one in the bag.
        let at = message.windows(cert.der().len()).position(|w| w == cert.der()).unwrap();
        if other.der().len() == cert.der().len() {
            message[at..at + other.der().len()].copy_from_slice(other.der());
            assert_eq!(verify_attached(&message).unwrap_err(), CmsError::NoCertificate);
        }
        let many = vec![CA.certificate.clone(); 9];
        let message = Signing { chain: &many, ..signing(&cert) }.sign().unwrap();
        assert_eq!(verify_attached(&message).unwrap_err(), CmsError::Malformed);
    }
}
