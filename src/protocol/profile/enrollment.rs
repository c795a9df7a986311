//! Building one enrolment profile: trust, one identity, the MDM payload, and nothing else. All the rest comes later, by command.

use super::{
    AccessRights, BOOTSTRAP_TOKEN, GET_TOKEN, INTERMEDIATE_TYPE, MDM_TYPE, PER_USER_CONNECTIONS, PKCS12_TYPE,
    ProfileError, ROOT_TYPE, SCEP_TYPE,
};
use crate::base::push::Topic;
use crate::base::secret::Secret;
use crate::plist::{Dictionary, Value, to_xml};

/// What one device is given to enrol.
#[derive(Debug, Clone)]
pub struct EnrollmentProfile {
    /// Decides replace or add: minted once per school, never made from a name.
    pub payload_identifier: String,
    pub organization: String,
    pub display_name: String,
    /// Roots for the server's TLS chain: name, DER. Empty with publicly trusted TLS.
    pub anchors: Vec<(String, Vec<u8>)>,
    /// Name, DER.
    pub intermediates: Vec<(String, Vec<u8>)>,
    pub identity: Identity,
    pub mdm: MdmPayload,
}

/// How the device gets its client certificate. One certificate per device, always.
#[derive(Debug, Clone)]
pub enum Identity {
    /// The private key never leaves the device.
    Scep {
        url: String,
        /// Sent as the message of GetCACert.
        name: String,
        /// One-time, for this device.
        challenge: Secret<String>,
        /// Digest of the CA certificate (SHA-256); left out when empty.
        ca_fingerprint: Vec<u8>,
        subject_cn: String,
        organization: String,
    },
    /// Key and certificate in the profile, for devices that cannot reach SCEP.
    Pkcs12 { der: Secret<Vec<u8>>, password: Secret<String>, name: String },
}

/// The `com.apple.mdm` payload. Topic, both URLs and the user channel can never change for an enrolled device.
#[derive(Debug, Clone)]
pub struct MdmPayload {
    pub server_url: String,
    pub check_in_url: String,
    pub topic: Topic,
    pub access_rights: AccessRights,
    /// Adds the `Mdm-Signature` header, for servers behind a proxy that ends TLS.
    pub sign_message: bool,
    pub capabilities: Capabilities,
}

/// `ServerCapabilities`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    pub per_user_connections: bool,
    pub bootstrap_token: bool,
    pub get_token: bool,
}

impl Default for Capabilities {
    /// User channels and bootstrap tokens: user channels cannot be added later.
    fn default() -> Self {
        Self { per_user_connections: true, bootstrap_token: true, get_token: false }
    }
}

impl Capabilities {
    /// Those whose names `has` knows.
    pub fn from_names(has: impl Fn(&str) -> bool) -> Self {
        Self {
            per_user_connections: has(PER_USER_CONNECTIONS),
            bootstrap_token: has(BOOTSTRAP_TOKEN),
            get_token: has(GET_TOKEN),
        }
    }

    /// Apple's names.
    pub fn names(self) -> Vec<&'static str> {
        let all = [
            (self.per_user_connections, PER_USER_CONNECTIONS),
            (self.bootstrap_token, BOOTSTRAP_TOKEN),
            (self.get_token, GET_TOKEN),
        ];
        all.into_iter().filter(|(wanted, _)| *wanted).map(|(_, name)| name).collect()
    }
}

/// A profile before it is written: its payloads may still be encrypted to one device.
#[derive(Debug)]
pub struct Draft {
    top: Dictionary,
    payloads: Vec<Value>,
}

impl Draft {
    /// The profile as an XML property list, unsigned.
    pub fn plain(mut self) -> Vec<u8> {
        self.top.insert("PayloadContent".to_owned(), Value::Array(self.payloads));
        to_xml(&Value::Dictionary(self.top))
    }

