//! One wish for many devices: each gets a command of its own and has its own result; what cannot be is said for that device alone, a stop
//! in between loses nobody, and nobody may ask of many what they may not ask of one.

use super::{device_group, member};
use crate::support::{Plan, School};
use cordon::base::time::{Clock, HOUR, ManualClock, SystemClock};
use cordon::service::actor::{Actor, Role};
use cordon::service::bulk::{self, Whom};
use cordon::service::commands::Wish;
use cordon::simulator::spec::Kind;
use cordon::store::BulkRow;
use serde_json::{Value, json};
use std::sync::Arc;

fn ends(school: &School, id: &str, wanted: &Value) -> Value {
    school.wait_until(&format!("{wanted}"), || {
        let view = school.get(&format!("/bulk/{id}"));
        (view["counts"] == *wanted).then_some(view)
    })
}

#[test]
fn every_device_has_its_own_result() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let school = School::planned(Plan { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..Plan::default() });
    let devices = [school.enroll(Kind::Ipad, 1), school.enroll(Kind::Mac, 2), school.enroll_deaf(Kind::Ipad, 3)];
    device_group(&school, "Lab");
    member(&school, "Lab", &json!({ "devices": devices.iter().map(|d| d.udid()).collect::<Vec<_>>() }));
    let until = cordon::base::time::Timestamp(clock.now().0 + HOUR).to_string();
    let wish =
        json!({ "RequestType": "DeviceInformation", "Queries": ["OSVersion"], "group": "lab", "expires_at": until });
    let made = school.api("POST", "/bulk", &wish).is(201);
    assert_eq!((&made["total"], &made["whom"]), (&json!(3), &json!("Lab")));
    let id = made["id"].as_str().unwrap();
    let view = ends(&school, id, &json!({ "Acknowledged": 2, "Queued": 1 }));
    assert_eq!(view["done"], 2);
    let page = school.get(&format!("/bulk/{id}/items?limit=2"));
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    let rest = school.get(&format!("/bulk/{id}/items?limit=2&cursor={}", page["next_cursor"].as_str().unwrap()));
    let late = &rest["items"][0];
    assert_eq!((&late["state"], &rest["next_cursor"]), (&json!("Queued"), &Value::Null));
    let uuid = late["command_uuid"].as_str().unwrap().to_owned();
    let story = school.get(&format!("/commands/{uuid}")).to_string();
    assert!(story.contains(&format!("{id} of local:")), "who asked for it: {story}");
    // Its time is over before the device came: the story says so, in words, and nobody is asked in vain.
    clock.advance(HOUR + 1);
    cordon::service::commands::expire(school.server().context()).unwrap();
    ends(&school, id, &json!({ "Acknowledged": 2, "Expired": 1 }));
    let words = school.get(&format!("/commands/{uuid}/explain"))["words"][0].to_string();
    assert!(words.contains("Its time was over at") && words.contains("before the device had it"), "{words}");
    // All, then a list; taken back where no device has it.
    let wish = json!({ "RequestType": "ProfileList", "all": true });
    let all = school.api("POST", "/bulk", &wish).is(201)["id"].as_str().unwrap().to_owned();
    ends(&school, &all, &json!({ "Acknowledged": 2, "Queued": 1 }));
    school.api("DELETE", &format!("/bulk/{all}"), &Value::Null).is(200);
    ends(&school, &all, &json!({ "Acknowledged": 2, "Cancelled": 1 }));
    let wish = json!({ "RequestType": "PlayLostModeSound", "devices": [devices[0].udid(), devices[1].udid()] });
    let some = school.api("POST", "/bulk", &wish).is(201)["id"].as_str().unwrap().to_owned();
    let view = school.wait_until("both through", || {
        let view = school.get(&format!("/bulk/{some}"));
        (view["done"] == 2).then_some(view)
    });
    let lines = school.get(&format!("/bulk/{some}/items")).to_string();
    assert!(
        view["counts"]["refused"] == 1 && lines.contains("macOS does not take"),
        "no Mac has Lost Mode: {view} {lines}"
    );
    let listed = school.get("/bulk");
    assert_eq!(listed["items"][0]["id"], some.as_str());
    for (wish, id) in [
        (json!({ "RequestType": "EraseDevice", "all": true }), "not-for-many"),
        (json!({ "RequestType": "EnableLostMode", "all": true, "Message": "x" }), "not-for-many"),
        (json!({ "RequestType": "ProfileList" }), "bad-argument"),
        (json!({ "RequestType": "ProfileList", "all": true, "group": "Lab" }), "bad-argument"),
        (json!({ "RequestType": "ProfileList", "all": true, "Colour": "red" }), "command-doubt"),
        (json!({ "RequestType": "ProfileList", "all": true, "user": "ada" }), "bad-argument"),
    ] {
        school.api("POST", "/bulk", &wish).is_problem(400, id);
    }
    // A command to one device is not one for many: what says so is not overheard.
    let one = format!("/devices/{}/commands", devices[0].udid());
    for key in ["group", "all", "devices"] {
        school.api("POST", &one, &json!({ "RequestType": "ProfileList", key: true })).is_problem(400, "command-doubt");
    }
}

