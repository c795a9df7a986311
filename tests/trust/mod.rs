//! What a device is given so that it trusts the school, and which certificate it meets: profiles, `/MDMServiceConfig`, certificates of
//! others, and ACME.

mod acme;
mod files;
mod profiles;
mod service_config;

use crate::support::School;
use crate::support::api::Reply;
use cordon::simulator::network::{Network, tls_config};
use cordon::simulator::wire::{Client, Request};
use std::sync::Arc;

/// The SHA-256 of the certificate that a listener shows, as seen by a client that trusts these roots for `localhost`; or why not.
fn try_get(school: &School, roots: &[Vec<u8>], path: &str) -> Result<Reply, String> {
    let url = format!("https://localhost:{}{path}", school.server().people().unwrap().port()).parse().unwrap();
    let mut client = Client::new(Arc::new(Network::default()), tls_config(roots, None).unwrap());
    let request = Request { method: "GET", url: &url, headers: &[], body: b"" };
    let answer = client.send(&request).map_err(|e| e.to_string())?;
    Ok(Reply { status: answer.status, headers: answer.headers, body: answer.body })
}

fn get(school: &School, path: &str) -> Reply {
    try_get(school, &[school.root()], path).unwrap()
}

fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    reply.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}
