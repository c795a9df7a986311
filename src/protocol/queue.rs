//! The command queue's rules, purely: what a status does to a delivery, which command comes next, when a push is owed.
//!
//! Called by `service::commands`; the store does [`select`] in SQL (the ORDER BY stands in its doc) and must agree with it.
//! The one trap: a device asks again by itself only if NotNow was the *last* thing it said.

use super::report::Status;
use crate::base::time::Timestamp;
use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

/// One command for one enrollment, from the cradle to the grave. Spelled the same in the database, in JSON and on screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    Queued,
    /// Handed out, not answered yet. Handed out again, byte for byte, until it is.
    Sent,
    NotNow,
    Acknowledged,
    Error,
    CommandFormatError,
    /// Taken back by a person.
    Cancelled,
    Expired,
    /// Swept away because the device enrolled anew.
    Cleared,
}

impl DeliveryState {
    pub const ALL: [DeliveryState; 9] = [
        DeliveryState::Queued,
        DeliveryState::Sent,
        DeliveryState::NotNow,
        DeliveryState::Acknowledged,
        DeliveryState::Error,
        DeliveryState::CommandFormatError,
        DeliveryState::Cancelled,
        DeliveryState::Expired,
        DeliveryState::Cleared,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            DeliveryState::Queued => "Queued",
            DeliveryState::Sent => "Sent",
            DeliveryState::NotNow => "NotNow",
            DeliveryState::Acknowledged => "Acknowledged",
            DeliveryState::Error => "Error",
            DeliveryState::CommandFormatError => "CommandFormatError",
            DeliveryState::Cancelled => "Cancelled",
            DeliveryState::Expired => "Expired",
            DeliveryState::Cleared => "Cleared",
        }
    }

    /// Nothing more will happen to it: only history is left.
    pub fn is_finished(self) -> bool {
        !matches!(self, DeliveryState::Queued | DeliveryState::Sent | DeliveryState::NotNow)
    }
}

impl fmt::Display for DeliveryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no [`DeliveryState`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a state of a command")]
pub struct UnknownState;

impl FromStr for DeliveryState {
    type Err = UnknownState;
    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(UnknownState)
    }
}

/// What a reported status does to the delivery it names. Whatever it is, the answer is 200 and the next command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settle {
    /// Store the result and finish with this state.
    Finish(DeliveryState),
    /// Keep it; count the NotNow.
    NotNow,
    /// The same final status again (the device did not hear us): nothing to store.
    Duplicate,
    /// Finished otherwise in the meantime: note it in the history, change nothing. Never re-opens a command.
    Late,
    /// Idle settles nothing.
    Nothing,
}

/// Applies a status to the delivery that the report names by its CommandUUID.
///
/// A command that we believe `Queued` may be answered: after a restore from backup the server remembers less than the device.
pub fn settle(current: DeliveryState, status: Status) -> Settle {
    let finished = match status {
        Status::Idle => return Settle::Nothing,
        Status::NotNow if current.is_finished() => return Settle::Late,
        Status::NotNow => return Settle::NotNow,
        Status::Acknowledged => DeliveryState::Acknowledged,
        Status::Error => DeliveryState::Error,
        Status::CommandFormatError => DeliveryState::CommandFormatError,
    };
    match current {
        DeliveryState::Queued | DeliveryState::Sent | DeliveryState::NotNow => Settle::Finish(finished),
        same if same == finished => Settle::Duplicate,
        _ => Settle::Late,
    }
}

/// Where an unfinished delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WaitingState {
    Queued,
    Sent,
    NotNow,
}

/// One unfinished delivery of one enrollment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Order of creation.
    pub seq: i64,
    pub state: WaitingState,
    /// Higher goes first among those never refused.
    pub priority: i64,
    /// Not handed out before this instant.
    pub not_before: Option<Timestamp>,
    /// Not handed out from this instant on; it becomes Expired.
    pub expires_at: Option<Timestamp>,
    /// When the device last answered NotNow to it: milliseconds, or any number that grows. 0 if it never did.
    pub not_now_at: i64,
}

