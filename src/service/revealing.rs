//! The one way out for secrets in custody: to a person with a reason, recorded before the value leaves; under the two-person rule
//! only after somebody else agreed, once, within an hour.

use super::actor::{Actor, Permission};
use super::{Context, Error, auditing, custody, devices, filevault, login, unlocking};
use crate::base::ids::short_code;
use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::base::time::{HOUR, Timestamp};
use crate::protocol::profile::is_recovery_key;
use crate::store::{DeviceRow, SecretRequestRow, SecretRow, Tx};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

/// Setting: another person must agree before a secret is shown.
const TWO_PERSON: &str = "custody.two_person";
/// A request, and an agreement, are good for so long.
const REQUEST_LIFE: i64 = HOUR;
/// Values that people type; the others are bytes, shown as base64, but for a FileVault key that was opened.
const TYPED: [&str; 5] =
    ["activation-lock-code", "activation-lock-server-code", "recovery-lock", "firmware-password", "lock-pin"];

/// A secret on its way to a person.
#[derive(Debug, Clone)]
pub struct Revealed {
    pub kind: String,
    pub generation: i64,
    pub created_at: Timestamp,
    /// Text as typed, or base64 of bytes.
    pub value: Secret<String>,
}

/// Somebody's open wish to see a secret, with the device as people know it.
#[derive(Debug, Clone)]
pub struct Request {
    pub row: SecretRequestRow,
    pub device: String,
}

/// Which secret somebody wants to see, and why.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub kind: String,
    /// The one in force when left out.
    pub generation: Option<i64>,
    pub reason: String,
    /// Given again by somebody who is logged in by name.
    pub password: Option<Secret<String>>,
}

/// Shows one secret: the generation asked for, or the one that is in force as far as is known.
///
/// # Errors
/// `Denied` for roles below admin, for scripts, and without a fresh password; `Invalid` without a reason; `NotFound`; `Conflict`
/// while a second person must agree.
pub fn reveal(cx: &Context, actor: &Actor, device: &str, asked: &Asked) -> Result<Revealed, Error> {
    let reason: String = asked.reason.chars().take(unlocking::MOST_WORDS).collect();
    let detail = json!({ "kind": asked.kind, "generation": asked.generation, "reason": reason });
    auditing::noting(cx, actor, "secret.reveal", device, detail, || try_reveal(cx, actor, device, asked))
}

fn try_reveal(cx: &Context, actor: &Actor, device: &str, asked: &Asked) -> Result<Revealed, Error> {
    let (kind, generation) = (asked.kind.as_str(), asked.generation);
    require_person(actor, Permission::Reveal)?;
    if !custody::KINDS.contains(&kind) {
        return Err(Error::invalid(Text::UnknownSecretKind {
            kind: kind.to_owned(),
            known: custody::KINDS.join(", "),
        }));
    }
    let reason = unlocking::reason("reason", Some(&asked.reason))?;
    login::verify_fresh(cx, actor, asked.password.as_ref().map(|p| p.expose().as_str()))?;
    let found = devices::find(cx, actor, device)?;
    let channel = devices::channel(cx, &found, None).ok();
    let now = cx.now();
    let agreed = cx.store.write(|tx| {
        let missing =
            || Error::not_found(Text::NoSuchSecret { device: unlocking::shown(&found), kind: kind.to_owned() });
        let row = choose(tx.list_secrets(found.id, Some(kind))?, generation).ok_or_else(missing)?;
        let request = match two_person(tx)? {
            true => match agree(cx, tx, actor, &found, &row, &reason, now)? {
                Agreement::Given(id) => Some(id),
                Agreement::Waits(id) => return Ok(Err(id)),
            },
            false => None,
        };
        let detail = json!({ "kind": kind, "generation": row.generation, "reason": reason, "request": request });
        auditing::record(tx, actor, "secret.reveal", Some(&found.public_id), Some(detail), now)?;
        let detail = json!({ "kind": kind, "generation": row.generation, "by": actor.name(), "reason": reason });
        tx.tell(found.id, None, None, "secret-revealed", Some(&detail.to_string()), now)?;
        if kind == filevault::KIND {
            filevault::rotate_after_reveal(cx, tx, &found, channel.as_ref(), row.generation, now)?;
        }
        Ok::<_, Error>(Ok(row))
    })?;
    cx.ring_pusher();
    // The record is on disk; only now is the value opened.
    let row = agreed.map_err(|id| Error::conflict(Text::SecondPersonNeeded { id }))?;
    open(cx, &found, &row)
}

