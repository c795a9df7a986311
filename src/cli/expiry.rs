//! `cordon expiry`: what ends when, what renews by itself, and what a person must do.

use super::failure::Failure;
use super::reach::{Api, Call};
use super::table::{Table, cell};
use super::voice::Voice;
use serde_json::{Value, json};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon expiry
  cordon expiry --within 60
  cordon expiry --new-feed      an address for calendar programs; the one before stops working
  cordon expiry --close-feed

With --within, exit code 1 when something ends within so many days that does not renew by itself.")]
pub struct Args {
    /// Only what ends within so many days
    #[arg(long, value_name = "DAYS")]
    within: Option<i64>,
    /// Make a secret address for calendar programs
    #[arg(long, conflicts_with_all = ["within", "close_feed"])]
    new_feed: bool,
    /// Take the address for calendar programs away
    #[arg(long, conflicts_with = "within")]
    close_feed: bool,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    if args.new_feed {
        let made = api.json(&Call::post_json("/api/v1/expiry/feed", &Value::Null))?;
        voice.show(&made, || cell(&made, "url"))?;
        voice.advise("Whoever knows this address can read the calendar. It is not shown again.");
        return Ok(());
    }
    if args.close_feed {
        api.bytes(&Call::delete("/api/v1/expiry/feed"))?;
        return voice.show(&json!({ "closed": true }), || String::from("The calendar has no address any more."));
    }
    let (mut items, _) = api.list(&Call::get("/api/v1/expiry"), None)?;
    if let Some(days) = args.within {
        items.retain(|item| item["days_left"].as_i64().is_some_and(|left| left <= days));
    }
    voice.show(&json!({ "items": items }), || words(&items))?;
    let by_hand = |item: &&Value| item["renewal"] != "alone";
    match (args.within, items.iter().filter(by_hand).count()) {
        (Some(days), waiting @ 1..) => {
            Err(Failure::new("expiring", format!("{waiting} of these end within {days} days and need a person")))
        }
        _ => Ok(()),
    }
}

fn words(items: &[Value]) -> String {
    if items.is_empty() {
        return String::from("Nothing.");
    }
    let mut table = Table::new(&["ENDS", "DAYS", "WHAT", "NAME"]);
    for item in items {
        let kind = match item["count"].as_i64() {
            Some(count @ 2..) => format!("{} ({count})", cell(item, "kind")),
            _ => cell(item, "kind"),
        };
        let ends: String = cell(item, "not_after").chars().take(10).collect();
        table.row([ends, cell(item, "days_left"), kind, cell(item, "name")]);
    }
    let mut text = table.render();
    for item in items.iter().filter(|item| item["renewal"] != "alone") {
        text.push_str(&format!("\n{} {}\n  {}\n", cell(item, "kind"), cell(item, "name"), cell(item, "what")));
    }
    super::voice::plain_lines(&text)
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    #[test]
    fn what_a_person_must_do_is_said_and_a_monitor_hears_it() {
        let item = |kind: &str, days: i64, renewal: &str| json!({"kind": kind, "name": "n", "not_after": "2026-12-01T00:00:00Z", "days_left": days, "count": 1, "renewal": renewal, "what": "Do this."});
        let items = json!({"items": [item("tls", 5, "alone"), item("push", 9, "person"), item("root", 900, "begun")]});
        let fake = Fake::new(move |_| (200, items.clone()));
        let args = |within| Args { within, new_feed: false, close_feed: false };
        let (done, out, _) = heard(false, |voice| run(&fake, &args(None), voice));
        assert!(done.is_ok() && out.contains("push n\n  Do this.") && !out.contains("tls n\n  Do"), "{out}");
        let (done, out, _) = heard(true, |voice| run(&fake, &args(Some(30)), voice));
        assert!(done.unwrap_err().detail.contains("1 of these"));
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["items"].as_array().unwrap().len(), 2);
        assert!(heard(false, |voice| run(&fake, &args(Some(7)), voice)).0.is_ok());
    }
}
