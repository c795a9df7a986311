//! Devices that go quiet and come back, what the security report says and does not guess, and Apple calling every token bad.

use crate::support::{Plan, School};
use cordon::base::time::{Clock, DAY, HOUR, ManualClock, SystemClock};
use cordon::service::activity;
use cordon::simulator::spec::Kind;
use cordon::simulator::state::Channel;
use serde_json::{Value, json};
use std::sync::Arc;

fn with_clock() -> (School, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    (School::planned(Plan { clock: Arc::clone(&clock) as _, ..Plan::default() }), clock)
}

fn state(school: &School, udid: &str) -> Value {
    let id = school.get(&format!("/devices/{udid}"))["id"].clone();
    let items = school.get("/reports/activity")["items"].as_array().unwrap().clone();
    items.into_iter().find(|item| item["id"] == id).unwrap()
}

#[test]
fn a_silent_device_is_asked_once_a_day_then_inactive_and_any_request_brings_it_back() {
    let (school, clock) = with_clock();
    school.api("POST", "/groups", &json!({ "name": "Not seen", "kind": "devices" })).is(201);
    school.api("PATCH", "/activity-policy", &json!({ "days": 3, "group": "Not seen", "alert": true })).is(200);
    school.api("PATCH", "/activity-policy", &json!({ "days": 31 })).is_problem(400, "bad-argument");
    let ipad = school.enroll_deaf(Kind::Ipad, 1);
    assert_eq!(state(&school, &ipad.udid())["state"], "active");
    let cx = school.server().context();
    let before = ipad.pushes(Channel::Device).len();
    // Two days, hour by hour: one push on each.
    for _ in 0..48 {
        clock.advance(HOUR);
        activity::watch(cx).unwrap();
    }
    school.wait_until("the pushes that ask", || (ipad.pushes(Channel::Device).len() > before).then_some(()));
    let quiet = state(&school, &ipad.udid());
    assert!(quiet["state"] == "quiet" && quiet["tested_at"].is_string(), "{quiet}");
    assert!(quiet["causes"].as_array().unwrap().len() >= 3);
    clock.advance(DAY + HOUR);
    activity::watch(cx).unwrap();
    assert_eq!(state(&school, &ipad.udid())["state"], "inactive");
    let group = school.get("/groups/Not%20seen");
    assert!(group.to_string().contains(&state(&school, &ipad.udid())["id"].to_string()), "{group}");
    let health = cordon::service::health::examine(cx).unwrap();
    assert!(health.reasons.iter().any(|why| why.contains("1 devices are inactive")), "{:?}", health.reasons);
    assert!(ipad.pushes(Channel::Device).len() <= before + 3, "not more than daily");

    ipad.poll(Channel::Device).unwrap();
    cx.flush_seen().unwrap();
    assert_eq!(state(&school, &ipad.udid())["state"], "active");
    activity::watch(cx).unwrap();
    assert_eq!(state(&school, &ipad.udid())["inactive_since"], Value::Null);
    let story = school.device(&ipad).to_string();
    assert!(story.contains("active-again"), "{story}");
}

#[test]
fn the_security_report_says_what_devices_said_and_nothing_else() {
    let school = School::new();
    let (ipad, mac) = (school.enroll(Kind::Ipad, 1), school.enroll(Kind::Mac, 2));
    let unknown = &school.get("/reports/security")["items"][0];
    for key in ["passcode_present", "passcode_compliant", "encrypted", "mdm_removable"] {
        assert_eq!(unknown[key], "unknown", "{unknown}");
    }
    for device in [&ipad, &mac] {
        let uuid = school.send(device, "SecurityInfo", Value::Null);
        school.wait_for(&uuid, "Acknowledged");
    }
    let items = school.get("/reports/security")["items"].as_array().unwrap().clone();
    for item in &items {
        assert_eq!((item["encrypted"].as_str(), item["mdm_removable"].as_str()), (Some("yes"), Some("yes")), "{item}");
        assert_eq!(item["mdm_removable_source"], "SecurityInfo");
        assert!(item["told_at"].is_string());
    }
    assert!(items.iter().any(|item| item["passcode_present"] != "unknown"));
    assert!(items.iter().any(|item| item["passcode_present"] == "unknown"), "a Mac does not say: {items:?}");
    let csv = school.api("GET", "/reports/security?format=csv", &Value::Null);
    assert_eq!((csv.status, csv.text().lines().count()), (200, 3), "{}", csv.text());
    assert!(csv.text().starts_with("id,serial,name,platform,"));
}

#[test]
fn every_token_bad_is_a_fault_of_the_configuration() {
    let school = School::new();
    let devices: Vec<_> = (1..=3).map(|seed| school.enroll_deaf(Kind::Ipad, seed)).collect();
    for device in &devices {
        school.stand_in.set_answer(&device.token(Channel::Device), Some((400, "BadDeviceToken")));
    }
    for device in &devices {
        school.send(device, "ProfileList", Value::Null);
    }
    let cx = school.server().context();
    school.wait_until("the fault to be recognised", || cordon::service::faults::tokens_bad(cx));
    let words = cordon::service::health::examine(cx).unwrap().reasons.join(" ");
    assert!(words.contains("no fault of the devices") && words.contains("apple.apns_url"), "{words}");
    let now = cx.now();
    assert_eq!(cx.store.read(|db| db.read_gauges(now)).unwrap().dead_tokens, 0, "no token was given up");
}

#[test]
fn the_support_bundle_names_nobody() {
    let school = School::planned(Plan {
        tune: Arc::new(|options| {
            options.hostname = String::from("mdm.hill.invalid");
            options.configured_hostname = Some(String::from("old.hill.invalid"));
        }),
        ..Plan::default()
    });
    school
        .api(
            "POST",
            "/setup",
            &json!({ "organization": "Hill School", "admin": { "name": "grace", "password": "tin roof in may" } }),
        )
        .is(200);
    school
        .api(
            "POST",
            "/users",
            &json!({ "short_name": "anna.berg", "long_name": "Anna Berg", "mail": "anna@hill.invalid" }),
        )
        .is(201);
    school.api("POST", "/groups", &json!({ "name": "Class 7b", "kind": "devices" })).is(201);
    school
        .world()
        .network
        .route("mdm.hill.invalid", "127.0.0.1:0".parse().unwrap(), cordon::simulator::network::Via::Tls)
        .unwrap();
    let mac = school.enroll(Kind::Mac, 2);
    let token = school.token("auditor");
    let code = school.api("POST", "/setup/link", &Value::Null);
    let reply = school.api("POST", "/support-bundle", &Value::Null);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let text = reply.text();
    let (serial, name) = mac.with(|d| (d.spec().serial.clone(), d.spec().name.clone()));
    let id = school.get(&format!("/devices/{}", mac.udid()))["id"].as_str().unwrap().to_owned();
    let folder = school.directory().display().to_string();
    let planted = [
        "hill",
        "grace",
        "anna",
        "berg",
        "7b",
        &serial,
        &name,
        &mac.udid(),
        &id,
        &token,
        &mac.user(),
        crate::support::TOPIC,
        &folder,
        "-----BEGIN",
    ];
    let lower = text.to_lowercase();
    for secret in planted {
        assert!(!lower.contains(&secret.to_lowercase()), "{secret} is in {text}");
    }
    assert!(!code.text().is_empty());
    assert!(text.contains("Nobody can find HOST") && text.contains("\"active\":1"), "{text}");
}
