//! Pairs: a restriction, and the capability that a device gets for accepting it. Either both in one profile, or the locked restriction
//! first and the capability when the device complies. Assigned like profiles; removing the restriction always takes the capability along.
//!
//! Called by the API and the console. What becomes of a gated pair on each device is `gates`' work; how far it is, `pair_states`'.

use super::actor::{Actor, Permission};
use super::assigning::{self, What, Whom};
use super::library::{self, AssignmentView};
use super::library_versions::{self, content};
use super::{Context, Error, accounts, auditing, gates, reconciling, wanting};
use crate::base::texts::{Pairs, Text};
use crate::plist::{Value, to_xml};
use crate::protocol::gate::{Condition, OnLapse, Phase};
use crate::protocol::profile::{PASSCODE_POLICY, combine, is_locked, lock, only};
use crate::store::{Db, PairRow, ProfileRow};
use serde_json::json;

/// One half of a pair to be.
#[derive(Debug, Clone)]
pub enum Half {
    /// A profile of the library, or only its payloads of these types (which become a profile of their own).
    Profile { profile: String, only: Vec<String> },
    /// PayloadType with Apple's keys as JSON; they become a profile of the library.
    Payloads(Vec<(String, serde_json::Value)>),
}

/// A pair to be.
#[derive(Debug, Clone)]
pub struct Wish {
    pub name: String,
    /// Both in one profile; else gated.
    pub together: bool,
    pub restriction: Half,
    pub capability: Half,
    /// What a device has to say; see [`Condition`].
    pub until: Option<String>,
    pub on_lapse: Option<OnLapse>,
}

/// What is to change; `None` stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub name: Option<String>,
    pub until: Option<String>,
    pub on_lapse: Option<OnLapse>,
}

#[derive(Debug, Clone)]
pub struct PairView {
    pub row: PairRow,
    pub restriction: ProfileRow,
    pub capability: ProfileRow,
    pub combined: Option<ProfileRow>,
    pub assignments: Vec<AssignmentView>,
    /// How many channels are in each phase.
    pub phases: Vec<(String, i64)>,
    pub notes: Vec<String>,
}

fn condition(text: Option<&str>) -> Result<Condition, Error> {
    let bad = |why: &str| Error::invalid(Text::BadArgument { key: String::from("until"), why: why.to_owned() });
    text.unwrap_or("passcode").parse().map_err(bad)
}

/// Makes a pair. Nobody has it before it is assigned.
///
/// # Errors
/// `Invalid` for what is no pair; `NotFound` for a profile; `Conflict` for a capability that somebody gets without it.
pub fn create(cx: &Context, actor: &Actor, wish: &Wish) -> Result<PairView, Error> {
    actor.require(Permission::Enroll)?;
    let name = library::name("name", &wish.name)?;
    let condition = condition(wish.until.as_deref())?;
    let on_lapse = wish.on_lapse.unwrap_or(OnLapse::Withdraw);
    let public_id = format!("pa-{}", crate::base::ids::short_code(&cx.random_bytes::<8>()));
    let mut notes = Vec::new();
    let restriction = half(cx, actor, &wish.restriction, &public_id, "restriction", &name, &mut notes)?;
    let capability = half(cx, actor, &wish.capability, &public_id, "capability", &name, &mut notes)?;
    if restriction.id == capability.id {
        return Err(Error::invalid(Pairs::SameProfile.into()));
    }
    let combined = if wish.together {
        Some(put_together(cx, actor, &public_id, &name, &restriction, &capability)?)
    } else {
        cx.store.read(|db| require_free(db, &restriction, &capability))?;
        if lock_now(cx, actor, &restriction)? {
            notes.push(Pairs::Locked { profile: restriction.name.clone() });
        }
        None
    };
    if !wish.together && condition == Condition::Passcode {
        let types = cx.store.read(|db| types(db, &restriction))?;
        if !types.iter().any(|kind| kind == PASSCODE_POLICY) {
            notes.push(Pairs::NoPolicyInside { profile: restriction.name.clone() });
        }
        notes.push(Pairs::NotAsked { platforms: "Macs" });
    }
    let now = cx.now();
    cx.store.write(|tx| {
        if combined.is_none() {
            // Looked at again where nobody can assign in between.
            require_free(tx, &restriction, &capability)?;
        }
        let row = PairRow {
            id: 0,
            public_id: public_id.clone(),
            name: name.clone(),
            combined,
            restriction: restriction.id,
            capability: capability.id,
            condition: condition.to_string(),
            on_lapse,
            created_by: actor.name(),
            created_at: now,
            removed_at: None,
        };
        tx.insert_pair(&row)?;
        let detail = json!({ "name": name, "mode": mode(&row), "restriction": restriction.identifier,
            "capability": capability.identifier, "until": row.condition, "on_lapse": on_lapse.as_str() });
        auditing::record(tx, actor, "pair.create", Some(&public_id), Some(detail), now)
    })?;
    let mut view = show(cx, actor, &public_id)?;
    view.notes = notes.into_iter().map(|note| Text::from(note).to_string()).collect();
    Ok(view)
}

