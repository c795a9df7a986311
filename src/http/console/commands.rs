//! Commands: what was asked of devices and what became of it; one with its answer, its story, and why it is where it is.

use super::frame::{Area, Page};
use super::parts::{
    self, Field, FormSpec, Html, Table, code, exactly, facts, link, post_button, renewed, section, text, verbatim, when,
};
use super::show_json::shown;
use super::{Answer, Outcome, Visit, marks, story, timing};
use crate::base::texts::Text;
use crate::protocol::catalogue;
use crate::protocol::queue::DeliveryState;
use crate::service::actor::Permission;
use crate::service::commands::{self, CommandView};
use crate::service::timing::Timing;
use crate::service::{Error, devices};
use crate::store::CommandFilter;
use std::collections::HashMap;

const PATH: &str = "/console/commands";
/// Commands on a page.
const ROWS: usize = 50;
const NAMES: [&str; 2] = ["device", "state"];
const STATES: [&str; 9] =
    ["Queued", "Sent", "NotNow", "Acknowledged", "Error", "CommandFormatError", "Cancelled", "Expired", "Cleared"];

pub fn list(v: &Visit<'_>) -> Outcome {
    let w = v.words;
    let (device, state) = (v.query("device"), v.query("state"));
    let bad = |key: &str| Error::invalid(Text::BadArgument { key: key.to_owned(), why: w.not_one_of_ours.to_owned() });
    let wanted: Option<DeliveryState> = state.as_deref().map(str::parse).transpose().map_err(|_| bad("state"))?;
    let before = v.query("before").map(|text| text.parse()).transpose().map_err(|_| bad("before"))?;
    let filter = CommandFilter { device: None, only: None, state: wanted, before, limit: ROWS + 1 };
    let mut found = commands::list(v.cx, &v.actor, device.as_deref(), filter)?;
    let more = found.len() > ROWS;
    found.truncate(ROWS);
    let here = marks::with_query(v, PATH, &NAMES, &[]);
    let joint = if here.contains('?') { '&' } else { '?' };
    let next = found.last().filter(|_| more).map(|last| format!("{here}{joint}before={}", last.delivery.seq));
    let names: Vec<(&str, &str)> = STATES.iter().map(|state| (*state, w.command(state))).collect();
    let mut ask = FormSpec::asking(PATH)
        .field(Field::choice("state", w.standing, std::iter::once(("", w.all)).chain(names)).value(state.as_deref()));
    let mut page = Page::new(Area::Commands, w.nav_commands);
    if v.may(Permission::Ask) {
        page = page.action(parts::button_link("/console/bulk", w.bulk));
    }
    if let Some(device) = &device {
        let shown = devices::show(v.cx, &v.actor, device)?;
        page = page
            .under("/console/devices", w.nav_devices)
            .under(marks::device_path(device), marks::device_name(&shown.row));
        ask = ask.hidden("device", device);
    }
    let table =
        table(v, &found, true).empty(w.no_commands).page(before.map(|_: i64| here), w.to_first).page(next, w.next);
    Ok(page.with(ask.button(w.search).html()).with(table.html()).into())
}

/// Commands as rows; `whose` adds their device.
pub fn table(v: &Visit<'_>, found: &[CommandView], whose: bool) -> Table {
    let w = v.words;
    let mut columns = vec![w.command];
    if whose {
        columns.push(w.device);
    }
    columns.extend([w.standing, w.asked_by, w.asked]);
    // Often many commands of few devices.
    let mut known: HashMap<&str, Html> = HashMap::new();
    if whose {
        for one in found {
            known.entry(&one.device_id).or_insert_with(|| whose_link(v, &one.device_id));
        }
    }
    let line = |one: &CommandView| {
        let path = format!("{PATH}/{}", one.delivery.command);
        let name =
            parts::named(link(&path, &w.request(&one.delivery.request_type)), one.user.as_deref().unwrap_or_default());
        let mut cells = vec![name];
        if whose {
            cells.push(known.get(one.device_id.as_str()).cloned().unwrap_or_default());
        }
        cells.push(marks::command_state(w, one.delivery.state.as_str()));
        cells.push(text(story::person(&one.created_by)));
        cells.push(when(one.delivery.created_at, v.now));
        cells
    };
    Table::new(w.nav_commands).columns(columns).rows(found.iter().map(line))
}

