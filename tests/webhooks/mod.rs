//! Webhooks, told to the whole server from outside: what happens is told once to each who wants it, signed, in order, and until it is taken.

mod receiver;
mod upkeep;

use crate::support::wire::{self, check_in, idle};
use crate::support::{Plan, School, lasting_address};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon::base::time::{Clock, DAY, HOUR, MINUTE, SECOND, SystemClock, Timestamp};
use cordon::plist::Value as Plist;
use cordon::service::{expiring, webhooks};
use cordon::simulator::spec::Kind;
use cordon::simulator::state::Channel;
use cordon::store::StoreError;
use receiver::Receiver;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// The machine's clock, moved.
#[derive(Default)]
struct Ahead(AtomicI64);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus(self.0.load(Ordering::SeqCst))
    }
}

/// A school whose clock the test moves, on ports that it keeps.
fn school() -> (School, Arc<Ahead>) {
    let clock = Arc::new(Ahead::default());
    (School::planned(Plan { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..Plan::with_lasting_ports() }), clock)
}

impl Ahead {
    fn advance(&self, school: &School, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
        school.server().context().wake_teller();
    }
}

/// Id and secret.
fn add(school: &School, url: &str, kinds: &[&str]) -> (String, String) {
    let made = school.api("POST", "/webhooks", &json!({ "name": "test", "url": url, "events": kinds })).is(201);
    (made["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
}

fn log(school: &School, id: &str) -> Vec<Value> {
    school.get(&format!("/webhooks/{id}/deliveries?limit=500"))["items"].as_array().unwrap().clone()
}

fn count_events(school: &School) -> i64 {
    let counted: Result<i64, StoreError> = school.server().context().store.read(|db| db.count_events());
    counted.unwrap()
}

#[test]
fn an_enrolment_and_a_command_are_told_signed_and_in_order() {
    let (school, receiver) = (School::new(), Receiver::start());
    let (id, secret) = add(&school, &receiver.url(), &[]);
    let ipad = school.enroll(Kind::Ipad, 1);
    let uuid = school.send(&ipad, "ProfileList", Value::Null);
    school.wait_for(&uuid, "Acknowledged");
    receiver.wait_for_kind("command.acknowledged");
    let told = receiver.told();
    let kinds: Vec<&str> = told.iter().map(|t| t.kind()).collect();
    let wanted = ["device.authenticated", "device.enrolled", "command.queued", "command.sent", "command.acknowledged"];
    assert_eq!(kinds, wanted);
    for one in &told {
        assert!(one.is_signed_with(&secret), "{one:?}");
        assert!(!one.is_signed_with("whsec_other"));
        assert_eq!((one.header("x-cordon-event"), one.header("content-type")), (one.kind(), "application/json"));
        assert_eq!(one.header("x-cordon-delivery"), format!("{}.{id}", one.json["id"].as_str().unwrap()));
        assert_eq!(one.json["device"]["udid"], ipad.udid());
        assert_eq!(one.json["device"]["serial"], ipad.with(|d| d.spec().serial.clone()));
        assert!(one.json["at"].as_str().unwrap().ends_with('Z'));
    }
    let command = json!({ "uuid": uuid, "request_type": "ProfileList", "state": "Acknowledged", "user": null });
    assert_eq!(told[4].json["command"], command);

    ipad.renew_token(&school.stand_in, Channel::Device);
    receiver.wait_for_kind("device.token_updated");
    ipad.with(|d| d.remove_management());
    receiver.wait_for_kind("device.checked_out");
    let log = school.wait_until("the log", || {
        let log = log(&school, &id);
        log.iter().all(|d| d["state"] == "delivered").then_some(log)
    });
    assert_eq!(
        (log.len(), log[0]["kind"].as_str(), log[0]["last_status"].as_u64()),
        (7, Some("device.checked_out"), Some(200))
    );
    assert_eq!((log[0]["attempts"].as_u64(), log[0]["last_answer"].as_str()), (Some(1), Some("well")));
}

#[test]
fn failures_not_now_cancelling_and_expiry_are_told() {
    let (school, clock) = school();
    let receiver = Receiver::start();
    add(
        &school,
        &receiver.url(),
        &["command.error", "command.not_now", "command.cancelled", "command.expired", "push.dead"],
    );
    let ipad = school.enroll_deaf(Kind::Ipad, 1);
    let udid = ipad.udid();
    let mut caller = school.caller(Some(&ipad.identity()));
    let first = school.send(&ipad, "ProfileList", Value::Null);
    assert_eq!(wire::command_uuid(&caller.report(&idle(&udid))), Some(first.clone()));
    caller.report(&wire::result("NotNow", &udid, &first, &[]));
    assert_eq!(receiver.wait_for_kind("command.not_now").json["command"]["uuid"], *first);
    caller.report(&idle(&udid));
    let chain: cordon::plist::Dictionary =
        [("ErrorCode", Plist::from(12021)), ("ErrorDomain", wire::text("MCMDMErrorDomain"))]
            .map(|(k, v)| (k.to_owned(), v))
            .into_iter()
            .collect();
    caller.report(&wire::result(
        "Error",
        &udid,
        &first,
        &[("ErrorChain", Plist::Array(vec![Plist::Dictionary(chain)]))],
    ));
    let error = receiver.wait_for_kind("command.error");
    assert_eq!(
        (&error.json["command"]["state"], &error.json["command"]["error_chain"][0]["ErrorCode"]),
        (&json!("Error"), &json!(12021))
    );
    let second = school.send(&ipad, "ProfileList", Value::Null);
    school.api("DELETE", &format!("/commands/{second}"), &Value::Null).is(200);
    assert_eq!(receiver.wait_for_kind("command.cancelled").json["command"]["uuid"], *second);
    let ends = clock.now().plus(HOUR).to_string();
    let third = school.send(&ipad, "ProfileList", json!({ "expires_at": ends }));
    clock.advance(&school, 2 * HOUR);
    // The upkeep thread would do it too, seconds later.
    cordon::service::commands::expire(school.server().context()).unwrap();
    assert_eq!(receiver.wait_for_kind("command.expired").json["command"]["uuid"], *third);
    school.stand_in.set_answer(&ipad.token(Channel::Device), Some((400, "BadDeviceToken")));
    school.api("POST", &format!("/devices/{udid}/push"), &Value::Null);
    let dead = receiver.wait_for_kind("push.dead");
    assert!(
        dead.json["push"]["why"].as_str().unwrap().contains("refuses this token")
            && dead.json["device"]["udid"] == *udid,
        "{dead:?}"
    );
}

#[test]
fn what_was_refused_is_told_again_under_the_same_id() {
    let (school, clock) = school();
    let receiver = Receiver::start();
    let (id, _) = add(&school, &receiver.url(), &[]);
    receiver.answer(500);
    school.api("POST", &format!("/webhooks/{id}/test"), &Value::Null).is(202);
    let first = receiver.wait_for_kind("webhook.test");
    let waiting =
        school.wait_until("the failure in the log", || log(&school, &id).into_iter().find(|d| d["attempts"] == 1));
    assert_eq!((waiting["state"].as_str(), waiting["last_status"].as_u64()), (Some("waiting"), Some(500)));
    let again_in =
        waiting["next_attempt"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond() - clock.now().0;
    assert!((5 * SECOND..=10 * SECOND).contains(&again_in), "{again_in}");
    // Not before its time, then again, in front of what came later.
    receiver.answer(200);
    let ipad = school.enroll(Kind::Ipad, 1);
    clock.advance(&school, 2 * SECOND);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(receiver.told().len(), 1);
    clock.advance(&school, 10 * SECOND);
    receiver.wait_for_kind("device.enrolled");
    let told = receiver.told();
    let kinds: Vec<&str> = told.iter().map(|t| t.kind()).collect();
    assert_eq!(kinds, ["webhook.test", "webhook.test", "device.authenticated", "device.enrolled"], "{}", ipad.udid());
    assert_eq!((told[1].header("x-cordon-delivery"), &told[1].body), (first.header("x-cordon-delivery"), &first.body));
}

#[test]
fn nothing_is_lost_over_a_restart_while_the_receiver_is_away() {
    let (mut school, clock) = school();
    let address = lasting_address();
    let (id, secret) = add(&school, &format!("http://{address}/"), &[]);
    let ipad = school.enroll(Kind::Ipad, 1);
    let uuid = school.send(&ipad, "ProfileList", Value::Null);
    school.wait_for(&uuid, "Acknowledged");
    let before = school.wait_until("five events, and a refused connection", || {
        let log = log(&school, &id);
        (log.len() == 5 && log[4]["attempts"] != 0).then_some(log)
    });
    assert!(before.iter().all(|d| d["state"] == "waiting" && d["last_status"].is_null()), "{before:?}");
    assert!(!before[4]["last_answer"].as_str().unwrap().is_empty());
    school.stop();
    let receiver = Receiver::start_on(&address);
    clock.0.fetch_add(MINUTE, Ordering::SeqCst);
    school.start();
    receiver.wait_for_kind("command.acknowledged");
    let mut ids: Vec<String> = before.iter().map(|d| d["event"].as_str().unwrap().to_owned()).collect();
    ids.reverse();
    assert_eq!(receiver.taken(), ids, "all of them, once, in order");
    assert!(receiver.told().iter().all(|t| t.is_signed_with(&secret)));
    // A webhook that a new start loads is still told what comes.
    let uuid = school.send(&ipad, "ProfileList", Value::Null);
    receiver.wait_for("the next command", |told| told.iter().find(|t| t.json["command"]["uuid"] == *uuid).cloned());
}

#[test]
fn each_is_told_only_what_it_wants_and_only_while_it_is_on() {
    let (school, some, all) = (School::new(), Receiver::start(), Receiver::start());
    let (id, _) = add(&school, &some.url(), &["command.queued", "device.checked_out"]);
    add(&school, &all.url(), &[]);
    let ipad = school.enroll(Kind::Ipad, 1);
    let uuid = school.send(&ipad, "ProfileList", Value::Null);
    school.wait_for(&uuid, "Acknowledged");
    all.wait_for_kind("command.acknowledged");
    some.wait_for_kind("command.queued");
    school.api("PATCH", &format!("/webhooks/{id}"), &json!({ "enabled": false })).is(200);
    school.api("POST", &format!("/webhooks/{id}/test"), &Value::Null).is_problem(409, "webhook-disabled");
    let uuid = school.send(&ipad, "ProfileList", Value::Null);
    school.wait_for(&uuid, "Acknowledged");
    school.api("PATCH", &format!("/webhooks/{id}"), &json!({ "enabled": true })).is(200);
    ipad.with(|d| d.remove_management());
    some.wait_for_kind("device.checked_out");
    let told = some.told();
    assert_eq!(told.iter().map(|t| t.kind()).collect::<Vec<_>>(), ["command.queued", "device.checked_out"]);
}

#[test]
fn a_silent_receiver_does_not_hold_up_another() {
    let (school, silent, quick) = (School::new(), Receiver::start(), Receiver::start());
    silent.be_silent();
    let (id, _) = add(&school, &silent.url(), &[]);
    add(&school, &quick.url(), &[]);
    let begun = Instant::now();
    school.api("POST", &format!("/webhooks/{id}/test"), &Value::Null).is(202);
    let ipad = school.enroll(Kind::Ipad, 1);
    let uuid = school.send(&ipad, "ProfileList", Value::Null);
    school.wait_for(&uuid, "Acknowledged");
    quick.wait_for_kind("command.acknowledged");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(log(&school, &id).iter().filter(|d| d["state"] == "waiting").count(), 6);
    // Removing it takes what waits with it, also while a request is under way.
    school.api("DELETE", &format!("/webhooks/{id}"), &Value::Null).is(204);
    school.api("GET", &format!("/webhooks/{id}"), &Value::Null).is_problem(404, "no-such-webhook");
}

#[test]
fn what_nobody_takes_is_given_up_and_shows() {
    let (school, clock) = school();
    let receiver = Receiver::start();
    let (id, _) = add(&school, &receiver.url(), &[]);
    receiver.answer(422);
    school.api("POST", &format!("/webhooks/{id}/test"), &Value::Null).is(202);
    let state = |n: usize| {
        log(&school, &id)
            .into_iter()
            .rev()
            .nth(n)
            .map(|d| (d["state"].as_str().unwrap().to_owned(), d["attempts"].as_u64().unwrap()))
    };
    for n in 1..5 {
        school.wait_until("the next refusal", || (state(0) == Some((String::from("waiting"), n))).then_some(()));
        clock.advance(&school, 10 * MINUTE);
    }
    school.wait_until("giving up", || (state(0) == Some((String::from("given_up"), 5))).then_some(()));
    receiver.answer(503);
    for _ in 0..2 {
        school.api("POST", &format!("/webhooks/{id}/test"), &Value::Null).is(202);
    }
    school.wait_until("a refusal", || state(1).filter(|(_, tries)| *tries > 0));
    clock.advance(&school, 3 * DAY + MINUTE);
    school
        .wait_until("giving up what is old", || (state(1)?.0 == "given_up" && state(2)?.0 == "given_up").then_some(()));
    assert_eq!(state(2), Some((String::from("given_up"), 0)));
    receiver.answer(200);
    school.api("POST", &format!("/webhooks/{id}/test"), &Value::Null).is(202);
    school.wait_until("the next one", || (state(3)?.0 == "delivered").then_some(()));
    assert_eq!(school.get(&format!("/webhooks/{id}"))["waiting"], 0);

    // Kept for 30 days; never removed while the clock is behind.
    let cx = school.server().context();
    assert_eq!((count_events(&school), webhooks::forget_old(cx).unwrap()), (4, 0));
    clock.advance(&school, 31 * DAY);
    school.wait_until("the old events to go", || {
        webhooks::forget_old(cx).unwrap();
        (count_events(&school) == 0).then_some(())
    });
    assert_eq!(log(&school, &id), Vec::<Value>::new());
}

#[test]
fn no_event_holds_a_secret() {
    let (school, receiver) = (School::new(), Receiver::start());
    let (_, secret) = add(&school, &receiver.url(), &[]);
    let ipad = school.enroll_deaf(Kind::Ipad, 1);
    let udid = ipad.udid();
    let unlock_token = ipad.with(|d| d.state().unlock_token.clone().unwrap().0);
    let mut caller = school.caller(Some(&ipad.identity()));
    let bootstrap = b"bootstrap-token-that-must-stay-inside".to_vec();
    caller.check_in(&check_in("SetBootstrapToken", &udid, &[("BootstrapToken", Plist::Data(bootstrap.clone()))]));
    let lock = school.send(&ipad, "DeviceLock", json!({ "PIN": "739154", "Message": "planted-message" }));
    let possession = "its owner stands at the desk";
    let clear = school.send(
        &ipad,
        "ClearPasscode",
        json!({ "UnlockToken": STANDARD.encode(&unlock_token), "possession": possession }),
    );
    assert_eq!(wire::command_uuid(&caller.report(&idle(&udid))), Some(lock.clone()));
    caller.report(&wire::result("Acknowledged", &udid, &lock, &[("Planted", wire::text("planted-answer"))]));
    caller.report(&wire::result("Acknowledged", &udid, &clear, &[]));
    receiver.wait_for("both answers", |told| {
        (told.iter().filter(|t| t.kind() == "command.acknowledged").count() == 2).then_some(())
    });
    let bootstrap_told = receiver.wait_for_kind("device.bootstrap_token");
    assert_eq!(bootstrap_told.json["bootstrap_token"], json!({ "kept": true }));
    let token = ipad.token(Channel::Device);
    let magic = ipad.with(|d| d.state().find_line(Channel::Device).unwrap().magic.clone());
    let planted = [
        STANDARD.encode(&unlock_token)[..40].to_owned(),
        hex::encode(&unlock_token[..16]),
        String::from_utf8(bootstrap.clone()).unwrap(),
        STANDARD.encode(&bootstrap)[..30].to_owned(),
        STANDARD.encode(&token)[..30].to_owned(),
        hex::encode(&token),
        magic,
        String::from("739154"),
        String::from("planted-message"),
        String::from("planted-answer"),
        secret.clone(),
    ];
    for told in receiver.told() {
        let whole = format!("{:?} {}", told.headers, told.body);
        for secret in &planted {
            assert!(!whole.contains(secret.as_str()), "{secret} in {whole}");
        }
    }
    let file: Vec<u8> = ["cordon.db", "cordon.db-wal"]
        .iter()
        .flat_map(|name| std::fs::read(school.directory().join(name)).unwrap_or_default())
        .collect();
    assert!(!file.windows(secret.len()).any(|w| w == secret.as_bytes()), "the signing secret is sealed on disk");
    assert!(
        !school.get("/webhooks").to_string().contains("\"secret\"")
            && !school.get("/audit?limit=500").to_string().contains(&secret)
    );
}

#[test]
fn without_webhooks_nothing_is_written() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    let uuid = school.send(&ipad, "ProfileList", Value::Null);
    school.wait_for(&uuid, "Acknowledged");
    assert_eq!(count_events(&school), 0);
    let receiver = Receiver::start();
    add(&school, &receiver.url(), &["push.dead"]);
    let uuid = school.send(&ipad, "ProfileList", Value::Null);
    school.wait_for(&uuid, "Acknowledged");
    assert_eq!(count_events(&school), 0, "kinds that nobody wants are not written either");
}

#[test]
fn expiring_certificates_are_told_once_for_each_step() {
    let (school, clock) = school();
    let receiver = Receiver::start();
    add(&school, &receiver.url(), &["certificate.expiring"]);
    let cx = school.server().context();
    let ends = school.get("/push-certificates")["items"][0]["not_after"]
        .as_str()
        .unwrap()
        .parse::<jiff::Timestamp>()
        .unwrap()
        .as_millisecond();
    for days in [61, 60, 59, 30, 10, 7, 1] {
        clock.advance(&school, ends - days * DAY + HOUR - clock.now().0);
        for _ in 0..2 {
            expiring::tell(cx).unwrap();
        }
    }
    let steps = [59, 29, 9, 6, 0];
    let told = receiver.wait_for("all steps", |told| {
        let push: Vec<i64> = told
            .iter()
            .map(|t| &t.json["certificate"])
            .filter(|c| c["purpose"] == "push")
            .map(|c| c["days_left"].as_i64().unwrap())
            .collect();
        (push.len() >= steps.len()).then_some(push)
    });
    assert_eq!(told, steps);
}

#[test]
fn only_the_owner_and_only_what_may_be_told() {
    let school = School::new();
    for role in ["admin", "helpdesk", "auditor"] {
        let token = school.token(role);
        for (method, path) in
            [("GET", "/api/v1/webhooks"), ("POST", "/api/v1/webhooks"), ("GET", "/api/v1/webhooks/wh-1/deliveries")]
        {
            let body = if method == "POST" { json!({ "name": "n", "url": "https://h.example/" }) } else { Value::Null };
            school.https(Some(&token), method, path, &body).is_problem(403, "role-missing");
        }
    }
    let refused = |wish: Value, id: &str| school.api("POST", "/webhooks", &wish).is_problem(400, id);
    for url in
        ["http://h.example/", "ftp://h.example/", "https://u:p@h.example/", "file:///etc/passwd", "h.example", ""]
    {
        refused(json!({ "name": "n", "url": url }), "bad-webhook-url");
    }
    refused(json!({ "name": "n", "url": "https://h.example/", "events": ["command.eaten"] }), "unknown-event-kind");
    refused(json!({ "name": "", "url": "https://h.example/" }), "bad-argument");
    refused(json!({ "name": "n", "url": "https://h.example/", "secret": "mine" }), "bad-body");
    let (id, _) = add(&school, "http://127.0.0.1:9/key-in-the-path", &["device.enrolled"]);
    school
        .api("PATCH", &format!("/webhooks/{id}"), &json!({ "url": "http://h.example/" }))
        .is_problem(400, "bad-webhook-url");
    let shown = school.get(&format!("/webhooks/{id}"));
    assert_eq!(
        (shown["url"].as_str(), &shown["events"]),
        (Some("http://127.0.0.1:9/key-in-the-path"), &json!(["device.enrolled"]))
    );
    school.api("DELETE", &format!("/webhooks/{id}"), &Value::Null).is(204);
    school.api("DELETE", &format!("/webhooks/{id}"), &Value::Null).is_problem(404, "no-such-webhook");
    let audit = school.get("/audit?limit=500");
    let verbs: Vec<&str> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|row| row["verb"].as_str())
        .filter(|v| v.starts_with("webhook"))
        .collect();
    assert_eq!(verbs, ["webhook.create", "webhook.remove"]);
    assert!(!audit.to_string().contains("key-in-the-path"));
}
