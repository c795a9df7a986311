//! Aligned columns and lists of facts for people. Values of the API come in as JSON and are shown without control characters.

use super::voice::plain;
use serde_json::Value;

/// Rows under a heading, columns aligned to the left, the last one as long as it likes.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|text| (*text).to_owned()).collect()] }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| plain(&cell)).collect());
    }

    pub fn render(&self) -> String {
        aligned(&self.rows)
    }
}

/// Names on the left, values on the right; what is unknown is left out.
#[derive(Default)]
pub struct Facts {
    rows: Vec<Vec<String>>,
}

impl Facts {
    pub fn add(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.rows.push(vec![format!("{name}:"), plain(&value)]);
        }
    }

    pub fn render(&self) -> String {
        aligned(&self.rows)
    }
}

fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A field as text: strings as they are, numbers and booleans written out, nothing for null.
pub fn field(item: &Value, key: &str) -> String {
    match item.get(key) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A field, or a dash where the column would be empty.
pub fn cell(item: &Value, key: &str) -> String {
    Some(field(item, key)).filter(|text| !text.is_empty()).unwrap_or_else(|| String::from("-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_aligned_by_letters_and_never_obeyed() {
        let mut table = Table::new(&["SERIAL", "NAME", "LAST"]);
        table.row(["C1".into(), "Zoë\u{1b}[31m".into(), "just now".into()]);
        table.row(["LONGSERIAL".into(), "b".into(), String::new()]);
        let wanted = "SERIAL      NAME      LAST\nC1          Zoë\u{fffd}[31m  just now\nLONGSERIAL  b\n";
        assert_eq!(table.render(), wanted);
    }

    #[test]
    fn facts_leave_out_what_is_unknown() {
        let mut facts = Facts::default();
        facts.add("Serial", "C1");
        facts.add("Name", "");
        facts.add("System", "iOS\n18");
        assert_eq!(facts.render(), "Serial:  C1\nSystem:  iOS\u{fffd}18\n");
        assert_eq!(Facts::default().render(), "");
    }

    #[test]
    fn fields_as_text() {
        let item = json!({"a": "x", "b": 3, "c": null, "d": true});
        assert_eq!((field(&item, "a"), field(&item, "b"), field(&item, "d")), ("x".into(), "3".into(), "true".into()));
        assert_eq!((field(&item, "c"), cell(&item, "c"), cell(&item, "none")), (String::new(), "-".into(), "-".into()));
    }
}
