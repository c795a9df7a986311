//! Sockets of the stand-in: accept, TLS with a client certificate, HTTP/2, and the ways in which a server says good-bye.
//!
//! Runs on the stand-in's thread. One task per connection, none per push unless its body or answer has to wait.
//! Deliberately not here: what is answered.

use super::certificates::{Authority, topic_of};
use super::registry::{Answer, Registry};
use super::rules::judge;
use crate::base::time::Clock;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{Request, Response};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, ServerConfig};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_rustls::TlsAcceptor;

/// A push body that is read at all; one byte above Apple's limit would do.
const MAX_BODY: usize = 16 * 1024;
/// Room for the small DATA frames of a whole window of pushes.
const DATA_FRAME_BUDGET: usize = 8 * 1024 * 1024;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What the stand-in's methods tell the listening task.
pub(super) enum Order {
    Down(mpsc::Sender<io::Result<()>>),
    Up(SocketAddr, mpsc::Sender<io::Result<()>>),
    Stop,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Parting {
    Graceful,
    Abrupt,
    Cut,
}

/// What the thread and the stand-in's methods share.
pub(super) struct Shared {
    pub(super) clock: Arc<dyn Clock>,
    registry: Mutex<Registry>,
    controls: Mutex<Vec<Weak<Control>>>,
    pub(super) accept_all: AtomicBool,
    pub(super) max_streams: AtomicU32,
    pub(super) delay: Mutex<Duration>,
    pub(super) resets: AtomicUsize,
}

impl Shared {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            registry: Mutex::default(),
            controls: Mutex::default(),
            accept_all: AtomicBool::new(false),
            // What Apple grants a connection with a certificate.
            max_streams: AtomicU32::new(1_000),
            delay: Mutex::default(),
            resets: AtomicUsize::new(0),
        }
    }

    pub(super) fn registry(&self) -> MutexGuard<'_, Registry> {
        lock(&self.registry)
    }

    /// Ends every open connection so.
    pub(super) fn part(&self, how: Parting) {
        for control in lock(&self.controls).iter().filter_map(Weak::upgrade) {
            *lock(&control.parting) = Some(how);
            if let Some(task) = lock(&control.task).take() {
                task.wake();
            }
        }
    }

    fn control(&self) -> Arc<Control> {
        let control = Arc::<Control>::default();
        let mut controls = lock(&self.controls);
        controls.retain(|c| c.strong_count() > 0);
        controls.push(Arc::downgrade(&control));
        control
    }

    fn takes_reset(&self) -> bool {
        self.resets.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reaches one connection's task from outside.
#[derive(Default)]
struct Control {
    parting: Mutex<Option<Parting>>,
    task: Mutex<Option<Waker>>,
    in_flight: AtomicUsize,
}

/// TLS asks for a client certificate of the stand-in's CA and offers nothing but HTTP/2.
pub(super) fn tls(authority: &Authority, clock: Arc<dyn Clock>) -> io::Result<TlsAcceptor> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.der())).map_err(io::Error::other)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let (certificate, key) = authority.server_certificate()?;
    let mut config = ServerConfig::builder_with_details(provider, Arc::new(ClockTime(clock)))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_client_cert_verifier(verifier.build().map_err(io::Error::other)?)
        .with_single_cert(vec![CertificateDer::from(certificate)], PrivatePkcs8KeyDer::from(key).into())
        .map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Certificate dates are judged by the same clock as expirations.
struct ClockTime(Arc<dyn Clock>);

impl std::fmt::Debug for ClockTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClockTime")
    }
}

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        let millis = u64::try_from(self.0.now().0).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_millis(millis)))
    }
}

enum Event {
    Order(Option<Order>),
    Accepted(io::Result<TcpStream>),
}

