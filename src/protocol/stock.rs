//! What stands on a device, as its answers say it: facts of DeviceInformation and SecurityInfo, profiles, apps, certificates, each with a
//! name to show and a value to compare. Purely; kept and compared by `service::stock`.

use crate::base::time::Timestamp;
use crate::pki::x509::Certificate;
use crate::plist::{Dictionary, Value};

/// Of one answer, at most; a Mac has a few hundred apps.
const MOST: usize = 5_000;
const LONGEST: usize = 300;
/// What of DeviceInformation stays what it is for a while. What moves by the hour (battery, free space, addresses) would only fill the
/// history.
const FACTS: [&str; 15] = [
    "BuildVersion",
    "CellularTechnology",
    "DeviceCapacity",
    "DeviceName",
    "IsActivationLockEnabled",
    "IsCloudBackupEnabled",
    "IsDeviceLocatorServiceEnabled",
    "IsMultiUser",
    "IsSupervised",
    "ModelName",
    "ModelNumber",
    "OSVersion",
    "ProductName",
    "SerialNumber",
    "SupplementalBuildVersion",
];
const SECURITY: [&str; 8] = [
    "FDE_Enabled",
    "FDE_HasInstitutionalRecoveryKey",
    "FDE_HasPersonalRecoveryKey",
    "HardwareEncryptionCaps",
    "PasscodeCompliant",
    "PasscodeCompliantWithProfiles",
    "PasscodePresent",
    "SystemIntegrityProtectionEnabled",
];

/// What kind of thing stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    App,
    Certificate,
    Profile,
    Fact,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::App, Kind::Certificate, Kind::Profile, Kind::Fact];

    pub fn as_str(self) -> &'static str {
        match self {
            Kind::App => "app",
            Kind::Certificate => "certificate",
            Kind::Profile => "profile",
            Kind::Fact => "fact",
        }
    }
}

/// One thing on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Bundle identifier, SHA-256 in hex, PayloadIdentifier, or Apple's name of a fact.
    pub key: String,
    pub name: String,
    /// Version of an app, last day of a certificate, value of a fact.
    pub value: String,
    /// Issuer of a certificate.
    pub detail: Option<String>,
}

/// What an answer tells, and whether what is missing from it is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub kind: Kind,
    pub items: Vec<Item>,
    pub complete: bool,
}

/// `None` for an answer that is about something else. `asked` are the keys of the command: a list that was asked for in part is not
/// taken for the whole.
pub fn read(request_type: &str, asked: &Dictionary, answer: &Dictionary) -> Option<Told> {
    let list =
        |key: &str| answer.get(key)?.as_array().map(|all| all.iter().filter_map(Value::as_dictionary).take(MOST));
    let in_part = |keys: &[&str]| {
        keys.iter().any(|key| asked.contains_key(key) && asked.get(key) != Some(&Value::Boolean(false)))
    };
    match request_type {
        "InstalledApplicationList" if !in_part(&["Identifiers", "Items", "ManagedAppsOnly"]) => {
            Some(whole(Kind::App, list("InstalledApplicationList")?.filter_map(app)))
        }
        "CertificateList" if !in_part(&["ManagedOnly"]) => {
            Some(whole(Kind::Certificate, list("CertificateList")?.filter_map(certificate)))
        }
        "ProfileList" if !in_part(&["ManagedOnly"]) => {
            Some(whole(Kind::Profile, list("ProfileList")?.filter_map(profile)))
        }
        "DeviceInformation" => Some(facts(&FACTS, answer.get("QueryResponses")?.as_dictionary()?)),
        "SecurityInfo" => Some(facts(&SECURITY, answer.get("SecurityInfo")?.as_dictionary()?)),
        _ => None,
    }
}

fn whole(kind: Kind, items: impl Iterator<Item = Item>) -> Told {
    let mut items: Vec<Item> = items.collect();
    items.sort_by(|a, b| a.key.cmp(&b.key));
    items.dedup_by(|a, b| a.key == b.key);
    Told { kind, items, complete: true }
}

