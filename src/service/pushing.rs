//! Pushing: what the outbox owes goes to Apple, and what Apple answers is acted upon. Runs on a thread of its own, started by `jobs`;
//! the sender never waits for the database, nor the database for the network.

use super::actor::{Actor, Permission};
use super::events::{self, Kind};
use super::ports::{Push, PushResult, PushSender};
use super::{Context, Error, auditing, devices, faults};
use crate::base::texts::Text;
use crate::base::time::{DAY, HOUR, MINUTE, SECOND, Timestamp};
use crate::protocol::push::{self, PushAction};
use crate::store::{OwedPush, Tx};
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Pushes taken from the outbox at once.
const BATCH: usize = 500;
/// A topic that Apple does not accept is looked at again after this, should nobody import a certificate before.
const PAUSED_FOR: i64 = HOUR;
/// First wait when Apple cannot be reached at all; doubles up to an hour.
const UNREACHED_DELAY: i64 = 5 * SECOND;
const UNREACHED_MAX: i64 = HOUR;
/// A program fault does not repeat itself at once.
const BUG_DELAY: i64 = DAY;

/// Owes a push by hand: "are you there?".
///
/// # Errors
/// `NotFound`; `Conflict` for a device that cannot be pushed.
pub fn push_now(cx: &Context, actor: &Actor, device: &str, user: Option<&str>) -> Result<(), Error> {
    actor.require(Permission::Ask)?;
    let found = devices::find(cx, actor, device)?;
    let channel = devices::channel(cx, &found, user)?;
    if channel.target.is_none() {
        return Err(Error::conflict(Text::NotEnrolled { device: device.to_owned() }));
    }
    let now = cx.now();
    cx.store.write(|tx| {
        tx.owe_push(channel.id, now, now)?;
        auditing::record(tx, actor, "push", Some(&found.public_id), None, now)
    })?;
    cx.ring_pusher();
    Ok(())
}

/// Owes a push to everybody with work, before the pusher starts: whoever was called while no server ran came in vain, and a device
/// whose visit failed waits for the next call.
///
/// # Errors
/// Faults of the store.
pub fn call_everyone_waiting(cx: &Context) -> Result<(), Error> {
    let now = cx.now();
    let called = cx.store.write(|tx| tx.owe_everyone_waiting(now).map_err(Error::from))?;
    tracing::debug!(called, "devices with waiting work are called");
    Ok(())
}

/// One answer on its way back from the sender's thread.
struct Answered {
    owed: OwedPush,
    expiration_secs: i64,
    result: PushResult,
}

/// The state of the push thread: what is in flight and the way back for answers.
pub struct Pusher {
    cx: Arc<Context>,
    sender: Arc<dyn PushSender>,
    in_flight: HashSet<i64>,
    answers: Receiver<Answered>,
    back: Sender<Answered>,
}

impl Pusher {
    pub fn new(cx: Arc<Context>, sender: Arc<dyn PushSender>) -> Self {
        let (back, answers) = channel();
        Self { cx, sender, in_flight: HashSet::new(), answers, back }
    }

    /// Sends what is owed and files what came back; returns when to look again at the latest.
    ///
    /// # Errors
    /// Faults of the store; everything stays owed.
    pub fn step(&mut self) -> Result<Timestamp, Error> {
        self.file_answers()?;
        let now = self.cx.now();
        self.cx.store.write(|tx| tx.owe_due_repushes(now).map_err(Error::from))?;
        let owed = self.cx.store.read(|db| db.list_owed_pushes(now, BATCH + self.in_flight.len()))?;
        let mut hopeless = Vec::new();
        let mut full = false;
        for push in owed {
            if self.in_flight.contains(&push.seq) {
                continue;
            }
            if push.dead || push.target.is_none() {
                hopeless.push(push);
            } else if !self.send(push, now) {
                full = true;
                break;
            }
        }
        if !hopeless.is_empty() {
            self.cx.store.write(|tx| hopeless.iter().try_for_each(|owed| tx.settle_owed_push(owed)))?;
        }
        let soon = now.plus(if full || !self.in_flight.is_empty() { SECOND } else { MINUTE });
        let next = self.cx.store.read(|db| db.find_next_push_at())?;
        Ok(next.filter(|at| *at > now).map_or(soon, |at| at.min(soon)))
    }

    /// `false` when the sender takes no more now.
    fn send(&mut self, owed: OwedPush, now: Timestamp) -> bool {
        let Some(target) = owed.target.clone() else { return true };
        let expiration_secs = push::expiration(now);
        let apns_id = uuid::Builder::from_random_bytes(self.cx.random_bytes()).into_uuid().as_hyphenated().to_string();
        let (back, cx, seq) = (self.back.clone(), Arc::clone(&self.cx), owed.seq);
        let done = Box::new(move |result| {
            // The receiver is gone only when the server stops; the push stays owed then.
            let _ = back.send(Answered { owed, expiration_secs, result });
            cx.ring_pusher();
        });
        let taken = self.sender.send(Push { target, expiration_secs, priority: 10, apns_id }, done).is_ok();
        if taken {
            self.in_flight.insert(seq);
        }
        taken
    }

