//! Provisioning profiles: replaced before they end, and the old one goes only when the device has listed the new one; a removed one that comes
//! back is shown as such, and nobody is told that removal is revocation.

use super::{device_group, member};
use crate::support::School;
use crate::support::api::Reply;
use crate::support::device::Handle;
use cordon::base::time::{Clock, DAY, SystemClock, Timestamp};
use cordon::http::control::Client;
use cordon::pki::templates::{Authority, new_root};
use cordon::pki::{SystemRandom, cms};
use cordon::plist::{Date, Dictionary, Value as Plist, to_xml};
use cordon::service::provisioning;
use cordon::simulator::spec::Kind;
use cordon::simulator::state::Channel;
use serde_json::{Value, json};
use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

const APP: &str = "ABCDE12345.org.hill.timetable";

/// Whoever signs such files.
static APPLE: LazyLock<Authority> = LazyLock::new(|| new_root("Stand-in for Apple", SystemClock.now(), &SystemRandom));

fn uuid(n: u8) -> String {
    format!("0000000{n}-0000-4000-8000-000000000000")
}

/// A `.mobileprovision` that ends in so many days.
pub fn mobileprovision(n: u8, app: &str, days: i64) -> Vec<u8> {
    let now = SystemClock.now();
    let date = |at: Timestamp| Plist::Date(Date::from(UNIX_EPOCH + Duration::from_millis(at.0.unsigned_abs())));
    let mut rights = Dictionary::new();
    rights.insert(String::from("application-identifier"), app.into());
    let mut dict = Dictionary::new();
    for (key, value) in [
        ("UUID", Plist::from(uuid(n))),
        ("Name", Plist::from(format!("Timetable {n}"))),
        ("ProvisionsAllDevices", true.into()),
        ("ExpirationDate", date(now.plus(days * DAY))),
        ("Entitlements", Plist::Dictionary(rights)),
    ] {
        dict.insert(key.to_owned(), value);
    }
    cms::sign_attached(&to_xml(&Plist::Dictionary(dict)), &APPLE.certificate, &APPLE.key, &[], now)
}

pub fn upload(school: &School, bytes: &[u8]) -> Reply {
    let client = Client::new(school.server().socket().0);
    let headers = [("Content-Type", "application/octet-stream")];
    let (status, headers, body) = client.request("POST", "/api/v1/provisioning", &headers, bytes).unwrap();
    Reply { status, headers, body }
}

fn there(device: &Handle) -> Vec<String> {
    device.with(|d| d.state().provisioning_uuids())
}

fn until(school: &School, device: &Handle, wanted: &[u8]) {
    let wanted: Vec<String> = wanted.iter().map(|n| uuid(*n)).collect();
    school.wait_until(&format!("{wanted:?}"), || (there(device) == wanted).then_some(()));
}

/// How an upload stands on a device, by the API.
fn state(school: &School, device: &Handle, n: u8) -> Value {
    let shown = school.get(&format!("/devices/{}/provisioning", device.udid()));
    let all = shown["managed"].as_array().unwrap().clone();
    all.into_iter().find(|one| one["uuid"] == uuid(n)).unwrap_or_default()
}

fn until_state(school: &School, device: &Handle, n: u8, wanted: &str) -> Value {
    school.wait_until(&format!("{n} to be {wanted}"), || {
        let one = state(school, device, n);
        (one["state"] == wanted).then_some(one)
    })
}

fn commands(device: &Handle) -> Vec<String> {
    let all = device.executed().into_iter().map(|e| e.request_type);
    all.filter(|name| name.contains("Provisioning")).collect()
}

#[test]
fn one_is_replaced_before_it_ends_and_the_old_one_goes_when_the_new_one_is_there() {
    let school = School::new();
    let (ipad, other) = (school.enroll(Kind::Ipad, 1), school.enroll(Kind::Ipad, 2));
    let made = upload(&school, &mobileprovision(1, APP, 20)).is(201);
    assert!(made["notes"].to_string().contains("Stand-in for Apple"), "{made}");
    assert_eq!((&made["app_id"], &made["installed"]), (&json!(APP), &json!(0)));
    // Its end is on the calendar, with what a person must do.
    let ends = school.get("/expiry");
    let line = ends["items"].as_array().unwrap().iter().find(|one| one["kind"] == "provisioning").unwrap().clone();
    assert!(line["what"].as_str().unwrap().contains("cordon provisioning add"), "{line}");
    assert_eq!(line["days_left"], 19);

    device_group(&school, "Lab");
    let id = made["id"].as_str().unwrap();
    school.api("POST", &format!("/provisioning/{id}/assign"), &json!({ "group": "Lab" })).is(200);
    assert!(there(&ipad).is_empty());
    member(&school, "Lab", &json!({ "devices": [ipad.udid()] }));
    until(&school, &ipad, &[1]);
    until_state(&school, &ipad, 1, "installed");
    assert_eq!(commands(&ipad), ["InstallProvisioningProfile"], "the first one replaces nothing");
    assert!(there(&other).is_empty());

    // The next one for the app. While the device answers, there is never a moment without one.
    ipad.set_deaf(true);
    let renewed = upload(&school, &mobileprovision(2, APP, 365)).is(201);
    assert_eq!((&renewed["id"], &renewed["uuid"]), (&json!(id), &json!(uuid(2))));
    assert_eq!(there(&ipad), [uuid(1)]);
    assert_eq!(state(&school, &ipad, 1)["state"], "installed", "nothing is taken off before the new one is there");
    ipad.set_deaf(false);
    ipad.poll(Channel::Device).unwrap();
    until(&school, &ipad, &[2]);
    until_state(&school, &ipad, 2, "confirmed");
    until_state(&school, &ipad, 1, "removed");
    let order = [
        "InstallProvisioningProfile",
        "InstallProvisioningProfile",
        "ProvisioningProfileList",
        "RemoveProvisioningProfile",
    ];
    assert_eq!(commands(&ipad), order, "the list stands between the new one and the end of the old one");
    // The same file again changes nothing; an older one is not taken.
    upload(&school, &mobileprovision(2, APP, 365)).is(201);
    upload(&school, &mobileprovision(3, APP, 100)).is_problem(409, "older-provisioning");
    let ends = school.get("/expiry");
    let line = ends["items"].as_array().unwrap().iter().find(|one| one["kind"] == "provisioning").unwrap();
    assert_eq!(line["days_left"], 364);

    // Who leaves the group loses it, who joins gets the one in force.
    member(&school, "Lab", &json!({ "devices": [other.udid()] }));
    until(&school, &other, &[2]);
    super::no_member(&school, "Lab", &json!({ "devices": [ipad.udid()] }));
    until(&school, &ipad, &[]);
    until(&school, &other, &[2]);
}

