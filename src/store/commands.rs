//! Commands, their deliveries to enrollments, and the answers. The rules of the queue are `protocol::queue`'s; here are its rows.

use super::{Db, Fields, StoreError, Tx};
use crate::base::time::Timestamp;
use crate::protocol::queue::DeliveryState;
use rusqlite::{OptionalExtension, Row, params};

/// A command to be queued. `sealed_plist` is sealed for the place `command/<uuid>`.
#[derive(Debug, Clone)]
pub struct NewCommand<'a> {
    pub uuid: &'a str,
    pub request_type: &'a str,
    pub sealed_plist: &'a [u8],
    pub created_by: &'a str,
}

#[derive(Debug, Clone)]
pub struct CommandRow {
    pub uuid: String,
    pub request_type: String,
    /// `None`: every delivery is finished and the plist is purged.
    pub sealed_plist: Option<Vec<u8>>,
    pub created_by: String,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone)]
pub struct DeliveryRow {
    pub seq: i64,
    pub command: String,
    pub request_type: String,
    pub enrollment: i64,
    pub state: DeliveryState,
    pub priority: i64,
    pub not_before: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub sent_count: i64,
    pub last_sent_at: Option<Timestamp>,
    pub not_now_count: i64,
    pub not_now_since: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

/// The device's answer; `sealed_answer` is sealed for the place `result/<delivery>`.
#[derive(Debug, Clone)]
pub struct ResultRow {
    pub status: String,
    pub error_chain: Option<String>,
    pub sealed_answer: Option<Vec<u8>>,
    pub answer_bytes: i64,
    pub received_at: Timestamp,
    /// The answer's time was over.
    pub purged_at: Option<Timestamp>,
}

/// Which commands a list shows.
#[derive(Debug, Clone, Default)]
pub struct CommandFilter {
    pub device: Option<i64>,
    /// Only of devices with these row ids.
    pub only: Option<Vec<i64>>,
    pub state: Option<DeliveryState>,
    /// Only those with a smaller sequence: the page before.
    pub before: Option<i64>,
    pub limit: usize,
}

/// In the order in which [`row_to_delivery`] reads them.
macro_rules! columns {
    () => {
        "y.seq, y.command, c.request_type, y.enrollment, y.state, y.priority, y.not_before, y.expires_at, y.sent_count, y.last_sent_at,
         y.not_now_count, y.not_now_since, y.finished_at, c.created_at"
    };
}
pub(super) const COLUMNS: &str = columns!();

pub(super) fn row_to_delivery(row: &Row<'_>) -> Result<DeliveryRow, StoreError> {
    read_delivery(&mut Fields::of(row))
}

fn read_delivery(fields: &mut Fields<'_>) -> Result<DeliveryRow, StoreError> {
    Ok(DeliveryRow {
        seq: fields.next()?,
        command: fields.next()?,
        request_type: fields.next()?,
        enrollment: fields.next()?,
        state: fields.next_str()?.parse().map_err(|_| StoreError::Corrupt("delivery state"))?,
        priority: fields.next()?,
        not_before: fields.next_at()?,
        expires_at: fields.next_at()?,
        sent_count: fields.next()?,
        last_sent_at: fields.next_at()?,
        not_now_count: fields.next()?,
        not_now_since: fields.next_at()?,
        finished_at: fields.next_at()?,
        created_at: Timestamp(fields.next()?),
    })
}

/// A delivery with its command's sealed bytes.
type WithBytes = (DeliveryRow, Option<Vec<u8>>);

impl Db<'_> {
    pub fn find_command(&self, uuid: &str) -> Result<Option<CommandRow>, StoreError> {
        let sql = "SELECT uuid, request_type, sealed_plist, created_by, created_at FROM command WHERE uuid = ?1";
        let found = self.conn.prepare_cached(sql)?.query_row([uuid], |row| {
            Ok(CommandRow {
                uuid: row.get("uuid")?,
                request_type: row.get("request_type")?,
                sealed_plist: row.get("sealed_plist")?,
                created_by: row.get("created_by")?,
                created_at: Timestamp(row.get("created_at")?),
            })
        });
        Ok(found.optional()?)
    }

