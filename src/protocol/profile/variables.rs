//! Variables in profiles: `{{user.mail}}`, `{{device.serial}}`, fields of the school's own. Found at upload, put in when the profile
//! is sent to one device, purely. Who knows the values is `service::variables`.

use crate::plist::{Dictionary, Value};
use std::collections::BTreeSet;

/// Longest name between the braces.
const MAX_NAME: usize = 100;
/// Longest value of one variable, bytes.
pub const MAX_VALUE: usize = 4_000;

/// Whose value it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Device,
    User,
}

/// What is known of everybody and every device, as `{{user.NAME}}` and `{{device.NAME}}`.
pub const USER_NAMES: [&str; 4] = ["short_name", "name", "mail", "id"];
pub const DEVICE_NAMES: [&str; 7] = ["serial", "udid", "name", "model", "model_name", "os_version", "id"];

/// A variable cut into whose it is and its name; `None` for what is none.
pub fn cut(variable: &str) -> Option<(Owner, &str)> {
    let (owner, name) = variable.split_once('.')?;
    let good = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    match owner {
        "user" if good => Some((Owner::User, name)),
        "device" if good => Some((Owner::Device, name)),
        _ => None,
    }
}

/// Every variable in the texts of a profile, also those that are none: those are for the lint.
pub fn variables(profile: &Dictionary) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    visit(&Value::Dictionary(profile.clone()), &mut |text| {
        for (_, name) in pieces(text) {
            found.extend(name.map(str::to_owned));
        }
    });
    found
}

fn visit(value: &Value, see: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => see(text),
        Value::Array(items) => items.iter().for_each(|item| visit(item, see)),
        Value::Dictionary(dict) => dict.values().for_each(|value| visit(value, see)),
        _ => {}
    }
}

/// The text before each variable with its name, and the rest.
fn pieces(text: &str) -> Vec<(&str, Option<&str>)> {
    let (mut all, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once("{{") {
        match after.split_once("}}") {
            Some((name, then)) if name.len() <= MAX_NAME && !name.contains('{') => {
                all.push((before, Some(name.trim())));
                rest = then;
            }
            _ => break,
        }
    }
    all.push((rest, None));
    all
}

/// The profile with every variable replaced by what `value` says.
///
/// # Errors
/// The first variable without a value.
pub fn fill(profile: &Dictionary, value: &dyn Fn(&str) -> Option<String>) -> Result<Dictionary, String> {
    match filled(&Value::Dictionary(profile.clone()), value)? {
        Value::Dictionary(dict) => Ok(dict),
        _ => Ok(Dictionary::new()),
    }
}

fn filled(part: &Value, value: &dyn Fn(&str) -> Option<String>) -> Result<Value, String> {
    Ok(match part {
        Value::String(text) => {
            let mut whole = String::new();
            for (before, name) in pieces(text) {
                whole.push_str(before);
                if let Some(name) = name {
                    whole.push_str(&value(name).ok_or_else(|| name.to_owned())?);
                }
            }
            Value::String(whole)
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| filled(item, value)).collect::<Result<_, _>>()?),
        Value::Dictionary(dict) => Value::Dictionary(
            dict.iter().map(|(key, part)| Ok((key.clone(), filled(part, value)?))).collect::<Result<_, String>>()?,
        ),
        other => other.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn profile(text: &str) -> Dictionary {
        let mut inner = Dictionary::new();
        inner.insert(String::from("EmailAddress"), text.into());
        inner.insert(String::from("Port"), 993.into());
        let mut all = Dictionary::new();
        all.insert(String::from("PayloadContent"), Value::Array(vec![Value::Dictionary(inner)]));
        all
    }

    fn put(text: &str) -> Result<String, String> {
        let value = |name: &str| match name {
            "user.mail" => Some(String::from("ada@hill.example")),
            "device.serial" => Some(String::from("X{{user.mail}}")),
            _ => None,
        };
        let done = fill(&profile(text), &value)?;
        let first = done["PayloadContent"].as_array().unwrap()[0].as_dictionary().unwrap();
        Ok(first["EmailAddress"].as_string().unwrap().to_owned())
    }

    #[test]
    fn values_take_the_place_of_names() {
        assert_eq!(put("{{user.mail}}").unwrap(), "ada@hill.example");
        assert_eq!(put("<{{ user.mail }}>").unwrap(), "<ada@hill.example>");
        assert_eq!(
            put("a{{device.serial}}b{{user.mail}}").unwrap(),
            "aX{{user.mail}}bada@hill.example",
            "values are not read again"
        );
        assert_eq!(put("{{user.shoe_size}}").unwrap_err(), "user.shoe_size");
        assert_eq!(put("{{ open").unwrap(), "{{ open");
        assert_eq!(put("plain").unwrap(), "plain");
    }

    #[test]
    fn names_are_found() {
        let found = variables(&profile("{{user.mail}} {{device.serial}} {{user.mail}} {{nonsense}}"));
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["device.serial", "nonsense", "user.mail"]);
        assert_eq!(cut("user.mail"), Some((Owner::User, "mail")));
        assert_eq!(cut("device.asset-tag"), Some((Owner::Device, "asset-tag")));
        for bad in ["nonsense", "user.", "user.a b", "school.name", "device.a.b"] {
            assert_eq!(cut(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in ".{0,80}") {
            let profile = profile(&text);
            let names = variables(&profile);
            let done = fill(&profile, &|_| Some(String::new()));
            prop_assert!(done.is_ok());
            prop_assert_eq!(fill(&profile, &|_| None).is_ok(), names.is_empty());
        }
    }
}
