//! The audit outside the house: JSON lines and CSV with the hashes, and the check of such a file without a server. Pure; the command
//! line and the API write and read it.

use super::{START, link};
use crate::base::time::Timestamp;
use crate::store::{AuditEntry, AuditRow};
use serde_json::{Value, json};

/// The columns of CSV, in this order.
pub const COLUMNS: [&str; 13] = [
    "seq", "at", "at_ms", "actor", "origin", "verb", "subject", "device", "reason", "result", "detail", "previous",
    "hash",
];

/// How an export is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    JsonLines,
    Csv,
}

/// What [`verify`] found in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileVerdict {
    pub rows: usize,
    /// Number of the first and the last record.
    pub first: Option<i64>,
    pub last: Option<i64>,
    /// Hash of the last record, hex: the same as `cordon audit verify` says where the records come from.
    pub head: String,
    /// Places where records are missing in between: a filtered export has them, a whole one has none.
    pub gaps: usize,
    /// The line that does not fit, counted from 1.
    pub broken_line: Option<usize>,
}

/// One record as JSON, as the API shows it.
pub fn to_json(row: &AuditRow) -> Value {
    let entry = &row.entry;
    json!({
        "seq": row.seq,
        "at": entry.at.to_string(),
        "at_ms": entry.at.0,
        "actor": entry.actor,
        "origin": entry.origin,
        "verb": entry.verb,
        "subject": entry.subject,
        "device": entry.device,
        "reason": entry.reason,
        "result": if entry.done { "done" } else { "refused" },
        "detail": entry.detail.as_ref().map(|d| serde_json::from_str::<Value>(d).unwrap_or_default()),
        "previous": hex::encode(row.previous),
        "hash": hex::encode(row.hash),
    })
}

/// What a file begins with.
pub fn heading(format: Format) -> String {
    match format {
        Format::JsonLines => String::new(),
        Format::Csv => format!("{}\r\n", COLUMNS.join(",")),
    }
}

/// One record of the API (see [`to_json`]) as a line with its end.
pub fn line(format: Format, item: &Value) -> String {
    match format {
        Format::JsonLines => format!("{item}\n"),
        Format::Csv => {
            let cells: Vec<String> = COLUMNS.iter().map(|name| cell(&item[*name])).collect();
            format!("{}\r\n", cells.join(","))
        }
    }
}

/// Text in quotes where needed. Nothing (null) is an empty cell, an empty text is `""`. What a spreadsheet would take for a formula gets
/// an apostrophe in front, and so does what begins with one, so that reading takes exactly one away.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let guarded = if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\'']) { format!("'{text}") } else { text };
    if guarded.is_empty() || guarded.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", guarded.replace('"', "\"\""))
    } else {
        guarded
    }
}

/// Checks every record of an export against its own hash and the one before it. Which of the two formats it is, the file says.
///
/// # Errors
/// In words, for what is no export at all.
pub fn verify(text: &str) -> Result<FileVerdict, String> {
    let rows = if text.trim_start().starts_with('{') { json_rows(text) } else { csv_rows(text)? };
    let mut verdict = FileVerdict::default();
    let mut before: Option<(i64, [u8; 32])> = None;
    for (number, row) in rows {
        let fits = row.filter(|row| {
            let follows = match before {
                None => row.seq != 1 || row.previous == START,
                Some((seq, hash)) if row.seq == seq + 1 => row.previous == hash,
                Some((seq, _)) => row.seq > seq,
            };
            follows && row.hash == link(&row.previous, row.seq, &row.entry)
        });
        let Some(row) = fits else {
            verdict.broken_line = Some(number);
            return Ok(verdict);
        };
        verdict.gaps += usize::from(before.is_some_and(|(seq, _)| row.seq != seq + 1));
        verdict.rows += 1;
        verdict.first = verdict.first.or(Some(row.seq));
        verdict.last = Some(row.seq);
        verdict.head = hex::encode(row.hash);
        before = Some((row.seq, row.hash));
    }
    Ok(verdict)
}

/// Line number and record; `None` for a line that is none.
type Numbered = (usize, Option<AuditRow>);

