//! `cordon tls`: the certificate that the listeners serve, and what is wrong with a newer one.

use super::authorities;
use super::failure::Failure;
use super::reach::{Api, Call};
use super::table::{Facts, field};
use super::voice::Voice;
use serde_json::Value;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon tls
  cordon tls --json

Where it comes from is chosen at set-up or with `cordon tls choose`; tls.mode in the configuration file (own-ca, files or acme) wins.")]
pub struct Args {
    #[command(subcommand)]
    verb: Option<authorities::TlsVerb>,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    if let Some(verb) = &args.verb {
        return authorities::tls(api, verb, voice);
    }
    let tls = api.json(&Call::get("/api/v1/tls"))?;
    voice.show(&tls, || {
        let served = &tls["served"];
        if served.is_null() {
            return String::from(
                "No certificate yet: it is made when the server starts for the first time (cordon serve).",
            );
        }
        let list = |value: &Value| {
            let texts = value.as_array().into_iter().flatten().filter_map(Value::as_str);
            texts.collect::<Vec<_>>().join(", ")
        };
        let trusted = if tls["publicly_trusted"] == true {
            String::from("publicly; profiles bring no roots")
        } else {
            format!("by its root, which profiles bring: {}", list(&tls["anchors"]))
        };
        let facts = [
            ("From", field(served, "source")),
            ("Subject", field(served, "subject")),
            ("Issuer", field(served, "issuer")),
            ("Names", list(&served["names"])),
            ("Valid until", field(served, "not_after")),
            ("Trusted", trusted),
            ("Not used", tls["fault"].as_str().unwrap_or_default().to_owned()),
        ];
        let mut shown = Facts::default();
        facts.into_iter().for_each(|(name, value)| shown.add(name, value));
        shown.render()
    })
}
