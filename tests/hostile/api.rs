//! The API in the hands of a script that is wrong, and of one that is not allowed.

use super::school::School;
use super::wire::Answer;

#[test]
fn wrong_requests_are_told_what_is_wrong() {
    let school = School::start();
    let good = school.enroll("AAAA-API-00000001");
    let bearer = format!("Bearer {}", school.token("owner"));
    let send =
        |method: &str, target: &str, body: &[u8]| school.ask(method, target, &[("Authorization", &bearer)], body);
    let deep = format!("{{\"name\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let bodies: [&[u8]; 9] = [
        b"{",
        b"not JSON",
        b"[]",
        b"null",
        b"\"text\"",
        br#"{"name":5,"role":"owner"}"#,
        br#"{"name":"x","role":"king"}"#,
        br#"{"name":"x","role":"owner","surprise":1}"#,
        deep.as_bytes(),
    ];
    for body in bodies {
        is_problem(&send("POST", "/api/v1/tokens", body), 400);
    }
    for body in [
        &br#"{"access_rights":"all"}"#[..],
        br#"{"access_rights":0}"#,
        br#"{"access_rights":4294967295}"#,
        br#"{"access_rights":-1}"#,
        br#"{"identity":"none"}"#,
        br#"{"signd":true}"#,
    ] {
        is_problem(&send("POST", "/api/v1/enrollments/profile", body), 400);
    }
    let certificates = [
        &br#"{}"#[..],
        br#"{"certificate_pem":"x"}"#,
        br#"{"certificate_pem":"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"}"#,
    ];
    for body in certificates {
        is_problem(&send("POST", "/api/v1/push-certificates", body), 400);
    }
    let commands = format!("/api/v1/devices/{}/commands", good.udid);
    for body in [
        &b""[..],
        b"{}",
        b"[]",
        br#"{"RequestType":5}"#,
        br#"{"RequestType":"Surprise"}"#,
        br#"{"RequestType":"DeviceInformation","Surprise":1}"#,
        br#"{"RequestType":"DeviceInformation","CommandUUID":"\u0000"}"#,
        br#"{"RequestType":"DeviceInformation","not_before":"tomorrow"}"#,
    ] {
        is_problem(&send("POST", &commands, body), 400);
    }
    let raw = school.ask(
        "POST",
        &commands,
        &[("Authorization", &bearer), ("Content-Type", "application/xml")],
        b"<plist><dict>",
    );
    is_problem(&raw, 400);
    for list in ["devices", "commands", "audit"] {
        for query in [
            "limit=0",
            "limit=-1",
            "limit=501",
            "limit=99999999999999999999",
            "limit=many",
            "limit=",
            "limit=%zz%",
            "cursor=x",
            "cursor=",
            "cursor=1.5",
            "cursor=99999999999999999999",
        ] {
            let answer = send("GET", &format!("/api/v1/{list}?{query}"), b"");
            // A broken escape counts as absent.
            if query == "limit=%zz%" { assert_eq!(answer.status, 200) } else { is_problem(&answer, 400) }
        }
    }
    for target in [
        "/api/",
        "/api/v1",
        "/api/v1/",
        "/api/v2/devices",
        "/api/v1/devices/%00",
        "/api/v1/devices/%ff%fe",
        "/api/v1/devices/nobody",
        "/api/v1/commands/nothing",
        "/api/v1/commands/x/explain",
        "/api/v1/devices/../tokens",
        "/api/v1/devices/'%20OR%201=1",
    ] {
        let answer = send("GET", target, b"");
        assert!(matches!(answer.status, 400 | 404), "{target}: {}", answer.head);
        is_problem(&answer, answer.status);
    }
    let search = "/api/v1/devices?search=%25%27%22%3B--%E2%82%AC%00";
    assert!(matches!(send("GET", search, b"").status, 200 | 400));
    school.serves(&good);
}

#[test]
fn without_the_right_token_nothing_is_told() {
    let school = School::start();
    let good = school.enroll("AAAA-API-00000002");
    let owner = school.token("owner");
    let device = format!("/api/v1/devices/{}", good.udid);
    let bent = format!("Bearer {}x", &owner[..owner.len() - 1]);
    for header in [
        None,
        Some(""),
        Some("Bearer"),
        Some("Bearer "),
        Some("Basic b3duZXI6"),
        Some("Bearer cordon_"),
        Some(bent.as_str()),
        Some(owner.as_str()),
    ] {
        let headers: Vec<(&str, &str)> = header.map(|value| ("Authorization", value)).into_iter().collect();
        for (method, target) in [
            ("GET", "/api/v1/devices"),
            ("GET", device.as_str()),
            ("POST", "/api/v1/tokens"),
            ("GET", "/api/v1/nowhere"),
            ("GET", "/api/v1/audit"),
        ] {
            let answer = school.ask(method, target, &headers, b"");
            is_problem(&answer, 401);
            assert!(answer.header("www-authenticate").is_some());
        }
    }
    // What the command line says of itself on its own socket means nothing here.
    is_problem(&school.ask("GET", "/api/v1/tokens", &[("X-Cordon-Local-User", "root"), ("Cordon-Uid", "0")], b""), 401);

    let roles = ["owner", "admin", "helpdesk", "teacher", "auditor"];
    let tokens = roles.map(|role| if role == "owner" { owner.clone() } else { school.token(role) });
    let erase = (r#"{"RequestType":"EraseDevice","reason":"sold to the parents"}"#, format!("{device}/commands"));
    let ask = (r#"{"RequestType":"DeviceInformation","Queries":["UDID"]}"#, format!("{device}/commands"));
    // Who may: the rest is told 403.
    let doors: [(&str, &str, &str, &[&str]); 6] = [
        // A teacher sees the devices of own classes, and there are none.
        ("GET", "/api/v1/devices", "", &["owner", "admin", "helpdesk", "teacher", "auditor"]),
        ("GET", "/api/v1/audit", "", &["owner", "admin", "auditor"]),
        ("POST", "/api/v1/enrollments/profile", "{}", &["owner", "admin"]),
        ("GET", "/api/v1/tokens", "", &["owner"]),
        ("POST", &ask.1, ask.0, &["owner", "admin", "helpdesk"]),
        ("POST", &erase.1, erase.0, &["owner", "admin"]),
    ];
    for (method, target, body, allowed) in doors {
        for (role, token) in roles.iter().zip(&tokens) {
            let answer = school.ask(method, target, &[("Authorization", &format!("Bearer {token}"))], body.as_bytes());
            if allowed.contains(role) {
                assert!(answer.status < 300, "{role}: {method} {target}: {}", String::from_utf8_lossy(&answer.body));
            } else {
                // To a teacher, a device of somebody else's class is not there.
                let hidden = *role == "teacher" && target.starts_with(&device) && answer.status == 404;
                is_problem(&answer, if hidden { 404 } else { 403 });
            }
        }
    }
    // A command is waiting now, so the good device is another.
    school.serves(&school.enroll("AAAA-API-00000003"));
}

/// RFC 9457, without anything that is nobody's business.
fn is_problem(answer: &Answer, status: u16) {
    let words = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status, status, "{}{words}", answer.head);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{words}");
    let problem = answer.json();
    assert_eq!(problem["status"], status);
    assert!(problem["detail"].as_str().is_some_and(|text| !text.is_empty()), "{words}");
    for secret in ["SELECT", "sqlite", "src/", "panicked", "cordon_"] {
        assert!(!words.contains(secret), "{words}");
    }
}
