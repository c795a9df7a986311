//! Invitations to enrol. Called by `service::inviting`, which also says what makes one good.

use super::groups::TAUGHT;
use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

#[derive(Debug, Clone)]
pub struct InvitationRow {
    pub id: i64,
    pub public_id: String,
    /// For people: the person's name where it was made for one.
    pub recipient: String,
    /// Row and public id of a person of the school.
    pub person: Option<i64>,
    pub person_id: Option<String>,
    pub class: Option<String>,
    /// Row of a class of the school.
    pub group: Option<i64>,
    /// `ota` or `profile`; `None` follows the school's setting.
    pub way: Option<String>,
    pub uses: i64,
    /// Devices that were given a profile by it and did not give it back.
    pub used: i64,
    pub created_by: String,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
}

pub struct NewInvitation<'a> {
    pub public_id: &'a str,
    pub hash: &'a [u8; 32],
    pub recipient: &'a str,
    pub person: Option<i64>,
    pub class: Option<&'a str>,
    pub group: Option<i64>,
    pub way: Option<&'a str>,
    pub uses: i64,
    pub created_by: &'a str,
    pub expires_at: Timestamp,
}

/// The class that an invitation was made for.
#[derive(Debug, Clone)]
pub struct InvitedGroup {
    pub id: i64,
    pub public_id: String,
    pub name: String,
}

/// A device that came in by an invitation.
#[derive(Debug, Clone)]
pub struct InvitedDevice {
    pub device: String,
    pub serial: Option<String>,
    pub at: Timestamp,
}

const COLUMNS: &str = "i.id, i.public_id, i.person, i.\"group\", i.way, i.uses, i.created_by, i.created_at, i.expires_at, i.revoked_at,
    coalesce(p.long_name, p.short_name, i.recipient) AS recipient, p.public_id AS person_id, coalesce(c.name, i.class) AS class,
    (SELECT count(*) FROM arrival a
                   WHERE a.invitation = i.id AND a.issued_profile IS NOT NULL AND a.closed_at IS NULL) AS used";
const TABLES: &str =
    "invitation i LEFT JOIN person p ON p.id = i.person LEFT JOIN school_group c ON c.id = i.\"group\"";

fn row_to_invitation(row: &Row<'_>) -> rusqlite::Result<InvitationRow> {
    Ok(InvitationRow {
        id: row.get("id")?,
        public_id: row.get("public_id")?,
        recipient: row.get("recipient")?,
        person: row.get("person")?,
        person_id: row.get("person_id")?,
        class: row.get("class")?,
        group: row.get("group")?,
        way: row.get("way")?,
        uses: row.get("uses")?,
        used: row.get("used")?,
        created_by: row.get("created_by")?,
        created_at: Timestamp(row.get("created_at")?),
        expires_at: Timestamp(row.get("expires_at")?),
        revoked_at: row.get::<_, Option<i64>>("revoked_at")?.map(Timestamp),
    })
}

impl Db<'_> {
    pub fn find_invitation_by_hash(&self, hash: &[u8; 32]) -> Result<Option<InvitationRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE i.hash = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([hash], row_to_invitation).optional()?)
    }

    pub fn find_invitation(&self, public_id: &str) -> Result<Option<InvitationRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE i.public_id = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([public_id], row_to_invitation).optional()?)
    }

    pub fn find_invitation_by_row(&self, id: i64) -> Result<Option<InvitationRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE i.id = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([id], row_to_invitation).optional()?)
    }

    /// Newest first, those before row `before`; of one class only, if named; only of classes that the admin `taught_by` teaches, if given.
    pub fn list_invitations(
        &self,
        taught_by: Option<&str>,
        before: i64,
        class: Option<&str>,
        limit: usize,
    ) -> Result<Vec<InvitationRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM {TABLES} WHERE i.id < ?2 AND (?3 IS NULL OR coalesce(c.name, i.class) = ?3 COLLATE NOCASE)
             AND (?1 IS NULL OR EXISTS (SELECT 1 FROM school_group g WHERE g.id = i.\"group\" AND {TAUGHT}))
             ORDER BY i.id DESC LIMIT ?4"
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map(params![taught_by, before, class, limit as i64], row_to_invitation)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The class that whoever enrols with this very profile was invited to.
    pub fn find_invited_group(&self, issued_profile: i64) -> Result<Option<InvitedGroup>, StoreError> {
        let sql = "SELECT g.id, g.public_id, g.name FROM arrival a JOIN invitation i ON i.id = a.invitation
                   JOIN school_group g ON g.id = i.\"group\" WHERE a.issued_profile = ?1 ORDER BY a.id DESC LIMIT 1";
        let read = |row: &Row<'_>| {
            Ok(InvitedGroup { id: row.get("id")?, public_id: row.get("public_id")?, name: row.get("name")? })
        };
        Ok(self.conn.prepare_cached(sql)?.query_row([issued_profile], read).optional()?)
    }

    /// The devices that enrolled with profiles given for this invitation, oldest first.
    pub fn list_invited_devices(&self, invitation: i64) -> Result<Vec<InvitedDevice>, StoreError> {
        let sql = "SELECT DISTINCT d.public_id, d.serial, a.created_at FROM arrival a
                   JOIN certificate c ON c.issued_profile = a.issued_profile
                   JOIN binding b ON b.certificate = c.fingerprint
                   JOIN enrollment e ON e.id = b.enrollment
                   JOIN device d ON d.id = e.device
                   WHERE a.invitation = ?1 ORDER BY a.id";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([invitation], |row| {
            Ok(InvitedDevice {
                device: row.get("public_id")?,
                serial: row.get("serial")?,
                at: Timestamp(row.get("created_at")?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Tx<'_> {
    pub fn insert_invitation(&self, new: &NewInvitation<'_>, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO invitation (public_id, hash, recipient, person, class, way, uses, created_by, created_at, expires_at, \"group\")
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        self.conn.prepare_cached(sql)?.execute(params![
            new.public_id,
            new.hash,
            new.recipient,
            new.person,
            new.class,
            new.way,
            new.uses,
            new.created_by,
            now.0,
            new.expires_at.0,
            new.group
        ])?;
        Ok(())
    }

    /// Nobody comes in any more by what was made for this person.
    pub fn revoke_invitations_of(&self, person: i64, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE invitation SET revoked_at = ?2 WHERE person = ?1 AND revoked_at IS NULL";
        self.conn.prepare_cached(sql)?.execute(params![person, now.0])?;
        Ok(())
    }

    /// `false` when there is none, or it is revoked already.
    pub fn revoke_invitation(&self, public_id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE invitation SET revoked_at = ?2 WHERE public_id = ?1 AND revoked_at IS NULL";
        Ok(self.conn.prepare_cached(sql)?.execute(params![public_id, now.0])? == 1)
    }
}
