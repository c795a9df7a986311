//! Devices and their users as separate enrollments: which command goes to whom, and what each of them waits for. Called by `commands`
//! before it queues, and by the API.

use super::actor::Actor;
use super::devices::{self, ChannelView};
use super::{Context, Error, answers, commands, library, reconciling, series, setting_up};
use crate::base::texts::Text;
use crate::base::time::Timestamp;
use crate::plist::Dictionary;
use crate::protocol::catalogue::{self, Platform};
use crate::protocol::lifecycle::State;
use crate::protocol::series::Series;
use crate::store::{ChannelKind, DeviceRow, EnrollmentRow};

/// On the user channel only while Setup Assistant waits there; Apple's schema lists it for the device channel alone.
const DEVICE_CONFIGURED: &str = "DeviceConfigured";

/// Refuses a command that this channel's system does not take, before a device has to.
///
/// # Errors
/// `Invalid`, saying where it could go.
pub(super) fn check(
    cx: &Context,
    device: &DeviceRow,
    channel: &EnrollmentRow,
    request_type: &str,
) -> Result<(), Error> {
    let Some(spec) = catalogue::find(request_type) else { return Ok(()) };
    let by_user = channel.channel == ChannelKind::User;
    let systems = systems(device, channel);
    // A system that is not known yet will say for itself.
    if systems.is_empty() || spec.is_taken(systems, by_user) {
        return Ok(());
    }
    if by_user && request_type == DEVICE_CONFIGURED && cx.store.read(|db| series::is_before_account(db, channel))? {
        return Ok(());
    }
    let other = spec.is_taken(systems, !by_user);
    let hint = match (other, by_user) {
        (true, true) => "Send it to the device itself: leave the user out.",
        (true, false) => "Send it to one of its users: name the user.",
        (false, _) => "No other channel of this device takes it either.",
    };
    let channel = if by_user { "a user's channel" } else { "the device's own channel" };
    let system = systems.first().map_or("This system", |system| system.name());
    Err(Error::invalid(Text::WrongChannel { request_type: request_type.to_owned(), channel, system, hint }))
}

/// Whether this channel's system takes the command; one that is not known yet takes everything.
pub(super) fn is_taken(device: &DeviceRow, channel: &EnrollmentRow, request_type: &str) -> bool {
    let systems = systems(device, channel);
    let by_user = channel.channel == ChannelKind::User;
    systems.is_empty() || catalogue::find(request_type).is_none_or(|spec| spec.is_taken(systems, by_user))
}

/// The systems whose rules hold for this channel; an iPad is one of two until a user of a Shared iPad has spoken.
pub(super) fn systems(device: &DeviceRow, channel: &EnrollmentRow) -> &'static [Platform] {
    let by_user = channel.channel == ChannelKind::User;
    match device.platform.as_str() {
        "macOS" => &[Platform::MacOs],
        "iPadOS" if by_user => &[Platform::SharedIpad],
        "iPadOS" => &[Platform::IOs, Platform::SharedIpad],
        "iOS" => &[Platform::IOs],
        "tvOS" => &[Platform::TvOs],
        "visionOS" => &[Platform::VisionOs],
        "watchOS" => &[Platform::WatchOs],
        _ => &[],
    }
}

/// One channel and why each thing waits for it.
#[derive(Debug, Clone)]
pub struct ChannelStory {
    pub view: ChannelView,
    /// How the channel stands, most important first.
    pub words: Vec<String>,
    pub waiting: Vec<WaitingCommand>,
}

#[derive(Debug, Clone)]
pub struct WaitingCommand {
    pub uuid: String,
    pub request_type: String,
    pub state: &'static str,
    pub created_at: Timestamp,
    pub words: Vec<String>,
}

/// Commands explained for each channel; more are only counted.
const EXPLAINED: usize = 50;

