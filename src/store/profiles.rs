//! Issued enrolment profiles and the one-time challenges inside them.

use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use crate::protocol::profile::IdentityMethod;
use rusqlite::{OptionalExtension, Row, params};

/// On which way a profile comes to its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Made by an administrator or a script, and carried to the device.
    Download,
    /// Fetched on the enrolment page by somebody who logged in or held an invitation.
    Page,
    /// Over-the-air profile delivery, at its end.
    Ota,
    /// Automated Device Enrolment.
    Ade,
    /// Pushed to an enrolled device in the place of its present one.
    Renewal,
}

impl Way {
    pub fn as_str(self) -> &'static str {
        match self {
            Way::Download => "download",
            Way::Page => "page",
            Way::Ota => "ota",
            Way::Ade => "ade",
            Way::Renewal => "renewal",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Way::Download, Way::Page, Way::Ota, Way::Ade, Way::Renewal].into_iter().find(|way| way.as_str() == text)
    }
}

/// What an enrollment was given and may never change.
#[derive(Debug, Clone)]
pub struct IssuedProfile {
    pub payload_identifier: String,
    pub name: String,
    pub way: Way,
    /// Row of the person whose device it is to be.
    pub person: Option<i64>,
    /// The issued profile that this one takes the place of.
    pub replaces: Option<i64>,
    pub server_url: String,
    pub check_in_url: String,
    pub topic: String,
    pub access_rights: u32,
    pub per_user: bool,
    /// Apple's names of all capabilities.
    pub capabilities: Vec<String>,
    pub sign_message: bool,
    pub identity: IdentityMethod,
    pub signed: bool,
    /// SHA-256 of the signer's certificate; `None` when unsigned.
    pub signer: Option<[u8; 32]>,
    /// SHA-256 of each root and intermediate inside; empty where TLS is publicly trusted.
    pub certificates: Vec<[u8; 32]>,
    /// When the first certificate ends that the profile itself brings or is signed with. The identity's own end is the register's.
    pub ends_at: Option<Timestamp>,
    /// Until when a PKCS#12 identity inside may enrol its device.
    pub enroll_by: Option<Timestamp>,
    pub created_by: String,
}

#[derive(Debug, Clone)]
pub struct ChallengeRow {
    pub id: i64,
    /// `None`: for the passing identity of over-the-air enrolment, which no device channel is opened with.
    pub issued_profile: Option<i64>,
    pub enrollment: Option<i64>,
    pub expires_at: Timestamp,
    pub consumed: Option<Consumption>,
    /// The queued command that carries it; it lives as long as that waits.
    pub command: Option<String>,
}

/// Who used a challenge, and for what: a repeat by the same one is answered with the same certificate.
#[derive(Debug, Clone)]
pub struct Consumption {
    pub transaction_id: String,
    pub key_hash: [u8; 32],
    pub certificate: [u8; 32],
}

fn row_to_challenge(row: &Row<'_>) -> rusqlite::Result<ChallengeRow> {
    let certificate: Option<[u8; 32]> = row.get("certificate")?;
    let consumed = match certificate {
        Some(certificate) => Some(Consumption {
            transaction_id: row.get("transaction_id")?,
            key_hash: row.get("key_hash")?,
            certificate,
        }),
        None => None,
    };
    Ok(ChallengeRow {
        id: row.get("id")?,
        issued_profile: row.get("issued_profile")?,
        enrollment: row.get("enrollment")?,
        expires_at: Timestamp(row.get("expires_at")?),
        consumed,
        command: row.get("command")?,
    })
}

