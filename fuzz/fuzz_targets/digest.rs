//! What a Mac's login window answers to a challenge, and what is computed of it.
#![no_main]

use cordon::protocol::digest::{ha1, is_right, parameters, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(pairs) = parameters(text) {
        assert!(pairs.iter().all(|(key, _)| key.to_ascii_lowercase() == *key));
    }
    let Ok(said) = parse(text) else { return };
    assert!(!said.username.is_empty() && said.response.len() == 32);
    // Nobody guesses a digest by the form of the answer.
    assert!(!is_right(&said, &ha1("nobody", "no realm", "a password that nobody has")));
});
