//! Setup Assistant waits (AwaitingConfiguration): the channel gets its set-up plan, and then DeviceConfigured (UserConfigured on a
//! Shared iPad), whatever became of the steps, at the latest when the plan's time is over. Nobody stands before a Mac for ever.
//!
//! Called by `checkin` when a device says that it waits, by `polling` with each answer, and by a job at the deadline.

use super::actor::{Actor, Permission};
use super::commands::{self, Told};
use super::reconciling::Call;
use super::{Context, Error, auditing, channels, devices, groups, library, reconciling, wanting};
use crate::base::texts::Text;
use crate::base::time::{SECOND, Timestamp};
use crate::plist::Dictionary;
use crate::protocol::catalogue;
use crate::protocol::queue::DeliveryState;
use crate::protocol::report::{Report, Status};
use crate::store::{Db, DeliveryRow, EnrollmentRow, SetupPlanRow, Target, Tx};
use serde_json::{Value, json};

const DEVICE_CONFIGURED: &str = "DeviceConfigured";
const USER_CONFIGURED: &str = "UserConfigured";
/// Without a plan: long enough for the assigned profiles, short enough for somebody who waits.
const DEFAULT_LIMIT_SECONDS: i64 = 300;
/// Steps and lists of one plan.
const MOST: usize = 100;

/// A plan to be.
#[derive(Debug, Clone, Default)]
pub struct PlanWish {
    pub name: String,
    /// For whom: one of the two, or everybody.
    pub group: Option<String>,
    pub device: Option<String>,
    /// Ids or PayloadIdentifiers.
    pub profiles: Vec<String>,
    /// AccountConfiguration's keys, for Macs.
    pub account: Option<Value>,
    /// InstallApplication's keys, one for each app.
    pub apps: Vec<Value>,
    pub limit_seconds: Option<i64>,
}

#[derive(Debug, Clone)]
pub struct PlanView {
    pub row: SetupPlanRow,
    /// Cordon's id of the device that it is for.
    pub device: Option<String>,
    /// Name of the group that it is for.
    pub group: Option<String>,
    /// PayloadIdentifiers.
    pub profiles: Vec<String>,
}

fn place(plan: i64) -> String {
    format!("setup-plan/{plan}")
}

/// Makes a plan.
///
/// # Errors
/// `Invalid` for keys that Apple does not know; `NotFound` for a profile or device; `Conflict` when there is one for the same already.
pub fn create(cx: &Context, actor: &Actor, wish: &PlanWish) -> Result<PlanView, Error> {
    actor.require(Permission::Enroll)?;
    let bad = |key: &str, why: &str| Error::invalid(Text::BadArgument { key: key.to_owned(), why: why.to_owned() });
    let name: String = wish.name.trim().chars().filter(|c| !c.is_control()).take(120).collect();
    if name.is_empty() {
        return Err(bad("name", "is required"));
    }
    if wish.group.is_some() && wish.device.is_some() {
        return Err(bad("group", "is for a group or for a device, not for both"));
    }
    if wish.apps.len() > MOST || wish.profiles.len() > MOST {
        return Err(bad("apps", "are too many"));
    }
    let limit_seconds = wish.limit_seconds.unwrap_or(DEFAULT_LIMIT_SECONDS);
    if !(10..=3600).contains(&limit_seconds) {
        return Err(bad("limit_seconds", "must be from 10 to 3600"));
    }
    let mut steps = Vec::new();
    for (request_type, keys) in wish
        .account
        .iter()
        .map(|keys| ("AccountConfiguration", keys))
        .chain(wish.apps.iter().map(|app| ("InstallApplication", app)))
    {
        // Looked at now, so that a misspelt key is not found out before a class of waiting iPads.
        let read = catalogue::from_json(request_type, keys)
            .map_err(|e| Error::invalid(Text::CommandDoubt { finding: e.to_string() }))?;
        commands::check(request_type, &read)?;
        steps.push(json!({ "RequestType": request_type, "keys": keys }));
    }
    let device = wish.device.as_deref().map(|device| devices::find(cx, actor, device)).transpose()?;
    let group = wish.group.as_deref().map(|group| groups::find(cx, actor, group)).transpose()?;
    let public_id = format!("sp-{}", crate::base::ids::short_code(&cx.random_bytes::<8>()));
    let now = cx.now();
    cx.store.write(|tx| {
        let mut profiles = Vec::new();
        for profile in &wish.profiles {
            profiles.push(library::find(tx, profile)?.id);
        }
        let row = SetupPlanRow {
            id: 0,
            public_id: public_id.clone(),
            name: name.clone(),
            group: group.as_ref().map(|g| g.id),
            device: device.as_ref().map(|d| d.id),
            profiles,
            sealed_commands: Vec::new(),
            commands: steps.iter().filter_map(|s| s["RequestType"].as_str().map(str::to_owned)).collect(),
            limit_seconds,
            created_by: actor.name(),
            created_at: now,
        };
        let same = |there: &SetupPlanRow| there.device == row.device && there.group == row.group;
        if tx.list_setup_plans()?.iter().any(same) {
            return Err(Error::conflict(Text::SetupPlanThere));
        }
        let id = tx.insert_setup_plan(&row)?;
        tx.put_setup_commands(id, &cx.seal(&place(id), Value::from(steps.clone()).to_string().as_bytes()))?;
        let detail = json!({ "name": name, "profiles": wish.profiles, "commands": row.commands });
        auditing::record(tx, actor, "setup-plan.create", Some(&public_id), Some(detail), now)
    })?;
    show(cx, actor, &public_id)
}

