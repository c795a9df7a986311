//! What devices themselves send to enrol: over-the-air profile delivery (Apple's Profile Service), in which phase being told by who
//! signed, and the `MachineInfo` of Automated Device Enrolment. Called by the edge `http::enroll`; who logs in is at [`super::arriving`].
//!
//! Phase 2 is signed by the identity that the device was built with and gets a passing identity; phase 3 is signed by that and gets the
//! enrolment profile, encrypted to it. The challenge of phase 1 belongs to one login and, from its first use on, to one device. A profile
//! that was installed so asks again when a person taps Update: the same device gets a fresh profile in the place of its present one.

use super::actor::Actor;
use super::arriving::{self, Given};
use super::doorway::{self, Automated};
use super::enrolling::{self, Way, Wish};
use super::{Context, Error, auditing, certifying, school, trust};
use crate::base::ids::{Serial, short_code, upper_uuid};
use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::base::time::HOUR;
use crate::pki::cms;
use crate::pki::digest::{constant_time_eq, sha256};
use crate::pki::x509::Certificate;
use crate::protocol::attributes::{self, Attributes};
use crate::protocol::lifecycle::State;
use crate::protocol::profile::{Identity, IdentityProfile, identity_profile};
use crate::store::{
    ArrivalRow, BindingRow, BindingState, CertificateStanding, ChannelKind, EnrollmentRow, NewArrival, SaidByDevice,
};
use serde_json::json;

/// How long the challenge for the passing identity lives.
const PASSING_LIFE: i64 = HOUR;

/// A body whose signature is right, and what it says.
struct Told {
    signer: Certificate,
    said: Attributes,
}

fn open(body: &[u8]) -> Result<Told, Error> {
    let unreadable = |why: String| Error::invalid(Text::DeviceUnreadable { why });
    let signed = cms::verify_attached(body).map_err(|e| unreadable(e.to_string()))?;
    let said = attributes::read(&signed.content).map_err(|e| unreadable(e.to_string()))?;
    Ok(Told { signer: signed.signer, said })
}

/// Answers one request at the URL of the Profile Service payload.
///
/// # Errors
/// `Invalid` for what cannot be read; `Denied` for a signer, a challenge or a device that is not the right one.
pub fn answer(cx: &Context, body: &[u8], origin: &str) -> Result<Given, Error> {
    let told = open(body)?;
    if cx.device_authorities().vouch_for(&told.signer) {
        return introduce(cx, &told, origin);
    }
    let standing = cx.store.read(|db| db.find_certificate_standing(&told.signer.fingerprint()))?;
    match standing {
        Some((standing, bindings)) if standing.revoked_at.is_none() => finish(cx, &told, &standing, &bindings, origin),
        _ => Err(Error::denied(Text::SignerUnknown)),
    }
}

/// Phase 2: a genuine device says who it is, and gets the means for an identity.
fn introduce(cx: &Context, told: &Told, origin: &str) -> Result<Given, Error> {
    let said = &told.said;
    let wrong = || Error::denied(Text::ChallengeWrong);
    let hash = sha256(said.challenge.as_ref().ok_or_else(wrong)?.expose().as_bytes());
    let arrival = cx.store.read(|db| db.find_arrival_by_challenge(&hash))?.ok_or_else(wrong)?;
    if said.name().is_none() {
        return Err(Error::invalid(Text::DeviceUnreadable { why: String::from("neither UDID nor SERIAL is in it") }));
    }
    if let Some(seen) = cx.clock_is_behind() {
        return Err(Error::conflict(Text::ClockBehind { now: cx.now().to_string(), seen: seen.to_string() }));
    }
    let now = cx.now();
    let device_key = sha256(told.signer.spki_der());
    if arrival.device_key.is_some_and(|bound| bound != device_key)
        || (arrival.device_key.is_some() && !is_same(&arrival, said))
    {
        return Err(Error::denied(Text::ChallengeUsed));
    }
    if !arriving::is_open(&arrival, now) {
        // Over for everybody but the device that enrolled with it: a person taps Update.
        enrolled_with(cx, &arrival)?.ok_or_else(|| Error::denied(Text::ArrivalOver))?;
    }
    let challenge = Secret::new(short_code(&cx.random_bytes::<32>()));
    let actor = visitor(&arrival, origin);
    let kept = as_json(said);
    cx.store.write(|tx| {
        let said = SaidByDevice {
            udid: said.udid.as_ref().map(|udid| udid.as_str()),
            serial: said.serial.as_ref().map(|serial| serial.as_str()),
            attributes: &kept,
            device_key: &device_key,
        };
        if !tx.bind_arrival(arrival.id, &said)? {
            return Err(Error::denied(Text::ChallengeUsed));
        }
        tx.insert_passing_challenge(&sha256(challenge.expose().as_bytes()), arrival.id, now.plus(PASSING_LIFE), now)?;
        let detail = json!({ "serial": said.serial, "udid": said.udid });
        auditing::record(tx, &actor, "enrollment.ota-device", Some(&arrival.id.to_string()), Some(detail), now)
    })?;
    let plain = passing_profile(cx, challenge)?;
    Ok(Given { file_name: "identity.mobileconfig", bytes: Secret::new(enrolling::sign(cx, &plain, now)) })
}

