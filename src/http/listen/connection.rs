//! One connection from its handshake to its last byte.
//!
//! Spawned by the accept loop. Deliberately not here: bytes and timers (`gate`), bodies and handlers (`serve`).

use super::Shared;
use super::gate::{Framing, Gate, Stream};
use super::serve;
use crate::base::limits::{MAX_HEAD, MAX_HEADERS};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::Poll;
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant, sleep};
use tokio_rustls::TlsAcceptor;

/// A connection without a request for this long gives up hyper and its buffers, and waits with little more than its TLS state. Longer
/// than a busy device takes from an answer to its next report: it need not pay for setting hyper up each time.
const PARK_AFTER: Duration = Duration::from_millis(100);

/// What is known of a connection, shared between its gate and its requests.
pub(super) struct Conn {
    pub(super) shared: Arc<Shared>,
    pub(super) remote: SocketAddr,
    /// Leaf of the TLS client, read once after the handshake (a resumed session brings it along).
    pub(super) certificate: Option<Vec<u8>>,
    /// Over the connection cap: every request is told 503.
    pub(super) crowded: bool,
    busy: AtomicBool,
    between: AtomicBool,
    unread: AtomicBool,
    framing: AtomicU8,
}

impl Conn {
    /// From a request's head until hyper has all of its answer.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    pub(super) fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::Release);
    }

    /// One answer has left wholly and the next head has not been let through: hyper holds nothing.
    pub(super) fn set_between(&self) {
        self.between.store(true, Ordering::Release);
    }

    /// The client is answered before it has sent everything.
    pub(super) fn leave_unread(&self) {
        self.unread.store(true, Ordering::Release);
    }

    /// The gate's word on the head that it lets through. One slot is enough: hyper has one head at a time.
    pub(super) fn note(&self, framing: Framing) {
        self.between.store(false, Ordering::Release);
        self.framing.store(framing as u8, Ordering::Release);
    }

    /// Whether hyper has a head for which it has not called the service yet. It may read one while it still answers the last.
    pub(super) fn has_head_waiting(&self) -> bool {
        self.framing.load(Ordering::Acquire) != TAKEN
    }

    pub(super) fn take_framing(&self) -> Framing {
        match self.framing.swap(TAKEN, Ordering::AcqRel) {
            n if n == Framing::Measured as u8 => Framing::Measured,
            n if n == Framing::Last as u8 => Framing::Last,
            _ => Framing::Ambiguous,
        }
    }
}

/// No head is waiting for its service call.
const TAKEN: u8 = u8::MAX;

/// Serves `tcp` until either side ends it. When `drain` resolves, the running request is answered and no other taken.
pub(super) async fn run(
    tcp: TcpStream,
    remote: SocketAddr,
    shared: Arc<Shared>,
    crowded: bool,
    drain: impl Future<Output = ()>,
) {
    // Answers are small and written whole: waiting to fill a segment only delays them.
    let _ = tcp.set_nodelay(true);
    let mut certificate = None;
    let stream: Box<dyn Stream> = match &shared.tls {
        None => Box::new(tcp),
        Some(holder) => {
            let accept = TlsAcceptor::from(holder.current()).accept(tcp);
            // Boxed: the handshake's state would otherwise stay part of every idle connection.
            match tokio::time::timeout(shared.timeouts.handshake, Box::pin(accept)).await {
                Ok(Ok(tls)) => {
                    let peer = tls.get_ref().1.peer_certificates();
                    certificate = peer.and_then(|chain| chain.first()).map(|leaf| leaf.to_vec());
                    Box::new(tls)
                }
                Ok(Err(error)) => return tracing::debug!(%remote, %error, "TLS handshake failed"),
                Err(_) => return tracing::debug!(%remote, "TLS handshake took too long"),
            }
        }
    };
    let conn = Arc::new(Conn {
        shared,
        remote,
        certificate,
        crowded,
        busy: AtomicBool::new(false),
        between: AtomicBool::new(false),
        unread: AtomicBool::new(false),
        framing: AtomicU8::new(TAKEN),
    });
    let mut gate = Gate::new(stream, Arc::clone(&conn));
    let mut drain = pin!(drain);
    loop {
        // hyper and its buffers come only with a head: most connections are idle most of the time.
        match super::before(poll_fn(|cx| gate.poll_head(cx)), drain.as_mut()).await {
            Some(Ok(())) if !gate.is_closed() => {}
            Some(Err(_)) => return,
            Some(Ok(())) | None => return gate.finish(false).await,
        }
        let end;
        // Boxed for the same reason as the handshake.
        (gate, end) = Box::pin(requests(gate, &conn, drain.as_mut())).await;
        match end {
            End::Parked => {}
            End::Closed => return gate.finish(conn.unread.load(Ordering::Acquire)).await,
            End::Failed => return gate.finish(true).await,
        }
    }
}

/// Why hyper is done.
enum End {
    /// Nothing has been under way for a while; it is made anew for the next request.
    Parked,
    Closed,
    Failed,
}

/// Lets hyper serve for as long as requests follow each other, and gives the gate back.
async fn requests(gate: Gate, conn: &Arc<Conn>, mut drain: Pin<&mut impl Future<Output = ()>>) -> (Gate, End) {
    let service = hyper::service::service_fn(|request| Box::pin(serve::answer(conn, request)));
    let mut http = hyper::server::conn::http1::Builder::new()
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .header_read_timeout(None) // the gate's
        .serve_connection(gate, service);
    let mut draining = false;
    let (mut idle_since, mut park) = (None, pin!(sleep(PARK_AFTER)));
    let end = poll_fn(|cx| {
        if !draining && drain.as_mut().poll(cx).is_ready() {
            draining = true;
            Pin::new(&mut http).graceful_shutdown();
        }
        match http.poll_without_shutdown(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(End::Closed),
            Poll::Ready(Err(error)) => {
                tracing::debug!(remote = %conn.remote, %error, "connection ended early");
                Poll::Ready(End::Failed)
            }
            // While draining hyper ends by itself, and `drain` must not be polled again.
            Poll::Pending if !draining && conn.between.load(Ordering::Acquire) => {
                let until = *idle_since.get_or_insert_with(Instant::now) + PARK_AFTER;
                // The timer may have been set for an earlier pause; it is moved only when it goes off, not with every request.
                while park.as_mut().poll(cx).is_ready() {
                    if Instant::now() >= until {
                        return Poll::Ready(End::Parked);
                    }
                    park.as_mut().reset(until);
                }
                Poll::Pending
            }
            Poll::Pending => {
                idle_since = None;
                Poll::Pending
            }
        }
    })
    .await;
    let parts = http.into_parts();
    // The gate lets nothing past a request's end, so there is nothing that could be lost here.
    debug_assert!(parts.read_buf.is_empty() || !matches!(end, End::Parked));
    (parts.io, end)
}
