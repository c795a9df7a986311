//! Webhooks, the events that they are told of, and what became of each telling.

use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

/// Whom to tell. `sealed_secret` is sealed for the place `webhook/<id>`.
#[derive(Debug, Clone)]
pub struct WebhookRow {
    pub id: String,
    pub name: String,
    pub url: String,
    pub sealed_secret: Vec<u8>,
    /// Empty for everything.
    pub kinds: Vec<String>,
    pub enabled: bool,
    pub created_by: String,
    pub created_at: Timestamp,
    /// The secret before, sealed for the same place, and until when it signs too.
    pub old: Option<(Vec<u8>, Timestamp)>,
}

/// One event for one webhook, with how far it has come.
#[derive(Debug, Clone)]
pub struct HookDelivery {
    pub seq: i64,
    pub webhook: String,
    pub event_id: String,
    pub kind: String,
    /// When it happened.
    pub at: Timestamp,
    /// The JSON that is sent.
    pub payload: String,
    pub attempts: u32,
    pub due_at: Timestamp,
    pub last_at: Option<Timestamp>,
    /// HTTP status of the last answer; `None` when there was no answer.
    pub last_status: Option<u16>,
    /// The beginning of the last answer, or why there was none.
    pub last_answer: Option<String>,
    pub delivered_at: Option<Timestamp>,
    pub given_up_at: Option<Timestamp>,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub struct NewEvent<'a> {
    pub public_id: &'a str,
    pub kind: &'a str,
    pub device: Option<i64>,
    pub payload: &'a str,
}

/// One attempt, and what follows from it. Neither delivered nor given up: it is due again.
#[derive(Debug, Clone)]
pub struct Attempt<'a> {
    pub at: Timestamp,
    pub status: Option<u16>,
    pub answer: &'a str,
    pub delivered: bool,
    pub given_up: bool,
    pub due_at: Timestamp,
}

const WEBHOOK: &str = "id, name, url, sealed_secret, kinds, enabled, created_by, created_at, sealed_old, old_until";
const DELIVERY: &str =
    "y.seq, y.webhook, e.public_id, e.kind, e.at, e.payload, y.attempts, y.due_at, y.last_at, y.last_status,
     y.last_answer, y.delivered_at, y.given_up_at";
const WAITING: &str = "delivered_at IS NULL AND given_up_at IS NULL";

fn row_to_webhook(row: &Row<'_>) -> Result<WebhookRow, StoreError> {
    let kinds: String = row.get("kinds")?;
    Ok(WebhookRow {
        id: row.get("id")?,
        name: row.get("name")?,
        url: row.get("url")?,
        sealed_secret: row.get("sealed_secret")?,
        kinds: serde_json::from_str(&kinds).map_err(|_| StoreError::Corrupt("the kinds of a webhook"))?,
        enabled: row.get("enabled")?,
        created_by: row.get("created_by")?,
        created_at: Timestamp(row.get("created_at")?),
        old: row
            .get::<_, Option<Vec<u8>>>("sealed_old")?
            .zip(row.get("old_until").map(|at: Option<i64>| at.map(Timestamp))?),
    })
}

fn row_to_delivery(row: &Row<'_>) -> rusqlite::Result<HookDelivery> {
    let at = |name: &str| row.get::<_, Option<i64>>(name).map(|v| v.map(Timestamp));
    Ok(HookDelivery {
        seq: row.get("seq")?,
        webhook: row.get("webhook")?,
        event_id: row.get("public_id")?,
        kind: row.get("kind")?,
        at: Timestamp(row.get("at")?),
        payload: row.get("payload")?,
        attempts: row.get("attempts")?,
        due_at: Timestamp(row.get("due_at")?),
        last_at: at("last_at")?,
        last_status: row.get("last_status")?,
        last_answer: row.get("last_answer")?,
        delivered_at: at("delivered_at")?,
        given_up_at: at("given_up_at")?,
    })
}

