//! The first page: is everything all right? Devices seen, work that waits, what went wrong, what needs a decision, what ends soon.

use super::frame::{Area, Page};
use super::marks;
use super::parts::{
    self, Html, Mood, Table, badge, button_link, grouped, link, main_link, note, paragraph, post_button, quiet, row,
    section, side_by_side, text, tile, tiles, when,
};
use super::plots::{self, Bar};
use super::{Outcome, Visit};
use crate::base::time::{DAY, Timestamp};
use crate::service::actor::Permission;
use crate::service::overview::{self, Overview, Standing};
use crate::service::{Error, attention, expiry};

/// Cards of what needs a decision; more are counted.
const CARDS: usize = 20;

pub fn show(v: &Visit<'_>) -> Outcome {
    let w = v.words;
    let numbers = overview::numbers(v.cx, &v.actor)?;
    let mut page = Page::new(Area::Home, w.home_title);
    if numbers.devices.enrolled == 0 {
        page = page.with(first_device(v));
    }
    if v.may(Permission::LookAround) {
        let health = overview::standing(v.cx, &v.actor)?;
        let waiting = attention::list(v.cx, &v.actor)?;
        page = page.with(verdict(v, &health, waiting.len()));
        page = faults(v, page, &health);
        page = page.with(figures(v, &numbers));
        page = decisions(v, page, &waiting);
        let parts = [ending(v, &health), section(w.home_age, [age(v, &numbers)])];
        page = page.with(side_by_side([seen(v, &numbers), versions(v, &numbers)])).with(side_by_side(parts));
    } else {
        page = page.with(figures(v, &numbers)).with(side_by_side([seen(v, &numbers), versions(v, &numbers)]));
    }
    Ok(page.into())
}

/// Where to begin while there is no device.
fn first_device(v: &Visit<'_>) -> Html {
    let w = v.words;
    let mut parts = vec![paragraph(w.home_no_device)];
    if v.may(Permission::Invite) {
        parts.push(row([main_link("/console/enrolment/invite", w.home_first_device)]).into_buttons());
    }
    section(w.home_begin, parts)
}

fn verdict(v: &Visit<'_>, health: &Standing, waiting: usize) -> Html {
    let w = v.words;
    let by_person = |one: &&expiry::Entry| one.renewal != expiry::Renewal::Alone;
    let soon = health.ending.iter().filter(by_person).any(|one| one.not_after.since(v.now) < 14 * DAY);
    let (mood, words) = if !health.faults.is_empty() {
        (Mood::Bad, w.home_bad)
    } else if health.no_push_certificate {
        (Mood::Warn, w.home_no_push)
    } else if waiting > 0 || soon {
        (Mood::Warn, w.home_look)
    } else {
        (Mood::Good, w.home_good)
    };
    row([badge(mood, words)]).verdict()
}

fn faults(v: &Visit<'_>, page: Page, health: &Standing) -> Page {
    let w = v.words;
    let words: Vec<Html> = health.faults.iter().map(|fault| parts::prose(fault).into_paragraph()).collect();
    if words.is_empty() { page } else { page.with(section(w.home_faults, words)) }
}

fn figures(v: &Visit<'_>, numbers: &Overview) -> Html {
    let (w, devices, work) = (v.words, &numbers.devices, &numbers.work);
    let oldest =
        work.oldest_at.map_or_else(|| text(w.home_nothing_waits), |at| row([text(w.home_oldest), when(at, v.now)]));
    let seen = text(&format!("{} {}", grouped(devices.seen_week), w.home_seen_week));
    let mut all = vec![
        tile(
            Some("/console/devices"),
            &grouped(devices.enrolled),
            w.home_enrolled,
            &text(&format!("{} {}", grouped(devices.all), w.home_known)),
        ),
        tile(Some("/console/devices?state=enrolled&sort=seen"), &grouped(devices.seen_day), w.home_seen_day, &seen),
        tile(Some("/console/devices?state=waiting"), &grouped(work.waiting), w.home_waiting, &oldest),
        tile(None, &grouped(work.failed), w.home_failed, &text(&format!("{} {}", grouped(work.done), w.home_done))),
    ];
    if devices.unreachable > 0 {
        all.push(tile(
            Some("/console/devices?state=unreachable"),
            &grouped(devices.unreachable),
            w.home_unreachable,
            &text(w.home_unreachable_hint),
        ));
    }
    if devices.lost > 0 {
        all.push(tile(
            Some("/console/devices?state=lost"),
            &grouped(devices.lost),
            w.home_lost,
            &text(w.home_lost_hint),
        ));
    }
    tiles(all)
}

