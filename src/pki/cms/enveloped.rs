//! EnvelopedData (RFC 5652 §6) with RSA key transport: what SCEP and encrypted profiles use. No OAEP and no authenticated ciphers,
//! because Apple's clients take neither there.

use super::{CmsError, issuer_and_serial, names, unwrap, wrap};
use crate::base::random::{self, Random};
use crate::base::secret::Secret;
use crate::pki::asn1::{self, Element, INTEGER, OCTET_STRING, Oid, Reader, SEQUENCE, SET, context};
use crate::pki::keys::{PrivateKey, encrypt_pkcs1};
use crate::pki::x509::Certificate;
use crate::pki::{ber, oids};
use aws_lc_rs::cipher::{
    self as aws, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey,
    UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use zeroize::Zeroizing;

/// Recipients that one message may have.
const MAX_RECIPIENTS: usize = 16;

/// Content ciphers of the field, all in CBC mode with PKCS#7 padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentCipher {
    /// Read only: old Linux SCEP clients send it whatever the server advertises.
    Des,
    /// Apple's clients of 2016 and older; still the fallback of SCEP.
    TripleDes,
    Aes128Cbc,
    Aes192Cbc,
    Aes256Cbc,
}

const ALL: [ContentCipher; 5] = [
    ContentCipher::Des,
    ContentCipher::TripleDes,
    ContentCipher::Aes128Cbc,
    ContentCipher::Aes192Cbc,
    ContentCipher::Aes256Cbc,
];

impl ContentCipher {
    /// What to answer in: the same, but never single DES.
    pub fn answer(self) -> Self {
        if self == Self::Des { Self::TripleDes } else { self }
    }

    fn oid(self) -> Oid {
        match self {
            Self::Des => oids::DES_CBC,
            Self::TripleDes => oids::DES_EDE3_CBC,
            Self::Aes128Cbc => oids::AES128_CBC,
            Self::Aes192Cbc => oids::AES192_CBC,
            Self::Aes256Cbc => oids::AES256_CBC,
        }
    }

    fn key_length(self) -> usize {
        match self {
            Self::Des => 8,
            Self::Aes128Cbc => 16,
            Self::TripleDes | Self::Aes192Cbc => 24,
            Self::Aes256Cbc => 32,
        }
    }

    fn block_length(self) -> usize {
        if matches!(self, Self::Des | Self::TripleDes) { 8 } else { 16 }
    }

    #[expect(deprecated, reason = "devices in the field still use both kinds of DES")]
    fn algorithm(self) -> &'static aws::Algorithm {
        match self {
            Self::Des => &aws::DES_FOR_LEGACY_USE_ONLY,
            Self::TripleDes => &aws::DES_EDE3_FOR_LEGACY_USE_ONLY,
            Self::Aes128Cbc => &aws::AES_128,
            Self::Aes192Cbc => &aws::AES_192,
            Self::Aes256Cbc => &aws::AES_256,
        }
    }
}

/// Encrypts `plaintext` to the RSA key of `recipient`. Its key usage is not looked at: the throw-away certificate of an Apple SCEP
/// client allows signatures only, and must be answered.
///
/// # Errors
/// [`CmsError::Key`] if the recipient's key is not RSA of 2048 bits or more; [`CmsError::Algorithm`] for single DES.
pub fn envelope(
    plaintext: &[u8],
    recipient: &Certificate,
    cipher: ContentCipher,
    random: &dyn Random,
) -> Result<Vec<u8>, CmsError> {
    if cipher == ContentCipher::Des {
        return Err(CmsError::Algorithm);
    }
    build(plaintext, recipient, cipher, random)
}

/// Decrypts a message for `recipient`, and says which cipher it used.
///
/// # Errors
/// [`CmsError::Malformed`] and [`CmsError::Algorithm`] for what everybody can see; [`CmsError::Undecryptable`] for all that only the
/// key's owner could know. A wrong PKCS#1 padding goes on with another key, so it is the same error as wrong content.
pub fn open_envelope(
    message: &[u8],
    recipient: &Certificate,
    key: &PrivateKey,
) -> Result<(Secret<Vec<u8>>, ContentCipher), CmsError> {
    let der = ber::to_der(message)?;
    let mut data = unwrap(&der, &oids::ENVELOPED_DATA)?;
    data.expect(INTEGER)?;
    data.optional(context(0))?; // originator info
    let recipients = data.expect(SET)?;
    let mut content = data.sequence()?;
    content.expect(asn1::OID)?;
    let mut algorithm = content.sequence()?;
    let kind = algorithm.expect(asn1::OID)?;
    let cipher = ALL.into_iter().find(|cipher| kind.is_oid(&cipher.oid())).ok_or(CmsError::Algorithm)?;
    let iv = algorithm.expect(OCTET_STRING)?.value;
    // Decrypted in place.
    let mut encrypted = Zeroizing::new(fold(content.any()?)?);
    let sealed_key = sealed_key(&recipients, recipient)?;
    let key = key.decrypt_pkcs1(sealed_key, cipher.key_length());
    decrypt(cipher, &key, iv, &mut encrypted).map(|plain| (plain, cipher)).ok_or(CmsError::Undecryptable)
}

