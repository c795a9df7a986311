//! Digests and comparisons. SHA-1 is here because devices still sign with it (`Mdm-Signature`, old certificates, SCEP requests);
//! nothing that Cordon makes itself relies on it.

use aws_lc_rs::{constant_time, digest, hmac};

/// The digests that signatures in the field use. MD5 is refused everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DigestKind {
    /// Read only: old devices and Apple's older certificates. [`crate::pki::keys::PrivateKey::sign`] refuses it.
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl DigestKind {
    /// The digest of `message`: 20, 32, 48 or 64 bytes.
    pub fn digest(self, message: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, message).as_ref().to_vec()
    }
}

/// SHA-256 of `message`.
pub fn sha256(message: &[u8]) -> [u8; 32] {
    fixed(digest::digest(&digest::SHA256, message).as_ref())
}

/// SHA-1 of `message`: for identifiers that a protocol defines with it, never for trust.
pub fn sha1(message: &[u8]) -> [u8; 20] {
    fixed(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, message).as_ref())
}

/// MD5 of `message`: for the HTTP digest of network users, which a protocol fixes, and for nothing else.
pub fn md5(message: &[u8]) -> [u8; 16] {
    use md5::Digest;
    md5::Md5::digest(message).into()
}

/// HMAC-SHA-256 (RFC 2104) of `message` under `key` of any length.
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    fixed(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref())
}

/// HMAC-SHA-1 of `message`: what authenticator apps compute (RFC 6238), sound where plain SHA-1 is not.
pub fn hmac_sha1(key: &[u8], message: &[u8]) -> [u8; 20] {
    fixed(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key), message).as_ref())
}

/// Whether two byte strings are equal, in a time that depends on their lengths only.
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

/// A digest as an array; the algorithm fixes the length, so there is always enough to copy.
fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(bytes);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        assert_eq!(hex::encode(sha256(b"abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(hex::encode(sha1(b"abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
        // RFC 4231 test case 2.
        assert_eq!(
            hex::encode(hmac_sha256(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        // RFC 2202 test case 2.
        assert_eq!(
            hex::encode(hmac_sha1(b"Jefe", b"what do ya want for nothing?")),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
        );
        for (kind, length) in
            [(DigestKind::Sha1, 20), (DigestKind::Sha256, 32), (DigestKind::Sha384, 48), (DigestKind::Sha512, 64)]
        {
            assert_eq!(kind.digest(b"").len(), length);
        }
    }

    #[test]
    fn comparison() {
        assert!(constant_time_eq(b"same", b"same"));
        assert!(!constant_time_eq(b"same", b"sama"));
        assert!(!constant_time_eq(b"same", b"sam"));
    }
}