/// Opens a chosen generation, once the look is on record.
pub(super) fn open(cx: &Context, device: &DeviceRow, row: &SecretRow) -> Result<Revealed, Error> {
    let sealed = row.sealed_value.as_ref().ok_or_else(|| Error::internal("a chosen secret without a value"))?;
    let value = cx.open(&custody::place(device.id, &row.kind, row.generation), sealed)?;
    Ok(Revealed {
        kind: row.kind.clone(),
        generation: row.generation,
        created_at: row.created_at,
        value: readable(&row.kind, &value),
    })
}

/// Scripts do not read secrets, whatever their role: a token is copied more easily than a person.
pub(super) fn require_person(actor: &Actor, permission: Permission) -> Result<(), Error> {
    actor.require(permission)?;
    match actor {
        Actor::LocalShell { .. } | Actor::Admin { .. } => Ok(()),
        Actor::Token { .. } | Actor::Job(_) | Actor::Visitor { .. } => Err(Error::denied(Text::NotForScripts)),
    }
}

/// Newest first: the generation asked for; else the newest that the device confirmed and did not take back, else the newest.
pub(super) fn choose(rows: Vec<SecretRow>, generation: Option<i64>) -> Option<SecretRow> {
    let mut held: Vec<SecretRow> = rows.into_iter().filter(|row| row.sealed_value.is_some()).collect();
    let at = match generation {
        Some(wanted) => held.iter().position(|row| row.generation == wanted)?,
        None => held.iter().position(|row| row.confirmed_at.is_some() && row.withdrawn_at.is_none()).unwrap_or(0),
    };
    (at < held.len()).then(|| held.swap_remove(at))
}

fn readable(kind: &str, value: &Secret<Vec<u8>>) -> Secret<String> {
    let typed = TYPED.contains(&kind) || (kind == filevault::KIND && is_recovery_key(value.expose()));
    let text = typed.then(|| std::str::from_utf8(value.expose()).ok()).flatten();
    Secret::new(text.map_or_else(|| STANDARD.encode(value.expose()), str::to_owned))
}

pub(super) enum Agreement {
    /// By this request, now used up.
    Given(String),
    /// For somebody else's word on this request.
    Waits(String),
}

/// Uses an agreed request of this person for this very secret, or leaves one to be agreed to.
pub(super) fn agree(
    cx: &Context,
    tx: &Tx<'_>,
    actor: &Actor,
    device: &DeviceRow,
    row: &SecretRow,
    reason: &str,
    now: Timestamp,
) -> Result<Agreement, Error> {
    let by = actor.name();
    let own = |request: &SecretRequestRow| {
        request.asked_by == by
            && request.device == device.id
            && request.kind == row.kind
            && request.generation == row.generation
    };
    let open: Vec<SecretRequestRow> =
        tx.list_secret_requests(now.plus(-2 * REQUEST_LIFE))?.into_iter().filter(own).collect();
    if let Some(given) = open.iter().find(|r| r.approved_at.is_some_and(|at| at.plus(REQUEST_LIFE) > now)) {
        tx.use_secret_request(&given.id, now)?;
        return Ok(Agreement::Given(given.id.clone()));
    }
    if let Some(waits) = open.iter().find(|r| r.approved_at.is_none() && r.asked_at.plus(REQUEST_LIFE) > now) {
        return Ok(Agreement::Waits(waits.id.clone()));
    }
    let request = SecretRequestRow {
        id: short_code(&cx.random_bytes::<10>()),
        device: device.id,
        kind: row.kind.clone(),
        generation: row.generation,
        reason: reason.to_owned(),
        asked_by: by,
        asked_at: now,
        approved_by: None,
        approved_at: None,
        used_at: None,
    };
    tx.insert_secret_request(&request)?;
    let detail =
        json!({ "request": request.id, "kind": request.kind, "generation": request.generation, "reason": reason });
    auditing::record(tx, actor, "secret.request", Some(&device.public_id), Some(detail), now)?;
    Ok(Agreement::Waits(request.id))
}

/// Requests that wait for somebody's word, or were agreed to and not used yet.
pub fn list_requests(cx: &Context, actor: &Actor) -> Result<Vec<Request>, Error> {
    actor.require(Permission::Reveal)?;
    let now = cx.now();
    cx.store.read(|db| {
        let mut requests = Vec::new();
        for row in db.list_secret_requests(now.plus(-REQUEST_LIFE))? {
            let device = db.find_device(row.device)?.map(|d| unlocking::shown(&d)).unwrap_or_default();
            requests.push(Request { row, device });
        }
        Ok(requests)
    })
}

/// A second person agrees.
///
/// # Errors
/// `Denied` for scripts, for the one who asked, and without a fresh password; `NotFound` for a request that is over.
pub fn approve(cx: &Context, actor: &Actor, id: &str, password: Option<&str>) -> Result<Request, Error> {
    let detail = json!({});
    auditing::noting(cx, actor, "secret.approve", id, detail, || try_approve(cx, actor, id, password))
}

