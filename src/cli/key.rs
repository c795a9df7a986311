//! `cordon key`: how the school's secrets are sealed, a new data key, a new machine key.

use super::asking::{self, SecretFile};
use super::failure::Failure;
use super::moment::told_field;
use super::reach::{Api, Call};
use super::table::field;
use super::voice::Voice;
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// Between two looks at how far a rotation has come.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Which key is in force, and how far a rotation has come
    #[command(after_help = "Examples:
  cordon key show
  cordon key show --json")]
    Show,
    /// A new data key; every secret is sealed anew while the server goes on
    Rotate(RotateArgs),
    /// A new machine key in the place of the one on this machine
    #[command(after_help = "Examples:
  cordon key replace-machine-key

For when somebody may have read the file. Copies of the database from before open with the old key all the same: rotate the
data key too. The file is replaced so that no power cut leaves a database that nothing opens.")]
    ReplaceMachineKey,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon key rotate --recovery-code-file /media/usb/cordon-code.txt --wait
  cordon key rotate --new-recovery-code
  cordon key rotate --new-recovery-code --write-code-to /media/usb/cordon-code.txt

The recovery code must open the new key too: give the one in force (it is asked for on a terminal), or have a new one made.
The old key is destroyed when nothing needs it, some minutes after the last secret was sealed anew; a stop or a crash in between
loses nothing, the next start goes on.")]
struct RotateArgs {
    /// The code in force: first line of this file; `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "new_recovery_code")]
    recovery_code_file: Option<PathBuf>,
    /// Make a new recovery code; the one in force is worthless from then on
    #[arg(long)]
    new_recovery_code: bool,
    /// Write the new code into this new file instead of showing it
    #[arg(long, value_name = "FILE", requires = "new_recovery_code")]
    write_code_to: Option<PathBuf>,
    /// Return when every secret is sealed anew
    #[arg(long)]
    wait: bool,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::Show => show(api, voice),
        Verb::Rotate(args) => rotate(api, args, voice),
        Verb::ReplaceMachineKey => {
            api.bytes(&Call::post_json("/api/v1/key/machine-key", &json!({})))?;
            voice.show(&json!({ "replaced": true }), || String::from("This machine has a new machine key."))
        }
    }
}

fn show(api: &dyn Api, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let state = api.json(&Call::get("/api/v1/key"))?;
    let now = voice.now();
    let words = || {
        let code = match state["recovery_code_made_at"].is_string() {
            true => format!("made {}", told_field(&state["recovery_code_made_at"], now)),
            false => String::from("none; make one with `cordon recovery-code new`"),
        };
        format!("Data key: {}\n{}\nRecovery code: {code}", field(&state, "key_id"), progress(&state))
    };
    voice.show(&state, words)
}

fn progress(state: &Value) -> String {
    let (left, all) = (state["left"].as_i64().unwrap_or(0), state["all"].as_i64().unwrap_or(0));
    match state["rotating"].as_bool() {
        Some(true) if left > 0 => format!("Rotation: {left} of {all} secrets still wait to be sealed anew."),
        Some(true) => format!("Rotation: all {all} secrets are sealed anew; the old key is destroyed within minutes."),
        _ => format!("All {all} secrets are sealed with it."),
    }
}

fn rotate(api: &dyn Api, args: &RotateArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let before = api.json(&Call::get("/api/v1/key"))?;
    let body = if args.new_recovery_code {
        json!({ "new_recovery_code": true })
    } else if before["recovery_code_made_at"].is_string() {
        let option = "--recovery-code-file FILE or --new-recovery-code";
        let code = asking::secret(args.recovery_code_file.as_deref(), "Recovery code: ", option)?;
        json!({ "recovery_code": code.expose() })
    } else {
        json!({})
    };
    let file = args.write_code_to.as_deref().map(SecretFile::create).transpose()?;
    let mut state = match api.json(&Call::post_json("/api/v1/key/rotate", &body)) {
        Ok(state) => state,
        Err(failure) => {
            if let Some(file) = file {
                file.abandon();
            }
            return Err(failure);
        }
    };
    let made = state["recovery_code"].as_str().map(str::to_owned);
    if let (Some(file), Some(code)) = (file, &made) {
        file.write(code)?;
        state["recovery_code"] = Value::Null;
    } else if let (Some(code), false) = (&made, voice.is_json()) {
        voice.show(&Value::Null, || code.clone())?;
        voice.talk("The new recovery code; the old one is worthless now. Keep it on paper, away from this machine and its copies. It is not shown again.");
        confirm(api, voice);
    }
    let code = state["recovery_code"].take();
    while args.wait && api.is_live() && state["left"].as_i64().is_some_and(|left| left > 0) {
        std::thread::sleep(LOOK_EVERY);
        state = api.json(&Call::get("/api/v1/key"))?;
    }
    if code.is_string() {
        state["recovery_code"] = code;
    }
    if voice.is_json() {
        return voice.show(&state, String::new);
    }
    voice.talk(&progress(&state));
    if !api.is_live() {
        voice.talk("No server is running: it goes on when one does.");
    }
    Ok(())
}

/// Typed back from the paper, so that a slip shows while it can be mended. Nobody there to ask: it is left at that.
fn confirm(api: &dyn Api, voice: &mut Voice<'_>) {
    let Ok(typed) = asking::secret(None, "Type it back from your paper: ", "a terminal") else { return };
    let right = api.bytes(&Call::post_json("/api/v1/recovery-code/check", &json!({ "recovery_code": typed.expose() })));
    voice.talk(match right {
        Ok(_) => "That is right.",
        Err(_) => "That is not it. Compare your paper with the code above, or make another: cordon recovery-code new.",
    });
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    fn args(new: bool) -> RotateArgs {
        RotateArgs { recovery_code_file: None, new_recovery_code: new, write_code_to: None, wait: false }
    }

    #[test]
    fn a_new_code_is_shown_once_or_written_once() {
        let fake = Fake::new(|call| match call.method {
            "POST" => (
                202,
                json!({"key_id": 2, "rotating": true, "left": 7, "all": 9, "recovery_code_made_at": null, "recovery_code": "abcd-efgh"}),
            ),
            _ => (
                200,
                json!({"key_id": 1, "rotating": false, "left": 0, "all": 9, "recovery_code_made_at": "2026-11-18T11:57:00Z"}),
            ),
        });
        let (done, out, err) = heard(false, |voice| rotate(&fake, &args(true), voice));
        assert_eq!((done, out.as_str()), (Ok(()), "abcd-efgh\n"));
        assert!(err.contains("7 of 9 secrets"), "{err}");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("code");
        let written = RotateArgs { write_code_to: Some(file.clone()), ..args(true) };
        let (_, out, _) = heard(true, |voice| rotate(&fake, &written, voice));
        assert!(!out.contains("abcd"), "{out}");
        assert_eq!(std::fs::read_to_string(file).unwrap(), "abcd-efgh\n");
        // Without a terminal and without a code nothing is begun.
        let before = fake.asked.borrow().len();
        assert!(heard(false, |voice| rotate(&fake, &args(false), voice)).0.is_err());
        assert_eq!(fake.asked.borrow().len(), before + 1);
        let (_, out, _) = heard(false, |voice| show(&fake, voice));
        assert!(out.contains("Data key: 1") && out.contains("All 9 secrets"), "{out}");
    }
}