/// The word for how a pair is handed out.
pub fn mode(row: &PairRow) -> &'static str {
    if row.is_gated() { "gated" } else { "together" }
}

fn half(
    cx: &Context,
    actor: &Actor,
    half: &Half,
    pair: &str,
    part: &str,
    name: &str,
    notes: &mut Vec<Pairs>,
) -> Result<ProfileRow, Error> {
    let identifier = format!("cordon.{pair}.{part}");
    let made = match half {
        Half::Profile { profile, only: types } => {
            let row = cx.store.read(|db| library::find(db, profile))?;
            if types.is_empty() {
                // What an account or another pair makes and takes away by itself is no half to rely on.
                cx.store.read(|db| accounts::require_free(db, &row).and_then(|()| require_own(db, &row.identifier)))?;
                return Ok(row);
            }
            let all = content(cx, &row, row.version)?;
            let left = only(&all, types);
            if left.get("PayloadContent").and_then(Value::as_array).is_none_or(Vec::is_empty) {
                let why = format!("names no payload of {}", row.identifier);
                return Err(Error::invalid(Text::BadArgument { key: String::from("only"), why }));
            }
            notes.push(Pairs::Copied { identifier: identifier.clone() });
            library::add(cx, actor, &combine(&identifier, &row.name, &[&left]), Some(&format!("{name} ({part})")))?
        }
        Half::Payloads(payloads) => {
            let name = format!("{name} ({part})");
            let wish = library_versions::Wish { identifier, name, payloads: payloads.clone() };
            library_versions::make(cx, actor, &wish)?
        }
    };
    Ok(made.row)
}

/// A capability that somebody has without the restriction is none, and neither half may be another pair's other half.
fn require_free(db: &Db<'_>, restriction: &ProfileRow, capability: &ProfileRow) -> Result<(), Error> {
    if db.list_assignments(capability.id)?.iter().any(|a| a.pair.is_none()) {
        return Err(Error::conflict(Pairs::AssignedByItself { profile: capability.name.clone() }.into()));
    }
    for pair in db.list_pairs()?.into_iter().filter(PairRow::is_gated) {
        let crossed = [(restriction, pair.capability), (capability, pair.restriction)];
        if let Some((row, _)) = crossed.into_iter().find(|(row, half)| row.id == *half) {
            return Err(Error::conflict(Pairs::OtherWayRound { profile: row.name.clone(), pair: pair.name }.into()));
        }
    }
    Ok(())
}

