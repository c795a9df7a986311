//! Devices that come back from a backup, and identities that turn up twice. A doubt is 400 and a person decides; nobody is un-enrolled
//! by one.

use super::{Timed, identity_serial, token_update};
use crate::support::wire::idle;
use cordon::simulator::spec::Kind;
use cordon::simulator::state::Channel;
use serde_json::{Value, json};

#[test]
fn a_token_update_without_authenticate_takes_a_known_device_back() {
    let timed = Timed::new();
    let ipad = timed.enroll(Kind::Ipad, 1);
    let generation = timed.school.enrollment(&ipad, Channel::Device).generation;
    assert_eq!(timed.school.caller(Some(&ipad.identity())).check_in(&token_update(&ipad.udid())).status, 200);
    let row = timed.school.enrollment(&ipad, Channel::Device);
    assert_eq!((row.generation, row.target.unwrap().magic.as_str()), (generation, "restored"));
}

#[test]
fn the_restore_of_a_backup_from_before_a_renewal_brings_the_old_identity_back() {
    let timed = Timed::new();
    let ipad = timed.enroll(Kind::Ipad, 1);
    let old = ipad.identity();
    timed.post(&ipad, "renew").is(201);
    timed.wait_renewal(&ipad, "done");
    let mut caller = timed.school.caller(Some(&old));
    assert_eq!(caller.report(&idle(&ipad.udid())).status, 400, "it was replaced and revoked");
    assert_eq!(caller.check_in(&token_update(&ipad.udid())).status, 200);
    assert_eq!(caller.report(&idle(&ipad.udid())).status, 200);
}

#[test]
fn a_device_that_left_and_comes_back_waits_for_a_decision() {
    let timed = Timed::new();
    let school = &timed.school;
    let ipad = timed.enroll(Kind::Ipad, 1);
    let (identity, udid) = (ipad.identity(), ipad.udid());
    ipad.with(|d| d.remove_management());
    let mut caller = school.caller(Some(&identity));
    for body in [token_update(&udid), token_update(&udid)] {
        assert_eq!(caller.check_in(&body).status, 400, "undecided");
    }
    let waiting = timed.attention("came-back").unwrap();
    assert_eq!(waiting["times"], 2);
    let words = waiting["words"].as_str().unwrap();
    assert!(words.contains("take-back") && words.contains("block"), "both ways out: {words}");
    timed.post(&ipad, "take-back").is(200);
    assert_eq!(caller.check_in(&token_update(&udid)).status, 200);
    assert_eq!(school.device(&ipad)["state"], "Active");
    assert!(timed.attention("came-back").is_none());
    assert_eq!(caller.report(&idle(&udid)).status, 200, "its identity counts again");
    let identities = school.get(&format!("/certificates?device={udid}"));
    assert_eq!(identities["items"][0]["revoked_at"], Value::Null);
    timed.post(&ipad, "take-back").is_problem(409, "did-not-leave");
}

#[test]
fn the_schools_policy_may_take_everybody_back() {
    let timed = Timed::new();
    let ipad = timed.enroll(Kind::Ipad, 1);
    let identity = ipad.identity();
    ipad.with(|d| d.remove_management());
    timed.school.api("PATCH", "/device-policy", &json!({ "take_back": true })).is(200);
    assert_eq!(timed.school.caller(Some(&identity)).check_in(&token_update(&ipad.udid())).status, 200);
    assert_eq!(timed.school.device(&ipad)["state"], "Active");
}

#[test]
fn a_blocked_device_that_comes_back_is_told_to_leave_by_what_its_system_understands() {
    let timed = Timed::new();
    for (seed, expected) in [(1, [401, 403]), (2, [401, 403])] {
        let ipad = timed.enroll(Kind::Ipad, seed);
        let identity = ipad.identity();
        ipad.with(|d| d.remove_management());
        timed.post(&ipad, "block").is(200);
        timed.post(&ipad, "take-back").is_problem(409, "device-blocked");
        let answer = timed.school.caller(Some(&identity)).check_in(&token_update(&ipad.udid()));
        assert!(expected.contains(&answer.status), "{}", answer.status);
        let new = ipad.with(|d| d.spec().os_version.split('.').next().unwrap().parse::<u32>().unwrap()) >= 17;
        assert_eq!(answer.status == 403, new);
    }
}

#[test]
fn one_identity_on_two_devices_is_set_aside_and_there_is_a_guided_way_out() {
    let timed = Timed::new();
    let school = &timed.school;
    let ipad = timed.enroll(Kind::Ipad, 1);
    let mut clone = school.caller(Some(&ipad.identity()));
    assert_eq!(clone.report(&idle("THE-CLONE")).status, 400);
    assert_eq!(clone.report(&idle(&ipad.udid())).status, 400, "nobody knows which of the two this is");
    let waiting = timed.attention("clone").unwrap();
    assert_eq!(waiting["detail"]["udid"], "THE-CLONE");
    assert!(waiting["words"].as_str().unwrap().contains("release-quarantine"));
    timed.post(&ipad, "release-quarantine").is(200);
    timed.post(&ipad, "release-quarantine").is_problem(409, "nothing-to-decide");
    timed.fetches(&ipad);
    // The other one gets an identity of its own.
    timed.serves(&timed.enroll(Kind::Ipad, 2));
}

#[test]
fn an_identity_that_a_device_should_not_have_yet_is_bound_by_a_person_only() {
    use crate::support::scep::Applicant;
    let timed = Timed::new();
    let school = &timed.school;
    let ipad = timed.enroll(Kind::Ipad, 1);
    let before = identity_serial(&ipad);
    let applicant = Applicant::new(school, &school.profile(&Value::Null), "T1");
    let other = applicant.identity(&applicant.ask(school));
    let mut caller = school.caller(Some(&other));
    assert_eq!(caller.report(&idle(&ipad.udid())).status, 400);
    assert!(timed.attention("other-identity").unwrap()["words"].as_str().unwrap().contains("rebind"));
    timed.serves(&ipad);
    timed.post(&ipad, "rebind").is(200);
    assert_eq!(caller.report(&idle(&ipad.udid())).status, 200);
    let revoked = school.get("/certificates?revoked=true");
    assert_eq!(revoked["items"][0]["serial"], json!(before));
}
