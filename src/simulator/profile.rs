//! Reads an enrolment profile as strictly as Apple's own installer would: this is the second opinion on what
//! the server builds, so it shares no code with the builder.
//!
//! Called by `device`. Not here: what may replace it (`replacement`), installing ordinary profiles (`profiles`), and the SCEP conversation (`scep`).

use std::collections::HashSet;

use super::network::{Url, WireError};
use crate::base::secret::Secret;
use crate::pki;
use crate::plist::{Dict, PlistError, Value, parse_dict};

/// Why a device does not install a profile, in Apple's error domains.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text} ({domain} {code})")]
pub struct Refusal {
    pub domain: &'static str,
    pub code: i64,
    pub text: String,
}

impl Refusal {
    pub fn profile(code: i64, text: impl Into<String>) -> Self {
        Self { domain: "MCProfileErrorDomain", code, text: text.into() }
    }
    pub fn installation(code: i64, text: impl Into<String>) -> Self {
        Self { domain: "MCInstallationErrorDomain", code, text: text.into() }
    }
    pub fn mdm(code: i64, text: impl Into<String>) -> Self {
        Self { domain: "MCMDMErrorDomain", code, text: text.into() }
    }
}

impl From<PlistError> for Refusal {
    fn from(error: PlistError) -> Self {
        Self::profile(1000, error.to_string())
    }
}

/// A profile of any purpose: its envelope checked, its payloads still as they came.
#[derive(Debug, Clone)]
pub struct Profile {
    pub identifier: String,
    pub uuid: String,
    pub display_name: Option<String>,
    pub organization: Option<String>,
    pub removal_disallowed: bool,
    pub encrypted: bool,
    /// DER of the signer, then what else the signature carried; empty for an unsigned profile.
    pub signers: Vec<Vec<u8>>,
    pub payloads: Vec<Payload>,
}

/// One element of `PayloadContent`, its common keys checked.
#[derive(Debug, Clone)]
pub struct Payload {
    pub kind: String,
    pub identifier: String,
    pub uuid: String,
    pub display_name: Option<String>,
    pub dict: Dict,
}

/// What an enrolment profile tells a device.
#[derive(Debug, Clone)]
pub struct Enrolling {
    pub profile: Profile,
    /// Certificates (DER) that become trust anchors or intermediates.
    pub certificates: Vec<Vec<u8>>,
    pub identity: IdentityPayload,
    pub mdm: MdmPayload,
}

impl Enrolling {
    /// The SCEP payload, where that is how the identity comes.
    pub fn find_scep(&self) -> Option<&ScepPayload> {
        match &self.identity {
            IdentityPayload::Scep(scep) => Some(scep),
            IdentityPayload::Pkcs12 { .. } => None,
        }
    }
}

/// The payload that IdentityCertificateUUID names.
#[derive(Debug, Clone)]
pub enum IdentityPayload {
    Scep(ScepPayload),
    /// `com.apple.security.pkcs12`.
    Pkcs12 {
        der: Secret<Vec<u8>>,
        password: Secret<String>,
    },
}

/// `com.apple.security.scep`, Apple's defaults filled in.
#[derive(Debug, Clone)]
pub struct ScepPayload {
    pub url: Url,
    pub name: Option<String>,
    /// RDNs in order, each a list of (short name or dotted OID, value).
    pub subject: Vec<Vec<(String, String)>>,
    pub challenge: Option<String>,
    /// Bits, 2048 or 4096.
    pub key_size: u32,
    pub fingerprint: Option<Vec<u8>>,
    pub retries: u32,
    pub retry_delay_secs: u64,
}

/// `com.apple.mdm`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MdmPayload {
    pub topic: String,
    pub server_url: Url,
    pub check_in_url: Url,
    pub access_rights: u32,
    pub sign_message: bool,
    pub check_out_when_removed: bool,
    pub per_user_connections: bool,
    pub capabilities: Vec<String>,
}

/// All bits of `AccessRights`.
const ALL_RIGHTS: i64 = 8191;

