//! Ways in: the enrolment page with its QR code, invitations one by one or as a sheet for a class, and a profile to carry.

use super::form::Form;
use super::frame::{Area, Page};
use super::parts::{
    self, Field, FormSpec, Html, Mood, Table, badge, code, day, drawn, link, main_link, named, note, paragraph,
    post_button, row, section, text, when,
};
use super::{Answer, Outcome, Visit, marks};
use crate::base::texts::Text;
use crate::http::look::qr;
use crate::http::look::sheet::{Ticket, sheet};
use crate::http::message::Response;
use crate::protocol::profile::CONFIG_TYPE;
use crate::service::actor::Permission;
use crate::service::enrolling::{self, Wish};
use crate::service::inviting::{self, MAX_AT_ONCE, Made, Standing, View, Whom};
use crate::service::{Error, doorway, school};

const PATH: &str = "/console/enrolment";
const ROWS: usize = 50;

pub fn show(v: &Visit<'_>) -> Outcome {
    let w = v.words;
    let class = v.query("class");
    let before = v.query("before").and_then(|text| text.parse().ok());
    let rows = inviting::list(v.cx, &v.actor, class.as_deref(), before, ROWS)?;
    let address = format!("{}/enroll", v.cx.urls().people);
    let mut page = Page::new(Area::Enrolment, w.nav_enrolment);
    if v.may(Permission::Invite) {
        page = page.action(main_link("/console/enrolment/invite", w.invite));
    }
    if v.may(Permission::Enroll) {
        page = page.action(parts::button_link("/console/enrolment/profile", w.carry_profile));
    }
    let square = qr::svg(&address, w.door_square).map(drawn).unwrap_or_default();
    let mut door = vec![link(&address, &address).into_paragraph(), note(w.door_hint)];
    if let Ok(found) = doorway::show(v.cx, &v.actor) {
        door.push(paragraph(found.way.why));
    }
    page = page.with(section(w.door, [parts::scanned(square, door)]));
    let here = marks::with_query(v, PATH, &["class"], &[]);
    let joint = if here.contains('?') { '&' } else { '?' };
    let next =
        (rows.len() == ROWS).then(|| rows.last().map(|last| format!("{here}{joint}before={}", last.row.id))).flatten();
    let group = if v.is_office() { w.team } else { w.class };
    let table = Table::new(w.invitations)
        .columns([w.invited, group, w.standing, w.uses, w.ends, ""])
        .rows(rows.iter().map(|one| line(v, one)))
        .empty(w.no_invitations)
        .page(before.map(|_: i64| here), w.to_first)
        .page(next, w.next);
    Ok(page.with(section(w.invitations, [table.html()])).into())
}

fn line(v: &Visit<'_>, one: &View) -> Vec<Html> {
    let w = v.words;
    let (mood, words) = match one.standing {
        Standing::Open => (Mood::Good, w.invitation_open),
        Standing::Used => (Mood::Quiet, w.invitation_used),
        Standing::Expired => (Mood::Quiet, w.invitation_expired),
        Standing::Revoked => (Mood::Quiet, w.invitation_revoked),
    };
    let devices: Vec<Html> = one
        .devices
        .iter()
        .map(|d| link(&marks::device_path(&d.device), d.serial.as_deref().unwrap_or(&d.device)))
        .collect();
    let end = if one.standing == Standing::Open && v.may(Permission::Invite) {
        let path = format!("{PATH}/invitations/{}/revoke", parts::segment(&one.row.public_id));
        post_button(&path, &v.token, w.door_words.revoke, &one.row.recipient)
    } else {
        Html::default()
    };
    vec![
        named(text(&one.row.recipient), &format!("{} {}", w.made_by, super::story::person(&one.row.created_by))),
        text(one.row.class.as_deref().unwrap_or_default()),
        badge(mood, words),
        row([vec![text(&format!("{} / {}", one.row.used, one.row.uses))], devices].concat()),
        when(one.row.expires_at, v.now),
        end,
    ]
}

pub fn invite(v: &Visit<'_>) -> Outcome {
    v.actor.require(Permission::Invite)?;
    let w = v.words;
    let group = if v.is_office() { w.team } else { w.class };
    let form = FormSpec::new("/console/enrolment/invite", &v.token)
        .field(Field::choice("whom", w.invite_whom, whom(v)).value(v.typed("whom")))
        .field(Field::area("names", w.invite_names).hint(w.invite_names_hint).value(v.typed("names")))
        .field(Field::text("class", group).hint(w.invite_class_hint).value(v.typed("class")))
        .field(Field::number("uses", w.invite_uses).value(v.typed("uses").or(Some("1"))))
        .field(Field::text("expires", w.valid_for).hint(w.valid_for_hint).value(v.typed("expires").or(Some("30d"))))
        .field(Field::choice("as", w.invite_as, [("page", w.invite_as_page), ("sheet", w.invite_as_sheet)]))
        .button(w.invite);
    let page = Page::new(Area::Enrolment, w.invite).under(PATH, w.nav_enrolment).lead(w.invite_lead);
    Ok(page.with(form.html()).into())
}

