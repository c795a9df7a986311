//! Enrollments: one management relationship on one channel, with its state and its push target.

use super::{Db, Fields, StoreError, Tx};
use crate::base::push::{PushMagic, PushTarget, PushToken, Topic};
use crate::base::time::Timestamp;
use crate::protocol::lifecycle::State;
use rusqlite::{OptionalExtension, Row, params};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelKind {
    Device,
    User,
}

/// Devices by state; with every scrape of the metrics, so from the index alone.
const COUNTS: &str = "SELECT count(*) FILTER (WHERE state = 'Started'), count(*) FILTER (WHERE state = 'Active'),
        count(*) FILTER (WHERE state = 'Gone')
    FROM enrollment WHERE channel = 'device' AND device NOT IN (SELECT id FROM device WHERE synthetic = 1)";

impl ChannelKind {
    pub fn as_str(self) -> &'static str {
        match self {
            ChannelKind::Device => "device",
            ChannelKind::User => "user",
        }
    }
}

#[derive(Debug, Clone)]
pub struct EnrollmentRow {
    pub id: i64,
    pub device: i64,
    pub parent: Option<i64>,
    pub enrollment_id: String,
    pub channel: ChannelKind,
    pub user_id: Option<String>,
    pub user_short_name: Option<String>,
    pub user_long_name: Option<String>,
    pub state: State,
    pub generation: i64,
    pub target: Option<PushTarget>,
    pub token_updates: i64,
    pub awaiting_configuration: bool,
    /// The user's session is not the one on the screen.
    pub not_on_console: bool,
    pub blocked_at: Option<Timestamp>,
    pub dismissed_at: Option<Timestamp>,
    /// A person decided that it may come back out of Gone.
    pub welcome_back: bool,
    pub issued_profile: Option<i64>,
    pub token_updated_at: Option<Timestamp>,
    pub last_seen_at: Option<Timestamp>,
}

/// What is known when an enrollment first appears.
#[derive(Debug, Clone)]
pub struct NewEnrollment<'a> {
    pub device: i64,
    pub parent: Option<i64>,
    pub enrollment_id: &'a str,
    pub udid: Option<&'a str>,
    pub user_enrollment_id: Option<&'a str>,
    pub user_id: Option<&'a str>,
    pub user_short_name: Option<&'a str>,
    pub user_long_name: Option<&'a str>,
}

/// In the order in which [`row_to_enrollment`] reads them.
macro_rules! columns {
    () => {
        "id, device, parent, enrollment_id, channel, user_id, user_short_name, user_long_name, state, generation, topic, push_token,
         push_magic, token_updates, awaiting_configuration, not_on_console, blocked_at, dismissed_at, welcome_back, issued_profile,
          token_updated_at, last_seen_at"
    };
}

fn row_to_enrollment(row: &Row<'_>) -> rusqlite::Result<EnrollmentRow> {
    let mut fields = Fields::of(row);
    Ok(EnrollmentRow {
        id: fields.next()?,
        device: fields.next()?,
        parent: fields.next()?,
        enrollment_id: fields.next()?,
        channel: if fields.next_str()? == "user" { ChannelKind::User } else { ChannelKind::Device },
        user_id: fields.next()?,
        user_short_name: fields.next()?,
        user_long_name: fields.next()?,
        // The CHECK of the table allows only the three words; the one that is never pushed stands in for the impossible.
        state: fields.next_str()?.parse().unwrap_or(State::Gone),
        generation: fields.next()?,
        target: built(fields.next()?, fields.next()?, fields.next()?),
        token_updates: fields.next()?,
        awaiting_configuration: fields.next()?,
        not_on_console: fields.next()?,
        blocked_at: fields.next_at()?,
        dismissed_at: fields.next_at()?,
        welcome_back: fields.next()?,
        issued_profile: fields.next()?,
        token_updated_at: fields.next_at()?,
        last_seen_at: fields.next_at()?,
    })
}

/// Topic, token and magic together or nothing, as the table's CHECK has it.
pub(super) fn target(row: &Row<'_>) -> rusqlite::Result<Option<PushTarget>> {
    let topic: Option<String> = row.get("topic")?;
    let token: Option<Vec<u8>> = row.get("push_token")?;
    let magic: Option<String> = row.get("push_magic")?;
    Ok(built(topic, token, magic))
}

fn built(topic: Option<String>, token: Option<Vec<u8>>, magic: Option<String>) -> Option<PushTarget> {
    let (topic, token, magic) = (Topic::new(&topic?), PushToken::new(token?), PushMagic::new(&magic?));
    Some(PushTarget { topic: topic.ok()?, token: token.ok()?, magic: magic.ok()? })
}

