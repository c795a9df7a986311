//! The next command of a poll: chosen by `protocol::queue`, marked as sent in the same transaction, and the device's next call planned for
//! what stays waiting. Called by [`super::polling`].

use super::events::{self, Kind};
use super::polling::told;
use super::{Context, Error, series, unlocking};
use crate::base::time::{MINUTE, Timestamp};
use crate::protocol::push;
use crate::protocol::queue::{self, DeliveryState, Waiting, WaitingState};
use crate::protocol::report::Report;
use crate::store::{DeliveryRow, EnrollmentRow, SeriesRow, Tx};

/// A device that went away with work left is pushed again no sooner than this: its connection may just have broken.
const BROKEN_SERIES_DELAY: i64 = MINUTE;

/// A command to hand out: its UUID and its sealed bytes.
pub(super) type HandedOut = Option<(String, Vec<u8>)>;

/// Chooses and marks the next command; with `only`, no other than that one. `finished`: the report ended another one. The flag that comes back says that something stays waiting for which the device must be called again.
pub(super) fn hand_out(
    cx: &Context,
    tx: &Tx<'_>,
    report: &Report,
    channel: &EnrollmentRow,
    finished: bool,
    only: Option<&Option<String>>,
    now: Timestamp,
) -> Result<(HandedOut, bool), Error> {
    let waiting: Option<Waiting> = loop {
        let next = match only {
            None => tx.find_next_delivery(channel.id, now)?,
            Some(None) => None,
            Some(Some(uuid)) => {
                let delivery = tx.find_delivery(uuid, channel.id)?;
                delivery.zip(tx.find_command(uuid)?).map(|(delivery, command)| (delivery, command.sealed_plist))
            }
        };
        let Some((row, sealed_plist)) = next else { break None };
        let waiting = as_waiting(&row);
        if queue::select(waiting.as_slice(), Some(report.status), now).is_none() {
            break waiting;
        }
        // Each round that withholds ends one delivery, so this comes to an end.
        if unlocking::withhold(cx, tx, channel.device, &row, now)? {
            continue;
        }
        return Ok((give(cx, tx, channel, row, sealed_plist, finished, now)?, false));
    };
    Ok((None, call_again(tx, report, channel, waiting, finished, now)?))
}

/// The next command while a person waits; the empty answer lets them in.
pub(super) fn hand_out_in_series(
    cx: &Context,
    tx: &Tx<'_>,
    report: &Report,
    channel: &EnrollmentRow,
    open: &SeriesRow,
    finished: bool,
    now: Timestamp,
) -> Result<(HandedOut, bool), Error> {
    match series::next(tx, channel, open, now)? {
        series::Next::Command(row) if unlocking::withhold(cx, tx, channel.device, &row, now)? => {
            hand_out_in_series(cx, tx, report, channel, open, finished, now)
        }
        series::Next::Command(row) => {
            let sealed_plist = tx.find_command(&row.command)?.and_then(|command| command.sealed_plist);
            Ok((give(cx, tx, channel, *row, sealed_plist, finished, now)?, false))
        }
        series::Next::End { hurried: true } => {
            tx.owe_push(channel.id, now, now)?;
            Ok((None, true))
        }
        series::Next::End { hurried: false } => {
            let waiting = tx.find_next_delivery(channel.id, now)?.and_then(|(row, _)| as_waiting(&row));
            Ok((None, call_again(tx, report, channel, waiting, finished, now)?))
        }
    }
}

/// Marks a command as handed out, and gives its bytes.
fn give(
    cx: &Context,
    tx: &Tx<'_>,
    channel: &EnrollmentRow,
    row: DeliveryRow,
    sealed_plist: Option<Vec<u8>>,
    finished: bool,
    now: Timestamp,
) -> Result<HandedOut, Error> {
    tx.mark_sent(row.seq, now)?;
    tx.tell(channel.device, Some(channel.id), Some(&row.command), "sent", None, now)?;
    // Should it vanish with this command, nothing else would ever call it again.
    let again = now.plus(push::next_push(1));
    if finished {
        tx.restart_repush(channel.id, again)?
    } else {
        tx.ensure_repush(channel.id, again)?
    }
    events::record(cx, tx, Kind::CommandSent, Some(channel.device), now, || told(&row, "Sent", channel, None))?;
    let plist = sealed_plist.ok_or_else(|| Error::internal("a waiting command without its plist"))?;
    Ok(Some((row.command, plist)))
}

/// Plans the next call for what stays waiting. Says whether somebody must be called soon.
fn call_again(
    tx: &Tx<'_>,
    report: &Report,
    channel: &EnrollmentRow,
    waiting: Option<Waiting>,
    finished: bool,
    now: Timestamp,
) -> Result<bool, Error> {
    if finished {
        tx.clear_repush(channel.id)?;
    }
    let left = queue::needs_push_after(report.status, waiting.as_slice(), now);
    if left {
        tx.schedule_repush(channel.id, now.plus(BROKEN_SERIES_DELAY))?;
    } else if waiting.is_some() {
        // It means to come back by itself; a restarted device may have forgotten that.
        tx.ensure_repush(channel.id, now.plus(push::next_push(1)))?;
    }
    Ok(left)
}

pub(super) fn as_waiting(row: &DeliveryRow) -> Option<Waiting> {
    let state = match row.state {
        DeliveryState::Queued => WaitingState::Queued,
        DeliveryState::Sent => WaitingState::Sent,
        DeliveryState::NotNow => WaitingState::NotNow,
        _ => return None,
    };
    let not_now_at = if state == WaitingState::NotNow { row.last_sent_at.map_or(0, |t| t.0) } else { 0 };
    let (not_before, expires_at) = (row.not_before, row.expires_at);
    Some(Waiting { seq: row.seq, state, priority: row.priority, not_before, expires_at, not_now_at })
}
