//! Coming and going: enrolment by SCEP, the channel of a person at a Mac, enrolling again, leaving.

use crate::support::School;
use crate::support::wire;
use cordon::simulator::spec::Kind;
use cordon::simulator::state::{Behaviour, Channel, Event, Standing};
use serde_json::{Value, json};

#[test]
fn an_ipad_enrols_by_scep_and_is_active() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    let seen = school.device(&ipad);
    let spec = ipad.with(|d| d.spec().clone());
    assert_eq!(
        (&seen["state"], &seen["udid"], &seen["serial"]),
        (&json!("Active"), &json!(spec.udid), &json!(spec.serial))
    );
    assert_eq!((&seen["product_name"], &seen["platform"]), (&json!(spec.product), &json!("iPadOS")));
    assert_eq!(seen["users"], json!([]));
    let story: Vec<&str> = seen["timeline"].as_array().unwrap().iter().map(|t| t["kind"].as_str().unwrap()).collect();
    assert!(story.contains(&"Authenticate") && story.contains(&"TokenUpdate"), "{story:?}");

    for name in [seen["id"].as_str().unwrap(), &spec.serial] {
        assert_eq!(school.get(&format!("/devices/{name}"))["udid"], seen["udid"], "found by {name}");
    }
    assert_eq!(school.enrollment(&ipad, Channel::Device).generation, 1);
    assert_eq!(school.stand_in.counts().pushes, 0, "nothing waits, so nobody is called");
}

#[test]
fn scep_by_get_is_as_good_as_by_post() {
    let school = School::new();
    let behaviour = Behaviour { scep_by_get: true, ..Behaviour::default() };
    let tv = school.enroll_with(Kind::AppleTv, 1, behaviour, &json!({ "signed": false }));
    assert_eq!(school.device(&tv)["state"], "Active");
}

#[test]
fn a_profile_enrols_one_device_only() {
    let school = School::new();
    let profile = school.profile(&Value::Null);
    let (first, second) =
        (school.unpack(Kind::Ipad, 1, Behaviour::default()), school.unpack(Kind::Ipad, 2, Behaviour::default()));
    first.enroll(&school.stand_in, &profile);
    let refused = second.try_enroll(&school.stand_in, &profile).unwrap_err();
    assert!(refused.contains("refused the request"), "{refused}");
    assert_eq!(second.with(|d| d.standing()), Standing::Unmanaged);
    assert_eq!(school.get("/devices")["items"].as_array().unwrap().len(), 1);
}

#[test]
fn a_mac_enrols_with_its_user_channel_and_each_queue_has_its_own_push() {
    let school = School::new();
    let mac = school.enroll(Kind::Mac, 4);
    let user = mac.user();
    let users = school.device(&mac)["users"].clone();
    assert_eq!((&users[0]["short_name"], &users[0]["state"]), (&json!(user), &json!("Active")));
    assert_eq!(school.get(&format!("/devices/{}/users", mac.udid()))["items"], users);

    let to_user = school.send_to(&mac, Some(&user), "ProfileList", Value::Null);
    let done = school.wait_for(&to_user, "Acknowledged");
    assert_eq!(done["user"], json!(user));
    assert_eq!((mac.pushes(Channel::User).len(), mac.pushes(Channel::Device).len()), (1, 0));

    let to_device = school.send(&mac, "ProfileList", Value::Null);
    assert_eq!(school.wait_for(&to_device, "Acknowledged")["user"], Value::Null);
    assert_eq!((mac.pushes(Channel::User).len(), mac.pushes(Channel::Device).len()), (1, 1));

    let ran: Vec<_> = mac.executed().into_iter().map(|e| (e.command_uuid, e.channel)).collect();
    assert_eq!(ran, [(to_user, Channel::User), (to_device, Channel::Device)]);
    assert_eq!(school.stand_in.counts().wrong_magic, 0);
}

#[test]
fn a_profile_without_user_channel_gives_a_mac_only_one() {
    let school = School::new();
    let mac = school.enroll_with(Kind::Mac, 4, Behaviour::default(), &json!({ "user_channel": false }));
    assert_eq!(school.device(&mac)["users"], json!([]));
    school.try_send(&mac, Some(&mac.user()), "ProfileList", Value::Null).is_problem(404, "user-not-managed");
}