fn whom(v: &Visit<'_>) -> Vec<(&'static str, &'static str)> {
    let w = v.words;
    let mut all = vec![("names", w.invite_by_names), ("people", w.invite_by_people)];
    if !v.is_office() {
        all.push(("pupils", w.invite_by_pupils));
    }
    all
}

pub fn make(v: &Visit<'_>, form: &Form) -> Outcome {
    let w = v.words;
    let recipients: Vec<String> =
        form.text("names").lines().map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if recipients.len() > MAX_AT_ONCE {
        let why = format!("are at most {MAX_AT_ONCE} at once");
        return Err(Error::invalid(Text::BadArgument { key: w.invite_names.to_owned(), why }));
    }
    let wish = inviting::Wish {
        whom: match form.text("whom") {
            "people" => Whom::People(recipients),
            "pupils" => Whom::Pupils,
            _ => Whom::Names(recipients),
        },
        class: form.some("class"),
        way: None,
        uses: form.number("uses")?.unwrap_or(1),
        life: inviting::life(form.some("expires").as_deref())?,
    };
    let made = inviting::make(v.cx, &v.actor, &wish)?;
    if form.text("as") == "sheet" {
        return printed(v, made);
    }
    let line = |one: &Made| {
        let url = one.url(v.cx);
        let square = qr::svg(url.expose(), &one.recipient).map(drawn).unwrap_or_default();
        vec![text(&one.recipient), code(one.code.expose()), text(&day(one.expires_at)), square]
    };
    let table = Table::new(w.invitations)
        .columns([w.invited, w.its_code, w.ends, w.square])
        .rows(made.iter().take(20).map(line));
    let mut parts = vec![note(w.shown_once_hint), table.html()];
    if made.len() > 20 {
        parts.push(note(w.invite_many));
    }
    let page = Page::new(Area::Enrolment, w.invitations).under(PATH, w.nav_enrolment);
    Ok(page.with(section(w.shown_once, parts)).into())
}

/// A document to print and cut.
fn printed(v: &Visit<'_>, made: Vec<Made>) -> Outcome {
    let tickets = made.into_iter().map(|one| Ticket {
        url: one.url(v.cx).expose().clone(),
        recipient: one.recipient,
        class: one.class,
        code: one.code.expose().clone(),
        uses: one.uses,
        until: day(one.expires_at),
    });
    let page = format!("{}/enroll", v.cx.urls().people);
    let html = sheet(&school::organization(v.cx)?, &page, tickets.collect()).map_err(Error::internal)?;
    let file = super::audit::file("text/html; charset=utf-8", "invitations.html", html.into_bytes());
    Ok(Answer::File(file.with_header("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'")))
}

pub fn revoke(v: &Visit<'_>, id: &str) -> Outcome {
    inviting::revoke(v.cx, &v.actor, id)?;
    Ok(Answer::To(format!("{PATH}?said=done")))
}

pub fn profile(v: &Visit<'_>) -> Outcome {
    v.actor.require(Permission::Enroll)?;
    let w = v.words;
    let form = FormSpec::new("/console/enrolment/profile", &v.token)
        .field(Field::text("name", w.profile_name).hint(w.profile_name_hint).value(v.typed("name")))
        .field(Field::tick("no_users", w.no_user_channel).hint(w.no_user_channel_hint))
        .button(w.download);
    let page = Page::new(Area::Enrolment, w.carry_profile).under(PATH, w.nav_enrolment).lead(w.carry_profile_lead);
    Ok(page.with(form.html()).into())
}

pub fn download(v: &Visit<'_>, form: &Form) -> Outcome {
    let wish = Wish { name: form.some("name"), per_user: !form.ticked("no_users"), ..Wish::default() };
    let issued = enrolling::issue(v.cx, &v.actor, &wish)?;
    let name: String = issued.file_name.chars().filter(|c| !matches!(c, '"' | '\\') && !c.is_control()).collect();
    let response: Response = super::audit::file(CONFIG_TYPE, &name, issued.bytes.expose().clone());
    Ok(Answer::File(response))
}
