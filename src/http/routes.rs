//! Which door leads to which room, and how much body each room takes. One [`Front`] serves all listeners.

use super::message::{BodyLimit, Door, Handler, Head, Request, Response};
use super::metrics::{self, Tally};
use super::{api, calendar, console, crl, device, enroll, scep, setup, trust};
use crate::base::limits::{
    MAX_API_BODY, MAX_CHECKIN_BODY, MAX_DRAINED_BODY, MAX_OTHER_BODY, MAX_RESULT_BODY, MAX_SCEP_BODY,
};
use crate::service::ports::PushSender;
use crate::service::push_signing::SigningService;
use crate::service::{Context, first_steps};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// Check-in and command URLs of enrolment profiles.
pub const CHECKIN: &str = "/mdm/checkin";
pub const COMMAND: &str = "/mdm/command";
pub const SCEP: &str = "/scep";

/// The handler behind every listener.
pub struct Front {
    cx: Arc<Context>,
    /// Addresses whose forwarded client certificates are believed.
    trusted: Vec<IpAddr>,
    /// Told of imported push certificates; none when no sender runs (the command line on the file).
    sender: Option<Arc<dyn PushSender>>,
    desk: enroll::Desk,
    /// Signs push certificate requests; none when no server runs.
    signing: Option<SigningService>,
    tally: Arc<Tally>,
    setup: setup::Desk,
}

impl Front {
    pub fn new(cx: Arc<Context>, trusted: Vec<IpAddr>, sender: Option<Arc<dyn PushSender>>) -> Self {
        let desk = enroll::Desk::new(&*cx.random);
        let tally = Arc::new(Tally::new(cx.now()));
        Self { cx, trusted, sender, desk, signing: None, tally, setup: setup::Desk::default() }
    }

    /// What counts the requests, for whoever shows the numbers elsewhere too.
    pub fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// Lets requests for push certificates go out to be signed.
    pub fn with_signing(mut self, signing: SigningService) -> Self {
        self.signing = Some(signing);
        self
    }
}

/// The rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    Device,
    Scep,
    Crl,
    Trust,
    Api,
    Console,
    Enroll,
    SetUp,
    Health,
    Calendar,
    Metrics,
    None,
}

/// Devices and people have doors of their own: on the devices' door there is nothing to log in to, on the people's door nothing asks
/// for a client certificate.
fn room(door: Door, path: &str) -> Room {
    let (devices, people) = match door {
        Door::Devices => (true, false),
        Door::People => (false, true),
        Door::Proxied => (true, true),
        Door::Control => (false, true),
    };
    match path {
        CHECKIN | COMMAND if devices => Room::Device,
        SCEP if people && door != Door::Control => Room::Scep,
        path if enroll::is_here(path) && people && door != Door::Control => Room::Enroll,
        path if setup::is_here(path) && people && door != Door::Control => Room::SetUp,
        "/crl" if people && door != Door::Control => Room::Crl,
        path if people && door != Door::Control && path.starts_with("/crl/") => Room::Crl,
        trust::SERVICE_CONFIG | trust::ANCHORS | trust::PROFILE if people && door != Door::Control => Room::Trust,
        "/metrics" if door == Door::Control => Room::Metrics,
        path if people && door != Door::Control && calendar::secret(path).is_some() => Room::Calendar,
        "/healthz" if people => Room::Health,
        path if console::is_here(path) && people && door != Door::Control => Room::Console,
        path if people && path.starts_with("/api/") => Room::Api,
        _ => Room::None,
    }
}

impl Handler for Front {
    fn body_limit(&self, head: &Head<'_>) -> BodyLimit {
        match room(head.door, head.path) {
            // Only somebody who can be identified may make us read more than a check-in.
            Room::Device if head.path == COMMAND && device::may_be_identified(head) => {
                BodyLimit::tolerant(MAX_RESULT_BODY, MAX_DRAINED_BODY)
            }
            Room::Device => BodyLimit::at_most(MAX_CHECKIN_BODY),
            Room::Scep => BodyLimit::at_most(MAX_SCEP_BODY),
            // A profile or a list of people is sent by somebody who is logged in; a stranger at the login has a name to give.
            Room::Console if !console::may_be_somebody(head) => BodyLimit::at_most(MAX_OTHER_BODY),
            Room::Api | Room::Console => BodyLimit::at_most(MAX_API_BODY),
            _ => BodyLimit::at_most(MAX_OTHER_BODY),
        }
    }

    fn handle(&self, request: Request) -> Response {
        let room = room(request.door, &request.path);
        let begun = Instant::now();
        let response = self.answer(room, &request);
        let took = begun.elapsed();
        self.tally.note(room.name(), response.status, took);
        // The paths of a calendar and of a set-up link are their secrets.
        let path = match room {
            Room::Calendar => "/expiry/…",
            Room::SetUp => "/setup/…",
            // At whatever door they are tried.
            _ if request.path.starts_with("/expiry/") || request.path.starts_with("/setup/") => "…",
            _ => request.path.as_str(),
        };
        tracing::debug!(
            request = request.id,
            door = ?request.door,
            method = %request.method,
            path,
            status = response.status,
            micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            "answered"
        );
        response
    }
}

