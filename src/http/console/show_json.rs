//! Answers of devices as people read them: dictionaries as names and values, lists of alike things as tables, the rest as it is.

use super::parts::{Html, Table, facts, list, note, stacked, text, titled, verbatim};
use serde_json::{Map, Value};

/// Lines of a list that are shown.
const MOST_LINES: usize = 200;
/// Bytes of what is shown as it is.
const MOST_BYTES: usize = 24 * 1024;
/// Columns of a table.
const MOST_COLUMNS: usize = 6;

/// Any value, secrets masked already.
pub fn shown(value: &Value) -> Html {
    match value {
        Value::Object(map) => object(map),
        Value::Array(items) => array(items),
        other => text(&plain(other)),
    }
}

fn object(map: &Map<String, Value>) -> Html {
    if let Some(kind) = map.get("sealed").and_then(Value::as_str).filter(|_| map.len() == 1) {
        return text(&format!("in custody as {kind}"));
    }
    let (large, small): (Vec<_>, Vec<_>) = map.iter().partition(|(_, value)| value.is_object() || value.is_array());
    let small = if small.is_empty() {
        Html::default()
    } else {
        facts(small.into_iter().map(|(name, value)| (name.as_str(), shown(value))))
    };
    let large = large.into_iter().map(|(name, value)| titled(name, &shown(value)));
    stacked(std::iter::once(small).chain(large))
}

fn array(items: &[Value]) -> Html {
    let maps: Vec<&Map<String, Value>> = items.iter().filter_map(Value::as_object).collect();
    if maps.is_empty() {
        return list(items.iter().take(MOST_LINES).map(|item| text(&plain(item))));
    }
    if maps.len() != items.len() {
        return cut(&Value::Array(items.to_vec()));
    }
    // The columns that most of them have, with a plain value.
    let mut names: Vec<(&String, usize)> = Vec::new();
    for (name, _) in maps.iter().flat_map(|map| map.iter()).filter(|(_, v)| !v.is_object() && !v.is_array()) {
        match names.iter_mut().find(|(known, _)| *known == name) {
            Some((_, n)) => *n += 1,
            None => names.push((name, 1)),
        }
    }
    // What something is called comes first.
    let is_name = |name: &str| name.ends_with("Name") || name.ends_with("Identifier");
    names.sort_by_key(|(name, n)| (!is_name(name), std::cmp::Reverse(*n)));
    names.truncate(MOST_COLUMNS);
    let cells = |map: &&Map<String, Value>| {
        names.iter().map(|(name, _)| text(&map.get(*name).map(plain).unwrap_or_default())).collect::<Vec<Html>>()
    };
    let table = Table::new("").columns(names.iter().map(|(name, _)| name.as_str()));
    let table = table.rows(maps.iter().take(MOST_LINES).map(cells)).html();
    if maps.len() > MOST_LINES {
        return list([table, note(&format!("and {} more", maps.len() - MOST_LINES))]);
    }
    table
}

fn cut(value: &Value) -> Html {
    let whole = serde_json::to_string_pretty(value).unwrap_or_default();
    let mut end = whole.len().min(MOST_BYTES);
    while !whole.is_char_boundary(end) {
        end -= 1;
    }
    verbatim(&whole[..end])
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.chars().take(2_000).collect(),
        Value::Null => String::new(),
        Value::Bool(true) => String::from("yes"),
        Value::Bool(false) => String::from("no"),
        Value::Object(_) | Value::Array(_) => value.to_string().chars().take(500).collect(),
        number => number.to_string(),
    }
}
