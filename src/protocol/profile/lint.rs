//! What looks wrong about a configuration profile, and on which devices it can be installed, by Apple's payload catalogue.
//!
//! Called by `service::library` for what people upload, and before a profile goes to a channel. It advises: a payload newer than the
//! catalogue is handed out all the same. Not here: whether it is a profile at all (`settings`).

use super::settings::{accounts, is_account};
use crate::plist::{Dictionary, Value};
use crate::protocol::catalogue::{self, Certainty, PayloadSpec, Platform, SystemSpec};

/// Findings about one profile; the first say enough.
const MOST: usize = 60;

/// One thing that looks wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// Key path such as `PayloadContent.0.SSID_STR`; empty for the profile as a whole.
    pub path: String,
    pub words: String,
    /// A device will refuse the profile, or do something else than is meant.
    pub serious: bool,
}

/// Where a profile may go: who asks, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The systems whose rules hold there; none if that is not known yet.
    pub systems: &'a [Platform],
    pub by_user: bool,
    pub os_version: Option<&'a str>,
    pub supervised: Option<bool>,
}

/// Everything that looks wrong, most important first.
pub fn lint(profile: &Dictionary) -> Vec<Doubt> {
    let mut found = Vec::new();
    for finding in catalogue::check_top_level(profile) {
        let serious = finding.certainty() == Certainty::Wrong;
        found.push(Doubt { path: finding.path.clone(), words: finding.to_string(), serious });
    }
    let payloads = payloads(profile);
    for (at, payload) in &payloads {
        one(*at, payload, profile, &mut found);
    }
    twice(&payloads, profile, &mut found);
    several(&payloads, &mut found);
    found.sort_by_key(|doubt| !doubt.serious);
    found.truncate(MOST);
    found
}

fn payloads(profile: &Dictionary) -> Vec<(usize, &Dictionary)> {
    let content = profile.get("PayloadContent").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    content.iter().enumerate().filter_map(|(at, payload)| Some((at, payload.as_dictionary()?))).collect()
}

fn text<'a>(dict: &'a Dictionary, key: &str) -> &'a str {
    dict.get(key).and_then(Value::as_string).unwrap_or_default()
}

fn one(at: usize, payload: &Dictionary, profile: &Dictionary, found: &mut Vec<Doubt>) {
    let place = |key: &str| format!("PayloadContent.{at}{}{key}", if key.is_empty() { "" } else { "." });
    let kind = text(payload, "PayloadType");
    match catalogue::check_payload(kind, payload) {
        None => found.push(Doubt {
            path: place(""),
            words: format!("{kind} is no payload that Apple's schema knows; it is handed out as it is, unchecked"),
            serious: false,
        }),
        Some(findings) => found.extend(findings.into_iter().map(|finding| Doubt {
            serious: finding.certainty() == Certainty::Wrong,
            path: place(&finding.path),
            words: format!("{kind}: {finding}"),
        })),
    }
    for key in clear_secrets(payload, "") {
        let words = format!(
            "{kind}: {key} stands in clear, the same for everybody who gets the profile; a variable or a certificate keeps it apart"
        );
        found.push(Doubt { path: place(&key), words, serious: false });
    }
    let specs = catalogue::find_payloads(kind);
    let by_user = specs.iter().any(|spec| spec.systems.iter().any(|system| system.user_channel));
    let by_device = specs.iter().any(|spec| spec.systems.iter().any(|system| system.device_channel));
    match text(profile, "PayloadScope") {
        "User" if !specs.is_empty() && !by_user => found.push(Doubt {
            path: String::from("PayloadScope"),
            words: format!("says User, but {kind} is for devices only"),
            serious: true,
        }),
        "System" if !specs.is_empty() && !by_device => found.push(Doubt {
            path: String::from("PayloadScope"),
            words: format!("says System, but {kind} is for users only"),
            serious: true,
        }),
        _ => {}
    }
}

/// Key paths of passwords and the like that have a value of their own, not a variable's.
fn clear_secrets(dict: &Dictionary, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (key, value) in dict {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match value {
            Value::String(value) if catalogue::is_password(key) && !value.is_empty() && !value.contains("{{") => {
                found.push(path);
            }
            Value::Dictionary(inner) => found.extend(clear_secrets(inner, &path)),
            _ => {}
        }
    }
    found
}

/// Ids that must be there once.
fn twice(payloads: &[(usize, &Dictionary)], profile: &Dictionary, found: &mut Vec<Doubt>) {
    for key in ["PayloadUUID", "PayloadIdentifier"] {
        let mut seen = vec![text(profile, key)];
        for (at, payload) in payloads {
            let id = text(payload, key);
            if !id.is_empty() && seen.contains(&id) {
                found.push(Doubt {
                    path: format!("PayloadContent.{at}.{key}"),
                    words: format!("{key} {id} is there twice; a device refuses such a profile"),
                    serious: true,
                });
            }
            seen.push(id);
        }
    }
}

