//! Accounts, each with a profile of its own, and the credential that waits until devices have it. `service::accounts` decides.

use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

/// How an account proves itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// The device asks its user.
    Ask,
    Password,
    Certificate,
}

impl Credential {
    pub const ALL: [Credential; 3] = [Credential::Ask, Credential::Password, Credential::Certificate];

    pub fn as_str(self) -> &'static str {
        match self {
            Credential::Ask => "ask",
            Credential::Password => "password",
            Credential::Certificate => "certificate",
        }
    }
}

#[derive(Debug, Clone)]
pub struct AccountRow {
    pub id: i64,
    pub public_id: String,
    /// Row id of its profile.
    pub profile: i64,
    pub kind: String,
    /// Apple's keys as JSON.
    pub settings: String,
    pub credential: Credential,
    /// Sealed for `account/<id>`; `None` when everybody has it, or there never was one.
    pub sealed_credential: Option<Vec<u8>>,
    pub credential_since: Option<Timestamp>,
    pub credential_done: Option<Timestamp>,
    /// SHA-256 of the certificate in force.
    pub certificate: Option<[u8; 32]>,
    pub not_after: Option<Timestamp>,
    pub created_by: String,
    pub created_at: Timestamp,
}

/// An account to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewAccount<'a> {
    pub public_id: &'a str,
    pub profile: i64,
    pub kind: &'a str,
    pub settings: &'a str,
    pub credential: Credential,
    pub created_by: &'a str,
}

const ACCOUNT: &str =
    "a.id, a.public_id, a.profile, a.kind, a.settings, a.credential, a.sealed_credential, a.credential_since,
    a.credential_done, a.certificate, a.created_by, a.created_at, c.not_after";
const FROM: &str =
    "FROM account a JOIN profile p ON p.id = a.profile LEFT JOIN certificate c ON c.fingerprint = a.certificate";

fn row_to_account(row: &Row<'_>) -> rusqlite::Result<AccountRow> {
    let credential: String = row.get("credential")?;
    let at = |name: &str| row.get::<_, Option<i64>>(name).map(|v| v.map(Timestamp));
    Ok(AccountRow {
        id: row.get("id")?,
        public_id: row.get("public_id")?,
        profile: row.get("profile")?,
        kind: row.get("kind")?,
        settings: row.get("settings")?,
        credential: Credential::ALL.into_iter().find(|one| one.as_str() == credential).unwrap_or(Credential::Ask),
        sealed_credential: row.get("sealed_credential")?,
        credential_since: at("credential_since")?,
        credential_done: at("credential_done")?,
        certificate: row.get("certificate")?,
        not_after: at("not_after")?,
        created_by: row.get("created_by")?,
        created_at: Timestamp(row.get("created_at")?),
    })
}

