//! `/directory`: the LDAP directory that people come from: set, tried, taken over. Its password comes in and never goes out.

use super::reply::json;
use super::{Call, Response};
use crate::base::secret::Secret;
use crate::service::Error;
use crate::service::directories::{self, Attributes, Report, Wish};
use crate::store::DirectoryRow;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDirectory {
    /// `ldaps://HOST[:PORT]`, or `ldap://` to this machine.
    pub url: String,
    /// Below which people are.
    pub base_dn: String,
    /// Who is a person of the school, like `(objectClass=inetOrgPerson)`; everybody with a short name when left out.
    pub filter: Option<String>,
    /// Who asks; nobody when left out.
    pub bind_dn: Option<String>,
    pub bind_password: Option<String>,
    /// PEM of the authorities that the directory's certificate comes from; the public ones when left out.
    pub ca_pem: Option<String>,
    pub attributes: Option<DirectoryAttributes>,
}

/// Which attribute is what.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DirectoryAttributes {
    /// `uid`; in Active Directory `sAMAccountName`.
    pub short_name: String,
    pub long_name: Option<String>,
    pub mail: Option<String>,
    /// Ids of records: `apple-generateduid`, `entryUUID`, `objectGUID`.
    pub guids: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct DirectorySettings {
    pub url: String,
    pub base_dn: String,
    pub filter: String,
    pub bind_dn: Option<String>,
    pub own_ca: bool,
    pub attributes: Value,
    pub last_sync_at: Option<String>,
    /// What the last look found, or `failed` with the reason.
    pub last_sync: Value,
}

/// The people that were found; nothing was changed.
#[derive(Debug, Serialize, ToSchema)]
pub struct DirectoryTried {
    pub found: usize,
    /// The first few, to look whether the attributes are right.
    pub first: Vec<DirectoryPerson>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct DirectoryPerson {
    pub short_name: String,
    pub long_name: Option<String>,
    pub mail: Option<String>,
    pub guids: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct DirectorySync {
    pub found: usize,
    pub added: usize,
    pub changed: usize,
    pub unchanged: usize,
    /// Disabled, because the directory has them no more.
    pub vanished: usize,
    /// Enabled again.
    pub returned: usize,
    /// So many would have been disabled that nobody was.
    pub too_many_vanished: Option<usize>,
    /// Records that could not be taken over, each with the reason.
    pub troubles: Vec<String>,
}

fn settings(row: DirectoryRow) -> DirectorySettings {
    DirectorySettings {
        url: row.url,
        base_dn: row.base_dn,
        filter: row.filter,
        bind_dn: row.bind_dn,
        own_ca: row.ca_pem.is_some(),
        attributes: serde_json::from_str(&row.attributes).unwrap_or_default(),
        last_sync_at: row.last_sync_at.map(|at| at.to_string()),
        last_sync: row.last_sync.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
    }
}

pub fn show(call: &Call<'_>) -> Result<Response, Error> {
    Ok(json(200, &settings(directories::show(call.cx, &call.actor)?)))
}

pub fn set(call: &Call<'_>) -> Result<Response, Error> {
    let body: NewDirectory = call.body()?;
    let attributes = match body.attributes {
        None => Attributes::default(),
        Some(a) => Attributes { short_name: a.short_name, long_name: a.long_name, mail: a.mail, guids: a.guids },
    };
    let wish = Wish {
        url: body.url,
        base_dn: body.base_dn,
        filter: body.filter,
        bind_dn: body.bind_dn,
        bind_password: body.bind_password.map(Secret::new),
        ca_pem: body.ca_pem,
        attributes,
    };
    Ok(json(200, &settings(directories::set(call.cx, &call.actor, &wish)?)))
}

pub fn remove(call: &Call<'_>) -> Result<Response, Error> {
    directories::remove(call.cx, &call.actor)?;
    Ok(Response::empty(204))
}

pub fn test(call: &Call<'_>) -> Result<Response, Error> {
    let found = directories::test(call.cx, &call.actor)?;
    let person = |record: &crate::service::ports::DirectoryRecord| DirectoryPerson {
        short_name: record.short_name.clone(),
        long_name: record.long_name.clone(),
        mail: record.mail.clone(),
        guids: record.guids.iter().map(|(_, guid)| guid.clone()).collect(),
    };
    Ok(json(200, &DirectoryTried { found: found.len(), first: found.iter().take(5).map(person).collect() }))
}

pub fn sync(call: &Call<'_>) -> Result<Response, Error> {
    let Report { found, added, changed, unchanged, vanished, returned, too_many_vanished, troubles } =
        directories::sync(call.cx, &call.actor)?;
    Ok(json(200, &DirectorySync { found, added, changed, unchanged, vanished, returned, too_many_vanished, troubles }))
}
