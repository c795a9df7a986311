//! A local stand-in for Apple's push service: real TLS with client certificates and real HTTP/2 on 127.0.0.1, strict.
//!
//! Used by `cordon demo`, the doctor, benchmarks and tests. Simulated devices register their token with a callback and are
//! woken by it as a device is by Apple. Inside: `rules` (is the request right?), `registry` (whom does it reach?),
//! `listen` (sockets), `certificates`. Async stays inside: every method here is an ordinary call.

mod certificates;
mod listen;
mod registry;
mod rules;

pub use registry::Counts;

use crate::base::time::{Clock, SystemClock, Timestamp};
use certificates::Authority;
use listen::{Order, Parting, Shared};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// A push as the device gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    pub token: Vec<u8>,
    pub topic: String,
    pub magic: String,
    pub apns_id: String,
    /// Epoch seconds.
    pub expiration_secs: i64,
    pub priority: u8,
    /// When the stand-in took it.
    pub received_at: Timestamp,
    /// True if it waited for the device to come back.
    pub stored: bool,
}

impl Delivered {
    fn new(request: rules::Request, received_at: Timestamp) -> Self {
        let rules::Request { token, topic, magic, apns_id, expiration_secs, priority } = request;
        Self { token, topic, magic, apns_id, expiration_secs, priority, received_at, stored: false }
    }
}

/// What a device does with a push. Called on the stand-in's thread: hand it on, do not work there.
pub type OnPush = Arc<dyn Fn(Delivered) + Send + Sync>;

/// What becomes of a push to a token that nobody registered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UnknownTokens {
    /// `BadDeviceToken`, as Apple does.
    #[default]
    Refuse,
    /// 200.
    Accept,
}

/// How the stand-in says good-bye with GOAWAY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goaway {
    /// Answers what it has taken, then closes.
    Graceful,
    /// Closes at once with an error code; unanswered pushes are lost.
    Abrupt,
}

/// The running stand-in; stops when dropped.
pub struct StandIn {
    shared: Arc<Shared>,
    authority: Authority,
    address: SocketAddr,
    orders: UnboundedSender<Order>,
    thread: Option<JoinHandle<()>>,
}

impl StandIn {
    /// Listens on a free port of 127.0.0.1 with a new CA, on the machine's time.
    pub fn start() -> io::Result<Self> {
        Self::start_with_clock(Arc::new(SystemClock))
    }

    /// Same, with a clock of the caller's: expirations and certificates are judged by it.
    pub fn start_with_clock(clock: Arc<dyn Clock>) -> io::Result<Self> {
        let authority = Authority::new()?;
        let tls = listen::tls(&authority, clock.clone())?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let shared = Arc::new(Shared::new(clock));
        let (orders, inbox) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let at_work = shared.clone();
        let thread = std::thread::Builder::new().name("push stand-in".to_owned()).spawn(move || {
            runtime.block_on(listen::run(listener, tls, at_work, inbox));
        })?;
        Ok(Self { shared, authority, address, orders, thread: Some(thread) })
    }

    /// `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The CA that signed the stand-in's certificate and signs push certificates, PEM.
    pub fn ca_pem(&self) -> String {
        self.authority.pem()
    }

    /// A push certificate for `topic`, as Apple's portal would issue it: certificate and PKCS#8 key, both PEM.
    pub fn push_certificate(&self, topic: &str) -> io::Result<(String, String)> {
        self.authority.push_certificate(topic, self.shared.clock.now())
    }

    /// A push certificate for the public key (DER) of a request, as Apple's portal makes one of an upload: PEM.
    pub fn push_certificate_for(&self, topic: &str, spki_der: &[u8]) -> io::Result<String> {
        self.authority.push_certificate_for(topic, spki_der, self.shared.clock.now())
    }

    /// Makes a token known; `on_push` is called for every push that carries its topic and magic. Registering again replaces.
    pub fn register(&self, token: &[u8], topic: &str, magic: &str, on_push: OnPush) {
        self.shared.registry().register(token, topic, magic, on_push);
    }

    /// Makes a token known and gives its pushes through a channel.
    pub fn register_channel(&self, token: &[u8], topic: &str, magic: &str) -> Receiver<Delivered> {
        let (pushes, receiver) = channel();
        // Fails only when the device no longer listens.
        self.register(token, topic, magic, Arc::new(move |push| drop(pushes.send(push))));
        receiver
    }

    /// The token is dead since `at`: 410 `Unregistered` with that timestamp.
    pub fn unregister(&self, token: &[u8], at: Timestamp) {
        self.shared.registry().unregister(token, at);
    }

    /// The device is away: its last push is kept until [`Self::wake`] or its expiration.
    pub fn set_offline(&self, token: &[u8]) {
        self.shared.registry().set_offline(token);
    }

    /// The device is back and gets the push that was kept. True if there was one.
    pub fn wake(&self, token: &[u8]) -> bool {
        let now = self.shared.clock.now();
        let delivery = self.shared.registry().wake(token, now);
        match delivery {
            Some((on_push, push)) => {
                on_push(push);
                true
            }
            None => false,
        }
    }

    /// What becomes of unknown tokens.
    pub fn on_unknown(&self, policy: UnknownTokens) {
        self.shared.registry().unknown = policy;
    }

    /// Answers every push to `token` so (a 410 with the present time); `None` ends it.
    pub fn set_answer(&self, token: &[u8], answer: Option<(u16, &str)>) {
        self.shared.registry().set_answer(token, answer);
    }

    /// Answers 200 to everything without looking: for measuring a sender.
    pub fn accept_all(&self, on: bool) {
        self.shared.accept_all.store(on, Ordering::Relaxed);
    }

    /// Streams that connections opened from now on may have open at once.
    pub fn set_max_streams(&self, limit: u32) {
        self.shared.max_streams.store(limit, Ordering::Relaxed);
    }

    /// Every answer from now on waits so long; what was pushed is delivered at once.
    pub fn set_delay(&self, delay: Duration) {
        *self.shared.delay.lock().unwrap_or_else(PoisonError::into_inner) = delay;
    }

    /// The next `count` pushes are reset (RST_STREAM) without an answer.
    pub fn reset_next(&self, count: usize) {
        self.shared.resets.store(count, Ordering::Relaxed);
    }

    /// Says good-bye on every open connection.
    pub fn goaway(&self, how: Goaway) {
        self.shared.part(match how {
            Goaway::Graceful => Parting::Graceful,
            Goaway::Abrupt => Parting::Abrupt,
        });
    }

    /// Cuts every open connection without a word.
    pub fn cut(&self) {
        self.shared.part(Parting::Cut);
    }

    /// Down: closes the port and every connection. Up: listens on the same port again. Returns when it is so.
    pub fn set_down(&self, down: bool) -> io::Result<()> {
        let (done, wait) = channel();
        let order = if down { Order::Down(done) } else { Order::Up(self.address, done) };
        let gone = || io::Error::other("the stand-in has stopped");
        self.orders.send(order).map_err(|_| gone())?;
        wait.recv().map_err(|_| gone())?
    }

    pub fn counts(&self) -> Counts {
        self.shared.registry().counts.clone()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        // Fails only if the thread has ended already.
        let _ = self.orders.send(Order::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the push stand-in's thread had panicked");
        }
    }
}
