//! New authorities while devices live: a new root is on every device before it is used, and the TLS certificate changes without a restart.

use super::{Timed, identity_serial};
use crate::support::School;
use cordon::pki::x509::Certificate;
use cordon::simulator::network::{Network, tls_config};
use cordon::simulator::spec::Kind;
use cordon::simulator::state::Channel;
use cordon::simulator::wire::{Client, Request};
use serde_json::{Value, json};
use std::sync::Arc;

/// Whether somebody who trusts only this root gets through to the people's listener.
fn is_trusted(school: &School, root: &[u8]) -> bool {
    let url = format!("https://localhost:{}/scep?operation=GetCACaps", school.server().people().unwrap().port());
    let mut client = Client::new(Arc::new(Network::default()), tls_config(&[root.to_vec()], None).unwrap());
    client.send(&Request { method: "GET", url: &url.parse().unwrap(), headers: &[], body: b"" }).is_ok()
}

fn next_root(school: &School) -> Vec<u8> {
    school.server().context().authorities().next_roots[0].der().to_vec()
}

#[test]
fn a_new_root_goes_out_first_and_is_used_only_when_every_device_has_it() {
    let timed = Timed::new();
    let school = &timed.school;
    let (mac, ipad, left) = (timed.enroll(Kind::Mac, 4), timed.enroll(Kind::Ipad, 1), timed.enroll(Kind::Ipad, 2));
    left.with(|d| d.remove_management());
    school.api("POST", "/authorities/finish", &Value::Null).is_problem(409, "no-replacement");
    let old = school.root();
    let status = school.api("POST", "/authorities/replace", &json!({})).is(200);
    assert_eq!((&status["replacing"], &status["devices"]), (&json!(true), &json!(2)));
    assert_eq!(status["missing"].as_array().unwrap().len(), 2);
    school.api("POST", "/authorities/replace", &json!({})).is_problem(409, "replacement-under-way");
    let new = next_root(school);
    assert!(is_trusted(school, &old) && !is_trusted(school, &new), "it is not used yet");

    // One device sleeps; the command says who would be stranded, and does nothing.
    ipad.set_deaf(true);
    assert_eq!(timed.renew_round(), 2);
    assert_eq!(timed.renewal(&mac)["reason"], "authorities");
    timed.wait_renewal(&mac, "done");
    let serial = ipad.with(|d| d.spec().serial.clone());
    let why = school.api("POST", "/authorities/finish", &Value::Null).is_problem(409, "would-strand");
    assert!(why.contains(&serial) && why.contains("cordon device release"), "{why}");
    assert!(is_trusted(school, &old), "nothing happened");
    timed.serves(&mac);

    ipad.set_deaf(false);
    ipad.poll(Channel::Device).unwrap();
    timed.wait_renewal(&ipad, "done");
    let status = school.get("/authorities");
    assert_eq!(status["missing"], json!([]));
    let done = school.api("POST", "/authorities/finish", &Value::Null).is(200);
    assert_eq!(done["replacing"], json!(false));
    school.wait_until("the swap, without a restart", || {
        (is_trusted(school, &new) && !is_trusted(school, &old)).then_some(())
    });
    for device in [&mac, &ipad] {
        timed.serves(device);
        let before = identity_serial(device);
        timed.post(device, "renew").is(201);
        school.wait_until("an identity of the new authority", || (identity_serial(device) != before).then_some(()));
        timed.wait_renewal(device, "done");
        timed.serves(device);
    }
    let fresh = timed.enroll(Kind::Ipad, 9);
    timed.serves(&fresh);
}

#[test]
fn a_device_that_never_comes_back_is_released_and_no_longer_in_the_way() {
    let timed = Timed::new();
    let school = &timed.school;
    let ipad = timed.enroll(Kind::Ipad, 1);
    ipad.set_deaf(true);
    school.api("POST", "/authorities/replace", &json!({})).is(200);
    school.api("POST", "/authorities/finish", &Value::Null).is_problem(409, "would-strand");
    timed.post(&ipad, "release").is(200);
    school.api("POST", "/authorities/finish", &Value::Null).is(200);
}

#[test]
fn a_replacement_can_be_given_up_and_a_queued_renewal_is_made_anew() {
    let timed = Timed::new();
    let school = &timed.school;
    let ipad = timed.enroll(Kind::Ipad, 1);
    ipad.set_deaf(true);
    let first = timed.post(&ipad, "renew").is(201)["command_uuid"].clone();
    school.api("POST", "/authorities/replace", &json!({})).is(200);
    assert_eq!(school.state_of(first.as_str().unwrap()), "Cancelled", "it lacks the new root");
    assert_eq!(timed.renew_round(), 1);
    school.api("POST", "/authorities/cancel", &Value::Null).is(200);
    school.api("POST", "/authorities/cancel", &Value::Null).is_problem(409, "no-replacement");
    ipad.set_deaf(false);
    ipad.poll(Channel::Device).unwrap();
    timed.wait_renewal(&ipad, "done");
    timed.serves(&ipad);
}

