//! `cordon user`: the school's people, who use devices. Passwords come from a file or are typed unseen, never as an argument.

use super::asking;
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
    /// Add somebody
    Add(AddArgs),
    /// Who there is
    List(ListArgs),
    /// Everything about one person
    Show(ShowArgs),
    /// Set the password that the person logs in to Macs with
    Password(PasswordArgs),
    /// Let somebody sign in and be managed no more
    Disable(NameArgs),
    /// Take that back
    Enable(EnableArgs),
    /// Take everything about a person out, for good
    Erase(EraseArgs),
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
        Verb::Erase(args) => erase(api, args, voice),
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