pub fn list(cx: &Context, actor: &Actor) -> Result<Vec<PlanView>, Error> {
    actor.require(Permission::LookAround)?;
    cx.store.read(|db| db.list_setup_plans()?.into_iter().map(|row| view(db, row)).collect())
}

/// # Errors
/// `NotFound`.
pub fn show(cx: &Context, actor: &Actor, id: &str) -> Result<PlanView, Error> {
    let found = list(cx, actor)?.into_iter().find(|plan| plan.row.public_id == id);
    found.ok_or_else(|| Error::not_found(Text::NoSuchSetupPlan { id: id.chars().take(64).collect() }))
}

/// # Errors
/// `NotFound`.
pub fn remove(cx: &Context, actor: &Actor, id: &str) -> Result<(), Error> {
    actor.require(Permission::Enroll)?;
    let now = cx.now();
    cx.store.write(|tx| {
        if !tx.delete_setup_plan(id)? {
            return Err(Error::not_found(Text::NoSuchSetupPlan { id: id.chars().take(64).collect() }));
        }
        auditing::record(tx, actor, "setup-plan.remove", Some(id), None, now)
    })
}

fn view(db: &Db<'_>, row: SetupPlanRow) -> Result<PlanView, Error> {
    let device = row.device.map(|id| db.find_device(id)).transpose()?.flatten().map(|d| d.public_id);
    let group = row.group.map(|id| db.find_group_by_row(id)).transpose()?.flatten().map(|g| g.name);
    let mut profiles = Vec::new();
    for id in &row.profiles {
        profiles.extend(db.find_profile_by_row(*id)?.filter(|p| p.removed_at.is_none()).map(|p| p.identifier));
    }
    Ok(PlanView { row, device, group, profiles })
}

/// The plan of a channel: of its device, else of a group that the device or its user is in, else of everybody.
fn plan_of(db: &Db<'_>, channel: &EnrollmentRow) -> Result<Option<SetupPlanRow>, Error> {
    let groups = wanting::groups_of(db, channel)?;
    let is_mine = |plan: &SetupPlanRow| match (plan.group, plan.device) {
        (_, Some(device)) => Some(0).filter(|_| device == channel.device),
        (Some(group), _) => Some(1).filter(|_| groups.contains(&group)),
        (None, None) => Some(2),
    };
    let plans = db.list_setup_plans()?.into_iter().filter_map(|plan| is_mine(&plan).map(|rank| (rank, plan)));
    Ok(plans.min_by_key(|(rank, plan)| (*rank, plan.id)).map(|(_, plan)| plan))
}

/// A channel said whether Setup Assistant waits there. Called after its profiles were reconciled, so that what is assigned is part of
/// the set-up.
pub(super) fn heard(cx: &Context, tx: &Tx<'_>, channel: &EnrollmentRow, now: Timestamp) -> Result<(), Error> {
    if !channel.awaiting_configuration || tx.find_setup_run(channel.id)?.is_some_and(|run| run.released.is_none()) {
        return Ok(());
    }
    let plan = plan_of(tx, channel)?;
    let limit = plan.as_ref().map_or(DEFAULT_LIMIT_SECONDS, |p| p.limit_seconds);
    tx.begin_setup(channel.id, plan.as_ref().map(|p| p.name.as_str()), now.plus(limit * SECOND), now)?;
    if let Some(plan) = &plan {
        queue_plan(cx, tx, channel, plan, now)?;
    }
    tx.add_waiting_as_steps(channel.id)?;
    let steps = tx.list_setup_steps(channel.id)?.len();
    let detail = json!({ "plan": plan.as_ref().map(|p| &p.name), "steps": steps, "limit_seconds": limit }).to_string();
    tx.tell(channel.device, Some(channel.id), None, "setup-waits", Some(&detail), now)?;
    advance(cx, tx, channel, Call::Push, now)
}

fn queue_plan(
    cx: &Context,
    tx: &Tx<'_>,
    channel: &EnrollmentRow,
    plan: &SetupPlanRow,
    now: Timestamp,
) -> Result<(), Error> {
    let device = tx.find_device(channel.device)?.ok_or_else(|| Error::internal("a channel without its device"))?;
    // Assigned from now on, so that they stay, are shown, and can be taken away like any other.
    let user = channel.user_id.as_ref().or(channel.user_short_name.as_ref());
    let target = match (channel.parent, user) {
        (Some(_), Some(user)) => Target::User(user.clone()),
        _ => Target::Device(channel.device),
    };
    for id in &plan.profiles {
        tx.insert_assignment(*id, &target, "job:setup", now)?;
    }
    reconciling::reconcile(cx, tx, channel, Call::Push, now)?;
    let sealed = cx.open(&place(plan.id), &plan.sealed_commands)?;
    let steps: Vec<Value> = serde_json::from_slice(sealed.expose()).map_err(Error::internal)?;
    for step in steps {
        let request_type = step["RequestType"].as_str().unwrap_or_default();
        // A plan may be for Macs and iPads alike: what a system does not take is left out.
        if !channels::is_taken(&device, channel, request_type) {
            continue;
        }
        let keys = catalogue::from_json(request_type, &step["keys"]).map_err(Error::internal)?;
        enqueue(cx, tx, channel, request_type, keys, Call::Push, now)?;
    }
    Ok(())
}