fn whose_link(v: &Visit<'_>, device: &str) -> Html {
    match devices::show(v.cx, &v.actor, device) {
        Ok(shown) => marks::device_link(&shown.row),
        Err(_) => text(device),
    }
}

pub fn show(v: &Visit<'_>, uuid: &str) -> Outcome {
    let w = v.words;
    let view = commands::show(v.cx, &v.actor, uuid)?;
    let device = devices::show(v.cx, &v.actor, &view.device_id)?;
    let mut page = Page::new(Area::Commands, w.request(&view.delivery.request_type))
        .under("/console/devices", w.nav_devices)
        .under(marks::device_path(&device.row.public_id), marks::device_name(&device.row));
    let open = matches!(view.delivery.state, DeliveryState::Queued | DeliveryState::NotNow);
    if open && v.may(Permission::Ask) {
        page = page.action(post_button(&format!("{PATH}/{uuid}/cancel"), &v.token, w.cancel, ""));
    }
    page = page.with(renewing(v, &view)?);
    let mut pairs = vec![
        (w.device, marks::device_link(&device.row)),
        (w.asked_by, text(story::person(&view.created_by))),
        (w.asked, exactly(view.delivery.created_at)),
        (w.sent_times, parts::number(view.delivery.sent_count)),
        (w.not_now_times, parts::number(view.delivery.not_now_count)),
        (w.number, code(&view.delivery.command)),
    ];
    if let Some(user) = &view.user {
        pairs.insert(1, (w.user, text(user)));
    }
    let (not_before, expires_at) = (view.delivery.not_before, view.delivery.expires_at);
    pairs.extend(timing::said(v, Timing { not_before, expires_at })?);
    page = page.with(section(w.about_title, [facts(pairs)]));
    if let Some(answer) = &view.answer {
        page = page.with(section(w.answer, [shown(&catalogue::to_json(&view.delivery.request_type, answer))]));
    }
    if let Some(chain) = view.result.as_ref().and_then(|r| r.error_chain.as_ref()) {
        let pretty = serde_json::from_str(chain).map_or_else(|_| verbatim(chain), |value| shown(&value));
        page = page.with(section(w.error_chain, [pretty]));
    }
    Ok(page.with(section(w.story_title, [story::list(v, &view.history)])).into())
}

/// State and explanation; fresh every few seconds while it is not finished.
fn renewing(v: &Visit<'_>, view: &CommandView) -> Result<Html, Error> {
    let uuid = &view.delivery.command;
    let words = commands::explain(v.cx, &v.actor, uuid)?;
    let state = marks::command_state(v.words, view.delivery.state.as_str()).into_paragraph();
    let card = section(v.words.why_title, [state, parts::list(words.iter().map(|one| parts::prose(one)))]);
    let finished = view.delivery.state.is_finished();
    Ok(if finished { card } else { renewed(&format!("{PATH}/{uuid}/now"), 3, &card) })
}

/// Only the part that renews itself.
pub fn now(v: &Visit<'_>, uuid: &str) -> Outcome {
    let view = commands::show(v.cx, &v.actor, uuid)?;
    Ok(Answer::Piece(renewing(v, &view)?))
}

pub fn cancel(v: &Visit<'_>, uuid: &str) -> Outcome {
    commands::cancel(v.cx, &v.actor, uuid)?;
    Ok(Answer::To(format!("{PATH}/{uuid}?said=cancelled")))
}
