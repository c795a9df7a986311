//! Gates on channels: how far each device is with each gated pair, what it is asked, and what its answers open and shut. The rule is
//! `protocol::gate`; deadlines lie in the file, so a restart forgets none.
//!
//! Called by `reconciling`, for which a shut gate makes a capability unwanted, by `polling` with each answer, by `checkin`, and by a job.
//! A device is asked on a visit that it makes anyway wherever that is possible, and never twice before it has answered.

use super::actor::Actor;
use super::commands::{self, Told};
use super::events::{self, Kind};
use super::reconciling::{self, Call};
use super::{Context, Error, channels, inventory};
use crate::base::time::{DAY, HOUR, Timestamp};
use crate::plist::{Dictionary, Value};
use crate::protocol::gate::{Answer, Condition, Gate, OnLapse, Phase, Policy, Query};
use crate::protocol::lifecycle::State;
use crate::protocol::report::{Report, Status};
use crate::store::{ChannelProfileRow, Db, DeliveryRow, DeviceRow, EnrollmentRow, GateEdition, GateRow, PairRow, Tx};
use serde_json::json;

/// Channels that one round of the job looks at.
const AT_ONCE: usize = 200;
/// A question that nobody fetched by then is put anew.
const QUESTION_LIVES: i64 = 7 * DAY;

/// One gated pair on one channel, as it is now.
#[derive(Debug, Clone)]
pub(super) struct Here {
    pub pair: PairRow,
    policy: Policy,
    pub gate: Gate<GateEdition>,
    /// As it lies in the file.
    stored: Option<GateRow>,
    /// Whether the channel is to have the pair; else only what is left of it is looked after.
    pub concerned: bool,
}

/// The condition of a pair is another one now. What devices said so far was said about something else, so every gate begins anew; none is
/// forgotten, because a restriction that is not wanted any more stays only as long as its gate knows of the capability.
pub(super) fn begin_anew(tx: &Tx<'_>, pair: i64, now: Timestamp) -> Result<(), Error> {
    for row in tx.list_gates_of_pair(pair, usize::MAX >> 1)? {
        tx.put_gate(&GateRow { gate: Gate::new(now), due_at: Some(now), ..row })?;
    }
    Ok(())
}

/// The policy of a pair's gates.
pub(super) fn policy(db: &Db<'_>, pair: &PairRow) -> Result<Policy, Error> {
    let condition: Condition = pair.condition.parse().map_err(Error::internal)?;
    // The inventory asks everybody for SecurityInfo; other facts are looked after by the gate, as often.
    let watch = match condition.query() {
        Some(Query::DeviceInformation) => Some(inventory::every_hours(db)? * HOUR).filter(|every| *every > 0),
        _ => None,
    };
    Ok(Policy { condition, on_lapse: pair.on_lapse, watch })
}

/// The gates of a channel: of the pairs that concern it, and those that it still has.
pub(super) fn find(
    db: &Db<'_>,
    channel: &EnrollmentRow,
    concerned: &[i64],
    have: &[ChannelProfileRow],
    now: Timestamp,
) -> Result<Vec<Here>, Error> {
    let stored = db.list_gates_of(channel.id)?;
    let mut pairs: Vec<i64> = stored.iter().map(|row| row.pair).chain(concerned.iter().copied()).collect();
    pairs.sort_unstable();
    pairs.dedup();
    let mut found = Vec::new();
    for id in pairs {
        let Some(pair) = db.find_pair_by_row(id)?.filter(PairRow::is_gated) else { continue };
        let policy = policy(db, &pair)?;
        let stands = have.iter().find(|h| h.profile == pair.restriction);
        let stands = stands.and_then(|h| Some((h.installed?, h.installed_fill)));
        let stored = stored.iter().find(|row| row.pair == id).copied();
        let gate = stored.map_or_else(|| Gate::new(now), |row| row.gate).look(&policy, stands, now);
        found.push(Here { pair, policy, gate, stored, concerned: concerned.contains(&id) });
    }
    Ok(found)
}

/// For a capability that somebody gave a channel without its pair.
pub(super) fn only_with(pair: &PairRow) -> String {
    format!("held back: it is the capability of the pair “{}”, and comes only with that", pair.name)
}

impl Here {
    /// Why the capability must not stand now; `None` where it may.
    pub(super) fn shut(&self, now: Timestamp) -> Option<String> {
        let open = self.gate.releases(&self.policy, now);
        (!open).then(|| format!("held back by the pair “{}”: {}", self.pair.name, self.words(now)))
    }

