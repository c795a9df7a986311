//! Everybody who came to the door to enrol a device, and what they were given. Called by `service::arriving` and
//! `service::over_the_air`.

use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

#[derive(Debug, Clone)]
pub struct ArrivalRow {
    pub id: i64,
    /// `ota`, `profile` or `ade`.
    pub way: String,
    pub invitation: Option<i64>,
    /// Row of a person of the school.
    pub person: Option<i64>,
    pub visitor: String,
    pub udid: Option<String>,
    pub serial: Option<String>,
    /// JSON object of Apple's keys.
    pub attributes: Option<String>,
    /// SHA-256 of the public key of the built-in identity that signed.
    pub device_key: Option<[u8; 32]>,
    /// The profile that was given last.
    pub issued_profile: Option<i64>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub closed_at: Option<Timestamp>,
}

#[derive(Debug)]
pub struct NewArrival<'a> {
    pub way: &'a str,
    pub token_hash: Option<&'a [u8; 32]>,
    pub invitation: Option<i64>,
    pub person: Option<i64>,
    pub visitor: &'a str,
    pub expires_at: Timestamp,
}

/// What a device said of itself, with a signature.
#[derive(Debug, Clone)]
pub struct SaidByDevice<'a> {
    pub udid: Option<&'a str>,
    pub serial: Option<&'a str>,
    pub attributes: &'a str,
    pub device_key: &'a [u8; 32],
}

const COLUMNS: &str =
    "id, way, invitation, person, visitor, udid, serial, attributes, device_key, issued_profile, created_at,
    expires_at, closed_at";

fn row_to_arrival(row: &Row<'_>) -> rusqlite::Result<ArrivalRow> {
    Ok(ArrivalRow {
        id: row.get("id")?,
        way: row.get("way")?,
        invitation: row.get("invitation")?,
        person: row.get("person")?,
        visitor: row.get("visitor")?,
        udid: row.get("udid")?,
        serial: row.get("serial")?,
        attributes: row.get("attributes")?,
        device_key: row.get("device_key")?,
        issued_profile: row.get("issued_profile")?,
        created_at: Timestamp(row.get("created_at")?),
        expires_at: Timestamp(row.get("expires_at")?),
        closed_at: row.get::<_, Option<i64>>("closed_at")?.map(Timestamp),
    })
}

impl Db<'_> {
    pub fn find_arrival(&self, id: i64) -> Result<Option<ArrivalRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM arrival WHERE id = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([id], row_to_arrival).optional()?)
    }

    pub fn find_arrival_by_token(&self, hash: &[u8; 32]) -> Result<Option<ArrivalRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM arrival WHERE token_hash = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([hash], row_to_arrival).optional()?)
    }

    pub fn find_arrival_by_challenge(&self, hash: &[u8; 32]) -> Result<Option<ArrivalRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM arrival WHERE challenge_hash = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([hash], row_to_arrival).optional()?)
    }

    /// The arrival that this certificate was issued for, as the passing identity of over-the-air enrolment.
    pub fn find_arrival_by_certificate(&self, fingerprint: &[u8; 32]) -> Result<Option<ArrivalRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM arrival WHERE id = (SELECT arrival FROM challenge WHERE certificate = ?1 AND arrival IS NOT NULL)"
        );
        Ok(self.conn.prepare_cached(&sql)?.query_row([fingerprint], row_to_arrival).optional()?)
    }

    /// How a device came in that holds this profile, or one that took its place.
    pub fn find_arrival_by_profile(&self, issued_profile: i64) -> Result<Option<ArrivalRow>, StoreError> {
        let sql = format!(
            "WITH RECURSIVE line (id, depth) AS (
                 SELECT ?1, 0 UNION ALL
                 SELECT p.replaces, depth + 1 FROM line JOIN issued_profile p ON p.id = line.id
                 WHERE p.replaces IS NOT NULL AND depth < 100)
             SELECT {COLUMNS} FROM arrival WHERE issued_profile IN (SELECT id FROM line) ORDER BY id DESC LIMIT 1"
        );
        Ok(self.conn.prepare_cached(&sql)?.query_row([issued_profile], row_to_arrival).optional()?)
    }

    /// Arrivals that count as uses of this invitation.
    pub fn list_uses(&self, invitation: i64) -> Result<Vec<ArrivalRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM arrival WHERE invitation = ?1 AND issued_profile IS NOT NULL AND closed_at IS NULL ORDER BY id"
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map([invitation], row_to_arrival)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Automated arrivals of this serial number.
    pub fn list_automated(&self, serial: &str) -> Result<Vec<ArrivalRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM arrival WHERE serial = ?1 AND way = 'ade' AND closed_at IS NULL ORDER BY id"
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map([serial], row_to_arrival)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The device channel that a certificate given with this profile speaks, or once spoke, for. `None`: nothing was enrolled with it.
    pub fn find_enrolled_by_profile(&self, issued_profile: i64) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT b.enrollment FROM certificate c JOIN binding b ON b.certificate = c.fingerprint
                   WHERE c.issued_profile = ?1 AND b.state <> 'pending' LIMIT 1";
        Ok(self.conn.prepare_cached(sql)?.query_row([issued_profile], |row| row.get(0)).optional()?)
    }
}

