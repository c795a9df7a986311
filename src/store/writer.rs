//! The one write connection with group commit, without a thread of its own.
//!
//! A caller takes the connection, opens the shared transaction if none is open, runs its closure inside a savepoint, and then
//! looks whether others are waiting: if so it leaves the transaction open for them and sleeps until it is committed; the last
//! one in (or the one that fills the group) commits for all. While that commit waits for the disk, the next group gathers at
//! the lock. So one fsync serves as many writes as arrived during the previous one, closures may borrow, and nothing answers
//! before its write is durable.
//!
//! Closures that own what they need can be handed over instead (`handed`): whoever holds the connection runs them on the way to
//! the commit. Their callers sleep once, until it is on disk, instead of waking one after the other to take the lock. And because
//! they can be run again, a group of nothing else does without savepoints, which copy every page before it is written: should one
//! of them refuse, which hardly ever happens, all are undone and run anew, each in a savepoint of its own.

use super::handed::{self, Handed, Parcel};
use super::{Db, StoreError, Tx};
use crate::base::limits::{MAX_GROUP, MAX_WAITING_WRITES};
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, TryLockError};

pub(super) struct Writer {
    state: Mutex<State>,
    /// Callers that want the lock and do not have it yet.
    waiting: AtomicUsize,
    handed: Handed,
}

struct State {
    conn: Connection,
    group: Option<Arc<Group>>,
    members: usize,
    /// All of the open group was handed in and can be run again.
    repeatable: bool,
    /// Those who handed their closure in and are in the open group.
    owed: Vec<Parcel>,
    /// Their answers once it is decided, delivered when the lock is free again.
    decided: Vec<(Parcel, Result<(), StoreError>)>,
}

/// The fate of one shared transaction.
#[derive(Default)]
struct Group {
    outcome: OnceLock<Result<(), StoreError>>,
}

impl Group {
    fn decide(&self, outcome: Result<(), StoreError>) {
        // Decided once: whoever decides has taken the group out of the state.
        let _ = self.outcome.set(outcome);
    }

    fn wait(&self) -> Result<(), StoreError> {
        self.outcome.wait().as_ref().copied().map_err(StoreError::shared)
    }

    fn find(&self) -> Option<Result<(), StoreError>> {
        self.outcome.get().map(|fate| fate.as_ref().copied().map_err(StoreError::shared))
    }
}

impl Writer {
    pub(super) fn new(conn: Connection) -> Self {
        let state = State { conn, group: None, members: 0, repeatable: false, owed: Vec::new(), decided: Vec::new() };
        Self { state: Mutex::new(state), waiting: AtomicUsize::new(0), handed: Handed::default() }
    }

    pub(super) fn into_connection(self) -> Connection {
        self.state.into_inner().unwrap_or_else(|p| p.into_inner()).conn
    }

    /// Empties the write-ahead log into the file, if nobody is in a transaction or reads an older state.
    pub(super) fn checkpoint(&self) -> Result<bool, StoreError> {
        let state = self.lock()?;
        if state.group.is_some() {
            return Ok(false);
        }
        let busy: i64 = state.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        Ok(busy == 0)
    }

    fn lock(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        if self.waiting.fetch_add(1, Ordering::SeqCst) >= MAX_WAITING_WRITES {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            return Err(StoreError::Busy);
        }
        let guard = self.state.lock().unwrap_or_else(|p| p.into_inner());
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        Ok(guard)
    }

