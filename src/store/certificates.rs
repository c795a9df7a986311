//! Certificates, the school's own keys, bindings of certificates to device channels, and the wrapped data keys.

use super::{Db, Fields, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

/// What a certificate is for; the words of the `purpose` column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Root,
    Issuing,
    Tls,
    Signer,
    Identity,
    Push,
    /// What Macs encrypt their FileVault recovery keys to.
    Escrow,
    /// A credential of an account on a device: never one of a device itself.
    Account,
}

impl Purpose {
    pub fn as_str(self) -> &'static str {
        match self {
            Purpose::Root => "root",
            Purpose::Issuing => "issuing",
            Purpose::Tls => "tls",
            Purpose::Signer => "signer",
            Purpose::Identity => "identity",
            Purpose::Push => "push",
            Purpose::Escrow => "escrow",
            Purpose::Account => "account",
        }
    }
}

/// A certificate as recorded. `fingerprint` is SHA-256 of the DER.
#[derive(Debug, Clone)]
pub struct CertificateRow {
    pub fingerprint: [u8; 32],
    pub der: Vec<u8>,
    pub serial: String,
    pub subject: String,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub issued_profile: Option<i64>,
    pub revoked_at: Option<Timestamp>,
}

/// What every request of a device asks of its certificate: a row without the blob.
#[derive(Debug, Clone, Copy)]
pub struct CertificateStanding {
    pub fingerprint: [u8; 32],
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub issued_profile: Option<i64>,
    pub revoked_at: Option<Timestamp>,
    /// By a person's hand; everything else is undone when the device comes back.
    pub revoked_for_good: bool,
}

/// Whether a key of the school is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Current,
    /// It goes out to the devices first, and comes into force when they have it.
    Next,
    Former,
}

/// One of the school's own keys with its certificate.
#[derive(Debug, Clone)]
pub struct AuthorityRow {
    pub id: i64,
    pub standing: Standing,
    pub der: Vec<u8>,
    pub sealed_key: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindingState {
    Pending,
    Current,
    Retired,
    Quarantined,
}

impl BindingState {
    fn as_str(self) -> &'static str {
        match self {
            BindingState::Pending => "pending",
            BindingState::Current => "current",
            BindingState::Retired => "retired",
            BindingState::Quarantined => "quarantined",
        }
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        [BindingState::Pending, BindingState::Current, BindingState::Retired, BindingState::Quarantined]
            .into_iter()
            .find(|s| s.as_str() == text)
            .ok_or(StoreError::Corrupt("binding state"))
    }
}

/// Which device channel a certificate speaks for.
#[derive(Debug, Clone, Copy)]
pub struct BindingRow {
    pub enrollment: i64,
    pub state: BindingState,
}

/// The data key as it lies in the file.
#[derive(Debug, Clone)]
pub struct WrappedKey {
    pub key_id: u32,
    pub wrapped: Vec<u8>,
    /// Salt and cost of the derivation; only for a recovery code.
    pub derivation: Option<(Vec<u8>, String)>,
    pub created_at: Timestamp,
}

fn row_to_certificate(row: &Row<'_>) -> rusqlite::Result<CertificateRow> {
    Ok(CertificateRow {
        fingerprint: row.get("fingerprint")?,
        der: row.get("der")?,
        serial: row.get("serial")?,
        subject: row.get("subject")?,
        not_before: Timestamp(row.get("not_before")?),
        not_after: Timestamp(row.get("not_after")?),
        issued_profile: row.get("issued_profile")?,
        revoked_at: row.get::<_, Option<i64>>("revoked_at")?.map(Timestamp),
    })
}

impl Standing {
    fn as_str(self) -> &'static str {
        match self {
            Standing::Current => "current",
            Standing::Next => "next",
            Standing::Former => "former",
        }
    }
}

fn row_to_authority(row: &Row<'_>) -> rusqlite::Result<AuthorityRow> {
    let standing: String = row.get("standing")?;
    // The CHECK of the table allows only the three words.
    let standing = match standing.as_str() {
        "current" => Standing::Current,
        "next" => Standing::Next,
        _ => Standing::Former,
    };
    Ok(AuthorityRow { id: row.get("id")?, standing, der: row.get("der")?, sealed_key: row.get("sealed_key")? })
}

