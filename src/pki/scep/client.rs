//! The client's half, as a device does it: for the simulator, the tests and `doctor`.

use super::{CERT_POLL, CERT_REP, PKCS_REQ, ScepError, attributes, nonce, number, text};
use crate::base::random::{self, Random};
use crate::base::time::Timestamp;
use crate::pki::asn1;
use crate::pki::cms::{self, CmsError, ContentCipher, Placement, Signing};
use crate::pki::digest::DigestKind;
use crate::pki::keys::PrivateKey;
use crate::pki::oids;
use crate::pki::templates::{IssueError, issue_self_signed};
use crate::pki::x509::Certificate;

/// What the server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Success(Certificate),
    /// With its failInfo.
    Failure(u32),
    Pending,
}

/// A self-signed RSA-2048 certificate under which one request is sent, named like that of Apple's clients.
///
/// # Errors
/// [`IssueError::Key`] if this machine cannot make keys.
pub fn throw_away_signer(now: Timestamp, random: &dyn Random) -> Result<(Certificate, PrivateKey), IssueError> {
    let key = PrivateKey::generate_rsa(2048)?;
    Ok((issue_self_signed(&key, "MDM SCEP SIGNER", now, 365, random)?, key))
}

/// A PKCSReq with this request, encrypted to `ca`. Its nonce is what [`sender_nonce`] says.
///
/// # Errors
/// [`ScepError::Cms`] if the authority's key is not RSA, or `digest` is SHA-1, which is not signed with any more.
#[expect(clippy::too_many_arguments, reason = "they are the fields of the message")]
pub fn build_request(
    csr_der: &[u8],
    signer: &Certificate,
    signer_key: &PrivateKey,
    ca: &Certificate,
    transaction_id: &str,
    cipher: ContentCipher,
    digest: DigestKind,
    random: &dyn Random,
) -> Result<Vec<u8>, ScepError> {
    let content = cms::envelope(csr_der, ca, cipher, random)?;
    build(PKCS_REQ, &content, signer, signer_key, transaction_id, digest, random)
}

/// A CertPoll for a request that is pending: `subject_der` is the encoded subject of the request.
///
/// # Errors
/// As [`build_request`].
pub fn build_poll(
    subject_der: &[u8],
    signer: &Certificate,
    signer_key: &PrivateKey,
    ca: &Certificate,
    transaction_id: &str,
    random: &dyn Random,
) -> Result<Vec<u8>, ScepError> {
    let plain = asn1::sequence(&[ca.subject_der(), subject_der]);
    let content = cms::envelope(&plain, ca, ContentCipher::Aes128Cbc, random)?;
    build(CERT_POLL, &content, signer, signer_key, transaction_id, DigestKind::Sha256, random)
}

/// The nonce inside a request of ours, which the reply must repeat.
pub fn sender_nonce(request: &[u8]) -> Option<Vec<u8>> {
    nonce(&cms::verify_message(request).ok()?, &oids::SCEP_SENDER_NONCE).map(<[u8]>::to_vec)
}

/// Reads a CertRep: signed by `ca`, of the same transaction as `expected_nonce`; a certificate must be for nobody else than was asked.
///
/// # Errors
/// [`ScepError`].
pub fn read_reply(
    message: &[u8],
    ca: &Certificate,
    signer: &Certificate,
    signer_key: &PrivateKey,
    expected_nonce: &[u8],
) -> Result<Reply, ScepError> {
    let signed = cms::verify_message(message)?;
    let ours = number(&signed, &oids::SCEP_MESSAGE_TYPE) == Some(CERT_REP)
        && signed.signer == *ca
        && nonce(&signed, &oids::SCEP_RECIPIENT_NONCE) == Some(expected_nonce);
    if !ours {
        return Err(ScepError::NotTheAnswer);
    }
    match text(&signed, &oids::SCEP_PKI_STATUS).as_deref() {
        Some("0") => {
            let (bag, _) = cms::open_envelope(&signed.content, signer, signer_key)?;
            let leaf = cms::read_certificates(bag.expose())?.into_iter().next();
            leaf.map(Reply::Success).ok_or(ScepError::Cms(CmsError::NoCertificate))
        }
        Some("2") => number(&signed, &oids::SCEP_FAIL_INFO).map(Reply::Failure).ok_or(ScepError::Attributes),
        Some("3") => Ok(Reply::Pending),
        _ => Err(ScepError::Attributes),
    }
}

fn build(
    message_type: u32,
    content: &[u8],
    signer: &Certificate,
    key: &PrivateKey,
    transaction_id: &str,
    digest: DigestKind,
    random: &dyn Random,
) -> Result<Vec<u8>, ScepError> {
    let nonce: [u8; 16] = random::bytes(random);
    let attributes = Some(attributes(message_type, transaction_id, &nonce));
    Ok(Signing { content, placement: Placement::Inside, signer, key, chain: &[], digest, attributes }.sign()?)
}

