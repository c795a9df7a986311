//! Explained before it is sent: what would become of a command on one device or on each of many, why not, and about when.

use super::Visit;
use super::marks;
use super::parts::{Html, Mood, Table, badge, list, note, number, paragraph, prose, row, section};
use crate::service::Error;
use crate::service::forecasting::{self, Forecast, Question};
use crate::store::DeviceRow;

/// Devices that are named; more are only counted.
const NAMED: usize = 200;

/// What would become of it on this device.
///
/// # Errors
/// As the look ahead itself.
pub fn of_one(v: &Visit<'_>, device: &DeviceRow, question: &Question) -> Result<Html, Error> {
    let d = &v.words.deeds;
    let (_, forecasts) = forecasting::check(v.cx, &v.actor, question)?;
    let Some(one) = forecasts.iter().find(|one| one.device.id == device.id) else { return Ok(Html::default()) };
    let mut parts = vec![verdict(v, one).into_paragraph()];
    if !one.reasons.is_empty() {
        parts.push(list(one.reasons.iter().map(|words| prose(&sentence(words)))));
    }
    if !one.when.is_empty() {
        parts.push(paragraph(&format!("{}:", d.about_when)));
        parts.push(list(one.when.iter().map(|words| prose(&sentence(words)))));
    }
    Ok(section(d.will_it, parts))
}

/// What would become of it on each; those that will not run it first.
///
/// # Errors
/// As the look ahead itself.
pub fn of_many(v: &Visit<'_>, question: &Question) -> Result<Html, Error> {
    let (w, d) = (v.words, &v.words.deeds);
    let (_, mut forecasts) = forecasting::check(v.cx, &v.actor, question)?;
    let able = i64::try_from(forecasts.iter().filter(|one| one.will_run).count()).unwrap_or(i64::MAX);
    let unable = i64::try_from(forecasts.len()).unwrap_or(i64::MAX) - able;
    let mut counts = vec![row([badge(Mood::Good, d.will_run), number(able)])];
    if unable > 0 {
        counts.push(row([badge(Mood::Bad, d.will_not_run), number(unable)]));
    }
    forecasts.sort_by_key(|one| (one.will_run, one.reasons.is_empty()));
    let line = |one: &Forecast| {
        vec![marks::device_link(&one.device), verdict(v, one), self::words(&one.reasons), self::words(&one.when)]
    };
    let table = Table::new(d.will_it)
        .columns([w.device, w.standing, d.why_not, d.about_when])
        .rows(forecasts.iter().take(NAMED).map(line));
    let mut parts = vec![list(counts)];
    parts.push(table.html());
    if forecasts.len() > NAMED {
        parts.push(note(&format!("{} {}", forecasts.len() - NAMED, w.and_more)));
    }
    Ok(section(d.will_it, parts))
}

fn verdict(v: &Visit<'_>, one: &Forecast) -> Html {
    let d = &v.words.deeds;
    match (one.will_run, one.reasons.is_empty()) {
        (true, true) => badge(Mood::Good, d.will_run),
        (true, false) => badge(Mood::Warn, d.not_sure),
        (false, _) => badge(Mood::Bad, d.will_not_run),
    }
}

/// Each as a sentence; nothing for none.
pub fn words(all: &[String]) -> Html {
    if all.is_empty() { Html::default() } else { list(all.iter().map(|words| prose(&sentence(words)))) }
}

/// With a capital and a full stop.
pub fn sentence(words: &str) -> String {
    let end = if words.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{}{end}", capital(words))
}

/// With a capital letter.
pub fn capital(words: &str) -> String {
    let mut letters = words.chars();
    let first: String = letters.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}", letters.as_str())
}
