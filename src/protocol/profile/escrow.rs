//! The profile that makes a Mac escrow its FileVault recovery key: `com.apple.security.FDERecoveryKeyEscrow` with the certificate that
//! the Mac encrypts the key to. It takes effect when FileVault is switched on, or its key changes, after the profile came.
//!
//! Called by `service::filevault`; the simulator reads it as a Mac would.

use crate::plist::{Dictionary, Value, to_xml};

/// Payload type.
pub const ESCROW_TYPE: &str = "com.apple.security.FDERecoveryKeyEscrow";
/// What the people at the Mac are told about where the key goes: at most so many characters.
const MAX_LOCATION: usize = 200;

/// Builds the profile. `uuids`: of the profile, the certificate, the escrow payload.
pub fn escrow_profile(identifier: &str, organization: &str, certificate_der: &[u8], uuids: [&str; 3]) -> Vec<u8> {
    let text = |text: &str| Value::String(text.to_owned());
    let common = |kind: &str, identifier: &str, uuid: &str, name: &str| {
        let mut dict = Dictionary::new();
        dict.insert("PayloadType".to_owned(), text(kind));
        dict.insert("PayloadVersion".to_owned(), Value::Integer(1.into()));
        dict.insert("PayloadIdentifier".to_owned(), text(identifier));
        dict.insert("PayloadUUID".to_owned(), text(uuid));
        dict.insert("PayloadDisplayName".to_owned(), text(name));
        dict
    };
    let [whole, anchor, escrow] = uuids;
    let mut certificate = common(
        "com.apple.security.pkcs1",
        &format!("{identifier}.certificate"),
        anchor,
        "FileVault escrow certificate",
    );
    certificate.insert("PayloadContent".to_owned(), Value::Data(certificate_der.to_vec()));
    let mut payload = common(ESCROW_TYPE, &format!("{identifier}.escrow"), escrow, "FileVault recovery key");
    let place: String = format!("{organization} (Cordon)").chars().take(MAX_LOCATION).collect();
    payload.insert("Location".to_owned(), Value::String(place));
    payload.insert("EncryptCertPayloadUUID".to_owned(), text(anchor));
    let mut profile = common("Configuration", identifier, whole, "FileVault recovery key");
    profile.insert("PayloadScope".to_owned(), text("System"));
    profile.insert("PayloadOrganization".to_owned(), text(organization));
    profile
        .insert("PayloadContent".to_owned(), vec![Value::Dictionary(certificate), Value::Dictionary(payload)].into());
    to_xml(&Value::Dictionary(profile))
}

/// Whether this is a personal recovery key as people type it: letters and digits in groups.
pub fn is_recovery_key(text: &[u8]) -> bool {
    (8..=64).contains(&text.len()) && text.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plist::parse_dict;

    #[test]
    fn the_escrow_payload_names_the_certificate() {
        let bytes = escrow_profile("cordon.x.filevault", "Hill School", b"der", ["P", "C", "E"]);
        let profile = parse_dict(&bytes).unwrap();
        let payloads = profile.array("PayloadContent").unwrap();
        let [certificate, escrow] = [0, 1].map(|n| payloads[n].as_dictionary().unwrap());
        assert_eq!(certificate["PayloadContent"].as_data(), Some(&b"der"[..]));
        assert_eq!(escrow["PayloadType"].as_string(), Some(ESCROW_TYPE));
        assert_eq!(escrow["EncryptCertPayloadUUID"], certificate["PayloadUUID"]);
        assert_eq!(escrow["Location"].as_string(), Some("Hill School (Cordon)"));
    }

    #[test]
    fn recovery_keys() {
        for (text, wanted) in [
            ("A2B3-C4D5-E6F7-G8H9-J2K3-L4M5", true),
            ("a2b3-c4d5-e6f7-g8h9-j2k3-l4m5", false),
            ("short", false),
            ("A2B3-C4D5\n", false),
        ] {
            assert_eq!(is_recovery_key(text.as_bytes()), wanted, "{text}");
        }
    }
}
