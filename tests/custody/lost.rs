//! Lost and found: marked, in Lost Mode, looked for, back.

use super::REASON;
use crate::support::School;
use crate::support::hidden::holds;
use cordon::simulator::spec::Kind;
use cordon::simulator::state::Channel;
use serde_json::{Value, json};

#[test]
fn lost_located_and_found_again() {
    let school = School::new();
    let ipad = school.enroll_deaf(Kind::Ipad, 1);
    school.of(&ipad, "found", &json!({ "reason": "Back at my desk, seen by me" })).is_problem(409, "not-lost");
    school.of(&ipad, "locate", &json!({ "reason": REASON })).is_problem(409, "not-lost");
    school.of(&ipad, "lost", &json!({})).is_problem(400, "bad-argument");
    assert_eq!(school.device(&ipad)["lost"], "no");

    let marked = school
        .as_person(
            "ada",
            "POST",
            &format!("/devices/{}/lost", ipad.udid()),
            &json!({ "message": "Please call", "phone": "5" }),
        )
        .is(200);
    assert_eq!(
        (&marked["lost"], &marked["lost_by"], &marked["lost_mode"]),
        (&json!("lost"), &json!(super::local("ada")), &json!(false))
    );
    ipad.poll(Channel::Device).unwrap();
    assert!(ipad.with(|d| d.state().lost_mode));
    let shown = school.device(&ipad);
    assert_eq!((&shown["lost"], &shown["lost_mode"]), (&json!("lost"), &json!(true)));
    assert!(shown["lost_since"].is_string());
    assert_eq!(school.audited("device.lost").len(), 1);

    // Who asks, and who looks, says why.
    let raw = school.try_send(&ipad, None, "DeviceLocation", Value::Null);
    raw.is_problem(400, "reason-needed");
    school.of(&ipad, "whereabouts", &json!({ "reason": REASON })).is_problem(404, "no-location");
    let asked = school.of(&ipad, "locate", &json!({ "reason": REASON })).is(201);
    let sound = school.send(&ipad, "PlayLostModeSound", Value::Null);
    ipad.poll(Channel::Device).unwrap();
    assert_eq!(school.state_of(&sound), "Acknowledged");
    let command = school.command(asked["command_uuid"].as_str().unwrap());
    assert_eq!(
        (&command["state"], &command["result"]["Latitude"]),
        (&json!("Acknowledged"), &json!({ "sealed": "location" }))
    );
    school.of(&ipad, "whereabouts", &json!({})).is_problem(400, "reason-needed");
    let helpdesk = school.token("helpdesk");
    let path = format!("/api/v1/devices/{}/whereabouts", ipad.udid());
    school.https(Some(&helpdesk), "POST", &path, &json!({ "reason": REASON })).is_problem(403, "role-missing");
    assert_eq!(school.audited("device.whereabouts").len(), 0);
    let place = school.of(&ipad, "whereabouts", &json!({ "reason": REASON })).is(200);
    let latitude = place["location"]["latitude"].as_f64().unwrap();
    assert!((31.0..33.0).contains(&latitude), "{place}");
    assert_eq!(school.audited("device.whereabouts")[0]["detail"]["reason"], REASON);
    let question =
        school.audited("command.send").into_iter().find(|r| r["detail"]["RequestType"] == "DeviceLocation").unwrap();
    assert_eq!(question["detail"]["reason"], REASON);
    for open in [school.device(&ipad), school.get("/audit?limit=500"), school.get("/commands")] {
        assert!(!holds(open.to_string().as_bytes(), latitude.to_string().as_bytes()), "{open}");
    }

    let found = school.of(&ipad, "found", &json!({ "reason": "Back at my desk, seen by me" })).is(200);
    assert_eq!((&found["lost"], &found["lost_mode"]), (&json!("no"), &json!(true)));
    ipad.poll(Channel::Device).unwrap();
    assert!(!ipad.with(|d| d.state().lost_mode));
    assert_eq!(school.device(&ipad)["lost_mode"], false);
    assert_eq!(school.told(&ipad, "found").len(), 1);
}

#[test]
fn missing_is_a_mark_only_and_a_mac_knows_no_lost_mode() {
    let school = School::new();
    let (ipad, mac) = (school.enroll_deaf(Kind::Ipad, 1), school.enroll_deaf(Kind::Mac, 4));
    let marked = school.of(&ipad, "lost", &json!({ "missing": true })).is(200);
    assert_eq!((&marked["lost"], &marked["command_uuid"]), (&json!("missing"), &Value::Null));
    let marked = school.of(&mac, "lost", &json!({ "phone": "5" })).is(200);
    assert_eq!((&marked["lost"], &marked["command_uuid"]), (&json!("lost"), &Value::Null));
    // It stays marked when it leaves, and when it comes back.
    mac.with(|d| d.remove_management());
    mac.enroll(&school.stand_in, &school.profile(&Value::Null));
    assert_eq!(school.device(&mac)["lost"], "lost");
}

#[test]
fn a_device_that_says_it_is_not_in_lost_mode_is_believed() {
    let school = School::new();
    let ipad = school.enroll_deaf(Kind::Ipad, 1);
    school.of(&ipad, "lost", &json!({ "message": "Please call" })).is(200);
    ipad.poll(Channel::Device).unwrap();
    // Erased and set up again, say: what it acknowledged is no longer so.
    let erase = school.send(&ipad, "EraseDevice", json!({ "reason": "Stolen, never coming back" }));
    ipad.poll(Channel::Device).unwrap();
    assert_eq!(school.state_of(&erase), "Acknowledged");
    let state = ipad.with(|d| d.state().lost_mode);
    ipad.enroll(&school.stand_in, &school.profile(&Value::Null));
    ipad.set_deaf(true);
    school.of(&ipad, "found", &json!({ "reason": "Back at my desk, seen by me" })).is(200);
    ipad.poll(Channel::Device).unwrap();
    assert!(!state, "an erased device is in no Lost Mode");
    assert_eq!(school.device(&ipad)["lost_mode"], false);
}
