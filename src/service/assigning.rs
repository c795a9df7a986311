//! To whom profiles are assigned: devices, everyone on them, people by any of their names, groups of every kind. Whoever it concerns and
//! can be reached gets it at once. Called by the API.

use super::actor::{Actor, Permission};
use super::library::{self, AssignmentView, ProfileView};
use super::{Context, Error, accounts, auditing, devices, groups, reconciling, schedules, users};
use crate::base::texts::Text;
use crate::base::time::Timestamp;
use crate::store::{AssignmentRow, Db, DeviceRow, EnrollmentRow, GroupPart, Target};
use serde_json::json;

/// To whom, as people say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    Device(String),
    EveryoneOn(String),
    User(String),
    /// `None`: the people of a group of people, the devices of a group of devices.
    Group(String, Option<GroupPart>),
}

/// Assigns a profile; whoever it concerns and can be reached gets it at once.
///
/// # Errors
/// `NotFound` for the profile or the device.
pub fn assign(cx: &Context, actor: &Actor, profile: &str, whom: &Whom) -> Result<ProfileView, Error> {
    assign_or_not(cx, actor, profile, whom, Some(None))
}

/// As [`assign`], but the profile is there only while a schedule (by name or id) is open. Assigned so already, it follows this one now.
///
/// # Errors
/// As [`assign`]; `NotFound` for the schedule.
pub fn assign_during(
    cx: &Context,
    actor: &Actor,
    profile: &str,
    whom: &Whom,
    schedule: &str,
) -> Result<ProfileView, Error> {
    assign_or_not(cx, actor, profile, whom, Some(Some(schedule)))
}

/// Takes an assignment back; the profile leaves every channel that has it by no other assignment.
///
/// # Errors
/// `NotFound` for the profile, the device, or an assignment that is not there.
pub fn unassign(cx: &Context, actor: &Actor, profile: &str, whom: &Whom) -> Result<ProfileView, Error> {
    assign_or_not(cx, actor, profile, whom, None)
}

/// `on`: assigned, and when; `None` takes it back.
fn assign_or_not(
    cx: &Context,
    actor: &Actor,
    profile: &str,
    whom: &Whom,
    on: Option<Option<&str>>,
) -> Result<ProfileView, Error> {
    actor.require(Permission::Enroll)?;
    let Meant { target, id: subject, shown, mut notes } = meant(cx, actor, whom)?;
    let now = cx.now();
    // Before and after: what a group or a person has today may be what is to go.
    let channels = cx.store.read(|db| reconciling::concerned(db, &target))?;
    let id = cx.store.write(|tx| {
        let row = library::find(tx, profile)?;
        accounts::require_free(tx, &row)?;
        let schedule = on.flatten().map(|name| schedules::find(tx, name)).transpose()?;
        let changed = match on {
            Some(_) => tx.put_assignment(row.id, &target, schedule.as_ref().map(|t| t.id), &actor.name(), now)?,
            None => tx.delete_assignment(row.id, &target)?,
        };
        if changed {
            let verb = if on.is_some() { "profile.assign" } else { "profile.unassign" };
            let mut detail = json!({ "target": target.kind(), "to": subject });
            if let Some(schedule) = &schedule {
                detail["schedule"] = json!(schedule.public_id);
                notes.extend(schedules::notes(tx, schedule, now)?);
            }
            auditing::record(tx, actor, verb, Some(&row.identifier), Some(detail), now)?;
        } else if on.is_none() {
            return Err(Error::not_found(Text::NotAssigned { profile: row.name, to: shown.clone() }));
        }
        Ok::<_, Error>(row.id)
    })?;
    reconciling::reconcile_all(cx, &channels)?;
    let mut view = cx.store.read(|db| library::view(db, id))?;
    if on.is_some() {
        view.notes.append(&mut notes);
        view.notes.extend(cx.store.read(|db| held_back(db, id, &channels, now))?);
        let by_user = cx.store.read(|db| -> Result<bool, Error> {
            for channel in &channels {
                if db.find_enrollment_by_row(*channel)?.is_some_and(|row| row.parent.is_some()) {
                    return Ok(true);
                }
            }
            Ok(false)
        })?;
        match &target {
            Target::User(_) | Target::Person(_) if !by_user => {
                view.notes.push(Text::UserNotSeen { user: shown }.to_string());
            }
            Target::EveryoneOn(_) if !by_user => view.notes.push(Text::NobodyManagedThere.to_string()),
            _ => {}
        }
    }
    Ok(view)
}

