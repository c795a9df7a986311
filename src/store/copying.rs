//! Whole database files: is this copy complete, and putting one in the place of another. Called by `service::restoring`.

use super::{Db, StoreError};
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use std::fs::File;
use std::path::{Path, PathBuf};

/// `cordon.db` in a data directory.
pub const FILE_NAME: &str = "cordon.db";
/// What SQLite keeps beside a database.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// A database file from elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct Copied<'a> {
    pub file: &'a Path,
    /// A replicator put it together from all that was written, so it needs no WAL, though the server was running.
    pub by_replicator: bool,
}

impl<'a> From<&'a Path> for Copied<'a> {
    /// Copied by hand, by a stick or by Cordon.
    fn from(file: &'a Path) -> Self {
        Self { file, by_replicator: false }
    }
}

/// Why a file is not taken for a school.
#[derive(Debug, thiserror::Error)]
pub enum NotWhole {
    #[error("there is no database in it that Cordon made")]
    NotOurs,
    #[error(
        "it was copied from a running server without its last writes: copy the {0} file too, or take the copy after a clean stop (if a replicator such as Litestream restored it, say --replica)"
    )]
    WalMissing(String),
    #[error("it is damaged: {0}")]
    Damaged(String),
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for NotWhole {
    fn from(error: rusqlite::Error) -> Self {
        NotWhole::Store(error.into())
    }
}

impl From<std::io::Error> for NotWhole {
    fn from(error: std::io::Error) -> Self {
        NotWhole::Store(error.into())
    }
}

/// Copies a database with its WAL, if it has one, to `directory/cordon.db`. The source is only read, as bytes.
///
/// # Errors
/// `WalMissing` for the copy of an open file that came without its WAL; `NotOurs`, `Newer`, `Damaged` for what they say.
pub fn copy_whole(copied: Copied<'_>, directory: &Path) -> Result<(), NotWhole> {
    let source = copied.file;
    let target = directory.join(FILE_NAME);
    std::fs::copy(source, &target)?;
    super::restrict_mode(&target)?;
    confess(&target, copied)?;
    let wal = beside(source, "-wal");
    if wal.exists() {
        let copied = beside(&target, "-wal");
        std::fs::copy(&wal, &copied)?;
        super::restrict_mode(&copied)?;
    }
    let conn = Connection::open(&target)?;
    let said: String = conn
        .query_row("PRAGMA integrity_check(3)", [], |row| row.get(0))
        .map_err(|e| NotWhole::Damaged(e.to_string()))?;
    if said == "ok" { Ok(()) } else { Err(NotWhole::Damaged(said)) }
}

/// Looks at the main file alone, without its WAL, so that an open file cannot hide behind a good one.
fn confess(copy: &Path, Copied { file: source, by_replicator }: Copied<'_>) -> Result<(), NotWhole> {
    // Immutable: no WAL is looked for and none is made.
    let uri = format!("file:{}?immutable=1", escape(copy));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(uri, flags)?;
    let pragma = |name: &str| conn.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let ours = pragma("application_id").map_err(|_| NotWhole::NotOurs)? == super::migrations::APPLICATION_ID;
    let has_wal = std::fs::metadata(beside(source, "-wal")).is_ok_and(|meta| meta.len() > 0);
    if !ours {
        // The first server of a school that has not checkpointed yet has everything in its WAL.
        return if has_wal { Ok(()) } else { Err(NotWhole::NotOurs) };
    }
    let found = pragma("user_version")?;
    if found > super::migrations::CURRENT {
        return Err(StoreError::Newer { found, known: super::migrations::CURRENT }.into());
    }
    let open: Option<String> =
        conn.query_row("SELECT value FROM setting WHERE name = 'open'", [], |row| row.get(0)).optional()?;
    if open.as_deref() != Some("false") && !has_wal && !by_replicator {
        let wal = beside(source, "-wal");
        return Err(NotWhole::WalMissing(wal.file_name().unwrap_or_default().to_string_lossy().into_owned()));
    }
    Ok(())
}

