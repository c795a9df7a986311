//! Apple's payload catalogue (schema of iOS 18.1 / macOS 15.1): what a configuration profile can hold, on which system and channel, with
//! which keys. Called by the lint of profiles, by the builder, and by whoever shows a form.
//!
//! The text holds one payload a line; only the lines that are asked for are parsed, and nothing is kept.

use super::args::{self, Node};
use super::check::{self, Findings};
use super::{ArgError, ArgFault, Finding, KeySpec, Kind, Platform, arg_error, json, schema};
use crate::plist::Dictionary;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Generated from Apple's published schema, without descriptions: type, tab, JSON; sorted by type.
static PAYLOADS: &str = include_str!("payloads.txt");
/// Keys that every payload has.
const COMMON: &str = "CommonPayloadKeys";
/// Keys of a profile itself.
const TOP_LEVEL: &str = "TopLevel";

/// One payload. A few types (`com.apple.MCX`) have several, told apart by `variant`.
#[derive(Debug, Clone, PartialEq)]
pub struct PayloadSpec {
    pub payload_type: &'static str,
    /// Apple's name of the file that describes it.
    pub variant: &'static str,
    pub systems: Vec<SystemSpec>,
    /// A profile or a device may hold several.
    pub multiple: bool,
    /// Without those of every payload.
    pub keys: Vec<KeySpec>,
}

/// How one system takes a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemSpec {
    pub platform: Platform,
    pub device_channel: bool,
    pub user_channel: bool,
    /// First version that takes it, and first that does not any more.
    pub since: Option<&'static str>,
    pub removed: Option<&'static str>,
    pub supervised: bool,
}

impl PayloadSpec {
    pub fn system(&self, platform: Platform) -> Option<&SystemSpec> {
        self.systems.iter().find(|system| system.platform == platform)
    }
}

/// Every payload type there is, by name.
pub fn payload_types() -> Vec<&'static str> {
    let types = PAYLOADS.lines().filter_map(|line| line.split_once('\t')).map(|(name, _)| name);
    let mut all: Vec<&'static str> = types.filter(|name| !matches!(*name, COMMON | TOP_LEVEL)).collect();
    all.dedup();
    all
}

/// The payloads of this type, spelled exactly; none that Apple's schema knows if it is empty.
pub fn find_payloads(payload_type: &str) -> Vec<PayloadSpec> {
    if matches!(payload_type, COMMON | TOP_LEVEL) { Vec::new() } else { read(payload_type) }
}

fn read(name: &str) -> Vec<PayloadSpec> {
    let lines = PAYLOADS.lines().filter_map(|line| line.split_once('\t')).filter(|(found, _)| *found == name);
    lines.filter_map(|(found, json)| Some(payload(found, serde_json::from_str(json).ok()?))).collect()
}

fn payload(payload_type: &'static str, raw: RawPayload<'static>) -> PayloadSpec {
    let systems = raw.channels.iter().filter_map(|(name, channels)| {
        // A Shared iPad is an iPad: its versions stand there.
        let system = raw.os.get(if *name == "SharediPad" { "iOS" } else { name });
        Some(SystemSpec {
            platform: schema::platform(name)?,
            device_channel: channels.contains(&"device"),
            user_channel: channels.contains(&"user"),
            since: system.and_then(|s| s.since),
            removed: system.and_then(|s| s.removed),
            supervised: system.is_some_and(|s| s.supervised),
        })
    });
    PayloadSpec {
        payload_type,
        variant: raw.file,
        systems: systems.collect(),
        multiple: raw.multiple,
        keys: raw.keys.into_iter().map(schema::key).collect(),
    }
}

/// What the schema does not expect of one payload's keys; of several payloads of that type, the one that fits best is meant.
/// `None`: the type is not known.
pub fn check_payload(payload_type: &str, keys: &Dictionary) -> Option<Vec<Finding>> {
    let common = read(COMMON).pop().map(|spec| spec.keys).unwrap_or_default();
    let all = find_payloads(payload_type).into_iter().map(|spec| {
        let mut known = spec.keys;
        known.extend(common.iter().cloned());
        findings(&known, keys)
    });
    all.min_by_key(Vec::len)
}

/// What the schema does not expect of a profile's own keys.
pub fn check_top_level(keys: &Dictionary) -> Vec<Finding> {
    findings(&read(TOP_LEVEL).pop().map(|spec| spec.keys).unwrap_or_default(), keys)
}

fn findings(known: &[KeySpec], keys: &Dictionary) -> Vec<Finding> {
    let mut found = Findings::default();
    check::dictionary(known, keys, "", &mut found);
    found.into_inner()
}

