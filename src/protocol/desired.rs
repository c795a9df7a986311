//! Wanted against standing: which profiles a channel is to get and to lose, purely. Called by `service::reconciling`, which looks the
//! two sides up and queues what comes out; who assigned what is not known here.
//!
//! What stands is what the device acknowledged, never what was merely sent. One command about a profile is out at a time, so each
//! difference costs one command and an answer that is lost costs none. A refusal is tried again later and later, then becomes a fault.

use crate::base::time::{DAY, HOUR, Timestamp};

/// Waits after the first, second and every later refusal; when they are used up it is a person's turn.
pub const TRY_AGAIN: [i64; 4] = [HOUR, 4 * HOUR, DAY, DAY];

/// A profile that a channel should have, in this edition: what tells apart what would be sent now from what was sent before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<E> {
    pub profile: i64,
    pub edition: E,
}

/// A profile that management did something about on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing<E> {
    pub profile: i64,
    /// The edition that the device acknowledged and has not lost since.
    pub installed: Option<E>,
    /// The last command about it: an install, or a removal.
    pub installs: bool,
    /// The edition that it was about.
    pub edition: E,
    pub progress: Progress,
    /// A command about it was handed out and never answered: the device may have carried it out or not.
    pub uncertain: bool,
    /// Somebody took it off the device, and the school lets it be.
    pub let_go: bool,
}

/// How far the last command about a profile is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nobody carries it out at this moment: not handed out, or put off. It can be taken back.
    Waiting,
    /// Handed out; the device may be at it.
    Out,
    /// Finished: acknowledged, taken back, expired or cleared.
    Over,
    /// The device answered with an error. Without `again` it is a fault that waits for a person.
    Refused { again: Option<Timestamp> },
}

/// One thing to do, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Cancel the command about this profile that waits.
    TakeBack(i64),
    Install(i64),
    Remove(i64),
    /// Nothing of it is left on the device: take it out of the books.
    Forget(i64),
}

/// When a profile is tried again after so many refusals in a row; `None`: not by itself.
pub fn next_try(failures: u32, now: Timestamp) -> Option<Timestamp> {
    let wait = usize::try_from(failures).ok().and_then(|n| n.checked_sub(1)).and_then(|n| TRY_AGAIN.get(n));
    wait.map(|wait| now.plus(*wait))
}

/// The difference, as steps.
pub fn difference<E: Copy + Eq>(wanted: &[Wanted<E>], standing: &[Standing<E>], now: Timestamp) -> Vec<Step> {
    let mut steps = Vec::new();
    for want in wanted {
        match standing.iter().find(|s| s.profile == want.profile) {
            None => steps.push(Step::Install(want.profile)),
            Some(known) => towards(*want, known, now, &mut steps),
        }
    }
    for known in standing.iter().filter(|s| !wanted.iter().any(|w| w.profile == s.profile)) {
        away(known, &mut steps);
    }
    steps
}

fn towards<E: Copy + Eq>(want: Wanted<E>, known: &Standing<E>, now: Timestamp, steps: &mut Vec<Step>) {
    let about_this = known.installs && known.edition == want.edition;
    match known.progress {
        // What is out may be running; its answer brings us here again.
        Progress::Out => return,
        Progress::Waiting if about_this => return,
        Progress::Waiting => steps.push(Step::TakeBack(want.profile)),
        Progress::Refused { again } if about_this && again.is_none_or(|at| at > now) => return,
        Progress::Refused { .. } | Progress::Over => {}
    }
    let stays_off = known.let_go && known.edition == want.edition;
    if (known.installed != Some(want.edition) || known.uncertain) && !stays_off {
        steps.push(Step::Install(want.profile));
    }
}

