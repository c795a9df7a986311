//! People who log in, and scripts: admins with their roles, tokens, and one's own account with password, authenticator app and sessions.

use super::form::Form;
use super::frame::{Area, Page};
use super::parts::{
    self, Field, FormSpec, Html, Mood, Table, badge, code, drawn, link, main_link, note, post_button, row, section,
    text, when, when_or,
};
use super::{Answer, Outcome, Visit};
use crate::base::texts::Text;
use crate::http::look::qr;
use crate::service::actor::{Actor, Permission};
use crate::service::people::{self, Change};
use crate::service::{Error, login, tokens};
use crate::store::{AdminRow, TokenRow};

const PATH: &str = "/console/admins";

/// Value and words of every role that this place has.
fn roles(v: &Visit<'_>) -> Vec<(&'static str, &'static str)> {
    let w = v.words;
    let mut all = vec![
        ("owner", w.role_owner),
        ("admin", w.role_admin),
        ("helpdesk", w.role_helpdesk),
        ("auditor", w.role_auditor),
    ];
    if !v.is_office() {
        all.insert(3, ("teacher", w.role_teacher));
    }
    all
}

pub fn list(v: &Visit<'_>) -> Outcome {
    let w = v.words;
    let line = |one: &AdminRow| {
        let (_, waits) = login::standing(v.cx, &one.name);
        let mut state = vec![if one.disabled_at.is_some() {
            badge(Mood::Quiet, w.door_words.disabled)
        } else {
            badge(Mood::Good, w.door_words.may_log_in)
        }];
        state.extend(one.totp_confirmed_at.map(|_| badge(Mood::Busy, w.door_words.with_app)));
        state.extend(waits.map(|_| badge(Mood::Warn, w.door_words.locked_out)));
        vec![
            link(&format!("{PATH}/{}", parts::segment(&one.name)), &one.name),
            text(w.role(one.role.as_str())),
            row(state),
            when_or(one.last_login_at, v.now, w.never),
        ]
    };
    let admins = people::list(v.cx, &v.actor)?;
    let table = Table::new(w.nav_admins)
        .columns([w.name, w.door_words.role, w.standing, w.door_words.last_login])
        .rows(admins.iter().map(line));
    let token = |one: &TokenRow| {
        let over = one.revoked_at.is_some() || one.expires_at.is_some_and(|at| at < v.now);
        let state = if over {
            badge(Mood::Quiet, w.door_words.token_over)
        } else {
            badge(Mood::Good, w.door_words.token_valid)
        };
        let end = if over {
            Html::default()
        } else {
            post_button(
                &format!("/console/tokens/{}/revoke", parts::segment(&one.id)),
                &v.token,
                w.door_words.revoke,
                &one.name,
            )
        };
        vec![
            text(&one.name),
            text(w.role(one.role.as_str())),
            state,
            when_or(one.last_used_at, v.now, w.never),
            one.expires_at.map_or_else(|| parts::quiet(w.never), |at| when(at, v.now)),
            end,
        ]
    };
    let scripts = tokens::list(v.cx, &v.actor)?;
    let columns = [w.name, w.door_words.role, w.standing, w.door_words.last_used, w.ends, ""];
    let scripts =
        Table::new(w.door_words.tokens).columns(columns).rows(scripts.iter().map(token)).empty(w.door_words.no_tokens);
    let page = Page::new(Area::Admins, w.nav_admins).action(main_link("/console/admins/new", w.door_words.new_admin));
    let page = page.action(parts::button_link("/console/tokens/new", w.door_words.new_token));
    Ok(page
        .with(table.html())
        .with(section(w.door_words.tokens, [note(w.door_words.tokens_lead), scripts.html()]))
        .into())
}

pub fn new(v: &Visit<'_>) -> Outcome {
    v.actor.require(Permission::Administer)?;
    let w = v.words;
    let form = FormSpec::new("/console/admins/new", &v.token)
        .field(Field::text("name", w.name).value(v.typed("name")).required())
        .field(
            Field::choice("role", w.door_words.role, roles(v))
                .value(v.typed("role").or(Some("admin")))
                .hint(w.door_words.roles_hint),
        )
        .field(Field::password("password", w.password, "new-password").hint(w.door_words.password_hint).required())
        .button(w.add);
    Ok(Page::new(Area::Admins, w.door_words.new_admin).under(PATH, w.nav_admins).with(form.html()).into())
}

pub fn add(v: &Visit<'_>, form: &Form) -> Outcome {
    let password = form.secret("password").unwrap_or_else(|| crate::base::secret::Secret::new(String::new()));
    people::create(v.cx, &v.actor, form.text("name"), form.text("role"), &password)?;
    Ok(Answer::To(format!("{PATH}?said=done")))
}

