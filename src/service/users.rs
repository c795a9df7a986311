//! The school's people: who uses devices. Kept by hand, from CSV ([`super::roster`]) or from a directory; their passwords are checked
//! for the enrolment pages and answer a Mac's digest. Admins, who run Cordon, are [`super::people`].
//!
//! The audit never names a person, only the id: when a person is erased, that id is a pseudonym of nobody.

use super::actor::{Actor, Permission};
use super::{Context, Error, accounts, auditing, directories, guesses, passwords, reconciling};
use crate::base::ids::short_code;
use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::base::time::Timestamp;
use crate::protocol::digest;
use crate::store::{Db, GuidRow, PersonFacts, PersonRow, Source, Tx};
use serde_json::json;
use std::net::IpAddr;

/// Longest names and addresses, bytes.
const MAX_TEXT: usize = 255;
/// Longest password, bytes. How good one is, the school's directory decides: it must be the one that people log in to Macs with.
const MAX_PASSWORD: usize = 512;
/// GUIDs of one person; each proven login of an unknown record adds one.
pub(super) const MAX_GUIDS: usize = 32;
/// Setting: the realm of digest secrets, minted once, for a secret is worthless in any other.
const REALM: &str = "digest_realm";

/// A person to be, or what is known of one. `None` leaves what is there.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    pub long_name: Option<String>,
    pub mail: Option<String>,
    /// Ids of the person's records in directories; added to those known.
    pub guids: Vec<String>,
    pub password: Option<Secret<String>>,
    pub disabled: Option<bool>,
}

/// A person with the ids of their records.
#[derive(Debug, Clone)]
pub struct PersonView {
    pub row: PersonRow,
    pub guids: Vec<GuidRow>,
}

/// What somebody gives to sign in on a page.
pub struct SignIn<'a> {
    pub name: &'a str,
    pub password: &'a Secret<String>,
    /// Where from, if that is one person's address and not a proxy's.
    pub address: Option<IpAddr>,
}

/// # Errors
/// `Invalid` for a bad name; `Conflict` when the name or a GUID is somebody's.
pub fn add(cx: &Context, actor: &Actor, short_name: &str, wish: &Wish) -> Result<PersonView, Error> {
    actor.require(Permission::People)?;
    check_short_name(short_name)?;
    check_wish(wish)?;
    let ready = wish.password.as_ref().map(|password| Ready::new(cx, password)).transpose()?;
    let (id, now) = (mint(cx), cx.now());
    cx.store.write(|tx| -> Result<(), Error> {
        if tx.find_person(short_name)?.is_some() {
            return Err(Error::conflict(Text::PersonExists { name: short_name.to_owned() }));
        }
        let facts = PersonFacts {
            short_name,
            long_name: wish.long_name.as_deref(),
            mail: wish.mail.as_deref(),
            source: Source::Local,
        };
        let row = tx.insert_person(&id, &facts, &actor.name(), now)?;
        put_guids(tx, row, &wish.guids, "given", now)?;
        if wish.disabled == Some(true) {
            tx.put_person_disabled(row, Some(now), false)?;
        }
        if let Some(ready) = &ready {
            ready.put(cx, tx, row, short_name, now)?;
        }
        let detail = json!({ "source": "local", "password": ready.is_some() });
        auditing::record(tx, actor, "user.add", Some(&id), Some(detail), now)
    })?;
    let made = show(cx, actor, &id)?;
    reconciling::people_changed(cx, &[made.row.id])?;
    Ok(made)
}

/// People after `after` in order of arrival; `search` matches the beginning of a name or of the mail address.
pub fn list(
    cx: &Context,
    actor: &Actor,
    after: i64,
    search: Option<&str>,
    limit: usize,
) -> Result<Vec<PersonView>, Error> {
    actor.require(Permission::LookAround)?;
    cx.store.read(|db| {
        let rows = db.list_persons(after, search, limit)?;
        rows.into_iter().map(|row| view(db, row)).collect()
    })
}

