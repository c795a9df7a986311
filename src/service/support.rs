//! The support bundle: what somebody who helps needs to know, and nothing that names the school, its people or its devices. It is built from
//! numbers and sentences only; names that the school knows are taken out of the sentences, and addresses too.

use super::actor::{Actor, Permission};
use super::{Context, Error, auditing, doctor, expiry, health, school};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Shorter names are parts of ordinary words, and of no use to whoever reads them.
const SHORTEST: usize = 3;
/// Keys of the configuration whose values name nothing.
const PLAIN: [&str; 5] = ["tls.mode", "tls.publicly_trusted", "proxy.forwards_certificate", "log.format", "log.level"];

/// Makes the bundle; safe to be sent by mail.
///
/// # Errors
/// `Denied` for anybody but an owner.
pub fn bundle(cx: &Context, actor: &Actor) -> Result<Value, Error> {
    actor.require(Permission::Administer)?;
    let now = cx.now();
    let scrub = Scrub::of(cx)?;
    let findings: Vec<Value> = doctor::examine(cx, actor)?
        .into_iter()
        .map(|f| {
            let next = f.next.as_deref().map(|next| scrub.apply(next));
            json!({ "phase": f.phase, "verdict": f.verdict.as_str(), "words": scrub.apply(&f.words), "next": next })
        })
        .collect();
    let reasons: Vec<String> = health::examine(cx)?.reasons.iter().map(|why| scrub.apply(why)).collect();
    let ends: Vec<Value> = expiry::entries(cx)?
        .iter()
        .map(|entry| json!({ "kind": entry.kind, "days_left": entry.days_left(now), "count": entry.count }))
        .collect();
    let gauges = health::gauges(cx)?;
    let (queued, sent, not_now) = gauges.commands;
    let systems: Vec<Value> = cx
        .store
        .read(|db| db.count_systems())?
        .into_iter()
        .map(|(platform, version, count)| json!({ "platform": platform, "os_version": version, "devices": count }))
        .collect();
    cx.store.write(|tx| auditing::record(tx, actor, "support-bundle", None, None, now))?;
    Ok(json!({
        "cordon": env!("CARGO_PKG_VERSION"),
        "made_at": now.to_string(),
        "schema_version": cx.store.schema_version()?,
        "configuration": configuration(&school::find_configuration(cx)?),
        "health": reasons,
        "doctor": findings,
        "ends": ends,
        "devices": { "started": gauges.devices.0, "active": gauges.devices.1, "gone": gauges.devices.2, "seen_in_a_day": gauges.seen_in_a_day },
        "user_channels": gauges.user_channels,
        "systems": systems,
        "commands": { "Queued": queued, "Sent": sent, "NotNow": not_now },
        "pushes_owed": gauges.pushes_owed,
        "dead_tokens": gauges.dead_tokens,
        "webhooks_waiting": gauges.webhooks_waiting,
        "attention": gauges.attention,
        "database_bytes": gauges.database_bytes,
        "free_bytes": cx.store.free_space()?,
    }))
}

/// Which keys are set; values only where they name nothing, of listeners the port.
fn configuration(said: &Value) -> Value {
    let mut shown = serde_json::Map::new();
    for (key, values) in said.as_object().into_iter().flatten() {
        let text = values[0].as_str().unwrap_or_default();
        let value = if PLAIN.contains(&key.as_str()) {
            json!(text)
        } else if key.starts_with("listen.") {
            json!(text.rsplit(':').next().unwrap_or_default())
        } else {
            json!("set")
        };
        shown.insert(key.clone(), value);
    }
    Value::Object(shown)
}

