//! People at the enrolment page: let in by an invitation's code or by their password, given one profile for one device.
//!
//! One code is one device, but a device that fails on the way is no reason for a new sheet of paper: as long as nothing was enrolled
//! with it, a code or a login gives another profile, and what was given before is worth nothing from then on.

use super::actor::Actor;
use super::doorway::{self, DoorWay};
use super::enrolling::{self, Prepared, Way};
use super::inviting::{self, Standing};
use super::users::{self, SignIn};
use super::{Context, Error, auditing, guesses, school};
use crate::base::ids::{short_code, upper_uuid};
use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::base::time::{HOUR, Timestamp};
use crate::pki::digest::sha256;
use crate::protocol::profile::{ProfileService, profile_service};
use crate::store::{ArrivalRow, Db, InvitationRow, NewArrival, Tx};
use serde_json::json;
use std::net::IpAddr;

/// How long somebody who was let in may take to install the profile.
pub const ARRIVAL_LIFE: i64 = HOUR;

/// Somebody who was let in.
#[derive(Debug)]
pub struct Entered {
    /// For their cookie; only its hash is kept.
    pub token: Secret<String>,
    pub way: DoorWay,
    pub visitor: String,
}

/// A file for a device.
#[derive(Debug)]
pub struct Given {
    pub file_name: &'static str,
    /// Holds a permission: for one device, not for the log.
    pub bytes: Secret<Vec<u8>>,
}

/// Lets in who shows a code. `address`: where from, if that is one person's address and not a proxy's.
///
/// # Errors
/// `Denied` with `InvitationWrong`, `InvitationExpired`, `InvitationUsed` or `InvitationRevoked`; `Busy` with `TooManyTries`.
pub fn enter_with_code(cx: &Context, code: &str, address: Option<IpAddr>) -> Result<Entered, Error> {
    let now = cx.now();
    let hash = inviting::hash(code);
    // Every guess is another code, so what is slowed down is where they come from.
    let keys = [guesses::key_at_door(address)];
    cx.guesses.refuse_blocked(&keys, now)?;
    let Some(invitation) = cx.store.read(|db| db.find_invitation_by_hash(&hash))? else {
        cx.guesses.count_wrong(&keys, now);
        return Err(Error::denied(Text::InvitationWrong));
    };
    if !cx.store.read(|db| is_wanted(db, &invitation))? {
        return Err(Error::denied(Text::InvitationRevoked));
    }
    let token = new_token(cx);
    let way = match invitation.way.as_deref().map(DoorWay::parse) {
        Some(Ok(way)) => way,
        _ => doorway::way(cx)?.way,
    };
    let visitor = format!("invitation:{}", invitation.public_id);
    let actor = visiting(&visitor, address);
    cx.store.write(|tx| -> Result<(), Error> {
        // Read again inside the transaction: somebody else may be using the same code at this moment.
        let Some(invitation) = tx.find_invitation_by_row(invitation.id)? else {
            return Err(Error::denied(Text::InvitationWrong));
        };
        if Standing::of(&invitation, now) == Standing::Used {
            give_back_unused(tx, &invitation, now)?;
        }
        require_open(tx, invitation.id, now)?;
        let new = NewArrival {
            way: way.as_str(),
            token_hash: Some(&sha256(token.expose().as_bytes())),
            invitation: Some(invitation.id),
            person: invitation.person,
            visitor: &visitor,
            expires_at: now.plus(ARRIVAL_LIFE),
        };
        tx.insert_arrival(&new, now)?;
        let whom = invitation.person_id.as_deref().unwrap_or(&invitation.recipient);
        let detail = json!({ "for": whom, "way": way.as_str() });
        auditing::record(tx, &actor, "enrollment.enter", Some(&invitation.public_id), Some(detail), now)
    })?;
    Ok(Entered { token, way, visitor })
}

/// An invitation of somebody who may not log in any more is worth nothing. One whose person was erased names nobody, and is revoked.
fn is_wanted(db: &Db<'_>, invitation: &InvitationRow) -> Result<bool, Error> {
    match invitation.person {
        Some(person) => Ok(db.find_person_by_row(person)?.is_some_and(|person| person.disabled_at.is_none())),
        None => Ok(true),
    }
}

