//! Asks devices by itself, on a cadence, what they are and what stands on them: the answers fill smart groups, bring back profiles that
//! were taken off, and are what people look at. Run by a job; how often is the school's policy.

use super::actor::{Actor, Permission};
use super::{Context, Error, auditing, channels, commands, custody, network_users, provisioning_devices};
use crate::base::texts::Text;
use crate::base::time::{HOUR, Timestamp};
use crate::plist::Dictionary;
use crate::protocol::lifecycle::State;
use crate::store::{Db, EnrollmentRow, Tx};
use serde_json::json;

/// Setting: hours between two rounds of questions; 0 asks nobody.
const EVERY_HOURS: &str = "inventory.every_hours";
const DEFAULT_HOURS: i64 = 24;
/// Setting: hours between two rounds that ask for the long lists too; 0 never asks for them.
const LISTS_EVERY_HOURS: &str = "inventory.lists_every_hours";
const DEFAULT_LISTS_HOURS: i64 = 7 * 24;
/// A month: who wants it more seldom, wants it never.
const MAX_HOURS: i64 = 720;
/// Channels asked in one go, so that a school is asked over an hour and not at once.
const AT_ONCE: usize = 50;
/// What a device is asked, with the right that its enrolment needs for an answer.
const QUESTIONS: [(&str, u32); 3] = [(custody::WHAT_IT_IS, 16), ("SecurityInfo", 1024), (PROFILES, 1)];
/// What is long and changes seldom, asked for in the same round as the others: one call wakes the device for all.
const LISTS: [(&str, u32); 2] = [("InstalledApplicationList", 256), ("CertificateList", 1)];
const PROFILES: &str = "ProfileList";

/// How often devices are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Hours between two rounds; 0 asks nobody.
    pub every_hours: i64,
    /// Hours between two rounds that ask for apps and certificates too; 0 never asks for them.
    pub lists_every_hours: i64,
}

/// # Errors
/// `Denied`.
pub fn show(cx: &Context, actor: &Actor) -> Result<Policy, Error> {
    actor.require(Permission::LookAround)?;
    cx.store.read(find)
}

/// Sets what is given; 0 asks nobody.
///
/// # Errors
/// `Invalid` for more than a month.
pub fn set(cx: &Context, actor: &Actor, every: Option<i64>, lists_every: Option<i64>) -> Result<Policy, Error> {
    actor.require(Permission::Enroll)?;
    let said = [("every_hours", EVERY_HOURS, every), ("lists_every_hours", LISTS_EVERY_HOURS, lists_every)];
    for (key, _, hours) in said {
        if hours.is_some_and(|hours| !(0..=MAX_HOURS).contains(&hours)) {
            let why = format!("must be from 0 to {MAX_HOURS}");
            return Err(Error::invalid(Text::BadArgument { key: key.to_owned(), why }));
        }
    }
    let now = cx.now();
    cx.store.write(|tx| -> Result<(), Error> {
        for (_, setting, hours) in said {
            if let Some(hours) = hours {
                tx.put_setting(setting, &json!(hours))?;
            }
        }
        let detail = json!({ "every_hours": every, "lists_every_hours": lists_every });
        auditing::record(tx, actor, "inventory.policy", None, Some(detail), now)
    })?;
    show(cx, actor)
}

fn find(db: &Db<'_>) -> Result<Policy, Error> {
    let hours = |name: &str, usual: i64| -> Result<i64, Error> {
        Ok(db.find_setting(name)?.and_then(|value| value.as_i64()).unwrap_or(usual))
    };
    let every_hours = hours(EVERY_HOURS, DEFAULT_HOURS)?;
    Ok(Policy { every_hours, lists_every_hours: hours(LISTS_EVERY_HOURS, DEFAULT_LISTS_HOURS)? })
}

/// Asks those whose turn it is. Returns how many questions that were.
///
/// # Errors
/// Faults of the store; a channel that cannot be asked is passed over until its next turn.
pub fn run(cx: &Context) -> Result<usize, Error> {
    let now = cx.now();
    let Policy { every_hours: hours, lists_every_hours: lists } = cx.store.read(find)?;
    if hours == 0 || !cx.asks_at_enrollment {
        return Ok(0);
    }
    let channels = cx.store.read(|db| db.list_channels_to_ask(now.plus(-hours * HOUR), AT_ONCE))?;
    let mut asked = 0;
    for id in channels {
        asked += cx.store.write(|tx| -> Result<usize, Error> {
            let before = tx.find_lists_asked(id)?;
            let whole = lists > 0 && before.is_none_or(|at| now.since(at) >= lists * HOUR);
            tx.put_inventory_round(id, whole, now)?;
            match tx.find_enrollment_by_row(id)? {
                Some(channel) if channel.state == State::Active => ask(cx, tx, &channel, whole, now),
                _ => Ok(0),
            }
        })?;
    }
    if asked > 0 {
        cx.ring_pusher();
        cx.ring_teller();
    }
    Ok(asked)
}

fn ask(cx: &Context, tx: &Tx<'_>, channel: &EnrollmentRow, whole: bool, now: Timestamp) -> Result<usize, Error> {
    let Some(device) = tx.find_device(channel.device)? else { return Ok(0) };
    if !network_users::is_served(tx, channel)? {
        return Ok(0);
    }
    let own = channel.parent.map(|parent| tx.find_enrollment_by_row(parent)).transpose()?.flatten();
    let issued = own.as_ref().unwrap_or(channel).issued_profile;
    let rights =
        issued.map(|id| tx.find_issued_profile(id)).transpose()?.flatten().map_or(0, |issued| issued.access_rights);
    let waiting = tx.list_waiting_of_device(device.id)?;
    let mut asked = 0;
    // Who has none of ours is not asked for them.
    let provisioned = channel.parent.is_none() && !tx.list_device_provisioning(channel.id)?.is_empty();
    let further = provisioned.then_some((provisioning_devices::LIST, provisioning_devices::TO_LOOK));
    let lists: &[(&str, u32)] = if whole { &LISTS } else { &[] };
    for (question, right) in QUESTIONS.iter().chain(lists).copied().chain(further) {
        // A user is asked for profiles only; a question that still waits is not asked twice.
        let is_for = channel.parent.is_none() || question == PROFILES;
        let waits = waiting.iter().any(|w| w.enrollment == channel.id && w.request_type == question);
        if !is_for || waits || rights & right == 0 || !channels::is_taken(&device, channel, question) {
            continue;
        }
        let keys = if question == custody::WHAT_IT_IS { custody::what_it_is() } else { Dictionary::new() };
        let ready = commands::ready(cx, None, question, keys)?;
        let told = commands::Told {
            priority: Some(custody::AFTER_THE_OTHERS),
            // A question that is older than the next round is of no use.
            expires_at: Some(now.plus(7 * 24 * HOUR)),
            ..commands::Told::default()
        };
        match commands::enqueue(cx, tx, &Actor::Job("inventory"), &device, channel, &ready, &told, now) {
            Ok(()) => asked += 1,
            Err(full) if full.kind == super::Kind::Conflict => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(asked)
}
