//! A whole school for one test: the real server on real sockets with the real store, the stand-in for Apple's push service, and
//! simulated devices that are woken by it. Used by every journey.
//!
//! A school that is dropped asks its devices whether the server did anything it must not do, and fails the test if it did.

pub mod api;
pub mod device;
pub mod hidden;
pub mod journal;
pub mod scep;
pub mod wire;

use api::Reply;
use cordon::base::time::{Clock, SystemClock};
use cordon::http::control::Client;
use cordon::pki::SystemRandom;
use cordon::server::{Options, Server};
use cordon::service::founding::Place;
use cordon::simulator::apns::StandIn;
use cordon::simulator::classroom::Progress;
use cordon::simulator::device::World;
use cordon::simulator::network::{Network, Via};
use cordon::simulator::spec::Kind;
use cordon::simulator::state::{Behaviour, Channel};
use device::Handle;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

/// The push topic of every school here.
pub const TOPIC: &str = "com.apple.mgmt.External.journey-school";

/// Longest wait for anything; a healthy run needs a small part of it, also on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct School {
    /// `None` between a stop and a start.
    server: Option<Server>,
    pub stand_in: Arc<StandIn>,
    world: Arc<World>,
    folder: tempfile::TempDir,
    pub plan: Plan,
    devices: RefCell<Vec<Arc<Handle>>>,
}

/// What a school is started with; kept for its next start.
#[derive(Clone)]
pub struct Plan {
    pub people: String,
    pub devices: String,
    pub proxied: String,
    pub trusted_proxies: Vec<std::net::IpAddr>,
    pub clock: Arc<dyn Clock>,
    /// Roots (DER) that devices are sold with.
    pub public_roots: Vec<Vec<u8>>,
    /// The last word on what the server is told.
    pub tune: Arc<dyn Fn(&mut Options) + Send + Sync>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            people: String::from("127.0.0.1:0"),
            devices: String::from("127.0.0.1:0"),
            proxied: String::from("off"),
            trusted_proxies: vec![SocketAddr::from(([127, 0, 0, 1], 0)).ip()],
            clock: Arc::new(SystemClock),
            public_roots: Vec::new(),
            tune: Arc::new(|_| {}),
        }
    }
}

impl Plan {
    /// On ports of its own that a later start gets again: enrolled devices know them.
    pub fn with_lasting_ports() -> Self {
        Self { people: lasting_address(), devices: lasting_address(), ..Self::default() }
    }
}

