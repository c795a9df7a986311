//! Holds the plan of the house: reads every file under `src/`, resolves its `crate::`, `super::` and library paths, and
//! fails with `file:line` for each one that goes upstairs or reaches for something its floor must not have.
//!
//! It reads words, not types: a macro could hide a path from it. That is enough for a rule that nobody means to break.

use std::fmt;
use std::fs;
use std::path::Path;

/// Longest file, in lines, its tests included. Past 500, ask whether it is two rooms.
const MAX_LINES: usize = 700;

/// Every room, its floor, and what it may use on its own floor.
const ROOMS: &[(&str, u8, &[&str])] = &[
    ("base", 0, &[]),
    ("plist", 0, &["base"]),
    ("pki", 0, &["base"]),
    ("protocol", 0, &["base", "plist", "pki"]),
    ("store", 1, &[]),
    ("service", 2, &[]),
    ("apple", 3, &[]),
    ("http", 3, &[]),
    ("simulator", 3, &[]),
    ("jobs", 3, &[]),
    ("outbound", 3, &[]),
    ("directory", 3, &[]),
    ("server", 4, &[]),
    ("cli", 5, &[]),
];

/// The edges of `http`: each may use the listeners, none may use another edge.
const EDGES: &[&str] = &["device", "enroll", "scep", "api", "console", "setup"];

/// Where async may live; everything else is synchronous.
const ASYNC: &[&str] = &["src/http/listen", "src/apple/apns", "src/simulator/apns"];

/// Plain types of `std::net`: an address is a value, a socket is not.
const ADDRESSES: &[&str] =
    &["IpAddr", "Ipv4Addr", "Ipv6Addr", "SocketAddr", "SocketAddrV4", "SocketAddrV6", "AddrParseError"];

#[test]
fn the_house_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), "src", &mut files);
    assert!(files.len() > ROOMS.len(), "found only {} files: is src/ still where it was?", files.len());

    let found: Vec<String> =
        files.iter().flat_map(|(path, text)| check(path, text)).map(|violation| violation.to_string()).collect();
    assert!(found.is_empty(), "{} place(s) where the house is not as planned:\n{}", found.len(), found.join("\n"));
}

fn collect(dir: &Path, shown: &str, files: &mut Vec<(String, String)>) {
    let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()).collect();
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let shown = format!("{shown}/{name}");
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &shown, files);
        } else if name.ends_with(".rs") {
            files.push((shown, fs::read_to_string(entry.path()).unwrap()));
        }
    }
}

#[derive(Debug)]
struct Violation {
    path: String,
    line: usize,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// Everything that is wrong with one file; `path` is `src/…` with slashes.
fn check(path: &str, text: &str) -> Vec<Violation> {
    let file = File::new(path, text);
    let mut found: Vec<(usize, String)> = Vec::new();
    shape(&file, text, &mut found);
    for word in &file.words {
        words(&file, word, &mut found);
    }
    for used in paths(&file) {
        floors(&file, &used, &mut found);
        libraries(&file, &used, &mut found);
    }
    found.sort();
    found.dedup();
    found.into_iter().map(|(line, what)| Violation { path: path.to_owned(), line, what }).collect()
}

/// One source file, cut into words, with comments and literals gone.
struct File {
    path: String,
    /// Module path: `http/device/mod.rs` is `["http", "device"]`; `lib.rs` and `main.rs` are empty.
    module: Vec<String>,
    floor: u8,
    words: Vec<Word>,
    /// First line of the unit tests, which by custom come last; 0 when the whole file is a module of tests.
    tests_from: usize,
}

#[derive(Debug)]
struct Word {
    line: usize,
    text: String,
}

impl File {
    fn new(path: &str, text: &str) -> Self {
        let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
        let mut module: Vec<String> = inner.split('/').map(str::to_owned).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        // The root and `main.rs` stand above everything.
        let floor = module.first().and_then(|room| floor_of(room)).unwrap_or(u8::MAX);
        let words = cut(text);
        // `mod tests;` among the declarations on top says nothing about the lines below it, a body does.
        let marks: Vec<usize> = (0..words.len()).filter(|i| starts_with(&words[*i..], "# [ cfg ( test ) ]")).collect();
        let inline = marks.into_iter().find(|i| {
            let item = &words[i + 7..];
            let item = if starts_with(item, "pub") { &item[1..] } else { item };
            starts_with(item, "mod") && item.get(2).is_some_and(|w| w.text == "{")
        });
        let inline = inline.map_or(usize::MAX, |i| words[i].line);
        let name = inner.rsplit('/').next().unwrap_or(inner);
        let all_tests = name == "tests" || name.ends_with("_tests") || name.starts_with("test_");
        let tests_from = if all_tests { 0 } else { inline };
        Self { path: path.to_owned(), module, floor, words, tests_from }
    }