/// Reads any profile: signed CMS or plain XML; the signature must be whole, whoever made it.
///
/// # Errors
/// [`Refusal`] as the device would report it.
pub fn read(bytes: &[u8]) -> Result<Profile, Refusal> {
    let (xml, signers) = unwrap_signature(bytes)?;
    let dict = parse_dict(&xml)?;
    if dict.string("PayloadType")? != "Configuration" {
        return Err(Refusal::profile(1000, "the profile's PayloadType is not Configuration"));
    }
    if dict.find_integer("PayloadVersion")? != Some(1) {
        return Err(Refusal::profile(1002, "the profile's PayloadVersion is not 1"));
    }
    let encrypted = dict.flag("IsEncrypted")?;
    let payloads = if encrypted {
        dict.data("EncryptedPayloadContent")?;
        Vec::new()
    } else {
        read_payloads(dict.array("PayloadContent")?)?
    };
    Ok(Profile {
        identifier: filled(&dict, "PayloadIdentifier")?,
        uuid: filled(&dict, "PayloadUUID")?,
        display_name: dict.find_string("PayloadDisplayName")?.map(str::to_owned),
        organization: dict.find_string("PayloadOrganization")?.map(str::to_owned),
        removal_disallowed: dict.flag("PayloadRemovalDisallowed")?,
        encrypted,
        signers,
        payloads,
    })
}

impl Profile {
    /// The payload of this type, if there is exactly one.
    pub fn find_single(&self, kind: &str) -> Option<&Payload> {
        let mut found = self.payloads.iter().filter(|p| p.kind == kind);
        found.next().filter(|_| found.next().is_none())
    }

    /// Whether this profile would put the device under management.
    pub fn is_enrollment(&self) -> bool {
        self.payloads.iter().any(|p| p.kind == "com.apple.mdm")
    }
}

/// Reads an enrolment profile.
///
/// # Errors
/// [`Refusal`] for every rule of the MDM payload that is broken.
pub fn read_enrollment(bytes: &[u8]) -> Result<Enrolling, Refusal> {
    let profile = read(bytes)?;
    let mdm = profile
        .find_single("com.apple.mdm")
        .ok_or_else(|| Refusal::mdm(12001, "the profile does not hold exactly one com.apple.mdm payload"))?;
    let wanted = filled(&mdm.dict, "IdentityCertificateUUID")?;
    let identity = profile.payloads.iter().find(|p| p.uuid == wanted);
    let identity =
        identity.ok_or_else(|| Refusal::mdm(12004, "IdentityCertificateUUID names no payload of this profile"))?;
    let (identity, mdm) = (read_identity(identity)?, read_mdm(&mdm.dict)?);
    let mut certificates = Vec::new();
    for payload in &profile.payloads {
        certificates.extend(read_certificates(payload)?);
    }
    Ok(Enrolling { certificates, identity, mdm, profile })
}

fn unwrap_signature(bytes: &[u8]) -> Result<(Vec<u8>, Vec<Vec<u8>>), Refusal> {
    // DER and BER SignedData begin with SEQUENCE; XML begins with `<`, perhaps after a byte order mark or blanks.
    if bytes.first() != Some(&0x30) {
        return Ok((bytes.to_vec(), Vec::new()));
    }
    let signed = pki::cms::verify_attached(bytes)
        .map_err(|e| Refusal::profile(1003, format!("the profile's signature is broken: {e}")))?;
    let others = signed.certificates.iter().filter(|c| **c != signed.signer);
    let signers = std::iter::once(&signed.signer).chain(others).map(|c| c.der().to_vec()).collect();
    Ok((signed.content, signers))
}