    fn file_answers(&mut self) -> Result<(), Error> {
        let answers: Vec<Answered> = self.answers.try_iter().take(4 * BATCH).collect();
        if answers.is_empty() {
            return Ok(());
        }
        for answer in &answers {
            self.in_flight.remove(&answer.owed.seq);
        }
        let now = self.cx.now();
        let reached = answers.iter().any(|answer| matches!(answer.result, PushResult::Answered { .. }));
        faults::note_push(&self.cx, reached, now);
        self.cx.store.write(|tx| answers.iter().try_for_each(|answer| file(&self.cx, tx, answer, now)))?;
        self.cx.ring_teller();
        Ok(())
    }
}

/// What one answer of Apple's changes.
fn file(cx: &Context, tx: &Tx<'_>, answer: &Answered, now: Timestamp) -> Result<(), Error> {
    let owed = &answer.owed;
    let tries = owed.attempts.saturating_add(1);
    let (status, reason, timestamp_ms, retry_after) = match &answer.result {
        PushResult::Answered { status, reason, timestamp_ms, retry_after_secs } => {
            (*status, reason, *timestamp_ms, *retry_after_secs)
        }
        PushResult::Unreached { why } => {
            tracing::warn!(enrollment = owed.enrollment, why, "push could not be sent");
            let delay = (UNREACHED_DELAY << tries.min(12)).min(UNREACHED_MAX);
            return Ok(tx.postpone_owed_push(owed.seq, now.plus(delay))?);
        }
    };
    match push::action(status, reason.as_deref(), timestamp_ms, owed.token_updated_at) {
        PushAction::Accepted => {
            tx.settle_owed_push(owed)?;
            let before = tx.find_push(owed.enrollment)?.map_or(0, |p| p.attempts);
            let again =
                now.plus(push::next_push(before.saturating_add(1))).min(push::repush_by(answer.expiration_secs));
            let due_at = tx.has_waiting(owed.enrollment)?.then_some(again);
            tx.note_push(owed.enrollment, "accepted", due_at, now)?;
        }
        // What Apple says of a token that the device has replaced meanwhile says nothing of the new one.
        PushAction::DeadToken { .. } | PushAction::StopUntilTokenUpdate { .. } if replaced(tx, owed)? => {
            tx.postpone_owed_push(owed.seq, now)?;
        }
        PushAction::DeadToken { .. } => {
            tx.settle_owed_push(owed)?;
            mark_dead(cx, tx, owed.enrollment, "Apple says that this token is dead (410)", now)?;
        }
        PushAction::IgnoreStale => tx.postpone_owed_push(owed.seq, now.plus(UNREACHED_DELAY << tries.min(12)))?,
        PushAction::StopUntilTokenUpdate { why } => {
            tx.settle_owed_push(owed)?;
            mark_dead(cx, tx, owed.enrollment, &format!("Apple refuses this token ({why:?})"), now)?;
        }
        PushAction::PauseTopic { why } => {
            let topic = owed.target.as_ref().map(|t| t.topic.as_str()).unwrap_or_default();
            tracing::error!(topic, why = ?why, "Apple refuses this push certificate");
            let words = format!("{why:?}: {}", reason.as_deref().unwrap_or("no reason given"));
            // Every push of the topic is answered so; it is told once.
            let paused = tx.list_push_certificates()?.into_iter().any(|c| c.topic == topic && c.paused_why.is_some());
            tx.pause_topic(topic, Some(&words))?;
            if !paused {
                events::record(
                    cx,
                    tx,
                    Kind::PushTopicPaused,
                    None,
                    now,
                    || json!({ "push": { "topic": topic, "why": words } }),
                )?;
            }
            tx.postpone_owed_push(owed.seq, now.plus(PAUSED_FOR))?;
        }
        PushAction::RetryAfter(millis) => {
            tx.postpone_owed_push(owed.seq, now.plus(push::retry_delay(millis, tries, retry_after)))?;
        }
        PushAction::Reconnect => tx.postpone_owed_push(owed.seq, now)?,
        PushAction::Bug { reason } => {
            tracing::error!(enrollment = owed.enrollment, reason, "Apple found a fault in our push");
            tx.postpone_owed_push(owed.seq, now.plus(BUG_DELAY))?;
        }
        PushAction::Refused { status, reason } => {
            tx.settle_owed_push(owed)?;
            let word = format!("refused ({status} {})", reason.unwrap_or_default());
            tx.note_push(owed.enrollment, &word, Some(now.plus(DAY)), now)?;
        }
    }
    Ok(())
}

fn replaced(tx: &Tx<'_>, owed: &OwedPush) -> Result<bool, Error> {
    let now = tx.find_enrollment_by_row(owed.enrollment)?.and_then(|channel| channel.target);
    Ok(now.is_some() && now != owed.target)
}

fn mark_dead(cx: &Context, tx: &Tx<'_>, enrollment: i64, why: &str, now: Timestamp) -> Result<(), Error> {
    tx.mark_push_dead(enrollment, why, now)?;
    let Some(channel) = tx.find_enrollment_by_row(enrollment)? else { return Ok(()) };
    let user = channel.user_short_name.as_deref().map(events::bounded);
    events::record(
        cx,
        tx,
        Kind::PushDead,
        Some(channel.device),
        now,
        || json!({ "push": { "why": why, "user": user } }),
    )
}
