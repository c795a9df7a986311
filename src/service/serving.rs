//! The certificate that the listeners serve: where it comes from, whether it is good enough to be served, and its swap without a restart.
//!
//! A [`Keeper`] is made by `server` and stepped by `jobs`. Whatever is wrong with a new certificate, the old one stays in force and the
//! fault is told. Not here: making certificates of the school's own (`founding`), the ACME conversation (`acme`).

use super::acme::{self, Acme};
use super::founding::{self, TlsIdentity};
use super::ports::Doors;
use super::trust::{self, Trust};
use super::{Context, Error, events, tls_choice};
use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::base::time::{DAY, MINUTE, Timestamp};
use crate::pki::digest::sha256;
use crate::pki::keys::PrivateKey;
use crate::pki::server_trust::{is_good_for, is_publicly_trusted};
use crate::pki::x509::{Certificate, pem_to_ders};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Setting: what is wrong with the certificate that should be served, for doctor, health and the API.
const FAULT: &str = "tls_fault";
/// What [`Source::Given`] is called where something is wrong with it.
const GIVEN: &str = "what was given here";
/// Setting: what is served, for the same.
const SERVED: &str = "tls_served";
/// A fresh certificate may begin a little after our clock's time: nobody's clock is exact.
const SKEW: i64 = 10 * MINUTE;
/// Larger files hold no chain that anybody means.
const MAX_FILE: u64 = 1024 * 1024;

/// Where the certificate comes from.
pub enum Source {
    /// The school's own authority.
    OwnCa,
    /// Files of somebody else's, read again when they change.
    Files { certificate: PathBuf, key: PathBuf },
    /// One that was given here, in the database.
    Given,
    /// A certificate authority over the network. Until its first certificate is there, the school's own is served.
    Acme(Acme),
}

impl Source {
    fn as_str(&self) -> &'static str {
        match self {
            Source::OwnCa => "own-ca",
            Source::Files { .. } => "files",
            Source::Given => "given",
            Source::Acme(_) => "acme",
        }
    }
}

/// What a certificate must be, whoever issued it.
pub struct Demands {
    /// Names that it must be good for, the host name first.
    pub names: Vec<String>,
    /// Whether devices trust its root already; `None`: found out from the chain.
    pub publicly_trusted: Option<bool>,
    /// Roots that may stand above the chain, beside those that come with it.
    pub roots: Vec<Certificate>,
}

/// A chain with its key that may be served.
pub struct Judged {
    pub identity: TlsIdentity,
    pub trust: Trust,
    pub leaf: Certificate,
}

/// Reads and checks a chain and its key, as PEM.
///
/// # Errors
/// In words for an administrator, with what to do.
pub fn judge(chain: &str, key: &Secret<String>, demands: &Demands, now: Timestamp) -> Result<Judged, String> {
    let chain: Vec<Certificate> = pem_to_ders(chain)
        .iter()
        .map(|der| Certificate::parse(der).map_err(|_| String::from("a certificate in it cannot be read")))
        .collect::<Result<_, _>>()?;
    let leaf = chain.first().ok_or("there is no certificate in it (PEM, the server's own first)")?.clone();
    let key = PrivateKey::from_pem(key.expose()).map_err(|e| format!("the key cannot be used: {e}"))?;
    if !leaf.key_matches(&key) {
        return Err(String::from("the key does not belong to the first certificate; the server's own must come first"));
    }
    if leaf.not_after() < now {
        return Err(format!("the certificate ended on {}", leaf.not_after()));
    }
    if leaf.not_before() > now.plus(SKEW) {
        return Err(format!("the certificate is valid only from {}", leaf.not_before()));
    }
    if let Some(name) = demands.names.iter().find(|name| !is_good_for(&leaf, name)) {
        return Err(format!(
            "the certificate is not good for the name {name}; have one issued for all of: {}",
            demands.names.join(", ")
        ));
    }
    let roots = chain.iter().chain(&demands.roots).filter(|one| one.subject_der() == one.issuer_der());
    let mut anchors: Vec<Certificate> = Vec::new();
    for root in roots {
        let above = chain.iter().any(|one| one != root && one.issued_by(root)) || leaf == *root;
        if above && !anchors.contains(root) {
            anchors.push(root.clone());
        }
    }
    let served: Vec<Certificate> =
        chain.iter().filter(|one| **one == leaf || one.subject_der() != one.issuer_der()).cloned().collect();
    let name = demands.names.first().map_or("", String::as_str);
    let public = demands.publicly_trusted.unwrap_or_else(|| is_publicly_trusted(&served, name, now));
    let trust = if public {
        Trust::public()
    } else if anchors.is_empty() {
        return Err(String::from(
            "the chain ends in no public root, and the private root that it ends in is not there: add it as the last certificate of the \
             file, so that devices can be given it; or set tls.publicly_trusted = true if every device trusts it already",
        ));
    } else {
        Trust { publicly_trusted: false, anchors, intermediates: served.iter().skip(1).cloned().collect() }
    };
    let chain_der = served.iter().map(|one| one.der().to_vec()).collect();
    Ok(Judged { identity: TlsIdentity { chain_der, key_pkcs8: key.to_pkcs8_der() }, trust, leaf })
}

