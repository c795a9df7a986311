//! Pairs of a restriction and a capability, and the gates that hold capabilities back. `service::pairs` and `service::gates` decide.

use super::{Db, StoreError, TimelineRow, Tx};
use crate::base::time::Timestamp;
use crate::protocol::gate::{Answer, Gate, OnLapse, Phase};
use rusqlite::{OptionalExtension, Row, params};

#[derive(Debug, Clone)]
pub struct PairRow {
    pub id: i64,
    pub public_id: String,
    pub name: String,
    /// The one profile made of both; `None` for a gated pair.
    pub combined: Option<i64>,
    /// Row ids of profiles.
    pub restriction: i64,
    pub capability: i64,
    /// As `protocol::gate::Condition` reads it.
    pub condition: String,
    pub on_lapse: OnLapse,
    pub created_by: String,
    pub created_at: Timestamp,
    pub removed_at: Option<Timestamp>,
}

impl PairRow {
    pub fn is_gated(&self) -> bool {
        self.combined.is_none()
    }

    /// The profile that assignments of the pair are rows of.
    pub fn head(&self) -> i64 {
        self.combined.unwrap_or(self.restriction)
    }
}

/// Version and values of a restriction.
pub type GateEdition = (i64, i64);

/// One gate as it lies in the file.
#[derive(Debug, Clone, Copy)]
pub struct GateRow {
    pub enrollment: i64,
    pub pair: i64,
    pub gate: Gate<GateEdition>,
    pub due_at: Option<Timestamp>,
}

/// A line of a pair's story, with the public id of its device.
#[derive(Debug, Clone)]
pub struct PairLine {
    pub device: String,
    pub line: TimelineRow,
}

const PAIR: &str =
    "p.id, p.public_id, p.name, p.combined, p.restriction, p.capability, p.condition, p.on_lapse, p.created_by,
    p.created_at, p.removed_at";
const GATE: &str =
    "g.enrollment, g.pair, g.phase, g.since, g.version, g.fill, g.restricted_at, g.asked_at, g.answer, g.answered_at,
    g.refusals, g.due_at";

fn row_to_pair(row: &Row<'_>) -> rusqlite::Result<PairRow> {
    let on_lapse: String = row.get("on_lapse")?;
    Ok(PairRow {
        id: row.get("id")?,
        public_id: row.get("public_id")?,
        name: row.get("name")?,
        combined: row.get("combined")?,
        restriction: row.get("restriction")?,
        capability: row.get("capability")?,
        condition: row.get("condition")?,
        // The CHECK of the table knows the same words.
        on_lapse: OnLapse::parse(&on_lapse).unwrap_or(OnLapse::Withdraw),
        created_by: row.get("created_by")?,
        created_at: Timestamp(row.get("created_at")?),
        removed_at: row.get::<_, Option<i64>>("removed_at")?.map(Timestamp),
    })
}

fn answer(text: &str) -> Option<Answer> {
    [Answer::Complies, Answer::Fails, Answer::Silent, Answer::Refused].into_iter().find(|one| answer_str(*one) == text)
}

fn answer_str(answer: Answer) -> &'static str {
    match answer {
        Answer::Complies => "complies",
        Answer::Fails => "fails",
        Answer::Silent => "silent",
        Answer::Refused => "refused",
    }
}

fn row_to_gate(row: &Row<'_>) -> rusqlite::Result<GateRow> {
    let at = |name: &str| row.get::<_, Option<i64>>(name).map(|v| v.map(Timestamp));
    let phase: String = row.get("phase")?;
    let said: Option<String> = row.get("answer")?;
    let edition: (Option<i64>, Option<i64>) = (row.get("version")?, row.get("fill")?);
    let gate = Gate {
        phase: Phase::parse(&phase).unwrap_or(Phase::Waiting),
        since: Timestamp(row.get("since")?),
        restriction: edition.0.zip(edition.1).zip(at("restricted_at")?),
        asked_at: at("asked_at")?,
        answer: said.as_deref().and_then(answer).zip(at("answered_at")?),
        refusals: row.get("refusals")?,
    };
    Ok(GateRow { enrollment: row.get("enrollment")?, pair: row.get("pair")?, gate, due_at: at("due_at")? })
}