    /// What is encrypted to a device: the array of payloads alone, as a property list.
    pub fn contents(&self) -> Vec<u8> {
        to_xml(&Value::Array(self.payloads.clone()))
    }

    /// The profile with `enveloped` (DER of a CMS EnvelopedData of [`Draft::contents`]) in the place of its payloads.
    pub fn encrypted(mut self, enveloped: Vec<u8>) -> Vec<u8> {
        self.top.insert("IsEncrypted".to_owned(), true.into());
        self.top.insert("EncryptedPayloadContent".to_owned(), Value::Data(enveloped));
        to_xml(&Value::Dictionary(self.top))
    }
}

/// Puts the profile together. `mint` gives a new upper-case UUID at each call, one per payload.
///
/// # Errors
/// [`ProfileError`] if a device would refuse it: an empty identifier or secret, URLs that are not https.
pub fn enrollment_profile(
    profile: &EnrollmentProfile,
    mint: &mut dyn FnMut() -> String,
) -> Result<Draft, ProfileError> {
    validate(profile)?;
    let id = |part: &str| format!("{}.{part}", profile.payload_identifier);
    let mut payloads: Vec<Value> = Vec::new();
    for (at, (name, der)) in (1..).zip(&profile.anchors) {
        payloads.push(certificate(ROOT_TYPE, &id(&format!("anchor.{at}")), name, der, mint()));
    }
    for (at, (name, der)) in (1..).zip(&profile.intermediates) {
        payloads.push(certificate(INTERMEDIATE_TYPE, &id(&format!("intermediate.{at}")), name, der, mint()));
    }
    let identity_uuid = mint();
    payloads.push(identity(&profile.identity, &id("identity"), identity_uuid.clone()));
    payloads.push(mdm(&profile.mdm, &id("management"), &identity_uuid, mint()));

    let mut top = envelope("Configuration", &profile.payload_identifier, &profile.display_name, mint());
    top.insert("PayloadOrganization".to_owned(), profile.organization.as_str().into());
    let description = format!("Lets {} manage this device.", profile.organization);
    top.insert("PayloadDescription".to_owned(), description.into());
    // On a Mac a profile opened by hand would otherwise be the user's alone.
    top.insert("PayloadScope".to_owned(), "System".into());
    Ok(Draft { top, payloads })
}

fn validate(profile: &EnrollmentProfile) -> Result<(), ProfileError> {
    let bad = |key, why| Err(ProfileError::Value { key, why });
    if profile.payload_identifier.is_empty() {
        return bad("PayloadIdentifier", "is empty");
    }
    for (key, url) in [("ServerURL", &profile.mdm.server_url), ("CheckInURL", &profile.mdm.check_in_url)] {
        if !url.starts_with("https://") {
            return bad(key, "does not start with https://");
        }
    }
    match &profile.identity {
        // Plain http is allowed: SCEP protects its own messages.
        Identity::Scep { url, .. } if !url.starts_with("https://") && !url.starts_with("http://") => {
            bad("URL", "is not an http(s) URL")
        }
        Identity::Scep { challenge, .. } if challenge.expose().is_empty() => bad("Challenge", "is empty"),
        Identity::Pkcs12 { password, .. } if password.expose().is_empty() => bad("Password", "is empty"),
        _ => Ok(()),
    }
}

pub(super) fn envelope(kind: &str, identifier: &str, display_name: &str, uuid: String) -> Dictionary {
    let mut dict = Dictionary::new();
    dict.insert("PayloadType".to_owned(), kind.into());
    dict.insert("PayloadVersion".to_owned(), Value::from(1));
    dict.insert("PayloadIdentifier".to_owned(), identifier.into());
    dict.insert("PayloadUUID".to_owned(), uuid.into());
    dict.insert("PayloadDisplayName".to_owned(), display_name.into());
    dict
}

pub(super) fn certificate(kind: &str, identifier: &str, name: &str, der: &[u8], uuid: String) -> Value {
    let mut dict = envelope(kind, identifier, name, uuid);
    dict.insert("PayloadContent".to_owned(), Value::Data(der.to_vec()));
    Value::Dictionary(dict)
}

