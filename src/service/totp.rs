//! Codes of authenticator apps: TOTP (RFC 6238) with what every app understands, SHA-1, 30 seconds, 6 digits. Pure; called by
//! [`super::login`] and [`super::people`]. That a code works only once is decided in the database.

use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::pki::constant_time_eq;
use crate::pki::digest::hmac_sha1;

/// Seconds of one code.
const STEP: i64 = 30;
/// Bytes of a secret (RFC 4226 section 4 recommends 160 bits).
pub const SECRET: usize = 20;

/// The time step whose code this is, one step to either side for a phone whose clock is a little off.
pub fn find_step(secret: &[u8], code: &str, now: Timestamp) -> Option<i64> {
    let code: String = code.chars().filter(|c| !c.is_whitespace()).take(7).collect();
    let current = now.secs().div_euclid(STEP);
    // All three are always computed, so that the time says nothing.
    let fits: Vec<i64> = (current - 1..=current + 1).filter(|step| constant_time_eq(self::code(secret, *step).as_bytes(), code.as_bytes())).collect();
    fits.first().copied()
}

/// The six digits of one time step (RFC 4226 section 5.3, RFC 6238 section 4).
pub(super) fn code(secret: &[u8], step: i64) -> String {
    let mac = hmac_sha1(secret, &step.to_be_bytes());
    let offset = usize::from(mac[19] & 0xf);
    let number = u32::from_be_bytes([mac[offset] & 0x7f, mac[offset + 1], mac[offset + 2], mac[offset + 3]]);
    format!("{:06}", number % 1_000_000)
}

/// What a QR code for the app holds.
pub fn uri(issuer: &str, name: &str, secret: &Secret<String>) -> Secret<String> {
    let issuer = escape(issuer);
    Secret::new(format!("otpauth://totp/{issuer}:{}?secret={}&issuer={issuer}", escape(name), secret.expose()))
}

fn escape(text: &str) -> String {
    text.bytes().map(|b| if b.is_ascii_alphanumeric() || b"-._~".contains(&b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Base 32 (RFC 4648) without padding; secrets are a whole number of its groups.
pub fn base32(bytes: &[u8]) -> Secret<String> {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut out = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut held, mut bits) = (0_u32, 0_u32);
    for byte in bytes {
        held = (held << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push(char::from(LETTERS[(held >> bits) as usize & 31]));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        out.push(char::from(LETTERS[(held << (5 - bits)) as usize & 31]));
    }
    Secret::new(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238 appendix B, cut to six digits.
    #[test]
    fn known_answers() {
        let table = [(59, "287082"), (1_111_111_109, "081804"), (1_111_111_111, "050471"), (1_234_567_890, "005924"), (2_000_000_000, "279037")];
        for (at, wanted) in table {
            assert_eq!(code(b"12345678901234567890", at / STEP), wanted);
            assert_eq!(find_step(b"12345678901234567890", wanted, Timestamp::from_secs(at)), Some(at / STEP));
        }
    }

    #[test]
    fn one_step_to_either_side_and_no_further() {
        let (secret, now) = (b"12345678901234567890", Timestamp::from_secs(1_000_000_000));
        let current = 1_000_000_000 / STEP;
        for (offset, fits) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            assert_eq!(find_step(secret, &code(secret, current + offset), now).is_some(), fits, "{offset}");
        }
        for bad in ["", "12345", "1234567", "abcdef"] {
            assert_eq!(find_step(secret, bad, now), None, "{bad}");
        }
        let spaced = code(secret, current);
        assert!(find_step(secret, &format!("{} {}", &spaced[..3], &spaced[3..]), now).is_some());
    }

    #[test]
    fn what_the_app_reads() {
        // RFC 4648 section 10.
        for (plain, wanted) in [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foob", "MZXW6YQ"), ("fooba", "MZXW6YTB")] {
            assert_eq!(base32(plain.as_bytes()).expose(), wanted);
        }
        let uri = uri("Hill School", "ada@hill", &base32(b"fooba"));
        assert_eq!(uri.expose(), "otpauth://totp/Hill%20School:ada%40hill?secret=MZXW6YTB&issuer=Hill%20School");
    }
}
