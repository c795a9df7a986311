//! Reports on devices: how each stands on security, and which have gone quiet and why; the support bundle, which names none of them.

use super::audit::file;
use super::form::Form;
use super::frame::{Area, Page};
use super::parts::{
    Field, FormSpec, Html, Mood, Table, badge, button_link, list, named, note, number, row, section, text, tile, tiles,
    when, when_or,
};
use super::{Answer, Outcome, Visit, marks, parts, upkeep};
use crate::service::activity::{self, Standing, State};
use crate::service::actor::Permission;
use crate::service::security::{self, Line};
use crate::service::{groups, support};
use crate::store::ActivityRow;

/// Devices on one page.
const ROWS: usize = 50;
const QUIET: &str = "/console/quiet";

fn page(v: &Visit<'_>, title: &str, lead: &str) -> Page {
    Page::new(Area::Upkeep, title).under(upkeep::PATH, v.words.upkeep().nav).lead(lead)
}

fn device(row: &ActivityRow) -> Html {
    let name = row.name.as_deref().or(row.serial.as_deref()).unwrap_or(&row.public_id);
    named(parts::link(&marks::device_path(&row.public_id), name), row.serial.as_deref().unwrap_or_default())
}

/// The page that begins with this row, and the address of the next.
fn from(v: &Visit<'_>) -> usize {
    v.query("from").and_then(|text| text.parse().ok()).unwrap_or(0)
}

// ---- security

pub fn security(v: &Visit<'_>) -> Outcome {
    let (w, u) = (v.words, v.words.upkeep());
    if v.query("format").as_deref() == Some("csv") {
        let lines = security::report(v.cx, &v.actor)?;
        return Ok(Answer::File(file(
            "text/csv; charset=utf-8",
            "security.csv",
            security::to_csv(&lines).into_bytes(),
        )));
    }
    let first = from(v);
    let (lines, more) = security::page(v.cx, &v.actor, first, ROWS)?;
    // Good, bad, or nobody said.
    let flag = |value: Option<bool>, good: bool| match value {
        Some(yes) => badge(if yes == good { Mood::Good } else { Mood::Warn }, if yes { u.yes } else { u.no }),
        None => badge(Mood::Quiet, u.unknown),
    };
    let line = |one: &Line| {
        let fits = match one.passcode_compliant {
            Some(true) => u.compliant,
            Some(false) => u.not_compliant,
            None => "",
        };
        let source = match (one.removable_source, one.removable_at) {
            (Some(source), Some(at)) => format!("{} {source}, {}", u.source, parts::day(at)),
            _ => String::new(),
        };
        vec![
            device(&one.row),
            named(flag(one.passcode_present, true), fits),
            flag(one.encrypted, true),
            flag(one.supervised, true),
            named(flag(one.removable, false), &source),
            when_or(one.told_at, v.now, w.never),
        ]
    };
    let table = Table::new(u.security)
        .columns([w.device, u.passcode, u.encrypted, u.supervised, u.removable, w.at])
        .rows(lines.iter().map(line))
        .empty(u.no_devices)
        .page((first > 0).then(|| String::from("/console/security")), w.to_first)
        .page(more.then(|| format!("/console/security?from={}", first.saturating_add(ROWS))), w.next);
    let page = page(v, u.security, u.security_lead);
    let page = page.action(button_link("/console/security?format=csv", u.security_csv));
    Ok(page.with(section(u.security, [table.html()])).into())
}

// ---- quiet devices

pub fn quiet(v: &Visit<'_>) -> Outcome {
    let (w, u) = (v.words, v.words.upkeep());
    let all = activity::list(v.cx, &v.actor)?;
    let policy = activity::policy(v.cx, &v.actor)?;
    let count = |state: State| all.iter().filter(|one| one.state == state).count();
    let figure = |state: State, name: &str| tile(None, &parts::grouped(count(state) as i64), name, &Html::default());
    let figures = tiles([
        figure(State::Active, u.active),
        figure(State::Quiet, u.quiet_state),
        figure(State::Inactive, u.inactive),
    ]);
    let silent: Vec<&Standing> = all.iter().filter(|one| one.state != State::Active).collect();
    let first = from(v);
    let next = first.saturating_add(ROWS);
    let line = |one: &&Standing| {
        let state = match one.state {
            State::Inactive => badge(Mood::Bad, u.inactive),
            _ => badge(Mood::Warn, u.quiet_state),
        };
        let causes = list(one.causes.iter().map(|cause| text(cause)));
        let row = &one.row;
        vec![device(row), state, when(row.last_seen_at, v.now), when_or(row.tested_at, v.now, w.never), causes]
    };
    let table = Table::new(u.quiet)
        .columns([w.device, w.standing, u.last_heard, u.asked, u.causes])
        .rows(silent.iter().skip(first).take(ROWS).map(line))
        .empty(u.quiet_none)
        .page((first > 0).then(|| String::from(QUIET)), w.to_first)
        .page((silent.len() > next).then(|| format!("{QUIET}?from={next}")), w.next);
    let mut page = page(v, u.quiet, u.quiet_lead).with(figures).with(section(u.quiet, [table.html()]));
    if v.may(Permission::Administer) {
        let groups = groups::list(v.cx, &v.actor)?;
        let names = groups.iter().filter(|group| group.kind == "devices" || group.kind == "class");
        let choices = std::iter::once(("", u.policy_no_group)).chain(names.map(|g| (g.name.as_str(), g.name.as_str())));
        let form = FormSpec::new(QUIET, &v.token)
            .field(
                Field::number("days", u.policy_days)
                    .value(v.typed("days").or(Some(&policy.days.to_string())))
                    .required(),
            )
            .field(Field::choice("group", u.policy_group, choices).value(policy.group.as_deref()))
            .field(Field::tick("alert", u.policy_alert).value(v.ticked("alert", policy.alert)))
            .button(w.save);
        page = page.with(section(u.policy, [note(u.policy_hint), form.html()]));
    } else {
        page = page.with(section(u.policy, [row([text(u.policy_days), number(policy.days)]).into_paragraph()]));
    }
    Ok(page.into())
}

pub fn change_policy(v: &Visit<'_>, form: &Form) -> Outcome {
    activity::change(v.cx, &v.actor, form.number("days")?, Some(form.text("group")), Some(form.ticked("alert")))?;
    Ok(Answer::To(format!("{QUIET}?said=done")))
}

// ---- the support bundle

pub fn support(v: &Visit<'_>) -> Outcome {
    v.actor.require(Permission::Administer)?;
    let u = v.words.upkeep();
    let form = FormSpec::new("/console/support", &v.token).button(u.support_make);
    let holds = [u.support_settings, u.support_doctor, u.support_numbers, u.support_dates].map(text);
    let page = page(v, u.support, u.support_lead).with(section(u.support, [note(u.support_takes), form.html()]));
    Ok(page.with(section(u.support_holds, [list(holds)])).into())
}

pub fn make_bundle(v: &Visit<'_>) -> Outcome {
    let bundle = support::bundle(v.cx, &v.actor)?;
    let text = serde_json::to_string_pretty(&bundle).map_err(crate::service::Error::internal)?;
    Ok(Answer::File(file("application/json", "cordon-support.json", text.into_bytes())))
}
