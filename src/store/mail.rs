//! The mail server that takes our letters, and the events that people are told of by them. `service::mail` and `service::mailing` decide.

use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

/// Where letters go, and how sending stands.
#[derive(Debug, Clone)]
pub struct MailServerRow {
    pub host: String,
    pub port: u16,
    /// `tls`, `starttls` or `plain`.
    pub security: String,
    pub username: Option<String>,
    /// Sealed for the place `mail/1/password`.
    pub sealed_password: Option<Vec<u8>>,
    pub ca_pem: Option<String>,
    pub sender: String,
    pub recipients: Vec<String>,
    /// Words of `service::events::Kind`.
    pub kinds: Vec<String>,
    pub enabled: bool,
    /// Since a letter was last taken.
    pub attempts: u32,
    pub due_at: Timestamp,
    pub last_at: Option<Timestamp>,
    pub last_sent_at: Option<Timestamp>,
    pub trouble: Option<String>,
}

/// One event for people, with what became of it.
#[derive(Debug, Clone)]
pub struct MailDelivery {
    pub seq: i64,
    pub kind: String,
    /// When it happened.
    pub at: Timestamp,
    /// The event's JSON.
    pub payload: String,
    pub sent_at: Option<Timestamp>,
    pub given_up_at: Option<Timestamp>,
}

const SERVER: &str =
    "host, port, security, username, sealed_password, ca_pem, sender, recipients, kinds, enabled, attempts, due_at,
     last_at, last_sent_at, trouble";
const DELIVERY: &str = "SELECT m.seq, e.kind, e.at, e.payload, m.sent_at, m.given_up_at FROM mail_delivery m JOIN event e ON e.seq = m.event";

fn row_to_delivery(row: &Row<'_>) -> rusqlite::Result<MailDelivery> {
    Ok(MailDelivery {
        seq: row.get("seq")?,
        kind: row.get("kind")?,
        at: Timestamp(row.get("at")?),
        payload: row.get("payload")?,
        sent_at: row.get::<_, Option<i64>>("sent_at")?.map(Timestamp),
        given_up_at: row.get::<_, Option<i64>>("given_up_at")?.map(Timestamp),
    })
}

fn words(text: &str) -> Result<Vec<String>, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Corrupt("a list of the mail server"))
}

