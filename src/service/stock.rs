//! What stands on devices: kept as they told it last, with what changed since; looked at per device, searched over all, and taken out as
//! CSV. Filled by `polling` from answers to questions, whoever asked them; `inventory` asks on a cadence.

use super::actor::{Actor, Permission};
use super::{Context, Error, commands, devices};
use crate::base::csv;
use crate::base::time::Timestamp;
use crate::plist::{Dictionary, Value, parse_dict};
use crate::protocol::report::{Report, Status};
use crate::protocol::stock::{self, Item, Kind};
use crate::store::{DeliveryRow, DeviceRow, EnrollmentRow, StockChange, StockDevice, StockLine, Tx};

/// Changes that are kept of one device; older ones go with the stories, too.
const KEPT: usize = 2_000;
/// Answers that tell what stands on a device.
const TELLING: [&str; 5] =
    ["InstalledApplicationList", "CertificateList", "ProfileList", "DeviceInformation", "SecurityInfo"];
/// Devices of one step of an export.
const STEP: usize = 500;
/// Columns of facts in an export.
const FACTS: [&str; 5] =
    ["PasscodePresent", "PasscodeCompliantWithProfiles", "FDE_Enabled", "DeviceCapacity", "IsMultiUser"];

/// Takes over what a device told of itself.
pub(super) fn settled(
    cx: &Context,
    tx: &Tx<'_>,
    report: &Report,
    delivery: &DeliveryRow,
    channel: &EnrollmentRow,
    now: Timestamp,
) -> Result<(), Error> {
    let tells = TELLING.contains(&delivery.request_type.as_str());
    if !tells || channel.parent.is_some() || report.status != Status::Acknowledged {
        return Ok(());
    }
    let is_list = !matches!(delivery.request_type.as_str(), "DeviceInformation" | "SecurityInfo");
    let asked = if is_list { asked(cx, tx, &delivery.command)? } else { Dictionary::new() };
    let Some(told) = stock::read(&delivery.request_type, &asked, &report.keys) else { return Ok(()) };
    let (device, kind) = (channel.device, told.kind.as_str());
    let known: Vec<Item> = tx.list_stock(device, kind)?.into_iter().map(|(item, _)| item).collect();
    // What is told for the first time is no change.
    let is_news = |key: &str| match told.kind {
        Kind::Fact => known.iter().any(|item| item.key == key),
        _ => !known.is_empty(),
    };
    let mut changed = false;
    for change in stock::changes(&known, &told) {
        match told.items.iter().find(|item| item.key == change.key) {
            Some(item) => tx.put_stock(device, kind, item, now)?,
            None => tx.delete_stock(device, kind, &change.key)?,
        }
        if is_news(&change.key) {
            tx.insert_stock_change(device, kind, &change, now)?;
            changed = true;
        }
    }
    if changed {
        tx.trim_stock_changes(device, KEPT)?;
    }
    Ok(())
}

/// The keys of a command; none when it is forgotten.
fn asked(cx: &Context, tx: &Tx<'_>, uuid: &str) -> Result<Dictionary, Error> {
    let Some(sealed) = tx.find_command(uuid)?.and_then(|row| row.sealed_plist) else { return Ok(Dictionary::new()) };
    let plist = cx.open(&commands::command_place(uuid), &sealed)?;
    let dict = parse_dict(plist.expose()).map_err(Error::internal)?.into_dictionary();
    Ok(dict.get("Command").and_then(Value::as_dictionary).cloned().unwrap_or_default())
}

/// What a device told of one kind, by name, each with when it was told first.
///
/// # Errors
/// `NotFound`.
pub fn of_device(cx: &Context, actor: &Actor, device: &str, kind: Kind) -> Result<Vec<(Item, Timestamp)>, Error> {
    actor.require(Permission::Look)?;
    let row = devices::find(cx, actor, device)?;
    Ok(cx.store.read(|db| db.list_stock(row.id, kind.as_str()))?)
}

/// What changed on a device, newest first, before `before` (an id).
///
/// # Errors
/// `NotFound`.
pub fn changes(
    cx: &Context,
    actor: &Actor,
    device: &str,
    before: Option<i64>,
    limit: usize,
) -> Result<Vec<StockChange>, Error> {
    actor.require(Permission::Look)?;
    let row = devices::find(cx, actor, device)?;
    Ok(cx.store.read(|db| db.list_stock_changes(row.id, before, limit))?)
}

