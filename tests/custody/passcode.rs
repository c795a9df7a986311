//! ClearPasscode: only with the device's own token, only for an owner who holds it, never for a lost device.

use crate::support::School;
use crate::support::hidden::assert_hidden;
use crate::support::wire::{self, idle};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon::http::control::Client;
use cordon::plist::{Dictionary, Value as Plist, to_xml};
use cordon::simulator::spec::Kind;
use cordon::simulator::state::Channel;
use serde_json::{Value, json};

const POSSESSION: &str = "Ada Acker stands at my desk with it";

#[test]
fn the_passcode_goes_with_the_kept_token_and_the_device_is_asked_how_it_stands() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    let uuid = school.send(&ipad, "ClearPasscode", json!({ "possession": POSSESSION }));
    let done = school.wait_for(&uuid, "Acknowledged");
    assert!(!ipad.with(|d| d.state().passcode));
    assert_eq!(done["history"][0]["detail"]["possession"], POSSESSION);
    let audited =
        school.audited("command.send").into_iter().find(|row| row["detail"]["command"] == json!(uuid)).unwrap();
    assert_eq!(audited["detail"]["possession"], POSSESSION);
    let looked = school.wait_until("SecurityInfo", || {
        let list = school.get("/commands?state=Acknowledged");
        list["items"].as_array().unwrap().iter().find(|c| c["request_type"] == "SecurityInfo").cloned()
    });
    assert_eq!(looked["created_by"], "job:custody");
    let info = school.command(looked["command_uuid"].as_str().unwrap());
    assert_eq!(info["result"]["SecurityInfo"]["PasscodePresent"], false);
    let token = ipad.with(|d| d.state().unlock_token.clone().unwrap().0);
    assert_hidden(&school, "the unlock token", &token);
}

fn raw(school: &School, udid: &str, query: &str, keys: &[(&str, Plist)]) -> crate::support::api::Reply {
    let mut command: Dictionary = keys.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    command.insert("RequestType".into(), "ClearPasscode".into());
    let envelope = Dictionary::from_iter([("Command".to_owned(), Plist::Dictionary(command))]);
    let client = Client::new(school.server().socket().0);
    let path = format!("/api/v1/devices/{udid}/commands{query}");
    let headers = [("Content-Type", "application/xml")];
    let (status, headers, body) =
        client.request("POST", &path, &headers, &to_xml(&Plist::Dictionary(envelope))).unwrap();
    crate::support::api::Reply { status, headers, body }
}

#[test]
fn every_refusal_by_every_door() {
    let school = School::new();
    let (ipad, other, tv) =
        (school.enroll_deaf(Kind::Ipad, 1), school.enroll_deaf(Kind::Ipad, 2), school.enroll_deaf(Kind::AppleTv, 3));
    let clear = |keys: Value| school.try_send(&ipad, None, "ClearPasscode", keys);
    let said = "?possession=Ada%20stands%20at%20my%20desk";

    clear(json!({})).is_problem(400, "possession-needed");
    clear(json!({ "possession": "yes, sure" })).is_problem(400, "possession-needed");
    raw(&school, &ipad.udid(), "", &[]).is_problem(400, "possession-needed");
    let token = |device: &crate::support::device::Handle| device.with(|d| d.state().unlock_token.clone().unwrap().0);
    let foreign = STANDARD.encode(token(&other));
    clear(json!({ "possession": POSSESSION, "UnlockToken": foreign })).is_problem(400, "foreign-unlock-token");
    raw(&school, &ipad.udid(), said, &[("UnlockToken", Plist::Data(token(&other)))])
        .is_problem(400, "foreign-unlock-token");
    raw(&school, &ipad.udid(), said, &[("UnlockToken", "text".into())]).is_problem(400, "foreign-unlock-token");
    if tv.with(|d| d.state().unlock_token.is_none()) {
        school
            .try_send(&tv, None, "ClearPasscode", json!({ "possession": POSSESSION }))
            .is_problem(409, "no-unlock-token");
    }
    let helpdesk = school.token("helpdesk");
    let whole = format!("/api/v1/devices/{}/commands", ipad.udid());
    let body = json!({ "RequestType": "ClearPasscode", "possession": POSSESSION });
    school.https(Some(&helpdesk), "POST", &whole, &body).is_problem(403, "role-missing");

    for missing in [true, false] {
        school.of(&ipad, "lost", &json!({ "missing": missing, "message": "Please call" })).is(200);
        clear(json!({ "possession": POSSESSION })).is_problem(409, "never-clear-lost");
        raw(&school, &ipad.udid(), said, &[("UnlockToken", Plist::Data(token(&ipad)))])
            .is_problem(409, "never-clear-lost");
    }
    assert_eq!(
        school.audited("command.send").iter().filter(|r| r["detail"]["RequestType"] == "ClearPasscode").count(),
        0
    );

    // Found before it ever heard of Lost Mode: nothing is to be ended, and with the right words the passcode goes.
    let found = school.of(&ipad, "found", &json!({ "reason": "Back at my desk, seen by me" })).is(200);
    assert_eq!((&found["lost"], &found["command_uuid"]), (&json!("no"), &Value::Null));
    raw(&school, &ipad.udid(), said, &[("UnlockToken", Plist::Data(token(&ipad)))]).is(201);
    ipad.poll(Channel::Device).unwrap();
    assert!(!ipad.with(|d| d.state().passcode));
}

