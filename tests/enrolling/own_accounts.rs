//! People change the passwords of their own accounts at a page of the server, prove first who they are, and reach nobody else's.

use super::Door;
use crate::policy::accounts::{add_account, body, calendar, id, password, settled};

use crate::support::hidden::assert_hidden;
use cordon::simulator::browser::{Browser, hidden};
use cordon::simulator::spec::Kind;
use cordon::simulator::state::Channel;
use cordon::simulator::wire::Answer;
use serde_json::json;

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

fn log_in(browser: &mut Browser, name: &str, password: &str) -> Answer {
    let page = browser.open("/accounts").unwrap();
    let form = hidden(&page, "form").unwrap();
    browser.submit("/accounts", &[("form", &form), ("name", name), ("password", password)]).unwrap()
}

#[test]
fn a_person_changes_the_password_of_an_account_of_their_own_and_of_no_other() {
    let door = Door::new();
    let school = &door.school;
    let mac = school.enroll(Kind::Mac, 4);
    let own = mac.user();
    let word = "tin roof in may";
    for name in [own.as_str(), "bea"] {
        school.api("POST", "/users", &json!({ "short_name": name, "password": word })).is(201);
    }
    let (first, second) = (password(), password());
    let account = add_account(school, &calendar(json!({ "user": own }), Some(&first)));
    let others = add_account(school, &calendar(json!({ "user": "bea" }), Some(&first)));
    settled(school, &account, 1);

    let mut browser = door.browser();
    let wrong = log_in(&mut browser, &own, "tin roof in june");
    assert_eq!(wrong.status, 403, "{}", text(&wrong));
    let page = log_in(&mut browser, &own, word);
    assert_eq!((page.status, page.find_header("cache-control")), (200, Some("no-store")));
    let html = text(&page);
    assert!(html.contains(&id(&account)) && !html.contains(&id(&others)), "{html}");
    let (form, pass) = (hidden(&page, "form").unwrap(), hidden(&page, "pass").unwrap());
    let mut send = |pass: &str, account: &str, new: &str, again: &str| {
        let fields = [("form", form.as_str()), ("pass", pass), ("account", account), ("new", new), ("again", again)];
        browser.submit("/accounts", &fields).unwrap()
    };
    assert_eq!(send(&pass, &id(&account), &second, "something else").status, 400);
    assert_eq!(send(&pass, &id(&others), &second, &second).status, 404, "nobody else's");
    assert_eq!(send("00ff", &id(&account), &second, &second).status, 403, "no pass of ours");
    let done = send(&pass, &id(&account), &second, &second);
    assert!(done.status == 200 && text(&done).contains("on its way"), "{}", text(&done));
    assert!(!text(&done).contains(&second));
    settled(school, &account, 2);
    let there = body(&mac, Channel::User, &account).unwrap();
    assert!(String::from_utf8_lossy(&there).contains(&second));
    assert_eq!(school.get(&format!("/accounts/{}", id(&others)))["version"], 1);
    for (what, secret) in [("the first", &first), ("the second", &second)] {
        assert_hidden(school, what, secret.as_bytes());
    }
    let audit = school.get("/audit?limit=500")["items"].to_string();
    assert!(audit.contains("account.password") && audit.contains("asked for by the person"));
    // A form from elsewhere is none of ours.
    let mut stranger = door.browser();
    let fields = [("form", form.as_str()), ("pass", pass.as_str()), ("account", "x"), ("new", "a"), ("again", "a")];
    assert_eq!(stranger.submit("/accounts", &fields).unwrap().status, 400);
}
