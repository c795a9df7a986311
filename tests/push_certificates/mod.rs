//! The way to a push certificate: signed here by a vendor's key or elsewhere by mail, renewed under the same topic by the same Apple
//! Account, and the proxies that make devices sign for themselves.

mod signing_service;

use crate::support::{Plan, School, TOPIC};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cordon::pki::csr::Csr;
use cordon::pki::x509::pem_to_ders;
use cordon::plist::{Value as Plist, parse};
use cordon::protocol::profile::read_enrollment;
use cordon::simulator::spec::Kind;
use cordon::simulator::state::Behaviour;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_RSA_SHA256};
use serde_json::{Value, json};
use signing_service::{SigningStandIn, file_for_the_portal};
use std::process::Command;

/// A vendor certificate with intermediate and root as Apple's portal wants them, and its key. Its issuer calls itself Apple.
pub struct Vendor {
    pub chain_pem: String,
    pub key_pem: String,
}

impl Vendor {
    pub fn new() -> Self {
        let ca = |name: &str, signer: Option<&Issuer<'_, KeyPair>>| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = KeyPair::generate().unwrap();
            let certificate =
                signer.map_or_else(|| params.self_signed(&key), |issuer| params.signed_by(&key, issuer)).unwrap();
            (certificate, Issuer::new(params, key))
        };
        let (root, root_issuer) = ca("Apple Root CA (stand-in)", None);
        let (middle, issuer) = ca("Apple Worldwide Developer Relations (stand-in)", Some(&root_issuer));
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "MDM Vendor: Hill");
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let leaf = params.signed_by(&key, &issuer).unwrap();
        Self { chain_pem: format!("{}{}{}", leaf.pem(), middle.pem(), root.pem()), key_pem: key.serialize_pem() }
    }
}

/// What one PEM block holds, whatever it is called.
pub fn der_inside(pem: &str) -> Vec<u8> {
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).map(str::trim).collect();
    BASE64_STANDARD.decode(text).unwrap()
}

/// What Apple's portal looks at in an upload; returns the request's DER.
fn as_the_portal_reads(upload: &str) -> Vec<u8> {
    let plist = parse(&BASE64_STANDARD.decode(upload).unwrap()).unwrap().into_dictionary().unwrap();
    assert_eq!(plist.len(), 3, "{:?}", plist.keys().collect::<Vec<_>>());
    let text = |name: &str| plist.get(name).and_then(Plist::as_string).unwrap().to_owned();
    let chain = text("PushCertCertificateChain");
    assert_eq!(pem_to_ders(&chain).len(), 3);
    assert!(chain.lines().all(|line| line.starts_with("-----") || line.len() <= 64), "{chain}");
    let der = BASE64_STANDARD.decode(text("PushCertRequestCSR")).unwrap();
    let signature = BASE64_STANDARD.decode(text("PushCertSignature")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let (data, signature, chain) = (write("csr", &der), write("sig", &signature), write("chain", chain.as_bytes()));
    let key = Command::new("openssl").args(["x509", "-noout", "-pubkey", "-in"]).arg(&chain).output().unwrap();
    let key = write("key", &key.stdout);
    let verified = Command::new("openssl")
        .args(["dgst", "-sha256", "-verify"])
        .arg(&key)
        .arg("-signature")
        .args([&signature, &data])
        .output()
        .unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    der
}

#[test]
fn a_vendor_certificate_signs_a_request_for_apples_portal_and_its_key_is_not_kept() {
    let school = School::bare(Plan::default());
    let vendor = Vendor::new();
    let wish =
        json!({ "email": "it@hill.example", "vendor": { "chain_pem": vendor.chain_pem, "key_pem": vendor.key_pem } });
    let made = school.api("POST", "/push-certificates/request", &wish).is(201);
    assert_eq!(made["warnings"], json!([]));
    let der = as_the_portal_reads(made["upload"].as_str().unwrap());
    assert_eq!(der_inside(made["csr_pem"].as_str().unwrap()), der);
    let csr = Csr::parse(&der).unwrap();

    // What Apple makes of it finds the key that stayed here.
    let certificate = school.stand_in.push_certificate_for(TOPIC, csr.spki_der()).unwrap();
    let wish = json!({ "certificate_pem": certificate, "apple_account": "mdm@hill.example" });
    let imported = school.api("POST", "/push-certificates", &wish).is(201);
    assert_eq!((&imported["topic"], &imported["apple_account"]), (&json!(TOPIC), &json!("mdm@hill.example")));
    let ipad = school.enroll(Kind::Ipad, 1);
    let uuid = school.send(&ipad, "DeviceInformation", json!({ "Queries": ["UDID"] }));
    school.wait_for(&uuid, "Acknowledged");

    let planted: String = vendor.key_pem.lines().nth(3).unwrap().to_owned();
    for file in std::fs::read_dir(school.directory()).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(planted.len()).any(|w| w == planted.as_bytes()), "{path:?}");
        }
    }
}

#[test]
fn a_vendor_that_cannot_sign_is_told_why() {
    let school = School::bare(Plan::default());
    let (one, two) = (Vendor::new(), Vendor::new());
    let table = [
        (one.chain_pem.as_str(), two.key_pem.as_str(), "does not belong"),
        ("no certificate", one.key_pem.as_str(), "holds no certificate"),
        (one.chain_pem.as_str(), "no key", "cannot sign"),
    ];
    for (chain, key, words) in table {
        let wish = json!({ "vendor": { "chain_pem": chain, "key_pem": key } });
        let said = school.api("POST", "/push-certificates/request", &wish).is_problem(400, "vendor-unusable");
        assert!(said.contains(words), "{said}");
    }
    let short = one.chain_pem.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap();
    let wish = json!({ "vendor": { "chain_pem": short, "key_pem": one.key_pem } });
    let made = school.api("POST", "/push-certificates/request", &wish).is(201);
    assert!(made["warnings"][0].as_str().unwrap().contains("WWDR"), "{made}");
}

