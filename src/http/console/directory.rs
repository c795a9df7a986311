//! The LDAP directory that people are taken over from: where it is, a try, and taking over now.

use super::form::Form;
use super::frame::{Area, Page};
use super::parts::{
    Field, FormSpec, Html, Table, code, facts, folded, list, note, number, or_dash, post_button, section, text, when_or,
};
use super::{Answer, Outcome, Visit};
use crate::base::secret::Secret;
use crate::service::actor::Permission;
use crate::service::directories::{self, Attributes, Wish};
use crate::service::{Error, Kind};
use crate::store::DirectoryRow;
use serde_json::Value;

const PATH: &str = "/console/directory";
/// People that a try names, and troubles of the last look.
const NAMED: usize = 25;

pub fn show(v: &Visit<'_>) -> Outcome {
    let (w, s) = (v.words, &v.words.serving);
    let row = match directories::show(v.cx, &v.actor) {
        Ok(row) => Some(row),
        Err(error) if error.kind == Kind::NotFound => None,
        Err(error) => return Err(error),
    };
    let mut page = Page::new(Area::Directory, s.nav_directory).lead(s.directory_lead);
    match &row {
        Some(row) => {
            if v.may(Permission::People) {
                page = page
                    .action(post_button("/console/directory/sync", &v.token, s.directory_sync, ""))
                    .action(post_button("/console/directory/test", &v.token, s.directory_test, ""));
            }
            page = page.with(section(w.about_title, [about(v, row)])).with(last(v, row));
        }
        None => page = page.with(note(s.directory_none)),
    }
    if v.may(Permission::Administer) {
        page = page.with(section(s.directory_set, [form(v, row.as_ref()).html()]));
        if row.is_some() {
            let forget = FormSpec::new("/console/directory/forget", &v.token)
                .field(Field::tick("sure", s.directory_forget_sure).required())
                .danger(s.directory_forget);
            page = page.with(folded(s.directory_forget, [forget.html()]));
        }
    }
    Ok(page.into())
}

fn about(v: &Visit<'_>, row: &DirectoryRow) -> Html {
    let s = &v.words.serving;
    facts([
        (s.directory_url, code(&row.url)),
        (s.directory_base, code(&row.base_dn)),
        (s.directory_filter, code(&row.filter)),
        (s.directory_bind, or_dash(row.bind_dn.as_deref())),
        (s.directory_last, when_or(row.last_sync_at, v.now, v.words.never)),
    ])
}

/// What the last look found, or why it failed.
fn last(v: &Visit<'_>, row: &DirectoryRow) -> Html {
    let s = &v.words.serving;
    let Some(told) = row.last_sync.as_deref().and_then(|told| serde_json::from_str::<Value>(told).ok()) else {
        return Html::default();
    };
    if let Some(why) = told["failed"].as_str() {
        return section(s.directory_last, [note(why)]);
    }
    let count = |key: &str| number(told[key].as_i64().unwrap_or_default());
    let mut parts = vec![facts([
        (s.directory_found, count("found")),
        (s.directory_added, count("added")),
        (s.directory_changed, count("changed")),
        (s.directory_vanished, count("vanished")),
    ])];
    let troubles: Vec<Html> =
        told["troubles"].as_array().into_iter().flatten().filter_map(Value::as_str).take(NAMED).map(text).collect();
    if !troubles.is_empty() {
        parts.extend([note(s.directory_troubles), list(troubles)]);
    }
    section(s.directory_last, parts)
}

fn attributes(row: &DirectoryRow) -> Attributes {
    serde_json::from_str(&row.attributes).unwrap_or_default()
}

fn form(v: &Visit<'_>, row: Option<&DirectoryRow>) -> FormSpec {
    let s = &v.words.serving;
    let attributes = row.map(attributes).unwrap_or_default();
    let now = |name: &str, there: Option<&str>| v.typed(name).map(str::to_owned).or_else(|| there.map(str::to_owned));
    let text = |name: &str, label: &str, hint: &str, there: Option<&str>| {
        Field::text(name, label).hint(hint).value(now(name, there).as_deref())
    };
    FormSpec::new(PATH, &v.token)
        .field(text("url", s.directory_url, s.directory_url_hint, row.map(|r| r.url.as_str())).required())
        .field(text("base_dn", s.directory_base, s.directory_base_hint, row.map(|r| r.base_dn.as_str())).required())
        .field(text("filter", s.directory_filter, s.directory_filter_hint, row.map(|r| r.filter.as_str())))
        .field(text("short_name", s.directory_short, s.directory_short_hint, Some(&attributes.short_name)).required())
        .field(text("bind_dn", s.directory_bind, s.directory_bind_hint, row.and_then(|r| r.bind_dn.as_deref())))
        .field(Field::password("password", s.directory_password, "off"))
        .field(Field::file("ca", s.directory_ca).hint(s.directory_ca_hint))
        .button(s.directory_set)
}

pub fn set(v: &Visit<'_>, form: &Form) -> Outcome {
    let there = directories::show(v.cx, &v.actor).ok();
    // Attributes that the form does not ask for stay: by the id of its record a person is known again.
    let held = there.as_ref().map(attributes).unwrap_or_default();
    let ca = form.file("ca").map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let wish = Wish {
        url: form.text("url").to_owned(),
        base_dn: form.text("base_dn").to_owned(),
        filter: form.some("filter"),
        bind_dn: form.some("bind_dn"),
        bind_password: form.secret("password").map(|typed| Secret::new(typed.expose().clone())),
        ca_pem: ca.or_else(|| there.and_then(|row| row.ca_pem)),
        attributes: Attributes { short_name: form.text("short_name").to_owned(), ..held },
    };
    directories::set(v.cx, &v.actor, &wish)?;
    Ok(Answer::To(format!("{PATH}?said=done")))
}

pub fn act(v: &Visit<'_>, verb: &str) -> Result<Answer, Error> {
    match verb {
        "test" => return test(v),
        "sync" => drop(directories::sync(v.cx, &v.actor)?),
        "forget" => directories::remove(v.cx, &v.actor)?,
        _ => return Err(super::nothing_here(v)),
    }
    Ok(Answer::To(format!("{PATH}?said=done")))
}

/// The people that it has; nobody is taken over.
fn test(v: &Visit<'_>) -> Outcome {
    let (w, s) = (v.words, &v.words.serving);
    let found = directories::test(v.cx, &v.actor)?;
    let count = i64::try_from(found.len()).unwrap_or(i64::MAX);
    let rows = found
        .iter()
        .take(NAMED)
        .map(|one| vec![text(&one.short_name), or_dash(one.long_name.as_deref()), or_dash(one.mail.as_deref())]);
    let table = Table::new(s.directory_found).columns([w.short_name, w.full_name, w.mail]).rows(rows).empty(w.nobody);
    let page = Page::new(Area::Directory, s.directory_test).under(PATH, s.nav_directory);
    let numbers = facts([(s.directory_found, number(count))]);
    Ok(page.with(section(s.directory_found, [numbers, table.html()])).into())
}
