//! The door of the console, item by item of OWASP ASVS level 1: cookies, tokens, headers, output, going in and out.

use super::{House, PASSWORD};
use cordon::base::time::{HOUR, MINUTE};

#[test]
fn without_a_session_there_is_only_the_door() {
    let house = House::new();
    // Before there is anybody who may log in, only the set-up page shows.
    house.person("ada", "owner");
    let browser = house.browser();
    for path in ["/", "/console", "/console/devices", "/console/devices/X", "/console/nothing"] {
        let reply = browser.get(path);
        assert_eq!(reply.status, 303, "{path}");
        assert!(reply.header("location").starts_with("/console/login"), "{path}: {}", reply.header("location"));
    }
    assert_eq!(browser.get("/console/devices").header("location"), "/console/login?next=/console/devices");
    assert_eq!(browser.send("POST", "/console/logout", &[("form", "x")], &[]).status, 303);
    let renewed = browser.send("GET", "/console/devices", &[], &[("hx-request", "true")]);
    assert_eq!((renewed.status, renewed.header("hx-redirect")), (200, "/console/login"));
    assert_eq!(browser.get("/consolex").status, 404);
}

#[test]
fn a_session_cookie_is_for_this_host_and_no_script() {
    let house = House::new();
    house.person("ada", "owner");
    let browser = house.browser();
    let door = browser.get("/console/login?next=/console/devices");
    let reply =
        browser.post(&door, "/console/login", &[("name", "ada"), ("password", PASSWORD), ("next", "/console/devices")]);
    assert_eq!((reply.status, reply.header("location")), (303, "/console/devices"));
    let cookie = reply.header("set-cookie");
    assert!(cookie.starts_with("__Host-cordon-session=cordon_session_"), "{cookie}");
    for rule in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
        assert!(cookie.contains(rule), "{cookie}");
    }
    assert!(!cookie.contains("Domain") && !reply.text.contains("cordon_session_"));
    let home = browser.get("/console");
    assert!(home.status == 200 && !home.text.contains("cordon_session_"));
    assert_eq!(browser.get("/console/login").status, 303, "who is inside is sent in");
    // Elsewhere is nowhere to be sent to.
    let other = house.browser();
    let door = other.get("/console/login?next=//evil.example");
    assert!(!door.text.contains("evil.example"));
    let reply = other.post(
        &door,
        "/console/login",
        &[("name", "ada"), ("password", PASSWORD), ("next", "https://evil.example/")],
    );
    assert_eq!(reply.header("location"), "/console");
}

#[test]
fn a_wrong_password_says_nothing_and_waits_grow() {
    let house = House::new();
    house.person("ada", "owner");
    let browser = house.browser();
    let wrong = |name: &str, password: &str| {
        let door = browser.get("/console/login");
        browser.post(&door, "/console/login", &[("name", name), ("password", password)])
    };
    let (known, unknown) = (wrong("ada", "wrong"), wrong("nobody", "wrong"));
    assert_eq!((known.status, unknown.status), (403, 403));
    let plain = |page: &super::Page| page.text.replace("\"nobody\"", "\"ada\"");
    assert_eq!(plain(&known), plain(&unknown));
    assert!(!known.text.contains("value=\"wrong\""), "a password is never shown again");
    for _ in 0..6 {
        wrong("ada", "wrong");
    }
    assert_eq!(wrong("ada", PASSWORD).status, 429);
    house.clock.advance(HOUR);
    assert_eq!(wrong("ada", PASSWORD).status, 303);
}

#[test]
fn a_session_ends_by_itself_and_by_hand() {
    let house = House::new();
    let browser = house.logged_in("owner");
    let page = browser.get("/console");
    let before = browser.cookies.borrow().clone();
    let gone = browser.post(&page, "/console/logout", &[]);
    assert_eq!((gone.status, gone.header("location")), (303, "/console/login"));
    assert!(gone.header("set-cookie").contains("Max-Age=0"));
    *browser.cookies.borrow_mut() = before;
    assert_eq!(browser.get("/console").status, 303, "the session is over on the server too");
    browser.cookies.borrow_mut().clear();
    browser.log_in("owner");
    house.clock.advance(31 * MINUTE);
    assert_eq!(browser.get("/console").status, 303);
}

#[test]
fn a_form_needs_the_token_of_its_session() {
    let house = House::new();
    let (ada, eve) = (house.logged_in("owner"), house.logged_in("admin"));
    let (page, foreign) = (ada.get("/console"), eve.get("/console"));
    for fields in [vec![], vec![("form", "")], vec![("form", "0000")]] {
        assert_eq!(ada.send("POST", "/console/logout", &fields, &[]).status, 403, "{fields:?}");
    }
    assert_eq!(ada.post(&foreign, "/console/logout", &[]).status, 403, "another session's");
    let token = page.token();
    for site in ["cross-site", "same-site"] {
        let sent = ada.send("POST", "/console/logout", &[("form", &token)], &[("sec-fetch-site", site)]);
        assert_eq!(sent.status, 403, "{site}");
    }
    // By address nothing is done.
    assert_eq!(ada.send("GET", &format!("/console/logout?form={token}"), &[], &[]).status, 404);
    assert_eq!(ada.send("DELETE", "/console/devices", &[], &[]).status, 405);
    assert_eq!(ada.get("/console").status, 200);
    // Nor is anybody logged in by a form from elsewhere.
    let stranger = house.browser();
    let sent =
        stranger.send("POST", "/console/login", &[("name", "owner"), ("password", PASSWORD), ("form", "00")], &[]);
    assert_eq!(sent.status, 403);
    let door = stranger.get("/console/login");
    stranger.cookies.borrow_mut().clear();
    assert_eq!(stranger.post(&door, "/console/login", &[("name", "owner"), ("password", PASSWORD)]).status, 403);
}

#[test]
fn every_page_has_its_headers() {
    let house = House::new();
    let browser = house.logged_in("owner");
    for path in ["/console", "/console/devices", "/console/nothing"] {
        let page = browser.get(path);
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self';"), "{policy}");
        assert!(
            !policy.contains("unsafe")
                && policy.contains("frame-ancestors 'none'")
                && policy.contains("form-action 'self'")
        );
        let wanted = [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
            ("cache-control", "no-store"),
            ("cross-origin-opener-policy", "same-origin"),
        ];
        for (name, value) in wanted {
            assert_eq!(page.header(name), value, "{path}");
        }
        assert!(page.header("strict-transport-security").starts_with("max-age="));
        // Nothing inline, nothing from elsewhere.
        assert!(
            !page.text.contains("style=") && !page.text.contains("onclick=") && !page.text.contains("http://"),
            "{path}"
        );
        assert_eq!(
            page.text.matches("<script").count(),
            page.text.matches("<script src=\"/console/assets/htmx-").count()
        );
    }
    let home = browser.get("/console");
    let (_, rest) = home.text.split_once("<script src=\"").unwrap();
    let script = house.browser().get(rest.split_once('"').unwrap().0);
    assert_eq!((script.status, script.header("content-type")), (200, "text/javascript; charset=utf-8"));
    assert!(script.header("cache-control").contains("immutable"));
}
