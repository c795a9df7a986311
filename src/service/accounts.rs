//! Accounts on devices: one profile for each, made here, so that one can be added, changed, repaired or taken away without the others. Whose
//! it is says the one assignment of its profile. Called by the API, the console and `own_accounts`; credentials are `account_credentials`, what is
//! in the profile is `drafts`, and what happens by itself is `keeping`.

mod drafts;
mod keeping;

use super::account_credentials::{self as credentials, New};
use super::actor::{Actor, Permission};
use super::assigning::{self, Meant, Whom};
use super::library::{self, AssignmentView};
use super::{Context, Error, auditing, devices, reconciling, school};
use crate::base::ids::short_code;
use crate::base::secret::Secret;
use crate::base::texts::{Accounts as Said, Text};
use crate::base::time::Timestamp;
use crate::protocol::profile::AccountKind;
use crate::store::{AccountRow, Credential, Db, NewAccount, ProfileRow, Target, Tx};
use drafts::{advance, checked, draft};
use serde_json::json;

pub use keeping::{KEPT_AT_MOST, REPLACE_BEFORE, upkeep};

/// Longest password, bytes.
const MAX_PASSWORD: usize = 1024;

/// An account with its profile and how far it has come.
#[derive(Debug, Clone)]
pub struct AccountView {
    pub row: AccountRow,
    pub profile: ProfileRow,
    /// `None`: whoever it was of is not there any more.
    pub holder: Option<AssignmentView>,
    pub installed: i64,
    pub waiting: i64,
    pub refused: i64,
    pub notes: Vec<String>,
}

/// An account to be made.
#[derive(Debug)]
pub struct Wish {
    pub kind: AccountKind,
    pub name: String,
    pub holder: Whom,
    /// Apple's keys as JSON.
    pub settings: serde_json::Value,
    pub credential: Credential,
    pub password: Option<Secret<String>>,
}

/// What is to change; `None` stays.
#[derive(Debug, Default)]
pub struct Change {
    pub name: Option<String>,
    pub settings: Option<serde_json::Value>,
    pub password: Option<Secret<String>>,
}

/// A profile that is an account's is changed by its account alone.
///
/// # Errors
/// `Conflict`, naming the account.
pub(super) fn require_free(db: &Db<'_>, profile: &ProfileRow) -> Result<(), Error> {
    match db.find_account_of_profile(profile.id)? {
        None => Ok(()),
        Some(account) => Err(Error::conflict(
            Said::ProfileOfAccount { profile: profile.identifier.clone(), account: account.public_id }.into(),
        )),
    }
}

fn bad(key: &str, why: impl Into<String>) -> Error {
    Error::invalid(Text::BadArgument { key: key.to_owned(), why: why.into() })
}

fn checked_password(password: Option<Secret<String>>) -> Result<Option<Secret<String>>, Error> {
    let Some(given) = password else { return Ok(None) };
    let text = given.expose();
    if text.is_empty() || text.len() > MAX_PASSWORD || text.chars().any(char::is_control) {
        return Err(bad("password", format!("has 1 to {MAX_PASSWORD} bytes, without control characters")));
    }
    Ok(Some(given))
}

/// By Cordon's id, or its profile's.
fn find(db: &Db<'_>, account: &str) -> Result<AccountRow, Error> {
    let missing = || Error::not_found(Said::NoSuchAccount { account: account.chars().take(256).collect() }.into());
    db.find_account(account)?.ok_or_else(missing)
}

fn view(db: &Db<'_>, row: AccountRow) -> Result<AccountView, Error> {
    let missing = || Error::internal("an account without its profile");
    let profile = db.find_profile_by_row(row.profile)?.ok_or_else(missing)?;
    let holder = db.list_assignments(profile.id)?.into_iter().next();
    let holder = holder.map(|row| assigning::view(db, row)).transpose()?;
    let (installed, waiting, refused) = db.count_profile_channels(profile.id, profile.version)?;
    Ok(AccountView { row, profile, holder, installed, waiting, refused, notes: Vec::new() })
}

