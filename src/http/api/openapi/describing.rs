//! One operation as OpenAPI tells it: parameters, body, answers, and how it may say no. The operations themselves are in the room above.

use super::Operation;
use crate::protocol::queue::DeliveryState;
use crate::protocol::stock::Kind;
use serde_json::{Value, json};

/// How any operation may say no; see `reply`.
const REFUSALS: &[&str] = &["400", "401", "403", "404", "405", "409", "413", "429", "500", "503"];

pub(super) fn describe(operation: &Operation, components: &Value) -> Value {
    let reference = |shape: &str| json!({ "$ref": format!("#/components/schemas/{shape}") });
    let mut parameters: Vec<Value> = operation
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    let mut query = |name: &str, schema: Value| {
        parameters.push(json!({ "name": name, "in": "query", "required": false, "schema": schema }))
    };
    if operation.paged {
        query("limit", json!({ "type": "integer", "minimum": 1, "maximum": crate::base::limits::MAX_PAGE }));
        query("cursor", json!({ "type": "string", "pattern": "^-?[0-9]{1,18}$" }));
    }
    match operation.path {
        "/invitations" if operation.method == "get" => query("class", json!({ "type": "string" })),
        "/certificates" => {
            query("device", json!({ "type": "string" }));
            query("search", json!({ "type": "string" }));
            query("revoked", json!({ "type": "boolean" }));
            query("limit", json!({ "type": "integer", "minimum": 1, "maximum": crate::base::limits::MAX_PAGE }));
        }
        "/inventory" | "/devices/{id}/inventory" => {
            query("kind", json!({ "type": "string", "enum": Kind::ALL.map(Kind::as_str) }));
            if operation.path == "/inventory" {
                query("search", json!({ "type": "string" }));
                query("cursor", json!({ "type": "string", "pattern": "^[0-9]{1,18}$" }));
            }
        }
        "/accounts" if operation.method == "get" => query("user", json!({ "type": "string" })),
        "/pairs/{id}/devices" => query("device", json!({ "type": "string" })),
        "/pairs/{id}/timeline" => {
            query("device", json!({ "type": "string" }));
            query("limit", json!({ "type": "integer", "minimum": 1, "maximum": crate::base::limits::MAX_PAGE }));
        }
        "/profiles" if operation.method == "post" => query("name", json!({ "type": "string" })),
        "/devices/{id}/push" | "/devices/{id}/explain" | "/devices/{id}/profiles" => {
            query("user", json!({ "type": "string" }))
        }
        "/audit" | "/audit/export" => {
            for name in ["actor", "verb", "device"] {
                query(name, json!({ "type": "string" }));
            }
            for name in ["since", "until"] {
                query(name, json!({ "type": "string", "format": "date-time" }));
            }
            query("result", json!({ "type": "string", "enum": ["done", "refused"] }));
            if operation.path == "/audit/export" {
                query("format", json!({ "type": "string", "enum": ["jsonl", "csv"] }));
                query("cursor", json!({ "type": "string", "pattern": "^[0-9]{1,18}$" }));
            }
        }
        "/devices" | "/users" if operation.method == "get" => query("search", json!({ "type": "string" })),
        "/commands" | "/devices/{id}/commands" if operation.method == "get" => {
            let states: Vec<&str> = DeliveryState::ALL.iter().map(|state| state.as_str()).collect();
            query("state", json!({ "type": "string", "enum": states }));
            if operation.path == "/commands" {
                query("device", json!({ "type": "string" }));
            }
        }
        _ => {}
    }
    let mut answer = json!({ "description": "Done" });
    if let Some(shape) = operation.answer {
        answer["content"] = json!({ "application/json": { "schema": reference(shape) } });
    }
    if !operation.media.is_empty() {
        let content = operation.media.iter().map(|m| {
            // A file of JSON is an object whose shape nobody relies on.
            let kind = if *m == "application/json" { "object" } else { "string" };
            ((*m).to_owned(), json!({ "schema": { "type": kind } }))
        });
        answer["content"] = Value::Object(content.collect());
    }
    let problem = json!({ "description": "Not done; `detail` says why and what to do", "content": { "application/problem+json": { "schema": reference("Problem") } } });
    let mut responses = json!({ operation.status: answer });
    for status in REFUSALS {
        responses[*status] = problem.clone();
    }
    let mut described = json!({
        "operationId": format!("{}{}", operation.method, operation.path.replace(['/', '{', '}', '-'], "_")),
        "summary": operation.summary,
        "parameters": parameters,
        "responses": responses,
    });
    if let Some(shape) = operation.request {
        // What has no key that must be there may be left out altogether.
        let keys = components["schemas"][shape]["required"].as_array();
        let required = keys.is_some_and(|keys| !keys.is_empty());
        described["requestBody"] =
            json!({ "required": required, "content": { "application/json": { "schema": reference(shape) } } });
    }
    described
}
