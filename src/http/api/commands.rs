//! `/commands`, and `/devices/{id}/commands`: send (JSON with Apple's keys, or a raw property list), list, show, cancel, explain.

use super::reply::json;
use super::views::{self, Explanation, Page};
use super::{Call, Response};
use crate::base::ids::CommandUuid;
use crate::base::texts::Text;
use crate::base::time::Timestamp;
use crate::plist::Dictionary;
use crate::protocol::{catalogue, command};
use crate::service::commands::{self, Wish};
use crate::service::forecasting::{self, Question};
use crate::service::unlocking::Stated;
use crate::service::{Error, tokens};
use crate::store::CommandFilter;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Keys of the JSON body that are Cordon's and not Apple's.
const OWN_KEYS: [&str; 7] = ["RequestType", "CommandUUID", "user", "not_before", "expires_at", "possession", "reason"];

pub fn send(call: &Call<'_>, device: &str) -> Result<Response, Error> {
    let is_plist = call.request.header("content-type").is_some_and(|t| t.contains("xml") || t.contains("plist"));
    let (wish, stated) = if is_plist { raw(call)? } else { typed(call.body()?)? };
    let view = commands::send_stating(call.cx, &call.actor, device, &wish, &stated)?;
    Ok(json(201, &views::command(view)))
}

/// A raw property list goes as it is; with `checked=true` Apple's schema has its say first.
pub(super) fn raw(call: &Call<'_>) -> Result<(Wish, Stated), Error> {
    let parsed = command::parse_raw(&call.request.body.bytes);
    let (uuid, request_type, keys) = parsed.map_err(|e| Error::invalid(Text::BadPlist { why: e.to_string() }))?;
    let unchecked = call.query("checked").as_deref() != Some("true");
    let stated = Stated { possession: call.query("possession"), reason: call.query("reason") };
    Ok((
        wish(
            uuid,
            request_type,
            keys,
            (call.query("user"), call.query("not_before"), call.query("expires_at")),
            unchecked,
        )?,
        stated,
    ))
}

/// JSON with Apple's keys.
pub(super) fn typed(body: Value) -> Result<(Wish, Stated), Error> {
    let own = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
    let missing =
        || Error::invalid(Text::BadArgument { key: String::from("RequestType"), why: String::from("is required") });
    let request_type = own("RequestType").ok_or_else(missing)?;
    if catalogue::find(&request_type).is_none() {
        return Err(Error::invalid(Text::UnknownRequestType { request_type }));
    }
    let uuid = own("CommandUUID").map(|text| text.parse()).transpose();
    let uuid = uuid.map_err(|e: crate::base::ids::BadId| {
        Error::invalid(Text::BadArgument { key: String::from("CommandUUID"), why: e.why.to_owned() })
    })?;
    let timing = (own("user"), own("not_before"), own("expires_at"));
    let stated = Stated { possession: own("possession"), reason: own("reason") };
    let mut apple = body;
    if let Some(map) = apple.as_object_mut() {
        OWN_KEYS.iter().for_each(|key| drop(map.remove(*key)));
    }
    let keys = catalogue::from_json(&request_type, &apple)
        .map_err(|e| Error::invalid(Text::CommandDoubt { finding: e.to_string() }))?;
    Ok((wish(uuid, request_type, keys, timing, false)?, stated))
}

/// User, not before, expires at: as the caller wrote them.
type Timing = (Option<String>, Option<String>, Option<String>);

fn wish(
    uuid: Option<CommandUuid>,
    request_type: String,
    keys: Dictionary,
    timing: Timing,
    unchecked: bool,
) -> Result<Wish, Error> {
    let (user, not_before, expires_at) = timing;
    let not_before = instant("not_before", not_before)?;
    let expires_at = instant("expires_at", expires_at)?;
    Ok(Wish { request_type, keys, user, uuid, not_before, expires_at, unchecked })
}

fn instant(key: &str, text: Option<String>) -> Result<Option<Timestamp>, Error> {
    let Some(text) = text else { return Ok(None) };
    let bad = || {
        Error::invalid(Text::BadArgument {
            key: key.to_owned(),
            why: String::from("is not a date like 2026-09-01T08:00:00Z"),
        })
    };
    tokens::parse_instant(&text).map(Some).ok_or_else(bad)
}

/// What is asked: Apple's keys beside RequestType, and about whom.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForecastWish {
    #[serde(rename = "RequestType")]
    pub request_type: String,
    /// Apple's keys; data as base64.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub keys: Value,
    /// By id, UDID or serial number.
    #[serde(default)]
    pub devices: Vec<String>,
    /// And every device of this group.
    pub group: Option<String>,
    /// For a user's channel: UserID or short name.
    pub user: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Forecasts {
    /// What Apple's schema does not expect of the keys, the same for all devices.
    pub doubts: Vec<String>,
    pub items: Vec<Forecast>,
}

/// What would become of a command on one device.
#[derive(Debug, Serialize, ToSchema)]
pub struct Forecast {
    /// Cordon's id.
    pub device: String,
    pub serial: Option<String>,
    pub name: Option<String>,
    pub will_run: bool,
    /// Why it will not, or what is not known for sure.
    pub reasons: Vec<String>,
    /// About when.
    pub when: Vec<String>,
}

pub fn check(call: &Call<'_>) -> Result<Response, Error> {
    let ForecastWish { request_type, keys, devices, group, user } = call.body()?;
    let keys = if keys.is_null() { Value::Object(serde_json::Map::new()) } else { keys };
    let keys = catalogue::from_json(&request_type, &keys)
        .map_err(|e| Error::invalid(Text::CommandDoubt { finding: e.to_string() }))?;
    let question = Question { request_type, keys, devices, group, user };
    let (doubts, found) = forecasting::check(call.cx, &call.actor, &question)?;
    let items = found.into_iter().map(|f| Forecast {
        device: f.device.public_id,
        serial: f.device.serial,
        name: f.device.name,
        will_run: f.will_run,
        reasons: f.reasons,
        when: f.when,
    });
    Ok(json(200, &Forecasts { doubts, items: items.collect() }))
}

pub fn list(call: &Call<'_>, device: Option<&str>) -> Result<Response, Error> {
    let limit = call.limit()?;
    let bad = |_| {
        Error::invalid(Text::BadArgument {
            key: String::from("state"),
            why: String::from("is not a state of a command"),
        })
    };
    let state = call.query("state").map(|text| text.parse().map_err(bad)).transpose()?;
    let filter = CommandFilter { device: None, only: None, state, before: call.cursor()?, limit: limit + 1 };
    let mut found = commands::list(call.cx, &call.actor, device, filter)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().filter(|_| more).map(|c| c.delivery.seq.to_string());
    Ok(json(200, &Page { items: found.into_iter().map(views::command).collect(), next_cursor }))
}

pub fn show(call: &Call<'_>, uuid: &str) -> Result<Response, Error> {
    Ok(json(200, &views::command(commands::show(call.cx, &call.actor, uuid)?)))
}

pub fn cancel(call: &Call<'_>, uuid: &str) -> Result<Response, Error> {
    Ok(json(200, &views::command(commands::cancel(call.cx, &call.actor, uuid)?)))
}

pub fn explain(call: &Call<'_>, uuid: &str) -> Result<Response, Error> {
    let words = commands::explain(call.cx, &call.actor, uuid)?;
    let state = commands::show(call.cx, &call.actor, uuid)?.delivery.state.as_str();
    Ok(json(200, &Explanation { command_uuid: uuid.to_owned(), state, words }))
}
