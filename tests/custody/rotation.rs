//! A new data key under a running school: killed in the middle, it finishes after the next start; nothing is lost, nothing of the old
//! key stays, and a copy goes on opening with the recovery code.

use super::REASON;
use crate::support::device::Handle;
use crate::support::hidden::holds;
use crate::support::wire::check_in;
use crate::support::{Plan, School};
use cordon::base::time::SystemClock;
use cordon::pki::SystemRandom;
use cordon::plist::Value as Plist;
use cordon::service::founding::{self, Place};
use cordon::service::{Context, rotating};
use cordon::simulator::spec::Kind;
use cordon::simulator::state::Channel;
use cordon::store::{SealedCursor, StoreError, WrappedKey};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// Wrapped keys of both kinds, oldest first.
fn wrapped(cx: &Context) -> Vec<WrappedKey> {
    let read = |wrapping| -> Result<_, StoreError> { cx.store.read(|db| db.list_wrapped_keys(wrapping)) };
    [read("machine-key").unwrap(), read("recovery-code").unwrap()].concat()
}

/// Every sealed value of the database, by place. A key that does not exist sealed none of them.
fn places(cx: &Context) -> Vec<(String, Vec<u8>)> {
    let (mut cursor, mut found) = (SealedCursor::default(), Vec::new());
    loop {
        let batch: Result<_, StoreError> = cx.store.read(|db| db.list_sealed_otherwise(u32::MAX, &mut cursor, 500));
        match batch.unwrap() {
            Some(batch) => found.extend(batch.into_iter().map(|value| (value.place, value.blob))),
            None => return found,
        }
    }
}

fn assert_all_open(cx: &Context) {
    let all = places(cx);
    for kind in ["authority", "push-certificate", "webhook", "admin", "secret", "command", "result"] {
        assert!(all.iter().any(|(place, _)| place.starts_with(&format!("{kind}/"))), "none of {kind}");
    }
    for (place, blob) in all {
        cx.open(&place, &blob).unwrap_or_else(|e| panic!("{place}: {e:?}"));
    }
}

fn finish(cx: &Context) {
    for _ in 0..1_000 {
        if !rotating::step(cx).unwrap() {
            return;
        }
    }
    panic!("it never ends");
}

/// Something in every sealed column, and the recovery code.
fn a_full_school() -> (School, Arc<Handle>, String) {
    let school = School::planned(Plan::with_lasting_ports());
    let mac = school.enroll_deaf(Kind::Mac, 3);
    let udid = mac.udid();
    let mut caller = school.caller(Some(&mac.identity()));
    let token = check_in("SetBootstrapToken", &udid, &[("BootstrapToken", Plist::Data(b"bootstrap 1234567".to_vec()))]);
    assert_eq!(caller.check_in(&token).status, 200);
    for n in 0..80 {
        school.send(&mac, "DeviceLock", json!({ "PIN": format!("{:06}", 482_000 + n) }));
    }
    let asked = school.send(&mac, "SecurityInfo", json!({}));
    for _ in 0..200 {
        mac.poll(Channel::Device).unwrap();
        if school.state_of(&asked) == "Acknowledged" {
            break;
        }
    }
    // Finished commands lose their content; these keep it.
    for _ in 0..80 {
        school.send(&mac, "SecurityInfo", json!({}));
    }
    school.api("POST", "/webhooks", &json!({ "name": "w", "url": "https://127.0.0.1:9/", "events": [] })).is(201);
    school.api("POST", "/push-certificates/request", &json!({})).is(201);
    let password = "tin roof in may";
    school.api("POST", "/admins", &json!({ "name": "ada", "role": "owner", "password": password })).is(201);
    let login = json!({ "name": "ada", "password": password });
    let token = school.https(None, "POST", "/api/v1/login", &login).is(200)["token"].as_str().unwrap().to_owned();
    school.https(Some(&token), "POST", "/api/v1/admins/ada/totp", &json!({ "current_password": password })).is(201);
    let code = school.api("POST", "/recovery-code", &json!({})).is(201)["recovery_code"].as_str().unwrap().to_owned();
    (school, mac, code)
}

fn open(directory: &Path) -> Context {
    founding::open(&Place::in_directory(directory), Arc::new(SystemClock), Arc::new(SystemRandom)).unwrap()
}

