//! When a profile is to be there: windows of the week by the clock on the school's wall, and the dates on which none opens. Purely from
//! rules, zone and holidays to instants. Called by `service::schedules`, which keeps the instants; `reconciling` compares them with now.
//!
//! The hour that the clock skips in spring and the one that comes twice in autumn: a window opens once and closes once. One that would
//! open in the skipped hour opens when that is over; in the hour that comes twice the first time counts.

use crate::base::time::Timestamp;
use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::AmbiguousOffset;
pub use jiff::tz::TimeZone;
use std::fmt;
use std::str::FromStr;

/// Windows of one schedule: more is a mistake.
pub const MOST_WINDOWS: usize = 40;
/// Dates and stretches of holidays.
pub const MOST_HOLIDAYS: usize = 400;
const MINUTES: u16 = 24 * 60;
const DAYS: [(&str, Weekday); 7] = [
    ("Mon", Weekday::Monday),
    ("Tue", Weekday::Tuesday),
    ("Wed", Weekday::Wednesday),
    ("Thu", Weekday::Thursday),
    ("Fri", Weekday::Friday),
    ("Sat", Weekday::Saturday),
    ("Sun", Weekday::Sunday),
];

/// Days of the week with a time from and until: `Mon-Fri 08:00-12:30`. One that ends before it begins goes on past midnight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Monday first.
    days: [bool; 7],
    /// Minutes after midnight; `until` may be 24:00.
    from: u16,
    until: u16,
}

/// What is wrong with a window, a date or a zone, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong(pub String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Window {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let shown: String = text.chars().take(60).collect();
        let wrong = |why: &str| Wrong(format!("“{shown}” is not a window like Mon-Fri 08:00-12:30: {why}"));
        let text = text.replace(['–', '—'], "-");
        let (days, times) = text.trim().rsplit_once(char::is_whitespace).ok_or_else(|| wrong("days, then times"))?;
        let (from, until) = times.split_once('-').ok_or_else(|| wrong("a time from and a time until"))?;
        let (from, until) = (minute(from), minute(until));
        let (Some(from), Some(until)) = (from, until) else { return Err(wrong("times are like 08:00")) };
        if from == until || from == MINUTES {
            return Err(wrong("it begins and ends at different times"));
        }
        let days = days_of(days).ok_or_else(|| wrong("days are Mon, Tue, Wed, Thu, Fri, Sat, Sun, or daily"))?;
        Ok(Window { days, from, until })
    }
}

/// `Mon-Fri`, `Mon,Wed,Sat-Sun`, `daily`.
fn days_of(text: &str) -> Option<[bool; 7]> {
    if text.trim().eq_ignore_ascii_case("daily") {
        return Some([true; 7]);
    }
    let place = |name: &str| DAYS.iter().position(|(day, _)| day.eq_ignore_ascii_case(name.trim()));
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut at, last) = (place(first)?, place(last)?);
        days[at] = true;
        while at != last {
            at = (at + 1) % 7;
            days[at] = true;
        }
    }
    Some(days)
}

fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let number = |text: &str| text.parse::<u16>().ok().filter(|_| (1..=2).contains(&text.len()));
    let (hours, minutes) = (number(hours)?, number(minutes).filter(|_| minutes.len() == 2)?);
    let all = hours.checked_mul(60)?.checked_add(minutes)?;
    (minutes < 60 && all <= MINUTES).then_some(all)
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days == [true; 7] {
            f.write_str("daily")?;
        } else {
            let mut first = true;
            let mut at = 0;
            while at < 7 {
                let run = self.days[at..].iter().take_while(|on| **on).count();
                if run > 0 {
                    f.write_str(if first { "" } else { "," })?;
                    first = false;
                    f.write_str(DAYS[at].0)?;
                    if run > 1 {
                        f.write_str(if run > 2 { "-" } else { "," })?;
                        f.write_str(DAYS[at + run - 1].0)?;
                    }
                }
                at += run.max(1);
            }
        }
        let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        write!(f, " {}-{}", clock(self.from), clock(self.until))
    }
}

/// A date or a stretch of dates, first and last: `2026-12-21` or `2026-12-21..2027-01-06`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holiday {
    first: Date,
    last: Date,
}

impl FromStr for Holiday {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let shown: String = text.chars().take(40).collect();
        let wrong = || Wrong(format!("“{shown}” is not a date like 2026-12-21, or dates like 2026-12-21..2027-01-06"));
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let date = |text: &str| Date::strptime("%Y-%m-%d", text.trim()).map_err(|_| wrong());
        let (first, last) = (date(first)?, date(last)?);
        if last < first || first.until(last).is_ok_and(|span| span.get_days() > 400) {
            return Err(wrong());
        }
        Ok(Holiday { first, last })
    }
}

