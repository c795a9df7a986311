//! `cordon command send`: posts a planned command, and with `--wait` stays until the device has answered.

use super::WaitArgs;
use super::many::Asked;
use super::plan::{Plan, pair};
use crate::base::time::Timestamp;
use crate::cli::failure::Failure;
use crate::cli::moment::parse_option;
use crate::cli::reach::{Api, Call, escape};
use crate::cli::table::field;
use crate::cli::voice::Voice;
use indicatif::ProgressBar;
use serde_json::Value;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Between two looks at a command: short at first, as most devices answer within a second or two.
const LOOKS: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(250), Duration::from_millis(500), Duration::from_secs(1)];

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon command send C02XK1ZZJGH5 DeviceInformation Queries=SerialNumber Queries=OSVersion --wait
  cordon command send C02XK1ZZJGH5 InstallProfile Payload=@wifi.mobileconfig
  cordon command send C02XK1ZZJGH5 Settings Settings.Item=DeviceName Settings.DeviceName='iPad 7'
  cordon command send C02XK1ZZJGH5 DeviceLock Message='Back to the office' --yes
  cordon command send C02XK1ZZJGH5 RestartDevice --not-before 2h --expires 1d
  cordon command send C02XK1ZZJGH5 ClearPasscode --possession 'Ada Acker, class 7b, stands at my desk with it'
  cordon command send C02XK1ZZJGH5 EraseDevice --reason 'Sold to the parents, receipt 31'
  cordon command send C02XK1ZZJGH5 --plist command.plist
  cordon command send --group 7b DeviceInformation Queries=OSVersion --wait
  cordon command send --all SecurityInfo --expires 2d

A repeated KEY makes a list; A.B=VALUE goes inside A; A.0.B=VALUE counts elements; @FILE is read where data belongs.
`cordon command types REQUESTTYPE` shows the keys. A property list is sent as it is, without a check of its keys.
What cannot be undone is asked about first; in scripts say --yes. With --group or --all no device is named: every device gets a
command of its own, also after a restart of the server; what opens, erases or removes is not sent to many.")]
pub struct Args {
    /// Cordon's id, UDID / EnrollmentID, or serial number; none with --group or --all
    #[arg(value_name = "DEVICE", required_unless_present_any = ["group", "all"])]
    device: Option<String>,
    /// Apple's name of the command, such as DeviceInformation
    #[arg(value_name = "REQUESTTYPE", required_unless_present_any = ["plist", "group", "all"])]
    request_type: Option<String>,
    /// Apple's keys
    #[arg(value_name = "KEY=VALUE", value_parser = pair)]
    pairs: Vec<(String, String)>,
    /// Send this property list
    #[arg(long, value_name = "FILE", conflicts_with = "pairs")]
    plist: Option<PathBuf>,
    /// Every device of this group
    #[arg(long, value_name = "GROUP", conflicts_with_all = ["all", "user", "possession", "reason"])]
    group: Option<String>,
    /// Every device that is enrolled
    #[arg(long, conflicts_with_all = ["user", "possession", "reason"])]
    all: bool,
    /// Send it to this user of the device: UserID or short name
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    #[command(flatten)]
    wait: WaitArgs,
    /// Hand it out only from then on: an instant, or a span from now like 2h
    #[arg(long, value_name = "TIME")]
    not_before: Option<String>,
    /// Give up then: an instant, or a span from now like 7d
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// ClearPasscode: how you made sure that the owner holds the device; kept in the audit
    #[arg(long, value_name = "TEXT")]
    possession: Option<String>,
    /// EraseDevice, DisableLostMode, DeviceLocation: why; kept in the audit
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Do not ask back
    #[arg(long, short)]
    yes: bool,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let (device, request_type, pairs) = said(args)?;
    let plan = match (&args.plist, request_type) {
        (Some(file), said) => Plan::from_plist(file, said)?,
        (None, Some(request_type)) => Plan::from_pairs(request_type, &pairs)?,
        (None, None) => return Err(Failure::usage("say which command, or give a property list with --plist FILE")),
    };
    if !plan.checked {
        voice
            .talk("A property list goes as it is: neither its keys nor their values are compared with Apple's schema.");
    }
    let now = voice.now();
    let instant = |option, text: &Option<String>| text.as_ref().map(|text| parse_option(option, text, now)).transpose();
    let (not_before, expires) = (instant("--not-before", &args.not_before)?, instant("--expires", &args.expires)?);
    if plan.request_type == "ClearPasscode" && args.possession.is_none() {
        return Err(Failure::usage(
            "say with --possession TEXT how you made sure that the owner holds the device; never clear the passcode of a lost one",
        ));
    }
    if matches!(plan.request_type.as_str(), "EraseDevice" | "DisableLostMode") && args.reason.is_none() {
        return Err(Failure::usage(format!(
            "say with --reason TEXT why: {} is kept in the audit with it",
            plan.request_type
        )));
    }
    let target = device.or(args.group.as_deref()).unwrap_or("all devices");
    consent(&plan, args, target, voice)?;
    let Some(device) = device else {
        let asked = Asked { group: args.group.as_deref(), not_before, expires };
        return super::many::send(api, &plan, &asked, &args.wait, voice);
    };
    let call = call(device, &plan)
        .with("user", args.user.as_ref())
        .with("not_before", not_before.map(|at: Timestamp| at.to_string()))
        .with("expires_at", expires.map(|at: Timestamp| at.to_string()))
        .with("possession", args.possession.as_ref())
        .with("reason", args.reason.as_ref());
    deliver(api, &call, &plan, &args.wait, voice)
}

