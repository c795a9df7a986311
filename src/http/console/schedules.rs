//! Schedules: when assigned profiles are to be there, the time zone of the place and its holidays.

use super::form::Form;
use super::frame::{Area, Page};
use super::parts::{
    self, Field, FormSpec, Html, Mood, Table, badge, facts, folded, link, list as items, main_link, named, note,
    number, section, text,
};
use super::{Answer, Outcome, Visit};
use crate::service::actor::Permission;
use crate::service::schedules::{self, CalendarChange, ScheduleView, Wish};

const PATH: &str = "/console/schedules";

fn state(v: &Visit<'_>, one: &ScheduleView) -> Html {
    let p = &v.words.plans;
    if one.open { badge(Mood::Good, p.open_now) } else { badge(Mood::Quiet, p.closed_now) }
}

pub fn list(v: &Visit<'_>) -> Outcome {
    let (w, p) = (v.words, &v.words.plans);
    let all = schedules::list(v.cx, &v.actor)?;
    let line = |one: &ScheduleView| {
        let name = link(&format!("{PATH}/{}", parts::segment(&one.row.public_id)), &one.row.name);
        let next = one.next.first().map(|(_, wall)| wall.as_str()).unwrap_or_default();
        vec![named(name, &one.row.windows.join(", ")), state(v, one), text(next), number(one.row.used)]
    };
    let table = Table::new(p.nav_schedules)
        .columns([w.name, w.standing, p.opens, p.followed_by])
        .rows(all.iter().map(line))
        .empty(p.no_schedules);
    let calendar = schedules::calendar(v.cx, &v.actor)?;
    let zone = calendar.time_zone.as_deref().unwrap_or(p.time_zone_none);
    let dates = match calendar.holidays.as_slice() {
        [] => text(p.holidays_none),
        dates => items(dates.iter().map(|date| text(date))),
    };
    let about = facts([(p.time_zone, text(zone)), (p.holidays, dates)]);
    let mut page = Page::new(Area::Schedules, p.nav_schedules).lead(p.schedules_lead).with(table.html());
    let may = v.may(Permission::Enroll);
    if may {
        page = page.action(main_link(&format!("{PATH}/new"), p.new_schedule));
    }
    page = page.with(section(p.calendar, [about]));
    if may {
        let held = calendar.holidays.join("\n");
        let form = FormSpec::new(&format!("{PATH}/calendar"), &v.token)
            .field(
                Field::text("time_zone", p.time_zone)
                    .hint(p.time_zone_hint)
                    .value(v.typed("time_zone").or(calendar.time_zone.as_deref())),
            )
            .field(
                Field::area("holidays", p.holidays)
                    .hint(p.holidays_hint)
                    .value(v.typed("holidays").or(Some(held.as_str()))),
            )
            .button(w.save);
        page = page.with(folded(w.change_it, [form.html()]));
    }
    Ok(page.into())
}

fn fields(v: &Visit<'_>, path: &str, now: Option<&ScheduleView>) -> FormSpec {
    let (w, p) = (v.words, &v.words.plans);
    let windows = now.map(|one| one.row.windows.join("\n"));
    let held = now.is_some_and(|one| one.row.on_holidays);
    FormSpec::new(path, &v.token)
        .field(Field::text("name", w.name).value(v.typed("name").or(now.map(|one| one.row.name.as_str()))).required())
        .field(
            Field::area("windows", p.windows)
                .hint(p.windows_hint)
                .value(v.typed("windows").or(windows.as_deref()))
                .required(),
        )
        .field(Field::tick("on_holidays", p.on_holidays).value(v.ticked("on_holidays", held)))
}

pub fn new(v: &Visit<'_>) -> Outcome {
    v.actor.require(Permission::Enroll)?;
    let (w, p) = (v.words, &v.words.plans);
    let form = fields(v, &format!("{PATH}/new"), None).button(w.add);
    Ok(Page::new(Area::Schedules, p.new_schedule).under(PATH, p.nav_schedules).with(form.html()).into())
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn wish(form: &Form) -> Wish {
    let on_holidays = Some(form.get("on_holidays").is_some());
    Wish { name: form.some("name"), windows: Some(lines(form.text("windows"))), on_holidays }
}

pub fn add(v: &Visit<'_>, form: &Form) -> Outcome {
    let made = schedules::add(v.cx, &v.actor, &wish(form))?;
    Ok(Answer::To(format!("{PATH}/{}?said=done", parts::segment(&made.row.public_id))))
}

pub fn show(v: &Visit<'_>, name: &str) -> Outcome {
    let (w, p) = (v.words, &v.words.plans);
    let one = schedules::show(v.cx, &v.actor, name)?;
    let path = format!("{PATH}/{}", parts::segment(&one.row.public_id));
    let about = facts([
        (p.windows, items(one.row.windows.iter().map(|window| text(window)))),
        (p.opens, items(one.next.iter().map(|(_, wall)| text(wall)))),
    ]);
    let uses = Table::new(p.followed_by)
        .columns([w.nav_profiles, w.whom])
        .rows(one.uses.iter().map(|(profile, to)| vec![text(profile), text(to)]))
        .empty(p.followed_by_none);
    let mut page = Page::new(Area::Schedules, one.row.name.clone())
        .under(PATH, p.nav_schedules)
        .mark(state(v, &one))
        .with(section(w.about_title, [about]))
        .with(section(p.followed_by, [uses.html()]));
    if one.row.on_holidays {
        page = page.with(note(p.on_holidays));
    }
    if v.may(Permission::Enroll) {
        page = page.with(folded(w.change_it, [fields(v, &path, Some(&one)).button(w.save).html()]));
        let remove = FormSpec::new(&format!("{path}/remove"), &v.token)
            .field(Field::tick("sure", p.remove_schedule_sure).required())
            .danger(w.remove_it);
        page = page.with(folded(w.remove_it, [remove.html()]));
    }
    Ok(page.into())
}

pub fn change(v: &Visit<'_>, name: &str, form: &Form) -> Outcome {
    let made = schedules::change(v.cx, &v.actor, name, &wish(form))?;
    Ok(Answer::To(format!("{PATH}/{}?said=done", parts::segment(&made.row.public_id))))
}

pub fn remove(v: &Visit<'_>, name: &str) -> Outcome {
    schedules::remove(v.cx, &v.actor, name)?;
    Ok(Answer::To(format!("{PATH}?said=done")))
}

pub fn set_calendar(v: &Visit<'_>, form: &Form) -> Outcome {
    let change = CalendarChange { time_zone: form.some("time_zone"), holidays: Some(lines(form.text("holidays"))) };
    schedules::set_calendar(v.cx, &v.actor, &change)?;
    Ok(Answer::To(format!("{PATH}?said=done")))
}
