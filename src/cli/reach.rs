//! How a verb reaches the API: over the control socket of the running server, or, when none runs, in this process on the file.
//!
//! Both speak the same requests to the same handlers, so a verb does not know which it has; only [`Api::is_live`] tells, because
//! without a server nobody calls devices.

use super::args::Global;
use super::failure::Failure;
use crate::base::time::SystemClock;
use crate::http::control::{Client, socket_path, user_name};
use crate::http::message::{Body, Door, Handler, Remote, Request};
use crate::http::routes::Front;
use crate::pki::SystemRandom;
use crate::server::surroundings::Machine;
use crate::service::actor::Actor;
use crate::service::founding::{self, Place};
use crate::service::ports::ListenerState;
use crate::service::{Context, Urls, school};
use crate::store::StoreError;
use ::http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a verb waits for another one, or for a server that is just starting or stopping.
const PATIENCE: Duration = Duration::from_secs(10);
/// Items asked for at once.
const PAGE: usize = 200;

/// One request to the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub method: &'static str,
    /// Path and query, percent-encoded.
    pub target: String,
    pub content_type: Option<&'static str>,
    pub body: Vec<u8>,
}

impl Call {
    pub fn get(target: impl Into<String>) -> Call {
        Call { method: "GET", target: target.into(), content_type: None, body: Vec::new() }
    }

    pub fn delete(target: impl Into<String>) -> Call {
        Call { method: "DELETE", ..Call::get(target) }
    }

    pub fn post(target: impl Into<String>, content_type: &'static str, body: Vec<u8>) -> Call {
        Call { method: "POST", target: target.into(), content_type: Some(content_type), body }
    }

    pub fn post_json(target: impl Into<String>, body: &Value) -> Call {
        Call::post(target, "application/json", body.to_string().into_bytes())
    }

    pub fn patch_json(target: impl Into<String>, body: &Value) -> Call {
        Call { method: "PATCH", ..Call::post_json(target, body) }
    }

    /// With one more query parameter, if there is a value.
    pub fn with(mut self, name: &str, value: Option<impl AsRef<str>>) -> Call {
        if let Some(value) = value {
            let joint = if self.target.contains('?') { '&' } else { '?' };
            self.target.push_str(&format!("{joint}{name}={}", escape(value.as_ref())));
        }
        self
    }
}

/// One segment of a path or value of a query, percent-encoded (RFC 3986 unreserved characters stay).
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
}

/// The API, wherever it runs. Two real implementations in [`Reach`], one in tests.
pub trait Api {
    /// Sends a request; any status is an answer.
    ///
    /// # Errors
    /// When there is no answer.
    fn call(&self, call: &Call) -> Result<Reply, Failure>;

    /// Whether a server is running that calls devices and answers them.
    fn is_live(&self) -> bool;

    /// Whether the addresses are known that a profile must carry.
    fn knows_addresses(&self) -> bool;
}

impl dyn Api + '_ {
    /// The body of a success.
    ///
    /// # Errors
    /// The API's own words for everything else.
    pub fn bytes(&self, call: &Call) -> Result<Vec<u8>, Failure> {
        let reply = self.call(call)?;
        if (200..300).contains(&reply.status) {
            Ok(reply.body)
        } else {
            Err(Failure::from_answer(reply.status, &reply.body))
        }
    }

    /// The JSON of a success; null for an empty body.
    ///
    /// # Errors
    /// As [`Self::bytes`].
    pub fn json(&self, call: &Call) -> Result<Value, Failure> {
        let body = self.bytes(call)?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body)
            .map_err(|error| Failure::new("server", format!("the server's answer is no JSON: {error}")))
    }

    /// All items of a list, page by page, up to `limit`; with the cursor of what was left.
    ///
    /// # Errors
    /// As [`Self::bytes`].
    pub fn list(&self, first: &Call, limit: Option<usize>) -> Result<(Vec<Value>, Option<String>), Failure> {
        self.list_after(first, None, limit)
    }

    /// As [`Self::list`], beginning after a cursor.
    ///
    /// # Errors
    /// As [`Self::bytes`].
    pub fn list_after(
        &self,
        first: &Call,
        start: Option<String>,
        limit: Option<usize>,
    ) -> Result<(Vec<Value>, Option<String>), Failure> {
        let (mut items, mut cursor) = (Vec::new(), start);
        loop {
            let wanted = limit.map_or(PAGE, |limit| (limit - items.len()).min(PAGE));
            let page =
                self.json(&first.clone().with("limit", Some(wanted.to_string())).with("cursor", cursor.as_ref()))?;
            let before = items.len();
            items.extend(page.get("items").and_then(Value::as_array).into_iter().flatten().cloned());
            let next = match page.get("next_cursor") {
                Some(Value::String(text)) => Some(text.clone()),
                Some(Value::Number(number)) => Some(number.to_string()),
                _ => None,
            };
            let full = limit.is_some_and(|limit| items.len() >= limit);
            // A cursor that leads nowhere must not be followed for ever.
            if next.is_none() || full || items.len() == before || next == cursor {
                items.truncate(limit.unwrap_or(usize::MAX));
                return Ok((items, next));
            }
            cursor = next;
        }
    }
}

