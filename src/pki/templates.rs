//! What Cordon's own authorities issue: one function for each kind of certificate, with every field decided here.
//!
//! Called by `service`. Nothing is ever inherited from a request but its public key: subject, purposes and dates are ours. The
//! issuer's name is copied byte for byte out of its certificate, so that an authority brought from elsewhere works as well.

use super::asn1::{self, Oid, context};
use super::keys::{KeyError, PrivateKey, PublicKey};
use super::name::attribute_type;
use super::x509::{Certificate, KeyUsage};
use super::{digest, name, oids};
use crate::base::random::{self, Random};
use crate::base::time::{DAY, MINUTE, Timestamp};
use std::net::IpAddr;

mod accounts;
pub use accounts::{AccountSubject, issue_account_identity};

/// Devices in setup have wrong clocks, and one a few minutes behind would refuse its new certificate.
pub(super) const BACKDATE: i64 = 10 * MINUTE;
const YEAR: i64 = 365 * DAY;
/// X.520's upper bound for common names and organisations.
const MAX_NAME: usize = 64;

/// Making keys and signing with the preferred digest fail only without memory or randomness.
pub(super) const NO_KEYS: &str = "this machine can make keys and sign with them";

const SERVER_AUTH: Oid = Oid::new_unwrap("1.3.6.1.5.5.7.3.1");
const CLIENT_AUTH: Oid = Oid::new_unwrap("1.3.6.1.5.5.7.3.2");

/// A certificate that may issue, and its key.
#[derive(Debug, Clone)]
pub struct Authority {
    pub certificate: Certificate,
    pub key: PrivateKey,
}

/// Why a certificate cannot be issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// RSA below 2048 bits, a curve that is not P-256 or P-384, or not a public key at all.
    #[error("the public key is too weak or of a kind that is not supported")]
    UnsuitableKey,
    /// The authority has itself expired.
    #[error("the authority has expired")]
    AuthorityExpired,
    #[error("the authority's key cannot sign: {0}")]
    Key(#[from] KeyError),
}

/// A new root: EC P-384, 20 years, path length 1. It signs the issuing authority and TLS certificates, and is the one to install.
///
/// # Panics
/// Like [`Random::fill`], if this machine cannot make keys at all.
pub fn new_root(organization: &str, now: Timestamp, random: &dyn Random) -> Authority {
    let key = PrivateKey::generate_ec_p384().expect(NO_KEYS);
    let subject = subject(&format!("{} Root CA", or_cordon(organization)), organization);
    let spki = key.spki_der();
    let draft = Draft {
        subject: &subject,
        spki: &spki,
        not_after: now.plus(20 * YEAR),
        extensions: ca_extensions(1, &[KeyUsage::KeyCertSign, KeyUsage::CrlSign]),
    };
    let certificate = draft
        .sign(&Issuer { name: &subject, key_id: key_id(&spki), key: &key, not_after: None }, now, random)
        .expect(NO_KEYS);
    Authority { certificate, key }
}

/// The authority for device identities, which is also what SCEP clients encrypt to: RSA-2048, 10 years, path length 0, and the
/// key usages that Apple's clients look for in a lone SCEP certificate (digitalSignature, keyEncipherment beside those of a CA).
/// Ends with `root` at the latest.
///
/// # Panics
/// Like [`Random::fill`], if this machine cannot make keys at all.
pub fn new_issuing_ca(root: &Authority, organization: &str, now: Timestamp, random: &dyn Random) -> Authority {
    let key = PrivateKey::generate_rsa(2048).expect(NO_KEYS);
    let subject = subject(&format!("{} Device CA", or_cordon(organization)), organization);
    let usages = [KeyUsage::DigitalSignature, KeyUsage::KeyEncipherment, KeyUsage::KeyCertSign, KeyUsage::CrlSign];
    let draft = Draft {
        subject: &subject,
        spki: &key.spki_der(),
        not_after: now.plus(10 * YEAR),
        extensions: ca_extensions(0, &usages),
    };
    Authority { certificate: draft.sign(&Issuer::of(root), now, random).expect(NO_KEYS), key }
}

