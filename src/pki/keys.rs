//! Private keys, and checking signatures with public ones. Called by everything in this room; `service` makes and stores keys through it.
//!
//! RSA is PKCS#1 v1.5 throughout: that is what Apple's clients and X.509 in the field speak. Where keys are kept is not here.

use super::asn1::{self, BIT_STRING, Malformed, OCTET_STRING, Oid, Reader, SEQUENCE};
use super::digest::{DigestKind, hmac_sha256};
use super::oids;
use crate::base::secret::Secret;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{
    KeySize, Pkcs1PrivateDecryptingKey, Pkcs1PublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
};
use aws_lc_rs::signature::{self as sig, EcdsaKeyPair, KeyPair, RsaKeyPair};
use std::sync::Arc;
use zeroize::Zeroize;

/// Why a key cannot be used. Never holds a byte of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Neither RSA of 2048 to 8192 bits nor EC on P-256 or P-384, or damaged.
    #[error("not a private key that can be used: RSA of 2048 bits or more, or EC on P-256 or P-384, unencrypted")]
    NotAKey,
    /// RSA sizes that can be made: 2048, 3072, 4096.
    #[error("RSA keys are made with 2048, 3072 or 4096 bits")]
    Size,
    /// This key does not sign with that digest; SHA-1 is never signed with.
    #[error("this key does not sign with that digest")]
    Digest,
    /// The cryptographic library refused.
    #[error("the cryptographic operation failed")]
    Failed,
}

/// An RSA (2048 bits and more) or EC (P-256, P-384) private key. Cheap to clone.
#[derive(Clone)]
pub struct PrivateKey(Arc<Inner>);

struct Inner {
    kind: Kind,
    pkcs8: Secret<Vec<u8>>,
    spki: Vec<u8>,
}

enum Kind {
    Rsa { signer: Box<RsaKeyPair>, opener: Pkcs1PrivateDecryptingKey },
    Ec { signer: EcdsaKeyPair, curve: Curve },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Curve {
    P256,
    P384,
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_rsa() { "PrivateKey(RSA)" } else { "PrivateKey(EC)" })
    }
}

