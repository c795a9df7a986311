//! One HTTP/2 connection: its pushes in flight, their answers, PING when idle, and how it ends.
//!
//! Turned by `line`, which owns the queue and decides about redialling. Deliberately not here: retries. A push that got
//! no answer is given back, together with whether Apple certainly never saw it.

use super::slots::Slots;
use super::wire::{Form, Head, MAX_ANSWER, answer};
use super::{Config, Job};
use crate::base::push::Topic;
use crate::protocol::push::{MAX_PAYLOAD, payload};
use crate::service::ports::{Push, PushResult};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Ping, PingPong, RecvStream};
use http::uri::Authority;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// What a connection gives back.
pub(super) enum Event {
    Answered(Job, PushResult),
    /// Lost without an answer. `unseen`: it is not the push's fault, the server or we said good-bye.
    Lost {
        job: Job,
        unseen: bool,
        why: String,
    },
    /// Cannot be sent at all.
    Unsendable(Job, String),
}

/// Whether the connection takes more pushes.
pub(super) enum State {
    Open,
    /// The server said good-bye: answers to come are awaited, nothing new is sent.
    Leaving,
    /// Over; everything in flight was given back.
    Closed(String),
}

struct InFlight {
    job: Job,
    sent_at: Instant,
    stage: Stage,
}

enum Stage {
    Head(ResponseFuture),
    Body(Head, RecvStream, Vec<u8>),
}

type Outcome = Result<PushResult, h2::Error>;

pub(super) struct Connection {
    requests: SendRequest<Bytes>,
    http: h2::client::Connection<TlsStream<TcpStream>, Bytes>,
    form: Form,
    slots: Slots<InFlight>,
    ping: Option<PingPong>,
    ping_sent_at: Option<Instant>,
    /// Last sign of life.
    heard_at: Instant,
    leaving: bool,
    closed: Option<String>,
    answers: u64,
}

impl Connection {
    pub(super) fn new(
        requests: SendRequest<Bytes>,
        mut http: h2::client::Connection<TlsStream<TcpStream>, Bytes>,
        authority: Authority,
        topic: &Topic,
        max_in_flight: usize,
    ) -> Result<Self, String> {
        Ok(Self {
            requests,
            ping: http.ping_pong(),
            http,
            form: Form::new(authority, topic)?,
            slots: Slots::new(max_in_flight),
            ping_sent_at: None,
            heard_at: Instant::now(),
            leaving: false,
            closed: None,
            answers: 0,
        })
    }

    /// True if at least one push was answered: the connection was a good one.
    pub(super) fn has_answered(&self) -> bool {
        self.answers > 0
    }

    pub(super) fn in_flight(&self) -> usize {
        self.slots.len()
    }

    /// Sends nothing new from now on.
    pub(super) fn leave(&mut self) {
        self.leaving = true;
    }

    /// Reads, writes, collects answers into `events` and sends from the front of `queue` while there is room.
    pub(super) fn turn(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        queue: &mut VecDeque<Job>,
        events: &mut Vec<Event>,
    ) -> State {
        loop {
            if self.closed.is_none()
                && let Poll::Ready(result) = Pin::new(&mut self.http).poll(cx)
            {
                self.closed = Some(match result {
                    Ok(()) => "the server closed the connection".to_owned(),
                    Err(e) => describe(&e),
                });
            }
            self.collect(cx, now, events);
            if let Some(why) = &self.closed {
                let lost = |l: InFlight| events.push(Event::Lost { job: l.job, unseen: false, why: why.clone() });
                self.slots.take_if(|_| true, lost);
                return State::Closed(why.clone());
            }
            // Frames of new pushes leave with the next poll of the connection, many at once.
            if self.leaving || !self.fill(cx, now, queue, events) {
                break;
            }
        }
        self.take_pong(cx, now);
        if self.leaving { State::Leaving } else { State::Open }
    }

    fn collect(&mut self, cx: &mut Context<'_>, now: Instant, events: &mut Vec<Event>) {
        let (answers, heard_at) = (&mut self.answers, &mut self.heard_at);
        let done = |flight: InFlight, outcome: Outcome| match outcome {
            Ok(result) => {
                *answers += 1;
                *heard_at = now;
                events.push(Event::Answered(flight.job, result));
            }
            Err(e) => {
                // A GOAWAY ends the pushes above its last id, and those that were still open when the server then hung up.
                let unseen = e.is_remote() && e.is_go_away();
                events.push(Event::Lost { job: flight.job, unseen, why: describe(&e) });
            }
        };
        self.slots.look(cx, |flight, cx| flight.stage.turn(cx), done);
    }

