//! The same care for what empties a device and for what ends its Lost Mode as for what opens it: a reason through every door, and a
//! second person for ClearPasscode where the school wants one.

use super::{REASON, local};
use crate::support::School;
use crate::support::api::Reply;
use crate::support::device::Handle;
use crate::support::wire::{self, idle};
use cordon::http::control::Client;
use cordon::plist::{Dictionary, Value as Plist, to_xml};
use cordon::simulator::spec::Kind;
use cordon::simulator::state::Channel;
use serde_json::{Value, json};

const POSSESSION: &str = "Ada Acker stands at my desk with it";

/// A raw property list, as it goes past the schema.
fn raw(school: &School, device: &Handle, request_type: &str, query: &str) -> Reply {
    let command = Dictionary::from_iter([(String::from("RequestType"), Plist::from(request_type))]);
    let envelope = Dictionary::from_iter([(String::from("Command"), Plist::Dictionary(command))]);
    let client = Client::new(school.server().socket().0);
    let path = format!("/api/v1/devices/{}/commands{query}", device.udid());
    let headers = [("Content-Type", "application/xml")];
    let (status, headers, body) =
        client.request("POST", &path, &headers, &to_xml(&Plist::Dictionary(envelope))).unwrap();
    Reply { status, headers, body }
}

#[test]
fn erasing_and_ending_lost_mode_need_a_reason_through_every_door() {
    let school = School::new();
    let ipad = school.enroll_deaf(Kind::Ipad, 1);
    for request_type in ["EraseDevice", "DisableLostMode"] {
        for said in [Value::Null, json!({ "reason": "because" })] {
            school.try_send(&ipad, None, request_type, said).is_problem(400, "reason-needed");
        }
        for query in ["", "?reason=short", "?reason=%20%20%20%20%20%20%20%20%20%20%20%20"] {
            raw(&school, &ipad, request_type, query).is_problem(400, "reason-needed");
        }
        let uuid =
            raw(&school, &ipad, request_type, "?reason=ticket%20812%2C%20room%20204").is(201)["command_uuid"].clone();
        let told = school.command(uuid.as_str().unwrap());
        assert_eq!(told["history"][0]["detail"]["reason"], REASON);
        school.api("DELETE", &format!("/commands/{}", uuid.as_str().unwrap()), &Value::Null).is(200);
    }
    let rows = school.audited("command.send");
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rows.iter().all(|row| row["detail"]["reason"] == REASON));
    assert_eq!(school.get("/audit/verify")["broken_at"], Value::Null);
}

#[test]
fn lost_mode_of_a_marked_device_ends_with_the_mark_and_not_behind_it() {
    let school = School::new();
    let ipad = school.enroll_deaf(Kind::Ipad, 1);
    let end = || school.try_send(&ipad, None, "DisableLostMode", json!({ "reason": REASON }));
    for missing in [true, false] {
        school.of(&ipad, "lost", &json!({ "missing": missing, "message": "Please call" })).is(200);
        assert!(end().is_problem(409, "still-lost").contains("device found"));
        raw(&school, &ipad, "DisableLostMode", "?reason=ticket%20812%2C%20room%20204").is_problem(409, "still-lost");
    }
    ipad.poll(Channel::Device).unwrap();
    assert!(ipad.with(|d| d.state().lost_mode));
    school.of(&ipad, "found", &json!({})).is_problem(400, "reason-needed");
    let back = school.of(&ipad, "found", &json!({ "reason": REASON })).is(200);
    assert_eq!(school.audited("device.found")[0]["detail"]["reason"], REASON);
    assert_eq!(school.told(&ipad, "found")[0]["detail"]["reason"], REASON);

    // Lost again before it heard of it: the end of Lost Mode does not reach it any more, also when it was out already.
    let ends = back["command_uuid"].as_str().unwrap().to_owned();
    let mut caller = school.caller(Some(&ipad.identity()));
    assert_eq!(wire::command_uuid(&caller.report(&idle(&ipad.udid()))).as_deref(), Some(ends.as_str()));
    let marked = school.of(&ipad, "lost", &json!({ "message": "Please call" })).is(200);
    let next = wire::command_uuid(&caller.report(&idle(&ipad.udid())));
    assert_eq!(next.as_deref(), marked["command_uuid"].as_str());
    assert_eq!(school.state_of(&ends), "Cancelled");
}

