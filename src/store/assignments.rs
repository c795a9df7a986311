//! To whom profiles are assigned, and the question which assignments concern one channel. `service::library` and
//! `service::reconciling` decide.

use super::library::{PROFILE, read_profile};
use super::{Db, Fields, ProfileRow, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

/// What of a group is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupPart {
    /// Its people, wherever they log in.
    People,
    /// The device channels of its devices.
    Devices,
    /// Everybody who logs in on its devices.
    EveryoneOn,
}

impl GroupPart {
    pub const ALL: [GroupPart; 3] = [GroupPart::People, GroupPart::Devices, GroupPart::EveryoneOn];

    pub fn as_str(self) -> &'static str {
        match self {
            GroupPart::People => "people",
            GroupPart::Devices => "devices",
            GroupPart::EveryoneOn => "everyone-on",
        }
    }
}

/// Whom an assignment means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The device channel of a device (row id).
    Device(i64),
    /// Every user channel of a device.
    EveryoneOn(i64),
    /// Somebody of whom no more is known than a UserID or short name.
    User(String),
    /// A person of the school (row id), wherever they log in.
    Person(i64),
    /// A group (row id).
    Group(i64, GroupPart),
}

impl Target {
    pub fn kind(&self) -> &'static str {
        match self {
            Target::Device(_) => "device",
            Target::EveryoneOn(_) => "everyone-on",
            Target::User(_) => "user",
            Target::Person(_) => "person",
            Target::Group(_, GroupPart::People) => "group-people",
            Target::Group(_, GroupPart::Devices) => "group-devices",
            Target::Group(_, GroupPart::EveryoneOn) => "group-everyone-on",
        }
    }

    /// Device, subject, person, group.
    fn columns(&self) -> (Option<i64>, Option<&str>, Option<i64>, Option<i64>) {
        match self {
            Target::Device(device) | Target::EveryoneOn(device) => (Some(*device), None, None, None),
            Target::User(subject) => (None, Some(subject), None, None),
            Target::Person(person) => (None, None, Some(*person), None),
            Target::Group(group, _) => (None, None, None, Some(*group)),
        }
    }
}

#[derive(Debug, Clone)]
pub struct AssignmentRow {
    pub id: i64,
    pub profile: i64,
    pub target: Target,
    /// The pair that it is a part of.
    pub pair: Option<i64>,
    /// Only while this schedule (row id) is open.
    pub schedule: Option<i64>,
    pub created_by: String,
    pub created_at: Timestamp,
}

/// Who a channel is, for the question which profiles it should have.
#[derive(Debug, Clone, Default)]
pub struct ChannelNames {
    pub device: i64,
    pub is_user: bool,
    /// UserID and short name.
    pub names: Vec<String>,
    /// Row ids of the persons who speak there, proven or by their short name.
    pub persons: Vec<i64>,
    /// Row ids of the groups of those who are proven.
    pub person_groups: Vec<i64>,
    /// Row ids of the groups that the device is in.
    pub device_groups: Vec<i64>,
}

/// A profile that a channel should have.
#[derive(Debug, Clone)]
pub struct WantedRow {
    pub profile: ProfileRow,
    /// Names of the variables of its current version.
    pub variables: Vec<String>,
    /// Row ids of the pairs that it is wanted for, as their restriction or both in one.
    pub pairs: Vec<i64>,
}

const ASSIGNMENT: &str = "a.id, a.profile, a.target, a.device, a.subject, a.person, a.\"group\", a.pair, a.schedule, a.created_by, a.created_at";
/// The assignments that concern one channel: device, whether a user speaks, names, persons, their groups, the device's groups.
const CONCERNS: &str = "SELECT id FROM assignment WHERE device = ?1 AND target = iif(?2, 'everyone-on', 'device')
    UNION ALL SELECT id FROM assignment WHERE ?2 AND target = 'user' AND subject IN (SELECT value FROM json_each(?3))
    UNION ALL SELECT id FROM assignment WHERE ?2 AND person IN (SELECT value FROM json_each(?4))
    UNION ALL SELECT id FROM assignment WHERE ?2 AND target = 'group-people' AND \"group\" IN (SELECT value FROM json_each(?5))
    UNION ALL SELECT id FROM assignment WHERE target = iif(?2, 'group-everyone-on', 'group-devices')
        AND \"group\" IN (SELECT value FROM json_each(?6))";
