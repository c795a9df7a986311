//! Network users of a Mac, over mutual TLS: let in by a digest, by name alone, or not at all; and what a channel may say with which
//! token. Nothing here is ever answered 401.

use crate::support::device::Handle;
use crate::support::wire::{check_in, text};
use crate::support::{Plan, School};
use cordon::base::time::{Clock, MINUTE, ManualClock, SystemClock};
use cordon::simulator::network_user::{LoginEnd, NetworkUser};
use cordon::simulator::spec::Kind;
use cordon::simulator::state::Channel;
use serde_json::{Value, json};
use std::sync::Arc;

const ANNA: &str = "6F1C2D3E-0A1B-4C2D-8E3F-112233445566";
const BEN: &str = "7F1C2D3E-0A1B-4C2D-8E3F-112233445566";

fn add(school: &School, name: &str, more: Value) {
    let mut wish = more;
    wish["short_name"] = json!(name);
    school.api("POST", "/users", &wish).is(201);
}

/// A Mac and a school with one person of each kind.
fn lab() -> (School, Arc<Handle>) {
    let school = School::new();
    let mac = school.enroll(Kind::Mac, 1);
    add(&school, "anna", json!({ "guids": [ANNA], "password": "roof" }));
    add(&school, "carl", json!({ "guids": ["C-1"] }));
    (school, mac)
}

fn logs_in(mac: &Handle, user: &mut NetworkUser) -> LoginEnd {
    mac.with(|device| user.log_in(device)).unwrap()
}

fn reports(mac: &Handle, user: &NetworkUser) -> u16 {
    mac.with(|device| user.report(device, "Idle", None)).unwrap().status
}

/// What the Mac's story says of the last login.
fn last_login(school: &School, mac: &Handle) -> Value {
    let story = school.device(mac)["timeline"].clone();
    let told = story.as_array().unwrap().iter().find(|line| line["kind"] == "network-user").cloned();
    told.unwrap_or_default()["detail"].clone()
}

#[test]
fn a_digest_opens_a_channel_and_its_token_keeps_it() {
    let (school, mac) = lab();
    for method in ["PUT", "POST", "GET"] {
        let mut anna = NetworkUser { method, ..NetworkUser::new("anna", ANNA, "roof") };
        assert_eq!(logs_in(&mac, &mut anna), LoginEnd::LetIn, "{method}");
    }
    let mut anna = NetworkUser::new("anna", ANNA, "roof");
    assert_eq!(logs_in(&mac, &mut anna), LoginEnd::LetIn);
    assert_eq!(last_login(&school, &mac)["result"], "let in");
    let users = school.get(&format!("/devices/{}/users", mac.udid()));
    assert!(users["items"].as_array().unwrap().iter().any(|u| u["short_name"] == "anna"), "{users}");
    let sent = school
        .api(
            "POST",
            &format!("/devices/{}/commands", mac.udid()),
            &json!({ "RequestType": "ProfileList", "user": "anna" }),
        )
        .is(201);
    let uuid = sent["command_uuid"].as_str().unwrap().to_owned();

    // Without the token, with another, or with the one before: no command, and no end of management.
    let before = anna.clone();
    assert_eq!(logs_in(&mac, &mut anna), LoginEnd::LetIn);
    for token in [None, Some(String::from("wrong")), Some(String::new()), before.auth_token] {
        let other = NetworkUser { auth_token: token, ..anna.clone() };
        assert_eq!(reports(&mac, &other), 400);
        assert_eq!(mac.with(|device| other.token_update(device)).unwrap().status, 400);
    }
    let handed = mac.with(|device| anna.report(device, "Idle", None)).unwrap();
    assert_eq!(crate::support::wire::command_uuid(&handed), Some(uuid.clone()));
    assert_eq!(mac.with(|device| anna.report(device, "Acknowledged", Some(&uuid))).unwrap().status, 200);
    school.wait_for(&uuid, "Acknowledged");
    // The device's own channel and the installer's need none.
    mac.poll(Channel::Device).unwrap();
    mac.poll(Channel::User).unwrap();

    // A wrong password does not end the login that was right.
    let mut wrong = NetworkUser { password: String::from("rooF"), ..anna.clone() };
    assert_eq!(logs_in(&mac, &mut wrong), LoginEnd::WrongPassword);
    assert_eq!(last_login(&school, &mac)["why"], "the password is not right");
    assert_eq!(reports(&mac, &anna), 200);
    assert_eq!(school.device(&mac)["state"], "Active");
}

