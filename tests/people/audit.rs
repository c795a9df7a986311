//! The audit, told from outside: what it holds of each deed, what it keeps of refusals, and that no change to it goes unseen.

use super::{House, PASSWORD};
use crate::support::School;
use cordon::base::time::{HOUR, SECOND};
use cordon::http::message::Door;
use cordon::service::auditing::{self, Verdict, export};
use cordon::service::founding::{self, Place};
use cordon::simulator::spec::Kind;
use cordon::store::{AuditFilter, AuditRow};
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

fn rows(house: &House) -> Vec<AuditRow> {
    auditing::list(&house.cx, &House::local(), &AuditFilter::first(10_000)).unwrap()
}

fn of_verb(house: &House, verb: &str) -> Vec<AuditRow> {
    rows(house).into_iter().filter(|row| row.entry.verb == verb).collect()
}

#[test]
fn each_record_says_who_what_on_which_device_why_from_where_and_how_it_ended() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    let udid = ipad.udid();
    let id = school.device(&ipad)["id"].as_str().unwrap().to_owned();
    let reveal = format!("/devices/{udid}/secrets/unlock-token/reveal");
    school.api("POST", &reveal, &json!({ "reason": "the principal asked for it" })).is(200);
    school.api("POST", &reveal, &json!({ "reason": "short" })).is_problem(400, "reason-needed");
    let token = school.token("admin");
    school
        .https(Some(&token), "POST", &format!("/api/v1{reveal}"), &json!({ "reason": "a script is curious" }))
        .is_problem(403, "not-for-scripts");
    let clear = json!({ "RequestType": "ClearPasscode" });
    school
        .https(Some(&token), "POST", &format!("/api/v1/devices/{udid}/commands"), &clear)
        .is_problem(400, "possession-needed");
    let told: Vec<Value> = school.get(&format!("/audit?device={udid}&limit=500"))["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["verb"] == "secret.reveal" || row["result"] == "refused")
        .map(|row| {
            json!([
                row["actor"],
                row["origin"],
                row["verb"],
                row["device"],
                row["reason"],
                row["result"],
                row["detail"]["why"]
            ])
        })
        .collect();
    let me = format!("local:{}", cordon::http::control::user_name(rustix::process::geteuid().as_raw()));
    assert_eq!(
        told,
        [
            json!([me, "local", "secret.reveal", id, "the principal asked for it", "done", null]),
            json!([me, "local", "secret.reveal", id, "short", "refused", "reason-needed"]),
            json!([
                "token:admin",
                "127.0.0.1",
                "secret.reveal",
                id,
                "a script is curious",
                "refused",
                "not-for-scripts"
            ]),
            json!(["token:admin", "127.0.0.1", "command.send", id, null, "refused", "possession-needed"]),
        ]
    );
    assert_eq!(school.get("/audit?result=refused&verb=secret")["items"].as_array().unwrap().len(), 2);
    assert_eq!(school.get("/audit?actor=token:admin")["items"].as_array().unwrap().len(), 2);
    let verdict = school.get("/audit/verify");
    assert!(verdict["broken_at"].is_null() && verdict["cut_before"].is_null(), "{verdict}");
}

