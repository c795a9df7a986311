//! `/devices/{id}/fields` and `/users/{name}/fields`: what the school knows beside the rest, as variables of profiles.

use super::reply::json;
use super::{Call, Response};
use crate::service::Error;
use crate::service::variables::{self, Whose};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Fields by name. In a change, `null` takes one away; what is left out stays.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Fields(BTreeMap<String, Option<String>>);

pub fn of_device(call: &Call<'_>, device: &str) -> Result<Response, Error> {
    list(call, Whose::Device(device))
}

pub fn change_device(call: &Call<'_>, device: &str) -> Result<Response, Error> {
    change(call, Whose::Device(device))
}

pub fn of_user(call: &Call<'_>, name: &str) -> Result<Response, Error> {
    list(call, Whose::Person(name))
}

pub fn change_user(call: &Call<'_>, name: &str) -> Result<Response, Error> {
    change(call, Whose::Person(name))
}

fn list(call: &Call<'_>, whose: Whose<'_>) -> Result<Response, Error> {
    Ok(shown(variables::list(call.cx, &call.actor, whose)?))
}

fn change(call: &Call<'_>, whose: Whose<'_>) -> Result<Response, Error> {
    let Fields(changes) = call.body()?;
    Ok(shown(variables::change(call.cx, &call.actor, whose, &changes)?))
}

fn shown(fields: Vec<(String, String)>) -> Response {
    json(200, &Fields(fields.into_iter().map(|(name, value)| (name, Some(value))).collect()))
}
