//! Many devices on a few threads: a push puts a device into the queue, a worker lets it hold its session, and a sleeping device costs
//! nothing but its memory.
//!
//! Called by the demo, rehearsals, the tests and the benchmark. Pushes come in through [`Fleet::deliver`], which the stand-in for Apple's
//! push service is given as its callback; it only queues and never blocks on a session.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::device::{Device, DeviceError, World};
use crate::base::time::Timestamp;

/// How often an idle worker looks whether a device wants to connect by itself, once any does.
const TICK: Duration = Duration::from_millis(20);
/// Pushes kept for tokens that are not known yet: a server may push before the device has finished its enrolment.
const MAX_EARLY_PUSHES: usize = 4_096;
/// Troubles kept for the report.
const MAX_TROUBLES: usize = 1_000;

/// Work for one device. Equal jobs that wait together are one, as Apple coalesces pushes.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Job {
    Enroll(Vec<u8>),
    Push(Vec<u8>, String),
    Wake,
    /// It said that it would connect by itself.
    Due,
}

/// A classroom that runs by itself.
pub struct Fleet {
    inner: Arc<Inner>,
    workers: Vec<JoinHandle<()>>,
}

struct Inner {
    world: Arc<World>,
    devices: Vec<Mutex<Device>>,
    desk: Mutex<Desk>,
    changed: Condvar,
}

/// What the workers share; held for moments only, never during a session.
#[derive(Default)]
struct Desk {
    /// Devices with jobs that no worker has taken yet.
    ready: VecDeque<usize>,
    jobs: HashMap<usize, BTreeSet<Job>>,
    running: HashSet<usize>,
    tokens: HashMap<Vec<u8>, usize>,
    early_pushes: VecDeque<(Vec<u8>, String)>,
    /// When devices connect by themselves. An outdated entry does no harm: the device is asked again.
    due: BinaryHeap<Reverse<(Timestamp, usize)>>,
    troubles: VecDeque<(usize, String)>,
    stopping: bool,
}

impl Fleet {
    /// Takes the devices, some perhaps enrolled already, and starts `workers` threads (at least one).
    pub fn start(world: Arc<World>, devices: Vec<Device>, workers: usize) -> Self {
        let mut desk = Desk::default();
        for (k, device) in devices.iter().enumerate() {
            desk.learn(k, device);
        }
        let devices = devices.into_iter().map(Mutex::new).collect();
        let inner = Arc::new(Inner { world, devices, desk: Mutex::new(desk), changed: Condvar::new() });
        let start_worker = |_| {
            let inner = Arc::clone(&inner);
            std::thread::spawn(move || inner.work())
        };
        let workers = (0..workers.max(1)).map(start_worker).collect();
        Self { inner, workers }
    }

    /// Number of devices.
    pub fn len(&self) -> usize {
        self.inner.devices.len()
    }
    pub fn is_empty(&self) -> bool {
        self.inner.devices.is_empty()
    }

    /// Queues an enrolment of device `k` with these profile bytes; a failure is among the [`Fleet::troubles`].
    pub fn enroll(&self, k: usize, profile: Vec<u8>) {
        self.inner.submit(k, Job::Enroll(profile));
    }

    /// Device `k` returns to the network and answers the pushes that waited.
    pub fn wake(&self, k: usize) {
        self.inner.submit(k, Job::Wake);
    }

    /// Device `k` has new tokens: pushes for them find it from now on.
    pub fn learn(&self, k: usize) {
        let device = lock(&self.inner.devices[k]);
        let mut desk = lock(&self.inner.desk);
        let lined_up = desk.jobs.contains_key(&k) || desk.running.contains(&k);
        desk.learn(k, &device);
        // Pushes that came before the tokens were known are work now.
        if !lined_up && desk.jobs.contains_key(&k) {
            desk.ready.push_back(k);
        }
        drop(desk);
        self.inner.changed.notify_all();
    }

    /// A push for whichever device has this token.
    pub fn deliver(&self, token: &[u8], magic: &str) {
        self.inner.deliver(token, magic);
    }

