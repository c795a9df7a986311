//! Devices that have gone quiet. A device tells the server when it leaves (CheckOut), if it can; otherwise silence is all there is: after some
//! days without a word it counts as inactive, and until then a push now and then asks whether it is there. Any request on any of its channels
//! makes it active again. Called by `jobs` and by the reports.

use super::actor::{Actor, Permission};
use super::events::{self, Kind};
use super::{Context, Error, auditing, groups};
use crate::base::texts::Text;
use crate::base::time::{DAY, HOUR, Timestamp};
use crate::store::ActivityRow;
use serde_json::json;

/// Setting: the policy.
const POLICY: &str = "activity";
const DAYS: std::ops::RangeInclusive<i64> = 1..=30;
/// Silent for so long, a device is asked by a push.
const QUIET: i64 = DAY;

/// What the school decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Days without a word after which a device is inactive.
    pub days: i64,
    /// A group of devices that inactive ones are put into, and taken out of when they come back.
    pub group: Option<String>,
    /// Inactive devices are a reason for `/healthz` to complain.
    pub alert: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Active,
    /// Not heard of for a day: a push asks.
    Quiet,
    Inactive,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Quiet => "quiet",
            Self::Inactive => "inactive",
        }
    }
}

/// One enrolled device.
#[derive(Debug, Clone)]
pub struct Standing {
    pub row: ActivityRow,
    pub state: State,
    /// What may be the reason, likeliest first; empty while it is active.
    pub causes: Vec<String>,
}

pub fn policy(cx: &Context, actor: &Actor) -> Result<Policy, Error> {
    actor.require(Permission::LookAround)?;
    find_policy(cx)
}

fn find_policy(cx: &Context) -> Result<Policy, Error> {
    let said = cx.store.read(|db| db.find_setting(POLICY))?.unwrap_or_default();
    Ok(Policy {
        days: said["days"].as_i64().filter(|days| DAYS.contains(days)).unwrap_or(7),
        group: said["group"].as_str().map(str::to_owned),
        alert: said["alert"].as_bool().unwrap_or(false),
    })
}

/// Changes what is given; an empty group takes the group away.
///
/// # Errors
/// `Invalid` for less than a day or more than 30, and for a group that cannot have devices.
pub fn change(
    cx: &Context,
    actor: &Actor,
    days: Option<i64>,
    group: Option<&str>,
    alert: Option<bool>,
) -> Result<Policy, Error> {
    actor.require(Permission::Administer)?;
    if days.is_some_and(|days| !DAYS.contains(&days)) {
        let (key, why) = (String::from("days"), String::from("is a number from 1 to 30"));
        return Err(Error::invalid(Text::BadArgument { key, why }));
    }
    if let Some(name) = group.filter(|name| !name.is_empty()) {
        // Nobody is put in: this only asks whether devices could be.
        groups::add_members(cx, actor, name, &[])?;
    }
    let mut new = find_policy(cx)?;
    new.days = days.unwrap_or(new.days);
    new.alert = alert.unwrap_or(new.alert);
    if let Some(name) = group {
        new.group = Some(name.to_owned()).filter(|name| !name.is_empty());
    }
    let value = json!({ "days": new.days, "group": new.group, "alert": new.alert });
    cx.store.write(|tx| -> Result<(), Error> {
        tx.put_setting(POLICY, &value)?;
        auditing::record(tx, actor, "activity.policy", None, Some(value.clone()), cx.now())
    })?;
    Ok(new)
}

/// Every enrolled device, those that were silent longest first.
///
/// # Errors
/// `Denied` for a teacher.
pub fn list(cx: &Context, actor: &Actor) -> Result<Vec<Standing>, Error> {
    actor.require(Permission::LookAround)?;
    standings(cx)
}

fn standings(cx: &Context) -> Result<Vec<Standing>, Error> {
    let (policy, now) = (find_policy(cx)?, cx.now());
    let rows = cx.store.read(|db| db.list_activity())?;
    Ok(rows.into_iter().map(|row| judge(row, &policy, now)).collect())
}

fn judge(row: ActivityRow, policy: &Policy, now: Timestamp) -> Standing {
    let silent = now.since(row.last_seen_at);
    let state = match silent {
        _ if silent >= policy.days * DAY => State::Inactive,
        _ if silent >= QUIET => State::Quiet,
        _ => State::Active,
    };
    let mut causes = Vec::new();
    if state != State::Active {
        if let Some(why) = &row.push_dead {
            causes.push(format!("It cannot be called: {why}. It is heard of again when it connects by itself."));
        }
        causes.extend(
            [
                "It is switched off, or its battery is empty.",
                "It has no network, or the network lets nothing through to Apple's push service (port 5223 or 443).",
                "Its MDM profile is no longer installed, and it had no network to say so: a device tries that once only (CheckOut).",
                "It was erased.",
                "It was restored from a backup, or got another board: it will have to enrol again.",
            ]
            .map(str::to_owned),
        );
    }
    Standing { row, state, causes }
}

