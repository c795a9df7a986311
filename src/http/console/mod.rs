//! The console: pages for the people who run the place, made on the server and readable without a script. Who, what, do, answer: every
//! page but the login needs its [`Actor`], every change a checked [`Form`], and what anybody may do is decided by the verbs of `service`.
//!
//! One file per family of pages; `parts` holds the markup, `texts` the words. Called by `routes`.

mod accounts;
mod actions;
mod admins;
mod any_command;
mod assets;
mod audit;
mod backups;
mod building;
mod bulk;
mod commands;
mod device;
mod devices;
mod directory;
mod doctor;
mod enrolling;
mod expiry;
mod filters;
mod forecast;
mod form;
mod frame;
mod home;
mod keys;
mod mail;
mod marks;
mod pairs;
mod parts;
mod people;
mod plans;
mod plots;
mod profiles;
mod provisioning;
mod reports;
mod schedules;
mod schema_form;
mod secrets;
mod session;
mod settings;
mod sheets;
mod show_json;
mod stock;
mod story;
mod texts;
mod timing;
mod upkeep;
mod webhooks;

use super::message::{Head, Request, Response};
use super::origin::Origin;
use super::query;
use crate::base::texts::Text;
use crate::base::time::Timestamp;
use crate::service::actor::{Actor, Permission};
use crate::service::ports::PushSender;
use crate::service::push_signing::SigningService;
use crate::service::variables::Whose;
use crate::service::{Context, Error, Kind, auditing, overview};
use ::http::Method;
use form::Form;
use frame::Page;
use std::net::IpAddr;
use texts::Words;

/// What the console may use beside the database.
pub struct World<'a> {
    pub sender: Option<&'a dyn PushSender>,
    pub signing: Option<&'a SigningService>,
    pub trusted: &'a [IpAddr],
}

/// What a page sees of a request.
pub struct Visit<'a> {
    cx: &'a Context,
    world: &'a World<'a>,
    request: &'a Request,
    actor: Actor,
    /// What forms of this session carry.
    token: String,
    words: &'static Words,
    now: Timestamp,
    /// What somebody sent that could not be done, and why: the form is shown again with it.
    refused: Option<(&'a Form, String)>,
    /// Which field was wrong, and why.
    wrong: Option<(&'static str, String)>,
}

/// What a page answers.
enum Answer {
    Page(Box<Page>),
    /// A piece of a page, for a part that renews itself.
    Piece(parts::Html),
    /// Done; the browser goes on to this address of ours.
    To(String),
    File(Response),
}

impl From<Page> for Answer {
    fn from(page: Page) -> Self {
        Answer::Page(Box::new(page))
    }
}

type Outcome = Result<Answer, Error>;

impl Visit<'_> {
    fn query(&self, name: &str) -> Option<String> {
        // Browsers write the blanks of a form as `+`.
        let query = self.request.query.as_deref()?.replace('+', "%20");
        query::find(Some(&query), name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty())
    }

    fn may(&self, permission: Permission) -> bool {
        self.actor.require(permission).is_ok()
    }

    /// What somebody typed into this field before the form was refused.
    fn typed(&self, field: &str) -> Option<&str> {
        self.refused.as_ref().and_then(|(form, _)| form.get(field))
    }

    /// Why what was typed into this field was refused.
    fn wrong(&self, field: &str) -> Option<&str> {
        self.wrong.as_ref().filter(|(name, _)| *name == field).map(|(_, words)| words.as_str())
    }

    /// Whether a box is ticked: as somebody left it in a form that was refused, else as it is held.
    fn ticked(&self, field: &str, held: bool) -> Option<&'static str> {
        self.refused.as_ref().map_or(held, |(form, _)| form.ticked(field)).then_some("yes")
    }

    fn is_office(&self) -> bool {
        std::ptr::eq(self.words, &texts::OFFICE)
    }
}

/// Whether a path is this room's.
pub fn is_here(path: &str) -> bool {
    path == "/" || path == "/console" || path.starts_with("/console/")
}

/// Whether whoever sends this claims to be logged in; whether they are is looked at with the whole request.
pub fn may_be_somebody(head: &Head<'_>) -> bool {
    let cookies = head.headers.get_all("cookie").iter().filter_map(|header| header.to_str().ok());
    head.path != "/console/login" && cookies.flat_map(|header| header.split(';')).any(session::is_one)
}

