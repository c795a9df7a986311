//! API tokens: hashes, roles, dates.

use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

/// What somebody may do. Checked in `service`, by the actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Owner,
    Admin,
    Helpdesk,
    Teacher,
    Auditor,
}

impl Role {
    pub const ALL: [Role; 5] = [Role::Owner, Role::Admin, Role::Helpdesk, Role::Teacher, Role::Auditor];

    pub fn as_str(self) -> &'static str {
        match self {
            Role::Owner => "owner",
            Role::Admin => "admin",
            Role::Helpdesk => "helpdesk",
            Role::Teacher => "teacher",
            Role::Auditor => "auditor",
        }
    }

    pub fn find(text: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|r| r.as_str() == text)
    }
}

#[derive(Debug, Clone)]
pub struct TokenRow {
    pub id: String,
    pub name: String,
    pub role: Role,
    pub created_by: String,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

const COLUMNS: &str = "id, name, role, created_by, created_at, expires_at, last_used_at, revoked_at";

fn row_to_token(row: &Row<'_>) -> rusqlite::Result<TokenRow> {
    let role: String = row.get("role")?;
    let at = |name: &str| row.get::<_, Option<i64>>(name).map(|v| v.map(Timestamp));
    Ok(TokenRow {
        id: row.get("id")?,
        name: row.get("name")?,
        // The CHECK of the table allows only the five words; the least of them stands in for the impossible.
        role: Role::find(&role).unwrap_or(Role::Auditor),
        created_by: row.get("created_by")?,
        created_at: Timestamp(row.get("created_at")?),
        expires_at: at("expires_at")?,
        last_used_at: at("last_used_at")?,
        revoked_at: at("revoked_at")?,
    })
}

impl Db<'_> {
    pub fn find_token_by_hash(&self, hash: &[u8; 32]) -> Result<Option<TokenRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM api_token WHERE hash = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([hash], row_to_token).optional()?)
    }

    pub fn find_token(&self, id: &str) -> Result<Option<TokenRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM api_token WHERE id = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([id], row_to_token).optional()?)
    }

    pub fn list_tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM api_token ORDER BY created_at, id");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map([], row_to_token)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Tx<'_> {
    pub fn insert_token(&self, token: &TokenRow, hash: &[u8; 32]) -> Result<(), StoreError> {
        self.conn.execute(
            "INSERT INTO api_token (id, name, role, hash, created_by, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                token.id,
                token.name,
                token.role.as_str(),
                hash,
                token.created_by,
                token.created_at.0,
                token.expires_at.map(|t| t.0)
            ],
        )?;
        Ok(())
    }

    /// `false` when there is no such token or it is revoked already.
    pub fn revoke_token(&self, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let changed = self
            .conn
            .execute("UPDATE api_token SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL", params![id, now.0])?;
        Ok(changed == 1)
    }

    pub fn put_token_last_used(&self, used: &[(String, Timestamp)]) -> Result<(), StoreError> {
        let mut statement = self.conn.prepare_cached("UPDATE api_token SET last_used_at = ?2 WHERE id = ?1")?;
        for (id, at) in used {
            statement.execute(params![id, at.0])?;
        }
        Ok(())
    }
}
