//! A Mac escrows its FileVault key to the school, the school opens it, and who sees it makes the Mac take a new one.

use super::{REASON, kept};
use crate::support::School;
use crate::support::hidden::assert_hidden;
use cordon::simulator::filevault::recovery_key;
use cordon::simulator::profile;
use cordon::simulator::spec::Kind;
use serde_json::{Value, json};

#[test]
fn escrowed_opened_shown_and_changed_by_itself() {
    let school = School::new();
    let mac = school.enroll(Kind::Mac, 4);
    let first = mac.with(|d| recovery_key(d.state()));
    let installed = school.of(&mac, "filevault", &Value::Null).is(201)["command_uuid"].as_str().unwrap().to_owned();
    school.wait_for(&installed, "Acknowledged");
    let look = || {
        let uuid = school.send(&mac, "SecurityInfo", Value::Null);
        school.wait_for(&uuid, "Acknowledged")
    };
    let shown = look();
    assert_eq!(shown["result"]["SecurityInfo"]["FDE_PersonalRecoveryKeyCMS"], json!({ "sealed": "filevault-key" }));
    // The same key again is no new generation.
    look();
    let of_kind = || school.secrets(&mac).into_iter().filter(|s| s.0 == "filevault-key").collect::<Vec<_>>();
    assert_eq!(of_kind(), [kept("filevault-key", 1, "confirmed")]);

    let seen = school.reveal(&mac, "filevault-key");
    assert_eq!(seen["value"], json!(first));
    school.wait_until("the new key", || (of_kind().len() == 2).then_some(()));
    let second = mac.with(|d| recovery_key(d.state()));
    assert_ne!(first, second);
    let list = school.get(&format!("/commands?device={}", mac.udid()));
    let rotated: Vec<_> =
        list["items"].as_array().unwrap().iter().filter(|c| c["request_type"] == "RotateFileVaultKey").collect();
    assert_eq!((rotated.len(), &rotated[0]["created_by"]), (1, &json!("job:custody")));
    look();
    assert_eq!(of_kind().len(), 2, "SecurityInfo has the key that the answer brought");
    // An old key is shown without changing the one in force.
    let old = school.of(&mac, "secrets/filevault-key/reveal", &json!({ "reason": REASON, "generation": 1 })).is(200);
    assert_eq!(old["value"], json!(first));
    assert_eq!(mac.with(|d| recovery_key(d.state())), second);
    assert_hidden(&school, "the first FileVault key", first.as_bytes());
    assert_hidden(&school, "the second FileVault key", second.as_bytes());
    assert_eq!(school.reveal(&mac, "filevault-key")["value"], json!(second));

    let ipad = school.enroll(Kind::Ipad, 1);
    school.of(&ipad, "filevault", &Value::Null).is_problem(409, "only-macs");
}

#[test]
fn the_profile_as_a_file_and_a_key_that_outlives_restart_and_rotation() {
    let mut school = School::planned(crate::support::Plan::with_lasting_ports());
    let file = school.api("POST", "/filevault/profile", &Value::Null);
    assert_eq!(file.status, 201);
    let read = profile::read(&file.body).unwrap();
    assert_eq!((read.payloads.len(), read.signers.is_empty()), (2, false));
    let mac = school.enroll(Kind::Mac, 2);
    let installed = school.of(&mac, "filevault", &Value::Null).is(201)["command_uuid"].as_str().unwrap().to_owned();
    school.wait_for(&installed, "Acknowledged");
    school.stop();
    school.start();
    let cx = std::sync::Arc::clone(school.server().context());
    school.api("POST", "/key/rotate", &json!({})).is(202);
    while cordon::service::rotating::step(&cx).unwrap() {}
    drop(cx);
    let uuid = school.send(&mac, "SecurityInfo", Value::Null);
    school.wait_for(&uuid, "Acknowledged");
    let key = mac.with(|d| recovery_key(d.state()));
    assert_eq!(school.reveal(&mac, "filevault-key")["value"], json!(key));
}
