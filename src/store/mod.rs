//! SQLite, and the only room that knows SQL. One write connection with group commit, a few read-only connections,
//! one file per table group. Called by `service`; no rule of the protocol is decided here.
//!
//! `write` runs a closure inside a transaction that may be shared with other callers' closures (a savepoint each) and
//! returns only when that transaction is on disk. `read` sees everything committed before it began.

mod accounts;
mod acme;
mod activity;
mod assignments;
mod attention;
mod audit;
mod bulks;
mod certificates;
mod channel_profiles;
mod commands;
mod copying;
mod devices;
mod enrollments;
mod fields;
mod folders;
mod gauges;
mod handed;
mod inventory;
mod library;
mod machine_key;
mod mail;
mod migrations;
mod overview;
mod profiles;
mod provisioning;
mod push;
mod readers;
mod renewals;
mod retention;
mod revocations;
mod schedules;
mod sealed;
mod secrets;
mod series;
mod settings;
mod setups;
mod snapshots;
mod stock;
mod synthetic;
mod tls_choice;
mod tokens;
mod upgrading;
mod webhooks;
mod writer;

mod directory;
mod groups;
pub use attention::{AttentionRow, NewAttention};
pub use directory::DirectoryRow;
pub use renewals::{DueRow, NewRenewal, RenewalRow, RenewalState};
pub use revocations::{IdentityFilter, IdentityRow, RevocationList};

mod people;
pub use people::{AdminRow, LoginTries, OpenSession, PasswordHash, SessionRow};
mod persons;
mod standings;
pub use groups::{GroupRow, NewGroup};
pub use persons::{GuidRow, PersonFacts, PersonRow, Source};
pub use standings::StandingRow;

mod arrivals;
mod invitations;
pub use arrivals::{ArrivalRow, NewArrival, SaidByDevice};
pub use invitations::{InvitationRow, InvitedDevice, NewInvitation};

pub use accounts::{AccountRow, Credential, NewAccount};
pub use acme::{AcmeCertificate, AcmeRow};
pub use activity::ActivityRow;
pub use assignments::{AssignmentRow, ChannelNames, GroupPart, Target, WantedRow};
pub use audit::{AuditEntry, AuditFilter, AuditRow};
pub use bulks::{BulkItem, BulkRow};
pub use certificates::{
    AuthorityRow, BindingRow, BindingState, CertificateRow, CertificateStanding, Purpose, Standing, WrappedKey,
};
pub use channel_profiles::{ChannelProfileRow, Doing, RefusedRow};
pub use commands::{CommandFilter, CommandRow, DeliveryRow, NewCommand, ResultRow};
pub use copying::{Copied, Counts, NotWhole, copy_whole, put_in_place};
pub use devices::{DeviceFacts, DeviceRow, Lost, TimelineRow};
pub use enrollments::{ChannelKind, EnrollmentRow, NewEnrollment};
pub use fields::FieldOwner;
pub use folders::create_folder;
pub use gauges::Gauges;
pub use library::{ProfileRow, ProfileVersionRow};
pub use machine_key::{create_machine_key, find_machine_key, next_machine_key, settle_machine_key};
pub use mail::{MailDelivery, MailServerRow};
pub use overview::{DeviceCounts, DeviceFilter, DeviceLine, DeviceOrder, DeviceState, WorkCounts};
pub use profiles::{ChallengeRow, Consumption, IssuedProfile, Way};
pub use provisioning::{
    DeviceProvisioningRow, ListedRow, NewProvisioning, ProvisioningRow, ProvisioningVersionRow, ProvisioningWhom,
};
pub use push::{NewPushCertificate, PushCertificateRow, SigningRequestRow};
pub use push::{OwedPush, PushRow};
pub use retention::Spent;
pub use schedules::ScheduleRow;
pub use sealed::{SealedCursor, SealedValue};
pub use secrets::{NewSecret, SecretRequestRow, SecretRow};
pub use series::SeriesRow;
pub use setups::{SetupPlanRow, SetupRunRow};
pub use stock::{StockChange, StockDevice, StockLine};
pub use tls_choice::TlsChoiceRow;
pub use tokens::{Role, TokenRow};
pub use webhooks::{Attempt, HookDelivery, NewEvent, WebhookRow};