    pub(super) fn releases(&self, now: Timestamp) -> bool {
        self.gate.releases(&self.policy, now)
    }

    /// When it is looked at again.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.stored.and_then(|row| row.due_at)
    }

    /// How the gate stands, for a person.
    pub(super) fn words(&self, now: Timestamp) -> String {
        let Gate { phase, since, .. } = self.gate;
        let what = match &self.policy.condition {
            Condition::Passcode => String::from("its passcode complies"),
            Condition::Installed => String::from("the restriction stands"),
            Condition::Says { key, value, .. } => format!("{key} is {value}"),
        };
        let mut words = match phase {
            Phase::Waiting => String::from("the restriction does not stand on the device yet"),
            Phase::Grace => {
                let until = self.gate.grace_ends().unwrap_or(since);
                format!(
                    "the restriction stands since {since}; the user may put the new passcode off until {until}, and the device has not said yet that {what}"
                )
            }
            Phase::Unmet if self.policy.condition == Condition::Passcode => {
                format!(
                    "the time for a new passcode was over at {since}; until it is changed nothing can be opened on the device"
                )
            }
            Phase::Unmet => {
                format!("the restriction stands since {since}, and the device has not said yet that {what}")
            }
            Phase::Open => return format!("the device says since {since} that {what}"),
            Phase::Lapsed => {
                let then = match self.policy.on_lapse {
                    OnLapse::Withdraw => String::from("the capability is withdrawn"),
                    OnLapse::AfterGrace if self.releases(now) => {
                        format!("the capability is withdrawn at {}", since.plus(crate::protocol::gate::GRACE))
                    }
                    OnLapse::AfterGrace => String::from("its time was over, and the capability is withdrawn"),
                    OnLapse::Keep => String::from("the capability stays, as the pair wants it"),
                };
                format!("the device says since {since} no more that {what}; {then}")
            }
        };
        match self.gate.answer {
            Some((Answer::Silent, at)) => {
                words.push_str(&format!(
                    ". It was asked, and at {at} said nothing about it: its system does not tell this"
                ));
            }
            Some((Answer::Refused, at)) => {
                words.push_str(&format!(
                    ". It could not be asked at {at}: it refuses the question, or its enrolment does not allow it"
                ));
            }
            Some((Answer::Fails, at)) => words.push_str(&format!(". It was last heard at {at}")),
            _ => {}
        }
        words
    }

    /// The gate as it would be kept: with the question that is due marked as put; whether that is to be put; when to look again.
    fn next(&self, now: Timestamp) -> (Gate<GateEdition>, bool, Option<Timestamp>) {
        let mut gate = self.gate;
        if !self.concerned {
            return (gate, false, None);
        }
        let asks = gate.ask_at(&self.policy).is_some_and(|at| at <= now);
        if asks {
            gate.asked_at = Some(now);
        }
        (gate, asks, gate.due_at(&self.policy, now))
    }

    /// Whether nothing is left of a pair that is not wanted any more.
    fn is_over(&self, have: &[ChannelProfileRow]) -> bool {
        !self.concerned && !have.iter().any(|h| h.profile == self.pair.capability)
    }

    /// Whether [`keep`] would write anything.
    pub(super) fn has_work(&self, have: &[ChannelProfileRow], now: Timestamp) -> bool {
        let (gate, asks, due_at) = self.next(now);
        self.is_over(have) || asks || self.stored.is_none_or(|row| row.gate != gate || row.due_at != due_at)
    }
}

/// Writes what became of the gates of a channel, tells it, and asks what is due. Returns how many commands that took.
#[allow(clippy::too_many_arguments, reason = "one call of one fact each; a struct would only rename them")]
pub(super) fn keep(
    cx: &Context,
    tx: &Tx<'_>,
    device: &DeviceRow,
    channel: &EnrollmentRow,
    gates: &[Here],
    have: &[ChannelProfileRow],
    call: Call,
    now: Timestamp,
) -> Result<usize, Error> {
    let mut queued = 0;
    for here in gates {
        if here.is_over(have) {
            tx.delete_gate(channel.id, here.pair.id)?;
            tell(cx, tx, channel, here, "gate-ended", now)?;
            continue;
        }
        if !here.has_work(have, now) {
            continue;
        }
        let (mut gate, asks, mut due_at) = here.next(now);
        if asks {
            match ask(cx, tx, device, channel, here, call, now)? {
                Asked::Sent => queued += 1,
                Asked::IsOut => {}
                Asked::Never => {
                    (gate.answer, gate.refusals) = (Some((Answer::Refused, now)), gate.refusals.saturating_add(1));
                    due_at = gate.due_at(&here.policy, now);
                }
            }
        }
        tx.put_gate(&GateRow { enrollment: channel.id, pair: here.pair.id, gate, due_at })?;
        if here.stored.is_none_or(|row| row.gate.phase != gate.phase) {
            tell_phase(cx, tx, channel, here, now)?;
        }
    }
    Ok(queued)
}

