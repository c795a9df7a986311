//! The pages themselves: filled in from the school's settings, so that what they promise is what the profile asks for.

use super::Desk;
use super::form;
use super::words::{ENGLISH, Words, of};
use crate::base::texts::Text;
use crate::http::look::{self, qr};
use crate::http::message::{Request, Response};
use crate::protocol::profile::{AccessRights, RIGHTS};
use crate::service::doorway::{self, DoorWay};
use crate::service::{Context, Error, Kind, enrollment_policy, school, trust};
use crate::store::ArrivalRow;
use askama::Template;

/// The frame around every page.
pub struct Frame {
    pub school: String,
    pub style: String,
    pub skip: &'static str,
    pub foot: &'static str,
}

/// What somebody typed, and what was wrong with it.
#[derive(Default)]
pub struct Asked<'a> {
    pub code: Option<&'a str>,
    pub name: Option<&'a str>,
    /// The word of a device in Setup Assistant's web view.
    pub machine: Option<&'a str>,
    pub wrong: Option<Error>,
}

/// Something that went wrong, in words.
pub struct Alert {
    pub title: &'static str,
    pub words: String,
}

/// What the school can and cannot do, by the rights that its profiles ask for.
struct Meaning {
    can: String,
    may: Vec<&'static str>,
    cannot: String,
    never: &'static [&'static str],
    may_not: String,
    not_asked: Vec<&'static str>,
    unlock: Option<&'static str>,
    leaving_words: String,
}

struct Steps {
    phone: Vec<&'static str>,
    mac: Vec<&'static str>,
    /// The device that asks is a Mac.
    on_mac: bool,
}

#[derive(Template)]
#[template(path = "enroll/front.html")]
struct Front<'a> {
    frame: Frame,
    w: &'static Words,
    title: String,
    asked: &'a Asked<'a>,
    form: String,
    alert: Option<Alert>,
    login_open: bool,
    qr: Option<String>,
    steps: Steps,
    meaning: Meaning,
}

#[derive(Template)]
#[template(path = "enroll/inside.html")]
struct Inside {
    frame: Frame,
    w: &'static Words,
    trust_first: bool,
    steps: Steps,
}

#[derive(Template)]
#[template(path = "enroll/refused.html")]
struct Refused {
    frame: Frame,
    title: &'static str,
    words: String,
    more: Option<String>,
    to_start: &'static str,
}

/// The first page, also when what was sent from it did not do.
pub fn front(cx: &Context, desk: &Desk, request: &Request, asked: &Asked<'_>) -> Response {
    let made = || -> Result<Response, Error> {
        let frame = frame(cx)?;
        let bound = form::bind(desk, request, cx.random_bytes::<16>());
        let (status, alert) = match &asked.wrong {
            None => (200, None),
            Some(wrong) => (status(wrong), Some(alert(request, wrong))),
        };
        let url = match asked.code {
            Some(code) => format!("{}/enroll?code={}", cx.urls().people, escaped(code)),
            None => format!("{}/enroll", cx.urls().people),
        };
        let page = Front {
            title: of(&frame.school, ENGLISH.title),
            asked,
            form: bound.token,
            alert,
            login_open: asked.name.is_some(),
            qr: asked.machine.is_none().then(|| qr::svg(&url, ENGLISH.hand_label)).flatten(),
            steps: steps(request, doorway::way(cx)?.way, trust::current(cx)?.publicly_trusted),
            meaning: meaning(&frame.school, enrollment_policy::find(cx)?.access_rights),
            w: &ENGLISH,
            frame,
        };
        let mut response = look::page(status, page.render().map_err(Error::internal)?);
        if let Some(cookie) = bound.cookie {
            response.headers.push(("set-cookie", cookie));
        }
        if let Some(Text::TooManyTries { seconds }) = asked.wrong.as_ref().map(|wrong| &wrong.public) {
            response.headers.push(("retry-after", seconds.to_string()));
        }
        Ok(response)
    };
    made().unwrap_or_else(|e| broken(request, e))
}

/// The page of somebody who was let in.
pub fn inside(cx: &Context, request: &Request, arrival: &ArrivalRow) -> Response {
    let made = || -> Result<Response, Error> {
        let way = DoorWay::parse(&arrival.way)?;
        let public = trust::current(cx)?.publicly_trusted;
        let page = Inside {
            frame: frame(cx)?,
            w: &ENGLISH,
            trust_first: way == DoorWay::OverTheAir && !public,
            steps: steps(request, way, true),
        };
        Ok(look::page(200, page.render().map_err(Error::internal)?))
    };
    made().unwrap_or_else(|e| broken(request, e))
}

