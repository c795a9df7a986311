//! Identities are renewed before they end: nothing is lost on the way, a failure leaves everything as it was, and a device that slept
//! too long may fetch its renewal and nothing else.

use super::{DEVICE, Timed, identity_serial};
use crate::support::wire::{self, command_uuid, idle};
use cordon::base::time::MINUTE;
use cordon::simulator::spec::Kind;
use cordon::simulator::state::{Channel, Standing};
use serde_json::{Value, json};

#[test]
fn an_identity_is_renewed_at_a_third_of_its_life_and_nothing_is_lost() {
    let timed = Timed::new();
    let school = &timed.school;
    let mac = timed.enroll(Kind::Mac, 4);
    let (before, generation) = (identity_serial(&mac), school.enrollment(&mac, DEVICE).generation);
    assert_eq!(timed.renew_round(), 0, "nothing is due on the first day");
    assert_eq!(timed.renewal(&mac), Value::Null);

    // Away for a while: two commands wait for it when the renewal comes due, and one for its user.
    mac.set_deaf(true);
    timed.days(365 * 67 / 100 + 15);
    let waiting = [
        school.send(&mac, "ProfileList", Value::Null),
        school.send(&mac, "DeviceInformation", json!({ "Queries": ["UDID"] })),
    ];
    let for_user = school.send_to(&mac, Some(&mac.user()), "ProfileList", Value::Null);
    assert_eq!(timed.renew_round(), 1);
    assert_eq!(timed.renew_round(), 0, "one at a time");
    assert_eq!(timed.renewal(&mac)["reason"], "identity");
    mac.set_deaf(false);
    mac.poll(Channel::Device).unwrap();
    timed.wait_renewal(&mac, "done");
    for uuid in waiting {
        school.wait_for(&uuid, "Acknowledged");
    }
    mac.poll(Channel::User).unwrap();
    school.wait_for(&for_user, "Acknowledged");

    let after = identity_serial(&mac);
    assert_ne!(after, before);
    assert!(school.enrollment(&mac, DEVICE).generation > generation);
    let show = school.device(&mac);
    assert_eq!((&show["state"], &show["identity"]["renewal"]["failures"]), (&json!("Active"), &json!(0)));
    assert!(show["timeline"].as_array().unwrap().iter().any(|line| line["kind"] == "renewed"));
    timed.serves(&mac);
    let identities = school.get(&format!("/certificates?device={}", mac.udid()));
    let states: Vec<(&Value, &Value)> =
        identities["items"].as_array().unwrap().iter().map(|i| (&i["binding"], &i["revoked_why"])).collect();
    assert_eq!(states, [(&json!("current"), &Value::Null), (&json!("retired"), &json!("replaced"))]);
    assert_eq!(timed.renew_round(), 0, "and not again before it is due again");
}

#[test]
fn custody_and_frozen_keys_survive_a_renewal() {
    let timed = Timed::new();
    let school = &timed.school;
    let ipad = timed.enroll(Kind::Ipad, 1);
    let kinds = |reply: &Value| -> Vec<String> {
        reply["items"].as_array().unwrap().iter().map(|s| format!("{} {}", s["kind"], s["withdrawn_at"])).collect()
    };
    let path = format!("/devices/{}/secrets", ipad.udid());
    let before = kinds(&school.get(&path));
    assert!(before.iter().any(|kind| kind.contains("unlock-token")), "{before:?}");
    let mdm = |device: &crate::support::device::Handle| {
        device.with(|d| {
            let profile = d.state().held.as_ref().unwrap().profile.0.clone();
            let read = cordon::simulator::profile::read_enrollment(&profile).unwrap();
            (read.profile.identifier.clone(), read.mdm.clone(), read.profile.uuid.clone())
        })
    };
    let (identifier, payload, uuid) = mdm(&ipad);
    timed.post(&ipad, "renew").is(201);
    timed.wait_renewal(&ipad, "done");
    let (identifier_after, payload_after, uuid_after) = mdm(&ipad);
    assert_eq!((identifier, payload), (identifier_after, payload_after));
    assert_ne!(uuid, uuid_after);
    let after = kinds(&school.get(&path));
    assert!(before.iter().all(|kept| after.contains(kept)), "{before:?} {after:?}");
    timed.serves(&ipad);
}