impl fmt::Display for Holiday {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        if self.last != self.first { write!(f, "..{}", self.last) } else { Ok(()) }
    }
}

/// A zone by its name, such as `Europe/Berlin`.
///
/// # Errors
/// [`Wrong`] for a name that the database of zones in this program does not have.
pub fn zone(name: &str) -> Result<TimeZone, Wrong> {
    let shown: String = name.chars().take(60).collect();
    TimeZone::get(name).map_err(|_| Wrong(format!("“{shown}” is not a time zone like Europe/Berlin")))
}

/// From when until when, the end not included.
pub type Span = (Timestamp, Timestamp);

/// Every stretch in which one of the windows is open, of windows that begin from a day before `from` until `days` later; sorted, and what
/// touches is one stretch. A window of a holiday's evening that began the day before stays.
pub fn spans(windows: &[Window], holidays: &[Holiday], zone: &TimeZone, from: Timestamp, days: u16) -> Vec<Span> {
    let Ok(from) = jiff::Timestamp::from_millisecond(from.0) else { return Vec::new() };
    let today = from.to_zoned(zone.clone()).date();
    let mut found: Vec<Span> = Vec::new();
    let mut date = today.yesterday().unwrap_or(today);
    for _ in 0..=days.saturating_add(1) {
        let weekday = usize::try_from(date.weekday().to_monday_zero_offset()).unwrap_or(0);
        if !holidays.iter().any(|h| (h.first..=h.last).contains(&date)) {
            let open = windows.iter().filter(|window| window.days[weekday]);
            found.extend(open.filter_map(|window| on(window, date, zone)));
        }
        let Ok(next) = date.tomorrow() else { break };
        date = next;
    }
    found.sort_unstable();
    let mut merged: Vec<Span> = Vec::with_capacity(found.len());
    for (opens, closes) in found {
        match merged.last_mut() {
            Some(last) if last.1 >= opens => last.1 = last.1.max(closes),
            _ => merged.push((opens, closes)),
        }
    }
    merged
}

/// A window on one date.
fn on(window: &Window, date: Date, zone: &TimeZone) -> Option<Span> {
    let past_midnight = window.until <= window.from;
    let opens = opening(wall(date, window.from)?, zone)?;
    let last = if past_midnight { date.tomorrow().ok()? } else { date };
    let closes = closing(wall(last, window.until)?, zone)?;
    (closes > opens).then_some((opens, closes))
}

fn wall(date: Date, minute: u16) -> Option<DateTime> {
    let date = if minute == MINUTES { date.tomorrow().ok()? } else { date };
    let minute = i8::try_from(minute % 60).ok().zip(i8::try_from(minute % MINUTES / 60).ok());
    minute.map(|(minute, hour)| date.at(hour, minute, 0, 0))
}

/// When the wall clock first shows this time, or is past it.
fn opening(at: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(at);
    match ambiguous.offset() {
        AmbiguousOffset::Gap { after, .. } => {
            let before_it = after.to_timestamp(at).ok()?;
            zone.following(before_it).next().map(|change| millis(change.timestamp()))
        }
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => ambiguous.compatible().ok().map(millis),
    }
}

/// As [`opening`], but a time that is skipped is moved on by as much as was skipped, so that a window in it is not lost.
fn closing(at: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    zone.to_ambiguous_timestamp(at).compatible().ok().map(millis)
}

fn millis(at: jiff::Timestamp) -> Timestamp {
    Timestamp(at.as_millisecond())
}

/// An instant as the wall clock of a zone shows it: `2026-11-23 08:00`.
pub fn on_the_wall(at: Timestamp, zone: &TimeZone) -> String {
    let Ok(at) = jiff::Timestamp::from_millisecond(at.0) else { return at.to_string() };
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
}