fn enqueue(
    cx: &Context,
    tx: &Tx<'_>,
    channel: &EnrollmentRow,
    request_type: &str,
    keys: Dictionary,
    call: Call,
    now: Timestamp,
) -> Result<String, Error> {
    let device = tx.find_device(channel.device)?.ok_or_else(|| Error::internal("a channel without its device"))?;
    let ready = commands::ready(cx, None, request_type, keys)?;
    let told = Told {
        reason: Some(String::from("Setup Assistant waits")),
        on_the_line: call == Call::OnTheLine,
        ..Told::default()
    };
    commands::enqueue(cx, tx, &Actor::Job("setup"), &device, channel, &ready, &told, now)?;
    Ok(ready.uuid.as_str().to_owned())
}

/// Lets Setup Assistant go on when every step is answered or the time is over.
fn advance(cx: &Context, tx: &Tx<'_>, channel: &EnrollmentRow, call: Call, now: Timestamp) -> Result<(), Error> {
    let Some(run) = tx.find_setup_run(channel.id)?.filter(|run| run.released.is_none()) else { return Ok(()) };
    let steps = tx.list_setup_steps(channel.id)?;
    let named = |wanted: &dyn Fn(DeliveryState) -> bool| -> Vec<&str> {
        steps.iter().filter(|s| wanted(s.state)).map(|s| s.request_type.as_str()).collect()
    };
    let waiting = named(&|state| !state.is_finished());
    if !waiting.is_empty() && run.ends_by > now {
        return Ok(());
    }
    let failed = named(&|state| state.is_finished() && state != DeliveryState::Acknowledged);
    let why = match (waiting.is_empty(), failed.is_empty()) {
        (true, true) => format!("all {} step(s) are done", steps.len()),
        (true, false) => format!("{} of {} step(s) failed: {}", failed.len(), steps.len(), failed.join(", ")),
        (false, _) => format!("the time was over with {} step(s) waiting: {}", waiting.len(), waiting.join(", ")),
    };
    let request_type = if channel.parent.is_some() { USER_CONFIGURED } else { DEVICE_CONFIGURED };
    let uuid = enqueue(cx, tx, channel, request_type, Dictionary::new(), call, now)?;
    tx.release_setup(channel.id, &uuid, &why)?;
    let detail = json!({ "plan": run.plan, "why": why }).to_string();
    tx.tell(channel.device, Some(channel.id), Some(&uuid), "setup-released", Some(&detail), now)?;
    Ok(())
}

/// What an answer means for the set-up of its channel.
pub(super) fn settled(
    cx: &Context,
    tx: &Tx<'_>,
    report: &Report,
    delivery: &DeliveryRow,
    channel: &EnrollmentRow,
    now: Timestamp,
) -> Result<(), Error> {
    if !channel.awaiting_configuration {
        return Ok(());
    }
    let ends = matches!(delivery.request_type.as_str(), DEVICE_CONFIGURED | USER_CONFIGURED);
    if ends && report.status == Status::Acknowledged {
        tx.put_configured(channel.id)?;
        return Ok(());
    }
    advance(cx, tx, channel, Call::OnTheLine, now)
}

/// Ends the set-ups whose time is over. Returns how many.
pub fn release_overdue(cx: &Context) -> Result<usize, Error> {
    let now = cx.now();
    let overdue = cx.store.read(|db| db.list_overdue_setups(now))?;
    for enrollment in &overdue {
        cx.store.write(|tx| match tx.find_enrollment_by_row(*enrollment)? {
            Some(channel) => advance(cx, tx, &channel, Call::Push, now),
            None => Ok(()),
        })?;
    }
    if !overdue.is_empty() {
        cx.ring_pusher();
        cx.ring_teller();
    }
    Ok(overdue.len())
}

/// How a channel's set-up stands, for a person.
pub(super) fn in_words(db: &Db<'_>, channel: &EnrollmentRow) -> Result<Option<String>, Error> {
    let Some(run) = db.find_setup_run(channel.id)? else { return Ok(None) };
    let plan = run.plan.map(|name| format!(" by the plan “{name}”")).unwrap_or_default();
    Ok(Some(match run.why {
        Some(why) => format!("The set-up of {}{plan} was ended: {why}.", run.since),
        None => {
            format!("A set-up{plan} is under way since {}; it ends by {} whatever happens.", run.since, run.ends_by)
        }
    }))
}
