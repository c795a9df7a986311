//! Compares a command with the schema and says what looks wrong, before a child's iPad has to.
//!
//! Called before a command is queued. What the schema does not know may simply be newer than it, so findings differ in certainty.

use super::{Allowed, KeySpec, Kind, child, find, join};
use crate::plist::{Dictionary, Value};
use std::fmt;

/// Findings reported at most; the first say enough.
const MAX_FINDINGS: usize = 50;

/// One thing that looks wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Key path such as `Settings.0.Where`.
    pub path: String,
    pub problem: Problem,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Problem {
    UnknownRequestType,
    UnknownKey,
    Missing,
    WrongType { expected: Kind },
    NotAllowed { allowed: Vec<Allowed> },
    OutOfRange { min: f64, max: f64 },
    UnknownItem,
}

/// How sure a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// The device will refuse the command.
    Wrong,
    /// The schema does not know it; a newer system may.
    Unknown,
}

impl Finding {
    pub fn certainty(&self) -> Certainty {
        match self.problem {
            Problem::Missing | Problem::WrongType { .. } | Problem::OutOfRange { .. } => Certainty::Wrong,
            Problem::UnknownRequestType | Problem::UnknownKey | Problem::NotAllowed { .. } | Problem::UnknownItem => {
                Certainty::Unknown
            }
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path)?;
        match &self.problem {
            Problem::UnknownRequestType => f.write_str("not a known RequestType"),
            Problem::UnknownKey => f.write_str("not a known key here"),
            Problem::Missing => f.write_str("is required"),
            Problem::WrongType { expected } => write!(f, "not of type {expected}"),
            // DeviceInformation knows 85 queries: too many to read out.
            Problem::NotAllowed { allowed } if allowed.len() > 20 => f.write_str("not one of the known values"),
            Problem::NotAllowed { allowed } => {
                let names: Vec<String> = allowed.iter().map(ToString::to_string).collect();
                write!(f, "not one of {}", names.join(", "))
            }
            Problem::OutOfRange { min, max } => write!(f, "not between {min} and {max}"),
            Problem::UnknownItem => f.write_str("not a known item"),
        }
    }
}

/// Everything about these keys that the schema does not expect; empty if all is well.
pub fn check(request_type: &str, keys: &Dictionary) -> Vec<Finding> {
    let mut found = Findings(Vec::new());
    match find(request_type) {
        Some(spec) => dictionary(&spec.keys, keys, "", &mut found),
        None => found.add(super::super::clip(request_type, 128), Problem::UnknownRequestType),
    }
    found.0
}

/// Findings so far, of which only the first are kept.
#[derive(Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn into_inner(self) -> Vec<Finding> {
        self.0
    }

    fn add(&mut self, path: String, problem: Problem) {
        if self.0.len() < MAX_FINDINGS {
            self.0.push(Finding { path, problem });
        }
    }
}

pub(super) fn dictionary(keys: &[KeySpec], dict: &Dictionary, path: &str, found: &mut Findings) {
    for key in keys.iter().filter(|k| k.required && !k.is_element && !k.is_any() && !dict.contains_key(k.key)) {
        found.add(join(path, key.key), Problem::Missing);
    }
    for (name, value) in dict {
        let path = join(path, name);
        match child(keys, name) {
            Some(spec) => one(spec, value, path, found),
            None => found.add(path, Problem::UnknownKey),
        }
    }
}

fn one(spec: &KeySpec, value: &Value, path: String, found: &mut Findings) {
    match (spec.kind, value) {
        (Kind::Any, _) => {}
        (Kind::Dictionary, Value::Dictionary(_)) if spec.children.is_empty() => {}
        (Kind::Dictionary, Value::Dictionary(dict)) => dictionary(&spec.children, dict, &path, found),
        (Kind::Array, Value::Array(items)) => {
            for (at, item) in items.iter().enumerate() {
                element(spec, item, join(&path, &at.to_string()), found);
            }
        }
        (kind, value) if has_kind(kind, value) => scalar(spec, value, path, found),
        (expected, _) => found.add(path, Problem::WrongType { expected }),
    }
}

fn element(spec: &KeySpec, item: &Value, path: String, found: &mut Findings) {
    let name = item.as_dictionary().and_then(|dict| dict.get("Item")).and_then(Value::as_string);
    match spec.element(name) {
        Some(element) => one(element, item, path, found),
        None if spec.elements().next().is_some() => found.add(path, Problem::UnknownItem),
        None => {}
    }
}