/// Which of the lines that are found.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// So many before them.
    pub from: usize,
    pub most: usize,
}

impl Part {
    /// For a file, which nobody would know to be cut.
    pub const ALL: Part = Part { from: 0, most: usize::MAX };
}

/// Which devices have something whose name or identifier holds `text`.
///
/// # Errors
/// `Denied`.
pub fn search(cx: &Context, actor: &Actor, kind: Kind, text: &str, part: Part) -> Result<Vec<StockLine>, Error> {
    actor.require(Permission::Look)?;
    cx.store.read(|db| {
        let own = devices::own(db, actor)?;
        Ok(db.find_stock(kind.as_str(), text.trim(), own.as_deref(), (part.from, part.most))?)
    })
}

/// One line of an export.
#[derive(Debug, Clone)]
pub struct ExportLine {
    pub device: DeviceRow,
    pub stock: StockDevice,
    /// Facts beside the device's record: Apple's name and value.
    pub facts: Vec<(&'static str, String)>,
}

/// Every device the actor may see, with what is known of it.
///
/// # Errors
/// `Denied`.
pub fn export(cx: &Context, actor: &Actor) -> Result<Vec<ExportLine>, Error> {
    actor.require(Permission::Look)?;
    let mut found = Vec::new();
    let mut after = 0;
    loop {
        let page = cx.store.read(|db| -> Result<Vec<ExportLine>, Error> {
            let own = devices::own(db, actor)?;
            let mut lines = Vec::new();
            for stock in db.list_stock_devices(own.as_deref(), after, STEP)? {
                let Some(device) = db.find_device(stock.row)? else { continue };
                let told = db.list_stock(stock.row, Kind::Fact.as_str())?;
                let fact = |name: &'static str| {
                    let value = told.iter().find(|(item, _)| item.key == name).map(|(item, _)| item.value.clone());
                    (name, value.unwrap_or_default())
                };
                lines.push(ExportLine { device, stock, facts: FACTS.into_iter().map(fact).collect() });
            }
            Ok(lines)
        })?;
        let Some(last) = page.last() else { return Ok(found) };
        after = last.stock.row;
        found.extend(page);
    }
}

/// An export as a file for spreadsheets, with a line of names.
pub fn devices_as_csv(lines: &[ExportLine]) -> Vec<u8> {
    let names = [
        "id",
        "serial",
        "name",
        "platform",
        "model",
        "product",
        "system",
        "build",
        "supervised",
        "state",
        "lost",
        "enrolled_at",
        "last_seen_at",
        "groups",
        "apps",
        "certificates",
        "profiles",
    ];
    let mut text = csv::line(names.into_iter().chain(FACTS));
    for line in lines {
        let (d, s) = (&line.device, &line.stock);
        let at = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
        let known = |value: &Option<String>| value.clone().unwrap_or_default();
        let cells = [
            d.public_id.clone(),
            known(&d.serial),
            known(&d.name),
            d.platform.clone(),
            known(&d.model_name),
            known(&d.product_name),
            known(&d.os_version),
            known(&d.build_version),
            String::from(super::security::word(d.supervised)),
            s.state.clone(),
            d.lost.as_str().to_owned(),
            at(s.enrolled_at),
            at(s.last_seen_at),
            s.groups.clone(),
            s.apps.to_string(),
            s.certificates.to_string(),
            s.profiles.to_string(),
        ];
        text.push_str(&csv::line(cells.iter().map(String::as_str).chain(line.facts.iter().map(|(_, v)| v.as_str()))));
    }
    text.into_bytes()
}

/// What was found as a file for spreadsheets.
pub fn lines_as_csv(lines: &[StockLine]) -> Vec<u8> {
    let mut text =
        csv::line(["device", "serial", "device_name", "identifier", "name", "value", "detail", "since"].into_iter());
    for line in lines {
        let since = line.since.to_string();
        let cells = [
            line.device.as_str(),
            line.serial.as_deref().unwrap_or_default(),
            line.device_name.as_deref().unwrap_or_default(),
            &line.item.key,
            &line.item.name,
            &line.item.value,
            line.item.detail.as_deref().unwrap_or_default(),
            &since,
        ];
        text.push_str(&csv::line(cells.into_iter()));
    }
    text.into_bytes()
}
