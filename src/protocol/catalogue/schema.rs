//! The embedded schema file and its reading into compact form. Called once, by `list`.
//!
//! The file's own shape (nested `os` tables and all) stays in this room.

use super::{Allowed, CommandSpec, KeySpec, Kind, Platform, PlatformSpec};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Generated from Apple's published schema; minified, without descriptions.
static COMMANDS: &str = include_str!("commands.json");

/// A key of every command: refuse unless the device is tethered.
const TETHER: &str = "RequestRequiresNetworkTether";

/// All commands, sorted by name.
pub(super) fn read() -> Vec<CommandSpec> {
    // The text is compiled in and a test counts what is read; should it ever fail, nothing is known and raw commands still work.
    let file: RawFile<'static> = serde_json::from_str(COMMANDS).unwrap_or_default();
    let mut all: Vec<CommandSpec> = file.commands.into_iter().map(command).collect();
    all.sort_by_key(|spec| spec.request_type);
    all
}

pub(super) fn platform(schema: &str) -> Option<Platform> {
    Some(match schema {
        "iOS" => Platform::IOs,
        "SharediPad" => Platform::SharedIpad,
        "macOS" => Platform::MacOs,
        "tvOS" => Platform::TvOs,
        "visionOS" => Platform::VisionOs,
        "watchOS" => Platform::WatchOs,
        _ => return None,
    })
}

fn command(raw: RawCommand<'static>) -> CommandSpec {
    let platforms = raw.channels.iter().filter(|(_, channels)| !channels.is_empty()).filter_map(|(name, channels)| {
        // Shared iPads are always supervised; the schema gives that flag for iOS only.
        let supervised = raw.supervised.get(name).copied().unwrap_or(false);
        // A Shared iPad is an iPad: its versions stand there.
        let os = raw.os.get(if *name == "SharediPad" { "iOS" } else { name });
        platform(name).map(|platform| PlatformSpec {
            platform,
            since: os.and_then(|os| os.introduced),
            removed: os.and_then(|os| os.removed),
            automated: os.is_some_and(|os| os.requiresdep),
            device_channel: channels.contains(&"device"),
            user_channel: channels.contains(&"user"),
            supervised,
        })
    });
    let mut keys: Vec<KeySpec> = raw.keys.into_iter().map(key).collect();
    keys.push(KeySpec {
        key: TETHER,
        kind: Kind::Boolean,
        required: false,
        is_element: false,
        allowed: Vec::new(),
        range: None,
        children: Vec::new(),
    });
    CommandSpec {
        request_type: raw.request_type,
        platforms: platforms.collect(),
        rights: raw.access_rights_bits.iter().fold(0, |all, bit| all | bit),
        keys,
        response_keys: raw.response_keys.into_iter().map(key).collect(),
    }
}

pub(super) fn key(raw: RawKey<'static>) -> KeySpec {
    let kind = match raw.kind {
        RawKind::String => Kind::Text,
        RawKind::Integer => Kind::Integer,
        RawKind::Real => Kind::Real,
        RawKind::Boolean => Kind::Boolean,
        RawKind::Date => Kind::Date,
        RawKind::Data => Kind::Data,
        RawKind::Array => Kind::Array,
        RawKind::Dictionary => Kind::Dictionary,
        RawKind::Any => Kind::Any,
    };
    let allow = |value| match value {
        RawAllowed::Text(text) => Allowed::Text(text),
        RawAllowed::Number(number) => Allowed::Number(number),
    };
    let mut allowed: Vec<Allowed> = raw.allowed.into_iter().map(allow).collect();
    let mut children: Vec<KeySpec> = raw.keys.into_iter().map(key).collect();
    if !matches!(kind, Kind::Array | Kind::Dictionary | Kind::Any) {
        // A scalar with "keys": they are its allowed values (Queries of DeviceInformation).
        allowed.extend(std::mem::take(&mut children).into_iter().map(|child| Allowed::Text(child.key)));
    }
    let range = raw.range.map(|r| (r.min.unwrap_or(f64::NEG_INFINITY), r.max.unwrap_or(f64::INFINITY)));
    KeySpec { key: raw.key, kind, required: raw.required, is_element: raw.element, allowed, range, children }
}

#[derive(Deserialize, Default)]
struct RawFile<'a> {
    #[serde(borrow)]
    commands: Vec<RawCommand<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawCommand<'a> {
    request_type: &'a str,
    #[serde(borrow)]
    channels: BTreeMap<&'a str, Vec<&'a str>>,
    #[serde(borrow)]
    supervised: BTreeMap<&'a str, bool>,
    #[serde(borrow)]
    os: BTreeMap<&'a str, RawOs<'a>>,
    access_rights_bits: Vec<u32>,
    #[serde(borrow, default)]
    keys: Vec<RawKey<'a>>,
    #[serde(borrow, default)]
    response_keys: Vec<RawKey<'a>>,
}

#[derive(Deserialize)]
struct RawOs<'a> {
    introduced: Option<&'a str>,
    removed: Option<&'a str>,
    #[serde(default)]
    requiresdep: bool,
}

#[derive(Deserialize)]
pub(super) struct RawKey<'a> {
    key: &'a str,
    #[serde(rename = "type")]
    kind: RawKind,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    element: bool,
    #[serde(borrow, default, rename = "enum")]
    allowed: Vec<RawAllowed<'a>>,
    range: Option<RawRange>,
    #[serde(borrow, default)]
    keys: Vec<RawKey<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawKind {
    String,
    Integer,
    Real,
    Boolean,
    Date,
    Data,
    Array,
    Dictionary,
    Any,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawAllowed<'a> {
    Text(&'a str),
    Number(i64),
}

#[derive(Deserialize)]
struct RawRange {
    min: Option<f64>,
    max: Option<f64>,
}
