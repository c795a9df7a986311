//! Devices (the physical things) and their timeline.

use super::{Db, Fields, StoreError, Tx};
use crate::base::ids::{DeviceId, Serial};
use crate::base::time::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

/// What a device says of itself; `None` keeps what is known.
#[derive(Debug, Clone, Default)]
pub struct DeviceFacts {
    pub serial: Option<Serial>,
    pub name: Option<String>,
    pub platform: Option<&'static str>,
    pub model: Option<String>,
    pub model_name: Option<String>,
    pub product_name: Option<String>,
    pub os_version: Option<String>,
    pub build_version: Option<String>,
    pub imei: Option<String>,
    pub meid: Option<String>,
    pub supervised: Option<bool>,
    /// Lost Mode is on, as the device says.
    pub lost_mode: Option<bool>,
}

impl DeviceFacts {
    /// Whether `row` says all of this already. Most answers tell nothing new, and what is not written costs nothing.
    pub fn is_known(&self, row: &DeviceRow) -> bool {
        let same = |new: Option<&str>, old: Option<&str>| new.is_none() || new == old;
        let texts = [
            (self.serial.as_ref().map(Serial::as_str), &row.serial),
            (self.name.as_deref(), &row.name),
            (self.model.as_deref(), &row.model),
            (self.model_name.as_deref(), &row.model_name),
            (self.product_name.as_deref(), &row.product_name),
            (self.os_version.as_deref(), &row.os_version),
            (self.build_version.as_deref(), &row.build_version),
        ];
        texts.into_iter().all(|(new, old)| same(new, old.as_deref()))
            && same(self.platform, Some(&row.platform))
            && (self.supervised.is_none() || self.supervised == row.supervised)
            && self.lost_mode.is_none_or(|on| on == row.lost_mode)
            // The row does not hold these.
            && self.imei.is_none()
            && self.meid.is_none()
    }
}

/// What people say of a device's whereabouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    No,
    /// In a stranger's hands perhaps; Lost Mode was asked for.
    Lost,
    /// Not where it should be; a mark only.
    Missing,
}

impl Lost {
    pub fn as_str(self) -> &'static str {
        match self {
            Lost::No => "no",
            Lost::Lost => "lost",
            Lost::Missing => "missing",
        }
    }
}

#[derive(Debug, Clone)]
pub struct DeviceRow {
    pub id: i64,
    pub public_id: String,
    pub serial: Option<String>,
    pub name: Option<String>,
    pub platform: String,
    pub model: Option<String>,
    pub model_name: Option<String>,
    pub product_name: Option<String>,
    pub os_version: Option<String>,
    pub build_version: Option<String>,
    pub supervised: Option<bool>,
    pub lost: Lost,
    pub lost_since: Option<Timestamp>,
    pub lost_by: Option<String>,
    /// The device acknowledged that Lost Mode is on.
    pub lost_mode: bool,
    pub created_at: Timestamp,
}

/// One thing that happened to a device. `detail` is JSON without secrets.
#[derive(Debug, Clone)]
pub struct TimelineRow {
    pub at: Timestamp,
    pub kind: String,
    pub command: Option<String>,
    pub detail: Option<String>,
}

/// In the order in which [`row_to_device`] reads them.
pub(super) const COLUMNS: &str =
    "d.id, d.public_id, d.serial, d.name, d.platform, d.model, d.model_name, d.product_name, d.os_version, d.build_version,
     d.supervised, d.lost, d.lost_since, d.lost_by, d.lost_mode, d.created_at";

pub(super) fn row_to_device(row: &Row<'_>) -> rusqlite::Result<DeviceRow> {
    let mut fields = Fields::of(row);
    Ok(DeviceRow {
        id: fields.next()?,
        public_id: fields.next()?,
        serial: fields.next()?,
        name: fields.next()?,
        platform: fields.next()?,
        model: fields.next()?,
        model_name: fields.next()?,
        product_name: fields.next()?,
        os_version: fields.next()?,
        build_version: fields.next()?,
        supervised: fields.next()?,
        lost: match fields.next_str()? {
            "no" => Lost::No,
            "missing" => Lost::Missing,
            // The CHECK of the table allows only the three words; the careful one stands in for the impossible.
            _ => Lost::Lost,
        },
        lost_since: fields.next_at()?,
        lost_by: fields.next()?,
        lost_mode: fields.next()?,
        created_at: Timestamp(fields.next()?),
    })
}

fn row_to_timeline(row: &Row<'_>) -> rusqlite::Result<TimelineRow> {
    Ok(TimelineRow {
        at: Timestamp(row.get("at")?),
        kind: row.get("kind")?,
        command: row.get("command")?,
        detail: row.get("detail")?,
    })
}

