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
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// What is known of a connection, shared between its gate and its requests.
pub(super) struct Conn {
    pub(super) shared: Arc<Shared>,
    pub(super) remote: SocketAddr,
    /// Leaf of the TLS client, read once after the handshake (a resumed session brings it along).
    pub(super) certificate: Option<Vec<u8>>,
    /// Over the connection cap: every request is told 503.
    pub(super) crowded: bool,
    busy: AtomicBool,
    unread: AtomicBool,
    framing: AtomicU8,
}

impl Conn {
    /// From a request's head until its answer exists.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    pub(super) fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::Release);
    }

    /// The client is answered before it has sent everything.
    pub(super) fn leave_unread(&self) {
        self.unread.store(true, Ordering::Release);
    }

    /// The gate's word on the head that it lets through. One slot is enough: hyper calls the service before it reads on.
    pub(super) fn note(&self, framing: Framing) {
        self.framing.store(framing as u8, Ordering::Release);
    }

    pub(super) fn framing(&self) -> Framing {
        match self.framing.load(Ordering::Acquire) {
            n if n == Framing::Measured as u8 => Framing::Measured,
            n if n == Framing::Last as u8 => Framing::Last,
            _ => Framing::Ambiguous,
        }
    }
}

/// Serves `tcp` until either side ends it. When `drain` resolves, the running request is answered and no other taken.
pub(super) async fn run(tcp: TcpStream, remote: SocketAddr, shared: Arc<Shared>, crowded: bool, drain: impl Future<Output = ()>) {
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
    let (busy, unread, framing) = (AtomicBool::new(false), AtomicBool::new(false), AtomicU8::new(Framing::Measured as u8));
    let conn = Arc::new(Conn { shared, remote, certificate, crowded, busy, unread, framing });
    let mut gate = Gate::new(stream, Arc::clone(&conn));
    let mut drain = pin!(drain);

    // hyper and its buffers come only with the first head.
    match super::before(poll_fn(|cx| gate.poll_head(cx)), drain.as_mut()).await {
        Some(Ok(())) if !gate.is_closed() => {}
        Some(Err(_)) => return,
        Some(Ok(())) | None => return gate.finish(false).await,
    }
    let (gate, failed) = requests(gate, &conn, drain).await;
    gate.finish(failed || conn.unread.load(Ordering::Acquire)).await;
}

/// Lets hyper serve the connection's requests; gives the gate back with whether it ended in an error.
async fn requests(gate: Gate, conn: &Arc<Conn>, mut drain: Pin<&mut impl Future<Output = ()>>) -> (Gate, bool) {
    let service = hyper::service::service_fn(|request| Box::pin(serve::answer(conn, request)));
    let mut http = hyper::server::conn::http1::Builder::new()
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .header_read_timeout(None) // the gate's
        .serve_connection(gate, service);
    let mut draining = false;
    let ended = poll_fn(|cx| {
        if !draining && drain.as_mut().poll(cx).is_ready() {
            draining = true;
            Pin::new(&mut http).graceful_shutdown();
        }
        http.poll_without_shutdown(cx)
    })
    .await;
    if let Err(error) = &ended {
        tracing::debug!(remote = %conn.remote, %error, "connection ended early");
    }
    (http.into_parts().io, ended.is_err())
}