#[test]
fn who_is_not_known_is_not_managed() {
    let (school, mac) = lab();
    let stranger = || NetworkUser::new("nobody", "E-1", "roof");
    // Everybody with a secret is known by record, so an unknown record is nobody.
    assert_eq!(logs_in(&mac, &mut stranger()), LoginEnd::NotManaged);
    assert_eq!(reports(&mac, &stranger()), 400, "and does not come in by the back door");
    assert_eq!(logs_in(&mac, &mut NetworkUser::new("carl", "C-1", "x")), LoginEnd::NotManaged, "no secret to ask for");

    // Ben's record is not known: his digest names him, and is remembered.
    add(&school, "ben", json!({ "password": "boat" }));
    let mut ben = NetworkUser::new("ben", BEN, "boat");
    assert_eq!(logs_in(&mac, &mut NetworkUser::new("ben", BEN, "boaT")), LoginEnd::WrongPassword);
    assert_eq!(logs_in(&mac, &mut stranger()), LoginEnd::NotManaged, "410 to the second request too");
    assert_eq!(logs_in(&mac, &mut ben), LoginEnd::LetIn);
    assert_eq!(school.get("/users/ben")["guids"][0]["guid"], BEN);
    // From now on his record is his: another name in its digest is a wrong password.
    assert_eq!(logs_in(&mac, &mut NetworkUser::new("anna", BEN, "roof")), LoginEnd::WrongPassword);

    school.api("PATCH", "/users/ben", &json!({ "disabled": true })).is(200);
    assert_eq!(logs_in(&mac, &mut ben), LoginEnd::NotManaged);
    assert_eq!(reports(&mac, &ben), 400, "the old token ended with it");
    let why = school
        .api(
            "POST",
            &format!("/devices/{}/commands", mac.udid()),
            &json!({ "RequestType": "ProfileList", "user": "dora" }),
        )
        .is_problem(404, "user-not-managed");
    assert!(why.contains("device profiles only"), "{why}");
}

#[test]
fn a_group_says_how_its_logins_are_dealt_with() {
    let (school, mac) = lab();
    let end = || logs_in(&mac, &mut NetworkUser::new("anna", ANNA, "roof"));
    school.api("PATCH", "/network-users", &json!({ "mode": "refuse" })).is(200);
    assert_eq!(end(), LoginEnd::NotManaged);
    school.api("POST", "/groups", &json!({ "name": "7a", "kind": "class", "login_mode": "known" })).is(201);
    school.api("POST", "/groups/7a/members", &json!({ "people": ["anna", "carl"] })).is(200);
    assert_eq!(end(), LoginEnd::WithoutSecret);
    let mut carl = NetworkUser::new("carl", "C-1", "");
    assert_eq!(logs_in(&mac, &mut carl), LoginEnd::WithoutSecret);
    assert_eq!(reports(&mac, &carl), 200);
    let second = mac.with(|device| carl.user_authenticate(device, Some("Digest x=y"))).unwrap();
    assert_eq!((second.status, second.body.len()), (200, 0), "a second request is not needed and does no harm");
    school
        .api(
            "POST",
            "/groups",
            &json!({ "name": "Macs", "filter": "platform = macOS", "kind": "smart", "login_mode": "digest" }),
        )
        .is(201);
    assert_eq!(end(), LoginEnd::LetIn, "the strictest counts");
    school.api("POST", "/groups", &json!({ "name": "Lab", "kind": "devices", "login_mode": "refuse" })).is(201);
    school.api("POST", "/groups/Lab/members", &json!({ "devices": [mac.udid()] })).is(200);
    assert_eq!(end(), LoginEnd::NotManaged);
}