/// Moves `from/cordon.db` to `to/cordon.db`; a database that is there is kept beside it under the name that is returned.
/// The caller has closed `from` cleanly, and no server runs on `to`.
///
/// # Errors
/// `Locked` while a server runs on `to`.
pub fn put_in_place(from: &Path, to: &Path, kept_as: &str) -> Result<Option<PathBuf>, StoreError> {
    let _lock = super::lock(to)?;
    let (new, target) = (from.join(FILE_NAME), to.join(FILE_NAME));
    File::open(&new)?.sync_all()?;
    let mut kept = None;
    if target.exists() {
        let aside = to.join(format!("{FILE_NAME}.{kept_as}"));
        settle(&target);
        // A second name for each, so that the old file has its own until the new one takes it in one step: whenever the power goes, there
        // is a school.
        std::fs::hard_link(&target, &aside)?;
        let wal = beside(&target, "-wal");
        if wal.exists() {
            std::fs::hard_link(&wal, beside(&aside, "-wal"))?;
        }
        File::open(to)?.sync_all()?;
        // What stayed would be played into the new file.
        for old in BESIDE.map(|ending| beside(&target, ending)) {
            match std::fs::remove_file(old) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        File::open(to)?.sync_all()?;
        kept = Some(aside);
    }
    std::fs::rename(&new, &target)?;
    File::open(to)?.sync_all()?;
    Ok(kept)
}

/// Moves what is in the WAL into the file. A file that is put aside because it is damaged may refuse: then it keeps its WAL.
fn settle(file: &Path) {
    if beside(file, "-wal").exists() {
        let settled =
            Connection::open(file).and_then(|conn| conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
        if let Err(error) = settled {
            tracing::warn!(%error, "the last writes of the file that is put aside stay in its -wal file");
        }
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// A path inside a `file:` URI (RFC 3986).
fn escape(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"/-._~".contains(b);
    path.as_os_str()
        .as_bytes()
        .iter()
        .map(|b| if plain(b) { char::from(*b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// Rows of the tables that people count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    pub devices: i64,
    pub enrollments: i64,
    pub commands: i64,
    pub secrets: i64,
    pub admins: i64,
    pub audit_rows: i64,
}

impl Db<'_> {
    pub fn count_everything(&self) -> Result<Counts, StoreError> {
        let count = |table: &str| self.conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0));
        Ok(Counts {
            devices: count("device")?,
            enrollments: count("enrollment")?,
            commands: count("command")?,
            secrets: count("secret")?,
            admins: count("admin")?,
            audit_rows: count("audit")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use serde_json::json;

    #[test]
    fn a_copy_of_an_open_file_confesses_and_with_its_wal_it_is_whole() {
        let (home, copy, there) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = Store::open(home.path()).unwrap();
        store.write(|tx| tx.put_setting("a", &json!(1))).unwrap();
        let file = copy.path().join("school.db");
        std::fs::copy(home.path().join(FILE_NAME), &file).unwrap();
        assert!(
            matches!(copy_whole(file.as_path().into(), there.path()), Err(NotWhole::WalMissing(name)) if name == "school.db-wal")
        );
        // A replicator's file is the same to look at; whoever restored it has to say so.
        let replica = tempfile::tempdir().unwrap();
        copy_whole(Copied { file: &file, by_replicator: true }, replica.path()).unwrap();
        std::fs::copy(home.path().join("cordon.db-wal"), copy.path().join("school.db-wal")).unwrap();
        copy_whole(file.as_path().into(), there.path()).unwrap();
        let again = Store::open(there.path()).unwrap();
        assert_eq!(again.read(|db| db.find_setting("a")).unwrap(), Some(json!(1)));
    }

    #[test]
    fn strangers_and_damage_are_refused_and_what_was_there_is_kept() {
        let (home, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let stranger = home.path().join("x.db");
        std::fs::write(&stranger, "not a database at all, but long enough to look at").unwrap();
        assert!(matches!(copy_whole(stranger.as_path().into(), there.path()), Err(NotWhole::NotOurs)));
        Store::open(home.path()).unwrap().close().unwrap();
        let whole = home.path().join(FILE_NAME);
        let mut bytes = std::fs::read(&whole).unwrap();
        let middle = bytes.len() / 2;
        bytes.truncate(middle);
        std::fs::write(&stranger, &bytes).unwrap();
        assert!(copy_whole(stranger.as_path().into(), there.path()).is_err());
        copy_whole(whole.as_path().into(), there.path()).unwrap();
        Store::open(there.path()).unwrap().close().unwrap();
        let kept = put_in_place(there.path(), home.path(), "old").unwrap();
        assert_eq!(kept.as_deref(), Some(home.path().join("cordon.db.old").as_path()));
        assert!(kept.unwrap().exists() && whole.exists());
        let running = Store::open(home.path()).unwrap();
        copy_whole(whole.as_path().into(), there.path()).ok();
        assert!(matches!(put_in_place(there.path(), home.path(), "old"), Err(StoreError::Locked(_))));
        drop(running);
    }
}
