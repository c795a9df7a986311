//! The library: signatures come off, versions stay, doubts are told, typed payloads become profiles, variables become values, and what a
//! device cannot take is held back with the reason.

use super::{assign, device_group, member, standing, until, why};
use crate::support::School;
use crate::users::profiles::{mobileconfig, upload};
use cordon::base::time::{Clock, SystemClock};
use cordon::pki::cms;
use cordon::plist::parse_dict;
use cordon::simulator::spec::Kind;
use cordon::simulator::state::Channel;
use serde_json::{Value, json};

fn build(school: &School, identifier: &str, kind: &str, keys: Value) -> Value {
    let wish = json!({ "identifier": identifier, "name": identifier, "payloads": [{ "type": kind, "keys": keys }] });
    school.api("POST", "/profiles/build", &wish).is(201)
}

/// The first payload of a profile as it stands on a device, by key.
fn on_device(device: &crate::support::device::Handle, identifier: &str, key: &str) -> String {
    let all = device.with(|d| d.state().profiles.clone());
    let held = all.into_iter().find(|p| p.identifier == identifier).unwrap();
    let plain = cms::verify_attached(&held.profile.0).unwrap().content;
    let dict = parse_dict(&plain).unwrap();
    let payload = dict.array("PayloadContent").unwrap()[0].as_dictionary().unwrap().clone();
    payload.get(key).and_then(|v| v.as_string()).unwrap_or_default().to_owned()
}

#[test]
fn a_foreign_signature_comes_off_and_the_schools_goes_on() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    let plain = mobileconfig("school.wifi", &["com.apple.wifi.managed"], "1");
    let authorities = school.server().context().authorities();
    let (issuer, now) = (&authorities.issuing, SystemClock.now());
    let signed = cms::sign_attached(&plain, &issuer.certificate, &issuer.key, &[], now);
    let added = upload(&school, &signed).is(201);
    assert!(added["notes"].to_string().contains("signature was taken off"), "{added}");
    let versions = school.get("/profiles/school.wifi/versions");
    assert!(!versions["items"][0]["signed_by"].is_null(), "{versions}");
    assign(&school, "school.wifi", &json!({ "device": ipad.udid() }));
    until(&school, &ipad, Channel::Device, &["school.wifi"]);
    let held = ipad.with(|d| d.state().profiles[0].profile.0.clone());
    let signer = cms::verify_attached(&held).unwrap().signer.fingerprint();
    assert_eq!(signer, authorities.signer.certificate.fingerprint());
}

#[test]
fn versions_stay_and_their_difference_is_shown_without_secrets() {
    let school = School::new();
    build(&school, "school.wifi", "com.apple.wifi.managed", json!({ "SSID_STR": "Old", "Password": "first-secret" }));
    let second = json!({ "SSID_STR": "New", "Password": "second-secret", "AutoJoin": true });
    let added = build(&school, "school.wifi", "com.apple.wifi.managed", second);
    assert_eq!(added["version"], 2);
    assert!(added["notes"].to_string().contains("Password stands in clear"), "{added}");
    assert_eq!(school.get("/profiles/school.wifi/versions")["items"].as_array().unwrap().len(), 2);
    let diff = school.get("/profiles/school.wifi/diff");
    let changes = diff["changes"].to_string();
    assert_eq!((&diff["from"], &diff["to"]), (&json!(1), &json!(2)));
    for part in ["SSID_STR", "Old", "New", "AutoJoin", "(secret)"] {
        assert!(changes.contains(part), "{part} in {changes}");
    }
    assert!(!changes.contains("first-secret") && !changes.contains("second-secret"));
    school.api("GET", "/profiles/school.wifi/diff?from=7", &Value::Null).is_problem(404, "no-such-version");
    let doubts = school.get("/profiles/school.wifi/doubts");
    assert_eq!(doubts["items"].as_array().unwrap().len(), 1, "{doubts}");
    // What the schema does not know is refused where it says the types.
    let wrong = json!({ "identifier": "x", "name": "x", "payloads": [{ "type": "com.apple.wifi.managed", "keys": { "AutoJoin": "x" } }] });
    school.api("POST", "/profiles/build", &wrong).is_problem(400, "bad-argument");
    school.api("GET", "/payload-types/com.example", &Value::Null).is_problem(404, "no-such-payload");
    let wifi = school.get("/payload-types/com.apple.wifi.managed");
    assert!(wifi["items"][0]["keys"].to_string().contains("EAPClientConfiguration"));
}

