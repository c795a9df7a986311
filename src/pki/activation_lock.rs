//! The code that opens Apple's Activation Lock, when the server makes it: Apple gets a hash of it when the lock is set, people keep the
//! code. By Apple's published formula.
//!
//! Called by `service::custody`. Codes that devices make themselves come as text and are not read here.

use crate::base::random::{self, Random};
use crate::base::secret::Secret;
use aws_lc_rs::pbkdf2;
use std::num::NonZeroU32;

/// No letters that look like others.
const SYMBOLS: &[u8; 32] = b"0123456789ACDEFGHJKLMNPQRTUVWXYZ";
/// A dash stands before these symbols.
const DASHES: [usize; 5] = [5, 10, 14, 18, 22];
/// PBKDF2-HMAC-SHA256 with a salt of four zero bytes.
const SALT: [u8; 4] = [0; 4];
const ROUNDS: NonZeroU32 = NonZeroU32::new(50_000).expect("not zero");

/// A code of our own.
pub struct BypassCode(Secret<[u8; 16]>);

impl BypassCode {
    pub fn mint(random: &dyn Random) -> Self {
        Self(Secret::new(random::bytes(random)))
    }

    /// As people type it: 26 symbols in six groups.
    pub fn text(&self) -> Secret<String> {
        let mut text = String::with_capacity(31);
        for n in 0..26 {
            if DASHES.contains(&n) {
                text.push('-');
            }
            // Five bits each; the last symbol has the three that are left, unshifted.
            let bits = if n == 25 { 3 } else { 5 };
            let value = (n * 5..n * 5 + bits).fold(0, |value, bit| value << 1 | self.bit(bit));
            text.push(char::from(SYMBOLS[value]));
        }
        Secret::new(text)
    }

    fn bit(&self, at: usize) -> usize {
        usize::from(self.0.expose()[at / 8] >> (7 - at % 8) & 1)
    }

    /// What Apple is given: `escrow_key`, lower-case hex. It does not give the code away.
    pub fn escrow_key(&self) -> String {
        let mut hash = [0_u8; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, &SALT, self.0.expose(), &mut hash);
        hex::encode(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::SystemRandom;

    /// From Apple's documentation of the service.
    #[test]
    fn published_vector() {
        let mut raw = [0; 16];
        hex::decode_to_slice("1ea841db5edfafe6075b5ae0d845d254", &mut raw).unwrap();
        let code = BypassCode(Secret::new(raw));
        assert_eq!(code.text().expose(), "3UM43-PUYVY-QYD1-UVCC-HEHJ-FKA4");
        let key = code.escrow_key();
        assert!(key.starts_with("6ab40d5e") && key.ends_with("0014b5"), "{key}");
    }

    #[test]
    fn each_is_new() {
        let [one, two] = [0, 1].map(|_| BypassCode::mint(&SystemRandom).text());
        assert_eq!(one.expose().len(), 31);
        assert_ne!(one, two);
    }
}
