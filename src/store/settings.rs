//! Settings: what the school decided, as JSON by name.

use super::{Db, StoreError, Tx};
use rusqlite::{OptionalExtension, params};
use serde_json::Value;

impl Db<'_> {
    pub fn find_setting(&self, name: &str) -> Result<Option<Value>, StoreError> {
        let text: Option<String> = self
            .conn
            .prepare_cached("SELECT value FROM setting WHERE name = ?1")?
            .query_row([name], |row| row.get("value"))
            .optional()?;
        text.map(|t| serde_json::from_str(&t).map_err(|_| StoreError::Corrupt("a setting is not JSON"))).transpose()
    }

    /// A text setting; `None` also when it is of another type.
    pub fn find_text_setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        Ok(self.find_setting(name)?.and_then(|v| v.as_str().map(str::to_owned)))
    }
}

impl Tx<'_> {
    pub fn put_setting(&self, name: &str, value: &Value) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("INSERT INTO setting (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value")?
            .execute(params![name, value.to_string()])?;
        Ok(())
    }
}
