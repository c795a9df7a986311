//! `cordon recovery-code`: a new code for the drawer, and whether the one in the drawer is right.

use super::asking::{self, SecretFile};
use super::failure::Failure;
use super::reach::{Api, Call};
use super::table::field;
use super::voice::Voice;
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
    /// Make a new code; the one before it is worthless from then on
    New(NewArgs),
    /// Is this the code that opens the school?
    Check(CheckArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon recovery-code new
  cordon recovery-code new --recovery-code-file /media/usb/cordon-code.txt

Older copies of the database still open with the code that was in force when they were taken.")]
struct NewArgs {
    /// Write it into this new file instead of showing it
    #[arg(long, value_name = "FILE")]
    recovery_code_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon recovery-code check
  cordon recovery-code check --recovery-code-file code.txt")]
struct CheckArgs {
    /// First line of this file; `-` for standard input
    #[arg(long, value_name = "FILE")]
    recovery_code_file: Option<PathBuf>,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::New(args) => new(api, args, voice),
        Verb::Check(args) => check(api, args, voice),
    }
}

fn new(api: &dyn Api, args: &NewArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let file = args.recovery_code_file.as_deref().map(SecretFile::create).transpose()?;
    let made = match api.json(&Call::post_json("/api/v1/recovery-code", &json!({}))) {
        Ok(made) => made,
        Err(failure) => {
            if let Some(file) = file {
                file.abandon();
            }
            return Err(failure);
        }
    };
    match (file, &args.recovery_code_file) {
        (Some(file), Some(path)) => {
            file.write(&field(&made, "recovery_code"))?;
            voice.show(&json!({ "recovery_code_file": path }), || {
                format!("The new recovery code is in {}.", path.display())
            })?;
        }
        _ => voice.show(&made, || field(&made, "recovery_code"))?,
    }
    if !voice.is_json() {
        voice.talk("Keep it on paper, away from this machine and its copies: with a copy of the database it opens every secret of the school. It is not shown again.");
    }
    Ok(())
}

fn check(api: &dyn Api, args: &CheckArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let code = asking::secret(args.recovery_code_file.as_deref(), "Recovery code: ", "--recovery-code-file FILE")?;
    api.json(&Call::post_json("/api/v1/recovery-code/check", &json!({ "recovery_code": code.expose() })))?;
    voice.show(&json!({ "right": true }), || String::from("This is the recovery code in force."))
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    #[test]
    fn shown_once_or_written_once() {
        let fake = Fake::new(|_| (201, json!({"recovery_code": "abcd-efgh"})));
        let (_, out, err) = heard(false, |voice| new(&fake, &NewArgs { recovery_code_file: None }, voice));
        assert!(out == "abcd-efgh\n" && err.contains("not shown again"), "{out} {err}");
        let dir = tempfile::tempdir().unwrap();
        let args = NewArgs { recovery_code_file: Some(dir.path().join("code")) };
        let (_, out, _) = heard(true, |voice| new(&fake, &args, voice));
        assert!(!out.contains("abcd"), "{out}");
        assert_eq!(std::fs::read_to_string(dir.path().join("code")).unwrap(), "abcd-efgh\n");
        let asked = fake.asked.borrow().len();
        assert!(heard(true, |voice| new(&fake, &args, voice)).0.is_err());
        assert_eq!(fake.asked.borrow().len(), asked, "nothing is made when it has nowhere to go");
    }

    #[test]
    fn a_refusal_leaves_no_empty_file() {
        let fake = Fake::new(|_| (403, json!({"id": "role-missing", "detail": "No."})));
        let dir = tempfile::tempdir().unwrap();
        let args = NewArgs { recovery_code_file: Some(dir.path().join("code")) };
        assert!(heard(false, |voice| new(&fake, &args, voice)).0.is_err());
        assert!(!dir.path().join("code").exists());
    }
}
