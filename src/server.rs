//! The running server: database, listeners, push sender, jobs and control socket, put together in one place for `serve`, `demo`
//! and the tests. Knows no arguments and prints nothing; what it was told is in [`Options`].

pub mod surroundings;

use crate::apple::apns::{APPLE_URL, Config, Sender};
use crate::base::random::Random;
use crate::base::time::Clock;
use crate::http::control::{Control, socket_path};
use crate::http::doors::TlsDoors;
use crate::http::listen::{self, Listener, Runtime, Sizes, Timeouts};
use crate::http::message::{Door, Handler};
use crate::http::metrics::Local;
use crate::http::redirect::Plain;
use crate::http::routes::Front;
use crate::http::tls::TlsHolder;
use crate::jobs::Jobs;
use crate::outbound::Outbound;
use crate::outbound::acme::AcmeClient;
use crate::pki::SystemRandom;
use crate::pki::device_ca::DeviceAuthorities;
use crate::pki::x509::{Certificate, pem_to_ders};
use crate::service::acme::Acme;
use crate::service::founding::{self, Place};
use crate::service::ports::{AcmeBinding, AcmeChallenge, Doors, ListenerState, PushSender};
use crate::service::push_signing::{MDMCERT_URL, SigningService};
use crate::service::school::Reach;
use crate::service::serving::{Demands, Keeper, Source};
use crate::service::{Context, Error, Urls, doctor, push_certificates, pushing, school, trust};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use surroundings::Machine;

/// How long running requests may take to end on a clean stop.
const GRACE: Duration = Duration::from_secs(5);

/// The authority for [`TlsSource::Chosen`] by ACME, unless another is named.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Where the listeners' certificate comes from.
#[derive(Debug, Clone)]
pub enum TlsSource {
    /// What somebody chose here; the school's own authority while nobody did.
    Chosen,
    /// The school's own authority.
    OwnCa,
    Files {
        certificate: PathBuf,
        key: PathBuf,
    },
    /// `ca_pem`: what the directory itself is certified by, where that is no public authority.
    Acme {
        directory: String,
        ca_pem: Option<Vec<u8>>,
        contact: Option<String>,
        binding: Option<AcmeBinding>,
    },
}

/// Everything a server is told.
pub struct Options {
    pub place: Place,
    /// Used at first start; afterwards the database knows it.
    pub hostname: String,
    /// The host name as the configuration has it, if it has one; for the doctor.
    pub configured_hostname: Option<String>,
    /// Further names that the TLS certificate serves.
    pub aliases: Vec<String>,
    pub tls: TlsSource,
    /// Directory of the authority for [`TlsSource::Chosen`] by ACME, and PEM of what it is certified by where that is no public authority.
    pub acme: (String, Option<Vec<u8>>),
    /// Whether devices trust the served chain already; `None`: found out from it.
    pub publicly_trusted: Option<bool>,
    /// `host:port`, or `off`.
    pub listen_people: String,
    pub listen_devices: String,
    pub listen_proxied: String,
    /// Plain HTTP for checks by certificate authorities; everybody else is sent to HTTPS.
    pub listen_http: String,
    /// Plain HTTP for monitors: `/metrics` and `/healthz` with reasons.
    pub listen_metrics: String,
    /// As seen from outside, where that differs from host name and port.
    pub people_url: Option<String>,
    pub devices_url: Option<String>,
    /// Where the trust profile is fetched, without its file name; the people's address by default.
    pub trust_url: Option<String>,
    pub trusted_proxies: Vec<IpAddr>,
    /// The proxy hands on the certificate that a device showed it; otherwise devices that come through it sign their messages.
    pub proxy_forwards_certificate: bool,
    pub apns_url: String,
    /// PEM of certificate authorities trusted beside the public ones, for stand-ins.
    pub apple_ca_pem: Option<Vec<u8>>,
    /// PEM of certificate authorities that count as Apple's for built-in device identities, for stand-ins.
    pub device_ca_pem: Option<Vec<u8>>,
    /// PEM of certificate authorities that receivers of webhooks may be certified by, beside the public ones.
    pub webhook_ca_pem: Option<Vec<u8>>,
    /// What the command line, the environment and the file said, for the memory of the database; null for nothing.
    pub configuration: serde_json::Value,
    /// Base address of the service that signs push certificate requests.
    pub mdmcert_url: String,
    /// Whether a device is asked what it is when it has enrolled.
    pub asks_at_enrollment: bool,
    pub timeouts: Timeouts,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
}

