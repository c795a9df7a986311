//! Lost and found: a device is marked, put into Lost Mode, looked for, and taken back. The mark is what people say; Lost Mode is
//! what the device acknowledged. Called by the API; `polling` brings what devices answer.

use super::actor::{Actor, Permission};
use super::commands::{self, CommandView, Told, Wish};
use super::unlocking::{self, Stated, Stopped};
use super::{Context, Error, answers, auditing, devices, reconciling};
use crate::base::texts::Text;
use crate::base::time::Timestamp;
use crate::plist::{Dictionary, Value};
use crate::protocol::lifecycle::State;
use crate::protocol::queue::DeliveryState;
use crate::protocol::report::{Report, Status};
use crate::store::{DeliveryRow, DeviceRow, EnrollmentRow, Lost, Tx};
use serde_json::{Map, json};

/// Apple's code for a command that only works in Lost Mode.
const NOT_IN_LOST_MODE: i64 = 12078;
/// Apple's keys of an answered DeviceLocation, and their names here.
const PLACE: [(&str, &str); 8] = [
    ("Latitude", "latitude"),
    ("Longitude", "longitude"),
    ("Altitude", "altitude"),
    ("HorizontalAccuracy", "horizontal_accuracy"),
    ("VerticalAccuracy", "vertical_accuracy"),
    ("Speed", "speed"),
    ("Course", "course"),
    ("Timestamp", "timestamp"),
];

/// What is shown on the screen of a lost device.
#[derive(Debug, Clone, Default)]
pub struct Notice {
    pub message: Option<String>,
    pub phone: Option<String>,
    pub footnote: Option<String>,
    /// A mark only: nothing is sent to the device.
    pub missing: bool,
}

/// How a device stands after it was marked.
#[derive(Debug, Clone)]
pub struct Marked {
    pub device: DeviceRow,
    /// The command that was queued, if any: a Mac knows no Lost Mode, and a device that is not enrolled gets no commands.
    pub command: Option<String>,
    pub stopped: Stopped,
}

/// Where a device said it was.
#[derive(Debug, Clone)]
pub struct Whereabouts {
    pub command: String,
    pub received_at: Timestamp,
    /// Degrees, metres, metres per second; `timestamp` as the device wrote it.
    pub place: Map<String, serde_json::Value>,
}

/// Marks a device lost (or missing), stops every waiting ClearPasscode, and asks for Lost Mode.
///
/// # Errors
/// `Invalid` without message and phone number, of which Apple needs one.
pub fn mark(cx: &Context, actor: &Actor, device: &str, notice: &Notice) -> Result<Marked, Error> {
    actor.require(Permission::Ask)?;
    let found = devices::find(cx, actor, device)?;
    let text = |text: &Option<String>| text.clone().filter(|t| !t.trim().is_empty());
    let (message, phone) = (text(&notice.message), text(&notice.phone));
    if !notice.missing && message.is_none() && phone.is_none() {
        let why = String::from("give a message or a phone number; the finder sees it on the screen");
        return Err(Error::invalid(Text::BadArgument { key: String::from("message"), why }));
    }
    let pairs = [("Message", message), ("PhoneNumber", phone), ("Footnote", text(&notice.footnote))];
    let keys: Dictionary =
        pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), Value::String(value?)))).collect();
    let channel = if notice.missing { None } else { commandable(cx, &found)? };
    let ready = channel.as_ref().map(|_| commands::ready(cx, None, unlocking::ENABLE_LOST_MODE, keys)).transpose()?;
    let (now, state) = (cx.now(), if notice.missing { Lost::Missing } else { Lost::Lost });
    let stopped = cx.store.write(|tx| {
        tx.mark_lost(found.id, state, &actor.name(), now)?;
        let stopped =
            unlocking::stop_waiting(cx, tx, found.id, &format!("the device is marked {}", state.as_str()), now)?;
        let detail =
            json!({ "by": actor.name(), "cancelled": stopped.cancelled, "already_sent": stopped.already_sent });
        tx.tell(found.id, None, None, state.as_str(), Some(&detail.to_string()), now)?;
        auditing::record(tx, actor, "device.lost", Some(&found.public_id), Some(json!({ "as": state.as_str() })), now)?;
        if let (Some(channel), Some(ready)) = (&channel, &ready) {
            commands::enqueue(cx, tx, actor, &found, channel, ready, &Told::default(), now)?;
        }
        Ok::<_, Error>(stopped)
    })?;
    reconciling::device_changed_meanwhile(cx, found.id)?;
    cx.ring_pusher();
    cx.ring_teller();
    Ok(Marked {
        device: devices::find(cx, actor, &found.public_id)?,
        command: ready.map(|r| r.uuid.to_string()),
        stopped,
    })
}

