//! `/payload-types`: what a configuration profile can hold, by Apple's payload catalogue, for whoever makes forms or scripts.

use super::reply::json;
use super::views::Page;
use super::{Call, Response};
use crate::base::texts::Text;
use crate::protocol::catalogue::{self, KeySpec, PayloadSpec, SystemSpec};
use crate::service::Error;
use crate::service::actor::Permission;
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub struct PayloadType {
    #[serde(rename = "type")]
    pub kind: String,
    /// Apple's name of the description; some types have several.
    pub variant: String,
    pub systems: Vec<PayloadSystem>,
    /// A device may hold several.
    pub multiple: bool,
    /// Only where one type is shown: `key`, `type`, `required`, `allowed`, `min`, `max`, and `keys` inside.
    #[schema(value_type = Vec<Object>)]
    pub keys: Vec<PayloadKey>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct PayloadSystem {
    pub system: &'static str,
    pub device: bool,
    pub user: bool,
    pub since: Option<&'static str>,
    pub removed: Option<&'static str>,
    pub supervised: bool,
}

#[derive(Debug, Serialize)]
pub struct PayloadKey {
    pub key: &'static str,
    #[serde(rename = "type")]
    pub kind: String,
    pub required: bool,
    /// The only values, if there are any.
    pub allowed: Vec<String>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// Keys inside, or the shapes of a list's elements.
    pub keys: Vec<PayloadKey>,
}

pub fn list(call: &Call<'_>) -> Result<Response, Error> {
    call.actor.require(Permission::Look)?;
    let types = catalogue::payload_types().into_iter().flat_map(catalogue::find_payloads);
    let items = types.map(|spec| payload(PayloadSpec { keys: Vec::new(), ..spec })).collect();
    Ok(json(200, &Page { items, next_cursor: None }))
}

pub fn show(call: &Call<'_>, kind: &str) -> Result<Response, Error> {
    call.actor.require(Permission::Look)?;
    let found = catalogue::find_payloads(kind);
    if found.is_empty() {
        return Err(Error::not_found(Text::NoSuchPayload { kind: kind.chars().take(128).collect() }));
    }
    Ok(json(200, &Page { items: found.into_iter().map(payload).collect(), next_cursor: None }))
}

fn payload(spec: PayloadSpec) -> PayloadType {
    let system = |s: &SystemSpec| PayloadSystem {
        system: s.platform.name(),
        device: s.device_channel,
        user: s.user_channel,
        since: s.since,
        removed: s.removed,
        supervised: s.supervised,
    };
    PayloadType {
        kind: spec.payload_type.to_owned(),
        variant: spec.variant.to_owned(),
        systems: spec.systems.iter().map(system).collect(),
        multiple: spec.multiple,
        keys: spec.keys.iter().map(key).collect(),
    }
}

fn key(spec: &KeySpec) -> PayloadKey {
    let finite = |bound: fn(&(f64, f64)) -> f64| spec.range.as_ref().map(bound).filter(|n| n.is_finite());
    PayloadKey {
        key: spec.key,
        kind: spec.kind.to_string(),
        required: spec.required,
        allowed: spec.allowed.iter().map(ToString::to_string).collect(),
        min: finite(|range| range.0),
        max: finite(|range| range.1),
        keys: spec.children.iter().map(key).collect(),
    }
}