    /// Sends from the front of `queue` while there is room; true if anything was sent.
    fn fill(&mut self, cx: &mut Context<'_>, now: Instant, queue: &mut VecDeque<Job>, events: &mut Vec<Event>) -> bool {
        let mut sent = false;
        while let Some(job) = queue.front() {
            // Read every time: the server may change its limit, also downwards. 0 until its SETTINGS have come.
            if self.slots.is_full() || self.slots.len() >= self.requests.current_max_send_streams() {
                break;
            }
            match self.requests.poll_ready(cx) {
                Poll::Ready(Ok(())) => (),
                Poll::Pending => break,
                // GOAWAY, or the stream ids are used up.
                Poll::Ready(Err(_)) => {
                    self.leaving = true;
                    break;
                }
            }
            let outcome = self.send(&job.push);
            let Some(mut job) = queue.pop_front() else { break };
            match outcome {
                Ok(response) => {
                    if self.slots.len() == 0 {
                        // An idle connection's silence says nothing; from here on it does.
                        self.heard_at = now;
                    }
                    job.sends = job.sends.saturating_add(1);
                    self.slots.insert(InFlight { job, sent_at: now, stage: Stage::Head(response) });
                    sent = true;
                }
                Err(Refused::ByConnection) => {
                    self.leaving = true;
                    queue.push_front(job);
                    break;
                }
                Err(Refused::Always(why)) => events.push(Event::Unsendable(job, why)),
            }
        }
        sent
    }

    fn send(&mut self, push: &Push) -> Result<ResponseFuture, Refused> {
        let body = payload(&push.target.magic);
        if body.len() > MAX_PAYLOAD {
            return Err(Refused::Always("the push would be longer than Apple takes".to_owned()));
        }
        let request = self.form.request(push).map_err(|e| Refused::Always(e.to_string()))?;
        let (response, mut stream) = self.requests.send_request(request, false).map_err(|_| Refused::ByConnection)?;
        stream.send_data(Bytes::from(body), true).map_err(|_| Refused::ByConnection)?;
        Ok(response)
    }

    /// Gives back what waited too long for its answer, and probes a connection that was idle for long.
    pub(super) fn expire(&mut self, now: Instant, config: &Config, events: &mut Vec<Event>) {
        let timeout = config.response_timeout;
        let late = |since: Instant| now.saturating_duration_since(since) > timeout;
        let heard_at = self.heard_at;
        let mut silent = false;
        let lost = |flight: InFlight| {
            // Dropping the stream resets it. If nothing at all was heard since, the connection itself is dead.
            silent |= heard_at <= flight.sent_at;
            events.push(Event::Lost { job: flight.job, unseen: false, why: no_answer(timeout) });
        };
        self.slots.take_if(|flight| late(flight.sent_at), lost);
        if silent || self.ping_sent_at.is_some_and(late) {
            self.closed.get_or_insert_with(|| no_answer(timeout));
        }
        let idle = self.slots.len() == 0 && self.ping_sent_at.is_none();
        if idle
            && now.saturating_duration_since(self.heard_at) >= config.ping_after
            && let Some(ping) = &mut self.ping
            && ping.send_ping(Ping::opaque()).is_ok()
        {
            self.ping_sent_at = Some(now);
        }
    }

    fn take_pong(&mut self, cx: &mut Context<'_>, now: Instant) {
        if self.ping_sent_at.is_some()
            && let Some(ping) = &mut self.ping
            && let Poll::Ready(Ok(_)) = ping.poll_pong(cx)
        {
            self.ping_sent_at = None;
            self.heard_at = now;
        }
    }

    /// Closes at once and gives back everything in flight.
    pub(super) fn abandon(mut self, why: &str, events: &mut Vec<Event>) {
        let lost = |l: InFlight| events.push(Event::Lost { job: l.job, unseen: true, why: why.to_owned() });
        self.slots.take_if(|_| true, lost);
    }
}

/// Why a push was not put on the wire.
enum Refused {
    /// Another connection may take it.
    ByConnection,
    /// No connection can.
    Always(String),
}

impl Stage {
    /// `Some` when the answer is whole or lost.
    fn turn(&mut self, cx: &mut Context<'_>) -> Option<Outcome> {
        loop {
            match self {
                Stage::Head(response) => {
                    let response = match Pin::new(response).poll(cx) {
                        Poll::Pending => return None,
                        Poll::Ready(Err(e)) => return Some(Err(e)),
                        Poll::Ready(Ok(response)) => response,
                    };
                    let head = Head::new(response.status().as_u16(), response.headers());
                    let body = response.into_body();
                    if body.is_end_stream() {
                        return Some(Ok(answer(&head, &[])));
                    }
                    *self = Stage::Body(head, body, Vec::new());
                }
                Stage::Body(head, body, read) => match body.poll_data(cx) {
                    Poll::Pending => return None,
                    Poll::Ready(Some(Err(e))) => return Some(Err(e)),
                    Poll::Ready(None) => return Some(Ok(answer(head, read))),
                    Poll::Ready(Some(Ok(chunk))) => {
                        if let Err(e) = body.flow_control().release_capacity(chunk.len()) {
                            return Some(Err(e));
                        }
                        if read.len() + chunk.len() > MAX_ANSWER {
                            // Nothing Apple sends; the status alone is used and the stream is reset.
                            return Some(Ok(answer(head, &[])));
                        }
                        read.extend_from_slice(&chunk);
                    }
                },
            }
        }
    }
}

fn no_answer(timeout: Duration) -> String {
    format!("no answer within {} s", timeout.as_secs_f32())
}

/// An HTTP/2 error in one bounded line: GOAWAY carries a text of the server's choice.
fn describe(error: &h2::Error) -> String {
    let text: String = error.to_string().chars().filter(|c| !c.is_control()).take(200).collect();
    format!("connection lost: {text}")
}