fn read_payloads(values: &[Value]) -> Result<Vec<Payload>, Refusal> {
    let (mut uuids, mut identifiers) = (HashSet::new(), HashSet::new());
    let mut payloads = Vec::with_capacity(values.len());
    for value in values {
        let Value::Dictionary(dict) = value else {
            return Err(Refusal::profile(1000, "an element of PayloadContent is not a dictionary"));
        };
        let dict = Dict::new(dict.clone());
        let payload = Payload {
            kind: filled(&dict, "PayloadType")?,
            identifier: filled(&dict, "PayloadIdentifier")?,
            uuid: filled(&dict, "PayloadUUID")?,
            display_name: dict.find_string("PayloadDisplayName")?.map(str::to_owned),
            dict,
        };
        if payload.dict.find_integer("PayloadVersion")? != Some(1) {
            return Err(Refusal::profile(1002, format!("the PayloadVersion of {} is not 1", payload.kind)));
        }
        if !uuids.insert(payload.uuid.clone()) {
            return Err(Refusal::profile(1007, format!("two payloads share the PayloadUUID {}", payload.uuid)));
        }
        if !identifiers.insert(payload.identifier.clone()) {
            return Err(Refusal::profile(
                1008,
                format!("two payloads share the PayloadIdentifier {}", payload.identifier),
            ));
        }
        payloads.push(payload);
    }
    Ok(payloads)
}

fn filled(dict: &Dict, key: &str) -> Result<String, Refusal> {
    match dict.string(key)? {
        "" => Err(Refusal::profile(1000, format!("{key} is empty"))),
        text => Ok(text.to_owned()),
    }
}

fn read_mdm(dict: &Dict) -> Result<MdmPayload, Refusal> {
    let topic = filled(dict, "Topic")?;
    if crate::base::push::Topic::new(&topic).is_err() {
        return Err(Refusal::mdm(12022, "Topic does not start with com.apple.mgmt."));
    }
    let secure = |key: &str, text: &str| match text.parse::<Url>() {
        Ok(url) if url.secure => Ok(url),
        _ => Err(Refusal::mdm(12004, format!("{key} is not an https URL"))),
    };
    let server_url = secure("ServerURL", dict.string("ServerURL")?)?;
    let check_in_url = dict.find_string("CheckInURL")?.map(|text| secure("CheckInURL", text)).transpose()?;
    let capabilities = read_capabilities(dict)?;
    if dict.flag("UseDevelopmentAPNS")? {
        return Err(Refusal::mdm(
            12022,
            "UseDevelopmentAPNS is set, but push certificates from Apple's portal are production only",
        ));
    }
    Ok(MdmPayload {
        topic,
        check_in_url: check_in_url.unwrap_or_else(|| server_url.clone()),
        server_url,
        access_rights: read_rights(dict.find_integer("AccessRights")?)?,
        sign_message: dict.flag("SignMessage")?,
        check_out_when_removed: dict.flag("CheckOutWhenRemoved")?,
        per_user_connections: capabilities.iter().any(|c| c == "com.apple.mdm.per-user-connections"),
        capabilities,
    })
}

fn read_capabilities(dict: &Dict) -> Result<Vec<String>, Refusal> {
    let mut seen = Vec::new();
    for value in dict.find_array("ServerCapabilities")?.unwrap_or_default() {
        match value.as_string() {
            Some(text) if !seen.iter().any(|s| s == text) => seen.push(text.to_owned()),
            _ => return Err(Refusal::mdm(12004, "ServerCapabilities holds something twice, or not a string")),
        }
    }
    Ok(seen)
}

/// Never 0; 2 needs 1; 128 needs 64. Profiles for Device Enrollment must say it.
fn read_rights(rights: Option<i64>) -> Result<u32, Refusal> {
    let bad = |text: &str| Err(Refusal::mdm(12000, text));
    match rights {
        None => bad("AccessRights is missing"),
        Some(r) if !(1..=ALL_RIGHTS).contains(&r) => bad("AccessRights is not between 1 and 8191"),
        Some(r) if r & 2 != 0 && r & 1 == 0 => bad("AccessRights 2 needs 1"),
        Some(r) if r & 128 != 0 && r & 64 == 0 => bad("AccessRights 128 needs 64"),
        Some(r) => u32::try_from(r).or_else(|_| bad("AccessRights is out of range")),
    }
}

