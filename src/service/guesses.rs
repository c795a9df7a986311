//! Who guesses, waits. Wrong tries to log in slow down the next ones, by name and by address; they never lock anybody out for good.
//!
//! They are counted in memory; the counts and what the audit keeps of them are written every few seconds ([`flush`]), so that a restart
//! forgives nobody, a guess costs no write, and the time of an answer does not tell whether a name is somebody's. Called by
//! [`super::login`] and by who else takes passwords and codes.

use super::{Context, Error, Kind, auditing};
use crate::base::texts::Text;
use crate::base::time::{HOUR, MINUTE, SECOND, Timestamp};
use crate::store::{Db, LoginTries, Store};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

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

/// Counts a wrong try, remembers it for the audit, and says `text`.
pub(super) fn failed(cx: &Context, keys: &[String], name: &str, origin: &str, text: Text) -> Error {
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
pub(super) fn keys(name: &str, address: Option<IpAddr>) -> Vec<String> {
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

    /// Wrong tries of a key, and until when it waits.
    pub(super) fn count_of(&self, key: &str) -> Option<(u32, Timestamp)> {
        self.tries.lock().unwrap_or_else(|p| p.into_inner()).get(key).map(|t| (t.wrong, t.blocked_until))
    }

    pub(super) fn forget_addresses(&self) {
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
