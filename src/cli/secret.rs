//! `cordon secret`: what is kept of a device, one secret shown with a reason, and the word of a second person.

use super::failure::Failure;
use super::files;
use super::moment::told_field;
use super::reach::{Api, Call, escape};
use super::table::{Table, cell, field};
use super::voice::{Voice, plain};
use crate::base::time::Timestamp;
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// What is kept of a device, without values
    List(ListArgs),
    /// Show one secret; who, what and why is recorded first
    Reveal(RevealArgs),
    /// All secrets of a device on one page, to be printed and locked away
    Sheet(SheetArgs),
    /// Make a code for Apple's Activation Lock
    #[command(after_help = "Examples:
  cordon secret make-activation-lock-code DMPXK1ZZJGH5

Prints the hash that Apple must be given when the lock is set. Cordon does not set the lock: whatever does hands the hash on.
The code itself is in custody as activation-lock-server-code.")]
    MakeActivationLockCode(ListArgs),
    /// Two-person rule: who waits for a second person's word
    #[command(after_help = "Examples:
  cordon secret requests
  cordon secret requests --json")]
    Requests,
    /// Two-person rule: agree to somebody else's request
    Approve(ApproveArgs),
    /// Whether a second person must agree before a secret is shown
    TwoPerson(TwoPersonArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon secret list C02XK1ZZJGH5
  cordon secret list d-4k7q --json")]
struct ListArgs {
    /// Cordon's id, UDID / EnrollmentID, or serial number
    device: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon secret reveal C02XK1ZZJGH5 recovery-lock --reason 'Reinstalling it at the workshop, ticket 812'
  cordon secret reveal C02XK1ZZJGH5 activation-lock-code --reason 'Bought back from Ms Acker' --generation 1
  cordon secret reveal C02XK1ZZJGH5 filevault-key --reason 'Forgotten password, room 204' --json

Kinds: unlock-token, bootstrap-token, filevault-key, activation-lock-code, activation-lock-server-code, recovery-lock, firmware-password, lock-pin.
Bytes are shown in base64; a filevault-key is as the device sealed it, for the key of the escrow certificate.")]
struct RevealArgs {
    /// Cordon's id, UDID / EnrollmentID, or serial number
    device: String,
    /// Which secret
    #[arg(value_name = "KIND")]
    kind: String,
    /// Why; at least ten characters, kept in the audit
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// An earlier one, or one that is not confirmed [default: the one in force]
    #[arg(long, value_name = "N")]
    generation: Option<i64>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon secret sheet C02XK1ZZJGH5 --reason 'Envelope for the safe, term 1' --output sheet.html

An HTML page without anything from outside. Print it, put it into an envelope, seal it, and delete the file.")]
struct SheetArgs {
    /// Cordon's id, UDID / EnrollmentID, or serial number
    device: String,
    /// Why; at least ten characters, kept in the audit
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// A new file, readable for you only
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon secret approve k7m2p9wq4t

The one who asked then asks again, within an hour, and sees the secret once.")]
struct ApproveArgs {
    /// From `cordon secret requests`
    id: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon secret two-person on
  cordon secret two-person on --for clear-passcode
  cordon secret two-person off")]
struct TwoPersonArgs {
    rule: Rule,
    /// What takes two people
    #[arg(long = "for", value_name = "WHAT", value_enum, default_value_t = Subject::Reveal)]
    subject: Subject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// Seeing a secret, or printing a sheet
    Reveal,
    /// ClearPasscode
    ClearPasscode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Rule {
    On,
    Off,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::List(args) => list(api, args, voice),
        Verb::Reveal(args) => reveal(api, args, voice),
        Verb::Sheet(args) => {
            let target = format!("/api/v1/devices/{}/secrets/sheet", escape(&args.device));
            let page = api.bytes(&Call::post_json(target, &json!({ "reason": args.reason })))?;
            files::write_private(&args.output, &page)?;
            voice.show(&json!({ "output": args.output }), || format!("The sheet is in {}.", args.output.display()))?;
            voice.advise("Print it, lock it away, and delete the file. That you made it is in the audit.");
            Ok(())
        }
        Verb::MakeActivationLockCode(args) => {
            let target = format!("/api/v1/devices/{}/activation-lock-code", escape(&args.device));
            let made = api.json(&Call::post_json(target, &json!({})))?;
            voice.show(&made, || field(&made, "escrow_key"))
        }
        Verb::Requests => requests(api, voice),
        Verb::Approve(args) => approve(api, args, voice),
        Verb::TwoPerson(args) => two_person(api, args, voice),
    }
}

fn list(api: &dyn Api, args: &ListArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let page = api.json(&Call::get(format!("/api/v1/devices/{}/secrets", escape(&args.device))))?;
    let now = voice.now();
    let items = page["items"].as_array().cloned().unwrap_or_default();
    voice.show(&page, || if items.is_empty() { String::new() } else { rows(&items, now) })?;
    if items.is_empty() {
        voice.advise(&format!("Nothing is kept of {} yet.", args.device));
    }
    Ok(())
}

fn rows(items: &[Value], now: Timestamp) -> String {
    let mut table = Table::new(&["KIND", "GENERATION", "STATE", "KEPT", "COMMAND"]);
    for item in items {
        let mut state = cell(item, "state");
        if item["has_value"] == false {
            state.push_str(", cleared");
        } else if item["withdrawn_at"].is_string() {
            state.push_str(", withdrawn");
        }
        table.row([
            cell(item, "kind"),
            cell(item, "generation"),
            state,
            told_field(&item["created_at"], now),
            cell(item, "command_uuid"),
        ]);
    }
    table.render()
}

fn reveal(api: &dyn Api, args: &RevealArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let target = format!("/api/v1/devices/{}/secrets/{}/reveal", escape(&args.device), escape(&args.kind));
    let mut body = json!({ "reason": args.reason });
    if let Some(generation) = args.generation {
        body["generation"] = json!(generation);
    }
    let shown = api.json(&Call::post_json(target, &body))?;
    voice.show(&shown, || plain(&field(&shown, "value")))?;
    let now = voice.now();
    let kept = told_field(&shown["created_at"], now);
    voice.advise(&format!(
        "{} generation {}, kept {kept}. That you saw it is in the audit.",
        cell(&shown, "kind"),
        cell(&shown, "generation")
    ));
    Ok(())
}

fn requests(api: &dyn Api, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let page = api.json(&Call::get("/api/v1/secret-requests"))?;
    let now = voice.now();
    let items = page["items"].as_array().cloned().unwrap_or_default();
    let words = || {
        let mut table = Table::new(&["ID", "DEVICE", "KIND", "ASKED BY", "ASKED", "AGREED BY", "REASON"]);
        for item in &items {
            let asked = told_field(&item["asked_at"], now);
            let cells = ["id", "device", "kind", "asked_by"].map(|key| cell(item, key));
            table.row(cells.into_iter().chain([asked, cell(item, "approved_by"), cell(item, "reason")]));
        }
        table.render()
    };
    voice.show(&page, || if items.is_empty() { String::new() } else { words() })?;
    if items.is_empty() {
        voice.advise("Nobody waits for a second person's word.");
    }
    Ok(())
}

fn approve(api: &dyn Api, args: &ApproveArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let agreed =
        api.json(&Call::post_json(format!("/api/v1/secret-requests/{}/approve", escape(&args.id)), &json!({})))?;
    let words = || {
        let [by, kind, device] = ["asked_by", "kind", "device"].map(|key| plain(&cell(&agreed, key)));
        if kind == "ClearPasscode" {
            return format!(
                "{by} may now clear the passcode of {device}, once, within an hour: the same command again."
            );
        }
        format!("{by} may now see the {kind} of {device}, once, within an hour.")
    };
    voice.show(&agreed, words)
}

fn two_person(api: &dyn Api, args: &TwoPersonArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let on = args.rule == Rule::On;
    let (key, what) = match args.subject {
        Subject::Reveal => ("two_person", "a secret is shown"),
        Subject::ClearPasscode => ("clear_passcode", "a passcode is cleared"),
    };
    let rule = api.json(&Call::post_json("/api/v1/secret-rule", &json!({ key: on })))?;
    let words = if on {
        format!("From now on a second person must agree before {what}.")
    } else {
        format!("One person is enough again before {what}.")
    };
    voice.show(&rule, || words)
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    #[test]
    fn the_value_goes_to_stdout_and_the_rest_to_stderr() {
        let fake = Fake::new(|_| {
            (200, json!({"kind": "lock-pin", "generation": 2, "created_at": "2026-11-18T11:57:00Z", "value": "123456"}))
        });
        let args = RevealArgs {
            device: "C 1".into(),
            kind: "lock-pin".into(),
            reason: "locked in room 7".into(),
            generation: Some(2),
        };
        let (done, out, err) = heard(false, |voice| reveal(&fake, &args, voice));
        assert_eq!((done, out.as_str()), (Ok(()), "123456\n"));
        assert!(err.contains("lock-pin generation 2, kept 3 minutes ago"), "{err}");
        assert!(!err.contains("123456"));
        let asked = fake.last();
        assert_eq!((asked.method, asked.target.as_str()), ("POST", "/api/v1/devices/C%201/secrets/lock-pin/reveal"));
        let body: Value = serde_json::from_slice(&asked.body).unwrap();
        assert_eq!(body, json!({"reason": "locked in room 7", "generation": 2}));
    }

    #[test]
    fn the_list_has_no_values_and_says_what_is_not_sure() {
        let item = |state: &str, has_value: bool, withdrawn: Option<&str>| {
            json!({"kind": "recovery-lock", "generation": 1, "state": state, "has_value": has_value, "created_at": "2026-11-18T11:57:00Z",
                "withdrawn_at": withdrawn, "command_uuid": "U-1"})
        };
        let items = [
            item("pending", true, None),
            item("confirmed", false, None),
            item("confirmed", true, Some("2026-11-18T11:57:00Z")),
        ];
        let fake = Fake::new(move |_| (200, json!({"items": items, "next_cursor": null})));
        let (_, out, _) = heard(false, |voice| list(&fake, &ListArgs { device: "C1".into() }, voice));
        for part in ["pending ", "confirmed, cleared", "confirmed, withdrawn", "U-1"] {
            assert!(out.contains(part), "{part} in\n{out}");
        }
    }
}
