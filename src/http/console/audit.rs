//! The audit: who did what, newest first; whether it is whole; and as a file.

use super::frame::{Area, Page};
use super::parts::{
    self, Field, FormSpec, Html, Mood, Table, badge, code, exactly, folded, named, note, number, post_button, row,
    section, text,
};
use super::{Answer, Outcome, Visit, marks, story};
use crate::http::message::Response;
use crate::service::auditing::export::{self, Format};
use crate::service::{auditing, overview};
use crate::store::{AuditFilter, AuditRow};

const PATH: &str = "/console/audit";
const ROWS: usize = 50;
/// Rows in a file.
const EXPORTED: i64 = 20_000;
/// Files that the page names; older rows by the command line.
const MOST_FILES: usize = 50;
const NAMES: [&str; 4] = ["actor", "verb", "device", "refused"];

pub fn list(v: &Visit<'_>) -> Outcome {
    let w = v.words;
    let filter = AuditFilter {
        actor: v.query("actor").map(|name| if name.contains(':') { name } else { format!("admin:{name}") }),
        verb: v.query("verb"),
        device: v.query("device"),
        done: v.query("refused").map(|_| false),
        limit: ROWS + 1,
        ..AuditFilter::default()
    };
    let before = v.query("before").and_then(|text| text.parse().ok());
    let mut rows = overview::newest_audit(v.cx, &v.actor, &filter, before)?;
    let more = rows.len() > ROWS;
    rows.truncate(ROWS);
    let here = marks::with_query(v, PATH, &NAMES, &[]);
    let joint = if here.contains('?') { '&' } else { '?' };
    let next = rows.last().filter(|_| more).map(|last| format!("{here}{joint}before={}", last.seq));
    let table = Table::new(w.nav_audit)
        .columns([w.did, w.who, w.about_what, w.at])
        .rows(rows.iter().map(|one| line(v, one)))
        .empty(w.audit_none)
        .page(before.map(|_| here), w.to_first)
        .page(next, w.next);
    let ask = FormSpec::asking(PATH)
        .field(Field::text("actor", w.who).value(v.query("actor").as_deref()))
        .field(Field::text("verb", w.did).value(v.query("verb").as_deref()))
        .field(Field::text("device", w.device).value(v.query("device").as_deref()))
        .field(
            Field::choice("refused", w.outcome, [("", w.all), ("yes", w.refused)]).value(v.query("refused").as_deref()),
        )
        .button(w.search);
    let page = Page::new(Area::Audit, w.nav_audit).action(post_button("/console/audit/verify", &v.token, w.verify, ""));
    let newest = overview::newest_audit(v.cx, &v.actor, &AuditFilter { limit: 1, ..AuditFilter::default() }, None)?;
    let files = folded(w.audit_files, files(v, newest.first().map_or(0, |row| row.seq)));
    Ok(page.with(ask.html()).with(table.html()).with(files).into())
}

/// Ways to every row there is, file by file.
fn files(v: &Visit<'_>, newest: i64) -> Vec<Html> {
    let w = v.words;
    let line = |(first, last): (i64, i64)| {
        let name = format!("{} {}–{}", w.audit_rows_range, parts::grouped(first), parts::grouped(last));
        let href = |format: &str| format!("/console/audit/export?format={format}&after={}", first - 1);
        row([text(&name), parts::link(&href("csv"), w.as_table), parts::link(&href("jsonl"), w.as_lines)])
    };
    vec![note(w.audit_files_hint), parts::list(ranges(newest).into_iter().map(line))]
}

/// First and last row of each file, newest first.
fn ranges(newest: i64) -> Vec<(i64, i64)> {
    let files = (newest + EXPORTED - 1) / EXPORTED;
    (0..files).rev().take(MOST_FILES).map(|at| (at * EXPORTED + 1, newest.min((at + 1) * EXPORTED))).collect()
}

fn line(v: &Visit<'_>, one: &AuditRow) -> Vec<Html> {
    let entry = &one.entry;
    let mut did = vec![code(&entry.verb)];
    if !entry.done {
        did.push(badge(Mood::Bad, v.words.refused));
    }
    let subject = entry.subject.as_deref().unwrap_or_default();
    let about = match &entry.device {
        Some(device) if device == subject => parts::link(&marks::device_path(device), device),
        Some(device) => row([text(subject), parts::link(&marks::device_path(device), device)]),
        None => text(subject),
    };
    let reason = entry.reason.as_deref().map(|reason| format!("“{reason}”")).unwrap_or_default();
    vec![row(did), named(text(story::person(&entry.actor)), &entry.origin), named(about, &reason), exactly(entry.at)]
}

/// Looks at every hash.
pub fn verify(v: &Visit<'_>) -> Outcome {
    let w = v.words;
    let verdict = auditing::verify(v.cx, &v.actor)?;
    let whole = verdict.broken_at.is_none() && verdict.cut_before.is_none();
    let mut parts =
        vec![if whole { badge(Mood::Good, w.audit_whole) } else { badge(Mood::Bad, w.audit_broken) }.into_paragraph()];
    if let Some(at) = verdict.broken_at {
        parts.push(row([text(w.audit_broken_at), number(at)]).into_paragraph());
    }
    if let Some(at) = verdict.cut_before {
        parts.push(row([text(w.audit_cut), number(at)]).into_paragraph());
    }
    parts.push(row([text(w.audit_rows), number(verdict.rows)]).into_paragraph());
    parts.push(row([text(w.audit_head), code(&hex::encode(verdict.head))]).into_paragraph());
    Ok(Page::new(Area::Audit, w.verify).under(PATH, w.nav_audit).with(section(w.verdict, parts)).into())
}

/// The rows after `after`, as many as a file holds, named by what is in it.
pub fn download(v: &Visit<'_>) -> Outcome {
    let csv = v.query("format").as_deref() == Some("csv");
    let format = if csv { Format::Csv } else { Format::JsonLines };
    let after: i64 = v.query("after").and_then(|text| text.parse().ok()).unwrap_or(0).max(0);
    let most = usize::try_from(EXPORTED).unwrap_or(usize::MAX);
    let mut rows = auditing::list(v.cx, &v.actor, &AuditFilter { after, ..AuditFilter::first(most) })?;
    // Where rows were taken away, the file does not reach into the next one.
    rows.retain(|one| one.seq <= after.saturating_add(EXPORTED));
    let mut text = export::heading(format);
    rows.iter().for_each(|one| text.push_str(&export::line(format, &export::to_json(one))));
    let (kind, end) = if csv { ("text/csv; charset=utf-8", "csv") } else { ("application/jsonl", "jsonl") };
    let (first, last) = (rows.first().map_or(0, |one| one.seq), rows.last().map_or(0, |one| one.seq));
    Ok(Answer::File(file(kind, &format!("audit-{first}-{last}.{end}"), text.into_bytes())))
}

/// A file to be kept by whoever asked for it.
pub fn file(kind: &str, name: &str, bytes: Vec<u8>) -> Response {
    Response::new(200, kind, bytes)
        .with_header("content-disposition", format!("attachment; filename=\"{name}\""))
        .with_header("cache-control", "no-store")
        .with_header("x-content-type-options", "nosniff")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_file() {
        assert_eq!(ranges(0), []);
        assert_eq!(ranges(7), [(1, 7)]);
        assert_eq!(ranges(20_000), [(1, 20_000)]);
        assert_eq!(ranges(45_001), [(40_001, 45_001), (20_001, 40_000), (1, 20_000)]);
    }
}
