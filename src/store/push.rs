//! Pushes: what is owed (outbox), how pushing of each enrollment stands, and the push certificates.

use super::enrollments::target;
use super::{Db, StoreError, Tx};
use crate::base::push::PushTarget;
use crate::base::time::{MINUTE, Timestamp};
use rusqlite::{OptionalExtension, Row, params};

/// A push that the outbox owes, with where it goes. No target: the enrollment went silent meanwhile.
#[derive(Debug, Clone)]
pub struct OwedPush {
    pub seq: i64,
    pub enrollment: i64,
    pub attempts: u32,
    /// How often it had been asked for when it was read.
    pub asked: i64,
    pub target: Option<PushTarget>,
    pub dead: bool,
    pub token_updated_at: Option<Timestamp>,
}

#[derive(Debug, Clone)]
pub struct PushRow {
    pub due_at: Option<Timestamp>,
    pub attempts: u32,
    pub last_sent_at: Option<Timestamp>,
    pub last_result: Option<String>,
    pub dead_at: Option<Timestamp>,
    pub dead_why: Option<String>,
}

#[derive(Debug, Clone)]
pub struct PushCertificateRow {
    pub topic: String,
    pub chain_pem: String,
    pub sealed_key: Vec<u8>,
    pub subject: String,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub current: bool,
    pub imported_at: Timestamp,
    pub paused_why: Option<String>,
    /// Who can renew it.
    pub apple_account: Option<String>,
}

/// A push certificate to be put in force. `sealed_key` is sealed for the place `push-certificate/<topic>`.
#[derive(Debug, Clone)]
pub struct NewPushCertificate<'a> {
    pub topic: &'a str,
    pub chain_pem: &'a str,
    pub sealed_key: &'a [u8],
    pub subject: &'a str,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// For new enrollments; at most one certificate is.
    pub current: bool,
    /// `None` keeps what is known.
    pub apple_account: Option<&'a str>,
}

/// A request that is being signed elsewhere; `sealed_key` opens the answer.
#[derive(Debug, Clone)]
pub struct SigningRequestRow {
    pub push_request: [u8; 32],
    pub certificate: Vec<u8>,
    pub sealed_key: Vec<u8>,
}

const CERTIFICATE: &str =
    "topic, chain_pem, sealed_key, subject, not_before, not_after, current, imported_at, paused_why, apple_account";

fn row_to_certificate(row: &Row<'_>) -> rusqlite::Result<PushCertificateRow> {
    Ok(PushCertificateRow {
        topic: row.get("topic")?,
        chain_pem: row.get("chain_pem")?,
        sealed_key: row.get("sealed_key")?,
        subject: row.get("subject")?,
        not_before: Timestamp(row.get("not_before")?),
        not_after: Timestamp(row.get("not_after")?),
        current: row.get("current")?,
        imported_at: Timestamp(row.get("imported_at")?),
        paused_why: row.get("paused_why")?,
        apple_account: row.get("apple_account")?,
    })
}

