//! `/profiles`: the school's configuration profiles and to whom they are assigned.

use super::reply::json;
use super::views::Page;
use super::{Call, Response};
use crate::base::texts::Text;
use crate::service::Error;
use crate::service::library::{self, ProfileView, Whom};
use crate::store::Target;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// To whom: exactly one of the keys.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssignmentWish {
    /// The device itself.
    pub device: Option<String>,
    /// Everybody who logs in on this device.
    pub everyone_on: Option<String>,
    /// A user on whatever device: UserID or short name.
    pub user: Option<String>,
    /// A group of users, by name.
    pub group: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Assignment {
    /// `device`, `everyone-on`, `user` or `group`.
    pub target: &'static str,
    /// Cordon's id of the device, for the first two.
    pub device: Option<String>,
    /// The user or the group, for the last two.
    pub name: Option<String>,
    pub created_by: String,
    pub created_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Profile {
    pub id: String,
    /// PayloadIdentifier: its name on devices.
    pub identifier: String,
    pub name: String,
    pub version: i64,
    /// As uploaded, in bytes. The content itself is not shown: it may hold passwords.
    pub bytes: i64,
    /// SHA-256 of the upload, hex.
    pub sha256: String,
    pub payload_types: Vec<String>,
    pub created_by: String,
    pub created_at: String,
    /// When the current version came, and from whom.
    pub version_by: String,
    pub version_at: String,
    pub assignments: Vec<Assignment>,
    /// Channels whose device acknowledged the current version.
    pub installed: i64,
    /// Channels with a command about it waiting.
    pub waiting: i64,
    /// What is worth knowing, in words; only in answers to a change.
    pub notes: Vec<String>,
}

pub fn list(call: &Call<'_>) -> Result<Response, Error> {
    let limit = call.limit()?;
    let mut found = library::list(call.cx, &call.actor, call.cursor()?.unwrap_or(0), limit + 1)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().filter(|_| more).map(|p| p.row.id.to_string());
    Ok(json(200, &Page { items: found.into_iter().map(profile).collect(), next_cursor }))
}

/// The body is the `.mobileconfig` itself.
pub fn add(call: &Call<'_>) -> Result<Response, Error> {
    let view = library::add(call.cx, &call.actor, &call.request.body.bytes, call.query("name").as_deref())?;
    Ok(json(201, &profile(view)))
}

pub fn show(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    Ok(json(200, &profile(library::show(call.cx, &call.actor, id)?)))
}

pub fn remove(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    library::remove(call.cx, &call.actor, id)?;
    Ok(Response::empty(204))
}

pub fn assign(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let view = library::assign(call.cx, &call.actor, id, &whom(call.body()?)?)?;
    Ok(json(200, &profile(view)))
}

pub fn unassign(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let view = library::unassign(call.cx, &call.actor, id, &whom(call.body()?)?)?;
    Ok(json(200, &profile(view)))
}

fn whom(wish: AssignmentWish) -> Result<Whom, Error> {
    match wish {
        AssignmentWish { device: Some(device), everyone_on: None, user: None, group: None } => Ok(Whom::Device(device)),
        AssignmentWish { device: None, everyone_on: Some(device), user: None, group: None } => {
            Ok(Whom::EveryoneOn(device))
        }
        AssignmentWish { device: None, everyone_on: None, user: Some(user), group: None } => Ok(Whom::User(user)),
        AssignmentWish { device: None, everyone_on: None, user: None, group: Some(group) } => Ok(Whom::Group(group)),
        _ => Err(Error::invalid(Text::BadArgument {
            key: String::from("assignment"),
            why: String::from("must name one of device, everyone_on, user, group"),
        })),
    }
}

fn profile(view: ProfileView) -> Profile {
    let ProfileView { row, current, assignments, installed, waiting, notes } = view;
    let assignments = assignments.into_iter().map(|a| {
        let name = match &a.row.target {
            Target::User(name) | Target::Group(name) => Some(name.clone()),
            Target::Device(_) | Target::EveryoneOn(_) => None,
        };
        Assignment {
            target: a.row.target.kind(),
            device: a.device,
            name,
            created_by: a.row.created_by,
            created_at: a.row.created_at.to_string(),
        }
    });
    Profile {
        id: row.public_id,
        identifier: row.identifier,
        name: row.name,
        version: row.version,
        bytes: current.bytes,
        sha256: hex::encode(current.body_hash),
        payload_types: serde_json::from_str(&current.payload_types).unwrap_or_default(),
        created_by: row.created_by,
        created_at: row.created_at.to_string(),
        version_by: current.created_by,
        version_at: current.created_at.to_string(),
        assignments: assignments.collect(),
        installed,
        waiting,
        notes,
    }
}
