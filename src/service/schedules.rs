//! Schedules: when an assigned profile is to be there. What a channel should have at this moment is a comparison of the clock with
//! instants that were made ahead from windows, zone and holidays; a job wakes the reconciler when one opened or closed, and what passed
//! while the server was off is caught up with at its start. Called by the API, the console and the upkeep.
//!
//! Deliberately not here: the rule from windows to instants (`protocol::schedule`), and what is queued (`reconciling`).

use super::actor::{Actor, Permission};
use super::{Context, Error, assigning, auditing, library, reconciling, wanting};
use crate::base::ids::short_code;
use crate::base::texts::{Planning, Text};
use crate::base::time::{DAY, Timestamp};
use crate::protocol::schedule::{self, Holiday, MOST_HOLIDAYS, MOST_WINDOWS, Span, Window};
use crate::store::{Db, ScheduleRow, Tx};
use serde_json::json;

/// Settings: the zone by its name, the holidays as a list of texts, and up to when openings and closings are dealt with.
const TIME_ZONE: &str = "school.time_zone";
const HOLIDAYS: &str = "school.holidays";
const TURNED_AT: &str = "schedules.turned_at";
/// How far ahead instants are made; the upkeep makes them anew every day.
const DAYS_AHEAD: u16 = 400;
/// Instants that are kept behind the present, and the most where the server was off for longer.
const LOOK_BACK: i64 = 2 * DAY;
const LOOK_BACK_MOST: i64 = 1_000 * DAY;
/// Stretches to come that are shown.
const SHOWN: usize = 5;
const MOST_SCHEDULES: usize = 200;

/// The school's zone and the dates on which no window opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// `None` until somebody said so: UTC.
    pub time_zone: Option<String>,
    /// `2026-12-21` or `2026-12-21..2027-01-06`, in order.
    pub holidays: Vec<String>,
}

/// What is to change; `None` stays.
#[derive(Debug, Clone, Default)]
pub struct CalendarChange {
    pub time_zone: Option<String>,
    pub holidays: Option<Vec<String>>,
}

/// A schedule as people say it.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    pub name: Option<String>,
    pub windows: Option<Vec<String>>,
    pub on_holidays: Option<bool>,
}

/// One schedule with where it stands.
#[derive(Debug, Clone)]
pub struct ScheduleView {
    pub row: ScheduleRow,
    pub open: bool,
    /// The stretch it is in, or the next ones, by the clock and on the school's wall.
    pub next: Vec<(Span, String)>,
    /// Profile and to whom, of the assignments that follow it.
    pub uses: Vec<(String, String)>,
}

/// # Errors
/// `Denied`.
pub fn calendar(cx: &Context, actor: &Actor) -> Result<Calendar, Error> {
    actor.require(Permission::LookAround)?;
    cx.store.read(find_calendar)
}

fn find_calendar(db: &Db<'_>) -> Result<Calendar, Error> {
    let holidays = db.find_setting(HOLIDAYS)?.and_then(|value| serde_json::from_value(value).ok());
    Ok(Calendar { time_zone: db.find_text_setting(TIME_ZONE)?, holidays: holidays.unwrap_or_default() })
}

/// Sets zone and holidays; every schedule follows at once.
///
/// # Errors
/// `Invalid` for a zone that is not known, and for what is no date.
pub fn set_calendar(cx: &Context, actor: &Actor, change: &CalendarChange) -> Result<Calendar, Error> {
    actor.require(Permission::Enroll)?;
    let bad = |key: &str, why: String| Error::invalid(Text::BadArgument { key: key.to_owned(), why });
    if let Some(name) = &change.time_zone {
        schedule::zone(name).map_err(|wrong| bad("time_zone", wrong.to_string()))?;
    }
    let holidays = match &change.holidays {
        None => None,
        Some(all) if all.len() > MOST_HOLIDAYS => {
            return Err(bad("holidays", format!("at most {MOST_HOLIDAYS} are kept")));
        }
        Some(all) => {
            let read: Result<Vec<Holiday>, _> = all.iter().map(|text| text.parse()).collect();
            let mut read = read.map_err(|wrong| bad("holidays", wrong.to_string()))?;
            read.sort_unstable();
            read.dedup();
            Some(read.iter().map(ToString::to_string).collect::<Vec<_>>())
        }
    };
    let now = cx.now();
    let (calendar, changed) = cx.store.write(|tx| -> Result<_, Error> {
        if let Some(zone) = &change.time_zone {
            tx.put_setting(TIME_ZONE, &json!(zone))?;
        }
        if let Some(holidays) = &holidays {
            tx.put_setting(HOLIDAYS, &json!(holidays))?;
        }
        let detail = json!({ "time_zone": change.time_zone, "holidays": holidays });
        auditing::record(tx, actor, "calendar.set", None, Some(detail), now)?;
        let changed = make_spans(tx, None, now)?;
        Ok((find_calendar(tx)?, changed))
    })?;
    follow(cx, &changed)?;
    Ok(calendar)
}

