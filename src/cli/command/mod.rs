//! `cordon command`: send one, see what became of it, take it back, ask why it waits, and look up what there is to send.

pub mod check;
pub mod many;
pub mod plan;
pub mod send;
pub mod types;

use super::device::happened;
use super::failure::Failure;
use super::moment::{told, told_field};
use super::reach::{Api, Call, escape};
use super::table::{Facts, Table, cell, field};
use super::voice::Voice;
use crate::base::time::Timestamp;
use clap::Subcommand;
use serde_json::{Value, json};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Send a command to a device
    Send(send::Args),
    /// What would become of it on each of some devices; sends nothing
    Check(check::Args),
    /// Commands and their states, newest first
    List(ListArgs),
    /// One command: state, answer, history
    Show(ShowArgs),
    /// Take a command back that the device has not been given
    Cancel(CancelArgs),
    /// Say in plain words why a command waits
    Explain(ExplainArgs),
    /// What was asked of many devices at once, and how far it is
    Bulk(many::Args),
    /// Which commands there are, and their keys
    Types(types::Args),
}

/// The states of a command, as the API spells them.
const STATES: [&str; 9] =
    ["Queued", "Sent", "NotNow", "Acknowledged", "Error", "CommandFormatError", "Cancelled", "Expired", "Cleared"];

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon command list
  cordon command list --device C02XK1ZZJGH5 --state NotNow
  cordon command list --limit 500 --json")]
