//! `cordon restore`: a copied file becomes a school again, or is proven to be one. Works on files; the server must not run.

use super::args::{Global, LOCAL_CONFIG};
use super::asking;
use super::failure::Failure;
use super::voice::Voice;
use crate::base::random::Random;
use crate::base::secret::Secret;
use crate::base::time::{Clock, SystemClock};
use crate::pki::SystemRandom;
use crate::service::founding::Place;
use crate::service::restoring::{self, Opener, Proof, Restored};
use crate::store::Copied;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Puts a copy of the database in place, or proves that it could be.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon restore /media/usb/cordon.db --verify
  cordon restore /media/usb/cordon.db --verify --recovery-code-file -
  cordon restore /media/usb/cordon.db --recovery-code-file code.txt
  cordon restore /media/usb/cordon.db --replace
  cordon restore from-litestream.db --replica --recovery-code-file code.txt

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
    /// A replicator such as Litestream put the file together, so it has no -wal file
    #[arg(long)]
    replica: bool,
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
    let copied = Copied { file: &args.file, by_replicator: args.replica };
    let place = Place { directory: global.data_dir.clone(), machine_key: config.machine_key.clone() };
    let (clock, random): (Arc<dyn Clock>, Arc<dyn Random>) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    if args.verify {
        let scratch =
            tempfile::tempdir().map_err(|error| Failure::file("write into", &std::env::temp_dir(), &error))?;
        let proof = restoring::prove(copied, scratch.path(), &place.key_path(), opener, clock, random)?;
        return voice.show(&shape(&proof, args), || words(&proof, "is whole and opens"));
    }
    let dir = &global.data_dir;
    let created = crate::store::create_folder(dir);
    created.map_err(|error| Failure::file("create", dir, &error))?;
    let scratch = tempfile::tempdir_in(dir).map_err(|error| Failure::file("write into", dir, &error))?;
    let actor = super::reach::local_actor();
    let done = restoring::restore(copied, scratch.path(), &place, opener, args.replace, &actor, (clock, random))?;
    let written = configure(global, &done.proof.configuration)?;
    super::ownership::hand_over(dir);
    let mut data = shape(&done.proof, args);
    data["kept_as"] = json!(done.kept_as);
    data["held_back"] = json!(done.held_back);
    data["configuration_file"] = json!(written);
    voice.show(&data, || words(&done.proof, "is back"))?;
    if !voice.is_json() {
        explain(global, &config.said, &done, written.as_deref(), voice);
    }
    Ok(())
}

/// What a person should know before the server starts.
fn explain(
    global: &Global,
    here: &BTreeMap<String, Vec<String>>,
    done: &Restored,
    written: Option<&Path>,
    voice: &mut Voice<'_>,
) {
    if let Some(kept) = &done.kept_as {
        voice.talk(&format!("What was here before is in {}.", kept.display()));
    }
    match (written, &global.config_file) {
        (Some(file), _) => voice.talk(&format!("The old machine's ports and TLS settings are in {}.", file.display())),
        (None, Some(file)) => {
            for line in settings(&done.proof.configuration).filter(|(key, values)| here.get(key) != Some(values)) {
                voice.talk(&format!("The old machine had {}; {} says otherwise.", line_of(&line), file.display()));
            }
        }
        (None, None) => {}
    }
    for (key, values) in settings(&done.proof.configuration).filter(|(key, _)| key.ends_with("_file")) {
        for missing in values.iter().filter(|file| !Path::new(file).exists()) {
            voice.talk(&format!("{key} names {missing}, which is not on this machine: put it there before the start."));
        }
    }
    if done.held_back > 0 {
        voice.talk(&format!(
            "{} commands that erase, lock or remove had not been answered yet and were cancelled, because they may have been carried out since the copy was made. Send those again that are still wanted.",
            done.held_back
        ));
    }
    if done.proof.waiting > done.held_back {
        voice
            .talk("Other commands that waited in the copy go out again; a device may get one that it has had already.");
    }
    voice
        .talk("What happened after the copy was made is not known here: devices enrolled since then must enrol again.");
    voice.talk("Take care that the old machine does not start again, then: cordon serve");
}

/// Writes down what the old machine was told, where no configuration is in force here.
fn configure(global: &Global, configuration: &Value) -> Result<Option<PathBuf>, Failure> {
    if global.config_file.is_some() || settings(configuration).next().is_none() {
        return Ok(None);
    }
    let path = global.data_dir.join(LOCAL_CONFIG);
    let mut text = String::from("# What the server was told before the restore.\n");
    settings(configuration).for_each(|setting| text.push_str(&format!("{}\n", line_of(&setting))));
    super::files::write_private(&path, text.as_bytes())?;
    Ok(Some(path))
}

fn settings(configuration: &Value) -> impl Iterator<Item = (String, Vec<String>)> {
    let said: BTreeMap<String, Vec<String>> = serde_json::from_value(configuration.clone()).unwrap_or_default();
    said.into_iter()
}

/// One line of a configuration file. A text in JSON is one in TOML.
fn line_of((key, values): &(String, Vec<String>)) -> String {
    let quoted: Vec<String> = values.iter().map(|value| Value::String(value.clone()).to_string()).collect();
    match quoted.as_slice() {
        [one] => format!("{key} = {one}"),
        several => format!("{key} = [{}]", several.join(", ")),
    }
}

fn shape(proof: &Proof, args: &Args) -> Value {
    let counts = &proof.counts;
    json!({
        "ok": true,
        "verified_only": args.verify,
        "schema_version": proof.schema_version,
        "as_of": proof.as_of.map(|at| at.to_string()),
        "identities": proof.identities,
        "waiting": proof.waiting,
        "push_topics": proof.push_topics,
        "configuration": proof.configuration,
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
    let as_of = proof.as_of.map(|at| format!(" as of {at}")).unwrap_or_default();
    let paper = if proof.recovery_code_made_at.is_some() {
        ""
    } else {
        "\nIt has no recovery code. Make one: cordon recovery-code new"
    };
    format!(
        "{} {what}{as_of}: {} devices, {} commands, {} secrets in custody, {} admins.\nThe authority signs, and {} identities of devices verify under it. Every key opened and fits its certificate: {} of the school, {} for push. The audit is unbroken ({} rows).{paper}",
        super::voice::plain(school),
        counts.devices,
        counts.commands,
        counts.secrets,
        counts.admins,
        proof.identities,
        proof.authority_keys,
        proof.push_keys,
        counts.audit_rows
    )
}
