//! The school's provisioning profiles: uploaded, replaced before they end, assigned to devices and groups, taken away. Called by the API and
//! the console; what happens on devices is `provisioning_devices`.

use super::actor::{Actor, Permission};
use super::assigning::{self, Whom};
use super::{Context, Error, auditing, devices, groups, provisioning_devices, reconciling};
use crate::base::ids::short_code;
use crate::base::texts::{Accounts as Said, Text};
use crate::base::time::Timestamp;
use crate::protocol::provisioning::read_provisioning;
use crate::protocol::queue::DeliveryState;
use crate::store::{
    Db, DeviceProvisioningRow, ListedRow, NewProvisioning, ProvisioningRow, ProvisioningVersionRow, ProvisioningWhom,
    Target,
};
use serde_json::json;

/// How an upload stands on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is there; the device has listed it since.
    Confirmed,
    /// The device acknowledged it.
    Installed,
    /// A command about it waits or is out.
    Waiting,
    Refused,
    /// Taken off, and not seen since.
    Removed,
    /// Taken off, and there again.
    Returned,
    /// Lost, and not sent again.
    Gone,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Confirmed => "confirmed",
            State::Installed => "installed",
            State::Waiting => "waiting",
            State::Refused => "refused",
            State::Removed => "removed",
            State::Returned => "returned",
            State::Gone => "gone",
        }
    }

    fn of(row: &DeviceProvisioningRow) -> Self {
        if row.state.is_some_and(|state| !state.is_finished()) {
            return State::Waiting;
        }
        match (row.failed_at, row.stands, row.confirmed_at, row.removed_at, row.returned_at) {
            (Some(_), ..) => State::Refused,
            (_, true, Some(_), ..) => State::Confirmed,
            (_, true, None, ..) => State::Installed,
            (_, false, _, _, Some(_)) => State::Returned,
            (_, false, _, Some(_), None) => State::Removed,
            _ if row.state == Some(DeliveryState::Cancelled) => State::Gone,
            _ => State::Gone,
        }
    }
}

/// An upload on a device.
#[derive(Debug, Clone)]
pub struct OnDevice {
    /// Cordon's id.
    pub device: String,
    pub row: DeviceProvisioningRow,
    pub state: State,
    /// In words, for a person.
    pub words: String,
}

/// A line with everything a person wants to know of it.
#[derive(Debug, Clone)]
pub struct ProvisioningView {
    pub row: ProvisioningRow,
    /// Newest first; the first is the one that devices should have.
    pub versions: Vec<ProvisioningVersionRow>,
    pub assignments: Vec<AssignedTo>,
    pub devices: Vec<OnDevice>,
    pub notes: Vec<String>,
}

impl ProvisioningView {
    /// The upload that devices should have.
    pub fn current(&self) -> Option<&ProvisioningVersionRow> {
        self.versions.iter().find(|version| version.id == self.row.current)
    }

    /// How many devices are in this state with the current upload.
    pub fn count(&self, wanted: impl Fn(State) -> bool) -> usize {
        self.devices.iter().filter(|one| one.row.version.id == self.row.current && wanted(one.state)).count()
    }
}

#[derive(Debug, Clone)]
pub struct AssignedTo {
    /// Cordon's id of the device, or the group's name.
    pub device: Option<String>,
    pub group: Option<String>,
    pub created_by: String,
    pub created_at: Timestamp,
}

/// What removing one means, and what it does not: said before and after.
pub fn what_removal_is() -> String {
    Text::from(Said::RemovalIsNoRevocation).to_string()
}

fn find(db: &Db<'_>, which: &str) -> Result<ProvisioningRow, Error> {
    let missing = || Error::not_found(Said::NoSuchProvisioning { which: which.chars().take(256).collect() }.into());
    db.find_provisioning(which)?.ok_or_else(missing)
}

fn view(db: &Db<'_>, row: ProvisioningRow, now: Timestamp) -> Result<ProvisioningView, Error> {
    let versions = db.list_provisioning_versions(row.id)?;
    let mut assignments = Vec::new();
    for (whom, created_by, created_at) in db.list_provisioning_assignments(row.id)? {
        let (device, group) = match whom {
            ProvisioningWhom::Device(id) => (db.find_device(id)?.map(|device| device.public_id), None),
            ProvisioningWhom::Group(id) => (None, db.find_group_by_row(id)?.map(|group| group.name)),
        };
        assignments.push(AssignedTo { device, group, created_by, created_at });
    }
    let mut devices = Vec::new();
    for standing in db.list_provisioning_devices(row.id)? {
        devices.extend(on_device(db, standing, now)?);
    }
    Ok(ProvisioningView { row, versions, assignments, devices, notes: Vec::new() })
}

