//! `cordon user`: the school's people, who use devices. Passwords come from a file or are typed unseen, never as an argument.

use super::asking;
use super::failure::Failure;
use super::files;
use super::reach::{Api, Call, escape};
use super::table::{Facts, Table, cell, field};
use super::voice::Voice;
use crate::base::secret::Secret;
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Longest list, bytes: a school of 20,000.
const MAX_CSV: usize = 4 * 1024 * 1024;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Add somebody
    Add(AddArgs),
    /// Who there is
    List(ListArgs),
    /// Everything about one person
    Show(ShowArgs),
    /// What the school knows of them beside the rest, for variables in profiles
    Fields(super::fields::FieldsArgs),
    /// Set the password that the person logs in to Macs with
    Password(PasswordArgs),
    /// Let somebody sign in and be managed no more
    Disable(NameArgs),
    /// Take that back
    Enable(EnableArgs),
    /// Take everything about a person out, for good
    Erase(EraseArgs),
    /// Add or change many people from a CSV file
    Import(ImportArgs),
    /// How network users of Macs are dealt with
    Network(NetworkArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon user add anna --password-file anna.txt
  cordon user add anna --long-name 'Anna Berg' --mail anna@hill.example --guid 6F1C2D3E-0A1B-4C2D-8E3F-112233445566
  cordon user add anna --no-password

The password is the one that the person logs in to Macs with. It makes the secret that answers a Mac's digest and a hash for the
enrolment pages; the password itself is not kept.")]
struct AddArgs {
    /// What they log in as
    name: String,
    #[arg(long, value_name = "NAME")]
    long_name: Option<String>,
    #[arg(long, value_name = "ADDRESS")]
    mail: Option<String>,
    /// Id of the person's record in a directory; may be given again
    #[arg(long = "guid", value_name = "GUID")]
    guids: Vec<String>,
    /// First line of this file; `-` for standard input
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Without one: known by GUID only
    #[arg(long, conflicts_with = "password_file")]
    no_password: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon user list
  cordon user list --search an --json")]
struct ListArgs {
    /// Beginning of a name or mail address
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon user show anna
  cordon user show u-4k7qx2m9pa")]
struct ShowArgs {
    /// Short name, or the id that the audit says
    name: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon user password anna
  cordon user password anna --password-file new.txt")]
struct PasswordArgs {
    name: String,
    /// First line of this file; `-` for standard input
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon user disable anna")]
struct NameArgs {
    name: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon user enable anna")]
struct EnableArgs {
    name: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon user erase anna --yes

Names, mail, ids, passwords and memberships go, and the name on the channels of Macs. The audit keeps the id, which then is nobody's.
Backups hold the person until they are old.")]
struct EraseArgs {
    name: String,
    /// It cannot be taken back
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon user import people.csv --dry-run
  cordon user import people.csv

The first line names the columns: short_name, and any of long_name, mail, guid, classes, teaches, password. Commas, semicolons or
tabs separate them; classes are separated by | or by the sign that the file does not use otherwise. People are found by guid, else by
short_name, and added when they are not there; an empty field leaves what is known. Nothing is written while a line is wrong.")]
struct ImportArgs {
    /// CSV in UTF-8; `-` for standard input
    file: PathBuf,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon user network
  cordon user network --mode refuse
  cordon user network --serve-further no

Modes: digest manages people of the school who prove their password; known manages them without asking for it; refuse manages none.
A group's own mode (cordon group add … --login-mode) goes before; of several groups the strictest counts.")]
struct NetworkArgs {
    #[arg(long, value_parser = ["known", "digest", "refuse"])]
    mode: Option<String>,
    /// Whether local users beside the one who installed the profile are served, should one ever come
    #[arg(long, value_name = "YES_OR_NO", value_parser = ["yes", "no"])]
    serve_further: Option<String>,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::Add(args) => add(api, args, voice),
        Verb::List(args) => list(api, args, voice),
        Verb::Show(args) => {
            let found = api.json(&Call::get(target(&args.name)))?;
            voice.show(&found, || facts(&found))
        }
        Verb::Password(args) => {
            let password = asking::new_password(args.password_file.as_deref(), &args.name, "--password-file FILE")?;
            change(api, &args.name, &json!({ "password": password.expose() }), "has a new password", voice)
        }
        Verb::Disable(args) => change(api, &args.name, &json!({ "disabled": true }), "is disabled", voice),
        Verb::Enable(args) => change(api, &args.name, &json!({ "disabled": false }), "is enabled", voice),
        Verb::Fields(args) => super::fields::run(api, "users", args, voice),
        Verb::Erase(args) => erase(api, args, voice),
        Verb::Import(args) => import(api, args, voice),
        Verb::Network(args) => network(api, args, voice),
    }
}

fn target(name: &str) -> String {
    format!("/api/v1/users/{}", escape(name))
}

fn add(api: &dyn Api, args: &AddArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let mut wish =
        json!({ "short_name": args.name, "long_name": args.long_name, "mail": args.mail, "guids": args.guids });
    if !args.no_password {
        let password = asking::new_password(args.password_file.as_deref(), &args.name, "--password-file FILE")?;
        wish["password"] = json!(password.expose());
    }
    let made = api.json(&Call::post_json("/api/v1/users", &wish))?;
    voice.show(&made, || format!("{} is {}.", field(&made, "short_name"), field(&made, "id")))
}

fn list(api: &dyn Api, args: &ListArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let call = Call::get("/api/v1/users").with("search", args.search.as_ref());
    let (items, next) = api.list(&call, args.limit)?;
    voice.show(&json!({ "items": items, "next_cursor": next }), || {
        if items.is_empty() { String::new() } else { rows(&items) }
    })?;
    if items.is_empty() {
        voice.talk("There is nobody. Add somebody: cordon user add NAME, or many: cordon user import FILE.csv");
    }
    Ok(())
}

fn rows(items: &[Value]) -> String {
    let mut table = Table::new(&["NAME", "LONG NAME", "MAIL", "FROM", "DIGEST", "STATE"]);
    for item in items {
        let digest = if item["digest"] == true { "yes" } else { "no" };
        table.row([
            cell(item, "short_name"),
            cell(item, "long_name"),
            cell(item, "mail"),
            cell(item, "source"),
            digest.to_owned(),
            state(item).to_owned(),
        ]);
    }
    table.render()
}

fn state(item: &Value) -> &'static str {
    match (&item["disabled_at"], &item["vanished"]) {
        (Value::String(_), Value::Bool(true)) => "gone from the directory",
        (Value::String(_), _) => "disabled",
        _ => "in force",
    }
}

fn facts(item: &Value) -> String {
    let mut facts = Facts::default();
    for (name, key) in [("Id", "id"), ("Short name", "short_name"), ("Long name", "long_name"), ("Mail", "mail")] {
        facts.add(name, field(item, key));
    }
    facts.add("From", field(item, "source"));
    facts.add("State", state(item));
    for guid in item["guids"].as_array().into_iter().flatten() {
        facts.add("GUID", format!("{} ({})", field(guid, "guid"), field(guid, "kind")));
    }
    facts.add(
        "Digest secret",
        if item["digest"] == true { "yes" } else { "no: set a password, or sign in once on the enrolment page" },
    );
    facts.render()
}

fn change(api: &dyn Api, name: &str, wish: &Value, words: &str, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let done = api.json(&Call::patch_json(target(name), wish))?;
    voice.show(&done, || format!("{name} {words}."))
}

fn erase(api: &dyn Api, args: &EraseArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    if !args.yes {
        return Err(Failure::usage(format!("erasing {} cannot be taken back; say --yes if that is meant", args.name)));
    }
    api.json(&Call::delete(target(&args.name)))?;
    voice.show(&json!({ "name": args.name, "erased": true }), || format!("{} is erased.", args.name))
}

fn import(api: &dyn Api, args: &ImportArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let csv = Secret::new(files::read_text(&args.file, MAX_CSV)?);
    let wish = json!({ "csv": csv.expose(), "dry_run": args.dry_run });
    let report = api.json(&Call::post_json("/api/v1/users/import", &wish))?;
    let wrong = report["wrong_lines"].as_array().map_or(0, Vec::len);
    voice.show(&report, || imported(&report, args.dry_run))?;
    if wrong > 0 {
        return Err(Failure::new("wrong-lines", format!("{wrong} line(s) are wrong; nothing was written")));
    }
    Ok(())
}

fn imported(report: &Value, dry_run: bool) -> String {
    let mut text = String::new();
    for wrong in report["wrong_lines"].as_array().into_iter().flatten() {
        text.push_str(&format!("line {}: {}\n", wrong["line"], field(wrong, "why")));
    }
    for column in report["ignored_columns"].as_array().into_iter().flatten() {
        text.push_str(&format!("The column {column} means nothing here and was left out.\n"));
    }
    if !text.is_empty() && report["applied"] != true && !dry_run {
        return text;
    }
    let would = if dry_run { "would be " } else { "" };
    let (added, changed, unchanged) = (&report["added"], &report["changed"], &report["unchanged"]);
    text.push_str(&format!("{added} {would}added, {changed} {would}changed, {unchanged} left as they are.\n"));
    let classes: Vec<&str> =
        report["classes_added"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !classes.is_empty() {
        text.push_str(&format!("New classes: {}.\n", classes.join(", ")));
    }
    text
}

fn network(api: &dyn Api, args: &NetworkArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let target = "/api/v1/network-users";
    let policy = if args.mode.is_none() && args.serve_further.is_none() {
        api.json(&Call::get(target))?
    } else {
        let serve = args.serve_further.as_deref().map(|said| said == "yes");
        api.json(&Call::patch_json(target, &json!({ "mode": args.mode, "serve_further_local_users": serve })))?
    };
    voice.show(&policy, || {
        let mut facts = Facts::default();
        facts.add("Network users", field(&policy, "mode"));
        let serve = if policy["serve_further_local_users"] == true { "served" } else { "only recorded" };
        facts.add("Further local users", serve);
        facts.render()
    })
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    #[test]
    fn a_password_comes_from_a_file_and_is_never_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        std::fs::write(&path, "tin roof\n").unwrap();
        let fake = Fake::new(|_| (201, json!({"id": "u-1", "short_name": "anna"})));
        let args = AddArgs {
            name: "anna".into(),
            long_name: None,
            mail: None,
            guids: vec![],
            password_file: Some(path),
            no_password: false,
        };
        let (done, out, _) = heard(false, |voice| add(&fake, &args, voice));
        assert_eq!((done, out.as_str()), (Ok(()), "anna is u-1.\n"));
        let wish = json!({"short_name": "anna", "long_name": null, "mail": null, "guids": [], "password": "tin roof"});
        assert_eq!(fake.last(), Call::post_json("/api/v1/users", &wish));
    }

    #[test]
    fn erasing_wants_to_be_meant() {
        let fake = Fake::new(|_| (204, Value::Null));
        let mut args = EraseArgs { name: "anna".into(), yes: false };
        assert_eq!(heard(false, |voice| erase(&fake, &args, voice)).0.unwrap_err().exit_code(), 2);
        args.yes = true;
        assert_eq!(heard(false, |voice| erase(&fake, &args, voice)).1, "anna is erased.\n");
        assert_eq!(fake.last(), Call::delete("/api/v1/users/anna"));
    }
}
