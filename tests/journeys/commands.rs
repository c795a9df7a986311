//! The life of a command: pushed, run, put off, repeated, lost, cancelled, expired, explained.

use crate::support::wire::{self, command_uuid};
use crate::support::{Plan, School};
use cordon::base::time::{Clock, HOUR, MINUTE, ManualClock, SystemClock};
use cordon::simulator::spec::Kind;
use cordon::simulator::state::{Behaviour, Channel};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

fn kinds(command: &Value) -> Vec<&str> {
    command["history"].as_array().unwrap().iter().map(|h| h["kind"].as_str().unwrap()).collect()
}

#[test]
fn a_command_is_pushed_run_and_acknowledged() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    let uuid = school.send(&ipad, "DeviceInformation", json!({ "Queries": ["DeviceName", "OSVersion"] }));
    let done = school.wait_for(&uuid, "Acknowledged");
    let spec = ipad.with(|d| d.spec().clone());
    assert_eq!(done["result"]["QueryResponses"], json!({ "DeviceName": spec.name, "OSVersion": spec.os_version }));
    assert_eq!(kinds(&done), ["queued", "sent", "Acknowledged"]);
    assert_eq!((&done["sent_count"], &done["request_type"]), (&json!(1), &json!("DeviceInformation")));
    assert!(done["created_by"].as_str().unwrap().starts_with("local:"), "{done}");
    assert!(done["finished_at"].is_string());
    assert_eq!(ipad.pushes(Channel::Device).len(), 1);
    assert_eq!(school.device(&ipad)["name"], json!(spec.name), "what it says of itself is learnt");

    let list = school.get(&format!("/devices/{}/commands?state=Acknowledged", ipad.udid()));
    assert_eq!(list["items"][0]["command_uuid"], json!(uuid));
    assert!(school.explain(&uuid).contains("Done"));
}

#[test]
fn work_that_comes_while_a_push_is_under_way_is_called_for_again() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    // Apple hands the push on at once and answers late: the device has come and gone in vain before the work is there.
    school.stand_in.set_delay(Duration::from_millis(700));
    school.api("POST", &format!("/devices/{}/push", ipad.udid()), &Value::Null).is(202);
    school.wait_until("the device to look", || (!ipad.pushes(Channel::Device).is_empty()).then_some(()));
    std::thread::sleep(Duration::from_millis(100));
    let uuid = school.send(&ipad, "ProfileList", Value::Null);
    school.wait_for(&uuid, "Acknowledged");
    assert_eq!(ipad.pushes(Channel::Device).len(), 2);
}

#[test]
fn a_token_that_was_replaced_while_its_push_was_under_way_is_not_dead() {
    let school = School::new();
    let ipad = school.enroll_deaf(Kind::Ipad, 1);
    let old = school.enrollment(&ipad, Channel::Device).target.unwrap().token;
    school.stand_in.set_answer(old.as_bytes(), Some((400, "BadDeviceToken")));
    school.stand_in.set_delay(Duration::from_millis(700));
    let uuid = school.send(&ipad, "ProfileList", Value::Null);
    std::thread::sleep(Duration::from_millis(200));
    ipad.renew_token(&school.stand_in, Channel::Device);
    ipad.set_deaf(false);
    school.wait_for(&uuid, "Acknowledged");
}

#[test]
fn an_error_of_the_device_is_shown_with_its_reason() {
    let school = School::new();
    let tv = school.enroll(Kind::AppleTv, 1);
    let uuid = school.send(&tv, "RemoveProfile", json!({ "Identifier": "not.there" }));
    let done = school.wait_for(&uuid, "Error");
    let reason = done["error_chain"][0]["LocalizedDescription"].as_str().unwrap();
    assert!(school.explain(&uuid).contains(reason), "{done}");
}

#[test]
fn a_command_that_the_device_cannot_read_is_explained() {
    let school = School::new();
    let ipad = school.enroll_deaf(Kind::Ipad, 1);
    let uuid = school.send(&ipad, "ProfileList", Value::Null);
    let mut caller = school.caller(Some(&ipad.identity()));
    caller.report(&wire::idle(&ipad.udid()));
    assert!(school.explain(&uuid).contains("handed to the device once"), "{}", school.explain(&uuid));
    assert_eq!(command_uuid(&caller.report(&wire::result("CommandFormatError", &ipad.udid(), &uuid, &[]))), None);
    assert_eq!(school.state_of(&uuid), "CommandFormatError");
    assert!(school.explain(&uuid).contains("could not make sense of it"), "{}", school.explain(&uuid));
    // A status for a command that nobody gave is no fault of the device's.
    let stray = wire::result("Acknowledged", &ipad.udid(), "99999999-0000-4000-8000-000000000000", &[]);
    assert_eq!(caller.report(&stray).status, 200);
}

