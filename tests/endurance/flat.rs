//! A school works on and on, and the server does not grow: memory, open files and threads of the real program are sampled while devices come
//! and go, pages are read, connections break, and the later samples are held against the earlier ones.
//!
//! The long form (`scripts/soak flat`) is 2,000 devices for half an hour. The short form counts rounds of work instead of minutes, and
//! holds files and threads only: a program that has just begun still fills its caches.

use super::{PATIENCE, enroll_all, impatient, import_push_certificate, register};
use crate::appliance::write_ca;
use crate::journeys::crash::{Program, Teacher};
use crate::support::lasting_address;
use cordon::http::control::socket_path;
use cordon::simulator::apns::StandIn;
use cordon::simulator::device::{Device, World};
use cordon::simulator::fleet::Fleet;
use cordon::simulator::network::Network;
use cordon::simulator::spec::Spec;
use cordon::simulator::state::Standing;
use serde_json::{Value, json};
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the program holds at one moment.
#[derive(Debug, Clone, Copy)]
struct Sample {
    seconds: u64,
    sessions: u64,
    rss_kb: u64,
    files: u64,
    threads: u64,
    database_kb: u64,
    wal_kb: u64,
}

impl Sample {
    fn take(pid: u32, directory: &Path, begun: Instant, sessions: u64) -> Sample {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let number = |key: &str| {
            let line = status.lines().find(|line| line.starts_with(key)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        let kb = |name: &str| std::fs::metadata(directory.join(name)).map_or(0, |meta| meta.len() / 1024);
        Sample {
            seconds: begun.elapsed().as_secs(),
            sessions,
            rss_kb: number("VmRSS:"),
            files: std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64,
            threads: number("Threads:"),
            database_kb: kb("cordon.db"),
            wal_kb: kb("cordon.db-wal"),
        }
    }

    fn line(&self) -> String {
        let Sample { seconds, sessions, rss_kb, files, threads, database_kb, wal_kb } = self;
        format!("{seconds:>8} {sessions:>9} {rss_kb:>9} {files:>6} {threads:>8} {database_kb:>12} {wal_kb:>8}")
    }
}

const HEADING: &str = " seconds  sessions    rss KB  files  threads  database KB   WAL KB";

fn median(samples: &[Sample], of: impl Fn(&Sample) -> u64) -> u64 {
    let mut values: Vec<u64> = samples.iter().map(of).collect();
    values.sort_unstable();
    values[values.len() / 2]
}

/// Holds the last quarter against the second one; the first is warm-up. Returns the figures in words.
///
/// # Panics
/// When something grew.
fn judge(samples: &[Sample], hold_memory: bool) -> String {
    let quarter = samples.len() / 4;
    let (early, late) = (&samples[quarter..2 * quarter], &samples[samples.len() - quarter..]);
    let of = |look: fn(&Sample) -> u64| (median(early, look), median(late, look));
    let (rss, files, threads) = (of(|s| s.rss_kb), of(|s| s.files), of(|s| s.threads));
    let wal = samples.iter().map(|s| s.wal_kb).max().unwrap_or(0);
    let words = format!(
        "memory {} → {} KB, files {} → {}, threads {} → {}, WAL at most {wal} KB",
        rss.0, rss.1, files.0, files.1, threads.0, threads.1
    );
    assert!(files.1 <= files.0 + 4, "files are left open: {words}");
    assert!(threads.1 <= threads.0 + 2, "threads are left behind: {words}");
    assert!(wal <= 2 * 64 * 1024, "the write-ahead log is not emptied: {words}");
    assert!(!hold_memory || rss.1 * 100 <= rss.0 * 104, "memory grows by more than 4 %: {words}");
    words
}

/// Somebody who knocks and leaves, and somebody who talks nonsense.
fn disturb(address: &str) {
    drop(TcpStream::connect(address).unwrap());
    let mut nonsense = TcpStream::connect(address).unwrap();
    // The server may have closed already.
    let _ = nonsense.write_all(b"GET / HTTP/1.0\r\n\r\n");
}

/// A little of everything that people do meanwhile.
fn look_around(teacher: &Teacher) {
    for path in ["/devices?limit=200", "/commands?limit=200", "/audit?limit=100"] {
        teacher.call("GET", path, &Value::Null).is(200);
    }
}

struct Scale {
    devices: usize,
    /// Rounds in which a lot of the devices gets a command each and answers it.
    lot: usize,
    enough: Box<dyn Fn(Instant, usize) -> bool>,
    /// Least time between two lots, so that a long run is a school and not a benchmark.
    pace: Duration,
    sample_every: usize,
    report: Option<std::path::PathBuf>,
}

/// With `CORDON_SOAK=flat`, as `scripts/soak` says it, 2,000 devices for `CORDON_SOAK_MINUTES`.
#[test]
fn a_server_that_works_on_and_on_does_not_grow() {
    let short = Scale {
        devices: 8,
        lot: 8,
        enough: Box::new(|_, round| round >= 48),
        pace: Duration::ZERO,
        sample_every: 2,
        report: None,
    };
    let scale = match std::env::var("CORDON_SOAK").as_deref() {
        Ok("flat") => {
            let number = |name: &str, usual: u64| std::env::var(name).map_or(usual, |n| n.parse().unwrap());
            let minutes = number("CORDON_SOAK_MINUTES", 30);
            let devices = usize::try_from(number("CORDON_SOAK_DEVICES", 2_000)).unwrap();
            Scale {
                devices,
                lot: 20.min(devices),
                enough: Box::new(move |begun, _| begun.elapsed() >= Duration::from_secs(60 * minutes)),
                pace: Duration::from_secs(1),
                sample_every: 10,
                report: std::env::var_os("CORDON_SOAK_TABLE").map(Into::into),
            }
        }
        _ => short,
    };
    work(&scale);
}

fn work(scale: &Scale) {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("data");
    std::fs::create_dir(&directory).unwrap();
    let stand_in = StandIn::start().unwrap();
    let (people, devices) = (lasting_address(), lasting_address());
    let program = Program::start(vec![
        ("CORDON_DATA_DIR", directory.display().to_string()),
        ("CORDON_HOSTNAME", "localhost".into()),
        ("CORDON_LISTEN_PEOPLE", people.clone()),
        ("CORDON_LISTEN_DEVICES", devices.clone()),
        ("CORDON_APPLE_APNS_URL", stand_in.url()),
        ("CORDON_APPLE_CA_FILE", write_ca(&stand_in, folder.path())),
    ]);
    let teacher = Teacher { socket: socket_path(&directory).0 };
    import_push_certificate(&teacher, &stand_in);
    let world = Arc::new(World::real(Network::default()));
    world.keys.fill(scale.devices, 2).unwrap();
    let class = Spec::classroom(scale.devices).into_iter().map(|spec| Device::new(Arc::clone(&world), spec)).collect();
    let fleet = Fleet::start(world, impatient(class), 4);
    register(&stand_in, &fleet, 3);
    enroll_all(&teacher, &fleet);
    let udids = fleet.map(|d| d.spec().udid.clone());

    let (begun, mut sessions, mut samples) = (Instant::now(), 0, Vec::new());
    let mut table = scale.report.as_ref().map(|path| std::fs::File::create(path).unwrap());
    let mut say = |line: &str| {
        println!("{line}");
        if let Some(table) = &mut table {
            writeln!(table, "{line}").unwrap();
        }
    };
    say(HEADING);
    for round in 0.. {
        let next = Instant::now() + scale.pace;
        for n in 0..scale.lot {
            let k = (round * scale.lot + n) % udids.len();
            // Some have a bad line: they leave before the answer, or break off in the middle of what they say, and try again.
            fleet.with(k, |device| match k % 8 {
                6 => device.behaviour_mut().leaves_before_answer = 1,
                7 => device.behaviour_mut().cuts_body = 1,
                _ => {}
            });
            let udid = &udids[k];
            let wish =
                json!({ "RequestType": "DeviceInformation", "Queries": ["DeviceName", "OSVersion", "BatteryLevel"] });
            let reply = teacher.call("POST", &format!("/devices/{udid}/commands"), &wish);
            assert_eq!(reply.status, 201, "{}", reply.text());
            sessions += 1;
        }
        disturb(&people);
        disturb(&devices);
        if round % 10 == 0 {
            look_around(&teacher);
        }
        assert!(fleet.settle(PATIENCE));
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        if round % scale.sample_every == 0 {
            let sample = Sample::take(program.pid(), &directory, begun, sessions);
            say(&sample.line());
            samples.push(sample);
        }
        if (scale.enough)(begun, round) {
            break;
        }
    }
    say(&judge(&samples, scale.report.is_some()));
    let standing = fleet.map(|d| d.standing());
    assert!(standing.iter().all(|s| *s == Standing::Enrolled), "{:?}", fleet.troubles().last());
    assert_eq!(teacher.call("GET", "/audit/verify", &Value::Null).is(200)["broken_at"], Value::Null);
    program.stop();
}
