//! The security report: per device what it last said of passcode, encryption and supervision, and whether its management can be removed,
//! each with its source and date. What no device said is “unknown”, never a guess.

use super::actor::{Actor, Permission};
use super::answers::open_answer;
use super::{Context, Error, school};
use crate::base::csv;
use crate::base::time::Timestamp;
use crate::plist::{Dictionary, Value};
use crate::store::ActivityRow;

/// One device.
#[derive(Debug, Clone)]
pub struct Line {
    pub row: ActivityRow,
    pub platform: String,
    pub supervised: Option<bool>,
    pub passcode_present: Option<bool>,
    pub passcode_compliant: Option<bool>,
    pub encrypted: Option<bool>,
    /// When SecurityInfo said so.
    pub told_at: Option<Timestamp>,
    pub removable: Option<bool>,
    /// What says so: `ProfileList` or `SecurityInfo`; none for unknown.
    pub removable_source: Option<&'static str>,
    pub removable_at: Option<Timestamp>,
}

/// Every enrolled device.
///
/// # Errors
/// `Denied` for a teacher.
pub fn report(cx: &Context, actor: &Actor) -> Result<Vec<Line>, Error> {
    actor.require(Permission::LookAround)?;
    let identifier = school::payload_identifier(cx)?;
    let rows = cx.store.read(|db| db.list_activity())?;
    rows.into_iter().map(|row| line(cx, row, &identifier)).collect()
}

/// Some of the enrolled devices, those silent longest first, and whether there are more behind them.
///
/// # Errors
/// As [`report`].
pub fn page(cx: &Context, actor: &Actor, from: usize, limit: usize) -> Result<(Vec<Line>, bool), Error> {
    actor.require(Permission::LookAround)?;
    let identifier = school::payload_identifier(cx)?;
    let rows = cx.store.read(|db| db.list_activity())?;
    let more = rows.len() > from.saturating_add(limit);
    let lines = rows.into_iter().skip(from).take(limit).map(|row| line(cx, row, &identifier));
    Ok((lines.collect::<Result<_, _>>()?, more))
}

/// The newest answer to a command, with its date; none when it is not kept any more.
fn newest(cx: &Context, device: i64, request_type: &str) -> Result<Option<(Dictionary, Timestamp)>, Error> {
    let found = cx.store.read(|db| {
        let Some(delivery) = db.find_last_acknowledged(device, request_type)? else { return Ok(None) };
        Ok::<_, Error>(db.find_result(delivery.seq)?.map(|result| (delivery.seq, result)))
    })?;
    let Some((seq, result)) = found else { return Ok(None) };
    let Some(sealed) = result.sealed_answer else { return Ok(None) };
    Ok(Some((open_answer(cx, seq, &sealed)?, result.received_at)))
}

fn line(cx: &Context, row: ActivityRow, identifier: &str) -> Result<Line, Error> {
    let device = cx.store.read(|db| db.find_device(row.device))?;
    let security = newest(cx, row.device, "SecurityInfo")?;
    let info = security.as_ref().and_then(|(answer, _)| answer.get("SecurityInfo").and_then(Value::as_dictionary));
    let flag = |key: &str| info.and_then(|info| info.get(key)).and_then(Value::as_boolean);
    let told_at = security.as_ref().map(|(_, at)| *at);
    let (removable, removable_source, removable_at) = removable(cx, row.device, identifier, info, told_at)?;
    Ok(Line {
        platform: device.as_ref().map(|device| device.platform.clone()).unwrap_or_default(),
        supervised: device.and_then(|device| device.supervised),
        passcode_present: flag("PasscodePresent"),
        passcode_compliant: flag("PasscodeCompliantWithProfiles").or_else(|| flag("PasscodeCompliant")),
        encrypted: info.and_then(encrypted),
        told_at,
        removable,
        removable_source,
        removable_at,
        row,
    })
}

/// Block and file encryption on an iPad (3); FileVault on a Mac.
fn encrypted(info: &Dictionary) -> Option<bool> {
    let caps = info.get("HardwareEncryptionCaps").and_then(Value::as_signed_integer).map(|caps| caps == 3);
    caps.or_else(|| info.get("FDE_Enabled").and_then(Value::as_boolean))
}

type Removable = (Option<bool>, Option<&'static str>, Option<Timestamp>);

fn removable(
    cx: &Context,
    device: i64,
    identifier: &str,
    info: Option<&Dictionary>,
    told_at: Option<Timestamp>,
) -> Result<Removable, Error> {
    if let Some((answer, at)) = newest(cx, device, "ProfileList")? {
        let profiles = answer.get("ProfileList").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let ours = profiles
            .iter()
            .filter_map(Value::as_dictionary)
            .find(|profile| profile.get("PayloadIdentifier").and_then(Value::as_string) == Some(identifier));
        if let Some(fixed) = ours.and_then(|p| p.get("PayloadRemovalDisallowed")).and_then(Value::as_boolean) {
            return Ok((Some(!fixed), Some("ProfileList"), Some(at)));
        }
    }
    // Only Automated Device Enrolment can make management stay; without it whoever holds the device can remove it.
    let management = info.and_then(|info| info.get("ManagementStatus")).and_then(Value::as_dictionary);
    let automated = management.and_then(|status| status.get("EnrolledViaDEP")).and_then(Value::as_boolean);
    Ok(match automated {
        Some(false) => (Some(true), Some("SecurityInfo"), told_at),
        _ => (None, None, None),
    })
}

/// The words of a column.
pub fn word(value: Option<bool>) -> &'static str {
    match value {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    }
}

/// The report for a spreadsheet.
pub fn to_csv(lines: &[Line]) -> String {
    let heading = [
        "id",
        "serial",
        "name",
        "platform",
        "last_seen_at",
        "passcode_present",
        "passcode_compliant",
        "encrypted",
        "told_at",
        "supervised",
        "mdm_removable",
        "mdm_removable_source",
        "mdm_removable_at",
    ];
    let mut out = csv::line(heading.map(str::to_owned).iter().map(String::as_str));
    let date = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    for line in lines {
        let cells = [
            line.row.public_id.clone(),
            line.row.serial.clone().unwrap_or_default(),
            line.row.name.clone().unwrap_or_default(),
            line.platform.clone(),
            line.row.last_seen_at.to_string(),
            word(line.passcode_present).to_owned(),
            word(line.passcode_compliant).to_owned(),
            word(line.encrypted).to_owned(),
            date(line.told_at),
            word(line.supervised).to_owned(),
            word(line.removable).to_owned(),
            line.removable_source.unwrap_or_default().to_owned(),
            date(line.removable_at),
        ];
        out.push_str(&csv::line(cells.iter().map(String::as_str)));
    }
    out
}