fn tell_phase(cx: &Context, tx: &Tx<'_>, channel: &EnrollmentRow, here: &Here, now: Timestamp) -> Result<(), Error> {
    let kind = match here.gate.phase {
        Phase::Waiting if here.stored.is_some() => "gate-restriction-gone",
        Phase::Waiting => "gate-waiting",
        Phase::Grace => "gate-grace",
        Phase::Unmet => "gate-unmet",
        Phase::Open => "gate-open",
        Phase::Lapsed => "gate-lapsed",
    };
    tell(cx, tx, channel, here, kind, now)
}

fn tell(
    cx: &Context,
    tx: &Tx<'_>,
    channel: &EnrollmentRow,
    here: &Here,
    kind: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let words = match kind {
        "gate-ended" => String::from("the pair is not wanted here any more, and its capability has gone"),
        _ => here.words(now),
    };
    let detail = json!({ "pair": here.pair.public_id, "name": here.pair.name, "why": words });
    tx.tell(channel.device, Some(channel.id), None, kind, Some(&detail.to_string()), now)?;
    // What a person should hear of: somebody loses what they had.
    if matches!(kind, "gate-lapsed" | "gate-restriction-gone") {
        let told = || json!({ "attention": { "kind": kind, "detail": detail } });
        events::record(cx, tx, Kind::DeviceAttention, Some(channel.device), now, told)?;
    }
    Ok(())
}

/// What became of a question that was due.
enum Asked {
    Sent,
    /// It waits for the device already, or nobody can be asked now.
    IsOut,
    /// The enrolment does not grant the right, or the system does not know it.
    Never,
}

/// Asks the device itself, also for a gate on a user's channel: these are facts of the device.
fn ask(
    cx: &Context,
    tx: &Tx<'_>,
    device: &DeviceRow,
    channel: &EnrollmentRow,
    here: &Here,
    call: Call,
    now: Timestamp,
) -> Result<Asked, Error> {
    let Some(query) = here.policy.condition.query() else { return Ok(Asked::IsOut) };
    let parent = channel.parent.map(|parent| tx.find_enrollment_by_row(parent)).transpose()?.flatten();
    let own = parent.as_ref().unwrap_or(channel);
    if own.state != State::Active {
        return Ok(Asked::IsOut);
    }
    let issued = own.issued_profile.map(|id| tx.find_issued_profile(id)).transpose()?.flatten();
    let granted = issued.is_none_or(|issued| issued.access_rights & query.right() != 0);
    if !granted || !channels::is_taken(device, own, query.as_str()) {
        return Ok(Asked::Never);
    }
    // Somebody else's DeviceInformation need not ask for our fact.
    let counts = query == Query::SecurityInfo || here.gate.asked_at.is_some();
    let waiting = tx.list_waiting_of_device(device.id)?;
    if counts && waiting.iter().any(|w| w.enrollment == own.id && w.request_type == query.as_str()) {
        return Ok(Asked::IsOut);
    }
    let mut keys = Dictionary::new();
    if let (Query::DeviceInformation, Some(key)) = (query, here.policy.condition.key()) {
        let first = key.split('.').next().unwrap_or(key);
        keys.insert(String::from("Queries"), Value::Array(vec![Value::String(first.to_owned())]));
    }
    let ready = commands::ready(cx, None, query.as_str(), keys)?;
    let told = Told {
        reason: Some(format!("the pair “{}” waits for the answer", here.pair.name)),
        expires_at: Some(now.plus(QUESTION_LIVES)),
        on_the_line: call == Call::OnTheLine && own.id == channel.id,
        ..Told::default()
    };
    match commands::enqueue(cx, tx, &Actor::Job("gates"), device, own, &ready, &told, now) {
        Ok(()) => Ok(Asked::Sent),
        Err(full) if full.kind == super::Kind::Conflict => Ok(Asked::IsOut),
        Err(fault) => Err(fault),
    }
}

