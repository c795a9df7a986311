//! The audit: every change leaves a row in the same transaction, chained by hash so that a silent edit shows.

use super::Context;
use super::actor::{Actor, Permission};
use super::error::Error;
use crate::base::time::Timestamp;
use crate::pki::digest::sha256;
use crate::store::{AuditRow, NewAudit, Tx};
use serde_json::Value;

/// Hash before the first row.
const START: [u8; 32] = [0; 32];

/// What [`verify`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub rows: i64,
    /// The first row that does not fit what is before it.
    pub broken_at: Option<i64>,
}

/// Appends a row inside the caller's transaction. `detail` must not hold a secret.
pub fn record(
    tx: &Tx<'_>,
    actor: &Actor,
    verb: &str,
    subject: Option<&str>,
    detail: Option<Value>,
    now: Timestamp,
) -> Result<(), Error> {
    let name = actor.name();
    let detail = detail.map(|d| d.to_string());
    let row = NewAudit { at: now, actor: &name, verb, subject, detail: detail.as_deref() };
    let (seq, previous) = tx.find_last_audit()?.unwrap_or((0, START));
    let hash = link(&previous, seq + 1, &row);
    tx.append_audit(&row, &previous, &hash)?;
    Ok(())
}

/// Rows after `after`, oldest first.
pub fn list(cx: &Context, actor: &Actor, after: i64, limit: usize) -> Result<Vec<AuditRow>, Error> {
    actor.require(Permission::Audit)?;
    cx.store.read(|db| Ok(db.list_audit(after, limit)?))
}

/// Walks the whole chain: every edited, removed (but for the newest) or reordered row shows.
pub fn verify(cx: &Context, actor: &Actor) -> Result<Verdict, Error> {
    actor.require(Permission::Audit)?;
    let (mut seq, mut previous, mut rows) = (0, START, 0);
    loop {
        let page = cx.store.read(|db| db.list_audit(seq, 500))?;
        if page.is_empty() {
            return Ok(Verdict { rows, broken_at: None });
        }
        for row in page {
            let (subject, detail) = (row.subject.as_deref(), row.detail.as_deref());
            let content = NewAudit { at: row.at, actor: &row.actor, verb: &row.verb, subject, detail };
            if row.seq != seq + 1 || row.previous != previous || row.hash != link(&previous, row.seq, &content) {
                return Ok(Verdict { rows, broken_at: Some(row.seq) });
            }
            (seq, previous, rows) = (row.seq, row.hash, rows + 1);
        }
    }
}

/// SHA-256 over the previous hash, the sequence number and every field with its length before it, so that no two different rows
/// give the same bytes.
fn link(previous: &[u8; 32], seq: i64, row: &NewAudit<'_>) -> [u8; 32] {
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(previous);
    bytes.extend_from_slice(&seq.to_be_bytes());
    bytes.extend_from_slice(&row.at.0.to_be_bytes());
    for field in [Some(row.actor), Some(row.verb), row.subject, row.detail] {
        match field {
            None => bytes.push(0),
            Some(text) => {
                bytes.push(1);
                bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
        }
    }
    sha256(&bytes)
}
