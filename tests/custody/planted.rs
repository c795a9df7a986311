//! Secrets of every kind, planted through the doors that people and devices use, and then looked for: in the files and their WAL, in a
//! copy as a backup takes it, in the log, in every answer of the API, in the audit's export and in what webhooks are told.

use super::REASON;
use crate::support::hidden::{assert_hidden_in, assert_pin_hidden, everything, files, holds, holds_pin};
use crate::support::{School, TOPIC};
use crate::users::profiles::upload;
use crate::webhooks::receiver::Receiver;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon::base::random::bytes;
use cordon::pki::SystemRandom;
use cordon::protocol::digest::ha1;
use cordon::simulator::spec::Kind;
use cordon::store::StoreError;
use serde_json::{Value, json};
use std::process::Command;

const LOCK_PIN: &str = "841906";
const ERASE_PIN: &str = "570238";

/// A password that nobody else has.
fn password() -> String {
    hex::encode(bytes::<20>(&SystemRandom))
}

/// A mail account and a SCEP payload, as a school hands them out.
fn mail_profile(identifier: &str, mail: &str, challenge: &str) -> Vec<u8> {
    let payload = |n: u8, kind: &str, keys: &str| {
        format!(
            "<dict><key>PayloadType</key><string>{kind}</string><key>PayloadVersion</key><integer>1</integer>\
             <key>PayloadIdentifier</key><string>{identifier}.{n}</string><key>PayloadUUID</key><string>{identifier}-{n}</string>{keys}</dict>"
        )
    };
    let account = format!(
        "<key>EmailAccountType</key><string>EmailTypeIMAP</string><key>IncomingPassword</key><string>{mail}</string>\
         <key>OutgoingPassword</key><string>{mail}</string>"
    );
    let scep = format!(
        "<key>PayloadContent</key><dict><key>URL</key><string>https://localhost/scep</string><key>Challenge</key><string>{challenge}</string></dict>"
    );
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><plist version=\"1.0\"><dict><key>PayloadType</key><string>Configuration</string>\
         <key>PayloadVersion</key><integer>1</integer><key>PayloadIdentifier</key><string>{identifier}</string>\
         <key>PayloadUUID</key><string>{identifier}</string><key>PayloadContent</key><array>{}{}</array></dict></plist>",
        payload(1, "com.apple.mail.managed", &account),
        payload(2, "com.apple.security.scep", &scep)
    )
    .into_bytes()
}

/// The part of a key's PKCS#8 that only its owner knows: the scalar of P-256, or the private exponent of RSA.
fn private_part(key_pem: &str) -> Vec<u8> {
    let text: String = key_pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(text).unwrap();
    if der.len() > 600 { der[340..500].to_vec() } else { der[36..68].to_vec() }
}

