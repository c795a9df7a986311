//! Issued enrolment profiles and the one-time challenges inside them.

use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

/// What an enrollment was given and may never change.
#[derive(Debug, Clone)]
pub struct IssuedProfile {
    pub payload_identifier: String,
    pub name: String,
    pub server_url: String,
    pub check_in_url: String,
    pub topic: String,
    pub access_rights: u32,
    pub per_user: bool,
    pub sign_message: bool,
    pub identity: &'static str,
    pub signed: bool,
    pub created_by: String,
}

#[derive(Debug, Clone)]
pub struct ChallengeRow {
    pub id: i64,
    /// `None`: for the passing identity of over-the-air enrolment, which no device channel is opened with.
    pub issued_profile: Option<i64>,
    pub enrollment: Option<i64>,
    pub expires_at: Timestamp,
    pub consumed: Option<Consumption>,
}

/// Who used a challenge, and for what: a repeat by the same one is answered with the same certificate.
#[derive(Debug, Clone)]
pub struct Consumption {
    pub transaction_id: String,
    pub key_hash: [u8; 32],
    pub certificate: [u8; 32],
}

fn row_to_challenge(row: &Row<'_>) -> rusqlite::Result<ChallengeRow> {
    let certificate: Option<[u8; 32]> = row.get("certificate")?;
    let consumed = match certificate {
        Some(certificate) => Some(Consumption {
            transaction_id: row.get("transaction_id")?,
            key_hash: row.get("key_hash")?,
            certificate,
        }),
        None => None,
    };
    Ok(ChallengeRow {
        id: row.get("id")?,
        issued_profile: row.get("issued_profile")?,
        enrollment: row.get("enrollment")?,
        expires_at: Timestamp(row.get("expires_at")?),
        consumed,
    })
}

impl Db<'_> {
    pub fn find_challenge(&self, hash: &[u8; 32]) -> Result<Option<ChallengeRow>, StoreError> {
        let sql = "SELECT id, issued_profile, enrollment, expires_at, transaction_id, key_hash, certificate FROM challenge WHERE hash = ?1";
        Ok(self.conn.prepare_cached(sql)?.query_row([hash], row_to_challenge).optional()?)
    }

    /// The certificate that a finished transaction got, for CertPoll.
    pub fn find_issued_by_transaction(&self, transaction_id: &str) -> Result<Option<[u8; 32]>, StoreError> {
        let sql = "SELECT certificate FROM challenge WHERE transaction_id = ?1 AND certificate IS NOT NULL ORDER BY id DESC LIMIT 1";
        Ok(self.conn.prepare_cached(sql)?.query_row([transaction_id], |row| row.get("certificate")).optional()?)
    }
}

impl Tx<'_> {
    pub fn insert_issued_profile(&self, new: &IssuedProfile, now: Timestamp) -> Result<i64, StoreError> {
        let sql = "INSERT INTO issued_profile (payload_identifier, name, server_url, check_in_url, topic, access_rights, per_user,
                       sign_message, identity, signed, created_by, created_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
        self.conn.prepare_cached(sql)?.execute(params![
            new.payload_identifier,
            new.name,
            new.server_url,
            new.check_in_url,
            new.topic,
            new.access_rights,
            new.per_user,
            new.sign_message,
            new.identity,
            new.signed,
            new.created_by,
            now.0
        ])?;
        Ok(self.conn.last_insert_rowid())
    }

    pub fn insert_challenge(
        &self,
        hash: &[u8; 32],
        issued_profile: i64,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO challenge (hash, issued_profile, created_at, expires_at) VALUES (?1, ?2, ?3, ?4)";
        self.conn.prepare_cached(sql)?.execute(params![hash, issued_profile, now.0, expires_at.0])?;
        Ok(())
    }

    /// Consumes a challenge, once. `false` when another transaction was first.
    pub fn consume_challenge(&self, id: i64, consumption: &Consumption, now: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE challenge SET consumed_at = ?2, transaction_id = ?3, key_hash = ?4, certificate = ?5
                   WHERE id = ?1 AND consumed_at IS NULL";
        let c = consumption;
        let changed =
            self.conn.prepare_cached(sql)?.execute(params![id, now.0, c.transaction_id, c.key_hash, c.certificate])?;
        Ok(changed == 1)
    }
}
