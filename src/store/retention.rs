//! What is no longer needed goes: plists of finished commands, old answers, old history. How long "old" is, `service` says; here are
//! the walks in order of age and the removals, in small steps.

use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::params;

/// A delivery on a walk from the oldest on.
#[derive(Debug, Clone)]
pub struct Spent {
    pub seq: i64,
    pub command: String,
    pub finished: bool,
    /// Every delivery of its command is finished, and the plist is still there.
    pub to_purge: bool,
}

impl Db<'_> {
    /// Deliveries after this one, oldest first.
    pub fn list_spent(&self, after: i64, limit: usize) -> Result<Vec<Spent>, StoreError> {
        let sql = "SELECT y.seq, y.command, y.finished_at IS NOT NULL AS finished,
                          c.sealed_plist IS NOT NULL AND y.finished_at IS NOT NULL AND NOT EXISTS
                              (SELECT 1 FROM delivery o WHERE o.command = y.command AND o.finished_at IS NULL) AS to_purge
                   FROM delivery y JOIN command c ON c.uuid = y.command WHERE y.seq > ?1 ORDER BY y.seq LIMIT ?2";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(params![after, limit as i64], |row| {
            let (seq, command) = (row.get("seq")?, row.get("command")?);
            Ok(Spent { seq, command, finished: row.get("finished")?, to_purge: row.get("to_purge")? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Answers after this delivery, of commands made before `before`, oldest first: delivery, and whether the answer itself came before
    /// then and is still there.
    pub fn list_old_results(
        &self,
        after: i64,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<(i64, bool)>, StoreError> {
        let sql = "SELECT r.delivery, r.purged_at IS NULL AND r.received_at < ?2, c.created_at
                   FROM result r JOIN delivery y ON y.seq = r.delivery JOIN command c ON c.uuid = y.command
                   WHERE r.delivery > ?1 ORDER BY r.delivery LIMIT ?3";
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query(params![after, before.0, limit as i64])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            // Deliveries are numbered in the order they were made: all that follow are younger.
            if row.get::<_, i64>(2)? >= before.0 {
                break;
            }
            found.push((row.get(0)?, row.get(1)?));
        }
        Ok(found)
    }

    /// Deliveries after this one whose command was made before `before`: sequence, command, and whether it was finished by then.
    pub fn list_old_deliveries(
        &self,
        after: i64,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<(i64, String, bool)>, StoreError> {
        let sql = "SELECT y.seq, y.command, coalesce(y.finished_at < ?2, 0), c.created_at
                   FROM delivery y JOIN command c ON c.uuid = y.command WHERE y.seq > ?1 ORDER BY y.seq LIMIT ?3";
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query(params![after, before.0, limit as i64])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            if row.get::<_, i64>(3)? >= before.0 {
                break;
            }
            found.push((row.get(0)?, row.get(1)?, row.get(2)?));
        }
        Ok(found)
    }

    /// Whether the oldest line of any device's story is from before then.
    pub fn has_timeline_before(&self, before: Timestamp) -> Result<bool, StoreError> {
        let sql = "SELECT coalesce((SELECT at FROM timeline ORDER BY id LIMIT 1) < ?1, 0)";
        Ok(self.conn.query_row(sql, [before.0], |row| row.get(0))?)
    }
}

impl Tx<'_> {
    /// Removes a command's plist, unless a delivery still needs it.
    pub fn purge_plist(&self, uuid: &str) -> Result<(), StoreError> {
        let sql = "UPDATE command SET sealed_plist = NULL WHERE uuid = ?1
                   AND NOT EXISTS (SELECT 1 FROM delivery WHERE command = ?1 AND finished_at IS NULL)";
        self.conn.prepare_cached(sql)?.execute([uuid])?;
        Ok(())
    }

    /// Removes an answer; that there was one stays.
    pub fn purge_result(&self, delivery: i64, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE result SET sealed_answer = NULL, error_chain = NULL, purged_at = ?2 WHERE delivery = ?1";
        self.conn.prepare_cached(sql)?.execute(params![delivery, now.0])?;
        Ok(())
    }

    /// Removes a finished delivery with its answer, and the command with the last of its deliveries.
    pub fn delete_delivery(&self, seq: i64, command: &str) -> Result<(), StoreError> {
        self.conn.prepare_cached("DELETE FROM result WHERE delivery = ?1")?.execute([seq])?;
        self.conn.prepare_cached("DELETE FROM delivery WHERE seq = ?1 AND finished_at IS NOT NULL")?.execute([seq])?;
        let sql = "DELETE FROM command WHERE uuid = ?1 AND NOT EXISTS (SELECT 1 FROM delivery WHERE command = ?1)";
        self.conn.prepare_cached(sql)?.execute([command])?;
        Ok(())
    }

    /// Removes the oldest lines of the devices' stories, at most `limit`, from before then; returns how many.
    pub fn delete_timeline(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let sql = "DELETE FROM timeline WHERE at < ?1 AND id IN (SELECT id FROM timeline ORDER BY id LIMIT ?2)";
        Ok(self.conn.prepare_cached(sql)?.execute(params![before.0, limit as i64])?)
    }

    /// Gives free pages at the end of the file back to the disk, at most `pages`; returns how many are left.
    pub fn reclaim(&self, pages: usize) -> Result<i64, StoreError> {
        let mut statement = self.conn.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
        let mut rows = statement.query([])?;
        // One row for each page.
        while rows.next()?.is_some() {}
        Ok(self.conn.query_row("PRAGMA freelist_count", [], |row| row.get(0))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn free_pages_go_back_to_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let fill = |value: &str| store.write(|tx| tx.put_setting("a", &serde_json::json!(value)));
        let size = || {
            store.checkpoint().unwrap();
            std::fs::metadata(store.path()).unwrap().len()
        };
        let empty = size();
        fill(&"x".repeat(400_000)).unwrap();
        fill("x").unwrap();
        let left: Result<i64, StoreError> = store.write(|tx| tx.reclaim(40));
        assert!((1..90).contains(&left.unwrap()));
        assert_eq!(store.write(|tx| tx.reclaim(1_000)).unwrap_or(-1), 0);
        assert!(size() < empty + 50_000);
    }
}
