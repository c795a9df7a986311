//! The public listeners: hyper over rustls on one small private runtime, behind a synchronous [`Handler`].
//!
//! Started by `cli` and by tests. Here: sockets, capacity, starting and stopping. `gate` watches each connection's bytes and patience,
//! `serve` reads bodies and runs handlers, `connection` ties them together. Async stops at this room's door: no public signature shows it.

mod connection;
mod gate;
mod serve;
#[cfg(test)]
mod tests;

use super::message::{Door, Handler};
use super::tls::TlsHolder;
use crate::base::limits;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

/// Worker threads of the runtime: TLS and HTTP framing only, handlers have threads of their own.
const WORKERS: usize = 2;
/// Beyond the connection cap so many more are let in to be told 503; the rest are closed unheard.
const CROWDED_CONNECTIONS: usize = 128;
/// File descriptors left for the database, pushes and the control socket.
const SPARE_FILES: u64 = 256;
/// Waiting connections that the kernel keeps for us: a whole school waking at once.
const BACKLOG: u32 = 1_024;
/// Unit of the body-memory budget.
const BUDGET_UNIT: usize = 1_024;

/// What all listeners of one runtime share.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// Open connections; lowered to the soft file limit − 256.
    pub connections: usize,
    /// Open connections from one IPv4 address or one IPv6 /64; not applied behind a proxy.
    pub connections_per_address: usize,
    /// Handlers running at once.
    pub handlers: usize,
    /// Bytes of bodies held, beyond the first 16 KiB of each.
    pub body_memory: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            connections: limits::MAX_CONNECTIONS,
            connections_per_address: limits::MAX_CONNECTIONS_PER_ADDRESS,
            handlers: limits::MAX_HANDLERS,
            body_memory: limits::BODY_MEMORY,
        }
    }
}

/// How long a listener waits for whom.
#[derive(Debug, Clone)]
pub struct Timeouts {
    pub handshake: Duration,
    /// For a whole head, from the accept or from its first byte; dripping does not extend it.
    pub head: Duration,
    /// Between two requests.
    pub keep_alive: Duration,
    /// Without a body byte, and for memory to hold it.
    pub body_stall: Duration,
    /// Bytes per second, averaged, once `body_stall` has passed.
    pub body_min_rate: usize,
    pub body_max: Duration,
    /// For a free handler thread, then 503.
    pub handler_wait: Duration,
    /// Without the client taking a byte of the answer.
    pub answer_stall: Duration,
    /// For the whole answer once the client lags.
    pub answer_max: Duration,
    /// For a refused client to stop sending, so that it can read why.
    pub linger: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: limits::HANDSHAKE_TIMEOUT,
            head: limits::HEAD_TIMEOUT,
            keep_alive: limits::KEEP_ALIVE,
            body_stall: limits::BODY_STALL,
            body_min_rate: limits::BODY_MIN_RATE,
            body_max: limits::BODY_MAX_TIME,
            handler_wait: Duration::from_secs(10),
            answer_stall: Duration::from_secs(30),
            answer_max: limits::BODY_MAX_TIME,
            linger: Duration::from_secs(30),
        }
    }
}

/// The threads behind all public listeners, and their common capacity. Cheap to clone; the last one dropped ends the threads.
#[derive(Clone)]
pub struct Runtime(Arc<Inner>);

struct Inner {
    tokio: Option<tokio::runtime::Runtime>,
    capacity: Arc<Capacity>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(tokio) = self.tokio.take() {
            tokio.shutdown_background();
        }
    }
}

