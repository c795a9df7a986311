//! Admins: the people who may log in by name, their roles, passwords and authenticator apps. Called by `http`; logging in itself is
//! [`super::login`]. Nobody is ever deleted: the audit names them.

use super::actor::{Actor, Permission};
use super::{Context, Error, auditing, first_steps, login, passwords, school, totp};
use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::store::{AdminRow, Role, Tx};
use serde_json::{Value, json};

/// Longest name.
const MAX_NAME: usize = 64;

/// What is to change; `None` stays as it is.
#[derive(Default)]
pub struct Change {
    pub role: Option<String>,
    pub disabled: Option<bool>,
    pub password: Option<Secret<String>>,
    /// The actor's own, for a new password.
    pub current_password: Option<Secret<String>>,
}

/// What the authenticator app is given.
pub struct Enrolment {
    /// Base 32, to be typed.
    pub secret: Secret<String>,
    /// `otpauth://…`, for a QR code.
    pub uri: Secret<String>,
}

/// # Errors
/// `Invalid` for a bad name, role or password; `Conflict` when the name is taken; `Denied` for anybody but an owner.
pub fn create(
    cx: &Context,
    actor: &Actor,
    name: &str,
    role: &str,
    password: &Secret<String>,
) -> Result<AdminRow, Error> {
    actor.require(Permission::Administer)?;
    let role = parse_role(role)?;
    check_name(name)?;
    passwords::check(name, password.expose())?;
    let hash = passwords::hash(cx, password.expose())?;
    let now = cx.now();
    cx.store.write(|tx| -> Result<(), Error> {
        if tx.find_admin(name)?.is_some() {
            return Err(Error::conflict(Text::AdminExists { name: name.to_owned() }));
        }
        first_steps::admin_made(tx, actor, tx.list_admins()?.is_empty())?;
        tx.insert_admin(name, role, &hash, &actor.name(), now)?;
        auditing::record(tx, actor, "admin.create", Some(name), Some(json!({ "role": role.as_str() })), now)
    })?;
    find(cx, name)
}

pub fn list(cx: &Context, actor: &Actor) -> Result<Vec<AdminRow>, Error> {
    actor.require(Permission::Administer)?;
    Ok(cx.store.read(|db| db.list_admins())?)
}

/// Whether anybody may log in yet; asked by set-up.
pub fn exists(cx: &Context, name: &str) -> Result<bool, Error> {
    Ok(cx.store.read(|db| db.find_admin(name))?.is_some())
}

/// Changes role, password or whether somebody may log in. Anybody may change their own password. A new password and disabling
/// end every session of that person.
///
/// # Errors
/// `Denied` for anybody else's things but to an owner, and without the actor's own password for a new one; `Conflict` for the last
/// owner.
pub fn change(cx: &Context, actor: &Actor, name: &str, change: &Change) -> Result<AdminRow, Error> {
    let only_password = change.role.is_none() && change.disabled.is_none();
    if !(only_password && is_self(actor, name)) {
        actor.require(Permission::Administer)?;
    }
    let admin = find(cx, name)?;
    let role = change.role.as_deref().map(parse_role).transpose()?;
    let password = match &change.password {
        None => None,
        Some(password) => {
            login::verify_fresh(cx, actor, change.current_password.as_ref().map(|p| p.expose().as_str()))?;
            passwords::check(&admin.name, password.expose())?;
            Some(passwords::hash(cx, password.expose())?)
        }
    };
    let now = cx.now();
    cx.store.write(|tx| -> Result<(), Error> {
        let note =
            |verb: &str, detail: Option<Value>| auditing::record(tx, actor, verb, Some(&admin.name), detail, now);
        if role.is_some_and(|role| role != Role::Owner) || change.disabled == Some(true) {
            keep_an_owner(tx, &admin)?;
        }
        if let Some(role) = role.filter(|role| *role != admin.role) {
            tx.put_admin_role(admin.id, role)?;
            note("admin.role", Some(json!({ "before": admin.role.as_str(), "role": role.as_str() })))?;
        }
        if let Some(disabled) = change.disabled.filter(|disabled| *disabled != admin.disabled_at.is_some()) {
            tx.put_admin_disabled(admin.id, disabled.then_some(now))?;
            note(if disabled { "admin.disable" } else { "admin.enable" }, None)?;
        }
        if let Some(hash) = &password {
            tx.put_admin_password(admin.id, hash, now)?;
            note("admin.password", None)?;
        }
        if password.is_some() || change.disabled == Some(true) {
            tx.end_sessions_of(admin.id)?;
        }
        Ok(())
    })?;
    find(cx, name)
}

