//! What is no longer needed goes: plists of finished commands at once, answers and stories when their time is over; and a device that
//! comes late with an answer is still answered rightly.

use super::REASON;
use crate::support::wire::{self, idle, text};
use crate::support::{Plan, School};
use cordon::base::time::{Clock, DAY, ManualClock, SystemClock};
use cordon::service::{Context, purging};
use cordon::simulator::spec::Kind;
use cordon::store::StoreError;
use serde_json::{Value, json};
use std::sync::Arc;

fn purge(cx: &Context) {
    for _ in 0..10_000 {
        if !purging::step(cx).unwrap() {
            return;
        }
    }
    panic!("it never ends");
}

fn has_plist(cx: &Context, uuid: &str) -> Option<bool> {
    let row: Result<_, StoreError> = cx.store.read(|db| db.find_command(uuid));
    row.unwrap().map(|row| row.sealed_plist.is_some())
}

#[test]
fn each_thing_goes_in_its_time_and_late_answers_are_taken() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let school = School::planned(Plan { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..Plan::default() });
    let cx = Arc::clone(school.server().context());
    let usual = school.get("/retention");
    assert_eq!(usual, json!({ "results_days": 90, "timeline_days": 400, "webhook_log_days": 30 }));
    // Shorter than a device's certificate lives.
    school.api("PATCH", "/retention", &json!({ "timeline_days": 200 })).is(200);
    let mac = school.enroll_deaf(Kind::Mac, 1);
    let udid = mac.udid();
    let mut caller = school.caller(Some(&mac.identity()));
    let lock = school.send(&mac, "DeviceLock", json!({ "PIN": "482913" }));
    let waits = school.send(&mac, "SecurityInfo", json!({}));
    assert_eq!(wire::command_uuid(&caller.report(&idle(&udid))), Some(lock.clone()));
    purge(&cx);
    assert_eq!((has_plist(&cx, &lock), has_plist(&cx, &waits)), (Some(true), Some(true)), "both are still needed");
    let answer = [("MessageResult", text("Success"))];
    let done = wire::result("Acknowledged", &udid, &lock, &answer);
    assert_eq!(wire::command_uuid(&caller.report(&done)), Some(waits.clone()));
    purge(&cx);
    assert_eq!((has_plist(&cx, &lock), has_plist(&cx, &waits)), (Some(false), Some(true)));
    assert_eq!(school.command(&lock)["result"]["MessageResult"], "Success");
    // The answer to the answer was lost: the same report again, and the same command comes.
    assert_eq!(wire::command_uuid(&caller.report(&done)), Some(waits.clone()));
    let taken = json!({ "command_uuid": lock, "PIN": "111111" });
    school.try_send(&mac, None, "DeviceLock", taken).is_problem(400, "command-doubt");

    clock.advance(91 * DAY);
    purge(&cx);
    let view = school.command(&lock);
    assert_eq!((&view["state"], &view["result"]), (&json!("Acknowledged"), &Value::Null));
    assert!(view["result_purged_at"].is_string());
    assert!(school.explain(&lock).contains("was purged at"));
    assert!(!view["history"].as_array().unwrap().is_empty());
    assert_eq!(has_plist(&cx, &waits), Some(true), "it is still waiting");
    assert_eq!(wire::command_uuid(&caller.report(&done)), Some(waits.clone()));
    assert_eq!(school.command(&lock)["result"], Value::Null, "a repetition brings nothing back");

    // Nothing goes while the clock cannot be trusted, however old it looks.
    cx.flush_seen().unwrap();
    clock.advance(-2 * DAY);
    assert!(!purging::step(&cx).unwrap());
    clock.advance(2 * DAY);

    clock.advance(110 * DAY);
    purge(&cx);
    assert_eq!(has_plist(&cx, &lock), None);
    school.api("GET", &format!("/commands/{lock}"), &Value::Null).is_problem(404, "no-such-command");
    assert_eq!(school.state_of(&waits), "Sent");
    assert!(school.told(&mac, "Authenticate").is_empty(), "the beginning of its story is over 200 days old");
    // A device that slept all that time repeats its report: noted, and the next command comes.
    assert_eq!(wire::command_uuid(&caller.report(&done)), Some(waits));
    assert_eq!(school.told(&mac, "unknown-command").len(), 1);
    // What is in custody stays.
    let pin = school.of(&mac, "secrets/lock-pin/reveal", &json!({ "reason": REASON })).is(200);
    assert_eq!(pin["value"], "482913");
    assert_eq!(school.get("/audit/verify")["broken_at"], Value::Null);
}

