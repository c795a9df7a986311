//! Provisioning profiles: one line for each app, its uploads, to whom it goes, and where a removed one has come back. Whoever removes one is
//! told first that this is no revocation.

use super::form::Form;
use super::frame::{Area, Page};
use super::parts::{
    self, Column, Field, FormSpec, Html, Table, code, facts, folded, link, main_link, named, note, number, or_dash,
    post_button, section, text, when,
};
use super::{Answer, Outcome, Visit, marks, story};
use crate::service::actor::Permission;
use crate::service::assigning::Whom;
use crate::service::provisioning::{self, AssignedTo, OnDevice, ProvisioningView, State, what_removal_is};
use crate::store::ProvisioningVersionRow;

const PATH: &str = "/console/provisioning";
const ROWS: usize = 50;

fn path(id: &str) -> String {
    format!("{PATH}/{}", parts::segment(id))
}

fn returned(one: &ProvisioningView) -> i64 {
    i64::try_from(one.devices.iter().filter(|d| d.state == State::Returned).count()).unwrap_or(0)
}

fn installed(one: &ProvisioningView) -> i64 {
    i64::try_from(one.count(|state| matches!(state, State::Confirmed | State::Installed))).unwrap_or(0)
}

fn waiting(one: &ProvisioningView) -> i64 {
    i64::try_from(one.count(|state| state == State::Waiting)).unwrap_or(0)
}

pub fn all(v: &Visit<'_>) -> Outcome {
    let (w, p) = (v.words, &v.words.provided);
    let after = v.query("after").and_then(|text| text.parse().ok());
    let mut found = provisioning::list(v.cx, &v.actor, after.unwrap_or(0), ROWS + 1)?;
    let more = found.len() > ROWS;
    found.truncate(ROWS);
    let next = found.last().filter(|_| more).map(|last| format!("{PATH}?after={}", last.row.id));
    let line = |one: &ProvisioningView| {
        vec![
            named(link(&path(&one.row.public_id), &one.row.name), &one.row.app_id),
            one.current().map_or_else(|| or_dash(None), |now| when(now.expires_at, v.now)),
            number(installed(one)),
            number(waiting(one)),
            number(returned(one)),
        ]
    };
    let table = Table::new(p.nav_provisioning)
        .columns([p.provisioning, p.ends])
        .column(Column::number(w.installed))
        .column(Column::number(w.waiting))
        .column(Column::number(p.returned))
        .rows(found.iter().map(line))
        .empty(p.provisioning_none)
        .page(after.map(|_: i64| PATH.to_owned()), w.to_first)
        .page(next, w.next);
    let mut page = Page::new(Area::Provisioning, p.nav_provisioning).lead(p.provisioning_lead);
    if v.may(Permission::Enroll) {
        page = page.action(main_link("/console/provisioning/new", p.add_provisioning));
    }
    Ok(page.with(table.html()).into())
}

pub fn new(v: &Visit<'_>) -> Outcome {
    v.actor.require(Permission::Enroll)?;
    let p = &v.words.provided;
    let form = FormSpec::new("/console/provisioning/new", &v.token)
        .field(Field::file("file", p.provisioning_file).hint(p.provisioning_file_hint).required())
        .button(p.add_provisioning);
    Ok(Page::new(Area::Provisioning, p.add_provisioning).under(PATH, p.nav_provisioning).with(form.html()).into())
}

pub fn add(v: &Visit<'_>, form: &Form) -> Outcome {
    let made = provisioning::add(v.cx, &v.actor, &form.file("file").unwrap_or_default())?;
    Ok(Answer::To(format!("{}?said=done", path(&made.row.public_id))))
}

pub fn show(v: &Visit<'_>, id: &str) -> Outcome {
    let (w, p) = (v.words, &v.words.provided);
    let one = provisioning::show(v.cx, &v.actor, id)?;
    let here = path(&one.row.public_id);
    let may = v.may(Permission::Enroll);
    let about = facts([
        (p.app, code(&one.row.app_id)),
        (p.ends, one.current().map_or_else(|| or_dash(None), |now| when(now.expires_at, v.now))),
        (w.installed, number(installed(&one))),
        (w.waiting, number(waiting(&one))),
        (p.returned, number(returned(&one))),
    ]);
    let mut page = Page::new(Area::Provisioning, one.row.name.clone())
        .under(PATH, p.nav_provisioning)
        .with(section(w.about_title, [about]))
        .with(uploads(v, &one))
        .with(assigned(v, &one, &here, may));
    if may {
        let assign = FormSpec::new(&format!("{here}/assign"), &v.token)
            .field(
                Field::choice("what", w.whom, ["group-devices", "device"].map(|kind| (kind, w.target(kind))))
                    .value(v.typed("what")),
            )
            .field(Field::text("who", w.name).hint(p.provisioning_whom_hint).value(v.typed("who")).required())
            .button(w.assign);
        page = page.with(section(w.assign, [assign.html()]));
    }
    page = page.with(on_devices(v, &one, &here, may));
    if may {
        let again = FormSpec::new(&format!("{here}/retry"), &v.token).button(p.try_again);
        let remove = FormSpec::new(&format!("{here}/remove"), &v.token)
            .field(Field::tick("sure", p.remove_sure).required())
            .danger(w.remove_it);
        page = page
            .with(folded(p.try_again, [again.html()]))
            .with(folded(w.remove_it, [note(&what_removal_is()), remove.html()]));
    }
    Ok(page.into())
}

