//! `cordon setup`: the school's name and host name, unattended and repeatable. On an empty directory it makes the database first.

use super::asking::{self, SecretFile};
use super::failure::Failure;
use super::reach::{Api, Call};
use super::voice::Voice;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Sets up the school. Doing it again with the same words changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon setup --organization 'Hill School' --hostname mdm.hill.example
  cordon setup --organization 'Hill School' --hostname mdm.hill.example --admin ada
  cordon setup --organization 'Hill School' --hostname mdm.hill.example --time-zone Europe/Berlin
  cordon setup --organization 'Hill School' --hostname mdm.hill.example --json --admin ada \\
      --admin-password-file ada.txt --recovery-code-file code.txt

Choose the host name with care: an enrolled device keeps it for as long as it is enrolled. Running it again changes nothing.
A running server takes a new host name at its next start.

The first run shows the recovery code, once: with a copy of the database it opens the school on a new machine.")]
pub struct Args {
    /// Name of the school, as its people know it; it stands in profiles and certificates
    #[arg(long, value_name = "NAME")]
    organization: String,
    /// Name that devices reach this server by
    #[arg(long, value_name = "NAME")]
    hostname: String,
    /// The first owner, who may log in by name; the password is asked for
    #[arg(long, value_name = "NAME")]
    admin: Option<String>,
    /// First line of this file instead of asking; `-` for standard input
    #[arg(long, value_name = "FILE", requires = "admin")]
    admin_password_file: Option<PathBuf>,
    /// Write the recovery code into this new file instead of showing it
    #[arg(long, value_name = "FILE")]
    recovery_code_file: Option<PathBuf>,
    /// Whether devices that nobody here knows are told to un-enrol, as Apple advises; off unless said, as `cordon device policy` explains
    #[arg(long, value_name = "on|off", value_parser = super::leaving::on_off)]
    unenroll_strangers: Option<bool>,
    /// Zone of the school's clocks, such as Europe/Berlin; schedules go by it
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let before = api.json(&Call::get("/api/v1/setup"))?;
    let mut wish = json!({ "organization": args.organization, "hostname": args.hostname });
    if let Some(admin) = first_owner(api, args)? {
        wish["admin"] = admin;
    }
    let code_wanted = before["recovery_code_made_at"].is_null();
    wish["recovery_code"] = json!(code_wanted);
    // The code must have somewhere to go before it is made: it cannot be shown a second time.
    let file = args.recovery_code_file.as_deref().filter(|_| code_wanted).map(SecretFile::create).transpose()?;
    let mut done = match api.json(&Call::post_json("/api/v1/setup", &wish)) {
        Ok(done) => done,
        Err(failure) => {
            if let Some(file) = file {
                file.abandon();
            }
            return Err(failure);
        }
    };
    if let Some(on) = args.unenroll_strangers {
        api.json(&Call::patch_json("/api/v1/device-policy", &json!({ "unenroll_strangers": on })))?;
    }
    if let Some(zone) = &args.time_zone {
        api.json(&Call::patch_json("/api/v1/calendar", &json!({ "time_zone": zone })))?;
    }
    let mut shown = None;
    match (file, done["recovery_code"].as_str().map(str::to_owned)) {
        (Some(file), Some(code)) => {
            file.write(&code)?;
            done["recovery_code_file"] = json!(args.recovery_code_file);
            if let Some(answer) = done.as_object_mut() {
                answer.remove("recovery_code");
            }
        }
        // Somebody else was quicker.
        (Some(file), None) => file.abandon(),
        (None, code) => shown = code,
    }
    let lines = match &shown {
        Some(code) => format!("\n\n  Recovery code:  {code}\n"),
        None => String::new(),
    };
    voice.show(&done, || {
        format!("{} is set up; devices will know this server as {}.{lines}", args.organization, args.hostname)
    })?;
    if !voice.is_json() {
        say_what_is_next(api, args, &done, shown.is_some(), voice);
    }
    Ok(())
}

fn say_what_is_next(api: &dyn Api, args: &Args, done: &Value, shown: bool, voice: &mut Voice<'_>) {
    if shown || done["recovery_code_file"].is_string() {
        voice.talk(
            "Keep the recovery code on paper, away from this machine and its copies: with a copy of cordon.db it opens the school on a new machine. It is not shown again.",
        );
    }
    if let Some(name) = args.admin.as_deref().filter(|_| done["admin_created"] == true) {
        voice.talk(&format!("{name} is the owner and may log in."));
    }
    if api.is_live() && done["restart_needed"] == true {
        voice.talk(
            "The running server still goes by its old name: restart it now, before the first device is enrolled.",
        );
    }
    let start = if api.is_live() { "" } else { "start the server with `cordon serve`, then " };
    voice.talk(&format!("Next: {start}bring in the push certificate with `cordon push-cert import CERT.pem`."));
}

