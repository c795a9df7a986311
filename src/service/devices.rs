//! Looking at devices: by any of their names, with their channels and their story; and what their answers say of themselves.

use super::actor::{Actor, Permission, Scope};
use super::checkin::platform;
use super::renewing::{self, Standing};
use super::{Context, Error};
use crate::base::ids::Serial;
use crate::base::texts::Text;
use crate::base::time::Timestamp;
use crate::plist::Value;
use crate::protocol::report::Report;
use crate::store::{
    ArrivalRow, ChannelKind, Db, DeviceFacts, DeviceRow, EnrollmentRow, PersonRow, PushRow, TimelineRow, Tx,
};

/// One channel with everything a person wants to know of it.
#[derive(Debug, Clone)]
pub struct ChannelView {
    pub row: EnrollmentRow,
    pub last_seen_at: Option<Timestamp>,
    pub waiting: i64,
    pub push: Option<PushRow>,
}

/// A device with its channels, the device's own first.
#[derive(Debug, Clone)]
pub struct DeviceView {
    pub row: DeviceRow,
    pub channels: Vec<ChannelView>,
    /// How the renewal of its identity stands; only where one device is shown.
    pub standing: Option<Standing>,
}

/// By Cordon's id, UDID / EnrollmentID or serial number, if it is one of the actor's.
///
/// # Errors
/// `NotFound`, also for a device outside a teacher's classes: that it exists is not theirs to know.
pub(super) fn find(cx: &Context, actor: &Actor, device: &str) -> Result<DeviceRow, Error> {
    let found = cx.store.read(|db| db.find_device_by_any(device))?;
    let own = match &found {
        Some(row) => cx.store.read(|db| is_own(db, actor, row.id))?,
        None => false,
    };
    found.filter(|_| own).ok_or_else(|| Error::not_found(Text::NoSuchDevice { device: device.to_owned() }))
}

/// The devices that an actor may see, by row id; `None` for all.
pub(super) fn own(db: &Db<'_>, actor: &Actor) -> Result<Option<Vec<i64>>, Error> {
    match actor.scope() {
        Scope::All => Ok(None),
        Scope::Classes(teacher) => Ok(Some(db.list_taught_devices(teacher)?)),
        Scope::Nothing => Ok(Some(Vec::new())),
    }
}

/// Whether this device is one of the actor's.
pub(super) fn is_own(db: &Db<'_>, actor: &Actor, device: i64) -> Result<bool, Error> {
    Ok(own(db, actor)?.is_none_or(|own| own.contains(&device)))
}

/// The device's own channel, or that of one of its users (by UserID or short name).
///
/// # Errors
/// `NotFound` for a user that has no channel here; `Conflict` for a device that never enrolled.
pub(super) fn channel(cx: &Context, device: &DeviceRow, user: Option<&str>) -> Result<EnrollmentRow, Error> {
    let channels = cx.store.read(|db| db.list_enrollments(device.id))?;
    let shown = || device.serial.clone().unwrap_or_else(|| device.public_id.clone());
    match user {
        // The newest wins: a device may have enrolled under other ids before.
        None => channels
            .into_iter()
            .filter(|c| c.channel == ChannelKind::Device)
            .max_by_key(|c| (c.state == crate::protocol::lifecycle::State::Active, c.id))
            .ok_or_else(|| Error::conflict(Text::NotEnrolled { device: shown() })),
        Some(user) => channels
            .into_iter()
            .filter(|c| c.channel == ChannelKind::User)
            .filter(|c| {
                let is = |name: &Option<String>| name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(user));
                is(&c.user_id) || is(&c.user_short_name)
            })
            // An account made anew has the same short name and another id: the one that can be reached is meant.
            .max_by_key(|c| (c.state == crate::protocol::lifecycle::State::Active, c.id))
            .ok_or_else(|| {
                let (user, device_name) = (user.to_owned(), shown());
                Error::not_found(match device.platform.as_str() {
                    "macOS" => Text::UserNotManaged { user, device: device_name },
                    _ => Text::NoSuchUser { user, device: device_name },
                })
            }),
    }
}

/// Devices after `after` in order of arrival. `search` matches the beginning of serial, name, model or id, and
/// of its users' names.
pub fn list(
    cx: &Context,
    actor: &Actor,
    after: i64,
    search: Option<&str>,
    limit: usize,
) -> Result<Vec<DeviceView>, Error> {
    actor.require(Permission::Look)?;
    let rows = cx.store.read(|db| {
        let own = own(db, actor)?;
        Ok::<_, Error>(db.list_devices(after, search, own.as_deref(), limit)?)
    })?;
    rows.into_iter().map(|row| view(cx, row)).collect()
}