/// Payloads of which there should be one.
fn several(payloads: &[(usize, &Dictionary)], found: &mut Vec<Doubt>) {
    let kinds: Vec<&str> = payloads.iter().map(|(_, payload)| text(payload, "PayloadType")).collect();
    let count = accounts(kinds.iter().copied());
    if count > 1 {
        let named: Vec<&str> = kinds.iter().copied().filter(|kind| is_account(kind)).collect();
        found.push(Doubt {
            path: String::new(),
            words: format!(
                "it sets up {count} accounts ({}); make a profile for each, so that one can be changed, removed or get a new certificate \
                 or password without the others, whose passwords would all have to be known and sent again; in the library, `cordon profile \
                 split` does that",
                named.join(", ")
            ),
            serious: false,
        });
    }
    for (at, kind) in kinds.iter().enumerate() {
        let specs = catalogue::find_payloads(kind);
        if kinds[..at].contains(kind) && specs.len() == 1 && specs.iter().all(|spec| !spec.multiple) {
            let words = format!("{kind} is there more than once; a device takes one of it");
            found.push(Doubt { path: format!("PayloadContent.{at}"), words, serious: true });
        }
    }
}

/// For which systems all payloads of a profile are, in words; `None` where nothing of it is known.
pub fn fits(types: &[String]) -> Option<String> {
    let specs: Vec<Vec<PayloadSpec>> =
        types.iter().map(|kind| catalogue::find_payloads(kind)).filter(|specs| !specs.is_empty()).collect();
    if specs.is_empty() {
        return None;
    }
    let all =
        [Platform::IOs, Platform::SharedIpad, Platform::MacOs, Platform::TvOs, Platform::VisionOs, Platform::WatchOs];
    let mut words = Vec::new();
    for platform in all {
        let takes = |wanted: fn(&SystemSpec) -> bool| {
            specs.iter().all(|variants| variants.iter().any(|spec| spec.system(platform).is_some_and(wanted)))
        };
        let channels = match (takes(|s| s.device_channel), takes(|s| s.user_channel)) {
            (true, true) => "device and user",
            (true, false) => "device",
            (false, true) => "user",
            (false, false) => continue,
        };
        let supervised = specs.iter().all(|v| v.iter().all(|s| s.system(platform).is_some_and(|s| s.supervised)));
        words.push(format!("{} ({channels}{})", platform.name(), if supervised { ", supervised" } else { "" }));
    }
    Some(if words.is_empty() { String::from("no system takes all of it on one channel") } else { words.join(", ") })
}

/// Why a profile with these payloads cannot be installed there; `None` where nothing speaks against it.
pub fn unfit(types: &[String], place: &Place<'_>) -> Option<String> {
    if place.systems.is_empty() {
        return None;
    }
    types.iter().find_map(|kind| {
        let specs = catalogue::find_payloads(kind);
        let variants = place.systems.iter().flat_map(|system| specs.iter().filter_map(|spec| spec.system(*system)));
        let mut why = None;
        let mut any = specs.is_empty();
        for system in variants {
            match against(system, place) {
                None => return None,
                Some(words) => why = why.or(Some(words)),
            }
            any = true;
        }
        match (any, why) {
            (true, None) => None,
            (true, Some(words)) => Some(format!("{kind} {words}")),
            (false, _) => Some(format!("{kind} is not for {}", place.systems.first().map_or("it", |s| s.name()))),
        }
    })
}

