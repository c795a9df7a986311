//! The school's directory: where it is, trying it, and taking its people over. What asks it over the network is a port
//! ([`super::ports::Directory`]); passwords are checked by [`super::users::sign_in`].
//!
//! People are found by the ids of their records. Those who vanish are disabled, not erased, and come back by themselves; when too
//! many vanish at once it is the filter or the server that is wrong, and nobody is touched.

use super::actor::{Actor, Permission};
use super::ports::{Directory, DirectoryPlace, DirectoryRecord};
use super::roster::{self, Done, Entry};
use super::{Context, Error, Kind, auditing, reconciling, users};
use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::base::time::{HOUR, Timestamp};
use crate::store::{DirectoryRow, Source, Tx};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;

/// How often people are taken over by themselves.
const SYNC_EVERY: i64 = 6 * HOUR;
/// Records written in one transaction, so that devices do not wait for it.
const BATCH: usize = 100;
/// Up to this many people may vanish at once, and beyond it up to one in [`ONE_IN`].
const MAY_VANISH: usize = 10;
const ONE_IN: usize = 5;
/// Records that could not be taken over and are told by name.
const MAX_TROUBLES: usize = 20;
/// Longest settings, bytes.
const MAX_TEXT: usize = 1_000;
const MAX_CA: usize = 64 * 1024;

/// Which attribute is what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    pub short_name: String,
    pub long_name: Option<String>,
    pub mail: Option<String>,
    pub guids: Vec<String>,
}

impl Default for Attributes {
    /// Open Directory and OpenLDAP; Active Directory wants `sAMAccountName` for the short name.
    fn default() -> Self {
        Self {
            short_name: String::from("uid"),
            long_name: Some(String::from("cn")),
            mail: Some(String::from("mail")),
            guids: ["apple-generateduid", "entryUUID", "objectGUID"].map(String::from).to_vec(),
        }
    }
}

/// A directory to be asked.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    pub url: String,
    pub base_dn: String,
    pub filter: Option<String>,
    pub bind_dn: Option<String>,
    pub bind_password: Option<Secret<String>>,
    pub ca_pem: Option<String>,
    pub attributes: Attributes,
}

/// What taking over did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// People that the directory has.
    pub found: usize,
    pub added: usize,
    pub changed: usize,
    pub unchanged: usize,
    /// Disabled, because the directory has them no more.
    pub vanished: usize,
    /// Enabled again, because it has them again.
    pub returned: usize,
    /// So many would have been disabled that nobody was.
    pub too_many_vanished: Option<usize>,
    /// Records that could not be taken over, each with the reason.
    pub troubles: Vec<String>,
}

/// # Errors
/// `Invalid` for an address that would send passwords in the clear over a network, and for texts that cannot be right.
pub fn set(cx: &Context, actor: &Actor, wish: &Wish) -> Result<DirectoryRow, Error> {
    actor.require(Permission::Administer)?;
    check_url(&wish.url)?;
    let attributes = &wish.attributes;
    let names = [Some(&attributes.short_name), attributes.long_name.as_ref(), attributes.mail.as_ref()];
    for name in names.into_iter().flatten().chain(&attributes.guids) {
        if name.is_empty()
            || name.len() > 100
            || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.;".contains(&b))
        {
            return Err(bad("attributes", "an attribute's name has letters, digits and hyphens"));
        }
    }
    if attributes.guids.is_empty() || attributes.guids.len() > 8 {
        return Err(bad("attributes", "at least one attribute must hold the ids of records, and at most 8"));
    }
    let filter = wish.filter.clone().unwrap_or_else(|| format!("({}=*)", attributes.short_name));
    for (key, text) in [("base_dn", Some(&wish.base_dn)), ("filter", Some(&filter)), ("bind_dn", wish.bind_dn.as_ref())]
    {
        if text.is_some_and(|text| text.is_empty() || text.len() > MAX_TEXT || text.chars().any(char::is_control)) {
            return Err(bad(key, "must have 1 to 1000 bytes without control characters"));
        }
    }
    if wish.ca_pem.as_ref().is_some_and(|pem| pem.len() > MAX_CA || !pem.contains("BEGIN CERTIFICATE")) {
        return Err(bad("ca_pem", "must hold certificates in PEM form"));
    }
    let sealed_password = match (&wish.bind_dn, &wish.bind_password) {
        (None, None) => None,
        (Some(_), Some(password)) if !password.expose().is_empty() => {
            Some(cx.seal(PASSWORD_PLACE, password.expose().as_bytes()))
        }
        _ => return Err(bad("bind_dn", "and its password come together or not at all")),
    };
    let row = DirectoryRow {
        url: wish.url.clone(),
        base_dn: wish.base_dn.clone(),
        filter,
        attributes: serde_json::to_string(attributes).map_err(Error::internal)?,
        bind_dn: wish.bind_dn.clone(),
        sealed_password,
        ca_pem: wish.ca_pem.clone(),
        last_sync_at: None,
        last_sync: None,
    };
    let now = cx.now();
    cx.store.write(|tx| -> Result<(), Error> {
        tx.put_directory(&row, now)?;
        let detail = json!({ "url": row.url, "base_dn": row.base_dn, "filter": row.filter, "bind_dn": row.bind_dn });
        auditing::record(tx, actor, "directory.set", None, Some(detail), now)
    })?;
    show(cx, actor)
}

