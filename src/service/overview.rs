//! What a person sees at a glance: is everything all right, and which devices are there. Read by the console; nothing is decided here.

use super::actor::{Actor, Permission};
use super::{Context, Error, devices, expiry, health};
use crate::base::time::DAY;
use crate::store::{
    AuditFilter, AuditRow, DeviceCounts, DeviceFilter, DeviceLine, DeviceOrder, DeviceState, WorkCounts,
};
use serde_json::json;

/// Setting: what this place is, `school` or `office`.
const KIND: &str = "place.kind";
/// An enrolled device that was not heard of for so long is called quiet.
pub const QUIET: i64 = 7 * DAY;
/// Days of the curve of devices seen.
pub const DAYS: usize = 14;
/// OS versions that are told apart.
const VERSIONS: usize = 8;
/// Certificates that end within this are shown.
const SOON: i64 = 60 * DAY;

/// What this place calls itself; words and roles follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    School,
    Office,
}

impl Place {
    pub fn as_str(self) -> &'static str {
        match self {
            Place::School => "school",
            Place::Office => "office",
        }
    }
}

/// Everything on the first page.
#[derive(Debug, Clone)]
pub struct Overview {
    pub devices: DeviceCounts,
    pub work: WorkCounts,
    /// Devices seen on each day, today first.
    pub seen_by_day: Vec<i64>,
    /// Platform, version, how many.
    pub os_versions: Vec<(String, String, i64)>,
}

/// How the server itself does.
#[derive(Debug, Clone)]
pub struct Standing {
    /// What is wrong, each in words with what to do.
    pub faults: Vec<String>,
    /// No certificate for pushes was imported yet.
    pub no_push_certificate: bool,
    /// What ends within sixty days, the next first.
    pub ending: Vec<expiry::Entry>,
}

/// What is wished of a list of devices.
#[derive(Debug, Clone)]
pub struct Wish<'a> {
    pub search: Option<&'a str>,
    pub state: Option<DeviceState>,
    pub platform: Option<&'a str>,
    pub os_version: Option<&'a str>,
    pub order: DeviceOrder,
    pub descending: bool,
    pub after: Option<(&'a str, i64)>,
    pub limit: usize,
}

/// The actor's devices and their work in numbers.
pub fn numbers(cx: &Context, actor: &Actor) -> Result<Overview, Error> {
    actor.require(Permission::Look)?;
    let now = cx.now();
    cx.store.read(|db| {
        let own = devices::own(db, actor)?;
        let only = own.as_deref();
        Ok(Overview {
            devices: db.count_devices(only, now.plus(-DAY), now.plus(-QUIET))?,
            work: db.count_work(only, now, now.plus(-DAY))?,
            seen_by_day: db.count_seen_by_day(only, now, DAYS)?,
            os_versions: db.count_os_versions(only, VERSIONS)?,
        })
    })
}

/// How the server does; for who may see what belongs to the whole place.
pub fn standing(cx: &Context, actor: &Actor) -> Result<Standing, Error> {
    actor.require(Permission::LookAround)?;
    let now = cx.now();
    let certificates = cx.store.read(|db| db.list_push_certificates())?;
    let mut ending = expiry::list(cx, actor)?;
    ending.retain(|one| one.not_after.since(now) < SOON);
    Ok(Standing {
        faults: health::examine(cx)?.reasons,
        // A request that has not come back has no chain.
        no_push_certificate: certificates.iter().all(|one| one.chain_pem.is_empty()),
        ending,
    })
}

/// One page of the actor's devices.
pub fn list_devices(cx: &Context, actor: &Actor, wish: &Wish<'_>) -> Result<Vec<DeviceLine>, Error> {
    actor.require(Permission::Look)?;
    let quiet_before = cx.now().plus(-QUIET);
    let mut lines = cx.store.read(|db| {
        let own = devices::own(db, actor)?;
        let Wish { search, state, platform, os_version, order, descending, after, limit } = wish.clone();
        let only = own.as_deref();
        let filter =
            DeviceFilter { search, state, platform, os_version, only, order, descending, after, quiet_before, limit };
        Ok::<_, Error>(db.list_device_lines(&filter)?)
    })?;
    for line in &mut lines {
        line.last_seen_at = line.enrollment.and_then(|id| cx.find_seen(id)).max(line.last_seen_at);
    }
    Ok(lines)
}

/// The audit, newest first.
pub fn newest_audit(
    cx: &Context,
    actor: &Actor,
    filter: &AuditFilter,
    before: Option<i64>,
) -> Result<Vec<AuditRow>, Error> {
    actor.require(Permission::Audit)?;
    Ok(cx.store.read(|db| db.list_newest_audit(filter, before))?)
}

/// A school, unless somebody said otherwise.
pub fn place(cx: &Context) -> Result<Place, Error> {
    let said = cx.store.read(|db| db.find_setting(KIND))?;
    Ok(if said.as_ref().and_then(|v| v.as_str()) == Some("office") { Place::Office } else { Place::School })
}

/// Says what this place is.
///
/// # Errors
/// `Denied` for anybody but an owner.
pub fn set_place(cx: &Context, actor: &Actor, place: Place) -> Result<(), Error> {
    actor.require(Permission::Administer)?;
    let now = cx.now();
    cx.store.write(|tx| {
        tx.put_setting(KIND, &json!(place.as_str()))?;
        super::auditing::record(tx, actor, "place.set", None, Some(json!({ "kind": place.as_str() })), now)
    })
}
