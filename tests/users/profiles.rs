//! Profiles assigned to a device, to everyone on it, to a user: installed, replaced, removed, and shown for each channel.

use crate::support::School;
use crate::support::api::Reply;
use cordon::http::control::Client;
use cordon::simulator::spec::Kind;
use cordon::simulator::state::{Account, Channel};
use serde_json::{Value, json};

/// A profile with one payload of each type; `salt` tells its versions apart.
pub fn mobileconfig(identifier: &str, types: &[&str], salt: &str) -> Vec<u8> {
    let payload = |(n, kind): (usize, &&str)| {
        format!(
            "<dict><key>PayloadType</key><string>{kind}</string><key>PayloadVersion</key><integer>1</integer>\
             <key>PayloadIdentifier</key><string>{identifier}.{n}</string><key>PayloadUUID</key><string>{identifier}-{n}-{salt}</string></dict>"
        )
    };
    let payloads: String = types.iter().enumerate().map(payload).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><plist version=\"1.0\"><dict><key>PayloadType</key><string>Configuration</string>\
         <key>PayloadVersion</key><integer>1</integer><key>PayloadIdentifier</key><string>{identifier}</string>\
         <key>PayloadUUID</key><string>{identifier}-{salt}</string><key>PayloadDisplayName</key><string>{identifier}</string>\
         <key>PayloadContent</key><array>{payloads}</array></dict></plist>"
    )
    .into_bytes()
}

pub fn upload(school: &School, bytes: &[u8]) -> Reply {
    let client = Client::new(school.server().socket().0);
    let headers = [("Content-Type", "application/x-apple-aspen-config")];
    let (status, headers, body) = client.request("POST", "/api/v1/profiles", &headers, bytes).unwrap();
    Reply { status, headers, body }
}

pub fn add(school: &School, identifier: &str, kind: &str) -> Value {
    upload(school, &mobileconfig(identifier, &[kind], "1")).is(201)
}

fn assign(school: &School, profile: &str, whom: &Value) -> Value {
    school.api("POST", &format!("/profiles/{profile}/assign"), whom).is(200)
}

/// Identifiers of the profiles that stand on a channel.
fn standing(mac: &crate::support::device::Handle, channel: Channel) -> Vec<String> {
    let all = mac.with(|d| d.state().profiles.clone());
    let mut found: Vec<String> = all.into_iter().filter(|p| p.channel == channel).map(|p| p.identifier).collect();
    found.sort();
    found
}

#[test]
fn a_profile_from_its_upload_to_its_end() {
    let school = School::new();
    let mac = school.enroll(Kind::Mac, 1);
    let first = add(&school, "school.wifi", "com.apple.wifi.managed");
    assert_eq!((&first["version"], &first["installed"]), (&json!(1), &json!(0)));
    assert_eq!(add(&school, "school.wifi", "com.apple.wifi.managed")["version"], 1, "the same bytes change nothing");
    assign(&school, "school.wifi", &json!({ "device": mac.udid() }));
    let until = |installed: i64, version: i64| {
        school.wait_until("it to be installed", || {
            let profile = school.get("/profiles/school.wifi");
            (profile["installed"] == installed && profile["version"] == version).then_some(())
        });
    };
    until(1, 1);
    assert_eq!(standing(&mac, Channel::Device), ["school.wifi"]);
    // The next version replaces it wherever it stands.
    upload(&school, &mobileconfig("school.wifi", &["com.apple.wifi.managed"], "2")).is(201);
    until(1, 2);
    let list = school.send(&mac, "ProfileList", Value::Null);
    school.wait_for(&list, "Acknowledged");
    let shown = school.get(&format!("/devices/{}/profiles", mac.udid()));
    let own =
        shown["items"][0]["profiles"].as_array().unwrap().iter().find(|p| p["identifier"] == "school.wifi").unwrap();
    assert_eq!((&own["wanted"], &own["installed"], &own["reported"]), (&json!(2), &json!(2), &json!(true)));
    school.api("DELETE", "/profiles/school.wifi", &Value::Null).is(204);
    school.wait_until("it to be gone", || standing(&mac, Channel::Device).is_empty().then_some(()));
    school.api("GET", "/profiles/school.wifi", &Value::Null).is_problem(404, "no-such-profile");
}

