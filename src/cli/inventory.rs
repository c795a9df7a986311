//! `cordon inventory`: how often devices are asked by themselves what they are and what stands on them, what they told, what changed;
//! and `cordon device export`.

use super::failure::Failure;
use super::moment::told_field;
use super::reach::{Api, Call, escape};
use super::table::{Table, cell, field};
use super::voice::Voice;
use clap::Subcommand;
use serde_json::{Value, json};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// How often devices are asked
    #[command(after_help = "Examples:
  cordon inventory show
  cordon inventory show --json")]
    Show,
    /// Ask more often, more seldom, or never
    Set(SetArgs),
    /// Which devices have an app, a certificate or a profile
    Find(FindArgs),
    /// What stands on one device, as it told it last
    Device(DeviceArgs),
    /// What changed on one device, newest first
    Changes(ChangesArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon inventory find keynote
  cordon inventory find com.apple.Pages --csv > pages.csv
  cordon inventory find 'Hill School' --kind certificate --json")]
struct FindArgs {
    /// Part of a name or identifier; without it, everything
    text: Option<String>,
    #[arg(long, value_name = "KIND", value_parser = ["app", "certificate", "profile", "fact"], default_value = "app")]
    kind: String,
    /// For a spreadsheet
    #[arg(long)]
    csv: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon inventory device DMPXXXXX
  cordon inventory device DMPXXXXX --kind certificate")]
struct DeviceArgs {
    /// Cordon's id, UDID / EnrollmentID, or serial number
    device: String,
    #[arg(long, value_name = "KIND", value_parser = ["app", "certificate", "profile", "fact"], default_value = "app")]
    kind: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon inventory changes DMPXXXXX
  cordon inventory changes DMPXXXXX --limit 500 --json")]
struct ChangesArgs {
    /// Cordon's id, UDID / EnrollmentID, or serial number
    device: String,
    /// Show at most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon device export --csv > devices.csv
  cordon device export --json
  cordon device export --csv --output devices.csv

Every device with what is known of it: names, system, groups, when it was last heard of, how much stands on it. Devices are not asked
by this. `cordon inventory find --csv` does the same for apps.")]
pub struct ExportArgs {
    /// For a spreadsheet; else JSON
    #[arg(long)]
    csv: bool,
    /// Write it into this file
    #[arg(long, value_name = "FILE")]
    output: Option<std::path::PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon inventory set --every-hours 12
  cordon inventory set --lists-every-hours 48
  cordon inventory set --every-hours 0

Each round asks a device for DeviceInformation, SecurityInfo and ProfileList, as far as its enrolment grants the right, and a user's
channel for ProfileList. The answers fill smart groups and bring back profiles that a user took off. Once a week, in the same round, it
is asked for its apps and certificates too. A round wakes a device once. 0 asks nobody.")]
#[group(required = true, multiple = true)]
struct SetArgs {
    /// Hours between two rounds
    #[arg(long, value_name = "HOURS", value_parser = clap::value_parser!(i64).range(0..=720))]
    every_hours: Option<i64>,
    /// Hours between two rounds that ask for apps and certificates too
    #[arg(long, value_name = "HOURS", value_parser = clap::value_parser!(i64).range(0..=720))]
    lists_every_hours: Option<i64>,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::Show => policy(api, &Call::get("/api/v1/inventory-policy"), voice),
        Verb::Set(args) => {
            let said = [("every_hours", args.every_hours), ("lists_every_hours", args.lists_every_hours)];
            let wish = said.into_iter().filter_map(|(key, hours)| Some((key.to_owned(), json!(hours?)))).collect();
            policy(api, &Call::patch_json("/api/v1/inventory-policy", &Value::Object(wish)), voice)
        }
        Verb::Find(args) => find(api, args, voice),
        Verb::Device(args) => {
            let target = format!("/api/v1/devices/{}/inventory?kind={}", escape(&args.device), args.kind);
            let (items, next) = api.list(&Call::get(target), None)?;
            voice.show(&json!({ "items": items, "next_cursor": next }), || things(&items, false))
        }
        Verb::Changes(args) => changes(api, args, voice),
    }
}

fn policy(api: &dyn Api, call: &Call, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let policy = api.json(call)?;
    voice.show(&policy, || match policy["every_hours"].as_i64() {
        Some(0) => String::from("Devices are not asked by themselves."),
        hours => {
            let lists = match policy["lists_every_hours"].as_i64() {
                Some(0) | None => String::from("For apps and certificates it is not asked."),
                Some(hours) => format!("For its apps and certificates it is asked every {hours} hours."),
            };
            let hours = hours.unwrap_or_default();
            format!("Every {hours} hours each device is asked what it is and what stands on it. {lists}")
        }
    })
}

fn find(api: &dyn Api, args: &FindArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let call = Call::get("/api/v1/inventory").with("kind", Some(&args.kind)).with("search", args.text.as_ref());
    if args.csv {
        return voice.data(&api.bytes(&call.with("format", Some("csv")))?);
    }
    let (items, next) = api.list(&call, None)?;
    voice.show(&json!({ "items": items, "next_cursor": next }), || things(&items, true))?;
    if items.is_empty() {
        voice.advise("No device has told of such a thing. They are asked on a cadence: cordon inventory show");
    }
    Ok(())
}

fn things(items: &[Value], with_device: bool) -> String {
    let mut table = match with_device {
        true => Table::new(&["DEVICE", "NAME", "VALUE", "IDENTIFIER", "SINCE"]),
        false => Table::new(&["NAME", "VALUE", "IDENTIFIER", "SINCE"]),
    };
    for item in items {
        let names = ["device_name", "serial", "device"];
        let device = names.into_iter().map(|key| field(item, key)).find(|text| !text.is_empty());
        let since: String = cell(item, "since").chars().take(10).collect();
        let rest = [cell(item, "name"), cell(item, "value"), cell(item, "identifier"), since];
        table.row(device.filter(|_| with_device).into_iter().chain(rest));
    }
    if items.is_empty() { String::new() } else { table.render() }
}

fn changes(api: &dyn Api, args: &ChangesArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let call = Call::get(format!("/api/v1/devices/{}/changes", escape(&args.device)));
    let (items, next) = api.list(&call, Some(args.limit as usize))?;
    let now = voice.now();
    voice.show(&json!({ "items": items, "next_cursor": next }), || {
        let mut table = Table::new(&["WHEN", "WHAT", "NAME", "BEFORE", "AFTER"]);
        for item in &items {
            let at = told_field(&item["at"], now);
            table.row([at, cell(item, "kind"), cell(item, "name"), field(item, "before"), field(item, "after")]);
        }
        if items.is_empty() { String::new() } else { table.render() }
    })
}

/// `cordon device export`.
pub fn export(api: &dyn Api, args: &ExportArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let call = Call::get("/api/v1/inventory/devices").with("format", args.csv.then_some("csv"));
    let bytes = api.bytes(&call)?;
    match &args.output {
        Some(file) => {
            std::fs::write(file, &bytes).map_err(|error| Failure::file("write", file, &error))?;
            voice.talk(&format!("Written to {}.", file.display()));
            Ok(())
        }
        None => voice.data(&bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    #[test]
    fn zero_is_said_in_words() {
        let fake = Fake::new(|_| (200, json!({ "every_hours": 0 })));
        let args = Args { verb: Verb::Set(SetArgs { every_hours: Some(0), lists_every_hours: None }) };
        let (done, out, _) = heard(false, |voice| run(&fake, &args, voice));
        assert!(done.is_ok() && out.contains("not asked"), "{out}");
        assert_eq!(fake.last().target, "/api/v1/inventory-policy");
    }
}
