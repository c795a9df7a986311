//! A receiver of webhooks on this machine: a tiny HTTP server that checks signatures as the handbook says and remembers what it was told.

use crate::support::{PATIENCE, Shared};
use aws_lc_rs::hmac;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Told {
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub json: Value,
    /// What it was answered with.
    pub status: u16,
}

impl Told {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v.as_str())
    }

    pub fn kind(&self) -> &str {
        self.json["kind"].as_str().unwrap()
    }

    /// As the handbook's ten lines of Python do it.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let (t, each) = self.header("x-cordon-signature").split_once(",v1=").unwrap();
        let t = t.strip_prefix("t=").unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let signed = format!("{t}.{}", self.body);
        each.split(",v1=").any(|v1| hmac::verify(&key, signed.as_bytes(), &hex::decode(v1).unwrap()).is_ok())
    }
}

pub struct Receiver {
    pub address: SocketAddr,
    told: Shared<Vec<Told>>,
    status: Arc<AtomicU16>,
    silent: Arc<AtomicBool>,
    closed: Arc<AtomicBool>,
}

impl Receiver {
    /// Answers 200 until told otherwise.
    pub fn start() -> Self {
        Self::start_on("127.0.0.1:0")
    }

    pub fn start_on(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let receiver = Self {
            address,
            told: Shared::default(),
            status: Arc::new(AtomicU16::new(200)),
            silent: Arc::default(),
            closed: Arc::default(),
        };
        let (told, status) = (Arc::clone(&receiver.told), Arc::clone(&receiver.status));
        let (silent, closed) = (Arc::clone(&receiver.silent), Arc::clone(&receiver.closed));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if closed.load(Ordering::SeqCst) {
                    return;
                }
                let (told, status, silent) = (Arc::clone(&told), Arc::clone(&status), Arc::clone(&silent));
                std::thread::spawn(move || serve(stream.unwrap(), &told, &status, &silent));
            }
        });
        receiver
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook?school=hill", self.address)
    }

    pub fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// Takes connections and never says anything.
    pub fn be_silent(&self) {
        self.silent.store(true, Ordering::SeqCst);
    }

    pub fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    /// What it took, by id of the event, in order.
    pub fn taken(&self) -> Vec<String> {
        let all = self.told();
        all.iter().filter(|t| t.status == 200).map(|t| t.json["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until `enough` finds what it wants.
    #[track_caller]
    pub fn wait_for<T>(&self, what: &str, mut enough: impl FnMut(&[Told]) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = enough(&self.told()) {
                return found;
            }
            assert!(Instant::now() < until, "waited in vain for {what}; told: {:#?}", self.told());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[track_caller]
    pub fn wait_for_kind(&self, kind: &str) -> Told {
        self.wait_for(kind, |told| told.iter().find(|t| t.kind() == kind).cloned())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        // Wakes the accept, so that the port is free again.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: TcpStream, told: &Shared<Vec<Told>>, status: &AtomicU16, silent: &AtomicBool) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut headers, mut line) = (Vec::new(), String::new());
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap_or(0);
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        if silent.load(Ordering::SeqCst) {
            std::thread::sleep(PATIENCE);
            return;
        }
        let length = headers.iter().find(|(n, _)| n == "content-length").map_or(0, |(_, v)| v.parse().unwrap());
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let body = String::from_utf8(body).unwrap();
        let json = serde_json::from_str(&body).unwrap();
        let status = status.load(Ordering::SeqCst);
        told.lock().unwrap().push(Told { headers, body, json, status });
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 4\r\n\r\nwell");
        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
