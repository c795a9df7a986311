//! The gate between a connection's bytes and hyper: it collects each request head whole, under the clock, before hyper sees any of it.
//!
//! Why: hyper silently prefers `Transfer-Encoding` when a head carries `Content-Length` too (request smuggling behind a proxy), and an
//! idle connection needs none of its buffers. Framing of bodies and everything else about HTTP stays hyper's.

use super::connection::Conn;
use crate::base::limits::MAX_HEAD;
use bytes::{Buf, BytesMut};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep, timeout};

/// A connection, with TLS or without.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What a refused client may still send while it is being told so.
const LINGER_BYTES: usize = 64 * 1024 * 1024;

/// What a head says about the body behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Its length is known, and so is where the next head begins.
    Measured,
    /// Chunked, or for hyper to refuse: no further request is taken on this connection, so nobody needs to find its end.
    Last,
    /// Two ways to find the end of the body: whichever we took, a proxy could have taken the other.
    Ambiguous,
}

enum Phase {
    /// Collecting a head. `scanned` bytes are known not to end one.
    Head { scanned: usize },
    /// Handing a head and its body over; `left` bytes until the next head.
    Pass { left: u64 },
    /// Handing over whatever comes.
    Rest,
}

pub(super) struct Gate {
    stream: Box<dyn Stream>,
    conn: Arc<Conn>,
    buffer: BytesMut,
    phase: Phase,
    /// When the head in `buffer` began.
    head_since: Option<Instant>,
    last_activity: Instant,
    blocked_since: Option<Instant>,
    lagging_since: Option<Instant>,
    read_timer: Timer,
    write_timer: Timer,
    /// Nothing more is read: the peer has ended, or its time has.
    closed: bool,
    slow_head: bool,
    /// The peer takes no answer: nothing more is worth sending.
    abandoned: bool,
}

impl Gate {
    pub(super) fn new(stream: Box<dyn Stream>, conn: Arc<Conn>) -> Self {
        let now = Instant::now();
        Gate {
            stream,
            conn,
            buffer: BytesMut::new(),
            phase: Phase::Head { scanned: 0 },
            head_since: Some(now),
            last_activity: now,
            blocked_since: None,
            lagging_since: None,
            read_timer: Timer(None),
            write_timer: Timer(None),
            closed: false,
            slow_head: false,
            abandoned: false,
        }
    }

