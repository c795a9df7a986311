//! One profile for each account: what happens to one account happens to its profile alone, passwords leave no trace once devices have them,
//! and certificates are replaced one account at a time.

use super::{assign, until};
use crate::lifecycle::Timed;
use crate::support::School;
use crate::support::device::Handle;
use crate::support::hidden::{assert_hidden_in, everything, files};
use crate::users::profiles::{add, mobileconfig, upload};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon::base::random::bytes;
use cordon::base::secret::Secret;
use cordon::pki::x509::Certificate;
use cordon::pki::{SystemRandom, cms, pkcs12};
use cordon::plist::{Value as Plist, parse_dict};
use cordon::service::accounts;
use cordon::simulator::spec::Kind;
use cordon::simulator::state::Channel;
use cordon::store::StoreError;
use serde_json::{Value, json};

/// A password that nobody else has.
pub fn password() -> String {
    hex::encode(bytes::<20>(&SystemRandom))
}

pub fn add_account(school: &School, wish: &Value) -> Value {
    school.api("POST", "/accounts", wish).is(201)
}

pub fn id(account: &Value) -> String {
    account["id"].as_str().unwrap().to_owned()
}

fn mail(device: &Handle, password: Option<&str>) -> Value {
    json!({ "kind": "mail", "name": "School mail", "device": device.udid(), "password": password, "settings": {
        "EmailAccountType": "EmailTypeIMAP", "EmailAddress": "{{device.serial}}@hill.example",
        "IncomingMailServerAuthentication": "EmailAuthPassword", "IncomingMailServerHostName": "mail.hill.example",
        "OutgoingMailServerAuthentication": "EmailAuthPassword", "OutgoingMailServerHostName": "mail.hill.example" } })
}

pub fn calendar(holder: Value, password: Option<&str>) -> Value {
    let mut wish = json!({ "kind": "caldav", "name": "Calendar", "password": password,
        "settings": { "CalDAVHostName": "cal.hill.example", "CalDAVUsername": "anna" } });
    wish.as_object_mut().unwrap().extend(holder.as_object().unwrap().clone());
    wish
}

/// What stands on a device under this identifier, without its signature.
pub fn body(device: &Handle, channel: Channel, account: &Value) -> Option<Vec<u8>> {
    let identifier = account["identifier"].as_str().unwrap();
    let all = device.with(|d| d.state().profiles.clone());
    let found = all.into_iter().find(|p| p.channel == channel && p.identifier == identifier)?;
    Some(cms::verify_attached(&found.profile.0).unwrap().content)
}

fn holds(body: &[u8], text: &str) -> bool {
    String::from_utf8_lossy(body).contains(text)
}

/// Waits until every device has this version, and the credential is forgotten.
pub fn settled(school: &School, account: &Value, version: i64) -> Value {
    school.wait_until(&format!("version {version} everywhere"), || {
        let shown = school.get(&format!("/accounts/{}", id(account)));
        let done = shown["version"] == version && shown["installed"].as_i64() >= Some(1) && shown["waiting"] == 0;
        (done && shown["credential_kept"] == false).then_some(shown)
    })
}

fn count(device: &Handle, request_type: &str) -> usize {
    device.executed().iter().filter(|e| e.request_type == request_type).count()
}

/// Nothing sealed is left of the account or of the commands that brought it.
fn assert_forgotten(school: &School, account: &Value, device: &Handle) {
    let row: Result<_, StoreError> =
        school.server().context().store.read(|db| db.find_account(account["id"].as_str().unwrap()));
    assert!(row.unwrap().unwrap().sealed_credential.is_none());
    for executed in device.executed().iter().filter(|e| e.request_type == "InstallProfile") {
        let command: Result<_, StoreError> =
            school.server().context().store.read(|db| db.find_command(&executed.command_uuid));
        // What is not an account's may wait for the next purge.
        let command = command.unwrap();
        let sealed = command.and_then(|command| command.sealed_plist);
        let opened = sealed
            .map(|blob| school.server().context().open(&format!("command/{}", executed.command_uuid), &blob).unwrap());
        let identifier = account["identifier"].as_str().unwrap().as_bytes();
        assert!(opened.is_none_or(|plist| !plist.expose().windows(identifier.len()).any(|w| w == identifier)));
    }
}

