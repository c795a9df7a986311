//! One wish for many devices: what became of it for each. Asked by `service::bulk`.

use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

#[derive(Debug, Clone)]
pub struct BulkRow {
    pub id: i64,
    pub public_id: String,
    pub request_type: String,
    /// The group, by the name that it had.
    pub whom: String,
    pub created_by: String,
    pub created_at: Timestamp,
}

/// One device of it.
#[derive(Debug, Clone)]
pub struct BulkItem {
    /// Public id of the device.
    pub device: String,
    pub command: Option<String>,
    /// State of the command; `None` for one that was refused, or cleared away since.
    pub state: Option<String>,
    /// Why nothing was queued.
    pub refused: Option<String>,
}

const COLUMNS: &str = "id, public_id, request_type, whom, created_by, created_at";

fn row_to_bulk(row: &Row<'_>) -> rusqlite::Result<BulkRow> {
    Ok(BulkRow {
        id: row.get(0)?,
        public_id: row.get(1)?,
        request_type: row.get(2)?,
        whom: row.get(3)?,
        created_by: row.get(4)?,
        created_at: Timestamp(row.get(5)?),
    })
}

impl Db<'_> {
    pub fn find_bulk(&self, public_id: &str) -> Result<Option<BulkRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM bulk WHERE public_id = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([public_id], row_to_bulk).optional()?)
    }

    /// Newest first.
    pub fn list_bulks(&self, limit: usize) -> Result<Vec<BulkRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM bulk ORDER BY id DESC LIMIT ?1");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map([limit as i64], row_to_bulk)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many devices there are, by the state of their command; refused ones under `refused`, forgotten ones under `gone`.
    pub fn count_bulk(&self, bulk: i64) -> Result<Vec<(String, i64)>, StoreError> {
        let sql = "SELECT CASE WHEN i.refused IS NOT NULL THEN 'refused' ELSE COALESCE(y.state, 'gone') END AS state, count(*)
                   FROM bulk_item i LEFT JOIN delivery y ON y.command = i.command WHERE i.bulk = ?1 GROUP BY state ORDER BY state";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([bulk], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The devices of it, those that are not done first.
    pub fn list_bulk_items(&self, bulk: i64, limit: usize) -> Result<Vec<BulkItem>, StoreError> {
        let sql = "SELECT d.public_id, i.command, y.state, i.refused FROM bulk_item i JOIN device d ON d.id = i.device
                   LEFT JOIN delivery y ON y.command = i.command WHERE i.bulk = ?1
                   ORDER BY i.refused IS NULL, y.state = 'Acknowledged', i.device LIMIT ?2";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(params![bulk, limit as i64], |row| {
            Ok(BulkItem { device: row.get(0)?, command: row.get(1)?, state: row.get(2)?, refused: row.get(3)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Tx<'_> {
    /// `id` of the row is ignored.
    pub fn insert_bulk(&self, new: &BulkRow) -> Result<i64, StoreError> {
        let sql =
            "INSERT INTO bulk (public_id, request_type, whom, created_by, created_at) VALUES (?1, ?2, ?3, ?4, ?5)";
        let values = params![new.public_id, new.request_type, new.whom, new.created_by, new.created_at.0];
        self.conn.prepare_cached(sql)?.execute(values)?;
        Ok(self.conn.last_insert_rowid())
    }

    /// Exactly one of `command` and `refused`.
    pub fn insert_bulk_item(
        &self,
        bulk: i64,
        device: i64,
        command: Option<&str>,
        refused: Option<&str>,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO bulk_item (bulk, device, command, refused) VALUES (?1, ?2, ?3, ?4)";
        self.conn.prepare_cached(sql)?.execute(params![bulk, device, command, refused])?;
        Ok(())
    }
}
