//! SCEP by hand: an identity without a device around it, and the same request as often as a test likes.

use super::School;
use super::wire::Identity;
use cordon::base::time::{Clock, SystemClock};
use cordon::pki::cms::ContentCipher;
use cordon::pki::digest::DigestKind;
use cordon::pki::keys::PrivateKey;
use cordon::pki::scep::client::{self, Reply};
use cordon::pki::x509::Certificate;
use cordon::pki::{SystemRandom, csr};
use cordon::simulator::network::{Network, Url, tls_config_at};
use cordon::simulator::profile::read_enrollment;
use cordon::simulator::wire::{Client, Request};
use std::sync::{Arc, LazyLock};

/// One for all: it only signs requests, as the throw-away key of a device does.
static SIGNER: LazyLock<(Certificate, PrivateKey)> =
    LazyLock::new(|| client::throw_away_signer(SystemClock.now(), &SystemRandom).unwrap());

/// A request that can be sent more than once.
pub struct Applicant {
    key: PrivateKey,
    csr: Vec<u8>,
    url: Url,
    ca: Certificate,
    transaction: String,
}

impl Applicant {
    /// With the challenge of this profile. An EC key: its kind is the device's choice, and it costs nothing to make.
    pub fn new(school: &School, profile: &[u8], transaction: &str) -> Self {
        let scep = read_enrollment(profile).unwrap().find_scep().unwrap().clone();
        let key = PrivateKey::generate_ec_p256().unwrap();
        let csr = csr::create(&key, &[("CN", "by hand")], scep.challenge.as_deref());
        let ca = school.server().context().authorities().issuing.certificate.clone();
        Self { key, csr, url: scep.url.with_query("operation=PKIOperation"), ca, transaction: transaction.to_owned() }
    }

    pub fn ask(&self, school: &School) -> Reply {
        let (signer, signer_key) = &*SIGNER;
        let (cipher, digest) = (ContentCipher::Aes128Cbc, DigestKind::Sha256);
        let message = client::build_request(
            &self.csr,
            signer,
            signer_key,
            &self.ca,
            &self.transaction,
            cipher,
            digest,
            &SystemRandom,
        )
        .unwrap();
        let tls = tls_config_at(&[school.root()], None, &school.plan.clock).unwrap();
        let headers = [("Content-Type", "application/x-pki-message")];
        let request = Request { method: "POST", url: &self.url, headers: &headers, body: &message };
        let answer = Client::new(Arc::new(Network::default()), tls).send(&request).unwrap();
        assert_eq!(answer.status, 200);
        client::read_reply(&answer.body, &self.ca, signer, signer_key, &client::sender_nonce(&message).unwrap())
            .unwrap()
    }

    /// The identity that a successful reply gives.
    pub fn identity(&self, reply: &Reply) -> Identity {
        let Reply::Success(leaf) = reply else { panic!("no certificate but {reply:?}") };
        Identity {
            chain: vec![leaf.der().to_vec(), self.ca.der().to_vec()],
            key: self.key.to_pkcs8_der().expose().clone(),
        }
    }
}
