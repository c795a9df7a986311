//! One simulated device: what it is to its owner. It can be saved and restored, pushed, put to sleep and woken.
//!
//! Called by `fleet`, the demo, rehearsals, the doctor and the tests. How it comes under management is in `enrollment`, the command
//! conversation in `session`. A device uses no thread of its own and keeps no connection between sessions.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use super::keys::KeyPool;
use super::link::Link;
use super::messages::{self, CHECK_IN};
use super::network::{ClientIdentity, Network, WireError, tls_config_at};
use super::profile::{self, Enrolling, Refusal};
use super::spec::Spec;
use super::state::{Behaviour, Channel, Entry, Event, Executed, Held, Line, Standing, State};
use crate::base::random::Random;
use crate::base::time::{Clock, Timestamp};
use crate::pki;

/// What surrounds simulated devices; shared by all of a classroom.
pub struct World {
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub network: Arc<Network>,
    pub keys: KeyPool,
    /// Roots (DER) that devices are sold with.
    pub public_roots: Vec<Vec<u8>>,
    /// Waits; tests may only count.
    pub pause: Box<dyn Fn(Duration) + Send + Sync>,
}

impl World {
    /// The machine's clock, randomness and sleep.
    pub fn real(network: Network) -> Self {
        Self {
            clock: Arc::new(crate::base::time::SystemClock),
            keys: KeyPool::default(),
            public_roots: Vec::new(),
            random: Arc::new(pki::SystemRandom),
            network: Arc::new(network),
            pause: Box::new(std::thread::sleep),
        }
    }
}

