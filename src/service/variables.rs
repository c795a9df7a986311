//! What variables in profiles stand for: facts of the device and of the person, and fields of the school's own. Called by
//! `reconciling` for each channel that a profile with variables goes to, and by the API for the fields.

use super::actor::{Actor, Permission};
use super::{Context, Error, auditing, devices, reconciling, users};
use crate::base::texts::Text;
use crate::pki::digest::sha256;
use crate::protocol::catalogue::is_password;
use crate::protocol::profile::variables::{DEVICE_NAMES, MAX_VALUE, Owner, USER_NAMES, cut};
use crate::store::{ChannelNames, Db, EnrollmentRow, FieldOwner};
use serde_json::json;
use std::collections::BTreeMap;

/// Fields of one device or person.
const MAX_FIELDS: usize = 100;
/// Longest name of a field, bytes.
const MAX_NAME: usize = 64;

/// What the variables of a profile stand for on one channel.
pub(super) enum Values {
    Known {
        values: BTreeMap<String, String>,
        /// Another one for other values; never 0.
        fill: i64,
    },
    /// The first one that nothing is known for.
    Missing(String),
}

/// Looks up what `names` stand for.
pub(super) fn find(
    db: &Db<'_>,
    channel: &EnrollmentRow,
    speakers: &ChannelNames,
    names: &[String],
) -> Result<Values, Error> {
    let known = all(db, channel, speakers)?;
    let mut values = BTreeMap::new();
    for name in names {
        match known.get(name).filter(|value| !value.is_empty()) {
            Some(value) => values.insert(name.clone(), value.clone()),
            None => return Ok(Values::Missing(name.clone())),
        };
    }
    let hash = sha256(json!(values).to_string().as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    Ok(Values::Known { values, fill: i64::from_be_bytes(first) | 1 })
}

/// Everything that is known on a channel, by the variable's whole name.
fn all(db: &Db<'_>, channel: &EnrollmentRow, speakers: &ChannelNames) -> Result<BTreeMap<String, String>, Error> {
    let mut known = BTreeMap::new();
    let device = db.find_device(channel.device)?.ok_or_else(|| Error::internal("a channel without its device"))?;
    for (name, value) in db.list_fields(FieldOwner::Device(device.id))? {
        known.insert(format!("device.{name}"), value);
    }
    let own = channel.parent.map(|parent| db.find_enrollment_by_row(parent)).transpose()?.flatten();
    let facts = [
        Some(device.public_id),
        device.serial,
        Some(own.map_or_else(|| channel.enrollment_id.clone(), |own| own.enrollment_id)),
        device.name,
        device.model,
        device.model_name,
        device.os_version,
    ];
    for (name, value) in ["id", "serial", "udid", "name", "model", "model_name", "os_version"].iter().zip(facts) {
        known.extend(value.map(|value| (format!("device.{name}"), value)));
    }
    // On the device's own channel the user is the person whose device it is.
    let person = match (speakers.is_user, channel.issued_profile) {
        (true, _) => speakers.persons.first().copied(),
        (false, Some(issued)) => db.find_issued_profile(issued)?.and_then(|issued| issued.person),
        (false, None) => None,
    };
    let short = channel.user_short_name.clone().filter(|_| speakers.is_user);
    let long = channel.user_long_name.clone().filter(|_| speakers.is_user);
    known.extend(short.map(|name| (String::from("user.short_name"), name)));
    known.extend(long.map(|name| (String::from("user.name"), name)));
    if let Some(person) = person.map(|id| db.find_person_by_row(id)).transpose()?.flatten() {
        for (name, value) in db.list_fields(FieldOwner::Person(person.id))? {
            known.insert(format!("user.{name}"), value);
        }
        let facts = [Some(person.short_name), person.long_name, person.mail, Some(person.public_id)];
        for (name, value) in USER_NAMES.iter().zip(facts) {
            known.extend(value.map(|value| (format!("user.{name}"), value)));
        }
    }
    Ok(known)
}

/// What a missing value means, for a person.
pub(super) fn missing_in_words(variable: &str) -> String {
    match cut(variable) {
        None => format!("held back: {{{{{variable}}}}} is no variable; one begins with device. or user."),
        Some((Owner::Device, name)) => {
            format!(
                "held back: nothing is known for {{{{{variable}}}}}; `cordon device fields DEVICE {name}=VALUE` sets it"
            )
        }
        Some((Owner::User, "mail" | "name" | "short_name" | "id")) => format!(
            "held back: nothing is known for {{{{{variable}}}}}; the person there is not known, or has none; `cordon user show` says what is known"
        ),
        Some((Owner::User, name)) => {
            format!(
                "held back: nothing is known for {{{{{variable}}}}}; `cordon user fields USER {name}=VALUE` sets it"
            )
        }
    }
}

/// Whose fields are asked for, as people say it.
#[derive(Debug, Clone, Copy)]
pub enum Whose<'a> {
    Device(&'a str),
    Person(&'a str),
}

/// The row, the audit's name for it, and the channels that may use the fields.
struct Found {
    owner: FieldOwner,
    id: String,
}

fn look(cx: &Context, actor: &Actor, whose: Whose<'_>) -> Result<Found, Error> {
    match whose {
        Whose::Device(device) => {
            let row = devices::find(cx, actor, device)?;
            Ok(Found { owner: FieldOwner::Device(row.id), id: row.public_id })
        }
        Whose::Person(person) => {
            let row = users::find(cx, person)?;
            Ok(Found { owner: FieldOwner::Person(row.id), id: row.public_id })
        }
    }
}

/// The fields, by name.
///
/// # Errors
/// `NotFound`.
pub fn list(cx: &Context, actor: &Actor, whose: Whose<'_>) -> Result<Vec<(String, String)>, Error> {
    actor.require(Permission::LookAround)?;
    let found = look(cx, actor, whose)?;
    cx.store.read(|db| Ok(db.list_fields(found.owner)?))
}

/// Sets fields, or takes those away that have no value. Profiles that use them are sent anew to whom it concerns.
///
/// # Errors
/// `NotFound`; `Invalid` for a name or value that cannot be one.
pub fn change(
    cx: &Context,
    actor: &Actor,
    whose: Whose<'_>,
    changes: &BTreeMap<String, Option<String>>,
) -> Result<Vec<(String, String)>, Error> {
    actor.require(Permission::People)?;
    let found = look(cx, actor, whose)?;
    let fixed: &[&str] = if matches!(found.owner, FieldOwner::Device(_)) { &DEVICE_NAMES } else { &USER_NAMES };
    for (name, value) in changes {
        check(fixed, name, value.as_deref())?;
    }
    let now = cx.now();
    cx.store.write(|tx| {
        for (name, value) in changes {
            tx.put_field(found.owner, name, value.as_deref())?;
        }
        if tx.list_fields(found.owner)?.len() > MAX_FIELDS {
            return Err(bad("fields", &format!("are at most {MAX_FIELDS}")));
        }
        let detail = json!({ "fields": changes.keys().collect::<Vec<_>>() });
        auditing::record(tx, actor, "fields.change", Some(&found.id), Some(detail), now)
    })?;
    match found.owner {
        FieldOwner::Person(id) => reconciling::people_changed(cx, &[id])?,
        FieldOwner::Device(id) => {
            let channels = cx.store.read(|db| db.list_channels_of_devices(&[id]))?;
            reconciling::reconcile_all(cx, &channels)?;
        }
    }
    list(cx, actor, whose)
}

fn check(fixed: &[&str], name: &str, value: Option<&str>) -> Result<(), Error> {
    if name.len() > MAX_NAME || cut(&format!("user.{name}")).is_none() {
        return Err(bad(name, "is no name of a field: letters, digits, _ and - only, at most 64"));
    }
    if fixed.contains(&name) {
        return Err(bad(name, "is known already and cannot be set here"));
    }
    if is_password(name) {
        return Err(bad(
            name,
            "sounds like a password; fields are shown to whoever may look around, so they are no place for one",
        ));
    }
    match value {
        Some(value) if value.is_empty() || value.len() > MAX_VALUE || value.chars().any(char::is_control) => {
            Err(bad(name, "must have 1 to 4000 bytes without control characters"))
        }
        _ => Ok(()),
    }
}

fn bad(key: &str, why: &str) -> Error {
    Error::invalid(Text::BadArgument { key: key.to_owned(), why: why.to_owned() })
}
