//! Reading an enrolment profile as a device does: which trust, which identity, which server. Called by the simulator and by tests.
//!
//! A signed profile is unwrapped by `pki` first. Payloads of other types are passed over.

use super::{INTERMEDIATE_TYPE, MDM_TYPE, PER_USER_CONNECTIONS, PKCS12_TYPE, ProfileError, ROOT_TYPE, SCEP_TYPE};
use crate::base::push::Topic;
use crate::base::secret::Secret;
use crate::plist::{Dict, Value, parse_dict};
use std::collections::HashSet;

/// What a device learns from an enrolment profile.
#[derive(Debug, Clone, PartialEq)]
pub struct EnrollmentFacts {
    pub payload_identifier: String,
    pub server_url: String,
    /// `ServerURL` when the profile has none of its own.
    pub check_in_url: String,
    pub topic: Topic,
    /// Bit mask; 0 when absent.
    pub access_rights: u32,
    pub sign_message: bool,
    pub check_out_when_removed: bool,
    pub capabilities: Vec<String>,
    pub identity: IdentityFacts,
    /// DER of each root.
    pub anchors: Vec<Vec<u8>>,
    /// DER of each intermediate.
    pub intermediates: Vec<Vec<u8>>,
}

/// Where the client identity comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum IdentityFacts {
    Scep(ScepFacts),
    Pkcs12 { der: Secret<Vec<u8>>, password: Option<Secret<String>> },
}

/// The SCEP payload.
#[derive(Debug, Clone, PartialEq)]
pub struct ScepFacts {
    pub url: String,
    pub name: Option<String>,
    pub challenge: Option<Secret<String>>,
    pub ca_fingerprint: Option<Vec<u8>>,
    /// Attribute and value, in order: `("O", "x")`.
    pub subject: Vec<(String, String)>,
    /// Bits; Apple's default is 1024.
    pub key_size: i64,
    /// 1 signing, 4 encryption, 5 both; Apple's default is 0.
    pub key_usage: i64,
}

impl EnrollmentFacts {
    /// Why a device would refuse `new` as a replacement for this profile (errors 12009 and 12012), or `None` if it takes it.
    pub fn refuses_replacement(&self, new: &EnrollmentFacts) -> Option<&'static str> {
        let users = |facts: &EnrollmentFacts| facts.capabilities.iter().any(|name| name == PER_USER_CONNECTIONS);
        let rules = [
            (self.payload_identifier == new.payload_identifier, "another PayloadIdentifier"),
            (self.topic == new.topic, "another Topic"),
            (self.server_url == new.server_url, "another ServerURL"),
            (self.check_in_url == new.check_in_url, "another CheckInURL"),
            (users(self) == users(new), "per-user connections added or removed"),
            (new.access_rights & !self.access_rights == 0, "more AccessRights"),
        ];
        rules.into_iter().find(|(kept, _)| !kept).map(|(_, why)| why)
    }
}

/// Reads an unsigned enrolment profile.
///
/// # Errors
/// [`ProfileError`] for what a device would not install.
pub fn read_enrollment(bytes: &[u8]) -> Result<EnrollmentFacts, ProfileError> {
    let top = parse_dict(bytes)?;
    if top.string("PayloadType")? != "Configuration" {
        return Err(bad("PayloadType", "is not Configuration"));
    }
    let payload_identifier = top.string("PayloadIdentifier")?.to_owned();
    let payloads: Vec<Dict> =
        top.array("PayloadContent")?.iter().filter_map(Value::as_dictionary).cloned().map(Dict::new).collect();
    unique(&top, &payloads)?;

    let mdm = only(&payloads, MDM_TYPE)?;
    let server_url = https(&mdm, "ServerURL")?.ok_or_else(|| bad("ServerURL", "is missing"))?;
    let access_rights = mdm.find_integer("AccessRights")?.unwrap_or(0);
    let capabilities = mdm.find_array("ServerCapabilities")?.unwrap_or_default();
    Ok(EnrollmentFacts {
        payload_identifier,
        check_in_url: https(&mdm, "CheckInURL")?.unwrap_or_else(|| server_url.clone()),
        server_url,
        topic: Topic::new(mdm.string("Topic")?).map_err(|wrong| bad("Topic", wrong.why))?,
        access_rights: u32::try_from(access_rights).map_err(|_| bad("AccessRights", "is negative or too large"))?,
        sign_message: mdm.flag("SignMessage")?,
        check_out_when_removed: mdm.flag("CheckOutWhenRemoved")?,
        capabilities: capabilities.iter().filter_map(Value::as_string).map(str::to_owned).collect(),
        identity: identity(&payloads, mdm.string("IdentityCertificateUUID")?)?,
        anchors: certificates(&payloads, ROOT_TYPE)?,
        intermediates: certificates(&payloads, INTERMEDIATE_TYPE)?,
    })
}

