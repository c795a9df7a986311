//! Logins that wait, and Setup Assistant's look at password policy before there is an account.

use super::profiles::{add, mobileconfig};
use crate::support::{Plan, School};
use cordon::base::time::{Clock, ManualClock, SystemClock};
use cordon::simulator::spec::Kind;
use cordon::simulator::state::Channel;
use serde_json::{Value, json};
use std::sync::Arc;

fn person(mac: &crate::support::device::Handle) -> String {
    mac.with(|d| d.spec().person.clone().unwrap().short_name)
}

/// The story's lines of one kind, newest first.
fn told(school: &School, mac: &crate::support::device::Handle, kind: &str) -> Vec<Value> {
    let device = school.device(mac);
    device["timeline"].as_array().unwrap().iter().filter(|t| t["kind"] == kind).map(|t| t["detail"].clone()).collect()
}

#[test]
fn a_login_gets_everything_at_once_and_then_the_person_in() {
    let school = School::new();
    let mac = school.enroll_deaf(Kind::Mac, 1);
    let user = person(&mac);
    mac.with(|d| {
        d.behaviour_mut().errors.insert("SecurityInfo".to_owned());
        d.behaviour_mut().not_now.insert("InstalledApplicationList".to_owned(), 9);
    });
    let mut sent: Vec<String> = Vec::new();
    for _ in 0..6 {
        for kind in ["ProfileList", "SecurityInfo", "InstalledApplicationList"] {
            sent.push(school.send_to(&mac, Some(&user), kind, Value::Null));
        }
    }
    let own = school.send(&mac, "ProfileList", Value::Null);
    let login = mac.log_in(Channel::User);
    assert!(login.managed);
    // One report each, and the Idle before them: neither an error nor a “not now” costs another round.
    assert_eq!(login.round_trips, sent.len() + 1);
    let states: Vec<String> = sent.iter().map(|uuid| school.state_of(uuid)).collect();
    for wanted in ["Acknowledged", "Error", "NotNow"] {
        assert_eq!(states.iter().filter(|s| *s == wanted).count(), 6, "{states:?}");
    }
    assert_eq!(school.state_of(&own), "Queued", "the device's own queue is another one");
    let released = &told(&school, &mac, "login-released")[0];
    assert_eq!((&released["handed_out"], &released["waiting"]), (&json!(18), &json!(6)));
    // Nothing of the server's own curiosity went to the person who waited.
    let by: Vec<Value> =
        school.get("/commands")["items"].as_array().unwrap().iter().map(|c| c["created_by"].clone()).collect();
    assert!(by.iter().all(|by| by.as_str().unwrap().starts_with("local:")), "{by:?}");
}

#[test]
fn a_profile_assigned_a_second_before_the_login_is_there_at_the_login() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let school = School::planned(Plan { clock: clock.clone(), ..Plan::default() });
    let mac = school.enroll_deaf(Kind::Mac, 1);
    let user = person(&mac);
    add(&school, "school.dock", "com.apple.dock");
    mac.log_in(Channel::User);
    assert!(mac.with(|d| d.state().profiles.is_empty()));
    let assigned = school.api("POST", "/profiles/school.dock/assign", &json!({ "user": user })).is(200);
    assert_eq!(assigned["notes"], json!([]));
    clock.advance(1_000);
    mac.log_in(Channel::User);
    let installed = mac.with(|d| d.state().profiles.iter().map(|p| p.identifier.clone()).collect::<Vec<_>>());
    assert_eq!(installed, ["school.dock"]);
    // Assigned while nobody could be told: taken back before the login, it never arrives.
    add(&school, "school.late", "com.apple.dock");
    school.api("POST", "/profiles/school.late/assign", &json!({ "everyone_on": mac.udid() })).is(200);
    school.api("POST", "/profiles/school.late/unassign", &json!({ "everyone_on": mac.udid() })).is(200);
    school.api("POST", "/profiles/school.dock/unassign", &json!({ "user": user })).is(200);
    let login = mac.log_in(Channel::User);
    assert_eq!(login.round_trips, 2, "one removal, nothing else");
    assert!(mac.with(|d| d.state().profiles.is_empty()));
}

