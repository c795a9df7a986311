//! Push certificates: requests, imports with every check, and the guard against a changed topic.

use super::actor::{Actor, Permission};
use super::ports::{PushCredential, PushSender};
use super::{Context, Error, auditing, school};
use crate::base::push::Topic;
use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::base::time::Timestamp;
use crate::pki::csr;
use crate::pki::digest::sha256;
use crate::pki::keys::PrivateKey;
use crate::pki::x509::{Certificate, pem_to_ders};
use crate::store::{NewPushCertificate, PushCertificateRow, Tx};
use base64::Engine;
use serde_json::json;

/// What an import brought.
#[derive(Debug)]
pub struct Imported {
    pub certificate: PushCertificateRow,
    /// Things that are odd but not wrong.
    pub warnings: Vec<&'static str>,
}

/// The certificates that are here, the current one first.
pub fn list(cx: &Context, actor: &Actor) -> Result<Vec<PushCertificateRow>, Error> {
    actor.require(Permission::LookAround)?;
    cx.store.read(|db| Ok(db.list_push_certificates()?))
}

/// A key and a certificate request that are not kept yet.
pub(super) struct Asked {
    pub der: Vec<u8>,
    pub pem: String,
    /// SHA-256 of the public key, by which the certificate that comes back finds its key.
    pub hash: [u8; 32],
    sealed: Vec<u8>,
}

impl Asked {
    pub fn keep(&self, tx: &Tx<'_>, now: Timestamp) -> Result<(), Error> {
        Ok(tx.insert_push_request(&self.hash, &self.sealed, &self.pem, now)?)
    }
}

/// Makes a key and a certificate request (PEM). The key never leaves the database; the certificate that comes back finds it.
///
/// # Errors
/// `Denied` without the right.
pub fn request(cx: &Context, actor: &Actor, email: Option<&str>) -> Result<String, Error> {
    actor.require(Permission::Administer)?;
    let asked = ask(cx, email)?;
    let now = cx.now();
    cx.store.write(|tx| {
        asked.keep(tx, now)?;
        auditing::record(tx, actor, "push-certificate.request", None, None, now)
    })?;
    Ok(asked.pem)
}

/// RSA-2048 and the subject that the portal expects: C, CN, emailAddress.
pub(super) fn ask(cx: &Context, email: Option<&str>) -> Result<Asked, Error> {
    let organization = school::organization(cx)?;
    let key = PrivateKey::generate_rsa(2048).map_err(Error::internal)?;
    let mut subject = vec![("CN", organization.as_str()), ("C", "US")];
    if let Some(email) = email {
        subject.push(("emailAddress", email));
    }
    let der = csr::create(&key, &subject, None);
    let pem = pem("CERTIFICATE REQUEST", &der);
    let hash = sha256(&key.spki_der());
    let sealed = cx.seal(&request_place(&hash), key.to_pkcs8_der().expose());
    Ok(Asked { der, pem, hash, sealed })
}

