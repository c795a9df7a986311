//! Groups of devices and of people: made by hand, classes that lists fill, and smart ones that a filter fills. A teacher sees the
//! classes they teach, and nothing else.

use super::actor::{Actor, Permission, Scope};
use super::{Context, Error, auditing, devices, network_users, reconciling, users};
use crate::base::ids::short_code;
use crate::base::texts::Text;
use crate::base::time::Timestamp;
use crate::protocol::filter::Filter;
use crate::store::{Db, DeviceRow, GroupPart, GroupRow, Lost, NewGroup, PersonRow, Source, Target, Tx};
use serde_json::json;

/// Longest name, bytes.
const MAX_NAME: usize = 100;
/// Groups of one school; each smart one is looked through whenever it is shown.
const MAX_GROUPS: usize = 2_000;

/// A group to be.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    pub name: String,
    /// `devices`, `people`, `class` or `smart`.
    pub kind: String,
    pub filter: Option<String>,
    /// `known`, `digest` or `refuse`.
    pub login_mode: Option<String>,
}

/// What is to change; `None` stays, an empty login mode leaves it to the school.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub name: Option<String>,
    pub filter: Option<String>,
    pub login_mode: Option<String>,
}

/// Somebody or something that belongs to a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    /// By any of its names.
    Device(String),
    Person(String),
    /// A person who teaches the class.
    Teacher(String),
    /// An admin who teaches the class.
    Admin(String),
}

/// A group with what belongs to it.
#[derive(Debug, Clone)]
pub struct GroupView {
    pub row: GroupRow,
    pub devices: Vec<DeviceRow>,
    /// With `member` or `teacher`.
    pub people: Vec<(PersonRow, String)>,
    pub admins: Vec<String>,
}

/// # Errors
/// `Invalid` for a name, kind or filter that is none; `Conflict` when the name is taken.
pub fn add(cx: &Context, actor: &Actor, wish: &Wish) -> Result<GroupView, Error> {
    actor.require(Permission::People)?;
    check_name(&wish.name)?;
    if !["devices", "people", "class", "smart"].contains(&wish.kind.as_str()) {
        return Err(bad("kind", "is one of devices, people, class and smart"));
    }
    let filter = match (&wish.filter, wish.kind.as_str()) {
        (Some(filter), "smart") => Some(parse_filter(filter)?.to_string()),
        (None, "smart") => return Err(bad("filter", "is what a smart group is; write it like platform = iPadOS")),
        (Some(_), _) => return Err(bad("filter", "belongs to a smart group only")),
        (None, _) => None,
    };
    let login_mode = parse_mode(wish.login_mode.as_deref())?;
    let (id, now) = (mint(cx), cx.now());
    cx.store.write(|tx| -> Result<(), Error> {
        if tx.find_group(&wish.name)?.is_some() {
            return Err(Error::conflict(Text::GroupExists { name: wish.name.clone() }));
        }
        if tx.list_groups(None)?.len() >= MAX_GROUPS {
            return Err(bad("name", "would be of one group too many; remove some that nobody needs"));
        }
        let new = NewGroup {
            public_id: &id,
            name: &wish.name,
            kind: &wish.kind,
            filter: filter.as_deref(),
            login_mode: login_mode.as_deref(),
            source: Source::Local.as_str(),
            created_by: &actor.name(),
        };
        tx.insert_group(&new, now)?;
        let detail = json!({ "name": wish.name, "kind": wish.kind, "filter": filter, "login_mode": login_mode });
        auditing::record(tx, actor, "group.add", Some(&id), Some(detail), now)
    })?;
    show(cx, actor, &id)
}

/// All groups by name; a teacher's classes for a teacher.
pub fn list(cx: &Context, actor: &Actor) -> Result<Vec<GroupRow>, Error> {
    actor.require(Permission::Look)?;
    match actor.scope() {
        Scope::All => Ok(cx.store.read(|db| db.list_groups(None))?),
        Scope::Classes(teacher) => Ok(cx.store.read(|db| db.list_groups(Some(teacher)))?),
        Scope::Nothing => Ok(Vec::new()),
    }
}

/// By name or id.
///
/// # Errors
/// `NotFound`, also for what is not a teacher's.
pub fn show(cx: &Context, actor: &Actor, group: &str) -> Result<GroupView, Error> {
    actor.require(Permission::Look)?;
    let row = find(cx, actor, group)?;
    cx.store.read(|db| view(db, row))
}

