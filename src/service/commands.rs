//! Commands: checked against Apple's schema, queued for one channel, listed and cancelled. Why one is where it is says `explaining`.

mod explaining;

use super::actor::{Actor, Permission};
use super::events::{self, Kind};
use super::revealing::{self, Agreement};
use super::timing::Timing;
use super::unlocking::{self, Stated};
use super::{Context, Error, answers, auditing, channels, custody, devices, errands, network_users};
use crate::base::ids::CommandUuid;
use crate::base::limits::{MAX_COMMAND, MAX_QUEUED_PER_ENROLLMENT};
use crate::base::texts::Text;
use crate::base::time::Timestamp;
use crate::plist::{Dictionary, Value};
use crate::protocol::catalogue::{self, Certainty, Finding, Problem};
use crate::protocol::command;
use crate::protocol::lifecycle::State;
use crate::protocol::profile::read_settings;
use crate::protocol::queue::DeliveryState;
use crate::store::{CommandFilter, Db, DeliveryRow, DeviceRow, EnrollmentRow, NewCommand, ResultRow, TimelineRow, Tx};
use serde_json::json;

pub use explaining::explain;

/// What is to be sent, to whom.
#[derive(Debug, Clone)]
pub struct Wish {
    pub request_type: String,
    /// Apple's keys beside RequestType.
    pub keys: Dictionary,
    /// UserID or short name, for a user's channel.
    pub user: Option<String>,
    pub uuid: Option<CommandUuid>,
    pub not_before: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    /// Take it as it is, also where Apple's schema would not: raw plists, keys newer than the schema.
    pub unchecked: bool,
}

/// One command as the outside sees it. The answer's secrets are masked where it is shown.
#[derive(Debug, Clone)]
pub struct CommandView {
    pub delivery: DeliveryRow,
    pub device_id: String,
    pub user: Option<String>,
    pub created_by: String,
    pub result: Option<ResultRow>,
    pub answer: Option<Dictionary>,
    pub history: Vec<TimelineRow>,
}

/// Where a command's bytes are sealed for.
pub(super) fn command_place(uuid: &str) -> String {
    format!("command/{uuid}")
}

/// Where an answer is sealed for.
pub(super) fn result_place(seq: i64) -> String {
    format!("result/{seq}")
}

/// A command made ready outside the transaction.
pub(super) struct Ready {
    pub uuid: CommandUuid,
    request_type: String,
    keys: Dictionary,
    sealed_plist: Vec<u8>,
}

/// What is said about a queued command beside its keys.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// Higher goes first; `None` for what is usual for such a command.
    pub priority: Option<i64>,
    pub not_before: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub possession: Option<String>,
    pub reason: Option<String>,
    /// By which a second person agreed.
    pub request: Option<String>,
    /// The device is talking to us and takes it along: nobody needs to call it.
    pub on_the_line: bool,
}

/// What sending this command needs.
pub fn needs(request_type: &str, keys: &Dictionary) -> Permission {
    errands::needed(request_type, keys)
}

/// Queues a command and owes the push.
///
/// # Errors
/// As [`send_stating`].
pub fn send(cx: &Context, actor: &Actor, device: &str, wish: &Wish) -> Result<CommandView, Error> {
    send_stating(cx, actor, device, wish, &Stated::default())
}

/// Queues a command together with what the person states about it.
///
/// # Errors
/// `Invalid` with the key that is wrong or the statement that is missing; `NotFound`; `Conflict` for a device that cannot be
/// commanded, or whose passcode must not be cleared, or not before a second person agreed.
pub fn send_stating(
    cx: &Context,
    actor: &Actor,
    device: &str,
    wish: &Wish,
    stated: &Stated,
) -> Result<CommandView, Error> {
    let send = || try_send(cx, actor, device, wish, stated);
    // What opens, erases or finds a device leaves a trace also when it is not done.
    if matches!(errands::needed(&wish.request_type, &wish.keys), Permission::Ask | Permission::Command) {
        return send();
    }
    let detail = json!({ "RequestType": wish.request_type, "possession": stated.possession, "reason": stated.reason });
    auditing::noting(cx, actor, "command.send", device, detail, send)
}

/// What is written in the transaction that queues a command; it gets the command's UUID.
type Also<'a> = dyn Fn(&Tx<'_>, &str) -> Result<(), Error> + 'a;

/// Queues one of many; what else belongs to it is written in the same transaction, and undoes it when it fails.
///
/// # Errors
/// As [`send`], and those of `also`.
pub(super) fn send_also(
    cx: &Context,
    actor: &Actor,
    device: &str,
    wish: &Wish,
    reason: &str,
    also: &Also<'_>,
) -> Result<(), Error> {
    let stated = Stated { reason: Some(reason.to_owned()), ..Stated::default() };
    queue(cx, actor, device, wish, &stated, Some(also)).map(drop)
}

