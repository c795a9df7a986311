//! Forms that follow from Apple's schema: a field for every key of a command or payload, by its type, its allowed values and its range;
//! and the keys back as JSON, which `protocol::catalogue` reads by the same schema. Nothing here knows one key from another.

use super::Visit;
use super::form::Form;
use super::parts::{Field, FormSpec};
use crate::base::texts::Text;
use crate::protocol::catalogue::{KeySpec, Kind, is_password};
use crate::service::Error;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// Dictionaries within dictionaries that get fields of their own; deeper ones are typed as JSON.
const DEEPEST: usize = 3;
/// Places for elements of a list of dictionaries.
const PLACES: usize = 3;
/// From so many keys on the fields stand in two columns where there is room.
const MANY: usize = 12;
/// Keys of one form; a payload with more shows the others as one JSON field.
const MOST_FIELDS: usize = 400;

/// Adds a field for each key; what must be given first.
pub fn fields(v: &Visit<'_>, form: FormSpec, keys: &[KeySpec]) -> FormSpec {
    let mut form = if keys.len() >= MANY { form.wide() } else { form };
    let mut left = MOST_FIELDS;
    for needed in [true, false] {
        for key in named(keys).filter(|key| key.required == needed) {
            form = one(v, form, key, "", 0, &mut left);
        }
    }
    form
}

/// As [`fields`], for a command that need not be sent at all.
pub fn optional_fields(v: &Visit<'_>, form: FormSpec, keys: &[KeySpec]) -> FormSpec {
    let keys: Vec<KeySpec> = keys.iter().map(|key| KeySpec { required: false, ..key.clone() }).collect();
    fields(v, form, &keys)
}

fn named(keys: &[KeySpec]) -> impl Iterator<Item = &KeySpec> {
    keys.iter().filter(|key| !key.is_element && !is_open(key))
}

/// A place for keys of any name.
fn is_open(key: &KeySpec) -> bool {
    key.key == "ANY" || key.key.starts_with("ANY ")
}

