//! Schedules, and the instants at which they open and close. `service::schedules` makes both; `assignments` asks whether one is open.

use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use crate::protocol::schedule::Span;
use rusqlite::{OptionalExtension, Row, params};

#[derive(Debug, Clone)]
pub struct ScheduleRow {
    pub id: i64,
    pub public_id: String,
    pub name: String,
    /// As people write them: `Mon-Fri 08:00-12:30`.
    pub windows: Vec<String>,
    pub on_holidays: bool,
    pub created_by: String,
    pub created_at: Timestamp,
    /// How many assignments follow it.
    pub used: i64,
}

const COLUMNS: &str = "t.id, t.public_id, t.name, t.windows, t.on_holidays, t.created_by, t.created_at,
    (SELECT count(*) FROM assignment a JOIN profile p ON p.id = a.profile WHERE a.schedule = t.id AND p.removed_at IS NULL) AS used";

/// Every few seconds: by the two indexes, never by reading them all.
const TURNED: &str = "SELECT schedule FROM schedule_span WHERE opens_at > ?1 AND opens_at <= ?2
    UNION SELECT schedule FROM schedule_span WHERE closes_at > ?1 AND closes_at <= ?2 ORDER BY 1";

fn row_to_schedule(row: &Row<'_>) -> rusqlite::Result<ScheduleRow> {
    let windows: String = row.get("windows")?;
    Ok(ScheduleRow {
        id: row.get("id")?,
        public_id: row.get("public_id")?,
        name: row.get("name")?,
        windows: serde_json::from_str(&windows).unwrap_or_default(),
        on_holidays: row.get("on_holidays")?,
        created_by: row.get("created_by")?,
        created_at: Timestamp(row.get("created_at")?),
        used: row.get("used")?,
    })
}

impl Db<'_> {
    /// By name in any case, or by Cordon's id.
    pub fn find_schedule(&self, text: &str) -> Result<Option<ScheduleRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM schedule t WHERE t.public_id = ?1 OR t.name = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([text], row_to_schedule).optional()?)
    }

    pub fn find_schedule_by_row(&self, id: i64) -> Result<Option<ScheduleRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM schedule t WHERE t.id = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([id], row_to_schedule).optional()?)
    }

    /// By name, in order.
    pub fn list_schedules(&self) -> Result<Vec<ScheduleRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM schedule t ORDER BY t.name");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map([], row_to_schedule)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Stretches that are not over at `now`, the next first.
    pub fn list_spans(&self, schedule: i64, now: Timestamp, limit: usize) -> Result<Vec<Span>, StoreError> {
        let sql = "SELECT opens_at, closes_at FROM schedule_span WHERE schedule = ?1 AND closes_at > ?2 ORDER BY opens_at LIMIT ?3";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(params![schedule, now.0, limit as i64], |row| {
            Ok((Timestamp(row.get(0)?), Timestamp(row.get(1)?)))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Row ids of the schedules that opened or closed after `since` and not after `now`.
    pub fn list_turned(&self, since: Timestamp, now: Timestamp) -> Result<Vec<i64>, StoreError> {
        let mut statement = self.conn.prepare_cached(TURNED)?;
        let rows = statement.query_map([since.0, now.0], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What follows a schedule: rows of assignments.
    pub fn list_schedule_assignments(&self, schedule: i64) -> Result<Vec<super::AssignmentRow>, StoreError> {
        let sql = "SELECT DISTINCT a.profile FROM assignment a JOIN profile p ON p.id = a.profile
                   WHERE a.schedule = ?1 AND p.removed_at IS NULL ORDER BY a.profile";
        let mut statement = self.conn.prepare_cached(sql)?;
        let profiles = statement.query_map([schedule], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
        let mut found = Vec::new();
        for profile in profiles {
            found.extend(self.list_assignments(profile)?.into_iter().filter(|a| a.schedule == Some(schedule)));
        }
        Ok(found)
    }
}

impl Tx<'_> {
    /// `id` and `used` of the row are ignored.
    pub fn insert_schedule(&self, new: &ScheduleRow) -> Result<i64, StoreError> {
        let sql = "INSERT INTO schedule (public_id, name, windows, on_holidays, created_by, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let windows = serde_json::Value::from(new.windows.clone()).to_string();
        let values = params![new.public_id, new.name, windows, new.on_holidays, new.created_by, new.created_at.0];
        self.conn.prepare_cached(sql)?.execute(values)?;
        Ok(self.conn.last_insert_rowid())
    }

    pub fn update_schedule(
        &self,
        id: i64,
        name: &str,
        windows: &[String],
        on_holidays: bool,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE schedule SET name = ?2, windows = ?3, on_holidays = ?4 WHERE id = ?1";
        let windows = serde_json::Value::from(windows.to_vec()).to_string();
        self.conn.prepare_cached(sql)?.execute(params![id, name, windows, on_holidays])?;
        Ok(())
    }

    /// Only one that nothing follows; what followed it for a profile that was removed since is let go.
    pub fn delete_schedule(&self, id: i64) -> Result<(), StoreError> {
        let sql = "DELETE FROM assignment WHERE schedule = ?1 AND profile IN (SELECT id FROM profile WHERE removed_at IS NOT NULL)";
        self.conn.prepare_cached(sql)?.execute([id])?;
        self.conn.prepare_cached("DELETE FROM schedule WHERE id = ?1")?.execute([id])?;
        Ok(())
    }

    /// Instead of those that were made before.
    pub fn put_spans(&self, schedule: i64, spans: &[Span]) -> Result<(), StoreError> {
        let sql = "SELECT opens_at, closes_at FROM schedule_span WHERE schedule = ?1 ORDER BY opens_at";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([schedule], |row| Ok((Timestamp(row.get(0)?), Timestamp(row.get(1)?))))?;
        let before: Vec<Span> = rows.collect::<Result<_, _>>()?;
        if before == spans {
            return Ok(());
        }
        self.conn.prepare_cached("DELETE FROM schedule_span WHERE schedule = ?1")?.execute([schedule])?;
        let sql = "INSERT INTO schedule_span (schedule, opens_at, closes_at) VALUES (?1, ?2, ?3)";
        let mut insert = self.conn.prepare_cached(sql)?;
        for (opens, closes) in spans {
            insert.execute([schedule, opens.0, closes.0])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Store, StoreError};

    #[test]
    fn what_turned_is_found_without_reading_every_instant() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let plan = store.read(|db| -> Result<Vec<String>, StoreError> {
            let sql = format!("EXPLAIN QUERY PLAN {}", super::TURNED);
            let mut statement = db.conn.prepare(&sql)?;
            let rows = statement.query_map([0, 1], |row| row.get("detail"))?;
            Ok(rows.collect::<Result<_, _>>()?)
        });
        let plan = plan.unwrap().join("; ");
        assert!(plan.contains("schedule_span_opening") && plan.contains("schedule_span_closing"), "{plan}");
        assert!(!plan.contains("SCAN"), "{plan}");
    }
}
