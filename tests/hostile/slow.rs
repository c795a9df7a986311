//! Clients that never finish: heads without an end, dripping, and 1,500 of them at once. And what all of it costs in memory.

use super::school::{School, resident};
use super::wire;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

const CROWD: usize = 1_500;
/// Growth that is no leak; 1,500 TLS handshakes that wait take some tens of MB.
const FLAT: u64 = 200 * 1024 * 1024;

#[test]
fn what_never_ends_is_cut() {
    let school = School::start_with(|options| {
        let t = &mut options.timeouts;
        (t.handshake, t.head, t.body_stall) = (Duration::from_secs(1), Duration::from_secs(1), Duration::from_secs(1));
        (t.keep_alive, t.linger) = (Duration::from_secs(1), Duration::from_secs(1));
    });
    let good = school.enroll("AAAA-SLOW-0000001");
    let drip = |address, first: &[u8], again: &[u8]| {
        let mut tcp = wire::connect(address);
        tcp.write_all(first).unwrap();
        tcp.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let since = Instant::now();
        let mut said = Vec::new();
        loop {
            assert!(
                since.elapsed() < Duration::from_secs(15),
                "{:?} is still waited for",
                String::from_utf8_lossy(first)
            );
            let mut chunk = [0; 1024];
            match tcp.read(&mut chunk) {
                Ok(0) => break,
                Ok(n) => said.extend_from_slice(&chunk[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => break,
            }
            let _ = tcp.write_all(again);
        }
        String::from_utf8_lossy(&said).get(9..12).map(str::to_owned)
    };
    let (plain, tls) = (school.proxied(), school.devices());
    let told = Some(String::from("408"));
    std::thread::scope(|scope| {
        let head = b"PUT /mdm/command HTTP/1.1\r\nHost: localhost\r\n";
        let body = b"PUT /mdm/command HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n<plist>";
        let waiting = [
            ("silence", None, scope.spawn(move || drip(plain, b"", b""))),
            ("a head that stops", told.clone(), scope.spawn(move || drip(plain, head, b""))),
            ("a head that drips", told.clone(), scope.spawn(move || drip(plain, head, b"x"))),
            ("a body that stops", told.clone(), scope.spawn(move || drip(plain, body, b""))),
            ("a body that drips", told.clone(), scope.spawn(move || drip(plain, body, b"x"))),
            ("silence where TLS is due", None, scope.spawn(move || drip(tls, b"", b""))),
            (
                "a handshake that drips",
                None,
                scope.spawn(move || drip(tls, b"\x16\x03\x01\x02\0\x01\0\x01\xfc", b"\x03")),
            ),
        ];
        for (name, expected, thread) in waiting {
            let said = thread.join().unwrap();
            // In TLS an alert may come, which is no status.
            if expected.is_some() {
                assert_eq!(said, expected, "{name}")
            }
        }
    });
    // Lines without end: answered as soon as they are longer than a head may be, however many follow.
    let mut tcp = wire::connect(plain);
    tcp.write_all(b"PUT /mdm/command HTTP/1.1\r\n").unwrap();
    let line = [b'x'; 4096];
    let header = [&b"X-Line: "[..], &line, b"\r\n"].concat();
    let _ = (0..100).try_for_each(|_| tcp.write_all(&header));
    assert_eq!(wire::read_answer(&mut tcp).unwrap().of_device(), 431);
    school.serves(&good);
}

/// In a process of its own: other tests' memory and open files are not its affair.
#[test]
fn a_crowd_of_slow_clients_costs_little() {
    let made = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hostile::slow::crowd", "--ignored", "--nocapture", "--test-threads=1"])
        .output()
        .unwrap();
    let words = format!("{}{}", String::from_utf8_lossy(&made.stdout), String::from_utf8_lossy(&made.stderr));
    assert!(made.status.success() && words.contains("1 passed"), "{words}");
}

#[test]
#[ignore = "run by a_crowd_of_slow_clients_costs_little, in a process of its own"]
fn crowd() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    // Both ends of each connection are files of this process. The hard limit is what the system allows.
    let now = getrlimit(Resource::Nofile);
    let enough = 2 * CROWD as u64 + 1_000;
    if now.current.is_some_and(|soft| soft < enough) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(enough), maximum: now.maximum }).unwrap();
    }
    let school = School::start();
    let good = school.enroll("AAAA-SLOW-0000002");
    school.serves(&good);
    let before = resident();
    let starts: [(_, &[u8]); 5] = [
        (school.proxied(), b""),
        (school.proxied(), b"PUT /mdm/command HTTP/1.1\r\nHost: lo"),
        (school.proxied(), b"PUT /mdm/checkin HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n<plist"),
        (school.devices(), b""),
        (school.devices(), b"\x16\x03\x01\x02\0\x01\0\x01\xfc"),
    ];
    let mut crowd: Vec<TcpStream> = Vec::with_capacity(CROWD);
    for (address, first) in starts.iter().cycle().take(CROWD) {
        let mut tcp = wire::connect(*address);
        tcp.write_all(first).unwrap();
        crowd.push(tcp);
    }
    for _ in 0..3 {
        school.serves(&good);
    }
    // Huge bodies beside them, each refused or drained and given back.
    let huge = vec![b'x'; 20 * 1024 * 1024];
    for _ in 0..10 {
        assert_eq!(school.put(Some(&good.identity), "/mdm/command", &[], &huge).of_device(), 413);
    }
    drop(huge);
    let grown = resident().saturating_sub(before);
    assert!(grown < FLAT, "{CROWD} slow clients and ten huge bodies cost {} MB", grown >> 20);
    drop(crowd);
    school.serves(&good);
}
