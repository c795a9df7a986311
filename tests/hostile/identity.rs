//! Who speaks? Certificates that are expired, foreign, forwarded by nobody we trust, and signatures that are not of this message. All of it
//! is 400: a doubt about a device must never end its management.

use super::school::{Identity, Pupil, SIGNER, School, authenticate, idle, token_update};
use super::wire::{self, Answer};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cordon::base::time::{Clock, DAY, SystemClock};
use cordon::pki::SystemRandom;
use cordon::pki::cms::{DetachedForm, sign_detached};
use cordon::pki::keys::PrivateKey;
use cordon::pki::templates::{issue_device_identity, new_issuing_ca, new_root};
use std::net::{IpAddr, Ipv4Addr};

/// Every message that `pupil` could send, by the identity given.
fn everything(school: &School, identity: Option<&Identity>, pupil: &Pupil) -> Vec<Answer> {
    let put = |path, body: &[u8]| school.put(identity, path, &[], body);
    vec![
        put("/mdm/command", &idle(&pupil.udid)),
        put("/mdm/checkin", &authenticate(&pupil.udid)),
        put("/mdm/checkin", &token_update(&pupil.udid)),
        put("/mdm/checkin", &super::school::dict(&[("MessageType", "CheckOut"), ("UDID", &pupil.udid)], "")),
    ]
}

#[test]
fn foreign_certificates() {
    let school = School::start();
    let good = school.enroll("AAAA-WHO-00000001");
    // Another school whose authority bears the same names.
    let now = SystemClock.now();
    let issuing = new_issuing_ca(&new_root("Cordon", now, &SystemRandom), "Cordon", now, &SystemRandom);
    let key = PrivateKey::generate_ec_p256().unwrap();
    let name = good.identity.certificate.subject_common_name().unwrap();
    let certificate =
        issue_device_identity(&issuing, &key.spki_der(), &name, "Cordon", now, 365, &SystemRandom).unwrap();
    let foreign = Identity { key, certificate };
    let self_signed = Identity { key: SIGNER.1.clone(), certificate: SIGNER.0.clone() };
    for identity in [None, Some(&foreign), Some(&self_signed)] {
        for answer in everything(&school, identity, &good) {
            assert_eq!(answer.of_device(), 400, "{}", answer.head);
        }
    }
    // Ours, but another device's: it may not speak for this one.
    let other = school.enroll("AAAA-WHO-00000002");
    for answer in everything(&school, Some(&other.identity), &good) {
        assert_eq!(answer.of_device(), 400, "{}", answer.head);
    }
    school.serves(&good);
    // It named another device and is set aside until somebody has looked.
    let path = format!("/api/v1/devices/{}/release-quarantine", other.udid);
    assert_eq!(school.control("POST", &path, &serde_json::json!({})).0, 200);
    school.serves(&other);
}

#[test]
fn expired_certificates() {
    let school = School::start();
    let old = school.enroll("AAAA-WHO-00000003");
    // Until 30 days after its end an identity may fetch its renewal; see the journeys of renewal.
    school.clock.advance((365 + 31) * DAY);
    for answer in everything(&school, Some(&old.identity), &old) {
        assert_eq!(answer.of_device(), 400, "{}", answer.head);
    }
    school.serves(&school.enroll("AAAA-WHO-00000004"));
}

