//! Which device is to be renewed now, and why: purely from its certificate, its profile, the school's policy and the last attempt. Called by
//! the round of the job and by who shows when a device's turn is; `resigning` spreads its work by the same rule.

use super::Cause;
use crate::base::time::{DAY, Timestamp};
use crate::pki::digest::sha256;
use crate::service::device_policy::Policy;
use crate::service::replacing;
use crate::store::DueRow;

/// A profile is replaced this long before the first certificate in it, or its signer's, ends.
const PROFILE_MARGIN: i64 = 60 * DAY;

/// When an identity is renewed by itself: at a share of its life left, spread by device so that those which enrolled together do not
/// renew together. Always well before the end.
pub(super) fn due_at(row: &DueRow, policy: &Policy) -> Timestamp {
    let life = row.not_after.since(row.not_before).max(0);
    let left = life / 100 * policy.renew_at_percent;
    let window = (policy.renew_spread_days * DAY).min(left / 2);
    row.not_after.plus(-left).plus(spread(&row.device_id, window))
}

/// A share of `window` that follows from the device alone.
pub(in crate::service) fn spread(device_id: &str, window: i64) -> i64 {
    let digest = sha256(device_id.as_bytes());
    let share = i64::from(u16::from_be_bytes([digest[0], digest[1]]));
    window / 65_536 * share
}

/// Why this device should be renewed now, if it should.
pub(super) fn cause(row: &DueRow, policy: &Policy, fresh: &replacing::Fresh, now: Timestamp) -> Option<Cause> {
    if due_at(row, policy) <= now {
        return Some(Cause::Identity);
    }
    if fresh.is_missing(&row.certificates) {
        return Some(Cause::Authorities);
    }
    let ends = row.profile_ends_at?;
    // A profile made today must end later, or nothing would be won.
    (ends.plus(-PROFILE_MARGIN) <= now && fresh.profile_ends_at > ends.plus(DAY)).then_some(Cause::Profile)
}

/// What keeps a due device from being renewed now.
pub(super) fn waits(row: &DueRow, now: Timestamp) -> bool {
    match &row.last {
        Some(last) if last.finished_at.is_none() => true,
        Some(last) => last.next_try_at.is_some_and(|at| at > now),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(device: &str, days: i64) -> DueRow {
        DueRow {
            enrollment: 1,
            device: 1,
            device_id: device.to_owned(),
            issued_profile: 1,
            not_before: Timestamp(0),
            not_after: Timestamp(days * DAY),
            access_rights: 8191,
            profile_ends_at: None,
            certificates: String::new(),
            last: None,
        }
    }

    #[test]
    fn a_school_that_enrolled_on_one_day_renews_over_two_weeks() {
        let policy = Policy::default();
        let days: Vec<i64> = (0..2_000).map(|n| due_at(&row(&format!("d-{n}"), 365), &policy).0 / DAY).collect();
        let (first, last) = (*days.iter().min().unwrap(), *days.iter().max().unwrap());
        assert!(first >= 365 * 67 / 100 - 1 && last <= 365 * 67 / 100 + 14, "{first} {last}");
        for day in first..last {
            let on_it = days.iter().filter(|d| **d == day).count();
            assert!(on_it < 250, "{on_it} on day {day}");
        }
    }

    #[test]
    fn short_lives_are_renewed_in_time_too() {
        let policy = Policy { renew_spread_days: 60, renew_at_percent: 10, ..Policy::default() };
        for n in 0..100 {
            let due = due_at(&row(&format!("d-{n}"), 10), &policy);
            assert!(due < Timestamp(10 * DAY).plus(-DAY / 2), "{due}");
        }
    }
}
