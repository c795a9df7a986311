//! Certificates as others made them: read once, leniently, and asked questions. Called by everybody who meets a certificate.
//!
//! Deliberately not here: path building and policy. `issued_by` answers for one link; whether dates, revocation and purpose matter
//! is the caller's decision, because for Apple's built-in device identities they do not (their issuers expired years ago).

use super::asn1::{self, BIT_STRING, Element, INTEGER, Malformed, OCTET_STRING, Oid, Reader, SEQUENCE};
use super::digest::{DigestKind, sha256};
use super::keys::{PrivateKey, PublicKey};
use super::{name, oids, pem};
use crate::base::time::Timestamp;
use std::ops::Range;
use std::sync::Arc;

/// Real certificates have 0.5 to 4 KB; attestation and odd government ones up to 10.
const MAX_CERTIFICATE: usize = 64 * 1024;

/// Key usage bits (RFC 5280 §4.2.1.3), as the extension orders them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUsage {
    DigitalSignature = 0,
    KeyEncipherment = 2,
    KeyCertSign = 5,
    CrlSign = 6,
}

/// A parsed certificate. Cheap to clone; equal if the bytes are.
#[derive(Clone)]
pub struct Certificate(Arc<Inner>);

struct Inner {
    der: Vec<u8>,
    tbs: Range<usize>,
    serial: Vec<u8>,
    signature_algorithm: Vec<u8>,
    signature: Vec<u8>,
    issuer: Vec<u8>,
    subject: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
    spki: Vec<u8>,
    extensions: Extensions,
}

#[derive(Default)]
struct Extensions {
    ca: bool,
    key_usage: Option<u16>,
    extended_key_usage: Option<Vec<String>>,
    subject_key_id: Option<Vec<u8>>,
    all: Vec<(Vec<u8>, Vec<u8>)>,
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.0.der == other.0.der
    }
}
impl Eq for Certificate {}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Certificate({}, {})", self.subject(), self.serial_hex())
    }
}

impl Certificate {
    /// Reads one DER certificate with nothing behind it. Checks form only: no signature, no date.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(der: &[u8]) -> Result<Self, Malformed> {
        if der.len() > MAX_CERTIFICATE {
            return Err(Malformed);
        }
        let mut outer = Reader::only(der, SEQUENCE)?.inside();
        let tbs = outer.expect(SEQUENCE)?;
        let algorithm = outer.expect(SEQUENCE)?;
        let signature_algorithm = algorithm.inside().expect(asn1::OID)?.value.to_vec();
        let signature = asn1::whole_bits(&outer.expect(BIT_STRING)?)?.to_vec();
        outer.end()?;

