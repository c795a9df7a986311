//! `cordon account`: accounts on devices, each in a profile of its own.

use super::asking;
use super::command::plan::{pair, with_file};
use super::failure::Failure;
use super::library::{self, advise};
use super::moment::told_field;
use super::reach::{Api, Call, escape};
use super::table::{Facts, Table, cell, field};
use super::voice::Voice;
use crate::base::time::Timestamp;
use crate::protocol::catalogue::{self, KeySpec};
use crate::protocol::profile::{AccountKind, find_secret};
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
    /// Add an account for a person or a device
    Add(AddArgs),
    /// All accounts
    List(ListArgs),
    /// One account: whose it is, where it stands
    Show(ShowArgs),
    /// Change its name or settings
    Change(ChangeArgs),
    /// Give it a new password: its profile is replaced, and no other
    Password(PasswordArgs),
    /// Install its profile once more, and no other
    Repair(RepairArgs),
    /// Remove it from every device that has it
    Remove(RemoveArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon account add caldav Calendar CalDAVHostName=cal.school.example CalDAVUsername={{user.mail}} --user ada
  cordon account add exchange Mail Host=mail.school.example EmailAddress={{user.mail}} --device C02XK1ZZJGH5 --password-file password.txt
  cordon account add wifi 'School Wi-Fi' SSID_STR=School EncryptionType=WPA2 --device C02XK1ZZJGH5 --certificate

An account is one person's or one device's. What is said of KEY=VALUE in `cordon profile build --help` holds here;
`cordon profile payloads TYPE` shows the keys. A password is sealed, sent once and then forgotten; without one the device asks
its user. A certificate is issued here and replaced a month before it ends.")]
struct AddArgs {
    /// mail, exchange, exchange-mac, caldav, carddav, ldap, wifi or vpn
    #[arg(value_name = "KIND", value_parser = kind)]
    kind: AccountKind,
    /// What people call it
    name: String,
    /// Apple's keys
    #[arg(value_name = "KEY=VALUE", value_parser = pair)]
    pairs: Vec<(String, String)>,
    #[command(flatten)]
    holder: Holder,
    /// First line of this file; `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "certificate")]
    password_file: Option<PathBuf>,
    /// With a certificate of the school's
    #[arg(long)]
    certificate: bool,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Holder {
    /// A person or user, wherever they log in
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// The device itself
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon account list
  cordon account list --user ada
  cordon account list --json")]
struct ListArgs {
    /// Only this person's, and those on their own devices
    #[arg(long, value_name = "USER")]
    user: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon account show ac-4k7qx2mn
  cordon account show ac-4k7qx2mn --json")]
struct ShowArgs {
    /// Its id, or its profile's
    account: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon account change ac-4k7qx2mn --name 'School mail'
  cordon account change ac-4k7qx2mn CalDAVHostName=dav.school.example CalDAVUsername={{user.mail}}
  cordon account change ac-4k7qx2mn Host=new.school.example --password-file password.txt

Settings that are given take the place of all before. The password is not kept here: without --password-file the devices ask
their users for it.")]
struct ChangeArgs {
    /// Its id, or its profile's
    account: String,
    /// Apple's keys, all of them anew
    #[arg(value_name = "KEY=VALUE", value_parser = pair)]
    pairs: Vec<(String, String)>,
    /// What people call it
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// First line of this file; `-` for standard input
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon account password ac-4k7qx2mn
  cordon account password ac-4k7qx2mn --password-file password.txt

People can do this themselves for their own accounts, at /accounts of this server.")]
struct PasswordArgs {
    /// Its id, or its profile's
    account: String,
    /// First line of this file; `-` for standard input
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon account repair ac-4k7qx2mn
  cordon account repair ac-4k7qx2mn --device C02XK1ZZJGH5

An account with a certificate gets a new one.")]
struct RepairArgs {
    /// Its id, or its profile's
    account: String,
    /// On this device alone
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon account remove ac-4k7qx2mn")]
struct RemoveArgs {
    /// Its id, or its profile's
    account: String,
}

fn kind(text: &str) -> Result<AccountKind, String> {
    let all: Vec<&str> = AccountKind::ALL.iter().map(|kind| kind.as_str()).collect();
    AccountKind::parse(text).ok_or_else(|| format!("is one of {}", all.join(", ")))
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::Add(args) => add(api, args, voice),
        Verb::List(args) => list(api, args, voice),
        Verb::Show(args) => {
            let found = api.json(&Call::get(path(&args.account)))?;
            let now = voice.now();
            voice.show(&found, || story(&found, now))
        }
        Verb::Change(args) => change(api, args, voice),
        Verb::Password(args) => {
            let password = asking::new_password(args.password_file.as_deref(), &args.account, "--password-file FILE")?;
            let wish = json!({ "password": password.expose() });
            said(api, &Call::post_json(format!("{}/password", path(&args.account)), &wish), "has a new password", voice)
        }
        Verb::Repair(args) => {
            let wish = json!({ "device": args.device });
            said(
                api,
                &Call::post_json(format!("{}/repair", path(&args.account)), &wish),
                "is installed once more",
                voice,
            )
        }
        Verb::Remove(args) => library::remove(api, path(&args.account), &args.account, voice),
    }
}

fn path(account: &str) -> String {
    format!("/api/v1/accounts/{}", escape(account))
}

fn said(api: &dyn Api, call: &Call, what: &str, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let account = api.json(call)?;
    voice.show(&account, || {
        format!("“{}” {what}; on its way to {} channel(s).", field(&account, "name"), cell(&account, "waiting"))
    })?;
    advise(&account, voice);
    Ok(())
}

/// Apple's keys as the API wants them.
fn settings(kind: AccountKind, pairs: &[(String, String)]) -> Result<Value, Failure> {
    let payload = kind.payload_type();
    let specs: Vec<KeySpec> = catalogue::find_payloads(payload).into_iter().flat_map(|spec| spec.keys).collect();
    let pairs: Vec<(String, String)> = pairs
        .iter()
        .map(|(key, value)| Ok((key.clone(), with_file(&specs, key, value)?)))
        .collect::<Result<_, Failure>>()?;
    let keys = catalogue::build_payload(payload, &pairs)
        .map_err(|error| Failure::usage(format!("{error}. `cordon profile payloads {payload}` shows all keys.")))?;
    match find_secret(&keys) {
        Some(key) => Err(Failure::usage(format!("{key} is a secret; give it with --password-file, it is not kept."))),
        None => Ok(catalogue::to_json(payload, &keys)),
    }
}

fn add(api: &dyn Api, args: &AddArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let mut wish = json!({
        "kind": args.kind.as_str(), "name": args.name, "user": args.holder.user, "device": args.holder.device,
        "settings": settings(args.kind, &args.pairs)?,
    });
    if args.certificate {
        wish["credential"] = json!("certificate");
    } else if let Some(file) = &args.password_file {
        let password = asking::secret(Some(file), "Password: ", "--password-file FILE")?;
        wish["password"] = json!(password.expose());
    }
    let made = api.json(&Call::post_json("/api/v1/accounts", &wish))?;
    voice.show(&made, || field(&made, "id"))?;
    voice.advise(&format!("“{}” is on its way to {} channel(s).", field(&made, "name"), cell(&made, "waiting")));
    advise(&made, voice);
    Ok(())
}

fn list(api: &dyn Api, args: &ListArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let (items, next) = api.list(&Call::get("/api/v1/accounts").with("user", args.user.as_ref()), None)?;
    let now = voice.now();
    voice.show(&json!({ "items": items, "next_cursor": next }), || {
        let mut table = Table::new(&["ID", "KIND", "NAME", "OF", "BY", "ENDS", "INSTALLED", "WAITING"]);
        for item in &items {
            let ends = match &item["certificate_not_after"] {
                Value::Null => String::new(),
                at => told_field(at, now),
            };
            table.row([
                cell(item, "id"),
                cell(item, "kind"),
                cell(item, "name"),
                field(item, "holder"),
                cell(item, "credential"),
                ends,
                cell(item, "installed"),
                cell(item, "waiting"),
            ]);
        }
        if items.is_empty() { String::new() } else { table.render() }
    })?;
    if items.is_empty() {
        voice.advise("There are no accounts. Add one: cordon account add --help");
    }
    Ok(())
}

fn story(account: &Value, now: Timestamp) -> String {
    let mut facts = Facts::default();
    facts.add("Name", field(account, "name"));
    facts.add("Id", field(account, "id"));
    facts.add("Kind", field(account, "kind"));
    facts.add("Of", [field(account, "holder_kind"), field(account, "holder")].join(" "));
    let by = match (account["credential"].as_str(), account["credential_kept"].as_bool()) {
        (Some("ask"), _) => String::from("the device asks its user"),
        (Some("password"), Some(true)) => String::from("a password, sealed here until every device has it"),
        (Some("password"), _) => String::from("a password, which is not kept here"),
        (_, Some(true)) => String::from("a certificate, on its way"),
        _ => String::from("a certificate"),
    };
    facts.add("Proves itself by", by);
    if !account["certificate_not_after"].is_null() {
        facts.add("Certificate ends", told_field(&account["certificate_not_after"], now));
    }
    facts.add("Profile", field(account, "identifier"));
    facts.add("Version", cell(account, "version"));
    facts.add("Installed on", format!("{} channel(s)", cell(account, "installed")));
    facts.add("On its way to", format!("{} channel(s)", cell(account, "waiting")));
    for (key, value) in account["settings"].as_object().into_iter().flatten() {
        facts.add(key, value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    facts.render()
}

fn change(api: &dyn Api, args: &ChangeArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let mut wish = serde_json::Map::new();
    if let Some(name) = &args.name {
        wish.insert(String::from("name"), json!(name));
    }
    if !args.pairs.is_empty() {
        let found = api.json(&Call::get(path(&args.account)))?;
        let kind = kind(&field(&found, "kind")).map_err(Failure::usage)?;
        wish.insert(String::from("settings"), settings(kind, &args.pairs)?);
    }
    if let Some(file) = &args.password_file {
        let password = asking::secret(Some(file), "Password: ", "--password-file FILE")?;
        wish.insert(String::from("password"), json!(password.expose()));
    }
    if wish.is_empty() {
        return Err(Failure::usage(String::from("Say what is to change: KEY=VALUE, --name or --password-file.")));
    }
    said(api, &Call::patch_json(path(&args.account), &Value::Object(wish)), "is changed", voice)
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn settings_are_typed_and_hold_no_secret() {
        let given = pairs(&[("CalDAVHostName", "cal"), ("CalDAVPort", "8443"), ("CalDAVUsername", "{{user.mail}}")]);
        let typed = settings(AccountKind::CalDav, &given).unwrap();
        assert_eq!(typed, json!({ "CalDAVHostName": "cal", "CalDAVPort": 8443, "CalDAVUsername": "{{user.mail}}" }));
        assert!(settings(AccountKind::CalDav, &pairs(&[("CalDAVPassword", "x")])).is_err());
        assert!(settings(AccountKind::CalDav, &pairs(&[("Nonsense.0.x", "x"), ("CalDAVPort", "x")])).is_err());
    }

    #[test]
    fn a_repair_asks_for_one_device() {
        let fake = Fake::new(|_| (200, json!({ "id": "ac-1", "name": "Mail", "waiting": 1, "notes": ["Said."] })));
        let args = Args { verb: Verb::Repair(RepairArgs { account: "ac 1".into(), device: Some("X".into()) }) };
        let (done, out, err) = heard(false, |voice| run(&fake, &args, voice));
        assert_eq!(done, Ok(()));
        assert!(out.contains("1 channel(s)") && err.contains("Said."), "{out} {err}");
        assert_eq!(fake.last().target, "/api/v1/accounts/ac%201/repair");
    }
}
