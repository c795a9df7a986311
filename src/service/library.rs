//! The school's configuration profiles: uploaded, looked over, versioned, and taken away again. Who gets them is [`super::assigning`];
//! older versions and what differs, [`super::library_versions`].
//!
//! Called by the API. Every change of what somebody should have ends in `reconciling`, which queues what follows.

use super::actor::{Actor, Permission};
use super::{Context, Error, account_credentials, accounts, assigning, auditing, channels, pairs, reconciling};
use crate::base::limits::MAX_COMMAND;
use crate::base::secret::Secret;
use crate::base::texts::{Pairs, Text};
use crate::base::time::Timestamp;
use crate::pki::cms;
use crate::pki::digest::sha256;
use crate::plist::{Value, parse_dict, to_xml};
use crate::protocol::profile::variables::{cut, fill, variables};
use crate::protocol::profile::{
    Place, SettingsFacts, fits, is_locked, lint, lock, read_settings, unfit as unfit_by_catalogue,
};
use crate::store::{
    AssignmentRow, Db, DeviceRow, EnrollmentRow, PairRow, ProfileRow, ProfileVersionRow, RefusedRow, Tx,
};
use serde_json::json;
use std::collections::BTreeMap;

/// Refusals that are listed; more are only counted.
const MOST_REFUSALS: usize = 500;

/// One profile with everything a person wants to know of it; never its body, which may hold passwords.
#[derive(Debug, Clone)]
pub struct ProfileView {
    pub row: ProfileRow,
    pub current: ProfileVersionRow,
    pub assignments: Vec<AssignmentView>,
    /// Pairs that it is a part of: id, name, and which part.
    pub pairs: Vec<(String, String, &'static str)>,
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
    /// Only while this schedule is open.
    pub schedule: Option<String>,
}

/// What is to change about a profile; `None` stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub name: Option<String>,
    pub comes_back: Option<bool>,
}

pub(super) fn place(profile: i64, version: i64) -> String {
    format!("profile/{profile}/{version}")
}

/// Adds a profile, or the next version of the one with the same PayloadIdentifier; the same bytes again change nothing. Channels that
/// have an older version get the new one.
///
/// # Errors
/// `Invalid` for what a device would not install; `Conflict` for one that is too large to be sent, or that an account or a pair makes.
pub fn add(cx: &Context, actor: &Actor, bytes: &[u8], name: Option<&str>) -> Result<ProfileView, Error> {
    actor.require(Permission::Enroll)?;
    let facts = read(bytes)?;
    cx.store.read(|db| pairs::require_own(db, &facts.identifier))?;
    if facts.encrypted {
        cx.store.read(|db| pairs::require_clear(db, &facts.identifier))?;
    }
    take(cx, actor, bytes, name)
}

fn read(bytes: &[u8]) -> Result<SettingsFacts, Error> {
    read_settings(bytes).map_err(|e| Error::invalid(Text::BadProfile { why: e.to_string() }))
}

/// As [`add`], also of what a pair makes itself.
pub(super) fn take(cx: &Context, actor: &Actor, bytes: &[u8], name: Option<&str>) -> Result<ProfileView, Error> {
    let mut facts = read(bytes)?;
    cx.require_space()?;
    let locked = !is_locked(&facts.plain) && cx.store.read(|db| pairs::is_held(db, &facts.identifier))?;
    if locked {
        lock(&mut facts.plain);
    }
    let now = cx.now();
    let variables: Vec<String> =
        if facts.encrypted { Vec::new() } else { variables(&facts.plain).into_iter().collect() };
    let plain = to_xml(&Value::Dictionary(facts.plain.clone()));
    let (body, signer) = if variables.is_empty() {
        (sign(cx, &plain, now), Some(cx.authorities().signer.certificate.fingerprint()))
    } else {
        (plain, None)
    };
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
                accounts::require_free(tx, &there)?;
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
            variables: variables.clone(),
            signed_by: facts.signed_by.clone(),
            created_by: actor.name(),
            created_at: now,
        };
        tx.insert_profile_version(id, &row)?;
        let detail = json!({ "name": name, "version": version, "payloads": facts.payload_types });
        auditing::record(tx, actor, "profile.add", Some(&facts.identifier), Some(detail), now)?;
        Ok::<_, Error>(id)
    })?;
    let channels = cx.store.read(|db| assigning::channels_of(db, id))?;
    reconciling::reconcile_all(cx, &channels)?;
    pairs::half_changed(cx, actor, id)?;
    let mut view = cx.store.read(|db| view(db, id))?;
    view.notes = notes(&facts, &variables);
    if locked {
        view.notes.push(Text::from(Pairs::Locked { profile: view.row.name.clone() }).to_string());
    }
    Ok(view)
}

pub(super) fn plain_name(said: &str) -> String {
    said.chars().filter(|c| !c.is_control()).take(120).collect()
}

/// What people should know of an upload before they rely on it.
fn notes(facts: &SettingsFacts, variables: &[String]) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(signer) = &facts.signed_by {
        notes.push(Text::SignatureTakenOff { signer: signer.clone() }.to_string());
    }
    if facts.encrypted {
        notes.push(Text::EncryptedProfile.to_string());
    }
    for variable in variables.iter().filter(|name| cut(name).is_none()) {
        notes.push(Text::NoVariable { name: variable.clone() }.to_string());
    }
    notes.extend(lint(&facts.plain).into_iter().map(|doubt| match doubt.serious {
        true => format!("Wrong: {}.", doubt.words),
        false => format!("Doubtful: {}.", doubt.words),
    }));
    notes.extend(fits(&facts.payload_types).map(|systems| format!("It can be installed on: {systems}.")));
    notes
}

