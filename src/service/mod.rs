//! The work: one verb per function, each taking the [`Context`] and who asks. A verb opens one transaction, decides purely
//! (`protocol`), writes, and leaves its effects in the outbox. Called by `http`, `cli` and `jobs`; knows no status codes and no SQL.

pub mod acme;
pub mod activity;
pub mod actor;
mod answers;
pub mod auditing;
pub mod certifying;
mod channel_facts;
pub mod checkin;
pub mod commands;
pub mod devices;
pub mod enrolling;
pub mod enrollment_policy;
pub mod error;
pub mod founding;
mod handing_out;
pub mod identity;
pub mod polling;
pub mod ports;
pub mod push_certificates;
pub mod push_signing;
pub mod pushing;
pub mod school;
pub mod serving;
pub mod tls_choice;
pub mod tokens;
pub mod trust;

mod guesses;
pub mod login;
pub mod passwords;
pub mod people;
pub mod recovery;
pub mod restoring;
pub mod totp;

mod account_credentials;
pub mod accounts;
pub mod assigning;
pub mod attention;
pub mod channels;
pub mod device_policy;
pub mod directories;
pub mod forecasting;
pub mod gates;
pub mod groups;
pub mod inventory;
pub mod leaving;
pub mod library;
pub mod library_versions;
pub mod login_policy;
pub mod network_users;
pub mod own_accounts;
pub mod pair_states;
pub mod pairs;
pub mod provisioning;
mod provisioning_devices;
pub mod reasons;
pub mod reconciling;
pub mod renewing;
pub mod replacing;
pub mod resigning;
pub mod revoking;
pub mod roster;
pub mod schedules;
pub mod series;
pub mod setting_up;
pub mod splitting;
pub mod stock;
pub mod users;
pub mod variables;
mod wanting;

pub mod backing_up;
pub mod bulk;
pub mod custody;
pub mod doctor;
mod errands;
pub mod events;
pub mod expiring;
pub mod expiry;
pub mod faults;
pub mod filevault;
pub mod first_steps;
pub mod health;
mod letters;
pub mod lost;
pub mod mail;
pub mod mailing;
pub mod overview;
pub mod purging;
pub mod revealing;
pub mod rotating;
pub mod security;
pub mod sheets;
pub mod support;
pub mod telling;
pub mod timing;
pub mod unlocking;
pub mod webhooks;

pub mod arriving;
pub mod doorway;
pub mod inviting;
pub mod over_the_air;

pub use error::{Error, Kind};

use crate::base::random::Random;
use crate::base::secret::Secret;
use crate::base::time::{Clock, HOUR, Timestamp};
use crate::pki::device_ca::DeviceAuthorities;
use crate::pki::sealing::{Keyring, SealError};
use crate::pki::stretching::Cost;
use crate::pki::templates::Authority;
use crate::pki::x509::Certificate;
use crate::store::Store;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, RwLock};

/// The school's own certificate authorities, open in memory.
pub struct Authorities {
    pub root: Certificate,
    /// Issues device identities and answers SCEP (RSA).
    pub issuing: Authority,
    /// Signs profiles.
    pub signer: Authority,
    /// Roots that profiles bring beside `root`: the one that is about to take its place.
    pub next_roots: Vec<Certificate>,
    /// Issuing authorities that requests may still be encrypted to: the one to come, and those that were replaced.
    pub other_issuing: Vec<Authority>,
}

impl Authorities {
    /// Every root that a profile brings, the one in force first.
    pub fn anchors(&self) -> impl Iterator<Item = &Certificate> {
        std::iter::once(&self.root).chain(&self.next_roots)
    }
}

/// Addresses as devices and people see them, without a trailing slash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Urls {
    pub people: String,
    pub devices: String,
    /// Where the trust profile is fetched.
    pub trust: String,
}