#[test]
fn a_new_password_replaces_exactly_one_profile_and_leaves_no_trace() {
    let mut school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    add(&school, "p.wifi", "com.apple.wifi.managed");
    assign(&school, "p.wifi", &json!({ "device": ipad.udid() }));
    let (first, second, other) = (password(), password(), password());
    let mail = add_account(&school, &mail(&ipad, Some(&first)));
    let dates = add_account(&school, &calendar(json!({ "device": ipad.udid() }), Some(&other)));
    let (shown, _) = (settled(&school, &mail, 1), settled(&school, &dates, 1));
    assert_eq!((&shown["holder_kind"], &shown["credential"]), (&json!("device"), &json!("password")));
    assert!(shown["credential_delivered_at"].is_string());
    let serial = school.device(&ipad)["serial"].as_str().unwrap().to_owned();
    let there = body(&ipad, Channel::Device, &mail).unwrap();
    assert!(holds(&there, &first) && holds(&there, &format!("{serial}@hill.example")), "variables are filled in");
    let beside = body(&ipad, Channel::Device, &dates).unwrap();
    assert!(holds(&beside, &other) && !holds(&beside, &first));
    school.wait_until("the Wi-Fi", || (school.get("/profiles/p.wifi")["installed"] == 1).then_some(()));

    // A new password: one command, one profile; the other account's password was needed by nobody.
    let before = count(&ipad, "InstallProfile");
    school.api("POST", &format!("/accounts/{}/password", id(&mail)), &json!({ "password": second })).is(200);
    settled(&school, &mail, 2);
    assert_eq!(count(&ipad, "InstallProfile"), before + 1);
    let there = body(&ipad, Channel::Device, &mail).unwrap();
    assert!(holds(&there, &second) && !holds(&there, &first));
    assert_eq!(body(&ipad, Channel::Device, &dates).unwrap(), beside, "untouched");
    assert_forgotten(&school, &mail, &ipad);
    assert_forgotten(&school, &dates, &ipad);

    // A repair installs that profile once more; the password is not known here, so the device asks its user.
    let path = format!("/accounts/{}/repair", id(&mail));
    let repaired = school.api("POST", &path, &json!({ "device": ipad.udid() })).is(200);
    assert!(repaired["notes"].to_string().contains("not kept here"), "{repaired}");
    school.wait_until("the repair", || (count(&ipad, "InstallProfile") == before + 2).then_some(()));
    settled(&school, &mail, 2);
    assert!(!holds(&body(&ipad, Channel::Device, &mail).unwrap(), &second));
    let away = school.enroll(Kind::Ipad, 2);
    school.api("POST", &path, &json!({ "device": away.udid() })).is_problem(409, "not-on-device");

    // Settings change, the name stays; then it goes, and the others stay.
    let change = json!({ "settings": { "CalDAVHostName": "new.hill.example" }, "password": other });
    school.api("PATCH", &format!("/accounts/{}", id(&dates)), &change).is(200);
    settled(&school, &dates, 2);
    assert!(holds(&body(&ipad, Channel::Device, &dates).unwrap(), "new.hill.example"));
    school.api("DELETE", &format!("/accounts/{}", id(&mail)), &Value::Null).is(204);
    let left = ["p.wifi", dates["identifier"].as_str().unwrap()].map(str::to_owned);
    let mut left: Vec<&str> = left.iter().map(String::as_str).collect();
    left.sort_unstable();
    until(&school, &ipad, Channel::Device, &left);
    assert_eq!((count(&ipad, "InstallProfile"), count(&ipad, "RemoveProfile")), (before + 3, 1));
    school.api("GET", &format!("/accounts/{}", id(&mail)), &Value::Null).is_problem(404, "no-such-account");

    // Nowhere: files, a copy of them, log, every answer.
    let mut places = everything(&school);
    for path in ["/accounts", &format!("/accounts/{}", id(&dates)), "/profiles"] {
        places.push((path.to_owned(), school.api("GET", path, &Value::Null).body));
    }
    let search = |places: &[(String, Vec<u8>)]| {
        for (what, secret) in [("the first", &first), ("the second", &second), ("the calendar's", &other)] {
            assert_hidden_in(places, what, secret.as_bytes());
        }
    };
    search(&places);
    school.stop();
    search(&files(&school.directory()));
}

