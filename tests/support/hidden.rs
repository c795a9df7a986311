//! Looking for secrets where none may be: in the files, the log, and every answer of the API.

use super::{School, journal};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fs;

/// How a secret could show, whole or in part, in any alignment.
fn traces(secret: &[u8]) -> Vec<Vec<u8>> {
    let n = secret.len().min(16);
    let mut traces: Vec<Vec<u8>> =
        [0, (secret.len() - n) / 2, secret.len() - n].iter().map(|at| secret[*at..at + n].to_vec()).collect();
    traces.extend([hex::encode(&secret[..n]).into_bytes(), hex::encode_upper(&secret[..n]).into_bytes()]);
    traces.extend((0..3).map(|skip| {
        let text = STANDARD.encode(&secret[skip..]);
        // The last characters depend on what follows.
        text.as_bytes()[..text.len().min(24) - 4].to_vec()
    }));
    traces
}

pub fn holds(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|w| w == needle)
}

/// Everything that leaves the server's memory: files, log, API.
pub fn everything(school: &School) -> Vec<(String, Vec<u8>)> {
    let mut found = vec![("the log".to_owned(), journal::read())];
    for entry in fs::read_dir(school.directory()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    let mut paths: Vec<String> =
        ["devices", "commands", "audit?limit=500", "push-certificates", "tokens", "secret-requests"]
            .map(|p| format!("/{p}"))
            .into();
    for device in school.get("/devices")["items"].as_array().unwrap() {
        let id = device["id"].as_str().unwrap();
        paths.extend([format!("/devices/{id}"), format!("/devices/{id}/secrets")]);
    }
    for command in school.get("/commands")["items"].as_array().unwrap() {
        let uuid = command["command_uuid"].as_str().unwrap();
        paths.extend([format!("/commands/{uuid}"), format!("/commands/{uuid}/explain")]);
    }
    found.extend(paths.iter().map(|path| (path.clone(), school.get(path).to_string().into_bytes())));
    found
}

pub fn assert_hidden(school: &School, what: &str, secret: &[u8]) {
    let traces = traces(secret);
    for (place, content) in everything(school) {
        assert!(!traces.iter().any(|trace| holds(&content, trace)), "{what} shows in {place}");
    }
}
