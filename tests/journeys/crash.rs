//! The real program is killed at random moments while a classroom enrols and works, and started again on the same data. Whatever a
//! device was told with 200 is in the database, everything ends well, and nothing runs twice.

use crate::support::api::Reply;
use crate::support::{TOPIC, lasting_address};
use cordon::base::random::bytes;
use cordon::http::control::{Client, socket_path};
use cordon::pki::SystemRandom;
use cordon::simulator::apns::{OnPush, StandIn};
use cordon::simulator::classroom::{Plan, Progress};
use cordon::simulator::device::{Device, World};
use cordon::simulator::fleet::Fleet;
use cordon::simulator::network::Network;
use cordon::simulator::state::{Channel, Event, Standing};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const DEVICES: usize = 12;
const KILLS: usize = 8;
/// A device enrols anew when the server dies in the middle; each try brings new push tokens.
const GENERATIONS: u32 = 20;
const PATIENCE: Duration = Duration::from_secs(60);

/// A school with a push certificate whose server can be killed: the real program on a folder of its own, with a stand-in for Apple.
pub struct Mortal {
    pub program: Program,
    pub teacher: Teacher,
    pub stand_in: StandIn,
    pub directory: PathBuf,
    pub folder: tempfile::TempDir,
}

impl Mortal {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("data");
        std::fs::create_dir(&directory).unwrap();
        let stand_in = StandIn::start().unwrap();
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, stand_in.ca_pem()).unwrap();
        let program = Program::start(vec![
            ("CORDON_DATA_DIR", directory.display().to_string()),
            ("CORDON_HOSTNAME", "localhost".into()),
            ("CORDON_LISTEN_PEOPLE", lasting_address()),
            ("CORDON_LISTEN_DEVICES", lasting_address()),
            ("CORDON_APPLE_APNS_URL", stand_in.url()),
            ("CORDON_APPLE_CA_FILE", ca_file.display().to_string()),
        ]);
        let teacher = Teacher { socket: socket_path(&directory).0 };
        let (certificate, key) = stand_in.push_certificate(TOPIC).unwrap();
        teacher.call("POST", "/push-certificates", &json!({ "certificate_pem": certificate, "key_pem": key })).is(201);
        Self { program, teacher, stand_in, directory, folder }
    }
}