/// # Errors
/// `NotFound` when none is set.
pub fn show(cx: &Context, actor: &Actor) -> Result<DirectoryRow, Error> {
    actor.require(Permission::LookAround)?;
    find(cx)
}

/// Forgets where the directory is; its people stay as they are.
///
/// # Errors
/// `NotFound` when none is set.
pub fn remove(cx: &Context, actor: &Actor) -> Result<(), Error> {
    actor.require(Permission::Administer)?;
    let now = cx.now();
    cx.store.write(|tx| {
        if !tx.delete_directory()? {
            return Err(Error::not_found(Text::NoDirectory));
        }
        auditing::record(tx, actor, "directory.remove", None, None, now)
    })
}

/// Asks the directory and changes nothing: the people it has.
///
/// # Errors
/// `NotFound` when none is set; `Busy` with the reason when it does not answer.
pub fn test(cx: &Context, actor: &Actor) -> Result<Vec<DirectoryRecord>, Error> {
    actor.require(Permission::People)?;
    read(cx)
}

/// Takes the directory's people over.
///
/// # Errors
/// As [`test`].
pub fn sync(cx: &Context, actor: &Actor) -> Result<Report, Error> {
    actor.require(Permission::People)?;
    let records = match read(cx) {
        Ok(records) => records,
        Err(error) => {
            let told = json!({ "failed": error.public.to_string() }).to_string();
            cx.store.write(|tx| tx.put_directory_sync(&told, cx.now()))?;
            return Err(error);
        }
    };
    let now = cx.now();
    let mut report = Report { found: records.len(), ..Report::default() };
    let mut present = HashSet::new();
    let mut entries: Vec<Entry> = Vec::new();
    for record in records {
        let name = record.short_name.clone();
        match entry(record) {
            Ok(entry) => entries.push(entry),
            Err(error) => trouble(&mut report, &name, &error),
        }
    }
    while !entries.is_empty() {
        let batch: Vec<Entry> = entries.drain(..entries.len().min(BATCH)).collect();
        take_over(cx, actor, batch, &mut report, &mut present, now)?;
    }
    disable_vanished(cx, &present, &mut report, now)?;
    let told = serde_json::to_string(&report).map_err(Error::internal)?;
    cx.store.write(|tx| -> Result<(), Error> {
        tx.put_directory_sync(&told, now)?;
        let mut detail = json!(report);
        // Troubles name people; the audit does not.
        detail["troubles"] = json!(report.troubles.len());
        auditing::record(tx, actor, "directory.sync", None, Some(detail), now)
    })?;
    Ok(report)
}