#[test]
fn planted_secrets_are_found_nowhere() {
    let school = School::new();
    let receiver = Receiver::start();
    let hook = school.api("POST", "/webhooks", &json!({ "name": "desk", "url": receiver.url(), "events": [] })).is(201);
    let mac = school.enroll(Kind::Mac, 4);
    let (mut long, text) =
        (Vec::<(&str, Vec<u8>)>::new(), |value: &Value, key: &str| value[key].as_str().unwrap().to_owned());

    // What a device is sent: PINs, mail passwords and challenges, by command and by assignment, taken and refused.
    let (mail, challenge) = (password(), password());
    let payload = STANDARD.encode(mail_profile("school.mail", &mail, &challenge));
    let installed = school.send(&mac, "InstallProfile", json!({ "Payload": payload }));
    school.wait_for(&installed, "Acknowledged");
    long.extend([("the mail password", mail.into_bytes()), ("the challenge", challenge.into_bytes())]);
    let (mail, challenge) = (password(), password());
    upload(&school, &mail_profile("school.assigned", &mail, &challenge)).is(201);
    school.api("POST", "/profiles/school.assigned/assign", &json!({ "device": mac.udid() })).is(200);
    long.extend([
        ("the assigned mail password", mail.into_bytes()),
        ("the assigned challenge", challenge.into_bytes()),
    ]);
    let (firmware, lock) = (password(), password());
    school.send(&mac, "SetFirmwarePassword", json!({ "NewPassword": firmware }));
    school.send(&mac, "SetRecoveryLock", json!({ "NewPassword": lock }));
    long.extend([("the firmware password", firmware.into_bytes()), ("the recovery lock", lock.into_bytes())]);
    let locked = school.send(&mac, "DeviceLock", json!({ "PIN": LOCK_PIN }));
    school.wait_for(&locked, "Acknowledged");
    mac.set_deaf(true);
    school.send(&mac, "EraseDevice", json!({ "PIN": ERASE_PIN, "reason": REASON }));
    school.try_send(&mac, None, "EraseDevice", json!({ "PIN": ERASE_PIN })).is_problem(400, "reason-needed");

    // What people have: an admin's password and second factor, a pupil's password and its digest, the directory's account.
    let own = password();
    school.api("POST", "/admins", &json!({ "name": "ada", "role": "owner", "password": own })).is(201);
    let login = json!({ "name": "ada", "password": own });
    let session = text(&school.https(None, "POST", "/api/v1/login", &login).is(200), "token");
    let begun =
        school.https(Some(&session), "POST", "/api/v1/admins/ada/totp", &json!({ "current_password": own })).is(201);
    long.extend([("the TOTP secret", text(&begun, "secret").into_bytes()), ("the session", session.into_bytes())]);
    long.push(("the admin's password", own.into_bytes()));
    let pupil = password();
    school.api("POST", "/users", &json!({ "short_name": "anna", "password": pupil })).is(201);
    let realm: Result<_, StoreError> = school.server().context().store.read(|db| db.find_setting("digest_realm"));
    let digest = ha1("anna", realm.unwrap().unwrap().as_str().unwrap(), &pupil).expose().clone();
    long.extend([("the digest", hex::decode(&digest).unwrap()), ("the digest's text", digest.into_bytes())]);
    long.push(("the pupil's password", pupil.into_bytes()));

    // What only the server needs: the directory's password, codes of invitations, what a set-up plan will send, a Wi-Fi password.
    let bind = password();
    let place = json!({ "url": "ldaps://127.0.0.1:9", "base_dn": "dc=hill", "bind_dn": "cn=reader,dc=hill", "bind_password": bind });
    school.api("PUT", "/directory", &place).is(200);
    school.api("POST", "/directory/test", &Value::Null).is_problem(503, "directory-unreached");
    long.push(("the directory's password", bind.into_bytes()));
    let invited = school.api("POST", "/invitations", &json!({ "for": "Ada's iPad" })).is(201);
    let code = text(&invited["items"][0], "code");
    long.extend([("the invitation, bare", code.replace('-', "").into_bytes()), ("the invitation", code.into_bytes())]);
    let (hash, key) = (bytes::<32>(&SystemRandom), password());
    let account = json!({ "shortName": "helper", "fullName": "Helper", "passwordHash": STANDARD.encode(hash) });
    let app = json!({ "iTunesStoreID": 1, "Configuration": { "apiKey": key } });
    let plan = json!({ "name": "Lab", "account": { "AutoSetupAdminAccounts": [account] }, "apps": [app] });
    school.api("POST", "/setup-plans", &plan).is(201);
    long.extend([("the plan's account", hash.to_vec()), ("the plan's app", key.into_bytes())]);
    let wifi = password();
    upload(&school, &crate::journeys::secrets::wifi_profile(&wifi)).is(201);
    school.api("POST", "/profiles/school.wifi/assign", &json!({ "device": mac.udid() })).is(200);
    long.push(("the assigned Wi-Fi password", wifi.into_bytes()));

    // What the school has: a push key, tokens, webhooks' secrets.
    let (certificate, key) = school.stand_in.push_certificate(TOPIC).unwrap();
    school.api("POST", "/push-certificates", &json!({ "certificate_pem": certificate, "key_pem": key })).is(201);
    long.extend([("the push key", private_part(&key)), ("the API token", school.token("auditor").into_bytes())]);
    long.push(("the webhook's secret", text(&hook, "secret").into_bytes()));

    // One secret is shown to somebody on the way: that leaves no copy either.
    assert_eq!(school.reveal(&mac, "firmware-password")["value"].as_str().map(str::len), Some(40));
    receiver.wait_for_kind("command.acknowledged");

    let search = |places: &[(String, Vec<u8>)]| {
        for (what, secret) in &long {
            assert_hidden_in(places, what, secret);
        }
        for (what, pin) in [("the lock PIN", LOCK_PIN), ("the erase PIN", ERASE_PIN)] {
            assert_pin_hidden(places, what, pin);
        }
    };
    let mut places = everything(&school);
    let told = receiver.told();
    places.extend(told.iter().map(|one| (format!("the webhook {}", one.kind()), format!("{one:?}").into_bytes())));
    search(&places);
    let mut school = school;
    // After a stop the WAL has gone into the file.
    school.stop();
    search(&files(&school.directory()));

    // The search itself can find things.
    let udid = mac.udid();
    for part in ["the log", "cordon.db", "cordon.db-wal", "/audit/export", "/commands/", "the webhook command."] {
        let wanted = match part {
            "/audit/export" => REASON.as_bytes(),
            "the log" => b"cordon::",
            _ => udid.as_bytes(),
        };
        let found = |(place, content): &(String, Vec<u8>)| place.contains(part) && holds(content, wanted);
        assert!(places.iter().any(found) || part == "/commands/", "{part} was not looked at");
    }
    assert!(holds_pin(b"PIN: 841906,", LOCK_PIN) && !holds_pin(b"12:00:00.841906Z 1841906", LOCK_PIN));
}

#[test]
fn the_demo_shows_no_key_and_no_token() {
    let ran = Command::new(env!("CARGO_BIN_EXE_cordon")).args(["demo", "--once", "--devices", "3"]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    for said in [ran.stdout, ran.stderr] {
        for secret in ["PRIVATE KEY", "cordon_", "whsec_", "UnlockToken", "Challenge", "PIN"] {
            assert!(!holds(&said, secret.as_bytes()), "{secret}: {}", String::from_utf8_lossy(&said));
        }
    }
}
