//! What a device with several users does with the commands about them: Shared iPad, and Setup Assistant waiting to be configured.
//!
//! Called by `answers`. Who logs in and out is in `agents`.

use super::answers::{Act, Reply, Trouble, nothing_to_say};
use super::profile::Refusal;
use super::state::{Channel, State};
use crate::plist::{Dict, Dictionary, Value};

/// Apple's list for the user channel of a Shared iPad.
pub fn is_for_users(request_type: &str) -> bool {
    matches!(
        request_type,
        "ProfileList"
            | "InstallProfile"
            | "RemoveProfile"
            | "Restrictions"
            | "DeviceInformation"
            | "Settings"
            | "UserConfigured"
    )
}

/// Setup Assistant goes on, if it waited.
pub fn configured(state: &mut State, channel: Channel) -> Act {
    state.awaiting.retain(|waiting| *waiting != channel);
    if let Some(line) = state.find_line_mut(channel) {
        line.wait = None;
    }
    nothing_to_say()
}

/// Only while Setup Assistant waits.
pub fn account_configuration(state: &State) -> Result<Act, Refusal> {
    if !state.awaiting.contains(&Channel::Device) {
        return Err(Refusal::mdm(12021, "the device does not await configuration"));
    }
    Ok(nothing_to_say())
}

/// Everybody who has an account on the device.
pub fn user_list(state: &State) -> Value {
    let mut users = Vec::new();
    for (n, channel) in state.channels().into_iter().enumerate() {
        let Some(person) = state.person(channel) else { continue };
        let mut user = Dictionary::new();
        let logged_in = state.is_present(channel) && state.find_line(channel).is_some();
        user.insert("UserName".to_owned(), Value::String(person.short_name.clone()));
        user.insert("FullName".to_owned(), Value::String(person.long_name.clone()));
        user.insert("UID".to_owned(), Value::Integer((501 + n as i64).into()));
        user.insert("UserGUID".to_owned(), Value::String(person.guid.clone()));
        user.insert("IsLoggedIn".to_owned(), Value::Boolean(logged_in));
        user.insert("HasDataToSync".to_owned(), Value::Boolean(false));
        user.insert("DataQuota".to_owned(), Value::Integer(2_000_000_000_i64.into()));
        user.insert("DataUsed".to_owned(), Value::Integer(120_000_000_i64.into()));
        users.push(Value::Dictionary(user));
    }
    Value::Array(users)
}

/// Whoever is logged in on a Shared iPad is logged out.
pub fn log_out_user(state: &mut State) -> Result<Act, Refusal> {
    if !state.is_shared_ipad() {
        return Err(Refusal::mdm(12021, "nobody shares this iPad"));
    }
    for agent in &mut state.agents {
        agent.logged_in = false;
    }
    Ok(nothing_to_say())
}

/// The user's data goes; one who is logged in stays.
pub(super) fn delete_user(state: &mut State, command: &Dict) -> Result<Act, Trouble> {
    if command.flag("DeleteAllUsers")? {
        for agent in state.agents.iter_mut().filter(|a| !a.logged_in) {
            agent.line = None;
        }
        return Ok(nothing_to_say());
    }
    let name = command.string("UserName")?.to_owned();
    let Some(agent) = state.agents.iter_mut().find(|a| a.person.short_name == name) else {
        return Ok(Act::Answer(Reply::Error(Refusal::mdm(12008, format!("there is no user “{name}”")))));
    };
    if agent.logged_in {
        return Ok(Act::Answer(Reply::Error(Refusal::mdm(12008, format!("“{name}” is logged in")))));
    }
    agent.line = None;
    Ok(nothing_to_say())
}
