//! People of the place and their groups: who there is, which classes and groups, which devices and people belong to each.

use super::form::Form;
use super::frame::{Area, Page};
use super::parts::{
    self, Column, Field, FormSpec, Html, Mood, Table, badge, button_link, facts, folded, link, main_link, named, note,
    number, or_dash, post_button, row, section, text, when,
};
use super::{Answer, Outcome, Visit, filters, marks, story};
use crate::service::actor::Permission;
use crate::service::groups::{self, GroupView, Member};
use crate::service::users::{self, PersonView};
use crate::service::variables::Whose;
use crate::service::{Error, roster};
use crate::store::{GroupRow, Source};

const PEOPLE: &str = "/console/people";
const GROUPS: &str = "/console/groups";
const ROWS: usize = 50;
/// Members that a page names.
const MEMBERS: usize = 300;

pub fn person_path(name: &str) -> String {
    format!("{PEOPLE}/{}", parts::segment(name))
}

fn group_path(name: &str) -> String {
    format!("{GROUPS}/{}", parts::segment(name))
}

pub fn list(v: &Visit<'_>) -> Outcome {
    let w = v.words;
    let search = v.query("search");
    let after = v.query("after").and_then(|text| text.parse().ok());
    let mut found = users::list(v.cx, &v.actor, after.unwrap_or(0), search.as_deref(), ROWS + 1)?;
    let more = found.len() > ROWS;
    found.truncate(ROWS);
    let here = marks::with_query(v, PEOPLE, &["search"], &[]);
    let joint = if here.contains('?') { '&' } else { '?' };
    let next = found.last().filter(|_| more).map(|last| format!("{here}{joint}after={}", last.row.id));
    let table = Table::new(w.nav_people)
        .columns([w.name, w.mail, w.standing])
        .rows(found.iter().map(|one| {
            let name = one.row.long_name.as_deref().unwrap_or(&one.row.short_name);
            let name = named(link(&person_path(&one.row.short_name), name), &one.row.short_name);
            vec![name, or_dash(one.row.mail.as_deref()), standing(v, one)]
        }))
        .empty(w.no_people)
        .page(after.map(|_: i64| here), w.to_first)
        .page(next, w.next);
    let ask = FormSpec::asking(PEOPLE).field(Field::search("search", w.name).value(search.as_deref())).button(w.search);
    let mut page = Page::new(Area::People, w.nav_people);
    if v.may(Permission::People) {
        page = page
            .action(main_link("/console/people/import", w.import_people))
            .action(button_link("/console/people/new", w.new_person));
    }
    Ok(page.with(ask.html()).with(table.html()).into())
}

fn standing(v: &Visit<'_>, one: &PersonView) -> Html {
    let w = v.words;
    let mut marks = Vec::new();
    if one.row.disabled_at.is_some() {
        marks.push(badge(Mood::Quiet, w.door_words.disabled));
    }
    if one.row.has_digest {
        marks.push(badge(Mood::Good, w.network_login));
    }
    marks.push(parts::quiet(match one.row.source {
        Source::Ldap => w.from_directory,
        _ => w.kept_here,
    }));
    row(marks)
}

