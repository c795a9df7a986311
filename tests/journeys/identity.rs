//! Who speaks: only a certificate issued here and bound to the device named. Every doubt is 400, and nobody is un-enrolled by one.

use crate::support::scep::Applicant;
use crate::support::wire::{self, Identity, check_in, idle, text};
use crate::support::{Plan, School};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon::base::time::{Clock, SystemClock};
use cordon::pki::SystemRandom;
use cordon::pki::keys::PrivateKey;
use cordon::pki::scep::client::Reply;
use cordon::pki::templates::{issue_device_identity, new_root};
use cordon::pki::x509::Certificate;
use cordon::plist::Value as Plist;
use cordon::simulator::spec::Kind;
use cordon::simulator::state::{Behaviour, Channel, SignatureShape};
use serde_json::{Value, json};

/// A certificate that looks like ours and is somebody else's.
fn foreign() -> Identity {
    let now = SystemClock.now();
    let root = new_root("Cordon", now, &SystemRandom);
    let key = PrivateKey::generate_ec_p256().unwrap();
    let leaf =
        issue_device_identity(&root, &key.spki_der(), "Cordon device", "Cordon", now, 365, &SystemRandom).unwrap();
    Identity { chain: vec![leaf.der().to_vec()], key: key.to_pkcs8_der().expose().clone() }
}

fn authenticate(udid: &str) -> Vec<u8> {
    check_in("Authenticate", udid, &[("Topic", text(crate::support::TOPIC))])
}

fn token_update(udid: &str) -> Vec<u8> {
    let token = Plist::Data(vec![7; 32]);
    check_in(
        "TokenUpdate",
        udid,
        &[("Topic", text(crate::support::TOPIC)), ("PushMagic", text("stolen")), ("Token", token)],
    )
}

#[test]
fn a_certificate_speaks_for_its_own_device_only() {
    let school = School::new();
    let (thief, victim) = (school.enroll(Kind::Ipad, 1), school.enroll(Kind::Ipad, 2));
    let before = school.enrollment(&victim, Channel::Device);
    let mut caller = school.caller(Some(&thief.identity()));
    let udid = victim.udid();
    assert_eq!(caller.report(&idle(&udid)).status, 400);
    for body in [
        authenticate(&udid),
        token_update(&udid),
        check_in("CheckOut", &udid, &[]),
        check_in("GetBootstrapToken", &udid, &[]),
    ] {
        assert_eq!(caller.check_in(&body).status, 400, "{}", String::from_utf8_lossy(&body));
    }
    let after = school.enrollment(&victim, Channel::Device);
    assert_eq!((before.target, before.generation, before.state), (after.target, after.generation, after.state));
    // An identity that names another device was copied, or lies: it is set aside until a person has looked.
    school.api("POST", &format!("/devices/{}/release-quarantine", thief.udid()), &Value::Null).is(200);
    for device in [&thief, &victim] {
        let uuid = school.send(device, "ProfileList", Value::Null);
        school.wait_for(&uuid, "Acknowledged");
    }
}

#[test]
fn a_foreign_certificate_or_none_opens_nothing() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    let udid = ipad.udid();
    for identity in [Some(foreign()), None] {
        let mut caller = school.caller(identity.as_ref());
        for body in
            [authenticate(&udid), token_update(&udid), check_in("CheckOut", &udid, &[]), authenticate("NEW-DEVICE")]
        {
            assert_eq!(caller.check_in(&body).status, 400);
        }
        assert_eq!(caller.report(&idle(&udid)).status, 400);
        assert_eq!(caller.report(&idle("NEW-DEVICE")).status, 400);
    }
    assert_eq!(school.device(&ipad)["state"], "Active");
    assert_eq!(school.get("/devices")["items"].as_array().unwrap().len(), 1);
}

