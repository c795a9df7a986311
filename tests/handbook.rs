//! The handbook against the program: every command line in README, docs, CHANGELOG and `--help` is one that the program takes, every key
//! of the configuration, every address of the API and every path in the source is there.
//!
//! What a page promises beyond that, the journeys show.

use crate::people::House;
use clap::{Command, CommandFactory};
use cordon::cli::args::Cli;
use cordon::http::message::Door;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// One page: its name and its text.
fn pages() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let handbook = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let own = ["README.md", "CHANGELOG.md", "ARCHITECTURE.md"].map(|name| root.join(name));
    let mut paths: Vec<PathBuf> = handbook.chain(own).filter(|p| p.extension().is_some_and(|e| e == "md")).collect();
    paths.sort();
    let shown = |path: &Path| path.strip_prefix(root).unwrap().display().to_string();
    paths.iter().map(|path| (shown(path), fs::read_to_string(path).unwrap())).collect()
}

/// Lines that are to be typed: indented by four or in a fence, those that end in a backslash joined.
fn blocks(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut fenced, mut begun) = (false, String::new());
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if !fenced && !line.starts_with("    ") && begun.is_empty() {
            continue;
        }
        begun.push_str(line.trim().trim_start_matches("$ ").trim_start_matches("sudo "));
        if begun.ends_with('\\') {
            begun.pop();
            continue;
        }
        found.push(std::mem::take(&mut begun));
    }
    found
}

/// What stands between backticks in running text, also over the end of a line.
fn spans(page: &str) -> Vec<String> {
    let text: Vec<&str> = page.lines().filter(|line| !line.starts_with("    ") && !line.starts_with("```")).collect();
    let text = text.join(" ");
    text.split('`').skip(1).step_by(2).map(|span| span.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// Words as a shell cuts them, up to what is the shell's own, and up to two blanks: after these a page explains the line.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut open) = (Vec::new(), String::new(), None, false);
    let mut before = 'c';
    for c in line.chars() {
        let is_over = quote.is_none() && before == ' ' && c == ' ';
        before = c;
        if is_over {
            break;
        }
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => (quote, open) = (Some(c), true),
            (None, '|' | '>' | ';' | '&' | '#') if word.is_empty() => break,
            (None, ' ') => {
                if open || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                open = false;
            }
            (None, c) => word.push(c),
        }
    }
    if open || !word.is_empty() {
        words.push(word);
    }
    words
}

/// A whole line: the program takes it.
fn is_taken(line: &str) -> Result<(), String> {
    let words = words(line);
    match Cli::command().try_get_matches_from(&words) {
        Ok(_) => Ok(()),
        Err(told) if told.exit_code() == 0 => Ok(()),
        Err(told) => Err(told.to_string().lines().next().unwrap_or_default().to_owned()),
    }
}

/// A mention: the subcommands are there, and take the options that are named; what must be said beside them may be left out.
fn is_known(span: &str) -> Result<(), String> {
    let mut top = Cli::command();
    top.build();
    let mut command: &Command = &top;
    for word in words(span).iter().skip(1) {
        let name = word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        if let Some(option) = name.strip_prefix("--").map(|o| o.split('=').next().unwrap_or(o)) {
            let takes = |command: &Command| command.get_arguments().any(|arg| arg.get_long() == Some(option));
            let below = command.get_subcommands().any(takes);
            if !takes(command) && !below && !["help", "version"].contains(&option) {
                return Err(format!("{} has no --{option}", command.get_name()));
            }
        } else if let Some(sub) = command.find_subcommand(name) {
            command = sub;
        } else if command.has_subcommands()
            && name.chars().all(|c| c.is_ascii_lowercase() || c == '-')
            && !name.is_empty()
        {
            return Err(format!("{} has no subcommand {name}", command.get_name()));
        }
    }
    Ok(())
}