#[test]
fn what_is_refused_is_kept_but_fills_no_disk() {
    let house = House::new();
    house.person("hal", "helpdesk");
    let token = house.login("hal");
    for _ in 0..500 {
        assert_eq!(house.ask(Some(&token), "GET", "/api/v1/audit", &Value::Null).status, 403);
    }
    let kept = of_verb(&house, "request");
    assert_eq!(kept.len(), 60);
    let entry = &kept[0].entry;
    assert_eq!((entry.actor.as_str(), entry.origin.as_str(), entry.done), ("admin:hal", "192.0.2.7", false));
    assert!(entry.detail.as_deref().unwrap().contains("\"/audit\""), "{entry:?}");
    house.clock.advance(HOUR + SECOND);
    auditing::flush(&house.cx).unwrap();
    let left_out = &of_verb(&house, "audit.refusals-left-out")[0].entry;
    assert_eq!((left_out.actor.as_str(), left_out.detail.as_deref()), ("admin:hal", Some("{\"count\":440}")));
    let token = house.login("hal");
    house.ask(Some(&token), "GET", "/api/v1/audit", &Value::Null);
    assert_eq!(of_verb(&house, "request").len(), 61, "the next hour counts anew");
    // Nobody known, nothing written; and no login fails so often that it would matter.
    let before = rows(&house).len();
    for _ in 0..200 {
        house.ask(Some("cordon_wrong"), "GET", "/api/v1/audit", &Value::Null);
        house.try_login("hal", "wrong");
        house.try_login("nobody", "wrong");
    }
    house.cx.flush_seen().unwrap();
    let failed = of_verb(&house, "admin.login-failed");
    assert_eq!((failed.len(), rows(&house).len() - before), (5, 5));
    let entry = &failed[0].entry;
    assert_eq!((entry.actor.as_str(), entry.origin.as_str(), entry.done), ("admin:hal", "192.0.2.7", false));
}

#[test]
fn behind_a_proxy_its_word_counts_only_when_it_is_trusted() {
    let house = House::new();
    house.person("ada", "owner");
    let token = house.login("ada");
    for (from, wanted) in [("127.0.0.1:9", "198.51.100.7 via 127.0.0.1"), ("192.0.2.99:9", "proxy 192.0.2.99")] {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
        headers.insert("x-forwarded-for", HeaderValue::from_static("10.0.0.1, 198.51.100.7"));
        let body = json!({ "name": "t", "role": "auditor" });
        assert_eq!(house.send(Door::Proxied, from, headers, "POST", "/api/v1/tokens", &body).status, 201);
        assert_eq!(of_verb(&house, "token.create").pop().unwrap().entry.origin, wanted);
    }
}

#[test]
fn an_export_is_checked_without_a_server_and_tells_any_change() {
    let school = School::new();
    for i in 0..30 {
        school.api("POST", "/tokens", &json!({ "name": format!("=cmd, \"{i}\" +"), "role": "auditor" })).is(201);
    }
    school.token("auditor");
    let folder = tempfile::tempdir().unwrap();
    let cordon = |args: &[&str]| {
        let data_dir = school.directory();
        let out = Command::new(env!("CARGO_BIN_EXE_cordon"))
            .args(["--data-dir", data_dir.to_str().unwrap()])
            .args(args)
            .output()
            .unwrap();
        (out.status.code().unwrap(), String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap())
    };
    for name in ["audit.jsonl", "audit.csv"] {
        let path = folder.path().join(name);
        let (code, said, err) = cordon(&["audit", "export", "--output", path.to_str().unwrap(), "--json"]);
        assert_eq!(code, 0, "{err}");
        let made: Value = serde_json::from_str(&said).unwrap();
        let head = school.get("/audit/verify")["head"].as_str().unwrap().to_owned();
        assert_eq!(made["head"], head.as_str());
        assert_eq!(cordon(&["audit", "export", "--output", path.to_str().unwrap()]).0, 1, "nothing is written over");
        let check = |path: &Path| {
            let out = Command::new(env!("CARGO_BIN_EXE_cordon"))
                .args(["audit", "verify", "--json", "--file", path.to_str().unwrap()])
                .output()
                .unwrap();
            (out.status.code().unwrap(), serde_json::from_slice::<Value>(&out.stdout).unwrap())
        };
        let (code, found) = check(&path);
        assert_eq!(
            (code, &found["head"], &found["rows"], &found["gaps"]),
            (0, &made["head"], &made["rows"], &json!(0))
        );
        let text = std::fs::read_to_string(&path).unwrap();
        let edited = text.replacen("auditor", "owner", 1);
        assert_ne!(edited, text);
        let path = folder.path().join(format!("edited-{name}"));
        std::fs::write(&path, edited).unwrap();
        assert_eq!(check(&path).0, 1);
    }
    // The same over HTTP, for scripts.
    let token = school.token("auditor");
    for (format, kind) in [("jsonl", "application/jsonl"), ("csv", "text/csv; charset=utf-8")] {
        let reply = school.https(
            Some(&token),
            "GET",
            &format!("/api/v1/audit/export?format={format}&verb=token"),
            &Value::Null,
        );
        assert!(reply.headers.iter().any(|(n, v)| n == "content-type" && v == kind), "{:?}", reply.headers);
        let found = export::verify(&reply.text()).unwrap();
        assert!(found.broken_line.is_none() && found.rows >= 2, "{found:?}");
    }
}

