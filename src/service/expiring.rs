//! Certificates and API tokens that end soon, told to webhooks 60, 30, 14, 7 and 1 days before. Called by `jobs`; renewal is not here.

use super::events::{self, Kind};
use super::{Context, Error, serving};
use crate::base::time::{DAY, Timestamp};
use crate::pki::x509::Certificate;
use crate::store::Purpose;
use serde_json::{Map, Value, json};

/// Days before the end at which it is told.
const STEPS: [i64; 5] = [1, 7, 14, 30, 60];
/// Setting: the last step told, by certificate.
const TOLD: &str = "expiry_told";

/// A certificate or a token that the school lives by.
struct Watched {
    /// Another one after each renewal.
    key: String,
    purpose: &'static str,
    kind: Kind,
    name: String,
    not_after: Timestamp,
}

impl Watched {
    fn tell(&self, now: Timestamp) -> Value {
        let (name, ends) = (events::bounded(&self.name), self.not_after.to_string());
        let days_left = self.not_after.since(now).div_euclid(DAY);
        match self.kind {
            Kind::TokenExpiring => {
                json!({ "token": { "id": self.purpose_id(), "name": name, "expires_at": ends, "days_left": days_left } })
            }
            _ => {
                json!({ "certificate": { "purpose": self.purpose, "name": name, "not_after": ends, "days_left": days_left } })
            }
        }
    }

    /// What comes after `token/`.
    fn purpose_id(&self) -> &str {
        self.key.split_once('/').map_or("", |(_, id)| id)
    }
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
    for watched in list(cx)? {
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
            events::record(cx, tx, watched.kind, None, now, || watched.tell(now))?;
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

fn list(cx: &Context) -> Result<Vec<Watched>, Error> {
    let mut all = Vec::new();
    for row in cx.store.read(|db| db.list_push_certificates())? {
        // A request that has not come back has no dates.
        if !row.chain_pem.is_empty() {
            let key = format!("push/{}/{}", row.topic, row.not_after.0);
            all.push(Watched {
                key,
                purpose: "push",
                kind: Kind::CertificateExpiring,
                name: row.topic,
                not_after: row.not_after,
            });
        }
    }
    let foreign = serving::find_foreign(cx)?;
    let own_tls = foreign.is_none();
    if let Some((fingerprint, name, not_after)) = foreign {
        let (key, purpose) = (format!("tls/{fingerprint}"), Purpose::Tls.as_str());
        all.push(Watched { key, purpose, kind: Kind::CertificateExpiring, name, not_after });
    }
    for purpose in [Purpose::Tls, Purpose::Issuing, Purpose::Root] {
        if purpose == Purpose::Tls && !own_tls {
            continue;
        }
        if let Some(row) = cx.store.read(|db| db.find_authority(purpose))? {
            let certificate = Certificate::parse(&row.der).map_err(Error::internal)?;
            let key = format!("{}/{}", purpose.as_str(), hex::encode(certificate.fingerprint()));
            all.push(Watched {
                key,
                purpose: purpose.as_str(),
                kind: Kind::CertificateExpiring,
                name: certificate.subject(),
                not_after: certificate.not_after(),
            });
        }
    }
    for token in cx.store.read(|db| db.list_tokens())? {
        if let (Some(not_after), None) = (token.expires_at, token.revoked_at) {
            let key = format!("token/{}", token.id);
            all.push(Watched { key, purpose: "token", kind: Kind::TokenExpiring, name: token.name, not_after });
        }
    }
    Ok(all)
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
