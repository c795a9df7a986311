//! What stands on devices as they told it last, and what changed. `service::stock` compares.

use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use crate::protocol::stock::{Change, Item};
use rusqlite::params;

/// One thing on one device.
#[derive(Debug, Clone)]
pub struct StockLine {
    /// Public id, serial number and name of the device.
    pub device: String,
    pub serial: Option<String>,
    pub device_name: Option<String>,
    pub item: Item,
    /// When it was told first, in this version.
    pub since: Timestamp,
}

/// Something that changed.
#[derive(Debug, Clone)]
pub struct StockChange {
    pub id: i64,
    pub at: Timestamp,
    pub kind: String,
    pub change: Change,
}

/// A device as an export shows it.
#[derive(Debug, Clone)]
pub struct StockDevice {
    pub row: i64,
    pub id: String,
    pub state: String,
    pub last_seen_at: Option<Timestamp>,
    pub enrolled_at: Option<Timestamp>,
    pub groups: String,
    pub apps: i64,
    pub certificates: i64,
    pub profiles: i64,
}

impl Db<'_> {
    /// What is known of one kind on a device (row id).
    pub fn list_stock(&self, device: i64, kind: &str) -> Result<Vec<(Item, Timestamp)>, StoreError> {
        let sql = "SELECT key, name, value, detail, since FROM stock WHERE device = ?1 AND kind = ?2 ORDER BY name COLLATE NOCASE, key";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(params![device, kind], |row| {
            let item = Item { key: row.get(0)?, name: row.get(1)?, value: row.get(2)?, detail: row.get(3)? };
            Ok((item, Timestamp(row.get(4)?)))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Things of one kind whose name or key holds `part`, on any device or on these (row ids); by name and device, after so many and so many
    /// at most.
    pub fn find_stock(
        &self,
        kind: &str,
        part: &str,
        only: Option<&[i64]>,
        (from, most): (usize, usize),
    ) -> Result<Vec<StockLine>, StoreError> {
        let sql = "SELECT d.public_id, d.serial, d.name, s.key, s.name, s.value, s.detail, s.since FROM stock s JOIN device d ON d.id = s.device
                   WHERE s.kind = ?1 AND (?2 = '' OR instr(lower(s.name), lower(?2)) > 0 OR instr(lower(s.key), lower(?2)) > 0)
                       AND (?3 IS NULL OR s.device IN (SELECT value FROM json_each(?3)))
                   ORDER BY s.name COLLATE NOCASE, s.key, s.device LIMIT ?4 OFFSET ?5";
        let only = only.map(|ids| serde_json::Value::from(ids).to_string());
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(params![kind, part, only, number(most), number(from)], |row| {
            let item = Item { key: row.get(3)?, name: row.get(4)?, value: row.get(5)?, detail: row.get(6)? };
            Ok(StockLine {
                device: row.get(0)?,
                serial: row.get(1)?,
                device_name: row.get(2)?,
                item,
                since: Timestamp(row.get(7)?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What changed on a device, newest first, before `before` (an id).
    pub fn list_stock_changes(
        &self,
        device: i64,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<StockChange>, StoreError> {
        let sql = "SELECT id, at, kind, key, name, before, after FROM stock_change
                   WHERE device = ?1 AND (?2 IS NULL OR id < ?2) ORDER BY id DESC LIMIT ?3";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(params![device, before, limit as i64], |row| {
            let change = Change { key: row.get(3)?, name: row.get(4)?, before: row.get(5)?, after: row.get(6)? };
            Ok(StockChange { id: row.get(0)?, at: Timestamp(row.get(1)?), kind: row.get(2)?, change })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Every device, or these (row ids), with what an export counts; in order of arrival, after a row id.
    pub fn list_stock_devices(
        &self,
        only: Option<&[i64]>,
        after: i64,
        limit: usize,
    ) -> Result<Vec<StockDevice>, StoreError> {
        let sql = "SELECT d.id, d.public_id, coalesce(e.state, 'Gone'), e.last_seen_at, e.authenticated_at,
                       (SELECT group_concat(g.name, '; ') FROM group_device m JOIN school_group g ON g.id = m.\"group\" WHERE m.device = d.id),
                       (SELECT count(*) FROM stock s WHERE s.device = d.id AND s.kind = 'app'),
                       (SELECT count(*) FROM stock s WHERE s.device = d.id AND s.kind = 'certificate'),
                       (SELECT count(*) FROM stock s WHERE s.device = d.id AND s.kind = 'profile')
                   FROM device d LEFT JOIN enrollment e ON e.id =
                       (SELECT x.id FROM enrollment x WHERE x.device = d.id AND x.channel = 'device' ORDER BY x.state = 'Active' DESC, x.id DESC LIMIT 1)
                   WHERE d.synthetic = 0 AND d.id > ?1 AND (?2 IS NULL OR d.id IN (SELECT value FROM json_each(?2))) ORDER BY d.id LIMIT ?3";
        let only = only.map(|ids| serde_json::Value::from(ids).to_string());
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(params![after, only, limit as i64], |row| {
            let at = |n: usize| row.get::<_, Option<i64>>(n).map(|at| at.map(Timestamp));
            Ok(StockDevice {
                row: row.get(0)?,
                id: row.get(1)?,
                state: row.get(2)?,
                last_seen_at: at(3)?,
                enrolled_at: at(4)?,
                groups: row.get::<_, Option<String>>(5)?.unwrap_or_default(),
                apps: row.get(6)?,
                certificates: row.get(7)?,
                profiles: row.get(8)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Whether the oldest change of any device is from before then.
    pub fn has_stock_change_before(&self, before: Timestamp) -> Result<bool, StoreError> {
        let sql = "SELECT coalesce((SELECT at FROM stock_change ORDER BY id LIMIT 1) < ?1, 0)";
        Ok(self.conn.prepare_cached(sql)?.query_row([before.0], |row| row.get(0))?)
    }
}

impl Tx<'_> {
    /// Something is there, newly or in another version.
    pub fn put_stock(&self, device: i64, kind: &str, item: &Item, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO stock (device, kind, key, name, value, detail, since) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                   ON CONFLICT (device, kind, key) DO UPDATE SET name = excluded.name, value = excluded.value, detail = excluded.detail, since = excluded.since";
        let values = params![device, kind, item.key, item.name, item.value, item.detail, now.0];
        self.conn.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    pub fn delete_stock(&self, device: i64, kind: &str, key: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM stock WHERE device = ?1 AND kind = ?2 AND key = ?3";
        self.conn.prepare_cached(sql)?.execute(params![device, kind, key])?;
        Ok(())
    }

    pub fn insert_stock_change(
        &self,
        device: i64,
        kind: &str,
        change: &Change,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO stock_change (device, at, kind, key, name, before, after) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let values = params![device, now.0, kind, change.key, change.name, change.before, change.after];
        self.conn.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Of one device, only the newest `keep` stay.
    pub fn trim_stock_changes(&self, device: i64, keep: usize) -> Result<(), StoreError> {
        let sql = "DELETE FROM stock_change WHERE device = ?1 AND id <=
                       (SELECT id FROM stock_change WHERE device = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)";
        self.conn.prepare_cached(sql)?.execute(params![device, keep as i64])?;
        Ok(())
    }

    /// Removes the oldest changes from before then, at most `limit`; returns how many.
    pub fn delete_stock_changes(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let sql = "DELETE FROM stock_change WHERE at < ?1 AND id IN (SELECT id FROM stock_change ORDER BY id LIMIT ?2)";
        Ok(self.conn.prepare_cached(sql)?.execute(params![before.0, limit as i64])?)
    }
}
