//! Custody on real sockets: what devices send is kept and shown only with a reason; a passcode is cleared only for the owner who
//! holds the device; a lost device is not opened.

mod filevault;
mod lost;
mod passcode;
mod purge;
mod revealing;
mod rotation;
mod sheets;

use crate::support::School;
use crate::support::api::Reply;
use crate::support::device::Handle;
use cordon::http::control::Client;
use cordon::http::message::{Body, Door, Handler, Remote, Request};
use cordon::http::routes::Front;
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use std::sync::Arc;

/// Words that say something.
pub const REASON: &str = "ticket 812, room 204";

impl School {
    /// A call as this person on the machine: through the control socket's own door, as the system would tell who it is.
    fn as_person(&self, user: &str, method: &str, path: &str, body: &Value) -> Reply {
        let front = Front::new(Arc::clone(self.server().context()), Vec::new(), None);
        let response = front.handle(Request {
            id: 1,
            door: Door::Control,
            remote: Remote::Local { uid: Some(uid(user)) },
            method: Method::from_bytes(method.as_bytes()).unwrap(),
            path: format!("/api/v1{path}"),
            query: None,
            headers: HeaderMap::new(),
            peer_certificate: None,
            body: Body { bytes: serde_json::to_vec(body).unwrap(), oversized: false },
        });
        let headers = response.headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Reply { status: response.status, headers, body: response.body }
    }

    fn of(&self, device: &Handle, verb: &str, body: &Value) -> Reply {
        self.api("POST", &format!("/devices/{}/{verb}", device.udid()), body)
    }

    fn reveal(&self, device: &Handle, kind: &str) -> Value {
        self.of(device, &format!("secrets/{kind}/reveal"), &json!({ "reason": REASON })).is(200)
    }

    /// Kind, generation, state.
    fn secrets(&self, device: &Handle) -> Vec<(String, i64, String)> {
        let list = self.get(&format!("/devices/{}/secrets", device.udid()));
        let text = |item: &Value, key: &str| item[key].as_str().unwrap().to_owned();
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|i| (text(i, "kind"), i["generation"].as_i64().unwrap(), text(i, "state")))
            .collect()
    }

    /// Audit rows of this verb, without those that were refused.
    fn audited(&self, verb: &str) -> Vec<Value> {
        let rows = self.get("/audit?limit=500");
        rows["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|row| row["verb"] == verb && row["result"] == "done")
            .cloned()
            .collect()
    }

    /// Lines of this kind in the device's story, newest first.
    fn told(&self, device: &Handle, kind: &str) -> Vec<Value> {
        let story = self.device(device);
        story["timeline"].as_array().unwrap().iter().filter(|line| line["kind"] == kind).cloned().collect()
    }

    fn reasons_of_health(&self) -> String {
        let client = Client::new(self.server().socket().0);
        let (_, _, body) = client.request("GET", "/healthz", &[], &[]).unwrap();
        serde_json::from_slice::<Value>(&body).unwrap()["reasons"].to_string()
    }
}

/// A user id that no machine gives anybody, by name.
fn uid(user: &str) -> u32 {
    3_000_000_000 + user.bytes().fold(0, |n, b| n * 31 % 10_000_019 + u32::from(b))
}

/// How the audit calls this person.
fn local(user: &str) -> String {
    format!("local:uid-{}", uid(user))
}

/// A row of [`School::secrets`].
fn kept(kind: &str, generation: i64, state: &str) -> (String, i64, String) {
    (kind.to_owned(), generation, state.to_owned())
}
