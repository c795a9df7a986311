//! The library of profiles: what there is, to whom it is assigned, how far it has come.

use super::form::Form;
use super::frame::{Area, Page};
use super::parts::{
    self, Column, Field, FormSpec, Html, Table, button_link, code, facts, folded, link, main_link, named, note, number,
    paragraph, post_button, row, section, text, when,
};
use super::{Answer, Outcome, Visit, building, marks, story};
use crate::service::actor::Permission;
use crate::service::assigning::{self, Whom};
use crate::service::library::{self, AssignmentView, ProfileView};
use crate::service::{Error, devices, schedules, splitting};
use crate::store::{GroupPart, Target};

const PATH: &str = "/console/profiles";
const ROWS: usize = 50;

fn path(id: &str) -> String {
    format!("{PATH}/{}", parts::segment(id))
}

pub fn list(v: &Visit<'_>) -> Outcome {
    let w = v.words;
    let after = v.query("after").and_then(|text| text.parse().ok());
    let mut found = library::list(v.cx, &v.actor, after.unwrap_or(0), ROWS + 1)?;
    let more = found.len() > ROWS;
    found.truncate(ROWS);
    let next = found.last().filter(|_| more).map(|last| format!("{PATH}?after={}", last.row.id));
    let line = |one: &ProfileView| {
        vec![
            named(link(&path(&one.row.public_id), &one.row.name), &one.row.identifier),
            text(&types(one).join(", ")),
            number(i64::try_from(one.assignments.len()).unwrap_or(0)),
            number(one.installed),
            number(one.waiting),
        ]
    };
    let table = Table::new(w.profiles_title)
        .columns([w.profile, w.settings_for])
        .column(Column::number(w.assigned))
        .column(Column::number(w.installed))
        .column(Column::number(w.waiting))
        .rows(found.iter().map(line))
        .empty(w.library_empty)
        .page(after.map(|_: i64| PATH.to_owned()), w.to_first)
        .page(next, w.next);
    let mut page = Page::new(Area::Profiles, w.nav_profiles);
    if v.may(Permission::Enroll) {
        page = page
            .action(main_link("/console/profiles/build", w.schema.build))
            .action(button_link("/console/profiles/new", w.new_profile));
    }
    Ok(page.with(table.html()).into())
}

/// Kinds of settings, without what all names have in common.
fn types(one: &ProfileView) -> Vec<String> {
    let all: Vec<String> = serde_json::from_str(&one.current.payload_types).unwrap_or_default();
    all.into_iter().map(|name| name.strip_prefix("com.apple.").unwrap_or(&name).to_owned()).collect()
}

pub fn new(v: &Visit<'_>) -> Outcome {
    v.actor.require(Permission::Enroll)?;
    let w = v.words;
    let form = FormSpec::new("/console/profiles/new", &v.token)
        .field(Field::file("file", w.profile_file).hint(w.profile_file_hint).required())
        .field(Field::text("name", w.name).hint(w.profile_own_name).value(v.typed("name")))
        .button(w.add);
    Ok(Page::new(Area::Profiles, w.new_profile).under(PATH, w.nav_profiles).with(form.html()).into())
}

pub fn add(v: &Visit<'_>, form: &Form) -> Outcome {
    let made = library::add(v.cx, &v.actor, &form.file("file").unwrap_or_default(), form.get("name"))?;
    Ok(Answer::To(format!("{}?said=done", path(&made.row.public_id))))
}

/// How an assignment is named in a form and shown to people.
pub(super) fn target(v: &Visit<'_>, one: &AssignmentView) -> (&'static str, String, Html) {
    let w = v.words;
    let (kind, under) = (one.row.target.kind(), w.target(one.row.target.kind()));
    if let Some(device) = &one.device {
        return (kind, device.clone(), device_name(v, device, under));
    }
    let name = one.name.clone().unwrap_or_default();
    let shown = match one.row.target {
        Target::Group(..) => link(&format!("/console/groups/{}", parts::segment(&name)), &name),
        _ => text(&name),
    };
    (kind, name, named(shown, under))
}

fn device_name(v: &Visit<'_>, id: &str, under: &str) -> Html {
    let name = devices::show(v.cx, &v.actor, id).map_or_else(|_| id.to_owned(), |shown| marks::device_name(&shown.row));
    named(link(&marks::device_path(id), &name), under)
}

