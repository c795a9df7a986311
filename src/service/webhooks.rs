//! Webhooks: whom to tell of which events. The secret that signs is made here, shown once, and kept sealed. `telling` sends.

use super::actor::{Actor, Permission};
use super::events::{self, Kind};
use super::{Context, Error, auditing};
use crate::base::ids::short_code;
use crate::base::limits::{MAX_WEBHOOK_URL, MAX_WEBHOOKS};
use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::base::time::{DAY, Timestamp};
use crate::store::{HookDelivery, WebhookRow};
use base64::Engine;
use http::Uri;
use serde_json::json;
use std::net::IpAddr;

/// Every signing secret begins so.
const PREFIX: &str = "whsec_";
/// The kind of [`test`]'s event; not one to choose, it goes only where it is asked for.
pub const TEST: &str = "webhook.test";
/// Events removed at once, so that no write holds the others up.
const FORGET_STEP: usize = 200;

/// What a webhook is to be; `None` keeps what is (or takes the default of a new one).
#[derive(Debug, Clone, Default)]
pub struct Wish {
    pub name: Option<String>,
    pub url: Option<String>,
    /// Words of [`Kind`]; empty for everything.
    pub kinds: Option<Vec<String>>,
    pub enabled: Option<bool>,
}

/// A webhook with how many events it has not been told yet.
#[derive(Debug, Clone)]
pub struct WebhookView {
    pub row: WebhookRow,
    pub waiting: i64,
}

/// The place that a webhook's secret is sealed for.
pub(super) fn secret_place(id: &str) -> String {
    format!("webhook/{id}")
}

/// Makes a webhook; the secret is in the answer and nowhere else.
///
/// # Errors
/// `Invalid` for a URL or kind that is none; `Conflict` when there are too many; `Denied` for anybody but the owner.
pub fn create(cx: &Context, actor: &Actor, wish: &Wish) -> Result<(WebhookView, Secret<String>), Error> {
    actor.require(Permission::Administer)?;
    let secret = mint(cx);
    let now = cx.now();
    let id = format!("wh-{}", short_code(&cx.random_bytes::<8>()));
    let mut row = WebhookRow {
        sealed_secret: cx.seal(&secret_place(&id), secret.expose().as_bytes()),
        id,
        name: String::new(),
        url: String::new(),
        kinds: Vec::new(),
        enabled: true,
        created_by: actor.name(),
        created_at: now,
        old: None,
    };
    let whole = Wish {
        name: Some(wish.name.clone().unwrap_or_default()),
        url: Some(wish.url.clone().unwrap_or_default()),
        ..wish.clone()
    };
    apply(&mut row, &whole)?;
    cx.store.write(|tx| {
        if tx.list_webhooks()?.len() >= MAX_WEBHOOKS {
            return Err(Error::conflict(Text::TooManyWebhooks { limit: MAX_WEBHOOKS }));
        }
        tx.insert_webhook(&row)?;
        auditing::record(tx, actor, "webhook.create", Some(&row.id), Some(audited(&row)), now)
    })?;
    events::reload(cx)?;
    Ok((WebhookView { row, waiting: 0 }, secret))
}

pub fn list(cx: &Context, actor: &Actor) -> Result<Vec<WebhookView>, Error> {
    actor.require(Permission::Administer)?;
    cx.store.read(|db| {
        let rows = db.list_webhooks()?;
        rows.into_iter().map(|row| Ok(WebhookView { waiting: db.count_untold(&row.id)?, row })).collect()
    })
}

/// # Errors
/// `NotFound`.
pub fn show(cx: &Context, actor: &Actor, id: &str) -> Result<WebhookView, Error> {
    actor.require(Permission::Administer)?;
    cx.store.read(|db| {
        let row = db.find_webhook(id)?.ok_or_else(|| missing(id))?;
        Ok(WebhookView { waiting: db.count_untold(&row.id)?, row })
    })
}

/// Changes what the wish names. What waits is tried at once, under the new URL.
///
/// # Errors
/// As [`create`] and [`show`].
pub fn change(cx: &Context, actor: &Actor, id: &str, wish: &Wish) -> Result<WebhookView, Error> {
    actor.require(Permission::Administer)?;
    let now = cx.now();
    cx.store.write(|tx| {
        let mut row = tx.find_webhook(id)?.ok_or_else(|| missing(id))?;
        apply(&mut row, wish)?;
        tx.update_webhook(&row)?;
        tx.hasten_untold(id, now)?;
        auditing::record(tx, actor, "webhook.change", Some(id), Some(audited(&row)), now)
    })?;
    events::reload(cx)?;
    cx.wake_teller();
    show(cx, actor, id)
}

