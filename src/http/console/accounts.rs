//! Accounts on devices: all of them, one of them, and the form that makes one by Apple's keys for its kind.

use super::form::Form;
use super::frame::{Area, Page};
use super::parts::{
    self, Column, Field, FormSpec, Html, Table, code, facts, folded, link, list, main_link, named, note, number,
    or_dash, paragraph, row, section, text, verbatim, when, when_or,
};
use super::{Answer, Outcome, Visit, schema_form, story};
use crate::protocol::catalogue::{self, KeySpec};
use crate::protocol::profile::AccountKind;
use crate::service::accounts::{self, AccountView, Wish};
use crate::service::actor::Permission;
use crate::service::assigning::Whom;
use crate::store::Credential;

const PATH: &str = "/console/accounts";
const ROWS: usize = 50;

fn path(id: &str) -> String {
    format!("{PATH}/{}", parts::segment(id))
}

fn kind_words(v: &Visit<'_>, kind: &str) -> &'static str {
    let p = &v.words.provided;
    match AccountKind::parse(kind) {
        Some(AccountKind::Mail) => p.kind_mail,
        Some(AccountKind::Exchange) => p.kind_exchange,
        Some(AccountKind::ExchangeMac) => p.kind_exchange_mac,
        Some(AccountKind::CalDav) => p.kind_caldav,
        Some(AccountKind::CardDav) => p.kind_carddav,
        Some(AccountKind::Ldap) => p.kind_ldap,
        Some(AccountKind::Wifi) => p.kind_wifi,
        Some(AccountKind::Vpn) => p.kind_vpn,
        None => p.account,
    }
}

fn holder(v: &Visit<'_>, one: &AccountView) -> Html {
    let p = &v.words.provided;
    match &one.holder {
        None => text(p.holder_gone),
        Some(holder) => match (&holder.device, &holder.name) {
            (Some(device), _) => named(link(&super::marks::device_path(device), device), v.words.target("device")),
            (None, name) => named(text(name.as_deref().unwrap_or_default()), v.words.target(holder.row.target.kind())),
        },
    }
}

fn proof(v: &Visit<'_>, one: &AccountView) -> &'static str {
    let p = &v.words.provided;
    match one.row.credential {
        Credential::Ask => p.by_ask,
        Credential::Password => p.by_password,
        Credential::Certificate => p.by_certificate,
    }
}

pub fn all(v: &Visit<'_>) -> Outcome {
    let (w, p) = (v.words, &v.words.provided);
    let after = v.query("after").and_then(|text| text.parse().ok());
    let mut found = accounts::list(v.cx, &v.actor, after.unwrap_or(0), None, ROWS + 1)?;
    let more = found.len() > ROWS;
    found.truncate(ROWS);
    let next = found.last().filter(|_| more).map(|last| format!("{PATH}?after={}", last.row.id));
    let line = |one: &AccountView| {
        vec![
            named(link(&path(&one.row.public_id), &one.profile.name), kind_words(v, &one.row.kind)),
            holder(v, one),
            text(proof(v, one)),
            when_or(one.row.not_after, v.now, "–"),
            number(one.installed),
            number(one.waiting),
        ]
    };
    let table = Table::new(p.nav_accounts)
        .columns([p.account, p.holder, p.proof, p.ends])
        .column(Column::number(w.installed))
        .column(Column::number(w.waiting))
        .rows(found.iter().map(line))
        .empty(p.accounts_none)
        .page(after.map(|_: i64| PATH.to_owned()), w.to_first)
        .page(next, w.next);
    let mut page = Page::new(Area::Accounts, p.nav_accounts).lead(p.accounts_lead);
    if v.may(Permission::Enroll) {
        page = page.action(main_link("/console/accounts/new", p.new_account));
    }
    let own = row([text(p.self_service), link("/accounts", &format!("{}/accounts", v.cx.urls().people))]);
    Ok(page.with(table.html()).with(own).into())
}

/// What kind?
pub fn choose(v: &Visit<'_>) -> Outcome {
    v.actor.require(Permission::Enroll)?;
    let p = &v.words.provided;
    let kinds =
        AccountKind::ALL.map(|kind| link(&format!("{PATH}/new/{}", kind.as_str()), kind_words(v, kind.as_str())));
    let page = Page::new(Area::Accounts, p.new_account).under(PATH, p.nav_accounts);
    Ok(page.with(section(p.choose_kind, [list(kinds)])).into())
}

fn parse(v: &Visit<'_>, kind: &str) -> Result<AccountKind, crate::service::Error> {
    AccountKind::parse(kind).ok_or_else(|| super::nothing_here(v))
}

/// Apple's keys of a kind, each once, without those that hold a secret.
fn keys(kind: AccountKind) -> Vec<KeySpec> {
    let mut all: Vec<KeySpec> = Vec::new();
    for key in catalogue::find_payloads(kind.payload_type()).into_iter().flat_map(|spec| spec.keys) {
        if !all.iter().any(|known| known.key == key.key) && !catalogue::is_password(key.key) {
            all.push(key);
        }
    }
    all
}

pub fn new(v: &Visit<'_>, kind: &str) -> Outcome {
    v.actor.require(Permission::Enroll)?;
    let (w, p) = (v.words, &v.words.provided);
    let kind = parse(v, kind)?;
    let mut proofs = vec![("ask", p.by_ask), ("password", p.by_password)];
    if kind.takes_certificate() {
        proofs.push(("certificate", p.by_certificate));
    }
    let form = FormSpec::new(&format!("{PATH}/new/{}", kind.as_str()), &v.token)
        .field(Field::text("cordon_name", w.name).value(v.typed("cordon_name")).required())
        .field(
            Field::choice("cordon_holder", p.holder, [("user", p.of_person), ("device", p.of_device)])
                .value(v.typed("cordon_holder")),
        )
        .field(Field::text("cordon_who", p.holder_name).hint(p.holder_hint).value(v.typed("cordon_who")).required())
        .field(Field::choice("cordon_proof", p.proof, proofs).value(v.typed("cordon_proof")))
        .field(Field::password("cordon_password", w.password, "off").hint(p.password_hint));
    let form = schema_form::fields(v, form, &keys(kind)).button(p.new_account);
    let page = Page::new(Area::Accounts, kind_words(v, kind.as_str()))
        .under(PATH, p.nav_accounts)
        .under("/console/accounts/new", p.new_account);
    Ok(page.with(note(w.schema.variables_hint)).with(form.html()).into())
}

pub fn add(v: &Visit<'_>, kind: &str, form: &Form) -> Outcome {
    v.actor.require(Permission::Enroll)?;
    let kind = parse(v, kind)?;
    let settings = schema_form::read(form, &keys(kind))?;
    let who = form.text("cordon_who").to_owned();
    let holder = if form.text("cordon_holder") == "device" { Whom::Device(who) } else { Whom::User(who) };
    let chosen = form.text("cordon_proof");
    let credential = Credential::ALL.into_iter().find(|one| one.as_str() == chosen).unwrap_or(Credential::Ask);
    // What was typed for another choice is not taken.
    let password = form.secret("cordon_password").filter(|_| credential == Credential::Password);
    let wish = Wish { kind, name: form.text("cordon_name").to_owned(), holder, settings, credential, password };
    let made = accounts::add(v.cx, &v.actor, wish)?;
    Ok(Answer::To(format!("{}?said=done", path(&made.row.public_id))))
}

pub fn show(v: &Visit<'_>, id: &str) -> Outcome {
    let (w, p) = (v.words, &v.words.provided);
    let one = accounts::show(v.cx, &v.actor, id)?;
    let here = path(&one.row.public_id);
    let state = if one.row.sealed_credential.is_some() { p.kept } else { p.not_kept };
    let secret = if one.row.credential == Credential::Ask { or_dash(None) } else { text(state) };
    let about = facts([
        (p.kind, text(kind_words(v, &one.row.kind))),
        (p.holder, holder(v, &one)),
        (p.proof, text(proof(v, &one))),
        (w.password, secret),
        (p.ends, when_or(one.row.not_after, v.now, "–")),
        (w.version, number(one.profile.version)),
        (p.profile, code(&one.profile.identifier)),
        (w.installed, number(one.installed)),
        (w.waiting, number(one.waiting)),
        (w.changed_by, text(story::person(&one.row.created_by))),
        (w.at, when(one.row.created_at, v.now)),
    ]);
    let settings: serde_json::Value = serde_json::from_str(&one.row.settings).unwrap_or_default();
    let settings = serde_json::to_string_pretty(&settings).unwrap_or_default();
    let mut page = Page::new(Area::Accounts, one.profile.name.clone())
        .under(PATH, p.nav_accounts)
        .with(section(w.about_title, [about]))
        .with(section(p.settings, [verbatim(&settings)]));
    if v.may(Permission::Command) {
        if one.row.credential != Credential::Certificate {
            let form = FormSpec::new(&format!("{here}/password"), &v.token)
                .field(Field::password("password", p.new_password, "off").required())
                .button(p.put_password);
            page = page.with(section(p.new_password, [paragraph(p.new_password_does), form.html()]));
        }
        let form = FormSpec::new(&format!("{here}/repair"), &v.token).button(p.repair);
        page = page.with(folded(p.repair, [note(p.repair_does), form.html()]));
    }
    if v.may(Permission::Enroll) {
        let form = FormSpec::new(&format!("{here}/remove"), &v.token)
            .field(Field::tick("sure", p.remove_account_sure).required())
            .danger(w.remove_it);
        page = page.with(folded(w.remove_it, [note(p.remove_account_does), form.html()]));
    }
    Ok(page.into())
}

pub fn act(v: &Visit<'_>, id: &str, verb: &str, form: &Form) -> Outcome {
    match verb {
        "password" => {
            let password = form.secret("password").unwrap_or_else(|| crate::base::secret::Secret::new(String::new()));
            drop(accounts::set_password(v.cx, &v.actor, id, password)?);
        }
        "repair" => drop(accounts::repair(v.cx, &v.actor, id, None)?),
        "remove" => {
            accounts::remove(v.cx, &v.actor, id)?;
            return Ok(Answer::To(format!("{PATH}?said=done")));
        }
        _ => return Err(super::nothing_here(v)),
    }
    Ok(Answer::To(format!("{}?said=done", path(id))))
}
