//! A series in which somebody waits: the login that a Mac holds up until it has everything, and Setup Assistant's look at password
//! policy. Pure rules; called by `service::series` for user channels, which have one conversation each.
//!
//! Everything that waits goes out in the one series, each command once, without a push. An empty answer ends it and lets the person in.

use super::queue::WaitingState;
use super::report::Status;
use super::sender::Sender;
use crate::base::time::Timestamp;
use std::cmp::Reverse;

/// What the person waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Series {
    /// `NeedSyncResponse`: a login is held up until the first empty answer.
    Login,
    /// `UserConfiguration`: there is no account yet. Everything is answered NotNow and forgotten by the Mac, except that it reads
    /// passcode policies out of the profiles.
    Setup,
}

impl Series {
    pub fn as_str(self) -> &'static str {
        match self {
            Series::Login => "login",
            Series::Setup => "setup",
        }
    }

    pub fn find(text: &str) -> Option<Series> {
        [Series::Login, Series::Setup].into_iter().find(|series| series.as_str() == text)
    }
}

/// What a report means for the series of its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Not part of one; a series that was open is over, because the device began something else.
    Outside,
    /// A new one begins: everything is to be offered (again).
    Begins(Series),
    /// The one that is open goes on.
    GoesOn,
}

/// Reads the flags of a report against the series that is open on its channel.
///
/// The flags may come with every request of a series or with its first alone; an Idle begins, everything else goes on.
pub fn turn(from: &Sender, status: Status, open: bool) -> Turn {
    let flagged = match (from.is_user(), from.user_configuration, from.need_sync_response) {
        (false, ..) => None,
        // Both would be odd: what cannot be kept must not count as delivered.
        (true, true, _) => Some(Series::Setup),
        (true, false, true) => Some(Series::Login),
        (true, false, false) => None,
    };
    match (flagged, status) {
        (Some(series), Status::Idle) => Turn::Begins(series),
        (_, status) if open && status != Status::Idle => Turn::GoesOn,
        (Some(series), _) => Turn::Begins(series),
        (None, _) => Turn::Outside,
    }
}

/// An unfinished command of a channel with an open series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub seq: i64,
    pub state: WaitingState,
    pub priority: i64,
    /// Handed out in this series already.
    pub handed_out: bool,
}

/// The next command of a series; `None` ends it.
///
/// First what an earlier conversation left unanswered, then by priority (passcode policies have one), then by age. Nothing goes out
/// twice, so a series ends after at most as many steps as there are commands, whatever the device answers.
pub fn select(candidates: &[Candidate]) -> Option<&Candidate> {
    let left = candidates.iter().filter(|c| !c.handed_out);
    left.min_by_key(|c| (c.state != WaitingState::Sent, Reverse(c.priority), c.seq))
}

/// Whether a login may be held up any longer. What is left then goes out by push, once the person is in.
pub fn may_go_on(series: Series, since: Timestamp, now: Timestamp, budget: i64) -> bool {
    // Setup Assistant keeps nothing of what it is told, so cutting it short would lose the policies and win nothing.
    series == Series::Setup || now.since(since) < budget
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plist::parse_dict;
    use crate::protocol::samples::{doc, strings};
    use proptest::prelude::*;

    fn sender(user: bool, flags: &[&str]) -> Sender {
        let mut inner = strings(&[("UDID", "A-1")]);
        if user {
            inner += &strings(&[("UserID", "G")]);
        }
        for flag in flags {
            inner += &format!("<key>{flag}</key><true/>");
        }
        Sender::parse(&parse_dict(&doc(&inner)).unwrap()).unwrap()
    }

    #[test]
    fn when_a_series_begins_and_goes_on() {
        use Status::{Acknowledged, Idle, NotNow};
        let (sync, setup) = (&["NeedSyncResponse"][..], &["UserConfiguration"][..]);
        let both = &["NeedSyncResponse", "UserConfiguration"][..];
        let (login, set_up) = (Turn::Begins(Series::Login), Turn::Begins(Series::Setup));
        let table = [
            (true, &[][..], Idle, false, Turn::Outside),
            (true, &[][..], Idle, true, Turn::Outside),
            (true, &[][..], NotNow, false, Turn::Outside),
            (true, &[][..], NotNow, true, Turn::GoesOn),
            (true, sync, Idle, false, login),
            (true, sync, Idle, true, login),
            (true, sync, Acknowledged, true, Turn::GoesOn),
            (true, sync, Acknowledged, false, login),
            (true, setup, Idle, false, set_up),
            (true, setup, NotNow, true, Turn::GoesOn),
            (true, both, Idle, false, set_up),
            // A device has no login to hold up, whatever it says.
            (false, sync, Idle, false, Turn::Outside),
        ];
        for (user, flags, status, open, wanted) in table {
            assert_eq!(turn(&sender(user, flags), status, open), wanted, "{user} {flags:?} {status:?} {open}");
        }
    }

    #[test]
    fn the_order_of_a_series() {
        use WaitingState::{NotNow, Queued, Sent};
        let one = |seq, state, priority, handed_out| Candidate { seq, state, priority, handed_out };
        let all = [one(1, Queued, 0, false), one(2, NotNow, 1, false), one(3, Sent, 0, false), one(4, Queued, 1, true)];
        assert_eq!(select(&all).map(|c| c.seq), Some(3));
        assert_eq!(select(&all[..2]).map(|c| c.seq), Some(2));
        assert_eq!(select(&all[..1]).map(|c| c.seq), Some(1));
        assert_eq!(select(&all[3..]), None);
    }

    #[test]
    fn a_login_is_not_held_up_for_ever() {
        let (since, budget) = (Timestamp(1_000), 20);
        assert!(may_go_on(Series::Login, since, Timestamp(1_019), budget));
        assert!(!may_go_on(Series::Login, since, Timestamp(1_020), budget));
        assert!(may_go_on(Series::Setup, since, Timestamp(9_999), budget));
    }

    proptest! {
        #[test]
        fn every_command_goes_out_exactly_once(states in prop::collection::vec((0_usize..3, -1_i64..2), 0..30)) {
            let of = [WaitingState::Queued, WaitingState::Sent, WaitingState::NotNow];
            let mut all: Vec<Candidate> = states.iter().zip(0..)
                .map(|((state, priority), seq)| Candidate { seq, state: of[*state], priority: *priority, handed_out: false })
                .collect();
            let mut steps = 0;
            while let Some(seq) = select(&all).map(|c| c.seq) {
                let at = usize::try_from(seq).unwrap();
                prop_assert!(!all[at].handed_out);
                all[at].handed_out = true;
                all[at].state = WaitingState::NotNow;
                steps += 1;
            }
            prop_assert_eq!(steps, all.len());
        }
    }
}
