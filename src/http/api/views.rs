//! The shapes of the API, in one place: what a list item, a device, a command looks like as JSON. Dates RFC 3339, data base64.

use crate::base::time::Timestamp;
use crate::protocol::catalogue;
use crate::protocol::lifecycle::State;
use crate::service::commands::CommandView;
use crate::service::devices::{ChannelView, DeviceView};
use crate::service::renewing::Standing;
use crate::store::{ArrivalRow, AuditRow, ChannelKind, PersonRow, PushCertificateRow, TimelineRow, TokenRow};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

pub(super) fn text(at: Option<Timestamp>) -> Option<String> {
    at.map(|t| t.to_string())
}

/// One page of a list. `next_cursor` is given back as `cursor` for the next page, and null on the last.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T: ToSchema> {
    pub items: Vec<T>,
    pub next_cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Push {
    /// `ok`, `dead` (Apple refuses the token; waits for the device) or `never`.
    pub state: &'static str,
    pub why: Option<String>,
    pub last_sent: Option<String>,
    pub next: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct User {
    pub user_id: Option<String>,
    pub short_name: Option<String>,
    pub long_name: Option<String>,
    pub state: &'static str,
    pub last_seen: Option<String>,
    /// The user's session is not the one on the screen.
    pub not_on_console: bool,
    /// A user of a Shared iPad; else of a Mac.
    pub shared_ipad: bool,
    pub waiting: i64,
    pub push: Push,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct TimelineItem {
    pub at: String,
    pub kind: String,
    pub command: Option<String>,
    pub detail: Option<Value>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Arrival {
    /// `ota`, `profile` or `ade`.
    pub way: String,
    /// By what right: `invitation:…`, `person:…` or `device:…`.
    pub visitor: String,
    pub at: String,
    /// What the device said of itself under the signature of its built-in identity, with Apple's keys.
    pub attributes: Option<Value>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Device {
    /// Cordon's own id; stays with the physical device.
    pub id: String,
    pub serial: Option<String>,
    pub name: Option<String>,
    pub platform: String,
    pub model: Option<String>,
    pub model_name: Option<String>,
    pub product_name: Option<String>,
    pub os_version: Option<String>,
    pub build_version: Option<String>,
    /// `Started`, `Active` or `Gone`; null if it never enrolled.
    pub state: Option<&'static str>,
    /// UDID, or EnrollmentID where there is no UDID.
    pub udid: Option<String>,
    pub last_seen: Option<String>,
    pub created_at: String,
    /// Unfinished commands of the device itself.
    pub waiting: i64,
    pub push: Push,
    pub users: Vec<User>,
    /// As the device last said it; null until it did.
    pub supervised: Option<bool>,
    /// `no`, `lost` or `missing`: what people say.
    pub lost: &'static str,
    pub lost_since: Option<String>,
    pub lost_by: Option<String>,
    /// What the device acknowledged.
    pub lost_mode: bool,
    /// Since when an administrator wants it to leave and stay away.
    pub blocked_at: Option<String>,
    /// Since when an administrator wants this enrolment to end.
    pub dismissed_at: Option<String>,
    /// Only where one device is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<IdentityDates>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline: Option<Vec<TimelineItem>>,
    /// How it came in, if through the enrolment page or by itself; only in the answer about one device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrival: Option<Arrival>,
    /// Whose it is, if it was enrolled for a person of the school; only in the answer about one device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<DevicePerson>,
}

/// Whose device it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct DevicePerson {
    pub id: String,
    pub short_name: String,
    pub long_name: Option<String>,
}

/// Dates of the certificate that a device speaks by, and how its renewal stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct IdentityDates {
    pub not_before: String,
    pub not_after: String,
    /// When it is renewed by itself.
    pub renew_at: String,
    pub renewal: Option<Renewal>,
}

/// The newest renewal of a device.
#[derive(Debug, Serialize, ToSchema)]
pub struct Renewal {
    /// `queued`, `proven` (the new identity was seen; the result is awaited), `done` or `failed`.
    pub state: &'static str,
    /// `identity`, `profile`, `authorities` or `asked`.
    pub reason: String,
    pub command_uuid: String,
    pub begun_at: String,
    pub finished_at: Option<String>,
    /// Why it failed.
    pub why: Option<String>,
    /// Failures in a row.
    pub failures: i64,
    pub next_try_at: Option<String>,
}

fn identity_dates(standing: Standing) -> IdentityDates {
    IdentityDates {
        not_before: standing.not_before.to_string(),
        not_after: standing.not_after.to_string(),
        renew_at: standing.due_at.to_string(),
        renewal: standing.last.map(|last| Renewal {
            state: last.state.as_str(),
            reason: last.reason,
            command_uuid: last.command,
            begun_at: last.created_at.to_string(),
            finished_at: text(last.finished_at),
            why: last.why,
            failures: last.failures,
            next_try_at: text(last.next_try_at),
        }),
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Command {
    pub command_uuid: String,
    pub request_type: String,
    pub device_id: String,
    /// Short name or UserID, for a command to a user's channel.
    pub user: Option<String>,
    /// Queued, Sent, NotNow, Acknowledged, Error, CommandFormatError, Cancelled, Expired or Cleared.
    pub state: &'static str,
    pub created_at: String,
    pub created_by: String,
    pub sent_count: i64,
    pub not_now_count: i64,
    pub finished_at: Option<String>,
    /// The device's answer with Apple's keys; secrets show as `{"sealed": KIND}`.
    pub result: Option<Value>,
    /// When the answer was purged, because the time that the school keeps answers was over.
    pub result_purged_at: Option<String>,
    pub error_chain: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<TimelineItem>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Explanation {
    pub command_uuid: String,
    pub state: &'static str,
    /// Sentences, most important first.
    pub words: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Token {
    pub id: String,
    pub name: String,
    pub role: &'static str,
    pub created_at: String,
    pub created_by: String,
    pub expires_at: Option<String>,
    pub last_used_at: Option<String>,
    pub revoked_at: Option<String>,
    /// The token itself; only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct PushCertificate {
    pub topic: String,
    pub subject: String,
    pub not_before: String,
    pub not_after: String,
    /// Used for new enrolments.
    pub current: bool,
    pub imported_at: String,
    /// Why Apple refuses it, if it does.
    pub paused_why: Option<String>,
    /// Who can renew it with the same topic.
    pub apple_account: Option<String>,
    pub warnings: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct AuditItem {
    pub seq: i64,
    pub at: String,
    /// `at` as milliseconds since 1970, as it is hashed.
    pub at_ms: i64,
    /// Who: `admin:NAME`, `token:NAME`, `local:USER`, `job:NAME`.
    pub actor: String,
    /// Where from: an address, `local` or `server`.
    pub origin: String,
    pub verb: String,
    pub subject: Option<String>,
    pub device: Option<String>,
    /// Why, in the words of the person.
    pub reason: Option<String>,
    /// `done` or `refused`.
    pub result: &'static str,
    pub detail: Option<Value>,
    /// Hash of the row before, hex.
    pub previous: String,
    /// Hex; covers this row and `previous`.
    pub hash: String,
}

fn push(channel: &ChannelView) -> Push {
    let row = channel.push.as_ref();
    let dead = row.and_then(|p| p.dead_why.clone());
    let sent = row.and_then(|p| p.last_sent_at);
    let state = if dead.is_some() {
        "dead"
    } else if sent.is_some() {
        "ok"
    } else {
        "never"
    };
    Push { state, why: dead, last_sent: text(sent), next: text(row.and_then(|p| p.due_at)) }
}

pub fn user(channel: &ChannelView) -> User {
    User {
        user_id: channel.row.user_id.clone(),
        short_name: channel.row.user_short_name.clone(),
        long_name: channel.row.user_long_name.clone(),
        state: channel.row.state.as_str(),
        last_seen: text(channel.last_seen_at),
        not_on_console: channel.row.not_on_console,
        shared_ipad: channel.row.user_id.is_none(),
        waiting: channel.waiting,
        push: push(channel),
    }
}

pub fn device(view: &DeviceView, timeline: Option<Vec<TimelineRow>>) -> Device {
    let own = view.channels.iter().filter(|c| c.row.channel == ChannelKind::Device);
    let channel = own.max_by_key(|c| (c.row.state == State::Active, c.row.id));
    let none = Push { state: "never", why: None, last_sent: None, next: None };
    let row = &view.row;
    Device {
        id: row.public_id.clone(),
        serial: row.serial.clone(),
        name: row.name.clone(),
        platform: row.platform.clone(),
        model: row.model.clone(),
        model_name: row.model_name.clone(),
        product_name: row.product_name.clone(),
        os_version: row.os_version.clone(),
        build_version: row.build_version.clone(),
        state: channel.map(|c| c.row.state.as_str()),
        udid: channel.map(|c| c.row.enrollment_id.clone()),
        last_seen: text(channel.and_then(|c| c.last_seen_at)),
        created_at: row.created_at.to_string(),
        waiting: channel.map_or(0, |c| c.waiting),
        push: channel.map_or(none, push),
        users: view.channels.iter().filter(|c| c.row.channel == ChannelKind::User).map(user).collect(),
        supervised: row.supervised,
        lost: row.lost.as_str(),
        lost_since: text(row.lost_since),
        lost_by: row.lost_by.clone(),
        lost_mode: row.lost_mode,
        blocked_at: text(channel.and_then(|c| c.row.blocked_at)),
        dismissed_at: text(channel.and_then(|c| c.row.dismissed_at)),
        identity: view.standing.clone().map(identity_dates),
        timeline: timeline.map(|rows| rows.into_iter().map(timeline_item).collect()),
        arrival: None,
        person: None,
    }
}

pub fn device_person(row: PersonRow) -> DevicePerson {
    DevicePerson { id: row.public_id, short_name: row.short_name, long_name: row.long_name }
}

pub fn arrival(row: ArrivalRow) -> Arrival {
    Arrival {
        way: row.way,
        visitor: row.visitor,
        at: row.created_at.to_string(),
        attributes: row.attributes.and_then(|kept| serde_json::from_str(&kept).ok()),
    }
}

fn timeline_item(row: TimelineRow) -> TimelineItem {
    let detail = row.detail.and_then(|d| serde_json::from_str(&d).ok());
    TimelineItem { at: row.at.to_string(), kind: row.kind, command: row.command, detail }
}

pub fn command(view: CommandView) -> Command {
    let delivery = view.delivery;
    let result_purged_at = text(view.result.as_ref().and_then(|r| r.purged_at));
    let error_chain = view.result.and_then(|r| r.error_chain).and_then(|chain| serde_json::from_str(&chain).ok());
    Command {
        result: view.answer.map(|answer| catalogue::to_json(&delivery.request_type, &answer)),
        result_purged_at,
        command_uuid: delivery.command,
        request_type: delivery.request_type,
        device_id: view.device_id,
        user: view.user,
        state: delivery.state.as_str(),
        created_at: delivery.created_at.to_string(),
        created_by: view.created_by,
        sent_count: delivery.sent_count,
        not_now_count: delivery.not_now_count,
        finished_at: text(delivery.finished_at),
        error_chain,
        history: view.history.into_iter().map(timeline_item).collect(),
    }
}

pub fn token(row: TokenRow, secret: Option<String>) -> Token {
    Token {
        id: row.id,
        name: row.name,
        role: row.role.as_str(),
        created_at: row.created_at.to_string(),
        created_by: row.created_by,
        expires_at: text(row.expires_at),
        last_used_at: text(row.last_used_at),
        revoked_at: text(row.revoked_at),
        token: secret,
    }
}

pub fn push_certificate(row: PushCertificateRow, warnings: Vec<String>) -> PushCertificate {
    PushCertificate {
        topic: row.topic,
        subject: row.subject,
        not_before: row.not_before.to_string(),
        not_after: row.not_after.to_string(),
        current: row.current,
        imported_at: row.imported_at.to_string(),
        paused_why: row.paused_why,
        apple_account: row.apple_account,
        warnings,
    }
}

pub fn audit(row: AuditRow) -> AuditItem {
    let entry = row.entry;
    AuditItem {
        seq: row.seq,
        at: entry.at.to_string(),
        at_ms: entry.at.0,
        actor: entry.actor,
        origin: entry.origin,
        verb: entry.verb,
        subject: entry.subject,
        device: entry.device,
        reason: entry.reason,
        result: if entry.done { "done" } else { "refused" },
        detail: entry.detail.and_then(|d| serde_json::from_str(&d).ok()),
        previous: hex::encode(row.previous),
        hash: hex::encode(row.hash),
    }
}