/// A schedule that is open at ?7. A clock that was set back closes and opens nothing: the highest time that was seen counts.
const OPEN: &str = "EXISTS (SELECT 1 FROM schedule_span t,
        (SELECT max(?7, coalesce((SELECT CAST(value AS INTEGER) FROM setting WHERE name = 'highest_time'), 0)) AS now) c
    WHERE t.schedule = a.schedule AND t.opens_at <= c.now AND t.closes_at > c.now)";

fn row_to_assignment(row: &Row<'_>) -> Result<AssignmentRow, StoreError> {
    let kind: String = row.get("target")?;
    let (device, subject): (Option<i64>, Option<String>) = (row.get("device")?, row.get("subject")?);
    let (person, group): (Option<i64>, Option<i64>) = (row.get("person")?, row.get("group")?);
    let target = match (kind.as_str(), device, subject, person, group) {
        ("device", Some(device), ..) => Target::Device(device),
        ("everyone-on", Some(device), ..) => Target::EveryoneOn(device),
        ("user", _, Some(subject), ..) => Target::User(subject),
        ("person", _, _, Some(person), _) => Target::Person(person),
        ("group-people", .., Some(group)) => Target::Group(group, GroupPart::People),
        ("group-devices", .., Some(group)) => Target::Group(group, GroupPart::Devices),
        ("group-everyone-on", .., Some(group)) => Target::Group(group, GroupPart::EveryoneOn),
        _ => return Err(StoreError::Corrupt("the target of an assignment")),
    };
    Ok(AssignmentRow {
        id: row.get("id")?,
        profile: row.get("profile")?,
        target,
        pair: row.get("pair")?,
        schedule: row.get("schedule")?,
        created_by: row.get("created_by")?,
        created_at: Timestamp(row.get("created_at")?),
    })
}

/// [`PROFILE`], then the names of its variables and the pairs that it is wanted by.
fn row_to_wanted(row: &Row<'_>) -> rusqlite::Result<WantedRow> {
    let mut fields = Fields::of(row);
    let profile = read_profile(&mut fields)?;
    let names = fields.next_str()?;
    let variables = if names == "[]" { Vec::new() } else { serde_json::from_str(names).unwrap_or_default() };
    let pairs: Option<String> = fields.next()?;
    let pairs = pairs.iter().flat_map(|list| list.split(',')).filter_map(|id| id.parse().ok()).collect();
    Ok(WantedRow { profile, variables, pairs })
}

