//! The person with the device: a browser that keeps cookies, reads forms and sends them, as far as the enrolment page needs one.
//!
//! Called by `arriving` and by tests. Knows no script, as the page promises to need none.

use std::sync::Arc;

use super::device::World;
use super::network::{Url, WireError, tls_config_at};
use super::wire::{Answer, Client, Request};

/// One visit; cookies last as long as it does.
pub struct Browser {
    client: Client,
    start: Url,
    cookies: Vec<(String, String)>,
    /// Sent with every request, such as the header of Setup Assistant's web view.
    pub headers: Vec<(String, String)>,
}

impl Browser {
    /// `start` names the server; trusts exactly `anchors` (DER).
    ///
    /// # Errors
    /// [`WireError::Tls`] when an anchor is not usable.
    pub fn new(world: &World, start: Url, anchors: &[Vec<u8>]) -> Result<Self, WireError> {
        let client = Client::new(Arc::clone(&world.network), tls_config_at(anchors, None, &world.clock)?);
        Ok(Self { client, start, cookies: Vec::new(), headers: Vec::new() })
    }

    /// Opens a path, and where that leads to.
    ///
    /// # Errors
    /// [`WireError`] when no answer came.
    pub fn open(&mut self, path: &str) -> Result<Answer, WireError> {
        self.send("GET", path, None)
    }

    /// Sends a form to a path, and goes where that leads to.
    ///
    /// # Errors
    /// [`WireError`] when no answer came.
    pub fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Result<Answer, WireError> {
        let pairs: Vec<String> = fields.iter().map(|(key, value)| format!("{key}={}", encoded(value))).collect();
        self.send("POST", path, Some(pairs.join("&")))
    }

    /// Forgets its cookies, as the web view of Setup Assistant may.
    pub fn forget(&mut self) {
        self.cookies.clear();
    }

    pub fn cookies(&self) -> &[(String, String)] {
        &self.cookies
    }

    fn send(&mut self, method: &str, path: &str, form: Option<String>) -> Result<Answer, WireError> {
        let mut url = Url { target: path.to_owned(), ..self.start.clone() };
        let (mut method, mut form) = (method.to_owned(), form);
        for _ in 0..5 {
            let cookies = self.cookies.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join("; ");
            let mut headers: Vec<(&str, &str)> = self.headers.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            if !cookies.is_empty() {
                headers.push(("Cookie", &cookies));
            }
            if form.is_some() {
                headers.push(("Content-Type", "application/x-www-form-urlencoded"));
            }
            let body = form.as_deref().unwrap_or_default().as_bytes();
            let answer = self.client.send_once(&Request { method: &method, url: &url, headers: &headers, body })?;
            self.keep_cookies(&answer);
            match answer.find_header("location").filter(|_| answer.status == 303) {
                Some(location) => url = url.redirected(location)?,
                None => return Ok(answer),
            }
            (method, form) = (String::from("GET"), None);
        }
        Err(WireError::Redirects)
    }

    fn keep_cookies(&mut self, answer: &Answer) {
        for (_, value) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            if let Some((key, value)) = value.split(';').next().and_then(|pair| pair.split_once('=')) {
                self.cookies.retain(|(kept, _)| kept != key);
                self.cookies.push((key.to_owned(), value.to_owned()));
            }
        }
    }
}

/// The value of a hidden field on a page.
pub fn hidden(page: &Answer, name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(&page.body).into_owned();
    let from = text.find(&format!("name=\"{name}\" value=\""))? + name.len() + 15;
    Some(text[from..].split('"').next()?.to_owned())
}

fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
