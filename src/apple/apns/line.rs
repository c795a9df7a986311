//! One topic: the pushes that wait, the connection they use, and the patience in between.
//!
//! Turned by `switchboard`. Decides when to dial, what to send again, and when to give up. Deliberately not here: HTTP/2.

use super::connection::{Connection, Event, State};
use super::dial::{Dialer, Dialing};
use super::{Config, Job};
use crate::base::push::Topic;
use crate::base::random;
use crate::protocol::push::leaves_connection;
use crate::service::ports::PushResult;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Connections that were left and still await answers; more would mean a server that says good-bye all the time.
const MAX_LEAVING: usize = 4;

pub(super) struct Line {
    topic: Topic,
    /// How to connect, or why the certificate cannot be used.
    dialer: Result<Dialer, String>,
    config: Arc<Config>,
    queue: VecDeque<Job>,
    dialing: Option<Dialing>,
    current: Option<Connection>,
    leaving: Vec<Connection>,
    /// Failures since a connection last answered a push.
    failures: u32,
    last_failure: Option<String>,
    dial_at: Instant,
    events: Vec<Event>,
}

impl Line {
    pub(super) fn new(topic: Topic, dialer: Result<Dialer, String>, config: Arc<Config>, now: Instant) -> Self {
        Self {
            topic,
            dialer,
            config,
            queue: VecDeque::new(),
            dialing: None,
            current: None,
            leaving: Vec::new(),
            failures: 0,
            last_failure: None,
            dial_at: now,
            events: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, job: Job) {
        match &self.dialer {
            Ok(_) => self.queue.push_back(job),
            Err(why) => job.ticket.fail(why),
        }
    }

    /// True while a push waits for anything.
    pub(super) fn is_busy(&self) -> bool {
        let in_flight = |c: &Connection| c.in_flight() > 0;
        !self.queue.is_empty() || self.current.as_ref().is_some_and(in_flight) || self.leaving.iter().any(in_flight)
    }

    /// True if there is not even an idle connection to look after.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.current.is_none() && self.leaving.is_empty() && self.dialing.is_none()
    }

    /// Changes the certificate: all connections are closed, unanswered pushes go out again with the new one.
    pub(super) fn set_dialer(&mut self, dialer: Result<Dialer, String>, now: Instant) {
        let mut events = std::mem::take(&mut self.events);
        for connection in self.current.take().into_iter().chain(self.leaving.drain(..)) {
            connection.abandon("the push certificate was replaced", &mut events);
        }
        self.dialing = None;
        self.dialer = dialer;
        self.failures = 0;
        self.last_failure = None;
        self.dial_at = now;
        self.settle(&mut events);
        self.events = events;
        if let Err(why) = &self.dialer {
            for job in self.queue.drain(..) {
                job.ticket.fail(why);
            }
        }
    }

    /// Ends the line; nothing on it is sent again.
    pub(super) fn close(mut self, why: &str) {
        let mut events = std::mem::take(&mut self.events);
        for connection in self.current.take().into_iter().chain(self.leaving.drain(..)) {
            connection.abandon(why, &mut events);
        }
        for event in events {
            if let Event::Lost { job, .. } | Event::Unsendable(job, _) = event {
                job.ticket.fail(why);
            }
        }
        for job in self.queue.drain(..) {
            job.ticket.fail(why);
        }
    }

    /// Does all that can be done now and leaves a waker for the rest.
    pub(super) fn turn(&mut self, cx: &mut Context<'_>, now: Instant) {
        let mut events = std::mem::take(&mut self.events);
        loop {
            self.turn_dialing(cx, now);
            self.turn_current(cx, now, &mut events);
            self.turn_leaving(cx, now, &mut events);
            let again = self.settle(&mut events);
            let dialled = self.dial(now);
            if !again && !dialled {
                break;
            }
        }
        self.events = events;
    }

    fn turn_dialing(&mut self, cx: &mut Context<'_>, now: Instant) {
        let Some(dialing) = &mut self.dialing else { return };
        let Poll::Ready(result) = dialing.as_mut().poll(cx) else { return };
        self.dialing = None;
        match result {
            Ok(connection) => self.current = Some(connection),
            Err(why) => self.fail(why, now),
        }
    }

