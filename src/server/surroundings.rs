//! What the doctor asks of the world: names, ports, TLS as a device sees it, Apple's push service, and a simulated device. Put together here,
//! because it needs rooms that do not know each other.

use crate::base::time::Timestamp;
use crate::service::ports::{ListenerState, Push, PushResult, PushSender, Rehearsal, Surroundings};
use crate::simulator::device::{Device, DeviceError, World};
use crate::simulator::network::{Network, Via, WireError};
use crate::simulator::spec::{Kind, Spec};
use crate::simulator::state::Channel;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

/// Apple may take its time to refuse.
const PUSH_PATIENCE: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(10);

/// The machine around a server, or around the file when none runs.
#[derive(Default)]
pub struct Machine {
    pub listeners: Vec<ListenerState>,
    /// None when no server runs.
    pub sender: Option<Arc<dyn PushSender>>,
    /// What the configuration says, if it says anything.
    pub hostname: Option<String>,
    pub stand_ins: bool,
    pub trusted_proxies: Vec<IpAddr>,
    pub clock: Option<Arc<dyn crate::base::time::Clock>>,
}

/// Where a listener is reached from this machine.
fn near(bound: SocketAddr) -> SocketAddr {
    match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), bound.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), bound.port()),
        _ => bound,
    }
}

impl Surroundings for Machine {
    fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let found = (host, 0).to_socket_addrs().map_err(|error| error.to_string())?;
        let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
        addresses.sort();
        addresses.dedup();
        Ok(addresses)
    }

    fn listeners(&self) -> Vec<ListenerState> {
        self.listeners.clone()
    }

    fn try_listen(&self, address: &str) -> Result<(), String> {
        TcpListener::bind(address).map(drop).map_err(|error| error.to_string())
    }

    fn see_tls(
        &self,
        at: SocketAddr,
        host: &str,
        anchors: &[Vec<u8>],
        public: bool,
        _now: Timestamp,
    ) -> Result<Vec<Vec<u8>>, String> {
        let mut roots = RootCertStore::empty();
        if public {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        for anchor in anchors {
            roots.add(CertificateDer::from(anchor.clone())).map_err(|error| error.to_string())?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let verifier = verifier.build().map_err(|error| error.to_string())?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_webpki_verifier(verifier)
            .with_no_client_auth();
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        let mut tls = ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())?;
        let at = near(at);
        let mut stream =
            TcpStream::connect_timeout(&at, PATIENCE).map_err(|error| format!("{at} does not answer: {error}"))?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
        while tls.is_handshaking() {
            tls.complete_io(&mut stream).map_err(|error| error.to_string())?;
        }
        let chain = tls.peer_certificates().unwrap_or_default().iter().map(|der| der.to_vec()).collect();
        tls.send_close_notify();
        // The answer is here already; the good-bye may be lost.
        let _ = tls.complete_io(&mut stream).and_then(|_| stream.flush());
        Ok(chain)
    }

    fn try_push(&self, push: Push) -> Option<PushResult> {
        let sender = self.sender.as_ref()?;
        let (told, result) = channel();
        let sent = sender.send(push, Box::new(move |result| drop(told.send(result))));
        if sent.is_err() {
            return Some(PushResult::Unreached { why: String::from("too many pushes wait already") });
        }
        let late = || PushResult::Unreached { why: format!("no answer within {} seconds", PUSH_PATIENCE.as_secs()) };
        Some(result.recv_timeout(PUSH_PATIENCE).unwrap_or_else(|_| late()))
    }

    fn udid_of(&self, seed: u64) -> String {
        Spec::new(Kind::Ipad, seed).udid
    }

    fn rehearse(
        &self,
        told: &Rehearsal,
        meanwhile: &mut dyn FnMut() -> Result<(), String>,
    ) -> Result<(), (&'static str, String)> {
        let mut network = Network::default();
        network.timeout = PATIENCE;
        let mut roots = Vec::new();
        for (host, port) in &told.hosts {
            let (to, via) = self
                .door(*port)
                .ok_or_else(|| ("to reach the server", format!("nothing here listens for {host}:{port}")))?;
            network
                .route(&format!("{host}:{port}"), to, via)
                .map_err(|_| ("to reach the server", format!("{to} is listened on, and not this machine's own address: listen on all addresses to let it be tried")))?;
            if told.publicly_trusted && via == Via::Tls {
                // Verified by the public roots, as a device would; what the simulated one takes for a root is the chain's end.
                let chain = self.see_tls(to, host, &[], true, told.now).map_err(|why| ("to trust the server", why))?;
                roots.extend(chain.last().cloned());
            }
        }
        let mut world = World::real(network);
        if let Some(clock) = &self.clock {
            world.clock = Arc::clone(clock);
        }
        world.public_roots = roots;
        let mut device = Device::new(Arc::new(world), Spec::new(Kind::Ipad, told.seed));
        device.enroll(&told.profile).map_err(|error| (stage_of(&error), plain(&error)))?;
        meanwhile().map_err(|why| ("to be given a command", why))?;
        device.poll(Channel::Device).map_err(|error| ("to run a command", plain(&error)))
    }

    fn configured_hostname(&self) -> Option<String> {
        self.hostname.clone()
    }

    fn has_stand_ins(&self) -> bool {
        self.stand_ins
    }

    fn trusted_proxies(&self) -> Vec<IpAddr> {
        self.trusted_proxies.clone()
    }

    fn clock_is_kept(&self) -> Option<bool> {
        // systemd-timesyncd says so here; chrony and others have places of their own, where nothing can be said.
        let kept = Path::new("/run/systemd/timesync/synchronized");
        kept.parent().is_some_and(Path::exists).then(|| kept.exists())
    }
}

impl Machine {
    /// The listener behind a port as devices say it: their own, or the proxied one where a proxy has the port.
    fn door(&self, port: u16) -> Option<(SocketAddr, Via)> {
        let bound = |keys: &[&str], port: Option<u16>| {
            let fits = |l: &&ListenerState| {
                keys.contains(&l.key) && l.bound.is_some_and(|b| port.is_none_or(|p| b.port() == p))
            };
            self.listeners.iter().find(fits).and_then(|l| l.bound).map(near)
        };
        let direct = bound(&["listen.people", "listen.devices"], Some(port)).map(|at| (at, Via::Tls));
        direct.or_else(|| bound(&["listen.proxied"], None).map(|at| (at, Via::StrippedTls)))
    }
}

fn stage_of(error: &DeviceError) -> &'static str {
    match error {
        DeviceError::Profile(_) => "to read its profile",
        DeviceError::Scep(_) => "to get its identity (SCEP)",
        DeviceError::Wire(WireError::Tls(..)) => "to trust the server",
        DeviceError::Wire(_) => "to reach the server",
        DeviceError::Refused { .. } => "to check in",
        _ => "to enrol",
    }
}

fn plain(error: &DeviceError) -> String {
    error.to_string().trim_end_matches('.').to_owned()
}
