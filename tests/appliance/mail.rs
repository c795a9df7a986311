//! Warnings by e-mail, to a real mail server (Debian's `python3-aiosmtpd`) on loopback: over TLS, after STARTTLS, with a login; in one
//! letter; again when it was not taken; and never a password in the clear.

use crate::support::{Plan, School, lasting_address};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cordon::base::time::{Clock, DAY, HOUR, MINUTE, SystemClock, Timestamp};
use cordon::pki::SystemRandom;
use cordon::pki::keys::PrivateKey;
use cordon::pki::templates;
use cordon::service::{expiring, health, mailing};
use cordon::store::StoreError;
use serde_json::{Value, json};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

const PASSWORD: &str = "grün";

/// A running mail server. Killed when dropped.
struct MailServer {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
    ca_pem: String,
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The interpreter that has the package; the system's own before others.
fn python() -> Option<&'static str> {
    let has = |python: &&str| {
        let mut asked = Command::new(python);
        asked.args(["-c", "import aiosmtpd"]).stdout(Stdio::null()).stderr(Stdio::null());
        asked.status().is_ok_and(|status| status.success())
    };
    ["/usr/bin/python3", "python3"].into_iter().find(has)
}

impl MailServer {
    /// `None`, loudly, where it is not installed.
    fn start(mode: &str) -> Option<Self> {
        let Some(python) = python() else {
            eprintln!(
                "SKIPPED: aiosmtpd (Debian package `python3-aiosmtpd`) is not installed, so no letter was sent to a real server"
            );
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let now = SystemClock.now();
        let root = templates::new_root("The mail server's own", now, &SystemRandom);
        let key = PrivateKey::generate_ec_p256().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let leaf = templates::issue_tls_server(&root, &names, &key.spki_der(), now, 30, &SystemRandom).unwrap();
        std::fs::write(path("cert.pem"), leaf.to_pem()).unwrap();
        std::fs::write(path("key.pem"), key.to_pem().expose()).unwrap();
        let address = lasting_address();
        let port = address.rsplit_once(':').unwrap().1.to_owned();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/appliance/smtp.py");
        let child = Command::new(python)
            .arg(script)
            .args([mode, &port, &path("cert.pem"), &path("key.pem")])
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(path("log")).unwrap())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(&address).is_err() {
            assert!(Instant::now() < until, "the mail server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self { child, port: port.parse().unwrap(), ca_pem: root.certificate.to_pem(), folder })
    }

    fn refuses(&self) -> PathBuf {
        self.folder.path().join("refuse")
    }

    fn letters(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("letters")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn wish(&self, security: &str) -> Value {
        json!({ "host": "localhost", "port": self.port, "security": security, "username": "cordon", "password": PASSWORD,
            "ca_pem": self.ca_pem, "from": "cordon@hill.example", "to": ["it@hill.example", "head@hill.example"] })
    }
}

/// The words of a letter.
fn body(letter: &Value) -> String {
    let (_, body) = letter["content"].as_str().unwrap().split_once("\r\n\r\n").unwrap();
    String::from_utf8(BASE64_STANDARD.decode(body.replace("\r\n", "")).unwrap()).unwrap().replace("\r\n", "\n")
}

fn header<'a>(letter: &'a Value, name: &str) -> &'a str {
    let head = letter["content"].as_str().unwrap().split("\r\n\r\n").next().unwrap();
    let line = head.split("\r\n").find_map(|line| line.strip_prefix(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("no {name} in {head}"))
}

/// The machine's clock, moved.
#[derive(Default)]
struct Ahead(AtomicI64);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus(self.0.load(Ordering::SeqCst))
    }
}

fn school() -> (School, Arc<Ahead>) {
    let clock = Arc::new(Ahead::default());
    (School::planned(Plan { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..Plan::with_lasting_ports() }), clock)
}

