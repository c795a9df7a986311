//! Each channel on its own: who speaks by which keys, which command goes where, whose token is pushed.

use crate::support::School;
use crate::support::wire::{self, command_uuid, text};
use cordon::base::time::{Clock, SystemClock};
use cordon::plist::Value as Plist;
use cordon::simulator::spec::Kind;
use cordon::simulator::state::{Account, Channel};
use serde_json::{Value, json};

const ALL_F: &str = "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF";

/// A report with these keys and no others.
fn report(keys: &[(&str, &str)]) -> Vec<u8> {
    let mut body = cordon::plist::Dictionary::new();
    body.insert("Status".to_owned(), text("Idle"));
    for (key, value) in keys {
        body.insert((*key).to_owned(), text(value));
    }
    cordon::plist::to_xml(&Plist::Dictionary(body))
}

#[test]
fn every_combination_of_keys_finds_its_own_queue() {
    let school = School::new();
    let mac = school.enroll_deaf(Kind::Mac, 1);
    let udid = mac.udid();
    let guid = mac.with(|d| d.spec().person.as_ref().unwrap().guid.clone());
    let mut caller = school.caller(Some(&mac.identity()));
    let token = |tag: u8| {
        [
            ("Topic", text(crate::support::TOPIC)),
            ("Token", Plist::Data(vec![tag; 32])),
            ("PushMagic", text(&format!("magic-{tag}"))),
        ]
    };
    // A Shared iPad's user on the same connection is a channel of its own, by short name.
    for (tag, name) in [(7, "ann@hill.example"), (8, "bob@hill.example")] {
        let mut keys = vec![("UserID", text(ALL_F)), ("UserShortName", text(name))];
        keys.extend(token(tag));
        assert_eq!(caller.check_in(&wire::check_in("TokenUpdate", &udid, &keys)).status, 200);
    }
    let to = |user: Option<&str>| school.send_to(&mac, user, "ProfileList", Value::Null);
    let own = to(None);
    let local = to(Some(&guid));
    // An iPad's rules differ; this table is about keys alone.
    let [ann, bob] = ["ann@hill.example", "BOB@hill.example"].map(|name| to(Some(name)));

    let u = ("UDID", udid.as_str());
    let f = ("UserID", ALL_F);
    type Row<'a> = (Vec<(&'a str, &'a str)>, Option<&'a String>);
    let rows: Vec<Row<'_>> = vec![
        (vec![u], Some(&own)),
        (vec![u, ("UserID", "")], Some(&own)),
        (vec![u, ("UserShortName", "ann@hill.example")], Some(&own)),
        (vec![u, ("EnrollmentUserID", &guid)], Some(&own)),
        (vec![u, ("EnrollmentID", "other")], Some(&own)),
        (vec![u, ("UserID", &guid)], Some(&local)),
        (vec![u, ("UserID", &guid), ("UserShortName", "ann@hill.example")], Some(&local)),
        (vec![u, f, ("UserShortName", "ann@hill.example")], Some(&ann)),
        (vec![u, ("UserID", &ALL_F.to_lowercase()), ("UserShortName", "ann@hill.example")], Some(&ann)),
        (vec![u, f, ("UserShortName", "bob@hill.example"), ("UserLongName", "Bob B.")], Some(&bob)),
    ]
    .into_iter()
    .map(|(keys, uuid)| (keys.into_iter().map(|(k, v)| (k, &*v.to_owned().leak())).collect(), uuid))
    .collect();
    for (keys, wanted) in &rows {
        let answer = caller.report(&report(keys));
        assert_eq!(command_uuid(&answer).as_ref(), *wanted, "{keys:?}");
    }
    // Nobody can be meant by these, or nobody who may speak here.
    let refused: [&[(&str, &str)]; 6] = [
        &[],
        &[("UserID", &guid)],
        &[("EnrollmentUserID", &guid)],
        &[u, f],
        &[u, f, ("UserShortName", "")],
        &[("EnrollmentID", "other"), ("EnrollmentUserID", &guid)],
    ];
    for keys in refused {
        assert_eq!(caller.report(&report(keys)).status, 400, "{keys:?}");
    }
    // The names came with a request, are shown, and find the device; the last row changed one.
    let users = school.get(&format!("/devices/{udid}/users"));
    let named =
        |name: &str| users["items"].as_array().unwrap().iter().find(|u| u["short_name"] == name).unwrap().clone();
    assert_eq!(named("bob@hill.example")["long_name"], "Bob B.");
    assert_eq!(named("bob@hill.example")["shared_ipad"], true);
    for search in ["Bob%20B", "ann@hill", &guid] {
        let found = school.get(&format!("/devices?search={search}"));
        assert_eq!(found["items"].as_array().unwrap().len(), 1, "{search}");
    }
}