/// Accounts after `after` (a row id), in order of arrival; of one person, all of theirs.
pub fn list(
    cx: &Context,
    actor: &Actor,
    after: i64,
    person: Option<&str>,
    limit: usize,
) -> Result<Vec<AccountView>, Error> {
    actor.require(Permission::LookAround)?;
    let person = person.map(|name| super::users::find(cx, name)).transpose()?;
    cx.store.read(|db| {
        let rows = match &person {
            Some(person) => db.list_accounts_of_person(person.id)?,
            None => db.list_accounts(after, limit)?,
        };
        rows.into_iter().map(|row| view(db, row)).collect()
    })
}

/// All accounts of a person (row id), for `own_accounts`.
pub(super) fn of_person(cx: &Context, person: i64) -> Result<Vec<AccountView>, Error> {
    cx.store.read(|db| db.list_accounts_of_person(person)?.into_iter().map(|row| view(db, row)).collect())
}

/// # Errors
/// `NotFound`.
pub fn show(cx: &Context, actor: &Actor, account: &str) -> Result<AccountView, Error> {
    actor.require(Permission::LookAround)?;
    cx.store.read(|db| view(db, find(db, account)?))
}

/// Adds an account: its profile is made, and goes to whoever it is of.
///
/// # Errors
/// `Invalid` for settings that Apple's schema knows to be wrong, a secret among them, a kind without a place for a certificate, or more than
/// one holder; `NotFound` for a device that is not there.
pub fn add(cx: &Context, actor: &Actor, wish: Wish) -> Result<AccountView, Error> {
    actor.require(Permission::Enroll)?;
    cx.require_space()?;
    if !matches!(wish.holder, Whom::Device(_) | Whom::User(_)) {
        return Err(Error::invalid(Said::OneHolder.into()));
    }
    let name = library::plain_name(&library::name("name", &wish.name)?);
    let keys = checked(wish.kind, &wish.settings)?;
    let password = checked_password(wish.password)?;
    match wish.credential {
        Credential::Certificate if !wish.kind.takes_certificate() => {
            return Err(Error::invalid(Said::NoCertificateThere { kind: wish.kind.as_str() }.into()));
        }
        Credential::Password if password.is_none() => return Err(bad("password", "is missing")),
        Credential::Ask | Credential::Certificate if password.is_some() => {
            return Err(bad("password", "belongs to an account that proves itself by password"));
        }
        _ => {}
    }
    let Meant { target, id: holder, mut notes, .. } = assigning::meant(cx, actor, &wish.holder)?;
    let now = cx.now();
    let new = match wish.credential {
        Credential::Ask => None,
        Credential::Password => password.map(New::Password),
        Credential::Certificate => Some(require_clock(cx).and_then(|()| credentials::issue(cx, &target, now))?),
    };
    let code = short_code(&cx.random_bytes::<8>());
    let public_id = format!("ac-{code}");
    let identifier = school::payload_identifier(cx)?.replace(".mdm", &format!(".account.{code}"));
    let draft = draft(cx, wish.kind, wish.credential, &identifier, &name, &keys)?;
    let id = cx.store.write(|tx| {
        let row = ProfileRow {
            id: 0,
            public_id: format!("pr-{}", short_code(&cx.random_bytes::<8>())),
            identifier: identifier.clone(),
            name: name.clone(),
            version: 1,
            comes_back: true,
            created_by: actor.name(),
            created_at: now,
            removed_at: None,
        };
        let profile = tx.insert_profile(&row)?;
        draft.put(cx, tx, profile, 1, actor, now)?;
        let account = NewAccount {
            public_id: &public_id,
            profile,
            kind: wish.kind.as_str(),
            settings: &wish.settings.to_string(),
            credential: wish.credential,
            created_by: &actor.name(),
        };
        let id = tx.insert_account(&account, now)?;
        if let Some(new) = &new {
            credentials::put(cx, tx, id, new, now)?;
        }
        tx.insert_assignment(profile, &target, &actor.name(), now)?;
        let detail = json!({ "kind": wish.kind.as_str(), "credential": wish.credential.as_str(), "target": target.kind(), "to": holder });
        auditing::record(tx, actor, "account.add", Some(&public_id), Some(detail), now)?;
        Ok::<_, Error>(profile)
    })?;
    notes.extend(send(cx, id)?);
    let mut view = show_any(cx, &public_id)?;
    view.notes = notes;
    Ok(view)
}

fn show_any(cx: &Context, account: &str) -> Result<AccountView, Error> {
    cx.store.read(|db| view(db, find(db, account)?))
}

