//! The two small profiles of over-the-air enrolment: the payload that asks a device who it is, and the one that gives it the identity
//! it asks for the real profile with. Called by `service::over_the_air`.

use super::enrollment::{certificate, envelope, identity};
use super::{INTERMEDIATE_TYPE, Identity, ROOT_TYPE};
use crate::base::secret::Secret;
use crate::plist::{Dictionary, Value, to_xml};
use crate::protocol::attributes::ASKED;

/// Phase 1: who are you?
#[derive(Debug, Clone)]
pub struct ProfileService {
    pub payload_identifier: String,
    pub organization: String,
    pub display_name: String,
    /// What the person who installs it reads.
    pub description: String,
    /// Where the device sends its attributes.
    pub url: String,
    /// Comes back with the attributes.
    pub challenge: Secret<String>,
}

/// A bare payload, not a Configuration, and its content is a dictionary (Apple's Profile Service).
pub fn profile_service(wanted: &ProfileService, uuid: String) -> Vec<u8> {
    let mut content = Dictionary::new();
    content.insert("URL".to_owned(), wanted.url.as_str().into());
    content.insert("DeviceAttributes".to_owned(), Value::Array(ASKED.iter().map(|name| Value::from(*name)).collect()));
    content.insert("Challenge".to_owned(), wanted.challenge.expose().as_str().into());
    let mut top = envelope("Profile Service", &wanted.payload_identifier, &wanted.display_name, uuid);
    top.insert("PayloadOrganization".to_owned(), wanted.organization.as_str().into());
    top.insert("PayloadDescription".to_owned(), wanted.description.as_str().into());
    top.insert("PayloadContent".to_owned(), Value::Dictionary(content));
    to_xml(&Value::Dictionary(top))
}

/// Phase 2: an identity for this device, and the certificates that it is checked with.
#[derive(Debug, Clone)]
pub struct IdentityProfile {
    pub payload_identifier: String,
    pub organization: String,
    pub display_name: String,
    /// Name, DER.
    pub anchors: Vec<(String, Vec<u8>)>,
    pub intermediates: Vec<(String, Vec<u8>)>,
    pub identity: Identity,
}

pub fn identity_profile(wanted: &IdentityProfile, mint: &mut dyn FnMut() -> String) -> Vec<u8> {
    let id = |suffix: &str| format!("{}.{suffix}", wanted.payload_identifier);
    let mut payloads = Vec::new();
    for (kind, word, list) in
        [(ROOT_TYPE, "anchor", &wanted.anchors), (INTERMEDIATE_TYPE, "intermediate", &wanted.intermediates)]
    {
        for (at, (name, der)) in (1..).zip(list) {
            payloads.push(certificate(kind, &id(&format!("{word}.{at}")), name, der, mint()));
        }
    }
    payloads.push(identity(&wanted.identity, &id("identity"), mint()));
    let mut top = envelope("Configuration", &wanted.payload_identifier, &wanted.display_name, mint());
    top.insert("PayloadOrganization".to_owned(), wanted.organization.as_str().into());
    top.insert("PayloadContent".to_owned(), Value::Array(payloads));
    to_xml(&Value::Dictionary(top))
}

#[cfg(test)]
mod tests {
    use super::super::enrollment::tests::{counter, sample};
    use super::*;
    use crate::plist::parse_dict;

    #[test]
    fn phase_one_asks_and_phase_two_gives() {
        let asked = profile_service(
            &ProfileService {
                payload_identifier: "cordon.x.service".into(),
                organization: "Hill".into(),
                display_name: "Hill".into(),
                description: "d".into(),
                url: "https://mdm.example/enroll/ota".into(),
                challenge: Secret::new("word".into()),
            },
            "U".into(),
        );
        let dict = parse_dict(&asked).unwrap();
        assert_eq!(dict.string("PayloadType").unwrap(), "Profile Service");
        let content = dict.dict("PayloadContent").unwrap();
        assert_eq!(content.string("Challenge").unwrap(), "word");
        assert_eq!(content.array("DeviceAttributes").unwrap().len(), 9);

        let sample = sample();
        let given = IdentityProfile {
            payload_identifier: "cordon.x.device".into(),
            organization: "Hill".into(),
            display_name: "Hill".into(),
            anchors: sample.anchors.clone(),
            intermediates: sample.intermediates.clone(),
            identity: sample.identity.clone(),
        };
        let dict = parse_dict(&identity_profile(&given, &mut counter())).unwrap();
        let kinds: Vec<_> = dict
            .array("PayloadContent")
            .unwrap()
            .iter()
            .map(|p| p.as_dictionary().unwrap()["PayloadType"].as_string().unwrap().to_owned())
            .collect();
        assert_eq!(kinds, ["com.apple.security.root", "com.apple.security.pkcs1", "com.apple.security.scep"]);
    }
}
