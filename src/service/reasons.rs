//! Why a device has a profile, or has not: every assignment that leads to it, the strongest first, how it stands, and which other
//! profiles there speak about the same things. Called by the API.

use super::actor::{Actor, Permission};
use super::{Context, Error, channels, devices, library, reconciling, schedules};
use crate::store::{ChannelNames, Db, EnrollmentRow, GroupPart, ProfileRow, Target, WantedRow};

/// One channel of a device, and why it has a profile or not.
#[derive(Debug, Clone)]
pub struct ChannelReasons {
    /// Short name or UserID; `None` for the device itself.
    pub user: Option<String>,
    pub wanted: bool,
    /// Every assignment that leads to it, the strongest first. It stays until the last one goes.
    pub reasons: Vec<String>,
    /// How it stands there.
    pub state: String,
    /// Other profiles there that speak about the same things, and which of them counts.
    pub beside: Vec<String>,
}

/// What was asked, with an answer for each channel.
#[derive(Debug, Clone)]
pub struct Why {
    pub profile: ProfileRow,
    pub channels: Vec<ChannelReasons>,
}

/// # Errors
/// `NotFound` for the device, its user, or the profile.
pub fn why(cx: &Context, actor: &Actor, device: &str, user: Option<&str>, profile: &str) -> Result<Why, Error> {
    actor.require(Permission::Look)?;
    let shown = devices::show(cx, actor, device)?;
    let profile = cx.store.read(|db| library::find(db, profile))?;
    let only = user.map(|user| devices::channel(cx, &shown.row, Some(user))).transpose()?.map(|channel| channel.id);
    let mut channels = Vec::new();
    for view in shown.channels.into_iter().filter(|c| only.is_none_or(|id| id == c.row.id)) {
        channels.push(of_channel(cx, &view.row, &profile)?);
    }
    Ok(Why { profile, channels })
}

fn of_channel(cx: &Context, channel: &EnrollmentRow, profile: &ProfileRow) -> Result<ChannelReasons, Error> {
    let state = channels::profiles_of(cx, channel)?.into_iter().find(|p| p.identifier == profile.identifier);
    let state = state.map_or_else(|| String::from("not there, and not wanted there"), |p| p.words);
    let now = cx.now();
    cx.store.read(|db| {
        let names = reconciling::names_of(db, channel)?;
        let mut found = Vec::new();
        for assignment in db.list_reasons(&names, profile.id)? {
            let mut words = in_words(db, &names, &assignment.target)?;
            if let Some(when) = schedules::in_words(db, assignment.schedule, now)? {
                words.push_str(&format!(" It holds {when}."));
            }
            found.push((rank(&assignment.target), words));
        }
        found.sort();
        let others = db.list_wanted_profiles(&names, now)?;
        let wanted = others.iter().any(|other| other.profile.id == profile.id);
        let mut beside = Vec::new();
        if wanted {
            beside = neighbours(db, others, profile)?;
        }
        let user = channel.user_short_name.clone().or_else(|| channel.user_id.clone()).filter(|_| names.is_user);
        let reasons = found.into_iter().map(|(_, words)| words).collect();
        Ok(ChannelReasons { user, wanted, reasons, state, beside })
    })
}

/// What names a thing itself is stronger than what names a group that it is in.
fn rank(target: &Target) -> u8 {
    match target {
        Target::Device(_) | Target::User(_) | Target::Person(_) => 0,
        Target::EveryoneOn(_) => 1,
        Target::Group(..) => 2,
    }
}

fn in_words(db: &Db<'_>, names: &ChannelNames, target: &Target) -> Result<String, Error> {
    Ok(match target {
        Target::Device(_) => String::from("It is assigned to this device itself."),
        Target::EveryoneOn(_) => String::from("It is assigned to everyone who logs in on this device."),
        Target::User(name) => format!("It is assigned to “{name}”, and so this user is called."),
        Target::Person(person) => {
            let name = db.find_person_by_row(*person)?.map(|person| person.short_name).unwrap_or_default();
            format!("It is assigned to {name}.")
        }
        Target::Group(group, part) => {
            let Some(row) = db.find_group_by_row(*group)? else {
                return Ok(String::from("It is assigned to a group."));
            };
            let how = match (&row.filter, part) {
                (_, GroupPart::People) => String::from("this user is in it"),
                (Some(filter), _) => format!("this device fits its filter {filter}"),
                (None, _) => String::from("this device is in it"),
            };
            let whom = match part {
                GroupPart::People => "the people",
                GroupPart::Devices => "the devices",
                GroupPart::EveryoneOn => "everyone on the devices",
            };
            debug_assert!(names.is_user || *part == GroupPart::Devices);
            format!("It is assigned to {whom} of the {} “{}”, and {how}.", kind_in_words(&row.kind), row.name)
        }
    })
}

fn kind_in_words(kind: &str) -> &'static str {
    match kind {
        "class" => "class",
        "smart" => "smart group",
        _ => "group",
    }
}

/// Other profiles of the channel with payloads of the same type.
fn neighbours(db: &Db<'_>, others: Vec<WantedRow>, profile: &ProfileRow) -> Result<Vec<String>, Error> {
    let types = |row: &ProfileRow| -> Result<Vec<String>, Error> {
        let current = db.find_profile_version(row.id, row.version)?;
        Ok(current.and_then(|current| serde_json::from_str(&current.payload_types).ok()).unwrap_or_default())
    };
    let own = types(profile)?;
    let mut found = Vec::new();
    for other in others.into_iter().map(|wanted| wanted.profile) {
        if other.id == profile.id {
            continue;
        }
        let shared: Vec<String> = types(&other)?.into_iter().filter(|kind| own.contains(kind)).collect();
        if !shared.is_empty() {
            let rule = if shared.iter().any(|kind| STRICTEST.contains(&kind.as_str())) {
                "the strictest setting of all counts"
            } else {
                "both stand side by side"
            };
            found.push(format!("“{}” has {} too; {rule}.", other.name, shared.join(", ")));
        }
    }
    Ok(found)
}

/// Payloads that a system merges to the strictest.
const STRICTEST: [&str; 2] = ["com.apple.applicationaccess", "com.apple.mobiledevice.passwordpolicy"];
