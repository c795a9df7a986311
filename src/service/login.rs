//! Logging in by name: password, code of the authenticator app, sessions, and what happens to who guesses. Called by `http`; the
//! people themselves are kept by [`super::people`].
//!
//! Wrong tries slow down the next ones, by name and by address; they never lock anybody out for good. They are counted in memory; the
//! counts and what the audit keeps of them are written every few seconds ([`flush`]), so that a restart forgives nobody, a guess costs
//! no write, and the time of an answer does not tell whether a name is somebody's.

use super::actor::{Actor, Permission};
use super::{Context, Error, Kind, auditing, passwords, totp};
use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::base::time::{HOUR, MINUTE, SECOND, Timestamp};
use crate::pki::digest::sha256;
use crate::store::{AdminRow, Db, LoginTries, OpenSession, Store};
use base64::Engine;
use serde_json::json;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Every session's token begins so; it tells them from API tokens.
const PREFIX: &str = "cordon_session_";
/// A session that nobody uses ends after this (ASVS V3.3).
pub const IDLE: i64 = 30 * MINUTE;
/// Any session ends after this.
pub const ABSOLUTE: i64 = 12 * HOUR;
/// The last use is written at most this often; a session ends that much early at worst.
const USED_EVERY: i64 = MINUTE;

/// Wrong tries of one name before they are slowed down, and of one address: a school sits behind one.
const FREE_BY_NAME: u32 = 5;
const FREE_BY_ADDRESS: u32 = 20;
/// The longest one has to wait.
const LONGEST_WAIT: i64 = 15 * MINUTE;
/// Where nobody can be told apart by address, behind a proxy that does not say, all are counted together: many tries are free, and the
/// wait stays short, or one who guesses would keep a whole school out.
const TOGETHER: &str = "together:";
const FREE_TOGETHER: u32 = 100;
const LONGEST_WAIT_TOGETHER: i64 = 5 * SECOND;
/// Wrong tries are forgotten when there was none for this long.
const FORGOTTEN: i64 = 24 * HOUR;
/// Names and addresses remembered; beyond it the longest quiet one goes.
const MAX_REMEMBERED: usize = 10_000;
/// Names and addresses that a restart remembers: the worst ones.
const MAX_KEPT: usize = 1_000;
/// Passwords being checked at once: each takes 19 MiB for a moment.
const MAX_CHECKS: usize = 4;

/// Wrong tries that wait to be noted; beyond it they only count.
const MAX_UNNOTED: usize = 1_000;

/// Wrong tries so far.
#[derive(Default)]
pub struct Guesses {
    tries: Mutex<HashMap<String, Tries>>,
    /// Whether the counts changed since they were last written.
    changed: AtomicBool,
    unnoted: Mutex<Vec<Unnoted>>,
    checks: AtomicUsize,
}

/// A wrong try that the audit has not got yet.
struct Unnoted {
    name: String,
    origin: String,
    at: Timestamp,
    /// The id of what was said.
    why: &'static str,
}

#[derive(Clone, Copy)]
struct Tries {
    wrong: u32,
    last: Timestamp,
    blocked_until: Timestamp,
}

/// What somebody gives to log in.
pub struct Attempt<'a> {
    pub name: &'a str,
    pub password: Secret<String>,
    pub totp: Option<&'a str>,
    /// Where from, if that is one person's address and not a proxy's.
    pub address: Option<IpAddr>,
    /// The same for the audit, in words.
    pub origin: &'a str,
}

/// An open session. The token is here and nowhere else.
pub struct Session {
    pub token: Secret<String>,
    pub admin: AdminRow,
    pub expires_at: Timestamp,
}

