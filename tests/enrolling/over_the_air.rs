//! Devices that say who they are: Profile Service in its three phases, Update, and Automated Device Enrolment.

use super::{BUILT_IN, Door, assert_enrolled, code};
use cordon::base::time::Clock;
use cordon::pki::SystemRandom;
use cordon::pki::cms::sign_attached;
use cordon::plist::parse_dict;
use cordon::simulator::arriving::OverTheAir;
use cordon::simulator::built_in::{BuiltIn, Factory};
use cordon::simulator::device::DeviceError;
use cordon::simulator::spec::Kind;
use cordon::simulator::wire::Answer;
use serde_json::{Value, json};

const HOUR: i64 = 3_600_000;

fn refused(answer: &Answer) -> (u16, String) {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    (answer.status, body["code"].as_str().unwrap_or_default().to_owned())
}

/// A device that has been let in and holds the first file.
fn begun(door: &Door, device: &crate::support::device::Handle) -> OverTheAir {
    let (page, anchors, pass) = (door.url("/enroll"), door.anchors(), door.code());
    let file = device.with(|d| d.fetch_by_page(&page, &anchors, code(&pass))).unwrap();
    OverTheAir::read(&file, &anchors).unwrap().unwrap()
}

#[test]
fn three_phases_and_what_the_device_said_is_kept() {
    let door = Door::over_the_air();
    let ipad = door.unpack(Kind::Ipad, 1);
    let mut delivery = begun(&door, &ipad);
    ipad.with(|d| delivery.introduce(d, &BUILT_IN[0])).unwrap();
    let profile = ipad.with(|d| delivery.finish(d)).unwrap();
    ipad.with(|d| d.enroll(&profile)).unwrap();
    assert_enrolled(&door, &ipad);
    let arrival = &door.school.device(&ipad)["arrival"];
    let (product, build) = ipad.with(|d| (d.spec().product.clone(), d.spec().build_version.clone()));
    assert_eq!(arrival["way"], "ota");
    assert_eq!(
        (&arrival["attributes"]["PRODUCT"], &arrival["attributes"]["VERSION"]),
        (&json!(product), &json!(build))
    );
    assert!(arrival["attributes"].get("CHALLENGE").is_none());
    // The identity that fetched the profile opens no device channel.
    let (certificate, key) = delivery.passing.clone().unwrap();
    let passing = crate::support::wire::Identity {
        chain: vec![certificate.der().to_vec()],
        key: key.to_pkcs8_der().expose().clone(),
    };
    let body = crate::support::wire::check_in(
        "Authenticate",
        &ipad.udid(),
        &[("Topic", crate::support::wire::text(crate::support::TOPIC))],
    );
    assert_eq!(door.school.caller(Some(&passing)).check_in(&body).status, 400);
}

/// Encrypted first and signed afterwards: whoever reads along sees neither the challenge nor the identity, and no other key opens it.
#[test]
fn the_final_profile_opens_with_the_devices_own_key_only() {
    use cordon::pki::cms::{open_envelope, verify_attached};
    use cordon::pki::keys::PrivateKey;
    let door = Door::over_the_air();
    let (ipad, other) = (door.unpack(Kind::Ipad, 1), door.unpack(Kind::Ipad, 2));
    let [mut mine, mut theirs] = [begun(&door, &ipad), begun(&door, &other)];
    ipad.with(|d| mine.introduce(d, &BUILT_IN[0])).unwrap();
    other.with(|d| theirs.introduce(d, &BUILT_IN[1])).unwrap();
    let (certificate, key) = mine.passing.clone().unwrap();
    let (_, foreign) = theirs.passing.clone().unwrap();
    let body = sign_attached(&ipad.with(|d| mine.attributes(d)), &certificate, &key, &[], door.clock.now());
    let answer = ipad.with(|d| mine.send(d, &body)).unwrap();
    assert_eq!(answer.status, 200);

    let signed = verify_attached(&answer.body).unwrap();
    let signer = door.school.server().context().authorities().signer.certificate.fingerprint();
    assert_eq!(signed.signer.fingerprint(), signer, "signed by the school, over what is encrypted");
    let outer = parse_dict(&signed.content).unwrap();
    assert!(outer.flag("IsEncrypted").unwrap() && outer.get("PayloadContent").is_none());
    for secret in ["com.apple.mdm", "Challenge", "com.apple.security.scep"] {
        assert!(!answer.body.windows(secret.len()).any(|w| w == secret.as_bytes()), "{secret} can be read");
    }
    let closed = outer.data("EncryptedPayloadContent").unwrap().to_vec();
    assert!(open_envelope(&closed, &certificate, &foreign).is_err(), "another device's key");
    let fresh = PrivateKey::generate_rsa(2048).unwrap();
    assert!(open_envelope(&closed, &certificate, &fresh).is_err(), "nobody's key");
    let (inside, _) = open_envelope(&closed, &certificate, &key).unwrap();
    let payloads = cordon::plist::parse(inside.expose()).unwrap();
    let kinds: Vec<&str> = payloads
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one.as_dictionary()?.get("PayloadType")?.as_string())
        .collect();
    assert!(kinds.contains(&"com.apple.mdm") && kinds.contains(&"com.apple.security.scep"), "{kinds:?}");
}

