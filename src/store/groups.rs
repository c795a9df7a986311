//! Groups of devices and of people, classes, and which devices a teacher's classes have. `service::groups` decides.

use super::{Db, PersonRow, StoreError, Tx, devices, persons};
use crate::base::time::Timestamp;
use crate::store::DeviceRow;
use rusqlite::{OptionalExtension, Row, params};

#[derive(Debug, Clone)]
pub struct GroupRow {
    pub id: i64,
    pub public_id: String,
    pub name: String,
    /// `devices`, `people`, `class` or `smart`.
    pub kind: String,
    /// Only of a smart one.
    pub filter: Option<String>,
    /// `known`, `digest` or `refuse`; `None` leaves it to the school.
    pub login_mode: Option<String>,
    pub source: String,
    pub created_by: String,
    pub created_at: Timestamp,
    pub devices: i64,
    pub people: i64,
}

/// What a new group is.
#[derive(Debug, Clone, Copy)]
pub struct NewGroup<'a> {
    pub public_id: &'a str,
    pub name: &'a str,
    pub kind: &'a str,
    pub filter: Option<&'a str>,
    pub login_mode: Option<&'a str>,
    pub source: &'a str,
    pub created_by: &'a str,
}

const COLUMNS: &str = "g.id, g.public_id, g.name, g.kind, g.filter, g.login_mode, g.source, g.created_by, g.created_at,
    (SELECT count(*) FROM group_device m WHERE m.\"group\" = g.id) AS devices,
    (SELECT count(*) FROM group_person m WHERE m.\"group\" = g.id) AS people";

/// A class that the admin ?1 teaches: named in it, or of the same name as a teacher in it.
pub(super) const TAUGHT: &str = "g.kind = 'class' AND (
    EXISTS (SELECT 1 FROM group_admin t JOIN admin a ON a.id = t.admin WHERE t.\"group\" = g.id AND a.name = ?1)
    OR EXISTS (SELECT 1 FROM group_person t JOIN person p ON p.id = t.person
               WHERE t.\"group\" = g.id AND t.part = 'teacher' AND p.short_name = ?1 AND p.disabled_at IS NULL))";

fn row_to_group(row: &Row<'_>) -> rusqlite::Result<GroupRow> {
    Ok(GroupRow {
        id: row.get("id")?,
        public_id: row.get("public_id")?,
        name: row.get("name")?,
        kind: row.get("kind")?,
        filter: row.get("filter")?,
        login_mode: row.get("login_mode")?,
        source: row.get("source")?,
        created_by: row.get("created_by")?,
        created_at: Timestamp(row.get("created_at")?),
        devices: row.get("devices")?,
        people: row.get("people")?,
    })
}

impl Db<'_> {
    /// By name in any case, or by Cordon's id.
    pub fn find_group(&self, text: &str) -> Result<Option<GroupRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM school_group g WHERE g.public_id = ?1
             UNION ALL SELECT {COLUMNS} FROM school_group g WHERE g.name = ?1 LIMIT 1"
        );
        Ok(self.conn.prepare_cached(&sql)?.query_row([text], row_to_group).optional()?)
    }

    pub fn find_group_by_row(&self, id: i64) -> Result<Option<GroupRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM school_group g WHERE g.id = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([id], row_to_group).optional()?)
    }

    /// By name, in order; `taught_by` leaves only the classes of that admin.
    pub fn list_groups(&self, taught_by: Option<&str>) -> Result<Vec<GroupRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM school_group g WHERE ?1 IS NULL OR ({TAUGHT}) ORDER BY g.name");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map([taught_by], row_to_group)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The devices of every class that the admin teaches, by row id.
    pub fn list_taught_devices(&self, admin: &str) -> Result<Vec<i64>, StoreError> {
        let sql = format!(
            "SELECT DISTINCT m.device FROM group_device m JOIN school_group g ON g.id = m.\"group\" WHERE {TAUGHT} ORDER BY m.device"
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map([admin], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub fn list_group_devices(&self, group: i64) -> Result<Vec<DeviceRow>, StoreError> {
        let sql = format!(
            "SELECT {} FROM group_device m JOIN device d ON d.id = m.device WHERE m.\"group\" = ?1 ORDER BY d.id",
            devices::COLUMNS
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map([group], devices::row_to_device)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// With the part each has: `member` or `teacher`.
    pub fn list_group_people(&self, group: i64) -> Result<Vec<(PersonRow, String)>, StoreError> {
        let sql = format!(
            "SELECT {}, m.part FROM group_person m JOIN person p ON p.id = m.person WHERE m.\"group\" = ?1
             ORDER BY m.part DESC, p.short_name",
            persons::COLUMNS
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map([group], |row| Ok((persons::row_to_person(row)?, row.get("part")?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Names of the admins who teach a class without being people of the school.
    pub fn list_group_admins(&self, group: i64) -> Result<Vec<String>, StoreError> {
        let sql =
            "SELECT a.name FROM group_admin m JOIN admin a ON a.id = m.admin WHERE m.\"group\" = ?1 ORDER BY a.name";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([group], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How the groups of a person and of a device deal with network users, of those that say anything; smart groups come apart.
    pub fn list_login_modes(&self, person: Option<i64>, device: i64) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT g.login_mode FROM school_group g WHERE g.login_mode IS NOT NULL AND (
                       EXISTS (SELECT 1 FROM group_person m WHERE m.\"group\" = g.id AND m.person = ?1)
                       OR EXISTS (SELECT 1 FROM group_device m WHERE m.\"group\" = g.id AND m.device = ?2))";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(params![person, device], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Filters of the smart groups that say how to deal with network users, each with what it says.
    pub fn list_smart_login_modes(&self) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT filter, login_mode FROM school_group WHERE kind = 'smart' AND login_mode IS NOT NULL";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Names of the classes a list put a person in, in this part.
    pub fn list_listed_classes(&self, person: i64, part: &str, source: &str) -> Result<Vec<GroupRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM group_person m JOIN school_group g ON g.id = m.\"group\"
             WHERE m.person = ?1 AND m.part = ?2 AND m.source = ?3"
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map(params![person, part, source], row_to_group)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The part of a person in a group.
    pub fn find_part(&self, group: i64, person: i64) -> Result<Option<String>, StoreError> {
        let sql = "SELECT part FROM group_person WHERE \"group\" = ?1 AND person = ?2";
        Ok(self.conn.prepare_cached(sql)?.query_row([group, person], |row| row.get(0)).optional()?)
    }
}

impl Tx<'_> {
    /// Returns the new row's id.
    pub fn insert_group(&self, new: &NewGroup<'_>, now: Timestamp) -> Result<i64, StoreError> {
        let sql = "INSERT INTO school_group (public_id, name, kind, filter, login_mode, source, created_by, created_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        self.conn.prepare_cached(sql)?.execute(params![
            new.public_id,
            new.name,
            new.kind,
            new.filter,
            new.login_mode,
            new.source,
            new.created_by,
            now.0
        ])?;
        Ok(self.conn.last_insert_rowid())
    }

    pub fn update_group(
        &self,
        id: i64,
        name: &str,
        filter: Option<&str>,
        login_mode: Option<&str>,
    ) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("UPDATE school_group SET name = ?2, filter = ?3, login_mode = ?4 WHERE id = ?1")?
            .execute(params![id, name, filter, login_mode])?;
        Ok(())
    }

    /// The group with its memberships; nobody and nothing else goes.
    pub fn delete_group(&self, id: i64) -> Result<(), StoreError> {
        self.conn.prepare_cached("DELETE FROM school_group WHERE id = ?1")?.execute([id])?;
        Ok(())
    }

    pub fn put_group_device(&self, group: i64, device: i64, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO group_device (\"group\", device, since) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        self.conn.prepare_cached(sql)?.execute(params![group, device, now.0])?;
        Ok(())
    }

    pub fn remove_group_device(&self, group: i64, device: i64) -> Result<bool, StoreError> {
        let sql = "DELETE FROM group_device WHERE \"group\" = ?1 AND device = ?2";
        Ok(self.conn.prepare_cached(sql)?.execute([group, device])? == 1)
    }

    pub fn put_group_person(
        &self,
        group: i64,
        person: i64,
        part: &str,
        source: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO group_person (\"group\", person, part, source, since) VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT (\"group\", person) DO UPDATE SET part = excluded.part, source = excluded.source";
        self.conn.prepare_cached(sql)?.execute(params![group, person, part, source, now.0])?;
        Ok(())
    }

    pub fn remove_group_person(&self, group: i64, person: i64) -> Result<bool, StoreError> {
        let sql = "DELETE FROM group_person WHERE \"group\" = ?1 AND person = ?2";
        Ok(self.conn.prepare_cached(sql)?.execute([group, person])? == 1)
    }

    pub fn put_group_admin(&self, group: i64, admin: i64, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO group_admin (\"group\", admin, since) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        self.conn.prepare_cached(sql)?.execute(params![group, admin, now.0])?;
        Ok(())
    }

    pub fn remove_group_admin(&self, group: i64, admin: i64) -> Result<bool, StoreError> {
        let sql = "DELETE FROM group_admin WHERE \"group\" = ?1 AND admin = ?2";
        Ok(self.conn.prepare_cached(sql)?.execute([group, admin])? == 1)
    }
}
