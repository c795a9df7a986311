//! Bringing a file of an older schema to the present one: on a copy, which takes the file's place only when it has been proven. The file
//! as it was is a backup from then on. Called by `Store::open`, under the lock, before anybody reads.

use super::StoreError;
use super::migrations::{APPLICATION_ID, Step};
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Upgrades `path`, whose schema is `found`, to that of `schema` by those steps that are newer. Returns where the old file is.
///
/// # Errors
/// When a step fails or the result is not what `schema` says; the file is as it was.
pub(super) fn upgrade(
    path: &Path,
    found: i64,
    current: i64,
    steps: &[Step],
    schema: &str,
) -> Result<PathBuf, StoreError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let size = std::fs::metadata(path)?.len();
    if fs2::available_space(directory)? < 2 * size + crate::base::limits::MIN_FREE_SPACE {
        return Err(StoreError::Full);
    }
    let new = directory.join("cordon.db.upgrade");
    let kept = keep(path, directory)?;
    let done =
        copy(path, &new).and_then(|()| apply(&new, found, current, steps)).and_then(|()| prove(&new, current, schema));
    if let Err(error) = done {
        remove(&new);
        return Err(error);
    }
    File::open(&new)?.sync_all()?;
    // Emptied into the old file by `keep`; what is left beside it belongs to nobody.
    for ending in ["-wal", "-shm"] {
        let mut beside = path.as_os_str().to_owned();
        beside.push(ending);
        let _ = std::fs::remove_file(beside);
    }
    std::fs::rename(&new, path)?;
    File::open(directory)?.sync_all()?;
    Ok(kept)
}

/// A backup of the file as it was, under the time that it knew last: this floor has no clock.
fn keep(path: &Path, directory: &Path) -> Result<PathBuf, StoreError> {
    let conn = Connection::open(path)?;
    let at: Option<i64> = conn
        .query_row("SELECT value FROM setting WHERE name = 'highest_time'", [], |row| row.get::<_, String>(0))
        .ok()
        .and_then(|t| t.parse().ok());
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    conn.close().map_err(|(_, e)| e)?;
    let folder = directory.join("backup");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let stamp = crate::base::time::Timestamp(at.unwrap_or(0)).to_string().replace(['-', ':'], "");
    let kept = folder.join(format!("cordon-{stamp}.db"));
    copy(path, &kept)?;
    let conn = Connection::open(&kept)?;
    conn.execute("UPDATE setting SET value = 'false' WHERE name = 'open'", [])?;
    conn.close().map_err(|(_, e)| e)?;
    File::open(&kept)?.sync_all()?;
    File::open(&folder)?.sync_all()?;
    Ok(kept)
}

fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    remove(to);
    File::options().create_new(true).write(true).mode(0o600).open(to)?;
    let source = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mut target = Connection::open(to)?;
    Backup::new(&source, &mut target)?.run_to_completion(i32::MAX, Duration::from_millis(20), None)?;
    target.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
    target.close().map_err(|(_, e)| e)?;
    Ok(())
}

fn remove(path: &Path) {
    for ending in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        // It may not be there.
        let _ = std::fs::remove_file(name);
    }
}

/// All steps in one transaction. References are checked afterwards: a table may have to be made anew.
fn apply(path: &Path, found: i64, current: i64, steps: &[Step]) -> Result<(), StoreError> {
    let mut conn = Connection::open(path)?;
    conn.pragma_update(None, "foreign_keys", "OFF")?;
    let tx = conn.transaction()?;
    let mut at = found;
    for step in steps.iter().filter(|step| step.to > found) {
        if step.to != at + 1 {
            return Err(StoreError::Corrupt("a schema that this version has no way from"));
        }
        tx.execute_batch(step.sql)?;
        at = step.to;
    }
    if at != current {
        return Err(StoreError::Corrupt("a schema that this version has no way from"));
    }
    tx.pragma_update(None, "user_version", current)?;
    tx.commit()?;
    conn.close().map_err(|(_, e)| e)?;
    Ok(())
}

