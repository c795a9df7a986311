//! `KEY=VALUE` text of the command line, turned into the typed keys of a command by the schema.
//!
//! `A.B=` nests, a repeated key makes an array, `A.0.B=` counts the elements of an array of dictionaries (without a number there
//! is one element), `\.` is a dot inside a key. Data is base64 here; whoever calls has read `@file` already.

use super::json::{date, decode};
use super::{ArgError, ArgFault, KeySpec, Kind, arg_error, child, find, join};
use crate::plist::{Dictionary, Value};

/// Arguments of one command; more is a mistake.
const MAX_ARGS: usize = 10_000;
/// Nesting; Apple's deepest request has 5 levels.
const MAX_DEPTH: usize = 16;

/// Builds the keys of a command.
///
/// # Errors
/// [`ArgError`] names the key path; a key or RequestType that the schema does not know is an error here (send it as a raw property list).
pub fn build(request_type: &str, args: &[(String, String)]) -> Result<Dictionary, ArgError> {
    let spec = find(request_type).ok_or_else(|| arg_error(request_type, ArgFault::UnknownRequestType))?;
    dictionary(&spec.keys, &Node::tree(args)?, "")
}

/// The arguments as a tree, in the order given.
#[derive(Default)]
pub(super) struct Node<'a> {
    texts: Vec<&'a str>,
    children: Vec<(String, Node<'a>)>,
}

impl<'a> Node<'a> {
    /// # Errors
    /// [`ArgError`] for too much of anything.
    pub(super) fn tree(args: &'a [(String, String)]) -> Result<Node<'a>, ArgError> {
        if args.len() > MAX_ARGS {
            return Err(arg_error("", ArgFault::TooMuch));
        }
        let mut root = Node::default();
        for (key, text) in args {
            let path = segments(key);
            if path.len() > MAX_DEPTH {
                return Err(arg_error(key, ArgFault::TooMuch));
            }
            path.into_iter().fold(&mut root, Node::at).texts.push(text);
        }
        Ok(root)
    }

    fn at(&mut self, name: String) -> &mut Node<'a> {
        let at = self.children.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            self.children.push((name, Node::default()));
            self.children.len() - 1
        });
        &mut self.children[at].1
    }

    fn child_text(&self, name: &str) -> Option<&'a str> {
        self.children.iter().find(|(known, _)| known == name).and_then(|(_, node)| node.texts.first().copied())
    }
}

fn segments(key: &str) -> Vec<String> {
    let (mut all, mut current) = (Vec::new(), String::new());
    let mut letters = key.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.peek() == Some(&'.') => current.extend(letters.next()),
            '.' => all.push(std::mem::take(&mut current)),
            letter => current.push(letter),
        }
    }
    all.push(current);
    all
}

pub(super) fn dictionary(keys: &[KeySpec], node: &Node<'_>, path: &str) -> Result<Dictionary, ArgError> {
    let mut dict = Dictionary::new();
    for (name, node) in &node.children {
        let path = join(path, name);
        let known = || keys.iter().filter(|k| !k.is_element && !k.is_any()).map(|k| k.key).collect();
        let spec = child(keys, name).ok_or_else(|| arg_error(&path, ArgFault::UnknownKey(known())))?;
        dict.insert(name.clone(), value(spec, node, &path)?);
    }
    Ok(dict)
}

fn value(spec: &KeySpec, node: &Node<'_>, path: &str) -> Result<Value, ArgError> {
    if !node.texts.is_empty() && !node.children.is_empty() {
        return Err(arg_error(path, ArgFault::Mixed));
    }
    match (spec.kind, node.texts.as_slice()) {
        (Kind::Array, []) => elements(spec, node, path).map(Value::Array),
        (Kind::Array, texts) => {
            texts.iter().map(|text| one(spec.element(None), text, path)).collect::<Result<_, _>>().map(Value::Array)
        }
        (Kind::Dictionary, []) => dictionary(&spec.children, node, path).map(Value::Dictionary),
        (Kind::Any, []) => guess_tree(node, path),
        (Kind::Any, [text]) => Ok(guess(text)),
        (Kind::Any, texts) => Ok(Value::Array(texts.iter().map(|text| guess(text)).collect())),
        (kind, []) => Err(arg_error(path, ArgFault::Expected(kind))),
        (kind, [text]) => scalar(kind, text, path),
        _ => Err(arg_error(path, ArgFault::Repeated)),
    }
}

