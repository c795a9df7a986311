//! `/profiles`: the school's configuration profiles and to whom they are assigned.

use super::reply::json;
use super::views::Page;
use super::{Call, Response};
use crate::base::texts::Text;
use crate::service::Error;
use crate::service::assigning::{self, Whom};
use crate::service::library::{self, Change, ProfileView};
use crate::service::{library_versions, reasons, splitting};
use crate::store::GroupPart;
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
    /// A person of the school by any name (short name, mail address, GUID, id), or else a user by UserID or short name.
    pub user: Option<String>,
    /// A group, by name or id.
    pub group: Option<String>,
    /// With a group: its `people`, its `devices`, or `everyone-on` its devices. A group of people is its people unless said, a group
    /// of devices its devices, a class its people.
    pub to: Option<String>,
    /// Only while this schedule is open, by name or id. Without it: always. Not part of what is taken back.
    pub during: Option<String>,
}

/// What is to change; what is left out stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileChange {
    pub name: Option<String>,
    /// Whether a device whose user took the profile off gets it again.
    pub comes_back: Option<bool>,
}

/// Where the current version of a profile was refused.
#[derive(Debug, Serialize, ToSchema)]
pub struct Refusal {
    /// Cordon's id.
    pub device: String,
    pub user: Option<String>,
    /// Refusals in a row.
    pub times: u32,
    /// `null`: not before somebody says so.
    pub next_try_at: Option<String>,
    /// As the device put it.
    #[schema(value_type = Option<Object>)]
    pub error_chain: Option<serde_json::Value>,
}

/// One version of a profile.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProfileVersion {
    pub version: i64,
    pub bytes: i64,
    /// SHA-256 of the upload, hex.
    pub sha256: String,
    pub payload_types: Vec<String>,
    /// Names of its variables, filled in for each device.
    pub variables: Vec<String>,
    /// Whose signature was taken off when it came.
    pub signed_by: Option<String>,
    pub created_by: String,
    pub created_at: String,
}

/// What differs between two versions, without secrets.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProfileDiff {
    pub from: i64,
    pub to: i64,
    pub changes: Vec<ProfileChangeLine>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ProfileChangeLine {
    /// Key path; payloads are named by their PayloadIdentifier.
    pub path: String,
    /// `null` where it is not there.
    pub before: Option<String>,
    pub after: Option<String>,
}

/// Something that looks wrong about a profile.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProfileDoubt {
    /// Empty for the profile as a whole.
    pub path: String,
    pub words: String,
    /// A device will refuse it, or do something else than is meant.
    pub serious: bool,
}

/// A profile to be made of typed payloads.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProfile {
    /// PayloadIdentifier: its name on devices.
    pub identifier: String,
    pub name: String,
    pub payloads: Vec<NewPayload>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPayload {
    /// PayloadType.
    #[serde(rename = "type")]
    pub kind: String,
    /// Apple's keys; data as base64, dates as RFC 3339.
    #[schema(value_type = Object)]
    pub keys: serde_json::Value,
}