fn find(v: &Visit<'_>, name: &str) -> Result<AdminRow, Error> {
    let all = people::list(v.cx, &v.actor)?;
    let missing = || Error::not_found(Text::NoSuchAdmin { name: name.to_owned() });
    all.into_iter().find(|one| one.name.eq_ignore_ascii_case(name)).ok_or_else(missing)
}

pub fn show(v: &Visit<'_>, name: &str) -> Outcome {
    let w = v.words;
    let one = find(v, name)?;
    let path = format!("{PATH}/{}", parts::segment(&one.name));
    let (wrong, waits) = login::standing(v.cx, &one.name);
    let form = FormSpec::new(&path, &v.token)
        .field(
            Field::choice("role", w.door_words.role, roles(v))
                .value(Some(one.role.as_str()))
                .hint(w.door_words.roles_hint),
        )
        .field(
            Field::tick("disabled", w.door_words.disable)
                .hint(w.door_words.disable_hint)
                .value(one.disabled_at.map(|_| "yes")),
        )
        .field(
            Field::password("password", w.door_words.new_password, "new-password")
                .hint(w.door_words.new_password_for_hint),
        )
        .field(Field::password("current", w.own_password, "current-password").hint(w.door_words.only_for_password))
        .button(w.save);
    let mut page =
        Page::new(Area::Admins, one.name.clone()).under(PATH, w.nav_admins).mark(text(w.role(one.role.as_str())));
    if wrong > 0 || waits.is_some() {
        let words = text(&format!("{wrong} {}", w.door_words.wrong_passwords)).into_paragraph();
        page = page.with(section(
            w.door_words.locked_out,
            [words, post_button(&format!("{path}/unlock"), &v.token, w.door_words.unlock, "")],
        ));
    }
    Ok(page.with(form.html()).with(section(w.door_words.sessions, [sessions(v, &one.name)?])).into())
}

fn sessions(v: &Visit<'_>, name: &str) -> Result<Html, Error> {
    let w = v.words;
    let own = if let Actor::Admin { session, .. } = &v.actor { Some(*session) } else { None };
    let open = login::sessions(v.cx, &v.actor, name)?;
    let line = |one: &crate::store::OpenSession| {
        let end = if own == Some(one.id) {
            badge(Mood::Good, w.door_words.this_one)
        } else {
            let path = format!("{PATH}/{}/sessions/{}", parts::segment(name), one.id);
            post_button(&path, &v.token, w.door_words.end_it, &one.origin)
        };
        vec![text(&one.origin), when(one.created_at, v.now), when(one.last_used_at, v.now), end]
    };
    let table = Table::new(w.door_words.sessions).columns([w.door_words.from, w.since, w.door_words.last_used, ""]);
    Ok(table.rows(open.iter().map(line)).empty(w.door_words.no_sessions).html())
}

pub fn change(v: &Visit<'_>, name: &str, form: &Form) -> Outcome {
    let one = find(v, name)?;
    let wish = Change {
        role: form.some("role").filter(|role| role != one.role.as_str()),
        disabled: Some(form.ticked("disabled")).filter(|off| *off != one.disabled_at.is_some()),
        password: form.secret("password"),
        current_password: form.secret("current"),
    };
    people::change(v.cx, &v.actor, name, &wish)?;
    Ok(Answer::To(format!("{PATH}/{}?said=done", parts::segment(name))))
}

pub fn unlock(v: &Visit<'_>, name: &str) -> Outcome {
    login::unlock(v.cx, &v.actor, name, false)?;
    Ok(Answer::To(format!("{PATH}/{}?said=done", parts::segment(name))))
}

pub fn end_session(v: &Visit<'_>, name: &str, id: &str) -> Outcome {
    login::end_sessions(v.cx, &v.actor, name, Some(id))?;
    let own = matches!(&v.actor, Actor::Admin { name: me, .. } if me.eq_ignore_ascii_case(name));
    let back = if own { String::from("/console/account") } else { format!("{PATH}/{}", parts::segment(name)) };
    Ok(Answer::To(format!("{back}?said=done")))
}

pub fn new_token(v: &Visit<'_>) -> Outcome {
    v.actor.require(Permission::Administer)?;
    let w = v.words;
    let form = FormSpec::new("/console/tokens/new", &v.token)
        .field(Field::text("name", w.name).hint(w.door_words.token_name_hint).value(v.typed("name")).required())
        .field(Field::choice("role", w.door_words.role, roles(v)).value(v.typed("role").or(Some("auditor"))))
        .field(Field::text("expires", w.valid_for).hint(w.valid_for_hint).value(v.typed("expires").or(Some("90d"))))
        .button(w.make);
    Ok(Page::new(Area::Admins, w.door_words.new_token)
        .under(PATH, w.nav_admins)
        .lead(w.door_words.tokens_lead)
        .with(form.html())
        .into())
}

