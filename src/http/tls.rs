//! TLS of the public listeners: what is offered, and what is asked of a client.
//!
//! Called by `listen` and by whoever renews the server certificate. Deliberately not here: judging a client certificate; TLS proves
//! possession of its key, and chain, dates, revocation and binding belong to `http::device`.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use std::sync::{Arc, PoisonError, RwLock};

/// Whether a listener asks for a client certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// Never: browsers would pop up a picker, and macOS fails SCEP renewals over TLS that asks.
    None,
    /// Asks, and serves those who send none as well.
    Optional,
}

/// A server configuration: TLS 1.2 and 1.3 by aws-lc-rs, ALPN `http/1.1`, resumption by sealed tickets.
///
/// `chain_der` is the leaf first; `key_pkcs8` its private key as PKCS#8 DER.
///
/// # Errors
/// An empty or unreadable chain, an unreadable key, or a key that does not belong to the leaf.
pub fn server_config(
    chain_der: Vec<Vec<u8>>,
    key_pkcs8: &[u8],
    client_auth: ClientAuth,
) -> Result<Arc<ServerConfig>, Error> {
    if chain_der.is_empty() {
        return Err(Error::General("the certificate chain is empty".into()));
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let builder = builder(provider)?;
    let builder = match client_auth {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Optional => builder.with_client_cert_verifier(Arc::new(PossessionOnly(algorithms))),
    };
    let chain = chain_der.into_iter().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key_pkcs8.to_vec()));
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // The client keeps the sealed session (its certificate included), so thousands of devices cost no memory here.
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// The people's configuration while a certificate authority checks a name by TLS-ALPN-01 (RFC 8737): who asks for `acme-tls/1` gets
/// `answer`, everybody else what is always served.
///
/// # Errors
/// As [`server_config`].
pub fn alpn_config(
    chain_der: Vec<Vec<u8>>,
    key_pkcs8: &[u8],
    answer_chain: &[Vec<u8>],
    answer_key: &[u8],
) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let certified = |chain: Vec<Vec<u8>>, key: &[u8]| -> Result<Arc<CertifiedKey>, Error> {
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_vec()));
        // Not from_der: it would refuse the answer's critical extension, which is what the check is about.
        Ok(Arc::new(CertifiedKey::new(chain, provider.key_provider.load_private_key(key)?)))
    };
    let resolver =
        Checked { usual: certified(chain_der, key_pkcs8)?, answer: certified(answer_chain.to_vec(), answer_key)? };
    let mut config = builder(Arc::clone(&provider))?.with_no_client_auth().with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"http/1.1".to_vec(), ACME_PROTOCOL.to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// The protocol that nobody but a certificate authority's check speaks.
const ACME_PROTOCOL: &[u8] = b"acme-tls/1";

#[derive(Debug)]
struct Checked {
    usual: Arc<CertifiedKey>,
    answer: Arc<CertifiedKey>,
}

impl ResolvesServerCert for Checked {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut offered = hello.alpn().into_iter().flatten();
        let checks = offered.next() == Some(ACME_PROTOCOL) && offered.next().is_none();
        Some(Arc::clone(if checks { &self.answer } else { &self.usual }))
    }
}

fn builder(provider: Arc<CryptoProvider>) -> Result<rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>, Error> {
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
}

/// The configuration that new connections get; replaced without a restart when the certificate changes.
#[derive(Debug)]
pub struct TlsHolder(RwLock<Arc<ServerConfig>>);

impl TlsHolder {
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self(RwLock::new(config))
    }

    /// Connections from now on use `config`; open ones keep theirs. Old tickets are void: it seals with new keys.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Takes any certificate whose key the client proves to hold. rustls' own verifier refuses an expired one in the handshake,
/// and a device whose identity has lapsed could then never be given a new one.
#[derive(Debug)]
struct PossessionOnly(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for PossessionOnly {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: a device holds one identity for this URL, and a list of issuers would hide those of a CA that was replaced.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Vec<u8>, Vec<u8>) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        (made.cert.der().to_vec(), made.signing_key.serialize_der())
    }

    #[test]
    fn takes_a_matching_pair_only() {
        let (cert, key) = pair();
        let (_, other) = pair();
        assert!(server_config(vec![cert.clone()], &key, ClientAuth::None).is_ok());
        assert!(server_config(vec![cert.clone()], &other, ClientAuth::None).is_err());
        assert!(server_config(vec![cert], b"junk", ClientAuth::Optional).is_err());
        assert!(server_config(vec![], &key, ClientAuth::Optional).is_err());
    }
}
