//! Assignments by group, smart group and class, and by any name of a person: whoever joins gets it at once, whoever leaves loses it
//! at once, and `why` says by which way it came.

use super::{assign, device_group, group, member, no_member, two_profiles, until, why};
use crate::support::School;
use crate::users::profiles::add;
use cordon::simulator::spec::Kind;
use cordon::simulator::state::{Account, Behaviour, Channel};
use serde_json::{Value, json};

#[test]
fn who_joins_a_group_gets_it_at_once_and_who_leaves_loses_it() {
    let school = School::new();
    let (mac, ipad) = (school.enroll(Kind::Mac, 1), school.enroll(Kind::Ipad, 2));
    two_profiles(&school);
    device_group(&school, "Lab");
    assign(&school, "p.wifi", &json!({ "group": "lab" }));
    assign(&school, "p.dock", &json!({ "group": "Lab", "to": "everyone-on" }));
    member(&school, "Lab", &json!({ "devices": [mac.udid(), ipad.udid()] }));
    until(&school, &mac, Channel::Device, &["p.wifi"]);
    until(&school, &ipad, Channel::Device, &["p.wifi"]);
    until(&school, &mac, Channel::User, &["p.dock"]);
    let words = why(&school, &mac, "p.wifi");
    assert!(words.contains("the devices of the group “Lab”, and this device is in it"), "{words}");
    // Another name for the group changes nothing; leaving it does.
    school.api("PATCH", "/groups/Lab", &json!({ "name": "Room 2" })).is(200);
    assert!(why(&school, &mac, "p.wifi").contains("Room 2"));
    no_member(&school, "Room%202", &json!({ "devices": [mac.udid()] }));
    until(&school, &mac, Channel::Device, &[]);
    until(&school, &mac, Channel::User, &[]);
    assert!(why(&school, &mac, "p.wifi").contains("not there, and not wanted there"));
    school.api("DELETE", "/groups/Room%202", &Value::Null).is(204);
    until(&school, &ipad, Channel::Device, &[]);
    school.api("POST", "/profiles/p.wifi/assign", &json!({ "group": "gone" })).is_problem(404, "no-such-group");
}

#[test]
fn a_smart_group_follows_what_is_known_of_devices() {
    let school = School::new();
    let (mac, ipad) = (school.enroll(Kind::Mac, 1), school.enroll(Kind::Ipad, 2));
    two_profiles(&school);
    group(&school, &json!({ "name": "iPads", "kind": "smart", "filter": "platform = iPadOS" }));
    assign(&school, "p.wifi", &json!({ "group": "iPads" }));
    until(&school, &ipad, Channel::Device, &["p.wifi"]);
    let words = why(&school, &ipad, "p.wifi");
    assert!(words.contains("smart group “iPads”") && words.contains("platform = iPadOS"), "{words}");
    // The filter changes, then a fact.
    school.api("PATCH", "/groups/iPads", &json!({ "filter": "platform = macOS or lost = yes" })).is(200);
    until(&school, &ipad, Channel::Device, &[]);
    until(&school, &mac, Channel::Device, &["p.wifi"]);
    school.api("POST", &format!("/devices/{}/lost", ipad.udid()), &json!({ "missing": true })).is(200);
    until(&school, &ipad, Channel::Device, &["p.wifi"]);
    // What a device says of itself counts as soon as it says it.
    school.api("PATCH", "/groups/iPads", &json!({ "filter": "name contains \"renamed\"" })).is(200);
    until(&school, &ipad, Channel::Device, &[]);
    let settings = json!({ "Settings": [{ "Item": "DeviceName", "DeviceName": "Renamed" }] });
    let named = school.send(&ipad, "Settings", settings);
    school.wait_for(&named, "Acknowledged");
    let asked = school.send(&ipad, "DeviceInformation", json!({ "Queries": ["DeviceName", "ProductName"] }));
    school.wait_for(&asked, "Acknowledged");
    until(&school, &ipad, Channel::Device, &["p.wifi"]);
}

