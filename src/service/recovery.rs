//! The recovery code: the second key to the school's secrets, on paper. Shown once when it is made; the database keeps only the data
//! key wrapped under what is derived from it. Called by `http` and, for a lost machine key, by [`super::founding`].

use super::actor::{Actor, Permission};
use super::{Context, Error, auditing, login};
use crate::base::ids::{is_short_code, short_code};
use crate::base::random::{self, Random};
use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::base::time::Timestamp;
use crate::pki::sealing::{DataKey, Keyring};
use crate::pki::stretching::{Cost, SALT, stretch};
use crate::store::{Store, Tx, WrappedKey};

/// The word of the `wrapping` column.
const RECOVERY_CODE: &str = "recovery-code";
/// 8 groups of 4 of 30 characters: over 150 bits, so that no thief of a copy ever guesses it.
const GROUPS: usize = 8;
const GROUP: usize = 4;

/// When the code in force was made.
pub fn find_made_at(cx: &Context) -> Result<Option<Timestamp>, Error> {
    Ok(cx.store.read(|db| db.list_wrapped_keys(RECOVERY_CODE))?.first().map(|key| key.created_at))
}

/// Makes a code and forgets the one before it. The text is in the answer and nowhere else.
///
/// # Errors
/// `Denied` for anybody but an owner who has given the password again.
pub fn make(cx: &Context, actor: &Actor, password: Option<&str>) -> Result<Secret<String>, Error> {
    actor.require(Permission::Administer)?;
    login::verify_fresh(cx, actor, password)?;
    let new = NewCode::mint(cx)?;
    let now = cx.now();
    // A rotation that begins meanwhile is either before this or after it, so that no data key is left without the code.
    let _held = cx.rotation.lock();
    cx.store.write(|tx| {
        new.wrap(cx, tx, cx.keyring().keys(), now)?;
        auditing::record(tx, actor, "recovery-code.new", None, None, now)
    })?;
    Ok(new.code)
}

/// A code and the wrapping key made from it.
pub(super) struct NewCode {
    pub code: Secret<String>,
    code_key: CodeKey,
}

/// What a code was stretched to, and how, so that more data keys can be wrapped under it.
pub(super) struct CodeKey {
    key: Secret<[u8; 32]>,
    salt: Vec<u8>,
    cost: Cost,
}

impl NewCode {
    pub(super) fn mint(cx: &Context) -> Result<NewCode, Error> {
        let code = mint(&*cx.random);
        let salt = cx.random_bytes::<SALT>();
        // Whoever holds a copy of the file guesses offline, so this costs more than a password; tests lower both.
        let cost = if cx.password_cost == Cost::LEAST { Cost::LEAST } else { Cost::RECOVERY };
        let key = stretch(cost, normal(code.expose()).expose().as_bytes(), &salt).map_err(Error::internal)?;
        Ok(NewCode { code, code_key: CodeKey { key, salt: salt.to_vec(), cost } })
    }

    pub(super) fn wrap<'k>(
        &self,
        cx: &Context,
        tx: &Tx<'_>,
        keys: impl Iterator<Item = &'k DataKey>,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.code_key.wrap(cx, tx, keys, now)
    }
}

impl CodeKey {
    /// Wraps these data keys under the code; what was wrapped under another one before is gone.
    pub(super) fn wrap<'k>(
        &self,
        cx: &Context,
        tx: &Tx<'_>,
        keys: impl Iterator<Item = &'k DataKey>,
        now: Timestamp,
    ) -> Result<(), Error> {
        for key in keys {
            let row = WrappedKey {
                key_id: key.id(),
                wrapped: key.wrap(&*cx.random, &self.key),
                derivation: Some((self.salt.clone(), self.cost.to_string())),
                created_at: now,
            };
            tx.put_wrapped_key(&row, RECOVERY_CODE)?;
        }
        Ok(())
    }
}

/// Whether a typed code is the one in force. Each try is in the audit.
///
/// # Errors
/// `Invalid` when it is not; `Denied` for anybody but the owner.
pub fn check(cx: &Context, actor: &Actor, code: &str) -> Result<(), Error> {
    actor.require(Permission::Administer)?;
    let opened = open_keyring(&cx.store, code);
    let now = cx.now();
    let detail = serde_json::json!({ "right": opened.is_ok() });
    cx.store.write(|tx| auditing::record(tx, actor, "recovery-code.check", None, Some(detail), now))?;
    opened.map(drop)
}

/// The data keys of a database, by its recovery code.
///
/// # Errors
/// `Invalid` when the code does not open it, or none was ever made.
pub(super) fn open_keyring(store: &Store, code: &str) -> Result<Keyring, Error> {
    Ok(open_with_code(store, code)?.0)
}

/// As [`open_keyring`], with what the code was stretched to.
pub(super) fn open_with_code(store: &Store, code: &str) -> Result<(Keyring, CodeKey), Error> {
    let wrapped = store.read(|db| db.list_wrapped_keys(RECOVERY_CODE))?;
    let newest = wrapped.first().ok_or_else(|| Error::invalid(Text::NoRecoveryCode))?;
    let (salt, cost) = newest.derivation.as_ref().ok_or_else(|| Error::internal("a recovery code without its salt"))?;
    let wrong = || Error::invalid(Text::RecoveryCodeWrong);
    let code = normal(code);
    if !is_short_code(code.expose()) || code.expose().len() != GROUPS * GROUP {
        return Err(wrong());
    }
    let cost: Cost = cost.parse().map_err(Error::internal)?;
    let key = stretch(cost, code.expose().as_bytes(), salt).map_err(Error::internal)?;
    // Every row is of the same code and salt: both ways of writing them write all.
    let ring = super::founding::unwrap_all(&wrapped, &key).ok_or_else(wrong)?;
    Ok((ring, CodeKey { key, salt: salt.clone(), cost }))
}

