//! Setting a school up in the browser: the one-time link, who came with it, and how far they are. The steps themselves are verbs of their own
//! (`school`, `people`, `recovery`, `push_certificates`, `doctor`); here is only what holds them together.

use super::actor::{Actor, Permission};
use super::{Context, Error, auditing, push_certificates, recovery, school};
use crate::base::texts::Appliance;
use crate::base::time::{DAY, Timestamp};
use crate::pki::digest::{constant_time_eq, sha256};
use crate::store::{Db, Tx};
use serde_json::{Value, json};

/// Name in the audit of whoever came with the link.
const VISITOR: &str = "setup-link";
/// Setting: hashes of link and session, and what was confirmed.
const SETUP: &str = "setup";
/// How long the browser that opened the link may take.
const SESSION: i64 = DAY;
/// How long a link waits to be opened: it was printed, and may lie in a log or a message.
const LINK: i64 = DAY;

/// How far a school is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steps {
    pub organization: Option<String>,
    pub hostname: Option<String>,
    /// The running server goes by another host name until it is started again.
    pub restart_needed: bool,
    /// Somebody decided where the TLS certificate comes from, or the configuration says it.
    pub tls_decided: bool,
    pub admin: bool,
    pub code_made: bool,
    /// A part of the recovery code was typed back.
    pub code_confirmed: bool,
    pub push_topic: Option<String>,
    /// A simulated device has enrolled.
    pub tested: bool,
    pub done: bool,
}

fn state(db: &Db<'_>) -> Result<Value, Error> {
    Ok(db.find_setting(SETUP)?.unwrap_or_else(|| json!({})))
}

fn hash(secret: &str) -> String {
    hex::encode(sha256(secret.as_bytes()))
}

/// Nobody has set anything up here: the web shows the way to the link and nothing else.
///
/// # Errors
/// Faults of the store.
pub fn is_fresh(cx: &Context) -> Result<bool, Error> {
    cx.store.read(|db| {
        Ok(db.find_text_setting(super::founding::ORGANIZATION)?.is_none()
            && db.list_admins()?.is_empty()
            && db.find_current_push_certificate()?.is_none()
            && !db.has_enrollments()?)
    })
}

/// A new link; the one before, and whoever came with it, are out.
///
/// # Errors
/// `Conflict` when the school is set up and has an owner who can log in.
pub fn make_link(cx: &Context, actor: &Actor) -> Result<String, Error> {
    actor.require(Permission::Administer)?;
    if steps(cx)?.done {
        return Err(Error::conflict(Appliance::SetUpDone.into()));
    }
    let secret = hex::encode(cx.random_bytes::<20>());
    cx.store.write(|tx| {
        let mut state = state(tx)?;
        state["link"] = json!(hash(&secret));
        state["link_until"] = json!(cx.now().plus(LINK).0);
        state["session"] = Value::Null;
        put(tx, &state)?;
        auditing::record(tx, actor, "setup.link", None, None, cx.now())
    })?;
    Ok(format!("{}/setup/{secret}", cx.urls().people))
}

/// Opens the link, once. The answer is the word of the browser that did.
///
/// # Errors
/// Faults of the store; `None` for a link that is not in force.
pub fn open(cx: &Context, secret: &str) -> Result<Option<String>, Error> {
    let word = hex::encode(cx.random_bytes::<20>());
    let now = cx.now();
    cx.store.write(|tx| {
        let mut state = state(tx)?;
        let held = state["link"].as_str().unwrap_or_default().to_owned();
        let until = Timestamp(state["link_until"].as_i64().unwrap_or(0));
        if held.is_empty() || now >= until || !constant_time_eq(held.as_bytes(), hash(secret).as_bytes()) {
            return Ok(None);
        }
        state["link"] = Value::Null;
        state["session"] = json!(hash(&word));
        state["until"] = json!(now.plus(SESSION).0);
        put(tx, &state)?;
        auditing::record(tx, &visitor(), "setup.open", None, None, now)?;
        Ok(Some(word))
    })
}

/// Whoever opened the link, as long as the school is not set up.
///
/// # Errors
/// Faults of the store; `None` for everybody else.
pub fn find_visitor(cx: &Context, word: &str) -> Result<Option<Actor>, Error> {
    let state = cx.store.read(state)?;
    let held = state["session"].as_str().unwrap_or_default();
    let until = Timestamp(state["until"].as_i64().unwrap_or(0));
    let known = !held.is_empty() && constant_time_eq(held.as_bytes(), hash(word).as_bytes());
    Ok((known && cx.now() < until).then(visitor))
}

/// Counts as somebody at this machine: the link was printed there, for whoever runs the server.
fn visitor() -> Actor {
    Actor::LocalShell { user: String::from(VISITOR) }
}

/// Somebody was made who may log in. When it is the first, and was not made by whoever came with the link, the link has done its work
/// elsewhere: printed by a server that was then set up at the command line, it would otherwise make an owner of whoever finds it.
///
/// # Errors
/// Faults of the store.
pub(super) fn admin_made(tx: &Tx<'_>, actor: &Actor, first: bool) -> Result<(), Error> {
    if first && *actor != visitor() {
        let mut state = state(tx)?;
        state["link"] = Value::Null;
        state["session"] = Value::Null;
        put(tx, &state)?;
    }
    Ok(())
}

/// How far the school is.
///
/// # Errors
/// Faults of the store.
pub fn steps(cx: &Context) -> Result<Steps, Error> {
    let school = school::find(cx)?;
    let (state, admin) =
        cx.store.read(|db| Ok::<_, Error>((db.find_setting(SETUP)?, !db.list_admins()?.is_empty())))?;
    let says = |key: &str| state.as_ref().is_some_and(|state| state[key] == true);
    let current = push_certificates::list(cx, &visitor())?.into_iter().find(|row| row.current);
    let served = super::doctor::host_and_port(&cx.urls().devices).map(|(host, _)| host);
    let restart_needed = school.hostname.is_some() && served.is_some() && served != school.hostname;
    Ok(Steps {
        organization: school.organization,
        hostname: school.hostname,
        restart_needed,
        tls_decided: super::tls_choice::find(cx)?.decided,
        admin,
        code_made: recovery::find_made_at(cx)?.is_some(),
        code_confirmed: says("confirmed"),
        push_topic: current.map(|row| row.topic),
        tested: says("tested"),
        // Set up past the browser, an owner can log in: there is nothing left for a link. One that was made is still good.
        done: says("done")
            || (admin && ["link", "session"].iter().all(|key| state.as_ref().is_none_or(|s| s[key].is_null()))),
    })
}

/// Notes that a step was taken: `confirmed`, `tested` or `done`.
///
/// # Errors
/// Faults of the store.
pub fn note(cx: &Context, actor: &Actor, step: &'static str) -> Result<(), Error> {
    actor.require(Permission::Administer)?;
    cx.store.write(|tx| {
        let mut state = state(tx)?;
        state[step] = json!(true);
        if step == "done" {
            state["session"] = Value::Null;
            state["link"] = Value::Null;
        }
        put(tx, &state)?;
        auditing::record(tx, actor, "setup.step", Some(step), None, cx.now())
    })
}

fn put(tx: &Tx<'_>, state: &Value) -> Result<(), Error> {
    Ok(tx.put_setting(SETUP, state)?)
}
