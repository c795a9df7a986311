//! Provisioning profiles on devices: queues what brings a device to what it should have, and learns from what it answers and lists. Called
//! by `reconciling` whenever anything changes for a device, and by `provisioning`. The rule is `protocol::provisioning`.

use super::actor::Actor;
use super::commands::{self, Told};
use super::reconciling::{self, Call};
use super::{Context, Error, channels, error, groups};
use crate::base::time::{HOUR, Timestamp};
use crate::plist::{Dictionary, Value};
use crate::protocol::desired;
use crate::protocol::provisioning::{Standing, Step, difference};
use crate::protocol::queue::DeliveryState;
use crate::protocol::report::{Report, Status};
use crate::store::{ChannelKind, Db, DeliveryRow, DeviceProvisioningRow, DeviceRow, EnrollmentRow, ListedRow, Tx};
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};

const INSTALL: &str = "InstallProvisioningProfile";
const REMOVE: &str = "RemoveProvisioningProfile";
pub(super) const LIST: &str = "ProvisioningProfileList";
/// Rights of an enrolment: to look, and to install and remove.
pub(super) const TO_LOOK: u32 = 64;
const TO_CHANGE: u32 = 128;
/// Entries of a device's list that are kept.
const MOST_LISTED: usize = 1_000;
/// Devices whose refusals are tried again in one go.
const AT_ONCE: usize = 200;

/// Why nothing about provisioning profiles can be sent to a device; `None` where nothing speaks against it.
pub(super) fn held(db: &Db<'_>, device: &DeviceRow, channel: &EnrollmentRow) -> Result<Option<String>, Error> {
    if !channels::is_taken(device, channel, INSTALL) {
        return Ok(Some(String::from("held back: its system takes no provisioning profiles by management")));
    }
    let issued = channel.issued_profile.map(|id| db.find_issued_profile(id)).transpose()?.flatten();
    let rights = issued.map_or(0, |issued| issued.access_rights);
    let lacks = rights & (TO_LOOK | TO_CHANGE) != TO_LOOK | TO_CHANGE;
    Ok(lacks.then(|| {
        String::from(
            "held back: its enrolment does not grant the right to provisioning profiles; it can be had by enrolling anew",
        )
    }))
}

/// What is to be done on a channel; nothing on a user's.
fn steps(db: &Db<'_>, channel: &EnrollmentRow, now: Timestamp) -> Result<Vec<Step>, Error> {
    if channel.channel != ChannelKind::Device || !db.has_provisioning()? {
        return Ok(Vec::new());
    }
    let wanted = db.list_wanted_provisioning(channel.device, &groups::of_device(db, channel.device)?, now)?;
    let have: Vec<Standing> = db.list_device_provisioning(channel.id)?.iter().map(standing).collect();
    let steps = difference(&wanted, &have, now);
    if steps.is_empty() {
        return Ok(steps);
    }
    let Some(device) = db.find_device(channel.device)? else { return Ok(Vec::new()) };
    Ok(if held(db, &device, channel)?.is_some() { Vec::new() } else { steps })
}

fn standing(row: &DeviceProvisioningRow) -> Standing {
    Standing {
        version: row.version.id,
        line: row.version.provisioning,
        installs: row.installs,
        state: row.state,
        stands: row.stands,
        confirmed: row.confirmed_at.is_some(),
        failed: row.failed_at.is_some(),
        again: row.next_try_at,
    }
}

/// Whether a device has not what it should have, or has what it should not.
pub(super) fn has_work(db: &Db<'_>, channel: &EnrollmentRow, now: Timestamp) -> Result<bool, Error> {
    let steps = steps(db, channel, now)?;
    // A question alone that waits already is no work.
    Ok(steps.iter().any(|step| *step != Step::List) || (!steps.is_empty() && !is_asked(db, channel)?))
}

fn is_asked(db: &Db<'_>, channel: &EnrollmentRow) -> Result<bool, Error> {
    let waiting = db.list_waiting_of_device(channel.device)?;
    // One that is out may have been answered before the install that it is to confirm.
    let queued = |state: DeliveryState| state != DeliveryState::Sent;
    Ok(waiting.iter().any(|w| w.enrollment == channel.id && w.request_type == LIST && queued(w.state)))
}

