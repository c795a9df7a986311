//! Webhooks: whom Cordon tells of what happens, what they were told, and a test.

use super::form::Form;
use super::frame::{Area, Page};
use super::parts::{
    self, Field, FormSpec, Html, Mood, Table, badge, code, exactly, facts, folded, link, main_link, named, note,
    number, post_button, row, section, text, when,
};
use super::{Answer, Outcome, Visit, story};
use crate::base::time::DAY;
use crate::service::actor::Permission;
use crate::service::events::Kind;
use crate::service::webhooks::{self, WebhookView, Wish};
use crate::store::HookDelivery;

const PATH: &str = "/console/webhooks";
const ROWS: usize = 25;

fn state(v: &Visit<'_>, one: &WebhookView) -> Html {
    if one.row.enabled { badge(Mood::Good, v.words.enabled) } else { badge(Mood::Quiet, v.words.door_words.disabled) }
}

pub fn list(v: &Visit<'_>) -> Outcome {
    let w = v.words;
    let all = webhooks::list(v.cx, &v.actor)?;
    let line = |one: &WebhookView| {
        let name = link(&format!("{PATH}/{}", parts::segment(&one.row.id)), &one.row.name);
        vec![named(name, &one.row.url), state(v, one), number(one.waiting), text(story::person(&one.row.created_by))]
    };
    let table = Table::new(w.nav_webhooks).columns([w.name, w.standing, w.waiting, w.made_by]);
    let table = table.rows(all.iter().map(line)).empty(w.no_webhooks);
    let page = Page::new(Area::Webhooks, w.nav_webhooks).action(main_link("/console/webhooks/new", w.new_webhook));
    Ok(page.lead(w.webhooks_lead).with(table.html()).into())
}

fn fields(v: &Visit<'_>, path: &str, now: Option<&WebhookView>) -> FormSpec {
    let w = v.words;
    let known = |field: &str, held: Option<&str>| v.typed(field).or(held).map(str::to_owned);
    let kinds = now.map(|n| n.row.kinds.join("\n"));
    let all = Kind::ALL.map(Kind::as_str).join(", ");
    let (name, url) = (known("name", now.map(|n| n.row.name.as_str())), known("url", now.map(|n| n.row.url.as_str())));
    FormSpec::new(path, &v.token)
        .field(Field::text("name", w.name).value(name.as_deref()).required())
        .field(Field::text("url", w.address).hint(w.webhook_address_hint).value(url.as_deref()).required())
        .field(
            Field::area("events", w.events)
                .hint(&format!("{} {all}", w.events_hint))
                .value(known("events", kinds.as_deref()).as_deref()),
        )
}

pub fn new(v: &Visit<'_>) -> Outcome {
    v.actor.require(Permission::Administer)?;
    let w = v.words;
    let form = fields(v, "/console/webhooks/new", None).button(w.add);
    Ok(Page::new(Area::Webhooks, w.new_webhook).under(PATH, w.nav_webhooks).with(form.html()).into())
}

fn wish(form: &Form) -> Wish {
    let events =
        form.text("events").split([',', '\n', ' ']).map(str::trim).filter(|e| !e.is_empty()).map(str::to_owned);
    Wish { name: form.some("name"), url: form.some("url"), kinds: Some(events.collect()), enabled: None }
}

/// Its secret is shown once.
fn with_secret(v: &Visit<'_>, name: &str, secret: &str) -> Page {
    let w = v.words;
    let shown = [code(secret).into_paragraph(), note(w.webhook_secret_hint)];
    Page::new(Area::Webhooks, name.to_owned()).under(PATH, w.nav_webhooks).with(section(w.shown_once, shown))
}

pub fn add(v: &Visit<'_>, form: &Form) -> Outcome {
    let (made, secret) = webhooks::create(v.cx, &v.actor, &Wish { enabled: Some(true), ..wish(form) })?;
    Ok(with_secret(v, &made.row.name, secret.expose()).into())
}

