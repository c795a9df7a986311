//! The simulated device's network: a small blocking HTTP/1.1 client over rustls that reaches loopback addresses and nothing else.
//!
//! Written here, and not taken from an HTTP crate, because a device must be able to misbehave: cut a body short, leave before the
//! answer, keep or drop a connection at a chosen moment. Called by `device` and `scep`; knows no word of Apple's.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::network::{Network, Url, Via, WireError};

/// Largest answer that is read: a command may be 8 MiB, in base64 and with room.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// Status line and headers of an answer.
const MAX_ANSWER_HEAD: u64 = 64 * 1024;
/// 3xx answers followed in a row; the next request starts at the profile's URL again.
const MAX_REDIRECTS: usize = 5;

/// What becomes of one request on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    Whole,
    /// Everything is sent, then the device is gone without reading the answer.
    LeaveBeforeAnswer,
    /// The head promises the whole body, this many bytes of it are sent, then the device is gone.
    CutBody(usize),
}

/// One request. Header names and values are written as given.
pub struct Request<'a> {
    pub method: &'a str,
    pub url: &'a Url,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
}

/// Names in lower case, values trimmed, in the order sent.
pub type Headers = Vec<(String, String)>;

/// One answer, its body whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Headers,
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of this lower-case name.
    pub fn find_header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
    /// 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Keeps one connection alive between requests to the same place.
pub struct Client {
    network: Arc<Network>,
    tls: Arc<ClientConfig>,
    open: Option<Connection>,
}

impl Client {
    pub fn new(network: Arc<Network>, tls: Arc<ClientConfig>) -> Self {
        Self { network, tls, open: None }
    }

    /// Sends a request and reads its answer, following redirects with the same method and body.
    ///
    /// # Errors
    /// [`WireError`] when no whole answer came.
    pub fn send(&mut self, request: &Request<'_>) -> Result<Answer, WireError> {
        let mut url = request.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.send_once(&Request { url: &url, ..*request })?;
            let moved = matches!(answer.status, 301 | 302 | 303 | 307 | 308);
            match answer.find_header("location").filter(|_| moved) {
                Some(location) => url = url.redirected(location)?,
                None => return Ok(answer),
            }
        }
        Err(WireError::Redirects)
    }

    /// Misbehaves as told; there is never an answer to read.
    ///
    /// # Errors
    /// [`WireError`] when even the bytes that were to be sent could not be.
    pub fn send_and_leave(&mut self, request: &Request<'_>, delivery: Delivery) -> Result<(), WireError> {
        let mut connection = self.connection_to(request.url)?;
        let sent = match delivery {
            Delivery::CutBody(kept) => &request.body[..kept.min(request.body.len())],
            Delivery::Whole | Delivery::LeaveBeforeAnswer => request.body,
        };
        connection.write(request, sent)
    }

    /// Closes the kept connection, as a device does when its session is over.
    pub fn close(&mut self) {
        self.open = None;
    }

    /// As [`Client::send`], without following redirects.
    pub(super) fn send_once(&mut self, request: &Request<'_>) -> Result<Answer, WireError> {
        let mut connection = self.connection_to(request.url)?;
        let reused = connection.used;
        match connection.exchange(request) {
            Ok((answer, Keep::Open)) => {
                self.open = Some(connection);
                Ok(answer)
            }
            Ok((answer, Keep::Close)) => Ok(answer),
            // The server may close an idle connection at the very moment it is used again (RFC 9112 §9.5): ask once more on a new one.
            Err(WireError::Io(_)) if reused && !connection.answered => {
                let mut fresh = self.connection_to(request.url)?;
                let (answer, keep) = fresh.exchange(request)?;
                if keep == Keep::Open {
                    self.open = Some(fresh);
                }
                Ok(answer)
            }
            Err(error) => Err(error),
        }
    }

    fn connection_to(&mut self, url: &Url) -> Result<Connection, WireError> {
        let (to, via) = self.network.find(url)?;
        let place = (to, via, url.host.clone());
        match self.open.take() {
            Some(open) if open.place == place => Ok(open),
            _ => Connection::open(place, self.network.timeout, &self.tls),
        }
    }
}

#[derive(PartialEq, Eq)]
enum Keep {
    Open,
    Close,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(tcp) => tcp.read(buffer),
            Stream::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(tcp) => tcp.write(bytes),
            Stream::Tls(tls) => tls.write(bytes),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(tcp) => tcp.flush(),
            Stream::Tls(tls) => tls.flush(),
        }
    }
}

struct Connection {
    place: (SocketAddr, Via, String),
    stream: BufReader<Stream>,
    /// An exchange went through before this one.
    used: bool,
    /// A byte of the current answer has arrived.
    answered: bool,
}

