//! Profiles on a simulated device: installed, listed and removed, each in the channel that asked. Called by `answers`.
//!
//! Not here: how a profile is read (`profile`), and what becomes of an enrolment profile (`session`).

use super::answers::{Act, Trouble, answer, nothing_to_say};
use super::filevault;
use super::profile::{self, Enrolling, Profile, Refusal};
use super::spec::Kind;
use super::state::{Blob, Channel, Installed, State};
use crate::plist::{Dict, Dictionary, Value};

pub(super) fn list(state: &State, enrolling: &Enrolling, channel: Channel) -> Result<Act, Trouble> {
    let mut list = Vec::new();
    if channel == Channel::Device {
        list.push(Value::Dictionary(listed(&enrolling.profile)));
    }
    for installed in state.profiles.iter().filter(|p| p.channel == channel) {
        list.push(Value::Dictionary(listed(&profile::read(&installed.profile.0)?)));
    }
    Ok(answer("ProfileList", Value::Array(list)))
}

fn listed(profile: &Profile) -> Dictionary {
    let mut dict = Dictionary::new();
    let mut put = |key: &str, value: Value| dict.insert(key.to_owned(), value);
    put("PayloadIdentifier", Value::String(profile.identifier.clone()));
    put("PayloadUUID", Value::String(profile.uuid.clone()));
    put("PayloadVersion", Value::Integer(1.into()));
    put("IsEncrypted", Value::Boolean(profile.encrypted));
    put("IsManaged", Value::Boolean(true));
    put("HasRemovalPasscode", Value::Boolean(false));
    put("PayloadRemovalDisallowed", Value::Boolean(profile.removal_disallowed));
    let texts = [("PayloadDisplayName", &profile.display_name), ("PayloadOrganization", &profile.organization)];
    for (key, text) in texts {
        if let Some(text) = text {
            put(key, Value::String(text.clone()));
        }
    }
    if !profile.signers.is_empty() {
        put("SignerCertificates", Value::Array(profile.signers.iter().cloned().map(Value::Data).collect()));
    }
    if !profile.encrypted {
        let payload = |p: &profile::Payload| {
            let mut dict = Dictionary::new();
            dict.insert("PayloadType".to_owned(), Value::String(p.kind.clone()));
            dict.insert("PayloadIdentifier".to_owned(), Value::String(p.identifier.clone()));
            dict.insert("PayloadUUID".to_owned(), Value::String(p.uuid.clone()));
            dict.insert("PayloadVersion".to_owned(), Value::Integer(1.into()));
            if let Some(name) = &p.display_name {
                dict.insert("PayloadDisplayName".to_owned(), Value::String(name.clone()));
            }
            Value::Dictionary(dict)
        };
        put("PayloadContent", Value::Array(profile.payloads.iter().map(payload).collect()));
    }
    dict
}

pub(super) fn install(
    state: &mut State,
    enrolling: &Enrolling,
    channel: Channel,
    command: &Dict,
) -> Result<Act, Trouble> {
    let bytes = command.data("Payload")?;
    let new = profile::read(bytes)?;
    let ours = new.identifier == enrolling.profile.identifier;
    match (ours, new.is_enrollment()) {
        (true, true) if channel == Channel::Device => return Ok(Act::EnrollAgain(bytes.to_vec())),
        (true, _) => {
            return Err(Refusal::installation(4015, "the replacement of the MDM profile holds no MDM payload").into());
        }
        (false, true) => return Err(Refusal::mdm(12001, "the device is managed already").into()),
        (false, false) => {}
    }
    state.profiles.retain(|p| p.channel != channel || p.identifier != new.identifier);
    if state.spec.kind == Kind::Mac {
        filevault::installed(state, &new);
    }
    state.profiles.push(Installed { channel, identifier: new.identifier, profile: Blob(bytes.to_vec()) });
    Ok(nothing_to_say())
}

pub(super) fn remove(
    state: &mut State,
    enrolling: &Enrolling,
    channel: Channel,
    command: &Dict,
) -> Result<Act, Trouble> {
    let identifier = command.string("Identifier")?;
    if identifier == enrolling.profile.identifier && channel == Channel::Device {
        return Ok(Act::Leave);
    }
    if enrolling.mdm.access_rights & 2 == 0 {
        return Err(Refusal::mdm(12007, "the enrolment does not grant the right to RemoveProfile").into());
    }
    let before = state.profiles.len();
    state.profiles.retain(|p| p.channel != channel || p.identifier != identifier);
    if state.profiles.len() == before {
        return Err(Refusal::mdm(12013, format!("the profile “{identifier}” is not installed by management")).into());
    }
    Ok(nothing_to_say())
}