#[test]
fn a_trial_letter_goes_over_tls_and_after_starttls_with_a_login() {
    for (security, mode) in [("tls", "tls"), ("starttls", "starttls")] {
        let Some(server) = MailServer::start(mode) else { return };
        let school = School::new();
        school.api("POST", "/mail/test", &json!({})).is_problem(404, "no-mail-server");
        let shown = school.api("PUT", "/mail", &server.wish(security)).is(200);
        assert!(shown["own_ca"] == true && !shown.to_string().contains(PASSWORD), "{shown}");
        let tried = school.api("POST", "/mail/test", &json!({})).is(200);
        assert_eq!(tried["answer"], "250 2.0.0 taken");
        let letters = server.letters();
        assert_eq!(letters.len(), 1, "{security}");
        let letter = &letters[0];
        assert_eq!((&letter["tls"], &letter["login"]), (&json!(true), &json!("cordon")), "{security}");
        assert_eq!(letter["to"], json!(["it@hill.example", "head@hill.example"]));
        assert_eq!(header(letter, "From"), "Cordon <cordon@hill.example>");
        assert!(header(letter, "Subject").ends_with(": a trial letter"), "{letter}");
        assert!(body(letter).contains("This is a trial"));
        // The wrong password, in the server's words.
        let mut wrong = server.wish(security);
        wrong["password"] = json!("red");
        school.api("PUT", "/mail", &wrong).is(200);
        let refused = school.api("POST", "/mail/test", &json!({})).is_problem(503, "mail-not-taken");
        assert!(refused.contains("the login was refused: 535") && !refused.contains("red\n"), "{refused}");
        // Somebody else's certificate.
        let mut public = server.wish(security);
        public.as_object_mut().unwrap().remove("ca_pem");
        school.api("PUT", "/mail", &public).is(200);
        let refused = school.api("POST", "/mail/test", &json!({})).is_problem(503, "mail-not-taken");
        assert!(refused.contains("certificate"), "{refused}");
        assert_eq!(server.letters().len(), 1, "{security}: nothing went to who could not prove its name");
        // Audited without the password; the file holds it sealed.
        let audit = school.get("/audit?verb=mail.set");
        assert!(!audit.to_string().contains(PASSWORD) && audit["items"].as_array().unwrap().len() == 3);
        let row =
            school.server().context().store.read(|db| Ok::<_, StoreError>(db.find_mail_server()?.unwrap())).unwrap();
        let sealed = row.sealed_password.unwrap();
        assert!(!sealed.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes()));
    }
}

#[test]
fn no_letter_and_no_password_goes_in_the_clear() {
    let Some(server) = MailServer::start("plain") else { return };
    let school = School::new();
    // It has no TLS: what asks for it sends nothing.
    for security in ["tls", "starttls"] {
        school.api("PUT", "/mail", &server.wish(security)).is(200);
        school.api("POST", "/mail/test", &json!({})).is_problem(503, "mail-not-taken");
    }
    assert!(server.letters().is_empty());
    let plain = |host: &str| json!({ "host": host, "port": server.port, "security": "plain", "from": "c@hill.example", "to": ["it@hill.example", "nobody@hill.example"] });
    for host in ["mail.hill.example", "10.0.0.1", "localhost.evil.example"] {
        school.api("PUT", "/mail", &plain(host)).is_problem(400, "bad-argument");
    }
    // On this machine it is allowed; who is refused there is told.
    school.api("PUT", "/mail", &plain("localhost")).is(200);
    let tried = school.api("POST", "/mail/test", &json!({})).is(200);
    assert_eq!(tried["refused"][0]["address"], "nobody@hill.example");
    assert!(school.get("/mail")["trouble"].as_str().unwrap().contains("550 5.1.1"));
    assert_eq!(server.letters()[0]["to"], json!(["it@hill.example"]));
    for (key, bad) in [
        ("from", json!("x@y>\r\nRCPT TO:<z@w.example")),
        ("to", json!(["a@b.example\r\nBcc: c@d.example"])),
        ("to", json!([])),
        ("host", json!("mail.hill.example:25")),
        ("host", json!("a b")),
        ("security", json!("none")),
        ("port", json!(0)),
        ("events", json!(["nothing.like.it"])),
        ("username", json!("somebody")),
    ] {
        let mut wish = plain("localhost");
        wish[key] = bad;
        let refused = school.api("PUT", "/mail", &wish);
        assert_eq!(refused.status, 400, "{key}: {:?}", wish[key]);
    }
}

#[test]
fn a_held_password_goes_to_no_other_server() {
    let school = School::new();
    let wish = |host: &str, password: Value| {
        let mut wish = json!({ "host": host, "security": "tls", "username": "cordon", "from": "c@hill.example", "to": ["it@hill.example"] });
        if !password.is_null() {
            wish["password"] = password;
        }
        wish
    };
    school.api("PUT", "/mail", &wish("mail.hill.example", Value::Null)).is_problem(400, "bad-argument");
    school.api("PUT", "/mail", &wish("mail.hill.example", json!("one"))).is(200);
    // The same server may be changed in other things without typing it again.
    let mut more = wish("mail.hill.example", Value::Null);
    more["to"] = json!(["head@hill.example"]);
    school.api("PUT", "/mail", &more).is(200);
    school.api("PUT", "/mail", &wish("evil.example", Value::Null)).is_problem(400, "bad-argument");
    school.api("DELETE", "/mail", &Value::Null).is(204);
    school.api("GET", "/mail", &Value::Null).is_problem(404, "no-mail-server");
    assert_eq!(school.get("/mail/log")["items"], json!([]));
}

