//! Webhooks over the API: made, listed, changed, removed, tried, and the log of what they were told.

use super::reply::json;
use super::views::Page;
use super::{Call, Response};
use crate::base::time::HOUR;
use crate::service::Error;
use crate::service::webhooks::{self, WebhookView, Wish};
use crate::store::HookDelivery;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    pub name: String,
    /// `https://…`, or `http://` to this machine.
    pub url: String,
    /// Kinds of event, like `command.acknowledged`; everything when empty or left out.
    #[serde(default)]
    pub events: Vec<String>,
    pub enabled: Option<bool>,
}

/// What is left out stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookChange {
    pub name: Option<String>,
    pub url: Option<String>,
    pub events: Option<Vec<String>>,
    pub enabled: Option<bool>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Webhook {
    pub id: String,
    pub name: String,
    pub url: String,
    /// Empty for everything.
    pub events: Vec<String>,
    pub enabled: bool,
    pub created_by: String,
    pub created_at: String,
    /// Events that it has not been told yet.
    pub waiting: i64,
    /// After a rotation the secret before signs too until then.
    pub old_secret_until: Option<String>,
    /// Signs what is sent; only in the answer that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookDelivery {
    /// As in `X-Cordon-Delivery`; the same on every attempt.
    pub id: String,
    pub event: String,
    pub kind: String,
    /// When it happened.
    pub at: String,
    /// `waiting`, `delivered` or `given_up`.
    pub state: &'static str,
    pub attempts: u32,
    pub last_attempt: Option<String>,
    /// HTTP status of the last answer; null when there was none.
    pub last_status: Option<u16>,
    /// The beginning of the last answer, or why there was none.
    pub last_answer: Option<String>,
    pub next_attempt: Option<String>,
    pub delivered_at: Option<String>,
    pub given_up_at: Option<String>,
    /// What is sent.
    pub payload: Value,
}

pub fn list(call: &Call<'_>) -> Result<Response, Error> {
    let items = webhooks::list(call.cx, &call.actor)?.into_iter().map(|view| webhook(view, None)).collect();
    Ok(json(200, &Page { items, next_cursor: None }))
}

pub fn create(call: &Call<'_>) -> Result<Response, Error> {
    let body: NewWebhook = call.body()?;
    let wish = Wish { name: Some(body.name), url: Some(body.url), kinds: Some(body.events), enabled: body.enabled };
    let (view, secret) = webhooks::create(call.cx, &call.actor, &wish)?;
    Ok(json(201, &webhook(view, Some(secret.expose().clone()))))
}

pub fn show(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    Ok(json(200, &webhook(webhooks::show(call.cx, &call.actor, id)?, None)))
}

pub fn change(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let body: WebhookChange = call.body()?;
    let wish = Wish { name: body.name, url: body.url, kinds: body.events, enabled: body.enabled };
    Ok(json(200, &webhook(webhooks::change(call.cx, &call.actor, id, &wish)?, None)))
}

pub fn remove(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    webhooks::remove(call.cx, &call.actor, id)?;
    Ok(Response::empty(204))
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SecretRotation {
    /// How long the old secret signs too: 0 to 720, 24 when left out.
    #[schema(minimum = 0, maximum = 720)]
    pub overlap_hours: Option<i64>,
}

pub fn rotate(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let body: SecretRotation = call.body()?;
    let overlap = body.overlap_hours.unwrap_or(24).saturating_mul(HOUR);
    let (view, secret) = webhooks::rotate(call.cx, &call.actor, id, overlap)?;
    Ok(json(200, &webhook(view, Some(secret.expose().clone()))))
}

pub fn redeliver(call: &Call<'_>, id: &str, which: &str) -> Result<Response, Error> {
    Ok(json(202, &delivery(webhooks::redeliver(call.cx, &call.actor, id, which)?)))
}

pub fn test(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    Ok(json(202, &delivery(webhooks::test(call.cx, &call.actor, id)?)))
}

pub fn deliveries(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    let limit = call.limit()?;
    let mut rows = webhooks::deliveries(call.cx, &call.actor, id, call.cursor()?, limit + 1)?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows.last().filter(|_| more).map(|row| row.seq.to_string());
    Ok(json(200, &Page { items: rows.into_iter().map(delivery).collect(), next_cursor }))
}

fn webhook(view: WebhookView, secret: Option<String>) -> Webhook {
    let WebhookView { row, waiting } = view;
    Webhook {
        id: row.id,
        name: row.name,
        url: row.url,
        events: row.kinds,
        enabled: row.enabled,
        created_by: row.created_by,
        created_at: row.created_at.to_string(),
        waiting,
        old_secret_until: row.old.map(|(_, until)| until.to_string()),
        secret,
    }
}

fn delivery(row: HookDelivery) -> WebhookDelivery {
    let state = match (row.delivered_at, row.given_up_at) {
        (Some(_), _) => "delivered",
        (None, Some(_)) => "given_up",
        (None, None) => "waiting",
    };
    WebhookDelivery {
        id: webhooks::delivery_id(&row),
        next_attempt: webhooks::next_attempt(&row).map(|t| t.to_string()),
        event: row.event_id,
        kind: row.kind,
        at: row.at.to_string(),
        state,
        attempts: row.attempts,
        last_attempt: row.last_at.map(|t| t.to_string()),
        last_status: row.last_status,
        last_answer: row.last_answer,
        delivered_at: row.delivered_at.map(|t| t.to_string()),
        given_up_at: row.given_up_at.map(|t| t.to_string()),
        payload: serde_json::from_str(&row.payload).unwrap_or_default(),
    }
}