/// What waits for whom and why: the device's own channel first, then its users.
///
/// # Errors
/// `NotFound` for the device, or for a user that it does not have.
pub fn explain(cx: &Context, actor: &Actor, device: &str, user: Option<&str>) -> Result<Vec<ChannelStory>, Error> {
    let shown = devices::show(cx, actor, device)?;
    let only = user.map(|user| devices::channel(cx, &shown.row, Some(user))).transpose()?.map(|channel| channel.id);
    let all = cx.store.read(|db| db.list_waiting_of_device(shown.row.id).map_err(Error::from))?;
    let mut stories = Vec::new();
    for view in shown.channels.into_iter().filter(|c| only.is_none_or(|id| id == c.row.id)) {
        let mut waiting = Vec::new();
        for delivery in all.iter().filter(|d| d.enrollment == view.row.id).take(EXPLAINED) {
            waiting.push(WaitingCommand {
                uuid: delivery.command.clone(),
                request_type: delivery.request_type.clone(),
                state: delivery.state.as_str(),
                created_at: delivery.created_at,
                words: commands::explain(cx, actor, &delivery.command)?,
            });
        }
        let words = in_words(cx, &view)?;
        stories.push(ChannelStory { view, words, waiting });
    }
    Ok(stories)
}

/// How a channel stands, for a person.
fn in_words(cx: &Context, view: &ChannelView) -> Result<Vec<String>, Error> {
    let row = &view.row;
    let who = match (&row.user_short_name, row.channel) {
        (Some(name), ChannelKind::User) => format!("{name}’s channel"),
        (None, ChannelKind::User) => String::from("This user's channel"),
        (_, ChannelKind::Device) => String::from("The device's own channel"),
    };
    let mut words = vec![match row.state {
        State::Active => format!("{who} can be called."),
        State::Started if row.channel == ChannelKind::User => {
            format!("{who} cannot be called: the user has not logged in since the device enrolled.")
        }
        State::Started => format!("{who} cannot be called yet: the enrolment is not finished."),
        State::Gone => format!("{who} is gone: the device checked out."),
    }];
    if let Some(why) = view.push.as_ref().and_then(|p| p.dead_why.as_ref()) {
        words.push(format!("Apple does not deliver to it: {why}. It is served when it comes by itself."));
    }
    if row.not_on_console {
        words.push(String::from("The user's session is not the one on the screen."));
    }
    if let Some(story) = cx.store.read(|db| setting_up::in_words(db, row))? {
        words.push(story);
    }
    if row.awaiting_configuration {
        words.push(String::from("Setup Assistant waits there until the set-up is done."));
    }
    if let Some(series) = cx.store.read(|db| db.find_series(row.id))? {
        words.push(match (series.kind, series.open) {
            (Series::Login, true) => format!("A login waits since {}; {} command(s) went out.", series.since, series.handed_out),
            (Series::Setup, true) => String::from("Setup Assistant is reading passcode policies; everything is kept for the first login."),
            (Series::Setup, false) => {
                String::from("Setup Assistant has read the passcode policies. There is no account yet; everything goes out at the first login.")
            }
            (Series::Login, false) => {
                format!("At the login of {} {} command(s) went out.", series.since, series.handed_out)
            }
        });
    }
    Ok(words)
}

/// A profile on one channel: what is assigned, what the device acknowledged, what it last said itself.
#[derive(Debug, Clone)]
pub struct ProfileOnChannel {
    pub id: Option<String>,
    pub identifier: String,
    pub name: String,
    /// The version that is assigned now; `None` when it is not wanted (any more).
    pub wanted: Option<i64>,
    pub installed: Option<i64>,
    /// Whether the channel's last ProfileList named it; `None` when it was never asked.
    pub reported: Option<bool>,
    pub words: String,
}

/// The profiles of every channel of a device, or of one user's.
///
/// # Errors
/// As [`explain`].
pub fn profiles(
    cx: &Context,
    actor: &Actor,
    device: &str,
    user: Option<&str>,
) -> Result<Vec<(ChannelView, Vec<ProfileOnChannel>)>, Error> {
    let shown = devices::show(cx, actor, device)?;
    let only = user.map(|user| devices::channel(cx, &shown.row, Some(user))).transpose()?.map(|channel| channel.id);
    let mut all = Vec::new();
    for view in shown.channels.into_iter().filter(|c| only.is_none_or(|id| id == c.row.id)) {
        let profiles = profiles_of(cx, &view.row)?;
        all.push((view, profiles));
    }
    Ok(all)
}