#[test]
fn a_removed_one_that_comes_back_is_shown_and_removal_is_not_called_revocation() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    let made = upload(&school, &mobileprovision(1, APP, 100)).is(201);
    let path = format!("/provisioning/{}", made["id"].as_str().unwrap());
    let shown = school.api("POST", &format!("{path}/assign"), &json!({ "device": ipad.udid() })).is(200);
    let words = shown["removal"].as_str().unwrap();
    for part in ["not a revocation", "restarted", "computer that syncs"] {
        assert!(words.contains(part), "{part} in {words}");
    }
    until_state(&school, &ipad, 1, "installed");
    school.api("DELETE", &path, &Value::Null).is(204);
    until(&school, &ipad, &[]);
    until_state(&school, &ipad, 1, "removed");
    // A computer syncs the device; the next list tells.
    ipad.with(|d| d.sync_with_computer());
    assert_eq!(there(&ipad), [uuid(1)]);
    let list = school.send(&ipad, "ProvisioningProfileList", Value::Null);
    school.wait_for(&list, "Acknowledged");
    let back = until_state(&school, &ipad, 1, "returned");
    assert!(back["words"].as_str().unwrap().contains("there again"), "{back}");
    assert!(back["returned_at"].is_string() && back["removed_at"].is_string());
    let listed = school.get(&format!("/devices/{}/provisioning", ipad.udid()));
    assert_eq!(listed["listed"][0]["uuid"], uuid(1));
    let timeline = school.device(&ipad)["timeline"].to_string();
    assert!(timeline.contains("provisioning-returned"));
    // It is not fought over and over: somebody says so.
    assert_eq!(commands(&ipad).iter().filter(|c| *c == "RemoveProvisioningProfile").count(), 1);
    let again = format!("/devices/{}/provisioning/remove-again", ipad.udid());
    school.api("POST", &again, &json!({ "uuid": "nothing" })).is_problem(404, "no-such-provisioning");
    school.api("POST", &again, &json!({ "uuid": uuid(1) })).is(200);
    until(&school, &ipad, &[]);
    until_state(&school, &ipad, 1, "removed");
    school.api("POST", &again, &json!({ "uuid": uuid(1) })).is_problem(409, "not-returned");
    // The app is wanted again: the same file begins anew.
    let made = upload(&school, &mobileprovision(1, APP, 100)).is(201);
    let path = format!("/provisioning/{}", made["id"].as_str().unwrap());
    school.api("POST", &format!("{path}/assign"), &json!({ "device": ipad.udid() })).is(200);
    until_state(&school, &ipad, 1, "installed");
}

#[test]
fn what_is_refused_is_tried_again_and_what_is_none_is_not_taken() {
    let school = School::new();
    for (bytes, status, id) in [
        (b"junk".to_vec(), 400, "bad-provisioning"),
        (vec![0x30; 2000], 400, "bad-provisioning"),
        (mobileprovision(1, APP, -1), 409, "provisioning-over"),
    ] {
        upload(&school, &bytes).is_problem(status, id);
    }
    let ipad = school.enroll(Kind::Ipad, 1);
    ipad.with(|d| assert!(d.behaviour_mut().errors.insert("InstallProvisioningProfile".to_owned())));
    let made = upload(&school, &mobileprovision(1, APP, 100)).is(201);
    let path = format!("/provisioning/{}", made["id"].as_str().unwrap());
    school.api("POST", &format!("{path}/assign"), &json!({ "user": "anna" })).is_problem(400, "bad-body");
    school.api("POST", &format!("{path}/assign"), &json!({})).is_problem(400, "bad-argument");
    school.api("POST", &format!("{path}/assign"), &json!({ "device": ipad.udid() })).is(200);
    until_state(&school, &ipad, 1, "refused");
    assert_eq!(provisioning::try_again(school.server().context()).unwrap(), 0, "not at once");
    assert_eq!(commands(&ipad).len(), 1);
    ipad.with(|d| d.behaviour_mut().errors.clear());
    school.api("POST", &format!("{path}/retry"), &Value::Null).is(200);
    until_state(&school, &ipad, 1, "installed");
    // Without the right to it, a device is told apart and asked for nothing.
    let poor = school.enroll_with(Kind::Ipad, 2, Default::default(), &json!({ "access_rights": 8191 - 128 }));
    let told = school.api("POST", &format!("{path}/assign"), &json!({ "device": poor.udid() })).is(200);
    assert!(told["notes"].to_string().contains("does not grant the right"), "{told}");
    assert_eq!(commands(&poor), Vec::<String>::new());
    assert_eq!(school.get(&path)["installed"], 1);
}
