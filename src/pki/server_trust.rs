//! A TLS server's chain as a device sees it: for which names it is good, and whether it ends in a root that everybody has.
//!
//! Called by `service::serving`. The public roots are Mozilla's, as compiled in: close enough to Apple's for what is decided with them.

use super::x509::Certificate;
use crate::base::time::Timestamp;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use std::sync::Arc;
use std::time::Duration;

/// Whether `leaf` may serve `name`, a DNS name or an IP address.
pub fn is_good_for(leaf: &Certificate, name: &str) -> bool {
    let der = CertificateDer::from(leaf.der());
    match (ParsedCertificate::try_from(&der), ServerName::try_from(name)) {
        (Ok(parsed), Ok(name)) => rustls::client::verify_server_name(&parsed, &name).is_ok(),
        _ => false,
    }
}

/// Whether `chain` (leaf first) is verified for `name` by the public roots alone.
pub fn is_publicly_trusted(chain: &[Certificate], name: &str, now: Timestamp) -> bool {
    verifies(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }, chain, name, now)
}

fn verifies(roots: RootCertStore, chain: &[Certificate], name: &str, now: Timestamp) -> bool {
    let Some((leaf, others)) = chain.split_first() else { return false };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let Ok(verifier) = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build() else {
        return false;
    };
    let others: Vec<CertificateDer<'_>> = others.iter().map(|one| CertificateDer::from(one.der())).collect();
    let seconds = u64::try_from(now.secs()).unwrap_or_default();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    ServerName::try_from(name).is_ok_and(|name| {
        verifier.verify_server_cert(&CertificateDer::from(leaf.der()), &others, &name, &[], now).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::SystemRandom;
    use crate::pki::keys::PrivateKey;
    use crate::pki::templates::{self, tests::NOW};

    #[test]
    fn names_dates_and_roots() {
        let root = templates::new_root("Hill School", NOW, &SystemRandom);
        let issuing = templates::new_issuing_ca(&root, "Hill School", NOW, &SystemRandom);
        let key = PrivateKey::generate_ec_p256().unwrap();
        let names = ["mdm.example.org".to_owned(), "127.0.0.1".to_owned()];
        let leaf = templates::issue_tls_server(&issuing, &names, &key.spki_der(), NOW, 90, &SystemRandom).unwrap();
        for (name, good) in [("mdm.example.org", true), ("127.0.0.1", true), ("example.org", false), ("::1", false)] {
            assert_eq!(is_good_for(&leaf, name), good, "{name}");
        }
        let chain = [leaf, issuing.certificate];
        assert!(!is_publicly_trusted(&chain, "mdm.example.org", NOW), "nobody knows the school's root");
        let with_ours = || {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from(root.certificate.der())).unwrap();
            roots
        };
        assert!(verifies(with_ours(), &chain, "mdm.example.org", NOW));
        assert!(!verifies(with_ours(), &chain, "other.example.org", NOW));
        assert!(!verifies(with_ours(), &chain[..1], "mdm.example.org", NOW), "the intermediate is missing");
        assert!(!verifies(with_ours(), &chain, "mdm.example.org", NOW.plus(91 * crate::base::time::DAY)));
        assert!(!verifies(with_ours(), &[], "mdm.example.org", NOW));
    }
}
