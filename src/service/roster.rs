//! Many people at once: from CSV, and from a directory's records. Both bring entries that are added, changed or left as they are
//! ([`upsert`]); nothing is written while a line is wrong.

use super::actor::{Actor, Permission};
use super::users::{self, Ready};
use super::{Context, Error, auditing, groups, reconciling};
use crate::base::csv;
use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::base::time::Timestamp;
use crate::store::{PersonFacts, Source, StoreError, Tx};
use serde_json::json;

/// Classes of one person; a file with more has its columns shifted.
const MAX_CLASSES: usize = 32;
/// Wrong lines that are told; nobody mends more at a time.
const MAX_TOLD: usize = 100;
/// Headings, each with the other words that are understood.
const HEADINGS: [(&str, &[&str]); 7] = [
    ("short_name", &["username", "user_name", "login", "account"]),
    ("long_name", &["name", "full_name", "display_name"]),
    ("mail", &["email", "e-mail", "mail_address"]),
    ("guid", &["generateduid", "apple-generateduid", "entryuuid", "objectguid"]),
    ("classes", &["class", "groups"]),
    ("teaches", &["teacher_of", "teaches_classes"]),
    ("password", &[]),
];

/// One person as a list has them. `None` leaves what is there.
pub(super) struct Entry {
    pub short_name: String,
    pub long_name: Option<String>,
    pub mail: Option<String>,
    /// With the attribute each comes from.
    pub guids: Vec<(String, &'static str)>,
    /// The classes this person is a pupil of: all of them, as far as lists say so.
    pub classes: Option<Vec<String>>,
    pub teaches: Option<Vec<String>>,
    pub password: Option<Ready>,
}

/// What an entry did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Added,
    Changed,
    Unchanged,
}

/// What became of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// It is written. Not so for a trial, or when a line is wrong.
    pub applied: bool,
    pub added: usize,
    pub changed: usize,
    pub unchanged: usize,
    pub classes_added: Vec<String>,
    pub wrong: Vec<WrongLine>,
    /// Headings that mean nothing here; their columns were left out.
    pub ignored: Vec<String>,
}

/// A line that cannot be taken, in plain words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongLine {
    pub line: usize,
    pub why: String,
}

/// Ends a transaction without keeping it.
enum Undone {
    Report(Report),
    Fault(Error),
}

impl From<StoreError> for Undone {
    fn from(error: StoreError) -> Self {
        Undone::Fault(error.into())
    }
}

impl From<Error> for Undone {
    fn from(error: Error) -> Self {
        Undone::Fault(error)
    }
}

/// Takes a CSV file in. `trial` only says what would happen.
///
/// # Errors
/// `Invalid` for what is no list of people at all; a wrong line is in the report.
pub fn import(cx: &Context, actor: &Actor, text: &str, trial: bool) -> Result<Report, Error> {
    actor.require(Permission::People)?;
    let bad = |why: String| Error::invalid(Text::BadArgument { key: String::from("csv"), why });
    let records = csv::parse(text).map_err(|e| bad(e.to_string()))?;
    let mut report = Report::default();
    let Some((heading, lines)) = records.split_first() else { return Err(bad(String::from("holds nothing"))) };
    let columns: Vec<Option<&'static str>> = heading.fields.iter().map(|word| find_heading(word)).collect();
    report.ignored = heading.fields.iter().zip(&columns).filter(|(_, c)| c.is_none()).map(|(w, _)| w.clone()).collect();
    if !columns.contains(&Some("short_name")) {
        return Err(bad(format!("has no column short_name; its first line says {}", heading.fields.join(", "))));
    }
    for (i, column) in columns.iter().enumerate() {
        if column.is_some() && columns[..i].contains(column) {
            return Err(bad(format!("has two columns for {}", column.unwrap_or_default())));
        }
    }
    let mut entries = Vec::new();
    for record in lines {
        match entry(cx, &columns, &record.fields, trial) {
            Ok(entry) => entries.push((record.line, entry)),
            Err(error) => wrong(&mut report, record.line, error)?,
        }
    }
    let now = cx.now();
    let mut touched = Vec::new();
    let finished = cx.store.write(|tx| -> Result<Report, Undone> {
        for (line, entry) in &entries {
            match upsert(cx, tx, actor, entry, Source::Csv, &mut report.classes_added, now) {
                Ok((Done::Added, person)) => {
                    report.added += 1;
                    touched.push(person);
                }
                Ok((Done::Changed, person)) => {
                    report.changed += 1;
                    touched.push(person);
                }
                Ok((Done::Unchanged, _)) => report.unchanged += 1,
                Err(error) => wrong(&mut report, *line, error)?,
            }
        }
        report.wrong.sort_by_key(|wrong| wrong.line);
        if trial || !report.wrong.is_empty() {
            return Err(Undone::Report(report.clone()));
        }
        report.applied = true;
        let detail = json!({ "added": report.added, "changed": report.changed, "unchanged": report.unchanged,
                             "classes_added": report.classes_added });
        auditing::record(tx, actor, "user.import", None, Some(detail), now)?;
        Ok(report.clone())
    });
    if finished.is_ok() {
        reconciling::people_changed(cx, &touched)?;
    }
    match finished {
        Ok(report) | Err(Undone::Report(report)) => Ok(report),
        Err(Undone::Fault(error)) => Err(error),
    }
}

/// Faults of ours end the import; what the line did is told.
fn wrong(report: &mut Report, line: usize, error: Error) -> Result<(), Error> {
    if matches!(error.kind, super::Kind::Internal | super::Kind::Busy) {
        return Err(error);
    }
    if report.wrong.len() < MAX_TOLD {
        report.wrong.push(WrongLine { line, why: error.public.to_string() });
    }
    Ok(())
}

