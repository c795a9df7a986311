//! The stand-in's throw-away CA, its server certificate, and push certificates as Apple's portal would issue them.
//!
//! Used by the stand-in. Deliberately not here: the server's own CA, which lives in `pki`.

use crate::base::time::{DAY, Timestamp};
use der::Decode;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, PublicKeyData, SignatureAlgorithm,
};
use std::io;

/// Subject attribute UID (RFC 4519 2.39), which holds the topic.
const UID: &[u64] = &[0, 9, 2342, 19_200_300, 100, 1, 1];
/// The same as text, for reading.
const UID_TEXT: &str = "0.9.2342.19200300.100.1.1";
/// Apple's extension that marks an MDM push certificate.
const MDM_PUSH: &[u64] = &[1, 2, 840, 113_635, 100, 6, 3, 2];

/// The CA that stands for Apple's.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new() -> io::Result<Self> {
        let mut params = named("Stand-in push CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, key()?).map_err(io::Error::other)?;
        Ok(Self { issuer })
    }

    pub(super) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(super) fn der(&self) -> Vec<u8> {
        self.issuer.der().to_vec()
    }

    /// The stand-in's own certificate and key, DER, for every loopback name.
    pub(super) fn server_certificate(&self) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = key()?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(io::Error::other)?;
        Ok((certificate.der().to_vec(), key.serialize_der()))
    }

    /// A push certificate for `topic`, valid for a year as Apple's are: certificate and PKCS#8 key, PEM.
    pub(super) fn push_certificate(&self, topic: &str, now: Timestamp) -> io::Result<(String, String)> {
        let key = key()?;
        let certificate = push_params(topic, now)?.signed_by(&key, &self.issuer).map_err(io::Error::other)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// The same for the public key of a request (DER), as Apple's portal answers an upload: PEM.
    pub(super) fn push_certificate_for(&self, topic: &str, spki_der: &[u8], now: Timestamp) -> io::Result<String> {
        let info = x509_cert::spki::SubjectPublicKeyInfoRef::from_der(spki_der).map_err(io::Error::other)?;
        let key = Requested(info.subject_public_key.raw_bytes().to_vec());
        Ok(push_params(topic, now)?.signed_by(&key, &self.issuer).map_err(io::Error::other)?.pem())
    }
}

/// The RSA key of a request.
struct Requested(Vec<u8>);

impl PublicKeyData for Requested {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_RSA_SHA256
    }
}

fn push_params(topic: &str, now: Timestamp) -> io::Result<CertificateParams> {
    let name = topic.rsplit('.').next().unwrap_or(topic);
    let mut params = named(&format!("APSP:{name}"));
    params.distinguished_name.push(DnType::CountryName, "US");
    params.distinguished_name.push(DnType::CustomDnType(UID.to_vec()), DnValue::Utf8String(topic.to_owned()));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.custom_extensions = vec![CustomExtension::from_oid_content(MDM_PUSH, vec![5, 0])];
    let ((y, m, d), (next_y, next_m, next_d)) = (day(now.plus(-DAY))?, day(now.plus(365 * DAY))?);
    params.not_before = rcgen::date_time_ymd(y, m, d);
    params.not_after = rcgen::date_time_ymd(next_y, next_m, next_d);
    Ok(params)
}

/// The topic in a push certificate: its subject's UID.
pub(super) fn topic_of(certificate_der: &[u8]) -> Option<String> {
    let certificate = x509_cert::Certificate::from_der(certificate_der).ok()?;
    let mut attributes = certificate.tbs_certificate.subject.0.iter().flat_map(|rdn| rdn.0.iter());
    let uid = attributes.find(|a| a.oid.to_string() == UID_TEXT)?;
    String::from_utf8(uid.value.value().to_vec()).ok()
}

fn key() -> io::Result<KeyPair> {
    KeyPair::generate().map_err(io::Error::other)
}

fn named(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

/// Year, month and day in UTC, as rcgen takes its dates.
fn day(at: Timestamp) -> io::Result<(i32, u8, u8)> {
    let at = jiff::Timestamp::from_second(at.secs()).map_err(io::Error::other)?.to_zoned(jiff::tz::TimeZone::UTC);
    Ok((i32::from(at.year()), at.month().unsigned_abs(), at.day().unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    #[test]
    fn a_push_certificate_carries_its_topic() {
        let authority = Authority::new().unwrap();
        let topic = "com.apple.mgmt.External.a1";
        let (pem, _) = authority.push_certificate(topic, Timestamp::from_secs(1_795_000_000)).unwrap();
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        assert_eq!(topic_of(&der).as_deref(), Some(topic));
        assert_eq!(topic_of(&authority.der()), None);
        assert_eq!(topic_of(b"no certificate"), None);
    }
}
