//! The school's configuration profiles: uploaded, versioned, assigned to devices, users and groups, and taken away again.
//!
//! Called by the API. Every change of what somebody should have ends in `reconciling`, which queues what follows.

use super::actor::{Actor, Permission};
use super::{Context, Error, auditing, devices, groups, reconciling, users};
use crate::base::limits::MAX_COMMAND;
use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::base::time::Timestamp;
use crate::pki::cms;
use crate::pki::digest::sha256;
use crate::protocol::profile::{SettingsFacts, read_settings};
use crate::store::{AssignmentRow, Db, GroupPart, ProfileRow, ProfileVersionRow, RefusedRow, Target, Tx};
use serde_json::json;

/// Refusals that are listed; more are only counted.
const MOST_REFUSALS: usize = 500;

/// One profile with everything a person wants to know of it; never its body, which may hold passwords.
#[derive(Debug, Clone)]
pub struct ProfileView {
    pub row: ProfileRow,
    pub current: ProfileVersionRow,
    pub assignments: Vec<AssignmentView>,
    /// Channels that acknowledged the current version, those with a command about it waiting, and those that refused it for good.
    pub installed: i64,
    pub waiting: i64,
    pub refused: i64,
    /// What is worth knowing before somebody relies on it.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct AssignmentView {
    pub row: AssignmentRow,
    /// Cordon's id of the device, for those that name one.
    pub device: Option<String>,
    /// The user, person or group, for those that name one.
    pub name: Option<String>,
}

/// To whom, as people say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    Device(String),
    EveryoneOn(String),
    User(String),
    /// `None`: the people of a group of people, the devices of a group of devices.
    Group(String, Option<GroupPart>),
}

/// What is to change about a profile; `None` stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub name: Option<String>,
    pub comes_back: Option<bool>,
}

fn place(profile: i64, version: i64) -> String {
    format!("profile/{profile}/{version}")
}

/// Adds a profile, or the next version of the one with the same PayloadIdentifier; the same bytes again change nothing. Channels that
/// have an older version get the new one.
///
/// # Errors
/// `Invalid` for what a device would not install; `Conflict` for one that is too large to be sent.
pub fn add(cx: &Context, actor: &Actor, bytes: &[u8], name: Option<&str>) -> Result<ProfileView, Error> {
    actor.require(Permission::Enroll)?;
    let facts = read_settings(bytes).map_err(|e| Error::invalid(Text::BadProfile { why: e.to_string() }))?;
    cx.require_space()?;
    let now = cx.now();
    let (body, signer) = signed(cx, &facts, bytes, now);
    // Base64 and the envelope around it make a command of it.
    if body.len() / 3 * 4 + 4096 > MAX_COMMAND {
        return Err(Error::invalid(Text::CommandTooLarge { bytes: body.len() / 3 * 4, limit: MAX_COMMAND }));
    }
    let hash = sha256(bytes);
    let name = plain_name(name.or(facts.display_name.as_deref()).unwrap_or(&facts.identifier));
    let public_id = format!("pr-{}", crate::base::ids::short_code(&cx.random_bytes::<8>()));
    let id = cx.store.write(|tx| {
        let (id, version) = match tx.find_profile(&facts.identifier)? {
            Some(there) => {
                let current = tx.find_profile_version(there.id, there.version)?;
                if current.is_some_and(|c| c.body_hash == hash) && there.removed_at.is_none() && there.name == name {
                    return Ok(there.id);
                }
                tx.advance_profile(there.id, &name, there.version + 1)?;
                (there.id, there.version + 1)
            }
            None => {
                let row = ProfileRow {
                    id: 0,
                    public_id: public_id.clone(),
                    identifier: facts.identifier.clone(),
                    name: name.clone(),
                    version: 1,
                    comes_back: true,
                    created_by: actor.name(),
                    created_at: now,
                    removed_at: None,
                };
                (tx.insert_profile(&row)?, 1)
            }
        };
        let row = ProfileVersionRow {
            version,
            sealed_body: cx.seal(&place(id, version), &body),
            body_hash: hash,
            bytes: bytes.len() as i64,
            signer,
            payload_types: serde_json::Value::from(facts.payload_types.clone()).to_string(),
            created_by: actor.name(),
            created_at: now,
        };
        tx.insert_profile_version(id, &row)?;
        let detail = json!({ "name": name, "version": version, "payloads": facts.payload_types });
        auditing::record(tx, actor, "profile.add", Some(&facts.identifier), Some(detail), now)?;
        Ok::<_, Error>(id)
    })?;
    let channels = cx.store.read(|db| db.list_channels_with_profile(id))?;
    reconciling::reconcile_all(cx, &channels)?;
    let mut view = cx.store.read(|db| view(db, id))?;
    view.notes = doubts(&facts);
    Ok(view)
}