fn against(system: &SystemSpec, place: &Place<'_>) -> Option<String> {
    let taken = if place.by_user { system.user_channel } else { system.device_channel };
    if !taken {
        let other = if place.by_user { "the device itself" } else { "its users" };
        return Some(format!("is for {other} only on {}", system.platform.name()));
    }
    let version = place.os_version.map(catalogue::version);
    if let (Some(version), Some(since)) = (&version, system.since)
        && *version < catalogue::version(since)
    {
        return Some(format!("needs {} {since}", system.platform.name()));
    }
    if let (Some(version), Some(removed)) = (&version, system.removed)
        && *version >= catalogue::version(removed)
    {
        return Some(format!("is gone since {} {removed}", system.platform.name()));
    }
    (system.supervised && place.supervised == Some(false)).then(|| String::from("needs supervision"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dict(pairs: &[(&str, Value)]) -> Dictionary {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    }

    fn payload(kind: &str, id: &str, more: &[(&str, Value)]) -> Value {
        let mut payload = dict(more);
        for (key, text) in [("PayloadType", kind), ("PayloadIdentifier", id), ("PayloadUUID", id)] {
            payload.insert(key.to_owned(), text.into());
        }
        payload.insert(String::from("PayloadVersion"), 1.into());
        Value::Dictionary(payload)
    }

    fn profile(payloads: Vec<Value>, more: &[(&str, Value)]) -> Dictionary {
        let mut all = dict(more);
        let Value::Dictionary(own) = payload("Configuration", "top", &[]) else { unreachable!() };
        all.extend(own);
        all.insert(String::from("PayloadContent"), Value::Array(payloads));
        all
    }

    fn words(profile: &Dictionary) -> Vec<String> {
        lint(profile).into_iter().map(|d| format!("{} {}: {}", u8::from(d.serious), d.path, d.words)).collect()
    }

    #[test]
    fn a_good_profile_has_no_doubts() {
        let wifi = payload("com.apple.wifi.managed", "a", &[("SSID_STR", "School".into()), ("AutoJoin", true.into())]);
        assert_eq!(words(&profile(vec![wifi], &[])), Vec::<String>::new());
    }

    #[test]
    fn each_doubt_is_named_and_placed() {
        let wifi = |more: &[(&str, Value)]| payload("com.apple.wifi.managed", "a", more);
        let cases: [(Dictionary, &str); 11] = [
            (
                profile(vec![wifi(&[("SSID", "x".into())])], &[]),
                "0 PayloadContent.0.SSID: com.apple.wifi.managed: SSID: not a known key",
            ),
            (
                profile(vec![wifi(&[("AutoJoin", "yes".into())])], &[]),
                "1 PayloadContent.0.AutoJoin: com.apple.wifi.managed: AutoJoin: not of type boolean",
            ),
            (profile(vec![wifi(&[("EncryptionType", "WPA9".into())])], &[]), "not one of WEP, WPA"),
            (
                profile(vec![wifi(&[("Password", "secret".into())])], &[]),
                "0 PayloadContent.0.Password: com.apple.wifi.managed: Password stands in clear",
            ),
            (profile(vec![payload("com.example.new", "a", &[])], &[]), "no payload that Apple's schema knows"),
            (profile(vec![wifi(&[]), wifi(&[])], &[]), "1 PayloadContent.1.PayloadUUID: PayloadUUID a is there twice"),
            (profile(vec![wifi(&[])], &[("PayloadScope", "User".into())]), "0"),
            (
                profile(vec![payload("com.apple.loginwindow", "a", &[])], &[("PayloadScope", "User".into())]),
                "1 PayloadScope: says User",
            ),
            (profile(vec![wifi(&[])], &[("Colour", "red".into())]), "0 Colour: Colour: not a known key"),
            (
                profile(
                    vec![payload("com.apple.mail.managed", "a", &[]), payload("com.apple.caldav.account", "b", &[])],
                    &[],
                ),
                "it sets up 2 accounts (com.apple.mail.managed, com.apple.caldav.account)",
            ),
            (
                profile(
                    vec![
                        payload("com.apple.homescreenlayout", "a", &[]),
                        payload("com.apple.homescreenlayout", "b", &[]),
                    ],
                    &[],
                ),
                "1 PayloadContent.1: com.apple.homescreenlayout is there more than once",
            ),
        ];
        for (profile, wanted) in cases {
            let found = words(&profile);
            assert!(wanted == "0" || found.iter().any(|f| f.contains(wanted)), "{wanted} in {found:#?}");
        }
        let variable = wifi(&[("Password", "{{user.wifi}}".into())]);
        assert_eq!(words(&profile(vec![variable], &[])), Vec::<String>::new());
    }

    #[test]
    fn where_it_fits() {
        let types = |all: &[&str]| all.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        let on = |platform: &'static [Platform], by_user, os_version, supervised| Place {
            systems: platform,
            by_user,
            os_version,
            supervised,
        };
        let mac = on(&[Platform::MacOs], false, Some("15.1"), None);
        let ipad = on(&[Platform::IOs, Platform::SharedIpad], false, Some("17.2"), Some(false));
        let table = [
            ("com.apple.wifi.managed", mac, None),
            ("com.apple.dock", mac, None),
            ("com.apple.dock", ipad, Some("com.apple.dock is not for iOS")),
            ("com.apple.mail.managed", mac, Some("com.apple.mail.managed is for its users only on macOS")),
            ("com.apple.mail.managed", Place { by_user: true, ..mac }, None),
            (
                "com.apple.loginwindow",
                Place { by_user: true, ..mac },
                Some("com.apple.loginwindow is for the device itself only on macOS"),
            ),
            ("com.apple.homescreenlayout", ipad, Some("com.apple.homescreenlayout needs supervision")),
            ("com.apple.homescreenlayout", Place { supervised: Some(true), ..ipad }, None),
            ("com.apple.homescreenlayout", Place { supervised: None, ..ipad }, None),
            (
                "com.apple.relay.managed",
                Place { os_version: Some("16.7.2"), ..ipad },
                Some("com.apple.relay.managed needs iOS 17.0"),
            ),
            ("com.apple.relay.managed", Place { os_version: None, ..ipad }, None),
            (
                "com.apple.AIM.account",
                Place { by_user: true, ..mac },
                Some("com.apple.AIM.account is gone since macOS 10.14"),
            ),
            ("com.example.new", ipad, None),
        ];
        for (kind, place, wanted) in table {
            assert_eq!(unfit(&types(&[kind]), &place).as_deref(), wanted, "{kind}");
        }
        assert_eq!(
            fits(&types(&["com.apple.loginwindow", "com.apple.wifi.managed"])).as_deref(),
            Some("macOS (device)")
        );
        assert!(fits(&types(&["com.apple.dock", "com.apple.homescreenlayout"])).unwrap().contains("no system"));
        assert_eq!(fits(&types(&["com.example"])), None);
    }
}