/// A free address outside the range that the kernel hands out to others meanwhile.
pub fn lasting_address() -> String {
    static NEXT: LazyLock<AtomicU16> =
        LazyLock::new(|| AtomicU16::new(10_000 + u16::try_from(std::process::id() % 18_000).unwrap()));
    loop {
        let address = format!("127.0.0.1:{}", NEXT.fetch_add(1, Ordering::Relaxed));
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}

impl School {
    /// Ready to enrol: push certificate imported through the API.
    pub fn new() -> Self {
        Self::planned(Plan::default())
    }

    pub fn planned(plan: Plan) -> Self {
        let school = Self::bare(plan);
        let (certificate, key) = school.stand_in.push_certificate(TOPIC).unwrap();
        school.api("POST", "/push-certificates", &json!({ "certificate_pem": certificate, "key_pem": key })).is(201);
        school
    }

    /// Founded, and nothing more.
    pub fn bare(plan: Plan) -> Self {
        journal::listen();
        let stand_in = Arc::new(StandIn::start_with_clock(Arc::clone(&plan.clock)).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let public_roots = plan.public_roots.clone();
        let world = World { clock: Arc::clone(&plan.clock), public_roots, ..World::real(Network::default()) };
        let mut school =
            Self { server: None, stand_in, world: Arc::new(world), folder, plan, devices: RefCell::default() };
        school.start();
        if let Some(address) = school.server().proxied() {
            // What a proxy would do: take the TLS off and pass everything to the one listener.
            school.world.network.route("localhost", address, Via::StrippedTls).unwrap();
        }
        school
    }

    /// Starts the server on this school's directory.
    pub fn start(&mut self) {
        self.start_in(&self.directory());
    }

    /// Starts the server on another directory, such as a copy of this school's; devices and API are the same.
    pub fn start_in(&mut self, directory: &Path) {
        self.adopt(self.start_on(directory).unwrap());
    }

    /// This server is the school's from now on.
    pub fn adopt(&mut self, server: Server) {
        assert!(self.server.is_none(), "it runs already");
        self.server = Some(server);
    }

    /// Starts another server with the same settings on any directory.
    pub fn start_on(&self, directory: &Path) -> Result<Server, cordon::service::Error> {
        let plan = &self.plan;
        let place = Place::in_directory(directory);
        let mut options = Options::new(place, "localhost", Arc::clone(&plan.clock), Arc::new(SystemRandom));
        options.listen_people.clone_from(&plan.people);
        options.listen_devices.clone_from(&plan.devices);
        options.listen_proxied.clone_from(&plan.proxied);
        options.trusted_proxies.clone_from(&plan.trusted_proxies);
        // So that every command is one that the test sent.
        options.asks_at_enrollment = false;
        options.apns_url = self.stand_in.url();
        options.apple_ca_pem = Some(self.stand_in.ca_pem().into_bytes());
        (plan.tune)(&mut options);
        Server::start(options)
    }

    /// A clean stop.
    pub fn stop(&mut self) {
        self.server.take().unwrap().stop().unwrap();
    }

    /// The server is gone from one moment to the next; nothing is tidied up.
    pub fn crash(&mut self) {
        drop(self.server.take());
    }

    pub fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    pub fn directory(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    // ---- the API, as the owner on this machine

    /// One call over the control socket; `path` begins after `/api/v1`. A null body is none.
    pub fn api(&self, method: &str, path: &str, body: &Value) -> Reply {
        let client = Client::new(self.server().socket().0);
        let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
        let headers = [("Content-Type", "application/json")];
        let (status, headers, body) = client.request(method, &format!("/api/v1{path}"), &headers, &body).unwrap();
        Reply { status, headers, body }
    }

    pub fn get(&self, path: &str) -> Value {
        self.api("GET", path, &Value::Null).is(200)
    }

    /// A fresh enrolment profile; `wish` as in the API.
    pub fn profile(&self, wish: &Value) -> Vec<u8> {
        let reply = self.api("POST", "/enrollments/profile", wish);
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.body
    }

    /// Queues a command; its UUID.
    pub fn send(&self, device: &Handle, request_type: &str, keys: Value) -> String {
        self.send_to(device, None, request_type, keys)
    }

    /// Queues a command for the person at a Mac.
    pub fn send_to(&self, device: &Handle, user: Option<&str>, request_type: &str, keys: Value) -> String {
        let reply = self.try_send(device, user, request_type, keys);
        reply.is(201)["command_uuid"].as_str().unwrap().to_owned()
    }

    pub fn try_send(&self, device: &Handle, user: Option<&str>, request_type: &str, mut keys: Value) -> Reply {
        if keys.is_null() {
            keys = json!({});
        }
        keys["RequestType"] = json!(request_type);
        if let Some(user) = user {
            keys["user"] = json!(user);
        }
        self.api("POST", &format!("/devices/{}/commands", device.udid()), &keys)
    }

    pub fn command(&self, uuid: &str) -> Value {
        self.get(&format!("/commands/{uuid}"))
    }

    pub fn state_of(&self, uuid: &str) -> String {
        self.command(uuid)["state"].as_str().unwrap().to_owned()
    }

    /// All sentences of the explanation, joined.
    pub fn explain(&self, uuid: &str) -> String {
        let words = self.get(&format!("/commands/{uuid}/explain"));
        words["words"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    /// Waits until the command is in this state, and returns it.
    pub fn wait_for(&self, uuid: &str, state: &str) -> Value {
        self.wait_until(&format!("command {uuid} to be {state}"), || {
            let command = self.command(uuid);
            (command["state"] == state).then_some(command)
        })
    }

    /// The device as the API shows it.
    pub fn device(&self, device: &Handle) -> Value {
        self.get(&format!("/devices/{}", device.udid()))
    }

    /// Looks again and again until there is an answer; fails the test after [`PATIENCE`].
    pub fn wait_until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(Instant::now() < until, "waited in vain for {what}\n{}", self.stories());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn stories(&self) -> String {
        let devices = self.devices.borrow();
        let story = |device: &Arc<Handle>| {
            let log = device
                .with(|d| d.log().iter().map(|e| format!("  {:?} {:?}\n", e.channel, e.event)).collect::<String>());
            format!("{}: troubles {:?}\n{log}", device.udid(), device.fleet.troubles())
        };
        devices.iter().map(story).collect()
    }

    // ---- devices

    /// Enrols a device by SCEP; it hears its pushes from then on.
    pub fn enroll(&self, kind: Kind, seed: u64) -> Arc<Handle> {
        self.enroll_with(kind, seed, Behaviour::default(), &Value::Null)
    }

    pub fn enroll_with(&self, kind: Kind, seed: u64, behaviour: Behaviour, wish: &Value) -> Arc<Handle> {
        let device = self.unpack(kind, seed, behaviour);
        let profile = self.profile(wish);
        device.enroll(&self.stand_in, &profile);
        device
    }

    /// A device of this school that is not enrolled yet.
    pub fn unpack(&self, kind: Kind, seed: u64, behaviour: Behaviour) -> Arc<Handle> {
        let device = Arc::new(Handle::new(&self.world, kind, seed, behaviour));
        self.devices.borrow_mut().push(Arc::clone(&device));
        device
    }

    /// Enrolled, but deaf to its pushes: the test says when it connects.
    pub fn enroll_deaf(&self, kind: Kind, seed: u64) -> Arc<Handle> {
        let device = self.enroll(kind, seed);
        device.set_deaf(true);
        device
    }

    /// What the server keeps of this channel.
    pub fn enrollment(&self, device: &Handle, channel: Channel) -> cordon::store::EnrollmentRow {
        let id = device.with(|d| {
            let (state, udid) = (d.state(), &d.spec().udid);
            match state.person(channel) {
                None => udid.clone(),
                Some(person) if state.is_shared_ipad() => format!("{udid}:{}", person.short_name),
                Some(person) => format!("{udid}:{}", person.guid),
            }
        });
        let found: Result<_, cordon::store::StoreError> =
            self.server().context().store.read(|db| db.find_enrollment(&id));
        found.unwrap().unwrap()
    }
}

impl Drop for School {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let mut complaints = Vec::new();
        for device in self.devices.borrow().iter() {
            let progress = device.with(|d| Progress::of([d.state()]));
            complaints.extend(progress.faults);
            if progress.ran_twice + progress.thrown_out > 0 {
                complaints.push(format!("{}: ran twice or was thrown out", device.udid()));
            }
        }
        assert!(complaints.is_empty(), "devices complain: {complaints:?}");
    }
}

/// A value that many threads write to.
pub type Shared<T> = Arc<Mutex<T>>;
