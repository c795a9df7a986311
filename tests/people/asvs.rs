//! OWASP ASVS 4.0, level 1, where it speaks of passwords, sessions and access control. Every test bears the number of its item.

use super::{House, PASSWORD};
use cordon::base::time::{HOUR, MINUTE, SECOND};
use cordon::http::message::Door;
use cordon::service::auditing;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

fn set(house: &House, token: &str, name: &str, password: &str) -> super::Reply {
    let wish = json!({ "password": password, "current_password": PASSWORD });
    house.ask(Some(token), "PATCH", &format!("/api/v1/admins/{name}"), &wish)
}

fn looks(house: &House, token: &str) -> u16 {
    house.ask(Some(token), "GET", "/api/v1/devices", &Value::Null).status
}

// ---- V2 authentication

#[test]
fn v2_1_1_at_least_12_characters() {
    let house = House::new();
    house.person("ada", "owner");
    let token = house.login("ada");
    for (password, status) in [("elevenchars", 400), ("twelve chars", 200)] {
        assert_eq!(set(&house, &token, "ada", password).status, status, "{password}");
    }
}

#[test]
fn v2_1_2_long_ones_are_taken_and_very_long_ones_refused() {
    let house = House::new();
    house.person("ada", "owner");
    let token = house.login("ada");
    let long = "a tin roof in may is warm ".repeat(5);
    assert_eq!(set(&house, &token, "ada", &long[..129]).id(), "weak-password");
    assert_eq!(set(&house, &token, "ada", &long[..128]).status, 200);
    assert_eq!(house.try_login("ada", &long[..128]).status, 200);
}

#[test]
fn v2_1_3_nothing_is_cut_off_or_folded_together() {
    let house = House::new();
    house.person("ada", "owner");
    let long = format!("{}x", "two  spaces and a Capital. ".repeat(4));
    assert_eq!(set(&house, &house.login("ada"), "ada", &long).status, 200);
    for near in [&long[..long.len() - 1], &long.replace("  ", " "), &long.to_lowercase(), &format!("{long} ")] {
        assert_eq!(house.try_login("ada", near).status, 401, "{near}");
    }
    house.clock.advance(HOUR);
    assert_eq!(house.try_login("ada", &long).status, 200);
}

#[test]
fn v2_1_4_any_character_and_v2_1_9_no_rules_of_composition() {
    let house = House::new();
    house.person("ada", "owner");
    for password in [
        "schöne grüße aus köln",
        "すべての道はローマに通ず通ず",
        "🐎🔋📎🍏🌳🪴🧄🫐🥨🥁🎺🪁",
        "onlylowercaseletters",
        "\t tab and quote \" ' \\",
    ] {
        house.person(&format!("p{}", password.len()), "teacher");
        let token = house.login("ada");
        assert_eq!(set(&house, &token, &format!("p{}", password.len()), password).status, 200, "{password}");
        assert_eq!(house.try_login(&format!("p{}", password.len()), password).status, 200, "{password}");
    }
}

#[test]
fn v2_1_5_and_v2_1_6_everybody_changes_their_own_with_the_old_one() {
    let house = House::new();
    house.person("tim", "teacher");
    let token = house.login("tim");
    for wrong in [
        json!({ "password": "a red bus in june" }),
        json!({ "password": "a red bus in june", "current_password": "not my old one" }),
    ] {
        assert_eq!(house.ask(Some(&token), "PATCH", "/api/v1/admins/tim", &wrong).id(), "password-needed");
    }
    assert_eq!(set(&house, &token, "tim", "a red bus in june").status, 200);
    assert_eq!(house.try_login("tim", PASSWORD).status, 401);
    assert_eq!(house.try_login("tim", "a red bus in june").status, 200);
}

#[test]
fn v2_1_7_the_commonest_are_refused() {
    let house = House::new();
    house.person("ada", "owner");
    let token = house.login("ada");
    for common in [
        "password1234",
        "Qwertyuiop123",
        "iloveyouforever",
        "correct horse battery staple",
        "123456789012",
        "aaaaaaaaaaaa",
    ] {
        assert_eq!(set(&house, &token, "ada", common).id(), "weak-password", "{common}");
    }
}

