//! The audit: every change leaves a row in the same transaction, chained by hash so that a silent edit shows. What was refused to
//! somebody is written down too, but only so often ([`refuse`]): nobody fills the disk by being refused. [`export`] has the form in
//! which the chain leaves the house.

pub mod export;

use super::actor::{Actor, Permission};
use super::error::{Error, Kind};
use super::{Context, devices};
use crate::base::time::{HOUR, Timestamp};
use crate::pki::digest::sha256;
use crate::pki::sealing::Keyring;
use crate::store::{AuditEntry, AuditFilter, AuditRow, Tx};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Mutex;

/// Hash before the first row.
pub(super) const START: [u8; 32] = [0; 32];
/// What the note of how far the chain had come is sealed for.
pub const HEAD_PLACE: &str = "audit_head";
/// Refusals of one actor that are written down in an hour; further ones are only counted.
const REFUSALS: u32 = 60;
/// Actors whose refusals are counted apart: there are never more names and tokens than this in a school.
const MAX_ACTORS: usize = 1_000;
/// Longest subject of a refusal: it may be anything that somebody typed.
const MAX_SUBJECT: usize = 100;

/// What [`verify`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub rows: i64,
    /// The first row that does not fit what is before it.
    pub broken_at: Option<i64>,
    /// Rows were taken off the end: the last that there must be.
    pub cut_before: Option<i64>,
    /// Hash of the last row.
    pub head: [u8; 32],
}

impl Verdict {
    pub fn is_whole(&self) -> bool {
        self.broken_at.is_none() && self.cut_before.is_none()
    }
}

/// Refusals of the last hour by actor, in memory.
#[derive(Default)]
pub struct Refusals {
    windows: Mutex<HashMap<String, Window>>,
    /// Number and hash that the sealed note has.
    head: Mutex<Option<(i64, [u8; 32])>>,
}

struct Window {
    began: Timestamp,
    written: u32,
    left_out: u32,
}

/// Appends a row inside the caller's transaction. `detail` must not hold a secret; its `device`, and its `reason` or `possession`, are
/// also kept apart, so that they can be looked for. A subject that is a device is the device.
pub fn record(
    tx: &Tx<'_>,
    actor: &Actor,
    verb: &str,
    subject: Option<&str>,
    detail: Option<Value>,
    now: Timestamp,
) -> Result<(), Error> {
    append(tx, &entry(&actor.name(), actor.origin(), verb, subject, detail, now, true))
}

fn entry(
    actor: &str,
    origin: &str,
    verb: &str,
    subject: Option<&str>,
    detail: Option<Value>,
    at: Timestamp,
    done: bool,
) -> AuditEntry {
    let said = |key: &str| detail.as_ref()?.get(key)?.as_str().map(str::to_owned);
    AuditEntry {
        at,
        actor: actor.to_owned(),
        origin: origin.to_owned(),
        verb: verb.to_owned(),
        device: subject.filter(|s| s.starts_with("d-")).map(str::to_owned).or_else(|| said("device")),
        subject: subject.map(str::to_owned),
        reason: said("reason").or_else(|| said("possession")),
        done,
        detail: detail.map(|d| d.to_string()),
    }
}

fn append(tx: &Tx<'_>, entry: &AuditEntry) -> Result<(), Error> {
    let (seq, previous) = tx.find_last_audit()?.unwrap_or((0, START));
    let hash = link(&previous, seq + 1, entry);
    tx.append_audit(entry, &previous, &hash)?;
    Ok(())
}

/// Runs a grave verb; when it says no, that is written down as refused. Faults of ours are none of the audit's.
///
/// # Errors
/// What the verb said.
pub(super) fn noting<T>(
    cx: &Context,
    actor: &Actor,
    verb: &str,
    subject: &str,
    detail: Value,
    work: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    work().map_err(|error| refuse(cx, actor, verb, Some(subject), detail, error))
}

