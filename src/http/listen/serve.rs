//! One request: its body is read within every bound, then a handler thread answers it.
//!
//! Called by hyper for each head. Whatever is refused here before the body has been read closes the connection.

use super::BUDGET_UNIT;
use super::connection::Conn;
use super::gate::Framing;
use crate::http::message::{Body, BodyLimit, Head, Remote, Request, Response, next_request_id};
use ::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

/// Of each body so much is not counted: check-ins must get in while uploads wait for memory.
const FREE_BODY: usize = 16 * 1024;
/// Memory is asked for in steps of this.
const BUDGET_STEP: usize = 64 * 1024;

/// Must be called, not only polled, as soon as hyper has a head: the gate's word on it is taken here, before hyper reads on.
pub(super) fn answer(
    conn: &Arc<Conn>,
    request: hyper::Request<Incoming>,
) -> impl Future<Output = Result<hyper::Response<Answer>, Infallible>> + use<> {
    let framing = conn.take_framing();
    conn.set_busy(true);
    respond(Busy(Arc::clone(conn)), framing, request)
}

async fn respond(
    busy: Busy,
    framing: Framing,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Answer>, Infallible> {
    let conn = &busy.0;
    let mut last = framing != Framing::Measured;
    let response = match receive(conn, framing, request).await {
        Ok((request, memory)) => run(conn, request, memory).await,
        Err(refusal) => {
            last = true;
            conn.leave_unread();
            refusal.response()
        }
    };
    Ok(to_hyper(response, last, busy))
}

/// While it lives, its connection is at work on a request.
struct Busy(Arc<Conn>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.set_busy(false);
    }
}

/// The body of an answer. hyper drops it when it has taken all of it, and with that the connection is no longer busy.
pub(super) struct Answer {
    bytes: Full<Bytes>,
    _busy: Busy,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.get_mut().bytes).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.bytes.size_hint()
    }
}

/// Why a request never reached its handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Ambiguous,
    /// CONNECT: we are nobody's proxy, and hyper would treat a 2xx as a tunnel.
    Tunnel,
    TooLarge,
    Slow,
    /// The client went away in the middle or sent broken chunks.
    Broken,
    Crowded,
}

impl Refusal {
    fn response(self) -> Response {
        match self {
            Refusal::Ambiguous => Response::text(400, "the head says in two ways where the body ends\n"),
            Refusal::Tunnel => Response::text(405, "not a proxy\n"),
            Refusal::TooLarge => Response::text(413, "the body is too large\n"),
            Refusal::Slow => Response::text(408, "the body came too slowly\n"),
            Refusal::Broken => Response::text(400, "the body is not complete\n"),
            Refusal::Crowded => crowded(),
        }
    }
}

fn crowded() -> Response {
    Response::text(503, "too busy at the moment\n").with_header("retry-after", "10")
}

/// Makes a whole request out of a head and the bytes to come.
async fn receive(
    conn: &Conn,
    framing: Framing,
    request: hyper::Request<Incoming>,
) -> Result<(Request, Memory), Refusal> {
    let (parts, body) = request.into_parts();
    let head = Head {
        id: next_request_id(),
        door: conn.shared.door,
        remote: Remote::Tcp(conn.remote),
        method: &parts.method,
        path: parts.uri.path(),
        query: parts.uri.query(),
        headers: &parts.headers,
        peer_certificate: conn.certificate.as_deref(),
    };
    if framing == Framing::Ambiguous {
        return Err(Refusal::Ambiguous);
    }
    if conn.crowded {
        return Err(Refusal::Crowded);
    }
    if parts.method == Method::CONNECT {
        return Err(Refusal::Tunnel);
    }
    let limit = conn.shared.handler.body_limit(&head);
    let (body, memory) = read_body(conn, body, limit).await.inspect_err(|refusal| {
        tracing::debug!(id = head.id, remote = %conn.remote, ?refusal, "body refused");
    })?;
    Ok((head.with_body(body), memory))
}

