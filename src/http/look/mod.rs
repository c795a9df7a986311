//! How Cordon's pages look: the frame around each, one style sheet, QR codes, the sheet of invitations. No script, nothing from elsewhere,
//! and every page works with a keyboard, a screen reader, without colours and on a screen of 320 px.
//!
//! Used by the edges that speak HTML. What a page says is with the edge that shows it.

pub mod paper;
pub mod qr;
pub mod sheet;

use super::message::Response;
use crate::pki::digest::sha256;
use std::sync::LazyLock;

/// Where the style sheet is, with its own digest, so that it can be kept for ever.
pub static STYLE_PATH: LazyLock<String> =
    LazyLock::new(|| format!("/enroll/look-{}.css", &hex::encode(sha256(STYLE.as_bytes()))[..12]));

const STYLE: &str = include_str!("look.css");

/// Nothing but this server's own style sheet, nothing inline, forms to this server only, in no frame.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A page.
pub fn page(status: u16, html: String) -> Response {
    Response::new(status, "text/html; charset=utf-8", html)
        .with_header("content-security-policy", POLICY)
        .with_header("x-content-type-options", "nosniff")
        .with_header("referrer-policy", "no-referrer")
        .with_header("cross-origin-opener-policy", "same-origin")
        .with_header("cache-control", "no-store")
}

/// The style sheet; its path changes with it.
pub fn style() -> Response {
    Response::new(200, "text/css; charset=utf-8", STYLE)
        .with_header("cache-control", "public, max-age=31536000, immutable")
        .with_header("x-content-type-options", "nosniff")
}