pub fn show(cx: &Context, actor: &Actor, device: &str) -> Result<DeviceView, Error> {
    actor.require(Permission::Look)?;
    let found = find(cx, actor, device)?;
    let standing = match channel(cx, &found, None) {
        Ok(channel) => renewing::standing(cx, &channel)?,
        Err(_) => None,
    };
    Ok(DeviceView { standing, ..view(cx, found)? })
}

/// What happened to a device, newest first.
pub fn timeline(cx: &Context, actor: &Actor, device: &str, limit: usize) -> Result<Vec<TimelineRow>, Error> {
    actor.require(Permission::Look)?;
    let row = find(cx, actor, device)?;
    cx.store.read(|db| Ok(db.list_timeline(row.id, limit)?))
}

/// How a device came in that was enrolled through the door, with what it said of itself; `None` for one whose profile was carried to it.
pub fn arrival(cx: &Context, actor: &Actor, device: &DeviceView) -> Result<Option<ArrivalRow>, Error> {
    actor.require(Permission::Look)?;
    let own = device.channels.iter().map(|c| &c.row).filter(|row| row.channel == ChannelKind::Device);
    match own.max_by_key(|row| row.id).and_then(|row| row.issued_profile) {
        Some(issued) => cx.store.read(|db| Ok(db.find_arrival_by_profile(issued)?)),
        None => Ok(None),
    }
}

/// Whose device it is: the person that it was enrolled for.
pub fn person(cx: &Context, actor: &Actor, device: &DeviceView) -> Result<Option<PersonRow>, Error> {
    actor.require(Permission::Look)?;
    let own = device.channels.iter().map(|c| &c.row).filter(|row| row.channel == ChannelKind::Device);
    let Some(issued) = own.max_by_key(|row| row.id).and_then(|row| row.issued_profile) else { return Ok(None) };
    cx.store.read(|db| match db.find_issued_profile(issued)?.and_then(|held| held.person) {
        Some(person) => Ok(db.find_person_by_row(person)?),
        None => Ok(None),
    })
}

fn view(cx: &Context, row: DeviceRow) -> Result<DeviceView, Error> {
    let channels = cx.store.read(|db| -> Result<_, Error> {
        let mut channels = Vec::new();
        for channel in db.list_enrollments(row.id)? {
            let last_seen_at = cx.find_seen(channel.id).max(channel.last_seen_at);
            let (waiting, push) = (db.count_waiting(channel.id)?, db.find_push(channel.id)?);
            channels.push(ChannelView { row: channel, last_seen_at, waiting, push });
        }
        Ok(channels)
    })?;
    Ok(DeviceView { row, channels, standing: None })
}

/// What DeviceInformation says of the device itself goes into its record, which comes back as it stands now.
pub(super) fn learn(tx: &Tx<'_>, report: &Report, device: i64) -> Result<Option<DeviceRow>, Error> {
    let Some(known) = tx.find_device(device)? else { return Ok(None) };
    let Some(Value::Dictionary(answers)) = report.keys.get("QueryResponses") else { return Ok(Some(known)) };
    let text = |key: &str| answers.get(key).and_then(Value::as_string).filter(|t| t.len() <= 256).map(str::to_owned);
    let serial = match text("SerialNumber").and_then(|s| s.parse::<Serial>().ok()) {
        // A serial that another device holds is not taken over by a mere answer.
        Some(serial) if known.serial.as_deref() == Some(serial.as_str()) => None,
        Some(serial) if tx.find_device_by_serial(&serial)?.is_some() => None,
        other => other,
    };
    let facts = DeviceFacts {
        serial,
        name: text("DeviceName"),
        platform: platform(text("ProductName").as_deref(), text("ModelName").as_deref()),
        model: text("Model"),
        model_name: text("ModelName"),
        product_name: text("ProductName"),
        os_version: text("OSVersion"),
        build_version: text("BuildVersion"),
        imei: None,
        meid: None,
        supervised: answers.get("IsSupervised").and_then(Value::as_boolean),
        lost_mode: answers.get("IsMDMLostModeEnabled").and_then(Value::as_boolean),
    };
    if facts.is_known(&known) {
        return Ok(Some(known));
    }
    tx.update_device(device, &facts)?;
    Ok(tx.find_device(device)?)
}
