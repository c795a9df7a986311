//! Provisioning profiles: a line of them for each app, to which devices they go, and what stands where. `service::provisioning` decides.

use super::{Db, StoreError, Tx};
use crate::base::time::Timestamp;
use crate::protocol::queue::DeliveryState;
use rusqlite::{OptionalExtension, Row, params};

#[derive(Debug, Clone)]
pub struct ProvisioningRow {
    pub id: i64,
    pub public_id: String,
    /// Team and bundle identifier.
    pub app_id: String,
    pub name: String,
    /// Row id of the upload that devices should have.
    pub current: i64,
    pub created_by: String,
    pub created_at: Timestamp,
    pub removed_at: Option<Timestamp>,
}

/// One upload, without its bytes.
#[derive(Debug, Clone)]
pub struct ProvisioningVersionRow {
    pub id: i64,
    pub provisioning: i64,
    pub uuid: String,
    pub name: String,
    pub team: Option<String>,
    pub signed_by: String,
    /// How many devices it names; `None` for one that is for all of the team's.
    pub devices: Option<i64>,
    pub made_at: Option<Timestamp>,
    pub expires_at: Timestamp,
    pub created_by: String,
    pub created_at: Timestamp,
}

/// An upload to be recorded.
#[derive(Debug, Clone, Copy)]
pub struct NewProvisioning<'a> {
    pub uuid: &'a str,
    pub name: &'a str,
    pub team: Option<&'a str>,
    pub signed_by: &'a str,
    pub devices: Option<i64>,
    pub made_at: Option<Timestamp>,
    pub expires_at: Timestamp,
    pub body: &'a [u8],
    pub created_by: &'a str,
}

/// To whom a line goes (row ids).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProvisioningWhom {
    Device(i64),
    Group(i64),
}

/// One upload on one device.
#[derive(Debug, Clone)]
pub struct DeviceProvisioningRow {
    pub enrollment: i64,
    pub version: ProvisioningVersionRow,
    /// The last command about it, whether it installs, and how it stands; `None` when that is forgotten.
    pub command: String,
    pub installs: bool,
    pub state: Option<DeliveryState>,
    /// When that command was finished.
    pub finished_at: Option<Timestamp>,
    /// The device acknowledged the install and has not lost it since.
    pub stands: bool,
    /// It was listed after that.
    pub confirmed_at: Option<Timestamp>,
    pub removed_at: Option<Timestamp>,
    /// Listed again after it was removed.
    pub returned_at: Option<Timestamp>,
    pub failures: u32,
    pub failed_at: Option<Timestamp>,
    pub next_try_at: Option<Timestamp>,
}

/// What a device said it has.
#[derive(Debug, Clone)]
pub struct ListedRow {
    pub uuid: String,
    pub name: String,
    pub expires_at: Option<Timestamp>,
    pub listed_at: Timestamp,
}

const LINE: &str = "p.id, p.public_id, p.app_id, p.name, p.current, p.created_by, p.created_at, p.removed_at";
const VERSION: &str =
    "v.id AS version_id, v.provisioning, v.uuid, v.name AS version_name, v.team, v.signed_by, v.devices, v.made_at,
    v.expires_at, v.created_by AS version_by, v.created_at AS version_at";

fn row_to_line(row: &Row<'_>) -> rusqlite::Result<ProvisioningRow> {
    Ok(ProvisioningRow {
        id: row.get("id")?,
        public_id: row.get("public_id")?,
        app_id: row.get("app_id")?,
        name: row.get("name")?,
        current: row.get("current")?,
        created_by: row.get("created_by")?,
        created_at: Timestamp(row.get("created_at")?),
        removed_at: row.get::<_, Option<i64>>("removed_at")?.map(Timestamp),
    })
}

fn row_to_version(row: &Row<'_>) -> rusqlite::Result<ProvisioningVersionRow> {
    Ok(ProvisioningVersionRow {
        id: row.get("version_id")?,
        provisioning: row.get("provisioning")?,
        uuid: row.get("uuid")?,
        name: row.get("version_name")?,
        team: row.get("team")?,
        signed_by: row.get("signed_by")?,
        devices: row.get("devices")?,
        made_at: row.get::<_, Option<i64>>("made_at")?.map(Timestamp),
        expires_at: Timestamp(row.get("expires_at")?),
        created_by: row.get("version_by")?,
        created_at: Timestamp(row.get("version_at")?),
    })
}

