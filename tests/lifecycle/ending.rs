//! The ends of management: by command, on the server's side, for good. Only an administrator's explicit word, or a policy that is off by
//! default, makes an answer that un-enrols.

use super::{Timed, token_update};
use crate::support::wire::{check_in, idle};
use cordon::simulator::spec::Kind;
use cordon::simulator::state::{Channel, Standing};
use serde_json::{Value, json};

#[test]
fn a_device_is_taken_out_by_command_also_without_the_right_to_remove_profiles() {
    let timed = Timed::new();
    let school = &timed.school;
    let ipad = school.unpack(Kind::Ipad, 1, super::patient());
    ipad.expect_many_tokens(&school.stand_in, 3);
    ipad.enroll(&school.stand_in, &school.profile(&json!({ "access_rights": 8189 })));
    let identity = ipad.identity();
    timed.post(&ipad, "remove").is(201);
    school.wait_until("the device to leave", || (school.device(&ipad)["state"] == "Gone").then_some(()));
    assert_eq!(ipad.with(|d| d.standing()), Standing::Removed);
    let identities = school.get(&format!("/certificates?device={}", ipad.udid()));
    assert_ne!(identities["items"][0]["revoked_at"], Value::Null);
    // Whoever still holds the identity is told to leave; a fresh enrolment is welcome, and keeps the history.
    let answer = school.caller(Some(&identity)).check_in(&token_update(&ipad.udid()));
    assert!([401, 403].contains(&answer.status), "{}", answer.status);
    let id = school.device(&ipad)["id"].clone();
    ipad.enroll(&school.stand_in, &school.profile(&Value::Null));
    let again = school.device(&ipad);
    assert_eq!((&again["id"], &again["state"], &again["dismissed_at"]), (&id, &json!("Active"), &Value::Null));
    assert!(again["timeline"].as_array().unwrap().iter().any(|line| line["kind"] == "remove"));
    timed.serves(&ipad);
}

#[test]
fn a_released_device_is_gone_at_once_and_its_queue_with_it() {
    let timed = Timed::new();
    let school = &timed.school;
    let ipad = timed.enroll(Kind::Ipad, 1);
    ipad.set_deaf(true);
    let waiting = school.send(&ipad, "ProfileList", Value::Null);
    assert_eq!(timed.post(&ipad, "release").is(200)["state"], "Gone");
    assert_eq!(school.state_of(&waiting), "Cleared");
    let answer = school.caller(Some(&ipad.identity())).report(&idle(&ipad.udid()));
    assert!([401, 403].contains(&answer.status), "{}", answer.status);
    timed.post(&ipad, "release").is_problem(409, "not-enrolled");
}

#[test]
fn a_blocked_device_is_told_and_stays_out_until_it_is_unblocked() {
    let timed = Timed::new();
    let school = &timed.school;
    let ipad = timed.enroll(Kind::Ipad, 1);
    let mut caller = school.caller(Some(&ipad.identity()));
    // Deaf: what the simulated device would do with the answer is another test's business.
    ipad.set_deaf(true);
    timed.post(&ipad, "block").is(200);
    assert!([401, 403].contains(&caller.report(&idle(&ipad.udid())).status));
    // A stranger who only names it learns nothing.
    assert_eq!(school.caller(None).report(&idle(&ipad.udid())).status, 400);
    let fresh = ipad.try_enroll(&school.stand_in, &school.profile(&Value::Null)).unwrap_err();
    assert!(fresh.contains("401") || fresh.contains("403"), "{fresh}");
    timed.post(&ipad, "unblock").is(200);
    assert_eq!(caller.report(&idle(&ipad.udid())).status, 200, "as if nothing had been");
    ipad.set_deaf(false);
    timed.serves(&ipad);
}

#[test]
fn strangers_are_told_to_leave_only_where_the_school_wants_it() {
    let timed = Timed::new();
    let school = &timed.school;
    let ipad = timed.enroll(Kind::Ipad, 1);
    let said = || {
        let mut statuses = vec![
            school.caller(None).report(&idle("STRANGER")).status,
            school.caller(None).check_in(&token_update("STRANGER")).status,
            school.caller(None).check_in(&check_in("CheckOut", "STRANGER", &[])).status,
        ];
        // A device that is known here is never a stranger, whatever it shows.
        statuses.push(school.caller(None).report(&idle(&ipad.udid())).status);
        statuses
    };
    assert_eq!(said(), [400, 400, 400, 400], "off by default");
    school.api("PATCH", "/device-policy", &json!({ "unenroll_strangers": true })).is(200);
    assert_eq!(said(), [401, 401, 401, 400]);
    // A copied identity that names a stranger is a clone, and not told anything.
    assert_eq!(school.caller(Some(&ipad.identity())).report(&idle("STRANGER")).status, 400);
    timed.post(&ipad, "release-quarantine").is(200);
    timed.fetches(&ipad);
    timed.serves(&timed.enroll(Kind::Mac, 4));
    assert_eq!(ipad.with(|d| d.find_due()), None);
    assert!(ipad.poll(Channel::Device).is_ok());
}
