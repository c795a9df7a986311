//! Renewals: replacements of the MDM profile on enrolled devices, and what a device falls back to when one fails.

use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewalState {
    Queued,
    Proven,
    Done,
    Failed,
}

impl RenewalState {
    pub fn as_str(self) -> &'static str {
        match self {
            RenewalState::Queued => "queued",
            RenewalState::Proven => "proven",
            RenewalState::Done => "done",
            RenewalState::Failed => "failed",
        }
    }
}

/// A renewal that is queued now.
#[derive(Debug, Clone)]
pub struct NewRenewal<'a> {
    pub enrollment: i64,
    pub command: &'a str,
    pub issued_profile: i64,
    pub reason: &'a str,
    /// Failures in a row before this one.
    pub failures: i64,
}

#[derive(Debug, Clone)]
pub struct RenewalRow {
    pub id: i64,
    pub enrollment: i64,
    pub command: String,
    pub issued_profile: i64,
    pub reason: String,
    pub state: RenewalState,
    pub fallback: Option<[u8; 32]>,
    pub failures: i64,
    pub next_try_at: Option<Timestamp>,
    pub why: Option<String>,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

/// An enrolled device channel with what decides when it is renewed.
#[derive(Debug, Clone)]
pub struct DueRow {
    pub enrollment: i64,
    pub device: i64,
    /// Cordon's id of the device; the spread follows from it.
    pub device_id: String,
    pub issued_profile: i64,
    /// Of the identity.
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// Apple's AccessRights of the profile it holds.
    pub access_rights: i64,
    /// When the first certificate ends that came with the profile.
    pub profile_ends_at: Option<Timestamp>,
    /// SHA-256 in hex of the roots and intermediates in it, separated by blanks.
    pub certificates: String,
    /// The newest renewal, whatever became of it.
    pub last: Option<RenewalRow>,
}

const COLUMNS: &str =
    "r.id, r.enrollment, r.command, r.issued_profile, r.reason, r.state, r.fallback, r.failures, r.next_try_at, r.why,
     r.created_at, r.finished_at";

fn row_to_renewal(row: &Row<'_>) -> rusqlite::Result<RenewalRow> {
    let state: String = row.get("state")?;
    Ok(RenewalRow {
        id: row.get("id")?,
        enrollment: row.get("enrollment")?,
        command: row.get("command")?,
        issued_profile: row.get("issued_profile")?,
        reason: row.get("reason")?,
        // The CHECK of the table allows only the four words.
        state: match state.as_str() {
            "queued" => RenewalState::Queued,
            "proven" => RenewalState::Proven,
            "done" => RenewalState::Done,
            _ => RenewalState::Failed,
        },
        fallback: row.get("fallback")?,
        failures: row.get("failures")?,
        next_try_at: row.get::<_, Option<i64>>("next_try_at")?.map(Timestamp),
        why: row.get("why")?,
        created_at: Timestamp(row.get("created_at")?),
        finished_at: row.get::<_, Option<i64>>("finished_at")?.map(Timestamp),
    })
}

impl Db<'_> {
    pub fn find_open_renewal(&self, enrollment: i64) -> Result<Option<RenewalRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM renewal r WHERE r.enrollment = ?1 AND r.finished_at IS NULL");
        Ok(self.conn.prepare_cached(&sql)?.query_row([enrollment], row_to_renewal).optional()?)
    }

    pub fn find_last_renewal(&self, enrollment: i64) -> Result<Option<RenewalRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM renewal r WHERE r.enrollment = ?1 ORDER BY r.id DESC LIMIT 1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([enrollment], row_to_renewal).optional()?)
    }

    pub fn find_renewal_by_command(&self, command: &str) -> Result<Option<RenewalRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM renewal r WHERE r.command = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([command], row_to_renewal).optional()?)
    }

    /// Open renewals whose command ended without an answer: cancelled, expired, or cleared by a fresh enrolment.
    pub fn list_orphaned_renewals(&self) -> Result<Vec<RenewalRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM renewal r WHERE r.finished_at IS NULL AND NOT EXISTS
                 (SELECT 1 FROM delivery y WHERE y.command = r.command AND y.enrollment = r.enrollment
                      AND y.state NOT IN ('Cancelled', 'Expired', 'Cleared'))"
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map([], row_to_renewal)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Every device channel that is Active and proved itself by a certificate, with its newest renewal. Those that somebody ended or
    /// blocked are left alone.
    pub fn list_renewable(&self) -> Result<Vec<DueRow>, StoreError> {
        let mut found = self.list_by(
            "b.state = 'current' AND e.state = 'Active' AND e.blocked_at IS NULL AND e.dismissed_at IS NULL",
        )?;
        let sql = format!(
            "SELECT {COLUMNS} FROM renewal r WHERE r.id IN (SELECT max(id) FROM renewal GROUP BY enrollment) ORDER BY r.enrollment"
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        for last in statement.query_map([], row_to_renewal)? {
            let last = last?;
            if let Ok(k) = found.binary_search_by_key(&last.enrollment, |due| due.enrollment) {
                found[k].last = Some(last);
            }
        }
        Ok(found)
    }

    /// Every device channel that may still connect, whatever people want of it, without renewals.
    pub fn list_enrolled(&self) -> Result<Vec<DueRow>, StoreError> {
        self.list_by("b.state <> 'retired' AND e.state <> 'Gone'")
    }

    fn list_by(&self, which: &str) -> Result<Vec<DueRow>, StoreError> {
        let sql = format!(
            "SELECT e.id AS channel, e.device, d.public_id, e.issued_profile AS held, max(c.not_before) AS begins, max(c.not_after) AS ends,
                          p.access_rights, p.ends_at, p.certificates
                   FROM enrollment e JOIN device d ON d.id = e.device JOIN issued_profile p ON p.id = e.issued_profile
                       JOIN binding b ON b.enrollment = e.id
                       JOIN certificate c ON c.fingerprint = b.certificate
                   WHERE e.channel = 'device' AND {which} AND e.issued_profile IS NOT NULL
                   GROUP BY e.id ORDER BY e.id"
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map([], |row| {
            Ok(DueRow {
                enrollment: row.get("channel")?,
                device: row.get("device")?,
                device_id: row.get("public_id")?,
                issued_profile: row.get("held")?,
                not_before: Timestamp(row.get("begins")?),
                not_after: Timestamp(row.get("ends")?),
                access_rights: row.get("access_rights")?,
                profile_ends_at: row.get::<_, Option<i64>>("ends_at")?.map(Timestamp),
                certificates: row.get("certificates")?,
                last: None,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The certificate that speaks for a device channel now.
    pub fn find_current_certificate(&self, enrollment: i64) -> Result<Option<[u8; 32]>, StoreError> {
        let sql =
            "SELECT certificate FROM binding WHERE enrollment = ?1 AND state = 'current' ORDER BY since DESC LIMIT 1";
        Ok(self.conn.prepare_cached(sql)?.query_row([enrollment], |row| row.get(0)).optional()?)
    }
}

impl Tx<'_> {
    pub fn insert_renewal(&self, new: &NewRenewal<'_>, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO renewal (enrollment, command, issued_profile, reason, state, failures, created_at)
                   VALUES (?1, ?2, ?3, ?4, 'queued', ?5, ?6)";
        let (enrollment, profile) = (new.enrollment, new.issued_profile);
        self.conn.prepare_cached(sql)?.execute(params![
            enrollment,
            new.command,
            profile,
            new.reason,
            new.failures,
            now.0
        ])?;
        Ok(())
    }

    /// The challenge of this profile lives as long as the command that carries it.
    pub fn tie_challenge(&self, issued_profile: i64, command: &str) -> Result<(), StoreError> {
        let sql = "UPDATE challenge SET command = ?2 WHERE issued_profile = ?1";
        self.conn.prepare_cached(sql)?.execute(params![issued_profile, command])?;
        Ok(())
    }

    /// What a failed renewal brought is good for nothing any more.
    pub fn abandon_certificates(
        &self,
        issued_profile: i64,
        enrollment: i64,
        why: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE binding SET state = 'retired', since = ?3
                   WHERE enrollment = ?2 AND certificate IN (SELECT fingerprint FROM certificate WHERE issued_profile = ?1)";
        self.conn.prepare_cached(sql)?.execute(params![issued_profile, enrollment, now.0])?;
        let sql =
            "UPDATE certificate SET revoked_at = ?3, revoked_why = ?2 WHERE issued_profile = ?1 AND revoked_at IS NULL";
        self.conn.prepare_cached(sql)?.execute(params![issued_profile, why, now.0])?;
        Ok(())
    }

    /// TokenUpdate came under the new certificate; `fallback` is what spoke before it.
    pub fn mark_renewal_proven(&self, id: i64, fallback: Option<&[u8; 32]>) -> Result<(), StoreError> {
        let sql = "UPDATE renewal SET state = 'proven', fallback = coalesce(fallback, ?2) WHERE id = ?1";
        self.conn.prepare_cached(sql)?.execute(params![id, fallback])?;
        Ok(())
    }

    /// The renewal is over well.
    pub fn finish_renewal(&self, id: i64, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE renewal SET state = 'done', failures = 0, finished_at = ?2 WHERE id = ?1";
        self.conn.prepare_cached(sql)?.execute(params![id, now.0])?;
        Ok(())
    }

    pub fn fail_renewal(
        &self,
        id: i64,
        why: &str,
        failures: i64,
        next_try_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE renewal SET state = 'failed', why = ?2, failures = ?3, next_try_at = ?4, finished_at = ?5 WHERE id = ?1";
        self.conn.prepare_cached(sql)?.execute(params![id, why, failures, next_try_at.0, now.0])?;
        Ok(())
    }

    /// Remembers where a channel was pushed before an open renewal changes it; the first memory stays.
    pub fn keep_fallback_target(&self, enrollment: i64) -> Result<(), StoreError> {
        let sql = "INSERT INTO fallback_target (enrollment, push_token, push_magic)
                   SELECT id, push_token, push_magic FROM enrollment WHERE id = ?1 AND push_token IS NOT NULL
                   ON CONFLICT (enrollment) DO NOTHING";
        self.conn.prepare_cached(sql)?.execute([enrollment])?;
        Ok(())
    }

    /// The device has its old configuration again, and its users theirs.
    pub fn restore_fallback_targets(&self, enrollment: i64) -> Result<(), StoreError> {
        let sql = "UPDATE enrollment SET push_token = f.push_token, push_magic = f.push_magic FROM fallback_target f
                   WHERE f.enrollment = enrollment.id AND (enrollment.id = ?1 OR enrollment.parent = ?1) AND enrollment.topic IS NOT NULL";
        self.conn.prepare_cached(sql)?.execute([enrollment])?;
        self.forget_fallback_targets(enrollment)
    }

    pub fn forget_fallback_targets(&self, enrollment: i64) -> Result<(), StoreError> {
        let sql =
            "DELETE FROM fallback_target WHERE enrollment IN (SELECT id FROM enrollment WHERE id = ?1 OR parent = ?1)";
        self.conn.prepare_cached(sql)?.execute([enrollment])?;
        Ok(())
    }
}
