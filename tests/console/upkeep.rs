//! The pages that look after the server: what ends, backups, the doctor, reports, e-mail, the support bundle; each by forms alone.

use super::{House, PASSWORD};
use crate::support::School;
use cordon::base::time::DAY;
use cordon::service::activity;
use cordon::service::actor::Actor;
use cordon::service::doctor::{Verdict, rounds};
use cordon::simulator::spec::Kind;
use std::time::Duration;

#[test]
fn what_ends_is_on_a_page_and_in_a_calendar_with_a_secret_address() {
    let house = House::new();
    let ada = house.logged_in("owner");
    let page = ada.get("/console/expiry");
    page.has("The school&#39;s root").has("Replaced by itself").has("cordon ca replace");
    let shown = ada.post(&page, "/console/expiry/feed", &[]);
    let address = shown.text.split("<code>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let path = format!("/expiry/{}", address.rsplit_once('/').unwrap().1);
    let stranger = house.browser();
    assert!(stranger.get(&path).text.starts_with("BEGIN:VCALENDAR"));
    assert!(!ada.get("/console/expiry").text.contains(&address), "shown once");
    assert_eq!(ada.post(&page, "/console/expiry/feed-end", &[]).status, 303);
    assert_eq!(stranger.get(&path).status, 404);
    let cid = house.logged_in("auditor");
    assert!(!cid.get("/console/expiry").text.contains("expiry/feed"), "what is not allowed is not offered");
}

#[test]
fn a_backup_is_made_listed_and_downloaded() {
    let house = House::new();
    let ada = house.logged_in("owner");
    let page = ada.get("/console/backups");
    page.has("There is no backup yet.").has("cordon restore");
    assert_eq!(ada.post(&page, "/console/backups", &[]).status, 303);
    let page = ada.get("/console/backups");
    let name = page.text.split("/console/backups/").nth(1).unwrap().split('"').next().unwrap().to_owned();
    page.has(&format!("cordon restore {name} --verify"));
    let file = ada.get(&format!("/console/backups/{name}"));
    assert!(file.response.body.starts_with(b"SQLite format 3\0"), "{}", file.status);
    assert_eq!(file.header("content-disposition"), format!("attachment; filename=\"{name}\""));
    for strange in ["cordon-20990101T000000Z.db", "..%2Fcordon.db", "cordon.db"] {
        assert_eq!(ada.get(&format!("/console/backups/{strange}")).status, 404, "{strange}");
    }
}

#[test]
fn mail_is_set_without_the_password_ever_coming_back() {
    let house = House::new();
    let ada = house.logged_in("owner");
    let page = ada.get("/console/mail");
    page.has("Nobody is told by e-mail yet.");
    let mut wish = vec![
        ("host", "mail.hill.example"),
        ("security", "starttls"),
        ("username", "cordon"),
        ("password", "blue chair"),
        ("from", "cordon@hill.example"),
        ("to", "it@hill.example\r\nhead@hill.example"),
        ("enabled", "yes"),
    ];
    assert_eq!(ada.post(&page, "/console/mail", &wish).status, 303);
    let page = ada.get("/console/mail");
    page.has("mail.hill.example:587").has("it@hill.example, head@hill.example").has("certificate.expiring");
    assert!(!page.text.contains("blue chair"));
    // Refused, with what was typed and without the password.
    wish[0] = ("host", "evil.example");
    wish.remove(3);
    let refused = ada.post(&page, "/console/mail", &wish);
    assert_eq!(refused.status, 422);
    refused.has("is needed again").has("evil.example");
    let ticked =
        |text: &str| text.split("name=\"enabled\"").nth(1).unwrap().split('>').next().unwrap().contains("checked");
    assert!(ticked(&refused.text));
    // A box that was unticked in a form that is refused stays so.
    wish.pop();
    assert!(!ticked(&ada.post(&page, "/console/mail", &wish).text));
    // Nothing here may use the network: it says so.
    let tried = ada.post(&page, "/console/mail/test", &[]);
    assert_eq!(tried.status, 503);
    tried.has("did not take the letter");
    ada.get("/console/mail").has("Not taken");
    assert_eq!(ada.post(&page, "/console/mail/remove", &[]).status, 303);
    ada.get("/console/mail").has("Nobody is told by e-mail yet.");
    // Neither the name nor the password of the account is in the audit.
    let log = ada.get("/console/audit?verb=mail.set");
    assert!(log.status == 200 && !log.text.contains("blue chair"));
}

#[test]
fn the_support_bundle_names_nobody() {
    let house = House::new();
    let ada = house.logged_in("owner");
    let page = ada.get("/console/support");
    page.has("What is in it");
    ada.post(&page, "/console/settings/place", &[("organization", "Hill School"), ("kind", "school")]);
    let bundle = ada.post(&page, "/console/support", &[]);
    assert_eq!(bundle.header("content-disposition"), "attachment; filename=\"cordon-support.json\"");
    assert!(bundle.text.contains("schema_version") && !bundle.text.contains("Hill School"), "{}", bundle.text);
    assert!(!bundle.text.contains(PASSWORD));
}

#[test]
fn the_security_report_holds_what_a_device_told() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    let uuid = school.send(&ipad, "SecurityInfo", serde_json::Value::Null);
    school.wait_for(&uuid, "Acknowledged");
    let cx = school.server().context();
    let owner = Actor::LocalShell { user: String::from("root") };
    let (lines, more) = cordon::service::security::page(cx, &owner, 0, 1).unwrap();
    assert!(lines.len() == 1 && !more && lines[0].told_at.is_some());
    assert_eq!((lines[0].passcode_present, lines[0].passcode_compliant), (Some(true), Some(true)));
}