/// # Errors
/// As [`add`].
pub fn change(cx: &Context, actor: &Actor, group: &str, change: &Change) -> Result<GroupView, Error> {
    actor.require(Permission::People)?;
    let row = find(cx, actor, group)?;
    let name = change.name.clone().unwrap_or_else(|| row.name.clone());
    check_name(&name)?;
    let filter = match (&change.filter, row.kind.as_str()) {
        (Some(filter), "smart") => Some(parse_filter(filter)?.to_string()),
        (Some(_), _) => return Err(bad("filter", "belongs to a smart group only")),
        (None, _) => row.filter.clone(),
    };
    let login_mode = match change.login_mode.as_deref() {
        None => row.login_mode.clone(),
        Some(mode) => parse_mode(Some(mode))?,
    };
    let now = cx.now();
    let mut channels = cx.store.read(|db| channels_of(db, row.id))?;
    cx.store.write(|tx| -> Result<(), Error> {
        if tx.find_group(&name)?.is_some_and(|other| other.id != row.id) {
            return Err(Error::conflict(Text::GroupExists { name: name.clone() }));
        }
        tx.update_group(row.id, &name, filter.as_deref(), login_mode.as_deref())?;
        let detail = json!({ "name": name, "filter": filter, "login_mode": login_mode });
        auditing::record(tx, actor, "group.change", Some(&row.public_id), Some(detail), now)
    })?;
    if filter != row.filter {
        channels.extend(cx.store.read(|db| channels_of(db, row.id))?);
        channels.sort_unstable();
        channels.dedup();
        reconciling::reconcile_all(cx, &channels)?;
    }
    show(cx, actor, &row.public_id)
}

/// Removes the group with what is assigned to it, and its set-up plan; its devices and people stay.
///
/// # Errors
/// `NotFound`.
pub fn remove(cx: &Context, actor: &Actor, group: &str) -> Result<(), Error> {
    actor.require(Permission::People)?;
    let row = find(cx, actor, group)?;
    let now = cx.now();
    let channels = cx.store.read(|db| channels_of(db, row.id))?;
    cx.store.write(|tx| {
        tx.delete_group(row.id)?;
        let detail = json!({ "name": row.name, "kind": row.kind });
        auditing::record(tx, actor, "group.remove", Some(&row.public_id), Some(detail), now)
    })?;
    reconciling::reconcile_all(cx, &channels).map(drop)
}

/// Adds members, all or none.
///
/// # Errors
/// `NotFound` for one that is not there; `Conflict` for one that this kind of group cannot have.
pub fn add_members(cx: &Context, actor: &Actor, group: &str, members: &[Member]) -> Result<GroupView, Error> {
    members_change(cx, actor, group, members, true)
}

/// Takes members out; one that is not in it changes nothing.
///
/// # Errors
/// As [`add_members`].
pub fn remove_members(cx: &Context, actor: &Actor, group: &str, members: &[Member]) -> Result<GroupView, Error> {
    members_change(cx, actor, group, members, false)
}

fn members_change(cx: &Context, actor: &Actor, group: &str, members: &[Member], add: bool) -> Result<GroupView, Error> {
    actor.require(Permission::People)?;
    let row = find(cx, actor, group)?;
    let mut found = Vec::new();
    for member in members {
        let fits = matches!(
            (member, row.kind.as_str()),
            (Member::Device(_), "devices" | "class")
                | (Member::Person(_), "people" | "class")
                | (Member::Teacher(_) | Member::Admin(_), "class")
        );
        if !fits {
            return Err(Error::conflict(Text::NotInThisGroup { name: row.name.clone(), kind: row.kind.clone() }));
        }
        found.push(match member {
            Member::Device(name) => {
                let device = devices::find(cx, actor, name)?;
                (Found::Device(device.id), json!({ "device": device.public_id }))
            }
            Member::Person(name) | Member::Teacher(name) => {
                let person = users::find(cx, name)?;
                let part = if matches!(member, Member::Teacher(_)) { "teacher" } else { "member" };
                (Found::Person(person.id, part), json!({ part: person.public_id }))
            }
            Member::Admin(name) => {
                let admin = cx.store.read(|db| db.find_admin(name))?;
                let admin = admin.ok_or_else(|| Error::not_found(Text::NoSuchAdmin { name: name.clone() }))?;
                (Found::Admin(admin.id), json!({ "admin": admin.name }))
            }
        });
    }
    let now = cx.now();
    cx.store.write(|tx| -> Result<(), Error> {
        for (member, detail) in &found {
            let done = match (member, add) {
                (Found::Device(id), true) => tx.put_group_device(row.id, *id, now).map(|()| true)?,
                (Found::Device(id), false) => tx.remove_group_device(row.id, *id)?,
                (Found::Person(id, part), true) => {
                    tx.put_group_person(row.id, *id, part, Source::Local.as_str(), now).map(|()| true)?
                }
                (Found::Person(id, _), false) => tx.remove_group_person(row.id, *id)?,
                (Found::Admin(id), true) => tx.put_group_admin(row.id, *id, now).map(|()| true)?,
                (Found::Admin(id), false) => tx.remove_group_admin(row.id, *id)?,
            };
            if done {
                let verb = if add { "group.member-add" } else { "group.member-remove" };
                auditing::record(tx, actor, verb, Some(&row.public_id), Some(detail.clone()), now)?;
            }
        }
        Ok(())
    })?;
    if cx.store.read(|db| db.has_assignments(row.id))? {
        let pick =
            |wanted: fn(&Found) -> Option<i64>| -> Vec<i64> { found.iter().filter_map(|(f, _)| wanted(f)).collect() };
        let devices = pick(|f| if let Found::Device(id) = f { Some(*id) } else { None });
        let persons = pick(|f| if let Found::Person(id, _) = f { Some(*id) } else { None });
        let mut channels = cx.store.read(|db| db.list_channels_of_devices(&devices))?;
        channels.extend(cx.store.read(|db| db.list_channels_of_persons(&persons))?);
        reconciling::reconcile_all(cx, &channels)?;
    }
    show(cx, actor, &row.public_id)
}