#[test]
fn issuing_authority_and_signer_are_replaced_at_once() {
    let timed = Timed::new();
    let school = &timed.school;
    let ipad = timed.enroll(Kind::Ipad, 1);
    for what in ["issuing", "signer"] {
        school.api("POST", "/authorities/replace", &json!({ "what": what })).is(200);
        assert_eq!(school.get("/authorities")["replacing"], json!(false));
        timed.serves(&ipad);
        timed.post(&ipad, "renew").is(201);
        timed.wait_renewal(&ipad, "done");
        timed.serves(&ipad);
    }
    timed.serves(&timed.enroll(Kind::Mac, 8));
}

fn served(school: &School) -> Certificate {
    let found: Result<_, cordon::store::StoreError> =
        school.server().context().store.read(|db| db.find_authority(cordon::store::Purpose::Tls));
    Certificate::parse(&found.unwrap().unwrap().der).unwrap()
}

#[test]
fn the_tls_certificate_is_renewed_by_hand_and_by_itself_without_a_restart() {
    let timed = Timed::new();
    let school = &timed.school;
    let ipad = timed.enroll(Kind::Ipad, 1);
    let first = served(school);
    school.api("POST", "/tls/renew", &Value::Null).is(200);
    let second = served(school);
    assert_ne!(first.fingerprint(), second.fingerprint());
    timed.serves(&ipad);
    timed.authority_round();
    assert_eq!(served(school).fingerprint(), second.fingerprint(), "a fresh one stays");
    timed.days(397 * 2 / 3 + 1);
    school.server().context().ring_certificates();
    school.wait_until("a certificate of its own accord", || {
        (served(school).fingerprint() != second.fingerprint()).then_some(())
    });
}

/// Years on: what comes to its end is replaced by itself. No device is here: what they would check is the date of today.
#[test]
fn a_school_lives_on_for_years_by_itself() {
    let timed = Timed::new();
    let school = &timed.school;
    let now = |name: &str| -> String {
        let status = school.get("/authorities");
        let items = status["items"].as_array().unwrap();
        let found = items.iter().find(|i| i["purpose"] == name && i["standing"] == "current");
        found.unwrap()["fingerprint"].as_str().unwrap().to_owned()
    };
    let pass = |years: i64| {
        for _ in 0..years * 3 {
            timed.days(122);
            timed.authority_round();
        }
    };
    let (root, issuing, signer) = (now("root"), now("issuing"), now("signer"));
    pass(8);
    assert_eq!(now("issuing"), issuing);
    pass(2);
    assert_eq!(now("root"), root, "a root lives for twenty years");
    assert_ne!(now("issuing"), issuing);
    assert_ne!(now("signer"), signer);
    pass(10);
    assert_ne!(now("root"), root);
}

/// A profile in a pupil's hand, and a renewal that waits for an iPad in a drawer, name the authority of the day they were made.
#[test]
fn profiles_handed_out_before_the_issuing_authority_changed_still_enrol() {
    let timed = Timed::new();
    let school = &timed.school;
    let asleep = timed.enroll(Kind::Ipad, 1);
    asleep.set_deaf(true);
    timed.post(&asleep, "renew").is(201);
    let in_hand = school.profile(&Value::Null);
    let issuer = |device: &crate::support::device::Handle| {
        Certificate::parse(&device.identity().chain[0]).unwrap().issuer_der().to_vec()
    };
    let former = school.server().context().authorities().issuing.certificate.clone();
    for what in ["issuing", "signer"] {
        school.api("POST", "/authorities/replace", &json!({ "what": what })).is(200);
    }
    let current = school.server().context().authorities().issuing.certificate.clone();
    assert_ne!(former.fingerprint(), current.fingerprint());

    let late = school.unpack(Kind::Ipad, 2, super::patient());
    late.expect_many_tokens(&school.stand_in, 5);
    late.enroll(&school.stand_in, &in_hand);
    timed.serves(&late);
    asleep.set_deaf(false);
    asleep.poll(Channel::Device).unwrap();
    timed.wait_renewal(&asleep, "done");
    timed.serves(&asleep);
    assert_eq!(issuer(&late), former.subject_der(), "the authority that was asked answers");
    // The next one comes from the authority of today.
    timed.post(&late, "renew").is(201);
    timed.wait_renewal(&late, "done");
    assert!(Certificate::parse(&late.identity().chain[0]).unwrap().issued_by(&current));
}