    /// The waiting delivery that goes first of those due at `now`, with its command's sealed bytes: all that `queue::select` needs.
    /// One that was sent and never answered, else the oldest that was never refused, else the one refused longest ago.
    pub fn find_next_delivery(&self, enrollment: i64, now: Timestamp) -> Result<Option<WithBytes>, StoreError> {
        macro_rules! next {
            ($states:literal, $order:literal) => {
                concat!(
                    "SELECT ",
                    columns!(),
                    ", c.sealed_plist FROM delivery y INDEXED BY delivery_waiting JOIN command c ON c.uuid = y.command
                     WHERE y.enrollment = ?1 AND y.finished_at IS NULL AND ",
                    $states,
                    " AND (y.not_before IS NULL OR y.not_before <= ?2) AND (y.expires_at IS NULL OR y.expires_at > ?2) ORDER BY ",
                    $order,
                    " LIMIT 1"
                )
            };
        }
        // The words sort as they go: Sent, Queued, NotNow. This is the index's own order, so the first entry is the answer.
        let fresh = next!("y.state > 'NotNow'", "y.state DESC, y.priority DESC, y.seq");
        // The answer NotNow comes right after the sending, so the last sending orders the refusals.
        let refused = next!("y.state = 'NotNow'", "y.last_sent_at, y.priority DESC, y.seq");
        for sql in [fresh, refused] {
            let mut statement = self.conn.prepare_cached(sql)?;
            let mut rows = statement.query(params![enrollment, now.0])?;
            if let Some(row) = rows.next()? {
                let mut fields = Fields::of(row);
                return Ok(Some((read_delivery(&mut fields)?, fields.next()?)));
            }
        }
        Ok(None)
    }

