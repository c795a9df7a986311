//! The office: push certificates, API tokens and their roles, the audit, pushes that Apple refuses.

use crate::support::{Plan, School, TOPIC};
use cordon::base::time::{Clock, DAY, ManualClock, SystemClock};
use cordon::pki::SystemRandom;
use cordon::pki::templates::new_root;
use cordon::simulator::spec::Kind;
use cordon::simulator::state::Channel;
use serde_json::{Value, json};
use std::sync::Arc;

const OTHER_TOPIC: &str = "com.apple.mgmt.External.other-school";

#[test]
fn a_wrong_push_certificate_is_refused_with_the_reason() {
    let school = School::bare(Plan::default());
    let import = |body: Value| school.api("POST", "/push-certificates", &body);
    let (certificate, key) = school.stand_in.push_certificate(TOPIC).unwrap();
    let (_, other_key) = school.stand_in.push_certificate(TOPIC).unwrap();
    let root = new_root("Nobody", SystemClock.now(), &SystemRandom);
    let (root_pem, root_key) = (root.certificate.to_pem(), root.key.to_pem().expose().clone());

    let why =
        import(json!({ "certificate_pem": certificate, "key_pem": other_key })).is_problem(400, "push-key-mismatch");
    assert!(why.contains("does not belong"), "{why}");
    let why = import(json!({ "certificate_pem": root_pem, "key_pem": root_key }))
        .is_problem(400, "push-certificate-no-topic");
    assert!(why.contains("com.apple.mgmt"), "{why}");
    import(json!({ "certificate_pem": certificate })).is_problem(400, "push-certificate-without-key");
    import(json!({ "certificate_pem": "nonsense", "key_pem": key })).is_problem(400, "push-certificate-unreadable");
    assert_eq!(school.get("/push-certificates")["items"], json!([]), "none of them was kept");

    let both = format!("{certificate}\n{key}");
    let taken = import(json!({ "certificate_pem": both })).is(201);
    assert_eq!((&taken["topic"], &taken["current"]), (&json!(TOPIC), &json!(true)));
}

#[test]
fn a_certificate_out_of_its_dates_is_refused() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let school = School::bare(Plan { clock: clock.clone(), ..Plan::default() });
    let (certificate, key) = school.stand_in.push_certificate(TOPIC).unwrap();
    clock.advance(800 * DAY);
    let body = json!({ "certificate_pem": certificate, "key_pem": key });
    let why = school.api("POST", "/push-certificates", &body).is_problem(400, "push-certificate-expired");
    assert!(why.contains("Renew it"), "{why}");
}

#[test]
fn the_topic_cannot_change_under_enrolled_devices_but_can_be_added() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    let (certificate, key) = school.stand_in.push_certificate(OTHER_TOPIC).unwrap();
    let mut body = json!({ "certificate_pem": certificate, "key_pem": key });
    let why = school.api("POST", "/push-certificates", &body).is_problem(409, "push-topic-changed");
    assert!(why.contains(OTHER_TOPIC) && why.contains(TOPIC) && why.contains("--additional"), "{why}");
    body["additional"] = json!(true);
    assert_eq!(school.api("POST", "/push-certificates", &body).is(201)["current"], json!(false));

    let (renewed, renewed_key) = school.stand_in.push_certificate(TOPIC).unwrap();
    school.api("POST", "/push-certificates", &json!({ "certificate_pem": renewed, "key_pem": renewed_key })).is(201);
    let current: Vec<Value> = school.get("/push-certificates")["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| json!([c["topic"], c["current"]]))
        .collect();
    assert_eq!(current, [json!([TOPIC, true]), json!([OTHER_TOPIC, false])]);
    let uuid = school.send(&ipad, "ProfileList", Value::Null);
    school.wait_for(&uuid, "Acknowledged");
}

#[test]
fn a_dead_token_is_not_pushed_until_the_device_sends_another() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    school.stand_in.unregister(&ipad.token(Channel::Device), SystemClock.now().plus(DAY));
    let first = school.send(&ipad, "ProfileList", Value::Null);
    let push = school.wait_until("the token to be dead", || {
        let push = school.device(&ipad)["push"].clone();
        (push["state"] == "dead").then_some(push)
    });
    assert!(push["why"].as_str().unwrap().contains("410"), "{push}");
    let tried = school.stand_in.counts().pushes;
    let second = school.send(&ipad, "SecurityInfo", Value::Null);
    let why = school.explain(&second);
    assert!(why.contains("cannot be called") && why.contains("new token"), "{why}");

    // A device that comes by itself is served all the same.
    ipad.poll(Channel::Device).unwrap();
    assert_eq!((school.state_of(&first), school.state_of(&second)), ("Acknowledged".into(), "Acknowledged".into()));
    let third = school.send(&ipad, "ProfileList", Value::Null);
    assert_eq!(school.device(&ipad)["push"]["state"], "dead");
    ipad.renew_token(&school.stand_in, Channel::Device);
    school.wait_for(&third, "Acknowledged");
    assert_eq!(school.stand_in.counts().pushes, tried + 1, "the dead token was left in peace");
    school.wait_until("the push to be filed", || (school.device(&ipad)["push"]["state"] == "ok").then_some(()));
}

