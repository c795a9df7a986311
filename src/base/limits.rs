//! Every bound on what the outside may make us do, each with its reason. Change one here, and only here.

use std::time::Duration;

// ---- listeners

/// Open connections on all public listeners together; ≤ soft file limit − 256.
pub const MAX_CONNECTIONS: usize = 4_096;
/// Connections from one address; a school behind one NAT has up to 2,000 devices, so this bounds only a flood.
pub const MAX_CONNECTIONS_PER_ADDRESS: usize = 3_000;
/// Request line and headers together. `Mdm-Signature` is 2–16 KB, a SCEP GET carries 3.5–8 KB in its line.
pub const MAX_HEAD: usize = 64 * 1024;
/// Headers in one request.
pub const MAX_HEADERS: usize = 64;
/// TLS handshake must be done by then.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A request head must be complete by then, counted from its first byte or from the accept.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A kept-alive connection without a request is closed after this.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// No body byte for this long ends the request with 408.
pub const BODY_STALL: Duration = Duration::from_secs(10);
/// Slower than this, averaged, after the first [`BODY_STALL`], ends the request.
pub const BODY_MIN_RATE: usize = 8 * 1024;
/// A body may take this long at most, whatever its rate.
pub const BODY_MAX_TIME: Duration = Duration::from_secs(600);
/// Memory for bodies being read, all connections together; beyond it a request waits, then gets 503.
pub const BODY_MEMORY: usize = 192 * 1024 * 1024;
/// Handlers running at once; each may wait for the writer, so it is more than the cores.
pub const MAX_HANDLERS: usize = 64;

// ---- bodies by route

/// Check-in messages: the largest is TokenUpdate with an UnlockToken, some KB.
pub const MAX_CHECKIN_BODY: usize = 1024 * 1024;
/// Command results: CertificateList and InstalledApplicationList reach several MB.
pub const MAX_RESULT_BODY: usize = 16 * 1024 * 1024;
/// A larger result of an identified device is read up to here and finished as "result too large", or it would retry for ever.
pub const MAX_DRAINED_BODY: usize = 64 * 1024 * 1024;
/// SCEP messages: a request is 2–4 KB.
pub const MAX_SCEP_BODY: usize = 256 * 1024;
/// API requests; raw command plists with a profile inside are the largest.
pub const MAX_API_BODY: usize = 8 * 1024 * 1024;
/// Any other body.
pub const MAX_OTHER_BODY: usize = 64 * 1024;

// ---- parsers

/// Nesting of property lists. Apple's deepest answers are below 12.
pub const MAX_PLIST_DEPTH: usize = 32;
/// Values in one property list; a 16 MB app list has some 400,000.
pub const MAX_PLIST_VALUES: usize = 2_000_000;
/// Nesting of BER.
pub const MAX_BER_DEPTH: usize = 32;
/// Decoded `Mdm-Signature`: 2–4 KB in the field.
pub const MAX_SIGNATURE: usize = 12 * 1024;
/// Certificates read out of one CMS message.
pub const MAX_CMS_CERTIFICATES: usize = 8;
/// Items in an `ErrorChain` that are kept.
pub const MAX_ERROR_CHAIN: usize = 16;

// ---- queue and storage

/// Unfinished commands of one enrollment; a runaway script is told instead of filling the disk.
pub const MAX_QUEUED_PER_ENROLLMENT: i64 = 2_000;
/// A command plist; profiles with fonts or images are the largest.
pub const MAX_COMMAND: usize = 8 * 1024 * 1024;
/// Writes waiting for the writer; beyond it a verb answers Busy.
pub const MAX_WAITING_WRITES: usize = 4_096;
/// Writes taken into one transaction.
pub const MAX_GROUP: usize = 256;
/// Below this much free space the server refuses new work, in plain words, instead of failing in the middle.
pub const MIN_FREE_SPACE: u64 = 64 * 1024 * 1024;
/// Items on one page of an API list.
pub const MAX_PAGE: usize = 500;

// ---- push

/// Pushes waiting for the sender thread.
pub const MAX_WAITING_PUSHES: usize = 20_000;
/// Pushes in flight on one connection, whatever Apple's SETTINGS would allow.
pub const MAX_PUSHES_IN_FLIGHT: usize = 900;

// ---- webhooks

/// Webhooks of one school; each may hold one thread while its receiver thinks.
pub const MAX_WEBHOOKS: usize = 32;
/// A receiver must have answered by then.
pub const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a receiver's answer that are read.
pub const MAX_WEBHOOK_ANSWER: usize = 4 * 1024;
/// A webhook's URL, in bytes.
pub const MAX_WEBHOOK_URL: usize = 2_048;

// ---- e-mail

/// A whole conversation with a mail server, from the name to its last word.
pub const MAIL_TIMEOUT: Duration = Duration::from_secs(30);

// ---- directory

/// A directory must have answered by then, one question at a time.
pub const DIRECTORY_TIMEOUT: Duration = Duration::from_secs(10);
/// People taken over from a directory; far beyond any school, and a bound on memory.
pub const MAX_DIRECTORY_RECORDS: usize = 50_000;
