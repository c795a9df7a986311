//! Counts for monitors: one look at the whole database, a minute apart at most. Called by `service::health`.

use super::{Db, StoreError};
use crate::base::time::Timestamp;
use rusqlite::params;

/// How much there is of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gauges {
    /// Device channels that are Started, Active, Gone.
    pub devices: (i64, i64, i64),
    pub user_channels: i64,
    /// Device channels that were heard of in the last day.
    pub seen_in_a_day: i64,
    /// Unfinished deliveries that are Queued, Sent, NotNow.
    pub commands: (i64, i64, i64),
    /// Pushes owed, and since when the oldest.
    pub pushes_owed: i64,
    pub oldest_push_owed: Option<Timestamp>,
    /// Channels whose push token is dead.
    pub dead_tokens: i64,
    /// Requests to webhooks that wait.
    pub webhooks_waiting: i64,
    /// Doubts that wait for a person.
    pub attention: i64,
    pub database_bytes: i64,
}

impl Db<'_> {
    /// Enrolled devices by system: platform, version, how many.
    pub fn count_systems(&self) -> Result<Vec<(String, String, i64)>, StoreError> {
        let sql = "SELECT d.platform, coalesce(d.os_version, 'unknown'), count(*) FROM device d JOIN enrollment e ON e.device = d.id
                   WHERE e.channel = 'device' AND e.state = 'Active' AND d.synthetic = 0 GROUP BY 1, 2 ORDER BY 1, 2";
        let mut statement = self.conn.prepare(sql)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Everything that names a device, a person or a group, with a word for what it is.
    pub fn list_names(&self) -> Result<Vec<(String, &'static str)>, StoreError> {
        let mut found = Vec::new();
        for (sql, word) in [
            ("SELECT serial FROM device WHERE serial IS NOT NULL", "SERIAL"),
            ("SELECT name FROM device WHERE name IS NOT NULL", "DEVICE"),
            ("SELECT public_id FROM device", "DEVICE"),
            ("SELECT enrollment_id FROM enrollment", "UDID"),
            ("SELECT user_short_name FROM enrollment WHERE user_short_name IS NOT NULL", "USER"),
            ("SELECT user_long_name FROM enrollment WHERE user_long_name IS NOT NULL", "USER"),
            ("SELECT short_name FROM person", "PERSON"),
            ("SELECT long_name FROM person WHERE long_name IS NOT NULL", "PERSON"),
            ("SELECT mail FROM person WHERE mail IS NOT NULL", "PERSON"),
            ("SELECT name FROM school_group", "GROUP"),
            ("SELECT name FROM webhook", "WEBHOOK"),
            ("SELECT url FROM webhook", "WEBHOOK"),
            ("SELECT host FROM mail_server", "MAIL_SERVER"),
            ("SELECT username FROM mail_server WHERE username IS NOT NULL", "MAIL_ACCOUNT"),
            ("SELECT sender FROM mail_server", "MAIL_ADDRESS"),
            ("SELECT r.value FROM mail_server, json_each(recipients) r", "MAIL_ADDRESS"),
        ] {
            let mut statement = self.conn.prepare(sql)?;
            let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
            for row in rows {
                found.push((row?, word));
            }
        }
        Ok(found)
    }

    /// Identities that devices use now, and when the first of them ends.
    pub fn count_current_identities(&self) -> Result<Option<(usize, Timestamp)>, StoreError> {
        let sql = "SELECT count(*), min(c.not_after) FROM binding b JOIN certificate c ON c.fingerprint = b.certificate
                       JOIN enrollment e ON e.id = b.enrollment
                   WHERE b.state = 'current' AND e.state = 'Active' AND c.revoked_at IS NULL";
        let (count, first): (i64, Option<i64>) =
            self.conn.prepare_cached(sql)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(first.map(|first| (usize::try_from(count).unwrap_or(0), Timestamp(first))))
    }

    pub fn read_gauges(&self, now: Timestamp) -> Result<Gauges, StoreError> {
        let one = |sql: &str| -> Result<i64, StoreError> {
            Ok(self.conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
        };
        let day_ago = now.plus(-crate::base::time::DAY).0;
        let seen =
            "SELECT count(*) FROM enrollment WHERE channel = 'device' AND state = 'Active' AND last_seen_at >= ?1";
        let commands = "SELECT count(*) FILTER (WHERE state = 'Queued'), count(*) FILTER (WHERE state = 'Sent'),
                               count(*) FILTER (WHERE state = 'NotNow') FROM delivery WHERE finished_at IS NULL";
        let owed = "SELECT count(*), min(created_at) FROM outbox WHERE kind = 'push'";
        let (pushes_owed, oldest): (i64, Option<i64>) =
            self.conn.prepare_cached(owed)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Gauges {
            devices: self.count_enrollments()?,
            user_channels: one("SELECT count(*) FROM enrollment WHERE channel = 'user' AND state = 'Active'")?,
            seen_in_a_day: self.conn.prepare_cached(seen)?.query_row(params![day_ago], |row| row.get(0))?,
            commands: self
                .conn
                .prepare_cached(commands)?
                .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?,
            pushes_owed,
            oldest_push_owed: oldest.map(Timestamp),
            dead_tokens: one("SELECT count(*) FROM push WHERE dead_at IS NOT NULL")?,
            webhooks_waiting: one(
                "SELECT count(*) FROM webhook_delivery WHERE delivered_at IS NULL AND given_up_at IS NULL",
            )?,
            attention: one("SELECT count(*) FROM attention WHERE settled_at IS NULL")?,
            database_bytes: one("PRAGMA page_count")? * one("PRAGMA page_size")?,
        })
    }
}
