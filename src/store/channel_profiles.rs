//! What stands of the school's profiles on each channel: acknowledged versions, the last command about each, refusals.
//! `service::reconciling` decides.

use super::{Db, Fields, StoreError, Tx};
use crate::base::time::Timestamp;
use crate::protocol::queue::DeliveryState;
use rusqlite::params;

/// What management did with a profile on one channel.
#[derive(Debug, Clone)]
pub struct ChannelProfileRow {
    pub profile: i64,
    pub public_id: String,
    pub identifier: String,
    pub name: String,
    /// Whether it is to come back when its user took it off.
    pub comes_back: bool,
    /// The version that the device acknowledged and has not lost since, and what its variables were filled with.
    pub installed: Option<i64>,
    pub installed_fill: i64,
    /// Fingerprint of the certificate of ours under it.
    pub installed_signer: Option<[u8; 32]>,
    /// The last command about it, whether it installs, which version, and how it stands; `None` when that is forgotten.
    pub command: String,
    pub installs: bool,
    pub version: i64,
    pub fill: i64,
    pub signer: Option<[u8; 32]>,
    pub state: Option<DeliveryState>,
    /// When that command was finished.
    pub finished_at: Option<Timestamp>,
    /// A command was handed out and never answered: the device may have carried it out.
    pub uncertain: bool,
    pub failed_at: Option<Timestamp>,
    /// Refusals in a row.
    pub failures: u32,
    pub next_try_at: Option<Timestamp>,
    /// When the device reported that it is not there any more.
    pub gone_at: Option<Timestamp>,
}

/// A command about a profile that goes on its way.
#[derive(Debug, Clone, Copy)]
pub struct Doing<'a> {
    pub profile: i64,
    pub command: &'a str,
    pub installs: bool,
    pub version: i64,
    pub fill: i64,
    /// Fingerprint of the certificate of ours that signed it, or whose signature goes.
    pub signer: Option<[u8; 32]>,
    /// One before it was never answered.
    pub uncertain: bool,
}

/// A profile that devices refuse.
#[derive(Debug, Clone)]
pub struct RefusedRow {
    pub enrollment: i64,
    pub version: i64,
    pub failures: u32,
    pub next_try_at: Option<Timestamp>,
    /// Apple's error chain as JSON.
    pub error_chain: Option<String>,
}

/// Handed out more often than answered: NotNow counts each answer, a refusal is the last one.
const UNCERTAIN: &str = "c.uncertain OR coalesce(y.state <> 'Acknowledged'
    AND y.sent_count > y.not_now_count + (y.state IN ('Error', 'CommandFormatError')), 0)";