fn bad(key: &'static str, why: &'static str) -> ProfileError {
    ProfileError::Value { key, why }
}

fn of_type<'a>(payloads: &'a [Dict], kind: &'a str) -> impl Iterator<Item = &'a Dict> {
    payloads.iter().filter(move |p| p.get("PayloadType").and_then(Value::as_string) == Some(kind))
}

fn only(payloads: &[Dict], kind: &'static str) -> Result<Dict, ProfileError> {
    let mut all = of_type(payloads, kind);
    match (all.next(), all.next()) {
        (Some(one), None) => Ok(one.clone()),
        (None, _) => Err(bad(kind, "there is no such payload")),
        _ => Err(bad(kind, "there is more than one such payload")),
    }
}

/// Devices refuse a profile in which two payloads share a UUID or an identifier (errors 1007, 1008).
fn unique(top: &Dict, payloads: &[Dict]) -> Result<(), ProfileError> {
    for key in ["PayloadUUID", "PayloadIdentifier"] {
        let mut seen = HashSet::from([top.string(key)?]);
        for payload in payloads {
            if !seen.insert(payload.string(key)?) {
                return Err(bad(key, "is used twice"));
            }
        }
    }
    Ok(())
}

fn https(dict: &Dict, key: &'static str) -> Result<Option<String>, ProfileError> {
    match dict.find_string(key)? {
        Some(url) if !url.starts_with("https://") => Err(bad(key, "does not start with https://")),
        url => Ok(url.map(str::to_owned)),
    }
}

fn certificates(payloads: &[Dict], kind: &str) -> Result<Vec<Vec<u8>>, ProfileError> {
    of_type(payloads, kind).map(|payload| Ok(payload.data("PayloadContent")?.to_vec())).collect()
}

fn identity(payloads: &[Dict], uuid: &str) -> Result<IdentityFacts, ProfileError> {
    let linked = payloads.iter().find(|p| p.get("PayloadUUID").and_then(Value::as_string) == Some(uuid));
    let linked = linked.ok_or_else(|| bad("IdentityCertificateUUID", "names no payload of this profile"))?;
    match linked.string("PayloadType")? {
        SCEP_TYPE => Ok(IdentityFacts::Scep(scep(&linked.dict("PayloadContent")?)?)),
        PKCS12_TYPE => Ok(IdentityFacts::Pkcs12 {
            der: Secret::new(linked.data("PayloadContent")?.to_vec()),
            password: linked.find_string("Password")?.map(|text| Secret::new(text.to_owned())),
        }),
        _ => Err(bad("IdentityCertificateUUID", "names a payload that is no identity")),
    }
}

fn scep(content: &Dict) -> Result<ScepFacts, ProfileError> {
    Ok(ScepFacts {
        url: content.string("URL")?.to_owned(),
        name: content.find_string("Name")?.map(str::to_owned),
        challenge: content.find_string("Challenge")?.map(|text| Secret::new(text.to_owned())),
        ca_fingerprint: content.find_data("CAFingerprint")?.map(<[u8]>::to_vec),
        subject: subject(content)?,
        key_size: content.find_integer("Keysize")?.unwrap_or(1024),
        key_usage: content.find_integer("Key Usage")?.unwrap_or(0),
    })
}

