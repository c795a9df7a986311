//! The sender against a server that speaks HTTP/2 frame by frame: what no library server would do on demand.
//!
//! Frame layout and numbers are RFC 9113 section 4.1 and 6; HPACK bytes are RFC 7541 section 6.

use super::tests::{LONG, TOPIC, accepted, config, credential, flood, push_to, send, topic};
use super::*;
use crate::simulator::apns::StandIn;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const MAX_CONCURRENT_STREAMS: u8 = 3;
/// Long enough for the sender to do what it must not do.
const A_WHILE: Duration = Duration::from_millis(150);

struct Server {
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    ca_pem: String,
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

struct Peer(StreamOwned<ServerConnection, TcpStream>);

impl Server {
    fn start() -> Self {
        let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key.into())
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        Self { listener: TcpListener::bind("127.0.0.1:0").unwrap(), tls: Arc::new(tls), ca_pem: own.cert.pem() }
    }

    fn sender(&self, change: impl FnOnce(&mut Config)) -> Sender {
        let url = format!("https://{}", self.listener.local_addr().unwrap());
        let mut config = config(&url, self.ca_pem.clone());
        change(&mut config);
        let sender = Sender::start(config).unwrap();
        sender.set_credential(&topic(), credential(&StandIn::start().unwrap(), TOPIC));
        sender
    }

    /// The next connection, its preface read.
    fn accept(&self) -> Peer {
        let (tcp, _) = self.listener.accept().unwrap();
        tcp.set_read_timeout(Some(LONG)).unwrap();
        let mut peer = Peer(StreamOwned::new(ServerConnection::new(self.tls.clone()).unwrap(), tcp));
        let mut preface = [0; 24];
        peer.0.read_exact(&mut preface).unwrap();
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        peer
    }
}

impl Peer {
    fn read(&mut self) -> std::io::Result<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head)?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.0.read_exact(&mut payload)?;
        Ok(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        self.0.write_all(&frame).unwrap();
        self.0.flush().unwrap();
    }

    fn limit(&mut self, streams: u8) {
        self.write(SETTINGS, 0, 0, &[0, MAX_CONCURRENT_STREAMS, 0, 0, 0, streams]);
    }

    /// `:status: 200` is one byte of HPACK's static table; the headers are whole (0x4) and the stream ends.
    fn accept_push(&mut self, stream: u32) {
        self.write(HEADERS, END_STREAM | 0x4, stream, &[0x88]);
    }

    /// Reads until `count` whole pushes have come; their stream ids.
    fn pushes(&mut self, count: usize) -> Vec<u32> {
        let mut streams = Vec::new();
        while streams.len() < count {
            let frame = self.read().unwrap();
            if frame.kind == DATA && frame.flags & END_STREAM != 0 {
                streams.push(frame.stream);
            }
        }
        streams
    }

    /// True if no further push begins within a while.
    fn is_quiet(&mut self) -> bool {
        self.0.sock.set_read_timeout(Some(A_WHILE)).unwrap();
        let quiet = loop {
            match self.read() {
                Ok(frame) if frame.kind == HEADERS => break false,
                Ok(_) => (),
                Err(_) => break true,
            }
        };
        self.0.sock.set_read_timeout(Some(LONG)).unwrap();
        quiet
    }
}

#[test]
fn nothing_is_sent_before_the_limit_is_known_and_a_shrinking_limit_is_obeyed() {
    let server = Server::start();
    let sender = server.sender(|_| ());
    let results = flood(&sender, 20);
    let mut peer = server.accept();
    assert!(peer.is_quiet());
    peer.limit(8);
    let mut open = peer.pushes(8);
    assert!(peer.is_quiet());
    peer.limit(2);
    // Eight are open and two allowed: six answers bring no new push, the seventh brings one.
    for stream in open.drain(..6) {
        peer.accept_push(stream);
    }
    assert!(peer.is_quiet());
    for done in 6..20 {
        peer.accept_push(open.remove(0));
        if done < 18 {
            open.extend(peer.pushes(1));
            assert!(done > 8 || peer.is_quiet());
        }
    }
    for _ in 0..20 {
        assert_eq!(results.recv_timeout(LONG).unwrap(), accepted());
    }
}

