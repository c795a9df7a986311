//! Ports: what the work asks of the world, as traits that the third floor implements.
//!
//! A trait stands here only where two real implementations exist (Apple's service, and a stand-in or a recorder in tests).
//! Deliberately not here: how it is done. Async never shows in a signature.

use crate::base::push::{PushTarget, Topic};
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::pki::keys::PrivateKey;
pub use crate::service::founding::TlsIdentity;
use std::net::{IpAddr, SocketAddr};

/// One push, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    pub target: PushTarget,
    /// `apns-expiration`, epoch seconds; from `protocol::push::expiration`.
    pub expiration_secs: i64,
    /// `apns-priority`: 10 at once, 5 when it suits the battery, 1 lowest.
    pub priority: u8,
    /// `apns-id`: a lower-case UUID of this push's own.
    pub apns_id: String,
}

/// What became of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushResult {
    /// Apple answered; `protocol::push::action` says what it means.
    Answered {
        status: u16,
        /// Apple's `reason`, printable ASCII of at most 128 bytes.
        reason: Option<String>,
        /// Apple's `timestamp`, milliseconds since 1970; only with 410.
        timestamp_ms: Option<i64>,
        /// `Retry-After` in seconds, if there was one.
        retry_after_secs: Option<u64>,
    },
    /// No answer: no connection, no certificate, or it was lost too often. Says nothing about the token.
    Unreached { why: String },
}

/// The sender's queue is full; the push was not taken and its callback is not called. Try again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the push queue is full")]
pub struct SenderFull;

/// The push certificate of one topic with its key.
#[derive(Debug, Clone)]
pub struct PushCredential {
    /// DER certificates, the push certificate first.
    pub chain_der: Vec<Vec<u8>>,
    /// PKCS#8 DER of its private key.
    pub key_pkcs8: Secret<Vec<u8>>,
}

/// Called exactly once per accepted push, on the sender's thread: hand the result on, do not work there.
pub type PushDone = Box<dyn FnOnce(PushResult) + Send>;

/// Sends pushes to Apple.
pub trait PushSender: Send + Sync {
    /// Takes a push without waiting. After `Ok`, `done` is called exactly once, also when the sender stops.
    fn send(&self, push: Push, done: PushDone) -> Result<(), SenderFull>;
    /// Sets or replaces the certificate of a topic. Open connections of the topic are closed and unanswered pushes are
    /// sent again with the new one. An unusable certificate makes pushes of this topic end as `Unreached`, with the reason.
    fn set_credential(&self, topic: &Topic, credential: PushCredential);
    /// Forgets a topic's certificate; its waiting pushes end as `Unreached`.
    fn remove_credential(&self, topic: &Topic);
}

// ---- the listeners' certificate

/// The listeners, as far as their certificate goes.
pub trait Doors: Send + Sync {
    /// New connections get this certificate; open ones keep theirs.
    ///
    /// # Errors
    /// In words, when it cannot be served; then everything stays as it was.
    fn serve(&self, identity: &TlsIdentity) -> Result<(), String>;
    /// The people's listener answers TLS-ALPN-01 with this certificate until it is taken back with `None`.
    ///
    /// # Errors
    /// As for [`Doors::serve`].
    fn answer_alpn(&self, answer: Option<&TlsIdentity>) -> Result<(), String>;
}

/// What is asked of a certificate authority by ACME (RFC 8555).
pub struct AcmeOrder {
    pub directory: String,
    /// EC on P-256.
    pub account_key: PrivateKey,
    /// `mailto:` and so on.
    pub contact: Option<String>,
    pub binding: Option<AcmeBinding>,
    pub names: Vec<String>,
    /// PKCS#10 as DER.
    pub request: Vec<u8>,
    pub challenge: AcmeChallenge,
}

/// External account binding (RFC 8555 §7.3.4): an authority that knows its customers wants to see that the account is one of theirs.
#[derive(Debug, Clone)]
pub struct AcmeBinding {
    /// As the authority gave it.
    pub kid: String,
    /// Of the HMAC.
    pub key: Secret<Vec<u8>>,
}

/// How the authority sees that a name is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcmeChallenge {
    /// Over plain HTTP on port 80.
    Http01,
    /// In a TLS handshake on port 443.
    TlsAlpn01,
}

impl AcmeChallenge {
    /// As ACME spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }
}

/// Where answers to challenges are put up for the authority to see.
pub trait AcmeAnswers {
    /// # Errors
    /// In words.
    fn put_up(&self, name: &str, token: &str, key_authorization: &str) -> Result<(), String>;
    fn take_down(&self, token: &str);
    /// The server stops: the order is given up.
    fn is_stopping(&self) -> bool;
}

/// A certificate authority that is spoken to over the network.
pub trait AcmeAuthority: Send + Sync {
    /// The whole conversation; takes seconds to minutes. The chain as PEM, leaf first.
    ///
    /// # Errors
    /// In words for an administrator, with what the authority said.
    fn obtain(&self, order: &AcmeOrder, answers: &dyn AcmeAnswers) -> Result<String, String>;
}

// ---- what the doctor looks at

/// One listener as configured and as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerState {
    /// Its key in the configuration, such as `listen.people`.
    pub key: &'static str,
    /// `host:port` as configured.
    pub wanted: String,
    /// `None` when no server runs.
    pub bound: Option<SocketAddr>,
}

/// A simulated device's way through the real listeners.
pub struct Rehearsal {
    /// Everything about the device follows from it.
    pub seed: u64,
    pub profile: Vec<u8>,
    /// Hosts and ports that the profile names.
    pub hosts: Vec<(String, u16)>,
    pub publicly_trusted: bool,
    pub now: Timestamp,
}