pub(super) fn identity(identity: &Identity, identifier: &str, uuid: String) -> Value {
    match identity {
        Identity::Scep { url, name, challenge, ca_fingerprint, subject_cn, organization } => {
            let mut content = Dictionary::new();
            content.insert("URL".to_owned(), url.as_str().into());
            content.insert("Name".to_owned(), name.as_str().into());
            content.insert("Subject".to_owned(), subject(&[("O", organization), ("CN", subject_cn)]));
            content.insert("Challenge".to_owned(), challenge.expose().as_str().into());
            content.insert("Keysize".to_owned(), Value::from(2048));
            // With spaces, as Apple's schema and tools have them; 5 is signing and encryption.
            content.insert("Key Type".to_owned(), "RSA".into());
            content.insert("Key Usage".to_owned(), Value::from(5));
            content.insert("KeyIsExtractable".to_owned(), false.into());
            content.insert("Retries".to_owned(), Value::from(3));
            content.insert("RetryDelay".to_owned(), Value::from(10));
            if !ca_fingerprint.is_empty() {
                content.insert("CAFingerprint".to_owned(), Value::Data(ca_fingerprint.clone()));
            }
            let mut dict = envelope(SCEP_TYPE, identifier, "Device identity", uuid);
            dict.insert("PayloadContent".to_owned(), Value::Dictionary(content));
            Value::Dictionary(dict)
        }
        Identity::Pkcs12 { der, password, name } => {
            let mut dict = envelope(PKCS12_TYPE, identifier, "Device identity", uuid);
            dict.insert("PayloadCertificateFileName".to_owned(), name.as_str().into());
            dict.insert("PayloadContent".to_owned(), Value::Data(der.expose().clone()));
            dict.insert("Password".to_owned(), password.expose().as_str().into());
            dict.insert("KeyIsExtractable".to_owned(), false.into());
            Value::Dictionary(dict)
        }
    }
}

/// `[[["O", "x"]], [["CN", "y"]]]`, without the empty ones.
fn subject(pairs: &[(&str, &String)]) -> Value {
    let one =
        |(name, value): &(&str, &String)| Value::Array(vec![Value::Array(vec![(*name).into(), value.as_str().into()])]);
    Value::Array(pairs.iter().filter(|(_, value)| !value.is_empty()).map(one).collect())
}

