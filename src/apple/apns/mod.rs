//! The sender of pushes: Apple's push service over HTTP/2, with one thread and one connection per topic.
//!
//! Called through `service::ports::PushSender`. Inside: `switchboard` (the thread's one task), `line` (one topic: queue,
//! redial, resend), `connection` (one HTTP/2 connection and its pushes in flight), `dial` (DNS, TCP, TLS), `wire` (request
//! and answer). Deliberately not here: what an answer means for a device (`protocol::push`) and the durable schedule
//! (`service`): a push that could not be sent ends as `Unreached` after a short patience, and the schedule tries again.

mod connection;
mod dial;
#[cfg(test)]
mod frame_tests;
mod line;
mod slots;
mod switchboard;
#[cfg(test)]
mod tests;
mod wire;

use crate::base::limits;
use crate::base::push::Topic;
use crate::base::random::Random;
use crate::service::ports::{Push, PushCredential, PushDone, PushResult, PushSender, SenderFull};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use switchboard::{Message, Switchboard};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Apple's production service. MDM has no sandbox.
pub const APPLE_URL: &str = "https://api.push.apple.com:443";

/// How the sender reaches Apple. The defaults are for production; tests and stand-ins shorten them.
#[derive(Clone)]
pub struct Config {
    /// `https://host[:port]`, nothing after it.
    pub url: String,
    /// PEM certificates trusted besides the public roots, for stand-ins.
    pub extra_ca_pem: Option<Vec<u8>>,
    /// Jitter of the redial delay.
    pub random: Arc<dyn Random>,
    /// Pushes accepted and not yet answered; beyond it `send` says [`SenderFull`].
    pub max_waiting: usize,
    /// Pushes in flight on one connection, if Apple allows as many.
    pub max_in_flight: usize,
    /// DNS, TCP and TLS together.
    pub connect_timeout: Duration,
    /// A push without an answer for this long is sent again.
    pub response_timeout: Duration,
    /// How often one push is sent when its answers are lost.
    pub max_sends: u8,
    /// How long a push waits to be sent before it ends as `Unreached`.
    pub patience: Duration,
    /// Delay before the second try to connect; doubles, with jitter, up to `redial_max`.
    pub redial_first: Duration,
    pub redial_max: Duration,
    /// An idle connection is probed with a PING after this; Apple asks for about one hour.
    pub ping_after: Duration,
}

impl Config {
    /// Production values for the service at `url`.
    pub fn new(url: &str, random: Arc<dyn Random>) -> Self {
        Self {
            url: url.to_owned(),
            extra_ca_pem: None,
            random,
            max_waiting: limits::MAX_WAITING_PUSHES,
            max_in_flight: limits::MAX_PUSHES_IN_FLIGHT,
            connect_timeout: Duration::from_secs(15),
            response_timeout: Duration::from_secs(30),
            max_sends: 3,
            patience: Duration::from_secs(120),
            redial_first: Duration::from_secs(1),
            redial_max: Duration::from_secs(60),
            ping_after: Duration::from_secs(3_600),
        }
    }
}

/// The running sender. Dropping it stops the thread; pushes without an answer end as `Unreached`.
pub struct Sender {
    inbox: Option<UnboundedSender<Message>>,
    waiting: Arc<AtomicUsize>,
    max_waiting: usize,
    thread: Option<JoinHandle<()>>,
}

impl Sender {
    /// Starts the thread; connects only when there is something to push. Fails on an unusable URL or CA file, or
    /// when the system gives no thread.
    pub fn start(config: Config) -> io::Result<Self> {
        let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
        let endpoint = dial::Endpoint::new(&config.url).map_err(invalid)?;
        let trust = dial::Trust::new(config.extra_ca_pem.as_deref()).map_err(invalid)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (inbox, messages) = unbounded_channel();
        let max_waiting = config.max_waiting;
        let switchboard = Switchboard::new(messages, config, endpoint, trust);
        let thread = std::thread::Builder::new().name("push".to_owned()).spawn(move || {
            runtime.block_on(switchboard);
            // A name lookup may still hang in the resolver; nobody waits for it.
            runtime.shutdown_background();
        })?;
        Ok(Self { inbox: Some(inbox), waiting: Arc::default(), max_waiting, thread: Some(thread) })
    }

    /// Pushes accepted and not yet answered.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn tell(&self, message: Message) {
        if let Some(inbox) = &self.inbox {
            // Fails only if the thread is gone; dropping the message then answers its push.
            let _ = inbox.send(message);
        }
    }
}

impl PushSender for Sender {
    fn send(&self, push: Push, done: PushDone) -> Result<(), SenderFull> {
        let take = |n: usize| (n < self.max_waiting).then_some(n + 1);
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).map_err(|_| SenderFull)?;
        let ticket = Ticket { done: Some(done), waiting: self.waiting.clone() };
        self.tell(Message::Push(Job { push, ticket, sends: 0, accepted_at: Instant::now() }));
        Ok(())
    }

    fn set_credential(&self, topic: &Topic, credential: PushCredential) {
        self.tell(Message::SetCredential(topic.clone(), credential));
    }

    fn remove_credential(&self, topic: &Topic) {
        self.tell(Message::RemoveCredential(topic.clone()));
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.inbox = None;
        if let Some(thread) = self.thread.take() {
            // The last owner may be a callback, which runs on that very thread.
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("the push sender's thread had panicked");
            }
        }
    }
}

/// An accepted push on its way.
struct Job {
    push: Push,
    ticket: Ticket,
    /// How often it went out without a known answer.
    sends: u8,
    accepted_at: Instant,
}

/// The promise to answer a push exactly once, whatever happens to the job that holds it.
struct Ticket {
    done: Option<PushDone>,
    waiting: Arc<AtomicUsize>,
}

impl Ticket {
    fn answer(mut self, result: PushResult) {
        self.settle(result);
    }

    fn fail(self, why: &str) {
        self.answer(PushResult::Unreached { why: why.to_owned() });
    }

    fn settle(&mut self, result: PushResult) {
        if let Some(done) = self.done.take() {
            // Room first, so that a callback may push again.
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            if catch_unwind(AssertUnwindSafe(move || done(result))).is_err() {
                tracing::error!("a push callback panicked");
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.settle(PushResult::Unreached { why: "the push sender is stopping".to_owned() });
    }
}