/// Watches one source and keeps the listeners on its newest good certificate.
pub struct Keeper {
    cx: Arc<Context>,
    doors: Option<Arc<dyn Doors>>,
    source: Source,
    demands: Demands,
    /// SHA-256 of what was last looked at, good or bad: the same again needs no second look.
    looked_at: Option<[u8; 32]>,
    /// Makes the source by ACME for this contact, where the choice of [`tls_choice`] counts and not the configuration.
    by_acme: Option<ByAcme>,
    /// The choice that `source` follows.
    followed: Option<Timestamp>,
}

/// Whom to ask for a public certificate, when that is what somebody chooses.
pub type ByAcme = Box<dyn Fn(Option<String>) -> Result<Acme, String> + Send>;

impl Keeper {
    pub fn new(cx: Arc<Context>, source: Source, demands: Demands) -> Self {
        Self { cx, doors: None, source, demands, looked_at: None, by_acme: None, followed: None }
    }

    /// The source is what somebody chooses here, and another one as soon as somebody chooses anew.
    pub fn following(mut self, by_acme: ByAcme) -> Self {
        self.by_acme = Some(by_acme);
        self
    }

    fn follow(&mut self) -> Result<(), Error> {
        let Some(by_acme) = &self.by_acme else { return Ok(()) };
        let Some(row) = self.cx.store.read(|db| db.find_tls_choice())? else { return Ok(()) };
        if self.followed == Some(row.chosen_at) {
            return Ok(());
        }
        self.source = match row.mode.as_str() {
            "given" => Source::Given,
            "acme" => Source::Acme(by_acme(row.contact.clone()).map_err(Error::internal)?),
            _ => Source::OwnCa,
        };
        (self.followed, self.looked_at) = (Some(row.chosen_at), None);
        Ok(())
    }

    /// What was given here, hashed, and what it is worth today.
    fn look_at_given(&self) -> Result<([u8; 32], Result<Judged, String>), Error> {
        let row = self.cx.store.read(|db| db.find_tls_choice())?;
        let row = row.ok_or_else(|| Error::internal("the certificate that was given is not there"))?;
        let (chain, key) = tls_choice::given(&self.cx, &row)?;
        let now = self.cx.now();
        // Once a day it is looked at again: it may have ended.
        let seen = sha256(format!("{} {} {chain}", row.chosen_at.0, now.0 / DAY).as_bytes());
        let Demands { names, publicly_trusted, roots } = &self.demands;
        let demands = Demands {
            names: tls_choice::certifiable(names.clone()),
            publicly_trusted: *publicly_trusted,
            roots: roots.clone(),
        };
        Ok((seen, judge(&chain, &key, &demands, now)))
    }

    /// The certificate to begin with.
    ///
    /// # Errors
    /// `Conflict` in plain words when files are configured and cannot be served: there is nothing older to fall back to.
    pub fn first(&mut self) -> Result<TlsIdentity, Error> {
        self.follow()?;
        let judged = match &self.source {
            Source::OwnCa => None,
            Source::Given => {
                let (seen, judged) = self.look_at_given()?;
                match judged.and_then(|judged| self.refuse_stranding(judged)) {
                    Ok(judged) => {
                        self.looked_at = Some(seen);
                        Some(judged)
                    }
                    // The server must start, so that a better one can be given: with the school's own meanwhile.
                    Err(why) => {
                        let own = self.own()?;
                        self.looked_at = Some(seen);
                        self.note_fault(GIVEN, why)?;
                        return Ok(own);
                    }
                }
            }
            Source::Files { certificate, key } => {
                let (seen, judged) = look(certificate, key, &self.demands, self.cx.now());
                self.looked_at = seen;
                let judged = judged.and_then(|judged| self.refuse_stranding(judged));
                let path = certificate.display().to_string();
                Some(judged.map_err(|why| Error::conflict(Text::TlsUnusable { source: path, why }))?)
            }
            Source::Acme(acme) => match acme::stored(&self.cx, acme, &self.demands)? {
                Some(judged) => Some(
                    self.refuse_stranding(judged)
                        .map_err(|why| Error::conflict(Text::TlsUnusable { source: acme.directory.clone(), why }))?,
                ),
                None => None,
            },
        };
        match judged {
            Some(judged) => {
                self.note_served(self.source.as_str(), &judged.leaf, Some(&judged.trust))?;
                Ok(judged.identity)
            }
            None => self.own(),
        }
    }

