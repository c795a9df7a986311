//! Mailing: what people are to be told of goes out by e-mail, everything that waits in one letter, with a pause after each so that a bad
//! day is a few letters and not a thousand. Runs on a thread of its own, started by `jobs`. What no server takes is tried again, ever
//! less often, and told no more after three days.

use super::ports::{Letter, MailTaken};
use super::{Context, Error, Kind, letters, mail};
use crate::base::texts::Appliance;
use crate::base::time::{DAY, HOUR, MINUTE, SECOND, Timestamp};
use crate::store::MailServerRow;

/// Events told in words in one letter; of more only the number.
const LINES: usize = 50;
/// Events that one letter stands for.
const AT_ONCE: usize = 5_000;
/// Between two letters that were taken.
const PAUSE: i64 = 15 * MINUTE;
/// First wait after a failure; doubles up to [`LONGEST`].
const FIRST: i64 = MINUTE;
const LONGEST: i64 = 6 * HOUR;
/// An event this old is not told any more.
const GIVE_UP: i64 = 3 * DAY;
/// How long the thread sleeps when nothing is due.
const LOOK_AGAIN: i64 = 5 * SECOND;
/// E-mail that does not go out for so long is a fault that `/healthz` tells.
const WORRY: i64 = HOUR;

/// Sends a letter if one is due; returns when to look again.
///
/// # Errors
/// Faults of the store. What a mail server refuses is no error here: it is written down, and tried again.
pub fn step(cx: &Context) -> Result<Timestamp, Error> {
    let now = cx.now();
    let later = now.plus(LOOK_AGAIN);
    let Some(row) = cx.store.read(|db| db.find_mail_server())?.filter(|row| row.enabled) else { return Ok(later) };
    // A date farther off than any wait can be comes from a clock that was wrong.
    if row.due_at > now && row.due_at < now.plus(2 * LONGEST) {
        return Ok(row.due_at.min(later));
    }
    let waiting = cx.store.read(|db| db.list_unmailed(AT_ONCE))?;
    let Some(last) = waiting.last().map(|one| one.seq) else { return Ok(later) };
    let letter = letters::warnings(cx, &row, &waiting, LINES)?;
    match send(cx, &row, &letter) {
        Ok(taken) => {
            let now = cx.now();
            let trouble = refusals(&taken);
            cx.store.write(|tx| tx.note_mail_sent(Some(last), trouble.as_deref(), now.plus(PAUSE), now))?;
        }
        Err(error) => {
            let (now, words) = (cx.now(), error.public.to_string());
            let due_at = now.plus(delay(row.attempts.saturating_add(1)));
            let given_up = cx.store.write(|tx| tx.note_mail_failed(&words, due_at, now.plus(-GIVE_UP), now))?;
            tracing::warn!(error = words, given_up, "a letter was not taken; it is tried again");
        }
    }
    Ok(later)
}

/// Sends one letter now. Waits for the network: never inside a transaction.
pub(super) fn send(cx: &Context, row: &MailServerRow, letter: &Letter) -> Result<MailTaken, Error> {
    let unreached = |why: String| Error::new(Kind::Busy, Appliance::MailNotTaken { why }.into());
    let sender = cx.mail_sender().ok_or_else(|| unreached(String::from("nothing here may use the network")))?;
    sender.send(&mail::place(cx, row)?, letter).map_err(|fault| unreached(fault.0))
}

/// Recipients that the server would not take, for whoever looks at the settings.
pub(super) fn refusals(taken: &MailTaken) -> Option<String> {
    let each: Vec<String> = taken.refused.iter().map(|(one, why)| format!("{one} was refused: {why}")).collect();
    (!each.is_empty()).then(|| each.join("; ").chars().take(1_000).collect())
}

/// For `/healthz`: warnings that reach nobody.
///
/// # Errors
/// Faults of the store.
pub fn worry(cx: &Context) -> Result<Option<String>, Error> {
    let (row, oldest) = cx.store.read(|db| Ok::<_, Error>((db.find_mail_server()?, db.find_oldest_unmailed()?)))?;
    let Some(row) = row.filter(|row| row.enabled && row.attempts > 0) else { return Ok(None) };
    let late = oldest.is_some_and(|at| cx.now().since(at) > WORRY);
    Ok(row.trouble.filter(|_| late).map(|why| format!("Warnings by e-mail do not go out. {why}")))
}

/// 1 minute, doubled with each try up to 6 hours.
fn delay(tries: u32) -> i64 {
    FIRST.saturating_mul(1 << tries.saturating_sub(1).min(20)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        for (tries, minutes) in [(0, 1), (1, 1), (2, 2), (5, 16), (9, 256), (10, 360), (u32::MAX, 360)] {
            assert_eq!(delay(tries), minutes * MINUTE, "{tries}");
        }
    }
}