pub struct ListArgs {
    /// Only of this device
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Only in this state
    #[arg(long, value_name = "STATE", value_parser = STATES)]
    state: Option<String>,
    /// Show at most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon command show 0F6A0E0C-9E0C-4E0A-8C57-0B7C0A6F2B11
  cordon command show 0F6A0E0C-9E0C-4E0A-8C57-0B7C0A6F2B11 --json")]
pub struct ShowArgs {
    /// CommandUUID
    uuid: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon command cancel 0F6A0E0C-9E0C-4E0A-8C57-0B7C0A6F2B11

What the device has been given may have run already and cannot be taken back.")]
pub struct CancelArgs {
    /// CommandUUID
    uuid: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon command explain 0F6A0E0C-9E0C-4E0A-8C57-0B7C0A6F2B11")]
pub struct ExplainArgs {
    /// CommandUUID
    uuid: String,
}

/// Waiting for the device's answer.
#[derive(Debug, Default, clap::Args)]
pub struct WaitArgs {
    /// Stay until the device has answered; exit code 1 unless it acknowledged
    #[arg(long)]
    pub wait: bool,
    /// Wait at most so long; the command stays queued
    #[arg(long, value_name = "SECONDS", requires = "wait", value_parser = clap::value_parser!(u32).range(1..))]
    pub timeout: Option<u32>,
}

pub fn run(api: &dyn Api, args: Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::Send(args) => send::run(api, args, voice),
        Verb::Check(args) => check::run(api, args, voice),
        Verb::List(args) => list(api, args, voice),
        Verb::Show(args) => show(api, args, voice),
        Verb::Cancel(args) => cancel(api, args, voice),
        Verb::Explain(args) => explain(api, args, voice),
        Verb::Bulk(args) => many::run(api, args, voice),
        Verb::Types(args) => types::run(args, voice),
    }
}

fn path(uuid: &str) -> String {
    format!("/api/v1/commands/{}", escape(uuid))
}

fn list(api: &dyn Api, args: &ListArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let call = Call::get("/api/v1/commands").with("device", args.device.as_ref()).with("state", args.state.as_ref());
    let (items, next) = api.list(&call, Some(args.limit as usize))?;
    let now = voice.now();
    voice.show(&json!({ "items": items, "next_cursor": next }), || {
        if items.is_empty() { String::new() } else { rows(&items, now) }
    })?;
    if items.is_empty() {
        let narrowed = args.device.is_some() || args.state.is_some();
        voice.advise(if narrowed {
            "No command matches."
        } else {
            "No command was sent yet. Try: cordon command send DEVICE DeviceInformation"
        });
    } else if next.is_some() {
        voice.advise(&format!("These are the newest {}; see more with --limit.", items.len()));
    }
    Ok(())
}

fn rows(items: &[Value], now: Timestamp) -> String {
    let mut table = Table::new(&["COMMAND UUID", "TYPE", "DEVICE", "USER", "STATE", "SENT BY", "CREATED"]);
    for item in items {
        let created = told_field(&item["created_at"], now);
        table.row([
            cell(item, "command_uuid"),
            cell(item, "request_type"),
            cell(item, "device_id"),
            cell(item, "user"),
            cell(item, "state"),
            cell(item, "created_by"),
            created,
        ]);
    }
    table.render()
}

fn show(api: &dyn Api, args: &ShowArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let command = api.json(&Call::get(path(&args.uuid)))?;
    let now = voice.now();
    voice.show(&command, || story(&command, now))
}

/// Everything about one command, in words.
fn story(command: &Value, now: Timestamp) -> String {
    let mut facts = Facts::default();
    facts.add("Command", field(command, "command_uuid"));
    facts.add("Type", field(command, "request_type"));
    facts.add("Device", field(command, "device_id"));
    facts.add("User", field(command, "user"));
    facts.add("State", field(command, "state"));
    facts.add("Created", format!("{} by {}", told_field(&command["created_at"], now), cell(command, "created_by")));
    facts.add("Handed out", times(&command["sent_count"]));
    facts.add("Not now", times(&command["not_now_count"]));
    facts.add("Finished", command["finished_at"].as_str().map(|at| told(at, now)).unwrap_or_default());
    let mut text = facts.render();
    text.push_str(&errors(&command["error_chain"]));
    if command["result"].as_object().is_some_and(|result| !result.is_empty()) {
        let pretty = serde_json::to_string_pretty(&command["result"]).unwrap_or_default();
        let lines: Vec<String> = pretty.lines().map(super::voice::plain).collect();
        text.push_str(&format!("\nAnswer:\n{}\n", lines.join("\n")));
    }
    if let Some(history) = command["history"].as_array().filter(|history| !history.is_empty()) {
        text.push_str(&format!("\n{}", happened(history)));
    }
    text
}

fn times(count: &Value) -> String {
    match count.as_i64() {
        None | Some(0) => String::new(),
        Some(1) => String::from("once"),
        Some(n) => format!("{n} times"),
    }
}

/// Apple's ErrorChain, a line each; empty when there is none.
fn errors(chain: &Value) -> String {
    let line = |error: &Value| {
        let words = ["LocalizedDescription", "USEnglishDescription"]
            .into_iter()
            .map(|key| field(error, key))
            .find(|text| !text.is_empty());
        let line = format!(
            "Error: {} ({} {})",
            words.unwrap_or_default(),
            cell(error, "ErrorDomain"),
            cell(error, "ErrorCode")
        );
        super::voice::plain(&line) + "\n"
    };
    chain.as_array().into_iter().flatten().map(line).collect()
}

fn cancel(api: &dyn Api, args: &CancelArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let mut done = api.json(&Call::delete(path(&args.uuid)))?;
    if done.is_null() {
        done = json!({ "command_uuid": args.uuid, "state": "Cancelled" });
    }
    voice.show(&done, || format!("{} is cancelled; the device will not get it.", args.uuid))
}

fn explain(api: &dyn Api, args: &ExplainArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let explained = api.json(&Call::get(format!("{}/explain", path(&args.uuid))))?;
    let words = || {
        let words = explained["words"].as_array().into_iter().flatten().filter_map(Value::as_str);
        words.map(|word| format!("{}\n", super::voice::plain(word))).collect()
    };
    voice.show(&explained, words)
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    #[test]
    fn lists_ask_for_what_was_said() {
        let fake = Fake::new(|_| (200, json!({"items": [], "next_cursor": null})));
        let args = ListArgs { device: Some("C1".into()), state: Some("NotNow".into()), limit: 7 };
        let (done, out, err) = heard(false, |voice| list(&fake, &args, voice));
        assert_eq!((done, out.as_str(), err.as_str()), (Ok(()), "", "No command matches.\n"));
        assert_eq!(fake.last().target, "/api/v1/commands?device=C1&state=NotNow&limit=7");
    }

    #[test]
    fn one_command_in_words() {
        let command = json!({"command_uuid": "U-1", "request_type": "DeviceLock", "device_id": "d-1", "user": null, "state": "Error",
            "created_at": "2026-11-18T11:58:00Z", "created_by": "local:ada", "sent_count": 2, "not_now_count": 0, "finished_at": null,
            "result": {"Status": "Error"}, "error_chain": [{"ErrorCode": 12, "ErrorDomain": "MC", "LocalizedDescription": "no\u{7}"}],
            "history": [{"at": "2026-11-18T11:58:00Z", "kind": "queued", "detail": null}]});
        let text = story(&command, Timestamp::from_secs(1_795_003_200));
        for part in [
            "Created:     2 minutes ago by local:ada\n",
            "2 times",
            "Error: no\u{fffd} (MC 12)\n",
            "\"Status\": \"Error\"",
            "queued",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(!text.contains("User:") && !text.contains("Not now"), "{text}");
    }

    #[test]
    fn explanations_are_sentences() {
        let fake = Fake::new(|_| (200, json!({"words": ["It waits.", "The device sleeps."]})));
        let (_, out, _) = heard(false, |voice| explain(&fake, &ExplainArgs { uuid: "U".into() }, voice));
        assert_eq!(out, "It waits.\nThe device sleeps.\n");
        assert_eq!(fake.last().target, "/api/v1/commands/U/explain");
        let fake = Fake::new(|_| (404, json!({"id": "no-such-command", "detail": "No command U is known."})));
        let (done, out, _) = heard(false, |voice| explain(&fake, &ExplainArgs { uuid: "U".into() }, voice));
        assert_eq!((done.unwrap_err().id.as_str(), out.as_str()), ("no-such-command", ""));
    }
}