/// Whether a verb may make a database where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Founding {
    Allowed,
    Refused,
}

/// The way to the API of one data directory.
pub enum Reach {
    Socket { client: Client },
    File { cx: Arc<Context>, front: Front },
}

impl Reach {
    /// Finds the running server, or opens the file.
    ///
    /// # Errors
    /// When there is neither, or this user may not use them.
    pub fn open(global: &Global, founding: Founding) -> Result<Reach, Failure> {
        let (socket, _) = socket_path(&global.data_dir);
        let deadline = Instant::now() + PATIENCE;
        loop {
            match UnixStream::connect(&socket) {
                Ok(_) => return Ok(Reach::Socket { client: Client::new(socket) }),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {}
                Err(error) => return Err(not_yours(&socket, &error)),
            }
            match open_file(global, founding)? {
                Some(reach) => return Ok(reach),
                None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(100)),
                None => {
                    return Err(Failure::new(
                        "locked",
                        format!(
                            "another cordon works on {} and does not answer; try again in a moment",
                            global.data_dir.display()
                        ),
                    ));
                }
            }
        }
    }

    /// Ends cleanly: everything moves into the one file.
    ///
    /// # Errors
    /// When another process holds the file.
    pub fn close(self) -> Result<(), Failure> {
        let Reach::File { cx, front } = self else { return Ok(()) };
        drop(front);
        cx.set_surroundings(None);
        crate::service::auditing::flush(&cx)?;
        match Arc::try_unwrap(cx) {
            Ok(cx) => cx.store.close().map_err(|error| Failure::new("close", error.to_string())),
            // Nobody else holds it here; dropping it would be what a crash looks like, and safe.
            Err(_) => Ok(()),
        }
    }
}

impl Api for Reach {
    fn call(&self, call: &Call) -> Result<Reply, Failure> {
        match self {
            Reach::Socket { client } => {
                let headers: Vec<(&str, &str)> = call.content_type.iter().map(|kind| ("content-type", *kind)).collect();
                let answer = client.request(call.method, &call.target, &headers, &call.body);
                let (status, _, body) = answer.map_err(|error| not_yours(client.path(), &error))?;
                Ok(Reply { status, body })
            }
            Reach::File { front, .. } => {
                let response = front.handle(request(call)?);
                Ok(Reply { status: response.status, body: response.body })
            }
        }
    }

    fn is_live(&self) -> bool {
        matches!(self, Reach::Socket { .. })
    }

    fn knows_addresses(&self) -> bool {
        match self {
            Reach::Socket { .. } => true,
            Reach::File { cx, .. } => cx.urls() != Urls::default(),
        }
    }
}

fn not_yours(socket: &Path, error: &std::io::Error) -> Failure {
    let socket = socket.display();
    match error.kind() {
        ErrorKind::PermissionDenied => Failure::new(
            "not-yours",
            format!("{socket} belongs to another user; run this as the user who runs the server, or as root"),
        ),
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            Failure::new("silent", format!("the server on {socket} does not answer"))
        }
        _ => Failure::new("server", format!("the server on {socket} cannot be asked: {error}")),
    }
}

