//! `cordon directory`: the LDAP directory that the school's people come from.

use super::asking;
use super::failure::Failure;
use super::files;
use super::reach::{Api, Call};
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
    /// Say where the directory is
    Set(Box<SetArgs>),
    /// Where it is, and how the last look at it went
    Show(ShowArgs),
    /// Ask it and change nothing
    Test(TestArgs),
    /// Take its people over now; it happens by itself every six hours
    Sync(SyncArgs),
    /// Forget where it is; its people stay
    Remove(RemoveArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon directory set --url ldaps://od.hill.example --base cn=users,dc=od,dc=hill,dc=example
  cordon directory set --url ldaps://ad.hill.example --base ou=People,dc=hill,dc=example --filter '(objectClass=user)' \\
      --short-name sAMAccountName --long-name displayName --bind-dn cn=cordon,dc=hill,dc=example --bind-password-file p --ca-file ca.pem

Give --bind-dn an account that may read people and nothing else.")]
struct SetArgs {
    /// ldaps://HOST[:PORT], or ldap:// to this machine
    #[arg(long)]
    url: String,
    /// Below which people are
    #[arg(long, value_name = "DN")]
    base: String,
    /// Who is a person of the school [default: everybody with a short name]
    #[arg(long)]
    filter: Option<String>,
    /// Who asks
    #[arg(long, value_name = "DN")]
    bind_dn: Option<String>,
    /// First line of this file; `-` for standard input
    #[arg(long, value_name = "FILE", requires = "bind_dn")]
    bind_password_file: Option<PathBuf>,
    /// Authorities of its certificate, PEM [default: the public ones]
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Attribute with the name that people log in as
    #[arg(long, value_name = "ATTRIBUTE", default_value = "uid")]
    short_name: String,
    #[arg(long, value_name = "ATTRIBUTE", default_value = "cn")]
    long_name: String,
    #[arg(long, value_name = "ATTRIBUTE", default_value = "mail")]
    mail: String,
    /// Attribute with the id of the record; may be given again [default: apple-generateduid, entryUUID, objectGUID]
    #[arg(long = "guid", value_name = "ATTRIBUTE")]
    guids: Vec<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon directory show")]
struct ShowArgs {}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon directory test")]
struct TestArgs {}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon directory sync
  cordon directory sync --json

Who has vanished from the directory is disabled and comes back by itself. When more than a fifth (and more than ten) have vanished at
once, nobody is disabled: look at the filter first.")]
struct SyncArgs {}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon directory remove")]
struct RemoveArgs {}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::Set(args) => set(api, args, voice),
        Verb::Show(_) => {
            let found = api.json(&Call::get("/api/v1/directory"))?;
            voice.show(&found, || facts(&found))
        }
        Verb::Test(_) => test(api, voice),
        Verb::Sync(_) => sync(api, voice),
        Verb::Remove(_) => {
            api.json(&Call::delete("/api/v1/directory"))?;
            voice.show(&json!({ "removed": true }), || String::from("The directory is forgotten; its people stay."))
        }
    }
}

fn set(api: &dyn Api, args: &SetArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let mut wish = json!({ "url": args.url, "base_dn": args.base, "filter": args.filter, "bind_dn": args.bind_dn });
    if args.bind_dn.is_some() {
        let file = args.bind_password_file.as_deref();
        let password = asking::secret(file, "Password of the account that asks: ", "--bind-password-file FILE")?;
        wish["bind_password"] = json!(password.expose());
    }
    if let Some(path) = &args.ca_file {
        wish["ca_pem"] = json!(files::read_authorities(path)?);
    }
    let usual = || ["apple-generateduid", "entryUUID", "objectGUID"].map(String::from).to_vec();
    let guids = if args.guids.is_empty() { usual() } else { args.guids.clone() };
    wish["attributes"] =
        json!({ "short_name": args.short_name, "long_name": args.long_name, "mail": args.mail, "guids": guids });
    let done = api.json(&Call { method: "PUT", ..Call::post_json("/api/v1/directory", &wish) })?;
    voice.show(&done, || facts(&done))?;
    voice.advise("Try it before its people are taken over: cordon directory test");
    Ok(())
}

fn facts(item: &Value) -> String {
    let mut facts = Facts::default();
    for (name, key) in [("Directory", "url"), ("Base", "base_dn"), ("Filter", "filter"), ("Asked by", "bind_dn")] {
        facts.add(name, field(item, key));
    }
    facts.add("Last taken over", item["last_sync_at"].as_str().unwrap_or("never"));
    facts.add("Failed", field(&item["last_sync"], "failed"));
    facts.render()
}

fn test(api: &dyn Api, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let tried = api.json(&Call::post_json("/api/v1/directory/test", &json!({})))?;
    voice.show(&tried, || {
        let mut table = Table::new(&["NAME", "LONG NAME", "MAIL", "IDS"]);
        for person in tried["first"].as_array().into_iter().flatten() {
            let guids: Vec<&str> = person["guids"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            table.row([cell(person, "short_name"), cell(person, "long_name"), cell(person, "mail"), guids.join(" ")]);
        }
        format!("It answers and has {} people; the first are\n\n{}", tried["found"], table.render())
    })
}

fn sync(api: &dyn Api, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let report = api.json(&Call::post_json("/api/v1/directory/sync", &json!({})))?;
    voice.show(&report, || {
        let mut text = format!(
            "{} found: {} added, {} changed, {} left as they are, {} gone and disabled, {} back.\n",
            report["found"],
            report["added"],
            report["changed"],
            report["unchanged"],
            report["vanished"],
            report["returned"]
        );
        for trouble in report["troubles"].as_array().into_iter().flatten() {
            text.push_str(&format!("{}\n", trouble.as_str().unwrap_or_default()));
        }
        text
    })?;
    match &report["too_many_vanished"] {
        Value::Null => Ok(()),
        many => Err(Failure::new(
            "too-many-vanished",
            format!("{many} people have vanished at once, so nobody was disabled; look at base and filter"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    #[test]
    fn too_many_gone_is_a_failure_that_says_so() {
        let fake = Fake::new(|_| {
            (
                200,
                json!({"found": 1, "added": 0, "changed": 0, "unchanged": 1, "vanished": 0, "returned": 0, "too_many_vanished": 300, "troubles": []}),
            )
        });
        let (done, out, _) = heard(false, |voice| sync(&fake, voice));
        assert!(done.unwrap_err().detail.contains("300") && out.starts_with("1 found"), "{out}");
        assert_eq!(fake.last(), Call::post_json("/api/v1/directory/sync", &json!({})));
    }
}
