//! `cordon restore`: a copied file becomes a school again, or is proven to be one. Works on files; the server must not run.

use super::args::Global;
use super::asking;
use super::failure::Failure;
use super::voice::Voice;
use crate::base::random::Random;
use crate::base::secret::Secret;
use crate::base::time::{Clock, SystemClock};
use crate::pki::SystemRandom;
use crate::service::founding::Place;
use crate::service::restoring::{self, Opener, Proof};
use serde_json::{Value, json};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;

/// Puts a copy of the database in place, or proves that it could be.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon restore /media/usb/cordon.db --verify
  cordon restore /media/usb/cordon.db --verify --recovery-code-file -
  cordon restore /media/usb/cordon.db --recovery-code-file code.txt
  cordon restore /media/usb/cordon.db --replace

--verify touches nothing: it opens every key of a temporary copy and holds it against its certificate.
With the recovery code this machine gets a key of its own; without it, it needs the machine.key it has.
With --replace the school that is here is kept beside the new one, under another name.")]
pub struct Args {
    /// The copied cordon.db; its -wal file beside it, if the copy was taken from a running server
    file: PathBuf,
    /// First line of this file; `-` types it or reads standard input
    #[arg(long, value_name = "FILE")]
    recovery_code_file: Option<PathBuf>,
    /// Put the school that is here aside
    #[arg(long, conflicts_with = "verify")]
    replace: bool,
    /// Only prove the copy
    #[arg(long)]
    verify: bool,
}

pub fn run(global: &Global, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let config = global.config()?;
    super::log::start(config.log, "error");
    std::fs::metadata(&args.file).map_err(|error| Failure::file("read", &args.file, &error))?;
    let code = match &args.recovery_code_file {
        Some(file) => Some(asking::secret(Some(file), "Recovery code: ", "--recovery-code-file FILE")?),
        None => None,
    };
    let opener = code.as_ref().map_or(Opener::MachineKey, |code: &Secret<String>| Opener::RecoveryCode(code.expose()));
    let place = Place { directory: global.data_dir.clone(), machine_key: config.machine_key.clone() };
    let (clock, random): (Arc<dyn Clock>, Arc<dyn Random>) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    if args.verify {
        let scratch =
            tempfile::tempdir().map_err(|error| Failure::file("write into", &std::env::temp_dir(), &error))?;
        let proof = restoring::prove(&args.file, scratch.path(), &place.key_path(), opener, clock, random)?;
        return voice.show(&shape(&proof, args), || words(&proof, "is whole and opens"));
    }
    let dir = &global.data_dir;
    let created = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    created.map_err(|error| Failure::file("create", dir, &error))?;
    let scratch = tempfile::tempdir_in(dir).map_err(|error| Failure::file("write into", dir, &error))?;
    let actor = super::reach::local_actor();
    let (proof, kept) =
        restoring::restore(&args.file, scratch.path(), &place, opener, args.replace, &actor, (clock, random))?;
    let mut data = shape(&proof, args);
    data["kept_as"] = json!(kept);
    voice.show(&data, || words(&proof, "is back"))?;
    if !voice.is_json() {
        if let Some(kept) = kept {
            voice.talk(&format!("What was here before is in {}.", kept.display()));
        }
        voice.talk("Take care that the old machine does not start again, then: cordon serve");
    }
    Ok(())
}

fn shape(proof: &Proof, args: &Args) -> Value {
    let counts = &proof.counts;
    json!({
        "ok": true,
        "verified_only": args.verify,
        "organization": proof.organization,
        "hostname": proof.hostname,
        "authority_keys": proof.authority_keys,
        "push_keys": proof.push_keys,
        "recovery_code_made_at": proof.recovery_code_made_at.map(|at| at.to_string()),
        "devices": counts.devices,
        "enrollments": counts.enrollments,
        "commands": counts.commands,
        "secrets": counts.secrets,
        "admins": counts.admins,
        "audit_rows": counts.audit_rows,
    })
}

fn words(proof: &Proof, what: &str) -> String {
    let school = proof.organization.as_deref().unwrap_or("The school (not set up yet)");
    let counts = &proof.counts;
    let paper = if proof.recovery_code_made_at.is_some() {
        ""
    } else {
        "\nIt has no recovery code. Make one: cordon recovery-code new"
    };
    format!(
        "{} {what}: {} devices, {} commands, {} secrets in custody, {} admins.\nEvery key opened and fits its certificate: {} of the school, {} for push. The audit is unbroken ({} rows).{paper}",
        super::voice::plain(school),
        counts.devices,
        counts.commands,
        counts.secrets,
        counts.admins,
        proof.authority_keys,
        proof.push_keys,
        counts.audit_rows
    )
}
