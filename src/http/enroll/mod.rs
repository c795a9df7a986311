//! The door: `/enroll`, where people learn what management means, show an invitation or log in, and get a profile; and where devices
//! send what they sign to enrol by themselves. Pages and forms here, devices in `ways`, words in `words`; `/accounts`, where people look after their
//! own accounts, in `accounts`.
//!
//! Everything works without scripts and with one cookie; where a web view of Setup Assistant drops cookies, the form itself carries what
//! is needed. Status codes of this edge reach no enrolled device: they remove nothing.

mod accounts;
mod form;
mod pages;
mod ways;
mod words;

use super::look;
use super::message::{Request, Response};
use super::origin::Origin;
use super::query;
use crate::base::random::Random;
use crate::base::texts::Text;
use crate::protocol::profile::CONFIG_TYPE;
use crate::service::arriving::{self, Given};
use crate::service::{Context, Error, Kind, over_the_air};
use ::http::Method;
use std::net::IpAddr;

/// The cookie of somebody who was let in.
const ARRIVAL_COOKIE: &str = "__Host-cordon-arrival";
/// Header of the first request of Setup Assistant's web view.
const DEVICE_INFO: &str = "x-apple-aspen-deviceinfo";

/// What forms are bound with; new with every start of the server.
pub struct Desk {
    key: [u8; 32],
}

impl Desk {
    pub fn new(random: &dyn Random) -> Self {
        Self { key: crate::base::random::bytes(random) }
    }
}

/// Whether a path is this room's.
pub fn is_here(path: &str) -> bool {
    path == "/enroll" || path.starts_with("/enroll/") || path == accounts::PATH
}

/// `trusted`: proxies whose word about an address counts.
pub fn handle(cx: &Context, desk: &Desk, request: &Request, trusted: &[IpAddr]) -> Response {
    let path = request.path.strip_suffix('/').unwrap_or(&request.path);
    let from = Origin::of(request, trusted);
    match (&request.method, path) {
        (_, accounts::PATH) => accounts::handle(cx, desk, request, &from),
        (&Method::GET, "/enroll") => front_page(cx, desk, request),
        (&Method::POST, "/enroll") => enter(cx, desk, request, &from),
        (&Method::GET, "/enroll/go") => inside(cx, desk, request),
        (&Method::GET, "/enroll/profile") => fetch(cx, request),
        (&Method::POST, "/enroll/ota") => ways::over_the_air(cx, request, from.words()),
        (&Method::POST, "/enroll/ade") => ways::automated(cx, request, from.words()),
        (&Method::GET, path) if path == *look::STYLE_PATH => look::style(),
        (_, "/enroll" | "/enroll/go" | "/enroll/profile") => not_so("GET, POST"),
        (_, "/enroll/ota" | "/enroll/ade") => not_so("POST"),
        _ => pages::lost(cx),
    }
}

fn not_so(allowed: &str) -> Response {
    Response::text(405, "This address is used in another way.\n").with_header("allow", allowed)
}

fn front_page(cx: &Context, desk: &Desk, request: &Request) -> Response {
    let machine = match request.header(DEVICE_INFO) {
        None => None,
        Some(header) => match ways::device_info(header).and_then(|body| over_the_air::note_machine(cx, &body)) {
            Ok(state) => Some(state),
            Err(e) => return ways::refuse(request, e),
        },
    };
    let code = query::find(request.query.as_deref(), "code").filter(|code| code.chars().count() <= 40);
    let machine = machine.as_ref().map(|state| state.expose().as_str());
    pages::front(cx, desk, request, &pages::Asked { code: code.as_deref(), name: None, machine, wrong: None })
}

fn enter(cx: &Context, desk: &Desk, request: &Request, from: &Origin) -> Response {
    let fields = form::read(&request.body.bytes);
    let field = |name: &str| {
        fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.trim()).filter(|v| !v.is_empty())
    };
    let machine = field("machine");
    // Who knows the word that this server gave to one device needs no second proof of where the form came from.
    let ours = form::is_ours(desk, request, field("form"))
        || machine.is_some_and(|state| over_the_air::find_machine(cx, state).is_ok());
    let again = |wrong: Error| {
        let asked = pages::Asked { code: field("code"), name: field("name"), machine, wrong: Some(wrong) };
        pages::front(cx, desk, request, &asked)
    };
    if !ours {
        return again(Error::invalid(Text::PageTooOld));
    }
    let password =
        fields.iter().find(|(key, _)| key == "password").map(|(_, value)| value.as_str()).filter(|v| !v.is_empty());
    let entered = match (field("code"), field("name"), password) {
        (Some(code), _, _) => arriving::enter_with_code(cx, code, from.address()),
        (None, Some(name), Some(password)) => arriving::enter_with_password(cx, name, password, from.address()),
        _ => Err(Error::invalid(Text::NothingToEnterWith)),
    };
    let entered = match entered {
        Ok(entered) => entered,
        Err(wrong) => return again(wrong),
    };
    if let Some(state) = machine {
        // Setup Assistant ends its web view with the first profile that comes.
        return match over_the_air::admit_machine(cx, state, entered.token.expose()) {
            Ok(given) => file(&given),
            Err(wrong) => again(wrong),
        };
    }
    let cookie = format!(
        "{ARRIVAL_COOKIE}={}; Path=/; Max-Age={}; Secure; HttpOnly; SameSite=Lax",
        entered.token.expose(),
        arriving::ARRIVAL_LIFE / 1000
    );
    Response::empty(303)
        .with_header("location", "/enroll/go")
        .with_header("set-cookie", cookie)
        .with_header("cache-control", "no-store")
}

fn inside(cx: &Context, desk: &Desk, request: &Request) -> Response {
    let found = crate::http::form::cookie(request, ARRIVAL_COOKIE).map(|token| arriving::find(cx, token));
    match found {
        Some(Ok(arrival)) => pages::inside(cx, request, &arrival),
        Some(Err(wrong)) => {
            pages::front(cx, desk, request, &pages::Asked { wrong: Some(wrong), ..pages::Asked::default() })
        }
        None => Response::empty(303).with_header("location", "/enroll").with_header("cache-control", "no-store"),
    }
}

fn fetch(cx: &Context, request: &Request) -> Response {
    let given = match crate::http::form::cookie(request, ARRIVAL_COOKIE) {
        Some(token) => arriving::give(cx, token),
        None => Err(Error::new(Kind::Denied, Text::ArrivalOver)),
    };
    match given {
        Ok(given) => file(&given),
        Err(wrong) => pages::refused(cx, request, wrong),
    }
}

/// A profile: for one device, kept by nobody on the way.
fn file(given: &Given) -> Response {
    Response::new(200, CONFIG_TYPE, given.bytes.expose().clone())
        .with_header("content-disposition", format!("attachment; filename=\"{}\"", given.file_name))
        .with_header("cache-control", "no-store")
        .with_header("x-content-type-options", "nosniff")
}