#[test]
fn lost_mode_alone_is_enough_to_refuse() {
    let school = School::new();
    let ipad = school.enroll_deaf(Kind::Ipad, 1);
    let waits = school.send(&ipad, "ClearPasscode", json!({ "possession": POSSESSION }));
    // Sent by hand, past the verb that marks a device.
    school.send(&ipad, "EnableLostMode", json!({ "Message": "Please call" }));
    assert_eq!(school.state_of(&waits), "Cancelled");
    let clear = || school.try_send(&ipad, None, "ClearPasscode", json!({ "possession": POSSESSION }));
    assert!(clear().is_problem(409, "never-clear-lost").contains("is being put into Lost Mode"));
    ipad.poll(Channel::Device).unwrap();
    assert!(clear().is_problem(409, "never-clear-lost").contains("is in Lost Mode"));
    school.of(&ipad, "found", &json!({ "reason": "Back at my desk, seen by me" })).is(200);
    assert!(clear().is_problem(409, "never-clear-lost").contains("is in Lost Mode"), "until the device says otherwise");
    ipad.poll(Channel::Device).unwrap();
    clear().is(201);
    ipad.poll(Channel::Device).unwrap();
    assert!(!ipad.with(|d| d.state().passcode));
}

#[test]
fn marking_a_device_lost_stops_what_waits_and_tells_of_what_is_out() {
    let school = School::new();
    let ipad = school.enroll_deaf(Kind::Ipad, 1);
    let udid = ipad.udid();
    let mut caller = school.caller(Some(&ipad.identity()));
    let clear = || school.send(&ipad, "ClearPasscode", json!({ "possession": POSSESSION }));
    let (out, put_off, waits) = (clear(), clear(), clear());
    assert_eq!(wire::command_uuid(&caller.report(&idle(&udid))), Some(out.clone()));
    assert_eq!(wire::command_uuid(&caller.report(&wire::result("NotNow", &udid, &out, &[]))), Some(put_off.clone()));
    let marked = school.of(&ipad, "lost", &json!({ "message": "Please call", "phone": "+41 44 123 45 67" })).is(200);
    assert_eq!((&marked["cancelled"], &marked["already_sent"]), (&json!([out, waits]), &json!([put_off])));
    assert_eq!((school.state_of(&waits), school.state_of(&put_off)), ("Cancelled".into(), "Sent".into()));
    assert_eq!(school.told(&ipad, "already-sent")[0]["command"], json!(put_off));
    let health = school.reasons_of_health();
    assert!(health.contains(&put_off) && health.contains("marked lost") && !health.contains(&out), "{health}");

    // Its answer lost, the device comes again: it does not get the command a second time.
    let next = wire::command_uuid(&caller.report(&idle(&udid))).unwrap();
    assert_eq!(Some(next.as_str()), marked["command_uuid"].as_str());
    assert_eq!(school.state_of(&put_off), "Cancelled");
    assert!(school.reasons_of_health().contains(&put_off), "it may still have been carried out");
    caller.report(&wire::result("Acknowledged", &udid, &next, &[]));
    school.of(&ipad, "found", &json!({ "reason": "Back at my desk, seen by me" })).is(200);
    assert!(!school.reasons_of_health().contains(&put_off));
}
