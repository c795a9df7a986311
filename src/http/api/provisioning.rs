//! `/provisioning`: provisioning profiles, the devices that have them, and what became of those that were removed.

use super::reply::json;
use super::views::Page;
use super::{Call, Response};
use crate::base::texts::Text;
use crate::service::Error;
use crate::service::assigning::Whom;
use crate::service::provisioning::{self, OnDevice, ProvisioningView, State, what_removal_is};
use crate::store::{ListedRow, ProvisioningVersionRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// To whom: one of the keys. A group's devices are meant.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProvisioningWish {
    pub device: Option<String>,
    pub group: Option<String>,
}

/// One that was removed from a device and has come back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReturnedProvisioning {
    pub uuid: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ProvisioningVersion {
    pub uuid: String,
    pub name: String,
    pub team: Option<String>,
    /// Whose signature it bears.
    pub signed_by: String,
    /// How many devices it names; `null` for one that is for all of the team's.
    pub devices: Option<i64>,
    pub made_at: Option<String>,
    pub expires_at: String,
    /// Whether devices should have this one.
    pub current: bool,
    pub added_by: String,
    pub added_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ProvisioningAssignment {
    /// Cordon's id.
    pub device: Option<String>,
    pub group: Option<String>,
    pub created_by: String,
    pub created_at: String,
}

/// An upload on a device.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProvisioningOnDevice {
    /// Cordon's id.
    pub device: String,
    pub uuid: String,
    pub name: String,
    pub expires_at: String,
    /// `confirmed` (listed since), `installed`, `waiting`, `refused`, `removed`, `returned` (removed, and there again) or `gone`.
    pub state: &'static str,
    pub words: String,
    pub removed_at: Option<String>,
    pub returned_at: Option<String>,
}

/// What a device listed.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListedProvisioning {
    pub uuid: String,
    pub name: String,
    pub expires_at: Option<String>,
    pub listed_at: String,
}

/// The provisioning profiles of one device.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceProvisioning {
    /// What management did.
    pub managed: Vec<ProvisioningOnDevice>,
    /// What the device said it has, ours or not, the last time that it was asked.
    pub listed: Vec<ListedProvisioning>,
}

/// A line of provisioning profiles for one app.
#[derive(Debug, Serialize, ToSchema)]
pub struct Provisioning {
    pub id: String,
    /// Team and bundle identifier of the app.
    pub app_id: String,
    pub name: String,
    pub uuid: String,
    pub expires_at: String,
    /// Newest first.
    pub versions: Vec<ProvisioningVersion>,
    pub assignments: Vec<ProvisioningAssignment>,
    /// Devices with the current upload; those where something about it waits, and those that refuse it.
    pub installed: usize,
    pub waiting: usize,
    pub refused: usize,
    /// Devices where one that was removed is there again.
    pub returned: usize,
    /// What removing it means, and what it does not.
    pub removal: String,
    pub created_by: String,
    pub created_at: String,
    /// What is worth knowing, in words; only in answers to a change.
    pub notes: Vec<String>,
}

pub fn list(call: &Call<'_>) -> Result<Response, Error> {
    let limit = call.limit()?;
    let mut found = provisioning::list(call.cx, &call.actor, call.cursor()?.unwrap_or(0), limit + 1)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().filter(|_| more).map(|one| one.row.id.to_string());
    Ok(json(200, &Page { items: found.into_iter().map(line).collect(), next_cursor }))
}

/// The body is the `.mobileprovision` itself.
pub fn add(call: &Call<'_>) -> Result<Response, Error> {
    Ok(json(201, &line(provisioning::add(call.cx, &call.actor, &call.request.body.bytes)?)))
}

pub fn show(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    Ok(json(200, &line(provisioning::show(call.cx, &call.actor, id)?)))
}

pub fn remove(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    provisioning::remove(call.cx, &call.actor, id)?;
    Ok(Response::empty(204))
}

