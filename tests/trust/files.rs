//! Certificates of somebody else's from files: checked, swapped while the server runs, and never for a worse one.

use super::try_get;
use crate::support::{Plan, School};
use cordon::base::time::{Clock, ManualClock, SystemClock};
use cordon::pki::SystemRandom;
use cordon::pki::keys::PrivateKey;
use cordon::pki::templates::{self, Authority};
use cordon::server::TlsSource;
use cordon::simulator::profile::read_enrollment;
use cordon::simulator::spec::Kind;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;

/// A certificate authority that is not the school's, and the folder where its certificates are put.
struct Elsewhere {
    root: Authority,
    issuing: Authority,
    folder: tempfile::TempDir,
}

impl Elsewhere {
    fn new() -> Self {
        let now = SystemClock.now();
        let root = templates::new_root("Elsewhere", now, &SystemRandom);
        let issuing = templates::new_issuing_ca(&root, "Elsewhere", now, &SystemRandom);
        Self { root, issuing, folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a new certificate for `names` into the files; its SHA-256.
    fn put(&self, names: &[&str], with_root: bool) -> String {
        let key = PrivateKey::generate_ec_p256().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let now = SystemClock.now();
        let leaf = templates::issue_tls_server(&self.issuing, &names, &key.spki_der(), now, 90, &SystemRandom).unwrap();
        let root = if with_root { self.root.certificate.to_pem() } else { String::new() };
        std::fs::write(self.path("cert.pem"), leaf.to_pem() + &self.issuing.certificate.to_pem() + &root).unwrap();
        std::fs::write(self.path("key.pem"), key.to_pem().expose()).unwrap();
        hex::encode(leaf.fingerprint())
    }

    /// A school that serves these files.
    fn plan(&self, publicly_trusted: Option<bool>) -> Plan {
        let (certificate, key) = (self.path("cert.pem"), self.path("key.pem"));
        let tune = Arc::new(move |options: &mut cordon::server::Options| {
            options.tls = TlsSource::Files { certificate: certificate.clone(), key: key.clone() };
            options.publicly_trusted = publicly_trusted;
        });
        Plan { tune, ..Plan::with_lasting_ports() }
    }
}

/// The certificate that is served, once the server has looked at its files again.
fn served(school: &School) -> Value {
    school.get("/tls")["served"]["fingerprint"].clone()
}

fn wait_for_certificate(school: &School, fingerprint: &str) {
    school.server().context().ring_certificates();
    school.wait_until("the new certificate", || (served(school) == json!(fingerprint)).then_some(()));
}

#[test]
fn a_private_chain_is_served_and_its_root_given_to_devices() {
    let elsewhere = Elsewhere::new();
    let first = elsewhere.put(&["localhost"], true);
    let school = School::planned(elsewhere.plan(None));
    assert_eq!(served(&school), json!(first));
    let root = elsewhere.root.certificate.der().to_vec();
    let config = try_get(&school, std::slice::from_ref(&root), "/MDMServiceConfig").unwrap();
    assert!(config.text().contains("trust_profile_url"));
    assert!(try_get(&school, &[school.root()], "/").is_err(), "the school's own root does not verify it");

    let read = read_enrollment(&school.profile(&Value::Null)).unwrap();
    let expected = [root.clone(), elsewhere.issuing.certificate.der().to_vec()];
    assert_eq!(read.certificates, expected, "the chain's root and intermediate, nobody else's");
    let ipad = school.enroll(Kind::Ipad, 1);
    let command = school.send(&ipad, "ProfileList", Value::Null);
    school.wait_for(&command, "Acknowledged");

    // A new certificate of the same authority comes into force while the server runs, for both listeners.
    let second = elsewhere.put(&["localhost", "mdm.example.org"], true);
    wait_for_certificate(&school, &second);
    let command = school.send(&ipad, "ProfileList", Value::Null);
    school.wait_for(&command, "Acknowledged");
    assert_eq!(try_get(&school, &[root], "/").unwrap().status, 200);
}

#[test]
fn a_bad_new_certificate_leaves_the_old_one_in_force_and_is_told() {
    let elsewhere = Elsewhere::new();
    let first = elsewhere.put(&["localhost"], true);
    let school = School::planned(elsewhere.plan(None));
    let root = elsewhere.root.certificate.der().to_vec();
    let good = |name: &str| std::fs::read(elsewhere.path(name)).unwrap();
    let (cert, key) = (good("cert.pem"), good("key.pem"));
    type Spoil<'a> = &'a dyn Fn();
    let other_key = || PrivateKey::generate_ec_p256().unwrap().to_pem().expose().clone();
    let table: [(&str, Spoil<'_>); 5] = [
        ("the key does not belong", &|| std::fs::write(elsewhere.path("key.pem"), other_key()).unwrap()),
        ("not good for the name localhost", &|| drop(elsewhere.put(&["other.example.org"], true))),
        ("ends in no public root", &|| drop(elsewhere.put(&["localhost"], false))),
        ("there is no certificate in it", &|| std::fs::write(elsewhere.path("cert.pem"), "soon").unwrap()),
        ("cannot be read", &|| std::fs::remove_file(elsewhere.path("key.pem")).unwrap()),
    ];
    for (why, spoil) in table {
        spoil();
        school.server().context().ring_certificates();
        let fault = school.wait_until(why, || {
            let fault = school.get("/tls")["fault"].as_str().unwrap_or_default().to_owned();
            fault.contains(why).then_some(fault)
        });
        assert!(fault.contains("is not used since"), "{fault}");
        assert_eq!(served(&school), json!(first), "{why}: the old one stays");
        assert_eq!(try_get(&school, std::slice::from_ref(&root), "/").unwrap().status, 200, "{why}");
    }
    let socket = cordon::http::control::Client::new(school.server().socket().0);
    let (status, _, body) = socket.request("GET", "/healthz", &[], b"").unwrap();
    assert_eq!(status, 503);
    assert!(String::from_utf8_lossy(&body).contains("TLS certificate"), "monitors hear of it");

    std::fs::write(elsewhere.path("key.pem"), key).unwrap();
    std::fs::write(elsewhere.path("cert.pem"), cert).unwrap();
    school.server().context().ring_certificates();
    school.wait_until("the fault to be over", || school.get("/tls")["fault"].is_null().then_some(()));
}

#[test]
fn a_certificate_that_would_strand_devices_is_not_served() {
    let elsewhere = Elsewhere::new();
    elsewhere.put(&["localhost"], true);
    let mut school = School::planned(Plan::with_lasting_ports());
    let ipad = school.enroll(Kind::Ipad, 1);
    school.stop();
    school.plan.tune = elsewhere.plan(None).tune;
    let directory = school.directory();
    let Err(refused) = school.start_on(&directory) else { panic!("it would strand the iPad") };
    let words = refused.public.to_string();
    assert!(words.contains("1 enrolled devices were never given its root"), "{words}");
    school.plan.tune = Arc::new(|_| {});
    school.start();
    let command = school.send(&ipad, "ProfileList", Value::Null);
    school.wait_for(&command, "Acknowledged");
}

#[test]
fn files_that_cannot_be_served_are_refused_at_the_start() {
    let elsewhere = Elsewhere::new();
    let school = School::new();
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (elsewhere.path("cert.pem"), elsewhere.path("key.pem"));
    let mut options = cordon::server::Options::new(
        cordon::service::founding::Place::in_directory(directory.path()),
        "localhost",
        Arc::new(SystemClock),
        Arc::new(SystemRandom),
    );
    options.tls = TlsSource::Files { certificate, key };
    let Err(refused) = cordon::server::Server::start(options) else { panic!("there is nothing to serve") };
    assert!(refused.public.to_string().contains("cert.pem cannot be read"), "{}", refused.public);
    drop(school);
}

#[test]
fn devices_that_trust_it_already_are_given_no_root() {
    let elsewhere = Elsewhere::new();
    elsewhere.put(&["localhost"], false);
    let plan = Plan { public_roots: vec![elsewhere.root.certificate.der().to_vec()], ..elsewhere.plan(Some(true)) };
    let school = School::planned(plan);
    assert!(read_enrollment(&school.profile(&Value::Null)).unwrap().certificates.is_empty());
    let ipad = school.enroll(Kind::Ipad, 1);
    assert_eq!(school.device(&ipad)["state"], "Active");
}

#[test]
fn the_schools_own_certificate_is_renewed_while_the_server_runs() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let school = School::planned(Plan { clock: clock.clone(), ..Plan::default() });
    let before = served(&school);
    clock.advance(300 * cordon::base::time::DAY);
    school.server().context().ring_certificates();
    school.wait_until("another certificate", || (served(&school) != before).then_some(()));
}

#[test]
fn a_former_name_goes_on_being_served() {
    let tune = Arc::new(|options: &mut cordon::server::Options| options.aliases = vec!["old.example.org".to_owned()]);
    let school = School::planned(Plan { tune, ..Plan::default() });
    let address = school.server().people().unwrap();
    school.world().network.route("old.example.org", address, cordon::simulator::network::Via::Tls).unwrap();
    let tls = cordon::simulator::network::tls_config(&[school.root()], None).unwrap();
    let mut client = cordon::simulator::wire::Client::new(Arc::clone(&school.world().network), tls);
    let url = format!("https://old.example.org:{}/", address.port()).parse().unwrap();
    let request = cordon::simulator::wire::Request { method: "GET", url: &url, headers: &[], body: b"" };
    assert_eq!(client.send(&request).unwrap().status, 200);
}

#[test]
fn a_certificate_is_chosen_in_the_browser_and_served_at_once() {
    let elsewhere = Elsewhere::new();
    let read = |name: &str| std::fs::read_to_string(elsewhere.path(name)).unwrap();
    let mut school = School::bare(Plan::with_lasting_ports());
    let own = served(&school);
    let choose = |school: &School, wish: &Value| school.api("PUT", "/tls", wish);
    // What cannot be served is refused, and the old one stays.
    elsewhere.put(&["elsewhere.example"], true);
    let (chain, key) = (read("cert.pem"), read("key.pem"));
    let wrong = choose(&school, &json!({ "mode": "given", "certificate": chain, "key": key }));
    assert!(wrong.is_problem(400, "tls-unusable").contains("not good for the name localhost"));
    let other = PrivateKey::generate_ec_p256().unwrap().to_pem();
    let first = elsewhere.put(&["localhost"], true);
    let wrong = choose(&school, &json!({ "mode": "given", "certificate": read("cert.pem"), "key": other.expose() }));
    assert!(wrong.is_problem(400, "tls-unusable").contains("key"));
    choose(&school, &json!({ "mode": "acme" })).is_problem(400, "tls-unusable");
    choose(&school, &json!({ "mode": "magic" })).is_problem(400, "bad-argument");
    assert_eq!(served(&school), own);
    // A good one, with its key in the same text, without a restart.
    let both = read("cert.pem") + &read("key.pem");
    let told = choose(&school, &json!({ "mode": "given", "certificate": both })).is(200);
    assert_eq!((&told["mode"], &told["by_configuration"]), (&json!("given"), &json!(false)));
    wait_for_certificate(&school, &first);
    let row = school.server().context().store.read(|db| db.find_tls_choice()).unwrap().unwrap();
    assert!(!row.chain_pem.unwrap().contains("PRIVATE"), "the key is kept sealed only");
    assert!(school.get("/expiry").to_string().contains("cordon tls choose given"));
    // After a restart too; and back to the school's own, which no device is a stranger to.
    school.stop();
    school.start();
    assert_eq!(served(&school), json!(first));
    choose(&school, &json!({ "mode": "own-ca" })).is(200);
    school.server().context().ring_certificates();
    school.wait_until("the school's own", || (school.get("/tls")["served"]["source"] == "own-ca").then_some(()));
    let verbs = school.get("/audit?verb=tls.choose")["items"].as_array().unwrap().len();
    assert_eq!(verbs, 2);
}
