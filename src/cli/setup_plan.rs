//! `cordon setup-plan`: what a device or a user gets while Setup Assistant waits.

use super::failure::Failure;
use super::reach::{Api, Call, escape};
use super::table::{Facts, Table, cell, field};
use super::voice::Voice;
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
    /// Make a plan
    Add(AddArgs),
    /// All plans
    List(ListArgs),
    /// One plan
    Show(OneArgs),
    /// Remove a plan
    Remove(OneArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon setup-plan add 'Every device' --profile school.wifi --profile school.passcode
  cordon setup-plan add 'Class 7b' --group 'class 7b' --app com.example.maths --limit 120
  cordon setup-plan add 'Lab Macs' --device C02XK1ZZJGH5 --account account.json

A plan is used when a device says that its Setup Assistant waits. What is assigned to it comes by itself; the plan adds to
that. Setup Assistant goes on when all is done, or when the time is over. account.json holds the keys of Apple's
AccountConfiguration, for Macs; data is base64.")]
struct AddArgs {
    /// What people call it
    name: String,
    /// For the devices or the people of this group
    #[arg(long, value_name = "GROUP", conflicts_with = "device")]
    group: Option<String>,
    /// For this device
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// A profile, by id or PayloadIdentifier; may be said several times
    #[arg(long = "profile", value_name = "PROFILE")]
    profiles: Vec<String>,
    /// An app of the App Store, by bundle identifier; may be said several times
    #[arg(long = "app", value_name = "BUNDLE")]
    apps: Vec<String>,
    /// Keys of AccountConfiguration as JSON
    #[arg(long, value_name = "FILE")]
    account: Option<PathBuf>,
    /// Go on after so many seconds, whatever is done [default: 300]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(10..=3600))]
    limit: Option<u32>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon setup-plan list
  cordon setup-plan list --json")]
struct ListArgs {}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon setup-plan show sp-4k7qx2mn
  cordon setup-plan remove sp-4k7qx2mn")]
struct OneArgs {
    /// Its id, from `cordon setup-plan list`
    id: String,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::Add(args) => add(api, args, voice),
        Verb::List(_) => list(api, voice),
        Verb::Show(args) => show(api, args, voice),
        Verb::Remove(args) => remove(api, args, voice),
    }
}

fn path(id: &str) -> String {
    format!("/api/v1/setup-plans/{}", escape(id))
}

fn add(api: &dyn Api, args: &AddArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let account = args.account.as_ref().map(|file| -> Result<Value, Failure> {
        let bytes = std::fs::read(file).map_err(|error| Failure::file("read", file, &error))?;
        serde_json::from_slice(&bytes).map_err(|e| Failure::usage(format!("{} is not JSON: {e}", file.display())))
    });
    // Management flag 1: the app goes when management goes.
    let app = |bundle: &String| json!({ "Identifier": bundle, "ManagementFlags": 1 });
    let wish = json!({
        "name": args.name, "group": args.group, "device": args.device, "profiles": args.profiles,
        "account": account.transpose()?, "apps": args.apps.iter().map(app).collect::<Vec<_>>(), "limit_seconds": args.limit,
    });
    let made = api.json(&Call::post_json("/api/v1/setup-plans", &wish))?;
    voice.show(&made, || field(&made, "id"))
}

/// For whom a plan is, in words.
fn whom(plan: &Value) -> String {
    match (plan["group"].as_str(), plan["device"].as_str()) {
        (Some(group), _) => format!("group {group}"),
        (_, Some(device)) => format!("device {device}"),
        _ => String::from("everybody"),
    }
}

fn words(plan: &Value, key: &str) -> String {
    plan[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

fn list(api: &dyn Api, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let (items, next) = api.list(&Call::get("/api/v1/setup-plans"), None)?;
    voice.show(&json!({ "items": items, "next_cursor": next }), || {
        let mut table = Table::new(&["ID", "NAME", "FOR", "PROFILES", "COMMANDS", "SECONDS"]);
        for item in &items {
            let (profiles, commands) = (words(item, "profiles"), words(item, "commands"));
            table.row([
                cell(item, "id"),
                cell(item, "name"),
                whom(item),
                profiles,
                commands,
                cell(item, "limit_seconds"),
            ]);
        }
        if items.is_empty() { String::new() } else { table.render() }
    })?;
    if items.is_empty() {
        voice.advise(
            "There are no set-up plans: a device whose Setup Assistant waits gets what is assigned to it, and goes on.",
        );
    }
    Ok(())
}

fn show(api: &dyn Api, args: &OneArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let plan = api.json(&Call::get(path(&args.id)))?;
    voice.show(&plan, || {
        let mut facts = Facts::default();
        facts.add("Id", cell(&plan, "id"));
        facts.add("Name", cell(&plan, "name"));
        facts.add("For", whom(&plan));
        facts.add("Profiles", words(&plan, "profiles"));
        facts.add("Commands", words(&plan, "commands"));
        facts.add("Goes on after", format!("{} s at most", cell(&plan, "limit_seconds")));
        facts.render()
    })
}

fn remove(api: &dyn Api, args: &OneArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    api.bytes(&Call::delete(path(&args.id)))?;
    voice.show(&json!({ "removed": args.id }), || String::from("It is removed."))
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    #[test]
    fn apps_become_commands() {
        let fake = Fake::new(|_| (201, json!({ "id": "sp-1" })));
        let args = AddArgs {
            name: "All".into(),
            group: None,
            device: None,
            profiles: vec!["a.b".into()],
            apps: vec!["com.example.maths".into()],
            account: None,
            limit: Some(60),
        };
        let (done, out, _) = heard(false, |voice| add(&fake, &args, voice));
        assert_eq!((done, out.as_str()), (Ok(()), "sp-1\n"));
        let sent: Value = serde_json::from_slice(&fake.last().body).unwrap();
        assert_eq!((&sent["apps"][0]["Identifier"], &sent["limit_seconds"]), (&json!("com.example.maths"), &json!(60)));
    }
}