#[test]
fn an_account_is_one_holders_and_its_settings_hold_no_secret() {
    let school = School::new();
    let ipad = school.enroll_deaf(Kind::Ipad, 1);
    let device = json!({ "device": ipad.udid() });
    let wifi = |settings: Value| json!({ "kind": "wifi", "name": "w", "device": ipad.udid(), "settings": settings });
    let refused: [(Value, u16, &str); 8] = [
        (json!({ "kind": "smoke", "name": "x", "user": "a" }), 400, "bad-argument"),
        (json!({ "kind": "caldav", "name": "x" }), 400, "one-holder"),
        (json!({ "kind": "caldav", "name": "x", "user": "a", "device": ipad.udid() }), 400, "one-holder"),
        (wifi(json!({ "SSID_STR": "s", "Password": "secret" })), 400, "secret-in-settings"),
        (
            wifi(json!({ "SSID_STR": "s", "EAPClientConfiguration": { "UserPassword": "x" } })),
            400,
            "secret-in-settings",
        ),
        (wifi(json!({ "SSID_STR": 7 })), 400, "bad-argument"),
        (wifi(json!({ "SSID_STR": "{{nobody.knows}}" })), 400, "no-variable"),
        (
            json!({ "kind": "caldav", "name": "x", "user": "a", "settings": { "CalDAVHostName": "c" }, "credential": "certificate" }),
            400,
            "no-certificate-there",
        ),
    ];
    for (wish, status, id) in refused {
        school.api("POST", "/accounts", &wish).is_problem(status, id);
    }
    let made = add_account(&school, &calendar(device.clone(), Some("tin roof in may")));
    assert_eq!((&made["credential_kept"], &made["waiting"]), (&json!(true), &json!(1)));
    // Its profile is the account's: nobody changes it by another door, and it stands with the accounts.
    let profile = made["identifier"].as_str().unwrap();
    school.api("DELETE", &format!("/profiles/{profile}"), &Value::Null).is_problem(409, "profile-of-account");
    school.api("POST", &format!("/profiles/{profile}/assign"), &device).is_problem(409, "profile-of-account");
    upload(&school, &mobileconfig(profile, &["com.apple.dock"], "1")).is_problem(409, "profile-of-account");
    assert_eq!(school.get("/profiles")["items"], json!([]));
    // A password that no device fetches is not kept for ever.
    let cx = school.server().context();
    let row: Result<_, StoreError> =
        cx.store.read(|db| db.list_stale_credentials(cx.now().plus(accounts::KEPT_AT_MOST), 10).map(|rows| rows.len()));
    assert_eq!(row.unwrap(), 1);
    school.api("DELETE", &format!("/accounts/{}", id(&made)), &Value::Null).is(204);
    let row: Result<_, StoreError> = cx.store.read(|db| db.find_account_of_profile(1));
    assert!(row.unwrap().unwrap().sealed_credential.is_none(), "gone with the account");
}

/// The certificate in an account's profile on a device, with the UUID of its payload; its key opens with the password beside it.
fn certificate(device: &Handle, account: &Value) -> (Certificate, String) {
    let body = body(device, Channel::Device, account).unwrap();
    let profile = parse_dict(&body).unwrap().into_dictionary();
    let content = profile["PayloadContent"].as_array().unwrap();
    let (identity, own) = (content[0].as_dictionary().unwrap(), content[1].as_dictionary().unwrap());
    let text = |key: &str| identity[key].as_string().unwrap().to_owned();
    assert_eq!(own["PayloadCertificateUUID"], Plist::String(text("PayloadUUID")));
    let (key, certificate) =
        pkcs12::read(identity["PayloadContent"].as_data().unwrap(), &Secret::new(text("Password"))).unwrap();
    assert!(certificate.key_matches(&key));
    (certificate, text("PayloadUUID"))
}

