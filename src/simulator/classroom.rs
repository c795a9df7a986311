//! The story that `cordon demo` plays with a classroom, as stages with counts, computed from what the devices remember.
//!
//! Called by the demo and by tests. Not here: the server, the queueing of commands and the printing.

use std::collections::BTreeMap;

use super::device::Device;
use super::spec::Spec;
use super::state::{Behaviour, Standing, State};
use crate::base::time::Timestamp;

/// How the classroom is made up.
#[derive(Debug, Clone)]
pub struct Plan {
    pub specs: Vec<Spec>,
    /// Behaviours that differ from the usual, by position in `specs`.
    pub behaviours: BTreeMap<usize, Behaviour>,
    /// The device that sleeps while the others work, and is woken at the end.
    pub sleeper: Option<usize>,
    /// The device that is busy at first.
    pub busy: Option<usize>,
}

/// A step of the story, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Milestone {
    Enrolled,
    Informed,
    ProfileInstalled,
    Locked,
}

impl Milestone {
    pub const ALL: [Milestone; 4] =
        [Milestone::Enrolled, Milestone::Informed, Milestone::ProfileInstalled, Milestone::Locked];

    /// The name in JSON output: `enrolled`, or Apple's RequestType.
    pub fn name(self) -> &'static str {
        self.request_type().unwrap_or("enrolled")
    }

    /// The command whose `Acknowledged` is waited for; `None` for the enrolment itself.
    pub fn request_type(self) -> Option<&'static str> {
        match self {
            Milestone::Enrolled => None,
            Milestone::Informed => Some("DeviceInformation"),
            Milestone::ProfileInstalled => Some("InstallProfile"),
            Milestone::Locked => Some("DeviceLock"),
        }
    }

    /// When this device reached it.
    fn reached_at(self, state: &State) -> Option<Timestamp> {
        let at = match self.request_type() {
            None => state.enrolled_at,
            Some(request_type) => state.first_acknowledged.get(request_type).copied(),
        };
        at.map(Timestamp)
    }
}

/// How far one step has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    pub milestone: Milestone,
    pub done: usize,
    pub expected: usize,
    /// When the last of the devices that are done got there.
    pub last_at: Option<Timestamp>,
}

impl Stage {
    pub fn is_complete(&self) -> bool {
        self.done == self.expected
    }
}

/// The whole story at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub stages: Vec<Stage>,
    /// `NotNow` answers that commands got.
    pub not_now: u32,
    /// Commands that took effect more than once. Never more than 0.
    pub ran_twice: usize,
    /// Devices that the server threw out. Never more than 0.
    pub thrown_out: usize,
    /// What devices found wrong with the server, each with the device's name.
    pub faults: Vec<String>,
}

impl Plan {
    /// `devices` iPads and Macs. From three on, the second answers `NotNow` to its first InstallProfile and the last one is asleep after
    /// its enrolment (see [`Plan::sleeper`]).
    pub fn school_morning(devices: usize) -> Self {
        let mut behaviours = BTreeMap::new();
        let (busy, sleeper) = if devices >= 3 { (Some(1), Some(devices - 1)) } else { (None, None) };
        if let Some(k) = busy {
            behaviours.insert(
                k,
                Behaviour { not_now: BTreeMap::from([("InstallProfile".to_owned(), 1)]), ..Behaviour::default() },
            );
        }
        Self { specs: Spec::classroom(devices), behaviours, sleeper, busy }
    }

    /// The devices of this plan, out of the box and awake.
    pub fn devices(&self, world: &std::sync::Arc<super::device::World>) -> Vec<Device> {
        let device = |(k, spec): (usize, &Spec)| {
            let mut device = Device::new(std::sync::Arc::clone(world), spec.clone());
            if let Some(behaviour) = self.behaviours.get(&k) {
                *device.behaviour_mut() = behaviour.clone();
            }
            device
        };
        self.specs.iter().enumerate().map(device).collect()
    }
}

