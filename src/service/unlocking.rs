//! Commands that open a device or tell where it is, and the care they need whatever door they came through. `commands` asks here
//! before it queues, `polling` before it hands out, `lost` when a device is marked.
//!
//! Apple: ClearPasscode only after verifying that the owner physically holds the device, never for a lost one; it also disables
//! Data Protection, and its UnlockToken is to be treated as a master passcode.

use super::commands::{Told, Wish};
use super::events::{self, Kind};
use super::{Context, Error, custody};
use crate::base::texts::Text;
use crate::base::time::Timestamp;
use crate::plist::{Dictionary, Value};
use crate::protocol::queue::DeliveryState;
use crate::store::{Db, DeliveryRow, DeviceRow, Lost, Tx};
use serde_json::json;

pub(super) const CLEAR_PASSCODE: &str = "ClearPasscode";
pub(super) const ENABLE_LOST_MODE: &str = "EnableLostMode";
pub(super) const DISABLE_LOST_MODE: &str = "DisableLostMode";
pub(super) const DEVICE_LOCATION: &str = "DeviceLocation";
const UNLOCK_TOKEN: &str = "UnlockToken";
/// A shorter statement says nothing.
pub const LEAST_WORDS: usize = 10;
/// Longer ones are cut: they go into the audit for ever.
pub(super) const MOST_WORDS: usize = 500;

/// What the person says along with a command.
#[derive(Debug, Clone, Default)]
pub struct Stated {
    /// ClearPasscode: how it was verified that the owner holds the device.
    pub possession: Option<String>,
    /// DeviceLocation: why somebody looks.
    pub reason: Option<String>,
}

/// A statement of at least [`LEAST_WORDS`] characters, for the audit.
///
/// # Errors
/// `Invalid`.
pub(super) fn reason(key: &'static str, text: Option<&str>) -> Result<String, Error> {
    statement(text).ok_or_else(|| Error::invalid(Text::ReasonNeeded { key, least: LEAST_WORDS }))
}

fn statement(text: Option<&str>) -> Option<String> {
    let text: String = text?.trim().chars().filter(|c| !c.is_control()).take(MOST_WORDS).collect();
    (text.chars().count() >= LEAST_WORDS).then_some(text)
}

/// The keys that are really sent, and what story and audit say beside the command.
///
/// # Errors
/// Why a command is not to be sent.
pub(super) fn prepare(
    cx: &Context,
    device: &DeviceRow,
    wish: &Wish,
    stated: &Stated,
) -> Result<(Dictionary, Told), Error> {
    let mut told = Told { not_before: wish.not_before, expires_at: wish.expires_at, ..Told::default() };
    match wish.request_type.as_str() {
        CLEAR_PASSCODE => {
            cx.store.read(|db| allow_clear(db, device.id))?;
            let possession = statement(stated.possession.as_deref());
            told.possession =
                Some(possession.ok_or_else(|| Error::invalid(Text::PossessionNeeded { least: LEAST_WORDS }))?);
            Ok((with_token(cx, device, &wish.keys)?, told))
        }
        DEVICE_LOCATION => {
            told.reason = Some(reason("reason", stated.reason.as_deref())?);
            if device.lost == Lost::No && !device.lost_mode {
                return Err(Error::conflict(Text::NotLost { device: shown(device) }));
            }
            Ok((wish.keys.clone(), told))
        }
        _ => Ok((wish.keys.clone(), told)),
    }
}

/// With the device's own token: the newest unless the caller names one, which must be one the device sent.
fn with_token(cx: &Context, device: &DeviceRow, keys: &Dictionary) -> Result<Dictionary, Error> {
    let kept = cx.store.read(|db| db.list_secrets(device.id, Some("unlock-token")))?;
    let mut tokens = Vec::new();
    for row in kept.iter().filter(|row| row.withdrawn_at.is_none()) {
        if let Some(sealed) = &row.sealed_value {
            tokens.push(cx.open(&custody::place(device.id, "unlock-token", row.generation), sealed)?);
        }
    }
    let Some(newest) = tokens.first() else {
        return Err(Error::conflict(Text::NoUnlockToken { device: shown(device) }));
    };
    let mut keys = keys.clone();
    match keys.get(UNLOCK_TOKEN) {
        None => {
            keys.insert(UNLOCK_TOKEN.to_owned(), Value::Data(newest.expose().clone()));
        }
        Some(Value::Data(given)) if tokens.iter().any(|token| token.expose() == given) => {}
        Some(_) => return Err(Error::invalid(Text::ForeignUnlockToken { device: shown(device) })),
    }
    Ok(keys)
}