pub fn show(v: &Visit<'_>, id: &str) -> Outcome {
    let w = v.words;
    let one = webhooks::show(v.cx, &v.actor, id)?;
    let path = format!("{PATH}/{}", parts::segment(id));
    let before = v.query("before").and_then(|text| text.parse().ok());
    let mut log = webhooks::deliveries(v.cx, &v.actor, id, before, ROWS + 1)?;
    let more = log.len() > ROWS;
    log.truncate(ROWS);
    let next = log.last().filter(|_| more).map(|last| format!("{path}?before={}", last.seq));
    let mut page = Page::new(Area::Webhooks, one.row.name.clone()).under(PATH, w.nav_webhooks).mark(state(v, &one));
    if v.may(Permission::Administer) {
        page = page.action(post_button(&format!("{path}/test"), &v.token, w.test, ""));
        let turn = if one.row.enabled { ("off", w.switch_off) } else { ("on", w.switch_on) };
        page = page.action(post_button(&format!("{path}/{}", turn.0), &v.token, turn.1, ""));
    }
    let table = Table::new(w.webhook_log)
        .columns([w.told, w.standing, w.attempts, w.at, ""])
        .rows(log.iter().map(|d| told(v, &path, d)))
        .empty(w.webhook_log_empty)
        .page(before.map(|_: i64| path.clone()), w.to_first)
        .page(next, w.next);
    let about = facts([
        (w.address, code(&one.row.url)),
        (w.waiting, number(one.waiting)),
        (w.made_by, text(story::person(&one.row.created_by))),
    ]);
    page = page.with(section(w.about_title, [about])).with(section(w.webhook_log, [table.html()]));
    if v.may(Permission::Administer) {
        let change = fields(v, &path, Some(&one)).button(w.save);
        let rest = [
            post_button(&format!("{path}/rotate"), &v.token, w.new_secret, ""),
            post_button(&format!("{path}/remove"), &v.token, w.remove_it, ""),
        ];
        page = page.with(folded(w.change_it, [change.html(), row(rest).into_buttons()]));
    }
    Ok(page.into())
}

fn told(v: &Visit<'_>, path: &str, one: &HookDelivery) -> Vec<Html> {
    let w = v.words;
    let state = match (one.delivered_at, one.given_up_at) {
        (Some(_), _) => badge(Mood::Good, w.delivered),
        (_, Some(_)) => badge(Mood::Bad, w.given_up),
        _ if one.attempts > 0 => badge(Mood::Warn, w.tried_again),
        _ => badge(Mood::Busy, w.waiting),
    };
    let last = one.last_status.map(|s| s.to_string()).or_else(|| one.last_answer.clone()).unwrap_or_default();
    let last: String = last.chars().take(120).collect();
    let again = if v.may(Permission::Administer) && one.given_up_at.is_some() {
        post_button(
            &format!("{path}/again/{}", parts::segment(&webhooks::delivery_id(one))),
            &v.token,
            w.tell_again,
            &one.kind,
        )
    } else {
        Html::default()
    };
    let next = webhooks::next_attempt(one).map_or_else(|| exactly(one.at), |at| when(at, v.now));
    vec![code(&one.kind), named(state, &last), number(i64::from(one.attempts)), next, again]
}

pub fn act(v: &Visit<'_>, id: &str, verb: Option<&str>, form: &Form) -> Outcome {
    let (cx, actor) = (v.cx, &v.actor);
    let back = Ok(Answer::To(format!("{PATH}/{}?said=done", parts::segment(id))));
    let only = |enabled: bool| Wish { name: None, url: None, kinds: None, enabled: Some(enabled) };
    match verb {
        None => webhooks::change(cx, actor, id, &wish(form)).map(|_| ())?,
        Some("on") => webhooks::change(cx, actor, id, &only(true)).map(|_| ())?,
        Some("off") => webhooks::change(cx, actor, id, &only(false)).map(|_| ())?,
        Some("test") => webhooks::test(cx, actor, id).map(|_| ())?,
        Some("rotate") => {
            let (made, secret) = webhooks::rotate(cx, actor, id, DAY)?;
            return Ok(with_secret(v, &made.row.name, secret.expose()).into());
        }
        Some("remove") => {
            webhooks::remove(cx, actor, id)?;
            return Ok(Answer::To(format!("{PATH}?said=done")));
        }
        Some(_) => return Err(super::nothing_here(v)),
    }
    back
}

pub fn again(v: &Visit<'_>, id: &str, delivery: &str) -> Outcome {
    webhooks::redeliver(v.cx, &v.actor, id, delivery)?;
    Ok(Answer::To(format!("{PATH}/{}?said=done", parts::segment(id))))
}
