//! Waiting after wrong passwords, over restarts and lifted by an owner; sessions seen and ended.

use super::{House, PASSWORD};
use cordon::base::time::{HOUR, MINUTE, SECOND};
use cordon::http::message::Door;
use http::HeaderMap;
use serde_json::{Value, json};

/// Eight wrong tries, each as soon as it is allowed.
fn guess(house: &House, name: &str) {
    for _ in 0..8 {
        assert_eq!(house.try_login(name, "wrong").status, 401);
        house.clock.advance(10 * SECOND);
    }
    house.clock.advance(-9 * SECOND);
}

#[test]
fn a_restart_forgives_nobody() {
    let mut house = House::new();
    house.person("ada", "owner");
    guess(&house, "ada");
    assert_eq!(house.try_login("ada", PASSWORD).status, 429);
    house.cx.flush_seen().unwrap();
    house.restart();
    assert_eq!(house.try_login("ada", PASSWORD).status, 429);
    assert_eq!(house.try_login("ADA", PASSWORD).status, 429);
    house.clock.advance(HOUR);
    assert_eq!(house.try_login("ada", PASSWORD).status, 200);
    house.cx.flush_seen().unwrap();
    house.restart();
    assert_eq!(house.try_login("ada", "wrong").status, 401, "and a login that succeeded is not forgotten either");
}

#[test]
fn guessing_writes_little_and_never_much() {
    let house = House::new();
    for i in 0..3_000 {
        let from = format!("10.{}.{}.1:1", i / 250, i % 250);
        let body = json!({ "name": format!("n{i}"), "password": "x".repeat(600) });
        house.send(Door::People, &from, HeaderMap::new(), "POST", "/api/v1/login", &body);
    }
    let kept = || house.cx.store.read(|db| db.list_login_tries()).unwrap().len();
    assert_eq!(kept(), 0, "a guess writes nothing by itself");
    house.cx.flush_seen().unwrap();
    assert_eq!(kept(), 1_000);
}

#[test]
fn a_password_typed_as_a_name_is_not_kept() {
    let house = House::new();
    house.person("ada", "owner");
    for _ in 0..3 {
        house.try_login(PASSWORD, "ada");
        house.try_login("ada", "wrong");
    }
    house.cx.flush_seen().unwrap();
    let kept: Result<Vec<_>, cordon::store::StoreError> = house.cx.store.read(|db| db.list_login_tries());
    let keys: Vec<String> = kept.unwrap().into_iter().map(|one| one.key).collect();
    assert!(keys.contains(&String::from("name:ada")), "{keys:?}");
    assert!(!keys.iter().any(|key| key.contains(PASSWORD)), "{keys:?}");
}

#[test]
fn who_waits_is_shown_and_an_owner_lifts_it() {
    let house = House::new();
    house.person("ada", "owner");
    house.person("bob", "admin");
    let owner = house.login("ada");
    guess(&house, "bob");
    let bob = || house.ask(Some(&owner), "GET", "/api/v1/admins", &Value::Null).body["items"][1].clone();
    assert_eq!((&bob()["name"], &bob()["wrong_tries"]), (&json!("bob"), &json!(8)));
    assert!(bob()["locked_until"].is_string());
    assert_eq!(house.ask(Some(&owner), "POST", "/api/v1/admins/bob/unlock", &json!({})).status, 204);
    assert_eq!((&bob()["wrong_tries"], &bob()["locked_until"]), (&json!(0), &Value::Null));
    let token = house.login("bob");
    assert_eq!(house.ask(Some(&token), "POST", "/api/v1/admins/ada/unlock", &json!({})).status, 403);
    // A whole school behind one address.
    for i in 0..40 {
        house.try_login(&format!("nobody-{i}"), "wrong");
    }
    assert_eq!(house.try_login("bob", PASSWORD).status, 429);
    assert_eq!(house.ask(Some(&owner), "POST", "/api/v1/admins/bob/unlock", &json!({ "addresses": true })).status, 204);
    assert_eq!(house.try_login("bob", PASSWORD).status, 200);
}

#[test]
fn sessions_are_listed_and_ended_ones_own_and_by_an_owner_anybodys() {
    let house = House::new();
    house.person("ada", "owner");
    house.person("bob", "admin");
    house.person("eve", "admin");
    let (owner, eve) = (house.login("ada"), house.login("eve"));
    let bobs = [house.login("bob"), house.login("bob"), house.login("bob")];
    let list = |token: &str, name: &str| {
        house.ask(Some(token), "GET", &format!("/api/v1/admins/{name}/sessions"), &Value::Null)
    };
    let mine = list(&bobs[1], "bob").body["items"].clone();
    let current: Vec<bool> = mine.as_array().unwrap().iter().map(|s| s["current"].as_bool().unwrap()).collect();
    assert_eq!((current, &mine[0]["origin"]), (vec![false, true, false], &json!("192.0.2.7")));
    assert!(!mine.to_string().contains("cordon_session_"));
    assert_eq!((list(&eve, "bob").status, list(&owner, "bob").status), (403, 200));
    let end =
        |token: &str, path: &str| house.ask(Some(token), "DELETE", &format!("/api/v1/admins/{path}"), &Value::Null);
    assert_eq!(end(&eve, "bob/sessions").status, 403);
    // A session is reached only through the person it belongs to.
    let number = mine[0]["id"].as_i64().unwrap();
    assert_eq!(end(&eve, &format!("eve/sessions/{number}")).status, 404);
    assert_eq!(end(&bobs[1], &format!("bob/sessions/{number}")).body, json!({ "ended": 1 }));
    let works = |token: &str| list(token, "bob").status == 200;
    assert_eq!(bobs.each_ref().map(|token| works(token)), [false, true, true]);
    assert_eq!(end(&bobs[1], "bob/sessions").body, json!({ "ended": 1 }));
    assert_eq!(bobs.each_ref().map(|token| works(token)), [false, true, false], "one's own goes on");
    assert_eq!(end(&owner, "bob/sessions").body, json!({ "ended": 1 }));
    assert!(!works(&bobs[1]));
    for bad in ["nothing", "-1", "99999999999999999999"] {
        assert_eq!(end(&owner, &format!("bob/sessions/{bad}")).status, 404, "{bad}");
    }
    house.clock.advance(31 * MINUTE);
    let owner = house.login("ada");
    assert_eq!(list(&owner, "eve").body["items"], json!([]), "idle ones are over");
}
