//! Custody on real sockets: what devices send is kept and shown only with a reason; a passcode is cleared only for the owner who
//! holds the device; a lost device is not opened.

mod lost;
mod passcode;
mod purge;
mod revealing;
mod rotation;

use crate::support::School;
use crate::support::api::Reply;
use crate::support::device::Handle;
use cordon::http::control::Client;
use serde_json::{Value, json};

/// Words that say something.
pub const REASON: &str = "ticket 812, room 204";

impl School {
    /// A call over the control socket as this person on the machine.
    fn as_person(&self, user: &str, method: &str, path: &str, body: &Value) -> Reply {
        let client = Client::new(self.server().socket().0);
        let headers = [("Content-Type", "application/json"), ("X-Cordon-Local-User", user)];
        let body = serde_json::to_vec(body).unwrap();
        let (status, headers, body) = client.request(method, &format!("/api/v1{path}"), &headers, &body).unwrap();
        Reply { status, headers, body }
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

    /// Audit rows of this verb.
    fn audited(&self, verb: &str) -> Vec<Value> {
        let rows = self.get("/audit?limit=500");
        rows["items"].as_array().unwrap().iter().filter(|row| row["verb"] == verb).cloned().collect()
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

/// A row of [`School::secrets`].
fn kept(kind: &str, generation: i64, state: &str) -> (String, i64, String) {
    (kind.to_owned(), generation, state.to_owned())
}