/// Instead of a file.
pub fn refused(cx: &Context, request: &Request, wrong: Error) -> Response {
    let made = || -> Result<Response, Error> {
        let alert = alert(request, &wrong);
        let not_ready = wrong.kind == Kind::Conflict;
        let page = Refused {
            frame: frame(cx)?,
            title: if not_ready { ENGLISH.not_ready_title } else { ENGLISH.refused_title },
            words: if not_ready { ENGLISH.not_ready.to_owned() } else { alert.words.clone() },
            more: Some(if not_ready { alert.words } else { ENGLISH.tell_admin.to_owned() }),
            to_start: ENGLISH.to_start,
        };
        Ok(look::page(status(&wrong), page.render().map_err(Error::internal)?))
    };
    made().unwrap_or_else(|e| broken(request, e))
}

/// An address that is none.
pub fn lost(cx: &Context) -> Response {
    let page = frame(cx).map(|frame| Refused {
        frame,
        title: ENGLISH.lost_title,
        words: ENGLISH.lost.to_owned(),
        more: None,
        to_start: ENGLISH.to_start,
    });
    match page.map(|page| page.render()) {
        Ok(Ok(html)) => look::page(404, html),
        _ => Response::text(404, "There is nothing here.\n"),
    }
}

pub fn frame(cx: &Context) -> Result<Frame, Error> {
    Ok(Frame {
        school: school::organization(cx)?,
        style: look::STYLE_PATH.clone(),
        skip: ENGLISH.skip,
        foot: ENGLISH.foot,
    })
}

/// Never 401: browsers would ask for a login of their own.
pub fn status(error: &Error) -> u16 {
    match error.kind {
        Kind::Invalid => 400,
        Kind::Denied => 403,
        Kind::NotFound => 404,
        Kind::Conflict => 409,
        Kind::Busy if matches!(error.public, Text::TooManyTries { .. }) => 429,
        Kind::Busy => 503,
        Kind::Internal => 500,
    }
}

pub fn alert(request: &Request, wrong: &Error) -> Alert {
    let words = match &wrong.public {
        Text::TooManyTries { seconds } => ENGLISH.too_many.replace("{seconds}", &seconds.to_string()),
        Text::Internal { .. } => Text::Internal { request: format!("{:x}", request.id) }.to_string(),
        text => text.to_string(),
    };
    if wrong.kind == Kind::Internal {
        log(request, wrong);
    }
    Alert { title: ENGLISH.wrong_title, words }
}

fn log(request: &Request, wrong: &Error) {
    let source = wrong.source.as_ref().map(ToString::to_string).unwrap_or_default();
    tracing::error!(request = format!("{:x}", request.id), error = %wrong, source, "an enrolment page failed");
}

pub fn broken(request: &Request, wrong: Error) -> Response {
    log(request, &wrong);
    Response::text(
        if wrong.kind == Kind::Busy { 503 } else { 500 },
        "This does not work at the moment. Try again in a minute.\n",
    )
}

fn steps(request: &Request, way: DoorWay, trusted: bool) -> Steps {
    let agent = request.header("user-agent").unwrap_or_default();
    let over_the_air = way == DoorWay::OverTheAir;
    let with = |own: &'static [&'static str], first: &'static str| {
        let before = (over_the_air && !trusted).then_some(first);
        let after = over_the_air.then_some(ENGLISH.over_the_air_step);
        before.into_iter().chain(own.iter().copied()).chain(after).collect()
    };
    Steps {
        phone: with(ENGLISH.phone_steps, ENGLISH.trust_step_phone),
        mac: with(ENGLISH.mac_steps, ENGLISH.trust_step_mac),
        // An iPad says it is a Mac; both lists are there, and only their order follows this.
        on_mac: agent.contains("Macintosh") && !agent.contains("Mobile"),
    }
}

fn meaning(school: &str, rights: AccessRights) -> Meaning {
    Meaning {
        can: of(school, ENGLISH.can),
        may: rights.rights().map(|right| right.words).collect(),
        cannot: of(school, ENGLISH.cannot),
        never: ENGLISH.never,
        may_not: of(school, ENGLISH.may_not),
        not_asked: RIGHTS.iter().filter(|right| rights.bits() & right.bit == 0).map(|right| right.words).collect(),
        unlock: (!rights.brings_unlock_token()).then_some(ENGLISH.no_unlock_token),
        leaving_words: of(school, ENGLISH.leaving_words),
    }
}

/// A code as part of a query.
fn escaped(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_page_promises_follows_the_rights() {
        let all = meaning("Hill", AccessRights::ALL);
        assert_eq!((all.may.len(), all.not_asked.len(), all.unlock), (13, 0, None));
        let few = meaning("Hill", AccessRights::from_names(["-lock", "-erase"]).unwrap());
        assert!(!few.may.contains(&"erase the device") && few.not_asked.contains(&"erase the device"));
        assert!(few.unlock.is_some() && few.can.starts_with("Hill "));
    }
}
