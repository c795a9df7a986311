//! Many at once: no result is lost and none is stored twice, however many ask in the same moment.

use crate::support::School;
use crate::support::wire::{self, command_uuid};
use cordon::plist::{Dictionary, Value as Plist};
use cordon::simulator::classroom;
use cordon::simulator::spec::Kind;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Barrier;

const DEVICES: u64 = 4;
const CALLERS_EACH: usize = 16;
const COMMANDS_EACH: usize = 12;

/// An answer that says which command it answers.
fn answer_to(uuid: &str) -> [(&'static str, Plist); 1] {
    let mut said = Dictionary::new();
    said.insert("DeviceName".into(), wire::text(uuid));
    [("QueryResponses", Plist::Dictionary(said))]
}

#[test]
fn sixty_four_callers_at_once_lose_no_result() {
    let school = School::new();
    let devices: Vec<_> = (1..=DEVICES).map(|seed| school.enroll_deaf(Kind::Ipad, seed)).collect();
    let mut sent = Vec::new();
    for device in &devices {
        for _ in 0..COMMANDS_EACH {
            sent.push(school.send(device, "DeviceInformation", json!({ "Queries": ["DeviceName"] })));
        }
    }
    let start = Barrier::new(devices.len() * CALLERS_EACH);
    let callers = devices.iter().flat_map(|d| std::iter::repeat_n(d, CALLERS_EACH));
    std::thread::scope(|scope| {
        for device in callers {
            let (udid, mut caller, start) = (device.udid(), school.caller(Some(&device.identity())), &start);
            scope.spawn(move || {
                start.wait();
                let mut next = command_uuid(&caller.report(&wire::idle(&udid)));
                while let Some(uuid) = next {
                    next = command_uuid(&caller.report(&wire::result("Acknowledged", &udid, &uuid, &answer_to(&uuid))));
                }
            });
        }
    });
    for uuid in &sent {
        let done = school.command(uuid);
        assert_eq!(
            (&done["state"], &done["result"]["QueryResponses"]["DeviceName"]),
            (&json!("Acknowledged"), &json!(uuid))
        );
        let finished = done["history"].as_array().unwrap().iter().filter(|h| h["kind"] == "Acknowledged").count();
        assert_eq!(finished, 1, "{done}");
    }
    assert_eq!(school.get("/audit/verify")["broken_at"], serde_json::Value::Null);
}

#[test]
fn a_classroom_works_through_a_morning() {
    let school = School::new();
    school.world().keys.fill(8, 2).unwrap();
    let plan = classroom::Plan::school_morning(8);
    let mut devices = Vec::new();
    for (k, spec) in plan.specs.iter().enumerate() {
        let mut behaviour = plan.behaviours.get(&k).cloned().unwrap_or_default();
        behaviour.repoll_millis = 100;
        devices.push(school.enroll_with(spec.kind, spec.seed, behaviour, &serde_json::Value::Null));
    }
    let sleeper = plan.sleeper.unwrap();
    devices[sleeper].with(|d| d.behaviour_mut().asleep = true);
    let mut sent: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (k, device) in devices.iter().enumerate() {
        for (request_type, keys) in super::morning() {
            sent.entry(k).or_default().push(school.send(device, request_type, keys));
        }
    }
    for (_, uuids) in sent.iter().filter(|(k, _)| **k != sleeper) {
        uuids.iter().for_each(|uuid| drop(school.wait_for(uuid, "Acknowledged")));
    }
    assert!(sent[&sleeper].iter().all(|uuid| school.state_of(uuid) == "Queued"));
    devices[sleeper].fleet.wake(0);
    sent[&sleeper].iter().for_each(|uuid| drop(school.wait_for(uuid, "Acknowledged")));
    let states: Vec<_> = devices.iter().map(|d| d.with(|d| d.state().clone())).collect();
    let progress = classroom::Progress::of(&states);
    assert!(progress.is_complete() && progress.not_now == 1, "{progress:?}");
}
