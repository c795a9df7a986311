//! Profiles that were signed with a certificate of ours that comes to its end are sent again, signed by its successor: the same
//! PayloadIdentifier, so they are replaced in place, and not all on one day.
//!
//! Called by `reconciling`, for which the signer is a part of a profile's edition, and by `jobs`. The MDM profile is `renewing`'s; new
//! signers are `replacing`'s.

use super::{Context, Error, reconciling, renewing};
use crate::base::time::{DAY, Timestamp};
use crate::store::{ChannelProfileRow, Db, EnrollmentRow};

/// The first devices get their profiles anew this long before the signer's certificate ends. Its successor is there by then.
const BEGINS: i64 = 120 * DAY;
/// The last ones this long after the first: two months are left for those that sleep through their turn.
const SPREAD: i64 = 60 * DAY;
/// Channels that one round of the job takes up; a round is a minute.
const PER_ROUND: usize = 25;

/// When a device gets what is signed with a certificate that ends then.
fn due_at(device: &str, ends: Timestamp) -> Timestamp {
    ends.plus(-BEGINS).plus(renewing::spread(device, SPREAD))
}

/// Who is to have signed a profile on this channel, by fingerprint: whoever has, as long as that is good for a while; else today's.
///
/// # Errors
/// Faults of the store.
#[allow(clippy::too_many_arguments, reason = "one call of one fact each; a struct would only rename them")]
pub(super) fn signer(
    cx: &Context,
    db: &Db<'_>,
    channel: &EnrollmentRow,
    profile: i64,
    known: Option<&ChannelProfileRow>,
    edition: (i64, i64),
    now: Timestamp,
) -> Result<Option<[u8; 32]>, Error> {
    let authorities = cx.authorities();
    let today = &authorities.signer.certificate;
    let fresh = Some(today.fingerprint());
    let signed = known.and_then(|known| {
        let on_its_way = known.signer.filter(|_| known.installs && (known.version, known.fill) == edition);
        let stands = known.installed.filter(|version| (*version, known.installed_fill) == edition);
        on_its_way.or_else(|| stands.and(known.installed_signer))
    });
    let Some(signed) = signed.filter(|signed| Some(*signed) != fresh) else { return Ok(fresh) };
    let Some(old) = db.find_certificate(&signed)? else { return Ok(fresh) };
    // A successor that ends no later would win nothing.
    if today.not_after() <= old.not_after.plus(DAY) || cx.clock_is_behind().is_some() {
        return Ok(Some(signed));
    }
    // An account's password was forgotten when its profile was acknowledged: that profile is made anew only with a new password.
    if known.is_some_and(|known| known.installed.is_some()) && db.find_account_of_profile(profile)?.is_some() {
        return Ok(Some(signed));
    }
    let device = db.find_device(channel.device)?.ok_or_else(|| Error::internal("a channel without its device"))?;
    Ok(if due_at(&device.public_id, old.not_after) <= now { fresh } else { Some(signed) })
}

/// One round of the job: sends what is due now, to some channels. Returns how many commands that took.
///
/// # Errors
/// Faults of the store. Nothing happens while the clock is behind.
pub fn run(cx: &Context) -> Result<usize, Error> {
    if cx.clock_is_behind().is_some() {
        return Ok(0);
    }
    let (now, today) = (cx.now(), cx.authorities().signer.certificate.fingerprint());
    let rows = cx.store.read(|db| db.list_signed_by_others(&today, now.plus(BEGINS)))?;
    let (mut queued, mut channels) = (0, 0);
    for (channel, device, ends) in rows {
        if channels == PER_ROUND {
            break;
        }
        if due_at(&device, ends) <= now {
            let sent = reconciling::reconcile_all(cx, &[channel])?;
            channels += usize::from(sent > 0);
            queued += sent;
        }
    }
    Ok(queued)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_has_its_own_day_well_before_the_end() {
        let ends = Timestamp::from_secs(2_000_000_000);
        let days: Vec<i64> = (0..200).map(|n| ends.since(due_at(&format!("d-{n}"), ends)) / DAY).collect();
        assert!(days.iter().all(|day| (60..=120).contains(day)), "{days:?}");
        let mut different = days.clone();
        different.sort_unstable();
        different.dedup();
        assert!(different.len() > 40, "{} days for 200 devices", different.len());
    }
}