#[test]
fn a_failed_renewal_leaves_everything_as_it_was_and_is_tried_again() {
    let timed = Timed::new();
    let school = &timed.school;
    let ipad = timed.enroll(Kind::Ipad, 1);
    let (before, target) = (identity_serial(&ipad), school.enrollment(&ipad, DEVICE).target.unwrap());
    for failures in 1..=3 {
        ipad.with(|d| d.behaviour_mut().fails_replacement = 1);
        timed.clock.advance(2 * 24 * 60 * MINUTE);
        timed.post(&ipad, "renew").is(201);
        let failed = school.wait_until("the failure", || {
            let renewal = timed.renewal(&ipad);
            (renewal["state"] == "failed" && renewal["failures"] == failures).then_some(renewal)
        });
        assert!(failed["why"].as_str().unwrap().contains("4001"), "{failed}");
        assert_eq!(identity_serial(&ipad), before);
        assert_eq!(school.enrollment(&ipad, DEVICE).target.unwrap().token, target.token);
        assert_eq!(timed.renew_round(), 0, "not at once");
        timed.serves(&ipad);
    }
    assert!(timed.attention("renewal").is_some(), "a person is told after the third time");
    timed.post(&ipad, "renew").is(201);
    timed.wait_renewal(&ipad, "done");
    assert_ne!(identity_serial(&ipad), before);
    assert!(timed.attention("renewal").is_none());
    timed.serves(&ipad);
}

/// The answer to the last message of the check-in is lost: the server believes in the new identity, the device in the old one.
#[test]
fn a_device_that_rolls_back_after_its_token_update_is_still_known() {
    let timed = Timed::new();
    let school = &timed.school;
    let ipad = timed.enroll(Kind::Ipad, 1);
    let (old, old_target) = (ipad.identity(), school.enrollment(&ipad, DEVICE).target.unwrap());
    ipad.with(|d| d.behaviour_mut().forgets_replacement = 1);
    timed.post(&ipad, "renew").is(201);
    let failed = timed.wait_renewal(&ipad, "failed");
    assert_eq!(failed["failures"], 1);
    assert_eq!(ipad.identity().chain, old.chain, "it lives by the old identity");
    assert_eq!(school.enrollment(&ipad, DEVICE).target.unwrap(), old_target, "and is called where it was");
    timed.serves(&ipad);
    timed.post(&ipad, "renew").is(201);
    timed.wait_renewal(&ipad, "done");
    timed.serves(&ipad);
}

#[test]
fn the_challenge_inside_lives_as_long_as_its_command() {
    let timed = Timed::new();
    let school = &timed.school;
    let ipad = timed.enroll(Kind::Ipad, 1);
    ipad.set_deaf(true);
    let uuid = timed.post(&ipad, "renew").is(201)["command_uuid"].as_str().unwrap().to_owned();
    // Months later the device is back, and its challenge still works.
    timed.days(100);
    ipad.set_deaf(false);
    ipad.poll(Channel::Device).unwrap();
    school.wait_for(&uuid, "Acknowledged");
    timed.wait_renewal(&ipad, "done");

    ipad.set_deaf(true);
    let uuid = timed.post(&ipad, "renew").is(201)["command_uuid"].as_str().unwrap().to_owned();
    school.api("DELETE", &format!("/commands/{uuid}"), &Value::Null).is(200);
    timed.renew_round();
    let renewal = timed.renewal(&ipad);
    assert_eq!((&renewal["state"], &renewal["command_uuid"]), (&json!("failed"), &json!(uuid)));
    ipad.set_deaf(false);
    timed.serves(&ipad);
}

#[test]
fn an_expired_identity_fetches_its_renewal_and_nothing_else() {
    let timed = Timed::new();
    let school = &timed.school;
    let ipad = timed.enroll(Kind::Ipad, 1);
    ipad.set_deaf(true);
    timed.days(365 + 20);
    let other = school.send(&ipad, "ProfileList", Value::Null);
    let udid = ipad.udid();
    let mut caller = school.caller(Some(&ipad.identity()));
    for body in [super::token_update(&udid), wire::check_in("GetBootstrapToken", &udid, &[])] {
        assert_eq!(caller.check_in(&body).status, 400);
    }
    let handed = caller.report(&idle(&udid));
    let renewal = timed.renewal(&ipad);
    assert_eq!(command_uuid(&handed).as_deref(), renewal["command_uuid"].as_str(), "the renewal, queued that moment");
    assert_eq!(school.state_of(&other), "Queued");
    let again = caller.report(&idle(&udid));
    assert_eq!(again.body, handed.body);
    ipad.set_deaf(false);
    ipad.poll(Channel::Device).unwrap();
    timed.wait_renewal(&ipad, "done");
    school.wait_for(&other, "Acknowledged");
}

