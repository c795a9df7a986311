//! Setting the school up in the browser, at `/setup`: one page, one step at a time, for whoever opened the one-time link. It can be left and
//! resumed in the same browser; elsewhere `cordon setup-link` makes a new link. Forms without scripts; what they do are verbs of `service`.

mod page;

use super::message::{Request, Response};
use super::{form, look};
use crate::base::secret::Secret;
use crate::base::texts::Appliance;
use crate::pki::digest::{constant_time_eq, sha256};
use crate::service::actor::Actor;
use crate::service::ports::PushSender;
use crate::service::school::{self, School};
use crate::service::{Context, Error, doctor, first_steps, people, push_certificates, recovery, tls_choice};
use ::http::Method;
use page::{Note, Step};
use std::sync::{Mutex, PoisonError};

const COOKIE: &str = "__Host-cordon-setup";
/// Fields of a form that are read; no step has more than five.
const MAX_FIELDS: usize = 16;
/// Characters of the recovery code that are typed back: its last two groups.
const TYPED_BACK: usize = 9;

/// What is remembered between two requests: a recovery code that has been shown and not confirmed.
#[derive(Default)]
pub struct Desk(Mutex<Option<Secret<String>>>);

/// Whether a path is this room's.
pub fn is_here(path: &str) -> bool {
    path == "/setup" || path.starts_with("/setup/")
}

/// What everybody sees while nothing is set up.
pub fn closed() -> Response {
    page::closed()
}

pub fn handle(cx: &Context, desk: &Desk, request: &Request, sender: Option<&dyn PushSender>) -> Response {
    let answered = match (&request.method, request.path.strip_prefix("/setup").unwrap_or_default()) {
        (&Method::GET, "" | "/") => with_visitor(cx, request, |actor, word| {
            let chosen = super::query::find(request.query.as_deref(), "step");
            show(cx, desk, actor, word, chosen.as_deref().and_then(Step::parse), None)
        }),
        (&Method::GET, "/request.csr") => with_visitor(cx, request, |actor, _| {
            let csr = push_certificates::request(cx, actor, None)?;
            Ok(Response::new(200, "application/pkcs10", csr)
                .with_header("content-disposition", "attachment; filename=\"cordon-push.csr\"")
                .with_header("cache-control", "no-store"))
        }),
        (&Method::GET, path) => open(cx, path.trim_start_matches('/')),
        (&Method::POST, path) => {
            with_visitor(cx, request, |actor, word| take(cx, desk, request, sender, actor, word, path))
        }
        _ => Ok(Response::text(405, "This page is read, and its forms are sent.\n").with_header("allow", "GET, POST")),
    };
    answered.unwrap_or_else(|error| {
        let source = error.source.as_ref().map(ToString::to_string).unwrap_or_default();
        tracing::error!(request = request.id, error = %error, source, "a page of the set-up failed");
        Response::text(500, "Something went wrong inside the server; its log says what.\n")
    })
}

/// The link is opened once; from then on the browser is known by a cookie.
fn open(cx: &Context, secret: &str) -> Result<Response, Error> {
    Ok(match first_steps::open(cx, secret)? {
        Some(word) => {
            // Lax: whoever clicks the link in a mail comes from another site, and the way to /setup must carry the cookie. Forms need their word.
            Response::empty(303).with_header("location", "/setup").with_header("cache-control", "no-store").with_header(
                "set-cookie",
                format!("{COOKIE}={word}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=86400"),
            )
        }
        None => page::link_over(),
    })
}

fn with_visitor(
    cx: &Context,
    request: &Request,
    go_on: impl FnOnce(&Actor, &str) -> Result<Response, Error>,
) -> Result<Response, Error> {
    let Some(word) = form::cookie(request, COOKIE) else { return Ok(page::link_over()) };
    match first_steps::find_visitor(cx, word)? {
        Some(actor) => go_on(&actor, word),
        None => Ok(page::link_over()),
    }
}

/// What a form must carry: another site knows neither the cookie nor this.
fn form_word(word: &str) -> String {
    hex::encode(sha256(format!("form of {word}").as_bytes()))
}

fn show(
    cx: &Context,
    desk: &Desk,
    _: &Actor,
    word: &str,
    chosen: Option<Step>,
    note: Option<Note>,
) -> Result<Response, Error> {
    let steps = first_steps::steps(cx)?;
    let pending = desk.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|code| code.expose().clone());
    let step = chosen.unwrap_or_else(|| Step::next(&steps));
    page::step(cx, &steps, step, &form_word(word), pending, note)
}

