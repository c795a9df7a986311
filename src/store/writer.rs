//! The one write connection with group commit, without a thread of its own.
//!
//! A caller takes the connection, opens the shared transaction if none is open, runs its closure inside a savepoint, and then
//! looks whether others are waiting: if so it leaves the transaction open for them and sleeps until it is committed; the last
//! one in (or the one that fills the group) commits for all. While that commit waits for the disk, the next group gathers at
//! the lock. So one fsync serves as many writes as arrived during the previous one, closures may borrow, and nothing answers
//! before its write is durable.

use super::{Db, StoreError, Tx};
use crate::base::limits::{MAX_GROUP, MAX_WAITING_WRITES};
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

pub(super) struct Writer {
    state: Mutex<State>,
    /// Callers that want the lock and do not have it yet.
    waiting: AtomicUsize,
}

struct State {
    conn: Connection,
    group: Option<Arc<Group>>,
    members: usize,
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
}

impl Writer {
    pub(super) fn new(conn: Connection) -> Self {
        let state = State { conn, group: None, members: 0 };
        Self { state: Mutex::new(state), waiting: AtomicUsize::new(0) }
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
        let group = match join(&mut state) {
            Ok(group) => group,
            Err(e) => return Err(E::from(e)),
        };
        let answer = catch_unwind(AssertUnwindSafe(|| work(&Tx { db: Db { conn: &state.conn } })));
        let kept = match &answer {
            Ok(Ok(_)) => run(&state.conn, "RELEASE one"),
            _ => run(&state.conn, "ROLLBACK TO one").and_then(|()| run(&state.conn, "RELEASE one")),
        };
        if let Err(e) = kept {
            // SQLite itself rolled the transaction back (disk full, I/O error): the whole group has failed.
            abandon(&mut state, &group, sqlite(e));
        } else if self.waiting.load(Ordering::SeqCst) == 0 || state.members >= MAX_GROUP {
            commit(&mut state, &group);
        }
        drop(state);
        match answer {
            Ok(Ok(value)) => group.wait().map(|()| value).map_err(E::from),
            Ok(Err(refused)) => Err(refused),
            Err(panic) => resume_unwind(panic),
        }
    }
}

/// Opens the shared transaction if needed, and this caller's savepoint in it.
fn join(state: &mut State) -> Result<Arc<Group>, StoreError> {
    if state.group.is_none() {
        run(&state.conn, "BEGIN IMMEDIATE").map_err(sqlite)?;
        state.group = Some(Arc::default());
        state.members = 0;
    }
    let Some(group) = state.group.clone() else { return Err(StoreError::Corrupt("no open group")) };
    if let Err(e) = run(&state.conn, "SAVEPOINT one") {
        let e = sqlite(e);
        let copy = e.shared();
        abandon(state, &group, e);
        return Err(copy);
    }
    state.members += 1;
    Ok(group)
}

fn commit(state: &mut State, group: &Group) {
    match run(&state.conn, "COMMIT") {
        Ok(()) => {
            state.group = None;
            group.decide(Ok(()));
        }
        Err(e) => abandon(state, group, sqlite(e)),
    }
}

fn abandon(state: &mut State, group: &Group, why: StoreError) {
    if !state.conn.is_autocommit() {
        // If even this fails the next BEGIN says so; nothing of the group was promised to anybody.
        let _ = state.conn.execute_batch("ROLLBACK");
    }
    state.group = None;
    group.decide(Err(why));
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