#[test]
fn a_login_is_not_held_up_longer_than_the_school_wants() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let school = School::planned(Plan { clock: clock.clone(), ..Plan::default() });
    let mac = school.enroll_deaf(Kind::Mac, 1);
    let user = person(&mac);
    school.api("POST", "/login-policy", &json!({ "login_seconds": 5 })).is(200);
    let sent: Vec<String> = (0..4).map(|_| school.send_to(&mac, Some(&user), "ProfileList", Value::Null)).collect();
    school.wait_until("the first call", || (!mac.pushes(Channel::User).is_empty()).then_some(()));
    let before = mac.pushes(Channel::User).len();
    // Each answer takes the Mac two seconds.
    let slow = Arc::clone(&clock);
    let mut caller = school.caller(Some(&mac.identity()));
    let guid = mac.with(|d| d.spec().person.clone().unwrap().guid);
    let flags =
        [("UserID", crate::support::wire::text(&guid)), ("NeedSyncResponse", cordon::plist::Value::Boolean(true))];
    let mut said = crate::support::wire::message_of("Idle", &mac.udid(), None, &flags);
    let mut done = Vec::new();
    loop {
        let answer = caller.report(&said);
        let Some(uuid) = crate::support::wire::command_uuid(&answer) else { break };
        slow.advance(2_000);
        said = crate::support::wire::message_of("Acknowledged", &mac.udid(), Some(&uuid), &flags);
        done.push(uuid);
    }
    assert_eq!(done, sent[..3]);
    let released = &told(&school, &mac, "login-released")[0];
    assert_eq!(released["left"], json!(["ProfileList"]));
    assert!(released["why"].as_str().unwrap().contains("5 s"));
    // The rest follows by push, once the person is in.
    school.wait_until("the call for the rest", || (mac.pushes(Channel::User).len() > before).then_some(()));
    mac.poll(Channel::User).unwrap();
    school.wait_for(&sent[3], "Acknowledged");
}

#[test]
fn setup_assistant_reads_policies_first_and_everything_is_kept_for_the_first_login() {
    let school = School::new();
    let mac = school.enroll_deaf(Kind::Mac, 1);
    let user = person(&mac);
    add(&school, "school.dock", "com.apple.dock");
    add(&school, "school.passcode", "com.apple.mobiledevice.passwordpolicy");
    for profile in ["school.dock", "school.passcode"] {
        school.api("POST", &format!("/profiles/{profile}/assign"), &json!({ "user": user })).is(200);
    }
    let list = school.send_to(&mac, Some(&user), "ProfileList", Value::Null);
    for round in 1..3 {
        let trips = mac.with(|d| d.read_password_policy(Channel::User)).unwrap();
        assert_eq!(trips, 4, "one pass over three commands, and the Idle; round {round}");
        let state = mac.with(|d| d.state().clone());
        assert_eq!(state.policies_read, ["school.passcode"]);
        let order: Vec<String> = state.executed.iter().map(|e| e.request_type.clone()).collect();
        assert_eq!(order, ["InstallProfile", "InstallProfile", "ProfileList"]);
        assert!(state.profiles.is_empty() && state.executed.iter().all(|e| e.status.is_none()));
    }
    assert!(school.explain(&list).contains("not now"), "{}", school.explain(&list));
    let story = school.get(&format!("/devices/{}/explain", mac.udid()))["items"][1]["words"].to_string();
    assert!(story.contains("There is no account yet"), "{story}");
    // While Setup Assistant waits there, it may be told that it is configured.
    let configured = school.send_to(&mac, Some(&user), "DeviceConfigured", Value::Null);
    mac.with(|d| d.read_password_policy(Channel::User)).unwrap();
    assert_eq!(school.state_of(&configured), "Acknowledged");

    let login = mac.log_in(Channel::User);
    assert_eq!(login.round_trips, 4);
    let profiles = mac.with(|d| d.state().profiles.iter().map(|p| p.identifier.clone()).collect::<Vec<_>>());
    assert_eq!(profiles, ["school.passcode", "school.dock"]);
    assert_eq!(school.state_of(&list), "Acknowledged");
    assert!(mac.with(|d| d.executed().iter().all(|e| e.executions <= 1)));
}

#[test]
fn an_unsigned_profile_is_signed_on_its_way() {
    let school = School::new();
    let mac = school.enroll(Kind::Mac, 1);
    school.api("POST", "/profiles/nothing/assign", &json!({ "user": "ada" })).is_problem(404, "no-such-profile");
    add(&school, "school.dock", "com.apple.dock");
    school.api("POST", "/profiles/school.dock/assign", &json!({ "device": mac.udid() })).is(200);
    school.wait_until("the profile", || mac.with(|d| (!d.state().profiles.is_empty()).then_some(())));
    let body = mac.with(|d| d.state().profiles[0].profile.0.clone());
    assert_ne!(body, mobileconfig("school.dock", &["com.apple.dock"], "1"));
    assert_eq!(body[0], 0x30, "signed");
}
