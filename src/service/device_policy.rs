//! What the school decided about devices that come and go: strangers, those that come back after they left, expired identities, and
//! when identities are renewed. Read where it is needed; called by the API.

use super::actor::{Actor, Permission};
use super::{Context, Error, auditing, identity};
use crate::base::texts::Text;
use crate::store::Db;
use serde_json::{Value, json};

/// Setting: `true` answers 401 to devices that nobody here knows.
const UNENROLL_STRANGERS: &str = "devices.unenroll_strangers";
/// Setting: `true` takes every device back that left and shows its old identity again.
const TAKE_BACK: &str = "devices.take_back";
/// Setting: percent of its life that an identity has left when it is renewed.
const RENEW_AT: &str = "renewal.at_percent";
/// Setting: over how many days renewals that come due together are spread, at most.
const SPREAD_DAYS: &str = "renewal.spread_days";

/// The policy in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    pub unenroll_strangers: bool,
    pub take_back: bool,
    /// 0: never.
    pub expired_days: i64,
    /// 5 to 90.
    pub renew_at_percent: i64,
    /// 0 to 60.
    pub renew_spread_days: i64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            unenroll_strangers: false,
            take_back: false,
            expired_days: identity::DEFAULT_EXPIRED_DAYS,
            renew_at_percent: 33,
            renew_spread_days: 14,
        }
    }
}

/// Changes; `None` leaves what is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change {
    pub unenroll_strangers: Option<bool>,
    pub take_back: Option<bool>,
    pub expired_days: Option<i64>,
    pub renew_at_percent: Option<i64>,
    pub renew_spread_days: Option<i64>,
}

/// The policy, for the work itself.
pub(super) fn find(db: &Db<'_>) -> Result<Policy, Error> {
    let flag = |name: &str| -> Result<bool, Error> { Ok(db.find_setting(name)? == Some(Value::Bool(true))) };
    let number = |name: &str, default: i64| -> Result<i64, Error> {
        Ok(db.find_setting(name)?.and_then(|value| value.as_i64()).unwrap_or(default))
    };
    let default = Policy::default();
    Ok(Policy {
        unenroll_strangers: flag(UNENROLL_STRANGERS)?,
        take_back: flag(TAKE_BACK)?,
        expired_days: identity::expired_days(db)?,
        renew_at_percent: number(RENEW_AT, default.renew_at_percent)?.clamp(5, 90),
        renew_spread_days: number(SPREAD_DAYS, default.renew_spread_days)?.clamp(0, 60),
    })
}

/// The policy, for people.
///
/// # Errors
/// `Denied`.
pub fn show(cx: &Context, actor: &Actor) -> Result<Policy, Error> {
    actor.require(Permission::LookAround)?;
    cx.store.read(find)
}

/// Changes the policy.
///
/// # Errors
/// `Denied` for anybody but the owner; `Invalid` for numbers out of range.
pub fn change(cx: &Context, actor: &Actor, change: &Change) -> Result<Policy, Error> {
    actor.require(Permission::Administer)?;
    within("expired_days", change.expired_days, 0, 365)?;
    within("renew_at_percent", change.renew_at_percent, 5, 90)?;
    within("renew_spread_days", change.renew_spread_days, 0, 60)?;
    let settings = [
        (UNENROLL_STRANGERS, change.unenroll_strangers.map(Value::from)),
        (TAKE_BACK, change.take_back.map(Value::from)),
        (identity::EXPIRED_DAYS, change.expired_days.map(Value::from)),
        (RENEW_AT, change.renew_at_percent.map(Value::from)),
        (SPREAD_DAYS, change.renew_spread_days.map(Value::from)),
    ];
    let now = cx.now();
    cx.store.write(|tx| {
        for (name, value) in settings {
            let Some(value) = value else { continue };
            if tx.find_setting(name)?.as_ref() != Some(&value) {
                tx.put_setting(name, &value)?;
                auditing::record(tx, actor, "setting.set", Some(name), Some(json!({ "value": value })), now)?;
            }
        }
        find(tx)
    })
}

fn within(key: &str, value: Option<i64>, least: i64, most: i64) -> Result<(), Error> {
    match value {
        Some(value) if !(least..=most).contains(&value) => Err(Error::invalid(Text::BadArgument {
            key: key.to_owned(),
            why: format!("must be a number from {least} to {most}"),
        })),
        _ => Ok(()),
    }
}
