//! How far devices are with a pair, and what happened with it: for people. Called by the API and the console.

use super::actor::{Actor, Permission};
use super::pairs::find;
use super::{Context, Error, devices, gates};
use crate::base::time::Timestamp;
use crate::protocol::gate::{Answer, GRACE, OnLapse, Phase};
use crate::store::{ChannelProfileRow, Db, EnrollmentRow, PairLine, PairRow, TimelineRow};

/// Devices and lines of a pair that are listed; more are only counted.
const MOST: usize = 500;

/// How far one device, or one of its users, is with a pair.
#[derive(Debug, Clone)]
pub struct GateView {
    /// Cordon's id and name of the device.
    pub device: String,
    pub device_name: String,
    pub user: Option<String>,
    pub phase: Phase,
    pub since: Option<Timestamp>,
    /// Until when the device may take its time, or a lapse is suffered.
    pub until: Option<Timestamp>,
    pub asked_at: Option<Timestamp>,
    pub answer: Option<(Answer, Timestamp)>,
    /// When it is asked, or looked at, again.
    pub next_at: Option<Timestamp>,
    /// Whether they stand there, as far as the device said.
    pub restriction: bool,
    pub capability: bool,
    pub words: String,
}

/// How far each device is, those where something is to be done first.
///
/// # Errors
/// `NotFound` for the pair or the device.
pub fn states(cx: &Context, actor: &Actor, pair: &str, device: Option<&str>) -> Result<Vec<GateView>, Error> {
    actor.require(Permission::LookAround)?;
    let only = device.map(|device| devices::find(cx, actor, device)).transpose()?.map(|row| row.id);
    let now = cx.now();
    cx.store.read(|db| {
        let row = find(db, pair)?;
        let mut found = Vec::new();
        let (gates, channels) = match row.combined {
            None => (db.list_gates_of_pair(row.id, MOST)?, Vec::new()),
            Some(combined) => (Vec::new(), db.list_channels_with_profile(combined)?),
        };
        for id in gates.iter().map(|gate| gate.enrollment).chain(channels.into_iter().take(MOST)) {
            let Some(channel) = db.find_enrollment_by_row(id)? else { continue };
            if only.is_some_and(|only| only != channel.device) {
                continue;
            }
            let have = db.list_channel_profiles(id)?;
            found.extend(match row.combined {
                None => gated(db, &row, &channel, &have, now)?,
                Some(combined) => together(db, combined, &channel, &have)?,
            });
        }
        Ok(found)
    })
}

fn names(db: &Db<'_>, channel: &EnrollmentRow) -> Result<Option<(String, String, Option<String>)>, Error> {
    let Some(device) = db.find_device(channel.device)? else { return Ok(None) };
    let name = device.name.or(device.serial).unwrap_or_else(|| device.public_id.clone());
    let user = channel.user_short_name.clone().or_else(|| channel.user_id.clone());
    Ok(Some((device.public_id, name, user.filter(|_| channel.parent.is_some()))))
}

fn gated(
    db: &Db<'_>,
    pair: &PairRow,
    channel: &EnrollmentRow,
    have: &[ChannelProfileRow],
    now: Timestamp,
) -> Result<Option<GateView>, Error> {
    let found = gates::find(db, channel, &[pair.id], have, now)?;
    let Some(here) = found.into_iter().find(|here| here.pair.id == pair.id) else { return Ok(None) };
    let Some((device, device_name, user)) = names(db, channel)? else { return Ok(None) };
    let stands = |profile: i64| have.iter().any(|h| h.profile == profile && h.installed.is_some());
    let gate = &here.gate;
    let lapse_ends =
        (gate.phase == Phase::Lapsed && pair.on_lapse == OnLapse::AfterGrace).then(|| gate.since.plus(GRACE));
    Ok(Some(GateView {
        device,
        device_name,
        user,
        phase: gate.phase,
        since: Some(gate.since),
        until: gate.grace_ends().or(lapse_ends),
        asked_at: gate.asked_at,
        answer: gate.answer,
        next_at: here.next_at(),
        restriction: stands(pair.restriction),
        capability: stands(pair.capability),
        words: here.words(now),
    }))
}

fn together(
    db: &Db<'_>,
    combined: i64,
    channel: &EnrollmentRow,
    have: &[ChannelProfileRow],
) -> Result<Option<GateView>, Error> {
    let Some(known) = have.iter().find(|h| h.profile == combined) else { return Ok(None) };
    let Some((device, device_name, user)) = names(db, channel)? else { return Ok(None) };
    let stands = known.installed.is_some();
    let words = match (stands, known.installs) {
        (true, true) => "both stand on the device, in one profile",
        (true, false) => "both are being removed, with their one profile",
        (false, _) => "both are on their way, in one profile",
    };
    Ok(Some(GateView {
        device,
        device_name,
        user,
        phase: if stands { Phase::Open } else { Phase::Waiting },
        since: known.finished_at,
        until: None,
        asked_at: None,
        answer: None,
        next_at: known.next_try_at,
        restriction: stands,
        capability: stands,
        words: words.to_owned(),
    }))
}

/// What happened with a pair, newest first; on one device or on all.
///
/// # Errors
/// `NotFound` for the pair or the device.
pub fn story(
    cx: &Context,
    actor: &Actor,
    pair: &str,
    device: Option<&str>,
    limit: usize,
) -> Result<Vec<PairLine>, Error> {
    actor.require(Permission::LookAround)?;
    let only = device.map(|device| devices::find(cx, actor, device)).transpose()?.map(|row| row.id);
    cx.store.read(|db| {
        let row = find(db, pair)?;
        Ok(db.list_pair_lines(&row.public_id, only, limit.min(MOST))?)
    })
}

/// A line of a pair's story as a sentence.
pub fn words(line: &TimelineRow) -> String {
    let detail: serde_json::Value =
        line.detail.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    detail["why"].as_str().unwrap_or_default().to_owned()
}