#[test]
fn an_issued_certificate_is_nobody_until_it_authenticates() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    let profile = school.profile(&Value::Null);
    let applicant = Applicant::new(&school, &profile, "T1");
    let reply = applicant.ask(&school);
    let identity = applicant.identity(&reply);
    assert_eq!(applicant.ask(&school), reply, "the same request again gets the same certificate");
    let Reply::Failure(_) = Applicant::new(&school, &profile, "T1").ask(&school) else {
        panic!("another key got a certificate")
    };
    let Reply::Failure(_) = Applicant::new(&school, &profile, "T2").ask(&school) else {
        panic!("the challenge worked twice")
    };

    let mut caller = school.caller(Some(&identity));
    for udid in ["NEW-DEVICE", &ipad.udid()] {
        assert_eq!(caller.report(&idle(udid)).status, 400);
        assert_eq!(caller.check_in(&token_update(udid)).status, 400);
    }
    assert_eq!(caller.check_in(&authenticate("NEW-DEVICE")).status, 200);
    assert_eq!(school.get("/devices/NEW-DEVICE")["state"], "Started");
    let sent = school.api("POST", "/devices/NEW-DEVICE/commands", &json!({ "RequestType": "ProfileList" })).is(201);
    let uuid = sent["command_uuid"].as_str().unwrap();
    assert!(school.explain(uuid).contains("enrolment is not finished"), "{}", school.explain(uuid));
    assert_eq!(caller.check_in(&token_update("NEW-DEVICE")).status, 200);
    assert_eq!(wire::command_uuid(&caller.report(&idle("NEW-DEVICE"))).as_deref(), Some(uuid));
    assert_eq!(caller.report(&idle(&ipad.udid())).status, 400, "bound now, and to one device");
}

#[test]
fn what_is_not_offered_is_a_400_and_never_an_end_of_management() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    let udid = ipad.udid();
    let mut caller = school.caller(Some(&ipad.identity()));
    let unknown = [
        check_in(
            "DeclarativeManagement",
            &udid,
            &[("Endpoint", text("tokens")), ("Data", Plist::Data(b"{}".to_vec()))],
        ),
        check_in("GetToken", &udid, &[("TokenServiceType", text("com.apple.maid"))]),
        check_in("NeverHeardOf", &udid, &[]),
        check_in("", &udid, &[]),
        b"<?xml version=\"1.0\"?><plist version=\"1.0\"><dict><key>MessageType</key>".to_vec(),
        b"not a property list".to_vec(),
        Vec::new(),
    ];
    for body in unknown {
        assert_eq!(caller.check_in(&body).status, 400, "{}", String::from_utf8_lossy(&body));
        assert_eq!(caller.report(&body).status, 400, "{}", String::from_utf8_lossy(&body));
    }
    // Both URLs take both kinds of message.
    assert_eq!(caller.put(wire::CHECKIN, &[], &idle(&udid)).status, 200);
    assert_eq!(caller.put(wire::COMMAND, &[], &check_in("GetBootstrapToken", &udid, &[])).status, 200);
    assert_eq!(caller.put("/api/v1/devices", &[], b"").status, 404, "nothing for people on the devices' door");
    let uuid = school.send(&ipad, "ProfileList", Value::Null);
    school.wait_for(&uuid, "Acknowledged");
}

// ---- behind a proxy

fn behind_a_proxy(trusted: &str) -> School {
    let plan =
        Plan { proxied: "127.0.0.1:0".into(), trusted_proxies: vec![trusted.parse().unwrap()], ..Plan::default() };
    School::planned(plan)
}

#[test]
fn behind_a_proxy_devices_prove_themselves_by_signature() {
    let school = behind_a_proxy("127.0.0.1");
    let wish = json!({ "sign_message": true });
    for (seed, signature) in [(1, SignatureShape::Bare), (2, SignatureShape::WithAttributes)] {
        let ipad = school.enroll_with(Kind::Ipad, seed, Behaviour { signature, ..Behaviour::default() }, &wish);
        let uuid = school.send(&ipad, "DeviceInformation", json!({ "Queries": ["UDID"] }));
        let done = school.wait_for(&uuid, "Acknowledged");
        assert_eq!(done["result"]["QueryResponses"]["UDID"], json!(ipad.udid()), "{signature:?}");
    }
}