impl Db<'_> {
    pub fn find_mail_server(&self) -> Result<Option<MailServerRow>, StoreError> {
        let mut statement = self.conn.prepare_cached(&format!("SELECT {SERVER} FROM mail_server"))?;
        let mut rows = statement.query([])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let at = |name: &str| row.get::<_, Option<i64>>(name).map(|at| at.map(Timestamp));
        Ok(Some(MailServerRow {
            host: row.get("host")?,
            port: row.get("port")?,
            security: row.get("security")?,
            username: row.get("username")?,
            sealed_password: row.get("sealed_password")?,
            ca_pem: row.get("ca_pem")?,
            sender: row.get("sender")?,
            recipients: words(&row.get::<_, String>("recipients")?)?,
            kinds: words(&row.get::<_, String>("kinds")?)?,
            enabled: row.get("enabled")?,
            attempts: row.get("attempts")?,
            due_at: Timestamp(row.get("due_at")?),
            last_at: at("last_at")?,
            last_sent_at: at("last_sent_at")?,
            trouble: row.get("trouble")?,
        }))
    }

    /// Events that wait for the next letter, oldest first.
    pub fn list_unmailed(&self, limit: usize) -> Result<Vec<MailDelivery>, StoreError> {
        let sql = format!("{DELIVERY} WHERE m.sent_at IS NULL AND m.given_up_at IS NULL ORDER BY m.seq LIMIT ?1");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map([limit as i64], row_to_delivery)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub fn count_unmailed(&self) -> Result<i64, StoreError> {
        let sql = "SELECT count(*) FROM mail_delivery WHERE sent_at IS NULL AND given_up_at IS NULL";
        Ok(self.conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    }

    /// When the oldest event that waits happened.
    pub fn find_oldest_unmailed(&self) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT e.at FROM mail_delivery m JOIN event e ON e.seq = m.event
                   WHERE m.sent_at IS NULL AND m.given_up_at IS NULL ORDER BY m.seq LIMIT 1";
        let at: Option<i64> = self.conn.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?;
        Ok(at.map(Timestamp))
    }

    /// What people were told, newest first.
    pub fn list_mail_deliveries(&self, before: Option<i64>, limit: usize) -> Result<Vec<MailDelivery>, StoreError> {
        let sql = format!("{DELIVERY} WHERE (?1 IS NULL OR m.seq < ?1) ORDER BY m.seq DESC LIMIT ?2");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map(params![before, limit as i64], row_to_delivery)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Tx<'_> {
    /// Sets the server, in the place of another; sending begins anew.
    pub fn put_mail_server(&self, row: &MailServerRow, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO mail_server
                       (id, host, port, security, username, sealed_password, ca_pem, sender, recipients, kinds, enabled, changed_at, last_sent_at)
                   VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
        let list = |words: &[String]| serde_json::Value::from(words.to_vec()).to_string();
        self.conn.prepare_cached(sql)?.execute(params![
            row.host,
            row.port,
            row.security,
            row.username,
            row.sealed_password,
            row.ca_pem,
            row.sender,
            list(&row.recipients),
            list(&row.kinds),
            row.enabled,
            now.0,
            row.last_sent_at.map(|at| at.0),
        ])?;
        Ok(())
    }

    /// With its log; `false` when there was none.
    pub fn delete_mail_server(&self) -> Result<bool, StoreError> {
        self.conn.execute("DELETE FROM mail_delivery", [])?;
        Ok(self.conn.execute("DELETE FROM mail_server", [])? == 1)
    }

    /// People are to be told of this event by the next letter.
    pub fn owe_mail(&self, event: i64) -> Result<(), StoreError> {
        self.conn.prepare_cached("INSERT INTO mail_delivery (event) VALUES (?1)")?.execute([event])?;
        Ok(())
    }

    /// A letter was taken that holds everything up to `last`; the next one goes no sooner than `due_at`.
    pub fn note_mail_sent(
        &self,
        last: Option<i64>,
        trouble: Option<&str>,
        due_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if let Some(last) = last {
            let sql =
                "UPDATE mail_delivery SET sent_at = ?2 WHERE seq <= ?1 AND sent_at IS NULL AND given_up_at IS NULL";
            self.conn.execute(sql, params![last, now.0])?;
        }
        let sql = "UPDATE mail_server SET attempts = 0, due_at = ?1, last_at = ?2, last_sent_at = ?2, trouble = ?3";
        self.conn.execute(sql, params![due_at.0, now.0, trouble])?;
        Ok(())
    }

    /// No letter was taken; what happened before `too_old` is told no more. Returns how much was given up.
    pub fn note_mail_failed(
        &self,
        trouble: &str,
        due_at: Timestamp,
        too_old: Timestamp,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let sql = "UPDATE mail_server SET attempts = attempts + 1, due_at = ?1, last_at = ?2, trouble = ?3";
        self.conn.execute(sql, params![due_at.0, now.0, trouble])?;
        let sql = "UPDATE mail_delivery SET given_up_at = ?2 WHERE sent_at IS NULL AND given_up_at IS NULL
                   AND event IN (SELECT seq FROM event WHERE at <= ?1)";
        Ok(self.conn.execute(sql, params![too_old.0, now.0])?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{NewEvent, Store};
    use super::*;

    #[test]
    fn one_letter_takes_all_that_waits() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let run = |tx: &Tx<'_>| -> Result<(), StoreError> {
            let row = MailServerRow {
                host: "mail.hill.example".into(),
                port: 465,
                security: "tls".into(),
                username: None,
                sealed_password: None,
                ca_pem: None,
                sender: "cordon@hill.example".into(),
                recipients: vec!["it@hill.example".into()],
                kinds: vec!["a".into()],
                enabled: true,
                attempts: 0,
                due_at: Timestamp(0),
                last_at: None,
                last_sent_at: None,
                trouble: None,
            };
            tx.put_mail_server(&row, Timestamp(1))?;
            for at in [100, 200, 300] {
                let id = format!("e-{at}");
                let new = NewEvent { public_id: &id, kind: "a", device: None, payload: "{}" };
                tx.owe_mail(tx.insert_event(&new, Timestamp(at))?)?;
            }
            assert_eq!((tx.count_unmailed()?, tx.find_oldest_unmailed()?), (3, Some(Timestamp(100))));
            assert_eq!(tx.note_mail_failed("no", Timestamp(400), Timestamp(100), Timestamp(350))?, 1);
            let waiting = tx.list_unmailed(10)?;
            assert_eq!(waiting.len(), 2);
            assert_eq!(tx.find_mail_server()?.map(|s| (s.attempts, s.due_at)), Some((1, Timestamp(400))));
            tx.note_mail_sent(Some(waiting[0].seq), None, Timestamp(900), Timestamp(500))?;
            assert_eq!(tx.list_unmailed(10)?.len(), 1);
            let log = tx.list_mail_deliveries(None, 10)?;
            assert_eq!(
                log.iter().map(|d| (d.sent_at, d.given_up_at)).collect::<Vec<_>>(),
                [(None, None), (Some(Timestamp(500)), None), (None, Some(Timestamp(350)))]
            );
            // The log of events is one: what is forgotten there is forgotten here.
            assert_eq!(tx.forget_events(Timestamp(1000), 10)?, 3);
            assert_eq!(tx.list_mail_deliveries(None, 10)?.len(), 0);
            assert!(tx.delete_mail_server()? && !tx.delete_mail_server()?);
            Ok(())
        };
        store.write(run).unwrap();
    }
}