impl PrivateKey {
    /// A fresh RSA key of 2048, 3072 or 4096 bits; takes some 0.1 to 1 s.
    ///
    /// # Errors
    /// [`KeyError::Size`] for any other size.
    pub fn generate_rsa(bits: u32) -> Result<Self, KeyError> {
        let size = match bits {
            2048 => KeySize::Rsa2048,
            3072 => KeySize::Rsa3072,
            4096 => KeySize::Rsa4096,
            _ => return Err(KeyError::Size),
        };
        let pair = RsaKeyPair::generate(size).map_err(|_| KeyError::Failed)?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyError::Failed)?;
        Self::from_pkcs8_der(der.as_ref())
    }

    /// A fresh EC key on P-256.
    pub fn generate_ec_p256() -> Result<Self, KeyError> {
        Self::generate_ec(Curve::P256)
    }

    /// A fresh EC key on P-384, as the root has.
    pub fn generate_ec_p384() -> Result<Self, KeyError> {
        Self::generate_ec(Curve::P384)
    }

    fn generate_ec(curve: Curve) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::generate(curve.signing()).map_err(|_| KeyError::Failed)?;
        let document = pair.to_pkcs8v1().map_err(|_| KeyError::Failed)?;
        Self::from_pkcs8_der(document.as_ref())
    }

    /// Reads an unencrypted PKCS#8 `PrivateKeyInfo` (RFC 5208).
    ///
    /// # Errors
    /// [`KeyError::NotAKey`].
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        let (kind, spki) = if let Ok(signer) = RsaKeyPair::from_pkcs8(der) {
            let opener = PrivateDecryptingKey::from_pkcs8(der).map_err(|_| KeyError::NotAKey)?;
            let opener = Pkcs1PrivateDecryptingKey::new(opener).map_err(|_| KeyError::NotAKey)?;
            let spki = spki(&[&asn1::oid(&oids::RSA), &asn1::null()], signer.public_key().as_ref());
            (Kind::Rsa { signer: Box::new(signer), opener }, spki)
        } else {
            [Curve::P256, Curve::P384].into_iter().find_map(|curve| ec_kind(curve, der)).ok_or(KeyError::NotAKey)?
        };
        Ok(Self(Arc::new(Inner { kind, pkcs8: Secret::new(der.to_vec()), spki })))
    }

    /// Reads the first private key of a PEM text: `PRIVATE KEY` (PKCS#8), `RSA PRIVATE KEY` (PKCS#1) or `EC PRIVATE KEY` (SEC 1).
    ///
    /// # Errors
    /// [`KeyError::NotAKey`], also for encrypted keys.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        for (label, mut der) in super::pem::blocks(text) {
            let key = match label.as_str() {
                "PRIVATE KEY" => Self::from_pkcs8_der(&der),
                "RSA PRIVATE KEY" => RsaKeyPair::from_der(&der).map_err(|_| KeyError::NotAKey).and_then(|pair| {
                    let pkcs8: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyError::NotAKey)?;
                    Self::from_pkcs8_der(pkcs8.as_ref())
                }),
                "EC PRIVATE KEY" => {
                    sec1_to_pkcs8(&der).map_err(|_| KeyError::NotAKey).and_then(|der| Self::from_pkcs8_der(&der))
                }
                _ => continue,
            };
            der.zeroize();
            return key;
        }
        Err(KeyError::NotAKey)
    }

    /// The key as PKCS#8, for sealing.
    pub fn to_pkcs8_der(&self) -> Secret<Vec<u8>> {
        self.0.pkcs8.clone()
    }

    /// The key as a `PRIVATE KEY` PEM text.
    pub fn to_pem(&self) -> Secret<String> {
        Secret::new(super::pem::encode("PRIVATE KEY", self.0.pkcs8.expose()))
    }

    /// The public half as DER `SubjectPublicKeyInfo`.
    pub fn spki_der(&self) -> Vec<u8> {
        self.0.spki.clone()
    }

    pub fn is_rsa(&self) -> bool {
        matches!(self.0.kind, Kind::Rsa { .. })
    }

    /// The digest to sign with where nobody asks for another: SHA-256, and SHA-384 on P-384.
    pub fn preferred_digest(&self) -> DigestKind {
        match self.0.kind {
            Kind::Ec { curve: Curve::P384, .. } => DigestKind::Sha384,
            _ => DigestKind::Sha256,
        }
    }

    /// Signs `message`: PKCS#1 v1.5 with RSA (SHA-256, -384, -512), ECDSA in ASN.1 with EC ([`PrivateKey::preferred_digest`] only).
    ///
    /// # Errors
    /// [`KeyError::Digest`] for another digest.
    pub fn sign(&self, digest: DigestKind, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        match &self.0.kind {
            Kind::Rsa { signer, .. } => {
                let encoding = match digest {
                    DigestKind::Sha1 => return Err(KeyError::Digest),
                    DigestKind::Sha256 => &sig::RSA_PKCS1_SHA256,
                    DigestKind::Sha384 => &sig::RSA_PKCS1_SHA384,
                    DigestKind::Sha512 => &sig::RSA_PKCS1_SHA512,
                };
                let mut signature = vec![0; signer.public_modulus_len()];
                signer.sign(encoding, &random, message, &mut signature).map_err(|_| KeyError::Failed)?;
                Ok(signature)
            }
            Kind::Ec { .. } if digest != self.preferred_digest() => Err(KeyError::Digest),
            Kind::Ec { signer, .. } => {
                Ok(signer.sign(&random, message).map_err(|_| KeyError::Failed)?.as_ref().to_vec())
            }
        }
    }

    /// The algorithm identifier of signatures that [`PrivateKey::sign`] makes.
    pub(super) fn signature_algorithm(&self, digest: DigestKind) -> Vec<u8> {
        match self.0.kind {
            Kind::Rsa { .. } => asn1::sequence(&[&asn1::oid(&oids::rsa_with(digest)), &asn1::null()]),
            Kind::Ec { .. } => asn1::sequence(&[&asn1::oid(&oids::ecdsa_with(digest))]),
        }
    }

    /// Decrypts a PKCS#1 v1.5 key transport block that must hold `wanted` bytes.
    ///
    /// Never fails visibly: for a wrong padding or length it gives bytes that depend on the key and the ciphertext only, so that the
    /// caller fails later, in the same way as with a wrong content (RFC 3218 §2.3). An EC key gives such bytes, too.
    pub fn decrypt_pkcs1(&self, ciphertext: &[u8], wanted: usize) -> Secret<Vec<u8>> {
        let mut result: Vec<u8> = (0u8..)
            .flat_map(|round| {
                let mut input = ciphertext.to_vec();
                input.push(round);
                hmac_sha256(self.0.pkcs8.expose(), &input)
            })
            .take(wanted.min(64))
            .collect();
        if let Kind::Rsa { opener, .. } = &self.0.kind {
            let mut buffer = vec![0; opener.min_output_size()];
            if let Ok(plain) = opener.decrypt(ciphertext, &mut buffer)
                && plain.len() == wanted
            {
                result.zeroize();
                result = plain.to_vec();
            }
            buffer.zeroize();
        }
        Secret::new(result)
    }
}

