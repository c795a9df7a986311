//! Admins and their sessions: names, roles, password hashes, TOTP, who is logged in. `service::people` and `service::login` decide.

use super::{Db, Role, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

/// A password as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordHash {
    pub hash: [u8; 32],
    pub salt: Vec<u8>,
    pub cost: String,
}

#[derive(Debug, Clone)]
pub struct AdminRow {
    pub id: i64,
    pub name: String,
    pub role: Role,
    pub password: PasswordHash,
    pub password_changed_at: Timestamp,
    /// Sealed for the place `admin/<id>/totp`.
    pub sealed_totp: Option<Vec<u8>>,
    pub totp_confirmed_at: Option<Timestamp>,
    pub created_by: String,
    pub created_at: Timestamp,
    pub last_login_at: Option<Timestamp>,
    pub disabled_at: Option<Timestamp>,
}

/// Wrong passwords of one name or address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginTries {
    pub key: String,
    pub wrong: u32,
    pub last: Timestamp,
    pub blocked_until: Timestamp,
}

/// An open session as its owner sees it.
#[derive(Debug, Clone)]
pub struct OpenSession {
    pub id: i64,
    pub created_at: Timestamp,
    pub last_used_at: Timestamp,
    pub expires_at: Timestamp,
    pub origin: String,
}

/// A session with the admin it belongs to.
#[derive(Debug, Clone)]
pub struct SessionRow {
    pub id: i64,
    pub admin: AdminRow,
    pub last_used_at: Timestamp,
    pub expires_at: Timestamp,
}

const COLUMNS: &str =
    "a.id, a.name, a.role, a.password_hash, a.password_salt, a.password_cost, a.password_changed_at, a.sealed_totp,
    a.totp_confirmed_at, a.created_by, a.created_at, a.last_login_at, a.disabled_at";

fn row_to_admin(row: &Row<'_>) -> rusqlite::Result<AdminRow> {
    let role: String = row.get("role")?;
    let at = |name: &str| row.get::<_, Option<i64>>(name).map(|v| v.map(Timestamp));
    Ok(AdminRow {
        id: row.get("id")?,
        name: row.get("name")?,
        // The CHECK of the table allows only the five words; the least of them stands in for the impossible.
        role: Role::find(&role).unwrap_or(Role::Teacher),
        password: PasswordHash {
            hash: row.get("password_hash")?,
            salt: row.get("password_salt")?,
            cost: row.get("password_cost")?,
        },
        password_changed_at: Timestamp(row.get("password_changed_at")?),
        sealed_totp: row.get("sealed_totp")?,
        totp_confirmed_at: at("totp_confirmed_at")?,
        created_by: row.get("created_by")?,
        created_at: Timestamp(row.get("created_at")?),
        last_login_at: at("last_login_at")?,
        disabled_at: at("disabled_at")?,
    })
}

impl Db<'_> {
    /// By name, in any case.
    pub fn find_admin(&self, name: &str) -> Result<Option<AdminRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM admin a WHERE a.name = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([name], row_to_admin).optional()?)
    }

    pub fn list_admins(&self) -> Result<Vec<AdminRow>, StoreError> {
        let mut statement = self.conn.prepare_cached(&format!("SELECT {COLUMNS} FROM admin a ORDER BY a.id"))?;
        let rows = statement.query_map([], row_to_admin)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub fn find_session_by_hash(&self, hash: &[u8; 32]) -> Result<Option<SessionRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, s.id AS session, s.last_used_at, s.expires_at FROM admin_session s JOIN admin a ON a.id = s.admin WHERE s.hash = ?1"
        );
        let row = |row: &Row<'_>| {
            Ok(SessionRow {
                id: row.get("session")?,
                admin: row_to_admin(row)?,
                last_used_at: Timestamp(row.get("last_used_at")?),
                expires_at: Timestamp(row.get("expires_at")?),
            })
        };
        Ok(self.conn.prepare_cached(&sql)?.query_row([hash], row).optional()?)
    }
}

