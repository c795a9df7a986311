//! The API edge: `/api/v1/…` in JSON, for scripts with a token and for the command line over the control socket. Who, what, do, answer;
//! the roles are checked by the verbs. `views` holds the shapes, `openapi` describes them from the same code.

mod accounts;
mod authorities;
mod bulk;
mod commands;
mod devices;
mod enrollment;
mod fields;
mod inventory;
mod leaving;
mod openapi;
mod reply;
mod school;
mod views;
mod webhooks;

mod people;

mod backups;
mod custody;
mod doctor;
mod expiry;
mod invitations;
mod keys;
mod mail;
mod reports;
mod retention;
mod sheets;
mod support;

mod directory;
mod groups;
mod users;

mod channels;
mod payloads;
mod profiles;
mod provisioning;
mod schedules;
mod setup_plans;

use super::message::{Door, Request, Response};
use super::{origin, query};
use crate::base::texts::Text;
use crate::service::actor::Actor;
use crate::service::ports::PushSender;
use crate::service::push_signing::SigningService;
use crate::service::{Context, Error, Kind, auditing, login, tokens};
use ::http::Method;
use reply::{json, problem};
use serde_json::Value;
use std::net::IpAddr;

/// What a handler sees of a request.
struct Call<'a> {
    cx: &'a Context,
    request: &'a Request,
    actor: Actor,
    sender: Option<&'a dyn PushSender>,
    signing: Option<&'a SigningService>,
}

impl Call<'_> {
    fn query(&self, name: &str) -> Option<String> {
        query::find(self.request.query.as_deref(), name)
    }

    /// `limit`, 1 to [`crate::base::limits::MAX_PAGE`]; 100 by default.
    fn limit(&self) -> Result<usize, Error> {
        let max = crate::base::limits::MAX_PAGE;
        match self.query("limit") {
            None => Ok(100),
            Some(text) => match text.parse() {
                Ok(n) if (1..=max).contains(&n) => Ok(n),
                _ => Err(Error::invalid(Text::BadArgument {
                    key: String::from("limit"),
                    why: format!("must be a number from 1 to {max}"),
                })),
            },
        }
    }

    /// `cursor`, a number that an earlier page gave.
    fn cursor(&self) -> Result<Option<i64>, Error> {
        let bad = |_| {
            Error::invalid(Text::BadArgument {
                key: String::from("cursor"),
                why: String::from("is not one that a list gave"),
            })
        };
        self.query("cursor").map(|text| text.parse().map_err(bad)).transpose()
    }

    /// The body as JSON of a known shape; an empty body counts as `{}`.
    fn body<T: serde::de::DeserializeOwned>(&self) -> Result<T, Error> {
        body(self.request)
    }
}

fn body<T: serde::de::DeserializeOwned>(request: &Request) -> Result<T, Error> {
    let bytes: &[u8] = if request.body.bytes.is_empty() { b"{}" } else { &request.body.bytes };
    // A list would be taken for the fields in their order, which nobody was promised.
    if bytes.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        return Err(Error::invalid(Text::BadBody { why: String::from("it is not a JSON object") }));
    }
    serde_json::from_slice(bytes).or_else(|error| {
        let bad = || Error::invalid(Text::BadBody { why: error.to_string() });
        let mut value: Value = serde_json::from_slice(bytes).map_err(|_| bad())?;
        if settle_numbers(&mut value) { serde_json::from_value(value).map_err(|_| bad()) } else { Err(bad()) }
    })
}

/// JSON knows one kind of number: 95.0 is the integer 95, whoever wrote it. `false` when there was none like that.
fn settle_numbers(value: &mut Value) -> bool {
    match value {
        Value::Number(number) if number.is_f64() => {
            let whole = number.as_f64().filter(|n| n.fract() == 0.0 && n.abs() < 9_007_199_254_740_992.0);
            if let Some(whole) = whole {
                *value = Value::from(whole as i64);
            }
            whole.is_some()
        }
        Value::Array(items) => items.iter_mut().fold(false, |any, item| settle_numbers(item) | any),
        Value::Object(map) => map.values_mut().fold(false, |any, item| settle_numbers(item) | any),
        _ => false,
    }
}

