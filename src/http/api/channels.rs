//! `/devices/{id}/explain` and `/devices/{id}/profiles`: the device and each of its users, side by side.

use super::reply::json;
use super::views::{self, Page};
use super::{Call, Response};
use crate::base::texts::Text;
use crate::service::devices::ChannelView;
use crate::service::login_policy::{self, SharedIpadUsers};
use crate::service::{Error, channels};
use crate::store::ChannelKind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub struct Channel {
    /// `device` or `user`.
    pub channel: &'static str,
    /// For a user's: short name and UserID.
    pub user: Option<String>,
    pub user_id: Option<String>,
    pub state: &'static str,
    pub last_seen: Option<String>,
    pub not_on_console: bool,
    /// Unfinished commands.
    pub waiting: i64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct WaitingCommand {
    pub command_uuid: String,
    pub request_type: String,
    pub state: &'static str,
    pub created_at: String,
    pub words: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ChannelStory {
    pub channel: Channel,
    /// How the channel stands, most important first.
    pub words: Vec<String>,
    /// The first 50 that wait, in the order they go out.
    pub commands: Vec<WaitingCommand>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ProfileOnChannel {
    /// Cordon's id; null for one that is not in the library.
    pub id: Option<String>,
    pub identifier: String,
    pub name: String,
    /// The assigned version; null when it is not assigned.
    pub wanted: Option<i64>,
    /// The version that the device acknowledged.
    pub installed: Option<i64>,
    /// Whether the channel's last ProfileList named it; null when it was never asked.
    pub reported: Option<bool>,
    pub words: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ChannelProfiles {
    pub channel: Channel,
    pub profiles: Vec<ProfileOnChannel>,
}

/// What the school decided about its users' logins.
#[derive(Debug, Serialize, ToSchema)]
pub struct LoginPolicy {
    /// How long a Mac may hold a login up.
    pub login_seconds: i64,
    /// `everyone`, or `known`: people of the school's list.
    pub shared_ipad_users: &'static str,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginPolicyWish {
    #[schema(minimum = 1, maximum = 300)]
    pub login_seconds: Option<i64>,
    /// `everyone` or `known`.
    pub shared_ipad_users: Option<String>,
}

pub fn show_policy(call: &Call<'_>) -> Result<Response, Error> {
    Ok(json(200, &policy(login_policy::show(call.cx, &call.actor)?)))
}

pub fn set_policy(call: &Call<'_>) -> Result<Response, Error> {
    let wish: LoginPolicyWish = call.body()?;
    let bad = || {
        let why = String::from("is neither everyone nor known");
        Error::invalid(Text::BadArgument { key: String::from("shared_ipad_users"), why })
    };
    let shared = wish.shared_ipad_users.map(|text| SharedIpadUsers::find(&text).ok_or_else(bad)).transpose()?;
    Ok(json(200, &policy(login_policy::set(call.cx, &call.actor, wish.login_seconds, shared)?)))
}

fn policy(policy: login_policy::LoginPolicy) -> LoginPolicy {
    LoginPolicy { login_seconds: policy.login_seconds, shared_ipad_users: policy.shared_ipad_users.as_str() }
}

pub fn explain(call: &Call<'_>, device: &str) -> Result<Response, Error> {
    let stories = channels::explain(call.cx, &call.actor, device, call.query("user").as_deref())?;
    let items = stories.into_iter().map(|story| ChannelStory {
        channel: channel(&story.view),
        words: story.words,
        commands: story
            .waiting
            .into_iter()
            .map(|c| WaitingCommand {
                command_uuid: c.uuid,
                request_type: c.request_type,
                state: c.state,
                created_at: c.created_at.to_string(),
                words: c.words,
            })
            .collect(),
    });
    Ok(json(200, &Page { items: items.collect(), next_cursor: None }))
}

pub fn profiles(call: &Call<'_>, device: &str) -> Result<Response, Error> {
    let all = channels::profiles(call.cx, &call.actor, device, call.query("user").as_deref())?;
    let items = all.into_iter().map(|(view, profiles)| ChannelProfiles {
        channel: channel(&view),
        profiles: profiles
            .into_iter()
            .map(|p| ProfileOnChannel {
                id: p.id,
                identifier: p.identifier,
                name: p.name,
                wanted: p.wanted,
                installed: p.installed,
                reported: p.reported,
                words: p.words,
            })
            .collect(),
    });
    Ok(json(200, &Page { items: items.collect(), next_cursor: None }))
}

fn channel(view: &ChannelView) -> Channel {
    let row = &view.row;
    Channel {
        channel: row.channel.as_str(),
        user: row.user_short_name.clone().filter(|_| row.channel == ChannelKind::User),
        user_id: row.user_id.clone(),
        state: row.state.as_str(),
        last_seen: views::text(view.last_seen_at),
        not_on_console: row.not_on_console,
        waiting: view.waiting,
    }
}