fn passing_profile(cx: &Context, challenge: Secret<String>) -> Result<Vec<u8>, Error> {
    let organization = school::organization(cx)?;
    let trust = trust::current(cx)?;
    let named = |all: &[Certificate]| -> Vec<(String, Vec<u8>)> {
        let name = |one: &Certificate| one.subject_common_name().unwrap_or_else(|| one.subject());
        all.iter().map(|one| (format!("{organization}: {}", name(one)), one.der().to_vec())).collect()
    };
    let wanted = IdentityProfile {
        payload_identifier: school::payload_identifier(cx)?.replace(".mdm", ".device"),
        display_name: format!("{organization}: identity for enrolment"),
        anchors: named(&trust.anchors),
        intermediates: named(&trust.intermediates),
        identity: Identity::Scep {
            url: format!("{}/scep", cx.urls().people),
            name: certifying::ca_name(cx),
            challenge,
            ca_fingerprint: certifying::ca_fingerprint(cx).to_vec(),
            subject_cn: String::from("Cordon enrolment"),
            organization: organization.clone(),
        },
        organization,
    };
    Ok(identity_profile(&wanted, &mut || upper_uuid(cx.random_bytes())))
}

/// Phase 3, and every later request of a profile that was installed so.
fn finish(
    cx: &Context,
    told: &Told,
    standing: &CertificateStanding,
    bindings: &[BindingRow],
    origin: &str,
) -> Result<Given, Error> {
    if let Some(issued) = standing.issued_profile {
        return refresh_by_identity(cx, told, issued, bindings, origin);
    }
    let arrival = cx.store.read(|db| db.find_arrival_by_certificate(&told.signer.fingerprint()))?;
    let arrival = arrival.ok_or_else(|| Error::denied(Text::SignerUnknown))?;
    if !is_same(&arrival, &told.said) {
        return Err(Error::denied(Text::OtherDevice));
    }
    if let Some(challenge) = &told.said.challenge {
        let hash = sha256(challenge.expose().as_bytes());
        let named = cx.store.read(|db| db.find_arrival_by_challenge(&hash))?;
        if named.is_none_or(|named| named.id != arrival.id) {
            return Err(Error::denied(Text::ChallengeWrong));
        }
    }
    let actor = visitor(&arrival, origin);
    if let Some(held) = enrolled_with(cx, &arrival)? {
        return refresh(cx, &actor, &held, &told.signer);
    }
    if !arriving::is_open(&arrival, cx.now()) {
        return Err(Error::denied(Text::ArrivalOver));
    }
    let name = format!("{}, {}", arrival.visitor, told.said.name().unwrap_or("unknown"));
    let wish = Wish {
        name: Some(name),
        way: Way::Ota,
        person: arrival.person,
        encrypt_to: Some(told.signer.clone()),
        ..Wish::default()
    };
    let prepared = enrolling::prepare(cx, &actor, &wish)?;
    arriving::hand_over(cx, &actor, arrival.id, &prepared)?;
    Ok(Given { file_name: "enroll.mobileconfig", bytes: prepared.bytes })
}

/// The identity that the device is managed with signed: no new invitation is needed, also when it has expired.
fn refresh_by_identity(
    cx: &Context,
    told: &Told,
    issued: i64,
    bindings: &[BindingRow],
    origin: &str,
) -> Result<Given, Error> {
    let held = match bindings.iter().find(|binding| binding.state == BindingState::Current) {
        Some(binding) => cx.store.read(|db| db.find_enrollment_by_row(binding.enrollment))?,
        None => None,
    };
    let held = held.filter(is_managed).ok_or_else(|| Error::denied(Text::SignerUnknown))?;
    let udid = told.said.udid.as_ref().map(|udid| udid.as_str());
    if Some(held.enrollment_id.as_str()) != udid {
        return Err(Error::denied(Text::OtherDevice));
    }
    let actor = Actor::Visitor { name: format!("device:{}", held.enrollment_id), from: origin.to_owned() };
    refresh(cx, &actor, &Held { issued: held.issued_profile.unwrap_or(issued), enrollment: held.id }, &told.signer)
}

/// What a managed device holds.
struct Held {
    issued: i64,
    enrollment: i64,
}