/// One API request.
pub fn handle(
    cx: &Context,
    request: &Request,
    sender: Option<&dyn PushSender>,
    signing: Option<&SigningService>,
    trusted: &[IpAddr],
) -> Response {
    let from = origin::Origin::of(request, trusted);
    let result = if request.method == Method::POST && request.path == "/api/v1/login" {
        people::login(cx, request, &from)
    } else {
        actor(cx, request, &from).and_then(|actor| {
            let call = Call { cx, request, actor, sender, signing };
            dispatch(&call).map_err(|error| note_refusal(&call, error))
        })
    };
    let mut response = result.unwrap_or_else(|e| problem(request, e));
    response.headers.push(("cache-control", String::from("no-store")));
    response
}

/// `/healthz`: everything for the local socket, a bare word for the outside.
pub fn health(cx: &Context, door: Door) -> Response {
    school::health(cx, door)
}

/// What somebody may not do leaves a trace, whatever the operation.
fn note_refusal(call: &Call<'_>, error: Error) -> Error {
    if error.kind != Kind::Denied {
        return error;
    }
    let path = call.request.path.strip_prefix("/api/v1").unwrap_or_default();
    let device = path.strip_prefix("/devices/").and_then(|rest| rest.split('/').next());
    let path: String = path.chars().take(200).collect();
    let detail = serde_json::json!({ "method": call.request.method.as_str(), "path": path });
    auditing::refuse(call.cx, &call.actor, "request", device, detail, error)
}

/// On the control socket the caller may use the database file itself: owner, under the name of the process's user. Everywhere else a
/// token is needed.
fn actor(cx: &Context, request: &Request, from: &origin::Origin) -> Result<Actor, Error> {
    if request.door == Door::Control {
        return Ok(Actor::LocalShell { user: from.local_user() });
    }
    let header = request.header("authorization").ok_or_else(|| Error::denied(Text::LoginNeeded))?;
    let (scheme, token) = header.split_once(' ').ok_or_else(|| Error::denied(Text::LoginNeeded))?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Error::denied(Text::LoginNeeded));
    }
    let token = token.trim();
    if login::is_session_token(token) {
        login::authenticate(cx, token, from.words())
    } else {
        tokens::authenticate(cx, token, from.words())
    }
}