#[test]
fn signatures_that_do_not_fit() {
    let school = School::start();
    let good = school.enroll("AAAA-WHO-00000005");
    let other = school.enroll("AAAA-WHO-00000006");
    let body = idle(&good.udid);
    let sign = |body: &[u8], who: &Identity| {
        let digest = who.key.preferred_digest();
        BASE64_STANDARD
            .encode(sign_detached(body, &who.certificate, &who.key, DetachedForm::WithAttributes, digest).unwrap())
    };
    let right = sign(&body, &good.identity);
    let send = |signature: &str| school.ask("PUT", "/mdm/command", &[("Mdm-Signature", signature)], &body);
    assert_eq!(send(&right).of_device(), 200, "a right signature is an identity");
    let mut bent = BASE64_STANDARD.decode(&right).unwrap();
    *bent.last_mut().unwrap() ^= 1;
    let cases = [
        ("empty", String::new()),
        ("noise", String::from("%%%% not base64 %%%%")),
        ("base64 of noise", BASE64_STANDARD.encode([0x30; 3_000])),
        ("over-long", "A".repeat(20_000)),
        ("over-long, right at its start", right.clone() + &"A".repeat(20_000)),
        ("cut", right[..right.len() / 2].to_owned()),
        ("bent", BASE64_STANDARD.encode(bent)),
        ("of another body", sign(&idle(&other.udid), &good.identity)),
        ("by another device", sign(&body, &other.identity)),
        ("by a stranger", sign(&body, &Identity { key: SIGNER.1.clone(), certificate: SIGNER.0.clone() })),
    ];
    for (name, signature) in &cases {
        assert_eq!(send(signature).of_device(), 400, "{name}");
    }
    // Longer than any head may be.
    let answer = send(&"A".repeat(80 * 1024));
    assert!(matches!(answer.of_device(), 400 | 431), "{}", answer.head);
    let twice = school.ask("PUT", "/mdm/command", &[("Mdm-Signature", &right), ("Mdm-Signature", &right)], &body);
    assert_eq!(twice.of_device(), 400);
    // A signature by one device inside the TLS connection of another.
    let answer =
        school.put(Some(&good.identity), "/mdm/command", &[("Mdm-Signature", &sign(&body, &other.identity))], &body);
    assert_eq!(answer.of_device(), 400);
    school.serves(&good);
}

#[test]
fn forwarded_certificates_are_believed_from_named_proxies_only() {
    let stranger = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    for (trusted, believed) in [(IpAddr::V4(Ipv4Addr::LOCALHOST), 200), (stranger, 400)] {
        let school = School::start_with(|options| options.trusted_proxies = vec![trusted]);
        let good = school.enroll("AAAA-WHO-00000007");
        let body = idle(&good.udid);
        let pem: String = good.identity.certificate.to_pem().bytes().map(|b| format!("%{b:02X}")).collect();
        let headers = [("Client-Cert", good.forwarded()), ("X-SSL-Client-Cert", pem)];
        for (name, value) in &headers {
            let answer = school.ask("PUT", "/mdm/command", &[(name, value)], &body);
            assert_eq!(answer.of_device(), believed, "{name} where {trusted} is trusted");
            // On a listener of our own the header is a lie, whoever sends it.
            assert_eq!(
                school.put(None, "/mdm/command", &[(name, value)], &body).of_device(),
                400,
                "{name} to the devices' door"
            );
        }
        for (name, value) in [
            ("Client-Cert", ""),
            ("Client-Cert", "::"),
            ("Client-Cert", ":%%%:"),
            ("Client-Cert", "no colons"),
            ("Client-Cert", ":AAAA:"),
            ("X-SSL-Client-Cert", ""),
            ("X-SSL-Client-Cert", "%zz"),
            ("X-SSL-Client-Cert", "-----BEGIN CERTIFICATE-----"),
        ] {
            assert_eq!(school.ask("PUT", "/mdm/command", &[(name, value)], &body).of_device(), 400, "{name}: {value}");
        }
        let forwarded = good.forwarded();
        let twice = [("Client-Cert", forwarded.as_str()), ("Client-Cert", forwarded.as_str())];
        assert_eq!(school.ask("PUT", "/mdm/command", &twice, &body).of_device(), 400);
        school.serves(&good);
    }
}

#[test]
fn tls_that_is_none() {
    use std::io::Write;
    let school = School::start();
    let good = school.enroll("AAAA-WHO-00000008");
    for junk in [
        &b"PUT /mdm/command HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        b"\x16\x03\x01\xff\xff",
        &[0x80; 4_000],
        b"\x15\x03\x03\0\x02\x02\x28",
    ] {
        let mut tcp = wire::connect(school.devices());
        let _ = tcp.write_all(junk);
        let _ = tcp.shutdown(std::net::Shutdown::Write);
        // An alert, a reset or nothing: but no HTTP.
        let mut said = Vec::new();
        let _ = std::io::Read::read_to_end(&mut tcp, &mut said);
        assert!(!said.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&said));
    }
    school.serves(&good);
}