/// Row ids, once the names are looked up.
enum Found {
    Device(i64),
    Person(i64, &'static str),
    Admin(i64),
}

/// Puts a person into exactly these classes, as far as lists say so: what somebody did by hand stays. Says whether anything changed.
#[allow(clippy::too_many_arguments, reason = "one call of one fact each; a struct would only rename them")]
pub(super) fn put_classes(
    cx: &Context,
    tx: &Tx<'_>,
    actor: &Actor,
    person: i64,
    part: &str,
    names: &[String],
    source: Source,
    added: &mut Vec<String>,
    now: Timestamp,
) -> Result<bool, Error> {
    let mut changed = false;
    let mut wanted = Vec::new();
    for name in names {
        let class = match tx.find_group(name)? {
            Some(class) if class.kind == "class" => class.id,
            Some(other) => return Err(Error::conflict(Text::NotInThisGroup { name: other.name, kind: other.kind })),
            None => {
                let (id, by) = (mint(cx), actor.name());
                let new = NewGroup {
                    public_id: &id,
                    name,
                    kind: "class",
                    filter: None,
                    login_mode: None,
                    source: source.as_str(),
                    created_by: &by,
                };
                added.push(name.clone());
                tx.insert_group(&new, now)?
            }
        };
        wanted.push(class);
        if tx.find_part(class, person)?.as_deref() != Some(part) {
            tx.put_group_person(class, person, part, source.as_str(), now)?;
            changed = true;
        }
    }
    for old in tx.list_listed_classes(person, part, source.as_str())? {
        if !wanted.contains(&old.id) {
            changed |= tx.remove_group_person(old.id, person)?;
        }
    }
    Ok(changed)
}

/// Row ids of every group that a device is in and that matters for what it gets: those that list it, and the smart ones in use.
pub(super) fn of_device(db: &Db<'_>, device: i64) -> Result<Vec<i64>, Error> {
    let mut found = db.list_groups_of_device(device)?;
    let smart = db.list_smart_groups_in_use()?;
    if !smart.is_empty()
        && let Some(row) = db.find_device(device)?
    {
        let fits = |filter: &String| Filter::parse(filter).is_ok_and(|f| f.fits(&|field| fact(&row, field)));
        found.extend(smart.into_iter().filter(|(_, filter)| fits(filter)).map(|(group, _)| group));
    }
    Ok(found)
}

/// Row ids of the devices of a group, by list or by filter.
pub(super) fn devices_of(db: &Db<'_>, group: i64) -> Result<Vec<i64>, Error> {
    let Some(row) = db.find_group_by_row(group)? else { return Ok(Vec::new()) };
    Ok(view(db, row)?.devices.into_iter().map(|device| device.id).collect())
}

/// The channels that get or may get profiles by a group, as it stands.
fn channels_of(db: &Db<'_>, group: i64) -> Result<Vec<i64>, Error> {
    if !db.has_assignments(group)? {
        return Ok(Vec::new());
    }
    let mut channels = Vec::new();
    for part in GroupPart::ALL.into_iter().filter(|part| *part != GroupPart::EveryoneOn) {
        channels.extend(reconciling::concerned(db, &Target::Group(group, part))?);
    }
    Ok(channels)
}

/// How the groups around a login deal with network users; smart ones are asked about the device.
pub(super) fn login_modes(db: &Db<'_>, person: Option<i64>, device: i64) -> Result<Vec<String>, Error> {
    let mut modes = db.list_login_modes(person, device)?;
    let smart = db.list_smart_login_modes()?;
    if !smart.is_empty()
        && let Some(row) = db.find_device(device)?
    {
        let fits = |filter: &String| Filter::parse(filter).is_ok_and(|f| f.fits(&|field| fact(&row, field)));
        modes.extend(smart.into_iter().filter(|(filter, _)| fits(filter)).map(|(_, mode)| mode));
    }
    Ok(modes)
}

fn view(db: &Db<'_>, row: GroupRow) -> Result<GroupView, Error> {
    let devices = match row.filter.as_deref().map(parse_filter).transpose()? {
        Some(filter) => fitting(db, &filter)?,
        None => db.list_group_devices(row.id)?,
    };
    let (people, admins) = (db.list_group_people(row.id)?, db.list_group_admins(row.id)?);
    Ok(GroupView { row, devices, people, admins })
}

/// The devices that a filter would gather now.
///
/// # Errors
/// `Invalid` naming the word that does not fit.
pub fn fitting_now(cx: &Context, actor: &Actor, filter: &str) -> Result<Vec<DeviceRow>, Error> {
    actor.require(Permission::People)?;
    let filter = parse_filter(filter)?;
    cx.store.read(|db| fitting(db, &filter))
}

/// Every device that fits; a school has thousands at most.
fn fitting(db: &Db<'_>, filter: &Filter) -> Result<Vec<DeviceRow>, Error> {
    let (mut after, mut found) = (0, Vec::new());
    loop {
        let page = db.list_devices(after, None, None, 500)?;
        let Some(last) = page.last() else { return Ok(found) };
        after = last.id;
        found.extend(page.into_iter().filter(|device| filter.fits(&|field| fact(device, field))));
    }
}

/// What is known of a device, by the field's name in filters.
fn fact(device: &DeviceRow, field: &str) -> Option<String> {
    let yes_no = |yes: bool| String::from(if yes { "yes" } else { "no" });
    match field {
        "platform" => Some(device.platform.clone()).filter(|p| p != "unknown"),
        "model" => device.model.clone(),
        "model_name" => device.model_name.clone(),
        "product_name" => device.product_name.clone(),
        "name" => device.name.clone(),
        "serial" => device.serial.clone(),
        "os_version" => device.os_version.clone(),
        "build_version" => device.build_version.clone(),
        "supervised" => device.supervised.map(yes_no),
        "lost" => Some(yes_no(device.lost != Lost::No)),
        _ => None,
    }
}

pub(super) fn find(cx: &Context, actor: &Actor, group: &str) -> Result<GroupRow, Error> {
    let missing = || Error::not_found(Text::NoSuchGroup { name: group.chars().take(MAX_NAME).collect() });
    let row = cx.store.read(|db| db.find_group(group))?.ok_or_else(missing)?;
    match actor.scope() {
        Scope::All => Ok(row),
        Scope::Classes(teacher) => {
            let own = cx.store.read(|db| db.list_groups(Some(teacher)))?;
            if own.iter().any(|class| class.id == row.id) { Ok(row) } else { Err(missing()) }
        }
        Scope::Nothing => Err(missing()),
    }
}

/// # Errors
/// `Invalid`: names stand in lists of classes, which separate them with ; , and |.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    let good = !name.is_empty()
        && name.len() <= MAX_NAME
        && name.trim() == name
        && !name.chars().any(|c| c.is_control() || matches!(c, ';' | ',' | '|'));
    if good { Ok(()) } else { Err(bad("name", "must have 1 to 100 bytes, without ; , | and without spaces around it")) }
}

fn parse_filter(text: &str) -> Result<Filter, Error> {
    Filter::parse(text)
        .map_err(|e| Error::invalid(Text::BadArgument { key: String::from("filter"), why: e.to_string() }))
}

fn parse_mode(mode: Option<&str>) -> Result<Option<String>, Error> {
    match mode.filter(|mode| !mode.is_empty()) {
        None => Ok(None),
        Some(mode) => Ok(Some(network_users::parse_mode(mode)?.as_str().to_owned())),
    }
}

fn mint(cx: &Context) -> String {
    format!("g-{}", short_code(&cx.random_bytes::<8>()))
}

fn bad(key: &str, why: &str) -> Error {
    Error::invalid(Text::BadArgument { key: key.to_owned(), why: why.to_owned() })
}