#[test]
fn after_the_grace_an_expired_identity_is_refused_and_the_policy_can_forbid_it_at_all() {
    let timed = Timed::new();
    let school = &timed.school;
    let ipad = timed.enroll(Kind::Ipad, 1);
    ipad.set_deaf(true);
    timed.days(365 + 5);
    let poll = || school.caller(Some(&ipad.identity())).report(&idle(&ipad.udid())).status;
    school.api("PATCH", "/device-policy", &json!({ "expired_days": 0 })).is(200);
    assert_eq!(poll(), 400);
    school.api("PATCH", "/device-policy", &json!({ "expired_days": 30 })).is(200);
    assert_eq!(poll(), 200);
    timed.days(40);
    assert_eq!(poll(), 400, "and never 401");
    assert_eq!(ipad.with(|d| d.standing()), Standing::Enrolled);
}

#[test]
fn a_class_that_enrolled_together_is_not_renewed_together() {
    let timed = Timed::new();
    let ipads: Vec<_> = (1..=12).map(|seed| timed.enroll(Kind::Ipad, seed)).collect();
    let mut days = std::collections::BTreeSet::new();
    for ipad in &ipads {
        let at = timed.school.device(ipad)["identity"]["renew_at"].as_str().unwrap().to_owned();
        days.insert(at[..10].to_owned());
    }
    assert!(days.len() >= 4, "{days:?}");
    // All due at once, and the person does not want to wait.
    timed.days(365 * 67 / 100 + 15);
    assert_eq!(timed.school.api("POST", "/renewals", &Value::Null).is(202)["begun"], 12);
    for ipad in &ipads {
        timed.wait_renewal(ipad, "done");
    }
}

#[test]
fn nothing_is_renewed_while_the_clock_is_behind_or_without_the_right() {
    let timed = Timed::new();
    let school = &timed.school;
    let weak = school.unpack(Kind::Ipad, 2, super::patient());
    weak.expect_many_tokens(&school.stand_in, 3);
    weak.enroll(&school.stand_in, &school.profile(&json!({ "access_rights": 8189 })));
    timed.post(&weak, "renew").is_problem(409, "no-right-to-renew");
    timed.days(365 * 67 / 100 + 15);
    assert_eq!(timed.renew_round(), 0);
    assert!(timed.attention("renewal").unwrap()["detail"]["why"].as_str().unwrap().contains("right to install"));
    let ipad = timed.enroll(Kind::Ipad, 1);
    school.server().context().flush_seen().unwrap();
    timed.days(-2);
    timed.post(&ipad, "renew").is_problem(409, "clock-behind");
    school.api("POST", "/renewals", &Value::Null).is_problem(409, "clock-behind");
    assert_eq!(timed.renew_round(), 0);
}

/// The other kind of identity: the key travels in the command, and is nowhere afterwards.
#[test]
fn a_pkcs12_identity_is_renewed_and_its_key_is_forgotten() {
    use crate::support::hidden::assert_hidden;
    use cordon::simulator::profile::{IdentityPayload, read_enrollment};
    let timed = Timed::new();
    let school = &timed.school;
    let ipad = school.unpack(Kind::Ipad, 1, super::patient());
    ipad.expect_many_tokens(&school.stand_in, 5);
    ipad.enroll(&school.stand_in, &school.profile(&json!({ "identity": "pkcs12" })));
    let (before, old) = (identity_serial(&ipad), ipad.identity());
    ipad.set_deaf(true);
    timed.days(365 * 67 / 100 + 15);
    assert_eq!(timed.renew_round(), 1);
    let command = timed.renewal(&ipad)["command_uuid"].as_str().unwrap().to_owned();
    let kept = |uuid: &str| {
        let found: Result<_, cordon::store::StoreError> =
            school.server().context().store.read(|db| db.find_command(uuid));
        found.unwrap().unwrap().sealed_plist.is_some()
    };
    assert!(kept(&command), "sealed, until the device has it");
    ipad.set_deaf(false);
    ipad.poll(Channel::Device).unwrap();
    timed.wait_renewal(&ipad, "done");
    let new = ipad.identity();
    assert!(identity_serial(&ipad) != before && new.key != old.key, "a key of its own");
    let profile = ipad.with(|d| d.state().held.as_ref().unwrap().profile.0.clone());
    let IdentityPayload::Pkcs12 { der, password } = read_enrollment(&profile).unwrap().identity else { panic!() };
    assert!(!kept(&command), "and then it is gone");
    assert_hidden(school, "the container", der.expose());
    assert_hidden(school, "the new key", &new.key);
    assert_hidden(school, "the container's password", password.expose().as_bytes());
    timed.serves(&ipad);
    let items = school.get(&format!("/certificates?device={}", ipad.udid()))["items"].clone();
    let states: Vec<&Value> = items.as_array().unwrap().iter().map(|i| &i["binding"]).collect();
    assert_eq!(states, [&json!("current"), &json!("retired")]);
}
