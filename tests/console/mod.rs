//! The console as a browser sees it: the door, cookies, tokens, headers, roles, and what a page may weigh; and in a real Chromium.

mod asvs;
mod browser;
mod door;
mod first_run;
mod forms;
mod pages;
mod serving;
mod upkeep;

use cordon::base::secret::Secret;
use cordon::base::time::{ManualClock, Timestamp};
use cordon::http::message::{Body, Door, Handler, Remote, Request, Response};
use cordon::http::routes::Front;
use cordon::pki::SystemRandom;
use cordon::pki::stretching::Cost;
use cordon::service::actor::Actor;
use cordon::service::founding::{self, Place};
use cordon::service::{Context, people};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everybody's password here.
pub const PASSWORD: &str = "tin roof in may";

/// A school behind its door, without sockets.
pub struct House {
    pub cx: Arc<Context>,
    pub clock: Arc<ManualClock>,
    front: Front,
    _directory: tempfile::TempDir,
}

/// What came back.
pub struct Page {
    pub status: u16,
    pub response: Response,
    pub text: String,
}

impl Page {
    pub fn header(&self, name: &str) -> &str {
        self.response.header(name).unwrap_or_default()
    }

    /// The token of the first form.
    pub fn token(&self) -> String {
        let (_, rest) =
            self.text.split_once("name=\"form\" value=\"").unwrap_or_else(|| panic!("no form: {}", self.text));
        rest.split_once('"').unwrap().0.to_owned()
    }

    #[track_caller]
    pub fn has(&self, words: &str) -> &Self {
        assert!(self.text.contains(words), "{words:?} is not in ({}) {}", self.status, self.text);
        self
    }
}

/// Somebody's browser: it keeps cookies as browsers do.
pub struct Browser<'h> {
    house: &'h House,
    pub cookies: RefCell<BTreeMap<String, String>>,
}

impl House {
    pub fn new() -> House {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_795_000_000)));
        let place = Place::in_directory(directory.path());
        let mut cx = founding::open(&place, Arc::clone(&clock) as _, Arc::new(SystemRandom)).unwrap();
        cx.password_cost = Cost::LEAST;
        let cx = Arc::new(cx);
        let front = Front::new(Arc::clone(&cx), Vec::new(), None);
        House { cx, clock, front, _directory: directory }
    }

    pub fn local() -> Actor {
        Actor::LocalShell { user: String::from("root") }
    }

    pub fn person(&self, name: &str, role: &str) {
        people::create(&self.cx, &House::local(), name, role, &Secret::new(PASSWORD.to_owned())).unwrap();
    }

    pub fn browser(&self) -> Browser<'_> {
        Browser { house: self, cookies: RefCell::default() }
    }

    /// A browser in which somebody new of this role is logged in.
    pub fn logged_in(&self, role: &str) -> Browser<'_> {
        self.person(role, role);
        let browser = self.browser();
        browser.log_in(role);
        browser
    }
}

impl Browser<'_> {
    pub fn get(&self, path: &str) -> Page {
        self.send("GET", path, &[], &[])
    }

    /// Sends a form with the token of this page.
    pub fn post(&self, page: &Page, path: &str, fields: &[(&str, &str)]) -> Page {
        let token = page.token();
        let all: Vec<(&str, &str)> = std::iter::once(("form", token.as_str())).chain(fields.iter().copied()).collect();
        self.send("POST", path, &all, &[])
    }

    pub fn send(&self, method: &str, target: &str, fields: &[(&str, &str)], more: &[(&str, &str)]) -> Page {
        let escape = |text: &str| -> String { text.bytes().map(|b| format!("%{b:02x}")).collect() };
        let body: Vec<String> = fields.iter().map(|(k, v)| format!("{}={}", escape(k), escape(v))).collect();
        let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q.to_owned())));
        let mut headers = HeaderMap::new();
        let cookies: Vec<String> = self.cookies.borrow().iter().map(|(k, v)| format!("{k}={v}")).collect();
        if !cookies.is_empty() {
            headers.insert("cookie", HeaderValue::from_str(&cookies.join("; ")).unwrap());
        }
        for (name, value) in more {
            headers.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let response = self.house.front.handle(Request {
            id: 7,
            door: Door::People,
            remote: Remote::Tcp("192.0.2.7:1234".parse().unwrap()),
            method: method.parse::<Method>().unwrap(),
            path: path.to_owned(),
            query,
            headers,
            peer_certificate: None,
            body: Body { bytes: body.join("&").into_bytes(), oversized: false },
        });
        for (_, cookie) in response.headers.iter().filter(|(name, _)| *name == "set-cookie") {
            let (name, value) = cookie.split_once('=').unwrap();
            let value = value.split(';').next().unwrap();
            let mut jar = self.cookies.borrow_mut();
            if value.is_empty() {
                jar.remove(name)
            } else {
                jar.insert(name.to_owned(), value.to_owned())
            };
        }
        let text = String::from_utf8_lossy(&response.body).into_owned();
        Page { status: response.status, response, text }
    }

    #[track_caller]
    pub fn log_in(&self, name: &str) {
        let door = self.get("/console/login");
        let reply = self.post(&door, "/console/login", &[("name", name), ("password", PASSWORD)]);
        assert_eq!((reply.status, reply.header("location")), (303, "/console"), "{}", reply.text);
    }
}