/// Queues the difference. Returns how many commands that took.
pub(super) fn reconcile(
    cx: &Context,
    tx: &Tx<'_>,
    channel: &EnrollmentRow,
    call: Call,
    now: Timestamp,
) -> Result<usize, Error> {
    let mut queued = 0;
    for step in steps(tx, channel, now)? {
        let mut keys = Dictionary::new();
        let done = match step {
            Step::Install(version) => {
                let Some(body) = tx.find_provisioning_body(version)? else { continue };
                keys.insert(String::from("ProvisioningProfile"), Value::Data(body));
                queue(cx, tx, channel, INSTALL, keys, call, now)?.map(|uuid| (version, uuid, true))
            }
            Step::Remove(version) => {
                let known = tx.list_device_provisioning(channel.id)?.into_iter().find(|row| row.version.id == version);
                let Some(known) = known else { continue };
                keys.insert(String::from("UUID"), Value::String(known.version.uuid));
                queue(cx, tx, channel, REMOVE, keys, call, now)?.map(|uuid| (version, uuid, false))
            }
            Step::List => {
                queued += usize::from(ask(cx, tx, channel, call, now)?);
                continue;
            }
        };
        if let Some((version, uuid, installs)) = done {
            tx.put_device_provisioning(channel.id, version, &uuid, installs)?;
            queued += 1;
        }
    }
    Ok(queued)
}

/// Asks a device what it has, unless it is being asked.
fn ask(cx: &Context, tx: &Tx<'_>, channel: &EnrollmentRow, call: Call, now: Timestamp) -> Result<bool, Error> {
    if is_asked(tx, channel)? {
        return Ok(false);
    }
    Ok(queue(cx, tx, channel, LIST, Dictionary::new(), call, now)?.is_some())
}

