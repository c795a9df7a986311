//! The power goes. The real program runs with a recorder between it and the disk; then, for many points of what it asked of the disk, the
//! directory is made that a power cut leaves, and opened. Whatever was answered before the cut must be in it, and the file must be whole.
//!
//! The recorder is `recorder.c`, compiled here; the disk's rules are in `disk`. The long form is `scripts/soak power`.

use super::disk::{Dice, Disk, Record, read_log};
use super::{enroll_all, impatient, import_push_certificate, register};
use crate::appliance::write_ca;
use crate::journeys::crash::{Program, Teacher};
use crate::support::{PATIENCE, lasting_address};
use base64::{Engine, engine::general_purpose::STANDARD};
use cordon::base::random::bytes;
use cordon::base::time::{Clock, SystemClock};
use cordon::http::control::socket_path;
use cordon::pki::SystemRandom;
use cordon::service::actor::Actor;
use cordon::service::founding::{self, Place};
use cordon::service::{auditing, school};
use cordon::simulator::apns::StandIn;
use cordon::simulator::device::{Device, World};
use cordon::simulator::fleet::Fleet;
use cordon::simulator::network::Network;
use cordon::simulator::spec::Spec;
use cordon::simulator::state::Event;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Something that somebody was told, and so may rely on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Fact {
    Founded,
    PushCertificate,
    Enrolled { udid: String },
    Accepted { command: String },
    Done { command: String },
    Backup { name: String },
}

/// A directory on a disk that is watched, and the environment that lets a program run on it.
pub struct Watched {
    pub folder: tempfile::TempDir,
    /// Where the server is found; its devices know that, so it is the same after a cut.
    pub listeners: [(&'static str, String); 2],
}

impl Watched {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("disk")).unwrap();
        let compiled = Command::new("cc")
            .args(["-std=gnu11", "-O1", "-shared", "-fPIC", "-o"])
            .arg(folder.path().join("recorder.so"))
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/endurance/recorder.c"))
            .args(["-ldl", "-lpthread"])
            .status();
        assert!(compiled.expect("a C compiler, as for the cryptography").success());
        let listeners = [("CORDON_LISTEN_PEOPLE", lasting_address()), ("CORDON_LISTEN_DEVICES", lasting_address())];
        Self { folder, listeners }
    }

    pub fn disk(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    pub fn data(&self) -> PathBuf {
        self.disk().join("data")
    }

    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        vec![
            ("LD_PRELOAD", path("recorder.so")),
            ("POWER_LOG", path("log")),
            ("POWER_ROOT", self.disk().display().to_string()),
            ("POWER_SYNC_MILLIS", String::from("3")),
            ("CORDON_DATA_DIR", self.data().display().to_string()),
        ]
    }

