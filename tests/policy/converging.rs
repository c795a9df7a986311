//! Many devices, many profiles, groups that change while devices put off, refuse, lose their connection and vanish: in the end each has what
//! it should have, and each difference cost one command (and each refusal one more). The long form is `scripts/soak policy`.

use super::{assign, device_group, member, no_member, standing};
use crate::support::device::Handle;
use crate::support::{Plan, School};
use crate::users::profiles::add;
use cordon::base::time::{Clock, HOUR, ManualClock, SystemClock};
use cordon::service::reconciling;
use cordon::simulator::spec::Kind;
use cordon::simulator::state::Channel;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How many devices and profiles.
fn size() -> (u64, usize) {
    if std::env::var("CORDON_SOAK").as_deref() == Ok("policy") { (300, 40) } else { (40, 12) }
}

/// What a device does while its groups change.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Manner {
    Obeys,
    PutsOff,
    LosesTheLine,
    /// Every install of the second round.
    Refuses,
    /// Asleep from the second round to the end.
    Vanishes,
}

const MANNERS: [Manner; 5] = [Manner::Obeys, Manner::PutsOff, Manner::LosesTheLine, Manner::Refuses, Manner::Vanishes];

fn about_profiles(device: &Handle) -> usize {
    let about =
        |e: &cordon::simulator::state::Executed| matches!(e.request_type.as_str(), "InstallProfile" | "RemoveProfile");
    device.executed().iter().filter(|e| about(e)).map(|e| e.command_uuid.clone()).collect::<BTreeSet<_>>().len()
}

/// Commands about profiles that were ever made for a device, whatever became of them, without those taken back unseen.
fn sent(school: &School, device: &Handle) -> usize {
    let id = device.udid();
    let mut count = 0;
    let mut cursor = String::new();
    loop {
        let page = school.get(&format!("/devices/{id}/commands?limit=500{cursor}"));
        let items = page["items"].as_array().unwrap();
        let about = |c: &&serde_json::Value| {
            matches!(c["request_type"].as_str(), Some("InstallProfile" | "RemoveProfile")) && c["state"] != "Cancelled"
        };
        count += items.iter().filter(about).count();
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return count,
        }
    }
}

#[test]
fn it_converges_with_as_few_commands_as_there_are_differences() {
    let (count, profiles) = size();
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let school = School::planned(Plan { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..Plan::default() });
    let names: Vec<String> = (0..profiles).map(|n| format!("p.{n:02}")).collect();
    for name in &names {
        add(&school, name, "com.apple.wifi.managed");
    }
    let devices: Vec<Arc<Handle>> = (1..=count).map(|seed| school.enroll(Kind::Ipad, seed)).collect();
    let manner = |n: usize| MANNERS[n % MANNERS.len()];
    // Profile n is for group n; a device is in the group when its number and the group's have a bit in common.
    let is_in = |device: usize, group: usize, round: usize| (device + round * 3) & (group + 1) != 0;
    for (n, name) in names.iter().enumerate() {
        device_group(&school, &format!("g{n}"));
        assign(&school, name, &json!({ "group": format!("g{n}") }));
    }
    for (n, device) in devices.iter().enumerate() {
        device.with(|d| match manner(n) {
            Manner::PutsOff => drop(d.behaviour_mut().not_now.insert("InstallProfile".to_owned(), 3)),
            Manner::LosesTheLine => d.behaviour_mut().leaves_before_answer = 2,
            _ => {}
        });
    }
    let mut now: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); devices.len()];
    let mut had_when_it_fell_asleep = now.clone();
    let mut expected = vec![0; devices.len()];
    for round in 0..3 {
        if round == 1 {
            had_when_it_fell_asleep.clone_from(&now);
            for (n, device) in devices.iter().enumerate() {
                device.with(|d| match manner(n) {
                    Manner::Vanishes => d.behaviour_mut().asleep = true,
                    Manner::Refuses => drop(d.behaviour_mut().errors.insert("InstallProfile".to_owned())),
                    _ => {}
                });
            }
        }
        let mut refused = 0;
        for group in 0..profiles {
            let (mut joins, mut leaves) = (Vec::new(), Vec::new());
            for (n, device) in devices.iter().enumerate() {
                let (was, is) = (now[n].contains(&group), is_in(n, group, round));
                if is && !was {
                    now[n].insert(group);
                    joins.push(device.udid());
                    if round == 1 && manner(n) == Manner::Refuses {
                        refused += 1;
                        expected[n] += 1;
                    }
                } else if was && !is {
                    now[n].remove(&group);
                    leaves.push(device.udid());
                }
                if manner(n) != Manner::Vanishes || round == 0 {
                    expected[n] += usize::from(was != is);
                }
            }
            let path = format!("g{group}");
            member(&school, &path, &json!({ "devices": joins }));
            no_member(&school, &path, &json!({ "devices": leaves }));
        }
        if refused > 0 {
            school.wait_until("every refusal to be written down", || {
                let of = |name: &String| {
                    school.get(&format!("/profiles/{name}/refusals"))["items"].as_array().unwrap().len()
                };
                (names.iter().map(of).sum::<usize>() == refused).then_some(())
            });
            for (n, device) in devices.iter().enumerate().filter(|(n, _)| manner(*n) == Manner::Refuses) {
                assert!(standing(device, Channel::Device).len() <= now[n].len());
                device.with(|d| d.behaviour_mut().errors.clear());
            }
            // Not before its time, and then once.
            let cx = school.server().context();
            assert_eq!(reconciling::try_again(cx).unwrap(), 0);
            clock.advance(HOUR + 1);
            while reconciling::try_again(cx).unwrap() > 0 {}
        }
        if round == 2 {
            for (n, device) in devices.iter().enumerate().filter(|(n, _)| manner(*n) == Manner::Vanishes) {
                expected[n] += now[n].symmetric_difference(&had_when_it_fell_asleep[n]).count();
                device.with(|d| d.behaviour_mut().asleep = false);
                device.poll(Channel::Device).unwrap();
            }
        }
        for (n, device) in devices.iter().enumerate() {
            if round == 1 && manner(n) == Manner::Vanishes {
                continue;
            }
            let wanted: Vec<String> = now[n].iter().map(|group| names[*group].clone()).collect();
            school.wait_until(&format!("device {n} ({:?}) in round {round}", manner(n)), || {
                (standing(device, Channel::Device) == wanted).then_some(())
            });
        }
    }
    for (n, device) in devices.iter().enumerate() {
        let (ran, made) = (about_profiles(device), sent(&school, device));
        assert!(ran <= expected[n], "device {n} ({:?}) ran {ran}, {} were needed", manner(n), expected[n]);
        assert_eq!(made, expected[n], "device {n} ({:?}) was sent no command too many", manner(n));
    }
}