/// The enrollment that came of this arrival, while it is managed. A device that has left needs a new login.
fn enrolled_with(cx: &Context, arrival: &ArrivalRow) -> Result<Option<Held>, Error> {
    let Some(given) = arrival.issued_profile else { return Ok(None) };
    let found = cx.store.read(|db| -> Result<_, Error> {
        match db.find_enrolled_by_profile(given)? {
            Some(enrollment) => Ok(db.find_enrollment_by_row(enrollment)?),
            None => Ok(None),
        }
    })?;
    match found {
        None => Ok(None),
        Some(row) if is_managed(&row) => {
            Ok(Some(Held { issued: row.issued_profile.unwrap_or(given), enrollment: row.id }))
        }
        Some(_) => Err(Error::denied(Text::ArrivalOver)),
    }
}

fn is_managed(row: &EnrollmentRow) -> bool {
    row.channel == ChannelKind::Device && row.state == State::Active && row.blocked_at.is_none()
}

fn refresh(cx: &Context, actor: &Actor, held: &Held, signer: &Certificate) -> Result<Given, Error> {
    let wish = Wish { encrypt_to: Some(signer.clone()), ..Wish::default() };
    let prepared = enrolling::prepare_renewal(cx, actor, held.issued, held.enrollment, &wish)?;
    let now = cx.now();
    cx.store.write(|tx| prepared.record(tx, actor, now))?;
    Ok(Given { file_name: "enroll.mobileconfig", bytes: prepared.bytes })
}

fn as_json(said: &Attributes) -> String {
    let kept: serde_json::Map<_, _> = said.kept.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    serde_json::Value::Object(kept).to_string()
}

/// Whether the device says the same of itself as when it was bound.
fn is_same(arrival: &ArrivalRow, said: &Attributes) -> bool {
    let same = |kept: &Option<String>, said: Option<&str>| {
        constant_time_eq(kept.as_deref().unwrap_or_default().as_bytes(), said.unwrap_or_default().as_bytes())
    };
    same(&arrival.udid, said.udid.as_ref().map(|u| u.as_str()))
        && same(&arrival.serial, said.serial.as_ref().map(|s| s.as_str()))
}

fn visitor(arrival: &ArrivalRow, origin: &str) -> Actor {
    Actor::Visitor { name: arrival.visitor.clone(), from: origin.to_owned() }
}

/// What a device of Automated Device Enrolment said, checked.
#[derive(Debug)]
pub struct Machine {
    said: Attributes,
    device_key: [u8; 32],
}

impl Machine {
    /// UDID and serial number, which every `MachineInfo` here has.
    fn names(&self) -> Result<(&str, &Serial), Error> {
        match (&self.said.udid, &self.said.serial) {
            (Some(udid), Some(serial)) => Ok((udid.as_str(), serial)),
            _ => Err(Error::invalid(Text::DeviceUnreadable { why: String::from("UDID or SERIAL is missing") })),
        }
    }

    fn as_said<'a>(&'a self, udid: &'a str, serial: &'a str, attributes: &'a str) -> SaidByDevice<'a> {
        SaidByDevice { udid: Some(udid), serial: Some(serial), attributes, device_key: &self.device_key }
    }
}

/// Reads a `MachineInfo` and checks that a genuine device signed it.
///
/// # Errors
/// `Invalid` for what cannot be read; `Denied` for another signer.
pub fn read_machine(cx: &Context, body: &[u8]) -> Result<Machine, Error> {
    let told = open(body)?;
    if !cx.device_authorities().vouch_for(&told.signer) {
        return Err(Error::denied(Text::SignerUnknown));
    }
    let machine = Machine { device_key: sha256(told.signer.spki_der()), said: told.said };
    machine.names()?;
    Ok(machine)
}

/// Answers a device of Automated Device Enrolment: the enrolment profile.
///
/// # Errors
/// As [`read_machine`]; `Denied` with `AutomatedClosed` where the school does not take such devices.
pub fn automated(cx: &Context, body: &[u8], origin: &str) -> Result<Given, Error> {
    let machine = read_machine(cx, body)?;
    let (udid, serial) = machine.names()?;
    admit(cx, serial)?;
    let actor = Actor::Visitor { name: format!("device:{serial}"), from: origin.to_owned() };
    let wish = Wish { name: Some(format!("Automated enrolment of {serial}")), way: Way::Ade, ..Wish::default() };
    let prepared = enrolling::prepare(cx, &actor, &wish)?;
    let now = cx.now();
    let kept = as_json(&machine.said);
    cx.store.write(|tx| -> Result<(), Error> {
        // One device needs one profile: what it asked for before and never used is worth nothing.
        for earlier in tx.list_automated(serial.as_str())? {
            if let Some(issued) = earlier.issued_profile
                && tx.find_enrolled_by_profile(issued)?.is_none()
            {
                tx.withdraw_profile(issued, now)?;
                tx.close_arrival(earlier.id, now)?;
            }
        }
        let name = actor.name();
        let new = NewArrival {
            way: "ade",
            token_hash: None,
            invitation: None,
            person: None,
            visitor: &name,
            expires_at: now.plus(arriving::ARRIVAL_LIFE),
        };
        let arrival = tx.insert_arrival(&new, now)?;
        tx.bind_arrival(arrival, &machine.as_said(udid, serial.as_str(), &kept))?;
        let issued = prepared.record(tx, &actor, now)?;
        tx.put_arrival_profile(arrival, issued)?;
        Ok(())
    })?;
    Ok(Given { file_name: "enroll.mobileconfig", bytes: prepared.bytes })
}