/// The hour of the day at which a device is asked: spread, so that a school is not woken at once.
fn hour_of(enrollment: i64) -> i64 {
    (enrollment.wrapping_mul(2_654_435_761) >> 7).rem_euclid(24)
}

/// Asks quiet devices by a push, each at its own hour and once a day at most; notes who became inactive and who came back. Nothing is
/// decided while the clock cannot be trusted.
///
/// # Errors
/// Faults of the store.
pub fn watch(cx: &Context) -> Result<(), Error> {
    if cx.clock_is_behind().is_some() {
        return Ok(());
    }
    let (policy, now) = (find_policy(cx)?, cx.now());
    let hour = now.0.div_euclid(HOUR).rem_euclid(24);
    let mut asked = false;
    for standing in standings(cx)? {
        let row = &standing.row;
        let inactive = standing.state == State::Inactive;
        if inactive != row.inactive_since.is_some() {
            turn(cx, &standing, &policy, now)?;
        }
        let tested_lately = row.tested_at.is_some_and(|at| now.since(at) < DAY - HOUR);
        let may = row.pushable && row.push_dead.is_none() && !tested_lately;
        if standing.state != State::Active && may && hour_of(row.enrollment) == hour {
            cx.store.write(|tx| -> Result<(), Error> {
                tx.owe_push(row.enrollment, now, now)?;
                Ok(tx.note_tested(row.enrollment, now)?)
            })?;
            asked = true;
        }
    }
    if asked {
        cx.ring_pusher();
    }
    Ok(())
}

/// One device becomes inactive, or comes back.
fn turn(cx: &Context, standing: &Standing, policy: &Policy, now: Timestamp) -> Result<(), Error> {
    let row = &standing.row;
    let inactive = standing.state == State::Inactive;
    let seen = row.last_seen_at.to_string();
    cx.store.write(|tx| -> Result<(), Error> {
        tx.mark_inactive(row.enrollment, inactive.then_some(now))?;
        let (word, kind) =
            if inactive { ("inactive", Kind::DeviceInactive) } else { ("active-again", Kind::DeviceActiveAgain) };
        let detail = json!({ "last_seen_at": seen }).to_string();
        tx.tell(row.device, Some(row.enrollment), None, word, Some(&detail), now)?;
        events::record(cx, tx, kind, Some(row.device), now, || json!({ "activity": { "last_seen_at": seen } }))
    })?;
    cx.ring_teller();
    if let Some(group) = &policy.group {
        let member = [groups::Member::Device(row.public_id.clone())];
        let job = Actor::Job("activity");
        let moved = if inactive {
            groups::add_members(cx, &job, group, &member)
        } else {
            groups::remove_members(cx, &job, group, &member)
        };
        if let Err(error) = moved {
            tracing::warn!(group, error = %error, "an inactive device could not be moved");
        }
    }
    Ok(())
}

/// For `/healthz`, where the school wants it so.
///
/// # Errors
/// Faults of the store.
pub fn worry(cx: &Context) -> Result<Option<String>, Error> {
    if !find_policy(cx)?.alert {
        return Ok(None);
    }
    let silent = standings(cx)?.iter().filter(|standing| standing.state == State::Inactive).count();
    Ok((silent > 0).then(|| format!("{silent} devices are inactive: cordon report inactive")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_by_silence_and_hours_that_are_spread() {
        let row = |seen: i64| ActivityRow {
            device: 1,
            enrollment: 1,
            public_id: String::new(),
            serial: None,
            name: None,
            last_seen_at: Timestamp(seen),
            tested_at: None,
            inactive_since: None,
            push_dead: None,
            pushable: true,
        };
        let policy = Policy { days: 7, group: None, alert: false };
        let now = Timestamp(100 * DAY);
        for (silent, wanted) in
            [(0, State::Active), (23, State::Active), (24, State::Quiet), (167, State::Quiet), (168, State::Inactive)]
        {
            assert_eq!(judge(row(now.0 - silent * HOUR), &policy, now).state, wanted, "{silent} hours");
        }
        let mut hours = [0; 24];
        (1..=2000).for_each(|id| hours[hour_of(id) as usize] += 1);
        assert!(hours.iter().all(|count| (40..=130).contains(count)), "{hours:?}");
    }
}
