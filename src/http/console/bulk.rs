//! One command for a whole group, and how far it is; the page renews itself while devices answer.

use super::form::Form;
use super::frame::{Area, Page};
use super::parts::{
    self, Field, FormSpec, Html, Table, facts, link, list, named, number, paragraph, renewed, row, section, text, when,
};
use super::{Answer, Outcome, Visit, forecast, marks, plots, story, timing};
use crate::service::actor::Permission;
use crate::service::bulk::{self, BulkView};
use crate::service::forecasting::Question;
use crate::service::timing::Timing;
use crate::service::{Error, groups};
use crate::store::{BulkItem, BulkRow};

const PATH: &str = "/console/bulk";
const ROWS: usize = 25;
/// Seconds: two statements, whatever the number of devices.
const RENEWED: u32 = 5;

pub fn ask(v: &Visit<'_>) -> Outcome {
    v.actor.require(Permission::Ask)?;
    let w = v.words;
    let all = groups::list(v.cx, &v.actor)?;
    let groups: Vec<_> = all.iter().filter(|group| group.devices > 0 || group.kind == "smart").collect();
    let mut page = Page::new(Area::Commands, w.bulk).under("/console/commands", w.nav_commands).lead(w.bulk_lead);
    if groups.is_empty() {
        page = page.with(paragraph(w.bulk_no_groups));
    } else {
        let names: Vec<(&str, &str)> = groups.iter().map(|group| (group.name.as_str(), group.name.as_str())).collect();
        let kinds = bulk::kinds(&v.actor);
        let words: Vec<(&str, String)> = kinds.into_iter().map(|kind| (kind, w.request(kind))).collect();
        let kinds = words.iter().map(|(kind, words)| (*kind, words.as_str()));
        // After a refusal the same look ahead, with what was typed.
        let chosen = |name: &str| v.typed(name).map(str::to_owned).or_else(|| v.query(name));
        let (group, command) = (chosen("group"), chosen("command"));
        let form = FormSpec::asking(PATH)
            .field(Field::choice("group", w.group, names).value(group.as_deref()))
            .field(Field::choice("command", w.command, kinds).value(command.as_deref()))
            .button(w.deeds.look_ahead);
        page = page.with(form.html());
        if let (Some(group), Some(command)) = (group, command) {
            page = look_ahead(v, page, &group, &command)?;
        }
    }
    let rows = bulk::list(v.cx, &v.actor, None, ROWS)?;
    let line = |one: &BulkRow| {
        let name = link(&format!("{PATH}/{}", parts::segment(&one.public_id)), &w.request(&one.request_type));
        vec![named(name, &one.whom), text(story::person(&one.created_by)), when(one.created_at, v.now)]
    };
    let table = Table::new(w.bulk_before)
        .columns([w.command, w.asked_by, w.asked])
        .rows(rows.iter().map(line))
        .empty(w.bulk_none);
    Ok(page.with(section(w.bulk_before, [table.html()])).into())
}

/// What would become of it on each device, and the button that asks them.
fn look_ahead(v: &Visit<'_>, page: Page, group: &str, command: &str) -> Result<Page, Error> {
    let question = Question { request_type: command.to_owned(), group: Some(group.to_owned()), ..Question::default() };
    let ahead = forecast::of_many(v, &question)?;
    let send = FormSpec::new(PATH, &v.token).hidden("group", group).hidden("command", command);
    let send = timing::folded(v, send)?;
    let title = format!("{}: {group}", v.words.request(command));
    Ok(page.with(section(&title, [send.button(v.words.bulk_button).html()])).with(ahead))
}

pub fn begin(v: &Visit<'_>, form: &Form) -> Outcome {
    let made = bulk::begin(v.cx, &v.actor, form.text("group"), form.text("command"), timing::read(v, form)?)?;
    Ok(Answer::To(format!("{PATH}/{}?said=queued", parts::segment(&made.row.public_id))))
}

pub fn show(v: &Visit<'_>, id: &str) -> Outcome {
    let w = v.words;
    let view = bulk::show(v.cx, &v.actor, id)?;
    let mut about = vec![
        (w.group, text(&view.row.whom)),
        (w.asked_by, text(story::person(&view.row.created_by))),
        (w.asked, when(view.row.created_at, v.now)),
    ];
    about.extend(timing::said(v, Timing { not_before: view.row.not_before, expires_at: view.row.expires_at })?);
    let page = Page::new(Area::Commands, w.request(&view.row.request_type))
        .under("/console/commands", w.nav_commands)
        .under(PATH, w.bulk);
    Ok(page.with(section(w.about_title, [facts(about)])).with(progress(v, &view)).into())
}

/// Only the part that renews itself.
pub fn now(v: &Visit<'_>, id: &str) -> Outcome {
    Ok(Answer::Piece(progress(v, &bulk::show(v.cx, &v.actor, id)?)))
}

fn progress(v: &Visit<'_>, view: &BulkView) -> Html {
    let w = v.words;
    let (done, all) = view.progress();
    let said = format!("{done} / {all} {}", w.bulk_finished);
    let counts = view.counts.iter().map(|(state, n)| row([marks::command_state(w, state), number(*n)]));
    let line = |item: &BulkItem| {
        let name = item.name.as_deref().or(item.serial.as_deref()).unwrap_or(&item.device);
        let device = link(&format!("/console/devices/{}", parts::segment(&item.device)), name);
        let state = marks::command_state(w, item.standing());
        let more = match (&item.command, &item.refused) {
            (Some(uuid), _) => link(&format!("/console/commands/{uuid}"), w.its_command),
            (None, why) => text(why.as_deref().unwrap_or_default()),
        };
        vec![device, state, more]
    };
    let table =
        Table::new(w.nav_devices).columns([w.device, w.standing, ""]).rows(view.items.iter().map(line)).empty(w.nobody);
    let parts = [plots::progress(&said, done, all), paragraph(&said), list(counts), table.html()];
    let card = section(w.bulk_progress, parts);
    if done < all { renewed(&format!("{PATH}/{}/now", view.row.public_id), RENEWED, &card) } else { card }
}