/// Makes one profile of both, or the next version of it.
fn put_together(
    cx: &Context,
    actor: &Actor,
    pair: &str,
    name: &str,
    restriction: &ProfileRow,
    capability: &ProfileRow,
) -> Result<i64, Error> {
    let mut parts = Vec::new();
    for row in [restriction, capability] {
        let part = content(cx, row, row.version)?;
        if part.get("PayloadContent").is_none() {
            return Err(Error::invalid(Pairs::EncryptedPart { profile: row.name.clone() }.into()));
        }
        parts.push(part);
    }
    let bytes = combine(&format!("cordon.{pair}"), name, &parts.iter().collect::<Vec<_>>());
    Ok(library::take(cx, actor, &bytes, Some(name))?.row.id)
}

/// Locks a restriction that its user could take off, as its next version. Says whether that was needed.
fn lock_now(cx: &Context, actor: &Actor, row: &ProfileRow) -> Result<bool, Error> {
    let mut plain = content(cx, row, row.version)?;
    if is_locked(&plain) {
        return Ok(false);
    }
    lock(&mut plain);
    library::add(cx, actor, &to_xml(&Value::Dictionary(plain)), Some(&row.name))?;
    Ok(true)
}

/// Whether a profile is the restriction of a gated pair, and so has to be locked in every version.
pub(super) fn is_held(db: &Db<'_>, identifier: &str) -> Result<bool, Error> {
    let Some(row) = db.find_profile(identifier)? else { return Ok(false) };
    Ok(db.list_pairs()?.iter().any(|pair| pair.is_gated() && pair.restriction == row.id))
}

/// Who made the profile of both halves replaces it, and nobody else.
///
/// # Errors
/// `Conflict`, naming the pair.
pub(super) fn require_own(db: &Db<'_>, identifier: &str) -> Result<(), Error> {
    let Some(row) = db.find_profile(identifier)? else { return Ok(()) };
    match db.list_pairs()?.into_iter().find(|pair| pair.combined == Some(row.id)) {
        None => Ok(()),
        Some(pair) => {
            Err(Error::conflict(Pairs::MadeOfBoth { profile: row.name, pair: pair.name, id: pair.public_id }.into()))
        }
    }
}

/// Nothing can be put together with what only one device can read: refused before it takes the place of a half.
///
/// # Errors
/// `Invalid`.
pub(super) fn require_clear(db: &Db<'_>, identifier: &str) -> Result<(), Error> {
    let Some(row) = db.find_profile(identifier)? else { return Ok(()) };
    let is_half = |pair: &PairRow| !pair.is_gated() && (pair.restriction == row.id || pair.capability == row.id);
    match db.list_pairs()?.iter().any(is_half) {
        true => Err(Error::invalid(Pairs::EncryptedPart { profile: row.name }.into())),
        false => Ok(()),
    }
}

/// The pair that a profile is a half of, or is made for.
pub(super) fn of_profile(db: &Db<'_>, profile: i64) -> Result<Option<PairRow>, Error> {
    let parts = |pair: &PairRow| [Some(pair.restriction), Some(pair.capability), pair.combined];
    Ok(db.list_pairs()?.into_iter().find(|pair| parts(pair).contains(&Some(profile))))
}

/// A profile that still goes out as a part of the one of both is not removed beneath it. From a gated pair it may go: the capability
/// never stays without its restriction.
///
/// # Errors
/// `Conflict`, naming the pair.
pub(super) fn require_removable(db: &Db<'_>, row: &ProfileRow) -> Result<(), Error> {
    require_own(db, &row.identifier)?;
    let holds = |pair: &PairRow| !pair.is_gated() && (pair.restriction == row.id || pair.capability == row.id);
    match db.list_pairs()?.into_iter().find(holds) {
        None => Ok(()),
        Some(pair) => {
            let (profile, id) = (row.name.clone(), pair.public_id);
            Err(Error::conflict(Pairs::StillInPair { profile, pair: pair.name, id }.into()))
        }
    }
}

