//! Stopping, starting, copying: one file holds everything, and the server says so plainly when it must not start.

use crate::support::wire::{self, command_uuid};
use crate::support::{Plan, School, lasting_address};
use cordon::server::Options;
use cordon::service::{Error, Kind as Fault};
use cordon::simulator::network::Via;
use cordon::simulator::profile::read_enrollment;
use cordon::simulator::spec::Kind;
use cordon::simulator::state::Channel;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

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

/// The address of people stands in renewals that wait and behind Update buttons; that of the trust profile is on no device.
#[test]
fn the_peoples_address_is_frozen_too_and_that_of_the_trust_profile_is_not() {
    let mut school = School::planned(Plan::with_lasting_ports());
    school.stop();
    school.plan.people = lasting_address();
    school.start();
    let ipad = school.enroll(Kind::Ipad, 1);
    school.stop();
    let held = std::mem::replace(&mut school.plan.people, lasting_address());
    let error = school.start_on(&school.directory()).err().unwrap();
    let words = error.public.to_string();
    assert!(error.public.id() == "urls-frozen" && words.contains("public.people_url"), "{words}");
    school.plan.people = held;
    school.plan.tune = Arc::new(|options: &mut Options| options.trust_url = Some("https://certs.example".into()));
    let server = school.wait_until("the next start", || school.start_on(&school.directory()).ok());
    school.adopt(server);
    let command = school.send(&ipad, "ProfileList", Value::Null);
    school.wait_for(&command, "Acknowledged");
    assert_eq!(school.server().context().urls().trust, "https://certs.example");
}

#[test]
fn a_host_name_changes_only_while_the_old_one_goes_on_leading_here() {
    let mut school = School::planned(Plan::with_lasting_ports());
    let ipad = school.enroll(Kind::Ipad, 1);
    school.world().network.route("mdm.hill.example", "127.0.0.1:0".parse().unwrap(), Via::Tls).unwrap();
    let (set, name) = (json!({ "hostname": "mdm.hill.example" }), "mdm.hill.example");
    let why = school.api("POST", "/setup", &set).is_problem(409, "urls-frozen");
    assert!(why.contains("hostname_aliases") && why.contains("1 enrolled"), "{why}");
    school.api("POST", "/setup", &json!({ "hostname": "localhost" })).is(200);
    // As the text says: the old name is kept beside the new one.
    school.stop();
    school.plan.tune = Arc::new(|options: &mut Options| options.aliases = vec!["localhost".into()]);
    school.start();
    school.api("POST", "/setup", &set).is(200);
    school.stop();
    school.start();
    let urls = school.server().context().urls();
    assert!(urls.devices.contains(name) && urls.people.contains(name), "{urls:?}");
    let command = school.send(&ipad, "ProfileList", Value::Null);
    school.wait_for(&command, "Acknowledged");
    // Its renewal keeps the address that it holds, a newcomer gets the new one.
    school.api("POST", &format!("/devices/{}/renew", ipad.udid()), &Value::Null).is(201);
    school.wait_until("the renewal", || {
        let renewal = school.device(&ipad)["identity"]["renewal"]["state"].clone();
        (renewal == "done").then_some(())
    });
    let held = ipad.with(|d| d.state().held.as_ref().unwrap().profile.0.clone());
    let address = |profile: &[u8]| read_enrollment(profile).unwrap().mdm.server_url.to_string();
    assert!(address(&held).contains("localhost") && address(&school.profile(&Value::Null)).contains(name));
    // Without the alias it would be stranded, and the server says so instead of starting.
    school.stop();
    let kept = std::mem::replace(&mut school.plan.tune, Arc::new(|_: &mut Options| ()));
    let error = school.start_on(&school.directory()).err().unwrap();
    assert_eq!((error.kind, error.public.id()), (Fault::Conflict, "urls-frozen"));
    school.plan.tune = kept;
    let server = school.wait_until("the next start", || school.start_on(&school.directory()).ok());
    school.adopt(server);
    // The last device that holds it has gone: nobody needs the alias any more.
    school.api("POST", &format!("/devices/{}/release", ipad.udid()), &Value::Null).is(200);
    school.stop();
    school.plan.tune = Arc::new(|_: &mut Options| ());
    school.start();
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
