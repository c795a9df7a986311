//! The end of management: by command, on the server's side alone, or by refusing a device for good. A device is told to un-enrol only
//! after an administrator's explicit word about it, or, if the school wants that, when nobody here knows it.

use super::actor::{Actor, Permission};
use super::attention::{self, CAME_BACK};
use super::commands::{self, CommandView, Told};
use super::{Context, Error, device_policy, devices, revoking};
use crate::base::texts::Text;
use crate::base::time::Timestamp;
use crate::plist::{Dictionary, Value};
use crate::protocol::lifecycle::State;
use crate::protocol::report::{Report, Status};
use crate::protocol::sender::Sender;
use crate::protocol::status::{Outcome, RefusalStatus};
use crate::store::{Db, DeliveryRow, EnrollmentRow, Tx};

const REMOVE_PROFILE: &str = "RemoveProfile";

/// The answer to somebody whose certificate does not count, or whose device is not known. 400, unless the school wants strangers to be
/// told to un-enrol; a device that is known here is never a stranger, whatever certificate it shows or does not show.
pub(super) fn stranger(db: &Db<'_>, from: &Sender, why: &'static str) -> Result<Outcome, Error> {
    let refused = Outcome::refuse(RefusalStatus::BadRequest, why);
    if !device_policy::find(db)?.unenroll_strangers {
        return Ok(refused);
    }
    Ok(match db.find_enrollment(from.device_enrollment_id().as_str())? {
        Some(_) => refused,
        // Of a stranger's system nothing is known, and every system understands 401.
        None => Outcome::Unenroll { prefer_403: false },
    })
}

/// Whether a device that left may come back as it is: by a decision about it, or by the school's policy.
pub(super) fn is_welcome_back(db: &Db<'_>, channel: &EnrollmentRow) -> Result<bool, Error> {
    Ok(channel.welcome_back || device_policy::find(db)?.take_back)
}

/// Takes a device out of management: the MDM profile is removed by command, which needs no right of its own, and everything that came
/// with it goes too. The device is gone when it says so.
///
/// # Errors
/// `Conflict` for a device that is not enrolled.
pub fn remove(cx: &Context, actor: &Actor, device: &str) -> Result<CommandView, Error> {
    actor.require(Permission::Destroy)?;
    let found = devices::find(cx, actor, device)?;
    let channel = devices::channel(cx, &found, None)?;
    let not_enrolled = || Error::conflict(Text::NotEnrolled { device: device.to_owned() });
    let issued = channel.issued_profile.filter(|_| channel.state != State::Gone).ok_or_else(not_enrolled)?;
    let issued = cx.store.read(|db| db.find_issued_profile(issued))?.ok_or_else(not_enrolled)?;
    let mut keys = Dictionary::new();
    keys.insert(String::from("Identifier"), Value::String(issued.payload_identifier));
    let ready = commands::ready(cx, None, REMOVE_PROFILE, keys)?;
    let now = cx.now();
    cx.store.write(|tx| {
        commands::enqueue(cx, tx, actor, &found, &channel, &ready, &Told::default(), now)?;
        tx.put_dismissed(channel.id, Some(now), Some(ready.uuid.as_str()))?;
        attention::note(tx, actor, &found, &channel, "device.remove", now)
    })?;
    cx.ring_pusher();
    cx.ring_teller();
    commands::show(cx, actor, ready.uuid.as_str())
}

/// What became of the command that was to end management.
pub(super) fn settled(
    tx: &Tx<'_>,
    report: &Report,
    delivery: &DeliveryRow,
    channel: &EnrollmentRow,
    now: Timestamp,
) -> Result<(), Error> {
    if delivery.request_type != REMOVE_PROFILE || !tx.is_dismissed_by(channel.id, &delivery.command)? {
        return Ok(());
    }
    match report.status {
        Status::Acknowledged => {
            // Its CheckOut is sent once and may be lost.
            tx.mark_gone(channel.id, now)?;
            tx.revoke_bound(channel.id, None, revoking::REMOVED, now)?;
            tx.tell(channel.device, Some(channel.id), Some(&delivery.command), "removed", None, now)?;
        }
        Status::Error | Status::CommandFormatError => {
            tx.put_dismissed(channel.id, None, None)?;
            tx.tell(channel.device, Some(channel.id), Some(&delivery.command), "removal-failed", None, now)?;
        }
        Status::Idle | Status::NotNow => {}
    }
    Ok(())
}

/// Ends management on the server's side at once, without waiting for the device: for one that is sold, broken or out of reach. If it
/// ever comes again under its old identity it is told to un-enrol; enrolled anew it is welcome.
///
/// # Errors
/// `Conflict` for a device that is gone already.
pub fn release(cx: &Context, actor: &Actor, device: &str) -> Result<(), Error> {
    actor.require(Permission::Destroy)?;
    let found = devices::find(cx, actor, device)?;
    let channel = devices::channel(cx, &found, None)?;
    if channel.state == State::Gone && channel.dismissed_at.is_some() {
        return Err(Error::conflict(Text::NotEnrolled { device: device.to_owned() }));
    }
    let now = cx.now();
    cx.store.write(|tx| {
        tx.clear_queue(channel.id, now)?;
        tx.mark_gone(channel.id, now)?;
        tx.revoke_bound(channel.id, None, revoking::REMOVED, now)?;
        tx.put_dismissed(channel.id, Some(now), None)?;
        tx.put_welcome_back(channel.id, false)?;
        tx.settle_attention(found.id, CAME_BACK, &actor.name(), "released", now)?;
        attention::note(tx, actor, &found, &channel, "device.release", now)
    })
}

/// This device must leave and stay away: whatever it says under its identity is answered by un-enrolling it, and it cannot enrol anew.
///
/// # Errors
/// `NotFound`; `Conflict` for a device that never enrolled.
pub fn block(cx: &Context, actor: &Actor, device: &str) -> Result<(), Error> {
    set_blocked(cx, actor, device, true)
}

/// The device may enrol again. One that was not told yet goes on as if nothing had been.
///
/// # Errors
/// As [`block`].
pub fn unblock(cx: &Context, actor: &Actor, device: &str) -> Result<(), Error> {
    set_blocked(cx, actor, device, false)
}

fn set_blocked(cx: &Context, actor: &Actor, device: &str, blocked: bool) -> Result<(), Error> {
    actor.require(Permission::Destroy)?;
    let found = devices::find(cx, actor, device)?;
    let channel = devices::channel(cx, &found, None)?;
    let now = cx.now();
    cx.store.write(|tx| {
        for row in tx.list_enrollments(found.id)?.iter().filter(|row| row.parent.is_none()) {
            tx.put_blocked(row.id, blocked.then_some(now))?;
            if blocked && row.target.is_some() {
                tx.owe_push(row.id, now, now)?;
            }
        }
        if blocked {
            tx.settle_attention(found.id, CAME_BACK, &actor.name(), "blocked", now)?;
        }
        let verb = if blocked { "device.block" } else { "device.unblock" };
        attention::note(tx, actor, &found, &channel, verb, now)
    })?;
    cx.ring_pusher();
    Ok(())
}
