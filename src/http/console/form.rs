//! What a browser sends back. A [`Form`] exists only after its token was checked: another site can make a browser send a form here with
//! its cookie, but it cannot know the token, which is made from the session's own secret word.

use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::http::form;
use crate::http::message::Request;
use crate::pki::constant_time_eq;
use crate::pki::digest::hmac_sha256;
use crate::service::Error;

/// Fields that are read.
const MAX_FIELDS: usize = 2_000;
/// Name of the hidden field.
pub const TOKEN: &str = "form";

/// The fields of a form of ours.
pub struct Form {
    fields: Vec<(String, String)>,
    files: Vec<(String, Vec<u8>)>,
}

/// What the forms of a session carry; `word` is the session's own, which only the browser's cookie and this server know.
pub fn token(word: &str) -> String {
    hex::encode(hmac_sha256(word.as_bytes(), b"cordon console form"))
}

impl Form {
    /// Reads a form that carries the token.
    ///
    /// # Errors
    /// `Denied` for one from elsewhere, or from a session that is over.
    pub fn check(request: &Request, token: &str) -> Result<Form, Error> {
        let sent = read(request);
        let ours = sent.get(TOKEN).is_some_and(|given| constant_time_eq(given.as_bytes(), token.as_bytes()));
        // A browser that says where a request began has the last word.
        if ours && !form::is_from_elsewhere(request) { Ok(sent) } else { Err(Error::denied(Text::PageTooOld)) }
    }

    /// Nothing was sent.
    pub(super) fn empty() -> Form {
        Form { fields: Vec::new(), files: Vec::new() }
    }

    /// As if somebody had typed these.
    #[cfg(test)]
    pub(super) fn of(fields: Vec<(String, String)>) -> Form {
        Form { fields, files: Vec::new() }
    }

    /// The first value of a field, if anything was typed.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        value.filter(|value| !value.trim().is_empty())
    }

    /// As [`Form::get`], without blanks around it; empty when there is nothing.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).map(str::trim).unwrap_or_default()
    }

    /// As [`Form::text`], owned, if anything was typed.
    pub fn some(&self, name: &str) -> Option<String> {
        self.get(name).map(|value| value.trim().to_owned())
    }

    /// A password: blanks count.
    pub fn secret(&self, name: &str) -> Option<Secret<String>> {
        self.fields.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, v)| Secret::new(v.clone()))
    }

    /// Whether a box was ticked.
    pub fn ticked(&self, name: &str) -> bool {
        self.fields.iter().any(|(key, _)| key == name)
    }

    /// A number.
    ///
    /// # Errors
    /// `Invalid` for something else; nothing typed is `None`.
    pub fn number(&self, name: &str) -> Result<Option<i64>, Error> {
        let bad =
            |_| Error::invalid(Text::BadArgument { key: name.to_owned(), why: String::from("must be a whole number") });
        self.get(name).map(|text| text.trim().parse().map_err(bad)).transpose()
    }

    /// A file that was chosen, or the text that was pasted into the field of the same name.
    pub fn file(&self, name: &str) -> Option<Vec<u8>> {
        let chosen = self.files.iter().find(|(key, bytes)| key == name && !bytes.is_empty());
        chosen.map(|(_, bytes)| bytes.clone()).or_else(|| self.get(name).map(|text| text.as_bytes().to_vec()))
    }
}

fn read(request: &Request) -> Form {
    let kind = request.header("content-type").unwrap_or_default();
    let boundary = kind.strip_prefix("multipart/form-data").and_then(|rest| rest.split_once("boundary="));
    match boundary {
        Some((_, boundary)) => read_parts(&request.body.bytes, boundary.trim().trim_matches('"')),
        None => Form { fields: form::read(&request.body.bytes, MAX_FIELDS), files: Vec::new() },
    }
}

/// RFC 7578, as browsers write it.
fn read_parts(body: &[u8], boundary: &str) -> Form {
    let mut form = Form { fields: Vec::new(), files: Vec::new() };
    if boundary.is_empty() || boundary.len() > 70 {
        return form;
    }
    let (mark, mut rest) = (format!("--{boundary}").into_bytes(), body);
    while let Some(at) = find(rest, &mark) {
        rest = &rest[at + mark.len()..];
        let Some(end) = find(rest, &mark) else { break };
        let part = &rest[..end];
        let Some(gap) = find(part, b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&part[..gap]).into_owned();
        let content = part[gap + 4..].strip_suffix(b"\r\n").unwrap_or(&part[gap + 4..]);
        let Some(name) = quoted(&head, " name=\"") else { continue };
        if form.fields.len() + form.files.len() >= MAX_FIELDS {
            break;
        }
        if quoted(&head, "filename=\"").is_some() {
            form.files.push((name, content.to_vec()));
        } else if let Ok(text) = String::from_utf8(content.to_vec()) {
            form.fields.push((name, text));
        }
    }
    form
}

fn quoted(head: &str, key: &str) -> Option<String> {
    let (_, rest) = head.split_once(key)?;
    rest.split_once('"').map(|(value, _)| value.to_owned())
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_files_as_browsers_send_them() {
        let body = b"--xyz\r\nContent-Disposition: form-data; name=\"form\"\r\n\r\nabc\r\n--xyz\r\nContent-Disposition: form-data; name=\"file\"; \
            filename=\"a.mobileconfig\"\r\nContent-Type: application/x-apple-aspen-config\r\n\r\n<plist>\r\n</plist>\r\n--xyz--\r\n";
        let form = read_parts(body, "xyz");
        assert_eq!((form.text("form"), form.file("file").unwrap()), ("abc", b"<plist>\r\n</plist>".to_vec()));
        let encoded = form::read("name=Ada+L%C3%B6we&tick=on&tick=two&broken=%4".as_bytes(), 9);
        let form = Form { fields: encoded, files: Vec::new() };
        assert_eq!((form.text("name"), form.ticked("tick"), form.get("broken")), ("Ada Löwe", true, None));
        for hostile in
            [&b"--xyz"[..], b"", b"--xyz\r\n\r\n\r\n--xyz--", b"--xyz\r\nContent-Disposition: name=\"\r\n\r\nx--xyz"]
        {
            assert!(read_parts(hostile, "xyz").fields.len() < 2);
        }
    }

    #[test]
    fn a_token_belongs_to_one_session() {
        assert_ne!(token("one"), token("two"));
        assert_eq!(token("one").len(), 64);
    }
}