fn try_approve(cx: &Context, actor: &Actor, id: &str, password: Option<&str>) -> Result<Request, Error> {
    require_person(actor, Permission::Reveal)?;
    login::verify_fresh(cx, actor, password)?;
    let now = cx.now();
    cx.store.write(|tx| {
        let missing = || Error::not_found(Text::NoSuchSecretRequest { id: id.to_owned() });
        let row = tx
            .find_secret_request(id)?
            .filter(|r| r.approved_at.is_none() && r.asked_at.plus(REQUEST_LIFE) > now)
            .ok_or_else(missing)?;
        if row.asked_by == actor.name() {
            return Err(Error::denied(Text::OwnSecretRequest { id: id.to_owned() }));
        }
        tx.approve_secret_request(id, &actor.name(), now)?;
        let device = tx.find_device(row.device)?.ok_or_else(missing)?;
        let detail = json!({ "request": id, "kind": row.kind, "generation": row.generation, "asked_by": row.asked_by });
        auditing::record(tx, actor, "secret.approve", Some(&device.public_id), Some(detail), now)?;
        let row = tx.find_secret_request(id)?.ok_or_else(missing)?;
        Ok(Request { row, device: unlocking::shown(&device) })
    })
}

/// Switches the two-person rule. Only an owner may, and it is recorded.
pub fn set_two_person(cx: &Context, actor: &Actor, on: bool, password: Option<&str>) -> Result<(), Error> {
    require_person(actor, Permission::Administer)?;
    login::verify_fresh(cx, actor, password)?;
    let now = cx.now();
    cx.store.write(|tx| {
        tx.put_setting(TWO_PERSON, &json!(on))?;
        auditing::record(tx, actor, "secret.two-person", None, Some(json!({ "on": on })), now)
    })
}

pub(super) fn two_person(tx: &Tx<'_>) -> Result<bool, Error> {
    Ok(tx.find_setting(TWO_PERSON)?.is_some_and(|value| value == json!(true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(generation: i64, value: bool, confirmed: bool, withdrawn: bool) -> SecretRow {
        SecretRow {
            kind: String::from("recovery-lock"),
            generation,
            sealed_value: value.then(Vec::new),
            created_at: Timestamp(0),
            withdrawn_at: withdrawn.then_some(Timestamp(1)),
            command: None,
            confirmed_at: confirmed.then_some(Timestamp(1)),
            pending: false,
        }
    }

    #[test]
    fn which_generation_is_shown() {
        let pick = |rows: Vec<SecretRow>, wanted| choose(rows, wanted).map(|row| row.generation);
        // Sent, but not confirmed: the one before is still in force.
        assert_eq!(pick(vec![row(2, true, false, false), row(1, true, true, false)], None), Some(1));
        assert_eq!(pick(vec![row(2, true, false, false), row(1, true, true, false)], Some(2)), Some(2));
        assert_eq!(pick(vec![row(1, true, false, false)], None), Some(1));
        // Cleared: the old one can still be asked for.
        assert_eq!(pick(vec![row(2, false, true, true), row(1, true, true, true)], None), Some(1));
        assert_eq!(pick(vec![row(2, false, true, true)], None), None);
        assert_eq!(pick(vec![row(1, true, true, false)], Some(7)), None);
        assert_eq!(pick(Vec::new(), None), None);
    }

    #[test]
    fn typed_secrets_are_text_and_bytes_are_base64() {
        let shown = |kind: &str, value: &[u8]| readable(kind, &Secret::new(value.to_vec())).expose().clone();
        assert_eq!(shown("lock-pin", b"123456"), "123456");
        assert_eq!(shown("unlock-token", b"abc"), "YWJj");
        assert_eq!(shown("recovery-lock", &[0xff]), "/w==");
    }

    #[test]
    fn only_people_see_secrets() {
        let name = || String::from("ada");
        let role = crate::store::Role::Owner;
        let ask = |actor: Actor| require_person(&actor, Permission::Reveal).map_err(|e| e.public);
        assert_eq!(ask(Actor::Token { name: name(), role, from: name() }), Err(Text::NotForScripts));
        assert_eq!(ask(Actor::Job("custody")), Err(Text::NotForScripts));
        assert_eq!(ask(Actor::LocalShell { user: name() }), Ok(()));
        assert_eq!(ask(Actor::Admin { name: name(), role, session: 1, from: name() }), Ok(()));
        assert!(
            ask(Actor::Admin { name: name(), role: crate::store::Role::Helpdesk, session: 1, from: name() }).is_err()
        );
    }
}