    /// Who serves what this keeper finds from now on.
    pub fn serve_at(&mut self, doors: Arc<dyn Doors>) {
        self.doors = Some(doors);
    }

    /// Looks once, and swaps if there is something new and good. ACME orders are made here, so it may take minutes.
    ///
    /// # Errors
    /// Faults of the store; what is wrong with a certificate is told and is no error.
    pub fn step(&mut self) -> Result<(), Error> {
        let now = self.cx.now();
        self.follow()?;
        match &self.source {
            Source::OwnCa => self.step_own(),
            Source::Given => {
                let (seen, judged) = self.look_at_given()?;
                if self.looked_at == Some(seen) {
                    return Ok(());
                }
                self.looked_at = Some(seen);
                self.take(judged, GIVEN)
            }
            Source::Files { certificate, key } => {
                let (seen, judged) = look(certificate, key, &self.demands, now);
                if seen.is_some() && seen == self.looked_at {
                    return Ok(());
                }
                let path = certificate.display().to_string();
                self.looked_at = seen;
                self.take(judged, &path)
            }
            Source::Acme(acme) => {
                if let Some(doors) = self.doors.clone()
                    && let Some(tried) = acme::renew_if_due(&self.cx, acme, &*doors, &self.demands)?
                {
                    let directory = acme.directory.clone();
                    return self.take(tried, &directory);
                }
                Ok(())
            }
        }
    }

    /// The school's own certificate when a third of its life is left, its authority or its names changed.
    fn step_own(&mut self) -> Result<(), Error> {
        let before = self.looked_at;
        let identity = self.own()?;
        if let (Some(doors), true) = (&self.doors, before != self.looked_at) {
            doors.serve(&identity).map_err(Error::internal)?;
            tracing::info!("a new certificate of the school's own authority is served");
        }
        Ok(())
    }

    fn own(&mut self) -> Result<TlsIdentity, Error> {
        let identity = founding::tls_identity(&self.cx, &self.demands.names)?;
        let first = identity.chain_der.first().ok_or_else(|| Error::internal("a chain without a certificate"))?;
        let seen = Some(sha256(&identity.chain_der.concat()));
        if self.looked_at != seen {
            let leaf = Certificate::parse(first).map_err(Error::internal)?;
            // Devices may be told by override that they trust it: a proxy with a public certificate stands before us.
            let public = Trust::public();
            let told = (self.demands.publicly_trusted == Some(true)).then_some(&public);
            self.note_served(Source::OwnCa.as_str(), &leaf, told)?;
            self.looked_at = seen;
        }
        Ok(identity)
    }

    /// Serves what was found, or tells what is wrong with it.
    fn take(&self, judged: Result<Judged, String>, from: &str) -> Result<(), Error> {
        let done = judged.and_then(|judged| self.refuse_stranding(judged)).and_then(|judged| {
            let doors = self.doors.as_ref().ok_or("no listener runs")?;
            doors.serve(&judged.identity)?;
            Ok(judged)
        });
        match done {
            Ok(judged) => {
                self.note_served(self.source.as_str(), &judged.leaf, Some(&judged.trust))?;
                tracing::info!(from, until = %judged.leaf.not_after(), "a new TLS certificate is served");
                Ok(())
            }
            Err(why) => self.note_fault(from, why),
        }
    }

    fn note_fault(&self, from: &str, why: String) -> Result<(), Error> {
        tracing::error!(from, why, "the new TLS certificate is not used; the old one stays");
        let fault = json!({ "from": from, "why": why, "at": self.cx.now().to_string() });
        self.cx.store.write(|tx| tx.put_setting(FAULT, &fault))?;
        let public = Text::TlsUnusable { source: from.to_owned(), why };
        events::tell_fault(&self.cx, "tls", &Error::conflict(public))
    }

    fn refuse_stranding(&self, judged: Judged) -> Result<Judged, String> {
        refuse_stranding(&self.cx, judged)
    }

    fn note_served(&self, source: &str, leaf: &Certificate, trust: Option<&Trust>) -> Result<(), Error> {
        trust::settle(&self.cx, trust)?;
        let served = json!({
            "source": source,
            "subject": leaf.subject(),
            "issuer": leaf.issuer(),
            "fingerprint": hex::encode(leaf.fingerprint()),
            "not_before": leaf.not_before().to_string(),
            "not_after": leaf.not_after().to_string(),
            "ends": leaf.not_after().0,
            "names": self.demands.names,
        });
        let held = self.cx.store.read(|db| Ok::<_, Error>((db.find_setting(SERVED)?, db.find_setting(FAULT)?)))?;
        let fault = held.1.is_some_and(|fault| !fault.is_null());
        if held.0.as_ref() != Some(&served) || fault {
            self.cx.store.write(|tx| {
                tx.put_setting(FAULT, &Value::Null)?;
                tx.put_setting(SERVED, &served)
            })?;
        }
        Ok(())
    }
}