async fn read_body(conn: &Conn, mut incoming: Incoming, limit: BodyLimit) -> Result<(Body, Memory), Refusal> {
    let timeouts = &conn.shared.timeouts;
    let mut memory = Memory { permit: None };
    let declared = incoming.size_hint().exact().map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    if declared.is_some_and(|n| n > limit.hard) {
        return Err(Refusal::TooLarge);
    }
    let mut bytes = Vec::with_capacity(declared.unwrap_or(0).min(FREE_BODY));
    let mut pace = Pace {
        since: Instant::now(),
        stall: timeouts.body_stall,
        min_rate: timeouts.body_min_rate,
        max: timeouts.body_max,
    };
    loop {
        let frame = match timeout(pace.patience(), incoming.frame()).await {
            Ok(None) => break,
            Ok(Some(frame)) => frame.map_err(|_| Refusal::Broken)?,
            Err(_) => return Err(Refusal::Slow),
        };
        let Ok(data) = frame.into_data() else { continue };
        let total = bytes.len().saturating_add(data.len());
        if total > limit.hard {
            return Err(Refusal::TooLarge);
        }
        let before = Instant::now();
        memory.grow(conn, total).await?;
        // Waiting for our memory is not the client's slowness.
        pace.since += before.elapsed();
        bytes.extend_from_slice(&data);
        if pace.is_too_slow(bytes.len()) {
            return Err(Refusal::Slow);
        }
    }
    // hyper ends a declared body only at its length; this holds even if that changed.
    if declared.is_some_and(|n| n != bytes.len()) {
        return Err(Refusal::Broken);
    }
    let oversized = bytes.len() > limit.soft;
    Ok((Body { bytes, oversized }, memory))
}

/// How fast a body must come.
struct Pace {
    since: Instant,
    stall: std::time::Duration,
    min_rate: usize,
    max: std::time::Duration,
}

impl Pace {
    fn patience(&self) -> std::time::Duration {
        self.stall.min(self.max.saturating_sub(self.since.elapsed()))
    }

    fn is_too_slow(&self, received: usize) -> bool {
        let elapsed = self.since.elapsed();
        elapsed > self.max || (elapsed > self.stall && (received as f64) < self.min_rate as f64 * elapsed.as_secs_f64())
    }
}

/// A body's share of the memory that all bodies together may take; given back on drop.
struct Memory {
    permit: Option<OwnedSemaphorePermit>,
}

impl Memory {
    async fn grow(&mut self, conn: &Conn, total: usize) -> Result<(), Refusal> {
        let wanted = total.saturating_sub(FREE_BODY).next_multiple_of(BUDGET_STEP) / BUDGET_UNIT;
        let held = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        if wanted <= held {
            return Ok(());
        }
        let more = u32::try_from(wanted - held).map_err(|_| Refusal::TooLarge)?;
        let budget = Arc::clone(&conn.shared.capacity.body_memory);
        let permit = timeout(conn.shared.timeouts.body_stall, budget.acquire_many_owned(more)).await;
        let permit = permit.ok().and_then(Result::ok).ok_or(Refusal::Crowded)?;
        match &mut self.permit {
            Some(held) => held.merge(permit),
            none => *none = Some(permit),
        }
        Ok(())
    }
}

/// Runs the handler on a thread of its own, as soon as one is free.
async fn run(conn: &Conn, request: Request, memory: Memory) -> Response {
    let shared = &conn.shared;
    let free = timeout(shared.timeouts.handler_wait, Arc::clone(&shared.capacity.handlers).acquire_owned()).await;
    let Some(permit) = free.ok().and_then(Result::ok) else { return crowded() };
    let (id, handler) = (request.id, Arc::clone(&shared.handler));
    let ran = tokio::task::spawn_blocking(move || {
        let response = handler.handle(request);
        // Both are held until the work is done, even when the client has gone and nobody waits for it.
        drop((permit, memory));
        response
    });
    match ran.await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(id, %error, "a handler panicked");
            Response::text(500, "internal error\n")
        }
    }
}

fn to_hyper(response: Response, last: bool, busy: Busy) -> hyper::Response<Answer> {
    // Wiped when it has gone: it may be a command, a profile or a secret that somebody asked to see.
    let bytes = Bytes::from_owner(Zeroizing::new(response.body));
    let mut out = hyper::Response::new(Answer { bytes: Full::new(bytes), _busy: busy });
    *out.status_mut() = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in response.headers {
        match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value)) {
            (Ok(name), Ok(value)) => {
                out.headers_mut().append(name, value);
            }
            _ => tracing::warn!(name, "a header that cannot be sent was left out"),
        }
    }
    if last {
        out.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    out
}