#[test]
fn mdmcert_download_signs_by_mail() {
    let service = SigningStandIn::start("it@hill.example", "key-of-hill");
    let url = service.url.clone();
    let school =
        School::bare(Plan { tune: std::sync::Arc::new(move |o| o.mdmcert_url.clone_from(&url)), ..Plan::default() });
    let ask = |email: &str, key: &str| {
        school.api("POST", "/push-certificates/request", &json!({ "email": email, "mdmcert": { "api_key": key } }))
    };
    let said = ask("it@hill.example", "wrong").is_problem(409, "signing-service-refused");
    assert!(said.contains("unknown api key"), "{said}");
    let said = ask("no-address", "key-of-hill").is_problem(400, "bad-argument");
    assert!(said.contains("registered"), "{said}");
    let made = ask("it@hill.example", "key-of-hill").is(201);
    assert_eq!(made["mailed_to"], json!("it@hill.example"));

    let mail = service.mail();
    let open = |text: &str| school.api("POST", "/push-certificates/request/signed", &json!({ "attachment": text }));
    for wrong in ["", "hello", "00ff", &mail[..mail.len() / 2 * 2 - 100]] {
        open(wrong).is_problem(400, "signed-request-unreadable");
    }
    let opened = open(&mail).is(200);
    let der = as_the_portal_reads(opened["upload"].as_str().unwrap());
    assert_eq!(opened["csr_pem"], made["csr_pem"]);
    let certificate = school.stand_in.push_certificate_for(TOPIC, Csr::parse(&der).unwrap().spki_der()).unwrap();
    school.api("POST", "/push-certificates", &json!({ "certificate_pem": certificate })).is(201);

    // Another school's mail does not open here, nor one with another request inside.
    let other = service.mail_with(&file_for_the_portal(&Vendor::new(), &foreign_request()));
    let said = open(&other).is_problem(400, "signed-request-unreadable");
    assert!(said.contains("another request"), "{said}");
}

fn foreign_request() -> Vec<u8> {
    let key = cordon::pki::keys::PrivateKey::generate_rsa(2048).unwrap();
    cordon::pki::csr::create(&key, &[("CN", "somebody else")], None)
}

#[test]
fn a_service_that_is_not_there_loses_nothing() {
    let dead = crate::support::lasting_address();
    let school = School::bare(Plan {
        tune: std::sync::Arc::new(move |o| o.mdmcert_url = format!("http://{dead}")),
        ..Plan::default()
    });
    let wish = json!({ "email": "it@hill.example", "mdmcert": { "api_key": "k" } });
    school.api("POST", "/push-certificates/request", &wish).is_problem(503, "signing-service-unreached");
}

#[test]
fn another_topic_is_refused_with_the_account_that_can_renew() {
    let school = School::bare(Plan::default());
    let (certificate, key) = school.stand_in.push_certificate(TOPIC).unwrap();
    let wish = json!({ "certificate_pem": certificate, "key_pem": key, "apple_account": "mdm@hill.example" });
    school.api("POST", "/push-certificates", &wish).is(201);
    let ipad = school.enroll(Kind::Ipad, 1);

    let other = "com.apple.mgmt.External.another";
    let (certificate, key) = school.stand_in.push_certificate(other).unwrap();
    let wish = json!({ "certificate_pem": certificate, "key_pem": key });
    let said = school.api("POST", "/push-certificates", &wish).is_problem(409, "push-topic-changed");
    assert!(said.contains("mdm@hill.example") && said.contains("Renew"), "{said}");

    // Renewed: the same topic, a new certificate, no restart, and the account is still known.
    let (certificate, key) = school.stand_in.push_certificate(TOPIC).unwrap();
    let renewed =
        school.api("POST", "/push-certificates", &json!({ "certificate_pem": certificate, "key_pem": key })).is(201);
    assert_eq!(renewed["apple_account"], json!("mdm@hill.example"));
    let uuid = school.send(&ipad, "ProfileList", Value::Null);
    school.wait_for(&uuid, "Acknowledged");

    // A second topic on purpose: old devices are pushed with theirs, new enrolments stay with the current one.
    let (certificate, key) = school.stand_in.push_certificate(other).unwrap();
    let wish = json!({ "certificate_pem": certificate, "key_pem": key, "additional": true });
    assert_eq!(school.api("POST", "/push-certificates", &wish).is(201)["current"], json!(false));
    let uuid = school.send(&ipad, "ProfileList", Value::Null);
    school.wait_for(&uuid, "Acknowledged");
}

#[test]
fn sign_message_is_set_by_itself_where_a_proxy_keeps_the_certificate() {
    let signs = |proxied: &str, forwards: bool| {
        let plan = Plan {
            proxied: proxied.to_owned(),
            tune: std::sync::Arc::new(move |o| o.proxy_forwards_certificate = forwards),
            ..Plan::default()
        };
        let school = School::planned(plan);
        let signs = read_enrollment(&school.profile(&json!({ "signed": false }))).unwrap().sign_message;
        if signs {
            let ipad = school.enroll_with(Kind::Ipad, 1, Behaviour::default(), &Value::Null);
            let uuid = school.send(&ipad, "ProfileList", Value::Null);
            school.wait_for(&uuid, "Acknowledged");
        }
        signs
    };
    assert!(!signs("off", false), "no proxy");
    assert!(signs("127.0.0.1:0", false), "a proxy that forwards nothing");
    assert!(!signs("127.0.0.1:0", true), "a proxy that forwards the certificate");
}