/// Begins an authenticator app. It is asked for only after [`confirm_totp`], so a failed scan locks nobody out.
///
/// # Errors
/// `Denied` for anybody but the person and who sits at the server; `Conflict` when an app is in force.
pub fn enrol_totp(cx: &Context, actor: &Actor, name: &str, password: Option<&str>) -> Result<Enrolment, Error> {
    require_self(actor, name)?;
    login::verify_fresh(cx, actor, password)?;
    let admin = find(cx, name)?;
    if admin.totp_confirmed_at.is_some() {
        return Err(Error::conflict(Text::TotpThere { name: admin.name }));
    }
    let raw = Secret::new(cx.random_bytes::<{ totp::SECRET }>());
    let sealed = cx.seal(&login::totp_place(admin.id), raw.expose());
    let now = cx.now();
    cx.store.write(|tx| -> Result<(), Error> {
        tx.put_totp(admin.id, Some(&sealed))?;
        auditing::record(tx, actor, "admin.totp-begin", Some(&admin.name), None, now)
    })?;
    let secret = totp::base32(raw.expose());
    let issuer = school::organization(cx)?;
    Ok(Enrolment { uri: totp::uri(&issuer, &admin.name, &secret), secret })
}

/// The first code from the app: from now on every login needs one.
///
/// # Errors
/// `Invalid` for a wrong code, `Conflict` when no app waits for one.
pub fn confirm_totp(cx: &Context, actor: &Actor, name: &str, code: &str) -> Result<(), Error> {
    require_self(actor, name)?;
    let admin = find(cx, name)?;
    let missing = || Error::conflict(Text::TotpMissing { name: admin.name.clone() });
    let sealed = admin.sealed_totp.as_ref().filter(|_| admin.totp_confirmed_at.is_none()).ok_or_else(missing)?;
    let secret = cx.open(&login::totp_place(admin.id), sealed)?;
    let now = cx.now();
    let step = totp::find_step(secret.expose(), code, now).ok_or_else(|| Error::invalid(Text::TotpWrong))?;
    cx.store.write(|tx| {
        if !tx.use_totp_step(admin.id, step)? {
            return Err(Error::invalid(Text::TotpWrong));
        }
        tx.confirm_totp(admin.id, now)?;
        auditing::record(tx, actor, "admin.totp-confirm", Some(&admin.name), None, now)
    })
}

/// Ends an authenticator app: one's own, or, for an owner, that of somebody who lost the phone.
///
/// # Errors
/// `Denied` without the actor's own password.
pub fn remove_totp(cx: &Context, actor: &Actor, name: &str, password: Option<&str>) -> Result<(), Error> {
    if !is_self(actor, name) {
        actor.require(Permission::Administer)?;
    }
    login::verify_fresh(cx, actor, password)?;
    let admin = find(cx, name)?;
    let now = cx.now();
    cx.store.write(|tx| {
        tx.put_totp(admin.id, None)?;
        auditing::record(tx, actor, "admin.totp-remove", Some(&admin.name), None, now)
    })
}

pub(super) fn find(cx: &Context, name: &str) -> Result<AdminRow, Error> {
    let found = cx.store.read(|db| db.find_admin(name))?;
    found.ok_or_else(|| Error::not_found(Text::NoSuchAdmin { name: name.chars().take(MAX_NAME).collect() }))
}

fn is_self(actor: &Actor, name: &str) -> bool {
    matches!(actor, Actor::Admin { name: own, .. } if own.eq_ignore_ascii_case(name))
}

/// # Errors
/// `Denied` for anybody but the person and an owner.
pub(super) fn require_self_or_owner(actor: &Actor, name: &str) -> Result<(), Error> {
    if is_self(actor, name) { Ok(()) } else { actor.require(Permission::Administer) }
}

fn require_self(actor: &Actor, name: &str) -> Result<(), Error> {
    if is_self(actor, name) || matches!(actor, Actor::LocalShell { .. }) {
        Ok(())
    } else {
        Err(Error::denied(Text::PersonNeeded))
    }
}

/// # Errors
/// `Conflict` when `admin` is the last owner who may log in.
fn keep_an_owner(tx: &Tx<'_>, admin: &AdminRow) -> Result<(), Error> {
    let others =
        tx.list_admins()?.into_iter().any(|a| a.id != admin.id && a.role == Role::Owner && a.disabled_at.is_none());
    let is_one = admin.role == Role::Owner && admin.disabled_at.is_none();
    if is_one && !others { Err(Error::conflict(Text::LastOwner { name: admin.name.clone() })) } else { Ok(()) }
}