impl Room {
    /// As the numbers for monitors call it.
    fn name(self) -> &'static str {
        match self {
            Room::Device => "device",
            Room::Scep => "scep",
            Room::Enroll => "enroll",
            Room::Api => "api",
            Room::Console => "console",
            _ => "other",
        }
    }
}

impl Front {
    fn answer(&self, room: Room, request: &Request) -> Response {
        // Before anything is set up, people see the way to the set-up and nothing else.
        let for_people = room == Room::Console || (room == Room::Enroll && request.path == "/enroll");
        if for_people && first_steps::is_fresh(&self.cx).unwrap_or(false) {
            return setup::closed();
        }
        match room {
            Room::Device => device::handle(&self.cx, request, &self.trusted),
            Room::Scep => scep::handle(&self.cx, request),
            Room::Enroll => enroll::handle(&self.cx, &self.desk, request, &self.trusted),
            Room::Crl => crl::handle(&self.cx, request),
            Room::Trust => trust::handle(&self.cx, request),
            Room::Api => api::handle(&self.cx, request, self.sender.as_deref(), self.signing.as_ref(), &self.trusted),
            Room::SetUp => setup::handle(&self.cx, &self.setup, request, self.sender.as_deref()),
            Room::Calendar => calendar::handle(&self.cx, request),
            Room::Metrics => metrics::answer(&self.cx, &self.tally),
            Room::Health => api::health(&self.cx, request.door),
            Room::Console => {
                let world = console::World {
                    sender: self.sender.as_deref(),
                    signing: self.signing.as_ref(),
                    trusted: &self.trusted,
                };
                console::handle(&self.cx, &world, request)
            }
            Room::None => Response::text(404, "There is nothing here.\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_door_leads_only_where_it_should() {
        let table = [
            (Door::Devices, CHECKIN, Room::Device),
            (Door::Devices, "/api/v1/devices", Room::None),
            (Door::Devices, SCEP, Room::None),
            (Door::People, CHECKIN, Room::None),
            (Door::People, SCEP, Room::Scep),
            (Door::People, "/crl/00ff", Room::Crl),
            (Door::Devices, "/crl", Room::None),
            (Door::People, "/api/v1/devices", Room::Api),
            (Door::Proxied, COMMAND, Room::Device),
            (Door::Proxied, SCEP, Room::Scep),
            (Door::People, "/MDMServiceConfig", Room::Trust),
            (Door::Proxied, "/trust.mobileconfig", Room::Trust),
            (Door::People, "/mdmserviceconfig", Room::None),
            (Door::Devices, "/anchors.json", Room::None),
            (Door::Control, "/api/v1/devices", Room::Api),
            (Door::Control, COMMAND, Room::None),
            (Door::Control, "/healthz", Room::Health),
            (Door::People, "/enroll", Room::Enroll),
            (Door::Proxied, "/enroll/ota", Room::Enroll),
            (Door::People, "/", Room::Console),
            (Door::People, "/console/devices", Room::Console),
            (Door::Devices, "/console", Room::None),
            (Door::Control, "/console", Room::None),
            (Door::Devices, "/enroll", Room::None),
            (Door::Control, "/enroll", Room::None),
            (Door::Control, "/metrics", Room::Metrics),
            (Door::People, "/metrics", Room::None),
            (Door::People, "/expiry/abc.ics", Room::Calendar),
            (Door::Devices, "/expiry/abc.ics", Room::None),
        ];
        for (door, path, expected) in table {
            assert_eq!(room(door, path), expected, "{door:?} {path}");
        }
    }

    #[test]
    fn a_stranger_at_the_login_sends_little() {
        let directory = tempfile::tempdir().unwrap();
        let place = crate::service::founding::Place::in_directory(directory.path());
        let clock =
            Arc::new(crate::base::time::ManualClock::at(crate::base::time::Timestamp::from_secs(1_795_000_000)));
        let cx = crate::service::founding::open(&place, clock, Arc::new(crate::pki::SystemRandom)).unwrap();
        let front = Front::new(Arc::new(cx), Vec::new(), None);
        let limit = |path: &str, cookie: Option<&str>| {
            let mut headers = ::http::HeaderMap::new();
            headers.extend(cookie.map(|cookie| (::http::header::COOKIE, cookie.parse().unwrap())));
            let head = Head {
                id: 1,
                door: Door::People,
                remote: crate::http::message::Remote::Tcp("192.0.2.7:1".parse().unwrap()),
                method: &::http::Method::POST,
                path,
                query: None,
                headers: &headers,
                peer_certificate: None,
            };
            front.body_limit(&head)
        };
        let (small, large) = (BodyLimit::at_most(MAX_OTHER_BODY), BodyLimit::at_most(MAX_API_BODY));
        let session = Some("__Host-cordon-session=cordon_session_abc");
        assert_eq!(limit("/console/login", None), small);
        assert_eq!(limit("/console/login", session), small, "nobody logs in with a file");
        assert_eq!(limit("/console/profiles/new", None), small);
        assert_eq!(limit("/console/profiles/new", Some("__Host-cordon-door=abc")), small);
        assert_eq!(limit("/console/profiles/new", session), large);
    }
}
