//! `/devices`: lists, one device, its users, a push by hand.

use super::reply::json;
use super::views::{self, Page};
use super::{Call, Response};
use crate::service::{Error, devices, pushing};
use crate::store::ChannelKind;

/// Lines of a device's story in its own answer.
const TIMELINE: usize = 100;

pub fn list(call: &Call<'_>) -> Result<Response, Error> {
    let limit = call.limit()?;
    let search = call.query("search");
    let mut found = devices::list(call.cx, &call.actor, call.cursor()?.unwrap_or(0), search.as_deref(), limit + 1)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().filter(|_| more).map(|d| d.row.id.to_string());
    Ok(json(200, &Page { items: found.iter().map(|d| views::device(d, None)).collect(), next_cursor }))
}

pub fn show(call: &Call<'_>, device: &str) -> Result<Response, Error> {
    let found = devices::show(call.cx, &call.actor, device)?;
    let timeline = devices::timeline(call.cx, &call.actor, device, TIMELINE)?;
    let arrival = devices::arrival(call.cx, &call.actor, &found)?.map(views::arrival);
    let person = devices::person(call.cx, &call.actor, &found)?.map(views::device_person);
    Ok(json(200, &views::Device { arrival, person, ..views::device(&found, Some(timeline)) }))
}

pub fn users(call: &Call<'_>, device: &str) -> Result<Response, Error> {
    let found = devices::show(call.cx, &call.actor, device)?;
    let items = found.channels.iter().filter(|c| c.row.channel == ChannelKind::User).map(views::user).collect();
    Ok(json(200, &Page { items, next_cursor: None }))
}

pub fn push(call: &Call<'_>, device: &str) -> Result<Response, Error> {
    pushing::push_now(call.cx, &call.actor, device, call.query("user").as_deref())?;
    Ok(json(202, &serde_json::json!({ "owed": true })))
}