impl Db<'_> {
    /// Sessions of one person that are open at `now`, oldest first; `idle_since` as in [`Tx::insert_session`].
    pub fn list_sessions(
        &self,
        admin: i64,
        now: Timestamp,
        idle_since: Timestamp,
    ) -> Result<Vec<OpenSession>, StoreError> {
        let sql = "SELECT id, created_at, last_used_at, expires_at, origin FROM admin_session
                   WHERE admin = ?1 AND expires_at > ?2 AND last_used_at > ?3 ORDER BY id";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(params![admin, now.0, idle_since.0], |row| {
            Ok(OpenSession {
                id: row.get("id")?,
                created_at: Timestamp(row.get("created_at")?),
                last_used_at: Timestamp(row.get("last_used_at")?),
                expires_at: Timestamp(row.get("expires_at")?),
                origin: row.get("origin")?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub fn list_login_tries(&self) -> Result<Vec<LoginTries>, StoreError> {
        let mut statement = self.conn.prepare("SELECT key, wrong, last, blocked_until FROM login_try")?;
        let rows = statement.query_map([], |row| {
            Ok(LoginTries {
                key: row.get("key")?,
                wrong: row.get("wrong")?,
                last: Timestamp(row.get("last")?),
                blocked_until: Timestamp(row.get("blocked_until")?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Tx<'_> {
    /// These and no others.
    pub fn put_login_tries(&self, all: &[LoginTries]) -> Result<(), StoreError> {
        self.conn.execute("DELETE FROM login_try", [])?;
        let mut insert = self
            .conn
            .prepare_cached("INSERT INTO login_try (key, wrong, last, blocked_until) VALUES (?1, ?2, ?3, ?4)")?;
        for one in all {
            insert.execute(params![one.key, one.wrong, one.last.0, one.blocked_until.0])?;
        }
        Ok(())
    }

    /// Returns the new row's id.
    pub fn insert_admin(
        &self,
        name: &str,
        role: Role,
        password: &PasswordHash,
        created_by: &str,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        self.conn.execute(
            "INSERT INTO admin (name, role, password_hash, password_salt, password_cost, password_changed_at, created_by, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?6)",
            params![name, role.as_str(), password.hash, password.salt, password.cost, now.0, created_by],
        )?;
        Ok(self.conn.last_insert_rowid())
    }

    pub fn put_admin_role(&self, id: i64, role: Role) -> Result<(), StoreError> {
        self.conn.execute("UPDATE admin SET role = ?2 WHERE id = ?1", params![id, role.as_str()])?;
        Ok(())
    }

    pub fn put_admin_disabled(&self, id: i64, disabled_at: Option<Timestamp>) -> Result<(), StoreError> {
        self.conn
            .execute("UPDATE admin SET disabled_at = ?2 WHERE id = ?1", params![id, disabled_at.map(|at| at.0)])?;
        Ok(())
    }

    pub fn put_admin_password(&self, id: i64, password: &PasswordHash, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE admin SET password_hash = ?2, password_salt = ?3, password_cost = ?4, password_changed_at = ?5 WHERE id = ?1";
        self.conn.execute(sql, params![id, password.hash, password.salt, password.cost, now.0])?;
        Ok(())
    }

    /// Begins (`Some`) or ends (`None`) an authenticator app; it counts from [`Tx::confirm_totp`] on.
    pub fn put_totp(&self, id: i64, sealed: Option<&[u8]>) -> Result<(), StoreError> {
        let sql = "UPDATE admin SET sealed_totp = ?2, totp_confirmed_at = NULL, totp_step = NULL WHERE id = ?1";
        self.conn.execute(sql, params![id, sealed])?;
        Ok(())
    }

    pub fn confirm_totp(&self, id: i64, now: Timestamp) -> Result<(), StoreError> {
        self.conn.execute("UPDATE admin SET totp_confirmed_at = ?2 WHERE id = ?1", params![id, now.0])?;
        Ok(())
    }

    /// Takes the code of a time step, once: `false` when it or a later one was used already.
    pub fn use_totp_step(&self, id: i64, step: i64) -> Result<bool, StoreError> {
        let sql = "UPDATE admin SET totp_step = ?2 WHERE id = ?1 AND (totp_step IS NULL OR totp_step < ?2)";
        Ok(self.conn.execute(sql, params![id, step])? == 1)
    }

    /// Notes the login and opens a session; ended ones of anybody are swept out on the way.
    pub fn insert_session(
        &self,
        admin: i64,
        hash: &[u8; 32],
        now: Timestamp,
        expires_at: Timestamp,
        idle_since: Timestamp,
        origin: &str,
    ) -> Result<i64, StoreError> {
        self.conn.execute(
            "DELETE FROM admin_session WHERE expires_at <= ?1 OR last_used_at <= ?2",
            params![now.0, idle_since.0],
        )?;
        self.conn.execute("UPDATE admin SET last_login_at = ?2 WHERE id = ?1", params![admin, now.0])?;
        let sql = "INSERT INTO admin_session (admin, hash, created_at, last_used_at, expires_at, origin) VALUES (?1, ?2, ?3, ?3, ?4, ?5)";
        self.conn.execute(sql, params![admin, hash, now.0, expires_at.0, origin])?;
        Ok(self.conn.last_insert_rowid())
    }

    pub fn put_session_used(&self, id: i64, at: Timestamp) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("UPDATE admin_session SET last_used_at = ?2 WHERE id = ?1")?
            .execute(params![id, at.0])?;
        Ok(())
    }

    pub fn end_session(&self, id: i64) -> Result<(), StoreError> {
        self.conn.execute("DELETE FROM admin_session WHERE id = ?1", [id])?;
        Ok(())
    }

    pub fn end_sessions_of(&self, admin: i64) -> Result<(), StoreError> {
        self.conn.execute("DELETE FROM admin_session WHERE admin = ?1", [admin])?;
        Ok(())
    }

    pub fn end_all_sessions(&self) -> Result<(), StoreError> {
        self.conn.execute("DELETE FROM admin_session", [])?;
        Ok(())
    }
}
