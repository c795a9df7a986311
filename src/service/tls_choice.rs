//! Choosing where the listeners' certificate comes from, in the browser or with a verb: the school's own authority, one that somebody has,
//! or a public one by ACME. In force at once, without a restart; where the configuration says `tls.mode`, that wins and nothing is chosen.
//!
//! `serving` follows the choice. A certificate that is given is looked at first, so that nobody locks devices and themselves out.

use super::actor::{Actor, Permission};
use super::serving::{self, Demands};
use super::{Context, Error, auditing, school};
use crate::base::secret::Secret;
use crate::base::texts::{Appliance, Text};
use crate::pki::keys::PrivateKey;
use crate::store::TlsChoiceRow;
use serde_json::json;
use std::net::IpAddr;

const KEY_PLACE: &str = "tls-choice/1";
/// Longest chain and key, bytes of PEM.
const MAX_PEM: usize = 64 * 1024;

/// What somebody wants.
#[derive(Debug, Default)]
pub struct Wish {
    /// `own-ca`, `given` or `acme`.
    pub mode: String,
    /// Of `given`: PEM, the server's own certificate first.
    pub certificate: Option<String>,
    /// Of `given`: PEM; it may stand in `certificate` as well.
    pub key: Option<Secret<String>>,
    /// Of `acme`: an e-mail address that the authority may write to.
    pub contact: Option<String>,
}

/// What is chosen, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// `own-ca`, `given`, `acme`, or `files`, which only the configuration can say.
    pub mode: String,
    /// The configuration says it; here nothing can be chosen.
    pub by_configuration: bool,
    /// Somebody decided it.
    pub decided: bool,
}

/// # Errors
/// Faults of the store.
pub fn find(cx: &Context) -> Result<Chosen, Error> {
    if let Some(mode) = configured(cx)? {
        return Ok(Chosen { mode, by_configuration: true, decided: true });
    }
    let row = cx.store.read(|db| db.find_tls_choice())?;
    let decided = row.is_some();
    Ok(Chosen { mode: row.map_or_else(|| String::from("own-ca"), |row| row.mode), by_configuration: false, decided })
}

/// The mode that the configuration of the running server says, if it says one.
fn configured(cx: &Context) -> Result<Option<String>, Error> {
    let said = school::find_configuration(cx)?;
    Ok(said["tls.mode"][0].as_str().or(said["tls.mode"].as_str()).map(str::to_owned))
}