fn try_send(cx: &Context, actor: &Actor, device: &str, wish: &Wish, stated: &Stated) -> Result<CommandView, Error> {
    let uuid = queue(cx, actor, device, wish, stated, None)?;
    cx.ring_pusher();
    cx.ring_teller();
    show(cx, actor, uuid.as_str())
}

fn queue(
    cx: &Context,
    actor: &Actor,
    device: &str,
    wish: &Wish,
    stated: &Stated,
    also: Option<&Also<'_>>,
) -> Result<CommandUuid, Error> {
    actor.require(errands::needed(&wish.request_type, &wish.keys))?;
    Timing { not_before: wish.not_before, expires_at: wish.expires_at }.check(cx.now())?;
    let found = devices::find(cx, actor, device)?;
    let (keys, mut told) = unlocking::prepare(cx, &found, wish, stated)?;
    if also.is_some() {
        told.reason.clone_from(&stated.reason);
    }
    if !wish.unchecked {
        check(&wish.request_type, &keys)?;
    }
    let channel = devices::channel(cx, &found, wish.user.as_deref())?;
    cx.store.read(|db| network_users::require_served(db, &channel, device))?;
    if channel.state == State::Gone {
        return Err(Error::conflict(Text::NotEnrolled { device: device.to_owned() }));
    }
    if !wish.unchecked {
        channels::check(cx, &found, &channel, &wish.request_type)?;
    }
    cx.require_space()?;
    let ready = ready(cx, wish.uuid.clone(), &wish.request_type, keys)?;
    let now = cx.now();
    let waits = cx.store.write(|tx| {
        // Asked again inside the transaction: a device marked lost in between must not slip through.
        unlocking::allow(tx, found.id, &wish.request_type)?;
        if let Some(why) = told.possession.as_deref().filter(|_| wish.request_type == unlocking::CLEAR_PASSCODE) {
            match revealing::agree_to_clear(cx, tx, actor, &found, ready.uuid.as_str(), why, now)? {
                Some(Agreement::Given(id)) => told.request = Some(id),
                Some(Agreement::Waits(id)) => return Ok(Some(id)),
                None => {}
            }
        }
        enqueue(cx, tx, actor, &found, &channel, &ready, &told, now)?;
        if wish.request_type == unlocking::ENABLE_LOST_MODE {
            unlocking::stop_waiting(cx, tx, found.id, "the device is being put into Lost Mode", now)?;
        }
        if let Some(also) = also {
            also(tx, ready.uuid.as_str())?;
        }
        Ok::<_, Error>(None)
    })?;
    match waits {
        Some(id) => Err(Error::conflict(Text::SecondPersonNeeded { id })),
        None => Ok(ready.uuid),
    }
}

/// Encodes and seals, so that the writer is not held up by it.
///
/// # Errors
/// `Invalid` for one that is too large.
pub(super) fn ready(
    cx: &Context,
    uuid: Option<CommandUuid>,
    request_type: &str,
    keys: Dictionary,
) -> Result<Ready, Error> {
    let uuid = uuid.unwrap_or_else(|| CommandUuid::mint(cx.now(), cx.random_bytes()));
    let plist = command::encode(&uuid, request_type, &keys);
    if plist.len() > MAX_COMMAND {
        return Err(Error::invalid(Text::CommandTooLarge { bytes: plist.len(), limit: MAX_COMMAND }));
    }
    let sealed_plist = cx.seal(&command_place(uuid.as_str()), &plist);
    Ok(Ready { uuid, request_type: request_type.to_owned(), keys, sealed_plist })
}

