//! Keys from what people remember or keep on paper: Argon2id (RFC 9106), slow and hungry for memory on purpose.
//!
//! Called by `service` for passwords and the recovery code. What a good password is, and how often one may guess, is not decided here.

use crate::base::secret::Secret;
use argon2::{Algorithm, Argon2, Params, Version};
use std::fmt;
use std::str::FromStr;

/// Salt of everything stretched here, bytes (RFC 9106 section 4 recommends 16).
pub const SALT: usize = 16;

/// What one derivation costs. Stored beside each salt, so that it can rise later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory, KiB.
    memory: u32,
    passes: u32,
    lanes: u32,
}

/// The text is no cost, or one that this machine should not be made to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the cost of a key derivation")]
pub struct BadCost;

impl Cost {
    /// OWASP Password Storage Cheat Sheet: 19 MiB, 2 passes, 1 lane. Some 30 ms on a mini-PC.
    pub const PASSWORD: Cost = Cost { memory: 19 * 1024, passes: 2, lanes: 1 };
    /// RFC 9106 section 4, second recommendation: 64 MiB, 3 passes. Paid once per restore.
    pub const RECOVERY: Cost = Cost { memory: 64 * 1024, passes: 3, lanes: 1 };
    /// The least that Argon2 allows: protects nothing, and makes tests quick.
    pub const LEAST: Cost = Cost { memory: 8, passes: 1, lanes: 1 };
}

impl fmt::Display for Cost {
    /// `m=19456,t=2,p=1`, the order of the PHC string format.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m={},t={},p={}", self.memory, self.passes, self.lanes)
    }
}

impl FromStr for Cost {
    type Err = BadCost;

    /// Bounded: the text comes from a database file that may have been made by anybody.
    fn from_str(text: &str) -> Result<Self, BadCost> {
        let mut parts = text.split(',');
        let mut number = |prefix: &str, most: u32| -> Result<u32, BadCost> {
            let value = parts.next().and_then(|part| part.strip_prefix(prefix)).and_then(|n| n.parse().ok()).ok_or(BadCost)?;
            if (1..=most).contains(&value) { Ok(value) } else { Err(BadCost) }
        };
        let cost = Cost { memory: number("m=", 1024 * 1024)?, passes: number("t=", 32)?, lanes: number("p=", 8)? };
        if parts.next().is_some() || cost.memory < 8 * cost.lanes { Err(BadCost) } else { Ok(cost) }
    }
}

/// 32 bytes from `secret`: the same for the same secret, salt and cost, and no cheaper for who guesses.
///
/// # Errors
/// [`BadCost`] when the salt is shorter than Argon2's 8 bytes.
pub fn stretch(cost: Cost, secret: &[u8], salt: &[u8]) -> Result<Secret<[u8; 32]>, BadCost> {
    let params = Params::new(cost.memory, cost.passes, cost.lanes, Some(32)).map_err(|_| BadCost)?;
    let mut out = [0_u8; 32];
    let done = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(secret, salt, &mut out);
    let stretched = Secret::new(out);
    zeroize::Zeroize::zeroize(&mut out);
    done.map(|()| stretched).map_err(|_| BadCost)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the reference implementation: `echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1 -l 32`.
    #[test]
    fn known_answer() {
        let cost = "m=65536,t=2,p=1".parse().unwrap();
        let key = stretch(cost, b"password", b"somesalt").unwrap();
        assert_eq!(hex::encode(key.expose()), "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7");
    }

    #[test]
    fn every_part_matters() {
        let key = |cost, secret: &[u8], salt: &[u8]| stretch(cost, secret, salt).unwrap().expose().to_vec();
        let one = key(Cost::LEAST, b"secret", b"salt-salt-salt-s");
        assert_ne!(one, key(Cost::LEAST, b"Secret", b"salt-salt-salt-s"));
        assert_ne!(one, key(Cost::LEAST, b"secret", b"salt-salt-salt-t"));
        assert_ne!(one, key("m=8,t=2,p=1".parse().unwrap(), b"secret", b"salt-salt-salt-s"));
        assert!(stretch(Cost::LEAST, b"secret", b"short").is_err());
    }

    #[test]
    fn costs_are_bounded() {
        for cost in [Cost::PASSWORD, Cost::RECOVERY, Cost::LEAST] {
            assert_eq!(cost.to_string().parse(), Ok(cost));
        }
        for bad in ["", "m=8", "m=8,t=1", "m=0,t=1,p=1", "m=4000000,t=1,p=1", "m=8,t=1,p=2", "m=8,t=99,p=1", "m=8,t=1,p=1,x=1", "t=1,m=8,p=1"] {
            assert_eq!(bad.parse::<Cost>(), Err(BadCost), "{bad}");
        }
    }
}
