//! The one task of the push thread: takes messages in order, hands pushes to the line of their topic, turns the lines.
//!
//! Started by [`super::Sender`]. One hand-written future instead of a task per push: under load a wake serves hundreds.
//! Deliberately not here: anything about connections.

use super::dial::{Dialer, Endpoint, Trust};
use super::line::Line;
use super::{Config, Job};
use crate::base::push::Topic;
use crate::service::ports::PushCredential;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Sleep;

/// What the outside may ask of the thread.
pub(super) enum Message {
    Push(Job),
    SetCredential(Topic, PushCredential),
    RemoveCredential(Topic),
}

/// Messages taken per read of the inbox, so that answers are not starved by a flood of new pushes.
const BATCH: usize = 1_024;

/// Ends when the inbox is closed; whatever is unanswered then answers itself on drop.
pub(super) struct Switchboard {
    inbox: UnboundedReceiver<Message>,
    batch: Vec<Message>,
    config: Arc<Config>,
    endpoint: Arc<Endpoint>,
    trust: Trust,
    lines: HashMap<Topic, Line>,
    /// Fires while something is waiting, to look after deadlines. Made on first poll, inside the runtime.
    tick: Option<Pin<Box<Sleep>>>,
}

impl Switchboard {
    pub(super) fn new(inbox: UnboundedReceiver<Message>, config: Config, endpoint: Endpoint, trust: Trust) -> Self {
        let (config, endpoint) = (Arc::new(config), Arc::new(endpoint));
        Self { inbox, batch: Vec::with_capacity(BATCH), config, endpoint, trust, lines: HashMap::new(), tick: None }
    }

    fn receive(&mut self, message: Message, now: Instant) {
        match message {
            Message::Push(job) => match self.lines.get_mut(&job.push.target.topic) {
                Some(line) => line.push(job),
                None => job.ticket.fail("there is no push certificate for this topic"),
            },
            Message::SetCredential(topic, credential) => {
                let dialer = Dialer::new(&self.endpoint, &self.trust, &self.config, &credential);
                if let Err(why) = &dialer {
                    tracing::error!(%topic, why, "the push certificate cannot be used");
                }
                match self.lines.get_mut(&topic) {
                    Some(line) => line.set_dialer(dialer, now),
                    None => {
                        self.lines.insert(topic.clone(), Line::new(topic, dialer, self.config.clone(), now));
                    }
                }
            }
            Message::RemoveCredential(topic) => {
                if let Some(line) = self.lines.remove(&topic) {
                    line.close("the push certificate of this topic was removed");
                }
            }
        }
    }

    /// True once the inbox is closed.
    fn read_inbox(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut batch = std::mem::take(&mut self.batch);
        let closed = loop {
            match self.inbox.poll_recv_many(cx, &mut batch, BATCH) {
                Poll::Ready(0) => break true,
                Poll::Pending => break false,
                Poll::Ready(_) if batch.len() >= BATCH => {
                    // There may be more, and a Ready poll leaves no waker behind.
                    cx.waker().wake_by_ref();
                    break false;
                }
                Poll::Ready(_) => (),
            }
        };
        for message in batch.drain(..) {
            self.receive(message, now);
        }
        self.batch = batch;
        closed
    }

    /// How soon deadlines deserve a look: a quarter of the shortest one that can matter now.
    fn tick_after(&self) -> Duration {
        let config = &self.config;
        let busy = self.lines.values().any(Line::is_busy);
        let shortest = match busy {
            true => config.response_timeout.min(config.patience).min(config.redial_first),
            false => config.ping_after.min(config.response_timeout),
        };
        (shortest / 4).clamp(Duration::from_millis(2), Duration::from_secs(10))
    }

    /// Sets the next tick, earlier if work has come; true if it has fired already.
    fn turn_tick(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        if self.lines.values().all(Line::is_empty) {
            self.tick = None;
            return false;
        }
        let wanted = tokio::time::Instant::from_std(now + self.tick_after());
        let tick = self.tick.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(wanted)));
        if tick.deadline() > wanted {
            tick.as_mut().reset(wanted);
        }
        if tick.as_mut().poll(cx).is_ready() {
            tick.as_mut().reset(wanted);
            return true;
        }
        false
    }
}

impl Future for Switchboard {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let now = Instant::now();
        if this.read_inbox(cx, now) {
            return Poll::Ready(());
        }
        let ticked = this.turn_tick(cx, now);
        for line in this.lines.values_mut() {
            if ticked {
                line.expire(now);
            }
            line.turn(cx, now);
        }
        // What the lines did may have made them busy; a fired tick must leave its waker with the timer again.
        if this.turn_tick(cx, now) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