#[test]
fn every_command_line_is_one_that_the_program_takes() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for (page, text) in pages() {
        for line in blocks(&text).iter().filter(|line| line.starts_with("cordon ")) {
            seen += 1;
            if let Err(why) = is_taken(line) {
                wrong.push(format!("{page}: {line}: {why}"));
            }
        }
        for span in spans(&text).iter().filter(|span| span.starts_with("cordon ")) {
            seen += 1;
            if let Err(why) = is_known(span) {
                wrong.push(format!("{page}: `{span}`: {why}"));
            }
        }
    }
    assert!(seen > 150, "only {seen} found: do the pages look different by now?");
    assert!(wrong.is_empty(), "{} line(s):\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_example_of_the_help_is_one_that_the_program_takes() {
    fn walk(command: &Command, wrong: &mut Vec<String>) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let indented: String = help.lines().map(|line| format!("    {line}\n")).collect();
        for line in blocks(&indented).iter().filter(|line| line.starts_with("cordon ")) {
            if let Err(why) = is_taken(line) {
                wrong.push(format!("{line}: {why}"));
            }
        }
        command.get_subcommands().for_each(|sub| walk(sub, wrong));
    }
    let mut wrong = Vec::new();
    walk(&Cli::command(), &mut wrong);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_key_of_the_configuration_is_one() {
    let known = include_str!("../src/cli/config.rs");
    let sections = ["public", "listen", "proxy", "tls", "apple", "log", "webhooks", "mdmcert"];
    let mut wrong = Vec::new();
    for (page, text) in pages() {
        for span in spans(&text) {
            let key = span.split([' ', '=']).next().unwrap_or_default();
            let is_key = key.split_once('.').is_some_and(|(section, rest)| {
                sections.contains(&section) && rest.chars().all(|c| c.is_ascii_lowercase() || c == '_')
            });
            if is_key && !known.contains(&format!("\"{key}\"")) {
                wrong.push(format!("{page}: `{key}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "no such key:\n{}", wrong.join("\n"));
}

#[test]
fn every_address_of_the_api_is_one() {
    let house = House::new();
    let document =
        house.send(Door::Control, "127.0.0.1:1", Default::default(), "GET", "/api/v1/openapi.json", &Value::Null).body;
    let paths: Vec<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let fits = |known: &str, said: &str| {
        let (known, said): (Vec<_>, Vec<_>) = (known.split('/').collect(), said.split('/').collect());
        known.len() == said.len() && known.iter().zip(&said).all(|(k, s)| k.starts_with('{') || k == s)
    };
    let mut wrong = Vec::new();
    for (page, text) in pages() {
        for span in spans(&text).into_iter().chain(blocks(&text)) {
            for (at, _) in span.match_indices("/api/v1/") {
                let said = &span[at + "/api/v1".len()..];
                let said = said.split([' ', '?', '\'', '"', ',', ')']).next().unwrap_or_default();
                let is_whole = !said.contains('…') && said != "/";
                if is_whole && said != "/openapi.json" && !paths.iter().any(|known| fits(known, said)) {
                    wrong.push(format!("{page}: {said}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "no such address:\n{}", wrong.join("\n"));
}

#[test]
fn every_link_and_every_path_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    for (page, text) in pages() {
        let here = root.join(&page).parent().unwrap().to_owned();
        for (at, _) in text.match_indices("](") {
            let link = text[at + 2..].split([')', '#']).next().unwrap_or_default();
            if !link.is_empty() && !link.contains("://") && !here.join(link).exists() {
                wrong.push(format!("{page}: {link}"));
            }
        }
        for span in spans(&text) {
            let starts = ["src/", "tests/", "docs/", "scripts/", "fuzz/", "packaging/", ".ci/"];
            let is_path = starts.iter().any(|start| span.starts_with(start)) && !span.contains([' ', '*', '…']);
            if is_path && !root.join(&span).exists() {
                wrong.push(format!("{page}: {span}"));
            }
        }
    }
    // The rooms of the plan are there, and what is there is in the plan.
    let plan = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    for entry in fs::read_dir(root.join("src")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if !["lib", "main"].contains(&name.as_str()) && !plan.contains(&format!("| `{name}` |")) {
            wrong.push(format!("ARCHITECTURE.md does not have the room {name}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_search_can_fail() {
    assert!(is_taken("cordon device list --search 'a b' | head").is_ok());
    for bad in ["cordon device lst", "cordon device list --colour", "cordon device show"] {
        assert!(is_taken(bad).is_err(), "{bad}");
    }
    assert!(is_known("cordon device show").is_ok() && is_known("cordon device list --search").is_ok());
    for bad in ["cordon teleport", "cordon device lst", "cordon device list --colour"] {
        assert!(is_known(bad).is_err(), "{bad}");
    }
    assert_eq!(blocks("a\n    cordon x \\\n      --y\n").len(), 1);
    assert_eq!(spans("say `a\nb` and `c`"), ["a b", "c"]);
}