pub(super) fn sign(cx: &Context, plain: &[u8], now: Timestamp) -> Vec<u8> {
    let authorities = cx.authorities();
    let signer = &authorities.signer;
    let chain = std::slice::from_ref(&authorities.issuing.certificate);
    cms::sign_attached(plain, &signer.certificate, &signer.key, chain, now)
}

/// A version without a signature, as it was uploaded.
pub(super) fn plain(cx: &Context, profile: i64, row: &ProfileVersionRow) -> Result<Secret<Vec<u8>>, Error> {
    let body = cx.open(&place(profile, row.version), &row.sealed_body)?;
    match row.signer {
        Some(_) => Ok(Secret::new(cms::verify_attached(body.expose()).map_err(Error::internal)?.content)),
        None => Ok(body),
    }
}

/// The current version as a device gets it: signed, anew when the school's signer has been replaced since, with its variables filled in.
pub(super) fn body(
    cx: &Context,
    db: &Db<'_>,
    profile: &ProfileRow,
    values: &BTreeMap<String, String>,
    now: Timestamp,
) -> Result<Secret<Vec<u8>>, Error> {
    let missing = || Error::internal("a profile without its current version");
    let row = db.find_profile_version(profile.id, profile.version)?.ok_or_else(missing)?;
    if row.signer == Some(cx.authorities().signer.certificate.fingerprint()) {
        return cx.open(&place(profile.id, profile.version), &row.sealed_body);
    }
    let plain = plain(cx, profile.id, &row)?;
    // Every profile of ours that is signed at upload holds no account's credential.
    let account = if row.signer.is_none() { db.find_account_of_profile(profile.id)? } else { None };
    if row.variables.is_empty() && account.is_none() {
        return Ok(Secret::new(sign(cx, plain.expose(), now)));
    }
    let dict = parse_dict(plain.expose()).map_err(Error::internal)?.into_dictionary();
    let filled = fill(&dict, &|name| values.get(name).cloned())
        .map_err(|name| Error::internal(format!("no value for {name}, which was looked up")))?;
    // After the variables: a password is never looked through for them.
    let whole = match &account {
        Some(account) => account_credentials::prove(cx, account, &filled)?,
        None => filled,
    };
    Ok(Secret::new(sign(cx, &to_xml(&Value::Dictionary(whole)), now)))
}

/// Why the device would refuse the current version on this channel, by Apple's catalogue, or why it cannot be sent yet; `None` where
/// nothing speaks against it.
pub(super) fn unfit(
    db: &Db<'_>,
    device: &DeviceRow,
    channel: &EnrollmentRow,
    profile: &ProfileRow,
) -> Result<Option<String>, Error> {
    match unfit_there(db, device, channel, profile)? {
        Some(why) => Ok(Some(why)),
        None => account_credentials::missing(db, profile),
    }
}

/// As [`unfit`], by the catalogue alone.
pub(super) fn unfit_there(
    db: &Db<'_>,
    device: &DeviceRow,
    channel: &EnrollmentRow,
    profile: &ProfileRow,
) -> Result<Option<String>, Error> {
    let current = db.find_profile_version(profile.id, profile.version)?;
    let types =
        current.and_then(|row| serde_json::from_str::<Vec<String>>(&row.payload_types).ok()).unwrap_or_default();
    let place = Place {
        systems: channels::systems(device, channel),
        by_user: channel.parent.is_some(),
        os_version: device.os_version.as_deref(),
        supervised: device.supervised,
    };
    Ok(unfit_by_catalogue(&types, &place).map(|why| format!("held back: {why}")))
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

pub(super) fn view(db: &Db<'_>, id: i64) -> Result<ProfileView, Error> {
    let missing = || Error::internal("a profile that is not there");
    let row = db.find_profile_by_row(id)?.ok_or_else(missing)?;
    let current = db.find_profile_version(id, row.version)?.ok_or_else(missing)?;
    let mut assignments = Vec::new();
    for assignment in db.list_assignments(id)?.into_iter().filter(|assignment| assignment.pair.is_none()) {
        assignments.push(assigning::view(db, assignment)?);
    }
    let (installed, waiting, refused) = db.count_profile_channels(id, row.version)?;
    let part = |pair: &PairRow| match id {
        _ if pair.combined == Some(id) => Some("both"),
        _ if pair.restriction == id => Some("restriction"),
        _ if pair.capability == id => Some("capability"),
        _ => None,
    };
    let pairs = db.list_pairs()?.into_iter().filter_map(|p| part(&p).map(|part| (p.public_id, p.name, part))).collect();
    Ok(ProfileView { row, current, assignments, pairs, installed, waiting, refused, notes: Vec::new() })
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
        accounts::require_free(tx, &row)?;
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

pub(super) fn name(key: &'static str, text: &str) -> Result<String, Error> {
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
/// `NotFound`; `Conflict` for an account's, and for one that goes out as a part of a pair's.
pub fn remove(cx: &Context, actor: &Actor, profile: &str) -> Result<(), Error> {
    actor.require(Permission::Enroll)?;
    let now = cx.now();
    let id = cx.store.write(|tx: &Tx<'_>| {
        let row = find(tx, profile)?;
        accounts::require_free(tx, &row)?;
        pairs::require_removable(tx, &row)?;
        tx.remove_profile(row.id, now)?;
        auditing::record(tx, actor, "profile.remove", Some(&row.identifier), None, now)?;
        Ok::<_, Error>(row.id)
    })?;
    let channels = cx.store.read(|db| db.list_channels_with_profile(id))?;
    reconciling::reconcile_all(cx, &channels)?;
    Ok(())
}