fn queue(
    cx: &Context,
    tx: &Tx<'_>,
    channel: &EnrollmentRow,
    request_type: &str,
    keys: Dictionary,
    call: Call,
    now: Timestamp,
) -> Result<Option<String>, Error> {
    let device = tx.find_device(channel.device)?.ok_or_else(|| Error::internal("a channel without its device"))?;
    let reason = Some(String::from("provisioning profiles"));
    let told = Told { reason, on_the_line: call == Call::OnTheLine, ..Told::default() };
    let ready = commands::ready(cx, None, request_type, keys)?;
    match commands::enqueue(cx, tx, &Actor::Job("provisioning"), &device, channel, &ready, &told, now) {
        Ok(()) => Ok(Some(ready.uuid.as_str().to_owned())),
        // A full queue: the next look finds the same difference.
        Err(full) if full.kind == error::Kind::Conflict => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// What an answer says of the provisioning profiles of a device. Whether anything follows from it.
pub(super) fn settled(
    cx: &Context,
    tx: &Tx<'_>,
    report: &Report,
    delivery: &DeliveryRow,
    channel: &EnrollmentRow,
    now: Timestamp,
) -> Result<bool, Error> {
    match delivery.request_type.as_str() {
        INSTALL | REMOVE => answered(cx, tx, report, delivery, channel, now),
        LIST if report.status == Status::Acknowledged => listed(tx, report, delivery, channel, now),
        _ => Ok(false),
    }
}

fn answered(
    cx: &Context,
    tx: &Tx<'_>,
    report: &Report,
    delivery: &DeliveryRow,
    channel: &EnrollmentRow,
    now: Timestamp,
) -> Result<bool, Error> {
    let have = tx.list_device_provisioning(channel.id)?;
    let Some(known) = have.into_iter().find(|row| row.command == delivery.command) else { return Ok(false) };
    let version = known.version.id;
    match (report.status == Status::Acknowledged, known.installs) {
        (true, true) => tx.put_provisioning_installed(channel.id, version)?,
        (true, false) => tx.put_provisioning_removed(channel.id, version, now)?,
        (false, installs) => {
            let failures = known.failures.saturating_add(1);
            let next = desired::next_try(failures, now);
            tx.put_provisioning_refused(channel.id, version, failures, next, now)?;
            if !installs {
                // Perhaps it is not there any more: the device says what it has.
                ask(cx, tx, channel, Call::OnTheLine, now)?;
            }
            if next.is_none() {
                let version = &known.version;
                let detail = json!({ "provisioning": version.name, "uuid": version.uuid, "refused": failures });
                reconciling::gave_up(cx, tx, report, delivery, channel, ("provisioning-refused", detail), now)?;
            }
        }
    }
    Ok(true)
}

/// What the device lists: installs are confirmed, lost ones are lost, and what was removed and is there again has come back.
fn listed(
    tx: &Tx<'_>,
    report: &Report,
    delivery: &DeliveryRow,
    channel: &EnrollmentRow,
    now: Timestamp,
) -> Result<bool, Error> {
    let Some(Value::Array(list)) = report.keys.get(LIST) else { return Ok(false) };
    let there: Vec<ListedRow> = list.iter().filter_map(|entry| entry_of(entry, now)).take(MOST_LISTED).collect();
    tx.put_listed_provisioning(channel.id, &there)?;
    let mut changed = false;
    for known in tx.list_device_provisioning(channel.id)? {
        // What was carried out after the list was asked for may be missing from it.
        let is_busy = known.state.is_some_and(|state| !state.is_finished());
        let older = known.finished_at.is_none_or(|at| delivery.last_sent_at.is_some_and(|sent| at <= sent));
        if is_busy || !older {
            continue;
        }
        let (version, is_there) =
            (&known.version, there.iter().any(|row| row.uuid.eq_ignore_ascii_case(&known.version.uuid)));
        let tell = |kind: &str| {
            let detail = json!({ "provisioning": version.name, "uuid": version.uuid }).to_string();
            tx.tell(channel.device, Some(channel.id), None, kind, Some(&detail), now)
        };
        let put =
            |stands, confirmed, returned| tx.put_provisioning_seen(channel.id, version.id, stands, confirmed, returned);
        match (is_there, known.stands, known.removed_at, known.returned_at) {
            (true, true, ..) if known.confirmed_at.is_some() => continue,
            (true, true, ..) | (true, false, None, _) => put(true, Some(now), None)?,
            (true, false, Some(_), Some(_)) | (false, false, _, None) => continue,
            (true, false, Some(_), None) => {
                put(false, None, Some(now))?;
                tell("provisioning-returned")?;
            }
            (false, true, ..) => {
                put(false, None, None)?;
                tell("provisioning-gone")?;
            }
            (false, false, _, Some(_)) => put(false, None, None)?,
        }
        changed = true;
    }
    Ok(changed)
}

fn entry_of(entry: &Value, now: Timestamp) -> Option<ListedRow> {
    let entry = entry.as_dictionary()?;
    let text = |key: &str| -> Option<String> {
        let text = entry.get(key)?.as_string()?;
        Some(text.chars().filter(|c| !c.is_control()).take(256).collect())
    };
    let expires_at = entry.get("ExpiryDate").and_then(Value::as_date).and_then(|date| {
        let since = SystemTime::from(date).duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since.as_millis()).ok().map(Timestamp)
    });
    let uuid = text("UUID").filter(|uuid| !uuid.is_empty())?;
    Some(ListedRow { uuid, name: text("Name").unwrap_or_default(), expires_at, listed_at: now })
}

/// Tries refusals again whose time has come. Returns how many devices were looked at.
///
/// # Errors
/// Faults of the store.
pub(super) fn try_again(cx: &Context) -> Result<usize, Error> {
    let now = cx.now();
    let channels = cx.store.read(|db| db.list_provisioning_to_try(now, AT_ONCE))?;
    if !channels.is_empty() {
        reconciling::reconcile_all(cx, &channels)?;
        // What is held back by now cannot be tried; it is looked at again later.
        cx.store.write(|tx| tx.postpone_provisioning(&channels, now, now.plus(HOUR)))?;
    }
    Ok(channels.len())
}
