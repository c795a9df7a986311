//! Setup Assistant waits: the plan, what becomes of a step that fails or hangs, and that the device always goes on.

use super::profiles::{add, mobileconfig, upload};
use crate::support::{Plan, School};
use cordon::base::time::{Clock, ManualClock, SystemClock};
use cordon::simulator::spec::Kind;
use cordon::simulator::state::{Account, Behaviour};
use serde_json::{Value, json};
use std::sync::Arc;

fn waiting() -> Behaviour {
    Behaviour { awaits_configuration: true, ..Behaviour::default() }
}

fn is_waiting(device: &crate::support::device::Handle) -> bool {
    device.with(|d| !d.state().awaiting.is_empty())
}

/// Why the set-up ended, as the device's story has it.
fn why(school: &School, device: &crate::support::device::Handle) -> String {
    let shown = school.device(device);
    let released = shown["timeline"].as_array().unwrap().iter().find(|t| t["kind"] == "setup-released").cloned();
    released.unwrap_or_else(|| panic!("{}", shown["timeline"]))["detail"]["why"].as_str().unwrap().to_owned()
}

#[test]
fn a_device_without_a_plan_goes_on_at_once() {
    let school = School::new();
    let mac = school.enroll_with(Kind::Mac, 1, waiting(), &Value::Null);
    school.wait_until("it to go on", || (!is_waiting(&mac)).then_some(()));
    assert_eq!(why(&school, &mac), "all 0 step(s) are done");
    assert_eq!(mac.executed().iter().map(|e| e.request_type.as_str()).collect::<Vec<_>>(), ["DeviceConfigured"]);
}

#[test]
fn a_plan_is_carried_out_and_ends_although_a_step_fails() {
    let school = School::new();
    add(&school, "school.wifi", "com.apple.wifi.managed");
    let account = json!({ "SkipPrimarySetupAccountCreation": false, "SetPrimarySetupAccountAsRegularUser": true });
    let plan = json!({ "name": "Lab", "profiles": ["school.wifi"], "account": account, "apps": [{ "Identifier": "com.example.maths" }] });
    let made = school.api("POST", "/setup-plans", &plan).is(201);
    assert_eq!(made["commands"], json!(["AccountConfiguration", "InstallApplication"]));
    school.api("POST", "/setup-plans", &plan).is_problem(409, "setup-plan-there");
    let wrong = json!({ "name": "x", "device": "nobody", "apps": [{ "Idenifier": "x" }] });
    school.api("POST", "/setup-plans", &wrong).is_problem(400, "command-doubt");
    let mut behaviour = waiting();
    behaviour.errors.insert("InstallApplication".to_owned());
    let mac = school.enroll_with(Kind::Mac, 1, behaviour, &Value::Null);
    school.wait_until("it to go on", || (!is_waiting(&mac)).then_some(()));
    let done = mac.executed();
    let order: Vec<&str> = done.iter().map(|e| e.request_type.as_str()).collect();
    assert_eq!(order, ["InstallProfile", "AccountConfiguration", "InstallApplication", "DeviceConfigured"]);
    assert_eq!(done[1].status.as_deref(), Some("Acknowledged"), "the account comes while Setup Assistant still waits");
    assert_eq!(why(&school, &mac), "1 of 3 step(s) failed: InstallApplication");
    let story = school.get(&format!("/devices/{}/explain", mac.udid()))["items"][0]["words"].to_string();
    assert!(story.contains("1 of 3 step(s) failed"), "{story}");
    // An iPad gets what an iPad takes.
    let ipad = school.enroll_with(Kind::Ipad, 2, waiting(), &Value::Null);
    school.wait_until("it to go on", || (!is_waiting(&ipad)).then_some(()));
    let order: Vec<String> = ipad.executed().iter().map(|e| e.request_type.clone()).collect();
    assert_eq!(order, ["InstallProfile", "InstallApplication", "DeviceConfigured"]);
    school.api("DELETE", &format!("/setup-plans/{}", made["id"].as_str().unwrap()), &Value::Null).is(204);
}

#[test]
fn nobody_waits_longer_than_the_plan_says() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let school = School::planned(Plan { clock: clock.clone(), ..Plan::default() });
    upload(&school, &mobileconfig("school.wifi", &["com.apple.wifi.managed"], "1")).is(201);
    school
        .api("POST", "/setup-plans", &json!({ "name": "All", "profiles": ["school.wifi"], "limit_seconds": 60 }))
        .is(201);
    let mut behaviour = waiting();
    behaviour.not_now.insert("InstallProfile".to_owned(), 1_000);
    let mac = school.enroll_with(Kind::Mac, 1, behaviour, &Value::Null);
    school.wait_until("the first refusal", || {
        mac.executed().iter().any(|e| e.request_type == "InstallProfile" && e.not_now > 0).then_some(())
    });
    assert!(is_waiting(&mac));
    let story = school.get(&format!("/devices/{}/explain", mac.udid()))["items"][0]["words"].to_string();
    assert!(story.contains("it ends by"), "{story}");
    clock.advance(61_000);
    school.wait_until("it to go on", || (!is_waiting(&mac)).then_some(()));
    assert!(why(&school, &mac).contains("1 step(s) waiting: InstallProfile"), "{}", why(&school, &mac));
}

#[test]
fn a_shared_ipad_user_is_configured_too() {
    let school = School::new();
    add(&school, "p.all", "com.apple.webClip.managed");
    let behaviour = Behaviour { awaits_user_configuration: true, ..Behaviour::default() };
    let ipad = school.enroll_with(Kind::Ipad, 1, behaviour, &Value::Null);
    let ann = ipad.add_user(&school.stand_in, "ann@hill.example", Account::SharedIpad);
    school.api("POST", "/profiles/p.all/assign", &json!({ "everyone_on": ipad.udid() })).is(200);
    assert!(ipad.log_in(ann).managed);
    assert!(!is_waiting(&ipad));
    let order: Vec<String> = ipad.executed().iter().map(|e| e.request_type.clone()).collect();
    assert_eq!(order, ["InstallProfile", "UserConfigured"]);
}

#[test]
fn users_whom_the_school_does_not_know_stay_their_own() {
    let school = School::new();
    school.api("POST", "/login-policy", &json!({ "shared_ipad_users": "known" })).is(200);
    school.api("POST", "/users", &json!({ "short_name": "ann@hill.example" })).is(201);
    let ipad = school.enroll(Kind::Ipad, 1);
    let ann = ipad.add_user(&school.stand_in, "Ann@hill.example", Account::SharedIpad);
    let guest = ipad.add_user(&school.stand_in, "guest@elsewhere.example", Account::SharedIpad);
    assert!(ipad.log_in(ann).managed);
    ipad.with(|d| d.log_out(ann));
    assert!(!ipad.log_in(guest).managed, "410: silent for this session");
    assert_eq!(school.device(&ipad)["users"].as_array().unwrap().len(), 1, "no channel is kept for a guest");
    let told = school.device(&ipad)["timeline"].to_string();
    assert!(told.contains("does not manage this user"), "{told}");
    // Known by the next login, managed from then on.
    ipad.with(|d| d.log_out(guest));
    school.api("POST", "/users", &json!({ "short_name": "guest@elsewhere.example" })).is(201);
    assert!(ipad.log_in(guest).managed);
}
