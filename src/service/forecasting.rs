//! What would become of a command on each of some devices, before it is sent: whether it will run, why not, and about when. By Apple's
//! catalogue, what is known of the device, and the rights of its enrolment. Called by the API; sends nothing.

use super::actor::{Actor, Permission};
use super::{Context, Error, Kind, channels, devices, groups, school, series};
use crate::base::texts::Text;
use crate::base::time::{HOUR, MINUTE, Timestamp};
use crate::plist::{Dictionary, Value};
use crate::protocol::catalogue::{self, PlatformSpec};
use crate::protocol::lifecycle::State;
use crate::protocol::profile::RIGHTS;
use crate::store::{ChannelKind, Db, DeviceRow, EnrollmentRow, IssuedProfile, Way};

/// Devices that are looked at in one question.
const MOST: usize = 2_000;
const REMOVE_PROFILE: &str = "RemoveProfile";
const DEVICE_CONFIGURED: &str = "DeviceConfigured";
/// An iPhone or iPad never puts these off (Apple's protocol text).
const NEVER_PUT_OFF: [&str; 9] = [
    "DeviceInformation",
    "ProfileList",
    "DeviceLock",
    "EraseDevice",
    "ClearPasscode",
    "ProvisioningProfileList",
    "InstalledApplicationList",
    "Restrictions",
    "CertificateList",
];

/// What is asked about.
#[derive(Debug, Clone, Default)]
pub struct Question {
    pub request_type: String,
    pub keys: Dictionary,
    /// By any of their names.
    pub devices: Vec<String>,
    /// And every device of this group.
    pub group: Option<String>,
    /// UserID or short name, for a user's channel.
    pub user: Option<String>,
}

/// What would become of it on one device.
#[derive(Debug, Clone)]
pub struct Forecast {
    pub device: DeviceRow,
    pub will_run: bool,
    /// Why it will not, or what is not known for sure.
    pub reasons: Vec<String>,
    /// About when.
    pub when: Vec<String>,
}

/// Looks at each device. Words about the command itself, the same for all, come first.
///
/// # Errors
/// `NotFound` for a device or group; `Invalid` for too many, or a RequestType that Apple's schema does not know.
pub fn check(cx: &Context, actor: &Actor, question: &Question) -> Result<(Vec<String>, Vec<Forecast>), Error> {
    actor.require(Permission::Look)?;
    if catalogue::find(&question.request_type).is_none() {
        return Err(Error::invalid(Text::UnknownRequestType { request_type: question.request_type.clone() }));
    }
    let mut rows: Vec<DeviceRow> = Vec::new();
    for name in &question.devices {
        rows.push(devices::find(cx, actor, name)?);
    }
    if let Some(group) = &question.group {
        rows.extend(groups::show(cx, actor, group)?.devices);
    }
    rows.sort_by_key(|row| row.id);
    rows.dedup_by_key(|row| row.id);
    if rows.is_empty() || rows.len() > MOST {
        let why = format!("must name 1 to {MOST} devices");
        return Err(Error::invalid(Text::BadArgument { key: String::from("devices"), why }));
    }
    let doubts = catalogue::check(&question.request_type, &question.keys).iter().map(ToString::to_string).collect();
    let identifier = school::payload_identifier(cx)?;
    let now = cx.now();
    let forecasts = rows.into_iter().map(|row| one(cx, row, question, &identifier, now)).collect::<Result<_, _>>()?;
    Ok((doubts, forecasts))
}

fn one(cx: &Context, device: DeviceRow, question: &Question, mdm: &str, now: Timestamp) -> Result<Forecast, Error> {
    let channel = match devices::channel(cx, &device, question.user.as_deref()) {
        Ok(channel) if channel.state != State::Gone => channel,
        Ok(_) => return Ok(never(device, "it is not enrolled any more")),
        Err(why) if why.kind == Kind::Internal || why.kind == Kind::Busy => return Err(why),
        Err(why) => return Ok(never(device, &why.public.to_string())),
    };
    let (mut against, mut unsure) = (Vec::new(), Vec::new());
    cx.store.read(|db| {
        let before_account = series::is_before_account(db, &channel)?;
        let is_mdm = question.request_type == REMOVE_PROFILE
            && question.keys.get("Identifier").and_then(Value::as_string) == Some(mdm);
        by_catalogue(&device, &channel, &question.request_type, before_account, &mut against, &mut unsure);
        by_enrolment(db, &channel, &question.request_type, is_mdm, &mut against)
    })?;
    let when =
        if against.is_empty() { about_when(cx, &device, &channel, &question.request_type, now)? } else { Vec::new() };
    let will_run = against.is_empty();
    against.append(&mut unsure);
    Ok(Forecast { device, will_run, reasons: against, when })
}

fn never(device: DeviceRow, why: &str) -> Forecast {
    Forecast { device, will_run: false, reasons: vec![why.to_owned()], when: Vec::new() }
}