fn text(dict: &Dictionary, key: &str) -> String {
    dict.get(key).and_then(Value::as_string).map(short).unwrap_or_default()
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

fn app(dict: &Dictionary) -> Option<Item> {
    let (key, name) = (text(dict, "Identifier"), text(dict, "Name"));
    let version = ["ShortVersion", "Version"].into_iter().map(|key| text(dict, key)).find(|v| !v.is_empty());
    let key = if key.is_empty() { name.clone() } else { key };
    let name = if name.is_empty() { key.clone() } else { name };
    (!key.is_empty()).then(|| Item { key, name, value: version.unwrap_or_default(), detail: None })
}

fn certificate(dict: &Dictionary) -> Option<Item> {
    let data = dict.get("Data").and_then(Value::as_data)?;
    let common = text(dict, "CommonName");
    // One that cannot be read is there all the same.
    let read = Certificate::parse(data).ok();
    let key = hex::encode(crate::pki::digest::sha256(data));
    let named = read.as_ref().and_then(Certificate::subject_common_name).map(|name| short(&name));
    let name = if common.is_empty() { named.unwrap_or_else(|| key.clone()) } else { common };
    let value = read.as_ref().map(|c| day(c.not_after())).unwrap_or_default();
    Some(Item { key, name, value, detail: read.map(|c| short(&c.issuer())) })
}

fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

fn profile(dict: &Dictionary) -> Option<Item> {
    let (key, name) = (text(dict, "PayloadIdentifier"), text(dict, "PayloadDisplayName"));
    let name = if name.is_empty() { key.clone() } else { name };
    (!key.is_empty()).then(|| Item { key, name, value: text(dict, "PayloadUUID"), detail: None })
}

fn facts(names: &[&str], said: &Dictionary) -> Told {
    let fact = |name: &&str| {
        let value = match said.get(name)? {
            Value::String(text) => short(text),
            Value::Boolean(flag) => String::from(if *flag { "yes" } else { "no" }),
            Value::Integer(n) => n.as_signed()?.to_string(),
            Value::Real(n) => n.to_string(),
            _ => return None,
        };
        Some(Item { key: (*name).to_owned(), name: (*name).to_owned(), value, detail: None })
    };
    Told { kind: Kind::Fact, items: names.iter().filter_map(fact).collect(), complete: false }
}

/// What is different: the thing's key and name, its value before and after; `None` where it was not, or is no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub key: String,
    pub name: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// Compares what was known of this kind with what was told; both sorted by nothing in particular.
pub fn changes(known: &[Item], told: &Told) -> Vec<Change> {
    let before: std::collections::BTreeMap<&str, &Item> = known.iter().map(|item| (item.key.as_str(), item)).collect();
    let after: std::collections::BTreeMap<&str, &Item> =
        told.items.iter().map(|item| (item.key.as_str(), item)).collect();
    let mut found: Vec<Change> = Vec::new();
    for (key, item) in &after {
        let was = before.get(key);
        if was.is_none_or(|was| was.value != item.value) {
            found.push(Change {
                key: (*key).to_owned(),
                name: item.name.clone(),
                before: was.map(|was| was.value.clone()),
                after: Some(item.value.clone()),
            });
        }
    }
    if told.complete {
        for (key, item) in before.iter().filter(|(key, _)| !after.contains_key(*key)) {
            let (name, was) = (item.name.clone(), Some(item.value.clone()));
            found.push(Change { key: (*key).to_owned(), name, before: was, after: None });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dict(pairs: &[(&str, Value)]) -> Dictionary {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    }

    fn apps(list: &[(&str, &str)]) -> Dictionary {
        let one = |(id, version): &(&str, &str)| {
            Value::Dictionary(dict(&[
                ("Identifier", (*id).into()),
                ("Name", (*id).into()),
                ("ShortVersion", (*version).into()),
            ]))
        };
        dict(&[("InstalledApplicationList", Value::Array(list.iter().map(one).collect()))])
    }

    #[test]
    fn what_came_what_went_and_what_is_newer() {
        let none = Dictionary::new();
        let read = |list: &[(&str, &str)]| read("InstalledApplicationList", &none, &apps(list)).unwrap();
        let first = read(&[("b.b", "1"), ("a.a", "1"), ("a.a", "2")]);
        assert_eq!(first.items.iter().map(|i| i.key.as_str()).collect::<Vec<_>>(), ["a.a", "b.b"]);
        let found = changes(&first.items, &read(&[("b.b", "2"), ("c.c", "1")]));
        let words: Vec<String> =
            found.iter().map(|c| format!("{} {:?} {:?}", c.key, c.before.as_deref(), c.after.as_deref())).collect();
        assert_eq!(words, ["b.b Some(\"1\") Some(\"2\")", "c.c None Some(\"1\")", "a.a Some(\"1\") None"]);
        assert!(changes(&first.items, &first).is_empty());
    }

    #[test]
    fn a_list_that_was_asked_for_in_part_is_not_the_whole() {
        for (key, value) in [
            ("Identifiers", Value::Array(vec!["a.a".into()])),
            ("ManagedAppsOnly", Value::Boolean(true)),
            ("Items", Value::Array(vec!["Name".into()])),
        ] {
            assert!(super::read("InstalledApplicationList", &dict(&[(key, value)]), &apps(&[])).is_none(), "{key}");
        }
        let plain = dict(&[("ManagedAppsOnly", Value::Boolean(false))]);
        assert!(super::read("InstalledApplicationList", &plain, &apps(&[])).is_some());
        assert!(super::read("Restrictions", &Dictionary::new(), &apps(&[])).is_none());
    }

    #[test]
    fn facts_stay_that_were_not_asked_for() {
        let said = |pairs: &[(&str, Value)]| {
            let answer = dict(&[("QueryResponses", Value::Dictionary(dict(pairs)))]);
            super::read("DeviceInformation", &Dictionary::new(), &answer).unwrap()
        };
        let first = said(&[
            ("OSVersion", "17.5".into()),
            ("IsSupervised", Value::Boolean(true)),
            ("BatteryLevel", Value::Real(0.5)),
        ]);
        assert_eq!(first.items.len(), 2);
        let found = changes(&first.items, &said(&[("OSVersion", "17.6".into())]));
        assert_eq!((found.len(), found[0].after.as_deref()), (1, Some("17.6")));
    }

    #[test]
    fn odd_answers_are_read_as_far_as_they_go() {
        let list = Value::Array(vec![
            Value::Dictionary(dict(&[("CommonName", "x".into()), ("Data", Value::Data(vec![1, 2]))])),
            Value::Dictionary(dict(&[("CommonName", "no data".into())])),
            "text".into(),
        ]);
        let told = super::read("CertificateList", &Dictionary::new(), &dict(&[("CertificateList", list)])).unwrap();
        assert_eq!((told.items.len(), told.items[0].name.as_str(), told.items[0].value.as_str()), (1, "x", ""));
        assert!(
            super::read("CertificateList", &Dictionary::new(), &dict(&[("CertificateList", "x".into())])).is_none()
        );
    }
}