#[test]
fn not_now_is_waited_out_without_another_push() {
    let school = School::new();
    let busy =
        Behaviour { not_now: BTreeMap::from([("ProfileList".into(), 2)]), repoll_millis: 100, ..Behaviour::default() };
    let ipad = school.enroll_with(Kind::Ipad, 1, busy, &Value::Null);
    let uuid = school.send(&ipad, "ProfileList", Value::Null);
    let done = school.wait_for(&uuid, "Acknowledged");
    assert_eq!(done["not_now_count"], 2);
    assert_eq!(kinds(&done), ["queued", "sent", "NotNow", "sent", "NotNow", "sent", "Acknowledged"]);
    assert_eq!(ipad.pushes(Channel::Device).len(), 1, "it came back by itself");
}

#[test]
fn a_command_that_was_put_off_does_not_hold_up_the_others() {
    let school = School::new();
    let ipad = school.enroll_deaf(Kind::Ipad, 1);
    ipad.with(|d| {
        d.behaviour_mut().not_now.insert("ProfileList".into(), 1);
        d.behaviour_mut().repoll_millis = 3_600_000;
    });
    let put_off = school.send(&ipad, "ProfileList", Value::Null);
    let other = school.send(&ipad, "SecurityInfo", Value::Null);
    ipad.poll(Channel::Device).unwrap();
    assert_eq!(school.state_of(&other), "Acknowledged");
    assert_eq!(school.state_of(&put_off), "Acknowledged", "offered again after another answer");
    let order: Vec<_> = ipad.executed().into_iter().map(|e| (e.request_type, e.deliveries)).collect();
    assert_eq!(order, [("ProfileList".into(), 2), ("SecurityInfo".into(), 1)]);
}

#[test]
fn a_device_that_sleeps_is_called_when_it_wakes() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    let token = ipad.token(Channel::Device);
    school.stand_in.set_offline(&token);
    let first = school.send(&ipad, "ProfileList", Value::Null);
    let second = school.send(&ipad, "SecurityInfo", Value::Null);
    school.wait_until("Apple to take the push", || school.device(&ipad)["push"]["last_sent"].as_str().map(drop));
    assert_eq!(school.state_of(&first), "Queued");
    let why = school.explain(&first);
    assert!(why.contains("waits to be fetched") && why.contains("last called at") && why.contains("asleep"), "{why}");
    assert!(school.explain(&second).contains("1 older command"), "{}", school.explain(&second));
    assert!(ipad.pushes(Channel::Device).is_empty());

    // The push may still have been on its way when the device left; Apple keeps only the last one.
    school.wait_until("the push that was kept", || school.stand_in.wake(&token).then_some(()));
    school.wait_for(&first, "Acknowledged");
    school.wait_for(&second, "Acknowledged");
    assert!(ipad.pushes(Channel::Device)[0].stored);
}

#[test]
fn a_result_that_comes_twice_changes_nothing() {
    let school = School::new();
    let twice = Behaviour { duplicates: true, ..Behaviour::default() };
    let ipad = school.enroll_with(Kind::Ipad, 1, twice, &Value::Null);
    ipad.set_deaf(true);
    let uuids: Vec<String> = ["ProfileList", "SecurityInfo", "CertificateList"]
        .iter()
        .map(|request_type| school.send(&ipad, request_type, Value::Null))
        .collect();
    ipad.poll(Channel::Device).unwrap();
    for uuid in &uuids {
        let done = school.command(uuid);
        let finished = kinds(&done).iter().filter(|k| **k == "Acknowledged").count();
        assert_eq!((done["state"].as_str(), finished), (Some("Acknowledged"), 1), "{done}");
    }
    let before = school.command(&uuids[0]);
    let mut caller = school.caller(Some(&ipad.identity()));
    let again = caller.report(&wire::result(
        "Acknowledged",
        &ipad.udid(),
        &uuids[0],
        &[("ProfileList", wire::text("forged later"))],
    ));
    assert_eq!((again.status, again.body.len()), (200, 0));
    assert_eq!(school.command(&uuids[0]), before);
}