/// Builds the keys of one payload from `KEY=VALUE` text.
///
/// # Errors
/// [`ArgError`] names the key path.
pub fn build_payload(payload_type: &str, given: &[(String, String)]) -> Result<Dictionary, ArgError> {
    first_that_fits(payload_type, |keys| args::dictionary(keys, &Node::tree(given)?, ""))
}

/// The keys of one payload from JSON, typed by the schema; data is base64.
///
/// # Errors
/// As [`build_payload`].
pub fn payload_from_json(payload_type: &str, body: &serde_json::Value) -> Result<Dictionary, ArgError> {
    let serde_json::Value::Object(body) = body else {
        return Err(arg_error(payload_type, ArgFault::Expected(Kind::Dictionary)));
    };
    first_that_fits(payload_type, |keys| json::dictionary(keys, body, ""))
}

fn first_that_fits(
    payload_type: &str,
    build: impl Fn(&[KeySpec]) -> Result<Dictionary, ArgError>,
) -> Result<Dictionary, ArgError> {
    let mut fault = arg_error(payload_type, ArgFault::UnknownPayload);
    for spec in find_payloads(payload_type) {
        match build(&spec.keys) {
            Ok(keys) => return Ok(keys),
            Err(error) => fault = error,
        }
    }
    Err(fault)
}

#[derive(Deserialize)]
struct RawPayload<'a> {
    file: &'a str,
    #[serde(borrow)]
    os: BTreeMap<&'a str, RawSystem<'a>>,
    #[serde(borrow)]
    channels: BTreeMap<&'a str, Vec<&'a str>>,
    multiple: bool,
    #[serde(borrow)]
    keys: Vec<schema::RawKey<'a>>,
}

#[derive(Deserialize)]
struct RawSystem<'a> {
    since: Option<&'a str>,
    removed: Option<&'a str>,
    #[serde(default)]
    supervised: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plist::Value;

    #[test]
    fn every_line_is_read() {
        assert_eq!(PAYLOADS.lines().count(), 128);
        for line in PAYLOADS.lines() {
            let (name, json) = line.split_once('\t').unwrap();
            assert!(serde_json::from_str::<RawPayload<'_>>(json).is_ok(), "{name}");
        }
        let types = payload_types();
        assert_eq!(types.len(), 120);
        assert!(types.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(find_payloads("com.apple.MCX").len(), 6);
        assert!(find_payloads(TOP_LEVEL).is_empty() && find_payloads("com.example").is_empty());
    }

    #[test]
    fn what_the_schema_says_of_some_payloads() {
        let wifi = find_payloads("com.apple.wifi.managed").pop().unwrap();
        assert!(wifi.multiple && wifi.system(Platform::MacOs).unwrap().user_channel);
        assert!(!wifi.system(Platform::IOs).unwrap().user_channel);
        let layout = find_payloads("com.apple.homescreenlayout").pop().unwrap();
        assert!(layout.system(Platform::IOs).unwrap().supervised && layout.system(Platform::MacOs).is_none());
        assert_eq!(layout.system(Platform::SharedIpad).unwrap().since, Some("9.3"));
    }

    #[test]
    fn a_payload_is_built_and_checked() {
        let given = [("SSID_STR", "School"), ("AutoJoin", "yes"), ("EAPClientConfiguration.AcceptEAPTypes", "25")];
        let given: Vec<_> = given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let keys = build_payload("com.apple.wifi.managed", &given).unwrap();
        assert_eq!(keys.get("AutoJoin"), Some(&Value::from(true)));
        let found: Vec<String> =
            check_payload("com.apple.wifi.managed", &keys).unwrap().iter().map(ToString::to_string).collect();
        // What every payload needs is added when the profile is put together.
        assert!(found.iter().all(|f| f.starts_with("Payload")), "{found:?}");
        let wrong = build_payload("com.apple.wifi.managed", &[(String::from("Ssid"), String::from("x"))]).unwrap_err();
        assert!(wrong.to_string().contains("SSID_STR"), "{wrong}");
        assert!(build_payload("com.example", &[]).is_err());
        let json = serde_json::json!({ "PasswordContent": true });
        assert!(payload_from_json("com.apple.mobiledevice.passwordpolicy", &json).is_ok(), "newer keys are the lint's");
        assert!(
            payload_from_json("com.apple.mobiledevice.passwordpolicy", &serde_json::json!({ "minLength": "x" }))
                .is_err()
        );
    }
}