fn prove(path: &Path, current: i64, schema: &str) -> Result<(), StoreError> {
    let conn = Connection::open(path)?;
    let number = |pragma: &str| conn.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0));
    if number("user_version")? != current || number("application_id")? != APPLICATION_ID {
        return Err(StoreError::Corrupt("a version that is not the one upgraded to"));
    }
    let said: String = conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if said != "ok" {
        return Err(StoreError::Corrupt("pages that do not hold together after the upgrade"));
    }
    if conn.prepare("PRAGMA foreign_key_check")?.exists([])? {
        return Err(StoreError::Corrupt("rows that hang on nothing after the upgrade"));
    }
    let fresh = Connection::open_in_memory()?;
    fresh.execute_batch(schema)?;
    if shape(&conn)? != shape(&fresh)? {
        return Err(StoreError::Corrupt("other tables after the upgrade than this version has"));
    }
    conn.close().map_err(|(_, e)| e)?;
    Ok(())
}

/// Tables with their columns, and indexes; a replicator's own tables do not count.
fn shape(conn: &Connection) -> Result<BTreeSet<String>, StoreError> {
    let sql = "SELECT m.type || ' ' || m.name || ' ' || coalesce(i.name || ' ' || i.type || ' ' || i.\"notnull\" || ' ' || i.pk, '')
               FROM sqlite_master m LEFT JOIN pragma_table_info(m.name) i ON m.type = 'table'
               WHERE m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE '\\_litestream\\_%' ESCAPE '\\'";
    let mut statement = conn.prepare(sql)?;
    let rows = statement.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::store::migrations::{CURRENT, SCHEMA};
    use serde_json::json;

    const NEXT: i64 = CURRENT + 1;
    const STEPS: &[Step] = &[Step { to: NEXT, sql: "ALTER TABLE device ADD COLUMN colour TEXT;" }];

    fn a_school() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.write(|tx| tx.put_setting("organization", &json!("Hill"))).unwrap();
        store.write(|tx| tx.put_setting("highest_time", &json!(1_795_000_000_000_i64))).unwrap();
        // As after a crash: the last writes are in the WAL only.
        drop(store);
        let path = dir.path().join("cordon.db");
        (dir, path)
    }

    fn next_schema() -> String {
        format!("{SCHEMA}\nALTER TABLE device ADD COLUMN colour TEXT;")
    }

    #[test]
    fn on_a_copy_and_the_old_file_is_a_backup() {
        let (dir, path) = a_school();
        let kept = upgrade(&path, CURRENT, NEXT, STEPS, &next_schema()).unwrap();
        assert_eq!(kept, dir.path().join("backup/cordon-20261118T110640Z.db"));
        let conn = Connection::open(&path).unwrap();
        let version: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        let name: String =
            conn.query_row("SELECT value FROM setting WHERE name = 'organization'", [], |r| r.get(0)).unwrap();
        assert_eq!((version, name.as_str()), (NEXT, "\"Hill\""), "what was in the WAL is there");
        conn.execute("UPDATE device SET colour = 'red'", []).unwrap();
        drop(conn);
        // The older version that meets it says so; the backup is still its own.
        assert!(matches!(Store::open(dir.path()), Err(StoreError::Newer { found: NEXT, .. })));
        let elsewhere = tempfile::tempdir().unwrap();
        crate::store::copy_whole(&kept, elsewhere.path()).unwrap();
        Store::open(elsewhere.path()).unwrap();
    }

    #[test]
    fn a_step_that_fails_or_leads_elsewhere_changes_nothing() {
        let broken: &[(&[Step], String)] = &[
            (&[Step { to: NEXT, sql: "ALTER TABLE nowhere ADD COLUMN x TEXT;" }], next_schema()),
            (&[Step { to: NEXT, sql: "ALTER TABLE device ADD COLUMN other TEXT;" }], next_schema()),
            (&[Step { to: NEXT, sql: "INSERT INTO push (enrollment) VALUES (77);" }], SCHEMA.to_owned()),
            (&[], next_schema()),
            (&[Step { to: NEXT + 1, sql: "SELECT 1;" }], next_schema()),
        ];
        let (dir, path) = a_school();
        for (steps, schema) in broken {
            assert!(upgrade(&path, CURRENT, NEXT, steps, schema).is_err());
            assert!(!dir.path().join("cordon.db.upgrade").exists());
            let store = Store::open(dir.path()).unwrap();
            assert_eq!(store.read(|db| db.find_setting("organization")).unwrap(), Some(json!("Hill")));
            drop(store);
        }
    }
}