/// # Errors
/// `Denied` with `LoginFailed` for a wrong name or password and for a disabled admin, without saying which; `TotpNeeded`,
/// `TotpWrong`; `Busy` with `TooManyTries`.
pub fn login(cx: &Context, attempt: &Attempt<'_>) -> Result<Session, Error> {
    let now = cx.now();
    let keys = keys(attempt.name, attempt.address);
    cx.guesses.refuse_blocked(&keys, now)?;
    let found = cx.store.read(|db| db.find_admin(attempt.name))?;
    let right =
        cx.guesses.checked(|| passwords::verify(cx, found.as_ref().map(|admin| &admin.password), &attempt.password))?;
    let Some(admin) = found.filter(|admin| right && admin.disabled_at.is_none()) else {
        return Err(failed(cx, &keys, attempt.name, attempt.origin, Text::LoginFailed));
    };
    let step = match (&admin.sealed_totp, admin.totp_confirmed_at, attempt.totp) {
        (Some(sealed), Some(_), Some(code)) => {
            let secret = cx.open(&totp_place(admin.id), sealed)?;
            let step = totp::find_step(secret.expose(), code, now);
            Some(step.ok_or_else(|| failed(cx, &keys, attempt.name, attempt.origin, Text::TotpWrong))?)
        }
        (_, Some(_), None) => return Err(Error::denied(Text::TotpNeeded)),
        _ => None,
    };
    let random = Secret::new(cx.random_bytes::<32>());
    let token = Secret::new(format!("{PREFIX}{}", base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(random.expose())));
    let expires_at = now.plus(ABSOLUTE);
    let hash = sha256(token.expose().as_bytes());
    let opened = cx.store.write(|tx| {
        if let Some(step) = step
            && !tx.use_totp_step(admin.id, step)?
        {
            return Err(Error::denied(Text::TotpWrong));
        }
        let session = tx.insert_session(admin.id, &hash, now, expires_at, now.plus(-IDLE), attempt.origin)?;
        let actor =
            Actor::Admin { name: admin.name.clone(), role: admin.role, session, from: attempt.origin.to_owned() };
        auditing::record(tx, &actor, "admin.login", Some(&admin.name), None, now)
    });
    if let Err(refused) = opened {
        return Err(if refused.public == Text::TotpWrong {
            failed(cx, &keys, attempt.name, attempt.origin, Text::TotpWrong)
        } else {
            refused
        });
    }
    flush(cx)?;
    // Only the name's count: who guesses others' passwords must not wash the address clean with their own.
    cx.guesses.forget(&keys[0]);
    Ok(Session { token, admin, expires_at })
}

