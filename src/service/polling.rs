//! The command poll: a device reports, and gets its next command. An idle poll of an empty queue never touches the writer;
//! everything else is one transaction, on disk before the answer leaves.

use super::answers::{Sealed, seal_answer};
use super::attention::{self, Sighting};
use super::channel_facts::{self, binding_fact, create_user_channel, distrust_text, known, unenroll};
use super::commands::command_place;
use super::custody;
use super::events::{self, Kind};
use super::handing_out::{HandedOut, hand_out, hand_out_in_series};
use super::identity::{self, Identity, Peer};
use super::{
    Context, Error, devices, leaving, lost, network_users, reconciling, renewing, series, setting_up, stock, unlocking,
};
use crate::base::ids::CommandUuid;
use crate::base::time::Timestamp;
use crate::protocol::lifecycle::{self, Alert, Decision, Effect, Event, Speaker};
use crate::protocol::network_user::Admission;
use crate::protocol::queue::{self, DeliveryState, Settle};
use crate::protocol::report::{Report, Status};
use crate::protocol::status::{Outcome, RefusalStatus};
use crate::store::{Db, DeliveryRow, EnrollmentRow, ResultRow, Tx};
use serde_json::json;
use std::sync::Arc;

/// Answers up to this size, in bytes, are packed and sealed inside the transaction: some ten microseconds.
const SEALED_BY_WRITER: usize = 16 * 1024;

/// Who polls, as far as reading alone tells.
struct Caller {
    identity: Identity,
    channel: Option<EnrollmentRow>,
    device_channel: Option<EnrollmentRow>,
    decision: Decision,
    effects: Vec<Effect>,
    /// Something is to be handed out or written. Asked of idle polls only.
    waiting: bool,
}

/// Receives one report and hands out the next command. `bytes` is the length of the body it came in.
///
/// # Errors
/// Faults of ours; then the result was not stored, and the device keeps it and tries again.
pub fn receive(cx: &Arc<Context>, peer: &Peer, report: Report, bytes: usize) -> Result<Outcome, Error> {
    let now = cx.now();
    // A reader's pages go stale with every commit, the writer's never do. So what must be written anyway is looked at there, unless
    // sealing a large answer would keep the writer from others.
    let answered = if report.status != Status::Idle && bytes <= SEALED_BY_WRITER && peer.fingerprint.is_some() {
        let (own, peer) = (Arc::clone(cx), peer.clone());
        cx.store.write_handed(move |tx| look_and_serve(&own, tx, &peer, &report, now))?
    } else {
        let report = &report;
        let caller = match cx.store.read(|db| judge(cx, db, peer, report, now))? {
            Judged::Answer(outcome) => return Ok(outcome),
            Judged::Raise(alert, caller, outcome) => {
                cx.store.write(|tx| raise(cx, tx, alert, &caller, peer, report, now))?;
                cx.ring_teller();
                return Ok(outcome);
            }
            Judged::Serve(caller) => caller,
        };
        let delivery = cx.store.read(|db| named(db, &caller, report))?;
        let sealed = seal_answer(cx, report, delivery.as_ref());
        cx.store.write(|tx| {
            // Looked up again: between the look and this transaction another request of the same device may have been here.
            let delivery = named(tx, &caller, report)?;
            serve(cx, tx, report, &caller, &sealed, delivery, now)
        })?
    };
    cx.ring_teller();
    if answered.left {
        cx.ring_pusher();
    }
    match answered {
        Answered { outcome: Some(outcome), .. } => Ok(outcome),
        Answered { next: Some((uuid, sealed_plist)), .. } => {
            Ok(Outcome::Plist(cx.open(&command_place(&uuid), &sealed_plist)?.expose().clone()))
        }
        Answered { .. } => Ok(Outcome::Empty),
    }
}