fn plain_name(said: &str) -> String {
    said.chars().filter(|c| !c.is_control()).take(120).collect()
}

fn doubts(facts: &SettingsFacts) -> Vec<String> {
    let mut notes = Vec::new();
    if facts.accounts() > 1 {
        notes.push(Text::SeveralAccounts { accounts: facts.accounts() }.to_string());
    }
    if facts.encrypted {
        notes.push(Text::EncryptedProfile.to_string());
    }
    notes
}

/// As devices get it: as it came if that was signed, else signed by the school.
fn signed(cx: &Context, facts: &SettingsFacts, bytes: &[u8], now: Timestamp) -> (Vec<u8>, Option<[u8; 32]>) {
    if facts.signed {
        return (bytes.to_vec(), None);
    }
    (sign(cx, bytes, now), Some(cx.authorities().signer.certificate.fingerprint()))
}

fn sign(cx: &Context, plain: &[u8], now: Timestamp) -> Vec<u8> {
    let authorities = cx.authorities();
    let signer = &authorities.signer;
    let chain = std::slice::from_ref(&authorities.issuing.certificate);
    cms::sign_attached(plain, &signer.certificate, &signer.key, chain, now)
}

/// The current version as a device gets it; signed anew when the school's signer has been replaced since.
pub(super) fn body(cx: &Context, db: &Db<'_>, profile: &ProfileRow, now: Timestamp) -> Result<Secret<Vec<u8>>, Error> {
    let missing = || Error::internal("a profile without its current version");
    let row = db.find_profile_version(profile.id, profile.version)?.ok_or_else(missing)?;
    let body = cx.open(&place(profile.id, profile.version), &row.sealed_body)?;
    match row.signer {
        Some(signer) if signer != cx.authorities().signer.certificate.fingerprint() => {
            let plain = cms::verify_attached(body.expose()).map_err(Error::internal)?.content;
            Ok(Secret::new(sign(cx, &plain, now)))
        }
        _ => Ok(body),
    }
}

/// Profiles in use after `after` (a row id), in order of arrival.
pub fn list(cx: &Context, actor: &Actor, after: i64, limit: usize) -> Result<Vec<ProfileView>, Error> {
    actor.require(Permission::LookAround)?;
    cx.store.read(|db| {
        let rows = db.list_profiles(after, limit)?;
        rows.into_iter().map(|row| view(db, row.id)).collect()
    })
}

/// # Errors
/// `NotFound`.
pub fn show(cx: &Context, actor: &Actor, profile: &str) -> Result<ProfileView, Error> {
    actor.require(Permission::LookAround)?;
    cx.store.read(|db| {
        let row = find(db, profile)?;
        view(db, row.id)
    })
}

/// By Cordon's id or PayloadIdentifier; only one in use.
pub(super) fn find(db: &Db<'_>, profile: &str) -> Result<ProfileRow, Error> {
    let found = db.find_profile(profile)?.filter(|row| row.removed_at.is_none());
    found.ok_or_else(|| Error::not_found(Text::NoSuchProfile { profile: profile.chars().take(256).collect() }))
}

fn view(db: &Db<'_>, id: i64) -> Result<ProfileView, Error> {
    let missing = || Error::internal("a profile that is not there");
    let row = db.find_profile_by_row(id)?.ok_or_else(missing)?;
    let current = db.find_profile_version(id, row.version)?.ok_or_else(missing)?;
    let mut assignments = Vec::new();
    for assignment in db.list_assignments(id)? {
        assignments.push(assignment_view(db, assignment)?);
    }
    let (installed, waiting, refused) = db.count_profile_channels(id, row.version)?;
    Ok(ProfileView { row, current, assignments, installed, waiting, refused, notes: Vec::new() })
}

/// With the names that people know.
pub(super) fn assignment_view(db: &Db<'_>, row: AssignmentRow) -> Result<AssignmentView, Error> {
    let (device, name) = match &row.target {
        Target::Device(device) | Target::EveryoneOn(device) => {
            (db.find_device(*device)?.map(|device| device.public_id), None)
        }
        Target::User(name) => (None, Some(name.clone())),
        Target::Person(person) => (None, db.find_person_by_row(*person)?.map(|person| person.short_name)),
        Target::Group(group, _) => (None, db.find_group_by_row(*group)?.map(|group| group.name)),
    };
    Ok(AssignmentView { row, device, name })
}