/// Both halves are in the library.
fn require_whole(db: &Db<'_>, pair: &PairRow) -> Result<(), Error> {
    let (restriction, capability) = halves(db, pair)?.ok_or_else(|| Error::internal("a pair without its halves"))?;
    match [restriction, capability].into_iter().find(|row| row.removed_at.is_some()) {
        None => Ok(()),
        Some(row) => Err(Error::conflict(Pairs::HalfGone { profile: row.name, id: pair.public_id.clone() }.into())),
    }
}

/// A half has a new version: what was put together of it gets one too.
pub(super) fn half_changed(cx: &Context, actor: &Actor, profile: i64) -> Result<(), Error> {
    let pairs = cx.store.read(|db| db.list_pairs())?;
    for pair in pairs.into_iter().filter(|pair| !pair.is_gated()) {
        if pair.restriction == profile || pair.capability == profile {
            let missing = || Error::internal("a pair without its halves");
            let (restriction, capability) = cx.store.read(|db| halves(db, &pair))?.ok_or_else(missing)?;
            put_together(cx, actor, &pair.public_id, &pair.name, &restriction, &capability)?;
        }
    }
    Ok(())
}

fn halves(db: &Db<'_>, pair: &PairRow) -> Result<Option<(ProfileRow, ProfileRow)>, Error> {
    Ok(db.find_profile_by_row(pair.restriction)?.zip(db.find_profile_by_row(pair.capability)?))
}

fn types(db: &Db<'_>, row: &ProfileRow) -> Result<Vec<String>, Error> {
    let current = db.find_profile_by_row(row.id)?.map_or(row.version, |row| row.version);
    let current = db.find_profile_version(row.id, current)?;
    Ok(current.and_then(|current| serde_json::from_str(&current.payload_types).ok()).unwrap_or_default())
}

/// By Cordon's id; only one in use.
pub(super) fn find(db: &Db<'_>, pair: &str) -> Result<PairRow, Error> {
    let found = db.find_pair(pair)?.filter(|row| row.removed_at.is_none());
    found.ok_or_else(|| Error::not_found(Pairs::NoSuchPair { pair: pair.chars().take(64).collect() }.into()))
}

/// All pairs in use.
///
/// # Errors
/// `Denied`.
pub fn list(cx: &Context, actor: &Actor) -> Result<Vec<PairView>, Error> {
    actor.require(Permission::LookAround)?;
    cx.store.read(|db| db.list_pairs()?.into_iter().map(|row| view(db, row)).collect())
}

/// # Errors
/// `NotFound`.
pub fn show(cx: &Context, actor: &Actor, pair: &str) -> Result<PairView, Error> {
    actor.require(Permission::LookAround)?;
    cx.store.read(|db| {
        let row = find(db, pair)?;
        view(db, row)
    })
}

fn view(db: &Db<'_>, row: PairRow) -> Result<PairView, Error> {
    let (restriction, capability) = halves(db, &row)?.ok_or_else(|| Error::internal("a pair without its halves"))?;
    let combined = row.combined.map(|id| db.find_profile_by_row(id)).transpose()?.flatten();
    let mut assignments = Vec::new();
    for assignment in db.list_assignments_of_pair(row.id)? {
        assignments.push(assigning::view(db, assignment)?);
    }
    let phases = match &combined {
        None => db.count_gates(row.id)?,
        Some(combined) => {
            let (installed, waiting, _) = db.count_profile_channels(combined.id, combined.version)?;
            let counts = [(Phase::Open, installed), (Phase::Waiting, waiting)];
            counts.into_iter().filter(|(_, n)| *n > 0).map(|(phase, n)| (phase.as_str().to_owned(), n)).collect()
        }
    };
    Ok(PairView { row, restriction, capability, combined, assignments, phases, notes: Vec::new() })
}