use crate::base::time::Timestamp;
use readers::Readers;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use std::fs::File;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use writer::Writer;

/// What can go wrong below. `Busy` and `Full` are for people; the rest is a fault of ours or of the disk.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("another Cordon server is running on {0}")]
    Locked(PathBuf),
    #[error(
        "this database was written by a newer Cordon (schema {found}, this one knows {known}); install that version or newer"
    )]
    Newer { found: i64, known: i64 },
    #[error("too many writes are waiting")]
    Busy,
    #[error("the disk is full or nearly full")]
    Full,
    #[error("the database holds a value that Cordon never writes: {0}")]
    Corrupt(&'static str),
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl StoreError {
    /// A copy for the other callers whose writes shared the failed transaction.
    fn shared(&self) -> StoreError {
        match self {
            StoreError::Full => StoreError::Full,
            other => StoreError::Io(std::io::Error::other(other.to_string())),
        }
    }
}

/// Read access: what both a reader and a writer can ask. Tables add their `find_*` and `list_*` to it.
pub struct Db<'c> {
    conn: &'c Connection,
}

/// Write access, inside a transaction. Reads through it see its own writes.
pub struct Tx<'c> {
    db: Db<'c>,
}

impl<'c> Deref for Tx<'c> {
    type Target = Db<'c>;
    fn deref(&self) -> &Db<'c> {
        &self.db
    }
}

/// The columns of a row one after the other, in the order of its SELECT: finding each by its name would cost more than reading it.
/// For rows of the hot path; the others are read by name.
struct Fields<'r> {
    row: &'r rusqlite::Row<'r>,
    at: usize,
}

impl<'r> Fields<'r> {
    fn of(row: &'r rusqlite::Row<'r>) -> Self {
        Self { row, at: 0 }
    }

    fn next<T: rusqlite::types::FromSql>(&mut self) -> rusqlite::Result<T> {
        self.at += 1;
        self.row.get(self.at - 1)
    }

    fn next_at(&mut self) -> rusqlite::Result<Option<Timestamp>> {
        Ok(self.next::<Option<i64>>()?.map(Timestamp))
    }

    /// Text that is only looked at.
    fn next_str(&mut self) -> rusqlite::Result<&'r str> {
        self.at += 1;
        Ok(self.row.get_ref(self.at - 1)?.as_str()?)
    }
}

/// The open database. Dropping it without [`Store::close`] is what a crash looks like, and is safe.
pub struct Store {
    path: PathBuf,
    writer: Writer,
    readers: Readers,
    _lock: File,
}

