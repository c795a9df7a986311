//! People of the school: names, GUIDs, password hashes and digest secrets. `service::users` decides; admins are in [`super::people`].

use super::{Db, PasswordHash, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

/// Who keeps a person up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Local,
    Csv,
    Ldap,
}

impl Source {
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Local => "local",
            Source::Csv => "csv",
            Source::Ldap => "ldap",
        }
    }
}

#[derive(Debug, Clone)]
pub struct PersonRow {
    pub id: i64,
    pub public_id: String,
    pub short_name: String,
    pub long_name: Option<String>,
    pub mail: Option<String>,
    pub source: Source,
    pub password: Option<PasswordHash>,
    pub password_changed_at: Option<Timestamp>,
    pub created_by: String,
    pub created_at: Timestamp,
    pub disabled_at: Option<Timestamp>,
    /// The directory has the record no more, and brings it back by itself.
    pub vanished: bool,
    pub has_digest: bool,
}

/// What is written of a person beside passwords.
#[derive(Debug, Clone, Copy)]
pub struct PersonFacts<'a> {
    pub short_name: &'a str,
    pub long_name: Option<&'a str>,
    pub mail: Option<&'a str>,
    pub source: Source,
}

/// One id of a person's record in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuidRow {
    pub guid: String,
    pub kind: String,
}

pub(super) const COLUMNS: &str =
    "p.id, p.public_id, p.short_name, p.long_name, p.mail, p.source, p.password_hash, p.password_salt,
    p.password_cost, p.password_changed_at, p.created_by, p.created_at, p.disabled_at, p.disabled_why,
    EXISTS (SELECT 1 FROM person_digest g WHERE g.person = p.id) AS has_digest";

pub(super) fn row_to_person(row: &Row<'_>) -> rusqlite::Result<PersonRow> {
    let at = |name: &str| row.get::<_, Option<i64>>(name).map(|v| v.map(Timestamp));
    let hash: Option<[u8; 32]> = row.get("password_hash")?;
    let password = match hash {
        Some(hash) => Some(PasswordHash { hash, salt: row.get("password_salt")?, cost: row.get("password_cost")? }),
        None => None,
    };
    Ok(PersonRow {
        id: row.get("id")?,
        public_id: row.get("public_id")?,
        short_name: row.get("short_name")?,
        long_name: row.get("long_name")?,
        mail: row.get("mail")?,
        source: match row.get::<_, String>("source")?.as_str() {
            "csv" => Source::Csv,
            "ldap" => Source::Ldap,
            _ => Source::Local,
        },
        password,
        password_changed_at: at("password_changed_at")?,
        created_by: row.get("created_by")?,
        created_at: Timestamp(row.get("created_at")?),
        disabled_at: at("disabled_at")?,
        vanished: row.get::<_, Option<String>>("disabled_why")?.as_deref() == Some("vanished"),
        has_digest: row.get("has_digest")?,
    })
}

impl Db<'_> {
    /// By short name, in any case.
    pub fn find_person(&self, short_name: &str) -> Result<Option<PersonRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM person p WHERE p.short_name = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([short_name], row_to_person).optional()?)
    }

    /// By short name in any case, or by Cordon's id.
    pub fn find_person_by_any(&self, text: &str) -> Result<Option<PersonRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM person p WHERE p.public_id = ?1
             UNION ALL SELECT {COLUMNS} FROM person p WHERE p.short_name = ?1 LIMIT 1"
        );
        Ok(self.conn.prepare_cached(&sql)?.query_row([text], row_to_person).optional()?)
    }

    /// Everybody whom this may mean: by short name in any case, Cordon's id or a record's id; else by mail address.
    pub fn list_persons_called(&self, text: &str) -> Result<Vec<PersonRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM person p WHERE p.public_id = ?1 OR p.short_name = ?1
                 OR p.id IN (SELECT person FROM person_guid WHERE guid = upper(?1)) ORDER BY p.id LIMIT 2"
        );
        let by_mail = format!("SELECT {COLUMNS} FROM person p WHERE p.mail = ?1 COLLATE NOCASE ORDER BY p.id LIMIT 2");
        for sql in [sql, by_mail] {
            let mut statement = self.conn.prepare_cached(&sql)?;
            let rows = statement.query_map([text], row_to_person)?;
            let found: Vec<PersonRow> = rows.collect::<Result<_, _>>()?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    /// By row id.
    pub fn find_person_by_row(&self, id: i64) -> Result<Option<PersonRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM person p WHERE p.id = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([id], row_to_person).optional()?)
    }

    /// By the id of a directory's record, in capitals.
    pub fn find_person_by_guid(&self, guid: &str) -> Result<Option<PersonRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM person_guid g JOIN person p ON p.id = g.person WHERE g.guid = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([guid], row_to_person).optional()?)
    }

    /// People after `after` (a row id) in order of arrival; `search` matches the beginning of short name, long name or mail.
    pub fn list_persons(&self, after: i64, search: Option<&str>, limit: usize) -> Result<Vec<PersonRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM person p WHERE p.id > ?1
                 AND (?2 IS NULL OR p.short_name LIKE ?2 OR p.long_name LIKE ?2 OR p.mail LIKE ?2)
             ORDER BY p.id LIMIT ?3"
        );
        let pattern = search.map(|s| format!("{}%", s.replace(['%', '_'], "")));
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map(params![after, pattern, limit as i64], row_to_person)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub fn list_guids(&self, person: i64) -> Result<Vec<GuidRow>, StoreError> {
        let mut statement =
            self.conn.prepare_cached("SELECT guid, kind FROM person_guid WHERE person = ?1 ORDER BY since, guid")?;
        let rows =
            statement.query_map([person], |row| Ok(GuidRow { guid: row.get("guid")?, kind: row.get("kind")? }))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The sealed digest secret of a realm.
    pub fn find_digest(&self, person: i64, realm: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT sealed_ha1 FROM person_digest WHERE person = ?1 AND realm = ?2";
        Ok(self.conn.prepare_cached(sql)?.query_row(params![person, realm], |row| row.get(0)).optional()?)
    }
}

