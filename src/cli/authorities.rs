//! `cordon ca`, `cordon tls` and `cordon cert`: the school's own certificates, and the identities that they issued.

use super::failure::Failure;
use super::files;
use super::moment::told_field;
use super::reach::{Api, Call, escape};
use super::table::{Table, cell, field};
use super::voice::Voice;
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct CaArgs {
    #[command(subcommand)]
    verb: CaVerb,
}

#[derive(Debug, Subcommand)]
enum CaVerb {
    /// What is in force, what is to come, and which devices lack it
    Status(StatusArgs),
    /// Replace the root, or what stands below it
    Replace(ReplaceArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon ca status
  cordon ca status --json")]
struct StatusArgs {}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon ca replace                  begin: the new root goes out to every device
  cordon ca status                   who has it
  cordon ca replace --finish         use it; refused while a device would be stranded
  cordon ca replace --signer

The new root is not used before every enrolled device has proven to hold it. Issuing authority and signer stand below the root and are replaced at once.")]
struct ReplaceArgs {
    /// Put the new root in force
    #[arg(long, group = "what")]
    finish: bool,
    /// Give the new root up
    #[arg(long, group = "what")]
    cancel: bool,
    /// Only the authority that issues identities
    #[arg(long, group = "what")]
    issuing: bool,
    /// Only what profiles are signed with
    #[arg(long, group = "what")]
    signer: bool,
}

#[derive(Debug, Subcommand)]
pub enum TlsVerb {
    /// A new certificate for the listeners, in force at once
    Renew(TlsRenewArgs),
    /// Choose where the certificate comes from, in force at once
    Choose(TlsChooseArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon tls choose own-ca
  cordon tls choose acme --contact it@hill.example
  cordon tls choose given --cert-file cert.pem --key-file key.pem

given: the chain as PEM, the server's own certificate first; both are kept in the database, the key sealed, and may be deleted here.
Where the configuration file says tls.mode, that counts and nothing can be chosen.")]
pub struct TlsChooseArgs {
    /// The school's own authority, a public certificate by ACME (Let's Encrypt), or one that you have
    #[arg(value_parser = ["own-ca", "acme", "given"])]
    mode: String,
    /// Of given: the chain, PEM
    #[arg(long, value_name = "FILE", required_if_eq("mode", "given"))]
    cert_file: Option<PathBuf>,
    /// Of given: the key, PEM, if it is not in the same file
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Of acme: whom the authority may write to
    #[arg(long, value_name = "ADDRESS")]
    contact: Option<String>,
}

/// Longest chain or key, bytes.
const MAX_PEM: usize = 64 * 1024;

fn choose(api: &dyn Api, args: &TlsChooseArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let read = |path: &Option<PathBuf>| path.as_ref().map(|path| files::read_text(path, MAX_PEM)).transpose();
    let (certificate, key) = (read(&args.cert_file)?, read(&args.key_file)?);
    let wish = json!({ "mode": args.mode, "certificate": certificate, "key": key, "contact": args.contact });
    let tls = api.json(&Call { method: "PUT", ..Call::post_json("/api/v1/tls", &wish) })?;
    voice.show(&tls, || format!("The certificate comes from {} from now on.", field(&tls, "mode")))?;
    voice.advise("It is served as soon as it is there; see whether it is: cordon tls");
    Ok(())
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon tls renew

Cordon does this by itself when a third of the certificate's life is left. Nothing is restarted, and open connections go on.")]
pub struct TlsRenewArgs {}

#[derive(Debug, clap::Args)]
pub struct CertArgs {
    #[command(subcommand)]
    verb: CertVerb,
}

#[derive(Debug, Subcommand)]
enum CertVerb {
    /// Identities of devices, those that end last first
    List(ListArgs),
    /// Revoke an identity by hand, for good
    Revoke(RevokeArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon cert list --device C02XK1ZZJGH5
  cordon cert list --revoked --limit 500")]
struct ListArgs {
    /// Of this device
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Beginning of a serial number or fingerprint
    #[arg(long, value_name = "HEX")]
    search: Option<String>,
    /// Only those that are revoked
    #[arg(long)]
    revoked: bool,
    /// Show at most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon cert revoke 4b1f09c2d37711aa --yes

A device with a revoked identity can do nothing here until it is enrolled anew; it is not told to leave.")]
struct RevokeArgs {
    /// Serial number or fingerprint, as `cordon cert list` shows it
    #[arg(value_name = "SERIAL")]
    which: String,
    /// Do not ask back
    #[arg(long, short)]
    yes: bool,
}

pub fn ca(api: &dyn Api, args: &CaArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let status = match &args.verb {
        CaVerb::Status(_) => api.json(&Call::get("/api/v1/authorities"))?,
        CaVerb::Replace(args) => {
            let (verb, body) = match args {
                ReplaceArgs { finish: true, .. } => ("finish", json!({})),
                ReplaceArgs { cancel: true, .. } => ("cancel", json!({})),
                ReplaceArgs { issuing: true, .. } => ("replace", json!({ "what": "issuing" })),
                ReplaceArgs { signer: true, .. } => ("replace", json!({ "what": "signer" })),
                ReplaceArgs { .. } => ("replace", json!({ "what": "root" })),
            };
            api.json(&Call::post_json(format!("/api/v1/authorities/{verb}"), &body))?
        }
    };
    voice.show(&status, || in_words(&status))
}

fn in_words(status: &Value) -> String {
    let mut table = Table::new(&["WHAT", "STANDING", "NAME", "UNTIL"]);
    for item in status["items"].as_array().into_iter().flatten() {
        table.row([cell(item, "purpose"), cell(item, "standing"), cell(item, "subject"), cell(item, "not_after")]);
    }
    let mut text = table.render();
    if status["replacing"] == true {
        let missing: Vec<&str> = status["missing"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let devices = status["devices"].as_u64().unwrap_or(0);
        text.push_str(&match missing.len() {
            0 => format!("\nAll {devices} enrolled device(s) have the new root. Use it: cordon ca replace --finish\n"),
            lack => format!("\n{lack} of {devices} enrolled device(s) lack the new root: {}\n", missing.join(", ")),
        });
    }
    text
}

pub fn tls(api: &dyn Api, verb: &TlsVerb, voice: &mut Voice<'_>) -> Result<(), Failure> {
    if let TlsVerb::Choose(args) = verb {
        return choose(api, args, voice);
    }
    let certificate = api.json(&Call::post_json("/api/v1/tls/renew", &json!({})))?;
    let until = field(&certificate, "not_after");
    voice.show(&certificate, || format!("The listeners have a new certificate, good until {until}."))
}

pub fn cert(api: &dyn Api, args: &CertArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.verb {
        CertVerb::List(args) => list(api, args, voice),
        CertVerb::Revoke(args) => revoke(api, args, voice),
    }
}

fn list(api: &dyn Api, args: &ListArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let call = Call::get("/api/v1/certificates")
        .with("device", args.device.as_ref())
        .with("search", args.search.as_ref())
        .with("revoked", args.revoked.then(|| String::from("true")).as_ref())
        .with("limit", Some(args.limit.to_string()).as_ref());
    let page = api.json(&call)?;
    let now = voice.now();
    let items: Vec<Value> = page["items"].as_array().cloned().unwrap_or_default();
    voice.show(&page, || {
        if items.is_empty() {
            return String::new();
        }
        let mut table = Table::new(&["SERIAL", "DEVICE", "BOUND", "UNTIL", "REVOKED"]);
        for item in &items {
            let revoked = match item["revoked_why"].as_str() {
                Some(why) => format!("{why}, {}", told_field(&item["revoked_at"], now)),
                None => String::from("-"),
            };
            table.row([
                cell(item, "serial"),
                cell(item, "device_id"),
                cell(item, "binding"),
                cell(item, "not_after"),
                revoked,
            ]);
        }
        table.render()
    })?;
    if items.is_empty() {
        voice.advise("No identity matches.");
    }
    Ok(())
}

fn revoke(api: &dyn Api, args: &RevokeArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let what = format!("The device with the identity {} can do nothing here until it is enrolled anew.", args.which);
    if !args.yes && !voice.can_ask {
        return Err(Failure::usage(format!("{what} Say --yes if that is meant.")));
    }
    if !args.yes && !voice.confirm(&format!("{what} Go on?")) {
        return Err(Failure::new("not-sent", "Nothing was changed."));
    }
    let path = format!("/api/v1/certificates/{}/revoke", escape(&args.which));
    let revoked = api.json(&Call::post_json(path, &json!({})))?;
    voice.show(&revoked, || format!("{} is revoked.", cell(&revoked, "serial")))
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    #[test]
    fn the_status_names_who_would_be_stranded() {
        let status = json!({"items": [{"purpose": "root", "standing": "next", "subject": "CN=R", "not_after": "2046-11-18T11:57:00Z"}],
            "replacing": true, "devices": 3, "missing": ["C1"]});
        let fake = Fake::new(move |_| (200, status.clone()));
        let args = CaArgs {
            verb: CaVerb::Replace(ReplaceArgs { finish: false, cancel: false, issuing: false, signer: false }),
        };
        let (done, out, _) = heard(false, |voice| ca(&fake, &args, voice));
        assert_eq!(done, Ok(()));
        assert!(out.contains("1 of 3 enrolled device(s) lack the new root: C1"), "{out}");
        assert_eq!(fake.last().target, "/api/v1/authorities/replace");
    }

    #[test]
    fn a_revocation_asks_back() {
        let fake = Fake::new(|_| (200, json!({ "serial": "4b1f" })));
        let args = |yes| RevokeArgs { which: "4b1f".into(), yes };
        let (done, ..) = heard(false, |voice| revoke(&fake, &args(false), voice));
        assert!(done.is_err());
        let (done, out, _) = heard(false, |voice| revoke(&fake, &args(true), voice));
        assert_eq!((done, out.as_str()), (Ok(()), "4b1f is revoked.\n"));
    }
}
