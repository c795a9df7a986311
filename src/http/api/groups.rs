//! `/groups`: groups of devices and people, classes, smart groups, and who belongs to them.

use super::reply::json;
use super::views::Page;
use super::{Call, Response};
use crate::service::Error;
use crate::service::groups::{self, GroupView, Member, Wish};
use crate::store::GroupRow;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub struct Group {
    pub id: String,
    pub name: String,
    /// `devices`, `people`, `class` or `smart`.
    pub kind: String,
    /// What devices of a smart group have in common.
    pub filter: Option<String>,
    /// `known`, `digest` or `refuse`: how network users are dealt with; null leaves it to the school.
    pub login_mode: Option<String>,
    /// `local`, `csv` or `ldap`.
    pub source: String,
    /// How many devices were put in; of a smart group, how many fit now, when it is asked for by itself.
    pub device_count: i64,
    pub person_count: i64,
    pub created_at: String,
    pub created_by: String,
    /// Only of a group that is asked for by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<Vec<GroupDevice>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub people: Option<Vec<GroupPerson>>,
    /// Admins who teach the class, beside those who share a teacher's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admins: Option<Vec<String>>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct GroupDevice {
    pub id: String,
    pub serial: Option<String>,
    pub name: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct GroupPerson {
    pub id: String,
    pub short_name: String,
    pub long_name: Option<String>,
    /// `member` or `teacher`.
    pub part: String,
}

fn head(row: GroupRow) -> Group {
    Group {
        id: row.public_id,
        name: row.name,
        kind: row.kind,
        filter: row.filter,
        login_mode: row.login_mode,
        source: row.source,
        device_count: row.devices,
        person_count: row.people,
        created_at: row.created_at.to_string(),
        created_by: row.created_by,
        devices: None,
        people: None,
        admins: None,
    }
}

fn whole(view: GroupView) -> Group {
    let devices: Vec<GroupDevice> =
        view.devices.into_iter().map(|d| GroupDevice { id: d.public_id, serial: d.serial, name: d.name }).collect();
    let people = view
        .people
        .into_iter()
        .map(|(p, part)| GroupPerson { id: p.public_id, short_name: p.short_name, long_name: p.long_name, part })
        .collect();
    Group {
        device_count: devices.len() as i64,
        devices: Some(devices),
        people: Some(people),
        admins: Some(view.admins),
        ..head(view.row)
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGroup {
    pub name: String,
    /// `devices`, `people`, `class` or `smart`.
    pub kind: String,
    /// For `smart`: like `platform = iPadOS and os_version < 17`.
    pub filter: Option<String>,
    /// `known`, `digest` or `refuse`.
    pub login_mode: Option<String>,
}

/// What is left out stays; an empty login mode leaves it to the school.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GroupChange {
    pub name: Option<String>,
    pub filter: Option<String>,
    pub login_mode: Option<String>,
}

/// Who and what is put in or taken out; all of it or nothing.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GroupMembers {
    /// Ids, UDIDs or serial numbers.
    pub devices: Vec<String>,
    /// Short names or ids: pupils of a class, members of a group of people.
    pub people: Vec<String>,
    /// People who teach the class.
    pub teachers: Vec<String>,
    /// Admins who teach the class.
    pub admins: Vec<String>,
}

impl GroupMembers {
    fn into_members(self) -> Vec<Member> {
        let devices = self.devices.into_iter().map(Member::Device);
        let people = self.people.into_iter().map(Member::Person).chain(self.teachers.into_iter().map(Member::Teacher));
        devices.chain(people).chain(self.admins.into_iter().map(Member::Admin)).collect()
    }
}

pub fn list(call: &Call<'_>) -> Result<Response, Error> {
    let items = groups::list(call.cx, &call.actor)?.into_iter().map(head).collect();
    Ok(json(200, &Page { items, next_cursor: None }))
}

pub fn create(call: &Call<'_>) -> Result<Response, Error> {
    let body: NewGroup = call.body()?;
    let wish = Wish { name: body.name, kind: body.kind, filter: body.filter, login_mode: body.login_mode };
    Ok(json(201, &whole(groups::add(call.cx, &call.actor, &wish)?)))
}

pub fn show(call: &Call<'_>, name: &str) -> Result<Response, Error> {
    Ok(json(200, &whole(groups::show(call.cx, &call.actor, name)?)))
}

pub fn change(call: &Call<'_>, name: &str) -> Result<Response, Error> {
    let body: GroupChange = call.body()?;
    let change = groups::Change { name: body.name, filter: body.filter, login_mode: body.login_mode };
    Ok(json(200, &whole(groups::change(call.cx, &call.actor, name, &change)?)))
}

pub fn remove(call: &Call<'_>, name: &str) -> Result<Response, Error> {
    groups::remove(call.cx, &call.actor, name)?;
    Ok(Response::empty(204))
}

pub fn add_members(call: &Call<'_>, name: &str) -> Result<Response, Error> {
    let body: GroupMembers = call.body()?;
    Ok(json(200, &whole(groups::add_members(call.cx, &call.actor, name, &body.into_members())?)))
}

pub fn remove_members(call: &Call<'_>, name: &str) -> Result<Response, Error> {
    let body: GroupMembers = call.body()?;
    Ok(json(200, &whole(groups::remove_members(call.cx, &call.actor, name, &body.into_members())?)))
}
