//! Set-up plans, and the set-ups under way on channels where Setup Assistant waits.

use super::commands::{COLUMNS, row_to_delivery};
use super::{Db, DeliveryRow, StoreError, Tx};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

/// What is given while Setup Assistant waits. `sealed_commands` is sealed for the place `setup-plan/<row>`.
#[derive(Debug, Clone)]
pub struct SetupPlanRow {
    pub id: i64,
    pub public_id: String,
    pub name: String,
    /// Row of a group.
    pub group: Option<i64>,
    pub device: Option<i64>,
    /// Rows of profiles.
    pub profiles: Vec<i64>,
    pub sealed_commands: Vec<u8>,
    /// Their RequestTypes, for people.
    pub commands: Vec<String>,
    pub limit_seconds: i64,
    pub created_by: String,
    pub created_at: Timestamp,
}

/// A set-up under way, or the last one of its channel.
#[derive(Debug, Clone)]
pub struct SetupRunRow {
    pub enrollment: i64,
    pub plan: Option<String>,
    pub since: Timestamp,
    pub ends_by: Timestamp,
    /// The command that ends it, once that is queued.
    pub released: Option<String>,
    pub why: Option<String>,
}

const PLAN: &str = "id, public_id, name, \"group\", device, profiles, sealed_commands, commands, limit_seconds, created_by, created_at";
const RUN: &str = "enrollment, plan, since, ends_by, released, why";

fn row_to_plan(row: &Row<'_>) -> Result<SetupPlanRow, StoreError> {
    let (profiles, commands): (String, String) = (row.get("profiles")?, row.get("commands")?);
    let corrupt = |_| StoreError::Corrupt("the lists of a set-up plan");
    Ok(SetupPlanRow {
        id: row.get("id")?,
        public_id: row.get("public_id")?,
        name: row.get("name")?,
        group: row.get("group")?,
        device: row.get("device")?,
        profiles: serde_json::from_str(&profiles).map_err(corrupt)?,
        sealed_commands: row.get("sealed_commands")?,
        commands: serde_json::from_str(&commands).map_err(corrupt)?,
        limit_seconds: row.get("limit_seconds")?,
        created_by: row.get("created_by")?,
        created_at: Timestamp(row.get("created_at")?),
    })
}

fn row_to_run(row: &Row<'_>) -> rusqlite::Result<SetupRunRow> {
    Ok(SetupRunRow {
        enrollment: row.get("enrollment")?,
        plan: row.get("plan")?,
        since: Timestamp(row.get("since")?),
        ends_by: Timestamp(row.get("ends_by")?),
        released: row.get("released")?,
        why: row.get("why")?,
    })
}

impl Db<'_> {
    /// In order of arrival.
    pub fn list_setup_plans(&self) -> Result<Vec<SetupPlanRow>, StoreError> {
        let mut statement = self.conn.prepare_cached(&format!("SELECT {PLAN} FROM setup_plan ORDER BY id"))?;
        let mut rows = statement.query([])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(row_to_plan(row)?);
        }
        Ok(found)
    }

    pub fn find_setup_run(&self, enrollment: i64) -> Result<Option<SetupRunRow>, StoreError> {
        let sql = format!("SELECT {RUN} FROM setup_run WHERE enrollment = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([enrollment], row_to_run).optional()?)
    }

    /// Set-ups whose time is over and that nobody has ended.
    pub fn list_overdue_setups(&self, now: Timestamp) -> Result<Vec<i64>, StoreError> {
        let sql =
            "SELECT enrollment FROM setup_run WHERE released IS NULL AND ends_by <= ?1 ORDER BY ends_by LIMIT 200";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([now.0], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The commands that a set-up waits for, as they stand.
    pub fn list_setup_steps(&self, enrollment: i64) -> Result<Vec<DeliveryRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM setup_step s JOIN delivery y ON y.command = s.command AND y.enrollment = s.enrollment
             JOIN command c ON c.uuid = y.command WHERE s.enrollment = ?1 ORDER BY y.seq"
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let mut rows = statement.query([enrollment])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(row_to_delivery(row)?);
        }
        Ok(found)
    }
}

