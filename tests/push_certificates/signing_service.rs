//! A stand-in for mdmcert.download, as strict as its interface is known: it checks the request, signs it as a vendor would, and keeps the
//! attachment of the mail that it would send.

use super::{Vendor, der_inside};
use crate::support::Shared;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cordon::pki::SystemRandom;
use cordon::pki::cms::{self, ContentCipher};
use cordon::pki::csr::Csr;
use cordon::pki::digest::DigestKind;
use cordon::pki::keys::PrivateKey;
use cordon::pki::x509::Certificate;
use cordon::plist::{Dictionary, Value as Plist, to_xml};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

pub struct SigningStandIn {
    pub url: String,
    /// The certificate to encrypt to, and the last attachment.
    sent: Shared<Vec<(Vec<u8>, String)>>,
}

impl SigningStandIn {
    /// Knows one address and its key.
    pub fn start(email: &'static str, api_key: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let sent: Shared<Vec<(Vec<u8>, String)>> = Shared::default();
        let mails = Arc::clone(&sent);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (head, body) = receive(&stream.as_ref().unwrap().try_clone().unwrap());
                let answer = judge(&head, &body, email, api_key, &mails);
                let answer = answer.map_or_else(
                    |reason| json!({ "result": "failure", "reason": reason }),
                    |()| json!({ "result": "success" }),
                );
                let text = answer.to_string();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                    text.len()
                );
                let _ = stream.unwrap().write_all(format!("{head}{text}").as_bytes());
            }
        });
        Self { url, sent }
    }

    /// The attachment of the last mail.
    pub fn mail(&self) -> String {
        self.sent.lock().unwrap().last().unwrap().1.clone()
    }

    /// A mail to the last asker with something else inside.
    pub fn mail_with(&self, upload: &str) -> String {
        let recipient = self.sent.lock().unwrap().last().unwrap().0.clone();
        attachment(upload, &recipient)
    }
}

fn receive(stream: &TcpStream) -> (String, Vec<u8>) {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (head, body)
}

fn judge(
    head: &str,
    body: &[u8],
    email: &str,
    api_key: &str,
    mails: &Shared<Vec<(Vec<u8>, String)>>,
) -> Result<(), String> {
    if !head.starts_with("POST /api/v1/signrequest HTTP/1.1") {
        return Err(format!("wrong request {head}"));
    }
    if !head.to_ascii_lowercase().contains("content-type: application/json") {
        return Err("wrong content type".into());
    }
    let asked: Value = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    let text = |key: &str| asked[key].as_str().ok_or_else(|| format!("{key} is missing"));
    if text("key")? != api_key {
        return Err("unknown api key".into());
    }
    if text("email")? != email {
        return Err("unknown email".into());
    }
    let pem = |key: &str, label: &str| {
        let bytes = BASE64_STANDARD.decode(text(key)?).map_err(|e| e.to_string())?;
        let pem = String::from_utf8(bytes).map_err(|e| e.to_string())?;
        if !pem.starts_with(&format!("-----BEGIN {label}-----")) {
            return Err(format!("{key} is no PEM"));
        }
        Ok(der_inside(&pem))
    };
    let (csr, recipient) = (pem("csr", "CERTIFICATE REQUEST")?, pem("encrypt", "CERTIFICATE")?);
    Csr::parse(&csr).map_err(|e| e.to_string())?;
    let upload = file_for_the_portal(&Vendor::new(), &csr);
    let mail = attachment(&upload, &recipient);
    mails.lock().unwrap().push((recipient, mail));
    Ok(())
}

/// What a vendor makes of a request.
pub fn file_for_the_portal(vendor: &Vendor, csr: &[u8]) -> String {
    let key = PrivateKey::from_pem(&vendor.key_pem).unwrap();
    let signature = key.sign(DigestKind::Sha256, csr).unwrap();
    let mut plist = Dictionary::new();
    plist.insert("PushCertRequestCSR".into(), Plist::String(BASE64_STANDARD.encode(csr)));
    // Unix line ends, lines of 64: as rcgen writes PEM, once its carriage returns are gone.
    plist.insert("PushCertCertificateChain".into(), Plist::String(vendor.chain_pem.replace('\r', "")));
    plist.insert("PushCertSignature".into(), Plist::String(BASE64_STANDARD.encode(signature)));
    BASE64_STANDARD.encode(to_xml(&Plist::Dictionary(plist)))
}

/// Hexadecimal text of a message that only the asker can open.
fn attachment(upload: &str, recipient: &[u8]) -> String {
    let recipient = Certificate::parse(recipient).unwrap();
    hex::encode(cms::envelope(upload.as_bytes(), &recipient, ContentCipher::Aes256Cbc, &SystemRandom).unwrap())
}