#[test]
fn enrolling_again_clears_the_queue_and_late_results_are_filed() {
    let school = School::new();
    let ipad = school.enroll_deaf(Kind::Ipad, 1);
    let id = school.device(&ipad)["id"].clone();
    let (old_identity, old_token) = (ipad.identity(), ipad.token(Channel::Device));
    let sent = school.send(&ipad, "DeviceInformation", json!({ "Queries": ["DeviceName"] }));
    let queued = school.send(&ipad, "ProfileList", Value::Null);
    // The result never arrives whole, so that the device still has it when it enrols again.
    ipad.with(|d| {
        d.behaviour_mut().cuts_body = 1;
        d.behaviour_mut().retry_millis = 3_600_000;
    });
    ipad.poll(Channel::Device).unwrap();
    assert_eq!((school.state_of(&sent), school.state_of(&queued)), ("Sent".into(), "Queued".into()));

    ipad.enroll(&school.stand_in, &school.profile(&Value::Null));
    assert_eq!((school.state_of(&sent), school.state_of(&queued)), ("Cleared".into(), "Cleared".into()));
    assert!(school.explain(&queued).contains("enrolled anew"));
    let row = school.enrollment(&ipad, Channel::Device);
    assert_eq!(row.generation, 2);
    assert_ne!(row.target.unwrap().token.as_bytes(), old_token);
    assert_eq!(school.device(&ipad)["id"], id, "it stays the same device");

    ipad.poll(Channel::Device).unwrap();
    let late = ipad.with(|d| {
        d.log()
            .iter()
            .any(|e| matches!(&e.event, Event::Report { command_uuid: Some(uuid), answer: 200, .. } if *uuid == sent))
    });
    assert!(late, "the late result was taken with 200");
    let command = school.command(&sent);
    assert_eq!(command["state"], "Cleared", "a late result opens nothing again");
    let kinds: Vec<&str> = command["history"].as_array().unwrap().iter().map(|h| h["kind"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"late-answer"), "{kinds:?}");
    assert!(command["result"]["QueryResponses"]["DeviceName"].is_string(), "and is kept: {command}");

    let refused = school.caller(Some(&old_identity)).report(&wire::idle(&ipad.udid()));
    assert_eq!(refused.status, 400, "the old certificate was replaced");
    ipad.set_deaf(false);
    let fresh = school.send(&ipad, "ProfileList", Value::Null);
    school.wait_for(&fresh, "Acknowledged");
}

#[test]
fn a_device_that_checks_out_is_gone_and_takes_no_more_commands() {
    let school = School::new();
    let mac = school.enroll(Kind::Mac, 4);
    let user = mac.user();
    mac.with(|d| d.remove_management());
    let seen = school.device(&mac);
    assert_eq!((&seen["state"], &seen["users"][0]["state"]), (&json!("Gone"), &json!("Gone")));
    let why = school.try_send(&mac, None, "ProfileList", Value::Null).is_problem(409, "not-enrolled");
    assert!(why.contains("Enrol it again"), "{why}");
    school.try_send(&mac, Some(&user), "ProfileList", Value::Null).is_problem(409, "not-enrolled");
    school.api("POST", &format!("/devices/{}/push", mac.udid()), &Value::Null).is_problem(409, "not-enrolled");

    mac.enroll(&school.stand_in, &school.profile(&Value::Null));
    assert_eq!(school.enrollment(&mac, Channel::Device).generation, 2);
    let again = school.send_to(&mac, Some(&user), "ProfileList", Value::Null);
    school.wait_for(&again, "Acknowledged");
}

#[test]
fn without_a_push_certificate_no_profile_is_given() {
    let school = School::bare(crate::support::Plan::default());
    let why = school.api("POST", "/enrollments/profile", &Value::Null).is_problem(409, "no-push-certificate");
    assert!(why.contains("cordon push-cert request"), "{why}");
}
