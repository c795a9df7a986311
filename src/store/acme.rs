//! Certificates by ACME: one row per directory, with the account, the certificate and when it is tried again. Keys are sealed by the
//! caller for `acme/account/<directory>` and `acme/certificate/<directory>`.

use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, params};

/// What is known of one directory.
#[derive(Debug, Clone)]
pub struct AcmeRow {
    pub directory: String,
    pub sealed_account_key: Vec<u8>,
    pub certificate: Option<AcmeCertificate>,
    /// Attempts that failed since the last success.
    pub failures: u32,
    /// Not tried before.
    pub due_at: Timestamp,
}

/// A certificate that was obtained.
#[derive(Debug, Clone)]
pub struct AcmeCertificate {
    pub chain_pem: String,
    pub sealed_key: Vec<u8>,
}

impl Db<'_> {
    pub fn find_acme(&self, directory: &str) -> Result<Option<AcmeRow>, StoreError> {
        let sql = "SELECT sealed_account_key, chain_pem, sealed_key, failures, due_at FROM acme WHERE directory = ?1";
        let row = self.conn.prepare_cached(sql)?.query_row([directory], |row| {
            let chain: Option<String> = row.get("chain_pem")?;
            let key: Option<Vec<u8>> = row.get("sealed_key")?;
            Ok(AcmeRow {
                directory: directory.to_owned(),
                sealed_account_key: row.get("sealed_account_key")?,
                certificate: chain.zip(key).map(|(chain_pem, sealed_key)| AcmeCertificate { chain_pem, sealed_key }),
                failures: row.get("failures")?,
                due_at: Timestamp(row.get("due_at")?),
            })
        });
        Ok(row.optional()?)
    }

    /// Active devices whose profile brought none of these roots (SHA-256 in hex).
    pub fn count_devices_without(&self, roots: &[String]) -> Result<i64, StoreError> {
        let sql = "SELECT e.id, p.certificates FROM enrollment e LEFT JOIN issued_profile p ON p.id = e.issued_profile
                   WHERE e.channel = 'device' AND e.state = 'Active'";
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        let mut without = 0;
        while let Some(row) = rows.next()? {
            let held: Option<String> = row.get("certificates")?;
            let held = held.unwrap_or_default();
            without += i64::from(!held.split(' ').any(|one| roots.iter().any(|root| root == one)));
        }
        Ok(without)
    }
}

impl Tx<'_> {
    pub fn put_acme(&self, row: &AcmeRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO acme (directory, sealed_account_key, chain_pem, sealed_key, failures, due_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                   ON CONFLICT (directory) DO UPDATE SET chain_pem = excluded.chain_pem, sealed_key = excluded.sealed_key,
                       failures = excluded.failures, due_at = excluded.due_at";
        let (chain, key) = row.certificate.as_ref().map_or((None, None), |c| (Some(&c.chain_pem), Some(&c.sealed_key)));
        self.conn.prepare_cached(sql)?.execute(params![
            row.directory,
            row.sealed_account_key,
            chain,
            key,
            row.failures,
            row.due_at.0
        ])?;
        Ok(())
    }
}