/// A device that somebody blocked stays out, and the school may let in only those that it knows.
fn admit(cx: &Context, serial: &Serial) -> Result<(), Error> {
    let closed = || Error::denied(Text::AutomatedClosed);
    let device = cx.store.read(|db| db.find_device_by_serial(serial))?;
    if let Some(device) = &device
        && cx.store.read(|db| db.list_enrollments(device.id))?.iter().any(|one| one.blocked_at.is_some())
    {
        return Err(closed());
    }
    match doorway::automated(cx)? {
        Automated::Open => Ok(()),
        Automated::Known if device.is_some() => Ok(()),
        Automated::Known | Automated::Closed => Err(closed()),
    }
}

/// Notes a device that came through the web view of Setup Assistant: its word, checked, is kept for the one request in which its person
/// logs in. Cookies may be dropped there, so the page carries the word that is returned.
///
/// # Errors
/// As [`read_machine`]; `Denied` where the device is not let in.
pub fn note_machine(cx: &Context, body: &[u8]) -> Result<Secret<String>, Error> {
    let machine = read_machine(cx, body)?;
    let (udid, serial) = machine.names()?;
    admit(cx, serial)?;
    let state = Secret::new(hex::encode(cx.random_bytes::<32>()));
    let now = cx.now();
    cx.store.write(|tx| -> Result<(), Error> {
        let new = NewArrival {
            way: "ade",
            token_hash: Some(&sha256(state.expose().as_bytes())),
            invitation: None,
            person: None,
            visitor: &format!("device:{serial}"),
            expires_at: now.plus(arriving::ARRIVAL_LIFE),
        };
        let arrival = tx.insert_arrival(&new, now)?;
        tx.bind_arrival(arrival, &machine.as_said(udid, serial.as_str(), &as_json(&machine.said)))?;
        Ok(())
    })?;
    Ok(state)
}

/// The device that a page's word stands for, while it waits for its person.
///
/// # Errors
/// `Denied` with `ArrivalOver`.
pub fn find_machine(cx: &Context, state: &str) -> Result<ArrivalRow, Error> {
    let found = arriving::find(cx, state)?;
    if found.way == "ade" && found.issued_profile.is_none() { Ok(found) } else { Err(Error::denied(Text::ArrivalOver)) }
}

/// A person logged in for that device: it gets its profile, and the word is used up.
///
/// # Errors
/// As [`find_machine`] and [`arriving::give`].
pub fn admit_machine(cx: &Context, state: &str, token: &str) -> Result<Given, Error> {
    let (machine, person) = (find_machine(cx, state)?, arriving::find(cx, token)?);
    let actor = arriving::visiting(&person.visitor, None);
    let name = format!("{}, {}", person.visitor, machine.visitor);
    let wish = Wish { name: Some(name), way: Way::Ade, person: person.person, ..Wish::default() };
    let prepared = enrolling::prepare(cx, &actor, &wish)?;
    let now = cx.now();
    let Some(key) = machine.device_key else { return Err(Error::denied(Text::ArrivalOver)) };
    cx.store.write(|tx| -> Result<(), Error> {
        if !tx.find_arrival(machine.id)?.is_some_and(|found| arriving::is_open(&found, now)) {
            return Err(Error::denied(Text::ArrivalOver));
        }
        tx.close_arrival(machine.id, now)?;
        let said = SaidByDevice {
            udid: machine.udid.as_deref(),
            serial: machine.serial.as_deref(),
            attributes: machine.attributes.as_deref().unwrap_or("{}"),
            device_key: &key,
        };
        tx.bind_arrival(person.id, &said)?;
        Ok(())
    })?;
    arriving::hand_over(cx, &actor, person.id, &prepared)?;
    Ok(Given { file_name: "enroll.mobileconfig", bytes: prepared.bytes })
}
