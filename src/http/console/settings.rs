//! What this place decided: its name and kind, how long things are kept, what logins wait for, what devices may do. And its push
//! certificate, with the way to a new one.

use super::form::Form;
use super::frame::{Area, Page};
use super::parts::{
    Field, FormSpec, Html, Mood, Table, badge, button_link, code, link, list, note, paragraph, row, section, text,
    verbatim, when,
};
use super::{Answer, Outcome, Visit};
use crate::base::texts::Text;
use crate::protocol::profile::RIGHTS;
use crate::service::actor::Permission;
use crate::service::login_policy::SharedIpadUsers;
use crate::service::school::School;
use crate::service::{
    Error, device_policy, enrollment_policy, login_policy, network_users, overview, purging, push_certificates,
    recovery, revealing, school,
};

const PATH: &str = "/console/settings";

pub fn show(v: &Visit<'_>) -> Outcome {
    v.actor.require(Permission::Administer)?;
    let w = v.words;
    let mut page = Page::new(Area::Settings, w.nav_settings);
    let now = school::find(v.cx)?;
    let kind = overview::place(v.cx)?.as_str();
    let place = FormSpec::new("/console/settings/place", &v.token)
        .field(
            Field::text("organization", w.organization)
                .value(v.typed("organization").or(now.organization.as_deref()))
                .required(),
        )
        .field(
            Field::choice("kind", w.kind_of_place, [("school", w.a_school), ("office", w.an_office)])
                .value(Some(kind))
                .hint(w.kind_hint),
        )
        .button(w.save);
    page = page.with(section(w.place, [place.html()]));

    let kept = purging::show(v.cx, &v.actor)?;
    let days = |name: &str, label: &str, n: i64| Field::number(name, label).value(Some(&n.to_string())).required();
    let retention = FormSpec::new("/console/settings/retention", &v.token)
        .field(days("results", w.keep_results, kept.results))
        .field(days("timeline", w.keep_timeline, kept.timeline))
        .field(days("webhook_log", w.keep_webhooks, kept.webhook_log))
        .button(w.save);
    page = page.with(section(w.retention, [note(w.retention_hint), retention.html()]));

    let logins = login_policy::show(v.cx, &v.actor)?;
    let known = logins.shared_ipad_users == SharedIpadUsers::Known;
    let users = network_users::policy(v.cx, &v.actor)?;
    let policy = FormSpec::new("/console/settings/logins", &v.token)
        .field(days("seconds", w.login_seconds, logins.login_seconds).hint(w.login_seconds_hint))
        .field(
            Field::choice("shared", w.shared_ipad, [("everyone", w.everyone), ("known", w.only_known)])
                .value(Some(if known { "known" } else { "everyone" })),
        )
        .field(Field::tick("further", w.serve_further).value(users.serve_further.then_some("yes")))
        .button(w.save);
    page = page.with(section(w.logins, [policy.html()]));

    let devices = device_policy::show(v.cx, &v.actor)?;
    let coming = FormSpec::new("/console/settings/devices", &v.token)
        .field(Field::tick("take_back", w.take_back).hint(w.take_back_hint).value(devices.take_back.then_some("yes")))
        .field(
            Field::tick("strangers", w.strangers)
                .hint(w.strangers_hint)
                .value(devices.unenroll_strangers.then_some("yes")),
        )
        .field(days("expired_days", w.expired_days, devices.expired_days))
        .field(days("renew_at_percent", w.renew_at, devices.renew_at_percent))
        .field(days("renew_spread_days", w.renew_spread, devices.renew_spread_days))
        .button(w.save);
    page = page.with(section(w.coming_and_going, [coming.html()]));

    let enrolment = enrollment_policy::find(v.cx)?;
    let mut rights = FormSpec::new("/console/settings/rights", &v.token);
    for one in RIGHTS {
        let granted = enrolment.access_rights.bits() & one.bit != 0;
        rights = rights.field(Field::tick(one.name, one.words).value(granted.then_some("yes")));
    }
    page = page.with(section(w.rights, [note(w.rights_hint), rights.button(w.save).html()]));

    let rule = FormSpec::new("/console/settings/two-person", &v.token)
        .field(Field::choice("reveal", w.rule_reveal, [("", w.leave), ("yes", w.yes), ("no", w.no)]))
        .field(Field::choice("clear", w.rule_clear, [("", w.leave), ("yes", w.yes), ("no", w.no)]))
        .field(Field::password("password", w.own_password, "current-password").required())
        .button(w.save);
    page = page.with(section(w.two_person, [note(w.two_person_hint), rule.html()]));

    let made = recovery::find_made_at(v.cx)?;
    let made =
        made.map_or_else(|| badge(Mood::Warn, w.no_recovery_code), |at| row([text(w.recovery_made), when(at, v.now)]));
    let new = FormSpec::new("/console/settings/recovery", &v.token)
        .field(Field::password("password", w.own_password, "current-password").required())
        .button(w.new_recovery_code);
    page = page.with(section(w.recovery, [made.into_paragraph(), note(w.recovery_hint), new.html()]));
    Ok(page.into())
}

