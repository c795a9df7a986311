//! What a person sees at a glance: counts over the whole school, and devices found, filtered and sorted a page at a time.
//! Asked by `service::overview`; every list here has a limit.

use super::devices::{COLUMNS, row_to_device};
use super::{Db, DeviceRow, StoreError};
use crate::base::time::Timestamp;
use rusqlite::{Row, params};

/// How a list of devices is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceOrder {
    Name,
    Serial,
    Seen,
    Arrival,
}

/// Which devices are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceState {
    Enrolled,
    /// The enrolment was begun and not finished.
    Started,
    /// Left, or never enrolled.
    Gone,
    Lost,
    Waiting,
    /// Apple does not deliver to it.
    Unreachable,
    /// Enrolled, and not heard of since `quiet_before`.
    Quiet,
}

impl DeviceState {
    /// The condition on `d`, `e` (its own channel) and `p` (how pushing stands); `?6` is `quiet_before`.
    fn condition(self) -> &'static str {
        match self {
            DeviceState::Enrolled => "e.state = 'Active'",
            DeviceState::Started => "e.state = 'Started'",
            DeviceState::Gone => "(e.state IS NULL OR e.state = 'Gone')",
            DeviceState::Lost => "d.lost <> 'no'",
            DeviceState::Waiting => {
                "EXISTS (SELECT 1 FROM delivery w WHERE w.enrollment = e.id AND w.finished_at IS NULL)"
            }
            DeviceState::Unreachable => "p.dead_at IS NOT NULL",
            DeviceState::Quiet => "e.state = 'Active' AND COALESCE(e.last_seen_at, 0) < ?6",
        }
    }
}

/// A page of devices is asked for with this.
#[derive(Debug, Clone)]
pub struct DeviceFilter<'a> {
    /// Part of name, serial or model, or the beginning of an id or of a user's name.
    pub search: Option<&'a str>,
    pub state: Option<DeviceState>,
    pub platform: Option<&'a str>,
    pub os_version: Option<&'a str>,
    /// Row ids; `None` for all.
    pub only: Option<&'a [i64]>,
    pub order: DeviceOrder,
    pub descending: bool,
    /// The key and row id of the last device of the page before.
    pub after: Option<(&'a str, i64)>,
    pub quiet_before: Timestamp,
    pub limit: usize,
}

/// One line of a list of devices.
#[derive(Debug, Clone)]
pub struct DeviceLine {
    pub device: DeviceRow,
    /// Of its own channel.
    pub enrollment: Option<i64>,
    pub state: Option<String>,
    pub blocked: bool,
    pub last_seen_at: Option<Timestamp>,
    pub waiting: i64,
    pub push_dead: Option<String>,
    /// What it is ordered by, to go on from.
    pub key: String,
}

/// Counts over devices.
#[derive(Debug, Clone, Default)]
pub struct DeviceCounts {
    pub all: i64,
    pub enrolled: i64,
    pub started: i64,
    pub seen_day: i64,
    pub seen_week: i64,
    pub lost: i64,
    /// Of the enrolled ones, those that Apple does not deliver to.
    pub unreachable: i64,
}

/// Counts over unfinished commands, and those that failed lately.
#[derive(Debug, Clone, Default)]
pub struct WorkCounts {
    pub waiting: i64,
    pub not_now: i64,
    pub oldest_at: Option<Timestamp>,
    pub failed: i64,
    pub done: i64,
    /// Unfinished ones by age: under an hour, a day, a week, a month, and older.
    pub ages: [i64; 5],
}

/// The device's own channel: the newest, an active one before all others.
const OWN: &str =
    "LEFT JOIN enrollment e ON e.id = (SELECT o.id FROM enrollment o WHERE o.device = d.id AND o.channel = 'device'
                       ORDER BY o.state = 'Active' DESC, o.id DESC LIMIT 1)
                   LEFT JOIN push p ON p.enrollment = e.id";

