//! Who the stand-in can reach: registered tokens, what is stored for devices that are away, and the answers a test ordered.
//!
//! Used by the stand-in with a request that already passed `rules`. Deliberately not here: sockets.

use super::rules::{Refusal, Request};
use super::{Delivered, OnPush, UnknownTokens};
use crate::base::time::Timestamp;
use std::collections::{BTreeMap, HashMap};

/// What the stand-in has seen so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// TLS connections that got as far as HTTP/2.
    pub connections: u64,
    /// Connections that ended in the handshake, e.g. without a client certificate.
    pub failed_handshakes: u64,
    /// Pushes received, whatever became of them.
    pub pushes: u64,
    /// Answered 200.
    pub accepted: u64,
    /// Handed to a device, at once or later.
    pub delivered: u64,
    /// Accepted with a magic that is not the device's: a device drops such a push silently.
    pub wrong_magic: u64,
    /// Stored pushes that lapsed before their device came back.
    pub lapsed: u64,
    /// Most pushes unanswered at once on one connection.
    pub peak_in_flight: usize,
    /// Answers other than 200, by reason.
    pub refused: BTreeMap<String, u64>,
}

struct Device {
    topic: String,
    magic: String,
    on_push: OnPush,
    online: bool,
    /// Apple keeps one push per topic and device: the last.
    stored: Option<Delivered>,
    dead_since: Option<Timestamp>,
}

/// An answer, and the device to tell if there is one. The callback is called outside the lock.
pub(super) struct Verdict {
    pub answer: Answer,
    pub delivery: Option<(OnPush, Delivered)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Ok,
    Refused { status: u16, reason: String, timestamp_ms: Option<i64> },
}

impl Answer {
    fn refuse(status: u16, reason: &str) -> Self {
        Answer::Refused { status, reason: reason.to_owned(), timestamp_ms: None }
    }
}

#[derive(Default)]
pub(super) struct Registry {
    devices: HashMap<Vec<u8>, Device>,
    /// Answers ordered for a token, known or not.
    ordered: HashMap<Vec<u8>, (u16, String)>,
    pub(super) unknown: UnknownTokens,
    pub(super) counts: Counts,
}

impl Registry {
    pub(super) fn register(&mut self, token: &[u8], topic: &str, magic: &str, on_push: OnPush) {
        let (topic, magic) = (topic.to_owned(), magic.to_owned());
        let device = Device { topic, magic, on_push, online: true, stored: None, dead_since: None };
        self.devices.insert(token.to_vec(), device);
    }

    pub(super) fn unregister(&mut self, token: &[u8], at: Timestamp) {
        if let Some(device) = self.devices.get_mut(token) {
            device.dead_since = Some(at);
            device.stored = None;
        }
    }

    pub(super) fn set_offline(&mut self, token: &[u8]) {
        if let Some(device) = self.devices.get_mut(token) {
            device.online = false;
        }
    }

    /// The device is back: what was stored for it, unless it lapsed.
    pub(super) fn wake(&mut self, token: &[u8], now: Timestamp) -> Option<(OnPush, Delivered)> {
        let device = self.devices.get_mut(token)?;
        device.online = true;
        let stored = device.stored.take()?;
        if stored.expiration_secs <= now.secs() {
            self.counts.lapsed += 1;
            return None;
        }
        self.counts.delivered += 1;
        Some((device.on_push.clone(), Delivered { stored: true, ..stored }))
    }

    pub(super) fn set_answer(&mut self, token: &[u8], answer: Option<(u16, &str)>) {
        match answer {
            Some((status, reason)) => self.ordered.insert(token.to_vec(), (status, reason.to_owned())),
            None => self.ordered.remove(token),
        };
    }

    /// Decides about one push and counts it.
    pub(super) fn take(&mut self, request: Result<Request, Refusal>, now: Timestamp) -> Verdict {
        self.counts.pushes += 1;
        let verdict = match request {
            Ok(request) => self.decide(request, now),
            Err(r) => Verdict { answer: Answer::refuse(r.status, &r.reason), delivery: None },
        };
        match &verdict.answer {
            Answer::Ok => self.counts.accepted += 1,
            Answer::Refused { reason, .. } => *self.counts.refused.entry(reason.clone()).or_default() += 1,
        }
        verdict
    }

