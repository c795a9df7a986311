//! What stands is what the device says: a profile that its user took off comes back, or stays off where the school lets it be; one
//! that the device refuses is tried later and later, and is then a fault for a person.

use super::{assign, standing, two_profiles, until, why};
use crate::support::device::Handle;
use crate::support::{Plan, School};
use cordon::base::time::{Clock, DAY, HOUR, ManualClock, SystemClock};
use cordon::service::inventory;
use cordon::simulator::spec::Kind;
use cordon::simulator::state::Channel;
use serde_json::{Value, json};
use std::sync::Arc;

fn lists(school: &School, device: &Handle) {
    let list = school.send(device, "ProfileList", Value::Null);
    school.wait_for(&list, "Acknowledged");
}

fn installs(device: &Handle) -> usize {
    device.executed().iter().filter(|e| e.request_type == "InstallProfile").count()
}

#[test]
fn a_profile_that_its_user_took_off_comes_back() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    two_profiles(&school);
    assign(&school, "p.wifi", &json!({ "device": ipad.udid() }));
    until(&school, &ipad, Channel::Device, &["p.wifi"]);
    lists(&school, &ipad);
    assert_eq!(installs(&ipad), 1, "what is there is not sent again");
    ipad.with(|d| d.take_off(Channel::Device, "p.wifi"));
    lists(&school, &ipad);
    until(&school, &ipad, Channel::Device, &["p.wifi"]);
    assert!(school.device(&ipad)["timeline"].to_string().contains("profile-gone"));
    // Where the school lets it be, it stays off until somebody says so.
    school.api("PATCH", "/profiles/p.wifi", &json!({ "comes_back": false })).is(200);
    ipad.with(|d| d.take_off(Channel::Device, "p.wifi"));
    lists(&school, &ipad);
    lists(&school, &ipad);
    assert_eq!((standing(&ipad, Channel::Device).len(), installs(&ipad)), (0, 2));
    assert!(why(&school, &ipad, "p.wifi").contains("taken off the device by its user"));
    school.api("POST", "/profiles/p.wifi/retry", &Value::Null).is(200);
    until(&school, &ipad, Channel::Device, &["p.wifi"]);
}

#[test]
fn what_a_device_refuses_is_tried_later_and_later_and_then_a_person_hears_of_it() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let school = School::planned(Plan { clock: clock.clone(), ..Plan::default() });
    let ipad = school.enroll(Kind::Ipad, 1);
    two_profiles(&school);
    ipad.with(|d| assert!(d.behaviour_mut().errors.insert("InstallProfile".to_owned())));
    assign(&school, "p.wifi", &json!({ "device": ipad.udid() }));
    let tried = |times: usize| {
        school.wait_until(&format!("try {times}"), || {
            let refused = school.get("/profiles/p.wifi/refusals");
            (refused["items"][0]["times"] == json!(times) && installs(&ipad) == times).then_some(refused)
        })
    };
    tried(1);
    for (times, wait) in [(2, HOUR), (3, 4 * HOUR), (4, DAY), (5, DAY)] {
        let profile = school.get("/profiles/p.wifi");
        assert_eq!((&profile["refused"], &profile["waiting"]), (&json!(0), &json!(0)));
        clock.advance(wait + 1);
        tried(times);
    }
    let profile = school.get("/profiles/p.wifi");
    assert_eq!(profile["refused"], 1, "{profile}");
    assert!(tried(5)["items"][0]["next_try_at"].is_null());
    assert!(school.device(&ipad)["timeline"].to_string().contains("profile-refused"));
    assert!(why(&school, &ipad, "p.wifi").contains("not tried again before somebody says so"));
    // Somebody does; the device has come to its senses.
    ipad.with(|d| d.behaviour_mut().errors.clear());
    school.api("POST", "/profiles/p.wifi/retry", &Value::Null).is(200);
    until(&school, &ipad, Channel::Device, &["p.wifi"]);
    assert_eq!(school.get("/profiles/p.wifi")["refused"], 0);
}

#[test]
fn devices_are_asked_on_a_cadence_and_so_it_comes_back_by_itself() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let tune = Arc::new(|options: &mut cordon::server::Options| options.asks_at_enrollment = true);
    let school = School::planned(Plan { clock: clock.clone(), tune, ..Plan::default() });
    let ipad = school.enroll(Kind::Ipad, 1);
    two_profiles(&school);
    assign(&school, "p.wifi", &json!({ "device": ipad.udid() }));
    until(&school, &ipad, Channel::Device, &["p.wifi"]);
    let cx = school.server().context();
    let times = |question: &str| ipad.executed().iter().filter(|e| e.request_type == question).count();
    inventory::run(cx).unwrap();
    assert_eq!(times("ProfileList"), 0, "nobody is asked within a day of enrolling");
    ipad.with(|d| d.take_off(Channel::Device, "p.wifi"));
    clock.advance(25 * HOUR);
    // The server's own job may have been quicker.
    inventory::run(cx).unwrap();
    until(&school, &ipad, Channel::Device, &["p.wifi"]);
    assert_eq!((times("ProfileList"), times("SecurityInfo")), (1, 1));
    inventory::run(cx).unwrap();
    assert_eq!(times("ProfileList"), 1, "nor twice within a day");
    school.api("PATCH", "/inventory-policy", &json!({ "every_hours": 0 })).is(200);
    clock.advance(25 * HOUR);
    assert_eq!(inventory::run(cx).unwrap(), 0, "the school does not want it");
    school.api("PATCH", "/inventory-policy", &json!({ "every_hours": 721 })).is_problem(400, "bad-argument");
}