#[test]
fn certificates_are_replaced_one_account_at_a_time_as_they_end() {
    let timed = Timed::new();
    let school = &timed.school;
    let ipad = timed.enroll(Kind::Ipad, 1);
    let wish = |name: &str| {
        json!({ "kind": "wifi", "name": name, "device": ipad.udid(), "credential": "certificate",
            "settings": { "SSID_STR": name, "EncryptionType": "WPA2", "EAPClientConfiguration": { "AcceptEAPTypes": [13] } } })
    };
    let wifi = add_account(school, &wish("School"));
    settled(school, &wifi, 1);
    timed.days(20);
    let lab = add_account(school, &wish("Lab"));
    settled(school, &lab, 1);
    let (first, uuid) = certificate(&ipad, &wifi);
    let (labs, _) = certificate(&ipad, &lab);
    let serial = school.device(&ipad)["serial"].as_str().unwrap().to_owned();
    assert_eq!(first.subject_common_name().unwrap(), serial);
    assert_forgotten(school, &wifi, &ipad);
    let upkeep = || {
        accounts::upkeep(school.server().context(), true).unwrap();
        ipad.poll(Channel::Device).unwrap();
    };
    // It is an account's credential, and opens no door of a device.
    let register: Result<_, StoreError> =
        school.server().context().store.read(|db| db.find_certificate(&first.fingerprint()));
    assert_eq!(register.unwrap().unwrap().issued_profile, None);
    upkeep();
    assert_eq!(certificate(&ipad, &wifi).0, first, "nothing is due");
    let ends = school.get("/expiry");
    let line = ends["items"].as_array().unwrap().iter().find(|one| one["kind"] == "account-certificates").unwrap();
    assert_eq!((&line["count"], &line["renewal"]), (&json!(2), &json!("alone")));

    // A month before the first one's end, only that one is replaced.
    timed.days(316);
    upkeep();
    settled(school, &wifi, 2);
    let (renewed, next) = certificate(&ipad, &wifi);
    assert!(renewed != first && next != uuid && renewed.not_after().since(first.not_after()) > 300 * 86_400_000);
    assert_eq!(certificate(&ipad, &lab).0, labs, "the other account is not touched");
    assert_eq!(school.get(&format!("/accounts/{}", id(&lab)))["version"], 1);
    let old: Result<_, StoreError> =
        school.server().context().store.read(|db| db.find_certificate(&first.fingerprint()));
    assert!(old.unwrap().unwrap().revoked_at.is_some(), "worth nothing once the device has the new one");
    // Then the other.
    timed.days(20);
    upkeep();
    settled(school, &lab, 2);
    assert_ne!(certificate(&ipad, &lab).0, labs);
    assert_eq!(certificate(&ipad, &wifi).0, renewed);
    // The key is on the device alone: a repair makes a new one.
    school.api("POST", &format!("/accounts/{}/repair", id(&lab)), &json!({})).is(200);
    ipad.poll(Channel::Device).unwrap();
    settled(school, &lab, 3);
    let current = certificate(&ipad, &lab).0;
    school.api("DELETE", &format!("/accounts/{}", id(&lab)), &Value::Null).is(204);
    let row: Result<_, StoreError> =
        school.server().context().store.read(|db| db.find_certificate(&current.fingerprint()));
    assert!(row.unwrap().unwrap().revoked_at.is_some(), "and with the account it ends");
}

#[test]
fn a_certificate_is_made_anew_where_a_variable_stands_for_something_else_by_now() {
    let timed = Timed::new();
    let school = &timed.school;
    let ipad = timed.enroll(Kind::Ipad, 1);
    let room = |value: &str| {
        school.api("PATCH", &format!("/devices/{}/fields", ipad.udid()), &json!({ "room": value })).is(200);
    };
    room("12");
    let wish = json!({ "kind": "wifi", "name": "Room", "device": ipad.udid(), "credential": "certificate",
        "settings": { "SSID_STR": "Room {{device.room}}", "EncryptionType": "WPA2", "EAPClientConfiguration": { "AcceptEAPTypes": [13] } } });
    let made = add_account(school, &wish);
    settled(school, &made, 1);
    let (first, _) = certificate(&ipad, &made);
    assert!(holds(&body(&ipad, Channel::Device, &made).unwrap(), "Room 12"));
    // The key is with the device alone, so what is sent anew needs another.
    room("13");
    accounts::upkeep(school.server().context(), true).unwrap();
    ipad.poll(Channel::Device).unwrap();
    settled(school, &made, 2);
    assert!(holds(&body(&ipad, Channel::Device, &made).unwrap(), "Room 13"));
    assert_ne!(certificate(&ipad, &made).0, first);
}