#[test]
fn a_quiet_device_is_shown_with_causes_and_the_policy_is_changed() {
    let house = House::new();
    let ids = super::pages::plant(&house, 12, |i| format!("Room {i}"));
    let heard = |id: &str| {
        let all = house.cx.store.read(|db| db.list_activity()).unwrap();
        let channel = all.iter().find(|row| row.public_id == id).unwrap().enrollment;
        let now = house.cx.now();
        house.cx.store.write(|tx| tx.put_last_seen(&[(channel, now)])).unwrap();
    };
    house.clock.advance(8 * DAY);
    heard(&ids[0]);
    let ada = house.logged_in("owner");
    let page = ada.get("/console/quiet");
    page.has("Room 11").has("Inactive").has("It is switched off, or its battery is empty.");
    assert!(!page.text.contains("Room 0<"), "the one that was just seen is not among them");
    ada.post(&page, "/console/groups/new", &[("name", "Not seen"), ("kind", "devices")]);
    let wish = [("days", "3"), ("group", "Not seen"), ("alert", "yes")];
    assert_eq!(ada.post(&page, "/console/quiet", &wish).status, 303);
    activity::watch(&house.cx).unwrap();
    ada.get("/console/groups/Not%20seen").has("Room 11");
    ada.get("/console").has("devices are inactive");
    for bad in ["0", "31", "x"] {
        assert_eq!(ada.post(&page, "/console/quiet", &[("days", bad)]).status, 422, "{bad}");
    }
    // Heard of again: active, and out of the group.
    heard(&ids[11]);
    activity::watch(&house.cx).unwrap();
    assert!(!ada.get("/console/groups/Not%20seen").text.contains("Room 11"));
    ada.get("/console/security").has("Room 11").has("unknown");
    let csv = ada.get("/console/security?format=csv");
    assert!(csv.header("content-type").starts_with("text/csv") && csv.text.contains("Room 11"));
    for page in ["quiet", "security"] {
        let beyond = ada.get(&format!("/console/{page}?from={}", usize::MAX));
        assert!(beyond.status == 200 && !beyond.text.contains("Next page"), "{page}: {}", beyond.text);
    }
    // Files with what devices told stay in no browser's cache.
    for name in ["devices.csv", "devices.json", "apps.csv"] {
        let file = ada.get(&format!("/console/inventory/{name}"));
        assert_eq!((file.status, file.header("cache-control")), (200, "no-store"), "{name}");
        assert_eq!(file.header("x-content-type-options"), "nosniff", "{name}");
    }
}

#[test]
fn the_doctor_examines_in_the_background() {
    let house = House::new();
    let ada = house.logged_in("owner");
    let page = ada.get("/console/doctor");
    page.has("has not been examined");
    assert_eq!(ada.post(&page, "/console/doctor", &[]).status, 303);
    ada.get("/console/doctor").has("It begins in a moment.").has("hx-get=\"/console/doctor/now\"");
    rounds::wait_and_carry_out(&house.cx, Duration::ZERO).unwrap();
    let done = ada.get("/console/doctor");
    done.has("Database").has("Good").has("Next step");
    assert!(!done.text.contains("hx-get"), "what is finished is not asked for again");
    // On a whole server a thread does it, and a simulated device enrols.
    let school = School::new();
    let cx = school.server().context();
    let owner = Actor::LocalShell { user: String::from("root") };
    rounds::ask(cx, &owner).unwrap();
    rounds::ask(cx, &owner).unwrap();
    let round =
        school.wait_until("the examination", || rounds::last(cx, &owner).unwrap().filter(|r| r.ended_at.is_some()));
    let enrolled = round.findings.iter().find(|one| one.phase == "enrolment").unwrap();
    assert_eq!((enrolled.verdict, round.done), (Verdict::Good, round.all), "{enrolled:?}");
}
