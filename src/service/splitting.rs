//! A profile with several accounts becomes one profile for each, assigned to the same; what is left of it stays under its own name. Called by
//! the API and the console. What comes of a profile is `protocol::profile::split`.

use super::actor::{Actor, Permission};
use super::library::{self, ProfileView};
use super::reconciling::{self, Call};
use super::{Context, Error, accounts, assigning, auditing, pairs};
use crate::base::ids::short_code;
use crate::base::texts::{Accounts as Said, Pairs};
use crate::base::time::Timestamp;
use crate::pki::digest::sha256;
use crate::plist::{Dictionary, Value, parse_dict, to_xml};
use crate::protocol::profile::variables::variables;
use crate::protocol::profile::{self, read_settings};
use crate::store::{Db, ProfileRow, ProfileVersionRow, Tx};
use serde_json::json;

/// How many accounts a profile sets up, if that is more than one and it may be split.
///
/// # Errors
/// `NotFound`.
pub fn offer(cx: &Context, actor: &Actor, profile: &str) -> Result<Option<usize>, Error> {
    actor.require(Permission::LookAround)?;
    let (row, content) = content(cx, profile)?;
    if cx.store.read(|db| pairs::of_profile(db, row.id))?.is_some() {
        return Ok(None);
    }
    Ok(profile::split(&content).map(|pieces| pieces.accounts.len()))
}

fn content(cx: &Context, profile: &str) -> Result<(ProfileRow, Dictionary), Error> {
    let missing = || Error::internal("a profile without its current version");
    let (row, current) = cx.store.read(|db| {
        let row = library::find(db, profile)?;
        let current = db.find_profile_version(row.id, row.version)?.ok_or_else(missing)?;
        Ok::<_, Error>((row, current))
    })?;
    let plain = library::plain(cx, row.id, &current)?;
    let content = parse_dict(plain.expose()).map_err(Error::internal)?.into_dictionary();
    Ok((row, content))
}

/// Splits it. On each device the accounts go with the old profile before they come back, each in its own: two with the same address at once
/// is what devices refuse.
///
/// # Errors
/// `NotFound`; `Conflict` where there is nothing to split, a part would have the name of another profile, or the profile belongs to a pair.
pub fn split(cx: &Context, actor: &Actor, profile: &str) -> Result<Vec<ProfileView>, Error> {
    actor.require(Permission::Enroll)?;
    cx.require_space()?;
    let (seen, content) = content(cx, profile)?;
    cx.store.read(|db| accounts::require_free(db, &seen))?;
    let nothing = || Error::conflict(Said::NothingToSplit { profile: seen.name.clone() }.into());
    let pieces = profile::split(&content).ok_or_else(nothing)?;
    let now = cx.now();
    let (made, channels) = cx.store.write(|tx| {
        let row = library::find(tx, profile)?;
        if row.version != seen.version {
            return Err(nothing());
        }
        require_alone(tx, &row)?;
        let assignments = tx.list_assignments(row.id)?;
        let channels = assigning::channels_of(tx, row.id)?;
        match &pieces.rest {
            Some(rest) => {
                put_version(cx, tx, actor, row.id, row.version + 1, rest, now)?;
                tx.advance_profile(row.id, &row.name, row.version + 1)?;
            }
            None => tx.remove_profile(row.id, now)?,
        }
        for id in &channels {
            if let Some(channel) = tx.find_enrollment_by_row(*id)? {
                reconciling::reconcile(cx, tx, &channel, Call::Push, now)?;
            }
        }
        let mut made = Vec::new();
        for piece in &pieces.accounts {
            if tx.find_profile(&piece.identifier)?.is_some() {
                return Err(Error::conflict(Said::NamesTaken { identifier: piece.identifier.clone() }.into()));
            }
            let new = ProfileRow {
                id: 0,
                public_id: format!("pr-{}", short_code(&cx.random_bytes::<8>())),
                identifier: piece.identifier.clone(),
                name: library::plain_name(&piece.name),
                version: 1,
                comes_back: row.comes_back,
                created_by: actor.name(),
                created_at: now,
                removed_at: None,
            };
            let id = tx.insert_profile(&new)?;
            put_version(cx, tx, actor, id, 1, &piece.profile, now)?;
            tx.update_profile(id, &new.name, row.comes_back)?;
            for assignment in assignments.iter().filter(|assignment| assignment.pair.is_none()) {
                tx.put_assignment(id, &assignment.target, None, assignment.schedule, &actor.name(), now)?;
            }
            made.push(id);
        }
        let parts: Vec<&String> = pieces.accounts.iter().map(|piece| &piece.identifier).collect();
        let detail = json!({ "into": parts, "rest": pieces.rest.is_some() });
        auditing::record(tx, actor, "profile.split", Some(&row.identifier), Some(detail), now)?;
        Ok((made, channels))
    })?;
    reconciling::reconcile_all(cx, &channels)?;
    cx.ring_pusher();
    cx.ring_teller();
    cx.store.read(|db| made.into_iter().map(|id| library::view(db, id)).collect())
}

/// A pair has two halves and no more: an account of its own would come and go without the other half.
fn require_alone(db: &Db<'_>, row: &ProfileRow) -> Result<(), Error> {
    match pairs::of_profile(db, row.id)? {
        None => Ok(()),
        Some(pair) => {
            let (profile, id) = (row.name.clone(), pair.public_id);
            Err(Error::conflict(Pairs::HalfNotSplit { profile, pair: pair.name, id }.into()))
        }
    }
}

fn put_version(
    cx: &Context,
    tx: &Tx<'_>,
    actor: &Actor,
    profile: i64,
    version: i64,
    content: &Dictionary,
    now: Timestamp,
) -> Result<(), Error> {
    let plain = to_xml(&Value::Dictionary(content.clone()));
    let facts = read_settings(&plain).map_err(Error::internal)?;
    let used: Vec<String> = variables(content).into_iter().collect();
    let hash = sha256(&plain);
    let bytes = plain.len() as i64;
    let (body, signer) = match used.is_empty() {
        true => (library::sign(cx, &plain, now), Some(cx.authorities().signer.certificate.fingerprint())),
        false => (plain, None),
    };
    let row = ProfileVersionRow {
        version,
        sealed_body: cx.seal(&library::place(profile, version), &body),
        body_hash: hash,
        bytes,
        signer,
        payload_types: serde_json::Value::from(facts.payload_types).to_string(),
        variables: used,
        signed_by: None,
        created_by: actor.name(),
        created_at: now,
    };
    Ok(tx.insert_profile_version(profile, &row)?)
}
