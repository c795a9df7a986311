//! Apple's own word that a signer is an Apple device: the identity that every device is built with, and the authority that certified it.
//! Called by `service` for the bodies of enrolment requests. Whether the device may enrol is not decided here.
//!
//! What is pinned is the key of the Apple iPhone Device CA, because nothing above it is of use: it and its issuer expired years ago and
//! go on signing, and devices send different parts of the chain on different ways in. The dates of a leaf are not looked at either: a
//! device renews its built-in identity only when it is activated, and one from a drawer must be able to enrol.

use super::x509::{Certificate, pem_to_ders};
use std::sync::LazyLock;

/// Apple's published chain, as on apple.com/certificateauthority.
const ROOT: &str = include_str!("apple/apple-root-ca.pem");
const PHONES: &str = include_str!("apple/apple-iphone-certification-authority.pem");
const DEVICES: &str = include_str!("apple/apple-iphone-device-ca.pem");

/// SHA-256 of the Apple iPhone Device CA's certificate.
const PINNED: &str = "76f27d00e1333bc88de0e2916c38c9a7f2b75774c25a794c092a80e3c4c66cce";

static APPLE: LazyLock<Vec<Certificate>> = LazyLock::new(|| {
    let chain: Vec<Certificate> =
        [ROOT, PHONES, DEVICES].iter().filter_map(|pem| Certificate::parse_pem(pem).ok()).collect();
    chain.into_iter().filter(|one| hex::encode(one.fingerprint()) == PINNED).collect()
});

/// The authorities whose word counts: Apple's, and stand-ins of tests and rehearsals.
#[derive(Debug, Clone, Default)]
pub struct DeviceAuthorities {
    stand_ins: Vec<Certificate>,
}

impl DeviceAuthorities {
    /// Apple's, and every certificate of this PEM text beside it.
    ///
    /// # Errors
    /// In plain words, when the text holds no certificate or one that cannot be read.
    pub fn with_stand_ins(pem: &str) -> Result<Self, String> {
        let ders = pem_to_ders(pem);
        if ders.is_empty() {
            return Err(String::from("there is no certificate in it"));
        }
        let parsed = ders.iter().map(|der| Certificate::parse(der));
        let stand_ins = parsed.collect::<Result<_, _>>().map_err(|_| String::from("a certificate in it is damaged"))?;
        Ok(Self { stand_ins })
    }

    /// Whether anything but Apple's own word counts here.
    pub fn has_stand_ins(&self) -> bool {
        !self.stand_ins.is_empty()
    }

    /// Whether this certificate is a device's built-in identity. That the device holds its key must have been shown by a signature.
    /// RSA of 1024 bits and SHA-1 count: that is what Apple issues.
    pub fn vouch_for(&self, leaf: &Certificate) -> bool {
        !leaf.is_ca() && APPLE.iter().chain(&self.stand_ins).any(|authority| leaf.issued_by(authority))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::SystemRandom;
    use crate::pki::cms::verify_attached;
    use crate::pki::keys::tests::RSA;
    use crate::pki::templates::issue_device_identity;
    use crate::pki::templates::tests::{CA, NOW, ROOT as OTHER};

    #[test]
    fn apples_authority_is_the_one_that_is_pinned() {
        assert_eq!(APPLE.len(), 1);
        assert_eq!(APPLE[0].subject_common_name().as_deref(), Some("Apple iPhone Device CA"));
        // It vouches for devices, not for itself or what stands above it.
        let authorities = DeviceAuthorities::default();
        for pem in [ROOT, PHONES, DEVICES] {
            assert!(!authorities.vouch_for(&Certificate::parse_pem(pem).unwrap()));
        }
    }

    #[test]
    fn stand_ins_count_only_where_they_are_named() {
        let leaf = issue_device_identity(&CA, &RSA.spki_der(), "device", "", NOW, 1, &SystemRandom).unwrap();
        let named = DeviceAuthorities::with_stand_ins(&CA.certificate.to_pem()).unwrap();
        assert!(named.vouch_for(&leaf) && named.has_stand_ins());
        assert!(!DeviceAuthorities::default().vouch_for(&leaf));
        assert!(!DeviceAuthorities::with_stand_ins(&OTHER.certificate.to_pem()).unwrap().vouch_for(&leaf));
        assert!(!named.vouch_for(&CA.certificate));
        assert!(DeviceAuthorities::with_stand_ins("nothing").is_err());
    }

    /// Made with openssl, since no library of today makes such keys: an authority and a leaf of 1024 bits, the leaf long expired and
    /// signed with SHA-1, the messages signed with SHA-1 and SHA-256, with the leaf as the only certificate inside.
    #[test]
    fn an_old_devices_1024_bits_and_sha_1_count() {
        let authorities = DeviceAuthorities::with_stand_ins(include_str!("fixtures/old-device-ca.pem")).unwrap();
        for message in
            [&include_bytes!("fixtures/old-device-sha1.p7")[..], &include_bytes!("fixtures/old-device-sha256.p7")[..]]
        {
            let signed = verify_attached(message).unwrap();
            assert!(signed.content.starts_with(b"<?xml"));
            assert!(authorities.vouch_for(&signed.signer));
            assert!(!DeviceAuthorities::default().vouch_for(&signed.signer));
            for at in (0..message.len()).step_by(7) {
                let mut changed = message.to_vec();
                changed[at] ^= 1;
                // Bits that no signature covers may change; what is signed may not.
                if let Ok(other) = verify_attached(&changed) {
                    assert!(other.content == signed.content || !authorities.vouch_for(&other.signer), "byte {at}");
                }
            }
        }
    }
}