    /// One command of the real program, watched.
    pub fn run(&self, arguments: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cordon"));
        command.env_clear().envs(self.environment()).args(arguments).stdin(Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn records(&self) -> Vec<Record> {
        read_log(&self.folder.path().join("log"))
    }
}

/// ms since 1970: whatever is on the log after this moment came later.
fn now() -> i64 {
    SystemClock.now().0
}

struct Scale {
    devices: usize,
    rounds: usize,
    kills: usize,
    points: usize,
}

#[test]
fn whatever_was_answered_survives_a_power_cut() {
    let number = |name: &str| std::env::var(name).ok().map(|n| n.parse::<u64>().unwrap());
    let scale = match std::env::var("CORDON_SOAK").as_deref() {
        Ok("power") => {
            let points = number("CORDON_SOAK_POINTS").unwrap_or(1_000);
            Scale { devices: 16, rounds: 24, kills: 12, points: usize::try_from(points).unwrap() }
        }
        _ => Scale { devices: 4, rounds: 3, kills: 3, points: 60 },
    };
    let watched = Watched::new();
    let told = live(&watched, &scale);
    let mut records = watched.records();
    nothing_was_missed(&watched, &records);
    let seed = number("CORDON_SOAK_SEED").unwrap_or_else(|| u64::from_ne_bytes(bytes(&SystemRandom)));
    println!("{} records, {} facts told to devices; seed {seed}", records.len(), told.len());
    let facts = place(&records, told);
    match cut_and_look(&watched, &records, &facts, scale.points, seed) {
        Ok(checked) => println!("{} power cuts, {checked} promises looked up, none broken", scale.points),
        Err(why) => panic!("seed {seed}: {why}"),
    }
    // And the same with a disk that takes no sync seriously: this test would notice.
    records.iter_mut().filter(|record| record.kind == 's').for_each(|record| record.kind = '-');
    assert!(cut_and_look(&watched, &records, &facts, 40, seed).is_err(), "promises are lost, and nobody notices");
}

/// A school is founded and lives through a morning, while its server is killed and stopped. What was told to others, and when.
fn live(watched: &Watched, scale: &Scale) -> Vec<(i64, Fact)> {
    watched.run(&["setup", "--organization", "Hill School", "--hostname", "localhost"]);
    let mut told = vec![(now(), Fact::Founded)];
    let stand_in = StandIn::start().unwrap();
    let mut environment = watched.environment();
    environment.extend(watched.listeners.clone());
    environment.extend([
        ("CORDON_APPLE_APNS_URL", stand_in.url()),
        ("CORDON_APPLE_CA_FILE", write_ca(&stand_in, watched.folder.path())),
    ]);
    let mut program = Program::start(environment);
    let teacher = Teacher { socket: socket_path(&watched.data()).0 };
    import_push_certificate(&teacher, &stand_in);
    told.push((now(), Fact::PushCertificate));

    let mut network = Network::default();
    network.timeout = Duration::from_secs(5);
    let world = Arc::new(World::real(network));
    world.keys.fill(scale.devices, 2).unwrap();
    let class = Spec::classroom(scale.devices).into_iter().map(|spec| Device::new(Arc::clone(&world), spec)).collect();
    let fleet = Fleet::start(world, impatient(class), 4);
    register(&stand_in, &fleet, 20);

    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            enroll_all(&teacher, &fleet);
            (0..scale.rounds).for_each(|round| give_everybody_work(&teacher, &fleet, round));
            over.store(true, Ordering::SeqCst);
        });
        let mut kills = 0;
        while !work.is_finished() && !over.load(Ordering::SeqCst) {
            let [a, b] = bytes::<2>(&SystemRandom);
            std::thread::sleep(Duration::from_millis(150 + 2 * (u64::from(a) + u64::from(b))));
            if kills < scale.kills {
                kills += 1;
                match kills % 3 {
                    0 => program.rest(),
                    _ => program.kill_with(Signal::USR2),
                }
                program.start_again();
            }
        }
        work.join().unwrap();
    });
    program.rest();
    for (udid, log) in fleet.map(|d| (d.spec().udid.clone(), d.log().to_vec())) {
        told.extend(log.into_iter().filter_map(|entry| match entry.event {
            Event::CheckIn { message, status: 200 } if message == "TokenUpdate" => {
                Some((entry.at, Fact::Enrolled { udid: udid.clone() }))
            }
            Event::Report { status, command_uuid: Some(command), answer: 200 } if status == "Acknowledged" => {
                Some((entry.at, Fact::Done { command }))
            }
            _ => None,
        }));
    }
    told
}

fn give_everybody_work(teacher: &Teacher, fleet: &Fleet, round: usize) {
    let payload = STANDARD.encode(vec![b'x'; 20_000]);
    for (k, udid) in fleet.map(|d| d.spec().udid.clone()).into_iter().enumerate() {
        let uuid = format!("{round:08X}-0000-4000-8000-{k:012X}");
        match (round + k) % 3 {
            0 => teacher.send(&udid, &uuid, "InstallProfile", json!({ "Payload": payload })),
            1 => teacher.send(&udid, &uuid, "InstalledApplicationList", json!({})),
            _ => teacher.send(&udid, &uuid, "DeviceInformation", json!({ "Queries": ["DeviceName", "OSVersion"] })),
        }
    }
    match round % 3 {
        1 => drop(teacher.call("POST", "/backup", &Value::Null).is(201)),
        // The answer may be lost in a kill, and then this makes another key: the file and the database must agree all the same.
        2 => assert_eq!(teacher.call("POST", "/key/machine-key", &json!({})).status, 204),
        _ => {}
    }
    assert!(fleet.settle(PATIENCE));
}

