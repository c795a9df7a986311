//! `cordon serve`: the server until it is told to stop. One line on stdout says when it is ready; everything else is the log on stderr.

use super::args::{Global, ServeArgs};
use super::config::{self, Config, Listen};
use super::failure::Failure;
use super::log;
use super::notify::Manager;
use crate::base::secret::Secret;
use crate::base::time::SystemClock;
use crate::pki::SystemRandom;
use crate::server::{Options, Server, TlsSource};
use crate::service::actor::Actor;
use crate::service::founding::Place;
use crate::service::ports::AcmeBinding;
use crate::service::{first_steps, school};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest file with a key for external account binding.
const MAX_BINDING_KEY: usize = 4 * 1024;

/// Runs the server.
///
/// # Errors
/// When it cannot start, in plain words; or when the last checkpoint of a clean stop could not finish.
pub fn run(global: &Global, args: ServeArgs) -> Result<(), Failure> {
    let config = global.config_with(&args)?;
    log::start(config.log, &config.log_level);
    raise_file_limit();
    // Before anything listens, so that a signal during the start is not lost.
    let stop = stop_signal()?;
    let server = Server::start(options(global, &config)?)?;
    announce(global, &server)?;
    let manager = Manager::of_this_process();
    manager.tell("READY=1");
    wait(&server, &stop, &manager);
    manager.tell("STOPPING=1");
    tracing::info!("stopping");
    server.stop()?;
    tracing::info!("stopped; the database is one complete file");
    Ok(())
}

/// Until a signal comes. The service manager hears that we are alive only while the database answers.
fn wait(server: &Server, stop: &std::sync::mpsc::Receiver<()>, manager: &Manager) {
    let Some(every) = manager.every else {
        let _ = stop.recv();
        return;
    };
    while stop.recv_timeout(every) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
        match school::find(server.context()) {
            Ok(_) => manager.tell("WATCHDOG=1"),
            Err(error) => tracing::error!(%error, "the database does not answer"),
        }
    }
}

fn options(global: &Global, config: &Config) -> Result<Options, Failure> {
    let hostname = config.hostname.clone().unwrap_or_else(machine_name);
    let place = Place { directory: global.data_dir.clone(), machine_key: config.machine_key.clone() };
    let mut options = Options::new(place, &hostname, Arc::new(SystemClock), Arc::new(SystemRandom));
    let address = |listen: &Listen| listen.address().unwrap_or("off").to_owned();
    options.listen_people = address(&config.listen.people);
    options.listen_devices = address(&config.listen.devices);
    options.listen_proxied = address(&config.listen.proxied);
    options.people_url = config.public.people_url.clone();
    options.devices_url = config.public.devices_url.clone();
    options.trust_url = config.public.trust_url.clone();
    options.aliases = config.aliases.clone();
    options.listen_metrics = address(&config.listen.metrics);
    options.listen_http = address(&config.listen.http);
    options.publicly_trusted = config.tls.publicly_trusted;
    options.tls = match &config.tls.source {
        config::TlsSource::Chosen => TlsSource::Chosen,
        config::TlsSource::OwnCa => TlsSource::OwnCa,
        config::TlsSource::Files { certificate, key } => {
            TlsSource::Files { certificate: certificate.clone(), key: key.clone() }
        }
        config::TlsSource::Acme { directory, ca_file, contact, binding } => {
            let read = |path: &PathBuf| std::fs::read(path).map_err(|e| Failure::file("read", path, &e));
            let ca_pem = ca_file.as_ref().map(read).transpose()?;
            let binding = binding.as_ref().map(|(kid, file)| account_binding(kid, file)).transpose()?;
            TlsSource::Acme { directory: directory.clone(), ca_pem, contact: contact.clone(), binding }
        }
    };
    options.configured_hostname = config.hostname.clone();
    options.configuration = serde_json::json!(config.said);
    options.trusted_proxies = config.trusted.clone();
    options.proxy_forwards_certificate = config.forwards_certificate;
    if let Some(url) = &config.mdmcert_url {
        options.mdmcert_url = url.clone();
    }
    if let Some(url) = &config.apple.apns_url {
        options.apns_url = url.clone();
    }
    if let Some(path) = &config.apple.ca_file {
        options.apple_ca_pem = Some(std::fs::read(path).map_err(|e| Failure::file("read", path, &e))?);
    }
    if let Some(path) = &config.apple.device_ca_file {
        options.device_ca_pem = Some(std::fs::read(path).map_err(|e| Failure::file("read", path, &e))?);
    }
    if let Some(path) = &config.webhook_ca_file {
        options.webhook_ca_pem = Some(std::fs::read(path).map_err(|e| Failure::file("read", path, &e))?);
    }
    Ok(options)
}

/// What the authority gave for external account binding; its key is base64url, as such keys are handed out.
fn account_binding(kid: &str, file: &Path) -> Result<AcmeBinding, Failure> {
    let text = super::files::read_text(file, MAX_BINDING_KEY)?;
    let key = BASE64_URL_SAFE_NO_PAD.decode(text.trim().trim_end_matches('='));
    let key =
        key.map_err(|_| Failure::new("configuration", format!("{}: this is not a key in base64url", file.display())))?;
    Ok(AcmeBinding { kid: kid.to_owned(), key: Secret::new(key) })
}

/// The machine's own name; `localhost` where it has none.
fn machine_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() || name == "(none)" { String::from("localhost") } else { name }
}

fn announce(global: &Global, server: &Server) -> Result<(), Failure> {
    let urls = server.context().urls();
    let (socket, moved) = server.socket();
    let proxied = server.proxied().map(|address| format!("http://{address}"));
    if moved {
        tracing::warn!(socket = %socket.display(), "the data directory's path is too long for a socket, so the control socket is elsewhere");
    }
    // Somebody is to set it up: the way there is printed with every start until something is. From then on `cordon setup-link` says it.
    let fresh = first_steps::is_fresh(server.context())?;
    let link = if fresh { Some(first_steps::make_link(server.context(), &Actor::Job("serve"))?) } else { None };
    let line = if global.json {
        json!({ "ready": true, "people": urls.people, "devices": urls.devices, "proxied": proxied, "socket": socket, "setup": link })
            .to_string()
    } else {
        let next = link.map(|link| format!(" · set the school up: {link}")).unwrap_or_default();
        format!("Cordon is ready: people {} · devices {}{next}", urls.people, urls.devices)
    };
    let mut out = std::io::stdout();
    // Whoever started us may not listen; that is no reason not to serve.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    Ok(())
}

/// A receiver that hears of the first SIGTERM or SIGINT.
pub(super) fn stop_signal() -> Result<std::sync::mpsc::Receiver<()>, Failure> {
    let mut signals =
        signal_hook::iterator::Signals::new([SIGTERM, SIGINT]).map_err(|e| Failure::new("signals", e.to_string()))?;
    let (told, stop) = std::sync::mpsc::channel();
    std::thread::Builder::new()
        .name(String::from("signals"))
        .spawn(move || {
            // The second signal means "now": the file is safe at any moment.
            for (count, _) in signals.forever().enumerate() {
                if count > 0 {
                    std::process::abort();
                }
                let _ = told.send(());
            }
        })
        .map_err(|e| Failure::new("threads", e.to_string()))?;
    Ok(stop)
}

/// Many systems start programs with 1,024 files; every connection is one.
pub(super) fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let wanted = now.maximum.map_or(65_536, |most| most.min(65_536));
    if now.current.is_some_and(|current| current < wanted) {
        let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: now.maximum });
        if let Err(e) = raised {
            tracing::warn!(error = %e, "the limit of open files could not be raised");
        }
    }
}
