//! A school is set up in the browser: the link opens once, the steps can be left and resumed, the recovery code must be typed back, and in the
//! end a simulated device has enrolled.

use crate::support::api::Reply;
use crate::support::{Plan, School, TOPIC};
use cordon::base::time::{Clock, DAY, ManualClock, SystemClock};
use cordon::simulator::network::tls_config;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

/// A browser with one cookie.
struct Browser<'s> {
    school: &'s School,
    cookie: Option<String>,
}

impl Browser<'_> {
    /// One request on a connection of its own; nothing is followed by itself.
    fn send(&mut self, method: &str, path: &str, body: &str) -> Reply {
        let address = self.school.server().people().unwrap();
        let tls = tls_config(&[self.school.root()], None).unwrap();
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let client = rustls::ClientConnection::new(tls, name).unwrap();
        let mut stream = rustls::StreamOwned::new(client, TcpStream::connect(address).unwrap());
        let cookie = self.cookie.as_ref().map(|cookie| format!("Cookie: {cookie}\r\n")).unwrap_or_default();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n{cookie}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut bytes = Vec::new();
        // A server that closes without a good-bye has still said everything.
        let _ = stream.read_to_end(&mut bytes);
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let pairs = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let headers: Vec<_> = pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        if let Some((_, cookie)) = headers.iter().find(|(name, _)| name == "set-cookie") {
            self.cookie = cookie.split(';').next().map(str::to_owned);
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply { status, headers, body: bytes[end + 4..].to_vec() }
    }

    /// The page of the next step, or of a chosen one.
    fn page(&mut self, query: &str) -> String {
        let reply = self.send("GET", &format!("/setup{query}"), "");
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.text()
    }

    /// Sends the form of a step, with the word that the page carries.
    fn take(&mut self, step: &str, fields: &[(&str, &str)]) -> Reply {
        let page = self.page("?step=school");
        let word = page.split("name=\"form\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let mut body = format!("form={word}");
        for (key, value) in fields {
            let escaped: String = value.bytes().map(|b| format!("%{b:02X}")).collect();
            body.push_str(&format!("&{key}={escaped}"));
        }
        self.send("POST", &format!("/setup/{step}"), &body)
    }
}

fn path(url: &str) -> &str {
    &url[url.find("/setup/").unwrap()..]
}

#[test]
fn from_the_link_to_a_managed_device() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let school = School::bare(Plan { clock: clock.clone(), ..Plan::default() });
    let mut stranger = Browser { school: &school, cookie: None };
    for page in ["/", "/enroll"] {
        let closed = stranger.send("GET", page, "");
        assert!(closed.status == 503 && closed.text().contains("cordon setup-link"), "{page}: {}", closed.text());
    }
    assert_eq!(stranger.send("GET", "/setup", "").status, 403);
    assert_eq!(stranger.send("GET", "/setup/0000", "").status, 403, "a guess");

    let url = school.api("POST", "/setup/link", &Value::Null).is(201)["url"].as_str().unwrap().to_owned();
    let mut ada = Browser { school: &school, cookie: None };
    assert_eq!(ada.send("GET", path(&url), "").status, 303);
    let mut late = Browser { school: &school, cookie: None };
    assert_eq!(late.send("GET", path(&url), "").status, 403, "it opens once");

    assert!(ada.page("").contains("Name of the school"));
    assert_eq!(ada.send("POST", "/setup/school", "organization=X&hostname=localhost").status, 403, "no form of ours");
    assert_eq!(ada.take("school", &[("organization", "Hill School"), ("hostname", "localhost")]).status, 303);
    assert!(ada.page("").contains("Where it comes from"), "which certificate");
    assert_eq!(ada.take("tls", &[("mode", "own-ca")]).status, 303);
    let wrong = ada.take("admin", &[("name", "ada"), ("password", "tin roof in may"), ("again", "tin roof in june")]);
    assert!(wrong.status == 400 && wrong.text().contains("not the same"), "{}", wrong.text());
    assert_eq!(
        ada.take("admin", &[("name", "ada"), ("password", "tin roof in may"), ("again", "tin roof in may")]).status,
        303
    );

    // Left in the middle, and resumed in another browser with another link.
    let url = school.api("POST", "/setup/link", &Value::Null).is(201)["url"].as_str().unwrap().to_owned();
    assert_eq!(ada.send("GET", "/setup", "").status, 403, "the first browser is out");
    let mut bea = Browser { school: &school, cookie: None };
    bea.send("GET", path(&url), "");
    assert!(bea.page("").contains("Make the code"), "it goes on where it was left");

    assert_eq!(bea.take("code", &[]).status, 303);
    let page = bea.page("");
    let code = page.split("<p class=\"code\"><code>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    assert_eq!(code.len(), 39, "{code}");
    assert_eq!(bea.take("code", &[("typed", "abcd-efgh")]).status, 400, "not what is on the paper");
    assert_eq!(bea.take("code", &[("typed", &code[30..])]).status, 303);
    let made = || school.get("/setup")["recovery_code_made_at"].clone();
    let first = made();
    clock.advance(1_000);
    for again in [&[("typed", &code[30..])][..], &[]] {
        bea.take("code", again);
        assert_eq!(made(), first, "a double click makes no other code");
    }
    assert!(!bea.page("?step=code").contains(&code), "never shown again");

    for drawn in ["Sign in", "Create a Certificate", "Upload", "Confirmation"] {
        assert!(bea.page("").contains(drawn) && bea.page("").contains("<svg"), "what Apple asks is drawn: {drawn}");
    }
    let csr = bea.send("GET", "/setup/request.csr", "");
    assert!(csr.status == 200 && csr.text().contains("BEGIN CERTIFICATE REQUEST"), "{}", csr.text());
    assert_eq!(bea.take("push", &[("certificate", "nonsense")]).status, 400);
    let (certificate, key) = school.stand_in.push_certificate(TOPIC).unwrap();
    let taken = bea.take("push", &[("certificate", &format!("{certificate}{key}"))]);
    assert_eq!(taken.status, 200, "with a word about the stand-in's chain, which is not Apple's: {}", taken.text());
    let tried = bea.take("test", &[]);
    assert!(tried.status == 200 && tried.text().contains("enrolment: good."), "{}", tried.text());
    let end = bea.take("done", &[]);
    assert!(end.status == 200 && end.text().contains("Log in"), "{}", end.text());
    assert_eq!(bea.send("GET", "/setup", "").status, 403, "the link is over");
    assert_eq!(stranger.send("GET", "/enroll", "").status, 200, "the school is open");
    school.api("POST", "/setup/link", &Value::Null).is_problem(409, "set-up-done");
    let state = school.get("/setup");
    assert_eq!((state["organization"].as_str(), state["restart_needed"].as_bool()), (Some("Hill School"), Some(false)));
    let login = serde_json::json!({ "name": "ada", "password": "tin roof in may" });
    assert_eq!(school.https(None, "POST", "/api/v1/login", &login).status, 200);
}

#[test]
fn a_link_that_nobody_opened_is_over_with_the_day_and_with_the_first_owner() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let school = School::bare(Plan { clock: clock.clone(), ..Plan::default() });
    let link = || school.api("POST", "/setup/link", &Value::Null).is(201)["url"].as_str().unwrap().to_owned();
    let opened = |url: &str| Browser { school: &school, cookie: None }.send("GET", path(url), "").status;
    let url = link();
    clock.advance(DAY);
    assert_eq!(opened(&url), 403, "a day later");

    // Printed at the start; then somebody set the school up at the command line.
    let url = link();
    let wish = serde_json::json!({ "organization": "Hill School", "hostname": "localhost", "admin": { "name": "ada", "password": "tin roof in may" } });
    school.api("POST", "/setup", &wish).is(200);
    assert_eq!(opened(&url), 403, "the first owner was made without it");
    school.api("POST", "/setup/link", &Value::Null).is_problem(409, "set-up-done");
}

