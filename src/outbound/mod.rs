//! Out to the receivers of webhooks (and, in `smtp`, to the mail server): HTTPS requests, one thread per receiver that is being told something. Implements
//! `service::ports::WebhookSender`; when to send, in which order and how often is `service::telling`'s to decide.
//!
//! No redirect is followed and no proxy is used: a request goes where the owner said, or nowhere.

pub mod acme;
pub mod smtp;

use crate::base::limits::{MAX_WEBHOOK_ANSWER, WEBHOOK_TIMEOUT};
use crate::service::ports::{Post, PostResult, PostsDone, SenderFull, WebhookSender};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Builder;
use std::time::{Duration, Instant};
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

/// A batch ends after this; its signatures carry a time that must not grow old.
const BATCH_TIME: Duration = Duration::from_secs(20);

/// The sender. Dropping it ends batches after the request that is under way.
pub struct Outbound {
    line: Arc<Line>,
}

/// What all threads share.
struct Line {
    public: Agent,
    /// Trusts only the extra authorities; tried where the public roots do not do.
    extra: Option<Agent>,
    stopped: AtomicBool,
}

impl Outbound {
    /// `extra_ca_pem`: authorities trusted beside the public ones.
    ///
    /// # Errors
    /// When there is no usable certificate in `extra_ca_pem`.
    pub fn new(extra_ca_pem: Option<&[u8]>) -> Result<Outbound, String> {
        let extra = extra_ca_pem.map(extra_roots).transpose()?.map(agent);
        let line = Line { public: agent(RootCerts::WebPki), extra, stopped: AtomicBool::new(false) };
        Ok(Outbound { line: Arc::new(line) })
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        self.line.stopped.store(true, Ordering::SeqCst);
    }
}

impl WebhookSender for Outbound {
    fn send(&self, posts: Vec<Post>, done: PostsDone) -> Result<(), SenderFull> {
        let line = Arc::clone(&self.line);
        let thread = Builder::new().name(String::from("webhook"));
        thread.spawn(move || done(line.send_all(&posts))).map(drop).map_err(|_| SenderFull)
    }
}

impl Line {
    fn send_all(&self, posts: &[Post]) -> Vec<PostResult> {
        let begun = Instant::now();
        let mut results = Vec::new();
        for post in posts {
            if self.stopped.load(Ordering::SeqCst) || begun.elapsed() > BATCH_TIME {
                break;
            }
            let result = self.send_one(post);
            let well = matches!(result, PostResult::Answered { status: 200..=299, .. });
            results.push(result);
            if !well {
                break;
            }
        }
        results
    }

    fn send_one(&self, post: &Post) -> PostResult {
        let first = ask(&self.public, post);
        let answer = match (first, &self.extra) {
            // No trust, no request: nothing was sent yet.
            (Err(error), Some(extra)) if is_distrust(&error) => ask(extra, post),
            (first, _) => first,
        };
        answer.unwrap_or_else(|error| PostResult::Unreached { why: error.to_string() })
    }
}

/// The receiver's certificate was not believed. `ureq` hands the handshake's error on as one of IO.
fn is_distrust(error: &ureq::Error) -> bool {
    let inner = match error {
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(error) => error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()),
        _ => None,
    };
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}

fn ask(agent: &Agent, post: &Post) -> Result<PostResult, ureq::Error> {
    let mut request = agent.post(&post.url);
    for (name, value) in &post.headers {
        request = request.header(*name, value);
    }
    let mut response = request.send(post.body.as_bytes())?;
    let mut bytes = Vec::new();
    // A body that breaks off does not change what the status said.
    let _ = response.body_mut().as_reader().take(MAX_WEBHOOK_ANSWER as u64).read_to_end(&mut bytes);
    Ok(PostResult::Answered { status: response.status().as_u16(), excerpt: excerpt(&bytes) })
}

/// Text without control characters, for the log of the webhook.
fn excerpt(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect::<String>()
        .trim()
        .to_owned()
}

fn agent(roots: RootCerts) -> Agent {
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .root_certs(roots)
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(WEBHOOK_TIMEOUT))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .proxy(None)
        .user_agent(concat!("Cordon/", env!("CARGO_PKG_VERSION")))
        .max_response_header_size(16 * 1024)
        .max_idle_connections(8)
        .max_idle_connections_per_host(1)
        .build()
        .new_agent()
}

fn extra_roots(pem: &[u8]) -> Result<RootCerts, String> {
    let mut roots = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|e| format!("the file of extra authorities is not PEM: {e}"))?;
        roots.push(Certificate::from_der(&certificate).to_owned());
    }
    if roots.is_empty() {
        return Err(String::from("the file of extra authorities holds no certificate"));
    }
    Ok(RootCerts::new_with_certs(&roots))
}

#[cfg(test)]
mod tests;