/// Queues inside the caller's transaction: the rows, the secrets it carries, story, audit, and the owed push.
///
/// # Errors
/// `Conflict` for a full queue or a UUID that is taken.
#[allow(clippy::too_many_arguments, reason = "one call of one fact each; a struct would only rename them")]
pub(super) fn enqueue(
    cx: &Context,
    tx: &Tx<'_>,
    actor: &Actor,
    device: &DeviceRow,
    channel: &EnrollmentRow,
    ready: &Ready,
    told: &Told,
    now: Timestamp,
) -> Result<(), Error> {
    let (uuid, request_type, by) = (ready.uuid.as_str(), ready.request_type.as_str(), actor.name());
    let waiting = tx.count_waiting(channel.id)?;
    if waiting >= MAX_QUEUED_PER_ENROLLMENT {
        return Err(Error::conflict(Text::QueueFull { waiting }));
    }
    if tx.find_command(uuid)?.is_some() {
        return Err(Error::conflict(Text::UuidTaken { uuid: uuid.to_owned() }));
    }
    let new = NewCommand { uuid, request_type, sealed_plist: &ready.sealed_plist, created_by: &by };
    tx.insert_command(&new, now)?;
    let priority = told.priority.unwrap_or_else(|| priority(channel, request_type, &ready.keys));
    tx.insert_delivery(uuid, channel.id, channel.generation, priority, told.not_before, told.expires_at)?;
    custody::keep_carried(cx, tx, device, uuid, request_type, &ready.keys, now)?;
    let mut story = json!({ "RequestType": request_type, "by": by });
    let mut detail = json!({ "command": uuid, "RequestType": request_type, "user": channel.user_id });
    for (key, said) in [("possession", &told.possession), ("reason", &told.reason), ("request", &told.request)] {
        if let Some(said) = said {
            story[key] = json!(said);
            detail[key] = json!(said);
        }
    }
    tx.tell(device.id, Some(channel.id), Some(uuid), "queued", Some(&story.to_string()), now)?;
    auditing::record(tx, actor, "command.send", Some(&device.public_id), Some(detail), now)?;
    if channel.target.is_some() && !told.on_the_line {
        tx.owe_push(channel.id, told.not_before.unwrap_or(now).max(now), now)?;
    }
    let told = || events::command(uuid, request_type, "Queued", channel.user_short_name.as_deref());
    events::record(cx, tx, Kind::CommandQueued, Some(device.id), now, told)
}

/// Passcode policies go first on a user channel: Setup Assistant reads them before it lets somebody choose a password, and everything
/// else it puts off.
fn priority(channel: &EnrollmentRow, request_type: &str, keys: &Dictionary) -> i64 {
    let Some(payload) = keys.get("Payload").and_then(Value::as_data).filter(|_| channel.parent.is_some()) else {
        return 0;
    };
    let is_policy = request_type == "InstallProfile" && read_settings(payload).is_ok_and(|p| p.has_passcode_policy());
    i64::from(is_policy)
}

/// By Apple's schema: the first thing that is wrong, in words.
pub(super) fn check(request_type: &str, keys: &Dictionary) -> Result<(), Error> {
    if catalogue::find(request_type).is_none() {
        return Err(Error::invalid(Text::UnknownRequestType { request_type: request_type.to_owned() }));
    }
    // A key that the schema does not know is more often misspelt than new; new ones go as a raw plist. Values are the device's to judge.
    let sure = |f: &Finding| f.certainty() == Certainty::Wrong || f.problem == Problem::UnknownKey;
    match catalogue::check(request_type, keys).into_iter().find(sure) {
        Some(finding) => Err(Error::invalid(Text::CommandDoubt { finding: finding.to_string() })),
        None => Ok(()),
    }
}

/// One command with its answer and history.
///
/// # Errors
/// `NotFound`.
pub fn show(cx: &Context, actor: &Actor, uuid: &str) -> Result<CommandView, Error> {
    actor.require(Permission::Look)?;
    let missing = || Error::not_found(Text::NoSuchCommand { uuid: uuid.to_owned() });
    let delivery = cx.store.read(|db| find_own(db, actor, uuid))?.ok_or_else(missing)?;
    view(cx, delivery, true)
}

/// Commands, newest first; of one device, in one state, or all. Answers are left out.
pub fn list(
    cx: &Context,
    actor: &Actor,
    device: Option<&str>,
    filter: CommandFilter,
) -> Result<Vec<CommandView>, Error> {
    actor.require(Permission::Look)?;
    let device = device.map(|d| devices::find(cx, actor, d)).transpose()?.map(|d| d.id);
    let rows = cx.store.read(|db| {
        let only = devices::own(db, actor)?;
        Ok::<_, Error>(db.list_deliveries(&CommandFilter { device, only, ..filter })?)
    })?;
    rows.into_iter().map(|row| view(cx, row, false)).collect()
}

fn view(cx: &Context, delivery: DeliveryRow, whole: bool) -> Result<CommandView, Error> {
    let (channel, device) = owner(cx, &delivery)?;
    let created_by = cx.store.read(|db| db.find_command(&delivery.command))?.map(|c| c.created_by).unwrap_or_default();
    let result = if delivery.state.is_finished() { cx.store.read(|db| db.find_result(delivery.seq))? } else { None };
    let sealed = result.as_ref().filter(|_| whole).and_then(|r| r.sealed_answer.as_ref());
    let answer = sealed.map(|sealed| answers::open_answer(cx, delivery.seq, sealed)).transpose()?;
    let history = if whole { cx.store.read(|db| db.list_command_timeline(&delivery.command))? } else { Vec::new() };
    let user = channel.user_short_name.or(channel.user_id).filter(|_| channel.parent.is_some());
    Ok(CommandView { delivery, device_id: device, user, created_by, result, answer, history })
}

