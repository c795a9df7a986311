//! Is all well? What a monitor and `cordon status` ask, with a reason for every no; and the numbers behind `/metrics`. Called by `http`
//! and by the doctor, which looks deeper.

use super::actor::Actor;
use super::expiry::{self, Renewal};
use super::{Context, Error, activity, backing_up, faults, lost, mailing, push_certificates, serving};
use crate::base::limits::MIN_FREE_SPACE;
use crate::base::texts::Text;
use crate::base::time::DAY;
use crate::store::Gauges;

/// A certificate that renews by itself should have done so long before.
const RENEWAL_IS_LATE: i64 = 7 * DAY;

/// What is not all right, in words, and how many devices there are.
#[derive(Debug, Clone)]
pub struct Health {
    pub reasons: Vec<String>,
    /// Started, Active, Gone.
    pub devices: (i64, i64, i64),
}

/// # Errors
/// Faults of the store: then nothing is well.
pub fn examine(cx: &Context) -> Result<Health, Error> {
    let mut reasons = Vec::new();
    if let Some(seen) = cx.clock_is_behind() {
        reasons.push(Text::ClockBehind { now: cx.now().to_string(), seen: seen.to_string() }.to_string());
    }
    if cx.store.free_space()? < MIN_FREE_SPACE {
        reasons.push(Text::DiskFull.to_string());
    }
    for certificate in push_certificates::list(cx, &Actor::Job("health"))? {
        if certificate.not_after < cx.now() {
            reasons.push(format!("The push certificate {} expired at {}.", certificate.topic, certificate.not_after));
        }
        if let Some(why) = certificate.paused_why {
            reasons.push(format!("Apple refuses the push certificate {}: {why}.", certificate.topic));
        }
    }
    reasons.extend(faults::pushes_fail(cx).map(|text| text.to_string()));
    reasons.extend(faults::tokens_bad(cx).map(|text| text.to_string()));
    if let Some(why) = backing_up::find_worry(cx) {
        reasons.push(format!("The last backup failed: {why}"));
    }
    reasons.extend(activity::worry(cx)?);
    reasons.extend(mailing::worry(cx)?);
    reasons.extend(lost::worries(cx)?);
    reasons.extend(serving::find_fault(cx)?);
    for entry in expiry::entries(cx)? {
        let alone = entry.renewal == Renewal::Alone && entry.count == 1;
        if alone && entry.not_after.since(cx.now()) < RENEWAL_IS_LATE {
            reasons.push(format!("{} should have been renewed and ends at {}.", entry.title(), entry.not_after));
        }
    }
    Ok(Health { reasons, devices: cx.store.read(|db| db.count_enrollments())? })
}

/// Numbers for a monitor.
///
/// # Errors
/// Faults of the store.
pub fn gauges(cx: &Context) -> Result<Gauges, Error> {
    let now = cx.now();
    Ok(cx.store.read(|db| db.read_gauges(now))?)
}