    fn in_tests(&self, line: usize) -> bool {
        line >= self.tests_from
    }

    fn is_under(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path.starts_with(place))
    }
}

fn starts_with(words: &[Word], pattern: &str) -> bool {
    let mut words = words.iter();
    pattern.split(' ').all(|wanted| words.next().is_some_and(|word| word.text == wanted))
}

fn floor_of(room: &str) -> Option<u8> {
    ROOMS.iter().find(|(name, ..)| *name == room).map(|(_, floor, _)| *floor)
}

// ---- rules on the file as a whole

fn shape(file: &File, text: &str, found: &mut Vec<(usize, String)>) {
    if !text.starts_with("//!") {
        found.push((1, "does not open with `//!`: say what room this is, who calls it, what is not here".into()));
    }
    let lines = text.lines().count();
    if lines > MAX_LINES {
        found.push((lines, format!("has {lines} lines, more than {MAX_LINES}: this is two rooms")));
    }
    if let Some(room) = file.module.first().filter(|room| floor_of(room).is_none()) {
        found.push((1, format!("`{room}` is not on the plan: give it a floor in tests/tidy.rs and in src/lib.rs")));
    }
    for name in
        file.module.iter().filter(|name| ["utils", "util", "common", "prelude", "manager"].contains(&name.as_str()))
    {
        found.push((1, format!("`{name}` names no thing: name the module after what it holds")));
    }
}

// ---- rules on single words

fn words(file: &File, word: &Word, found: &mut Vec<(usize, String)>) {
    let mut say = |what: String| found.push((word.line, what));
    let text = word.text.as_str();
    match text {
        "todo!" | "unimplemented!" | "dbg!" => say(format!("`{text}`: a part is done, or it is not there")),
        "println!" | "print!" | "eprintln!" | "eprint!"
            if !file.in_tests(word.line) && !file.is_under(&["src/cli", "src/main.rs"]) =>
        {
            say(format!("`{text}` outside cli: return what should be said, or log it"));
        }
        "async" | "await" if !file.is_under(ASYNC) => {
            say(format!("`{text}` outside http/listen, apple/apns and simulator/apns"));
        }
        _ => {}
    }
    let names_refusal =
        ["401", "403", "UNAUTHORIZED", "FORBIDDEN"].contains(&text.trim_end_matches("u16").trim_end_matches('_'));
    // protocol/push reads what Apple's push service answers to us; no device ever sees those.
    let acts_on_devices = file.is_under(&["src/http/device", "src/service", "src/protocol"])
        && !file.is_under(&["src/protocol/status", "src/protocol/push"]);
    if names_refusal && acts_on_devices && !file.in_tests(word.line) {
        say(format!("`{text}`: a status that un-enrols a device is named only in protocol/status"));
    }
}

// ---- rules on paths

/// A path as used, its segments resolved from `super` and `self` where it stays in this crate.
struct Used {
    line: usize,
    path: Vec<String>,
}

impl Used {
    fn holds(&self, pair: [&str; 2]) -> bool {
        self.path.windows(2).any(|w| w[0] == pair[0] && w[1] == pair[1])
    }

    fn shown(&self) -> String {
        self.path.join("::")
    }
}

fn floors(file: &File, used: &Used, found: &mut Vec<(usize, String)>) {
    let (Some(own), Some(first)) = (file.module.first(), used.path.first()) else { return };
    if first != "crate" {
        return;
    }
    let Some(room) = used.path.get(1).filter(|room| *room != own) else {
        return edges(file, used, found);
    };
    let shown = used.shown();
    let Some((_, floor, _)) = ROOMS.iter().find(|(name, ..)| name == room) else {
        found.push((used.line, format!("`{shown}`: `{room}` is not a room on the plan")));
        return;
    };
    let neighbours = ROOMS.iter().find(|(name, ..)| name == own).map_or(&[][..], |(.., neighbours)| neighbours);
    if *floor > file.floor {
        found.push((used.line, format!("`{shown}` goes upstairs, from floor {} to floor {floor}", file.floor)));
    } else if *floor == file.floor && !neighbours.contains(&room.as_str()) && !file.in_tests(used.line) {
        // Unit tests may put a neighbour on the other end of the line: the push sender is tested against the stand-in.
        found.push((used.line, format!("`{shown}`: {own} and {room} are neighbours and do not know each other")));
    }
}

