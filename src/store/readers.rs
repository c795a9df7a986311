//! The read-only connections: a few, opened when first needed and then kept, and lent to one caller at a time.
//!
//! Called by `Store::read`. Opening one means reading the whole schema and preparing every statement anew, which costs a hundred
//! times a short read and memory for good: so callers wait for each other first, longer once there are enough, and only who has
//! waited long (somebody reads something large) gets an extra one.

use super::StoreError;
use rusqlite::{Connection, OpenFlags};
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// Connections that are kept. More than the cores of a mini-PC, so that a large read or two do not hold up the polls.
const KEPT: usize = 8;
/// So long the first ones are shared before another is opened: some ten short reads. A server that has little to do keeps one.
const CROWDED: Duration = Duration::from_millis(2);
/// A short read takes a tenth of a millisecond: after this the others are at something else.
const PATIENCE: Duration = Duration::from_millis(250);

pub(super) struct Readers {
    path: PathBuf,
    pool: Mutex<Pool>,
    returned: Condvar,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Connection>,
    /// Kept connections that exist, lent or idle.
    open: usize,
}

/// A connection on loan; goes back when dropped, also after a panic.
pub(super) struct Lent<'r> {
    readers: &'r Readers,
    conn: Option<Connection>,
    extra: bool,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, pool: Mutex::default(), returned: Condvar::new() }
    }

    /// A connection to read with: whichever comes back first, or a new one while there are few.
    pub(super) fn lend(&self) -> Result<Lent<'_>, StoreError> {
        let mut pool = self.wait(self.pool(), CROWDED, 1);
        if pool.idle.is_empty() {
            pool = self.wait(pool, PATIENCE, KEPT);
        }
        if let Some(conn) = pool.idle.pop() {
            return Ok(Lent { readers: self, conn: Some(conn), extra: false });
        }
        let extra = pool.open >= KEPT;
        if !extra {
            pool.open += 1;
        }
        drop(pool);
        // Lent before it is there, so that the count is right also when it cannot be opened.
        let mut lent = Lent { readers: self, conn: None, extra };
        lent.conn = Some(self.open()?);
        Ok(lent)
    }

    /// Waits for one to come back, while there are at least `enough` of them.
    fn wait<'r>(&self, pool: MutexGuard<'r, Pool>, patience: Duration, enough: usize) -> MutexGuard<'r, Pool> {
        let taken = |pool: &mut Pool| pool.idle.is_empty() && pool.open >= enough;
        self.returned.wait_timeout_while(pool, patience, taken).unwrap_or_else(|p| p.into_inner()).0
    }

    /// Closes those that nobody uses: the last step before the file is left alone.
    pub(super) fn close(&self) {
        let mut pool = self.pool();
        pool.open -= pool.idle.len();
        pool.idle.clear();
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(|p| p.into_inner())
    }

    fn open(&self) -> Result<Connection, StoreError> {
        let conn = Connection::open_with_flags(
            &self.path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        conn.busy_timeout(Duration::from_secs(10))?;
        conn.pragma_update(None, "query_only", "ON")?;
        // Small on purpose: the page cache of every reader counts against a mini-PC's memory, and the OS caches the file.
        conn.pragma_update(None, "cache_size", -512)?;
        conn.set_prepared_statement_cache_capacity(64);
        super::keep_plans(&conn)?;
        Ok(conn)
    }
}

impl Lent<'_> {
    /// `None` only while it is being opened.
    pub(super) fn connection(&self) -> Result<&Connection, StoreError> {
        self.conn.as_ref().ok_or(StoreError::Corrupt("a reader without its connection"))
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if self.extra {
            return;
        }
        let mut pool = self.readers.pool();
        match self.conn.take() {
            Some(conn) => pool.idle.push(conn),
            None => pool.open -= 1,
        }
        drop(pool);
        self.readers.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Store, StoreError};
    use super::KEPT;

    #[test]
    fn readers_are_kept_shared_and_never_wait_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        fn nested(store: &Store, depth: usize) {
            let look = |db: &super::super::Db<'_>| {
                db.find_setting("x")?;
                if depth > 0 {
                    nested(store, depth - 1);
                }
                Ok::<_, StoreError>(())
            };
            store.read(look).unwrap();
        }
        nested(&store, KEPT + 1);
        let pool = store.readers.pool();
        assert_eq!((pool.open, pool.idle.len()), (KEPT, KEPT));
        drop(pool);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _: Result<(), StoreError> = store.read(|_| panic!("on purpose"));
        }));
        assert!(panicked.is_err());
        assert_eq!(store.readers.pool().idle.len(), KEPT, "a panic gives it back too");
        store.close().unwrap();
    }
}