impl Db<'_> {
    /// By Cordon's id, or the id or PayloadIdentifier of its profile; only one in use.
    pub fn find_account(&self, text: &str) -> Result<Option<AccountRow>, StoreError> {
        let sql = format!(
            "SELECT {ACCOUNT} {FROM} WHERE p.removed_at IS NULL AND (a.public_id = ?1 OR p.public_id = ?1 OR p.identifier = ?1)"
        );
        Ok(self.conn.prepare_cached(&sql)?.query_row([text], row_to_account).optional()?)
    }

    pub fn find_account_of_profile(&self, profile: i64) -> Result<Option<AccountRow>, StoreError> {
        let sql = format!("SELECT {ACCOUNT} {FROM} WHERE a.profile = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([profile], row_to_account).optional()?)
    }

    /// Those in use after `after` (a row id), oldest first.
    pub fn list_accounts(&self, after: i64, limit: usize) -> Result<Vec<AccountRow>, StoreError> {
        let sql = format!("SELECT {ACCOUNT} {FROM} WHERE a.id > ?1 AND p.removed_at IS NULL ORDER BY a.id LIMIT ?2");
        self.accounts(&sql, params![after, limit as i64])
    }

    /// Accounts of a person: theirs wherever they log in, and those on the devices that are theirs.
    pub fn list_accounts_of_person(&self, person: i64) -> Result<Vec<AccountRow>, StoreError> {
        let sql = format!(
            "SELECT {ACCOUNT} {FROM} WHERE p.removed_at IS NULL AND EXISTS (
                 SELECT 1 FROM assignment x WHERE x.profile = p.id AND (x.person = ?1 OR (x.target = 'device' AND x.device IN (
                     SELECT e.device FROM enrollment e JOIN issued_profile i ON i.id = e.issued_profile
                     WHERE i.person = ?1 AND e.channel = 'device' AND e.state = 'Active')))) ORDER BY a.id"
        );
        self.accounts(&sql, params![person])
    }

    /// Accounts whose certificate ends by then, soonest first.
    pub fn list_accounts_ending(&self, by: Timestamp, limit: usize) -> Result<Vec<AccountRow>, StoreError> {
        let sql = format!(
            "SELECT {ACCOUNT} {FROM} WHERE p.removed_at IS NULL AND a.credential = 'certificate' AND c.not_after <= ?1
             ORDER BY c.not_after, a.id LIMIT ?2"
        );
        self.accounts(&sql, params![by.0, limit as i64])
    }

    /// Accounts with a certificate whose key is with the devices alone, after `after`; with `doubtful`, only those that some device has not,
    /// or that nobody has.
    pub fn list_accounts_delivered(
        &self,
        after: i64,
        doubtful: bool,
        limit: usize,
    ) -> Result<Vec<AccountRow>, StoreError> {
        let sql = format!(
            "SELECT {ACCOUNT} {FROM} WHERE a.id > ?1 AND p.removed_at IS NULL AND a.credential = 'certificate' AND a.sealed_credential IS NULL
                 AND (NOT ?3 OR EXISTS (SELECT 1 FROM channel_profile x WHERE x.profile = p.id AND x.installed IS NOT p.version)
                      OR NOT EXISTS (SELECT 1 FROM channel_profile x WHERE x.profile = p.id)) ORDER BY a.id LIMIT ?2"
        );
        self.accounts(&sql, params![after, limit as i64, doubtful])
    }

    /// Accounts with a credential that waits since before then, or whose profile is gone.
    pub fn list_stale_credentials(&self, before: Timestamp, limit: usize) -> Result<Vec<AccountRow>, StoreError> {
        let sql = format!(
            "SELECT {ACCOUNT} {FROM} WHERE a.credential_since IS NOT NULL AND (a.credential_since <= ?1 OR p.removed_at IS NOT NULL
                 OR NOT EXISTS (SELECT 1 FROM assignment x WHERE x.profile = p.id)) ORDER BY a.id LIMIT ?2"
        );
        self.accounts(&sql, params![before.0, limit as i64])
    }

    /// Certificates that the one in force took the place of, as long as some device may have no other.
    pub fn list_replaced_certificates(&self, account: i64) -> Result<Vec<[u8; 32]>, StoreError> {
        let sql = "SELECT certificate FROM account_replaced WHERE account = ?1";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([account], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many certificates of accounts there are, and when the first ends.
    pub fn count_account_certificates(&self) -> Result<Option<(usize, Timestamp)>, StoreError> {
        let sql =
            format!("SELECT count(*), min(c.not_after) {FROM} WHERE p.removed_at IS NULL AND c.not_after IS NOT NULL");
        let (count, first): (i64, Option<i64>) =
            self.conn.prepare_cached(&sql)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(first.map(|first| (usize::try_from(count).unwrap_or(0), Timestamp(first))))
    }

    fn accounts(&self, sql: &str, values: &[&dyn rusqlite::ToSql]) -> Result<Vec<AccountRow>, StoreError> {
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(values, row_to_account)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Tx<'_> {
    pub fn insert_account(&self, new: &NewAccount<'_>, now: Timestamp) -> Result<i64, StoreError> {
        let sql = "INSERT INTO account (public_id, profile, kind, settings, credential, created_by, created_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let NewAccount { public_id, profile, kind, settings, credential, created_by } = new;
        let values = params![public_id, profile, kind, settings, credential.as_str(), created_by, now.0];
        self.conn.prepare_cached(sql)?.execute(values)?;
        Ok(self.conn.last_insert_rowid())
    }

    pub fn put_account_settings(&self, id: i64, settings: &str) -> Result<(), StoreError> {
        let sql = "UPDATE account SET settings = ?2 WHERE id = ?1";
        self.conn.prepare_cached(sql)?.execute(params![id, settings])?;
        Ok(())
    }

    /// Nothing tells any more whose it was.
    pub fn erase_account(&self, id: i64) -> Result<(), StoreError> {
        self.conn.prepare_cached("UPDATE account SET settings = '{}' WHERE id = ?1")?.execute([id])?;
        let sql = "UPDATE profile SET name = 'erased' WHERE id = (SELECT profile FROM account WHERE id = ?1)";
        self.conn.prepare_cached(sql)?.execute([id])?;
        // The bodies hold the address and the name; whoever takes a removed profile off needs only its identifier.
        let sql = "DELETE FROM profile_version WHERE profile = (SELECT profile FROM account WHERE id = ?1)";
        self.conn.prepare_cached(sql)?.execute([id])?;
        Ok(())
    }

    /// It proves itself by password from now on.
    pub fn put_account_by_password(&self, id: i64) -> Result<(), StoreError> {
        let sql = "UPDATE account SET credential = 'password' WHERE id = ?1 AND credential = 'ask'";
        self.conn.prepare_cached(sql)?.execute([id])?;
        Ok(())
    }

    /// What devices are to be given from now on. A certificate takes the place of the one before.
    pub fn put_account_credential(
        &self,
        id: i64,
        sealed: &[u8],
        certificate: Option<&[u8; 32]>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if certificate.is_some() {
            let sql = "INSERT OR IGNORE INTO account_replaced (account, certificate)
                       SELECT id, certificate FROM account WHERE id = ?1 AND certificate IS NOT NULL";
            self.conn.prepare_cached(sql)?.execute([id])?;
        }
        let sql = "UPDATE account SET sealed_credential = ?2, credential_since = ?4, certificate = coalesce(?3, certificate) WHERE id = ?1";
        self.conn.prepare_cached(sql)?.execute(params![id, sealed, certificate, now.0])?;
        Ok(())
    }

    /// Nobody needs it here any more; with `done`, because everybody has it.
    pub fn purge_account_credential(&self, id: i64, done: Option<Timestamp>) -> Result<(), StoreError> {
        if done.is_some() {
            self.conn.prepare_cached("DELETE FROM account_replaced WHERE account = ?1")?.execute([id])?;
        }
        let sql = "UPDATE account SET sealed_credential = NULL, credential_since = NULL, credential_done = coalesce(?2, credential_done)
                   WHERE id = ?1";
        self.conn.prepare_cached(sql)?.execute(params![id, done.map(|at| at.0)])?;
        Ok(())
    }

    /// A profile is to be installed once more wherever it stands or was refused; with `device`, there alone.
    pub fn reinstall_profile(&self, profile: i64, device: Option<i64>) -> Result<usize, StoreError> {
        let sql = "UPDATE channel_profile SET uncertain = 1, failed_at = NULL, failures = 0, next_try_at = NULL, gone_at = NULL
                   WHERE profile = ?1 AND (?2 IS NULL OR enrollment IN (SELECT id FROM enrollment WHERE device = ?2))";
        Ok(self.conn.prepare_cached(sql)?.execute(params![profile, device])?)
    }
}