/// By short name or Cordon's id.
///
/// # Errors
/// `NotFound`.
pub fn show(cx: &Context, actor: &Actor, name: &str) -> Result<PersonView, Error> {
    actor.require(Permission::LookAround)?;
    let row = find(cx, name)?;
    cx.store.read(|db| view(db, row))
}

/// Changes what is said; a new password makes a new digest secret.
///
/// # Errors
/// `NotFound`; `Conflict` when a GUID is somebody else's.
pub fn change(cx: &Context, actor: &Actor, name: &str, wish: &Wish) -> Result<PersonView, Error> {
    actor.require(Permission::People)?;
    check_wish(wish)?;
    let row = find(cx, name)?;
    let ready = wish.password.as_ref().map(|password| Ready::new(cx, password)).transpose()?;
    let now = cx.now();
    cx.store.write(|tx| -> Result<(), Error> {
        let note = |verb: &str| auditing::record(tx, actor, verb, Some(&row.public_id), None, now);
        if wish.long_name.is_some() || wish.mail.is_some() {
            let text = |new: &Option<String>, old: &Option<String>| new.clone().or_else(|| old.clone());
            let (long_name, mail) = (text(&wish.long_name, &row.long_name), text(&wish.mail, &row.mail));
            let facts = PersonFacts {
                short_name: &row.short_name,
                long_name: long_name.as_deref().filter(|t| !t.is_empty()),
                mail: mail.as_deref().filter(|t| !t.is_empty()),
                source: row.source,
            };
            tx.update_person(row.id, &facts)?;
            note("user.change")?;
        }
        if !wish.guids.is_empty() {
            put_guids(tx, row.id, &wish.guids, "given", now)?;
            note("user.guid")?;
        }
        if let Some(disabled) = wish.disabled.filter(|disabled| *disabled != row.disabled_at.is_some()) {
            tx.put_person_disabled(row.id, disabled.then_some(now), false)?;
            note(if disabled { "user.disable" } else { "user.enable" })?;
        }
        if let Some(ready) = &ready {
            ready.put(cx, tx, row.id, &row.short_name, now)?;
            note("user.password")?;
        }
        Ok(())
    })?;
    reconciling::people_changed(cx, &[row.id])?;
    show(cx, actor, &row.public_id)
}

/// Takes everything about a person out, names on devices' channels included. The audit keeps the id, which is nobody's from then on.
///
/// # Errors
/// `NotFound`.
pub fn erase(cx: &Context, actor: &Actor, name: &str) -> Result<(), Error> {
    actor.require(Permission::People)?;
    let row = find(cx, name)?;
    let now = cx.now();
    let channels = cx.store.read(|db| db.list_channels_of_persons(&[row.id]))?;
    cx.store.write(|tx| {
        let guids: Vec<String> = tx.list_guids(row.id)?.into_iter().map(|g| g.guid).collect();
        tx.forget_name(&guids, &row.short_name)?;
        tx.delete_assignments_called(&guids.iter().cloned().chain([row.short_name.clone()]).collect::<Vec<_>>())?;
        tx.revoke_invitations_of(row.id, now)?;
        accounts::erase_of(tx, row.id, now)?;
        tx.delete_person(row.id)?;
        auditing::record(tx, actor, "user.erase", Some(&row.public_id), None, now)
    })?;
    reconciling::reconcile_all(cx, &channels).map(drop)
}

/// Whether this is the person's password, for the enrolment pages: as [`sign_in`], without an address.
///
/// # Errors
/// As [`sign_in`].
pub fn check_password(cx: &Context, name: &str, password: &Secret<String>) -> Result<PersonRow, Error> {
    sign_in(cx, &SignIn { name, password, address: None })
}

