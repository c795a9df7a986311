//! Two profiles made into one, and parts of one made into a profile: what pairs need. Called by `service::pairs`.

use super::building::uuid;
use crate::plist::{Dictionary, Value, to_xml};
use std::collections::BTreeMap;

/// Top-level keys that make a profile what it is; the new one has its own.
const OWN: [&str; 6] =
    ["PayloadType", "PayloadVersion", "PayloadIdentifier", "PayloadUUID", "PayloadDisplayName", "PayloadContent"];
/// `PayloadRemovalDisallowed`: its user cannot take the profile off.
const LOCK: &str = "PayloadRemovalDisallowed";

/// Whether a profile is locked.
pub fn is_locked(profile: &Dictionary) -> bool {
    profile.get(LOCK).and_then(Value::as_boolean) == Some(true)
}

/// Locks a profile.
pub fn lock(profile: &mut Dictionary) {
    profile.insert(LOCK.to_owned(), Value::Boolean(true));
}

/// One profile with the payloads of several, in order. Its payloads have ids of their own, because a device may have the others too; what
/// named an old id names the new one. Of the keys around the payloads the first profile that has one decides, and it is locked if one is.
pub fn combine(identifier: &str, name: &str, parts: &[&Dictionary]) -> Vec<u8> {
    let mut profile = Dictionary::new();
    for part in parts {
        for (key, value) in part.iter().filter(|(key, _)| !OWN.contains(&key.as_str())) {
            if profile.get(key).is_none() {
                profile.insert(key.clone(), value.clone());
            }
        }
    }
    if parts.iter().any(|part| is_locked(part)) {
        lock(&mut profile);
    }
    let payloads: Vec<Value> = parts.iter().flat_map(|part| payloads(part)).cloned().collect();
    // Ids of payloads follow from where they came from, so that the next version replaces each in place.
    let mut ids = BTreeMap::new();
    let mut content = Vec::new();
    for payload in &payloads {
        let text = |key: &str| payload.as_dictionary().and_then(|p| p.get(key)).and_then(Value::as_string);
        let (old, old_id) = (text("PayloadUUID").unwrap_or_default(), text("PayloadIdentifier").unwrap_or_default());
        let id = format!("{identifier}.{old_id}");
        ids.insert(old.to_owned(), uuid(&format!("{id} {old}")));
        content.push((id, payload));
    }
    let content = content.into_iter().map(|(id, payload)| {
        let mut payload = renamed(payload, &ids);
        if let Value::Dictionary(payload) = &mut payload {
            payload.insert(String::from("PayloadIdentifier"), Value::String(id));
        }
        payload
    });
    profile.insert(String::from("PayloadContent"), Value::Array(content.collect()));
    let own = uuid(identifier);
    let texts = [("PayloadType", "Configuration"), ("PayloadIdentifier", identifier), ("PayloadUUID", own.as_str())];
    for (key, text) in texts.into_iter().chain([("PayloadDisplayName", name)]) {
        profile.insert(key.to_owned(), text.into());
    }
    profile.insert(String::from("PayloadVersion"), 1.into());
    to_xml(&Value::Dictionary(profile))
}

/// A profile with only the payloads of these types.
pub fn only(profile: &Dictionary, types: &[String]) -> Dictionary {
    let kind =
        |p: &Value| p.as_dictionary().and_then(|p| p.get("PayloadType")).and_then(Value::as_string).map(str::to_owned);
    let left = payloads(profile).filter(|p| kind(p).is_some_and(|kind| types.contains(&kind))).cloned().collect();
    let mut part = profile.clone();
    part.insert(String::from("PayloadContent"), Value::Array(left));
    part
}

fn payloads(profile: &Dictionary) -> impl Iterator<Item = &Value> {
    profile.get("PayloadContent").and_then(Value::as_array).into_iter().flatten()
}

/// The same value with old UUIDs replaced wherever they stand alone.
fn renamed(value: &Value, ids: &BTreeMap<String, String>) -> Value {
    match value {
        Value::String(text) => Value::String(ids.get(text).unwrap_or(text).clone()),
        Value::Array(list) => Value::Array(list.iter().map(|v| renamed(v, ids)).collect()),
        Value::Dictionary(dict) => {
            Value::Dictionary(dict.iter().map(|(key, v)| (key.clone(), renamed(v, ids))).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Cover, Part, build, lint, read_settings};
    use super::*;
    use crate::plist::parse_dict;

    fn profile(identifier: &str, types: &[&str]) -> Dictionary {
        let part = |kind: &&str| Part { payload_type: (*kind).to_owned(), keys: Dictionary::new() };
        let parts: Vec<Part> = types.iter().map(part).collect();
        let made = build(&Cover { identifier, name: identifier, organization: None }, &parts);
        parse_dict(&made).unwrap().into_dictionary()
    }

    #[test]
    fn two_become_one_with_ids_of_its_own_and_references_that_hold() {
        let mut policy = profile("a.passcode", &["com.apple.mobiledevice.passwordpolicy"]);
        lock(&mut policy);
        let mut wifi = profile("a.wifi", &["com.apple.security.pkcs12", "com.apple.wifi.managed"]);
        let payloads = wifi.get_mut("PayloadContent").and_then(Value::as_array_mut).unwrap();
        let certificate = payloads[0].as_dictionary().unwrap().get("PayloadUUID").unwrap().clone();
        let wifi_payload = payloads[1].as_dictionary_mut().unwrap();
        wifi_payload.insert(String::from("PayloadCertificateUUID"), certificate.clone());
        let made = combine("pair.one", "Wi-Fi for a passcode", &[&policy, &wifi]);
        let facts = read_settings(&made).unwrap();
        assert_eq!((facts.identifier.as_str(), facts.payload_types.len()), ("pair.one", 3));
        assert!(is_locked(&facts.plain));
        let dict = parse_dict(&made).unwrap().into_dictionary();
        assert!(lint(&dict).iter().all(|doubt| !doubt.words.contains("UUID")), "{:?}", lint(&dict));
        let all: Vec<&Dictionary> = super::payloads(&dict).filter_map(Value::as_dictionary).collect();
        assert_eq!(all[2].get("PayloadCertificateUUID"), all[1].get("PayloadUUID"));
        assert_ne!(all[1].get("PayloadUUID"), Some(&certificate));
        assert_eq!(combine("pair.one", "Wi-Fi for a passcode", &[&policy, &wifi]), made, "always the same");
    }

    #[test]
    fn a_part_of_a_profile() {
        let all = profile("a.all", &["com.apple.mobiledevice.passwordpolicy", "com.apple.vpn.managed"]);
        let part = only(&all, &[String::from("com.apple.vpn.managed")]);
        assert_eq!(payloads(&part).count(), 1);
    }
}
