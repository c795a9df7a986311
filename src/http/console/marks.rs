//! How the console says things that many pages say: where a device stands, what became of a command.

use super::Visit;
use super::parts::{Html, Mood, badge, link, named, row, segment, text};
use super::texts::Words;
use crate::store::{DeviceLine, DeviceRow, Lost};

/// The name that people know a device by.
pub fn device_name(device: &DeviceRow) -> String {
    let names = [&device.name, &device.model_name, &device.serial];
    names
        .into_iter()
        .flatten()
        .find(|name| !name.trim().is_empty())
        .cloned()
        .unwrap_or_else(|| device.public_id.clone())
}

/// Where a device's page is.
pub fn device_path(device: &str) -> String {
    format!("/console/devices/{}", segment(device))
}

/// Name with its page, serial number below.
pub fn device_link(device: &DeviceRow) -> Html {
    named(link(&device_path(&device.public_id), &device_name(device)), device.serial.as_deref().unwrap_or_default())
}

/// Where an enrolment stands, in a word.
pub fn state(w: &'static Words, state: Option<&str>) -> Html {
    match state {
        Some("Active") => badge(Mood::Good, w.state_enrolled),
        Some("Started") => badge(Mood::Busy, w.state_started),
        _ => badge(Mood::Quiet, w.state_gone),
    }
}

/// Everything about a device that somebody should see at once.
pub fn standing(w: &'static Words, line: &DeviceLine) -> Html {
    let mut marks = vec![state(w, line.state.as_deref())];
    marks.extend(lost(w, &line.device));
    if line.blocked {
        marks.push(badge(Mood::Bad, w.state_blocked));
    }
    if line.push_dead.is_some() {
        marks.push(badge(Mood::Warn, w.state_unreachable));
    }
    row(marks)
}

/// Whether people miss it.
pub fn lost(w: &'static Words, device: &DeviceRow) -> Vec<Html> {
    let mut marks = Vec::new();
    match device.lost {
        Lost::No => {}
        Lost::Lost => marks.push(badge(Mood::Bad, w.state_lost)),
        Lost::Missing => marks.push(badge(Mood::Warn, w.state_missing)),
    }
    if device.lost_mode {
        marks.push(badge(Mood::Warn, w.state_lost_mode));
    }
    marks
}

/// Model and system, as far as they are known.
pub fn model(device: &DeviceRow) -> Html {
    let model = device.model_name.as_deref().or(device.product_name.as_deref());
    named(
        super::parts::or_dash(model),
        device.product_name.as_deref().filter(|_| device.model_name.is_some()).unwrap_or_default(),
    )
}

pub fn system(device: &DeviceRow) -> Html {
    match &device.os_version {
        Some(version) => text(&format!("{} {version}", device.platform)),
        None => super::parts::or_dash(Some(device.platform.as_str()).filter(|p| *p != "unknown")),
    }
}

/// The state of a command.
pub fn command_state(w: &'static Words, state: &str) -> Html {
    let mood = match state {
        "pending" | "Queued" | "Sent" => Mood::Busy,
        "NotNow" => Mood::Warn,
        "Acknowledged" => Mood::Good,
        "Error" | "CommandFormatError" | "refused" => Mood::Bad,
        _ => Mood::Quiet,
    };
    badge(mood, w.command(state))
}

/// An address of this page with one thing of its query changed; without where the list was.
pub fn with_query(v: &Visit<'_>, path: &str, names: &[&str], change: &[(&str, Option<&str>)]) -> String {
    let mut pairs = Vec::new();
    for name in names {
        let value = match change.iter().find(|(key, _)| key == name) {
            Some((_, value)) => value.map(str::to_owned),
            None => v.query(name),
        };
        if let Some(value) = value {
            pairs.push(format!("{name}={}", segment(&value)));
        }
    }
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}