        let mut inside = tbs.inside();
        inside.optional(asn1::context(0))?;
        let serial = inside.expect(INTEGER)?.value.to_vec();
        if inside.expect(SEQUENCE)?.raw != algorithm.raw {
            return Err(Malformed); // RFC 5280 §4.1.1.2: both algorithm fields are the same; the outer one is not signed
        }
        let issuer = inside.expect(SEQUENCE)?.raw.to_vec();
        let mut validity = inside.sequence()?;
        let (not_before, not_after) = (asn1::instant(&validity.any()?)?, asn1::instant(&validity.any()?)?);
        let subject = inside.expect(SEQUENCE)?.raw.to_vec();
        let spki = inside.expect(SEQUENCE)?.raw.to_vec();
        name::to_text(&issuer)?;
        name::to_text(&subject)?;
        inside.optional(0x81)?; // issuerUniqueID
        inside.optional(0x82)?; // subjectUniqueID
        let extensions = match inside.optional(asn1::context(3))? {
            Some(wrapped) => Extensions::read(&wrapped)?,
            None => Extensions::default(),
        };
        inside.end()?;
        // `tbs` is the first element inside the outer header.
        let start = der.len() - Reader::only(der, SEQUENCE)?.value.len();
        let tbs = start..start + tbs.raw.len();
        let der = der.to_vec();
        Ok(Self(Arc::new(Inner {
            der,
            tbs,
            serial,
            signature_algorithm,
            signature,
            issuer,
            subject,
            not_before,
            not_after,
            spki,
            extensions,
        })))
    }

    /// Reads the first `CERTIFICATE` block of a PEM text.
    ///
    /// # Errors
    /// [`Malformed`], also if there is none.
    pub fn parse_pem(text: &str) -> Result<Self, Malformed> {
        Self::parse(pem_to_ders(text).first().ok_or(Malformed)?)
    }

    /// The bytes, as received.
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// SHA-256 of the bytes: how certificates are found in the store.
    pub fn fingerprint(&self) -> [u8; 32] {
        sha256(&self.0.der)
    }

    /// The serial number as upper-case hex, without leading zeros.
    pub fn serial_hex(&self) -> String {
        let text = hex::encode_upper(&self.0.serial);
        let short = text.trim_start_matches('0');
        if short.is_empty() { "0".to_owned() } else { short.to_owned() }
    }

    /// The content octets of the serial number, as a CRL repeats them.
    pub fn serial(&self) -> &[u8] {
        &self.0.serial
    }

    /// RFC 4514 text of the subject.
    pub fn subject(&self) -> String {
        // Checked when parsed.
        name::to_text(&self.0.subject).unwrap_or_default()
    }

    /// RFC 4514 text of the issuer.
    pub fn issuer(&self) -> String {
        name::to_text(&self.0.issuer).unwrap_or_default()
    }

    /// The subject as encoded.
    pub fn subject_der(&self) -> &[u8] {
        &self.0.subject
    }

    /// The issuer as encoded.
    pub fn issuer_der(&self) -> &[u8] {
        &self.0.issuer
    }

    pub fn subject_common_name(&self) -> Option<String> {
        name::find(&self.0.subject, &oids::CN)
    }

    /// The `UID` of the subject (0.9.2342.19200300.100.1.1): the topic of a push certificate.
    pub fn subject_uid(&self) -> Option<String> {
        name::find(&self.0.subject, &oids::UID)
    }

    pub fn not_before(&self) -> Timestamp {
        self.0.not_before
    }

    pub fn not_after(&self) -> Timestamp {
        self.0.not_after
    }

    /// The public key as DER `SubjectPublicKeyInfo`.
    pub fn spki_der(&self) -> &[u8] {
        &self.0.spki
    }

    /// Basic constraints say CA. Apple's oldest device CA has them, too.
    pub fn is_ca(&self) -> bool {
        self.0.extensions.ca
    }

    /// Whether the certificate may be used so: true as well if it does not restrict its use.
    pub fn key_usage(&self, usage: KeyUsage) -> bool {
        self.0.extensions.key_usage.is_none_or(|bits| bits & (0x8000 >> usage as u16) != 0)
    }

    /// Whether the certificate names this extended key usage (dotted text, such as `1.3.6.1.5.5.7.3.2` for TLS clients).
    pub fn has_extended_key_usage(&self, oid: &str) -> bool {
        self.0.extensions.extended_key_usage.as_ref().is_some_and(|all| all.iter().any(|one| one == oid))
    }

    /// The subject key identifier, usually 20 bytes.
    pub fn subject_key_id(&self) -> Option<&[u8]> {
        self.0.extensions.subject_key_id.as_deref()
    }

    /// The value of any extension (dotted text), as the octets inside its OCTET STRING.
    pub fn extension(&self, oid: &str) -> Option<&[u8]> {
        let oid = Oid::new(oid).ok()?;
        self.0.extensions.all.iter().find(|(kind, _)| kind == oid.as_bytes()).map(|(_, value)| value.as_slice())
    }

    /// Whether `ca` signed this certificate: issuer name byte for byte, then the signature (RSA PKCS#1 of 1024 to 8192 bits or
    /// ECDSA on P-256 and P-384; SHA-1 accepted). Looks at no date and at no constraint of `ca`.
    pub fn issued_by(&self, ca: &Certificate) -> bool {
        self.0.issuer == ca.0.subject
            && ca.verify(&self.0.signature_algorithm, &self.0.der[self.0.tbs.clone()], &self.0.signature)
    }

    /// Checks a signature of this certificate's key, by the OID of a combined algorithm such as sha256WithRSAEncryption.
    fn verify(&self, algorithm: &[u8], message: &[u8], signature: &[u8]) -> bool {
        oids::signature_digest(algorithm).is_some_and(|digest| self.verify_digest(digest, message, signature))
    }

    pub(super) fn verify_digest(&self, digest: DigestKind, message: &[u8], signature: &[u8]) -> bool {
        PublicKey::parse(&self.0.spki).is_ok_and(|key| key.verify(digest, message, signature))
    }

    /// Whether `key` is the private half of this certificate's key.
    pub fn key_matches(&self, key: &PrivateKey) -> bool {
        let theirs = key.spki_der();
        match (PublicKey::parse(&self.0.spki), PublicKey::parse(&theirs)) {
            (Ok(a), Ok(b)) => a.bytes() == b.bytes(),
            _ => false,
        }
    }

    /// The certificate as a PEM block.
    pub fn to_pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.0.der)
    }
}

/// The bytes of all `CERTIFICATE` blocks of a PEM text, in order.
pub fn pem_to_ders(text: &str) -> Vec<Vec<u8>> {
    pem::blocks(text).into_iter().filter(|(label, _)| label == "CERTIFICATE").map(|(_, der)| der).collect()
}