/// Writes down that `actor` was refused `verb`, and why, at most 60 times an hour for each actor; hands the error on.
pub fn refuse(
    cx: &Context,
    actor: &Actor,
    verb: &str,
    subject: Option<&str>,
    mut detail: Value,
    mut error: Error,
) -> Error {
    let ours = matches!(error.kind, Kind::Busy | Kind::Internal);
    if ours || error.noted {
        return error;
    }
    error.noted = true;
    if !cx.refusals.admit(&actor.name(), cx.now()) {
        return error;
    }
    detail["why"] = json!(error.public.id());
    let subject: Option<String> = subject.map(|s| s.chars().filter(|c| !c.is_control()).take(MAX_SUBJECT).collect());
    // What was named as a device is told by its id, like everywhere else.
    let named = |s: &str| cx.store.read(|db| db.find_device_by_any(s)).ok().flatten();
    let device = subject.as_deref().and_then(named).map(|row| row.public_id);
    let subject = device.or(subject);
    let entry = entry(&actor.name(), actor.origin(), verb, subject.as_deref(), Some(detail), cx.now(), false);
    if let Err(fault) = cx.store.write(|tx| append(tx, &entry)) {
        tracing::error!(error = %fault, verb, "a refusal could not be written into the audit");
    }
    error
}

/// A login that was refused; by [`super::login`], which bounds them.
pub(super) fn record_failed_login(
    tx: &Tx<'_>,
    name: &str,
    origin: &str,
    why: &str,
    now: Timestamp,
) -> Result<(), Error> {
    append(
        tx,
        &entry(
            &format!("admin:{name}"),
            origin,
            "admin.login-failed",
            Some(name),
            Some(json!({ "why": why })),
            now,
            false,
        ),
    )
}

impl Refusals {
    fn admit(&self, actor: &str, now: Timestamp) -> bool {
        let mut windows = self.windows.lock().unwrap_or_else(|p| p.into_inner());
        if windows.len() >= MAX_ACTORS && !windows.contains_key(actor) {
            return false;
        }
        let window = windows.entry(actor.to_owned()).or_insert(Window { began: now, written: 0, left_out: 0 });
        if window.written >= REFUSALS {
            window.left_out = window.left_out.saturating_add(1);
            return false;
        }
        window.written += 1;
        true
    }

    /// Hours that are over, with how many were left out in them.
    fn take_over(&self, now: Timestamp) -> Vec<(String, u32)> {
        let mut windows = self.windows.lock().unwrap_or_else(|p| p.into_inner());
        let mut over = Vec::new();
        windows.retain(|actor, window| {
            let stays = (0..HOUR).contains(&now.since(window.began));
            if !stays && window.left_out > 0 {
                over.push((actor.clone(), window.left_out));
            }
            stays
        });
        over
    }
}

/// Writes down how many refusals were left out, and seals how far the chain has come. Called every few seconds and at a clean stop.
pub fn flush(cx: &Context) -> Result<(), Error> {
    let now = cx.now();
    let over = cx.refusals.take_over(now);
    if !over.is_empty() {
        cx.store.write(|tx| {
            over.iter().try_for_each(|(actor, count)| {
                let detail = json!({ "count": count });
                append(tx, &entry(actor, "server", "audit.refusals-left-out", None, Some(detail), now, false))
            })
        })?;
    }
    let last = cx.store.read(|db| db.find_last_audit())?.unwrap_or((0, START));
    let mut known = cx.refusals.head.lock().unwrap_or_else(|p| p.into_inner());
    if *known == Some(last) {
        return Ok(());
    }
    // The note moves forward along a chain that still holds what it said, and never over a gap that somebody made.
    let Some((seq, hash)) = sealed_head(cx).ok().flatten() else { return Ok(()) };
    let held = if seq == 0 { Some(START) } else { cx.store.read(|db| db.find_audit_hash(seq))? };
    if held == Some(hash) && last.0 >= seq {
        let sealed = cx.seal(HEAD_PLACE, &head_bytes(last));
        cx.store.write(|tx| tx.put_audit_head(&sealed))?;
        *known = Some(last);
    }
    Ok(())
}