impl Connection {
    fn open(place: (SocketAddr, Via, String), timeout: Duration, tls: &Arc<ClientConfig>) -> Result<Self, WireError> {
        let (to, via, host) = &place;
        let mut tcp = TcpStream::connect_timeout(to, timeout).map_err(|e| WireError::Connect(*to, e))?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(timeout))?;
        tcp.set_write_timeout(Some(timeout))?;
        let stream = match via {
            Via::StrippedTls => Stream::Plain(tcp),
            Via::Tls => {
                let failed = |why: String| WireError::Tls(host.clone(), why);
                let name = ServerName::try_from(host.clone()).map_err(|e| failed(e.to_string()))?;
                let mut session = ClientConnection::new(Arc::clone(tls), name).map_err(|e| failed(e.to_string()))?;
                while session.is_handshaking() {
                    session.complete_io(&mut tcp).map_err(|e| failed(e.to_string()))?;
                }
                Stream::Tls(Box::new(StreamOwned::new(session, tcp)))
            }
        };
        Ok(Self { place, stream: BufReader::new(stream), used: false, answered: false })
    }

    fn write(&mut self, request: &Request<'_>, sent: &[u8]) -> Result<(), WireError> {
        let mut bytes = Vec::with_capacity(512 + sent.len());
        let (method, url) = (request.method, request.url);
        bytes
            .extend_from_slice(format!("{method} {} HTTP/1.1\r\nHost: {}\r\n", url.target, url.authority()).as_bytes());
        for (name, value) in request.headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if method != "GET" {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", request.body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(sent);
        let stream = self.stream.get_mut();
        stream.write_all(&bytes)?;
        Ok(stream.flush()?)
    }

    fn exchange(&mut self, request: &Request<'_>) -> Result<(Answer, Keep), WireError> {
        self.answered = false;
        // A server that refuses early may stop reading: its answer counts for more than our failed write.
        let written = self.write(request, request.body);
        match (self.read_answer(), written) {
            (Ok((answer, keep)), written) => {
                self.used = true;
                Ok((answer, if written.is_ok() { keep } else { Keep::Close }))
            }
            (Err(_), Err(written)) => Err(written),
            (Err(error), Ok(())) => Err(error),
        }
    }

    fn read_answer(&mut self) -> Result<(Answer, Keep), WireError> {
        loop {
            let (status, version_1_1, headers) = self.read_head()?;
            if (100..200).contains(&status) {
                continue;
            }
            let mut answer = Answer { status, headers, body: Vec::new() };
            let says = |name: &str, word: &str| {
                answer.find_header(name).is_some_and(|v| v.to_ascii_lowercase().contains(word))
            };
            let mut keep = if version_1_1 && !says("connection", "close") { Keep::Open } else { Keep::Close };
            answer.body = if matches!(status, 204 | 304) {
                Vec::new()
            } else if says("transfer-encoding", "chunked") {
                self.read_chunks()?
            } else if let Some(length) = answer.find_header("content-length") {
                let length =
                    length.trim().parse().map_err(|_| WireError::BadAnswer("Content-Length is not a number"))?;
                self.read_exactly(length)?
            } else {
                keep = Keep::Close;
                self.read_to_end()?
            };
            return Ok((answer, keep));
        }
    }

    fn read_head(&mut self) -> Result<(u16, bool, Headers), WireError> {
        let mut left = MAX_ANSWER_HEAD;
        let first = self.read_line(&mut left)?;
        let mut words = first.splitn(3, ' ');
        let version = words.next().unwrap_or_default();
        if !version.starts_with("HTTP/1.") {
            return Err(WireError::BadAnswer("no status line"));
        }
        let status = words.next().and_then(|s| s.parse().ok()).ok_or(WireError::BadAnswer("no status number"))?;
        let mut headers = Vec::new();
        loop {
            let line = self.read_line(&mut left)?;
            if line.is_empty() {
                return Ok((status, version == "HTTP/1.1", headers));
            }
            let (name, value) = line.split_once(':').ok_or(WireError::BadAnswer("a header without a colon"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn read_line(&mut self, left: &mut u64) -> Result<String, WireError> {
        let mut line = Vec::new();
        let read = (&mut self.stream).take(*left).read_until(b'\n', &mut line)?;
        if read > 0 {
            self.answered = true;
        }
        if line.pop() != Some(b'\n') {
            let broken = io::Error::new(io::ErrorKind::UnexpectedEof, "closed before the answer");
            return Err(if read as u64 == *left {
                WireError::BadAnswer("the head is too long")
            } else {
                broken.into()
            });
        }
        *left -= read as u64;
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        String::from_utf8(line).map_err(|_| WireError::BadAnswer("a header that is not text"))
    }

    fn read_exactly(&mut self, length: usize) -> Result<Vec<u8>, WireError> {
        if length > MAX_ANSWER {
            return Err(WireError::TooLarge);
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(body)
    }

    fn read_to_end(&mut self) -> Result<Vec<u8>, WireError> {
        let mut body = Vec::new();
        let read = (&mut self.stream).take(MAX_ANSWER as u64 + 1).read_to_end(&mut body)?;
        if read > MAX_ANSWER { Err(WireError::TooLarge) } else { Ok(body) }
    }

    fn read_chunks(&mut self) -> Result<Vec<u8>, WireError> {
        let (mut body, mut left) = (Vec::new(), MAX_ANSWER_HEAD);
        loop {
            let line = self.read_line(&mut left)?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| WireError::BadAnswer("a chunk without a size"))?;
            if size == 0 {
                while !self.read_line(&mut left)?.is_empty() {}
                return Ok(body);
            }
            if size > MAX_ANSWER - body.len() {
                return Err(WireError::TooLarge);
            }
            body.append(&mut self.read_exactly(size)?);
            self.read_line(&mut left)?;
            left = MAX_ANSWER_HEAD;
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A polite end lets the server tell "the device is done" from "the network broke". It may fail; nobody is listening then.
        if let Stream::Tls(tls) = self.stream.get_mut() {
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::network::tls_config;
    use super::super::test_server::{Script, answer};
    use super::*;

    fn client() -> Client {
        Client::new(Arc::new(Network::default()), tls_config(&[], None).unwrap())
    }

    fn put<'a>(url: &'a Url, body: &'a [u8]) -> Request<'a> {
        Request { method: "PUT", url, headers: &[("Content-Type", "text/plain")], body }
    }

    #[test]
    fn keeps_the_connection_and_reads_both_kinds_of_body() {
        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: t\r\n\r\n"
                .to_vec();
        let server = Script::start(vec![chunked, answer(404, "text/plain", b"no")]);
        let url = server.url("/mdm");
        let mut client = client();
        assert_eq!(client.send(&put(&url, b"one")).unwrap().body, b"abcde");
        let second = client.send(&put(&url, b"two")).unwrap();
        assert_eq!(
            (second.status, second.body.as_slice(), second.find_header("content-type")),
            (404, &b"no"[..], Some("text/plain"))
        );
        let seen = server.seen();
        assert_eq!(seen.iter().map(|r| r.body.clone()).collect::<Vec<_>>(), [b"one".to_vec(), b"two".to_vec()]);
        assert_eq!(seen.iter().map(|r| r.connection).collect::<Vec<_>>(), [0, 0]);
    }

    #[test]
    fn asks_once_more_when_a_kept_connection_had_died() {
        let server = Script::start(vec![answer(200, "text/plain", b"1"), Vec::new(), answer(200, "text/plain", b"2")]);
        let (url, mut client) = (server.url("/"), client());
        client.send(&put(&url, b"a")).unwrap();
        assert_eq!(client.send(&put(&url, b"b")).unwrap().body, b"2");
        assert_eq!(server.seen().iter().map(|r| r.connection).collect::<Vec<_>>(), [0, 0, 1]);
    }

    #[test]
    fn follows_redirects_but_not_for_ever() {
        let moved = b"HTTP/1.1 307 Moved\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n".to_vec();
        let server = Script::start(vec![moved.clone(), answer(200, "text/plain", b"ok")]);
        let url = server.url("/here");
        assert_eq!(client().send(&put(&url, b"body")).unwrap().body, b"ok");
        assert_eq!(server.seen()[1].target, "/there");
        assert_eq!(server.seen()[1].body, b"body");
        let server = Script::start(vec![moved; 7]);
        assert!(matches!(client().send(&put(&server.url("/"), b"")), Err(WireError::Redirects)));
    }

    #[test]
    fn bounded_and_clear_about_bad_answers() {
        let huge = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_vec();
        let server = Script::start(vec![huge, b"SSH-2.0-x\r\n\r\n".to_vec()]);
        let url = server.url("/");
        assert!(matches!(client().send(&put(&url, b"")), Err(WireError::TooLarge)));
        assert!(matches!(client().send(&put(&url, b"")), Err(WireError::BadAnswer(_))));
    }

    #[test]
    fn a_cut_body_promises_more_than_it_sends() {
        let server = Script::start(vec![answer(200, "text/plain", b"")]);
        let url = server.url("/");
        client().send_and_leave(&put(&url, b"0123456789"), Delivery::CutBody(4)).unwrap();
        assert_eq!(server.wait_for(1)[0].body, b"0123");
    }
}
