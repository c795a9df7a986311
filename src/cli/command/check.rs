//! `cordon command check`: what would become of a command on each of some devices, before it is sent.

use super::plan::{Plan, pair};
use crate::cli::failure::Failure;
use crate::cli::reach::{Api, Call};
use crate::cli::table::{Table, cell, field};
use crate::cli::voice::Voice;
use crate::plist::parse_dict;
use crate::protocol::catalogue;
use serde_json::{Value, json};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon command check RestartDevice --device DMPXXXXX
  cordon command check Settings Settings.Item=Wallpaper Settings.Where=1 --group 7b
  cordon command check InstallProfile --device C02XK1ZZJGH5 --user ada

Nothing is sent. Exit code 1 if it would not run on one of the devices.")]
pub struct Args {
    /// Apple's name of the command
    #[arg(value_name = "REQUESTTYPE")]
    request_type: String,
    /// Apple's keys, where they matter
    #[arg(value_name = "KEY=VALUE", value_parser = pair)]
    pairs: Vec<(String, String)>,
    /// A device; may be said several times
    #[arg(long = "device", value_name = "DEVICE", required_unless_present = "group")]
    devices: Vec<String>,
    /// Every device of this group
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// On the channel of this user: UserID or short name
    #[arg(long, value_name = "USER")]
    user: Option<String>,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let plan = Plan::from_pairs(&args.request_type, &args.pairs)?;
    let keys = parse_dict(&plan.body).map_err(|error| Failure::new("bad-plist", error.to_string()))?.into_dictionary();
    let mut keys = catalogue::to_json(&args.request_type, &keys);
    if let Some(keys) = keys.as_object_mut() {
        keys.remove("RequestType");
        // What is secret does not leave for a mere question.
        keys.retain(|_, value| value.get("sealed").is_none());
    }
    let wish = json!({
        "RequestType": args.request_type, "keys": keys, "devices": args.devices, "group": args.group, "user": args.user,
    });
    let found = api.json(&Call::post_json("/api/v1/commands/check", &wish))?;
    let items: Vec<&Value> = found["items"].as_array().into_iter().flatten().collect();
    voice.show(&found, || {
        let mut table = Table::new(&["DEVICE", "RUNS", "WHY AND WHEN"]);
        for item in &items {
            let words = ["reasons", "when"].iter().flat_map(|key| item[*key].as_array().into_iter().flatten());
            let words: Vec<&str> = words.filter_map(Value::as_str).collect();
            let device = item["serial"].as_str().map_or_else(|| field(item, "device"), str::to_owned);
            table.row([device, String::from(if item["will_run"] == true { "yes" } else { "no" }), words.join("; ")]);
        }
        table.render()
    })?;
    for doubt in found["doubts"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        voice.advise(&format!("Apple's schema: {doubt}"));
    }
    let refused = items.iter().filter(|item| item["will_run"] != true).count();
    if refused == 0 {
        return Ok(());
    }
    let first = items.iter().find(|item| item["will_run"] != true).map(|item| cell(item, "device")).unwrap_or_default();
    Err(Failure::new(
        "would-not-run",
        format!("It would not run on {refused} of {} device(s), {first} for one.", items.len()),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::super::reach::fake::{Fake, heard};
    use super::*;

    #[test]
    fn each_device_is_told_and_one_that_cannot_fails_the_question() {
        let fake = Fake::new(|_| {
            (
                200,
                json!({ "doubts": ["Pin: not a known key here"], "items": [
                { "device": "d-1", "serial": "ONE", "will_run": true, "reasons": [], "when": ["probably within a minute"] },
                { "device": "d-2", "serial": null, "will_run": false, "reasons": ["it needs supervision"], "when": [] }] }),
            )
        });
        let pairs = vec![pair("NotifyUser=yes").unwrap()];
        let devices = vec!["ONE".into(), "d-2".into()];
        let args = Args { request_type: "RestartDevice".into(), pairs, devices, group: None, user: None };
        let (done, out, err) = heard(false, |voice| run(&fake, &args, voice));
        assert!(done.unwrap_err().to_string().contains("1 of 2"));
        assert!(
            out.contains("within a minute") && out.contains("needs supervision") && err.contains("Pin"),
            "{out} {err}"
        );
        let sent: Value = serde_json::from_slice(&fake.last().body).unwrap();
        assert_eq!(sent["keys"], json!({ "NotifyUser": true }));
    }
}