fn look_and_serve(cx: &Context, tx: &Tx<'_>, peer: &Peer, report: &Report, now: Timestamp) -> Result<Answered, Error> {
    let caller = match judge(cx, tx, peer, report, now)? {
        Judged::Answer(outcome) => return Ok(Answered { outcome: Some(outcome), ..Answered::default() }),
        Judged::Raise(alert, caller, outcome) => {
            raise(cx, tx, alert, &caller, peer, report, now)?;
            return Ok(Answered { outcome: Some(outcome), ..Answered::default() });
        }
        Judged::Serve(caller) => caller,
    };
    let delivery = named(tx, &caller, report)?;
    let sealed = seal_answer(cx, report, delivery.as_ref());
    serve(cx, tx, report, &caller, &sealed, delivery, now)
}

/// The delivery that the report names.
fn named(db: &Db<'_>, caller: &Caller, report: &Report) -> Result<Option<DeliveryRow>, Error> {
    match (&caller.channel, &report.command_uuid) {
        (Some(channel), Some(uuid)) => Ok(db.find_delivery(uuid.as_str(), channel.id)?),
        _ => Ok(None),
    }
}

/// What came of a served report.
#[derive(Default)]
struct Answered {
    /// Set when there was nothing to serve.
    outcome: Option<Outcome>,
    next: HandedOut,
    /// Something stays waiting for which the device must be called again.
    left: bool,
}

/// Whether a report is served, or what it gets instead.
enum Judged {
    Answer(Outcome),
    /// Refused, and a person must decide what becomes of it.
    Raise(Alert, Box<Caller>, Outcome),
    Serve(Box<Caller>),
}

/// A result too large to be read: the command it names ends, or the device would send it for ever.
///
/// # Errors
/// Faults of ours. The caller has identified the peer's certificate only; that it is bound to the command's device is checked here.
pub fn receive_oversized(cx: &Context, peer: &Peer, uuid: &CommandUuid, bytes: usize) -> Result<Outcome, Error> {
    let now = cx.now();
    let behind = cx.clock_is_behind().is_some();
    let outcome = cx.store.write(|tx| -> Result<Outcome, Error> {
        let identity = match identity::resolve(tx, peer, now, behind)? {
            Ok(identity) => identity,
            Err(distrust) => return Ok(Outcome::refuse(RefusalStatus::BadRequest, distrust_text(distrust))),
        };
        let Some((delivery, channel)) = own_delivery(tx, &identity, uuid)? else {
            return Ok(Outcome::refuse(
                RefusalStatus::TooLarge,
                "the result is too large and names no command of this device",
            ));
        };
        if !delivery.state.is_finished() {
            tx.finish_delivery(delivery.seq, DeliveryState::Error, now)?;
            let chain = json!([{ "ErrorDomain": "Cordon", "LocalizedDescription": "result too large" }]).to_string();
            let status = String::from("Error");
            let row = ResultRow {
                status,
                error_chain: Some(chain),
                sealed_answer: None,
                answer_bytes: bytes as i64,
                received_at: now,
                purged_at: None,
            };
            tx.insert_result(delivery.seq, &row)?;
            let detail = json!({ "bytes": bytes }).to_string();
            tx.tell(channel.device, Some(channel.id), Some(uuid.as_str()), "result-too-large", Some(&detail), now)?;
            let told = || {
                told(
                    &delivery,
                    DeliveryState::Error.as_str(),
                    &channel,
                    Some(json!([{ "ErrorDomain": "Cordon", "LocalizedDescription": "result too large" }])),
                )
            };
            events::record(cx, tx, Kind::CommandError, Some(channel.device), now, told)?;
        }
        Ok(Outcome::Empty)
    })?;
    cx.ring_teller();
    Ok(outcome)
}

