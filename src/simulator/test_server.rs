//! A tiny scripted HTTP server for unit tests: each request gets the next answer of the script, byte for byte.
//!
//! Test code only; it speaks plain HTTP, so that the rules of the device are tested without certificates.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::network::Url;

/// What a request looked like when it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Which connection, counted from 0.
    pub connection: usize,
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// Decides the raw bytes of an answer; empty bytes close the connection instead.
type Answering = dyn FnMut(&Seen) -> Vec<u8> + Send;

pub struct Script {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A plain answer with a length.
pub fn answer(status: u16, content_type: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n", body.len())
            .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

impl Script {
    /// Answers in order; after the last one every request gets 200 with an empty body.
    pub fn start(answers: Vec<Vec<u8>>) -> Self {
        let mut answers = answers.into_iter();
        Self::answering(move |_| answers.next().unwrap_or_else(|| answer(200, "text/plain", b"")))
    }

    pub fn answering(mut decide: impl FnMut(&Seen) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        // One connection at a time is enough for one device; the thread ends with the test process.
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let Ok(stream) = stream else { continue };
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                serve(stream, number, &log, &mut decide);
            }
        });
        Self { address, seen }
    }

    pub fn url(&self, path: &str) -> Url {
        format!("http://{}{path}", self.address).parse().unwrap()
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until `n` requests were seen, 5 s at most.
    pub fn wait_for(&self, n: usize) -> Vec<Seen> {
        for _ in 0..500 {
            if self.seen().len() >= n {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.seen()
    }
}

fn serve(stream: TcpStream, connection: usize, log: &Mutex<Vec<Seen>>, decide: &mut Answering) {
    let mut reader = BufReader::new(stream);
    while let Some(seen) = read_request(&mut reader, connection) {
        log.lock().unwrap().push(seen.clone());
        let bytes = decide(&seen);
        if bytes.is_empty() || reader.get_mut().write_all(&bytes).is_err() {
            return;
        }
    }
}

fn read_request(reader: &mut BufReader<TcpStream>, connection: usize) -> Option<Seen> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None => break,
        }
    }
    let mut seen = Seen { connection, method, target, headers, body: Vec::new() };
    let length = seen.header("content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
    let mut body = Vec::new();
    reader.by_ref().take(length).read_to_end(&mut body).ok();
    seen.body = body;
    Some(seen)
}
