//! Every kind of refusal that the device routes can give, each provoked on real sockets, and none of them ends a device's management:
//! also not when the fault is the server's own, whatever state device and certificate are in. Only an administrator's word does, or the
//! policy about strangers.

use super::school::{Pupil, School, TOPIC, authenticate, dict, idle, token_update};
use super::wire::Answer;
use cordon::base::time::DAY;
use rusqlite::Connection;
use serde_json::json;
use std::collections::BTreeSet;

/// Everything that can be said on the device routes, good and bad, in the name of `me`.
fn bodies(me: &str, other: &str, gone: &str) -> Vec<(&'static str, Vec<u8>)> {
    let user = "11111111-2222-3333-4444-555555555555";
    let say = |kind: &str, more: &str| dict(&[("MessageType", kind), ("UDID", me)], more);
    let report =
        |status: &str, uuid: &str, more: &str| dict(&[("Status", status), ("UDID", me), ("CommandUUID", uuid)], more);
    let user_key = format!("<key>UserID</key><string>{user}</string>");
    vec![
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
        ("idle of another device", idle(other)),
        ("idle of a device that left", idle(gone)),
        ("token update of a device that left", token_update(gone)),
        ("authenticate as another device", authenticate(other)),
        ("an account-driven device", dict(&[("Status", "Idle"), ("EnrollmentID", "E-1")], "")),
        ("not a property list", b"<html>".to_vec()),
    ]
}

#[test]
fn no_refusal_ends_management() {
    let school = School::start();
    let good = school.enroll("AAAA-SWEEP-000001");
    let other = school.enroll("AAAA-SWEEP-000002");
    let gone = school.enroll("AAAA-SWEEP-000003");
    let me = good.udid.as_str();
    let leave = dict(&[("MessageType", "CheckOut"), ("UDID", &gone.udid)], "");
    assert_eq!(school.put(Some(&gone.identity), "/mdm/checkin", &[], &leave).of_device(), 200);

    let mut seen = BTreeSet::new();
    let mut note = |name: &str, answer: Answer| {
        let status = answer.of_device();
        assert!([200, 400, 404, 405, 410, 413, 500, 503].contains(&status), "{name}: {}", answer.head);
        seen.insert(status);
    };
    let bodies = bodies(me, &other.udid, &gone.udid);
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

/// A device in some state, and what it may be told.
struct Case {
    state: &'static str,
    pupil: Pupil,
    /// An administrator ended its management.
    ended: bool,
}

/// `POST /devices/{udid}/{verb}`.
fn order(school: &School, pupil: &Pupil, verb: &str) {
    let (status, body) = school.control("POST", &format!("/api/v1/devices/{}/{verb}", pupil.udid), &json!({}));
    assert!(matches!(status, 200 | 201), "{verb}: {status} {}", String::from_utf8_lossy(&body));
}

fn check_out(school: &School, pupil: &Pupil) {
    let leave = dict(&[("MessageType", "CheckOut"), ("UDID", &pupil.udid)], "");
    assert_eq!(school.put(Some(&pupil.identity), "/mdm/checkin", &[], &leave).of_device(), 200);
}

/// One device in each state that there is.
fn cases(school: &School) -> Vec<Case> {
    let mut made = Vec::new();
    let mut add = |state: &'static str, ended: bool, change: &dyn Fn(&mut Pupil)| {
        let mut pupil = school.enroll(&format!("AAAA-STATE-{:06}", made.len()));
        change(&mut pupil);
        made.push(Case { state, pupil, ended });
    };
    add("enrolled", false, &|_| ());
    add("checked out", false, &|p| check_out(school, p));
    add("checked out and taken back", false, &|p| {
        check_out(school, p);
        order(school, p, "take-back");
    });
    add("set aside as a clone", false, &|p| {
        assert_eq!(school.put(Some(&p.identity), "/mdm/command", &[], &idle("THE-CLONE")).of_device(), 400);
    });
    add("revoked by hand", false, &|p| {
        let path = format!("/api/v1/certificates/{}/revoke", p.identity.certificate.serial_hex());
        assert_eq!(school.control("POST", &path, &json!({})).0, 200);
    });
    add("replaced by another identity", false, &|p| {
        let before = std::mem::replace(p, school.enroll(&p.udid));
        p.identity = before.identity;
    });
    add("another identity of the school's", false, &|p| p.identity = school.identity());
    add("started, and nothing more", false, &|p| {
        *p = Pupil { identity: school.identity(), udid: String::from("AAAA-STARTED-0001") };
        let first = authenticate(&p.udid);
        assert_eq!(school.put(Some(&p.identity), "/mdm/checkin", &[], &first).of_device(), 200);
    });
    add("being removed by command", false, &|p| order(school, p, "remove"));
    add("released", true, &|p| order(school, p, "release"));
    add("blocked", true, &|p| order(school, p, "block"));
    add("blocked after it left", true, &|p| {
        check_out(school, p);
        order(school, p, "block");
    });
    add("blocked and unblocked", false, &|p| {
        order(school, p, "block");
        order(school, p, "unblock");
    });
    made
}

/// How often a device was told to leave, when everything is said on both routes under its identity (as a proxy hands it on), and under none.
fn sweep(school: &School, case: &Case, other: &Pupil) -> usize {
    let mut told = 0;
    let (me, forwarded) = (case.pupil.udid.as_str(), case.pupil.forwarded());
    let mut said = bodies(me, &other.udid, "AAAA-STATE-000001");
    said.extend([("idle", idle(me)), ("token update", token_update(me))]);
    for (name, body) in said {
        // What names another device may set this identity aside; that is a state of its own.
        if ["another device", "device that left", "unknown device", "account-driven"].iter().any(|w| name.contains(w)) {
            continue;
        }
        for path in ["/mdm/checkin", "/mdm/command"] {
            let status = |headers: &[(&str, &str)]| school.ask("PUT", path, headers, &body).status;
            let own = status(&[("Client-Cert", &forwarded)]);
            assert!(case.ended || ![401, 403].contains(&own), "{}: {name} was answered {own}", case.state);
            told += usize::from([401, 403].contains(&own));
            let nobody = status(&[]);
            assert!(![401, 403].contains(&nobody), "{}: {name} without a certificate: {nobody}", case.state);
        }
    }
    told
}

#[test]
fn in_no_state_is_a_device_told_to_leave_unless_an_administrator_said_so() {
    let school = School::start();
    let other = school.enroll("AAAA-OTHER-000001");
    let all = cases(&school);
    for case in &all {
        let told = sweep(&school, case, &other);
        assert_eq!(told > 0, case.ended, "{}: told {told} times", case.state);
    }
    // With the policy about strangers nothing changes for a device that is known here.
    let (status, _) = school.control("PATCH", "/api/v1/device-policy", &json!({ "unenroll_strangers": true }));
    assert_eq!(status, 200);
    for case in &all {
        assert_eq!(sweep(&school, case, &other) > 0, case.ended, "{}, with the policy", case.state);
    }
    let answer = school.put(None, "/mdm/command", &[], &idle("NOBODY-HERE"));
    assert_eq!(answer.status, 401, "only who is nobody here");
    // Expired and still good for its renewal, expired for good, and with a clock that runs behind.
    for days in [370, 60, -500] {
        school.clock.advance(days * DAY);
        for case in all.iter().filter(|case| !case.ended) {
            assert_eq!(sweep(&school, case, &other), 0, "{}, {days} days on", case.state);
        }
    }
}