fn dispatch(call: &Call<'_>) -> Result<Response, Error> {
    let path = call.request.path.strip_prefix("/api/v1/").unwrap_or_default();
    let decoded: Option<Vec<String>> = path
        .split('/')
        .map(|part| query::percent_decode(part).and_then(|bytes| String::from_utf8(bytes).ok()))
        .collect();
    let decoded = decoded.unwrap_or_default();
    let parts: Vec<&str> = decoded.iter().map(String::as_str).collect();
    let method = &call.request.method;
    match (method, parts.as_slice()) {
        (&Method::GET, ["openapi.json"]) => Ok(json(200, &openapi::document())),
        (&Method::GET, ["devices"]) => devices::list(call),
        (&Method::GET, ["devices", device]) => devices::show(call, device),
        (&Method::GET, ["devices", device, "users"]) => devices::users(call, device),
        (&Method::POST, ["devices", device, "push"]) => devices::push(call, device),
        (&Method::GET, ["devices", device, "commands"]) => commands::list(call, Some(device)),
        (&Method::POST, ["devices", device, "commands"]) => commands::send(call, device),
        (&Method::POST, ["devices", device, "remove"]) => leaving::remove(call, device),
        (&Method::POST, ["devices", device, "release"]) => leaving::release(call, device),
        (&Method::POST, ["devices", device, "block"]) => leaving::block(call, device),
        (&Method::POST, ["devices", device, "unblock"]) => leaving::unblock(call, device),
        (&Method::POST, ["devices", device, "take-back"]) => leaving::take_back(call, device),
        (&Method::POST, ["devices", device, "release-quarantine"]) => leaving::release_quarantine(call, device),
        (&Method::POST, ["devices", device, "rebind"]) => leaving::rebind(call, device),
        (&Method::POST, ["devices", device, "renew"]) => authorities::renew(call, device),
        (&Method::GET, ["attention"]) => leaving::list(call),
        (&Method::GET, ["device-policy"]) => leaving::show_policy(call),
        (&Method::PATCH, ["device-policy"]) => leaving::change_policy(call),
        (&Method::POST, ["renewals"]) => authorities::renew_due(call),
        (&Method::GET, ["certificates"]) => authorities::list(call),
        (&Method::POST, ["certificates", which, "revoke"]) => authorities::revoke(call, which),
        (&Method::GET, ["authorities"]) => authorities::status(call),
        (&Method::POST, ["authorities", "replace"]) => authorities::replace(call),
        (&Method::POST, ["authorities", "finish"]) => authorities::finish(call),
        (&Method::POST, ["authorities", "cancel"]) => authorities::cancel(call),
        (&Method::POST, ["tls", "renew"]) => authorities::renew_tls(call),
        (&Method::GET, ["bulk"]) => bulk::list(call),
        (&Method::POST, ["bulk"]) => bulk::begin(call),
        (&Method::GET, ["bulk", id]) => bulk::show(call, id),
        (&Method::GET, ["bulk", id, "items"]) => bulk::items(call, id),
        (&Method::DELETE, ["bulk", id]) => bulk::cancel(call, id),
        (&Method::GET, ["commands"]) => commands::list(call, call.query("device").as_deref()),
        (&Method::GET, ["commands", uuid]) => commands::show(call, uuid),
        (&Method::DELETE, ["commands", uuid]) => commands::cancel(call, uuid),
        (&Method::GET, ["commands", uuid, "explain"]) => commands::explain(call, uuid),
        (&Method::POST, ["enrollments", "profile"]) => enrollment::profile(call),
        (&Method::GET, ["enrollment-policy"]) => enrollment::show_policy(call),
        (&Method::PATCH, ["enrollment-policy"]) => enrollment::change_policy(call),
        (&Method::GET, ["tls"]) => enrollment::show_tls(call),
        (&Method::PUT, ["tls"]) => enrollment::choose_tls(call),
        (&Method::GET, ["push-certificates"]) => school::list_push_certificates(call),
        (&Method::POST, ["push-certificates"]) => school::import_push_certificate(call),
        (&Method::POST, ["push-certificates", "request"]) => school::request_push_certificate(call),
        (&Method::POST, ["push-certificates", "request", "signed"]) => school::open_signed_push_request(call),
        (&Method::GET, ["tokens"]) => school::list_tokens(call),
        (&Method::POST, ["tokens"]) => school::create_token(call),
        (&Method::DELETE, ["tokens", id]) => school::revoke_token(call, id),
        (&Method::GET, ["audit"]) => school::list_audit(call),
        (&Method::GET, ["audit", "export"]) => school::export_audit(call),
        (&Method::GET, ["audit", "verify"]) => school::verify_audit(call),
        (&Method::POST, ["setup"]) => school::set_up(call),

        (&Method::GET, ["setup"]) => school::show_setup(call),
        (&Method::POST, ["logout"]) => people::logout(call),
        (&Method::GET, ["admins"]) => people::list(call),
        (&Method::POST, ["admins"]) => people::create(call),
        (&Method::PATCH, ["admins", name]) => people::change(call, name),
        (&Method::POST, ["admins", name, "unlock"]) => people::unlock(call, name),
        (&Method::GET, ["admins", name, "sessions"]) => people::sessions(call, name),
        (&Method::DELETE, ["admins", name, "sessions"]) => people::end_sessions(call, name, None),
        (&Method::DELETE, ["admins", name, "sessions", id]) => people::end_sessions(call, name, Some(id)),
        (&Method::POST, ["admins", name, "totp"]) => people::enrol_totp(call, name),
        (&Method::POST, ["admins", name, "totp", "confirm"]) => people::confirm_totp(call, name),
        (&Method::DELETE, ["admins", name, "totp"]) => people::remove_totp(call, name),
        (&Method::POST, ["recovery-code"]) => people::new_recovery_code(call),
        (&Method::POST, ["recovery-code", "check"]) => people::check_recovery_code(call),
        (&Method::GET, ["webhooks"]) => webhooks::list(call),
        (&Method::POST, ["webhooks"]) => webhooks::create(call),
        (&Method::GET, ["webhooks", id]) => webhooks::show(call, id),
        (&Method::PATCH, ["webhooks", id]) => webhooks::change(call, id),
        (&Method::DELETE, ["webhooks", id]) => webhooks::remove(call, id),
        (&Method::POST, ["webhooks", id, "secret"]) => webhooks::rotate(call, id),
        (&Method::POST, ["webhooks", id, "deliveries", delivery, "redeliver"]) => {
            webhooks::redeliver(call, id, delivery)
        }
        (&Method::POST, ["webhooks", id, "test"]) => webhooks::test(call, id),
        (&Method::GET, ["webhooks", id, "deliveries"]) => webhooks::deliveries(call, id),
        (&Method::GET, ["mail"]) => mail::show(call),
        (&Method::PUT, ["mail"]) => mail::set(call),
        (&Method::DELETE, ["mail"]) => mail::remove(call),
        (&Method::POST, ["mail", "test"]) => mail::test(call),
        (&Method::GET, ["mail", "log"]) => mail::log(call),
        (&Method::GET, ["invitations"]) => invitations::list(call),
        (&Method::POST, ["invitations"]) => invitations::make(call),
        (&Method::POST, ["invitations", "sheet"]) => invitations::print(call),
        (&Method::DELETE, ["invitations", id]) => invitations::revoke(call, id),
        (&Method::GET, ["enrollment-door"]) => invitations::show_door(call),
        (&Method::PATCH, ["enrollment-door"]) => invitations::change_door(call),
        (&Method::POST, ["filevault", "profile"]) => custody::escrow_profile(call),
        (&Method::POST, ["devices", device, "filevault"]) => custody::escrow_filevault(call, device),
        (&Method::POST, ["devices", device, "secrets", "sheet"]) => sheets::secrets(call, device),
        (&Method::POST, ["devices", device, "theft-sheet"]) => sheets::theft(call, device),
        (&Method::POST, ["devices", device, "activation-lock-code"]) => custody::make_bypass_code(call, device),
        (&Method::POST, ["setup", "link"]) => school::make_setup_link(call),
        (&Method::GET, ["reports", "security"]) => reports::security(call),
        (&Method::GET, ["reports", "activity"]) => reports::activity(call),
        (&Method::GET, ["activity-policy"]) => reports::show_policy(call),
        (&Method::PATCH, ["activity-policy"]) => reports::change_policy(call),
        (&Method::POST, ["support-bundle"]) => support::bundle(call),
        (&Method::POST, ["doctor"]) => doctor::examine(call),
        (&Method::GET, ["expiry"]) => expiry::list(call),
        (&Method::POST, ["expiry", "feed"]) => expiry::open_feed(call),
        (&Method::DELETE, ["expiry", "feed"]) => expiry::close_feed(call),
        (&Method::GET, ["backup"]) => backups::list(call),
        (&Method::POST, ["backup"]) => backups::take(call),
        (&Method::GET, ["backup", name]) => backups::download(call, name),
        (&Method::GET, ["retention"]) => retention::show(call),
        (&Method::PATCH, ["retention"]) => retention::change(call),
        (&Method::GET, ["key"]) => keys::show(call),
        (&Method::POST, ["key", "rotate"]) => keys::rotate(call),
        (&Method::POST, ["key", "machine-key"]) => keys::replace_machine_key(call),
        (&Method::GET, ["devices", device, "secrets"]) => custody::list(call, device),
        (&Method::POST, ["devices", device, "secrets", kind, "reveal"]) => custody::reveal(call, device, kind),
        (&Method::GET, ["devices", device, "explain"]) => channels::explain(call, device),
        (&Method::GET, ["devices", device, "profiles"]) => channels::profiles(call, device),
        (&Method::GET, ["login-policy"]) => channels::show_policy(call),
        (&Method::POST, ["login-policy"]) => channels::set_policy(call),
        (&Method::GET, ["setup-plans"]) => setup_plans::list(call),
        (&Method::POST, ["setup-plans"]) => setup_plans::create(call),
        (&Method::GET, ["setup-plans", id]) => setup_plans::show(call, id),
        (&Method::DELETE, ["setup-plans", id]) => setup_plans::remove(call, id),
        (&Method::GET, ["profiles"]) => profiles::list(call),
        (&Method::POST, ["profiles"]) => profiles::add(call),
        (&Method::GET, ["devices", device, "profiles", id, "why"]) => profiles::why(call, device, id),
        (&Method::GET, ["profiles", id]) => profiles::show(call, id),
        (&Method::POST, ["profiles", "build"]) => profiles::make(call),
        (&Method::POST, ["commands", "check"]) => commands::check(call),
        (&Method::GET, ["inventory-policy"]) => inventory::show(call),
        (&Method::PATCH, ["inventory-policy"]) => inventory::set(call),
        (&Method::GET, ["inventory"]) => inventory::search(call),
        (&Method::GET, ["inventory", "devices"]) => inventory::export(call),
        (&Method::GET, ["devices", device, "inventory"]) => inventory::of_device(call, device),
        (&Method::GET, ["devices", device, "changes"]) => inventory::changes(call, device),
        (&Method::GET, ["profiles", id, "versions"]) => profiles::versions(call, id),
        (&Method::GET, ["profiles", id, "diff"]) => profiles::diff(call, id),
        (&Method::GET, ["profiles", id, "doubts"]) => profiles::doubts(call, id),
        (&Method::GET, ["payload-types"]) => payloads::list(call),
        (&Method::GET, ["payload-types", kind]) => payloads::show(call, kind),
        (&Method::GET, ["devices", device, "fields"]) => fields::of_device(call, device),
        (&Method::PATCH, ["devices", device, "fields"]) => fields::change_device(call, device),
        (&Method::GET, ["users", name, "fields"]) => fields::of_user(call, name),
        (&Method::PATCH, ["users", name, "fields"]) => fields::change_user(call, name),
        (&Method::PATCH, ["profiles", id]) => profiles::change(call, id),
        (&Method::POST, ["profiles", id, "retry"]) => profiles::retry(call, id),
        (&Method::GET, ["profiles", id, "refusals"]) => profiles::refusals(call, id),
        (&Method::DELETE, ["profiles", id]) => profiles::remove(call, id),
        (&Method::POST, ["profiles", id, "split"]) => profiles::split(call, id),
        (&Method::GET, ["provisioning"]) => provisioning::list(call),
        (&Method::POST, ["provisioning"]) => provisioning::add(call),
        (&Method::GET, ["provisioning", id]) => provisioning::show(call, id),
        (&Method::DELETE, ["provisioning", id]) => provisioning::remove(call, id),
        (&Method::POST, ["provisioning", id, "assign"]) => provisioning::assign(call, id, true),
        (&Method::POST, ["provisioning", id, "unassign"]) => provisioning::assign(call, id, false),
        (&Method::POST, ["provisioning", id, "retry"]) => provisioning::retry(call, id),
        (&Method::GET, ["provisioning", id, "devices"]) => provisioning::devices(call, id),
        (&Method::GET, ["devices", device, "provisioning"]) => provisioning::of_device(call, device),
        (&Method::POST, ["devices", device, "provisioning", "remove-again"]) => {
            provisioning::remove_again(call, device)
        }
        (&Method::GET, ["accounts"]) => accounts::list(call),
        (&Method::POST, ["accounts"]) => accounts::add(call),
        (&Method::GET, ["accounts", id]) => accounts::show(call, id),
        (&Method::PATCH, ["accounts", id]) => accounts::change(call, id),
        (&Method::DELETE, ["accounts", id]) => accounts::remove(call, id),
        (&Method::POST, ["accounts", id, "password"]) => accounts::password(call, id),
        (&Method::POST, ["accounts", id, "repair"]) => accounts::repair(call, id),
        (&Method::POST, ["profiles", id, "assign"]) => profiles::assign(call, id),
        (&Method::POST, ["profiles", id, "unassign"]) => profiles::unassign(call, id),
        (&Method::GET, ["secret-requests"]) => custody::list_requests(call),
        (&Method::POST, ["secret-requests", id, "approve"]) => custody::approve(call, id),
        (&Method::POST, ["secret-rule"]) => custody::set_rule(call),
        (&Method::POST, ["devices", device, "lost"]) => custody::lost(call, device),
        (&Method::POST, ["devices", device, "found"]) => custody::found(call, device),
        (&Method::POST, ["devices", device, "locate"]) => custody::locate(call, device),
        (&Method::POST, ["devices", device, "whereabouts"]) => custody::whereabouts(call, device),
        (&Method::GET, ["users"]) => users::list(call),
        (&Method::POST, ["users"]) => users::create(call),
        (&Method::POST, ["users", "import"]) => users::import(call),
        (&Method::GET, ["network-users"]) => users::show_policy(call),
        (&Method::PATCH, ["network-users"]) => users::change_policy(call),
        (&Method::GET, ["directory"]) => directory::show(call),
        (&Method::PUT, ["directory"]) => directory::set(call),
        (&Method::DELETE, ["directory"]) => directory::remove(call),
        (&Method::POST, ["directory", "test"]) => directory::test(call),
        (&Method::POST, ["directory", "sync"]) => directory::sync(call),
        (&Method::GET, ["calendar"]) => schedules::calendar(call),
        (&Method::PATCH, ["calendar"]) => schedules::set_calendar(call),
        (&Method::GET, ["schedules"]) => schedules::list(call),
        (&Method::POST, ["schedules"]) => schedules::create(call),
        (&Method::GET, ["schedules", name]) => schedules::show(call, name),
        (&Method::PATCH, ["schedules", name]) => schedules::change(call, name),
        (&Method::DELETE, ["schedules", name]) => schedules::remove(call, name),
        (&Method::GET, ["groups"]) => groups::list(call),
        (&Method::POST, ["groups"]) => groups::create(call),
        (&Method::GET, ["groups", name]) => groups::show(call, name),
        (&Method::PATCH, ["groups", name]) => groups::change(call, name),
        (&Method::DELETE, ["groups", name]) => groups::remove(call, name),
        (&Method::POST, ["groups", name, "members"]) => groups::add_members(call, name),
        (&Method::POST, ["groups", name, "members", "remove"]) => groups::remove_members(call, name),
        (&Method::GET, ["users", name]) => users::show(call, name),
        (&Method::PATCH, ["users", name]) => users::change(call, name),
        (&Method::DELETE, ["users", name]) => users::erase(call, name),
        _ => match openapi::methods(call.request.path.strip_prefix("/api/v1").unwrap_or_default()) {
            // With the right method the path has something in it that is no name of anything.
            methods
                if methods.is_empty()
                    || methods.iter().any(|m| call.request.method.as_str().eq_ignore_ascii_case(m)) =>
            {
                Err(Error::not_found(Text::NoSuchRoute { path: call.request.path.chars().take(200).collect() }))
            }
            methods => Ok(reply::wrong_method(call.request, &methods)),
        },
    }
}
