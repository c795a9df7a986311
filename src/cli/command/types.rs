//! `cordon command types`: Apple's command catalogue, as it is compiled in. Asks no server.

use super::plan::Plan;
use crate::cli::failure::Failure;
use crate::cli::table::Table;
use crate::cli::voice::Voice;
use crate::protocol::catalogue::{self, CommandSpec, KeySpec, Kind, PlatformSpec};
use serde_json::{Value, json};

/// Values shown of a long list.
const SHOWN_VALUES: usize = 12;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon command types
  cordon command types DeviceLock
  cordon command types Settings --json")]
pub struct Args {
    /// Show the keys of this command
    #[arg(value_name = "REQUESTTYPE")]
    request_type: Option<String>,
}

pub fn run(args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.request_type {
        None => {
            let items: Vec<Value> = catalogue::list().iter().map(summary).collect();
            voice.show(&json!({ "items": items, "next_cursor": null }), all)
        }
        Some(name) => {
            // The plan of a misspelt name is its explanation.
            let Some(spec) = catalogue::find(name) else { return Plan::from_pairs(name, &[]).map(|_| ()) };
            let mut data = summary(spec);
            data["keys"] = spec.keys.iter().map(key_json).collect();
            voice.show(&data, || one(spec))
        }
    }
}

fn summary(spec: &CommandSpec) -> Value {
    let platform = |p: &PlatformSpec| json!({ "platform": p.platform.name(), "device_channel": p.device_channel, "user_channel": p.user_channel, "supervised": p.supervised });
    json!({ "request_type": spec.request_type, "platforms": spec.platforms.iter().map(platform).collect::<Vec<_>>() })
}

fn key_json(key: &KeySpec) -> Value {
    json!({
        "key": key.key,
        "type": key.kind.to_string(),
        "required": key.required,
        "element": key.is_element,
        "allowed": key.allowed.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "keys": key.children.iter().map(key_json).collect::<Vec<_>>(),
    })
}

fn all() -> String {
    let mut table = Table::new(&["REQUESTTYPE", "PLATFORMS", "KEYS"]);
    for spec in catalogue::list() {
        let keys: Vec<&str> = spec.keys.iter().filter(|key| key.required).map(|key| key.key).collect();
        table.row([spec.request_type.to_owned(), platforms(spec), keys.join(", ")]);
    }
    table.render()
}

fn platforms(spec: &CommandSpec) -> String {
    spec.platforms.iter().map(|p| p.platform.name()).collect::<Vec<_>>().join(", ")
}

fn one(spec: &CommandSpec) -> String {
    let mut text = format!("{}\n", spec.request_type);
    for p in &spec.platforms {
        let channel = match (p.device_channel, p.user_channel) {
            (true, true) => "device or user",
            (false, true) => "user only",
            _ => "device",
        };
        let supervised = if p.supervised { ", supervised only" } else { "" };
        text.push_str(&format!("  {}: {channel}{supervised}\n", p.platform.name()));
    }
    let mut table = Table::new(&["KEY", "TYPE", "", "VALUES"]);
    add_keys(&mut table, &spec.keys, "");
    text.push('\n');
    text.push_str(&table.render());
    text
}

fn add_keys(table: &mut Table, keys: &[KeySpec], above: &str) {
    for key in keys {
        // Elements of an array have no name of their own on the command line.
        let path = if key.is_element { format!("{above}.N") } else { join(above, key.key) };
        let is_group = matches!(key.kind, Kind::Array | Kind::Dictionary) && !key.children.is_empty();
        let needed = if key.required { "required" } else { "" };
        table.row([path.clone(), key.kind.to_string(), needed.to_owned(), values(key)]);
        if is_group {
            add_keys(table, &key.children, &path);
        }
    }
}

fn join(above: &str, key: &str) -> String {
    if above.is_empty() { key.to_owned() } else { format!("{above}.{key}") }
}

fn values(key: &KeySpec) -> String {
    let mut shown: Vec<String> = key.allowed.iter().take(SHOWN_VALUES).map(ToString::to_string).collect();
    if key.allowed.len() > SHOWN_VALUES {
        shown.push(format!("… ({} in all; --json shows them)", key.allowed.len()));
    }
    match key.range {
        Some((min, max)) if min.is_finite() && max.is_finite() => shown.push(format!("{min} to {max}")),
        Some((min, _)) if min.is_finite() => shown.push(format!("from {min}")),
        Some((_, max)) if max.is_finite() => shown.push(format!("up to {max}")),
        _ => {}
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::reach::fake::heard;

    #[test]
    fn the_catalogue_in_both_forms() {
        let all = Args { request_type: None };
        let (_, out, _) = heard(false, |voice| run(&all, voice));
        assert!(out.lines().count() > 60 && out.contains("DeviceLock"), "{out}");
        let (_, out, _) = heard(true, |voice| run(&all, voice));
        assert_eq!(
            serde_json::from_str::<Value>(&out).unwrap()["items"].as_array().unwrap().len(),
            catalogue::list().len()
        );
        let lock = Args { request_type: Some("DeviceLock".into()) };
        let (_, out, _) = heard(false, |voice| run(&lock, voice));
        assert!(out.contains("PIN") && out.contains("macOS: device"), "{out}");
        let (_, out, _) = heard(true, |voice| run(&lock, voice));
        assert!(
            serde_json::from_str::<Value>(&out).unwrap()["keys"]
                .as_array()
                .unwrap()
                .iter()
                .any(|key| key["key"] == "PIN")
        );
        let (done, ..) = heard(false, |voice| run(&Args { request_type: Some("devicelock".into()) }, voice));
        assert!(done.unwrap_err().detail.contains("Did you mean DeviceLock?"));
    }
}