/// Brings the profile to whom it concerns; why it does not go somewhere, in words.
fn send(cx: &Context, profile: i64) -> Result<Vec<String>, Error> {
    let channels = cx.store.read(|db| assigning::channels_of(db, profile))?;
    reconciling::reconcile_all(cx, &channels)?;
    cx.store.read(|db| assigning::held_back(db, profile, &channels, cx.now()))
}

/// Nothing is issued while the clock is wrong.
fn require_clock(cx: &Context) -> Result<(), Error> {
    match cx.clock_is_behind() {
        None => Ok(()),
        Some(seen) => Err(Error::conflict(Text::ClockBehind { now: cx.now().to_string(), seen: seen.to_string() })),
    }
}

/// Changes an account: the next version of its profile, and of no other, goes out.
///
/// # Errors
/// As [`add`].
pub fn change(cx: &Context, actor: &Actor, account: &str, change: Change) -> Result<AccountView, Error> {
    actor.require(Permission::Enroll)?;
    let now = cx.now();
    let seen = show_any(cx, account)?;
    let kind = kind_of(&seen.row)?;
    let password = checked_password(change.password)?;
    require_password_account(&seen.row, password.is_some())?;
    let name = change.name.as_deref().map(|text| library::name("name", text)).transpose()?;
    let name = name.map_or_else(|| seen.profile.name.clone(), |name| library::plain_name(&name));
    let settings = change.settings.map_or_else(|| seen.row.settings.clone(), |settings| settings.to_string());
    let keys = checked(kind, &serde_json::from_str(&settings).map_err(Error::internal)?)?;
    let draft = draft(cx, kind, seen.row.credential, &seen.profile.identifier, &name, &keys)?;
    let forgotten =
        seen.row.credential == Credential::Password && seen.row.sealed_credential.is_none() && password.is_none();
    // The key of a certificate is with the devices: what is sent anew needs another.
    let new = match (seen.row.credential, &seen.row.sealed_credential) {
        (Credential::Certificate, None) => Some(reissue(cx, &seen, now)?),
        _ => password.map(New::Password),
    };
    cx.store.write(|tx| {
        let row = find(tx, &seen.row.public_id)?;
        tx.put_account_settings(row.id, &settings)?;
        advance(cx, tx, &row, &seen, &draft, new.as_ref(), actor, now)?;
        let detail = json!({ "name": name, "credential": new.is_some() });
        auditing::record(tx, actor, "account.change", Some(&row.public_id), Some(detail), now)
    })?;
    let mut notes = send(cx, seen.profile.id)?;
    if forgotten {
        notes.push(Text::from(Said::PasswordNotKept).to_string());
    }
    Ok(AccountView { notes, ..show_any(cx, &seen.row.public_id)? })
}

fn kind_of(row: &AccountRow) -> Result<AccountKind, Error> {
    AccountKind::parse(&row.kind).ok_or_else(|| Error::internal("an account of an unknown kind"))
}

fn require_password_account(row: &AccountRow, given: bool) -> Result<(), Error> {
    if given && row.credential == Credential::Certificate {
        return Err(Error::conflict(Said::NotByPassword { account: row.public_id.clone() }.into()));
    }
    Ok(())
}

/// As [`advance`], with everything but the credential as it is.
fn renew(cx: &Context, actor: &Actor, seen: &AccountView, new: &New, verb: &str, why: &str) -> Result<(), Error> {
    let now = cx.now();
    let keys = checked(kind_of(&seen.row)?, &serde_json::from_str(&seen.row.settings).map_err(Error::internal)?)?;
    let draft =
        draft(cx, kind_of(&seen.row)?, seen.row.credential, &seen.profile.identifier, &seen.profile.name, &keys)?;
    cx.store.write(|tx| {
        let row = find(tx, &seen.row.public_id)?;
        advance(cx, tx, &row, seen, &draft, Some(new), actor, now)?;
        let detail = json!({ "kind": draft.kind.as_str(), "why": why });
        auditing::record(tx, actor, verb, Some(&row.public_id), Some(detail), now)
    })
}

