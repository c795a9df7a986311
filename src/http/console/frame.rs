//! The frame around every page: navigation, who is logged in, what was just done; refusals in words; and the headers of every answer.

use super::parts::Html;
use super::texts::Words;
use super::{Answer, Visit, assets};
use crate::base::texts::Text;
use crate::http::look;
use crate::http::message::Response;
use crate::service::actor::{Actor, Permission};
use crate::service::{Error, Kind, school};
use askama::Template;

/// Nothing but this server's own style sheet and script; nothing inline; forms and renewals to this server only; in no frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// Parts of the console, as the navigation names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    Home,
    Devices,
    Commands,
    Enrolment,
    Plans,
    Profiles,
    Pairs,
    Accounts,
    Provisioning,
    Schedules,
    Groups,
    People,
    Directory,
    Requests,
    Audit,
    Upkeep,
    Webhooks,
    Push,
    Settings,
    Keys,
    Admins,
    Other,
}

/// A page, filled in.
pub struct Page {
    pub title: String,
    pub area: Area,
    /// Where this page is: address and name of the pages above it.
    pub above: Vec<(String, String)>,
    pub lead: Option<String>,
    /// Beside the title.
    pub marks: Vec<Html>,
    pub actions: Vec<Html>,
    pub body: Vec<Html>,
}

impl Page {
    pub fn new(area: Area, title: impl Into<String>) -> Self {
        let (above, marks, actions, body) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { title: title.into(), area, above, lead: None, marks, actions, body }
    }

    pub fn under(mut self, href: impl Into<String>, name: impl Into<String>) -> Self {
        self.above.push((href.into(), name.into()));
        self
    }

    pub fn lead(mut self, words: impl Into<String>) -> Self {
        self.lead = Some(words.into());
        self
    }

    pub fn mark(mut self, mark: Html) -> Self {
        self.marks.push(mark);
        self
    }

    pub fn action(mut self, action: Html) -> Self {
        self.actions.push(action);
        self
    }

    pub fn with(mut self, part: Html) -> Self {
        self.body.push(part);
        self
    }
}

/// What every document of the console needs.
pub struct Bare {
    pub school: String,
    pub look: &'static str,
    pub style: &'static str,
    pub script: &'static str,
}

impl Bare {
    pub fn new(school: String) -> Self {
        Self { school, look: &look::STYLE_PATH, style: &assets::STYLE_PATH, script: &assets::HTMX_PATH }
    }
}

/// A page in the navigation. The first of each part stands for it; the others show while somebody is in that part.
struct Entry {
    href: &'static str,
    name: &'static str,
    here: bool,
    below: Vec<Entry>,
}

#[derive(Template)]
#[template(path = "console/parts/frame.html")]
struct Framed<'a> {
    w: &'static Words,
    bare: Bare,
    page: &'a Page,
    nav: Vec<Entry>,
    who: String,
    role: &'static str,
    token: &'a str,
    said: Option<&'static str>,
    refused: Option<&'a str>,
}

type Place = (&'static str, &'static str, Area, Permission);

/// Part by part: address, name, area, and what one must be allowed to for it to be shown. A page goes into the part where somebody would
/// look for it; a new part only for a new question.
fn places(w: &'static Words) -> Vec<Vec<Place>> {
    vec![
        vec![("/console", w.nav_home, Area::Home, Permission::Look)],
        vec![
            ("/console/devices", w.nav_devices, Area::Devices, Permission::Look),
            ("/console/commands", w.nav_commands, Area::Commands, Permission::Look),
        ],
        vec![
            ("/console/enrolment", w.nav_enrolment, Area::Enrolment, Permission::Invite),
            ("/console/plans", w.serving.nav_plans, Area::Plans, Permission::LookAround),
        ],
        vec![
            ("/console/profiles", w.nav_profiles, Area::Profiles, Permission::LookAround),
            ("/console/pairs", w.pairs().nav, Area::Pairs, Permission::LookAround),
            ("/console/accounts", w.provided.nav_accounts, Area::Accounts, Permission::LookAround),
            ("/console/provisioning", w.provided.nav_provisioning, Area::Provisioning, Permission::LookAround),
            ("/console/schedules", w.plans.nav_schedules, Area::Schedules, Permission::LookAround),
        ],
        vec![
            ("/console/people", w.nav_people, Area::People, Permission::LookAround),
            ("/console/groups", w.nav_groups, Area::Groups, Permission::Look),
            ("/console/directory", w.serving.nav_directory, Area::Directory, Permission::LookAround),
        ],
        vec![
            ("/console/upkeep", w.upkeep().nav, Area::Upkeep, Permission::LookAround),
            ("/console/audit", w.nav_audit, Area::Audit, Permission::Audit),
            ("/console/requests", w.nav_requests, Area::Requests, Permission::Reveal),
            ("/console/webhooks", w.nav_webhooks, Area::Webhooks, Permission::Administer),
        ],
        vec![
            ("/console/settings", w.nav_settings, Area::Settings, Permission::Administer),
            ("/console/admins", w.nav_admins, Area::Admins, Permission::Administer),
            ("/console/keys", w.serving.nav_keys, Area::Keys, Permission::Administer),
            ("/console/push", w.nav_push, Area::Push, Permission::LookAround),
        ],
    ]
}