impl Db<'_> {
    pub fn list_assignments(&self, profile: i64) -> Result<Vec<AssignmentRow>, StoreError> {
        let sql = format!("SELECT {ASSIGNMENT} FROM assignment a WHERE a.profile = ?1 ORDER BY a.id");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let mut rows = statement.query([profile])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(row_to_assignment(row)?);
        }
        Ok(found)
    }

    /// Every profile that this channel should have by what is assigned, as far as schedules are open at `now`.
    pub fn list_wanted_profiles(&self, channel: &ChannelNames, now: Timestamp) -> Result<Vec<WantedRow>, StoreError> {
        let sql = format!(
            "SELECT {PROFILE}, v.variables, group_concat(DISTINCT a.pair) AS pairs FROM assignment a JOIN profile p ON p.id = a.profile
             JOIN profile_version v ON v.profile = p.id AND v.version = p.version
             WHERE p.removed_at IS NULL AND a.id IN ({CONCERNS}) AND (a.schedule IS NULL OR {OPEN}) GROUP BY p.id ORDER BY p.id"
        );
        let json = |ids: &[i64]| serde_json::Value::from(ids).to_string();
        let names = serde_json::Value::from(channel.names.as_slice()).to_string();
        let mut statement = self.conn.prepare_cached(&sql)?;
        let (persons, groups) = (json(&channel.persons), json(&channel.person_groups));
        let device_groups = json(&channel.device_groups);
        let values = params![channel.device, channel.is_user, names, persons, groups, device_groups, now.0];
        let rows = statement.query_map(values, row_to_wanted)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A profile in use as it would be wanted, whoever wants it.
    pub fn find_wanted_profile(&self, profile: i64) -> Result<Option<WantedRow>, StoreError> {
        let sql = format!(
            "SELECT {PROFILE}, v.variables, NULL AS pairs FROM profile p
             JOIN profile_version v ON v.profile = p.id AND v.version = p.version WHERE p.id = ?1 AND p.removed_at IS NULL"
        );
        Ok(self.conn.prepare_cached(&sql)?.query_row([profile], row_to_wanted).optional()?)
    }

    /// To whom a pair is assigned.
    pub fn list_assignments_of_pair(&self, pair: i64) -> Result<Vec<AssignmentRow>, StoreError> {
        let sql = format!("SELECT {ASSIGNMENT} FROM assignment a WHERE a.pair = ?1 ORDER BY a.id");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let mut rows = statement.query([pair])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(row_to_assignment(row)?);
        }
        Ok(found)
    }

    /// The assignments of one profile that concern this channel, oldest first.
    pub fn list_reasons(&self, channel: &ChannelNames, profile: i64) -> Result<Vec<AssignmentRow>, StoreError> {
        let sql = format!(
            "SELECT {ASSIGNMENT} FROM assignment a WHERE a.profile = ?7 AND a.id IN ({CONCERNS}) ORDER BY a.id"
        );
        let json = |ids: &[i64]| serde_json::Value::from(ids).to_string();
        let names = serde_json::Value::from(channel.names.as_slice()).to_string();
        let mut statement = self.conn.prepare_cached(&sql)?;
        let (persons, groups) = (json(&channel.persons), json(&channel.person_groups));
        let device_groups = json(&channel.device_groups);
        let mut rows = statement.query(params![
            channel.device,
            channel.is_user,
            names,
            persons,
            groups,
            device_groups,
            profile
        ])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(row_to_assignment(row)?);
        }
        Ok(found)
    }

    /// Row ids of the groups that list a device; smart groups come apart.
    pub fn list_groups_of_device(&self, device: i64) -> Result<Vec<i64>, StoreError> {
        self.ids("SELECT m.\"group\" FROM group_device m WHERE m.device = ?1 ORDER BY m.\"group\"", params![device])
    }

    /// Smart groups on which something hangs, an assignment or a set-up plan, with their filters.
    pub fn list_smart_groups_in_use(&self) -> Result<Vec<(i64, String)>, StoreError> {
        let sql = "SELECT id, filter FROM school_group WHERE kind = 'smart' AND (
                       EXISTS (SELECT 1 FROM assignment a WHERE a.\"group\" = school_group.id)
                       OR EXISTS (SELECT 1 FROM provisioning_assignment v WHERE v.\"group\" = school_group.id)
                       OR EXISTS (SELECT 1 FROM setup_plan s WHERE s.\"group\" = school_group.id)) ORDER BY id";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Whether a profile is assigned to this group in any way.
    pub fn has_assignments(&self, group: i64) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM assignment WHERE \"group\" = ?1)
                       OR EXISTS (SELECT 1 FROM provisioning_assignment WHERE \"group\" = ?1)";
        Ok(self.conn.prepare_cached(sql)?.query_row([group], |row| row.get(0))?)
    }

    /// The persons proven to be behind a user channel: whom a login proved, whose record it is, or whose account.
    pub fn list_persons_of_channel(
        &self,
        enrollment_id: &str,
        user_id: Option<&str>,
        account: Option<&str>,
    ) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT person FROM user_standing WHERE channel = ?1 AND person IS NOT NULL
                   UNION SELECT person FROM person_guid WHERE guid = upper(?2)
                   UNION SELECT id FROM person WHERE short_name = ?3 OR mail = ?3 COLLATE NOCASE";
        self.ids(sql, params![enrollment_id, user_id, account])
    }

    /// Row ids of these persons' groups.
    pub fn list_groups_of_persons(&self, persons: &[i64]) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT DISTINCT m.\"group\" FROM group_person m WHERE m.person IN (SELECT value FROM json_each(?1)) ORDER BY 1";
        self.ids(sql, params![serde_json::Value::from(persons).to_string()])
    }

    /// Active channels of these devices, users' too.
    pub fn list_channels_of_devices(&self, devices: &[i64]) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT e.id FROM json_each(?1) d JOIN enrollment e ON e.device = d.value WHERE e.state = 'Active' ORDER BY e.id";
        self.ids(sql, params![serde_json::Value::from(devices).to_string()])
    }

    /// Active user channels where one of these persons speaks, or somebody of the same short name.
    pub fn list_channels_of_persons(&self, persons: &[i64]) -> Result<Vec<i64>, StoreError> {
        let sql = "WITH who AS (SELECT p.id, p.short_name, p.mail FROM json_each(?1) j JOIN person p ON p.id = j.value)
                   SELECT e.id FROM enrollment e WHERE e.state = 'Active' AND e.channel = 'user' AND (
                       e.enrollment_id IN (SELECT s.channel FROM user_standing s WHERE s.person IN (SELECT id FROM who))
                       OR upper(e.user_id) IN (SELECT g.guid FROM person_guid g WHERE g.person IN (SELECT id FROM who))
                       OR e.user_short_name COLLATE NOCASE IN (SELECT short_name FROM who UNION ALL SELECT mail FROM who WHERE mail IS NOT NULL))
                   ORDER BY e.id";
        self.ids(sql, params![serde_json::Value::from(persons).to_string()])
    }

    /// Active user channels with this UserID or short name.
    pub fn list_channels_called(&self, name: &str) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT id FROM enrollment WHERE state = 'Active' AND channel = 'user'
                       AND (user_id = ?1 COLLATE NOCASE OR user_short_name = ?1 COLLATE NOCASE) ORDER BY id";
        self.ids(sql, params![name])
    }

    fn ids(&self, sql: &str, values: &[&dyn rusqlite::ToSql]) -> Result<Vec<i64>, StoreError> {
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(values, |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Tx<'_> {
    /// Assigned always; `false` when it is assigned so already, always or by a schedule.
    pub fn insert_assignment(
        &self,
        profile: i64,
        target: &Target,
        created_by: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.insert(profile, target, (None, None), created_by, now)
    }

    /// Assigned so already, it follows this schedule from now on, or none; `false` when nothing changes.
    pub fn put_assignment(
        &self,
        profile: i64,
        target: &Target,
        pair: Option<i64>,
        schedule: Option<i64>,
        created_by: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (device, subject, person, group) = target.columns();
        let sql =
            "UPDATE assignment SET schedule = ?7 WHERE profile = ?1 AND target = ?2 AND device IS ?3 AND subject IS ?4
                       AND person IS ?5 AND \"group\" IS ?6 AND pair IS ?8 AND schedule IS NOT ?7";
        let there = params![profile, target.kind(), device, subject, person, group, schedule, pair];
        let moved = self.conn.prepare_cached(sql)?.execute(there)?;
        Ok(moved > 0 || self.insert(profile, target, (pair, schedule), created_by, now)?)
    }

    /// `by`: pair and schedule.
    fn insert(
        &self,
        profile: i64,
        target: &Target,
        by: (Option<i64>, Option<i64>),
        created_by: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (device, subject, person, group) = target.columns();
        let sql = "INSERT INTO assignment (profile, target, device, subject, person, \"group\", pair, schedule, created_by, created_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING";
        let values = params![profile, target.kind(), device, subject, person, group, by.0, by.1, created_by, now.0];
        Ok(self.conn.prepare_cached(sql)?.execute(values)? == 1)
    }

    /// What was assigned to somebody by these names alone ends, when that person is erased.
    pub fn delete_assignments_called(&self, names: &[String]) -> Result<(), StoreError> {
        let sql = "DELETE FROM assignment WHERE target = 'user' AND subject IN (SELECT value COLLATE NOCASE FROM json_each(?1))";
        self.conn.prepare_cached(sql)?.execute([serde_json::Value::from(names).to_string()])?;
        Ok(())
    }

    /// `false` when it was not assigned so.
    pub fn delete_assignment(&self, profile: i64, target: &Target, pair: Option<i64>) -> Result<bool, StoreError> {
        let (device, subject, person, group) = target.columns();
        let sql = "DELETE FROM assignment WHERE profile = ?1 AND target = ?2 AND device IS ?3 AND subject IS ?4
                       AND person IS ?5 AND \"group\" IS ?6 AND pair IS ?7";
        let values = params![profile, target.kind(), device, subject, person, group, pair];
        Ok(self.conn.prepare_cached(sql)?.execute(values)? > 0)
    }
}
