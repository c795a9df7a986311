//! `/inventory…`: how often devices are asked by themselves, what stands on them, what changed, and all of it as a file.

use super::reply::json;
use super::views::Page;
use super::{Call, Response};
use crate::base::texts::Text;
use crate::base::time::Timestamp;
use crate::protocol::stock::{Item, Kind};
use crate::service::stock::{self, Part};
use crate::service::{Error, inventory};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Lines of one page of a search.
const MOST: usize = 20_000;

#[derive(Debug, Serialize, ToSchema)]
pub struct InventoryPolicy {
    /// Hours between two rounds of questions; 0 asks nobody.
    #[schema(minimum = 0, maximum = 720)]
    pub every_hours: i64,
    /// Hours between two rounds that ask for apps and certificates too; 0 never asks for them.
    #[schema(minimum = 0, maximum = 720)]
    pub lists_every_hours: i64,
}

/// What is left out stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InventoryPolicyChange {
    #[schema(minimum = 0, maximum = 720)]
    pub every_hours: Option<i64>,
    #[schema(minimum = 0, maximum = 720)]
    pub lists_every_hours: Option<i64>,
}

/// One thing on a device.
#[derive(Debug, Serialize, ToSchema)]
pub struct StockItem {
    /// Only of a search over all devices: Cordon's id, serial number and name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_name: Option<String>,
    /// Bundle identifier of an app, SHA-256 of a certificate, PayloadIdentifier of a profile, Apple's name of a fact.
    pub identifier: String,
    pub name: String,
    /// Version of an app, last day of a certificate, PayloadUUID of a profile, value of a fact.
    pub value: String,
    /// Issuer of a certificate.
    pub detail: Option<String>,
    /// When the device told it first, in this version.
    pub since: String,
}

/// Something that changed on a device.
#[derive(Debug, Serialize, ToSchema)]
pub struct StockChange {
    pub at: String,
    /// `app`, `certificate`, `profile` or `fact`.
    pub kind: String,
    pub identifier: String,
    pub name: String,
    /// `null` where it was not there.
    pub before: Option<String>,
    /// `null` where it is no more.
    pub after: Option<String>,
}

/// A device with what is known of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExportedDevice {
    pub id: String,
    pub serial: Option<String>,
    pub name: Option<String>,
    pub platform: String,
    pub model: Option<String>,
    pub product: Option<String>,
    pub system: Option<String>,
    pub build: Option<String>,
    /// `null` until the device said so.
    pub supervised: Option<bool>,
    /// State of its enrolment.
    pub state: String,
    pub lost: &'static str,
    pub enrolled_at: Option<String>,
    pub last_seen_at: Option<String>,
    pub groups: Vec<String>,
    pub apps: i64,
    pub certificates: i64,
    pub profiles: i64,
    /// Apple's name and value, as the device said it.
    pub facts: BTreeMap<String, String>,
}

fn policy(now: inventory::Policy) -> Response {
    let inventory::Policy { every_hours, lists_every_hours } = now;
    json(200, &InventoryPolicy { every_hours, lists_every_hours })
}

pub fn show(call: &Call<'_>) -> Result<Response, Error> {
    Ok(policy(inventory::show(call.cx, &call.actor)?))
}

pub fn set(call: &Call<'_>) -> Result<Response, Error> {
    let InventoryPolicyChange { every_hours, lists_every_hours } = call.body()?;
    Ok(policy(inventory::set(call.cx, &call.actor, every_hours, lists_every_hours)?))
}

/// `kind`, an app unless said.
fn kind(call: &Call<'_>) -> Result<Kind, Error> {
    let said = call.query("kind").unwrap_or_else(|| String::from("app"));
    let found = Kind::ALL.into_iter().find(|kind| kind.as_str() == said);
    let why = String::from("is one of app, certificate, profile and fact");
    found.ok_or_else(|| Error::invalid(Text::BadArgument { key: String::from("kind"), why }))
}

fn is_csv(call: &Call<'_>) -> bool {
    call.query("format").as_deref() == Some("csv")
}

fn csv(bytes: Vec<u8>) -> Response {
    Response::new(200, "text/csv; charset=utf-8", bytes)
}

fn thing(item: Item, since: Timestamp) -> StockItem {
    StockItem {
        device: None,
        serial: None,
        device_name: None,
        identifier: item.key,
        name: item.name,
        value: item.value,
        detail: item.detail,
        since: since.to_string(),
    }
}

pub fn of_device(call: &Call<'_>, device: &str) -> Result<Response, Error> {
    let found = stock::of_device(call.cx, &call.actor, device, kind(call)?)?;
    let items = found.into_iter().map(|(item, since)| thing(item, since)).collect();
    Ok(json(200, &Page { items, next_cursor: None }))
}

pub fn changes(call: &Call<'_>, device: &str) -> Result<Response, Error> {
    let limit = call.limit()?;
    let mut found = stock::changes(call.cx, &call.actor, device, call.cursor()?, limit + 1)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().filter(|_| more).map(|line| line.id.to_string());
    let items = found.into_iter().map(|line| StockChange {
        at: line.at.to_string(),
        kind: line.kind,
        identifier: line.change.key,
        name: line.change.name,
        before: line.change.before,
        after: line.change.after,
    });
    Ok(json(200, &Page { items: items.collect(), next_cursor }))
}

/// `search` is part of a name or an identifier; `format=csv` for a spreadsheet, which holds all of it.
pub fn search(call: &Call<'_>) -> Result<Response, Error> {
    let text = call.query("search").unwrap_or_default();
    let kind = kind(call)?;
    if is_csv(call) {
        let found = stock::search(call.cx, &call.actor, kind, &text, Part::ALL)?;
        return Ok(csv(stock::lines_as_csv(&found)));
    }
    let from = usize::try_from(call.cursor()?.unwrap_or(0)).unwrap_or(0);
    let mut found = stock::search(call.cx, &call.actor, kind, &text, Part { from, most: MOST + 1 })?;
    let next_cursor = (found.len() > MOST).then(|| from.saturating_add(MOST).to_string());
    found.truncate(MOST);
    let items = found.into_iter().map(|line| StockItem {
        device: Some(line.device),
        serial: line.serial,
        device_name: line.device_name,
        ..thing(line.item, line.since)
    });
    Ok(json(200, &Page { items: items.collect(), next_cursor }))
}

/// Every device with what is known of it; `format=csv` for a spreadsheet.
pub fn export(call: &Call<'_>) -> Result<Response, Error> {
    let lines = stock::export(call.cx, &call.actor)?;
    if is_csv(call) {
        return Ok(csv(stock::devices_as_csv(&lines)));
    }
    let items = lines.into_iter().map(|line| {
        let (d, s) = (line.device, line.stock);
        ExportedDevice {
            id: d.public_id,
            serial: d.serial,
            name: d.name,
            platform: d.platform,
            model: d.model_name,
            product: d.product_name,
            system: d.os_version,
            build: d.build_version,
            supervised: d.supervised,
            state: s.state,
            lost: d.lost.as_str(),
            enrolled_at: s.enrolled_at.map(|at| at.to_string()),
            last_seen_at: s.last_seen_at.map(|at| at.to_string()),
            groups: s.groups.split("; ").filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            apps: s.apps,
            certificates: s.certificates,
            profiles: s.profiles,
            facts: line.facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        }
    });
    Ok(json(200, &Page { items: items.collect(), next_cursor: None }))
}
