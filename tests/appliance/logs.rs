//! The log of the real program, as JSON: one object in each line, requests by number, and no secret however much is logged.

use cordon::http::control::Client;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_line_is_an_object_with_the_request_and_without_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_cordon"));
    command.env_clear().args(["serve", "--json", "--hostname", "localhost"]);
    command.env("CORDON_DATA_DIR", folder.path().join("school"));
    for key in ["CORDON_LISTEN_PEOPLE", "CORDON_LISTEN_DEVICES"] {
        command.env(key, "127.0.0.1:0");
    }
    command.env("CORDON_LOG_FORMAT", "json").env("CORDON_LOG_LEVEL", "cordon=trace");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(std::fs::File::create(&log).unwrap());
    let mut server = Server(command.spawn().unwrap());
    let mut ready = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let ready: Value = serde_json::from_str(&ready).unwrap();
    let client = Client::new(std::path::Path::new(ready["socket"].as_str().unwrap()));
    let send = |method: &str, path: &str, headers: &[(&str, &str)], body: &Value| {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let (status, _, body) = client.request(method, path, headers, &body).unwrap();
        (status, serde_json::from_slice::<Value>(&body).unwrap_or_default())
    };
    // Everything that is secret on its way in or out: a password, a token, the links, a mail account, a webhook's secret, a key.
    let password = "tin roof in may";
    let admin = json!({ "name": "ada", "role": "owner", "password": password });
    let link = send("POST", "/api/v1/setup/link", &[], &Value::Null).1["url"].as_str().unwrap().to_owned();
    assert_eq!(send("POST", "/api/v1/admins", &[], &admin).0, 201);
    let token = send("POST", "/api/v1/tokens", &[], &json!({ "name": "script", "role": "auditor" }));
    let token = token.1["token"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {token}");
    assert_eq!(send("GET", "/api/v1/devices", &[("Authorization", &bearer)], &Value::Null).0, 200);
    assert_eq!(send("POST", "/api/v1/login", &[], &json!({ "name": "ada", "password": password })).0, 200);
    assert_eq!(send("POST", "/api/v1/login", &[], &json!({ "name": "ada", "password": "blue chair of june" })).0, 401);
    let mail = json!({ "host": "127.0.0.1", "port": 9, "security": "tls", "username": "cordon", "password": "green hat in july",
        "from": "c@hill.example", "to": ["it@hill.example"] });
    assert_eq!(send("PUT", "/api/v1/mail", &[], &mail).0, 200);
    assert_eq!(send("POST", "/api/v1/mail/test", &[], &json!({})).0, 503);
    let hook = json!({ "name": "desk", "url": "http://127.0.0.1:9/", "events": [] });
    let hook = send("POST", "/api/v1/webhooks", &[], &hook).1["secret"].as_str().unwrap().to_owned();
    let feed = send("POST", "/api/v1/expiry/feed", &[], &Value::Null).1["url"].as_str().unwrap().to_owned();
    let path = format!("/expiry/{}", feed.rsplit('/').next().unwrap());
    assert_eq!(send("GET", &path, &[], &Value::Null).0, 404, "not at this door");
    drop(server);

    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect();
    let answered: Vec<&Value> = lines.iter().filter(|line| line["message"] == "answered").collect();
    assert!(answered.len() >= 8 && answered.iter().all(|line| line["request"].is_u64()), "{text}");
    assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["level"].is_string()), "{text}");
    let last = |url: &str| url.rsplit('/').next().unwrap().trim_end_matches(".ics").to_owned();
    for secret in [password, "blue chair", "green hat", &token, &hook, &last(&link), &last(&feed)] {
        assert!(!text.contains(secret), "{secret:?} is in the log");
    }
}
