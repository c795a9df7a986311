//! The initial profile: only the basics, by the school's policy or as asked for, signed, and good for one device.

use super::header;
use crate::support::hidden::assert_hidden;
use crate::support::{Plan, School};
use cordon::base::time::{Clock, HOUR, ManualClock, SystemClock};
use cordon::pki::pkcs12;
use cordon::service::actor::Actor;
use cordon::service::enrolling::{self, Wish};
use cordon::simulator::profile::{IdentityPayload, read_enrollment};
use cordon::simulator::spec::Kind;
use cordon::simulator::state::{Behaviour, Channel, Standing};
use serde_json::{Value, json};
use std::process::Command;
use std::sync::Arc;

fn kinds(profile: &[u8]) -> Vec<String> {
    read_enrollment(profile).unwrap().profile.payloads.into_iter().map(|payload| payload.kind).collect()
}

#[test]
fn the_initial_profile_holds_only_the_basics() {
    let school = School::new();
    let reply = school.api("POST", "/enrollments/profile", &Value::Null);
    assert_eq!(header(&reply, "cache-control"), Some("no-store"));
    assert_eq!(header(&reply, "content-type"), Some("application/x-apple-aspen-config"));
    let expected = ["com.apple.security.root", "com.apple.security.pkcs1", "com.apple.security.scep", "com.apple.mdm"];
    assert_eq!(kinds(&reply.body), expected);
    let read = read_enrollment(&reply.body).unwrap();
    assert_eq!(read.profile.signers.len(), 2, "the signer and its chain");
    assert_eq!((read.mdm.access_rights, read.mdm.sign_message), (8191, false));
    assert!(read.mdm.check_out_when_removed && read.mdm.per_user_connections);
    // A second one: the same identifiers, so that it replaces the first; another challenge and other UUIDs.
    let again = read_enrollment(&school.profile(&Value::Null)).unwrap();
    let identifiers = |p: &cordon::simulator::profile::Enrolling| -> Vec<String> {
        let own = p.profile.payloads.iter().map(|one| one.identifier.clone());
        own.chain([p.profile.identifier.clone()]).collect()
    };
    assert_eq!(identifiers(&read), identifiers(&again));
    assert_ne!(read.find_scep().unwrap().challenge, again.find_scep().unwrap().challenge);
    assert_ne!(read.profile.uuid, again.profile.uuid);
}

#[test]
fn where_tls_is_publicly_trusted_no_roots_are_given() {
    let tune = Arc::new(|options: &mut cordon::server::Options| options.publicly_trusted = Some(true));
    let school = School::planned(Plan { tune, ..Plan::default() });
    assert_eq!(kinds(&school.profile(&Value::Null)), ["com.apple.security.scep", "com.apple.mdm"]);
}

#[test]
fn openssl_verifies_a_profile_with_the_schools_root_alone() {
    let school = School::new();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("p"), school.profile(&Value::Null)).unwrap();
    std::fs::write(path("root"), school.server().context().authorities().root.to_pem()).unwrap();
    let args = ["cms", "-verify", "-inform", "DER", "-in", &path("p"), "-CAfile", &path("root"), "-purpose", "any"];
    let Ok(out) = Command::new("openssl").args(args).output() else {
        eprintln!("SKIPPED: openssl is not installed, so nobody else has verified the profile");
        return;
    };
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && said.contains("erification successful"), "{said}");
    assert!(String::from_utf8_lossy(&out.stdout).contains("com.apple.mdm"));
}

#[test]
fn a_device_enrols_with_a_pkcs12_identity_whose_key_is_forgotten() {
    let school = School::new();
    let reply = school.api("POST", "/enrollments/profile", &json!({ "identity": "pkcs12" }));
    assert_eq!(header(&reply, "x-cordon-identity"), Some("pkcs12"));
    let note = header(&reply, "x-cordon-note").unwrap();
    assert!(note.contains("never leaves it"), "says why SCEP is better: {note}");
    let profile = reply.body;
    let IdentityPayload::Pkcs12 { der, password } = read_enrollment(&profile).unwrap().identity else { panic!() };
    assert!(password.expose().len() >= 20);
    let (key, certificate) = pkcs12::read(der.expose(), &password).unwrap();
    assert!(key.is_rsa());

    let (first, second) =
        (school.unpack(Kind::Ipad, 1, Behaviour::default()), school.unpack(Kind::Mac, 2, Behaviour::default()));
    first.enroll(&school.stand_in, &profile);
    assert_eq!(school.device(&first)["state"], "Active");
    let command = school.send(&first, "ProfileList", Value::Null);
    school.wait_for(&command, "Acknowledged");

    let refused = second.try_enroll(&school.stand_in, &profile).unwrap_err();
    assert!(refused.contains("400"), "one identity, one device: {refused}");
    assert_eq!(second.with(|d| d.standing()), Standing::Unmanaged);

    assert_hidden(&school, "the container", der.expose());
    assert_hidden(&school, "the key", key.to_pkcs8_der().expose());
    assert_hidden(&school, "the container's password", password.expose().as_bytes());
    let cx = school.server().context();
    let kept = cx.store.read(|db| db.find_certificate(&certificate.fingerprint()));
    assert!(kept.is_ok_and(|row: Option<cordon::store::CertificateRow>| row.is_some()), "the certificate is on record");
}

