//! What is kept, and the one way out.

use super::{REASON, kept};
use crate::support::api::Reply;
use crate::support::hidden::assert_hidden;
use crate::support::wire::{self, idle};
use crate::support::{Plan, School};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon::base::random::bytes;
use cordon::base::secret::Secret;
use cordon::base::time::{Clock, HOUR, ManualClock, SystemClock};
use cordon::http::control::Client;
use cordon::pki::SystemRandom;
use cordon::plist::{Dictionary, Value as Plist};
use cordon::service::actor::{Actor, Role};
use cordon::service::people;
use cordon::service::revealing::{self, Asked};
use cordon::simulator::spec::Kind;
use serde_json::{Value, json};
use std::sync::Arc;

#[test]
fn a_bypass_code_is_asked_for_by_itself_and_taken_out_of_the_answer() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    assert_eq!(school.secrets(&ipad), [kept("unlock-token", 1, "confirmed")], "nobody knows yet that it is supervised");
    let uuid = school.send(&ipad, "DeviceInformation", json!({ "Queries": ["IsSupervised"] }));
    school.wait_for(&uuid, "Acknowledged");
    let secrets = school.wait_until("the bypass code", || Some(school.secrets(&ipad)).filter(|s| s.len() == 2));
    assert_eq!(secrets[0], kept("activation-lock-code", 1, "confirmed"));
    let code = school.reveal(&ipad, "activation-lock-code")["value"].as_str().unwrap().to_owned();
    assert_eq!(code.len(), 31, "{code}");
    let list = school.get(&format!("/commands?device={}", ipad.udid()));
    let asked =
        list["items"].as_array().unwrap().iter().find(|c| c["request_type"] == "ActivationLockBypassCode").unwrap();
    assert_eq!(asked["created_by"], "job:custody");
    let shown = school.command(asked["command_uuid"].as_str().unwrap());
    assert_eq!(shown["result"]["ActivationLockBypassCode"], json!({ "sealed": "activation-lock-code" }));
    assert_eq!(school.told(&ipad, "secret-kept").len(), 1);

    // Asked once in this enrolment; known as supervised, it is asked again right after the next one.
    let again = school.send(&ipad, "DeviceInformation", json!({ "Queries": ["IsSupervised"] }));
    school.wait_for(&again, "Acknowledged");
    let count = |school: &School| {
        let list = school.get(&format!("/commands?device={}", ipad.udid()));
        list["items"].as_array().unwrap().iter().filter(|c| c["request_type"] == "ActivationLockBypassCode").count()
    };
    assert_eq!(count(&school), 1);
    ipad.enroll(&school.stand_in, &school.profile(&Value::Null));
    school.wait_until("the second question", || (count(&school) == 2).then_some(()));
    assert_hidden(&school, "the bypass code", code.as_bytes());
}