    /// [`Fleet::deliver`] as a callback that may outlive the fleet; pushes after its end are nobody's.
    pub fn receiver(&self) -> impl Fn(&[u8], &str) + Send + Sync + Clone + 'static {
        let inner = Arc::downgrade(&self.inner);
        move |token: &[u8], magic: &str| {
            if let Some(inner) = inner.upgrade() {
                inner.deliver(token, magic);
            }
        }
    }

    /// Looks at, or changes, device `k`; waits while it is in a session.
    ///
    /// # Panics
    /// If there is no device `k`.
    pub fn with<T>(&self, k: usize, look: impl FnOnce(&mut Device) -> T) -> T {
        look(&mut lock(&self.inner.devices[k]))
    }

    /// Looks at every device in turn; each is waited for while it is in a session.
    pub fn map<T>(&self, mut look: impl FnMut(&mut Device) -> T) -> Vec<T> {
        self.inner.devices.iter().map(|device| look(&mut lock(device))).collect()
    }

    /// Waits until nothing is queued or running; `false` after `timeout`. Pushes still on their way, and devices that will connect by
    /// themselves later, are not waited for.
    pub fn settle(&self, timeout: Duration) -> bool {
        let until = Instant::now() + timeout;
        let mut desk = lock(&self.inner.desk);
        while !(desk.ready.is_empty() && desk.running.is_empty()) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            desk = self.inner.changed.wait_timeout(desk, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Failed enrolments and sessions that ended badly, the latest 1,000, oldest first: the device's number and what happened.
    pub fn troubles(&self) -> Vec<(usize, String)> {
        lock(&self.inner.desk).troubles.iter().cloned().collect()
    }
}

impl Drop for Fleet {
    /// Lets running sessions end and drops what is queued.
    fn drop(&mut self) {
        lock(&self.inner.desk).stopping = true;
        self.inner.changed.notify_all();
        for worker in self.workers.drain(..) {
            // A worker that panicked has told so on stderr already.
            let _ = worker.join();
        }
    }
}

impl Inner {
    fn deliver(&self, token: &[u8], magic: &str) {
        let mut desk = lock(&self.desk);
        match desk.tokens.get(token).copied() {
            Some(k) => desk.submit(k, Job::Push(token.to_vec(), magic.to_owned())),
            None => {
                if desk.early_pushes.len() >= MAX_EARLY_PUSHES {
                    desk.early_pushes.pop_front();
                }
                desk.early_pushes.push_back((token.to_vec(), magic.to_owned()));
            }
        }
        drop(desk);
        self.changed.notify_all();
    }

    fn submit(&self, k: usize, job: Job) {
        if k < self.devices.len() {
            lock(&self.desk).submit(k, job);
            self.changed.notify_all();
        }
    }

    fn work(&self) {
        while let Some((k, jobs)) = self.next_job() {
            let mut device = lock(&self.devices[k]);
            let mut troubles = Vec::new();
            for job in jobs {
                if let Err(error) = perform(&self.world, &mut device, job) {
                    troubles.push(error.to_string());
                }
            }
            let mut desk = lock(&self.desk);
            desk.learn(k, &device);
            drop(device);
            desk.finish(k, troubles);
            drop(desk);
            // Everyone: a settling caller must not take a wake-up that was meant for a worker.
            self.changed.notify_all();
        }
    }

    /// `None` when the fleet stops.
    fn next_job(&self) -> Option<(usize, BTreeSet<Job>)> {
        let mut desk = lock(&self.desk);
        loop {
            if desk.stopping {
                return None;
            }
            desk.line_up_due(self.world.clock.now());
            if let Some(k) = desk.ready.pop_front() {
                desk.running.insert(k);
                let jobs = desk.jobs.remove(&k).unwrap_or_default();
                return Some((k, jobs));
            }
            desk = if desk.due.is_empty() {
                self.changed.wait(desk).unwrap_or_else(PoisonError::into_inner)
            } else {
                self.changed.wait_timeout(desk, TICK).unwrap_or_else(PoisonError::into_inner).0
            };
        }
    }
}

impl Desk {
    fn submit(&mut self, k: usize, job: Job) {
        let lined_up = self.jobs.contains_key(&k) || self.running.contains(&k);
        self.jobs.entry(k).or_default().insert(job);
        if !lined_up {
            self.ready.push_back(k);
        }
    }

    fn line_up_due(&mut self, now: Timestamp) {
        while let Some(Reverse((at, k))) = self.due.peek().copied()
            && at <= now
        {
            self.due.pop();
            self.submit(k, Job::Due);
        }
    }

    /// Remembers the device's tokens and when it wants to connect, and hands it the pushes that came too early.
    fn learn(&mut self, k: usize, device: &Device) {
        let channels = device.state().channels();
        let lines = channels.into_iter().filter_map(|channel| device.state().find_line(channel));
        for token in lines.map(|line| &line.token.0) {
            if self.tokens.insert(token.clone(), k).is_none() {
                let (ours, others) = std::mem::take(&mut self.early_pushes).into_iter().partition(|(t, _)| t == token);
                self.early_pushes = others;
                let ours: VecDeque<(Vec<u8>, String)> = ours;
                for (token, magic) in ours {
                    self.jobs.entry(k).or_default().insert(Job::Push(token, magic));
                }
            }
        }
        if let Some((at, _)) = device.find_due() {
            self.due.push(Reverse((at, k)));
        }
    }

    fn finish(&mut self, k: usize, troubles: Vec<String>) {
        self.running.remove(&k);
        if self.jobs.contains_key(&k) {
            self.ready.push_back(k);
        }
        for what in troubles {
            if self.troubles.len() >= MAX_TROUBLES {
                self.troubles.pop_front();
            }
            self.troubles.push_back((k, what));
        }
    }
}

fn perform(world: &World, device: &mut Device, job: Job) -> Result<(), DeviceError> {
    match job {
        Job::Enroll(profile) => device.enroll(&profile),
        Job::Push(token, magic) => device.pushed(&token, &magic).map_or(Ok(()), |channel| device.poll(channel)),
        Job::Wake => device.wake().into_iter().try_for_each(|channel| device.poll(channel)),
        Job::Due => match device.find_due() {
            Some((at, channel)) if at <= world.clock.now() => device.poll(channel),
            _ => Ok(()),
        },
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::classroom::{Milestone, Plan, Progress};
    use super::super::spec::{Kind, Spec};
    use super::super::state::Standing;
    use super::super::test_school::{command, enrolled_with, hand_out, parts, school, world};
    use super::super::test_server::{Script, answer};
    use super::*;
    use crate::base::time::Clock;
    use crate::base::time::{ManualClock, SystemClock};

    const LONG: Duration = Duration::from_secs(20);

    /// Every device that says Idle gets one DeviceLock of its own; every result ends the session.
    fn locking_server() -> Script {
        Script::answering(|seen| {
            let body = String::from_utf8_lossy(&seen.body).into_owned();
            let udid =
                body.split("<key>UDID</key>").nth(1).and_then(|s| s.split(['<', '>']).nth(2)).unwrap().to_owned();
            if body.contains("Idle") {
                hand_out(&command(&udid, "DeviceLock", &[]))
            } else {
                answer(200, "text/plain", b"")
            }
        })
    }

    #[test]
    fn pushes_make_sessions_and_sleepers_wait() {
        let server = locking_server();
        let world = world(&server, Arc::new(ManualClock::at(SystemClock.now())));
        let devices: Vec<Device> = (1..=12).map(|n| enrolled_with(Kind::Ipad, n, &world, parts().bytes())).collect();
        let lines: Vec<_> = devices.iter().map(|d| d.state().device.clone().unwrap()).collect();
        let fleet = Fleet::start(world, devices, 3);
        fleet.with(11, |d| d.behaviour_mut().asleep = true);
        let push = fleet.receiver();
        for line in &lines {
            push(&line.token.0, &line.magic);
        }
        push(b"nobody's token", "magic");
        assert!(fleet.settle(LONG));
        let locked = |fleet: &Fleet| fleet.map(|d| usize::from(d.state().locked)).iter().sum::<usize>();
        assert_eq!(locked(&fleet), 11);
        fleet.wake(11);
        assert!(fleet.settle(LONG));
        assert_eq!(locked(&fleet), 12);
        assert_eq!(fleet.troubles(), []);
        assert!(fleet.map(|d| d.faults().len()).iter().all(|n| *n == 0));
        drop(fleet);
        push(&lines[0].token.0, &lines[0].magic);
    }

    #[test]
    fn devices_come_back_by_themselves() {
        let server = locking_server();
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let world = world(&server, Arc::clone(&clock));
        let device = enrolled_with(Kind::Ipad, 1, &world, parts().bytes());
        let line = device.state().device.clone().unwrap();
        let fleet = Fleet::start(world, vec![device], 2);
        fleet.with(0, |d| d.behaviour_mut().not_now.insert("DeviceLock".to_owned(), 1));
        fleet.deliver(&line.token.0, &line.magic);
        assert!(fleet.settle(LONG));
        assert!(!fleet.with(0, |d| d.state().locked));
        clock.advance(2_000);
        for _ in 0..500 {
            if fleet.with(0, |d| d.state().locked) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the device did not come back");
    }

    #[test]
    fn a_push_before_the_enrolment_is_through_is_not_lost() {
        let server = school(0, None);
        let world = world(&server, Arc::new(ManualClock::at(SystemClock.now())));
        // Tokens follow from the seed: the second device of this seed shows which ones the first will get.
        let mut twin = Device::new(Arc::clone(&world), Spec::new(Kind::Ipad, 5));
        twin.enroll(&parts().bytes()).unwrap();
        let line = twin.state().device.clone().unwrap();
        let fleet = Fleet::start(Arc::clone(&world), vec![Device::new(world, Spec::new(Kind::Ipad, 5))], 1);
        fleet.deliver(&line.token.0, &line.magic);
        fleet.enroll(0, parts().bytes());
        assert!(fleet.settle(LONG));
        assert_eq!(fleet.with(0, |d| d.standing()), Standing::Enrolled);
        assert!(server.seen().iter().any(|s| s.target == "/mdm/command"));
    }

    #[test]
    fn a_classroom_enrolls() {
        let server = school(0, None);
        let world = world(&server, Arc::new(ManualClock::at(SystemClock.now())));
        world.keys.fill(4, 2).unwrap();
        let plan = Plan::school_morning(4);
        let fleet = Fleet::start(Arc::clone(&world), plan.devices(&world), 2);
        for k in 0..fleet.len() {
            fleet.enroll(k, parts().bytes());
        }
        assert!(fleet.settle(LONG));
        assert_eq!(fleet.troubles(), []);
        let states = fleet.map(|d| d.state().clone());
        assert_eq!(Progress::of(&states).find_stage(Milestone::Enrolled).unwrap().done, 4);
        fleet.enroll(0, b"junk".to_vec());
        assert!(fleet.settle(LONG));
        assert_eq!(fleet.troubles().len(), 1);
    }
}
