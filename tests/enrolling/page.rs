//! The page: what it says, who it lets in, what a code is good for.

use super::{BUILT_IN, Door, assert_enrolled, code};
use cordon::simulator::arriving::{Pass, show};
use cordon::simulator::browser::{Browser, hidden};
use cordon::simulator::device::DeviceError;
use cordon::simulator::spec::Kind;
use cordon::simulator::wire::Answer;
use serde_json::json;

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

#[test]
fn an_invitation_enrols_one_device_by_the_page() {
    let door = Door::new();
    let made = door.invite(json!({ "for": "Ada's iPad", "class": "7b" }));
    let pass = made["code"].as_str().unwrap();
    assert_eq!(door.invitation(&made["id"])["state"], "open");
    let ipad = door.unpack(Kind::Ipad, 1);
    let (page, anchors) = (door.url("/enroll"), door.anchors());
    ipad.with(|d| d.enroll_by_page(&page, &anchors, code(pass), &BUILT_IN[0])).unwrap();
    assert_enrolled(&door, &ipad);

    let after = door.invitation(&made["id"]);
    assert_eq!((&after["state"], &after["used"]), (&json!("used"), &json!(1)));
    assert_eq!(after["devices"][0]["serial"], door.school.device(&ipad)["serial"]);
    let arrived = &door.school.device(&ipad)["arrival"];
    assert_eq!(
        (&arrived["way"], &arrived["visitor"]),
        (&json!("profile"), &json!(format!("invitation:{}", made["id"].as_str().unwrap())))
    );

    // The code is worth nothing now, for whoever holds it.
    let second = door.unpack(Kind::Ipad, 2);
    let again = second.with(|d| d.enroll_by_page(&page, &anchors, code(pass), &BUILT_IN[0]));
    assert!(matches!(again, Err(DeviceError::Refused { status: 403, .. })), "{:?}", again.err());
    let refused = show(&mut door.browser(), &page, code(pass)).unwrap();
    assert!(text(&refused).contains("enrolled with this invitation already"), "{}", text(&refused));
}

#[test]
fn a_mac_enrols_with_its_person() {
    let door = Door::new();
    let mac = door.unpack(Kind::Mac, 4);
    let pass = door.code();
    mac.with(|d| d.enroll_by_page(&door.url("/enroll"), &door.anchors(), code(&pass), &BUILT_IN[0])).unwrap();
    assert_enrolled(&door, &mac);
    assert_eq!(door.school.device(&mac)["users"][0]["short_name"], mac.user());
}

#[test]
fn a_person_of_the_school_enrols_with_a_password() {
    let door = Door::new();
    door.school.api("POST", "/users", &json!({ "short_name": "ada", "password": "tin roof in may" })).is(201);
    let ipad = door.unpack(Kind::Ipad, 1);
    let (page, anchors) = (door.url("/enroll"), door.anchors());
    let wrong = Pass::Login { name: "ada", password: "tin roof in june" };
    assert!(matches!(
        ipad.with(|d| d.fetch_by_page(&page, &anchors, wrong)),
        Err(DeviceError::Refused { status: 403, .. })
    ));
    let right = Pass::Login { name: "ada", password: "tin roof in may" };
    ipad.with(|d| d.enroll_by_page(&page, &anchors, right, &BUILT_IN[0])).unwrap();
    assert_enrolled(&door, &ipad);
}

#[test]
fn a_device_that_fails_on_the_way_comes_again_with_the_same_code() {
    let door = Door::new();
    let (page, anchors, pass) = (door.url("/enroll"), door.anchors(), door.code());
    let ipad = door.unpack(Kind::Ipad, 1);
    // The download waits in Settings until iPadOS forgets it; and the person fetches another in the same visit.
    let first = ipad.with(|d| d.fetch_by_page(&page, &anchors, code(&pass))).unwrap();
    let mut browser = door.browser();
    assert_eq!(show(&mut browser, &page, code(&pass)).unwrap().status, 200);
    let (second, third) = (browser.open("/enroll/profile").unwrap(), browser.open("/enroll/profile").unwrap());
    assert_eq!((second.status, third.status), (200, 200));
    assert_eq!(third.find_header("cache-control"), Some("no-store"));
    // Only the last is worth something.
    for worthless in [&first, &second.body] {
        assert!(matches!(ipad.with(|d| d.enroll(worthless)), Err(DeviceError::Scep(_))));
    }
    ipad.with(|d| d.enroll(&third.body)).unwrap();
    assert_enrolled(&door, &ipad);
    assert_eq!(browser.open("/enroll/profile").unwrap().status, 403);
}