fn read_identity(payload: &Payload) -> Result<IdentityPayload, Refusal> {
    match payload.kind.as_str() {
        "com.apple.security.scep" => read_scep(&payload.dict).map(IdentityPayload::Scep),
        "com.apple.security.pkcs12" => {
            let der = Secret::new(payload.dict.data("PayloadContent")?.to_vec());
            let password = Secret::new(filled(&payload.dict, "Password")?);
            Ok(IdentityPayload::Pkcs12 { der, password })
        }
        other => {
            let text = format!("the identity is a {other} payload, which this simulated device does not know");
            Err(Refusal::mdm(12004, text))
        }
    }
}

pub(super) fn read_scep(outer: &Dict) -> Result<ScepPayload, Refusal> {
    let dict = outer.dict("PayloadContent")?;
    let bad = |text: String| Refusal { domain: "MCSCEPErrorDomain", code: 22000, text };
    let url = dict.string("URL")?.parse().map_err(|e: WireError| bad(format!("SCEP URL: {e}")))?;
    if !matches!(dict.find_string("Key Type")?, None | Some("RSA")) {
        return Err(bad("Key Type is not RSA".to_owned()));
    }
    let key_size = match dict.find_integer("Keysize")? {
        Some(2048) => 2048,
        Some(4096) => 4096,
        other => {
            return Err(bad(format!(
                "Keysize is {} (1024 when absent); 2048 or 4096 is wanted",
                other.unwrap_or(1024)
            )));
        }
    };
    Ok(ScepPayload {
        url,
        name: dict.find_string("Name")?.map(str::to_owned),
        subject: read_subject(dict.find_array("Subject")?.unwrap_or_default())
            .ok_or_else(|| bad("Subject is not a list of RDNs".to_owned()))?,
        challenge: dict.find_string("Challenge")?.map(str::to_owned),
        key_size,
        fingerprint: dict.find_data("CAFingerprint")?.map(<[u8]>::to_vec),
        retries: dict.find_integer("Retries")?.map_or(3, |n| u32::try_from(n.clamp(0, 100)).unwrap_or(3)),
        retry_delay_secs: dict
            .find_integer("RetryDelay")?
            .map_or(10, |n| u64::try_from(n.clamp(0, 3600)).unwrap_or(10)),
    })
}

/// `[[["O","X"]],[["CN","y"]]]`; every pair has exactly two strings.
fn read_subject(rdns: &[Value]) -> Option<Vec<Vec<(String, String)>>> {
    let pair = |value: &Value| match value.as_array()?.as_slice() {
        [name, text] => Some((name.as_string()?.to_owned(), text.as_string()?.to_owned())),
        _ => None,
    };
    rdns.iter().map(|rdn| rdn.as_array()?.iter().map(pair).collect()).collect()
}

