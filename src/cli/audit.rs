//! `cordon audit`: who did what, whether the chain of records is whole, and the records as a file that can be checked anywhere.

use super::failure::Failure;
use super::files;
use super::moment;
use super::reach::{Api, Call};
use super::table::{Table, cell, field};
use super::voice::Voice;
use crate::service::auditing::export::{self, Format};
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Records asked for at once.
const PAGE: usize = 500;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

impl Args {
    /// Whether this needs no school at all.
    pub fn offline(&self) -> Option<&Path> {
        match &self.verb {
            Verb::Verify(args) => args.file.as_deref(),
            _ => None,
        }
    }
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Records, oldest first
    List(ListArgs),
    /// Check that no record was changed or taken out, here or in an exported file
    Verify(VerifyArgs),
    /// Write records into a file, with their hashes
    Export(ExportArgs),
}

/// Which records.
#[derive(Debug, Default, clap::Args)]
struct FilterArgs {
    /// Only what this one did: admin:ada, token:inventory, local:root
    #[arg(long, value_name = "WHO")]
    actor: Option<String>,
    /// Only this verb, or all that begin so: secret.reveal, secret
    #[arg(long, value_name = "VERB")]
    verb: Option<String>,
    /// Only this device
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// From this instant on; a span like 7d means so long ago
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Before this instant; a span like 1d means so long ago
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Only what was refused
    #[arg(long)]
    refused: bool,
}

