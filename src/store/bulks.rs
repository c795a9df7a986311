//! One wish for many devices: what it is, and what became of it for each. Asked by `service::bulk`.

use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

#[derive(Debug, Clone)]
pub struct BulkRow {
    pub id: i64,
    pub public_id: String,
    pub request_type: String,
    /// Apple's keys; `None` when nobody needs them any more.
    pub sealed_keys: Option<Vec<u8>>,
    /// Whether it goes as it is, whatever the schema says.
    pub unchecked: bool,
    pub not_before: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    /// The group, by the name that it had, or what else was said.
    pub whom: String,
    pub created_by: String,
    pub created_at: Timestamp,
}

/// One device of it.
#[derive(Debug, Clone)]
pub struct BulkItem {
    /// Row id of the device: the cursor of a list.
    pub row: i64,
    /// Public id, serial number and name of the device.
    pub device: String,
    pub serial: Option<String>,
    pub name: Option<String>,
    pub command: Option<String>,
    /// State of the command; `None` for one that is not queued yet, was refused, or cleared away since.
    pub state: Option<String>,
    /// Why nothing was queued.
    pub refused: Option<String>,
    /// Apple's error chain as JSON.
    pub error_chain: Option<String>,
}

impl BulkItem {
    /// In one word: the state of the command, `refused`, `pending` (not queued yet) or `gone` (cleared away).
    pub fn standing(&self) -> &str {
        match (&self.command, &self.refused) {
            (_, Some(_)) => "refused",
            (None, None) => "pending",
            (Some(_), None) => self.state.as_deref().unwrap_or("gone"),
        }
    }
}

const COLUMNS: &str =
    "id, public_id, request_type, sealed_keys, unchecked, not_before, expires_at, whom, created_by, created_at";
const ITEM: &str = "d.id AS row, d.public_id, d.serial, d.name, i.command, y.state, i.refused, r.error_chain
    FROM bulk_item i JOIN device d ON d.id = i.device LEFT JOIN delivery y ON y.command = i.command LEFT JOIN result r ON r.delivery = y.seq";

fn row_to_bulk(row: &Row<'_>) -> rusqlite::Result<BulkRow> {
    let at = |name: &str| row.get::<_, Option<i64>>(name).map(|at| at.map(Timestamp));
    Ok(BulkRow {
        id: row.get("id")?,
        public_id: row.get("public_id")?,
        request_type: row.get("request_type")?,
        sealed_keys: row.get("sealed_keys")?,
        unchecked: row.get("unchecked")?,
        not_before: at("not_before")?,
        expires_at: at("expires_at")?,
        whom: row.get("whom")?,
        created_by: row.get("created_by")?,
        created_at: Timestamp(row.get("created_at")?),
    })
}

fn row_to_item(row: &Row<'_>) -> rusqlite::Result<BulkItem> {
    Ok(BulkItem {
        row: row.get("row")?,
        device: row.get("public_id")?,
        serial: row.get("serial")?,
        name: row.get("name")?,
        command: row.get("command")?,
        state: row.get("state")?,
        refused: row.get("refused")?,
        error_chain: row.get("error_chain")?,
    })
}

/// Devices without a command yet: row and public id.
type OpenItems = Vec<(i64, String)>;

