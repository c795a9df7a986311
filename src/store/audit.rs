//! The audit chain: rows whose hash covers the hash before them, and the sealed note of how far it had come. `service::auditing`
//! computes the hashes and reads the note.

use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

/// What one record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    pub at: Timestamp,
    pub actor: String,
    /// An address, `local` or `server`.
    pub origin: String,
    pub verb: String,
    pub subject: Option<String>,
    /// The device's public id.
    pub device: Option<String>,
    pub reason: Option<String>,
    /// `false`: it was refused.
    pub done: bool,
    /// JSON without secrets.
    pub detail: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    pub seq: i64,
    pub entry: AuditEntry,
    pub previous: [u8; 32],
    pub hash: [u8; 32],
}

/// Which records; what is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    pub after: i64,
    pub actor: Option<String>,
    /// A verb, or the part of it before a dot.
    pub verb: Option<String>,
    pub device: Option<String>,
    pub since: Option<Timestamp>,
    /// Not included.
    pub until: Option<Timestamp>,
    pub done: Option<bool>,
    pub limit: usize,
}

impl AuditFilter {
    /// The oldest rows.
    pub fn first(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }
}

const COLUMNS: &str = "seq, at, actor, origin, verb, subject, device, reason, result, detail, previous, hash";

fn row_to_audit(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    let result: String = row.get("result")?;
    Ok(AuditRow {
        seq: row.get("seq")?,
        entry: AuditEntry {
            at: Timestamp(row.get("at")?),
            actor: row.get("actor")?,
            origin: row.get("origin")?,
            verb: row.get("verb")?,
            subject: row.get("subject")?,
            device: row.get("device")?,
            reason: row.get("reason")?,
            done: result == "done",
            detail: row.get("detail")?,
        },
        previous: row.get("previous")?,
        hash: row.get("hash")?,
    })
}

impl Db<'_> {
    /// The last sequence number and hash, from which the next row goes on.
    pub fn find_last_audit(&self) -> Result<Option<(i64, [u8; 32])>, StoreError> {
        let sql = "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1";
        Ok(self.conn.prepare_cached(sql)?.query_row([], |row| Ok((row.get("seq")?, row.get("hash")?))).optional()?)
    }

    /// The hash of one row.
    pub fn find_audit_hash(&self, seq: i64) -> Result<Option<[u8; 32]>, StoreError> {
        let sql = "SELECT hash FROM audit WHERE seq = ?1";
        Ok(self.conn.prepare_cached(sql)?.query_row([seq], |row| row.get(0)).optional()?)
    }

    /// How many rows there ever were, by SQLite's own count.
    pub fn count_audit_ever(&self) -> Result<i64, StoreError> {
        let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'audit'";
        Ok(self.conn.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?.unwrap_or(0))
    }

    /// Sealed for the place `audit_head`.
    pub fn find_audit_head(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT sealed_head FROM audit_head WHERE id = 1";
        Ok(self.conn.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?)
    }

    /// Oldest first.
    pub fn list_audit(&self, filter: &AuditFilter) -> Result<Vec<AuditRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM audit WHERE seq > ?1
             AND (?2 IS NULL OR actor = ?2) AND (?3 IS NULL OR verb = ?3 OR substr(verb, 1, length(?3) + 1) = ?3 || '.')
             AND (?4 IS NULL OR device = ?4) AND (?5 IS NULL OR at >= ?5) AND (?6 IS NULL OR at < ?6)
             AND (?7 IS NULL OR result = ?7) ORDER BY seq LIMIT ?8"
        );
        let result = filter.done.map(|done| if done { "done" } else { "refused" });
        let mut statement = self.conn.prepare_cached(&sql)?;
        let values = params![
            filter.after,
            filter.actor,
            filter.verb,
            filter.device,
            filter.since.map(|at| at.0),
            filter.until.map(|at| at.0),
            result,
            filter.limit as i64
        ];
        let rows = statement.query_map(values, row_to_audit)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// As [`Db::list_audit`], newest first, those before `before`.
    pub fn list_newest_audit(&self, filter: &AuditFilter, before: Option<i64>) -> Result<Vec<AuditRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM audit WHERE (?1 IS NULL OR seq < ?1)
             AND (?2 IS NULL OR actor = ?2) AND (?3 IS NULL OR verb = ?3 OR substr(verb, 1, length(?3) + 1) = ?3 || '.')
             AND (?4 IS NULL OR device = ?4) AND (?5 IS NULL OR result = ?5) ORDER BY seq DESC LIMIT ?6"
        );
        let result = filter.done.map(|done| if done { "done" } else { "refused" });
        let mut statement = self.conn.prepare_cached(&sql)?;
        let values = params![before, filter.actor, filter.verb, filter.device, result, filter.limit as i64];
        let rows = statement.query_map(values, row_to_audit)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Tx<'_> {
    pub fn append_audit(&self, new: &AuditEntry, previous: &[u8; 32], hash: &[u8; 32]) -> Result<(), StoreError> {
        let sql = "INSERT INTO audit (at, actor, origin, verb, subject, device, reason, result, detail, previous, hash)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        self.conn.prepare_cached(sql)?.execute(params![
            new.at.0,
            new.actor,
            new.origin,
            new.verb,
            new.subject,
            new.device,
            new.reason,
            if new.done { "done" } else { "refused" },
            new.detail,
            previous,
            hash
        ])?;
        Ok(())
    }

    pub fn put_audit_head(&self, sealed: &[u8]) -> Result<(), StoreError> {
        let sql = "INSERT INTO audit_head (id, sealed_head) VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET sealed_head = excluded.sealed_head";
        self.conn.execute(sql, [sealed])?;
        Ok(())
    }
}
