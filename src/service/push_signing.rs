//! Getting a push certificate request signed: Apple's portal takes only requests that an MDM vendor signed. A vendor certificate of the
//! caller's own does it here and now; mdmcert.download does it for anybody and answers by mail, encrypted.
//!
//! Called by the API. Not here: the request itself and the import of what Apple makes of it (`push_certificates`).

use super::actor::{Actor, Permission};
use super::ports::{Post, PostResult, WebhookSender};
use super::push_certificates::{self, pem};
use super::{Context, Error, auditing};
use crate::base::limits::MAX_WEBHOOK_ANSWER;
use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::pki::cms;
use crate::pki::csr::Csr;
use crate::pki::digest::DigestKind;
use crate::pki::keys::PrivateKey;
use crate::pki::templates;
use crate::pki::x509::{Certificate, pem_to_ders};
use crate::plist::{Dictionary, Value, parse, to_xml};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use std::sync::{Arc, mpsc};

/// Where requests are signed for anybody who registered an address and a key there.
pub const MDMCERT_URL: &str = "https://mdmcert.download";
/// A mail may wait over the holidays; the key that opens it need not last longer.
const MAIL_DAYS: i64 = 180;

/// What asks mdmcert.download.
pub struct SigningService {
    pub sender: Arc<dyn WebhookSender>,
    /// Without a trailing slash.
    pub url: String,
}

/// A vendor's certificate with its chain, and the key; used once and not kept.
pub struct Vendor {
    pub chain_pem: String,
    pub key_pem: Secret<String>,
}

/// A request that Apple's portal takes.
#[derive(Debug)]
pub struct Signed {
    pub csr_pem: String,
    /// What to upload at identity.apple.com/pushcert: base64 of a property list.
    pub upload: String,
    /// Things that are odd but not wrong.
    pub warnings: Vec<&'static str>,
}

/// Makes a key and a request, and signs the request with the vendor's key.
///
/// # Errors
/// `Invalid` when vendor certificate and key are unreadable or do not belong together.
pub fn sign(cx: &Context, actor: &Actor, email: Option<&str>, vendor: &Vendor) -> Result<Signed, Error> {
    actor.require(Permission::Administer)?;
    let unreadable = |why: String| Error::invalid(Text::VendorUnusable { why });
    let chain = pem_to_ders(&vendor.chain_pem);
    let first = chain.first().ok_or_else(|| unreadable(String::from("the file holds no certificate")))?;
    let certificate = Certificate::parse(first).map_err(|e| unreadable(e.to_string()))?;
    let key = PrivateKey::from_pem(vendor.key_pem.expose()).map_err(|e| unreadable(e.to_string()))?;
    if !certificate.key_matches(&key) {
        return Err(unreadable(String::from("the key does not belong to the certificate")));
    }
    if !key.is_rsa() {
        return Err(unreadable(String::from("vendor certificates have RSA keys, this one has not")));
    }
    let mut warnings = Vec::new();
    if certificate.not_after() < cx.now() {
        return Err(unreadable(format!("the vendor certificate expired at {}", certificate.not_after())));
    }
    if !certificate.issuer().contains("Apple") {
        warnings.push("This vendor certificate was not issued by Apple; Apple's portal will not accept the request.");
    }
    if chain.len() < 3 {
        warnings.push("Apple's portal wants the whole chain: the vendor certificate, Apple's WWDR intermediate and Apple's root. Add the ones that are missing to the file.");
    }
    let asked = push_certificates::ask(cx, email)?;
    let signature = key.sign(DigestKind::Sha256, &asked.der).map_err(Error::internal)?;
    let mut request = Dictionary::new();
    let mut put = |name: &str, text: String| request.insert(name.to_owned(), Value::String(text));
    put("PushCertRequestCSR", BASE64_STANDARD.encode(&asked.der));
    put("PushCertCertificateChain", chain.iter().map(|der| pem("CERTIFICATE", der)).collect());
    put("PushCertSignature", BASE64_STANDARD.encode(signature));
    let upload = BASE64_STANDARD.encode(to_xml(&Value::Dictionary(request)));
    let now = cx.now();
    cx.store.write(|tx| {
        asked.keep(tx, now)?;
        let detail = json!({ "signed_by": certificate.subject() });
        auditing::record(tx, actor, "push-certificate.request", None, Some(detail), now)
    })?;
    Ok(Signed { csr_pem: asked.pem, upload, warnings })
}

/// Makes a key and a request and sends the request to mdmcert.download, whose answer comes by mail to `email`. Returns the request (PEM).
///
/// # Errors
/// `Conflict` when no request can be sent from here or the service refuses; `Busy` when it cannot be reached.
pub fn send(
    cx: &Context,
    actor: &Actor,
    service: Option<&SigningService>,
    email: &str,
    api_key: &Secret<String>,
) -> Result<String, Error> {
    actor.require(Permission::Administer)?;
    let service = service.ok_or_else(|| Error::conflict(Text::NoSigningService))?;
    if !email.contains('@') || email.len() > 254 {
        let (key, why) =
            (String::from("email"), String::from("must be the address that you registered at mdmcert.download"));
        return Err(Error::invalid(Text::BadArgument { key, why }));
    }
    let asked = push_certificates::ask(cx, Some(email))?;
    // The mail's key is not the push key: who reads the mail later learns a signed request, nothing more.
    let (certificate, key) =
        templates::new_mail_recipient(cx.now(), MAIL_DAYS, &*cx.random).map_err(Error::internal)?;
    let now = cx.now();
    let sealed = cx.seal(&mail_place(&asked.hash), key.to_pkcs8_der().expose());
    // Kept before it is sent: the answer may come whatever happens to this request.
    cx.store.write(|tx| {
        asked.keep(tx, now)?;
        tx.insert_signing_request(&asked.hash, certificate.der(), &sealed, email, now)?;
        let detail = json!({ "signed_by": service.url, "email": email });
        auditing::record(tx, actor, "push-certificate.request", None, Some(detail), now)
    })?;
    let body = json!({
        "csr": BASE64_STANDARD.encode(&asked.pem),
        "email": email,
        "key": api_key.expose(),
        "encrypt": BASE64_STANDARD.encode(pem("CERTIFICATE", certificate.der())),
    });
    let post = Post {
        url: format!("{}/api/v1/signrequest", service.url),
        headers: vec![("content-type", String::from("application/json"))],
        body: body.to_string(),
    };
    match exchange(&*service.sender, post)? {
        PostResult::Unreached { why } => {
            Err(Error::new(super::Kind::Busy, Text::SigningServiceUnreached { url: service.url.clone(), why }))
        }
        PostResult::Answered { status, excerpt } => match refusal(status, &excerpt) {
            None => Ok(asked.pem),
            Some(why) => Err(Error::conflict(Text::SigningServiceRefused { url: service.url.clone(), why })),
        },
    }
}