/// Whether a message names this certificate among those that it is for. Everybody can see that; it needs no key.
pub fn is_enveloped_to(message: &[u8], recipient: &Certificate) -> bool {
    let look = || -> Result<bool, CmsError> {
        let der = ber::to_der(message)?;
        let mut data = unwrap(&der, &oids::ENVELOPED_DATA)?;
        data.expect(INTEGER)?;
        data.optional(context(0))?; // originator info
        for info in data.expect(SET)?.inside().each().take(MAX_RECIPIENTS) {
            let info = info?;
            let mut inside = info.inside();
            if info.tag == SEQUENCE && inside.expect(INTEGER).is_ok() && names(&inside.any()?, recipient) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    look().unwrap_or(false)
}

/// The `[0]` IMPLICIT OCTET STRING: whole, or in the pieces that streaming encoders send (`ber` cannot know it is a string).
fn fold(field: Element<'_>) -> Result<Vec<u8>, CmsError> {
    match field.tag {
        0x80 => Ok(field.value.to_vec()),
        0xa0 => {
            let mut whole = Vec::with_capacity(field.value.len());
            for piece in field.inside().each() {
                whole.extend_from_slice(Reader::only(piece?.raw, OCTET_STRING)?.value);
            }
            Ok(whole)
        }
        _ => Err(CmsError::Malformed),
    }
}

/// The encrypted content key for our certificate. A lone recipient needs not be named right: the decryption decides.
fn sealed_key<'a>(recipients: &Element<'a>, ours: &Certificate) -> Result<&'a [u8], CmsError> {
    let mut found = Vec::new();
    for info in recipients.inside().each() {
        let info = info?;
        if found.len() == MAX_RECIPIENTS {
            return Err(CmsError::Malformed);
        }
        if info.tag != SEQUENCE {
            continue; // key agreement and passwords
        }
        let mut inside = info.inside();
        inside.expect(INTEGER)?;
        let id = inside.any()?;
        if !inside.sequence()?.any()?.is_oid(&oids::RSA) {
            return Err(CmsError::Algorithm);
        }
        found.push((id, inside.expect(OCTET_STRING)?.value));
    }
    match found.as_slice() {
        [(_, key)] => Ok(key),
        many => many.iter().find(|(id, _)| names(id, ours)).map(|(_, key)| *key).ok_or(CmsError::Undecryptable),
    }
}

fn build(
    plaintext: &[u8],
    recipient: &Certificate,
    cipher: ContentCipher,
    random: &dyn Random,
) -> Result<Vec<u8>, CmsError> {
    let mut key = vec![0; cipher.key_length()];
    random.fill(&mut key);
    if cipher.block_length() == 8 {
        // DES keys have an odd parity bit in each byte; some implementations check it.
        key.iter_mut().for_each(|b| *b = *b & 0xfe | ((*b >> 1).count_ones() as u8 & 1 ^ 1));
    }
    let key = Secret::new(key);
    let (iv, encrypted) = encrypt(cipher, &key, plaintext, random).ok_or(CmsError::Undecryptable)?;
    let sealed_key = encrypt_pkcs1(recipient.spki_der(), key.expose())?;
    let info = asn1::sequence(&[
        &asn1::integer(&[0]),
        &issuer_and_serial(recipient),
        &asn1::sequence(&[&asn1::oid(&oids::RSA), &asn1::null()]),
        &asn1::octets(&sealed_key),
    ]);
    let content = asn1::sequence(&[
        &asn1::oid(&oids::DATA),
        &asn1::sequence(&[&asn1::oid(&cipher.oid()), &asn1::octets(&iv)]),
        &asn1::element(0x80, &[&encrypted]),
    ]);
    Ok(wrap(&oids::ENVELOPED_DATA, &asn1::sequence(&[&asn1::integer(&[0]), &asn1::element(SET, &[&info]), &content])))
}

fn encrypt(
    cipher: ContentCipher,
    key: &Secret<Vec<u8>>,
    plaintext: &[u8],
    random: &dyn Random,
) -> Option<(Vec<u8>, Vec<u8>)> {
    let key = UnboundCipherKey::new(cipher.algorithm(), key.expose()).ok()?;
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).ok()?;
    let iv: [u8; 16] = random::bytes(random);
    let iv = iv.get(..cipher.block_length())?;
    let context = match cipher.block_length() {
        8 => EncryptionContext::Iv64(FixedLength::try_from(iv).ok()?),
        _ => EncryptionContext::Iv128(FixedLength::try_from(iv).ok()?),
    };
    let mut buffer = plaintext.to_vec();
    key.less_safe_encrypt(&mut buffer, context).ok()?;
    Some((iv.to_vec(), buffer))
}

