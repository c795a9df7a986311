//! What waits for a person's decision about a device, and the decisions: a device that came back after it had left, one identity on
//! two devices, an identity that a device should not have. `checkin` and `polling` raise them; every refusal meanwhile is 400.

use super::actor::{Actor, Permission};
use super::events::{self, Kind};
use super::identity::Identity;
use super::{Context, Error, auditing, devices, revoking};
use crate::base::texts::Text;
use crate::base::time::Timestamp;
use crate::protocol::lifecycle::{Alert, State};
use crate::protocol::sender::Sender;
use crate::store::{AttentionRow, BindingState, DeviceRow, EnrollmentRow, NewAttention, Tx};
use serde_json::json;

/// The words of the table.
pub const CAME_BACK: &str = "came-back";
pub const CLONE: &str = "clone";
pub const OTHER_IDENTITY: &str = "other-identity";
pub const RENEWAL: &str = "renewal";

/// What was seen of whoever spoke.
pub(super) struct Sighting<'a> {
    pub from: &'a Sender,
    pub serial: Option<&'a str>,
    pub origin: &'a str,
}

/// Something to decide, with its device.
#[derive(Debug, Clone)]
pub struct View {
    pub row: AttentionRow,
    pub device: DeviceRow,
    /// What it is and what can be done, in words.
    pub words: String,
}

/// Raises an alert, or counts it once more. A cloned identity is set aside in the same transaction.
pub(super) fn raise(
    cx: &Context,
    tx: &Tx<'_>,
    alert: Alert,
    identity: &Identity,
    before: Option<&EnrollmentRow>,
    at: &Sighting<'_>,
    now: Timestamp,
) -> Result<(), Error> {
    let certificate = &identity.certificate.fingerprint;
    let mut detail = json!({ "origin": at.origin, "udid": at.from.device.as_str() });
    if let Some(serial) = at.serial {
        detail["serial"] = json!(serial);
    }
    let (device, kind) = match alert {
        Alert::CameBack => (before.map(|row| row.device), CAME_BACK),
        Alert::OtherIdentity => (before.map(|row| row.device), OTHER_IDENTITY),
        Alert::Clone => {
            let mut owner = None;
            for binding in &identity.bindings {
                tx.put_binding(certificate, binding.enrollment, BindingState::Quarantined, now)?;
                owner = tx.find_enrollment_by_row(binding.enrollment)?.map(|row| row.device);
            }
            (owner, CLONE)
        }
    };
    let Some(device) = device else { return Ok(()) };
    tell(cx, tx, device, kind, Some(certificate), &detail, now)
}

/// Writes one down, tells it once to the story and to webhooks.
pub(super) fn tell(
    cx: &Context,
    tx: &Tx<'_>,
    device: i64,
    kind: &str,
    certificate: Option<&[u8; 32]>,
    detail: &serde_json::Value,
    now: Timestamp,
) -> Result<(), Error> {
    let text = detail.to_string();
    if tx.raise_attention(&NewAttention { device, kind, certificate, detail: &text }, now)? {
        tx.tell(device, None, None, kind, Some(&text), now)?;
        let told = || json!({ "attention": { "kind": kind, "detail": detail } });
        events::record(cx, tx, Kind::DeviceAttention, Some(device), now, told)?;
    }
    Ok(())
}

/// It enrolled anew: whatever was undecided of its last life no longer matters. A cloned identity does.
pub(super) fn settled_by_enrolment(tx: &Tx<'_>, device: i64, now: Timestamp) -> Result<(), Error> {
    for kind in [CAME_BACK, OTHER_IDENTITY, RENEWAL] {
        tx.settle_attention(device, kind, "job:enrolment", "enrolled-anew", now)?;
    }
    Ok(())
}

/// It came back as was decided.
pub(super) fn taken_back(tx: &Tx<'_>, enrollment: i64, now: Timestamp) -> Result<(), Error> {
    tx.put_welcome_back(enrollment, false)?;
    if let Some(row) = tx.find_enrollment_by_row(enrollment)? {
        tx.settle_attention(row.device, CAME_BACK, "job:policy", "taken-back", now)?;
        tx.tell(row.device, Some(row.id), None, "taken-back", None, now)?;
    }
    Ok(())
}

/// Everything that waits for a decision, oldest first.
///
/// # Errors
/// `Denied`.
pub fn list(cx: &Context, actor: &Actor) -> Result<Vec<View>, Error> {
    actor.require(Permission::LookAround)?;
    cx.store.read(|db| {
        let mut views = Vec::new();
        for row in db.list_attention()? {
            if let Some(device) = db.find_device(row.device)? {
                let words = words(&row.kind, device.serial.as_deref().unwrap_or(&device.public_id));
                views.push(View { row, device, words });
            }
        }
        Ok(views)
    })
}

