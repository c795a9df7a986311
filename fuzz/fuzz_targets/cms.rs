//! Signed messages from strangers, with their content and without: `Mdm-Signature`, OTA phase bodies, SCEP outer envelopes.
#![no_main]

use cordon::base::limits::MAX_CMS_CERTIFICATES;
use cordon::pki::cms::{verify_attached, verify_detached};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for signed in [verify_detached(b"hello", bytes), verify_attached(bytes)].into_iter().flatten() {
        assert!(signed.certificates.len() <= MAX_CMS_CERTIFICATES);
        // A device's word about time may be anything; reading it must not be able to fail.
        let _ = signed.signing_time();
    }
});
