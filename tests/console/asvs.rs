//! OWASP ASVS 4.0, level 1, as far as it is about the console's cookies, forms, output and headers: a test for each item, named by its number.

use super::pages::plant;
use super::{Browser, House, PASSWORD};

/// The cookie that a login sets.
fn cookie(house: &House) -> String {
    house.person("ada", "owner");
    let browser = house.browser();
    let door = browser.get("/console/login");
    let reply = browser.post(&door, "/console/login", &[("name", "ada"), ("password", PASSWORD)]);
    reply.header("set-cookie").to_owned()
}

#[test]
fn v3_4_1_to_v3_4_5_the_session_cookie_is_secure_http_only_same_site_host_and_for_the_root() {
    let house = House::new();
    let cookie = cookie(&house);
    for (item, rule) in
        [("3.4.1", "; Secure"), ("3.4.2", "; HttpOnly"), ("3.4.3", "; SameSite=Lax"), ("3.4.5", "; Path=/")]
    {
        assert!(cookie.contains(rule), "{item}: {cookie}");
    }
    assert!(cookie.starts_with("__Host-") && !cookie.contains("Domain="), "3.4.4: {cookie}");
}

/// Every form of these pages, with the token that it carries.
fn forms(browser: &Browser<'_>, paths: &[String]) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    for path in paths {
        let page = browser.get(path);
        assert_eq!(page.status, 200, "{path}");
        for form in page.text.split("<form ").skip(1) {
            let (form, _) = form.split_once("</form>").unwrap();
            if form.contains("method=\"post\"") {
                let action = form.split("action=\"").nth(1).unwrap().split('"').next().unwrap();
                found.push((action.replace("&amp;", "&"), form.contains("name=\"form\" value=\"")));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

#[test]
fn v4_2_2_no_form_of_any_page_is_taken_without_its_token() {
    let house = House::new();
    let ids = plant(&house, 1, |_| String::from("Room 12"));
    let ada = house.logged_in("owner");
    let device = format!("/console/devices/{}", ids[0]);
    let mut paths: Vec<String> = [
        "/console",
        "/console/enrolment/invite",
        "/console/enrolment/profile",
        "/console/profiles/new",
        "/console/profiles/build/com.apple.wifi.managed",
        "/console/groups/new",
        "/console/people/new",
        "/console/people/import",
        "/console/plans/new",
        "/console/directory",
        "/console/keys",
        "/console/webhooks/new",
        "/console/push",
        "/console/settings",
        "/console/admins/new",
        "/console/tokens/new",
        "/console/account",
        "/console/audit",
    ]
    .map(String::from)
    .into();
    for page in ["", "/lock", "/erase", "/lost", "/command/raw", "/command/EraseDevice", "/theft", "/sheet"] {
        paths.push(format!("{device}{page}"));
    }
    let found = forms(&ada, &paths);
    assert!(found.len() > 30, "{found:?}");
    for (action, has_token) in found {
        assert!(has_token, "{action} carries no token");
        for token in [None, Some("0".repeat(64))] {
            let fields: Vec<(&str, &str)> = token.iter().map(|token| ("form", token.as_str())).collect();
            let sent = ada.send("POST", &action, &fields, &[]);
            assert_eq!(sent.status, 403, "{action}: {}", sent.text);
        }
    }
    assert_eq!(ada.get("/console").status, 200, "and nobody was logged out by it");
}

#[test]
fn v5_3_1_to_v5_3_3_output_is_encoded_for_where_it_stands_and_comes_back_as_it_was() {
    let house = House::new();
    let name = "O'Brien & <b>\"Söhne\"</b>";
    let ids = plant(&house, 1, |_| name.to_owned());
    let ada = house.logged_in("owner");
    let device = format!("/console/devices/{}", ids[0]);
    // In text, in an attribute, in an address, and typed back.
    let page = ada.get(&device);
    page.has("O&#39;Brien &amp; &lt;b&gt;&quot;Söhne&quot;&lt;/b&gt;");
    assert!(!page.text.contains("<b>"));
    let search = ada.get("/console/devices?search=%22%3E%3Cb%3E%20%26");
    assert!(!search.text.contains("\"><b>") && search.text.contains("b&#62; &#38;"), "{}", search.text);
    let locked = ada.post(&page, &format!("{device}/lock"), &[("device_name", name)]);
    assert_eq!(locked.status, 303, "what is typed back is compared as it was written: {}", locked.text);
    for path in ["/lock", "/erase", "/command", "/command/raw", "/theft", "/story"] {
        assert!(!ada.get(&format!("{device}{path}")).text.contains("<b>"), "{path}");
    }
}

#[test]
fn v14_4_1_to_v14_4_7_every_kind_of_answer_has_its_headers() {
    let house = House::new();
    let ada = house.logged_in("owner");
    let stranger = house.browser();
    let answers = [
        stranger.get("/console/login"),
        ada.get("/console/devices"),
        ada.get("/console/nothing"),
        ada.get("/console/groups/filter/now"),
    ];
    for page in answers {
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8", "14.4.1");
        assert!(page.header("content-security-policy").starts_with("default-src 'none'"), "14.4.3");
        assert_eq!(page.header("x-content-type-options"), "nosniff", "14.4.4");
        assert!(page.header("strict-transport-security").contains("max-age="), "14.4.5");
        assert!(!page.header("referrer-policy").is_empty(), "14.4.6");
        assert!(page.header("content-security-policy").contains("frame-ancestors 'none'"), "14.4.7");
    }
    // 14.4.2: what is not a page is a file to be kept, and no browser guesses what it is.
    let file = ada.get("/console/audit/export?format=jsonl&after=0");
    assert!(file.header("content-disposition").starts_with("attachment; filename=\"audit-1-"), "{:?}", file.response);
    assert_eq!(file.header("x-content-type-options"), "nosniff");
}

#[test]
fn v14_5_1_and_v14_5_3_other_methods_are_refused_and_no_other_site_may_read() {
    let house = House::new();
    let ada = house.logged_in("owner");
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
        let sent = ada.send(method, "/console/devices", &[], &[]);
        assert_eq!(sent.status, 405, "{method}");
        assert!(sent.header("allow").contains("GET"));
    }
    let asked = ada.send("GET", "/console/devices", &[], &[("origin", "https://evil.example")]);
    assert!(asked.header("access-control-allow-origin").is_empty());
    assert_eq!(asked.header("cross-origin-resource-policy"), "same-origin");
}