impl Db<'_> {
    pub fn find_webhook(&self, id: &str) -> Result<Option<WebhookRow>, StoreError> {
        let sql = format!("SELECT {WEBHOOK} FROM webhook WHERE id = ?1");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let mut rows = statement.query([id])?;
        rows.next()?.map(row_to_webhook).transpose()
    }

    pub fn list_webhooks(&self) -> Result<Vec<WebhookRow>, StoreError> {
        let sql = format!("SELECT {WEBHOOK} FROM webhook ORDER BY created_at, id");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let mut rows = statement.query([])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(row_to_webhook(row)?);
        }
        Ok(found)
    }

    /// What a webhook has not been told yet, in the order in which it happened.
    pub fn list_untold(&self, webhook: &str, limit: usize) -> Result<Vec<HookDelivery>, StoreError> {
        let sql = format!(
            "SELECT {DELIVERY} FROM webhook_delivery y JOIN event e ON e.seq = y.event
             WHERE y.webhook = ?1 AND y.delivered_at IS NULL AND y.given_up_at IS NULL ORDER BY y.seq LIMIT ?2"
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map(params![webhook, limit as i64], row_to_delivery)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub fn count_untold(&self, webhook: &str) -> Result<i64, StoreError> {
        let sql = format!("SELECT count(*) FROM webhook_delivery WHERE webhook = ?1 AND {WAITING}");
        Ok(self.conn.prepare_cached(&sql)?.query_row([webhook], |row| row.get(0))?)
    }

    /// The log of a webhook, newest first.
    pub fn list_hook_deliveries(
        &self,
        webhook: &str,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<HookDelivery>, StoreError> {
        let sql = format!(
            "SELECT {DELIVERY} FROM webhook_delivery y JOIN event e ON e.seq = y.event
             WHERE y.webhook = ?1 AND (?2 IS NULL OR y.seq < ?2) ORDER BY y.seq DESC LIMIT ?3"
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map(params![webhook, before, limit as i64], row_to_delivery)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub fn find_hook_delivery(&self, seq: i64) -> Result<Option<HookDelivery>, StoreError> {
        let sql = format!("SELECT {DELIVERY} FROM webhook_delivery y JOIN event e ON e.seq = y.event WHERE y.seq = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([seq], row_to_delivery).optional()?)
    }

    /// The number of an event that this webhook was told, by the id that receivers know.
    pub fn find_told(&self, event: &str, webhook: &str) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT e.seq FROM webhook_delivery y JOIN event e ON e.seq = y.event
                   WHERE e.public_id = ?1 AND y.webhook = ?2 LIMIT 1";
        Ok(self.conn.prepare_cached(sql)?.query_row([event, webhook], |row| row.get(0)).optional()?)
    }

    /// How many events are on record.
    pub fn count_events(&self) -> Result<i64, StoreError> {
        Ok(self.conn.prepare_cached("SELECT count(*) FROM event")?.query_row([], |row| row.get(0))?)
    }

    /// Whether an event older than `before` is on record.
    pub fn has_event_before(&self, before: Timestamp) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM event WHERE at < ?1)";
        Ok(self.conn.prepare_cached(sql)?.query_row([before.0], |row| row.get(0))?)
    }

    /// Enabled webhooks that want this kind.
    pub fn list_takers(&self, kind: &str) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT id FROM webhook WHERE enabled = 1
                   AND (kinds = '[]' OR EXISTS (SELECT 1 FROM json_each(kinds) WHERE value = ?1)) ORDER BY id";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([kind], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Tx<'_> {
    pub fn insert_webhook(&self, new: &WebhookRow) -> Result<(), StoreError> {
        self.conn.execute(
            "INSERT INTO webhook (id, name, url, sealed_secret, kinds, enabled, created_by, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![new.id, new.name, new.url, new.sealed_secret, kinds_text(new), new.enabled, new.created_by, new.created_at.0],
        )?;
        Ok(())
    }

    /// Name, URL, kinds and whether it is enabled.
    pub fn update_webhook(&self, row: &WebhookRow) -> Result<(), StoreError> {
        let sql = "UPDATE webhook SET name = ?2, url = ?3, kinds = ?4, enabled = ?5 WHERE id = ?1";
        self.conn.execute(sql, params![row.id, row.name, row.url, kinds_text(row), row.enabled])?;
        Ok(())
    }

    /// A new secret; the one before goes on until `old.1`.
    pub fn put_webhook_secret(
        &self,
        id: &str,
        sealed: &[u8],
        old: Option<(&[u8], Timestamp)>,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE webhook SET sealed_secret = ?2, sealed_old = ?3, old_until = ?4 WHERE id = ?1";
        self.conn.execute(sql, params![id, sealed, old.map(|o| o.0), old.map(|o| o.1.0)])?;
        Ok(())
    }

    /// With its log; `false` when there is none.
    pub fn delete_webhook(&self, id: &str) -> Result<bool, StoreError> {
        self.conn.execute("DELETE FROM webhook_delivery WHERE webhook = ?1", [id])?;
        Ok(self.conn.execute("DELETE FROM webhook WHERE id = ?1", [id])? == 1)
    }

    /// Returns its sequence number.
    pub fn insert_event(&self, new: &NewEvent<'_>, now: Timestamp) -> Result<i64, StoreError> {
        let sql = "INSERT INTO event (public_id, at, kind, device, payload) VALUES (?1, ?2, ?3, ?4, ?5)";
        self.conn.prepare_cached(sql)?.execute(params![new.public_id, now.0, new.kind, new.device, new.payload])?;
        Ok(self.conn.last_insert_rowid())
    }

    /// Returns the delivery's sequence number.
    pub fn owe_event(&self, event: i64, webhook: &str, now: Timestamp) -> Result<i64, StoreError> {
        let sql = "INSERT INTO webhook_delivery (webhook, event, due_at) VALUES (?1, ?2, ?3)";
        self.conn.prepare_cached(sql)?.execute(params![webhook, event, now.0])?;
        Ok(self.conn.last_insert_rowid())
    }

    /// Touches nothing when the webhook was removed meanwhile.
    pub fn note_attempt(&self, seq: i64, attempt: &Attempt<'_>) -> Result<(), StoreError> {
        let sql =
            "UPDATE webhook_delivery SET attempts = attempts + 1, last_at = ?2, last_status = ?3, last_answer = ?4,
                       delivered_at = ?5, given_up_at = ?6, due_at = ?7 WHERE seq = ?1 AND delivered_at IS NULL";
        let delivered = attempt.delivered.then_some(attempt.at.0);
        let given_up = attempt.given_up.then_some(attempt.at.0);
        let values = params![seq, attempt.at.0, attempt.status, attempt.answer, delivered, given_up, attempt.due_at.0];
        self.conn.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Gives up all that a webhook should have been told before `before`, and tries the next only at `due_at`.
    pub fn give_up_untold(
        &self,
        webhook: &str,
        before: Timestamp,
        due_at: Timestamp,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let sql = format!(
            "UPDATE webhook_delivery SET given_up_at = ?3 WHERE webhook = ?1 AND {WAITING}
             AND event IN (SELECT seq FROM event WHERE at <= ?2)"
        );
        let given_up = self.conn.execute(&sql, params![webhook, before.0, now.0])?;
        let sql = format!(
            "UPDATE webhook_delivery SET due_at = ?2
             WHERE seq = (SELECT min(seq) FROM webhook_delivery WHERE webhook = ?1 AND {WAITING})"
        );
        self.conn.execute(&sql, params![webhook, due_at.0])?;
        Ok(given_up)
    }

    /// Somebody changed or tries the webhook: what waits for another attempt is due now.
    pub fn hasten_untold(&self, webhook: &str, now: Timestamp) -> Result<(), StoreError> {
        let sql = format!("UPDATE webhook_delivery SET due_at = ?2 WHERE webhook = ?1 AND {WAITING} AND due_at > ?2");
        self.conn.execute(&sql, params![webhook, now.0])?;
        Ok(())
    }

    /// Removes events from before `before` with what was told of them, oldest first; returns how many events.
    pub fn forget_events(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let old = "SELECT seq FROM event WHERE at < ?1 ORDER BY at, seq LIMIT ?2";
        let values = params![before.0, limit as i64];
        self.conn.execute(&format!("DELETE FROM webhook_delivery WHERE event IN ({old})"), values)?;
        self.conn.execute(&format!("DELETE FROM mail_delivery WHERE event IN ({old})"), values)?;
        Ok(self.conn.execute(&format!("DELETE FROM event WHERE seq IN ({old})"), values)?)
    }
}

fn kinds_text(row: &WebhookRow) -> String {
    serde_json::Value::from(row.kinds.clone()).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;

    fn webhook(id: &str, kinds: &[&str], enabled: bool) -> WebhookRow {
        WebhookRow {
            id: id.into(),
            name: "n".into(),
            url: "https://hook.example/".into(),
            sealed_secret: vec![1],
            kinds: kinds.iter().map(|k| (*k).to_owned()).collect(),
            enabled,
            created_by: "t".into(),
            created_at: Timestamp(1),
            old: None,
        }
    }

    #[test]
    fn takers_order_giving_up_and_forgetting() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let run = |tx: &Tx<'_>| -> Result<(), StoreError> {
            tx.insert_webhook(&webhook("all", &[], true))?;
            tx.insert_webhook(&webhook("some", &["b"], true))?;
            tx.insert_webhook(&webhook("off", &[], false))?;
            assert_eq!(tx.list_takers("a")?, ["all"]);
            assert_eq!(tx.list_takers("b")?, ["all", "some"]);
            for (n, at) in [(1, 100), (2, 200), (3, 300)] {
                let id = format!("e-{n}");
                let event = tx.insert_event(
                    &NewEvent { public_id: &id, kind: "a", device: None, payload: "{}" },
                    Timestamp(at),
                )?;
                tx.owe_event(event, "all", Timestamp(at))?;
            }
            let ids = |rows: &[HookDelivery]| rows.iter().map(|r| r.event_id.clone()).collect::<Vec<_>>();
            let untold = tx.list_untold("all", 10)?;
            assert_eq!(ids(&untold), ["e-1", "e-2", "e-3"]);
            let attempt = Attempt {
                at: Timestamp(400),
                status: Some(200),
                answer: "ok",
                delivered: true,
                given_up: false,
                due_at: Timestamp(400),
            };
            tx.note_attempt(untold[0].seq, &attempt)?;
            assert_eq!(tx.give_up_untold("all", Timestamp(200), Timestamp(999), Timestamp(400))?, 1);
            let left = tx.list_untold("all", 10)?;
            assert_eq!((ids(&left), left[0].due_at), (vec!["e-3".to_owned()], Timestamp(999)));
            tx.hasten_untold("all", Timestamp(500))?;
            assert_eq!(tx.list_untold("all", 1)?[0].due_at, Timestamp(500));
            let log = tx.list_hook_deliveries("all", None, 2)?;
            assert_eq!(ids(&log), ["e-3", "e-2"]);
            assert_eq!(ids(&tx.list_hook_deliveries("all", Some(log[1].seq), 2)?), ["e-1"]);
            assert_eq!(tx.forget_events(Timestamp(300), 1)?, 1);
            assert_eq!(tx.forget_events(Timestamp(300), 10)?, 1);
            assert_eq!((tx.count_events()?, tx.count_untold("all")?), (1, 1));
            assert!(tx.delete_webhook("all")?);
            assert!(!tx.delete_webhook("all")?);
            Ok(())
        };
        store.write(run).unwrap();
    }
}