/// Name and password of the first owner, unless that name is there already.
fn first_owner(api: &dyn Api, args: &Args) -> Result<Option<Value>, Failure> {
    let Some(name) = &args.admin else { return Ok(None) };
    let (admins, _) = api.list(&Call::get("/api/v1/admins"), None)?;
    if admins.iter().any(|admin| admin["name"].as_str().is_some_and(|held| held.eq_ignore_ascii_case(name))) {
        return Ok(None);
    }
    let password = asking::new_password(args.admin_password_file.as_deref(), name, "--admin-password-file FILE")?;
    Ok(Some(json!({ "name": name, "password": password.expose() })))
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    fn args(dir: &std::path::Path) -> Args {
        std::fs::write(dir.join("p"), "tin roof in may\n").unwrap();
        Args {
            organization: "Hill School".into(),
            hostname: "h.example".into(),
            admin: Some("ada".into()),
            admin_password_file: Some(dir.join("p")),
            recovery_code_file: None,
            unenroll_strangers: None,
            time_zone: None,
        }
    }

    fn new_school(call: &Call) -> (u16, Value) {
        match (call.method, call.target.split('?').next().unwrap()) {
            ("GET", "/api/v1/setup") => (200, json!({ "recovery_code_made_at": null })),
            ("GET", _) => (200, json!({ "items": [], "next_cursor": null })),
            _ => (200, json!({ "hostname": "h.example", "recovery_code": "abcd-efgh", "admin_created": true })),
        }
    }

    #[test]
    fn asks_once_and_says_what_is_next() {
        let dir = tempfile::tempdir().unwrap();
        let mut fake = Fake::new(new_school);
        fake.live = false;
        let args = args(dir.path());
        let (done, out, err) = heard(false, |voice| run(&fake, &args, voice));
        assert_eq!(done, Ok(()));
        assert!(out.contains("Hill School") && out.contains("abcd-efgh"), "{out}");
        assert!(err.contains("cordon serve") && err.contains("on paper") && err.contains("ada is the owner"), "{err}");
        let wish = json!({"organization": "Hill School", "hostname": "h.example", "recovery_code": true,
            "admin": {"name": "ada", "password": "tin roof in may"}});
        assert_eq!(fake.last(), Call::post_json("/api/v1/setup", &wish));
        let (_, out, err) = heard(true, |voice| run(&fake, &args, voice));
        assert_eq!(
            (serde_json::from_str::<Value>(&out).unwrap()["recovery_code"].as_str(), err.as_str()),
            (Some("abcd-efgh"), "")
        );
    }

    #[test]
    fn what_becomes_of_strangers_is_chosen_at_set_up() {
        let dir = tempfile::tempdir().unwrap();
        let args = Args { unenroll_strangers: Some(true), ..args(dir.path()) };
        let fake = Fake::new(new_school);
        assert_eq!(heard(false, |voice| run(&fake, &args, voice)).0, Ok(()));
        assert_eq!(fake.last(), Call::patch_json("/api/v1/device-policy", &json!({ "unenroll_strangers": true })));
    }

    #[test]
    fn the_code_goes_into_a_file_and_then_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let mut args = args(dir.path());
        args.recovery_code_file = Some(dir.path().join("code"));
        let (_, out, _) = heard(true, |voice| run(&Fake::new(new_school), &args, voice));
        assert!(!out.contains("abcd"), "{out}");
        assert_eq!(std::fs::read_to_string(dir.path().join("code")).unwrap(), "abcd-efgh\n");
    }

    #[test]
    fn a_second_time_asks_for_nothing_new() {
        let dir = tempfile::tempdir().unwrap();
        let mut args = args(dir.path());
        // Neither the password nor the code's file is looked at.
        args.admin_password_file = Some(dir.path().join("gone"));
        args.recovery_code_file = Some(dir.path().join("p"));
        let fake = Fake::new(|call| match (call.method, call.target.split('?').next().unwrap()) {
            ("GET", "/api/v1/setup") => (200, json!({ "recovery_code_made_at": "2026-11-18T12:00:00Z" })),
            ("GET", _) => (200, json!({ "items": [{ "name": "Ada" }], "next_cursor": null })),
            _ => (200, json!({ "hostname": "h.example" })),
        });
        let (done, out, _) = heard(false, |voice| run(&fake, &args, voice));
        assert!(done.is_ok() && !out.contains("Recovery"), "{done:?} {out}");
        let wish = json!({"organization": "Hill School", "hostname": "h.example", "recovery_code": false});
        assert_eq!(fake.last(), Call::post_json("/api/v1/setup", &wish));
    }
}