/// What it is and what to do, for people.
pub(super) fn words(kind: &str, device: &str) -> String {
    match kind {
        CAME_BACK => format!(
            "{device} had left and shows its old identity again, as after the restore of a backup. Take it back with `cordon device take-back {device}`, \
             or tell it to leave with `cordon device block {device}`. Until then it is refused and nothing happens to it."
        ),
        CLONE => format!(
            "Another device showed the identity of {device}: its disk or key was copied. The identity is set aside. If {device} is the original, let it go on with \
             `cordon device release-quarantine {device}`; enrol the other one anew with a profile of its own."
        ),
        OTHER_IDENTITY => format!(
            "{device} shows a certificate of ours that is not its present one, as after a renewal on the device alone. If it is really this device, bind it with \
             `cordon device rebind {device}`."
        ),
        _ => format!(
            "The identity of {device} could not be renewed. Try again with `cordon enroll renew {device}`; if it keeps failing, enrol it anew before it ends."
        ),
    }
}

/// A device that had left may come back as it is, at its next TokenUpdate.
///
/// # Errors
/// `Conflict` for one that did not leave, or that is blocked.
pub fn take_back(cx: &Context, actor: &Actor, device: &str) -> Result<(), Error> {
    actor.require(Permission::Enroll)?;
    let found = devices::find(cx, actor, device)?;
    let channel = devices::channel(cx, &found, None)?;
    if channel.state != State::Gone {
        return Err(Error::conflict(Text::DidNotLeave { device: device.to_owned() }));
    }
    if channel.blocked_at.is_some() {
        return Err(Error::conflict(Text::DeviceBlocked { device: device.to_owned() }));
    }
    let now = cx.now();
    cx.store.write(|tx| {
        tx.put_dismissed(channel.id, None, None)?;
        tx.put_welcome_back(channel.id, true)?;
        tx.settle_attention(found.id, CAME_BACK, &actor.name(), "take-back", now)?;
        note(tx, actor, &found, &channel, "device.take-back", now)
    })
}

/// The original of a cloned identity goes on with it.
///
/// # Errors
/// `Conflict` when nothing of this device is set aside.
pub fn release_quarantine(cx: &Context, actor: &Actor, device: &str) -> Result<(), Error> {
    actor.require(Permission::Enroll)?;
    let found = devices::find(cx, actor, device)?;
    let channel = devices::channel(cx, &found, None)?;
    let now = cx.now();
    cx.store.write(|tx| {
        let nothing = || Error::conflict(Text::NothingToDecide { device: device.to_owned() });
        let waiting = tx.find_attention(found.id, CLONE)?.ok_or_else(nothing)?;
        let certificate = waiting.certificate.ok_or_else(nothing)?;
        let state = match tx.find_current_certificate(channel.id)? {
            Some(_) => BindingState::Retired,
            None => BindingState::Current,
        };
        tx.put_binding(&certificate, channel.id, state, now)?;
        tx.settle_attention(found.id, CLONE, &actor.name(), "released", now)?;
        if channel.target.is_some() {
            tx.owe_push(channel.id, now, now)?;
        }
        note(tx, actor, &found, &channel, "device.release-quarantine", now)
    })?;
    cx.ring_pusher();
    Ok(())
}

/// The identity that a device showed is its own from now on; what it had before is retired.
///
/// # Errors
/// `Conflict` when it showed none, or one that belongs to another device or was revoked by hand.
pub fn rebind(cx: &Context, actor: &Actor, device: &str) -> Result<(), Error> {
    actor.require(Permission::Enroll)?;
    let found = devices::find(cx, actor, device)?;
    let channel = devices::channel(cx, &found, None)?;
    let now = cx.now();
    cx.store.write(|tx| {
        let nothing = || Error::conflict(Text::NothingToDecide { device: device.to_owned() });
        let waiting = tx.find_attention(found.id, OTHER_IDENTITY)?.ok_or_else(nothing)?;
        let certificate = waiting.certificate.ok_or_else(nothing)?;
        let (standing, bindings) = tx.find_certificate_standing(&certificate)?.ok_or_else(nothing)?;
        let foreign = bindings.iter().any(|bound| bound.enrollment != channel.id);
        if foreign || standing.revoked_for_good {
            return Err(Error::conflict(Text::NotItsIdentity { device: device.to_owned() }));
        }
        tx.put_binding(&certificate, channel.id, BindingState::Current, now)?;
        tx.restore_certificate(&certificate)?;
        tx.retire_other_bindings(&certificate, channel.id, now)?;
        tx.revoke_bound(channel.id, Some(&certificate), revoking::REPLACED, now)?;
        tx.settle_attention(found.id, OTHER_IDENTITY, &actor.name(), "rebound", now)?;
        note(tx, actor, &found, &channel, "device.rebind", now)
    })
}

/// Story and audit of a decision.
pub(super) fn note(
    tx: &Tx<'_>,
    actor: &Actor,
    device: &DeviceRow,
    channel: &EnrollmentRow,
    verb: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let told = json!({ "by": actor.name() }).to_string();
    let kind = verb.strip_prefix("device.").unwrap_or(verb);
    tx.tell(device.id, Some(channel.id), None, kind, Some(&told), now)?;
    auditing::record(tx, actor, verb, Some(&device.public_id), None, now)
}
