//! Retention: what nobody needs any more goes, in small steps, as upkeep (`jobs`). Plists of finished commands at once, answers and
//! stories when the school's time for them is over. Audit, custody and certificates stay for ever and are not touched here.

use super::actor::{Actor, Permission};
use super::{Context, Error, auditing};
use crate::base::texts::Text;
use crate::base::time::{DAY, Timestamp};
use crate::store::Db;
use serde_json::{Value, json};
use std::sync::Mutex;

/// Setting: the three times, as JSON.
const RETENTION: &str = "retention";
/// Days that may be chosen.
const DAYS: std::ops::RangeInclusive<i64> = 1..=3_650;
/// Rows looked at in one step.
const STEP: usize = 500;
/// Pages given back to the disk in one step: 2 MiB.
const PAGES: usize = 512;

/// How long things are kept, in days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// What devices answered.
    pub results: i64,
    /// Stories of devices, and that there were commands, for one device or for many.
    pub timeline: i64,
    /// What webhooks were told, and how it went.
    pub webhook_log: i64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { results: 90, timeline: 400, webhook_log: 30 }
    }
}

/// What is to be changed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish {
    pub results: Option<i64>,
    pub timeline: Option<i64>,
    pub webhook_log: Option<i64>,
}

pub(super) fn find(db: &Db<'_>) -> Result<Retention, Error> {
    let said = db.find_setting(RETENTION)?.unwrap_or(Value::Null);
    let usual = Retention::default();
    let days = |key: &str, usual| said[key].as_i64().filter(|days| DAYS.contains(days)).unwrap_or(usual);
    Ok(Retention {
        results: days("results", usual.results),
        timeline: days("timeline", usual.timeline),
        webhook_log: days("webhook_log", usual.webhook_log),
    })
}

/// How long things are kept.
pub fn show(cx: &Context, actor: &Actor) -> Result<Retention, Error> {
    actor.require(Permission::Administer)?;
    cx.store.read(find)
}

/// Changes how long things are kept; what is too old by then goes with the next upkeep.
///
/// # Errors
/// `Invalid` for less than a day or more than ten years, and for stories that end before the answers in them.
pub fn change(cx: &Context, actor: &Actor, wish: Wish) -> Result<Retention, Error> {
    actor.require(Permission::Administer)?;
    let bad = |key: &str, why: &str| Error::invalid(Text::BadArgument { key: key.to_owned(), why: why.to_owned() });
    for (key, days) in
        [("results_days", wish.results), ("timeline_days", wish.timeline), ("webhook_log_days", wish.webhook_log)]
    {
        if days.is_some_and(|days| !DAYS.contains(&days)) {
            return Err(bad(key, "is a number of days from 1 to 3650"));
        }
    }
    let now = cx.now();
    cx.store.write(|tx| {
        let before = find(tx)?;
        let new = Retention {
            results: wish.results.unwrap_or(before.results),
            timeline: wish.timeline.unwrap_or(before.timeline),
            webhook_log: wish.webhook_log.unwrap_or(before.webhook_log),
        };
        if new.timeline < new.results {
            return Err(bad("timeline_days", "must not be less than results_days: an answer goes with its command"));
        }
        let value =
            |r: Retention| json!({ "results": r.results, "timeline": r.timeline, "webhook_log": r.webhook_log });
        tx.put_setting(RETENTION, &value(new))?;
        auditing::record(
            tx,
            actor,
            "retention.change",
            None,
            Some(json!({ "from": value(before), "to": value(new) })),
            now,
        )?;
        Ok(new)
    })
}

/// How far this process has come; a restart begins at the oldest again.
pub struct Purging(Mutex<Walk>);

impl Default for Purging {
    fn default() -> Self {
        Self(Mutex::new(Walk { stage: Stage::Plists, at: 0, spent: 0, all_spent: true }))
    }
}

struct Walk {
    stage: Stage,
    /// Last row of this stage that was looked at.
    at: i64,
    /// Up to here every delivery is finished and its plist gone.
    spent: i64,
    all_spent: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Plists,
    Answers,
    History,
    Bulks,
    Stories,
    Pages,
}

