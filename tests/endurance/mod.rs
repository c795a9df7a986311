//! What the appliance endures: time, power cuts, replication to another place, upgrades. Each test is the short form of what
//! `scripts/soak` runs long.

mod disk;
mod first_hour;
mod flat;
mod litestream;
mod power;
mod replacing;

use crate::journeys::crash::Teacher;
use crate::support::TOPIC;
use cordon::simulator::apns::StandIn;
use cordon::simulator::device::Device;
use cordon::simulator::fleet::Fleet;
use cordon::simulator::state::{Channel, Standing};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest wait for anything in a long run.
const PATIENCE: Duration = Duration::from_secs(900);

/// Gives the school its push certificate.
fn import_push_certificate(teacher: &Teacher, stand_in: &StandIn) {
    let (certificate, key) = stand_in.push_certificate(TOPIC).unwrap();
    teacher.call("POST", "/push-certificates", &json!({ "certificate_pem": certificate, "key_pem": key })).is(201);
}

/// Makes a device's tokens known to the stand-in; `generations` as many as its enrolments may bring.
fn register(stand_in: &StandIn, fleet: &Fleet, generations: u32) {
    let receiver = fleet.receiver();
    let on_push: cordon::simulator::apns::OnPush = Arc::new(move |push| receiver(&push.token, &push.magic));
    for mut state in fleet.map(|d| d.state().clone()) {
        for generation in 1..=generations {
            state.generation = generation;
            for line in [Channel::Device, Channel::User].map(|channel| state.new_line(channel)) {
                stand_in.register(&line.token.0, TOPIC, &line.magic, Arc::clone(&on_push));
            }
        }
    }
}

/// Enrols everybody who is not enrolled yet, as often as it takes.
fn enroll_all(teacher: &Teacher, fleet: &Fleet) {
    let until = Instant::now() + PATIENCE;
    loop {
        let standing = fleet.map(|d| d.standing());
        let missing: Vec<usize> = (0..fleet.len()).filter(|k| standing[*k] != Standing::Enrolled).collect();
        if missing.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "{} never enrolled: {:?}", missing.len(), fleet.troubles().last());
        // In lots: a profile's permission lasts an hour, but nobody prints two thousand at once.
        for lot in missing.chunks(100) {
            for k in lot {
                let profile = teacher.call("POST", "/enrollments/profile", &Value::Null);
                assert_eq!(profile.status, 201, "{}", profile.text());
                fleet.enroll(*k, profile.body);
            }
            assert!(fleet.settle(PATIENCE));
        }
    }
}

/// A class that comes back soon when nobody answered.
fn impatient(mut devices: Vec<Device>) -> Vec<Device> {
    for device in &mut devices {
        device.behaviour_mut().retry_millis = 50;
        device.behaviour_mut().repoll_millis = 200;
    }
    devices
}