impl Db<'_> {
    pub fn find_enrollment(&self, enrollment_id: &str) -> Result<Option<EnrollmentRow>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM enrollment WHERE enrollment_id = ?1");
        Ok(self.conn.prepare_cached(sql)?.query_row([enrollment_id], row_to_enrollment).optional()?)
    }

    pub fn find_enrollment_by_row(&self, id: i64) -> Result<Option<EnrollmentRow>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM enrollment WHERE id = ?1");
        Ok(self.conn.prepare_cached(sql)?.query_row([id], row_to_enrollment).optional()?)
    }

    /// The device channel first, then its users' channels.
    pub fn list_enrollments(&self, device: i64) -> Result<Vec<EnrollmentRow>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM enrollment WHERE device = ?1 ORDER BY channel, id");
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([device], row_to_enrollment)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Whether this command was sent to end this enrolment.
    pub fn is_dismissed_by(&self, id: i64, command: &str) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM enrollment WHERE id = ?1 AND dismissed_by = ?2)";
        Ok(self.conn.prepare_cached(sql)?.query_row(params![id, command], |row| row.get(0))?)
    }

    /// How many device channels are in each state: (Started, Active, Gone).
    pub fn count_enrollments(&self) -> Result<(i64, i64, i64), StoreError> {
        Ok(self.conn.query_row(COUNTS, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?)
    }

    /// Whether a device ever came: what a start asks, and it reads one row where the counts read all.
    pub fn has_enrollments(&self) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM enrollment WHERE channel = 'device'
                                  AND device NOT IN (SELECT id FROM device WHERE synthetic = 1))";
        Ok(self.conn.query_row(sql, [], |row| row.get(0))?)
    }
}

