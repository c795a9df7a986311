//! A person of the school changes the password of an account of their own: they prove to be who they are by name and school password, see
//! their accounts, and exactly the one that they name is replaced on their devices. Called by the page `/accounts`.

use super::accounts::{self, AccountView};
use super::actor::Actor;
use super::arriving::visiting;
use super::users::{self, SignIn};
use super::{Context, Error, auditing};
use crate::base::secret::Secret;
use crate::base::texts::Accounts as Said;
use crate::base::time::{MINUTE, Timestamp};
use crate::store::{AccountRow, Credential, PersonRow};
use serde_json::{Value, json};
use std::net::IpAddr;

/// How long the page may stand open between logging in and the last change.
pub const OPEN_FOR: i64 = 10 * MINUTE;
/// What the pass is sealed for: no place in the database has this name.
const PLACE: &str = "pass/own-accounts";

/// Logs a person in. What comes back is their pass for the next ten minutes, for the form alone: nothing of it is kept here.
///
/// # Errors
/// As [`users::sign_in`].
pub fn enter(cx: &Context, name: &str, password: &str, address: Option<IpAddr>) -> Result<Secret<String>, Error> {
    let person = users::sign_in(cx, &SignIn { name, password: &Secret::new(password.to_owned()), address })?;
    let now = cx.now();
    cx.store.write(|tx| {
        auditing::record(tx, &actor(&person, address), "account.enter", Some(&person.public_id), None, now)
    })?;
    let pass = json!({ "person": person.public_id, "until": now.plus(OPEN_FOR).0 }).to_string();
    Ok(Secret::new(hex::encode(cx.seal(PLACE, pass.as_bytes()))))
}

fn actor(person: &PersonRow, address: Option<IpAddr>) -> Actor {
    visiting(&format!("person:{}", person.public_id), address)
}

/// Whose pass it is.
fn holder(cx: &Context, pass: &str) -> Result<PersonRow, Error> {
    let over = || Error::denied(Said::OwnPageOver.into());
    let sealed = hex::decode(pass).map_err(|_| over())?;
    let opened = cx.open(PLACE, &sealed).map_err(|_| over())?;
    let said: Value = serde_json::from_slice(opened.expose()).map_err(|_| over())?;
    let until = said["until"].as_i64().map(Timestamp).ok_or_else(over)?;
    let person = said["person"].as_str().ok_or_else(over)?;
    if until < cx.now() {
        return Err(over());
    }
    let found = cx.store.read(|db| db.find_person_by_any(person))?;
    found.filter(|found| found.public_id == person && found.disabled_at.is_none()).ok_or_else(over)
}

/// The person's accounts whose password they can change here.
///
/// # Errors
/// `Denied` for a pass that is over.
pub fn list(cx: &Context, pass: &str) -> Result<(PersonRow, Vec<AccountView>), Error> {
    let person = holder(cx, pass)?;
    let all = accounts::of_person(cx, person.id)?;
    Ok((person, all.into_iter().filter(|one| is_changeable(&one.row)).collect()))
}

fn is_changeable(row: &AccountRow) -> bool {
    row.credential != Credential::Certificate
}

/// A new password for one of the person's own accounts.
///
/// # Errors
/// `Denied` for a pass that is over; `NotFound` for an account of somebody else; as [`accounts::set_password`].
pub fn change(
    cx: &Context,
    pass: &str,
    account: &str,
    password: Secret<String>,
    address: Option<IpAddr>,
) -> Result<AccountView, Error> {
    let (person, own) = list(cx, pass)?;
    if !own.iter().any(|one| one.row.public_id == account) {
        return Err(Error::not_found(Said::NoSuchAccount { account: account.chars().take(64).collect() }.into()));
    }
    accounts::put_password(cx, &actor(&person, address), account, password, "asked for by the person")
}