/// Played to its end, the log gives exactly the files that are there: the recorder has seen everything.
pub fn nothing_was_missed(watched: &Watched, records: &[Record]) {
    let mut disk = Disk::new(&watched.disk());
    records.iter().for_each(|record| disk.apply(record));
    let played = disk.contents();
    let mut there = BTreeMap::new();
    collect(&watched.disk(), &mut there);
    // The program's own words, which the test keeps beside the directory.
    there.remove(&watched.data().with_extension("log"));
    let names = |map: &BTreeMap<PathBuf, Vec<u8>>| map.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&played), names(&there));
    for (path, bytes) in &there {
        assert!(played[path] == *bytes, "{} was written behind the recorder's back", path.display());
    }
}

fn collect(directory: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            collect(&entry.path(), found);
        } else if kind.is_file() {
            found.insert(entry.path(), std::fs::read(entry.path()).unwrap());
        }
    }
}

/// Every fact with the number of records after which it holds: of the devices' by the clock, of the answers on the control socket
/// by their own place, which is before they left.
fn place(records: &[Record], told: Vec<(i64, Fact)>) -> Vec<(usize, Fact)> {
    let of_devices = told.into_iter().map(|(at, fact)| {
        let after = u64::try_from(at + 1).unwrap() * 1_000;
        (records.partition_point(|record| record.micros < after), fact)
    });
    let said = records.iter().enumerate().filter(|(_, record)| record.kind == 'A');
    let of_people = said.flat_map(|(k, record)| answers(&record.bytes).into_iter().map(move |fact| (k + 1, fact)));
    let mut facts: Vec<_> = of_devices.chain(of_people).collect();
    facts.sort();
    facts
}

fn answers(bytes: &[u8]) -> Vec<Fact> {
    let text = String::from_utf8_lossy(bytes);
    let Some(body) = text.find('{').and_then(|at| serde_json::from_str::<Value>(&text[at..]).ok()) else {
        return Vec::new();
    };
    let word = |key: &str| body[key].as_str().map(str::to_owned);
    let mut facts = Vec::new();
    if let (Some(command), Some(state)) = (word("command_uuid"), word("state")) {
        facts.push(if state == "Acknowledged" { Fact::Done { command } } else { Fact::Accepted { command } });
    }
    facts.extend(word("name").filter(|name| name.ends_with(".db")).map(|name| Fact::Backup { name }));
    facts
}

