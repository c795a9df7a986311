//! Apple's command catalogue (schema of iOS 18.1 / macOS 15.1): which commands there are, on which channel, with which keys.
//!
//! Called by `service::commands`, the API and the command line. It advises: a raw command that the catalogue does not know can
//! still be sent, as Apple adds keys every year. The embedded JSON is parsed on first use into some 150 KB.

mod args;
mod check;
mod json;
mod payload;
mod schema;
mod secrets;

pub use args::build;
pub use check::{Certainty, Finding, Problem, check};
pub use json::{from_json, to_json};
pub use payload::{
    PayloadSpec, SystemSpec, build_payload, check_payload, check_top_level, find_payloads, payload_from_json,
    payload_types,
};
pub use secrets::{is_password, secret_kind};

use std::fmt;
use std::sync::OnceLock;

/// One command.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandSpec {
    /// Apple's `RequestType`.
    pub request_type: &'static str,
    /// Where it can be sent; a platform that is not listed does not know it.
    pub platforms: Vec<PlatformSpec>,
    /// AccessRights bits that the enrolment must have; 0 for none (DeviceInformation: by query).
    pub rights: u32,
    /// Keys beside `RequestType`.
    pub keys: Vec<KeySpec>,
    /// Keys of the result.
    pub response_keys: Vec<KeySpec>,
}

impl CommandSpec {
    /// How this platform takes the command, if it does at all.
    pub fn platform(&self, platform: Platform) -> Option<&PlatformSpec> {
        self.platforms.iter().find(|spec| spec.platform == platform)
    }

    /// Whether one of these platforms takes it on a device's own channel, or on a user's.
    pub fn is_taken(&self, platforms: &[Platform], by_user: bool) -> bool {
        let takes = |spec: &PlatformSpec| if by_user { spec.user_channel } else { spec.device_channel };
        platforms.iter().any(|platform| self.platform(*platform).is_some_and(takes))
    }
}

/// Apple's platforms; Shared iPad is one of its own here because its channels differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Platform {
    IOs,
    SharedIpad,
    MacOs,
    TvOs,
    VisionOs,
    WatchOs,
}

impl Platform {
    /// Apple's name.
    pub fn name(self) -> &'static str {
        match self {
            Platform::IOs => "iOS",
            Platform::SharedIpad => "Shared iPad",
            Platform::MacOs => "macOS",
            Platform::TvOs => "tvOS",
            Platform::VisionOs => "visionOS",
            Platform::WatchOs => "watchOS",
        }
    }
}

/// How one platform takes a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlatformSpec {
    pub platform: Platform,
    pub device_channel: bool,
    pub user_channel: bool,
    pub supervised: bool,
    /// First version that takes it, and first that does not any more.
    pub since: Option<&'static str>,
    pub removed: Option<&'static str>,
    /// Only on devices of Automated Device Enrolment.
    pub automated: bool,
}

/// One key of a command or of its result.
#[derive(Debug, Clone, PartialEq)]
pub struct KeySpec {
    /// The wire key; a placeholder for elements of arrays and for `ANY …`.
    pub key: &'static str,
    pub kind: Kind,
    pub required: bool,
    /// Child of an array; several such children are alternatives.
    pub is_element: bool,
    /// The only values allowed, if any are listed.
    pub allowed: Vec<Allowed>,
    /// Smallest and largest number.
    pub range: Option<(f64, f64)>,
    pub children: Vec<KeySpec>,
}

impl KeySpec {
    fn is_any(&self) -> bool {
        self.key == "ANY" || self.key.starts_with("ANY ")
    }

    fn elements(&self) -> impl Iterator<Item = &KeySpec> {
        self.children.iter().filter(|child| child.is_element)
    }

    /// The only element, or the alternative whose `Item` allows `item` (as in Settings).
    fn element(&self, item: Option<&str>) -> Option<&KeySpec> {
        let mut all = self.elements();
        match (all.next(), all.next()) {
            (Some(only), None) => Some(only),
            _ => self
                .elements()
                .find(|e| child(&e.children, "Item").is_some_and(|i| item.is_some_and(|text| i.allows_text(text)))),
        }
    }

    fn allows_text(&self, text: &str) -> bool {
        self.allowed.iter().any(|allowed| matches!(allowed, Allowed::Text(t) if *t == text))
    }
}

/// The key of this name among `keys`, or the one that stands for any name.
fn child<'a>(keys: &'a [KeySpec], name: &str) -> Option<&'a KeySpec> {
    keys.iter().find(|key| !key.is_element && key.key == name).or_else(|| keys.iter().find(|key| key.is_any()))
}

/// Type of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Integer,
    Real,
    Boolean,
    Date,
    Data,
    Array,
    Dictionary,
    Any,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Text => "string",
            Kind::Integer => "integer",
            Kind::Real => "number",
            Kind::Boolean => "boolean",
            Kind::Date => "date",
            Kind::Data => "data",
            Kind::Array => "array",
            Kind::Dictionary => "dictionary",
            Kind::Any => "value",
        })
    }
}

/// A value that a key may have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Allowed {
    Text(&'static str),
    Number(i64),
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Allowed::Text(text) => f.write_str(text),
            Allowed::Number(number) => write!(f, "{number}"),
        }
    }
}

/// The command of this `RequestType`, spelled exactly.
pub fn find(request_type: &str) -> Option<&'static CommandSpec> {
    list().iter().find(|spec| spec.request_type == request_type)
}

/// All commands, by name.
pub fn list() -> &'static [CommandSpec] {
    static PARSED: OnceLock<Vec<CommandSpec>> = OnceLock::new();
    PARSED.get_or_init(schema::read)
}

