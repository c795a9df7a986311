//! BER as streaming encoders write it: what was normalised once is normal.
#![no_main]

use cordon::pki::ber::to_der;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(der) = to_der(bytes) else { return };
    assert_eq!(to_der(&der).as_deref(), Ok(der.as_slice()), "normalising twice changed something");
});
