//! `cordon token`: tokens for scripts that use the HTTP API. The text of a token is printed once and is nowhere else.

use super::failure::Failure;
use super::moment::told_field;
use super::reach::{Api, Call, escape};
use super::table::{Table, cell, field};
use super::voice::Voice;
use crate::base::time::Timestamp;
use clap::Subcommand;
use serde_json::{Value, json};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a token; it is printed once
    Create(CreateArgs),
    /// Tokens that are in force or were
    List(ListArgs),
    /// End a token
    Revoke(RevokeArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon token create inventory --role auditor --expires-in 90d
  TOKEN=$(cordon token create nightly --role helpdesk)
  curl -H \"Authorization: Bearer $TOKEN\" https://mdm.hill.example/api/v1/devices

Roles: auditor looks; helpdesk also sends harmless commands; admin also erases and enrols; owner may everything.")]
struct CreateArgs {
    /// What it is for
    name: String,
    /// What it may do
    #[arg(long, value_parser = ["owner", "admin", "helpdesk", "teacher", "auditor"])]
    role: String,
    /// Ends by itself after this span, such as 12h, 90d, 2w
    #[arg(long, value_name = "SPAN")]
    expires_in: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon token list
  cordon token list --json")]
struct ListArgs {}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon token revoke t-4k7qx2")]
struct RevokeArgs {
    /// Its id, from `cordon token list`
    id: String,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::Create(args) => create(api, args, voice),
        Verb::List(_) => list(api, voice),
        Verb::Revoke(args) => revoke(api, args, voice),
    }
}

fn create(api: &dyn Api, args: &CreateArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let wish = json!({ "name": args.name, "role": args.role, "expires_in": args.expires_in });
    let made = api.json(&Call::post_json("/api/v1/tokens", &wish))?;
    // Only the token on stdout, so that `TOKEN=$(cordon token create …)` works.
    voice.show(&made, || field(&made, "token"))?;
    let until = made["expires_at"].as_str().map(|at| format!(" until {at}")).unwrap_or_default();
    voice.advise(&format!(
        "This is {} ({}){until}. Keep it now: it is not shown again.",
        field(&made, "id"),
        args.role
    ));
    Ok(())
}

fn list(api: &dyn Api, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let (items, next) = api.list(&Call::get("/api/v1/tokens"), None)?;
    let now = voice.now();
    voice.show(&json!({ "items": items, "next_cursor": next }), || {
        if items.is_empty() { String::new() } else { rows(&items, now) }
    })?;
    if items.is_empty() {
        voice.advise("There are no tokens. Make one: cordon token create NAME --role auditor --expires-in 90d");
    }
    Ok(())
}

fn rows(items: &[Value], now: Timestamp) -> String {
    let mut table = Table::new(&["ID", "NAME", "ROLE", "MADE BY", "LAST USED", "ENDS"]);
    for item in items {
        let ends = match (&item["revoked_at"], &item["expires_at"]) {
            (Value::String(_), _) => String::from("revoked"),
            (_, ends) => told_field(ends, now),
        };
        let used = told_field(&item["last_used_at"], now);
        table.row([cell(item, "id"), cell(item, "name"), cell(item, "role"), cell(item, "created_by"), used, ends]);
    }
    table.render()
}

fn revoke(api: &dyn Api, args: &RevokeArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let mut done = api.json(&Call::delete(format!("/api/v1/tokens/{}", escape(&args.id))))?;
    if done.is_null() {
        done = json!({ "id": args.id, "revoked": true });
    }
    voice.show(&done, || format!("{} is revoked.", args.id))
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    #[test]
    fn only_the_token_goes_to_stdout() {
        let made = json!({"id": "t-1", "name": "n", "role": "admin", "token": "cordon_x", "expires_at": null});
        let fake = Fake::new(move |_| (201, made.clone()));
        let args = CreateArgs { name: "n".into(), role: "admin".into(), expires_in: Some("90d".into()) };
        let (_, out, err) = heard(false, |voice| create(&fake, &args, voice));
        assert_eq!(out, "cordon_x\n");
        assert!(err.contains("not shown again") && !err.contains("cordon_x"), "{err}");
        let (_, out, err) = heard(true, |voice| create(&fake, &args, voice));
        let json: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((json["id"].as_str(), json["token"].as_str(), err.as_str()), (Some("t-1"), Some("cordon_x"), ""));
    }

    #[test]
    fn the_list_and_the_end() {
        let fake = Fake::new(|_| {
            (
                200,
                json!({"items": [{"id": "t-1", "name": "n", "role": "admin", "created_by": "local:ada",
            "last_used_at": null, "expires_at": "2026-11-19T12:00:00Z", "revoked_at": null}]}),
            )
        });
        let (_, out, _) = heard(false, |voice| list(&fake, voice));
        assert_eq!(
            out,
            "ID   NAME  ROLE   MADE BY    LAST USED  ENDS\nt-1  n     admin  local:ada  never      in 1 day\n"
        );
        let fake = Fake::new(|_| (204, Value::Null));
        let (_, out, _) = heard(false, |voice| revoke(&fake, &RevokeArgs { id: "t-1".into() }, voice));
        assert_eq!(
            (out.as_str(), fake.last().method, fake.last().target.as_str()),
            ("t-1 is revoked.\n", "DELETE", "/api/v1/tokens/t-1")
        );
    }
}