fn decrypt(cipher: ContentCipher, key: &Secret<Vec<u8>>, iv: &[u8], buffer: &mut [u8]) -> Option<Secret<Vec<u8>>> {
    let key = UnboundCipherKey::new(cipher.algorithm(), key.expose()).ok()?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
    let context = match cipher.block_length() {
        8 => DecryptionContext::Iv64(FixedLength::try_from(iv).ok()?),
        _ => DecryptionContext::Iv128(FixedLength::try_from(iv).ok()?),
    };
    key.decrypt(buffer, context).ok().map(|plain| Secret::new(plain.to_vec()))
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

    #[test]
    fn round_trips_with_every_cipher() {
        let ca = &CA.certificate;
        for cipher in ALL {
            for plain in [&b""[..], b"12345678", b"a longer content that fills several blocks of any cipher"] {
                let message = build(plain, ca, cipher, &SystemRandom).unwrap();
                assert_eq!(open_envelope(&message, ca, &CA.key).unwrap(), (Secret::new(plain.to_vec()), cipher));
                assert_eq!(
                    open_envelope(&indefinite(&message, 3), ca, &CA.key).unwrap(),
                    (Secret::new(plain.to_vec()), cipher)
                );
            }
        }
        assert_eq!(envelope(b"", ca, ContentCipher::Des, &SystemRandom), Err(CmsError::Algorithm));
        assert_eq!(ContentCipher::Des.answer(), ContentCipher::TripleDes);
    }

    #[test]
    fn reads_what_openssl_streams() {
        // openssl cms -encrypt -stream: indefinite lengths and [0] constructed around OCTET STRINGs. Key and certificate are throw-away.
        let text = include_str!("../fixtures/envelope-aes192.b64");
        let message = pem::blocks(&format!("-----BEGIN X-----\n{text}\n-----END X-----")).remove(0).1;
        let recipient = Certificate::parse_pem(include_str!("../fixtures/envelope-recipient.pem")).unwrap();
        let key = PrivateKey::from_pem(include_str!("../fixtures/envelope-key.pem")).unwrap();
        let (plain, cipher) = open_envelope(&message, &recipient, &key).unwrap();
        assert_eq!((plain.expose().as_slice(), cipher), (&b"<plist><dict/></plist>"[..], ContentCipher::Aes192Cbc));
        for cut in 0..message.len() {
            assert!(open_envelope(&message[..cut], &recipient, &key).is_err());
        }
    }

    #[test]
    fn one_error_for_every_failure_of_the_key() {
        let ca = &CA.certificate;
        let good = envelope(&[7; 100], ca, ContentCipher::Aes128Cbc, &SystemRandom).unwrap();
        assert_eq!(open_envelope(&good, ca, &RSA).unwrap_err(), CmsError::Undecryptable);
        let (mut failures, mut garbage) = (0, 0);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            match open_envelope(&bad, ca, &CA.key) {
                Err(CmsError::Undecryptable) => failures += 1,
                Err(CmsError::Malformed | CmsError::Algorithm) => {}
                Err(other) => panic!("{other:?}"),
                Ok((plain, _)) if *plain.expose() == [7; 100] => {}
                Ok(_) => garbage += 1,
            }
        }
        assert!(failures >= 250 && garbage > 0, "{failures} {garbage}");
    }

    #[test]
    fn picks_its_own_recipient() {
        let device = issue_device_identity(&CA, &RSA.spki_der(), "E", "", NOW, 1, &SystemRandom).unwrap();
        let message = envelope(b"x", &device, ContentCipher::Aes256Cbc, &SystemRandom).unwrap();
        // The same message with the recipient of another in front of its own.
        let stranger = envelope(b"y", &CA.certificate, ContentCipher::Aes256Cbc, &SystemRandom).unwrap();
        let infos = |message: &[u8]| {
            let mut data = unwrap(message, &oids::ENVELOPED_DATA).unwrap();
            data.any().unwrap();
            (data.any().unwrap().value.to_vec(), data.any().unwrap().raw.to_vec())
        };
        let ((ours, content), (theirs, _)) = (infos(&message), infos(&stranger));
        let both = asn1::element(SET, &[&theirs, &ours]);
        let message = wrap(&oids::ENVELOPED_DATA, &asn1::sequence(&[&asn1::integer(&[0]), &both, &content]));
        assert_eq!(open_envelope(&message, &device, &RSA).unwrap().0.expose(), b"x");
        let ec = PrivateKey::generate_ec_p256().unwrap();
        let ec = issue_device_identity(&CA, &ec.spki_der(), "E", "", NOW, 1, &SystemRandom).unwrap();
        assert!(matches!(envelope(b"", &ec, ContentCipher::Aes128Cbc, &SystemRandom), Err(CmsError::Key(_))));
    }
}