/// `abcd-efgh-…`: eight groups of four.
fn mint(random: &dyn Random) -> Secret<String> {
    let letters = Secret::new(short_code(&random::bytes::<{ GROUPS * GROUP }>(random)));
    let mut code = String::with_capacity(GROUPS * (GROUP + 1));
    for (i, letter) in letters.expose().chars().enumerate() {
        if i > 0 && i % GROUP == 0 {
            code.push('-');
        }
        code.push(letter);
    }
    Secret::new(code)
}

/// As people type it: any case, with or without hyphens and spaces.
fn normal(code: &str) -> Secret<String> {
    let letters =
        code.chars().filter(|c| !c.is_whitespace() && !matches!(c, '-' | '–' | '—' | '\u{2010}' | '\u{2011}'));
    Secret::new(letters.map(|c| c.to_ascii_lowercase()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::ManualClock;
    use crate::pki::SystemRandom;
    use crate::service::founding::{self, Place};
    use std::path::Path;
    use std::sync::Arc;

    fn open(dir: &Path) -> Context {
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_795_000_000)));
        let mut cx = founding::open(&Place::in_directory(dir), clock, Arc::new(SystemRandom)).unwrap();
        cx.password_cost = Cost::LEAST;
        cx
    }

    fn local() -> Actor {
        Actor::LocalShell { user: String::from("ada") }
    }

    #[test]
    fn a_code_is_long_enough_and_is_read_as_people_type() {
        let code = mint(&SystemRandom);
        assert_eq!(code.expose().len(), 39);
        assert_eq!(code.expose().split('-').map(str::len).collect::<Vec<_>>(), [4; 8]);
        // 256 mod 30 leaves the likeliest character 9 chances in 256.
        assert!(32.0 * (256.0_f64 / 9.0).log2() >= 128.0);
        let typed = format!(" {} ", code.expose().to_uppercase().replace('-', " "));
        assert_eq!(normal(&typed), normal(code.expose()));
    }

    #[test]
    fn only_the_newest_code_is_right_and_every_try_is_in_the_audit() {
        let dir = tempfile::tempdir().unwrap();
        let cx = open(dir.path());
        assert_eq!(check(&cx, &local(), "x").unwrap_err().public, Text::NoRecoveryCode);
        let first = make(&cx, &local(), None).unwrap();
        check(&cx, &local(), first.expose()).unwrap();
        let second = make(&cx, &local(), None).unwrap();
        assert_eq!(check(&cx, &local(), first.expose()).unwrap_err().public, Text::RecoveryCodeWrong);
        check(&cx, &local(), &second.expose().to_uppercase()).unwrap();
        let rows = auditing::list(&cx, &local(), &crate::store::AuditFilter::first(50)).unwrap();
        assert_eq!(rows.iter().filter(|r| r.entry.verb == "recovery-code.new").count(), 2);
        assert!(rows.iter().all(|r| !r.entry.detail.as_deref().unwrap_or_default().contains(&second.expose()[..4])));
        let token = Actor::Token { name: String::from("t"), role: crate::store::Role::Owner, from: String::new() };
        assert_eq!(make(&cx, &token, None).unwrap_err().public, Text::PasswordNeeded);
    }

    #[test]
    fn the_copy_and_the_code_open_every_secret_and_either_alone_opens_none() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let cx = open(old.path());
        let code = make(&cx, &local(), None).unwrap();
        let sealed = cx.seal("secret/1/lock-pin/1", b"123456");
        cx.store.close().unwrap();
        let bytes = std::fs::read(old.path().join("cordon.db")).unwrap();
        for secret in [code.expose().as_bytes(), normal(code.expose()).expose().as_bytes()] {
            assert!(!bytes.windows(secret.len()).any(|w| w == secret), "the code lies in the file");
        }
        std::fs::copy(old.path().join("cordon.db"), new.path().join("cordon.db")).unwrap();
        let place = Place::in_directory(new.path());
        let clock = || Arc::new(ManualClock::at(Timestamp::from_secs(1_795_000_100)));
        assert!(founding::open(&place, clock(), Arc::new(SystemRandom)).is_err(), "the copy alone");
        let wrong = mint(&SystemRandom);
        let refused = founding::open_with_recovery(&place, wrong.expose(), clock(), Arc::new(SystemRandom));
        assert!(matches!(refused, Err(e) if e.public == Text::RecoveryCodeWrong));
        assert!(!new.path().join("machine.key").exists(), "a wrong code leaves nothing behind");
        let opened = founding::open_with_recovery(&place, code.expose(), clock(), Arc::new(SystemRandom)).unwrap();
        assert_eq!(opened.open("secret/1/lock-pin/1", &sealed).unwrap().expose(), b"123456");
        opened.store.close().unwrap();
        // From now on this machine's own key does it.
        let again = founding::open(&place, clock(), Arc::new(SystemRandom)).unwrap();
        assert_eq!(again.open("secret/1/lock-pin/1", &sealed).unwrap().expose(), b"123456");
        again.store.close().unwrap();
        // Another machine key, from somewhere else, does not stand in the way and is not overwritten.
        std::fs::write(new.path().join("machine.key"), "11".repeat(32)).unwrap();
        assert!(founding::open(&place, clock(), Arc::new(SystemRandom)).is_err());
        let opened = founding::open_with_recovery(&place, code.expose(), clock(), Arc::new(SystemRandom)).unwrap();
        assert_eq!(opened.open("secret/1/lock-pin/1", &sealed).unwrap().expose(), b"123456");
        assert!(std::fs::read_to_string(new.path().join("machine.key")).unwrap().starts_with("1111"));
    }
}
