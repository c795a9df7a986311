//! Every kind of refusal that the device routes can give, each provoked on real sockets, and none of them ends a device's management:
//! also not when the fault is the server's own.

use super::school::{School, TOPIC, authenticate, dict, idle, token_update};
use super::wire::Answer;
use rusqlite::Connection;
use std::collections::BTreeSet;

#[test]
fn no_refusal_ends_management() {
    let school = School::start();
    let good = school.enroll("AAAA-SWEEP-000001");
    let other = school.enroll("AAAA-SWEEP-000002");
    let gone = school.enroll("AAAA-SWEEP-000003");
    let me = good.udid.as_str();
    let user = "11111111-2222-3333-4444-555555555555";
    let say = |kind: &str, more: &str| dict(&[("MessageType", kind), ("UDID", me)], more);
    let report =
        |status: &str, uuid: &str, more: &str| dict(&[("Status", status), ("UDID", me), ("CommandUUID", uuid)], more);
    let user_key = format!("<key>UserID</key><string>{user}</string>");
    let leave = dict(&[("MessageType", "CheckOut"), ("UDID", &gone.udid)], "");
    assert_eq!(school.put(Some(&gone.identity), "/mdm/checkin", &[], &leave).of_device(), 200);

    let mut seen = BTreeSet::new();
    let mut note = |name: &str, answer: Answer| {
        let status = answer.of_device();
        assert!([200, 400, 404, 405, 410, 413, 500, 503].contains(&status), "{name}: {}", answer.head);
        seen.insert(status);
    };
    let bodies = [
        (
            "authenticate of another topic",
            dict(&[("MessageType", "Authenticate"), ("UDID", me), ("Topic", "com.apple.mgmt.External.other")], ""),
        ),
        ("authenticate of no topic", say("Authenticate", "")),
        (
            "token update of another topic",
            String::from_utf8(token_update(me)).unwrap().replace(TOPIC, "com.apple.other").into_bytes(),
        ),
        ("token update of a user nobody knows", say("TokenUpdate", &user_key)),
        ("user authenticate", say("UserAuthenticate", &user_key)),
        (
            "user authenticate with a digest",
            say("UserAuthenticate", &format!("{user_key}<key>DigestResponse</key><string>x</string>")),
        ),
        ("user authenticate of nobody", say("UserAuthenticate", "")),
        ("bootstrap token wanted", say("GetBootstrapToken", "")),
        ("bootstrap token without one", say("SetBootstrapToken", "")),
        ("bootstrap token of another type", say("SetBootstrapToken", "<key>BootstrapToken</key><true/>")),
        ("token wanted", say("GetToken", "<key>TokenServiceType</key><string>com.apple.maid</string>")),
        ("token of an unknown service", say("GetToken", "<key>TokenServiceType</key><string>x</string>")),
        ("declarations", say("DeclarativeManagement", "<key>Endpoint</key><string>declaration-items</string>")),
        (
            "one declaration",
            say("DeclarativeManagement", "<key>Endpoint</key><string>declaration/configuration/none</string>"),
        ),
        (
            "a declaration endpoint of nonsense",
            say("DeclarativeManagement", "<key>Endpoint</key><string>../../etc/passwd</string>"),
        ),
        ("a return to service", say("ReturnToService", "")),
        ("a result of no command", report("Acknowledged", "NEVER-GIVEN", "")),
        ("a refusal of no command", report("Error", "NEVER-GIVEN", "<key>ErrorChain</key><array><true/></array>")),
        ("not now of no command", report("NotNow", "NEVER-GIVEN", "")),
        ("a result without a command", dict(&[("Status", "Acknowledged"), ("UDID", me)], "")),
        ("idle of a user", dict(&[("Status", "Idle"), ("UDID", me)], &user_key)),
        ("idle of an unknown device", idle("NOBODY")),
        ("idle of another device", idle(&other.udid)),
        ("idle of a device that left", idle(&gone.udid)),
        ("token update of a device that left", token_update(&gone.udid)),
        ("authenticate as another device", authenticate(&other.udid)),
        ("an account-driven device", dict(&[("Status", "Idle"), ("EnrollmentID", "E-1")], "")),
        ("not a property list", b"<html>".to_vec()),
    ];
    let identities = [("good", Some(&good.identity)), ("gone", Some(&gone.identity)), ("none", None)];
    for (who, identity) in identities {
        for (name, body) in &bodies {
            for path in ["/mdm/checkin", "/mdm/command"] {
                note(&format!("{name}, certificate {who}"), school.put(identity, path, &[], body));
            }
        }
    }
    let mend = || {
        let path = format!("/api/v1/devices/{me}/release-quarantine");
        // It may have named another device, and is then set aside.
        assert!(matches!(school.control("POST", &path, &serde_json::json!({})).0, 200 | 409));
    };
    mend();
    note("another method", school.ask("GET", "/mdm/checkin", &[], b""));
    note("another path", school.ask("PUT", "/mdm/other", &[], b""));
    note("too large", school.put(Some(&good.identity), "/mdm/checkin", &[], &[b'x'; 2_000_000]));
    school.serves(&good);
    school.serves(&other);

    // Our own fault: a table is missing. The device is told to come again, and is served when the fault is mended.
    let file = Connection::open(school.file()).unwrap();
    for table in ["enrollment", "certificate", "binding"] {
        file.execute_batch(&format!("PRAGMA legacy_alter_table = ON; ALTER TABLE {table} RENAME TO hidden")).unwrap();
        for (name, body) in &bodies {
            note(&format!("{name} without {table}"), school.put(Some(&good.identity), "/mdm/checkin", &[], body));
        }
        let status = school.put(Some(&good.identity), "/mdm/command", &[], &idle(me)).of_device();
        assert!(matches!(status, 500 | 503), "{status} without {table}");
        file.execute_batch(&format!("PRAGMA legacy_alter_table = ON; ALTER TABLE hidden RENAME TO {table}")).unwrap();
    }
    let provoked: Vec<u16> = seen.into_iter().collect();
    mend();
    for wanted in [200, 400, 404, 405, 410, 413, 500] {
        assert!(provoked.contains(&wanted), "the sweep no longer provokes {wanted}: {provoked:?}");
    }
    school.serves(&good);
}
