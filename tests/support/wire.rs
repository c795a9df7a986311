//! Requests at the device edge that no well-behaved device makes: any certificate, any body, any header.

use super::School;
use cordon::plist::{Dictionary, Value, to_xml};
use cordon::simulator::network::{ClientIdentity, Network, Url, tls_config, tls_config_at};
use cordon::simulator::wire::{Answer, Client, Request};
use std::sync::Arc;

pub const CHECKIN: &str = "/mdm/checkin";
pub const COMMAND: &str = "/mdm/command";

/// A certificate chain, leaf first, and the PKCS#8 key of the leaf.
#[derive(Clone)]
pub struct Identity {
    pub chain: Vec<Vec<u8>>,
    pub key: Vec<u8>,
}

/// A connection to one listener.
pub struct Caller {
    client: Client,
    base: String,
}

impl School {
    /// To the devices' TLS door, showing this identity.
    pub fn caller(&self, identity: Option<&Identity>) -> Caller {
        let shown = identity.map(|i| ClientIdentity { chain: &i.chain, key_pkcs8: &i.key });
        let tls = tls_config_at(&[self.root()], shown, &self.plan.clock).unwrap();
        let base = format!("https://localhost:{}", self.server().devices().unwrap().port());
        Caller { client: Client::new(Arc::new(Network::default()), tls), base }
    }

    /// To the proxied listener, as the proxy.
    pub fn proxy(&self) -> Caller {
        let tls = tls_config(&[self.root()], None).unwrap();
        let base = format!("http://127.0.0.1:{}", self.server().proxied().unwrap().port());
        Caller { client: Client::new(Arc::new(Network::default()), tls), base }
    }
}

impl Caller {
    pub fn put(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let url: Url = format!("{}{path}", self.base).parse().unwrap();
        self.client.send(&Request { method: "PUT", url: &url, headers, body }).unwrap()
    }

    /// A check-in message; the status.
    pub fn check_in(&mut self, body: &[u8]) -> Answer {
        self.put(CHECKIN, &[("Content-Type", "application/x-apple-aspen-mdm-checkin")], body)
    }

    /// A report.
    pub fn report(&mut self, body: &[u8]) -> Answer {
        self.put(COMMAND, &[("Content-Type", "application/x-apple-aspen-mdm; charset=UTF-8")], body)
    }
}

pub fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

fn message(first: (&str, &str), udid: &str, more: &[(&str, Value)]) -> Vec<u8> {
    let mut body = Dictionary::new();
    body.insert(first.0.to_owned(), text(first.1));
    body.insert("UDID".to_owned(), text(udid));
    for (key, value) in more {
        body.insert((*key).to_owned(), value.clone());
    }
    to_xml(&Value::Dictionary(body))
}

/// The bytes of a check-in message.
pub fn check_in(message_type: &str, udid: &str, more: &[(&str, Value)]) -> Vec<u8> {
    message(("MessageType", message_type), udid, more)
}

/// The bytes of a report without a result.
pub fn idle(udid: &str) -> Vec<u8> {
    message(("Status", "Idle"), udid, &[])
}

/// The bytes of a result.
pub fn result(status: &str, udid: &str, command_uuid: &str, more: &[(&str, Value)]) -> Vec<u8> {
    let mut keys = vec![("CommandUUID", text(command_uuid))];
    keys.extend_from_slice(more);
    message(("Status", status), udid, &keys)
}

/// The bytes of a report of any status, with these keys besides.
pub fn message_of(status: &str, udid: &str, command_uuid: Option<&str>, more: &[(&str, Value)]) -> Vec<u8> {
    match command_uuid {
        Some(uuid) => result(status, udid, uuid, more),
        None => message(("Status", status), udid, more),
    }
}

/// The CommandUUID in a command that was handed out; none in an empty answer.
pub fn command_uuid(answer: &Answer) -> Option<String> {
    assert_eq!(answer.status, 200);
    if answer.body.is_empty() {
        return None;
    }
    Some(cordon::plist::parse_dict(&answer.body).unwrap().string("CommandUUID").unwrap().to_owned())
}
