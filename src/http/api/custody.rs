//! `/devices/{id}/secrets`, `/secret-requests`, and the roads of a lost device: lost, found, locate, whereabouts.

use super::reply::json;
use super::views::{self, Page};
use super::{Call, Response};
use crate::protocol::profile::CONFIG_TYPE;
use crate::service::lost::{self, Notice};
use crate::service::revealing::Asked;
use crate::service::{Error, custody, filevault, revealing};
use crate::store::SecretRow;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// One generation of one secret, without its value.
#[derive(Debug, Serialize, ToSchema)]
pub struct Secret {
    pub kind: String,
    pub generation: i64,
    /// `confirmed` (the device sent it or acknowledged it), `pending` (on its way to the device) or `unconfirmed` (sent or
    /// cancelled without an answer that settles it).
    pub state: &'static str,
    /// False: a command cleared this secret on the device.
    pub has_value: bool,
    pub created_at: String,
    pub confirmed_at: Option<String>,
    /// From then on the device no longer uses it.
    pub withdrawn_at: Option<String>,
    /// The command that carried it to the device.
    pub command_uuid: Option<String>,
}

fn secret(row: SecretRow) -> Secret {
    let state = match (row.confirmed_at, row.pending) {
        (Some(_), _) => "confirmed",
        (None, true) => "pending",
        (None, false) => "unconfirmed",
    };
    Secret {
        kind: row.kind,
        generation: row.generation,
        state,
        has_value: row.sealed_value.is_some(),
        created_at: row.created_at.to_string(),
        confirmed_at: row.confirmed_at.map(|at| at.to_string()),
        withdrawn_at: row.withdrawn_at.map(|at| at.to_string()),
        command_uuid: row.command,
    }
}

