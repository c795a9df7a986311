//! `cordon device remove|release|block|unblock|take-back|release-quarantine|rebind|attention|policy`: how management ends, and what waits
//! for a decision.

use super::command;
use super::failure::Failure;
use super::moment::told_field;
use super::reach::{Api, Call, escape};
use super::table::{Facts, Table, cell, field};
use super::voice::Voice;
use serde_json::{Value, json};

/// A device, and consent where something ends.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon device remove C02XK1ZZJGH5
  cordon device remove C02XK1ZZJGH5 --yes

The MDM profile is removed by command, and with it everything that management installed. It is gone when the device has done so.")]
pub struct RemoveArgs {
    /// Cordon's id, UDID / EnrollmentID, or serial number
    device: String,
    /// Do not ask back
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon device release C02XK1ZZJGH5 --yes

For a device that is sold, broken or lost for good: it is gone here at once. Should it ever call again, it is told to leave management.")]
pub struct ReleaseArgs {
    /// Cordon's id, UDID / EnrollmentID, or serial number
    device: String,
    /// Do not ask back
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon device block C02XK1ZZJGH5 --yes

The next thing it says is answered by ending its management, and it cannot enrol again until `cordon device unblock`.")]
pub struct BlockArgs {
    /// Cordon's id, UDID / EnrollmentID, or serial number
    device: String,
    /// Do not ask back
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon device unblock C02XK1ZZJGH5")]
pub struct UnblockArgs {
    /// Cordon's id, UDID / EnrollmentID, or serial number
    device: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon device take-back C02XK1ZZJGH5

For a device that had left and is back with its old identity, as after the restore of a backup.")]
pub struct TakeBackArgs {
    /// Cordon's id, UDID / EnrollmentID, or serial number
    device: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon device release-quarantine C02XK1ZZJGH5

The identity of a device was shown by another one and is set aside. Say this for the original; enrol the other one anew.")]
pub struct QuarantineArgs {
    /// Cordon's id, UDID / EnrollmentID, or serial number
    device: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon device rebind C02XK1ZZJGH5 --yes

Make sure first that it really is this device: whoever holds the certificate speaks for it from then on.")]
pub struct RebindArgs {
    /// Cordon's id, UDID / EnrollmentID, or serial number
    device: String,
    /// Do not ask back
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon device attention
  cordon device attention --json")]
pub struct AttentionArgs {}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon device policy
  cordon device policy --take-back on --expired-days 60
  cordon device policy --renew-at 40 --renew-spread 21

Without options it shows what is in force. --unenroll-strangers on answers devices that nobody here knows by ending their management; after the
restore of an old database that would be every device that enrolled since.")]
pub struct PolicyArgs {
    /// End the management of devices that nobody here knows
    #[arg(long, value_name = "on|off", value_parser = on_off)]
    unenroll_strangers: Option<bool>,
    /// Take every device back that left and comes again as it was
    #[arg(long, value_name = "on|off", value_parser = on_off)]
    take_back: Option<bool>,
    /// For so many days an expired identity may still fetch its renewal
    #[arg(long, value_name = "DAYS")]
    expired_days: Option<u32>,
    /// Renew when so much of an identity's life is left
    #[arg(long, value_name = "PERCENT")]
    renew_at: Option<u32>,
    /// Spread renewals that come due together over so many days, at most
    #[arg(long, value_name = "DAYS")]
    renew_spread: Option<u32>,
}

pub(super) fn on_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(String::from("say on or off")),
    }
}

fn path(device: &str, verb: &str) -> String {
    format!("/api/v1/devices/{}/{verb}", escape(device))
}

/// Asks back, unless that was answered beforehand.
fn consent(yes: bool, what: &str, voice: &mut Voice<'_>) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !voice.can_ask {
        return Err(Failure::usage(format!("{what} Say --yes if that is meant.")));
    }
    if voice.confirm(&format!("{what} Go on?")) {
        Ok(())
    } else {
        Err(Failure::new("not-sent", "Nothing was changed."))
    }
}

pub fn remove(api: &dyn Api, args: &RemoveArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let what = format!("Everything that management installed on {} goes with its profile.", args.device);
    consent(args.yes, &what, voice)?;
    let sent = api.json(&Call::post_json(path(&args.device, "remove"), &json!({})))?;
    let uuid = field(&sent, "command_uuid");
    voice.show(&sent, || format!("RemoveProfile is queued as {uuid}. {} is gone when it has done so.", args.device))?;
    command::send::owed(api, voice);
    Ok(())
}

fn tell(api: &dyn Api, device: &str, verb: &str, words: &str, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let shown = api.json(&Call::post_json(path(device, verb), &json!({})))?;
    voice.show(&shown, || format!("{device} {words}"))
}

pub fn release(api: &dyn Api, args: &ReleaseArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    consent(args.yes, &format!("{} is no longer managed from now on, and its queue is emptied.", args.device), voice)?;
    tell(api, &args.device, "release", "is released.", voice)
}

pub fn block(api: &dyn Api, args: &BlockArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    consent(args.yes, &format!("{} loses its management as soon as it speaks, and stays out.", args.device), voice)?;
    tell(api, &args.device, "block", "is blocked.", voice)
}

pub fn unblock(api: &dyn Api, args: &UnblockArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    tell(api, &args.device, "unblock", "may enrol again.", voice)
}

pub fn take_back(api: &dyn Api, args: &TakeBackArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    tell(api, &args.device, "take-back", "is taken back when it comes again.", voice)
}

pub fn release_quarantine(api: &dyn Api, args: &QuarantineArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    tell(api, &args.device, "release-quarantine", "goes on with its identity. Enrol the other device anew.", voice)
}

pub fn rebind(api: &dyn Api, args: &RebindArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    consent(args.yes, &format!("The certificate that {} showed speaks for it from now on.", args.device), voice)?;
    tell(api, &args.device, "rebind", "is bound to the certificate that it showed.", voice)
}

pub fn attention(api: &dyn Api, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let page = api.json(&Call::get("/api/v1/attention"))?;
    let now = voice.now();
    let items: Vec<Value> = page["items"].as_array().cloned().unwrap_or_default();
    voice.show(&page, || {
        if items.is_empty() {
            return String::new();
        }
        let mut table = Table::new(&["DEVICE", "WHAT", "LAST SEEN", "TIMES"]);
        for item in &items {
            let device = item["serial"].as_str().map_or_else(|| cell(item, "device_id"), str::to_owned);
            table.row([device, cell(item, "kind"), told_field(&item["last_at"], now), cell(item, "times")]);
        }
        let words: Vec<String> = items.iter().map(|item| field(item, "words")).collect();
        format!("{}\n{}\n", table.render(), words.join("\n"))
    })?;
    if items.is_empty() {
        voice.advise("Nothing waits for a decision.");
    }
    Ok(())
}

pub fn policy(api: &dyn Api, args: &PolicyArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    const POLICY: &str = "/api/v1/device-policy";
    let pairs = [
        ("unenroll_strangers", args.unenroll_strangers.map(Value::from)),
        ("take_back", args.take_back.map(Value::from)),
        ("expired_days", args.expired_days.map(Value::from)),
        ("renew_at_percent", args.renew_at.map(Value::from)),
        ("renew_spread_days", args.renew_spread.map(Value::from)),
    ];
    let change: serde_json::Map<String, Value> =
        pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
    let policy = match change.is_empty() {
        true => api.json(&Call::get(POLICY))?,
        false => api.json(&Call::patch_json(POLICY, &Value::Object(change)))?,
    };
    voice.show(&policy, || {
        let mut facts = Facts::default();
        let on = |key: &str| if policy[key] == true { "yes" } else { "no" };
        facts.add("Un-enrol strangers", on("unenroll_strangers"));
        facts.add("Take devices back", if policy["take_back"] == true { "yes" } else { "after a person agreed" });
        facts.add("Expired identities", format!("may be renewed for {} day(s)", cell(&policy, "expired_days")));
        facts.add("Renewal", format!("with {} % of the life left", cell(&policy, "renew_at_percent")));
        facts.add("Spread", format!("over {} day(s) at most", cell(&policy, "renew_spread_days")));
        facts.render()
    })
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    #[test]
    fn what_ends_something_asks_back() {
        let fake = Fake::new(|_| (200, json!({ "id": "d-1" })));
        let (done, ..) = heard(false, |voice| block(&fake, &BlockArgs { device: "C1".into(), yes: false }, voice));
        assert!(done.is_err() && fake.asked.borrow().is_empty());
        let (done, out, _) = heard(false, |voice| block(&fake, &BlockArgs { device: "C 1".into(), yes: true }, voice));
        assert_eq!((done, out.as_str()), (Ok(()), "C 1 is blocked.\n"));
        assert_eq!(fake.last().target, "/api/v1/devices/C%201/block");
    }

    #[test]
    fn attention_says_what_can_be_done() {
        let item = json!({"device_id": "d-1", "serial": "C1", "kind": "came-back", "words": "Take it back with …", "last_at": "2026-11-18T11:57:00Z", "times": 3});
        let fake = Fake::new(move |_| (200, json!({ "items": [item.clone()], "next_cursor": null })));
        let (_, out, _) = heard(false, |voice| attention(&fake, voice));
        assert!(out.contains("C1") && out.contains("came-back") && out.contains("Take it back with"), "{out}");
    }

    #[test]
    fn the_policy_changes_only_what_is_said() {
        let answer = json!({"unenroll_strangers": false, "take_back": true, "expired_days": 30, "renew_at_percent": 33, "renew_spread_days": 14});
        let fake = Fake::new(move |_| (200, answer.clone()));
        let args = PolicyArgs {
            unenroll_strangers: None,
            take_back: Some(true),
            expired_days: None,
            renew_at: None,
            renew_spread: None,
        };
        let (_, out, _) = heard(false, |voice| policy(&fake, &args, voice));
        let sent: Value = serde_json::from_slice(&fake.last().body).unwrap();
        assert_eq!((fake.last().method, sent), ("PATCH", json!({ "take_back": true })));
        assert!(out.contains("30 day(s)"), "{out}");
    }
}