fn json_rows(text: &str) -> Vec<Numbered> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(i, line)| (i + 1, serde_json::from_str::<Value>(line).ok().and_then(|item| from_json(&item)))).collect()
}

fn from_json(item: &Value) -> Option<AuditRow> {
    let text = |name: &str| item[name].as_str().map(str::to_owned);
    let optional = |name: &str| match &item[name] {
        Value::Null => Some(None),
        Value::String(text) => Some(Some(text.clone())),
        _ => None,
    };
    let hash = |name: &str| -> Option<[u8; 32]> { hex::decode(item[name].as_str()?).ok()?.try_into().ok() };
    let at = Timestamp(item["at_ms"].as_i64()?);
    // The readable date is not hashed: it must say the same.
    let honest = item["at"].as_str()? == at.to_string();
    let known = item.as_object()?.keys().all(|key| COLUMNS.contains(&key.as_str()));
    let entry = AuditEntry {
        at,
        actor: text("actor")?,
        origin: text("origin")?,
        verb: text("verb")?,
        subject: optional("subject")?,
        device: optional("device")?,
        reason: optional("reason")?,
        done: match item["result"].as_str()? {
            "done" => true,
            "refused" => false,
            _ => return None,
        },
        detail: if item["detail"].is_null() { None } else { Some(item["detail"].to_string()) },
    };
    (honest && known).then_some(AuditRow {
        seq: item["seq"].as_i64()?,
        entry,
        previous: hash("previous")?,
        hash: hash("hash")?,
    })
}

fn csv_rows(text: &str) -> Result<Vec<Numbered>, String> {
    let mut records = csv_records(text);
    let heading = if records.is_empty() { Vec::new() } else { records.remove(0).1 };
    let names: Vec<&str> = heading.iter().filter_map(|cell| cell.as_deref()).collect();
    if names != COLUMNS {
        return Err(String::from("it is neither JSON lines nor CSV as `cordon audit export` writes them"));
    }
    let rows = records.into_iter().map(|(number, cells)| {
        let mut item = serde_json::Map::new();
        if cells.len() != COLUMNS.len() {
            return (number, None);
        }
        for (name, cell) in COLUMNS.iter().zip(cells) {
            let value = match (cell, *name) {
                (None, _) => Value::Null,
                (Some(text), "seq" | "at_ms" | "detail") => match serde_json::from_str(&text) {
                    Ok(value) => value,
                    Err(_) => return (number, None),
                },
                (Some(text), _) => Value::String(text),
            };
            item.insert((*name).to_owned(), value);
        }
        (number, from_json(&Value::Object(item)))
    });
    Ok(rows.collect())
}

/// RFC 4180, with the line that each record begins on. An empty cell without quotes is `None`.
fn csv_records(text: &str) -> Vec<(usize, Vec<Option<String>>)> {
    let (mut records, mut cells) = (Vec::new(), Vec::new());
    let (mut cell, mut quoted, mut was_quoted) = (String::new(), false, false);
    let (mut line, mut began) = (1, 1);
    let mut letters = text.chars().peekable();
    let finish = |cell: &mut String, was_quoted: &mut bool| {
        let (text, quoted) = (std::mem::take(cell), std::mem::take(was_quoted));
        let nothing = text.is_empty() && !quoted;
        let plain = text.strip_prefix('\'').map(str::to_owned).unwrap_or(text);
        (!nothing).then_some(plain)
    };
    while let Some(letter) = letters.next() {
        line += usize::from(letter == '\n');
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                cell.push('"');
            }
            '"' => {
                quoted = !quoted;
                was_quoted = true;
            }
            ',' if !quoted => cells.push(finish(&mut cell, &mut was_quoted)),
            '\r' if !quoted && letters.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                cells.push(finish(&mut cell, &mut was_quoted));
                records.push((began, std::mem::take(&mut cells)));
                began = line;
            }
            other => cell.push(other),
        }
    }
    if !cell.is_empty() || !cells.is_empty() {
        cells.push(finish(&mut cell, &mut was_quoted));
        records.push((began, cells));
    }
    records
}

#[cfg(test)]
mod tests;