impl Curve {
    fn signing(self) -> &'static sig::EcdsaSigningAlgorithm {
        match self {
            Self::P256 => &sig::ECDSA_P256_SHA256_ASN1_SIGNING,
            Self::P384 => &sig::ECDSA_P384_SHA384_ASN1_SIGNING,
        }
    }
    fn oid(self) -> Oid {
        match self {
            Self::P256 => oids::P256,
            Self::P384 => oids::P384,
        }
    }
}

fn ec_kind(curve: Curve, der: &[u8]) -> Option<(Kind, Vec<u8>)> {
    let signer = EcdsaKeyPair::from_pkcs8(curve.signing(), der).ok()?;
    let spki = spki(&[&asn1::oid(&oids::EC), &asn1::oid(&curve.oid())], signer.public_key().as_ref());
    Some((Kind::Ec { signer, curve }, spki))
}

fn spki(algorithm: &[&[u8]], key: &[u8]) -> Vec<u8> {
    asn1::sequence(&[&asn1::sequence(algorithm), &asn1::bits(key)])
}

/// Puts a SEC 1 `ECPrivateKey` (RFC 5915) into PKCS#8; the curve moves from its `[0]` to the algorithm identifier.
fn sec1_to_pkcs8(der: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut inside = Reader::only(der, SEQUENCE)?.inside();
    inside.any()?;
    inside.expect(OCTET_STRING)?;
    let curve = inside.expect(asn1::context(0))?;
    let algorithm = asn1::sequence(&[&asn1::oid(&oids::EC), curve.value]);
    Ok(asn1::sequence(&[&asn1::integer(&[0]), &algorithm, &asn1::octets(der)]))
}

// ---- public keys