#[test]
fn a_push_by_hand_reaches_the_device() {
    let school = School::new();
    let mac = school.enroll(Kind::Mac, 4);
    school.api("POST", &format!("/devices/{}/push?user={}", mac.udid(), mac.user()), &Value::Null).is(202);
    school.wait_until("the push", || (mac.pushes(Channel::User).len() == 1).then_some(()));
    assert!(mac.pushes(Channel::Device).is_empty());
}

#[test]
fn each_token_opens_what_its_role_may() {
    let school = School::new();
    let ipad = school.enroll_deaf(Kind::Ipad, 1);
    let (owner, helpdesk, auditor) = (school.token("owner"), school.token("helpdesk"), school.token("auditor"));
    let path = format!("/api/v1/devices/{}/commands", ipad.udid());
    let send = |token: &str, request_type: &str| {
        school.https(
            Some(token),
            "POST",
            &path,
            &json!({ "RequestType": request_type, "reason": "asked for by the office" }),
        )
    };
    let why = send(&auditor, "ProfileList").is_problem(403, "role-missing");
    assert!(why.contains("helpdesk"), "{why}");
    let sent = send(&helpdesk, "ProfileList").is(201);
    assert_eq!(sent["created_by"], "token:helpdesk");
    for destructive in ["EraseDevice", "DeviceLock", "ClearPasscode", "RemoveProfile"] {
        send(&helpdesk, destructive).is_problem(403, "role-missing");
    }
    send(&owner, "EraseDevice").is(201);

    let look = |token: Option<&str>, path: &str| school.https(token, "GET", path, &Value::Null);
    look(Some(&auditor), "/api/v1/devices").is(200);
    look(Some(&auditor), "/api/v1/audit").is(200);
    look(Some(&helpdesk), "/api/v1/audit").is_problem(403, "role-missing");
    look(Some(&auditor), "/api/v1/tokens").is_problem(403, "role-missing");
    school.https(Some(&helpdesk), "POST", "/api/v1/enrollments/profile", &Value::Null).is_problem(403, "role-missing");
    for stranger in [None, Some("cordon_nonsense"), Some("")] {
        look(stranger, "/api/v1/devices").is_problem(401, "login-needed");
    }

    let tokens = school.get("/tokens");
    let id = tokens["items"].as_array().unwrap().iter().find(|t| t["name"] == "auditor").unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(!tokens.to_string().contains("cordon_"), "a token is shown once");
    school.api("DELETE", &format!("/tokens/{id}"), &Value::Null).is(204);
    look(Some(&auditor), "/api/v1/devices").is_problem(401, "login-needed");
}

#[test]
fn a_token_ends_with_its_time() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let school = School::planned(Plan { clock: clock.clone(), ..Plan::default() });
    let made =
        school.api("POST", "/tokens", &json!({ "name": "script", "role": "auditor", "expires_in": "2d" })).is(201);
    let token = made["token"].as_str().unwrap();
    school.https(Some(token), "GET", "/api/v1/devices", &Value::Null).is(200);
    clock.advance(2 * DAY);
    school.https(Some(token), "GET", "/api/v1/devices", &Value::Null).is_problem(401, "login-needed");
}

#[test]
fn the_audit_is_whole_until_somebody_edits_it() {
    let school = School::new();
    let ipad = school.enroll_deaf(Kind::Ipad, 1);
    let uuid = school.send(&ipad, "ProfileList", Value::Null);
    school.api("DELETE", &format!("/commands/{uuid}"), &Value::Null).is(200);
    let rows = school.get("/audit");
    let verbs: Vec<&str> = rows["items"].as_array().unwrap().iter().map(|r| r["verb"].as_str().unwrap()).collect();
    assert_eq!(verbs, ["push-certificate.import", "enrollment.profile", "command.send", "command.cancel"]);
    let verdict = school.get("/audit/verify");
    assert_eq!(
        (&verdict["rows"], &verdict["broken_at"], &verdict["cut_before"]),
        (&json!(4), &Value::Null, &Value::Null)
    );

    let edit = |sql: &str| {
        let db = rusqlite::Connection::open(school.directory().join("cordon.db")).unwrap();
        db.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
        assert_eq!(db.execute(sql, []).unwrap(), 1);
    };
    edit("UPDATE audit SET actor = 'token:somebody-else' WHERE seq = 3");
    assert_eq!(school.get("/audit/verify")["broken_at"], 3);
    edit(&format!("UPDATE audit SET actor = '{}' WHERE seq = 3", rows["items"][2]["actor"].as_str().unwrap()));
    assert_eq!(school.get("/audit/verify")["broken_at"], Value::Null);
    edit("DELETE FROM audit WHERE seq = 2");
    assert_eq!(school.get("/audit/verify")["broken_at"], 3);
}
