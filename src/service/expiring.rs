//! Everything that ends soon, told to webhooks and by e-mail 60, 30, 14, 7 and 1 days before. Called by `jobs`; renewal is not here.

use super::events::{self, Kind};
use super::expiry::{self, Entry};
use super::{Context, Error};
use crate::base::time::{DAY, Timestamp};
use serde_json::{Map, Value, json};

/// Days before the end at which it is told.
const STEPS: [i64; 5] = [1, 7, 14, 30, 60];
/// Setting: the last step told, by certificate.
const TOLD: &str = "expiry_told";

/// What a webhook is told of one thing that ends.
fn event(entry: &Entry, now: Timestamp) -> Value {
    let (name, ends, days_left) = (events::bounded(&entry.name), entry.not_after.to_string(), entry.days_left(now));
    let title = events::bounded(&entry.title());
    match entry.key.strip_prefix("token/") {
        Some(id) => {
            json!({ "token": { "id": id, "name": name, "title": title, "expires_at": ends, "days_left": days_left, "what": entry.what } })
        }
        None => {
            json!({ "certificate": { "purpose": entry.kind, "name": name, "title": title, "not_after": ends, "days_left": days_left, "what": entry.what } })
        }
    }
}

fn kind(entry: &Entry) -> Kind {
    if entry.kind == "token" { Kind::TokenExpiring } else { Kind::CertificateExpiring }
}

/// Tells of certificates that end soon (push, TLS, the school's own authorities) and of API tokens. Once for each step.
pub fn tell(cx: &Context) -> Result<(), Error> {
    let wanted = [Kind::CertificateExpiring, Kind::TokenExpiring].iter().any(|kind| events::wants(cx, *kind));
    if !wanted || cx.clock_is_behind().is_some() {
        return Ok(());
    }
    let now = cx.now();
    let before = cx.store.read(|db| db.find_setting(TOLD))?.unwrap_or_default();
    let (mut told, mut due) = (Map::new(), Vec::new());
    // Identities of devices and certificates of accounts renew by themselves all the time; together they are no event.
    for watched in
        expiry::entries(cx)?.into_iter().filter(|entry| !matches!(entry.kind, "identities" | "account-certificates"))
    {
        let Some(step) = step(watched.not_after.since(now)) else { continue };
        told.insert(watched.key.clone(), json!(step));
        if before.get(&watched.key).and_then(Value::as_i64).is_none_or(|last| last > step) {
            due.push(watched);
        }
    }
    if due.is_empty() {
        return Ok(());
    }
    cx.store.write(|tx| {
        for watched in &due {
            events::record(cx, tx, kind(watched), None, now, || event(watched, now))?;
        }
        tx.put_setting(TOLD, &Value::Object(told)).map_err(Error::from)
    })?;
    cx.ring_teller();
    Ok(())
}

/// The nearest step that `left` milliseconds have reached.
fn step(left: i64) -> Option<i64> {
    STEPS.into_iter().find(|days| left <= days * DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_reached_in_turn() {
        let table = [
            (61, None),
            (60, Some(60)),
            (31, Some(60)),
            (30, Some(30)),
            (14, Some(14)),
            (8, Some(14)),
            (7, Some(7)),
            (1, Some(1)),
            (0, Some(1)),
            (-3, Some(1)),
        ];
        for (days, wanted) in table {
            assert_eq!(step(days * DAY), wanted, "{days}");
        }
    }
}
