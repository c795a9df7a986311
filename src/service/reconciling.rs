//! Wanted against installed: queues what brings the profiles on one channel to what is assigned to it. Called when something is
//! assigned, when a channel becomes reachable, when a device has answered about a profile, and before the first answer of a login.
//!
//! What stands on a channel is what its device acknowledged, never what was merely sent. Deliberately not here: who assigns (`library`).

use super::actor::Actor;
use super::commands::{self, Told};
use super::events::{self, Kind};
use super::{Context, Error, error, library};
use crate::base::time::{HOUR, Timestamp};
use crate::plist::{Dictionary, Value};
use crate::protocol::lifecycle::State;
use crate::protocol::queue::DeliveryState;
use crate::protocol::report::{Report, Status};
use crate::store::{ChannelKind, ChannelNames, ChannelProfileRow, Db, DeliveryRow, EnrollmentRow, ProfileRow, Tx};
use serde_json::json;

pub(super) const INSTALL: &str = "InstallProfile";
pub(super) const REMOVE: &str = "RemoveProfile";
/// A profile that a device refused is tried again no sooner than this, unless there is a new version of it.
const TRY_AGAIN: i64 = HOUR;

/// Whether the device is called for what was queued, or is on the line already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Push,
    OnTheLine,
}

/// Every profile that a channel should have by what is assigned now.
pub(super) fn wanted(db: &Db<'_>, channel: &EnrollmentRow) -> Result<Vec<ProfileRow>, Error> {
    let names: Vec<String> = [&channel.user_id, &channel.user_short_name].into_iter().flatten().cloned().collect();
    let is_user = channel.channel == ChannelKind::User;
    let names = if is_user { names } else { Vec::new() };
    Ok(db.list_wanted_profiles(&ChannelNames { device: channel.device, is_user, names: &names, groups: &[] })?)
}

/// Queues the difference between what a channel should have and what it acknowledged. Returns how many commands that took.
///
/// # Errors
/// Faults of the store. A profile that cannot be queued is told in the device's story, and does not keep the others back.
pub(super) fn reconcile(
    cx: &Context,
    tx: &Tx<'_>,
    channel: &EnrollmentRow,
    call: Call,
    now: Timestamp,
) -> Result<usize, Error> {
    if channel.state != State::Active {
        return Ok(0);
    }
    let wanted = wanted(tx, channel)?;
    let have = tx.list_channel_profiles(channel.id)?;
    let mut queued = 0;
    for profile in &wanted {
        let known = have.iter().find(|h| h.profile == profile.id);
        if needs_install(cx, tx, channel, profile, known, now)? {
            queued += usize::from(install(cx, tx, channel, profile, call, now)?);
        }
    }
    for known in have.iter().filter(|h| !wanted.iter().any(|w| w.id == h.profile)) {
        if needs_removal(cx, tx, channel, known, now)? {
            queued += usize::from(remove(cx, tx, channel, known, call, now)?);
        }
    }
    Ok(queued)
}

fn is_waiting(known: &ChannelProfileRow) -> bool {
    known.state.is_some_and(|state| !state.is_finished())
}

fn needs_install(
    cx: &Context,
    tx: &Tx<'_>,
    channel: &EnrollmentRow,
    profile: &ProfileRow,
    known: Option<&ChannelProfileRow>,
    now: Timestamp,
) -> Result<bool, Error> {
    let Some(known) = known else { return Ok(true) };
    if is_waiting(known) {
        if known.installs && known.version == profile.version {
            return Ok(false);
        }
        // What is out may be running; its answer brings us here again.
        return take_back(cx, tx, channel, known, now);
    }
    if known.installed == Some(profile.version) {
        return Ok(false);
    }
    let refused = known.installs && known.version == profile.version;
    Ok(!refused || known.failed_at.is_none_or(|at| at.plus(TRY_AGAIN) <= now))
}

fn needs_removal(
    cx: &Context,
    tx: &Tx<'_>,
    channel: &EnrollmentRow,
    known: &ChannelProfileRow,
    now: Timestamp,
) -> Result<bool, Error> {
    if is_waiting(known) && (!known.installs || !take_back(cx, tx, channel, known, now)?) {
        return Ok(false);
    }
    if known.installed.is_none() {
        tx.delete_channel_profile(channel.id, known.profile)?;
        return Ok(false);
    }
    Ok(true)
}

