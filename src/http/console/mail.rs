//! E-mail: which server takes letters, whom they go to, a trial, and what people were told.

use super::form::Form;
use super::frame::{Area, Page};
use super::parts::{
    Field, FormSpec, Html, Mood, Table, badge, code, exactly, facts, folded, list, named, note, number, paragraph,
    post_button, section, text, when_or,
};
use super::{Answer, Outcome, Visit, upkeep};
use crate::base::texts::Text;
use crate::service::actor::Permission;
use crate::service::events::Kind as Event;
use crate::service::mail::{self, MailView, Wish};
use crate::service::{Error, Kind};
use crate::store::MailDelivery;

const PATH: &str = "/console/mail";
const ROWS: usize = 25;

/// What is set; nothing is no fault here.
fn held(v: &Visit<'_>) -> Result<Option<MailView>, Error> {
    match mail::show(v.cx, &v.actor) {
        Ok(view) => Ok(Some(view)),
        Err(error) if error.kind == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub fn show(v: &Visit<'_>) -> Outcome {
    v.actor.require(Permission::Administer)?;
    let u = v.words.upkeep();
    let held = held(v)?;
    let mut page = page(v).lead(u.mail_lead);
    match &held {
        Some(view) => {
            page = page.action(post_button("/console/mail/test", &v.token, u.mail_test, "")).mark(state(v, view));
            let remove = post_button("/console/mail/remove", &v.token, u.mail_remove, "").into_buttons();
            page = page.with(section(u.mail_state, [about(v, view)])).with(log(v)?);
            page = page.with(folded(v.words.change_it, [fields(v, Some(view)).html(), remove]));
        }
        None => page = page.with(section(u.mail, [note(u.mail_none), fields(v, None).html()])),
    }
    Ok(page.into())
}

fn page(v: &Visit<'_>) -> Page {
    let u = v.words.upkeep();
    Page::new(Area::Upkeep, u.mail).under(upkeep::PATH, u.nav)
}

fn state(v: &Visit<'_>, view: &MailView) -> Html {
    let u = v.words.upkeep();
    match (&view.row.trouble, view.row.attempts) {
        _ if !view.row.enabled => badge(Mood::Quiet, u.mail_off),
        (Some(_), 1..) => badge(Mood::Bad, u.mail_troubled),
        (Some(_), 0) => badge(Mood::Warn, u.mail_refused),
        (None, _) => badge(Mood::Good, u.mail_well),
    }
}

fn about(v: &Visit<'_>, view: &MailView) -> Html {
    let (w, u, row) = (v.words, v.words.upkeep(), &view.row);
    let mut pairs = vec![
        (u.mail_host, named(code(&format!("{}:{}", row.host, row.port)), security(v, &row.security))),
        (u.mail_from, text(&row.sender)),
        (u.mail_to, text(&row.recipients.join(", "))),
        (w.events, text(&row.kinds.join(", "))),
        (w.waiting, number(view.waiting)),
        (u.mail_last, when_or(row.last_sent_at, v.now, w.never)),
    ];
    if let Some(trouble) = &row.trouble {
        pairs.push((u.mail_troubled, text(trouble)));
    }
    facts(pairs)
}

fn security(v: &Visit<'_>, word: &str) -> &'static str {
    let u = v.words.upkeep();
    match word {
        "tls" => u.mail_tls,
        "starttls" => u.mail_starttls,
        _ => u.mail_plain,
    }
}

fn fields(v: &Visit<'_>, now: Option<&MailView>) -> FormSpec {
    let (w, u) = (v.words, v.words.upkeep());
    let row = now.map(|now| &now.row);
    let known = |field: &str, held: Option<String>| v.typed(field).map(str::to_owned).or(held);
    let choices = ["tls", "starttls", "plain"].map(|word| (word, security(v, word)));
    let text =
        |field: &str, label: &str, held: Option<String>| Field::text(field, label).value(known(field, held).as_deref());
    let enabled = row.is_none_or(|row| row.enabled);
    let all = Event::ALL.map(Event::as_str).join(", ");
    FormSpec::new(PATH, &v.token)
        .field(text("host", u.mail_host, row.map(|r| r.host.clone())).hint(u.mail_host_hint).required())
        .field(
            Field::choice("security", u.mail_security, choices)
                .value(known("security", row.map(|r| r.security.clone())).as_deref()),
        )
        .field(
            Field::number("port", u.mail_port)
                .hint(u.mail_port_hint)
                .value(known("port", row.map(|r| r.port.to_string())).as_deref()),
        )
        .field(text("username", u.mail_user, row.and_then(|r| r.username.clone())).hint(u.mail_user_hint))
        .field(Field::password("password", u.mail_password, "off").hint(u.mail_password_hint))
        .field(text("from", u.mail_from, row.map(|r| r.sender.clone())).required())
        .field(
            Field::area("to", u.mail_to)
                .hint(u.mail_to_hint)
                .value(known("to", row.map(|r| r.recipients.join("\n"))).as_deref())
                .required(),
        )
        .field(
            Field::area("events", w.events)
                .hint(&format!("{} {all}", u.mail_events_hint))
                .value(known("events", row.map(|r| r.kinds.join("\n"))).as_deref()),
        )
        .field(
            Field::area("ca", u.mail_ca)
                .hint(u.mail_ca_hint)
                .value(known("ca", row.and_then(|r| r.ca_pem.clone())).as_deref()),
        )
        .field(Field::tick("enabled", u.mail_on_tick).value(v.ticked("enabled", enabled)))
        .button(w.save)
}

fn log(v: &Visit<'_>) -> Result<Html, Error> {
    let (w, u) = (v.words, v.words.upkeep());
    let before = v.query("before").and_then(|text| text.parse().ok());
    let mut rows = mail::log(v.cx, &v.actor, before, ROWS + 1)?;
    let more = rows.len() > ROWS;
    rows.truncate(ROWS);
    let next = rows.last().filter(|_| more).map(|last| format!("{PATH}?before={}", last.seq));
    let line = |one: &MailDelivery| {
        let state = match (one.sent_at, one.given_up_at) {
            (Some(_), _) => badge(Mood::Good, u.mail_sent),
            (_, Some(_)) => badge(Mood::Bad, w.given_up),
            _ => badge(Mood::Busy, w.waiting),
        };
        vec![code(&one.kind), state, exactly(one.at), when_or(one.sent_at, v.now, w.never)]
    };
    let table = Table::new(u.mail_log)
        .columns([w.told, w.standing, w.at, u.mail_sent])
        .rows(rows.iter().map(line))
        .empty(u.mail_log_empty)
        .page(before.map(|_: i64| String::from(PATH)), w.to_first)
        .page(next, w.next);
    Ok(section(u.mail_log, [table.html()]))
}

pub fn set(v: &Visit<'_>, form: &Form) -> Outcome {
    let words = |name: &str| -> Vec<String> {
        let each = form.text(name).split([',', '\n', ' ', '\r']).map(str::trim).filter(|one| !one.is_empty());
        each.map(str::to_owned).collect()
    };
    let bad = || {
        let (key, why) = (String::from("port"), String::from("is a number from 1 to 65535"));
        Error::invalid(Text::BadArgument { key, why })
    };
    let port = form.number("port")?.map(|port| u16::try_from(port).map_err(|_| bad())).transpose()?;
    let wish = Wish {
        host: form.text("host").to_owned(),
        port,
        security: form.some("security"),
        username: form.some("username"),
        password: form.secret("password"),
        ca_pem: form.some("ca"),
        from: form.text("from").to_owned(),
        to: words("to"),
        kinds: words("events"),
        enabled: Some(form.ticked("enabled")),
    };
    mail::set(v.cx, &v.actor, &wish)?;
    Ok(Answer::To(format!("{PATH}?said=done")))
}

pub fn act(v: &Visit<'_>, verb: &str) -> Outcome {
    let u = v.words.upkeep();
    match verb {
        "test" => {
            let (taken, to) = mail::test(v.cx, &v.actor)?;
            let mut parts = vec![
                paragraph(u.mail_taken),
                facts([(u.mail_to, text(&to.join(", "))), (v.words.told, code(&taken.answer))]),
            ];
            if !taken.refused.is_empty() {
                let each = taken.refused.iter().map(|(one, why)| text(&format!("{one}: {why}")));
                parts.extend([badge(Mood::Warn, u.mail_refused).into_paragraph(), list(each)]);
            }
            Ok(page(v).under(PATH, u.mail).with(section(u.mail_test, parts)).into())
        }
        "remove" => {
            mail::remove(v.cx, &v.actor)?;
            Ok(Answer::To(format!("{PATH}?said=done")))
        }
        _ => Err(super::nothing_here(v)),
    }
}
