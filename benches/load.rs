//! A load that costs little beside what it measures: blocking TLS connections, requests built beforehand, many connections per
//! thread. Every connection has one request under way; its next is sent as soon as the answer has been read.

use crate::Fault;
use crate::school::Device;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Threads that share the connections; the machine's cores are the server's as well.
const THREADS: usize = 2;
/// Not counted: connections warm up, caches fill.
const WARM_UP: Duration = Duration::from_millis(500);

/// One kept-alive connection with a client certificate.
pub struct Link {
    tls: StreamOwned<ClientConnection, TcpStream>,
    buffer: Vec<u8>,
}

impl Link {
    /// Connects and shakes hands.
    pub fn dial(address: SocketAddr, device: &Device) -> Result<Link, Fault> {
        let tcp = TcpStream::connect(address)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(Duration::from_secs(20)))?;
        let name = ServerName::try_from("localhost")?;
        let tls = ClientConnection::new(device.tls.clone(), name)?;
        Ok(Link { tls: StreamOwned::new(tls, tcp), buffer: Vec::with_capacity(4096) })
    }

    /// Sends one request.
    pub fn send(&mut self, request: &[u8]) -> Result<(), Fault> {
        Ok(self.tls.write_all(request)?)
    }

    /// Reads one whole answer, which must be a 200, and gives its body.
    pub fn receive(&mut self) -> Result<&[u8], Fault> {
        self.buffer.clear();
        let mut chunk = [0; 4096];
        loop {
            let n = self.tls.read(&mut chunk)?;
            if n == 0 {
                return Err("the server closed the connection".into());
            }
            self.buffer.extend_from_slice(&chunk[..n]);
            let Some(head) = find(&self.buffer, b"\r\n\r\n") else { continue };
            if !self.buffer.starts_with(b"HTTP/1.1 200") {
                return Err(String::from_utf8_lossy(&self.buffer).into_owned().into());
            }
            let start = head + 4;
            if self.buffer.len() >= start + content_length(&self.buffer[..head])? {
                return Ok(&self.buffer[start..]);
            }
        }
    }
}

fn content_length(head: &[u8]) -> Result<usize, Fault> {
    let Some(at) = find(head, b"content-length: ") else { return Ok(0) };
    let digits = head[at + 16..].split(|b| *b == b'\r').next().unwrap_or_default();
    Ok(std::str::from_utf8(digits)?.parse()?)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The report of a device that wants its next command.
pub fn idle(udid: &str) -> Vec<u8> {
    report(udid, "<key>Status</key><string>Idle</string>")
}

/// The CommandUUID in `body`, if that is a command.
pub fn command_uuid(body: &[u8]) -> Option<String> {
    let key = b"<key>CommandUUID</key>";
    let rest = &body[find(body, key)? + key.len()..];
    let rest = &rest[find(rest, b"<string>")? + 8..];
    std::str::from_utf8(&rest[..find(rest, b"<")?]).ok().map(str::to_owned)
}

/// The report of a device that has done what `body` says, if that is a command.
pub fn acknowledge(udid: &str, body: &[u8]) -> Option<Vec<u8>> {
    let uuid = command_uuid(body)?;
    let serial = &udid[24..];
    Some(report(
        udid,
        &format!(
            "<key>Status</key><string>Acknowledged</string><key>CommandUUID</key><string>{uuid}</string><key>QueryResponses</key><dict>\
             <key>DeviceName</key><string>iPad of {serial}</string><key>OSVersion</key><string>26.1</string>\
             <key>SerialNumber</key><string>{serial}</string><key>ModelName</key><string>iPad</string></dict>"
        ),
    ))
}

/// A report of `udid` with this inside.
pub fn report(udid: &str, inside: &str) -> Vec<u8> {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
         \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\"><dict><key>UDID</key><string>{udid}</string>{inside}</dict></plist>"
    );
    format!(
        "PUT /mdm/command HTTP/1.1\r\nHost: localhost\r\nUser-Agent: MDM/1.0\r\nContent-Type: application/x-apple-aspen-mdm; charset=UTF-8\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// What came of a load.
pub struct Tally {
    /// Answers per second, after the warm-up.
    pub rate: f64,
    /// All answers, the warm-up's and the first of each connection included.
    pub answers: usize,
}

/// Keeps one connection per device busy for `span`, or until one has nothing more to say. `next` gives the request that follows
/// an answer; the first follows an empty one.
pub fn drive(
    address: SocketAddr,
    devices: &[Device],
    span: Duration,
    next: impl Fn(&Device, &[u8]) -> Option<Vec<u8>> + Sync,
) -> Result<Tally, Fault> {
    let (ready, dry) = (Barrier::new(THREADS), AtomicBool::new(false));
    let tallies = std::thread::scope(|scope| {
        let parts = devices.chunks(devices.len().div_ceil(THREADS));
        let threads: Vec<_> =
            parts.map(|part| scope.spawn(|| drive_some(address, part, span, &next, &ready, &dry))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a load thread panicked")?)
            .collect::<Result<Vec<_>, Fault>>()
    })?;
    Ok(Tally { rate: tallies.iter().map(|t| t.rate).sum(), answers: tallies.iter().map(|t| t.answers).sum() })
}

fn drive_some(
    address: SocketAddr,
    devices: &[Device],
    span: Duration,
    next: &(impl Fn(&Device, &[u8]) -> Option<Vec<u8>> + Sync),
    ready: &Barrier,
    dry: &AtomicBool,
) -> Result<Tally, Fault> {
    let dialled = devices.iter().map(|device| Link::dial(address, device)).collect::<Result<Vec<_>, _>>();
    // Also when dialling failed, or the other thread would wait for ever.
    ready.wait();
    let mut links = dialled?;
    let (begun, mut answers, mut before) = (Instant::now(), 0, None);
    for (link, device) in links.iter_mut().zip(devices) {
        link.send(&next(device, b"").ok_or("nothing to begin with")?)?;
    }
    while begun.elapsed() < WARM_UP + span && !dry.load(Ordering::Relaxed) {
        if before.is_none() && begun.elapsed() >= WARM_UP {
            before = Some((answers, Instant::now()));
        }
        for (link, device) in links.iter_mut().zip(devices) {
            let Some(request) = next(device, link.receive()?) else {
                dry.store(true, Ordering::Relaxed);
                break;
            };
            link.send(&request)?;
            answers += 1;
        }
    }
    let (before, since) = before.ok_or("there was too little to do to measure anything")?;
    Ok(Tally { rate: (answers - before) as f64 / since.elapsed().as_secs_f64(), answers })
}
