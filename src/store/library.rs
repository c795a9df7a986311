//! The school's configuration profiles: their versions, who should have them, and what stands on each channel.

use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use crate::protocol::queue::DeliveryState;
use rusqlite::{OptionalExtension, Row, params};

#[derive(Debug, Clone)]
pub struct ProfileRow {
    pub id: i64,
    pub public_id: String,
    /// `PayloadIdentifier`.
    pub identifier: String,
    pub name: String,
    /// The current one.
    pub version: i64,
    pub created_by: String,
    pub created_at: Timestamp,
    pub removed_at: Option<Timestamp>,
}

/// One upload. `sealed_body` is sealed for the place `profile/<row>/<version>`.
#[derive(Debug, Clone)]
pub struct ProfileVersionRow {
    pub version: i64,
    pub sealed_body: Vec<u8>,
    pub body_hash: [u8; 32],
    pub bytes: i64,
    /// Fingerprint of our certificate that signed it; `None` when it came signed.
    pub signer: Option<[u8; 32]>,
    /// Types of its payloads, as a JSON array.
    pub payload_types: String,
    pub created_by: String,
    pub created_at: Timestamp,
}

/// Whom an assignment means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The device channel of a device (row id).
    Device(i64),
    /// Every user channel of a device.
    EveryoneOn(i64),
    /// A user by UserID or short name, on whatever device.
    User(String),
    /// Every member of a group of users.
    Group(String),
}

impl Target {
    pub fn kind(&self) -> &'static str {
        match self {
            Target::Device(_) => "device",
            Target::EveryoneOn(_) => "everyone-on",
            Target::User(_) => "user",
            Target::Group(_) => "group",
        }
    }

    fn columns(&self) -> (Option<i64>, Option<&str>) {
        match self {
            Target::Device(device) | Target::EveryoneOn(device) => (Some(*device), None),
            Target::User(subject) | Target::Group(subject) => (None, Some(subject)),
        }
    }
}

#[derive(Debug, Clone)]
pub struct AssignmentRow {
    pub id: i64,
    pub profile: i64,
    pub target: Target,
    pub created_by: String,
    pub created_at: Timestamp,
}

/// What management did with a profile on one channel.
#[derive(Debug, Clone)]
pub struct ChannelProfileRow {
    pub profile: i64,
    pub public_id: String,
    pub identifier: String,
    pub name: String,
    /// The version that the device acknowledged.
    pub installed: Option<i64>,
    /// The last command about it, whether it installs, which version, and how it stands; `None` when that is forgotten.
    pub command: String,
    pub installs: bool,
    pub version: i64,
    pub state: Option<DeliveryState>,
    pub failed_at: Option<Timestamp>,
}

/// Who a channel is, for the question which profiles it should have.
#[derive(Debug, Clone, Default)]
pub struct ChannelNames<'a> {
    pub device: i64,
    pub is_user: bool,
    /// UserID, short name, and other names of the same person.
    pub names: &'a [String],
    pub groups: &'a [String],
}

const PROFILE: &str = "p.id, p.public_id, p.identifier, p.name, p.version, p.created_by, p.created_at, p.removed_at";
const VERSION: &str = "version, sealed_body, body_hash, bytes, signer, payload_types, created_by, created_at";

fn row_to_profile(row: &Row<'_>) -> rusqlite::Result<ProfileRow> {
    Ok(ProfileRow {
        id: row.get("id")?,
        public_id: row.get("public_id")?,
        identifier: row.get("identifier")?,
        name: row.get("name")?,
        version: row.get("version")?,
        created_by: row.get("created_by")?,
        created_at: Timestamp(row.get("created_at")?),
        removed_at: row.get::<_, Option<i64>>("removed_at")?.map(Timestamp),
    })
}

fn row_to_version(row: &Row<'_>) -> rusqlite::Result<ProfileVersionRow> {
    Ok(ProfileVersionRow {
        version: row.get("version")?,
        sealed_body: row.get("sealed_body")?,
        body_hash: row.get("body_hash")?,
        bytes: row.get("bytes")?,
        signer: row.get("signer")?,
        payload_types: row.get("payload_types")?,
        created_by: row.get("created_by")?,
        created_at: Timestamp(row.get("created_at")?),
    })
}

