//! A class is invited: one code for each pupil, made by its teacher, and every device that comes in belongs to its pupil and its class.

use super::{BUILT_IN, Door, assert_enrolled, code};
use crate::people::PASSWORD;
use crate::support::hidden::holds;
use cordon::simulator::arriving::show;
use cordon::simulator::spec::Kind;
use serde_json::{Value, json};

/// Two classes, two pupils in the first and one in the second, and Roy, who teaches the first and may log in.
fn with_classes(door: &Door) -> String {
    let csv = "short_name,long_name,classes,teaches\n\
               ada,Ada Lovelace,7a,\ngrace,Grace Hopper,7a,\nalan,Alan Turing,7b,\nroy,Roy Teacher,,7a\n";
    door.school.api("POST", "/users/import", &json!({ "csv": csv })).is(200);
    let admin = json!({ "name": "roy", "role": "teacher", "password": PASSWORD });
    door.school.api("POST", "/admins", &admin).is(201);
    let login = json!({ "name": "roy", "password": PASSWORD });
    door.school.https(None, "POST", "/api/v1/login", &login).is(200)["token"].as_str().unwrap().to_owned()
}

/// The code that a sheet gives to somebody.
fn code_of(html: &str, name: &str) -> String {
    let ticket = html.split("class=\"ticket\"").find(|part| part.contains(&format!("<h2>{name}</h2>"))).unwrap();
    let at = ticket.find("class=\"code\">").unwrap() + 13;
    ticket[at..at + 14].to_owned()
}

#[test]
fn a_teacher_prints_the_sheet_and_each_ipad_belongs_to_its_pupil() {
    let door = Door::new();
    let roy = with_classes(&door);
    let ask =
        |method: &str, path: &str, body: Value| door.school.https(Some(&roy), method, &format!("/api/v1{path}"), &body);
    let sheet = ask("POST", "/invitations/sheet", json!({ "class": "7a", "pupils": true }));
    let html = sheet.text();
    assert_eq!((sheet.status, html.matches("class=\"ticket\"").count()), (201, 2), "{html}");
    assert!(!html.contains("Roy Teacher") && !html.contains("Alan"));

    let (page, anchors) = (door.url("/enroll"), door.anchors());
    let ipad = door.unpack(Kind::Ipad, 1);
    let pass = code_of(&html, "Ada Lovelace");
    ipad.with(|d| d.enroll_by_page(&page, &anchors, code(&pass), &BUILT_IN[0])).unwrap();
    assert_enrolled(&door, &ipad);
    let shown = door.school.device(&ipad);
    assert_eq!(
        (&shown["person"]["short_name"], &shown["person"]["long_name"]),
        (&json!("ada"), &json!("Ada Lovelace"))
    );
    let class = door.school.get("/groups/7a");
    assert_eq!(class["devices"].as_array().unwrap().len(), 1, "{class}");
    let joined = door.school.get("/audit?verb=group.member-add");
    assert_eq!(joined["items"][0]["actor"], "job:enrolment", "{joined}");
    // So its teacher sees it, and may help.
    assert_eq!(ask("GET", &format!("/devices/{}", ipad.udid()), Value::Null).is(200)["person"]["short_name"], "ada");
    let list = ask("GET", "/invitations", Value::Null).is(200);
    let states: Vec<(&Value, &Value)> =
        list["items"].as_array().unwrap().iter().map(|one| (&one["for"], &one["state"])).collect();
    assert_eq!(states, [(&json!("Grace Hopper"), &json!("open")), (&json!("Ada Lovelace"), &json!("used"))]);

    // A renewal changes nothing of that, and a device that was taken out of the class is not put back.
    let id = shown["id"].as_str().unwrap();
    door.school.api("POST", "/groups/7a/members/remove", &json!({ "devices": [id] })).is(200);
    ipad.expect_many_tokens(&door.school.stand_in, 3);
    door.school.api("POST", &format!("/devices/{id}/renew"), &Value::Null).is(201);
    ipad.poll(cordon::simulator::state::Channel::Device).unwrap();
    door.school.wait_until("the renewal", || {
        (door.school.device(&ipad)["identity"]["renewal"]["state"] == "done").then_some(())
    });
    assert_eq!(door.school.device(&ipad)["person"]["short_name"], "ada");
    assert_eq!(door.school.get("/groups/7a")["devices"], json!([]));
}

