//! Passwords of admins: which are good enough (OWASP ASVS 4.0, V2.1), and how they are kept. Called by [`super::people`] and
//! [`super::login`]; who may guess how often is decided there.

use super::{Context, Error};
use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::pki::constant_time_eq;
use crate::pki::stretching::{Cost, SALT, stretch};
use crate::store::PasswordHash;

/// The commonest passwords that are long enough to be tried here, lower case, one a line.
const COMMONEST: &str = include_str!("commonest_passwords.txt");
/// Characters.
const LEAST: usize = 12;
const MOST: usize = 128;

/// # Errors
/// `Invalid`, saying what is wrong; any characters will do, in any composition.
pub fn check(name: &str, password: &str) -> Result<(), Error> {
    let weak = |why| Err(Error::invalid(Text::WeakPassword { why }));
    let characters = password.chars().count();
    let lower = password.to_lowercase();
    // "Password2026!" is "password" to anybody who guesses.
    let core: String = lower.chars().filter(|c| c.is_alphabetic()).collect();
    if characters < LEAST {
        weak("it has fewer than 12 characters")
    } else if characters > MOST {
        weak("it has more than 128 characters")
    } else if COMMONEST.lines().any(|common| common == lower || (common.len() >= 8 && common == core)) {
        weak("it is one of the commonest there are")
    } else if is_repetitive(&lower) {
        weak("it repeats itself or only counts up")
    } else if !name.is_empty() && lower.replace(&name.to_lowercase(), "").chars().count() < LEAST / 2 {
        weak("it is little more than the name")
    } else {
        Ok(())
    }
}

/// One to four characters again and again, or each the neighbour of the one before.
fn is_repetitive(lower: &str) -> bool {
    let letters: Vec<char> = lower.chars().collect();
    let repeats = (1..=4).any(|unit| letters.iter().zip(letters.iter().skip(unit)).all(|(a, b)| a == b));
    let steps = |by: i64| letters.windows(2).all(|w| i64::from(u32::from(w[1])) - i64::from(u32::from(w[0])) == by);
    repeats || steps(1) || steps(-1)
}

/// The password as it is kept, under a fresh salt.
pub fn hash(cx: &Context, password: &str) -> Result<PasswordHash, Error> {
    let salt = cx.random_bytes::<SALT>();
    let key = stretch(cx.password_cost, password.as_bytes(), &salt).map_err(Error::internal)?;
    Ok(PasswordHash { hash: *key.expose(), salt: salt.to_vec(), cost: cx.password_cost.to_string() })
}

/// Whether `password` is the one kept. For `None`, a name that nobody has, the work is the same and the answer no.
pub fn verify(cx: &Context, kept: Option<&PasswordHash>, password: &Secret<String>) -> Result<bool, Error> {
    let nobody = PasswordHash { hash: [0; 32], salt: vec![0; SALT], cost: cx.password_cost.to_string() };
    let held = kept.unwrap_or(&nobody);
    let cost: Cost = held.cost.parse().map_err(Error::internal)?;
    // What is longer than any password may be is not worth the work, whoever's it would be.
    if password.expose().len() > MOST * 4 {
        return Ok(false);
    }
    let key = stretch(cost, password.expose().as_bytes(), &held.salt).map_err(Error::internal)?;
    Ok(constant_time_eq(key.expose(), &held.hash) && kept.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_and_bad_ones() {
        for good in ["correct horse battery", "Zwölf Boxkämpfer", "🐎🔋📎🍏🌳🪴🧄🫐🥨🥁🎺🪁", "aZ3 aZ3 bY4 cX", "tin roof in may", &"a9".repeat(2).repeat(3).replace('a', "ax")] {
            // The last is a unit of three characters, repeated: bad.
            assert_eq!(check("ada", good).is_ok(), !good.starts_with("ax9"), "{good}");
        }
        for bad in ["", "short", "elevenchars", "passwordpassword", "Password2026!", "QWERTYuiop123", "aaaaaaaaaaaaaaa", "abcabcabcabc", "123456789012345", "abcdefghijklmnop", "ada.ada.ada.ada.", &"x1y2".repeat(40)] {
            assert!(check("ada", bad).is_err(), "{bad}");
        }
        assert!(check("margarethe-maria", "margarethe-maria1").is_err());
    }

    #[test]
    fn the_list_is_as_it_is_read() {
        for line in COMMONEST.lines() {
            assert!(!line.is_empty() && line == line.to_lowercase() && line.trim() == line, "{line}");
        }
    }
}