/// Removes a webhook with its log; what it has not been told is not told any more.
///
/// # Errors
/// `NotFound`.
pub fn remove(cx: &Context, actor: &Actor, id: &str) -> Result<(), Error> {
    actor.require(Permission::Administer)?;
    let now = cx.now();
    cx.store.write(|tx| {
        if !tx.delete_webhook(id)? {
            return Err(missing(id));
        }
        auditing::record(tx, actor, "webhook.remove", Some(id), None, now)
    })?;
    events::reload(cx)
}

/// Owes this webhook an event of the kind [`TEST`], after what already waits for it, and tries at once.
///
/// # Errors
/// `NotFound`; `Conflict` for one that is switched off.
pub fn test(cx: &Context, actor: &Actor, id: &str) -> Result<HookDelivery, Error> {
    actor.require(Permission::Administer)?;
    let now = cx.now();
    let delivery = cx.store.write(|tx| {
        let row = tx.find_webhook(id)?.ok_or_else(|| missing(id))?;
        if !row.enabled {
            return Err(Error::conflict(Text::WebhookDisabled { id: id.to_owned() }));
        }
        let event =
            events::write(cx, tx, TEST, None, now, json!({ "message": "A test of this webhook.", "webhook": id }))?;
        let seq = tx.owe_event(event, id, now)?;
        tx.hasten_untold(id, now)?;
        auditing::record(tx, actor, "webhook.test", Some(id), None, now)?;
        tx.find_hook_delivery(seq)?.ok_or_else(|| Error::internal("the delivery just made is not there"))
    })?;
    cx.wake_teller();
    Ok(delivery)
}

/// What became of each event, newest first.
///
/// # Errors
/// `NotFound`.
pub fn deliveries(
    cx: &Context,
    actor: &Actor,
    id: &str,
    before: Option<i64>,
    limit: usize,
) -> Result<Vec<HookDelivery>, Error> {
    actor.require(Permission::Administer)?;
    cx.store.read(|db| {
        db.find_webhook(id)?.ok_or_else(|| missing(id))?;
        Ok(db.list_hook_deliveries(id, before, limit)?)
    })
}

/// Makes a new secret, which is in the answer and nowhere else. The one before signs too for `overlap` milliseconds (at most 30 days), so
/// that the receiver can change over; 0 ends it at once.
///
/// # Errors
/// `NotFound`; `Invalid` for an overlap that is too long.
pub fn rotate(cx: &Context, actor: &Actor, id: &str, overlap: i64) -> Result<(WebhookView, Secret<String>), Error> {
    actor.require(Permission::Administer)?;
    if !(0..=30 * DAY).contains(&overlap) {
        let why = String::from("must be from 0 to 720");
        return Err(Error::invalid(Text::BadArgument { key: String::from("overlap_hours"), why }));
    }
    let secret = mint(cx);
    let sealed = cx.seal(&secret_place(id), secret.expose().as_bytes());
    let now = cx.now();
    cx.store.write(|tx| {
        let row = tx.find_webhook(id)?.ok_or_else(|| missing(id))?;
        let until = now.plus(overlap);
        let old = (overlap > 0).then_some((row.sealed_secret.as_slice(), until));
        tx.put_webhook_secret(id, &sealed, old)?;
        let detail = json!({ "old_until": old.map(|o| o.1.to_string()) });
        auditing::record(tx, actor, "webhook.rotate", Some(id), Some(detail), now)
    })?;
    Ok((show(cx, actor, id)?, secret))
}

/// Tells something again that was told or given up, under the same id, after what already waits.
///
/// # Errors
/// `NotFound`; `Conflict` for a webhook that is switched off.
pub fn redeliver(cx: &Context, actor: &Actor, id: &str, delivery: &str) -> Result<HookDelivery, Error> {
    actor.require(Permission::Administer)?;
    let now = cx.now();
    let again = cx.store.write(|tx| {
        let row = tx.find_webhook(id)?.ok_or_else(|| missing(id))?;
        if !row.enabled {
            return Err(Error::conflict(Text::WebhookDisabled { id: id.to_owned() }));
        }
        let unknown = || Error::not_found(Text::NoSuchDelivery { id: delivery.chars().take(64).collect() });
        // Both the id of the event and that of the telling will do.
        let event = delivery.split('.').next().unwrap_or_default();
        let seq = tx.find_told(event, id)?.ok_or_else(unknown)?;
        let seq = tx.owe_event(seq, id, now)?;
        auditing::record(tx, actor, "webhook.redeliver", Some(id), Some(json!({ "event": event })), now)?;
        tx.find_hook_delivery(seq)?.ok_or_else(|| Error::internal("the delivery just made is not there"))
    })?;
    cx.wake_teller();
    Ok(again)
}