/// What a `SubjectPublicKeyInfo` holds, as far as this room can use it.
pub(super) enum PublicKey<'a> {
    /// DER `RSAPublicKey`, and the length of the modulus in bits.
    Rsa {
        key: &'a [u8],
        bits: usize,
    },
    /// Uncompressed points.
    P256(&'a [u8]),
    P384(&'a [u8]),
}

impl<'a> PublicKey<'a> {
    /// # Errors
    /// [`Malformed`] for any other kind of key as well.
    pub fn parse(spki: &'a [u8]) -> Result<Self, Malformed> {
        let mut inside = Reader::only(spki, SEQUENCE)?.inside();
        let mut algorithm = inside.sequence()?;
        let key = asn1::whole_bits(&inside.expect(BIT_STRING)?)?;
        inside.end()?;
        let kind = algorithm.expect(asn1::OID)?;
        if kind.is_oid(&oids::RSA) {
            let modulus = Reader::only(key, SEQUENCE)?.inside().expect(asn1::INTEGER)?.value;
            let digits = &modulus[modulus.iter().take_while(|b| **b == 0).count()..];
            let bits = digits.first().map_or(0, |first| digits.len() * 8 - first.leading_zeros() as usize);
            return Ok(Self::Rsa { key, bits });
        }
        let curve = algorithm.expect(asn1::OID)?;
        match kind.is_oid(&oids::EC) {
            true if curve.is_oid(&oids::P256) => Ok(Self::P256(key)),
            true if curve.is_oid(&oids::P384) => Ok(Self::P384(key)),
            _ => Err(Malformed),
        }
    }

    /// The bare key, for comparing: algorithm parameters may be spelled in two ways.
    pub fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Rsa { key, .. } | Self::P256(key) | Self::P384(key) => key,
        }
    }

    /// Whether `signature` is this key's signature of `message`. RSA from 1024 bits and SHA-1 are accepted: Apple's built-in device
    /// identities are both.
    pub fn verify(&self, digest: DigestKind, message: &[u8], signature: &[u8]) -> bool {
        use DigestKind::{Sha1, Sha256, Sha384, Sha512};
        let algorithm: &'static dyn sig::VerificationAlgorithm = match (self, digest) {
            (Self::Rsa { .. }, Sha1) => &sig::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
            (Self::Rsa { .. }, Sha256) => &sig::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
            (Self::Rsa { .. }, Sha384) => &sig::RSA_PKCS1_2048_8192_SHA384,
            (Self::Rsa { .. }, Sha512) => &sig::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
            (Self::P256(_), Sha1) => &sig::ECDSA_P256_SHA1_ASN1,
            (Self::P256(_), Sha256) => &sig::ECDSA_P256_SHA256_ASN1,
            (Self::P256(_), Sha384) => &sig::ECDSA_P256_SHA384_ASN1,
            (Self::P256(_), Sha512) => &sig::ECDSA_P256_SHA512_ASN1,
            (Self::P384(_), Sha256) => &sig::ECDSA_P384_SHA256_ASN1,
            (Self::P384(_), Sha384) => &sig::ECDSA_P384_SHA384_ASN1,
            (Self::P384(_), Sha512) => &sig::ECDSA_P384_SHA512_ASN1,
            (Self::P384(_), Sha1) => return false,
        };
        sig::UnparsedPublicKey::new(algorithm, self.bytes()).verify(message, signature).is_ok()
    }
}