impl Db<'_> {
    /// One page of devices.
    pub fn list_device_lines(&self, filter: &DeviceFilter<'_>) -> Result<Vec<DeviceLine>, StoreError> {
        let key = match filter.order {
            DeviceOrder::Name => "lower(COALESCE(d.name, d.model_name, ''))",
            DeviceOrder::Serial => "COALESCE(d.serial, '')",
            DeviceOrder::Seen => "printf('%015d', COALESCE(e.last_seen_at, 0))",
            DeviceOrder::Arrival => "printf('%015d', d.created_at)",
        };
        let (compare, direction) = if filter.descending { ("<", "DESC") } else { (">", "ASC") };
        let state = filter.state.map_or("1", DeviceState::condition);
        let sql = format!(
            "SELECT {COLUMNS}, e.id, e.state, e.blocked_at IS NOT NULL, e.last_seen_at, p.dead_why, {key},
                    (SELECT count(*) FROM delivery w WHERE w.enrollment = e.id AND w.finished_at IS NULL)
             FROM device d {OWN}
             WHERE (?1 IS NULL OR d.serial LIKE ?1 OR d.name LIKE ?1 OR d.model_name LIKE ?1 OR d.public_id = ?9
                    OR EXISTS (SELECT 1 FROM enrollment u WHERE u.device = d.id AND (u.enrollment_id LIKE ?2
                        OR u.user_short_name LIKE ?2 OR u.user_long_name LIKE ?2)))
               AND (?3 IS NULL OR d.platform = ?3) AND (?4 IS NULL OR d.os_version = ?4)
               AND (?5 IS NULL OR d.id IN (SELECT value FROM json_each(?5)))
               AND (?6 IS NOT NULL AND {state})
               AND (?7 IS NULL OR ({key}, d.id) {compare} (?7, ?8))
             ORDER BY {key} {direction}, d.id {direction} LIMIT ?10"
        );
        let plain = filter.search.map(|s| s.replace(['%', '_'], ""));
        let (part, beginning) = (plain.as_ref().map(|s| format!("%{s}%")), plain.as_ref().map(|s| format!("{s}%")));
        let only = filter.only.map(|ids| serde_json::json!(ids).to_string());
        let after = filter.after.unzip();
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map(
            params![
                part,
                beginning,
                filter.platform,
                filter.os_version,
                only,
                filter.quiet_before.0,
                after.0,
                after.1,
                plain,
                i64::try_from(filter.limit).unwrap_or(i64::MAX)
            ],
            row_to_line,
        )?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Counts over devices; `only` leaves those row ids.
    pub fn count_devices(
        &self,
        only: Option<&[i64]>,
        day: Timestamp,
        week: Timestamp,
    ) -> Result<DeviceCounts, StoreError> {
        let sql = format!(
            "SELECT count(*), COALESCE(sum(e.state = 'Active'), 0), COALESCE(sum(e.state = 'Started'), 0),
                    COALESCE(sum(e.state = 'Active' AND e.last_seen_at >= ?2), 0), COALESCE(sum(e.state = 'Active' AND e.last_seen_at >= ?3), 0),
                    COALESCE(sum(d.lost <> 'no'), 0), COALESCE(sum(e.state = 'Active' AND p.dead_at IS NOT NULL), 0)
             FROM device d {OWN} WHERE ?1 IS NULL OR d.id IN (SELECT value FROM json_each(?1))"
        );
        let only = only.map(|ids| serde_json::json!(ids).to_string());
        Ok(self.conn.prepare_cached(&sql)?.query_row(params![only, day.0, week.0], |row| {
            Ok(DeviceCounts {
                all: row.get(0)?,
                enrolled: row.get(1)?,
                started: row.get(2)?,
                seen_day: row.get(3)?,
                seen_week: row.get(4)?,
                lost: row.get(5)?,
                unreachable: row.get(6)?,
            })
        })?)
    }

    /// Counts over commands: unfinished ones by age at `now`, finished ones since `since`.
    pub fn count_work(&self, only: Option<&[i64]>, now: Timestamp, since: Timestamp) -> Result<WorkCounts, StoreError> {
        let only = only.map(|ids| serde_json::json!(ids).to_string());
        let own = "(?1 IS NULL OR w.enrollment IN (SELECT e.id FROM enrollment e JOIN json_each(?1) j ON e.device = j.value))";
        let sql = format!(
            "SELECT count(*), COALESCE(sum(w.state = 'NotNow'), 0), min(c.created_at),
                    COALESCE(sum(c.created_at > ?2 - 3600000), 0), COALESCE(sum(c.created_at > ?2 - 86400000), 0),
                    COALESCE(sum(c.created_at > ?2 - 604800000), 0), COALESCE(sum(c.created_at > ?2 - 2592000000), 0)
             FROM delivery w INDEXED BY delivery_waiting JOIN command c ON c.uuid = w.command WHERE w.finished_at IS NULL AND {own}"
        );
        let mut counts = self.conn.prepare_cached(&sql)?.query_row(params![only, now.0], |row| {
            let (all, hour, day, week, month): (i64, i64, i64, i64, i64) =
                (row.get(0)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?);
            Ok(WorkCounts {
                waiting: all,
                not_now: row.get(1)?,
                oldest_at: row.get::<_, Option<i64>>(2)?.map(Timestamp),
                ages: [hour, day - hour, week - day, month - week, all - month],
                ..WorkCounts::default()
            })
        })?;
        let sql = format!(
            "SELECT COALESCE(sum(w.state IN ('Error', 'CommandFormatError')), 0), COALESCE(sum(w.state = 'Acknowledged'), 0)
             FROM (SELECT enrollment, state, finished_at FROM delivery ORDER BY seq DESC LIMIT 20000) w WHERE w.finished_at >= ?2 AND {own}"
        );
        (counts.failed, counts.done) = self
            .conn
            .prepare_cached(&sql)?
            .query_row(params![only, since.0], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
        Ok(counts)
    }

    /// Platform, OS version and how many enrolled devices have it, the commonest first.
    pub fn count_os_versions(
        &self,
        only: Option<&[i64]>,
        limit: usize,
    ) -> Result<Vec<(String, String, i64)>, StoreError> {
        let sql = "SELECT d.platform, d.os_version, count(*) AS n FROM device d
                   WHERE d.os_version IS NOT NULL AND (?1 IS NULL OR d.id IN (SELECT value FROM json_each(?1)))
                     AND EXISTS (SELECT 1 FROM enrollment e WHERE e.device = d.id AND e.state = 'Active')
                   GROUP BY d.platform, d.os_version ORDER BY n DESC, d.platform, d.os_version LIMIT ?2";
        let only = only.map(|ids| serde_json::json!(ids).to_string());
        let mut statement = self.conn.prepare_cached(sql)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![only, limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many devices were seen last within each of so many days before `now`: today first. A device counts on the day it was last seen,
    /// and on those of which its story keeps a line.
    pub fn count_seen_by_day(&self, only: Option<&[i64]>, now: Timestamp, days: usize) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT (?2 - seen.at) / 86400000 AS day, count(DISTINCT seen.device) FROM (
                       SELECT device, last_seen_at AS at FROM enrollment WHERE last_seen_at > ?2 - ?3 * 86400000
                       UNION ALL
                       SELECT device, at FROM (SELECT device, at, kind FROM timeline ORDER BY id DESC LIMIT 50000)
                       WHERE at > ?2 - ?3 * 86400000 AND kind IN ('sent', 'Acknowledged', 'Error', 'NotNow', 'Authenticate', 'TokenUpdate')) seen
                   WHERE ?1 IS NULL OR seen.device IN (SELECT value FROM json_each(?1)) GROUP BY day";
        let only = only.map(|ids| serde_json::json!(ids).to_string());
        let mut statement = self.conn.prepare_cached(sql)?;
        let span = i64::try_from(days).unwrap_or(i64::MAX);
        let rows = statement
            .query_map(params![only, now.0, span], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
        let mut counts = vec![0; days];
        for row in rows {
            let (day, n) = row?;
            if let Some(slot) = usize::try_from(day.max(0)).ok().and_then(|day| counts.get_mut(day)) {
                *slot += n;
            }
        }
        Ok(counts)
    }
}

fn row_to_line(row: &Row<'_>) -> rusqlite::Result<DeviceLine> {
    let first = 16;
    Ok(DeviceLine {
        device: row_to_device(row)?,
        enrollment: row.get(first)?,
        state: row.get(first + 1)?,
        blocked: row.get(first + 2)?,
        last_seen_at: row.get::<_, Option<i64>>(first + 3)?.map(Timestamp),
        push_dead: row.get(first + 4)?,
        key: row.get(first + 5)?,
        waiting: row.get(first + 6)?,
    })
}
