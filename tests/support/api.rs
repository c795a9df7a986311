//! Answers of the API, and calls to it over HTTPS with a token, as a script makes them.

use super::School;
use cordon::simulator::network::{Network, tls_config_at};
use cordon::simulator::wire::{Client, Request};
use serde_json::Value;
use std::sync::Arc;

/// One answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The JSON inside, which must have come with this status.
    #[track_caller]
    pub fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        if self.body.is_empty() { Value::Null } else { serde_json::from_slice(&self.body).unwrap() }
    }

    /// A problem of this status and id; its words.
    #[track_caller]
    pub fn is_problem(&self, status: u16, id: &str) -> String {
        let problem = self.is(status);
        assert_eq!(problem["id"], id, "{problem}");
        let kind = self.headers.iter().find(|(name, _)| name == "content-type").map(|(_, value)| value.as_str());
        assert_eq!(kind, Some("application/problem+json"));
        problem["detail"].as_str().unwrap().to_owned()
    }
}

impl School {
    /// One call over the people's HTTPS; `path` is whole. Trusts the school's own root and nothing else.
    pub fn https(&self, token: Option<&str>, method: &str, path: &str, body: &Value) -> Reply {
        let address = self.server().people().unwrap();
        let bearer = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<(&str, &str)> = bearer.iter().map(|b| ("Authorization", b.as_str())).collect();
        let url = format!("https://localhost:{}{path}", address.port()).parse().unwrap();
        let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
        let tls = tls_config_at(&[self.root()], None, &self.plan.clock).unwrap();
        let mut client = Client::new(Arc::new(Network::default()), tls);
        let answer = client.send(&Request { method, url: &url, headers: &headers, body: &body }).unwrap();
        Reply { status: answer.status, headers: answer.headers, body: answer.body }
    }

    /// A new API token of this role.
    pub fn token(&self, role: &str) -> String {
        let made = self.api("POST", "/tokens", &serde_json::json!({ "name": role, "role": role })).is(201);
        made["token"].as_str().unwrap().to_owned()
    }

    /// DER of the school's root certificate.
    pub fn root(&self) -> Vec<u8> {
        self.server().context().authorities().root.der().to_vec()
    }
}
