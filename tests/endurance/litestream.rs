//! A continuous copy elsewhere: the real Litestream, with the configuration that the handbook shows, replicates a working school to a folder.
//! The machine is lost, and the school comes back from the folder. Skipped, loudly, where Litestream is not; `scripts/test` fetches it.

use super::{enroll_all, impatient, import_push_certificate, register};
use crate::appliance::{cordon, done, write_ca};
use crate::journeys::crash::{Program, Teacher};
use crate::support::{PATIENCE, lasting_address};
use cordon::http::control::socket_path;
use cordon::simulator::apns::StandIn;
use cordon::simulator::device::{Device, World};
use cordon::simulator::fleet::Fleet;
use cordon::simulator::network::Network;
use cordon::simulator::spec::Spec;
use cordon::simulator::state::Standing;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const DEVICES: usize = 4;

struct Litestream {
    binary: PathBuf,
    configuration: PathBuf,
}

impl Litestream {
    fn begin(&self) -> Child {
        let mut command = Command::new(&self.binary);
        command.args(["replicate", "-config"]).arg(&self.configuration);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn restore(&self, database: &Path, to: &Path) -> Output {
        let mut command = Command::new(&self.binary);
        command.args(["restore", "-config"]).arg(&self.configuration).arg("-o").arg(to).arg(database);
        command.output().unwrap()
    }
}

/// The handbook's own configuration, for these places; `None` where there is no Litestream.
fn litestream(database: &Path, folder: &Path, replica: &Path) -> Option<Litestream> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let binary = root.join("tests/litestream/node_modules/@flydotio/litestream-linux-x64/litestream");
    if !binary.exists() {
        eprintln!("SKIPPED: there is no Litestream here; scripts/test fetches it");
        return None;
    }
    let page = std::fs::read_to_string(root.join("docs/off-site.md")).unwrap();
    let shown: Vec<&str> = page.lines().skip_while(|line| line.trim() != "dbs:").collect();
    let shown: Vec<&str> =
        shown.into_iter().take_while(|line| line.starts_with("    ")).map(|line| &line[4..]).collect();
    let text = shown.join("\n") + "\n";
    assert!(text.contains("/var/lib/cordon/cordon.db") && text.contains("/mnt/other-house/cordon"), "{text}");
    let text = text.replace("/var/lib/cordon/cordon.db", database.to_str().unwrap());
    let configuration = folder.join("litestream.yml");
    std::fs::write(&configuration, text.replace("/mnt/other-house/cordon", replica.to_str().unwrap())).unwrap();
    Some(Litestream { binary, configuration })
}

#[test]
fn a_school_comes_back_from_a_continuous_copy() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (home, rebuilt) = (at("data"), at("new"));
    let Some(litestream) = litestream(&home.join("cordon.db"), folder.path(), &at("elsewhere")) else { return };
    let code = at("code.txt");
    let code = code.to_str().unwrap();
    let setup = ["setup", "--organization", "Hill School", "--hostname", "localhost", "--recovery-code-file", code];
    done(&home, &setup);
    let stand_in = StandIn::start().unwrap();
    let mut program = Program::start(vec![
        ("CORDON_DATA_DIR", home.display().to_string()),
        ("CORDON_LISTEN_PEOPLE", lasting_address()),
        ("CORDON_LISTEN_DEVICES", lasting_address()),
        ("CORDON_APPLE_APNS_URL", stand_in.url()),
        ("CORDON_APPLE_CA_FILE", write_ca(&stand_in, folder.path())),
    ]);
    let teacher = Teacher { socket: socket_path(&home).0 };
    import_push_certificate(&teacher, &stand_in);
    let mut replicating = litestream.begin();

    let world = Arc::new(World::real(Network::default()));
    world.keys.fill(DEVICES, 2).unwrap();
    let class = Spec::classroom(DEVICES).into_iter().map(|spec| Device::new(Arc::clone(&world), spec)).collect();
    let fleet = Fleet::start(world, impatient(class), 2);
    register(&stand_in, &fleet, 2);
    enroll_all(&teacher, &fleet);
    let udids = fleet.map(|d| d.spec().udid.clone());
    let last = give_work(&teacher, &udids, 1);

    // A second or so behind: the copy is looked at until the last answer is in it.
    let copied = at("copied.db");
    wait(|| {
        let _ = std::fs::remove_file(&copied);
        litestream.restore(&home.join("cordon.db"), &copied).status.success() && holds(&copied, &last)
    });
    program.kill();
    drop(program);
    replicating.kill().unwrap();
    replicating.wait().unwrap();
    std::fs::remove_dir_all(&home).unwrap();

    let back = at("back.db");
    let restored = litestream.restore(&home.join("cordon.db"), &back);
    assert!(restored.status.success(), "{restored:?}");
    let file = back.to_str().unwrap();
    // It looks like a file without its WAL, so it has to be said that it is not.
    let doubted = cordon(&rebuilt, &["restore", file, "--recovery-code-file", code]);
    assert!(String::from_utf8_lossy(&doubted.stderr).contains("--replica"), "{doubted:?}");
    done(&rebuilt, &["restore", file, "--replica", "--verify", "--recovery-code-file", code, "--json"]);
    done(&rebuilt, &["restore", file, "--replica", "--recovery-code-file", code, "--json"]);
    let generations = fleet.map(|d| d.state().generation);
    let program = Program::start(vec![("CORDON_DATA_DIR", rebuilt.display().to_string())]);
    let teacher = Teacher { socket: socket_path(&rebuilt).0 };
    give_work(&teacher, &udids, 2);
    assert!(fleet.map(|d| d.standing()).iter().all(|s| *s == Standing::Enrolled), "{:?}", fleet.troubles());
    assert_eq!(fleet.map(|d| d.state().generation), generations, "nobody enrolled again");
    assert_eq!(teacher.call("GET", "/audit/verify", &Value::Null).is(200)["broken_at"], Value::Null);
    // Litestream's own tables do not disturb a clean stop, nor the next start.
    program.stop();
    done(&rebuilt, &["device", "list", "--json"]);
}

/// A command for everybody, answered; the last one's UUID.
fn give_work(teacher: &Teacher, udids: &[String], round: usize) -> String {
    let uuid = |k: usize| format!("{round:08X}-0000-4000-8000-{k:012X}");
    for (k, udid) in udids.iter().enumerate() {
        teacher.send(udid, &uuid(k), "DeviceInformation", json!({ "Queries": ["DeviceName"] }));
    }
    for k in 0..udids.len() {
        wait(|| {
            teacher.call("GET", &format!("/commands/{}", uuid(k)), &Value::Null).is(200)["state"] == "Acknowledged"
        });
    }
    uuid(udids.len() - 1)
}

fn holds(file: &Path, command: &str) -> bool {
    let sql = "SELECT count(*) FROM delivery WHERE command = ?1 AND state = 'Acknowledged'";
    let found =
        rusqlite::Connection::open(file).and_then(|db| db.query_row(sql, [command], |row| row.get::<_, i64>(0)));
    found.is_ok_and(|count| count == 1)
}

fn wait(mut until: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !until() {
        assert!(Instant::now() < end, "waited in vain");
        std::thread::sleep(Duration::from_millis(100));
    }
}
