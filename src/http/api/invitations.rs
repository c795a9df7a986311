//! `/invitations`, `/enrollment-door`: who may enrol by the page, on paper and in settings.

use super::reply::json;
use super::views::Page;
use super::{Call, Response};
use crate::base::texts::Text;
use crate::http::look::sheet::{Ticket, sheet};
use crate::service::doorway::{self, Door, DoorWay};
use crate::service::inviting::{self, MAX_AT_ONCE, Made, View, Whom, Wish};
use crate::service::{Error, school};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InvitationWish {
    /// Whose device it is for; with `count`, the beginning of every name.
    pub r#for: Option<String>,
    /// One invitation for each of these, instead of `for`.
    pub names: Option<Vec<String>>,
    /// One for each of these people of the school (short names or ids), instead of `for`: the device is theirs.
    pub people: Option<Vec<String>>,
    /// One for each pupil of `class`, instead of `for`.
    pub pupils: bool,
    /// So many invitations, numbered.
    pub count: Option<usize>,
    /// Where this is a class of the school, the devices become its own. A teacher has to name one of theirs.
    pub class: Option<String>,
    /// `ota` or `profile`; left out: what the school's setting says when it is used.
    pub way: Option<String>,
    /// Devices that one invitation enrols; 1 by default.
    pub uses: Option<i64>,
    /// Like 12h, 30d, 2w; 30 days by default.
    pub expires_in: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct InvitedDevice {
    pub id: String,
    pub serial: Option<String>,
    pub at: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Invitation {
    pub id: String,
    /// `open`, `used`, `expired` or `revoked`.
    pub state: &'static str,
    pub r#for: String,
    /// Id of the person of the school that it is for.
    pub person: Option<String>,
    pub class: Option<String>,
    pub way: Option<String>,
    pub uses: i64,
    pub used: i64,
    pub expires_at: String,
    pub created_at: Option<String>,
    pub created_by: Option<String>,
    /// Devices that enrolled with it.
    pub devices: Vec<InvitedDevice>,
    /// Only in the answer that made it: it is nowhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The page with the code filled in, as for a QR code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

fn wish(body: InvitationWish) -> Result<Wish, Error> {
    let bad = |key: &str, why: String| Error::invalid(Text::BadArgument { key: key.to_owned(), why });
    let one = body.r#for.or_else(|| body.class.clone());
    let lists = usize::from(body.names.is_some()) + usize::from(body.people.is_some()) + usize::from(body.pupils);
    if lists > 1 || (lists == 1 && body.count.is_some()) {
        return Err(bad(
            "for",
            String::from("say one of `for` (with `count` or without), `names`, `people` and `pupils`"),
        ));
    }
    let whom = match (body.names, body.people, body.count, one) {
        _ if body.pupils => Whom::Pupils,
        (Some(names), ..) => Whom::Names(names),
        (_, Some(people), ..) => Whom::People(people),
        (_, _, None | Some(1), Some(one)) => Whom::Names(vec![one]),
        (_, _, Some(n), Some(one)) if n <= MAX_AT_ONCE => Whom::Names((1..=n).map(|n| format!("{one} {n}")).collect()),
        (_, _, Some(_), Some(_)) => return Err(bad("count", format!("is at most {MAX_AT_ONCE}"))),
        (_, _, _, None) => return Err(bad("for", String::from("say whose device it is for"))),
    };
    Ok(Wish {
        whom,
        class: body.class,
        way: body.way.as_deref().map(DoorWay::parse).transpose()?,
        uses: body.uses.unwrap_or(1),
        life: inviting::life(body.expires_in.as_deref())?,
    })
}

pub fn make(call: &Call<'_>) -> Result<Response, Error> {
    let wish = wish(call.body()?)?;
    let way = wish.way.map(|way| way.as_str().to_owned());
    let made = inviting::make(call.cx, &call.actor, &wish)?;
    let items = made.into_iter().map(|one| fresh(call, one, way.clone())).collect();
    Ok(json(201, &Page { items, next_cursor: None }))
}

fn fresh(call: &Call<'_>, made: Made, way: Option<String>) -> Invitation {
    Invitation {
        url: Some(made.url(call.cx).expose().clone()),
        code: Some(made.code.expose().clone()),
        id: made.id,
        state: "open",
        r#for: made.recipient,
        person: made.person,
        class: made.class,
        way,
        uses: made.uses,
        used: 0,
        expires_at: made.expires_at.to_string(),
        created_at: None,
        created_by: None,
        devices: Vec::new(),
    }
}

/// The same as a document to print.
pub fn print(call: &Call<'_>) -> Result<Response, Error> {
    let wish = wish(call.body()?)?;
    let made = inviting::make(call.cx, &call.actor, &wish)?;
    let tickets = made.into_iter().map(|one| Ticket {
        url: one.url(call.cx).expose().clone(),
        recipient: one.recipient,
        class: one.class,
        code: one.code.expose().clone(),
        uses: one.uses,
        until: one.expires_at.to_string().chars().take(10).collect(),
    });
    let page = format!("{}/enroll", call.cx.urls().people);
    let html = sheet(&school::organization(call.cx)?, &page, tickets.collect()).map_err(Error::internal)?;
    Ok(Response::new(201, "text/html; charset=utf-8", html)
        .with_header("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'")
        .with_header("content-disposition", "attachment; filename=\"invitations.html\""))
}

pub fn list(call: &Call<'_>) -> Result<Response, Error> {
    let limit = call.limit()?;
    let class = call.query("class");
    let rows = inviting::list(call.cx, &call.actor, class.as_deref(), call.cursor()?, limit)?;
    let next_cursor = (rows.len() == limit).then(|| rows.last().map(|last| last.row.id.to_string())).flatten();
    Ok(json(200, &Page { items: rows.into_iter().map(view).collect(), next_cursor }))
}

fn view(view: View) -> Invitation {
    let row = view.row;
    let devices = view.devices.into_iter();
    Invitation {
        id: row.public_id,
        state: view.standing.as_str(),
        r#for: row.recipient,
        person: row.person_id,
        class: row.class,
        way: row.way,
        uses: row.uses,
        used: row.used,
        expires_at: row.expires_at.to_string(),
        created_at: Some(row.created_at.to_string()),
        created_by: Some(row.created_by),
        devices: devices.map(|d| InvitedDevice { id: d.device, serial: d.serial, at: d.at.to_string() }).collect(),
        code: None,
        url: None,
    }
}

pub fn revoke(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    inviting::revoke(call.cx, &call.actor, id)?;
    Ok(Response::empty(204))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct EnrollmentDoor {
    /// The enrolment page.
    pub page: String,
    /// `automatic`, `ota` or `profile`, as it was set.
    pub way: &'static str,
    /// What the page does now: `ota` or `profile`.
    pub way_now: &'static str,
    /// Why, in plain words.
    pub why: &'static str,
    /// Devices of Automated Device Enrolment: `open`, `known` (serial numbers that are here already) or `closed`.
    pub automated: &'static str,
}

fn door(call: &Call<'_>, door: Door) -> EnrollmentDoor {
    EnrollmentDoor {
        page: format!("{}/enroll", call.cx.urls().people),
        way: door.way.set.map_or("automatic", DoorWay::as_str),
        way_now: door.way.way.as_str(),
        why: door.way.why,
        automated: door.automated.as_str(),
    }
}

pub fn show_door(call: &Call<'_>) -> Result<Response, Error> {
    let shown = doorway::show(call.cx, &call.actor)?;
    Ok(json(200, &door(call, shown)))
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DoorChange {
    /// `automatic`, `ota` or `profile`.
    pub way: Option<String>,
    /// `open`, `known` or `closed`.
    pub automated: Option<String>,
}

pub fn change_door(call: &Call<'_>) -> Result<Response, Error> {
    let body: DoorChange = call.body()?;
    let changed = doorway::change(call.cx, &call.actor, body.way.as_deref(), body.automated.as_deref())?;
    Ok(json(200, &door(call, changed)))
}
