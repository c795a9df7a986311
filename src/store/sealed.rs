//! Every sealed column there is, walked in batches: a new data key seals them all anew. What a place is called is said in the file of
//! each table; here it is SQL, and a test holds that no sealed column is forgotten.

use super::{Db, StoreError, Tx};
use rusqlite::params;
use rusqlite::types::Value;

/// One sealed column: table, column, the single column that names a row, and the place its values are sealed for.
struct Shelf {
    table: &'static str,
    column: &'static str,
    key: &'static str,
    place: &'static str,
}

const SHELVES: &[Shelf] = &[
    Shelf {
        table: "authority",
        column: "sealed_key",
        key: "id",
        place: "'authority/' || purpose || '/' || lower(hex(certificate))",
    },
    Shelf { table: "push_certificate", column: "sealed_key", key: "topic", place: "'push-certificate/' || topic" },
    Shelf {
        table: "push_request",
        column: "sealed_key",
        key: "key_hash",
        place: "'push-request/' || lower(hex(key_hash))",
    },
    Shelf {
        table: "signing_request",
        column: "sealed_key",
        key: "id",
        place: "'signing-request/' || lower(hex(push_request))",
    },
    Shelf { table: "acme", column: "sealed_account_key", key: "directory", place: "'acme/account/' || directory" },
    Shelf { table: "acme", column: "sealed_key", key: "directory", place: "'acme/certificate/' || directory" },
    Shelf { table: "admin", column: "sealed_totp", key: "id", place: "'admin/' || id || '/totp'" },
    Shelf { table: "audit_head", column: "sealed_head", key: "id", place: "'audit_head'" },
    Shelf { table: "webhook", column: "sealed_secret", key: "id", place: "'webhook/' || id" },
    Shelf { table: "webhook", column: "sealed_old", key: "id", place: "'webhook/' || id" },
    Shelf {
        table: "secret",
        column: "sealed_value",
        key: "id",
        place: "'secret/' || device || '/' || kind || '/' || generation",
    },
    Shelf {
        table: "person_digest",
        column: "sealed_ha1",
        key: "id",
        place: "'person/' || person || '/digest/' || realm",
    },
    Shelf { table: "directory", column: "sealed_password", key: "id", place: "'directory/' || id || '/password'" },
    Shelf { table: "tls_choice", column: "sealed_key", key: "id", place: "'tls-choice/' || id" },
    Shelf { table: "mail_server", column: "sealed_password", key: "id", place: "'mail/' || id || '/password'" },
    Shelf { table: "command", column: "sealed_plist", key: "uuid", place: "'command/' || uuid" },
    Shelf {
        table: "profile_version",
        column: "sealed_body",
        key: "id",
        place: "'profile/' || profile || '/' || version",
    },
    Shelf { table: "bulk", column: "sealed_keys", key: "id", place: "'bulk/' || public_id" },
    Shelf { table: "account", column: "sealed_credential", key: "id", place: "'account/' || id" },
    Shelf { table: "setup_plan", column: "sealed_commands", key: "id", place: "'setup-plan/' || id" },
    Shelf { table: "result", column: "sealed_answer", key: "delivery", place: "'result/' || delivery" },
];

/// Bytes of one batch, so that large answers do not fill the memory.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// A sealed value and where it lies.
#[derive(Debug, Clone)]
pub struct SealedValue {
    shelf: usize,
    key: Value,
    pub place: String,
    pub blob: Vec<u8>,
}

/// How far a walk over every sealed value has come.
#[derive(Debug, Clone, Default)]
pub struct SealedCursor {
    shelf: usize,
    after: Option<Value>,
}

impl Db<'_> {
    /// The next values that another data key than this one sealed, at most `limit`; `None` when the walk is over. The cursor moves
    /// behind what is returned.
    pub fn list_sealed_otherwise(
        &self,
        key_id: u32,
        cursor: &mut SealedCursor,
        limit: usize,
    ) -> Result<Option<Vec<SealedValue>>, StoreError> {
        while let Some(shelf) = SHELVES.get(cursor.shelf) {
            let found = self.one_batch(key_id, shelf, cursor, limit)?;
            if let Some(last) = found.last() {
                cursor.after = Some(last.key.clone());
                return Ok(Some(found));
            }
            *cursor = SealedCursor { shelf: cursor.shelf + 1, after: None };
        }
        Ok(None)
    }

    fn one_batch(
        &self,
        key_id: u32,
        shelf: &Shelf,
        cursor: &SealedCursor,
        limit: usize,
    ) -> Result<Vec<SealedValue>, StoreError> {
        let Shelf { table, column, key, place } = shelf;
        // A blob begins with its version and the key's id; see `pki::sealing`.
        let sql = format!(
            "SELECT {key}, {place}, {column} FROM {table} WHERE {column} IS NOT NULL AND substr({column}, 2, 4) <> ?1
               AND (?2 IS NULL OR {key} > ?2) ORDER BY {key} LIMIT ?3"
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let mut rows = statement.query(params![key_id.to_be_bytes(), cursor.after, limit as i64])?;
        let (mut found, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let value = SealedValue { shelf: cursor.shelf, key: row.get(0)?, place: row.get(1)?, blob: row.get(2)? };
            bytes += value.blob.len();
            found.push(value);
            if bytes > BATCH_BYTES {
                break;
            }
        }
        Ok(found)
    }

    /// How many values another data key than this one sealed, and how many there are.
    pub fn count_sealed_otherwise(&self, key_id: u32) -> Result<(i64, i64), StoreError> {
        let (mut left, mut all) = (0, 0);
        for Shelf { table, column, .. } in SHELVES {
            let sql =
                format!("SELECT count(*) FILTER (WHERE substr({column}, 2, 4) <> ?1), count({column}) FROM {table}");
            let (other, every): (i64, i64) =
                self.conn.query_row(&sql, [key_id.to_be_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
            (left, all) = (left + other, all + every);
        }
        Ok((left, all))
    }
}

impl Tx<'_> {
    /// Puts the newly sealed blob in the place of the old one, unless that has changed or gone meanwhile.
    pub fn reseal(&self, old: &SealedValue, blob: &[u8]) -> Result<(), StoreError> {
        let Some(Shelf { table, column, key, .. }) = SHELVES.get(old.shelf) else {
            return Err(StoreError::Corrupt("a sealed value without a table"));
        };
        let sql = format!("UPDATE {table} SET {column} = ?3 WHERE {key} = ?1 AND {column} = ?2");
        self.conn.prepare_cached(&sql)?.execute(params![old.key, old.blob, blob])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn no_sealed_column_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let columns: Vec<(String, String)> = store
            .read(|db| -> Result<_, StoreError> {
                let sql = "SELECT t.name, c.name FROM pragma_table_list t JOIN pragma_table_info(t.name) c
                           WHERE t.schema = 'main' AND substr(c.name, 1, 7) = 'sealed_' ORDER BY 1, 2";
                let mut statement = db.conn.prepare(sql)?;
                let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .unwrap();
        let mut known: Vec<_> = SHELVES.iter().map(|s| (s.table.to_owned(), s.column.to_owned())).collect();
        known.sort();
        assert_eq!(
            columns, known,
            "a column named sealed_* needs a line in SHELVES, or key rotation loses what is in it"
        );
    }
}
