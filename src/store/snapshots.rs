//! Complete copies of the database under a running server: one file each, without a WAL, closed as after a clean stop. And the
//! mark that tells whether anything worth a new copy has happened. Called by `service::backing_up`.

use super::{Db, Store, StoreError};
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Settings that are notes of the server's own and change by themselves.
const NOTES: &str = "'open', 'highest_time', 'backup_mark', 'expiry_told'";

impl Store {
    /// The number of the schema in the file.
    pub fn schema_version(&self) -> Result<i64, StoreError> {
        self.read(|db| Ok(db.conn.query_row("PRAGMA user_version", [], |row| row.get(0))?))
    }

    /// What does not hold together in the file, if anything.
    pub fn quick_check(&self) -> Result<Option<String>, StoreError> {
        self.read(|db| {
            let said: String = db.conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
            Ok((said != "ok").then_some(said))
        })
    }

    /// Bytes that a copy takes at most.
    pub fn copy_size(&self) -> Result<u64, StoreError> {
        self.read(|db| {
            let pages: i64 = db.conn.query_row("PRAGMA page_count", [], |row| row.get(0))?;
            let size: i64 = db.conn.query_row("PRAGMA page_size", [], |row| row.get(0))?;
            Ok(u64::try_from(pages.saturating_mul(size)).unwrap_or(0))
        })
    }

    /// Writes the database as it is at one instant to `target`: to a temporary name beside it, checked, on disk, and only then under its
    /// own name. Writers go on meanwhile.
    ///
    /// # Errors
    /// `Full` when the disk is; `Corrupt` when the copy does not hold together. Then nothing is left behind.
    pub fn copy_to(&self, target: &Path) -> Result<u64, StoreError> {
        let directory = target.parent().unwrap_or(Path::new("."));
        let mut name = target.as_os_str().to_owned();
        name.push(".part");
        let part = Path::new(&name);
        let made = self.copy_to_part(part).and_then(|bytes| {
            std::fs::rename(part, target)?;
            File::open(directory)?.sync_all()?;
            Ok(bytes)
        });
        if made.is_err() {
            for ending in ["", "-wal", "-shm", "-journal"] {
                let mut left = name.clone();
                left.push(ending);
                // It may not be there at all; what went wrong before says more.
                let _ = std::fs::remove_file(left);
            }
        }
        made
    }

    fn copy_to_part(&self, part: &Path) -> Result<u64, StoreError> {
        // A leftover of a crash; ours alone may be here, as only one copy is made at a time.
        let _ = std::fs::remove_file(part);
        File::options().create_new(true).write(true).mode(0o600).open(part)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut copy = Connection::open_with_flags(part, flags)?;
        // One fsync at the end does for all.
        copy.pragma_update(None, "synchronous", "OFF")?;
        {
            let lent = self.readers.lend()?;
            let backup = Backup::new(lent.connection()?, &mut copy)?;
            // All pages in one step, so in one read transaction: the instant does not move.
            backup.run_to_completion(i32::MAX, std::time::Duration::from_millis(20), None)?;
        }
        copy.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
        copy.execute("UPDATE setting SET value = 'false' WHERE name = 'open'", [])?;
        let said: String = copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if said != "ok" {
            return Err(StoreError::Corrupt("a copy of it does not hold together"));
        }
        copy.close().map_err(|(_, e)| e)?;
        let file = File::open(part)?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    }
}

impl Db<'_> {
    /// Changes whenever something happened that a backup should hold. That a device was seen, or that time went by, is not.
    pub fn change_mark(&self) -> Result<String, StoreError> {
        let sql = format!(
            "SELECT json_array(
                 (SELECT max(seq) FROM audit), (SELECT max(seq) FROM delivery), (SELECT max(finished_at) FROM delivery),
                 (SELECT max(id) FROM timeline), (SELECT max(id) FROM secret), (SELECT count(*) FROM certificate),
                 (SELECT max(since) FROM binding), (SELECT count(*) FROM device), (SELECT count(*) FROM enrollment),
                 (SELECT max(token_updated_at) FROM enrollment), (SELECT max(gone_at) FROM enrollment), (SELECT sum(generation) FROM enrollment),
                 (SELECT count(*) FROM person), (SELECT max(id) FROM arrival),
                 (SELECT json_group_array(json_array(name, value)) FROM setting WHERE name NOT IN ({NOTES})))"
        );
        Ok(self.conn.prepare_cached(&sql)?.query_row([], |row| row.get(0))?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Store, copy_whole};
    use serde_json::json;

    #[test]
    fn a_copy_of_a_running_store_is_one_whole_file_and_writers_go_on() {
        let (home, there, again) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = Store::open(home.path()).unwrap();
        store.write(|tx| tx.put_setting("a", &json!(1))).unwrap();
        let target = there.path().join("copy.db");
        let bytes = std::thread::scope(|scope| {
            let busy = scope.spawn(|| {
                for n in 0..200 {
                    store.write(|tx| tx.put_setting("b", &json!(n))).unwrap();
                }
            });
            let bytes = store.copy_to(&target).unwrap();
            busy.join().unwrap();
            bytes
        });
        assert_eq!(std::fs::metadata(&target).unwrap().len(), bytes);
        let names: Vec<_> = std::fs::read_dir(there.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["copy.db"], "nothing but the copy");
        // Plain cp of it is whole: it does not say that it was open, and needs no WAL.
        copy_whole(target.as_path().into(), again.path()).unwrap();
        let copy = Store::open(again.path()).unwrap();
        assert_eq!(copy.read(|db| db.find_setting("a")).unwrap(), Some(json!(1)));
    }

    #[test]
    fn the_mark_moves_with_what_matters_only() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path()).unwrap();
        let mark = || store.read(|db| db.change_mark()).unwrap();
        let first = mark();
        store.write(|tx| tx.put_setting("highest_time", &json!(5))).unwrap();
        assert_eq!(mark(), first);
        store.write(|tx| tx.put_setting("organization", &json!("Hill"))).unwrap();
        assert_ne!(mark(), first);
    }
}