pub fn handle(cx: &Context, world: &World<'_>, request: &Request) -> Response {
    let path = request.path.as_str();
    if let Some(file) = assets::find(path) {
        return file;
    }
    let office = matches!(overview::place(cx), Ok(overview::Place::Office));
    let words = if office { &texts::OFFICE } else { &texts::ENGLISH };
    let from = Origin::of(request, world.trusted);
    if path == "/console/login" {
        return session::door(cx, words, request, &from);
    }
    if !matches!(request.method, Method::GET | Method::HEAD | Method::POST) {
        return Response::text(405, "This address is used in another way.\n").with_header("allow", "GET, HEAD, POST");
    }
    let (actor, token) = match session::find(cx, request, &from) {
        Ok(found) => found,
        Err(_) => return session::to_the_door(request),
    };
    let visit = Visit { cx, world, request, actor, token, words, now: cx.now(), refused: None, wrong: None };
    let decoded: Option<Vec<String>> = path
        .split('/')
        .filter(|part| !part.is_empty())
        .skip(1)
        .map(|part| query::percent_decode(part).and_then(|bytes| String::from_utf8(bytes).ok()))
        .collect();
    let decoded = decoded.unwrap_or_else(|| vec![String::from("?")]);
    let parts: Vec<&str> = decoded.iter().map(String::as_str).collect();
    if request.method == Method::POST { change(visit, &parts) } else { show(&visit, &parts) }
}

fn show(visit: &Visit<'_>, parts: &[&str]) -> Response {
    match look(visit, parts) {
        Ok(answer) => frame::answer(visit, answer, 200),
        Err(error) => frame::refusal(visit, note_refusal(visit, error)),
    }
}

fn change(visit: Visit<'_>, parts: &[&str]) -> Response {
    let form = match Form::check(visit.request, &visit.token) {
        Ok(form) => form,
        Err(error) => return frame::refusal(&visit, error),
    };
    match act(&visit, parts, &form) {
        Ok(answer) => frame::answer(&visit, answer, 200),
        Err(error) => {
            let error = note_refusal(&visit, error);
            let status = frame::status(&error);
            if error.kind == Kind::Internal {
                return frame::refusal(&visit, error);
            }
            // The form again, with what was typed and what is wrong with it.
            let words = error.public.to_string();
            let at = if let Text::Planning(said) = &error.public { said.field() } else { None };
            let again = Visit {
                wrong: at.map(|field| (field, words.clone())),
                refused: Some((&form, words)),
                actor: visit.actor.clone(),
                token: visit.token.clone(),
                ..visit
            };
            match look(&again, parts) {
                Ok(Answer::Page(page)) => frame::answer(&again, Answer::Page(page), status),
                _ => frame::refusal(&again, error),
            }
        }
    }
}

/// What somebody may not do leaves a trace, whatever the page.
fn note_refusal(visit: &Visit<'_>, error: Error) -> Error {
    if error.kind != Kind::Denied {
        return error;
    }
    let path: String = visit.request.path.chars().take(200).collect();
    let device = path.strip_prefix("/console/devices/").and_then(|rest| rest.split('/').next()).map(str::to_owned);
    let detail = serde_json::json!({ "method": visit.request.method.as_str(), "path": path });
    auditing::refuse(visit.cx, &visit.actor, "request", device.as_deref(), detail, error)
}

fn nothing_here(visit: &Visit<'_>) -> Error {
    Error::not_found(Text::NoSuchRoute { path: visit.request.path.chars().take(200).collect() })
}

