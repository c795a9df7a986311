//! Revoked identities count no more, at once, and the published list says so in a form that other programs verify.

use super::{Timed, identity_serial};
use crate::support::School;
use crate::support::wire::idle;
use cordon::simulator::network::{Network, tls_config};
use cordon::simulator::spec::Kind;
use cordon::simulator::wire::{Client, Request};
use serde_json::{Value, json};
use std::process::Command;
use std::sync::Arc;

/// Fetches over the people's listener.
fn fetch(school: &School, path: &str) -> (u16, Vec<u8>) {
    let url = format!("https://localhost:{}{path}", school.server().people().unwrap().port());
    let mut client = Client::new(Arc::new(Network::default()), tls_config(&[school.root()], None).unwrap());
    let answer = client.send(&Request { method: "GET", url: &url.parse().unwrap(), headers: &[], body: b"" }).unwrap();
    (answer.status, answer.body)
}

/// What openssl reads out of a list, which it must be able to verify.
fn read(school: &School, der: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (list, ca) = (folder.path().join("crl.der"), folder.path().join("ca.pem"));
    std::fs::write(&list, der).unwrap();
    std::fs::write(&ca, school.server().context().authorities().issuing.certificate.to_pem()).unwrap();
    let run = Command::new("openssl")
        .args(["crl", "-inform", "DER", "-noout", "-text", "-verify", "-CAfile"])
        .args([&ca, std::path::Path::new("-in"), &list])
        .output()
        .unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(told.contains("verify OK"), "{told}");
    told
}

fn number(told: &str) -> u64 {
    let after = told.split("X509v3 CRL Number:").nth(1).unwrap();
    after.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn the_list_grows_verifies_and_is_kept_while_nothing_changes() {
    let timed = Timed::new();
    let school = &timed.school;
    let (lost, good) = (timed.enroll(Kind::Ipad, 1), timed.enroll(Kind::Ipad, 2));
    let serial = identity_serial(&lost);
    let (status, first) = fetch(school, "/crl");
    assert_eq!(status, 200);
    let told = read(school, &first);
    assert!(told.contains("No Revoked Certificates"), "{told}");
    assert_eq!(fetch(school, "/crl").1, first, "the same list, byte for byte");

    school.api("POST", &format!("/certificates/{serial}/revoke"), &Value::Null).is(200);
    assert_eq!(school.caller(Some(&lost.identity())).report(&idle(&lost.udid())).status, 400, "at once, and no 401");
    let told_after = read(school, &fetch(school, "/crl").1);
    assert!(told_after.contains(&serial.to_uppercase()) && told_after.contains("Privilege Withdrawn"), "{told_after}");
    assert!(!told_after.contains(&identity_serial(&good).to_uppercase()));
    assert!(number(&told_after) > number(&told));
    timed.serves(&good);
    school.api("POST", "/certificates/00ff00ff00ff/revoke", &Value::Null).is_problem(404, "no-such-certificate");

    // A day later the dates are fresh, and the list is another.
    timed.days(2);
    assert!(number(&read(school, &fetch(school, "/crl").1)) > number(&told_after));
}

#[test]
fn leaving_is_a_hold_and_a_replacement_is_for_good() {
    let timed = Timed::new();
    let school = &timed.school;
    let (leaves, renews) = (timed.enroll(Kind::Ipad, 1), timed.enroll(Kind::Ipad, 2));
    let (left, replaced) = (identity_serial(&leaves), identity_serial(&renews));
    leaves.with(|d| d.remove_management());
    timed.post(&renews, "renew").is(201);
    timed.wait_renewal(&renews, "done");
    let told = read(school, &fetch(school, "/crl").1);
    assert!(told.contains(&left.to_uppercase()) && told.contains("Certificate Hold"), "{told}");
    assert!(told.contains(&replaced.to_uppercase()) && told.contains("Superseded"), "{told}");
}

#[test]
fn identities_name_their_list_also_after_the_authority_was_replaced() {
    let timed = Timed::new();
    let school = &timed.school;
    let ipad = timed.enroll(Kind::Ipad, 1);
    let leaf = ipad.identity().chain[0].clone();
    let text = String::from_utf8_lossy(&leaf).into_owned();
    let from = text.find("/crl/").unwrap();
    let path: String = text[from..from + "/crl/".len() + 16].to_owned();
    assert_eq!(fetch(school, &path).0, 200);
    school.api("POST", "/authorities/replace", &json!({ "what": "issuing" })).is(200);
    assert_eq!(fetch(school, &path).0, 200, "the former authority still signs its list");
    assert_ne!(fetch(school, &path).1, fetch(school, "/crl").1);
    assert_eq!(fetch(school, "/crl/0000000000000000").0, 404);
}
