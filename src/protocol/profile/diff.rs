//! Two versions of a profile beside each other, without their secrets. Called by `service::library`.

use crate::plist::{Dictionary, Value};
use crate::protocol::{catalogue, clip};
use std::collections::BTreeMap;

/// Changes that are shown; more are cut.
const MOST: usize = 500;
/// Longest value that is shown, bytes.
const LONGEST: usize = 200;

/// One key that differs. `None`: it is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Key path; a payload is named by its PayloadIdentifier, so that its place does not matter.
    pub path: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// Every key that differs, by path.
pub fn differences(before: &Dictionary, after: &Dictionary) -> Vec<Difference> {
    let (old, new) = (flat(before), flat(after));
    let mut paths: Vec<&String> = old.keys().chain(new.keys()).collect();
    paths.sort();
    paths.dedup();
    let differs = |path: &&String| old.get(*path).map(|(value, _)| value) != new.get(*path).map(|(value, _)| value);
    let show = |side: &BTreeMap<String, (Value, String)>, path: &String| side.get(path).map(|(_, shown)| shown.clone());
    let changed = paths.into_iter().filter(differs);
    let one = |path: &String| Difference { path: path.clone(), before: show(&old, path), after: show(&new, path) };
    changed.map(one).take(MOST).collect()
}

/// Every scalar by its path, with how it is shown.
fn flat(profile: &Dictionary) -> BTreeMap<String, (Value, String)> {
    let mut all = BTreeMap::new();
    walk(&Value::Dictionary(profile.clone()), String::new(), "", &mut all);
    all
}

fn walk(value: &Value, path: String, key: &str, all: &mut BTreeMap<String, (Value, String)>) {
    let inner = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Dictionary(dict) => {
            for (name, value) in dict {
                walk(value, inner(name), name, all);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                let name = item.as_dictionary().and_then(|d| d.get("PayloadIdentifier")).and_then(Value::as_string);
                walk(item, inner(name.unwrap_or(&at.to_string())), key, all);
            }
        }
        scalar => {
            all.insert(path, (scalar.clone(), shown(key, scalar)));
        }
    }
}

fn shown(key: &str, value: &Value) -> String {
    // Challenges, passwords and identities are told apart, never shown.
    if catalogue::is_password(key) || catalogue::secret_kind("", key).is_some() {
        return String::from("(secret)");
    }
    match value {
        Value::String(text) => clip(text, LONGEST),
        Value::Boolean(flag) => flag.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        // The plist crate's own formatter panics on years far away.
        Value::Date(date) => jiff::Timestamp::try_from(std::time::SystemTime::from(*date))
            .map_or_else(|_| String::from("a date"), |at| at.to_string()),
        Value::Data(bytes) => format!("{} bytes", bytes.len()),
        _ => String::from("?"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(ssid: &str, password: &str, order: [&str; 2]) -> Dictionary {
        let payload = |id: &&str| {
            let mut dict = Dictionary::new();
            for (key, text) in [("PayloadIdentifier", *id), ("SSID_STR", ssid), ("Password", password)] {
                dict.insert(key.to_owned(), text.into());
            }
            Value::Dictionary(dict)
        };
        let mut all = Dictionary::new();
        all.insert(String::from("PayloadContent"), Value::Array(order.iter().map(payload).collect()));
        all
    }

    #[test]
    fn what_differs_is_named_and_secrets_are_not_shown() {
        let old = profile("School", "one", ["a", "b"]);
        assert_eq!(
            differences(&old, &profile("School", "one", ["b", "a"])),
            [],
            "the order of payloads does not matter"
        );
        let found = differences(&old, &profile("School 2", "two", ["a", "c"]));
        let told: Vec<String> = found.iter().map(|d| format!("{} {:?} {:?}", d.path, d.before, d.after)).collect();
        assert!(
            told.contains(&String::from("PayloadContent.a.SSID_STR Some(\"School\") Some(\"School 2\")")),
            "{told:#?}"
        );
        assert!(
            told.contains(&String::from("PayloadContent.a.Password Some(\"(secret)\") Some(\"(secret)\")")),
            "{told:#?}"
        );
        assert!(told.contains(&String::from("PayloadContent.b.SSID_STR Some(\"School\") None")), "{told:#?}");
        assert!(told.iter().any(|t| t.starts_with("PayloadContent.c.")), "{told:#?}");
        assert!(!told.join("").contains("two"));
    }
}