#[test]
fn v2_2_1_guessing_is_slowed_down_and_nobody_is_locked_out_for_good() {
    let house = House::new();
    house.person("ada", "owner");
    for _ in 0..5 {
        assert_eq!(house.try_login("ada", "wrong").status, 401);
    }
    let refused = house.try_login("ada", PASSWORD);
    assert_eq!((refused.status, refused.id()), (429, "too-many-tries"), "the right one is not looked at now");
    assert!(refused.headers.contains(&("retry-after", String::from("1"))), "{:?}", refused.headers);
    assert!(refused.body["detail"].as_str().unwrap().contains("cordon admin password"));
    house.clock.advance(SECOND);
    assert_eq!(house.try_login("ada", PASSWORD).status, 200);
    // An hour of trying as fast as it is allowed.
    let mut tried = 0;
    for _ in 0..3_600 {
        if house.try_login("ada", "wrong").status == 401 {
            tried += 1;
        }
        house.clock.advance(SECOND);
    }
    assert!(tried < 30, "{tried} tries in an hour; the item allows 100");
    house.clock.advance(15 * MINUTE);
    assert_eq!(house.try_login("ada", PASSWORD).status, 200);
}

#[test]
fn v2_2_1_many_names_from_one_address_and_names_that_nobody_has() {
    let house = House::new();
    house.person("ada", "owner");
    let known = house.try_login("ada", "wrong");
    let unknown = house.try_login("nobody-0", "wrong");
    assert_eq!(
        (known.status, &known.body["detail"]),
        (unknown.status, &unknown.body["detail"]),
        "names are not told apart"
    );
    for i in 1..40 {
        house.try_login(&format!("nobody-{i}"), "wrong");
    }
    assert_eq!(house.try_login("ada", PASSWORD).status, 429);
    let body = json!({ "name": "ada", "password": PASSWORD });
    let elsewhere = house.send(Door::People, "198.51.100.9:1", HeaderMap::new(), "POST", "/api/v1/login", &body);
    assert_eq!(elsewhere.status, 200, "somebody at another address is not held up");
    // Behind a proxy everybody has one address; there it must not count.
    let proxied = house.send(Door::Proxied, "192.0.2.7:1", HeaderMap::new(), "POST", "/api/v1/login", &body);
    assert_eq!(proxied.status, 200);
}

#[test]
fn v2_4_1_kept_only_as_a_slow_salted_hash() {
    let house = House::new();
    house.person("ada", "owner");
    house.person("bob", "owner");
    let rows = house.cx.store.read(|db| db.list_admins()).unwrap();
    assert_ne!(rows[0].password.hash, rows[1].password.hash);
    assert!(rows[0].password.salt.len() >= 16 && rows[0].password.salt != rows[1].password.salt);
    assert_eq!(cordon::pki::stretching::Cost::PASSWORD.to_string(), "m=19456,t=2,p=1");
}

#[test]
fn v2_8_codes_live_briefly_and_work_once() {
    let house = House::new();
    house.person("ada", "owner");
    let token = house.login("ada");
    let begun = house.ask(Some(&token), "POST", "/api/v1/admins/ada/totp", &json!({ "current_password": PASSWORD }));
    assert_eq!(begun.status, 201);
    let secret = begun.body["secret"].as_str().unwrap().to_owned();
    assert_eq!(house.try_login("ada", PASSWORD).status, 200, "not asked for before it is confirmed");
    let code = |house: &House| authenticator(&secret, cordon::base::time::Clock::now(&*house.clock).secs());
    let confirm = json!({ "code": code(&house) });
    assert_eq!(house.ask(Some(&token), "POST", "/api/v1/admins/ada/totp/confirm", &confirm).status, 204);
    let login = |code: Option<String>| {
        house.ask(None, "POST", "/api/v1/login", &json!({ "name": "ada", "password": PASSWORD, "totp": code }))
    };
    assert_eq!(login(None).id(), "totp-needed");
    assert_eq!(login(Some(code(&house))).id(), "totp-wrong", "the code that confirmed is used up");
    house.clock.advance(30 * SECOND);
    let now = code(&house);
    assert_eq!(login(Some(now.clone())).status, 200);
    assert_eq!(login(Some(now.clone())).id(), "totp-wrong", "replayed");
    house.clock.advance(90 * SECOND);
    assert_eq!(login(Some(now)).id(), "totp-wrong", "too old");
    let wrong_password = json!({ "name": "ada", "password": "wrong", "totp": code(&house) });
    assert_eq!(
        house.ask(None, "POST", "/api/v1/login", &wrong_password).id(),
        "login-failed",
        "the code alone says nothing"
    );
    assert_eq!(login(Some(code(&house))).status, 200);
}