/// Cuts the power at `points` of the log and looks at what is left. How many promises were looked up, or the first that was broken.
fn cut_and_look(
    watched: &Watched,
    records: &[Record],
    facts: &[(usize, Fact)],
    points: usize,
    seed: u64,
) -> Result<usize, String> {
    let mut dice = Dice::new(seed);
    // Half of them anywhere, half where a sync begins or ends or a name changes: that is where an order can be wrong.
    let edges: Vec<usize> = (0..records.len()).filter(|k| "bsRULMTdO".contains(records[*k].kind)).collect();
    let mut cuts: Vec<usize> = (0..points)
        .map(|n| match n % 2 {
            0 => dice.below(records.len() + 1),
            _ => edges[dice.below(edges.len())] + dice.below(2),
        })
        .collect();
    cuts.sort_unstable();
    let (mut disk, mut done) = (Disk::new(&watched.disk()), 0);
    let (mut held, mut checked) = (BTreeSet::new(), 0);
    for (n, cut) in cuts.iter().enumerate() {
        records[done..*cut].iter().for_each(|record| disk.apply(record));
        done = *cut;
        for (place, fact) in &facts[held.len()..] {
            if place > cut {
                break;
            }
            held.insert((*place, fact.clone()));
        }
        // In memory, where there is enough of it: nobody cuts the power of this one.
        let memory = Path::new("/dev/shm");
        let roomy = fs2::available_space(memory).is_ok_and(|free| free > 1024 * 1024 * 1024);
        let left = if roomy { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        disk.survive(&mut dice, left.path());
        let promised: BTreeSet<&Fact> = held.iter().map(|(_, fact)| fact).collect();
        checked += promised.len();
        let served_at = (n % 50 == 25).then(|| watched.listeners.to_vec());
        if let Err(why) = look(&left.path().join("data"), &promised, served_at) {
            let last: Vec<String> = records[cut.saturating_sub(12)..*cut].iter().map(Record::in_words).collect();
            return Err(format!("power cut after {cut} of {} records: {why}\n{}", records.len(), last.join("\n")));
        }
    }
    Ok(checked)
}

/// Opens what is left, and holds it against what was promised.
fn look(
    directory: &Path,
    promised: &BTreeSet<&Fact>,
    served_at: Option<Vec<(&'static str, String)>>,
) -> Result<(), String> {
    let place = Place::in_directory(directory);
    if promised.contains(&Fact::Founded) && !directory.join("cordon.db").exists() {
        return Err(String::from("the database is gone"));
    }
    let opened = founding::open(&place, Arc::new(SystemClock), Arc::new(SystemRandom));
    let cx = opened.map_err(|e| format!("it does not open: {e} {:?}", e.source))?;
    let words = |e: cordon::service::Error| format!("{e} {:?}", e.source);
    let verdict = auditing::verify(&cx, &Actor::LocalShell { user: String::from("ada") }).map_err(words)?;
    if let Some(broken) = verdict.broken_at {
        return Err(format!("the audit is broken at {broken}"));
    }
    let organization = school::find(&cx).map_err(words)?.organization;
    if promised.contains(&Fact::Founded) && organization.as_deref() != Some("Hill School") {
        return Err(format!("the school is {organization:?}"));
    }
    cx.store.close().map_err(|e| e.to_string())?;
    let missing = look_up(&directory.join("cordon.db"), promised).map_err(|e| e.to_string())?;
    if !missing.is_empty() {
        return Err(format!("lost: {missing:?}"));
    }
    look_at_backups(&directory.join("backup"), promised)?;
    if let Some(mut environment) = served_at {
        environment.push(("CORDON_DATA_DIR", directory.display().to_string()));
        environment.push(("CORDON_HOSTNAME", String::from("localhost")));
        Program::start(environment).stop();
    }
    Ok(())
}

/// What of the promises is not in the file; an error if the file is not whole.
fn look_up(file: &Path, promised: &BTreeSet<&Fact>) -> rusqlite::Result<Vec<String>> {
    let db = whole(file)?;
    let column = |sql: &str| -> rusqlite::Result<BTreeSet<String>> {
        db.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
    };
    let enrolled = column("SELECT enrollment_id FROM enrollment")?;
    let accepted = column("SELECT command FROM delivery")?;
    let done =
        column("SELECT command FROM delivery JOIN result ON result.delivery = seq WHERE state = 'Acknowledged'")?;
    let topics = column("SELECT topic FROM push_certificate")?;
    let is_there = |fact: &Fact| match fact {
        Fact::Founded | Fact::Backup { .. } => true,
        Fact::PushCertificate => !topics.is_empty(),
        Fact::Enrolled { udid } => enrolled.contains(udid),
        Fact::Accepted { command } => accepted.contains(command),
        Fact::Done { command } => done.contains(command),
    };
    Ok(promised.iter().filter(|fact| !is_there(fact)).map(|fact| format!("{fact:?}")).collect())
}

/// Opens a file that must hold together.
pub fn whole(file: &Path) -> rusqlite::Result<rusqlite::Connection> {
    let db = rusqlite::Connection::open(file)?;
    let said: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    let stray: i64 = db.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))?;
    match (said.as_str(), stray) {
        ("ok", 0) => Ok(db),
        _ => Err(rusqlite::Error::InvalidParameterName(format!("{said}, {stray} rows that hang on nothing"))),
    }
}

/// Everything that has a backup's name is one, acknowledged or not; those that were acknowledged are there.
fn look_at_backups(folder: &Path, promised: &BTreeSet<&Fact>) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(".db") {
            let db = whole(&path).map_err(|e| format!("{name}: {e}"))?;
            let open = db.query_row("SELECT value FROM setting WHERE name = 'open'", [], |row| row.get::<_, String>(0));
            if open.as_deref() != Ok("false") {
                return Err(format!("{name} is not complete in itself: {open:?}"));
            }
            names.insert(name);
        }
    }
    let gone = |fact: &&&Fact| matches!(fact, Fact::Backup { name } if !names.contains(name));
    match promised.iter().find(gone) {
        Some(fact) => Err(format!("{fact:?} is gone")),
        None => Ok(()),
    }
}