#[test]
fn the_school_chooses_how_long() {
    let school = School::new();
    let change = |body: Value| school.api("PATCH", "/retention", &body);
    assert_eq!(change(json!({ "results_days": 30 })).is(200)["results_days"], 30);
    for bad in [json!({ "results_days": 0 }), json!({ "timeline_days": 3651 }), json!({ "timeline_days": 20 })] {
        change(bad).is_problem(400, "bad-argument");
    }
    change(json!({ "results": 30 })).is_problem(400, "bad-body");
    assert_eq!(school.audited("retention.change").len(), 1);
    assert_eq!(school.audited("retention.change")[0]["detail"]["to"]["results"], 30);
}

#[test]
fn a_wish_for_many_goes_after_the_last_of_its_commands() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let school = School::planned(Plan { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..Plan::default() });
    let cx = Arc::clone(school.server().context());
    school.api("PATCH", "/retention", &json!({ "results_days": 90, "timeline_days": 100 })).is(200);
    let devices = [school.enroll(Kind::Ipad, 1), school.enroll_deaf(Kind::Ipad, 2)];
    let ask = || {
        let wish =
            json!({ "RequestType": "ProfileList", "devices": devices.iter().map(|d| d.udid()).collect::<Vec<_>>() });
        school.api("POST", "/bulk", &wish).is(201)["id"].as_str().unwrap().to_owned()
    };
    let counts = |id: &str, wanted: Value| {
        school.wait_until(&format!("{wanted}"), || {
            (school.get(&format!("/bulk/{id}"))["counts"] == wanted).then_some(())
        });
    };
    let (lasting, ended) = (ask(), ask());
    for id in [&lasting, &ended] {
        counts(id, json!({ "Acknowledged": 1, "Queued": 1 }));
    }
    school.api("DELETE", &format!("/bulk/{ended}"), &Value::Null).is(200);
    counts(&ended, json!({ "Acknowledged": 1, "Cancelled": 1 }));
    clock.advance(99 * DAY);
    purge(&cx);
    counts(&ended, json!({ "Acknowledged": 1, "Cancelled": 1 }));
    clock.advance(2 * DAY);
    purge(&cx);
    school.api("GET", &format!("/bulk/{ended}"), &Value::Null).is_problem(404, "no-such-command");
    // One device has not fetched its own yet: what is known of the others is only that it was.
    counts(&lasting, json!({ "Queued": 1, "gone": 1 }));
    // Taken back at last; its time counts from then.
    school.api("DELETE", &format!("/bulk/{lasting}"), &Value::Null).is(200);
    purge(&cx);
    counts(&lasting, json!({ "Cancelled": 1, "gone": 1 }));
    clock.advance(101 * DAY);
    purge(&cx);
    assert_eq!(school.get("/bulk")["items"], json!([]));
    // One of thousands goes in steps, the wish itself with the last.
    let id = ask();
    let row: Result<_, StoreError> = cx.store.read(|db| db.find_bulk(&id));
    let row = row.unwrap().unwrap().id;
    let step = || cx.store.write(|tx| tx.delete_bulk(row, 1).map_err(cordon::service::Error::from)).unwrap();
    assert_eq!((step(), step()), (false, true));
}