/// A TLS server certificate for DNS names and IP addresses. `days` is capped by the authority's end; Apple's clients accept no more
/// than 825 days from any authority, 397 is usual.
///
/// # Errors
/// [`IssueError`].
pub fn issue_tls_server(
    authority: &Authority,
    names: &[String],
    spki_der: &[u8],
    now: Timestamp,
    days: i64,
    random: &dyn Random,
) -> Result<Certificate, IssueError> {
    let mut extensions = leaf_extensions(spki_der, Some(&SERVER_AUTH))?;
    extensions.push(alternative_names(names));
    let subject = subject(names.first().map_or("", String::as_str), "");
    Draft { subject: &subject, spki: spki_der, not_after: now.plus(days.saturating_mul(DAY)), extensions }.sign_alive(
        &Issuer::of(authority),
        now,
        random,
    )
}

/// The extension with DNS names and IP addresses.
pub(super) fn alternative_names(names: &[String]) -> Vec<u8> {
    let alternatives: Vec<Vec<u8>> = names
        .iter()
        .map(|name| match name.parse::<IpAddr>() {
            Ok(IpAddr::V4(ip)) => asn1::element(0x87, &[&ip.octets()]),
            Ok(IpAddr::V6(ip)) => asn1::element(0x87, &[&ip.octets()]),
            Err(_) => asn1::element(0x82, &[name.as_bytes()]),
        })
        .collect();
    let alternatives = asn1::sequence(&alternatives.iter().map(Vec::as_slice).collect::<Vec<_>>());
    extension(&oids::SUBJECT_ALT_NAME, Critical::No, &alternatives)
}

/// The self-signed certificate that answers TLS-ALPN-01 for `name` (RFC 8737 §3), with a key of its own.
///
/// # Errors
/// [`IssueError`], only without memory or randomness.
pub fn new_alpn_answer(
    name: &str,
    key_authorization: &str,
    now: Timestamp,
    random: &dyn Random,
) -> Result<Authority, IssueError> {
    let key = PrivateKey::generate_ec_p256()?;
    let (subject, spki) = (subject(name, ""), key.spki_der());
    let mut extensions = leaf_extensions(&spki, Some(&SERVER_AUTH))?;
    extensions.push(alternative_names(&[name.to_owned()]));
    extensions.push(extension(&oids::ACME_IDENTIFIER, Critical::Yes, &super::jws::acme_identifier(key_authorization)));
    let issuer = Issuer { name: &subject, key_id: key_id(&spki), key: &key, not_after: None };
    let certificate =
        Draft { subject: &subject, spki: &spki, not_after: now.plus(DAY), extensions }.sign(&issuer, now, random)?;
    Ok(Authority { certificate, key })
}

/// A device identity: TLS client, and recipient of encrypted profiles if the key is RSA. `common_name` is ours (an enrolment id),
/// never the request's.
///
/// # Errors
/// [`IssueError::UnsuitableKey`] for RSA below 2048 bits (Apple's clients make 1024 only when the profile does not say a size) and
/// unknown kinds of key.
pub fn issue_device_identity(
    authority: &Authority,
    spki_der: &[u8],
    common_name: &str,
    organization: &str,
    now: Timestamp,
    days: i64,
    random: &dyn Random,
) -> Result<Certificate, IssueError> {
    issue_listed_identity(authority, spki_der, common_name, organization, now, days, None, random)
}

/// As [`issue_device_identity`], with the address of the revocation list inside.
///
/// # Errors
/// As [`issue_device_identity`].
#[allow(clippy::too_many_arguments, reason = "a certificate's fields, each once")]
pub fn issue_listed_identity(
    authority: &Authority,
    spki_der: &[u8],
    common_name: &str,
    organization: &str,
    now: Timestamp,
    days: i64,
    crl_url: Option<&str>,
    random: &dyn Random,
) -> Result<Certificate, IssueError> {
    let mut extensions = leaf_extensions(spki_der, Some(&CLIENT_AUTH))?;
    if let Some(url) = crl_url {
        // DistributionPoint { distributionPoint [0] { fullName [0] { uniformResourceIdentifier [6] } } }
        let name = asn1::element(context(0), &[&asn1::element(context(0), &[&asn1::element(0x86, &[url.as_bytes()])])]);
        let points = asn1::sequence(&[&asn1::sequence(&[&name])]);
        extensions.push(extension(&oids::CRL_DISTRIBUTION_POINTS, Critical::No, &points));
    }
    let subject = subject(common_name, organization);
    Draft { subject: &subject, spki: spki_der, not_after: now.plus(days.saturating_mul(DAY)), extensions }.sign_alive(
        &Issuer::of(authority),
        now,
        random,
    )
}

