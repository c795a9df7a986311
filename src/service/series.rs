//! Series in which somebody waits, in rows: begun, stepped and ended inside the poll's transaction. Called by `polling` for user
//! channels; the rules are `protocol::series`'.
//!
//! The person's wanted state is reconciled before the first answer, so what was assigned a second ago is there at this login. Nothing
//! of our own curiosity is queued meanwhile, and an error of one command holds nothing up.

use super::{Context, Error, reconciling};
use crate::base::time::{SECOND, Timestamp};
use crate::protocol::report::Report;
use crate::protocol::series::{self, Series, Turn};
use crate::store::{Db, DeliveryRow, EnrollmentRow, SeriesRow, Tx};
use serde_json::json;

/// Setting: how long a login may be held up, in seconds.
pub(super) const LOGIN_SECONDS: &str = "login.seconds";
/// Long enough for a few dozen profiles on a slow Mac, short enough that nobody gives up.
pub const DEFAULT_LOGIN_SECONDS: i64 = 20;
/// Commands named in the story when a login ends without them.
const NAMED: usize = 20;

/// Whether a report of this channel needs more than a look: a series begins, goes on, or is to be closed.
pub(super) fn concerns(db: &Db<'_>, report: &Report, channel: &EnrollmentRow) -> Result<bool, Error> {
    if channel.parent.is_none() {
        return Ok(false);
    }
    let open = db.find_series(channel.id)?.is_some_and(|s| s.open);
    Ok(open || series::turn(&report.from, report.status, open) != Turn::Outside)
}

/// The series that this report belongs to, begun now if need be.
pub(super) fn take_part(
    cx: &Context,
    tx: &Tx<'_>,
    report: &Report,
    channel: &EnrollmentRow,
    now: Timestamp,
) -> Result<Option<SeriesRow>, Error> {
    if channel.parent.is_none() {
        return Ok(None);
    }
    let last = tx.find_series(channel.id)?;
    let open = last.as_ref().is_some_and(|s| s.open);
    match series::turn(&report.from, report.status, open) {
        Turn::GoesOn => Ok(last),
        Turn::Outside => {
            if open {
                tx.end_series(channel.id, now)?;
                let detail = json!({ "why": "the Mac began another conversation" }).to_string();
                tx.tell(channel.device, Some(channel.id), None, "login-broken-off", Some(&detail), now)?;
            }
            Ok(None)
        }
        Turn::Begins(kind) => {
            tx.begin_series(channel.id, kind, now)?;
            let queued = reconciling::reconcile(cx, tx, channel, reconciling::Call::OnTheLine, now)?;
            let story = if kind == Series::Login { "login-waits" } else { "setup-reads-policy" };
            let detail = json!({ "user": channel.user_short_name, "waiting": tx.count_waiting(channel.id)?, "queued_now": queued });
            tx.tell(channel.device, Some(channel.id), None, story, Some(&detail.to_string()), now)?;
            Ok(tx.find_series(channel.id)?)
        }
    }
}

/// What a series hands out next.
pub(super) enum Next {
    Command(Box<DeliveryRow>),
    /// The empty answer. `hurried`: the time was over, and the rest is to follow by push.
    End {
        hurried: bool,
    },
}

/// The next command of an open series; none left, or no time left, ends it.
pub(super) fn next(tx: &Tx<'_>, channel: &EnrollmentRow, open: &SeriesRow, now: Timestamp) -> Result<Next, Error> {
    let goes_on = series::may_go_on(open.kind, open.since, now, login_seconds(tx)? * SECOND);
    if goes_on && let Some(row) = tx.list_left_in_series(channel.id, now, 1)?.pop() {
        tx.step_series(channel.id, row.seq)?;
        return Ok(Next::Command(Box::new(row)));
    }
    let left = if goes_on { Vec::new() } else { tx.list_left_in_series(channel.id, now, NAMED)? };
    let mut detail = json!({
        "handed_out": tx.find_series(channel.id)?.map_or(0, |s| s.handed_out),
        "waiting": tx.count_waiting(channel.id)?,
        "millis": now.since(open.since),
    });
    if !left.is_empty() {
        let named: Vec<&str> = left.iter().map(|row| row.request_type.as_str()).collect();
        detail["left"] = json!(named);
        detail["why"] = json!(format!("a login may be held up for {} s", login_seconds(tx)?));
    }
    tx.end_series(channel.id, now)?;
    let story = if open.kind == Series::Login { "login-released" } else { "setup-goes-on" };
    tx.tell(channel.device, Some(channel.id), None, story, Some(&detail.to_string()), now)?;
    Ok(Next::End { hurried: !left.is_empty() })
}

/// How long a login may be held up.
pub(super) fn login_seconds(db: &Db<'_>) -> Result<i64, Error> {
    let found = db.find_setting(LOGIN_SECONDS)?.and_then(|value| value.as_i64());
    Ok(found.unwrap_or(DEFAULT_LOGIN_SECONDS))
}

/// Whether Setup Assistant was the last to ask on this channel: there is no account yet, and DeviceConfigured may be sent to it.
pub(super) fn is_before_account(db: &Db<'_>, channel: &EnrollmentRow) -> Result<bool, Error> {
    Ok(channel.parent.is_some() && db.find_series(channel.id)?.is_some_and(|s| s.kind == Series::Setup))
}