/// A person proves to be who they say.
///
/// # Errors
/// `Denied` with `LoginFailed` for a wrong name or password and for somebody disabled, without saying which; `Busy` with
/// `TooManyTries`, or when a directory that has to be asked does not answer.
pub fn sign_in(cx: &Context, attempt: &SignIn<'_>) -> Result<PersonRow, Error> {
    let mut keys = guesses::keys_of("person", attempt.name, None);
    keys.push(guesses::key_at_door(attempt.address));
    cx.guesses.refuse_blocked(&keys, cx.now())?;
    let found = cx.store.read(|db| db.find_person(attempt.name))?.filter(|person| person.disabled_at.is_none());
    let kept = found.as_ref().and_then(|person| person.password.as_ref());
    let by_directory = found.as_ref().filter(|person| person.source == Source::Ldap);
    let right = cx.guesses.checked(|| match by_directory {
        Some(person) => directories::check(cx, &person.short_name, attempt.password),
        None => passwords::verify(cx, kept, attempt.password),
    })?;
    match found.filter(|_| right) {
        Some(person) => {
            cx.guesses.forget(&keys[0]);
            if person.source == Source::Ldap {
                renew_digest(cx, &person, attempt.password)?;
            }
            Ok(person)
        }
        None => {
            cx.guesses.count_wrong(&keys, cx.now());
            Err(Error::denied(Text::LoginFailed))
        }
    }
}

/// A directory gives no passwords away: what answers a Mac is made when the person signs in, and anew after a new password.
fn renew_digest(cx: &Context, person: &PersonRow, password: &Secret<String>) -> Result<(), Error> {
    let now = cx.now();
    cx.store.write(|tx| {
        let wanted = find_realm(tx)?.map(|realm| digest::ha1(&person.short_name, &realm, password.expose()));
        if wanted.is_some() && find_ha1(cx, tx, person.id)? == wanted {
            return Ok(());
        }
        put_digest(cx, tx, person.id, &person.short_name, password, now)?;
        auditing::record(tx, &Actor::Job("sign-in"), "user.digest", Some(&person.public_id), None, now)
    })
}

/// By short name or Cordon's id.
///
/// # Errors
/// `NotFound`.
pub(super) fn find(cx: &Context, name: &str) -> Result<PersonRow, Error> {
    let found = cx.store.read(|db| db.find_person_by_any(name))?;
    found.ok_or_else(|| Error::not_found(Text::NoSuchPerson { name: name.chars().take(MAX_TEXT).collect() }))
}

/// By any name: short name, Cordon's id, a record's id, mail address; `None` for somebody who is not of the school.
///
/// # Errors
/// `Invalid` when several people have that address.
pub(super) fn find_by_any_name(cx: &Context, name: &str) -> Result<Option<PersonRow>, Error> {
    let mut found = cx.store.read(|db| db.list_persons_called(name))?;
    if found.len() > 1 {
        return Err(bad("user", String::from("means several people; say one by the short name")));
    }
    Ok(found.pop())
}

fn view(db: &Db<'_>, row: PersonRow) -> Result<PersonView, Error> {
    Ok(PersonView { guids: db.list_guids(row.id)?, row })
}

pub(super) fn mint(cx: &Context) -> String {
    format!("u-{}", short_code(&cx.random_bytes::<10>()))
}

/// A password as it will be kept: hashed outside the transaction, because that is slow.
pub(super) struct Ready {
    hash: crate::store::PasswordHash,
    clear: Secret<String>,
}

impl Ready {
    /// # Errors
    /// `Invalid` for an empty or endless one.
    pub(super) fn new(cx: &Context, password: &Secret<String>) -> Result<Ready, Error> {
        let text = password.expose();
        if text.is_empty() || text.len() > MAX_PASSWORD || text.chars().any(char::is_control) {
            return Err(bad("password", format!("must have 1 to {MAX_PASSWORD} bytes without control characters")));
        }
        Ok(Ready { hash: passwords::hash(cx, text)?, clear: password.clone() })
    }

    pub(super) fn put(
        &self,
        cx: &Context,
        tx: &Tx<'_>,
        person: i64,
        short_name: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        tx.put_person_password(person, &self.hash, now)?;
        put_digest(cx, tx, person, short_name, &self.clear, now)
    }
}