#[test]
fn a_second_person_agrees_to_clearing_a_passcode_if_the_school_wants() {
    let school = School::new();
    let ipad = school.enroll_deaf(Kind::Ipad, 1);
    let path = format!("/devices/{}/commands", ipad.udid());
    let body = json!({ "RequestType": "ClearPasscode", "possession": POSSESSION });
    let ask = |user: &str| school.as_person(user, "POST", &path, &body);
    let approve =
        |user: &str, id: &str| school.as_person(user, "POST", &format!("/secret-requests/{id}/approve"), &json!({}));
    let requests = || school.get("/secret-requests")["items"].as_array().unwrap().clone();

    // Queued by one person, before the rule: it is not handed out under it.
    let before = ask("ada").is(201)["command_uuid"].as_str().unwrap().to_owned();
    let owner = school.token("owner");
    school
        .https(Some(&owner), "POST", "/api/v1/secret-rule", &json!({ "clear_passcode": true }))
        .is_problem(403, "not-for-scripts");
    let rule = school.api("POST", "/secret-rule", &json!({ "clear_passcode": true })).is(200);
    assert_eq!(rule, json!({ "two_person": false, "clear_passcode": true }));
    ipad.poll(Channel::Device).unwrap();
    assert_eq!(school.state_of(&before), "Cancelled");
    assert!(ipad.with(|d| d.state().passcode));
    assert!(school.told(&ipad, "cancelled")[0]["detail"]["why"].as_str().unwrap().contains("second person"));

    // A secret is still shown on one person's word.
    assert!(school.reveal(&ipad, "unlock-token")["value"].is_string());

    let words = ask("ada").is_problem(409, "second-person-needed");
    raw(&school, &ipad, "ClearPasscode", "?possession=Ada%20stands%20at%20my%20desk")
        .is_problem(409, "second-person-needed");
    school.https(Some(&owner), "POST", &format!("/api/v1{path}"), &body).is_problem(409, "second-person-needed");
    let hers = requests().into_iter().find(|r| r["asked_by"] == local("ada")).unwrap();
    assert_eq!((&hers["kind"], &hers["reason"]), (&json!("ClearPasscode"), &json!(POSSESSION)));
    let id = hers["id"].as_str().unwrap().to_owned();
    assert!(words.contains(&id));
    approve("ada", &id).is_problem(403, "own-secret-request");
    approve("grace", &id).is(200);
    ask("emmy").is_problem(409, "second-person-needed");
    let sent = ask("ada").is(201)["command_uuid"].as_str().unwrap().to_owned();
    ask("ada").is_problem(409, "second-person-needed");
    let row = school.audited("command.send").into_iter().find(|r| r["detail"]["command"] == json!(sent)).unwrap();
    assert_eq!((&row["detail"]["request"], &row["detail"]["possession"]), (&json!(id), &json!(POSSESSION)));
    ipad.poll(Channel::Device).unwrap();
    assert_eq!(school.state_of(&sent), "Acknowledged");
    assert!(!ipad.with(|d| d.state().passcode));

    // Agreed to, and then lost: nobody's word is enough.
    let id = requests().into_iter().find(|r| r["asked_by"] == local("ada")).unwrap()["id"].as_str().unwrap().to_owned();
    approve("grace", &id).is(200);
    school.of(&ipad, "lost", &json!({ "missing": true })).is(200);
    ask("ada").is_problem(409, "never-clear-lost");
    assert_eq!(school.get("/audit/verify")["broken_at"], Value::Null);
}
