//! `cordon profile`: configuration profiles of the school, and to whom they are assigned.

use super::failure::Failure;
use super::library::{self, advise};
use super::moment::told_field;
use super::payloads;
use super::reach::{Api, Call, escape};
use super::table::{Facts, Table, cell, field};
use super::voice::Voice;
use crate::base::time::Timestamp;
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
    /// Add a profile, or the next version of one
    Add(AddArgs),
    /// All profiles
    List(ListArgs),
    /// One profile: what is in it, who should have it, who has it
    Show(ShowArgs),
    /// Give it to a device, to everyone on a device, to a user or a group
    Assign(AssignArgs),
    /// Take such an assignment back
    Unassign(AssignArgs),
    /// Make one of a payload's keys, typed by Apple's schema
    Build(payloads::BuildArgs),
    /// What a profile can hold, and the keys of one payload
    Payloads(payloads::PayloadsArgs),
    /// What looks wrong about it
    Lint(payloads::LintArgs),
    /// Its versions
    Versions(ShowArgs),
    /// What differs between two versions
    Diff(payloads::DiffArgs),
    /// Change its name, or whether it comes back when its user took it off
    Change(ChangeArgs),
    /// Where devices refuse it, and what they say
    Refusals(ShowArgs),
    /// Try it again at once wherever it was refused or taken off
    Retry(ShowArgs),
    /// Why a device has it, or has not
    Why(WhyArgs),
    /// Split one that sets up several accounts: a profile for each
    Split(SplitArgs),
    /// Remove it, from every device that has it too
    Remove(RemoveArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon profile add wifi.mobileconfig
  cordon profile add mail.mobileconfig --name 'School mail'

A file with the PayloadIdentifier of a profile that is there becomes its next version, and goes to everybody who has the one before.")]
struct AddArgs {
    /// A .mobileconfig, signed or not
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What people call it [default: its PayloadDisplayName]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon profile list
  cordon profile list --json")]
struct ListArgs {}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon profile show pr-4k7qx2mn
  cordon profile show school.wifi --json
  cordon profile versions school.wifi
  cordon profile refusals school.wifi
  cordon profile retry school.wifi")]
struct ShowArgs {
    /// Its id or PayloadIdentifier
    profile: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon profile assign school.wifi --device C02XK1ZZJGH5
  cordon profile assign school.dock --everyone-on C02XK1ZZJGH5
  cordon profile assign school.mail --user ada
  cordon profile assign school.mail --user ada@school.example
  cordon profile assign school.mail --group 'class 7b'
  cordon profile assign school.wifi --group 'class 7b' --to devices
  cordon profile assign school.wifi --group 'old iPads'
  cordon profile assign school.exam --group 'class 7b' --to devices --during Exams
  cordon profile unassign school.mail --user ada

A person of the school is known by any name: short name, mail address, GUID of a directory's record, id. Anybody else by UserID or
short name, on whatever device they log in. A group of devices and a smart group mean their devices, a group of people and a class
their people; --to says otherwise. Who joins the group later gets it, who leaves it loses it. Whoever can be reached gets it at
once, the others when they log in or turn up.")]
pub struct AssignArgs {
    /// Its id or PayloadIdentifier
    pub profile: String,
    #[command(flatten)]
    whom: Whom,
    /// What of the group is meant
    #[arg(long, value_name = "PART", requires = "group", value_parser = ["people", "devices", "everyone-on"])]
    to: Option<String>,
    /// Only while this schedule is open; said without it, always
    #[arg(long, value_name = "SCHEDULE")]
    during: Option<String>,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Whom {
    /// The device itself
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Everybody who logs in on this device
    #[arg(long, value_name = "DEVICE")]
    everyone_on: Option<String>,
    /// A person or user, on whatever device
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// A group
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon profile change school.wifi --name 'School Wi-Fi'
  cordon profile change school.games --comes-back no

A profile that a user took off the device comes back as soon as the device reports what it has. With --comes-back no it stays off
until there is a new version, or until `cordon profile retry`.")]
struct ChangeArgs {
    /// Its id or PayloadIdentifier
    profile: String,
    /// What people call it
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Whether it comes back when its user took it off
    #[arg(long, value_name = "yes|no", value_parser = ["yes", "no"])]
    comes_back: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon profile why C02XK1ZZJGH5 school.wifi
  cordon profile why C02XK1ZZJGH5 school.mail --user ada")]
struct WhyArgs {
    /// Id, UDID or serial number
    device: String,
    /// Its id or PayloadIdentifier
    profile: String,
    /// One of the device's users; else the device and all of them
    #[arg(long, value_name = "USER")]
    user: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon profile split school.everything

Each account gets a profile of its own, with the certificates that it uses, and is assigned to the same devices and people. What is
left stays in the profile. Devices lose the accounts with the old version and get each of them again, once.")]
struct SplitArgs {
    /// Its id or PayloadIdentifier
    profile: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon profile remove school.wifi")]
struct RemoveArgs {
    /// Its id or PayloadIdentifier
    profile: String,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::Add(args) => add(api, args, voice),
        Verb::List(_) => list(api, voice),
        Verb::Show(args) => show(api, args, voice),
        Verb::Assign(args) => assign(api, args, "assign", voice),
        Verb::Unassign(args) => assign(api, args, "unassign", voice),
        Verb::Build(args) => payloads::build(api, args, voice),
        Verb::Payloads(args) => payloads::list(args, voice),
        Verb::Lint(args) => payloads::lint(api, args, voice),
        Verb::Versions(args) => payloads::versions(api, &args.profile, voice),
        Verb::Diff(args) => payloads::diff(api, args, voice),
        Verb::Change(args) => change(api, args, voice),
        Verb::Refusals(args) => refusals(api, args, voice),
        Verb::Retry(args) => retry(api, args, voice),
        Verb::Why(args) => why(api, args, voice),
        Verb::Split(args) => split(api, args, voice),
        Verb::Remove(args) => remove(api, args, voice),
    }
}

pub fn path(profile: &str) -> String {
    format!("/api/v1/profiles/{}", escape(profile))
}

fn add(api: &dyn Api, args: &AddArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let bytes = std::fs::read(&args.file).map_err(|error| Failure::file("read", &args.file, &error))?;
    let call = Call::post("/api/v1/profiles", "application/x-apple-aspen-config", bytes);
    let made = api.json(&call.with("name", args.name.as_ref()))?;
    voice.show(&made, || field(&made, "id"))?;
    let (name, version) = (field(&made, "name"), cell(&made, "version"));
    voice.advise(&format!(
        "“{name}” is there in version {version}. Give it to somebody: cordon profile assign {} --user USER",
        field(&made, "identifier")
    ));
    advise(&made, voice);
    Ok(())
}

fn list(api: &dyn Api, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let (items, next) = api.list(&Call::get("/api/v1/profiles"), None)?;
    voice.show(&json!({ "items": items, "next_cursor": next }), || {
        let mut table = Table::new(&["ID", "NAME", "VERSION", "ASSIGNED", "INSTALLED", "WAITING", "IDENTIFIER"]);
        for item in &items {
            table.row([
                cell(item, "id"),
                cell(item, "name"),
                cell(item, "version"),
                item["assignments"].as_array().map_or(0, Vec::len).to_string(),
                cell(item, "installed"),
                cell(item, "waiting"),
                cell(item, "identifier"),
            ]);
        }
        if items.is_empty() { String::new() } else { table.render() }
    })?;
    if items.is_empty() {
        voice.advise("There are no profiles. Add one: cordon profile add FILE.mobileconfig");
    }
    Ok(())
}

fn show(api: &dyn Api, args: &ShowArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let profile = api.json(&Call::get(path(&args.profile)))?;
    let now = voice.now();
    voice.show(&profile, || story(&profile, now))
}

fn story(profile: &Value, now: Timestamp) -> String {
    let words =
        |key: &str| -> Vec<&str> { profile[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect() };
    let mut facts = Facts::default();
    facts.add("Name", field(profile, "name"));
    facts.add("Id", field(profile, "id"));
    facts.add("Identifier", field(profile, "identifier"));
    facts.add("Payloads", words("payload_types").join(", "));
    if !words("variables").is_empty() {
        facts.add("Variables", words("variables").join(", "));
    }
    let (at, by) = (told_field(&profile["version_at"], now), cell(profile, "version_by"));
    facts.add("Version", format!("{}, {at} by {by}", cell(profile, "version")));
    facts.add("Installed on", format!("{} channel(s)", cell(profile, "installed")));
    facts.add("On its way to", format!("{} channel(s)", cell(profile, "waiting")));
    if profile["refused"].as_i64().unwrap_or(0) > 0 {
        let see = format!("cordon profile refusals {}", field(profile, "identifier"));
        facts.add("Refused by", format!("{} channel(s); see `{see}`", cell(profile, "refused")));
    }
    if profile["comes_back"] == false {
        facts.add("Taken off by a user", "stays off");
    }
    let mut text = facts.render();
    if let Some(assignments) = profile["assignments"].as_array().filter(|a| !a.is_empty()) {
        let mut table = Table::new(&["FOR", "WHO", "DURING", "SINCE", "BY"]);
        for item in assignments {
            let who = [field(item, "device"), field(item, "name")].concat();
            let during = field(item, "during");
            table.row([
                cell(item, "target"),
                who,
                during,
                told_field(&item["created_at"], now),
                cell(item, "created_by"),
            ]);
        }
        text.push_str(&format!("\n{}", table.render()));
    }
    text
}

/// To whom, as the API takes it.
pub fn wish_of(args: &AssignArgs) -> Value {
    let Whom { device, everyone_on, user, group } = &args.whom;
    json!({ "device": device, "everyone_on": everyone_on, "user": user, "group": group, "to": args.to, "during": args.during })
}

fn assign(api: &dyn Api, args: &AssignArgs, verb: &str, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let mut wish = wish_of(args);
    if verb != "assign" {
        wish["during"] = Value::Null;
    }
    library::assign(api, &path(&args.profile), verb, &wish, Some("channel(s)"), voice)
}

fn change(api: &dyn Api, args: &ChangeArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let mut wish = serde_json::Map::new();
    if let Some(name) = &args.name {
        wish.insert(String::from("name"), json!(name));
    }
    if let Some(comes_back) = &args.comes_back {
        wish.insert(String::from("comes_back"), json!(comes_back == "yes"));
    }
    if wish.is_empty() {
        return Err(Failure::usage(String::from("Say what is to change: --name or --comes-back.")));
    }
    let profile = api.json(&Call::patch_json(path(&args.profile), &Value::Object(wish)))?;
    let now = voice.now();
    voice.show(&profile, || story(&profile, now))
}

fn refusals(api: &dyn Api, args: &ShowArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let (items, next) = api.list(&Call::get(format!("{}/refusals", path(&args.profile))), None)?;
    let now = voice.now();
    voice.show(&json!({ "items": items, "next_cursor": next }), || {
        let mut table = Table::new(&["DEVICE", "USER", "TIMES", "AGAIN", "SAYS"]);
        for item in &items {
            let says = &item["error_chain"][0];
            let text = says["USEnglishDescription"].as_str().or(says["LocalizedDescription"].as_str());
            let again = match &item["next_try_at"] {
                Value::Null => String::from("no"),
                at => told_field(at, now),
            };
            let text = text.unwrap_or_default().to_owned();
            table.row([cell(item, "device"), field(item, "user"), cell(item, "times"), again, text]);
        }
        if items.is_empty() { String::new() } else { table.render() }
    })?;
    if items.is_empty() {
        voice.advise("No device refuses it.");
    } else {
        voice.advise(&format!("Try it again everywhere: cordon profile retry {}", args.profile));
    }
    Ok(())
}

fn retry(api: &dyn Api, args: &ShowArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let profile = api.json(&Call::post_json(format!("{}/retry", path(&args.profile)), &json!({})))?;
    voice.show(&profile, || format!("It is on its way to {} channel(s).", cell(&profile, "waiting")))
}

fn why(api: &dyn Api, args: &WhyArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let path = format!("/api/v1/devices/{}/profiles/{}/why", escape(&args.device), escape(&args.profile));
    let found = api.json(&Call::get(path).with("user", args.user.as_ref()))?;
    voice.show(&found, || why_in_words(&found))
}

fn why_in_words(found: &Value) -> String {
    let mut lines = Vec::new();
    for channel in found["channels"].as_array().into_iter().flatten() {
        let who =
            channel["user"].as_str().map_or_else(|| String::from("The device itself"), |user| format!("User {user}"));
        lines.push(format!("{who}: {}", field(channel, "state")));
        if channel["wanted"] == false {
            lines.push(String::from("  Nothing is assigned that leads to it."));
        }
        for key in ["reasons", "beside"] {
            let words = channel[key].as_array().into_iter().flatten().filter_map(Value::as_str);
            lines.extend(words.map(|text| format!("  {text}")));
        }
        for pair in channel["pairs"].as_array().into_iter().flatten() {
            lines.push(format!("  Pair “{}”: {}", field(pair, "name"), field(pair, "words")));
            let told = pair["timeline"].as_array().into_iter().flatten();
            lines.extend(told.map(|line| format!("    {}  {}", field(line, "at"), field(line, "words"))));
        }
    }
    lines.join("\n")
}

fn split(api: &dyn Api, args: &SplitArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let made = api.json(&Call::post_json(format!("{}/split", path(&args.profile)), &json!({})))?;
    voice.show(&made, || {
        let items = made["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let names: Vec<String> = items.iter().map(|one| field(one, "identifier")).collect();
        format!("{} profiles with one account each: {}", names.len(), names.join(", "))
    })
}

fn remove(api: &dyn Api, args: &RemoveArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    library::remove(api, path(&args.profile), &args.profile, voice)
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    #[test]
    fn notes_are_passed_on() {
        let made = json!({"id": "pr-1", "name": "Mail", "identifier": "a.b", "version": 1, "waiting": 0, "notes": ["Two accounts."]});
        let fake = Fake::new(move |_| (200, made.clone()));
        let whom = Whom { device: None, everyone_on: None, user: Some("ada".into()), group: None };
        let (done, out, err) = heard(false, |voice| {
            assign(&fake, &AssignArgs { profile: "a b".into(), whom, to: None, during: None }, "assign", voice)
        });
        assert_eq!(done, Ok(()));
        assert!(out.contains("is assigned") && err.contains("Two accounts."), "{out} {err}");
        assert_eq!(fake.last().target, "/api/v1/profiles/a%20b/assign");
    }

    #[test]
    fn one_profile_in_words() {
        let fake = Fake::new(|_| {
            (
                200,
                json!({"id": "pr-1", "name": "Mail", "identifier": "a.b", "version": 2, "installed": 3, "waiting": 1,
                "payload_types": ["com.apple.mail.managed"], "version_at": "2026-11-18T11:00:00Z", "version_by": "local:root",
                "assignments": [{"target": "user", "device": null, "name": "ada", "created_at": "2026-11-18T11:00:00Z", "created_by": "local:root"}]}),
            )
        });
        let (_, out, _) = heard(false, |voice| show(&fake, &ShowArgs { profile: "pr-1".into() }, voice));
        for part in ["Mail", "com.apple.mail.managed", "3 channel(s)", "ada", "user"] {
            assert!(out.contains(part), "{part} in\n{out}");
        }
    }
}