impl Db<'_> {
    pub fn find_bulk(&self, public_id: &str) -> Result<Option<BulkRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM bulk WHERE public_id = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([public_id], row_to_bulk).optional()?)
    }

    /// Newest first, before `before` (a row id); `created_by` leaves only that one's.
    pub fn list_bulks(
        &self,
        created_by: Option<&str>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<BulkRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM bulk WHERE (?1 IS NULL OR created_by = ?1) AND (?2 IS NULL OR id < ?2) ORDER BY id DESC LIMIT ?3"
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map(params![created_by, before, limit as i64], row_to_bulk)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many devices there are, by what [`BulkItem::standing`] says of each.
    pub fn count_bulk(&self, bulk: i64) -> Result<Vec<(String, i64)>, StoreError> {
        let sql = "SELECT CASE WHEN i.refused IS NOT NULL THEN 'refused' WHEN i.command IS NULL THEN 'pending'
                          ELSE COALESCE(y.state, 'gone') END AS state, count(*)
                   FROM bulk_item i LEFT JOIN delivery y ON y.command = i.command WHERE i.bulk = ?1 GROUP BY state ORDER BY state";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([bulk], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The devices of it, those that are not done first.
    pub fn list_bulk_items(&self, bulk: i64, limit: usize) -> Result<Vec<BulkItem>, StoreError> {
        let sql = format!(
            "SELECT {ITEM} WHERE i.bulk = ?1 ORDER BY i.refused IS NULL, y.state = 'Acknowledged', i.device LIMIT ?2"
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map(params![bulk, limit as i64], row_to_item)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The devices of it after `after` (a row id), in order.
    pub fn page_bulk_items(&self, bulk: i64, after: i64, limit: usize) -> Result<Vec<BulkItem>, StoreError> {
        let sql = format!("SELECT {ITEM} WHERE i.bulk = ?1 AND i.device > ?2 ORDER BY i.device LIMIT ?3");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map(params![bulk, after, limit as i64], row_to_item)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The oldest wish with devices that have no command yet, and some of those (public ids with row ids).
    pub fn find_open_bulk(&self, limit: usize) -> Result<Option<(BulkRow, OpenItems)>, StoreError> {
        let sql = "SELECT public_id FROM bulk WHERE id = (SELECT min(bulk) FROM bulk_item WHERE command IS NULL AND refused IS NULL)";
        let id: Option<String> = self.conn.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?;
        let Some(bulk) = id.map(|id| self.find_bulk(&id)).transpose()?.flatten() else { return Ok(None) };
        let sql = "SELECT d.id, d.public_id FROM bulk_item i JOIN device d ON d.id = i.device
                   WHERE i.bulk = ?1 AND i.command IS NULL AND i.refused IS NULL ORDER BY i.device LIMIT ?2";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(params![bulk.id, limit as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let open = rows.collect::<Result<_, _>>()?;
        Ok(Some((bulk, open)))
    }

    /// The first wish after this one (a row id) from before `before`, and whether nothing is left of it but itself: every device is
    /// settled, and the commands that it became are cleared away.
    pub fn find_old_bulk(&self, after: i64, before: Timestamp) -> Result<Option<(i64, bool)>, StoreError> {
        let sql = "SELECT b.id, NOT EXISTS (SELECT 1 FROM bulk_item i WHERE i.bulk = b.id AND i.command IS NULL AND i.refused IS NULL)
                          AND NOT EXISTS (SELECT 1 FROM bulk_item i JOIN delivery y ON y.command = i.command WHERE i.bulk = b.id)
                   FROM bulk b WHERE b.id > ?1 AND b.created_at < ?2 ORDER BY b.id LIMIT 1";
        let mut statement = self.conn.prepare_cached(sql)?;
        Ok(statement.query_row(params![after, before.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
    }

    /// Row ids of every device that is enrolled now.
    pub fn list_enrolled_devices(&self) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT DISTINCT e.device FROM enrollment e JOIN device d ON d.id = e.device
                   WHERE e.channel = 'device' AND e.state = 'Active' AND d.synthetic = 0 ORDER BY e.device";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Tx<'_> {
    /// With all its devices (row ids). `id` of the row is ignored.
    pub fn insert_bulk(&self, new: &BulkRow, devices: &[i64]) -> Result<i64, StoreError> {
        let sql = "INSERT INTO bulk (public_id, request_type, sealed_keys, unchecked, not_before, expires_at, whom, created_by, created_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        let (not_before, expires_at) = (new.not_before.map(|at| at.0), new.expires_at.map(|at| at.0));
        self.conn.prepare_cached(sql)?.execute(params![
            new.public_id,
            new.request_type,
            new.sealed_keys,
            new.unchecked,
            not_before,
            expires_at,
            new.whom,
            new.created_by,
            new.created_at.0
        ])?;
        let id = self.conn.last_insert_rowid();
        let mut insert = self.conn.prepare_cached("INSERT INTO bulk_item (bulk, device) VALUES (?1, ?2)")?;
        for device in devices {
            insert.execute([id, *device])?;
        }
        Ok(id)
    }

    /// What became of it for one device: exactly one of `command` and `refused`. `false` when that was settled before.
    pub fn settle_bulk_item(
        &self,
        bulk: i64,
        device: i64,
        command: Option<&str>,
        refused: Option<&str>,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE bulk_item SET command = ?3, refused = ?4
                   WHERE bulk = ?1 AND device = ?2 AND command IS NULL AND refused IS NULL";
        Ok(self.conn.prepare_cached(sql)?.execute(params![bulk, device, command, refused])? == 1)
    }

    /// Nobody needs the keys any more, when every device is settled.
    pub fn forget_bulk_keys(&self, bulk: i64) -> Result<(), StoreError> {
        let sql = "UPDATE bulk SET sealed_keys = NULL WHERE id = ?1
                   AND NOT EXISTS (SELECT 1 FROM bulk_item WHERE bulk = ?1 AND command IS NULL AND refused IS NULL)";
        self.conn.prepare_cached(sql)?.execute([bulk])?;
        Ok(())
    }

    /// Devices without a command yet do not get one. Returns how many.
    pub fn refuse_open_bulk_items(&self, bulk: i64, why: &str) -> Result<usize, StoreError> {
        let sql = "UPDATE bulk_item SET refused = ?2 WHERE bulk = ?1 AND command IS NULL AND refused IS NULL";
        Ok(self.conn.prepare_cached(sql)?.execute(params![bulk, why])?)
    }

    /// Removes a wish that is over: at most `limit` of its devices, and the wish itself with the last of them. `true` when it is gone.
    pub fn delete_bulk(&self, bulk: i64, limit: usize) -> Result<bool, StoreError> {
        let sql = "DELETE FROM bulk_item WHERE bulk = ?1
                   AND device IN (SELECT device FROM bulk_item WHERE bulk = ?1 ORDER BY device LIMIT ?2)";
        self.conn.prepare_cached(sql)?.execute(params![bulk, limit as i64])?;
        let sql = "DELETE FROM bulk WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM bulk_item WHERE bulk = ?1)";
        Ok(self.conn.prepare_cached(sql)?.execute([bulk])? == 1)
    }
}