/// What an answer says to the gates of its device, whoever asked; then whatever follows is queued for the same visit.
pub(super) fn settled(
    cx: &Context,
    tx: &Tx<'_>,
    report: &Report,
    delivery: &DeliveryRow,
    channel: &EnrollmentRow,
    now: Timestamp,
) -> Result<(), Error> {
    let Some(query) = Query::ALL.into_iter().find(|query| query.as_str() == delivery.request_type) else {
        return Ok(());
    };
    let Some(asked_at) = delivery.last_sent_at.filter(|_| channel.parent.is_none()) else { return Ok(()) };
    let mut opened = Vec::new();
    for row in tx.list_gates_of_device(channel.device)? {
        let Some(pair) = tx.find_pair_by_row(row.pair)? else { continue };
        let policy = policy(tx, &pair)?;
        if policy.condition.query() != Some(query) {
            continue;
        }
        let answer = match report.status {
            Status::Acknowledged => policy.condition.judge(&report.keys),
            _ => Answer::Refused,
        };
        // An answer to somebody else's question, which did not name this fact.
        if answer == Answer::Silent && query == Query::DeviceInformation {
            continue;
        }
        let Some(gate) = row.gate.hear(answer, asked_at, now) else { continue };
        let here = Here { policy, gate, stored: Some(row), concerned: true, pair };
        let due_at = gate.due_at(&here.policy, now);
        tx.put_gate(&GateRow { gate, due_at, ..row })?;
        if gate.phase != row.gate.phase {
            if let Some(on) = tx.find_enrollment_by_row(row.enrollment)? {
                tell_phase(cx, tx, &on, &here, now)?;
            }
            opened.push(row.enrollment);
        }
    }
    opened.dedup();
    for id in opened {
        let call = if id == channel.id { Call::OnTheLine } else { Call::Push };
        if let Some(channel) = tx.find_enrollment_by_row(id)? {
            reconciling::reconcile(cx, tx, &channel, call, now)?;
        }
    }
    Ok(())
}

/// A device sent a new unlock token, which it does when its passcode was changed: what waits for that is asked for now.
pub(super) fn passcode_changed(tx: &Tx<'_>, device: i64, now: Timestamp) -> Result<(), Error> {
    for row in tx.list_gates_of_device(device)? {
        if matches!(row.gate.phase, Phase::Grace | Phase::Unmet | Phase::Lapsed) && row.due_at.is_some() {
            let gate = Gate { asked_at: None, ..row.gate };
            tx.put_gate(&GateRow { gate, due_at: Some(now), ..row })?;
        }
    }
    Ok(())
}

/// One round of the job: asks whom it is time to ask, and ends what has run out. Returns how many commands that took.
///
/// # Errors
/// Faults of the store. Nothing runs out while the clock is behind.
pub fn run(cx: &Context) -> Result<usize, Error> {
    if cx.clock_is_behind().is_some() {
        return Ok(0);
    }
    let now = cx.now();
    let channels = cx.store.read(|db| db.list_channels_with_due_gates(now, AT_ONCE))?;
    if channels.is_empty() {
        return Ok(0);
    }
    let queued = reconciling::reconcile_all(cx, &channels)?;
    // A channel that is not served by now is looked at again later, and keeps nobody else waiting.
    cx.store.write(|tx| tx.postpone_gates(&channels, now, now.plus(HOUR)))?;
    Ok(queued)
}

/// The gates of a channel in words, and what they hold back: for who asks why something waits.
pub(super) fn in_words(db: &Db<'_>, channel: &EnrollmentRow, now: Timestamp) -> Result<Vec<String>, Error> {
    let mut words = Vec::new();
    for row in db.list_gates_of(channel.id)? {
        let Some(pair) = db.find_pair_by_row(row.pair)? else { continue };
        let policy = policy(db, &pair)?;
        let capability = db.find_profile_by_row(pair.capability)?.map(|p| p.name).unwrap_or_default();
        let name = pair.name.clone();
        let here = Here { policy, gate: row.gate, stored: Some(row), concerned: true, pair };
        words.push(match here.releases(now) {
            true => format!("The pair “{name}” lets “{capability}” through: {}.", here.words(now)),
            false => format!("The pair “{name}” holds “{capability}” back: {}.", here.words(now)),
        });
    }
    Ok(words)
}