fn row_to_assignment(row: &Row<'_>) -> Result<AssignmentRow, StoreError> {
    let (kind, device): (String, Option<i64>) = (row.get("target")?, row.get("device")?);
    let subject: Option<String> = row.get("subject")?;
    let target = match (kind.as_str(), device, subject) {
        ("device", Some(device), _) => Target::Device(device),
        ("everyone-on", Some(device), _) => Target::EveryoneOn(device),
        ("user", _, Some(subject)) => Target::User(subject),
        ("group", _, Some(subject)) => Target::Group(subject),
        _ => return Err(StoreError::Corrupt("the target of an assignment")),
    };
    Ok(AssignmentRow {
        id: row.get("id")?,
        profile: row.get("profile")?,
        target,
        created_by: row.get("created_by")?,
        created_at: Timestamp(row.get("created_at")?),
    })
}

impl Db<'_> {
    /// By Cordon's id or the PayloadIdentifier; removed ones too.
    pub fn find_profile(&self, text: &str) -> Result<Option<ProfileRow>, StoreError> {
        let sql = format!("SELECT {PROFILE} FROM profile p WHERE p.public_id = ?1 OR p.identifier = ?1 LIMIT 1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([text], row_to_profile).optional()?)
    }

    pub fn find_profile_by_row(&self, id: i64) -> Result<Option<ProfileRow>, StoreError> {
        let sql = format!("SELECT {PROFILE} FROM profile p WHERE p.id = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([id], row_to_profile).optional()?)
    }

    /// Those in use after `after` (a row id), oldest first.
    pub fn list_profiles(&self, after: i64, limit: usize) -> Result<Vec<ProfileRow>, StoreError> {
        let sql =
            format!("SELECT {PROFILE} FROM profile p WHERE p.id > ?1 AND p.removed_at IS NULL ORDER BY p.id LIMIT ?2");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map(params![after, limit as i64], row_to_profile)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub fn find_profile_version(&self, profile: i64, version: i64) -> Result<Option<ProfileVersionRow>, StoreError> {
        let sql = format!("SELECT {VERSION} FROM profile_version WHERE profile = ?1 AND version = ?2");
        Ok(self.conn.prepare_cached(&sql)?.query_row([profile, version], row_to_version).optional()?)
    }

    pub fn list_assignments(&self, profile: i64) -> Result<Vec<AssignmentRow>, StoreError> {
        let sql = "SELECT id, profile, target, device, subject, created_by, created_at FROM assignment WHERE profile = ?1 ORDER BY id";
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query([profile])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(row_to_assignment(row)?);
        }
        Ok(found)
    }

    /// Every profile that this channel should have, by what is assigned now.
    pub fn list_wanted_profiles(&self, channel: &ChannelNames<'_>) -> Result<Vec<ProfileRow>, StoreError> {
        let sql = format!(
            "SELECT DISTINCT {PROFILE} FROM assignment a JOIN profile p ON p.id = a.profile WHERE p.removed_at IS NULL AND (
                 (a.device = ?1 AND a.target = iif(?2, 'everyone-on', 'device'))
                 OR (?2 AND a.target = 'user' AND a.subject IN (SELECT value FROM json_each(?3)))
                 OR (?2 AND a.target = 'group' AND a.subject IN (SELECT value FROM json_each(?4))))
             ORDER BY p.id"
        );
        let json = |names: &[String]| serde_json::Value::from(names).to_string();
        let mut statement = self.conn.prepare_cached(&sql)?;
        let values = params![channel.device, channel.is_user, json(channel.names), json(channel.groups)];
        let rows = statement.query_map(values, row_to_profile)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Names of the groups that list a device; smart groups come apart.
    pub fn list_groups_of_device(&self, device: i64) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT g.name FROM group_device m JOIN school_group g ON g.id = m.\"group\" WHERE m.device = ?1 ORDER BY g.id";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([device], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Names of the groups of the person behind a user channel: whom a login proved, whose record it is, or whose account.
    pub fn list_groups_of_user(
        &self,
        enrollment_id: &str,
        user_id: Option<&str>,
        account: Option<&str>,
    ) -> Result<Vec<String>, StoreError> {
        let sql =
            "SELECT DISTINCT g.name FROM group_person m JOIN school_group g ON g.id = m.\"group\" WHERE m.person IN (
                       SELECT person FROM user_standing WHERE channel = ?1 AND person IS NOT NULL
                       UNION SELECT person FROM person_guid WHERE guid = upper(?2)
                       UNION SELECT id FROM person WHERE short_name = ?3) ORDER BY g.name";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(params![enrollment_id, user_id, account], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub fn list_channel_profiles(&self, enrollment: i64) -> Result<Vec<ChannelProfileRow>, StoreError> {
        let sql = "SELECT c.profile, p.public_id, p.identifier, p.name, c.installed, c.command, c.doing, c.version, c.failed_at, y.state
                   FROM channel_profile c JOIN profile p ON p.id = c.profile
                   LEFT JOIN delivery y ON y.command = c.command AND y.enrollment = c.enrollment
                   WHERE c.enrollment = ?1 ORDER BY c.profile";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([enrollment], |row| {
            let (doing, state): (String, Option<String>) = (row.get("doing")?, row.get("state")?);
            Ok(ChannelProfileRow {
                profile: row.get("profile")?,
                public_id: row.get("public_id")?,
                identifier: row.get("identifier")?,
                name: row.get("name")?,
                installed: row.get("installed")?,
                command: row.get("command")?,
                installs: doing == "install",
                version: row.get("version")?,
                state: state.and_then(|s| s.parse().ok()),
                failed_at: row.get::<_, Option<i64>>("failed_at")?.map(Timestamp),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Row ids of the Active channels that an assignment to this target may concern. For a group: of every user.
    pub fn list_channels_of(&self, target: &Target) -> Result<Vec<i64>, StoreError> {
        let (device, subject) = target.columns();
        let sql = "SELECT id FROM enrollment WHERE state = 'Active' AND CASE ?1
                       WHEN 'device' THEN device = ?2 AND channel = 'device'
                       WHEN 'everyone-on' THEN device = ?2 AND channel = 'user'
                       WHEN 'user' THEN channel = 'user' AND (user_id = ?3 COLLATE NOCASE OR user_short_name = ?3 COLLATE NOCASE)
                       ELSE channel = 'user' END ORDER BY id";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(params![target.kind(), device, subject], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Row ids of the Active channels where a profile stands or is on its way.
    pub fn list_channels_with_profile(&self, profile: i64) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT c.enrollment FROM channel_profile c JOIN enrollment e ON e.id = c.enrollment
                   WHERE c.profile = ?1 AND e.state = 'Active' ORDER BY c.enrollment";
        let mut statement = self.conn.prepare(sql)?;
        let rows = statement.query_map([profile], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many channels have acknowledged this version, and how many have a command about the profile waiting.
    pub fn count_profile_channels(&self, profile: i64, version: i64) -> Result<(i64, i64), StoreError> {
        let sql = "SELECT count(*) FILTER (WHERE c.installed = ?2), count(*) FILTER (WHERE y.finished_at IS NULL AND y.seq IS NOT NULL)
                   FROM channel_profile c LEFT JOIN delivery y ON y.command = c.command AND y.enrollment = c.enrollment WHERE c.profile = ?1";
        Ok(self.conn.prepare_cached(sql)?.query_row([profile, version], |row| Ok((row.get(0)?, row.get(1)?)))?)
    }
}

impl Tx<'_> {
    /// A new profile at version 1; returns its row id.
    pub fn insert_profile(&self, row: &ProfileRow) -> Result<i64, StoreError> {
        let sql = "INSERT INTO profile (public_id, identifier, name, version, created_by, created_at) VALUES (?1, ?2, ?3, 1, ?4, ?5)";
        let values = params![row.public_id, row.identifier, row.name, row.created_by, row.created_at.0];
        self.conn.prepare_cached(sql)?.execute(values)?;
        Ok(self.conn.last_insert_rowid())
    }

    /// The next version becomes the current one; a removed profile is in use again.
    pub fn advance_profile(&self, id: i64, name: &str, version: i64) -> Result<(), StoreError> {
        let sql = "UPDATE profile SET name = ?2, version = ?3, removed_at = NULL WHERE id = ?1";
        self.conn.prepare_cached(sql)?.execute(params![id, name, version])?;
        Ok(())
    }

    pub fn insert_profile_version(&self, profile: i64, row: &ProfileVersionRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO profile_version (profile, version, sealed_body, body_hash, bytes, signer, payload_types, created_by, created_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        self.conn.prepare_cached(sql)?.execute(params![
            profile,
            row.version,
            row.sealed_body,
            row.body_hash,
            row.bytes,
            row.signer,
            row.payload_types,
            row.created_by,
            row.created_at.0
        ])?;
        Ok(())
    }

    /// The profile is wanted by nobody any more; its assignments go.
    pub fn remove_profile(&self, id: i64, now: Timestamp) -> Result<(), StoreError> {
        self.conn.prepare_cached("DELETE FROM assignment WHERE profile = ?1")?.execute([id])?;
        self.conn.prepare_cached("UPDATE profile SET removed_at = ?2 WHERE id = ?1")?.execute([id, now.0])?;
        Ok(())
    }

    /// `false` when it is assigned so already.
    pub fn insert_assignment(
        &self,
        profile: i64,
        target: &Target,
        created_by: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (device, subject) = target.columns();
        let sql = "INSERT INTO assignment (profile, target, device, subject, created_by, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                   ON CONFLICT DO NOTHING";
        let values = params![profile, target.kind(), device, subject, created_by, now.0];
        Ok(self.conn.prepare_cached(sql)?.execute(values)? == 1)
    }

    /// `false` when it was not assigned so.
    pub fn delete_assignment(&self, profile: i64, target: &Target) -> Result<bool, StoreError> {
        let (device, subject) = target.columns();
        let sql = "DELETE FROM assignment WHERE profile = ?1 AND target = ?2 AND device IS ?3 AND subject IS ?4";
        Ok(self.conn.prepare_cached(sql)?.execute(params![profile, target.kind(), device, subject])? > 0)
    }

    /// The command that is now on its way for this profile on this channel.
    pub fn put_channel_profile(
        &self,
        enrollment: i64,
        profile: i64,
        command: &str,
        installs: bool,
        version: i64,
    ) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO channel_profile (enrollment, profile, command, doing, version) VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT (enrollment, profile) DO UPDATE SET command = excluded.command, doing = excluded.doing,
                       version = excluded.version, failed_at = NULL";
        let doing = if installs { "install" } else { "remove" };
        self.conn.prepare_cached(sql)?.execute(params![enrollment, profile, command, doing, version])?;
        Ok(())
    }

    /// What the device said of such a command: done, or not.
    pub fn settle_channel_profile(
        &self,
        enrollment: i64,
        command: &str,
        done: bool,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE channel_profile SET installed = CASE WHEN NOT ?3 THEN installed WHEN doing = 'install' THEN version END,
                       failed_at = CASE WHEN ?3 THEN NULL ELSE ?4 END WHERE command = ?2 AND enrollment = ?1";
        self.conn.prepare_cached(sql)?.execute(params![enrollment, command, done, now.0])?;
        Ok(())
    }

    /// The device enrolled anew: nothing of ours stands on it, nor with its users.
    pub fn forget_channel_profiles(&self, device_channel: i64) -> Result<(), StoreError> {
        let sql =
            "DELETE FROM channel_profile WHERE enrollment IN (SELECT id FROM enrollment WHERE id = ?1 OR parent = ?1)";
        self.conn.prepare_cached(sql)?.execute([device_channel])?;
        Ok(())
    }

    /// Takes a profile that is off a channel out of the books.
    pub fn delete_channel_profile(&self, enrollment: i64, profile: i64) -> Result<(), StoreError> {
        let sql = "DELETE FROM channel_profile WHERE enrollment = ?1 AND profile = ?2";
        self.conn.prepare_cached(sql)?.execute([enrollment, profile])?;
        Ok(())
    }
}
