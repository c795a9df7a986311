//! People from CSV: added, changed, put into classes; and nothing at all while a line is wrong.

use crate::people::{House, Reply};
use serde_json::{Value, json};

const A: &str = "11111111-1111-4111-8111-111111111111";

struct Office {
    house: House,
    token: String,
}

impl Office {
    fn new() -> Office {
        let house = House::new();
        house.person("ada", "admin");
        let token = house.login("ada");
        Office { house, token }
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Reply {
        self.house.ask(Some(&self.token), method, &format!("/api/v1{path}"), body)
    }

    fn import(&self, csv: &str) -> Value {
        let reply = self.ask("POST", "/users/import", &json!({ "csv": csv }));
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body
    }

    fn person(&self, name: &str) -> Value {
        self.ask("GET", &format!("/users/{name}"), &Value::Null).body
    }

    fn class(&self, name: &str) -> Vec<String> {
        let shown = self.ask("GET", &format!("/groups/{name}"), &Value::Null).body;
        let part = |p: &Value| format!("{} {}", p["part"].as_str().unwrap(), p["short_name"].as_str().unwrap());
        shown["people"].as_array().unwrap().iter().map(part).collect()
    }
}

#[test]
fn a_list_is_taken_in_and_again() {
    let office = Office::new();
    let csv = format!(
        "\u{feff}Short name;Long name;E-mail;GUID;Classes;Teaches;Shoe size;password\r\n\
         anna;\"Berg; Anna\";anna@hill.example;{};7a|7b;;38;roof\r\nroy;Ms Roy;;;;7b;;\r\n",
        A.to_lowercase()
    );
    let trial = office.ask("POST", "/users/import", &json!({ "csv": csv, "dry_run": true })).body;
    assert_eq!((&trial["applied"], &trial["added"]), (&json!(false), &json!(2)));
    assert_eq!(office.person("anna")["status"], 404, "a trial writes nothing");
    let done = office.import(&csv);
    assert_eq!((&done["applied"], &done["added"]), (&json!(true), &json!(2)), "{done}");
    assert_eq!(done["ignored_columns"], json!(["Shoe size"]));
    assert_eq!(done["classes_added"], json!(["7a", "7b"]));
    let anna = office.person("anna");
    assert_eq!((&anna["long_name"], &anna["source"]), (&json!("Berg; Anna"), &json!("csv")));
    assert_eq!((&anna["guids"][0]["guid"], &anna["digest"]), (&json!(A), &json!(true)));
    assert_eq!(office.class("7b"), ["teacher roy", "member anna"]);

    let again = office.import(&csv);
    assert_eq!(
        (&again["changed"], &again["unchanged"]),
        (&json!(1), &json!(1)),
        "a password is always set anew: {again}"
    );
    // Renamed in the directory, moved to another class; what is not in the file stays.
    let moved = office.import(&format!("guid,short_name,classes\n{A},anna.berg,8a\n"));
    assert_eq!((&moved["changed"], &moved["added"]), (&json!(1), &json!(0)), "{moved}");
    let anna = office.person("anna.berg");
    assert_eq!((&anna["mail"], &anna["digest"]), (&json!("anna@hill.example"), &json!(false)), "{anna}");
    assert_eq!((office.class("7a").len(), office.class("8a").len()), (0, 1));
    // What somebody did by hand is not undone by a list.
    office.ask("POST", "/groups/7a/members", &json!({ "people": ["anna.berg"] }));
    office.import("short_name,classes\nanna.berg,8a\n");
    assert_eq!(office.class("7a"), ["member anna.berg"]);
}

#[test]
fn nothing_is_written_while_a_line_is_wrong() {
    let office = Office::new();
    office.import(&format!("short_name,guid\nanna,{A}\nben,\n"));
    let csv = format!(
        "short_name,guid,classes,mail\ncleo,,,\na:b,,,\nben,{A},,\n\"dora\",nonsense!,,\nemil,,{},\nfay,,,\"x\ty\"\ngus,,,,too much\n",
        "c|".repeat(40)
    );
    let report = office.import(&csv);
    let lines: Vec<i64> =
        report["wrong_lines"].as_array().unwrap().iter().map(|w| w["line"].as_i64().unwrap()).collect();
    assert_eq!((lines, &report["applied"]), (vec![3, 4, 5, 6, 7, 8], &json!(false)), "{report}");
    assert!(report["wrong_lines"][1]["why"].as_str().unwrap().contains("another's"), "{report}");
    assert_eq!(office.person("cleo")["status"], 404);
    for (csv, word) in [
        ("", "nothing"),
        ("name,mail\nx,y\n", "short_name"),
        ("short_name,short_name\na,b\n", "two columns"),
        ("short_name\n\"a", "quotation"),
    ] {
        let reply = office.ask("POST", "/users/import", &json!({ "csv": csv }));
        assert!(reply.status == 400 && reply.body["detail"].as_str().unwrap().contains(word), "{csv}: {}", reply.body);
    }
    office.ask("POST", "/groups", &json!({ "name": "Cart", "kind": "devices" }));
    let report = office.import("short_name,classes\nzoe,Cart\n");
    assert!(report["wrong_lines"][0]["why"].as_str().unwrap().contains("Cart"), "{report}");
}

#[test]
fn a_whole_school_is_taken_in() {
    let office = Office::new();
    let mut csv = String::from("short_name,classes\n");
    for n in 0..2_000 {
        csv.push_str(&format!("pupil{n},{}\n", n % 80));
    }
    assert_eq!(office.import(&csv)["added"], 2_000);
    assert_eq!(office.class("79").len(), 25);
    assert_eq!(office.import(&csv)["unchanged"], 2_000);
}
