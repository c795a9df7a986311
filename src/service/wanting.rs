//! What a channel should have: who it is, what is assigned to that, which schedules are open, what variables stand for there, and which
//! gates let a capability through. Called by `reconciling`, which brings it about, and by those who explain it.

use super::variables::{self, Values};
use super::{Error, gates, groups};
use crate::base::time::Timestamp;
use crate::store::{
    ChannelKind, ChannelNames, ChannelProfileRow, Db, EnrollmentRow, GroupPart, PairRow, ProfileRow, Target, WantedRow,
};
use std::collections::BTreeMap;

/// Who a channel is: its names, the persons behind it, and the groups that it gets profiles by.
pub(super) fn names_of(db: &Db<'_>, channel: &EnrollmentRow) -> Result<ChannelNames, Error> {
    let device_groups = groups::of_device(db, channel.device)?;
    let device = channel.device;
    if channel.channel == ChannelKind::Device {
        return Ok(ChannelNames { device, device_groups, ..ChannelNames::default() });
    }
    let names: Vec<String> = [&channel.user_id, &channel.user_short_name].into_iter().flatten().cloned().collect();
    // A Mac's short name proves nobody; a Managed Apple Account is the person.
    let account = channel.user_short_name.as_deref().filter(|_| channel.user_id.is_none());
    let mut persons = db.list_persons_of_channel(&channel.enrollment_id, channel.user_id.as_deref(), account)?;
    let person_groups = db.list_groups_of_persons(&persons)?;
    // What is assigned to one person by name reaches the local user of that name; what is assigned to a group does not.
    if let Some(person) = channel.user_short_name.as_deref().map(|name| db.find_person(name)).transpose()?.flatten()
        && !persons.contains(&person.id)
    {
        persons.push(person.id);
    }
    Ok(ChannelNames { device, is_user: true, names, persons, person_groups, device_groups })
}

/// Row ids of the groups of the person who speaks on a user channel, or of the device itself.
pub(super) fn groups_of(db: &Db<'_>, channel: &EnrollmentRow) -> Result<Vec<i64>, Error> {
    let names = names_of(db, channel)?;
    Ok(if names.is_user { names.person_groups } else { names.device_groups })
}

/// A profile that a channel should have, filled in for it.
pub(super) struct Due {
    pub profile: ProfileRow,
    /// What its variables stand for there; empty without any.
    pub values: BTreeMap<String, String>,
    pub fill: i64,
    /// Why it cannot be sent as long as nothing changes: a value is missing. What stands stays.
    pub held: Option<String>,
    /// Why it must not stand there now, although somebody wants it: the gate of its pair is shut.
    pub shut: Option<String>,
}

/// What a channel should have by what is assigned now, and the gates that decide about a part of it.
pub(super) struct Picture {
    pub due: Vec<Due>,
    pub gates: Vec<gates::Here>,
}

/// Every profile that a channel should have; `have` is what management did there.
pub(super) fn wanted(
    db: &Db<'_>,
    channel: &EnrollmentRow,
    have: &[ChannelProfileRow],
    now: Timestamp,
) -> Result<Picture, Error> {
    let names = names_of(db, channel)?;
    let pairs: Vec<_> = db.list_pairs()?.into_iter().filter(PairRow::is_gated).collect();
    let (mut due, mut concerned, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    for row in db.list_wanted_profiles(&names, now)? {
        concerned.extend_from_slice(&row.pairs);
        match pairs.iter().find(|pair| pair.capability == row.profile.id) {
            None => due.push(fill_in(db, channel, &names, row)?),
            Some(pair) => alone.push((row.profile.id, pair)),
        }
    }
    let gates = gates::find(db, channel, &concerned, have, now)?;
    let mut capabilities: Vec<(i64, Option<String>)> = Vec::new();
    for here in gates.iter().filter(|here| here.concerned) {
        let shut = here.shut(now);
        match capabilities.iter_mut().find(|(capability, _)| *capability == here.pair.capability) {
            // Of several pairs with one capability every one must let it through.
            Some((_, known)) => *known = known.take().or(shut),
            None => capabilities.push((here.pair.capability, shut)),
        }
    }
    for (profile, pair) in alone {
        if !capabilities.iter().any(|(capability, _)| *capability == profile) {
            capabilities.push((profile, Some(gates::only_with(pair))));
        }
    }
    for (capability, shut) in capabilities {
        if let Some(row) = db.find_wanted_profile(capability)? {
            due.push(Due { shut, ..fill_in(db, channel, &names, row)? });
        }
    }
    Ok(Picture { due, gates })
}

fn fill_in(db: &Db<'_>, channel: &EnrollmentRow, names: &ChannelNames, row: WantedRow) -> Result<Due, Error> {
    let WantedRow { profile, variables: used, .. } = row;
    let plain = Due { profile, values: BTreeMap::new(), fill: 0, held: None, shut: None };
    if used.is_empty() {
        return Ok(plain);
    }
    Ok(match variables::find(db, channel, names, &used)? {
        Values::Known { values, fill } => Due { values, fill, ..plain },
        Values::Missing(name) => Due { held: Some(variables::missing_in_words(&name)), ..plain },
    })
}

/// Row ids of the Active channels that an assignment to this target may concern.
pub(super) fn concerned(db: &Db<'_>, target: &Target) -> Result<Vec<i64>, Error> {
    Ok(match target {
        Target::Device(device) | Target::EveryoneOn(device) => db.list_channels_of_devices(&[*device])?,
        Target::User(name) => db.list_channels_called(name)?,
        Target::Person(person) => db.list_channels_of_persons(&[*person])?,
        Target::Group(group, GroupPart::People) => {
            let people: Vec<i64> = db.list_group_people(*group)?.iter().map(|(person, _)| person.id).collect();
            db.list_channels_of_persons(&people)?
        }
        Target::Group(group, GroupPart::Devices | GroupPart::EveryoneOn) => {
            db.list_channels_of_devices(&groups::devices_of(db, *group)?)?
        }
    })
}