/// A device has enrolled with a profile that was given for an invitation to a class: it is one of that class from now on, for its
/// teachers too.
pub(super) fn enrolled(tx: &Tx<'_>, device: i64, issued_profile: i64, now: Timestamp) -> Result<(), Error> {
    let Some(device_row) = tx.find_device(device)? else { return Ok(()) };
    if let Some(class) = tx.find_invited_group(issued_profile)? {
        tx.put_group_device(class.id, device, now)?;
        tx.tell(device, None, None, "joined-class", Some(&json!({ "class": class.name }).to_string()), now)?;
        let (actor, detail) = (Actor::Job("enrolment"), json!({ "device": device_row.public_id }));
        auditing::record(tx, &actor, "group.member-add", Some(&class.public_id), Some(detail), now)?;
    }
    Ok(())
}

/// Lets in a person of the school by name and password.
///
/// # Errors
/// `Denied` with `LoginFailed`; `Busy` with `TooManyTries`.
pub fn enter_with_password(
    cx: &Context,
    name: &str,
    password: &str,
    address: Option<IpAddr>,
) -> Result<Entered, Error> {
    let person = users::sign_in(cx, &SignIn { name, password: &Secret::new(password.to_owned()), address })?;
    let token = new_token(cx);
    let way = doorway::way(cx)?.way;
    // The id and not the name: a person can be erased, this row stays.
    let visitor = format!("person:{}", person.public_id);
    let actor = visiting(&visitor, address);
    let now = cx.now();
    cx.store.write(|tx| -> Result<(), Error> {
        let new = NewArrival {
            way: way.as_str(),
            token_hash: Some(&sha256(token.expose().as_bytes())),
            invitation: None,
            person: Some(person.id),
            visitor: &visitor,
            expires_at: now.plus(ARRIVAL_LIFE),
        };
        tx.insert_arrival(&new, now)?;
        let detail = json!({ "way": way.as_str() });
        auditing::record(tx, &actor, "enrollment.enter", Some(&person.public_id), Some(detail), now)
    })?;
    Ok(Entered { token, way, visitor })
}

/// The only device of a used invitation may have failed on the way, or its person may have closed the page: what nothing was enrolled
/// with is taken back. Of an invitation for many devices only what is over: the others are still busy.
fn give_back_unused(tx: &Tx<'_>, invitation: &InvitationRow, now: Timestamp) -> Result<(), Error> {
    for arrival in tx.list_uses(invitation.id)? {
        if let Some(issued) = arrival.issued_profile
            && (invitation.uses == 1 || arrival.expires_at <= now)
            && tx.find_enrolled_by_profile(issued)?.is_none()
        {
            tx.withdraw_profile(issued, now)?;
            tx.close_arrival(arrival.id, now)?;
        }
    }
    Ok(())
}

/// # Errors
/// `Denied`, saying why the invitation is no good.
fn require_open(db: &Db<'_>, invitation: i64, now: Timestamp) -> Result<(), Error> {
    let Some(row) = db.find_invitation_by_row(invitation)? else { return Err(Error::denied(Text::InvitationWrong)) };
    match Standing::of(&row, now) {
        Standing::Open => Ok(()),
        Standing::Used => Err(Error::denied(Text::InvitationUsed)),
        Standing::Expired => Err(Error::denied(Text::InvitationExpired { at: row.expires_at.to_string() })),
        Standing::Revoked => Err(Error::denied(Text::InvitationRevoked)),
    }
}

/// Who a cookie stands for, and still may.
///
/// # Errors
/// `Denied` with `ArrivalOver`.
pub fn find(cx: &Context, token: &str) -> Result<ArrivalRow, Error> {
    let found = cx.store.read(|db| db.find_arrival_by_token(&sha256(token.as_bytes())))?;
    found.filter(|arrival| is_open(arrival, cx.now())).ok_or_else(|| Error::denied(Text::ArrivalOver))
}

pub(super) fn is_open(arrival: &ArrivalRow, now: Timestamp) -> bool {
    arrival.closed_at.is_none() && arrival.expires_at > now
}