/// Takes people over when it is time. Says whether it was.
///
/// # Errors
/// As [`sync`]; tried again after the same while.
pub fn sync_if_due(cx: &Context) -> Result<bool, Error> {
    let found = cx.store.read(|db| db.find_directory())?;
    let due = found.is_some_and(|row| row.last_sync_at.is_none_or(|at| cx.now().since(at) >= SYNC_EVERY));
    if due && cx.clock_is_behind().is_none() {
        sync(cx, &Actor::Job("directory"))?;
    }
    Ok(due)
}

/// Whether the directory takes this password for this name.
///
/// # Errors
/// `Busy` with the reason when it does not answer.
pub(super) fn check(cx: &Context, name: &str, password: &Secret<String>) -> Result<bool, Error> {
    let place = place(cx, find(cx)?)?;
    port(cx)?.check(&place, name, password).map_err(|e| unreached(&e.0))
}

fn read(cx: &Context) -> Result<Vec<DirectoryRecord>, Error> {
    let place = place(cx, find(cx)?)?;
    port(cx)?.read(&place).map_err(|e| unreached(&e.0))
}

fn port(cx: &Context) -> Result<Arc<dyn Directory>, Error> {
    cx.directory().ok_or_else(|| Error::internal("nothing here asks directories"))
}

fn unreached(why: &str) -> Error {
    Error::new(Kind::Busy, Text::DirectoryUnreached { why: why.to_owned() })
}

const PASSWORD_PLACE: &str = "directory/1/password";

fn find(cx: &Context) -> Result<DirectoryRow, Error> {
    cx.store.read(|db| db.find_directory())?.ok_or_else(|| Error::not_found(Text::NoDirectory))
}

fn place(cx: &Context, row: DirectoryRow) -> Result<DirectoryPlace, Error> {
    let attributes: Attributes = serde_json::from_str(&row.attributes).map_err(Error::internal)?;
    let bind = match (row.bind_dn, row.sealed_password) {
        (Some(dn), Some(sealed)) => {
            let open = cx.open(PASSWORD_PLACE, &sealed)?;
            let text = String::from_utf8(open.expose().clone()).map_err(Error::internal)?;
            Some((dn, Secret::new(text)))
        }
        _ => None,
    };
    Ok(DirectoryPlace {
        url: row.url,
        base_dn: row.base_dn,
        filter: row.filter,
        bind,
        ca_pem: row.ca_pem,
        short_name: attributes.short_name,
        long_name: attributes.long_name,
        mail: attributes.mail,
        guids: attributes.guids,
    })
}

fn entry(record: DirectoryRecord) -> Result<Entry, Error> {
    users::check_short_name(&record.short_name)?;
    users::check_text("long_name", record.long_name.as_deref())?;
    users::check_text("mail", record.mail.as_deref())?;
    let kind = |attribute: &str| {
        let known = ["apple-generateduid", "entryUUID", "objectGUID"];
        known.into_iter().find(|known| known.eq_ignore_ascii_case(attribute)).unwrap_or("given")
    };
    let guids: Result<Vec<_>, Error> =
        record.guids.iter().map(|(attribute, guid)| Ok((users::normal_guid(guid)?, kind(attribute)))).collect();
    let guids = guids?;
    if guids.is_empty() {
        return Err(bad("guid", "the record has no id in the attributes that should hold one"));
    }
    Ok(Entry {
        short_name: record.short_name,
        long_name: record.long_name,
        mail: record.mail,
        guids,
        classes: None,
        teaches: None,
        password: None,
    })
}