#[test]
fn a_signature_must_fit_body_and_device() {
    let school = behind_a_proxy("127.0.0.1");
    let wish = json!({ "sign_message": true });
    let (one, two) = (
        school.enroll_with(Kind::Ipad, 1, Behaviour::default(), &wish),
        school.enroll_with(Kind::Ipad, 2, Behaviour::default(), &wish),
    );
    let sign = |identity: &Identity, body: &[u8]| {
        let certificate = Certificate::parse(&identity.chain[0]).unwrap();
        let key = PrivateKey::from_pkcs8_der(&identity.key).unwrap();
        let form = cordon::pki::cms::DetachedForm::WithAttributes;
        STANDARD
            .encode(cordon::pki::cms::sign_detached(body, &certificate, &key, form, key.preferred_digest()).unwrap())
    };
    let body = idle(&one.udid());
    let good = sign(&one.identity(), &body);
    let mut proxy = school.proxy();
    assert_eq!(proxy.put(wire::COMMAND, &[("Mdm-Signature", &good)], &body).status, 200);
    let bad = [
        (sign(&one.identity(), &idle(&two.udid())), idle(&two.udid()), "another device"),
        (good.clone(), idle(&two.udid()), "another body"),
        (sign(&foreign(), &body), body.clone(), "a foreign signer"),
        ("AAAA".into(), body.clone(), "no signature"),
    ];
    for (signature, body, what) in bad {
        assert_eq!(proxy.put(wire::COMMAND, &[("Mdm-Signature", &signature)], &body).status, 400, "{what}");
    }
    assert_eq!(proxy.put(wire::COMMAND, &[], &body).status, 400, "no proof at all");
    school.api("POST", &format!("/devices/{}/release-quarantine", one.udid()), &Value::Null).is(200);
    // TLS certificate and signature must name the same device.
    let mut both = school.caller(Some(&two.identity()));
    assert_eq!(both.put(wire::COMMAND, &[("Mdm-Signature", &good)], &body).status, 400);
    let mut same = school.caller(Some(&one.identity()));
    assert_eq!(same.put(wire::COMMAND, &[("Mdm-Signature", &good)], &body).status, 200);
}

/// The two headers in which proxies pass a client certificate on.
fn forwarded(identity: &Identity) -> [(&'static str, String); 2] {
    let pem = Certificate::parse(&identity.chain[0]).unwrap().to_pem();
    let escaped: String = pem
        .bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect();
    [("Client-Cert", format!(":{}:", STANDARD.encode(&identity.chain[0]))), ("X-SSL-Client-Cert", escaped)]
}

#[test]
fn a_forwarded_certificate_counts_from_a_trusted_proxy_only() {
    for (trusted, status) in [("127.0.0.1", 200), ("192.0.2.1", 400)] {
        let school = behind_a_proxy(trusted);
        let wish = json!({ "sign_message": true });
        let ipad = school.enroll_with(Kind::Ipad, 1, Behaviour::default(), &wish);
        let mut proxy = school.proxy();
        for (name, value) in forwarded(&ipad.identity()) {
            assert_eq!(
                proxy.put(wire::COMMAND, &[(name, &value)], &idle(&ipad.udid())).status,
                status,
                "{name} from {trusted}"
            );
        }
        for (name, value) in forwarded(&foreign()) {
            assert_eq!(
                proxy.put(wire::COMMAND, &[(name, &value)], &idle(&ipad.udid())).status,
                400,
                "{name} of a stranger"
            );
        }
        for (name, value) in [("Client-Cert", "nonsense"), ("X-SSL-Client-Cert", "%GG"), ("X-SSL-Client-Cert", "")] {
            assert_eq!(proxy.put(wire::COMMAND, &[(name, value)], &idle(&ipad.udid())).status, 400, "{name}: {value}");
        }
    }
}

#[test]
fn a_forwarded_certificate_is_not_looked_at_on_the_devices_own_door() {
    let school = School::new();
    let (one, two) = (school.enroll(Kind::Ipad, 1), school.enroll(Kind::Ipad, 2));
    for (name, value) in forwarded(&two.identity()) {
        assert_eq!(school.caller(None).put(wire::COMMAND, &[(name, &value)], &idle(&two.udid())).status, 400, "{name}");
        let mut caller = school.caller(Some(&one.identity()));
        assert_eq!(caller.put(wire::COMMAND, &[(name, &value)], &idle(&one.udid())).status, 200, "{name}: TLS speaks");
        assert_eq!(
            caller.put(wire::COMMAND, &[(name, &value)], &idle(&two.udid())).status,
            400,
            "{name}: the header does not"
        );
        school.api("POST", &format!("/devices/{}/release-quarantine", one.udid()), &Value::Null).is(200);
    }
}