#[test]
fn a_mac_takes_the_same_way_in_one_go() {
    let door = Door::over_the_air();
    let mac = door.unpack(Kind::Mac, 4);
    let pass = door.code();
    let held =
        mac.with(|d| d.enroll_by_page(&door.url("/enroll"), &door.anchors(), code(&pass), &BUILT_IN[0])).unwrap();
    assert!(held.is_some());
    assert_enrolled(&door, &mac);
}

#[test]
fn the_update_button_needs_no_new_invitation_also_when_everything_has_expired() {
    let door = Door::over_the_air();
    let ipad = door.unpack(Kind::Ipad, 1);
    let pass = door.code();
    let (page, anchors) = (door.url("/enroll"), door.anchors());
    let mut held = ipad.with(|d| d.enroll_by_page(&page, &anchors, code(&pass), &BUILT_IN[0])).unwrap().unwrap();
    let replace = |profile: Vec<u8>| {
        ipad.with(|d| d.enroll(&profile)).unwrap();
        assert_enrolled(&door, &ipad);
    };
    // Under the passing identity, hours after the login was over.
    door.clock.advance(5 * HOUR);
    replace(ipad.with(|d| held.finish(d)).unwrap());
    // From the beginning, under the built-in identity; another device cannot.
    ipad.with(|d| held.introduce(d, &BUILT_IN[0])).unwrap();
    replace(ipad.with(|d| held.finish(d)).unwrap());
    assert!(ipad.with(|d| held.introduce(d, &BUILT_IN[1])).is_err());
    // Under the identity that the device is managed with, and that has expired by now, as has the passing one.
    let passing = held.passing.clone();
    let identity = ipad.identity();
    let managed = cordon::pki::x509::Certificate::parse(&identity.chain[0]).unwrap();
    held.passing = Some((managed, cordon::pki::keys::PrivateKey::from_pkcs8_der(&identity.key).unwrap()));
    door.clock.advance(400 * 24 * HOUR);
    crate::lifecycle::wait_for_tls(&door.school);
    replace(ipad.with(|d| held.finish(d)).unwrap());
    held.passing = passing;
    replace(ipad.with(|d| held.finish(d)).unwrap());
    // A device that has left needs somebody to let it in again.
    ipad.with(|d| d.remove_management());
    assert!(matches!(ipad.with(|d| held.finish(d)), Err(DeviceError::Refused { status: 403, .. })));
    let list = door.school.get("/devices");
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "it is one device all the while");
}

#[test]
fn only_the_right_signer_in_the_right_phase_gets_an_answer() {
    let door = Door::over_the_air();
    let (ipad, other) = (door.unpack(Kind::Ipad, 1), door.unpack(Kind::Ipad, 2));
    let mut delivery = begun(&door, &ipad);
    let now = door.clock.now();
    let attributes = ipad.with(|d| delivery.attributes(d));
    let send = |delivery: &OverTheAir, body: &[u8]| refused(&ipad.with(|d| delivery.send(d, body)).unwrap());
    let good = BUILT_IN[0].sign(&attributes, now);

    // Foreign chains: another factory, the school's own authority, nobody.
    let foreign = Factory::new(now, &SystemRandom).build("x", now, &SystemRandom).unwrap();
    assert_eq!(send(&delivery, &foreign.sign(&attributes, now)), (403, "cordon.signer-unknown".into()));
    let signer = &door.school.server().context().authorities().signer;
    let own = sign_attached(&attributes, &signer.certificate, &signer.key, &[], now);
    assert_eq!(send(&delivery, &own), (403, "cordon.signer-unknown".into()));
    assert_eq!(send(&delivery, &attributes), (400, "cordon.device-unreadable".into()));
    // Cut anywhere, and changed.
    for at in [0, 1, 40, good.len() / 2, good.len() - 1] {
        assert_eq!(send(&delivery, &good[..at]).0, 400, "cut at {at}");
    }
    let mut changed = good.clone();
    let at = changed.windows(6).position(|w| w == b"SERIAL").unwrap();
    changed[at] ^= 1;
    assert_eq!(send(&delivery, &changed), (400, "cordon.device-unreadable".into()));
    // Another challenge, none, and a body that is too large.
    let with = |challenge: Option<&str>| {
        let mut dict = parse_dict(&attributes).unwrap().into_dictionary();
        dict.remove("CHALLENGE");
        if let Some(challenge) = challenge {
            dict.insert("CHALLENGE".into(), challenge.into());
        }
        BUILT_IN[0].sign(&cordon::plist::to_xml(&cordon::plist::Value::Dictionary(dict)), now)
    };
    assert_eq!(send(&delivery, &with(Some("guess"))), (403, "cordon.challenge-wrong".into()));
    assert_eq!(send(&delivery, &with(None)), (403, "cordon.challenge-wrong".into()));
    assert_eq!(send(&delivery, &vec![0x30; 70_000]).0, 413);

    // The first device that answers is the one; a lost answer may be asked for again.
    ipad.with(|d| delivery.introduce(d, &BUILT_IN[0])).unwrap();
    ipad.with(|d| delivery.introduce(d, &BUILT_IN[0])).unwrap();
    let stolen = other.with(|d| delivery.attributes(d));
    assert_eq!(send(&delivery, &BUILT_IN[1].sign(&attributes, now)), (403, "cordon.challenge-used".into()));
    assert_eq!(send(&delivery, &BUILT_IN[0].sign(&stolen, now)), (403, "cordon.challenge-used".into()));
    // Phase 3 speaks of the device of phase 2.
    let (certificate, key) = delivery.passing.clone().unwrap();
    assert_eq!(
        send(&delivery, &sign_attached(&stolen, &certificate, &key, &[], now)),
        (403, "cordon.other-device".into())
    );
    // Another login's challenge under this identity.
    let second = begun(&door, &other);
    let mixed = ipad.with(|d| second.attributes(d));
    assert_eq!(
        send(&delivery, &sign_attached(&mixed, &certificate, &key, &[], now)),
        (403, "cordon.challenge-wrong".into())
    );
    // The built-in identity stays in phase 2 for ever.
    let answer = ipad.with(|d| delivery.send(d, &good)).unwrap();
    assert!(answer.status == 200 && !String::from_utf8_lossy(&answer.body).contains("com.apple.mdm"));
    // An hour later it is over.
    door.clock.advance(HOUR + 1);
    assert_eq!(send(&delivery, &good), (403, "cordon.arrival-over".into()));
    assert_eq!(
        send(&delivery, &sign_attached(&attributes, &certificate, &key, &[], now)),
        (403, "cordon.arrival-over".into())
    );
}