#[test]
fn user_enrolment_has_its_own_keys() {
    let school = School::new();
    let mac = school.enroll_deaf(Kind::Mac, 1);
    // Another device with the same server, known by EnrollmentID alone, under an identity of its own.
    let other = school.enroll_deaf(Kind::Ipad, 2);
    let mut caller = school.caller(Some(&other.identity()));
    let bad = caller.report(&report(&[("EnrollmentID", "e-1")]));
    assert_eq!(bad.status, 400, "it never enrolled, and the certificate is another device's");
    drop(mac);
}

#[test]
fn commands_go_only_where_they_are_taken() {
    let school = School::new();
    let mac = school.enroll_deaf(Kind::Mac, 1);
    let ipad = school.enroll_deaf(Kind::Ipad, 2);
    let person = mac.with(|d| d.spec().person.clone().unwrap().short_name);
    let why =
        school.try_send(&mac, Some(&person), "DeviceLock", json!({ "PIN": "123456" })).is_problem(400, "wrong-channel");
    assert!(why.contains("leave the user out"), "{why}");
    school.try_send(&mac, Some(&person), "DeviceConfigured", Value::Null).is_problem(400, "wrong-channel");
    school.try_send(&mac, None, "Restrictions", Value::Null).is_problem(400, "wrong-channel");
    school.try_send(&ipad, None, "AccountConfiguration", Value::Null).is(400);
    school.try_send(&mac, Some("nobody"), "ProfileList", Value::Null).is_problem(404, "user-not-managed");
    school.send_to(&mac, Some(&person), "ProfileList", Value::Null);
    school.send(&ipad, "Restrictions", Value::Null);
}

#[test]
fn a_push_goes_to_the_token_of_the_channel_that_has_work() {
    let school = School::new();
    let mac = school.enroll(Kind::Mac, 1);
    let person = mac.with(|d| d.spec().person.clone().unwrap().short_name);
    let user = school.send_to(&mac, Some(&person), "ProfileList", Value::Null);
    school.wait_for(&user, "Acknowledged");
    assert_eq!((mac.pushes(Channel::User).len(), mac.pushes(Channel::Device).len()), (1, 0));
    let own = school.send(&mac, "ProfileList", Value::Null);
    school.wait_for(&own, "Acknowledged");
    assert_eq!((mac.pushes(Channel::User).len(), mac.pushes(Channel::Device).len()), (1, 1));

    // The user's token dies; the device's lives on, and so does the user's queue.
    let line = mac.with(|d| d.state().user.clone().unwrap());
    school.stand_in.unregister(&line.token.0, SystemClock.now());
    let waiting = school.send_to(&mac, Some(&person), "ProfileList", Value::Null);
    school.wait_until("the user's channel to be dead", || {
        (school.device(&mac)["users"][0]["push"]["state"] == "dead").then_some(())
    });
    assert_eq!(school.device(&mac)["push"]["state"], "ok");
    let own = school.send(&mac, "ProfileList", Value::Null);
    school.wait_for(&own, "Acknowledged");
    assert_eq!(school.state_of(&waiting), "Queued");
    mac.renew_token(&school.stand_in, Channel::User);
    school.wait_for(&waiting, "Acknowledged");
}

