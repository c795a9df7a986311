//! Which certificates are revoked, and the lists that say so to others.

use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, params};

/// The identity of a device as people see it.
#[derive(Debug, Clone)]
pub struct IdentityRow {
    pub fingerprint: [u8; 32],
    pub serial: String,
    pub subject: String,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub revoked_at: Option<Timestamp>,
    pub revoked_why: Option<String>,
    /// `pending`, `current`, `retired` or `quarantined`; none if no device ever showed it.
    pub binding: Option<String>,
    pub device: Option<i64>,
    pub device_id: Option<String>,
}

/// Which identities a list shows.
#[derive(Debug, Clone, Default)]
pub struct IdentityFilter {
    pub device: Option<i64>,
    /// Serial number or fingerprint in hex, or the beginning of either.
    pub search: Option<String>,
    pub revoked: Option<bool>,
    pub limit: usize,
}

/// A list as it was published last.
#[derive(Debug, Clone)]
pub struct RevocationList {
    pub number: i64,
    pub der: Vec<u8>,
    pub contents: [u8; 32],
    pub made_at: Timestamp,
}

impl Db<'_> {
    /// Identities, those that end last first.
    pub fn list_identities(&self, filter: &IdentityFilter) -> Result<Vec<IdentityRow>, StoreError> {
        let sql = "SELECT c.fingerprint, c.serial, c.subject, c.not_before, c.not_after, c.revoked_at, c.revoked_why, b.state AS binding,
                          e.device, d.public_id
                   FROM certificate c LEFT JOIN binding b ON b.certificate = c.fingerprint
                       LEFT JOIN enrollment e ON e.id = b.enrollment LEFT JOIN device d ON d.id = e.device
                   WHERE c.purpose = 'identity' AND (?1 IS NULL OR e.device = ?1)
                     AND (?2 IS NULL OR c.serial LIKE ?2 OR hex(c.fingerprint) LIKE ?2)
                     AND (?3 IS NULL OR (c.revoked_at IS NOT NULL) = ?3)
                   ORDER BY c.not_after DESC, c.fingerprint LIMIT ?4";
        let pattern = filter.search.as_ref().map(|s| format!("{}%", s.replace(['%', '_'], "")));
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows =
            statement.query_map(params![filter.device, pattern, filter.revoked, filter.limit as i64], |row| {
                Ok(IdentityRow {
                    fingerprint: row.get("fingerprint")?,
                    serial: row.get("serial")?,
                    subject: row.get("subject")?,
                    not_before: Timestamp(row.get("not_before")?),
                    not_after: Timestamp(row.get("not_after")?),
                    revoked_at: row.get::<_, Option<i64>>("revoked_at")?.map(Timestamp),
                    revoked_why: row.get("revoked_why")?,
                    binding: row.get("binding")?,
                    device: row.get("device")?,
                    device_id: row.get("public_id")?,
                })
            })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Revoked identities of devices and accounts that have not ended yet: DER, instant, reason.
    pub fn list_revoked(&self, now: Timestamp) -> Result<Vec<(Vec<u8>, Timestamp, String)>, StoreError> {
        let sql = "SELECT der, revoked_at, revoked_why FROM certificate
                   WHERE revoked_at IS NOT NULL AND purpose IN ('identity', 'account') AND not_after >= ?1 ORDER BY revoked_at, fingerprint";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([now.0], |row| Ok((row.get(0)?, Timestamp(row.get(1)?), row.get(2)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub fn find_revocation_list(&self, issuer: &[u8; 32]) -> Result<Option<RevocationList>, StoreError> {
        let sql = "SELECT number, der, contents, made_at FROM revocation_list WHERE issuer = ?1";
        let found = self.conn.prepare_cached(sql)?.query_row([issuer], |row| {
            Ok(RevocationList {
                number: row.get("number")?,
                der: row.get("der")?,
                contents: row.get("contents")?,
                made_at: Timestamp(row.get("made_at")?),
            })
        });
        Ok(found.optional()?)
    }
}

impl Tx<'_> {
    /// Revokes a certificate, once: the first reason stays, except that a person's word outweighs every other.
    pub fn revoke(&self, fingerprint: &[u8; 32], why: &str, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE certificate SET revoked_at = coalesce(revoked_at, ?3), revoked_why = ?2
                   WHERE fingerprint = ?1 AND (revoked_at IS NULL OR ?2 = 'manual')";
        self.conn.prepare_cached(sql)?.execute(params![fingerprint, why, now.0])?;
        Ok(())
    }

    /// Revokes what is bound to a device channel and not yet revoked; with `except`, all but that one.
    pub fn revoke_bound(
        &self,
        enrollment: i64,
        except: Option<&[u8; 32]>,
        why: &str,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let sql = "UPDATE certificate SET revoked_at = ?3, revoked_why = ?2
                   WHERE revoked_at IS NULL AND fingerprint IN (SELECT certificate FROM binding WHERE enrollment = ?1)
                     AND (?4 IS NULL OR fingerprint <> ?4)";
        Ok(self.conn.prepare_cached(sql)?.execute(params![enrollment, why, now.0, except])?)
    }

    /// The device came back with it. What a person revoked stays so.
    pub fn restore_certificate(&self, fingerprint: &[u8; 32]) -> Result<(), StoreError> {
        let sql = "UPDATE certificate SET revoked_at = NULL, revoked_why = NULL
                   WHERE fingerprint = ?1 AND revoked_at IS NOT NULL AND revoked_why <> 'manual'";
        self.conn.prepare_cached(sql)?.execute([fingerprint])?;
        Ok(())
    }

    pub fn put_revocation_list(&self, issuer: &[u8; 32], list: &RevocationList) -> Result<(), StoreError> {
        let sql = "INSERT INTO revocation_list (issuer, number, der, contents, made_at) VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT (issuer) DO UPDATE SET number = excluded.number, der = excluded.der, contents = excluded.contents,
                       made_at = excluded.made_at";
        self.conn.prepare_cached(sql)?.execute(params![
            issuer,
            list.number,
            list.der,
            list.contents,
            list.made_at.0
        ])?;
        Ok(())
    }
}
