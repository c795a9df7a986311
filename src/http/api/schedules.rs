//! `/schedules` and `/calendar`: when assigned profiles are to be there, the school's time zone and its holidays.

use super::reply::json;
use super::views::Page;
use super::{Call, Response};
use crate::service::Error;
use crate::service::schedules::{self, CalendarChange, ScheduleView, Wish};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The school's zone and the dates on which no window opens.
#[derive(Debug, Serialize, ToSchema)]
pub struct Calendar {
    /// Like `Europe/Berlin`; `null` until it is set, and then UTC.
    pub time_zone: Option<String>,
    /// `2026-12-21` or `2026-12-21..2027-01-06`.
    pub holidays: Vec<String>,
}

/// What is left out stays; `holidays` is the whole list.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CalendarWish {
    pub time_zone: Option<String>,
    pub holidays: Option<Vec<String>>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Schedule {
    pub id: String,
    pub name: String,
    /// Like `Mon-Fri 08:00-12:30`, by the clock on the school's wall.
    pub windows: Vec<String>,
    /// Whether windows open on holidays too.
    pub on_holidays: bool,
    pub open: bool,
    /// The stretch it is in, or else the next ones.
    pub next: Vec<ScheduleSpan>,
    /// How many assignments follow it, and which.
    pub used: i64,
    pub uses: Vec<ScheduleUse>,
    pub created_by: String,
    pub created_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ScheduleSpan {
    pub opens_at: String,
    pub closes_at: String,
    /// On the school's wall.
    pub local: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ScheduleUse {
    pub profile: String,
    /// Kind of the target, and its name.
    pub to: String,
}

/// A new schedule needs a name and windows; in a change, what is left out stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleWish {
    pub name: Option<String>,
    /// Like `Mon-Fri 08:00-12:30`, `Mon,Wed 22:00-06:00`, `daily 00:00-24:00`.
    pub windows: Option<Vec<String>>,
    pub on_holidays: Option<bool>,
}

impl ScheduleWish {
    fn into_wish(self) -> Wish {
        Wish { name: self.name, windows: self.windows, on_holidays: self.on_holidays }
    }
}

fn shown(view: ScheduleView) -> Schedule {
    let ScheduleView { row, open, next, uses } = view;
    let next = next.into_iter().map(|((opens, closes), local)| ScheduleSpan {
        opens_at: opens.to_string(),
        closes_at: closes.to_string(),
        local,
    });
    Schedule {
        id: row.public_id,
        name: row.name,
        windows: row.windows,
        on_holidays: row.on_holidays,
        open,
        next: next.collect(),
        used: row.used,
        uses: uses.into_iter().map(|(profile, to)| ScheduleUse { profile, to }).collect(),
        created_by: row.created_by,
        created_at: row.created_at.to_string(),
    }
}

pub fn list(call: &Call<'_>) -> Result<Response, Error> {
    let items = schedules::list(call.cx, &call.actor)?.into_iter().map(shown).collect();
    Ok(json(200, &Page { items, next_cursor: None }))
}

pub fn create(call: &Call<'_>) -> Result<Response, Error> {
    let body: ScheduleWish = call.body()?;
    Ok(json(201, &shown(schedules::add(call.cx, &call.actor, &body.into_wish())?)))
}

pub fn show(call: &Call<'_>, name: &str) -> Result<Response, Error> {
    Ok(json(200, &shown(schedules::show(call.cx, &call.actor, name)?)))
}

pub fn change(call: &Call<'_>, name: &str) -> Result<Response, Error> {
    let body: ScheduleWish = call.body()?;
    Ok(json(200, &shown(schedules::change(call.cx, &call.actor, name, &body.into_wish())?)))
}

pub fn remove(call: &Call<'_>, name: &str) -> Result<Response, Error> {
    schedules::remove(call.cx, &call.actor, name)?;
    Ok(Response::empty(204))
}

pub fn calendar(call: &Call<'_>) -> Result<Response, Error> {
    let schedules::Calendar { time_zone, holidays } = schedules::calendar(call.cx, &call.actor)?;
    Ok(json(200, &Calendar { time_zone, holidays }))
}

pub fn set_calendar(call: &Call<'_>) -> Result<Response, Error> {
    let CalendarWish { time_zone, holidays } = call.body()?;
    let set = schedules::set_calendar(call.cx, &call.actor, &CalendarChange { time_zone, holidays })?;
    Ok(json(200, &Calendar { time_zone: set.time_zone, holidays: set.holidays }))
}
