//! `/users`: the school's people. Passwords come in and never go out.

use super::reply::json;
use super::views::Page;
use super::{Call, Response};
use crate::base::secret::Secret;
use crate::service::Error;
use crate::service::network_users::{self, Policy};
use crate::service::roster;
use crate::service::users::{self, PersonView, Wish};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Somebody of the school.
#[derive(Debug, Serialize, ToSchema)]
pub struct Person {
    /// Cordon's id: what the audit says instead of a name.
    pub id: String,
    pub short_name: String,
    pub long_name: Option<String>,
    pub mail: Option<String>,
    /// `local`, `csv` or `ldap`: who keeps this person up to date.
    pub source: &'static str,
    /// Ids of the person's records in directories.
    pub guids: Vec<PersonGuid>,
    /// Whether a password is kept for the enrolment pages.
    pub password: bool,
    /// Whether a network login on a Mac can be answered by a digest.
    pub digest: bool,
    pub password_changed_at: Option<String>,
    pub created_at: String,
    pub created_by: String,
    pub disabled_at: Option<String>,
    /// The directory has the record no more.
    pub vanished: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct PersonGuid {
    pub guid: String,
    /// The attribute it comes from, `given` by somebody, or `learned` from a proven login.
    pub kind: String,
}

fn view(view: PersonView) -> Person {
    let row = view.row;
    Person {
        id: row.public_id,
        short_name: row.short_name,
        long_name: row.long_name,
        mail: row.mail,
        source: row.source.as_str(),
        guids: view.guids.into_iter().map(|g| PersonGuid { guid: g.guid, kind: g.kind }).collect(),
        password: row.password.is_some(),
        digest: row.has_digest,
        password_changed_at: row.password_changed_at.map(|at| at.to_string()),
        created_at: row.created_at.to_string(),
        created_by: row.created_by,
        disabled_at: row.disabled_at.map(|at| at.to_string()),
        vanished: row.vanished,
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPerson {
    /// What the person logs in as.
    pub short_name: String,
    pub long_name: Option<String>,
    pub mail: Option<String>,
    /// Ids of the person's records in directories.
    #[serde(default)]
    pub guids: Vec<String>,
    /// The one that the person logs in to Macs with. Kept as a hash, and as what answers a digest.
    pub password: Option<String>,
}

/// What is left out stays; an empty text takes away.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PersonChange {
    pub long_name: Option<String>,
    pub mail: Option<String>,
    /// Added to those that are known.
    pub guids: Vec<String>,
    pub password: Option<String>,
    pub disabled: Option<bool>,
}

pub fn list(call: &Call<'_>) -> Result<Response, Error> {
    let limit = call.limit()?;
    let search = call.query("search");
    let mut found = users::list(call.cx, &call.actor, call.cursor()?.unwrap_or(0), search.as_deref(), limit + 1)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().filter(|_| more).map(|p| p.row.id.to_string());
    Ok(json(200, &Page { items: found.into_iter().map(view).collect(), next_cursor }))
}

pub fn create(call: &Call<'_>) -> Result<Response, Error> {
    let body: NewPerson = call.body()?;
    let wish = Wish {
        long_name: body.long_name,
        mail: body.mail,
        guids: body.guids,
        password: body.password.map(Secret::new),
        disabled: None,
    };
    Ok(json(201, &view(users::add(call.cx, &call.actor, &body.short_name, &wish)?)))
}

pub fn show(call: &Call<'_>, name: &str) -> Result<Response, Error> {
    Ok(json(200, &view(users::show(call.cx, &call.actor, name)?)))
}

pub fn change(call: &Call<'_>, name: &str) -> Result<Response, Error> {
    let body: PersonChange = call.body()?;
    let wish = Wish {
        long_name: body.long_name,
        mail: body.mail,
        guids: body.guids,
        password: body.password.map(Secret::new),
        disabled: body.disabled,
    };
    Ok(json(200, &view(users::change(call.cx, &call.actor, name, &wish)?)))
}

pub fn erase(call: &Call<'_>, name: &str) -> Result<Response, Error> {
    users::erase(call.cx, &call.actor, name)?;
    Ok(Response::empty(204))
}

/// A list of people.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PeopleImport {
    /// CSV with a heading: short_name, and any of long_name, mail, guid, classes, teaches, password.
    pub csv: String,
    /// Only say what would happen.
    #[serde(default)]
    pub dry_run: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct PeopleImported {
    /// It is written; not so for a dry run, or when a line is wrong: then nothing is.
    pub applied: bool,
    pub added: usize,
    pub changed: usize,
    pub unchanged: usize,
    /// Names of the classes that were not there before.
    pub classes_added: Vec<String>,
    pub wrong_lines: Vec<WrongLine>,
    /// Columns that mean nothing here.
    pub ignored_columns: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct WrongLine {
    /// As counted from the top of the file; the heading is line 1.
    pub line: usize,
    pub why: String,
}

pub fn import(call: &Call<'_>) -> Result<Response, Error> {
    let body: PeopleImport = call.body()?;
    let csv = Secret::new(body.csv);
    let report = roster::import(call.cx, &call.actor, csv.expose(), body.dry_run)?;
    let wrong_lines = report.wrong.into_iter().map(|w| WrongLine { line: w.line, why: w.why }).collect();
    Ok(json(
        200,
        &PeopleImported {
            applied: report.applied,
            added: report.added,
            changed: report.changed,
            unchanged: report.unchanged,
            classes_added: report.classes_added,
            wrong_lines,
            ignored_columns: report.ignored,
        },
    ))
}

/// How network users of Macs are dealt with, where no group says otherwise.
#[derive(Debug, Serialize, ToSchema)]
pub struct NetworkUsers {
    /// `known`, `digest` or `refuse`.
    pub mode: &'static str,
    /// Whether local users beside the one who installed the profile are served, should one ever come.
    pub serve_further_local_users: bool,
}

/// What is left out stays.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkUsersChange {
    pub mode: Option<String>,
    pub serve_further_local_users: Option<bool>,
}

fn policy_view(policy: Policy) -> NetworkUsers {
    NetworkUsers { mode: policy.mode.as_str(), serve_further_local_users: policy.serve_further }
}

pub fn show_policy(call: &Call<'_>) -> Result<Response, Error> {
    Ok(json(200, &policy_view(network_users::policy(call.cx, &call.actor)?)))
}

pub fn change_policy(call: &Call<'_>) -> Result<Response, Error> {
    let body: NetworkUsersChange = call.body()?;
    let policy = network_users::set_policy(call.cx, &call.actor, body.mode.as_deref(), body.serve_further_local_users)?;
    Ok(json(200, &policy_view(policy)))
}