/// One batch in one transaction; an entry that does not fit is left out and the rest tried again.
fn take_over(
    cx: &Context,
    actor: &Actor,
    mut batch: Vec<Entry>,
    report: &mut Report,
    present: &mut HashSet<i64>,
    now: Timestamp,
) -> Result<(), Error> {
    loop {
        let mut at = 0;
        let done = cx.store.write(|tx| -> Result<_, Error> {
            let mut counted = Report::default();
            let (mut people, mut touched) = (Vec::new(), Vec::new());
            for (i, entry) in batch.iter().enumerate() {
                at = i;
                let (done, person) = roster::upsert(cx, tx, actor, entry, Source::Ldap, &mut Vec::new(), now)?;
                match done {
                    Done::Added => counted.added += 1,
                    Done::Changed => counted.changed += 1,
                    Done::Unchanged => counted.unchanged += 1,
                }
                if done != Done::Unchanged {
                    touched.push(person);
                }
                people.push(welcome_back(tx, entry, &mut counted)?);
            }
            Ok((counted, people, touched))
        });
        match done {
            Ok((counted, people, touched)) => {
                reconciling::people_changed(cx, &touched)?;
                report.added += counted.added;
                report.changed += counted.changed;
                report.unchanged += counted.unchanged;
                report.returned += counted.returned;
                present.extend(people);
                return Ok(());
            }
            Err(error) if matches!(error.kind, Kind::Internal | Kind::Busy) => return Err(error),
            Err(error) => {
                let left_out = batch.remove(at);
                // Still there, whatever is wrong with the record: it must not count as vanished.
                if let Some(person) = cx.store.read(|db| db.find_person_by_guid(&left_out.guids[0].0))? {
                    present.insert(person.id);
                }
                trouble(report, &left_out.short_name, &error);
            }
        }
    }
}

/// The person's row id; somebody who had vanished is enabled again.
fn welcome_back(tx: &Tx<'_>, entry: &Entry, report: &mut Report) -> Result<i64, Error> {
    let found = tx.find_person(&entry.short_name)?;
    let person = found.ok_or_else(|| Error::internal("a person just written is not there"))?;
    if person.vanished {
        tx.put_person_disabled(person.id, None, false)?;
        report.returned += 1;
    }
    Ok(person.id)
}

fn disable_vanished(cx: &Context, present: &HashSet<i64>, report: &mut Report, now: Timestamp) -> Result<(), Error> {
    let held = cx.store.read(|db| db.list_directory_people())?;
    let gone: Vec<i64> = held.iter().map(|(id, _)| *id).filter(|id| !present.contains(id)).collect();
    if gone.len() > MAY_VANISH.max(held.len() / ONE_IN) {
        report.too_many_vanished = Some(gone.len());
        return Ok(());
    }
    cx.store.write(|tx| -> Result<(), Error> {
        for id in &gone {
            tx.put_person_disabled(*id, Some(now), true)?;
        }
        Ok(())
    })?;
    report.vanished = gone.len();
    Ok(())
}

fn trouble(report: &mut Report, name: &str, error: &Error) {
    if report.troubles.len() < MAX_TROUBLES {
        let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        report.troubles.push(format!("{name}: {}", error.public));
    }
}

/// Passwords go over TLS; without it only to this machine.
fn check_url(url: &str) -> Result<(), Error> {
    let why = "must be like ldaps://directory.hill.example; plain ldap:// sends passwords in the clear and goes to this machine only";
    let rest = url.strip_prefix("ldaps://").map(|rest| (rest, true));
    let rest = rest.or_else(|| url.strip_prefix("ldap://").map(|rest| (rest, false)));
    let Some((host, tls)) = rest else { return Err(bad("url", why)) };
    let plain = !host.is_empty()
        && host.len() <= 255
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]_".contains(&b));
    let name = if host.starts_with('[') {
        host.split(']').next().unwrap_or(host)
    } else {
        host.split(':').next().unwrap_or(host)
    };
    let local = ["localhost", "127.0.0.1", "[::1"].contains(&name);
    if plain && (tls || local) { Ok(()) } else { Err(bad("url", why)) }
}

fn bad(key: &str, why: &str) -> Error {
    Error::invalid(Text::BadArgument { key: key.to_owned(), why: why.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_never_go_in_the_clear_over_a_network() {
        for good in [
            "ldaps://d.hill.example",
            "ldaps://10.0.0.1:636",
            "ldap://localhost:389",
            "ldap://127.0.0.1",
            "ldap://[::1]:389",
        ] {
            assert!(check_url(good).is_ok(), "{good}");
        }
        for bad in [
            "ldap://d.hill.example",
            "ldap://localhost.evil.example",
            "ldapi://x",
            "http://x",
            "ldaps://",
            "ldaps://a b",
            "ldaps://a/b?c",
            "",
        ] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
    }
}
