//! What monitors, calendars and people with a calendar are told.

use crate::support::{Plan, School};
use cordon::base::time::{Clock, DAY, ManualClock, SystemClock};
use cordon::http::control::Client;
use cordon::simulator::spec::Kind;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

/// One GET over plain HTTP, as a monitor makes it.
fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: monitor\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

/// The value of one line of Prometheus' format.
fn value(text: &str, name: &str) -> f64 {
    let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
    line.unwrap_or_else(|| panic!("{name} is missing in\n{text}")).rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_monitor_reads_the_numbers_and_the_reasons() {
    let school = School::planned(Plan {
        tune: Arc::new(|options| options.listen_metrics = String::from("127.0.0.1:0")),
        ..Plan::default()
    });
    let monitor = school.server().metrics().unwrap();
    let ipad = school.enroll(Kind::Ipad, 1);
    ipad.set_deaf(true);
    school.send(&ipad, "ProfileList", Value::Null);
    for _ in 0..2 {
        school.api("POST", "/tokens", &json!({ "name": "twice", "role": "auditor", "expires_in": "10d" })).is(201);
    }
    school.https(None, "GET", "/console/login", &Value::Null);
    let (status, text) = get(monitor, "/metrics");
    assert_eq!(status, 200);
    let series: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|l| l.0)
        .collect();
    let different: std::collections::BTreeSet<&str> = series.iter().copied().collect();
    assert_eq!(different.len(), series.len(), "no series twice: {text}");
    assert!(text.contains("{kind=\"token\",name=\"twice\",id=\""), "{text}");
    assert_eq!(value(&text, "cordon_http_requests_total{room=\"console\",status=\"2xx\"}"), 1.0);
    let began = |text: &str| value(text, "process_start_time_seconds");
    assert_eq!(began(&text), began(&get(monitor, "/metrics").1), "it began once");
    assert_eq!(value(&text, "cordon_healthy"), 1.0);
    assert_eq!(value(&text, "cordon_devices{state=\"active\"}"), 1.0);
    assert_eq!(value(&text, "cordon_commands_waiting{state=\"Queued\"}"), 1.0);
    assert!(value(&text, "cordon_http_requests_total{room=\"device\",status=\"2xx\"}") >= 2.0);
    assert!(text.contains("cordon_expiry_timestamp_seconds{kind=\"push\",name=\"com.apple.mgmt."));
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, number) = line.rsplit_once(' ').unwrap();
        assert!(number.parse::<f64>().is_ok() && name.starts_with(|c: char| c.is_ascii_lowercase()), "{line}");
    }
    assert!(!text.contains(&ipad.udid()), "numbers name no device");
    assert_eq!(get(monitor, "/healthz").0, 200);
    assert_eq!(get(monitor, "/api/v1/devices").0, 404);
    let socket = Client::new(school.server().socket().0);
    assert_eq!(socket.request("GET", "/metrics", &[], b"").unwrap().0, 200);
    assert_eq!(school.https(None, "GET", "/metrics", &Value::Null).status, 404, "not for the world");

    school.server().context().store.write(|tx| tx.pause_topic(crate::support::TOPIC, Some("BadCertificate"))).unwrap();
    let (status, reasons) = get(monitor, "/healthz");
    assert!(status == 503 && reasons.contains("Apple refuses the push certificate"), "{reasons}");
    assert_eq!(value(&get(monitor, "/metrics").1, "cordon_healthy"), 0.0);
}

#[test]
fn what_ends_is_in_the_list_and_in_the_calendar() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let school = School::planned(Plan { clock: Arc::clone(&clock) as _, ..Plan::default() });
    let ipad = school.enroll(Kind::Ipad, 1);
    ipad.set_deaf(true);
    school.api("POST", "/tokens", &json!({ "name": "script", "role": "auditor", "expires_in": "10d" })).is(201);
    let items = school.get("/expiry")["items"].as_array().unwrap().clone();
    let kinds: Vec<&str> = items.iter().map(|item| item["kind"].as_str().unwrap()).collect();
    for kind in ["push", "tls", "root", "issuing", "signer", "identities", "token"] {
        assert!(kinds.contains(&kind), "{kind} in {kinds:?}");
    }
    assert_eq!(kinds[0], "token", "soonest first");
    assert!(items.windows(2).all(|two| two[0]["not_after"].as_str() <= two[1]["not_after"].as_str()));
    let push = items.iter().find(|item| item["kind"] == "push").unwrap();
    assert!(push["renewal"] == "person" && push["what"].as_str().unwrap().contains("never make a new one"), "{push}");

    let url = school.api("POST", "/expiry/feed", &Value::Null).is(201)["url"].as_str().unwrap().to_owned();
    let path = format!("/expiry/{}", url.rsplit('/').next().unwrap());
    let calendar = school.https(None, "GET", &path, &Value::Null);
    assert_eq!((calendar.status, calendar.text().matches("BEGIN:VEVENT").count()), (200, items.len()));
    clock.advance(DAY);
    assert_eq!(school.https(None, "GET", &path.replace(".ics", "0.ics"), &Value::Null).status, 404);
    let second = school.api("POST", "/expiry/feed", &Value::Null).is(201)["url"].as_str().unwrap().to_owned();
    assert_eq!(school.https(None, "GET", &path, &Value::Null).status, 404, "the address before it is gone");
    school.api("DELETE", "/expiry/feed", &Value::Null).is(204);
    let path = format!("/expiry/{}", second.rsplit('/').next().unwrap());
    assert_eq!(school.https(None, "GET", &path, &Value::Null).status, 404);
}