    /// Whether no request can come any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Ready when a whole head waits for hyper, or none will come.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Phase::Pass { left: 0 } = self.phase {
                self.phase = Phase::Head { scanned: 0 };
            }
            let Phase::Head { scanned } = &mut self.phase else { return Poll::Ready(Ok(())) };
            if let Some(end) = head_end(&self.buffer, *scanned) {
                self.open(end);
                return Poll::Ready(Ok(()));
            }
            *scanned = self.buffer.len();
            if self.buffer.len() >= MAX_HEAD {
                // hyper has the same limit and answers 431.
                self.phase = Phase::Rest;
                return Poll::Ready(Ok(()));
            }
            let mut chunk = [0; 4096];
            let mut read = ReadBuf::new(&mut chunk);
            match Pin::new(&mut self.stream).poll_read(cx, &mut read) {
                Poll::Ready(Ok(())) if read.filled().is_empty() => return self.close(),
                Poll::Ready(Ok(())) => self.buffer.extend_from_slice(read.filled()),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    ready!(self.poll_head_deadline(cx));
                    self.slow_head = !self.buffer.is_empty();
                    return self.close();
                }
            }
        }
    }

    /// No byte at the moment: is there still time for one?
    fn poll_head_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // While the last request is being answered the client may well be silent.
        if self.conn.is_busy() || self.blocked_since.is_some() {
            return Poll::Pending;
        }
        if self.head_since.is_none() && !self.buffer.is_empty() {
            self.head_since = Some(Instant::now());
        }
        let timeouts = &self.conn.shared.timeouts;
        let deadline = match self.head_since {
            Some(since) => since + timeouts.head,
            None => self.last_activity + timeouts.keep_alive,
        };
        self.read_timer.poll_at(deadline, cx)
    }

    fn close(&mut self) -> Poll<io::Result<()>> {
        self.closed = true;
        Poll::Ready(Ok(()))
    }

    /// Lets the head that ends at `end` through, and notes what hyper would not tell.
    fn open(&mut self, end: usize) {
        let (framing, body) = framing(&self.buffer[..end]);
        self.conn.note(framing);
        self.head_since = None;
        self.phase = match framing {
            Framing::Measured => Phase::Pass { left: body.saturating_add(end as u64) },
            Framing::Last | Framing::Ambiguous => Phase::Rest,
        };
    }

    fn took(&mut self, bytes: usize) {
        self.last_activity = Instant::now();
        if let Phase::Pass { left } = &mut self.phase {
            *left = left.saturating_sub(bytes as u64);
        }
    }

    fn wrote(&mut self) {
        self.last_activity = Instant::now();
        self.blocked_since = None;
    }

    /// The client takes nothing at the moment: is it still worth waiting for?
    fn poll_answer_patience<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let now = Instant::now();
        let blocked = *self.blocked_since.get_or_insert(now);
        let lagging = *self.lagging_since.get_or_insert(now);
        let timeouts = &self.conn.shared.timeouts;
        let deadline = (blocked + timeouts.answer_stall).min(lagging + timeouts.answer_max);
        ready!(self.write_timer.poll_at(deadline, cx));
        self.abandoned = true;
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer")))
    }

    /// Ends the connection. With `unread` bytes on their way a plain close would become a reset that
    /// overtakes the answer, so they are taken and dropped for a while.
    pub(super) async fn finish(mut self, unread: bool) {
        if self.abandoned {
            return;
        }
        let linger = self.conn.shared.timeouts.linger;
        if self.slow_head {
            let answer = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            let _ = timeout(linger, self.stream.write_all(answer)).await;
        }
        let _ = timeout(linger, self.stream.shutdown()).await;
        if !unread {
            return;
        }
        let drain = async {
            let (mut chunk, mut total) = ([0; 4096], 0);
            while let Ok(n @ 1..) = self.stream.read(&mut chunk).await {
                total += n;
                if total > LINGER_BYTES {
                    break;
                }
            }
        };
        let _ = timeout(linger, drain).await;
    }
}

impl hyper::rt::Read for Gate {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut out: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let gate = self.get_mut();
        loop {
            if gate.closed {
                return Poll::Ready(Ok(()));
            }
            let left = match gate.phase {
                Phase::Head { .. } | Phase::Pass { left: 0 } => {
                    ready!(gate.poll_head(cx))?;
                    continue;
                }
                Phase::Pass { left } => usize::try_from(left).unwrap_or(usize::MAX),
                Phase::Rest => usize::MAX,
            };
            let room = left.min(out.remaining());
            if !gate.buffer.is_empty() {
                let n = room.min(gate.buffer.len());
                out.put_slice(&gate.buffer[..n]);
                gate.buffer.advance(n);
                if gate.buffer.is_empty() {
                    gate.buffer = BytesMut::new();
                }
                gate.took(n);
                return Poll::Ready(Ok(()));
            }
            let mut chunk = [0; 16 * 1024];
            let room = room.min(chunk.len());
            let mut read = ReadBuf::new(&mut chunk[..room]);
            ready!(Pin::new(&mut gate.stream).poll_read(cx, &mut read))?;
            out.put_slice(read.filled());
            gate.closed = read.filled().is_empty() && room > 0;
            gate.took(read.filled().len());
            return Poll::Ready(Ok(()));
        }
    }
}

