//! `cordon push-cert`: the certificate that Apple's push service knows the school by: request, import, show.

use super::failure::Failure;
use super::files;
use super::moment::told_field;
use super::reach::{Api, Call};
use super::table::{Facts, cell, field};
use super::voice::Voice;
use crate::base::time::Timestamp;
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Longest PEM file: a chain and a key have a few kilobytes.
const MAX_PEM: usize = 256 * 1024;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a key and a certificate request; the key stays inside
    Request(RequestArgs),
    /// Open the signed request that mdmcert.download mailed
    Signed(SignedArgs),
    /// Take in the certificate that Apple issued
    Import(ImportArgs),
    /// Topic and dates of what is there
    Show(ShowArgs),
}

#[derive(Debug, Default, clap::Args)]
#[command(after_help = "Examples:
  cordon push-cert request --email it@hill.example --output push.csr
  cordon push-cert request --mdmcert --email it@hill.example --api-key-file mdmcert.key
  cordon push-cert request --vendor-cert vendor-chain.pem --vendor-key vendor.key --output upload.b64
  cordon push-cert request > push.csr

Apple's portal takes only requests that an MDM vendor signed. mdmcert.download signs free of charge: register your address there, then use
--mdmcert; the answer comes by mail and is opened with `cordon push-cert signed FILE`. With a vendor certificate of your own (and
Apple's intermediate and root in the same file) it is signed at once; your key is used and not kept.")]
struct RequestArgs {
    /// Whom to write to about it; stands in the request
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Send it to mdmcert.download to be signed; the answer comes to the address
    #[arg(long, requires_all = ["email", "api_key_file"], conflicts_with = "vendor_cert")]
    mdmcert: bool,
    /// File with your API key for mdmcert.download; - for stdin
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// MDM vendor certificate with its chain, to sign at once
    #[arg(long, value_name = "CHAIN.pem", requires = "vendor_key")]
    vendor_cert: Option<PathBuf>,
    /// The vendor certificate's key
    #[arg(long, value_name = "KEY.pem", requires = "vendor_cert")]
    vendor_key: Option<PathBuf>,
    /// Write the request to this file; the signed one where it is signed at once
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon push-cert signed mdm_signed_request.20261122_1.plist.b64.p7 --output upload.b64

The file is the attachment of the mail. What comes out is uploaded at identity.apple.com/pushcert.")]
struct SignedArgs {
    /// The attachment, as it came
    #[arg(value_name = "FILE")]
    attachment: PathBuf,
    /// Write the file for Apple's portal here
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon push-cert import MDM_Certificate.pem
  cordon push-cert import MDM_Certificate.pem --apple-account it@hill.example
  cordon push-cert import MDM_Certificate.pem --key push.key

The key is found by itself when the request was made here or when it is in the same file. Renew the certificate that is there,
with the same Apple Account: one with another topic cannot call enrolled devices, and is refused unless you say --additional.")]
struct ImportArgs {
    /// Certificate in PEM form, as downloaded
    #[arg(value_name = "CERT.pem")]
    certificate: PathBuf,
    /// Its key in PEM form
    #[arg(long, value_name = "KEY.pem")]
    key: Option<PathBuf>,
    /// Add a second topic on purpose
    #[arg(long)]
    additional: bool,
    /// The Apple Account that made it: remembered, because only it can renew the certificate
    #[arg(long, value_name = "ADDRESS")]
    apple_account: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon push-cert show
  cordon push-cert show --json")]
struct ShowArgs {}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::Request(args) => request(api, args, voice),
        Verb::Signed(args) => open_signed(api, args, voice),
        Verb::Import(args) => import(api, args, voice),
        Verb::Show(_) => show(api, voice),
    }
}

fn request(api: &dyn Api, args: &RequestArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let mut wish = json!({ "email": args.email });
    if args.mdmcert {
        let file = args.api_key_file.as_deref().unwrap_or(Path::new("-"));
        wish["mdmcert"] = json!({ "api_key": files::read_text(file, MAX_PEM)?.trim() });
    } else if let Some((chain, key)) = args.vendor_cert.as_deref().zip(args.vendor_key.as_deref()) {
        wish["vendor"] =
            json!({ "chain_pem": files::read_text(chain, MAX_PEM)?, "key_pem": files::read_text(key, MAX_PEM)? });
    }
    let made = api.json(&Call::post_json("/api/v1/push-certificates/request", &wish))?;
    if let Some(address) = made["mailed_to"].as_str() {
        voice.show(&made, || format!("Sent to be signed. The answer comes by mail to {address}."))?;
        voice
            .advise("Next: save the attachment of that mail, then `cordon push-cert signed FILE --output upload.b64`.");
        return Ok(());
    }
    if made["upload"].is_string() {
        return hand_out(&made, "upload", args.output.as_deref(), UPLOAD_NEXT, voice);
    }
    let next = "Next: have it signed by an MDM vendor, upload that to identity.apple.com/pushcert, then `cordon push-cert import CERT.pem`.";
    hand_out(&made, "csr_pem", args.output.as_deref(), next, voice)
}

const UPLOAD_NEXT: &str = "Next: log in to identity.apple.com/pushcert, upload this file (to renew: with the same Apple Account, \
                           “Renew” beside the same certificate), download the certificate, then `cordon push-cert import CERT.pem`.";

fn open_signed(api: &dyn Api, args: &SignedArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let attachment = files::read_text(&args.attachment, MAX_PEM)?;
    let call = Call::post_json("/api/v1/push-certificates/request/signed", &json!({ "attachment": attachment }));
    let opened = api.json(&call)?;
    hand_out(&opened, "upload", args.output.as_deref(), UPLOAD_NEXT, voice)
}

/// Writes what was made to a file or to stdout, and says how to go on.
fn hand_out(made: &Value, key: &str, output: Option<&Path>, next: &str, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let text = field(made, key);
    match output.filter(|path| *path != Path::new("-")) {
        Some(path) => {
            files::write_private(path, text.as_bytes())?;
            let mut told = made.clone();
            told["output"] = json!(path.to_string_lossy());
            voice.show(&told, || format!("Wrote {}.", path.display()))?;
        }
        None => voice.show(made, || text)?,
    }
    for warning in made["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        voice.advise(&format!("Warning: {}", super::voice::plain(warning)));
    }
    voice.advise(next);
    Ok(())
}

fn import(api: &dyn Api, args: &ImportArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let certificate = files::read_text(&args.certificate, MAX_PEM)?;
    let key = args.key.as_deref().map(|path| files::read_text(path, MAX_PEM)).transpose()?;
    let wish = json!({ "certificate_pem": certificate, "key_pem": key, "additional": args.additional,
        "apple_account": args.apple_account });
    let taken = api.json(&Call::post_json("/api/v1/push-certificates", &wish))?;
    let now = voice.now();
    voice.show(&taken, || one(&taken, now))?;
    for warning in taken["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        voice.advise(&format!("Warning: {}", super::voice::plain(warning)));
    }
    Ok(())
}

fn show(api: &dyn Api, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let (items, next) = api.list(&Call::get("/api/v1/push-certificates"), None)?;
    let now = voice.now();
    let words = || items.iter().map(|item| one(item, now)).collect::<Vec<_>>().join("\n");
    voice.show(&json!({ "items": items, "next_cursor": next }), words)?;
    if items.is_empty() {
        voice.advise("There is no push certificate yet. Make a request: cordon push-cert request --output push.csr");
    }
    Ok(())
}

fn one(item: &Value, now: Timestamp) -> String {
    let mut facts = Facts::default();
    facts.add("Topic", cell(item, "topic"));
    facts.add("Subject", field(item, "subject"));
    facts.add("Valid from", field(item, "not_before"));
    let (until, in_words) = (cell(item, "not_after"), told_field(&item["not_after"], now));
    facts.add("Valid until", if until == in_words { until } else { format!("{until} ({in_words})") });
    facts.add(
        "Used for",
        if item["current"] == json!(true) {
            "new enrolments, and devices that hold this topic"
        } else {
            "devices that hold this topic"
        },
    );
    facts.add("Apple Account", field(item, "apple_account"));
    facts.add("Paused", field(item, "paused_why"));
    facts.render()
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    #[test]
    fn certificate_and_key_go_as_text() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let fake = Fake::new(|_| {
            (
                201,
                json!({"topic": "com.apple.mgmt.X", "not_after": "2026-11-28T12:00:00Z", "current": true, "warnings": ["not Apple's"]}),
            )
        });
        let mut args = ImportArgs {
            certificate: file("c.pem", "CERT"),
            key: Some(file("k.pem", "KEY")),
            additional: false,
            apple_account: None,
        };
        let (done, out, err) = heard(false, |voice| import(&fake, &args, voice));
        assert_eq!((done, err.as_str()), (Ok(()), "Warning: not Apple's\n"));
        assert!(out.contains("2026-11-28T12:00:00Z (in 10 days)"), "{out}");
        let wish: Value = serde_json::from_slice(&fake.last().body).unwrap();
        assert_eq!(
            wish,
            json!({"certificate_pem": "CERT", "key_pem": "KEY", "additional": false, "apple_account": null})
        );
        args.key = None;
        let _ = heard(false, |voice| import(&fake, &args, voice));
        assert_eq!(serde_json::from_slice::<Value>(&fake.last().body).unwrap()["key_pem"], Value::Null);
    }

    #[test]
    fn requests_and_nothing_to_show() {
        let fake = Fake::new(|_| (201, json!({"csr_pem": "-----BEGIN"})));
        let (_, out, err) = heard(false, |voice| request(&fake, &RequestArgs::default(), voice));
        assert!(out == "-----BEGIN\n" && err.contains("identity.apple.com"), "{out}{err}");
        let none = Fake::new(|_| (200, json!({"items": []})));
        let (done, out, err) = heard(false, |voice| show(&none, voice));
        assert_eq!((done, out.as_str()), (Ok(()), ""));
        assert!(err.contains("push-cert request"), "{err}");
    }
}
