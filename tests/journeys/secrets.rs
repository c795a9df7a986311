//! Secrets: kept sealed, given back where the protocol asks, and found nowhere in clear.

use crate::support::School;
use crate::support::hidden::{assert_hidden, everything, holds};
use crate::support::wire::{self, check_in, idle, text};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon::base::random::bytes;
use cordon::pki::SystemRandom;
use cordon::plist::{Value as Plist, parse_dict};
use cordon::simulator::profile::read_enrollment;
use cordon::simulator::spec::Kind;
use cordon::simulator::state::Channel;
use serde_json::{Value, json};

#[test]
fn tokens_and_commands_and_results_show_nowhere_in_clear() {
    let school = School::new();
    let profile = school.profile(&Value::Null);
    let challenge = read_enrollment(&profile).unwrap().find_scep().unwrap().challenge.clone().unwrap();
    let ipad = school.unpack(Kind::Ipad, 1, Default::default());
    ipad.enroll(&school.stand_in, &profile);
    ipad.set_deaf(true);
    let udid = ipad.udid();
    let unlock_token = ipad.with(|d| d.state().unlock_token.clone().unwrap().0);
    assert!(unlock_token.len() > 400, "longer than one database page would hide");

    let random: [u8; 48] = bytes(&SystemRandom);
    let bootstrap_token = [&random[..], b"end"].concat();
    let mut caller = school.caller(Some(&ipad.identity()));
    let kept = check_in("SetBootstrapToken", &udid, &[("BootstrapToken", Plist::Data(bootstrap_token.clone()))]);
    assert_eq!(caller.check_in(&kept).status, 200);

    let password = hex::encode(&random[..20]);
    let payload = wifi_profile(&password);
    let install = school.send(&ipad, "InstallProfile", json!({ "Payload": STANDARD.encode(payload) }));
    let bypass = school.send(&ipad, "ActivationLockBypassCode", Value::Null);
    let code = hex::encode_upper(&random[20..40]);
    assert_eq!(wire::command_uuid(&caller.report(&idle(&udid))), Some(install.clone()));
    assert_eq!(
        wire::command_uuid(&caller.report(&wire::result("Acknowledged", &udid, &install, &[]))),
        Some(bypass.clone())
    );
    let answer = [("ActivationLockBypassCode", text(&code))];
    assert_eq!(wire::command_uuid(&caller.report(&wire::result("Acknowledged", &udid, &bypass, &answer))), None);
    // A refused message is logged, its body never.
    let broken = check_in(
        "SetBootstrapToken",
        &udid,
        &[("BootstrapToken", Plist::Array(vec![Plist::Data(bootstrap_token.clone())]))],
    );
    assert_eq!(caller.check_in(&broken).status, 400);
    let token = school.token("owner");

    assert_hidden(&school, "the unlock token", &unlock_token);
    assert_hidden(&school, "the bootstrap token", &bootstrap_token);
    assert_hidden(&school, "the challenge", challenge.as_bytes());
    assert_hidden(&school, "the Wi-Fi password", password.as_bytes());
    assert_hidden(&school, "the bypass code", code.as_bytes());
    assert_hidden(&school, "the API token", token.as_bytes());
    assert!(school.command(&bypass)["result"]["ActivationLockBypassCode"]["sealed"].is_string());

    // The search itself can find things.
    let control = everything(&school);
    assert!(control.iter().any(|(place, content)| place.contains("cordon.db") && holds(content, udid.as_bytes())));
    assert!(control.iter().any(|(place, content)| place == "the log" && holds(content, b"message cannot be read")));
}

pub fn wifi_profile(password: &str) -> Vec<u8> {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><plist version=\"1.0\"><dict>\
         <key>PayloadType</key><string>Configuration</string><key>PayloadVersion</key><integer>1</integer>\
         <key>PayloadIdentifier</key><string>school.wifi</string><key>PayloadUUID</key><string>WIFI</string>\
         <key>PayloadContent</key><array><dict><key>PayloadType</key><string>com.apple.wifi.managed</string>\
         <key>PayloadVersion</key><integer>1</integer><key>PayloadIdentifier</key><string>school.wifi.1</string>\
         <key>PayloadUUID</key><string>WIFI1</string><key>SSID_STR</key><string>School</string>\
         <key>Password</key><string>{password}</string></dict></array></dict></plist>"
    )
    .into_bytes()
}

#[test]
fn the_bootstrap_token_comes_back_until_the_mac_takes_it_away() {
    let school = School::new();
    let mac = school.enroll(Kind::Mac, 4);
    let udid = mac.udid();
    let mut caller = school.caller(Some(&mac.identity()));
    let mut ask = |body: Vec<u8>| {
        let answer = caller.check_in(&body);
        assert_eq!(answer.status, 200);
        answer.body
    };
    let held = |body: Vec<u8>| parse_dict(&body).unwrap().find_data("BootstrapToken").unwrap().map(<[u8]>::to_vec);
    let get = check_in("GetBootstrapToken", &udid, &[]);
    let set = |token: &[u8]| check_in("SetBootstrapToken", &udid, &[("BootstrapToken", Plist::Data(token.to_vec()))]);
    assert_eq!(held(ask(get.clone())), None);
    assert_eq!(ask(set(b"first token")).len(), 0);
    assert_eq!(held(ask(get.clone())).as_deref(), Some(&b"first token"[..]));
    ask(set(b"second token"));
    assert_eq!(held(ask(get.clone())).as_deref(), Some(&b"second token"[..]));
    ask(set(b""));
    assert_eq!(held(ask(get.clone())), None);
    ask(set(b"third token"));
    assert_eq!(held(ask(get)).as_deref(), Some(&b"third token"[..]));
}

#[test]
fn every_unlock_token_is_kept_sealed_with_a_generation() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    let row = |school: &School| {
        let device = school.enrollment(&ipad, Channel::Device).device;
        let found: Result<_, cordon::store::StoreError> =
            school.server().context().store.read(|db| db.find_secret(device, "unlock-token"));
        found.unwrap().unwrap()
    };
    let first = row(&school);
    assert_eq!(first.generation, 1);
    assert!(first.sealed_value.unwrap().len() > 400);
    ipad.renew_token(&school.stand_in, Channel::Device);
    assert_eq!(row(&school).generation, 1, "the same token again is no new one");
    ipad.enroll(&school.stand_in, &school.profile(&Value::Null));
    assert_eq!(row(&school).generation, 2);
}