impl Options {
    /// The defaults of a server on `place`.
    pub fn new(place: Place, hostname: &str, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self {
            place,
            hostname: hostname.to_owned(),
            configured_hostname: None,
            listen_people: String::from("[::]:443"),
            listen_devices: String::from("[::]:8443"),
            listen_proxied: String::from("off"),
            listen_http: String::from("off"),
            listen_metrics: String::from("off"),
            aliases: Vec::new(),
            tls: TlsSource::Chosen,
            acme: (String::from(LETS_ENCRYPT), None),
            publicly_trusted: None,
            people_url: None,
            devices_url: None,
            trust_url: None,
            proxy_forwards_certificate: false,
            trusted_proxies: vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)],
            apns_url: String::from(APPLE_URL),
            apple_ca_pem: None,
            device_ca_pem: None,
            webhook_ca_pem: None,
            configuration: serde_json::Value::Null,
            mdmcert_url: String::from(MDMCERT_URL),
            asks_at_enrollment: true,
            timeouts: Timeouts::default(),
            clock,
            random,
        }
    }
}

/// A server that answers. Dropping it without [`Server::stop`] is what a crash looks like.
pub struct Server {
    cx: Arc<Context>,
    listeners: Vec<Listener>,
    people: Option<SocketAddr>,
    devices: Option<SocketAddr>,
    proxied: Option<SocketAddr>,
    http: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
    doors: Arc<TlsDoors>,
    control: Control,
    socket: PathBuf,
    socket_moved: bool,
    jobs: Jobs,
    sender: Arc<Sender>,
    _runtime: Runtime,
}