pub fn assign(call: &Call<'_>, id: &str, on: bool) -> Result<Response, Error> {
    let whom = match call.body()? {
        ProvisioningWish { device: Some(device), group: None } => Whom::Device(device),
        ProvisioningWish { device: None, group: Some(group) } => Whom::Group(group, None),
        _ => {
            let (key, why) = (String::from("assignment"), String::from("must name one of device and group"));
            return Err(Error::invalid(Text::BadArgument { key, why }));
        }
    };
    Ok(json(200, &line(provisioning::assign(call.cx, &call.actor, id, &whom, on)?)))
}

pub fn retry(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    Ok(json(200, &line(provisioning::retry(call.cx, &call.actor, id)?)))
}

pub fn devices(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let found = provisioning::show(call.cx, &call.actor, id)?;
    Ok(json(200, &Page { items: found.devices.into_iter().map(on_device).collect(), next_cursor: None }))
}

pub fn of_device(call: &Call<'_>, device: &str) -> Result<Response, Error> {
    let (managed, listed) = provisioning::of_device(call.cx, &call.actor, device)?;
    let managed = managed.into_iter().map(on_device).collect();
    Ok(json(200, &DeviceProvisioning { managed, listed: listed.into_iter().map(listed_line).collect() }))
}

pub fn remove_again(call: &Call<'_>, device: &str) -> Result<Response, Error> {
    let ReturnedProvisioning { uuid } = call.body()?;
    let managed = provisioning::remove_again(call.cx, &call.actor, device, &uuid)?;
    Ok(json(200, &Page { items: managed.into_iter().map(on_device).collect(), next_cursor: None }))
}

fn listed_line(row: ListedRow) -> ListedProvisioning {
    let expires_at = row.expires_at.map(|at| at.to_string());
    ListedProvisioning { uuid: row.uuid, name: row.name, expires_at, listed_at: row.listed_at.to_string() }
}

fn on_device(one: OnDevice) -> ProvisioningOnDevice {
    ProvisioningOnDevice {
        device: one.device,
        uuid: one.row.version.uuid,
        name: one.row.version.name,
        expires_at: one.row.version.expires_at.to_string(),
        state: one.state.as_str(),
        words: one.words,
        removed_at: one.row.removed_at.map(|at| at.to_string()),
        returned_at: one.row.returned_at.map(|at| at.to_string()),
    }
}

fn version(row: ProvisioningVersionRow, current: i64) -> ProvisioningVersion {
    ProvisioningVersion {
        current: row.id == current,
        uuid: row.uuid,
        name: row.name,
        team: row.team,
        signed_by: row.signed_by,
        devices: row.devices,
        made_at: row.made_at.map(|at| at.to_string()),
        expires_at: row.expires_at.to_string(),
        added_by: row.created_by,
        added_at: row.created_at.to_string(),
    }
}

fn line(view: ProvisioningView) -> Provisioning {
    let (uuid, expires_at) =
        view.current().map(|now| (now.uuid.clone(), now.expires_at.to_string())).unwrap_or_default();
    let (installed, waiting, refused) = (
        view.count(|state| matches!(state, State::Confirmed | State::Installed)),
        view.count(|state| state == State::Waiting),
        view.count(|state| state == State::Refused),
    );
    let returned = view.devices.iter().filter(|one| one.state == State::Returned).count();
    let current = view.row.current;
    let assignments = view.assignments.into_iter().map(|one| ProvisioningAssignment {
        device: one.device,
        group: one.group,
        created_by: one.created_by,
        created_at: one.created_at.to_string(),
    });
    Provisioning {
        id: view.row.public_id,
        app_id: view.row.app_id,
        name: view.row.name,
        uuid,
        expires_at,
        versions: view.versions.into_iter().map(|row| version(row, current)).collect(),
        assignments: assignments.collect(),
        installed,
        waiting,
        refused,
        returned,
        removal: what_removal_is(),
        created_by: view.row.created_by,
        created_at: view.row.created_at.to_string(),
        notes: view.notes,
    }
}