#[cfg(test)]
mod tests {
    use super::super::{FailInfo, Kind, Request};
    use super::*;
    use crate::pki::SystemRandom;
    use crate::pki::ber::tests::indefinite;
    use crate::pki::csr;
    use crate::pki::templates::tests::{CA, NOW, ROOT};
    use crate::pki::templates::{Authority, issue_device_identity, issue_self_signed};
    use std::sync::LazyLock;

    static SIGNER: LazyLock<(Certificate, PrivateKey)> =
        LazyLock::new(|| throw_away_signer(NOW, &SystemRandom).unwrap());

    fn request(content: &[u8], cipher: ContentCipher, digest: DigestKind) -> Vec<u8> {
        build_request(content, &SIGNER.0, &SIGNER.1, &CA.certificate, "TX", cipher, digest, &SystemRandom).unwrap()
    }

    fn parse(message: &[u8]) -> Result<Request, ScepError> {
        Request::parse(message, &CA.certificate, &CA.key)
    }

    fn read(reply: &[u8], request: &[u8]) -> Result<Reply, ScepError> {
        read_reply(reply, &CA.certificate, &SIGNER.0, &SIGNER.1, &sender_nonce(request).unwrap())
    }

    #[test]
    fn a_device_gets_its_certificate() {
        let device = PrivateKey::generate_ec_p256().unwrap();
        let csr = csr::create(&device, &[("CN", "com.apple.security.scep.X")], Some("challenge"));
        for (cipher, digest) in [
            (ContentCipher::Aes128Cbc, DigestKind::Sha256),
            (ContentCipher::TripleDes, DigestKind::Sha512),
            (ContentCipher::Aes256Cbc, DigestKind::Sha384),
        ] {
            let message = request(&csr, cipher, digest);
            for message in [message.clone(), indefinite(&message, 100)] {
                let asked = parse(&message).unwrap();
                assert_eq!((asked.transaction_id.as_str(), asked.cipher, asked.digest), ("TX", cipher, digest));
                assert_eq!(asked.signer, SIGNER.0);
                let Kind::PkcsReq(csr) = &asked.kind else { panic!("{:?}", asked.kind) };
                assert_eq!(csr.challenge_password().unwrap().expose(), "challenge");
                let leaf = issue_device_identity(&CA, csr.spki_der(), "E-1", "", NOW, 365, &SystemRandom).unwrap();
                let reply = asked.success(&CA, &leaf, std::slice::from_ref(&CA.certificate), &SystemRandom).unwrap();
                assert_eq!(read(&reply, &message), Ok(Reply::Success(leaf)));
                assert_eq!(cms::verify_attached(&reply).unwrap().digest, digest);
                let other_nonce = read_reply(&reply, &CA.certificate, &SIGNER.0, &SIGNER.1, b"other");
                assert_eq!(other_nonce, Err(ScepError::NotTheAnswer));
                assert_eq!(
                    read_reply(&reply, &ROOT.certificate, &SIGNER.0, &SIGNER.1, &sender_nonce(&message).unwrap()),
                    Err(ScepError::NotTheAnswer)
                );
            }
        }
    }

    #[test]
    fn old_clients_are_answered_in_what_is_still_made() {
        let csr = csr::create(&SIGNER.1, &[], None);
        let message = request(&csr, ContentCipher::TripleDes, DigestKind::Sha256);
        let asked = Request { cipher: ContentCipher::Des, digest: DigestKind::Sha1, ..parse(&message).unwrap() };
        let reply = asked.success(&CA, &SIGNER.0, &[], &SystemRandom).unwrap();
        let signed = cms::verify_attached(&reply).unwrap();
        assert_eq!(signed.digest, DigestKind::Sha256);
        assert_eq!(cms::open_envelope(&signed.content, &SIGNER.0, &SIGNER.1).unwrap().1, ContentCipher::TripleDes);
    }

    #[test]
    fn failure_and_pending_have_no_content() {
        let message = request(b"not a request", ContentCipher::Aes128Cbc, DigestKind::Sha256);
        let asked = parse(&message).unwrap();
        assert!(matches!(asked.kind, Kind::Bad(FailInfo::BadMessageCheck)));
        let reply = asked.failure(&CA, FailInfo::BadRequest, &SystemRandom);
        assert_eq!(read(&reply, &message), Ok(Reply::Failure(2)));
        assert!(cms::verify_attached(&reply).is_err());
        assert_eq!(read(&asked.pending(&CA, &SystemRandom), &message), Ok(Reply::Pending));
    }