#[test]
fn killed_in_the_middle_it_finishes_and_nothing_of_the_old_key_is_left() {
    let (mut school, mac, code) = a_full_school();
    let cx = Arc::clone(school.server().context());
    let old = wrapped(&cx);
    assert_eq!(old.len(), 2);

    let rotate = |body: Value| school.api("POST", "/key/rotate", &body);
    assert!(rotate(json!({})).is_problem(400, "rotation-needs-code").contains("--recovery-code-file"));
    rotate(json!({ "recovery_code": "abcd-efgh" })).is_problem(400, "recovery-code-wrong");
    assert_eq!(school.get("/key")["key_id"], 1);
    let begun = rotate(json!({ "recovery_code": code })).is(202);
    assert_eq!((&begun["key_id"], &begun["rotating"]), (&json!(2), &json!(true)));
    let left = begun["left"].as_i64().unwrap();
    assert!(left > 160, "{begun}");
    rotate(json!({ "recovery_code": code })).is_problem(409, "rotation-going-on");
    // New things are sealed with the new key from now on, old ones open.
    school.send(&mac, "SecurityInfo", json!({}));
    rotating::step(&cx).unwrap();
    let halfway = school.get("/key")["left"].as_i64().unwrap();
    assert!(halfway < left && halfway > 0, "{halfway} of {left}");
    assert_all_open(&cx);

    // A copy from the middle opens with the code, although two keys are in use.
    let copy = tempfile::tempdir().unwrap();
    for name in ["cordon.db", "cordon.db-wal"] {
        std::fs::copy(school.directory().join(name), copy.path().join(name)).unwrap();
    }
    drop(cx);
    school.crash();
    let clock = || Arc::new(SystemClock);
    let place = Place::in_directory(copy.path());
    let restored = founding::open_with_recovery(&place, &code, clock(), Arc::new(SystemRandom)).unwrap();
    assert_all_open(&restored);
    finish(&restored);
    assert_all_open(&restored);
    drop(restored);

    school.start();
    let cx = Arc::clone(school.server().context());
    assert!(school.get("/key")["rotating"].as_bool().unwrap() || school.get("/key")["left"] == 0);
    finish(&cx);
    school.wait_until("the end of the rotation", || (school.get("/key")["rotating"] == false).then_some(()));
    assert_eq!(school.get("/key")["left"], 0);
    assert_all_open(&cx);
    assert!(wrapped(&cx).iter().all(|row| row.key_id == 2));
    let pin = school.of(&mac, "secrets/lock-pin/reveal", &json!({ "reason": REASON, "generation": 1 })).is(200);
    assert_eq!(pin["value"], "482000");
    mac.poll(Channel::Device).unwrap();
    assert_eq!(school.audited("key.rotate").len(), 1);
    assert_eq!(school.audited("key.rotated")[0]["detail"], json!({ "destroyed": [1], "in_force": 2 }));
    assert_eq!(school.get("/audit/verify")["broken_at"], Value::Null);
    school.api("POST", "/recovery-code/check", &json!({ "recovery_code": code })).is(204);

    drop(cx);
    school.stop();
    let bytes = std::fs::read(school.directory().join("cordon.db")).unwrap();
    for row in old {
        assert!(!holds(&bytes, &row.wrapped), "a wrapping of the old key lies in the file");
    }
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::copy(school.directory().join("cordon.db"), elsewhere.path().join("cordon.db")).unwrap();
    let place = Place::in_directory(elsewhere.path());
    assert_all_open(&founding::open_with_recovery(&place, &code, clock(), Arc::new(SystemRandom)).unwrap());
}

#[test]
fn a_new_recovery_code_takes_the_place_of_the_old_one_for_both_keys() {
    let (mut school, _, old_code) = a_full_school();
    let made = school.api("POST", "/key/rotate", &json!({ "new_recovery_code": true })).is(202);
    let new_code = made["recovery_code"].as_str().unwrap().to_owned();
    assert!(!school.get("/audit?limit=500").to_string().contains(&new_code[..9]));
    school
        .api("POST", "/recovery-code/check", &json!({ "recovery_code": old_code }))
        .is_problem(400, "recovery-code-wrong");
    // A third one while two keys are in use.
    let third = school.api("POST", "/recovery-code", &json!({})).is(201)["recovery_code"].as_str().unwrap().to_owned();
    school.crash();
    let elsewhere = tempfile::tempdir().unwrap();
    for name in ["cordon.db", "cordon.db-wal"] {
        std::fs::copy(school.directory().join(name), elsewhere.path().join(name)).unwrap();
    }
    let place = Place::in_directory(elsewhere.path());
    let open = |code: &str| founding::open_with_recovery(&place, code, Arc::new(SystemClock), Arc::new(SystemRandom));
    assert!(open(&old_code).is_err() && open(&new_code).is_err());
    assert_all_open(&open(&third).unwrap());
}

#[test]
fn what_was_on_its_way_keeps_the_old_key_for_a_while() {
    use cordon::base::time::{Clock, MINUTE, ManualClock};
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let school = School::planned(Plan { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..Plan::default() });
    let cx = Arc::clone(school.server().context());
    school.api("POST", "/key/rotate", &json!({})).is(202);
    finish(&cx);
    assert_eq!((&school.get("/key")["left"], &school.get("/key")["rotating"]), (&json!(0), &json!(true)));
    clock.advance(11 * MINUTE);
    finish(&cx);
    assert_eq!(school.get("/key")["rotating"], false);
    // A clock that cannot be trusted begins nothing.
    cx.flush_seen().unwrap();
    clock.advance(-120 * MINUTE);
    school.api("POST", "/key/rotate", &json!({})).is_problem(409, "clock-behind");
    clock.advance(120 * MINUTE);
}

#[test]
fn a_machine_key_is_replaced_and_no_interruption_locks_anybody_out() {
    let (mut school, _, _) = a_full_school();
    let (home, key) = (school.directory(), school.directory().join("machine.key"));
    let before = std::fs::read(&key).unwrap();
    school.api("POST", "/key/machine-key", &json!({})).is(204);
    let after = std::fs::read(&key).unwrap();
    assert_ne!(before, after);
    assert_eq!(school.audited("key.machine").len(), 1);
    school.stop();
    assert_all_open(&open(&home));

    // The power failed before the file got its name: the next key is there, the old one still has the name.
    let next = home.join("machine.key.next");
    std::fs::write(&next, &after).unwrap();
    std::fs::write(&key, &before).unwrap();
    assert_all_open(&open(&home));
    assert_eq!((std::fs::read(&key).unwrap(), next.exists()), (after.clone(), false));
    // It failed before the database turned to the next key.
    std::fs::write(&next, &before).unwrap();
    assert_all_open(&open(&home));
    assert_eq!((std::fs::read(&key).unwrap(), next.exists()), (after, false));
    // A key of somewhere else is neither used nor replaced.
    std::fs::write(&key, "11".repeat(32)).unwrap();
    let place = Place::in_directory(&home);
    assert!(founding::open(&place, Arc::new(SystemClock), Arc::new(SystemRandom)).is_err());
    assert_eq!(std::fs::read_to_string(&key).unwrap(), "11".repeat(32));
}