#[test]
fn expired_revoked_and_wrong_codes_are_told_apart_in_plain_words() {
    let door = Door::new();
    let page = door.url("/enroll");
    let said = |pass: &str| {
        let answer = show(&mut door.browser(), &page, code(pass)).unwrap();
        (answer.status, text(&answer))
    };
    let revoked = door.invite(json!({ "for": "x" }));
    door.school.api("DELETE", &format!("/invitations/{}", revoked["id"].as_str().unwrap()), &json!(null)).is(204);
    let expiring = door.invite(json!({ "for": "y", "expires_in": "1h" }));
    let open = door.invite(json!({ "for": "z" }));
    let (status, words) = said(revoked["code"].as_str().unwrap());
    assert!(status == 403 && words.contains("was withdrawn"), "{words}");
    let (status, words) = said("2222-2222-2222");
    assert!(status == 403 && words.contains("role=\"alert\"") && words.contains("letter by letter"), "{words}");
    door.clock.advance(2 * 3_600_000);
    let (status, words) = said(expiring["code"].as_str().unwrap());
    assert!(status == 403 && words.contains("ended at"), "{words}");
    // As people type: capitals, blanks.
    assert_eq!(said(&open["code"].as_str().unwrap().to_uppercase().replace('-', " ")).0, 200);
    door.school.api("DELETE", "/invitations/i-none", &json!(null)).is_problem(404, "no-such-invitation");
}

#[test]
fn a_class_invitation_counts_its_devices() {
    let door = Door::new();
    let made = door.invite(json!({ "for": "Teachers", "uses": 2 }));
    let pass = made["code"].as_str().unwrap();
    let (page, anchors) = (door.url("/enroll"), door.anchors());
    for seed in [1, 2] {
        let ipad = door.unpack(Kind::Ipad, seed);
        ipad.with(|d| d.enroll_by_page(&page, &anchors, code(pass), &BUILT_IN[0])).unwrap();
    }
    assert_eq!(door.invitation(&made["id"])["devices"].as_array().unwrap().len(), 2);
    assert_eq!(show(&mut door.browser(), &page, code(pass)).unwrap().status, 403);
}

#[test]
fn forms_from_elsewhere_and_visits_that_are_over_get_nothing() {
    let door = Door::new();
    let pass = door.code();
    // Another site can send the form, but knows neither the cookie nor its digest.
    let mut elsewhere = door.browser();
    let answer = elsewhere.submit("/enroll", &[("code", &pass), ("form", &"0".repeat(64))]).unwrap();
    assert!(answer.status == 400 && text(&answer).contains("Try once more"));
    elsewhere.open("/enroll").unwrap();
    assert_eq!(elsewhere.submit("/enroll", &[("code", &pass)]).unwrap().status, 400);
    // Without a visit, and after it.
    assert_eq!(door.browser().open("/enroll/profile").unwrap().status, 403);
    let mut browser = door.browser();
    show(&mut browser, &door.url("/enroll"), code(&pass)).unwrap();
    door.clock.advance(3_600_001);
    assert_eq!(browser.open("/enroll/profile").unwrap().status, 403);
    assert_eq!(browser.open("/enroll/go").unwrap().status, 403);
    // Too much, cut, senseless.
    assert_eq!(door.browser().submit("/enroll", &[("code", &"x".repeat(70_000))]).unwrap().status, 413);
    assert_eq!(door.browser().open("/enroll/none").unwrap().status, 404);
    assert_eq!(door.browser().submit("/enroll/go", &[]).unwrap().status, 405);
}

#[test]
fn guessing_is_slowed_down() {
    let door = Door::new();
    let page = door.url("/enroll");
    let mut browser = door.browser();
    let statuses: Vec<u16> = (0..24)
        .map(|n| show(&mut browser, &page, code(&format!("2222-2222-22{:02}", 22 + n))).unwrap().status)
        .collect();
    assert_eq!(statuses[0], 403);
    assert_eq!(statuses[23], 429, "{statuses:?}");
    let told = show(&mut browser, &page, code(&door.code())).unwrap();
    assert!(told.find_header("retry-after").is_some() && text(&told).contains("nothing is locked for good"));
}