/// Whether a bearer text claims to be a session's.
pub fn is_session_token(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// Who a session's token stands for, with the role of this moment; `from` goes into the audit.
///
/// # Errors
/// `Denied` for an unknown, idle, ended or disabled one, without saying which.
pub fn authenticate(cx: &Context, text: &str, from: &str) -> Result<Actor, Error> {
    let now = cx.now();
    let found = cx.store.read(|db| db.find_session_by_hash(&sha256(text.as_bytes())))?;
    let in_force =
        found.filter(|s| s.expires_at > now && now.since(s.last_used_at) < IDLE && s.admin.disabled_at.is_none());
    let session = in_force.ok_or_else(|| Error::denied(Text::LoginNeeded))?;
    if now.since(session.last_used_at) >= USED_EVERY {
        cx.store.write(|tx| tx.put_session_used(session.id, now))?;
    }
    Ok(Actor::Admin { name: session.admin.name, role: session.admin.role, session: session.id, from: from.to_owned() })
}

/// Ends the actor's own session.
///
/// # Errors
/// `Denied` for who has none.
pub fn logout(cx: &Context, actor: &Actor) -> Result<(), Error> {
    let Actor::Admin { name, session, .. } = actor else { return Err(Error::denied(Text::PersonNeeded)) };
    let now = cx.now();
    cx.store.write(|tx| {
        tx.end_session(*session)?;
        auditing::record(tx, actor, "admin.logout", Some(name), None, now)
    })
}

/// What stands before a grave step: somebody who is logged in gives the password again, for the session could be anybody's at a
/// screen left open. Who sits at the server itself has proven more; a token proves nothing about a person.
///
/// # Errors
/// `Denied` with `PasswordNeeded`; `Busy` with `TooManyTries`.
pub fn verify_fresh(cx: &Context, actor: &Actor, password: Option<&str>) -> Result<(), Error> {
    let name = match actor {
        Actor::LocalShell { .. } => return Ok(()),
        Actor::Admin { name, .. } => name,
        _ => return Err(Error::denied(Text::PasswordNeeded)),
    };
    let password = password.ok_or_else(|| Error::denied(Text::PasswordNeeded))?;
    let keys = keys(name, None);
    cx.guesses.refuse_blocked(&keys, cx.now())?;
    let admin = cx.store.read(|db| db.find_admin(name))?.filter(|admin| admin.disabled_at.is_none());
    let password = Secret::new(password.to_owned());
    if cx.guesses.checked(|| passwords::verify(cx, admin.as_ref().map(|a| &a.password), &password))? {
        cx.guesses.forget(&keys[0]);
        return Ok(());
    }
    Err(failed(cx, &keys, name, actor.origin(), Text::PasswordNeeded))
}

/// Wrong tries of a name so far, and until when the next one has to wait.
pub fn standing(cx: &Context, name: &str) -> (u32, Option<Timestamp>) {
    let tries = cx.guesses.tries.lock().unwrap_or_else(|p| p.into_inner());
    let now = cx.now();
    tries.get(&keys(name, None)[0]).map_or((0, None), |t| (t.wrong, Some(t.blocked_until).filter(|until| *until > now)))
}

/// Forgets the wrong tries of a name, and with `addresses` those of all addresses: a school sits behind one.
///
/// # Errors
/// `Denied` for anybody but an owner; `NotFound`.
pub fn unlock(cx: &Context, actor: &Actor, name: &str, addresses: bool) -> Result<(), Error> {
    actor.require(Permission::Administer)?;
    let admin = super::people::find(cx, name)?;
    let (wrong, _) = standing(cx, &admin.name);
    let now = cx.now();
    cx.store.write(|tx| {
        let detail = json!({ "wrong": wrong, "addresses": addresses });
        auditing::record(tx, actor, "admin.unlock", Some(&admin.name), Some(detail), now)
    })?;
    cx.guesses.forget(&keys(&admin.name, None)[0]);
    if addresses {
        cx.guesses.forget_addresses();
    }
    flush(cx)
}

/// Open sessions of one person: one's own, or, for an owner, anybody's.
///
/// # Errors
/// `Denied`, `NotFound`.
pub fn sessions(cx: &Context, actor: &Actor, name: &str) -> Result<Vec<OpenSession>, Error> {
    super::people::require_self_or_owner(actor, name)?;
    let admin = super::people::find(cx, name)?;
    let now = cx.now();
    Ok(cx.store.read(|db| db.list_sessions(admin.id, now, now.plus(-IDLE)))?)
}

/// Ends one session of a person, or with `None` every one but the actor's own. Returns how many.
///
/// # Errors
/// As [`sessions`]; `NotFound` for a session that is not that person's, or over.
pub fn end_sessions(cx: &Context, actor: &Actor, name: &str, id: Option<&str>) -> Result<usize, Error> {
    let open = sessions(cx, actor, name)?;
    let missing = |id: &str| Error::not_found(Text::NoSuchSession { id: id.chars().take(20).collect() });
    let id = id.map(|id| id.parse::<i64>().map_err(|_| missing(id))).transpose()?;
    let own = if let Actor::Admin { session, .. } = actor { Some(*session) } else { None };
    let ended: Vec<i64> =
        open.iter().map(|s| s.id).filter(|s| id.map_or(Some(*s) != own, |wanted| wanted == *s)).collect();
    if let Some(id) = id.filter(|_| ended.is_empty()) {
        return Err(missing(&id.to_string()));
    }
    let now = cx.now();
    cx.store.write(|tx| -> Result<(), Error> {
        ended.iter().try_for_each(|id| tx.end_session(*id))?;
        auditing::record(tx, actor, "admin.end-sessions", Some(name), Some(json!({ "sessions": ended })), now)
    })?;
    Ok(ended.len())
}

/// The place that an authenticator's secret is sealed for.
pub(super) fn totp_place(admin: i64) -> String {
    format!("admin/{admin}/totp")
}

/// Counts a wrong try, remembers it for the audit, and says `text`.
fn failed(cx: &Context, keys: &[String], name: &str, origin: &str, text: Text) -> Error {
    let now = cx.now();
    cx.guesses.count_wrong(keys, now);
    let mut unnoted = cx.guesses.unnoted.lock().unwrap_or_else(|p| p.into_inner());
    if unnoted.len() < MAX_UNNOTED {
        let name = name.chars().take(64).collect();
        unnoted.push(Unnoted { name, origin: origin.to_owned(), at: now, why: text.id() });
    }
    Error::denied(text)
}

/// Writes down the counts, and in the audit the wrong tries since the last time: those on a name that is somebody's.
pub(super) fn flush(cx: &Context) -> Result<(), Error> {
    let tries = std::mem::take(&mut *cx.guesses.unnoted.lock().unwrap_or_else(|p| p.into_inner()));
    let counts = cx.guesses.take_changed();
    if tries.is_empty() && counts.is_none() {
        return Ok(());
    }
    let counts = counts.map(|counts| cx.store.read(|db| worst(db, counts))).transpose()?;
    cx.store.write(|tx| {
        if let Some(counts) = &counts {
            tx.put_login_tries(counts)?;
        }
        for one in &tries {
            if let Some(admin) = tx.find_admin(&one.name)? {
                auditing::record_failed_login(tx, &admin.name, &one.origin, one.why, one.at)?;
            }
        }
        Ok(())
    })
}

/// What a restart remembers, of counts that begin with the worst. Only names that are somebody's go into the file: in the field for the
/// name people also type their password.
fn worst(db: &Db<'_>, counts: Vec<LoginTries>) -> Result<Vec<LoginTries>, Error> {
    let mut kept = Vec::new();
    for one in counts {
        let is_known = match one.key.split_once(':') {
            Some(("name", name)) => db.find_admin(name)?.is_some(),
            Some(("person", name)) => db.find_person(name)?.is_some(),
            _ => true,
        };
        if is_known {
            kept.push(one);
        }
        if kept.len() == MAX_KEPT {
            break;
        }
    }
    Ok(kept)
}

/// The name first, then the address.
fn keys(name: &str, address: Option<IpAddr>) -> Vec<String> {
    keys_of("name", name, address)
}

/// As [`keys`] for names of another kind, such as those of people who are no admins.
pub(super) fn keys_of(kind: &str, name: &str, address: Option<IpAddr>) -> Vec<String> {
    let name: String = name.chars().take(64).flat_map(char::to_lowercase).collect();
    [Some(format!("{kind}:{name}")), address.map(key_of_address)].into_iter().flatten().collect()
}

/// By what somebody at the enrolment page is counted, whatever name or code they try.
pub(super) fn key_at_door(address: Option<IpAddr>) -> String {
    address.map_or_else(|| format!("{TOGETHER}door"), key_of_address)
}

fn key_of_address(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => format!("address:{v4}"),
        // Whoever has one address of a /64 has them all.
        IpAddr::V6(v6) => format!("address:{:x?}", &v6.segments()[..4]),
    }
}

