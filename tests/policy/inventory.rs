//! What stands on devices: told on a cadence with one call for all questions, searched over all devices, with what changed since, and as a
//! file for a spreadsheet.

use crate::support::{Plan, School};
use cordon::base::time::{Clock, DAY, HOUR, ManualClock, SystemClock};
use cordon::protocol::stock::Item;
use cordon::service::inventory;
use cordon::simulator::spec::Kind;
use cordon::store::StoreError;
use serde_json::{Value, json};
use std::sync::Arc;

fn ask(school: &School, device: &crate::support::device::Handle, what: &str, keys: Value) {
    let uuid = school.send(device, what, keys);
    school.wait_for(&uuid, "Acknowledged");
}

#[test]
fn apps_are_found_and_what_changed_is_told() {
    let school = School::new();
    let (ipad, mac) = (school.enroll(Kind::Ipad, 1), school.enroll(Kind::Mac, 2));
    ipad.with(|d| d.behaviour_mut().apps = 3);
    mac.with(|d| d.behaviour_mut().apps = 1);
    for device in [&ipad, &mac] {
        ask(&school, device, "InstalledApplicationList", Value::Null);
        ask(&school, device, "CertificateList", Value::Null);
        ask(&school, device, "DeviceInformation", json!({ "Queries": ["OSVersion", "DeviceName", "IsSupervised"] }));
    }
    let path = format!("/devices/{}", ipad.udid());
    let apps = school.get(&format!("{path}/inventory"));
    let names: Vec<&str> = apps["items"].as_array().unwrap().iter().filter_map(|a| a["name"].as_str()).collect();
    assert_eq!(names, ["Keynote", "Numbers", "Pages"]);
    let certificates = school.get(&format!("{path}/inventory?kind=certificate"));
    let leaf = certificates["items"].as_array().unwrap().iter().find(|c| c["detail"].is_string()).unwrap();
    assert_eq!(leaf["value"].as_str().unwrap().len(), 10, "the day it ends: {leaf}");
    assert_eq!(school.get("/inventory?search=PAGES")["items"].as_array().unwrap().len(), 2);
    let keynote = school.get("/inventory?search=keynote");
    let found = keynote["items"].as_array().unwrap();
    assert_eq!((found.len(), &found[0]["identifier"]), (1, &json!("com.apple.Keynote")), "{keynote}");
    assert_eq!(school.get(&format!("{path}/changes"))["items"], json!([]), "the first time is no change");
    // One app goes; a list of some apps only is not taken for the whole.
    ipad.with(|d| d.behaviour_mut().apps = 2);
    ask(&school, &ipad, "InstalledApplicationList", json!({ "Identifiers": ["com.apple.Pages"] }));
    assert_eq!(school.get(&format!("{path}/inventory"))["items"].as_array().unwrap().len(), 3);
    ask(&school, &ipad, "InstalledApplicationList", Value::Null);
    let settings = json!({ "Settings": [{ "Item": "DeviceName", "DeviceName": "Trolley 3" }] });
    ask(&school, &ipad, "Settings", settings);
    ask(&school, &ipad, "DeviceInformation", json!({ "Queries": ["DeviceName"] }));
    let changes = school.get(&format!("{path}/changes"));
    let told: Vec<String> = changes["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| format!("{} {} {}", c["kind"], c["name"], c["after"]))
        .collect();
    assert_eq!(told, ["\"fact\" \"DeviceName\" \"Trolley 3\"", "\"app\" \"Keynote\" null"]);
    // As a file.
    let export = school.get("/inventory/devices");
    let line = export["items"].as_array().unwrap().iter().find(|d| d["name"] == "Trolley 3").unwrap();
    assert_eq!((&line["apps"], &line["state"]), (&json!(2), &json!("Active")), "{line}");
    let csv = school.api("GET", "/inventory/devices?format=csv", &Value::Null);
    let text = csv.text();
    assert!(text.starts_with("id,serial,name,") && text.lines().count() == 3 && text.contains("Trolley 3"), "{text}");
    let csv = school.api("GET", "/inventory?search=com.apple&format=csv", &Value::Null).text();
    assert!(csv.lines().count() == 4 && csv.contains("com.apple.Numbers"), "{csv}");
    school.api("GET", "/inventory?kind=colour", &Value::Null).is_problem(400, "bad-argument");
}

#[test]
fn nothing_is_left_out_of_a_long_search() {
    let school = School::new();
    school.enroll(Kind::Ipad, 1);
    let cx = school.server().context();
    let device = cx.store.read(|db| db.list_enrolled_devices()).unwrap()[0];
    let many = 20_001;
    cx.store
        .write(|tx| -> Result<(), StoreError> {
            (0..many).try_for_each(|n| {
                let name = format!("App {n:05}");
                let item = Item { key: format!("org.hill.{n}"), name, value: String::from("1"), detail: None };
                tx.put_stock(device, "app", &item, cx.now())
            })
        })
        .unwrap();
    let first = school.get("/inventory?search=org.hill");
    assert_eq!((first["items"].as_array().unwrap().len(), &first["next_cursor"]), (20_000, &json!("20000")));
    let rest = school.get("/inventory?search=org.hill&cursor=20000");
    let names: Vec<&Value> = rest["items"].as_array().unwrap().iter().map(|item| &item["name"]).collect();
    assert_eq!((names, &rest["next_cursor"]), (vec![&json!("App 20000")], &Value::Null));
    let csv = school.api("GET", "/inventory?search=org.hill&format=csv", &Value::Null).text();
    assert_eq!(csv.lines().count(), many + 1);
}

#[test]
fn a_round_wakes_a_device_once_and_asks_for_lists_once_a_week() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let plan = Plan {
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        tune: Arc::new(|options| options.asks_at_enrollment = true),
        ..Plan::default()
    };
    let school = School::planned(plan);
    let ipad = school.enroll(Kind::Ipad, 1);
    let cx = school.server().context();
    let times = |question: &str| ipad.executed().iter().filter(|e| e.request_type == question).count();
    let round = |wanted: usize, lists: usize| {
        inventory::run(cx).unwrap();
        school.wait_until("the round", || (times("ProfileList") == wanted).then_some(()));
        school.wait_until("the lists", || (times("InstalledApplicationList") == lists).then_some(()));
        assert_eq!(times("CertificateList"), lists);
    };
    clock.advance(25 * HOUR);
    round(1, 1);
    clock.advance(25 * HOUR);
    round(2, 1);
    school.api("PATCH", "/inventory-policy", &json!({ "lists_every_hours": 24 })).is(200);
    clock.advance(DAY + HOUR);
    round(3, 2);
    let wish = json!({ "lists_every_hours": 0 });
    assert_eq!(school.api("PATCH", "/inventory-policy", &wish).is(200)["every_hours"], 24);
    // Asleep: it is not asked again what it has not answered, however many rounds pass.
    ipad.set_deaf(true);
    for _ in 0..3 {
        clock.advance(25 * HOUR);
        inventory::run(cx).unwrap();
    }
    let waiting = school.get(&format!("/devices/{}/commands?state=Queued", ipad.udid()));
    let kinds: Vec<&str> =
        waiting["items"].as_array().unwrap().iter().filter_map(|c| c["request_type"].as_str()).collect();
    assert_eq!(kinds.len(), 3, "{kinds:?}");
}