/// Cancels the command about a profile that has not been carried out. `false` when the device has it.
fn take_back(
    cx: &Context,
    tx: &Tx<'_>,
    channel: &EnrollmentRow,
    known: &ChannelProfileRow,
    now: Timestamp,
) -> Result<bool, Error> {
    if known.state == Some(DeliveryState::Sent) {
        return Ok(false);
    }
    let Some(delivery) = tx.find_delivery(&known.command, channel.id)? else { return Ok(true) };
    tx.finish_delivery(delivery.seq, DeliveryState::Cancelled, now)?;
    let detail = json!({ "by": "job:profiles", "why": "something else is assigned by now" }).to_string();
    tx.tell(channel.device, Some(channel.id), Some(&known.command), "cancelled", Some(&detail), now)?;
    let told =
        || events::command(&known.command, &delivery.request_type, "Cancelled", channel.user_short_name.as_deref());
    events::record(cx, tx, Kind::CommandCancelled, Some(channel.device), now, told)?;
    Ok(true)
}

fn install(
    cx: &Context,
    tx: &Tx<'_>,
    channel: &EnrollmentRow,
    profile: &ProfileRow,
    call: Call,
    now: Timestamp,
) -> Result<bool, Error> {
    let body = library::body(cx, tx, profile, now)?;
    let mut keys = Dictionary::new();
    keys.insert(String::from("Payload"), Value::Data(body.expose().clone()));
    let Some(uuid) = queue(cx, tx, channel, INSTALL, keys, &profile.name, call, now)? else { return Ok(false) };
    tx.put_channel_profile(channel.id, profile.id, &uuid, true, profile.version)?;
    Ok(true)
}

fn remove(
    cx: &Context,
    tx: &Tx<'_>,
    channel: &EnrollmentRow,
    known: &ChannelProfileRow,
    call: Call,
    now: Timestamp,
) -> Result<bool, Error> {
    let mut keys = Dictionary::new();
    keys.insert(String::from("Identifier"), Value::String(known.identifier.clone()));
    let Some(uuid) = queue(cx, tx, channel, REMOVE, keys, &known.name, call, now)? else { return Ok(false) };
    tx.put_channel_profile(channel.id, known.profile, &uuid, false, known.version)?;
    Ok(true)
}

/// The UUID of the queued command; `None` when it could not be queued, which the device's story says.
#[allow(clippy::too_many_arguments, reason = "one call of one fact each; a struct would only rename them")]
fn queue(
    cx: &Context,
    tx: &Tx<'_>,
    channel: &EnrollmentRow,
    request_type: &str,
    keys: Dictionary,
    name: &str,
    call: Call,
    now: Timestamp,
) -> Result<Option<String>, Error> {
    let device = tx.find_device(channel.device)?.ok_or_else(|| Error::internal("a channel without its device"))?;
    let told = Told {
        reason: Some(format!("assigned profile {name}")),
        on_the_line: call == Call::OnTheLine,
        ..Told::default()
    };
    let done = commands::ready(cx, None, request_type, keys).and_then(|ready| {
        commands::enqueue(cx, tx, &Actor::Job("profiles"), &device, channel, &ready, &told, now)?;
        Ok(ready.uuid.as_str().to_owned())
    });
    match done {
        Ok(uuid) => Ok(Some(uuid)),
        Err(fault) if matches!(fault.kind, error::Kind::Conflict | error::Kind::Invalid) => {
            let detail = json!({ "profile": name, "why": fault.to_string() }).to_string();
            tx.tell(channel.device, Some(channel.id), None, "profile-not-queued", Some(&detail), now)?;
            Ok(None)
        }
        Err(fault) => Err(fault),
    }
}

/// What an answer says of a profile that management handles on this channel; then whatever follows is queued for the same visit.
pub(super) fn settled(
    cx: &Context,
    tx: &Tx<'_>,
    report: &Report,
    delivery: &DeliveryRow,
    channel: &EnrollmentRow,
    now: Timestamp,
) -> Result<(), Error> {
    if !matches!(delivery.request_type.as_str(), INSTALL | REMOVE) {
        return Ok(());
    }
    let have = tx.list_channel_profiles(channel.id)?;
    let Some(known) = have.into_iter().find(|h| h.command == delivery.command) else { return Ok(()) };
    if known.installs {
        tx.settle_channel_profile(channel.id, &delivery.command, report.status == Status::Acknowledged, now)?;
    } else {
        // Refused or done: a profile that cannot be removed is not there, or not ours to remove.
        tx.delete_channel_profile(channel.id, known.profile)?;
    }
    reconcile(cx, tx, channel, Call::OnTheLine, now)?;
    Ok(())
}

/// Reconciles these channels, each in a transaction of its own, so that nobody waits long for the writer.
pub(super) fn reconcile_all(cx: &Context, channels: &[i64]) -> Result<usize, Error> {
    let mut queued = 0;
    for id in channels {
        let now = cx.now();
        queued += cx.store.write(|tx| match tx.find_enrollment_by_row(*id)? {
            Some(channel) => reconcile(cx, tx, &channel, Call::Push, now),
            None => Ok(0),
        })?;
    }
    if queued > 0 {
        cx.ring_pusher();
        cx.ring_teller();
    }
    Ok(queued)
}
