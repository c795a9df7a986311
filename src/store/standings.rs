//! By what right users' channels are there: who of a Mac's users is managed, and the hashes of their tokens and challenges.
//! `service::network_users` decides.

use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

/// What is kept of one user's channel.
#[derive(Debug, Clone)]
pub struct StandingRow {
    /// `installer`, `further`, `outside` or `managed`.
    pub standing: String,
    pub person: Option<i64>,
    pub token_hash: Option<[u8; 32]>,
    pub nonce_hash: Option<[u8; 32]>,
    pub nonce_expires_at: Option<Timestamp>,
}

fn row_to_standing(row: &Row<'_>) -> rusqlite::Result<StandingRow> {
    Ok(StandingRow {
        standing: row.get("standing")?,
        person: row.get("person")?,
        token_hash: row.get("token_hash")?,
        nonce_hash: row.get("nonce_hash")?,
        nonce_expires_at: row.get::<_, Option<i64>>("nonce_expires_at")?.map(Timestamp),
    })
}

impl Db<'_> {
    pub fn find_standing(&self, channel: &str) -> Result<Option<StandingRow>, StoreError> {
        let sql =
            "SELECT standing, person, token_hash, nonce_hash, nonce_expires_at FROM user_standing WHERE channel = ?1";
        Ok(self.conn.prepare_cached(sql)?.query_row([channel], row_to_standing).optional()?)
    }

    /// Whether some user's channel of this device is the installer's.
    pub fn has_installer(&self, device_channel: i64) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM user_standing WHERE device_channel = ?1 AND standing = 'installer')";
        Ok(self.conn.prepare_cached(sql)?.query_row([device_channel], |row| row.get(0))?)
    }

    /// Whether somebody in force has a digest secret and no known record: they can only be named by their digest.
    pub fn has_person_without_guid(&self) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM person p WHERE p.disabled_at IS NULL
                       AND EXISTS (SELECT 1 FROM person_digest d WHERE d.person = p.id)
                       AND NOT EXISTS (SELECT 1 FROM person_guid g WHERE g.person = p.id AND g.kind <> 'learned'))";
        Ok(self.conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    }
}

impl Tx<'_> {
    /// Says anew by what right a channel is there; a challenge that is open stays open.
    pub fn put_standing(
        &self,
        channel: &str,
        device_channel: i64,
        standing: &str,
        person: Option<i64>,
        token_hash: Option<&[u8; 32]>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO user_standing (channel, device_channel, standing, person, token_hash, since) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                   ON CONFLICT (channel) DO UPDATE SET device_channel = excluded.device_channel, standing = excluded.standing,
                       person = excluded.person, token_hash = excluded.token_hash, since = excluded.since";
        self.conn.prepare_cached(sql)?.execute(params![
            channel,
            device_channel,
            standing,
            person,
            token_hash,
            now.0
        ])?;
        Ok(())
    }

    /// Opens a challenge, in the place of an older one. What was decided before stays: a login that fails must not end one that did not.
    pub fn put_nonce(
        &self,
        channel: &str,
        device_channel: i64,
        nonce_hash: &[u8; 32],
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO user_standing (channel, device_channel, standing, nonce_hash, nonce_expires_at, since)
                       VALUES (?1, ?2, 'outside', ?3, ?4, ?5)
                   ON CONFLICT (channel) DO UPDATE SET nonce_hash = excluded.nonce_hash, nonce_expires_at = excluded.nonce_expires_at,
                       standing = CASE WHEN standing = 'managed' THEN standing ELSE 'outside' END";
        self.conn.prepare_cached(sql)?.execute(params![channel, device_channel, nonce_hash, expires_at.0, now.0])?;
        Ok(())
    }

    /// Closes the challenge of a channel, answered or not.
    pub fn forget_nonce(&self, channel: &str) -> Result<(), StoreError> {
        let sql = "UPDATE user_standing SET nonce_hash = NULL, nonce_expires_at = NULL WHERE channel = ?1";
        self.conn.prepare_cached(sql)?.execute([channel])?;
        Ok(())
    }

    /// Of the network users of one device that were not let in, all but the `keep` latest are forgotten.
    pub fn trim_outside(&self, device_channel: i64, keep: usize) -> Result<(), StoreError> {
        let sql = "DELETE FROM user_standing WHERE channel IN (SELECT channel FROM user_standing
                       WHERE device_channel = ?1 AND standing = 'outside' ORDER BY since DESC LIMIT -1 OFFSET ?2)";
        self.conn.prepare_cached(sql)?.execute(params![device_channel, keep as i64])?;
        Ok(())
    }

    /// The device enrolled anew: who installed the profile is open again, and every token is worthless.
    pub fn forget_standings(&self, device_channel: i64) -> Result<(), StoreError> {
        self.conn
            .prepare_cached(
                "DELETE FROM user_standing WHERE device_channel = ?1 AND standing IN ('installer', 'further')",
            )?
            .execute([device_channel])?;
        let sql = "UPDATE user_standing SET standing = 'outside', person = NULL, token_hash = NULL, nonce_hash = NULL, nonce_expires_at = NULL
                   WHERE device_channel = ?1";
        self.conn.prepare_cached(sql)?.execute([device_channel])?;
        Ok(())
    }
}
