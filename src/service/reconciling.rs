//! Wanted against standing: queues what brings the profiles on one channel to what is assigned to it. Called when something is
//! assigned, when a group or a person changes, when a channel becomes reachable, when a device has answered about a profile or listed
//! what it has, before the first answer of a login, and when a refusal is to be tried again.
//!
//! The rule is `protocol::desired`. Deliberately not here: who assigns (`library`), and to whom a group belongs (`groups`).

use super::actor::Actor;
use super::commands::{self, Told};
use super::events::{self, Kind};
use super::wanting::{Due, Picture, wanted};
use super::{
    Context, Error, account_credentials, error, gates, library, network_users, provisioning_devices, resigning,
};
use crate::base::time::{HOUR, Timestamp};
use crate::plist::{Dictionary, Value};
use crate::protocol::desired::{self, Progress, Standing, Step, Wanted};
use crate::protocol::lifecycle::State;
use crate::protocol::queue::DeliveryState;
use crate::protocol::report::{Report, Status};
use crate::store::{ChannelProfileRow, Db, DeliveryRow, Doing, EnrollmentRow, Tx};
use serde_json::json;

pub(super) const INSTALL: &str = "InstallProfile";
pub(super) const REMOVE: &str = "RemoveProfile";
const LIST: &str = "ProfileList";
/// Channels that one look for refusals to try again takes up.
const AT_ONCE: usize = 200;

/// Whether the device is called for what was queued, or is on the line already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Push,
    OnTheLine,
}

/// Whether management may do anything on a channel: not where the school leaves a further local user alone.
fn is_served(db: &Db<'_>, channel: &EnrollmentRow) -> Result<bool, Error> {
    Ok(channel.state == State::Active && network_users::is_served(db, channel)?)
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
    if !is_served(tx, channel)? {
        return Ok(0);
    }
    let have = tx.list_channel_profiles(channel.id)?;
    let picture = wanted(tx, channel, &have, now)?;
    let device = tx.find_device(channel.device)?.ok_or_else(|| Error::internal("a channel without its device"))?;
    let mut queued = gates::keep(cx, tx, &device, channel, &picture.gates, &have, call, now)?;
    let steps = steps(cx, tx, channel, &picture, &have, now)?;
    let wanted = picture.due;
    for step in steps {
        let known = |profile: i64| have.iter().find(|h| h.profile == profile);
        match step {
            Step::TakeBack(profile) => {
                if let Some(known) = known(profile) {
                    take_back(cx, tx, channel, known, now)?;
                }
            }
            Step::Install(profile) => {
                if let Some(due) = wanted.iter().find(|w| w.profile.id == profile)
                    && library::unfit(tx, &device, channel, &due.profile)?.is_none()
                {
                    queued += usize::from(install(cx, tx, channel, due, known(profile), call, now)?);
                }
            }
            Step::Remove(profile) => {
                if let Some(known) = known(profile) {
                    queued += usize::from(remove(cx, tx, channel, known, call, now)?);
                }
            }
            Step::Forget(profile) => tx.delete_channel_profile(channel.id, profile)?,
        }
    }
    Ok(queued + provisioning_devices::reconcile(cx, tx, channel, call, now)?)
}

/// What tells apart what would be sent now from what was sent before: version, values of its variables, and who signed it.
type Edition = (i64, i64, Option<[u8; 32]>);