    fn turn_current(&mut self, cx: &mut Context<'_>, now: Instant, events: &mut Vec<Event>) {
        let Some(mut connection) = self.current.take() else { return };
        let state = connection.turn(cx, now, &mut self.queue, events);
        if connection.has_answered() {
            self.failures = 0;
        }
        match state {
            State::Open => self.current = Some(connection),
            State::Leaving => {
                self.lose(&connection, "the server asked us to leave".to_owned(), now);
                if self.leaving.len() >= MAX_LEAVING {
                    self.leaving.remove(0).abandon("left too many connections open", events);
                }
                self.leaving.push(connection);
            }
            State::Closed(why) => self.lose(&connection, why, now),
        }
    }

    fn turn_leaving(&mut self, cx: &mut Context<'_>, now: Instant, events: &mut Vec<Event>) {
        let mut none = VecDeque::new();
        self.leaving.retain_mut(|connection| {
            let state = connection.turn(cx, now, &mut none, events);
            connection.in_flight() > 0 && !matches!(state, State::Closed(_))
        });
    }

    /// The current connection is gone. One that had answered is replaced at once; one that never did is a failure.
    fn lose(&mut self, connection: &Connection, why: String, now: Instant) {
        if connection.has_answered() {
            tracing::debug!(topic = %self.topic, why, "the push connection ended");
            self.dial_at = now;
        } else {
            self.fail(why, now);
        }
    }

    fn fail(&mut self, why: String, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let delay = self.redial_delay();
        tracing::warn!(topic = %self.topic, why, failures = self.failures, delay_secs = delay.as_secs(), "no push connection");
        self.dial_at = now + delay;
        self.last_failure = Some(why);
    }

    /// Doubles with every failure; between half and the whole of it, so that many servers do not come back in step.
    fn redial_delay(&self) -> Duration {
        let doubled = self.config.redial_first.saturating_mul(1 << self.failures.saturating_sub(1).min(16));
        let whole = doubled.min(self.config.redial_max);
        let [jitter] = random::bytes(&*self.config.random);
        whole / 2 + whole / 2 * u32::from(jitter) / 255
    }

    /// True if a dial was started, which wants to be turned.
    fn dial(&mut self, now: Instant) -> bool {
        let wanted = !self.queue.is_empty() && self.current.is_none() && self.dialing.is_none() && now >= self.dial_at;
        match &self.dialer {
            Ok(dialer) if wanted => {
                self.dialing = Some(dialer.dial(&self.topic));
                true
            }
            _ => false,
        }
    }

    /// Answers what is answered and queues again what is lost; true if something was queued again.
    fn settle(&mut self, events: &mut Vec<Event>) -> bool {
        let mut again = false;
        for event in events.drain(..) {
            match event {
                Event::Answered(job, result) => again |= self.answered(job, result),
                Event::Unsendable(job, why) => job.ticket.fail(&why),
                Event::Lost { mut job, unseen, why } => {
                    if unseen {
                        // Does not count as a try: patience bounds it.
                        job.sends = job.sends.saturating_sub(1);
                    }
                    if job.sends >= self.config.max_sends || job.accepted_at.elapsed() > self.config.patience {
                        job.ticket.fail(&why);
                    } else {
                        self.queue.push_front(job);
                        again = true;
                    }
                }
            }
        }
        again
    }

    fn answered(&mut self, job: Job, result: PushResult) -> bool {
        if let PushResult::Answered { status, reason, .. } = &result
            && leaves_connection(*status, reason.as_deref())
        {
            if let Some(connection) = &mut self.current {
                connection.leave();
            }
            // 503 wants a long pause, which is the schedule's; IdleTimeout is about the connection alone.
            if *status != 503 && job.sends < self.config.max_sends {
                self.queue.push_front(job);
                return true;
            }
        }
        job.ticket.answer(result);
        false
    }

    /// Looks after deadlines: late answers, idle connections, and pushes that waited beyond patience.
    pub(super) fn expire(&mut self, now: Instant) {
        for connection in self.current.iter_mut().chain(&mut self.leaving) {
            connection.expire(now, &self.config, &mut self.events);
        }
        // Pushes that were sent once stand in front, so the oldest come first.
        let late = |job: &Job| now.saturating_duration_since(job.accepted_at) > self.config.patience;
        while self.queue.front().is_some_and(late) {
            let Some(job) = self.queue.pop_front() else { break };
            job.ticket.fail(self.last_failure.as_deref().unwrap_or("the push waited too long to be sent"));
        }
    }
}