impl Runtime {
    /// # Errors
    /// When the threads cannot be started.
    pub fn start(sizes: &Sizes) -> io::Result<Runtime> {
        let tokio = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .max_blocking_threads(sizes.handlers.max(1))
            .thread_name("cordon-http")
            .enable_io()
            .enable_time()
            .build()?;
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let room =
            files.map_or(usize::MAX, |f| usize::try_from(f.saturating_sub(SPARE_FILES)).unwrap_or(usize::MAX)).max(16);
        let capacity = Capacity {
            connections: Arc::new(Semaphore::new(sizes.connections.min(room))),
            crowded: Arc::new(Semaphore::new(CROWDED_CONNECTIONS)),
            handlers: Arc::new(Semaphore::new(sizes.handlers.max(1))),
            body_memory: Arc::new(Semaphore::new(sizes.body_memory / BUDGET_UNIT)),
            addresses: Mutex::new(HashMap::new()),
            per_address: sizes.connections_per_address,
        };
        Ok(Runtime(Arc::new(Inner { tokio: Some(tokio), capacity: Arc::new(capacity) })))
    }

    fn handle(&self) -> io::Result<&tokio::runtime::Handle> {
        // Only Drop takes the runtime out.
        self.0
            .tokio
            .as_ref()
            .map(tokio::runtime::Runtime::handle)
            .ok_or_else(|| io::Error::other("the runtime has ended"))
    }
}

/// What a listener needs to know.
pub struct Options {
    /// `host:port`; port 0 takes a free one, `[::]` listens on IPv4 as well.
    pub address: String,
    pub door: Door,
    /// `None` is plain HTTP: loopback behind a proxy.
    pub tls: Option<Arc<TlsHolder>>,
    pub handler: Arc<dyn Handler>,
    pub timeouts: Timeouts,
}

/// One listening socket and its connections. Dropping it cuts them; [`Listener::stop`] lets them finish.
pub struct Listener {
    local: SocketAddr,
    stage: watch::Sender<Stage>,
    alive: mpsc::Receiver<()>,
    runtime: Runtime,
}

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Serve,
    /// No new connections or requests; running ones are answered.
    Drain,
    Cut,
}

impl Listener {
    /// Binds and serves until stopped or dropped.
    ///
    /// # Errors
    /// The address does not resolve or cannot be bound.
    pub fn start(options: Options, runtime: &Runtime) -> io::Result<Listener> {
        let handle = runtime.handle()?;
        let _inside = handle.enter();
        let listener = bind(&options.address)?;
        let local = listener.local_addr()?;
        let (stage, watching) = watch::channel(Stage::Serve);
        let (keep, alive) = mpsc::channel(1);
        let shared = Arc::new(Shared {
            door: options.door,
            tls: options.tls,
            handler: options.handler,
            timeouts: options.timeouts,
            capacity: Arc::clone(&runtime.0.capacity),
        });
        handle.spawn(accept_loop(listener, shared, watching, keep));
        Ok(Listener { local, stage, alive, runtime: runtime.clone() })
    }

    /// The address in use, with the port that was really taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Takes no more connections, lets running requests finish for at most `grace`, then cuts what is left.
    /// Blocks; not to be called from a handler.
    pub fn stop(mut self, grace: Duration) {
        let Ok(handle) = self.runtime.handle() else { return };
        for (stage, patience) in [(Stage::Drain, grace), (Stage::Cut, Duration::from_secs(1))] {
            let _ = self.stage.send(stage);
            // The channel closes when the last connection has dropped its sender.
            if handle.block_on(async { tokio::time::timeout(patience, self.alive.recv()).await }).is_ok() {
                return;
            }
        }
    }
}

/// What the connections of one listener share.
struct Shared {
    door: Door,
    tls: Option<Arc<TlsHolder>>,
    handler: Arc<dyn Handler>,
    timeouts: Timeouts,
    capacity: Arc<Capacity>,
}

/// What the connections of all listeners share.
struct Capacity {
    connections: Arc<Semaphore>,
    crowded: Arc<Semaphore>,
    handlers: Arc<Semaphore>,
    body_memory: Arc<Semaphore>,
    addresses: Mutex<HashMap<IpAddr, usize>>,
    per_address: usize,
}

