//! `cordon profile build`, `payloads`, `lint`, `versions`, `diff`: what is inside a configuration profile.

use super::command::plan::{pair, with_file};
use super::failure::Failure;
use super::files;
use super::library::advise;
use super::moment::told_field;
use super::nearest::nearest;
use super::profile::path;
use super::reach::{Api, Call};
use super::table::{Table, cell, field};
use super::voice::Voice;
use crate::base::limits::MAX_COMMAND;
use crate::plist::parse_dict;
use crate::protocol::catalogue::{self, KeySpec, PayloadSpec};
use crate::protocol::profile::{self, Cover, Part};
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon profile build com.apple.wifi.managed SSID_STR=School EncryptionType=WPA2 Password={{device.wifi}} --id school.wifi
  cordon profile build com.apple.mail.managed EmailAccountType=EmailTypeIMAP EmailAddress={{user.mail}} --id school.mail --name Mail
  cordon profile build com.apple.webClip.managed URL=https://school.example Label=School Icon=@icon.png --id school.web --output web.mobileconfig

A repeated KEY makes a list; A.B=VALUE goes inside A; A.0.B=VALUE counts elements; @FILE is read where data belongs.
`cordon profile payloads TYPE` shows the keys. {{user.mail}} and the like are filled in for each device.")]
pub struct BuildArgs {
    /// PayloadType
    #[arg(value_name = "TYPE")]
    kind: String,
    /// Apple's keys
    #[arg(value_name = "KEY=VALUE", value_parser = pair)]
    pairs: Vec<(String, String)>,
    /// PayloadIdentifier: its name on devices
    #[arg(long, value_name = "IDENTIFIER")]
    id: String,
    /// What people call it [default: the identifier]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Write it to a file instead of adding it to the library
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon profile payloads
  cordon profile payloads com.apple.wifi.managed
  cordon profile payloads --json")]
pub struct PayloadsArgs {
    /// Show the keys of this one
    #[arg(value_name = "TYPE")]
    kind: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon profile lint school.wifi
  cordon profile lint --file wifi.mobileconfig")]
pub struct LintArgs {
    /// One of the library, by id or PayloadIdentifier
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    profile: Option<String>,
    /// A file that is not in the library yet
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon profile diff school.wifi
  cordon profile diff school.wifi --from 1 --to 4")]
pub struct DiffArgs {
    /// Its id or PayloadIdentifier
    profile: String,
    /// The older version [default: the one before]
    #[arg(long, value_name = "N")]
    from: Option<i64>,
    /// The newer version [default: the current one]
    #[arg(long, value_name = "N")]
    to: Option<i64>,
}

fn find(kind: &str) -> Result<Vec<PayloadSpec>, Failure> {
    let found = catalogue::find_payloads(kind);
    if found.is_empty() {
        let near = nearest(kind, catalogue::payload_types());
        let near = near.map(|near| format!(" Did you mean {near}?")).unwrap_or_default();
        return Err(Failure::usage(format!("Apple's schema knows no payload {kind}.{near}")));
    }
    Ok(found)
}

pub fn build(api: &dyn Api, args: &BuildArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let specs = find(&args.kind)?;
    let keys: Vec<KeySpec> = specs.into_iter().flat_map(|spec| spec.keys).collect();
    let pairs: Vec<(String, String)> = args
        .pairs
        .iter()
        .map(|(key, value)| Ok((key.clone(), with_file(&keys, key, value)?)))
        .collect::<Result<_, Failure>>()?;
    let keys = catalogue::build_payload(&args.kind, &pairs)
        .map_err(|error| Failure::usage(format!("{error}. `cordon profile payloads {}` shows all keys.", args.kind)))?;
    let cover = Cover { identifier: &args.id, name: args.name.as_deref().unwrap_or(&args.id), organization: None };
    let made = profile::build(&cover, &[Part { payload_type: args.kind.clone(), keys }]);
    if let Some(file) = &args.output {
        files::write_private(file, &made)?; // Wi-Fi passwords stand in it
        let doubts = doubts_of(&made)?;
        voice.show(&json!({ "file": file, "doubts": doubts }), || format!("Written to {}.", file.display()))?;
        for doubt in &doubts {
            voice.advise(doubt["words"].as_str().unwrap_or_default());
        }
        return Ok(());
    }
    let call = Call::post("/api/v1/profiles", "application/x-apple-aspen-config", made);
    let added = api.json(&call.with("name", args.name.as_ref()))?;
    voice
        .show(&added, || format!("{} is there in version {}.", field(&added, "identifier"), cell(&added, "version")))?;
    advise(&added, voice);
    Ok(())
}

fn doubts_of(bytes: &[u8]) -> Result<Vec<Value>, Failure> {
    let facts = profile::read_settings(bytes).map_err(|error| Failure::new("bad-profile", error.to_string()))?;
    let doubts = profile::lint(&facts.plain).into_iter();
    Ok(doubts.map(|d| json!({ "path": d.path, "words": d.words, "serious": d.serious })).collect())
}

pub fn lint(api: &dyn Api, args: &LintArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let items = match (&args.file, &args.profile) {
        (Some(file), _) => {
            let bytes = files::read(file, MAX_COMMAND)?;
            if parse_dict(&bytes).is_err() && bytes.first() != Some(&0x30) {
                return Err(Failure::new("bad-profile", format!("{} is no profile", file.display())));
            }
            doubts_of(&bytes)?
        }
        (None, Some(profile)) => api.list(&Call::get(format!("{}/doubts", path(profile))), None)?.0,
        (None, None) => Vec::new(),
    };
    voice.show(&json!({ "items": items }), || {
        let line = |item: &Value| {
            let sign = if item["serious"] == true { "wrong" } else { "doubtful" };
            format!("{sign}: {}", field(item, "words"))
        };
        if items.is_empty() {
            String::from("Nothing looks wrong.")
        } else {
            items.iter().map(line).collect::<Vec<_>>().join("\n")
        }
    })
}

pub fn list(args: &PayloadsArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let systems = |spec: &PayloadSpec| {
        let one = |s: &catalogue::SystemSpec| {
            let channel = match (s.device_channel, s.user_channel) {
                (true, true) => "",
                (true, false) => " device",
                _ => " user",
            };
            format!("{}{}{channel}", s.platform.name(), s.since.map(|v| format!(" {v}")).unwrap_or_default())
        };
        spec.systems.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let Some(kind) = &args.kind else {
        let all: Vec<PayloadSpec> = catalogue::payload_types().into_iter().flat_map(catalogue::find_payloads).collect();
        let items: Vec<Value> = all.iter().map(|s| json!({ "type": s.payload_type, "systems": systems(s) })).collect();
        return voice.show(&json!({ "items": items }), || {
            let mut table = Table::new(&["TYPE", "SYSTEMS"]);
            for item in &items {
                table.row([cell(item, "type"), cell(item, "systems")]);
            }
            table.render()
        });
    };
    let specs = find(kind)?;
    let mut rows = Vec::new();
    for spec in &specs {
        keys(&spec.keys, "", &mut rows);
    }
    let about: Vec<String> = specs.iter().map(&systems).collect();
    voice.show(&json!({ "type": kind, "systems": about, "keys": rows }), || {
        let mut table = Table::new(&["KEY", "TYPE", "NEEDED", "VALUES"]);
        for row in &rows {
            table.row([cell(row, "key"), cell(row, "type"), cell(row, "needed"), cell(row, "values")]);
        }
        format!("{}\n\n{}", about.join("\n"), table.render())
    })
}

/// Every key by its path, elements of lists under the list's.
fn keys(specs: &[KeySpec], path: &str, rows: &mut Vec<Value>) {
    for spec in specs {
        let path = match (spec.is_element, path.is_empty()) {
            (true, _) => path.to_owned(),
            (false, true) => spec.key.to_owned(),
            (false, false) => format!("{path}.{}", spec.key),
        };
        let values: Vec<String> = spec.allowed.iter().map(ToString::to_string).collect();
        let bounds = spec.range.map(|(min, max)| format!("{min} to {max}")).unwrap_or_default();
        let values = if values.is_empty() { bounds } else { values.join(", ") };
        if !spec.is_element {
            let needed = if spec.required { "yes" } else { "" };
            rows.push(json!({ "key": path, "type": spec.kind.to_string(), "needed": needed, "values": values }));
        }
        keys(&spec.children, &path, rows);
    }
}

pub fn versions(api: &dyn Api, profile: &str, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let (items, next) = api.list(&Call::get(format!("{}/versions", path(profile))), None)?;
    let now = voice.now();
    voice.show(&json!({ "items": items, "next_cursor": next }), || {
        let mut table = Table::new(&["VERSION", "SINCE", "BY", "BYTES", "SHA-256"]);
        for item in &items {
            let short: String = field(item, "sha256").chars().take(16).collect();
            let since = told_field(&item["created_at"], now);
            table.row([cell(item, "version"), since, cell(item, "created_by"), cell(item, "bytes"), short]);
        }
        table.render()
    })
}

pub fn diff(api: &dyn Api, args: &DiffArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let call = Call::get(format!("{}/diff", path(&args.profile)));
    let call = call.with("from", args.from.map(|n| n.to_string())).with("to", args.to.map(|n| n.to_string()));
    let found = api.json(&call)?;
    voice.show(&found, || {
        let line = |change: &Value| {
            let side = |key: &str, sign: &str| {
                change[key].as_str().map(|text| format!("{sign} {}: {text}", field(change, "path")))
            };
            [side("before", "-"), side("after", "+")].into_iter().flatten().collect::<Vec<_>>().join("\n")
        };
        let lines: Vec<String> = found["changes"].as_array().into_iter().flatten().map(line).collect();
        if lines.is_empty() { String::from("Nothing differs.") } else { lines.join("\n") }
    })
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    fn build_args(kind: &str, pairs: &[&str]) -> BuildArgs {
        let pairs = pairs.iter().map(|text| pair(text).unwrap()).collect();
        BuildArgs { kind: kind.into(), pairs, id: "school.wifi".into(), name: None, output: None }
    }

    #[test]
    fn keys_become_a_typed_profile() {
        let fake = Fake::new(|_| (201, json!({ "identifier": "school.wifi", "version": 1, "notes": ["Fine."] })));
        let args = build_args("com.apple.wifi.managed", &["SSID_STR=School", "AutoJoin=yes"]);
        let (done, out, err) = heard(false, |voice| build(&fake, &args, voice));
        assert_eq!(done, Ok(()));
        assert!(out.contains("version 1") && err.contains("Fine."), "{out} {err}");
        let sent = parse_dict(&fake.last().body).unwrap();
        let payload = sent.array("PayloadContent").unwrap()[0].as_dictionary().unwrap().clone();
        assert_eq!(payload.get("AutoJoin").and_then(|v| v.as_boolean()), Some(true));
    }

    #[test]
    fn misspelt_names_are_refused_before_anything_is_sent() {
        let fake = Fake::new(|_| (500, Value::Null));
        let (done, ..) = heard(false, |voice| build(&fake, &build_args("com.apple.wifi.manged", &[]), voice));
        assert!(done.unwrap_err().to_string().contains("com.apple.wifi.managed"));
        let (done, ..) = heard(false, |voice| build(&fake, &build_args("com.apple.wifi.managed", &["Ssid=x"]), voice));
        assert!(done.unwrap_err().to_string().contains("SSID_STR"));
    }

    #[test]
    fn keys_are_listed() {
        let (done, out, _) =
            heard(false, |voice| list(&PayloadsArgs { kind: Some("com.apple.wifi.managed".into()) }, voice));
        assert_eq!(done, Ok(()));
        assert!(out.contains("EAPClientConfiguration.AcceptEAPTypes") && out.contains("WPA3"), "{out}");
        let (_, out, _) = heard(false, |voice| list(&PayloadsArgs { kind: None }, voice));
        assert!(out.contains("com.apple.homescreenlayout"), "{out}");
    }
}
