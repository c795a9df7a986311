//! When each channel was last asked what stands on it. `service::inventory` decides.

use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, params};

impl Db<'_> {
    /// Active channels that were not asked since `before`, longest ago first: devices' own, and users' where a profile of the school stands.
    /// A new one counts as asked when it was made.
    pub fn list_channels_to_ask(&self, before: Timestamp, limit: usize) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT e.id FROM enrollment e LEFT JOIN inventory_round r ON r.enrollment = e.id
                   WHERE e.state = 'Active' AND e.awaiting_configuration = 0 AND coalesce(r.asked_at, e.created_at) <= ?1
                       AND (e.channel = 'device' OR EXISTS (SELECT 1 FROM channel_profile c WHERE c.enrollment = e.id))
                   ORDER BY coalesce(r.asked_at, e.created_at) LIMIT ?2";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(params![before.0, limit as i64], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// When a channel was last asked for its long lists.
    pub fn find_lists_asked(&self, enrollment: i64) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT lists_at FROM inventory_round WHERE enrollment = ?1";
        let found: Option<Option<i64>> =
            self.conn.prepare_cached(sql)?.query_row([enrollment], |row| row.get(0)).optional()?;
        Ok(found.flatten().map(Timestamp))
    }
}

impl Tx<'_> {
    /// `lists`: for the long ones too.
    pub fn put_inventory_round(&self, enrollment: i64, lists: bool, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO inventory_round (enrollment, asked_at, lists_at) VALUES (?1, ?2, iif(?3, ?2, NULL))
                   ON CONFLICT (enrollment) DO UPDATE SET asked_at = excluded.asked_at, lists_at = coalesce(excluded.lists_at, lists_at)";
        self.conn.prepare_cached(sql)?.execute(params![enrollment, now.0, lists])?;
        Ok(())
    }
}
