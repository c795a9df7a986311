//! Files of the console that never change while the server runs: its style sheet and htmx. Inside the binary, under names that carry
//! their own digest, so that a browser keeps them for ever and a new version is another name.
//!
//! htmx 2.0.4 is vendored as it was published (`assets/htmx-2.0.4.min.js`, Zero-Clause BSD, `assets/htmx-LICENSE.txt`). It only renews
//! parts of a page that is open; everything can be read, and everything done, without it.

use crate::http::message::Response;
use crate::pki::digest::sha256;
use std::sync::LazyLock;

const STYLE: &str = include_str!("assets/console.css");
const HTMX: &str = include_str!("assets/htmx-2.0.4.min.js");

fn named(name: &str, content: &str, extension: &str) -> String {
    format!("/console/assets/{name}-{}.{extension}", &hex::encode(sha256(content.as_bytes()))[..12])
}

pub static STYLE_PATH: LazyLock<String> = LazyLock::new(|| named("console", STYLE, "css"));
pub static HTMX_PATH: LazyLock<String> = LazyLock::new(|| named("htmx", HTMX, "js"));

/// The file at a path, if there is one.
pub fn find(path: &str) -> Option<Response> {
    let (kind, content) = match path {
        path if path == *STYLE_PATH => ("text/css; charset=utf-8", STYLE),
        path if path == *HTMX_PATH => ("text/javascript; charset=utf-8", HTMX),
        _ => return None,
    };
    let response = Response::new(200, kind, content)
        .with_header("cache-control", "public, max-age=31536000, immutable")
        .with_header("x-content-type-options", "nosniff");
    Some(response)
}