    pub(super) fn write<T, E: From<StoreError>>(&self, work: impl FnOnce(&Tx<'_>) -> Result<T, E>) -> Result<T, E> {
        let mut state = self.lock()?;
        let mut answer = None;
        let group = admit(&mut state, |conn| {
            let answer = answer.insert(catch_unwind(AssertUnwindSafe(|| work(&Tx { db: Db { conn } }))));
            matches!(answer, Ok(Ok(_)))
        });
        self.part(state);
        match (group, answer) {
            (_, Some(Err(panic))) => resume_unwind(panic),
            (_, Some(Ok(Err(refused)))) => Err(refused),
            (Ok(group), Some(Ok(Ok(value)))) => group.wait().map(|()| value).map_err(E::from),
            (Err(e), _) => Err(E::from(e)),
            (Ok(_), None) => Err(E::from(StoreError::Corrupt("a write that did not run"))),
        }
    }

    /// As [`Writer::write`], for a closure that any other caller's thread may run, and again where what it wrote was undone.
    pub(super) fn write_handed<T, E>(&self, work: impl Fn(&Tx<'_>) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (parcel, receipt) = handed::pack(work);
        self.handed.put(parcel)?;
        self.lead();
        // Called upon when a group is done and this one waits first in the line for the next.
        receipt.wait(|| self.lead())
    }

    /// Runs what was handed in, unless somebody else has the connection: then that one does.
    fn lead(&self) {
        match self.state.try_lock() {
            Ok(state) => self.part(state),
            Err(TryLockError::Poisoned(p)) => self.part(p.into_inner()),
            Err(TryLockError::WouldBlock) => {}
        }
    }

    /// The way out for whoever holds the lock: takes along what was handed in, commits unless others are at the door, lets go, and
    /// tells everybody. Whatever is handed in meanwhile finds the lock taken, so somebody is called upon for it afterwards.
    fn part(&self, mut state: MutexGuard<'_, State>) {
        while state.members < MAX_GROUP || state.group.is_none() {
            let Some(parcel) = self.handed.take() else { break };
            take_in(&mut state, parcel);
        }
        if let Some(group) = state.group.clone()
            && (self.waiting.load(Ordering::SeqCst) == 0 || state.members >= MAX_GROUP)
        {
            commit(&mut state, &group);
        }
        let decided = std::mem::take(&mut state.decided);
        drop(state);
        self.handed.call_first();
        for (parcel, fate) in decided {
            parcel.deliver(fate);
        }
    }
}

/// Runs `work`, which says whether its writes are to stay, in a savepoint of the shared transaction.
fn admit(state: &mut State, work: impl FnOnce(&Connection) -> bool) -> Result<Arc<Group>, StoreError> {
    let group = join(state)?;
    state.members += 1;
    state.repeatable = false;
    if let Err(e) = run(&state.conn, "SAVEPOINT one") {
        let e = sqlite(e);
        let copy = e.shared();
        abandon(state, &group, e);
        return Err(copy);
    }
    let kept = match work(&state.conn) {
        true => run(&state.conn, "RELEASE one"),
        false => run(&state.conn, "ROLLBACK TO one").and_then(|()| run(&state.conn, "RELEASE one")),
    };
    if let Err(e) = kept {
        // SQLite itself rolled the transaction back (disk full, I/O error): the whole group has failed.
        abandon(state, &group, sqlite(e));
    }
    Ok(group)
}

/// One closure that was handed in.
fn take_in(state: &mut State, mut parcel: Parcel) {
    match join(state) {
        Ok(_) if !state.repeatable => take_in_carefully(state, parcel),
        // A full disk ends the transaction by itself: what comes after must not run outside of one.
        Ok(_) if parcel.run(&state.conn) && !state.conn.is_autocommit() => {
            state.members += 1;
            state.owed.push(parcel);
        }
        Ok(_) => {
            rollback(&state.conn);
            state.group = None;
            for parcel in std::mem::take(&mut state.owed).into_iter().chain([parcel]) {
                take_in_carefully(state, parcel);
            }
        }
        Err(why) => state.decided.push((parcel, Err(why))),
    }
}

/// As [`take_in`], so that nobody else is hurt. A refusal has written nothing and need not wait for the others.
fn take_in_carefully(state: &mut State, mut parcel: Parcel) {
    let mut kept = false;
    let group = admit(state, |conn| {
        kept = parcel.run(conn);
        kept
    });
    match group {
        Err(why) => state.decided.push((parcel, Err(why))),
        Ok(_) if !kept => state.decided.push((parcel, Ok(()))),
        Ok(group) => match group.find() {
            // It failed already, in the savepoint's own end.
            Some(fate) => state.decided.push((parcel, fate)),
            None => state.owed.push(parcel),
        },
    }
}

/// Opens the shared transaction if there is none.
fn join(state: &mut State) -> Result<Arc<Group>, StoreError> {
    if let Some(group) = &state.group {
        return Ok(Arc::clone(group));
    }
    run(&state.conn, "BEGIN IMMEDIATE").map_err(sqlite)?;
    let group = Arc::<Group>::default();
    state.group = Some(Arc::clone(&group));
    state.members = 0;
    state.repeatable = true;
    Ok(group)
}

fn commit(state: &mut State, group: &Group) {
    match run(&state.conn, "COMMIT") {
        Ok(()) => decide(state, group, Ok(())),
        Err(e) => abandon(state, group, sqlite(e)),
    }
}

fn abandon(state: &mut State, group: &Group, why: StoreError) {
    rollback(&state.conn);
    decide(state, group, Err(why));
}

fn rollback(conn: &Connection) {
    if !conn.is_autocommit() {
        // If even this fails the next BEGIN says so; nothing of the group was promised to anybody.
        let _ = conn.execute_batch("ROLLBACK");
    }
}

fn decide(state: &mut State, group: &Group, fate: Result<(), StoreError>) {
    state.group = None;
    let shared = || fate.as_ref().copied().map_err(StoreError::shared);
    state.decided.extend(state.owed.drain(..).map(|parcel| (parcel, shared())));
    group.decide(fate);
}

/// One word of transaction control, parsed once: it comes with every write.
fn run(conn: &Connection, sql: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(sql)?.raw_execute().map(drop)
}

fn sqlite(e: rusqlite::Error) -> StoreError {
    match e.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => StoreError::Full,
        _ => StoreError::Sqlite(e),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;

    #[test]
    fn many_callers_each_get_their_own_answer_and_a_refusal_undoes_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        std::thread::scope(|scope| {
            for caller in 0..16_i64 {
                let store = &store;
                scope.spawn(move || {
                    for n in 0..50_i64 {
                        let name = format!("{caller}/{n}");
                        let answer: Result<(), StoreError> = store.write(|tx| {
                            tx.put_setting(&name, &serde_json::json!(n))?;
                            if n % 5 == 0 { Err(StoreError::Busy) } else { Ok(()) }
                        });
                        assert_eq!(answer.is_err(), n % 5 == 0);
                        let seen = store.read(|db| db.find_setting(&name)).unwrap();
                        assert_eq!(seen.is_some(), n % 5 != 0);
                    }
                });
            }
        });
    }

    #[test]
    fn what_is_handed_in_is_run_answered_and_durable_beside_those_who_come_themselves() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let store = &store;
        let caller = move |caller: i64| {
            for n in 0..60_i64 {
                let name = format!("{caller}/{n}");
                let own = name.clone();
                let work = move |tx: &Tx<'_>| {
                    tx.put_setting(&own, &serde_json::json!(n))?;
                    assert_ne!(n % 10, 7, "a fault of ours");
                    if n % 5 == 0 { Err(StoreError::Busy) } else { Ok(n) }
                };
                let answer = catch_unwind(AssertUnwindSafe(|| match caller % 4 {
                    0 => store.write(work),
                    _ => store.write_handed(work),
                }));
                match n {
                    n if n % 10 == 7 => assert!(answer.is_err()),
                    n if n % 5 == 0 => assert!(matches!(answer, Ok(Err(StoreError::Busy)))),
                    n => assert_eq!(answer.unwrap().unwrap(), n),
                }
                let seen = store.read(|db| db.find_setting(&name)).unwrap();
                assert_eq!(seen.is_some(), n % 5 != 0 && n % 10 != 7, "{name}");
            }
        };
        std::thread::scope(|scope| (0..24).for_each(|n| drop(scope.spawn(move || caller(n)))));
    }

    #[test]
    fn a_panic_undoes_its_write_and_the_writer_lives_on() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let result = catch_unwind(AssertUnwindSafe(|| {
            let _: Result<(), StoreError> = store.write(|tx| {
                tx.put_setting("lost", &serde_json::json!(1))?;
                panic!("a fault of ours")
            });
        }));
        assert!(result.is_err());
        assert_eq!(store.read(|db| db.find_setting("lost")).unwrap(), None);
        store.write(|tx| tx.put_setting("kept", &serde_json::json!(1))).unwrap();
        assert!(store.read(|db| db.find_setting("kept")).unwrap().is_some());
    }
}
