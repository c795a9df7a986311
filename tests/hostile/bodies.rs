//! What comes as a message of a device: empty, huge, cut, nested, of another format, with entities; and what comes to wrong addresses.

use super::school::{School, dict, idle, plist};
use super::wire::{self, Answer};
use std::io::Write;
use std::net::Shutdown;

const URLS: [&str; 2] = ["/mdm/checkin", "/mdm/command"];

/// A document of `count` arrays inside each other.
fn nested(count: usize) -> Vec<u8> {
    plist(&format!("<dict><key>Status</key>{}{}</dict>", "<array>".repeat(count), "</array>".repeat(count)))
}

#[test]
fn documents_that_nobody_should_send() {
    let school = School::start();
    let good = school.enroll("AAAA-BODIES-000001");
    let idle = idle(&good.udid);
    let text = String::from_utf8(idle.clone()).unwrap();
    let with_doctype = |subset: &str, name: &str| {
        let start = text.find("<!DOCTYPE").unwrap();
        let end = start + text[start..].find('>').unwrap() + 1;
        format!("{}<!DOCTYPE plist [{subset}]>{}", &text[..start], text[end..].replace("Idle", name)).into_bytes()
    };
    let laughs: String = (1..30).map(|i| format!("<!ENTITY l{i} \"&l{0};&l{0};\">", i - 1)).collect();
    let mut utf16 = vec![0xff, 0xfe];
    utf16.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("a zero byte", vec![0]),
        ("noise", (0..2_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()),
        ("100,000 arrays in each other", nested(100_000)),
        ("100,000 arrays that never end", plist(&"<array>".repeat(100_000))),
        ("a million values", plist(&format!("<dict><key>Status</key><array>{}</array></dict>", "<true/>".repeat(140_000)))),
        ("internal subset", with_doctype("<!ELEMENT plist ANY>", "Idle")),
        ("entity", with_doctype("<!ENTITY e \"Idle\">", "&e;")),
        ("entity of a file", with_doctype("<!ENTITY e SYSTEM \"file:///etc/passwd\">", "&e;")),
        ("a billion laughs", with_doctype(&format!("<!ENTITY l0 \"Idle\">{laughs}"), "&l29;")),
        ("unknown entity", text.replace("Idle", "&unknown;").into_bytes()),
        ("binary", b"bplist00\xd1\x01\x02VStatusTIdle\x08\x0b\x12\0\0\0\0\0\0\x01\x01\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x17".to_vec()),
        ("binary that refers to itself", b"bplist00\xa1\0\x08\0\0\0\0\0\0\x01\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0a".to_vec()),
        ("JSON", br#"{"Status":"Idle"}"#.to_vec()),
        ("UTF-16", utf16),
        ("not UTF-8", [&b"<plist><dict><key>Status</key><string>\xff\xfe"[..], b"</string></dict></plist>"].concat()),
        ("not a dictionary", plist("<array/>")),
        ("no sender", dict(&[("Status", "Idle")], "")),
        ("neither message nor report", dict(&[("UDID", &good.udid)], "")),
        ("status of another type", dict(&[("UDID", &good.udid)], "<key>Status</key><array/>")),
        ("unknown status", dict(&[("Status", "Sleepy"), ("UDID", &good.udid)], "")),
        ("id of another type", dict(&[("Status", "Idle")], "<key>UDID</key><integer>5</integer>")),
        ("id without an end", dict(&[("Status", "Idle"), ("UDID", &"A".repeat(100_000))], "")),
        ("id with control characters", dict(&[("Status", "Idle"), ("UDID", "A&#10;B")], "")),
        ("unknown message", dict(&[("MessageType", "Surprise"), ("UDID", &good.udid)], "")),
        ("token update without a token", dict(&[("MessageType", "TokenUpdate"), ("UDID", &good.udid)], "")),
        ("a date past the end of time", dict(&[("Status", "Idle"), ("UDID", &good.udid)], "<key>D</key><date>9999-12-31T23:59:60-23:59</date>")),
    ];
    for (name, body) in &cases {
        for url in URLS {
            let answer = school.put(Some(&good.identity), url, &[], body);
            assert!(matches!(answer.of_device(), 400 | 413), "{name} at {url}: {}", answer.head);
            // Only the listener's own 413, before anything was read, has a word of text.
            assert!(answer.body.is_empty() || answer.status == 413, "{name} at {url}: a refusal tells nothing");
        }
        // The same without a certificate: told apart by nothing but the log.
        assert!(matches!(school.put(None, URLS[0], &[], body).of_device(), 400 | 413), "{name}");
    }
    for cut in (0..idle.len() - "</dict></plist>\n".len()).step_by(9) {
        let answer = school.ask("PUT", URLS[1], &[("Client-Cert", &good.forwarded())], &idle[..cut]);
        assert_eq!(answer.of_device(), 400, "cut at {cut}");
    }
    school.serves(&good);
}

#[test]
fn content_decides_not_its_declared_type() {
    let school = School::start();
    let good = school.enroll("AAAA-BODIES-000002");
    for kind in
        ["application/json", "text/html; charset=utf-16", "application/x-apple-aspen-mdm-checkin", "", "nonsense"]
    {
        for url in URLS {
            let answer = school.put(Some(&good.identity), url, &[("Content-Type", kind)], &idle(&good.udid));
            assert_eq!((answer.of_device(), answer.body.len()), (200, 0), "{kind} at {url}");
        }
    }
    school.serves(&good);
}

#[test]
fn bodies_without_end_or_too_large() {
    let school = School::start();
    let good = school.enroll("AAAA-BODIES-000003");
    let huge = vec![b'x'; 20 * 1024 * 1024];
    // Named large at its head: refused before a byte of it is kept. A stranger's result counts as a check-in.
    for identity in [None, Some(&good.identity)] {
        assert_eq!(school.put(identity, URLS[0], &[], &huge).of_device(), 413);
    }
    assert_eq!(school.put(None, URLS[1], &[], &huge).of_device(), 413);
    // A device's own result of 20 MB is read, and refused because it names no command.
    assert_eq!(school.put(Some(&good.identity), URLS[1], &[], &huge).of_device(), 413);
    for (method, target) in [("POST", "/scep?operation=PKIOperation"), ("POST", "/api/v1/setup"), ("PUT", "/nowhere")] {
        assert_eq!(school.ask(method, target, &[], &huge).status, 413, "{method} {target}");
    }
    let chunked = |chunk: &[u8], count: usize| -> Answer {
        let mut tcp = wire::connect(school.proxied());
        tcp.write_all(b"PUT /mdm/checkin HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        // The refusal comes in the middle of it.
        let _ = (0..count).try_for_each(|_| tcp.write_all(chunk));
        wire::read_answer(&mut tcp).unwrap()
    };
    assert_eq!(chunked(&[b"100000\r\n", &huge[..0x10_0000], b"\r\n"].concat(), 20).of_device(), 413);
    assert_eq!(chunked(b"zz\r\nnot hexadecimal\r\n0\r\n\r\n", 1).of_device(), 400);
    assert_eq!(chunked(b"ffffffffffffffffff\r\n", 1).of_device(), 400);

    // Cut: the client ends before what it promised.
    let whole = wire::request("PUT", URLS[1], &[("Client-Cert", &good.forwarded())], &idle(&good.udid));
    for cut in [whole.len() - 1, whole.len() - 40] {
        let mut tcp = wire::connect(school.proxied());
        tcp.write_all(&whole[..cut]).unwrap();
        tcp.shutdown(Shutdown::Write).unwrap();
        if let Ok(answer) = wire::read_answer(&mut tcp) {
            assert_eq!(answer.of_device(), 400, "cut at {cut}");
        }
    }
    school.serves(&good);
}

#[test]
fn wrong_methods_and_addresses() {
    let school = School::start();
    let good = school.enroll("AAAA-BODIES-000004");
    let certificate = good.forwarded();
    for url in URLS {
        for method in ["GET", "POST", "DELETE", "PATCH", "OPTIONS", "PROPFIND"] {
            let answer = school.ask(method, url, &[("Client-Cert", &certificate)], &idle(&good.udid));
            assert_eq!((answer.of_device(), answer.header("allow")), (405, Some("PUT")), "{method} {url}");
        }
    }
    let answer = school.ask("PUT", "/scep?operation=PKIOperation", &[], b"");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, POST")));
    for target in [
        "/nowhere",
        "/mdm",
        "/mdm/",
        "/mdm/checkin/",
        "/mdm/../mdm/checkin",
        "//mdm/checkin",
        "/MDM/CHECKIN",
        "/mdm%2fcheckin",
        "/scep/x",
        "/%00",
        "/%zz",
    ] {
        let answer = school.ask("PUT", target, &[("Client-Cert", &certificate)], &idle(&good.udid));
        assert_eq!(answer.of_device(), 404, "{target}");
    }
    // The devices' door has nothing else behind it.
    for target in ["/", "/healthz", "/scep?operation=GetCACaps", "/api/v1/devices"] {
        assert_eq!(school.put(Some(&good.identity), target, &[], b"").of_device(), 404, "{target}");
    }
    // A head that two readers would cut in two ways (RFC 9112, section 6.3) is nobody's request.
    for smuggled in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: -1",
        "Content-Length: 5, 5",
        "Transfer-Encoding: gzip, xchunked",
    ] {
        let head = format!("PUT /mdm/command HTTP/1.1\r\nHost: localhost\r\n{smuggled}\r\n\r\n0\r\n\r\n");
        if let Ok(answer) = wire::exchange(&mut wire::connect(school.proxied()), head.as_bytes()) {
            assert_eq!(answer.of_device(), 400, "{smuggled}");
            assert_eq!(answer.header("connection"), Some("close"), "{smuggled}");
        }
    }
    for junk in [
        &b"\x16\x03\x01\x02\0\x01\0"[..],
        b"SSH-2.0-x\r\n\r\n",
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ] {
        let mut tcp = wire::connect(school.proxied());
        tcp.write_all(junk).unwrap();
        tcp.shutdown(Shutdown::Write).unwrap();
        if let Ok(answer) = wire::read_answer(&mut tcp) {
            assert!((400..=505).contains(&answer.of_device()), "{junk:?}: {}", answer.head);
        }
    }
    school.serves(&good);
}