#[test]
fn a_challenge_is_answered_once_soon_and_on_its_own_channel() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let school = School::planned(Plan { clock: clock.clone(), ..Plan::default() });
    let mac = school.enroll(Kind::Mac, 1);
    add(&school, "anna", json!({ "guids": [ANNA], "password": "roof" }));
    add(&school, "ben", json!({ "guids": [BEN], "password": "boat" }));
    let anna = NetworkUser::new("anna", ANNA, "roof");
    let challenge = |user: &NetworkUser| {
        let answer = mac.with(|device| user.user_authenticate(device, None)).unwrap();
        assert_eq!(answer.status, 200);
        cordon::plist::parse_dict(&answer.body).unwrap().string("DigestChallenge").unwrap().to_owned()
    };
    let token = |user: &NetworkUser, digest: &str| {
        let answer = mac.with(|device| user.user_authenticate(device, Some(digest))).unwrap();
        assert_eq!(answer.status, 200);
        cordon::plist::parse_dict(&answer.body).unwrap().string("AuthToken").unwrap().to_owned()
    };
    let used = anna.respond(&challenge(&anna)).unwrap();
    assert_ne!(token(&anna, &used), "");
    assert_eq!(token(&anna, &used), "", "once");
    let late = anna.respond(&challenge(&anna)).unwrap();
    clock.advance(3 * MINUTE);
    assert_eq!(token(&anna, &late), "", "soon");
    let stolen = anna.respond(&challenge(&NetworkUser::new("ben", BEN, "boat"))).unwrap();
    challenge(&anna);
    assert_eq!(token(&anna, &stolen), "", "on its own channel");
    let replaced = anna.respond(&challenge(&anna)).unwrap();
    let fresh = anna.respond(&challenge(&anna)).unwrap();
    assert_eq!(token(&anna, &replaced), "", "the latest");
    assert_ne!(token(&anna, &fresh), "");
    for junk in ["Digest", "Basic YTpi", "Digest username=\"anna\"", &"x".repeat(4_000), "Digest response=\"\u{0}\""] {
        assert_eq!(token(&anna, junk), "", "{junk}");
    }
}

#[test]
fn further_local_users_and_a_new_enrolment() {
    let (school, mac) = lab();
    let mut anna = NetworkUser::new("anna", ANNA, "roof");
    logs_in(&mac, &mut anna);
    // A local user that should never come is recorded, and served or not as the school says.
    let local = NetworkUser::new("lea", "L-1", "");
    assert_eq!(mac.with(|device| local.token_update(device)).unwrap().status, 200);
    assert!(school.device(&mac)["timeline"].to_string().contains("further-local-user"));
    let send = || {
        school.api(
            "POST",
            &format!("/devices/{}/commands", mac.udid()),
            &json!({ "RequestType": "ProfileList", "user": "lea" }),
        )
    };
    school.api("PATCH", "/network-users", &json!({ "serve_further_local_users": false })).is(200);
    send().is_problem(404, "user-not-managed");
    school.api("PATCH", "/network-users", &json!({ "serve_further_local_users": true })).is(200);
    let uuid = send().is(201)["command_uuid"].as_str().unwrap().to_owned();
    let idle = || mac.with(|device| local.report(device, "Idle", None)).unwrap();
    school.api("PATCH", "/network-users", &json!({ "serve_further_local_users": false })).is(200);
    assert_eq!((idle().status, idle().body.len()), (200, 0));
    school.api("PATCH", "/network-users", &json!({ "serve_further_local_users": true })).is(200);
    assert_eq!(crate::support::wire::command_uuid(&idle()), Some(uuid));

    // Enrolled anew: tokens are over, the installer is whoever comes first, and a network user logs in again.
    mac.enroll(&school.stand_in, &school.profile(&Value::Null));
    assert_eq!(reports(&mac, &anna), 400);
    assert_eq!(reports(&mac, &NetworkUser { auth_token: None, ..anna.clone() }), 400);
    mac.poll(Channel::User).unwrap();
    assert_eq!(logs_in(&mac, &mut anna), LoginEnd::LetIn);
    assert_eq!(reports(&mac, &anna), 200);

    // Only this Mac's certificate speaks for its users.
    let ipad = school.enroll(Kind::Ipad, 2);
    let mut caller = school.caller(Some(&ipad.identity()));
    let body = check_in("UserAuthenticate", &mac.udid(), &[("UserID", text(ANNA))]);
    assert_eq!(caller.check_in(&body).status, 400);
}
