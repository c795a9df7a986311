//! `cordon device`: what there is, one device with its story, and its lock.

use super::channels;
use super::command;
use super::failure::Failure;
use super::moment::told_field;
use super::reach::{Api, Call, escape};
use super::table::{Facts, Table, cell, field};
use super::voice::Voice;
use super::{leaving, missing};
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
    /// All devices, or those that match
    List(ListArgs),
    /// One device: facts, users, what happened to it
    Show(ShowArgs),
    /// All devices with what is known of them, as CSV or JSON
    Export(super::inventory::ExportArgs),
    /// What waits for the device and for each of its users, and why
    Explain(channels::ExplainArgs),
    /// Profiles of the device and of each of its users
    Profiles(channels::ProfilesArgs),
    /// What the school knows of it beside the rest, for variables in profiles
    Fields(super::fields::FieldsArgs),
    /// Lock the screen of a device now
    Lock(LockArgs),
    /// Mark a device lost and put it into Lost Mode
    Lost(missing::LostArgs),
    /// It is back: end Lost Mode
    Found(missing::FoundArgs),
    /// Ask a lost device where it is
    Locate(missing::LocateArgs),
    /// Take a device out of management
    Remove(leaving::RemoveArgs),
    /// End management here at once, for a device that never comes back
    Release(leaving::ReleaseArgs),
    /// It must leave and stay away
    Block(leaving::BlockArgs),
    /// It may enrol again
    Unblock(leaving::UnblockArgs),
    /// Let a device that left come back as it is
    TakeBack(leaving::TakeBackArgs),
    /// Let the original of a copied identity go on
    ReleaseQuarantine(leaving::QuarantineArgs),
    /// Bind a device to the certificate that it showed
    Rebind(leaving::RebindArgs),
    /// What waits for a decision
    Attention(leaving::AttentionArgs),
    /// What happens to devices that come and go
    Policy(leaving::PolicyArgs),
    /// What the police need of a stolen device, on one page
    TheftSheet(missing::TheftSheetArgs),
    /// Let a lost device play a sound
    PlaySound(missing::SoundArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon device list
  cordon device list --search 'class 7'
  cordon device list --json")]
struct ListArgs {
    /// Part of a name, serial number or model
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Show at most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon device show C02XK1ZZJGH5
  cordon device show d-4k7q --json")]
struct ShowArgs {
    /// Cordon's id, UDID / EnrollmentID, or serial number
    device: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon device lock C02XK1ZZJGH5
  cordon device lock C02XK1ZZJGH5 --message 'Please return to the office' --phone '+41 44 123 45 67'
  cordon device lock MACSERIAL --pin 123456

A Mac needs a PIN of six digits, and stays locked until it is typed in. iPads and iPhones keep the passcode they have.")]
struct LockArgs {
    /// Cordon's id, UDID / EnrollmentID, or serial number
    device: String,
    /// Six digits that unlock a Mac
    #[arg(long, value_name = "DIGITS", value_parser = six_digits)]
    pin: Option<String>,
    /// Shown on the locked screen
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// Shown on the locked screen
    #[arg(long, value_name = "NUMBER")]
    phone: Option<String>,
    #[command(flatten)]
    wait: command::WaitArgs,
}

fn six_digits(text: &str) -> Result<String, String> {
    let good = text.len() == 6 && text.bytes().all(|b| b.is_ascii_digit());
    if good { Ok(text.to_owned()) } else { Err(String::from("a PIN has six digits")) }
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::List(args) => list(api, args, voice),
        Verb::Show(args) => show(api, args, voice),
        Verb::Export(args) => super::inventory::export(api, args, voice),
        Verb::Explain(args) => channels::explain(api, args, voice),
        Verb::Fields(args) => super::fields::run(api, "devices", args, voice),
        Verb::Profiles(args) => channels::profiles(api, args, voice),
        Verb::Lock(args) => lock(api, args, voice),
        Verb::Lost(args) => missing::lost(api, args, voice),
        Verb::Found(args) => missing::found(api, args, voice),
        Verb::Locate(args) => missing::locate(api, args, voice),
        Verb::Remove(args) => leaving::remove(api, args, voice),
        Verb::Release(args) => leaving::release(api, args, voice),
        Verb::Block(args) => leaving::block(api, args, voice),
        Verb::Unblock(args) => leaving::unblock(api, args, voice),
        Verb::TakeBack(args) => leaving::take_back(api, args, voice),
        Verb::ReleaseQuarantine(args) => leaving::release_quarantine(api, args, voice),
        Verb::Rebind(args) => leaving::rebind(api, args, voice),
        Verb::Attention(_) => leaving::attention(api, voice),
        Verb::Policy(args) => leaving::policy(api, args, voice),
        Verb::PlaySound(args) => missing::play_sound(api, args, voice),
        Verb::TheftSheet(args) => missing::theft_sheet(api, args, voice),
    }
}

fn list(api: &dyn Api, args: &ListArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let call = Call::get("/api/v1/devices").with("search", args.search.as_ref());
    let (items, next) = api.list(&call, args.limit.map(|n| n as usize))?;
    let now = voice.now();
    voice.show(&json!({ "items": items, "next_cursor": next }), || {
        if items.is_empty() { String::new() } else { rows(&items, now) }
    })?;
    match (items.is_empty(), &args.search) {
        (true, Some(search)) => voice.advise(&format!("No device matches “{search}”.")),
        (true, None) => voice
            .talk("There are no devices yet. Make a profile for the first one: cordon enroll profile --output FILE"),
        _ if next.is_some() => voice.advise("There are more; see them with a higher --limit, or without it."),
        _ => {}
    }
    Ok(())
}

fn rows(items: &[Value], now: Timestamp) -> String {
    let mut table = Table::new(&["SERIAL", "NAME", "MODEL", "SYSTEM", "STATE", "WAITING", "LAST SEEN", "ID"]);
    for item in items {
        let state = if item["push"]["state"] == "dead" { String::from("unreachable") } else { cell(item, "state") };
        let seen = told_field(&item["last_seen"], now);
        table.row([
            cell(item, "serial"),
            cell(item, "name"),
            model(item),
            system(item),
            state,
            cell(item, "waiting"),
            seen,
            cell(item, "id"),
        ]);
    }
    table.render()
}

/// The name that people know, else Apple's identifier.
fn model(item: &Value) -> String {
    let known =
        ["model_name", "product_name", "model"].into_iter().map(|key| field(item, key)).find(|text| !text.is_empty());
    known.unwrap_or_else(|| String::from("-"))
}

fn system(item: &Value) -> String {
    let text = [field(item, "platform"), field(item, "os_version")].join(" ");
    if text.trim().is_empty() { String::from("-") } else { text.trim().to_owned() }
}

fn show(api: &dyn Api, args: &ShowArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let device = api.json(&Call::get(format!("/api/v1/devices/{}", escape(&args.device))))?;
    let now = voice.now();
    voice.show(&device, || story(&device, now))
}

/// Everything about one device, in words.
fn story(device: &Value, now: Timestamp) -> String {
    let mut facts = Facts::default();
    facts.add("Name", field(device, "name"));
    facts.add("Serial", field(device, "serial"));
    facts.add("Id", field(device, "id"));
    facts.add("UDID", field(device, "udid"));
    let person = ["long_name", "short_name"].map(|key| field(&device["person"], key));
    facts.add("Person", person.into_iter().find(|name| !name.is_empty()).unwrap_or_default());
    facts.add("Model", model(device));
    let build = Some(field(device, "build_version")).filter(|build| !build.is_empty());
    facts.add("System", build.map_or_else(|| system(device), |build| format!("{} ({build})", system(device))));
    facts.add("State", device["state"].as_str().unwrap_or("never enrolled"));
    facts.add("Last seen", told_field(&device["last_seen"], now));
    facts.add("Waiting", format!("{} command(s)", cell(device, "waiting")));
    if matches!(device["lost"].as_str(), Some("lost" | "missing")) {
        let since = told_field(&device["lost_since"], now);
        facts.add("Whereabouts", format!("marked {} {since} by {}", field(device, "lost"), cell(device, "lost_by")));
    }
    if device["lost_mode"] == true {
        facts.add("Lost Mode", "on");
    }
    facts.add("Identity", identity_in_words(&device["identity"], now));
    if device["blocked_at"].is_string() {
        facts.add("Blocked", told_field(&device["blocked_at"], now));
    }
    facts.add("Push", push_in_words(&device["push"], now));
    let mut text = facts.render();
    let list = |key: &str| device[key].as_array().filter(|items| !items.is_empty());
    if let Some(users) = list("users") {
        let mut table = Table::new(&["USER", "FULL NAME", "STATE", "ON SCREEN", "WAITING", "LAST SEEN", "USER ID"]);
        for user in users {
            let seen = told_field(&user["last_seen"], now);
            table.row([
                cell(user, "short_name"),
                cell(user, "long_name"),
                cell(user, "state"),
                String::from(if user["not_on_console"] == true { "no" } else { "yes" }),
                cell(user, "waiting"),
                seen,
                cell(user, "user_id"),
            ]);
        }
        text.push_str(&format!("\n{}", table.render()));
    }
    if let Some(timeline) = list("timeline") {
        text.push_str(&format!("\n{}", happened(timeline)));
    }
    text
}

/// Until when the identity is good, and how its renewal stands.
fn identity_in_words(identity: &Value, now: Timestamp) -> String {
    let Some(until) = identity["not_after"].as_str() else { return String::from("-") };
    let renewal = &identity["renewal"];
    let standing = match renewal["state"].as_str() {
        Some("queued" | "proven") => format!("renewal under way since {}", told_field(&renewal["begun_at"], now)),
        Some("failed") => format!("renewal failed: {}", cell(renewal, "why")),
        _ => format!("renewed by itself {}", told_field(&identity["renew_at"], now)),
    };
    format!("good until {until}; {standing}")
}

fn push_in_words(push: &Value, now: Timestamp) -> String {
    let last = told_field(&push["last_sent"], now);
    let next =
        push["next"].as_str().map(|next| format!("; next {}", super::moment::told(next, now))).unwrap_or_default();
    match push["state"].as_str() {
        Some("dead") => format!("cannot be called: {}", cell(push, "why")),
        Some("ok") => format!("last called {last}{next}"),
        _ => format!("never called{next}"),
    }
}

/// A timeline or history, one line per event.
pub fn happened(items: &[Value]) -> String {
    let mut table = Table::new(&["WHEN", "WHAT", "COMMAND", "DETAIL"]);
    for item in items {
        let detail = match &item["detail"] {
            Value::Object(pairs) => {
                let pair = |(name, value): (&String, &Value)| {
                    format!("{name}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                };
                pairs.iter().map(pair).collect::<Vec<_>>().join(" ")
            }
            _ => field(item, "detail"),
        };
        table.row([cell(item, "at"), cell(item, "kind"), cell(item, "command"), detail]);
    }
    table.render()
}

/// A lock is an ordinary command; naming the verb is consent enough, it takes nothing away.
fn lock(api: &dyn Api, args: &LockArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let given = [("PIN", &args.pin), ("Message", &args.message), ("PhoneNumber", &args.phone)];
    let pairs: Vec<(String, String)> =
        given.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?))).collect();
    let plan = command::plan::Plan::from_pairs("DeviceLock", &pairs)?;
    command::send::post(api, &args.device, &plan, &args.wait, voice)
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    fn ipad() -> Value {
        json!({"id": "d-1", "serial": "C1", "name": "Class\n7", "platform": "iOS", "model": null, "model_name": "iPad", "product_name": "iPad14,1",
            "os_version": "18.1", "build_version": "22B83", "state": "Active", "udid": "U", "last_seen": "2026-11-18T11:57:00Z", "waiting": 2,
            "push": {"state": "ok", "why": null, "last_sent": "2026-11-18T11:00:00Z", "next": null},
            "users": [{"user_id": "7", "short_name": "ada", "long_name": null, "state": "Active", "last_seen": null, "waiting": 0}],
            "timeline": [{"at": "2026-11-18T11:00:00Z", "kind": "enrolled", "command": null, "detail": {"by": "scep"}}]})
    }

    #[test]
    fn the_list_for_people() {
        let fake = Fake::new(|_| (200, json!({"items": [ipad()], "next_cursor": null})));
        let args = ListArgs { search: Some("7 a".into()), limit: Some(9) };
        let (done, out, err) = heard(false, |voice| list(&fake, &args, voice));
        assert_eq!((done, err.as_str()), (Ok(()), ""));
        let wanted = "SERIAL  NAME     MODEL  SYSTEM    STATE   WAITING  LAST SEEN      ID\n\
                      C1      Class\u{fffd}7  iPad   iOS 18.1  Active  2        3 minutes ago  d-1\n";
        assert_eq!(out, wanted);
        assert_eq!(fake.last().target, "/api/v1/devices?search=7%20a&limit=9");
    }

    #[test]
    fn an_empty_list_says_what_is_next() {
        let fake = Fake::new(|_| (200, json!({"items": [], "next_cursor": null})));
        let (_, out, err) = heard(false, |voice| list(&fake, &ListArgs { search: None, limit: None }, voice));
        assert_eq!(out, "");
        assert!(err.contains("cordon enroll profile"), "{err}");
        let (_, out, _) = heard(true, |voice| list(&fake, &ListArgs { search: None, limit: None }, voice));
        assert_eq!(out, "{\"items\":[],\"next_cursor\":null}\n");
    }

    #[test]
    fn one_device_in_words() {
        let fake = Fake::new(|_| (200, ipad()));
        let (_, out, _) = heard(false, |voice| show(&fake, &ShowArgs { device: "C 1".into() }, voice));
        assert_eq!(fake.last().target, "/api/v1/devices/C%201");
        for part in ["System:     iOS 18.1 (22B83)\n", "last called 1 hour ago", "ada", "never", "enrolled", "by=scep"]
        {
            assert!(out.contains(part), "{part} in\n{out}");
        }
    }

    #[test]
    fn a_lock_is_a_command() {
        let fake = Fake::new(|_| (201, json!({"command_uuid": "U-1", "state": "Queued"})));
        let wait = command::WaitArgs::default();
        let args = LockArgs { device: "C1".into(), pin: Some("123456".into()), message: None, phone: None, wait };
        let (done, _, _) = heard(false, |voice| lock(&fake, &args, voice));
        assert_eq!(done, Ok(()));
        let asked = fake.last();
        assert_eq!((asked.method, asked.target.as_str()), ("POST", "/api/v1/devices/C1/commands?checked=true"));
        let (_, request_type, keys) = crate::protocol::command::parse_raw(&asked.body).unwrap();
        assert_eq!((request_type.as_str(), keys.len()), ("DeviceLock", 1));
    }
}
