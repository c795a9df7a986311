//! From a URL and a certificate to an open HTTP/2 connection: name lookup, TCP, TLS, preface.
//!
//! Used by `switchboard` (to check a certificate once) and `line` (for every connection). Every dial looks the name up
//! anew: Apple moves its hosts. Deliberately not here: when to dial and how long to wait after a failure.

use super::Config;
use super::connection::Connection;
use crate::base::push::Topic;
use crate::service::ports::PushCredential;
use http::uri::{Authority, Uri};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Overhead that HTTP/2 may account to us for small DATA frames before it calls a server hostile. Each of Apple's error
/// bodies counts as 1 KiB until read; a whole window of them (900) may arrive in one read.
const DATA_FRAME_BUDGET: usize = 4 * 1024 * 1024;
/// Header block of an answer; Apple's are some hundred bytes.
const MAX_ANSWER_HEADERS: u32 = 16 * 1024;

/// Where Apple's service, or its stand-in, listens.
pub(super) struct Endpoint {
    host: String,
    port: u16,
    authority: Authority,
    name: ServerName<'static>,
}

impl Endpoint {
    /// Accepts `https://host[:port]` and nothing more.
    pub(super) fn new(url: &str) -> Result<Self, String> {
        let bad = |why: &str| format!("the push service URL {url:?} {why}");
        let uri: Uri = url.parse().map_err(|_| bad("is not a URL"))?;
        if uri.scheme_str() != Some("https") {
            return Err(bad("does not start with https://"));
        }
        if uri.path() != "/" || uri.query().is_some() {
            return Err(bad("has something after the host"));
        }
        let authority = uri.authority().ok_or_else(|| bad("has no host"))?.clone();
        if authority.as_str().contains('@') {
            return Err(bad("holds a user name"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|_| bad("has an odd host"))?;
        Ok(Self { host, port: authority.port_u16().unwrap_or(443), authority, name })
    }
}

/// Whose server certificates are believed: the public roots and, if configured, a stand-in's CA.
pub(super) struct Trust(Arc<RootCertStore>);

impl Trust {
    pub(super) fn new(extra_ca_pem: Option<&[u8]>) -> Result<Self, String> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(pem) = extra_ca_pem {
            let before = roots.len();
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|e| format!("the extra CA file is not PEM: {e}"))?;
                roots.add(certificate).map_err(|e| format!("the extra CA file holds an unusable certificate: {e}"))?;
            }
            if roots.len() == before {
                return Err("the extra CA file holds no certificate".to_owned());
            }
        }
        Ok(Self(Arc::new(roots)))
    }
}

/// Opens connections with one push certificate.
pub(super) struct Dialer {
    endpoint: Arc<Endpoint>,
    tls: Arc<ClientConfig>,
    timeout: Duration,
    max_in_flight: usize,
}

/// A dial under way; at the end a connection, or why there is none.
pub(super) type Dialing = Pin<Box<dyn Future<Output = Result<Connection, String>> + Send>>;

impl Dialer {
    /// Refuses a certificate and key that TLS cannot use.
    pub(super) fn new(
        endpoint: &Arc<Endpoint>,
        trust: &Trust,
        config: &Config,
        credential: &PushCredential,
    ) -> Result<Self, String> {
        let chain = credential.chain_der.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let key = PrivatePkcs8KeyDer::from(credential.key_pkcs8.expose().clone());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .with_root_certificates(trust.0.clone())
            .with_client_auth_cert(chain, key.into())
            .map_err(|e| format!("the push certificate or its key is unusable: {e}"))?;
        tls.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            endpoint: endpoint.clone(),
            tls: Arc::new(tls),
            timeout: config.connect_timeout,
            max_in_flight: config.max_in_flight,
        })
    }

    /// Starts to open a connection for `topic`.
    pub(super) fn dial(&self, topic: &Topic) -> Dialing {
        let (endpoint, tls, topic) = (self.endpoint.clone(), self.tls.clone(), topic.clone());
        let (timeout, max_in_flight) = (self.timeout, self.max_in_flight);
        Box::pin(async move {
            match tokio::time::timeout(timeout, open(&endpoint, tls, &topic, max_in_flight)).await {
                Ok(result) => result.map_err(|why| format!("{}: {why}", endpoint.authority)),
                Err(_) => Err(format!("{}: no connection within {} s", endpoint.authority, timeout.as_secs_f32())),
            }
        })
    }
}

async fn open(
    endpoint: &Endpoint,
    tls: Arc<ClientConfig>,
    topic: &Topic,
    max_in_flight: usize,
) -> Result<Connection, String> {
    // Looks the name up without a cache and tries each address in turn.
    let tcp = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await.map_err(|e| e.to_string())?;
    tcp.set_nodelay(true).map_err(|e| e.to_string())?;
    let stream = TlsConnector::from(tls).connect(endpoint.name.clone(), tcp).await.map_err(|e| format!("TLS: {e}"))?;
    if stream.get_ref().1.alpn_protocol() != Some(b"h2".as_slice()) {
        return Err("the server does not offer HTTP/2".to_owned());
    }
    let (requests, connection) = h2::client::Builder::new()
        .enable_push(false)
        // Nothing is sent before the server's SETTINGS have named its limit.
        .initial_max_send_streams(0)
        .max_header_list_size(MAX_ANSWER_HEADERS)
        .data_frame_budget(DATA_FRAME_BUDGET)
        .handshake(stream)
        .await
        .map_err(|e| format!("HTTP/2: {e}"))?;
    Connection::new(requests, connection, endpoint.authority.clone(), topic, max_in_flight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_https_and_a_host() {
        let endpoint = Endpoint::new("https://api.push.apple.com").unwrap();
        assert_eq!((endpoint.host.as_str(), endpoint.port), ("api.push.apple.com", 443));
        assert_eq!(Endpoint::new("https://127.0.0.1:2197/").unwrap().port, 2197);
        assert_eq!(Endpoint::new("https://[::1]:2197").unwrap().host, "::1");
        for bad in
            ["", "api.push.apple.com", "http://x", "https://x/3/device", "https://x/?q", "https://u@x", "https://"]
        {
            assert!(Endpoint::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_empty_ca_file_is_refused() {
        assert!(Trust::new(None).is_ok());
        assert!(Trust::new(Some(b"")).is_err());
        assert!(Trust::new(Some(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")).is_err());
    }
}
