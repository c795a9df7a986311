//! A public certificate by ACME, from a real ACME server: Debian's `pebble`, on loopback, started here with a configuration of its own.

use super::try_get;
use crate::support::{Plan, School, lasting_address};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cordon::base::secret::Secret;
use cordon::base::time::{Clock, DAY, ManualClock, SystemClock};
use cordon::pki::SystemRandom;
use cordon::pki::keys::PrivateKey;
use cordon::pki::templates;
use cordon::pki::x509::pem_to_ders;
use cordon::server::TlsSource;
use cordon::service::ports::AcmeBinding;
use cordon::simulator::network::{Network, tls_config};
use cordon::simulator::profile::read_enrollment;
use cordon::simulator::spec::Kind;
use cordon::simulator::wire::{Client, Request};
use serde_json::{Value, json};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A running pebble. Killed when dropped.
struct Pebble {
    child: Child,
    directory: String,
    management: String,
    /// PEM of what its own HTTPS is certified by.
    ca_pem: String,
    http_port: String,
    tls_port: String,
    _folder: tempfile::TempDir,
}

impl Drop for Pebble {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn port(address: &str) -> String {
    address.rsplit_once(':').unwrap().1.to_owned()
}

impl Pebble {
    /// `None`, loudly, where it is not installed.
    fn start() -> Option<Self> {
        Self::start_with(None)
    }

