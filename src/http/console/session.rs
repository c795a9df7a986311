//! Coming in and going out: the login page, the session's cookie, and who it stands for.
//!
//! The cookie holds the token of a session of `service::login`; it is sent to this host alone, over TLS alone, and no script reads it.
//! Before there is a session the login form is bound to a random word in a cookie of its own.

use super::form::{self, Form};
use super::frame;
use super::texts::Words;
use super::{Answer, Outcome, Visit};
use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::http::message::{Request, Response};
use crate::http::origin::Origin;
use crate::http::query;
use crate::service::actor::Actor;
use crate::service::login::{self, Attempt};
use crate::service::{Context, Error, school};
use ::http::Method;
use askama::Template;

const COOKIE: &str = "__Host-cordon-session";
const DOOR_COOKIE: &str = "__Host-cordon-door";
const RULES: &str = "Path=/; Secure; HttpOnly; SameSite=Lax";
/// Where people come to.
const HOME: &str = "/console";

/// Whether a cookie, as it was sent, is that of a session.
pub fn is_one(cookie: &str) -> bool {
    cookie.trim().strip_prefix(COOKIE).is_some_and(|rest| rest.starts_with('='))
}

#[derive(Template)]
#[template(path = "console/parts/login.html")]
struct Login<'a> {
    w: &'static Words,
    frame: frame::Bare,
    token: String,
    name: &'a str,
    next: &'a str,
    alert: Option<String>,
    code: bool,
}

/// Who is here, and the token for their forms.
///
/// # Errors
/// `Denied` when nobody is.
pub fn find(cx: &Context, request: &Request, from: &Origin) -> Result<(Actor, String), Error> {
    let word = crate::http::form::cookie(request, COOKIE).ok_or_else(|| Error::denied(Text::LoginNeeded))?;
    let actor = login::authenticate(cx, word, from.words())?;
    Ok((actor, form::token(word)))
}

/// Nobody is here: to the login, and back afterwards. A part that renews itself takes the whole page along.
pub fn to_the_door(request: &Request) -> Response {
    let wanted = if request.method == Method::GET && request.path != "/" { request.path.as_str() } else { HOME };
    if request.header("hx-request").is_some() {
        return Response::empty(200)
            .with_header("hx-redirect", "/console/login")
            .with_header("cache-control", "no-store");
    }
    let target = match safe(wanted) {
        Some(HOME) | None => String::from("/console/login"),
        Some(path) => format!("/console/login?next={path}"),
    };
    Response::empty(303).with_header("location", target).with_header("cache-control", "no-store")
}

/// An address of the console and of nothing else.
fn safe(path: &str) -> Option<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '~' | '%');
    let ours = path == HOME || (path.starts_with("/console/") && !path.starts_with("/console/log"));
    (ours && path.len() <= 300 && path.chars().all(plain)).then_some(path)
}

/// The login page.
pub fn door(cx: &Context, words: &'static Words, request: &Request, from: &Origin) -> Response {
    let asked = query::find(request.query.as_deref(), "next").unwrap_or_default();
    match request.method {
        Method::GET | Method::HEAD if find(cx, request, from).is_ok() => to(safe(&asked).unwrap_or(HOME)),
        Method::GET | Method::HEAD => page(cx, words, request, &Form::empty(), &asked, None),
        Method::POST => enter(cx, words, request, from),
        _ => Response::text(405, "This address is used in another way.\n").with_header("allow", "GET, HEAD, POST"),
    }
}

fn enter(cx: &Context, words: &'static Words, request: &Request, from: &Origin) -> Response {
    let word = crate::http::form::cookie(request, DOOR_COOKIE).ok_or_else(|| Error::denied(Text::PageTooOld));
    let form = match word.and_then(|word| Form::check(request, &form::token(word))) {
        Ok(form) => form,
        Err(error) => return page(cx, words, request, &Form::empty(), "", Some(error)),
    };
    let attempt = Attempt {
        name: form.text("name"),
        password: form.secret("password").unwrap_or_else(|| Secret::new(String::new())),
        totp: form.get("code").map(str::trim),
        address: from.address(),
        origin: from.words(),
    };
    match login::login(cx, &attempt) {
        Ok(session) => {
            let cookie = format!("{COOKIE}={}; {RULES}", session.token.expose());
            to(safe(form.text("next")).unwrap_or(HOME)).with_header("set-cookie", cookie)
        }
        Err(error) => page(cx, words, request, &form, form.text("next"), Some(error)),
    }
}

fn page(cx: &Context, w: &'static Words, request: &Request, form: &Form, next: &str, wrong: Option<Error>) -> Response {
    let (word, fresh) = match crate::http::form::cookie(request, DOOR_COOKIE) {
        Some(word) => (word.to_owned(), false),
        None => (hex::encode(cx.random_bytes::<16>()), true),
    };
    let code = wrong.as_ref().is_some_and(|e| matches!(e.public, Text::TotpNeeded | Text::TotpWrong));
    let (status, alert) = match wrong {
        None => (200, None),
        Some(error) => (frame::status(&error), Some(error.public.to_string())),
    };
    let school = school::organization(cx).unwrap_or_else(|_| String::from("Cordon"));
    let frame = frame::Bare::new(school);
    let shown = Login {
        w,
        frame,
        token: form::token(&word),
        name: form.text("name"),
        next: safe(next).unwrap_or(""),
        alert,
        code,
    };
    let response = frame::finish(status, shown.render());
    if fresh { response.with_header("set-cookie", format!("{DOOR_COOKIE}={word}; {RULES}")) } else { response }
}

/// Ends the session, here and in the browser.
pub fn logout(v: &Visit<'_>) -> Outcome {
    login::logout(v.cx, &v.actor)?;
    let gone = format!("{COOKIE}=; Max-Age=0; {RULES}");
    Ok(Answer::File(to("/console/login").with_header("set-cookie", gone).with_header("clear-site-data", "\"cache\"")))
}

fn to(path: &str) -> Response {
    Response::empty(303).with_header("location", path).with_header("cache-control", "no-store")
}

#[cfg(test)]
mod tests {
    use super::safe;

    #[test]
    fn people_are_sent_on_within_the_console_only() {
        for good in ["/console", "/console/devices", "/console/devices/C02X/lock"] {
            assert_eq!(safe(good), Some(good));
        }
        for bad in [
            "",
            "/",
            "//evil.example",
            "/console/logout",
            "/console/login",
            "https://evil.example/console",
            "/console/\r\nx",
            "/consoles",
        ] {
            assert_eq!(safe(bad), None, "{bad}");
        }
    }
}
