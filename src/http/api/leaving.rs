//! The ends of management and what waits for a decision: `/devices/{id}/remove|release|block|unblock|take-back|release-quarantine|rebind`,
//! `/attention`, `/device-policy`.

use super::reply::json;
use super::views::{self, Page};
use super::{Call, Response};
use crate::service::device_policy::{self, Change, Policy};
use crate::service::{Error, attention, devices, leaving};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

fn device(call: &Call<'_>, device: &str) -> Result<Response, Error> {
    Ok(json(200, &views::device(&devices::show(call.cx, &call.actor, device)?, None)))
}

pub fn remove(call: &Call<'_>, device: &str) -> Result<Response, Error> {
    Ok(json(201, &views::command(leaving::remove(call.cx, &call.actor, device)?)))
}

pub fn release(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    leaving::release(call.cx, &call.actor, id)?;
    device(call, id)
}

pub fn block(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    leaving::block(call.cx, &call.actor, id)?;
    device(call, id)
}

pub fn unblock(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    leaving::unblock(call.cx, &call.actor, id)?;
    device(call, id)
}

pub fn take_back(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    attention::take_back(call.cx, &call.actor, id)?;
    device(call, id)
}

pub fn release_quarantine(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    attention::release_quarantine(call.cx, &call.actor, id)?;
    device(call, id)
}

pub fn rebind(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    attention::rebind(call.cx, &call.actor, id)?;
    device(call, id)
}

/// Something that a person must decide.
#[derive(Debug, Serialize, ToSchema)]
pub struct Attention {
    pub device_id: String,
    pub serial: Option<String>,
    /// `came-back`, `clone`, `other-identity` or `renewal`.
    pub kind: String,
    /// What it is and what can be done.
    pub words: String,
    pub detail: Value,
    pub first_at: String,
    pub last_at: String,
    pub times: i64,
}

pub fn list(call: &Call<'_>) -> Result<Response, Error> {
    let views = attention::list(call.cx, &call.actor)?;
    let items = views.into_iter().map(|view| Attention {
        device_id: view.device.public_id,
        serial: view.device.serial,
        kind: view.row.kind,
        words: view.words,
        detail: serde_json::from_str(&view.row.detail).unwrap_or_default(),
        first_at: view.row.first_at.to_string(),
        last_at: view.row.last_at.to_string(),
        times: view.row.times,
    });
    Ok(json(200, &Page { items: items.collect(), next_cursor: None }))
}

/// What the school decided about devices that come and go.
#[derive(Debug, Serialize, ToSchema)]
pub struct DevicePolicy {
    /// Answer 401 to devices that nobody here knows, which ends their management. Off by default: after the restore of an old
    /// database every device that enrolled since would be lost.
    pub unenroll_strangers: bool,
    /// Take every device back that left and shows its old identity again; else a person is asked.
    pub take_back: bool,
    /// For so many days an expired identity may still fetch its renewal; 0 is never.
    pub expired_days: i64,
    /// Percent of its life that an identity has left when it is renewed.
    pub renew_at_percent: i64,
    /// Over so many days renewals that come due together are spread, at most.
    pub renew_spread_days: i64,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DevicePolicyChange {
    pub unenroll_strangers: Option<bool>,
    pub take_back: Option<bool>,
    pub expired_days: Option<i64>,
    pub renew_at_percent: Option<i64>,
    pub renew_spread_days: Option<i64>,
}

fn policy(policy: Policy) -> DevicePolicy {
    let Policy { unenroll_strangers, take_back, expired_days, renew_at_percent, renew_spread_days } = policy;
    DevicePolicy { unenroll_strangers, take_back, expired_days, renew_at_percent, renew_spread_days }
}

pub fn show_policy(call: &Call<'_>) -> Result<Response, Error> {
    Ok(json(200, &policy(device_policy::show(call.cx, &call.actor)?)))
}

pub fn change_policy(call: &Call<'_>) -> Result<Response, Error> {
    let body: DevicePolicyChange = call.body()?;
    let change = Change {
        unenroll_strangers: body.unenroll_strangers,
        take_back: body.take_back,
        expired_days: body.expired_days,
        renew_at_percent: body.renew_at_percent,
        renew_spread_days: body.renew_spread_days,
    };
    Ok(json(200, &policy(device_policy::change(call.cx, &call.actor, &change)?)))
}