fn on_device(db: &Db<'_>, row: DeviceProvisioningRow, now: Timestamp) -> Result<Option<OnDevice>, Error> {
    let channel = db.find_enrollment_by_row(row.enrollment)?;
    let device = channel.map(|channel| db.find_device(channel.device)).transpose()?.flatten();
    let state = State::of(&row);
    Ok(device.map(|device| OnDevice { device: device.public_id, words: words(&row, state, now), state, row }))
}

fn words(row: &DeviceProvisioningRow, state: State, now: Timestamp) -> String {
    let day = |at: Option<Timestamp>| at.map_or_else(String::new, |at| at.to_string().chars().take(10).collect());
    let over = if row.version.expires_at <= now { "; it has ended, and its app does not start" } else { "" };
    match state {
        State::Confirmed => format!("on the device, which listed it {}{over}", day(row.confirmed_at)),
        State::Installed => format!("on the device{over}"),
        State::Waiting if row.installs => String::from("on its way"),
        State::Waiting => String::from("about to be removed"),
        State::Refused if row.next_try_at.is_some() => String::from("refused; it is tried again by itself"),
        State::Refused => String::from("refused; it is tried again when somebody says so"),
        State::Removed => format!("removed {}; an app that runs goes on until the next restart", day(row.removed_at)),
        State::Returned => format!(
            "removed {}, and there again since {}: a computer that syncs the device may have put it back",
            day(row.removed_at),
            day(row.returned_at)
        ),
        State::Gone => String::from("not on the device"),
    }
}

/// Adds an upload: a new line, or the one that takes the place of what its app had. The old one stays on each device until the device has
/// listed the new one.
///
/// # Errors
/// `Invalid` for what is none; `Conflict` for one that has ended, or ends before the one that is there.
pub fn add(cx: &Context, actor: &Actor, bytes: &[u8]) -> Result<ProvisioningView, Error> {
    actor.require(Permission::Enroll)?;
    let facts =
        read_provisioning(bytes).map_err(|e| Error::invalid(Said::BadProvisioning { why: e.to_string() }.into()))?;
    cx.require_space()?;
    let now = cx.now();
    if facts.expires_at <= now {
        let over = Said::ProvisioningOver { name: facts.name, at: facts.expires_at.to_string() };
        return Err(Error::conflict(over.into()));
    }
    let public_id = format!("pv-{}", short_code(&cx.random_bytes::<8>()));
    let by = actor.name();
    let line = cx.store.write(|tx| {
        let there = tx.find_provisioning(&facts.app_id)?;
        let known = tx.find_provisioning_version(&facts.uuid)?;
        if let (Some(line), Some(known)) = (&there, &known)
            && line.current == known.id
        {
            return Ok(line.id);
        }
        if let Some(line) = &there {
            let current = tx.list_provisioning_versions(line.id)?.into_iter().find(|v| v.id == line.current);
            if let Some(current) = current.filter(|current| current.expires_at > facts.expires_at) {
                let (there, new) = (current.expires_at.to_string(), facts.expires_at.to_string());
                return Err(Error::conflict(Said::OlderProvisioning { name: current.name, there, new }.into()));
            }
        }
        let line = match &there {
            Some(line) => line.id,
            None => tx.insert_provisioning(&public_id, &facts.app_id, &facts.name, &by, now)?,
        };
        match known {
            Some(known) => tx.move_provisioning_version(known.id, line, &facts.name)?,
            None => {
                let new = NewProvisioning {
                    uuid: &facts.uuid,
                    name: &facts.name,
                    team: facts.team.as_deref(),
                    signed_by: &facts.signed_by,
                    devices: facts.devices.map(|n| i64::try_from(n).unwrap_or(i64::MAX)),
                    made_at: facts.made_at,
                    expires_at: facts.expires_at,
                    body: bytes,
                    created_by: &by,
                };
                tx.insert_provisioning_version(line, &new, now)?;
            }
        }
        let detail =
            json!({ "uuid": facts.uuid, "expires_at": facts.expires_at.to_string(), "replaces": there.is_some() });
        auditing::record(tx, actor, "provisioning.add", Some(&facts.app_id), Some(detail), now)?;
        Ok(line)
    })?;
    settle(cx, line)?;
    let mut view = cx.store.read(|db| view_by_row(db, line, now))?;
    view.notes
        .push(format!("It came signed by {}; whether that is Apple's word is for devices to say.", facts.signed_by));
    Ok(view)
}