fn edges(file: &File, used: &Used, found: &mut Vec<(usize, String)>) {
    let (Some(own), Some(other)) = (file.module.get(1), used.path.get(2)) else { return };
    let both = EDGES.contains(&own.as_str()) && EDGES.contains(&other.as_str());
    if file.module[0] == "http" && both && own != other {
        found.push((used.line, format!("`{}`: the edges {own} and {other} never import each other", used.shown())));
    }
}

fn libraries(file: &File, used: &Used, found: &mut Vec<(usize, String)>) {
    let mut say = |what: &str| found.push((used.line, format!("`{}`: {what}", used.shown())));
    let tests = file.in_tests(used.line);
    let second = used.path.get(1).map_or("", String::as_str);
    match (used.path[0].as_str(), second) {
        ("rusqlite" | "libsqlite3_sys", _) if !file.is_under(&["src/store"]) => say("only store knows SQL"),
        ("tokio" | "tokio_rustls" | "hyper" | "http_body_util" | "h2", _) if !file.is_under(ASYNC) => {
            say("async lives only in http/listen, apple/apns and simulator/apns");
        }
        ("std", "env") if file.floor < 3 && !tests => say("below the third floor nobody reads the environment"),
        ("std", "net")
            if file.floor < 3 && !tests && !used.path.get(2).is_some_and(|t| ADDRESSES.contains(&t.as_str())) =>
        {
            say("below the third floor nobody opens a socket");
        }
        ("std", "fs" | "process") if file.floor == 0 && !tests => say("the ground floor does no IO"),
        _ => {}
    }
    if file.floor < 3 && used.holds(["unix", "net"]) && !tests {
        say("below the third floor nobody opens a socket");
    }
    let clock = [["SystemTime", "now"], ["Timestamp", "now"], ["Zoned", "now"]];
    if clock.iter().any(|pair| used.holds(*pair)) && file.path != "src/base/time.rs" && !tests {
        say("time is an argument: take a base::time::Clock");
    }
    if used.holds(["Instant", "now"]) && file.floor < 3 && !tests {
        say("below the third floor time is an argument");
    }
}

/// Every path with at least two segments, `use` trees taken apart.
fn paths(file: &File) -> Vec<Used> {
    let words = &file.words;
    let text = |i: usize| words.get(i).map_or("", |w| w.text.as_str());
    let mut found = Vec::new();
    let mut i = 0;
    while i < words.len() {
        let starts = is_name(text(i)) && text(i + 1) == "::" && (i == 0 || text(i - 1) != "::");
        if !starts {
            i += 1;
            continue;
        }
        let mut leaves = Vec::new();
        let end = tree(words, i, &mut Vec::new(), &mut leaves);
        found.extend(leaves.into_iter().map(|(line, path)| Used { line, path: resolve(file, line, path) }));
        i = end.max(i + 1);
    }
    found
}

/// Reads one path or `use` tree from word `at`; returns the word after it.
fn tree(words: &[Word], mut at: usize, before: &mut Vec<String>, leaves: &mut Vec<(usize, Vec<String>)>) -> usize {
    let depth = before.len();
    let text = |i: usize| words.get(i).map_or("", |w| w.text.as_str());
    let line = words.get(at).map_or(0, |w| w.line);
    loop {
        if text(at) == "{" && !before.is_empty() {
            at += 1;
            while at < words.len() && text(at) != "}" {
                let next = tree(words, at, before, leaves);
                at = next.max(at + 1);
                if text(at) == "as" {
                    at += 2;
                }
                if text(at) == "," {
                    at += 1;
                }
            }
            before.truncate(depth);
            return at + 1;
        }
        if !is_name(text(at)) && text(at) != "*" {
            break;
        }
        before.push(text(at).to_owned());
        at += 1;
        // `::<` is a turbofish: the path ends, its arguments are paths of their own.
        if text(at) != "::" || text(at + 1) == "<" {
            break;
        }
        at += 1;
    }
    if before.len() > depth {
        leaves.push((line, before.clone()));
    }
    before.truncate(depth);
    at
}

/// Turns `super::…` and `self::…` into `crate::…`.
fn resolve(file: &File, line: usize, path: Vec<String>) -> Vec<String> {
    let supers = path.iter().take_while(|segment| *segment == "super").count();
    let selfs = usize::from(path[0] == "self");
    if supers + selfs == 0 {
        return path;
    }
    // Inside a `mod tests { … }` the first `super` only leaves the tests.
    let inline_tests = file.in_tests(line) && file.tests_from > 0;
    let up = supers.saturating_sub(usize::from(inline_tests));
    let kept = file.module.len().saturating_sub(up);
    let own = file.module[..kept].iter().cloned();
    ["crate".to_owned()].into_iter().chain(own).chain(path.into_iter().skip(supers + selfs)).collect()
}