/// The note of a chain that has not begun, for the founding.
pub(super) fn first_head(keyring: &Keyring, random: &dyn crate::base::random::Random) -> Vec<u8> {
    keyring.seal(random, HEAD_PLACE, &head_bytes((0, START)))
}

fn head_bytes((seq, hash): (i64, [u8; 32])) -> Vec<u8> {
    [&seq.to_be_bytes()[..], &hash].concat()
}

fn sealed_head(cx: &Context) -> Result<Option<(i64, [u8; 32])>, Error> {
    let Some(sealed) = cx.store.read(|db| db.find_audit_head())? else { return Ok(None) };
    let bytes = cx.open(HEAD_PLACE, &sealed)?;
    let (seq, hash) = bytes.expose().split_at_checked(8).ok_or_else(|| Error::internal("the audit's head is short"))?;
    let number = seq.try_into().map(i64::from_be_bytes).map_err(|_| Error::internal("the audit's head is short"))?;
    Ok(Some((number, hash.try_into().map_err(Error::internal)?)))
}

/// Rows that the filter lets through, oldest first.
pub fn list(cx: &Context, actor: &Actor, filter: &AuditFilter) -> Result<Vec<AuditRow>, Error> {
    actor.require(Permission::Audit)?;
    let mut filter = filter.clone();
    if let Some(device) = &filter.device
        && let Ok(found) = devices::find(cx, actor, device)
    {
        filter.device = Some(found.public_id);
    }
    cx.store.read(|db| Ok(db.list_audit(&filter)?))
}

/// Walks the whole chain: every edited, removed or reordered row shows, those at the end too.
pub fn verify(cx: &Context, actor: &Actor) -> Result<Verdict, Error> {
    actor.require(Permission::Audit)?;
    // Read first: rows that are written meanwhile only make the chain longer.
    let ever = cx.store.read(|db| db.count_audit_ever())?;
    // A note that is gone or does not open was not written by this server.
    let note = sealed_head(cx).ok().flatten();
    let mut verdict = Verdict { rows: 0, broken_at: None, cut_before: None, head: START };
    let mut seq = 0;
    loop {
        let page = cx.store.read(|db| db.list_audit(&AuditFilter { after: seq, ..AuditFilter::first(500) }))?;
        if page.is_empty() {
            break;
        }
        for row in page {
            let fits = row.seq == seq + 1
                && row.previous == verdict.head
                && row.hash == link(&verdict.head, row.seq, &row.entry)
                && note.is_none_or(|(at, hash)| at != row.seq || hash == row.hash);
            if !fits {
                verdict.broken_at = Some(row.seq);
                return Ok(verdict);
            }
            (seq, verdict.head, verdict.rows) = (row.seq, row.hash, verdict.rows + 1);
        }
    }
    // Without its note nobody can say where the chain ended.
    let must_be = note.map_or(ever.max(seq) + 1, |(at, _)| at.max(ever));
    verdict.cut_before = (seq < must_be).then_some(must_be);
    Ok(verdict)
}

/// SHA-256 over the previous hash, the sequence number and every field with its length before it, so that no two different rows
/// give the same bytes.
pub(super) fn link(previous: &[u8; 32], seq: i64, entry: &AuditEntry) -> [u8; 32] {
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(previous);
    bytes.extend_from_slice(&seq.to_be_bytes());
    bytes.extend_from_slice(&entry.at.0.to_be_bytes());
    bytes.push(u8::from(entry.done));
    let words = [&entry.actor, &entry.origin, &entry.verb].map(|text| Some(text.as_str()));
    let more = [&entry.subject, &entry.device, &entry.reason, &entry.detail].map(|text| text.as_deref());
    for field in words.into_iter().chain(more) {
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
