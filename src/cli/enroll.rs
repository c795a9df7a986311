//! `cordon enroll`: one enrolment profile with its own one-time permission, to a file or to stdout; and the school's policy for them.

use super::failure::Failure;
use super::files;
use super::invitations;
use super::reach::{Api, Call};
use super::voice::Voice;
use crate::protocol::profile::{AccessRights, IdentityMethod};
use crate::service::enrollment_policy;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use serde_json::{Value, json};
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
    /// How devices get their identity and which rights are asked for, for profiles that do not say otherwise
    Policy(PolicyArgs),
    /// Make one invitation to the enrolment page
    Invite(invitations::InviteArgs),
    /// Make a class's worth of invitations, to print and cut
    Sheet(invitations::SheetArgs),
    /// Which way the enrolment page takes, and which automated devices are let in
    Door(invitations::DoorArgs),
    /// Renew the identity of a device now, or of all that are due
    Renew(RenewArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon enroll policy
  cordon enroll policy --rights all,-erase
  cordon enroll policy --identity pkcs12

Without options, shows what is. A change counts for profiles from now on; enrolled devices keep what they hold, and a right that
is missing can never be added to them.")]
struct PolicyArgs {
    /// scep: the key is made on the device (recommended). pkcs12: it comes with the profile
    #[arg(long, value_name = "KIND", value_parser = ["scep", "pkcs12"])]
    identity: Option<String>,
    /// Rights in words: all, then -NAME for each that is not wanted, or the names of those that are
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', allow_hyphen_values = true)]
    rights: Option<Vec<String>>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon enroll renew C02XK1ZZJGH5
  cordon enroll renew --due

Cordon renews by itself when a third of an identity's life is left. The device keeps its profile, its queue and everything else.")]
struct RenewArgs {
    /// Cordon's id, UDID / EnrollmentID, or serial number
    #[arg(required_unless_present = "due", conflicts_with = "due")]
    device: Option<String>,
    /// Every device that is due, at once
    #[arg(long)]
    due: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon enroll profile --name 'iPad 7' --output ipad-7.mobileconfig
  cordon enroll profile > one.mobileconfig
  cordon enroll profile --no-user-channel --unsigned --output mac.mobileconfig
  cordon enroll profile --rights all,-erase,-lock --output visitor.mobileconfig

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
    /// How the device gets its identity; `cordon enroll policy` by default
    #[arg(long, value_name = "KIND", value_parser = ["scep", "pkcs12"])]
    identity: Option<String>,
    /// Have devices sign every message; only needed behind a proxy that takes the client certificate away
    #[arg(long)]
    sign_message: bool,
    /// Rights in words, as in `cordon enroll policy`; they can shrink later, never grow
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', allow_hyphen_values = true)]
    rights: Option<Vec<String>>,
    /// The same as Apple's AccessRights bits
    #[arg(long, value_name = "N", conflicts_with = "rights", value_parser = clap::value_parser!(u32).range(1..=8191))]
    access_rights: Option<u32>,
    /// Write the profile to this file, readable for you only
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::Profile(args) => profile(api, args, voice),
        Verb::Policy(args) => policy(api, args, voice),
        Verb::Invite(args) => invitations::invite(api, args, voice),
        Verb::Sheet(args) => invitations::sheet(api, args, voice),
        Verb::Door(args) => invitations::door(api, args, voice),
        Verb::Renew(args) => renew(api, args, voice),
    }
}

fn renew(api: &dyn Api, args: &RenewArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let Some(device) = &args.device else {
        let begun = api.json(&Call::post_json("/api/v1/renewals", &json!({})))?;
        return voice.show(&begun, || format!("{} renewal(s) begun.", begun["begun"]));
    };
    let path = format!("/api/v1/devices/{}/renew", super::reach::escape(device));
    let begun = api.json(&Call::post_json(path, &json!({})))?;
    voice.show(&begun, || {
        format!("The renewal of {device} is queued as {}.", begun["command_uuid"].as_str().unwrap_or("?"))
    })
}

const POLICY: &str = "/api/v1/enrollment-policy";

fn policy(api: &dyn Api, args: &PolicyArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let policy = if args.identity.is_none() && args.rights.is_none() {
        api.json(&Call::get(POLICY))?
    } else {
        api.json(&Call::patch_json(POLICY, &json!({ "identity": args.identity, "rights": args.rights })))?
    };
    voice.show(&policy, || {
        let mut lines = vec![format!("Identity: {}", policy["identity"].as_str().unwrap_or("?"))];
        for right in policy["rights"].as_array().into_iter().flatten() {
            let mark = if right["granted"] == true { "yes" } else { "no " };
            let text = |key: &str| right[key].as_str().unwrap_or_default().to_owned();
            lines.push(format!("  {mark}  {:<21} {}", text("name"), text("words")));
        }
        lines.extend(notes(&policy));
        lines.join("\n")
    })
}

fn notes(policy: &Value) -> Vec<String> {
    policy["notes"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What the choices of this profile mean, in the words of the server.
fn say_notes(api: &dyn Api, args: &ProfileArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let held = api.json(&Call::get(POLICY))?;
    let word = args.identity.as_deref().or(held["identity"].as_str()).unwrap_or_default();
    let held_bits = held["access_rights"].as_u64().and_then(|bits| u32::try_from(bits).ok());
    let rights = match (&args.rights, args.access_rights.or(held_bits)) {
        (Some(names), _) => AccessRights::from_names(names.iter().map(String::as_str)).ok(),
        (None, bits) => bits.and_then(|bits| AccessRights::new(bits).ok()),
    };
    let identity = IdentityMethod::parse(word).unwrap_or(IdentityMethod::Scep);
    for note in enrollment_policy::notes(identity, rights.unwrap_or(AccessRights::ALL)) {
        voice.talk(note);
    }
    Ok(())
}

fn profile(api: &dyn Api, args: &ProfileArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
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
        "rights": args.rights,
    });
    let profile = api.bytes(&Call::post_json("/api/v1/enrollments/profile", &wish))?;
    say_notes(api, args, voice)?;
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

    fn said(line: &str) -> Args {
        let Top::Enroll(args) = Cli::try_parse_from(line.split(' ')).unwrap().verb else { panic!("{line}") };
        args
    }

    fn answer(call: &Call) -> (u16, Value) {
        let policy = json!({ "identity": "scep", "access_rights": 8191, "rights": [], "notes": [] });
        (200, if call.target == POLICY { policy } else { json!("profile") })
    }

    #[test]
    fn rights_in_words_and_what_is_lost_by_them() {
        let fake = Fake::new(answer);
        let args = said("cordon enroll profile --rights all,-lock --identity pkcs12");
        let (done, _, said) = heard(false, |voice| run(&fake, &args, voice));
        assert_eq!(done, Ok(()));
        let wish: Value = serde_json::from_slice(&fake.asked.borrow()[0].body).unwrap();
        assert_eq!((&wish["rights"], &wish["identity"]), (&json!(["all", "-lock"]), &json!("pkcs12")));
        assert!(said.contains("no UnlockToken") && said.contains("never leaves it"), "{said}");
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
            let fake = Fake::new(answer);
            let (done, out, _) = heard(false, |voice| run(&fake, &said(line), voice));
            assert_eq!((done, out.as_str()), (Ok(()), "\"profile\""));
            let wish: Value = serde_json::from_slice(&fake.asked.borrow()[0].body).unwrap();
            assert_eq!(
                (&wish["user_channel"], &wish["signed"], &wish["name"]),
                (&json!(user_channel), &json!(signed), &name),
                "{line}"
            );
            assert_eq!((&wish["access_rights"], &wish["identity"]), (&Value::Null, &Value::Null), "the policy says");
        }
    }

    #[test]
    fn to_a_file_and_not_without_an_address() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.mobileconfig");
        let args = said(&format!("cordon enroll profile --output {}", path.display()));
        let mut fake = Fake::new(answer);
        let (_, out, _) = heard(true, |voice| run(&fake, &args, voice));
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["bytes"], 9);
        assert_eq!(std::fs::read(&path).unwrap(), b"\"profile\"");
        fake.addressed = false;
        let (done, _, _) = heard(false, |voice| run(&fake, &args, voice));
        assert_eq!(done.unwrap_err().id, "no-address");
        assert_eq!(fake.asked.borrow().len(), 2);
    }
}