impl Store {
    /// Opens or creates `directory/cordon.db`, takes the instance lock, migrates, and marks the file as open.
    ///
    /// # Errors
    /// `Locked` when a server already runs on it, `Newer` when an older binary meets a newer file, `Full` without space.
    pub fn open(directory: &Path) -> Result<Store, StoreError> {
        create_folder(directory)?;
        let lock = lock(directory)?;
        if fs2::available_space(directory)? < crate::base::limits::MIN_FREE_SPACE {
            return Err(StoreError::Full);
        }
        let path = directory.join("cordon.db");
        migrations::upgrade_file(&path)?;
        let mut conn = Connection::open(&path)?;
        restrict_mode(&path)?;
        prepare_writer(&conn)?;
        migrations::migrate(&mut conn)?;
        conn.execute(
            "INSERT INTO setting (name, value) VALUES ('open', 'true') ON CONFLICT DO UPDATE SET value = 'true'",
            [],
        )?;
        // The mark must be in the file itself, not only in the WAL: a copy that lacks the WAL has to show it.
        conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        Ok(Store { readers: Readers::new(path.clone()), path, writer: Writer::new(conn), _lock: lock })
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Free bytes on the file system of the database.
    pub fn free_space(&self) -> Result<u64, StoreError> {
        Ok(fs2::available_space(&self.path)?)
    }

    /// Runs `work` in the write transaction and returns when it is on disk. An `Err` from `work` undoes what it wrote.
    ///
    /// Never call it from inside another `write`: there is one writer.
    pub fn write<T, E: From<StoreError>>(&self, work: impl FnOnce(&Tx<'_>) -> Result<T, E>) -> Result<T, E> {
        self.writer.write(work)
    }

    /// As [`Store::write`], for the hot path: `work` owns what it needs, so that whoever holds the write connection runs it, and its
    /// caller sleeps once instead of waking for the lock. It may be run again, after everything that it wrote was undone.
    pub fn write_handed<T, E>(&self, work: impl Fn(&Tx<'_>) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.writer.write_handed(work)
    }

    /// Runs `work` on a read-only connection.
    pub fn read<T, E: From<StoreError>>(&self, work: impl FnOnce(&Db<'_>) -> Result<T, E>) -> Result<T, E> {
        let lent = self.readers.lend()?;
        work(&Db { conn: lent.connection()? })
    }

    /// Moves the write-ahead log into the file and empties it, so that no copy keeps what was destroyed. `false` when somebody is in
    /// the middle of something: a later one does it.
    pub fn checkpoint(&self) -> Result<bool, StoreError> {
        self.writer.checkpoint()
    }

    /// Clean stop: everything is moved into the one file, which may then be copied with plain `cp`.
    ///
    /// # Errors
    /// When another process holds the file and the checkpoint cannot finish: then the `-wal` file belongs to a copy too.
    pub fn close(self) -> Result<(), StoreError> {
        self.readers.close();
        let conn = self.writer.into_connection();
        conn.execute("UPDATE setting SET value = 'false' WHERE name = 'open'", [])?;
        let busy: i64 = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy != 0 {
            return Err(StoreError::Io(std::io::Error::other(
                "another program holds the database open, so its last writes are still in cordon.db-wal: copy that file too",
            )));
        }
        conn.close().map_err(|(_, e)| e)?;
        Ok(())
    }
}

/// The instance lock of a data directory, held until it is dropped.
fn lock(directory: &Path) -> Result<File, StoreError> {
    let lock = File::options().create(true).truncate(false).write(true).open(directory.join("cordon.lock"))?;
    match fs2::FileExt::try_lock_exclusive(&lock) {
        Ok(()) => Ok(lock),
        Err(_) => Err(StoreError::Locked(directory.to_owned())),
    }
}

fn prepare_writer(conn: &Connection) -> Result<(), StoreError> {
    conn.busy_timeout(std::time::Duration::from_secs(10))?;
    // Only has an effect before the first table exists: pages freed by retention go back to the disk in steps.
    conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", "ON")?;
    // The writer's pages never go stale, so a cache that holds a school's indexes pays; a small database fills little of it.
    conn.pragma_update(None, "cache_size", -16_384)?;
    // Pages. A checkpoint waits for the disk twice; with SQLite's 1,000 a busy morning would do that ten times a second.
    conn.pragma_update(None, "wal_autocheckpoint", 8_192)?;
    conn.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    // What is deleted or replaced is overwritten where its page is written anyway: a destroyed key must not lie on in the file.
    conn.pragma_update(None, "secure_delete", "FAST")?;
    // What a savepoint or a statement may have to undo stays in memory: a few pages, and no temporary file per group.
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.set_prepared_statement_cache_capacity(128);
    keep_plans(conn)
}

/// Lets prepared statements live on from one use to the next. Without it SQLite plans with the values that are bound, and so
/// parses and plans anew whenever others are: with short queries that is most of the work.
fn keep_plans(conn: &Connection) -> Result<(), StoreError> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// The file holds sealed secrets but also readable names: nobody but the service's user reads it.
fn restrict_mode(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_is_told_and_a_clean_stop_leaves_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert!(matches!(Store::open(dir.path()), Err(StoreError::Locked(_))));
        store.write(|tx| tx.put_setting("a", &serde_json::json!(1))).unwrap();
        store.close().unwrap();
        let wal = dir.path().join("cordon.db-wal");
        assert!(!wal.exists() || std::fs::metadata(&wal).unwrap().len() == 0);
        let again = Store::open(dir.path()).unwrap();
        assert_eq!(again.read(|db| db.find_setting("a")).unwrap(), Some(serde_json::json!(1)));
    }
}