/// Makes the instants of one schedule or of all. Row ids of those that are open now and were closed, or the other way round, and of those
/// that opened or closed and were not dealt with yet: the instants that would tell it later may be gone with this.
fn make_spans(tx: &Tx<'_>, only: Option<i64>, now: Timestamp) -> Result<Vec<i64>, Error> {
    let calendar = find_calendar(tx)?;
    let zone = schedule::zone(zone_name(&calendar)).map_err(|wrong| Error::internal(wrong.to_string()))?;
    let holidays: Vec<Holiday> = calendar.holidays.iter().filter_map(|text| text.parse().ok()).collect();
    // What was not caught up with yet stays to be found.
    let dealt_with = turned_at(tx)?.filter(|at| at.since(now) > -LOOK_BACK_MOST).unwrap_or(now);
    let from = now.plus(-LOOK_BACK).min(dealt_with);
    let days = DAYS_AHEAD + u16::try_from(now.since(from) / DAY).unwrap_or(0);
    let is_open = |id: i64| -> Result<bool, Error> {
        Ok(tx.list_spans(id, now, 1)?.first().is_some_and(|(opens, _)| *opens <= now))
    };
    let mut changed = tx.list_turned(turned_at(tx)?.unwrap_or(Timestamp(0)), now)?;
    for row in tx.list_schedules()?.into_iter().filter(|row| only.is_none_or(|id| id == row.id)) {
        let windows: Vec<Window> = row.windows.iter().filter_map(|text| text.parse().ok()).collect();
        let free: &[Holiday] = if row.on_holidays { &[] } else { &holidays };
        let was_open = is_open(row.id)?;
        tx.put_spans(row.id, &schedule::spans(&windows, free, &zone, from, days))?;
        if is_open(row.id)? != was_open && !changed.contains(&row.id) {
            changed.push(row.id);
        }
    }
    Ok(changed)
}

fn turned_at(db: &Db<'_>) -> Result<Option<Timestamp>, Error> {
    Ok(db.find_setting(TURNED_AT)?.and_then(|at| at.as_i64()).map(Timestamp))
}

fn zone_name(calendar: &Calendar) -> &str {
    calendar.time_zone.as_deref().unwrap_or("UTC")
}

/// The school's zone with its name, as far as one was set.
pub(super) fn find_zone(db: &Db<'_>) -> Result<(Option<String>, schedule::TimeZone), Error> {
    let calendar = find_calendar(db)?;
    let zone = schedule::zone(zone_name(&calendar)).map_err(|wrong| Error::internal(wrong.to_string()))?;
    Ok((calendar.time_zone, zone))
}

/// By name, in order.
///
/// # Errors
/// `Denied`.
pub fn list(cx: &Context, actor: &Actor) -> Result<Vec<ScheduleView>, Error> {
    actor.require(Permission::LookAround)?;
    let now = cx.now();
    cx.store.read(|db| db.list_schedules()?.into_iter().map(|row| view(db, row, now)).collect())
}

/// # Errors
/// `NotFound`.
pub fn show(cx: &Context, actor: &Actor, name: &str) -> Result<ScheduleView, Error> {
    actor.require(Permission::LookAround)?;
    let now = cx.now();
    cx.store.read(|db| view(db, find(db, name)?, now))
}

pub(super) fn find(db: &Db<'_>, name: &str) -> Result<ScheduleRow, Error> {
    let missing = || Error::not_found(Planning::NoSuchSchedule { name: name.chars().take(256).collect() }.into());
    db.find_schedule(name)?.ok_or_else(missing)
}

fn view(db: &Db<'_>, row: ScheduleRow, now: Timestamp) -> Result<ScheduleView, Error> {
    let (_, zone) = find_zone(db)?;
    let wall = |at| schedule::on_the_wall(at, &zone);
    let spans = db.list_spans(row.id, now, SHOWN)?;
    let open = spans.first().is_some_and(|(opens, _)| *opens <= now);
    let next = spans.into_iter().map(|span| (span, format!("{} – {}", wall(span.0), wall(span.1)))).collect();
    let mut uses = Vec::new();
    for assignment in db.list_schedule_assignments(row.id)? {
        let profile = db.find_profile_by_row(assignment.profile)?.map(|p| p.name).unwrap_or_default();
        let kind = assignment.target.kind();
        let whom = assigning::view(db, assignment)?;
        uses.push((profile, format!("{kind} {}", whom.name.or(whom.device).unwrap_or_default())));
    }
    Ok(ScheduleView { row, open, next, uses })
}

