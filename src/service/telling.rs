//! Telling: what is owed to webhooks goes out, in order for each, and what the receivers answer is written down. Runs on a thread of its
//! own, started by `jobs`. One webhook's silence never holds up another: each has at most one batch under way, on the sender's side.

use super::events::{self, Bell};
use super::ports::{Post, PostResult, WebhookSender};
use super::webhooks::{delivery_id, secret_place};
use super::{Context, Error};
use crate::base::time::{DAY, HOUR, SECOND, Timestamp};
use crate::pki::digest::hmac_sha256;
use crate::store::{Attempt, HookDelivery, Tx, WebhookRow};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Events sent to one webhook before their outcome is written down together.
const BATCH: usize = 50;
/// First wait after a failure; doubles up to [`LONGEST`].
const FIRST: i64 = 10 * SECOND;
const LONGEST: i64 = 6 * HOUR;
/// An event this old is not tried again.
const GIVE_UP: i64 = 3 * DAY;
/// A receiver that reads an event and calls it wrong so often will not change its mind; the next one must not wait for days.
const MAX_REFUSALS: u32 = 5;
/// How long the thread sleeps when nothing is due.
const LOOK_AGAIN: i64 = 30 * SECOND;

/// A batch on its way back from the sender.
struct Answered {
    webhook: String,
    sent: Vec<HookDelivery>,
    results: Vec<PostResult>,
}

/// The state of the thread: which webhooks have a batch under way, and the way back for answers.
pub struct Teller {
    cx: Arc<Context>,
    sender: Arc<dyn WebhookSender>,
    under_way: HashSet<String>,
    answers: Receiver<Answered>,
    back: Sender<Answered>,
}

impl Teller {
    pub fn new(cx: Arc<Context>, sender: Arc<dyn WebhookSender>) -> Self {
        let (back, answers) = channel();
        Self { cx, sender, under_way: HashSet::new(), answers, back }
    }

    /// Writes down what came back and sends what is due; returns when to look again at the latest.
    ///
    /// # Errors
    /// Faults of the store; everything stays owed and is told again under the same id.
    pub fn step(&mut self) -> Result<Timestamp, Error> {
        let answers: Vec<Answered> = self.answers.try_iter().collect();
        self.file(&answers)?;
        let now = self.cx.now();
        let mut next = now.plus(LOOK_AGAIN);
        for webhook in self.cx.store.read(|db| db.list_webhooks())? {
            if !webhook.enabled || self.under_way.contains(&webhook.id) {
                continue;
            }
            let untold = self.cx.store.read(|db| db.list_untold(&webhook.id, BATCH))?;
            let Some(first) = untold.first() else { continue };
            // A date farther off than any wait can be comes from a clock that was wrong.
            if first.due_at > now && first.due_at < now.plus(2 * LONGEST) {
                next = next.min(first.due_at);
            } else if !self.send(&webhook, untold, now)? {
                next = next.min(now.plus(SECOND));
            }
        }
        Ok(next)
    }

    /// Waits a moment for what is under way, so that a clean stop does not tell it twice.
    ///
    /// # Errors
    /// Faults of the store.
    pub fn finish(&mut self, patience: Duration) -> Result<(), Error> {
        while !self.under_way.is_empty() {
            let Ok(answer) = self.answers.recv_timeout(patience) else { return Ok(()) };
            self.file(&[answer])?;
        }
        Ok(())
    }

    /// `false` when the sender takes no more now.
    fn send(&mut self, webhook: &WebhookRow, sent: Vec<HookDelivery>, now: Timestamp) -> Result<bool, Error> {
        let secret = self.cx.open(&secret_place(&webhook.id), &webhook.sealed_secret)?;
        let old = webhook.old.as_ref().filter(|(_, until)| *until > now);
        let old = old.map(|(sealed, _)| self.cx.open(&secret_place(&webhook.id), sealed)).transpose()?;
        let secrets: Vec<&[u8]> = std::iter::once(&secret).chain(&old).map(|s| s.expose().as_slice()).collect();
        let posts = sent.iter().map(|delivery| post(webhook, delivery, &secrets, now)).collect();
        let (back, id) = (self.back.clone(), webhook.id.clone());
        let bell: Arc<Bell> = Arc::clone(self.cx.hooks.bell());
        let done = Box::new(move |results| {
            // The receiver is gone only when the server stops; the events stay owed then.
            let _ = back.send(Answered { webhook: id, sent, results });
            bell.ring();
        });
        let taken = self.sender.send(posts, done).is_ok();
        if taken {
            self.under_way.insert(webhook.id.clone());
        }
        Ok(taken)
    }

    fn file(&mut self, answers: &[Answered]) -> Result<(), Error> {
        if answers.is_empty() {
            return Ok(());
        }
        for answer in answers {
            self.under_way.remove(&answer.webhook);
        }
        let (cx, now) = (&self.cx, self.cx.now());
        cx.store.write(|tx| {
            for answer in answers {
                for (delivery, result) in answer.sent.iter().zip(&answer.results) {
                    let jitter = u16::from_be_bytes(cx.random_bytes::<2>());
                    file_one(tx, delivery, result, jitter, now)?;
                }
            }
            Ok(())
        })
    }
}

