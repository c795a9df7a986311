//! Where a simulated device can go: URLs, routes that never leave this machine, and the TLS settings it goes there with.
//!
//! Called by `wire`, and by whoever sets a classroom up. No name is ever looked up, so nothing can leak out of the machine.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};

use crate::base::time::{Clock, SystemClock};

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("{0} is not an http or https URL")]
    BadUrl(String),
    #[error("{0} is not on this machine: a simulated device talks to loopback addresses only")]
    NotLoopback(String),
    #[error("cannot connect to {0}: {1}")]
    Connect(SocketAddr, io::Error),
    #[error("TLS with {0} failed: {1}")]
    Tls(String, String),
    #[error("a signature could not be made: {0}")]
    Signature(String),
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("the server's answer is not HTTP: {0}")]
    BadAnswer(&'static str),
    #[error("the server's answer is larger than 16 MiB")]
    TooLarge,
    #[error("the server redirects in circles")]
    Redirects,
}

/// An absolute `http` or `https` URL, taken apart. No user info, no fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    pub secure: bool,
    /// Without the brackets of an IPv6 address.
    pub host: String,
    pub port: u16,
    /// Path and query, beginning with `/`.
    pub target: String,
}

impl Url {
    /// `host` or `host:port`, as the `Host` header wants it.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let default = if self.secure { 443 } else { 80 };
        if self.port == default { host } else { format!("{host}:{}", self.port) }
    }

    /// This URL with `name=value&…` added to its query.
    pub fn with_query(&self, query: &str) -> Url {
        let joint = if self.target.contains('?') { '&' } else { '?' };
        Url { target: format!("{}{joint}{query}", self.target), ..self.clone() }
    }

    pub(super) fn redirected(&self, location: &str) -> Result<Url, WireError> {
        if location.starts_with('/') {
            return Ok(Url { target: location.to_owned(), ..self.clone() });
        }
        location.parse()
    }
}

impl FromStr for Url {
    type Err = WireError;
    fn from_str(text: &str) -> Result<Self, WireError> {
        let bad = || WireError::BadUrl(text.to_owned());
        if text.bytes().any(|b| b.is_ascii_control() || b == b' ' || b == b'#') {
            return Err(bad());
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(bad)?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(bad()),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(bad)?;
                (host, port.strip_prefix(':').or(port.is_empty().then_some("")).ok_or_else(bad)?)
            }
            None => authority.split_once(':').unwrap_or((authority, "")),
        };
        let named = host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:".contains(&b));
        if host.is_empty() || !named {
            return Err(bad());
        }
        let port = match port {
            "" => {
                if secure {
                    443
                } else {
                    80
                }
            }
            digits => digits.parse().map_err(|_| bad())?,
        };
        let target = match target.as_bytes().first() {
            Some(b'/') => target.to_owned(),
            _ => format!("/{target}"),
        };
        Ok(Url { secure, host: host.to_ascii_lowercase(), port, target })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.secure { "https" } else { "http" }, self.authority(), self.target)
    }
}

/// How the bytes of an `https` URL travel on a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// TLS from the device to the server.
    Tls,
    /// A proxy took the TLS off: plain HTTP to the server's proxied listener.
    StrippedTls,
}

/// Where hosts really are. Without a route only `localhost` and loopback addresses are reachable; no name is ever looked up.
#[derive(Debug)]
pub struct Network {
    routes: RwLock<HashMap<String, (SocketAddr, Via)>>,
    /// Longest wait for one read or write, and for a connection.
    pub timeout: Duration,
}

impl Default for Network {
    fn default() -> Self {
        Self { routes: RwLock::default(), timeout: Duration::from_secs(30) }
    }
}

impl Network {
    /// Sends `host` (or `host:port`, which wins) to `to`; port 0 keeps the URL's port.
    ///
    /// # Errors
    /// [`WireError::NotLoopback`] when `to` is not a loopback address.
    pub fn route(&self, host: &str, to: SocketAddr, via: Via) -> Result<(), WireError> {
        if !to.ip().is_loopback() {
            return Err(WireError::NotLoopback(to.to_string()));
        }
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        routes.insert(host.to_ascii_lowercase(), (to, via));
        Ok(())
    }

    pub(super) fn find(&self, url: &Url) -> Result<(SocketAddr, Via), WireError> {
        let own = if url.secure { Via::Tls } else { Via::StrippedTls };
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        let exact = format!("{}:{}", url.host, url.port);
        if let Some((to, via)) = routes.get(&exact).or_else(|| routes.get(&url.host)) {
            let port = if to.port() == 0 { url.port } else { to.port() };
            return Ok((SocketAddr::new(to.ip(), port), if url.secure { *via } else { own }));
        }
        let ip = match url.host.as_str() {
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            host => host.parse().map_err(|_| WireError::NotLoopback(url.host.clone()))?,
        };
        if !ip.is_loopback() {
            return Err(WireError::NotLoopback(url.host.clone()));
        }
        Ok((SocketAddr::new(ip, url.port), own))
    }
}