impl Db<'_> {
    /// Every ServerURL that a device holds which is enrolled, or about to be, and how many hold it.
    pub fn list_held_addresses(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let sql = "SELECT p.server_url, sum(e.devices)
                   FROM (SELECT issued_profile, count(*) AS devices FROM enrollment INDEXED BY enrollment_holding
                         WHERE channel = 'device' AND state <> 'Gone' GROUP BY issued_profile) e
                   JOIN issued_profile p ON p.id = e.issued_profile GROUP BY p.server_url ORDER BY 1";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Tx<'_> {
    pub fn insert_enrollment(&self, new: &NewEnrollment<'_>, now: Timestamp) -> Result<i64, StoreError> {
        let sql = "INSERT INTO enrollment (device, parent, enrollment_id, channel, udid, user_enrollment_id, user_id, user_short_name,
                       user_long_name, state, generation, created_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'Started', 0, ?10)";
        let channel = if new.parent.is_some() { ChannelKind::User } else { ChannelKind::Device };
        self.conn.prepare_cached(sql)?.execute(params![
            new.device,
            new.parent,
            new.enrollment_id,
            channel.as_str(),
            new.udid,
            new.user_enrollment_id,
            new.user_id,
            new.user_short_name,
            new.user_long_name,
            now.0
        ])?;
        Ok(self.conn.last_insert_rowid())
    }

    /// The same record now belongs to another physical device (its serial became known).
    pub fn move_enrollment(&self, id: i64, device: i64) -> Result<(), StoreError> {
        self.conn.execute("UPDATE enrollment SET device = ?2 WHERE id = ?1 OR parent = ?1", params![id, device])?;
        Ok(())
    }

    /// A new generation begins with Authenticate.
    pub fn start_generation(
        &self,
        id: i64,
        generation: i64,
        issued_profile: Option<i64>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE enrollment SET generation = ?2, issued_profile = coalesce(?3, issued_profile), authenticated_at = ?4 WHERE id = ?1";
        self.conn.prepare_cached(sql)?.execute(params![id, generation, issued_profile, now.0])?;
        Ok(())
    }

    /// Not to be pushed until TokenUpdate: on this channel and on its users', who must send theirs again too.
    pub fn mark_started(&self, id: i64) -> Result<(), StoreError> {
        let sql = "UPDATE enrollment SET state = 'Started', topic = NULL, push_token = NULL, push_magic = NULL, token_updates = 0, gone_at = NULL
                   WHERE id = ?1 OR parent = ?1";
        self.conn.prepare_cached(sql)?.execute([id])?;
        Ok(())
    }

    /// TokenUpdate: the channel is Active and can be pushed.
    pub fn activate(
        &self,
        id: i64,
        target: &PushTarget,
        awaiting: bool,
        not_on_console: bool,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE enrollment SET state = 'Active', topic = ?2, push_token = ?3, push_magic = ?4, token_updates = token_updates + 1,
                       awaiting_configuration = ?5, not_on_console = ?6, token_updated_at = ?7, gone_at = NULL WHERE id = ?1";
        let (topic, token, magic) = (target.topic.as_str(), target.token.as_bytes(), target.magic.as_str());
        self.conn.prepare_cached(sql)?.execute(params![id, topic, token, magic, awaiting, not_on_console, now.0])?;
        self.conn
            .prepare_cached("UPDATE push SET dead_at = NULL, dead_why = NULL, attempts = 0 WHERE enrollment = ?1")?
            .execute([id])?;
        Ok(())
    }

    /// Names of a user channel, as any of its requests may bring them.
    pub fn update_user_names(&self, id: i64, short: Option<&str>, long: Option<&str>) -> Result<(), StoreError> {
        let sql = "UPDATE enrollment SET user_short_name = coalesce(?2, user_short_name), user_long_name = coalesce(?3, user_long_name)
                   WHERE id = ?1";
        self.conn.prepare_cached(sql)?.execute(params![id, short, long])?;
        Ok(())
    }

    /// Whether the user's session is on the screen, as its last request said.
    pub fn put_not_on_console(&self, id: i64, not_on_console: bool) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("UPDATE enrollment SET not_on_console = ?2 WHERE id = ?1")?
            .execute(params![id, not_on_console])?;
        Ok(())
    }

    /// CheckOut or removal: Gone, with its users; pushes end.
    pub fn mark_gone(&self, id: i64, now: Timestamp) -> Result<(), StoreError> {
        let sql =
            "UPDATE enrollment SET state = 'Gone', topic = NULL, push_token = NULL, push_magic = NULL, gone_at = ?2
                   WHERE id = ?1 OR parent = ?1";
        self.conn.prepare_cached(sql)?.execute(params![id, now.0])?;
        let sql = "UPDATE push SET due_at = NULL WHERE enrollment IN (SELECT id FROM enrollment WHERE id = ?1 OR parent = ?1)";
        self.conn.prepare_cached(sql)?.execute([id])?;
        Ok(())
    }

    /// An administrator's word: it must leave, and stay away. `None` takes it back.
    pub fn put_blocked(&self, id: i64, at: Option<Timestamp>) -> Result<(), StoreError> {
        let sql = "UPDATE enrollment SET blocked_at = ?2 WHERE id = ?1";
        self.conn.prepare_cached(sql)?.execute(params![id, at.map(|t| t.0)])?;
        Ok(())
    }

    /// An administrator ended this enrolment, by this command if there is one. `None` when it begins again.
    pub fn put_dismissed(&self, id: i64, at: Option<Timestamp>, command: Option<&str>) -> Result<(), StoreError> {
        let sql = "UPDATE enrollment SET dismissed_at = ?2, dismissed_by = ?3 WHERE id = ?1";
        self.conn.prepare_cached(sql)?.execute(params![id, at.map(|t| t.0), command])?;
        Ok(())
    }

    pub fn put_welcome_back(&self, id: i64, welcome: bool) -> Result<(), StoreError> {
        let sql = "UPDATE enrollment SET welcome_back = ?2 WHERE id = ?1";
        self.conn.prepare_cached(sql)?.execute(params![id, welcome])?;
        Ok(())
    }

    /// The profile that this enrollment lives by is known: TokenUpdate came under a certificate that it brought.
    pub fn put_issued_profile(&self, id: i64, issued_profile: i64) -> Result<(), StoreError> {
        let sql = "UPDATE enrollment SET issued_profile = ?2 WHERE id = ?1";
        self.conn.prepare_cached(sql)?.execute(params![id, issued_profile])?;
        Ok(())
    }

    /// The gathered "last seen" of many channels, in one go.
    pub fn put_last_seen(&self, seen: &[(i64, Timestamp)]) -> Result<(), StoreError> {
        let mut statement = self.conn.prepare_cached("UPDATE enrollment SET last_seen_at = ?2 WHERE id = ?1")?;
        for (id, at) in seen {
            statement.execute(params![id, at.0])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;

    #[test]
    fn devices_are_counted_without_reading_their_rows() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let plan = store.read(|db| -> Result<Vec<String>, StoreError> {
            let mut statement = db.conn.prepare(&format!("EXPLAIN QUERY PLAN {COUNTS}"))?;
            let rows = statement.query_map([], |row| row.get("detail"))?;
            Ok(rows.collect::<Result<_, _>>()?)
        });
        let plan = plan.unwrap().join("; ");
        assert!(plan.contains("enrollment USING COVERING INDEX enrollment_states"), "{plan}");
    }
}
