//! One command for every device of a group: each gets its own, with all the care that a single one gets, and one page tells how far
//! they all are. What opens, erases or removes is not done to many at once.

use super::actor::{Actor, Permission};
use super::commands::{self, Wish};
use super::{Context, Error, auditing, custody, groups};
use crate::base::ids::short_code;
use crate::base::texts::Text;
use crate::plist::Dictionary;
use crate::store::{BulkItem, BulkRow};
use serde_json::json;

/// What may be asked of many.
pub const KINDS: [&str; 7] = [
    "DeviceInformation",
    "SecurityInfo",
    "InstalledApplicationList",
    "ProfileList",
    "CertificateList",
    "RestartDevice",
    "ShutDownDevice",
];
/// Devices of one wish.
pub const MOST: usize = 2_000;
/// Devices named on a page.
const NAMED: usize = 200;

/// How far it is.
#[derive(Debug, Clone)]
pub struct BulkView {
    pub row: BulkRow,
    /// State and how many devices.
    pub counts: Vec<(String, i64)>,
    pub items: Vec<BulkItem>,
}

impl BulkView {
    /// Of all devices, those for which nothing waits any more.
    pub fn progress(&self) -> (i64, i64) {
        let all = self.counts.iter().map(|(_, n)| n).sum();
        let open = |state: &str| matches!(state, "Queued" | "Sent" | "NotNow");
        let waiting: i64 = self.counts.iter().filter(|(state, _)| open(state)).map(|(_, n)| n).sum();
        (all - waiting, all)
    }
}

/// Asks every device of a group. A device that cannot be asked is written down with the reason; the others are asked all the same.
///
/// # Errors
/// `Invalid` for a command that is not for many, for an empty group and for too many devices; `NotFound` for the group.
pub fn begin(cx: &Context, actor: &Actor, group: &str, request_type: &str) -> Result<BulkView, Error> {
    actor.require(Permission::Ask)?;
    let bad = |key: &str, why: String| Error::invalid(Text::BadArgument { key: key.to_owned(), why });
    if !KINDS.contains(&request_type) {
        return Err(bad("command", format!("must be one of {}", KINDS.join(", "))));
    }
    let found = groups::show(cx, actor, group)?;
    if found.devices.is_empty() || found.devices.len() > MOST {
        return Err(bad("group", format!("must have 1 to {MOST} devices")));
    }
    cx.require_space()?;
    let now = cx.now();
    let row = BulkRow {
        id: 0,
        public_id: format!("bulk-{}", short_code(&cx.random_bytes::<8>())),
        request_type: request_type.to_owned(),
        whom: found.row.name.clone(),
        created_by: actor.name(),
        created_at: now,
    };
    let id = cx.store.write(|tx| -> Result<i64, Error> {
        let detail = json!({ "RequestType": request_type, "group": row.whom, "devices": found.devices.len() });
        auditing::record(tx, actor, "bulk.begin", Some(&row.public_id), Some(detail), now)?;
        Ok(tx.insert_bulk(&row)?)
    })?;
    for device in &found.devices {
        let keys = keys(request_type);
        let wish = Wish {
            request_type: row.request_type.clone(),
            keys,
            user: None,
            uuid: None,
            not_before: None,
            expires_at: None,
            unchecked: false,
        };
        let sent = commands::send(cx, actor, &device.public_id, &wish);
        let (command, refused) = match sent {
            Ok(view) => (Some(view.delivery.command), None),
            Err(error) => (None, Some(error.public.to_string())),
        };
        cx.store.write(|tx| tx.insert_bulk_item(id, device.id, command.as_deref(), refused.as_deref()))?;
    }
    show(cx, actor, &row.public_id)
}

/// What a device is asked when nothing more is said.
fn keys(request_type: &str) -> Dictionary {
    if request_type == custody::WHAT_IT_IS { custody::what_it_is() } else { Dictionary::new() }
}

/// # Errors
/// `NotFound`; `Denied` for who does not see every device of the place, unless it is their own.
pub fn show(cx: &Context, actor: &Actor, id: &str) -> Result<BulkView, Error> {
    actor.require(Permission::Look)?;
    let missing = || Error::not_found(Text::NoSuchCommand { uuid: id.chars().take(60).collect() });
    cx.store.read(|db| {
        let row = db.find_bulk(id)?.filter(|row| may_see(actor, row)).ok_or_else(missing)?;
        let (counts, items) = (db.count_bulk(row.id)?, db.list_bulk_items(row.id, NAMED)?);
        Ok(BulkView { row, counts, items })
    })
}

/// The newest ones.
pub fn list(cx: &Context, actor: &Actor, limit: usize) -> Result<Vec<BulkRow>, Error> {
    actor.require(Permission::Look)?;
    let rows = cx.store.read(|db| db.list_bulks(limit))?;
    Ok(rows.into_iter().filter(|row| may_see(actor, row)).collect())
}

/// A teacher sees their own.
fn may_see(actor: &Actor, row: &BulkRow) -> bool {
    actor.require(Permission::LookAround).is_ok() || row.created_by == actor.name()
}