/// What the system of the device says to it.
fn by_catalogue(
    device: &DeviceRow,
    channel: &EnrollmentRow,
    request_type: &str,
    before_account: bool,
    against: &mut Vec<String>,
    unsure: &mut Vec<String>,
) {
    let Some(spec) = catalogue::find(request_type) else { return };
    let systems = channels::systems(device, channel);
    let by_user = channel.channel == ChannelKind::User;
    if systems.is_empty() {
        unsure.push(String::from("its system is not known yet; it will say for itself"));
        return;
    }
    // Apple's schema lists it for the device channel alone; while Setup Assistant reads policies it is for the user's.
    if by_user && request_type == DEVICE_CONFIGURED && before_account {
        return;
    }
    let found: Vec<&PlatformSpec> = systems.iter().filter_map(|system| spec.platform(*system)).collect();
    let name = systems.first().map_or("its system", |system| system.name());
    if found.is_empty() {
        against.push(format!("{name} does not know it"));
        return;
    }
    let takes = |s: &&&PlatformSpec| if by_user { s.user_channel } else { s.device_channel };
    let Some(system) = found.iter().find(takes) else {
        against.push(String::from(if by_user {
            "it is for the device itself, not for a user's channel"
        } else {
            "it is for a user's channel, not for the device itself"
        }));
        return;
    };
    let version = device.os_version.as_deref().map(catalogue::version);
    match (system.since, version) {
        (Some(since), Some(version)) if version < catalogue::version(since) => {
            let has = device.os_version.as_deref().unwrap_or_default();
            against.push(format!("it needs {} {since}, and this device has {has}", system.platform.name()));
        }
        (Some(_), None) => unsure.push(String::from("its version is not known yet")),
        _ => {}
    }
    if let (Some(removed), Some(version)) = (system.removed, version)
        && version >= catalogue::version(removed)
    {
        against.push(format!("it is gone since {} {removed}", system.platform.name()));
    }
    match (system.supervised, device.supervised) {
        (true, Some(false)) => against.push(String::from("it needs supervision")),
        (true, None) => {
            unsure.push(String::from("it needs supervision, and the device has not said whether it is supervised"))
        }
        _ => {}
    }
}

/// What its enrolment allows.
fn by_enrolment(
    db: &Db<'_>,
    channel: &EnrollmentRow,
    request_type: &str,
    is_mdm: bool,
    against: &mut Vec<String>,
) -> Result<(), Error> {
    let own = match channel.parent {
        Some(parent) => db.find_enrollment_by_row(parent)?,
        None => Some(channel.clone()),
    };
    let issued: Option<IssuedProfile> = match own.as_ref().and_then(|own| own.issued_profile) {
        Some(issued) => db.find_issued_profile(issued)?,
        None => None,
    };
    let (Some(issued), Some(spec)) = (issued, catalogue::find(request_type)) else { return Ok(()) };
    // The one command that ends management needs no right, whatever the schema says of its kind.
    let missing = if is_mdm { 0 } else { spec.rights & !issued.access_rights };
    for right in RIGHTS.iter().filter(|right| missing & right.bit != 0) {
        against.push(format!("the enrolment does not grant the right to {} ({})", right.words, right.name));
    }
    if spec.platforms.iter().all(|platform| platform.automated) && issued.way != Way::Ade {
        against.push(String::from("it is for devices of Automated Device Enrolment only"));
    }
    Ok(())
}

fn about_when(
    cx: &Context,
    device: &DeviceRow,
    channel: &EnrollmentRow,
    request_type: &str,
    now: Timestamp,
) -> Result<Vec<String>, Error> {
    let mut words = Vec::new();
    let (push, waiting) =
        cx.store.read(|db| Ok::<_, Error>((db.find_push(channel.id)?, db.count_waiting(channel.id)?)))?;
    if channel.state == State::Started {
        words.push(String::from("when the enrolment is finished"));
    } else if let Some(why) = push.and_then(|push| push.dead_why) {
        words.push(format!("when it comes by itself: it cannot be called ({why})"));
    } else {
        let seen = cx.find_seen(channel.id).max(channel.last_seen_at);
        words.push(match seen {
            Some(at) if now.since(at) < 10 * MINUTE => String::from("probably within a minute"),
            Some(at) if now.since(at) < 24 * HOUR => format!("when it is awake; it was last heard of at {at}"),
            Some(at) => format!("when it is switched on and has a network; it was last heard of at {at}"),
            None => String::from("when it turns up for the first time"),
        });
    }
    if waiting > 0 {
        words.push(format!("{waiting} other command(s) wait before it"));
    }
    let mobile = device.platform != "macOS";
    if mobile && !NEVER_PUT_OFF.contains(&request_type) {
        words.push(String::from("a locked device may put it off until it is unlocked"));
    }
    if !mobile && channel.parent.is_some() {
        words.push(String::from("its user must be logged in"));
    }
    Ok(words)
}