impl Server {
    /// Opens the database, binds every listener, and returns when requests are answered.
    ///
    /// # Errors
    /// `Conflict` when the addresses would strand enrolled devices; `Internal` with the plain reason for everything else
    /// (a port that is taken, a key that does not fit).
    pub fn start(options: Options) -> Result<Server, Error> {
        SystemRandom::wake();
        let mut cx = founding::open(&options.place, Arc::clone(&options.clock), Arc::clone(&options.random))?;
        cx.asks_at_enrollment = options.asks_at_enrollment;
        let cx = Arc::new(cx);
        cx.set_directory(Arc::new(crate::directory::Ldap));
        cx.set_mail_sender(Arc::new(crate::outbound::smtp::Smtp::default()));
        if let Some(pem) = &options.device_ca_pem {
            let read = DeviceAuthorities::with_stand_ins(&String::from_utf8_lossy(pem));
            cx.trust_stand_ins(read.map_err(|why| Error::internal(format!("apple.device_ca_file: {why}")))?);
            tracing::warn!("apple.device_ca_file is set: devices that Apple never built can enrol here");
        }
        let hostname = school::settle_hostname(&cx, &options.hostname)?;
        let mut keeper = keeper(&cx, &options, &hostname)?;
        let doors = Arc::new(TlsDoors::new(&keeper.first()?).map_err(Error::internal)?);
        keeper.serve_at(Arc::clone(&doors) as Arc<dyn Doors>);

        let mut apns = Config::new(&options.apns_url, Arc::clone(&options.random));
        apns.extra_ca_pem = options.apple_ca_pem.clone();
        let sender = Arc::new(Sender::start(apns).map_err(Error::internal)?);
        push_certificates::load(&cx, &*sender)?;

        let port_sender: Arc<dyn PushSender> = Arc::clone(&sender) as Arc<dyn PushSender>;
        let outbound = Arc::new(Outbound::new(options.webhook_ca_pem.as_deref()).map_err(Error::internal)?);
        let signing = SigningService { sender: Arc::clone(&outbound) as _, url: options.mdmcert_url.clone() };
        let front = Front::new(Arc::clone(&cx), options.trusted_proxies.clone(), Some(Arc::clone(&port_sender)));
        let monitors: Arc<dyn Handler> = Arc::new(Local::new(Arc::clone(&cx), front.tally()));
        let front: Arc<dyn Handler> = Arc::new(front.with_signing(signing));
        let runtime = Runtime::start(&Sizes::default()).map_err(Error::internal)?;
        let mut listeners = Vec::new();
        let plain: Arc<dyn Handler> = Arc::new(Plain::new(Arc::clone(&cx)));
        let mut bind = |address: &str,
                        door: Door,
                        tls: Option<Arc<TlsHolder>>,
                        handler: &Arc<dyn Handler>|
         -> Result<Option<SocketAddr>, Error> {
            if address == "off" {
                return Ok(None);
            }
            let told = listen::Options {
                address: address.to_owned(),
                door,
                tls,
                handler: Arc::clone(handler),
                timeouts: options.timeouts.clone(),
            };
            let listener = Listener::start(told, &runtime)
                .map_err(|e| Error::internal(format!("cannot listen on {address}: {e}")))?;
            let bound = listener.local_addr();
            listeners.push(listener);
            Ok(Some(bound))
        };
        let people = bind(&options.listen_people, Door::People, Some(Arc::clone(&doors.people)), &front)?;
        let devices = bind(&options.listen_devices, Door::Devices, Some(Arc::clone(&doors.devices)), &front)?;
        let proxied = bind(&options.listen_proxied, Door::Proxied, None, &front)?;
        let http = bind(&options.listen_http, Door::People, None, &plain)?;
        let metrics = bind(&options.listen_metrics, Door::People, None, &monitors)?;
        let at = |bound: Option<SocketAddr>| public_url(&hostname, bound, proxied.is_some());
        let people_url = options.people_url.clone().unwrap_or_else(|| at(people));
        let urls = Urls {
            trust: options.trust_url.clone().unwrap_or_else(|| people_url.clone()),
            people: people_url,
            devices: options.devices_url.clone().unwrap_or_else(|| at(devices)),
        };
        let ports = |bound: Option<SocketAddr>| -> Vec<u16> {
            bound.map(|at| at.port()).into_iter().chain(proxied.map(|_| 443)).collect()
        };
        let reach = Reach {
            names: names(&hostname, &options),
            kept: kept_names(&options),
            people_ports: ports(people),
            devices_ports: ports(devices),
        };
        school::settle_urls(&cx, urls, &reach)?;
        if !options.configuration.is_null() {
            school::remember_configuration(&cx, &options.configuration)?;
        }
        // Costs some 2 KB with every message, so only where devices do not come straight to their own door.
        let direct = devices.is_some_and(|door| cx.urls().devices.ends_with(&format!(":{}", door.port())));
        let signing = proxied.is_some() && !direct && !options.proxy_forwards_certificate;
        trust::settle_signing(&cx, signing)?;

        let (socket, socket_moved) = socket_path(&options.place.directory);
        let control = Control::start(&socket, front).map_err(Error::internal)?;
        doctor::clean_up(&cx)?;
        let addresses = [
            ("listen.people", &options.listen_people, people),
            ("listen.devices", &options.listen_devices, devices),
            ("listen.proxied", &options.listen_proxied, proxied),
            ("listen.http", &options.listen_http, http),
            ("listen.metrics", &options.listen_metrics, metrics),
        ];
        let state = |(key, wanted, bound): (&'static str, &String, Option<SocketAddr>)| {
            bound.map(|bound| ListenerState { key, wanted: wanted.clone(), bound: Some(bound) })
        };
        cx.set_surroundings(Some(Arc::new(Machine {
            listeners: addresses.into_iter().filter_map(state).collect(),
            sender: Some(Arc::clone(&port_sender)),
            hostname: options.configured_hostname.clone(),
            stand_ins: options.device_ca_pem.is_some(),
            trusted_proxies: options.trusted_proxies.clone(),
            clock: Some(Arc::clone(&options.clock)),
        })));
        pushing::call_everyone_waiting(&cx)?;
        let jobs = Jobs::start(Arc::clone(&cx), port_sender, outbound, keeper).map_err(Error::internal)?;
        Ok(Server {
            cx,
            listeners,
            people,
            devices,
            proxied,
            http,
            metrics,
            doors,
            control,
            socket,
            socket_moved,
            jobs,
            sender,
            _runtime: runtime,
        })
    }

    pub fn context(&self) -> &Arc<Context> {
        &self.cx
    }

    /// What sends the pushes; told of certificates that are imported past the API.
    pub fn push_sender(&self) -> &dyn PushSender {
        &*self.sender
    }

    /// Where the listeners really are.
    pub fn people(&self) -> Option<SocketAddr> {
        self.people
    }

    pub fn devices(&self) -> Option<SocketAddr> {
        self.devices
    }