fn subject(content: &Dict) -> Result<Vec<(String, String)>, ProfileError> {
    let parts =
        content.find_array("Subject")?.unwrap_or_default().iter().flat_map(|rdn| rdn.as_array().into_iter().flatten());
    parts
        .map(|pair| match pair.as_array().map(Vec::as_slice) {
            Some([Value::String(name), Value::String(value)]) => Ok((name.clone(), value.clone())),
            _ => Err(bad("Subject", "is not a list of lists of pairs")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::enrollment::tests::{counter, sample};
    use super::super::{AccessRights, BOOTSTRAP_TOKEN, EnrollmentProfile, Identity, enrollment_profile};
    use super::*;

    fn facts(change: impl FnOnce(&mut EnrollmentProfile)) -> EnrollmentFacts {
        let mut profile = sample();
        change(&mut profile);
        read_enrollment(&enrollment_profile(&profile, &mut counter()).unwrap().plain()).unwrap()
    }

    #[test]
    fn what_was_built_is_what_a_device_reads() {
        let facts = facts(|_| {});
        assert_eq!(facts.server_url, "https://mdm.example:8443/mdm/command");
        assert_eq!(facts.check_in_url, "https://mdm.example:8443/mdm/checkin");
        assert_eq!((facts.access_rights, facts.sign_message, facts.check_out_when_removed), (8191, false, true));
        assert_eq!(facts.capabilities, [PER_USER_CONNECTIONS, BOOTSTRAP_TOKEN]);
        assert_eq!((facts.anchors, facts.intermediates), (vec![vec![0x30, 1]], vec![vec![0x30, 2]]));
        let IdentityFacts::Scep(scep) = facts.identity else { panic!() };
        assert_eq!(scep.challenge.unwrap().expose(), "one-time");
        assert_eq!(
            scep.subject,
            [("O".to_owned(), "Riverside School".to_owned()), ("CN".to_owned(), "device".to_owned())]
        );
        assert_eq!((scep.key_size, scep.key_usage, scep.ca_fingerprint), (2048, 5, Some(vec![0xAB; 32])));
    }

    #[test]
    fn a_pkcs12_identity() {
        let facts = facts(|p| {
            p.identity = Identity::Pkcs12 {
                der: Secret::new(vec![9]),
                password: Secret::new("pw".into()),
                name: "identity.p12".into(),
            };
        });
        let wanted = IdentityFacts::Pkcs12 { der: Secret::new(vec![9]), password: Some(Secret::new("pw".into())) };
        assert_eq!(facts.identity, wanted);
    }

    #[test]
    fn what_a_replacement_may_not_change() {
        let old = facts(|_| {});
        let refused = |change: fn(&mut EnrollmentProfile)| old.refuses_replacement(&facts(change));
        assert_eq!(refused(|p| p.anchors.clear()), None);
        assert_eq!(refused(|p| p.mdm.access_rights = AccessRights::new(3).unwrap()), None);
        assert_eq!(refused(|p| p.mdm.server_url.push('x')), Some("another ServerURL"));
        assert_eq!(refused(|p| p.mdm.check_in_url.push('x')), Some("another CheckInURL"));
        assert_eq!(refused(|p| p.payload_identifier.push('x')), Some("another PayloadIdentifier"));
        assert_eq!(
            refused(|p| p.mdm.capabilities.per_user_connections = false),
            Some("per-user connections added or removed")
        );
        let few = facts(|p| p.mdm.access_rights = AccessRights::new(1).unwrap());
        assert_eq!(few.refuses_replacement(&old), Some("more AccessRights"));
    }

    #[test]
    fn refuses_what_a_device_refuses() {
        let text = String::from_utf8(enrollment_profile(&sample(), &mut counter()).unwrap().plain()).unwrap();
        let fault = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            read_enrollment(text.replace(from, to).as_bytes()).unwrap_err().to_string()
        };
        assert_eq!(fault("-000000000004", "-000000000001"), "PayloadUUID: is used twice");
        assert_eq!(fault("com.apple.mdm<", "com.apple.none<"), "com.apple.mdm: there is no such payload");
        assert_eq!(
            fault("https://mdm.example:8443/mdm/command", "http://x"),
            "ServerURL: does not start with https://"
        );
        assert_eq!(
            fault("com.apple.security.scep", "com.apple.wifi"),
            "IdentityCertificateUUID: names a payload that is no identity"
        );
        assert_eq!(
            fault("com.apple.mgmt.External.1", "com.example"),
            "Topic: does not start with com.apple.mgmt. or holds odd characters"
        );
        assert_eq!(fault("Configuration", "Profile Service"), "PayloadType: is not Configuration");
        assert!(read_enrollment(b"").is_err());
    }
}
