//! `cordon enroll`: one enrolment profile with its own one-time challenge, to a file or to stdout.

use super::failure::Failure;
use super::files;
use super::reach::{Api, Call};
use super::voice::Voice;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make one enrolment profile; it works once, for one device
    Profile(ProfileArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon enroll profile --name 'iPad 7' --output ipad-7.mobileconfig
  cordon enroll profile > one.mobileconfig
  cordon enroll profile --no-user-channel --unsigned --output mac.mobileconfig

The profile holds a permission for one device and one hour: make one per device, give it to nobody else.")]
struct ProfileArgs {
    /// For people: which device it is for
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Manage the users of the device too; this is the default, and cannot be added later
    #[arg(long, overrides_with = "no_user_channel")]
    user_channel: bool,
    /// Manage the device only
    #[arg(long, overrides_with = "user_channel")]
    no_user_channel: bool,
    /// Leave the profile unsigned, to read or change it
    #[arg(long)]
    unsigned: bool,
    /// How the device gets its identity
    #[arg(long, value_name = "KIND", default_value = "scep", value_parser = ["scep"])]
    identity: String,
    /// Have devices sign every message; only needed behind a proxy that takes the client certificate away
    #[arg(long)]
    sign_message: bool,
    /// Apple's AccessRights bits; they can shrink later, never grow
    #[arg(long, value_name = "N", default_value_t = 8191, value_parser = clap::value_parser!(u32).range(1..=8191))]
    access_rights: u32,
    /// Write the profile to this file, readable for you only
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let Verb::Profile(args) = &args.verb;
    let output = args.output.as_deref().filter(|path| *path != Path::new("-"));
    if output.is_none() && voice.on_screen && !args.unsigned && !voice.is_json() {
        return Err(Failure::usage("a signed profile is no text; write it to a file with --output FILE"));
    }
    if !api.knows_addresses() {
        return Err(Failure::new(
            "no-address",
            "Cordon does not know its own address yet, and a profile must hold it. Set it with `cordon setup --organization NAME --hostname NAME`, \
             or start the server with `cordon serve`.",
        ));
    }
    let wish = json!({
        "name": args.name,
        "user_channel": !args.no_user_channel,
        "signed": !args.unsigned,
        "identity": args.identity,
        "sign_message": args.sign_message,
        "access_rights": args.access_rights,
    });
    let profile = api.bytes(&Call::post_json("/api/v1/enrollments/profile", &wish))?;
    match output {
        Some(path) => {
            files::write_private(path, &profile)?;
            let done = json!({ "output": path.to_string_lossy(), "bytes": profile.len() });
            voice.show(&done, || format!("Wrote {}. It works once, for one device, within the hour.", path.display()))
        }
        None if voice.is_json() => voice.show(&json!({ "profile": STANDARD.encode(&profile) }), String::new),
        None => voice.data(&profile),
    }
}

#[cfg(test)]
mod tests {
    use super::super::args::{Cli, Verb as Top};
    use super::super::reach::fake::{Fake, heard};
    use super::*;
    use clap::Parser;
    use serde_json::Value;

    fn said(line: &str) -> Args {
        let Top::Enroll(args) = Cli::try_parse_from(line.split(' ')).unwrap().verb else { panic!("{line}") };
        args
    }

    #[test]
    fn flags_become_the_wish() {
        let table = [
            ("cordon enroll profile", true, true, Value::Null),
            ("cordon enroll profile --name x --unsigned", true, false, json!("x")),
            ("cordon enroll profile --no-user-channel", false, true, Value::Null),
            ("cordon enroll profile --no-user-channel --user-channel", true, true, Value::Null),
        ];
        for (line, user_channel, signed, name) in table {
            let fake = Fake::new(|_| (200, json!("profile")));
            let (done, out, _) = heard(false, |voice| run(&fake, &said(line), voice));
            assert_eq!((done, out.as_str()), (Ok(()), "\"profile\""));
            let wish: Value = serde_json::from_slice(&fake.last().body).unwrap();
            assert_eq!(
                (&wish["user_channel"], &wish["signed"], &wish["name"]),
                (&json!(user_channel), &json!(signed), &name),
                "{line}"
            );
            assert_eq!((wish["access_rights"].as_u64(), wish["identity"].as_str()), (Some(8191), Some("scep")));
        }
    }

    #[test]
    fn to_a_file_and_not_without_an_address() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.mobileconfig");
        let args = said(&format!("cordon enroll profile --output {}", path.display()));
        let mut fake = Fake::new(|_| (200, json!("profile")));
        let (_, out, _) = heard(true, |voice| run(&fake, &args, voice));
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["bytes"], 9);
        assert_eq!(std::fs::read(&path).unwrap(), b"\"profile\"");
        fake.addressed = false;
        let (done, _, _) = heard(false, |voice| run(&fake, &args, voice));
        assert_eq!(done.unwrap_err().id, "no-address");
        assert_eq!(fake.asked.borrow().len(), 1);
    }
}
