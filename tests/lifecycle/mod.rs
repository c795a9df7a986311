//! The life of a device after its enrolment: its identity is renewed, the school's root is replaced under it, it comes back from a
//! backup, it is copied, and it leaves. Everything over real sockets, with a clock that the test moves.

mod ending;
mod killed;
mod renewal;
mod replacing;
mod restores;
mod revocation;

use crate::support::device::Handle;
use crate::support::wire::{check_in, text};
use crate::support::{Plan, School, TOPIC};
use cordon::base::time::{Clock, DAY, ManualClock, SystemClock};
use cordon::plist::Value as Plist;
use cordon::service::{renewing, replacing as authorities};
use cordon::simulator::network::{Network, tls_config_at};
use cordon::simulator::spec::Kind;
use cordon::simulator::state::{Behaviour, Channel};
use cordon::simulator::wire::{Client, Request};
use serde_json::Value;
use std::sync::Arc;

/// A school whose time the test makes pass.
pub struct Timed {
    pub school: School,
    pub clock: Arc<ManualClock>,
}

impl Timed {
    pub fn new() -> Self {
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let plan = Plan { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..Plan::default() };
        Self { school: School::planned(plan), clock }
    }

    /// An enrolled device whose later push tokens Apple knows too, whatever it does.
    pub fn enroll(&self, kind: Kind, seed: u64) -> Arc<Handle> {
        let device = self.school.unpack(kind, seed, patient());
        device.expect_many_tokens(&self.school.stand_in, 20);
        device.enroll(&self.school.stand_in, &self.school.profile(&Value::Null));
        device
    }

    /// So many days pass, and the listeners' certificate is one that is valid then.
    pub fn days(&self, days: i64) {
        self.clock.advance(days * DAY);
        wait_for_tls(&self.school);
    }

    /// One round of the renewal job, as the server runs it every minute.
    pub fn renew_round(&self) -> usize {
        renewing::run(self.school.server().context()).unwrap()
    }

    /// One round of the job that looks after authorities and the TLS certificate.
    pub fn authority_round(&self) {
        authorities::keep_fresh(self.school.server().context()).unwrap();
    }

    pub fn renewal(&self, device: &Handle) -> Value {
        self.school.device(device)["identity"]["renewal"].clone()
    }

    /// Waits until the newest renewal of the device is in this state.
    pub fn wait_renewal(&self, device: &Handle, state: &str) -> Value {
        self.school.wait_until(&format!("a renewal to be {state}"), || {
            let renewal = self.renewal(device);
            (renewal["state"] == state).then_some(renewal)
        })
    }

    pub fn post(&self, device: &Handle, verb: &str) -> crate::support::api::Reply {
        self.school.api("POST", &format!("/devices/{}/{verb}", device.udid()), &Value::Null)
    }

    /// What waits for a decision about this device.
    pub fn attention(&self, kind: &str) -> Option<Value> {
        let items = self.school.get("/attention")["items"].clone();
        items.as_array().unwrap().iter().find(|item| item["kind"] == kind).cloned()
    }

    /// A command goes through, fetched without a push: one that was just called is not called again at once.
    #[track_caller]
    pub fn fetches(&self, device: &Handle) {
        let uuid = self.school.send(device, "ProfileList", Value::Null);
        device.poll(DEVICE).unwrap();
        self.school.wait_for(&uuid, "Acknowledged");
    }

    /// A command goes through: the device is served, and knows it.
    #[track_caller]
    pub fn serves(&self, device: &Handle) {
        let uuid = self.school.send(device, "ProfileList", Value::Null);
        self.school.wait_for(&uuid, "Acknowledged");
    }
}

/// Waits until the listeners serve a certificate that is valid on the school's day: one that ended meanwhile is replaced by itself.
pub fn wait_for_tls(school: &School) {
    school.server().context().ring_certificates();
    let url = format!("https://localhost:{}/healthz", school.server().people().unwrap().port()).parse().unwrap();
    let request = Request { method: "GET", url: &url, headers: &[], body: b"" };
    school.wait_until("a certificate of the day", || {
        let tls = tls_config_at(&[school.root()], None, &school.plan.clock).unwrap();
        Client::new(Arc::new(Network::default()), tls).send(&request).ok()
    });
}

fn patient() -> Behaviour {
    Behaviour { retry_millis: 20, ..Behaviour::default() }
}

/// The TokenUpdate that a device sends by itself, as after the restore of a backup.
pub fn token_update(udid: &str) -> Vec<u8> {
    let token = Plist::Data(vec![7; 32]);
    check_in("TokenUpdate", udid, &[("Topic", text(TOPIC)), ("PushMagic", text("restored")), ("Token", token)])
}

/// The serial number of the identity that a device holds now, in hex.
pub fn identity_serial(device: &Handle) -> String {
    cordon::pki::x509::Certificate::parse(&device.identity().chain[0]).unwrap().serial_hex()
}

pub const DEVICE: Channel = Channel::Device;
