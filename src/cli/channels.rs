//! `cordon device explain` and `cordon device profiles`: the device and each of its users, side by side. Called by `device`.

use super::failure::Failure;
use super::reach::{Api, Call, escape};
use super::table::{Table, cell, field};
use super::voice::Voice;
use serde_json::Value;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon device explain C02XK1ZZJGH5
  cordon device explain C02XK1ZZJGH5 --user ada")]
pub struct ExplainArgs {
    /// Cordon's id, UDID / EnrollmentID, or serial number
    device: String,
    /// Only this user: UserID or short name
    #[arg(long, value_name = "USER")]
    user: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon device profiles C02XK1ZZJGH5
  cordon device profiles C02XK1ZZJGH5 --user ada --json

What the device itself says is as old as its last ProfileList; ask again with `cordon command send DEVICE ProfileList`.")]
pub struct ProfilesArgs {
    /// Cordon's id, UDID / EnrollmentID, or serial number
    device: String,
    /// Only this user: UserID or short name
    #[arg(long, value_name = "USER")]
    user: Option<String>,
}

pub fn explain(api: &dyn Api, args: &ExplainArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let call = Call::get(format!("/api/v1/devices/{}/explain", escape(&args.device)));
    let told = api.json(&call.with("user", args.user.as_ref()))?;
    voice.show(&told, || {
        let mut text = String::new();
        for item in told["items"].as_array().into_iter().flatten() {
            text.push_str(&format!("{}\n", heading(&item["channel"])));
            sentences(&mut text, &item["words"], "  ");
            for command in item["commands"].as_array().into_iter().flatten() {
                let (kind, state) = (field(command, "request_type"), field(command, "state"));
                text.push_str(&format!("  {kind} ({state}, {})\n", field(command, "command_uuid")));
                sentences(&mut text, &command["words"], "    ");
            }
        }
        text
    })
}

fn heading(channel: &Value) -> String {
    let who = match field(channel, "channel").as_str() {
        "user" => format!("User {}", [cell(channel, "user"), field(channel, "user_id")].join(" ").trim_end()),
        _ => String::from("The device itself"),
    };
    format!("{who}: {} waiting", cell(channel, "waiting"))
}

fn sentences(text: &mut String, words: &Value, indent: &str) {
    for word in words.as_array().into_iter().flatten().filter_map(Value::as_str) {
        text.push_str(&format!("{indent}{word}\n"));
    }
}

pub fn profiles(api: &dyn Api, args: &ProfilesArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let call = Call::get(format!("/api/v1/devices/{}/profiles", escape(&args.device)));
    let told = api.json(&call.with("user", args.user.as_ref()))?;
    voice.show(&told, || {
        let mut table = Table::new(&["FOR", "NAME", "ASSIGNED", "INSTALLED", "STATE", "IDENTIFIER"]);
        for item in told["items"].as_array().into_iter().flatten() {
            let channel = &item["channel"];
            let who = if channel["channel"] == "user" { cell(channel, "user") } else { String::from("device") };
            for profile in item["profiles"].as_array().into_iter().flatten() {
                table.row([
                    who.clone(),
                    cell(profile, "name"),
                    cell(profile, "wanted"),
                    cell(profile, "installed"),
                    cell(profile, "words"),
                    cell(profile, "identifier"),
                ]);
            }
        }
        table.render()
    })
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;
    use serde_json::json;

    #[test]
    fn who_waits_for_what() {
        let fake = Fake::new(|_| {
            (
                200,
                json!({ "items": [{ "channel": { "channel": "user", "user": "ada", "user_id": "G", "waiting": 1 },
                "words": ["It can be called."],
                "commands": [{ "request_type": "ProfileList", "state": "Queued", "command_uuid": "U-1", "words": ["It waits."] }] }] }),
            )
        });
        let args = ExplainArgs { device: "C 1".into(), user: Some("ada".into()) };
        let (done, out, _) = heard(false, |voice| explain(&fake, &args, voice));
        assert_eq!(done, Ok(()));
        assert_eq!(fake.last().target, "/api/v1/devices/C%201/explain?user=ada");
        assert_eq!(out, "User ada G: 1 waiting\n  It can be called.\n  ProfileList (Queued, U-1)\n    It waits.\n");
    }
}