#[test]
fn a_stop_in_between_loses_nobody() {
    let mut school = School::planned(Plan::with_lasting_ports());
    let devices = [school.enroll(Kind::Ipad, 1), school.enroll(Kind::Ipad, 2)];
    let cx = school.server().context();
    let id = String::from("bulk-stopped");
    let row = BulkRow {
        id: 0,
        public_id: id.clone(),
        request_type: String::from("ProfileList"),
        sealed_keys: Some(
            cx.seal("bulk/bulk-stopped", b"<?xml version=\"1.0\"?><plist version=\"1.0\"><dict/></plist>"),
        ),
        unchecked: false,
        not_before: None,
        expires_at: None,
        whom: String::from("all devices"),
        created_by: String::from("local:root"),
        created_at: cx.now(),
    };
    // What `begin` commits before anything else; then the power goes.
    cx.store
        .write(|tx| -> Result<(), cordon::service::Error> {
            let all = tx.list_enrolled_devices()?;
            assert_eq!(all.len(), 2);
            tx.insert_bulk(&row, &all)?;
            Ok(())
        })
        .unwrap();
    school.stop();
    school.start();
    ends(&school, &id, &json!({ "Acknowledged": 2 }));
    for device in &devices {
        let asked = device.executed().iter().filter(|e| e.request_type == "ProfileList").count();
        assert_eq!(asked, 1);
    }
    let cx = school.server().context();
    let kept = cx.store.read(|db| db.find_bulk(&id)).unwrap().unwrap();
    assert!(kept.sealed_keys.is_none(), "the keys are purged");
}

#[test]
fn nobody_may_more_than_for_one_device_and_own_wishes_stay_in_sight() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    school.api("POST", "/groups", &json!({ "name": "7b", "kind": "class" })).is(201);
    let password = "turnips grow behind seven hills";
    school.api("POST", "/admins", &json!({ "name": "tess", "role": "teacher", "password": password })).is(201);
    member(&school, "7b", &json!({ "devices": [ipad.udid()], "admins": ["tess"] }));
    let cx = school.server().context();
    let tess = Actor::Admin { name: "tess".into(), role: Role::Teacher, session: 1, from: String::new() };
    let wish = |request_type: &str| Wish {
        request_type: request_type.to_owned(),
        keys: cordon::plist::Dictionary::new(),
        user: None,
        uuid: None,
        not_before: None,
        expires_at: None,
        unchecked: false,
    };
    assert!(!bulk::kinds(&tess).contains(&"RestartDevice") && bulk::kinds(&tess).contains(&"ProfileList"));
    assert!(bulk::begin_with(cx, &tess, &Whom::Group("7b".into()), wish("RestartDevice")).is_err());
    let own = bulk::begin_with(cx, &tess, &Whom::All, wish("ProfileList")).unwrap();
    assert_eq!(own.progress().1, 1, "all are those of own classes");
    for _ in 0..5 {
        school.api("POST", "/bulk", &json!({ "RequestType": "ProfileList", "group": "7b" })).is(201);
    }
    let seen = bulk::list(cx, &tess, None, 3).unwrap();
    assert_eq!(seen.iter().map(|row| row.public_id.as_str()).collect::<Vec<_>>(), [own.row.public_id.as_str()]);
    let others = bulk::list(cx, &Actor::LocalShell { user: "root".into() }, None, 3).unwrap();
    assert!(bulk::show(cx, &tess, &others[0].public_id).is_err());
}