fn steps(
    cx: &Context,
    db: &Db<'_>,
    channel: &EnrollmentRow,
    picture: &Picture,
    have: &[ChannelProfileRow],
    now: Timestamp,
) -> Result<Vec<Step>, Error> {
    let known = |profile: i64| have.iter().find(|h| h.profile == profile);
    let mut wanted: Vec<Wanted<Edition>> = Vec::new();
    for due in picture.due.iter().filter(|due| due.shut.is_none()) {
        let (profile, there) = (due.profile.id, known(due.profile.id));
        match &due.held {
            None => {
                let (version, fill) = (due.profile.version, due.fill);
                let signer = resigning::signer(cx, db, channel, profile, there, (version, fill), now)?;
                wanted.push(Wanted { profile, edition: (version, fill, signer) });
            }
            // What stands there stays as it is until the value is known.
            Some(_) => wanted.extend(there.and_then(standing_edition).map(|edition| Wanted { profile, edition })),
        }
    }
    // A restriction that nobody wants any more goes when the capability that was given for it has gone.
    for here in &picture.gates {
        let profile = here.pair.restriction;
        if known(here.pair.capability).is_some() && !wanted.iter().any(|w| w.profile == profile) {
            wanted.extend(known(profile).and_then(standing_edition).map(|edition| Wanted { profile, edition }));
        }
    }
    let standing: Vec<Standing<Edition>> = have.iter().map(standing).collect();
    Ok(desired::difference(&wanted, &standing, now))
}

fn standing_edition(known: &ChannelProfileRow) -> Option<Edition> {
    Some((known.installed?, known.installed_fill, known.installed_signer))
}

fn standing(known: &ChannelProfileRow) -> Standing<Edition> {
    let progress = match known.state {
        Some(DeliveryState::Sent) => Progress::Out,
        Some(state) if !state.is_finished() => Progress::Waiting,
        _ if known.failed_at.is_some() => Progress::Refused { again: known.next_try_at },
        _ => Progress::Over,
    };
    Standing {
        profile: known.profile,
        installed: standing_edition(known),
        installs: known.installs,
        edition: (known.version, known.fill, known.signer),
        progress,
        uncertain: known.uncertain,
        let_go: known.gone_at.is_some() && !known.comes_back,
    }
}

/// Cancels the command about a profile that waits.
fn take_back(
    cx: &Context,
    tx: &Tx<'_>,
    channel: &EnrollmentRow,
    known: &ChannelProfileRow,
    now: Timestamp,
) -> Result<(), Error> {
    let Some(delivery) = tx.find_delivery(&known.command, channel.id)? else { return Ok(()) };
    tx.finish_delivery(delivery.seq, DeliveryState::Cancelled, now)?;
    let detail = json!({ "by": "job:profiles", "why": "something else is assigned by now" }).to_string();
    tx.tell(channel.device, Some(channel.id), Some(&known.command), "cancelled", Some(&detail), now)?;
    let told =
        || events::command(&known.command, &delivery.request_type, "Cancelled", channel.user_short_name.as_deref());
    events::record(cx, tx, Kind::CommandCancelled, Some(channel.device), now, told)
}