#[test]
fn planted_secrets_of_every_kind_show_nowhere_and_come_back_whole() {
    let school = School::new();
    let mac = school.enroll_deaf(Kind::Mac, 4);
    let udid = mac.udid();
    let random: [u8; 96] = bytes(&SystemRandom);
    let (pin, lock, firmware) = ("482913", hex::encode(&random[..16]), hex::encode(&random[16..32]));
    let (escrowed, rotated) = (random[32..64].to_vec(), random[64..96].to_vec());
    let dictionary = |key: &str, value: Plist| Plist::Dictionary(Dictionary::from_iter([(key.to_owned(), value)]));
    type Asked<'a> = (&'a str, Value, Vec<(&'a str, Plist)>);
    let steps: [Asked<'_>; 5] = [
        ("DeviceLock", json!({ "PIN": pin }), vec![]),
        ("SetRecoveryLock", json!({ "NewPassword": lock }), vec![]),
        (
            "SetFirmwarePassword",
            json!({ "NewPassword": firmware }),
            vec![("SetFirmwarePassword", dictionary("PasswordChanged", Plist::Boolean(true)))],
        ),
        (
            "SecurityInfo",
            Value::Null,
            vec![("SecurityInfo", dictionary("FDE_PersonalRecoveryKeyCMS", Plist::Data(escrowed.clone())))],
        ),
        (
            "RotateFileVaultKey",
            json!({ "KeyType": "personal", "FileVaultUnlock": { "Password": "x" }, "ReplyEncryptionCertificate": "AAAA" }),
            vec![("RotateResult", dictionary("EncryptedNewRecoveryKey", Plist::Data(rotated.clone())))],
        ),
    ];
    let mut caller = school.caller(Some(&mac.identity()));
    for (request_type, keys, answer) in steps {
        let uuid = school.send(&mac, request_type, keys);
        assert_eq!(wire::command_uuid(&caller.report(&idle(&udid))), Some(uuid.clone()));
        assert_eq!(caller.report(&wire::result("Acknowledged", &udid, &uuid, &answer)).status, 200);
    }
    let wanted = [
        kept("filevault-key", 2, "confirmed"),
        kept("filevault-key", 1, "confirmed"),
        kept("firmware-password", 1, "confirmed"),
        kept("lock-pin", 1, "confirmed"),
        kept("recovery-lock", 1, "confirmed"),
    ];
    assert_eq!(school.secrets(&mac), wanted);
    for (kind, value) in [
        ("lock-pin", pin.to_owned()),
        ("recovery-lock", lock.clone()),
        ("firmware-password", firmware.clone()),
        ("filevault-key", STANDARD.encode(&rotated)),
    ] {
        let shown = school.reveal(&mac, kind);
        assert_eq!((&shown["value"], &shown["kind"]), (&json!(value), &json!(kind)));
        assert_eq!(shown.as_object().unwrap().len(), 4, "{shown}");
    }
    for (what, secret) in [
        ("recovery lock", lock.as_bytes()),
        ("firmware", firmware.as_bytes()),
        ("escrowed", &escrowed),
        ("rotated", &rotated),
    ] {
        assert_hidden(&school, what, secret);
    }
    let first = school.of(&mac, "secrets/filevault-key/reveal", &json!({ "reason": REASON, "generation": 1 })).is(200);
    assert_eq!(first["value"], json!(STANDARD.encode(&escrowed)));
}

#[test]
fn a_password_is_pending_until_the_mac_has_it_and_the_old_one_stays_in_force() {
    let school = School::new();
    let mac = school.enroll_deaf(Kind::Mac, 4);
    let udid = mac.udid();
    let mut caller = school.caller(Some(&mac.identity()));
    let mut set = |password: &str, status: &str| {
        let uuid = school.send(&mac, "SetRecoveryLock", json!({ "NewPassword": password }));
        assert_eq!(school.secrets(&mac)[0].2, "pending");
        caller.report(&idle(&udid));
        caller.report(&wire::result(status, &udid, &uuid, &[]));
    };
    set("first password", "Acknowledged");
    set("second password", "Error");
    assert_eq!(school.secrets(&mac), [kept("recovery-lock", 2, "unconfirmed"), kept("recovery-lock", 1, "confirmed")]);
    assert_eq!(school.reveal(&mac, "recovery-lock")["value"], "first password");
    set("", "Acknowledged");
    let list = school.get(&format!("/devices/{udid}/secrets"));
    assert_eq!((&list["items"][0]["has_value"], &list["items"][0]["state"]), (&json!(false), &json!("confirmed")));
    assert!(list["items"][2]["withdrawn_at"].is_string(), "cleared: {list}");
}

#[test]
fn history_survives_unenrolment_and_a_new_enrolment() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    let first = school.reveal(&ipad, "unlock-token")["value"].clone();
    ipad.with(|d| d.remove_management());
    assert_eq!(school.reveal(&ipad, "unlock-token")["value"], first, "kept although it has gone");
    ipad.enroll(&school.stand_in, &school.profile(&Value::Null));
    assert_eq!(school.secrets(&ipad), [kept("unlock-token", 2, "confirmed"), kept("unlock-token", 1, "confirmed")]);
    let own = ipad.with(|d| STANDARD.encode(&d.state().unlock_token.as_ref().unwrap().0));
    assert_eq!(school.reveal(&ipad, "unlock-token")["value"], json!(own));
    let old = school.of(&ipad, "secrets/unlock-token/reveal", &json!({ "reason": REASON, "generation": 1 })).is(200);
    assert_eq!(old["value"], first);
}

#[test]
fn every_look_is_audited_and_refusals_show_nothing() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    let path = "secrets/unlock-token/reveal";
    school.of(&ipad, path, &json!({})).is_problem(400, "reason-needed");
    school.of(&ipad, path, &json!({ "reason": "  because  " })).is_problem(400, "reason-needed");
    school.of(&ipad, "secrets/diary/reveal", &json!({ "reason": REASON })).is_problem(400, "unknown-secret-kind");
    school.of(&ipad, "secrets/lock-pin/reveal", &json!({ "reason": REASON })).is_problem(404, "no-such-secret");
    school.of(&ipad, path, &json!({ "reason": REASON, "generation": 9 })).is_problem(404, "no-such-secret");
    let whole = format!("/api/v1/devices/{}/{path}", ipad.udid());
    for (role, id) in [
        ("owner", "not-for-scripts"),
        ("admin", "not-for-scripts"),
        ("helpdesk", "role-missing"),
        ("auditor", "role-missing"),
    ] {
        let token = school.token(role);
        school.https(Some(&token), "POST", &whole, &json!({ "reason": REASON })).is_problem(403, id);
    }
    let auditor = school.token("auditor");
    let list =
        school.https(Some(&auditor), "GET", &format!("/api/v1/devices/{}/secrets", ipad.udid()), &Value::Null).is(200);
    assert_eq!(list["items"][0]["kind"], "unlock-token");
    assert!(list["items"][0].get("value").is_none());
    assert_eq!(school.audited("secret.reveal").len(), 0);

    let reply =
        school.as_person("ada", "POST", &format!("/devices/{}/{path}", ipad.udid()), &json!({ "reason": REASON }));
    assert!(reply.headers.iter().any(|(name, value)| name == "cache-control" && value == "no-store"));
    reply.is(200);
    let rows = school.audited("secret.reveal");
    assert_eq!((rows.len(), &rows[0]["actor"]), (1, &json!(super::local("ada"))));
    assert_eq!(rows[0]["subject"], school.device(&ipad)["id"]);
    assert_eq!(
        rows[0]["detail"],
        json!({ "kind": "unlock-token", "generation": 1, "reason": REASON, "request": null })
    );
    assert_eq!(school.told(&ipad, "secret-revealed")[0]["detail"]["reason"], json!(REASON));
    assert_eq!(school.get("/audit/verify")["broken_at"], Value::Null);
}

