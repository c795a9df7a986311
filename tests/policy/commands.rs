//! The command catalogue: every command goes out as Apple's schema has it, and before it is sent each device says what would become of it.

use crate::support::{Plan, School};
use cordon::base::time::{Clock, HOUR, ManualClock, SystemClock};
use cordon::plist::{Dictionary, Value as Plist, parse_dict};
use cordon::protocol::catalogue::{self, Allowed, KeySpec, Kind};
use cordon::protocol::command;
use cordon::simulator::spec::Kind as DeviceKind;
use serde_json::{Value, json};
use std::sync::Arc;

/// A value that the schema allows.
fn sample(key: &KeySpec) -> Plist {
    if let Some(allowed) = key.allowed.first() {
        return match allowed {
            Allowed::Text(text) => Plist::from(*text),
            Allowed::Number(number) => Plist::from(*number),
        };
    }
    let low = key.range.map_or(1.0, |(min, max)| if min.is_finite() { min } else { max.min(1.0) });
    match key.kind {
        Kind::Text | Kind::Any => Plist::from("text"),
        Kind::Integer => Plist::from(low as i64),
        Kind::Real => Plist::from(low),
        Kind::Boolean => Plist::from(true),
        Kind::Date => Plist::Date(std::time::UNIX_EPOCH.into()),
        Kind::Data => Plist::Data(vec![1, 2, 3]),
        Kind::Array => Plist::Array(key.children.iter().filter(|c| c.is_element).map(sample).collect()),
        Kind::Dictionary => Plist::Dictionary(samples(&key.children)),
    }
}

fn samples(keys: &[KeySpec]) -> Dictionary {
    keys.iter().filter(|key| !key.is_element).map(|key| (key.key.to_owned(), sample(key))).collect()
}

#[test]
fn every_command_is_serialised_as_the_schema_has_it() {
    for spec in catalogue::list() {
        let keys = samples(&spec.keys);
        assert_eq!(catalogue::check(spec.request_type, &keys), [], "{}", spec.request_type);
        let uuid = "0F6A0E0C-9E0C-4E0A-8C57-0B7C0A6F2B11".parse().unwrap();
        let sent = command::encode(&uuid, spec.request_type, &keys);
        let top = parse_dict(&sent).unwrap();
        let inner = top.dict("Command").unwrap();
        assert_eq!(inner.string("RequestType").unwrap(), spec.request_type);
        for (key, value) in &keys {
            assert_eq!(inner.get(key), Some(value), "{} {key}", spec.request_type);
        }
        // And the other way round: raw bytes are the same command.
        let (_, request_type, mut back) = command::parse_raw(&sent).unwrap();
        back.remove("RequestType");
        assert!(request_type == spec.request_type && back == keys, "{}", spec.request_type);
    }
}

fn forecast(school: &School, wish: &Value) -> Value {
    school.api("POST", "/commands/check", wish).is(200)["items"][0].clone()
}

#[test]
fn each_device_says_what_would_become_of_it() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let school = School::planned(Plan { clock: clock.clone(), ..Plan::default() });
    let few = json!({ "rights": ["inspect-profiles", "install-profiles", "device-info"] });
    let (mac, ipad) =
        (school.enroll(DeviceKind::Mac, 1), school.enroll_with(DeviceKind::Ipad, 2, Default::default(), &few));
    let user = mac.user();
    let ask = |device: &crate::support::device::Handle, request_type: &str, keys: Value, user: Option<&str>| {
        let wish = json!({ "RequestType": request_type, "keys": keys, "devices": [device.udid()], "user": user });
        let found = forecast(&school, &wish);
        (found["will_run"] == true, format!("{} {}", found["reasons"], found["when"]))
    };
    let (runs, words) = ask(&mac, "ProfileList", json!({}), None);
    assert!(runs && words.contains("within a minute"), "{words}");
    let table = [
        (&mac, "ClearPasscode", None, "macOS does not know it"),
        (&mac, "DeviceLock", Some(user.as_str()), "not for a user's channel"),
        (&mac, "ActiveNSExtensions", None, "not for the device itself"),
        (&mac, "ProfileList", Some("nobody"), "no managed user"),
        (&mac, "AccountConfiguration", None, "Automated Device Enrolment"),
        (&ipad, "EraseDevice", None, "right to erase the device"),
        (&ipad, "InstallApplication", None, "right to install, manage"),
    ];
    for (device, request_type, user, wanted) in table {
        let (runs, words) = ask(device, request_type, json!({}), user);
        assert!(!runs && words.contains(wanted), "{request_type}: {words}");
    }
    // The two exceptions to the schema. The MDM profile may always be removed, another one only with the right.
    let (_, identifier) = (0, school.server().context().store.read(|db| db.find_text_setting("school_id")).unwrap());
    let none = json!({ "rights": ["device-info"] });
    let bare = school.enroll_with(DeviceKind::Ipad, 3, Default::default(), &none);
    let own = format!("cordon.{}.mdm", identifier.unwrap());
    assert!(ask(&bare, "RemoveProfile", json!({ "Identifier": own }), None).0);
    let (runs, words) = ask(&bare, "RemoveProfile", json!({ "Identifier": "school.wifi" }), None);
    assert!(!runs && words.contains("install and remove configuration profiles"), "{words}");
    let (runs, _) = ask(&mac, "DeviceConfigured", json!({}), Some(&user));
    assert!(!runs, "on a user's channel only while Setup Assistant reads policies there");
    mac.with(|d| d.read_password_policy(cordon::simulator::state::Channel::User)).unwrap();
    assert!(ask(&mac, "DeviceConfigured", json!({}), Some(&user)).0);
    // A device that sleeps.
    clock.advance(2 * HOUR);
    let (runs, words) = ask(&mac, "ProfileList", json!({}), None);
    assert!(runs && words.contains("last heard of"), "{words}");
    let group = json!({ "name": "all", "kind": "smart", "filter": "platform = macOS or platform = iPadOS" });
    school.api("POST", "/groups", &group).is(201);
    let wish = json!({ "RequestType": "RestartDevice", "keys": { "Nonsense": 1 }, "group": "all" });
    let found = school.api("POST", "/commands/check", &wish).is(200);
    assert_eq!(found["items"].as_array().unwrap().len(), 3);
    assert!(found["doubts"].to_string().contains("Nonsense"), "{found}");
}