/// An authenticator app, written from RFC 4648 and RFC 6238 apart from the server's.
fn authenticator(secret: &str, seconds: i64) -> String {
    let mut bits = String::new();
    for letter in secret.chars() {
        let value = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".find(letter).unwrap();
        bits.push_str(&format!("{value:05b}"));
    }
    let key: Vec<u8> = (0..bits.len() / 8).map(|i| u8::from_str_radix(&bits[i * 8..i * 8 + 8], 2).unwrap()).collect();
    let mac = cordon::pki::digest::hmac_sha1(&key, &(seconds / 30).to_be_bytes());
    let at = usize::from(mac[19] & 15);
    let number = mac[at..at + 4].iter().fold(0_u64, |n, b| n << 8 | u64::from(*b)) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

// ---- V3 sessions

#[test]
fn v3_1_1_never_in_an_address() {
    let house = House::new();
    house.person("ada", "owner");
    let token = house.login("ada");
    for name in ["token", "access_token", "session"] {
        assert_eq!(house.ask(None, "GET", &format!("/api/v1/devices?{name}={token}"), &Value::Null).status, 401);
    }
}

#[test]
fn v3_2_1_new_at_every_login_and_v3_2_2_long_and_v3_2_3_kept_as_a_hash() {
    let house = House::new();
    house.person("ada", "owner");
    let (one, two) = (house.login("ada"), house.login("ada"));
    assert!(one != two && one.len() >= 43 + "cordon_session_".len());
    let hash = cordon::pki::digest::sha256(one.as_bytes());
    assert!(house.cx.store.read(|db| db.find_session_by_hash(&hash)).unwrap().is_some());
}

#[test]
fn v3_3_1_logging_out_ends_it_and_only_it() {
    let house = House::new();
    house.person("ada", "owner");
    let (one, two) = (house.login("ada"), house.login("ada"));
    assert_eq!(house.ask(Some(&one), "POST", "/api/v1/logout", &Value::Null).status, 204);
    assert_eq!((looks(&house, &one), looks(&house, &two)), (401, 200));
}

#[test]
fn v3_3_2_ends_when_idle_and_after_half_a_day_of_work() {
    let house = House::new();
    house.person("ada", "owner");
    let token = house.login("ada");
    house.clock.advance(29 * MINUTE);
    assert_eq!(looks(&house, &token), 200);
    house.clock.advance(30 * MINUTE);
    assert_eq!(looks(&house, &token), 401, "idle");
    let token = house.login("ada");
    for _ in 0..47 {
        house.clock.advance(15 * MINUTE);
        assert_eq!(looks(&house, &token), 200);
    }
    house.clock.advance(15 * MINUTE);
    assert_eq!(looks(&house, &token), 401, "12 hours");
}

#[test]
fn v3_3_3_a_new_password_or_disabling_ends_all_of_them() {
    let house = House::new();
    house.person("ada", "owner");
    house.person("bob", "admin");
    let owner = house.login("ada");
    let sessions = [house.login("bob"), house.login("bob")];
    assert_eq!(set(&house, &sessions[0], "bob", "a red bus in june").status, 200);
    assert!(sessions.iter().all(|token| looks(&house, token) == 401));
    assert_eq!(set(&house, &owner, "bob", PASSWORD).status, 200);
    let token = house.login("bob");
    assert_eq!(house.ask(Some(&owner), "PATCH", "/api/v1/admins/bob", &json!({ "disabled": true })).status, 200);
    assert_eq!(looks(&house, &token), 401);
    assert_eq!(house.try_login("bob", PASSWORD).id(), "login-failed");
    assert_eq!(house.ask(Some(&owner), "PATCH", "/api/v1/admins/bob", &json!({ "disabled": false })).status, 200);
    assert_eq!(looks(&house, &token), 401, "an old session does not come back to life");
}

#[test]
fn v3_7_1_grave_steps_ask_for_the_password_again() {
    let house = House::new();
    house.person("ada", "owner");
    let token = house.login("ada");
    let make = |body: &Value| house.ask(Some(&token), "POST", "/api/v1/recovery-code", body);
    assert_eq!(make(&json!({})).id(), "password-needed");
    for _ in 0..5 {
        assert_eq!(make(&json!({ "current_password": "wrong" })).status, 403);
    }
    assert_eq!(make(&json!({ "current_password": PASSWORD })).status, 429, "a stolen session cannot guess either");
    house.clock.advance(SECOND);
    assert_eq!(make(&json!({ "current_password": PASSWORD })).status, 201);
}

// ---- V4 access control (the whole table is in `roles`)

#[test]
fn v4_1_1_and_v4_1_2_nobody_says_of_themselves_who_they_are() {
    let house = House::new();
    house.person("tim", "teacher");
    let token = house.login("tim");
    for (name, value) in [
        ("x-cordon-local-user", "root"),
        ("x-role", "owner"),
        ("x-forwarded-user", "ada"),
        ("x-original-url", "/api/v1/login"),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
        headers.insert(name, HeaderValue::from_static(value));
        assert_eq!(
            house.send(Door::People, "192.0.2.7:1", headers, "GET", "/api/v1/admins", &Value::Null).status,
            403,
            "{name}"
        );
    }
    let wish = json!({ "role": "owner", "password": "a red bus in june", "current_password": PASSWORD });
    assert_eq!(
        house.ask(Some(&token), "PATCH", "/api/v1/admins/tim", &wish).status,
        403,
        "no role slips in beside one's own password"
    );
    assert_eq!(looks(&house, &token), 200, "and nothing was changed: the session goes on");
    assert_eq!(house.ask(Some(&token), "GET", "/api/v1/users", &Value::Null).status, 403, "and is a teacher's");
}

#[test]
fn v4_1_3_a_lesser_role_counts_at_once() {
    let house = House::new();
    house.person("ada", "owner");
    house.person("bob", "admin");
    let (owner, bob) = (house.login("ada"), house.login("bob"));
    let people = || house.ask(Some(&bob), "GET", "/api/v1/users", &Value::Null).status;
    assert_eq!(people(), 200);
    assert_eq!(house.ask(Some(&owner), "PATCH", "/api/v1/admins/bob", &json!({ "role": "teacher" })).status, 200);
    assert_eq!(people(), 403);
}

#[test]
fn v4_2_1_nobody_reaches_anothers_password_or_app() {
    let house = House::new();
    house.person("ada", "owner");
    house.person("bob", "admin");
    let token = house.login("bob");
    assert_eq!(set(&house, &token, "ada", "a red bus in june").status, 403);
    for (method, path) in [
        ("POST", "/api/v1/admins/ada/totp"),
        ("DELETE", "/api/v1/admins/ada/totp"),
        ("DELETE", "/api/v1/admins/ADA/totp"),
    ] {
        assert_eq!(
            house.ask(Some(&token), method, path, &json!({ "current_password": PASSWORD })).status,
            403,
            "{method} {path}"
        );
    }
    house.login("ada");
}

#[test]
fn v7_1_1_and_v7_1_2_no_password_token_or_code_is_written_down() {
    let house = House::new();
    house.person("ada", "owner");
    let token = house.login("ada");
    house.try_login("ada", "a wrong one of mine");
    set(&house, &token, "ada", "a red bus in june");
    house.try_login("nobody", "wrong");
    house.cx.flush_seen().unwrap();
    let rows = auditing::list(&house.cx, &House::local(), &cordon::store::AuditFilter::first(500)).unwrap();
    assert!(
        rows.iter().all(|row| row.entry.subject.as_deref() != Some("nobody")),
        "a stranger writes nothing into the file"
    );
    let all: String = rows.iter().map(|row| format!("{row:?}")).collect();
    for secret in [PASSWORD, "a wrong one of mine", "a red bus in june", token.as_str()] {
        assert!(!all.contains(secret), "{secret}");
    }
    for verb in ["admin.create", "admin.login", "admin.login-failed", "admin.password"] {
        assert!(rows.iter().any(|row| row.entry.verb == verb), "{verb}");
    }
}

#[test]
fn v8_2_1_answers_are_not_kept_by_browsers() {
    let house = House::new();
    house.person("ada", "owner");
    let reply = house.try_login("ada", PASSWORD);
    assert!(reply.headers.contains(&("cache-control", String::from("no-store"))));
}
