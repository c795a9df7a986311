//! The words of a letter: what an event means to a person, and what to do next. Read from the JSON that webhooks get too, so a letter never
//! says more than a webhook may.

use super::doctor::host_and_port;
use super::ports::Letter;
use super::{Context, Error, attention, school};
use crate::base::ids::short_code;
use crate::store::{MailDelivery, MailServerRow};
use serde_json::Value;

/// Letters of a subject that comes from outside.
const MAX_SUBJECT: usize = 150;

/// One letter for everything that waits; of more than `lines` only the number.
pub(super) fn warnings(
    cx: &Context,
    row: &MailServerRow,
    waiting: &[MailDelivery],
    lines: usize,
) -> Result<Letter, Error> {
    let said: Vec<String> = waiting.iter().take(lines).map(|one| words(&one.kind, &payload(one))).collect();
    let subject = match said.as_slice() {
        [one] => one.split_once(". ").map_or(one.as_str(), |(first, _)| first).trim_end_matches('.').to_owned(),
        _ => format!("{} warnings", waiting.len()),
    };
    let mut body = String::new();
    for (one, words) in waiting.iter().zip(&said) {
        body.push_str(&format!("{}\n{words}\n\n", one.at));
    }
    if waiting.len() > said.len() {
        body.push_str(&format!(
            "… and {} more; the audit and the console have them all.\n\n",
            waiting.len() - said.len()
        ));
    }
    letter(cx, row, &subject, body)
}

/// To try whether letters arrive.
pub(super) fn trial(cx: &Context, row: &MailServerRow) -> Result<Letter, Error> {
    let body = String::from(
        "This is a trial. Warnings about certificates that end, tokens, pushes, devices and this server will come here, in plain words and \
         with what to do.\n\n",
    );
    letter(cx, row, "a trial letter", body)
}

fn letter(cx: &Context, row: &MailServerRow, subject: &str, mut body: String) -> Result<Letter, Error> {
    let people = cx.urls().people;
    if !people.is_empty() {
        body.push_str(&format!("-- \nCordon: {people}/console\nWho gets these letters: {people}/console/mail\n"));
    }
    let host = host_and_port(&people).map(|(host, _)| host);
    let plain =
        |host: &String| !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b));
    let subject: String = subject.chars().take(MAX_SUBJECT).collect();
    Ok(Letter {
        hello: host.filter(plain).unwrap_or_else(|| String::from("localhost")),
        from: row.sender.clone(),
        to: row.recipients.clone(),
        subject: format!("{}: {subject}", school::find(cx)?.organization.unwrap_or_else(|| String::from("Cordon"))),
        body,
        at: cx.now(),
        id: format!("lt-{}", short_code(&cx.random_bytes::<16>())),
    })
}

fn payload(one: &MailDelivery) -> Value {
    serde_json::from_str(&one.payload).unwrap_or_default()
}

/// One event in words.
fn words(kind: &str, event: &Value) -> String {
    let text = |value: &Value| clean(value.as_str().unwrap_or_default());
    let device = match (&event["device"]["serial"], &event["device"]["id"]) {
        (Value::String(serial), _) => clean(serial),
        (_, id) => text(id),
    };
    match kind {
        "certificate.expiring" | "token.expiring" => {
            let what = if kind == "token.expiring" { &event["token"] } else { &event["certificate"] };
            let at = if kind == "token.expiring" { &what["expires_at"] } else { &what["not_after"] };
            let days = what["days_left"].as_i64().unwrap_or(0);
            let when = match days {
                ..0 => String::from("has ended"),
                0 => String::from("ends today"),
                1 => String::from("ends tomorrow"),
                days => format!("ends in {days} days"),
            };
            let day: String = text(at).chars().take(10).collect();
            format!("{} {when}, on {day}. {}", text(&what["title"]), text(&what["what"]))
        }
        "server.fault" if event["fault"]["over"] == true => {
            format!("It is over: {}. {}", text(&event["fault"]["job"]), text(&event["fault"]["detail"]))
        }
        "server.fault" => text(&event["fault"]["detail"]),
        "push.topic_paused" => format!(
            "Apple refuses the push certificate {}: {}. Devices hear nothing until it is renewed: cordon push-cert show",
            text(&event["push"]["topic"]),
            text(&event["push"]["why"])
        ),
        "push.dead" => format!(
            "{device} cannot be called any more: {}. It is served again when it connects by itself.",
            text(&event["push"]["why"])
        ),
        "device.attention" => attention::words(event["attention"]["kind"].as_str().unwrap_or_default(), &device),
        "device.inactive" => format!(
            "{device} is inactive: it was last heard of at {}. What may be the reason: cordon report inactive",
            text(&event["activity"]["last_seen_at"])
        ),
        "device.active_again" => format!("{device} is heard of again."),
        "device.checked_out" => format!("{device} says that its management was removed."),
        "device.enrolled" => format!("{device} has enrolled."),
        "command.error" => format!(
            "{device} could not do {}. What it said: cordon command show {}",
            text(&event["command"]["request_type"]),
            text(&event["command"]["uuid"])
        ),
        _ => {
            let command = text(&event["command"]["request_type"]);
            [kind.to_owned(), device, command].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
        }
    }
}

/// Names come from devices: one line each, and no longer than a line.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(600).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_in_plain_words() {
        let device = json!({ "id": "d-1", "serial": "C02X\nBcc: evil", "udid": null });
        let table = [
            (
                "certificate.expiring",
                json!({ "certificate": { "title": "The push certificate x", "days_left": 7, "not_after": "2026-11-29T00:00:00Z", "what": "Renew it." } }),
                "The push certificate x ends in 7 days, on 2026-11-29. Renew it.",
            ),
            (
                "token.expiring",
                json!({ "token": { "title": "The API token “t”", "days_left": -2, "expires_at": "2026-11-20T00:00:00Z", "what": "Make another." } }),
                "The API token “t” has ended, on 2026-11-20. Make another.",
            ),
            ("server.fault", json!({ "fault": { "job": "disk", "detail": "Full." } }), "Full."),
            ("device.active_again", json!({ "device": device }), "C02X Bcc: evil is heard of again."),
            (
                "command.sent",
                json!({ "device": { "id": "d-1" }, "command": { "request_type": "DeviceLock" } }),
                "command.sent d-1 DeviceLock",
            ),
        ];
        for (kind, event, wanted) in table {
            assert_eq!(words(kind, &event), wanted);
        }
        for kind in super::super::events::Kind::ALL {
            assert!(!words(kind.as_str(), &json!({})).contains('\n'));
        }
    }
}