/// Takes a push certificate in: key match, topic, dates, and no topic change under enrolled devices unless `additional`.
///
/// # Errors
/// `Invalid` or `Conflict`, each with what to do.
pub fn import(
    cx: &Context,
    actor: &Actor,
    certificate_pem: &str,
    key_pem: Option<&str>,
    additional: bool,
    apple_account: Option<&str>,
) -> Result<Imported, Error> {
    actor.require(Permission::Administer)?;
    let unreadable = |why: String| Error::invalid(Text::PushCertificateUnreadable { why });
    let ders = pem_to_ders(certificate_pem);
    let first = ders.first().ok_or_else(|| unreadable(String::from("it holds no certificate")))?;
    let certificate = Certificate::parse(first).map_err(|e| unreadable(e.to_string()))?;
    let topic = certificate.subject_uid().and_then(|uid| Topic::new(&uid).ok());
    let topic = topic.ok_or_else(|| Error::invalid(Text::PushCertificateNoTopic))?;
    check_dates(cx, &certificate)?;
    let key = find_key(cx, &certificate, key_pem.unwrap_or(certificate_pem))?;
    if !certificate.key_matches(&key) {
        return Err(Error::invalid(Text::PushKeyMismatch));
    }

    let account = apple_account.map(str::trim).filter(|account| !account.is_empty());
    if account.is_some_and(|account| account.len() > 254 || account.chars().any(char::is_control)) {
        let (key, why) = (String::from("apple_account"), String::from("must be the address of an Apple Account"));
        return Err(Error::invalid(Text::BadArgument { key, why }));
    }

    let mut warnings = Vec::new();
    if !certificate.issuer().contains("Apple") {
        warnings.push("This certificate was not issued by Apple; Apple's push service will not accept it.");
    }
    let now = cx.now();
    let sealed_key = cx.seal(&key_place(&topic), key.to_pkcs8_der().expose());
    let chain_pem: String = ders.iter().map(|der| pem("CERTIFICATE", der)).collect();
    let subject = certificate.subject();
    cx.store.write(|tx| {
        let held = tx.list_topics_in_use()?;
        let strange = held.iter().find(|(held, _)| held != topic.as_str());
        let known = tx.has_push_certificate(topic.as_str())?;
        if let (false, false, Some((held, devices))) = (additional, known, strange) {
            let (new, held, devices) = (topic.to_string(), held.clone(), *devices);
            let rows = tx.list_push_certificates()?;
            let account = rows.into_iter().find(|row| row.topic == held).and_then(|row| row.apple_account);
            return Err(Error::conflict(Text::PushTopicChanged { new, held, devices, account }));
        }
        let current = tx.find_current_push_certificate()?;
        let new = NewPushCertificate {
            topic: topic.as_str(),
            chain_pem: &chain_pem,
            sealed_key: &sealed_key,
            subject: &subject,
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
            current: !additional || current.is_none(),
            apple_account: account,
        };
        tx.put_push_certificate(&new, now)?;
        tx.hasten_owed_pushes(now)?;
        let detail = json!({ "not_after": certificate.not_after().to_string(), "additional": additional,
            "apple_account": account });
        auditing::record(tx, actor, "push-certificate.import", Some(topic.as_str()), Some(detail), now)
    })?;
    let row = cx.store.read(|db| db.list_push_certificates())?.into_iter().find(|row| row.topic == topic.as_str());
    let certificate = row.ok_or_else(|| Error::internal("the push certificate just written is not there"))?;
    Ok(Imported { certificate, warnings })
}

/// Hands every certificate to the sender: at start and after an import.
pub fn load(cx: &Context, sender: &dyn PushSender) -> Result<(), Error> {
    for row in cx.store.read(|db| db.list_push_certificates())? {
        let topic = Topic::new(&row.topic).map_err(Error::internal)?;
        let key_pkcs8 = cx.open(&key_place(&topic), &row.sealed_key)?;
        let chain_der = pem_to_ders(&row.chain_pem);
        sender.set_credential(&topic, PushCredential { chain_der, key_pkcs8 });
    }
    Ok(())
}

/// Whether the sealed key opens and is the certificate's; asked when a copy is proven.
pub(super) fn key_fits(cx: &Context, row: &PushCertificateRow) -> Result<bool, Error> {
    let topic = Topic::new(&row.topic).map_err(Error::internal)?;
    let certificate = Certificate::parse_pem(&row.chain_pem).map_err(Error::internal)?;
    let key =
        cx.open(&key_place(&topic), &row.sealed_key).ok().and_then(|key| PrivateKey::from_pkcs8_der(key.expose()).ok());
    Ok(key.is_some_and(|key| certificate.key_matches(&key)))
}

fn check_dates(cx: &Context, certificate: &Certificate) -> Result<(), Error> {
    // With a clock that runs behind, dates cannot be judged; the certificate is taken, and doctor says why.
    if cx.clock_is_behind().is_some() {
        return Ok(());
    }
    let now = cx.now();
    if certificate.not_after() < now {
        return Err(Error::invalid(Text::PushCertificateExpired { at: certificate.not_after().to_string() }));
    }
    if certificate.not_before() > now {
        return Err(Error::invalid(Text::PushCertificateNotYetValid { at: certificate.not_before().to_string() }));
    }
    Ok(())
}

/// The key beside the certificate, else the one that our own request left here.
fn find_key(cx: &Context, certificate: &Certificate, text: &str) -> Result<PrivateKey, Error> {
    if text.contains("PRIVATE KEY") {
        return PrivateKey::from_pem(text)
            .map_err(|e| Error::invalid(Text::PushCertificateUnreadable { why: e.to_string() }));
    }
    let hash = sha256(certificate.spki_der());
    let sealed = cx.store.read(|db| db.find_push_request(&hash))?;
    let sealed = sealed.ok_or_else(|| Error::invalid(Text::PushCertificateWithoutKey))?;
    PrivateKey::from_pkcs8_der(cx.open(&request_place(&hash), &sealed)?.expose()).map_err(Error::internal)
}

fn key_place(topic: &Topic) -> String {
    format!("push-certificate/{topic}")
}

fn request_place(hash: &[u8; 32]) -> String {
    format!("push-request/{}", hex::encode(hash))
}

/// PEM with lines of 64 characters, as Apple's portal wants them.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let text = Secret::new(base64::prelude::BASE64_STANDARD.encode(der));
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in text.expose().as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}
