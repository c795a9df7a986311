//! `/setup-plans`: what a device or a user gets while Setup Assistant waits.

use super::reply::json;
use super::views::Page;
use super::{Call, Response};
use crate::service::Error;
use crate::service::setting_up::{self, PlanView, PlanWish};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSetupPlan {
    pub name: String,
    /// For the devices or the people of this group; without group and device it is for everybody.
    pub group: Option<String>,
    /// For this device.
    pub device: Option<String>,
    /// Ids or PayloadIdentifiers of profiles, beside those that are assigned anyway.
    #[serde(default)]
    pub profiles: Vec<String>,
    /// Apple's keys of AccountConfiguration, for Macs; data as base64.
    #[schema(value_type = Option<Object>)]
    pub account: Option<Value>,
    /// Apple's keys of InstallApplication, one for each app.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    pub apps: Vec<Value>,
    /// The device goes on after this time, whatever is done; 300 by default.
    #[schema(minimum = 10, maximum = 3600)]
    pub limit_seconds: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SetupPlan {
    pub id: String,
    pub name: String,
    pub group: Option<String>,
    /// Cordon's id.
    pub device: Option<String>,
    /// PayloadIdentifiers.
    pub profiles: Vec<String>,
    /// RequestTypes; their keys may hold passwords and are not shown.
    pub commands: Vec<String>,
    pub limit_seconds: i64,
    pub created_by: String,
    pub created_at: String,
}

pub fn list(call: &Call<'_>) -> Result<Response, Error> {
    let items = setting_up::list(call.cx, &call.actor)?.into_iter().map(plan).collect();
    Ok(json(200, &Page { items, next_cursor: None }))
}

pub fn create(call: &Call<'_>) -> Result<Response, Error> {
    let body: NewSetupPlan = call.body()?;
    let NewSetupPlan { name, group, device, profiles, account, apps, limit_seconds } = body;
    let wish = PlanWish { name, group, device, profiles, account, apps, limit_seconds };
    Ok(json(201, &plan(setting_up::create(call.cx, &call.actor, &wish)?)))
}

pub fn show(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    Ok(json(200, &plan(setting_up::show(call.cx, &call.actor, id)?)))
}

pub fn remove(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    setting_up::remove(call.cx, &call.actor, id)?;
    Ok(Response::empty(204))
}

fn plan(view: PlanView) -> SetupPlan {
    let PlanView { row, device, group, profiles } = view;
    SetupPlan {
        id: row.public_id,
        name: row.name,
        group,
        device,
        profiles,
        commands: row.commands,
        limit_seconds: row.limit_seconds,
        created_by: row.created_by,
        created_at: row.created_at.to_string(),
    }
}