/// # Errors
/// `Invalid` for what is no window; `Conflict` for a name that is taken.
pub fn add(cx: &Context, actor: &Actor, wish: &Wish) -> Result<ScheduleView, Error> {
    actor.require(Permission::Enroll)?;
    let name = library::name("name", wish.name.as_deref().unwrap_or_default())?;
    let windows = windows(wish.windows.as_deref().unwrap_or_default())?;
    let now = cx.now();
    let row = ScheduleRow {
        id: 0,
        public_id: format!("sc-{}", short_code(&cx.random_bytes::<8>())),
        name,
        windows,
        on_holidays: wish.on_holidays.unwrap_or(false),
        created_by: actor.name(),
        created_at: now,
        used: 0,
    };
    cx.store.write(|tx| {
        refuse_taken(tx, &row.name, None)?;
        if tx.list_schedules()?.len() >= MOST_SCHEDULES {
            let why = format!("there are {MOST_SCHEDULES} schedules already");
            return Err(Error::invalid(Text::BadArgument { key: String::from("name"), why }));
        }
        let id = tx.insert_schedule(&row)?;
        make_spans(tx, Some(id), now)?;
        let detail = json!({ "name": row.name, "windows": row.windows, "on_holidays": row.on_holidays });
        auditing::record(tx, actor, "schedule.add", Some(&row.public_id), Some(detail), now)
    })?;
    show(cx, actor, &row.public_id)
}

/// Whoever follows it is brought to what it says now.
///
/// # Errors
/// As [`add`]; `NotFound`.
pub fn change(cx: &Context, actor: &Actor, name: &str, wish: &Wish) -> Result<ScheduleView, Error> {
    actor.require(Permission::Enroll)?;
    let new_name = wish.name.as_deref().map(|text| library::name("name", text)).transpose()?;
    let new_windows = wish.windows.as_deref().map(windows).transpose()?;
    let now = cx.now();
    let (id, changed) = cx.store.write(|tx| -> Result<_, Error> {
        let row = find(tx, name)?;
        let new_name = new_name.as_deref().unwrap_or(&row.name);
        refuse_taken(tx, new_name, Some(row.id))?;
        let windows = new_windows.as_deref().unwrap_or(&row.windows);
        let on_holidays = wish.on_holidays.unwrap_or(row.on_holidays);
        tx.update_schedule(row.id, new_name, windows, on_holidays)?;
        let changed = make_spans(tx, Some(row.id), now)?;
        let detail = json!({ "name": new_name, "windows": windows, "on_holidays": on_holidays });
        auditing::record(tx, actor, "schedule.change", Some(&row.public_id), Some(detail), now)?;
        Ok((row.public_id, changed))
    })?;
    follow(cx, &changed)?;
    show(cx, actor, &id)
}

/// # Errors
/// `NotFound`; `Conflict` while an assignment follows it.
pub fn remove(cx: &Context, actor: &Actor, name: &str) -> Result<(), Error> {
    actor.require(Permission::Enroll)?;
    let now = cx.now();
    cx.store.write(|tx| {
        let row = find(tx, name)?;
        if row.used > 0 {
            return Err(Error::conflict(Planning::ScheduleInUse { name: row.name, times: row.used }.into()));
        }
        tx.delete_schedule(row.id)?;
        auditing::record(tx, actor, "schedule.remove", Some(&row.public_id), Some(json!({ "name": row.name })), now)
    })
}

fn refuse_taken(db: &Db<'_>, name: &str, own: Option<i64>) -> Result<(), Error> {
    match db.find_schedule(name)? {
        Some(other) if own != Some(other.id) => {
            Err(Error::conflict(Planning::ScheduleExists { name: name.to_owned() }.into()))
        }
        _ => Ok(()),
    }
}

/// Windows as they are shown, in the order in which they were said.
fn windows(said: &[String]) -> Result<Vec<String>, Error> {
    let bad = |why: String| Error::invalid(Text::BadArgument { key: String::from("windows"), why });
    if said.is_empty() || said.len() > MOST_WINDOWS {
        return Err(bad(format!("must be 1 to {MOST_WINDOWS} windows like Mon-Fri 08:00-12:30")));
    }
    said.iter().map(|text| text.parse::<Window>().map(|w| w.to_string()).map_err(|w| bad(w.to_string()))).collect()
}

