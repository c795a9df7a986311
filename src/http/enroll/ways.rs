//! The two addresses that devices themselves send to: the URL of the Profile Service payload, and the enrolment URL of Automated Device
//! Enrolment. A refusal is JSON with a `code`, as Apple's devices read it: 400 for what cannot be read, 403 for what is not allowed.

use super::file;
use crate::base::texts::Text;
use crate::http::message::{Request, Response};
use crate::service::{Context, Error, Kind, over_the_air};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::json;

/// Largest signed body; attributes and a chain are some 6 KB.
const MAX_SIGNED: usize = 64 * 1024;

/// Both alphabets occur, with padding and without.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);

pub fn over_the_air(cx: &Context, request: &Request, origin: &str) -> Response {
    match over_the_air::answer(cx, &request.body.bytes, origin) {
        Ok(given) => file(&given),
        Err(e) => refuse(request, e),
    }
}

pub fn automated(cx: &Context, request: &Request, origin: &str) -> Response {
    match over_the_air::automated(cx, &request.body.bytes, origin) {
        Ok(given) => file(&given),
        Err(e) => refuse(request, e),
    }
}

/// The signed body inside the header of Setup Assistant's web view.
pub fn device_info(header: &str) -> Result<Vec<u8>, Error> {
    let text: String = header.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let url_safe = text.contains(['-', '_']);
    let engine = GeneralPurpose::new(if url_safe { &alphabet::URL_SAFE } else { &alphabet::STANDARD }, LENIENT);
    let bytes = engine.decode(text.as_bytes()).ok().filter(|bytes| bytes.len() <= MAX_SIGNED);
    bytes.ok_or_else(|| Error::invalid(Text::DeviceUnreadable { why: String::from("the header is not base64") }))
}

/// What a device gets instead of a profile. `description` is for its log, `message` for the person in front of it.
pub fn refuse(request: &Request, error: Error) -> Response {
    let status = match error.kind {
        Kind::Denied => 403,
        Kind::Invalid | Kind::NotFound => 400,
        Kind::Conflict | Kind::Busy => 503,
        Kind::Internal => 500,
    };
    let number = format!("{:x}", request.id);
    let public = match error.public {
        Text::Internal { .. } => Text::Internal { request: number.clone() },
        other => other,
    };
    if status >= 500 {
        let source = error.source.as_ref().map(ToString::to_string).unwrap_or_default();
        tracing::error!(request = number, error = %public, source, "a device could not be given its profile");
    } else {
        tracing::warn!(request = number, path = request.path, id = public.id(), "a device was refused at the door");
    }
    let words = public.to_string();
    let body = json!({ "code": format!("cordon.{}", public.id()), "description": words, "message": words });
    Response::new(status, "application/json", body.to_string()).with_header("cache-control", "no-store")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_in_all_its_spellings() {
        let bytes = [0xfb, 0xff, 0xbf, 1];
        for text in ["+/+/AQ==", "-_-_AQ==", "+/+/AQ", "-_-_AQ", "+/+/\r\n AQ=="] {
            assert_eq!(device_info(text).unwrap(), bytes, "{text}");
        }
        for bad in ["!", "+_+_AQ", &"A".repeat(90_000)] {
            assert!(device_info(bad).is_err());
        }
    }
}