/// The delivery of this command, if one of the certificate's device channels (or a user under it) has it.
fn own_delivery(
    tx: &Tx<'_>,
    identity: &Identity,
    uuid: &CommandUuid,
) -> Result<Option<(DeliveryRow, EnrollmentRow)>, Error> {
    let Some(delivery) = tx.find_delivery_of(uuid.as_str())? else { return Ok(None) };
    let Some(channel) = tx.find_enrollment_by_row(delivery.enrollment)? else { return Ok(None) };
    let device_channel = channel.parent.unwrap_or(channel.id);
    let bound = identity.bindings.iter().any(|b| b.enrollment == device_channel);
    Ok(bound.then_some((delivery, channel)))
}

fn refuse(peer: &Peer, report: &Report, why: &'static str) -> Outcome {
    tracing::warn!(
        origin = peer.origin,
        device = report.from.device.as_str(),
        status = report.status.as_str(),
        why,
        "poll refused"
    );
    Outcome::refuse(RefusalStatus::BadRequest, why)
}

fn judge(cx: &Context, db: &Db<'_>, peer: &Peer, report: &Report, now: Timestamp) -> Result<Judged, Error> {
    let caller = match look(cx, db, peer, report, now)? {
        Ok(caller) => caller,
        Err(why) => {
            refuse(peer, report, why);
            return Ok(Judged::Answer(leaving::stranger(db, &report.from, why)?));
        }
    };
    match caller.decision {
        Decision::Serve | Decision::ServeRenewal => {}
        Decision::Refuse(why) => {
            let outcome = refuse(peer, report, why);
            return Ok(match caller.effects.first() {
                Some(Effect::Raise(alert)) => Judged::Raise(*alert, Box::new(caller), outcome),
                _ => Judged::Answer(outcome),
            });
        }
        Decision::RefuseStranger(why) => {
            refuse(peer, report, why);
            return Ok(Judged::Answer(leaving::stranger(db, &report.from, why)?));
        }
        Decision::Unenroll => {
            let device = caller.device_channel.as_ref().map(|d| db.find_device(d.device)).transpose()?.flatten();
            return Ok(Judged::Answer(unenroll(device.as_ref())));
        }
        Decision::Accept | Decision::GiveBootstrapToken | Decision::DeclineUser | Decision::AuthenticateUser => {
            return Ok(Judged::Answer(Outcome::Empty));
        }
    }
    if let Some(channel) = &caller.channel {
        cx.note_seen(channel.id, now);
        if report.status == Status::Idle && !caller.waiting {
            return Ok(Judged::Answer(Outcome::Empty));
        }
    }
    Ok(Judged::Serve(Box::new(caller)))
}

fn look(
    cx: &Context,
    db: &Db<'_>,
    peer: &Peer,
    report: &Report,
    now: Timestamp,
) -> Result<Result<Caller, &'static str>, Error> {
    let identity = match identity::recognise(db, peer, now, cx.clock_is_behind().is_some())? {
        Ok(identity) => identity,
        Err(distrust) => return Ok(Err(distrust_text(distrust))),
    };
    let from = &report.from;
    let device_channel = db.find_enrollment(from.device_enrollment_id().as_str())?;
    let channel =
        if from.is_user() { db.find_enrollment(from.enrollment_id().as_str())? } else { device_channel.clone() };
    let speaker = if from.is_user() { Speaker::User { known: channel.is_some() } } else { Speaker::Device };
    let fact = binding_fact(db, &identity, device_channel.as_ref().map(|d| d.id))?;
    let known = device_channel.as_ref().map(|row| known(db, row)).transpose()?;
    let mut step = lifecycle::next(known.as_ref(), speaker, Event::Poll, fact);
    if let (Decision::Serve, Some(device_channel), true) = (step.outcome, &device_channel, from.is_user()) {
        match network_users::admit(db, from, device_channel.id)? {
            Admission::Refuse(why) => return Ok(Err(why)),
            Admission::Record => step.outcome = Decision::Accept,
            Admission::Serve | Admission::Install | Admission::Meet => {}
        }
    }
    let waiting = match &channel {
        // Its renewal may not be queued yet.
        Some(_) if step.outcome == Decision::ServeRenewal => true,
        // Any other report goes to the writer, which looks for itself.
        Some(channel) if report.status == Status::Idle => {
            db.has_waiting(channel.id)?
                || channel_facts::tells_news(channel, from)
                || series::concerns(db, report, channel)?
        }
        _ => false,
    };
    Ok(Ok(Caller { identity, channel, device_channel, decision: step.outcome, effects: step.effects, waiting }))
}

