//! One command for many devices: a group, all, or a list. The wish and its devices are written in one transaction; a job gives each device
//! a command of its own, with all the care that a single one gets, and goes on after a restart. What opens, erases or removes, and what
//! tells where somebody is, is not done to many at once.

use super::actor::{Actor, Permission};
use super::commands::{self, Wish};
use super::timing::Timing;
use super::{Context, Error, Kind, auditing, custody, devices, errands, groups};
use crate::base::ids::short_code;
use crate::base::texts::{Planning, Text};
use crate::base::time::SECOND;
use crate::plist::{Dictionary, Value, parse_dict, to_xml};
use crate::store::{BulkItem, BulkRow};
use serde_json::json;

/// What is often asked of many, for a choice on a page.
const KINDS: [&str; 7] = [
    "DeviceInformation",
    "SecurityInfo",
    "InstalledApplicationList",
    "ProfileList",
    "CertificateList",
    "RestartDevice",
    "ShutDownDevice",
];
/// Devices of one wish.
pub const MOST: usize = 10_000;
/// Devices named on a page.
const NAMED: usize = 200;
/// Devices of one step of the job.
const AT_ONCE: usize = 20;
/// How long whoever asks waits for the first of them.
const WAITS: i64 = SECOND / 2;

/// For which devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    Group(String),
    /// Every device that is enrolled and the actor's.
    All,
    /// By any of their names.
    These(Vec<String>),
}

/// How far it is.
#[derive(Debug, Clone)]
pub struct BulkView {
    pub row: BulkRow,
    /// State and how many devices.
    pub counts: Vec<(String, i64)>,
    /// Some of them, those that are not done first.
    pub items: Vec<BulkItem>,
}

impl BulkView {
    /// Of all devices, those for which nothing waits any more.
    pub fn progress(&self) -> (i64, i64) {
        let all = self.counts.iter().map(|(_, n)| n).sum();
        let open = |state: &str| matches!(state, "pending" | "Queued" | "Sent" | "NotNow");
        let waiting: i64 = self.counts.iter().filter(|(state, _)| open(state)).map(|(_, n)| n).sum();
        (all - waiting, all)
    }
}

/// Those of the usual wishes that the actor may have.
pub fn kinds(actor: &Actor) -> Vec<&'static str> {
    let may = |kind: &&&str| actor.require(errands::needed(kind, &Dictionary::new())).is_ok();
    KINDS.iter().filter(may).copied().collect()
}

/// As [`begin_with`], a usual question of a group.
///
/// # Errors
/// As [`begin_with`].
pub fn begin(cx: &Context, actor: &Actor, group: &str, request_type: &str, timing: Timing) -> Result<BulkView, Error> {
    let keys = if request_type == custody::WHAT_IT_IS { custody::what_it_is() } else { Dictionary::new() };
    let wish = Wish {
        request_type: request_type.to_owned(),
        keys,
        user: None,
        uuid: None,
        not_before: timing.not_before,
        expires_at: timing.expires_at,
        unchecked: false,
    };
    begin_with(cx, actor, &Whom::Group(group.to_owned()), wish)
}

/// Asks each of these devices. One that cannot be asked is written down with the reason; the others are asked all the same.
///
/// # Errors
/// `Denied` for a command that the actor could not send to one device; `Invalid` for one that is not for many, that Apple's schema would
/// not take, for times at which nobody would get it, for an empty group and for too many devices; `NotFound` for the group or a device.
pub fn begin_with(cx: &Context, actor: &Actor, whom: &Whom, wish: Wish) -> Result<BulkView, Error> {
    actor.require(errands::needed(&wish.request_type, &wish.keys))?;
    let bad = |key: &str, why: String| Error::invalid(Text::BadArgument { key: key.to_owned(), why });
    if !errands::is_for_many(&wish.request_type) {
        return Err(Error::invalid(Planning::NotForMany { request_type: wish.request_type }.into()));
    }
    if wish.user.is_some() || wish.uuid.is_some() {
        return Err(bad("user", String::from("a user and a CommandUUID belong to one device")));
    }
    Timing { not_before: wish.not_before, expires_at: wish.expires_at }.check(cx.now())?;
    if !wish.unchecked {
        commands::check(&wish.request_type, &wish.keys)?;
    }
    let (whom, found) = meant(cx, actor, whom)?;
    if found.is_empty() || found.len() > MOST {
        return Err(bad("group", format!("must have 1 to {MOST} devices")));
    }
    cx.require_space()?;
    let now = cx.now();
    let public_id = format!("bulk-{}", short_code(&cx.random_bytes::<8>()));
    let keys = to_xml(&Value::Dictionary(wish.keys));
    let row = BulkRow {
        id: 0,
        sealed_keys: Some(cx.seal(&place(&public_id), &keys)),
        public_id,
        request_type: wish.request_type,
        unchecked: wish.unchecked,
        not_before: wish.not_before,
        expires_at: wish.expires_at,
        whom,
        created_by: actor.name(),
        created_at: now,
    };
    cx.store.write(|tx| -> Result<(), Error> {
        let detail = json!({ "RequestType": row.request_type, "group": row.whom, "devices": found.len() });
        auditing::record(tx, actor, "bulk.begin", Some(&row.public_id), Some(detail), now)?;
        tx.insert_bulk(&row, &found)?;
        Ok(())
    })?;
    // A class has its commands before the answer; a whole school is the job's.
    while cx.now().since(now) < WAITS && step(cx)? {}
    show(cx, actor, &row.public_id)
}

fn place(public_id: &str) -> String {
    format!("bulk/{public_id}")
}

