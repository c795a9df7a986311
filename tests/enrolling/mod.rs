//! Every way in: the enrolment page with a code or a password, over-the-air delivery, Automated Device Enrolment. Each to its end over
//! real sockets, and everything that somebody who should not come in may try.

mod browser;
mod class;
mod over_the_air;
mod own_accounts;
mod page;

use crate::support::device::Handle;
use crate::support::{Plan, School};
use cordon::base::time::{Clock, ManualClock, SystemClock};
use cordon::pki::SystemRandom;
use cordon::server::Options;
use cordon::simulator::arriving::Pass;
use cordon::simulator::browser::Browser;
use cordon::simulator::built_in::{BuiltIn, Factory};
use cordon::simulator::network::Url;
use cordon::simulator::spec::Kind;
use cordon::simulator::state::{Behaviour, Standing};
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};

/// Where all devices of these tests were built.
static FACTORY: LazyLock<Factory> = LazyLock::new(|| Factory::new(SystemClock.now(), &SystemRandom));

/// One built-in identity that most tests can share, and that of another device.
static BUILT_IN: LazyLock<[BuiltIn; 2]> =
    LazyLock::new(|| ["one", "two"].map(|name| FACTORY.build(name, SystemClock.now(), &SystemRandom).unwrap()));

/// A school that believes the stand-in factory, with a clock that the test turns.
struct Door {
    school: School,
    clock: Arc<ManualClock>,
}

impl Door {
    fn new() -> Self {
        Self::planned(Plan::default())
    }

    fn planned(plan: Plan) -> Self {
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let tune = Arc::new(|options: &mut Options| options.device_ca_pem = Some(FACTORY.ca_pem().into_bytes()));
        let school = School::planned(Plan { clock: Arc::clone(&clock) as _, tune, ..plan });
        Self { school, clock }
    }

    /// Behind a proxy on this machine, which is one of `trusted` or not.
    fn behind_a_proxy(trusted: &[std::net::IpAddr]) -> Self {
        Self::planned(Plan {
            proxied: String::from("127.0.0.1:0"),
            trusted_proxies: trusted.to_vec(),
            ..Plan::default()
        })
    }

    /// With over-the-air delivery on the page.
    fn over_the_air() -> Self {
        let door = Self::new();
        door.school.api("PATCH", "/enrollment-door", &json!({ "way": "ota" })).is(200);
        door
    }

    fn url(&self, path: &str) -> Url {
        format!("https://localhost:{}{path}", self.school.server().people().unwrap().port()).parse().unwrap()
    }

    fn anchors(&self) -> Vec<Vec<u8>> {
        vec![self.school.root()]
    }

    fn browser(&self) -> Browser {
        Browser::new(self.school.world(), self.url("/enroll"), &self.anchors()).unwrap()
    }

    /// A new invitation.
    fn invite(&self, wish: Value) -> Value {
        self.school.api("POST", "/invitations", &wish).is(201)["items"][0].clone()
    }

    fn code(&self) -> String {
        self.invite(json!({ "for": "Ada" }))["code"].as_str().unwrap().to_owned()
    }

    /// The invitation as the list shows it.
    fn invitation(&self, id: &Value) -> Value {
        let list = self.school.get("/invitations");
        list["items"].as_array().unwrap().iter().find(|one| one["id"] == *id).unwrap().clone()
    }

    fn unpack(&self, kind: Kind, seed: u64) -> Arc<Handle> {
        self.school.unpack(kind, seed, Behaviour::default())
    }
}

fn code(pass: &str) -> Pass<'_> {
    Pass::Code(pass)
}

#[track_caller]
fn assert_enrolled(door: &Door, device: &Handle) {
    assert_eq!(device.with(|d| d.standing()), Standing::Enrolled);
    assert_eq!(door.school.device(device)["state"], "Active");
}
