//! The machine burns down. A backup and the recovery code are enough: the school is on another machine as it was, and its devices carry
//! on without enrolling again.

use super::{cordon, done, write_ca};
use crate::journeys::crash::{Program, Teacher, register};
use crate::support::{TOPIC, lasting_address};
use cordon::http::control::socket_path;
use cordon::simulator::apns::StandIn;
use cordon::simulator::device::{Device, World};
use cordon::simulator::fleet::Fleet;
use cordon::simulator::network::Network;
use cordon::simulator::spec::Spec;
use cordon::simulator::state::Standing;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

const DEVICES: usize = 4;
const PATIENCE: Duration = Duration::from_secs(60);

fn wait_for(teacher: &Teacher, uuid: &str, state: &str) {
    let until = Instant::now() + PATIENCE;
    loop {
        let command = teacher.call("GET", &format!("/commands/{uuid}"), &Value::Null).is(200);
        if command["state"] == state {
            return;
        }
        assert!(Instant::now() < until, "{command}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn from_the_ashes() {
    let (old, new, drawer) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (home, rebuilt) = (old.path().join("data"), new.path().join("data"));
    std::fs::create_dir(&home).unwrap();
    let code = drawer.path().join("code.txt");
    let code_file = code.to_str().unwrap();
    done(
        &home,
        &[
            "setup",
            "--organization",
            "Hill School",
            "--hostname",
            "localhost",
            "--recovery-code-file",
            code_file,
            "--json",
        ],
    );

    let stand_in = StandIn::start().unwrap();
    let mut program = Program::start(vec![
        ("CORDON_DATA_DIR", home.display().to_string()),
        ("CORDON_LISTEN_PEOPLE", lasting_address()),
        ("CORDON_LISTEN_DEVICES", lasting_address()),
        ("CORDON_APPLE_APNS_URL", stand_in.url()),
        ("CORDON_APPLE_CA_FILE", write_ca(&stand_in, drawer.path())),
    ]);
    let teacher = Teacher { socket: socket_path(&home).0 };
    let (certificate, key) = stand_in.push_certificate(TOPIC).unwrap();
    teacher.call("POST", "/push-certificates", &json!({ "certificate_pem": certificate, "key_pem": key })).is(201);

    let world = Arc::new(World::real(Network::default()));
    world.keys.fill(2 * DEVICES, 2).unwrap();
    let mut class: Vec<Device> =
        Spec::classroom(DEVICES).into_iter().map(|spec| Device::new(Arc::clone(&world), spec)).collect();
    for device in &mut class {
        device.behaviour_mut().retry_millis = 50;
        device.behaviour_mut().repoll_millis = 200;
    }
    let fleet = Fleet::start(world, class, 2);
    register(&stand_in, &fleet);
    for k in 0..fleet.len() {
        let profile = teacher.call("POST", "/enrollments/profile", &Value::Null);
        assert_eq!(profile.status, 201, "{}", profile.text());
        fleet.enroll(k, profile.body);
    }
    assert!(fleet.settle(PATIENCE));
    let udids = fleet.map(|d| d.spec().udid.clone());
    let tokens = fleet.map(|d| d.state().generation);

    // Two commands wait for later, and then the backup is made. The lock might have gone out before the fire.
    let later = json!({ "not_before": "2099-01-01T00:00:00Z" });
    let (lock, list) = ("00000001-0000-4000-8000-000000000000", "00000002-0000-4000-8000-000000000000");
    teacher.send(&udids[0], lock, "DeviceLock", later.clone());
    teacher.send(&udids[0], list, "ProfileList", later);
    let copy = drawer.path().join("school.db");
    let made = done(&home, &["backup", "--output", copy.to_str().unwrap(), "--json"]);
    assert!(std::fs::metadata(made["path"].as_str().unwrap()).unwrap().len() == made["bytes"].as_u64().unwrap());
    assert_eq!(done(&home, &["backup", "--list", "--json"])["items"].as_array().unwrap().len(), 1);
    let proof =
        done(&rebuilt, &["restore", copy.to_str().unwrap(), "--verify", "--recovery-code-file", code_file, "--json"]);
    assert_eq!((proof["identities"].as_u64(), proof["schema_version"].as_i64()), (Some(DEVICES as u64), Some(1)));
    assert_eq!((proof["push_topics"][0].as_str(), proof["waiting"].as_u64()), (Some(TOPIC), Some(2)));

    program.kill();
    drop(program);
    std::fs::remove_dir_all(&home).unwrap();

    // Another machine, where nobody knows ports or settings.
    let back = done(&rebuilt, &["restore", copy.to_str().unwrap(), "--recovery-code-file", code_file, "--json"]);
    assert_eq!(back["held_back"], 1, "{back}");
    let written = std::fs::read_to_string(back["configuration_file"].as_str().unwrap()).unwrap();
    assert!(written.contains("listen.devices = \"127.0.0.1:") && written.contains("apple.ca_file"), "{written}");
    let program = Program::start(vec![("CORDON_DATA_DIR", rebuilt.display().to_string())]);
    let teacher = Teacher { socket: socket_path(&rebuilt).0 };
    for (k, udid) in udids.iter().enumerate() {
        teacher.send(
            udid,
            &format!("00000003-0000-4000-8000-{k:012X}"),
            "DeviceInformation",
            json!({ "Queries": ["UDID"] }),
        );
    }
    for k in 0..udids.len() {
        wait_for(&teacher, &format!("00000003-0000-4000-8000-{k:012X}"), "Acknowledged");
    }
    wait_for(&teacher, lock, "Cancelled");
    wait_for(&teacher, list, "Queued");
    assert!(fleet.map(|d| d.standing()).iter().all(|s| *s == Standing::Enrolled), "{:?}", fleet.troubles());
    assert_eq!(fleet.map(|d| d.state().generation), tokens, "nobody enrolled again");
    program.stop();

    // Plain cp of the stopped server's file, and of a backup, is a copy too.
    for file in [rebuilt.join("cordon.db"), copy] {
        let copied = drawer.path().join("plain.db");
        std::fs::copy(&file, &copied).unwrap();
        done(&rebuilt, &["restore", copied.to_str().unwrap(), "--verify", "--recovery-code-file", code_file, "--json"]);
    }
}

#[test]
fn a_backup_without_a_server_and_one_that_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("data");
    done(&home, &["setup", "--organization", "Hill School", "--hostname", "localhost", "--json"]);
    let out = folder.path().join("out.db");
    done(&home, &["backup", "--output", out.to_str().unwrap(), "--json"]);
    done(&home, &["restore", out.to_str().unwrap(), "--verify", "--json"]);
    // Half of it, as a full USB stick would leave it.
    let bytes = std::fs::read(&out).unwrap();
    std::fs::write(&out, &bytes[..bytes.len() / 2]).unwrap();
    let refused = cordon(&home, &["restore", out.to_str().unwrap(), "--verify"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("cannot be restored"), "{refused:?}");
}
