//! One device's connection to its server for one session: its identity in TLS and, where the profile says so, a signature in each head.
//!
//! Called by `device` and `session`.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::device::{DeviceError, Managed, World};
use super::network::{Url, WireError};
use super::state::{Behaviour, Held, SignatureShape};
use super::wire::{Answer, Client, Delivery, Request};
use crate::pki;
use crate::pki::cms::{DetachedForm, sign_detached};

/// Header with a detached CMS signature over the body.
const SIGNATURE: &str = "Mdm-Signature";

pub(super) struct Link {
    client: Client,
    signer: Option<Signer>,
}

struct Signer {
    key: pki::keys::PrivateKey,
    certificate: pki::x509::Certificate,
    shape: SignatureShape,
}

impl Link {
    pub(super) fn open(
        world: &World,
        managed: &Managed,
        held: &Held,
        behaviour: &Behaviour,
    ) -> Result<Self, DeviceError> {
        let broken = |what: &str| DeviceError::Saved(format!("the identity's {what} cannot be read"));
        let signer = if managed.enrolling.mdm.sign_message {
            let leaf = held.chain.first().ok_or_else(|| broken("certificate"))?;
            Some(Signer {
                key: pki::keys::PrivateKey::from_pkcs8_der(&held.key_pkcs8.0).map_err(|_| broken("key"))?,
                certificate: pki::x509::Certificate::parse(&leaf.0).map_err(|_| broken("certificate"))?,
                shape: behaviour.signature,
            })
        } else {
            None
        };
        Ok(Self { client: Client::new(Arc::clone(&world.network), Arc::clone(&managed.tls)), signer })
    }

    /// PUTs a body and reads the answer.
    pub(super) fn put(&mut self, url: &Url, content_type: &str, body: &[u8]) -> Result<Answer, WireError> {
        let signature = self.signature(body)?;
        self.client.send(&Request { method: "PUT", url, headers: &headers(content_type, &signature), body })
    }

    /// PUTs a body and is gone, as told.
    pub(super) fn put_and_leave(
        &mut self,
        url: &Url,
        content_type: &str,
        body: &[u8],
        delivery: Delivery,
    ) -> Result<(), WireError> {
        let signature = self.signature(body)?;
        self.client.send_and_leave(
            &Request { method: "PUT", url, headers: &headers(content_type, &signature), body },
            delivery,
        )
    }

    fn signature(&self, body: &[u8]) -> Result<Option<String>, WireError> {
        let Some(signer) = &self.signer else { return Ok(None) };
        let form = match signer.shape {
            SignatureShape::Bare => DetachedForm::Bare,
            SignatureShape::WithAttributes => DetachedForm::WithAttributes,
        };
        let signed = sign_detached(body, &signer.certificate, &signer.key, form, signer.key.preferred_digest());
        signed.map(|der| Some(STANDARD.encode(der))).map_err(|e| WireError::Signature(e.to_string()))
    }
}

fn headers<'a>(content_type: &'a str, signature: &'a Option<String>) -> Vec<(&'a str, &'a str)> {
    let mut headers = vec![("User-Agent", "MDM/1.0"), ("Content-Type", content_type)];
    headers.extend(signature.iter().map(|s| (SIGNATURE, s.as_str())));
    headers
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;

    use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
    use rustls::server::WebPkiClientVerifier;
    use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

    use super::super::network::{Network, Via};
    use super::super::spec::Kind;
    use super::super::test_school::{enrolled_with, parts, pki};
    use super::*;
    use crate::base::time::{Clock, SystemClock};
    use crate::pki::templates::issue_tls_server;

    /// TLS for `name` that insists on a client certificate of the test CA.
    fn tls_server(name: &str) -> Arc<ServerConfig> {
        let pki = pki();
        let names = [name.to_owned()];
        let now = SystemClock.now();
        let leaf =
            issue_tls_server(&pki.issuing, &names, &pki.key.spki_der(), now, 30, &crate::pki::SystemRandom).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(pki.root.certificate.der().to_vec())).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
        let chain = [leaf.der(), pki.issuing.certificate.der()].map(|der| CertificateDer::from(der.to_vec())).to_vec();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pki.key.to_pkcs8_der().expose().clone()));
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Arc::new(config.with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap())
    }

    /// Answers one request per connection with what it knows about the handshake.
    fn serve(listener: TcpListener, config: Arc<ServerConfig>) {
        std::thread::spawn(move || {
            for tcp in listener.incoming() {
                let mut stream =
                    BufReader::new(StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), tcp.unwrap()));
                let mut length = 0;
                let mut line = String::new();
                while stream.read_line(&mut line).is_ok_and(|n| n > 2) {
                    if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = n.trim().parse().unwrap();
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                if stream.read_exact(&mut body).is_err() {
                    continue;
                }
                let tls = stream.get_mut();
                let peer = tls.conn.peer_certificates().unwrap()[0].to_vec();
                let text = format!("{:?} {}", tls.conn.handshake_kind().unwrap(), peer == pki().identity);
                tls.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()).as_bytes())
                    .unwrap();
                tls.flush().unwrap();
            }
        });
    }

    #[test]
    fn shows_its_identity_in_tls_also_when_the_session_is_resumed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let network = Network::default();
        network.route("mdm.test", listener.local_addr().unwrap(), Via::Tls).unwrap();
        network.route("other.test", listener.local_addr().unwrap(), Via::Tls).unwrap();
        serve(listener, tls_server("mdm.test"));
        let world = Arc::new(World::real(network));
        let device = enrolled_with(Kind::Ipad, 1, &world, parts().bytes());
        let managed = device.managed.clone().unwrap();
        let ask = |url: &str| device.link_to(&managed).unwrap().put(&url.parse().unwrap(), "text/plain", b"body");
        assert_eq!(ask("https://mdm.test/").unwrap().body, b"Full true");
        assert_eq!(ask("https://mdm.test/").unwrap().body, b"Resumed true");
        assert!(matches!(ask("https://other.test/"), Err(WireError::Tls(..))), "the certificate names another host");
    }
}
