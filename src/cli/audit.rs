//! `cordon audit`: who did what, and whether the chain of records is whole.

use super::failure::Failure;
use super::reach::{Api, Call};
use super::table::{Table, cell, field};
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
    /// Records, oldest first
    List(ListArgs),
    /// Check that no record was changed or taken out
    Verify(VerifyArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon audit list
  cordon audit list --after 1200 --limit 100
  cordon audit list --json")]
struct ListArgs {
    /// Only records after this number
    #[arg(long, value_name = "N")]
    after: Option<u64>,
    /// Show at most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon audit verify
  cordon audit verify --json

Exit code 1 when the chain is broken.")]
struct VerifyArgs {}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::List(args) => list(api, args, voice),
        Verb::Verify(_) => verify(api, voice),
    }
}

fn list(api: &dyn Api, args: &ListArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let after = args.after.map(|n| n.to_string());
    let (items, next) = api.list_after(&Call::get("/api/v1/audit"), after, args.limit.map(|n| n as usize))?;
    voice.show(&json!({ "items": items, "next_cursor": next }), || {
        if items.is_empty() { String::new() } else { rows(&items) }
    })?;
    match items.last() {
        None => voice.advise("There are no records here. Everything that is changed is written down by itself."),
        Some(last) if next.is_some() => voice.advise(&format!("There are more: --after {}", cell(last, "seq"))),
        _ => {}
    }
    Ok(())
}

fn rows(items: &[Value]) -> String {
    let mut table = Table::new(&["NO", "WHEN", "WHO", "WHAT", "OF", "DETAIL"]);
    for item in items {
        table.row([
            cell(item, "seq"),
            cell(item, "at"),
            cell(item, "actor"),
            cell(item, "verb"),
            cell(item, "subject"),
            field(item, "detail"),
        ]);
    }
    table.render()
}

fn verify(api: &dyn Api, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let checked = api.json(&Call::get("/api/v1/audit/verify"))?;
    let broken = checked.get("broken_at").filter(|at| !at.is_null()).cloned();
    voice.show(&checked, || match &broken {
        None => format!("The audit is whole: {} record(s).", cell(&checked, "rows")),
        Some(at) => format!("The audit is broken at record {at}: it, or one before it, was changed or taken out."),
    })?;
    match broken {
        None => Ok(()),
        Some(at) => Err(Failure::new(
            "audit-broken",
            format!("the chain of records does not hold at {at}; compare with a backup"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    #[test]
    fn a_broken_chain_fails() {
        let whole = Fake::new(|_| (200, json!({"rows": 3, "broken_at": null})));
        let (done, out, _) = heard(false, |voice| verify(&whole, voice));
        assert_eq!((done, out.as_str()), (Ok(()), "The audit is whole: 3 record(s).\n"));
        let broken = Fake::new(|_| (200, json!({"rows": 3, "broken_at": 2})));
        let (done, out, _) = heard(true, |voice| verify(&broken, voice));
        assert_eq!((done.unwrap_err().exit_code(), out.as_str()), (1, "{\"broken_at\":2,\"rows\":3}\n"));
    }

    #[test]
    fn records_in_columns() {
        let item = json!({"seq": 1, "at": "2026-11-18T12:00:00Z", "actor": "local:ada", "verb": "token.create", "subject": "t-1", "detail": {"role": "admin"}});
        let fake = Fake::new(move |_| (200, json!({"items": [item], "next_cursor": null})));
        let (_, out, _) = heard(false, |voice| list(&fake, &ListArgs { after: Some(0), limit: None }, voice));
        assert!(out.contains("local:ada  token.create  t-1  {\"role\":\"admin\"}\n"), "{out}");
        assert_eq!(fake.last().target, "/api/v1/audit?limit=200&cursor=0");
    }
}