fn install(
    cx: &Context,
    tx: &Tx<'_>,
    channel: &EnrollmentRow,
    due: &Due,
    known: Option<&ChannelProfileRow>,
    call: Call,
    now: Timestamp,
) -> Result<bool, Error> {
    let profile = &due.profile;
    let body = library::body(cx, tx, profile, &due.values, now)?;
    let mut keys = Dictionary::new();
    keys.insert(String::from("Payload"), Value::Data(body.expose().clone()));
    let Some(uuid) = queue(cx, tx, channel, INSTALL, keys, &profile.name, call, now)? else { return Ok(false) };
    let uncertain = known.is_some_and(|known| known.uncertain);
    let (version, fill) = (profile.version, due.fill);
    let signer = Some(cx.authorities().signer.certificate.fingerprint());
    let doing = Doing { profile: profile.id, command: &uuid, installs: true, version, fill, signer, uncertain };
    tx.put_channel_profile(channel.id, &doing)?;
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
    let ChannelProfileRow { profile, version, fill, signer, uncertain, .. } = *known;
    let doing = Doing { profile, command: &uuid, installs: false, version, fill, signer, uncertain };
    tx.put_channel_profile(channel.id, &doing)?;
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

/// What an answer says of the profiles on this channel; then whatever follows is queued for the same visit.
pub(super) fn settled(
    cx: &Context,
    tx: &Tx<'_>,
    report: &Report,
    delivery: &DeliveryRow,
    channel: &EnrollmentRow,
    now: Timestamp,
) -> Result<(), Error> {
    let changed = match delivery.request_type.as_str() {
        INSTALL | REMOVE => answered(cx, tx, report, delivery, channel, now)?,
        LIST if report.status == Status::Acknowledged => listed(tx, report, delivery, channel, now)?,
        _ => provisioning_devices::settled(cx, tx, report, delivery, channel, now)?,
    };
    if changed {
        reconcile(cx, tx, channel, Call::OnTheLine, now)?;
    }
    Ok(())
}

/// An install or a removal of ours was carried out or refused.
fn answered(
    cx: &Context,
    tx: &Tx<'_>,
    report: &Report,
    delivery: &DeliveryRow,
    channel: &EnrollmentRow,
    now: Timestamp,
) -> Result<bool, Error> {
    let have = tx.list_channel_profiles(channel.id)?;
    let Some(known) = have.into_iter().find(|h| h.command == delivery.command) else { return Ok(false) };
    if !known.installs {
        // Refused or done: a profile that cannot be removed is not there, or not ours to remove.
        tx.delete_channel_profile(channel.id, known.profile)?;
    } else if report.status == Status::Acknowledged {
        tx.put_profile_installed(channel.id, known.profile)?;
        account_credentials::installed(tx, &known, now)?;
    } else {
        let failures = known.failures.saturating_add(1);
        let next = desired::next_try(failures, now);
        tx.put_profile_refused(channel.id, known.profile, failures, next, now)?;
        if next.is_none() {
            let detail = json!({ "profile": known.name, "identifier": known.identifier, "refused": failures });
            gave_up(cx, tx, report, delivery, channel, ("profile-refused", detail), now)?;
        }
    }
    Ok(true)
}

/// What was refused too often is a person's turn: told in the device's story and to whoever is to hear of it, with the device's own words.
pub(super) fn gave_up(
    cx: &Context,
    tx: &Tx<'_>,
    report: &Report,
    delivery: &DeliveryRow,
    channel: &EnrollmentRow,
    (kind, mut detail): (&'static str, serde_json::Value),
    now: Timestamp,
) -> Result<(), Error> {
    detail["error_chain"] = report.error_chain.iter().map(|item| item.to_json()).collect();
    let (device, text) = (channel.device, detail.to_string());
    tx.tell(device, Some(channel.id), Some(&delivery.command), kind, Some(&text), now)?;
    let told = || json!({ "attention": { "kind": kind, "detail": detail } });
    events::record(cx, tx, Kind::DeviceAttention, Some(device), now, told)
}

/// A list of what stands on the channel: a profile of ours that is not in it was taken off by somebody.
fn listed(
    tx: &Tx<'_>,
    report: &Report,
    delivery: &DeliveryRow,
    channel: &EnrollmentRow,
    now: Timestamp,
) -> Result<bool, Error> {
    let Some(Value::Array(list)) = report.keys.get("ProfileList") else { return Ok(false) };
    let named = |v: &Value| v.as_dictionary()?.get("PayloadIdentifier")?.as_string().map(str::to_owned);
    let there: Vec<String> = list.iter().filter_map(named).collect();
    let mut changed = false;
    for known in tx.list_channel_profiles(channel.id)? {
        // What was acknowledged after the list was asked for may be missing from it.
        let older = known.finished_at.is_none_or(|at| delivery.last_sent_at.is_some_and(|sent| at <= sent));
        let is_settled = known.installs && known.state.is_none_or(DeliveryState::is_finished) && older;
        if known.installed.is_none() || !is_settled || there.contains(&known.identifier) {
            continue;
        }
        tx.put_profile_gone(channel.id, known.profile, now)?;
        let detail = json!({ "profile": known.name, "identifier": known.identifier, "comes_back": known.comes_back });
        tx.tell(channel.device, Some(channel.id), None, "profile-gone", Some(&detail.to_string()), now)?;
        changed = true;
    }
    Ok(changed)
}

/// What is known of a device changed: smart groups may have gained or lost it. Its other channels are called, this one is on the line.
pub(super) fn device_changed(
    cx: &Context,
    tx: &Tx<'_>,
    device: i64,
    on_the_line: Option<i64>,
    now: Timestamp,
) -> Result<usize, Error> {
    if tx.list_smart_groups_in_use()?.is_empty() {
        return Ok(0);
    }
    let mut queued = 0;
    for id in tx.list_channels_of_devices(&[device])? {
        if let Some(channel) = tx.find_enrollment_by_row(id)? {
            let call = if on_the_line == Some(id) { Call::OnTheLine } else { Call::Push };
            queued += reconcile(cx, tx, &channel, call, now)?;
        }
    }
    Ok(queued)
}

/// As [`device_changed`], after the commit of what changed it.
pub(super) fn device_changed_meanwhile(cx: &Context, device: i64) -> Result<(), Error> {
    let channels = cx.store.read(|db| {
        let concerned = !db.list_smart_groups_in_use()?.is_empty();
        if concerned { db.list_channels_of_devices(&[device]) } else { Ok(Vec::new()) }
    })?;
    reconcile_all(cx, &channels).map(drop)
}

/// People changed: their groups, or how a channel knows them.
pub(super) fn people_changed(cx: &Context, persons: &[i64]) -> Result<(), Error> {
    let channels = cx.store.read(|db| db.list_channels_of_persons(persons))?;
    reconcile_all(cx, &channels).map(drop)
}

/// Tries refused profiles again whose time has come. Returns how many commands that took.
pub fn try_again(cx: &Context) -> Result<usize, Error> {
    let now = cx.now();
    let channels = cx.store.read(|db| db.list_channels_to_try(now, AT_ONCE))?;
    if channels.is_empty() {
        return Ok(0);
    }
    let queued = reconcile_all(cx, &channels)?;
    // What is held back by now cannot be tried; it is looked at again later, and keeps nobody else waiting.
    cx.store.write(|tx| tx.postpone_tries(&channels, now, now.plus(HOUR)))?;
    Ok(queued)
}

/// Reconciles these channels, each in a transaction of its own, so that nobody waits long for the writer. A fault with one keeps nobody
/// behind it waiting.
///
/// # Errors
/// The first fault, after all were looked at.
pub fn reconcile_all(cx: &Context, channels: &[i64]) -> Result<usize, Error> {
    let (mut queued, mut fault) = (0, None);
    for id in channels {
        match reconcile_one(cx, *id) {
            Ok(commands) => queued += commands,
            Err(error) => {
                tracing::error!(channel = id, %error, "a channel cannot be brought up to what it should have");
                fault.get_or_insert(error);
            }
        }
    }
    if !channels.is_empty() {
        cx.ring_pusher();
        cx.ring_teller();
    }
    fault.map_or(Ok(queued), Err)
}

/// A look comes first: most channels have nothing to do, and looking needs no writer.
fn reconcile_one(cx: &Context, id: i64) -> Result<usize, Error> {
    let now = cx.now();
    let has_work = cx.store.read(|db| match db.find_enrollment_by_row(id)? {
        Some(channel) if is_served(db, &channel)? => {
            let have = db.list_channel_profiles(id)?;
            let picture = wanted(db, &channel, &have, now)?;
            let has_work = picture.gates.iter().any(|here| here.has_work(&have, now))
                || !steps(cx, db, &channel, &picture, &have, now)?.is_empty();
            Ok::<_, Error>(has_work || provisioning_devices::has_work(db, &channel, now)?)
        }
        _ => Ok(false),
    })?;
    if !has_work {
        return Ok(0);
    }
    cx.store.write(|tx| match tx.find_enrollment_by_row(id)? {
        Some(channel) => reconcile(cx, tx, &channel, Call::Push, now),
        None => Ok(0),
    })
}
