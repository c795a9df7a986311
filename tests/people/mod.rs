//! Who may do what: roles, logging in, sessions, the recovery code. Most of it is asked of the door itself, without sockets and with
//! a clock that is turned by hand; the recovery code also of the real program.

mod asvs;
mod audit;
mod recovery;
mod roles;
mod sessions;

use cordon::base::secret::Secret;
use cordon::base::time::{ManualClock, Timestamp};
use cordon::http::message::{Body, Door, Handler, Remote, Request};
use cordon::http::routes::Front;
use cordon::pki::SystemRandom;
use cordon::pki::stretching::Cost;
use cordon::service::actor::Actor;
use cordon::service::founding::{self, Place};
use cordon::service::{Context, people};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Everybody's password here.
pub const PASSWORD: &str = "tin roof in may";

/// A school behind its door.
pub struct House {
    pub cx: Arc<Context>,
    pub clock: Arc<ManualClock>,
    front: Front,
    directory: tempfile::TempDir,
}

pub struct Reply {
    pub status: u16,
    pub body: Value,
    pub headers: Vec<(&'static str, String)>,
}

impl Reply {
    /// The stable id of a refusal.
    pub fn id(&self) -> &str {
        self.body["id"].as_str().unwrap_or_default()
    }
}

fn open(directory: &tempfile::TempDir, clock: &Arc<ManualClock>) -> (Arc<Context>, Front) {
    let place = Place::in_directory(directory.path());
    let mut cx = founding::open(&place, Arc::clone(clock) as _, Arc::new(SystemRandom)).unwrap();
    cx.password_cost = Cost::LEAST;
    let cx = Arc::new(cx);
    let front = Front::new(Arc::clone(&cx), vec![IpAddr::from([127, 0, 0, 1])], None);
    (cx, front)
}

impl House {
    pub fn new() -> House {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_795_000_000)));
        let (cx, front) = open(&directory, &clock);
        House { cx, clock, front, directory }
    }

    /// Stops and starts again on the same file, as after a crash.
    pub fn restart(&mut self) {
        // The file's lock goes with the last who holds it.
        let empty = tempfile::tempdir().unwrap();
        let (cx, front) = open(&empty, &self.clock);
        drop((std::mem::replace(&mut self.cx, cx), std::mem::replace(&mut self.front, front)));
        (self.cx, self.front) = open(&self.directory, &self.clock);
    }

    pub fn local() -> Actor {
        Actor::LocalShell { user: String::from("root") }
    }

    /// Somebody who may log in, with [`PASSWORD`].
    pub fn person(&self, name: &str, role: &str) {
        people::create(&self.cx, &House::local(), name, role, &Secret::new(PASSWORD.to_owned())).unwrap();
    }

    /// One request through the people's listener, from a documentation address.
    pub fn ask(&self, token: Option<&str>, method: &str, target: &str, body: &Value) -> Reply {
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            headers.insert("authorization", HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
        }
        self.send(Door::People, "192.0.2.7:1234", headers, method, target, body)
    }

    pub fn send(&self, door: Door, from: &str, headers: HeaderMap, method: &str, target: &str, body: &Value) -> Reply {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.send_bytes(door, from, headers, (method, target), bytes)
    }

    /// As [`House::send`] with a body of any kind.
    pub fn send_bytes(
        &self,
        door: Door,
        from: &str,
        headers: HeaderMap,
        (method, target): (&str, &str),
        bytes: Vec<u8>,
    ) -> Reply {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query.to_owned())));
        let response = self.front.handle(Request {
            id: 1,
            door,
            remote: Remote::Tcp(from.parse::<SocketAddr>().unwrap()),
            method: Method::from_bytes(method.to_ascii_uppercase().as_bytes()).unwrap(),
            path: path.to_owned(),
            query,
            headers,
            peer_certificate: None,
            body: Body { bytes, oversized: false },
        });
        let body = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
        Reply { status: response.status, body, headers: response.headers }
    }

    pub fn try_login(&self, name: &str, password: &str) -> Reply {
        self.ask(None, "POST", "/api/v1/login", &json!({ "name": name, "password": password }))
    }

    /// A session's token.
    pub fn login(&self, name: &str) -> String {
        let reply = self.try_login(name, PASSWORD);
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body["token"].as_str().unwrap().to_owned()
    }
}
