//! From any released schema to the current one. `schema.sql` is the truth; each step here leads towards it, and a test
//! proves that they meet. A newer file is refused, never guessed at.

use super::StoreError;
use rusqlite::Connection;

/// `PRAGMA user_version` of `schema.sql`.
pub(super) const CURRENT: i64 = 1;
/// `PRAGMA application_id`: "Crdn", so that `file` and `restore` know whose database this is.
pub(super) const APPLICATION_ID: i64 = 0x4372_646e;
const SCHEMA: &str = include_str!("../../schema.sql");

/// Brings the file to [`CURRENT`] in one transaction.
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