// ---- reading Rust, just enough of it

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Cuts source into names, numbers, `::`, macro names with their `!`, and single signs; comments, texts and characters vanish.
fn cut(text: &str) -> Vec<Word> {
    let bytes: Vec<char> = text.chars().collect();
    let at = |i: usize| bytes.get(i).copied().unwrap_or('\0');
    let (mut words, mut line, mut i) = (Vec::new(), 1, 0);
    while i < bytes.len() {
        let start = i;
        match (at(i), at(i + 1)) {
            (c, _) if c.is_whitespace() => i += 1,
            ('/', '/') => i += bytes[i..].iter().take_while(|c| **c != '\n').count(),
            ('/', '*') => i = block_comment(&bytes, i),
            ('"', _) => i = quoted(&bytes, i + 1),
            ('\'', '\\') => i = (i + 3..bytes.len()).find(|j| at(*j) == '\'').map_or(bytes.len(), |j| j + 1),
            ('\'', _) if at(i + 2) == '\'' => i += 3,
            (':', ':') => {
                i += 2;
                words.push(Word { line, text: "::".into() });
            }
            (c, _) if c.is_alphanumeric() || c == '_' => {
                while at(i).is_alphanumeric() || at(i) == '_' {
                    i += 1;
                }
                let word: String = bytes[start..i].iter().collect();
                let raw = matches!(word.as_str(), "r" | "br" | "cr") && matches!(at(i), '"' | '#') && at(i + 1) != '_';
                if raw && raw_end(&bytes, i).is_some() {
                    i = raw_end(&bytes, i).unwrap_or(bytes.len());
                } else {
                    let is_macro = at(i) == '!' && at(i + 1) != '=';
                    let text = if is_macro { format!("{word}!") } else { word };
                    words.push(Word { line, text });
                }
            }
            (sign, _) => {
                i += 1;
                words.push(Word { line, text: sign.to_string() });
            }
        }
        line += bytes[start..i].iter().filter(|c| **c == '\n').count();
    }
    words
}

fn block_comment(bytes: &[char], start: usize) -> usize {
    let (mut depth, mut i) = (0_usize, start);
    while i < bytes.len() {
        match (bytes[i], bytes.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            break;
        }
    }
    i.min(bytes.len())
}