fn view_by_row(db: &Db<'_>, line: i64, now: Timestamp) -> Result<ProvisioningView, Error> {
    let missing = || Error::internal("a provisioning profile that is not there");
    view(db, db.find_provisioning_by_row(line)?.ok_or_else(missing)?, now)
}

/// Brings every device that a line concerns to what it should have.
fn settle(cx: &Context, line: i64) -> Result<(), Error> {
    let channels = cx.store.read(|db| channels_of(db, line))?;
    reconciling::reconcile_all(cx, &channels).map(drop)
}

fn channels_of(db: &Db<'_>, line: i64) -> Result<Vec<i64>, Error> {
    let mut channels = db.list_channels_with_provisioning(Some(line))?;
    for (whom, ..) in db.list_provisioning_assignments(line)? {
        if let ProvisioningWhom::Group(group) = whom {
            channels.extend(db.list_channels_of_devices(&groups::devices_of(db, group)?)?);
        }
    }
    channels.sort_unstable();
    channels.dedup();
    Ok(channels)
}

/// Lines in use after `after` (a row id), in order of arrival.
pub fn list(cx: &Context, actor: &Actor, after: i64, limit: usize) -> Result<Vec<ProvisioningView>, Error> {
    actor.require(Permission::LookAround)?;
    let now = cx.now();
    cx.store.read(|db| db.list_provisioning(after, limit)?.into_iter().map(|row| view(db, row, now)).collect())
}

/// # Errors
/// `NotFound`.
pub fn show(cx: &Context, actor: &Actor, which: &str) -> Result<ProvisioningView, Error> {
    actor.require(Permission::LookAround)?;
    let now = cx.now();
    cx.store.read(|db| view(db, find(db, which)?, now))
}

/// Assigns a line to a device or to the devices of a group, or takes that back.
///
/// # Errors
/// `NotFound`; `Conflict` for people, and for an assignment that is not there.
pub fn assign(cx: &Context, actor: &Actor, which: &str, whom: &Whom, on: bool) -> Result<ProvisioningView, Error> {
    actor.require(Permission::Enroll)?;
    let people = |group: &str| Error::conflict(Said::DevicesOnly { group: group.to_owned() }.into());
    let (whom, id, shown) = match whom {
        Whom::Device(device) | Whom::EveryoneOn(device) => {
            let row = devices::find(cx, actor, device)?;
            (ProvisioningWhom::Device(row.id), row.public_id, device)
        }
        Whom::User(user) => return Err(people(user)),
        Whom::Group(group, _) => match assigning::meant(cx, actor, &Whom::Group(group.clone(), None))?.target {
            Target::Group(id, _) => {
                let row = cx.store.read(|db| db.find_group_by_row(id))?;
                let row = row.filter(|row| row.kind != "people").ok_or_else(|| people(group))?;
                (ProvisioningWhom::Group(id), row.public_id, group)
            }
            _ => return Err(people(group)),
        },
    };
    let now = cx.now();
    // Before and after: what a group has today may be what is to go.
    let before = cx.store.read(|db| channels_of(db, find(db, which)?.id))?;
    let line = cx.store.write(|tx| {
        let row = find(tx, which)?;
        let changed = tx.assign_provisioning(row.id, whom, on, &actor.name(), now)?;
        if changed {
            let verb = if on { "provisioning.assign" } else { "provisioning.unassign" };
            auditing::record(tx, actor, verb, Some(&row.app_id), Some(json!({ "to": id })), now)?;
        } else if !on {
            return Err(Error::not_found(Text::NotAssigned { profile: row.name, to: shown.clone() }));
        }
        Ok(row.id)
    })?;
    let mut channels = cx.store.read(|db| channels_of(db, line))?;
    channels.extend(before);
    channels.sort_unstable();
    channels.dedup();
    reconciling::reconcile_all(cx, &channels)?;
    let mut view = cx.store.read(|db| view_by_row(db, line, now))?;
    if on {
        view.notes = cx.store.read(|db| held_back(db, &channels))?;
    } else {
        view.notes.push(what_removal_is());
    }
    Ok(view)
}