fn one(spec: Option<&KeySpec>, text: &str, path: &str) -> Result<Value, ArgError> {
    spec.map_or_else(|| Ok(guess(text)), |spec| scalar(spec.kind, text, path))
}

/// Elements of an array of dictionaries: numbered ones in their order, or a single one without a number.
fn elements(spec: &KeySpec, node: &Node<'_>, path: &str) -> Result<Vec<Value>, ArgError> {
    let numbered: Option<Vec<(usize, &Node<'_>)>> =
        node.children.iter().map(|(name, node)| name.parse().ok().map(|at| (at, node))).collect();
    let Some(mut numbered) = numbered else { return Ok(vec![element(spec, node, path)?]) };
    numbered.sort_by_key(|(at, _)| *at);
    numbered.into_iter().map(|(at, node)| element(spec, node, &join(path, &at.to_string()))).collect()
}

fn element(spec: &KeySpec, node: &Node<'_>, path: &str) -> Result<Value, ArgError> {
    match spec.element(node.child_text("Item")) {
        Some(element) => value(element, node, path),
        None => Err(arg_error(path, ArgFault::UnknownItem(spec.elements().map(|e| e.key).collect()))),
    }
}

fn scalar(kind: Kind, text: &str, path: &str) -> Result<Value, ArgError> {
    let found = match kind {
        Kind::Text => Some(text.into()),
        Kind::Integer => text.parse::<i64>().ok().map(Value::from),
        Kind::Real => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from),
        Kind::Boolean => match text {
            "true" | "yes" | "1" => Some(true.into()),
            "false" | "no" | "0" => Some(false.into()),
            _ => None,
        },
        Kind::Date => date(text).map(Value::Date),
        Kind::Data => decode(text).map(Value::Data),
        Kind::Any => Some(guess(text)),
        Kind::Array | Kind::Dictionary => None,
    };
    found.ok_or_else(|| arg_error(path, ArgFault::Expected(kind)))
}

/// Where the schema leaves the type open: `true` and `false` are booleans, whole numbers are integers, all else is text.
fn guess(text: &str) -> Value {
    match text {
        "true" => true.into(),
        "false" => false.into(),
        // A leading zero or plus means that the digits are a name, not a number.
        _ => text
            .parse::<i64>()
            .ok()
            .filter(|number| number.to_string() == text)
            .map_or_else(|| text.into(), Value::from),
    }
}

