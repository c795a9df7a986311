//! `cordon webhook`: whom to tell over HTTP of what happens, trying it out, and the log of what was told.

use super::failure::Failure;
use super::moment::told_field;
use super::reach::{Api, Call, escape};
use super::table::{Facts, Table, cell, field};
use super::voice::Voice;
use crate::base::time::Timestamp;
use clap::Subcommand;
use serde_json::{Value, json};
use std::time::Duration;

/// How often and how long `test` looks whether the receiver has answered: a little longer than a receiver may take.
const LOOKS: u32 = 60;
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a webhook; its secret is printed once
    Add(AddArgs),
    /// All webhooks
    List(ListArgs),
    /// One webhook
    Show(ShowArgs),
    /// Send it a test event and wait for the answer
    Test(TestArgs),
    /// Make a new secret; the old one signs too for a while
    Rotate(RotateArgs),
    /// Tell it something again
    Redeliver(RedeliverArgs),
    /// Remove it with its log
    Remove(RemoveArgs),
    /// What it was told, newest first
    Log(LogArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon webhook add inventory https://hooks.hill.example/cordon
  SECRET=$(cordon webhook add chat https://hooks.hill.example/c --event command.error --event push.topic_paused)
  cordon webhook add local http://127.0.0.1:9000/

Events: device.authenticated, device.enrolled, device.token_updated, device.checked_out, device.bootstrap_token, device.attention,
device.inactive, device.active_again,
command.queued, command.sent, command.not_now, command.acknowledged, command.error, command.expired, command.cancelled,
push.dead, push.topic_paused, certificate.expiring, token.expiring, server.fault. Without --event it is told all of them.")]
struct AddArgs {
    /// What it is for
    name: String,
    /// Where to send; plain http only to this machine
    #[arg(value_name = "URL")]
    url: String,
    /// Tell only this kind of event; may be said several times
    #[arg(long = "event", value_name = "KIND")]
    events: Vec<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon webhook list
  cordon webhook list --json")]
struct ListArgs {}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon webhook show wh-4k7qx2mn")]
struct ShowArgs {
    /// Its id, from `cordon webhook list`
    id: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon webhook test wh-4k7qx2mn

The test goes out after what already waits for this webhook. Exit code 1 when the receiver did not take it.")]
struct TestArgs {
    /// Its id, from `cordon webhook list`
    id: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon webhook remove wh-4k7qx2mn")]
struct RemoveArgs {
    /// Its id, from `cordon webhook list`
    id: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon webhook log wh-4k7qx2mn
  cordon webhook log wh-4k7qx2mn --limit 500 --json")]
struct LogArgs {
    /// Its id, from `cordon webhook list`
    id: String,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon webhook rotate wh-4k7qx2mn
  cordon webhook rotate wh-4k7qx2mn --overlap-hours 0    somebody has seen the old one

Every message is signed with both secrets until the overlap is over; then the old one is forgotten.")]
struct RotateArgs {
    /// Its id, from `cordon webhook list`
    id: String,
    /// How long the old secret signs too, up to 720
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    overlap_hours: u32,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon webhook log wh-4k7qx2mn
  cordon webhook redeliver wh-4k7qx2mn ev-w9whyv9zcjcb5kaz

It is sent under the same id, after what already waits.")]
struct RedeliverArgs {
    /// Its id, from `cordon webhook list`
    id: String,
    /// The event, from `cordon webhook log`
    event: String,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::Add(args) => add(api, args, voice),
        Verb::List(_) => list(api, voice),
        Verb::Show(args) => show(api, args, voice),
        Verb::Test(args) => test(api, args, voice, BETWEEN_LOOKS),
        Verb::Rotate(args) => rotate(api, args, voice),
        Verb::Redeliver(args) => redeliver(api, args, voice),
        Verb::Remove(args) => remove(api, args, voice),
        Verb::Log(args) => log(api, args, voice),
    }
}

fn path(id: &str) -> String {
    format!("/api/v1/webhooks/{}", escape(id))
}

fn add(api: &dyn Api, args: &AddArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let wish = json!({ "name": args.name, "url": args.url, "events": args.events });
    let made = api.json(&Call::post_json("/api/v1/webhooks", &wish))?;
    // Only the secret on stdout, so that `SECRET=$(cordon webhook add …)` works.
    voice.show(&made, || field(&made, "secret"))?;
    let id = field(&made, "id");
    voice.advise(&format!(
        "This is the secret of {id}. Keep it now: it is not shown again. Try it: cordon webhook test {id}"
    ));
    Ok(())
}

fn list(api: &dyn Api, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let (items, next) = api.list(&Call::get("/api/v1/webhooks"), None)?;
    voice.show(&json!({ "items": items, "next_cursor": next }), || {
        let mut table = Table::new(&["ID", "NAME", "ON", "WAITING", "EVENTS", "URL"]);
        for item in &items {
            let on = if item["enabled"] == json!(true) { "yes" } else { "no" };
            table.row([
                cell(item, "id"),
                cell(item, "name"),
                on.to_owned(),
                cell(item, "waiting"),
                kinds(item),
                cell(item, "url"),
            ]);
        }
        if items.is_empty() { String::new() } else { table.render() }
    })?;
    if items.is_empty() {
        voice.advise("There are no webhooks. Make one: cordon webhook add NAME URL");
    }
    Ok(())
}

fn show(api: &dyn Api, args: &ShowArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let item = api.json(&Call::get(path(&args.id)))?;
    let now = voice.now();
    voice.show(&item, || {
        let mut facts = Facts::default();
        facts.add("Id", cell(&item, "id"));
        facts.add("Name", cell(&item, "name"));
        facts.add("URL", cell(&item, "url"));
        facts.add("Events", kinds(&item));
        facts.add("Switched on", if item["enabled"] == json!(true) { "yes" } else { "no" });
        facts.add("Waiting", cell(&item, "waiting"));
        facts.add("Made", format!("{} by {}", told_field(&item["created_at"], now), cell(&item, "created_by")));
        facts.render()
    })
}

fn kinds(item: &Value) -> String {
    let words: Vec<&str> = item["events"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if words.is_empty() { String::from("all") } else { words.join(",") }
}

fn test(api: &dyn Api, args: &TestArgs, voice: &mut Voice<'_>, pause: Duration) -> Result<(), Failure> {
    let mut delivery = api.json(&Call::post(format!("{}/test", path(&args.id)), "application/json", Vec::new()))?;
    if !api.is_live() {
        voice.show(&delivery, || String::from("It is sent when the server runs."))?;
        return Ok(());
    }
    let id = field(&delivery, "id");
    for _ in 0..LOOKS {
        std::thread::sleep(pause);
        let (items, _) = api.list(&Call::get(format!("{}/deliveries", path(&args.id))), Some(100))?;
        if let Some(found) = items.into_iter().find(|item| field(item, "id") == id) {
            delivery = found;
        }
        if field(&delivery, "state") != "waiting" || delivery["attempts"] != json!(0) {
            break;
        }
    }
    voice.show(&delivery, || {
        if field(&delivery, "state") == "delivered" {
            format!("The receiver took it ({}).", cell(&delivery, "last_status"))
        } else {
            String::new()
        }
    })?;
    if field(&delivery, "state") == "delivered" {
        return Ok(());
    }
    let words = match (delivery["last_status"].as_u64(), field(&delivery, "last_answer")) {
        (Some(status), _) => format!("the receiver answered {status}; it is tried again later"),
        (None, why) if !why.is_empty() => format!("the receiver could not be reached: {why}; it is tried again later"),
        _ => format!("it still waits behind earlier events; see `cordon webhook log {}`", args.id),
    };
    Err(Failure::new("webhook", words))
}

fn rotate(api: &dyn Api, args: &RotateArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let wish = json!({ "overlap_hours": args.overlap_hours });
    let made = api.json(&Call::post_json(format!("{}/secret", path(&args.id)), &wish))?;
    voice.show(&made, || field(&made, "secret"))?;
    let until = match made["old_secret_until"].as_str() {
        Some(until) => format!("The old one signs too until {until}."),
        None => String::from("The old one is worthless now."),
    };
    voice.advise(&format!("This is the new secret of {}; it is not shown again. {until}", args.id));
    Ok(())
}

fn redeliver(api: &dyn Api, args: &RedeliverArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let target = format!("{}/deliveries/{}/redeliver", path(&args.id), escape(&args.event));
    let owed = api.json(&Call::post(target, "application/json", Vec::new()))?;
    voice.show(&owed, || format!("{} is told again; see `cordon webhook log {}`.", args.event, args.id))
}

fn remove(api: &dyn Api, args: &RemoveArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    api.bytes(&Call::delete(path(&args.id)))?;
    voice.show(&json!({ "id": args.id, "removed": true }), || format!("{} is removed.", args.id))
}

fn log(api: &dyn Api, args: &LogArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let (items, next) = api.list(&Call::get(format!("{}/deliveries", path(&args.id))), Some(args.limit))?;
    let now = voice.now();
    voice.show(&json!({ "items": items, "next_cursor": next }), || {
        if items.is_empty() { String::new() } else { lines(&items, now) }
    })?;
    if items.is_empty() {
        voice.advise("It has not been told anything yet.");
    }
    Ok(())
}

fn lines(items: &[Value], now: Timestamp) -> String {
    let mut table = Table::new(&["EVENT", "KIND", "HAPPENED", "STATE", "TRIES", "NEXT", "LAST ANSWER"]);
    for item in items {
        let next =
            if item["next_attempt"].is_null() { String::from("-") } else { told_field(&item["next_attempt"], now) };
        let status = item["last_status"].as_u64().map(|s| format!("{s} ")).unwrap_or_default();
        let answer: String = field(item, "last_answer").chars().take(80).collect();
        let said = format!("{status}{answer}");
        let row = [
            cell(item, "event"),
            cell(item, "kind"),
            told_field(&item["at"], now),
            cell(item, "state"),
            cell(item, "attempts"),
            next,
            said,
        ];
        table.row(row);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    fn delivery(state: &str, attempts: u32, status: Value, answer: &str) -> Value {
        json!({"id": "ev-1.wh-1", "event": "ev-1", "kind": "webhook.test", "at": "2026-11-18T11:57:00Z", "state": state, "attempts": attempts,
            "last_status": status, "last_answer": answer, "next_attempt": null})
    }

    #[test]
    fn only_the_secret_goes_to_stdout() {
        let fake = Fake::new(|_| (201, json!({"id": "wh-1", "name": "n", "secret": "whsec_x"})));
        let args = AddArgs { name: "n".into(), url: "https://h/".into(), events: vec!["command.error".into()] };
        let (_, out, err) = heard(false, |voice| add(&fake, &args, voice));
        assert_eq!(out, "whsec_x\n");
        assert!(err.contains("not shown again") && !err.contains("whsec_x"), "{err}");
        let sent: Value = serde_json::from_slice(&fake.last().body).unwrap();
        assert_eq!(sent, json!({"name": "n", "url": "https://h/", "events": ["command.error"]}));
    }

    #[test]
    fn a_test_says_what_the_receiver_said() {
        let answering = |log: Value| {
            Fake::new(move |call| match call.method {
                "POST" => (202, delivery("waiting", 0, Value::Null, "")),
                _ => (200, json!({"items": [log], "next_cursor": null})),
            })
        };
        let args = TestArgs { id: "wh-1".into() };
        let ask = |log: Value| heard(false, |voice| test(&answering(log), &args, voice, Duration::ZERO));
        let (done, out, _) = ask(delivery("delivered", 1, json!(204), ""));
        assert_eq!((done, out.as_str()), (Ok(()), "The receiver took it (204).\n"));
        let (done, out, _) = ask(delivery("waiting", 1, json!(500), "no"));
        assert_eq!((done.unwrap_err().detail.contains("answered 500"), out.as_str()), (true, ""));
        let (done, ..) = ask(delivery("waiting", 1, Value::Null, "connection refused"));
        assert!(done.unwrap_err().detail.contains("connection refused"));
        let (done, ..) = ask(delivery("waiting", 0, Value::Null, ""));
        assert!(done.unwrap_err().detail.contains("webhook log wh-1"));
    }

    #[test]
    fn list_and_log_as_tables() {
        let fake = Fake::new(|_| {
            (
                200,
                json!({"items": [{"id": "wh-1", "name": "n", "url": "https://h/", "events": [], "enabled": true, "waiting": 2}]}),
            )
        });
        let (_, out, _) = heard(false, |voice| list(&fake, voice));
        assert_eq!(out, "ID    NAME  ON   WAITING  EVENTS  URL\nwh-1  n     yes  2        all     https://h/\n");
        let fake = Fake::new(|_| {
            (200, json!({"items": [delivery("given_up", 5, json!(422), "bad\u{1b}")], "next_cursor": null}))
        });
        let (_, out, _) = heard(false, |voice| log(&fake, &LogArgs { id: "wh-1".into(), limit: 5 }, voice));
        assert!(out.contains("ev-1   webhook.test  3 minutes ago  given_up  5      -     422 bad\u{fffd}"), "{out}");
    }
}
