//! What goes on paper: the secrets of one device for the envelope in the safe, and what the police need of a stolen one. Called by
//! `http`, which draws them. The first shows secrets and has the rules of `revealing`; the second has none, but may say where a device is.

use super::actor::{Actor, Permission};
use super::lost::{self, Whereabouts};
use super::revealing::{self, Agreement, Revealed};
use super::{Context, Error, Kind, auditing, custody, devices, login, unlocking};
use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::base::time::Timestamp;
use crate::store::DeviceRow;
use serde_json::json;

/// The request of the two-person rule for a whole sheet.
const SHEET: &str = "sheet";
/// Kinds that are bytes for machines; paper is no place for them.
const NOT_ON_PAPER: [&str; 2] = ["unlock-token", "bootstrap-token"];

/// Everything on a sheet of secrets.
pub struct SecretSheet {
    pub device: DeviceRow,
    pub secrets: Vec<Revealed>,
    /// Kinds that are kept but not printed.
    pub not_printed: Vec<String>,
    pub reason: String,
    pub by: String,
    pub at: Timestamp,
}

/// The secrets in force of one device, for paper. Recorded before any is opened.
///
/// # Errors
/// As [`revealing::reveal`]; under the two-person rule one agreement is for the whole sheet.
pub fn secrets(
    cx: &Context,
    actor: &Actor,
    device: &str,
    reason: &str,
    password: Option<&Secret<String>>,
) -> Result<SecretSheet, Error> {
    let said: String = reason.chars().take(unlocking::MOST_WORDS).collect();
    let print = || try_secrets(cx, actor, device, reason, password);
    auditing::noting(cx, actor, "secret.sheet", device, json!({ "reason": said }), print)
}

fn try_secrets(
    cx: &Context,
    actor: &Actor,
    device: &str,
    reason: &str,
    password: Option<&Secret<String>>,
) -> Result<SecretSheet, Error> {
    revealing::require_person(actor, Permission::Reveal)?;
    let reason = unlocking::reason("reason", Some(reason))?;
    login::verify_fresh(cx, actor, password.map(|p| p.expose().as_str()))?;
    let found = devices::find(cx, actor, device)?;
    let now = cx.now();
    let agreed = cx.store.write(|tx| {
        let mut rows = Vec::new();
        let mut not_printed = Vec::new();
        for kind in custody::KINDS {
            match revealing::choose(tx.list_secrets(found.id, Some(kind))?, None) {
                Some(row) if NOT_ON_PAPER.contains(&kind) => not_printed.push(row.kind),
                Some(row) => rows.push(row),
                None => {}
            }
        }
        if rows.is_empty() {
            let kind = String::from("secret for a sheet");
            return Err(Error::not_found(Text::NoSuchSecret { device: unlocking::shown(&found), kind }));
        }
        let request = match revealing::two_person(tx)? {
            true => match revealing::agree(cx, tx, actor, &found, (SHEET, 0), &reason, now)? {
                Agreement::Given(id) => Some(id),
                Agreement::Waits(id) => return Ok(Err(id)),
            },
            false => None,
        };
        let printed: Vec<_> = rows.iter().map(|r| json!({ "kind": r.kind, "generation": r.generation })).collect();
        let detail = json!({ "secrets": printed, "reason": reason, "request": request });
        auditing::record(tx, actor, "secret.sheet", Some(&found.public_id), Some(detail), now)?;
        let detail = json!({ "kind": SHEET, "secrets": printed, "by": actor.name(), "reason": reason });
        tx.tell(found.id, None, None, "secret-revealed", Some(&detail.to_string()), now)?;
        Ok::<_, Error>(Ok((rows, not_printed)))
    })?;
    let (rows, not_printed) = agreed.map_err(|id| Error::conflict(Text::SecondPersonNeeded { id }))?;
    let secrets = rows.iter().map(|row| revealing::open(cx, &found, row)).collect::<Result<_, _>>()?;
    Ok(SecretSheet { device: found, secrets, not_printed, reason, by: actor.name(), at: now })
}

/// Everything on a theft sheet.
pub struct TheftSheet {
    pub organization: String,
    pub device: DeviceRow,
    pub udid: Option<String>,
    pub imei: Option<String>,
    pub meid: Option<String>,
    pub last_seen: Option<Timestamp>,
    pub last_location: Option<Whereabouts>,
    pub reason: String,
    pub by: String,
    pub at: Timestamp,
}

/// What the police and the insurance need of a stolen device. That the place was looked at is recorded as any look is.
///
/// # Errors
/// `Invalid` without a reason; `Denied` below admin, because of the place.
pub fn theft(cx: &Context, actor: &Actor, device: &str, reason: &str) -> Result<TheftSheet, Error> {
    let said: String = reason.chars().take(unlocking::MOST_WORDS).collect();
    let print = || try_theft(cx, actor, device, reason);
    auditing::noting(cx, actor, "device.theft-sheet", device, json!({ "reason": said }), print)
}

fn try_theft(cx: &Context, actor: &Actor, device: &str, reason: &str) -> Result<TheftSheet, Error> {
    actor.require(Permission::Reveal)?;
    let reason = unlocking::reason("reason", Some(reason))?;
    let shown = devices::show(cx, actor, device)?;
    let row = shown.row.clone();
    let last_location = match lost::whereabouts(cx, actor, device, &reason) {
        Ok(place) => Some(place),
        Err(error) if error.kind == Kind::NotFound => None,
        Err(error) => return Err(error),
    };
    let (imei, meid) = cx.store.read(|db| db.find_radio_ids(row.id))?;
    let channel = devices::channel(cx, &row, None).ok();
    let last_seen = channel.as_ref().and_then(|c| cx.find_seen(c.id).max(c.last_seen_at));
    let organization = super::school::organization(cx)?;
    let now = cx.now();
    cx.store.write(|tx| {
        let detail = json!({ "reason": reason, "location": last_location.is_some() });
        auditing::record(tx, actor, "device.theft-sheet", Some(&row.public_id), Some(detail), now)
    })?;
    let udid = channel.map(|c| c.enrollment_id);
    let by = actor.name();
    Ok(TheftSheet { organization, device: row, udid, imei, meid, last_seen, last_location, reason, by, at: now })
}