#[test]
fn automated_enrolment_by_machine_info() {
    let door = Door::new();
    let ipad = door.unpack(Kind::Ipad, 1);
    let (url, anchors) = (door.url("/enroll/ade"), door.anchors());
    ipad.with(|d| d.enroll_automated(&url, &anchors, &BUILT_IN[0])).unwrap();
    assert_enrolled(&door, &ipad);
    assert_eq!(door.school.device(&ipad)["arrival"]["way"], "ade");
    assert_eq!(door.school.device(&ipad)["arrival"]["attributes"]["LANGUAGE"], "en");
    // Asked again and never used: the earlier profile is worth nothing.
    let mac = door.unpack(Kind::Mac, 4);
    let foreign = Factory::new(door.clock.now(), &SystemRandom).build("x", door.clock.now(), &SystemRandom).unwrap();
    let try_with = |built_in: &BuiltIn| match mac.with(|d| d.enroll_automated(&url, &anchors, built_in)) {
        Err(DeviceError::Refused { status, .. }) => status,
        other => panic!("{other:?}"),
    };
    assert_eq!(try_with(&foreign), 403);
    // The school may know its devices, or take none.
    door.school.api("PATCH", "/enrollment-door", &json!({ "automated": "known" })).is(200);
    assert_eq!(try_with(&BUILT_IN[1]), 403);
    ipad.with(|d| {
        d.remove_management();
        d.enroll_automated(&url, &anchors, &BUILT_IN[0])
    })
    .unwrap();
    door.school.api("PATCH", "/enrollment-door", &json!({ "automated": "closed" })).is(200);
    assert_eq!(try_with(&BUILT_IN[1]), 403);
}

#[test]
fn setup_assistants_web_view_logs_a_person_in_without_cookies() {
    let door = Door::over_the_air();
    let (page, anchors) = (door.url("/enroll"), door.anchors());
    let ipad = door.unpack(Kind::Ipad, 1);
    let pass = door.code();
    ipad.with(|d| d.enroll_in_setup_assistant(&page, &anchors, code(&pass), &BUILT_IN[0])).unwrap();
    assert_enrolled(&door, &ipad);
    assert!(door.school.device(&ipad)["arrival"]["visitor"].as_str().unwrap().starts_with("invitation:"));
    // A header that is none, and one of a foreign device.
    let foreign = Factory::new(door.clock.now(), &SystemRandom).build("x", door.clock.now(), &SystemRandom).unwrap();
    let body = ipad.with(|d| foreign.sign(&d.machine_info(), door.clock.now()));
    for (header, status) in
        [("%%%".to_owned(), 400), (base64::Engine::encode(&base64::prelude::BASE64_STANDARD, body), 403)]
    {
        let mut browser = door.browser();
        browser.headers.push(("x-apple-aspen-deviceinfo".into(), header));
        assert_eq!(browser.open("/enroll").unwrap().status, status);
    }
}