/// Why a device could not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    #[error("the profile is refused: {0}")]
    Profile(#[from] Refusal),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("no identity by SCEP: {0}")]
    Scep(String),
    #[error("{message} was answered with HTTP status {status}")]
    Refused { message: &'static str, status: u16 },
    #[error("the device is not enrolled")]
    NotEnrolled,
    #[error("the saved state cannot be read: {0}")]
    Saved(String),
    #[error("the server sent {0} commands in one session")]
    Endless(usize),
    #[error("the server sent a command that cannot be read: {0}")]
    UnreadableCommand(String),
}

/// What an enrolment gave to a running device, besides what is saved.
pub(super) struct Managed {
    pub(super) enrolling: Enrolling,
    pub(super) tls: Arc<ClientConfig>,
}

/// A fake iPad, Mac, iPhone or Apple TV.
pub struct Device {
    pub(super) world: Arc<World>,
    pub(super) state: State,
    pub(super) managed: Option<Arc<Managed>>,
}

impl Device {
    /// Out of the box.
    pub fn new(world: Arc<World>, spec: Spec) -> Self {
        Self { world, state: State::new(spec), managed: None }
    }

    /// A device as [`Device::save`] wrote it.
    ///
    /// # Errors
    /// [`DeviceError::Saved`] when the JSON is not a state, or its profile or keys are broken.
    pub fn restore(world: Arc<World>, json: &[u8]) -> Result<Self, DeviceError> {
        let state: State = serde_json::from_slice(json).map_err(|e| DeviceError::Saved(e.to_string()))?;
        let managed = state.held.as_ref().map(|held| Managed::from_held(&world, held)).transpose()?.map(Arc::new);
        Ok(Self { world, state, managed })
    }

    /// All it knows, as JSON; private keys included.
    pub fn save(&self) -> Vec<u8> {
        // Maps with text keys and numbers only: this cannot fail.
        serde_json::to_vec(&self.state).unwrap_or_default()
    }

    /// The person removes the MDM profile: one CheckOut if the profile asks for it, whatever becomes of it.
    pub fn remove_management(&mut self) {
        let Some(managed) = self.managed.take() else { return };
        if managed.enrolling.mdm.check_out_when_removed
            && let Ok(mut link) = self.link_to(&managed)
        {
            let body = messages::check_out(&self.state, &managed.enrolling.mdm);
            let event = match link.put(&managed.enrolling.mdm.check_in_url, CHECK_IN, &body) {
                Ok(answer) => Event::CheckIn { message: "CheckOut".to_owned(), status: answer.status },
                Err(error) => Event::Failed { what: format!("CheckOut: {error}") },
            };
            self.note(Channel::Device, event);
        }
        self.state.forget_management(Standing::Removed);
    }

    /// Apple gives this channel a new push token; the device tells the server.
    ///
    /// # Errors
    /// [`DeviceError`] when the server did not take it; the old token stays.
    pub fn renew_token(&mut self, channel: Channel) -> Result<(), DeviceError> {
        let managed = self.managed.clone().ok_or(DeviceError::NotEnrolled)?;
        let mut link = self.link_to(&managed)?;
        self.state.generation += 1;
        let old = self.state.find_line(channel).cloned().ok_or(DeviceError::NotEnrolled)?;
        let fresh = self.state.new_line(channel);
        let line = Line { token: fresh.token, magic: fresh.magic, ..old };
        let unlock_token = self.state.unlock_token.clone().filter(|_| channel == Channel::Device);
        let body = messages::token_update(&self.state, &managed.enrolling.mdm, channel, &line, unlock_token.as_ref());
        if let Err(error) = self.send_check_in(&mut link, &managed.enrolling, channel, "TokenUpdate", &body) {
            if let DeviceError::Refused { status: 401, .. } = error {
                self.thrown_out(401);
            }
            return Err(error);
        }
        if let Some(current) = self.state.find_line_mut(channel) {
            *current = line;
        }
        Ok(())
    }

    /// A push arrived for one of our tokens. Says which channel should connect now, if any: a sleeping device keeps it for later.
    pub fn pushed(&mut self, token: &[u8], magic: &str) -> Option<Channel> {
        let channels = self.state.channels();
        let channel = channels.into_iter().find(|c| self.state.find_line(*c).is_some_and(|l| l.token.0 == token))?;
        let asleep = self.state.behaviour.asleep || !self.state.is_present(channel);
        let line = self.state.find_line_mut(channel)?;
        if line.magic != magic {
            self.note(channel, Event::PushIgnored);
            self.state.faults.push("a push carried another PushMagic than the token's".to_owned());
            return None;
        }
        line.push_waits = asleep;
        if asleep {
            return None;
        }
        self.note(channel, Event::Pushed);
        Some(channel)
    }

    /// Back on the network: the channels that have a push waiting.
    pub fn wake(&mut self) -> Vec<Channel> {
        self.state.behaviour.asleep = false;
        let mut waiting = Vec::new();
        for channel in self.state.channels().into_iter().filter(|c| self.state.is_present(*c)).collect::<Vec<_>>() {
            if self.state.find_line_mut(channel).is_some_and(|line| std::mem::take(&mut line.push_waits)) {
                self.note(channel, Event::Pushed);
                waiting.push(channel);
            }
        }
        waiting
    }

    /// The next channel that connects by itself, and when: after a last `NotNow`, or with a result that did not get through.
    pub fn find_due(&self) -> Option<(Timestamp, Channel)> {
        if self.state.behaviour.asleep {
            return None;
        }
        let due = |channel| Some((Timestamp(self.state.find_line(channel)?.due_at?), channel));
        self.state.channels().into_iter().filter(|c| self.state.is_present(*c)).filter_map(due).min()
    }

    pub fn spec(&self) -> &Spec {
        &self.state.spec
    }
    pub fn standing(&self) -> Standing {
        self.state.standing
    }
    pub fn state(&self) -> &State {
        &self.state
    }
    pub fn behaviour_mut(&mut self) -> &mut Behaviour {
        &mut self.state.behaviour
    }
    /// Its user takes a profile off, or restores the device without it: the server hears of it only when it asks.
    pub fn take_off(&mut self, channel: super::state::Channel, identifier: &str) {
        self.state.profiles.retain(|p| p.channel != channel || p.identifier != identifier);
    }
    /// A computer syncs it, and puts back the provisioning profiles that were removed.
    pub fn sync_with_computer(&mut self) {
        self.state.sync_with_computer();
    }
    /// What it saw and did, oldest first; the newest 2,000 at most.
    pub fn log(&self) -> &[Entry] {
        self.state.log()
    }
    /// Every command that ever reached it, in order of first arrival.
    pub fn executed(&self) -> &[Executed] {
        &self.state.executed
    }
    /// What the server did that it must not do; empty in every good test.
    pub fn faults(&self) -> &[String] {
        &self.state.faults
    }

    pub(super) fn note(&mut self, channel: Channel, event: Event) {
        let now = self.world.clock.now();
        self.state.note(now, channel, event);
    }

    pub(super) fn link_to(&self, managed: &Managed) -> Result<Link, DeviceError> {
        let held = self.state.held.as_ref().ok_or(DeviceError::NotEnrolled)?;
        Link::open(&self.world, managed, held, &self.state.behaviour)
    }
}

impl Managed {
    pub(super) fn from_held(world: &World, held: &Held) -> Result<Self, DeviceError> {
        let enrolling = profile::read_enrollment(&held.profile.0)?;
        let chain: Vec<Vec<u8>> = held.chain.iter().map(|c| c.0.clone()).collect();
        let identity = ClientIdentity { chain: &chain, key_pkcs8: &held.key_pkcs8.0 };
        let tls = tls_config_at(&anchors_of(world, &enrolling), Some(identity), &world.clock)?;
        Ok(Self { enrolling, tls })
    }
}

/// The roots it was sold with and those of its profile. Only self-issued certificates are anchors; the others help to build chains,
/// and the server sends those itself.
pub(super) fn anchors_of(world: &World, enrolling: &Enrolling) -> Vec<Vec<u8>> {
    let is_root = |der: &&Vec<u8>| pki::x509::Certificate::parse(der).is_ok_and(|c| c.subject_der() == c.issuer_der());
    world.public_roots.iter().chain(enrolling.certificates.iter().filter(is_root)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::super::spec::Kind;
    use super::super::test_school::{enrolled, statuses};
    use super::super::test_server::{Script, answer};
    use super::*;

    #[test]
    fn a_new_token_is_told_to_the_server_and_a_401_ends_it_all() {
        let server = Script::start(vec![answer(200, "text/plain", b""), answer(401, "text/plain", b"")]);
        let (mut device, _) = enrolled(Kind::Mac, &server);
        let old = device.state().user.clone().unwrap();
        device.renew_token(Channel::User).unwrap();
        let new = device.state().user.clone().unwrap();
        assert!(old.token != new.token && old.magic != new.magic);
        assert_eq!(device.pushed(&old.token.0, &old.magic), None);
        assert_eq!(device.pushed(&new.token.0, &new.magic), Some(Channel::User));
        assert!(device.renew_token(Channel::Device).is_err());
        assert_eq!(device.standing(), Standing::ThrownOut(401));
        assert_eq!(statuses(&server), ["TokenUpdate", "TokenUpdate"]);
    }

    #[test]
    fn a_broken_save_is_an_error() {
        let server = Script::start(Vec::new());
        let (device, _) = enrolled(Kind::Ipad, &server);
        assert!(matches!(Device::restore(Arc::clone(&device.world), b"{}"), Err(DeviceError::Saved(_))));
        assert!(Device::restore(Arc::clone(&device.world), &device.save()).is_ok());
    }
}