/// Everything a verb needs. One per open database.
pub struct Context {
    pub store: Store,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    authorities: RwLock<Arc<Authorities>>,
    keyring: RwLock<Arc<Keyring>>,
    rotation: rotating::Rotation,
    purging: purging::Purging,
    escrow: filevault::Escrow,
    machine_key_path: PathBuf,
    urls: RwLock<Urls>,
    seen: Mutex<Seen>,
    highest_time: AtomicI64,
    push_work: Bell,
    /// Rung when the listeners' certificate should be looked at now.
    certificate_work: Bell,
    /// What a certificate authority that checks our names is told over plain HTTP.
    pub acme_answers: acme::HttpAnswers,
    /// What checking a password costs; tests of other things lower it.
    pub password_cost: Cost,
    /// Whether a device is asked what it is when it has enrolled, and on a cadence from then on; tests of other things want to know every
    /// command.
    pub asks_at_enrollment: bool,
    guesses: guesses::Guesses,
    refusals: auditing::Refusals,
    hooks: events::Hooks,
    backups: backing_up::Backups,
    device_authorities: OnceLock<DeviceAuthorities>,
    /// What asks the school's directory; none where nothing may use the network.
    directory: RwLock<Option<Arc<dyn ports::Directory>>>,
    /// What hands letters to a mail server; none where nothing may use the network.
    mail_sender: RwLock<Option<Arc<dyn ports::MailSender>>>,
    /// What the doctor asks about the machine; none where nobody knows it.
    surroundings: RwLock<Option<Arc<dyn ports::Surroundings>>>,
    synthetic: Mutex<doctor::Synthetic>,
    rounds: doctor::rounds::Rounds,
}

/// What the hot path gathers in memory and a job flushes: nothing here was promised to anybody.
#[derive(Default)]
struct Seen {
    enrollments: HashMap<i64, Timestamp>,
    tokens: HashMap<String, Timestamp>,
}

/// A bell for a thread: the pusher's is rung after a commit that owes pushes.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    bell: Condvar,
}

impl Bell {
    fn wait(&self, at_most: std::time::Duration) {
        let rung = self.rung.lock().unwrap_or_else(|p| p.into_inner());
        let (mut rung, _) =
            self.bell.wait_timeout_while(rung, at_most, |rung| !*rung).unwrap_or_else(|p| p.into_inner());
        *rung = false;
    }
}

impl Context {
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The authorities in force; a replacement comes into force for whoever asks after it.
    pub fn authorities(&self) -> Arc<Authorities> {
        Arc::clone(&self.authorities.read().unwrap_or_else(|p| p.into_inner()))
    }

    fn set_authorities(&self, authorities: Authorities) {
        *self.authorities.write().unwrap_or_else(|p| p.into_inner()) = Arc::new(authorities);
    }

    /// Random bytes, for ids and challenges.
    pub fn random_bytes<const N: usize>(&self) -> [u8; N] {
        crate::base::random::bytes(&*self.random)
    }

    /// Seals for one place in the database; only that place opens it again.
    pub fn seal(&self, place: &str, plaintext: &[u8]) -> Vec<u8> {
        self.keyring().seal(&*self.random, place, plaintext)
    }

    /// # Errors
    /// `Internal` when the blob was sealed for another place, with another key, or was changed.
    pub fn open(&self, place: &str, blob: &[u8]) -> Result<Secret<Vec<u8>>, Error> {
        self.keyring().open(place, blob).map_err(|e: SealError| Error::internal(e))
    }

    fn keyring(&self) -> Arc<Keyring> {
        Arc::clone(&self.keyring.read().unwrap_or_else(|p| p.into_inner()))
    }

    pub fn urls(&self) -> Urls {
        self.urls.read().unwrap_or_else(|p| p.into_inner()).clone()
    }

    /// Set once the listeners know their ports.
    pub fn set_urls(&self, urls: Urls) {
        *self.urls.write().unwrap_or_else(|p| p.into_inner()) = urls;
    }

    /// Whose word counts for a genuine Apple device: Apple's alone, unless [`Context::trust_stand_ins`] said more.
    pub fn device_authorities(&self) -> &DeviceAuthorities {
        self.device_authorities.get_or_init(DeviceAuthorities::default)
    }

    /// For tests and rehearsals, once, before the first request.
    pub fn trust_stand_ins(&self, authorities: DeviceAuthorities) {
        let _ = self.device_authorities.set(authorities);
    }

    pub fn directory(&self) -> Option<Arc<dyn ports::Directory>> {
        self.directory.read().unwrap_or_else(|p| p.into_inner()).clone()
    }