#[test]
fn after_goaway_the_pushes_above_its_last_id_and_only_those_go_elsewhere() {
    let server = Server::start();
    let sender = server.sender(|_| ());
    let results = flood(&sender, 6);
    let mut first = server.accept();
    first.limit(100);
    assert_eq!(first.pushes(6), [1, 3, 5, 7, 9, 11]);
    let reason = br#"{"reason":"Shutdown"}"#;
    first.write(GOAWAY, 0, 0, &[&[0, 0, 0, 5, 0, 0, 0, 0], reason.as_slice()].concat());
    // A first connection that was told to leave before any answer counts as a failure: the next one comes with a delay.
    let mut second = server.accept();
    second.limit(100);
    for stream in second.pushes(3) {
        second.accept_push(stream);
    }
    for stream in [1, 3, 5] {
        first.accept_push(stream);
    }
    for _ in 0..6 {
        assert_eq!(results.recv_timeout(LONG).unwrap(), accepted());
    }
    assert!(second.is_quiet());
}

#[test]
fn headers_shrink_to_path_and_id_which_stay_out_of_the_table() {
    let server = Server::start();
    let sender = server.sender(|_| ());
    let at_work = std::thread::spawn(move || {
        let mut peer = server.accept();
        peer.limit(100);
        let mut blocks = Vec::new();
        while blocks.len() < 3 {
            let frame = peer.read().unwrap();
            match frame.kind {
                HEADERS => blocks.push(frame.payload),
                DATA => peer.accept_push(frame.stream),
                _ => (),
            }
        }
        blocks
    });
    for n in 0..2 {
        assert_eq!(send(&sender, &[n, n]), accepted());
    }
    // The server stops with this one's headers.
    sender.send(push_to(&[2, 2]), Box::new(|_| ())).unwrap();
    let blocks = at_work.join().unwrap();
    assert!(blocks[0].len() > 100);
    for block in &blocks[1..] {
        // Path literal without indexing (0000, name 4), id never indexed (0001, new name); the rest one byte each.
        assert!(block.contains(&0x04) && block.contains(&0x10), "{block:x?}");
        assert!(block.len() < 75, "{}", block.len());
    }
}

#[test]
fn a_connection_that_does_not_answer_the_probe_is_replaced() {
    let server = Server::start();
    let sender = server.sender(|c| {
        c.ping_after = Duration::from_millis(50);
        c.response_timeout = Duration::from_millis(500);
    });
    let results = flood(&sender, 1);
    let mut first = server.accept();
    first.limit(100);
    first.pushes(1);
    first.accept_push(1);
    assert_eq!(results.recv_timeout(LONG).unwrap(), accepted());
    let ping = loop {
        let frame = first.read().unwrap();
        if frame.kind == PING {
            break frame;
        }
    };
    first.write(PING, ACK, 0, &ping.payload);
    // The second probe stays without an answer, and the sender hangs up.
    while first.read().is_ok() {}
    let results = flood(&sender, 1);
    let mut second = server.accept();
    second.limit(100);
    let stream = second.pushes(1)[0];
    second.accept_push(stream);
    assert_eq!(results.recv_timeout(LONG).unwrap(), accepted());
}

#[test]
fn an_endless_answer_is_cut_and_garbage_is_survived() {
    let server = Server::start();
    let sender = server.sender(|c| c.max_sends = 1);
    let results = flood(&sender, 1);
    let mut peer = server.accept();
    peer.limit(100);
    let stream = peer.pushes(1)[0];
    // `:status: 400` is entry 12 of the static table.
    peer.write(HEADERS, 0x4, stream, &[0x8c]);
    peer.write(DATA, 0, stream, &[b'x'; 10_000]);
    let expected = PushResult::Answered { status: 400, reason: None, timestamp_ms: None, retry_after_secs: None };
    assert_eq!(results.recv_timeout(LONG).unwrap(), expected);
    let results = flood(&sender, 1);
    peer.pushes(1);
    peer.write(HEADERS, 0x4, 7, &[0xff; 40]);
    assert!(matches!(results.recv_timeout(LONG).unwrap(), PushResult::Unreached { .. }));
}