/// The machine around the server, as the doctor asks about it.
pub trait Surroundings: Send + Sync {
    /// # Errors
    /// In words, when the name has no address.
    fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, String>;
    /// Those that are configured and not off.
    fn listeners(&self) -> Vec<ListenerState>;
    /// Whether this process could listen there now.
    ///
    /// # Errors
    /// In words.
    fn try_listen(&self, address: &str) -> Result<(), String>;
    /// Connects as a device that looks for `host` and trusts `anchors` (DER), and the public roots if `public`; what it was shown, leaf first.
    ///
    /// # Errors
    /// In words, when it would not go on.
    fn see_tls(
        &self,
        at: SocketAddr,
        host: &str,
        anchors: &[Vec<u8>],
        public: bool,
        now: Timestamp,
    ) -> Result<Vec<Vec<u8>>, String>;
    /// Sends a push and waits for what becomes of it; `None` when nothing here can push.
    fn try_push(&self, push: Push) -> Option<PushResult>;
    /// The UDID of the simulated device of this seed.
    fn udid_of(&self, seed: u64) -> String;
    /// Enrols the device, calls `meanwhile`, and lets the device fetch what waits.
    ///
    /// # Errors
    /// What it failed to do ("to check in"), and why.
    fn rehearse(
        &self,
        told: &Rehearsal,
        meanwhile: &mut dyn FnMut() -> Result<(), String>,
    ) -> Result<(), (&'static str, String)>;
    /// The host name in the configuration, if there is one.
    fn configured_hostname(&self) -> Option<String>;
    /// Devices that Apple never built are let in.
    fn has_stand_ins(&self) -> bool;
    /// Whose forwarded certificates are believed.
    fn trusted_proxies(&self) -> Vec<IpAddr>;
    /// Whether the system keeps the clock; `None` when it does not say.
    fn clock_is_kept(&self) -> Option<bool>;
}

// ---- webhooks

/// One request to a webhook's receiver, ready to be sent by POST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// `https`, or `http` to this machine; checked when the webhook was made.
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

/// What became of a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostResult {
    /// The receiver answered; redirects are answers, too.
    Answered {
        status: u16,
        /// The beginning of what it said.
        excerpt: String,
    },
    /// No answer: no name, no connection, no trust, or no time left.
    Unreached { why: String },
}

/// Called exactly once per accepted batch, on a thread of the sender's.
pub type PostsDone = Box<dyn FnOnce(Vec<PostResult>) + Send>;

/// Sends posts to webhooks.
pub trait WebhookSender: Send + Sync {
    /// Takes a batch for one receiver without waiting, and sends it in order. It ends early with the first post that gets no 2xx,
    /// after a while, or when the sender stops: `done` gets one result for each post that was tried.
    fn send(&self, posts: Vec<Post>, done: PostsDone) -> Result<(), SenderFull>;
}

// ---- e-mail

/// How a mail server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailSecurity {
    /// From the first byte.
    Tls,
    /// In the clear until the server agrees to TLS; nothing is told before.
    StartTls,
    /// In the clear, to this machine only.
    Plain,
}

/// Where a mail server is, and who we are there.
#[derive(Debug, Clone)]
pub struct MailPlace {
    pub host: String,
    pub port: u16,
    pub security: MailSecurity,
    pub login: Option<(String, Secret<String>)>,
    /// Authorities that the server's certificate may come from, instead of the public ones.
    pub ca_pem: Option<String>,
}

/// One letter. Addresses are plain ones that were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// How we call ourselves to the server.
    pub hello: String,
    pub from: String,
    pub to: Vec<String>,
    pub subject: String,
    pub body: String,
    pub at: Timestamp,
    pub id: String,
}

/// The server took it for at least one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailTaken {
    pub answer: String,
    /// Whom the server would not take, and its words.
    pub refused: Vec<(String, String)>,
}

/// Why no letter was taken, in words for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MailFault(pub String);

/// Hands letters to a mail server. Every call waits for the network; never inside a transaction.
pub trait MailSender: Send + Sync {
    fn send(&self, place: &MailPlace, letter: &Letter) -> Result<MailTaken, MailFault>;
    /// What is under way ends soon, and nothing is sent any more.
    fn stop(&self);
}

// ---- the school's directory

/// Where a directory is, who asks, and which attribute is what.
#[derive(Debug, Clone)]
pub struct DirectoryPlace {
    /// `ldaps://…`, or `ldap://` to this machine.
    pub url: String,
    pub base_dn: String,
    /// Who of the records is a person of the school.
    pub filter: String,
    /// Name and password of who asks; `None` asks as nobody.
    pub bind: Option<(String, Secret<String>)>,
    /// Authorities that the server's certificate may come from, instead of the public ones.
    pub ca_pem: Option<String>,
    pub short_name: String,
    pub long_name: Option<String>,
    pub mail: Option<String>,
    /// Attributes that hold ids of the record.
    pub guids: Vec<String>,
}

/// One person as the directory has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryRecord {
    pub short_name: String,
    pub long_name: Option<String>,
    pub mail: Option<String>,
    /// Each with the attribute it comes from.
    pub guids: Vec<(String, String)>,
}

/// Why the directory gave no answer, in words for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DirectoryFault(pub String);

/// Asks a directory. Every call waits for the network; never inside a transaction.
pub trait Directory: Send + Sync {
    /// Every person there.
    fn read(&self, place: &DirectoryPlace) -> Result<Vec<DirectoryRecord>, DirectoryFault>;
    /// Whether this password opens the record of this short name.
    fn check(&self, place: &DirectoryPlace, name: &str, password: &Secret<String>) -> Result<bool, DirectoryFault>;
}