fn navigation(v: &Visit<'_>, here: Area) -> Vec<Entry> {
    let part = |part: Vec<Place>| {
        let open = part.iter().any(|(_, _, area, _)| *area == here);
        let seen = part.into_iter().filter(|(_, _, _, needed)| v.may(*needed));
        let mut seen = seen.map(|(href, name, area, _)| Entry { href, name, here: area == here, below: Vec::new() });
        let mut first = seen.next()?;
        if open {
            first.below = seen.collect();
        }
        Some(first)
    };
    places(v.words).into_iter().filter_map(part).collect()
}

/// An answer as bytes.
pub fn answer(v: &Visit<'_>, answer: Answer, status: u16) -> Response {
    match answer {
        Answer::Page(page) => whole(v, &page, status),
        Answer::Piece(html) => finish(status, Ok(html.to_string())),
        Answer::To(path) => Response::empty(303).with_header("location", path).with_header("cache-control", "no-store"),
        Answer::File(response) => response,
    }
}

fn whole(v: &Visit<'_>, page: &Page, status: u16) -> Response {
    let nav = navigation(v, page.area);
    let (who, role) = match &v.actor {
        Actor::Admin { name, role, .. } => (name.clone(), v.words.role(role.as_str())),
        other => (other.name(), ""),
    };
    let school = school::organization(v.cx).unwrap_or_else(|_| String::from("Cordon"));
    let said = v.query("said").and_then(|id| v.words.said(&id));
    let refused = v.refused.as_ref().map(|(_, words)| words.as_str());
    let bare = Bare::new(school);
    finish(status, Framed { w: v.words, bare, page, nav, who, role, token: &v.token, said, refused }.render())
}

/// What went wrong, as a page of its own. Faults of ours are logged here, once.
pub fn refusal(v: &Visit<'_>, error: Error) -> Response {
    let status = status(&error);
    let number = format!("{:x}", v.request.id);
    if error.kind == Kind::Internal {
        let source = error.source.as_ref().map(ToString::to_string).unwrap_or_default();
        tracing::error!(request = number, error = %error.public, source, "a page failed");
    }
    let words = match error.public {
        Text::Internal { .. } => Text::Internal { request: number }.to_string(),
        other => other.to_string(),
    };
    let w = v.words;
    let title = match status {
        404 => w.title_not_found,
        403 => w.title_not_allowed,
        500.. => w.title_fault,
        _ => w.title_not_done,
    };
    let page = Page::new(Area::Other, title).lead(words).with(super::parts::button_link("/console", w.to_start));
    whole(v, &page, status)
}

/// The table from kinds of fault to HTTP, for people.
pub fn status(error: &Error) -> u16 {
    match error.kind {
        Kind::NotFound => 404,
        Kind::Invalid => 422,
        Kind::Denied => 403,
        Kind::Conflict => 409,
        Kind::Busy if matches!(error.public, Text::TooManyTries { .. }) => 429,
        Kind::Busy => 503,
        Kind::Internal => 500,
    }
}

/// A document with the headers that every page has.
pub fn finish(status: u16, html: askama::Result<String>) -> Response {
    let Ok(html) = html else { return Response::text(500, "This page could not be made.\n") };
    Response::new(status, "text/html; charset=utf-8", html)
        .with_header("content-security-policy", POLICY)
        .with_header("x-content-type-options", "nosniff")
        .with_header("x-frame-options", "DENY")
        .with_header("referrer-policy", "same-origin")
        .with_header("cross-origin-opener-policy", "same-origin")
        .with_header("cross-origin-resource-policy", "same-origin")
        .with_header("permissions-policy", "camera=(), geolocation=(), microphone=()")
        .with_header("strict-transport-security", "max-age=31536000")
        .with_header("cache-control", "no-store")
}