fn mdm(mdm: &MdmPayload, identifier: &str, identity_uuid: &str, uuid: String) -> Value {
    let mut dict = envelope(MDM_TYPE, identifier, "Device management", uuid);
    dict.insert("IdentityCertificateUUID".to_owned(), identity_uuid.into());
    dict.insert("Topic".to_owned(), mdm.topic.as_str().into());
    dict.insert("ServerURL".to_owned(), mdm.server_url.as_str().into());
    dict.insert("CheckInURL".to_owned(), mdm.check_in_url.as_str().into());
    dict.insert("AccessRights".to_owned(), Value::from(mdm.access_rights.bits()));
    dict.insert("SignMessage".to_owned(), mdm.sign_message.into());
    dict.insert("CheckOutWhenRemoved".to_owned(), true.into());
    let names = mdm.capabilities.names();
    if !names.is_empty() {
        dict.insert("ServerCapabilities".to_owned(), Value::Array(names.into_iter().map(Value::from).collect()));
    }
    Value::Dictionary(dict)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// UUIDs that count.
    pub fn counter() -> impl FnMut() -> String {
        let mut count = 0;
        move || {
            count += 1;
            format!("00000000-0000-4000-8000-{count:012}")
        }
    }

    pub fn sample() -> EnrollmentProfile {
        EnrollmentProfile {
            payload_identifier: "cordon.k7m2p9.mdm".into(),
            organization: "Riverside School".into(),
            display_name: "Riverside School: device management".into(),
            anchors: vec![("Riverside School Root".into(), vec![0x30, 1])],
            intermediates: vec![("Riverside School Issuer".into(), vec![0x30, 2])],
            identity: Identity::Scep {
                url: "https://mdm.example/scep".into(),
                name: "cordon".into(),
                challenge: Secret::new("one-time".into()),
                ca_fingerprint: vec![0xAB; 32],
                subject_cn: "device".into(),
                organization: "Riverside School".into(),
            },
            mdm: MdmPayload {
                server_url: "https://mdm.example:8443/mdm/command".into(),
                check_in_url: "https://mdm.example:8443/mdm/checkin".into(),
                topic: Topic::new("com.apple.mgmt.External.1").unwrap(),
                access_rights: AccessRights::ALL,
                sign_message: false,
                capabilities: Capabilities::default(),
            },
        }
    }

    #[test]
    fn the_profile_is_exactly_this() {
        let built = String::from_utf8(enrollment_profile(&sample(), &mut counter()).unwrap().plain()).unwrap();
        assert_eq!(built, include_str!("fixtures/enrollment.mobileconfig").trim_end());
    }

    /// Profiles of other kinds than the usual one, each held byte for byte.
    #[test]
    fn the_other_kinds_of_profile_are_exactly_these() {
        let pkcs12 = Identity::Pkcs12 {
            der: Secret::new(vec![0x30, 3]),
            password: Secret::new("one-time".into()),
            name: "identity.p12".into(),
        };
        type Bend<'a> = &'a dyn Fn(&mut EnrollmentProfile);
        let few = AccessRights::from_names(["all", "-lock", "-erase"]).unwrap();
        let table: [(&str, Bend<'_>); 4] = [
            (include_str!("fixtures/pkcs12.mobileconfig"), &|p| p.identity = pkcs12.clone()),
            (include_str!("fixtures/publicly-trusted.mobileconfig"), &|p| {
                (p.anchors, p.intermediates) = (Vec::new(), Vec::new());
            }),
            (include_str!("fixtures/few-rights.mobileconfig"), &|p| p.mdm.access_rights = few),
            (include_str!("fixtures/sign-message.mobileconfig"), &|p| p.mdm.sign_message = true),
        ];
        for (held, bend) in table {
            let mut profile = sample();
            bend(&mut profile);
            let built = String::from_utf8(enrollment_profile(&profile, &mut counter()).unwrap().plain()).unwrap();
            assert_eq!(built, held.trim_end());
        }
    }

    #[test]
    fn what_a_device_would_refuse_is_not_built() {
        let refused = |change: fn(&mut EnrollmentProfile)| {
            let mut profile = sample();
            change(&mut profile);
            enrollment_profile(&profile, &mut counter()).unwrap_err().to_string()
        };
        assert_eq!(
            refused(|p| p.mdm.server_url = "http://mdm.example".into()),
            "ServerURL: does not start with https://"
        );
        assert_eq!(refused(|p| p.mdm.check_in_url = String::new()), "CheckInURL: does not start with https://");
        assert_eq!(refused(|p| p.payload_identifier = String::new()), "PayloadIdentifier: is empty");
        assert_eq!(
            refused(|p| if let Identity::Scep { challenge, .. } = &mut p.identity {
                *challenge = Secret::new(String::new())
            }),
            "Challenge: is empty"
        );
    }

    #[test]
    fn capabilities_by_name() {
        assert_eq!(Capabilities::default().names(), [PER_USER_CONNECTIONS, BOOTSTRAP_TOKEN]);
        let none = Capabilities { per_user_connections: false, bootstrap_token: false, get_token: false };
        let mut profile = sample();
        profile.mdm.capabilities = none;
        let built = String::from_utf8(enrollment_profile(&profile, &mut counter()).unwrap().plain()).unwrap();
        assert!(!built.contains("ServerCapabilities"));
    }
}