/// One step. `true` while there is more to do in this round.
///
/// # Errors
/// Faults of the store.
pub fn step(cx: &Context) -> Result<bool, Error> {
    // A clock that is wrong would make everything old.
    if cx.clock_is_behind().is_some() {
        return Ok(false);
    }
    let mut walk = cx.purging.0.lock().unwrap_or_else(|p| p.into_inner());
    let (now, keep) = (cx.now(), cx.store.read(find)?);
    let done = match walk.stage {
        Stage::Plists => plists(cx, &mut walk)?,
        Stage::Answers => answers(cx, &mut walk, now.plus(-keep.results * DAY), now)?,
        Stage::History => history(cx, &mut walk, now.plus(-keep.timeline * DAY))?,
        Stage::Bulks => bulks(cx, &mut walk, now.plus(-keep.timeline * DAY))?,
        Stage::Stories => stories(cx, now.plus(-keep.timeline * DAY))?,
        Stage::Pages => cx.store.write(|tx| tx.reclaim(PAGES))? == 0,
    };
    if !done {
        return Ok(true);
    }
    (walk.stage, walk.at) = match walk.stage {
        Stage::Plists => (Stage::Answers, 0),
        Stage::Answers => (Stage::History, 0),
        Stage::History => (Stage::Bulks, 0),
        Stage::Bulks => (Stage::Stories, 0),
        Stage::Stories => (Stage::Pages, 0),
        Stage::Pages => (Stage::Plists, walk.spent),
    };
    walk.all_spent = true;
    Ok(walk.stage != Stage::Plists)
}

/// `true` when the stage is over.
fn plists(cx: &Context, walk: &mut Walk) -> Result<bool, Error> {
    let found = cx.store.read(|db| db.list_spent(walk.at, STEP))?;
    if found.iter().any(|delivery| delivery.to_purge) {
        cx.store.write(|tx| found.iter().filter(|d| d.to_purge).try_for_each(|d| tx.purge_plist(&d.command)))?;
    }
    for delivery in &found {
        walk.at = delivery.seq;
        walk.all_spent &= delivery.finished;
        if walk.all_spent {
            walk.spent = delivery.seq;
        }
    }
    Ok(found.len() < STEP)
}

fn answers(cx: &Context, walk: &mut Walk, before: Timestamp, now: Timestamp) -> Result<bool, Error> {
    let found = cx.store.read(|db| db.list_old_results(walk.at, before, STEP))?;
    let old: Vec<i64> = found.iter().filter(|(_, old)| *old).map(|(seq, _)| *seq).collect();
    if !old.is_empty() {
        cx.store.write(|tx| old.iter().try_for_each(|seq| tx.purge_result(*seq, now)))?;
    }
    if let Some((seq, _)) = found.last() {
        walk.at = *seq;
    }
    Ok(found.len() < STEP)
}

fn history(cx: &Context, walk: &mut Walk, before: Timestamp) -> Result<bool, Error> {
    let found = cx.store.read(|db| db.list_old_deliveries(walk.at, before, STEP))?;
    let old: Vec<_> = found.iter().filter(|(_, _, finished)| *finished).collect();
    if !old.is_empty() {
        cx.store.write(|tx| old.iter().try_for_each(|(seq, command, _)| tx.delete_delivery(*seq, command)))?;
    }
    if let Some((seq, ..)) = found.last() {
        walk.at = *seq;
    }
    Ok(found.len() < STEP)
}

/// A wish for many goes after the last of its commands; one that still runs has some.
fn bulks(cx: &Context, walk: &mut Walk, before: Timestamp) -> Result<bool, Error> {
    let Some((bulk, over)) = cx.store.read(|db| db.find_old_bulk(walk.at, before))? else { return Ok(true) };
    if !over || cx.store.write(|tx| tx.delete_bulk(bulk, STEP))? {
        walk.at = bulk;
    }
    Ok(false)
}

fn stories(cx: &Context, before: Timestamp) -> Result<bool, Error> {
    if cx.store.read(|db| db.has_stock_change_before(before))? {
        return Ok(cx.store.write(|tx| tx.delete_stock_changes(before, STEP))? == 0);
    }
    if !cx.store.read(|db| db.has_timeline_before(before))? {
        return Ok(true);
    }
    Ok(cx.store.write(|tx| tx.delete_timeline(before, STEP))? < STEP)
}