impl Tx<'_> {
    /// A new plan without its commands, which are sealed for its row; returns that.
    pub fn insert_setup_plan(&self, plan: &SetupPlanRow) -> Result<i64, StoreError> {
        let sql = "INSERT INTO setup_plan (public_id, name, \"group\", device, profiles, sealed_commands, commands, limit_seconds,
                       created_by, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        self.conn.prepare_cached(sql)?.execute(params![
            plan.public_id,
            plan.name,
            plan.group,
            plan.device,
            serde_json::Value::from(plan.profiles.clone()).to_string(),
            plan.sealed_commands,
            serde_json::Value::from(plan.commands.clone()).to_string(),
            plan.limit_seconds,
            plan.created_by,
            plan.created_at.0
        ])?;
        Ok(self.conn.last_insert_rowid())
    }

    pub fn put_setup_commands(&self, plan: i64, sealed_commands: &[u8]) -> Result<(), StoreError> {
        let sql = "UPDATE setup_plan SET sealed_commands = ?2 WHERE id = ?1";
        self.conn.prepare_cached(sql)?.execute(params![plan, sealed_commands])?;
        Ok(())
    }

    /// `false` when there is none of this id.
    pub fn delete_setup_plan(&self, public_id: &str) -> Result<bool, StoreError> {
        Ok(self.conn.prepare_cached("DELETE FROM setup_plan WHERE public_id = ?1")?.execute([public_id])? > 0)
    }

    /// A set-up begins on a channel; an earlier one is forgotten.
    pub fn begin_setup(
        &self,
        enrollment: i64,
        plan: Option<&str>,
        ends_by: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.conn.prepare_cached("DELETE FROM setup_step WHERE enrollment = ?1")?.execute([enrollment])?;
        let sql = "INSERT INTO setup_run (enrollment, plan, since, ends_by) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT (enrollment) DO UPDATE SET plan = excluded.plan, since = excluded.since,
                       ends_by = excluded.ends_by, released = NULL, why = NULL";
        self.conn.prepare_cached(sql)?.execute(params![enrollment, plan, now.0, ends_by.0])?;
        Ok(())
    }

    /// Everything that waits for a channel now is a step of its set-up.
    pub fn add_waiting_as_steps(&self, enrollment: i64) -> Result<(), StoreError> {
        let sql = "INSERT INTO setup_step (enrollment, command) SELECT enrollment, command FROM delivery
                   WHERE enrollment = ?1 AND finished_at IS NULL ON CONFLICT DO NOTHING";
        self.conn.prepare_cached(sql)?.execute([enrollment])?;
        Ok(())
    }

    /// The command that lets Setup Assistant go on is queued.
    pub fn release_setup(&self, enrollment: i64, command: &str, why: &str) -> Result<(), StoreError> {
        let sql = "UPDATE setup_run SET released = ?2, why = ?3 WHERE enrollment = ?1";
        self.conn.prepare_cached(sql)?.execute(params![enrollment, command, why])?;
        Ok(())
    }

    /// Setup Assistant has gone on.
    pub fn put_configured(&self, enrollment: i64) -> Result<(), StoreError> {
        let sql = "UPDATE enrollment SET awaiting_configuration = 0 WHERE id = ?1";
        self.conn.prepare_cached(sql)?.execute([enrollment])?;
        Ok(())
    }

    /// The device enrolled anew: its set-ups are over.
    pub fn forget_setups(&self, device_channel: i64) -> Result<(), StoreError> {
        for table in ["setup_step", "setup_run"] {
            let sql = format!(
                "DELETE FROM {table} WHERE enrollment IN (SELECT id FROM enrollment WHERE id = ?1 OR parent = ?1)"
            );
            self.conn.prepare_cached(&sql)?.execute([device_channel])?;
        }
        Ok(())
    }
}
