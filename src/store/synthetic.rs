//! The doctor's simulated device: marked when it comes, and forgotten with everything that was written because of it. The one place where
//! a device is deleted; real ones stay for ever.

use super::{Db, StoreError, Tx};
use rusqlite::params;

const CHANNELS: &str = "SELECT e.id FROM enrollment e JOIN device d ON d.id = e.device WHERE d.synthetic = 1";
const DEVICES: &str = "SELECT id FROM device WHERE synthetic = 1";

impl Db<'_> {
    pub fn has_synthetic(&self) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM device WHERE synthetic = 1)";
        Ok(self.conn.query_row(sql, [], |row| row.get(0))?)
    }
}

impl Tx<'_> {
    pub fn mark_synthetic(&self, device: i64) -> Result<(), StoreError> {
        self.conn.execute("UPDATE device SET synthetic = 1 WHERE id = ?1", [device])?;
        Ok(())
    }

    /// Everything of devices that are marked, in the order in which rows hang on one another.
    pub fn forget_synthetic(&self) -> Result<(), StoreError> {
        let mut commands =
            self.conn.prepare(&format!("SELECT command FROM delivery WHERE enrollment IN ({CHANNELS})"))?;
        let commands: Vec<String> = commands.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let deliveries = format!("SELECT seq FROM delivery WHERE enrollment IN ({CHANNELS})");
        self.conn.execute(&format!("DELETE FROM result WHERE delivery IN ({deliveries})"), [])?;
        for table in [
            "series_step",
            "delivery",
            "push",
            "channel_profile",
            "device_provisioning",
            "listed_provisioning",
            "setup_run",
            "setup_step",
            "series",
            "fallback_target",
            "activity",
            "inventory_round",
            "renewal",
            "binding",
        ] {
            self.conn.execute(&format!("DELETE FROM {table} WHERE enrollment IN ({CHANNELS})"), [])?;
        }
        self.conn.execute(&format!("DELETE FROM outbox WHERE kind = 'push' AND subject IN ({CHANNELS})"), [])?;
        self.conn.execute(&format!("DELETE FROM user_standing WHERE device_channel IN ({CHANNELS})"), [])?;
        self.conn.execute(&format!("UPDATE challenge SET enrollment = NULL WHERE enrollment IN ({CHANNELS})"), [])?;
        for table in [
            "timeline",
            "secret",
            "secret_request",
            "event",
            "attention",
            "group_device",
            "assignment",
            "provisioning_assignment",
            "bulk_item",
            "stock",
            "stock_change",
            "custom_field",
        ] {
            self.conn.execute(&format!("DELETE FROM {table} WHERE device IN ({DEVICES})"), [])?;
        }
        for uuid in commands {
            let sql = "DELETE FROM command WHERE uuid = ?1 AND NOT EXISTS (SELECT 1 FROM delivery WHERE command = ?1)";
            self.conn.execute(sql, [uuid])?;
        }
        self.conn.execute(&format!("DELETE FROM enrollment WHERE parent IN ({CHANNELS})"), [])?;
        self.conn.execute(&format!("DELETE FROM enrollment WHERE id IN ({CHANNELS})"), [])?;
        self.conn.execute("DELETE FROM device WHERE synthetic = 1", [])?;
        Ok(())
    }

    /// A profile that no real device ever held, with the identity that was issued by it.
    pub fn forget_profile(&self, issued_profile: i64) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM challenge WHERE issued_profile = ?1",
            "DELETE FROM certificate WHERE issued_profile = ?1",
            "DELETE FROM issued_profile WHERE id = ?1",
        ] {
            self.conn.execute(sql, params![issued_profile])?;
        }
        Ok(())
    }
}
