//! Fields of the school's own about devices and people, which profiles use as variables. `service::variables` decides.

use super::{Db, StoreError, Tx};
use rusqlite::params;

/// Whose field it is, by row id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldOwner {
    Device(i64),
    Person(i64),
}

impl FieldOwner {
    fn columns(self) -> (Option<i64>, Option<i64>) {
        match self {
            FieldOwner::Device(id) => (Some(id), None),
            FieldOwner::Person(id) => (None, Some(id)),
        }
    }
}

impl Db<'_> {
    /// Names and values, by name.
    pub fn list_fields(&self, owner: FieldOwner) -> Result<Vec<(String, String)>, StoreError> {
        let sql = match owner {
            FieldOwner::Device(_) => "SELECT name, value FROM custom_field WHERE device = ?1 ORDER BY name",
            FieldOwner::Person(_) => "SELECT name, value FROM custom_field WHERE person = ?1 ORDER BY name",
        };
        let (device, person) = owner.columns();
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([device.or(person)], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Tx<'_> {
    /// Sets a field, or takes it away.
    pub fn put_field(&self, owner: FieldOwner, name: &str, value: Option<&str>) -> Result<(), StoreError> {
        let (device, person) = owner.columns();
        let sql = "DELETE FROM custom_field WHERE device IS ?1 AND person IS ?2 AND name = ?3";
        self.conn.prepare_cached(sql)?.execute(params![device, person, name])?;
        if let Some(value) = value {
            let sql = "INSERT INTO custom_field (device, person, name, value) VALUES (?1, ?2, ?3, ?4)";
            self.conn.prepare_cached(sql)?.execute(params![device, person, name, value])?;
        }
        Ok(())
    }
}