#[test]
fn to_the_device_to_everyone_on_it_and_to_one_user() {
    let school = School::new();
    let mac = school.enroll(Kind::Mac, 1);
    let ipad = school.enroll(Kind::Ipad, 2);
    let ann = ipad.add_user(&school.stand_in, "ann@hill.example", Account::SharedIpad);
    let bob = ipad.add_user(&school.stand_in, "bob@hill.example", Account::SharedIpad);
    for (name, kind) in [
        ("p.device", "com.apple.wifi.managed"),
        ("p.all", "com.apple.webClip.managed"),
        ("p.ann", "com.apple.mail.managed"),
    ] {
        add(&school, name, kind);
    }
    let noted = assign(&school, "p.ann", &json!({ "user": "Ann@hill.example" }));
    assert!(noted["notes"].to_string().contains("device profiles only"), "{noted}");
    let noted = assign(&school, "p.all", &json!({ "everyone_on": ipad.udid() }));
    assert!(noted["notes"].to_string().contains("No managed user"), "{noted}");
    assign(&school, "p.all", &json!({ "everyone_on": mac.udid() }));
    assign(&school, "p.device", &json!({ "device": ipad.udid() }));
    ipad.log_in(ann);
    school.wait_until("ann's two", || (standing(&ipad, ann) == ["p.all", "p.ann"]).then_some(()));
    ipad.with(|d| d.log_out(ann));
    ipad.log_in(bob);
    school.wait_until("bob's one", || (standing(&ipad, bob) == ["p.all"]).then_some(()));
    school.wait_until("the device's own", || (standing(&ipad, Channel::Device) == ["p.device"]).then_some(()));
    school.wait_until("the Mac's user", || (standing(&mac, Channel::User) == ["p.all"]).then_some(()));
    // Re-enrolled: everything is off the device and comes again.
    ipad.with(|d| {
        let mut gone = d.state().clone();
        gone.profiles.clear();
        *d = cordon::simulator::device::Device::restore(
            std::sync::Arc::clone(school.world()),
            &serde_json::to_vec(&gone).unwrap(),
        )
        .unwrap();
    });
    let profile = school.profile(&Value::Null);
    ipad.enroll(&school.stand_in, &profile);
    school.wait_until("the device's own again", || (standing(&ipad, Channel::Device) == ["p.device"]).then_some(()));
    assert!(standing(&ipad, bob).is_empty());
    ipad.log_in(bob);
    school.wait_until("bob's again", || (standing(&ipad, bob) == ["p.all"]).then_some(()));
}

#[test]
fn what_cannot_be_handed_out_is_said() {
    let school = School::new();
    let two = upload(&school, &mobileconfig("two", &["com.apple.mail.managed", "com.apple.eas.account"], "1")).is(201);
    assert!(two["notes"].to_string().contains("2 accounts"), "{two}");
    upload(&school, b"junk").is_problem(400, "bad-profile");
    upload(&school, &mobileconfig("x", &["com.apple.mdm"], "1")).is_problem(400, "bad-profile");
    school.api("POST", "/profiles/two/assign", &json!({})).is_problem(400, "bad-argument");
    school.api("POST", "/profiles/two/assign", &json!({ "user": "a", "group": "b" })).is_problem(400, "bad-argument");
    school.api("POST", "/profiles/two/unassign", &json!({ "user": "a" })).is_problem(404, "not-assigned");
    assert_eq!(school.get("/profiles")["items"].as_array().unwrap().len(), 1);
}

#[test]
fn a_profile_that_the_device_refuses_holds_up_nothing() {
    let school = School::new();
    let mac = school.enroll_deaf(Kind::Mac, 1);
    mac.with(|d| assert!(d.behaviour_mut().errors.insert("InstallProfile".to_owned())));
    add(&school, "p.bad", "com.apple.dock");
    let user = mac.with(|d| d.spec().person.clone().unwrap().short_name);
    assign(&school, "p.bad", &json!({ "user": user }));
    assert_eq!(mac.log_in(Channel::User).round_trips, 2);
    let shown = school.get(&format!("/devices/{}/profiles?user={user}", mac.udid()));
    let words = shown["items"][0]["profiles"][0]["words"].as_str().unwrap().to_owned();
    assert!(words.contains("refused"), "{words}");
    // Not again at once; a new version is tried.
    assert_eq!(mac.log_in(Channel::User).round_trips, 1);
    mac.with(|d| d.behaviour_mut().errors.clear());
    upload(&school, &mobileconfig("p.bad", &["com.apple.dock"], "2")).is(201);
    assert_eq!(mac.log_in(Channel::User).round_trips, 2);
    assert_eq!(standing(&mac, Channel::User), ["p.bad"]);
}
