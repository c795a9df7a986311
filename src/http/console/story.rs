//! What happened to a device, said in sentences: from the kinds of `store`'s timeline and their details.

use super::Visit;
use super::parts::{self, Html, link, quiet, row, text};
use super::texts::Words;
use crate::store::TimelineRow;
use serde_json::Value;

/// Lines with their times, newest first as they come.
pub fn list(v: &Visit<'_>, lines: &[TimelineRow]) -> Html {
    if lines.is_empty() {
        return parts::note(v.words.no_story);
    }
    let item = |line: &TimelineRow| {
        let detail: Value = line.detail.as_deref().and_then(|d| serde_json::from_str(d).ok()).unwrap_or_default();
        let mut said = vec![text(&sentence(v.words, &line.kind, &detail))];
        let more: Vec<&str> = ["reason", "possession", "why"].iter().filter_map(|key| detail[*key].as_str()).collect();
        if !more.is_empty() {
            said.push(quiet(&format!("“{}”", more.join("”, “"))));
        }
        if let Some(uuid) = &line.command {
            said.push(link(&format!("/console/commands/{}", parts::segment(uuid)), v.words.its_command));
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
        "queued" => w.story_queued,
        "sent" => w.story_sent,
        "NotNow" => w.story_not_now,
        "Acknowledged" => w.story_done,
        "CommandFormatError" => w.story_not_understood,
        "Error" => w.story_failed,
        "cancelled" => w.story_cancelled,
        "expired" => w.story_expired,
        "late-answer" => w.story_late,
        "already-sent" => w.story_already_sent,
        "Authenticate" => w.story_authenticate,
        "TokenUpdate" => w.story_token_update,
        "CheckOut" => w.story_check_out,
        "SetBootstrapToken" => w.story_set_bootstrap,
        "GetBootstrapToken" => w.story_get_bootstrap,
        "UserAuthenticate" => w.story_user_authenticate,
        "user-channel" => w.story_user_channel,
        "secret-kept" => w.story_secret_kept,
        "secret-revealed" => w.story_secret_revealed,
        "location-shown" => w.story_location_shown,
        "lost" => w.story_lost,
        "missing" => w.story_missing,
        "found" => w.story_found,
        "came-back" => w.story_came_back,
        "clone" => w.story_clone,
        "other-identity" => w.story_other_identity,
        "take-back" | "taken-back" => w.story_taken_back,
        "block" => w.story_block,
        "unblock" => w.story_unblock,
        "release" => w.story_release,
        "remove" => w.story_remove,
        "removed" => w.story_removed,
        "renewed" => w.story_renewed,
        "renewal-failed" => w.story_renewal_failed,
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

/// `admin:ada` is Ada to people.
pub fn person(actor: &str) -> &str {
    actor.strip_prefix("admin:").unwrap_or(actor)
}
