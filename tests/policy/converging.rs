//! Many devices, many profiles, groups that change while devices put off, refuse and vanish: in the end each has what it should
//! have, and each difference cost one command.

use super::{assign, device_group, member, no_member, standing};
use crate::support::School;
use crate::support::device::Handle;
use crate::users::profiles::add;
use cordon::simulator::spec::Kind;
use cordon::simulator::state::Channel;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;

const PROFILES: usize = 8;
const DEVICES: u64 = 12;

#[test]
fn it_converges_with_as_few_commands_as_there_are_differences() {
    let school = School::new();
    let names: Vec<String> = (0..PROFILES).map(|n| format!("p.{n}")).collect();
    for name in &names {
        add(&school, name, "com.apple.wifi.managed");
    }
    let devices: Vec<Arc<Handle>> = (1..=DEVICES).map(|seed| school.enroll(Kind::Ipad, seed)).collect();
    // Profile n is for group n; a device is in the group when its number and the group's have a bit in common.
    let is_in = |device: usize, group: usize, round: usize| (device + round) & (group + 1) != 0;
    for (n, name) in names.iter().enumerate() {
        device_group(&school, &format!("g{n}"));
        assign(&school, name, &json!({ "group": format!("g{n}") }));
    }
    // A third puts off, a third loses the connection after an answer, the rest obeys.
    for (n, device) in devices.iter().enumerate() {
        device.with(|d| match n % 3 {
            0 => drop(d.behaviour_mut().not_now.insert("InstallProfile".to_owned(), 3)),
            1 => d.behaviour_mut().leaves_before_answer = 2,
            _ => {}
        });
    }
    let mut before: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); devices.len()];
    let mut expected = vec![0; devices.len()];
    for round in 0..3 {
        for group in 0..PROFILES {
            let (mut joins, mut leaves) = (Vec::new(), Vec::new());
            for (n, device) in devices.iter().enumerate() {
                let (was, is) = (before[n].contains(&group), is_in(n, group, round));
                if is && !was {
                    before[n].insert(group);
                    joins.push(device.udid());
                } else if was && !is {
                    before[n].remove(&group);
                    leaves.push(device.udid());
                }
                expected[n] += usize::from(was != is);
            }
            let path = format!("g{group}");
            member(&school, &path, &json!({ "devices": joins }));
            no_member(&school, &path, &json!({ "devices": leaves }));
        }
        for (n, device) in devices.iter().enumerate() {
            let wanted: Vec<String> = before[n].iter().map(|group| names[*group].clone()).collect();
            school.wait_until(&format!("device {n} in round {round}"), || {
                (standing(device, Channel::Device) == wanted).then_some(())
            });
        }
    }
    for (n, device) in devices.iter().enumerate() {
        let about: BTreeSet<String> = device
            .executed()
            .iter()
            .filter(|e| matches!(e.request_type.as_str(), "InstallProfile" | "RemoveProfile"))
            .map(|e| e.command_uuid.clone())
            .collect();
        assert_eq!(about.len(), expected[n], "device {n} was sent no command too many");
    }
}
