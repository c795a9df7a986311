//! The server's half: a pkiMessage becomes a [`Request`], and a request makes its CertRep.

use super::{
    CERT_POLL, CERT_REP, FailInfo, GET_CERT, PKCS_REQ, RENEWAL_REQ, ScepError, attributes, nonce, number, octets,
    printable, text,
};
use crate::base::random::{self, Random};
use crate::pki::asn1::{INTEGER, Malformed, Reader, SEQUENCE};
use crate::pki::cms::{self, CmsError, ContentCipher, Placement, Signing};
use crate::pki::csr::Csr;
use crate::pki::digest::DigestKind;
use crate::pki::keys::PrivateKey;
use crate::pki::oids;
use crate::pki::templates::Authority;
use crate::pki::x509::Certificate;

/// What is asked for.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A certificate; macOS also renews with it.
    PkcsReq(Csr),
    /// A certificate, signed with the old one: the caller checks that [`Request::signer`] is one of ours.
    RenewalReq(Csr),
    /// Is my pending request decided? Names as encoded.
    CertPoll { issuer: Vec<u8>, subject: Vec<u8> },
    /// A certificate by issuer (as encoded) and serial number.
    GetCert { issuer: Vec<u8>, serial: Vec<u8> },
    /// Any other messageType: answer [`FailInfo::BadRequest`].
    Other(u32),
    /// Signed properly, but there is nothing to be done with the content: answer with this.
    Bad(FailInfo),
}

/// A pkiMessage with a right signature by [`Request::signer`], whoever that is.
#[derive(Debug, Clone)]
pub struct Request {
    pub kind: Kind,
    /// Opaque, 1 to 256 bytes; the answer repeats it.
    pub transaction_id: String,
    /// The answer repeats it as recipientNonce.
    pub sender_nonce: Vec<u8>,
    /// Usually self-signed and thrown away; the answer is encrypted to it. Its names mean nothing.
    pub signer: Certificate,
    /// The cipher of the request; AES-128 if it could not be read.
    pub cipher: ContentCipher,
    pub digest: DigestKind,
}

impl Request {
    /// Reads a pkiMessage (BER) that was encrypted to `ca`.
    ///
    /// # Errors
    /// [`ScepError`] if no CertRep is possible. A bad content is not an error but [`Kind::Bad`], so that the client gets its answer.
    pub fn parse(message: &[u8], ca: &Certificate, ca_key: &PrivateKey) -> Result<Self, ScepError> {
        let signed = cms::verify_message(message)?;
        let transaction_id = text(&signed, &oids::SCEP_TRANSACTION_ID).ok_or(ScepError::Attributes)?;
        let sender_nonce = nonce(&signed, &oids::SCEP_SENDER_NONCE).ok_or(ScepError::Attributes)?.to_vec();
        let message_type = number(&signed, &oids::SCEP_MESSAGE_TYPE).ok_or(ScepError::Attributes)?;
        let (kind, cipher) = read_content(message_type, &signed.content, ca, ca_key);
        Ok(Self { kind, transaction_id, sender_nonce, cipher, digest: signed.digest, signer: signed.signer })
    }

    /// Whether a pkiMessage was encrypted to this certificate; `false` for what cannot be read.
    pub fn is_to(message: &[u8], ca: &Certificate) -> bool {
        cms::verify_message(message).is_ok_and(|signed| cms::is_enveloped_to(&signed.content, ca))
    }

    /// CertRep SUCCESS: `leaf` first, then `chain`, encrypted to the request's signer with its own kind of cipher.
    ///
    /// # Errors
    /// [`ScepError::Cms`] if the signer's key cannot be encrypted to (not RSA of 2048 bits or more).
    pub fn success(
        &self,
        ca: &Authority,
        leaf: &Certificate,
        chain: &[Certificate],
        random: &dyn Random,
    ) -> Result<Vec<u8>, ScepError> {
        let mut certificates = vec![leaf.clone()];
        certificates.extend_from_slice(chain);
        let bag = cms::certificates_only(&certificates);
        let content = cms::envelope(&bag, &self.signer, self.cipher.answer(), random)?;
        Ok(self.reply(ca, "0", None, Some(&content), random))
    }