fn post(webhook: &WebhookRow, delivery: &HookDelivery, secrets: &[&[u8]], now: Timestamp) -> Post {
    let headers = vec![
        ("content-type", String::from("application/json")),
        ("x-cordon-event", delivery.kind.clone()),
        ("x-cordon-delivery", delivery_id(delivery)),
        ("x-cordon-signature", signature(secrets, now, &delivery.payload)),
    ];
    Post { url: webhook.url.clone(), headers, body: delivery.payload.clone() }
}

/// `t=<unix seconds>,v1=<hex HMAC-SHA-256 of "t.body">`, one `v1` for each secret in force; the time is signed too, so that a recorded request is worthless later.
fn signature(secrets: &[&[u8]], now: Timestamp, body: &str) -> String {
    let t = now.secs();
    let signed = format!("{t}.{body}");
    let each = secrets.iter().map(|secret| format!(",v1={}", hex::encode(hmac_sha256(secret, signed.as_bytes()))));
    format!("t={t}{}", each.collect::<String>())
}

fn file_one(
    tx: &Tx<'_>,
    delivery: &HookDelivery,
    result: &PostResult,
    jitter: u16,
    now: Timestamp,
) -> Result<(), Error> {
    let (status, answer) = match result {
        PostResult::Answered { status, excerpt } => (Some(*status), excerpt.as_str()),
        PostResult::Unreached { why } => (None, why.as_str()),
    };
    let answer = events::bounded(answer);
    let fate = fate(status, delivery.attempts.saturating_add(1), now.since(delivery.at), jitter);
    let due_at = match fate {
        Fate::Again(delay) => now.plus(delay),
        Fate::Delivered | Fate::Refused | Fate::TooOld => now,
    };
    let given_up = matches!(fate, Fate::Refused | Fate::TooOld);
    tx.note_attempt(
        delivery.seq,
        &Attempt { at: now, status, answer: &answer, delivered: fate == Fate::Delivered, given_up, due_at },
    )?;
    if given_up {
        tracing::warn!(
            webhook = delivery.webhook,
            event = delivery.event_id,
            status,
            "an event is given up; its receiver never took it"
        );
    }
    if fate == Fate::TooOld {
        tx.give_up_untold(&delivery.webhook, now.plus(-GIVE_UP), now.plus(LONGEST), now)?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Delivered,
    /// In so many milliseconds.
    Again(i64),
    /// The receiver does not want this one.
    Refused,
    /// The receiver was away for too long.
    TooOld,
}

/// What an answer means. `tries` counts the one just made; `age` is of the event, in milliseconds.
fn fate(status: Option<u16>, tries: u32, age: i64, jitter: u16) -> Fate {
    match status {
        Some(200..=299) => Fate::Delivered,
        _ if age >= GIVE_UP => Fate::TooOld,
        Some(400 | 413 | 415 | 422) if tries >= MAX_REFUSALS => Fate::Refused,
        _ => Fate::Again(delay(tries, jitter)),
    }
}

/// 10 s, doubled with each try up to 6 h, shortened by up to a fifth so that receivers are not all met at once.
fn delay(tries: u32, jitter: u16) -> i64 {
    let whole = FIRST.saturating_mul(1 << tries.saturating_sub(1).min(20)).min(LONGEST);
    whole - whole / 5 * i64::from(jitter) / i64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_answers_mean() {
        let table = [
            (Some(200), 1, 0, Fate::Delivered),
            (Some(204), 9, 9 * DAY, Fate::Delivered),
            (Some(301), 1, 0, Fate::Again(FIRST)),
            (Some(500), 1, 0, Fate::Again(FIRST)),
            (None, 2, 0, Fate::Again(2 * FIRST)),
            (None, 30, 2 * DAY, Fate::Again(LONGEST)),
            (None, u32::MAX, GIVE_UP - 1, Fate::Again(LONGEST)),
            (None, 3, GIVE_UP, Fate::TooOld),
            (Some(503), 30, GIVE_UP, Fate::TooOld),
            (Some(400), 4, 0, Fate::Again(8 * FIRST)),
            (Some(422), 5, 0, Fate::Refused),
            (Some(404), 5, 0, Fate::Again(16 * FIRST)),
            (Some(429), 50, 0, Fate::Again(LONGEST)),
        ];
        for (status, tries, age, wanted) in table {
            assert_eq!(fate(status, tries, age, 0), wanted, "{status:?} {tries} {age}");
        }
    }

    #[test]
    fn waits_stay_in_their_bounds() {
        for tries in 1..40 {
            let (long, short) = (delay(tries, 0), delay(tries, u16::MAX));
            assert!(
                short < long && short * 5 >= long * 4 && long <= LONGEST && short >= 8 * SECOND,
                "{tries}: {short} {long}"
            );
        }
    }

    #[test]
    fn the_signature_covers_time_and_body() {
        let at = Timestamp::from_secs(1_700_000_000);
        let signed = signature(&[b"whsec_test"], at, "{\"a\":1}");
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac whsec_test
        assert_eq!(signed, "t=1700000000,v1=38877139021993b830af32feea6e18a8da83eb2f6e49ee50bd9e4cf4ca4d3789");
        assert_ne!(signature(&[b"whsec_test"], at.plus(SECOND), "{\"a\":1}")[13..], signed[13..]);
        assert_ne!(signature(&[b"whsec_test"], at, "{\"a\":2}"), signed);
        assert_eq!(signature(&[b"whsec_test", b"whsec_test"], at, "{\"a\":1}"), format!("{signed}{}", &signed[12..]));
        assert_ne!(signature(&[b"whsec_other"], at, "{\"a\":1}"), signed);
    }
}
