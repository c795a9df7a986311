//! Secrets in custody: what is kept of a device, showing one to a person with a reason and a fresh password, and the second person's word.

use super::form::Form;
use super::frame::{Area, Page};
use super::parts::{
    self, Field, FormSpec, Html, Mood, Table, badge, button_link, code, facts, note, number, paragraph, section, text,
    when,
};
use super::{Outcome, Visit, device, marks, story};
use crate::service::actor::Permission;
use crate::service::custody;
use crate::service::devices;
use crate::service::revealing::{self, Asked, Request};
use crate::store::SecretRow;

/// Everything of one device, without values.
pub fn of_device(v: &Visit<'_>, id: &str) -> Outcome {
    let w = v.words;
    let shown = devices::show(v.cx, &v.actor, id)?;
    let kept = custody::list(v.cx, &v.actor, &shown.row.public_id)?;
    let path = format!("{}/secrets", marks::device_path(&shown.row.public_id));
    let line = |one: &SecretRow| {
        let state = match one {
            one if one.sealed_value.is_none() => badge(Mood::Quiet, w.secret_cleared),
            one if one.withdrawn_at.is_some() => badge(Mood::Quiet, w.secret_withdrawn),
            one if one.confirmed_at.is_some() || one.command.is_none() => badge(Mood::Good, w.secret_confirmed),
            one if one.pending => badge(Mood::Busy, w.secret_pending),
            _ => badge(Mood::Warn, w.secret_unconfirmed),
        };
        let show = if v.may(Permission::Reveal) && one.sealed_value.is_some() {
            button_link(&format!("{path}/{}?generation={}", one.kind, one.generation), w.reveal)
        } else {
            Html::default()
        };
        vec![text(w.secret(&one.kind)), number(one.generation), state, when(one.created_at, v.now), show]
    };
    let table = Table::new(w.secrets_title).columns([w.secret_kind, w.generation, w.standing, w.since, ""]);
    let table = table.rows(kept.iter().map(line)).empty(w.no_secrets);
    let mut page = device::page(v, &shown, w.secrets_title).lead(w.secrets_lead);
    if v.may(Permission::Reveal) {
        let sheet = format!("{}/sheet", marks::device_path(&shown.row.public_id));
        page = page.action(button_link(&sheet, w.serving.sheet_sealed));
    }
    Ok(page.with(table.html()).into())
}

/// Asks for a reason and the password.
pub fn ask(v: &Visit<'_>, id: &str, kind: &str) -> Outcome {
    v.actor.require(Permission::Reveal)?;
    let w = v.words;
    let shown = devices::show(v.cx, &v.actor, id)?;
    let path = format!("{}/secrets/{}", marks::device_path(&shown.row.public_id), parts::segment(kind));
    let generation = v.typed("generation").map(str::to_owned).or_else(|| v.query("generation")).unwrap_or_default();
    let form = FormSpec::new(&path, &v.token)
        .hidden("generation", &generation)
        .field(Field::text("reason", w.deeds.reason).hint(w.deeds.reason_hint).value(v.typed("reason")).required())
        .field(Field::password("password", w.own_password, "current-password").hint(w.own_password_hint).required())
        .danger(w.reveal);
    let page = device::page(v, &shown, w.secret(kind)).with(section(w.deeds.what_it_does, [paragraph(w.reveal_does)]));
    Ok(page.with(form.html()).into())
}

/// Shows it, this once.
pub fn reveal(v: &Visit<'_>, id: &str, kind: &str, form: &Form) -> Outcome {
    let asked = Asked {
        kind: kind.to_owned(),
        generation: form.number("generation")?,
        reason: form.text("reason").to_owned(),
        password: form.secret("password"),
    };
    let found = revealing::reveal(v.cx, &v.actor, id, &asked)?;
    let w = v.words;
    let shown = devices::show(v.cx, &v.actor, id)?;
    let pairs = [
        (w.secret(&found.kind), code(found.value.expose())),
        (w.generation, number(found.generation)),
        (w.since, when(found.created_at, v.now)),
    ];
    let page =
        device::page(v, &shown, w.secret(kind)).with(section(w.shown_once, [facts(pairs), note(w.shown_once_hint)]));
    Ok(page.into())
}

/// Who asked to see what, and the second person's button.
pub fn requests(v: &Visit<'_>) -> Outcome {
    let w = v.words;
    let waiting = revealing::list_requests(v.cx, &v.actor)?;
    let line = |one: &Request| {
        let state = match (&one.row.approved_by, one.row.used_at) {
            (_, Some(_)) => badge(Mood::Quiet, w.request_used),
            (Some(by), None) => badge(Mood::Good, &format!("{} {}", w.agreed_by, story::person(by))),
            (None, None) => badge(Mood::Warn, w.request_waits),
        };
        let own = v.actor.name() == one.row.asked_by;
        let agree = if one.row.approved_by.is_none() && !own {
            button_link(&format!("/console/requests/{}", parts::segment(&one.row.id)), w.agree)
        } else {
            Html::default()
        };
        vec![
            text(&format!("{}: {}", one.device, w.secret_or_command(&one.row.kind))),
            text(story::person(&one.row.asked_by)),
            text(&one.row.reason),
            when(one.row.asked_at, v.now),
            state,
            agree,
        ]
    };
    let table = Table::new(w.nav_requests).columns([w.what, w.asked_by, w.deeds.reason, w.asked, w.standing, ""]);
    let table = table.rows(waiting.iter().map(line)).empty(w.no_requests);
    Ok(Page::new(Area::Requests, w.nav_requests).lead(w.requests_lead).with(table.html()).into())
}

pub fn ask_to_agree(v: &Visit<'_>, id: &str) -> Outcome {
    v.actor.require(Permission::Reveal)?;
    let w = v.words;
    let form = FormSpec::new(&format!("/console/requests/{}", parts::segment(id)), &v.token)
        .field(Field::password("password", w.own_password, "current-password").hint(w.own_password_hint).required())
        .button(w.agree);
    let page = Page::new(Area::Requests, w.agree).under("/console/requests", w.nav_requests);
    Ok(page.lead(w.agree_lead).with(form.html()).into())
}

pub fn agree(v: &Visit<'_>, id: &str, form: &Form) -> Outcome {
    let password = form.secret("password");
    revealing::approve(v.cx, &v.actor, id, password.as_ref().map(|p| p.expose().as_str()))?;
    Ok(super::Answer::To(String::from("/console/requests?said=done")))
}
