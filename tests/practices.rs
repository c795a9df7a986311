//! `docs/practices.md` says what Apple asks of a server and which test shows it. Every row must name a test, and every test must be there:
//! a page that points at nothing is worse than none.

use std::fs;
use std::path::{Path, PathBuf};

/// A row of a table: its line, and the tests it names.
struct Row {
    line: usize,
    tests: Vec<String>,
}

fn rows(page: &str) -> Vec<Row> {
    let cells = |line: &str| line.trim().trim_matches('|').rsplit('|').next().unwrap_or_default().to_owned();
    let tests = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    page.lines()
        .enumerate()
        .filter(|(_, line)| line.starts_with('|') && !line.starts_with("|-") && !line.starts_with("| Apple asks"))
        .map(|(number, line)| Row { line: number + 1, tests: tests(&cells(line)) })
        .collect()
}

/// Where a module of the integration tests may be: `a::b` is `a/b.rs` or `a/b/mod.rs`.
fn places(root: &Path, module: &str) -> [PathBuf; 2] {
    let path = root.join("tests").join(module.replace("::", "/"));
    [path.with_extension("rs"), path.join("mod.rs")]
}

fn is_there(root: &Path, test: &str) -> bool {
    let Some((module, name)) = test.rsplit_once("::") else { return false };
    let text = places(root, module).into_iter().find_map(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let starts = format!("fn {name}()");
    lines.windows(2).any(|pair| pair[0] == "#[test]" && pair[1].starts_with(&starts))
}

#[test]
fn every_practice_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/practices.md")).unwrap();
    let rows = rows(&page);
    assert!(rows.len() > 30, "only {} rows: is the page still a table?", rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        if row.tests.is_empty() {
            wrong.push(format!("docs/practices.md:{}: names no test", row.line));
        }
        for test in row.tests.iter().filter(|test| !is_there(root, test)) {
            wrong.push(format!("docs/practices.md:{}: there is no test {test}", row.line));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_check_can_fail() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert!(is_there(root, "practices::the_check_can_fail"));
    for wrong in ["practices::no_such_test", "nowhere::the_check_can_fail", "practices::rows", "nonsense"] {
        assert!(!is_there(root, wrong), "{wrong}");
    }
    let read = rows("| Apple asks | x | y |\n|-|-|-|\n| a | `b` | `c::d`, `e::f` |\n| a | b | none |\n");
    assert_eq!(read.len(), 2);
    assert_eq!((read[0].line, read[0].tests.as_slice()), (3, &["c::d".to_owned(), "e::f".to_owned()][..]));
    assert!(read[1].tests.is_empty());
}