/// The file that somebody who was let in gets: the enrolment profile itself, or the first of over-the-air delivery.
///
/// # Errors
/// `Denied` with `ArrivalOver` or `InvitationUsed`; else as [`enrolling::issue`].
pub fn give(cx: &Context, token: &str) -> Result<Given, Error> {
    let arrival = find(cx, token)?;
    if arrival.way == DoorWay::OverTheAir.as_str() {
        return begin_over_the_air(cx, &arrival);
    }
    let actor = visiting(&arrival.visitor, None);
    let wish = enrolling::Wish {
        name: Some(arrival.visitor.clone()),
        way: Way::Page,
        person: arrival.person,
        ..enrolling::Wish::default()
    };
    let prepared = enrolling::prepare(cx, &actor, &wish)?;
    hand_over(cx, &actor, arrival.id, &prepared)?;
    Ok(Given { file_name: "enroll.mobileconfig", bytes: prepared.bytes })
}

/// Records a profile as the one that this arrival was given: in one transaction the invitation is found good, what was given before is
/// withdrawn, and the new one is in force.
///
/// # Errors
/// `Denied` with `InvitationUsed` and the like, or when a device was enrolled with what was given before.
pub(super) fn hand_over(cx: &Context, actor: &Actor, arrival: i64, prepared: &Prepared) -> Result<(), Error> {
    let now = cx.now();
    cx.store.write(|tx| {
        let Some(arrival) = tx.find_arrival(arrival)?.filter(|arrival| arrival.closed_at.is_none()) else {
            return Err(Error::denied(Text::ArrivalOver));
        };
        match arrival.issued_profile {
            Some(issued) if tx.find_enrolled_by_profile(issued)?.is_some() => {
                return Err(Error::denied(Text::InvitationUsed));
            }
            Some(issued) => tx.withdraw_profile(issued, now)?,
            None => {
                if let Some(invitation) = arrival.invitation {
                    require_open(tx, invitation, now)?;
                }
            }
        }
        let issued = prepared.record(tx, actor, now)?;
        tx.put_arrival_profile(arrival.id, issued)?;
        Ok(())
    })
}

fn begin_over_the_air(cx: &Context, arrival: &ArrivalRow) -> Result<Given, Error> {
    if arrival.device_key.is_some() {
        return Err(Error::denied(Text::ArrivalBound));
    }
    if let Some(seen) = cx.clock_is_behind() {
        return Err(Error::conflict(Text::ClockBehind { now: cx.now().to_string(), seen: seen.to_string() }));
    }
    let organization = school::organization(cx)?;
    let challenge = Secret::new(short_code(&cx.random_bytes::<32>()));
    let wanted = ProfileService {
        payload_identifier: school::payload_identifier(cx)?.replace(".mdm", ".service"),
        display_name: format!("{organization}: enrolment"),
        description: format!("Tells {organization} which device this is, and then installs its device management."),
        organization,
        url: format!("{}/enroll/ota", cx.urls().people),
        challenge: challenge.clone(),
    };
    let plain = profile_service(&wanted, upper_uuid(cx.random_bytes()));
    let bytes = Secret::new(enrolling::sign(cx, &plain, cx.now()));
    let actor = visiting(&arrival.visitor, None);
    let now = cx.now();
    cx.store.write(|tx| -> Result<(), Error> {
        tx.put_arrival_challenge(arrival.id, &sha256(challenge.expose().as_bytes()))?;
        auditing::record(tx, &actor, "enrollment.ota-begin", Some(&arrival.id.to_string()), None, now)
    })?;
    Ok(Given { file_name: "enroll.mobileconfig", bytes })
}

/// Who acts when a visitor does: somebody who may be given one profile, and nothing else.
pub(super) fn visiting(visitor: &str, address: Option<IpAddr>) -> Actor {
    let from = address.map_or_else(|| String::from("enrolment page"), |address| address.to_string());
    Actor::Visitor { name: visitor.to_owned(), from }
}

fn new_token(cx: &Context) -> Secret<String> {
    Secret::new(hex::encode(cx.random_bytes::<32>()))
}