fn parse_role(role: &str) -> Result<Role, Error> {
    Role::find(role).ok_or_else(|| Error::invalid(Text::BadRole { role: role.chars().take(MAX_NAME).collect() }))
}

/// Names stand in URLs, in the audit as `admin:NAME` and on command lines.
fn check_name(name: &str) -> Result<(), Error> {
    let good = name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._@-".contains(&b));
    let why = || {
        String::from("must have 1 to 64 of the letters a to z, digits, and . _ @ -, and begin with a letter or digit")
    };
    if good { Ok(()) } else { Err(Error::invalid(Text::BadArgument { key: String::from("name"), why: why() })) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::{ManualClock, Timestamp};
    use crate::pki::SystemRandom;
    use crate::pki::stretching::Cost;
    use crate::service::founding::{self, Place};
    use std::sync::Arc;

    const GOOD: &str = "tin roof in may";

    fn with_school(test: impl FnOnce(&Context, &Actor)) {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_795_000_000)));
        let mut cx = founding::open(&Place::in_directory(dir.path()), clock, Arc::new(SystemRandom)).unwrap();
        cx.password_cost = Cost::LEAST;
        test(&cx, &Actor::LocalShell { user: String::from("ada") });
    }

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn names_roles_and_passwords_are_checked() {
        with_school(|cx, local| {
            create(cx, local, "ada", "owner", &secret(GOOD)).unwrap();
            for (name, role, password) in [
                ("", "owner", GOOD),
                ("-a", "owner", GOOD),
                ("a b", "owner", GOOD),
                ("é", "owner", GOOD),
                ("bob", "king", GOOD),
                ("bob", "owner", "short"),
            ] {
                assert!(create(cx, local, name, role, &secret(password)).is_err(), "{name} {role} {password}");
            }
            assert_eq!(
                create(cx, local, "ADA", "owner", &secret(GOOD)).unwrap_err().public,
                Text::AdminExists { name: String::from("ADA") }
            );
            let held = list(cx, local).unwrap();
            assert_eq!((held.len(), held[0].created_by.as_str()), (1, "local:ada"));
        });
    }

    #[test]
    fn an_owner_is_always_left() {
        with_school(|cx, local| {
            create(cx, local, "ada", "owner", &secret(GOOD)).unwrap();
            let disable = Change { disabled: Some(true), ..Change::default() };
            let demote = Change { role: Some(String::from("admin")), ..Change::default() };
            assert!(matches!(change(cx, local, "ada", &disable).unwrap_err().public, Text::LastOwner { .. }));
            assert!(matches!(change(cx, local, "ada", &demote).unwrap_err().public, Text::LastOwner { .. }));
            create(cx, local, "bob", "owner", &secret(GOOD)).unwrap();
            change(cx, local, "ada", &disable).unwrap();
            assert!(change(cx, local, "bob", &demote).is_err(), "a disabled owner is none");
            change(cx, local, "ada", &Change { disabled: Some(false), ..Change::default() }).unwrap();
            assert_eq!(change(cx, local, "bob", &demote).unwrap().role, Role::Admin);
        });
    }

    #[test]
    fn an_app_waits_for_its_first_code() {
        with_school(|cx, local| {
            let admin = create(cx, local, "ada", "owner", &secret(GOOD)).unwrap();
            assert!(matches!(confirm_totp(cx, local, "ada", "123456").unwrap_err().public, Text::TotpMissing { .. }));
            let enrolment = enrol_totp(cx, local, "ada", None).unwrap();
            assert!(enrolment.uri.expose().contains(enrolment.secret.expose().as_str()));
            let sealed = find(cx, "ada").unwrap().sealed_totp.unwrap();
            let raw = cx.open(&login::totp_place(admin.id), &sealed).unwrap();
            let code = totp::code(raw.expose(), cx.now().secs() / 30);
            assert_eq!(confirm_totp(cx, local, "ada", "abcdef").unwrap_err().public, Text::TotpWrong);
            confirm_totp(cx, local, "ada", &code).unwrap();
            assert!(matches!(enrol_totp(cx, local, "ada", None), Err(e) if matches!(e.public, Text::TotpThere { .. })));
            remove_totp(cx, local, "ada", None).unwrap();
            enrol_totp(cx, local, "ada", None).unwrap();
        });
    }
}