impl hyper::rt::Write for Gate {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let gate = self.get_mut();
        match Pin::new(&mut gate.stream).poll_write_vectored(cx, bytes) {
            Poll::Pending => gate.poll_answer_patience(cx),
            done => {
                gate.wrote();
                done
            }
        }
    }

    /// Always: otherwise hyper copies each answer into a buffer that an idle connection would keep.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gate = self.get_mut();
        match Pin::new(&mut gate.stream).poll_flush(cx) {
            Poll::Pending => gate.poll_answer_patience(cx),
            done => {
                gate.blocked_since = None;
                gate.lagging_since = None;
                // hyper flushes with its own buffer empty, and the answer's body is gone when the connection is no longer
                // busy: all of it has left, and the next head has not begun to pass.
                let boundary = matches!(gate.phase, Phase::Head { .. } | Phase::Pass { left: 0 });
                if boundary && !gate.conn.is_busy() && !gate.conn.has_head_waiting() {
                    gate.conn.set_between();
                }
                done
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// A timer that is made when first needed and moved when its deadline moves.
struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    fn poll_at(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(cx)
    }
}

/// Where the head ends: behind its first empty line. Empty lines before it are skipped, as hyper's parser does.
/// The first `scanned` bytes need not be looked at again.
fn head_end(bytes: &[u8], scanned: usize) -> Option<usize> {
    let start = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n'))?;
    for at in start.max(scanned.saturating_sub(2))..bytes.len() {
        if bytes[at] != b'\n' {
            continue;
        }
        match &bytes[at + 1..] {
            [b'\n', ..] => return Some(at + 2),
            [b'\r', b'\n', ..] => return Some(at + 3),
            _ => {}
        }
    }
    None
}

/// Reads the two headers that say where the body ends, and the body's length if it is known.
/// Anything malformed is left to hyper, which refuses it.
fn framing(head: &[u8]) -> (Framing, u64) {
    let (mut lengths, mut encodings, mut length) = (0, 0, Some(0));
    for line in head.split(|b| *b == b'\n') {
        let mut parts = line.splitn(2, |b| *b == b':');
        let name = parts.next().unwrap_or_default().trim_ascii();
        let value = parts.next().unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            lengths += 1;
            length = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            encodings += 1;
        }
    }
    match (lengths, encodings, length) {
        (0 | 1, 0, Some(length)) => (Framing::Measured, length),
        (0, 1, _) | (1, 0, None) => (Framing::Last, 0),
        _ => (Framing::Ambiguous, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_end_of_a_head_however_it_is_cut() {
        let cases: [(&[u8], Option<usize>); 7] = [
            (b"GET / HTTP/1.1\r\n\r\nbody", Some(18)),
            (b"GET / HTTP/1.1\r\nA: b\r\n\r\n", Some(24)),
            (b"GET / HTTP/1.1\n\n", Some(16)),
            (b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", Some(22)),
            (b"\r\n\r\n", None),
            (b"GET / HTTP/1.1\r\n\r", None),
            (b"", None),
        ];
        for (bytes, end) in cases {
            assert_eq!(head_end(bytes, 0), end, "{bytes:?}");
            for cut in 0..end.unwrap_or(0) {
                assert_eq!(head_end(&bytes[..cut], 0), None, "{bytes:?} cut at {cut}");
                assert_eq!(head_end(bytes, cut), end, "{bytes:?} resumed at {cut}");
            }
        }
    }

    #[test]
    fn reads_how_the_body_ends() {
        let cases = [
            ("", (Framing::Measured, 0)),
            ("Content-Length: 12\r\n", (Framing::Measured, 12)),
            ("content-length:7\r\nHost: x\r\n", (Framing::Measured, 7)),
            ("Content-Length: 99999999999999999999\r\n", (Framing::Last, 0)),
            ("Transfer-Encoding: chunked\r\n", (Framing::Last, 0)),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", (Framing::Ambiguous, 0)),
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", (Framing::Ambiguous, 0)),
            ("TRANSFER-ENCODING: chunked\r\nX: y\r\nCONTENT-LENGTH: 1\r\n", (Framing::Ambiguous, 0)),
            ("Content-Length: 1\r\nContent-Length: 1\r\n", (Framing::Ambiguous, 0)),
        ];
        for (headers, wanted) in cases {
            assert_eq!(framing(format!("PUT / HTTP/1.1\r\n{headers}\r\n").as_bytes()), wanted, "{headers}");
        }
    }
}