// ---- tampering with the file itself

/// A closed school with some history; returns how many records it has.
fn school_with_history(directory: &Path) -> i64 {
    let clock = Arc::new(cordon::base::time::SystemClock);
    let cx = founding::open(&Place::in_directory(directory), clock, Arc::new(cordon::pki::SystemRandom)).unwrap();
    let ada = House::local();
    for i in 0..12 {
        cordon::service::tokens::create(&cx, &ada, &format!("t{i}"), "auditor", None).unwrap();
        if i == 5 {
            auditing::flush(&cx).unwrap();
        }
    }
    let count = auditing::verify(&cx, &ada).unwrap().rows;
    cx.store.close().unwrap();
    count
}

fn verdict(directory: &Path) -> Verdict {
    let clock = Arc::new(cordon::base::time::SystemClock);
    let cx = founding::open(&Place::in_directory(directory), clock, Arc::new(cordon::pki::SystemRandom)).unwrap();
    // The running server goes on noting how far it has come; that must not heal what somebody did.
    auditing::flush(&cx).unwrap();
    let verdict = auditing::verify(&cx, &House::local()).unwrap();
    cx.store.close().unwrap();
    verdict
}

/// What somebody with the file and SQL can do to it.
#[derive(Debug, Clone)]
enum Harm {
    Edit {
        row: prop::sample::Index,
        column: &'static str,
    },
    Remove {
        row: prop::sample::Index,
    },
    Swap {
        one: prop::sample::Index,
        other: prop::sample::Index,
    },
    /// The last rows, and SQLite's own count with them.
    CutOff {
        rows: i64,
    },
    /// The last rows, then others in their place.
    Truncate {
        rows: i64,
    },
    Insert,
}

fn harm() -> impl Strategy<Value = Harm> {
    let columns =
        ["at", "actor", "origin", "verb", "subject", "device", "reason", "result", "detail", "previous", "hash"];
    let row = any::<prop::sample::Index>;
    prop_oneof![
        (row(), prop::sample::select(columns.to_vec())).prop_map(|(row, column)| Harm::Edit { row, column }),
        row().prop_map(|row| Harm::Remove { row }),
        (row(), row()).prop_map(|(one, other)| Harm::Swap { one, other }),
        (1..12_i64).prop_map(|rows| Harm::Truncate { rows }),
        // Beyond the last sealed note.
        (7..12_i64).prop_map(|rows| Harm::CutOff { rows }),
        Just(Harm::Insert),
    ]
}

