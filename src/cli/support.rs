//! `cordon support-bundle`: one file for somebody who helps, safe to be sent by mail.

use super::failure::Failure;
use super::files;
use super::reach::{Api, Call};
use super::voice::Voice;
use serde_json::Value;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon support-bundle --output cordon-support.json
  cordon support-bundle

Numbers, settings without their values, and what the doctor finds. Names of the school, its people and its devices, addresses and topics are
taken out; no secret and no log is in it. It is text: read it before you send it.")]
pub struct Args {
    /// Write it into this file instead of printing it
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let bundle = api.json(&Call::post_json("/api/v1/support-bundle", &Value::Null))?;
    let text = serde_json::to_string_pretty(&bundle).unwrap_or_default() + "\n";
    match &args.output {
        None => voice.data(text.as_bytes()),
        Some(path) => {
            files::write_private(path, text.as_bytes())?;
            voice.advise(&format!("{} is ready. Read it before you send it.", path.display()));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;
    use serde_json::json;

    #[test]
    fn printed_or_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.json");
        let fake = Fake::new(|_| (200, json!({"cordon": "1"})));
        let (_, out, _) = heard(false, |voice| run(&fake, &Args { output: None }, voice));
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["cordon"], "1");
        assert!(heard(false, |voice| run(&fake, &Args { output: Some(path.clone()) }, voice)).0.is_ok());
        assert!(std::fs::read_to_string(path).unwrap().contains("cordon"));
    }
}
