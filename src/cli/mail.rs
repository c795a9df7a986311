//! `cordon mail`: warnings by e-mail: which server takes them, whom they go to, a trial, and the log.

use super::asking;
use super::failure::Failure;
use super::files;
use super::moment::told_field;
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
    /// Say which server takes letters, and whom they go to
    Set(Box<SetArgs>),
    /// How it is set, and how sending goes
    Show(ShowArgs),
    /// Send a trial letter and wait for the server's word
    Test(TestArgs),
    /// What people were told of, newest first
    Log(LogArgs),
    /// Tell nobody by e-mail any more
    Remove(RemoveArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon mail set --host mail.hill.example --user cordon --password-file p --from cordon@hill.example --to it@hill.example
  cordon mail set --host smtp.hill.example --security starttls --user cordon --password-file - --from c@hill.example --to a@hill.example --to b@hill.example
  cordon mail set --host localhost --security plain --from cordon@hill.example --to it@hill.example
  cordon mail set --host mail.hill.example --from c@hill.example --to it@hill.example --event certificate.expiring --event server.fault

Without --event people are told of what they must do something about: certificate.expiring, token.expiring, push.topic_paused,
device.attention, device.inactive and server.fault. All that waits goes into one letter, at most one in 15 minutes.")]
struct SetArgs {
    /// The mail server
    #[arg(long)]
    host: String,
    /// [default: 465 for tls, 587 for starttls, 25 for plain]
    #[arg(long)]
    port: Option<u16>,
    /// tls, starttls, or plain for a server on this machine
    #[arg(long, default_value = "tls", value_parser = ["tls", "starttls", "plain"])]
    security: String,
    /// Who logs in there
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// First line of this file; `-` for standard input
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// Authorities of its certificate, PEM [default: the public ones]
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Whom letters come from
    #[arg(long, value_name = "ADDRESS")]
    from: String,
    /// Whom they go to; may be given again
    #[arg(long = "to", value_name = "ADDRESS", required = true)]
    to: Vec<String>,
    /// Tell only this kind of event; may be given again
    #[arg(long = "event", value_name = "KIND")]
    events: Vec<String>,
    /// Keep the settings and send nothing
    #[arg(long)]
    off: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon mail show
  cordon mail show --json")]
struct ShowArgs {}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon mail test

Exit code 1 when the server does not take the letter; the server's own words say why.")]
struct TestArgs {}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon mail log
  cordon mail log --limit 500 --json")]
struct LogArgs {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon mail remove")]
struct RemoveArgs {}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::Set(args) => set(api, args, voice),
        Verb::Show(_) => {
            let found = api.json(&Call::get("/api/v1/mail"))?;
            voice.show(&found, || facts(&found))
        }
        Verb::Test(_) => test(api, voice),
        Verb::Log(args) => log(api, args, voice),
        Verb::Remove(_) => {
            api.json(&Call::delete("/api/v1/mail"))?;
            voice.show(&json!({ "removed": true }), || String::from("Nobody is told by e-mail any more."))
        }
    }
}

fn set(api: &dyn Api, args: &SetArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let mut wish = json!({
        "host": args.host, "port": args.port, "security": args.security, "username": args.user, "from": args.from, "to": args.to,
        "events": args.events, "enabled": !args.off,
    });
    if args.user.is_some() {
        let file = args.password_file.as_deref();
        let password = asking::secret(file, "Password of the mail account: ", "--password-file FILE")?;
        wish["password"] = json!(password.expose());
    }
    if let Some(path) = &args.ca_file {
        wish["ca_pem"] = json!(files::read_authorities(path)?);
    }
    let done = api.json(&Call { method: "PUT", ..Call::post_json("/api/v1/mail", &wish) })?;
    voice.show(&done, || facts(&done))?;
    voice.advise("See whether it arrives: cordon mail test");
    Ok(())
}

fn list(item: &Value, key: &str) -> String {
    let each = item[key].as_array().into_iter().flatten().filter_map(Value::as_str);
    each.collect::<Vec<_>>().join(", ")
}

fn facts(item: &Value) -> String {
    let mut facts = Facts::default();
    facts.add("Server", format!("{}:{} ({})", field(item, "host"), field(item, "port"), field(item, "security")));
    facts.add("Logs in as", field(item, "username"));
    facts.add("From", field(item, "from"));
    facts.add("To", list(item, "to"));
    facts.add("Tells of", list(item, "events"));
    facts.add("On", if item["enabled"] == true { "yes" } else { "no" });
    facts.add("Waiting", field(item, "waiting"));
    facts.add("Last taken", item["last_taken"].as_str().unwrap_or("never"));
    facts.add("Trouble", field(item, "trouble"));
    facts.render()
}

fn test(api: &dyn Api, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let tried = api.json(&Call::post_json("/api/v1/mail/test", &json!({})))?;
    voice.show(&tried, || {
        let mut text = format!("The server took it for {}: {}\n", list(&tried, "to"), field(&tried, "answer"));
        for refused in tried["refused"].as_array().into_iter().flatten() {
            text.push_str(&format!("Refused: {}: {}\n", field(refused, "address"), field(refused, "why")));
        }
        text
    })?;
    voice.advise("Whether it arrives, only the mailbox shows.");
    Ok(())
}

fn log(api: &dyn Api, args: &LogArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let (items, next) = api.list(&Call::get("/api/v1/mail/log"), Some(args.limit))?;
    let now = voice.now();
    voice.show(&json!({ "items": items, "next_cursor": next }), || {
        let mut table = Table::new(&["HAPPENED", "EVENT", "STATE", "SENT"]);
        for item in &items {
            let (at, sent) = (told_field(&item["at"], now), told_field(&item["sent_at"], now));
            table.row([at, cell(item, "kind"), cell(item, "state"), sent]);
        }
        if items.is_empty() { String::new() } else { table.render() }
    })?;
    if items.is_empty() {
        voice.advise("Nothing was told by e-mail yet.");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    #[test]
    fn a_trial_tells_who_was_refused() {
        let fake = Fake::new(|_| {
            (
                200,
                json!({ "answer": "250 ok", "to": ["a@x.example"], "refused": [{ "address": "b@x.example", "why": "550 no" }] }),
            )
        });
        let (done, out, _) = heard(false, |voice| test(&fake, voice));
        assert!(done.is_ok() && out.contains("a@x.example: 250 ok") && out.contains("b@x.example: 550 no"), "{out}");
        assert_eq!(fake.last(), Call::post_json("/api/v1/mail/test", &json!({})));
    }
}