/// Assigns a profile; whoever it concerns and can be reached gets it at once.
///
/// # Errors
/// `NotFound` for the profile or the device.
pub fn assign(cx: &Context, actor: &Actor, profile: &str, whom: &Whom) -> Result<ProfileView, Error> {
    assign_or_not(cx, actor, profile, whom, true)
}

/// Takes an assignment back; the profile leaves every channel that has it by no other assignment.
///
/// # Errors
/// `NotFound` for the profile, the device, or an assignment that is not there.
pub fn unassign(cx: &Context, actor: &Actor, profile: &str, whom: &Whom) -> Result<ProfileView, Error> {
    assign_or_not(cx, actor, profile, whom, false)
}

fn assign_or_not(cx: &Context, actor: &Actor, profile: &str, whom: &Whom, on: bool) -> Result<ProfileView, Error> {
    actor.require(Permission::Enroll)?;
    let Meant { target, id: subject, shown, mut notes } = meant(cx, actor, whom)?;
    let now = cx.now();
    // Before and after: what a group or a person has today may be what is to go.
    let channels = cx.store.read(|db| reconciling::concerned(db, &target))?;
    let id = cx.store.write(|tx| {
        let row = find(tx, profile)?;
        let changed = if on {
            tx.insert_assignment(row.id, &target, &actor.name(), now)?
        } else {
            tx.delete_assignment(row.id, &target)?
        };
        if changed {
            let verb = if on { "profile.assign" } else { "profile.unassign" };
            let detail = json!({ "target": target.kind(), "to": subject });
            auditing::record(tx, actor, verb, Some(&row.identifier), Some(detail), now)?;
        } else if !on {
            return Err(Error::not_found(Text::NotAssigned { profile: row.name, to: shown.clone() }));
        }
        Ok::<_, Error>(row.id)
    })?;
    reconciling::reconcile_all(cx, &channels)?;
    let mut view = cx.store.read(|db| view(db, id))?;
    if on {
        view.notes.append(&mut notes);
        let by_user = cx.store.read(|db| -> Result<bool, Error> {
            for channel in &channels {
                if db.find_enrollment_by_row(*channel)?.is_some_and(|row| row.parent.is_some()) {
                    return Ok(true);
                }
            }
            Ok(false)
        })?;
        match &target {
            Target::User(_) | Target::Person(_) if !by_user => {
                view.notes.push(Text::UserNotSeen { user: shown }.to_string());
            }
            Target::EveryoneOn(_) if !by_user => view.notes.push(Text::NobodyManagedThere.to_string()),
            _ => {}
        }
    }
    Ok(view)
}

/// Whom a wish means.
struct Meant {
    target: Target,
    /// For the audit, which never names a person; `None` for somebody who is a mere name.
    id: Option<String>,
    /// As the wish said it.
    shown: String,
    notes: Vec<String>,
}

fn meant(cx: &Context, actor: &Actor, whom: &Whom) -> Result<Meant, Error> {
    let mut notes = Vec::new();
    let (target, id, shown) = match whom {
        Whom::Device(device) => {
            let row = devices::find(cx, actor, device)?;
            (Target::Device(row.id), Some(row.public_id), device)
        }
        Whom::EveryoneOn(device) => {
            let row = devices::find(cx, actor, device)?;
            (Target::EveryoneOn(row.id), Some(row.public_id), device)
        }
        Whom::User(user) => {
            let name = name("user", user)?;
            match users::find_by_any_name(cx, &name)? {
                Some(person) => (Target::Person(person.id), Some(person.public_id), user),
                None => (Target::User(name), None, user),
            }
        }
        Whom::Group(group, part) => {
            let row = groups::find(cx, actor, group)?;
            let fits = match row.kind.as_str() {
                "people" => part.is_none_or(|part| part == GroupPart::People),
                "devices" | "smart" => part.is_none_or(|part| part != GroupPart::People),
                _ => true,
            };
            if !fits {
                return Err(Error::conflict(Text::NotInThisGroup { name: row.name, kind: row.kind }));
            }
            let part = part.unwrap_or(match row.kind.as_str() {
                "devices" | "smart" => GroupPart::Devices,
                _ => GroupPart::People,
            });
            if row.kind == "class" && part == GroupPart::People && row.devices > 0 {
                notes.push(Text::ClassHasDevices { name: row.name.clone(), devices: row.devices }.to_string());
            }
            (Target::Group(row.id, part), Some(row.public_id), group)
        }
    };
    Ok(Meant { target, id, shown: shown.clone(), notes })
}