/// What is worth knowing about an assignment that follows a schedule.
pub(super) fn notes(db: &Db<'_>, schedule: &ScheduleRow, now: Timestamp) -> Result<Vec<String>, Error> {
    let mut notes = Vec::new();
    if find_calendar(db)?.time_zone.is_none() {
        notes.push(Text::from(Planning::ZoneNotSet).to_string());
    }
    let view = view(db, schedule.clone(), now)?;
    if !view.open {
        let next = view.next.into_iter().next().map_or_else(|| String::from("never, as it is"), |(_, wall)| wall);
        notes.push(Text::from(Planning::ClosedNow { name: view.row.name, next }).to_string());
    }
    Ok(notes)
}

/// As part of a sentence: when an assignment counts; `None` for one that always does.
pub(super) fn in_words(db: &Db<'_>, schedule: Option<i64>, now: Timestamp) -> Result<Option<String>, Error> {
    let Some(row) = schedule.map(|id| db.find_schedule_by_row(id)).transpose()?.flatten() else { return Ok(None) };
    let spans = db.list_spans(row.id, now, 1)?;
    let state = if spans.first().is_some_and(|(opens, _)| *opens <= now) { "open" } else { "closed" };
    Ok(Some(format!("during “{}” ({}), which is {state} now", row.name, row.windows.join(", "))))
}

/// Brings everybody whom these schedules concern to what they say now. Returns how many commands that took.
fn follow(cx: &Context, schedules: &[i64]) -> Result<usize, Error> {
    if schedules.is_empty() {
        return Ok(0);
    }
    let channels = cx.store.read(|db| -> Result<Vec<i64>, Error> {
        let mut channels = Vec::new();
        for id in schedules {
            for assignment in db.list_schedule_assignments(*id)? {
                channels.extend(wanting::concerned(db, &assignment.target)?);
            }
        }
        channels.sort_unstable();
        channels.dedup();
        Ok(channels)
    })?;
    reconciling::reconcile_all(cx, &channels)
}

/// Carries out what opened or closed since the last look, however long ago that was. Returns how many commands that took. Nothing opens
/// or closes while the clock cannot be trusted.
///
/// # Errors
/// Faults of the store; the next look does it again.
pub fn turn(cx: &Context) -> Result<usize, Error> {
    if cx.clock_is_behind().is_some() {
        return Ok(0);
    }
    let now = cx.now();
    let turned = cx.store.read(|db| -> Result<_, Error> {
        let since = turned_at(db)?.unwrap_or(Timestamp(0));
        Ok(db.list_turned(since, now)?)
    })?;
    if turned.is_empty() {
        return Ok(0);
    }
    let queued = follow(cx, &turned)?;
    cx.store.write(|tx| tx.put_setting(TURNED_AT, &json!(now.0)))?;
    Ok(queued)
}

/// Makes the instants of the coming year, from the zones that this program knows.
///
/// # Errors
/// Faults of the store.
pub fn look_ahead(cx: &Context) -> Result<(), Error> {
    if cx.clock_is_behind().is_some() || cx.store.read(|db| db.list_schedules())?.is_empty() {
        return Ok(());
    }
    let now = cx.now();
    let changed = cx.store.write(|tx| make_spans(tx, None, now))?;
    follow(cx, &changed).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::{HOUR, ManualClock};
    use crate::pki::SystemRandom;
    use crate::service::founding::{self, Place};
    use std::sync::Arc;

    #[test]
    fn a_window_that_closed_a_moment_ago_is_not_lost_with_a_change_of_it() {
        let dir = tempfile::tempdir().unwrap();
        // Monday, 2026-11-23 at 11:30, UTC.
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_795_433_400)));
        let place = Place::in_directory(dir.path());
        let cx = founding::open(&place, Arc::clone(&clock) as _, Arc::new(SystemRandom)).unwrap();
        let owner = Actor::Job("test");
        let wish = |windows: &str| Wish {
            name: Some(String::from("Mornings")),
            windows: Some(vec![windows.to_owned()]),
            on_holidays: None,
        };
        let id = add(&cx, &owner, &wish("Mon-Fri 08:00-12:00")).unwrap().row.id;
        turn(&cx).unwrap();
        clock.advance(HOUR);
        // It closed at twelve. Before anybody looks, the windows become others, and tell nothing of that.
        let change = |windows: &str| {
            let windows = vec![windows.to_owned()];
            cx.store.write(|tx| -> Result<_, Error> {
                tx.update_schedule(id, "Mornings", &windows, false)?;
                make_spans(tx, Some(id), cx.now())
            })
        };
        assert_eq!(change("Tue-Fri 08:00-12:00").unwrap(), [id]);
        turn(&cx).unwrap();
        assert!(change("Wed-Fri 08:00-12:00").unwrap().is_empty(), "dealt with");
    }
}