/// Keeps what answers a challenge, sealed; the password itself is kept nowhere.
pub(super) fn put_digest(
    cx: &Context,
    tx: &Tx<'_>,
    person: i64,
    short_name: &str,
    password: &Secret<String>,
    now: Timestamp,
) -> Result<(), Error> {
    let realm = match find_realm(tx)? {
        Some(realm) => realm,
        None => {
            let realm = format!("cordon-{}", short_code(&cx.random_bytes::<8>()));
            tx.put_setting(REALM, &json!(realm))?;
            realm
        }
    };
    let ha1 = digest::ha1(short_name, &realm, password.expose());
    let sealed = cx.seal(&digest_place(person, &realm), ha1.expose().as_bytes());
    Ok(tx.put_digest(person, &realm, &sealed, now)?)
}

/// The realm of every digest secret; `None` until the first is made.
pub(super) fn find_realm(db: &Db<'_>) -> Result<Option<String>, Error> {
    Ok(db.find_text_setting(REALM)?)
}

/// The digest secret of a person, open.
pub(super) fn find_ha1(cx: &Context, db: &Db<'_>, person: i64) -> Result<Option<Secret<String>>, Error> {
    let Some(realm) = find_realm(db)? else { return Ok(None) };
    let Some(sealed) = db.find_digest(person, &realm)? else { return Ok(None) };
    let open = cx.open(&digest_place(person, &realm), &sealed)?;
    let text = String::from_utf8(open.expose().clone()).map_err(Error::internal)?;
    Ok(Some(Secret::new(text)))
}

fn digest_place(person: i64, realm: &str) -> String {
    format!("person/{person}/digest/{realm}")
}

/// Adds ids of records.
///
/// # Errors
/// `Conflict` when one is somebody else's.
pub(super) fn put_guids(tx: &Tx<'_>, person: i64, guids: &[String], kind: &str, now: Timestamp) -> Result<(), Error> {
    for guid in guids {
        let guid = normal_guid(guid)?;
        if !tx.put_guid(person, &guid, kind, now)? {
            return Err(Error::conflict(Text::GuidTaken { guid }));
        }
    }
    if tx.list_guids(person)?.len() > MAX_GUIDS {
        return Err(bad("guid", format!("a person has at most {MAX_GUIDS}")));
    }
    Ok(())
}

/// Capitals, as Macs write them; directories differ.
///
/// # Errors
/// `Invalid`.
pub(super) fn normal_guid(text: &str) -> Result<String, Error> {
    let guid = text.trim().trim_matches(['{', '}']).to_ascii_uppercase();
    let good = (1..=64).contains(&guid.len()) && guid.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    if good && guid != crate::protocol::sender::ALL_F {
        Ok(guid)
    } else {
        Err(bad(
            "guid",
            String::from("is no id of a directory's record; it looks like 6F1C2D3E-0A1B-4C2D-8E3F-112233445566"),
        ))
    }
}

/// Names stand in digests, where a colon ends them, and on command lines.
///
/// # Errors
/// `Invalid`.
pub(super) fn check_short_name(name: &str) -> Result<(), Error> {
    let good = !name.is_empty()
        && name.len() <= MAX_TEXT
        && name.trim() == name
        && !name.chars().any(|c| c.is_control() || matches!(c, ':' | '/' | '"' | '\\'));
    if good {
        return Ok(());
    }
    Err(bad("short_name", format!("must have 1 to {MAX_TEXT} bytes, without : / \" \\ and without spaces around it")))
}

/// # Errors
/// `Invalid` for a text that no list should have to show.
pub(super) fn check_text(key: &'static str, text: Option<&str>) -> Result<(), Error> {
    match text {
        Some(text) if text.len() > MAX_TEXT || text.chars().any(char::is_control) => {
            Err(bad(key, format!("must have at most {MAX_TEXT} bytes without control characters")))
        }
        _ => Ok(()),
    }
}

fn check_wish(wish: &Wish) -> Result<(), Error> {
    check_text("long_name", wish.long_name.as_deref())?;
    check_text("mail", wish.mail.as_deref())
}

fn bad(key: &str, why: String) -> Error {
    Error::invalid(Text::BadArgument { key: key.to_owned(), why })
}