/// Does what the report asks for. `delivery` is what it names, as this transaction sees it.
fn serve(
    cx: &Context,
    tx: &Tx<'_>,
    report: &Report,
    caller: &Caller,
    sealed: &Sealed,
    delivery: Option<DeliveryRow>,
    now: Timestamp,
) -> Result<Answered, Error> {
    let made;
    let channel = match (&caller.channel, &caller.device_channel) {
        (Some(channel), _) => channel,
        (None, Some(parent)) if caller.effects.contains(&Effect::CreateUserChannel) => {
            create_user_channel(tx, parent, &report.from, now)?;
            let found = tx.find_enrollment(report.from.enrollment_id().as_str())?;
            made = found.ok_or_else(|| Error::internal("the channel just made is not there"))?;
            &made
        }
        _ => return Err(Error::internal("a served poll without a channel")),
    };
    channel_facts::note_user(tx, channel, &report.from)?;
    let finished = match &report.command_uuid {
        Some(uuid) => settle(cx, tx, report, uuid, &caller.identity, channel, sealed, delivery, now)?,
        None => false,
    };
    if caller.decision == Decision::ServeRenewal {
        let only = renewing::urgent(cx, tx, channel, now)?;
        let (next, left) = hand_out(cx, tx, report, channel, finished, Some(&only), now)?;
        return Ok(Answered { outcome: None, next, left });
    }
    let (next, left) = match series::take_part(cx, tx, report, channel, now)? {
        Some(open) => hand_out_in_series(cx, tx, report, channel, &open, finished, now)?,
        None => hand_out(cx, tx, report, channel, finished, None, now)?,
    };
    Ok(Answered { outcome: None, next, left })
}

/// A person must decide; the device was refused already.
fn raise(
    cx: &Context,
    tx: &Tx<'_>,
    alert: Alert,
    caller: &Caller,
    peer: &Peer,
    report: &Report,
    now: Timestamp,
) -> Result<(), Error> {
    let at = Sighting { from: &report.from, serial: None, origin: &peer.origin };
    attention::raise(cx, tx, alert, &caller.identity, caller.device_channel.as_ref(), &at, now)
}

/// What the reported status does to the delivery it names, and whether that finished it. An unknown UUID is noted and answered like
/// any other.
#[allow(clippy::too_many_arguments, reason = "one call of one fact each; a struct would only rename them")]
fn settle(
    cx: &Context,
    tx: &Tx<'_>,
    report: &Report,
    uuid: &CommandUuid,
    identity: &Identity,
    channel: &EnrollmentRow,
    sealed: &Sealed,
    delivery: Option<DeliveryRow>,
    now: Timestamp,
) -> Result<bool, Error> {
    let tell = |kind: &str, detail: Option<String>| {
        tx.tell(channel.device, Some(channel.id), Some(uuid.as_str()), kind, detail.as_deref(), now)
    };
    let Some(delivery) = delivery else {
        tell("unknown-command", Some(json!({ "status": report.status.as_str() }).to_string()))?;
        return Ok(false);
    };
    let step = queue::settle(delivery.state, report.status);
    match step {
        Settle::Nothing | Settle::Duplicate => {}
        Settle::NotNow => {
            tx.mark_not_now(delivery.seq, now)?;
            tell("NotNow", None)?;
            events::record(cx, tx, Kind::CommandNotNow, Some(channel.device), now, || {
                told(&delivery, "NotNow", channel, None)
            })?;
        }
        Settle::Late => {
            file(tx, report, &delivery, sealed, now)?;
            tell("late-answer", Some(json!({ "status": report.status.as_str() }).to_string()))?;
            follow(cx, tx, report, &delivery, identity, channel, sealed, now)?;
        }
        Settle::Finish(state) => {
            tx.finish_delivery(delivery.seq, state, now)?;
            file(tx, report, &delivery, sealed, now)?;
            tell(state.as_str(), None)?;
            let kind =
                if state == DeliveryState::Acknowledged { Kind::CommandAcknowledged } else { Kind::CommandError };
            events::record(cx, tx, kind, Some(channel.device), now, || {
                told(&delivery, state.as_str(), channel, error_chain(report))
            })?;
            if delivery.request_type == "DeviceInformation"
                && channel.parent.is_none()
                && let Some(device) = devices::learn(tx, report, channel.device)?
            {
                custody::ask_bypass_code_of(cx, tx, &device, channel, now)?;
                reconciling::device_changed(cx, tx, device.id, Some(channel.id), now)?;
            }
            follow(cx, tx, report, &delivery, identity, channel, sealed, now)?;
        }
    }
    Ok(matches!(step, Settle::Finish(_)))
}