/// A client certificate chain (leaf first, DER) with its private key (PKCS#8 DER).
pub struct ClientIdentity<'a> {
    pub chain: &'a [Vec<u8>],
    pub key_pkcs8: &'a [u8],
}

/// TLS settings that trust exactly `anchors` (DER) and show `identity` when the server asks.
///
/// # Errors
/// [`WireError::Tls`] when an anchor or the identity is not usable.
pub fn tls_config(anchors: &[Vec<u8>], identity: Option<ClientIdentity<'_>>) -> Result<Arc<ClientConfig>, WireError> {
    tls_config_at(anchors, identity, &(Arc::new(SystemClock) as Arc<dyn Clock>))
}

/// The same for somebody whose day it is by another clock: certificates are valid or not by that. Never behind the real time, as no
/// device is that asks the network what time it is.
///
/// # Errors
/// As [`tls_config`].
pub fn tls_config_at(
    anchors: &[Vec<u8>],
    identity: Option<ClientIdentity<'_>>,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<ClientConfig>, WireError> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let provider = PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let bad = |e: rustls::Error| WireError::Tls("settings".to_owned(), e.to_string());
    let mut roots = RootCertStore::empty();
    for anchor in anchors {
        roots.add(CertificateDer::from(anchor.clone())).map_err(bad)?;
    }
    let time = Arc::new(DeviceTime(Arc::clone(clock)));
    let builder = ClientConfig::builder_with_details(Arc::clone(provider), time)
        .with_safe_default_protocol_versions()
        .map_err(bad)?
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = identity.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key_pkcs8.to_vec()));
            builder.with_client_auth_cert(chain, key).map_err(bad)?
        }
    };
    // One device talks to two listeners at most; the default cache is sized for a browser.
    config.resumption = Resumption::in_memory_sessions(2);
    Ok(Arc::new(config))
}

/// What day it is for a device.
struct DeviceTime(Arc<dyn Clock>);

impl fmt::Debug for DeviceTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceTime({})", self.0.now())
    }
}

impl TimeProvider for DeviceTime {
    fn current_time(&self) -> Option<UnixTime> {
        let millis = self.0.now().max(SystemClock.now()).0;
        Some(UnixTime::since_unix_epoch(Duration::from_millis(u64::try_from(millis).ok()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_urls_apart() {
        let table = [
            ("https://mdm.school.test:8443/mdm/command", "mdm.school.test", 8443, "/mdm/command"),
            ("https://mdm.school.test", "mdm.school.test", 443, "/"),
            ("http://[::1]:80?a=b", "::1", 80, "/?a=b"),
            ("HTTPS://Localhost/x?y", "localhost", 443, "/x?y"),
        ];
        for (text, host, port, target) in table {
            let url: Url = text.parse().unwrap();
            assert_eq!((url.host.as_str(), url.port, url.target.as_str()), (host, port, target), "{text}");
        }
        for bad in [
            "",
            "mdm.test",
            "ftp://a/",
            "https://",
            "https://u@h/",
            "https://h:x/",
            "https://h:70000/",
            "https://a b/",
            "https://h/#f",
        ] {
            assert!(bad.parse::<Url>().is_err(), "{bad}");
        }
        let url: Url = "https://h/scep?a=1".parse().unwrap();
        assert_eq!(url.with_query("operation=GetCACaps").target, "/scep?a=1&operation=GetCACaps");
        assert_eq!(url.redirected("/other").unwrap().to_string(), "https://h/other");
    }

    #[test]
    fn nothing_leaves_this_machine() {
        let network = Network::default();
        let find = |url: &str| network.find(&url.parse().unwrap());
        for away in [
            "https://example.com/",
            "https://10.0.0.1/",
            "https://192.168.1.2:8443/",
            "https://[2001:db8::1]/",
            "https://0.0.0.0/",
        ] {
            assert!(matches!(find(away), Err(WireError::NotLoopback(_))), "{away}");
        }
        assert!(network.route("example.com", "93.184.216.34:443".parse().unwrap(), Via::Tls).is_err());
        assert_eq!(find("https://localhost:8443/").unwrap(), ("127.0.0.1:8443".parse().unwrap(), Via::Tls));
        assert_eq!(find("https://[::1]:1/").unwrap().0, "[::1]:1".parse().unwrap());
    }

    #[test]
    fn routes_prefer_the_port_and_may_strip_tls() {
        let network = Network::default();
        network.route("mdm.test", "127.0.0.1:0".parse().unwrap(), Via::Tls).unwrap();
        network.route("mdm.test:8443", "127.0.0.1:9000".parse().unwrap(), Via::StrippedTls).unwrap();
        let find = |url: &str| network.find(&url.parse().unwrap()).unwrap();
        assert_eq!(find("https://mdm.test:444/"), ("127.0.0.1:444".parse().unwrap(), Via::Tls));
        assert_eq!(find("https://MDM.test:8443/"), ("127.0.0.1:9000".parse().unwrap(), Via::StrippedTls));
    }
}