impl Db<'_> {
    pub fn list_channel_profiles(&self, enrollment: i64) -> Result<Vec<ChannelProfileRow>, StoreError> {
        let sql = format!(
            "SELECT c.profile, p.public_id, p.identifier, p.name, p.comes_back, c.installed, c.installed_fill, c.installed_signer,
                 c.command, c.doing, c.version, c.fill, c.signer, y.state, y.finished_at, {UNCERTAIN},
                 c.failed_at, c.failures, c.next_try_at, c.gone_at
             FROM channel_profile c JOIN profile p ON p.id = c.profile
             LEFT JOIN delivery y ON y.command = c.command AND y.enrollment = c.enrollment
             WHERE c.enrollment = ?1 ORDER BY c.profile"
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map([enrollment], |row| {
            let mut fields = Fields::of(row);
            Ok(ChannelProfileRow {
                profile: fields.next()?,
                public_id: fields.next()?,
                identifier: fields.next()?,
                name: fields.next()?,
                comes_back: fields.next()?,
                installed: fields.next()?,
                installed_fill: fields.next()?,
                installed_signer: fields.next()?,
                command: fields.next()?,
                installs: fields.next_str()? == "install",
                version: fields.next()?,
                fill: fields.next()?,
                signer: fields.next()?,
                state: fields.next::<Option<String>>()?.and_then(|state| state.parse().ok()),
                finished_at: fields.next_at()?,
                uncertain: fields.next()?,
                failed_at: fields.next_at()?,
                failures: fields.next()?,
                next_try_at: fields.next_at()?,
                gone_at: fields.next_at()?,
            })
        })?;
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

    /// Channels where a refused profile is to be tried again by now.
    pub fn list_channels_to_try(&self, now: Timestamp, limit: usize) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT DISTINCT c.enrollment FROM channel_profile c JOIN enrollment e ON e.id = c.enrollment
                   WHERE c.next_try_at <= ?1 AND e.state = 'Active' ORDER BY c.next_try_at LIMIT ?2";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(params![now.0, limit as i64], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Active channels where a profile stands that somebody else than `signer` signed, whose certificate ends by `until`, and which is not on
    /// its way again: row id, public id of the device, and when the first such certificate ends.
    pub fn list_signed_by_others(
        &self,
        signer: &[u8; 32],
        until: Timestamp,
    ) -> Result<Vec<(i64, String, Timestamp)>, StoreError> {
        let sql = "SELECT c.enrollment, d.public_id, min(k.not_after) FROM certificate k
                   JOIN channel_profile c ON c.installed_signer = k.fingerprint
                   JOIN enrollment e ON e.id = c.enrollment JOIN device d ON d.id = e.device
                   WHERE k.purpose = 'signer' AND k.not_after <= ?2 AND k.fingerprint <> ?1 AND c.signer IS NOT ?1
                       AND NOT EXISTS (SELECT 1 FROM account a WHERE a.profile = c.profile) AND e.state = 'Active'
                   GROUP BY c.enrollment ORDER BY 3, 1";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement
            .query_map(params![signer, until.0], |row| Ok((row.get(0)?, row.get(1)?, Timestamp(row.get(2)?))))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Where this version of a profile was refused, with the last answer.
    pub fn list_refusals(&self, profile: i64, version: i64, limit: usize) -> Result<Vec<RefusedRow>, StoreError> {
        let sql = "SELECT c.enrollment, c.version, c.failures, c.next_try_at, r.error_chain FROM channel_profile c
                   LEFT JOIN delivery y ON y.command = c.command AND y.enrollment = c.enrollment
                   LEFT JOIN result r ON r.delivery = y.seq
                   WHERE c.profile = ?1 AND c.version = ?2 AND c.failed_at IS NOT NULL ORDER BY c.enrollment LIMIT ?3";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(params![profile, version, limit as i64], |row| {
            Ok(RefusedRow {
                enrollment: row.get(0)?,
                version: row.get(1)?,
                failures: row.get(2)?,
                next_try_at: row.get::<_, Option<i64>>(3)?.map(Timestamp),
                error_chain: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many channels have acknowledged this version, how many have a command about the profile waiting, and on how many it is a
    /// fault that nobody tries again.
    pub fn count_profile_channels(&self, profile: i64, version: i64) -> Result<(i64, i64, i64), StoreError> {
        let sql = "SELECT count(*) FILTER (WHERE c.installed = ?2), count(*) FILTER (WHERE y.finished_at IS NULL AND y.seq IS NOT NULL),
                       count(*) FILTER (WHERE c.failed_at IS NOT NULL AND c.version = ?2 AND c.next_try_at IS NULL)
                   FROM channel_profile c LEFT JOIN delivery y ON y.command = c.command AND y.enrollment = c.enrollment WHERE c.profile = ?1";
        let values = params![profile, version];
        Ok(self.conn.prepare_cached(sql)?.query_row(values, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?)
    }
}

impl Tx<'_> {
    /// The command that is now on its way for this profile on this channel. Refusals of the same edition stay counted.
    pub fn put_channel_profile(&self, enrollment: i64, doing: &Doing<'_>) -> Result<(), StoreError> {
        let sql = "INSERT INTO channel_profile (enrollment, profile, command, doing, version, fill, uncertain, signer) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                   ON CONFLICT (enrollment, profile) DO UPDATE SET command = excluded.command, doing = excluded.doing,
                       failures = CASE WHEN version = excluded.version AND fill = excluded.fill AND signer IS excluded.signer THEN failures ELSE 0 END,
                       version = excluded.version, fill = excluded.fill, uncertain = excluded.uncertain, signer = excluded.signer,
                       failed_at = NULL, next_try_at = NULL, gone_at = NULL";
        let kind = if doing.installs { "install" } else { "remove" };
        let values = params![
            enrollment,
            doing.profile,
            doing.command,
            kind,
            doing.version,
            doing.fill,
            doing.uncertain,
            doing.signer
        ];
        self.conn.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// The device acknowledged the install.
    pub fn put_profile_installed(&self, enrollment: i64, profile: i64) -> Result<(), StoreError> {
        let sql = "UPDATE channel_profile SET installed = version, installed_fill = fill, installed_signer = signer, uncertain = 0, failed_at = NULL, failures = 0, next_try_at = NULL,
                       gone_at = NULL WHERE enrollment = ?1 AND profile = ?2";
        self.conn.prepare_cached(sql)?.execute([enrollment, profile])?;
        Ok(())
    }

    /// The device refused the install, so often in a row; without `next_try_at` it is a person's turn.
    pub fn put_profile_refused(
        &self,
        enrollment: i64,
        profile: i64,
        failures: u32,
        next_try_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE channel_profile SET failed_at = ?3, failures = ?4, next_try_at = ?5 WHERE enrollment = ?1 AND profile = ?2";
        let next = next_try_at.map(|at| at.0);
        self.conn.prepare_cached(sql)?.execute(params![enrollment, profile, now.0, failures, next])?;
        Ok(())
    }

    /// What was due on these channels by `now` and is due still is looked at again `later`.
    pub fn postpone_tries(&self, channels: &[i64], now: Timestamp, later: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE channel_profile SET next_try_at = ?3 WHERE next_try_at <= ?2
                       AND enrollment IN (SELECT value FROM json_each(?1))";
        self.conn.prepare_cached(sql)?.execute(params![
            serde_json::Value::from(channels).to_string(),
            now.0,
            later.0
        ])?;
        Ok(())
    }

    /// The device reported that it has the profile no more.
    pub fn put_profile_gone(&self, enrollment: i64, profile: i64, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE channel_profile SET installed = NULL, gone_at = ?3 WHERE enrollment = ?1 AND profile = ?2";
        self.conn.prepare_cached(sql)?.execute(params![enrollment, profile, now.0])?;
        Ok(())
    }

    /// Somebody says that a profile is to be tried again wherever it was refused or taken off.
    pub fn try_profile_again(&self, profile: i64, now: Timestamp) -> Result<usize, StoreError> {
        let sql =
            "UPDATE channel_profile SET failures = 0, next_try_at = iif(failed_at IS NULL, NULL, ?2), gone_at = NULL
                   WHERE profile = ?1 AND (failed_at IS NOT NULL OR gone_at IS NOT NULL)";
        Ok(self.conn.prepare_cached(sql)?.execute(params![profile, now.0])?)
    }

    /// The device enrolled anew: nothing of ours stands on it, nor with its users.
    pub fn forget_channel_profiles(&self, device_channel: i64) -> Result<(), StoreError> {
        for table in ["channel_profile", "gate"] {
            let sql = format!(
                "DELETE FROM {table} WHERE enrollment IN (SELECT id FROM enrollment WHERE id = ?1 OR parent = ?1)"
            );
            self.conn.prepare_cached(&sql)?.execute([device_channel])?;
        }
        Ok(())
    }

    /// Takes a profile that is off a channel out of the books.
    pub fn delete_channel_profile(&self, enrollment: i64, profile: i64) -> Result<(), StoreError> {
        let sql = "DELETE FROM channel_profile WHERE enrollment = ?1 AND profile = ?2";
        self.conn.prepare_cached(sql)?.execute([enrollment, profile])?;
        Ok(())
    }
}
