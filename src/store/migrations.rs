//! From any released schema to the current one. `schema.sql` is the truth; each step here leads towards it, and a test
//! proves that they meet. A newer file is refused, never guessed at.

use super::StoreError;
use rusqlite::Connection;

/// `PRAGMA user_version` of `schema.sql`.
pub(super) const CURRENT: i64 = 1;
/// `PRAGMA application_id`: "Crdn", so that `file` and `restore` know whose database this is.
pub(super) const APPLICATION_ID: i64 = 0x4372_646e;
pub(super) const SCHEMA: &str = include_str!("../../schema.sql");

/// From one released schema to the next.
pub(super) struct Step {
    /// The `user_version` that it leads to, one more than before.
    pub(super) to: i64,
    pub(super) sql: &'static str,
}

/// From the first released schema to the present one. Every step stays for ever: somebody skips versions.
const STEPS: &[Step] = &[];

/// Upgrades a file of an older release before it is opened; a new or present one is left alone.
///
/// # Errors
/// `Newer` for a file of a newer release; the file is as it was after every failure.
pub(super) fn upgrade_file(path: &std::path::Path) -> Result<(), StoreError> {
    if !path.exists() {
        return Ok(());
    }
    let conn = Connection::open(path)?;
    let found: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    conn.close().map_err(|(_, e)| e)?;
    match found {
        0 => Ok(()),
        found if found > CURRENT => Err(StoreError::Newer { found, known: CURRENT }),
        found if found < CURRENT => {
            let kept = super::upgrading::upgrade(path, found, CURRENT, STEPS, SCHEMA)?;
            tracing::info!(found, current = CURRENT, backup = %kept.display(), "the database was upgraded");
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Makes a new file, in one transaction; a present one is left alone.
pub(super) fn migrate(conn: &mut Connection) -> Result<(), StoreError> {
    let found: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > CURRENT {
        return Err(StoreError::Newer { found, known: CURRENT });
    }
    if found == 0 {
        let tx = conn.transaction()?;
        tx.execute_batch(SCHEMA)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", CURRENT)?;
        tx.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_file_is_refused_in_plain_words() {
        let mut conn = Connection::open_in_memory().unwrap();
        conn.pragma_update(None, "user_version", CURRENT + 1).unwrap();
        let word = migrate(&mut conn).unwrap_err().to_string();
        assert!(word.contains("newer Cordon"), "{word}");
    }

    #[test]
    fn every_table_is_strict_and_every_foreign_key_resolves() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn).unwrap();
        let loose: i64 = conn
            .query_row("SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND strict = 0 AND name NOT LIKE 'sqlite_%'", [], |r| r.get(0))
            .unwrap();
        assert_eq!(loose, 0);
        conn.execute_batch("PRAGMA foreign_key_check").unwrap();
    }
}