/// The program, its environment, and the process that runs now.
pub struct Program {
    environment: Vec<(&'static str, String)>,
    child: Child,
}

impl Program {
    pub fn start(environment: Vec<(&'static str, String)>) -> Self {
        let child = spawn(&environment);
        let mut program = Self { environment, child };
        program.await_ready();
        program
    }

    fn await_ready(&mut self) {
        let mut line = String::new();
        BufReader::new(self.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value =
            serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: “{line}”, {}", self.last_words()));
        assert_eq!(ready["ready"], true);
    }

    fn last_words(&mut self) -> String {
        let status = self.child.wait();
        let log = self
            .environment
            .iter()
            .find(|(name, _)| *name == "CORDON_DATA_DIR")
            .map(|(_, dir)| Path::new(dir).with_extension("log"));
        format!("{status:?}: {}", std::fs::read_to_string(log.unwrap()).unwrap_or_default())
    }

    /// SIGKILL, as a power cut for everything but the disk's own cache.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn start_again(&mut self) {
        self.child = spawn(&self.environment);
        self.await_ready();
    }

    pub fn stop(mut self) {
        self.rest();
    }

    /// A clean stop, after which it can be started again.
    pub fn rest(&mut self) {
        self.signal(rustix::process::Signal::TERM);
        assert!(self.child.wait().unwrap().success(), "{}", self.last_words());
    }

    /// Sends this signal until the program is gone.
    pub fn kill_with(&mut self, signal: rustix::process::Signal) {
        while self.child.try_wait().unwrap().is_none() {
            self.signal(signal);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Only one that a failed test left behind is still there.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(environment: &[(&'static str, String)]) -> Child {
    let directory = &environment.iter().find(|(name, _)| *name == "CORDON_DATA_DIR").unwrap().1;
    let log =
        std::fs::File::options().create(true).append(true).open(Path::new(directory).with_extension("log")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_cordon"))
        .args(["serve", "--json"])
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (*name, value.as_str())))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// The teacher at the control socket, who tries again while nobody answers.
pub struct Teacher {
    pub socket: PathBuf,
}

impl Teacher {
    pub fn call(&self, method: &str, path: &str, body: &Value) -> Reply {
        let until = Instant::now() + PATIENCE;
        let bytes = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
        loop {
            match Client::new(&self.socket).request(method, &format!("/api/v1{path}"), &[], &bytes) {
                Ok((status, headers, body)) => return Reply { status, headers, body },
                Err(e) => assert!(Instant::now() < until, "{method} {path}: {e}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Under a UUID of our own, so that asking again after a crash cannot make two of one.
    pub fn send(&self, udid: &str, uuid: &str, request_type: &str, mut keys: Value) {
        keys["RequestType"] = json!(request_type);
        keys["CommandUUID"] = json!(uuid);
        let reply = self.call("POST", &format!("/devices/{udid}/commands"), &keys);
        assert!(reply.status == 201 || reply.is_problem(409, "uuid-taken").contains(uuid), "{}", reply.text());
    }
}

/// Makes every token known that any enrolment of these devices can bring.
pub fn register(stand_in: &StandIn, fleet: &Fleet) {
    let receiver = fleet.receiver();
    let on_push: OnPush = Arc::new(move |push| receiver(&push.token, &push.magic));
    for mut state in fleet.map(|d| d.state().clone()) {
        for generation in 1..=GENERATIONS {
            state.generation = generation;
            for line in [Channel::Device, Channel::User].map(|channel| state.new_line(channel)) {
                stand_in.register(&line.token.0, TOPIC, &line.magic, Arc::clone(&on_push));
            }
        }
    }
}

/// Enrols everybody, however often it takes, then gives everybody the morning's commands. UUID and UDID of each command.
fn teach(teacher: &Teacher, fleet: &Fleet) -> BTreeMap<String, String> {
    let until = Instant::now() + PATIENCE;
    loop {
        let standing = fleet.map(|d| d.standing());
        let missing: Vec<usize> = (0..fleet.len()).filter(|k| standing[*k] != Standing::Enrolled).collect();
        if missing.is_empty() {
            break;
        }
        assert!(Instant::now() < until, "{missing:?} never enrolled: {:?}", fleet.troubles());
        for k in missing {
            let profile = teacher.call("POST", "/enrollments/profile", &Value::Null);
            assert_eq!(profile.status, 201, "{}", profile.text());
            fleet.enroll(k, profile.body);
        }
        assert!(fleet.settle(PATIENCE));
    }
    let mut sent = BTreeMap::new();
    for (round, (request_type, keys)) in super::morning().into_iter().enumerate() {
        give_all(teacher, fleet, &mut sent, round, request_type, &keys);
    }
    sent
}

fn give_all(
    teacher: &Teacher,
    fleet: &Fleet,
    sent: &mut BTreeMap<String, String>,
    round: usize,
    request_type: &str,
    keys: &Value,
) {
    for (k, udid) in fleet.map(|d| d.spec().udid.clone()).into_iter().enumerate() {
        let uuid = format!("{round:08X}-0000-4000-8000-{k:012X}");
        teacher.send(&udid, &uuid, request_type, keys.clone());
        sent.insert(uuid, udid);
    }
}

/// Waits until nothing waits: whoever found nobody is called again after each start.
fn see_to_the_end(teacher: &Teacher, fleet: &Fleet) {
    let until = Instant::now() + PATIENCE;
    loop {
        let devices = teacher.call("GET", "/devices", &Value::Null).is(200);
        let waiting: Vec<&Value> = devices["items"].as_array().unwrap().iter().filter(|d| d["waiting"] != 0).collect();
        if waiting.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "{waiting:?} {:?}", fleet.troubles());
        std::thread::sleep(Duration::from_millis(50));
        assert!(fleet.settle(PATIENCE));
    }
}

/// Every `Acknowledged` that a device got a 200 for. Such a command must never come again.
pub fn promised(fleet: &Fleet) -> Vec<String> {
    let of_device = |device: &mut Device| -> Vec<String> {
        let mut promised = Vec::new();
        for entry in device.log() {
            match &entry.event {
                Event::Report { status, command_uuid: Some(uuid), answer: 200 } if status == "Acknowledged" => {
                    promised.push(uuid.clone())
                }
                Event::Command { command_uuid, .. } => {
                    assert!(!promised.contains(command_uuid), "{command_uuid} was done, and came again")
                }
                _ => {}
            }
        }
        promised
    };
    fleet.map(of_device).concat()
}

pub fn assert_kept(teacher: &Teacher, promised: &[String]) {
    for uuid in promised {
        let command = teacher.call("GET", &format!("/commands/{uuid}"), &Value::Null).is(200);
        assert_eq!(command["state"], "Acknowledged", "the device was told 200: {command}");
    }
}

#[test]
fn a_server_killed_at_random_keeps_every_promise() {
    let Mortal { mut program, teacher, stand_in, directory, folder: _folder } = Mortal::start();

    let mut network = Network::default();
    network.timeout = Duration::from_secs(5);
    let world = Arc::new(World::real(network));
    world.keys.fill(2 * DEVICES, 2).unwrap();
    let mut devices = Plan::school_morning(DEVICES).devices(&world);
    for device in &mut devices {
        device.behaviour_mut().retry_millis = 50;
        device.behaviour_mut().repoll_millis = 200;
    }
    let fleet = Fleet::start(world, devices, 4);
    register(&stand_in, &fleet);

    let calm = AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            let mut sent = teach(&teacher, &fleet);
            let first = super::morning().len();
            // However fast this machine is, there is work as long as there is trouble.
            for round in first.. {
                if calm.load(Ordering::SeqCst) {
                    break;
                }
                give_all(&teacher, &fleet, &mut sent, round, "ProfileList", &json!({}));
                assert!(fleet.settle(PATIENCE));
            }
            see_to_the_end(&teacher, &fleet);
            sent
        });
        for _ in 0..KILLS {
            let [a, b] = bytes::<2>(&SystemRandom);
            std::thread::sleep(Duration::from_millis(u64::from(a) + u64::from(b)));
            program.kill();
            let promised = promised(&fleet);
            program.start_again();
            assert_kept(&teacher, &promised);
        }
        calm.store(true, Ordering::SeqCst);
        work.join().unwrap()
    });

    for (uuid, udid) in &sent {
        let command = teacher.call("GET", &format!("/commands/{uuid}"), &Value::Null).is(200);
        assert_eq!(command["state"], "Acknowledged", "{udid} {command}");
    }
    let promised = promised(&fleet);
    let of_ours = promised.iter().filter(|uuid| sent.iter().any(|(sent, _)| sent == *uuid)).count();
    assert_eq!(of_ours, sent.len(), "each was acknowledged once");
    let progress = Progress::of(&fleet.map(|d| d.state().clone()));
    assert!(progress.is_complete() && progress.ran_twice == 0, "{progress:?}");
    let verdict = teacher.call("GET", "/audit/verify", &Value::Null).is(200);
    assert_eq!(verdict["broken_at"], Value::Null);
    check_file(program, &directory, promised.len());
}

/// Stopped cleanly, the file alone is whole and holds one result for each command.
fn check_file(program: Program, directory: &Path, commands: usize) {
    program.stop();
    assert!(!directory.join("cordon.db-wal").exists());
    let db = rusqlite::Connection::open(directory.join("cordon.db")).unwrap();
    let text = |sql: &str| db.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    let number = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(text("PRAGMA integrity_check"), "ok");
    assert_eq!(number("SELECT count(*) FROM pragma_foreign_key_check"), 0);
    assert_eq!(number("SELECT count(*) FROM result"), i64::try_from(commands).unwrap());
    assert_eq!(number("SELECT count(*) FROM device"), i64::try_from(DEVICES).unwrap());
}
