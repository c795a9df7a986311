//! `/bulk`: one command for many devices, how far it is, and what became of it for each.

use super::commands::{raw, typed};
use super::reply::json;
use super::views::Page;
use super::{Call, Response};
use crate::base::texts::Text;
use crate::service::Error;
use crate::service::bulk::{self, BulkView, Whom};
use crate::store::{BulkItem, BulkRow};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// For which devices: exactly one of the keys. The other keys are those of a command for one device.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct BulkWish {
    /// Every device of this group, by name or id.
    pub group: Option<String>,
    /// Every device that is enrolled.
    pub all: bool,
    /// By id, UDID or serial number.
    pub devices: Vec<String>,
    /// RequestType, Apple's keys, `not_before` and `expires_at`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub command: Map<String, Value>,
}

/// How far it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Bulk {
    pub id: String,
    #[serde(rename = "RequestType")]
    pub request_type: String,
    /// The group, by its name then, or what else was said.
    pub whom: String,
    pub not_before: Option<String>,
    pub expires_at: Option<String>,
    pub created_by: String,
    pub created_at: String,
    /// Devices for which nothing waits any more, of all; only of one that is asked for by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// How many devices are in which state: states of commands, `pending` (not queued yet), `refused`, `gone`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub counts: Option<Value>,
}

/// What became of it for one device.
#[derive(Debug, Serialize, ToSchema)]
pub struct BulkLine {
    /// Cordon's id.
    pub device: String,
    pub serial: Option<String>,
    pub name: Option<String>,
    pub command_uuid: Option<String>,
    /// State of its command, `pending`, `refused` or `gone`.
    pub state: String,
    /// Why it got no command.
    pub refused: Option<String>,
    /// As the device put it.
    #[schema(value_type = Option<Object>)]
    pub error_chain: Option<Value>,
}

fn head(row: BulkRow) -> Bulk {
    Bulk {
        id: row.public_id,
        request_type: row.request_type,
        whom: row.whom,
        not_before: row.not_before.map(|at| at.to_string()),
        expires_at: row.expires_at.map(|at| at.to_string()),
        created_by: row.created_by,
        created_at: row.created_at.to_string(),
        done: None,
        total: None,
        counts: None,
    }
}

fn whole(view: BulkView) -> Bulk {
    let (done, total) = view.progress();
    let counts = view.counts.into_iter().map(|(state, n)| (state, Value::from(n))).collect();
    Bulk { done: Some(done), total: Some(total), counts: Some(Value::Object(counts)), ..head(view.row) }
}

fn line(item: BulkItem) -> BulkLine {
    BulkLine {
        state: item.standing().to_owned(),
        device: item.device,
        serial: item.serial,
        name: item.name,
        command_uuid: item.command,
        refused: item.refused,
        error_chain: item.error_chain.and_then(|chain| serde_json::from_str(&chain).ok()),
    }
}

/// JSON with Apple's keys, or a raw property list with the devices in the query.
pub fn begin(call: &Call<'_>) -> Result<Response, Error> {
    let is_plist = call.request.header("content-type").is_some_and(|t| t.contains("xml") || t.contains("plist"));
    let (wish, about) = if is_plist {
        let (wish, _) = raw(call)?;
        let devices = call.query("devices").map(|all| all.split(',').map(str::to_owned).collect()).unwrap_or_default();
        let all = call.query("all").as_deref() == Some("true");
        (wish, BulkWish { group: call.query("group"), all, devices, command: Map::new() })
    } else {
        let mut about: BulkWish = call.body()?;
        let (wish, _) = typed(Value::Object(std::mem::take(&mut about.command)))?;
        (wish, about)
    };
    let whom = match (about.group, about.all, about.devices) {
        (Some(group), false, none) if none.is_empty() => Whom::Group(group),
        (None, true, none) if none.is_empty() => Whom::All,
        (None, false, devices) if !devices.is_empty() => Whom::These(devices),
        _ => {
            let why = String::from("say one of group, all and devices");
            return Err(Error::invalid(Text::BadArgument { key: String::from("group"), why }));
        }
    };
    Ok(json(201, &whole(bulk::begin_with(call.cx, &call.actor, &whom, wish)?)))
}

pub fn list(call: &Call<'_>) -> Result<Response, Error> {
    let limit = call.limit()?;
    let mut found = bulk::list(call.cx, &call.actor, call.cursor()?, limit + 1)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().filter(|_| more).map(|row| row.id.to_string());
    Ok(json(200, &Page { items: found.into_iter().map(head).collect(), next_cursor }))
}

pub fn show(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    Ok(json(200, &whole(bulk::show(call.cx, &call.actor, id)?)))
}

pub fn items(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let limit = call.limit()?;
    let mut found = bulk::items(call.cx, &call.actor, id, call.cursor()?.unwrap_or(0), limit + 1)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().filter(|_| more).map(|item| item.row.to_string());
    Ok(json(200, &Page { items: found.into_iter().map(line).collect(), next_cursor }))
}

pub fn cancel(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    Ok(json(200, &whole(bulk::cancel(call.cx, &call.actor, id)?)))
}
