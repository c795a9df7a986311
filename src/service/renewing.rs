//! Renewal before anything expires: the MDM profile of an enrolled device is replaced by command, which gives it a new identity and the
//! roots of today. The old identity stays good until the result of the command says what the device kept.
//!
//! Called by `jobs`, the API, and by `checkin` and `polling` for what devices do with it. Not here: building the profile (`enrolling`),
//! and new authorities (`replacing`).

mod due;

use super::actor::{Actor, Permission};
use super::attention::{self, RENEWAL};
use super::commands::{self, Told};
use super::device_policy;
use super::enrolling::{self, Prepared, Wish};
use super::identity::Identity;
use super::{Context, Error, devices, replacing, revoking};
use crate::base::texts::Text;
use crate::base::time::{DAY, HOUR, MINUTE, Timestamp};
use crate::plist::{Dictionary, Value};
use crate::protocol::lifecycle::State;
use crate::protocol::report::{Report, Status};
use crate::store::{
    BindingState, Db, DeliveryRow, DeviceRow, DueRow, EnrollmentRow, NewRenewal, RenewalRow, RenewalState, Tx,
};
use due::{cause, due_at, waits};
use serde_json::json;

pub(super) use due::spread;

const INSTALL_PROFILE: &str = "InstallProfile";
/// Apple's right to install profiles.
const INSTALL_RIGHT: i64 = 2;
/// The challenge inside ends with its command; this only bounds a row that was forgotten.
const CHALLENGE_LIFE: i64 = 3_650 * DAY;
/// Renewals that one round of the job begins: 2,000 devices take an hour and a half, and no wave of them meets the server at once.
const PER_ROUND: usize = 25;
/// Failures in a row after which a person is told.
const PATIENCE: i64 = 3;

/// Why a device is renewed; the words of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    Identity,
    Profile,
    Authorities,
    Asked,
}

impl Cause {
    fn as_str(self) -> &'static str {
        match self {
            Cause::Identity => "identity",
            Cause::Profile => "profile",
            Cause::Authorities => "authorities",
            Cause::Asked => "asked",
        }
    }
}

/// How the renewal of one device stands.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Of the identity in use.
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// When the job renews it by itself.
    pub due_at: Timestamp,
    pub last: Option<RenewalRow>,
}

/// One round of the job: ends renewals that nobody will answer, then begins some that are due. Does nothing while the clock is behind.
///
/// # Errors
/// Faults of the store. One device that cannot be renewed keeps no other from it.
pub fn run(cx: &Context) -> Result<usize, Error> {
    if cx.clock_is_behind().is_some() {
        return Ok(0);
    }
    end_orphans(cx)?;
    begin_due(cx, &Actor::Job("renewal"), PER_ROUND)
}

/// Begins what is due now, the most urgent first; at most `limit`.
fn begin_due(cx: &Context, actor: &Actor, limit: usize) -> Result<usize, Error> {
    let now = cx.now();
    let fresh = replacing::fresh(cx)?;
    let (rows, policy) = cx.store.read(|db| Ok::<_, Error>((db.list_renewable()?, device_policy::find(db)?)))?;
    let mut due: Vec<(DueRow, Cause)> = rows
        .into_iter()
        .filter(|row| !waits(row, now))
        .filter_map(|row| cause(&row, &policy, &fresh, now).map(|cause| (row, cause)))
        .collect();
    due.sort_by_key(|(row, _)| row.not_after);
    let mut begun = 0;
    for (row, cause) in due {
        if begun == limit {
            break;
        }
        match begin_for(cx, actor, &row, cause) {
            Ok(true) => begun += 1,
            Ok(false) => {}
            Err(e) => tracing::error!(device = row.device_id, error = %e, "a renewal could not be begun"),
        }
    }
    if begun > 0 {
        cx.ring_pusher();
        cx.ring_teller();
    }
    Ok(begun)
}

fn begin_for(cx: &Context, actor: &Actor, row: &DueRow, cause: Cause) -> Result<bool, Error> {
    let found = cx
        .store
        .read(|db| Ok::<_, Error>(db.find_device(row.device)?.zip(db.find_enrollment_by_row(row.enrollment)?)))?;
    let Some((device, channel)) = found else { return Ok(false) };
    if row.access_rights & INSTALL_RIGHT == 0 {
        let detail = json!({ "why": "the enrolment does not grant the right to install profiles" });
        cx.store.write(|tx| attention::tell(cx, tx, device.id, RENEWAL, None, &detail, cx.now()))?;
        return Ok(false);
    }
    let begun = begin(cx, actor, &device, &channel, cause)?;
    Ok(begun.is_some())
}

// ---- beginning

