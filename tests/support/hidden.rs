//! Looking for secrets where none may be: in the files, a copy of them, the log, and every answer of the API.

use super::{School, journal};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon::store::copy_whole;
use serde_json::Value;
use std::fs;
use std::path::Path;

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

/// Everything that leaves the server's memory: files, a copy of the database as a backup takes it, log, API.
pub fn everything(school: &School) -> Vec<(String, Vec<u8>)> {
    let mut found = vec![("the log".to_owned(), journal::read())];
    found.extend(files(&school.directory()));
    let backup = tempfile::tempdir().unwrap();
    // Whether the copy of a file that is written to is whole does not matter here; what is in it does.
    drop(copy_whole(school.directory().join("cordon.db").as_path().into(), backup.path()));
    let copied = files(backup.path());
    assert!(!copied.is_empty(), "nothing was copied");
    found.extend(copied);
    let mut paths: Vec<String> = LISTS.map(|p| format!("/{p}")).into();
    let items = |list: &str| school.get(list)["items"].as_array().unwrap().clone();
    let text = |item: &Value, key: &str| item[key].as_str().unwrap().to_owned();
    for device in items("/devices") {
        let id = text(&device, "id");
        paths.extend(
            ["", "/secrets", "/explain", "/profiles", "/commands", "/provisioning", "/inventory?kind=fact", "/changes"]
                .map(|part| format!("/devices/{id}{part}")),
        );
    }
    for command in items("/commands") {
        let uuid = text(&command, "command_uuid");
        paths.extend([format!("/commands/{uuid}"), format!("/commands/{uuid}/explain")]);
    }
    paths.extend(items("/webhooks").iter().map(|hook| format!("/webhooks/{}/deliveries?limit=500", text(hook, "id"))));
    paths.extend(items("/profiles").iter().map(|profile| format!("/profiles/{}", text(profile, "id"))));
    paths.extend(items("/users").iter().map(|person| format!("/users/{}", text(person, "short_name"))));
    for path in paths {
        let reply = school.api("GET", &path, &Value::Null);
        assert!(reply.status == 200 || path == "/directory", "{path}: {}", reply.status);
        found.push((path, reply.body));
    }
    found
}

const LISTS: [&str; 37] = [
    "accounts",
    "bulk",
    "calendar",
    "inventory?kind=fact",
    "inventory/devices",
    "mail/log",
    "pairs",
    "provisioning",
    "schedules",
    "devices",
    "commands",
    "audit?limit=500",
    "audit/export",
    "audit/export?format=csv",
    "audit/verify",
    "push-certificates",
    "tokens",
    "admins",
    "users",
    "groups",
    "directory",
    "network-users",
    "profiles",
    "webhooks",
    "secret-requests",
    "certificates",
    "authorities",
    "key",
    "setup",
    "enrollment-policy",
    "enrollment-door",
    "invitations",
    "setup-plans",
    "login-policy",
    "device-policy",
    "attention",
    "retention",
];

/// Every file in a directory.
pub fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    paths.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect()
}

/// Whether these digits stand there for themselves, in clear or as base64: a part of a longer number or of a fraction is another.
pub fn holds_pin(hay: &[u8], pin: &str) -> bool {
    let alone = |at: usize| {
        let before = at.checked_sub(1).and_then(|i| hay.get(i)).copied().unwrap_or(b' ');
        let after = hay.get(at + pin.len()).copied().unwrap_or(b' ');
        !before.is_ascii_alphanumeric() && before != b'.' && !after.is_ascii_alphanumeric()
    };
    hay.windows(pin.len()).enumerate().any(|(at, w)| w == pin.as_bytes() && alone(at))
        || holds(hay, STANDARD.encode(pin).as_bytes())
}

pub fn assert_pin_hidden(places: &[(String, Vec<u8>)], what: &str, pin: &str) {
    for (place, content) in places {
        assert!(!holds_pin(content, pin), "{what} shows in {place}");
    }
}

pub fn assert_hidden(school: &School, what: &str, secret: &[u8]) {
    assert_hidden_in(&everything(school), what, secret);
}

pub fn assert_hidden_in(places: &[(String, Vec<u8>)], what: &str, secret: &[u8]) {
    let traces = traces(secret);
    for (place, content) in places {
        assert!(!traces.iter().any(|trace| holds(content, trace)), "{what} shows in {place}");
    }
}