fn find_heading(word: &str) -> Option<&'static str> {
    let word = word.trim().to_lowercase().replace([' ', '-'], "_");
    let same = |other: &&str| other.replace('-', "_") == word;
    HEADINGS.iter().find(|(name, others)| *name == word || others.iter().any(&same)).map(|(name, _)| *name)
}

fn entry(cx: &Context, columns: &[Option<&'static str>], fields: &[String], trial: bool) -> Result<Entry, Error> {
    let bad = |key: &str, why: String| Error::invalid(Text::BadArgument { key: key.to_owned(), why });
    if fields.len() > columns.len() && fields[columns.len()..].iter().any(|f| !f.trim().is_empty()) {
        return Err(bad("line", format!("has {} fields, and the first line has {}", fields.len(), columns.len())));
    }
    let find = |name: &str| {
        let at = columns.iter().position(|column| *column == Some(name))?;
        Some(fields.get(at).map_or("", |field| field.trim()))
    };
    let text = |name: &'static str| -> Result<Option<String>, Error> {
        let found = find(name).filter(|text| !text.is_empty());
        users::check_text(name, found)?;
        Ok(found.map(str::to_owned))
    };
    let short_name = find("short_name").unwrap_or_default().to_owned();
    users::check_short_name(&short_name)?;
    let guids = match text("guid")? {
        Some(guid) => vec![(users::normal_guid(&guid)?, "given")],
        None => Vec::new(),
    };
    // A password is not trimmed: a space may be part of it.
    let at = columns.iter().position(|column| *column == Some("password"));
    let password = at.and_then(|at| fields.get(at)).filter(|text| !text.is_empty());
    let password = match password {
        Some(_) if trial => None,
        Some(text) => Some(Ready::new(cx, &Secret::new(text.clone()))?),
        None => None,
    };
    Ok(Entry {
        short_name,
        long_name: text("long_name")?,
        mail: text("mail")?,
        guids,
        classes: find("classes").map(class_names).transpose()?,
        teaches: find("teaches").map(class_names).transpose()?,
        password,
    })
}

/// Names with a semicolon, a comma or a bar between them.
fn class_names(text: &str) -> Result<Vec<String>, Error> {
    let names: Vec<String> =
        text.split([';', ',', '|']).map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if names.len() > MAX_CLASSES {
        let why = format!("names more than {MAX_CLASSES} classes");
        return Err(Error::invalid(Text::BadArgument { key: String::from("classes"), why }));
    }
    names.iter().try_for_each(|name| groups::check_name(name))?;
    Ok(names)
}

/// Adds the person or brings them up to date, found by a GUID, else by the short name. Says which row that is.
///
/// # Errors
/// `Conflict` when name and GUID belong to two people, or a class is no class.
pub(super) fn upsert(
    cx: &Context,
    tx: &Tx<'_>,
    actor: &Actor,
    entry: &Entry,
    source: Source,
    classes_added: &mut Vec<String>,
    now: Timestamp,
) -> Result<(Done, i64), Error> {
    let mut by_guid = None;
    for (guid, _) in &entry.guids {
        by_guid = by_guid.or(tx.find_person_by_guid(guid)?);
    }
    let by_name = tx.find_person(&entry.short_name)?;
    if let (Some(one), Some(other)) = (&by_guid, &by_name)
        && one.id != other.id
    {
        return Err(Error::conflict(Text::NameAndGuidDiffer { name: entry.short_name.clone() }));
    }
    let found = by_guid.or(by_name);
    let keep = |new: &Option<String>, old: Option<&String>| new.clone().or_else(|| old.cloned());
    let long_name = keep(&entry.long_name, found.as_ref().and_then(|f| f.long_name.as_ref()));
    let mail = keep(&entry.mail, found.as_ref().and_then(|f| f.mail.as_ref()));
    let facts =
        PersonFacts { short_name: &entry.short_name, long_name: long_name.as_deref(), mail: mail.as_deref(), source };
    let mut changed = false;
    let (row, added) = match &found {
        None => (tx.insert_person(&users::mint(cx), &facts, &actor.name(), now)?, true),
        Some(held) => {
            let same = held.short_name == entry.short_name && held.long_name == long_name && held.mail == mail;
            // Who is kept by a directory stays so when a list names them as well.
            let source = if held.source == Source::Ldap { Source::Ldap } else { source };
            if !same || held.source != source {
                tx.update_person(held.id, &PersonFacts { source, ..facts })?;
                changed = true;
            }
            if held.short_name != entry.short_name {
                // The name is part of the secret; the next sign-in makes a new one.
                tx.forget_digests(held.id)?;
            }
            (held.id, false)
        }
    };
    for (guid, kind) in &entry.guids {
        changed |= tx.find_person_by_guid(guid)?.is_none();
        users::put_guids(tx, row, std::slice::from_ref(guid), kind, now)?;
    }
    if let Some(password) = &entry.password {
        password.put(cx, tx, row, &entry.short_name, now)?;
        changed = true;
    }
    for (part, names) in [("member", &entry.classes), ("teacher", &entry.teaches)] {
        if let Some(names) = names {
            changed |= groups::put_classes(cx, tx, actor, row, part, names, source, classes_added, now)?;
        }
    }
    let done = match (added, changed) {
        (true, _) => Done::Added,
        (false, true) => Done::Changed,
        (false, false) => Done::Unchanged,
    };
    Ok((done, row))
}