#[test]
fn a_pkcs12_profile_that_nobody_installed_is_worthless_after_its_time() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let school = School::planned(Plan { clock: clock.clone(), ..Plan::default() });
    let profile = school.profile(&json!({ "identity": "pkcs12" }));
    let used = school.enroll_with(Kind::Ipad, 2, Behaviour::default(), &json!({ "identity": "pkcs12" }));
    clock.advance(HOUR + 1);
    let late = school.unpack(Kind::Ipad, 1, Behaviour::default());
    let refused = late.try_enroll(&school.stand_in, &profile).unwrap_err();
    assert!(refused.contains("400"), "{refused}");
    used.poll(Channel::Device).unwrap();
    assert_eq!(used.with(|d| d.standing()), Standing::Enrolled, "the one that was used in time goes on");
}

#[test]
fn the_schools_policy_says_how_and_each_profile_may_ask_otherwise() {
    let school = School::new();
    let policy = school.get("/enrollment-policy");
    assert_eq!(
        (&policy["identity"], &policy["access_rights"], &policy["notes"]),
        (&json!("scep"), &json!(8191), &json!([]))
    );
    assert_eq!(policy["rights"].as_array().unwrap().len(), 13);

    let change = json!({ "identity": "pkcs12", "rights": ["all", "-lock", "-erase"] });
    let changed = school.api("PATCH", "/enrollment-policy", &change).is(200);
    let notes = changed["notes"].to_string();
    assert!(notes.contains("no UnlockToken") && notes.contains("travels inside the profile"), "{notes}");
    let read = read_enrollment(&school.profile(&Value::Null)).unwrap();
    assert!(read.find_scep().is_none());
    assert_eq!(read.mdm.access_rights, 8191 - 12);
    let own = json!({ "identity": "scep", "access_rights": 8191, "sign_message": true });
    let read = read_enrollment(&school.profile(&own)).unwrap();
    assert!(read.find_scep().is_some() && read.mdm.sign_message);
    assert_eq!(read.mdm.access_rights, 8191);

    let ipad = school.enroll(Kind::Ipad, 1);
    assert!(ipad.with(|d| d.state().unlock_token.is_none()), "no right to lock, no UnlockToken");
    for (bad, id) in [
        (json!({ "rights": ["fly"] }), "bad-argument"),
        (json!({ "rights": ["install-profiles"] }), "bad-argument"),
        (json!({ "access_rights": 0 }), "bad-argument"),
        (json!({ "identity": "carrier-pigeon" }), "identity-kind-missing"),
    ] {
        school.api("POST", "/enrollments/profile", &bad).is_problem(400, id);
        school.api("PATCH", "/enrollment-policy", &bad).is_problem(400, id);
    }
}

#[test]
fn a_renewal_keeps_what_is_frozen_and_rights_never_grow() {
    let school = School::new();
    let wish = json!({ "rights": ["all", "-erase"], "user_channel": false, "identity": "pkcs12" });
    let ipad = school.enroll_with(Kind::Ipad, 1, Behaviour::default(), &wish);
    let row = school.enrollment(&ipad, Channel::Device);
    let (cx, actor) = (school.server().context(), Actor::Job("renewal"));
    let held = cx.store.read(|db| db.find_issued_profile(row.issued_profile.unwrap()));
    let held = held.map_err(|e: cordon::store::StoreError| e.to_string()).unwrap().unwrap();
    assert_eq!((held.access_rights, held.way.as_str()), (8191 - 8, "download"));
    assert!(held.signer.is_some() && held.certificates.len() == 2 && held.ends_at.is_some());
    // The policy of today does not matter to what a device holds.
    school.api("PATCH", "/enrollment-policy", &json!({ "rights": ["device-info"] })).is(200);

    let renew = |wish: &Wish| enrolling::prepare_renewal(cx, &actor, row.issued_profile.unwrap(), row.id, wish);
    let fresh = renew(&Wish::default()).unwrap();
    let read = read_enrollment(fresh.bytes.expose()).unwrap();
    assert_eq!(read.mdm.access_rights, 8191 - 8);
    assert!(!read.mdm.per_user_connections, "as it was enrolled");
    assert_eq!(read.mdm.server_url.to_string(), held.server_url);
    assert_eq!(read.profile.identifier, held.payload_identifier);
    let more = cordon::protocol::profile::AccessRights::ALL;
    let Err(refused) = renew(&Wish { access_rights: Some(more), ..Wish::default() }) else { panic!("rights grew") };
    assert!(refused.public.to_string().contains("these rights: erase"), "{}", refused.public);
}

#[test]
fn behind_a_proxy_that_forwards_no_certificate_devices_sign_by_themselves() {
    // Forwarded certificates, a device listener beside the proxy, whether messages are signed. With a proxy, devices are given its address,
    // so a listener beside it changes nothing.
    for (forwards, devices, signs) in [(false, "off", true), (true, "off", false), (false, "127.0.0.1:0", true)] {
        let tune = Arc::new(move |options: &mut cordon::server::Options| options.proxy_forwards_certificate = forwards);
        let (devices, proxied) = (devices.to_owned(), "127.0.0.1:0".to_owned());
        let school = School::planned(Plan { tune, devices, proxied, ..Plan::default() });
        let read = read_enrollment(&school.profile(&Value::Null)).unwrap();
        assert_eq!(read.mdm.sign_message, signs, "{forwards} {signs}");
        if signs {
            let ipad = school.enroll(Kind::Ipad, 1);
            let command = school.send(&ipad, "ProfileList", Value::Null);
            school.wait_for(&command, "Acknowledged");
        }
    }
}
