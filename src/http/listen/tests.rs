//! The listeners on real sockets, seen by clients that behave and by clients that do not.

use super::*;
use crate::http::message::{BodyLimit, Head, Request, Response};
use crate::http::tls::{ClientAuth, server_config};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use std::io::{Read, Write};
use std::net::TcpStream as Tcp;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

#[derive(Default)]
struct Rooms {
    handled: AtomicUsize,
}

impl Handler for Rooms {
    fn body_limit(&self, head: &Head<'_>) -> BodyLimit {
        match head.path {
            "/small" => BodyLimit::at_most(1_000),
            "/tolerant" => BodyLimit::tolerant(1_000, 2_000_000),
            _ => BodyLimit::at_most(8 * 1024 * 1024),
        }
    }

    fn handle(&self, request: Request) -> Response {
        self.handled.fetch_add(1, Ordering::SeqCst);
        match request.path.as_str() {
            "/panic" => panic!("on purpose"),
            "/sleep" => std::thread::sleep(Duration::from_millis(700)),
            "/large" => return Response::new(200, "application/octet-stream", vec![7; 24 * 1024 * 1024]),
            "/smuggle" => return Response::text(200, "").with_header("x-bad", "a\r\nx-worse: b"),
            "/cert" => {
                return Response::new(200, "application/octet-stream", request.peer_certificate.unwrap_or_default());
            }
            _ => {}
        }
        let (body, query) = (&request.body, request.query.as_deref().unwrap_or("-"));
        Response::text(
            200,
            format!("{} {} {query} {} {}", request.method, request.path, body.bytes.len(), body.oversized),
        )
    }
}

struct Site {
    listener: Listener,
    rooms: Arc<Rooms>,
    tls: Option<Arc<TlsHolder>>,
}

fn quick() -> Timeouts {
    Timeouts {
        head: Duration::from_millis(500),
        handshake: Duration::from_millis(500),
        keep_alive: Duration::from_millis(700),
        body_stall: Duration::from_millis(500),
        handler_wait: Duration::from_millis(300),
        answer_stall: Duration::from_millis(500),
        ..Timeouts::default()
    }
}

fn open(tls: Option<Arc<TlsHolder>>, timeouts: Timeouts, sizes: &Sizes) -> Site {
    let rooms = Arc::new(Rooms::default());
    let options = Options {
        address: "127.0.0.1:0".into(),
        door: Door::Devices,
        tls: tls.clone(),
        handler: Arc::clone(&rooms) as Arc<dyn Handler>,
        timeouts,
    };
    let listener = Listener::start(options, &Runtime::start(sizes).unwrap()).unwrap();
    Site { listener, rooms, tls }
}

fn plain() -> Site {
    open(None, quick(), &Sizes::default())
}

impl Site {
    fn dial(&self) -> Tcp {
        let tcp = Tcp::connect(self.listener.local_addr()).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        tcp
    }

    fn say(&self, bytes: &[u8]) -> String {
        say(&mut self.dial(), bytes)
    }

    fn handled(&self) -> usize {
        self.rooms.handled.load(Ordering::SeqCst)
    }
}

/// Sends `bytes` and reads until the server ends the connection.
fn say(stream: &mut (impl Read + Write), bytes: &[u8]) -> String {
    stream.write_all(bytes).unwrap();
    let mut all = Vec::new();
    // A TLS server that is cut ends without close_notify; what came before counts.
    let _ = stream.read_to_end(&mut all);
    String::from_utf8_lossy(&all).into_owned()
}

/// Sends one request and reads one answer by its Content-Length, leaving the connection open.
fn ask(stream: &mut (impl Read + Write), request: &str) -> (u16, Vec<u8>) {
    stream.write_all(request.as_bytes()).unwrap();
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length =
        head.split("content-length: ").nth(1).and_then(|s| s.split('\r').next()).map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (head[9..12].parse().unwrap(), body)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or(answer)
}

// ---- plain

