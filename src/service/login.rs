//! Logging in by name: password, code of the authenticator app, sessions, and what happens to who guesses. Called by `http`; the
//! people themselves are kept by [`super::people`], the wrong tries by [`super::guesses`].

use super::actor::{Actor, Permission};
use super::guesses::{failed, flush, keys};
use super::{Context, Error, auditing, passwords, totp};
use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::base::time::{HOUR, MINUTE, Timestamp};
use crate::pki::digest::sha256;
use crate::store::{AdminRow, OpenSession};
use base64::Engine;
use serde_json::json;
use std::net::IpAddr;

/// Every session's token begins so; it tells them from API tokens.
const PREFIX: &str = "cordon_session_";
/// A session that nobody uses ends after this (ASVS V3.3).
pub const IDLE: i64 = 30 * MINUTE;
/// Any session ends after this.
pub const ABSOLUTE: i64 = 12 * HOUR;
/// The last use is written at most this often; a session ends that much early at worst.
const USED_EVERY: i64 = MINUTE;

/// What somebody gives to log in.
pub struct Attempt<'a> {
    pub name: &'a str,
    pub password: Secret<String>,
    pub totp: Option<&'a str>,
    /// Where from, if that is one person's address and not a proxy's.
    pub address: Option<IpAddr>,
    /// The same for the audit, in words.
    pub origin: &'a str,
}

/// An open session. The token is here and nowhere else.
pub struct Session {
    pub token: Secret<String>,
    pub admin: AdminRow,
    pub expires_at: Timestamp,
}

/// # Errors
/// `Denied` with `LoginFailed` for a wrong name or password and for a disabled admin, without saying which; `TotpNeeded`,
/// `TotpWrong`; `Busy` with `TooManyTries`.
pub fn login(cx: &Context, attempt: &Attempt<'_>) -> Result<Session, Error> {
    let now = cx.now();
    let keys = keys(attempt.name, attempt.address);
    cx.guesses.refuse_blocked(&keys, now)?;
    let found = cx.store.read(|db| db.find_admin(attempt.name))?;
    let right =
        cx.guesses.checked(|| passwords::verify(cx, found.as_ref().map(|admin| &admin.password), &attempt.password))?;
    let Some(admin) = found.filter(|admin| right && admin.disabled_at.is_none()) else {
        return Err(failed(cx, &keys, attempt.name, attempt.origin, Text::LoginFailed));
    };
    let step = match (&admin.sealed_totp, admin.totp_confirmed_at, attempt.totp) {
        (Some(sealed), Some(_), Some(code)) => {
            let secret = cx.open(&totp_place(admin.id), sealed)?;
            let step = totp::find_step(secret.expose(), code, now);
            Some(step.ok_or_else(|| failed(cx, &keys, attempt.name, attempt.origin, Text::TotpWrong))?)
        }
        (_, Some(_), None) => return Err(Error::denied(Text::TotpNeeded)),
        _ => None,
    };
    let random = Secret::new(cx.random_bytes::<32>());
    let token = Secret::new(format!("{PREFIX}{}", base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(random.expose())));
    let expires_at = now.plus(ABSOLUTE);
    let hash = sha256(token.expose().as_bytes());
    let opened = cx.store.write(|tx| {
        if let Some(step) = step
            && !tx.use_totp_step(admin.id, step)?
        {
            return Err(Error::denied(Text::TotpWrong));
        }
        let session = tx.insert_session(admin.id, &hash, now, expires_at, now.plus(-IDLE), attempt.origin)?;
        let actor =
            Actor::Admin { name: admin.name.clone(), role: admin.role, session, from: attempt.origin.to_owned() };
        auditing::record(tx, &actor, "admin.login", Some(&admin.name), None, now)
    });
    if let Err(refused) = opened {
        return Err(if refused.public == Text::TotpWrong {
            failed(cx, &keys, attempt.name, attempt.origin, Text::TotpWrong)
        } else {
            refused
        });
    }
    flush(cx)?;
    // Only the name's count: who guesses others' passwords must not wash the address clean with their own.
    cx.guesses.forget(&keys[0]);
    Ok(Session { token, admin, expires_at })
}

