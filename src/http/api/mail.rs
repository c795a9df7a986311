//! `/mail`: the server that takes our letters, whom they are for, a trial, and the log. Its password comes in and never goes out.

use super::reply::json;
use super::views::Page;
use super::{Call, Response};
use crate::base::secret::Secret;
use crate::service::Error;
use crate::service::mail::{self, MailView, Wish};
use crate::store::MailDelivery;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMailServer {
    /// Its name, without a port.
    pub host: String,
    /// 465 for `tls`, 587 for `starttls`, 25 for `plain` when left out.
    #[schema(minimum = 1, maximum = 65535)]
    pub port: Option<u16>,
    /// `tls` when left out, `starttls`, or `plain` for a server on this machine.
    pub security: Option<String>,
    pub username: Option<String>,
    /// Left out, the one that is held goes on, while server, name and authorities stay the same.
    pub password: Option<String>,
    /// PEM of the authorities that the server's certificate comes from; the public ones when left out.
    pub ca_pem: Option<String>,
    /// Whom letters come from.
    pub from: String,
    /// Whom they go to; 1 to 20.
    pub to: Vec<String>,
    /// Kinds of event; those that a person must do something about when empty or left out.
    #[serde(default)]
    pub events: Vec<String>,
    pub enabled: Option<bool>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MailServer {
    pub host: String,
    pub port: u16,
    pub security: String,
    pub username: Option<String>,
    pub own_ca: bool,
    pub from: String,
    pub to: Vec<String>,
    pub events: Vec<String>,
    pub enabled: bool,
    /// Events that the next letter will tell.
    pub waiting: i64,
    /// Attempts since a letter was last taken.
    pub attempts: u32,
    pub last_attempt: Option<String>,
    pub last_taken: Option<String>,
    /// Why the last attempt failed, or which recipients were refused.
    pub trouble: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MailTried {
    /// What the mail server said.
    pub answer: String,
    pub to: Vec<String>,
    pub refused: Vec<MailRefused>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MailRefused {
    pub address: String,
    pub why: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MailLine {
    pub kind: String,
    /// When it happened.
    pub at: String,
    /// `waiting`, `sent` or `given_up`.
    pub state: &'static str,
    pub sent_at: Option<String>,
    pub given_up_at: Option<String>,
    /// The event, as webhooks get it.
    pub event: Value,
}

pub fn show(call: &Call<'_>) -> Result<Response, Error> {
    Ok(json(200, &view(mail::show(call.cx, &call.actor)?)))
}

pub fn set(call: &Call<'_>) -> Result<Response, Error> {
    let body: NewMailServer = call.body()?;
    let wish = Wish {
        host: body.host,
        port: body.port,
        security: body.security,
        username: body.username,
        password: body.password.map(Secret::new),
        ca_pem: body.ca_pem,
        from: body.from,
        to: body.to,
        kinds: body.events,
        enabled: body.enabled,
    };
    Ok(json(200, &view(mail::set(call.cx, &call.actor, &wish)?)))
}

pub fn remove(call: &Call<'_>) -> Result<Response, Error> {
    mail::remove(call.cx, &call.actor)?;
    Ok(Response::empty(204))
}

pub fn test(call: &Call<'_>) -> Result<Response, Error> {
    let (taken, to) = mail::test(call.cx, &call.actor)?;
    let refused = taken.refused.into_iter().map(|(address, why)| MailRefused { address, why }).collect();
    Ok(json(200, &MailTried { answer: taken.answer, to, refused }))
}

pub fn log(call: &Call<'_>) -> Result<Response, Error> {
    let limit = call.limit()?;
    let mut rows = mail::log(call.cx, &call.actor, call.cursor()?, limit + 1)?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows.last().filter(|_| more).map(|row| row.seq.to_string());
    Ok(json(200, &Page { items: rows.into_iter().map(line).collect(), next_cursor }))
}

fn view(held: MailView) -> MailServer {
    let MailView { row, waiting } = held;
    MailServer {
        host: row.host,
        port: row.port,
        security: row.security,
        username: row.username,
        own_ca: row.ca_pem.is_some(),
        from: row.sender,
        to: row.recipients,
        events: row.kinds,
        enabled: row.enabled,
        waiting,
        attempts: row.attempts,
        last_attempt: row.last_at.map(|at| at.to_string()),
        last_taken: row.last_sent_at.map(|at| at.to_string()),
        trouble: row.trouble,
    }
}

fn line(row: MailDelivery) -> MailLine {
    let state = match (row.sent_at, row.given_up_at) {
        (Some(_), _) => "sent",
        (None, Some(_)) => "given_up",
        (None, None) => "waiting",
    };
    MailLine {
        kind: row.kind,
        at: row.at.to_string(),
        state,
        sent_at: row.sent_at.map(|at| at.to_string()),
        given_up_at: row.given_up_at.map(|at| at.to_string()),
        event: serde_json::from_str(&row.payload).unwrap_or_default(),
    }
}