/// How a key is asked for.
enum Shape<'a> {
    /// Fields of its own in a part of their own.
    Inside(&'a [KeySpec]),
    /// Several such parts.
    List(&'a [KeySpec]),
    /// One of each kind, told apart by their `Item` (as in Settings).
    Kinds(Vec<&'a KeySpec>),
    /// One value a line.
    Lines(&'a KeySpec),
    /// As JSON: too deep, or of any shape.
    Json,
    Value,
}

fn shape(key: &KeySpec, depth: usize) -> Shape<'_> {
    let elements: Vec<&KeySpec> = key.children.iter().filter(|child| child.is_element).collect();
    match key.kind {
        Kind::Any => Shape::Json,
        Kind::Dictionary if depth >= DEEPEST || named(&key.children).next().is_none() => Shape::Json,
        Kind::Dictionary => Shape::Inside(&key.children),
        Kind::Array => match elements.as_slice() {
            [_, _, ..] if depth == 0 && elements.iter().all(|one| item(one).is_some()) => Shape::Kinds(elements),
            [only] if matches!(only.kind, Kind::Dictionary) && depth + 1 < DEEPEST => Shape::List(&only.children),
            [only] if !matches!(only.kind, Kind::Dictionary | Kind::Array | Kind::Any | Kind::Data) => {
                Shape::Lines(only)
            }
            _ => Shape::Json,
        },
        _ => Shape::Value,
    }
}

/// The value of `Item` that this kind of element has.
fn item(element: &KeySpec) -> Option<String> {
    let item = element.children.iter().find(|key| key.key == "Item")?;
    item.allowed.first().map(ToString::to_string)
}

fn beside_item(element: &KeySpec) -> Vec<KeySpec> {
    element.children.iter().filter(|key| key.key != "Item").cloned().collect()
}

fn one(v: &Visit<'_>, form: FormSpec, key: &KeySpec, above: &str, depth: usize, left: &mut usize) -> FormSpec {
    if *left == 0 {
        return form;
    }
    let path = join(above, key.key);
    let inside = |mut form: FormSpec, keys: &[KeySpec], path: &str, left: &mut usize| {
        for needed in [true, false] {
            for key in named(keys).filter(|key| key.required == needed) {
                form = one(v, form, key, path, depth + 1, left);
            }
        }
        form
    };
    match shape(key, depth) {
        Shape::Inside(keys) => {
            let form = form.fold(&title(key.key), key.key, v.refused.is_some());
            inside(form, keys, &path, left).unfold()
        }
        Shape::List(keys) => {
            let mut form = form;
            for place in 0..if depth == 0 { PLACES } else { 1 } {
                form = form.fold(&format!("{} {}", title(key.key), place + 1), key.key, v.refused.is_some());
                form = inside(form, keys, &format!("{path}.{place}"), left).unfold();
            }
            form
        }
        Shape::Kinds(kinds) => {
            let mut form = form;
            for (place, kind) in kinds.into_iter().enumerate() {
                form = form.fold(&title(&item(kind).unwrap_or_default()), "", v.refused.is_some());
                form = inside(form, &beside_item(kind), &format!("{path}.{place}"), left).unfold();
            }
            form
        }
        shape => {
            *left -= 1;
            form.field(value(v, key, &path, &shape))
        }
    }
}

fn join(above: &str, key: &str) -> String {
    if above.is_empty() { key.to_owned() } else { format!("{above}.{key}") }
}

/// Words that are written so and not otherwise.
const NAMES: [&str; 17] = [
    "AirDrop",
    "AirPlay",
    "AirPrint",
    "AppleTV",
    "FaceTime",
    "FileVault",
    "IDs",
    "IPv4",
    "IPv6",
    "MNCs",
    "OIs",
    "QoS",
    "URLs",
    "WiFi",
    "iCloud",
    "iTunes",
    "macOS",
];

/// Such a word that begins there, and is no part of a longer one.
fn name_at(letters: &[char], at: usize) -> Option<&'static str> {
    let ends = |name: &str| letters.get(at + name.len()).is_none_or(|after| !after.is_lowercase());
    let begins = |name: &str| name.starts_with(char::is_uppercase) || at == 0 || !letters[at - 1].is_lowercase();
    let reads = |name: &str| name.chars().enumerate().all(|(i, c)| letters.get(at + i) == Some(&c));
    NAMES.into_iter().find(|name| reads(name) && ends(name) && begins(name))
}

/// A key as people say it: `EncryptionType` is "Encryption type". Apple's own spelling stands below.
pub fn title(key: &str) -> String {
    let letters: Vec<char> = key.chars().collect();
    let mut words: Vec<String> = vec![String::new()];
    let mut read = 0;
    for (i, c) in letters.iter().enumerate() {
        if i < read {
            continue;
        }
        if let Some(name) = name_at(&letters, i) {
            words.extend([name.to_owned(), String::new()]);
            read = i + name.len();
            continue;
        }
        let before = i.checked_sub(1).and_then(|i| letters.get(i));
        let after = letters.get(i + 1);
        let begins = c.is_uppercase()
            && before.is_some_and(|b| {
                b.is_lowercase() || b.is_ascii_digit() || (b.is_uppercase() && after.is_some_and(|a| a.is_lowercase()))
            });
        if matches!(c, '_' | '-' | ' ') {
            words.push(String::new());
            continue;
        }
        if begins {
            words.push(String::new());
        }
        words.last_mut().map(|word| word.push(*c)).unwrap_or_default();
    }
    let words: Vec<String> = words
        .into_iter()
        .filter(|word| !word.is_empty())
        .enumerate()
        .map(|(i, word)| {
            let short = word.chars().filter(|c| c.is_uppercase()).count() > 1;
            match (short || NAMES.contains(&word.as_str()), i) {
                (true, _) => word,
                (false, 0) => super::forecast::capital(&word),
                (false, _) => word.to_lowercase(),
            }
        })
        .collect();
    words.join(" ")
}

/// Apple's name, and what may stand there.
fn note(v: &Visit<'_>, key: &KeySpec) -> String {
    let w = &v.words.schema;
    let mut said = vec![key.key.to_owned()];
    if let Some((least, most)) = key.range {
        said.push(match (least.is_finite(), most.is_finite()) {
            (true, true) => format!("{least} {} {most}", w.to),
            (true, false) => format!("{} {least}", w.at_least),
            _ => format!("{} {most}", w.at_most),
        });
    }
    match (key.kind, shape(key, DEEPEST)) {
        (Kind::Date, _) => said.push(w.a_date.to_owned()),
        (_, Shape::Lines(one)) if !one.allowed.is_empty() => {
            said.push(format!("{}: {}", w.one_a_line, allowed(one).join(", ")));
        }
        (_, Shape::Lines(_)) => said.push(w.one_a_line.to_owned()),
        (Kind::Any | Kind::Array | Kind::Dictionary, Shape::Json) => said.push(w.as_json.to_owned()),
        _ => {}
    }
    said.join(" · ")
}

fn allowed(key: &KeySpec) -> Vec<String> {
    key.allowed.iter().map(ToString::to_string).collect()
}

fn value(v: &Visit<'_>, key: &KeySpec, path: &str, shape: &Shape<'_>) -> Field {
    let (w, label, typed) = (&v.words.schema, title(key.key), v.typed(path));
    let field = match (key.kind, shape) {
        (_, Shape::Lines(_) | Shape::Json) => Field::area(path, &label).low().value(typed),
        (Kind::Boolean, _) => {
            Field::choice(path, &label, [("", w.not_set), ("true", v.words.yes), ("false", v.words.no)]).value(typed)
        }
        (Kind::Data, _) => Field::file(path, &label),
        _ if !key.allowed.is_empty() => {
            let values = allowed(key);
            let first = if key.required { None } else { Some(("", w.not_set)) };
            Field::choice(path, &label, first.into_iter().chain(values.iter().map(|one| (one.as_str(), one.as_str()))))
                .value(typed)
        }
        (Kind::Text, _) if is_password(key.key) => Field::password(path, &label, "off"),
        (Kind::Integer, _) => Field::number(path, &label).value(typed),
        _ => Field::text(path, &label).value(typed),
    };
    let field = field.hint(&note(v, key));
    // What is needed inside of something optional is only needed when that is there: the server says so.
    if key.required && !path.contains('.') && key.kind != Kind::Data { field.required() } else { field }
}

/// The keys that were filled in. What was left empty is not there.
///
/// # Errors
/// `Invalid` naming the key whose text is no number or no JSON.
pub fn read(form: &Form, keys: &[KeySpec]) -> Result<Value, Error> {
    Ok(Value::Object(inside(form, keys, "", 0)?))
}

fn inside(form: &Form, keys: &[KeySpec], above: &str, depth: usize) -> Result<Map<String, Value>, Error> {
    let mut found = Map::new();
    for key in named(keys) {
        let path = join(above, key.key);
        let value = match shape(key, depth) {
            Shape::Inside(keys) => {
                Some(inside(form, keys, &path, depth + 1)?).filter(|map| !map.is_empty()).map(Value::Object)
            }
            Shape::List(keys) => {
                let mut all = Vec::new();
                for place in 0..PLACES {
                    let map = inside(form, keys, &format!("{path}.{place}"), depth + 1)?;
                    all.extend(Some(map).filter(|map| !map.is_empty()).map(Value::Object));
                }
                Some(all).filter(|all| !all.is_empty()).map(Value::Array)
            }
            Shape::Kinds(kinds) => {
                let mut all = Vec::new();
                for (place, kind) in kinds.into_iter().enumerate() {
                    let mut map = inside(form, &beside_item(kind), &format!("{path}.{place}"), depth + 1)?;
                    if !map.is_empty() {
                        map.insert(String::from("Item"), Value::from(item(kind)));
                        all.push(Value::Object(map));
                    }
                }
                Some(all).filter(|all| !all.is_empty()).map(Value::Array)
            }
            Shape::Lines(element) => {
                let lines = form.text(&path).lines().map(str::trim).filter(|line| !line.is_empty());
                let all: Vec<Value> = lines.map(|line| scalar(element.kind, line, &path)).collect::<Result<_, _>>()?;
                Some(all).filter(|all| !all.is_empty()).map(Value::Array)
            }
            Shape::Json => form.get(&path).map(|text| json(text, &path)).transpose()?,
            Shape::Value if key.kind == Kind::Data => form.file(&path).map(|bytes| Value::from(STANDARD.encode(bytes))),
            Shape::Value if key.kind == Kind::Text && is_password(key.key) => {
                form.secret(&path).map(|secret| Value::from(secret.expose().clone()))
            }
            Shape::Value => form.some(&path).map(|text| scalar(key.kind, &text, &path)).transpose()?,
        };
        found.extend(value.map(|value| (key.key.to_owned(), value)));
    }
    Ok(found)
}

fn json(text: &str, path: &str) -> Result<Value, Error> {
    serde_json::from_str(text).map_err(|error| wrong(path, &format!("is not JSON: {error}")))
}

fn scalar(kind: Kind, text: &str, path: &str) -> Result<Value, Error> {
    Ok(match kind {
        Kind::Integer => Value::from(text.parse::<i64>().map_err(|_| wrong(path, "must be a whole number"))?),
        Kind::Real => Value::from(text.parse::<f64>().map_err(|_| wrong(path, "must be a number"))?),
        Kind::Boolean => Value::from(matches!(text, "true" | "yes" | "1")),
        _ => Value::from(text),
    })
}

fn wrong(path: &str, why: &str) -> Error {
    Error::invalid(Text::BadArgument { key: path.to_owned(), why: why.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::catalogue::{find_payloads, from_json, list, payload_from_json, payload_types};

    #[test]
    fn keys_as_people_say_them() {
        let table = [
            ("EncryptionType", "Encryption type"),
            ("SSID_STR", "SSID STR"),
            ("PINLength", "PIN length"),
            ("allowAirDrop", "Allow AirDrop"),
            ("RoamingConsortiumOIs", "Roaming consortium OIs"),
            ("MCCAndMNCs", "MCC and MNCs"),
            ("EnableIPv6", "Enable IPv6"),
            ("QoSMarkingPolicy", "QoS marking policy"),
            ("forceIDsHidden", "Force IDs hidden"),
            ("URL", "URL"),
            ("EAPClientConfiguration", "EAP client configuration"),
        ];
        for (key, said) in table {
            assert_eq!(title(key), said);
        }
    }

    /// Something that a person could type there.
    fn example(key: &KeySpec) -> String {
        match (key.kind, key.allowed.first()) {
            (_, Some(first)) => first.to_string(),
            (Kind::Boolean, _) => String::from("true"),
            (Kind::Integer | Kind::Real, _) => key.range.map_or(1.0, |(least, _)| least.max(1.0)).to_string(),
            (Kind::Date, _) => String::from("2026-09-01T07:30:00Z"),
            (Kind::Any | Kind::Array, _) => String::from("[]"),
            (Kind::Dictionary, _) => String::from("{}"),
            _ => String::from("dGV4dA=="),
        }
    }

    fn fill(keys: &[KeySpec], above: &str, depth: usize, pairs: &mut Vec<(String, String)>) {
        for key in named(keys) {
            let path = join(above, key.key);
            match shape(key, depth) {
                Shape::Inside(keys) => fill(keys, &path, depth + 1, pairs),
                Shape::List(keys) => fill(keys, &format!("{path}.0"), depth + 1, pairs),
                Shape::Kinds(kinds) => {
                    for (place, kind) in kinds.into_iter().enumerate() {
                        fill(&beside_item(kind), &format!("{path}.{place}"), depth + 1, pairs);
                    }
                }
                Shape::Lines(one) => pairs.push((path, example(one))),
                _ => pairs.push((path, example(key))),
            }
        }
    }

    #[test]
    fn every_form_that_is_filled_in_is_what_the_schema_takes() {
        let mut fields = 0;
        for spec in list() {
            let mut pairs = Vec::new();
            fill(&spec.keys, "", 0, &mut pairs);
            fields += pairs.len();
            let keys =
                read(&Form::of(pairs), &spec.keys).unwrap_or_else(|e| panic!("{}: {}", spec.request_type, e.public));
            from_json(spec.request_type, &keys).unwrap_or_else(|e| panic!("{}: {e}", spec.request_type));
        }
        for spec in payload_types().into_iter().flat_map(find_payloads) {
            let mut pairs = Vec::new();
            fill(&spec.keys, "", 0, &mut pairs);
            fields += pairs.len();
            let keys =
                read(&Form::of(pairs), &spec.keys).unwrap_or_else(|e| panic!("{}: {}", spec.payload_type, e.public));
            payload_from_json(spec.payload_type, &keys).unwrap_or_else(|e| panic!("{}: {e}", spec.payload_type));
        }
        assert!(fields > 1_500, "{fields}");
    }
}