#[test]
fn a_command_whose_answer_was_lost_is_sent_again_byte_for_byte() {
    let school = School::new();
    let ipad = school.enroll_deaf(Kind::Ipad, 1);
    let first = school.send(&ipad, "DeviceInformation", json!({ "Queries": ["DeviceName"] }));
    school.send(&ipad, "ProfileList", Value::Null);
    let mut caller = school.caller(Some(&ipad.identity()));
    let handed = caller.report(&wire::idle(&ipad.udid()));
    assert_eq!(command_uuid(&handed), Some(first.clone()));
    let again = school.caller(Some(&ipad.identity())).report(&wire::idle(&ipad.udid()));
    assert_eq!(again.body, handed.body);
    assert!(school.explain(&first).contains("handed to the device twice"), "{}", school.explain(&first));

    // A device that leaves before it hears us sends its result again, and gets on.
    ipad.with(|d| {
        d.behaviour_mut().leaves_before_answer = 1;
        d.behaviour_mut().retry_millis = 50;
    });
    ipad.poll(Channel::Device).unwrap();
    school.wait_until("both commands", || {
        ipad.executed().iter().filter(|e| e.status.as_deref() == Some("Acknowledged")).nth(1).map(drop)
    });
    school.wait_for(&first, "Acknowledged");
    let list = school.get("/commands?state=Acknowledged");
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
}

#[test]
fn a_device_left_with_work_after_a_broken_line_is_called_again() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let school = School::planned(Plan { clock: clock.clone(), ..Plan::default() });
    let ipad = school.enroll_deaf(Kind::Ipad, 1);
    let uuid = school.send(&ipad, "ProfileList", Value::Null);
    school.wait_until("the first push", || (ipad.pushes(Channel::Device).len() == 1).then_some(()));
    school.wait_until("its answer", || school.device(&ipad)["push"]["next"].as_str().map(drop));
    assert_eq!(school.state_of(&uuid), "Queued");
    ipad.set_deaf(false);
    school.wait_until("another push", || {
        clock.advance(10 * MINUTE);
        school.server().context().ring_pusher();
        (ipad.pushes(Channel::Device).len() > 1).then_some(())
    });
    school.wait_for(&uuid, "Acknowledged");
}

#[test]
fn a_device_that_vanishes_between_two_commands_is_called_again() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let school = School::planned(Plan { clock: clock.clone(), ..Plan::default() });
    let ipad = school.enroll_deaf(Kind::Ipad, 1);
    let first = school.send(&ipad, "ProfileList", Value::Null);
    let second = school.send(&ipad, "SecurityInfo", Value::Null);
    let next = |school: &School| school.device(&ipad)["push"]["next"].as_str().map(str::to_owned);
    school.wait_until("the push to be filed", || next(&school));
    let mut caller = school.caller(Some(&ipad.identity()));
    assert_eq!(command_uuid(&caller.report(&wire::idle(&ipad.udid()))), Some(first.clone()));
    let done = caller.report(&wire::result("Acknowledged", &ipad.udid(), &first, &[]));
    assert_eq!(command_uuid(&done), Some(second.clone()));
    assert!(next(&school).is_some(), "it has work, and nobody else will remind it");
    assert_eq!(command_uuid(&caller.report(&wire::result("NotNow", &ipad.udid(), &second, &[]))), None);
    assert!(next(&school).is_some(), "also when it means to come back by itself");
    let before = ipad.pushes(Channel::Device).len();
    ipad.set_deaf(false);
    school.wait_until("another push", || {
        clock.advance(10 * MINUTE);
        school.server().context().ring_pusher();
        (ipad.pushes(Channel::Device).len() > before).then_some(())
    });
    school.wait_for(&second, "Acknowledged");
    assert_eq!(next(&school), None, "nothing waits, so nobody is called");
}