fn away<E>(known: &Standing<E>, steps: &mut Vec<Step>) {
    match known.progress {
        Progress::Out => return,
        Progress::Waiting if !known.installs => return,
        Progress::Waiting => steps.push(Step::TakeBack(known.profile)),
        Progress::Refused { .. } | Progress::Over => {}
    }
    let may_stand = known.installed.is_some() || known.uncertain;
    steps.push(if may_stand { Step::Remove(known.profile) } else { Step::Forget(known.profile) });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, VecDeque};

    const NOW: Timestamp = Timestamp(1_000);

    fn standing(installed: Option<i64>, installs: bool, version: i64, progress: Progress) -> Standing<i64> {
        Standing { profile: 1, installed, installs, edition: version, progress, uncertain: false, let_go: false }
    }

    #[test]
    fn the_table() {
        use Progress::{Out, Over, Refused, Waiting};
        use Step::{Forget, Install, Remove, TakeBack};
        let later = Refused { again: Some(Timestamp(2_000)) };
        let due = Refused { again: Some(NOW) };
        let fault = Refused { again: None };
        // Standing; what follows when version 2 is wanted, and when nothing is.
        let table: [(Standing<i64>, &[Step], &[Step]); 12] = [
            (standing(Some(2), true, 2, Over), &[], &[Remove(1)]),
            (standing(Some(1), true, 1, Over), &[Install(1)], &[Remove(1)]),
            (standing(None, true, 2, Waiting), &[], &[TakeBack(1), Forget(1)]),
            (standing(Some(1), true, 2, Waiting), &[], &[TakeBack(1), Remove(1)]),
            (standing(None, true, 1, Waiting), &[TakeBack(1), Install(1)], &[TakeBack(1), Forget(1)]),
            (standing(None, true, 1, Out), &[], &[]),
            (standing(Some(2), false, 2, Waiting), &[TakeBack(1)], &[]),
            (standing(Some(2), false, 2, Out), &[], &[]),
            (standing(None, true, 2, later), &[], &[Forget(1)]),
            (standing(Some(1), true, 2, due), &[Install(1)], &[Remove(1)]),
            (standing(None, true, 2, fault), &[], &[Forget(1)]),
            (standing(None, true, 1, fault), &[Install(1)], &[Forget(1)]),
        ];
        for (known, wanted, unwanted) in table {
            assert_eq!(difference(&[Wanted { profile: 1, edition: 2 }], &[known], NOW), wanted, "wanted: {known:?}");
            assert_eq!(difference(&[], &[known], NOW), unwanted, "not wanted: {known:?}");
        }
        assert_eq!(difference(&[Wanted { profile: 1, edition: 2 }], &[], NOW), [Install(1)]);
        // Handed out, never answered, then put off: the device may have done it.
        let unsure = |known: Standing<i64>| Standing { uncertain: true, ..known };
        let install = unsure(standing(None, true, 2, Waiting));
        assert_eq!(difference(&[], &[install], NOW), [TakeBack(1), Remove(1)]);
        let removal = unsure(standing(Some(2), false, 2, Waiting));
        assert_eq!(difference(&[Wanted { profile: 1, edition: 2 }], &[removal], NOW), [TakeBack(1), Install(1)]);
        let off = Standing { let_go: true, ..standing(None, true, 2, Over) };
        assert_eq!(difference(&[Wanted { profile: 1, edition: 2 }], &[off], NOW), []);
        assert_eq!(
            difference(&[Wanted { profile: 1, edition: 3 }], &[off], NOW),
            [Install(1)],
            "a new version is tried"
        );
    }

    #[test]
    fn refusals_are_tried_later_and_later_and_then_no_more() {
        let waits: Vec<Option<i64>> = (0..7).map(|n| next_try(n, NOW).map(|at| at.since(NOW))).collect();
        assert_eq!(waits, [None, Some(HOUR), Some(4 * HOUR), Some(DAY), Some(DAY), None, None]);
    }

    /// What happens to a channel and its device, in any order.
    #[derive(Debug, Clone, Copy)]
    enum Happening {
        Want(i64),
        NewVersion(i64),
        Unwant(i64),
        /// The device comes and answers so.
        Answer(Answer),
        TimePasses,
    }

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Answer {
        Acknowledged,
        Error,
        NotNow,
        /// It did as it was told, and the answer never came.
        Lost,
    }

    #[derive(Debug, Clone, Copy)]
    struct Queued {
        profile: i64,
        installs: bool,
        version: i64,
        out: bool,
    }

    /// One channel with its books, its queue and its device.
    #[derive(Default)]
    struct World {
        wanted: BTreeMap<i64, i64>,
        versions: BTreeMap<i64, i64>,
        books: BTreeMap<i64, (Standing<i64>, u32)>,
        queue: VecDeque<Queued>,
        device: BTreeMap<i64, i64>,
        sent: usize,
        now: i64,
    }

    impl World {
        fn reconcile(&mut self) -> usize {
            let wanted: Vec<Wanted<i64>> =
                self.wanted.iter().map(|(profile, version)| Wanted { profile: *profile, edition: *version }).collect();
            let standing: Vec<Standing<i64>> = self.books.values().map(|(s, _)| *s).collect();
            let steps = difference(&wanted, &standing, Timestamp(self.now));
            for step in &steps {
                match *step {
                    Step::TakeBack(profile) => {
                        let before = self.queue.len();
                        self.queue.retain(|q| q.profile != profile || q.out);
                        assert_eq!(self.queue.len() + 1, before, "only what waits is taken back");
                        self.books.get_mut(&profile).unwrap().0.progress = Progress::Over;
                    }
                    Step::Install(profile) => self.queue_one(profile, true, self.wanted[&profile]),
                    Step::Remove(profile) => self.queue_one(profile, false, self.books[&profile].0.edition),
                    Step::Forget(profile) => {
                        assert!(!self.queue.iter().any(|q| q.profile == profile));
                        self.books.remove(&profile);
                    }
                }
            }
            steps.len()
        }

        fn queue_one(&mut self, profile: i64, installs: bool, version: i64) {
            assert!(!self.queue.iter().any(|q| q.profile == profile), "one command about a profile at a time");
            self.queue.push_back(Queued { profile, installs, version, out: false });
            let (installed, uncertain, failures) = self.books.get(&profile).map_or((None, false, 0), |(s, f)| {
                (s.installed, s.uncertain, if s.edition == version { *f } else { 0 })
            });
            let progress = Progress::Waiting;
            let standing =
                Standing { profile, installed, installs, edition: version, progress, uncertain, let_go: false };
            self.books.insert(profile, (standing, failures));
            self.sent += 1;
        }

        fn come(&mut self, answer: Answer) {
            let Some(mut command) = self.queue.pop_front() else { return };
            command.out = true;
            let does = |device: &mut BTreeMap<i64, i64>| {
                if command.installs {
                    device.insert(command.profile, command.version);
                } else {
                    device.remove(&command.profile);
                }
            };
            let (standing, failures) = self.books.get_mut(&command.profile).unwrap();
            match answer {
                Answer::Acknowledged => {
                    does(&mut self.device);
                    standing.installed = command.installs.then_some(command.version);
                    standing.progress = Progress::Over;
                    standing.uncertain = false;
                    *failures = 0;
                    if !command.installs {
                        self.books.remove(&command.profile);
                    }
                }
                Answer::Error if command.installs => {
                    *failures += 1;
                    standing.progress = Progress::Refused { again: next_try(*failures, Timestamp(self.now)) };
                }
                // A profile that cannot be removed is not there.
                Answer::Error => {
                    self.device.remove(&command.profile);
                    self.books.remove(&command.profile);
                }
                Answer::NotNow => {
                    standing.progress = Progress::Waiting;
                    command.out = false;
                    self.queue.push_back(command);
                }
                Answer::Lost => {
                    does(&mut self.device);
                    standing.progress = Progress::Out;
                    standing.uncertain = true;
                    self.queue.push_front(command);
                }
            }
            self.reconcile();
        }
    }

    fn happening() -> impl Strategy<Value = Happening> {
        let answers = vec![Answer::Acknowledged, Answer::Acknowledged, Answer::Error, Answer::NotNow, Answer::Lost];
        prop_oneof![
            (0..6_i64).prop_map(Happening::Want),
            (0..6_i64).prop_map(Happening::NewVersion),
            (0..6_i64).prop_map(Happening::Unwant),
            proptest::sample::select(answers).prop_map(Happening::Answer),
            Just(Happening::TimePasses),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_it_comes_to_rest_with_what_is_wanted(story in proptest::collection::vec(happening(), 0..80)) {
            let mut world = World::default();
            for happens in story {
                match happens {
                    Happening::Want(profile) => {
                        let version = *world.versions.entry(profile).or_insert(1);
                        world.wanted.insert(profile, version);
                    }
                    Happening::NewVersion(profile) => {
                        let version = world.versions.entry(profile).or_insert(1);
                        *version += 1;
                        if let Some(wanted) = world.wanted.get_mut(&profile) {
                            *wanted = *version;
                        }
                    }
                    Happening::Unwant(profile) => {
                        world.wanted.remove(&profile);
                    }
                    Happening::Answer(answer) => world.come(answer),
                    Happening::TimePasses => world.now += HOUR,
                }
                world.reconcile();
                prop_assert_eq!(world.reconcile(), 0, "looking twice queues nothing");
            }
            // From now on the device does as it is told; what failed too often gets a new version from somebody.
            for _ in 0..40 {
                world.now += DAY;
                world.reconcile();
                world.come(Answer::Acknowledged);
            }
            let fault = Progress::Refused { again: None };
            let faults: Vec<i64> =
                world.books.values().filter(|(s, _)| s.progress == fault).map(|(s, _)| s.profile).collect();
            for profile in faults {
                *world.wanted.get_mut(&profile).unwrap() += 1;
            }
            world.reconcile();
            for _ in 0..10 {
                world.come(Answer::Acknowledged);
            }
            prop_assert_eq!(&world.device, &world.wanted);
            prop_assert!(world.queue.is_empty());
        }

        #[test]
        fn a_device_that_obeys_gets_each_difference_once(
            first in proptest::collection::btree_map(0..12_i64, 1..3_i64, 0..12),
            then in proptest::collection::btree_map(0..12_i64, 1..3_i64, 0..12),
        ) {
            let mut world = World { wanted: first.clone(), ..World::default() };
            world.reconcile();
            for _ in 0..first.len() {
                world.come(Answer::Acknowledged);
            }
            prop_assert_eq!(world.sent, first.len());
            world.wanted = then.clone();
            world.reconcile();
            for _ in 0..40 {
                world.come(Answer::Acknowledged);
            }
            let added = then.iter().filter(|(p, v)| first.get(p) != Some(v)).count();
            let gone = first.keys().filter(|p| !then.contains_key(p)).count();
            prop_assert_eq!(world.sent - first.len(), added + gone);
            prop_assert_eq!(&world.device, &then);
        }
    }
}
