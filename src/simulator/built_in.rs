//! The identity that a device is built with, from a stand-in for Apple's factory. Only a server that was told of the stand-in's
//! authority (`apple.device_ca_file`) believes it.

use crate::base::random::Random;
use crate::base::time::Timestamp;
use crate::pki::cms::sign_attached;
use crate::pki::keys::PrivateKey;
use crate::pki::templates::{Authority, issue_device_identity, new_issuing_ca, new_root};
use crate::pki::x509::Certificate;

/// How long a built-in identity is valid.
const LIFE_DAYS: i64 = 3 * 365;

/// Where devices are built.
pub struct Factory {
    authority: Authority,
}

/// What a device holds from the factory.
#[derive(Clone)]
pub struct BuiltIn {
    pub certificate: Certificate,
    pub key: PrivateKey,
}

impl Factory {
    pub fn new(now: Timestamp, random: &dyn Random) -> Self {
        let root = new_root("Stand-in for Apple", now, random);
        Self { authority: new_issuing_ca(&root, "Stand-in for Apple", now, random) }
    }

    /// For `apple.device_ca_file`.
    pub fn ca_pem(&self) -> String {
        self.authority.certificate.to_pem()
    }

    /// An identity for one device, with a key of its own.
    ///
    /// # Errors
    /// The text of what the key generator or the authority said.
    pub fn build(&self, name: &str, now: Timestamp, random: &dyn Random) -> Result<BuiltIn, String> {
        let key = PrivateKey::generate_rsa(2048).map_err(|e| e.to_string())?;
        let certificate = issue_device_identity(&self.authority, &key.spki_der(), name, "", now, LIFE_DAYS, random);
        Ok(BuiltIn { certificate: certificate.map_err(|e| e.to_string())?, key })
    }
}

impl BuiltIn {
    /// Signs what the device says of itself.
    pub fn sign(&self, content: &[u8], now: Timestamp) -> Vec<u8> {
        sign_attached(content, &self.certificate, &self.key, &[], now)
    }
}