impl Tx<'_> {
    pub fn insert_arrival(&self, new: &NewArrival<'_>, now: Timestamp) -> Result<i64, StoreError> {
        let sql = "INSERT INTO arrival (way, token_hash, invitation, person, visitor, created_at, expires_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        self.conn.prepare_cached(sql)?.execute(params![
            new.way,
            new.token_hash,
            new.invitation,
            new.person,
            new.visitor,
            now.0,
            new.expires_at.0
        ])?;
        Ok(self.conn.last_insert_rowid())
    }

    /// The challenge of the Profile Service payload; an earlier one is worth nothing from here on.
    pub fn put_arrival_challenge(&self, id: i64, hash: &[u8; 32]) -> Result<(), StoreError> {
        let sql = "UPDATE arrival SET challenge_hash = ?2 WHERE id = ?1";
        self.conn.prepare_cached(sql)?.execute(params![id, hash])?;
        Ok(())
    }

    /// Binds an arrival to the device that spoke for it. `false` when another device did before.
    pub fn bind_arrival(&self, id: i64, said: &SaidByDevice<'_>) -> Result<bool, StoreError> {
        let sql = "UPDATE arrival SET udid = ?2, serial = ?3, attributes = ?4, device_key = ?5
                   WHERE id = ?1 AND (device_key IS NULL OR device_key = ?5)";
        let changed = self.conn.prepare_cached(sql)?.execute(params![
            id,
            said.udid,
            said.serial,
            said.attributes,
            said.device_key
        ])?;
        Ok(changed == 1)
    }

    pub fn put_arrival_profile(&self, id: i64, issued_profile: i64) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("UPDATE arrival SET issued_profile = ?2 WHERE id = ?1")?
            .execute(params![id, issued_profile])?;
        Ok(())
    }

    /// Nothing came of it: the use of its invitation is given back, and its token opens nothing any more.
    pub fn close_arrival(&self, id: i64, now: Timestamp) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("UPDATE arrival SET closed_at = ?2 WHERE id = ?1 AND closed_at IS NULL")?
            .execute(params![id, now.0])?;
        Ok(())
    }

    /// A profile that was given and not used is worth nothing from here on: its challenges expire, its certificates are revoked.
    pub fn withdraw_profile(&self, issued_profile: i64, now: Timestamp) -> Result<(), StoreError> {
        self.conn
            .prepare_cached(
                "UPDATE challenge SET expires_at = min(expires_at, ?2 - 1) WHERE issued_profile = ?1 AND consumed_at IS NULL",
            )?
            .execute(params![issued_profile, now.0])?;
        self.conn
            .prepare_cached(
                "UPDATE certificate SET revoked_at = ?2, revoked_why = 'another profile was given instead'
                 WHERE issued_profile = ?1 AND revoked_at IS NULL",
            )?
            .execute(params![issued_profile, now.0])?;
        Ok(())
    }

    /// A challenge for the passing identity of over-the-air enrolment; earlier unused ones of the arrival expire.
    pub fn insert_passing_challenge(
        &self,
        hash: &[u8; 32],
        arrival: i64,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.conn
            .prepare_cached(
                "UPDATE challenge SET expires_at = min(expires_at, ?2 - 1) WHERE arrival = ?1 AND consumed_at IS NULL",
            )?
            .execute(params![arrival, now.0])?;
        self.conn
            .prepare_cached("INSERT INTO challenge (hash, arrival, created_at, expires_at) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![hash, arrival, now.0, expires_at.0])?;
        Ok(())
    }
}