/// Why a device has a profile or not, for each of its channels.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProfileWhy {
    pub profile: String,
    pub identifier: String,
    pub name: String,
    pub version: i64,
    pub channels: Vec<ProfileReasons>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ProfileReasons {
    /// `null` for the device itself.
    pub user: Option<String>,
    pub wanted: bool,
    /// Every assignment that leads to it, the strongest first; it stays until the last one goes.
    pub reasons: Vec<String>,
    /// How it stands.
    pub state: String,
    /// Other profiles there with payloads of the same type.
    pub beside: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Assignment {
    /// `device`, `everyone-on`, `person`, `user` (somebody who is no person of the school), `group-people`, `group-devices` or
    /// `group-everyone-on`.
    pub target: &'static str,
    /// Cordon's id of the device, for the first two.
    pub device: Option<String>,
    /// The person, user or group, for the others.
    pub name: Option<String>,
    /// Only while this schedule is open; `null`: always.
    pub during: Option<String>,
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
    /// Names of the variables of the current version, filled in for each device.
    pub variables: Vec<String>,
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
    /// Channels that refused the current version so often that it is not tried again by itself.
    pub refused: i64,
    /// Whether a device whose user took it off gets it again.
    pub comes_back: bool,
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
    let mut wish: AssignmentWish = call.body()?;
    let during = wish.during.take();
    let whom = whom(wish)?;
    let view = match during {
        Some(schedule) => assigning::assign_during(call.cx, &call.actor, id, &whom, &schedule)?,
        None => assigning::assign(call.cx, &call.actor, id, &whom)?,
    };
    Ok(json(200, &profile(view)))
}

pub fn unassign(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let view = assigning::unassign(call.cx, &call.actor, id, &whom(call.body()?)?)?;
    Ok(json(200, &profile(view)))
}

pub fn change(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let ProfileChange { name, comes_back } = call.body()?;
    let view = library::change(call.cx, &call.actor, id, &Change { name, comes_back })?;
    Ok(json(200, &profile(view)))
}

pub fn make(call: &Call<'_>) -> Result<Response, Error> {
    let NewProfile { identifier, name, payloads } = call.body()?;
    let payloads = payloads.into_iter().map(|payload| (payload.kind, payload.keys)).collect();
    let view = library_versions::make(call.cx, &call.actor, &library_versions::Wish { identifier, name, payloads })?;
    Ok(json(201, &profile(view)))
}

pub fn versions(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let found = library_versions::list(call.cx, &call.actor, id)?;
    let items = found.into_iter().map(|row| ProfileVersion {
        version: row.version,
        bytes: row.bytes,
        sha256: hex::encode(row.body_hash),
        payload_types: serde_json::from_str(&row.payload_types).unwrap_or_default(),
        variables: row.variables,
        signed_by: row.signed_by,
        created_by: row.created_by,
        created_at: row.created_at.to_string(),
    });
    Ok(json(200, &Page { items: items.collect(), next_cursor: None }))
}

pub fn diff(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let number = |key: &str| -> Result<Option<i64>, Error> {
        let text = call.query(key);
        let read = text.as_deref().map(str::parse).transpose();
        read.map_err(|_| bad(key, "is the number of a version"))
    };
    let (from, to, found) = library_versions::diff(call.cx, &call.actor, id, number("from")?, number("to")?)?;
    let changes = found.into_iter().map(|d| ProfileChangeLine { path: d.path, before: d.before, after: d.after });
    Ok(json(200, &ProfileDiff { from, to, changes: changes.collect() }))
}

pub fn doubts(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let found = library_versions::doubts(call.cx, &call.actor, id)?;
    let items = found.into_iter().map(|d| ProfileDoubt { path: d.path, words: d.words, serious: d.serious }).collect();
    Ok(json(200, &Page { items, next_cursor: None }))
}

pub fn retry(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    Ok(json(200, &profile(library::retry(call.cx, &call.actor, id)?)))
}

pub fn split(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let items = splitting::split(call.cx, &call.actor, id)?.into_iter().map(profile).collect();
    Ok(json(200, &Page { items, next_cursor: None }))
}

pub fn refusals(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let found = library::refusals(call.cx, &call.actor, id)?;
    let items = found.into_iter().map(|view| Refusal {
        device: view.device,
        user: view.user,
        times: view.row.failures,
        next_try_at: view.row.next_try_at.map(|at| at.to_string()),
        error_chain: view.row.error_chain.and_then(|chain| serde_json::from_str(&chain).ok()),
    });
    Ok(json(200, &Page { items: items.collect(), next_cursor: None }))
}

pub fn why(call: &Call<'_>, device: &str, id: &str) -> Result<Response, Error> {
    let found = reasons::why(call.cx, &call.actor, device, call.query("user").as_deref(), id)?;
    let channels = found.channels.into_iter().map(|c| ProfileReasons {
        user: c.user,
        wanted: c.wanted,
        reasons: c.reasons,
        state: c.state,
        beside: c.beside,
    });
    let row = found.profile;
    Ok(json(
        200,
        &ProfileWhy {
            profile: row.public_id,
            identifier: row.identifier,
            name: row.name,
            version: row.version,
            channels: channels.collect(),
        },
    ))
}

fn bad(key: &str, why: &str) -> Error {
    Error::invalid(Text::BadArgument { key: key.to_owned(), why: why.to_owned() })
}

fn whom(wish: AssignmentWish) -> Result<Whom, Error> {
    let AssignmentWish { device, everyone_on, user, group, to, during: _ } = wish;
    let part = match to.as_deref() {
        None => None,
        Some(text) => Some(
            GroupPart::ALL
                .into_iter()
                .find(|part| part.as_str() == text)
                .ok_or_else(|| bad("to", "is one of people, devices and everyone-on"))?,
        ),
    };
    if part.is_some() && group.is_none() {
        return Err(bad("to", "belongs to a group"));
    }
    match (device, everyone_on, user, group) {
        (Some(device), None, None, None) => Ok(Whom::Device(device)),
        (None, Some(device), None, None) => Ok(Whom::EveryoneOn(device)),
        (None, None, Some(user), None) => Ok(Whom::User(user)),
        (None, None, None, Some(group)) => Ok(Whom::Group(group, part)),
        _ => Err(bad("assignment", "must name one of device, everyone_on, user, group")),
    }
}

fn profile(view: ProfileView) -> Profile {
    let ProfileView { row, current, assignments, installed, waiting, refused, notes } = view;
    let assignments = assignments.into_iter().map(|a| Assignment {
        target: a.row.target.kind(),
        device: a.device,
        name: a.name,
        during: a.schedule,
        created_by: a.row.created_by,
        created_at: a.row.created_at.to_string(),
    });
    Profile {
        id: row.public_id,
        identifier: row.identifier,
        name: row.name,
        version: row.version,
        bytes: current.bytes,
        sha256: hex::encode(current.body_hash),
        payload_types: serde_json::from_str(&current.payload_types).unwrap_or_default(),
        variables: current.variables,
        created_by: row.created_by,
        created_at: row.created_at.to_string(),
        version_by: current.created_by,
        version_at: current.created_at.to_string(),
        assignments: assignments.collect(),
        installed,
        waiting,
        refused,
        comes_back: row.comes_back,
        notes,
    }
}
