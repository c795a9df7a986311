//! Provisioning profiles on a simulated device: installed and removed by UUID, listed as they are; and a computer that syncs the device puts
//! one back that was removed. Called by `answers`.

use super::answers::{Act, Reply, Trouble, nothing_to_say};
use super::profile::Refusal;
use super::state::{Blob, State};
use crate::plist::{Date, Dict, Dictionary, Value};
use crate::protocol::provisioning::read_provisioning;
use std::time::{Duration, UNIX_EPOCH};

/// Does what a command about provisioning profiles asks; `now` in ms since 1970.
pub(super) fn perform(state: &mut State, request_type: &str, command: &Dict) -> Result<Act, Trouble> {
    match request_type {
        "InstallProvisioningProfile" => install(state, command),
        "RemoveProvisioningProfile" => remove(state, command),
        _ => Ok(list(state)),
    }
}

fn install(state: &mut State, command: &Dict) -> Result<Act, Trouble> {
    let bytes = command.data("ProvisioningProfile")?;
    let new = read_provisioning(bytes).map_err(|e| Refusal::mdm(12009, format!("no provisioning profile: {e}")))?;
    let installed = &mut state.provisioning;
    installed.retain(|held| read_provisioning(&held.0).is_ok_and(|old| old.uuid != new.uuid));
    installed.push(Blob(bytes.to_vec()));
    Ok(nothing_to_say())
}

fn remove(state: &mut State, command: &Dict) -> Result<Act, Trouble> {
    let uuid = command.string("UUID")?;
    let is_it = |held: &Blob| read_provisioning(&held.0).is_ok_and(|facts| facts.uuid == uuid);
    let Some(at) = state.provisioning.iter().position(is_it) else {
        return Err(Refusal::mdm(12013, format!("the provisioning profile “{uuid}” is not installed")).into());
    };
    let gone = state.provisioning.remove(at);
    // The computer that this device is synced with has a copy.
    state.synced_provisioning.push(gone);
    Ok(nothing_to_say())
}

fn list(state: &State) -> Act {
    let entry = |held: &Blob| {
        let facts = read_provisioning(&held.0).ok()?;
        let ends = UNIX_EPOCH + Duration::from_millis(facts.expires_at.0.unsigned_abs());
        let mut entry = Dictionary::new();
        entry.insert(String::from("Name"), facts.name.into());
        entry.insert(String::from("UUID"), facts.uuid.into());
        entry.insert(String::from("ExpiryDate"), Value::Date(Date::from(ends)));
        Some(Value::Dictionary(entry))
    };
    let mut keys = Dictionary::new();
    let all = state.provisioning.iter().filter_map(entry).collect();
    keys.insert(String::from("ProvisioningProfileList"), Value::Array(all));
    Act::Answer(Reply::Acknowledged(keys))
}

impl State {
    /// The device is synced with a computer: what was removed is put back.
    pub fn sync_with_computer(&mut self) {
        self.provisioning.append(&mut self.synced_provisioning);
    }

    /// UUIDs of the provisioning profiles on the device.
    pub fn provisioning_uuids(&self) -> Vec<String> {
        self.provisioning.iter().filter_map(|held| Some(read_provisioning(&held.0).ok()?.uuid)).collect()
    }
}