    #[test]
    fn padding_and_content_fail_alike() {
        let csr = csr::create(&SIGNER.1, &[], None);
        let envelope = cms::envelope(&csr, &CA.certificate, ContentCipher::Aes128Cbc, &SystemRandom).unwrap();
        // From the encrypted key to the end of the content: every changed byte, decrypted or not, has one answer.
        for at in (envelope.len() - 300..envelope.len()).step_by(7) {
            let mut bad = envelope.clone();
            bad[at] ^= 1;
            let message = build(PKCS_REQ, &bad, &SIGNER.0, &SIGNER.1, "TX", DigestKind::Sha256, &SystemRandom).unwrap();
            assert!(matches!(parse(&message).unwrap().kind, Kind::Bad(FailInfo::BadMessageCheck)), "byte {at}");
        }
    }

    #[test]
    fn other_kinds() {
        let subject = SIGNER.0.subject_der();
        let poll = build_poll(subject, &SIGNER.0, &SIGNER.1, &CA.certificate, "TX", &SystemRandom).unwrap();
        let Kind::CertPoll { issuer, subject: found } = parse(&poll).unwrap().kind else { panic!() };
        assert_eq!((issuer.as_slice(), found.as_slice()), (CA.certificate.subject_der(), subject));
        let envelope =
            |plain: &[u8]| cms::envelope(plain, &CA.certificate, ContentCipher::Aes128Cbc, &SystemRandom).unwrap();
        let message = |kind, content: &[u8]| {
            build(kind, content, &SIGNER.0, &SIGNER.1, "TX", DigestKind::Sha256, &SystemRandom).unwrap()
        };
        let by_serial = envelope(&asn1::sequence(&[subject, &asn1::integer(&[7])]));
        assert!(matches!(parse(&message(21, &by_serial)).unwrap().kind, Kind::GetCert { serial, .. } if serial == [7]));
        assert!(matches!(parse(&message(22, &by_serial)).unwrap().kind, Kind::Other(22)));
        let renewal = envelope(&csr::create(&SIGNER.1, &[], None));
        assert!(matches!(parse(&message(17, &renewal)).unwrap().kind, Kind::RenewalReq(_)));
        assert!(matches!(parse(&message(19, b"")).unwrap().kind, Kind::Bad(FailInfo::BadMessageCheck)));
        // GCM instead of CBC: an algorithm that everybody can see is not ours.
        let mut gcm = envelope(b"x");
        let at = gcm.windows(9).position(|w| w == [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 2]).unwrap();
        gcm[at + 8] = 6;
        assert!(matches!(parse(&message(19, &gcm)).unwrap().kind, Kind::Bad(FailInfo::BadAlg)));
    }

    #[test]
    fn no_answer_without_attributes_or_signature() {
        let csr = csr::create(&SIGNER.1, &[], None);
        let good = request(&csr, ContentCipher::Aes128Cbc, DigestKind::Sha256);
        for at in 0..good.len() {
            assert!(parse(&good[..at]).is_err());
        }
        let plain = cms::sign_attached(b"x", &SIGNER.0, &SIGNER.1, &[], NOW);
        assert_eq!(parse(&plain).unwrap_err(), ScepError::Attributes);
        let long = "x".repeat(257);
        let message = build(PKCS_REQ, b"", &SIGNER.0, &SIGNER.1, &long, DigestKind::Sha256, &SystemRandom).unwrap();
        assert_eq!(parse(&message).unwrap_err(), ScepError::Attributes);
        assert!(build(PKCS_REQ, b"", &SIGNER.0, &SIGNER.1, "TX", DigestKind::Sha1, &SystemRandom).is_err());
    }

    #[test]
    fn a_signer_without_rsa_cannot_be_given_a_certificate() {
        let key = PrivateKey::generate_ec_p256().unwrap();
        let signer = issue_self_signed(&key, "EC", NOW, 1, &SystemRandom).unwrap();
        let csr = csr::create(&key, &[], None);
        let message = build_request(
            &csr,
            &signer,
            &key,
            &CA.certificate,
            "TX",
            ContentCipher::Aes128Cbc,
            DigestKind::Sha256,
            &SystemRandom,
        )
        .unwrap();
        let asked = parse(&message).unwrap();
        assert!(matches!(asked.success(&CA, &signer, &[], &SystemRandom), Err(ScepError::Cms(CmsError::Key(_)))));
        let other = Authority { certificate: CA.certificate.clone(), key: CA.key.clone() };
        assert!(!asked.failure(&other, FailInfo::BadAlg, &SystemRandom).is_empty());
    }
}
