//! `/expiry`: the calendar of everything that ends, and the secret address of its feed.

use super::reply::json;
use super::views::Page;
use super::{Call, Response};
use crate::service::Error;
use crate::service::expiry::{self, Entry};
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub struct Expiry {
    /// push, tls, root, issuing, signer, escrow, identities or token.
    pub kind: &'static str,
    pub name: String,
    /// For identities of devices: the first of them.
    pub not_after: String,
    /// Negative when it is over.
    pub days_left: i64,
    pub count: usize,
    /// `alone`: by itself; `begun`: by itself once a person has begun it; `person`: a person must do it.
    pub renewal: &'static str,
    /// What happens by itself and what a person must do.
    pub what: String,
}

pub fn list(call: &Call<'_>) -> Result<Response, Error> {
    let now = call.cx.now();
    let view = |entry: Entry| Expiry {
        days_left: entry.days_left(now),
        kind: entry.kind,
        not_after: entry.not_after.to_string(),
        count: entry.count,
        renewal: entry.renewal.as_str(),
        name: entry.name,
        what: entry.what,
    };
    let items = expiry::list(call.cx, &call.actor)?.into_iter().map(view).collect();
    Ok(json(200, &Page { items, next_cursor: None }))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ExpiryFeed {
    /// For calendar programs; whoever knows it can read the calendar. Shown only now.
    pub url: String,
}

pub fn open_feed(call: &Call<'_>) -> Result<Response, Error> {
    Ok(json(201, &ExpiryFeed { url: expiry::open_feed(call.cx, &call.actor)? }))
}

pub fn close_feed(call: &Call<'_>) -> Result<Response, Error> {
    expiry::close_feed(call.cx, &call.actor)?;
    Ok(Response::empty(204))
}
