//! Custody: secrets of devices, sealed, every generation kept; and the requests of the two-person rule.

use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

/// One generation of one kind of secret of one device, still sealed.
#[derive(Debug, Clone)]
pub struct SecretRow {
    pub kind: String,
    pub generation: i64,
    /// `None`: a command cleared this secret on the device.
    pub sealed_value: Option<Vec<u8>>,
    pub created_at: Timestamp,
    pub withdrawn_at: Option<Timestamp>,
    /// The command that carried it to the device.
    pub command: Option<String>,
    pub confirmed_at: Option<Timestamp>,
    /// That command has not been answered yet.
    pub pending: bool,
}

/// A generation to be added. `sealed_value` is sealed for the place `secret/<device>/<kind>/<generation>`.
#[derive(Debug, Clone)]
pub struct NewSecret<'a> {
    pub device: i64,
    pub kind: &'a str,
    pub generation: i64,
    pub sealed_value: Option<&'a [u8]>,
    /// Carried to the device by this command and not yet confirmed; without one the device itself sent it.
    pub command: Option<&'a str>,
}

/// Somebody asked to see a secret under the two-person rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRequestRow {
    pub id: String,
    pub device: i64,
    pub kind: String,
    pub generation: i64,
    pub reason: String,
    pub asked_by: String,
    pub asked_at: Timestamp,
    pub approved_by: Option<String>,
    pub approved_at: Option<Timestamp>,
    pub used_at: Option<Timestamp>,
    /// The ClearPasscode that it was used for.
    pub command: Option<String>,
}

const COLUMNS: &str = "s.kind, s.generation, s.sealed_value, s.created_at, s.withdrawn_at, s.command, s.confirmed_at,
     EXISTS (SELECT 1 FROM delivery y WHERE y.command = s.command AND y.finished_at IS NULL) AS pending";
const REQUEST: &str =
    "id, device, kind, generation, reason, asked_by, asked_at, approved_by, approved_at, used_at, command";

fn row_to_secret(row: &Row<'_>) -> rusqlite::Result<SecretRow> {
    Ok(SecretRow {
        kind: row.get("kind")?,
        generation: row.get("generation")?,
        sealed_value: row.get("sealed_value")?,
        created_at: Timestamp(row.get("created_at")?),
        withdrawn_at: row.get::<_, Option<i64>>("withdrawn_at")?.map(Timestamp),
        command: row.get("command")?,
        confirmed_at: row.get::<_, Option<i64>>("confirmed_at")?.map(Timestamp),
        pending: row.get("pending")?,
    })
}

fn row_to_request(row: &Row<'_>) -> rusqlite::Result<SecretRequestRow> {
    Ok(SecretRequestRow {
        id: row.get("id")?,
        device: row.get("device")?,
        kind: row.get("kind")?,
        generation: row.get("generation")?,
        reason: row.get("reason")?,
        asked_by: row.get("asked_by")?,
        asked_at: Timestamp(row.get("asked_at")?),
        approved_by: row.get("approved_by")?,
        approved_at: row.get::<_, Option<i64>>("approved_at")?.map(Timestamp),
        used_at: row.get::<_, Option<i64>>("used_at")?.map(Timestamp),
        command: row.get("command")?,
    })
}

impl Db<'_> {
    /// The newest generation of one kind.
    pub fn find_secret(&self, device: i64, kind: &str) -> Result<Option<SecretRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM secret s WHERE s.device = ?1 AND s.kind = ?2 ORDER BY s.generation DESC LIMIT 1"
        );
        Ok(self.conn.prepare_cached(&sql)?.query_row(params![device, kind], row_to_secret).optional()?)
    }

    /// Every generation, of one kind or of all, newest first within its kind.
    pub fn list_secrets(&self, device: i64, kind: Option<&str>) -> Result<Vec<SecretRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM secret s WHERE s.device = ?1 AND (?2 IS NULL OR s.kind = ?2) ORDER BY s.kind, s.generation DESC"
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map(params![device, kind], row_to_secret)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What this command carried to its device.
    pub fn list_secrets_of_command(&self, uuid: &str) -> Result<Vec<SecretRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM secret s WHERE s.command = ?1");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map([uuid], row_to_secret)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub fn find_secret_request(&self, id: &str) -> Result<Option<SecretRequestRow>, StoreError> {
        let sql = format!("SELECT {REQUEST} FROM secret_request WHERE id = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([id], row_to_request).optional()?)
    }

    /// Whether a second person agreed to this very command.
    pub fn is_agreed_command(&self, command: &str) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM secret_request WHERE command = ?1 AND approved_at IS NOT NULL)";
        Ok(self.conn.prepare_cached(sql)?.query_row([command], |row| row.get(0))?)
    }

    /// Requests asked since then that have not been used, newest first.
    pub fn list_secret_requests(&self, since: Timestamp) -> Result<Vec<SecretRequestRow>, StoreError> {
        let sql = format!(
            "SELECT {REQUEST} FROM secret_request WHERE used_at IS NULL AND asked_at >= ?1 ORDER BY asked_at DESC"
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map([since.0], row_to_request)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Tx<'_> {
    /// Adds a generation.
    pub fn insert_secret(&self, new: &NewSecret<'_>, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO secret (device, kind, generation, sealed_value, created_at, command, confirmed_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let confirmed = new.command.is_none().then_some(now.0);
        let values = params![new.device, new.kind, new.generation, new.sealed_value, now.0, new.command, confirmed];
        self.conn.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// The device took it back: no longer handed out, but kept.
    pub fn withdraw_secret(&self, device: i64, kind: &str, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE secret SET withdrawn_at = ?3 WHERE device = ?1 AND kind = ?2 AND withdrawn_at IS NULL";
        self.conn.prepare_cached(sql)?.execute(params![device, kind, now.0])?;
        Ok(())
    }

    /// The device acknowledged the command that carried these secrets.
    pub fn confirm_secrets(&self, command: &str, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE secret SET confirmed_at = ?2 WHERE command = ?1 AND confirmed_at IS NULL";
        self.conn.prepare_cached(sql)?.execute(params![command, now.0])?;
        Ok(())
    }

    pub fn insert_secret_request(&self, row: &SecretRequestRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO secret_request (id, device, kind, generation, reason, asked_by, asked_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let values = params![row.id, row.device, row.kind, row.generation, row.reason, row.asked_by, row.asked_at.0];
        self.conn.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    pub fn approve_secret_request(&self, id: &str, by: &str, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE secret_request SET approved_by = ?2, approved_at = ?3 WHERE id = ?1 AND approved_at IS NULL";
        self.conn.prepare_cached(sql)?.execute(params![id, by, now.0])?;
        Ok(())
    }

    /// Names the command that a used request was for.
    pub fn spend_secret_request_on(&self, id: &str, command: &str) -> Result<(), StoreError> {
        let sql = "UPDATE secret_request SET command = ?2 WHERE id = ?1 AND used_at IS NOT NULL AND command IS NULL";
        self.conn.prepare_cached(sql)?.execute([id, command])?;
        Ok(())
    }

    pub fn use_secret_request(&self, id: &str, now: Timestamp) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("UPDATE secret_request SET used_at = ?2 WHERE id = ?1")?
            .execute(params![id, now.0])?;
        Ok(())
    }
}