impl Guesses {
    /// What an earlier run remembered. No wait is longer than it may be, whatever the clock did meanwhile.
    pub(super) fn load(store: &Store, now: Timestamp) -> Result<Guesses, Error> {
        let guesses = Guesses::default();
        let kept = store.read(|db| db.list_login_tries())?;
        let mut tries = guesses.tries.lock().unwrap_or_else(|p| p.into_inner());
        for one in kept {
            let blocked_until = one.blocked_until.min(now.plus(LONGEST_WAIT));
            tries.insert(one.key, Tries { wrong: one.wrong, last: one.last.min(now), blocked_until });
        }
        drop(tries);
        Ok(guesses)
    }

    /// The counts, the worst first, if any changed.
    fn take_changed(&self) -> Option<Vec<LoginTries>> {
        if !self.changed.swap(false, Ordering::SeqCst) {
            return None;
        }
        let tries = self.tries.lock().unwrap_or_else(|p| p.into_inner());
        let row = |(key, t): (&String, &Tries)| LoginTries {
            key: key.clone(),
            wrong: t.wrong,
            last: t.last,
            blocked_until: t.blocked_until,
        };
        let mut all: Vec<LoginTries> = tries.iter().map(row).collect();
        all.sort_by_key(|one| std::cmp::Reverse((one.wrong, one.last)));
        Some(all)
    }

    fn forget_addresses(&self) {
        self.tries
            .lock()
            .unwrap_or_else(|p| p.into_inner())
            .retain(|key, _| !key.starts_with("address:") && !key.starts_with(TOGETHER));
        self.changed.store(true, Ordering::SeqCst);
    }

    pub(super) fn refuse_blocked(&self, keys: &[String], now: Timestamp) -> Result<(), Error> {
        let tries = self.tries.lock().unwrap_or_else(|p| p.into_inner());
        let until = keys.iter().filter_map(|key| tries.get(key)).map(|t| t.blocked_until).max();
        match until.filter(|until| *until > now) {
            None => Ok(()),
            Some(until) => {
                Err(Error::new(Kind::Busy, Text::TooManyTries { seconds: (until.since(now) + SECOND - 1) / SECOND }))
            }
        }
    }

    /// One wrong try, by name and by address.
    pub(super) fn count_wrong(&self, keys: &[String], now: Timestamp) {
        for key in keys {
            let free = match key.split_once(':') {
                Some(("address", _)) => FREE_BY_ADDRESS,
                _ if key.starts_with(TOGETHER) => FREE_TOGETHER,
                _ => FREE_BY_NAME,
            };
            self.count(key, free, now);
        }
    }