#[test]
fn variables_are_filled_in_for_each_device_and_follow_their_values() {
    let school = School::new();
    let (one, two) = (school.enroll(Kind::Ipad, 1), school.enroll(Kind::Ipad, 2));
    let added = build(
        &school,
        "school.lock",
        "com.apple.wifi.managed",
        json!({ "SSID_STR": "Room {{device.room}}, {{device.serial}}" }),
    );
    assert_eq!(added["variables"], json!(["device.room", "device.serial"]));
    device_group(&school, "all");
    member(&school, "all", &json!({ "devices": [one.udid(), two.udid()] }));
    let noted = assign(&school, "school.lock", &json!({ "group": "all" }));
    assert!(noted["notes"].to_string().contains("On 2 channel(s) it is held back"), "{noted}");
    assert!(why(&school, &one, "school.lock").contains("{{device.room}}"), "{}", why(&school, &one, "school.lock"));
    let fields = |device: &crate::support::device::Handle, value: Value| {
        school.api("PATCH", &format!("/devices/{}/fields", device.udid()), &json!({ "room": value }))
    };
    fields(&one, json!("12")).is(200);
    until(&school, &one, Channel::Device, &["school.lock"]);
    let serial = one.with(|d| d.spec().serial.clone());
    assert_eq!(on_device(&one, "school.lock", "SSID_STR"), format!("Room 12, {serial}"));
    assert!(standing(&two, Channel::Device).is_empty(), "the other one waits for its value");
    // A new value is sent; a value that goes leaves what stands.
    fields(&one, json!("13")).is(200);
    school.wait_until("the new room", || {
        (on_device(&one, "school.lock", "SSID_STR") == format!("Room 13, {serial}")).then_some(())
    });
    fields(&one, Value::Null).is(200);
    let commands = one.executed().len();
    assert_eq!(standing(&one, Channel::Device), ["school.lock"]);
    assert_eq!(one.executed().len(), commands);
    let secret = json!({ "wifi_password": "x" });
    school.api("PATCH", &format!("/devices/{}/fields", one.udid()), &secret).is_problem(400, "bad-argument");
    school
        .api("PATCH", &format!("/devices/{}/fields", one.udid()), &json!({ "serial": "x" }))
        .is_problem(400, "bad-argument");
}

#[test]
fn a_person_is_in_their_profile() {
    let school = School::new();
    let mac = school.enroll(Kind::Mac, 1);
    let keys = json!({ "EmailAccountType": "EmailTypeIMAP", "EmailAddress": "{{user.mail}}", "EmailAccountName": "{{user.name}}, {{user.locker}}" });
    build(&school, "school.mail", "com.apple.mail.managed", keys);
    assign(&school, "school.mail", &json!({ "everyone_on": mac.udid() }));
    let words = why(&school, &mac, "school.mail");
    assert!(words.contains("held back"), "{words}");
    let guid = mac.with(|d| d.spec().person.clone().unwrap().guid);
    let ada = json!({ "short_name": "ada", "long_name": "Ada Acker", "mail": "ada@hill.example", "guids": [guid] });
    school.api("POST", "/users", &ada).is(201);
    assert!(why(&school, &mac, "school.mail").contains("user fields"), "the locker is missing still");
    school.api("PATCH", "/users/ada/fields", &json!({ "locker": "311" })).is(200);
    until(&school, &mac, Channel::User, &["school.mail"]);
    assert_eq!(on_device(&mac, "school.mail", "EmailAddress"), "ada@hill.example");
    assert_eq!(on_device(&mac, "school.mail", "EmailAccountName"), "Ada Acker, 311");
    assert_eq!(school.get("/users/ada/fields"), json!({ "locker": "311" }));
    school.api("PATCH", "/users/ada", &json!({ "mail": "ada@new.example" })).is(200);
    school.wait_until("the new address", || {
        (on_device(&mac, "school.mail", "EmailAddress") == "ada@new.example").then_some(())
    });
}

#[test]
fn what_a_device_cannot_take_is_held_back_with_the_reason() {
    let school = School::new();
    let (mac, ipad) = (school.enroll(Kind::Mac, 1), school.enroll(Kind::Ipad, 2));
    build(&school, "school.login", "com.apple.loginwindow", json!({ "LoginwindowText": "Hello" }));
    device_group(&school, "all");
    member(&school, "all", &json!({ "devices": [mac.udid(), ipad.udid()] }));
    assign(&school, "school.login", &json!({ "group": "all" }));
    until(&school, &mac, Channel::Device, &["school.login"]);
    let words = why(&school, &ipad, "school.login");
    assert!(words.contains("com.apple.loginwindow is not for iOS"), "{words}");
    assert!(ipad.executed().iter().all(|e| e.request_type != "InstallProfile"), "nothing was sent in vain");
    let shown = school.get(&format!("/devices/{}/profiles", ipad.udid())).to_string();
    assert!(shown.contains("held back"), "{shown}");
}