#[test]
fn a_new_link_may_be_asked_for_more_than_once() {
    let school = School::bare(Plan::default());
    let link = || school.api("POST", "/setup/link", &Value::Null).is(201)["url"].as_str().unwrap().to_owned();
    let mut ada = Browser { school: &school, cookie: None };
    ada.send("GET", path(&link()), "");
    ada.take("school", &[("organization", "Hill School"), ("hostname", "localhost")]);
    ada.take("admin", &[("name", "ada"), ("password", "tin roof in may"), ("again", "tin roof in may")]);
    let (lost, found) = (link(), link());
    for (url, status) in [(lost, 403), (found, 303)] {
        assert_eq!(Browser { school: &school, cookie: None }.send("GET", path(&url), "").status, status);
    }
}

/// The heading of the step that the page shows.
fn here(page: &str) -> &str {
    page.split("<strong aria-current=\"step\">").nth(1).unwrap().split('<').next().unwrap()
}

#[test]
fn left_and_resumed_at_every_step_in_another_browser_and_after_a_restart() {
    let mut school = School::bare(Plan::with_lasting_ports());
    let (certificate, key) = school.stand_in.push_certificate(TOPIC).unwrap();
    let pem = format!("{certificate}{key}");
    let again = "tin roof in may";
    type Fields<'a> = Vec<(&'a str, &'a str)>;
    let steps: [(&str, &str, Fields<'_>); 5] = [
        ("The school", "school", vec![("organization", "Hill School"), ("hostname", "localhost")]),
        ("TLS certificate", "tls", vec![("mode", "own-ca")]),
        ("Who runs it", "admin", vec![("name", "ada"), ("password", again), ("again", again)]),
        ("Recovery code", "code", vec![]),
        ("Push certificate", "push", vec![("certificate", &pem)]),
    ];
    for (title, step, fields) in &steps {
        // A new link in a new browser, and half of the time a server that was started anew.
        if matches!(*step, "tls" | "code" | "push") {
            school.stop();
            school.start();
        }
        let url = school.api("POST", "/setup/link", &Value::Null).is(201)["url"].as_str().unwrap().to_owned();
        let mut browser = Browser { school: &school, cookie: None };
        assert_eq!(browser.send("GET", path(&url), "").status, 303);
        let page = browser.page("");
        assert_eq!(here(&page), *title, "it goes on where it was left");
        if *step == "push" {
            // The request is the same after leaving: what was sent to be signed goes on being good.
            let csr = |browser: &mut Browser<'_>| browser.send("GET", "/setup/request.csr", "").text();
            assert!(csr(&mut browser).contains("BEGIN CERTIFICATE REQUEST"));
        }
        let taken = browser.take(step, fields);
        assert!(matches!(taken.status, 303 | 200), "{step}: {}", taken.text());
        if *step == "code" {
            // Left between seeing the code and typing it back: in the same browser it is still there.
            let page = browser.page("");
            let code = page.split("<p class=\"code\"><code>").nth(1).unwrap().split('<').next().unwrap().to_owned();
            assert!(browser.page("").contains(&code));
            assert_eq!(browser.take("code", &[("typed", &code[30..])]).status, 303);
        }
        // Back to an earlier step, and on: nothing that was done is undone.
        assert!(browser.page("?step=school").contains("Hill School"));
    }
    let url = school.api("POST", "/setup/link", &Value::Null).is(201)["url"].as_str().unwrap().to_owned();
    let mut browser = Browser { school: &school, cookie: None };
    browser.send("GET", path(&url), "");
    assert_eq!(here(&browser.page("")), "Trial with a simulated device");
    assert!(browser.take("test", &[]).text().contains("enrolment: good."));
    assert_eq!(here(&browser.page("")), "Done");
    assert_eq!(browser.take("done", &[]).status, 200);
}

#[test]
fn a_code_that_was_seen_and_not_confirmed_before_a_restart_is_made_anew() {
    let mut school = School::bare(Plan::with_lasting_ports());
    let begin = |school: &School| {
        let url = school.api("POST", "/setup/link", &Value::Null).is(201)["url"].as_str().unwrap().to_owned();
        path(&url).to_owned()
    };
    let shown = |browser: &mut Browser<'_>| {
        let page = browser.page("?step=code");
        page.split("<p class=\"code\"><code>").nth(1).map(|rest| rest.split('<').next().unwrap().to_owned())
    };
    let link = begin(&school);
    let mut ada = Browser { school: &school, cookie: None };
    ada.send("GET", &link, "");
    ada.take("code", &[]);
    let first = shown(&mut ada).unwrap();
    school.stop();
    school.start();
    let link = begin(&school);
    let mut bea = Browser { school: &school, cookie: None };
    bea.send("GET", &link, "");
    assert!(shown(&mut bea).is_none(), "it is not kept");
    assert!(bea.page("?step=code").contains("Make a new code; the one before stops working"));
    bea.take("code", &[]);
    assert_ne!(shown(&mut bea).unwrap(), first);
}
