//! What happens to accounts by itself: certificates are replaced before they end, and made anew for devices that have none; credentials that
//! nobody fetched are forgotten. Called by a job.

use super::{reissue, renew, send, show_any};
use crate::base::time::{DAY, Timestamp};
use crate::service::account_credentials as credentials;
use crate::service::actor::Actor;
use crate::service::{Context, Error, Kind};
use crate::store::{AccountRow, Db};

/// A certificate is replaced this long before it ends.
pub const REPLACE_BEFORE: i64 = 30 * DAY;
/// A credential that no device fetched in this time is forgotten all the same.
pub const KEPT_AT_MOST: i64 = 30 * DAY;
/// Accounts that one look of the upkeep takes up.
const AT_ONCE: usize = 20;

/// Replaces certificates that end soon, each by itself, makes new ones for devices that have none, and forgets what nobody fetched. Returns
/// how many accounts that were. `thorough`: look at those whose devices seem to have everything, too.
///
/// # Errors
/// Faults of the store.
pub fn upkeep(cx: &Context, thorough: bool) -> Result<usize, Error> {
    if cx.clock_is_behind().is_some() {
        return Ok(0);
    }
    let now = cx.now();
    let stale = cx.store.read(|db| db.list_stale_credentials(now.plus(-KEPT_AT_MOST), AT_ONCE))?;
    if !stale.is_empty() {
        cx.store.write(|tx| stale.iter().try_for_each(|row| credentials::forget(tx, row, None, now)))?;
    }
    let mut due = cx.store.read(|db| db.list_accounts_ending(now.plus(REPLACE_BEFORE), AT_ONCE))?;
    // An authority that ends itself issues nothing that lives longer.
    let last = cx.authorities().issuing.certificate.not_after();
    due.retain(|row| row.not_after.is_none_or(|ends| last.since(ends) > DAY));
    let lacking = cx.store.read(|db| lacking(db, thorough, now))?;
    due.extend(lacking.into_iter().filter(|row| due.iter().all(|d| d.id != row.id)).collect::<Vec<_>>());
    let mut done = stale.len();
    for row in due.into_iter().take(AT_ONCE) {
        let seen = show_any(cx, &row.public_id)?;
        if seen.holder.is_none() {
            continue;
        }
        let new = reissue(cx, &seen, now)?;
        match renew(cx, &Actor::Job("accounts"), &seen, &new, "account.certificate", "replaced by itself") {
            Ok(()) => {}
            // Somebody was at it, and it was changed or removed: the next round looks again, and the others need not wait.
            Err(error) if matches!(error.kind, Kind::Conflict | Kind::NotFound) => continue,
            Err(error) => return Err(error),
        }
        send(cx, seen.profile.id)?;
        done += 1;
    }
    Ok(done)
}

/// Accounts whose key is with some devices alone, while another one should have it.
fn lacking(db: &Db<'_>, thorough: bool, now: Timestamp) -> Result<Vec<AccountRow>, Error> {
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let rows = db.list_accounts_delivered(after, !thorough, 500)?;
        let Some(last) = rows.last() else { return Ok(found) };
        after = last.id;
        for row in rows {
            if credentials::is_wanted(db, row.profile, now)? {
                found.push(row);
            }
        }
    }
}