impl Tx<'_> {
    /// Returns the new row's id.
    pub fn insert_person(
        &self,
        public_id: &str,
        facts: &PersonFacts<'_>,
        created_by: &str,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        let sql = "INSERT INTO person (public_id, short_name, long_name, mail, source, created_by, created_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        self.conn.prepare_cached(sql)?.execute(params![
            public_id,
            facts.short_name,
            facts.long_name,
            facts.mail,
            facts.source.as_str(),
            created_by,
            now.0
        ])?;
        Ok(self.conn.last_insert_rowid())
    }

    pub fn update_person(&self, id: i64, facts: &PersonFacts<'_>) -> Result<(), StoreError> {
        let sql = "UPDATE person SET short_name = ?2, long_name = ?3, mail = ?4, source = ?5 WHERE id = ?1";
        self.conn.prepare_cached(sql)?.execute(params![
            id,
            facts.short_name,
            facts.long_name,
            facts.mail,
            facts.source.as_str()
        ])?;
        Ok(())
    }

    /// `None` enables; `vanished` says that the directory will bring the person back by itself.
    pub fn put_person_disabled(&self, id: i64, at: Option<Timestamp>, vanished: bool) -> Result<(), StoreError> {
        let why = at.map(|_| if vanished { "vanished" } else { "person" });
        self.conn
            .prepare_cached("UPDATE person SET disabled_at = ?2, disabled_why = ?3 WHERE id = ?1")?
            .execute(params![id, at.map(|at| at.0), why])?;
        Ok(())
    }

    pub fn put_person_password(&self, id: i64, password: &PasswordHash, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE person SET password_hash = ?2, password_salt = ?3, password_cost = ?4, password_changed_at = ?5 WHERE id = ?1";
        self.conn.execute(sql, params![id, password.hash, password.salt, password.cost, now.0])?;
        Ok(())
    }

    pub fn put_digest(&self, person: i64, realm: &str, sealed: &[u8], now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO person_digest (person, realm, sealed_ha1, made_at) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT (person, realm) DO UPDATE SET sealed_ha1 = excluded.sealed_ha1, made_at = excluded.made_at";
        self.conn.prepare_cached(sql)?.execute(params![person, realm, sealed, now.0])?;
        Ok(())
    }

    /// A new name makes every digest secret worthless: the name is part of it.
    pub fn forget_digests(&self, person: i64) -> Result<(), StoreError> {
        self.conn.prepare_cached("DELETE FROM person_digest WHERE person = ?1")?.execute([person])?;
        Ok(())
    }

    /// `false` when another person has this GUID.
    pub fn put_guid(&self, person: i64, guid: &str, kind: &str, now: Timestamp) -> Result<bool, StoreError> {
        let sql = "INSERT INTO person_guid (guid, person, kind, since) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT (guid) DO UPDATE SET kind = excluded.kind WHERE person = excluded.person";
        Ok(self.conn.prepare_cached(sql)?.execute(params![guid, person, kind, now.0])? == 1)
    }

    /// The person with everything that hangs on it. Audit rows name only the id, which is then nobody's.
    pub fn delete_person(&self, id: i64) -> Result<(), StoreError> {
        self.conn.execute("DELETE FROM person WHERE id = ?1", [id])?;
        Ok(())
    }

    /// Takes a name out of the channels of devices and out of their stories.
    pub fn forget_name(&self, guids: &[String], short_name: &str) -> Result<(), StoreError> {
        let mut channels: Vec<i64> = Vec::new();
        let sql = "SELECT id FROM enrollment WHERE channel = 'user' AND (user_id = ?1 COLLATE NOCASE OR user_short_name = ?2 COLLATE NOCASE)";
        for guid in guids.iter().map(String::as_str).chain([""]) {
            let mut statement = self.conn.prepare_cached(sql)?;
            let found = statement.query_map([guid, short_name], |row| row.get(0))?;
            channels.extend(found.collect::<Result<Vec<i64>, _>>()?);
        }
        for channel in channels {
            self.conn
                .prepare_cached("UPDATE enrollment SET user_short_name = NULL, user_long_name = NULL WHERE id = ?1")?
                .execute([channel])?;
            self.conn
                .prepare_cached("UPDATE timeline SET detail = NULL WHERE enrollment = ?1 AND kind = 'user-channel'")?
                .execute([channel])?;
        }
        Ok(())
    }
}