#[test]
fn a_mac_with_its_users_side_by_side() {
    let school = School::new();
    let mac = school.enroll_deaf(Kind::Mac, 1);
    let person = mac.with(|d| d.spec().person.clone().unwrap());
    school.send_to(&mac, Some(&person.short_name), "ProfileList", Value::Null);
    let mut caller = school.caller(Some(&mac.identity()));
    let keys =
        [("UserID", text(&person.guid)), ("NotOnConsole", Plist::Boolean(true)), ("UserLongName", text("Renamed"))];
    let mut idle = cordon::plist::parse_dict(&wire::idle(&mac.udid())).unwrap().into_dictionary();
    idle.extend(keys.into_iter().map(|(k, v)| (k.to_owned(), v)));
    assert!(command_uuid(&caller.report(&cordon::plist::to_xml(&Plist::Dictionary(idle)))).is_some());
    let user = school.device(&mac)["users"][0].clone();
    assert_eq!((&user["not_on_console"], &user["long_name"]), (&json!(true), &json!("Renamed")));
    let told = school.get(&format!("/devices/{}/explain", mac.udid()));
    let channels = told["items"].as_array().unwrap();
    assert_eq!(channels.len(), 2);
    assert_eq!(
        (&channels[0]["channel"]["channel"], channels[0]["commands"].as_array().unwrap().len()),
        (&json!("device"), 0)
    );
    assert_eq!(channels[1]["commands"][0]["request_type"], "ProfileList");
    assert!(channels[1]["words"].to_string().contains("not the one on the screen"), "{told}");
    let only = school.get(&format!("/devices/{}/explain?user={}", mac.udid(), person.short_name));
    assert_eq!(only["items"].as_array().unwrap().len(), 1);
}

#[test]
fn shared_ipad_users_are_told_apart_by_name_alone() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    let names = ["ann@hill.example", "bob@hill.example", "cyd@hill.example", "dan@hill.example"];
    let users = names.map(|name| ipad.add_user(&school.stand_in, name, Account::SharedIpad));
    for user in users {
        assert!(ipad.log_in(user).managed);
        ipad.with(|d| d.log_out(user));
    }
    assert_eq!(school.device(&ipad)["users"].as_array().unwrap().len(), 4);
    let sent = names.map(|name| school.send_to(&ipad, Some(name), "ProfileList", Value::Null));
    // Only bob is there; the others' commands wait for them.
    school.wait_until("pushes to all four", || users.iter().all(|u| !ipad.pushes(*u).is_empty()).then_some(()));
    ipad.log_in(users[1]);
    school.wait_for(&sent[1], "Acknowledged");
    for other in [&sent[0], &sent[2], &sent[3]] {
        assert_eq!(school.state_of(other), "Queued");
    }
    for user in users {
        ipad.log_in(user);
    }
    for uuid in &sent {
        school.wait_for(uuid, "Acknowledged");
    }
    let why = school.try_send(&ipad, Some(names[0]), "DeviceLock", Value::Null).is_problem(400, "wrong-channel");
    assert!(why.contains("Shared iPad"), "{why}");
    // Commands about users go to the device itself.
    let list = school.send(&ipad, "UserList", Value::Null);
    let users_listed = school.wait_for(&list, "Acknowledged")["result"]["Users"].as_array().unwrap().len();
    assert_eq!(users_listed, 4);
    let quota =
        json!({ "Settings": [{ "Item": "SharedDeviceConfiguration", "QuotaSize": 4096, "UserSessionTimeout": 600 }] });
    school.wait_for(&school.send(&ipad, "Settings", quota), "Acknowledged");
    school.wait_for(&school.send(&ipad, "LogOutUser", Value::Null), "Acknowledged");
    assert!(ipad.with(|d| d.state().agents.iter().all(|a| !a.logged_in)));
    school.wait_for(&school.send(&ipad, "DeleteUser", json!({ "UserName": names[3] })), "Acknowledged");
}