#[test]
fn under_the_two_person_rule_somebody_else_agrees_once_and_within_the_hour() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let school = School::planned(Plan { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..Plan::default() });
    let ipad = school.enroll(Kind::Ipad, 1);
    let owner = school.token("owner");
    school
        .https(Some(&owner), "POST", "/api/v1/secret-rule", &json!({ "two_person": true }))
        .is_problem(403, "not-for-scripts");
    school.api("POST", "/secret-rule", &json!({ "two_person": true })).is(200);
    let path = format!("/devices/{}/secrets/unlock-token/reveal", ipad.udid());
    let ask = |user: &str| school.as_person(user, "POST", &path, &json!({ "reason": REASON }));
    let approve =
        |user: &str, id: &str| school.as_person(user, "POST", &format!("/secret-requests/{id}/approve"), &json!({}));
    let open = || school.get("/secret-requests")["items"].as_array().unwrap().clone();

    let words = ask("ada").is_problem(409, "second-person-needed");
    ask("ada").is_problem(409, "second-person-needed");
    assert_eq!(open().len(), 1, "asking twice is one request");
    let id = open()[0]["id"].as_str().unwrap().to_owned();
    assert!(words.contains(&id));
    approve("ada", &id).is_problem(403, "own-secret-request");
    // Over the real socket nobody becomes somebody else by saying so.
    let claim = |name: &str, path: &str, body: &Value| {
        let client = Client::new(school.server().socket().0);
        let headers = [("X-Cordon-Local-User", name), ("Cordon-Uid", "4711")];
        let answer = client.request("POST", &format!("/api/v1{path}"), &headers, body.to_string().as_bytes()).unwrap();
        Reply { status: answer.0, headers: answer.1, body: answer.2 }
    };
    let words = claim("eve", &path, &json!({ "reason": REASON })).is_problem(409, "second-person-needed");
    let hers = open().into_iter().map(|r| r["id"].as_str().unwrap().to_owned()).find(|id| words.contains(id)).unwrap();
    for name in ["eve", "mallory"] {
        claim(name, &format!("/secret-requests/{hers}/approve"), &json!({})).is_problem(403, "own-secret-request");
    }
    let admin = school.token("admin");
    school
        .https(Some(&admin), "POST", &format!("/api/v1/secret-requests/{id}/approve"), &json!({}))
        .is_problem(403, "not-for-scripts");
    assert_eq!(approve("grace", &id).is(200)["approved_by"], super::local("grace"));
    approve("emmy", &id).is_problem(404, "no-such-secret-request");
    ask("emmy").is_problem(409, "second-person-needed");
    assert!(ask("ada").is(200)["value"].is_string());
    ask("ada").is_problem(409, "second-person-needed");
    assert_eq!(school.audited("secret.reveal")[0]["detail"]["request"], json!(id));
    assert_eq!(school.audited("secret.approve").len(), 1);

    // An agreement that nobody used in time is over, and so is a request.
    let mine = open().into_iter().find(|r| r["asked_by"] == super::local("ada")).unwrap();
    let id = mine["id"].as_str().unwrap().to_owned();
    approve("grace", &id).is(200);
    clock.advance(HOUR + 1);
    ask("ada").is_problem(409, "second-person-needed");
    let id = open()[0]["id"].as_str().unwrap().to_owned();
    clock.advance(HOUR + 1);
    approve("grace", &id).is_problem(404, "no-such-secret-request");
    assert_eq!(school.audited("secret.reveal").len(), 1);
}

#[test]
fn somebody_who_is_logged_in_by_name_gives_the_password_again() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    let cx = school.server().context();
    let local = Actor::LocalShell { user: String::from("ada") };
    let password = "hollow birch seventy lanterns";
    people::create(cx, &local, "grace", "admin", &Secret::new(password.to_owned())).unwrap();
    let grace = Actor::Admin { name: String::from("grace"), role: Role::Admin, session: 1, from: String::from("test") };
    let ask = |password: Option<&str>| {
        let password = password.map(|p| Secret::new(p.to_owned()));
        let asked =
            Asked { kind: String::from("unlock-token"), generation: None, reason: String::from(REASON), password };
        revealing::reveal(cx, &grace, &ipad.udid(), &asked)
    };
    for wrong in [None, Some("hollow birch seventy lantern")] {
        assert_eq!(ask(wrong).unwrap_err().public.id(), "password-needed");
    }
    assert_eq!(school.audited("secret.reveal").len(), 0);
    assert!(ask(Some(password)).is_ok());
    assert_eq!(school.audited("secret.reveal")[0]["actor"], "admin:grace");
    assert_hidden(&school, "the password", password.as_bytes());
}
