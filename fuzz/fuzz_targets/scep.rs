//! PKIOperation messages, which anybody can send: with a fixed throw-away authority, so that the seeds open.
#![no_main]

use cordon::pki::keys::PrivateKey;
use cordon::pki::scep::Request;
use cordon::pki::x509::Certificate;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static AUTHORITY: LazyLock<(Certificate, PrivateKey)> = LazyLock::new(|| {
    let certificate = Certificate::parse(include_bytes!("../authority/certificate.der"));
    let key = PrivateKey::from_pkcs8_der(include_bytes!("../authority/key.der"));
    (certificate.expect("the throw-away certificate"), key.expect("its key"))
});

fuzz_target!(|bytes: &[u8]| {
    let (certificate, key) = &*AUTHORITY;
    if let Ok(request) = Request::parse(bytes, certificate, key) {
        // Whatever was accepted can be named in the log and in the answer.
        assert!(!request.transaction_id.is_empty());
    }
});
