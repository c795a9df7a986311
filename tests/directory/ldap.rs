//! The school's directory: a real slapd, started from a temporary folder on loopback ports, with TLS. Skipped, loudly, where there is
//! no slapd; `scripts/test` installs it.

use crate::people::House;
use cordon::base::secret::Secret;
use cordon::base::time::{Clock, HOUR, SystemClock};
use cordon::directory::Ldap;
use cordon::pki::SystemRandom;
use cordon::pki::keys::PrivateKey;
use cordon::pki::templates::{issue_tls_server, new_root};
use cordon::service::{directories, users};
use ldap3::{LdapConn, Mod};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fmt::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const BASE: &str = "ou=people,dc=hill,dc=example";
const ROOT: &str = "cn=root,dc=hill,dc=example";
const ROOT_PASSWORD: &str = "planted-directory-password";

struct Slapd {
    child: Child,
    plain: String,
    tls: String,
    ca_pem: String,
    _folder: tempfile::TempDir,
}

impl Drop for Slapd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn find(names: &[&str]) -> Option<String> {
    names.iter().find(|name| Path::new(name).exists()).map(|name| (*name).to_owned())
}

/// `None` where no slapd is installed.
fn slapd(people: usize) -> Option<Slapd> {
    let Some(binary) = find(&["/usr/sbin/slapd", "/usr/libexec/slapd"]) else {
        eprintln!("SKIPPED: there is no slapd here; scripts/test installs it");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let root = new_root("Hill directory", SystemClock.now(), &SystemRandom);
    let key = PrivateKey::generate_ec_p256().unwrap();
    let leaf =
        issue_tls_server(&root, &["localhost".into()], &key.spki_der(), SystemClock.now(), 30, &SystemRandom).unwrap();
    std::fs::write(at("ca.pem"), root.certificate.to_pem()).unwrap();
    std::fs::write(at("tls.pem"), leaf.to_pem()).unwrap();
    std::fs::write(at("tls.key"), key.to_pem().expose()).unwrap();
    std::fs::create_dir(at("db")).unwrap();
    let conf = format!(
        "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\ninclude /etc/ldap/schema/inetorgperson.schema\n\
         attributetype ( 1.3.6.1.4.1.63.1000.1.1.1.1.20 NAME 'apple-generateduid' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )\n\
         objectclass ( 1.3.6.1.4.1.63.1000.1.1.2.1 NAME 'apple-user' SUP top AUXILIARY MAY apple-generateduid )\n\
         modulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile {0}/pid\n\
         TLSCACertificateFile {0}/ca.pem\nTLSCertificateFile {0}/tls.pem\nTLSCertificateKeyFile {0}/tls.key\n\
         sizelimit 100\n\
         database mdb\nsuffix dc=hill,dc=example\nrootdn {ROOT}\nrootpw {ROOT_PASSWORD}\ndirectory {0}/db\nmaxsize 67108864\n\
         limits dn.exact=\"cn=reader,dc=hill,dc=example\" size.soft=100 size.hard=100 size.prtotal=unlimited\n\
         access to attrs=userPassword by anonymous auth by * none\naccess to * by users read by anonymous auth\n",
        folder.path().display()
    );
    std::fs::write(at("slapd.conf"), conf).unwrap();
    let mut ldif = String::from(
        "dn: dc=hill,dc=example\nobjectClass: dcObject\nobjectClass: organization\ndc: hill\no: Hill\n\n\
         dn: ou=people,dc=hill,dc=example\nobjectClass: organizationalUnit\nou: people\n\n\
         dn: cn=reader,dc=hill,dc=example\nobjectClass: person\ncn: reader\nsn: reader\nuserPassword: reader-password\n\n",
    );
    for n in 0..people {
        write!(
            ldif,
            "dn: uid=pupil{n},{BASE}\nobjectClass: inetOrgPerson\nobjectClass: apple-user\nuid: pupil{n}\ncn: Pupil Nr {n}\nsn: {n}\n\
             mail: pupil{n}@hill.example\nuserPassword: secret-{n}\napple-generateduid: AAAAAAAA-0000-4000-8000-{n:012}\n\n"
        )
        .unwrap();
    }
    std::fs::write(at("people.ldif"), ldif).unwrap();
    let add = find(&["/usr/sbin/slapadd"]).unwrap();
    let added = Command::new(add).args(["-f", &at("slapd.conf"), "-l", &at("people.ldif")]).output().unwrap();
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let (plain, tls) = (free_port(), free_port());
    let urls = format!("ldap://127.0.0.1:{plain}/ ldaps://127.0.0.1:{tls}/");
    let child = Command::new(binary)
        .args(["-f", &at("slapd.conf"), "-h", &urls, "-d", "0"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let slapd = Slapd {
        child,
        plain: format!("ldap://127.0.0.1:{plain}"),
        tls: format!("ldaps://localhost:{tls}"),
        ca_pem: root.certificate.to_pem(),
        _folder: folder,
    };
    let until = Instant::now() + Duration::from_secs(20);
    while LdapConn::new(&slapd.plain).is_err() {
        assert!(Instant::now() < until, "slapd does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(slapd)
}

impl Slapd {
    fn as_root(&self) -> LdapConn {
        let mut connection = LdapConn::new(&self.plain).unwrap();
        connection.simple_bind(ROOT, ROOT_PASSWORD).unwrap().success().unwrap();
        connection
    }

    fn settings(&self) -> Value {
        json!({ "url": self.tls, "base_dn": BASE, "bind_dn": "cn=reader,dc=hill,dc=example",
                "bind_password": "reader-password", "ca_pem": self.ca_pem })
    }
}

struct Office {
    house: House,
    token: String,
}

impl Office {
    fn new() -> Office {
        let house = House::new();
        house.cx.set_directory(Arc::new(Ldap));
        house.person("ada", "owner");
        let token = house.login("ada");
        Office { house, token }
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> crate::people::Reply {
        self.house.ask(Some(&self.token), method, &format!("/api/v1{path}"), body)
    }
}

#[test]
fn people_are_taken_over_and_sign_in() {
    let Some(slapd) = slapd(1_234) else { return };
    let office = Office::new();
    assert_eq!(office.ask("POST", "/directory/test", &json!({})).id(), "no-directory");
    let set = office.ask("PUT", "/directory", &slapd.settings());
    assert_eq!(set.status, 200, "{}", set.body);
    let tried = office.ask("POST", "/directory/test", &json!({}));
    assert_eq!(tried.body["found"], 1_234, "in pages: {}", tried.body);
    let first = office.ask("POST", "/directory/sync", &json!({})).body;
    assert_eq!((&first["added"], &first["troubles"]), (&json!(1_234), &json!([])), "{first}");
    assert_eq!(office.ask("POST", "/directory/sync", &json!({})).body["unchanged"], 1_234);
    let person = office.ask("GET", "/users/pupil7", &Value::Null).body;
    assert_eq!(
        (&person["source"], &person["mail"], &person["digest"]),
        (&json!("ldap"), &json!("pupil7@hill.example"), &json!(false))
    );
    let guids: HashSet<&str> =
        person["guids"].as_array().unwrap().iter().map(|g| g["kind"].as_str().unwrap()).collect();
    assert!(guids.contains("apple-generateduid") && guids.contains("entryUUID"), "{person}");

    // The directory checks the password; the secret for Macs is made of it at that moment.
    let sign_in =
        |name: &str, password: &str| users::check_password(&office.house.cx, name, &Secret::new(password.to_owned()));
    for (name, password) in [("pupil7", "secret-8"), ("pupil7", ""), ("pupil7)(uid=*", "secret-7"), ("*", "secret-7")] {
        assert_eq!(sign_in(name, password).unwrap_err().public.id(), "login-failed", "{name}");
    }
    assert_eq!(sign_in("pupil7", "secret-7").unwrap().short_name, "pupil7");
    let person = office.ask("GET", "/users/pupil7", &Value::Null).body;
    assert_eq!((&person["digest"], &person["password"]), (&json!(true), &json!(false)));

    // Nothing of any password is in answers or in the file.
    let shown = office.ask("GET", "/directory", &Value::Null).body.to_string();
    let mut file = std::fs::read(office.house.cx.store.path()).unwrap();
    file.extend(std::fs::read(format!("{}-wal", office.house.cx.store.path().display())).unwrap_or_default());
    for planted in ["reader-password", "secret-7"] {
        assert!(!shown.contains(planted) && !file.windows(planted.len()).any(|w| w == planted.as_bytes()), "{planted}");
    }
}

#[test]
fn who_vanishes_is_disabled_unless_it_is_too_many() {
    let Some(slapd) = slapd(60) else { return };
    let office = Office::new();
    office.ask("PUT", "/directory", &slapd.settings());
    assert!(directories::sync_if_due(&office.house.cx).unwrap(), "never yet");
    assert!(!directories::sync_if_due(&office.house.cx).unwrap());
    let mut root = slapd.as_root();
    root.delete(&format!("uid=pupil3,{BASE}")).unwrap().success().unwrap();
    root.modifydn(&format!("uid=pupil4,{BASE}"), "uid=pupil4new", true, None).unwrap().success().unwrap();
    let cn: HashSet<&str> = HashSet::from(["Another Name"]);
    root.modify(&format!("uid=pupil5,{BASE}"), vec![Mod::Replace("cn", cn)]).unwrap().success().unwrap();
    office.house.clock.advance(7 * HOUR);
    assert!(directories::sync_if_due(&office.house.cx).unwrap());
    // Seven hours later the session is over.
    let office = Office { token: office.house.login("ada"), ..office };
    let report = office.ask("GET", "/directory", &Value::Null).body["last_sync"].clone();
    assert_eq!(
        (&report["vanished"], &report["changed"], &report["added"]),
        (&json!(1), &json!(2), &json!(0)),
        "{report}"
    );
    let gone = office.ask("GET", "/users/pupil3", &Value::Null).body;
    assert_eq!((&gone["vanished"], gone["disabled_at"].is_string()), (&json!(true), true));
    assert_eq!(office.ask("GET", "/users/pupil4new", &Value::Null).status, 200, "a new name is no new person");

    // A filter that fits nobody must not shut the school out.
    let mut narrow = slapd.settings();
    narrow["filter"] = json!("(uid=pupil1)");
    office.ask("PUT", "/directory", &narrow);
    let report = office.ask("POST", "/directory/sync", &json!({})).body;
    assert_eq!((&report["too_many_vanished"], &report["vanished"]), (&json!(58), &json!(0)), "{report}");

    let attributes = vec![
        ("objectClass", HashSet::from(["inetOrgPerson", "apple-user"])),
        ("cn", HashSet::from(["Back"])),
        ("sn", HashSet::from(["Back"])),
        ("apple-generateduid", HashSet::from(["AAAAAAAA-0000-4000-8000-000000000003"])),
    ];
    root.add(&format!("uid=pupil3,{BASE}"), attributes).unwrap().success().unwrap();
    office.ask("PUT", "/directory", &slapd.settings());
    assert_eq!(office.ask("POST", "/directory/sync", &json!({})).body["returned"], 1);
}

#[test]
fn what_is_wrong_with_the_directory_is_said() {
    let Some(slapd) = slapd(1) else { return };
    let office = Office::new();
    let told = |change: &dyn Fn(&mut Value)| {
        let mut settings = slapd.settings();
        change(&mut settings);
        let set = office.ask("PUT", "/directory", &settings);
        if set.status != 200 {
            return set.body["detail"].as_str().unwrap().to_owned();
        }
        let tried = office.ask("POST", "/directory/test", &json!({}));
        assert_eq!(tried.id(), "directory-unreached", "{}", tried.body);
        tried.body["detail"].as_str().unwrap().to_owned()
    };
    assert!(told(&|s| s["bind_password"] = json!("wrong")).contains("bind"));
    assert!(told(&|s| s["base_dn"] = json!("ou=nowhere,dc=hill,dc=example")).contains("search"));
    assert!(told(&|s| s["filter"] = json!("(((")).contains("search"));
    assert!(told(&|s| s["url"] = json!(format!("ldaps://localhost:{}", free_port()))).contains("connection"));
    // A certificate that the school's authority did not make, and one that is not for this name.
    assert!(told(&|s| s["ca_pem"] = Value::Null).contains("connection"));
    let other = new_root("Another", SystemClock.now(), &SystemRandom).certificate.to_pem();
    assert!(told(&|s| s["ca_pem"] = json!(other)).contains("connection"));
    assert!(told(&|s| s["url"] = json!(slapd.tls.replace("localhost", "127.0.0.1"))).contains("connection"));
    assert!(told(&|s| s["url"] = json!("ldap://directory.hill.example")).contains("clear"));
    assert!(told(&|s| s["bind_dn"] = Value::Null).contains("bind_dn"));
}
