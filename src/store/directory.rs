//! The one directory that people come from: where it is, and how the last look at it went. `service::directories` decides.

use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, params};

#[derive(Debug, Clone)]
pub struct DirectoryRow {
    pub url: String,
    pub base_dn: String,
    pub filter: String,
    /// JSON: which attribute is what.
    pub attributes: String,
    pub bind_dn: Option<String>,
    /// Sealed for the place `directory/1/password`.
    pub sealed_password: Option<Vec<u8>>,
    pub ca_pem: Option<String>,
    pub last_sync_at: Option<Timestamp>,
    /// JSON: what the last look found, or why it failed.
    pub last_sync: Option<String>,
}

impl Db<'_> {
    pub fn find_directory(&self) -> Result<Option<DirectoryRow>, StoreError> {
        let sql = "SELECT url, base_dn, filter, attributes, bind_dn, sealed_password, ca_pem, last_sync_at, last_sync FROM directory";
        let row = |row: &rusqlite::Row<'_>| {
            Ok(DirectoryRow {
                url: row.get("url")?,
                base_dn: row.get("base_dn")?,
                filter: row.get("filter")?,
                attributes: row.get("attributes")?,
                bind_dn: row.get("bind_dn")?,
                sealed_password: row.get("sealed_password")?,
                ca_pem: row.get("ca_pem")?,
                last_sync_at: row.get::<_, Option<i64>>("last_sync_at")?.map(Timestamp),
                last_sync: row.get("last_sync")?,
            })
        };
        Ok(self.conn.prepare_cached(sql)?.query_row([], row).optional()?)
    }

    /// People whom the directory brought and who are not disabled: row id and ids of their records.
    pub fn list_directory_people(&self) -> Result<Vec<(i64, String)>, StoreError> {
        let sql = "SELECT id, public_id FROM person WHERE source = 'ldap' AND disabled_at IS NULL";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Tx<'_> {
    /// Sets the directory, in the place of another.
    pub fn put_directory(&self, row: &DirectoryRow, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO directory (id, url, base_dn, filter, attributes, bind_dn, sealed_password, ca_pem, changed_at)
                   VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        self.conn.prepare_cached(sql)?.execute(params![
            row.url,
            row.base_dn,
            row.filter,
            row.attributes,
            row.bind_dn,
            row.sealed_password,
            row.ca_pem,
            now.0
        ])?;
        Ok(())
    }

    /// `false` when there was none.
    pub fn delete_directory(&self) -> Result<bool, StoreError> {
        Ok(self.conn.execute("DELETE FROM directory", [])? == 1)
    }

    pub fn put_directory_sync(&self, told: &str, now: Timestamp) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("UPDATE directory SET last_sync_at = ?1, last_sync = ?2")?
            .execute(params![now.0, told])?;
        Ok(())
    }
}