    /// One that knows its customers: `binding` is a key's id and the key itself.
    fn start_with(binding: Option<(&str, &[u8])>) -> Option<Self> {
        if Command::new("pebble").arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            eprintln!(
                "SKIPPED: pebble (Debian package `pebble`) is not installed, so ACME was not tried against a real server"
            );
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let now = SystemClock.now();
        let root = templates::new_root("Pebble's own", now, &SystemRandom);
        let key = PrivateKey::generate_ec_p256().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let leaf = templates::issue_tls_server(&root, &names, &key.spki_der(), now, 30, &SystemRandom).unwrap();
        std::fs::write(path("cert.pem"), leaf.to_pem()).unwrap();
        std::fs::write(path("key.pem"), key.to_pem().expose()).unwrap();
        let (listen, management) = (lasting_address(), lasting_address());
        let (http_port, tls_port) = (port(&lasting_address()), port(&lasting_address()));
        let config = json!({ "pebble": {
            "listenAddress": listen, "managementListenAddress": management,
            "certificate": path("cert.pem"), "privateKey": path("key.pem"),
            "httpPort": http_port.parse::<u16>().unwrap(), "tlsPort": tls_port.parse::<u16>().unwrap(),
            "ocspResponderURL": "", "externalAccountBindingRequired": binding.is_some(),
            "externalAccountMACKeys": binding.map_or(json!({}), |(kid, key)| json!({ kid: URL_SAFE_NO_PAD.encode(key) })),
        } });
        std::fs::write(path("pebble.json"), config.to_string()).unwrap();
        let log = std::fs::File::create(path("log")).unwrap();
        let child = Command::new("pebble")
            .args(["-config", &path("pebble.json"), "-strict"])
            .env("PEBBLE_VA_NOSLEEP", "1")
            // Clients must bear with a stale nonce now and then.
            .env("PEBBLE_WFE_NONCEREJECT", "15")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(&listen).is_err() || TcpStream::connect(&management).is_err() {
            assert!(Instant::now() < until, "pebble does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        let (directory, management) = (format!("https://{listen}/dir"), format!("https://{management}"));
        let ca_pem = root.certificate.to_pem();
        Some(Self { child, directory, management, ca_pem, http_port, tls_port, _folder: folder })
    }

    /// DER of the root that its certificates end in; another at each start of pebble.
    fn root(&self) -> Vec<u8> {
        let tls = tls_config(&pem_to_ders(&self.ca_pem), None).unwrap();
        let url = format!("{}/roots/0", self.management).parse().unwrap();
        let request = Request { method: "GET", url: &url, headers: &[], body: b"" };
        let answer = Client::new(Arc::new(Network::default()), tls).send(&request).unwrap();
        pem_to_ders(&String::from_utf8(answer.body).unwrap()).remove(0)
    }

    fn plan(&self, by_http: bool, clock: Arc<dyn Clock>) -> Plan {
        self.plan_with(by_http, clock, None)
    }

    fn plan_with(&self, by_http: bool, clock: Arc<dyn Clock>, binding: Option<AcmeBinding>) -> Plan {
        let source = TlsSource::Acme {
            directory: self.directory.clone(),
            ca_pem: Some(self.ca_pem.clone().into_bytes()),
            contact: Some("mailto:it@example.org".to_owned()),
            binding,
        };
        let http = format!("127.0.0.1:{}", self.http_port);
        let tune = Arc::new(move |options: &mut cordon::server::Options| {
            options.tls = source.clone();
            options.publicly_trusted = Some(true);
            if by_http {
                options.listen_http = http.clone();
            }
        });
        let people = if by_http { lasting_address() } else { format!("127.0.0.1:{}", self.tls_port) };
        Plan { people, devices: lasting_address(), tune, clock, public_roots: vec![self.root()], ..Plan::default() }
    }
}

/// The served certificate, once it is one that was obtained by ACME and not `before`.
fn obtained(school: &School, before: Option<&Value>) -> Value {
    school.wait_until("a certificate by ACME", || {
        let tls = school.get("/tls");
        let served = &tls["served"];
        assert_eq!(tls["fault"], Value::Null, "{tls}");
        let issuer = served["issuer"].as_str().unwrap_or_default();
        (issuer.contains("Pebble") && Some(&served["fingerprint"]) != before).then(|| served["fingerprint"].clone())
    })
}

#[test]
fn a_certificate_by_http_01_is_obtained_served_and_renewed() {
    let Some(pebble) = Pebble::start() else { return };
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let mut school = School::planned(pebble.plan(true, clock.clone()));
    let first = obtained(&school, None);
    let root = pebble.root();
    assert_eq!(try_get(&school, std::slice::from_ref(&root), "/").unwrap().status, 200);
    assert!(read_enrollment(&school.profile(&Value::Null)).unwrap().certificates.is_empty(), "publicly trusted");
    let ipad = school.enroll(Kind::Ipad, 1);

    // Whoever comes in clear is sent to HTTPS, and tokens that nobody asked for do not exist.
    let plain = school.server().http().unwrap();
    let agent: ureq::Agent = ureq::Agent::config_builder().max_redirects(0).http_status_as_error(false).build().into();
    let ask = |path: &str| agent.get(format!("http://{plain}{path}")).call().unwrap();
    let sent = ask("/enroll?class=3b");
    let target = format!("https://localhost:{}/enroll?class=3b", school.server().people().unwrap().port());
    assert_eq!((sent.status().as_u16(), sent.headers()["location"].to_str().unwrap()), (308, target.as_str()));
    assert_eq!(ask("/.well-known/acme-challenge/x").status().as_u16(), 404);

    // The same certificate after a start: it is in the database.
    school.stop();
    school.start();
    assert_eq!(school.get("/tls")["served"]["fingerprint"], first);

    // Two thirds of its life have passed: another comes into force without a restart, and the iPad goes on.
    let ends = school.get("/tls")["served"]["not_after"].as_str().unwrap().to_owned();
    let life = ends[..4].parse::<i64>().unwrap() - 2026;
    clock.advance((life * 365 - 30).max(60) * DAY);
    school.server().context().ring_certificates();
    obtained(&school, Some(&first));
    if life == 0 {
        let command = school.send(&ipad, "ProfileList", Value::Null);
        school.wait_for(&command, "Acknowledged");
    }
}

#[test]
fn a_certificate_by_tls_alpn_01_on_the_people_listener() {
    let Some(pebble) = Pebble::start() else { return };
    let school = School::planned(pebble.plan(false, Arc::new(SystemClock)));
    obtained(&school, None);
    assert_eq!(try_get(&school, &[pebble.root()], "/").unwrap().status, 200);
    let ipad = school.enroll(Kind::Ipad, 1);
    let command = school.send(&ipad, "ProfileList", Value::Null);
    school.wait_for(&command, "Acknowledged");
}

#[test]
fn an_authority_that_refuses_is_asked_again_later_and_the_old_certificate_stays() {
    let Some(pebble) = Pebble::start() else { return };
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let mut plan = pebble.plan(true, clock.clone());
    // Nobody answers on the port where pebble looks.
    let tune = Arc::clone(&plan.tune);
    plan.tune = Arc::new(move |options: &mut cordon::server::Options| {
        tune(options);
        options.listen_http = lasting_address();
    });
    let mut school = School::planned(plan);
    let fault = school.wait_until("the refusal", || school.get("/tls")["fault"].as_str().map(str::to_owned));
    assert!(fault.contains("the authority did not accept localhost"), "{fault}");
    assert_eq!(school.get("/tls")["served"]["source"], "own-ca");
    assert_eq!(try_get(&school, &[school.root()], "/").unwrap().status, 200, "the school's own is served meanwhile");
    school.stop();
    school.plan.tune = pebble.plan(true, clock.clone()).tune;
    school.start();
    school.server().context().ring_certificates();
    clock.advance(3_600_000);
    school.server().context().ring_certificates();
    school.wait_until("the next attempt", || school.get("/tls")["fault"].is_null().then_some(()));
    obtained(&school, None);
}

#[test]
fn an_authority_that_knows_its_customers_gives_a_certificate_to_a_bound_account_only() {
    let key = [7; 32];
    let Some(pebble) = Pebble::start_with(Some(("hill-school", &key))) else { return };
    let stranger = School::planned(pebble.plan(true, Arc::new(SystemClock)));
    let fault = stranger.wait_until("the refusal", || stranger.get("/tls")["fault"].as_str().map(str::to_owned));
    assert!(fault.contains("externalAccountBinding"), "{fault}");
    drop(stranger);
    let binding = AcmeBinding { kid: String::from("hill-school"), key: Secret::new(key.to_vec()) };
    let school = School::planned(pebble.plan_with(true, Arc::new(SystemClock), Some(binding)));
    obtained(&school, None);
    assert_eq!(try_get(&school, &[pebble.root()], "/").unwrap().status, 200);
}