pub(super) fn profiles_of(cx: &Context, channel: &EnrollmentRow) -> Result<Vec<ProfileOnChannel>, Error> {
    let reported = reported(cx, channel)?;
    let is_reported = |identifier: &str| reported.as_ref().map(|all| all.iter().any(|(id, _)| id == identifier));
    let now = cx.now();
    let (wanted, have) = cx
        .store
        .read(|db| Ok::<_, Error>((reconciling::wanted(db, channel, now)?, db.list_channel_profiles(channel.id)?)))?;
    let mut found = Vec::new();
    let device = cx.store.read(|db| db.find_device(channel.device))?;
    let device = device.ok_or_else(|| Error::internal("a channel without its device"))?;
    for due in &wanted {
        let profile = &due.profile;
        let known = have.iter().find(|h| h.profile == profile.id);
        let installed = known.and_then(|h| h.installed);
        let held = match &due.held {
            Some(why) => Some(why.clone()),
            None if known.is_none() => cx.store.read(|db| library::unfit(db, &device, channel, profile))?,
            None => None,
        };
        let words = match known {
            _ if held.is_some() => held.unwrap_or_default(),
            None => String::from("assigned, not sent yet"),
            Some(_) if installed == Some(profile.version) => String::from("installed"),
            Some(h) if h.failed_at.is_some() && h.version == profile.version => match h.next_try_at {
                Some(at) => format!("refused by the device {} time(s); tried again at {at}", h.failures),
                None => format!("refused by the device {} times; not tried again before somebody says so", h.failures),
            },
            Some(h) if h.gone_at.is_some() && !h.comes_back => {
                String::from("taken off the device by its user; it is let be")
            }
            Some(h) => format!("on its way ({})", h.state.map_or("forgotten", |s| s.as_str())),
        };
        found.push(ProfileOnChannel {
            id: Some(profile.public_id.clone()),
            identifier: profile.identifier.clone(),
            name: profile.name.clone(),
            wanted: Some(profile.version),
            installed,
            reported: is_reported(&profile.identifier),
            words,
        });
    }
    for h in have.iter().filter(|h| !wanted.iter().any(|w| w.profile.id == h.profile)) {
        found.push(ProfileOnChannel {
            id: Some(h.public_id.clone()),
            identifier: h.identifier.clone(),
            name: h.name.clone(),
            wanted: None,
            installed: h.installed,
            reported: is_reported(&h.identifier),
            words: String::from("no longer assigned; being removed"),
        });
    }
    for (identifier, name) in reported.unwrap_or_default() {
        if !found.iter().any(|p| p.identifier == identifier) {
            let words = String::from("reported by the device; not from the library");
            let reported = Some(true);
            found.push(ProfileOnChannel { id: None, name, identifier, wanted: None, installed: None, reported, words });
        }
    }
    Ok(found)
}

/// Identifier and name of each profile in the channel's last ProfileList.
fn reported(cx: &Context, channel: &EnrollmentRow) -> Result<Option<Vec<(String, String)>>, Error> {
    let answer = cx.store.read(|db| -> Result<_, Error> {
        let Some(delivery) = db.find_last_acknowledged_on(channel.id, "ProfileList")? else { return Ok(None) };
        Ok(db.find_result(delivery.seq)?.and_then(|r| r.sealed_answer).map(|sealed| (delivery.seq, sealed)))
    })?;
    let Some((seq, sealed)) = answer else { return Ok(None) };
    let answer = answers::open_answer(cx, seq, &sealed)?;
    let text = |dict: &Dictionary, key: &str| dict.get(key).and_then(|v| v.as_string()).unwrap_or_default().to_owned();
    let list = answer.get("ProfileList").and_then(|v| v.as_array()).into_iter().flatten();
    Ok(Some(
        list.filter_map(|v| v.as_dictionary())
            .map(|dict| (text(dict, "PayloadIdentifier"), text(dict, "PayloadDisplayName")))
            .collect(),
    ))
}