    pub fn proxied(&self) -> Option<SocketAddr> {
        self.proxied
    }

    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    pub fn metrics(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// The listeners' certificates.
    pub fn doors(&self) -> &dyn Doors {
        &*self.doors
    }

    /// The control socket, and whether it had to be put elsewhere because the data directory's path is too long.
    pub fn socket(&self) -> (&std::path::Path, bool) {
        (&self.socket, self.socket_moved)
    }

    /// Ends running requests, stops the threads, and leaves one complete database file.
    ///
    /// # Errors
    /// When the last checkpoint could not finish; everything is safe, but the `-wal` file belongs to a copy.
    pub fn stop(self) -> Result<(), Error> {
        for listener in self.listeners {
            listener.stop(GRACE);
        }
        self.control.stop();
        self.cx.set_surroundings(None);
        drop(self.jobs);
        drop(self.sender);
        drop(self._runtime);
        match Arc::try_unwrap(self.cx) {
            Ok(cx) => Ok(cx.store.close()?),
            // Somebody still looks at it; the file is safe as after a crash.
            Err(_) => Err(Error::internal("the database is still in use and was not closed")),
        }
    }
}

/// Who looks after the listeners' certificate.
fn keeper(cx: &Arc<Context>, options: &Options, hostname: &str) -> Result<Keeper, Error> {
    let mut names = names(hostname, options);
    let challenge = if options.listen_http == "off" { AcmeChallenge::TlsAlpn01 } else { AcmeChallenge::Http01 };
    let (source, roots) = match &options.tls {
        TlsSource::Chosen | TlsSource::OwnCa => {
            if hostname == "localhost" {
                names.extend([String::from("127.0.0.1"), String::from("::1")]);
            }
            (Source::OwnCa, Vec::new())
        }
        TlsSource::Files { certificate, key } => {
            (Source::Files { certificate: certificate.clone(), key: key.clone() }, Vec::new())
        }
        TlsSource::Acme { directory, ca_pem, contact, binding } => {
            let acme = by_acme(directory, ca_pem.as_deref(), contact.clone(), binding.clone(), challenge);
            (Source::Acme(acme.map_err(Error::internal)?), roots_in(ca_pem.as_deref()))
        }
    };
    let chosen = matches!(options.tls, TlsSource::Chosen);
    let roots = if chosen { roots_in(options.acme.1.as_deref()) } else { roots };
    let keeper =
        Keeper::new(Arc::clone(cx), source, Demands { names, publicly_trusted: options.publicly_trusted, roots });
    let (directory, ca_pem) = options.acme.clone();
    let make = move |contact| by_acme(&directory, ca_pem.as_deref(), contact, None, challenge);
    Ok(if chosen { keeper.following(Box::new(make)) } else { keeper })
}

fn by_acme(
    directory: &str,
    ca_pem: Option<&[u8]>,
    contact: Option<String>,
    binding: Option<AcmeBinding>,
    challenge: AcmeChallenge,
) -> Result<Acme, String> {
    let authority = Arc::new(AcmeClient::new(ca_pem)?);
    Ok(Acme { directory: directory.to_owned(), contact, binding, challenge, authority })
}

fn roots_in(pem: Option<&[u8]>) -> Vec<Certificate> {
    let text = pem.map(String::from_utf8_lossy).unwrap_or_default();
    pem_to_ders(&text).iter().filter_map(|der| Certificate::parse(der).ok()).collect()
}

/// Names on the TLS certificate: the host name, its aliases, and the hosts of public addresses that differ from it.
fn names(hostname: &str, options: &Options) -> Vec<String> {
    let mut names = vec![hostname.to_owned()];
    for name in kept_names(options) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Names that lead here whatever the host name is.
fn kept_names(options: &Options) -> Vec<String> {
    let host = |url: &Option<String>| {
        let rest = url.as_deref()?.strip_prefix("https://")?;
        let authority = rest.split('/').next().unwrap_or_default();
        let host = match authority.strip_prefix('[') {
            Some(v6) => v6.split(']').next(),
            None => authority.split(':').next(),
        };
        host.filter(|host| !host.is_empty()).map(str::to_owned)
    };
    let public = [host(&options.people_url), host(&options.devices_url)];
    options.aliases.iter().cloned().chain(public.into_iter().flatten()).collect()
}

/// `https://HOSTNAME[:port]`; behind a proxy the port is the proxy's, 443.
fn public_url(hostname: &str, bound: Option<SocketAddr>, proxied: bool) -> String {
    let host = if hostname.contains(':') { format!("[{hostname}]") } else { hostname.to_owned() };
    match bound {
        Some(address) if !proxied && address.port() != 443 => format!("https://{host}:{}", address.port()),
        _ => format!("https://{host}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses() {
        let on = |port| Some(SocketAddr::from(([0, 0, 0, 0], port)));
        assert_eq!(public_url("mdm.example.org", on(443), false), "https://mdm.example.org");
        assert_eq!(public_url("mdm.example.org", on(8443), false), "https://mdm.example.org:8443");
        assert_eq!(public_url("mdm.example.org", on(8443), true), "https://mdm.example.org");
        assert_eq!(public_url("::1", on(8443), false), "https://[::1]:8443");
    }
}