pub fn show(v: &Visit<'_>, name: &str) -> Outcome {
    let w = v.words;
    let one = users::show(v.cx, &v.actor, name)?;
    let title = one.row.long_name.clone().unwrap_or_else(|| one.row.short_name.clone());
    let about = facts([
        (w.short_name, text(&one.row.short_name)),
        (w.mail, or_dash(one.row.mail.as_deref())),
        (w.standing, standing(v, &one)),
        (w.known_since, when(one.row.created_at, v.now)),
        (w.made_by, text(story::person(&one.row.created_by))),
    ]);
    let mut page = Page::new(Area::People, title).under(PEOPLE, w.nav_people).with(section(w.about_title, [about]));
    let path = person_path(&one.row.short_name);
    page = page.with(filters::own_fields(v, Whose::Person(&one.row.short_name), &path)?);
    if v.may(Permission::People) {
        let change = FormSpec::new(&path, &v.token)
            .field(Field::text("long_name", w.full_name).value(v.typed("long_name").or(one.row.long_name.as_deref())))
            .field(Field::text("mail", w.mail).value(v.typed("mail").or(one.row.mail.as_deref())))
            .field(Field::password("password", w.door_words.new_password, "new-password").hint(w.person_password_hint))
            .button(w.save);
        let erase = FormSpec::new(&format!("{path}/erase"), &v.token)
            .field(Field::tick("sure", w.erase_person_sure).required())
            .danger(w.erase_person);
        page = page
            .with(section(w.change_it, [change.html()]))
            .with(folded(w.erase_person, [note(w.erase_person_does), erase.html()]));
    }
    Ok(page.into())
}

fn wish(form: &Form) -> users::Wish {
    users::Wish {
        long_name: form.some("long_name"),
        mail: form.some("mail"),
        password: form.secret("password"),
        ..users::Wish::default()
    }
}

pub fn new(v: &Visit<'_>) -> Outcome {
    v.actor.require(Permission::People)?;
    let w = v.words;
    let form = FormSpec::new("/console/people/new", &v.token)
        .field(Field::text("short_name", w.short_name).hint(w.short_name_hint).value(v.typed("short_name")).required())
        .field(Field::text("long_name", w.full_name).value(v.typed("long_name")))
        .field(Field::text("mail", w.mail).value(v.typed("mail")))
        .field(Field::password("password", w.password, "new-password").hint(w.person_password_hint))
        .button(w.add);
    Ok(Page::new(Area::People, w.new_person).under(PEOPLE, w.nav_people).with(form.html()).into())
}

pub fn add(v: &Visit<'_>, form: &Form) -> Outcome {
    let made = users::add(v.cx, &v.actor, form.text("short_name"), &wish(form))?;
    Ok(Answer::To(format!("{}?said=done", person_path(&made.row.short_name))))
}

pub fn change(v: &Visit<'_>, name: &str, form: &Form) -> Outcome {
    users::change(v.cx, &v.actor, name, &wish(form))?;
    Ok(Answer::To(format!("{}?said=done", person_path(name))))
}

pub fn erase(v: &Visit<'_>, name: &str) -> Outcome {
    users::erase(v.cx, &v.actor, name)?;
    Ok(Answer::To(format!("{PEOPLE}?said=done")))
}

pub fn import(v: &Visit<'_>) -> Outcome {
    v.actor.require(Permission::People)?;
    let w = v.words;
    let form = FormSpec::new("/console/people/import", &v.token)
        .field(Field::file("file", w.csv_file).hint(w.csv_hint).required())
        .field(Field::tick("trial", w.only_try).value(Some("yes")))
        .button(w.import);
    Ok(Page::new(Area::People, w.import_people).under(PEOPLE, w.nav_people).with(form.html()).into())
}

pub fn do_import(v: &Visit<'_>, form: &Form) -> Outcome {
    let w = v.words;
    let bytes = form.file("file").unwrap_or_default();
    let report = roster::import(v.cx, &v.actor, &String::from_utf8_lossy(&bytes), form.ticked("trial"))?;
    let count = |n: usize| number(i64::try_from(n).unwrap_or(i64::MAX));
    let said = if report.applied { badge(Mood::Good, w.import_done) } else { badge(Mood::Warn, w.import_tried) };
    let numbers = facts([
        (w.import_added, count(report.added)),
        (w.import_changed, count(report.changed)),
        (w.import_unchanged, count(report.unchanged)),
        (w.import_classes, text(&report.classes_added.join(", "))),
    ]);
    let wrong = report
        .wrong
        .iter()
        .take(MEMBERS)
        .map(|line| vec![number(i64::try_from(line.line).unwrap_or(0)), text(&line.why)]);
    let wrong = Table::new(w.import_wrong)
        .column(Column::text(w.line))
        .column(Column::text(w.what))
        .rows(wrong)
        .empty(w.import_none_wrong);
    let page = Page::new(Area::People, w.import_people).under(PEOPLE, w.nav_people);
    Ok(page
        .with(section(w.verdict, [said.into_paragraph(), numbers]))
        .with(section(w.import_wrong, [wrong.html()]))
        .into())
}

