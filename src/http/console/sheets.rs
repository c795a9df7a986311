//! Sheets to print of one device: its secrets for a sealed envelope, and what the police need of a stolen one. Each asks for a reason first.

use super::form::Form;
use super::parts::{Field, FormSpec, paragraph, section};
use super::{Answer, Outcome, Visit, device, marks};
use crate::http::look::paper;
use crate::service::actor::Permission;
use crate::service::{devices, sheets};

pub fn ask_sealed(v: &Visit<'_>, id: &str) -> Outcome {
    let (w, s) = (v.words, &v.words.serving);
    ask(v, id, "sheet", s.sheet_sealed, s.sheet_sealed_does, |form| {
        form.field(Field::password("password", w.own_password, "current-password").hint(w.own_password_hint).required())
            .danger(s.sheet_print)
    })
}

pub fn ask_theft(v: &Visit<'_>, id: &str) -> Outcome {
    let s = &v.words.serving;
    ask(v, id, "theft", s.sheet_theft, s.sheet_theft_does, |form| form.button(s.sheet_print))
}

fn ask(
    v: &Visit<'_>,
    id: &str,
    verb: &str,
    title: &str,
    does: &str,
    more: impl FnOnce(FormSpec) -> FormSpec,
) -> Outcome {
    v.actor.require(Permission::Reveal)?;
    let d = &v.words.deeds;
    let shown = devices::show(v.cx, &v.actor, id)?;
    let path = format!("{}/{verb}", marks::device_path(&shown.row.public_id));
    let reason = Field::text("reason", d.reason).hint(d.reason_hint).value(v.typed("reason")).required();
    let form = more(FormSpec::new(&path, &v.token).field(reason));
    let page = device::page(v, &shown, title).with(section(d.what_it_does, [paragraph(does)]));
    Ok(page.with(form.html()).into())
}

pub fn sealed(v: &Visit<'_>, id: &str, form: &Form) -> Outcome {
    let password = form.secret("password");
    let sheet = sheets::secrets(v.cx, &v.actor, id, form.text("reason"), password.as_ref())?;
    Ok(Answer::File(paper::secrets(&sheet).with_header("cache-control", "no-store")))
}

pub fn theft(v: &Visit<'_>, id: &str, form: &Form) -> Outcome {
    let sheet = sheets::theft(v.cx, &v.actor, id, form.text("reason"))?;
    Ok(Answer::File(paper::theft(&sheet).with_header("cache-control", "no-store")))
}