/// Whom a wish means.
pub(super) struct Meant {
    pub target: Target,
    /// For the audit, which never names a person; `None` for somebody who is a mere name.
    pub id: Option<String>,
    /// As the wish said it.
    shown: String,
    pub notes: Vec<String>,
}

pub(super) fn meant(cx: &Context, actor: &Actor, whom: &Whom) -> Result<Meant, Error> {
    let mut notes = Vec::new();
    let (target, id, shown) = match whom {
        Whom::Device(device) => {
            let row = devices::find(cx, actor, device)?;
            (Target::Device(row.id), Some(row.public_id), device)
        }
        Whom::EveryoneOn(device) => {
            let row = devices::find(cx, actor, device)?;
            (Target::EveryoneOn(row.id), Some(row.public_id), device)
        }
        Whom::User(user) => {
            let name = library::name("user", user)?;
            match users::find_by_any_name(cx, &name)? {
                Some(person) => (Target::Person(person.id), Some(person.public_id), user),
                None => (Target::User(name), None, user),
            }
        }
        Whom::Group(group, part) => {
            let row = groups::find(cx, actor, group)?;
            let fits = match row.kind.as_str() {
                "people" => part.is_none_or(|part| part == GroupPart::People),
                "devices" | "smart" => part.is_none_or(|part| part != GroupPart::People),
                _ => true,
            };
            if !fits {
                return Err(Error::conflict(Text::NotInThisGroup { name: row.name, kind: row.kind }));
            }
            let part = part.unwrap_or(match row.kind.as_str() {
                "devices" | "smart" => GroupPart::Devices,
                _ => GroupPart::People,
            });
            if row.kind == "class" && part == GroupPart::People && row.devices > 0 {
                notes.push(Text::ClassHasDevices { name: row.name.clone(), devices: row.devices }.to_string());
            }
            (Target::Group(row.id, part), Some(row.public_id), group)
        }
    };
    Ok(Meant { target, id, shown: shown.clone(), notes })
}

/// With the names that people know.
pub(super) fn view(db: &Db<'_>, row: AssignmentRow) -> Result<AssignmentView, Error> {
    let (device, name) = match &row.target {
        Target::Device(device) | Target::EveryoneOn(device) => {
            (db.find_device(*device)?.map(|device| device.public_id), None)
        }
        Target::User(name) => (None, Some(name.clone())),
        Target::Person(person) => (None, db.find_person_by_row(*person)?.map(|person| person.short_name)),
        Target::Group(group, _) => (None, db.find_group_by_row(*group)?.map(|group| group.name)),
    };
    let schedule = row.schedule.map(|id| db.find_schedule_by_row(id)).transpose()?.flatten().map(|t| t.name);
    Ok(AssignmentView { row, device, name, schedule })
}

/// Every channel that a profile concerns: it stands there, or should.
pub(super) fn channels_of(db: &Db<'_>, profile: i64) -> Result<Vec<i64>, Error> {
    let mut channels = db.list_channels_with_profile(profile)?;
    for assignment in db.list_assignments(profile)? {
        channels.extend(reconciling::concerned(db, &assignment.target)?);
    }
    channels.sort_unstable();
    channels.dedup();
    Ok(channels)
}

/// Why a profile is not sent to some of these channels; each reason once.
pub(super) fn held_back(db: &Db<'_>, profile: i64, channels: &[i64], now: Timestamp) -> Result<Vec<String>, Error> {
    let mut reasons: Vec<(String, usize)> = Vec::new();
    for id in channels {
        let Some(channel) = db.find_enrollment_by_row(*id)? else { continue };
        let Some(device) = db.find_device(channel.device)? else { continue };
        if let Some(why) = why_held(db, &device, &channel, profile, now)? {
            match reasons.iter_mut().find(|(known, _)| *known == why) {
                Some((_, times)) => *times += 1,
                None => reasons.push((why, 1)),
            }
        }
    }
    Ok(reasons.into_iter().map(|(why, times)| format!("On {times} channel(s) it is {why}.")).collect())
}

/// Why a profile that a channel should have is not sent there; `None` where it is, or is not wanted.
pub(super) fn why_held(
    db: &Db<'_>,
    device: &DeviceRow,
    channel: &EnrollmentRow,
    profile: i64,
    now: Timestamp,
) -> Result<Option<String>, Error> {
    match reconciling::wanted(db, channel, now)?.into_iter().find(|due| due.profile.id == profile) {
        None => Ok(None),
        Some(due) if due.held.is_some() => Ok(due.held),
        Some(due) => library::unfit(db, device, channel, &due.profile),
    }
}