/// Renews one device now, whatever its dates say. The command's UUID; that of the one under way if there is one.
///
/// # Errors
/// `Conflict` for a device that is not enrolled, or that granted no right to install profiles.
pub fn renew(cx: &Context, actor: &Actor, device: &str) -> Result<String, Error> {
    actor.require(Permission::Enroll)?;
    let found = devices::find(cx, actor, device)?;
    let channel = devices::channel(cx, &found, None)?;
    if channel.state != State::Active || channel.blocked_at.is_some() {
        return Err(Error::conflict(Text::NotEnrolled { device: device.to_owned() }));
    }
    let held = channel.issued_profile.map(|id| cx.store.read(|db| db.find_issued_profile(id))).transpose()?.flatten();
    if held.is_none_or(|held| i64::from(held.access_rights) & INSTALL_RIGHT == 0) {
        return Err(Error::conflict(Text::NoRightToRenew { device: device.to_owned() }));
    }
    let begun = begin(cx, actor, &found, &channel, Cause::Asked)?;
    cx.ring_pusher();
    cx.ring_teller();
    match begun {
        Some(command) => Ok(command),
        None => {
            let open = cx.store.read(|db| db.find_open_renewal(channel.id))?;
            open.map(|open| open.command).ok_or_else(|| Error::internal("a renewal that neither is nor can begin"))
        }
    }
}

/// Renews everything that is due now, without waiting for the job's rounds.
///
/// # Errors
/// `Denied`; `Conflict` while the clock is behind.
pub fn renew_due(cx: &Context, actor: &Actor) -> Result<usize, Error> {
    actor.require(Permission::Enroll)?;
    if let Some(seen) = cx.clock_is_behind() {
        return Err(Error::conflict(Text::ClockBehind { now: cx.now().to_string(), seen: seen.to_string() }));
    }
    end_orphans(cx)?;
    begin_due(cx, actor, usize::MAX)
}

/// `None` when one is under way already.
fn begin(
    cx: &Context,
    actor: &Actor,
    device: &DeviceRow,
    channel: &EnrollmentRow,
    cause: Cause,
) -> Result<Option<String>, Error> {
    let Some(held) = channel.issued_profile else { return Ok(None) };
    let wish = Wish { life: CHALLENGE_LIFE, ..Wish::default() };
    let prepared = enrolling::prepare_renewal(cx, actor, held, channel.id, &wish)?;
    let mut keys = Dictionary::new();
    keys.insert(String::from("Payload"), Value::Data(prepared.bytes.expose().clone()));
    let ready = commands::ready(cx, None, INSTALL_PROFILE, keys)?;
    let now = cx.now();
    cx.store.write(|tx| queue(cx, tx, actor, device, channel, &prepared, &ready, cause, now))
}

#[allow(clippy::too_many_arguments, reason = "one call of one fact each; a struct would only rename them")]
fn queue(
    cx: &Context,
    tx: &Tx<'_>,
    actor: &Actor,
    device: &DeviceRow,
    channel: &EnrollmentRow,
    prepared: &Prepared,
    ready: &commands::Ready,
    cause: Cause,
    now: Timestamp,
) -> Result<Option<String>, Error> {
    if tx.find_open_renewal(channel.id)?.is_some() {
        return Ok(None);
    }
    let failures = tx.find_last_renewal(channel.id)?.map_or(0, |last| last.failures);
    let command = ready.uuid.as_str();
    let issued_profile = prepared.record(tx, actor, now)?;
    tx.tie_challenge(issued_profile, command)?;
    let told = Told { reason: Some(format!("renewal: {}", cause.as_str())), ..Told::default() };
    commands::enqueue(cx, tx, actor, device, channel, ready, &told, now)?;
    let new = NewRenewal { enrollment: channel.id, command, issued_profile, reason: cause.as_str(), failures };
    tx.insert_renewal(&new, now)?;
    Ok(Some(command.to_owned()))
}

/// The one command that an expired identity may fetch; queued now if it was not. `None` when it has just failed.
pub(super) fn urgent(
    cx: &Context,
    tx: &Tx<'_>,
    channel: &EnrollmentRow,
    now: Timestamp,
) -> Result<Option<String>, Error> {
    if let Some(open) = tx.find_open_renewal(channel.id)? {
        let waiting = tx.find_delivery(&open.command, channel.id)?.is_some_and(|d| !d.state.is_finished());
        return Ok(waiting.then_some(open.command));
    }
    let last = tx.find_last_renewal(channel.id)?;
    if last.and_then(|last| last.next_try_at).is_some_and(|at| at > now) || cx.clock_is_behind().is_some() {
        return Ok(None);
    }
    let (Some(device), Some(held)) = (tx.find_device(channel.device)?, channel.issued_profile) else { return Ok(None) };
    let actor = Actor::Job("renewal");
    let wish = Wish { life: CHALLENGE_LIFE, ..Wish::default() };
    let prepared = enrolling::prepare_renewal(cx, &actor, held, channel.id, &wish)?;
    let mut keys = Dictionary::new();
    keys.insert(String::from("Payload"), Value::Data(prepared.bytes.expose().clone()));
    let ready = commands::ready(cx, None, INSTALL_PROFILE, keys)?;
    queue(cx, tx, &actor, &device, channel, &prepared, &ready, Cause::Identity, now)
}

