//! `cordon provisioning`: provisioning profiles for apps of the school's own.

use super::failure::Failure;
use super::files;
use super::library::{self, advise};
use super::moment::told_field;
use super::reach::{Api, Call, escape};
use super::table::{Facts, Table, cell, field};
use super::voice::Voice;
use crate::base::time::Timestamp;
use crate::protocol::provisioning::MAX_FILE;
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Add a .mobileprovision, or the one that takes the place of its app's
    Add(AddArgs),
    /// All of them, and when they end
    #[command(after_help = "Examples:
  cordon provisioning list
  cordon provisioning list --json")]
    List,
    /// One of them: its uploads, who should have it
    Show(OneArgs),
    /// Which devices have it, and where a removed one has come back
    Devices(OneArgs),
    /// Give it to a device or to the devices of a group
    Assign(AssignArgs),
    /// Take such an assignment back
    Unassign(AssignArgs),
    /// Try it again at once wherever it was refused
    Retry(OneArgs),
    /// Remove it from every device; this is no revocation
    Remove(RemoveArgs),
    /// Take one off a device again that was removed and has come back
    RemoveAgain(AgainArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon provisioning add Timetable.mobileprovision

One for an app that is there takes the place of the one before: each device gets the new one, lists it, and only then loses the
old one. Do it before the old one ends; `cordon expiry` says when.")]
struct AddArgs {
    /// As Apple's developer site gave it
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon provisioning show pv-4k7qx2mn
  cordon provisioning devices ABCDE12345.org.example.timetable
  cordon provisioning retry pv-4k7qx2mn")]
struct OneArgs {
    /// Its id, the app's, or the UUID of an upload
    #[arg(value_name = "PROVISIONING")]
    which: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon provisioning assign pv-4k7qx2mn --group 'class 7b'
  cordon provisioning assign pv-4k7qx2mn --device C02XK1ZZJGH5
  cordon provisioning unassign pv-4k7qx2mn --group 'class 7b'

Groups of devices, smart groups and classes: their devices.")]
struct AssignArgs {
    /// Its id, the app's, or the UUID of an upload
    #[arg(value_name = "PROVISIONING")]
    which: String,
    #[command(flatten)]
    whom: Whom,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Whom {
    /// A device
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// The devices of a group
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon provisioning remove pv-4k7qx2mn --yes

This is no revocation: an app that is installed goes on working until the device is restarted, and a computer that syncs the
device can put the profile back. To end the use of an app, remove the app, or have its certificate revoked at Apple.")]
struct RemoveArgs {
    /// Its id, the app's, or the UUID of an upload
    #[arg(value_name = "PROVISIONING")]
    which: String,
    /// You know that this is no revocation
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon provisioning remove-again C02XK1ZZJGH5 1F2E3D4C-0000-4000-8000-123456789ABC")]
struct AgainArgs {
    /// Id, UDID or serial number
    device: String,
    /// As `cordon provisioning devices` shows it
    uuid: String,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::Add(args) => add(api, args, voice),
        Verb::List => list(api, voice),
        Verb::Show(args) => {
            let found = api.json(&Call::get(path(&args.which)))?;
            let now = voice.now();
            voice.show(&found, || story(&found, now))
        }
        Verb::Devices(args) => devices(api, args, voice),
        Verb::Assign(args) => assign(api, args, "assign", voice),
        Verb::Unassign(args) => assign(api, args, "unassign", voice),
        Verb::Retry(args) => {
            let found = api.json(&Call::post_json(format!("{}/retry", path(&args.which)), &json!({})))?;
            voice.show(&found, || format!("It is on its way to {} device(s).", cell(&found, "waiting")))
        }
        Verb::Remove(args) => remove(api, args, voice),
        Verb::RemoveAgain(args) => {
            let path = format!("/api/v1/devices/{}/provisioning/remove-again", escape(&args.device));
            let found = api.json(&Call::post_json(path, &json!({ "uuid": args.uuid })))?;
            voice.show(&found, || {
                String::from("It is taken off once more. If a computer syncs the device, it may come back again.")
            })
        }
    }
}

fn path(which: &str) -> String {
    format!("/api/v1/provisioning/{}", escape(which))
}

fn add(api: &dyn Api, args: &AddArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let bytes = files::read(&args.file, MAX_FILE)?;
    let made = api.json(&Call::post("/api/v1/provisioning", "application/octet-stream", bytes))?;
    let now = voice.now();
    voice.show(&made, || field(&made, "id"))?;
    let ends = told_field(&made["expires_at"], now);
    voice.advise(&format!("“{}” for {} ends {ends}.", field(&made, "name"), field(&made, "app_id")));
    advise(&made, voice);
    Ok(())
}

fn list(api: &dyn Api, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let (items, next) = api.list(&Call::get("/api/v1/provisioning"), None)?;
    let now = voice.now();
    voice.show(&json!({ "items": items, "next_cursor": next }), || {
        let mut table = Table::new(&["ID", "NAME", "APP", "ENDS", "INSTALLED", "WAITING", "RETURNED"]);
        for item in &items {
            table.row([
                cell(item, "id"),
                cell(item, "name"),
                cell(item, "app_id"),
                told_field(&item["expires_at"], now),
                cell(item, "installed"),
                cell(item, "waiting"),
                cell(item, "returned"),
            ]);
        }
        if items.is_empty() { String::new() } else { table.render() }
    })?;
    if items.is_empty() {
        voice.advise("There are none. Add one: cordon provisioning add FILE.mobileprovision");
    }
    Ok(())
}

fn story(found: &Value, now: Timestamp) -> String {
    let mut facts = Facts::default();
    facts.add("Name", field(found, "name"));
    facts.add("Id", field(found, "id"));
    facts.add("App", field(found, "app_id"));
    facts.add("Ends", told_field(&found["expires_at"], now));
    facts.add("Installed on", format!("{} device(s)", cell(found, "installed")));
    facts.add("On its way to", format!("{} device(s)", cell(found, "waiting")));
    if found["refused"].as_i64().unwrap_or(0) > 0 {
        facts.add("Refused by", format!("{} device(s)", cell(found, "refused")));
    }
    if found["returned"].as_i64().unwrap_or(0) > 0 {
        facts.add("Removed, and back on", format!("{} device(s)", cell(found, "returned")));
    }
    let mut text = facts.render();
    let mut uploads = Table::new(&["UUID", "ENDS", "FOR", "SIGNED BY", "ADDED", ""]);
    for one in found["versions"].as_array().into_iter().flatten() {
        let whom = one["devices"].as_i64().map_or_else(|| String::from("all devices"), |n| format!("{n} device(s)"));
        let current = if one["current"] == true { "current" } else { "" };
        uploads.row([
            cell(one, "uuid"),
            told_field(&one["expires_at"], now),
            whom,
            cell(one, "signed_by"),
            told_field(&one["added_at"], now),
            current.to_owned(),
        ]);
    }
    text.push_str(&format!("\n{}", uploads.render()));
    if let Some(assignments) = found["assignments"].as_array().filter(|all| !all.is_empty()) {
        let mut table = Table::new(&["WHO", "SINCE", "BY"]);
        for one in assignments {
            let who = [field(one, "device"), field(one, "group")].concat();
            table.row([who, told_field(&one["created_at"], now), cell(one, "created_by")]);
        }
        text.push_str(&format!("\n{}", table.render()));
    }
    text
}

fn devices(api: &dyn Api, args: &OneArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let (items, next) = api.list(&Call::get(format!("{}/devices", path(&args.which))), None)?;
    voice.show(&json!({ "items": items, "next_cursor": next }), || {
        let mut table = Table::new(&["DEVICE", "UUID", "STATE", ""]);
        for item in &items {
            table.row([cell(item, "device"), cell(item, "uuid"), cell(item, "state"), cell(item, "words")]);
        }
        if items.is_empty() { String::new() } else { table.render() }
    })?;
    if items.is_empty() {
        voice.advise("No device has it. Give it to some: cordon provisioning assign --help");
    }
    Ok(())
}

fn assign(api: &dyn Api, args: &AssignArgs, verb: &str, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let wish = json!({ "device": args.whom.device, "group": args.whom.group });
    library::assign(api, &path(&args.which), verb, &wish, Some("device(s)"), voice)
}

fn remove(api: &dyn Api, args: &RemoveArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let found = api.json(&Call::get(path(&args.which)))?;
    let means = field(&found, "removal");
    if !args.yes {
        return Err(Failure::usage(format!("{means} To remove “{}” all the same, say --yes.", field(&found, "name"))));
    }
    library::remove(api, path(&args.which), &args.which, voice)?;
    voice.advise(&means);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    #[test]
    fn removing_says_first_what_it_is_not() {
        let fake = Fake::new(|_| (200, json!({ "id": "pv-1", "name": "Timetable", "removal": "No revocation." })));
        let args = |yes| Args { verb: Verb::Remove(RemoveArgs { which: "pv-1".into(), yes }) };
        let (done, ..) = heard(false, |voice| run(&fake, &args(false), voice));
        assert!(format!("{done:?}").contains("No revocation.") && done.is_err());
        assert_eq!(fake.last().target, "/api/v1/provisioning/pv-1", "nothing was removed");
        let (done, _, err) = heard(false, |voice| run(&fake, &args(true), voice));
        assert!(done.is_ok() && err.contains("No revocation."), "{err}");
    }
}