/// The wish in words, and row ids of the devices.
fn meant(cx: &Context, actor: &Actor, whom: &Whom) -> Result<(String, Vec<i64>), Error> {
    let (words, mut found) = match whom {
        Whom::Group(group) => {
            let found = groups::show(cx, actor, group)?;
            (found.row.name, found.devices.iter().map(|device| device.id).collect())
        }
        Whom::All => cx.store.read(|db| -> Result<_, Error> {
            let own = devices::own(db, actor)?;
            let mut all = db.list_enrolled_devices()?;
            all.retain(|id| own.as_ref().is_none_or(|own| own.contains(id)));
            Ok((String::from("all devices"), all))
        })?,
        Whom::These(names) => {
            let rows: Result<Vec<i64>, Error> =
                names.iter().take(MOST + 1).map(|name| Ok(devices::find(cx, actor, name)?.id)).collect();
            (format!("{} devices", names.len()), rows?)
        }
    };
    found.sort_unstable();
    found.dedup();
    Ok((words, found))
}

/// Gives the next devices of the oldest wish their commands. `false` when nothing is left.
///
/// # Errors
/// Faults of the store, a disk that is full: it is tried again.
pub fn step(cx: &Context) -> Result<bool, Error> {
    let Some((row, open)) = cx.store.read(|db| db.find_open_bulk(AT_ONCE))? else { return Ok(false) };
    let sealed = row.sealed_keys.as_ref().ok_or_else(|| Error::internal("a wish for many without its keys"))?;
    let keys = cx.open(&place(&row.public_id), sealed)?;
    let keys = parse_dict(keys.expose()).map_err(Error::internal)?.into_dictionary();
    let wish = Wish {
        request_type: row.request_type.clone(),
        keys,
        user: None,
        uuid: None,
        not_before: row.not_before,
        expires_at: row.expires_at,
        unchecked: row.unchecked,
    };
    let reason = format!("{} of {}", row.public_id, row.created_by);
    for (device, public_id) in open {
        // Whoever else is at it may have been quicker: then nothing is queued here.
        let settle =
            |tx: &crate::store::Tx<'_>, uuid: &str| match tx.settle_bulk_item(row.id, device, Some(uuid), None)? {
                true => Ok(()),
                false => Err(Error::conflict(Text::UuidTaken { uuid: uuid.to_owned() })),
            };
        match commands::send_also(cx, &Actor::Job("bulk"), &public_id, &wish, &reason, &settle) {
            Ok(()) => {}
            Err(error) if error.kind == Kind::Busy => return Err(error),
            Err(error) => {
                let why = error.public.to_string();
                cx.store.write(|tx| tx.settle_bulk_item(row.id, device, None, Some(&why)))?;
            }
        }
    }
    cx.store.write(|tx| tx.forget_bulk_keys(row.id))?;
    cx.ring_pusher();
    cx.ring_teller();
    Ok(true)
}

/// # Errors
/// `NotFound`, also for somebody else's where the actor sees own devices only.
pub fn show(cx: &Context, actor: &Actor, id: &str) -> Result<BulkView, Error> {
    actor.require(Permission::Look)?;
    cx.store.read(|db| {
        let row = db.find_bulk(id)?.filter(|row| may_see(actor, row)).ok_or_else(|| missing(id))?;
        let (counts, items) = (db.count_bulk(row.id)?, db.list_bulk_items(row.id, NAMED)?);
        Ok(BulkView { row, counts, items })
    })
}

/// What became of it for each device, after a row id.
///
/// # Errors
/// As [`show`].
pub fn items(cx: &Context, actor: &Actor, id: &str, after: i64, limit: usize) -> Result<Vec<BulkItem>, Error> {
    actor.require(Permission::Look)?;
    cx.store.read(|db| {
        let row = db.find_bulk(id)?.filter(|row| may_see(actor, row)).ok_or_else(|| missing(id))?;
        Ok(db.page_bulk_items(row.id, after, limit)?)
    })
}

fn missing(id: &str) -> Error {
    Error::not_found(Text::NoSuchCommand { uuid: id.chars().take(60).collect() })
}

/// The newest ones, before a row id.
pub fn list(cx: &Context, actor: &Actor, before: Option<i64>, limit: usize) -> Result<Vec<BulkRow>, Error> {
    actor.require(Permission::Look)?;
    let name = actor.name();
    let own = actor.require(Permission::LookAround).is_err().then_some(name.as_str());
    Ok(cx.store.read(|db| db.list_bulks(own, before, limit))?)
}

/// Takes back what no device has been given yet.
///
/// # Errors
/// As [`show`]; `Denied` for who could not have asked for it.
pub fn cancel(cx: &Context, actor: &Actor, id: &str) -> Result<BulkView, Error> {
    actor.require(Permission::Ask)?;
    let view = show(cx, actor, id)?;
    actor.require(errands::needed_to_cancel(&view.row.request_type))?;
    let now = cx.now();
    cx.store.write(|tx| -> Result<(), Error> {
        tx.refuse_open_bulk_items(view.row.id, "taken back before it was queued")?;
        tx.forget_bulk_keys(view.row.id)?;
        auditing::record(tx, actor, "bulk.cancel", Some(&view.row.public_id), None, now)
    })?;
    let mut after = 0;
    loop {
        let page = items(cx, actor, id, after, NAMED)?;
        let Some(last) = page.last() else { break };
        after = last.row;
        for item in page.iter().filter(|item| matches!(item.standing(), "Queued" | "NotNow")) {
            if let Some(uuid) = &item.command {
                match commands::cancel(cx, actor, uuid) {
                    Ok(_) => {}
                    // The device was quicker.
                    Err(error) if error.kind == Kind::Conflict => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    show(cx, actor, id)
}

/// A teacher sees their own.
fn may_see(actor: &Actor, row: &BulkRow) -> bool {
    actor.require(Permission::LookAround).is_ok() || row.created_by == actor.name()
}