/// The channel that takes Lost Mode commands, if there is one.
fn commandable(cx: &Context, device: &DeviceRow) -> Result<Option<EnrollmentRow>, Error> {
    if matches!(device.platform.as_str(), "macOS" | "tvOS" | "watchOS" | "visionOS") {
        return Ok(None);
    }
    Ok(devices::channel(cx, device, None).ok().filter(|channel| channel.state != State::Gone))
}

/// Clears the mark and ends Lost Mode.
///
/// # Errors
/// `Invalid` without a reason; `Conflict` for a device that is neither marked nor in Lost Mode.
pub fn found(cx: &Context, actor: &Actor, device: &str, reason: &str) -> Result<Marked, Error> {
    let said: String = reason.chars().take(unlocking::MOST_WORDS).collect();
    let take_back = || try_found(cx, actor, device, reason);
    auditing::noting(cx, actor, "device.found", device, json!({ "reason": said }), take_back)
}

fn try_found(cx: &Context, actor: &Actor, device: &str, reason: &str) -> Result<Marked, Error> {
    actor.require(Permission::Destroy)?;
    let reason = unlocking::reason("reason", Some(reason))?;
    let row = devices::find(cx, actor, device)?;
    let channel = commandable(cx, &row)?;
    let ready = commands::ready(cx, None, unlocking::DISABLE_LOST_MODE, Dictionary::new())?;
    let told = Told { reason: Some(reason.clone()), ..Told::default() };
    let now = cx.now();
    let command = cx.store.write(|tx| {
        let current = tx.find_device(row.id)?.ok_or_else(|| Error::internal("the device just found is not there"))?;
        let asked = tx.list_unfinished(row.id, unlocking::ENABLE_LOST_MODE)?;
        if current.lost == Lost::No && !current.lost_mode && asked.is_empty() {
            return Err(Error::conflict(Text::NotLost { device: unlocking::shown(&row) }));
        }
        tx.mark_lost(row.id, Lost::No, "", now)?;
        let detail = json!({ "by": actor.name(), "was": current.lost.as_str(), "reason": reason });
        tx.tell(row.id, None, None, "found", Some(&detail.to_string()), now)?;
        auditing::record(
            tx,
            actor,
            "device.found",
            Some(&row.public_id),
            Some(json!({ "was": current.lost.as_str(), "reason": reason })),
            now,
        )?;
        let mut may_be_on = current.lost_mode;
        for delivery in &asked {
            if delivery.state == DeliveryState::Sent {
                may_be_on = true;
            } else {
                unlocking::stop(cx, tx, row.id, delivery, "the device was found", now)?;
            }
        }
        match &channel {
            Some(channel) if may_be_on => {
                commands::enqueue(cx, tx, actor, &row, channel, &ready, &told, now)?;
                Ok(Some(ready.uuid.to_string()))
            }
            _ => Ok(None),
        }
    })?;
    reconciling::device_changed_meanwhile(cx, row.id)?;
    cx.ring_pusher();
    cx.ring_teller();
    Ok(Marked { device: devices::find(cx, actor, &row.public_id)?, command, stopped: Stopped::default() })
}

/// Asks a device in Lost Mode where it is. Who asked, and why, goes into the audit.
///
/// # Errors
/// `Invalid` without a reason; `Conflict` for a device that is not lost.
pub fn locate(cx: &Context, actor: &Actor, device: &str, reason: &str) -> Result<CommandView, Error> {
    let wish = Wish {
        request_type: String::from(unlocking::DEVICE_LOCATION),
        keys: Dictionary::new(),
        user: None,
        uuid: None,
        not_before: None,
        expires_at: None,
        unchecked: false,
    };
    commands::send_stating(cx, actor, device, &wish, &Stated { reason: Some(reason.to_owned()), possession: None })
}

