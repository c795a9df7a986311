//! People by hand: added, found, changed, signed in, erased; and nothing of a password or a name where it must not be.

use crate::people::House;
use cordon::base::secret::Secret;
use cordon::service::users;
use serde_json::{Value, json};

const GUID: &str = "6F1C2D3E-0A1B-4C2D-8E3F-112233445566";

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

#[test]
fn somebody_is_added_found_and_changed() {
    let house = House::new();
    house.person("ada", "admin");
    let token = house.login("ada");
    let ask = |method: &str, path: &str, body: &Value| house.ask(Some(&token), method, &format!("/api/v1{path}"), body);
    let wish = json!({ "short_name": "anna", "long_name": "Anna Berg", "mail": "anna@hill.example",
                       "guids": [format!("{{{}}}", GUID.to_lowercase())], "password": "roof" });
    let made = ask("POST", "/users", &wish);
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!((&made.body["guids"][0]["guid"], &made.body["digest"]), (&json!(GUID), &json!(true)));
    assert!(!made.body.to_string().contains("roof"));

    assert_eq!(ask("POST", "/users", &json!({ "short_name": "ANNA" })).id(), "person-exists");
    let taken = json!({ "short_name": "ben", "guids": [GUID] });
    assert_eq!(ask("POST", "/users", &taken).id(), "guid-taken");
    assert_eq!(ask("GET", "/users/ben", &Value::Null).status, 404, "half a person is none");
    for bad in ["", " a", "a:b", "a\"b", "a\nb", &"x".repeat(300)] {
        assert_eq!(ask("POST", "/users", &json!({ "short_name": bad })).status, 400, "{bad:?}");
    }
    assert_eq!(ask("POST", "/users", &json!({ "short_name": "c", "guids": ["no id!"] })).status, 400);
    assert_eq!(ask("POST", "/users", &json!({ "short_name": "c", "password": "" })).status, 400);

    ask("POST", "/users", &json!({ "short_name": "ben" }));
    let page = ask("GET", "/users?limit=1", &Value::Null).body;
    assert_eq!(page["items"][0]["short_name"], "anna");
    let next = page["next_cursor"].as_str().unwrap();
    assert_eq!(ask("GET", &format!("/users?cursor={next}"), &Value::Null).body["items"][0]["short_name"], "ben");
    assert_eq!(ask("GET", "/users?search=Anna%20B", &Value::Null).body["items"].as_array().unwrap().len(), 1);

    let changed = ask("PATCH", "/users/Anna", &json!({ "mail": "", "disabled": true })).body;
    assert_eq!((&changed["mail"], &changed["long_name"]), (&Value::Null, &json!("Anna Berg")));
    assert!(changed["disabled_at"].is_string());
}

#[test]
fn the_password_opens_and_guessing_is_slowed() {
    let house = House::new();
    let wish = users::Wish { password: Some(secret("roof")), ..users::Wish::default() };
    users::add(&house.cx, &House::local(), "anna", &wish).unwrap();
    users::add(&house.cx, &House::local(), "ben", &users::Wish::default()).unwrap();
    let check = |name: &str, password: &str| users::check_password(&house.cx, name, &secret(password));
    assert_eq!(check("ANNA", "roof").unwrap().short_name, "anna");
    for (name, password) in [("anna", "rooF"), ("ben", ""), ("ben", "roof"), ("nobody", "roof")] {
        assert_eq!(check(name, password).unwrap_err().public.id(), "login-failed", "{name}");
    }
    users::change(&house.cx, &House::local(), "anna", &users::Wish { disabled: Some(true), ..Default::default() })
        .unwrap();
    assert!(check("anna", "roof").is_err(), "disabled");
    for _ in 0..5 {
        assert!(check("ben", "x").is_err());
    }
    assert_eq!(check("ben", "x").unwrap_err().public.id(), "too-many-tries");
}

#[test]
fn an_erased_person_is_nowhere_and_the_audit_still_holds() {
    let house = House::new();
    let wish = users::Wish {
        long_name: Some(String::from("Anna Erasable-Berg")),
        mail: Some(String::from("anna.erasable@hill.example")),
        guids: vec![GUID.to_owned()],
        password: Some(secret("planted-password")),
        ..Default::default()
    };
    let made = users::add(&house.cx, &House::local(), "erasable", &wish).unwrap();
    users::erase(&house.cx, &House::local(), "erasable").unwrap();
    assert!(users::show(&house.cx, &House::local(), "erasable").is_err());
    let rows =
        cordon::service::auditing::list(&house.cx, &House::local(), &cordon::store::AuditFilter::first(100)).unwrap();
    let of_her: Vec<_> = rows.iter().filter(|r| r.entry.subject.as_deref() == Some(&made.row.public_id)).collect();
    assert_eq!(of_her.iter().map(|r| r.entry.verb.as_str()).collect::<Vec<_>>(), ["user.add", "user.erase"]);
    for row in &rows {
        let text = format!("{:?} {:?}", row.entry.subject, row.entry.detail);
        assert!(!text.to_lowercase().contains("erasable"), "{text}");
    }
    assert_eq!(cordon::service::auditing::verify(&house.cx, &House::local()).unwrap().broken_at, None);
}