impl Db<'_> {
    pub fn find_certificate(&self, fingerprint: &[u8; 32]) -> Result<Option<CertificateRow>, StoreError> {
        let sql = "SELECT fingerprint, der, serial, subject, not_before, not_after, issued_profile, revoked_at
                   FROM certificate WHERE fingerprint = ?1";
        Ok(self.conn.prepare_cached(sql)?.query_row([fingerprint], row_to_certificate).optional()?)
    }

    /// How a certificate stands, and all its bindings: normally one, more only where somebody copied an identity.
    pub fn find_certificate_standing(
        &self,
        fingerprint: &[u8; 32],
    ) -> Result<Option<(CertificateStanding, Vec<BindingRow>)>, StoreError> {
        let sql =
            "SELECT c.not_before, c.not_after, c.issued_profile, c.revoked_at, c.revoked_why = 'manual', b.enrollment,
                       b.state
                   FROM certificate c LEFT JOIN binding b ON b.certificate = c.fingerprint WHERE c.fingerprint = ?1";
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query([fingerprint])?;
        let mut found: Option<(CertificateStanding, Vec<BindingRow>)> = None;
        while let Some(row) = rows.next()? {
            let mut fields = Fields::of(row);
            let standing = CertificateStanding {
                fingerprint: *fingerprint,
                not_before: Timestamp(fields.next()?),
                not_after: Timestamp(fields.next()?),
                issued_profile: fields.next()?,
                revoked_at: fields.next_at()?,
                revoked_for_good: fields.next::<Option<bool>>()?.unwrap_or(false),
            };
            let (_, bindings) = found.get_or_insert_with(|| (standing, Vec::with_capacity(1)));
            if let Some(enrollment) = fields.next()? {
                bindings.push(BindingRow { enrollment, state: BindingState::parse(fields.next_str()?)? });
            }
        }
        Ok(found)
    }

    /// Whether any certificate is bound to this device channel.
    pub fn has_binding(&self, enrollment: i64) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM binding WHERE enrollment = ?1 AND state IN ('pending', 'current'))";
        Ok(self.conn.prepare_cached(sql)?.query_row([enrollment], |row| row.get(0))?)
    }

    pub fn find_authority(&self, purpose: Purpose) -> Result<Option<AuthorityRow>, StoreError> {
        let sql =
            "SELECT a.id, c.der, a.sealed_key, a.standing FROM authority a JOIN certificate c ON c.fingerprint = a.certificate
                   WHERE a.purpose = ?1 AND a.standing = 'current'";
        Ok(self.conn.prepare_cached(sql)?.query_row([purpose.as_str()], row_to_authority).optional()?)
    }

    pub fn list_wrapped_keys(&self, wrapping: &str) -> Result<Vec<WrappedKey>, StoreError> {
        let sql =
            "SELECT key_id, salt, cost, wrapped, created_at FROM wrapped_key WHERE wrapping = ?1 ORDER BY key_id DESC";
        let mut statement = self.conn.prepare(sql)?;
        let rows = statement.query_map([wrapping], |row| {
            let (salt, cost): (Option<Vec<u8>>, Option<String>) = (row.get("salt")?, row.get("cost")?);
            let created_at = Timestamp(row.get("created_at")?);
            Ok(WrappedKey {
                key_id: row.get("key_id")?,
                wrapped: row.get("wrapped")?,
                derivation: salt.zip(cost),
                created_at,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Every key of the school, replaced ones too, with its certificate.
    pub fn list_authorities(&self) -> Result<Vec<(Purpose, AuthorityRow)>, StoreError> {
        let sql = "SELECT a.id, a.purpose, c.der, a.sealed_key, a.standing FROM authority a JOIN certificate c ON c.fingerprint = a.certificate ORDER BY a.id";
        let mut statement = self.conn.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let word: String = row.get("purpose")?;
            let purpose = [Purpose::Root, Purpose::Issuing, Purpose::Tls, Purpose::Signer, Purpose::Escrow]
                .into_iter()
                .find(|p| p.as_str() == word);
            let purpose = purpose.ok_or(StoreError::Corrupt("authority purpose"))?;
            found.push((purpose, row_to_authority(row)?));
        }
        Ok(found)
    }
}

impl Tx<'_> {
    pub fn insert_certificate(&self, row: &CertificateRow, purpose: Purpose, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO certificate (fingerprint, der, serial, subject, purpose, not_before, not_after, recorded_at, issued_profile)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (fingerprint) DO NOTHING";
        let (before, after) = (row.not_before.0, row.not_after.0);
        let values = params![
            row.fingerprint,
            row.der,
            row.serial,
            row.subject,
            purpose.as_str(),
            before,
            after,
            now.0,
            row.issued_profile
        ];
        self.conn.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Adds a key of the school; the one that it replaces stays on record. `sealed_key` is sealed by the caller for
    /// the place `authority/<purpose>/<hex fingerprint>`.
    pub fn insert_authority(
        &self,
        purpose: Purpose,
        fingerprint: &[u8; 32],
        sealed_key: &[u8],
        standing: Standing,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if standing != Standing::Former {
            let sql = "UPDATE authority SET standing = 'former' WHERE purpose = ?1 AND standing = ?2";
            self.conn.execute(sql, [purpose.as_str(), standing.as_str()])?;
        }
        self.conn.execute(
            "INSERT INTO authority (purpose, certificate, sealed_key, standing, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![purpose.as_str(), fingerprint, sealed_key, standing.as_str(), now.0],
        )?;
        Ok(())
    }

    /// What was to come is in force, for every purpose at once; what it replaces stays on record.
    pub fn put_next_authorities_in_force(&self) -> Result<(), StoreError> {
        self.conn.execute(
            "UPDATE authority SET standing = 'former' WHERE standing = 'current'
                 AND purpose IN (SELECT purpose FROM authority WHERE standing = 'next')",
            [],
        )?;
        self.conn.execute("UPDATE authority SET standing = 'current' WHERE standing = 'next'", [])?;
        Ok(())
    }

    /// What was to come will not come.
    pub fn drop_next_authorities(&self) -> Result<usize, StoreError> {
        Ok(self.conn.execute("UPDATE authority SET standing = 'former' WHERE standing = 'next'", [])?)
    }

    /// Stores the data key under a wrapping; what was wrapped so before is gone.
    pub fn put_wrapped_key(&self, key: &WrappedKey, wrapping: &str) -> Result<(), StoreError> {
        let (salt, cost) = key.derivation.as_ref().map(|(salt, cost)| (salt, cost)).unzip();
        self.conn.execute(
            "INSERT INTO wrapped_key (key_id, wrapping, salt, cost, wrapped, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (key_id, wrapping) DO UPDATE SET
                 salt = excluded.salt, cost = excluded.cost, wrapped = excluded.wrapped, created_at = excluded.created_at",
            params![key.key_id, wrapping, salt, cost, key.wrapped, key.created_at.0],
        )?;
        Ok(())
    }

    /// Destroys every wrapping of the data keys before this one: what is still sealed with them never opens again.
    pub fn delete_wrapped_keys_before(&self, key_id: u32) -> Result<(), StoreError> {
        self.conn.execute("DELETE FROM wrapped_key WHERE key_id < ?1", [key_id])?;
        Ok(())
    }

    pub fn put_binding(
        &self,
        fingerprint: &[u8; 32],
        enrollment: i64,
        state: BindingState,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO binding (certificate, enrollment, state, since) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT (certificate, enrollment) DO UPDATE SET state = excluded.state, since = excluded.since";
        self.conn.prepare_cached(sql)?.execute(params![fingerprint, enrollment, state.as_str(), now.0])?;
        Ok(())
    }

    /// The new certificate has proven itself by TokenUpdate: the others of this channel retire.
    pub fn retire_other_bindings(
        &self,
        fingerprint: &[u8; 32],
        enrollment: i64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE binding SET state = 'retired', since = ?3
                   WHERE enrollment = ?2 AND certificate <> ?1 AND state IN ('pending', 'current')";
        self.conn.prepare_cached(sql)?.execute(params![fingerprint, enrollment, now.0])?;
        Ok(())
    }
}