#[test]
fn a_class_means_its_people_unless_its_devices_are_said() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 2);
    let ann = ipad.add_user(&school.stand_in, "ann@hill.example", Account::SharedIpad);
    add(&school, "p.wifi", "com.apple.wifi.managed");
    add(&school, "p.clip", "com.apple.webClip.managed");
    school.api("POST", "/users", &json!({ "short_name": "ann@hill.example" })).is(201);
    group(&school, &json!({ "name": "7b", "kind": "class" }));
    member(&school, "7b", &json!({ "devices": [ipad.udid()] }));
    let noted = assign(&school, "p.clip", &json!({ "group": "7b" }));
    assert!(noted["notes"].to_string().contains("--to devices"), "{noted}");
    assign(&school, "p.wifi", &json!({ "group": "7b", "to": "devices" }));
    until(&school, &ipad, Channel::Device, &["p.wifi"]);
    ipad.log_in(ann);
    until(&school, &ipad, ann, &[]);
    // She joins while she works: it comes now, not at her next login. A list that leaves her out takes it away.
    let csv = |line: &str| {
        let text = format!("short_name,classes\n{line}\n");
        school.api("POST", "/users/import", &json!({ "csv": text })).is(200)
    };
    csv("ann@hill.example,7b");
    until(&school, &ipad, ann, &["p.clip"]);
    csv("ann@hill.example,");
    until(&school, &ipad, ann, &[]);
    school
        .api("POST", "/profiles/p.wifi/assign", &json!({ "user": "ann", "to": "devices" }))
        .is_problem(400, "bad-argument");
    group(&school, &json!({ "name": "people", "kind": "people" }));
    let wrong = json!({ "group": "people", "to": "devices" });
    school.api("POST", "/profiles/p.wifi/assign", &wrong).is_problem(409, "not-in-this-group");
}

#[test]
fn a_person_is_known_by_any_name() {
    let school = School::new();
    let mac = school.enroll(Kind::Mac, 1);
    let local = mac.user();
    two_profiles(&school);
    add(&school, "p.mail", "com.apple.mail.managed");
    let guid = mac.with(|d| d.spec().person.clone().unwrap().guid);
    let person = json!({ "short_name": "ada.l", "mail": "Ada@school.example", "guids": [guid] });
    school.api("POST", "/users", &person).is(201);
    // By mail address, by the id of the record, by short name: one and the same person.
    assign(&school, "p.dock", &json!({ "user": "ada@school.example" }));
    until(&school, &mac, Channel::User, &["p.dock"]);
    assign(&school, "p.mail", &json!({ "user": guid }));
    until(&school, &mac, Channel::User, &["p.dock", "p.mail"]);
    school.api("POST", "/profiles/p.dock/unassign", &json!({ "user": "ADA.L" })).is(200);
    until(&school, &mac, Channel::User, &["p.mail"]);
    // A local account of no known person is meant by its name.
    assign(&school, "p.wifi", &json!({ "user": local }));
    until(&school, &mac, Channel::User, &["p.mail", "p.wifi"]);
    // Somebody whom no device manages.
    let noted = assign(&school, "p.mail", &json!({ "user": "grandma" }));
    assert!(noted["notes"].to_string().contains("device profiles only"), "{noted}");
    let audit = school.get("/audit?limit=100").to_string();
    assert!(!audit.contains("ada.l") && !audit.contains("grandma"), "the audit names nobody: {audit}");
    school.api("DELETE", "/users/ada.l", &Value::Null).is(204);
    until(&school, &mac, Channel::User, &["p.wifi"]);
}

#[test]
fn a_set_up_plan_reaches_the_devices_of_a_smart_group() {
    let school = School::new();
    two_profiles(&school);
    group(&school, &json!({ "name": "Macs", "kind": "smart", "filter": "platform = macOS" }));
    school.api("POST", "/setup-plans", &json!({ "name": "Mac", "group": "Macs", "profiles": ["p.wifi"] })).is(201);
    let behaviour = || Behaviour { awaits_configuration: true, ..Behaviour::default() };
    let mac = school.enroll_with(Kind::Mac, 1, behaviour(), &Value::Null);
    let ipad = school.enroll_with(Kind::Ipad, 2, behaviour(), &Value::Null);
    let order = |device: &crate::support::device::Handle| -> Vec<String> {
        device.executed().iter().map(|e| e.request_type.clone()).collect()
    };
    school.wait_until("both to go on", || {
        [&mac, &ipad].iter().all(|d| d.with(|d| d.state().awaiting.is_empty())).then_some(())
    });
    assert_eq!(order(&mac), ["InstallProfile", "DeviceConfigured"]);
    assert_eq!(order(&ipad), ["DeviceConfigured"]);
}
