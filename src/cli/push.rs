//! `cordon push`: calls a device now, whether or not something waits for it.

use super::command::send::owed;
use super::failure::Failure;
use super::reach::{Api, Call, escape};
use super::voice::Voice;
use serde_json::json;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon push C02XK1ZZJGH5
  cordon push C02XK1ZZJGH5 --user ada

A push is a tap on the shoulder: the device comes when it is on and has a network. Sending a command pushes by itself.")]
pub struct Args {
    /// Cordon's id, UDID / EnrollmentID, or serial number
    device: String,
    /// Call this user of the device: UserID or short name
    #[arg(long, value_name = "USER")]
    user: Option<String>,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let target = format!("/api/v1/devices/{}/push", escape(&args.device));
    let mut done = api.json(&Call { method: "POST", ..Call::get(target) }.with("user", args.user.as_ref()))?;
    if done.is_null() {
        done = json!({ "device": args.device, "user": args.user });
    }
    voice.show(&done, || format!("A push to {} is on its way.", args.device))?;
    owed(api, voice);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    #[test]
    fn asks_for_one_push() {
        let mut fake = Fake::new(|_| (202, json!(null)));
        fake.live = false;
        let args = Args { device: "C/1".into(), user: Some("ada".into()) };
        let (done, _, err) = heard(true, |voice| run(&fake, &args, voice));
        assert_eq!(
            (done, fake.last().method, fake.last().target.as_str()),
            (Ok(()), "POST", "/api/v1/devices/C%2F1/push?user=ada")
        );
        assert!(err.contains("No server is running"));
    }
}
