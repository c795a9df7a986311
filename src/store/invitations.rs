//! Invitations to enrol. Called by `service::inviting`, which also says what makes one good.

use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

#[derive(Debug, Clone)]
pub struct InvitationRow {
    pub id: i64,
    pub public_id: String,
    pub recipient: String,
    /// Row of a person of the school.
    pub person: Option<i64>,
    pub class: Option<String>,
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
    pub way: Option<&'a str>,
    pub uses: i64,
    pub created_by: &'a str,
    pub expires_at: Timestamp,
}

/// A device that came in by an invitation.
#[derive(Debug, Clone)]
pub struct InvitedDevice {
    pub device: String,
    pub serial: Option<String>,
    pub at: Timestamp,
}

const COLUMNS: &str =
    "i.id, i.public_id, i.recipient, i.person, i.class, i.way, i.uses, i.created_by, i.created_at, i.expires_at,
    i.revoked_at, (SELECT count(*) FROM arrival a
                   WHERE a.invitation = i.id AND a.issued_profile IS NOT NULL AND a.closed_at IS NULL) AS used";

fn row_to_invitation(row: &Row<'_>) -> rusqlite::Result<InvitationRow> {
    Ok(InvitationRow {
        id: row.get("id")?,
        public_id: row.get("public_id")?,
        recipient: row.get("recipient")?,
        person: row.get("person")?,
        class: row.get("class")?,
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
        let sql = format!("SELECT {COLUMNS} FROM invitation i WHERE i.hash = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([hash], row_to_invitation).optional()?)
    }

    pub fn find_invitation(&self, public_id: &str) -> Result<Option<InvitationRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM invitation i WHERE i.public_id = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([public_id], row_to_invitation).optional()?)
    }

    pub fn find_invitation_by_row(&self, id: i64) -> Result<Option<InvitationRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM invitation i WHERE i.id = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([id], row_to_invitation).optional()?)
    }

    /// Newest first, those before row `before`; of one class only, if named.
    pub fn list_invitations(
        &self,
        before: i64,
        class: Option<&str>,
        limit: usize,
    ) -> Result<Vec<InvitationRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM invitation i WHERE i.id < ?1 AND (?2 IS NULL OR i.class = ?2) ORDER BY i.id DESC LIMIT ?3"
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map(params![before, class, limit as i64], row_to_invitation)?;
        Ok(rows.collect::<Result<_, _>>()?)
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
        let sql = "INSERT INTO invitation (public_id, hash, recipient, person, class, way, uses, created_by, created_at, expires_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
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
            new.expires_at.0
        ])?;
        Ok(())
    }

    /// `false` when there is none, or it is revoked already.
    pub fn revoke_invitation(&self, public_id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE invitation SET revoked_at = ?2 WHERE public_id = ?1 AND revoked_at IS NULL";
        Ok(self.conn.prepare_cached(sql)?.execute(params![public_id, now.0])? == 1)
    }
}
