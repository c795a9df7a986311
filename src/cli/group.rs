//! `cordon group`: groups of devices and people, classes, and smart groups that a filter fills.

use super::failure::Failure;
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
    /// Make a group
    Add(AddArgs),
    /// Which there are
    List(ListArgs),
    /// One group with what belongs to it
    Show(ShowArgs),
    /// Rename a group, change its filter or its login mode
    Change(ChangeArgs),
    /// Remove a group; its devices and people stay
    Remove(RemoveArgs),
    /// Put something into a group, or take it out
    Member(MemberArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon group add 'Cart 3' --kind devices
  cordon group add 7b --kind class
  cordon group add 'Old iPads' --filter 'platform = iPadOS and os_version < 17'
  cordon group add Lab --kind devices --login-mode refuse

A filter compares platform, model, model_name, product_name, name, serial, os_version, build_version, supervised (yes, no) and lost
(yes, no) by = != < <= > >= and contains; and, or, not and parentheses join comparisons.
Login mode says how network users are dealt with who are in the group or on a device in it: known, digest or refuse.")]
struct AddArgs {
    name: String,
    #[arg(long, value_parser = ["devices", "people", "class", "smart"], required_unless_present = "filter")]
    kind: Option<String>,
    /// Makes a smart group
    #[arg(long)]
    filter: Option<String>,
    #[arg(long, value_parser = ["known", "digest", "refuse"])]
    login_mode: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon group list
  cordon group list --json")]
struct ListArgs {}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon group show 7b")]
struct ShowArgs {
    /// Name or id
    group: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon group change 7b --name 8b
  cordon group change Lab --login-mode school")]
struct ChangeArgs {
    /// Name or id
    group: String,
    #[arg(long)]
    name: Option<String>,
    #[arg(long)]
    filter: Option<String>,
    /// `school` leaves it to the school
    #[arg(long, value_parser = ["known", "digest", "refuse", "school"])]
    login_mode: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon group remove 'Cart 3'")]
struct RemoveArgs {
    /// Name or id
    group: String,
}

#[derive(Debug, clap::Args)]
pub struct MemberArgs {
    #[command(subcommand)]
    verb: MemberVerb,
}

#[derive(Debug, Subcommand)]
enum MemberVerb {
    /// Put devices and people into a group
    Add(MemberAddArgs),
    /// Take devices and people out of a group
    Remove(MemberRemoveArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon group member add 7b --device DMPXXXXX --device DMPYYYYY
  cordon group member add 7b --person anna --teacher roy
  cordon group member add 7b --admin ms-roy

Whoever teaches a class sees its devices when they log in as an admin of the role teacher: by --admin, or because the admin and a
teacher of the class have the same name.")]
struct MemberAddArgs {
    #[command(flatten)]
    members: Members,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon group member remove 7b --device DMPXXXXX")]
struct MemberRemoveArgs {
    #[command(flatten)]
    members: Members,
}

#[derive(Debug, clap::Args)]
struct Members {
    /// Name or id of the group
    group: String,
    /// Id, UDID or serial number; may be given again
    #[arg(long = "device", value_name = "DEVICE")]
    devices: Vec<String>,
    /// A pupil, or a member of a group of people
    #[arg(long = "person", value_name = "NAME")]
    people: Vec<String>,
    /// Somebody of the school who teaches the class
    #[arg(long = "teacher", value_name = "NAME")]
    teachers: Vec<String>,
    /// An admin who teaches the class
    #[arg(long = "admin", value_name = "NAME")]
    admins: Vec<String>,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::Add(args) => add(api, args, voice),
        Verb::List(_) => list(api, voice),
        Verb::Show(args) => {
            let found = api.json(&Call::get(target(&args.group)))?;
            voice.show(&found, || facts(&found))
        }
        Verb::Change(args) => change(api, args, voice),
        Verb::Remove(args) => {
            api.json(&Call::delete(target(&args.group)))?;
            voice.show(&json!({ "group": args.group, "removed": true }), || format!("{} is removed.", args.group))
        }
        Verb::Member(args) => member(api, args, voice),
    }
}

fn target(group: &str) -> String {
    format!("/api/v1/groups/{}", escape(group))
}

fn add(api: &dyn Api, args: &AddArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let kind = args.kind.as_deref().unwrap_or("smart");
    let wish = json!({ "name": args.name, "kind": kind, "filter": args.filter, "login_mode": args.login_mode });
    let made = api.json(&Call::post_json("/api/v1/groups", &wish))?;
    voice.show(&made, || match kind {
        "smart" => format!("{} has {} device(s) now.", args.name, made["device_count"]),
        _ => format!("{} is {}.", args.name, field(&made, "id")),
    })
}

fn list(api: &dyn Api, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let (items, next) = api.list(&Call::get("/api/v1/groups"), None)?;
    let mut table = Table::new(&["NAME", "KIND", "DEVICES", "PEOPLE", "LOGIN", "FILTER"]);
    for item in &items {
        let devices = if item["kind"] == "smart" { String::from("by filter") } else { cell(item, "device_count") };
        table.row([
            cell(item, "name"),
            cell(item, "kind"),
            devices,
            cell(item, "person_count"),
            cell(item, "login_mode"),
            cell(item, "filter"),
        ]);
    }
    voice.show(&json!({ "items": items, "next_cursor": next }), || {
        if items.is_empty() { String::new() } else { table.render() }
    })?;
    if items.is_empty() {
        voice.talk("There are no groups. Make one: cordon group add NAME --kind devices");
    }
    Ok(())
}

fn facts(item: &Value) -> String {
    let mut facts = Facts::default();
    for (name, key) in
        [("Name", "name"), ("Id", "id"), ("Kind", "kind"), ("Filter", "filter"), ("Network users", "login_mode")]
    {
        facts.add(name, field(item, key));
    }
    for device in item["devices"].as_array().into_iter().flatten() {
        facts.add("Device", format!("{} {}", field(device, "serial"), field(device, "name")));
    }
    for person in item["people"].as_array().into_iter().flatten() {
        let part = if person["part"] == "teacher" { "Teacher" } else { "Member" };
        facts.add(part, format!("{} {}", field(person, "short_name"), field(person, "long_name")));
    }
    for admin in item["admins"].as_array().into_iter().flatten() {
        facts.add("Teaching admin", admin.as_str().unwrap_or_default());
    }
    facts.render()
}

fn change(api: &dyn Api, args: &ChangeArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let mode = args.login_mode.as_deref().map(|mode| if mode == "school" { "" } else { mode });
    let wish = json!({ "name": args.name, "filter": args.filter, "login_mode": mode });
    let done = api.json(&Call::patch_json(target(&args.group), &wish))?;
    voice.show(&done, || facts(&done))
}

fn member(api: &dyn Api, args: &MemberArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let (members, way) = match &args.verb {
        MemberVerb::Add(args) => (&args.members, "members"),
        MemberVerb::Remove(args) => (&args.members, "members/remove"),
    };
    let Members { group, devices, people, teachers, admins } = members;
    if devices.is_empty() && people.is_empty() && teachers.is_empty() && admins.is_empty() {
        return Err(Failure::usage("say who or what: --device, --person, --teacher or --admin"));
    }
    let wish = json!({ "devices": devices, "people": people, "teachers": teachers, "admins": admins });
    let done = api.json(&Call::post_json(format!("{}/{way}", target(group)), &wish))?;
    voice.show(&done, || facts(&done))
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    #[test]
    fn members_go_in_and_out() {
        let fake = Fake::new(|_| {
            (200, json!({"name": "7b", "kind": "class", "people": [{"short_name": "anna", "part": "teacher"}]}))
        });
        let members = |people: &[&str]| Members {
            group: "7 b".into(),
            devices: vec![],
            people: people.iter().map(|p| (*p).to_owned()).collect(),
            teachers: vec![],
            admins: vec![],
        };
        let none = MemberArgs { verb: MemberVerb::Add(MemberAddArgs { members: members(&[]) }) };
        assert_eq!(heard(false, |voice| member(&fake, &none, voice)).0.unwrap_err().exit_code(), 2);
        let out = MemberArgs { verb: MemberVerb::Remove(MemberRemoveArgs { members: members(&["ben"]) }) };
        let (_, said, _) = heard(false, |voice| member(&fake, &out, voice));
        assert!(said.contains("Teacher") && said.contains("anna"), "{said}");
        let wish = json!({"devices": [], "people": ["ben"], "teachers": [], "admins": []});
        assert_eq!(fake.last(), Call::post_json("/api/v1/groups/7%20b/members/remove", &wish));
    }
}
