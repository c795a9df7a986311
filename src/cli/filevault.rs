//! `cordon filevault`: have Macs escrow their recovery keys.

use super::failure::Failure;
use super::files;
use super::reach::{Api, Call, escape};
use super::table::cell;
use super::voice::{Voice, plain};
use clap::Subcommand;
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Install the escrow profile on a Mac; its key comes with its next SecurityInfo
    #[command(after_help = "Examples:
  cordon filevault escrow C02XK1ZZJGH5
  cordon command send C02XK1ZZJGH5 SecurityInfo --wait
  cordon secret reveal C02XK1ZZJGH5 filevault-key --reason 'Forgotten password, room 204'

A Mac escrows the key when FileVault is switched on, or its key changes, after the profile came. Who sees a key makes the Mac take a
new one: that is sent by itself.")]
    Escrow(EscrowArgs),
    /// Write the escrow profile to a file
    #[command(after_help = "Examples:
  cordon filevault profile --output filevault.mobileconfig")]
    Profile(ProfileArgs),
}

#[derive(Debug, clap::Args)]
struct EscrowArgs {
    /// Cordon's id, UDID, or serial number
    device: String,
}

#[derive(Debug, clap::Args)]
struct ProfileArgs {
    /// A new file
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::Escrow(args) => {
            let target = format!("/api/v1/devices/{}/filevault", escape(&args.device));
            let sent = api.json(&Call::post_json(target, &json!({})))?;
            voice.show(&sent, || format!("Queued as {}.", plain(&cell(&sent, "command_uuid"))))
        }
        Verb::Profile(args) => {
            let bytes = api.bytes(&Call::post_json("/api/v1/filevault/profile", &json!({})))?;
            files::write_private(&args.output, &bytes)?;
            voice.show(&json!({ "output": args.output }), || format!("The profile is in {}.", args.output.display()))
        }
    }
}