fn has_kind(kind: Kind, value: &Value) -> bool {
    match value {
        Value::String(_) => kind == Kind::Text,
        Value::Integer(_) => matches!(kind, Kind::Integer | Kind::Real),
        Value::Real(_) => kind == Kind::Real,
        Value::Boolean(_) => kind == Kind::Boolean,
        Value::Date(_) => kind == Kind::Date,
        Value::Data(_) => kind == Kind::Data,
        _ => false,
    }
}

fn scalar(spec: &KeySpec, value: &Value, path: String, found: &mut Findings) {
    let is = |allowed: &Allowed| match allowed {
        Allowed::Text(text) => value.as_string() == Some(text),
        Allowed::Number(number) => value.as_signed_integer() == Some(*number),
    };
    if !spec.allowed.is_empty() && !spec.allowed.iter().any(is) {
        found.add(path, Problem::NotAllowed { allowed: spec.allowed.clone() });
        return;
    }
    // Bounds in the schema are far below 2^53, up to where a float is exact.
    let number = value.as_real().or_else(|| value.as_signed_integer().map(|n| n as f64));
    if let (Some((min, max)), Some(number)) = (spec.range, number)
        && !(min..=max).contains(&number)
    {
        found.add(path, Problem::OutOfRange { min, max });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::catalogue::from_json;
    use serde_json::{Value as Json, json};

    fn findings(request_type: &str, body: &Json) -> Vec<String> {
        check(request_type, &from_json(request_type, body).unwrap()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn good_commands_have_none() {
        let good = [
            ("ProfileList", json!({})),
            ("DeviceLock", json!({"PIN": "123456", "RequestRequiresNetworkTether": true})),
            ("DeviceInformation", json!({"Queries": ["UDID", "SerialNumber"]})),
            ("InstallProfile", json!({"Payload": "AQID"})),
            (
                "Settings",
                json!({"Settings": [{"Item": "DeviceName", "DeviceName": "x"}, {"Item": "Bluetooth", "Enabled": true}]}),
            ),
            ("InstallApplication", json!({"iTunesStoreID": 1, "Configuration": {"a": {"b": [1]}}})),
        ];
        for (request_type, body) in good {
            assert_eq!(findings(request_type, &body), Vec::<String>::new(), "{request_type}");
        }
    }

    #[test]
    fn each_problem_is_found_and_placed() {
        assert_eq!(findings("Teleport", &json!({})), ["Teleport: not a known RequestType"]);
        assert_eq!(findings("DeviceLock", &json!({"Pin": "1"})), ["Pin: not a known key here"]);
        assert_eq!(findings("InstallProfile", &json!({})), ["Payload: is required"]);
        assert_eq!(
            findings("InstallApplication", &json!({"ManagementFlags": 2})),
            ["ManagementFlags: not one of 1, 4, 5"]
        );
        assert_eq!(
            findings("DeviceInformation", &json!({"Queries": ["Mood"]})),
            ["Queries.0: not one of the known values"]
        );
        assert_eq!(
            findings("Settings", &json!({"Settings": [{"Item": "Teleport"}]})),
            ["Settings.0: not a known item"]
        );
        assert_eq!(
            findings("Settings", &json!({"Settings": [{"Item": "Bluetooth"}]})),
            ["Settings.0.Enabled: is required"]
        );
    }

    #[test]
    fn wrong_types_are_certain_and_unknown_keys_are_not() {
        let mut dict = Dictionary::new();
        dict.insert("Payload".into(), "text".into());
        dict.insert("Newer".into(), true.into());
        let all = check("InstallProfile", &dict);
        assert_eq!(all[0].problem, Problem::WrongType { expected: Kind::Data });
        assert_eq!(all.iter().map(Finding::certainty).collect::<Vec<_>>(), [Certainty::Wrong, Certainty::Unknown]);
    }

    #[test]
    fn a_flood_of_findings_is_cut() {
        let dict: Dictionary = (0..1_000).map(|n| (format!("K{n}"), Value::from(true))).collect();
        assert_eq!(check("ProfileList", &dict).len(), MAX_FINDINGS);
    }

    #[test]
    fn ranges() {
        let spec = KeySpec {
            key: "N",
            kind: Kind::Integer,
            required: false,
            is_element: false,
            allowed: vec![],
            range: Some((0.0, 10.0)),
            children: vec![],
        };
        let mut found = Findings(Vec::new());
        for n in [0_i64, 10, 11, -1] {
            scalar(&spec, &n.into(), n.to_string(), &mut found);
        }
        assert_eq!(found.0.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), ["11", "-1"]);
    }
}