impl Waiting {
    fn is_due(&self, now: Timestamp) -> bool {
        self.not_before.is_none_or(|at| at <= now) && self.expires_at.is_none_or(|at| at > now)
    }
}

/// The next command for an enrollment, or `None`: end the session with zero bytes.
///
/// `answering` is the status in the request being answered; `None` and `Idle` are the same.
///
/// 1. One that was sent and not answered goes again, so that nothing overtakes a lost answer.
/// 2. Then those never refused: highest priority, then oldest.
/// 3. Then those that said NotNow, the one whose NotNow is longest ago first, so that one stubborn command cannot hold up the
///    others; but never in direct reply to a NotNow, or the session would not end. As every NotNow'd command is offered after
///    any other status, a session that leaves one behind ends on NotNow, and the device comes back by itself.
///
/// In SQL, over the unfinished deliveries of one enrollment (`:not_now` is 1 when the request being answered says NotNow):
///
/// ```sql
/// WHERE state IN ('Queued', 'Sent', 'NotNow') AND NOT (:not_now AND state = 'NotNow')
///   AND coalesce(not_before, :now) <= :now AND coalesce(expires_at, :now + 1) > :now
/// ORDER BY CASE state WHEN 'Sent' THEN 0 WHEN 'Queued' THEN 1 ELSE 2 END,
///          CASE state WHEN 'NotNow' THEN not_now_at ELSE -priority END, -priority, seq
/// LIMIT 1
/// ```
pub fn select(waiting: &[Waiting], answering: Option<Status>, now: Timestamp) -> Option<&Waiting> {
    let refused = answering == Some(Status::NotNow);
    let eligible = |w: &&Waiting| w.is_due(now) && !(refused && w.state == WaitingState::NotNow);
    waiting.iter().filter(eligible).min_by_key(|w| {
        let priority = Reverse(w.priority);
        match w.state {
            WaitingState::Sent => (0, 0, priority, w.seq),
            WaitingState::Queued => (1, 0, priority, w.seq),
            WaitingState::NotNow => (2, w.not_now_at, priority, w.seq),
        }
    })
}