fn row_to_standing(row: &Row<'_>) -> rusqlite::Result<DeviceProvisioningRow> {
    let (doing, state): (String, Option<String>) = (row.get("doing")?, row.get("state")?);
    let at = |name: &str| row.get::<_, Option<i64>>(name).map(|v| v.map(Timestamp));
    Ok(DeviceProvisioningRow {
        enrollment: row.get("enrollment")?,
        version: row_to_version(row)?,
        command: row.get("command")?,
        installs: doing == "install",
        state: state.and_then(|s| s.parse().ok()),
        finished_at: at("finished_at")?,
        stands: row.get("stands")?,
        confirmed_at: at("confirmed_at")?,
        removed_at: at("removed_at")?,
        returned_at: at("returned_at")?,
        failures: row.get("failures")?,
        failed_at: at("failed_at")?,
        next_try_at: at("next_try_at")?,
    })
}

impl Db<'_> {
    /// By Cordon's id, the app's, or the UUID of any upload; only one in use.
    pub fn find_provisioning(&self, text: &str) -> Result<Option<ProvisioningRow>, StoreError> {
        let sql = format!(
            "SELECT {LINE} FROM provisioning p WHERE p.removed_at IS NULL AND (p.public_id = ?1 OR p.app_id = ?1
                 OR p.id IN (SELECT provisioning FROM provisioning_version WHERE uuid = ?1)) LIMIT 1"
        );
        Ok(self.conn.prepare_cached(&sql)?.query_row([text], row_to_line).optional()?)
    }

    pub fn find_provisioning_by_row(&self, id: i64) -> Result<Option<ProvisioningRow>, StoreError> {
        let sql = format!("SELECT {LINE} FROM provisioning p WHERE p.id = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([id], row_to_line).optional()?)
    }

    pub fn list_provisioning(&self, after: i64, limit: usize) -> Result<Vec<ProvisioningRow>, StoreError> {
        let sql = format!(
            "SELECT {LINE} FROM provisioning p WHERE p.id > ?1 AND p.removed_at IS NULL ORDER BY p.id LIMIT ?2"
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map(params![after, limit as i64], row_to_line)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Uploads of a line, newest first.
    pub fn list_provisioning_versions(&self, line: i64) -> Result<Vec<ProvisioningVersionRow>, StoreError> {
        let sql = format!("SELECT {VERSION} FROM provisioning_version v WHERE v.provisioning = ?1 ORDER BY v.id DESC");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map([line], row_to_version)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub fn find_provisioning_version(&self, uuid: &str) -> Result<Option<ProvisioningVersionRow>, StoreError> {
        let sql = format!("SELECT {VERSION} FROM provisioning_version v WHERE v.uuid = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([uuid], row_to_version).optional()?)
    }

    pub fn find_provisioning_body(&self, version: i64) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT body FROM provisioning_version WHERE id = ?1";
        Ok(self.conn.prepare_cached(sql)?.query_row([version], |row| row.get(0)).optional()?)
    }

    pub fn list_provisioning_assignments(
        &self,
        line: i64,
    ) -> Result<Vec<(ProvisioningWhom, String, Timestamp)>, StoreError> {
        let sql = "SELECT device, \"group\", created_by, created_at FROM provisioning_assignment WHERE provisioning = ?1 ORDER BY rowid";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([line], |row| {
            let (device, group): (Option<i64>, Option<i64>) = (row.get(0)?, row.get(1)?);
            let whom = match (device, group) {
                (Some(device), _) => ProvisioningWhom::Device(device),
                (None, group) => ProvisioningWhom::Group(group.unwrap_or_default()),
            };
            Ok((whom, row.get(2)?, Timestamp(row.get(3)?)))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The uploads that a device should have now (line, upload), by itself or by one of these groups. One that has ended is still wanted where it
    /// stands, and sent to nobody.
    pub fn list_wanted_provisioning(
        &self,
        device: i64,
        groups: &[i64],
        now: Timestamp,
    ) -> Result<Vec<(i64, i64)>, StoreError> {
        let sql = "SELECT DISTINCT p.id, p.current FROM provisioning_assignment a JOIN provisioning p ON p.id = a.provisioning
                   JOIN provisioning_version v ON v.id = p.current
                   WHERE p.removed_at IS NULL AND (v.expires_at > ?3 OR EXISTS (
                       SELECT 1 FROM device_provisioning s JOIN enrollment e ON e.id = s.enrollment
                       WHERE s.version = v.id AND s.stands AND e.device = ?1)) AND (a.device = ?1 OR a.\"group\" IN (SELECT value FROM json_each(?2))) ORDER BY p.id";
        let mut statement = self.conn.prepare_cached(sql)?;
        let groups = serde_json::Value::from(groups).to_string();
        let rows = statement.query_map(params![device, groups, now.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Whether there is anything to do about provisioning profiles at all.
    pub fn has_provisioning(&self) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM provisioning_assignment) OR EXISTS (SELECT 1 FROM device_provisioning)";
        Ok(self.conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    }

    /// Everything that management did with them on a device channel.
    pub fn list_device_provisioning(&self, enrollment: i64) -> Result<Vec<DeviceProvisioningRow>, StoreError> {
        self.standings("s.enrollment = ?1", enrollment)
    }

    /// Every device where an upload of this line stands, stood or is on its way.
    pub fn list_provisioning_devices(&self, line: i64) -> Result<Vec<DeviceProvisioningRow>, StoreError> {
        self.standings("v.provisioning = ?1", line)
    }

    fn standings(&self, which: &str, id: i64) -> Result<Vec<DeviceProvisioningRow>, StoreError> {
        let sql = format!(
            "SELECT s.enrollment, s.command, s.doing, s.stands, s.confirmed_at, s.removed_at, s.returned_at, s.failures, s.failed_at,
                 s.next_try_at, y.state, y.finished_at, {VERSION}
             FROM device_provisioning s JOIN provisioning_version v ON v.id = s.version
             LEFT JOIN delivery y ON y.command = s.command AND y.enrollment = s.enrollment
             WHERE {which} ORDER BY s.enrollment, v.id"
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map([id], row_to_standing)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub fn list_listed_provisioning(&self, enrollment: i64) -> Result<Vec<ListedRow>, StoreError> {
        let sql = "SELECT uuid, name, expires_at, listed_at FROM listed_provisioning WHERE enrollment = ?1 ORDER BY name, uuid";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([enrollment], |row| {
            Ok(ListedRow {
                uuid: row.get(0)?,
                name: row.get(1)?,
                expires_at: row.get::<_, Option<i64>>(2)?.map(Timestamp),
                listed_at: Timestamp(row.get(3)?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Uploads that devices should have now: app, name and end.
    pub fn list_provisioning_ends(&self) -> Result<Vec<(String, String, Timestamp)>, StoreError> {
        let sql =
            "SELECT p.app_id, v.name, v.expires_at FROM provisioning p JOIN provisioning_version v ON v.id = p.current
                   WHERE p.removed_at IS NULL ORDER BY v.expires_at, p.id";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, Timestamp(row.get(2)?))))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Device channels where a refusal is to be tried again by now.
    pub fn list_provisioning_to_try(&self, now: Timestamp, limit: usize) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT DISTINCT s.enrollment FROM device_provisioning s JOIN enrollment e ON e.id = s.enrollment
                   WHERE s.next_try_at <= ?1 AND e.state = 'Active' ORDER BY s.enrollment LIMIT ?2";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(params![now.0, limit as i64], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Active device channels that provisioning concerns: one stands or stood there, or a device is named in an assignment.
    pub fn list_channels_with_provisioning(&self, line: Option<i64>) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT e.id FROM enrollment e WHERE e.state = 'Active' AND e.channel = 'device' AND (
                       e.id IN (SELECT s.enrollment FROM device_provisioning s JOIN provisioning_version v ON v.id = s.version
                                WHERE ?1 IS NULL OR v.provisioning = ?1)
                       OR e.device IN (SELECT a.device FROM provisioning_assignment a WHERE a.device IS NOT NULL AND (?1 IS NULL OR a.provisioning = ?1)))
                   ORDER BY e.id";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(params![line], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Tx<'_> {
    /// A new line; its first upload follows.
    pub fn insert_provisioning(
        &self,
        public_id: &str,
        app_id: &str,
        name: &str,
        created_by: &str,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        let sql = "INSERT INTO provisioning (public_id, app_id, name, current, created_by, created_at) VALUES (?1, ?2, ?3, 0, ?4, ?5)";
        self.conn.prepare_cached(sql)?.execute(params![public_id, app_id, name, created_by, now.0])?;
        Ok(self.conn.last_insert_rowid())
    }

    /// The next upload of a line becomes the one that devices should have.
    pub fn insert_provisioning_version(
        &self,
        line: i64,
        new: &NewProvisioning<'_>,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        let sql = "INSERT INTO provisioning_version (provisioning, uuid, name, team, signed_by, devices, made_at, expires_at, body, created_by, created_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        self.conn.prepare_cached(sql)?.execute(params![
            line,
            new.uuid,
            new.name,
            new.team,
            new.signed_by,
            new.devices,
            new.made_at.map(|at| at.0),
            new.expires_at.0,
            new.body,
            new.created_by,
            now.0
        ])?;
        let version = self.conn.last_insert_rowid();
        let sql = "UPDATE provisioning SET current = ?2, name = ?3 WHERE id = ?1";
        self.conn.prepare_cached(sql)?.execute(params![line, version, new.name])?;
        Ok(version)
    }

    /// Nobody should have it any more.
    pub fn remove_provisioning(&self, line: i64, now: Timestamp) -> Result<(), StoreError> {
        self.conn.prepare_cached("DELETE FROM provisioning_assignment WHERE provisioning = ?1")?.execute([line])?;
        let sql = "UPDATE provisioning SET removed_at = ?2 WHERE id = ?1";
        self.conn.prepare_cached(sql)?.execute(params![line, now.0])?;
        Ok(())
    }

    /// A removed upload belongs to another line from now on: the app is in use again.
    pub fn move_provisioning_version(&self, version: i64, line: i64, name: &str) -> Result<(), StoreError> {
        let sql = "UPDATE provisioning_version SET provisioning = ?2 WHERE id = ?1";
        self.conn.prepare_cached(sql)?.execute([version, line])?;
        let sql = "UPDATE provisioning SET current = ?2, name = ?3 WHERE id = ?1";
        self.conn.prepare_cached(sql)?.execute(params![line, version, name])?;
        Ok(())
    }

    /// `false` when nothing changed.
    pub fn assign_provisioning(
        &self,
        line: i64,
        whom: ProvisioningWhom,
        on: bool,
        by: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (device, group) = match whom {
            ProvisioningWhom::Device(id) => (Some(id), None),
            ProvisioningWhom::Group(id) => (None, Some(id)),
        };
        let done = if on {
            let sql = "INSERT INTO provisioning_assignment (provisioning, device, \"group\", created_by, created_at)
                       VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
            self.conn.prepare_cached(sql)?.execute(params![line, device, group, by, now.0])?
        } else {
            let sql =
                "DELETE FROM provisioning_assignment WHERE provisioning = ?1 AND device IS ?2 AND \"group\" IS ?3";
            self.conn.prepare_cached(sql)?.execute(params![line, device, group])?
        };
        Ok(done > 0)
    }

    /// A command about an upload goes on its way.
    pub fn put_device_provisioning(
        &self,
        enrollment: i64,
        version: i64,
        command: &str,
        installs: bool,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO device_provisioning (enrollment, version, command, doing) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT (enrollment, version) DO UPDATE SET command = excluded.command, doing = excluded.doing, next_try_at = NULL,
                       failures = iif(doing = excluded.doing, failures, 0), failed_at = NULL";
        let doing = if installs { "install" } else { "remove" };
        self.conn.prepare_cached(sql)?.execute(params![enrollment, version, command, doing])?;
        Ok(())
    }

    /// The device acknowledged the install.
    pub fn put_provisioning_installed(&self, enrollment: i64, version: i64) -> Result<(), StoreError> {
        let sql = "UPDATE device_provisioning SET stands = 1, confirmed_at = NULL, removed_at = NULL, returned_at = NULL, failures = 0,
                       failed_at = NULL, next_try_at = NULL WHERE enrollment = ?1 AND version = ?2";
        self.conn.prepare_cached(sql)?.execute([enrollment, version])?;
        Ok(())
    }

    /// The device acknowledged the removal.
    pub fn put_provisioning_removed(&self, enrollment: i64, version: i64, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE device_provisioning SET stands = 0, confirmed_at = NULL, removed_at = ?3, returned_at = NULL, failures = 0,
                       failed_at = NULL, next_try_at = NULL WHERE enrollment = ?1 AND version = ?2";
        self.conn.prepare_cached(sql)?.execute(params![enrollment, version, now.0])?;
        Ok(())
    }

    /// The device refused; without `next_try_at` it is a person's turn.
    pub fn put_provisioning_refused(
        &self,
        enrollment: i64,
        version: i64,
        failures: u32,
        next_try_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE device_provisioning SET failures = ?3, failed_at = ?5, next_try_at = ?4 WHERE enrollment = ?1 AND version = ?2";
        let next = next_try_at.map(|at| at.0);
        self.conn.prepare_cached(sql)?.execute(params![enrollment, version, failures, next, now.0])?;
        Ok(())
    }

    /// What the device listed of one upload: it is there, it is gone, or it has come back.
    pub fn put_provisioning_seen(
        &self,
        enrollment: i64,
        version: i64,
        stands: bool,
        confirmed_at: Option<Timestamp>,
        returned_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE device_provisioning SET stands = ?3, confirmed_at = ?4, returned_at = ?5 WHERE enrollment = ?1 AND version = ?2";
        let at = |at: Option<Timestamp>| at.map(|at| at.0);
        let values = params![enrollment, version, stands, at(confirmed_at), at(returned_at)];
        self.conn.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// A refusal is over: somebody says so.
    pub fn try_provisioning_again(&self, line: i64, now: Timestamp) -> Result<usize, StoreError> {
        let sql = "UPDATE device_provisioning SET failures = 0, next_try_at = ?2 WHERE failed_at IS NOT NULL
                       AND version IN (SELECT id FROM provisioning_version WHERE provisioning = ?1)";
        Ok(self.conn.prepare_cached(sql)?.execute(params![line, now.0])?)
    }

    /// What was due on these channels by `now` and is due still is looked at again `later`.
    pub fn postpone_provisioning(&self, channels: &[i64], now: Timestamp, later: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE device_provisioning SET next_try_at = ?3 WHERE next_try_at <= ?2
                       AND enrollment IN (SELECT value FROM json_each(?1))";
        let channels = serde_json::Value::from(channels).to_string();
        self.conn.prepare_cached(sql)?.execute(params![channels, now.0, later.0])?;
        Ok(())
    }

    /// Somebody wants a returned one taken off again: as if it had never been removed.
    pub fn forget_provisioning_removal(&self, enrollment: i64, version: i64) -> Result<(), StoreError> {
        let sql = "UPDATE device_provisioning SET stands = 1, removed_at = NULL, returned_at = NULL WHERE enrollment = ?1 AND version = ?2";
        self.conn.prepare_cached(sql)?.execute([enrollment, version])?;
        Ok(())
    }

    pub fn put_listed_provisioning(&self, enrollment: i64, listed: &[ListedRow]) -> Result<(), StoreError> {
        self.conn.prepare_cached("DELETE FROM listed_provisioning WHERE enrollment = ?1")?.execute([enrollment])?;
        let sql = "INSERT OR REPLACE INTO listed_provisioning (enrollment, uuid, name, expires_at, listed_at) VALUES (?1, ?2, ?3, ?4, ?5)";
        for row in listed {
            let values = params![enrollment, row.uuid, row.name, row.expires_at.map(|at| at.0), row.listed_at.0];
            self.conn.prepare_cached(sql)?.execute(values)?;
        }
        Ok(())
    }

    /// The device enrolled anew, erased perhaps: nothing is known of it any more.
    pub fn forget_device_provisioning(&self, device_channel: i64) -> Result<(), StoreError> {
        for table in ["device_provisioning", "listed_provisioning"] {
            self.conn.execute(&format!("DELETE FROM {table} WHERE enrollment = ?1"), [device_channel])?;
        }
        Ok(())
    }
}