fn read_certificates(payload: &Payload) -> Result<Vec<Vec<u8>>, Refusal> {
    let bad = |text: &str| Refusal {
        domain: "MCCertificateErrorDomain",
        code: 9000,
        text: format!("{}: {text}", payload.identifier),
    };
    match payload.kind.as_str() {
        "com.apple.security.root" | "com.apple.security.pkcs1" => {
            let der = payload.dict.data("PayloadContent")?;
            pki::x509::Certificate::parse(der).map_err(|_| bad("not one DER certificate"))?;
            Ok(vec![der.to_vec()])
        }
        "com.apple.security.pem" => {
            let text = String::from_utf8_lossy(payload.dict.data("PayloadContent")?);
            let ders = pki::x509::pem_to_ders(&text);
            let readable = !ders.is_empty() && ders.iter().all(|der| pki::x509::Certificate::parse(der).is_ok());
            if readable { Ok(ders) } else { Err(bad("not PEM certificates")) }
        }
        _ => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_school::{Parts, dict, number, parts, settings_profile, text};
    use super::*;

    #[test]
    fn reads_a_good_profile() {
        let read = read_enrollment(&parts().bytes()).unwrap();
        assert_eq!(read.certificates.len(), 1);
        let scep = read.find_scep().unwrap();
        assert_eq!((scep.key_size, scep.retries, scep.retry_delay_secs), (2048, 3, 10));
        assert_eq!(scep.subject, [[("CN".to_owned(), "device".to_owned())]]);
        assert!(read.mdm.per_user_connections && !read.mdm.sign_message);
        assert!(read.profile.is_enrollment() && !self::read(&settings_profile("a.b", "U")).unwrap().is_enrollment());
    }

    #[test]
    fn check_in_url_defaults_to_the_server_url() {
        let mut parts = parts();
        parts.mdm.remove("CheckInURL");
        let mdm = read_enrollment(&parts.bytes()).unwrap().mdm;
        assert_eq!(mdm.check_in_url, mdm.server_url);
    }

    #[test]
    fn refuses_as_apple_would() {
        type Bend = fn(&mut Parts);
        let table: [(&str, i64, Bend); 21] = [
            ("not a configuration", 1000, |p| p.top.insert("PayloadType".into(), text("Profile")).map_or((), drop)),
            ("profile version", 1002, |p| p.top.insert("PayloadVersion".into(), number(2)).map_or((), drop)),
            ("no identifier", 1000, |p| p.top.remove("PayloadIdentifier").map_or((), drop)),
            ("same uuid twice", 1007, |p| p.root.insert("PayloadUUID".into(), text("MDM")).map_or((), drop)),
            ("same identifier twice", 1008, |p| {
                p.root.insert("PayloadIdentifier".into(), p.mdm["PayloadIdentifier"].clone()).map_or((), drop)
            }),
            ("no mdm payload", 12001, |p| p.mdm.insert("PayloadType".into(), text("com.apple.other")).map_or((), drop)),
            ("identity not found", 12004, |p| {
                p.mdm.insert("IdentityCertificateUUID".into(), text("X")).map_or((), drop)
            }),
            ("identity is a root", 12004, |p| {
                p.mdm.insert("IdentityCertificateUUID".into(), text("ROOT")).map_or((), drop)
            }),
            ("topic", 12022, |p| p.mdm.insert("Topic".into(), text("com.example")).map_or((), drop)),
            ("plain http", 12004, |p| p.mdm.insert("ServerURL".into(), text("http://mdm.test/")).map_or((), drop)),
            ("plain http check-in", 12004, |p| {
                p.mdm.insert("CheckInURL".into(), text("http://mdm.test/")).map_or((), drop)
            }),
            ("no rights", 12000, |p| p.mdm.remove("AccessRights").map_or((), drop)),
            ("rights zero", 12000, |p| p.mdm.insert("AccessRights".into(), number(0)).map_or((), drop)),
            ("rights too many", 12000, |p| p.mdm.insert("AccessRights".into(), number(8192)).map_or((), drop)),
            ("right 2 without 1", 12000, |p| p.mdm.insert("AccessRights".into(), number(2)).map_or((), drop)),
            ("right 128 without 64", 12000, |p| p.mdm.insert("AccessRights".into(), number(128)).map_or((), drop)),
            ("development push", 12022, |p| {
                p.mdm.insert("UseDevelopmentAPNS".into(), Value::Boolean(true)).map_or((), drop)
            }),
            ("capability twice", 12004, |p| {
                p.mdm.insert("ServerCapabilities".into(), Value::Array(vec![text("a"), text("a")]));
            }),
            ("root is no certificate", 9000, |p| {
                p.root.insert("PayloadContent".into(), Value::Data(vec![1, 2])).map_or((), drop)
            }),
            ("weak key", 22000, |p| {
                p.scep.insert(
                    "PayloadContent".into(),
                    Value::Dictionary(dict(&[("URL", text("https://mdm.test/scep"))])),
                );
            }),
            ("no payloads", 1000, |p| p.top.insert("PayloadContent".into(), text("x")).map_or((), drop)),
        ];
        for (name, code, bend) in table {
            let mut parts = parts();
            bend(&mut parts);
            assert_eq!(read_enrollment(&parts.bytes()).unwrap_err().code, code, "{name}");
        }
        for garbage in [&b""[..], b"\x30\x03\x02\x01\x00", b"bplist00", b"<html/>"] {
            assert!(read(garbage).is_err());
        }
    }
}
