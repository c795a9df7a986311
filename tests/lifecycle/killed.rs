//! A whole school is renewed while the real program is killed again and again: nothing is lost, and nobody is un-enrolled.

use crate::journeys::crash::{Mortal, Teacher, register};
use cordon::base::random::bytes;
use cordon::pki::SystemRandom;
use cordon::simulator::device::{Device, World};
use cordon::simulator::fleet::Fleet;
use cordon::simulator::network::Network;
use cordon::simulator::spec::Spec;
use cordon::simulator::state::Standing;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(900);

/// A class; with `CORDON_SOAK=renewal`, as `scripts/soak` says it, a school of 500.
#[test]
fn a_school_is_renewed_while_the_server_is_killed() {
    match std::env::var("CORDON_SOAK").as_deref() {
        Ok("renewal") => renew_under_fire(500, 25),
        _ => renew_under_fire(24, 6),
    }
}

fn identities(fleet: &Fleet) -> Vec<Vec<u8>> {
    fleet.map(|d| d.state().held.as_ref().map(|held| held.chain[0].0.clone()).unwrap_or_default())
}

fn enroll_all(teacher: &Teacher, fleet: &Fleet) {
    for k in 0..fleet.len() {
        let profile = teacher.call("POST", "/enrollments/profile", &Value::Null);
        assert_eq!(profile.status, 201, "{}", profile.text());
        fleet.enroll(k, profile.body);
    }
    assert!(fleet.settle(PATIENCE));
    assert!(fleet.map(|d| d.standing()).iter().all(|s| *s == Standing::Enrolled), "{:?}", fleet.troubles());
}

/// Asks for renewals until every device has its new identity; one that failed is asked for again.
fn renew_all(teacher: &Teacher, fleet: &Fleet, udids: &[String]) {
    let until = Instant::now() + PATIENCE;
    let mut left: Vec<&String> = udids.iter().collect();
    while !left.is_empty() {
        assert!(Instant::now() < until, "{} not renewed: {:?}", left.len(), fleet.troubles().last());
        left.retain(|udid| {
            let shown = teacher.call("GET", &format!("/devices/{udid}"), &Value::Null).is(200);
            let state = shown["identity"]["renewal"]["state"].as_str().unwrap_or("none").to_owned();
            if matches!(state.as_str(), "none" | "failed") {
                let asked = teacher.call("POST", &format!("/devices/{udid}/renew"), &Value::Null);
                assert_eq!(asked.status, 201, "{}", asked.text());
            }
            state != "done"
        });
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn renew_under_fire(devices: usize, kills: usize) {
    let Mortal { mut program, teacher, stand_in, directory: _, folder: _folder } = Mortal::start();

    let mut network = Network::default();
    network.timeout = Duration::from_secs(10);
    let world = Arc::new(World::real(network));
    world.keys.fill(2 * devices + devices / 4, 2).unwrap();
    let mut class: Vec<Device> =
        Spec::classroom(devices).into_iter().map(|spec| Device::new(Arc::clone(&world), spec)).collect();
    for device in &mut class {
        device.behaviour_mut().retry_millis = 50;
        device.behaviour_mut().repoll_millis = 200;
    }
    let fleet = Fleet::start(world, class, 4);
    register(&stand_in, &fleet);
    enroll_all(&teacher, &fleet);
    let (udids, before) = (fleet.map(|d| d.spec().udid.clone()), identities(&fleet));

    let calm = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            // A command waits behind each renewal.
            for (k, udid) in udids.iter().enumerate() {
                let asked = teacher.call("POST", &format!("/devices/{udid}/renew"), &Value::Null);
                assert_eq!(asked.status, 201, "{}", asked.text());
                teacher.send(udid, &format!("00000001-0000-4000-8000-{k:012X}"), "ProfileList", json!({}));
            }
            renew_all(&teacher, &fleet, &udids);
            calm.store(true, Ordering::SeqCst);
        });
        for _ in 0..kills {
            let [a, b] = bytes::<2>(&SystemRandom);
            std::thread::sleep(Duration::from_millis(u64::from(a) + u64::from(b) + 100));
            if work.is_finished() {
                break;
            }
            program.kill();
            program.start_again();
        }
        work.join().unwrap();
    });
    assert!(calm.load(Ordering::SeqCst));

    let until = Instant::now() + PATIENCE;
    for (k, udid) in udids.iter().enumerate() {
        let uuid = format!("00000001-0000-4000-8000-{k:012X}");
        loop {
            let command = teacher.call("GET", &format!("/commands/{uuid}"), &Value::Null).is(200);
            if command["state"] == "Acknowledged" {
                break;
            }
            assert!(Instant::now() < until, "{udid}: {command}");
            teacher.call("POST", &format!("/devices/{udid}/push"), &Value::Null);
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    assert!(fleet.settle(PATIENCE));
    for (device, (was, is)) in udids.iter().zip(before.iter().zip(identities(&fleet))) {
        assert_ne!(*was, is, "{device} has its old identity");
    }
    for (standing, faults) in fleet.map(|d| (d.standing(), d.faults().to_vec())) {
        assert_eq!(standing, Standing::Enrolled, "{faults:?}");
        assert!(faults.is_empty(), "{faults:?}");
    }
    let devices = teacher.call("GET", "/devices?limit=500", &Value::Null).is(200);
    assert!(devices["items"].as_array().unwrap().iter().all(|d| d["state"] == "Active"));
    let verdict = teacher.call("GET", "/audit/verify", &Value::Null).is(200);
    assert_eq!(verdict["broken_at"], Value::Null);
    program.stop();
}