impl Extensions {
    fn read(wrapped: &Element<'_>) -> Result<Self, Malformed> {
        let mut found = Self::default();
        for extension in Reader::only(wrapped.value, SEQUENCE)?.inside().each() {
            let mut inside = Reader::only(extension?.raw, SEQUENCE)?.inside();
            let kind = inside.expect(asn1::OID)?;
            inside.optional(0x01)?; // critical: what we do not know, the caller does not ask for
            let value = inside.expect(OCTET_STRING)?.value;
            if kind.is_oid(&oids::BASIC_CONSTRAINTS) {
                let flag = Reader::only(value, SEQUENCE)?.inside().optional(0x01)?;
                found.ca = flag.is_some_and(|flag| flag.value.iter().any(|b| *b != 0));
            } else if kind.is_oid(&oids::KEY_USAGE) {
                let bits = Reader::only(value, BIT_STRING)?;
                let byte = |i: usize| u16::from(bits.value.get(i).copied().unwrap_or(0));
                found.key_usage = Some(byte(1) << 8 | byte(2));
            } else if kind.is_oid(&oids::EXTENDED_KEY_USAGE) {
                let usages = Reader::only(value, SEQUENCE)?.inside().each();
                let texts =
                    usages.map(|one| Oid::from_bytes(one?.value).map(|oid| oid.to_string()).map_err(|_| Malformed));
                found.extended_key_usage = Some(texts.collect::<Result<_, _>>()?);
            } else if kind.is_oid(&oids::SUBJECT_KEY_ID) {
                found.subject_key_id = Some(Reader::only(value, OCTET_STRING)?.value.to_vec());
            }
            found.all.push((kind.value.to_vec(), value.to_vec()));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APPLE_ROOT: &str = include_str!("apple/apple-root-ca.pem");
    const IPHONE_CA: &str = include_str!("apple/apple-iphone-certification-authority.pem");
    const DEVICE_CA: &str = include_str!("apple/apple-iphone-device-ca.pem");
    const ATTESTATION: &str = include_str!("apple/apple-enterprise-attestation-root-ca.pem");

    #[test]
    fn reads_apples_old_chain() {
        let [root, ca, device] = [APPLE_ROOT, IPHONE_CA, DEVICE_CA].map(|text| Certificate::parse_pem(text).unwrap());
        assert!(root.issued_by(&root) && ca.issued_by(&root) && device.issued_by(&ca));
        assert!(!device.issued_by(&root) && !ca.issued_by(&device));
        assert_eq!(device.subject_common_name().as_deref(), Some("Apple iPhone Device CA"));
        assert_eq!(device.subject(), "CN=Apple iPhone Device CA,OU=Apple iPhone,O=Apple Inc.,C=US");
        assert_eq!(device.issuer(), ca.subject());
        assert_eq!(device.serial_hex(), "1");
        assert_eq!(ca.serial_hex(), "17");
        assert_eq!(device.not_after().to_string()[..10], *"2014-04-16");
        assert_eq!(
            hex::encode_upper(device.fingerprint()),
            "76F27D00E1333BC88DE0E2916C38C9A7F2B75774C25A794C092A80E3C4C66CCE"
        );
        assert!(device.is_ca() && device.key_usage(KeyUsage::KeyCertSign));
        assert!(matches!(PublicKey::parse(device.spki_der()).ok().unwrap(), PublicKey::Rsa { bits: 1024, .. }));
    }

    #[test]
    fn reads_the_attestation_root() {
        let root = Certificate::parse_pem(ATTESTATION).unwrap();
        assert!(root.issued_by(&root));
        assert_eq!(root.serial_hex(), "42C0C2BB2C727C5C5EABF6F1A66F1FAC5D798737");
        assert_eq!(hex::encode_upper(root.subject_key_id().unwrap()), "F36A4D019DF26B81A55E5DBBE5086D56E2F9DEBA");
        assert!(!root.has_extended_key_usage("1.3.6.1.5.5.7.3.2"));
    }

    #[test]
    fn a_changed_certificate_is_not_issued_by_its_issuer() {
        let root = Certificate::parse_pem(APPLE_ROOT).unwrap();
        let good = Certificate::parse_pem(IPHONE_CA).unwrap();
        for at in 0..good.der().len() {
            let mut bytes = good.der().to_vec();
            bytes[at] ^= 1;
            if let Ok(changed) = Certificate::parse(&bytes) {
                assert!(!changed.issued_by(&root), "byte {at}");
            }
        }
    }

    #[test]
    fn cut_anywhere_is_an_error() {
        for text in [DEVICE_CA, ATTESTATION] {
            let cert = Certificate::parse_pem(text).unwrap();
            for cut in 0..cert.der().len() {
                assert!(Certificate::parse(&cert.der()[..cut]).is_err());
            }
            assert_eq!(Certificate::parse_pem(&cert.to_pem()).unwrap(), cert);
            assert!(Certificate::parse(&[cert.der(), &[0]].concat()).is_err());
        }
    }
}
