//! `/inventory-policy`: how often devices are asked by themselves what they are and what stands on them.

use super::reply::json;
use super::{Call, Response};
use crate::service::Error;
use crate::service::inventory;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InventoryPolicy {
    /// Hours between two rounds of questions; 0 asks nobody.
    #[schema(minimum = 0, maximum = 720)]
    pub every_hours: i64,
}

pub fn show(call: &Call<'_>) -> Result<Response, Error> {
    Ok(json(200, &InventoryPolicy { every_hours: inventory::show(call.cx, &call.actor)? }))
}

pub fn set(call: &Call<'_>) -> Result<Response, Error> {
    let InventoryPolicy { every_hours } = call.body()?;
    Ok(json(200, &InventoryPolicy { every_hours: inventory::set(call.cx, &call.actor, every_hours)? }))
}
