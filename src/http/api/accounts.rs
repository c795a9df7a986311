//! `/accounts`: accounts on devices, each in a profile of its own. Passwords come in and never go out.

use super::reply::json;
use super::views::Page;
use super::{Call, Response};
use crate::base::secret::Secret;
use crate::base::texts::{Accounts as Said, Text};
use crate::protocol::profile::AccountKind;
use crate::service::Error;
use crate::service::accounts::{self, AccountView, Change, Wish};
use crate::service::assigning::Whom;
use crate::store::Credential;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An account to be made. Whose it is: one of `user` and `device`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDeviceAccount {
    /// `mail`, `exchange` (iPhone and iPad), `exchange-mac`, `caldav`, `carddav`, `ldap`, `wifi` or `vpn`.
    pub kind: String,
    pub name: String,
    /// A person of the school by any name, or else a user by UserID or short name: wherever they log in.
    pub user: Option<String>,
    /// The device itself.
    pub device: Option<String>,
    /// Apple's keys for this payload, with variables; never a secret.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub settings: serde_json::Value,
    /// `ask` (the device asks its user), `password` or `certificate` (issued here and replaced before it ends). Without it: `password`
    /// where one is given, else `ask`.
    pub credential: Option<String>,
    /// Sealed until every device of the account has it, then forgotten.
    pub password: Option<String>,
}

/// What is to change; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceAccountChange {
    pub name: Option<String>,
    /// All settings anew.
    #[schema(value_type = Option<Object>)]
    pub settings: Option<serde_json::Value>,
    pub password: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountPassword {
    pub password: String,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountRepair {
    /// On this device alone.
    pub device: Option<String>,
}

/// An account on devices. What it proves itself with is never shown.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceAccount {
    pub id: String,
    pub kind: String,
    pub name: String,
    /// PayloadIdentifier of its profile, which holds this account and nothing else.
    pub identifier: String,
    pub profile: String,
    /// Counts every change: settings, password, certificate.
    pub version: i64,
    /// `person`, `user` or `device`; `null` when whoever it was of is gone.
    pub holder_kind: Option<&'static str>,
    /// The person or user, or Cordon's id of the device.
    pub holder: Option<String>,
    /// Apple's keys.
    #[schema(value_type = Object)]
    pub settings: serde_json::Value,
    /// `ask`, `password` or `certificate`.
    pub credential: &'static str,
    /// Whether a password or key is kept here, sealed, because some device has not acknowledged it yet.
    pub credential_kept: bool,
    /// When every device had it, and it was forgotten here.
    pub credential_delivered_at: Option<String>,
    /// When its certificate ends; it is replaced a month before.
    pub certificate_not_after: Option<String>,
    /// Channels whose device acknowledged the current version, has a command about it waiting, or refused it for good.
    pub installed: i64,
    pub waiting: i64,
    pub refused: i64,
    pub created_by: String,
    pub created_at: String,
    /// What is worth knowing, in words; only in answers to a change.
    pub notes: Vec<String>,
}

pub fn list(call: &Call<'_>) -> Result<Response, Error> {
    let limit = call.limit()?;
    let person = call.query("user");
    let mut found = accounts::list(call.cx, &call.actor, call.cursor()?.unwrap_or(0), person.as_deref(), limit + 1)?;
    let more = found.len() > limit && person.is_none();
    if person.is_none() {
        found.truncate(limit);
    }
    let next_cursor = found.last().filter(|_| more).map(|one| one.row.id.to_string());
    Ok(json(200, &Page { items: found.into_iter().map(account).collect(), next_cursor }))
}

pub fn show(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    Ok(json(200, &account(accounts::show(call.cx, &call.actor, id)?)))
}

pub fn add(call: &Call<'_>) -> Result<Response, Error> {
    let NewDeviceAccount { kind, name, user, device, settings, credential, password } = call.body()?;
    let kind = AccountKind::parse(&kind).ok_or_else(|| {
        let kinds: Vec<&str> = AccountKind::ALL.iter().map(|kind| kind.as_str()).collect();
        bad("kind", format!("is one of {}", kinds.join(", ")))
    })?;
    let holder = match (user, device) {
        (Some(user), None) => Whom::User(user),
        (None, Some(device)) => Whom::Device(device),
        _ => return Err(Error::invalid(Said::OneHolder.into())),
    };
    let credential = match credential.as_deref() {
        None if password.is_some() => Credential::Password,
        None => Credential::Ask,
        Some(text) => Credential::ALL
            .into_iter()
            .find(|one| one.as_str() == text)
            .ok_or_else(|| bad("credential", String::from("is one of ask, password and certificate")))?,
    };
    let settings = if settings.is_null() { serde_json::json!({}) } else { settings };
    let wish = Wish { kind, name, holder, settings, credential, password: password.map(Secret::new) };
    Ok(json(201, &account(accounts::add(call.cx, &call.actor, wish)?)))
}

pub fn change(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let DeviceAccountChange { name, settings, password } = call.body()?;
    let change = Change { name, settings, password: password.map(Secret::new) };
    Ok(json(200, &account(accounts::change(call.cx, &call.actor, id, change)?)))
}

pub fn password(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let AccountPassword { password } = call.body()?;
    Ok(json(200, &account(accounts::set_password(call.cx, &call.actor, id, Secret::new(password))?)))
}

pub fn repair(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let AccountRepair { device } = call.body()?;
    Ok(json(200, &account(accounts::repair(call.cx, &call.actor, id, device.as_deref())?)))
}

pub fn remove(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    accounts::remove(call.cx, &call.actor, id)?;
    Ok(Response::empty(204))
}

fn bad(key: &str, why: String) -> Error {
    Error::invalid(Text::BadArgument { key: key.to_owned(), why })
}

fn account(view: AccountView) -> DeviceAccount {
    let AccountView { row, profile, holder, installed, waiting, refused, notes } = view;
    DeviceAccount {
        id: row.public_id,
        kind: row.kind,
        name: profile.name,
        identifier: profile.identifier,
        profile: profile.public_id,
        version: profile.version,
        holder_kind: holder.as_ref().map(|holder| holder.row.target.kind()),
        holder: holder.and_then(|holder| holder.device.or(holder.name)),
        settings: serde_json::from_str(&row.settings).unwrap_or_default(),
        credential: row.credential.as_str(),
        credential_kept: row.sealed_credential.is_some(),
        credential_delivered_at: row.credential_done.map(|at| at.to_string()),
        certificate_not_after: row.not_after.map(|at| at.to_string()),
        installed,
        waiting,
        refused,
        created_by: row.created_by,
        created_at: row.created_at.to_string(),
        notes,
    }
}