/// `false` when nothing is different afterwards.
fn inflict(directory: &Path, harm: &Harm, count: i64) -> bool {
    let db = Connection::open(directory.join("cordon.db")).unwrap();
    let seq = |index: &prop::sample::Index| index.index(count as usize) as i64 + 1;
    let run = |sql: String| db.execute(&sql, []).unwrap();
    match harm {
        Harm::Edit { row, column } => {
            let new = match *column {
                "at" => "at + 1",
                "result" => "CASE result WHEN 'done' THEN 'refused' ELSE 'done' END",
                "previous" | "hash" => "randomblob(32)",
                "subject" | "device" | "reason" | "detail" => "CASE WHEN seq % 2 THEN NULL ELSE 'x' END",
                _ => "'somebody else'",
            };
            run(format!("UPDATE audit SET {column} = {new} WHERE seq = {} AND {column} IS NOT {new}", seq(row))) > 0
        }
        Harm::Remove { row } => run(format!("DELETE FROM audit WHERE seq = {}", seq(row))) > 0,
        Harm::Swap { one, other } => {
            let (one, other) = (seq(one), seq(other));
            run(format!("UPDATE audit SET seq = -1 WHERE seq = {one}"));
            run(format!("UPDATE audit SET seq = {one} WHERE seq = {other} AND {one} <> {other}"));
            run(format!("UPDATE audit SET seq = {other} WHERE seq = -1"));
            one != other
        }
        Harm::Truncate { rows } => run(format!("DELETE FROM audit WHERE seq > {}", count - rows)) > 0,
        Harm::CutOff { rows } => {
            run(format!("UPDATE sqlite_sequence SET seq = {} WHERE name = 'audit'", count - rows));
            run(format!("DELETE FROM audit WHERE seq > {}", count - rows)) > 0
        }
        Harm::Insert => {
            run(String::from(
                "INSERT INTO audit (at, actor, origin, verb, result, previous, hash)
                 SELECT at, 'admin:eve', origin, verb, result, hash, randomblob(32) FROM audit ORDER BY seq DESC LIMIT 1",
            )) > 0
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn verify_notices_any_edited_removed_reordered_or_added_row(harms in prop::collection::vec(harm(), 1..3)) {
        static FOUNDED: std::sync::OnceLock<(tempfile::TempDir, i64)> = std::sync::OnceLock::new();
        let (original, count) = FOUNDED.get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let count = school_with_history(folder.path());
            (folder, count)
        });
        let copy = tempfile::tempdir().unwrap();
        for name in ["cordon.db", "machine.key"] {
            std::fs::copy(original.path().join(name), copy.path().join(name)).unwrap();
        }
        // Only the first one is sure to find what it looks for; the others may undo nothing of it.
        let mut changed = inflict(copy.path(), &harms[0], *count);
        if changed && !matches!((&harms[0], harms.get(1)), (Harm::Swap { .. } | Harm::Edit { .. }, Some(Harm::Swap { .. } | Harm::Edit { .. }))) {
            for harm in &harms[1..] {
                changed |= inflict(copy.path(), harm, *count);
            }
        }
        let found = verdict(copy.path());
        prop_assert_eq!(found.is_whole(), !changed, "{:?} {:?}", harms, found);
    }
}

#[test]
fn a_chain_written_anew_without_the_key_shows() {
    let folder = tempfile::tempdir().unwrap();
    school_with_history(folder.path());
    let forge = |sql: &str| {
        let copy = tempfile::tempdir().unwrap();
        for name in ["cordon.db", "machine.key"] {
            std::fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
        }
        Connection::open(copy.path().join("cordon.db")).unwrap().execute_batch(sql).unwrap();
        verdict(copy.path())
    };
    assert!(forge("SELECT 1").is_whole());
    let empty = "DELETE FROM audit; DELETE FROM sqlite_sequence WHERE name = 'audit';";
    assert!(!forge(empty).is_whole(), "an audit that never began");
    assert!(!forge("DELETE FROM audit_head;").is_whole(), "the note is gone");
    assert!(!forge("UPDATE audit_head SET sealed_head = randomblob(80);").is_whole(), "a note from somebody else");
    assert!(!forge(&format!("{empty} DELETE FROM audit_head;")).is_whole());
}

#[test]
fn passwords_never_get_into_a_refusal() {
    let house = House::new();
    house.person("ada", "owner");
    let token = house.login("ada");
    let wish = json!({ "reason": "because I want to", "password": "not my password at all" });
    for path in ["/api/v1/devices/none/secrets/lock-pin/reveal", "/api/v1/secret-requests/none/approve"] {
        assert!(house.ask(Some(&token), "POST", path, &wish).status >= 400);
    }
    house.ask(Some(&token), "POST", "/api/v1/recovery-code", &json!({ "current_password": PASSWORD.to_uppercase() }));
    let all = format!("{:?}", rows(&house));
    assert!(
        all.contains("secret.reveal") && !all.contains("not my password") && !all.contains(&PASSWORD.to_uppercase())
    );
}