/// A system's version, so that two can be compared; what is no number counts as 0.
pub fn version(text: &str) -> [u32; 4] {
    let mut parts = [0; 4];
    for (part, number) in parts.iter_mut().zip(text.split('.')) {
        *part = number.trim().parse().unwrap_or(0);
    }
    parts
}

/// Why text or JSON cannot become the keys of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgError {
    /// Key path such as `Options.PurchaseMethod`.
    pub path: String,
    pub fault: ArgFault,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArgFault {
    UnknownRequestType,
    UnknownPayload,
    /// With the keys that are known there.
    UnknownKey(Vec<&'static str>),
    Expected(Kind),
    /// Given twice where one value goes.
    Repeated,
    /// Both `A=` and `A.B=`.
    Mixed,
    /// No known alternative; with the names that are (`Item` of Settings).
    UnknownItem(Vec<&'static str>),
    TooMuch,
}

impl fmt::Display for ArgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match &self.fault {
            ArgFault::UnknownRequestType => write!(f, "{path} is not a known RequestType"),
            ArgFault::UnknownPayload => write!(f, "{path} is not a known PayloadType"),
            ArgFault::UnknownKey(known) if known.is_empty() => {
                write!(f, "{path}: there is no such key, and no other here")
            }
            ArgFault::UnknownKey(known) => write!(f, "{path}: there is no such key; known: {}", known.join(", ")),
            ArgFault::Expected(Kind::Data) => write!(f, "{path}: not data in base64"),
            ArgFault::Expected(Kind::Date) => write!(f, "{path}: not a date such as 2026-09-01T07:30:00Z"),
            ArgFault::Expected(Kind::Boolean) => write!(f, "{path}: neither true nor false"),
            ArgFault::Expected(Kind::Dictionary) => {
                write!(f, "{path}: a dictionary: give its keys as {path}.KEY=VALUE")
            }
            ArgFault::Expected(kind) => write!(f, "{path}: not of type {kind}"),
            ArgFault::Repeated => write!(f, "{path}: given more than once"),
            ArgFault::Mixed => write!(f, "{path}: has both a value and keys of its own"),
            ArgFault::UnknownItem(known) => {
                write!(f, "{path}: the Item is missing or unknown; known: {}", known.join(", "))
            }
            ArgFault::TooMuch => write!(f, "{path}: too many or too deeply nested values"),
        }
    }
}

impl std::error::Error for ArgError {}

fn arg_error(path: &str, fault: ArgFault) -> ArgError {
    ArgError { path: super::clip(path, 256), fault }
}

/// `a.b`, or `b` at the top.
fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_schema_is_read() {
        assert_eq!(list().len(), 66);
        assert!(list().windows(2).all(|pair| pair[0].request_type < pair[1].request_type));
        fn count(keys: &[KeySpec]) -> usize {
            keys.iter().map(|key| 1 + count(&key.children)).sum()
        }
        let keys: usize = list().iter().map(|c| count(&c.keys) + count(&c.response_keys)).sum();
        // 892 nodes, one tether key per command more, and the children of two scalars became allowed values.
        assert!((850..=958).contains(&keys), "{keys}");
    }

    #[test]
    fn commands_know_their_channels() {
        use Platform::{IOs, MacOs, SharedIpad};
        // Command; device channel and user channel of a Mac, of a Shared iPad; device channel of any other iPad.
        let table = [
            ("InstallProfile", true, true, true, true, true),
            ("RemoveProfile", true, true, true, true, true),
            ("ProfileList", true, true, true, true, true),
            ("DeviceInformation", true, true, true, true, true),
            ("Settings", true, true, true, true, true),
            ("DeviceLock", true, false, true, false, true),
            ("EraseDevice", true, false, true, false, true),
            ("AccountConfiguration", true, false, false, false, false),
            ("DeviceConfigured", true, false, true, false, true),
            ("UserConfigured", false, false, false, true, true),
            ("Restrictions", false, false, true, true, true),
            ("LogOutUser", false, false, true, false, false),
            ("UserList", true, false, true, false, false),
        ];
        for (name, mac, mac_user, shared, shared_user, ipad) in table {
            let spec = find(name).unwrap();
            let found = [
                spec.is_taken(&[MacOs], false),
                spec.is_taken(&[MacOs], true),
                spec.is_taken(&[SharedIpad], false),
                spec.is_taken(&[SharedIpad], true),
                spec.is_taken(&[IOs], false),
            ];
            assert_eq!(found, [mac, mac_user, shared, shared_user, ipad], "{name}");
            assert!(!spec.is_taken(&[IOs], true), "{name}: an iPad that is not shared has no user channel");
        }
    }

    #[test]
    fn what_the_schema_says_of_some_commands() {
        let lock = find("DeviceLock").unwrap();
        assert_eq!(lock.rights, 4);
        assert!(lock.platform(Platform::TvOs).is_none());
        let mac = lock.platform(Platform::MacOs).unwrap();
        assert!(mac.device_channel && !mac.user_channel && !mac.supervised);
        let install = find("InstallProfile").unwrap();
        assert!(install.platform(Platform::SharedIpad).unwrap().user_channel);
        assert!(child(&install.keys, "Payload").is_some_and(|k| k.required && k.kind == Kind::Data));
        assert!(find("RestartDevice").unwrap().platform(Platform::IOs).unwrap().supervised);
        assert!(find("devicelock").is_none());
        let queries = child(&find("DeviceInformation").unwrap().keys, "Queries").unwrap();
        assert!(queries.element(None).unwrap().allows_text("SerialNumber"));
        let settings = child(&find("Settings").unwrap().keys, "Settings").unwrap();
        assert_eq!(settings.element(Some("DeviceName")).unwrap().key, "DeviceName");
        assert!(settings.element(None).is_none());
    }
}