/// The pages.
fn look(v: &Visit<'_>, parts: &[&str]) -> Outcome {
    match parts {
        [] => home::show(v),
        ["devices"] => devices::list(v),
        ["devices", id] => device::show(v, id),
        ["devices", id, "story"] => device::whole_story(v, id),
        ["devices", id, "why", profile] => device::why(v, id, profile),
        ["devices", id, "fields"] => device::show(v, id),
        ["devices", id, "sheet"] => sheets::ask_sealed(v, id),
        ["devices", id, "theft"] => sheets::ask_theft(v, id),
        ["devices", id, "secrets"] => secrets::of_device(v, id),
        ["devices", id, "secrets", kind] => secrets::ask(v, id, kind),
        ["devices", id, "command"] => any_command::choose(v, id),
        ["devices", id, "command", request_type] => any_command::show(v, id, request_type),
        ["devices", id, verb] => match actions::find(verb) {
            Some(deed) => actions::show(v, id, deed),
            None => Err(nothing_here(v)),
        },
        ["commands"] => commands::list(v),
        ["commands", uuid] => commands::show(v, uuid),
        ["commands", uuid, "now"] => commands::now(v, uuid),
        ["bulk"] => bulk::ask(v),
        ["bulk", id] => bulk::show(v, id),
        ["bulk", id, "now"] => bulk::now(v, id),
        ["enrolment"] => enrolling::show(v),
        ["enrolment", "invite"] => enrolling::invite(v),
        ["enrolment", "profile"] => enrolling::profile(v),
        ["profiles"] => profiles::list(v),
        ["profiles", "new"] => profiles::new(v),
        ["profiles", "build"] => building::choose(v),
        ["profiles", "build", kind] => building::form(v, kind),
        ["profiles", id, "versions"] => building::history(v, id),
        ["profiles", id] | ["profiles", id, "assign" | "remove" | "split"] => profiles::show(v, id),
        ["accounts"] => accounts::all(v),
        ["accounts", "new"] => accounts::choose(v),
        ["accounts", "new", kind] => accounts::new(v, kind),
        ["accounts", id] | ["accounts", id, "password" | "repair" | "remove"] => accounts::show(v, id),
        ["provisioning"] => provisioning::all(v),
        ["provisioning", "new"] => provisioning::new(v),
        ["provisioning", id] | ["provisioning", id, "assign" | "remove" | "retry"] => provisioning::show(v, id),
        ["inventory"] => stock::search(v),
        ["inventory", name] => stock::file(v, name),
        ["schedules"] | ["schedules", "calendar"] => schedules::list(v),
        ["schedules", "new"] => schedules::new(v),
        ["schedules", name] | ["schedules", name, "remove"] => schedules::show(v, name),
        ["groups"] => people::groups(v),
        ["groups", "filter"] => filters::show(v),
        ["groups", "filter", "now"] => filters::now(v),
        ["pairs"] => pairs::list(v),
        ["pairs", "new"] => pairs::new(v),
        ["pairs", id] | ["pairs", id, _] => pairs::show(v, id),
        ["plans"] => plans::list(v),
        ["plans", "new"] => plans::new(v),
        ["plans", id] | ["plans", id, "remove"] => plans::show(v, id),
        ["directory"] | ["directory", _] => directory::show(v),
        ["keys"] | ["keys", _] => keys::show(v),
        ["groups", "new"] => people::new_group(v),
        ["groups", name] | ["groups", name, "add" | "dissolve"] => people::group(v, name),
        ["people"] => people::list(v),
        ["people", "new"] => people::new(v),
        ["people", "import"] => people::import(v),
        ["people", name] | ["people", name, "fields"] => people::show(v, name),
        ["requests"] => secrets::requests(v),
        ["requests", id] => secrets::ask_to_agree(v, id),
        ["audit"] => audit::list(v),
        ["audit", "export"] => audit::download(v),
        ["upkeep"] => upkeep::show(v),
        ["doctor"] => doctor::show(v),
        ["doctor", "now"] => doctor::now(v),
        ["expiry"] => expiry::show(v),
        ["backups"] => backups::show(v),
        ["backups", name] => backups::download(v, name),
        ["security"] => reports::security(v),
        ["quiet"] => reports::quiet(v),
        ["support"] => reports::support(v),
        ["mail"] | ["mail", "test" | "remove"] => mail::show(v),
        ["webhooks"] => webhooks::list(v),
        ["webhooks", "new"] => webhooks::new(v),
        ["webhooks", id] => webhooks::show(v, id),
        ["push"] | ["push", "request" | "import"] => settings::push(v),
        ["settings"] | ["settings", _] => settings::show(v),
        ["admins"] => admins::list(v),
        ["admins", "new"] => admins::new(v),
        ["admins", name] => admins::show(v, name),
        ["tokens", "new"] => admins::new_token(v),
        ["account"] | ["account", "app"] | ["account", "app", "remove"] => admins::account(v),
        ["account", "app", "confirm"] => admins::confirm_again(v),
        _ => Err(nothing_here(v)),
    }
}

