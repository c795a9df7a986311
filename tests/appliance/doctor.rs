//! The doctor finds what was broken on purpose, and says in plain words what to do. Its simulated device leaves no trace.

use super::{cordon, done};
use crate::support::{Plan, School, lasting_address};
use cordon::base::time::{Clock, DAY, HOUR, ManualClock, SystemClock};
use cordon::simulator::spec::Kind;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::sync::Arc;

fn examine(school: &School) -> Value {
    school.api("POST", "/doctor", &Value::Null).is(200)
}

/// The findings of a phase that went so, words and next step together.
fn said(report: &Value, phase: &str, verdict: &str) -> String {
    let found = report["findings"].as_array().unwrap().iter();
    let fits = found.filter(|f| f["phase"] == phase && f["verdict"] == verdict);
    let words: Vec<String> = fits.map(|f| format!("{} → {}", f["words"], f["next"])).collect();
    assert!(!words.is_empty(), "no {verdict} {phase} in {report:#}");
    words.join("\n")
}

#[test]
fn a_healthy_school_and_a_device_that_leaves_no_trace() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let school = School::planned(Plan { clock: Arc::clone(&clock) as _, ..Plan::default() });
    let ipad = school.enroll(Kind::Ipad, 1);
    school.api("POST", "/webhooks", &json!({ "name": "all", "url": "https://127.0.0.1:9/", "events": [] })).is(201);
    let before = school.get("/devices")["items"].clone();
    let pushed = school.stand_in.counts();
    let report = examine(&school);
    assert_eq!(report["ok"], true, "{report:#}");
    for phase in ["database", "disk", "clock", "permissions", "ports", "tls", "certificates", "push", "enrolment"] {
        said(&report, phase, "good");
    }
    assert_eq!(said(&report, "tls", "good").lines().count(), 2, "both doors");
    assert_eq!(school.get("/devices")["items"], before, "no device more");
    assert_eq!(school.get("/commands")["items"].as_array().unwrap().len(), 0);
    let store = &school.server().context().store;
    let events = store.read(|db| db.read_gauges(clock.now())).unwrap().webhooks_waiting;
    assert_eq!(events, 0, "no webhook was told");
    assert_eq!(store.read(|db| db.count_everything()).unwrap().devices, 1);
    assert!(store.quick_check().unwrap().is_none());
    // One push was tried, with a token that is nobody's; none for the simulated device.
    let after = school.stand_in.counts();
    assert_eq!(after.accepted, pushed.accepted, "{after:?}");
    assert_eq!(examine(&school)["ok"], true, "and once more");
    drop(ipad);
}

#[test]
fn what_is_broken_on_purpose_is_found() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let school = School::planned(Plan {
        clock: Arc::clone(&clock) as _,
        tune: Arc::new(|options| {
            options.hostname = String::from("mdm.nowhere.invalid");
            options.configured_hostname = Some(String::from("other.nowhere.invalid"));
        }),
        ..Plan::default()
    });
    let report = examine(&school);
    let words = said(&report, "names", "bad");
    assert!(words.contains("Nobody can find mdm.nowhere.invalid") && words.contains("DNS"), "{words}");
    assert!(said(&report, "names", "warning").contains("other.nowhere.invalid"));
    // The device is brought to this machine's own address, so it enrols all the same.
    said(&report, "enrolment", "good");

    // A year later the push certificate has ended.
    clock.advance(400 * DAY);
    let report = examine(&school);
    let words = said(&report, "certificates", "bad");
    assert!(words.contains("push certificate") && words.contains("identity.apple.com/pushcert"), "{words}");
    clock.advance(-400 * DAY - 3 * HOUR);
    school.server().context().flush_seen().unwrap();
    let report = examine(&school);
    let words = said(&report, "clock", "bad");
    assert!(words.contains("has already seen") && words.contains("timedatectl"), "{words}");
    assert_eq!(report["ok"], false);
}

#[test]
fn a_push_service_that_is_down_or_refuses_the_certificate() {
    let school = School::planned(Plan {
        tune: Arc::new(|options| options.apns_url = String::from("https://127.0.0.1:9")),
        ..Plan::default()
    });
    let words = said(&examine(&school), "push", "bad");
    assert!(words.contains("cannot be reached") && words.contains("api.push.apple.com"), "{words}");
    let bare = School::bare(Plan::default());
    let report = examine(&bare);
    assert!(said(&report, "push", "bad").contains("no push certificate"));
    assert!(said(&report, "enrolment", "bad").contains("No enrolment profile"));
}

#[test]
fn a_certificate_that_no_device_trusts() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec![String::from("localhost")]).unwrap();
    let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    // Somebody said that every device trusts it, and it is not so.
    let school = School::planned(Plan {
        tune: Arc::new(move |options| {
            options.tls = cordon::server::TlsSource::Files { certificate: certificate.clone(), key: key.clone() };
            options.publicly_trusted = Some(true);
        }),
        ..Plan::default()
    });
    let report = examine(&school);
    let words = said(&report, "tls", "bad");
    assert!(words.contains("would not trust") && words.contains("cordon tls"), "{words}");
    let words = said(&report, "enrolment", "bad");
    assert!(words.contains("failed to trust the server"), "{words}");
}

#[test]
fn without_a_server_a_taken_port_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("data");
    done(&home, &["setup", "--organization", "Hill School", "--hostname", "localhost", "--json"]);
    let taken = TcpListener::bind(lasting_address()).unwrap();
    let (taken_at, free) = (taken.local_addr().unwrap(), lasting_address());
    let config = home.join("cordon.toml");
    std::fs::write(&config, format!("listen.people = \"{taken_at}\"\nlisten.devices = \"{free}\"\n")).unwrap();
    let output = cordon(&home, &["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(1), "a monitor hears it");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let words = said(&report, "ports", "bad");
    assert!(words.contains(&taken_at.to_string()) && words.contains("in use") && words.contains("ss -ltnp"), "{words}");
    assert!(words.contains(&free) && words.contains("the server does not run"), "{words}");
    said(&report, "enrolment", "skipped");
}
