//! `cordon pair`: a restriction, and the capability that a device gets for it.

use super::failure::Failure;
use super::library::{self, advise};
use super::profile::{AssignArgs, wish_of};
use super::reach::{Api, Call, escape};
use super::table::{Facts, Table, cell, field};
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
    /// Make a pair of two profiles
    Add(AddArgs),
    /// All pairs
    List(ListArgs),
    /// One pair: how far each device is, and what happened
    Show(ShowArgs),
    /// Assign it to a device, a user or a group, as one would a profile
    #[command(after_help = "Examples:
  cordon pair assign 'VPN for a passcode' --group 'class 7b' --to devices
  cordon pair assign 'VPN for a passcode' --device C02XK1ZZJGH5

The restriction goes out now, the capability when the device complies; `cordon pair show` says how far each is.")]
    Assign(AssignArgs),
    /// Take an assignment back: the capability goes, then the restriction
    #[command(after_help = "Examples:
  cordon pair unassign 'VPN for a passcode' --group 'class 7b' --to devices")]
    Unassign(AssignArgs),
    /// Change its name, its condition, or what a lapse does
    Change(ChangeArgs),
    /// Remove it: the capability goes, then the restriction
    Remove(RemoveArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon pair add 'VPN for a passcode' --restriction school.passcode --capability school.vpn
  cordon pair add 'Mail for a passcode' --restriction school.passcode --capability school.mail --on-lapse after-grace
  cordon pair add 'VPN for FileVault' --restriction school.filevault --capability school.vpn --until SecurityInfo.FDE_Enabled=true
  cordon pair add 'Wi-Fi and web filter' --together --restriction school.filter --capability school.wifi

The restriction goes out first, locked. Then the device is asked until it complies, and only then the capability follows. With
--together both go out in one profile, and can only be removed together.")]
struct AddArgs {
    /// What people call it
    name: String,
    /// Id or PayloadIdentifier of the profile that restricts
    #[arg(long, value_name = "PROFILE")]
    restriction: String,
    /// Id or PayloadIdentifier of the profile that is given for it
    #[arg(long, value_name = "PROFILE")]
    capability: String,
    /// Only these payloads of the restriction's profile, by type; may be said several times
    #[arg(long, value_name = "TYPE")]
    restriction_only: Vec<String>,
    /// Only these payloads of the capability's profile, by type; may be said several times
    #[arg(long, value_name = "TYPE")]
    capability_only: Vec<String>,
    /// Both in one profile
    #[arg(long, conflicts_with_all = ["until", "on_lapse"])]
    together: bool,
    /// What the device has to say: passcode, installed, or a fact such as SecurityInfo.FDE_Enabled=true [default: passcode]
    #[arg(long, value_name = "CONDITION")]
    until: Option<String>,
    /// What becomes of the capability when the device complies no more [default: withdraw]
    #[arg(long, value_name = "WHAT", value_parser = ["withdraw", "after-grace", "keep"])]
    on_lapse: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon pair list
  cordon pair list --json")]
struct ListArgs {}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon pair show pa-4k7qx2mn
  cordon pair show pa-4k7qx2mn --device C02XK1ZZJGH5")]
struct ShowArgs {
    /// Its id, from `cordon pair list`
    pair: String,
    /// Only this device
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon pair change pa-4k7qx2mn --on-lapse keep
  cordon pair change pa-4k7qx2mn --until installed --name 'VPN'")]
struct ChangeArgs {
    /// Its id
    pair: String,
    /// What people call it
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What the device has to say
    #[arg(long, value_name = "CONDITION")]
    until: Option<String>,
    /// What becomes of the capability when the device complies no more
    #[arg(long, value_name = "WHAT", value_parser = ["withdraw", "after-grace", "keep"])]
    on_lapse: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon pair remove pa-4k7qx2mn")]
struct RemoveArgs {
    /// Its id
    pair: String,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::Add(args) => add(api, args, voice),
        Verb::List(_) => list(api, voice),
        Verb::Show(args) => show(api, args, voice),
        Verb::Assign(args) => assign(api, args, "assign", voice),
        Verb::Unassign(args) => assign(api, args, "unassign", voice),
        Verb::Change(args) => change(api, args, voice),
        Verb::Remove(args) => remove(api, args, voice),
    }
}

fn path(pair: &str) -> String {
    format!("/api/v1/pairs/{}", escape(pair))
}

fn add(api: &dyn Api, args: &AddArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let half = |profile: &str, only: &[String]| json!({ "profile": profile, "only": only });
    let wish = json!({
        "name": args.name, "mode": if args.together { "together" } else { "gated" },
        "restriction": half(&args.restriction, &args.restriction_only),
        "capability": half(&args.capability, &args.capability_only),
        "until": args.until, "on_lapse": args.on_lapse,
    });
    let made = api.json(&Call::post_json("/api/v1/pairs", &wish))?;
    voice.show(&made, || field(&made, "id"))?;
    advise(&made, voice);
    voice.advise(&format!("Give it to somebody: cordon pair assign {} --group GROUP", field(&made, "id")));
    Ok(())
}

/// `3 open, 1 grace`.
fn phases(pair: &Value) -> String {
    let count = |one: &Value| format!("{} {}", cell(one, "channels"), field(one, "phase"));
    pair["phases"].as_array().into_iter().flatten().map(count).collect::<Vec<_>>().join(", ")
}

fn list(api: &dyn Api, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let (items, next) = api.list(&Call::get("/api/v1/pairs"), None)?;
    voice.show(&json!({ "items": items, "next_cursor": next }), || {
        let mut table = Table::new(&["ID", "NAME", "MODE", "RESTRICTION", "CAPABILITY", "UNTIL", "DEVICES"]);
        for item in &items {
            table.row([
                cell(item, "id"),
                cell(item, "name"),
                cell(item, "mode"),
                cell(&item["restriction"], "identifier"),
                cell(&item["capability"], "identifier"),
                cell(item, "until"),
                phases(item),
            ]);
        }
        if items.is_empty() { String::new() } else { table.render() }
    })?;
    if items.is_empty() {
        voice.advise("There are no pairs. Make one: cordon pair add NAME --restriction PROFILE --capability PROFILE");
    }
    Ok(())
}

fn show(api: &dyn Api, args: &ShowArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let mut pair = api.json(&Call::get(path(&args.pair)))?;
    let part = |what: &str| Call::get(format!("{}/{what}", path(&args.pair))).with("device", args.device.as_ref());
    pair["devices"] = api.json(&part("devices"))?["items"].take();
    pair["timeline"] = api.json(&part("timeline"))?["items"].take();
    voice.show(&pair, || story(&pair))
}

fn story(pair: &Value) -> String {
    let mut facts = Facts::default();
    facts.add("Name", field(pair, "name"));
    facts.add("Id", field(pair, "id"));
    facts.add("Mode", field(pair, "mode"));
    for (name, key) in [("Restriction", "restriction"), ("Capability", "capability")] {
        let gone = if pair[key]["removed"] == true { " (removed)" } else { "" };
        facts.add(name, format!("{} ({}){gone}", field(&pair[key], "name"), field(&pair[key], "identifier")));
    }
    if pair["mode"] == "gated" {
        facts.add("Until", field(pair, "until"));
        facts.add("When it lapses", field(pair, "on_lapse"));
    }
    let mut text = facts.render();
    let mut table = Table::new(&["DEVICE", "USER", "PHASE", "UNTIL", "ASKED", "STATE"]);
    let devices = pair["devices"].as_array().map(Vec::as_slice).unwrap_or_default();
    for one in devices {
        table.row([
            cell(one, "device_name"),
            field(one, "user"),
            cell(one, "phase"),
            field(one, "until"),
            field(one, "asked_at"),
            cell(one, "words"),
        ]);
    }
    if !devices.is_empty() {
        text.push_str(&format!("\n{}", table.render()));
    }
    let mut table = Table::new(&["AT", "DEVICE", "WHAT"]);
    let lines = pair["timeline"].as_array().map(Vec::as_slice).unwrap_or_default();
    for line in lines {
        table.row([cell(line, "at"), cell(line, "device"), cell(line, "words")]);
    }
    if !lines.is_empty() {
        text.push_str(&format!("\n{}", table.render()));
    }
    text
}

fn assign(api: &dyn Api, args: &AssignArgs, verb: &str, voice: &mut Voice<'_>) -> Result<(), Failure> {
    library::assign(api, &path(&args.profile), verb, &wish_of(args), None, voice)
}

fn change(api: &dyn Api, args: &ChangeArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    if args.name.is_none() && args.until.is_none() && args.on_lapse.is_none() {
        return Err(Failure::usage(String::from("Say what is to change: --name, --until or --on-lapse.")));
    }
    let wish = json!({ "name": args.name, "until": args.until, "on_lapse": args.on_lapse });
    let pair = api.json(&Call::patch_json(path(&args.pair), &wish))?;
    voice.show(&pair, || story(&pair))
}

fn remove(api: &dyn Api, args: &RemoveArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    api.bytes(&Call::delete(path(&args.pair)))?;
    voice.show(&json!({ "removed": args.pair }), || {
        String::from("It is removed: its capability leaves every device that has it, and then the restriction.")
    })
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    #[test]
    fn one_pair_in_words() {
        let fake = Fake::new(|call| {
            let answer = if call.target.contains("/devices") {
                json!({ "items": [{ "device_name": "Ada's iPad", "user": null, "phase": "grace", "until": "2026-11-18T12:00:00Z",
                    "asked_at": null, "words": "the restriction stands" }] })
            } else if call.target.contains("/timeline") {
                json!({ "items": [{ "at": "2026-11-18T11:00:00Z", "device": "d-1", "words": "it began" }] })
            } else {
                json!({ "id": "pa-1", "name": "VPN for a passcode", "mode": "gated", "until": "passcode", "on_lapse": "withdraw",
                    "restriction": { "name": "Passcode", "identifier": "a.p", "removed": false },
                    "capability": { "name": "VPN", "identifier": "a.v", "removed": true } })
            };
            (200, answer)
        });
        let args = ShowArgs { pair: "pa-1".into(), device: Some("C02".into()) };
        let (done, out, _) = heard(false, |voice| show(&fake, &args, voice));
        assert_eq!(done, Ok(()));
        for part in ["VPN for a passcode", "a.p", "a.v) (removed)", "Ada's iPad", "grace", "it began"] {
            assert!(out.contains(part), "{part} in\n{out}");
        }
    }
}
