//! Letters to the school's mail server: SMTP (RFC 5321) over TLS from the first byte, or after STARTTLS. Implements
//! `service::ports::MailSender`; what is written, to whom and how often is `service::mailing`'s to decide.
//!
//! A client of our own, because here it matters what a library leaves open: nothing read before STARTTLS counts after it, a whole
//! conversation has one end in time, and a name and password go over TLS or to this machine, never elsewhere.

mod letter;
mod line;

use crate::base::limits::MAIL_TIMEOUT;
use crate::service::ports::{Letter, MailFault, MailPlace, MailSecurity, MailSender, MailTaken};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use line::{Line, Reply};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// One address of a server has so long to take a connection; there may be others.
const CONNECT: Duration = Duration::from_secs(8);

/// The real thing.
#[derive(Debug, Default)]
pub struct Smtp {
    stopped: AtomicBool,
}

impl MailSender for Smtp {
    fn send(&self, place: &MailPlace, letter: &Letter) -> Result<MailTaken, MailFault> {
        let said = |why: String| MailFault(format!("{}:{}: {why}", place.host, place.port));
        self.talk(place, letter).map_err(|why| said(why.chars().take(400).collect()))
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }
}

impl Smtp {
    fn talk(&self, place: &MailPlace, letter: &Letter) -> Result<MailTaken, String> {
        let until = Instant::now() + MAIL_TIMEOUT;
        let socket = connect(place, until)?;
        let local = socket.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
        let mut line = Line::new(socket, until, &self.stopped)?;
        if place.security == MailSecurity::Tls {
            line = line.secured(tls(place)?, name(place)?)?;
        }
        line.read()?.wanted(&[220], "the greeting")?;
        let hello = format!("EHLO {}", letter.hello);
        let mut able = line.ask(&hello)?.wanted(&[250], "EHLO")?;
        if place.security == MailSecurity::StartTls {
            if able.ability("STARTTLS").is_none() {
                return Err(String::from("the server offers no STARTTLS here, and nothing is sent without TLS"));
            }
            line.ask("STARTTLS")?.wanted(&[220], "STARTTLS")?;
            line = line.secured(tls(place)?, name(place)?)?;
            able = line.ask(&hello)?.wanted(&[250], "EHLO")?;
        } else if !line.is_secured() && !local {
            return Err(String::from("without TLS letters go to a server on this machine only"));
        }
        if let Some((user, password)) = &place.login {
            login(&mut line, &able, user, password.expose())?;
        }
        let taken = hand_over(&mut line, letter)?;
        // It is taken already; whether the server says goodbye changes nothing.
        let _ = line.say("QUIT");
        Ok(taken)
    }
}

fn connect(place: &MailPlace, until: Instant) -> Result<TcpStream, String> {
    let host = place.host.trim_start_matches('[').trim_end_matches(']');
    let found = (host, place.port).to_socket_addrs().map_err(|e| format!("the name is not found: {e}"))?;
    let mut why = String::from("the name has no address");
    for address in found {
        let patience = CONNECT.min(until.saturating_duration_since(Instant::now()));
        if patience.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(&address, patience) {
            Ok(socket) => return Ok(socket),
            Err(error) => why = format!("no connection: {error}"),
        }
    }
    Err(why)
}

/// PLAIN (RFC 4616) where it is offered, else LOGIN, which some servers have instead.
fn login(line: &mut Line<'_>, able: &Reply, user: &str, password: &str) -> Result<(), String> {
    let offered = able.ability("AUTH").unwrap_or_default();
    let offers = |wanted: &str| offered.split(' ').any(|one| one.eq_ignore_ascii_case(wanted));
    let encoded = |text: &str| BASE64_STANDARD.encode(text);
    let done = if offers("PLAIN") {
        let both = encoded(&format!("\0{user}\0{password}"));
        let reply = line.ask(&format!("AUTH PLAIN {both}"))?;
        if reply.code == 334 { line.ask(&both)? } else { reply }
    } else if offers("LOGIN") {
        line.ask("AUTH LOGIN")?.wanted(&[334], "AUTH LOGIN")?;
        line.ask(&encoded(user))?.wanted(&[334], "the user name")?;
        line.ask(&encoded(password))?
    } else {
        return Err(String::from("the server takes no login by name and password (AUTH PLAIN or LOGIN)"));
    };
    done.wanted(&[235], "the login").map(drop)
}

fn hand_over(line: &mut Line<'_>, letter: &Letter) -> Result<MailTaken, String> {
    line.ask(&format!("MAIL FROM:<{}>", letter.from))?.wanted(&[250], "the sender")?;
    let mut refused = Vec::new();
    for one in &letter.to {
        let reply = line.ask(&format!("RCPT TO:<{one}>"))?;
        if !matches!(reply.code, 250 | 251) {
            refused.push((one.clone(), reply.words()));
        }
    }
    if refused.len() == letter.to.len() {
        let why = refused.first().map(|(one, why)| format!("{one} was refused: {why}")).unwrap_or_default();
        return Err(why);
    }
    line.ask("DATA")?.wanted(&[354], "DATA")?;
    line.put(letter::bytes(letter).as_bytes())?;
    let answer = line.read()?.wanted(&[250], "the letter")?.words();
    Ok(MailTaken { answer, refused })
}

fn name(place: &MailPlace) -> Result<ServerName<'static>, String> {
    let host = place.host.trim_start_matches('[').trim_end_matches(']').to_owned();
    ServerName::try_from(host).map_err(|_| String::from("a certificate cannot be for this host name"))
}

/// Certificates are checked always: against the public authorities, or against those that were given.
fn tls(place: &MailPlace) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    match &place.ca_pem {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.map_err(|e| format!("the authorities are not PEM: {e}"))?;
                roots.add(certificate).map_err(|e| format!("the authorities: {e}"))?;
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| e.to_string())?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