    fn count(&self, key: &str, free: u32, now: Timestamp) {
        self.changed.store(true, Ordering::SeqCst);
        let mut tries = self.tries.lock().unwrap_or_else(|p| p.into_inner());
        if tries.len() >= MAX_REMEMBERED
            && !tries.contains_key(key)
            && let Some(quiet) = tries.iter().min_by_key(|(_, t)| t.last).map(|(key, _)| key.clone())
        {
            tries.remove(&quiet);
        }
        let entry = tries.entry(key.to_owned()).or_insert(Tries { wrong: 0, last: now, blocked_until: now });
        if now.since(entry.last) > FORGOTTEN {
            entry.wrong = 0;
        }
        entry.wrong = entry.wrong.saturating_add(1);
        entry.last = now;
        if entry.wrong >= free {
            // 1 s, 2 s, 4 s … 15 min.
            let longest = if key.starts_with(TOGETHER) { LONGEST_WAIT_TOGETHER } else { LONGEST_WAIT };
            let wait = SECOND.checked_shl((entry.wrong - free).min(20)).unwrap_or(longest).min(longest);
            entry.blocked_until = now.plus(wait);
        }
    }

    pub(super) fn forget(&self, key: &str) {
        if self.tries.lock().unwrap_or_else(|p| p.into_inner()).remove(key).is_some() {
            self.changed.store(true, Ordering::SeqCst);
        }
    }

    /// Runs one check of a password, unless too many run already: memory is bounded, devices come first.
    pub(super) fn checked(&self, check: impl FnOnce() -> Result<bool, Error>) -> Result<bool, Error> {
        let running = Running(&self.checks);
        if self.checks.fetch_add(1, Ordering::SeqCst) >= MAX_CHECKS {
            return Err(Error::new(Kind::Busy, Text::TooManyTries { seconds: 1 }));
        }
        let right = check();
        drop(running);
        right
    }
}

/// One check of a password under way; it gives its place back also when the check panics.
struct Running<'a>(&'a AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    #[test]
    fn waits_grow_and_end() {
        let guesses = Guesses::default();
        let (keys, mut now) = (keys("Ada", None), Timestamp::from_secs(1_000));
        let mut waits = Vec::new();
        for _ in 0..20 {
            guesses.refuse_blocked(&keys, now).unwrap();
            guesses.count(&keys[0], FREE_BY_NAME, now);
            let until = guesses.tries.lock().unwrap()[&keys[0]].blocked_until;
            waits.push(until.since(now) / SECOND);
            if until > now {
                assert!(guesses.refuse_blocked(&keys, until.plus(-1)).is_err());
            }
            now = until;
        }
        assert_eq!(waits[..8], [0, 0, 0, 0, 1, 2, 4, 8]);
        assert_eq!(waits[19], LONGEST_WAIT / SECOND);
        guesses.count(&keys[0], FREE_BY_NAME, now.plus(FORGOTTEN + 1));
        guesses.refuse_blocked(&keys, now.plus(FORGOTTEN + 1)).unwrap();
    }

    #[test]
    fn a_check_that_panics_gives_its_place_back() {
        let guesses = Guesses::default();
        for _ in 0..2 * MAX_CHECKS {
            let broken = || guesses.checked(|| -> Result<bool, Error> { panic!("out of memory") });
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(broken)).is_err());
        }
        assert!(guesses.checked(|| Ok(true)).unwrap());
    }

    #[test]
    fn where_nobody_can_be_told_apart_all_wait_a_little_and_never_long() {
        let (guesses, keys) = (Guesses::default(), [key_at_door(None)]);
        let mut now = Timestamp::from_secs(1_000);
        for n in 1..FREE_TOGETHER + 50 {
            assert_eq!(guesses.refuse_blocked(&keys, now).is_ok(), n <= FREE_TOGETHER, "{n}");
            guesses.count_wrong(&keys, now);
            let until = guesses.tries.lock().unwrap()[&keys[0]].blocked_until;
            assert!(until.since(now) <= LONGEST_WAIT_TOGETHER);
            if n > FREE_TOGETHER {
                now = until.plus(-1);
            }
        }
        assert!(guesses.refuse_blocked(&keys, now.plus(1)).is_ok());
        let at = Some(IpAddr::from([192, 0, 2, 1]));
        assert!(guesses.refuse_blocked(&[key_at_door(at)], now).is_ok(), "an address of one's own is not in it");
    }

    #[test]
    fn memory_is_bounded_and_addresses_go_by_network() {
        let guesses = Guesses::default();
        for i in 0..(MAX_REMEMBERED + 10) {
            guesses.count(&format!("name:{i}"), FREE_BY_NAME, Timestamp(i as i64));
        }
        let tries = guesses.tries.lock().unwrap();
        assert!(tries.len() == MAX_REMEMBERED && !tries.contains_key("name:0"));
        let at = |last| Some(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, last)));
        assert_eq!(keys("ADA", at(1)), keys("ada", at(2)));
    }
}