/// A connection's place under the caps, given back on drop.
struct Place {
    /// Beyond the connection cap: let in to be told 503.
    crowded: bool,
    _permit: OwnedSemaphorePermit,
    address: Option<(IpAddr, Arc<Capacity>)>,
}

impl Place {
    fn find(capacity: &Arc<Capacity>, door: Door, remote: SocketAddr) -> Option<Place> {
        let (permit, crowded) = match Arc::clone(&capacity.connections).try_acquire_owned() {
            Ok(permit) => (permit, false),
            Err(_) => (Arc::clone(&capacity.crowded).try_acquire_owned().ok()?, true),
        };
        if door == Door::Proxied {
            return Some(Place { crowded, _permit: permit, address: None });
        }
        let key = address_key(remote.ip());
        let mut addresses = capacity.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let count = addresses.entry(key).or_insert(0);
        if *count >= capacity.per_address {
            return None;
        }
        *count += 1;
        drop(addresses);
        Some(Place { crowded, _permit: permit, address: Some((key, Arc::clone(capacity))) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((key, capacity)) = &self.address else { return };
        let mut addresses = capacity.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = addresses.get_mut(key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                addresses.remove(key);
            }
        }
    }
}

/// One subscriber: an IPv4 address, or the /64 that an IPv6 host can pick addresses from at will.
fn address_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let s = v6.segments();
            IpAddr::V6(Ipv6Addr::new(s[0], s[1], s[2], s[3], 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

/// Binds the first address that `address` resolves to and that can be had. Must run inside the runtime.
fn bind(address: &str) -> io::Result<TcpListener> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{address} resolves to nothing"));
    for candidate in address.to_socket_addrs()? {
        match bind_one(candidate) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
        // A machine without IPv6 still gets its default listener.
        if candidate.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
            && !matches!(last.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
            && let Ok(listener) = bind_one(SocketAddr::from(([0, 0, 0, 0], candidate.port())))
        {
            return Ok(listener);
        }
    }
    Err(io::Error::new(last.kind(), format!("cannot listen on {address}: {last}")))
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        rustix::net::sockopt::set_ipv6_v6only(&socket, false)?;
    }
    // A restart must not wait for the old connections' TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts until told to stop; errors (out of files, aborted connections) are waited out, they never end the loop.
async fn accept_loop(
    listener: TcpListener,
    shared: Arc<Shared>,
    stage: watch::Receiver<Stage>,
    alive: mpsc::Sender<()>,
) {
    while let Some(accepted) = before(listener.accept(), reached(stage.clone(), Stage::Drain)).await {
        match accepted {
            Ok((stream, remote)) => admit(stream, remote, &shared, &stage, &alive),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections at the moment");
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        }
    }
}

fn admit(
    stream: TcpStream,
    remote: SocketAddr,
    shared: &Arc<Shared>,
    stage: &watch::Receiver<Stage>,
    alive: &mpsc::Sender<()>,
) {
    let Some(place) = Place::find(&shared.capacity, shared.door, remote) else {
        tracing::debug!(%remote, "connection refused: too many");
        return;
    };
    let (shared, stage, alive) = (Arc::clone(shared), stage.clone(), alive.clone());
    tokio::spawn(async move {
        let serve = connection::run(stream, remote, shared, place.crowded, reached(stage.clone(), Stage::Drain));
        before(serve, reached(stage, Stage::Cut)).await;
        drop((place, alive));
    });
}

/// Resolves when the listener has come to `stage`, or is gone.
async fn reached(mut watching: watch::Receiver<Stage>, stage: Stage) {
    let _ = watching.wait_for(|now| *now >= stage).await;
}

/// The outcome of `work`, or `None` if `end` comes first.
async fn before<T>(work: impl Future<Output = T>, end: impl Future) -> Option<T> {
    let (mut work, mut end) = (pin!(work), pin!(end));
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        end.as_mut().poll(cx).map(|_| None)
    })
    .await
}