    /// Whether anything unfinished waits for this enrollment. The cheap question of every idle poll; the index is named because
    /// SQLite would choose the one of the whole history and read through all of it.
    pub fn has_waiting(&self, enrollment: i64) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM delivery INDEXED BY delivery_waiting WHERE enrollment = ?1 AND finished_at IS NULL)";
        Ok(self.conn.prepare_cached(sql)?.query_row([enrollment], |row| row.get(0))?)
    }

    pub fn count_waiting(&self, enrollment: i64) -> Result<i64, StoreError> {
        let sql =
            "SELECT count(*) FROM delivery INDEXED BY delivery_waiting WHERE enrollment = ?1 AND finished_at IS NULL";
        Ok(self.conn.prepare_cached(sql)?.query_row([enrollment], |row| row.get(0))?)
    }

    pub fn find_delivery(&self, uuid: &str, enrollment: i64) -> Result<Option<DeliveryRow>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM delivery y JOIN command c ON c.uuid = y.command WHERE y.command = ?1 AND y.enrollment = ?2"
        );
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query(params![uuid, enrollment])?;
        rows.next()?.map(row_to_delivery).transpose()
    }

    /// The delivery of a command by its UUID alone (the API's view).
    pub fn find_delivery_of(&self, uuid: &str) -> Result<Option<DeliveryRow>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM delivery y JOIN command c ON c.uuid = y.command WHERE y.command = ?1"
        );
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query([uuid])?;
        rows.next()?.map(row_to_delivery).transpose()
    }

    /// What stands before this delivery in its queue: unfinished ones that go first.
    pub fn count_ahead(&self, delivery: &DeliveryRow) -> Result<i64, StoreError> {
        let sql =
            "SELECT count(*) FROM delivery INDEXED BY delivery_waiting WHERE enrollment = ?1 AND finished_at IS NULL
                   AND (priority > ?2 OR (priority = ?2 AND seq < ?3))";
        Ok(self
            .conn
            .prepare_cached(sql)?
            .query_row(params![delivery.enrollment, delivery.priority, delivery.seq], |row| row.get(0))?)
    }

    /// Newest first.
    pub fn list_deliveries(&self, filter: &CommandFilter) -> Result<Vec<DeliveryRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM delivery y JOIN command c ON c.uuid = y.command
             WHERE (?1 IS NULL OR y.enrollment IN (SELECT id FROM enrollment WHERE device = ?1))
               AND (?2 IS NULL OR y.state = ?2) AND (?3 IS NULL OR y.seq < ?3)
               AND (?5 IS NULL OR y.enrollment IN (SELECT e.id FROM json_each(?5) o JOIN enrollment e ON e.device = o.value))
             ORDER BY y.seq DESC LIMIT ?4"
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let state = filter.state.map(|s| s.as_str());
        let only = filter.only.as_ref().map(|ids| serde_json::json!(ids).to_string());
        let mut rows = statement.query(params![filter.device, state, filter.before, filter.limit as i64, only])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(row_to_delivery(row)?);
        }
        Ok(found)
    }

    /// Unfinished deliveries of one kind of command to any channel of a device.
    pub fn list_unfinished(&self, device: i64, request_type: &str) -> Result<Vec<DeliveryRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM delivery y JOIN command c ON c.uuid = y.command
             WHERE y.finished_at IS NULL AND c.request_type = ?2 AND y.enrollment IN (SELECT id FROM enrollment WHERE device = ?1)
             ORDER BY y.seq"
        );
        self.deliveries(&sql, params![device, request_type])
    }

    /// Deliveries of one kind of command that the device may have carried out since then: handed out more often than put off,
    /// and not answered with an error.
    pub fn list_perhaps_done(
        &self,
        device: i64,
        request_type: &str,
        since: Timestamp,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM delivery y JOIN command c ON c.uuid = y.command
             WHERE c.request_type = ?2 AND y.enrollment IN (SELECT id FROM enrollment WHERE device = ?1)
               AND y.sent_count > y.not_now_count AND (y.finished_at IS NULL OR y.finished_at >= ?3)
               AND y.state NOT IN ('Error', 'CommandFormatError')
             ORDER BY y.seq"
        );
        self.deliveries(&sql, params![device, request_type, since.0])
    }

    /// The newest delivery of one kind of command that the device acknowledged.
    pub fn find_last_acknowledged(&self, device: i64, request_type: &str) -> Result<Option<DeliveryRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM delivery y JOIN command c ON c.uuid = y.command
             WHERE y.state = 'Acknowledged' AND c.request_type = ?2 AND y.enrollment IN (SELECT id FROM enrollment WHERE device = ?1)
             ORDER BY y.seq DESC LIMIT 1"
        );
        Ok(self.deliveries(&sql, params![device, request_type])?.pop())
    }

    /// The newest delivery of one kind of command that this channel acknowledged.
    pub fn find_last_acknowledged_on(
        &self,
        enrollment: i64,
        request_type: &str,
    ) -> Result<Option<DeliveryRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM delivery y JOIN command c ON c.uuid = y.command
             WHERE y.enrollment = ?1 AND y.state = 'Acknowledged' AND c.request_type = ?2 ORDER BY y.seq DESC LIMIT 1"
        );
        Ok(self.deliveries(&sql, params![enrollment, request_type])?.pop())
    }

    /// Unfinished deliveries of all channels of a device, in the order they go out within each.
    pub fn list_waiting_of_device(&self, device: i64) -> Result<Vec<DeliveryRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM delivery y JOIN command c ON c.uuid = y.command
             WHERE y.finished_at IS NULL AND y.enrollment IN (SELECT id FROM enrollment WHERE device = ?1)
             ORDER BY y.enrollment, y.state <> 'Sent', y.priority DESC, y.seq"
        );
        self.deliveries(&sql, params![device])
    }

    /// Whether a channel was asked this in its present enrolment, whatever became of it.
    pub fn was_asked(&self, enrollment: i64, generation: i64, request_type: &str) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM delivery y JOIN command c ON c.uuid = y.command
                   WHERE y.enrollment = ?1 AND y.generation = ?2 AND c.request_type = ?3)";
        Ok(self.conn.prepare_cached(sql)?.query_row(params![enrollment, generation, request_type], |row| row.get(0))?)
    }

    fn deliveries(&self, sql: &str, values: impl rusqlite::Params) -> Result<Vec<DeliveryRow>, StoreError> {
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query(values)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(row_to_delivery(row)?);
        }
        Ok(found)
    }

    pub fn find_result(&self, delivery: i64) -> Result<Option<ResultRow>, StoreError> {
        let sql = "SELECT status, error_chain, sealed_answer, answer_bytes, received_at, purged_at FROM result WHERE delivery = ?1";
        let found = self.conn.prepare_cached(sql)?.query_row([delivery], |row| {
            Ok(ResultRow {
                status: row.get("status")?,
                error_chain: row.get("error_chain")?,
                sealed_answer: row.get("sealed_answer")?,
                answer_bytes: row.get("answer_bytes")?,
                received_at: Timestamp(row.get("received_at")?),
                purged_at: row.get::<_, Option<i64>>("purged_at")?.map(Timestamp),
            })
        });
        Ok(found.optional()?)
    }

    /// Everything that waits for an answer, of everybody.
    pub fn list_everything_unfinished(&self) -> Result<Vec<DeliveryRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM delivery y JOIN command c ON c.uuid = y.command WHERE y.finished_at IS NULL ORDER BY y.seq"
        );
        self.deliveries(&sql, [])
    }

    /// Unfinished deliveries whose time is over.
    pub fn list_expired(&self, now: Timestamp, limit: usize) -> Result<Vec<DeliveryRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM delivery y JOIN command c ON c.uuid = y.command
             WHERE y.finished_at IS NULL AND y.expires_at <= ?1 ORDER BY y.expires_at LIMIT ?2"
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let mut rows = statement.query(params![now.0, limit as i64])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(row_to_delivery(row)?);
        }
        Ok(found)
    }
}