#[test]
fn a_teacher_invites_to_own_classes_only() {
    let door = Door::new();
    let roy = with_classes(&door);
    let ask =
        |method: &str, path: &str, body: Value| door.school.https(Some(&roy), method, &format!("/api/v1{path}"), &body);
    let theirs = door.invite(json!({ "people": ["alan"], "class": "7b" }));
    let loose = door.invite(json!({ "for": "The lab" }));
    for (body, status) in [
        (json!({ "for": "Anybody" }), 400),
        (json!({ "for": "Anybody", "class": "7b" }), 404),
        (json!({ "class": "7b", "pupils": true }), 404),
        (json!({ "for": "Anybody", "class": "nowhere" }), 404),
        (json!({ "people": ["alan"], "class": "7a" }), 404),
    ] {
        let reply = ask("POST", "/invitations", body.clone());
        assert_eq!(reply.status, status, "{body}: {}", reply.text());
    }
    for made in [&theirs, &loose] {
        let path = format!("/invitations/{}", made["id"].as_str().unwrap());
        assert_eq!(ask("DELETE", &path, Value::Null).status, 404);
    }
    assert_eq!(ask("GET", "/invitations", Value::Null).is(200)["items"], json!([]));
    let own = ask("POST", "/invitations", json!({ "people": ["ada"], "class": "7A" })).is(201)["items"][0].clone();
    assert_eq!((&own["class"], &own["for"]), (&json!("7a"), &json!("Ada Lovelace")));
    let path = format!("/invitations/{}", own["id"].as_str().unwrap());
    assert_eq!(ask("DELETE", &path, Value::Null).status, 204);
    assert_eq!(door.invitation(&theirs["id"])["state"], "open", "nobody else's is touched");
    // A profile without an invitation is not a teacher's to give.
    assert_eq!(ask("POST", "/enrollments/profile", json!({})).status, 403);
    // A token of this role is nobody, and has no class.
    let token = door.school.token("teacher");
    let nobody = |body: Value| door.school.https(Some(&token), "POST", "/api/v1/invitations", &body).status;
    assert_eq!((nobody(json!({ "for": "x" })), nobody(json!({ "for": "x", "class": "7a" }))), (400, 404));
}

#[test]
fn an_invitation_ends_with_its_person_and_keeps_no_name() {
    let door = Door::new();
    with_classes(&door);
    let page = door.url("/enroll");
    let made = door.invite(json!({ "people": ["alan"] }));
    let pass = made["code"].as_str().unwrap();
    door.school.api("PATCH", "/users/alan", &json!({ "disabled": true })).is(200);
    assert_eq!(show(&mut door.browser(), &page, code(pass)).unwrap().status, 403);
    door.school.api("PATCH", "/users/alan", &json!({ "disabled": false })).is(200);
    let ipad = door.unpack(Kind::Ipad, 1);
    ipad.with(|d| d.enroll_by_page(&page, &door.anchors(), code(pass), &BUILT_IN[0])).unwrap();
    let second = door.invite(json!({ "people": ["alan"] }));
    door.school.api("DELETE", "/users/alan", &Value::Null).is(204);
    assert_eq!(door.invitation(&second["id"])["state"], "revoked");
    for (place, content) in crate::support::hidden::everything(&door.school) {
        // Free pages of the file are another matter; every answer is looked at.
        if place.starts_with('/') && !place.contains("cordon.db") {
            assert!(!holds(&content, b"Turing"), "{place} still names somebody who was erased");
        }
    }
    let shown = door.school.device(&ipad);
    assert_eq!((&shown["person"], &shown["state"]), (&Value::Null, &json!("Active")));
    // Somebody new does not inherit the device.
    door.school.api("POST", "/users", &json!({ "short_name": "edith" })).is(201);
    assert_eq!(door.school.device(&ipad)["person"], Value::Null);
    door.school.api("POST", "/invitations", &json!({ "people": ["alan"] })).is_problem(404, "no-such-person");
    door.school.api("POST", "/invitations", &json!({ "for": "x", "pupils": true })).is_problem(400, "bad-argument");
}