/// What names the school, its people and its devices, longest first.
struct Scrub(Vec<(String, &'static str)>);

impl Scrub {
    fn of(cx: &Context) -> Result<Scrub, Error> {
        let mut names: BTreeSet<(String, &'static str)> = BTreeSet::new();
        let mut add = |text: Option<&str>, word: &'static str| {
            if let Some(text) = text.map(str::trim).filter(|text| text.chars().count() >= SHORTEST) {
                names.insert((text.to_lowercase(), word));
            }
        };
        let known = school::find(cx)?;
        add(known.organization.as_deref(), "SCHOOL");
        add(known.hostname.as_deref().filter(|host| *host != "localhost"), "HOST");
        let urls = cx.urls();
        for url in [&urls.people, &urls.devices, &urls.trust] {
            let host = doctor::host_and_port(url).map(|(host, _)| host).filter(|host| host != "localhost");
            add(host.as_deref(), "HOST");
        }
        if let Some(world) = cx.surroundings() {
            add(world.configured_hostname().filter(|host| host != "localhost").as_deref(), "HOST");
        }
        add(cx.store.path().parent().and_then(|path| path.to_str()), "DATA_DIR");
        add(cx.machine_key_path.to_str(), "MACHINE_KEY");
        cx.store.read(|db| {
            for row in db.list_push_certificates()? {
                add(Some(&row.topic), "TOPIC");
                add(row.apple_account.as_deref(), "ACCOUNT");
            }
            db.list_admins()?.iter().for_each(|admin| add(Some(&admin.name), "ADMIN"));
            db.list_tokens()?.iter().for_each(|token| add(Some(&token.name), "TOKEN"));
            for (text, word) in db.list_names()? {
                add(Some(&text), word);
            }
            Ok::<_, Error>(())
        })?;
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        Ok(Scrub(names))
    }

    fn apply(&self, words: &str) -> String {
        let mut out = words.to_owned();
        for (name, word) in &self.0 {
            // Lower-casing changes lengths in a few alphabets; then the whole sentence goes rather than a part of a name stays.
            let lower = out.to_lowercase();
            if lower.len() != out.len() {
                if lower.contains(name) {
                    return String::from("(left out: it names somebody or something of the school)");
                }
                continue;
            }
            let places: Vec<usize> = lower.match_indices(name.as_str()).map(|(at, _)| at).collect();
            for at in places.into_iter().rev() {
                if out.is_char_boundary(at) && out.is_char_boundary(at + name.len()) {
                    out.replace_range(at..at + name.len(), word);
                }
            }
        }
        out.split(' ').map(address).collect::<Vec<_>>().join(" ")
    }
}

/// A word that is an address of some machine, with or without a port, becomes ADDRESS.
fn address(word: &str) -> String {
    let bare = word.trim_matches(|c: char| !(c.is_ascii_hexdigit() || c == ':' || c == '['));
    let host = bare.trim_start_matches('[').split(']').next().unwrap_or_default();
    let four = host.rsplit_once(':').map_or(host, |(host, _)| host);
    let found = [host, four].into_iter().find_map(|text| text.parse::<IpAddr>().ok().map(|ip| (text.to_owned(), ip)));
    match found {
        Some((text, ip)) if !ip.is_loopback() && !ip.is_unspecified() => word.replace(&text, "ADDRESS"),
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_go_and_sentences_stay() {
        let scrub = Scrub(vec![
            (String::from("mdm.hill.example"), "HOST"),
            (String::from("hill school"), "SCHOOL"),
            (String::from("ada"), "ADMIN"),
        ]);
        let table = [
            ("Nobody can find mdm.hill.example: no such name.", "Nobody can find HOST: no such name."),
            ("O=Hill School, cared for by Ada", "O=SCHOOL, cared for by ADMIN"),
            ("MDM.hill.Example is 192.168.7.5, 2001:db8::1.", "HOST is ADDRESS, ADDRESS."),
            ("listens on 10.0.0.1:8443 and [2001:db8::1]:443.", "listens on ADDRESS:8443 and [ADDRESS]:443."),
            ("listens on 127.0.0.1:8443.", "listens on 127.0.0.1:8443."),
            ("17 MB are free at 12:30.", "17 MB are free at 12:30."),
        ];
        for (said, wanted) in table {
            assert_eq!(scrub.apply(said), wanted);
        }
        let said = json!({ "listen.people": ["mdm.hill.example:8443"], "tls.mode": ["files"], "tls.cert_file": ["/home/ada/c.pem"] });
        let shown = configuration(&said).to_string();
        assert!(
            shown.contains("8443") && shown.contains("files") && !shown.contains("hill") && !shown.contains("ada"),
            "{shown}"
        );
    }
}