impl Db<'_> {
    pub fn find_device(&self, id: i64) -> Result<Option<DeviceRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM device d WHERE d.id = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([id], row_to_device).optional()?)
    }

    pub fn find_device_by_serial(&self, serial: &Serial) -> Result<Option<DeviceRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM device d WHERE d.serial = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([serial.as_str()], row_to_device).optional()?)
    }

    /// By Cordon's id, the UDID / EnrollmentID of its device channel, or the serial number: DEVICE as people type it.
    pub fn find_device_by_any(&self, text: &str) -> Result<Option<DeviceRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM device d WHERE d.public_id = ?1
             UNION ALL SELECT {COLUMNS} FROM device d JOIN enrollment e ON e.device = d.id WHERE e.enrollment_id = ?1 AND e.channel = 'device'
             UNION ALL SELECT {COLUMNS} FROM device d WHERE d.serial = ?1
             LIMIT 1"
        );
        Ok(self.conn.prepare_cached(&sql)?.query_row([text], row_to_device).optional()?)
    }

    /// Devices that are marked lost or missing.
    pub fn list_lost(&self) -> Result<Vec<DeviceRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM device d WHERE d.lost <> 'no' ORDER BY d.id");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map([], row_to_device)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Devices after `after` (a row id) in order of arrival; `search` matches serial, name, model, a channel's id or a
    /// user's names by prefix, `only` leaves those row ids.
    pub fn list_devices(
        &self,
        after: i64,
        search: Option<&str>,
        only: Option<&[i64]>,
        limit: usize,
    ) -> Result<Vec<DeviceRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM device d WHERE d.id > ?1 AND d.synthetic = 0 AND (?2 IS NULL OR d.serial LIKE ?2 OR d.name LIKE ?2 OR d.model_name LIKE ?2
                 OR EXISTS (SELECT 1 FROM enrollment e WHERE e.device = d.id AND (e.enrollment_id LIKE ?2
                     OR e.user_short_name LIKE ?2 OR e.user_long_name LIKE ?2 OR e.user_id LIKE ?2)))
                 AND (?4 IS NULL OR d.id IN (SELECT value FROM json_each(?4)))
             ORDER BY d.id LIMIT ?3"
        );
        let pattern = search.map(|s| format!("{}%", s.replace(['%', '_'], "")));
        let only = only.map(|ids| serde_json::json!(ids).to_string());
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map(params![after, pattern, limit as i64, only], row_to_device)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// IMEI and MEID, where the device has them.
    pub fn find_radio_ids(&self, device: i64) -> Result<(Option<String>, Option<String>), StoreError> {
        let sql = "SELECT imei, meid FROM device WHERE id = ?1";
        let found = self.conn.query_row(sql, [device], |row| Ok((row.get("imei")?, row.get("meid")?))).optional()?;
        Ok(found.unwrap_or_default())
    }

    pub fn list_timeline(&self, device: i64, limit: usize) -> Result<Vec<TimelineRow>, StoreError> {
        let sql = "SELECT at, kind, command, detail FROM timeline WHERE device = ?1 ORDER BY id DESC LIMIT ?2";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(params![device, limit as i64], row_to_timeline)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What happened to one command, oldest first.
    pub fn list_command_timeline(&self, uuid: &str) -> Result<Vec<TimelineRow>, StoreError> {
        let sql = "SELECT at, kind, command, detail FROM timeline WHERE command = ?1 ORDER BY id";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([uuid], row_to_timeline)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Tx<'_> {
    /// A new device; returns its row id.
    pub fn insert_device(&self, public_id: &DeviceId, now: Timestamp) -> Result<i64, StoreError> {
        self.conn
            .prepare_cached("INSERT INTO device (public_id, platform, created_at) VALUES (?1, 'unknown', ?2)")?
            .execute(params![public_id.as_str(), now.0])?;
        Ok(self.conn.last_insert_rowid())
    }

    /// Takes over what the device said; fields it left out keep their value.
    pub fn update_device(&self, id: i64, facts: &DeviceFacts) -> Result<(), StoreError> {
        let sql = "UPDATE device SET serial = coalesce(?2, serial), name = coalesce(?3, name), platform = coalesce(?4, platform),
                       model = coalesce(?5, model), model_name = coalesce(?6, model_name), product_name = coalesce(?7, product_name),
                       os_version = coalesce(?8, os_version), build_version = coalesce(?9, build_version),
                       imei = coalesce(?10, imei), meid = coalesce(?11, meid),
                       supervised = coalesce(?12, supervised), lost_mode = coalesce(?13, lost_mode)
                   WHERE id = ?1";
        let serial = facts.serial.as_ref().map(Serial::as_str);
        self.conn.prepare_cached(sql)?.execute(params![
            id,
            serial,
            facts.name,
            facts.platform,
            facts.model,
            facts.model_name,
            facts.product_name,
            facts.os_version,
            facts.build_version,
            facts.imei,
            facts.meid,
            facts.supervised,
            facts.lost_mode
        ])?;
        Ok(())
    }

    /// Marks where a device is thought to be; `by` says who, and is ignored for [`Lost::No`].
    pub fn mark_lost(&self, id: i64, lost: Lost, by: &str, now: Timestamp) -> Result<(), StoreError> {
        let (since, by) = if lost == Lost::No { (None, None) } else { (Some(now.0), Some(by)) };
        let sql = "UPDATE device SET lost = ?2, lost_since = ?3, lost_by = ?4 WHERE id = ?1";
        self.conn.prepare_cached(sql)?.execute(params![id, lost.as_str(), since, by])?;
        Ok(())
    }

    /// The device acknowledged that Lost Mode is on or off.
    pub fn put_lost_mode(&self, id: i64, on: bool) -> Result<(), StoreError> {
        self.conn.prepare_cached("UPDATE device SET lost_mode = ?2 WHERE id = ?1")?.execute(params![id, on])?;
        Ok(())
    }

    /// Writes one line of a device's story. `kind` is a word of ours; `detail` JSON without secrets.
    pub fn tell(
        &self,
        device: i64,
        enrollment: Option<i64>,
        command: Option<&str>,
        kind: &str,
        detail: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO timeline (device, enrollment, command, at, kind, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.conn.prepare_cached(sql)?.execute(params![device, enrollment, command, now.0, kind, detail])?;
        Ok(())
    }
}
