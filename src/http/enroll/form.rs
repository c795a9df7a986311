//! Forms and cookies of the pages: what a browser sends back, and whether it comes from a form of ours.
//!
//! A form carries a digest of the random word in the browser's own cookie, made with a key that only this server has: another site can make
//! a browser send a form here, but it can neither read that cookie nor make the digest.

use super::Desk;
use crate::http::form;
use crate::http::message::Request;
use crate::pki::constant_time_eq;
use crate::pki::digest::hmac_sha256;

/// Fields that are read.
const MAX_FIELDS: usize = 16;
/// Longest field, in bytes; a password of 128 characters, escaped, is far below.
const MAX_FIELD: usize = 4 * 1024;
const FORM_COOKIE: &str = "__Host-cordon-form";

/// The fields of a form, in order; what cannot be read, and what is longer than any of ours, is left out.
pub fn read(body: &[u8]) -> Vec<(String, String)> {
    let mut fields = form::read(body, MAX_FIELDS);
    fields.retain(|(_, value)| value.len() <= MAX_FIELD);
    fields
}

/// What a form must carry, and the cookie to set when the browser has none yet.
pub struct Bound {
    pub token: String,
    pub cookie: Option<String>,
}

/// Binds a form to this browser; `fresh` are random bytes for its word.
pub fn bind(desk: &Desk, request: &Request, fresh: [u8; 16]) -> Bound {
    match form::cookie(request, FORM_COOKIE) {
        Some(word) => Bound { token: digest(desk, word), cookie: None },
        None => {
            let word = hex::encode(fresh);
            let cookie = format!("{FORM_COOKIE}={word}; Path=/; Secure; HttpOnly; SameSite=Strict");
            Bound { token: digest(desk, &word), cookie: Some(cookie) }
        }
    }
}

/// Whether a form of ours was sent, from the browser that was given it.
pub fn is_ours(desk: &Desk, request: &Request, token: Option<&str>) -> bool {
    match (form::cookie(request, FORM_COOKIE), token) {
        (Some(word), Some(token)) => constant_time_eq(digest(desk, word).as_bytes(), token.as_bytes()),
        _ => false,
    }
}

fn digest(desk: &Desk, word: &str) -> String {
    hex::encode(hmac_sha256(&desk.key, format!("form/{word}").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::message::{Body, Door, Remote};
    use ::http::{HeaderMap, HeaderValue, Method};

    fn request(cookies: &[&str]) -> Request {
        let mut headers = HeaderMap::new();
        for one in cookies {
            headers.append("cookie", HeaderValue::from_str(one).unwrap());
        }
        Request {
            id: 1,
            door: Door::People,
            remote: Remote::Tcp("192.0.2.1:1".parse().unwrap()),
            method: Method::POST,
            path: "/enroll".into(),
            query: None,
            headers,
            peer_certificate: None,
            body: Body::default(),
        }
    }

    #[test]
    fn fields_as_browsers_send_them() {
        let fields =
            read(b"code=k7m2-p9xw-4htz&name=Ada+L%C3%B6we&password=a%2Bb%26c&broken=%4&lonely&twice=1&twice=2");
        let shown: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(
            shown,
            [("code", "k7m2-p9xw-4htz"), ("name", "Ada Löwe"), ("password", "a+b&c"), ("twice", "1"), ("twice", "2")]
        );
        assert!(read(&[0xff, 0xfe]).is_empty());
        assert_eq!(read("a=1&".repeat(1_000).as_bytes()).len(), MAX_FIELDS);
    }

    #[test]
    fn a_form_belongs_to_one_browser_and_one_server() {
        let (desk, other) = (Desk { key: [1; 32] }, Desk { key: [2; 32] });
        let first = bind(&desk, &request(&[]), [7; 16]);
        let set = first.cookie.unwrap();
        assert!(set.contains("Secure") && set.contains("HttpOnly") && set.contains("SameSite=Strict"));
        let word = set.split(';').next().unwrap();
        let browser = request(&["a=b; c=d", word]);
        assert!(is_ours(&desk, &browser, Some(&first.token)));
        assert!(!is_ours(&other, &browser, Some(&first.token)));
        assert!(!is_ours(&desk, &request(&["__Host-cordon-form=00"]), Some(&first.token)));
        assert!(!is_ours(&desk, &browser, None) && !is_ours(&desk, &request(&[]), Some(&first.token)));
        assert_eq!(bind(&desk, &browser, [8; 16]).token, first.token);
    }
}