fn row_to_issued_profile(row: &Row<'_>) -> rusqlite::Result<IssuedProfile> {
    let words = |column: &str| -> rusqlite::Result<Vec<String>> {
        let text: String = row.get(column)?;
        Ok(text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect())
    };
    let wrong = |column: &str| rusqlite::Error::InvalidColumnName(column.to_owned());
    let way: String = row.get("way")?;
    let identity: String = row.get("identity")?;
    let hash = |text: &String| <[u8; 32]>::try_from(hex::decode(text).unwrap_or_default()).ok();
    Ok(IssuedProfile {
        payload_identifier: row.get("payload_identifier")?,
        name: row.get("name")?,
        way: Way::parse(&way).ok_or_else(|| wrong("way"))?,
        person: row.get("person")?,
        replaces: row.get("replaces")?,
        server_url: row.get("server_url")?,
        check_in_url: row.get("check_in_url")?,
        topic: row.get("topic")?,
        access_rights: row.get("access_rights")?,
        per_user: row.get("per_user")?,
        capabilities: words("capabilities")?,
        sign_message: row.get("sign_message")?,
        identity: IdentityMethod::parse(&identity).ok_or_else(|| wrong("identity"))?,
        signed: row.get("signed")?,
        signer: row.get("signer")?,
        certificates: words("certificates")?.iter().filter_map(hash).collect(),
        ends_at: row.get::<_, Option<i64>>("ends_at")?.map(Timestamp),
        enroll_by: row.get::<_, Option<i64>>("enroll_by")?.map(Timestamp),
        created_by: row.get("created_by")?,
    })
}

impl Db<'_> {
    pub fn find_issued_profile(&self, id: i64) -> Result<Option<IssuedProfile>, StoreError> {
        let sql = "SELECT payload_identifier, name, way, person, replaces, server_url, check_in_url, topic, access_rights, per_user,
                       capabilities, sign_message, identity, signed, signer, certificates, ends_at, enroll_by, created_by
                   FROM issued_profile WHERE id = ?1";
        Ok(self.conn.prepare_cached(sql)?.query_row([id], row_to_issued_profile).optional()?)
    }

    pub fn find_challenge(&self, hash: &[u8; 32]) -> Result<Option<ChallengeRow>, StoreError> {
        let sql = "SELECT id, issued_profile, enrollment, expires_at, transaction_id, key_hash, certificate, command FROM challenge WHERE hash = ?1";
        Ok(self.conn.prepare_cached(sql)?.query_row([hash], row_to_challenge).optional()?)
    }

    /// The certificate that a finished transaction got, for CertPoll.
    pub fn find_issued_by_transaction(&self, transaction_id: &str) -> Result<Option<[u8; 32]>, StoreError> {
        let sql = "SELECT certificate FROM challenge WHERE transaction_id = ?1 AND certificate IS NOT NULL ORDER BY id DESC LIMIT 1";
        Ok(self.conn.prepare_cached(sql)?.query_row([transaction_id], |row| row.get("certificate")).optional()?)
    }
}

impl Tx<'_> {
    pub fn insert_issued_profile(&self, new: &IssuedProfile, now: Timestamp) -> Result<i64, StoreError> {
        let sql = "INSERT INTO issued_profile (payload_identifier, name, way, person, replaces, server_url, check_in_url, topic,
                       access_rights, per_user, capabilities, sign_message, identity, signed, signer, certificates, ends_at,
                       enroll_by, created_by, created_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)";
        let certificates: Vec<String> = new.certificates.iter().map(hex::encode).collect();
        self.conn.prepare_cached(sql)?.execute(params![
            new.payload_identifier,
            new.name,
            new.way.as_str(),
            new.person,
            new.replaces,
            new.server_url,
            new.check_in_url,
            new.topic,
            new.access_rights,
            new.per_user,
            new.capabilities.join(" "),
            new.sign_message,
            new.identity.as_str(),
            new.signed,
            new.signer,
            certificates.join(" "),
            new.ends_at.map(|at| at.0),
            new.enroll_by.map(|at| at.0),
            new.created_by,
            now.0
        ])?;
        Ok(self.conn.last_insert_rowid())
    }

    /// `enrollment`: the only one that may use it; `None` for whoever holds it.
    pub fn insert_challenge(
        &self,
        hash: &[u8; 32],
        issued_profile: i64,
        enrollment: Option<i64>,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO challenge (hash, issued_profile, enrollment, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)";
        self.conn.prepare_cached(sql)?.execute(params![hash, issued_profile, enrollment, now.0, expires_at.0])?;
        Ok(())
    }

    /// Consumes a challenge, once. `false` when another transaction was first.
    pub fn consume_challenge(&self, id: i64, consumption: &Consumption, now: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE challenge SET consumed_at = ?2, transaction_id = ?3, key_hash = ?4, certificate = ?5
                   WHERE id = ?1 AND consumed_at IS NULL";
        let c = consumption;
        let changed =
            self.conn.prepare_cached(sql)?.execute(params![id, now.0, c.transaction_id, c.key_hash, c.certificate])?;
        Ok(changed == 1)
    }
}