impl Progress {
    /// Reads the devices' memories; every device is expected to reach every milestone.
    pub fn of<'a>(states: impl IntoIterator<Item = &'a State>) -> Self {
        let stage = |milestone| Stage { milestone, done: 0, expected: 0, last_at: None };
        let mut stages: Vec<Stage> = Milestone::ALL.into_iter().map(stage).collect();
        let mut progress = Progress { stages: Vec::new(), not_now: 0, ran_twice: 0, thrown_out: 0, faults: Vec::new() };
        for state in states {
            for stage in &mut stages {
                stage.expected += 1;
                if let Some(at) = stage.milestone.reached_at(state) {
                    stage.done += 1;
                    stage.last_at = stage.last_at.max(Some(at));
                }
            }

            for command in &state.executed {
                progress.not_now += command.not_now;
                progress.ran_twice += usize::from(command.executions > 1);
            }
            progress.thrown_out += usize::from(matches!(state.standing, Standing::ThrownOut(_)));
            progress.faults.extend(state.faults.iter().map(|fault| format!("{}: {fault}", state.spec.name)));
        }
        progress.stages = stages;
        progress
    }

    /// The stage of this milestone.
    pub fn find_stage(&self, milestone: Milestone) -> Option<&Stage> {
        self.stages.iter().find(|s| s.milestone == milestone)
    }

    /// Every device has every milestone behind it, and nothing went wrong.
    pub fn is_complete(&self) -> bool {
        self.stages.iter().all(Stage::is_complete)
            && self.ran_twice == 0
            && self.thrown_out == 0
            && self.faults.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::{Channel, Executed};
    use super::*;

    fn states(n: usize) -> Vec<State> {
        Plan::school_morning(n).specs.into_iter().map(State::new).collect()
    }

    #[test]
    fn counts_what_devices_remember() {
        let mut states = states(3);
        for (k, state) in states.iter_mut().enumerate() {
            state.enrolled_at = Some(10 + k as i64);
        }
        states[0].first_acknowledged.insert("DeviceLock".to_owned(), 50);
        let progress = Progress::of(&states);
        let stage = progress.find_stage(Milestone::Enrolled).unwrap();
        assert_eq!((stage.done, stage.expected, stage.last_at), (3, 3, Some(Timestamp(12))));
        assert_eq!(progress.find_stage(Milestone::Locked).unwrap().done, 1);
        assert_eq!(
            progress.stages.iter().map(|s| s.milestone.name()).collect::<Vec<_>>(),
            ["enrolled", "DeviceInformation", "InstallProfile", "DeviceLock"]
        );
        assert!(!progress.is_complete());
        for state in &mut states {
            for request_type in ["DeviceInformation", "InstallProfile", "DeviceLock"] {
                state.first_acknowledged.insert(request_type.to_owned(), 60);
            }
        }
        assert!(Progress::of(&states).is_complete());
    }

    #[test]
    fn a_fault_a_loss_or_a_second_run_spoils_it() {
        let spoil: [fn(&mut State); 3] = [
            |s| s.faults.push("different bytes".to_owned()),
            |s| s.standing = Standing::ThrownOut(401),
            |s| {
                s.executed.push(Executed {
                    channel: Channel::Device,
                    command_uuid: "A".to_owned(),
                    request_type: "DeviceLock".to_owned(),
                    digest: Default::default(),
                    deliveries: 2,
                    not_now: 0,
                    executions: 2,
                    status: None,
                })
            },
        ];
        for spoil in spoil {
            let mut states = states(1);
            states[0].enrolled_at = Some(1);
            for milestone in Milestone::ALL {
                states[0].first_acknowledged.insert(milestone.name().to_owned(), 1);
            }
            assert!(Progress::of(&states).is_complete());
            spoil(&mut states[0]);
            assert!(!Progress::of(&states).is_complete());
        }
    }

    #[test]
    fn one_is_busy_and_one_sleeps() {
        let plan = Plan::school_morning(24);
        assert_eq!((plan.busy, plan.sleeper), (Some(1), Some(23)));
        assert_eq!(plan.behaviours[&1].not_now["InstallProfile"], 1);
        assert_eq!(Plan::school_morning(1).sleeper, None);
    }
}
