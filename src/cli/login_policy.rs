//! `cordon login-policy`: how long a login may be held up, and who is managed on a Shared iPad.

use super::failure::Failure;
use super::reach::{Api, Call};
use super::table::{Facts, cell};
use super::voice::Voice;
use serde_json::json;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon login-policy
  cordon login-policy --seconds 30
  cordon login-policy --shared-ipad known

While somebody logs in, a Mac waits until it has everything that is queued for them. After this time they are let in,
and the rest follows. On a Shared iPad `known` manages only people of the school's list (`cordon user list`).")]
pub struct Args {
    /// Hold a login up for at most so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=300))]
    seconds: Option<u32>,
    /// Who is managed on a Shared iPad
    #[arg(long, value_parser = ["everyone", "known"])]
    shared_ipad: Option<String>,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    const PATH: &str = "/api/v1/login-policy";
    let policy = if args.seconds.is_none() && args.shared_ipad.is_none() {
        api.json(&Call::get(PATH))?
    } else {
        let wish = json!({ "login_seconds": args.seconds, "shared_ipad_users": args.shared_ipad });
        api.json(&Call::post_json(PATH, &wish))?
    };
    voice.show(&policy, || {
        let mut facts = Facts::default();
        facts.add("A login waits for", format!("{} s at most", cell(&policy, "login_seconds")));
        facts.add("Managed on a Shared iPad", cell(&policy, "shared_ipad_users"));
        facts.render()
    })
}
