//! The audit chain: rows whose hash covers the hash before them. `service::auditing` computes the hashes.

use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

/// A row to be appended.
#[derive(Debug, Clone)]
pub struct NewAudit<'a> {
    pub at: Timestamp,
    pub actor: &'a str,
    pub verb: &'a str,
    pub subject: Option<&'a str>,
    pub detail: Option<&'a str>,
}

#[derive(Debug, Clone)]
pub struct AuditRow {
    pub seq: i64,
    pub at: Timestamp,
    pub actor: String,
    pub verb: String,
    pub subject: Option<String>,
    pub detail: Option<String>,
    pub previous: [u8; 32],
    pub hash: [u8; 32],
}

fn row_to_audit(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        seq: row.get("seq")?,
        at: Timestamp(row.get("at")?),
        actor: row.get("actor")?,
        verb: row.get("verb")?,
        subject: row.get("subject")?,
        detail: row.get("detail")?,
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

    /// Rows after `after`, oldest first.
    pub fn list_audit(&self, after: i64, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        let sql = "SELECT seq, at, actor, verb, subject, detail, previous, hash FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(params![after, limit as i64], row_to_audit)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Tx<'_> {
    pub fn append_audit(&self, new: &NewAudit<'_>, previous: &[u8; 32], hash: &[u8; 32]) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO audit (at, actor, verb, subject, detail, previous, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        self.conn.prepare_cached(sql)?.execute(params![
            new.at.0,
            new.actor,
            new.verb,
            new.subject,
            new.detail,
            previous,
            hash
        ])?;
        Ok(())
    }
}