fn mint(cx: &Context) -> Secret<String> {
    let random = Secret::new(cx.random_bytes::<32>());
    Secret::new(format!("{PREFIX}{}", base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(random.expose())))
}

/// Removes some of what is older than 30 days; nothing while the clock cannot be trusted. Returns how many events went.
pub fn forget_old(cx: &Context) -> Result<usize, Error> {
    let before = cx.now().plus(-cx.store.read(super::purging::find)?.webhook_log * DAY);
    if cx.clock_is_behind().is_some() || !cx.store.read(|db| db.has_event_before(before))? {
        return Ok(0);
    }
    cx.store.write(|tx| Ok(tx.forget_events(before, FORGET_STEP)?))
}

/// The id that a receiver knows a telling by; the same on every attempt.
pub fn delivery_id(delivery: &HookDelivery) -> String {
    format!("{}.{}", delivery.event_id, delivery.webhook)
}

/// When a delivery that waits is tried again.
pub fn next_attempt(delivery: &HookDelivery) -> Option<Timestamp> {
    (delivery.delivered_at.is_none() && delivery.given_up_at.is_none()).then_some(delivery.due_at)
}

fn missing(id: &str) -> Error {
    Error::not_found(Text::NoSuchWebhook { id: id.chars().take(64).collect() })
}

/// Only the host of the URL: many services put a key into the path.
fn audited(row: &WebhookRow) -> serde_json::Value {
    let host = row.url.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
    json!({ "name": row.name, "host": host, "kinds": row.kinds, "enabled": row.enabled })
}

fn apply(row: &mut WebhookRow, wish: &Wish) -> Result<(), Error> {
    if let Some(name) = &wish.name {
        if name.is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
            return Err(Error::invalid(Text::BadArgument {
                key: String::from("name"),
                why: String::from("must have 1 to 100 characters"),
            }));
        }
        row.name.clone_from(name);
    }
    if let Some(url) = &wish.url {
        check_url(url).map_err(|why| Error::invalid(Text::BadWebhookUrl { why }))?;
        row.url.clone_from(url);
    }
    if let Some(kinds) = &wish.kinds {
        row.kinds.clear();
        for kind in kinds {
            let known = Kind::find(kind)
                .ok_or_else(|| Error::invalid(Text::UnknownEventKind { kind: events::bounded(kind) }))?;
            if !row.kinds.iter().any(|k| k == known.as_str()) {
                row.kinds.push(known.as_str().to_owned());
            }
        }
    }
    row.enabled = wish.enabled.unwrap_or(row.enabled);
    Ok(())
}

/// `https` to anywhere (the owner decides), plain `http` to this machine only; no credentials, which logs would show.
fn check_url(url: &str) -> Result<(), &'static str> {
    if url.len() > MAX_WEBHOOK_URL {
        return Err("it is too long");
    }
    if url.bytes().any(|b| b == b'#' || b == b'\\' || !b.is_ascii_graphic()) {
        return Err("it holds a character that does not belong into a URL");
    }
    let uri: Uri = url.parse().map_err(|_| "it is not a URL")?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err("it does not begin with https://");
    };
    if authority.as_str().contains('@') {
        return Err("it holds a user name or password; let the receiver check the signature instead");
    }
    let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let port_is_bad = !port.is_empty() && authority.port_u16().is_none_or(|port| port == 0);
    if host.is_empty() || port_is_bad {
        return Err("it names no host, or no port that can be");
    }
    match scheme {
        "https" => Ok(()),
        "http" if host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) => {
            Ok(())
        }
        "http" => Err("plain http goes to this machine only; use https"),
        _ => Err("it does not begin with https://"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_urls_may_be_told() {
        for good in [
            "https://hooks.hill.example/cordon?x=1",
            "https://10.1.2.3:8443/a",
            "https://[2001:db8::1]/",
            "http://127.0.0.1:9000/",
            "http://127.9.9.9/",
            "http://[::1]:9000/x",
            "http://LOCALHOST:1/",
        ] {
            assert_eq!(check_url(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "hooks.hill.example",
            "/path",
            "ftp://a/",
            "file:///etc/passwd",
            "http://hooks.hill.example/",
            "http://127.0.0.1.evil.example/",
            "http://10.0.0.1/",
            "http://localhost@evil.example/",
            "https://user:pass@a/",
            "https://user@a/",
            "https://",
            "https://:443/",
            "https://a:0/",
            "https://a:99999/",
            "https://a b/",
            "https://a/#x",
            "https://a/\n",
            "https://a\\@b/",
            "gopher://localhost/",
        ] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
        assert!(check_url(&format!("https://a/{}", "x".repeat(MAX_WEBHOOK_URL))).is_err());
    }
}