// ---- groups

fn kind(v: &Visit<'_>, kind: &str) -> &'static str {
    let w = v.words;
    match kind {
        "class" => w.class,
        "people" => w.group_of_people,
        "smart" => w.group_smart,
        _ => w.group_of_devices,
    }
}

fn kinds(v: &Visit<'_>) -> Vec<(&'static str, &'static str)> {
    let all = ["devices", "people", "class"];
    all.into_iter().filter(|k| *k != "class" || !v.is_office()).map(|k| (k, kind(v, k))).collect()
}

pub fn groups(v: &Visit<'_>) -> Outcome {
    let w = v.words;
    let all = groups::list(v.cx, &v.actor)?;
    let line = |one: &GroupRow| {
        vec![link(&group_path(&one.name), &one.name), text(kind(v, &one.kind)), number(one.devices), number(one.people)]
    };
    let table = Table::new(w.nav_groups)
        .column(Column::text(w.name))
        .column(Column::text(w.kind))
        .column(Column::number(w.nav_devices))
        .column(Column::number(w.nav_people))
        .rows(all.iter().take(MEMBERS).map(line))
        .empty(w.no_groups);
    let mut page = Page::new(Area::Groups, w.nav_groups);
    if v.may(Permission::People) {
        page = page
            .action(main_link("/console/groups/new", w.new_group))
            .action(button_link("/console/groups/filter", w.filters.smart_new));
    }
    Ok(page.with(table.html()).into())
}

pub fn new_group(v: &Visit<'_>) -> Outcome {
    v.actor.require(Permission::People)?;
    if v.typed("filter").is_some() {
        return filters::show(v);
    }
    let w = v.words;
    let form = FormSpec::new("/console/groups/new", &v.token)
        .field(Field::text("name", w.name).value(v.typed("name")).required())
        .field(Field::choice("kind", w.kind, kinds(v)).value(v.typed("kind")))
        .button(w.add);
    Ok(Page::new(Area::Groups, w.new_group).under(GROUPS, w.nav_groups).with(form.html()).into())
}

pub fn add_group(v: &Visit<'_>, form: &Form) -> Outcome {
    let wish = groups::Wish {
        name: form.text("name").to_owned(),
        kind: form.text("kind").to_owned(),
        filter: form.some("filter"),
        login_mode: None,
    };
    let made = groups::add(v.cx, &v.actor, &wish)?;
    Ok(Answer::To(format!("{}?said=done", group_path(&made.row.name))))
}

pub fn group(v: &Visit<'_>, name: &str) -> Outcome {
    let w = v.words;
    let GroupView { row: one, devices, people, admins } = groups::show(v.cx, &v.actor, name)?;
    let path = group_path(&one.name);
    let may = v.may(Permission::People) && one.kind != "smart";
    let out = |field: &str, who: &str| {
        if may {
            post_button(&format!("{path}/remove?{field}={}", parts::segment(who)), &v.token, w.take_out, who)
        } else {
            Html::default()
        }
    };
    let mut page = Page::new(Area::Groups, one.name.clone()).under(GROUPS, w.nav_groups).mark(text(kind(v, &one.kind)));
    if one.kind != "people" && v.may(Permission::Ask) {
        page = page.action(button_link(&format!("/console/bulk?group={}", parts::segment(&one.name)), w.bulk));
    }
    if let Some(filter) = &one.filter {
        page = page.with(section(w.filter, [filters::sentence(v, filter)]));
        if v.may(Permission::People) {
            let path = format!("/console/groups/filter?group={}", parts::segment(&one.name));
            page = page.action(button_link(&path, w.filters.change));
        }
    }
    if one.kind != "people" {
        let rows = devices
            .iter()
            .take(MEMBERS)
            .map(|d| vec![marks::device_link(d), marks::system(d), out("device", &d.public_id)]);
        let table = Table::new(w.nav_devices).columns([w.device, w.system, ""]).rows(rows).empty(w.nobody);
        page = page.with(section(w.nav_devices, [table.html()]));
    }
    if matches!(one.kind.as_str(), "people" | "class") {
        let rows = people.iter().take(MEMBERS).map(|(person, role)| {
            let name = person.long_name.as_deref().unwrap_or(&person.short_name);
            let name = named(link(&person_path(&person.short_name), name), &person.short_name);
            let role = if role == "teacher" { badge(Mood::Busy, w.role_teacher) } else { Html::default() };
            vec![name, role, out("person", &person.short_name)]
        });
        let table = Table::new(w.nav_people).columns([w.name, w.door_words.role, ""]).rows(rows).empty(w.nobody);
        page = page.with(section(w.nav_people, [table.html()]));
    }
    if one.kind == "class" {
        let rows = admins.iter().map(|name| vec![text(name), out("admin", name)]);
        let table = Table::new(w.taught_by).columns([w.name, ""]).rows(rows).empty(w.nobody);
        page = page.with(section(w.taught_by, [note(w.taught_by_hint), table.html()]));
    }
    if may {
        let mut form = FormSpec::new(&format!("{path}/add"), &v.token);
        let choices: Vec<(&str, &str)> = match one.kind.as_str() {
            "class" => vec![
                ("device", w.device),
                ("person", w.person),
                ("teacher", w.person_teaching),
                ("admin", w.login_teaching),
            ],
            "people" => vec![("person", w.person)],
            _ => vec![("device", w.device)],
        };
        form = form.field(Field::choice("what", w.what, choices).value(v.typed("what")));
        form = form.field(Field::area("who", w.members).hint(w.members_hint).value(v.typed("who")).required());
        page = page.with(section(w.add_members, [form.button(w.add).html()]));
    }
    if v.may(Permission::People) {
        let remove =
            FormSpec::new(&format!("{path}/dissolve"), &v.token).field(Field::tick("sure", w.dissolve_sure).required());
        page = page.with(folded(w.dissolve, [note(w.dissolve_does), remove.danger(w.dissolve).html()]));
    }
    Ok(page.into())
}

fn member(what: &str, who: &str) -> Member {
    let who = who.to_owned();
    match what {
        "person" => Member::Person(who),
        "teacher" => Member::Teacher(who),
        "admin" => Member::Admin(who),
        _ => Member::Device(who),
    }
}

pub fn change_group(v: &Visit<'_>, name: &str, verb: &str, form: &Form) -> Result<Answer, Error> {
    match verb {
        "add" => {
            let what = form.text("what");
            let all: Vec<Member> = form
                .text("who")
                .split([',', '\n'])
                .map(str::trim)
                .filter(|one| !one.is_empty())
                .map(|one| member(what, one))
                .collect();
            groups::add_members(v.cx, &v.actor, name, &all)?;
        }
        "remove" => {
            let found = ["device", "person", "admin"].into_iter().find_map(|what| Some(member(what, &v.query(what)?)));
            let Some(found) = found else { return Err(super::nothing_here(v)) };
            groups::remove_members(v.cx, &v.actor, name, &[found])?;
        }
        "dissolve" => {
            groups::remove(v.cx, &v.actor, name)?;
            return Ok(Answer::To(format!("{GROUPS}?said=done")));
        }
        _ => return Err(super::nothing_here(v)),
    }
    Ok(Answer::To(format!("{}?said=done", group_path(name))))
}