/// A new password for an account: exactly its profile is replaced, and no other password is needed or known for that.
///
/// # Errors
/// `NotFound`; `Invalid` for a password that cannot be one; `Conflict` for an account with a certificate.
pub fn set_password(
    cx: &Context,
    actor: &Actor,
    account: &str,
    password: Secret<String>,
) -> Result<AccountView, Error> {
    actor.require(Permission::Command)?;
    put_password(cx, actor, account, password, "asked for at the helpdesk")
}

pub(super) fn put_password(
    cx: &Context,
    actor: &Actor,
    account: &str,
    password: Secret<String>,
    why: &str,
) -> Result<AccountView, Error> {
    let password = checked_password(Some(password))?.ok_or_else(|| bad("password", "is missing"))?;
    let seen = show_any(cx, account)?;
    require_password_account(&seen.row, true)?;
    renew(cx, actor, &seen, &New::Password(password), "account.password", why)?;
    let notes = send(cx, seen.profile.id)?;
    Ok(AccountView { notes, ..show_any(cx, &seen.row.public_id)? })
}

/// Installs an account's profile once more, and no other; on one device, or wherever it stands.
///
/// # Errors
/// `NotFound`; `Conflict` for a device that it is not on.
pub fn repair(cx: &Context, actor: &Actor, account: &str, device: Option<&str>) -> Result<AccountView, Error> {
    actor.require(Permission::Command)?;
    let seen = show_any(cx, account)?;
    let found = device.map(|device| devices::find(cx, actor, device)).transpose()?;
    let elsewhere = || {
        let (account, device) = (seen.row.public_id.clone(), device.unwrap_or_default().to_owned());
        Error::conflict(Said::NotOnDevice { account, device }.into())
    };
    let mut notes = Vec::new();
    if seen.row.credential == Credential::Certificate && seen.row.sealed_credential.is_none() {
        // The key is on the devices and nowhere else.
        let new = reissue(cx, &seen, cx.now())?;
        renew(cx, actor, &seen, &new, "account.repair", "a new certificate")?;
    } else {
        let now = cx.now();
        cx.store.write(|tx| {
            let done = tx.reinstall_profile(seen.profile.id, found.as_ref().map(|row| row.id))?;
            if done == 0 && found.is_some() {
                return Err(elsewhere());
            }
            let detail = json!({ "device": found.as_ref().map(|row| &row.public_id), "channels": done });
            auditing::record(tx, actor, "account.repair", Some(&seen.row.public_id), Some(detail), now)
        })?;
        if seen.row.credential == Credential::Password && seen.row.sealed_credential.is_none() {
            notes.push(Text::from(Said::PasswordNotKept).to_string());
        }
    }
    notes.extend(send(cx, seen.profile.id)?);
    Ok(AccountView { notes, ..show_any(cx, &seen.row.public_id)? })
}

fn reissue(cx: &Context, seen: &AccountView, now: Timestamp) -> Result<New, Error> {
    require_clock(cx)?;
    let holder = seen.holder.as_ref().map(|holder| holder.row.target.clone());
    credentials::issue(cx, &holder.unwrap_or(Target::User(seen.profile.name.clone())), now)
}

/// Removes an account: its profile leaves every device, and its certificate is worth nothing from now on.
///
/// # Errors
/// `NotFound`.
pub fn remove(cx: &Context, actor: &Actor, account: &str) -> Result<(), Error> {
    actor.require(Permission::Enroll)?;
    let now = cx.now();
    let profile = cx.store.write(|tx| {
        let row = find(tx, account)?;
        tx.remove_profile(row.profile, now)?;
        credentials::end(tx, &row, now)?;
        auditing::record(tx, actor, "account.remove", Some(&row.public_id), None, now)?;
        Ok::<_, Error>(row.profile)
    })?;
    let channels = cx.store.read(|db| db.list_channels_with_profile(profile))?;
    reconciling::reconcile_all(cx, &channels).map(drop)
}

/// A person is erased: so are their accounts, wherever they log in. What stands on devices leaves them with the assignment.
pub(super) fn erase_of(tx: &Tx<'_>, person: i64, now: Timestamp) -> Result<(), Error> {
    for row in tx.list_accounts_of_person(person)? {
        let theirs = |a: &crate::store::AssignmentRow| a.target == Target::Person(person);
        if !tx.list_assignments(row.profile)?.iter().any(theirs) {
            continue;
        }
        tx.remove_profile(row.profile, now)?;
        credentials::end(tx, &row, now)?;
        tx.erase_account(row.id)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