fn quoted(bytes: &[char], mut i: usize) -> usize {
    while i < bytes.len() {
        match bytes[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    bytes.len()
}

/// The end of `#"…"#` from its first sign; `None` when this is a raw name such as `r#type`.
fn raw_end(bytes: &[char], start: usize) -> Option<usize> {
    let hashes = bytes[start..].iter().take_while(|c| **c == '#').count();
    if bytes.get(start + hashes) != Some(&'"') {
        return None;
    }
    let body = start + hashes + 1;
    let closes =
        |i: usize| bytes[i] == '"' && bytes[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
    Some((body..bytes.len()).find(|i| closes(*i)).map_or(bytes.len(), |i| i + 1 + hashes))
}

// ---- the guard itself is guarded: each rule is shown a file that breaks it, and one that only looks as if it did

/// What is found in a file at `path` whose lines follow the opening comment, as `line: text`.
fn found_in(path: &str, body: &str) -> Vec<String> {
    check(path, &format!("//! A room.\n{body}")).iter().map(|v| format!("{}: {}", v.line, v.what)).collect()
}

#[test]
fn every_rule_can_fail() {
    let cases: &[(&str, &str, &str)] = &[
        ("src/store/a.rs", "use crate::service::x;", "2: `crate::service::x` goes upstairs, from floor 1 to floor 2"),
        ("src/store/a.rs", "use crate::{base::ids,\n http::x};", "3: `crate::http::x` goes upstairs"),
        ("src/pki/a.rs", "fn f() { crate::plist::parse(b) }", "neighbours"),
        ("src/protocol/mod.rs", "use super::store::x;", "`crate::store::x` goes upstairs"),
        ("src/apple/a.rs", "use crate::http::listen;", "neighbours"),
        ("src/service/a.rs", "use crate::cellar::x;", "not a room on the plan"),
        ("src/cellar/a.rs", "", "not on the plan"),
        ("src/base/utils.rs", "", "names no thing"),
        ("src/http/device/mod.rs", "use super::enroll::page;", "never import each other"),
        ("src/http/api/a.rs", "use crate::http::{listen, console::x};", "the edges api and console"),
        ("src/http/scep.rs", "use crate::http::device;", "the edges scep and device"),
        ("src/service/a.rs", "use rusqlite::Connection;", "only store knows SQL"),
        ("src/http/device/a.rs", "fn f(x: tokio::sync::Mutex<u8>) {}", "async lives only"),
        ("src/http/device/a.rs", "async fn f() {}", "`async` outside"),
        ("src/service/a.rs", "let t = std::time::SystemTime::now();", "time is an argument"),
        ("src/http/a.rs", "let t = SystemTime::now();", "time is an argument"),
        ("src/store/a.rs", "let t = Instant::now();", "below the third floor time"),
        ("src/service/a.rs", "use std::{env, fmt};", "environment"),
        ("src/service/a.rs", "use std::net::{IpAddr, TcpStream};", "`std::net::TcpStream`"),
        ("src/store/a.rs", "use std::os::unix::net::UnixStream;", "socket"),
        ("src/pki/a.rs", "fn f() { std::fs::read(p) }", "no IO"),
        ("src/http/device/a.rs", "Answer::status(401)", "protocol/status"),
        ("src/service/a.rs", "StatusCode::FORBIDDEN", "protocol/status"),
        ("src/protocol/checkin.rs", "403_u16", "protocol/status"),
        ("src/service/a.rs", "println!(\"x\");", "outside cli"),
        ("src/cli/a.rs", "todo!()", "`todo!`"),
        ("src/cli/a.rs", "#[cfg(test)]\nmod tests { fn f() { dbg!(1); } }", "3: `dbg!`"),
        ("src/store/tests.rs", "use crate::service::x;", "goes upstairs"),
        ("src/store/mod.rs", "#[cfg(test)]\nmod tests;\nuse std::env;", "4: `std::env`"),
        ("src/service/a.rs", "#[cfg(test)]\nmod tests { use crate::cli::x; }", "3: `crate::cli::x` goes upstairs"),
    ];
    for (path, body, wanted) in cases {
        let found = found_in(path, body);
        assert!(found.iter().any(|line| line.contains(wanted)), "{path}: {body}\n  wanted {wanted}\n  found {found:?}");
    }
    assert!(check("src/base/a.rs", "use std::fmt;\n")[0].to_string().starts_with("src/base/a.rs:1: does not open"));
    assert!(found_in("src/base/a.rs", &"//\n".repeat(MAX_LINES))[0].contains("has 701 lines"));
}

#[test]
fn what_is_allowed_passes() {
    let cases: &[(&str, &str)] = &[
        ("src/lib.rs", "pub mod base;\nuse crate::cli::x;"),
        ("src/cli/serve.rs", "use crate::{base::ids, http::listen, service, simulator};\nprintln!(\"ready\");"),
        ("src/protocol/a.rs", "use crate::pki::x509;\nuse crate::plist::{Dict, parse_dict as parse};"),
        ("src/http/device/a.rs", "use crate::http::listen::Request;\nuse super::peer;\nlet n = 4013;"),
        ("src/http/api/a.rs", "Problem::status(403)"),
        ("src/http/listen/tls.rs", "use tokio::net::TcpListener;\nasync fn f() { g().await }"),
        ("src/apple/apns.rs", "use h2::client;"),
        ("src/apple/a.rs", "let t = std::time::Instant::now();"),
        ("src/protocol/status.rs", "Self::Unenroll => 401,"),
        ("src/protocol/push.rs", "(403, \"BadCertificate\") => Verdict::Pause,"),
        ("src/base/time.rs", "std::time::SystemTime::now()"),
        ("src/pki/a.rs", "use std::net::IpAddr;\nconst V: &str = env!(\"CARGO_PKG_VERSION\");"),
        ("src/store/a.rs", "use rusqlite::{params, Connection};\nuse std::fs::File;"),
        ("src/service/a.rs", "// use crate::cli::x; todo!()\n/* 401 /* dbg!() */ std::env */ fn f<'a>(x: &'a str) {}"),
        ("src/service/a.rs", "let s = \"crate::cli 401 \\\" todo!()\"; let c = '\"'; let r = r#\"std::env \" 403\"#;"),
        (
            "src/service/a.rs",
            "#[cfg(test)]\nmod tests { use super::*; fn f() { std::env::temp_dir(); assert!(401 != 1); } }",
        ),
        ("src/base/a.rs", "macro_rules! m { () => { $crate::base::ids } }\nlet r#type = 'x'; if a!=b {}"),
    ];
    for (path, body) in cases {
        assert_eq!(found_in(path, body), Vec::<String>::new(), "{path}: {body}");
    }
}