/// Saves one part of it.
pub fn save(v: &Visit<'_>, which: &str, form: &Form) -> Outcome {
    let (cx, actor) = (v.cx, &v.actor);
    match which {
        "place" => {
            school::set_up(cx, actor, &School { organization: form.some("organization"), hostname: None })?;
            let kind = if form.text("kind") == "office" { overview::Place::Office } else { overview::Place::School };
            if kind != overview::place(cx)? {
                overview::set_place(cx, actor, kind)?;
            }
        }
        "retention" => {
            let (results, timeline) = (form.number("results")?, form.number("timeline")?);
            purging::change(cx, actor, purging::Wish { results, timeline, webhook_log: form.number("webhook_log")? })?;
        }
        "logins" => {
            let shared =
                if form.text("shared") == "known" { SharedIpadUsers::Known } else { SharedIpadUsers::Everyone };
            login_policy::set(cx, actor, form.number("seconds")?, Some(shared))?;
            network_users::set_policy(cx, actor, None, Some(form.ticked("further")))?;
        }
        "devices" => {
            let change = device_policy::Change {
                unenroll_strangers: Some(form.ticked("strangers")),
                take_back: Some(form.ticked("take_back")),
                expired_days: form.number("expired_days")?,
                renew_at_percent: form.number("renew_at_percent")?,
                renew_spread_days: form.number("renew_spread_days")?,
            };
            device_policy::change(cx, actor, &change)?;
        }
        "rights" => {
            actor.require(Permission::Administer)?;
            let names = RIGHTS.iter().map(|one| one.name).filter(|name| form.ticked(name));
            let rights = enrollment_policy::rights_from_names(names)?;
            let change = enrollment_policy::Change { identity: None, access_rights: Some(rights) };
            enrollment_policy::change(cx, actor, &change)?;
        }
        "two-person" => {
            let said = |name: &str| form.get(name).map(|word| word == "yes");
            let password = form.secret("password");
            let rule = revealing::Rule { reveal: said("reveal"), clear_passcode: said("clear") };
            revealing::set_two_person(cx, actor, rule, password.as_ref().map(|p| p.expose().as_str()))?;
        }
        "recovery" => {
            let password = form.secret("password");
            let made = recovery::make(cx, actor, password.as_ref().map(|p| p.expose().as_str()))?;
            let w = v.words;
            let shown = [code(made.expose()).into_paragraph(), note(w.recovery_shown)];
            let page = Page::new(Area::Settings, w.recovery).under(PATH, w.nav_settings);
            return Ok(page.with(section(w.shown_once, shown)).into());
        }
        _ => return Err(super::nothing_here(v)),
    }
    Ok(Answer::To(format!("{PATH}?said=done")))
}

// ---- the push certificate

pub fn push(v: &Visit<'_>) -> Outcome {
    let w = v.words;
    let rows = push_certificates::list(v.cx, &v.actor)?;
    let line = |one: &crate::store::PushCertificateRow| {
        let state = match (&one.paused_why, one.chain_pem.is_empty()) {
            (_, true) => badge(Mood::Busy, w.push_words.push_requested),
            (Some(_), _) => badge(Mood::Bad, w.push_words.push_refused),
            (None, _) => {
                badge(Mood::Good, if one.current { w.push_words.push_current } else { w.push_words.push_other })
            }
        };
        vec![
            code(&one.topic),
            state,
            super::home::until(v, one.not_after),
            text(one.apple_account.as_deref().unwrap_or(w.not_known)),
        ]
    };
    let table = Table::new(w.nav_push).columns([w.push_words.topic, w.standing, w.ends, w.push_words.apple_account]);
    let mut page = Page::new(Area::Push, w.nav_push).lead(w.push_words.push_lead);
    page = page.with(table.rows(rows.iter().map(line)).empty(w.push_words.no_push).html());
    if v.may(Permission::Administer) {
        let steps = list([
            text(w.push_words.push_step_request),
            text(w.push_words.push_step_sign),
            text(w.push_words.push_step_import),
        ]);
        let request = FormSpec::new("/console/push/request", &v.token)
            .field(Field::text("email", w.mail).value(v.typed("email")))
            .button(w.push_words.make_request);
        let import = FormSpec::new("/console/push/import", &v.token)
            .field(Field::file("certificate", w.push_words.push_file).required())
            .field(Field::file("key", w.push_words.push_key).hint(w.push_words.push_key_hint))
            .field(
                Field::text("account", w.push_words.apple_account)
                    .hint(w.push_words.apple_account_hint)
                    .value(v.typed("account")),
            )
            .button(w.import);
        page = page
            .with(section(w.push_words.push_renew, [steps, request.html()]))
            .with(section(w.import, [import.html()]));
    }
    Ok(page.into())
}

pub fn request_push(v: &Visit<'_>, form: &Form) -> Outcome {
    let csr = push_certificates::request(v.cx, &v.actor, form.some("email").as_deref())?;
    let w = v.words;
    let page = Page::new(Area::Push, w.push_words.push_csr).under("/console/push", w.nav_push);
    let where_to = link("https://identity.apple.com/pushcert", "identity.apple.com/pushcert").into_paragraph();
    Ok(page
        .with(section(w.push_words.push_csr, [paragraph(w.push_words.push_csr_hint), where_to, verbatim(&csr)]))
        .into())
}

pub fn import_push(v: &Visit<'_>, form: &Form) -> Outcome {
    let pem = |name: &str| form.file(name).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let bad = || Error::invalid(Text::PushCertificateUnreadable { why: String::from("no file was chosen") });
    let certificate = pem("certificate").ok_or_else(bad)?;
    let (key, account) = (pem("key"), form.some("account"));
    let made = push_certificates::import(v.cx, &v.actor, &certificate, key.as_deref(), false, account.as_deref())?;
    if let Some(sender) = v.world.sender {
        push_certificates::load(v.cx, sender)?;
        v.cx.ring_pusher();
    }
    if made.warnings.is_empty() {
        return Ok(Answer::To(String::from("/console/push?said=done")));
    }
    let w = v.words;
    let warnings: Vec<Html> = made.warnings.iter().map(|words| paragraph(words)).collect();
    let page = Page::new(Area::Push, w.push_words.imported).under("/console/push", w.nav_push);
    Ok(page.with(section(w.worth_knowing, warnings)).with(button_link("/console/push", w.nav_push)).into())
}