/// What the wall clock of a zone shows, `2026-11-23 08:00` or with a `T`, as an instant: the first time that it shows so, or is past it.
pub fn from_the_wall(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let said = text.trim().replacen(['T', 't'], " ", 1);
    let read = |format: &str| DateTime::strptime(format, &said).ok();
    opening(read("%Y-%m-%d %H:%M").or_else(|| read("%Y-%m-%d %H:%M:%S"))?, zone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::{DAY, HOUR, MINUTE};
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        millis(text.parse().unwrap())
    }

    fn of(windows: &[&str], holidays: &[&str], place: &str, from: &str, days: u16) -> Vec<String> {
        let windows: Vec<Window> = windows.iter().map(|w| w.parse().unwrap()).collect();
        let holidays: Vec<Holiday> = holidays.iter().map(|h| h.parse().unwrap()).collect();
        let found = spans(&windows, &holidays, &zone(place).unwrap(), at(from), days);
        found.iter().map(|(opens, closes)| format!("{opens} {closes}")).collect()
    }

    #[test]
    fn windows_are_read_and_shown_alike() {
        let rows = [
            ("Mon-Fri 08:00-12:30", "Mon-Fri 08:00-12:30"),
            ("fri-MON 8:00–24:00", "Mon,Fri-Sun 08:00-24:00"),
            ("Mon, Wed,Thu 22:00-06:00", "Mon,Wed,Thu 22:00-06:00"),
            ("Sat,Sun 00:00-24:00", "Sat,Sun 00:00-24:00"),
            ("daily 07:05-7:06", "daily 07:05-07:06"),
        ];
        for (said, shown) in rows {
            let window: Window = said.parse().unwrap();
            assert_eq!((window.to_string().as_str(), window.to_string().parse()), (shown, Ok(window)), "{said}");
        }
        for bad in [
            "",
            "08:00-12:30",
            "Mon 08:00",
            "Mon 8-9",
            "Mon 08:00-08:00",
            "Mon 24:00-08:00",
            "Mon 08:60-09:00",
            "Mon 00:00-24:01",
            "Monday 08:00-09:00",
            "Mon- 08:00-09:00",
            "Mon 08:00-009:00",
            "Mon -1:00-02:00",
        ] {
            assert!(bad.parse::<Window>().is_err(), "{bad}");
        }
        for (said, good) in [
            ("2026-12-21", true),
            ("2026-12-21..2027-01-06", true),
            ("2026-12-21..2026-12-20", false),
            ("2026-02-30", false),
            ("21.12.2026", false),
            ("2026-01-01..2028-01-01", false),
        ] {
            assert_eq!(
                said.parse::<Holiday>().map(|h| h.to_string()),
                good.then(|| said.to_owned()).ok_or_else(|| said.parse::<Holiday>().unwrap_err())
            );
        }
        assert!(zone("Europe/Berlin").is_ok() && zone("Mars/Olympus").is_err());
    }

    #[test]
    fn what_the_wall_shows_is_an_instant() {
        let berlin = zone("Europe/Berlin").unwrap();
        for (said, wanted) in [
            ("2026-11-23T08:00", Some("2026-11-23T07:00:00Z")),
            (" 2026-07-23 08:00:30 ", Some("2026-07-23T06:00:30Z")),
            // Skipped: when that hour is over. Twice: the first time.
            ("2026-03-29 02:30", Some("2026-03-29T01:00:00Z")),
            ("2026-10-25 02:30", Some("2026-10-25T00:30:00Z")),
            ("2026-02-30 08:00", None),
            ("2026-11-23", None),
            ("tomorrow", None),
            ("2026-11-23T08:00:00Z", None),
        ] {
            assert_eq!(from_the_wall(said, &berlin), wanted.map(at), "{said}");
        }
    }

    #[test]
    fn the_table() {
        let school = ["Mon-Fri 08:00-12:30"];
        // A Friday: Thursday's is behind, and the weekend has none.
        assert_eq!(
            of(&school, &[], "Europe/Berlin", "2026-11-20T09:00:00Z", 3),
            [
                "2026-11-19T07:00:00Z 2026-11-19T11:30:00Z",
                "2026-11-20T07:00:00Z 2026-11-20T11:30:00Z",
                "2026-11-23T07:00:00Z 2026-11-23T11:30:00Z"
            ]
        );
        let holidays = ["2026-11-20..2026-11-22"];
        assert_eq!(
            of(&school, &holidays, "Europe/Berlin", "2026-11-20T09:00:00Z", 3),
            ["2026-11-19T07:00:00Z 2026-11-19T11:30:00Z", "2026-11-23T07:00:00Z 2026-11-23T11:30:00Z"]
        );
        // What touches is one; over midnight belongs to the day on which it begins.
        assert_eq!(
            of(&["Sat 20:00-24:00", "Sun 00:00-06:00"], &[], "UTC", "2026-11-21T00:00:00Z", 2),
            ["2026-11-21T20:00:00Z 2026-11-22T06:00:00Z"]
        );
        assert_eq!(
            of(&["Sat 22:00-06:00"], &["2026-11-22"], "UTC", "2026-11-22T00:00:00Z", 2),
            ["2026-11-21T22:00:00Z 2026-11-22T06:00:00Z"]
        );
        assert!(of(&[], &[], "UTC", "2026-11-22T00:00:00Z", 9).is_empty());
    }

    #[test]
    fn clocks_that_are_changed_open_once_and_close_once() {
        // 2026-03-29, Berlin: 02:00 becomes 03:00 at 01:00Z. 2026-10-25: 03:00 becomes 02:00 at 01:00Z.
        let spring = |window: &str| of(&[window], &[], "Europe/Berlin", "2026-03-29T00:30:00Z", 0);
        for (window, wanted) in [
            ("Sun 01:00-04:00", "2026-03-29T00:00:00Z 2026-03-29T02:00:00Z"),
            ("Sun 02:30-03:10", "2026-03-29T01:00:00Z 2026-03-29T01:10:00Z"),
            ("Sun 01:30-02:30", "2026-03-29T00:30:00Z 2026-03-29T01:30:00Z"),
            ("Sun 02:15-02:45", "2026-03-29T01:00:00Z 2026-03-29T01:45:00Z"),
        ] {
            assert_eq!(spring(window), [wanted], "{window}");
        }
        let autumn = |window: &str| of(&[window], &[], "Europe/Berlin", "2026-10-25T00:30:00Z", 0);
        for (window, wanted) in [
            ("Sun 01:00-04:00", "2026-10-24T23:00:00Z 2026-10-25T03:00:00Z"),
            ("Sun 02:15-02:45", "2026-10-25T00:15:00Z 2026-10-25T00:45:00Z"),
            ("Sun 02:30-03:30", "2026-10-25T00:30:00Z 2026-10-25T02:30:00Z"),
            ("Sun 01:30-02:30", "2026-10-24T23:30:00Z 2026-10-25T00:30:00Z"),
        ] {
            assert_eq!(autumn(window), [wanted], "{window}");
        }
        // A change of half an hour, and a day that was skipped as a whole.
        assert_eq!(
            of(&["Sun 02:10-02:20"], &[], "Australia/Lord_Howe", "2026-10-03T20:00:00Z", 0),
            ["2026-10-03T15:30:00Z 2026-10-03T15:50:00Z"]
        );
        assert_eq!(of(&["Fri 08:00-09:00"], &[], "Pacific/Apia", "2011-12-30T09:00:00Z", 2).len(), 1);
    }

    const PLACES: [&str; 6] =
        ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca", "UTC"];

    fn window() -> impl Strategy<Value = Window> {
        (proptest::array::uniform7(any::<bool>()), 0..MINUTES, 1..=MINUTES)
            .prop_filter("something", |(_, from, until)| from != until)
            .prop_map(|(days, from, until)| Window { days, from, until })
    }

    proptest! {
        #[test]
        fn stretches_are_sorted_apart_and_true_to_the_wall_clock(
            windows in proptest::collection::vec(window(), 0..4),
            place in proptest::sample::select(&PLACES[..]),
            start in 1_767_225_600_i64..1_830_297_600,
            away in 0_i64..20,
            look in proptest::collection::vec(0..30 * 24 * 60_i64, 40),
        ) {
            let zone = zone(place).unwrap();
            let start = Timestamp::from_secs(start - start % 60);
            let date = |at: Timestamp| jiff::Timestamp::from_millisecond(at.0).unwrap().to_zoned(zone.clone());
            let free = date(start.plus(away * DAY)).date();
            let holidays = [Holiday { first: free, last: free.tomorrow().unwrap() }];
            let found = spans(&windows, &holidays, &zone, start, 30);
            for pair in found.windows(2) {
                prop_assert!(pair[0].1 < pair[1].0, "apart: {pair:?}");
            }
            prop_assert!(found.iter().all(|(opens, closes)| opens < closes));
            // Later looks find the same from then on.
            let later = spans(&windows, &holidays, &zone, start.plus(3 * DAY), 27);
            let behind = |all: &[Span]| -> Vec<Timestamp> {
                all.iter().flat_map(|(o, c)| [*o, *c]).filter(|at| (start.plus(4 * DAY)..start.plus(20 * DAY)).contains(at)).collect()
            };
            prop_assert_eq!(behind(&found), behind(&later));
            for minutes in look {
                let now = start.plus(minutes * MINUTE);
                // Around a change of the clocks the table above is the judge.
                let offset = |at: Timestamp| zone.to_offset(jiff::Timestamp::from_millisecond(at.0).unwrap());
                if offset(now.plus(-26 * HOUR)) != offset(now.plus(26 * HOUR)) {
                    continue;
                }
                let wall = date(now);
                let minute = u16::try_from(i32::from(wall.hour()) * 60 + i32::from(wall.minute())).unwrap();
                let on = |day: Date, w: &Window| {
                    w.days[usize::try_from(day.weekday().to_monday_zero_offset()).unwrap()]
                        && !(holidays[0].first..=holidays[0].last).contains(&day)
                };
                let wanted = windows.iter().any(|w| {
                    let today = on(wall.date(), w) && minute >= w.from && (minute < w.until || w.until <= w.from);
                    today || (w.until <= w.from && minute < w.until && on(wall.date().yesterday().unwrap(), w))
                });
                let is = found.iter().any(|(opens, closes)| (*opens..*closes).contains(&now));
                prop_assert_eq!(is, wanted, "{} {}", wall, place);
            }
        }
    }
}