fn take(
    cx: &Context,
    desk: &Desk,
    request: &Request,
    sender: Option<&dyn PushSender>,
    actor: &Actor,
    word: &str,
    path: &str,
) -> Result<Response, Error> {
    let fields = form::read(&request.body.bytes, MAX_FIELDS);
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
    if form::is_from_elsewhere(request) || !constant_time_eq(field("form").as_bytes(), form_word(word).as_bytes()) {
        return Ok(page::link_over());
    }
    let Some(step) = Step::parse(path.trim_start_matches('/')) else { return Ok(page::link_over()) };
    let mut note = None;
    let done = match step {
        Step::School => {
            let (name, host) = (field("organization").trim(), field("hostname").trim());
            let told = School { organization: Some(name.to_owned()), hostname: Some(host.to_owned()) };
            if name.is_empty() {
                Err(Error::invalid(Appliance::NameMissing.into()))
            } else {
                school::set_up(cx, actor, &told)
            }
        }
        Step::Tls => tls_choice::choose(
            cx,
            actor,
            tls_choice::Wish {
                mode: field("mode").to_owned(),
                certificate: Some(field("certificate").to_owned()),
                key: Some(field("key").to_owned()).filter(|key| !key.trim().is_empty()).map(Secret::new),
                contact: Some(field("contact").to_owned()),
            },
        ),
        Step::Admin if field("password") != field("again") => Err(Error::invalid(Appliance::PasswordsDiffer.into())),
        Step::Admin => {
            let password = Secret::new(field("password").to_owned());
            people::create(cx, actor, field("name").trim(), "owner", &password).map(drop)
        }
        Step::Code => code(cx, desk, actor, field("typed")),
        Step::Push => push(cx, sender, actor, field("certificate")).map(|warnings| {
            note = (!warnings.is_empty()).then(|| Note::said(&warnings.join(" ")));
        }),
        Step::Test => {
            let findings = doctor::examine(cx, actor)?;
            if findings.iter().any(|f| f.phase == "enrolment" && f.verdict == doctor::Verdict::Good) {
                first_steps::note(cx, actor, "tested")?;
            }
            note = Some(Note::findings(findings));
            return show(cx, desk, actor, word, Some(Step::Test), note);
        }
        Step::Done => {
            let steps = first_steps::steps(cx)?;
            if steps.admin && steps.code_confirmed {
                first_steps::note(cx, actor, "done")?;
                return Ok(page::finished(cx));
            }
            Err(Error::invalid(Appliance::SetUpIncomplete.into()))
        }
    };
    match done {
        Ok(()) if note.is_none() => {
            Ok(Response::empty(303).with_header("location", "/setup").with_header("cache-control", "no-store"))
        }
        Ok(()) => show(cx, desk, actor, word, None, note),
        Err(error) if error.source.is_some() => Err(error),
        Err(error) => show(cx, desk, actor, word, Some(step), Some(Note::wrong(&error.to_string()))),
    }
}

/// Without a word the code is made and shown; with its last two groups it is confirmed.
fn code(cx: &Context, desk: &Desk, actor: &Actor, typed: &str) -> Result<(), Error> {
    let mut pending = desk.0.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(held) = pending.as_ref() else {
        // The second half of a double click, or the page of yesterday: the code in force must not be replaced by it.
        if !typed.is_empty() || first_steps::steps(cx)?.code_confirmed {
            return Ok(());
        }
        *pending = Some(recovery::make(cx, actor, None)?);
        return Ok(());
    };
    let letters =
        |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let wanted = letters(&held.expose()[held.expose().len().saturating_sub(TYPED_BACK)..]);
    if letters(typed) != wanted {
        return Err(Error::invalid(Appliance::CodeNotTypedBack.into()));
    }
    first_steps::note(cx, actor, "confirmed")?;
    *pending = None;
    Ok(())
}

fn push(cx: &Context, sender: Option<&dyn PushSender>, actor: &Actor, pem: &str) -> Result<Vec<String>, Error> {
    let imported = push_certificates::import(cx, actor, pem, None, false, None)?;
    if let Some(sender) = sender {
        push_certificates::load(cx, sender)?;
        cx.ring_pusher();
    }
    Ok(imported.warnings.iter().map(|warning| (*warning).to_owned()).collect())
}