/// What forms do.
fn act(v: &Visit<'_>, parts: &[&str], form: &Form) -> Outcome {
    match parts {
        ["logout"] => session::logout(v),
        ["devices", device, verb @ ("take-back" | "release-quarantine" | "rebind" | "renew")] => {
            home::decide(v, device, verb)?;
            Ok(Answer::To(String::from("/console?said=decided")))
        }
        ["devices", id, verb @ ("push" | "ask")] => device::call(v, id, verb),
        ["devices", id, "fields"] => filters::change_field(v, Whose::Device(id), &marks::device_path(id), form),
        ["devices", id, "sheet"] => sheets::sealed(v, id, form),
        ["devices", id, "theft"] => sheets::theft(v, id, form),
        ["devices", id, "secrets", kind] => secrets::reveal(v, id, kind, form),
        ["devices", id, "command", request_type] => any_command::send(v, id, request_type, form),
        ["devices", id, verb] => match actions::find(verb) {
            Some(deed) => actions::act(v, id, deed, form),
            None => Err(nothing_here(v)),
        },
        ["commands", uuid, "cancel"] => commands::cancel(v, uuid),
        ["bulk"] => bulk::begin(v, form),
        ["enrolment", "invite"] => enrolling::make(v, form),
        ["enrolment", "invitations", id, "revoke"] => enrolling::revoke(v, id),
        ["enrolment", "profile"] => enrolling::download(v, form),
        ["profiles", "new"] => profiles::add(v, form),
        ["profiles", "build", kind] => building::make(v, kind, form),
        ["profiles", id, verb] => profiles::act(v, id, verb, form),
        ["accounts", "new", kind] => accounts::add(v, kind, form),
        ["accounts", id, verb] => accounts::act(v, id, verb, form),
        ["provisioning", "new"] => provisioning::add(v, form),
        ["provisioning", id, verb] => provisioning::act(v, id, verb, form),
        ["schedules", "new"] => schedules::add(v, form),
        ["schedules", "calendar"] => schedules::set_calendar(v, form),
        ["schedules", name] => schedules::change(v, name, form),
        ["schedules", name, "remove"] => schedules::remove(v, name),
        ["groups", "new"] => people::add_group(v, form),
        ["groups", name, "filter"] => filters::keep(v, name, form),
        ["pairs", "new"] => pairs::add(v, form),
        ["pairs", id, verb] => pairs::act(v, id, verb, form),
        ["plans", "new"] => plans::add(v, form),
        ["plans", id, "remove"] => plans::remove(v, id),
        ["directory"] => directory::set(v, form),
        ["directory", verb] => directory::act(v, verb),
        ["keys", verb] => keys::act(v, verb, form),
        ["groups", name, verb] => people::change_group(v, name, verb, form),
        ["people", "new"] => people::add(v, form),
        ["people", "import"] => people::do_import(v, form),
        ["people", name] => people::change(v, name, form),
        ["people", name, "erase"] => people::erase(v, name),
        ["people", name, "fields"] => filters::change_field(v, Whose::Person(name), &people::person_path(name), form),
        ["requests", id] => secrets::agree(v, id, form),
        ["audit", "verify"] => audit::verify(v),
        ["doctor"] => doctor::begin(v),
        ["expiry", verb] => expiry::act(v, verb, form),
        ["backups"] => backups::take(v),
        ["quiet"] => reports::change_policy(v, form),
        ["support"] => reports::make_bundle(v),
        ["mail"] => mail::set(v, form),
        ["mail", verb] => mail::act(v, verb),
        ["webhooks", "new"] => webhooks::add(v, form),
        ["webhooks", id] => webhooks::act(v, id, None, form),
        ["webhooks", id, "again", delivery] => webhooks::again(v, id, delivery),
        ["webhooks", id, verb] => webhooks::act(v, id, Some(verb), form),
        ["push", "request"] => settings::request_push(v, form),
        ["push", "import"] => settings::import_push(v, form),
        ["settings", which] => settings::save(v, which, form),
        ["admins", "new"] => admins::add(v, form),
        ["admins", name] => admins::change(v, name, form),
        ["admins", name, "unlock"] => admins::unlock(v, name),
        ["admins", name, "sessions", id] => admins::end_session(v, name, id),
        ["tokens", "new"] => admins::add_token(v, form),
        ["tokens", id, "revoke"] => admins::revoke_token(v, id),
        ["account"] => admins::change_own(v, form),
        ["account", "app"] => admins::begin_app(v, form),
        ["account", "app", "confirm"] => admins::confirm_app(v, form),
        ["account", "app", "remove"] => admins::remove_app(v, form),
        _ => Err(nothing_here(v)),
    }
}
