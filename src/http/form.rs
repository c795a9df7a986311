//! What a browser sends: the fields of a form, its cookies, and whether it says that the request began at another site. Which forms are ours is
//! for each room to say: `console`, `enroll` and `setup` bind theirs to different secrets.

use super::message::Request;
use super::query::percent_decode;

/// Longest cookie value that is one of ours, in bytes.
const MAX_COOKIE: usize = 256;

/// The fields of an `application/x-www-form-urlencoded` body (WHATWG URL, section 5.1), in order, `most` at most; what cannot be read is left out.
pub fn read(body: &[u8], most: usize) -> Vec<(String, String)> {
    let Ok(text) = std::str::from_utf8(body) else { return Vec::new() };
    let decode = |part: &str| String::from_utf8(percent_decode(&part.replace('+', " "))?).ok();
    let pairs = text.split('&').take(most).filter_map(|pair| pair.split_once('='));
    pairs.filter_map(|(key, value)| Some((decode(key)?, decode(value)?))).collect()
}

/// The value of a cookie that was sent once: of two with one name, nobody knows which is ours.
pub fn cookie<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let all = request.headers.get_all("cookie").iter().filter_map(|header| header.to_str().ok());
    let pairs = all.flat_map(|header| header.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut found = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
    let value = found.next()?;
    (found.next().is_none() && !value.is_empty() && value.len() <= MAX_COOKIE).then_some(value)
}

/// A browser that says where a request began (Fetch Metadata) has the last word: no form of ours is on another site.
pub fn is_from_elsewhere(request: &Request) -> bool {
    matches!(request.header("sec-fetch-site"), Some("cross-site" | "same-site"))
}
