//! What tools ask without a login: `/MDMServiceConfig` and the two addresses in it, byte for byte as Apple has them.

use super::{get, header, try_get};
use crate::support::{Plan, School};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon::pki::x509::Certificate;
use cordon::plist::parse_dict;
use serde_json::{Value, json};
use std::sync::Arc;

const JSON_TYPE: &str = "application/json; charset=UTF8";

#[test]
fn a_private_root_is_there_to_be_fetched() {
    let school = School::new();
    let port = school.server().people().unwrap().port();
    let reply = get(&school, "/MDMServiceConfig");
    assert_eq!((reply.status, header(&reply, "content-type")), (200, Some(JSON_TYPE)));
    let expected = format!(
        "{{\n    \"dep_enrollment_url\": \"https://localhost:{port}/enroll/ade\",\n    \
         \"dep_anchor_certs_url\": \"https://localhost:{port}/anchors.json\",\n    \
         \"trust_profile_url\": \"https://localhost:{port}/trust.mobileconfig\"\n}}"
    );
    assert_eq!(reply.text(), expected);

    let anchors = get(&school, "/anchors.json");
    assert_eq!((anchors.status, header(&anchors, "content-type")), (200, Some(JSON_TYPE)));
    let list: Vec<String> = serde_json::from_slice(&anchors.body).unwrap();
    assert_eq!(list, [STANDARD.encode(school.root())], "usable as anchor_certs as it is");

    let profile = get(&school, "/trust.mobileconfig");
    assert_eq!((profile.status, header(&profile, "content-type")), (200, Some("application/x-apple-aspen-config")));
    let dict = parse_dict(&profile.body).unwrap();
    assert_eq!(dict.string("PayloadScope").unwrap(), "System");
    let payloads = dict.array("PayloadContent").unwrap();
    assert_eq!(payloads.len(), 1, "nothing but the root");
    let root = payloads[0].as_dictionary().unwrap();
    assert_eq!(root.get("PayloadType").unwrap().as_string(), Some("com.apple.security.root"));
    assert_eq!(root.get("PayloadContent").unwrap().as_data(), Some(school.root().as_slice()));
    assert_eq!(get(&school, "/trust.mobileconfig").body, profile.body, "the same each time");

    // With this root and no other, the addresses answer.
    let held = Certificate::parse(root.get("PayloadContent").unwrap().as_data().unwrap()).unwrap();
    assert_eq!(try_get(&school, &[held.der().to_vec()], "/MDMServiceConfig").unwrap().status, 200);
    for (method, path) in [("POST", "/MDMServiceConfig"), ("PUT", "/anchors.json"), ("DELETE", "/trust.mobileconfig")] {
        assert_eq!(school.https(None, method, path, &Value::Null).status, 405, "{method} {path}");
    }
    assert_eq!(get(&school, "/mdmserviceconfig").status, 404, "spelt exactly so");
}

#[test]
fn publicly_trusted_needs_no_trust_profile_and_no_roots() {
    let tune = Arc::new(|options: &mut cordon::server::Options| options.publicly_trusted = Some(true));
    let school = School::planned(Plan { tune, ..Plan::default() });
    let config: Value = serde_json::from_slice(&get(&school, "/MDMServiceConfig").body).unwrap();
    let keys: Vec<&String> = config.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["dep_anchor_certs_url", "dep_enrollment_url"], "no trust_profile_url");
    let anchors = get(&school, "/anchors.json");
    assert_eq!((anchors.status, anchors.text().as_str()), (200, "[]"));
    assert_eq!(get(&school, "/trust.mobileconfig").status, 404, "never an empty profile");
}

#[test]
fn addresses_as_seen_from_outside_and_behind_a_proxy() {
    let tune = Arc::new(|options: &mut cordon::server::Options| {
        options.people_url = Some("https://mdm.example.org".to_owned());
        options.devices_url = Some("https://devices.example.org".to_owned());
        options.trust_url = Some("https://certs.example.org/mdm".to_owned());
    });
    let plan = Plan { tune, proxied: "127.0.0.1:0".to_owned(), ..Plan::default() };
    let school = School::planned(plan);
    let address = school.server().proxied().unwrap();
    let mut answer = ureq::get(format!("http://{address}/MDMServiceConfig")).call().unwrap();
    assert_eq!(answer.headers()["content-type"], JSON_TYPE);
    let config: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
    let expected = json!({
        "dep_enrollment_url": "https://mdm.example.org/enroll/ade",
        "dep_anchor_certs_url": "https://mdm.example.org/anchors.json",
        "trust_profile_url": "https://certs.example.org/mdm/trust.mobileconfig",
    });
    assert_eq!(config, expected);
    let names = school.get("/tls")["served"]["names"].clone();
    assert_eq!((&names[1], &names[2]), (&json!("mdm.example.org"), &json!("devices.example.org")));
}