/// Whether a push is owed once a series of requests is over, because the zero-byte answer was given or the connection is gone.
///
/// A device that said NotNow last comes back by itself for the commands it refused. For everything else it must be called:
/// commands that arrived meanwhile, one that was sent and never answered, and refused ones when the series broke off after another status.
pub fn needs_push_after(last: Status, left: &[Waiting], now: Timestamp) -> bool {
    left.iter().any(|w| w.is_due(now) && !(last == Status::NotNow && w.state == WaitingState::NotNow))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_000);

    fn waiting(seq: i64, state: WaitingState) -> Waiting {
        let not_now_at = if state == WaitingState::NotNow { seq } else { 0 };
        Waiting { seq, state, priority: 0, not_before: None, expires_at: None, not_now_at }
    }

    #[test]
    fn states_spell_and_read_back() {
        for state in DeliveryState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
            assert_eq!(format!("{state:?}"), state.as_str());
        }
        assert_eq!("queued".parse::<DeliveryState>(), Err(UnknownState));
    }

    #[test]
    fn every_state_meets_every_status() {
        use DeliveryState as D;
        use Settle as S;
        // Acknowledged, Error, CommandFormatError, NotNow
        let rows = [
            (D::Queued, [S::Finish(D::Acknowledged), S::Finish(D::Error), S::Finish(D::CommandFormatError), S::NotNow]),
            (D::Sent, [S::Finish(D::Acknowledged), S::Finish(D::Error), S::Finish(D::CommandFormatError), S::NotNow]),
            (D::NotNow, [S::Finish(D::Acknowledged), S::Finish(D::Error), S::Finish(D::CommandFormatError), S::NotNow]),
            (D::Acknowledged, [S::Duplicate, S::Late, S::Late, S::Late]),
            (D::Error, [S::Late, S::Duplicate, S::Late, S::Late]),
            (D::CommandFormatError, [S::Late, S::Late, S::Duplicate, S::Late]),
            (D::Cancelled, [S::Late, S::Late, S::Late, S::Late]),
            (D::Expired, [S::Late, S::Late, S::Late, S::Late]),
            (D::Cleared, [S::Late, S::Late, S::Late, S::Late]),
        ];
        assert_eq!(rows.map(|row| row.0), D::ALL);
        for (state, wanted) in rows {
            let statuses = [Status::Acknowledged, Status::Error, Status::CommandFormatError, Status::NotNow];
            assert_eq!(statuses.map(|status| settle(state, status)), wanted, "{state}");
            assert_eq!(settle(state, Status::Idle), Settle::Nothing);
            assert_eq!(state.is_finished(), !wanted.contains(&Settle::NotNow), "{state}");
        }
    }

    #[test]
    fn the_order() {
        use WaitingState::*;
        let next = |queue: &[Waiting], answering| select(queue, answering, NOW).map(|w| w.seq);
        let idle = Some(Status::Idle);
        assert_eq!(next(&[], idle), None);
        assert_eq!(next(&[waiting(2, Queued), waiting(1, Queued)], idle), Some(1));
        // Sent and unanswered goes again, even against a higher priority.
        let urgent = Waiting { priority: 9, ..waiting(3, Queued) };
        assert_eq!(next(&[waiting(1, Queued), waiting(2, Sent), urgent.clone()], idle), Some(2));
        assert_eq!(next(&[waiting(1, Queued), urgent], idle), Some(3));
        // A: NotNow, B: Acknowledged, A again: NotNow, end.
        let (a, b) = (waiting(1, NotNow), waiting(2, Queued));
        assert_eq!(next(&[a.clone(), b], Some(Status::NotNow)), Some(2));
        assert_eq!(next(std::slice::from_ref(&a), Some(Status::Acknowledged)), Some(1));
        assert_eq!(next(std::slice::from_ref(&a), Some(Status::NotNow)), None);
        assert_eq!(next(&[a], None), Some(1));
        // The longest refused goes first, whatever its age.
        let fresh_refusal = Waiting { not_now_at: 50, ..waiting(1, NotNow) };
        assert_eq!(next(&[fresh_refusal, waiting(7, NotNow)], idle), Some(7));
    }

    #[test]
    fn neither_early_nor_expired() {
        let early = Waiting { not_before: Some(NOW.plus(1)), ..waiting(1, WaitingState::Queued) };
        let expired = Waiting { expires_at: Some(NOW), ..waiting(2, WaitingState::Queued) };
        let due = Waiting { not_before: Some(NOW), expires_at: Some(NOW.plus(1)), ..waiting(3, WaitingState::Queued) };
        let queue = [early, expired, due];
        assert_eq!(select(&queue, None, NOW).map(|w| w.seq), Some(3));
        assert!(!needs_push_after(Status::Acknowledged, &queue[..2], NOW));
    }

    #[test]
    fn a_push_is_owed_unless_the_device_comes_back_by_itself() {
        use WaitingState::*;
        let rows = [
            (Status::NotNow, vec![waiting(1, NotNow)], false),
            (Status::Acknowledged, vec![waiting(1, NotNow)], true),
            (Status::Error, vec![waiting(1, NotNow)], true),
            (Status::Idle, vec![waiting(1, NotNow)], true),
            (Status::NotNow, vec![waiting(1, NotNow), waiting(2, Queued)], true),
            (Status::NotNow, vec![waiting(1, Sent)], true),
            (Status::Acknowledged, vec![], false),
        ];
        for (last, left, wanted) in rows {
            assert_eq!(needs_push_after(last, &left, NOW), wanted, "{last:?} {left:?}");
        }
    }

    /// What the model device says to each command, in turn; the last word is repeated.
    fn moods() -> impl Strategy<Value = Vec<Vec<Status>>> {
        let word = prop_oneof![
            3 => Just(Status::NotNow),
            3 => Just(Status::Acknowledged),
            1 => Just(Status::Error),
            1 => Just(Status::CommandFormatError),
        ];
        prop::collection::vec(prop::collection::vec(word, 1..5), 0..12)
    }

    fn start() -> impl Strategy<Value = Vec<(WaitingState, i64)>> {
        use WaitingState::*;
        prop::collection::vec((prop_oneof![4 => Just(Queued), 1 => Just(Sent), 2 => Just(NotNow)], -1_i64..2), 12)
    }

    struct Model {
        queue: Vec<(Waiting, DeliveryState)>,
        moods: Vec<Vec<Status>>,
        finished: Vec<usize>,
        clock: i64,
    }

    impl Model {
        fn waiting(&self) -> Vec<Waiting> {
            self.queue.iter().filter(|(_, state)| !state.is_finished()).map(|(w, _)| w.clone()).collect()
        }

        fn report(&mut self, seq: i64, status: Status) {
            let at = usize::try_from(seq).unwrap();
            self.clock += 1;
            let (row, state) = &mut self.queue[at];
            match settle(*state, status) {
                Settle::Finish(last) => {
                    *state = last;
                    self.finished[at] += 1;
                }
                Settle::NotNow => {
                    *state = DeliveryState::NotNow;
                    row.state = WaitingState::NotNow;
                    row.not_now_at = self.clock;
                }
                Settle::Duplicate | Settle::Late | Settle::Nothing => assert!(state.is_finished()),
            }
        }

        /// One session; `repeat` says every report twice, as a device does that lost our answer. Returns the last status said.
        fn session(&mut self, repeat: bool) -> (Status, usize) {
            let (mut said, mut steps) = (Status::Idle, 0);
            while let Some(seq) = select(&self.waiting(), Some(said), NOW).map(|w| w.seq) {
                let at = usize::try_from(seq).unwrap();
                self.queue[at].0.state = WaitingState::Sent;
                self.queue[at].1 = DeliveryState::Sent;
                said = if self.moods[at].len() > 1 { self.moods[at].remove(0) } else { self.moods[at][0] };
                self.report(seq, said);
                if repeat {
                    self.report(seq, said);
                }
                steps += 1;
                assert!(steps < 1_000, "the session does not end");
            }
            (said, steps)
        }
    }

    proptest! {
        #[test]
        fn sessions_end_and_end_on_notnow_if_anything_is_left(moods in moods(), start in start(), repeat in any::<bool>()) {
            let queue = moods.iter().zip(&start).zip(0..).map(|((_, (state, priority)), seq)| {
                let delivery = match state {
                    WaitingState::Queued => DeliveryState::Queued,
                    WaitingState::Sent => DeliveryState::Sent,
                    WaitingState::NotNow => DeliveryState::NotNow,
                };
                (Waiting { priority: *priority, ..waiting(seq, *state) }, delivery)
            });
            let count = moods.len();
            let mut model = Model { queue: queue.collect(), moods, finished: vec![0; count], clock: 100 };
            for _ in 0..6 {
                let before = model.waiting().len();
                let (last, steps) = model.session(repeat);
                // Each refusal offered again costs one other command finished, so a session stays short.
                prop_assert!(steps <= 3 * before + 1);
                prop_assert!(model.finished.iter().all(|times| *times <= 1));
                let left = model.waiting();
                if !left.is_empty() {
                    prop_assert!(left.iter().all(|w| w.state == WaitingState::NotNow));
                    prop_assert_eq!(last, Status::NotNow);
                }
                prop_assert!(!needs_push_after(last, &left, NOW));
            }
        }

        #[test]
        fn a_stubborn_command_does_not_hold_up_the_others(count in 2_usize..8) {
            let queue = (0..).take(count).map(|seq| (waiting(seq, WaitingState::NotNow), DeliveryState::NotNow)).collect();
            let mut moods = vec![vec![Status::Acknowledged]; count];
            moods[0] = vec![Status::NotNow];
            let mut model = Model { queue, moods, finished: vec![0; count], clock: 100 };
            model.session(false);
            model.session(false);
            prop_assert_eq!(model.waiting().len(), 1);
        }
    }
}