pub fn show(v: &Visit<'_>, id: &str) -> Outcome {
    let w = v.words;
    let one = library::show(v.cx, &v.actor, id)?;
    let path = path(&one.row.public_id);
    let may = v.may(Permission::Enroll);
    let about = facts([
        (w.identifier, code(&one.row.identifier)),
        (w.version, row([number(one.row.version), link(&format!("{path}/versions"), w.schema.versions)])),
        (w.settings_for, text(&types(&one).join(", "))),
        (w.installed, number(one.installed)),
        (w.waiting, number(one.waiting)),
        (w.changed_by, text(story::person(&one.current.created_by))),
        (w.at, when(one.current.created_at, v.now)),
    ]);
    let mut page = Page::new(Area::Profiles, one.row.name.clone())
        .under(PATH, w.nav_profiles)
        .with(section(w.about_title, [about]));
    if !one.notes.is_empty() {
        page = page.with(section(w.worth_knowing, one.notes.iter().map(|words| paragraph(words))));
    }
    page = page.with(building::doubts(v, id)?);
    let line = |a: &AssignmentView| {
        let (what, who, shown) = target(v, a);
        let out = if may {
            post_button(
                &format!("{path}/withdraw?what={what}&who={}", parts::segment(&who)),
                &v.token,
                w.withdraw,
                &who,
            )
        } else {
            Html::default()
        };
        let during = text(a.schedule.as_deref().unwrap_or(w.plans.always));
        vec![shown, during, text(story::person(&a.row.created_by)), when(a.row.created_at, v.now), out]
    };
    let table = Table::new(w.assigned_to).columns([w.whom, w.plans.during, w.asked_by, w.at, ""]);
    page = page.with(section(
        w.assigned_to,
        [table.rows(one.assignments.iter().take(300).map(line)).empty(w.assigned_nobody).html()],
    ));
    if may && splitting::offer(v.cx, &v.actor, &one.row.public_id)?.is_some() {
        let p = &v.words.provided;
        let form = FormSpec::new(&format!("{path}/split"), &v.token).button(p.split);
        page = page.with(section(p.split, [paragraph(p.split_does), form.html()]));
    }
    if may {
        let remove = FormSpec::new(&format!("{path}/remove"), &v.token)
            .field(Field::tick("sure", w.remove_profile_sure).required());
        page = page.with(section(w.assign, [assign_form(v, &format!("{path}/assign"))?]));
        page = page.with(folded(w.remove_it, [note(w.remove_profile_does), remove.danger(w.remove_it).html()]));
    }
    Ok(page.into())
}

/// The form that says to whom.
pub(super) fn assign_form(v: &Visit<'_>, action: &str) -> Result<Html, Error> {
    let w = v.words;
    let kinds = ["group-devices", "group-people", "group-everyone-on", "device", "everyone-on", "user"];
    let whom = kinds.map(|kind| (kind, w.target(kind)));
    let all = schedules::list(v.cx, &v.actor)?;
    let named = all.iter().map(|one| (one.row.public_id.as_str(), one.row.name.as_str()));
    let during = std::iter::once(("", w.plans.always)).chain(named);
    let form = FormSpec::new(action, &v.token)
        .field(Field::choice("what", w.whom, whom).value(v.typed("what")))
        .field(Field::text("who", w.name).hint(w.whom_hint).value(v.typed("who")).required())
        .field(Field::choice("during", w.plans.during, during).value(v.typed("during")));
    Ok(form.button(w.assign).html())
}

pub(super) fn whom(what: &str, who: &str) -> Whom {
    let who = who.to_owned();
    match what {
        "device" => Whom::Device(who),
        "everyone-on" => Whom::EveryoneOn(who),
        "user" | "person" => Whom::User(who),
        group => {
            let part = group.strip_prefix("group-");
            Whom::Group(who, GroupPart::ALL.into_iter().find(|one| Some(one.as_str()) == part))
        }
    }
}

pub fn act(v: &Visit<'_>, id: &str, verb: &str, form: &Form) -> Result<Answer, Error> {
    match verb {
        "assign" => {
            let whom = whom(form.text("what"), form.text("who"));
            drop(match form.some("during") {
                Some(schedule) => assigning::assign_during(v.cx, &v.actor, id, &whom, &schedule)?,
                None => assigning::assign(v.cx, &v.actor, id, &whom)?,
            });
        }
        "withdraw" => {
            let (what, who) = (v.query("what").unwrap_or_default(), v.query("who").unwrap_or_default());
            drop(assigning::unassign(v.cx, &v.actor, id, &whom(&what, &who))?);
        }
        "split" => {
            splitting::split(v.cx, &v.actor, id)?;
            return Ok(Answer::To(format!("{PATH}?said=done")));
        }
        "remove" => {
            library::remove(v.cx, &v.actor, id)?;
            return Ok(Answer::To(format!("{PATH}?said=done")));
        }
        _ => return Err(super::nothing_here(v)),
    }
    Ok(Answer::To(format!("{}?said=done", path(id))))
}
