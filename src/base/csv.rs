//! Comma-separated values (RFC 4180), as spreadsheets really write them: with a byte-order mark, with semicolons where the comma is
//! the decimal sign, with either kind of line end. Called by whoever takes lists of people.

/// Lines in one file.
const MAX_RECORDS: usize = 20_000;
/// Fields in one line.
const MAX_FIELDS: usize = 64;
/// Bytes in one field.
const MAX_FIELD: usize = 4_096;

/// One record with the line it begins on; the first line of a file is 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub line: usize,
    pub fields: Vec<String>,
}

/// Why a text is no such list, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct CsvError {
    pub line: usize,
    pub why: &'static str,
}

/// One line of a file, with its end. A cell that a spreadsheet would take for a formula begins with an apostrophe.
pub fn line<'c>(cells: impl Iterator<Item = &'c str>) -> String {
    let quoted = |cell: &str| {
        let guarded =
            if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell.to_owned() };
        let plain = !guarded.contains([',', ';', '"', '\n', '\r']);
        if plain { guarded } else { format!("\"{}\"", guarded.replace('"', "\"\"")) }
    };
    cells.map(quoted).collect::<Vec<_>>().join(",") + "\r\n"
}

/// Reads a whole file; empty lines are left out.
///
/// # Errors
/// [`CsvError`] for quotation marks that do not fit, and for more than any school has.
pub fn parse(text: &str) -> Result<Vec<Record>, CsvError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let separator = separator(text);
    let mut records: Vec<Record> = Vec::new();
    let mut fields: Vec<String> = Vec::new();
    let mut field = String::new();
    // A quoted field has ended; only a separator or the line's end may follow.
    let (mut quoted, mut closed) = (false, false);
    let (mut line, mut began) = (1, 1);
    let mut letters = text.chars().peekable();
    loop {
        let Some(c) = letters.next() else {
            if quoted {
                return Err(CsvError { line: began, why: "a quotation mark is opened and never closed" });
            }
            end_record(&mut records, &mut fields, &mut field, closed, began)?;
            return Ok(records);
        };
        if quoted {
            match c {
                '"' if letters.peek() == Some(&'"') => {
                    letters.next();
                    field.push('"');
                }
                '"' => (quoted, closed) = (false, true),
                c => {
                    line += usize::from(c == '\n');
                    field.push(c);
                }
            }
        } else {
            match c {
                '"' if field.is_empty() && !closed => quoted = true,
                '\r' if letters.peek() == Some(&'\n') => {}
                '\n' | '\r' => {
                    end_record(&mut records, &mut fields, &mut field, closed, began)?;
                    closed = false;
                    line += 1;
                    began = line;
                }
                c if c == separator => {
                    fields.push(std::mem::take(&mut field));
                    closed = false;
                }
                _ if closed => return Err(CsvError { line, why: "something follows a closing quotation mark" }),
                c => field.push(c),
            }
        }
        if field.len() > MAX_FIELD {
            return Err(CsvError { line, why: "a field is longer than 4096 bytes" });
        }
        if fields.len() >= MAX_FIELDS {
            return Err(CsvError { line, why: "there are more than 64 fields" });
        }
    }
}

fn end_record(
    records: &mut Vec<Record>,
    fields: &mut Vec<String>,
    field: &mut String,
    closed: bool,
    line: usize,
) -> Result<(), CsvError> {
    let is_empty = fields.is_empty() && field.is_empty() && !closed;
    fields.push(std::mem::take(field));
    let fields = std::mem::take(fields);
    if is_empty || fields.iter().all(String::is_empty) {
        return Ok(());
    }
    if records.len() == MAX_RECORDS {
        return Err(CsvError { line, why: "there are more than 20000 lines; split the file" });
    }
    records.push(Record { line, fields });
    Ok(())
}

/// A semicolon or tab when the heading has some and no comma.
fn separator(text: &str) -> char {
    let heading = text.lines().next().unwrap_or_default();
    [',', ';', '\t'].into_iter().find(|c| heading.contains(*c)).unwrap_or(',')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Vec<Vec<String>> {
        parse(text).unwrap().into_iter().map(|r| r.fields).collect()
    }

    #[test]
    fn what_spreadsheets_write() {
        let table: [(&str, &[&[&str]]); 10] = [
            ("a,b\r\nc,d\r\n", &[&["a", "b"], &["c", "d"]]),
            ("a,b\nc,d", &[&["a", "b"], &["c", "d"]]),
            ("a,b\rc,d\r", &[&["a", "b"], &["c", "d"]]),
            ("\u{feff}a;b\n\"x;y\";2,5\n", &[&["a", "b"], &["x;y", "2,5"]]),
            ("a,b\n\"say \"\"yes\"\"\",\"two\nlines\"\n", &[&["a", "b"], &["say \"yes\"", "two\nlines"]]),
            ("a,b\n\n,\n\"\",\nc,\n", &[&["a", "b"], &["c", ""]]),
            ("a\n\"\"\nb\n", &[&["a"], &["b"]]),
            ("a\tb\n1\t2\n", &[&["a", "b"], &["1", "2"]]),
            ("a,b\nx\"y,z\n", &[&["a", "b"], &["x\"y", "z"]]),
            ("", &[]),
        ];
        for (text, wanted) in table {
            assert_eq!(fields(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn lines_are_counted_as_people_count_them() {
        let records = parse("a\n\n\"x\ny\"\nz\n").unwrap();
        assert_eq!(records.iter().map(|r| r.line).collect::<Vec<_>>(), [1, 3, 5]);
        assert_eq!(parse("a\nb\n\"c\nd").unwrap_err().line, 3);
        assert_eq!(parse("a\n\"b\"c\n").unwrap_err().line, 2);
        assert!(parse(&format!("a\n{}", "x".repeat(5_000))).is_err());
        assert!(parse(&",".repeat(100)).is_err());
        assert!(parse(&"a\n".repeat(20_001)).is_err());
    }

    proptest::proptest! {
        #[test]
        fn quoted_fields_come_back(rows in proptest::collection::vec(proptest::collection::vec("[a-z\",;\n ]{1,12}", 2..4), 1..6)) {
            let line = |row: &Vec<String>| row.iter().map(|f| format!("\"{}\"", f.replace('"', "\"\""))).collect::<Vec<_>>().join(",");
            let text = std::iter::once(String::from("h,h")).chain(rows.iter().map(line)).collect::<Vec<_>>().join("\r\n");
            proptest::prop_assert_eq!(&fields(&text)[1..], &rows[..]);
        }

        #[test]
        fn nothing_makes_it_panic(text in "[\",;\r\na\u{feff}]{0,60}") {
            let _ = parse(&text);
        }
    }
}
