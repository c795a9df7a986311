//! What a webhook's owner does to it, and what the server tells of itself: new secrets, telling again, tokens that end, faults.

use super::receiver::Receiver;
use super::{add, log, school};
use cordon::base::time::{Clock, DAY, HOUR, MINUTE};
use cordon::service::{expiring, faults};
use cordon::simulator::spec::Kind;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

#[test]
fn a_new_secret_and_the_old_one_sign_together_for_a_while() {
    let (school, clock) = school();
    let receiver = Receiver::start();
    let (id, first) = add(&school, &receiver.url(), &[]);
    let tell = |n: usize| {
        school.api("POST", &format!("/webhooks/{id}/test"), &Value::Null).is(202);
        receiver.wait_for("the next test", |told| told.get(n).cloned())
    };
    assert!(tell(0).is_signed_with(&first));
    let rotated = school.api("POST", &format!("/webhooks/{id}/secret"), &json!({ "overlap_hours": 2 })).is(200);
    let second = rotated["secret"].as_str().unwrap().to_owned();
    assert!(second != first && rotated["old_secret_until"].is_string());
    let told = tell(1);
    assert!(told.is_signed_with(&first) && told.is_signed_with(&second));
    clock.advance(&school, 2 * HOUR + MINUTE);
    let told = tell(2);
    assert!(!told.is_signed_with(&first) && told.is_signed_with(&second));
    let rotated = school.api("POST", &format!("/webhooks/{id}/secret"), &json!({ "overlap_hours": 0 })).is(200);
    let told = tell(3);
    assert!(!told.is_signed_with(&second) && told.is_signed_with(rotated["secret"].as_str().unwrap()));
    for hours in [-1, 721, i64::MAX] {
        let wish = json!({ "overlap_hours": hours });
        school.api("POST", &format!("/webhooks/{id}/secret"), &wish).is_problem(400, "bad-argument");
    }
    let shown = school.get(&format!("/webhooks/{id}"));
    assert!(shown.get("secret").is_none() && shown["old_secret_until"].is_null(), "{shown}");
    let verbs = school.get("/audit?verb=webhook.rotate")["items"].as_array().unwrap().len();
    assert_eq!(verbs, 2);
}

#[test]
fn one_event_is_told_again_under_the_same_id() {
    let (school, _) = school();
    let receiver = Receiver::start();
    let (id, _) = add(&school, &receiver.url(), &["device.enrolled"]);
    let (other, _) = add(&school, &receiver.url(), &["push.dead"]);
    school.enroll(Kind::Ipad, 1);
    let first = receiver.wait_for_kind("device.enrolled");
    let delivery = first.header("x-cordon-delivery").to_owned();
    let event = first.json["id"].as_str().unwrap().to_owned();
    for (n, which) in [delivery.as_str(), event.as_str()].into_iter().enumerate() {
        let owed = school.api("POST", &format!("/webhooks/{id}/deliveries/{which}/redeliver"), &Value::Null).is(202);
        assert_eq!((&owed["id"], &owed["state"]), (&json!(delivery), &json!("waiting")));
        let again = receiver.wait_for("it once more", |told| told.get(n + 1).cloned());
        assert_eq!((again.header("x-cordon-delivery"), &again.body), (delivery.as_str(), &first.body));
        assert_eq!(log(&school, &id).len(), n + 2, "each telling has its line");
    }
    for path in [
        format!("/webhooks/{other}/deliveries/{event}/redeliver"),
        format!("/webhooks/{id}/deliveries/ev-none/redeliver"),
    ] {
        school.api("POST", &path, &Value::Null).is_problem(404, "no-such-delivery");
    }
}

#[test]
fn tokens_that_end_are_told_once_for_each_step() {
    let (school, clock) = school();
    let receiver = Receiver::start();
    add(&school, &receiver.url(), &["token.expiring"]);
    let wish = json!({ "name": "inventory", "role": "auditor", "expires_in": "61d" });
    let made = school.api("POST", "/tokens", &wish).is(201);
    school.api("POST", "/tokens", &json!({ "name": "gone", "role": "auditor", "expires_in": "5d" })).is(201);
    let gone = school.get("/tokens")["items"][1]["id"].as_str().unwrap().to_owned();
    school.api("DELETE", &format!("/tokens/{gone}"), &Value::Null).is(204);
    let cx = school.server().context();
    let ends = clock.now().plus(61 * DAY);
    for days in [60, 59, 30, 14, 7, 1] {
        clock.advance(&school, ends.plus(-days * DAY + MINUTE).since(clock.now()));
        for _ in 0..2 {
            expiring::tell(cx).unwrap();
        }
    }
    let told = receiver.wait_for("all steps", |told| (told.len() >= 5).then(|| told.to_vec()));
    let days: Vec<i64> = told.iter().map(|t| t.json["token"]["days_left"].as_i64().unwrap()).collect();
    assert_eq!(days, [59, 29, 13, 6, 0]);
    assert_eq!((&told[0].json["token"]["id"], &told[0].json["token"]["name"]), (&made["id"], &json!("inventory")));
    assert!(told.iter().all(|t| !t.body.contains("cordon_")));
}

#[test]
fn faults_of_the_whole_server_are_told_when_they_begin_and_when_they_are_over() {
    let (school, clock) = school();
    let receiver = Receiver::start();
    add(&school, &receiver.url(), &["server.fault"]);
    let cx = school.server().context();
    let jobs = |over: bool| {
        let told = receiver.told();
        let of = |t: &&super::receiver::Told| t.json["fault"]["over"] == over;
        told.iter().filter(of).map(|t| t.json["fault"]["job"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    cx.flush_seen().unwrap();
    // The machine's clock falls back by a day, and is put right.
    clock.0.fetch_sub(DAY, Ordering::SeqCst);
    for _ in 0..3 {
        faults::watch(cx).unwrap();
    }
    receiver.wait_for("the clock", |_| (jobs(false) == ["clock"]).then_some(()));
    clock.0.fetch_add(DAY, Ordering::SeqCst);
    faults::watch(cx).unwrap();
    receiver.wait_for("its end", |_| (jobs(true) == ["clock"]).then_some(()));
    // Apple's push service is out of reach: the sender says so of each push, after a minute of its own.
    faults::note_push(cx, false, clock.now());
    for _ in 0..2 {
        clock.advance(&school, 6 * MINUTE);
        faults::note_push(cx, false, clock.now());
        faults::watch(cx).unwrap();
    }
    receiver.wait_for("the push service", |_| jobs(false).contains(&String::from("push-service")).then_some(()));
    // A push that gets through ends it.
    let ipad = school.enroll_deaf(Kind::Ipad, 1);
    school.send(&ipad, "ProfileList", Value::Null);
    school.wait_until("its end", || {
        cx.ring_pusher();
        faults::watch(cx).unwrap();
        jobs(true).contains(&String::from("push-service")).then_some(())
    });
}