fn seen(v: &Visit<'_>, numbers: &Overview) -> Html {
    let name = |days: usize| v.words.day_of(&super::parts::day(v.now.plus(-DAY * i64::try_from(days).unwrap_or(0))));
    let bars: Vec<Bar> =
        numbers.seen_by_day.iter().enumerate().rev().map(|(days, n)| Bar { name: name(days), amount: *n }).collect();
    section(v.words.home_seen, [plots::columns(v.words.home_seen_about, &bars)])
}

fn versions(v: &Visit<'_>, numbers: &Overview) -> Html {
    let bar =
        |(platform, version, n): &(String, String, i64)| Bar { name: format!("{platform} {version}"), amount: *n };
    let bars: Vec<Bar> = numbers.os_versions.iter().map(bar).collect();
    let body =
        if bars.is_empty() { note(v.words.home_no_versions) } else { plots::rows(v.words.home_versions_about, &bars) };
    section(v.words.home_versions, [body])
}

fn age(v: &Visit<'_>, numbers: &Overview) -> Html {
    let w = v.words;
    if numbers.work.waiting == 0 {
        return note(w.home_nothing_waits);
    }
    let names = [w.age_hour, w.age_day, w.age_week, w.age_month, w.age_older];
    let bars: Vec<Bar> =
        names.iter().zip(numbers.work.ages).map(|(name, n)| Bar { name: (*name).to_owned(), amount: n }).collect();
    plots::rows(w.home_age_about, &bars)
}

fn ending(v: &Visit<'_>, health: &Standing) -> Html {
    let w = v.words;
    let row = |one: &expiry::Entry| vec![parts::named(text(&one.title()), &one.what), until(v, one.not_after)];
    let table = Table::new(w.home_ending).columns([w.what, w.ends]).rows(health.ending.iter().take(CARDS).map(row));
    section(w.home_ending, [table.empty(w.home_nothing_ends).html()])
}

/// A date to come, with how pressing it is.
pub fn until(v: &Visit<'_>, at: Timestamp) -> Html {
    let left = at.since(v.now);
    let mood = if left < 14 * DAY {
        Mood::Bad
    } else if left < 30 * DAY {
        Mood::Warn
    } else {
        Mood::Quiet
    };
    let words =
        if left < 0 { format!("{} {}", v.words.ended, super::parts::day(at)) } else { super::parts::ago(at, v.now) };
    badge(mood, &words)
}

/// What a person must decide, with the buttons that do it.
fn decisions(v: &Visit<'_>, mut page: Page, waiting: &[attention::View]) -> Page {
    let w = v.words;
    for view in waiting.iter().take(CARDS) {
        let path = marks::device_path(&view.device.public_id);
        let name = marks::device_name(&view.device);
        let button = |verb: &str, words: &str| post_button(&format!("{path}/{verb}"), &v.token, words, &name);
        let mut buttons = match view.row.kind.as_str() {
            "came-back" => vec![button("take-back", w.do_take_back), button_link(&format!("{path}/block"), w.do_block)],
            "clone" => vec![button("release-quarantine", w.do_release_quarantine)],
            "other-identity" => vec![button("rebind", w.do_rebind)],
            _ => vec![button("renew", w.do_renew)],
        };
        if !v.may(Permission::Enroll) {
            buttons.clear();
        }
        let about = row([
            link(&path, &name),
            quiet(view.device.serial.as_deref().unwrap_or_default()),
            when(view.row.last_at, v.now),
        ]);
        let parts = [about.into_paragraph(), paragraph(w.attention(&view.row.kind)), row(buttons).into_buttons()];
        page = page.with(section(&format!("{}: {name}", w.decide), parts));
    }
    if waiting.len() > CARDS {
        page = page.with(note(&format!("{} {}", waiting.len() - CARDS, w.more_to_decide)));
    }
    page
}

/// What somebody decided about one device.
pub fn decide(v: &Visit<'_>, device: &str, verb: &str) -> Result<(), Error> {
    match verb {
        "take-back" => attention::take_back(v.cx, &v.actor, device),
        "release-quarantine" => attention::release_quarantine(v.cx, &v.actor, device),
        "rebind" => attention::rebind(v.cx, &v.actor, device),
        _ => crate::service::renewing::renew(v.cx, &v.actor, device).map(|_| ()),
    }
}