// ---- what the device does with it

/// Whether the certificate was issued to the renewal under way on this channel.
pub(super) fn is_of_open_renewal(db: &Db<'_>, enrollment: i64, identity: &Identity) -> Result<bool, Error> {
    let open = db.find_open_renewal(enrollment)?;
    Ok(open.is_some_and(|open| identity.certificate.issued_profile == Some(open.issued_profile)))
}

/// Whether the certificate is the one that a renewal under way would fall back to.
pub(super) fn is_fallback(db: &Db<'_>, enrollment: i64, identity: &Identity) -> Result<bool, Error> {
    let open = db.find_open_renewal(enrollment)?;
    Ok(open.is_some_and(|open| open.fallback == Some(identity.certificate.fingerprint)))
}

/// A TokenUpdate is about to be taken. Under the new certificate it proves the renewal; under the old one the device has rolled back.
pub(super) fn token_updated(
    cx: &Context,
    tx: &Tx<'_>,
    channel: &EnrollmentRow,
    user: Option<i64>,
    identity: &Identity,
    now: Timestamp,
) -> Result<(), Error> {
    let Some(open) = tx.find_open_renewal(channel.id)? else { return Ok(()) };
    if identity.certificate.issued_profile == Some(open.issued_profile) {
        tx.keep_fallback_target(user.unwrap_or(channel.id))?;
        if user.is_none() && open.state == RenewalState::Queued {
            let before = tx.find_current_certificate(channel.id)?;
            let before = before.filter(|before| *before != identity.certificate.fingerprint);
            tx.mark_renewal_proven(open.id, before.as_ref())?;
        }
    } else if user.is_none() && open.fallback == Some(identity.certificate.fingerprint) {
        fail(cx, tx, &open, channel.device, "the device went back to its old identity", now)?;
    }
    Ok(())
}

/// The answer to an InstallProfile of ours. Which certificate it came under says what the device kept, whatever else it says.
pub(super) fn settled(
    cx: &Context,
    tx: &Tx<'_>,
    report: &Report,
    delivery: &DeliveryRow,
    identity: &Identity,
    channel: &EnrollmentRow,
    now: Timestamp,
) -> Result<(), Error> {
    if delivery.request_type != INSTALL_PROFILE || channel.parent.is_some() {
        return Ok(());
    }
    let Some(renewal) = tx.find_renewal_by_command(&delivery.command)? else { return Ok(()) };
    if !matches!(report.status, Status::Idle | Status::NotNow) {
        // A PKCS#12 identity with its key was in it; nobody needs it any more.
        tx.purge_plist(&delivery.command)?;
    }
    let Some(open) = Some(renewal).filter(|renewal| renewal.finished_at.is_none()) else { return Ok(()) };
    let new = identity.certificate.issued_profile == Some(open.issued_profile);
    if new && open.state == RenewalState::Proven {
        return done(tx, &open, channel, identity, now);
    }
    let why = match report.status {
        Status::Acknowledged if new => String::from("the device never said how the new identity can be reached"),
        Status::Acknowledged => String::from("the device took the profile and kept its old identity"),
        Status::Idle | Status::NotNow => return Ok(()),
        Status::Error | Status::CommandFormatError => {
            let first = report.error_chain.first().map(|item| item.to_json().to_string());
            first.unwrap_or_else(|| String::from("the device gave no reason"))
        }
    };
    fail(cx, tx, &open, channel.device, &why, now)
}

/// The device lives by the new profile: what was before it is worth nothing any more.
fn done(
    tx: &Tx<'_>,
    open: &RenewalRow,
    channel: &EnrollmentRow,
    identity: &Identity,
    now: Timestamp,
) -> Result<(), Error> {
    let fingerprint = &identity.certificate.fingerprint;
    tx.finish_renewal(open.id, now)?;
    tx.retire_other_bindings(fingerprint, channel.id, now)?;
    tx.revoke_bound(channel.id, Some(fingerprint), revoking::REPLACED, now)?;
    tx.forget_fallback_targets(channel.id)?;
    tx.settle_attention(channel.device, RENEWAL, "job:renewal", "renewed", now)?;
    let detail = json!({ "reason": open.reason, "not_after": identity.certificate.not_after.to_string() }).to_string();
    tx.tell(channel.device, Some(channel.id), Some(&open.command), "renewed", Some(&detail), now)?;
    Ok(())
}