/// Encrypts a content key to an RSA public key with PKCS#1 v1.5.
///
/// # Errors
/// [`KeyError::NotAKey`] if the key is not RSA of 2048 to 8192 bits.
pub(super) fn encrypt_pkcs1(spki: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, KeyError> {
    let key = PublicEncryptingKey::from_der(spki).map_err(|_| KeyError::NotAKey)?;
    let key = Pkcs1PublicEncryptingKey::new(key).map_err(|_| KeyError::NotAKey)?;
    let mut buffer = vec![0; key.ciphertext_size()];
    Ok(key.encrypt(plaintext, &mut buffer).map_err(|_| KeyError::Failed)?.to_vec())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::sync::LazyLock;

    /// One RSA key for all tests of this room that do not need a second.
    pub static RSA: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate_rsa(2048).unwrap());

    #[test]
    fn signs_and_verifies() {
        let cases = [
            (RSA.clone(), DigestKind::Sha256),
            (RSA.clone(), DigestKind::Sha384),
            (RSA.clone(), DigestKind::Sha512),
            (PrivateKey::generate_ec_p256().unwrap(), DigestKind::Sha256),
            (PrivateKey::generate_ec_p384().unwrap(), DigestKind::Sha384),
        ];
        for (key, digest) in cases {
            let signature = key.sign(digest, b"message").unwrap();
            let spki = key.spki_der();
            let public = PublicKey::parse(&spki).unwrap();
            assert!(public.verify(digest, b"message", &signature), "{key:?} {digest:?}");
            assert!(!public.verify(digest, b"massage", &signature));
            assert!(!public.verify(DigestKind::Sha1, b"message", &signature));
            assert_eq!(key.sign(DigestKind::Sha1, b"message"), Err(KeyError::Digest));
        }
    }

    #[test]
    fn survives_storage() {
        for key in [RSA.clone(), PrivateKey::generate_ec_p256().unwrap(), PrivateKey::generate_ec_p384().unwrap()] {
            assert_eq!(PrivateKey::from_pkcs8_der(key.to_pkcs8_der().expose()).unwrap().spki_der(), key.spki_der());
            assert_eq!(PrivateKey::from_pem(key.to_pem().expose()).unwrap().spki_der(), key.spki_der());
        }
        assert_eq!(PrivateKey::from_pem("nothing").unwrap_err(), KeyError::NotAKey);
        assert_eq!(PrivateKey::generate_rsa(1024).unwrap_err(), KeyError::Size);
    }

    #[test]
    fn reads_traditional_pem() {
        // The inner PKCS#1 and SEC 1 forms, dug out of PKCS#8.
        for (key, label) in
            [(RSA.clone(), "RSA PRIVATE KEY"), (PrivateKey::generate_ec_p256().unwrap(), "EC PRIVATE KEY")]
        {
            let pkcs8 = key.to_pkcs8_der();
            let mut inside = Reader::only(pkcs8.expose(), SEQUENCE).unwrap().inside();
            inside.any().unwrap();
            inside.any().unwrap();
            let inner = inside.expect(OCTET_STRING).unwrap().value.to_vec();
            let inner = if key.is_rsa() { inner } else { with_curve(&inner) };
            let text = format!("junk\n{}", crate::pki::pem::encode(label, &inner));
            assert_eq!(PrivateKey::from_pem(&text).unwrap().spki_der(), key.spki_der(), "{label}");
        }
    }

    /// PKCS#8 leaves the curve out of the inner key; a SEC 1 file has it.
    fn with_curve(inner: &[u8]) -> Vec<u8> {
        let mut inside = Reader::only(inner, SEQUENCE).unwrap().inside();
        let (version, secret) = (inside.any().unwrap(), inside.any().unwrap());
        asn1::sequence(&[version.raw, secret.raw, &asn1::element(asn1::context(0), &[&asn1::oid(&oids::P256)])])
    }

    #[test]
    fn key_transport_never_fails_visibly() {
        let sealed = encrypt_pkcs1(&RSA.spki_der(), &[5; 16]).unwrap();
        assert_eq!(RSA.decrypt_pkcs1(&sealed, 16).expose(), &[5; 16]);
        let wrong_length = RSA.decrypt_pkcs1(&sealed, 24);
        assert_eq!(wrong_length.expose().len(), 24);
        assert_eq!(wrong_length, RSA.decrypt_pkcs1(&sealed, 24));
        let mut bad = sealed.clone();
        bad[9] ^= 1;
        assert_ne!(RSA.decrypt_pkcs1(&bad, 16).expose(), &[5; 16]);
        assert_eq!(RSA.decrypt_pkcs1(b"", 16).expose().len(), 16);
        let ec = PrivateKey::generate_ec_p256().unwrap();
        assert_eq!(ec.decrypt_pkcs1(&sealed, 16).expose().len(), 16);
        assert_eq!(encrypt_pkcs1(&ec.spki_der(), &[5; 16]), Err(KeyError::NotAKey));
    }
}