#[test]
fn a_profile_with_several_accounts_is_split_and_its_assignments_handed_over() {
    let school = School::new();
    let (ipad, other) = (school.enroll(Kind::Ipad, 1), school.enroll(Kind::Ipad, 2));
    let types = ["com.apple.wifi.managed", "com.apple.mail.managed", "com.apple.caldav.account"];
    let told = upload(&school, &mobileconfig("p.all", &types, "1")).is(201);
    assert!(told["notes"].to_string().contains("cordon profile split"), "{told}");
    for device in [&ipad, &other] {
        assign(&school, "p.all", &json!({ "device": device.udid() }));
        until(&school, device, Channel::Device, &["p.all"]);
    }
    let made = school.api("POST", "/profiles/p.all/split", &Value::Null).is(200);
    let names: Vec<&str> =
        made["items"].as_array().unwrap().iter().map(|one| one["identifier"].as_str().unwrap()).collect();
    assert_eq!(names, ["p.all.mail", "p.all.caldav"]);
    for device in [&ipad, &other] {
        until(&school, device, Channel::Device, &["p.all", "p.all.caldav", "p.all.mail"]);
        // The old profile lost its accounts before they came back.
        assert_eq!((count(device, "InstallProfile"), count(device, "RemoveProfile")), (4, 0));
    }
    assert_eq!(school.get("/profiles/p.all")["payload_types"], json!(["com.apple.wifi.managed"]));
    assert_eq!(school.get("/profiles/p.all.mail")["assignments"].as_array().unwrap().len(), 2);
    school.api("POST", "/profiles/p.all/split", &Value::Null).is_problem(409, "nothing-to-split");
    // Nothing but accounts: the old profile goes before they come.
    upload(&school, &mobileconfig("q", &types[1..], "1")).is(201);
    assign(&school, "q", &json!({ "device": ipad.udid() }));
    until(&school, &ipad, Channel::Device, &["p.all", "p.all.caldav", "p.all.mail", "q"]);
    let begun = ipad.executed().len();
    school.api("POST", "/profiles/q/split", &Value::Null).is(200);
    until(&school, &ipad, Channel::Device, &["p.all", "p.all.caldav", "p.all.mail", "q.caldav", "q.mail"]);
    let order: Vec<String> = ipad.executed()[begun..].iter().map(|e| e.request_type.clone()).collect();
    assert_eq!(order, ["RemoveProfile", "InstallProfile", "InstallProfile"]);
    school.api("GET", "/profiles/q", &Value::Null).is_problem(404, "no-such-profile");
}

#[test]
fn erasing_a_person_erases_their_accounts() {
    let school = School::new();
    let mac = school.enroll(Kind::Mac, 4);
    let name = mac.user();
    school.api("POST", "/users", &json!({ "short_name": name, "mail": "ada@hill.example" })).is(201);
    let secret = password();
    let made = add_account(&school, &calendar(json!({ "user": name }), Some(&secret)));
    assert_eq!(made["holder_kind"], "person");
    settled(&school, &made, 1);
    assert!(holds(&body(&mac, Channel::User, &made).unwrap(), &secret));
    assert_eq!(school.get(&format!("/accounts?user={name}"))["items"][0]["id"], made["id"]);
    school.api("DELETE", &format!("/users/{name}"), &Value::Null).is(204);
    school.wait_until("it to be gone", || body(&mac, Channel::User, &made).is_none().then_some(()));
    assert_eq!(school.get("/accounts")["items"], json!([]));
    let encoded = STANDARD.encode("cal.hill.example");
    let row: Result<_, StoreError> = school.server().context().store.read(|db| db.find_account_of_profile(1));
    let row = row.unwrap().unwrap();
    assert!(row.settings == "{}" && !row.settings.contains(&encoded));
    let bodies: Result<_, StoreError> =
        school.server().context().store.read(|db| db.list_profile_versions(row.profile));
    assert!(bodies.unwrap().is_empty(), "the address stands in the bodies");
}