/// `None` while another process works on the file.
fn open_file(global: &Global, founding: Founding) -> Result<Option<Reach>, Failure> {
    let dir = &global.data_dir;
    let there = dir.join("cordon.db").try_exists().map_err(|error| Failure::file("look into", dir, &error))?;
    if !there {
        if founding == Founding::Refused {
            let words = format!(
                "there is no school in {0}, and no server runs there. Start one with `cordon serve --data-dir {0}`, or name the right directory with --data-dir.",
                dir.display()
            );
            return Err(Failure::new("no-school", words));
        }
        let created = crate::store::create_folder(dir);
        created.map_err(|error| Failure::file("create", dir, &error))?;
    }
    let config = global.config()?;
    super::log::start(config.log, "error");
    let place = Place { directory: dir.clone(), machine_key: config.machine_key.clone() };
    let cx = match founding::open(&place, Arc::new(SystemClock), Arc::new(SystemRandom)) {
        Ok(cx) => Arc::new(cx),
        Err(error) if is_locked(&error) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    cx.set_urls(addresses(&cx, &config)?);
    cx.set_directory(Arc::new(crate::directory::Ldap));
    cx.set_mail_sender(Arc::new(crate::outbound::smtp::Smtp::default()));
    cx.set_surroundings(Some(Arc::new(machine(&config))));
    let front = Front::new(Arc::clone(&cx), config.trusted, None);
    Ok(Some(Reach::File { cx, front }))
}

/// What the doctor can look at while no server runs.
fn machine(config: &super::config::Config) -> Machine {
    let listen = &config.listen;
    let all = [
        ("listen.people", &listen.people),
        ("listen.devices", &listen.devices),
        ("listen.proxied", &listen.proxied),
        ("listen.http", &listen.http),
        ("listen.metrics", &listen.metrics),
    ];
    let state = |(key, listen): (&'static str, &super::config::Listen)| {
        listen.address().map(|wanted| ListenerState { key, wanted: wanted.to_owned(), bound: None })
    };
    Machine {
        listeners: all.into_iter().filter_map(state).collect(),
        hostname: config.hostname.clone(),
        stand_ins: config.apple.device_ca_file.is_some(),
        trusted_proxies: config.trusted.clone(),
        ..Machine::default()
    }
}

fn is_locked(error: &crate::service::Error) -> bool {
    let source = error.source.as_ref().and_then(|source| source.downcast_ref::<StoreError>());
    matches!(source, Some(StoreError::Locked(_)))
}

/// The addresses for profiles made while no server runs: those that devices hold, else as a server would have them now.
fn addresses(cx: &Context, config: &super::config::Config) -> Result<Urls, Failure> {
    let read = |name: &str| cx.store.read(|db| db.find_text_setting(name)).map_err(crate::service::Error::from);
    let held = read("public.people_url")?.zip(read("public.devices_url")?);
    let trust = read("public.trust_url")?;
    let held = held.map(|(people, devices)| Urls { trust: trust.unwrap_or_else(|| people.clone()), people, devices });
    let (started, active, _) = cx.store.read(|db| db.count_enrollments()).map_err(crate::service::Error::from)?;
    let hostname = school::find(cx)?.hostname.or_else(|| config.hostname.clone());
    let (people, devices) = (config.listen.people.fixed_port(), config.listen.devices.fixed_port());
    let fixed = (people.is_some() && devices.is_some()) || config.listen.proxied.address().is_some();
    let wanted = hostname.filter(|_| fixed).map(|hostname| config.urls(&hostname, people, devices));
    Ok(choose(held, wanted, started + active > 0))
}

/// Addresses that enrolled devices hold are frozen; before that a new host name wins over what the last server had.
fn choose(held: Option<Urls>, wanted: Option<Urls>, frozen: bool) -> Urls {
    let first = if frozen { held.clone() } else { None };
    first.or(wanted).or(held).unwrap_or_default()
}

fn request(call: &Call) -> Result<Request, Failure> {
    let bad = |_| Failure::new("internal", "this cannot be said in a request");
    let (path, query) = match call.target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (call.target.as_str(), None),
    };
    let mut headers = HeaderMap::new();
    if let Some(kind) = call.content_type {
        headers.insert(::http::header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    Ok(Request {
        id: 0,
        door: Door::Control,
        remote: Remote::Local { uid: Some(rustix::process::geteuid().as_raw()) },
        method: Method::from_bytes(call.method.as_bytes()).map_err(|e| bad(e.to_string()))?,
        path: path.to_owned(),
        query,
        headers,
        peer_certificate: None,
        body: Body { bytes: call.body.clone(), oversized: false },
    })
}

/// The actor of a verb that works past the API.
pub fn local_actor() -> Actor {
    Actor::LocalShell { user: local_user() }
}

/// The user of this process: as the control socket would see it.
fn local_user() -> String {
    user_name(rustix::process::geteuid().as_raw())
}

#[cfg(test)]
pub mod fake;

#[cfg(test)]
mod tests {
    use super::fake::Fake;
    use super::*;
    use serde_json::json;

    #[test]
    fn targets_are_escaped() {
        let call = Call::get(format!("/api/v1/devices/{}", escape("a/b ü")))
            .with("user", Some("x&y=z"))
            .with("none", None::<&str>);
        assert_eq!(call.target, "/api/v1/devices/a%2Fb%20%C3%BC?user=x%26y%3Dz");
        assert_eq!(call.with("limit", Some("3")).target, "/api/v1/devices/a%2Fb%20%C3%BC?user=x%26y%3Dz&limit=3");
    }

    #[test]
    fn lists_are_followed_to_their_end_and_no_further() {
        let fake = Fake::new(|call| {
            let next = if call.target.contains("cursor=2") { json!(null) } else { json!("2") };
            (200, json!({ "items": [1, 2], "next_cursor": next }))
        });
        let api: &dyn Api = &fake;
        let (items, next) = api.list(&Call::get("/x"), None).unwrap();
        assert_eq!((items.len(), next), (4, None));
        let (items, next) = api.list(&Call::get("/x"), Some(1)).unwrap();
        assert_eq!((items.len(), next.as_deref()), (1, Some("2")));
        let endless = Fake::new(|_| (200, json!({ "items": [1], "next_cursor": "1" })));
        let api: &dyn Api = &endless;
        assert_eq!(api.list(&Call::get("/x"), None).unwrap().0.len(), 2);
    }

    #[test]
    fn refusals_arrive_in_the_apis_words() {
        let fake = Fake::new(|_| (409, json!({ "id": "already-sent", "detail": "Too late." })));
        let api: &dyn Api = &fake;
        let failure = api.json(&Call::delete("/x")).unwrap_err();
        assert_eq!((failure.id.as_str(), failure.detail.as_str()), ("already-sent", "Too late."));
    }

    #[test]
    fn the_socket_and_the_file_give_the_same_answers() {
        let dir = tempfile::tempdir().unwrap();
        let global = Global { data_dir: dir.path().join("school"), config_file: None, json: false };
        let setup =
            Call::post_json("/api/v1/setup", &json!({ "organization": "Hill", "hostname": "mdm.hill.example" }));
        assert_eq!(Reach::open(&global, Founding::Refused).err().unwrap().id, "no-school");
        let on_file = Reach::open(&global, Founding::Allowed).unwrap();
        assert!(!on_file.is_live() && !on_file.knows_addresses());
        let api: &dyn Api = &on_file;
        assert_eq!(api.json(&setup).unwrap()["organization"], "Hill");
        on_file.close().unwrap();

        let on_file = Reach::open(&global, Founding::Refused).unwrap();
        assert!(on_file.knows_addresses());
        let Reach::File { cx, .. } = &on_file else { panic!("no server runs") };
        let front = Front::new(Arc::clone(cx), Vec::new(), None);
        let server = crate::http::control::Control::start(&socket_path(&global.data_dir).0, Arc::new(front)).unwrap();
        let on_socket = Reach::open(&global, Founding::Refused).unwrap();
        assert!(on_socket.is_live() && on_socket.knows_addresses());
        let (file, socket): (&dyn Api, &dyn Api) = (&on_file, &on_socket);
        for target in ["/api/v1/devices", "/api/v1/audit", "/healthz", "/api/v1/devices?search=a%20b"] {
            assert_eq!(socket.json(&Call::get(target)).unwrap(), file.json(&Call::get(target)).unwrap(), "{target}");
        }
        assert_eq!(
            socket.json(&Call::get("/api/v1/devices/%FC")).unwrap_err().id,
            file.json(&Call::get("/api/v1/devices/%FC")).unwrap_err().id
        );
        let actor = socket.json(&Call::get("/api/v1/audit")).unwrap()["items"][0]["actor"].clone();
        assert_eq!(actor, format!("local:{}", local_user()));
        server.stop();
    }

    #[test]
    fn addresses_of_enrolled_devices_are_frozen() {
        let urls = |name: &str| {
            Some(Urls {
                people: format!("https://{name}"),
                devices: format!("https://{name}:8443"),
                trust: format!("https://{name}"),
            })
        };
        assert_eq!(Some(choose(urls("old"), urls("new"), true)), urls("old"));
        assert_eq!(Some(choose(urls("old"), urls("new"), false)), urls("new"));
        assert_eq!(Some(choose(urls("old"), None, false)), urls("old"));
        assert_eq!(Some(choose(None, urls("new"), true)), urls("new"));
        assert_eq!(choose(None, None, false), Urls::default());
    }
}