impl FilterArgs {
    fn apply(&self, call: Call, voice: &Voice<'_>) -> Result<Call, Failure> {
        let instant = |option: &str, text: &Option<String>| -> Result<Option<String>, Failure> {
            let Some(text) = text else { return Ok(None) };
            let now = voice.now();
            let at = moment::parse_option(option, text, now)?;
            // Records lie behind us: a span goes back.
            let at = if moment::parse(text).is_some() { at } else { now.plus(-at.since(now)) };
            Ok(Some(at.to_string()))
        };
        Ok(call
            .with("actor", self.actor.as_ref())
            .with("verb", self.verb.as_ref())
            .with("device", self.device.as_ref())
            .with("since", instant("--since", &self.since)?)
            .with("until", instant("--until", &self.until)?)
            .with("result", self.refused.then_some("refused")))
    }
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon audit list
  cordon audit list --after 1200 --limit 100
  cordon audit list --verb secret --since 30d
  cordon audit list --device F3CX9HCRH3 --json
  cordon audit list --refused")]
struct ListArgs {
    /// Only records after this number
    #[arg(long, value_name = "N")]
    after: Option<u64>,
    /// Show at most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon audit verify
  cordon audit verify --json
  cordon audit verify --file audit-2026.jsonl

With --file no server is asked: every record of an export is held against its hash and the record before it. Compare the hash of the
last one with what `cordon audit verify` said at that time.
Exit code 1 when the chain is broken.")]
struct VerifyArgs {
    /// A file of `cordon audit export`, JSON lines or CSV
    #[arg(long, value_name = "EXPORT")]
    file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon audit export --output audit.jsonl
  cordon audit export --since 2026-01-01T00:00:00Z --until 2027-01-01T00:00:00Z --output audit-2026.jsonl
  cordon audit export --verb secret --format csv --output reveals.csv

The file holds everything the audit holds, with the hashes; `cordon audit verify --file FILE` checks it anywhere. In CSV a cell that a
spreadsheet would take for a formula begins with an apostrophe.")]
struct ExportArgs {
    /// Where to write; standard output when left out
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// jsonl, or csv for spreadsheets; by the file's name when left out
    #[arg(long, value_parser = ["jsonl", "csv"])]
    format: Option<String>,
    #[command(flatten)]
    filter: FilterArgs,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::List(args) => list(api, args, voice),
        Verb::Verify(VerifyArgs { file: Some(file) }) => verify_file(file, voice),
        Verb::Verify(_) => verify(api, voice),
        Verb::Export(args) => export(api, args, voice),
    }
}

fn list(api: &dyn Api, args: &ListArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let after = args.after.map(|n| n.to_string());
    let call = args.filter.apply(Call::get("/api/v1/audit"), voice)?;
    let (items, next) = api.list_after(&call, after, args.limit.map(|n| n as usize))?;
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
    let mut table = Table::new(&["NO", "WHEN", "WHO", "FROM", "WHAT", "OF", "RESULT", "DETAIL"]);
    for item in items {
        table.row([
            cell(item, "seq"),
            cell(item, "at"),
            cell(item, "actor"),
            cell(item, "origin"),
            cell(item, "verb"),
            cell(item, "subject"),
            cell(item, "result"),
            field(item, "detail"),
        ]);
    }
    table.render()
}

fn verify(api: &dyn Api, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let checked = api.json(&Call::get("/api/v1/audit/verify"))?;
    let told = |name: &str| checked.get(name).filter(|at| !at.is_null()).cloned();
    let (broken, cut) = (told("broken_at"), told("cut_before"));
    voice.show(&checked, || match (&broken, &cut) {
        (Some(at), _) => format!("The audit is broken at record {at}: it, or one before it, was changed or taken out."),
        (None, Some(at)) => format!("The audit is cut off: records up to {at} must be there, and are not."),
        (None, None) => {
            format!(
                "The audit is whole: {} record(s), the last one {}.",
                cell(&checked, "rows"),
                cell(&checked, "head")
            )
        }
    })?;
    match broken.or(cut) {
        None => Ok(()),
        Some(at) => Err(Failure::new(
            "audit-broken",
            format!("the chain of records does not hold at {at}; compare with a backup"),
        )),
    }
}

/// Needs no server and no school.
pub fn verify_file(path: &Path, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?;
    let found = export::verify(&text)
        .map_err(|why| Failure::new("not-an-export", format!("{} cannot be checked: {why}", path.display())))?;
    let shown = json!({
        "rows": found.rows,
        "first": found.first,
        "last": found.last,
        "gaps": found.gaps,
        "head": found.head,
        "broken_line": found.broken_line,
    });
    voice.show(&shown, || match (found.broken_line, found.first.zip(found.last)) {
        (Some(line), _) => format!("Line {line} does not fit: it, or the one before it, was changed, moved or taken out."),
        (None, None) => String::from("The file holds no records."),
        (None, Some((first, last))) if found.gaps > 0 => format!(
            "{} record(s) from {first} to {last}, each as it was written; in {} place(s) others are left out, as in a filtered export.",
            found.rows, found.gaps
        ),
        (None, Some((first, last))) => {
            format!("Whole: {} record(s) from {first} to {last}, the last one {}.", found.rows, found.head)
        }
    })?;
    match found.broken_line {
        None => Ok(()),
        Some(line) => Err(Failure::new("audit-broken", format!("{} was changed at line {line}", path.display()))),
    }
}

fn export(api: &dyn Api, args: &ExportArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let by_name = args.output.as_ref().and_then(|p| p.extension()).is_some_and(|e| e.eq_ignore_ascii_case("csv"));
    let format = match args.format.as_deref() {
        Some("csv") => Format::Csv,
        None if by_name => Format::Csv,
        _ => Format::JsonLines,
    };
    let call = args.filter.apply(Call::get("/api/v1/audit"), voice)?;
    let mut file = args.output.as_deref().map(files::NewFile::begin).transpose()?;
    let (mut cursor, mut count, mut head) = (None, 0, String::new());
    let mut text = export::heading(format);
    loop {
        let (items, next) = api.list_after(&call, cursor, Some(PAGE))?;
        items.iter().for_each(|item| text.push_str(&export::line(format, item)));
        match &mut file {
            Some(file) => file.write(text.as_bytes())?,
            None => voice.data(text.as_bytes())?,
        }
        count += items.len();
        head = items.last().map_or(head, |item| cell(item, "hash"));
        text.clear();
        if next.is_none() {
            break;
        }
        cursor = next;
    }
    let (Some(file), Some(path)) = (file, &args.output) else { return Ok(()) };
    file.finish()?;
    let made = json!({ "file": path, "rows": count, "head": head });
    voice.show(&made, || format!("{count} record(s) in {}, the last one {head}.", path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    #[test]
    fn a_broken_chain_fails() {
        let whole = Fake::new(|_| (200, json!({"rows": 3, "broken_at": null, "cut_before": null, "head": "ab"})));
        let (done, out, _) = heard(false, |voice| verify(&whole, voice));
        assert_eq!((done, out.as_str()), (Ok(()), "The audit is whole: 3 record(s), the last one ab.\n"));
        for (found, words) in [
            (json!({"rows": 3, "broken_at": 2, "cut_before": null}), "at record 2"),
            (json!({"rows": 3, "broken_at": null, "cut_before": 7}), "up to 7"),
        ] {
            let broken = Fake::new(move |_| (200, found.clone()));
            let (done, out, _) = heard(false, |voice| verify(&broken, voice));
            assert!(done.unwrap_err().exit_code() == 1 && out.contains(words), "{out}");
        }
    }

    #[test]
    fn records_in_columns() {
        let item = json!({"seq": 1, "at": "2026-11-18T12:00:00Z", "actor": "local:ada", "origin": "local", "verb": "token.create", "subject": "t-1", "result": "done", "detail": {"role": "admin"}});
        let fake = Fake::new(move |_| (200, json!({"items": [item], "next_cursor": null})));
        let filter = FilterArgs { verb: Some(String::from("token")), refused: true, ..FilterArgs::default() };
        let args = ListArgs { after: Some(0), limit: None, filter };
        let (_, out, _) = heard(false, |voice| list(&fake, &args, voice));
        assert!(out.contains("local:ada  local  token.create  t-1  done    {\"role\":\"admin\"}\n"), "{out}");
        assert_eq!(fake.last().target, "/api/v1/audit?verb=token&result=refused&limit=200&cursor=0");
    }

    #[test]
    fn a_span_goes_back_and_an_instant_is_one() {
        let fake = Fake::new(|_| (200, json!({"items": [], "next_cursor": null})));
        let filter = FilterArgs {
            since: Some(String::from("2026-01-01T00:00:00Z")),
            until: Some(String::from("1h")),
            ..FilterArgs::default()
        };
        let args = ListArgs { after: None, limit: None, filter };
        let mut before = String::new();
        let (done, ..) = heard(false, |voice| {
            before = voice.now().plus(-crate::base::time::HOUR).to_string();
            list(&fake, &args, voice)
        });
        done.unwrap();
        let wanted = format!("since=2026-01-01T00%3A00%3A00Z&until={}", super::super::reach::escape(&before));
        assert!(fake.last().target.contains(&wanted), "{} {wanted}", fake.last().target);
    }
}