/// # Errors
/// `Conflict` where the configuration says it, and where enrolled devices would not trust the new chain; `Invalid` for a certificate that
/// cannot be served, in words that say why; `Denied` for anybody but the owner.
pub fn choose(cx: &Context, actor: &Actor, wish: Wish) -> Result<(), Error> {
    actor.require(Permission::Administer)?;
    if let Some(mode) = configured(cx)? {
        return Err(Error::conflict(Appliance::TlsByConfiguration { mode }.into()));
    }
    let now = cx.now();
    let mut row =
        TlsChoiceRow { mode: wish.mode.clone(), chain_pem: None, sealed_key: None, contact: None, chosen_at: now };
    match wish.mode.as_str() {
        "own-ca" => {
            let own: Vec<String> = cx.authorities().anchors().map(|root| hex::encode(root.fingerprint())).collect();
            let strangers = cx.store.read(|db| db.count_devices_without(&own))?;
            if strangers > 0 {
                let why = format!(
                    "{strangers} enrolled devices were never given the school's own root and could not connect any more. Install it on them in a profile first"
                );
                return Err(unusable(Error::conflict, why));
            }
        }
        "given" => {
            let chain = wish.certificate.clone().unwrap_or_default();
            let key = wish.key.unwrap_or_else(|| Secret::new(chain.clone()));
            if chain.len() > MAX_PEM || key.expose().len() > MAX_PEM {
                return Err(unusable(Error::invalid, String::from("it is too large to be a certificate with its key")));
            }
            let judged =
                serving::judge(&chain, &key, &demands(cx)?, now).map_err(|why| unusable(Error::invalid, why))?;
            let judged = serving::refuse_stranding(cx, judged).map_err(|why| unusable(Error::conflict, why))?;
            row.sealed_key = Some(cx.seal(KEY_PLACE, judged.identity.key_pkcs8.expose()));
            // Whatever else was pasted stays out: the key that was among it is sealed.
            row.chain_pem = Some(only_certificates(&chain));
        }
        "acme" => {
            let host = demands(cx)?.names.first().cloned().unwrap_or_default();
            if host.is_empty() || host.ends_with("localhost") || !host.contains('.') || host.parse::<IpAddr>().is_ok() {
                let why = format!(
                    "a public authority gives no certificate for {host}; give the server its public host name first"
                );
                return Err(unusable(Error::invalid, why));
            }
            let contact = wish.contact.as_deref().map(str::trim).filter(|contact| !contact.is_empty());
            row.contact = contact.map(|contact| format!("mailto:{}", contact.trim_start_matches("mailto:")));
            if row
                .contact
                .as_ref()
                .is_some_and(|c| !c.contains('@') || c.len() > 254 || c.contains(char::is_whitespace))
            {
                let (key, why) = (String::from("contact"), String::from("is an e-mail address"));
                return Err(Error::invalid(Text::BadArgument { key, why }));
            }
        }
        _ => {
            let (key, why) = (String::from("mode"), String::from("is own-ca, given or acme"));
            return Err(Error::invalid(Text::BadArgument { key, why }));
        }
    }
    cx.store.write(|tx| -> Result<(), Error> {
        tx.put_tls_choice(&row)?;
        auditing::record(tx, actor, "tls.choose", None, Some(json!({ "mode": row.mode })), now)
    })?;
    cx.ring_certificates();
    Ok(())
}

/// The chain that was given and its key, for whoever serves it.
pub(super) fn given(cx: &Context, row: &TlsChoiceRow) -> Result<(String, Secret<String>), Error> {
    let (Some(chain), Some(sealed)) = (&row.chain_pem, &row.sealed_key) else {
        return Err(Error::internal("a certificate was given, and is not there"));
    };
    let key = cx.open(KEY_PLACE, sealed)?;
    let key = PrivateKey::from_pkcs8_der(key.expose()).map_err(Error::internal)?.to_pem();
    Ok((chain.clone(), key))
}

/// What the running server asks of a certificate: the names that it goes by.
fn demands(cx: &Context) -> Result<Demands, Error> {
    let served = serving::find(cx)?.served;
    let names = served["names"].as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned));
    let mut names: Vec<String> = names.collect();
    if names.is_empty() {
        names.extend(school::find(cx)?.hostname);
    }
    let names = certifiable(names);
    Ok(Demands { names, publicly_trusted: None, roots: Vec::new() })
}

/// The loopback addresses stand on the school's own certificate for `localhost`; nobody else certifies them.
pub(super) fn certifiable(mut names: Vec<String>) -> Vec<String> {
    names.retain(|name| !name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()));
    names
}

fn only_certificates(pem: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for line in pem.lines() {
        let line = line.trim();
        inside |= line == "-----BEGIN CERTIFICATE-----";
        if inside {
            out.push_str(line);
            out.push('\n');
        }
        inside &= line != "-----END CERTIFICATE-----";
    }
    out
}

fn unusable(kind: fn(Text) -> Error, why: String) -> Error {
    kind(Text::TlsUnusable { source: String::from("what was chosen"), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_among_certificates_does_not_stay_in_the_clear() {
        let both = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----\nBBBB\n-----END CERTIFICATE-----\r\n";
        assert_eq!(only_certificates(both), "-----BEGIN CERTIFICATE-----\nBBBB\n-----END CERTIFICATE-----\n");
    }
}