/// A command, unless it is for a device that is not the actor's.
fn find_own(db: &Db<'_>, actor: &Actor, uuid: &str) -> Result<Option<DeliveryRow>, Error> {
    let Some(delivery) = db.find_delivery_of(uuid)? else { return Ok(None) };
    let channel = db.find_enrollment_by_row(delivery.enrollment)?;
    let own = match channel {
        Some(channel) => devices::is_own(db, actor, channel.device)?,
        None => false,
    };
    Ok(own.then_some(delivery))
}

fn owner(cx: &Context, delivery: &DeliveryRow) -> Result<(EnrollmentRow, String), Error> {
    cx.store.read(|db| {
        let lost = || Error::internal("a delivery without its device");
        let channel = db.find_enrollment_by_row(delivery.enrollment)?.ok_or_else(lost)?;
        let device = db.find_device(channel.device)?.ok_or_else(lost)?;
        Ok((channel, device.public_id))
    })
}

/// Takes a command back that has not been sent, or that the device put off.
///
/// # Errors
/// `Denied` for a command that the actor could not have sent; `Conflict` for one that is out or finished.
pub fn cancel(cx: &Context, actor: &Actor, uuid: &str) -> Result<CommandView, Error> {
    actor.require(Permission::Ask)?;
    let now = cx.now();
    cx.store.write(|tx| {
        let missing = || Error::not_found(Text::NoSuchCommand { uuid: uuid.to_owned() });
        let delivery = find_own(tx, actor, uuid)?.ok_or_else(missing)?;
        actor.require(errands::needed_to_cancel(&delivery.request_type))?;
        match delivery.state {
            DeliveryState::Queued | DeliveryState::NotNow => {}
            DeliveryState::Sent => return Err(Error::conflict(Text::AlreadySent { uuid: uuid.to_owned() })),
            finished => {
                return Err(Error::conflict(Text::AlreadyFinished { uuid: uuid.to_owned(), state: finished.as_str() }));
            }
        }
        tx.finish_delivery(delivery.seq, DeliveryState::Cancelled, now)?;
        let channel = tx.find_enrollment_by_row(delivery.enrollment)?.ok_or_else(missing)?;
        let detail = json!({ "by": actor.name() });
        tx.tell(channel.device, Some(channel.id), Some(uuid), "cancelled", Some(&detail.to_string()), now)?;
        let told = || events::command(uuid, &delivery.request_type, "Cancelled", channel.user_short_name.as_deref());
        events::record(cx, tx, Kind::CommandCancelled, Some(channel.device), now, told)?;
        let device = tx.find_device(channel.device)?.map(|row| row.public_id);
        let detail = json!({ "device": device, "RequestType": delivery.request_type });
        auditing::record(tx, actor, "command.cancel", Some(uuid), Some(detail), now)
    })?;
    cx.ring_teller();
    show(cx, actor, uuid)
}

/// Takes a command of our own back that no device has seen; `false` when one has.
pub(super) fn withdraw_unsent(tx: &Tx<'_>, uuid: &str, now: Timestamp) -> Result<bool, Error> {
    match tx.find_delivery_of(uuid)? {
        Some(delivery) if delivery.state == DeliveryState::Queued && delivery.sent_count == 0 => {
            tx.finish_delivery(delivery.seq, DeliveryState::Cancelled, now)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Ends commands whose time is over. Nothing expires while the clock cannot be trusted.
pub fn expire(cx: &Context) -> Result<usize, Error> {
    if cx.clock_is_behind().is_some() {
        return Ok(0);
    }
    let now = cx.now();
    if cx.store.read(|db| db.list_expired(now, 1))?.is_empty() {
        return Ok(0);
    }
    let expired = cx.store.write(|tx| -> Result<usize, Error> {
        let expired = tx.list_expired(now, 500)?;
        for delivery in &expired {
            tx.finish_delivery(delivery.seq, DeliveryState::Expired, now)?;
            if let Some(channel) = tx.find_enrollment_by_row(delivery.enrollment)? {
                tx.tell(channel.device, Some(channel.id), Some(&delivery.command), "expired", None, now)?;
                let told = || {
                    events::command(
                        &delivery.command,
                        &delivery.request_type,
                        "Expired",
                        channel.user_short_name.as_deref(),
                    )
                };
                events::record(cx, tx, Kind::CommandExpired, Some(channel.device), now, told)?;
            }
        }
        Ok(expired.len())
    })?;
    cx.ring_teller();
    Ok(expired)
}