pub fn add_token(v: &Visit<'_>, form: &Form) -> Outcome {
    let w = v.words;
    let expires = form.some("expires");
    let (row, secret) = tokens::create(v.cx, &v.actor, form.text("name"), form.text("role"), expires.as_deref())?;
    let shown = [code(secret.expose()).into_paragraph(), note(w.shown_once_hint)];
    Ok(Page::new(Area::Admins, row.name).under(PATH, w.nav_admins).with(section(w.shown_once, shown)).into())
}

pub fn revoke_token(v: &Visit<'_>, id: &str) -> Outcome {
    tokens::revoke(v.cx, &v.actor, id)?;
    Ok(Answer::To(format!("{PATH}?said=done")))
}

// ---- one's own account

fn me(v: &Visit<'_>) -> Result<String, Error> {
    match &v.actor {
        Actor::Admin { name, .. } => Ok(name.clone()),
        _ => Err(Error::denied(Text::PersonNeeded)),
    }
}

pub fn account(v: &Visit<'_>) -> Outcome {
    let w = v.words;
    let name = me(v)?;
    let password = FormSpec::new("/console/account", &v.token)
        .field(Field::password("current", w.own_password, "current-password").required())
        .field(
            Field::password("password", w.door_words.new_password, "new-password")
                .hint(w.door_words.password_hint)
                .required(),
        )
        .button(w.door_words.change_password);
    let app = FormSpec::new("/console/account/app", &v.token)
        .field(Field::password("current", w.own_password, "current-password").required())
        .button(w.door_words.set_up_app);
    let off = FormSpec::new("/console/account/app/remove", &v.token)
        .field(Field::password("current", w.own_password, "current-password").required())
        .button(w.door_words.remove_app);
    let page = Page::new(Area::Other, w.door_words.account).mark(text(&name));
    let page =
        page.with(section(w.door_words.change_password, [note(w.door_words.change_password_hint), password.html()]));
    let page = page
        .with(section(w.door_words.app, [note(w.door_words.app_hint), app.html()]))
        .with(parts::folded(w.door_words.remove_app, [off.html()]));
    Ok(page.with(section(w.door_words.sessions, [sessions(v, &name)?])).into())
}

pub fn change_own(v: &Visit<'_>, form: &Form) -> Outcome {
    let wish =
        Change { password: form.secret("password"), current_password: form.secret("current"), ..Change::default() };
    people::change(v.cx, &v.actor, &me(v)?, &wish)?;
    // The password ended every session, this one too.
    Ok(Answer::To(String::from("/console/login")))
}

pub fn begin_app(v: &Visit<'_>, form: &Form) -> Outcome {
    let w = v.words;
    let current = form.secret("current");
    let begun = people::enrol_totp(v.cx, &v.actor, &me(v)?, current.as_ref().map(|p| p.expose().as_str()))?;
    let square = qr::svg(begun.uri.expose(), w.door_words.app_square).map(drawn).unwrap_or_default();
    let confirm = FormSpec::new("/console/account/app/confirm", &v.token)
        .field(Field::text("code", w.code).hint(w.door_words.app_confirm_hint).required())
        .button(w.door_words.confirm);
    let typed = row([text(w.door_words.app_typed), code(begun.secret.expose())]).into_paragraph();
    let page = Page::new(Area::Other, w.door_words.app).under("/console/account", w.door_words.account);
    Ok(page.with(section(w.door_words.app_scan, [parts::scanned(square, [typed])])).with(confirm.html()).into())
}

pub fn confirm_app(v: &Visit<'_>, form: &Form) -> Outcome {
    people::confirm_totp(v.cx, &v.actor, &me(v)?, form.text("code"))?;
    Ok(Answer::To(String::from("/console/account?said=done")))
}

/// The code did not fit: once more.
pub fn confirm_again(v: &Visit<'_>) -> Outcome {
    let w = v.words;
    let confirm = FormSpec::new("/console/account/app/confirm", &v.token)
        .field(Field::text("code", w.code).hint(w.door_words.app_confirm_hint).required())
        .button(w.door_words.confirm);
    Ok(Page::new(Area::Other, w.door_words.app)
        .under("/console/account", w.door_words.account)
        .with(confirm.html())
        .into())
}

pub fn remove_app(v: &Visit<'_>, form: &Form) -> Outcome {
    let current = form.secret("current");
    people::remove_totp(v.cx, &v.actor, &me(v)?, current.as_ref().map(|p| p.expose().as_str()))?;
    Ok(Answer::To(String::from("/console/account?said=done")))
}