/// A certificate that signs configuration profiles; people see its common name in Settings. No extended key usage.
///
/// # Errors
/// [`IssueError`].
pub fn issue_profile_signer(
    authority: &Authority,
    spki_der: &[u8],
    common_name: &str,
    organization: &str,
    now: Timestamp,
    days: i64,
    random: &dyn Random,
) -> Result<Certificate, IssueError> {
    let extensions = leaf_extensions(spki_der, None)?;
    let subject = subject(common_name, organization);
    Draft { subject: &subject, spki: spki_der, not_after: now.plus(days.saturating_mul(DAY)), extensions }.sign_alive(
        &Issuer::of(authority),
        now,
        random,
    )
}

/// A self-signed leaf, as SCEP clients throw away after one request.
pub(super) fn issue_self_signed(
    key: &PrivateKey,
    common_name: &str,
    now: Timestamp,
    days: i64,
    random: &dyn Random,
) -> Result<Certificate, IssueError> {
    let (subject, spki) = (subject(common_name, ""), key.spki_der());
    let extensions = leaf_extensions(&spki, Some(&CLIENT_AUTH))?;
    Draft { subject: &subject, spki: &spki, not_after: now.plus(days.saturating_mul(DAY)), extensions }.sign(
        &Issuer { name: &subject, key_id: key_id(&spki), key, not_after: None },
        now,
        random,
    )
}

/// A self-signed RSA certificate with its key, for somebody to encrypt one message to.
///
/// # Errors
/// [`IssueError`].
pub fn new_mail_recipient(
    now: Timestamp,
    days: i64,
    random: &dyn Random,
) -> Result<(Certificate, PrivateKey), IssueError> {
    let key = PrivateKey::generate_rsa(2048)?;
    let certificate = issue_self_signed(&key, "Cordon signing request", now, days, random)?;
    Ok((certificate, key))
}

/// The certificate to be, short of what the issuer adds.
struct Draft<'a> {
    subject: &'a [u8],
    spki: &'a [u8],
    not_after: Timestamp,
    extensions: Vec<Vec<u8>>,
}

pub(super) struct Issuer<'a> {
    pub(super) name: &'a [u8],
    key_id: Vec<u8>,
    key: &'a PrivateKey,
    /// `None` when the certificate signs itself.
    not_after: Option<Timestamp>,
}

impl<'a> Issuer<'a> {
    pub(super) fn of(authority: &'a Authority) -> Self {
        let certificate = &authority.certificate;
        let key_id = certificate.subject_key_id().map_or_else(|| key_id(certificate.spki_der()), <[u8]>::to_vec);
        Self { name: certificate.subject_der(), key_id, key: &authority.key, not_after: Some(certificate.not_after()) }
    }

    pub(super) fn authority_key_id(&self) -> Vec<u8> {
        extension(&oids::AUTHORITY_KEY_ID, Critical::No, &asn1::sequence(&[&asn1::element(0x80, &[&self.key_id])]))
    }
}

impl Draft<'_> {
    /// For leaves: an expired authority makes nothing but trouble at the devices.
    fn sign_alive(self, issuer: &Issuer<'_>, now: Timestamp, random: &dyn Random) -> Result<Certificate, IssueError> {
        if issuer.not_after.is_some_and(|end| end <= now) {
            return Err(IssueError::AuthorityExpired);
        }
        self.sign(issuer, now, random)
    }

    fn sign(self, issuer: &Issuer<'_>, now: Timestamp, random: &dyn Random) -> Result<Certificate, IssueError> {
        let not_after = issuer.not_after.map_or(self.not_after, |end| end.min(self.not_after));
        let algorithm = issuer.key.signature_algorithm(issuer.key.preferred_digest());
        let validity = asn1::sequence(&[&asn1::time(now.plus(-BACKDATE)), &asn1::time(not_after)]);
        let mut extensions = self.extensions;
        extensions.push(extension(&oids::SUBJECT_KEY_ID, Critical::No, &asn1::octets(&key_id(self.spki))));
        extensions.push(issuer.authority_key_id());
        let extensions = asn1::sequence(&extensions.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let tbs = asn1::sequence(&[
            &asn1::element(context(0), &[&asn1::integer(&[2])]),
            &asn1::integer(&serial(random)),
            &algorithm,
            issuer.name,
            &validity,
            self.subject,
            self.spki,
            &asn1::element(context(3), &[&extensions]),
        ]);
        let der = sign(&tbs, &algorithm, issuer.key)?;
        // What was just written is well-formed unless the key to be certified is not, which the callers checked.
        Certificate::parse(&der).map_err(|_| IssueError::UnsuitableKey)
    }
}