    /// CertRep FAILURE, without content.
    pub fn failure(&self, ca: &Authority, info: FailInfo, random: &dyn Random) -> Vec<u8> {
        self.reply(ca, "2", Some(info), None, random)
    }

    /// CertRep PENDING, without content: the client polls.
    pub fn pending(&self, ca: &Authority, random: &dyn Random) -> Vec<u8> {
        self.reply(ca, "3", None, None, random)
    }

    fn reply(
        &self,
        ca: &Authority,
        status: &str,
        info: Option<FailInfo>,
        content: Option<&[u8]>,
        random: &dyn Random,
    ) -> Vec<u8> {
        let sender_nonce: [u8; 16] = random::bytes(random);
        let mut attributes = attributes(CERT_REP, &self.transaction_id, &sender_nonce);
        attributes.push(printable(&oids::SCEP_PKI_STATUS, status));
        attributes.push(octets(&oids::SCEP_RECIPIENT_NONCE, &self.sender_nonce));
        if let Some(info) = info {
            attributes.push(printable(&oids::SCEP_FAIL_INFO, &(info as u8).to_string()));
        }
        // The digest of the request, except SHA-1: nothing is signed with it any more, and clients that still send it verify SHA-256.
        let digest = match self.digest {
            DigestKind::Sha1 => DigestKind::Sha256,
            other if ca.key.is_rsa() => other,
            _ => ca.key.preferred_digest(),
        };
        let placement = if content.is_some() { Placement::Inside } else { Placement::Beside };
        Signing {
            content: content.unwrap_or_default(),
            placement,
            signer: &ca.certificate,
            key: &ca.key,
            chain: &[],
            digest,
            attributes: Some(attributes),
        }
        .sign()
        .expect("a key signs with a digest that it supports")
    }
}

/// Decrypts and reads the content. Whatever goes wrong behind the decryption is one and the same failure: if a wrong padding and a
/// wrong request were told apart, an eavesdropper could decrypt a captured request, challenge and all, by sending variants of it.
fn read_content(message_type: u32, content: &[u8], ca: &Certificate, key: &PrivateKey) -> (Kind, ContentCipher) {
    let plain = match cms::open_envelope(content, ca, key) {
        Ok((plain, cipher)) => {
            return (read_plain(message_type, plain.expose()).unwrap_or(Kind::Bad(FailInfo::BadMessageCheck)), cipher);
        }
        Err(error) => error,
    };
    let info = if plain == CmsError::Algorithm { FailInfo::BadAlg } else { FailInfo::BadMessageCheck };
    (Kind::Bad(info), ContentCipher::Aes128Cbc)
}

fn read_plain(message_type: u32, plain: &[u8]) -> Option<Kind> {
    match message_type {
        PKCS_REQ => Csr::parse(plain).ok().map(Kind::PkcsReq),
        RENEWAL_REQ => Csr::parse(plain).ok().map(Kind::RenewalReq),
        CERT_POLL => two(plain, SEQUENCE).ok().map(|(issuer, subject)| Kind::CertPoll { issuer, subject }),
        GET_CERT => two(plain, INTEGER).ok().map(|(issuer, serial)| Kind::GetCert { issuer, serial }),
        other => Some(Kind::Other(other)),
    }
}

/// A name, as encoded, and what is named with it: another name as encoded, or the content of a serial number.
fn two(plain: &[u8], second: u8) -> Result<(Vec<u8>, Vec<u8>), Malformed> {
    let mut inside = Reader::only(plain, SEQUENCE)?.inside();
    let issuer = inside.expect(SEQUENCE)?.raw.to_vec();
    let other = inside.expect(second)?;
    inside.end()?;
    Ok((issuer, if second == INTEGER { other.value } else { other.raw }.to_vec()))
}