/// Device, RequestType and pairs: with --group or --all the first word is the RequestType.
type Words<'a> = (Option<&'a str>, Option<&'a str>, Vec<(String, String)>);

fn said(args: &Args) -> Result<Words<'_>, Failure> {
    let (first, second) = (args.device.as_deref(), args.request_type.as_deref());
    if args.group.is_none() && !args.all {
        return Ok((first, second, args.pairs.clone()));
    }
    let mut pairs = Vec::new();
    if let Some(text) = second {
        let why = |why| Failure::usage(format!("{text}: {why}; with --group or --all no device is named"));
        pairs.push(pair(text).map_err(why)?);
    }
    pairs.extend(args.pairs.iter().cloned());
    if args.plist.is_some() && !pairs.is_empty() {
        return Err(Failure::usage("a property list goes as it is: no KEY=VALUE beside --plist"));
    }
    Ok((None, first, pairs))
}

/// Posts a plan to the device itself, at once.
pub fn post(api: &dyn Api, device: &str, plan: &Plan, wait: &WaitArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    deliver(api, &call(device, plan), plan, wait, voice)
}

fn call(device: &str, plan: &Plan) -> Call {
    let target = format!("/api/v1/devices/{}/commands", escape(device));
    Call::post(target, "application/xml", plan.body.clone()).with("checked", plan.checked.then_some("true"))
}

/// What cannot be undone needs a yes.
fn consent(plan: &Plan, args: &Args, target: &str, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let Some(danger) = plan.danger().filter(|_| !args.yes) else { return Ok(()) };
    let what = format!("{} {danger}.", plan.request_type);
    if !voice.can_ask {
        return Err(Failure::usage(format!("{what} Say --yes if that is meant.")));
    }
    if voice.confirm(&format!("{what} Send it to {target}?")) {
        Ok(())
    } else {
        Err(Failure::new("not-sent", "Nothing was sent."))
    }
}

fn deliver(api: &dyn Api, call: &Call, plan: &Plan, wait: &WaitArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    if wait.wait {
        let ended = ended(api, call, wait, voice)?;
        let now = voice.now();
        voice.show(&ended, || super::story(&ended, now))?;
        return verdict(&ended);
    }
    let sent = api.json(call)?;
    voice.show(&sent, || format!("{} is queued as {}.", plan.request_type, field(&sent, "command_uuid")))?;
    owed(api, voice);
    Ok(())
}