/// Changes what people decide about a profile beside its content.
///
/// # Errors
/// `NotFound`; `Invalid` for an empty name.
pub fn change(cx: &Context, actor: &Actor, profile: &str, change: &Change) -> Result<ProfileView, Error> {
    actor.require(Permission::Enroll)?;
    let new_name = change.name.as_deref().map(|text| name("name", text)).transpose()?;
    let now = cx.now();
    let row = cx.store.write(|tx| {
        let row = find(tx, profile)?;
        let new_name = new_name.as_deref().map_or_else(|| row.name.clone(), plain_name);
        let comes_back = change.comes_back.unwrap_or(row.comes_back);
        tx.update_profile(row.id, &new_name, comes_back)?;
        let detail = json!({ "name": new_name, "comes_back": comes_back });
        auditing::record(tx, actor, "profile.change", Some(&row.identifier), Some(detail), now)?;
        Ok::<_, Error>(row)
    })?;
    let channels = cx.store.read(|db| db.list_channels_with_profile(row.id))?;
    reconciling::reconcile_all(cx, &channels)?;
    cx.store.read(|db| view(db, row.id))
}

/// Tries a profile again at once wherever it was refused, or was taken off and let be.
///
/// # Errors
/// `NotFound`.
pub fn retry(cx: &Context, actor: &Actor, profile: &str) -> Result<ProfileView, Error> {
    actor.require(Permission::Enroll)?;
    let now = cx.now();
    let id = cx.store.write(|tx| {
        let row = find(tx, profile)?;
        let channels = tx.try_profile_again(row.id, now)?;
        let detail = json!({ "channels": channels });
        auditing::record(tx, actor, "profile.retry", Some(&row.identifier), Some(detail), now)?;
        Ok::<_, Error>(row.id)
    })?;
    let channels = cx.store.read(|db| db.list_channels_with_profile(id))?;
    reconciling::reconcile_all(cx, &channels)?;
    cx.store.read(|db| view(db, id))
}

/// Where a profile is refused: the device, whose channel, how often, when it is tried again, and what the device said.
#[derive(Debug, Clone)]
pub struct RefusalView {
    pub row: RefusedRow,
    pub device: String,
    pub user: Option<String>,
}

/// # Errors
/// `NotFound`.
pub fn refusals(cx: &Context, actor: &Actor, profile: &str) -> Result<Vec<RefusalView>, Error> {
    actor.require(Permission::LookAround)?;
    cx.store.read(|db| {
        let profile = find(db, profile)?;
        let mut found = Vec::new();
        for row in db.list_refusals(profile.id, profile.version, MOST_REFUSALS)? {
            let channel = db.find_enrollment_by_row(row.enrollment)?;
            let device = channel.as_ref().map(|channel| db.find_device(channel.device)).transpose()?.flatten();
            if let (Some(channel), Some(device)) = (channel, device) {
                let user = channel.user_short_name.or(channel.user_id).filter(|_| channel.parent.is_some());
                found.push(RefusalView { row, device: device.public_id, user });
            }
        }
        Ok(found)
    })
}

fn name(key: &'static str, text: &str) -> Result<String, Error> {
    let text = text.trim();
    let odd = text.is_empty() || text.len() > 256 || text.chars().any(char::is_control);
    if odd {
        let why = String::from("is empty, too long or holds odd characters");
        return Err(Error::invalid(Text::BadArgument { key: key.to_owned(), why }));
    }
    Ok(text.to_owned())
}

/// Removes a profile: its assignments end, and it leaves every channel that has it.
///
/// # Errors
/// `NotFound`.
pub fn remove(cx: &Context, actor: &Actor, profile: &str) -> Result<(), Error> {
    actor.require(Permission::Enroll)?;
    let now = cx.now();
    let id = cx.store.write(|tx: &Tx<'_>| {
        let row = find(tx, profile)?;
        tx.remove_profile(row.id, now)?;
        auditing::record(tx, actor, "profile.remove", Some(&row.identifier), None, now)?;
        Ok::<_, Error>(row.id)
    })?;
    let channels = cx.store.read(|db| db.list_channels_with_profile(id))?;
    reconciling::reconcile_all(cx, &channels)?;
    Ok(())
}
