//! Versions of a profile, what differs between two of them, what looks wrong, and profiles made from typed payloads. Called by the API.

use super::actor::{Actor, Permission};
use super::library::{self, ProfileView};
use super::{Context, Error};
use crate::base::texts::Text;
use crate::plist::{Dictionary, parse_dict};
use crate::protocol::catalogue::payload_from_json;
use crate::protocol::profile::{Cover, Difference, Doubt, Part, build, differences, lint};
use crate::store::{ProfileRow, ProfileVersionRow};

/// Payloads of one profile that is made here.
const MAX_PARTS: usize = 50;

/// All versions, newest first.
///
/// # Errors
/// `NotFound`.
pub fn list(cx: &Context, actor: &Actor, profile: &str) -> Result<Vec<ProfileVersionRow>, Error> {
    actor.require(Permission::LookAround)?;
    cx.store.read(|db| {
        let row = library::find(db, profile)?;
        Ok(db.list_profile_versions(row.id)?)
    })
}

/// What differs between two versions, without secrets; by default between the last two.
///
/// # Errors
/// `NotFound` for a profile or version that is not there.
pub fn diff(
    cx: &Context,
    actor: &Actor,
    profile: &str,
    from: Option<i64>,
    to: Option<i64>,
) -> Result<(i64, i64, Vec<Difference>), Error> {
    actor.require(Permission::LookAround)?;
    let row = cx.store.read(|db| library::find(db, profile))?;
    let to = to.unwrap_or(row.version);
    let from = from.unwrap_or(to - 1);
    let after = content(cx, &row, to)?;
    // Before the first version there was nothing.
    let before = if from == 0 { Dictionary::new() } else { content(cx, &row, from)? };
    Ok((from, to, differences(&before, &after)))
}

/// What looks wrong about the current version, most important first.
///
/// # Errors
/// `NotFound`.
pub fn doubts(cx: &Context, actor: &Actor, profile: &str) -> Result<Vec<Doubt>, Error> {
    actor.require(Permission::LookAround)?;
    let row = cx.store.read(|db| library::find(db, profile))?;
    Ok(lint(&content(cx, &row, row.version)?))
}

pub(super) fn content(cx: &Context, row: &ProfileRow, version: i64) -> Result<Dictionary, Error> {
    let missing = || Error::not_found(Text::NoSuchVersion { profile: row.name.clone(), version });
    let found = cx.store.read(|db| db.find_profile_version(row.id, version))?.ok_or_else(missing)?;
    let plain = library::plain(cx, row.id, &found)?;
    Ok(parse_dict(plain.expose()).map_err(Error::internal)?.into_dictionary())
}

/// A profile to be made.
#[derive(Debug, Clone)]
pub struct Wish {
    /// `PayloadIdentifier`: the name on devices.
    pub identifier: String,
    pub name: String,
    /// PayloadType with Apple's keys as JSON; data is base64.
    pub payloads: Vec<(String, serde_json::Value)>,
}

/// Makes a profile of typed payloads and adds it to the library, as its first or next version.
///
/// # Errors
/// `Invalid` naming the key that is wrong; as [`library::add`].
pub fn make(cx: &Context, actor: &Actor, wish: &Wish) -> Result<ProfileView, Error> {
    actor.require(Permission::Enroll)?;
    let bad = |key: &str, why: String| Error::invalid(Text::BadArgument { key: key.to_owned(), why });
    if wish.payloads.is_empty() || wish.payloads.len() > MAX_PARTS {
        return Err(bad("payloads", format!("are 1 to {MAX_PARTS}")));
    }
    let mut parts = Vec::new();
    for (payload_type, keys) in &wish.payloads {
        let keys = payload_from_json(payload_type, keys).map_err(|error| bad(payload_type, error.to_string()))?;
        parts.push(Part { payload_type: payload_type.clone(), keys });
    }
    let organization = Some(super::school::organization(cx)?);
    let cover = Cover { identifier: &wish.identifier, name: &wish.name, organization: organization.as_deref() };
    library::add(cx, actor, &build(&cover, &parts), Some(&wish.name))
}
