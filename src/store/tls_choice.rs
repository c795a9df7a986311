//! Where the listeners' certificate comes from, as somebody chose here; nothing where the configuration says it, or nobody chose.

use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, params};

#[derive(Debug, Clone)]
pub struct TlsChoiceRow {
    /// `own-ca`, `given` or `acme`.
    pub mode: String,
    /// Of `given`: the chain as PEM, the server's own certificate first.
    pub chain_pem: Option<String>,
    /// Of `given`: its key as PEM, sealed for the place `tls-choice/1`.
    pub sealed_key: Option<Vec<u8>>,
    /// Of `acme`: whom the authority writes to, like `mailto:it@hill.example`.
    pub contact: Option<String>,
    pub chosen_at: Timestamp,
}

impl Db<'_> {
    pub fn find_tls_choice(&self) -> Result<Option<TlsChoiceRow>, StoreError> {
        let sql = "SELECT mode, chain_pem, sealed_key, contact, chosen_at FROM tls_choice";
        let row = |row: &rusqlite::Row<'_>| {
            Ok(TlsChoiceRow {
                mode: row.get("mode")?,
                chain_pem: row.get("chain_pem")?,
                sealed_key: row.get("sealed_key")?,
                contact: row.get("contact")?,
                chosen_at: Timestamp(row.get("chosen_at")?),
            })
        };
        Ok(self.conn.prepare_cached(sql)?.query_row([], row).optional()?)
    }
}

impl Tx<'_> {
    /// In the place of what was chosen before.
    pub fn put_tls_choice(&self, row: &TlsChoiceRow) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO tls_choice (id, mode, chain_pem, sealed_key, contact, chosen_at) VALUES (1, ?1, ?2, ?3, ?4, ?5)";
        let values = params![row.mode, row.chain_pem, row.sealed_key, row.contact, row.chosen_at.0];
        self.conn.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }
}
