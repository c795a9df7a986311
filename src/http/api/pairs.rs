//! `/pairs`: a restriction, and the capability that a device gets for it; how far each device is.

use super::profiles::{Assignment, AssignmentWish, NewPayload, assignment, bad, whom};
use super::reply::json;
use super::views::Page;
use super::{Call, Response};
use crate::protocol::gate::{Answer, OnLapse};
use crate::service::Error;
use crate::service::pair_states::{self, GateView};
use crate::service::pairs::{self, Change, Half, PairView, Wish};
use crate::store::{PairLine, ProfileRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One half of a pair: a profile, or payloads that become one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PairHalf {
    /// Id or PayloadIdentifier of a profile of the library.
    pub profile: Option<String>,
    /// With a profile: only its payloads of these types. They become a profile of their own.
    #[serde(default)]
    pub only: Vec<String>,
    /// Instead of a profile.
    #[serde(default)]
    pub payloads: Vec<NewPayload>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPair {
    pub name: String,
    /// `gated`: the locked restriction first, the capability when the device complies. `together`: both in one profile.
    #[schema(example = "gated")]
    pub mode: String,
    pub restriction: PairHalf,
    pub capability: PairHalf,
    /// What a device has to say: `passcode` (by default), `installed`, or a fact such as `SecurityInfo.FDE_Enabled=true`.
    pub until: Option<String>,
    /// What becomes of the capability when a device complies no more: `withdraw` (by default), `after-grace` or `keep`.
    pub on_lapse: Option<String>,
}

/// What is to change; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PairChange {
    pub name: Option<String>,
    pub until: Option<String>,
    pub on_lapse: Option<String>,
}

/// A profile in a pair.
#[derive(Debug, Serialize, ToSchema)]
pub struct PairPart {
    pub id: String,
    pub identifier: String,
    pub name: String,
    pub version: i64,
    /// It is in the library no more.
    pub removed: bool,
}

/// How many channels are in a phase.
#[derive(Debug, Serialize, ToSchema)]
pub struct PhaseCount {
    pub phase: String,
    pub channels: i64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Pair {
    pub id: String,
    pub name: String,
    /// `gated` or `together`.
    pub mode: &'static str,
    pub restriction: PairPart,
    pub capability: PairPart,
    /// The one profile made of both, for `together`.
    pub combined: Option<PairPart>,
    pub until: String,
    pub on_lapse: &'static str,
    pub assignments: Vec<Assignment>,
    pub phases: Vec<PhaseCount>,
    pub created_by: String,
    pub created_at: String,
    /// What is worth knowing, in words; only in answers to a change.
    pub notes: Vec<String>,
}

/// How far a device, or one of its users, is with a pair.
#[derive(Debug, Serialize, ToSchema)]
pub struct PairState {
    /// Cordon's id.
    pub device: String,
    pub device_name: String,
    /// `null` for the device itself.
    pub user: Option<String>,
    /// `waiting` for the restriction, `grace`, `unmet`, `open` or `lapsed`.
    pub phase: &'static str,
    pub since: Option<String>,
    /// When the device's time is over.
    pub until: Option<String>,
    pub asked_at: Option<String>,
    /// `complies`, `fails`, `silent` (it does not tell this) or `refused`.
    pub answer: Option<&'static str>,
    pub answered_at: Option<String>,
    /// When it is asked, or looked at, again.
    pub next_at: Option<String>,
    /// Whether they stand there, as far as the device said.
    pub restriction: bool,
    pub capability: bool,
    pub words: String,
}

/// A line of the story of a pair.
#[derive(Debug, Serialize, ToSchema)]
pub struct PairEvent {
    pub at: String,
    /// Cordon's id.
    pub device: String,
    pub kind: String,
    pub words: String,
}

fn half(wish: PairHalf, key: &str) -> Result<Half, Error> {
    match wish {
        PairHalf { profile: Some(profile), only, payloads } if payloads.is_empty() => {
            Ok(Half::Profile { profile, only })
        }
        PairHalf { profile: None, only, payloads } if only.is_empty() && !payloads.is_empty() => {
            Ok(Half::Payloads(payloads.into_iter().map(|payload| (payload.kind, payload.keys)).collect()))
        }
        _ => Err(bad(key, "names a profile, or else payloads")),
    }
}

fn on_lapse(text: Option<&str>) -> Result<Option<OnLapse>, Error> {
    let wrong = || bad("on_lapse", "is one of withdraw, after-grace and keep");
    text.map(|text| OnLapse::parse(text).ok_or_else(wrong)).transpose()
}

pub fn list(call: &Call<'_>) -> Result<Response, Error> {
    let items = pairs::list(call.cx, &call.actor)?.into_iter().map(pair).collect();
    Ok(json(200, &Page { items, next_cursor: None }))
}

pub fn create(call: &Call<'_>) -> Result<Response, Error> {
    let body: NewPair = call.body()?;
    let together = match body.mode.as_str() {
        "together" => true,
        "gated" => false,
        _ => return Err(bad("mode", "is `gated` or `together`")),
    };
    let wish = Wish {
        name: body.name,
        together,
        restriction: half(body.restriction, "restriction")?,
        capability: half(body.capability, "capability")?,
        until: body.until,
        on_lapse: on_lapse(body.on_lapse.as_deref())?,
    };
    Ok(json(201, &pair(pairs::create(call.cx, &call.actor, &wish)?)))
}

pub fn show(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    Ok(json(200, &pair(pairs::show(call.cx, &call.actor, id)?)))
}

pub fn change(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let PairChange { name, until, on_lapse: lapse } = call.body()?;
    let change = Change { name, until, on_lapse: on_lapse(lapse.as_deref())? };
    Ok(json(200, &pair(pairs::change(call.cx, &call.actor, id, &change)?)))
}

pub fn remove(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    pairs::remove(call.cx, &call.actor, id)?;
    Ok(Response::empty(204))
}

pub fn assign(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let wish: AssignmentWish = call.body()?;
    let during = wish.during.clone();
    Ok(json(200, &pair(pairs::assign(call.cx, &call.actor, id, &whom(wish)?, during.as_deref())?)))
}

pub fn unassign(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let wish: AssignmentWish = call.body()?;
    Ok(json(200, &pair(pairs::unassign(call.cx, &call.actor, id, &whom(wish)?)?)))
}

pub fn devices(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let found = pair_states::states(call.cx, &call.actor, id, call.query("device").as_deref())?;
    Ok(json(200, &Page { items: found.into_iter().map(state).collect(), next_cursor: None }))
}

pub fn timeline(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let device = call.query("device");
    let found = pair_states::story(call.cx, &call.actor, id, device.as_deref(), call.limit()?)?;
    Ok(json(200, &Page { items: found.into_iter().map(event).collect(), next_cursor: None }))
}

fn part(row: ProfileRow) -> PairPart {
    PairPart {
        id: row.public_id,
        identifier: row.identifier,
        name: row.name,
        version: row.version,
        removed: row.removed_at.is_some(),
    }
}

fn pair(view: PairView) -> Pair {
    let mode = pairs::mode(&view.row);
    Pair {
        id: view.row.public_id,
        name: view.row.name,
        mode,
        restriction: part(view.restriction),
        capability: part(view.capability),
        combined: view.combined.map(part),
        until: view.row.condition,
        on_lapse: view.row.on_lapse.as_str(),
        assignments: view.assignments.into_iter().map(assignment).collect(),
        phases: view.phases.into_iter().map(|(phase, channels)| PhaseCount { phase, channels }).collect(),
        created_by: view.row.created_by,
        created_at: view.row.created_at.to_string(),
        notes: view.notes,
    }
}

fn state(view: GateView) -> PairState {
    let answer = view.answer.map(|(answer, _)| match answer {
        Answer::Complies => "complies",
        Answer::Fails => "fails",
        Answer::Silent => "silent",
        Answer::Refused => "refused",
    });
    PairState {
        device: view.device,
        device_name: view.device_name,
        user: view.user,
        phase: view.phase.as_str(),
        since: view.since.map(|at| at.to_string()),
        until: view.until.map(|at| at.to_string()),
        asked_at: view.asked_at.map(|at| at.to_string()),
        answer,
        answered_at: view.answer.map(|(_, at)| at.to_string()),
        next_at: view.next_at.map(|at| at.to_string()),
        restriction: view.restriction,
        capability: view.capability,
        words: view.words,
    }
}

pub(super) fn event(found: PairLine) -> PairEvent {
    let words = pair_states::words(&found.line);
    PairEvent { at: found.line.at.to_string(), device: found.device, kind: found.line.kind, words }
}
