//! A configuration profile put together from typed payloads. Called by the API and the command line.

use crate::pki::digest::sha256;
use crate::plist::{Dictionary, Value, to_xml};

/// One payload: its type and Apple's keys beside those that every payload has.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    pub payload_type: String,
    pub keys: Dictionary,
}

/// What a profile is beside its payloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover<'a> {
    /// `PayloadIdentifier`: the profile's name on devices.
    pub identifier: &'a str,
    pub name: &'a str,
    pub organization: Option<&'a str>,
}

/// The `.mobileconfig`. Ids of payloads follow from the profile's and their place, so that the next version replaces each in place.
pub fn build(cover: &Cover<'_>, parts: &[Part]) -> Vec<u8> {
    let payloads = parts.iter().enumerate().map(|(at, part)| {
        let short = part.payload_type.strip_prefix("com.apple.").unwrap_or(&part.payload_type);
        let id = format!("{}.{short}.{}", cover.identifier, at + 1);
        let mut payload = part.keys.clone();
        head(&mut payload, &part.payload_type, &id, &uuid(&id), part_name(&part.keys).unwrap_or(cover.name));
        Value::Dictionary(payload)
    });
    let mut profile = Dictionary::new();
    profile.insert(String::from("PayloadContent"), Value::Array(payloads.collect()));
    head(&mut profile, "Configuration", cover.identifier, &uuid(cover.identifier), cover.name);
    if let Some(organization) = cover.organization {
        profile.insert(String::from("PayloadOrganization"), organization.into());
    }
    to_xml(&Value::Dictionary(profile))
}

/// An UUID of a text, always the same.
pub(super) fn uuid(text: &str) -> String {
    let hash = sha256(text.as_bytes());
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&hash[..16]);
    // Version 8 of RFC 9562: of our own making.
    bytes[6] = (bytes[6] & 0x0F) | 0x80;
    bytes[8] = (bytes[8] & 0x3F) | 0x80;
    let hex = hex::encode_upper(bytes);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn part_name(keys: &Dictionary) -> Option<&str> {
    keys.get("PayloadDisplayName").and_then(Value::as_string)
}

fn head(dict: &mut Dictionary, kind: &str, id: &str, uuid: &str, name: &str) {
    let name = name.to_owned();
    for (key, text) in [("PayloadType", kind), ("PayloadIdentifier", id), ("PayloadUUID", uuid)] {
        dict.insert(key.to_owned(), text.into());
    }
    dict.insert(String::from("PayloadDisplayName"), name.into());
    dict.insert(String::from("PayloadVersion"), 1.into());
}

#[cfg(test)]
mod tests {
    use super::super::{lint, read_settings};
    use super::*;
    use crate::plist::parse_dict;

    #[test]
    fn what_is_built_is_a_profile_without_doubts() {
        let mut keys = Dictionary::new();
        keys.insert(String::from("SSID_STR"), "School".into());
        let part = Part { payload_type: String::from("com.apple.wifi.managed"), keys };
        let cover = Cover { identifier: "school.wifi", name: "Wi-Fi", organization: Some("Hill School") };
        let made = build(&cover, &[part.clone(), part]);
        let facts = read_settings(&made).unwrap();
        assert_eq!((facts.identifier.as_str(), facts.display_name.as_deref()), ("school.wifi", Some("Wi-Fi")));
        assert_eq!(facts.payload_types.len(), 2);
        let dict = parse_dict(&made).unwrap().into_dictionary();
        assert_eq!(lint(&dict), []);
        assert!(String::from_utf8(made).unwrap().contains("school.wifi.wifi.managed.2"));
    }
}