/// Where the device last said it was. Each look is recorded before it is answered.
///
/// # Errors
/// `Invalid` without a reason; `NotFound` when it never said.
pub fn whereabouts(cx: &Context, actor: &Actor, device: &str, reason: &str) -> Result<Whereabouts, Error> {
    let said: String = reason.chars().take(unlocking::MOST_WORDS).collect();
    let look = || try_whereabouts(cx, actor, device, reason);
    auditing::noting(cx, actor, "device.whereabouts", device, json!({ "reason": said }), look)
}

fn try_whereabouts(cx: &Context, actor: &Actor, device: &str, reason: &str) -> Result<Whereabouts, Error> {
    actor.require(Permission::Reveal)?;
    let reason = unlocking::reason("reason", Some(reason))?;
    let row = devices::find(cx, actor, device)?;
    let (now, by) = (cx.now(), actor.name());
    let (delivery, result) = cx.store.write(|tx| {
        let missing = || Error::not_found(Text::NoLocation { device: unlocking::shown(&row) });
        let delivery = tx.find_last_acknowledged(row.id, unlocking::DEVICE_LOCATION)?.ok_or_else(missing)?;
        let result = tx.find_result(delivery.seq)?.filter(|result| result.purged_at.is_none()).ok_or_else(missing)?;
        let detail = json!({ "command": delivery.command, "reason": reason });
        auditing::record(tx, actor, "device.whereabouts", Some(&row.public_id), Some(detail), now)?;
        let detail = json!({ "by": by, "reason": reason }).to_string();
        tx.tell(row.id, None, Some(&delivery.command), "location-shown", Some(&detail), now)?;
        Ok::<_, Error>((delivery, result))
    })?;
    let answer = match &result.sealed_answer {
        Some(sealed) => answers::open_answer(cx, delivery.seq, sealed)?,
        None => Dictionary::new(),
    };
    let place = PLACE
        .iter()
        .filter_map(|(apple, own)| Some(((*own).to_owned(), number_or_text(answer.get(apple)?)?)))
        .collect();
    Ok(Whereabouts { command: delivery.command, received_at: result.received_at, place })
}

fn number_or_text(value: &Value) -> Option<serde_json::Value> {
    match value {
        Value::Real(number) => Some(json!(number)),
        Value::Integer(number) => number.as_signed().map(|n| json!(n)),
        Value::Date(date) => Some(json!(date.to_xml_format())),
        Value::String(text) if text.len() <= 64 => Some(json!(text)),
        _ => None,
    }
}

/// What an answer says of Lost Mode.
pub(super) fn settled(
    tx: &Tx<'_>,
    report: &Report,
    delivery: &DeliveryRow,
    channel: &EnrollmentRow,
) -> Result<(), Error> {
    let off = report.error_chain.iter().any(|item| item.code == Some(NOT_IN_LOST_MODE));
    let on = match (delivery.request_type.as_str(), report.status) {
        (unlocking::ENABLE_LOST_MODE, Status::Acknowledged) => true,
        (unlocking::DISABLE_LOST_MODE, Status::Acknowledged) => false,
        (unlocking::DISABLE_LOST_MODE | unlocking::DEVICE_LOCATION | "PlayLostModeSound", Status::Error) if off => {
            false
        }
        _ => return Ok(()),
    };
    Ok(tx.put_lost_mode(channel.device, on)?)
}

/// What somebody must know at once: devices marked lost whose passcode may have been cleared all the same.
pub fn worries(cx: &Context) -> Result<Vec<String>, Error> {
    cx.store.read(|db| {
        let mut words = Vec::new();
        for device in db.list_lost()? {
            let since = device.lost_since.unwrap_or(Timestamp(0));
            for delivery in db.list_perhaps_done(device.id, unlocking::CLEAR_PASSCODE, since)? {
                words.push(format!(
                    "{} is marked {}, but ClearPasscode {} had been sent to it already: it may be open to whoever holds it. Erase it if it does not come back.",
                    unlocking::shown(&device),
                    device.lost.as_str(),
                    delivery.command
                ));
            }
        }
        Ok(words)
    })
}