/// What follows from an answer beyond its own delivery: secrets are kept, Lost Mode is known, and after a cleared passcode the
/// device is asked how it stands.
#[allow(clippy::too_many_arguments, reason = "one report, who sent it, and what was made ready for it")]
fn follow(
    cx: &Context,
    tx: &Tx<'_>,
    report: &Report,
    delivery: &DeliveryRow,
    identity: &Identity,
    channel: &EnrollmentRow,
    sealed: &Sealed,
    now: Timestamp,
) -> Result<(), Error> {
    custody::settled(cx, tx, report, delivery, channel, &sealed.captured, now)?;
    lost::settled(tx, report, delivery, channel)?;
    renewing::settled(cx, tx, report, delivery, identity, channel, now)?;
    leaving::settled(tx, report, delivery, channel, now)?;
    reconciling::settled(cx, tx, report, delivery, channel, now)?;
    setting_up::settled(cx, tx, report, delivery, channel, now)?;
    stock::settled(cx, tx, report, delivery, channel, now)?;
    if delivery.request_type == unlocking::CLEAR_PASSCODE
        && report.status == Status::Acknowledged
        && let Some(device) = tx.find_device(channel.device)?
    {
        custody::ask_by_itself(cx, tx, &device, channel, "SecurityInfo", now)?;
    }
    Ok(())
}

/// What a webhook hears of a command: which, how it stands, and why it failed; never the answer.
pub(super) fn told(
    delivery: &DeliveryRow,
    state: &str,
    channel: &EnrollmentRow,
    error_chain: Option<serde_json::Value>,
) -> serde_json::Value {
    let mut told =
        events::command(&delivery.command, &delivery.request_type, state, channel.user_short_name.as_deref());
    if let Some(chain) = error_chain {
        told["command"]["error_chain"] = chain;
    }
    told
}

fn error_chain(report: &Report) -> Option<serde_json::Value> {
    let items = || report.error_chain.iter().map(|item| item.to_json()).collect::<Vec<_>>();
    (!report.error_chain.is_empty()).then(|| serde_json::Value::from(items()))
}

fn file(tx: &Tx<'_>, report: &Report, delivery: &DeliveryRow, sealed: &Sealed, now: Timestamp) -> Result<(), Error> {
    let error_chain = error_chain(report).map(|chain| chain.to_string());
    // The blob is sealed for one delivery's place; if the look and the transaction disagree there is none to file.
    let sealed_answer = sealed.blob.as_ref().filter(|(seq, _)| *seq == delivery.seq).map(|(_, blob)| blob.clone());
    let status = report.status.as_str().to_owned();
    tx.insert_result(
        delivery.seq,
        &ResultRow {
            status,
            error_chain,
            sealed_answer,
            answer_bytes: sealed.bytes,
            received_at: now,
            purged_at: None,
        },
    )?;
    Ok(())
}