/// Posts and stays until the device acknowledged; what it answered is for the caller to fetch.
///
/// # Errors
/// For any other end.
pub fn until_acknowledged(api: &dyn Api, call: &Call, wait: &WaitArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    verdict(&ended(api, call, wait, voice)?)
}

/// Posts, and returns the command when it has ended or the time is over.
fn ended(api: &dyn Api, call: &Call, wait: &WaitArgs, voice: &mut Voice<'_>) -> Result<Value, Failure> {
    if !api.is_live() {
        return Err(Failure::new(
            "no-server",
            "no server is running, so no device can answer: leave --wait out, or start `cordon serve`. Nothing was sent.",
        ));
    }
    let sent = api.json(call)?;
    let uuid = field(&sent, "command_uuid");
    voice.advise(&format!("{} is queued as {uuid}.", field(&sent, "request_type")));
    let limit = wait.timeout.map(|seconds| Duration::from_secs(seconds.into()));
    watch(api, &uuid, limit, voice.on_screen)
}

/// Without a server nobody calls the device; the push stays owed.
pub fn owed(api: &dyn Api, voice: &mut Voice<'_>) {
    if !api.is_live() {
        voice.talk("No server is running; the device is called when it starts.");
    }
}

/// The command when it has ended or the time is over.
fn watch(api: &dyn Api, uuid: &str, limit: Option<Duration>, on_screen: bool) -> Result<Value, Failure> {
    let started = Instant::now();
    // Hidden by itself where stderr is no terminal.
    let bar = if on_screen { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    bar.enable_steady_tick(Duration::from_millis(120));
    let mut looks = LOOKS.iter().chain(std::iter::repeat(&LOOKS[3]));
    loop {
        let command = api.json(&Call::get(super::path(uuid)))?;
        let state = field(&command, "state");
        let over = limit.is_some_and(|limit| started.elapsed() >= limit);
        if over || !matches!(state.as_str(), "Queued" | "Sent" | "NotNow") {
            bar.finish_and_clear();
            return Ok(command);
        }
        bar.set_message(format!("{state}; waiting for the device (Ctrl-C leaves it queued)"));
        let pause = *looks.next().unwrap_or(&LOOKS[3]);
        std::thread::sleep(limit.map_or(pause, |limit| pause.min(limit.saturating_sub(started.elapsed()))));
    }
}

/// Success only for `Acknowledged`.
fn verdict(command: &Value) -> Result<(), Failure> {
    let uuid = field(command, "command_uuid");
    match field(command, "state").as_str() {
        "Acknowledged" => Ok(()),
        "Queued" | "Sent" | "NotNow" => Err(Failure::new(
            "no-answer",
            format!("the device has not answered yet; the command stays queued. Why: cordon command explain {uuid}"),
        )),
        state => Err(Failure::new("not-acknowledged", format!("the command ended as {state}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, Verb as Top};
    use crate::cli::failure::USAGE;
    use crate::cli::reach::fake::{Fake, heard};
    use clap::Parser;
    use serde_json::json;
    use std::cell::Cell;

    fn said(line: &str) -> Args {
        let Top::Command(args) = Cli::try_parse_from(line.split(' ')).unwrap().verb else { panic!("{line}") };
        let super::super::Verb::Send(args) = args.verb else { panic!("{line}") };
        args
    }

    fn queued() -> Fake {
        Fake::new(|_| (201, json!({"command_uuid": "U-1", "state": "Queued"})))
    }

    #[test]
    fn options_go_into_the_query() {
        let fake = queued();
        let args = said("cordon command send C1 ProfileList --user ada --not-before 1h --expires 2026-12-01T00:00:00Z");
        let (done, out, err) = heard(false, |voice| run(&fake, &args, voice));
        assert_eq!((done, out.as_str(), err.as_str()), (Ok(()), "ProfileList is queued as U-1.\n", ""));
        let wanted = "/api/v1/devices/C1/commands?checked=true&user=ada&not_before=2026-11-18T13%3A00%3A00Z&expires_at=2026-12-01T00%3A00%3A00Z";
        assert_eq!((fake.last().target.as_str(), fake.last().content_type), (wanted, Some("application/xml")));
    }

    #[test]
    fn many_are_asked_without_naming_a_device() {
        let fake = Fake::new(|_| (201, json!({"id": "bulk-1", "total": 3})));
        let args = said("cordon command send --group 7b DeviceInformation Queries=UDID Queries=OSVersion");
        let (done, out, _) = heard(false, |voice| run(&fake, &args, voice));
        assert!(done.is_ok() && out.contains("of 3 device(s)"), "{out}");
        assert_eq!(fake.last().target, "/api/v1/bulk?checked=true&group=7b");
        let (done, ..) = heard(false, |voice| run(&fake, &said("cordon command send --all C1 ProfileList"), voice));
        assert_eq!(done.unwrap_err().exit_code(), USAGE);
        // What is said beside a property list would be lost.
        let line = "cordon command send --group 7b --plist no-such-file DeviceInformation Queries=UDID";
        let (done, ..) = heard(false, |voice| run(&fake, &said(line), voice));
        let failure = done.unwrap_err();
        assert!(failure.exit_code() == USAGE && failure.detail.contains("--plist"), "{failure:?}");
    }

    #[test]
    fn dangers_need_a_yes_where_nobody_can_be_asked() {
        let fake = queued();
        for line in [
            "cordon command send C1 EraseDevice --reason sold-to-parents",
            "cordon command send C1 EraseDevice --yes",
            "cordon command send C1 DisableLostMode --yes",
        ] {
            let (done, ..) = heard(false, |voice| run(&fake, &said(line), voice));
            assert_eq!(done.unwrap_err().exit_code(), USAGE, "{line}");
        }
        assert!(fake.asked.borrow().is_empty());
        let line = "cordon command send C1 EraseDevice --yes --reason sold-to-parents";
        let (done, ..) = heard(false, |voice| run(&fake, &said(line), voice));
        assert_eq!((done, fake.asked.borrow().len()), (Ok(()), 1));
        assert!(fake.last().target.ends_with("reason=sold-to-parents"), "{}", fake.last().target);
    }

    #[test]
    fn without_a_server_the_push_is_owed_and_nobody_waits() {
        let mut fake = queued();
        fake.live = false;
        let (done, _, err) = heard(false, |voice| run(&fake, &said("cordon command send C1 ProfileList"), voice));
        assert_eq!((done, err.as_str()), (Ok(()), "No server is running; the device is called when it starts.\n"));
        let (done, ..) = heard(false, |voice| run(&fake, &said("cordon command send C1 ProfileList --wait"), voice));
        assert_eq!((done.unwrap_err().id.as_str(), fake.asked.borrow().len()), ("no-server", 1));
    }

    fn ends_as(state: &'static str) -> Fake {
        let looks = Cell::new(0);
        Fake::new(move |call| {
            looks.set(looks.get() + 1);
            let state = if call.method == "POST" || looks.get() < 3 { "Queued" } else { state };
            (
                200,
                json!({"command_uuid": "U-1", "request_type": "ProfileList", "state": state, "created_at": "2026-11-18T12:00:00Z"}),
            )
        })
    }

    #[test]
    fn waiting_ends_with_the_device_s_answer() {
        let args = said("cordon command send C1 ProfileList --wait");
        let fake = ends_as("Acknowledged");
        let (done, out, _) = heard(true, |voice| run(&fake, &args, voice));
        assert_eq!(done, Ok(()));
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["state"], "Acknowledged");
        assert_eq!(fake.last().target, "/api/v1/commands/U-1");
        let (done, out, _) = heard(false, |voice| run(&ends_as("Error"), &args, voice));
        assert_eq!(done.unwrap_err().id, "not-acknowledged");
        assert!(out.contains("State:"), "{out}");
        let args = said("cordon command send C1 ProfileList --wait --timeout 1");
        let (done, ..) = heard(false, |voice| run(&ends_as("NotNow"), &args, voice));
        assert_eq!(done.unwrap_err().id, "no-answer");
    }
}