/// Accepts until told to stop. Connections end with the runtime.
pub(super) async fn run(
    listener: std::net::TcpListener,
    tls: TlsAcceptor,
    shared: Arc<Shared>,
    mut orders: UnboundedReceiver<Order>,
) {
    let mut listener = TcpListener::from_std(listener).ok();
    loop {
        let next = poll_fn(|cx| {
            if let Poll::Ready(order) = orders.poll_recv(cx) {
                return Poll::Ready(Event::Order(order));
            }
            match &listener {
                Some(listener) => listener.poll_accept(cx).map(|r| Event::Accepted(r.map(|(tcp, _)| tcp))),
                None => Poll::Pending,
            }
        });
        match next.await {
            Event::Order(None | Some(Order::Stop)) => return,
            Event::Order(Some(Order::Down(done))) => {
                listener = None;
                shared.part(Parting::Cut);
                let _ = done.send(Ok(()));
            }
            Event::Order(Some(Order::Up(address, done))) => {
                let opened = TcpListener::bind(address).await;
                let _ = done.send(opened.map(|l| listener = Some(l)));
            }
            Event::Accepted(Ok(tcp)) => {
                tokio::spawn(serve(tcp, tls.clone(), shared.clone()));
            }
            // Out of descriptors, most likely: a pause, or this loop would spin.
            Event::Accepted(Err(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn serve(tcp: TcpStream, tls: TlsAcceptor, shared: Arc<Shared>) {
    let control = shared.control();
    let Ok(Some((connection, topic))) = tokio::time::timeout(HANDSHAKE_TIMEOUT, greet(tcp, tls, &shared)).await else {
        shared.registry().counts.failed_handshakes += 1;
        return;
    };
    shared.registry().counts.connections += 1;
    let topic: Arc<str> = topic.into();
    let mut connection = Some(connection);
    let mut batch = Vec::new();
    poll_fn(|cx| turn(&mut connection, cx, &mut batch, &shared, &control, &topic)).await;
}

type Connection = h2::server::Connection<tokio_rustls::server::TlsStream<TcpStream>, Bytes>;

async fn greet(tcp: TcpStream, tls: TlsAcceptor, shared: &Shared) -> Option<(Connection, String)> {
    tcp.set_nodelay(true).ok()?;
    let stream = tls.accept(tcp).await.ok()?;
    let session = stream.get_ref().1;
    if session.alpn_protocol() != Some(b"h2".as_slice()) {
        return None;
    }
    let topic = topic_of(session.peer_certificates()?.first()?)?;
    let connection = h2::server::Builder::new()
        .max_concurrent_streams(shared.max_streams.load(Ordering::Relaxed))
        .initial_connection_window_size(4 * 1024 * 1024)
        .data_frame_budget(DATA_FRAME_BUDGET)
        .handshake(stream)
        .await
        .ok()?;
    Some((connection, topic))
}

/// Takes all requests that have come, then answers them, so that many answers leave in one write. Ready when it is over.
fn turn(
    slot: &mut Option<Connection>,
    cx: &mut Context<'_>,
    batch: &mut Vec<(Request<RecvStream>, SendResponse<Bytes>)>,
    shared: &Arc<Shared>,
    control: &Arc<Control>,
    topic: &Arc<str>,
) -> Poll<()> {
    let Some(connection) = slot else { return Poll::Ready(()) };
    *lock(&control.task) = Some(cx.waker().clone());
    match lock(&control.parting).take() {
        Some(Parting::Graceful) => connection.graceful_shutdown(),
        Some(Parting::Abrupt) => connection.abrupt_shutdown(Reason::INTERNAL_ERROR),
        Some(Parting::Cut) => {
            *slot = None;
            return Poll::Ready(());
        }
        None => (),
    }
    loop {
        loop {
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok(request))) => batch.push(request),
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        if batch.is_empty() {
            return Poll::Pending;
        }
        let in_flight = control.in_flight.fetch_add(batch.len(), Ordering::Relaxed) + batch.len();
        {
            let counts = &mut shared.registry().counts;
            counts.peak_in_flight = counts.peak_in_flight.max(in_flight);
        }
        for (request, respond) in batch.drain(..) {
            take(request, respond, shared, control, topic);
        }
    }
}

/// Serves one push; by a task of its own only if something has to wait.
fn take(
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    shared: &Arc<Shared>,
    control: &Arc<Control>,
    topic: &Arc<str>,
) {
    let (head, mut body) = request.into_parts();
    let mut bytes = Vec::new();
    let mut push = Push { respond, shared: shared.clone(), control: control.clone() };
    // The body nearly always came with its headers.
    let at_once = pin!(read(&mut body, &mut bytes)).poll(&mut Context::from_waker(Waker::noop()));
    let delay = *lock(&shared.delay);
    match at_once {
        Poll::Ready(read) if delay.is_zero() => {
            let answer = push.take(&head, read.then_some(&bytes), topic);
            push.answer(answer);
        }
        _ => {
            let topic = topic.clone();
            tokio::spawn(async move {
                let read = read(&mut body, &mut bytes).await;
                let answer = push.take(&head, read.then_some(&bytes), &topic);
                tokio::time::sleep(delay).await;
                push.answer(answer);
            });
        }
    }
}

/// Appends the rest of the body; false if it was cut off. Reads no more than [`MAX_BODY`], which is too much anyway.
async fn read(body: &mut RecvStream, bytes: &mut Vec<u8>) -> bool {
    while let Some(chunk) = body.data().await {
        let Ok(chunk) = chunk else { return false };
        bytes.extend_from_slice(&chunk);
        if body.flow_control().release_capacity(chunk.len()).is_err() || bytes.len() > MAX_BODY {
            break;
        }
    }
    true
}

struct Push {
    respond: SendResponse<Bytes>,
    shared: Arc<Shared>,
    control: Arc<Control>,
}

impl Push {
    /// Judges and delivers; `body` is `None` if it never came. No answer where the sender gets none.
    fn take(
        &mut self,
        head: &http::request::Parts,
        body: Option<&Vec<u8>>,
        topic: &str,
    ) -> Option<(Response<()>, Answer)> {
        let body = body?;
        if self.shared.takes_reset() {
            self.respond.send_reset(Reason::INTERNAL_ERROR);
            return None;
        }
        let mut response = Response::new(());
        if self.shared.accept_all.load(Ordering::Relaxed) {
            let counts = &mut self.shared.registry().counts;
            counts.pushes += 1;
            counts.accepted += 1;
            return Some((response, Answer::Ok));
        }
        let now = self.shared.clock.now();
        let request = judge(head, body, topic, now);
        let verdict = self.shared.registry().take(request, now);
        if let Some((on_push, push)) = verdict.delivery {
            on_push(push);
        }
        if let Some(id) = head.headers.get("apns-id") {
            response.headers_mut().insert("apns-id", id.clone());
        }
        Some((response, verdict.answer))
    }

    fn answer(&mut self, answer: Option<(Response<()>, Answer)>) {
        self.control.in_flight.fetch_sub(1, Ordering::Relaxed);
        let Some((response, answer)) = answer else { return };
        if let Answer::Refused { status, reason, timestamp_ms } = answer {
            return self.refuse(response, status, &reason, timestamp_ms);
        }
        // Fails only if the stream or its connection is gone.
        let _ = self.respond.send_response(response, true);
    }

    fn refuse(&mut self, mut response: Response<()>, status: u16, reason: &str, timestamp_ms: Option<i64>) {
        *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
        let body = match timestamp_ms {
            Some(at) => serde_json::json!({ "reason": reason, "timestamp": at }),
            None => serde_json::json!({ "reason": reason }),
        };
        if let Ok(mut stream) = self.respond.send_response(response, false) {
            let _ = stream.send_data(Bytes::from(body.to_string()), true);
        }
    }
}
