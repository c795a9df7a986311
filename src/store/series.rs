//! Series in which somebody waits, and what has gone out in the one under way. The rules are `protocol::series`'.

use super::commands::{COLUMNS, row_to_delivery};
use super::{Db, DeliveryRow, StoreError, Tx};
use crate::base::time::Timestamp;
use crate::protocol::series::Series;
use rusqlite::{OptionalExtension, params};

/// The series under way on a user channel, or its last one.
#[derive(Debug, Clone)]
pub struct SeriesRow {
    pub kind: Series,
    pub open: bool,
    pub since: Timestamp,
    /// Commands that have gone out in it.
    pub handed_out: i64,
    pub ended_at: Option<Timestamp>,
}

impl Db<'_> {
    pub fn find_series(&self, enrollment: i64) -> Result<Option<SeriesRow>, StoreError> {
        let sql = "SELECT kind, open, since, handed_out, ended_at FROM series WHERE enrollment = ?1";
        let found = self.conn.prepare_cached(sql)?.query_row([enrollment], |row| {
            let kind: String = row.get("kind")?;
            Ok(SeriesRow {
                // The CHECK of the table allows only the two words.
                kind: Series::find(&kind).unwrap_or(Series::Login),
                open: row.get("open")?,
                since: Timestamp(row.get("since")?),
                handed_out: row.get("handed_out")?,
                ended_at: row.get::<_, Option<i64>>("ended_at")?.map(Timestamp),
            })
        });
        Ok(found.optional()?)
    }

    /// Everything unfinished and due that has not gone out in the open series, in the order of `protocol::series::select`; the first
    /// `limit` of it.
    pub fn list_left_in_series(
        &self,
        enrollment: i64,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM delivery y INDEXED BY delivery_waiting JOIN command c ON c.uuid = y.command
             WHERE y.enrollment = ?1 AND y.finished_at IS NULL
               AND (y.not_before IS NULL OR y.not_before <= ?2) AND (y.expires_at IS NULL OR y.expires_at > ?2)
               AND NOT EXISTS (SELECT 1 FROM series_step s WHERE s.enrollment = y.enrollment AND s.delivery = y.seq)
             ORDER BY y.state <> 'Sent', y.priority DESC, y.seq LIMIT ?3"
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let mut rows = statement.query(params![enrollment, now.0, limit as i64])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(row_to_delivery(row)?);
        }
        Ok(found)
    }
}

impl Tx<'_> {
    /// A series begins; an earlier one of the channel is over.
    pub fn begin_series(&self, enrollment: i64, kind: Series, now: Timestamp) -> Result<(), StoreError> {
        self.conn.prepare_cached("DELETE FROM series_step WHERE enrollment = ?1")?.execute([enrollment])?;
        let sql = "INSERT INTO series (enrollment, kind, open, since) VALUES (?1, ?2, 1, ?3)
                   ON CONFLICT (enrollment) DO UPDATE SET kind = excluded.kind, open = 1, since = excluded.since,
                       handed_out = 0, ended_at = NULL";
        self.conn.prepare_cached(sql)?.execute(params![enrollment, kind.as_str(), now.0])?;
        Ok(())
    }

    /// A command goes out in the open series.
    pub fn step_series(&self, enrollment: i64, delivery: i64) -> Result<(), StoreError> {
        let sql = "INSERT INTO series_step (enrollment, delivery) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        self.conn.prepare_cached(sql)?.execute([enrollment, delivery])?;
        let sql = "UPDATE series SET handed_out = handed_out + 1 WHERE enrollment = ?1";
        self.conn.prepare_cached(sql)?.execute([enrollment])?;
        Ok(())
    }

    pub fn end_series(&self, enrollment: i64, now: Timestamp) -> Result<(), StoreError> {
        self.conn.prepare_cached("DELETE FROM series_step WHERE enrollment = ?1")?.execute([enrollment])?;
        let sql = "UPDATE series SET open = 0, ended_at = ?2 WHERE enrollment = ?1 AND open = 1";
        self.conn.prepare_cached(sql)?.execute(params![enrollment, now.0])?;
        Ok(())
    }

    /// The device enrolled anew: its users' series are over.
    pub fn forget_series(&self, device_channel: i64) -> Result<(), StoreError> {
        for table in ["series_step", "series"] {
            let sql = format!("DELETE FROM {table} WHERE enrollment IN (SELECT id FROM enrollment WHERE parent = ?1)");
            self.conn.prepare_cached(&sql)?.execute([device_channel])?;
        }
        Ok(())
    }
}