#[test]
fn only_what_has_not_been_sent_can_be_cancelled() {
    let school = School::new();
    let ipad = school.enroll_deaf(Kind::Ipad, 1);
    let cancel = |uuid: &str| school.api("DELETE", &format!("/commands/{uuid}"), &Value::Null);
    let mut caller = school.caller(Some(&ipad.identity()));
    let (uuid, udid) = (school.send(&ipad, "ProfileList", Value::Null), ipad.udid());

    let queued = school.send(&ipad, "SecurityInfo", Value::Null);
    assert_eq!(cancel(&queued).is(200)["state"], "Cancelled");
    assert!(school.explain(&queued).contains("cancelled"));
    cancel(&queued).is_problem(409, "already-finished");

    assert_eq!(command_uuid(&caller.report(&wire::idle(&udid))), Some(uuid.clone()));
    cancel(&uuid).is_problem(409, "already-sent");
    assert_eq!(command_uuid(&caller.report(&wire::result("NotNow", &udid, &uuid, &[]))), None);
    assert!(school.explain(&uuid).contains("not now"), "{}", school.explain(&uuid));
    assert_eq!(cancel(&uuid).is(200)["state"], "Cancelled");
    assert_eq!(command_uuid(&caller.report(&wire::idle(&udid))), None, "what is cancelled is not handed out");

    let done = school.send(&ipad, "ProfileList", Value::Null);
    ipad.poll(Channel::Device).unwrap();
    cancel(&done).is_problem(409, "already-finished");
    cancel("00000000-0000-4000-8000-000000000000").is_problem(404, "no-such-command");
}

#[test]
fn a_command_whose_time_is_over_expires() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let school = School::planned(Plan { clock: clock.clone(), ..Plan::default() });
    let ipad = school.enroll_deaf(Kind::Ipad, 1);
    let soon = clock.now().plus(HOUR).to_string();
    let dated = school.send(&ipad, "ProfileList", json!({ "expires_at": soon }));
    let lasting = school.send(&ipad, "SecurityInfo", json!({ "not_before": soon }));
    assert!(
        school.explain(&dated).contains(&format!("not fetched by {soon}, it expires")),
        "{}",
        school.explain(&dated)
    );
    assert!(school.explain(&lasting).contains(&format!("not to be sent before {soon}")));
    clock.advance(HOUR + MINUTE);
    ipad.poll(Channel::Device).unwrap();
    assert_eq!(school.state_of(&lasting), "Acknowledged");
    school.wait_for(&dated, "Expired");
    assert!(school.explain(&dated).contains("time was over"));
    assert_eq!(ipad.executed().len(), 1, "only the other one ran");
}

#[test]
fn misspelt_commands_are_refused_in_words() {
    let school = School::new();
    let ipad = school.enroll_deaf(Kind::Ipad, 1);
    school.try_send(&ipad, None, "deviceinformation", Value::Null).is_problem(400, "unknown-request-type");
    let why =
        school.try_send(&ipad, None, "DeviceInformation", json!({ "Querys": [] })).is_problem(400, "command-doubt");
    assert!(why.contains("Querys") || why.contains("Queries"), "{why}");
    let uuid = "11111111-2222-4333-8444-555555555555";
    let keys = json!({ "CommandUUID": uuid });
    assert_eq!(school.try_send(&ipad, None, "ProfileList", keys.clone()).is(201)["command_uuid"], uuid);
    school.try_send(&ipad, None, "ProfileList", keys).is_problem(409, "uuid-taken");
    school
        .api("POST", "/devices/nobody/commands", &json!({ "RequestType": "ProfileList" }))
        .is_problem(404, "no-such-device");
}

#[test]
fn a_result_too_large_to_read_ends_its_command() {
    let school = School::new();
    let ipad = school.enroll_deaf(Kind::Ipad, 1);
    let stranger = school.enroll_deaf(Kind::Ipad, 2);
    let uuid = school.send(&ipad, "InstalledApplicationList", Value::Null);
    let mut caller = school.caller(Some(&ipad.identity()));
    assert_eq!(command_uuid(&caller.report(&wire::idle(&ipad.udid()))), Some(uuid.clone()));
    let apps = wire::text(&"x".repeat(20 * 1024 * 1024));
    let huge = wire::result("Acknowledged", &ipad.udid(), &uuid, &[("InstalledApplicationList", apps)]);
    let forged = school.caller(Some(&stranger.identity())).report(&huge);
    assert_eq!(forged.status, 413, "it is not that device's command");
    assert_eq!(school.state_of(&uuid), "Sent");
    assert_eq!(caller.report(&huge).status, 200);
    let ended = school.command(&uuid);
    assert_eq!(ended["state"], "Error");
    assert_eq!(ended["error_chain"][0]["LocalizedDescription"], "result too large");
    assert_eq!(school.caller(None).report(&huge).status, 413, "nobody may make us read so much");
}