/// The device has its old configuration again: its old identity, push targets and profile are in force, and it is tried again later.
fn fail(cx: &Context, tx: &Tx<'_>, open: &RenewalRow, device: i64, why: &str, now: Timestamp) -> Result<(), Error> {
    tx.abandon_certificates(open.issued_profile, open.enrollment, revoking::RENEWAL_FAILED, now)?;
    if let Some(fallback) = &open.fallback {
        tx.put_binding(fallback, open.enrollment, BindingState::Current, now)?;
        if let Some(held) = tx.find_certificate_standing(fallback)?.and_then(|(standing, _)| standing.issued_profile) {
            tx.put_issued_profile(open.enrollment, held)?;
        }
        tx.restore_fallback_targets(open.enrollment)?;
    }
    tx.forget_fallback_targets(open.enrollment)?;
    tx.purge_plist(&open.command)?;
    let failures = open.failures + 1;
    let why: String = why.chars().take(500).collect();
    tx.fail_renewal(open.id, &why, failures, now.plus(pause(failures)), now)?;
    let detail = json!({ "why": why, "failures": failures });
    tx.tell(device, Some(open.enrollment), Some(&open.command), "renewal-failed", Some(&detail.to_string()), now)?;
    if failures >= PATIENCE {
        attention::tell(cx, tx, device, RENEWAL, None, &detail, now)?;
    }
    Ok(())
}

/// How long after so many failures in a row it is tried again.
fn pause(failures: i64) -> i64 {
    match failures {
        ..=1 => 15 * MINUTE,
        2 => HOUR,
        3 => 6 * HOUR,
        _ => DAY,
    }
}

/// The device enrolled anew under another certificate: the renewal is over, and there is nothing to fall back to.
pub(super) fn superseded(tx: &Tx<'_>, enrollment: i64, now: Timestamp) -> Result<(), Error> {
    if let Some(open) = tx.find_open_renewal(enrollment)? {
        tx.fail_renewal(open.id, "the device enrolled anew", 0, now, now)?;
    }
    tx.forget_fallback_targets(enrollment)?;
    Ok(())
}

/// Renewals whose command was cancelled, or cleared with its queue.
fn end_orphans(cx: &Context) -> Result<(), Error> {
    if cx.store.read(|db| db.list_orphaned_renewals())?.is_empty() {
        return Ok(());
    }
    let now = cx.now();
    cx.store.write(|tx| {
        for open in tx.list_orphaned_renewals()? {
            if let Some(channel) = tx.find_enrollment_by_row(open.enrollment)? {
                fail(cx, tx, &open, channel.device, "its command was taken back", now)?;
            }
        }
        Ok(())
    })
}

/// A queued renewal that no device has seen, and that lacks what profiles hold today, is made anew. Called when authorities change.
pub(super) fn refresh_queued(cx: &Context) -> Result<(), Error> {
    let fresh = replacing::fresh(cx)?;
    let rows = cx.store.read(|db| db.list_renewable())?;
    let open = rows.iter().filter_map(|row| row.last.as_ref()).filter(|last| last.finished_at.is_none());
    let now = cx.now();
    for last in open {
        let held = cx.store.read(|db| db.find_issued_profile(last.issued_profile))?;
        let words = held.map(|held| held.certificates.iter().map(hex::encode).collect::<Vec<_>>().join(" "));
        if fresh.is_missing(&words.unwrap_or_default()) {
            cx.store.write(|tx| -> Result<(), Error> {
                if commands::withdraw_unsent(tx, &last.command, now)? {
                    tx.fail_renewal(last.id, "it was overtaken by new authorities", last.failures, now, now)?;
                }
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// How the renewal of a device stands; `None` for one that has no identity in use.
///
/// # Errors
/// Faults of the store.
pub fn standing(cx: &Context, channel: &EnrollmentRow) -> Result<Option<Standing>, Error> {
    cx.store.read(|db| {
        let Some(fingerprint) = db.find_current_certificate(channel.id)? else { return Ok(None) };
        let (Some((certificate, _)), Some(device)) =
            (db.find_certificate_standing(&fingerprint)?, db.find_device(channel.device)?)
        else {
            return Ok(None);
        };
        let row = DueRow {
            enrollment: channel.id,
            device: channel.device,
            device_id: device.public_id,
            issued_profile: channel.issued_profile.unwrap_or_default(),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            access_rights: 0,
            profile_ends_at: None,
            certificates: String::new(),
            last: db.find_last_renewal(channel.id)?,
        };
        let due_at = due_at(&row, &device_policy::find(db)?);
        Ok(Some(Standing { not_before: row.not_before, not_after: row.not_after, due_at, last: row.last }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_wait_longer_and_longer() {
        let pauses: Vec<i64> = (1..6).map(pause).collect();
        assert!(pauses.is_sorted() && pauses[0] == 15 * MINUTE && pauses[4] == DAY, "{pauses:?}");
    }
}