/// Why some of these devices get nothing; each reason once.
fn held_back(db: &Db<'_>, channels: &[i64]) -> Result<Vec<String>, Error> {
    let mut reasons: Vec<(String, usize)> = Vec::new();
    for id in channels {
        let Some(channel) = db.find_enrollment_by_row(*id)?.filter(|channel| channel.parent.is_none()) else {
            continue;
        };
        let Some(device) = db.find_device(channel.device)? else { continue };
        if let Some(why) = provisioning_devices::held(db, &device, &channel)? {
            match reasons.iter_mut().find(|(known, _)| *known == why) {
                Some((_, times)) => *times += 1,
                None => reasons.push((why, 1)),
            }
        }
    }
    Ok(reasons.into_iter().map(|(why, times)| format!("On {times} device(s) it is {why}.")).collect())
}

/// Removes a line: it leaves every device. That is no revocation; see [`what_removal_is`].
///
/// # Errors
/// `NotFound`.
pub fn remove(cx: &Context, actor: &Actor, which: &str) -> Result<(), Error> {
    actor.require(Permission::Enroll)?;
    let now = cx.now();
    let (line, channels) = cx.store.write(|tx| {
        let row = find(tx, which)?;
        let channels = channels_of(tx, row.id)?;
        tx.remove_provisioning(row.id, now)?;
        auditing::record(tx, actor, "provisioning.remove", Some(&row.app_id), None, now)?;
        Ok::<_, Error>((row.id, channels))
    })?;
    tracing::debug!(line, devices = channels.len(), "a provisioning profile is removed");
    reconciling::reconcile_all(cx, &channels).map(drop)
}

/// Tries a line again wherever it was refused.
///
/// # Errors
/// `NotFound`.
pub fn retry(cx: &Context, actor: &Actor, which: &str) -> Result<ProvisioningView, Error> {
    actor.require(Permission::Enroll)?;
    let now = cx.now();
    let line = cx.store.write(|tx| {
        let row = find(tx, which)?;
        let devices = tx.try_provisioning_again(row.id, now)?;
        auditing::record(tx, actor, "provisioning.retry", Some(&row.app_id), Some(json!({ "devices": devices })), now)?;
        Ok::<_, Error>(row.id)
    })?;
    settle(cx, line)?;
    cx.store.read(|db| view_by_row(db, line, now))
}

/// Tries refusals again whose time has come, as upkeep does. Returns how many devices were looked at.
///
/// # Errors
/// Faults of the store.
pub fn try_again(cx: &Context) -> Result<usize, Error> {
    provisioning_devices::try_again(cx)
}

/// Takes one off again that was removed from a device and has come back.
///
/// # Errors
/// `NotFound`; `Conflict` for one that has not come back.
pub fn remove_again(cx: &Context, actor: &Actor, device: &str, uuid: &str) -> Result<Vec<OnDevice>, Error> {
    actor.require(Permission::Enroll)?;
    let now = cx.now();
    let found = devices::find(cx, actor, device)?;
    let channel = devices::channel(cx, &found, None)?;
    cx.store.write(|tx| {
        let all = tx.list_device_provisioning(channel.id)?;
        let known = all.into_iter().find(|row| row.version.uuid == uuid);
        let missing = || Error::not_found(Said::NoSuchProvisioning { which: uuid.chars().take(64).collect() }.into());
        let known = known.ok_or_else(missing)?;
        if State::of(&known) != State::Returned {
            let not = Said::NotReturned { device: device.to_owned(), name: known.version.name };
            return Err(Error::conflict(not.into()));
        }
        tx.forget_provisioning_removal(channel.id, known.version.id)?;
        let detail = json!({ "uuid": uuid });
        auditing::record(tx, actor, "provisioning.remove-again", Some(&found.public_id), Some(detail), now)
    })?;
    reconciling::reconcile_all(cx, &[channel.id])?;
    Ok(of_device(cx, actor, device)?.0)
}

/// What management did on one device, and what the device last listed.
///
/// # Errors
/// `NotFound`.
pub fn of_device(cx: &Context, actor: &Actor, device: &str) -> Result<(Vec<OnDevice>, Vec<ListedRow>), Error> {
    actor.require(Permission::Look)?;
    let found = devices::find(cx, actor, device)?;
    let channel = devices::channel(cx, &found, None)?;
    let now = cx.now();
    cx.store.read(|db| {
        let mut all = Vec::new();
        for row in db.list_device_provisioning(channel.id)? {
            all.extend(on_device(db, row, now)?);
        }
        Ok((all, db.list_listed_provisioning(channel.id)?))
    })
}
