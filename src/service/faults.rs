//! What is wrong with the whole server: disk, clock, pushes. Looked at by `jobs` every few seconds; told to webhooks when it begins, once a day
//! while it lasts, and when it is over. A job that fails is told by [`super::events::tell_fault`].

use super::events::{self, Kind};
use super::{Context, Error};
use crate::base::limits::MIN_FREE_SPACE;
use crate::base::texts::Text;
use crate::base::time::{DAY, MINUTE, Timestamp};
use serde_json::json;

/// Told before the server has to refuse work.
const NEARLY_FULL: u64 = 4 * MIN_FREE_SPACE;
/// Apple's push service may be out of reach for so long before it is a fault.
const PUSH_PATIENCE: i64 = 10 * MINUTE;

/// Looks at everything once.
///
/// # Errors
/// Faults of the store.
pub fn watch(cx: &Context) -> Result<(), Error> {
    if !events::wants(cx, Kind::ServerFault) {
        return Ok(());
    }
    let now = cx.now();
    let free = cx.store.free_space()?;
    let disk = (free < NEARLY_FULL).then_some(Text::DiskNearlyFull { megabytes: free / 1_048_576 });
    let clock = cx.clock_is_behind().map(|seen| Text::ClockBehind { now: now.to_string(), seen: seen.to_string() });
    for (name, found) in [("disk", disk), ("clock", clock), ("push-service", pushes_fail(cx))] {
        tell(cx, name, found, now)?;
    }
    Ok(())
}

/// Apple's push service has been out of reach for a while.
pub fn pushes_fail(cx: &Context) -> Option<Text> {
    let since = *cx.hooks.pushes_fail_since.lock().unwrap_or_else(|p| p.into_inner());
    let since = since.filter(|since| cx.now().since(*since) >= PUSH_PATIENCE);
    since.map(|since| Text::PushesFail { since: since.to_string() })
}

/// Apple's push service was reached, or not.
pub fn note_push(cx: &Context, reached: bool, now: Timestamp) {
    let mut since = cx.hooks.pushes_fail_since.lock().unwrap_or_else(|p| p.into_inner());
    *since = if reached { None } else { since.or(Some(now)) };
}

fn tell(cx: &Context, name: &'static str, found: Option<Text>, now: Timestamp) -> Result<(), Error> {
    let told = cx.hooks.conditions.lock().unwrap_or_else(|p| p.into_inner()).get(name).copied();
    let (over, detail) = match (&found, told) {
        // The clock may be what is wrong: a time that lies ahead counts as long ago.
        (Some(_), Some(at)) if (0..DAY).contains(&now.since(at)) => return Ok(()),
        (Some(text), _) => (false, text.to_string()),
        (None, Some(_)) => (true, Text::FaultOver.to_string()),
        (None, None) => return Ok(()),
    };
    let fault = json!({ "fault": { "job": name, "kind": "condition", "detail": detail, "over": over } });
    cx.store.write(|tx| events::record(cx, tx, Kind::ServerFault, None, now, || fault))?;
    let mut told = cx.hooks.conditions.lock().unwrap_or_else(|p| p.into_inner());
    if over {
        told.remove(name)
    } else {
        told.insert(name, now)
    };
    drop(told);
    cx.ring_teller();
    Ok(())
}