/// Opens the attachment of the mail: the request, signed and ready for Apple's portal.
///
/// # Errors
/// `Invalid` when the file is something else or answers no request that was made here.
pub fn open(cx: &Context, actor: &Actor, attachment: &str) -> Result<Signed, Error> {
    actor.require(Permission::Administer)?;
    let unreadable = |why: &str| Error::invalid(Text::SignedRequestUnreadable { why: why.to_owned() });
    let text: String = attachment.chars().filter(|c| !c.is_whitespace()).collect();
    let message =
        hex::decode(&text).map_err(|_| unreadable("it is not the text of hexadecimal digits that the mail brings"))?;
    let waiting = cx.store.read(|db| db.list_signing_requests())?;
    if waiting.is_empty() {
        return Err(unreadable("no request of this Cordon was sent to mdmcert.download"));
    }
    // Which key it is for is tried: there are a handful at most, and the message may name its recipient in ways that differ.
    for row in waiting {
        let certificate = Certificate::parse(&row.certificate).map_err(Error::internal)?;
        let key = PrivateKey::from_pkcs8_der(cx.open(&mail_place(&row.push_request), &row.sealed_key)?.expose())
            .map_err(Error::internal)?;
        let Ok((plain, _)) = cms::open_envelope(&message, &certificate, &key) else { continue };
        let Some(csr_pem) = csr_inside(&plain, &row.push_request) else { continue };
        let upload = String::from_utf8(plain).map_err(|_| unreadable("what is inside is not text"))?;
        return Ok(Signed { csr_pem, upload: upload.trim().to_owned(), warnings: Vec::new() });
    }
    Err(unreadable("it does not open with the key of any request that was made here, or holds another request"))
}

/// Why the service said no; it answers 200 also then.
fn refusal(status: u16, answer: &str) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_str(answer).unwrap_or_default();
    let said = |key: &str| answer[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    match (status, said("result").as_deref()) {
        (200..=299, Some("success")) => None,
        (status, result) => {
            let result = result.map(str::to_owned);
            Some(said("reason").or(result).unwrap_or_else(|| format!("it answered with status {status}")))
        }
    }
}

fn exchange(sender: &dyn WebhookSender, post: Post) -> Result<PostResult, Error> {
    let (tell, told) = mpsc::channel();
    let done = Box::new(move |results: Vec<PostResult>| drop(tell.send(results)));
    sender.send(vec![post], done).map_err(Error::internal)?;
    let results = told.recv().map_err(Error::internal)?;
    let result = results.into_iter().next();
    Ok(result.unwrap_or_else(|| PostResult::Unreached { why: String::from("the server is stopping") }))
}

/// The request (PEM) in an upload file, if it is the one with this key.
fn csr_inside(upload: &[u8], key_hash: &[u8; 32]) -> Option<String> {
    let text: String = std::str::from_utf8(upload).ok()?.split_whitespace().collect();
    let plist = BASE64_STANDARD.decode(text).ok()?;
    let dict = parse(&plist).ok()?.into_dictionary()?;
    let held = |name: &str| dict.get(name).and_then(Value::as_string).filter(|text| !text.is_empty());
    held("PushCertCertificateChain")?;
    held("PushCertSignature")?;
    let csr: String = held("PushCertRequestCSR")?.split_whitespace().collect();
    let der = BASE64_STANDARD.decode(csr).ok()?;
    let request = Csr::parse(&der).ok()?;
    (request.public_key_hash() == *key_hash).then(|| pem("CERTIFICATE REQUEST", &der))
}

fn mail_place(hash: &[u8; 32]) -> String {
    format!("signing-request/{}", hex::encode(hash))
}

// The service's answer is a line of JSON; what is read of it is bounded where it is read.
const _: () = assert!(MAX_WEBHOOK_ANSWER >= 1024);

#[cfg(test)]
mod tests {
    use super::refusal;

    #[test]
    fn what_the_service_says() {
        let table = [
            (200, r#"{"result":"success"}"#, None),
            (200, r#"{"result":"failure","reason":"unknown email"}"#, Some("unknown email")),
            (200, r#"{"result":"failure"}"#, Some("failure")),
            (403, r#"{"reason":"bad key"}"#, Some("bad key")),
            (502, "<html>", Some("it answered with status 502")),
            (200, "", Some("it answered with status 200")),
        ];
        for (status, answer, expected) in table {
            assert_eq!(refusal(status, answer).as_deref(), expected, "{status} {answer}");
        }
    }
}