    /// Set by whoever may use the network.
    pub fn set_directory(&self, directory: Arc<dyn ports::Directory>) {
        *self.directory.write().unwrap_or_else(|p| p.into_inner()) = Some(directory);
    }

    pub fn mail_sender(&self) -> Option<Arc<dyn ports::MailSender>> {
        self.mail_sender.read().unwrap_or_else(|p| p.into_inner()).clone()
    }

    /// Set by whoever may use the network.
    pub fn set_mail_sender(&self, sender: Arc<dyn ports::MailSender>) {
        *self.mail_sender.write().unwrap_or_else(|p| p.into_inner()) = Some(sender);
    }

    /// Notes that a channel was heard of; flushed by [`Context::flush_seen`].
    pub fn note_seen(&self, enrollment: i64, at: Timestamp) {
        self.seen.lock().unwrap_or_else(|p| p.into_inner()).enrollments.insert(enrollment, at);
    }

    fn note_token_used(&self, id: &str, at: Timestamp) {
        self.seen.lock().unwrap_or_else(|p| p.into_inner()).tokens.insert(id.to_owned(), at);
    }

    /// When a channel was last heard of, if that is not yet in the file.
    pub fn find_seen(&self, enrollment: i64) -> Option<Timestamp> {
        self.seen.lock().unwrap_or_else(|p| p.into_inner()).enrollments.get(&enrollment).copied()
    }

    /// Writes what was gathered since the last time, and the highest time seen.
    pub fn flush_seen(&self) -> Result<(), Error> {
        guesses::flush(self)?;
        let seen = std::mem::take(&mut *self.seen.lock().unwrap_or_else(|p| p.into_inner()));
        let now = self.now();
        let clock_moved = self.highest_time.fetch_max(now.0, Ordering::SeqCst) < now.0;
        if seen.enrollments.is_empty() && seen.tokens.is_empty() && !clock_moved {
            return Ok(());
        }
        let enrollments: Vec<_> = seen.enrollments.into_iter().collect();
        let tokens: Vec<_> = seen.tokens.into_iter().collect();
        self.store.write(|tx| {
            tx.put_last_seen(&enrollments)?;
            tx.put_token_last_used(&tokens)?;
            tx.put_setting(founding::HIGHEST_TIME, &serde_json::json!(now.0))?;
            Ok(())
        })
    }

    /// The instant this installation has already seen, when the machine's clock lies more than an hour behind it. Until the clock
    /// is right, devices are served, but nothing is issued, expired or deleted.
    pub fn clock_is_behind(&self) -> Option<Timestamp> {
        let highest = Timestamp(self.highest_time.load(Ordering::SeqCst));
        (self.now() < highest.plus(-HOUR)).then_some(highest)
    }

    /// New work is refused in plain words while there is room for the answers to what is queued already.
    ///
    /// # Errors
    /// `Busy` when the disk is nearly full.
    pub fn require_space(&self) -> Result<(), Error> {
        if self.store.free_space()? < crate::base::limits::MIN_FREE_SPACE {
            return Err(Error::new(Kind::Busy, crate::base::texts::Text::DiskFull));
        }
        Ok(())
    }

    /// Pushes are owed: wakes the pusher. Called after the commit.
    pub fn ring_pusher(&self) {
        *self.push_work.rung.lock().unwrap_or_else(|p| p.into_inner()) = true;
        self.push_work.bell.notify_all();
    }

    /// Waits until [`Context::ring_pusher`] or for `at_most`.
    pub fn wait_for_push_work(&self, at_most: std::time::Duration) {
        self.push_work.wait(at_most);
    }

    /// The listeners' certificate may have to change: the school's authority was replaced, say. Called after the commit.
    pub fn ring_certificates(&self) {
        *self.certificate_work.rung.lock().unwrap_or_else(|p| p.into_inner()) = true;
        self.certificate_work.bell.notify_all();
    }

    /// Waits until [`Context::ring_certificates`] or for `at_most`.
    pub fn wait_for_certificates(&self, at_most: std::time::Duration) {
        self.certificate_work.wait(at_most);
    }
}
