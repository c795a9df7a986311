//! `cordon device lost|found|locate|play-sound`: a device that is not where it should be.

use super::command::{self, WaitArgs};
use super::failure::Failure;
use super::files;
use super::moment::told_field;
use super::reach::{Api, Call, escape};
use super::table::{Facts, cell, field};
use super::voice::Voice;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon device lost C02XK1ZZJGH5 --message 'This iPad belongs to Hill School' --phone '+41 44 123 45 67'
  cordon device lost C02XK1ZZJGH5 --missing

Lost Mode locks an iPad or iPhone that is supervised and shows the message. A ClearPasscode that waits is cancelled and new ones are
refused, until `cordon device found`. A Mac knows no Lost Mode: it is only marked; lock it with `cordon device lock`.")]
pub struct LostArgs {
    /// Cordon's id, UDID / EnrollmentID, or serial number
    device: String,
    /// Shown on the screen; this or --phone is needed
    #[arg(long, value_name = "TEXT", required_unless_present_any = ["phone", "missing"])]
    message: Option<String>,
    /// Shown on the screen
    #[arg(long, value_name = "NUMBER")]
    phone: Option<String>,
    /// Shown at the bottom of the screen
    #[arg(long, value_name = "TEXT")]
    footnote: Option<String>,
    /// Only mark it as missing; nothing is sent to the device
    #[arg(long, conflicts_with_all = ["message", "phone", "footnote"])]
    missing: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon device found C02XK1ZZJGH5
  cordon device found C02XK1ZZJGH5 --yes")]
pub struct FoundArgs {
    /// Cordon's id, UDID / EnrollmentID, or serial number
    device: String,
    /// Do not ask back
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon device locate C02XK1ZZJGH5 --reason 'Stolen from room 12, police report filed' --wait
  cordon device locate C02XK1ZZJGH5 --reason 'Stolen from room 12, police report filed' --last

Works only in Lost Mode. Every question and every look is kept in the audit with its reason.")]
pub struct LocateArgs {
    /// Cordon's id, UDID / EnrollmentID, or serial number
    device: String,
    /// Why; at least ten characters, kept in the audit
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Do not ask the device; show where it last said it was
    #[arg(long, conflicts_with = "wait")]
    last: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon device play-sound C02XK1ZZJGH5
  cordon device play-sound C02XK1ZZJGH5 --wait

Works only in Lost Mode.")]
pub struct SoundArgs {
    /// Cordon's id, UDID / EnrollmentID, or serial number
    device: String,
    #[command(flatten)]
    wait: WaitArgs,
}

fn path(device: &str, verb: &str) -> String {
    format!("/api/v1/devices/{}/{verb}", escape(device))
}

pub fn lost(api: &dyn Api, args: &LostArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let body =
        json!({ "message": args.message, "phone": args.phone, "footnote": args.footnote, "missing": args.missing });
    let marked = api.json(&Call::post_json(path(&args.device, "lost"), &body))?;
    voice.show(&marked, || marked_in_words(&args.device, &marked, args.missing))?;
    for uuid in marked["already_sent"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        voice.talk(&format!("ClearPasscode {uuid} had been handed to it already: the device may be open. Erase it if it does not come back."));
    }
    if marked["command_uuid"].is_string() {
        command::send::owed(api, voice);
    }
    Ok(())
}

fn marked_in_words(device: &str, marked: &Value, missing: bool) -> String {
    let mut words = format!("{device} is marked {}.", cell(marked, "lost"));
    match marked["command_uuid"].as_str() {
        Some(uuid) => words.push_str(&format!(" Lost Mode is queued as {uuid}.")),
        None if missing => {}
        None => words.push_str(" It takes no Lost Mode: it is a Mac, or not enrolled."),
    }
    if let Some(cancelled) = marked["cancelled"].as_array().filter(|list| !list.is_empty()) {
        words.push_str(&format!(" {} waiting ClearPasscode command(s) cancelled.", cancelled.len()));
    }
    words
}

pub fn found(api: &dyn Api, args: &FoundArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let what = "It ends Lost Mode and lets the passcode be cleared again.";
    if !args.yes && !voice.can_ask {
        return Err(Failure::usage(format!("{what} Say --yes if {} is really back.", args.device)));
    }
    if !args.yes && !voice.confirm(&format!("{what} Is {} really back?", args.device)) {
        return Err(Failure::new("not-sent", "Nothing was changed."));
    }
    let marked = api.json(&Call::post_json(path(&args.device, "found"), &json!({})))?;
    voice.show(&marked, || match marked["command_uuid"].as_str() {
        Some(uuid) => format!("{} is no longer marked. The end of Lost Mode is queued as {uuid}.", args.device),
        None => format!("{} is no longer marked.", args.device),
    })
}

pub fn locate(api: &dyn Api, args: &LocateArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let reason = json!({ "reason": args.reason });
    if !args.last {
        let call = Call::post_json(path(&args.device, "locate"), &reason);
        if !args.wait.wait {
            let sent = api.json(&call)?;
            let uuid = field(&sent, "command_uuid");
            voice.show(&sent, || format!("DeviceLocation is queued as {uuid}. See the answer with --last."))?;
            command::send::owed(api, voice);
            return Ok(());
        }
        command::send::until_acknowledged(api, &call, &args.wait, voice)?;
    }
    let place = api.json(&Call::post_json(path(&args.device, "whereabouts"), &reason))?;
    let now = voice.now();
    voice.show(&place, || {
        let mut facts = Facts::default();
        let location = &place["location"];
        facts.add("Latitude", field(location, "latitude"));
        facts.add("Longitude", field(location, "longitude"));
        facts.add("Accuracy", format!("{} m", cell(location, "horizontal_accuracy")));
        facts.add("Measured", field(location, "timestamp"));
        facts.add("Answered", told_field(&place["received_at"], now));
        facts.render()
    })
}

pub fn play_sound(api: &dyn Api, args: &SoundArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let plan = command::plan::Plan::from_pairs("PlayLostModeSound", &[])?;
    command::send::post(api, &args.device, &plan, &args.wait, voice)
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon device theft-sheet C02XK1ZZJGH5 --reason 'Stolen from room 12, police report filed' --output theft.html

An HTML page without anything from outside and without secrets: serial number, IMEI, model, when it was last heard of, and where
it last said it was. That you looked at the place is in the audit.")]
pub struct TheftSheetArgs {
    /// Cordon's id, UDID / EnrollmentID, or serial number
    device: String,
    /// Why; at least ten characters, kept in the audit
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// A new file, readable for you only
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

pub fn theft_sheet(api: &dyn Api, args: &TheftSheetArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let target = format!("/api/v1/devices/{}/theft-sheet", escape(&args.device));
    let page = api.bytes(&Call::post_json(target, &json!({ "reason": args.reason })))?;
    files::write_private(&args.output, &page)?;
    voice.show(&json!({ "output": args.output }), || format!("The sheet is in {}.", args.output.display()))
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    fn marked() -> Fake {
        Fake::new(|_| {
            (
                200,
                json!({"device_id": "d-1", "lost": "lost", "command_uuid": "U-1", "cancelled": ["U-0"], "already_sent": ["U-9"]}),
            )
        })
    }

    #[test]
    fn lost_says_what_was_stopped_and_what_was_not() {
        let args = LostArgs {
            device: "C1".into(),
            message: Some("Call us".into()),
            phone: None,
            footnote: None,
            missing: false,
        };
        let fake = marked();
        let (done, out, err) = heard(false, |voice| lost(&fake, &args, voice));
        assert_eq!(done, Ok(()));
        assert_eq!(
            out,
            "C1 is marked lost. Lost Mode is queued as U-1. 1 waiting ClearPasscode command(s) cancelled.\n"
        );
        assert!(err.contains("U-9") && err.contains("may be open"), "{err}");
        assert_eq!(fake.last().target, "/api/v1/devices/C1/lost");
    }

    #[test]
    fn found_needs_a_yes_where_nobody_can_be_asked() {
        let fake = marked();
        let args = |yes| FoundArgs { device: "C1".into(), yes };
        let (done, ..) = heard(false, |voice| found(&fake, &args(false), voice));
        assert!(done.is_err() && fake.asked.borrow().is_empty());
        let (done, out, _) = heard(false, |voice| found(&fake, &args(true), voice));
        assert_eq!((done, out.contains("no longer marked")), (Ok(()), true));
    }

    #[test]
    fn the_last_place_is_shown_without_asking_the_device() {
        let place = json!({"command_uuid": "U-1", "received_at": "2026-11-18T11:57:00Z", "location": {"latitude": 31.5, "longitude": -41.25, "horizontal_accuracy": 65.0}});
        let fake = Fake::new(move |_| (200, place.clone()));
        let args = LocateArgs {
            device: "C1".into(),
            reason: "stolen from room 12".into(),
            last: true,
            wait: WaitArgs::default(),
        };
        let (done, out, _) = heard(false, |voice| locate(&fake, &args, voice));
        assert_eq!(done, Ok(()));
        assert!(out.contains("31.5") && out.contains("-41.25") && out.contains("3 minutes ago"), "{out}");
        assert_eq!(fake.asked.borrow().len(), 1);
    }
}
