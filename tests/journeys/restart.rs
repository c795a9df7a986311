//! Stopping, starting, copying: one file holds everything, and the server says so plainly when it must not start.

use crate::support::wire::{self, command_uuid};
use crate::support::{Plan, School, lasting_address};
use cordon::service::{Error, Kind as Fault};
use cordon::simulator::spec::Kind;
use cordon::simulator::state::Channel;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn files(directory: &Path) -> BTreeSet<String> {
    fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

/// What only the log and the person at the terminal get to read.
fn words(error: &Error) -> String {
    error.source.as_ref().map_or_else(|| error.public.to_string(), |source| source.to_string())
}

#[test]
fn a_stopped_server_is_one_file_and_goes_on_where_it_was() {
    let mut school = School::planned(Plan::with_lasting_ports());
    let (ipad, mac) = (school.enroll_deaf(Kind::Ipad, 1), school.enroll(Kind::Mac, 4));
    let token = school.token("auditor");
    let done = school.send(&mac, "DeviceInformation", json!({ "Queries": ["DeviceName"] }));
    school.wait_for(&done, "Acknowledged");
    let waiting = school.send(&ipad, "ProfileList", Value::Null);
    let handed = school.caller(Some(&ipad.identity())).report(&wire::idle(&ipad.udid()));
    assert_eq!(command_uuid(&handed), Some(waiting.clone()));
    let before =
        [school.command(&done), school.command(&waiting), school.get("/audit"), school.get("/push-certificates")];

    school.stop();
    let left = files(&school.directory());
    assert!(left.contains("cordon.db") && left.contains("machine.key"), "{left:?}");
    let extra: Vec<_> =
        left.iter().filter(|f| f.contains("-wal") || f.contains("-shm") || f.contains(".sock")).collect();
    assert!(extra.is_empty(), "{extra:?}");
    let copy = tempfile::tempdir().unwrap();
    for name in ["cordon.db", "machine.key"] {
        fs::copy(school.directory().join(name), copy.path().join(name)).unwrap();
    }

    school.start();
    let after =
        [school.command(&done), school.command(&waiting), school.get("/audit"), school.get("/push-certificates")];
    assert_eq!(before, after);
    school.https(Some(&token), "GET", "/api/v1/devices", &Value::Null).is(200);
    let again = school.caller(Some(&ipad.identity())).report(&wire::idle(&ipad.udid()));
    assert_eq!(again.body, handed.body, "byte for byte, also after a restart");
    ipad.poll(Channel::Device).unwrap();
    assert_eq!(school.state_of(&waiting), "Acknowledged");
    let pushed = school.send(&mac, "ProfileList", Value::Null);
    school.wait_for(&pushed, "Acknowledged");

    // The copy knows nothing of what came after it, and the devices cannot tell the difference.
    school.stop();
    school.start_in(copy.path());
    assert_eq!(school.state_of(&waiting), "Sent");
    school.api("GET", &format!("/commands/{pushed}"), &Value::Null).is_problem(404, "no-such-command");
    ipad.poll(Channel::Device).unwrap();
    assert_eq!(school.state_of(&waiting), "Acknowledged");
    let fresh = school.send(&mac, "SecurityInfo", Value::Null);
    school.wait_for(&fresh, "Acknowledged");
    let ran = ipad.executed();
    assert_eq!((ran.len(), ran[0].executions, ran[0].deliveries), (1, 1, 2));
    school.stop();
}

#[test]
fn a_device_that_came_in_vain_is_called_again_after_the_start() {
    let mut school = School::planned(Plan::with_lasting_ports());
    let ipad = school.enroll_deaf(Kind::Ipad, 1);
    let idle = school.enroll_deaf(Kind::Ipad, 2);
    let uuid = school.send(&ipad, "ProfileList", Value::Null);
    school.wait_until("the push to be filed", || school.device(&ipad)["push"]["next"].as_str().map(drop));
    school.stop();
    assert!(ipad.poll(Channel::Device).is_err(), "nobody is there");
    ipad.set_deaf(false);
    school.start();
    school.wait_for(&uuid, "Acknowledged");
    assert!(idle.pushes(Channel::Device).is_empty(), "only those with work are called");
}

#[test]
fn a_second_server_on_the_same_directory_is_told() {
    let school = School::bare(Plan::default());
    let error = school.start_on(&school.directory()).err().unwrap();
    assert!(words(&error).contains("another Cordon server is running"), "{}", words(&error));
    assert_eq!(school.get("/devices")["items"], json!([]), "the first one is not disturbed");
}

#[test]
fn the_devices_address_cannot_change_under_them() {
    let mut school = School::planned(Plan::with_lasting_ports());
    let ipad = school.enroll(Kind::Ipad, 1);
    school.stop();
    let held = std::mem::replace(&mut school.plan.devices, lasting_address());
    let error = school.start_on(&school.directory()).err().unwrap();
    assert_eq!((error.kind, error.public.id()), (Fault::Conflict, "urls-frozen"));
    assert!(error.public.to_string().contains(&held["127.0.0.1".len()..]), "{}", error.public);
    school.plan.devices = held;
    // The refused start lets go of the file when its last thread has seen that it is over.
    let server = school.wait_until("the next start", || school.start_on(&school.directory()).ok());
    school.adopt(server);
    let uuid = school.send(&ipad, "ProfileList", Value::Null);
    school.wait_for(&uuid, "Acknowledged");
}

#[test]
fn a_database_without_its_key_or_with_anothers_does_not_open() {
    let (mut school, mut other) = (School::bare(Plan::default()), School::bare(Plan::default()));
    school.stop();
    other.stop();
    let (key, theirs) = (school.directory().join("machine.key"), other.directory().join("machine.key"));
    let ours = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let error = school.start_on(&school.directory()).err().unwrap();
    assert!(words(&error).contains("is missing"), "{}", words(&error));
    assert!(!key.exists(), "no new key in its place");
    fs::copy(theirs, &key).unwrap();
    let error = school.start_on(&school.directory()).err().unwrap();
    assert!(words(&error).contains("belongs to another"), "{}", words(&error));
    fs::write(&key, ours).unwrap();
    school.start();
    assert_eq!(school.get("/devices")["items"], json!([]));
}
