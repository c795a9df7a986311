//! Custody: secrets of devices, sealed, every generation kept.

use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, params};

/// The newest generation of one kind of secret of one device, still sealed.
#[derive(Debug, Clone)]
pub struct SecretRow {
    pub generation: i64,
    pub sealed_value: Option<Vec<u8>>,
    pub created_at: Timestamp,
    pub withdrawn: bool,
}

impl Db<'_> {
    pub fn find_secret(&self, device: i64, kind: &str) -> Result<Option<SecretRow>, StoreError> {
        let sql = "SELECT generation, sealed_value, created_at, withdrawn_at FROM secret
                   WHERE device = ?1 AND kind = ?2 ORDER BY generation DESC LIMIT 1";
        let found = self.conn.prepare_cached(sql)?.query_row(params![device, kind], |row| {
            Ok(SecretRow {
                generation: row.get("generation")?,
                sealed_value: row.get("sealed_value")?,
                created_at: Timestamp(row.get("created_at")?),
                withdrawn: row.get::<_, Option<i64>>("withdrawn_at")?.is_some(),
            })
        });
        Ok(found.optional()?)
    }
}

impl Tx<'_> {
    /// Adds a generation. `sealed_value` is sealed for the place `secret/<device>/<kind>/<generation>`.
    pub fn insert_secret(&self, device: i64, kind: &str, generation: i64, sealed_value: &[u8], now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO secret (device, kind, generation, sealed_value, created_at) VALUES (?1, ?2, ?3, ?4, ?5)";
        self.conn.prepare_cached(sql)?.execute(params![device, kind, generation, sealed_value, now.0])?;
        Ok(())
    }

    /// The device took it back: no longer handed out, but kept.
    pub fn withdraw_secret(&self, device: i64, kind: &str, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE secret SET withdrawn_at = ?3 WHERE device = ?1 AND kind = ?2 AND withdrawn_at IS NULL";
        self.conn.prepare_cached(sql)?.execute(params![device, kind, now.0])?;
        Ok(())
    }
}