fn uploads(v: &Visit<'_>, one: &ProvisioningView) -> Html {
    let (w, p) = (v.words, &v.words.provided);
    let line = |upload: &ProvisioningVersionRow| {
        let whom = upload.devices.map_or_else(|| text(p.all_devices), number);
        let mark = if upload.id == one.row.current { p.in_force } else { "" };
        vec![
            named(code(&upload.uuid), mark),
            when(upload.expires_at, v.now),
            whom,
            text(&upload.signed_by),
            text(story::person(&upload.created_by)),
        ]
    };
    let table = Table::new(p.uploads).columns([p.uuid, p.ends, p.named_devices, p.signed_by, w.changed_by]);
    section(p.uploads, [table.rows(one.versions.iter().take(100).map(line)).html()])
}

fn assigned(v: &Visit<'_>, one: &ProvisioningView, here: &str, may: bool) -> Html {
    let w = v.words;
    let line = |a: &AssignedTo| {
        let (what, who) = match (&a.device, &a.group) {
            (Some(device), _) => ("device", device.clone()),
            (None, group) => ("group-devices", group.clone().unwrap_or_default()),
        };
        let shown = match &a.device {
            Some(device) => link(&marks::device_path(device), device),
            None => link(&format!("/console/groups/{}", parts::segment(&who)), &who),
        };
        let action = format!("{here}/withdraw?what={what}&who={}", parts::segment(&who));
        let out = if may { post_button(&action, &v.token, w.withdraw, &who) } else { Html::default() };
        vec![named(shown, w.target(what)), text(story::person(&a.created_by)), when(a.created_at, v.now), out]
    };
    let table = Table::new(w.assigned_to).columns([w.whom, w.asked_by, w.at, ""]);
    section(w.assigned_to, [table.rows(one.assignments.iter().take(300).map(line)).empty(w.assigned_nobody).html()])
}

fn on_devices(v: &Visit<'_>, one: &ProvisioningView, here: &str, may: bool) -> Html {
    let (w, p) = (v.words, &v.words.provided);
    let line = |d: &OnDevice| {
        let action =
            format!("{here}/again?device={}&uuid={}", parts::segment(&d.device), parts::segment(&d.row.version.uuid));
        let out = match may && d.state == State::Returned {
            true => post_button(&action, &v.token, p.take_off_again, &d.device),
            false => Html::default(),
        };
        vec![link(&marks::device_path(&d.device), &d.device), code(&d.row.version.uuid), text(&d.words), out]
    };
    let table = Table::new(p.on_devices).columns([w.device, p.uuid, p.state, ""]);
    // What came back is what somebody must look at.
    let mut devices: Vec<&OnDevice> = one.devices.iter().collect();
    devices.sort_by_key(|d| d.state != State::Returned);
    section(p.on_devices, [table.rows(devices.into_iter().take(300).map(line)).empty(p.nowhere).html()])
}

fn whom(what: &str, who: &str) -> Whom {
    if what == "device" { Whom::Device(who.to_owned()) } else { Whom::Group(who.to_owned(), None) }
}

pub fn act(v: &Visit<'_>, id: &str, verb: &str, form: &Form) -> Outcome {
    let asked = |name: &str| v.query(name).unwrap_or_default();
    match verb {
        "assign" => {
            let whom = whom(form.text("what"), form.text("who"));
            drop(provisioning::assign(v.cx, &v.actor, id, &whom, true)?);
        }
        "withdraw" => {
            let whom = whom(&asked("what"), &asked("who"));
            drop(provisioning::assign(v.cx, &v.actor, id, &whom, false)?);
        }
        "retry" => drop(provisioning::retry(v.cx, &v.actor, id)?),
        "again" => drop(provisioning::remove_again(v.cx, &v.actor, &asked("device"), &asked("uuid"))?),
        "remove" => {
            provisioning::remove(v.cx, &v.actor, id)?;
            return Ok(Answer::To(format!("{PATH}?said=done")));
        }
        _ => return Err(super::nothing_here(v)),
    }
    Ok(Answer::To(format!("{}?said=done", path(id))))
}