    fn decide(&mut self, request: Request, now: Timestamp) -> Verdict {
        let refuse = |answer| Verdict { answer, delivery: None };
        if let Some((status, reason)) = self.ordered.get(&request.token) {
            let timestamp_ms = (*status == 410).then_some(now.0);
            return refuse(match status {
                200 => Answer::Ok,
                _ => Answer::Refused { status: *status, reason: reason.clone(), timestamp_ms },
            });
        }
        let Some(device) = self.devices.get_mut(&request.token) else {
            return refuse(match self.unknown {
                UnknownTokens::Refuse => Answer::refuse(400, "BadDeviceToken"),
                UnknownTokens::Accept => Answer::Ok,
            });
        };
        if device.topic != request.topic {
            return refuse(Answer::refuse(400, "DeviceTokenNotForTopic"));
        }
        if let Some(since) = device.dead_since {
            let reason = "Unregistered".to_owned();
            return refuse(Answer::Refused { status: 410, reason, timestamp_ms: Some(since.0) });
        }
        if device.magic != request.magic {
            self.counts.wrong_magic += 1;
            return Verdict { answer: Answer::Ok, delivery: None };
        }
        let push = Delivered::new(request, now);
        if !device.online {
            device.stored = Some(push);
            return Verdict { answer: Answer::Ok, delivery: None };
        }
        self.counts.delivered += 1;
        Verdict { answer: Answer::Ok, delivery: Some((device.on_push.clone(), push)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const NOW: Timestamp = Timestamp(1_795_000_000_000);

    fn registry() -> Registry {
        let mut registry = Registry::default();
        registry.register(&[1], "t", "m", Arc::new(|_| ()));
        registry
    }

    fn push(registry: &mut Registry, token: u8, topic: &str, magic: &str) -> (Answer, bool) {
        let (topic, magic) = (topic.to_owned(), magic.to_owned());
        let expiration_secs = NOW.secs() + 60;
        let request =
            Request { token: vec![token], topic, magic, apns_id: "a".to_owned(), expiration_secs, priority: 10 };
        let verdict = registry.take(Ok(request), NOW);
        (verdict.answer, verdict.delivery.is_some())
    }

    #[test]
    fn tokens_are_known_or_not_for_the_topic_or_dead() {
        let mut registry = registry();
        assert_eq!(push(&mut registry, 1, "t", "m"), (Answer::Ok, true));
        assert_eq!(push(&mut registry, 1, "t", "other"), (Answer::Ok, false));
        assert_eq!(push(&mut registry, 1, "u", "m").0, Answer::refuse(400, "DeviceTokenNotForTopic"));
        assert_eq!(push(&mut registry, 2, "t", "m").0, Answer::refuse(400, "BadDeviceToken"));
        registry.unknown = UnknownTokens::Accept;
        assert_eq!(push(&mut registry, 2, "t", "m"), (Answer::Ok, false));
        registry.unregister(&[1], Timestamp(5));
        let dead = Answer::Refused { status: 410, reason: "Unregistered".to_owned(), timestamp_ms: Some(5) };
        assert_eq!(push(&mut registry, 1, "t", "m").0, dead);
        let counts = &registry.counts;
        assert_eq!((counts.pushes, counts.accepted, counts.delivered, counts.wrong_magic), (6, 3, 1, 1));
        assert_eq!(counts.refused["BadDeviceToken"], 1);
    }

    #[test]
    fn one_push_is_kept_for_a_device_that_is_away_until_it_lapses() {
        let mut registry = registry();
        for (wait, expected) in [(59_000, true), (60_000, false)] {
            registry.set_offline(&[1]);
            assert_eq!(push(&mut registry, 1, "t", "m"), (Answer::Ok, false));
            assert_eq!(push(&mut registry, 1, "t", "m"), (Answer::Ok, false));
            assert_eq!(registry.wake(&[1], NOW.plus(wait)).is_some_and(|(_, d)| d.stored), expected);
            assert!(registry.wake(&[1], NOW).is_none(), "delivered once");
        }
        assert_eq!(registry.counts.lapsed, 1);
    }

    #[test]
    fn an_ordered_answer_wins() {
        let mut registry = registry();
        registry.set_answer(&[1], Some((429, "TooManyRequests")));
        assert_eq!(push(&mut registry, 1, "t", "m").0, Answer::refuse(429, "TooManyRequests"));
        registry.set_answer(&[1], None);
        assert_eq!(push(&mut registry, 1, "t", "m"), (Answer::Ok, true));
    }
}
