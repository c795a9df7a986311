//! A teacher and two iPads, one of them in a class of theirs: every verb that takes a device, asked about both. The other one is not
//! there, for a teacher.

use crate::people::PASSWORD;
use crate::support::School;
use cordon::simulator::spec::Kind;
use serde_json::{Value, json};

fn log_in(school: &School, name: &str) -> String {
    let made = school.api("POST", "/admins", &json!({ "name": name, "role": "teacher", "password": PASSWORD }));
    made.is(201);
    let login = school.https(None, "POST", "/api/v1/login", &json!({ "name": name, "password": PASSWORD })).is(200);
    login["token"].as_str().unwrap().to_owned()
}

#[test]
fn a_teacher_has_own_classes_and_nothing_else() {
    let school = School::new();
    let (own, other) = (school.enroll_deaf(Kind::Ipad, 1), school.enroll_deaf(Kind::Ipad, 2));
    let roy = log_in(&school, "roy");
    let ask =
        |method: &str, path: &str, body: &Value| school.https(Some(&roy), method, &format!("/api/v1{path}"), body);
    assert_eq!(ask("GET", "/devices", &Value::Null).is(200)["items"], json!([]), "no class yet");

    for (class, device) in [("7a", &own), ("7b", &other)] {
        school.api("POST", "/groups", &json!({ "name": class, "kind": "class" })).is(201);
        school.api("POST", &format!("/groups/{class}/members"), &json!({ "devices": [device.udid()] })).is(200);
    }
    school.api("POST", "/users", &json!({ "short_name": "Roy" })).is(201);
    school.api("POST", "/groups/7a/members", &json!({ "teachers": ["roy"] })).is(200);

    let seen = ask("GET", "/devices", &Value::Null).is(200);
    assert_eq!(seen["items"].as_array().unwrap().len(), 1);
    let groups = ask("GET", "/groups", &Value::Null).is(200);
    assert_eq!((groups["items"].as_array().unwrap().len(), &groups["items"][0]["name"]), (1, &json!("7a")));
    assert_eq!(ask("GET", "/groups/7b", &Value::Null).status, 404);

    // One command waits for each.
    let sent = |device: &str| {
        let made = school
            .api("POST", &format!("/devices/{device}/commands"), &json!({ "RequestType": "ProfileList" }))
            .is(201);
        made["command_uuid"].as_str().unwrap().to_owned()
    };
    let table = |device: &str, uuid: &str| {
        vec![
            ("GET", format!("/devices/{device}"), Value::Null),
            ("GET", format!("/devices/{device}/users"), Value::Null),
            ("GET", format!("/devices/{device}/commands"), Value::Null),
            ("GET", format!("/commands?device={device}"), Value::Null),
            ("POST", format!("/devices/{device}/push"), Value::Null),
            ("POST", format!("/devices/{device}/commands"), json!({ "RequestType": "SecurityInfo" })),
            ("GET", format!("/commands/{uuid}"), Value::Null),
            ("GET", format!("/commands/{uuid}/explain"), Value::Null),
            ("DELETE", format!("/commands/{uuid}"), Value::Null),
            ("POST", format!("/devices/{device}/lost"), json!({ "missing": true })),
        ]
    };
    let (mine, theirs) = (sent(&own.udid()), sent(&other.udid()));
    for (method, path, body) in table(&other.udid(), &theirs) {
        let reply = ask(method, &path, &body);
        assert_eq!(reply.status, 404, "{method} {path}: {}", reply.text());
    }
    let listed = ask("GET", "/commands", &Value::Null).is(200);
    assert!(listed["items"].as_array().unwrap().iter().all(|c| c["command_uuid"] == json!(mine)), "{listed}");
    for (method, path, body) in table(&own.udid(), &mine) {
        let reply = ask(method, &path, &body);
        assert!((200..300).contains(&reply.status), "{method} {path}: {}", reply.text());
    }

    // Nothing that takes away, nothing of the school's, also on the own device.
    let own_id = own.udid();
    for (method, path, body) in [
        ("POST", format!("/devices/{own_id}/commands"), json!({ "RequestType": "EraseDevice" })),
        ("POST", format!("/devices/{own_id}/commands"), json!({ "RequestType": "InstallProfile", "Payload": "PGE+" })),
        (
            "POST",
            format!("/devices/{own_id}/commands"),
            json!({ "RequestType": "RemoveApplication", "Identifier": "a" }),
        ),
        ("POST", format!("/devices/{own_id}/commands"), json!({ "RequestType": "RestartDevice" })),
        ("POST", format!("/devices/{own_id}/filevault"), Value::Null),
        ("POST", format!("/devices/{own_id}/activation-lock-code"), Value::Null),
        ("POST", String::from("/profiles/x/assign"), json!({ "device": own_id })),
        ("POST", String::from("/setup-plans"), json!({ "name": "Mine", "device": own_id })),
        ("POST", format!("/devices/{own_id}/found"), json!({})),
        ("GET", format!("/devices/{own_id}/secrets"), Value::Null),
        ("POST", String::from("/groups/7a/members"), json!({ "devices": [other.udid()] })),
        ("GET", String::from("/users"), Value::Null),
        ("GET", String::from("/push-certificates"), Value::Null),
        ("GET", String::from("/audit"), Value::Null),
    ] {
        assert_eq!(ask(method, &path, &body).status, 403, "{method} {path}");
    }

    // Nor is taken back what a teacher could not have sent: an erasure of a stolen iPad, the end of its Lost Mode.
    for (request_type, more) in [
        ("EraseDevice", json!({ "reason": "stolen on the way home" })),
        ("EnableLostMode", json!({ "Message": "Please call" })),
    ] {
        let mut body = json!({ "RequestType": request_type });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let sent = school.api("POST", &format!("/devices/{own_id}/commands"), &body).is(201);
        let path = format!("/commands/{}", sent["command_uuid"].as_str().unwrap());
        ask("DELETE", &path, &Value::Null).is_problem(403, "role-missing");
        assert_eq!(ask("GET", &path, &Value::Null).is(200)["state"], "Queued");
    }

    // The class ends, and with it the view; a token of this role never had one.
    school.api("PATCH", "/users/roy", &json!({ "disabled": true })).is(200);
    assert_eq!(ask("GET", &format!("/devices/{own_id}"), &Value::Null).status, 404);
    school.api("POST", "/groups/7a/members", &json!({ "admins": ["roy"] })).is(200);
    assert_eq!(ask("GET", &format!("/devices/{own_id}"), &Value::Null).status, 200, "named in the class as an admin");
    let token = school.token("teacher");
    assert_eq!(school.https(Some(&token), "GET", "/api/v1/devices", &Value::Null).is(200)["items"], json!([]));
    assert_eq!(school.https(Some(&token), "GET", &format!("/api/v1/devices/{own_id}"), &Value::Null).status, 404);
}