impl Tx<'_> {
    pub fn insert_command(&self, new: &NewCommand<'_>, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO command (uuid, request_type, sealed_plist, created_by, created_at) VALUES (?1, ?2, ?3, ?4, ?5)";
        self.conn.prepare_cached(sql)?.execute(params![
            new.uuid,
            new.request_type,
            new.sealed_plist,
            new.created_by,
            now.0
        ])?;
        Ok(())
    }

    /// Queues a command for an enrollment; returns the sequence number.
    pub fn insert_delivery(
        &self,
        uuid: &str,
        enrollment: i64,
        generation: i64,
        priority: i64,
        not_before: Option<Timestamp>,
        expires_at: Option<Timestamp>,
    ) -> Result<i64, StoreError> {
        let sql = "INSERT INTO delivery (command, enrollment, state, generation, priority, not_before, expires_at)
                   VALUES (?1, ?2, 'Queued', ?3, ?4, ?5, ?6)";
        let (after, until) = (not_before.map(|t| t.0), expires_at.map(|t| t.0));
        self.conn.prepare_cached(sql)?.execute(params![uuid, enrollment, generation, priority, after, until])?;
        Ok(self.conn.last_insert_rowid())
    }

    pub fn mark_sent(&self, seq: i64, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE delivery SET state = 'Sent', sent_count = sent_count + 1, last_sent_at = ?2 WHERE seq = ?1";
        self.conn.prepare_cached(sql)?.execute(params![seq, now.0])?;
        Ok(())
    }

    pub fn mark_not_now(&self, seq: i64, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE delivery SET state = 'NotNow', not_now_count = not_now_count + 1, not_now_since = coalesce(not_now_since, ?2)
                   WHERE seq = ?1";
        self.conn.prepare_cached(sql)?.execute(params![seq, now.0])?;
        Ok(())
    }

    /// Ends a delivery in a finished state.
    pub fn finish_delivery(&self, seq: i64, state: DeliveryState, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE delivery SET state = ?2, finished_at = ?3 WHERE seq = ?1 AND finished_at IS NULL";
        self.conn.prepare_cached(sql)?.execute(params![seq, state.as_str(), now.0])?;
        Ok(())
    }

    /// Ends all unfinished deliveries of a device channel and of its users' channels; returns how many.
    pub fn clear_queue(&self, enrollment: i64, now: Timestamp) -> Result<usize, StoreError> {
        let sql = "UPDATE delivery SET state = 'Cleared', finished_at = ?2 WHERE finished_at IS NULL
                   AND enrollment IN (SELECT id FROM enrollment WHERE id = ?1 OR parent = ?1)";
        Ok(self.conn.prepare_cached(sql)?.execute(params![enrollment, now.0])?)
    }

    /// A renewal of ours goes on with the same queue under the next generation.
    pub fn carry_queue(&self, enrollment: i64, generation: i64) -> Result<(), StoreError> {
        let sql = "UPDATE delivery SET generation = ?2 WHERE finished_at IS NULL
                   AND enrollment IN (SELECT id FROM enrollment WHERE id = ?1 OR parent = ?1)";
        self.conn.prepare_cached(sql)?.execute(params![enrollment, generation])?;
        Ok(())
    }

    /// Files the answer; a second one for the same delivery replaces nothing (the first was executed).
    pub fn insert_result(&self, delivery: i64, row: &ResultRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO result (delivery, status, error_chain, sealed_answer, answer_bytes, received_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (delivery) DO NOTHING";
        let values =
            params![delivery, row.status, row.error_chain, row.sealed_answer, row.answer_bytes, row.received_at.0];
        self.conn.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }
}