impl Db<'_> {
    /// Pushes owed at `now`, oldest first.
    pub fn list_owed_pushes(&self, now: Timestamp, limit: usize) -> Result<Vec<OwedPush>, StoreError> {
        let sql =
            "SELECT o.seq, o.subject, o.attempts, o.asked, e.topic, e.push_token, e.push_magic, e.token_updated_at, p.dead_at
                   FROM outbox o JOIN enrollment e ON e.id = o.subject LEFT JOIN push p ON p.enrollment = e.id
                   WHERE o.kind = 'push' AND o.due_at <= ?1 ORDER BY o.seq LIMIT ?2";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(params![now.0, limit as i64], |row| {
            Ok(OwedPush {
                seq: row.get("seq")?,
                enrollment: row.get("subject")?,
                attempts: row.get("attempts")?,
                asked: row.get("asked")?,
                target: target(row)?,
                dead: row.get::<_, Option<i64>>("dead_at")?.is_some(),
                token_updated_at: row.get::<_, Option<i64>>("token_updated_at")?.map(Timestamp),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// When the next owed push or re-push falls due, if any.
    pub fn find_next_push_at(&self) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT min(at) FROM (SELECT min(due_at) AS at FROM outbox
                   UNION ALL SELECT min(due_at) FROM push WHERE due_at IS NOT NULL AND dead_at IS NULL)";
        let at: Option<i64> = self.conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        Ok(at.map(Timestamp))
    }

    pub fn find_push(&self, enrollment: i64) -> Result<Option<PushRow>, StoreError> {
        let sql =
            "SELECT due_at, attempts, last_sent_at, last_result, dead_at, dead_why FROM push WHERE enrollment = ?1";
        let found = self.conn.prepare_cached(sql)?.query_row([enrollment], |row| {
            let at = |name: &str| row.get::<_, Option<i64>>(name).map(|v| v.map(Timestamp));
            Ok(PushRow {
                due_at: at("due_at")?,
                attempts: row.get("attempts")?,
                last_sent_at: at("last_sent_at")?,
                last_result: row.get("last_result")?,
                dead_at: at("dead_at")?,
                dead_why: row.get("dead_why")?,
            })
        });
        Ok(found.optional()?)
    }

    pub fn list_push_certificates(&self) -> Result<Vec<PushCertificateRow>, StoreError> {
        let sql = format!("SELECT {CERTIFICATE} FROM push_certificate ORDER BY current DESC, topic");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map([], row_to_certificate)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub fn find_current_push_certificate(&self) -> Result<Option<PushCertificateRow>, StoreError> {
        let sql = format!("SELECT {CERTIFICATE} FROM push_certificate WHERE current = 1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([], row_to_certificate).optional()?)
    }

    pub fn has_push_certificate(&self, topic: &str) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM push_certificate WHERE topic = ?1)";
        Ok(self.conn.prepare_cached(sql)?.query_row([topic], |row| row.get(0))?)
    }

    /// Topics that enrolled devices hold, with how many each.
    pub fn list_topics_in_use(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let sql = "SELECT topic, count(*) FROM enrollment WHERE topic IS NOT NULL GROUP BY topic ORDER BY topic";
        let mut statement = self.conn.prepare(sql)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The latest requests that are signed elsewhere, newest first.
    pub fn list_signing_requests(&self) -> Result<Vec<SigningRequestRow>, StoreError> {
        let sql = "SELECT push_request, certificate, sealed_key FROM signing_request ORDER BY id DESC LIMIT 16";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| {
            Ok(SigningRequestRow {
                push_request: row.get("push_request")?,
                certificate: row.get("certificate")?,
                sealed_key: row.get("sealed_key")?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The sealed key of a request by the hash of its public key (place `push-request/<hex hash>`).
    pub fn find_push_request(&self, key_hash: &[u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT sealed_key FROM push_request WHERE key_hash = ?1";
        Ok(self.conn.prepare_cached(sql)?.query_row([key_hash], |row| row.get(0)).optional()?)
    }
}

impl Tx<'_> {
    /// Owes one push to an enrollment. A burst of commands owes one: the row is there already.
    pub fn owe_push(&self, enrollment: i64, due_at: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO outbox (kind, subject, due_at, created_at) VALUES ('push', ?1, ?2, ?3)
                   ON CONFLICT (kind, subject) DO UPDATE SET due_at = min(due_at, excluded.due_at), asked = asked + 1";
        self.conn.prepare_cached(sql)?.execute(params![enrollment, due_at.0, now.0])?;
        Ok(())
    }

    /// Turns re-pushes that fell due into owed pushes where work still waits; returns how many.
    pub fn owe_due_repushes(&self, now: Timestamp) -> Result<usize, StoreError> {
        let sql = "INSERT INTO outbox (kind, subject, due_at, created_at)
                   SELECT 'push', p.enrollment, ?1, ?1 FROM push p WHERE p.due_at <= ?1 AND p.dead_at IS NULL
                       AND EXISTS (SELECT 1 FROM delivery y INDEXED BY delivery_waiting WHERE y.enrollment = p.enrollment AND y.finished_at IS NULL)
                   ON CONFLICT (kind, subject) DO NOTHING";
        let owed = self.conn.prepare_cached(sql)?.execute([now.0])?;
        self.conn
            .prepare_cached("UPDATE push SET due_at = NULL WHERE due_at <= ?1 AND dead_at IS NULL")?
            .execute([now.0])?;
        Ok(owed)
    }

    /// The push is done with, unless work came while it was under way: the device may have looked before that work was there, so it
    /// is called once more.
    pub fn settle_owed_push(&self, owed: &OwedPush) -> Result<(), StoreError> {
        let sql = "DELETE FROM outbox WHERE seq = ?1 AND (asked = ?2 OR NOT EXISTS (
                       SELECT 1 FROM delivery y INDEXED BY delivery_waiting WHERE y.enrollment = outbox.subject AND y.finished_at IS NULL))";
        self.conn.prepare_cached(sql)?.execute([owed.seq, owed.asked])?;
        Ok(())
    }

    pub fn postpone_owed_push(&self, seq: i64, due_at: Timestamp) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("UPDATE outbox SET due_at = ?2, attempts = attempts + 1 WHERE seq = ?1")?
            .execute(params![seq, due_at.0])?;
        Ok(())
    }

    /// A push was accepted; `due_at` is when it is sent again if the work is still unanswered then.
    pub fn note_push(
        &self,
        enrollment: i64,
        result: &str,
        due_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO push (enrollment, due_at, attempts, last_sent_at, last_result) VALUES (?1, ?2, 1, ?3, ?4)
                   ON CONFLICT (enrollment) DO UPDATE SET due_at = excluded.due_at, attempts = attempts + 1,
                       last_sent_at = excluded.last_sent_at, last_result = excluded.last_result";
        self.conn.prepare_cached(sql)?.execute(params![enrollment, due_at.map(|t| t.0), now.0, result])?;
        Ok(())
    }

    /// The device answered: nothing to push again. Touches nothing when nothing was due.
    pub fn clear_repush(&self, enrollment: i64) -> Result<(), StoreError> {
        let sql = "UPDATE push SET due_at = NULL, attempts = 0 WHERE enrollment = ?1 AND (due_at IS NOT NULL OR attempts > 0)";
        self.conn.prepare_cached(sql)?.execute([enrollment])?;
        Ok(())
    }

    /// The device answered and has the next command in hand: push again at `due_at` should it vanish with it. A plan up to a minute
    /// earlier stands as it is: a device at work moves it once a minute, not with every answer.
    pub fn restart_repush(&self, enrollment: i64, due_at: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO push (enrollment, due_at) VALUES (?1, ?2)
                   ON CONFLICT (enrollment) DO UPDATE SET due_at = excluded.due_at, attempts = 0
                   WHERE attempts > 0 OR due_at IS NULL OR due_at NOT BETWEEN excluded.due_at - ?3 AND excluded.due_at";
        self.conn.prepare_cached(sql)?.execute(params![enrollment, due_at.0, MINUTE])?;
        Ok(())
    }

    /// The device is awake but something stays waiting: push again at `due_at`.
    pub fn schedule_repush(&self, enrollment: i64, due_at: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO push (enrollment, due_at) VALUES (?1, ?2)
                   ON CONFLICT (enrollment) DO UPDATE SET due_at = min(coalesce(due_at, excluded.due_at), excluded.due_at)";
        self.conn.prepare_cached(sql)?.execute(params![enrollment, due_at.0])?;
        Ok(())
    }

    /// The device is awake and has all its work in hand: push again at `due_at` should it vanish with it, unless that is planned.
    pub fn ensure_repush(&self, enrollment: i64, due_at: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO push (enrollment, due_at) VALUES (?1, ?2)
                   ON CONFLICT (enrollment) DO UPDATE SET due_at = coalesce(due_at, excluded.due_at)";
        self.conn.prepare_cached(sql)?.execute(params![enrollment, due_at.0])?;
        Ok(())
    }

    /// Owes a push to every reachable enrollment for which work waits; returns how many.
    pub fn owe_everyone_waiting(&self, now: Timestamp) -> Result<usize, StoreError> {
        let sql = "INSERT INTO outbox (kind, subject, due_at, created_at)
                   SELECT DISTINCT 'push', y.enrollment, ?1, ?1 FROM delivery y JOIN enrollment e ON e.id = y.enrollment
                   WHERE y.finished_at IS NULL AND e.topic IS NOT NULL AND coalesce(y.not_before, ?1) <= ?1
                   ON CONFLICT (kind, subject) DO NOTHING";
        Ok(self.conn.execute(sql, [now.0])?)
    }

    /// The token is not dead after all.
    pub fn revive_push(&self, enrollment: i64) -> Result<(), StoreError> {
        let sql = "UPDATE push SET dead_at = NULL, dead_why = NULL WHERE enrollment = ?1";
        self.conn.prepare_cached(sql)?.execute([enrollment])?;
        Ok(())
    }

    /// Channels that can be pushed: those with a token that is not dead.
    pub fn count_pushable(&self) -> Result<usize, StoreError> {
        let sql = "SELECT count(*) FROM enrollment e LEFT JOIN push p ON p.enrollment = e.id
                   WHERE e.push_token IS NOT NULL AND p.dead_at IS NULL";
        let count: i64 = self.conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// The token is dead: no pushes until a TokenUpdate.
    pub fn mark_push_dead(&self, enrollment: i64, why: &str, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO push (enrollment, dead_at, dead_why, last_result) VALUES (?1, ?2, ?3, ?3)
                   ON CONFLICT (enrollment) DO UPDATE SET dead_at = excluded.dead_at, dead_why = excluded.dead_why,
                       last_result = excluded.last_result, due_at = NULL";
        self.conn.prepare_cached(sql)?.execute(params![enrollment, now.0, why])?;
        Ok(())
    }

    pub fn pause_topic(&self, topic: &str, why: Option<&str>) -> Result<(), StoreError> {
        self.conn.execute("UPDATE push_certificate SET paused_why = ?2 WHERE topic = ?1", params![topic, why])?;
        Ok(())
    }

    pub fn put_push_certificate(&self, new: &NewPushCertificate<'_>, now: Timestamp) -> Result<(), StoreError> {
        if new.current {
            self.conn.execute("UPDATE push_certificate SET current = 0 WHERE topic <> ?1", [new.topic])?;
        }
        self.conn.execute(
            "INSERT INTO push_certificate (topic, chain_pem, sealed_key, subject, not_before, not_after, current, imported_at, apple_account)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (topic) DO UPDATE SET chain_pem = excluded.chain_pem, sealed_key = excluded.sealed_key, subject = excluded.subject,
                 not_before = excluded.not_before, not_after = excluded.not_after, imported_at = excluded.imported_at,
                 current = max(current, excluded.current), apple_account = coalesce(excluded.apple_account, apple_account), paused_why = NULL",
            params![new.topic, new.chain_pem, new.sealed_key, new.subject, new.not_before.0, new.not_after.0, new.current, now.0,
                new.apple_account],
        )?;
        Ok(())
    }

    /// The certificate changed: whatever waited for that is pushed now.
    pub fn hasten_owed_pushes(&self, now: Timestamp) -> Result<(), StoreError> {
        self.conn
            .execute("UPDATE outbox SET due_at = ?1, attempts = 0 WHERE kind = 'push' AND due_at > ?1", [now.0])?;
        Ok(())
    }

    pub fn insert_push_request(
        &self,
        key_hash: &[u8; 32],
        sealed_key: &[u8],
        csr_pem: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.conn.execute(
            "INSERT INTO push_request (key_hash, sealed_key, csr_pem, created_at) VALUES (?1, ?2, ?3, ?4)",
            params![key_hash, sealed_key, csr_pem, now.0],
        )?;
        Ok(())
    }

    /// `sealed_key` is sealed for the place `signing-request/<hex of push_request>`.
    pub fn insert_signing_request(
        &self,
        push_request: &[u8; 32],
        certificate: &[u8],
        sealed_key: &[u8],
        email: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.conn.execute(
            "INSERT INTO signing_request (push_request, certificate, sealed_key, email, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![push_request, certificate, sealed_key, email, now.0],
        )?;
        Ok(())
    }
}