/// Devices that hold none of a private chain's roots could never connect again.
pub(super) fn refuse_stranding(cx: &Context, judged: Judged) -> Result<Judged, String> {
    if judged.trust.publicly_trusted {
        return Ok(judged);
    }
    let roots: Vec<String> = judged.trust.anchors.iter().map(|root| hex::encode(root.fingerprint())).collect();
    match cx.store.read(|db| db.count_devices_without(&roots)) {
        Ok(0) => Ok(judged),
        Ok(devices) => Err(format!(
            "{devices} enrolled devices were never given its root and could not connect any more. Install the root on them in a \
             profile first; when they all have it, set tls.publicly_trusted = true"
        )),
        Err(e) => Err(e.to_string()),
    }
}

/// What the listeners serve, for people.
#[derive(Debug, Clone)]
pub struct State {
    /// `source`, `subject`, `issuer`, `fingerprint`, `not_before`, `not_after`, `names`; null before the first start.
    pub served: Value,
    pub publicly_trusted: bool,
    /// Subjects of the roots that profiles bring.
    pub anchors: Vec<String>,
    /// What is wrong with what should be served instead.
    pub fault: Option<String>,
}

/// What is served now.
pub fn find(cx: &Context) -> Result<State, Error> {
    let mut served = cx.store.read(|db| db.find_setting(SERVED))?.unwrap_or_default();
    if let Some(told) = served.as_object_mut() {
        told.remove("ends"); // the same as not_after, for this program
    }
    let trust = trust::current(cx)?;
    let anchors = trust.anchors.iter().map(Certificate::subject).collect();
    Ok(State { served, publicly_trusted: trust.publicly_trusted, anchors, fault: find_fault(cx)? })
}

/// Fingerprint in hex, subject and end of what is served, where the school's own authority did not issue it.
pub(super) fn find_foreign(cx: &Context) -> Result<Option<(String, String, Timestamp)>, Error> {
    let served = cx.store.read(|db| db.find_setting(SERVED))?.unwrap_or_default();
    let text = |key: &str| served.get(key).and_then(Value::as_str).map(str::to_owned);
    if text("source").is_none_or(|source| source == Source::OwnCa.as_str()) {
        return Ok(None);
    }
    let ends = served.get("ends").and_then(Value::as_i64).map(Timestamp);
    Ok(text("fingerprint").zip(text("subject")).zip(ends).map(|((fingerprint, name), ends)| (fingerprint, name, ends)))
}

/// Where the served certificate comes from, as in [`State::served`]; empty before the first start.
pub(super) fn find_source(cx: &Context) -> Result<String, Error> {
    let served = cx.store.read(|db| db.find_setting(SERVED))?.unwrap_or_default();
    Ok(served.get("source").and_then(Value::as_str).unwrap_or_default().to_owned())
}

/// What is wrong with the certificate that should be served, in one sentence.
pub fn find_fault(cx: &Context) -> Result<Option<String>, Error> {
    let fault = cx.store.read(|db| db.find_setting(FAULT))?.unwrap_or_default();
    let text = |key: &str| fault.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let words =
        || format!("The TLS certificate from {} is not used since {}: {}.", text("from"), text("at"), text("why"));
    Ok((!fault.is_null()).then(words))
}

/// A third of a certificate's life is left, or it ends within a day.
pub(super) fn is_due(leaf: &Certificate, now: Timestamp) -> bool {
    let life = leaf.not_after().since(leaf.not_before());
    let left = leaf.not_after().since(now);
    left <= life / 3 || left <= DAY.min(life / 2)
}

/// Both files, hashed, and what they are worth. No hash when they cannot be read: then they are looked at again.
fn look(
    certificate: &Path,
    key: &Path,
    demands: &Demands,
    now: Timestamp,
) -> (Option<[u8; 32]>, Result<Judged, String>) {
    let read = |path: &Path| -> Result<Secret<String>, String> {
        let fault = |e: std::io::Error| format!("{} cannot be read: {e}", path.display());
        if std::fs::metadata(path).map_err(fault)?.len() > MAX_FILE {
            return Err(format!("{} is too large to hold a certificate or key", path.display()));
        }
        std::fs::read_to_string(path).map(Secret::new).map_err(fault)
    };
    match (read(certificate), read(key)) {
        (Ok(chain), Ok(key)) => {
            let seen = sha256(&[sha256(chain.expose().as_bytes()), sha256(key.expose().as_bytes())].concat());
            (Some(seen), judge(chain.expose(), &key, demands, now))
        }
        (Err(why), _) | (_, Err(why)) => (Some(sha256(why.as_bytes())), Err(why)),
    }
}
