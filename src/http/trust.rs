//! What tools ask before a device trusts anybody: `/MDMServiceConfig`, `/anchors.json`, `/trust.mobileconfig`. No login, GET only.
//!
//! Apple Configurator reads the first one to prepare devices. What stands in them is `service::trust`'s to say.

use super::message::{Request, Response};
use crate::protocol::profile::CONFIG_TYPE;
use crate::service::{Context, Error, trust};
use ::http::Method;

/// The path that Apple gives; at the root, spelt exactly so.
pub const SERVICE_CONFIG: &str = "/MDMServiceConfig";
pub const ANCHORS: &str = trust::ANCHORS_PATH;
pub const PROFILE: &str = trust::PROFILE_PATH;

/// As Apple spells it; `charset=utf-8` would be another string.
const JSON_TYPE: &str = "application/json; charset=UTF8";

pub fn handle(cx: &Context, request: &Request) -> Response {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return Response::text(405, "Only GET is answered here.\n").with_header("allow", "GET, HEAD");
    }
    answer(cx, &request.path).unwrap_or_else(|e| {
        let source = e.source.as_ref().map(ToString::to_string).unwrap_or_default();
        tracing::error!(request = request.id, error = %e, source, "a question about trust could not be answered");
        Response::text(500, "Try again later.\n")
    })
}

fn answer(cx: &Context, path: &str) -> Result<Response, Error> {
    Ok(match path {
        SERVICE_CONFIG => Response::new(200, JSON_TYPE, service_config(&trust::service_config(cx)?)),
        ANCHORS => match trust::anchors_base64(cx)? {
            Some(anchors) => {
                let quoted: Vec<String> = anchors.iter().map(|one| format!("\"{one}\"")).collect();
                Response::new(200, JSON_TYPE, format!("[{}]", quoted.join(",\n")))
            }
            None => Response::text(404, "This server does not know the root of its own certificate.\n"),
        },
        _ => match trust::profile(cx)? {
            Some(profile) => Response::new(200, CONFIG_TYPE, profile)
                .with_header("content-disposition", "attachment; filename=\"trust.mobileconfig\""),
            None => Response::text(404, "No trust profile is needed.\n"),
        },
    })
}

/// The object as Apple's example writes it: one key a line, in that order.
fn service_config(pairs: &[(&'static str, String)]) -> String {
    let lines: Vec<String> =
        pairs.iter().map(|(key, url)| format!("    \"{key}\": {}", serde_json::Value::from(url.as_str()))).collect();
    if lines.is_empty() { String::from("{}") } else { format!("{{\n{}\n}}", lines.join(",\n")) }
}