/// Changes what people decide about a pair; its gates follow at once.
///
/// # Errors
/// `NotFound`; `Invalid` for a condition or name that is none.
pub fn change(cx: &Context, actor: &Actor, pair: &str, change: &Change) -> Result<PairView, Error> {
    actor.require(Permission::Enroll)?;
    let name = change.name.as_deref().map(|text| library::name("name", text)).transpose()?;
    let until = change.until.as_deref().map(|text| condition(Some(text))).transpose()?;
    let now = cx.now();
    let id = cx.store.write(|tx| {
        let row = find(tx, pair)?;
        let name = name.as_deref().unwrap_or(&row.name);
        let until = until.as_ref().map_or_else(|| row.condition.clone(), ToString::to_string);
        let on_lapse = change.on_lapse.unwrap_or(row.on_lapse);
        tx.update_pair(row.id, name, &until, on_lapse)?;
        if until != row.condition {
            gates::begin_anew(tx, row.id, now)?;
        }
        let detail = json!({ "name": name, "until": until, "on_lapse": on_lapse.as_str() });
        auditing::record(tx, actor, "pair.change", Some(&row.public_id), Some(detail), now)?;
        Ok::<_, Error>(row.id)
    })?;
    let channels = cx.store.read(|db| channels_of(db, id))?;
    reconciling::reconcile_all(cx, &channels)?;
    show(cx, actor, pair)
}

/// Every channel that a pair concerns, or where something of it is left.
fn channels_of(db: &Db<'_>, pair: i64) -> Result<Vec<i64>, Error> {
    let mut channels = db.list_channels_of_pair(pair)?;
    for assignment in db.list_assignments_of_pair(pair)? {
        channels.extend(wanting::concerned(db, &assignment.target)?);
    }
    channels.sort_unstable();
    channels.dedup();
    Ok(channels)
}

/// Removes a pair: the capability leaves every channel that has it, and then the restriction, unless that is assigned by itself. Both
/// profiles stay in the library; one that was made of both goes.
///
/// # Errors
/// `NotFound`.
pub fn remove(cx: &Context, actor: &Actor, pair: &str) -> Result<(), Error> {
    actor.require(Permission::Enroll)?;
    let row = cx.store.read(|db| find(db, pair))?;
    let mut channels = cx.store.read(|db| channels_of(db, row.id))?;
    let now = cx.now();
    cx.store.write(|tx| {
        let row = find(tx, pair)?;
        tx.remove_pair(row.id, now)?;
        if let Some(combined) = row.combined {
            tx.remove_profile(combined, now)?;
        }
        auditing::record(tx, actor, "pair.remove", Some(&row.public_id), None, now)
    })?;
    if let Some(combined) = row.combined {
        channels.extend(cx.store.read(|db| db.list_channels_with_profile(combined))?);
    }
    reconciling::reconcile_all(cx, &channels).map(drop)
}

/// Assigns a pair as one would a profile; with a schedule it is there only while that is open.
///
/// # Errors
/// `NotFound` for the pair, whom it is for, or the schedule; `Conflict` where a half was removed from the library.
pub fn assign(cx: &Context, actor: &Actor, pair: &str, whom: &Whom, schedule: Option<&str>) -> Result<PairView, Error> {
    let whole = |db: &Db<'_>| find(db, pair).and_then(|row| require_whole(db, &row)).and_then(|()| what(db, pair));
    let done = assigning::change(cx, actor, &whole, whom, Some(schedule))?;
    let notes = done.notes(cx)?;
    Ok(PairView { notes, ..show(cx, actor, pair)? })
}

/// Takes an assignment back: the capability goes, and then the restriction.
///
/// # Errors
/// `NotFound` for the pair, whom it is for, or an assignment that is not there.
pub fn unassign(cx: &Context, actor: &Actor, pair: &str, whom: &Whom) -> Result<PairView, Error> {
    assigning::change(cx, actor, &|db| what(db, pair), whom, None)?;
    show(cx, actor, pair)
}

fn what(db: &Db<'_>, pair: &str) -> Result<What, Error> {
    let row = find(db, pair)?;
    Ok(What { profile: row.head(), pair: Some(row.id), name: row.name, id: row.public_id })
}
