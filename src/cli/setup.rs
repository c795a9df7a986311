//! `cordon setup`: the school's name and host name, unattended and repeatable. On an empty directory it makes the database first.

use super::failure::Failure;
use super::reach::{Api, Call};
use super::voice::Voice;
use serde_json::json;

/// Sets up the school. Doing it again with the same words changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon setup --organization 'Hill School' --hostname mdm.hill.example
  cordon setup --organization 'Hill School' --hostname mdm.hill.example --json

Choose the host name with care: an enrolled device keeps it for as long as it is enrolled. Running it again changes nothing.
A running server takes a new host name at its next start.")]
pub struct Args {
    /// Name of the school, as its people know it; it stands in profiles and certificates
    #[arg(long, value_name = "NAME")]
    organization: String,
    /// Name that devices reach this server by
    #[arg(long, value_name = "NAME")]
    hostname: String,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let wish = json!({ "organization": args.organization, "hostname": args.hostname });
    let mut done = api.json(&Call::post_json("/api/v1/setup", &wish))?;
    if done.is_null() {
        done = wish;
    }
    voice.show(&done, || {
        format!("{} is set up; devices will know this server as {}.", args.organization, args.hostname)
    })?;
    if api.is_live() && done["restart_needed"] == true {
        voice.advise(
            "The running server still goes by its old name: restart it now, before the first device is enrolled.",
        );
    }
    let start = if api.is_live() { "" } else { "start the server with `cordon serve`, then " };
    voice.advise(&format!("Next: {start}bring in the push certificate with `cordon push-cert import CERT.pem`."));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;
    use serde_json::Value;

    #[test]
    fn asks_once_and_says_what_is_next() {
        let mut fake = Fake::new(|_| (204, Value::Null));
        fake.live = false;
        let args = Args { organization: "Hill School".into(), hostname: "h.example".into() };
        let (done, out, err) = heard(false, |voice| run(&fake, &args, voice));
        assert_eq!(done, Ok(()));
        assert!(out.contains("Hill School") && err.contains("cordon serve"), "{out} {err}");
        assert_eq!(
            fake.last(),
            Call::post_json("/api/v1/setup", &json!({"organization": "Hill School", "hostname": "h.example"}))
        );
        let (_, out, err) = heard(true, |voice| run(&fake, &args, voice));
        assert_eq!(
            (serde_json::from_str::<Value>(&out).unwrap()["hostname"].as_str(), err.as_str()),
            (Some("h.example"), "")
        );
    }
}
