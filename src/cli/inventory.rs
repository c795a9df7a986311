//! `cordon inventory`: how often devices are asked by themselves what they are and what stands on them.

use super::failure::Failure;
use super::reach::{Api, Call};
use super::voice::Voice;
use clap::Subcommand;
use serde_json::json;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// How often devices are asked
    #[command(after_help = "Examples:
  cordon inventory show
  cordon inventory show --json")]
    Show,
    /// Ask more often, more seldom, or never
    Set(SetArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon inventory set --every-hours 12
  cordon inventory set --every-hours 0

Each round asks a device for DeviceInformation, SecurityInfo and ProfileList, as far as its enrolment grants the right, and a user's
channel for ProfileList. The answers fill smart groups and bring back profiles that a user took off. 0 asks nobody.")]
struct SetArgs {
    /// Hours between two rounds
    #[arg(long, value_name = "HOURS", value_parser = clap::value_parser!(i64).range(0..=720))]
    every_hours: i64,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let call = match &args.verb {
        Verb::Show => Call::get("/api/v1/inventory-policy"),
        Verb::Set(args) => Call::patch_json("/api/v1/inventory-policy", &json!({ "every_hours": args.every_hours })),
    };
    let policy = api.json(&call)?;
    voice.show(&policy, || match policy["every_hours"].as_i64() {
        Some(0) => String::from("Devices are not asked by themselves."),
        hours => {
            format!("Every {} hours each device is asked what it is and what stands on it.", hours.unwrap_or_default())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    #[test]
    fn zero_is_said_in_words() {
        let fake = Fake::new(|_| (200, json!({ "every_hours": 0 })));
        let args = Args { verb: Verb::Set(SetArgs { every_hours: 0 }) };
        let (done, out, _) = heard(false, |voice| run(&fake, &args, voice));
        assert!(done.is_ok() && out.contains("not asked"), "{out}");
        assert_eq!(fake.last().target, "/api/v1/inventory-policy");
    }
}