/// A visitor whose requests come through the proxy, with these words about where from.
fn through(door: &Door, forwarded: &str) -> Browser {
    let mut browser = door.browser();
    browser.headers.push(("X-Forwarded-For".into(), forwarded.into()));
    browser
}

#[test]
fn behind_a_trusted_proxy_guesses_are_counted_by_the_address_that_it_names() {
    let door = Door::behind_a_proxy(&["127.0.0.1".parse().unwrap()]);
    let page = door.url("/enroll");
    let wrong = |from: &str, n: usize| {
        show(&mut through(&door, from), &page, code(&format!("3333-3333-33{:02}", 22 + n))).unwrap().status
    };
    // Whatever the client itself puts in front of the proxy's word.
    let statuses: Vec<u16> = (0..22).map(|n| wrong(&format!("10.0.0.{n}, 198.51.100.7"), n)).collect();
    assert_eq!((statuses[0], statuses[21]), (403, 429), "{statuses:?}");
    assert_eq!(wrong("198.51.100.8", 50), 403, "somebody else is not slowed down");
    let open = door.code();
    assert_eq!(show(&mut through(&door, "198.51.100.8"), &page, code(&open)).unwrap().status, 200);
    let entered = door.school.get("/audit?verb=enrollment.enter");
    assert_eq!(entered["items"][0]["origin"], "198.51.100.8", "{entered}");
}

#[test]
fn behind_a_proxy_that_is_not_trusted_everybody_is_counted_together_and_waits_seconds_only() {
    let door = Door::behind_a_proxy(&[]);
    let page = door.url("/enroll");
    let statuses: Vec<u16> = (0..102)
        .map(|n| {
            // Lies about addresses do not help.
            let mut browser = through(&door, &format!("203.0.113.{n}"));
            show(&mut browser, &page, code(&format!("4444-4444-4{:03}", 100 + n))).unwrap().status
        })
        .collect();
    assert!(statuses[..100].iter().all(|status| *status == 403) && statuses[101] == 429, "{statuses:?}");
    let open = door.code();
    let told = show(&mut door.browser(), &page, code(&open)).unwrap();
    let wait: u64 = told.find_header("retry-after").unwrap().parse().unwrap();
    assert!(told.status == 429 && wait <= 5, "{} {wait}", told.status);
    door.clock.advance(5_000);
    assert_eq!(show(&mut door.browser(), &page, code(&open)).unwrap().status, 200);
}

#[test]
fn the_page_says_what_the_profile_asks_for_and_needs_nothing_from_elsewhere() {
    let door = Door::new();
    let first = door.browser().open("/enroll?code=k7m2-p9xw-4htz").unwrap();
    let page = text(&first);
    for said in [
        "Profile Downloaded",
        "Device Management",
        "erase the device",
        "your photos",
        "value=\"k7m2-p9xw-4htz\"",
        "<svg",
        "lang=\"en\"",
    ] {
        assert!(page.contains(said), "{said}");
    }
    for foreign in ["<script", "style=", " on", "http://", "onclick"] {
        assert!(
            !page.contains(&format!("{foreign}load")) && !page.contains("<script") && !page.contains(" style=\""),
            "{foreign}"
        );
    }
    let policy = first.find_header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"));
    assert!(hidden(&first, "form").is_some());
    let sheet = page.split("href=\"").nth(1).unwrap().split('"').next().unwrap();
    let style = door.browser().open(sheet).unwrap();
    assert_eq!((style.status, style.find_header("content-type")), (200, Some("text/css; charset=utf-8")));
    // Fewer rights, fewer words.
    door.school.api("PATCH", "/enrollment-policy", &json!({ "rights": ["all", "-erase", "-lock"] })).is(200);
    let page = text(&door.browser().open("/enroll").unwrap());
    assert!(page.contains("did not ask for the right to") && page.contains("the school cannot remove it"));
}

#[test]
fn a_sheet_for_a_class_prints_by_itself() {
    let door = Door::new();
    let reply = door.school.api("POST", "/invitations/sheet", &json!({ "class": "7b", "names": ["Ada", "Grace"] }));
    let html = reply.text();
    assert_eq!((reply.status, html.matches("<svg").count()), (201, 2));
    assert!(html.contains("Grace") && !html.contains("href=") && !html.contains("src="));
    let list = door.school.get("/invitations?class=7b");
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    let at = html.find("class=\"code\">").unwrap() + 13;
    assert_eq!(show(&mut door.browser(), &door.url("/enroll"), code(&html[at..at + 14])).unwrap().status, 200);
}
