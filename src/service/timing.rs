//! When a command may go out and when it is given up: said by the clock on the school's wall, and refused where nobody could ever get it.
//! Called by `commands`, `bulk` and the console.

use super::actor::{Actor, Permission};
use super::{Context, Error, schedules};
use crate::base::texts::Planning;
use crate::base::time::Timestamp;
use crate::protocol::schedule::{self, TimeZone};

/// From when until when; `None` is at once, and for as long as it takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timing {
    pub not_before: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
}

impl Timing {
    /// # Errors
    /// `Invalid` for an end that is past, or is not after the beginning.
    pub fn check(&self, now: Timestamp) -> Result<(), Error> {
        let Some(end) = self.expires_at else { return Ok(()) };
        if end <= now {
            return Err(Error::invalid(Planning::EndIsPast { end: end.to_string() }.into()));
        }
        match self.not_before.filter(|start| end <= *start) {
            None => Ok(()),
            Some(start) => {
                let (start, end) = (start.to_string(), end.to_string());
                Err(Error::invalid(Planning::EndBeforeStart { start, end }.into()))
            }
        }
    }
}

/// The clock on the school's wall.
#[derive(Debug, Clone)]
pub struct Wall {
    /// The zone by its name; `None` until somebody said so: UTC.
    pub name: Option<String>,
    zone: TimeZone,
}

/// Which clock the school goes by.
///
/// # Errors
/// `Denied`.
pub fn wall(cx: &Context, actor: &Actor) -> Result<Wall, Error> {
    actor.require(Permission::Look)?;
    let (name, zone) = cx.store.read(schedules::find_zone)?;
    Ok(Wall { name, zone })
}

impl Wall {
    /// What was typed into `field`, such as `2026-11-23T08:00`; nothing is `None`.
    ///
    /// # Errors
    /// `Invalid`, naming the field.
    pub fn read(&self, field: &'static str, said: &str) -> Result<Option<Timestamp>, Error> {
        if said.trim().is_empty() {
            return Ok(None);
        }
        let wrong = || {
            let said = said.chars().take(60).collect();
            Error::invalid(Planning::NotATime { field, said }.into())
        };
        schedule::from_the_wall(said, &self.zone).map(Some).ok_or_else(wrong)
    }

    /// `2026-11-23 08:00`.
    pub fn show(&self, at: Timestamp) -> String {
        schedule::on_the_wall(at, &self.zone)
    }
}
