//! What happened to a device, said in sentences: from the kinds of `store`'s timeline and their details.

use super::Visit;
use super::parts::{self, Html, link, quiet, row, text};
use super::texts::Words;
use crate::store::TimelineRow;
use serde_json::Value;
use std::collections::HashMap;

/// Lines with their times, newest first as they come.
pub fn list(v: &Visit<'_>, lines: &[TimelineRow]) -> Html {
    if lines.is_empty() {
        return parts::note(v.words.no_story);
    }
    let read = |line: &TimelineRow| -> Value {
        line.detail.as_deref().and_then(|detail| serde_json::from_str(detail).ok()).unwrap_or_default()
    };
    // What was asked for is told once; every line about it says its name.
    let names: HashMap<&str, String> = lines
        .iter()
        .filter_map(|line| Some((line.command.as_deref()?, read(line)["RequestType"].as_str()?.to_owned())))
        .collect();
    let item = |line: &TimelineRow| {
        let mut detail = read(line);
        let name = line.command.as_deref().and_then(|uuid| names.get(uuid)).map(|name| v.words.request(name));
        let mut by = None;
        if let (Some(_), Some(told)) = (&name, detail.as_object_mut()) {
            told.remove("RequestType");
            by = told.remove("by");
        }
        let mut said = vec![text(&sentence(v.words, &line.kind, &detail))];
        if let Some(uuid) = &line.command {
            let name = name.as_deref().unwrap_or(v.words.its_command);
            said.push(link(&format!("/console/commands/{}", parts::segment(uuid)), name));
        }
        said.extend(by.as_ref().and_then(Value::as_str).map(|by| quiet(&format!("({})", person(by)))));
        let more: Vec<&str> = ["reason", "possession", "why"].iter().filter_map(|key| detail[*key].as_str()).collect();
        if !more.is_empty() {
            said.push(quiet(&format!("“{}”", more.join("”, “"))));
        }
        (parts::when(line.at, v.now), row(said))
    };
    parts::story(lines.iter().map(item))
}

/// One line, in words.
pub fn sentence(w: &'static Words, kind: &str, detail: &Value) -> String {
    let what = detail["RequestType"].as_str().map(|name| w.request(name)).unwrap_or_default();
    let by = detail["by"].as_str().map(person).unwrap_or_default();
    let words = match kind {
        "queued" => w.tale.story_queued,
        "sent" => w.tale.story_sent,
        "NotNow" => w.tale.story_not_now,
        "Acknowledged" => w.tale.story_done,
        "CommandFormatError" => w.tale.story_not_understood,
        "Error" => w.tale.story_failed,
        "cancelled" => w.tale.story_cancelled,
        "expired" => w.tale.story_expired,
        "late-answer" => w.tale.story_late,
        "already-sent" => w.tale.story_already_sent,
        "Authenticate" => w.tale.story_authenticate,
        "TokenUpdate" => w.tale.story_token_update,
        "CheckOut" => w.tale.story_check_out,
        "SetBootstrapToken" => w.tale.story_set_bootstrap,
        "GetBootstrapToken" => w.tale.story_get_bootstrap,
        "UserAuthenticate" => w.tale.story_user_authenticate,
        "user-channel" => w.tale.story_user_channel,
        "secret-kept" => w.tale.story_secret_kept,
        "secret-revealed" => w.tale.story_secret_revealed,
        "location-shown" => w.tale.story_location_shown,
        "lost" => w.tale.story_lost,
        "missing" => w.tale.story_missing,
        "found" => w.tale.story_found,
        "came-back" => w.tale.story_came_back,
        "clone" => w.tale.story_clone,
        "other-identity" => w.tale.story_other_identity,
        "take-back" | "taken-back" => w.tale.story_taken_back,
        "block" => w.tale.story_block,
        "unblock" => w.tale.story_unblock,
        "release" => w.tale.story_release,
        "remove" => w.tale.story_remove,
        "removed" => w.tale.story_removed,
        "renewed" => w.tale.story_renewed,
        "renewal-failed" => w.tale.story_renewal_failed,
        other => return with(other.replace('-', " "), &what, by),
    };
    with(words.to_owned(), &what, by)
}

fn with(words: String, what: &str, by: &str) -> String {
    let mut said = words;
    if !what.is_empty() {
        said = format!("{said}: {what}");
    }
    if !by.is_empty() {
        said = format!("{said} ({by})");
    }
    said
}

/// `admin:ada` is Ada to people, and what no person asked for was Cordon's own doing.
pub fn person(actor: &str) -> &str {
    if actor.starts_with("job:") {
        return "Cordon";
    }
    ["admin:", "local:"].into_iter().find_map(|kind| actor.strip_prefix(kind)).unwrap_or(actor)
}