#[test]
fn what_ends_is_told_in_one_letter_at_each_step_and_again_until_it_is_taken() {
    let Some(server) = MailServer::start("starttls") else { return };
    let (school, clock) = school();
    school.api("PUT", "/mail", &server.wish("starttls")).is(200);
    for name in ["inventory", "timetable"] {
        school.api("POST", "/tokens", &json!({ "name": name, "role": "auditor", "expires_in": "61d" })).is(201);
    }
    let cx = school.server().context();
    let advance = |millis: i64| clock.0.fetch_add(millis, Ordering::SeqCst);
    let noted = || school.wait_until("it is noted", || (school.get("/mail")["waiting"] == 0).then_some(()));
    let ends = clock.now().plus(61 * DAY);
    for (n, days) in [60, 30, 14, 7, 1].into_iter().enumerate() {
        advance(ends.plus(-days * DAY + MINUTE).since(clock.now()));
        expiring::tell(cx).unwrap();
        expiring::tell(cx).unwrap();
        let letters = school.wait_until("a letter", || Some(server.letters()).filter(|all| all.len() > n));
        // The clock is moved only when it is written down that the server took it, or the pause after it begins later than it should.
        noted();
        assert_eq!(letters.len(), n + 1, "one letter for both, once");
        let words = body(&letters[n]);
        let left = if days == 1 { "ends today".to_owned() } else { format!("ends in {} days", days - 1) };
        let left = left.replace("in 1 days", "tomorrow");
        let wanted = [format!("The API token “inventory” {left}"), format!("The API token “timetable” {left}")];
        assert!(
            wanted.iter().all(|line| words.contains(line)) && words.contains("cordon token create"),
            "{days}: {words}"
        );
        assert_eq!(header(&letters[n], "Auto-Submitted"), "auto-generated");
    }
    // Those of 59 days ago are beyond the 30 days that such a log is kept.
    assert!(school.get("/mail/log")["items"].as_array().unwrap().len() >= 8);

    // The server does not take it: it waits, is told to monitors after a while, and goes out when the server does.
    std::fs::write(server.refuses(), "").unwrap();
    advance(20 * MINUTE);
    school.api("POST", "/tokens", &json!({ "name": "late", "role": "auditor", "expires_in": "5d" })).is(201);
    expiring::tell(cx).unwrap();
    let troubled = |wanted: &str| {
        let shown = school.get("/mail");
        shown["trouble"].as_str().is_some_and(|words| words.contains(wanted)).then_some(shown)
    };
    let shown = school.wait_until("the refusal", || troubled("451 4.3.0"));
    assert_eq!((&shown["waiting"], &shown["attempts"]), (&json!(1), &json!(1)));
    assert_eq!(mailing::worry(cx).unwrap(), None, "not at once");
    advance(90 * MINUTE);
    let reasons = health::examine(cx).unwrap().reasons;
    assert!(reasons.iter().any(|why| why.starts_with("Warnings by e-mail do not go out")), "{reasons:?}");
    std::fs::remove_file(server.refuses()).unwrap();
    advance(12 * HOUR);
    let letters = school.wait_until("the letter after all", || Some(server.letters()).filter(|all| all.len() == 6));
    noted();
    assert!(body(&letters[5]).contains("“late”") && letters[5]["to"].as_array().unwrap().len() == 2);
    assert_eq!(school.get("/mail")["attempts"], 0);

    // A server that is gone for days: what is too old is told no more.
    std::fs::write(server.refuses(), "").unwrap();
    school.api("POST", "/tokens", &json!({ "name": "never", "role": "auditor", "expires_in": "6d" })).is(201);
    advance(HOUR);
    expiring::tell(cx).unwrap();
    advance(4 * DAY);
    let given_up = || school.get("/mail/log")["items"].as_array().unwrap().iter().any(|one| one["state"] == "given_up");
    school.wait_until("it is given up", || given_up().then_some(()));
    assert_eq!(school.get("/mail")["waiting"], 0);
}
