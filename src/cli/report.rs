//! `cordon report`: how devices stand on security, and which have gone quiet.

use super::failure::Failure;
use super::reach::{Api, Call};
use super::table::{Table, cell};
use super::voice::{Voice, plain};
use clap::Subcommand;
use serde_json::{Map, Value, json};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Passcode, encryption, supervision, and whether management can be removed
    #[command(after_help = "Examples:
  cordon report security
  cordon report security --csv > security.csv

Devices are not asked by this: it shows what they said last (SecurityInfo, ProfileList). What none said is “unknown”.")]
    Security {
        /// For a spreadsheet
        #[arg(long)]
        csv: bool,
    },
    /// Devices that were not heard of for a day, and for longer
    #[command(after_help = "Examples:
  cordon report inactive
  cordon report inactive --json")]
    Inactive,
    /// When a silent device is inactive, and what is done then
    #[command(after_help = "Examples:
  cordon report policy
  cordon report policy --days 14
  cordon report policy --group 'Not seen' --alert true
  cordon report policy --group ''

Webhooks that want device.inactive and device.active_again are told in any case.")]
    Policy {
        /// Days without a word, 1 to 30
        #[arg(long, value_name = "N")]
        days: Option<i64>,
        /// A group of devices that inactive ones are put into; empty for none
        #[arg(long, value_name = "NAME")]
        group: Option<String>,
        /// Whether cordon status and /healthz complain
        #[arg(long, value_name = "true|false")]
        alert: Option<bool>,
    },
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::Security { csv: true } => voice.data(&api.bytes(&Call::get("/api/v1/reports/security?format=csv"))?),
        Verb::Security { csv: false } => {
            let (items, _) = api.list(&Call::get("/api/v1/reports/security"), None)?;
            voice.show(&json!({ "items": items }), || security(&items))
        }
        Verb::Inactive => {
            let (mut items, _) = api.list(&Call::get("/api/v1/reports/activity"), None)?;
            items.retain(|item| item["state"] != "active");
            voice.show(&json!({ "items": items }), || inactive(&items))
        }
        Verb::Policy { days, group, alert } => {
            let mut wish = Map::new();
            days.iter().for_each(|days| drop(wish.insert(String::from("days"), json!(days))));
            group.iter().for_each(|group| drop(wish.insert(String::from("group"), json!(group))));
            alert.iter().for_each(|alert| drop(wish.insert(String::from("alert"), json!(alert))));
            let call = if wish.is_empty() {
                Call::get("/api/v1/activity-policy")
            } else {
                Call::patch_json("/api/v1/activity-policy", &Value::Object(wish))
            };
            let policy = api.json(&call)?;
            voice.show(&policy, || {
                let group = match policy["group"].as_str() {
                    Some(group) => format!("are put into the group “{}”", plain(group)),
                    None => String::from("stay in their groups"),
                };
                let alert = if policy["alert"] == true { "complains" } else { "does not complain" };
                format!(
                    "Inactive after {} days without a word. Such devices {group}; cordon status {alert}.",
                    cell(&policy, "days")
                )
            })
        }
    }
}

fn security(items: &[Value]) -> String {
    let mut table = Table::new(&["DEVICE", "PASSCODE", "COMPLIANT", "ENCRYPTED", "SUPERVISED", "REMOVABLE", "SAID"]);
    for item in items {
        let said: String = cell(item, "told_at").chars().take(10).collect();
        let words = ["passcode_present", "passcode_compliant", "encrypted", "supervised", "mdm_removable"];
        let cells = words.map(|key| cell(item, key));
        table.row([name(item)].into_iter().chain(cells).chain([said]));
    }
    table.render()
}

fn inactive(items: &[Value]) -> String {
    if items.is_empty() {
        return String::from("Every device was heard of in the last day.");
    }
    let mut table = Table::new(&["DEVICE", "STATE", "LAST HEARD OF", "ASKED"]);
    for item in items {
        table.row([name(item), cell(item, "state"), cell(item, "last_seen_at"), cell(item, "tested_at")]);
    }
    let mut text = table.render();
    text.push_str("\nWhat may be the reason:\n");
    for (cause, devices) in causes(items) {
        // What may be so of every one of them is said once, without their names.
        let whom = if devices.len() == items.len() { String::new() } else { format!("{}: ", devices.join(", ")) };
        text.push_str(&format!("- {}{}\n", plain(&whom), plain(&cause)));
    }
    text
}

/// Each cause with the devices that it may hold for, in the order in which they are listed.
fn causes(items: &[Value]) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for item in items {
        for cause in item["causes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            match found.iter_mut().find(|(known, _)| known == cause) {
                Some((_, devices)) => devices.push(name(item)),
                None => found.push((cause.to_owned(), vec![name(item)])),
            }
        }
    }
    found
}

fn name(item: &Value) -> String {
    let known = ["name", "serial", "id"].into_iter().map(|key| cell(item, key)).find(|text| !text.is_empty());
    known.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    #[test]
    fn causes_stand_with_their_devices_and_the_group_has_its_name() {
        let item = |name: &str, causes: Value| json!({"id": name, "name": name, "state": "quiet", "causes": causes});
        let fake = Fake::new(move |call| match call.target.as_str() {
            target if target.contains("policy") => (200, json!({"days": 7, "group": "Not seen", "alert": false})),
            _ => (
                200,
                json!({"items": [item("iPad 1", json!(["Off."])), item("iPad 2", json!(["Dead token.", "Off."]))]}),
            ),
        });
        let say = |verb| heard(false, |voice| run(&fake, &Args { verb }, voice));
        let (_, out, _) = say(Verb::Inactive);
        assert!(out.contains("- Off.\n") && out.contains("- iPad 2: Dead token.\n"), "{out}");
        let (_, out, _) = say(Verb::Policy { days: None, group: None, alert: None });
        assert!(out.contains("the group “Not seen”"), "{out}");
    }

    #[test]
    fn both_reports_and_the_policy() {
        let fake = Fake::new(|call| {
            let item = json!({"id": "d", "serial": "S1", "name": "iPad 7", "state": "quiet", "last_seen_at": "2026-11-20T08:00:00Z", "tested_at": null,
                "causes": ["It is switched off."], "passcode_present": "yes", "passcode_compliant": "unknown", "encrypted": "yes", "supervised": "no",
                "mdm_removable": "unknown", "told_at": "2026-11-20T08:00:00Z"});
            match call.target.as_str() {
                target if target.contains("policy") => (200, json!({"days": 14, "group": null, "alert": true})),
                _ => (200, json!({"items": [item]})),
            }
        });
        let say = |verb| heard(false, |voice| run(&fake, &Args { verb }, voice));
        let (_, out, _) = say(Verb::Security { csv: false });
        assert!(out.contains("iPad 7") && out.contains("unknown") && out.contains("2026-11-20"), "{out}");
        let (_, out, _) = say(Verb::Inactive);
        assert!(out.contains("quiet") && out.contains("- It is switched off."), "{out}");
        let (_, out, _) = say(Verb::Policy { days: Some(14), group: None, alert: None });
        assert!(out.contains("after 14 days") && out.contains("complains"), "{out}");
        assert_eq!(serde_json::from_slice::<Value>(&fake.last().body).unwrap(), json!({"days": 14}));
    }
}