/// The signed form that certificates, CRLs and requests share.
pub(super) fn sign(tbs: &[u8], algorithm: &[u8], key: &PrivateKey) -> Result<Vec<u8>, KeyError> {
    let signature = key.sign(key.preferred_digest(), tbs)?;
    Ok(asn1::sequence(&[tbs, algorithm, &asn1::bits(&signature)]))
}

/// A positive number of 127 bits, 126 of them random: nobody can guess or collide with it.
fn serial(random: &dyn Random) -> [u8; 16] {
    let mut serial: [u8; 16] = random::bytes(random);
    serial[0] = serial[0] & 0x7f | 0x40;
    serial
}

/// RFC 7093 method 1: the first 160 bits of the SHA-256 of the public key's bits.
fn key_id(spki: &[u8]) -> Vec<u8> {
    let bytes = PublicKey::parse(spki).map_or(spki, |key| key.bytes());
    digest::sha256(bytes)[..20].to_vec()
}

fn or_cordon(organization: &str) -> String {
    let room = MAX_NAME - " Device CA".len();
    let name = if organization.trim().is_empty() { "Cordon" } else { organization.trim() };
    name.chars().take(room).collect()
}

fn subject(common_name: &str, organization: &str) -> Vec<u8> {
    let bounded = |text: &str| -> String { text.chars().take(MAX_NAME).collect() };
    let organization = bounded(organization.trim());
    let mut parts = Vec::new();
    if let Some(kind) = attribute_type("O") {
        parts.push((kind, organization.as_str()));
    }
    let common_name = bounded(common_name);
    parts.push((oids::CN, common_name.as_str()));
    name::build(&parts)
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Critical {
    Yes,
    No,
}

pub(super) fn extension(oid: &Oid, critical: Critical, value: &[u8]) -> Vec<u8> {
    let flag = if critical == Critical::Yes { asn1::boolean_true() } else { Vec::new() };
    asn1::sequence(&[&asn1::oid(oid), &flag, &asn1::octets(value)])
}

fn key_usage(usages: &[KeyUsage]) -> Vec<u8> {
    let bits = usages.iter().fold(0u8, |bits, usage| bits | 0x80 >> *usage as u8);
    let unused = bits.trailing_zeros().min(7) as u8; // DER cuts the zero bits at the end
    extension(&oids::KEY_USAGE, Critical::Yes, &asn1::element(asn1::BIT_STRING, &[&[unused, bits]]))
}

fn ca_extensions(path_length: u8, usages: &[KeyUsage]) -> Vec<Vec<u8>> {
    let constraints = asn1::sequence(&[&asn1::boolean_true(), &asn1::integer(&[path_length])]);
    vec![extension(&oids::BASIC_CONSTRAINTS, Critical::Yes, &constraints), key_usage(usages)]
}

/// Refuses keys that nobody should rely on, and says what the others may be used for.
fn leaf_extensions(spki: &[u8], purpose: Option<&Oid>) -> Result<Vec<Vec<u8>>, IssueError> {
    let usages: &[KeyUsage] = match PublicKey::parse(spki).map_err(|_| IssueError::UnsuitableKey)? {
        PublicKey::Rsa { bits: 2048..=8192, .. } => &[KeyUsage::DigitalSignature, KeyUsage::KeyEncipherment],
        PublicKey::Rsa { .. } => return Err(IssueError::UnsuitableKey),
        PublicKey::P256(point) if point.len() == 65 => &[KeyUsage::DigitalSignature],
        PublicKey::P384(point) if point.len() == 97 => &[KeyUsage::DigitalSignature],
        PublicKey::P256(_) | PublicKey::P384(_) => return Err(IssueError::UnsuitableKey),
    };
    let mut extensions =
        vec![extension(&oids::BASIC_CONSTRAINTS, Critical::Yes, &asn1::sequence(&[])), key_usage(usages)];
    if let Some(purpose) = purpose {
        extensions.push(extension(&oids::EXTENDED_KEY_USAGE, Critical::No, &asn1::sequence(&[&asn1::oid(purpose)])));
    }
    Ok(extensions)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::pki::SystemRandom;
    use crate::pki::keys::tests::RSA;
    use std::sync::LazyLock;

    pub const NOW: Timestamp = Timestamp(1_795_000_000_000);
    /// A root and an issuing authority for all tests of this room.
    pub static ROOT: LazyLock<Authority> = LazyLock::new(|| new_root("Example School", NOW, &SystemRandom));
    pub static CA: LazyLock<Authority> = LazyLock::new(|| new_issuing_ca(&ROOT, "Example School", NOW, &SystemRandom));

    #[test]
    fn the_two_authorities() {
        let (root, ca) = (&ROOT.certificate, &CA.certificate);
        assert!(root.issued_by(root) && ca.issued_by(root) && !root.issued_by(ca));
        assert_eq!(root.subject(), "CN=Example School Root CA,O=Example School");
        assert_eq!(ca.subject(), "CN=Example School Device CA,O=Example School");
        assert!(root.is_ca() && ca.is_ca() && CA.key.is_rsa());
        for usage in [KeyUsage::DigitalSignature, KeyUsage::KeyEncipherment, KeyUsage::KeyCertSign, KeyUsage::CrlSign] {
            assert!(ca.key_usage(usage));
        }
        assert!(!root.key_usage(KeyUsage::DigitalSignature) && root.key_usage(KeyUsage::CrlSign));
        assert!(ca.key_matches(&CA.key) && !ca.key_matches(&ROOT.key));
        let nameless = new_root("", NOW, &SystemRandom);
        assert_eq!(nameless.certificate.subject(), "CN=Cordon Root CA");
        let long = new_root(&"Ä".repeat(99), NOW, &SystemRandom);
        assert!(long.certificate.subject_common_name().unwrap().chars().count() <= 64);
    }

    #[test]
    fn device_identity() {
        let cert =
            issue_device_identity(&CA, &RSA.spki_der(), "E-1", "Example School", NOW, 365, &SystemRandom).unwrap();
        assert!(cert.issued_by(&CA.certificate) && cert.key_matches(&RSA) && !cert.is_ca());
        assert!(cert.has_extended_key_usage("1.3.6.1.5.5.7.3.2") && !cert.has_extended_key_usage("1.3.6.1.5.5.7.3.1"));
        assert!(cert.key_usage(KeyUsage::KeyEncipherment) && !cert.key_usage(KeyUsage::KeyCertSign));
        assert_eq!(cert.not_before(), NOW.plus(-10 * MINUTE));
        assert_eq!(cert.not_after(), NOW.plus(365 * DAY));
        assert_eq!(cert.serial().len(), 16);
        assert_ne!(cert.subject_key_id(), CA.certificate.subject_key_id());
        let ec = PrivateKey::generate_ec_p256().unwrap();
        let cert = issue_device_identity(&CA, &ec.spki_der(), "E-2", "", NOW, 99_999, &SystemRandom).unwrap();
        assert_eq!(cert.not_after(), CA.certificate.not_after());
        assert!(!cert.key_usage(KeyUsage::KeyEncipherment));
    }

    #[test]
    fn unsuitable_keys_and_authorities() {
        let weak = Certificate::parse_pem(include_str!("apple/apple-iphone-device-ca.pem")).unwrap();
        let issue = |spki: &[u8], now| issue_device_identity(&CA, spki, "E", "", now, 1, &SystemRandom).unwrap_err();
        assert_eq!(issue(weak.spki_der(), NOW), IssueError::UnsuitableKey);
        assert_eq!(issue(b"", NOW), IssueError::UnsuitableKey);
        assert_eq!(issue(&RSA.spki_der(), NOW.plus(11 * YEAR)), IssueError::AuthorityExpired);
    }

    #[test]
    fn tls_names() {
        let names = ["mdm.example.org".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        let key = PrivateKey::generate_ec_p256().unwrap();
        let cert = issue_tls_server(&ROOT, &names, &key.spki_der(), NOW, 397, &SystemRandom).unwrap();
        assert!(cert.has_extended_key_usage("1.3.6.1.5.5.7.3.1"));
        assert_eq!(cert.subject_common_name().as_deref(), Some("mdm.example.org"));
        let san = cert.extension("2.5.29.17").unwrap();
        assert_eq!(
            san,
            [b"\x30\x29\x82\x0fmdm.example.org\x87\x04\x7f\0\0\x01\x87\x10".as_slice(), &[0; 15], &[1]].concat()
        );
    }
}