impl Db<'_> {
    /// By Cordon's id; removed ones too.
    pub fn find_pair(&self, public_id: &str) -> Result<Option<PairRow>, StoreError> {
        let sql = format!("SELECT {PAIR} FROM pair p WHERE p.public_id = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([public_id], row_to_pair).optional()?)
    }

    pub fn find_pair_by_row(&self, id: i64) -> Result<Option<PairRow>, StoreError> {
        let sql = format!("SELECT {PAIR} FROM pair p WHERE p.id = ?1");
        Ok(self.conn.prepare_cached(&sql)?.query_row([id], row_to_pair).optional()?)
    }

    /// Those in use.
    pub fn list_pairs(&self) -> Result<Vec<PairRow>, StoreError> {
        let sql = format!("SELECT {PAIR} FROM pair p WHERE p.removed_at IS NULL ORDER BY p.id");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map([], row_to_pair)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The gates of one channel.
    pub fn list_gates_of(&self, enrollment: i64) -> Result<Vec<GateRow>, StoreError> {
        self.gates("g.enrollment = ?1 ORDER BY g.pair", params![enrollment])
    }

    /// The gates of all channels of a device.
    pub fn list_gates_of_device(&self, device: i64) -> Result<Vec<GateRow>, StoreError> {
        let these = "g.enrollment IN (SELECT id FROM enrollment WHERE device = ?1) ORDER BY g.enrollment, g.pair";
        self.gates(these, params![device])
    }

    /// The gates of one pair, those whose turn with a person it is first; at most `limit`.
    pub fn list_gates_of_pair(&self, pair: i64, limit: usize) -> Result<Vec<GateRow>, StoreError> {
        let these = "g.pair = ?1 ORDER BY g.phase = 'open', g.since DESC, g.enrollment LIMIT ?2";
        self.gates(these, params![pair, limit as i64])
    }

    fn gates(&self, these: &str, values: &[&dyn rusqlite::ToSql]) -> Result<Vec<GateRow>, StoreError> {
        let sql = format!("SELECT {GATE} FROM gate g WHERE {these}");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map(values, row_to_gate)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many gates of a pair are in each phase.
    pub fn count_gates(&self, pair: i64) -> Result<Vec<(String, i64)>, StoreError> {
        let sql = "SELECT phase, count(*) FROM gate WHERE pair = ?1 GROUP BY phase ORDER BY phase";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([pair], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Active channels with a gate that is to be looked at by now.
    pub fn list_channels_with_due_gates(&self, now: Timestamp, limit: usize) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT DISTINCT g.enrollment FROM gate g JOIN enrollment e ON e.id = g.enrollment
                   WHERE g.due_at <= ?1 AND e.state = 'Active' ORDER BY g.due_at LIMIT ?2";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(params![now.0, limit as i64], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Row ids of the Active channels with a gate of this pair.
    pub fn list_channels_of_pair(&self, pair: i64) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT g.enrollment FROM gate g JOIN enrollment e ON e.id = g.enrollment
                   WHERE g.pair = ?1 AND e.state = 'Active' ORDER BY g.enrollment";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([pair], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The story of a pair, newest first; of one device (row id) or of all.
    pub fn list_pair_lines(
        &self,
        public_id: &str,
        device: Option<i64>,
        limit: usize,
    ) -> Result<Vec<PairLine>, StoreError> {
        let sql = "SELECT d.public_id, t.at, t.kind, t.command, t.detail FROM timeline t JOIN device d ON d.id = t.device
                   WHERE t.kind GLOB 'gate-*' AND json_extract(t.detail, '$.pair') = ?1 AND (?2 IS NULL OR t.device = ?2)
                   ORDER BY t.id DESC LIMIT ?3";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(params![public_id, device, limit as i64], |row| {
            let line = TimelineRow {
                at: Timestamp(row.get(1)?),
                kind: row.get(2)?,
                command: row.get(3)?,
                detail: row.get(4)?,
            };
            Ok(PairLine { device: row.get(0)?, line })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Tx<'_> {
    /// `id` and `removed_at` of the row are ignored; returns the row id.
    pub fn insert_pair(&self, row: &PairRow) -> Result<i64, StoreError> {
        let sql = "INSERT INTO pair (public_id, name, mode, restriction, capability, combined, condition, on_lapse, created_by, created_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        let mode = if row.is_gated() { "gated" } else { "together" };
        self.conn.prepare_cached(sql)?.execute(params![
            row.public_id,
            row.name,
            mode,
            row.restriction,
            row.capability,
            row.combined,
            row.condition,
            row.on_lapse.as_str(),
            row.created_by,
            row.created_at.0
        ])?;
        Ok(self.conn.last_insert_rowid())
    }

    pub fn update_pair(&self, id: i64, name: &str, condition: &str, on_lapse: OnLapse) -> Result<(), StoreError> {
        let sql = "UPDATE pair SET name = ?2, condition = ?3, on_lapse = ?4 WHERE id = ?1";
        self.conn.prepare_cached(sql)?.execute(params![id, name, condition, on_lapse.as_str()])?;
        Ok(())
    }

    /// Nobody is to have it any more; its assignments go.
    pub fn remove_pair(&self, id: i64, now: Timestamp) -> Result<(), StoreError> {
        self.conn.prepare_cached("DELETE FROM assignment WHERE pair = ?1")?.execute([id])?;
        self.conn.prepare_cached("UPDATE pair SET removed_at = ?2 WHERE id = ?1")?.execute([id, now.0])?;
        Ok(())
    }

    pub fn put_gate(&self, row: &GateRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO gate (enrollment, pair, phase, since, version, fill, restricted_at, asked_at, answer, answered_at, refusals, due_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
                   ON CONFLICT (enrollment, pair) DO UPDATE SET phase = excluded.phase, since = excluded.since, version = excluded.version,
                       fill = excluded.fill, restricted_at = excluded.restricted_at, asked_at = excluded.asked_at, answer = excluded.answer,
                       answered_at = excluded.answered_at, refusals = excluded.refusals, due_at = excluded.due_at";
        let gate = &row.gate;
        let edition = gate.restriction.map(|(edition, _)| edition);
        self.conn.prepare_cached(sql)?.execute(params![
            row.enrollment,
            row.pair,
            gate.phase.as_str(),
            gate.since.0,
            edition.map(|(version, _)| version),
            edition.map(|(_, fill)| fill),
            gate.restriction.map(|(_, since)| since.0),
            gate.asked_at.map(|at| at.0),
            gate.answer.map(|(said, _)| answer_str(said)),
            gate.answer.map(|(_, at)| at.0),
            gate.refusals,
            row.due_at.map(|at| at.0)
        ])?;
        Ok(())
    }

    pub fn delete_gate(&self, enrollment: i64, pair: i64) -> Result<(), StoreError> {
        let sql = "DELETE FROM gate WHERE enrollment = ?1 AND pair = ?2";
        self.conn.prepare_cached(sql)?.execute([enrollment, pair])?;
        Ok(())
    }

    /// What was due on these channels by `now` and is due still is looked at again `later`.
    pub fn postpone_gates(&self, channels: &[i64], now: Timestamp, later: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE gate SET due_at = ?3 WHERE due_at <= ?2 AND enrollment IN (SELECT value FROM json_each(?1))";
        let channels = serde_json::Value::from(channels).to_string();
        self.conn.prepare_cached(sql)?.execute(params![channels, now.0, later.0])?;
        Ok(())
    }
}
