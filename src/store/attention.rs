//! What waits for a person's decision about a device.

use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

/// Something to be decided. `detail` is JSON without secrets.
#[derive(Debug, Clone)]
pub struct NewAttention<'a> {
    pub device: i64,
    pub kind: &'a str,
    pub certificate: Option<&'a [u8; 32]>,
    pub detail: &'a str,
}

#[derive(Debug, Clone)]
pub struct AttentionRow {
    pub id: i64,
    pub device: i64,
    pub kind: String,
    pub certificate: Option<[u8; 32]>,
    pub detail: String,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    pub times: i64,
}

const COLUMNS: &str = "id, device, kind, certificate, detail, first_at, last_at, times";

fn row_to_attention(row: &Row<'_>) -> rusqlite::Result<AttentionRow> {
    Ok(AttentionRow {
        id: row.get("id")?,
        device: row.get("device")?,
        kind: row.get("kind")?,
        certificate: row.get("certificate")?,
        detail: row.get("detail")?,
        first_at: Timestamp(row.get("first_at")?),
        last_at: Timestamp(row.get("last_at")?),
        times: row.get("times")?,
    })
}

impl Db<'_> {
    /// Everything that is open, oldest first.
    pub fn list_attention(&self) -> Result<Vec<AttentionRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM attention WHERE settled_at IS NULL ORDER BY id");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map([], row_to_attention)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub fn find_attention(&self, device: i64, kind: &str) -> Result<Option<AttentionRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM attention WHERE device = ?1 AND kind = ?2 AND settled_at IS NULL");
        Ok(self.conn.prepare_cached(&sql)?.query_row(params![device, kind], row_to_attention).optional()?)
    }
}

impl Tx<'_> {
    /// Raises it, or counts it once more; `true` when it is new.
    pub fn raise_attention(&self, new: &NewAttention<'_>, now: Timestamp) -> Result<bool, StoreError> {
        let sql = "INSERT INTO attention (device, kind, certificate, detail, first_at, last_at, times)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?5, 1)
                   ON CONFLICT (device, kind) WHERE settled_at IS NULL
                       DO UPDATE SET certificate = excluded.certificate, detail = excluded.detail, last_at = excluded.last_at,
                                     times = times + 1
                   RETURNING times";
        let times: i64 = self
            .conn
            .prepare_cached(sql)?
            .query_row(params![new.device, new.kind, new.certificate, new.detail, now.0], |row| row.get(0))?;
        Ok(times == 1)
    }

    /// Settles what is open of this kind; `false` when nothing was.
    pub fn settle_attention(
        &self,
        device: i64,
        kind: &str,
        by: &str,
        how: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE attention SET settled_at = ?5, settled_by = ?3, settled_how = ?4
                   WHERE device = ?1 AND kind = ?2 AND settled_at IS NULL";
        Ok(self.conn.prepare_cached(sql)?.execute(params![device, kind, by, how, now.0])? == 1)
    }
}
