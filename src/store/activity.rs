//! Which devices have gone quiet: when each was last heard of on any of its channels, when a push last tried it, and since when it counts as
//! inactive. Called by `service::activity`.

use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::params;

/// One enrolled device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityRow {
    pub device: i64,
    /// Its device channel.
    pub enrollment: i64,
    pub public_id: String,
    pub serial: Option<String>,
    pub name: Option<String>,
    /// On any channel; the enrolment itself counts.
    pub last_seen_at: Timestamp,
    /// A push that tests, since it was last heard of.
    pub tested_at: Option<Timestamp>,
    pub inactive_since: Option<Timestamp>,
    /// Why its push token is dead, if it is.
    pub push_dead: Option<String>,
    pub pushable: bool,
}

impl Db<'_> {
    /// Every enrolled device, those that were silent longest first.
    pub fn list_activity(&self) -> Result<Vec<ActivityRow>, StoreError> {
        let sql = "SELECT d.id, e.id AS enrollment, d.public_id, d.serial, d.name,
                          max(coalesce((SELECT max(c.last_seen_at) FROM enrollment c WHERE c.device = d.id AND c.state <> 'Gone'), 0),
                              coalesce(e.token_updated_at, e.authenticated_at, e.created_at)) AS seen,
                          a.tested_at, a.inactive_since, p.dead_why, e.push_token IS NOT NULL AS pushable
                   FROM device d JOIN enrollment e ON e.device = d.id AND e.channel = 'device' AND e.state = 'Active'
                       LEFT JOIN activity a ON a.enrollment = e.id LEFT JOIN push p ON p.enrollment = e.id
                   WHERE d.synthetic = 0 ORDER BY seen, d.id";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| {
            Ok(ActivityRow {
                device: row.get("id")?,
                enrollment: row.get("enrollment")?,
                public_id: row.get("public_id")?,
                serial: row.get("serial")?,
                name: row.get("name")?,
                last_seen_at: Timestamp(row.get("seen")?),
                tested_at: row.get::<_, Option<i64>>("tested_at")?.map(Timestamp),
                inactive_since: row.get::<_, Option<i64>>("inactive_since")?.map(Timestamp),
                push_dead: row.get("dead_why")?,
                pushable: row.get("pushable")?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Tx<'_> {
    pub fn note_tested(&self, enrollment: i64, at: Timestamp) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO activity (enrollment, tested_at) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET tested_at = ?2";
        self.conn.prepare_cached(sql)?.execute(params![enrollment, at.0])?;
        Ok(())
    }

    /// `None`: it was heard of again.
    pub fn mark_inactive(&self, enrollment: i64, since: Option<Timestamp>) -> Result<(), StoreError> {
        let sql = "INSERT INTO activity (enrollment, inactive_since) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET inactive_since = ?2";
        self.conn.prepare_cached(sql)?.execute(params![enrollment, since.map(|at| at.0)])?;
        Ok(())
    }
}