pub fn list(call: &Call<'_>, device: &str) -> Result<Response, Error> {
    let items = custody::list(call.cx, &call.actor, device)?.into_iter().map(secret).collect();
    Ok(json(200, &Page { items, next_cursor: None }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevealWish {
    /// At least 10 characters; kept in the audit.
    #[serde(default)]
    pub reason: String,
    /// The one in force when left out.
    pub generation: Option<i64>,
    /// One's own, again; from somebody who is logged in by name.
    pub password: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct Revealed {
    pub kind: String,
    pub generation: i64,
    pub created_at: String,
    /// Text as typed; base64 for unlock-token, bootstrap-token and filevault-key.
    pub value: String,
}

pub fn reveal(call: &Call<'_>, device: &str, kind: &str) -> Result<Response, Error> {
    let body: RevealWish = call.body()?;
    let password = body.password.map(crate::base::secret::Secret::new);
    let asked = Asked { kind: kind.to_owned(), generation: body.generation, reason: body.reason, password };
    let shown = revealing::reveal(call.cx, &call.actor, device, &asked)?;
    let (generation, created_at) = (shown.generation, shown.created_at.to_string());
    Ok(json(200, &Revealed { kind: shown.kind, generation, created_at, value: shown.value.expose().clone() }))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SecretRequest {
    pub id: String,
    /// Serial number, or Cordon's id.
    pub device: String,
    pub kind: String,
    pub generation: i64,
    pub reason: String,
    pub asked_by: String,
    pub asked_at: String,
    pub approved_by: Option<String>,
    pub approved_at: Option<String>,
}

fn request(found: revealing::Request) -> SecretRequest {
    let row = found.row;
    SecretRequest {
        id: row.id,
        device: found.device,
        kind: row.kind,
        generation: row.generation,
        reason: row.reason,
        asked_by: row.asked_by,
        asked_at: row.asked_at.to_string(),
        approved_by: row.approved_by,
        approved_at: row.approved_at.map(|at| at.to_string()),
    }
}

pub fn list_requests(call: &Call<'_>) -> Result<Response, Error> {
    let items = revealing::list_requests(call.cx, &call.actor)?.into_iter().map(request).collect();
    Ok(json(200, &Page { items, next_cursor: None }))
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Approval {
    /// One's own, again; from somebody who is logged in by name.
    pub password: Option<String>,
}

pub fn approve(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let body: Approval = call.body()?;
    Ok(json(200, &request(revealing::approve(call.cx, &call.actor, id, body.password.as_deref())?)))
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretRule {
    /// Another person must agree before a secret is shown.
    pub two_person: bool,
    /// One's own, again; from somebody who is logged in by name.
    #[serde(default, skip_serializing)]
    pub password: Option<String>,
}

pub fn set_rule(call: &Call<'_>) -> Result<Response, Error> {
    let body: SecretRule = call.body()?;
    revealing::set_two_person(call.cx, &call.actor, body.two_person, body.password.as_deref())?;
    Ok(json(200, &body))
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LostWish {
    /// Shown on the screen; this or `phone` is needed.
    pub message: Option<String>,
    pub phone: Option<String>,
    pub footnote: Option<String>,
    /// A mark only: nothing is sent to the device.
    pub missing: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Marked {
    pub device_id: String,
    /// `no`, `lost` or `missing`.
    pub lost: &'static str,
    pub lost_since: Option<String>,
    pub lost_by: Option<String>,
    /// What the device acknowledged so far.
    pub lost_mode: bool,
    /// The command that was queued; null for a device that takes none.
    pub command_uuid: Option<String>,
    /// ClearPasscode commands that the device will not get.
    pub cancelled: Vec<String>,
    /// ClearPasscode commands that it has already.
    pub already_sent: Vec<String>,
}

fn marked(marked: lost::Marked) -> Marked {
    let device = marked.device;
    Marked {
        device_id: device.public_id,
        lost: device.lost.as_str(),
        lost_since: device.lost_since.map(|at| at.to_string()),
        lost_by: device.lost_by,
        lost_mode: device.lost_mode,
        command_uuid: marked.command,
        cancelled: marked.stopped.cancelled,
        already_sent: marked.stopped.already_sent,
    }
}

pub fn lost(call: &Call<'_>, device: &str) -> Result<Response, Error> {
    let body: LostWish = call.body()?;
    let notice = Notice { message: body.message, phone: body.phone, footnote: body.footnote, missing: body.missing };
    Ok(json(200, &marked(lost::mark(call.cx, &call.actor, device, &notice)?)))
}

pub fn found(call: &Call<'_>, device: &str) -> Result<Response, Error> {
    Ok(json(200, &marked(lost::found(call.cx, &call.actor, device)?)))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// At least 10 characters; kept in the audit.
    #[serde(default)]
    pub reason: String,
}

pub fn locate(call: &Call<'_>, device: &str) -> Result<Response, Error> {
    let body: Reason = call.body()?;
    Ok(json(201, &views::command(lost::locate(call.cx, &call.actor, device, &body.reason)?)))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Whereabouts {
    pub command_uuid: String,
    pub received_at: String,
    /// latitude, longitude (degrees), altitude, horizontal_accuracy, vertical_accuracy (metres), speed, course, timestamp.
    #[schema(value_type = Object)]
    pub location: Map<String, Value>,
}

pub fn whereabouts(call: &Call<'_>, device: &str) -> Result<Response, Error> {
    let body: Reason = call.body()?;
    let found = lost::whereabouts(call.cx, &call.actor, device, &body.reason)?;
    Ok(json(
        200,
        &Whereabouts { command_uuid: found.command, received_at: found.received_at.to_string(), location: found.place },
    ))
}

/// The escrow profile as a file.
pub fn escrow_profile(call: &Call<'_>) -> Result<Response, Error> {
    let bytes = filevault::profile(call.cx, &call.actor)?;
    let mut response = Response::new(201, CONFIG_TYPE, bytes);
    let name = String::from("attachment; filename=\"filevault.mobileconfig\"");
    response.headers.push(("content-disposition", name));
    Ok(response)
}

/// The escrow profile by command.
pub fn escrow_filevault(call: &Call<'_>, device: &str) -> Result<Response, Error> {
    Ok(json(201, &views::command(filevault::install(call.cx, &call.actor, device)?)))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MadeCode {
    pub kind: &'static str,
    pub generation: i64,
    /// `escrow_key` for Apple, when the lock is set; the code itself is in custody.
    pub escrow_key: String,
}

pub fn make_bypass_code(call: &Call<'_>, device: &str) -> Result<Response, Error> {
    let made = custody::make_bypass_code(call.cx, &call.actor, device)?;
    let kind = "activation-lock-server-code";
    Ok(json(201, &MadeCode { kind, generation: made.generation, escrow_key: made.escrow_key }))
}
