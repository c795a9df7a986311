//! The school's configuration profiles and their versions. Who should have them is [`super::assignments`]; what stands where,
//! [`super::channel_profiles`].

use super::{Db, Fields, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

#[derive(Debug, Clone)]
pub struct ProfileRow {
    pub id: i64,
    pub public_id: String,
    /// `PayloadIdentifier`.
    pub identifier: String,
    pub name: String,
    /// The current one.
    pub version: i64,
    /// Whether a device whose user took it off gets it again.
    pub comes_back: bool,
    pub created_by: String,
    pub created_at: Timestamp,
    pub removed_at: Option<Timestamp>,
}

/// One upload. `sealed_body` is sealed for the place `profile/<row>/<version>`.
#[derive(Debug, Clone)]
pub struct ProfileVersionRow {
    pub version: i64,
    pub sealed_body: Vec<u8>,
    pub body_hash: [u8; 32],
    pub bytes: i64,
    /// Fingerprint of our certificate that signed it; `None` for one with variables, which is signed for each device.
    pub signer: Option<[u8; 32]>,
    /// Names of its variables.
    pub variables: Vec<String>,
    /// Whose signature was taken off when it came.
    pub signed_by: Option<String>,
    /// Types of its payloads, as a JSON array.
    pub payload_types: String,
    pub created_by: String,
    pub created_at: Timestamp,
}

pub(super) const PROFILE: &str =
    "p.id, p.public_id, p.identifier, p.name, p.version, p.comes_back, p.created_by, p.created_at, p.removed_at";
const VERSION: &str =
    "version, sealed_body, body_hash, bytes, signer, payload_types, variables, signed_by, created_by, created_at";

fn row_to_profile(row: &Row<'_>) -> rusqlite::Result<ProfileRow> {
    read_profile(&mut Fields::of(row))
}

/// The columns of [`PROFILE`], in its order.
pub(super) fn read_profile(fields: &mut Fields<'_>) -> rusqlite::Result<ProfileRow> {
    Ok(ProfileRow {
        id: fields.next()?,
        public_id: fields.next()?,
        identifier: fields.next()?,
        name: fields.next()?,
        version: fields.next()?,
        comes_back: fields.next()?,
        created_by: fields.next()?,
        created_at: Timestamp(fields.next()?),
        removed_at: fields.next_at()?,
    })
}

fn row_to_version(row: &Row<'_>) -> rusqlite::Result<ProfileVersionRow> {
    Ok(ProfileVersionRow {
        version: row.get("version")?,
        sealed_body: row.get("sealed_body")?,
        body_hash: row.get("body_hash")?,
        bytes: row.get("bytes")?,
        signer: row.get("signer")?,
        payload_types: row.get("payload_types")?,
        variables: serde_json::from_str(&row.get::<_, String>("variables")?).unwrap_or_default(),
        signed_by: row.get("signed_by")?,
        created_by: row.get("created_by")?,
        created_at: Timestamp(row.get("created_at")?),
    })
}

impl Db<'_> {
    /// By Cordon's id or the PayloadIdentifier; removed ones too.
    pub fn find_profile(&self, text: &str) -> Result<Option<ProfileRow>, StoreError> {
        let sql = format!("SELECT {PROFILE} FROM profile p WHERE p.public_id = ?1 OR p.identifier = ?1 LIMIT 1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([text], row_to_profile).optional()?)
    }

    pub fn find_profile_by_row(&self, id: i64) -> Result<Option<ProfileRow>, StoreError> {
        let sql = format!("SELECT {PROFILE} FROM profile p WHERE p.id = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([id], row_to_profile).optional()?)
    }

    /// Those in use after `after` (a row id), oldest first; those of accounts stand with the accounts.
    pub fn list_profiles(&self, after: i64, limit: usize) -> Result<Vec<ProfileRow>, StoreError> {
        let sql = format!(
            "SELECT {PROFILE} FROM profile p WHERE p.id > ?1 AND p.removed_at IS NULL
                 AND NOT EXISTS (SELECT 1 FROM account a WHERE a.profile = p.id) ORDER BY p.id LIMIT ?2"
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map(params![after, limit as i64], row_to_profile)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// All versions of a profile, newest first.
    pub fn list_profile_versions(&self, profile: i64) -> Result<Vec<ProfileVersionRow>, StoreError> {
        let sql = format!("SELECT {VERSION} FROM profile_version WHERE profile = ?1 ORDER BY version DESC");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map([profile], row_to_version)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub fn find_profile_version(&self, profile: i64, version: i64) -> Result<Option<ProfileVersionRow>, StoreError> {
        let sql = format!("SELECT {VERSION} FROM profile_version WHERE profile = ?1 AND version = ?2");
        Ok(self.conn.prepare_cached(&sql)?.query_row([profile, version], row_to_version).optional()?)
    }
}

impl Tx<'_> {
    /// A new profile at version 1; returns its row id.
    pub fn insert_profile(&self, row: &ProfileRow) -> Result<i64, StoreError> {
        let sql = "INSERT INTO profile (public_id, identifier, name, version, created_by, created_at) VALUES (?1, ?2, ?3, 1, ?4, ?5)";
        let values = params![row.public_id, row.identifier, row.name, row.created_by, row.created_at.0];
        self.conn.prepare_cached(sql)?.execute(values)?;
        Ok(self.conn.last_insert_rowid())
    }

    /// The next version becomes the current one; a removed profile is in use again.
    pub fn advance_profile(&self, id: i64, name: &str, version: i64) -> Result<(), StoreError> {
        let sql = "UPDATE profile SET name = ?2, version = ?3, removed_at = NULL WHERE id = ?1";
        self.conn.prepare_cached(sql)?.execute(params![id, name, version])?;
        Ok(())
    }

    pub fn insert_profile_version(&self, profile: i64, row: &ProfileVersionRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO profile_version (profile, version, sealed_body, body_hash, bytes, signer, payload_types, variables, signed_by,
                       created_by, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        self.conn.prepare_cached(sql)?.execute(params![
            profile,
            row.version,
            row.sealed_body,
            row.body_hash,
            row.bytes,
            row.signer,
            row.payload_types,
            serde_json::Value::from(row.variables.as_slice()).to_string(),
            row.signed_by,
            row.created_by,
            row.created_at.0
        ])?;
        Ok(())
    }

    pub fn update_profile(&self, id: i64, name: &str, comes_back: bool) -> Result<(), StoreError> {
        let sql = "UPDATE profile SET name = ?2, comes_back = ?3 WHERE id = ?1";
        self.conn.prepare_cached(sql)?.execute(params![id, name, comes_back])?;
        Ok(())
    }

    /// The profile is wanted by nobody any more; its assignments go.
    pub fn remove_profile(&self, id: i64, now: Timestamp) -> Result<(), StoreError> {
        self.conn.prepare_cached("DELETE FROM assignment WHERE profile = ?1")?.execute([id])?;
        self.conn.prepare_cached("UPDATE profile SET removed_at = ?2 WHERE id = ?1")?.execute([id, now.0])?;
        Ok(())
    }
}
