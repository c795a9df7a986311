//! Say what should be: groups and people get what is assigned to them as soon as they are who they are, what was taken off comes
//! back, what is refused is tried later and later, and nothing is sent twice.

use crate::support::School;
use crate::support::device::Handle;
use crate::users::profiles::add;
use cordon::simulator::state::Channel;
use serde_json::{Value, json};

pub mod accounts;
mod bulk;
mod commands;
mod converging;
mod gates;
mod groups;
mod inventory;
mod library;
pub mod provisioning;
mod resigning;
mod returning;
mod schedules;

pub fn assign(school: &School, profile: &str, whom: &Value) -> Value {
    school.api("POST", &format!("/profiles/{profile}/assign"), whom).is(200)
}

/// Identifiers of the profiles that stand on a channel.
pub fn standing(device: &Handle, channel: Channel) -> Vec<String> {
    let all = device.with(|d| d.state().profiles.clone());
    let mut found: Vec<String> = all.into_iter().filter(|p| p.channel == channel).map(|p| p.identifier).collect();
    found.sort();
    found
}

pub fn until(school: &School, device: &Handle, channel: Channel, wanted: &[&str]) {
    school.wait_until(&format!("{wanted:?}"), || (standing(device, channel) == wanted).then_some(()));
}

/// A profile for devices, one for people.
pub fn two_profiles(school: &School) {
    add(school, "p.wifi", "com.apple.wifi.managed");
    add(school, "p.dock", "com.apple.dock");
}

pub fn why(school: &School, device: &Handle, profile: &str) -> String {
    school.get(&format!("/devices/{}/profiles/{profile}/why", device.udid())).to_string()
}

pub fn group(school: &School, wish: &Value) {
    school.api("POST", "/groups", wish).is(201);
}

pub fn member(school: &School, group: &str, wish: &Value) {
    school.api("POST", &format!("/groups/{group}/members"), wish).is(200);
}

pub fn no_member(school: &School, group: &str, wish: &Value) {
    school.api("POST", &format!("/groups/{group}/members/remove"), wish).is(200);
}

pub fn device_group(school: &School, name: &str) {
    group(school, &json!({ "name": name, "kind": "devices" }));
}