fn guess_tree(node: &Node<'_>, path: &str) -> Result<Value, ArgError> {
    let mut dict = Dictionary::new();
    for (name, node) in &node.children {
        let path = join(path, name);
        let value = match (node.texts.as_slice(), node.children.is_empty()) {
            ([], _) => guess_tree(node, &path)?,
            (_, false) => return Err(arg_error(&path, ArgFault::Mixed)),
            ([text], _) => guess(text),
            (texts, _) => Value::Array(texts.iter().map(|text| guess(text)).collect()),
        };
        dict.insert(name.clone(), value);
    }
    Ok(Value::Dictionary(dict))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::catalogue::to_json;
    use serde_json::json;

    fn built(request_type: &str, args: &[(&str, &str)]) -> Result<Dictionary, ArgError> {
        let args: Vec<_> = args.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        build(request_type, &args)
    }

    #[test]
    fn types_come_from_the_schema() {
        let lock =
            built("DeviceLock", &[("Message", "007"), ("PIN", "000123"), ("RequestRequiresNetworkTether", "yes")])
                .unwrap();
        assert_eq!(lock.get("Message"), Some(&Value::from("007")));
        assert_eq!(lock.get("PIN"), Some(&Value::from("000123")));
        assert_eq!(lock.get("RequestRequiresNetworkTether"), Some(&Value::from(true)));
        let app =
            built("InstallApplication", &[("iTunesStoreID", "361309726"), ("Options.PurchaseMethod", "1")]).unwrap();
        assert_eq!(
            to_json("InstallApplication", &app),
            json!({"iTunesStoreID": 361309726, "Options": {"PurchaseMethod": 1}})
        );
        let profile = built("InstallProfile", &[("Payload", "AQ\nID")]).unwrap();
        assert_eq!(profile.get("Payload"), Some(&Value::Data(vec![1, 2, 3])));
    }

    #[test]
    fn repeated_keys_are_arrays() {
        let info = built("DeviceInformation", &[("Queries", "UDID"), ("Queries", "OSVersion")]).unwrap();
        assert_eq!(to_json("DeviceInformation", &info), json!({"Queries": ["UDID", "OSVersion"]}));
        let one = built("DeviceInformation", &[("Queries", "UDID")]).unwrap();
        assert_eq!(to_json("DeviceInformation", &one), json!({"Queries": ["UDID"]}));
    }

    #[test]
    fn arrays_of_dictionaries() {
        let one = built("Settings", &[("Settings.Item", "DeviceName"), ("Settings.DeviceName", "42")]).unwrap();
        assert_eq!(to_json("Settings", &one), json!({"Settings": [{"Item": "DeviceName", "DeviceName": "42"}]}));
        let args = [
            ("Settings.1.Item", "DataRoaming"),
            ("Settings.0.Item", "Bluetooth"),
            ("Settings.0.Enabled", "true"),
            ("Settings.1.Enabled", "no"),
        ];
        let two = built("Settings", &args).unwrap();
        let wanted =
            json!({"Settings": [{"Item": "Bluetooth", "Enabled": true}, {"Item": "DataRoaming", "Enabled": false}]});
        assert_eq!(to_json("Settings", &two), wanted);
        let wrong = built("Settings", &[("Settings.Item", "Teleport")]).unwrap_err();
        assert!(matches!(wrong.fault, ArgFault::UnknownItem(known) if known.contains(&"Bluetooth")));
    }

    #[test]
    fn open_dictionaries_guess() {
        let args = [
            ("Configuration.com\\.example\\.server", "https://a"),
            ("Configuration.port", "8443"),
            ("Configuration.deep.on", "true"),
            ("Configuration.code", "007"),
            ("Configuration.list", "a"),
            ("Configuration.list", "2"),
        ];
        let app = built("InstallApplication", &args).unwrap();
        let wanted = json!({"Configuration": {"com.example.server": "https://a", "port": 8443, "deep": {"on": true}, "code": "007", "list": ["a", 2]}});
        assert_eq!(to_json("InstallApplication", &app), wanted);
    }

    #[test]
    fn refusals_name_the_place() {
        let fault =
            |request_type, args: &[(&str, &str)]| built(request_type, args).map_err(|e| e.to_string()).unwrap_err();
        assert_eq!(fault("Teleport", &[]), "Teleport is not a known RequestType");
        assert!(
            fault("DeviceLock", &[("Pin", "1")])
                .starts_with("Pin: there is no such key; known: Message, PhoneNumber, PIN")
        );
        assert_eq!(fault("InstallApplication", &[("iTunesStoreID", "x")]), "iTunesStoreID: not of type integer");
        assert_eq!(fault("InstallProfile", &[("Payload", "@file")]), "Payload: not data in base64");
        assert_eq!(fault("EraseDevice", &[("PreserveDataPlan", "maybe")]), "PreserveDataPlan: neither true nor false");
        assert_eq!(fault("DeviceLock", &[("PIN", "1"), ("PIN", "2")]), "PIN: given more than once");
        assert_eq!(fault("DeviceLock", &[("PIN.x", "1")]), "PIN: not of type string");
        assert!(fault("InstallApplication", &[("Options", "1")]).contains("Options.KEY=VALUE"));
        assert!(
            fault("InstallApplication", &[("Options.PurchaseMethod", "1"), ("Options", "1")])
                .contains("both a value and keys")
        );
        assert!(fault("DeviceLock", &[(&"a.".repeat(20), "1")]).contains("too many"));
    }
}
