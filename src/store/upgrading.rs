//! Bringing a file of an older schema to the present one: on a copy, which takes the file's place only when it has been proven. The file
//! as it was is a backup from then on. Called by `Store::open`, under the lock, before anybody reads.

use super::StoreError;
use super::migrations::{APPLICATION_ID, Step};
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
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
    let busy: i64 = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy != 0 {
        return Err(StoreError::Io(std::io::Error::other(
            "the database is of an older version, and another program (a replicator?) holds it open: stop that, and start again",
        )));
    }
    conn.close().map_err(|(_, e)| e)?;
    let folder = directory.join("backup");
    super::create_folder(&folder)?;
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
        crate::store::copy_whole(kept.as_path().into(), elsewhere.path()).unwrap();
        Store::open(elsewhere.path()).unwrap();
    }

    #[test]
    fn whoever_holds_the_file_open_is_asked_to_let_go_first() {
        let (dir, path) = a_school();
        let replicator = Connection::open(&path).unwrap();
        let reading = replicator.unchecked_transaction().unwrap();
        reading.query_row("SELECT count(*) FROM setting", [], |_| Ok(())).unwrap();
        let writer = Connection::open(&path).unwrap();
        writer.execute("UPDATE setting SET value = '\"Dale\"' WHERE name = 'organization'", []).unwrap();
        let told = upgrade(&path, CURRENT, NEXT, STEPS, &next_schema()).unwrap_err().to_string();
        assert!(told.contains("holds it open"), "{told}");
        drop(reading);
        drop((replicator, writer));
        upgrade(&path, CURRENT, NEXT, STEPS, &next_schema()).unwrap();
        let (name, _) = look(dir.path());
        assert_eq!(name, "\"Dale\"");
    }

    fn look(directory: &Path) -> (String, i64) {
        let conn = Connection::open(directory.join("cordon.db")).unwrap();
        let said: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(said, "ok");
        let name = conn.query_row("SELECT value FROM setting WHERE name = 'organization'", [], |row| row.get(0));
        (name.unwrap(), conn.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap())
    }

    /// Not a test of its own: the process that the next one kills.
    #[test]
    #[ignore = "started by the test below"]
    fn upgrades_until_it_is_killed() {
        let Some(directory) = std::env::var_os("CORDON_UPGRADE_HERE") else { return };
        let path = Path::new(&directory).join("cordon.db");
        let found: i64 =
            Connection::open(&path).unwrap().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        std::fs::write(Path::new(&directory).join("begun"), "").unwrap();
        if found == CURRENT {
            upgrade(&path, CURRENT, NEXT, STEPS, &next_schema()).unwrap();
        }
    }

    #[test]
    fn killed_in_the_middle_it_is_the_old_file_or_the_new_one_and_goes_on() {
        let mut seen = BTreeSet::new();
        for round in 0..40_u64 {
            let (dir, path) = a_school();
            let filler = Connection::open(&path).unwrap();
            filler
                .execute("INSERT INTO setting (name, value) VALUES ('filler', json_quote(hex(zeroblob(2000000))))", [])
                .unwrap();
            drop(filler);
            let mut child = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "store::upgrading::tests::upgrades_until_it_is_killed", "--ignored"])
                .env("CORDON_UPGRADE_HERE", dir.path())
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap();
            while !dir.path().join("begun").exists() && child.try_wait().unwrap().is_none() {
                std::thread::yield_now();
            }
            std::thread::sleep(Duration::from_micros(round * 1_500));
            child.kill().unwrap();
            child.wait().unwrap();
            let (name, version) = look(dir.path());
            assert_eq!(name, "\"Hill\"");
            seen.insert(version);
            if version == CURRENT {
                upgrade(&path, CURRENT, NEXT, STEPS, &next_schema()).unwrap();
            }
            assert_eq!(look(dir.path()), (name, NEXT));
            assert!(!dir.path().join("cordon.db.upgrade").exists());
        }
        assert!(seen.contains(&CURRENT), "some were killed before the end: {seen:?}");
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
