//! `/login`, `/logout`, `/admins`, `/recovery-code`: the people who log in by name, and the second key to the school.

use super::reply::json;
use super::views::Page;
use super::{Call, Request, Response};
use crate::base::secret::Secret;
use crate::http::origin::Origin;
use crate::service::actor::Actor;
use crate::service::login::{self, Attempt};
use crate::service::people::{self, Change};
use crate::service::{Context, Error, recovery};
use crate::store::AdminRow;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub struct Admin {
    pub name: String,
    pub role: &'static str,
    pub disabled_at: Option<String>,
    /// Whether a code of an authenticator app is asked for.
    pub totp: bool,
    pub created_at: String,
    pub created_by: String,
    pub password_changed_at: String,
    pub last_login_at: Option<String>,
    /// Wrong passwords in a row.
    pub wrong_tries: u32,
    /// The next try has to wait until then.
    pub locked_until: Option<String>,
}

fn view(cx: &Context, row: AdminRow) -> Admin {
    let (wrong_tries, locked_until) = login::standing(cx, &row.name);
    Admin {
        name: row.name,
        role: row.role.as_str(),
        disabled_at: row.disabled_at.map(|at| at.to_string()),
        totp: row.totp_confirmed_at.is_some(),
        created_at: row.created_at.to_string(),
        created_by: row.created_by,
        password_changed_at: row.password_changed_at.to_string(),
        last_login_at: row.last_login_at.map(|at| at.to_string()),
        wrong_tries,
        locked_until: locked_until.map(|at| at.to_string()),
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    pub name: String,
    pub password: String,
    /// The code of the authenticator app, when one is in force.
    pub totp: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct LoggedIn {
    /// For `Authorization: Bearer`; ends after 30 minutes without a request, and at `expires_at`.
    pub token: String,
    pub name: String,
    pub role: &'static str,
    pub expires_at: String,
}

/// The one request that needs nobody to be known yet.
pub fn login(cx: &Context, request: &Request, from: &Origin) -> Result<Response, Error> {
    let body: Login = super::body(request)?;
    let attempt = Attempt {
        name: &body.name,
        password: Secret::new(body.password),
        totp: body.totp.as_deref(),
        address: from.address(),
        origin: from.words(),
    };
    let session = login::login(cx, &attempt)?;
    let expires_at = session.expires_at.to_string();
    Ok(json(
        200,
        &LoggedIn {
            token: session.token.expose().clone(),
            name: session.admin.name,
            role: session.admin.role.as_str(),
            expires_at,
        },
    ))
}

pub fn logout(call: &Call<'_>) -> Result<Response, Error> {
    login::logout(call.cx, &call.actor)?;
    Ok(Response::empty(204))
}

pub fn list(call: &Call<'_>) -> Result<Response, Error> {
    let items = people::list(call.cx, &call.actor)?.into_iter().map(|row| view(call.cx, row)).collect();
    Ok(json(200, &Page { items, next_cursor: None }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAdmin {
    pub name: String,
    /// owner, admin, helpdesk, teacher or auditor.
    pub role: String,
    /// 12 to 128 characters of any kind.
    pub password: String,
}

pub fn create(call: &Call<'_>) -> Result<Response, Error> {
    let body: NewAdmin = call.body()?;
    let row = people::create(call.cx, &call.actor, &body.name, &body.role, &Secret::new(body.password))?;
    Ok(json(201, &view(call.cx, row)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminChange {
    pub role: Option<String>,
    pub disabled: Option<bool>,
    /// Ends every session of that person.
    pub password: Option<String>,
    /// The caller's own password; needed for a new one.
    pub current_password: Option<String>,
}

pub fn change(call: &Call<'_>, name: &str) -> Result<Response, Error> {
    let body: AdminChange = call.body()?;
    let wish = Change {
        role: body.role,
        disabled: body.disabled,
        password: body.password.map(Secret::new),
        current_password: body.current_password.map(Secret::new),
    };
    Ok(json(200, &view(call.cx, people::change(call.cx, &call.actor, name, &wish)?)))
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UnlockWish {
    /// Forget the wrong tries of all addresses too.
    pub addresses: bool,
}

pub fn unlock(call: &Call<'_>, name: &str) -> Result<Response, Error> {
    let body: UnlockWish = call.body()?;
    login::unlock(call.cx, &call.actor, name, body.addresses)?;
    Ok(Response::empty(204))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct OpenSession {
    pub id: i64,
    pub created_at: String,
    pub last_used_at: String,
    pub expires_at: String,
    /// Where the login came from.
    pub origin: String,
    /// The one that asks.
    pub current: bool,
}

pub fn sessions(call: &Call<'_>, name: &str) -> Result<Response, Error> {
    let own = if let Actor::Admin { session, .. } = &call.actor { Some(*session) } else { None };
    let view = |row: crate::store::OpenSession| OpenSession {
        current: own == Some(row.id),
        id: row.id,
        created_at: row.created_at.to_string(),
        last_used_at: row.last_used_at.to_string(),
        expires_at: row.expires_at.to_string(),
        origin: row.origin,
    };
    let items = login::sessions(call.cx, &call.actor, name)?.into_iter().map(view).collect();
    Ok(json(200, &Page { items, next_cursor: None }))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SessionsEnded {
    pub ended: usize,
}

/// `id` ends one, without it all but the one that asks.
pub fn end_sessions(call: &Call<'_>, name: &str, id: Option<&str>) -> Result<Response, Error> {
    Ok(json(200, &SessionsEnded { ended: login::end_sessions(call.cx, &call.actor, name, id)? }))
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OwnPassword {
    /// The caller's own; not needed on the control socket.
    pub current_password: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct TotpBegun {
    /// Base 32, for typing into the app.
    pub secret: String,
    /// `otpauth://…`, for a QR code.
    pub uri: String,
}

pub fn enrol_totp(call: &Call<'_>, name: &str) -> Result<Response, Error> {
    let body: OwnPassword = call.body()?;
    let begun = people::enrol_totp(call.cx, &call.actor, name, body.current_password.as_deref())?;
    Ok(json(201, &TotpBegun { secret: begun.secret.expose().clone(), uri: begun.uri.expose().clone() }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TotpCode {
    pub code: String,
}

pub fn confirm_totp(call: &Call<'_>, name: &str) -> Result<Response, Error> {
    let body: TotpCode = call.body()?;
    people::confirm_totp(call.cx, &call.actor, name, &body.code)?;
    Ok(Response::empty(204))
}

pub fn remove_totp(call: &Call<'_>, name: &str) -> Result<Response, Error> {
    let body: OwnPassword = call.body()?;
    people::remove_totp(call.cx, &call.actor, name, body.current_password.as_deref())?;
    Ok(Response::empty(204))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct RecoveryCode {
    /// Only in the answer that made it.
    pub recovery_code: String,
}

pub fn new_recovery_code(call: &Call<'_>) -> Result<Response, Error> {
    let body: OwnPassword = call.body()?;
    let code = recovery::make(call.cx, &call.actor, body.current_password.as_deref())?;
    Ok(json(201, &RecoveryCode { recovery_code: code.expose().clone() }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecoveryCodeTry {
    pub recovery_code: String,
}

pub fn check_recovery_code(call: &Call<'_>) -> Result<Response, Error> {
    let body: RecoveryCodeTry = call.body()?;
    recovery::check(call.cx, &call.actor, &body.recovery_code)?;
    Ok(Response::empty(204))
}
