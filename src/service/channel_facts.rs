//! What check-in and poll both ask of the channel that speaks: how its certificate stands to it, what `protocol::lifecycle` needs to know
//! of it, and who its user is.

use super::identity::{Distrust, Identity, Worth};
use super::{Error, leaving, renewing};
use crate::base::time::Timestamp;
use crate::protocol::lifecycle::{BindingFact, Known, State};
use crate::protocol::sender::{Channel, DeviceKey, Sender, UserKey};
use crate::protocol::status::{Outcome, knows_unrecognized_device};
use crate::store::{BindingState, Db, DeviceRow, EnrollmentRow, NewEnrollment, Tx};
use serde_json::json;

/// The same words in log, timeline and outcome.
pub(super) fn distrust_text(distrust: Distrust) -> &'static str {
    match distrust {
        Distrust::None => "no client certificate was presented",
        Distrust::Foreign => "the client certificate was not issued here",
        Distrust::Expired => "the client certificate has expired",
        Distrust::NotYet => "the client certificate is not valid yet",
        Distrust::Revoked => "the client certificate is revoked",
        Distrust::Unused => "the profile with this identity was not installed in time",
    }
}

/// How a certificate stands to the device channel that a message names.
pub(super) fn binding_fact(
    db: &Db<'_>,
    identity: &Identity,
    device_channel: Option<i64>,
) -> Result<BindingFact, Error> {
    let own = identity.bindings.iter().find(|b| Some(b.enrollment) == device_channel);
    Ok(match own {
        None if identity.bindings.is_empty() => BindingFact::Unbound,
        None => BindingFact::BoundToOther,
        Some(own) => match (own.state, identity.worth) {
            (BindingState::Quarantined, _) => BindingFact::Quarantined,
            (_, Worth::Withdrawn) => BindingFact::Withdrawn,
            (_, Worth::Lapsed) => BindingFact::Lapsed,
            (BindingState::Current, _) => BindingFact::Current,
            (BindingState::Pending, _) => BindingFact::Pending,
            // Until a renewal has its result, the device may have rolled back.
            (BindingState::Retired, _) if renewing::is_fallback(db, own.enrollment, identity)? => BindingFact::Current,
            (BindingState::Retired, _) => BindingFact::Retired,
        },
    })
}

/// What `lifecycle` needs of a device channel; whether a renewal is under way, only an Authenticate asks.
pub(super) fn known(db: &Db<'_>, device_channel: &EnrollmentRow) -> Result<Known, Error> {
    let gone = device_channel.state == State::Gone;
    Ok(Known {
        state: device_channel.state,
        generation: device_channel.generation,
        renewal_in_progress: false,
        blocked: device_channel.blocked_at.is_some(),
        dismissed: gone && device_channel.dismissed_at.is_some(),
        welcome_back: gone && leaving::is_welcome_back(db, device_channel)?,
    })
}

/// 401 or 403, by what the device understands.
pub(super) fn unenroll(device: Option<&DeviceRow>) -> Outcome {
    let product = device.and_then(|d| d.product_name.as_deref());
    let version = device.and_then(|d| d.os_version.as_deref());
    Outcome::Unenroll { prefer_403: knows_unrecognized_device(product, version) }
}

/// Whether a user's request says something new about the person: names, or who is on the screen.
pub(super) fn tells_news(channel: &EnrollmentRow, from: &Sender) -> bool {
    let other = |said: &Option<String>, kept: &Option<String>| said.is_some() && said != kept;
    channel.parent.is_some()
        && (other(&from.names.short, &channel.user_short_name)
            || other(&from.names.long, &channel.user_long_name)
            || from.not_on_console != channel.not_on_console)
}

/// Any request of a user may bring new names; they are for people, and decide nothing.
pub(super) fn note_user(tx: &Tx<'_>, channel: &EnrollmentRow, from: &Sender) -> Result<(), Error> {
    if tells_news(channel, from) {
        tx.update_user_names(channel.id, from.names.short.as_deref(), from.names.long.as_deref())?;
        tx.put_not_on_console(channel.id, from.not_on_console)?;
    }
    Ok(())
}

/// Makes a user's channel under its device.
pub(super) fn create_user_channel(
    tx: &Tx<'_>,
    parent: &EnrollmentRow,
    from: &Sender,
    now: Timestamp,
) -> Result<i64, Error> {
    let (udid, user_enrollment_id) = device_ids(from);
    let user_id = match &from.channel {
        Channel::User(UserKey::UserId(id) | UserKey::EnrollmentUserId(id)) => Some(id.as_str()),
        _ => None,
    };
    let id = from.enrollment_id();
    let new = NewEnrollment {
        device: parent.device,
        parent: Some(parent.id),
        enrollment_id: id.as_str(),
        udid,
        user_enrollment_id,
        user_id,
        user_short_name: from.names.short.as_deref(),
        user_long_name: from.names.long.as_deref(),
    };
    let row = tx.insert_enrollment(&new, now)?;
    let detail = json!({ "user": from.names.short });
    tx.tell(parent.device, Some(row), None, "user-channel", Some(&detail.to_string()), now)?;
    Ok(row)
}

pub(super) fn device_ids(from: &Sender) -> (Option<&str>, Option<&str>) {
    match &from.device {
        DeviceKey::Udid(udid) => (Some(udid.as_str()), None),
        DeviceKey::EnrollmentId(id) => (None, Some(id.as_str())),
    }
}