pub(super) fn shown(device: &DeviceRow) -> String {
    device.serial.clone().unwrap_or_else(|| device.public_id.clone())
}

/// Why the passcode of this device must not be cleared now, as the end of “it …”.
pub(super) fn find_doubt(db: &Db<'_>, device: i64) -> Result<Option<&'static str>, Error> {
    let Some(row) = db.find_device(device)? else { return Ok(Some("is not known")) };
    Ok(match row.lost {
        Lost::Lost => Some("is marked lost"),
        Lost::Missing => Some("is marked missing"),
        Lost::No if row.lost_mode => Some("is in Lost Mode"),
        Lost::No if !db.list_unfinished(device, ENABLE_LOST_MODE)?.is_empty() => Some("is being put into Lost Mode"),
        Lost::No => None,
    })
}

/// # Errors
/// `Conflict` for a device that somebody else may hold.
pub(super) fn allow_clear(db: &Db<'_>, device: i64) -> Result<(), Error> {
    let Some(why) = find_doubt(db, device)? else { return Ok(()) };
    let name = db.find_device(device)?.map(|row| shown(&row)).unwrap_or_default();
    Err(Error::conflict(Text::NeverClearLost { device: name, why }))
}

/// What stopping the waiting ClearPasscode commands of a device came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stopped {
    /// UUIDs that the device will not get.
    pub cancelled: Vec<String>,
    /// UUIDs that it has, without an answer yet.
    pub already_sent: Vec<String>,
}

/// Takes back every ClearPasscode that waits for a device; those that are out are written into its story.
pub(super) fn stop_waiting(
    cx: &Context,
    tx: &Tx<'_>,
    device: i64,
    why: &str,
    now: Timestamp,
) -> Result<Stopped, Error> {
    let mut stopped = Stopped::default();
    for delivery in tx.list_unfinished(device, CLEAR_PASSCODE)? {
        if delivery.state == DeliveryState::Sent {
            let detail = json!({ "RequestType": CLEAR_PASSCODE, "why": why }).to_string();
            tx.tell(device, Some(delivery.enrollment), Some(&delivery.command), "already-sent", Some(&detail), now)?;
            stopped.already_sent.push(delivery.command);
        } else {
            stop(cx, tx, device, &delivery, why, now)?;
            stopped.cancelled.push(delivery.command);
        }
    }
    Ok(stopped)
}

/// Ends one delivery because the device may be in other hands.
pub(super) fn stop(
    cx: &Context,
    tx: &Tx<'_>,
    device: i64,
    delivery: &DeliveryRow,
    why: &str,
    now: Timestamp,
) -> Result<(), Error> {
    tx.finish_delivery(delivery.seq, DeliveryState::Cancelled, now)?;
    let detail = json!({ "by": "job:custody", "why": why }).to_string();
    tx.tell(device, Some(delivery.enrollment), Some(&delivery.command), "cancelled", Some(&detail), now)?;
    events::record(cx, tx, Kind::CommandCancelled, Some(device), now, || {
        events::command(&delivery.command, &delivery.request_type, "Cancelled", None)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_say_something() {
        for nothing in [
            None,
            Some(""),
            Some("ok"),
            Some("   short   "),
            Some("\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}"),
        ] {
            assert_eq!(statement(nothing), None, "{nothing:?}");
        }
        assert_eq!(statement(Some("  She stands in front of me\n ")), Some(String::from("She stands in front of me")));
        assert_eq!(statement(Some(&"ä".repeat(9_000))).map(|text| text.chars().count()), Some(MOST_WORDS));
    }
}
