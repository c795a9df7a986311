//! Certificate requests, the innermost thing of a SCEP message.
#![no_main]

use cordon::pki::csr::Csr;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(csr) = Csr::parse(bytes) else { return };
    // What is asked of every request before a certificate is made from it.
    let _ = csr.challenge_password();
    let _ = csr.public_key_hash();
});
