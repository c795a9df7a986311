//! Groups: made by hand, filled by a filter, and each kind with what belongs into it.

use crate::people::House;
use cordon::base::ids::DeviceId;
use cordon::base::time::Timestamp;
use cordon::service::Error;
use cordon::store::DeviceFacts;
use serde_json::{Value, json};

fn device(house: &House, serial: &str, platform: &'static str, version: &str) {
    let facts = DeviceFacts {
        serial: Some(serial.parse().unwrap()),
        platform: Some(platform),
        os_version: Some(version.to_owned()),
        ..DeviceFacts::default()
    };
    let made: Result<(), Error> = house.cx.store.write(|tx| {
        let id = tx.insert_device(&DeviceId::mint(house.cx.random_bytes()), Timestamp(1))?;
        Ok(tx.update_device(id, &facts)?)
    });
    made.unwrap();
}

fn serials(group: &Value) -> Vec<&str> {
    group["devices"].as_array().unwrap().iter().map(|d| d["serial"].as_str().unwrap()).collect()
}

#[test]
fn a_smart_group_fills_itself() {
    let house = House::new();
    house.person("ada", "admin");
    let token = house.login("ada");
    let ask = |method: &str, path: &str, body: &Value| house.ask(Some(&token), method, &format!("/api/v1{path}"), body);
    device(&house, "OLD", "iPadOS", "16.7.2");
    device(&house, "NEW", "iPadOS", "17.0");
    device(&house, "MAC", "macOS", "14.1");
    let wish = json!({ "name": "Old iPads", "kind": "smart", "filter": "platform = iPadOS AND os_version<17" });
    let made = ask("POST", "/groups", &wish);
    assert_eq!((made.status, serials(&made.body)), (201, vec!["OLD"]), "{}", made.body);
    device(&house, "OLDER", "iPadOS", "15.8");
    assert_eq!(serials(&ask("GET", "/groups/old%20ipads", &Value::Null).body), ["OLD", "OLDER"]);
    let changed = ask(
        "PATCH",
        "/groups/Old%20iPads",
        &json!({ "filter": "os_version >= 17 or platform = macOS", "name": "New" }),
    );
    assert_eq!(serials(&changed.body), ["NEW", "MAC"]);
    let bad = ask("POST", "/groups", &json!({ "name": "x", "kind": "smart", "filter": "colour = red" }));
    assert!(bad.status == 400 && bad.body["detail"].as_str().unwrap().contains("colour"), "{}", bad.body);
    for wish in [
        json!({ "name": "x", "kind": "smart" }),
        json!({ "name": "x", "kind": "devices", "filter": "name = x" }),
        json!({ "name": "x;y", "kind": "devices" }),
        json!({ "name": "x", "kind": "heap" }),
        json!({ "name": "x", "kind": "devices", "login_mode": "maybe" }),
    ] {
        assert_eq!(ask("POST", "/groups", &wish).status, 400, "{wish}");
    }
    assert_eq!(ask("POST", "/groups/New/members", &json!({ "devices": ["OLD"] })).id(), "not-in-this-group");
}

#[test]
fn each_kind_takes_what_belongs_to_it() {
    let house = House::new();
    house.person("ada", "admin");
    let token = house.login("ada");
    let ask = |method: &str, path: &str, body: &Value| house.ask(Some(&token), method, &format!("/api/v1{path}"), body);
    device(&house, "ONE", "iPadOS", "17");
    ask("POST", "/users", &json!({ "short_name": "anna" }));
    let members = [
        json!({"devices": ["ONE"]}),
        json!({"people": ["anna"]}),
        json!({"teachers": ["anna"]}),
        json!({"admins": ["ada"]}),
    ];
    for (kind, fits) in
        [("devices", [true, false, false, false]), ("people", [false, true, false, false]), ("class", [true; 4])]
    {
        assert_eq!(ask("POST", "/groups", &json!({ "name": kind, "kind": kind })).status, 201);
        assert_eq!(ask("POST", "/groups", &json!({ "name": kind.to_uppercase(), "kind": kind })).id(), "group-exists");
        for (body, fits) in members.iter().zip(fits) {
            let reply = ask("POST", &format!("/groups/{kind}/members"), body);
            assert_eq!(reply.status, if fits { 200 } else { 409 }, "{kind} {body}");
        }
    }
    let both = ask("POST", "/groups/class/members", &json!({ "devices": ["ONE"], "people": ["nobody"] }));
    assert_eq!(both.status, 404, "all or nothing");
    let class = ask("GET", "/groups/class", &Value::Null).body;
    assert_eq!((&class["people"][0]["part"], &class["admins"]), (&json!("teacher"), &json!(["ada"])));
    let left = ask(
        "POST",
        "/groups/class/members/remove",
        &json!({ "devices": ["ONE"], "teachers": ["anna"], "admins": ["ada"] }),
    );
    assert_eq!((left.body["devices"].as_array().unwrap().len(), left.body["people"].as_array().unwrap().len()), (0, 0));
    assert_eq!(ask("DELETE", "/groups/devices", &Value::Null).status, 204);
    assert_eq!(ask("GET", "/devices/ONE", &Value::Null).status, 200, "its devices stay");
    assert_eq!(ask("GET", "/groups/devices", &Value::Null).id(), "no-such-group");
}
