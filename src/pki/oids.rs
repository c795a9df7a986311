//! Object identifiers by name, each once. Private to this room.

use super::asn1::Oid;
use super::digest::DigestKind;

macro_rules! oids {
    ($($name:ident $text:literal)*) => { $(pub(super) const $name: Oid = Oid::new_unwrap($text);)* };
}

oids! {
    // Public keys and signatures
    RSA "1.2.840.113549.1.1.1"
    RSA_SHA1 "1.2.840.113549.1.1.5"
    RSA_SHA256 "1.2.840.113549.1.1.11"
    RSA_SHA384 "1.2.840.113549.1.1.12"
    RSA_SHA512 "1.2.840.113549.1.1.13"
    EC "1.2.840.10045.2.1"
    P256 "1.2.840.10045.3.1.7"
    P384 "1.3.132.0.34"
    ECDSA_SHA1 "1.2.840.10045.4.1"
    ECDSA_SHA256 "1.2.840.10045.4.3.2"
    ECDSA_SHA384 "1.2.840.10045.4.3.3"
    ECDSA_SHA512 "1.2.840.10045.4.3.4"
    // Digests
    SHA1 "1.3.14.3.2.26"
    SHA256 "2.16.840.1.101.3.4.2.1"
    SHA384 "2.16.840.1.101.3.4.2.2"
    SHA512 "2.16.840.1.101.3.4.2.3"
    // CMS content types and attributes
    DATA "1.2.840.113549.1.7.1"
    SIGNED_DATA "1.2.840.113549.1.7.2"
    ENVELOPED_DATA "1.2.840.113549.1.7.3"
    CONTENT_TYPE "1.2.840.113549.1.9.3"
    MESSAGE_DIGEST "1.2.840.113549.1.9.4"
    SIGNING_TIME "1.2.840.113549.1.9.5"
    CHALLENGE_PASSWORD "1.2.840.113549.1.9.7"
    EXTENSION_REQUEST "1.2.840.113549.1.9.14"
    // Content ciphers
    DES_CBC "1.3.14.3.2.7"
    DES_EDE3_CBC "1.2.840.113549.3.7"
    AES128_CBC "2.16.840.1.101.3.4.1.2"
    AES192_CBC "2.16.840.1.101.3.4.1.22"
    AES256_CBC "2.16.840.1.101.3.4.1.42"
    // SCEP attributes (RFC 8894 §3.2.1)
    SCEP_MESSAGE_TYPE "2.16.840.1.113733.1.9.2"
    SCEP_PKI_STATUS "2.16.840.1.113733.1.9.3"
    SCEP_FAIL_INFO "2.16.840.1.113733.1.9.4"
    SCEP_SENDER_NONCE "2.16.840.1.113733.1.9.5"
    SCEP_RECIPIENT_NONCE "2.16.840.1.113733.1.9.6"
    SCEP_TRANSACTION_ID "2.16.840.1.113733.1.9.7"
    // Names
    CN "2.5.4.3"
    UID "0.9.2342.19200300.100.1.1"
    // Certificate extensions
    SUBJECT_KEY_ID "2.5.29.14"
    KEY_USAGE "2.5.29.15"
    SUBJECT_ALT_NAME "2.5.29.17"
    BASIC_CONSTRAINTS "2.5.29.19"
    CRL_NUMBER "2.5.29.20"
    CRL_REASON "2.5.29.21"
    CRL_DISTRIBUTION_POINTS "2.5.29.31"
    AUTHORITY_KEY_ID "2.5.29.35"
    EXTENDED_KEY_USAGE "2.5.29.37"
    ACME_IDENTIFIER "1.3.6.1.5.5.7.1.31"
}

/// The digest that an algorithm identifier of a digest names.
pub(super) fn digest_kind(oid: &[u8]) -> Option<DigestKind> {
    ALL_DIGESTS.into_iter().find(|kind| digest(*kind).as_bytes() == oid)
}

const ALL_DIGESTS: [DigestKind; 4] = [DigestKind::Sha1, DigestKind::Sha256, DigestKind::Sha384, DigestKind::Sha512];

pub(super) fn digest(kind: DigestKind) -> Oid {
    match kind {
        DigestKind::Sha1 => SHA1,
        DigestKind::Sha256 => SHA256,
        DigestKind::Sha384 => SHA384,
        DigestKind::Sha512 => SHA512,
    }
}

pub(super) fn rsa_with(kind: DigestKind) -> Oid {
    match kind {
        DigestKind::Sha1 => RSA_SHA1,
        DigestKind::Sha256 => RSA_SHA256,
        DigestKind::Sha384 => RSA_SHA384,
        DigestKind::Sha512 => RSA_SHA512,
    }
}

pub(super) fn ecdsa_with(kind: DigestKind) -> Oid {
    match kind {
        DigestKind::Sha1 => ECDSA_SHA1,
        DigestKind::Sha256 => ECDSA_SHA256,
        DigestKind::Sha384 => ECDSA_SHA384,
        DigestKind::Sha512 => ECDSA_SHA512,
    }
}

/// The digest inside a signature algorithm such as sha256WithRSAEncryption. Whether it is RSA or ECDSA is the key's to say:
/// a key of the other kind fails to verify.
pub(super) fn signature_digest(oid: &[u8]) -> Option<DigestKind> {
    ALL_DIGESTS.into_iter().find(|kind| rsa_with(*kind).as_bytes() == oid || ecdsa_with(*kind).as_bytes() == oid)
}