#[test]
fn a_request_and_its_answer() {
    let site = plain();
    let answer =
        site.say(b"PUT /a%20b?c=d%20e HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nPUT /a%20b c=d%20e 5 false"), "{answer}");
    let chunked = b"PUT /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert!(site.say(chunked).ends_with("PUT /c - 3 false"));
    let smuggled = site.say(b"GET /smuggle HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(status(&smuggled) == "200" && !smuggled.contains("worse"), "{smuggled}");
}

#[test]
fn one_connection_serves_many_requests_and_pipelined_ones() {
    let site = plain();
    let mut tcp = site.dial();
    for n in 0..20 {
        let request = format!("POST /n{n} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(ask(&mut tcp, &request), (200, format!("POST /n{n} - 3 false").into_bytes()));
    }
    let mut three = (get("/one") + &get("/two")).into_bytes();
    three.extend_from_slice(b"PUT /three HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    let answers = say(&mut tcp, &three);
    for wanted in ["GET /one - 0", "GET /two - 0", "PUT /three - 2"] {
        assert!(answers.contains(wanted), "{answers}");
    }
    assert_eq!(site.handled(), 23);
}

#[test]
fn a_slow_handler_outlives_the_keep_alive() {
    let site = open(None, Timeouts { keep_alive: Duration::from_millis(200), ..quick() }, &Sizes::default());
    let mut tcp = site.dial();
    assert_eq!(ask(&mut tcp, &get("/sleep")).0, 200);
    assert_eq!(ask(&mut tcp, &get("/x")).0, 200);
    let begun = Instant::now();
    assert_eq!(say(&mut tcp, b""), "");
    assert!(begun.elapsed() < Duration::from_secs(2), "an idle connection is closed");
}

#[test]
fn two_ways_to_end_a_body_are_refused() {
    let site = plain();
    let cases: [&[u8]; 3] = [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    ];
    for bytes in cases {
        assert_eq!(status(&site.say(bytes)), "400");
    }
    let mut pipelined = get("/first").into_bytes();
    pipelined.extend_from_slice(cases[0]);
    let answers = site.say(&pipelined);
    assert!(answers.contains("GET /first") && answers.contains("HTTP/1.1 400"), "{answers}");
    assert_eq!(site.handled(), 1, "only the first of the pipelined pair");
}

#[test]
fn bad_and_oversized_heads_are_refused() {
    let site = plain();
    assert_eq!(status(&site.say(b"NOT HTTP\r\n\r\n")), "400");
    assert_eq!(status(&site.say(b"GET / HTTP/1.1\r\nNo Colon\r\n\r\n")), "400");
    assert_eq!(status(&site.say(b"POST / HTTP/1.1\r\nContent-Length: 1x\r\n\r\n")), "400");
    let large = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(70 * 1024));
    assert_eq!(status(&site.say(large.as_bytes())), "431");
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(65));
    assert_eq!(status(&site.say(many.as_bytes())), "431");
    let allowed = format!("GET /fits HTTP/1.1\r\nConnection: close\r\nX: {}\r\n\r\n", "a".repeat(60 * 1024));
    assert_eq!(status(&site.say(allowed.as_bytes())), "200");
    assert_eq!(status(&site.say(b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n")), "405");
    assert_eq!(site.handled(), 1);
}

#[test]
fn head_drippers_are_cut_and_cost_nobody_else() {
    let site = plain();
    let mut drippers: Vec<Tcp> = (0..100).map(|_| site.dial()).collect();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(900) {
        for tcp in &mut drippers {
            let _ = tcp.write_all(b"a");
        }
        assert_eq!(status(&site.say(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")), "200");
        std::thread::sleep(Duration::from_millis(50));
    }
    for tcp in &mut drippers {
        let mut rest = Vec::new();
        tcp.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        // A reset is an end, too: bytes were on their way when the server had had enough.
        let cut = tcp.read_to_end(&mut rest).err().is_none_or(|e| e.kind() == io::ErrorKind::ConnectionReset);
        assert!(cut && (rest.is_empty() || status(&String::from_utf8_lossy(&rest)) == "408"));
    }
    // A second head is under the clock as well, from its first byte.
    let mut tcp = site.dial();
    assert_eq!(ask(&mut tcp, &get("/")).0, 200);
    assert_eq!(status(&say(&mut tcp, b"GET / HTT")), "408");
}

#[test]
fn a_refused_upload_reads_why() {
    let site = plain();
    let declared = format!("POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", 20_000_000);
    let mut tcp = site.dial();
    tcp.write_all(declared.as_bytes()).unwrap();
    for _ in 0..20 {
        tcp.write_all(&[0; 1_000_000]).unwrap();
    }
    let answer = say(&mut tcp, b"");
    assert!(status(&answer) == "413" && answer.contains("connection: close"), "{answer}");

    let mut tcp = site.dial();
    tcp.write_all(b"POST /tolerant HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    for _ in 0..20 {
        tcp.write_all(b"100000\r\n").unwrap();
        tcp.write_all(&[0; 0x10_0000]).unwrap();
        tcp.write_all(b"\r\n").unwrap();
    }
    assert_eq!(status(&say(&mut tcp, b"0\r\n\r\n")), "413");
    assert_eq!(site.handled(), 0);
}

#[test]
fn between_soft_and_hard_a_body_is_handed_over_as_oversized() {
    let site = plain();
    for (size, wanted) in [(1_000, "1000 false"), (1_001, "1001 true"), (2_000_000, "2000000 true")] {
        let mut tcp = site.dial();
        let head = format!("POST /tolerant HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n");
        tcp.write_all(head.as_bytes()).unwrap();
        assert!(say(&mut tcp, &vec![0; size]).ends_with(wanted));
    }
}

#[test]
fn a_truncated_or_stalled_body_never_reaches_the_handler() {
    let site = plain();
    let head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf";
    let mut tcp = site.dial();
    tcp.write_all(head).unwrap();
    tcp.shutdown(std::net::Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    let _ = tcp.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP/1.1 200"));
    assert_eq!(status(&site.say(head)), "408", "stalled");
    let cut = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe";
    assert_eq!(status(&site.say(cut)), "408", "stalled in a chunk");
    let broken = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n";
    assert_eq!(status(&site.say(broken)), "400");
    assert_eq!(site.handled(), 0);
}

#[test]
fn a_body_that_only_drips_is_ended() {
    let site = plain();
    let mut tcp = site.dial();
    tcp.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n").unwrap();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(900) && tcp.write_all(b"a").is_ok() {
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut answer = [0; 12];
    tcp.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    assert_eq!(site.handled(), 0);
}

#[test]
fn a_client_that_does_not_read_its_answer_is_cut() {
    let site = plain();
    let mut tcp = site.dial();
    tcp.write_all(get("/large").as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(1_500));
    let mut all = Vec::new();
    let _ = tcp.read_to_end(&mut all);
    assert!(all.len() < 24 * 1024 * 1024, "{}", all.len());
    assert_eq!(ask(&mut site.dial(), &get("/large")).1.len(), 24 * 1024 * 1024, "one that reads gets it all");
}

#[test]
fn a_panic_costs_its_own_request_only() {
    let site = plain();
    let mut tcp = site.dial();
    assert_eq!(ask(&mut tcp, &get("/panic")).0, 500);
    assert_eq!(ask(&mut tcp, &get("/after")).0, 200);
}

#[test]
fn too_many_are_told_so() {
    let sizes = Sizes { connections: 2, handlers: 1, body_memory: 64 * 1024, connections_per_address: 5 };
    let site = open(None, Timeouts { keep_alive: Duration::from_secs(5), ..quick() }, &sizes);
    let (mut a, mut b) = (site.dial(), site.dial());
    assert_eq!(ask(&mut a, &get("/a")).0, 200);
    assert_eq!(ask(&mut b, &get("/b")).0, 200);
    let crowded = site.say(get("/c").as_bytes());
    assert!(status(&crowded) == "503" && crowded.contains("retry-after"), "{crowded}");

    // One handler runs; the next request does not wait for ever.
    a.write_all(get("/sleep").as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(ask(&mut b, &get("/b")).0, 503);
    std::thread::sleep(Duration::from_millis(700));

    // More body than there is memory for.
    let upload = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n".to_owned() + &"a".repeat(200_000);
    assert_eq!(ask(&mut b, &upload).0, 503);

    // The sixth connection of one address is closed unheard.
    let _more: Vec<Tcp> = (0..4).map(|_| site.dial()).collect();
    std::thread::sleep(Duration::from_millis(50));
    let mut sixth = site.dial();
    assert!(matches!(sixth.read(&mut [0]), Ok(0) | Err(_)));
}

#[test]
fn idle_connections_do_not_block_the_next_one() {
    let site = open(None, Timeouts::default(), &Sizes::default());
    let mut idle: Vec<Tcp> = (0..200).map(|_| site.dial()).collect();
    for tcp in idle.iter_mut().take(100) {
        assert_eq!(ask(tcp, &get("/once")).0, 200);
    }
    let begun = Instant::now();
    assert_eq!(ask(&mut site.dial(), &get("/next")).0, 200);
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[test]
fn stopping_lets_the_running_request_finish() {
    let site = plain();
    let (mut busy, mut idle) = (site.dial(), site.dial());
    assert_eq!(ask(&mut idle, &get("/")).0, 200);
    let running = std::thread::spawn(move || ask(&mut busy, &get("/sleep")).0);
    std::thread::sleep(Duration::from_millis(150));
    let address = site.listener.local_addr();
    let begun = Instant::now();
    site.listener.stop(Duration::from_secs(5));
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert_eq!(running.join().unwrap(), 200);
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    assert!(Tcp::connect(address).is_err());
}

#[test]
fn the_dual_stack_default_serves_ipv4_too() {
    let options = Options {
        address: "[::]:0".into(),
        door: Door::People,
        tls: None,
        handler: Arc::new(Rooms::default()),
        timeouts: quick(),
    };
    let listener = Listener::start(options, &Runtime::start(&Sizes::default()).unwrap()).unwrap();
    let mut tcp = Tcp::connect(("127.0.0.1", listener.local_addr().port())).unwrap();
    assert_eq!(ask(&mut tcp, &get("/")).0, 200);
}

#[test]
fn neighbours_count_as_one_subscriber() {
    let key = |text: &str| address_key(text.parse().unwrap());
    assert_eq!(key("2001:db8:1:2::3"), key("2001:db8:1:2:ffff::1"));
    assert_ne!(key("2001:db8:1:2::3"), key("2001:db8:1:3::3"));
    assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
    assert_ne!(key("192.0.2.2"), key("192.0.2.1"));
}

// ---- TLS

struct Identity {
    der: Vec<u8>,
    key: Vec<u8>,
}

fn identity(expired: bool) -> Identity {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
    if expired {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    }
    Identity { der: params.self_signed(&key).unwrap().der().to_vec(), key: key.serialize_der() }
}

fn secure(server: &Identity, client_auth: ClientAuth) -> Site {
    let config = server_config(vec![server.der.clone()], &server.key, client_auth).unwrap();
    open(Some(Arc::new(TlsHolder::new(config))), quick(), &Sizes::default())
}

fn client(
    server: &Identity,
    client: Option<&Identity>,
    version: &'static rustls::SupportedProtocolVersion,
) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(server.der.clone())).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    let builder = builder.with_root_certificates(roots);
    Arc::new(match client {
        None => builder.with_no_client_auth(),
        Some(id) => {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(id.key.clone()));
            builder.with_client_auth_cert(vec![CertificateDer::from(id.der.clone())], key).unwrap()
        }
    })
}

type Tls = rustls::StreamOwned<rustls::ClientConnection, Tcp>;

fn dial_tls(site: &Site, config: &Arc<rustls::ClientConfig>) -> Tls {
    let name = ServerName::try_from("localhost").unwrap();
    rustls::StreamOwned::new(rustls::ClientConnection::new(Arc::clone(config), name).unwrap(), site.dial())
}

static VERSIONS: [&rustls::SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

#[test]
fn the_client_certificate_is_visible_and_stays_so_on_resumption() {
    let (server, ipad) = (identity(false), identity(false));
    let site = secure(&server, ClientAuth::Optional);
    for version in VERSIONS {
        let config = client(&server, Some(&ipad), version);
        for kind in [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed] {
            let mut tls = dial_tls(&site, &config);
            assert_eq!(ask(&mut tls, &get("/cert")), (200, ipad.der.clone()), "{version:?} {kind:?}");
            assert_eq!(ask(&mut tls, &get("/cert")).1, ipad.der, "second request of the connection");
            assert_eq!(tls.conn.handshake_kind(), Some(kind), "{version:?}");
            assert_eq!(tls.conn.alpn_protocol(), None);
        }
    }
}

#[test]
fn an_expired_client_certificate_gets_through() {
    let (server, ipad) = (identity(false), identity(true));
    let site = secure(&server, ClientAuth::Optional);
    for version in VERSIONS {
        let mut tls = dial_tls(&site, &client(&server, Some(&ipad), version));
        assert_eq!(ask(&mut tls, &get("/cert")), (200, ipad.der.clone()));
    }
}

#[test]
fn a_certificate_without_its_key_does_not_get_through() {
    let (server, ipad, thief) = (identity(false), identity(false), identity(false));
    let site = secure(&server, ClientAuth::Optional);
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(thief.key));
    let key = provider.key_provider.load_private_key(key).unwrap();
    let stolen = rustls::sign::CertifiedKey::new(vec![CertificateDer::from(ipad.der.clone())], key);
    for version in VERSIONS {
        let mut config = Arc::unwrap_or_clone(client(&server, None, version));
        config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(stolen.clone()));
        let mut tls = dial_tls(&site, &Arc::new(config));
        let outcome = tls.write_all(get("/cert").as_bytes()).and_then(|()| tls.read(&mut [0; 16]));
        assert!(outcome.is_err(), "{version:?}");
    }
    assert_eq!(site.handled(), 0);
}

#[test]
fn people_are_not_asked_and_devices_need_not_answer() {
    let (server, ipad) = (identity(false), identity(false));
    for (client_auth, identity) in [(ClientAuth::None, Some(&ipad)), (ClientAuth::Optional, None)] {
        let site = secure(&server, client_auth);
        let mut tls = dial_tls(&site, &client(&server, identity, &rustls::version::TLS13));
        assert_eq!(ask(&mut tls, &get("/cert")), (200, vec![]));
    }
}

#[test]
fn a_refused_upload_over_tls_reads_why() {
    let server = identity(false);
    let site = secure(&server, ClientAuth::None);
    let mut tls = dial_tls(&site, &client(&server, None, &rustls::version::TLS13));
    tls.write_all(b"POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n\r\n").unwrap();
    for _ in 0..20 {
        tls.write_all(&[0; 1_000_000]).unwrap();
    }
    assert_eq!(status(&say(&mut tls, b"")), "413");
}

#[test]
fn a_new_certificate_is_served_without_a_restart() {
    let (old, new) = (identity(false), identity(false));
    let site = secure(&old, ClientAuth::None);
    let (trusts_old, trusts_new) = (client(&old, None, VERSIONS[1]), client(&new, None, VERSIONS[1]));
    let mut before = dial_tls(&site, &trusts_old);
    assert_eq!(ask(&mut before, &get("/")).0, 200);
    assert!(dial_tls(&site, &trusts_new).write_all(b"GET").is_err());

    let config = server_config(vec![new.der.clone()], &new.key, ClientAuth::None).unwrap();
    site.tls.as_ref().unwrap().replace(config);
    assert_eq!(ask(&mut dial_tls(&site, &trusts_new), &get("/")).0, 200);
    assert_eq!(ask(&mut before, &get("/")).0, 200, "open connections live on");
}

#[test]
fn a_stalled_handshake_is_cut() {
    let site = secure(&identity(false), ClientAuth::None);
    let mut tcp = site.dial();
    tcp.write_all(&[0x16, 0x03, 0x01]).unwrap();
    let begun = Instant::now();
    assert!(matches!(tcp.read(&mut [0; 64]), Ok(0) | Err(_)));
    assert!(begun.elapsed() < Duration::from_secs(3));
}