/// Whether a bearer text claims to be a session's.
pub fn is_session_token(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// Who a session's token stands for, with the role of this moment; `from` goes into the audit.
///
/// # Errors
/// `Denied` for an unknown, idle, ended or disabled one, without saying which.
pub fn authenticate(cx: &Context, text: &str, from: &str) -> Result<Actor, Error> {
    let now = cx.now();
    let found = cx.store.read(|db| db.find_session_by_hash(&sha256(text.as_bytes())))?;
    let in_force =
        found.filter(|s| s.expires_at > now && now.since(s.last_used_at) < IDLE && s.admin.disabled_at.is_none());
    let session = in_force.ok_or_else(|| Error::denied(Text::LoginNeeded))?;
    if now.since(session.last_used_at) >= USED_EVERY {
        cx.store.write(|tx| tx.put_session_used(session.id, now))?;
    }
    Ok(Actor::Admin { name: session.admin.name, role: session.admin.role, session: session.id, from: from.to_owned() })
}

/// Ends the actor's own session.
///
/// # Errors
/// `Denied` for who has none.
pub fn logout(cx: &Context, actor: &Actor) -> Result<(), Error> {
    let Actor::Admin { name, session, .. } = actor else { return Err(Error::denied(Text::PersonNeeded)) };
    let now = cx.now();
    cx.store.write(|tx| {
        tx.end_session(*session)?;
        auditing::record(tx, actor, "admin.logout", Some(name), None, now)
    })
}

/// What stands before a grave step: somebody who is logged in gives the password again, for the session could be anybody's at a
/// screen left open. Who sits at the server itself has proven more; a token proves nothing about a person.
///
/// # Errors
/// `Denied` with `PasswordNeeded`; `Busy` with `TooManyTries`.
pub fn verify_fresh(cx: &Context, actor: &Actor, password: Option<&str>) -> Result<(), Error> {
    let name = match actor {
        Actor::LocalShell { .. } => return Ok(()),
        Actor::Admin { name, .. } => name,
        _ => return Err(Error::denied(Text::PasswordNeeded)),
    };
    let password = password.ok_or_else(|| Error::denied(Text::PasswordNeeded))?;
    let keys = keys(name, None);
    cx.guesses.refuse_blocked(&keys, cx.now())?;
    let admin = cx.store.read(|db| db.find_admin(name))?.filter(|admin| admin.disabled_at.is_none());
    let password = Secret::new(password.to_owned());
    if cx.guesses.checked(|| passwords::verify(cx, admin.as_ref().map(|a| &a.password), &password))? {
        cx.guesses.forget(&keys[0]);
        return Ok(());
    }
    Err(failed(cx, &keys, name, actor.origin(), Text::PasswordNeeded))
}

/// Wrong tries of a name so far, and until when the next one has to wait.
pub fn standing(cx: &Context, name: &str) -> (u32, Option<Timestamp>) {
    let now = cx.now();
    let (wrong, until) = cx.guesses.count_of(&keys(name, None)[0]).unwrap_or((0, now));
    (wrong, Some(until).filter(|until| *until > now))
}

/// Forgets the wrong tries of a name, and with `addresses` those of all addresses: a school sits behind one.
///
/// # Errors
/// `Denied` for anybody but an owner; `NotFound`.
pub fn unlock(cx: &Context, actor: &Actor, name: &str, addresses: bool) -> Result<(), Error> {
    actor.require(Permission::Administer)?;
    let admin = super::people::find(cx, name)?;
    let (wrong, _) = standing(cx, &admin.name);
    let now = cx.now();
    cx.store.write(|tx| {
        let detail = json!({ "wrong": wrong, "addresses": addresses });
        auditing::record(tx, actor, "admin.unlock", Some(&admin.name), Some(detail), now)
    })?;
    cx.guesses.forget(&keys(&admin.name, None)[0]);
    if addresses {
        cx.guesses.forget_addresses();
    }
    flush(cx)
}

/// Open sessions of one person: one's own, or, for an owner, anybody's.
///
/// # Errors
/// `Denied`, `NotFound`.
pub fn sessions(cx: &Context, actor: &Actor, name: &str) -> Result<Vec<OpenSession>, Error> {
    super::people::require_self_or_owner(actor, name)?;
    let admin = super::people::find(cx, name)?;
    let now = cx.now();
    Ok(cx.store.read(|db| db.list_sessions(admin.id, now, now.plus(-IDLE)))?)
}

/// Ends one session of a person, or with `None` every one but the actor's own. Returns how many.
///
/// # Errors
/// As [`sessions`]; `NotFound` for a session that is not that person's, or over.
pub fn end_sessions(cx: &Context, actor: &Actor, name: &str, id: Option<&str>) -> Result<usize, Error> {
    let open = sessions(cx, actor, name)?;
    let missing = |id: &str| Error::not_found(Text::NoSuchSession { id: id.chars().take(20).collect() });
    let id = id.map(|id| id.parse::<i64>().map_err(|_| missing(id))).transpose()?;
    let own = if let Actor::Admin { session, .. } = actor { Some(*session) } else { None };
    let ended: Vec<i64> =
        open.iter().map(|s| s.id).filter(|s| id.map_or(Some(*s) != own, |wanted| wanted == *s)).collect();
    if let Some(id) = id.filter(|_| ended.is_empty()) {
        return Err(missing(&id.to_string()));
    }
    let now = cx.now();
    cx.store.write(|tx| -> Result<(), Error> {
        ended.iter().try_for_each(|id| tx.end_session(*id))?;
        auditing::record(tx, actor, "admin.end-sessions", Some(name), Some(json!({ "sessions": ended })), now)
    })?;
    Ok(ended.len())
}

/// The place that an authenticator's secret is sealed for.
pub(super) fn totp_place(admin: i64) -> String {
    format!("admin/{admin}/totp")
}
