//! What the school decided about its users' logins: how long one may be held up, and who is managed on a Shared iPad.
//!
//! Called by the API; `series` and `checkin` read it where it matters.

use super::actor::{Actor, Permission};
use super::series::{LOGIN_SECONDS, login_seconds};
use super::{Context, Error, auditing};
use crate::base::texts::Text;
use crate::store::Db;
use serde_json::json;

/// Setting: who is managed on a Shared iPad.
const SHARED_IPAD: &str = "shared_ipad.users";
/// Shorter than one exchange of a slow Mac helps nobody; longer than five minutes looks like a broken Mac.
const SECONDS: std::ops::RangeInclusive<i64> = 1..=300;

/// Who is managed on a Shared iPad. The others use it all the same; their channel stays silent until their next login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharedIpadUsers {
    Everyone,
    /// People whom the school knows by this account name.
    Known,
}

impl SharedIpadUsers {
    pub fn as_str(self) -> &'static str {
        match self {
            SharedIpadUsers::Everyone => "everyone",
            SharedIpadUsers::Known => "known",
        }
    }

    pub fn find(text: &str) -> Option<Self> {
        [SharedIpadUsers::Everyone, SharedIpadUsers::Known].into_iter().find(|one| one.as_str() == text)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginPolicy {
    pub login_seconds: i64,
    pub shared_ipad_users: SharedIpadUsers,
}

pub fn show(cx: &Context, actor: &Actor) -> Result<LoginPolicy, Error> {
    actor.require(Permission::LookAround)?;
    cx.store.read(|db| Ok(LoginPolicy { login_seconds: login_seconds(db)?, shared_ipad_users: shared_ipad_users(db)? }))
}

/// Sets what is given, leaves the rest.
///
/// # Errors
/// `Invalid` for a time nobody would wait.
pub fn set(
    cx: &Context,
    actor: &Actor,
    seconds: Option<i64>,
    shared: Option<SharedIpadUsers>,
) -> Result<LoginPolicy, Error> {
    actor.require(Permission::Enroll)?;
    if let Some(seconds) = seconds
        && !SECONDS.contains(&seconds)
    {
        let why = format!("must be from {} to {} seconds", SECONDS.start(), SECONDS.end());
        return Err(Error::invalid(Text::BadArgument { key: String::from("login_seconds"), why }));
    }
    let now = cx.now();
    cx.store.write(|tx| -> Result<(), Error> {
        let new = [(LOGIN_SECONDS, seconds.map(|s| json!(s))), (SHARED_IPAD, shared.map(|s| json!(s.as_str())))];
        for (name, value) in new {
            let Some(value) = value else { continue };
            if tx.find_setting(name)?.as_ref() != Some(&value) {
                tx.put_setting(name, &value)?;
                auditing::record(tx, actor, "setting.set", Some(name), Some(json!({ "value": value })), now)?;
            }
        }
        Ok(())
    })?;
    show(cx, actor)
}

pub(super) fn shared_ipad_users(db: &Db<'_>) -> Result<SharedIpadUsers, Error> {
    let found = db.find_text_setting(SHARED_IPAD)?.as_deref().and_then(SharedIpadUsers::find);
    Ok(found.unwrap_or(SharedIpadUsers::Everyone))
}
