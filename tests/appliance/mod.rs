//! The server as an appliance: copies of itself, coming back on another machine, saying how it is.

mod doctor;
mod logs;
mod mail;
mod monitors;
mod reports;
mod restoring;
mod setting_up;

use cordon::simulator::apns::StandIn;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The real program with nothing in its environment.
pub fn cordon(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cordon"));
    command.env_clear().arg("--data-dir").arg(dir).args(args).stdin(Stdio::null());
    command.output().unwrap()
}

/// What it printed, which must have gone well.
pub fn done(dir: &Path, args: &[&str]) -> Value {
    let output = cordon(dir, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

/// Writes the stand-in's authority where a configuration can name it.
pub fn write_ca(stand_in: &StandIn, folder: &Path) -> String {
    let ca_file = folder.join("ca.pem");
    std::fs::write(&ca_file, stand_in.ca_pem()).unwrap();
    ca_file.display().to_string()
}
