//! All that a simulated device remembers, as one plain struct: saved as JSON and restored, so that a server can be killed and the
//! classroom carries on. Also its log, from which tests and the demo tell what happened.
//!
//! Called by `device`, `session` and `answers`; has no network and decides nothing about the protocol.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::filevault::FileVault;
use super::locks::Locks;
use super::spec::{Person, Spec, derive, derived_uuid};
use crate::base::time::Timestamp;

/// Log entries that are kept; older ones are dropped, counters and faults stay.
const MAX_LOG: usize = 2_000;
/// Answers kept for a command that is delivered again after it was done.
const MAX_ANSWERS_KEPT: usize = 8;

/// Bytes that are base64 in JSON and only a length in debug output: some of them are private keys.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Blob(pub Vec<u8>);

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map(Blob).map_err(de::Error::custom)
    }
}

/// Who speaks: the device itself, the person who installed the profile on a Mac, or a further user by number (`State::agents`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Channel {
    Device,
    User,
    Agent(usize),
}

/// What kind of account a further user has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Account {
    /// A network user of a Mac, who types this password at login.
    Network { password: String },
    /// A Managed Apple Account on a Shared iPad.
    SharedIpad,
}

/// A further user of the device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    pub person: Person,
    pub account: Account,
    pub line: Option<Line>,
    pub logged_in: bool,
    /// The server does not want this user: silent until the next login.
    pub silent: bool,
    /// From UserAuthenticate.
    pub auth_token: Option<String>,
}

/// Why a person waits while a channel talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wait {
    /// A login: `NeedSyncResponse`.
    Login,
    /// Setup Assistant reads password policy: `UserConfiguration`.
    Setup,
}

/// How a device stands with its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Out of the box, or an enrolment that did not go through.
    Unmanaged,
    Enrolled,
    /// The MDM profile was removed by command or by hand.
    Removed,
    Erased,
    /// The server answered 401, or 403 with the code for an unrecognised device. Nearly always a server's mistake.
    ThrownOut(u16),
}

/// The shape of an `Mdm-Signature`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum SignatureShape {
    /// Over the body itself, as old systems do (theirs with SHA-1, which nothing here signs with any more).
    Bare,
    #[default]
    WithAttributes,
}

/// What a device does that a well-mannered one does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Behaviour {
    /// Answers `NotNow` this many times more to a RequestType.
    pub not_now: BTreeMap<String, u32>,
    /// Off the network: a push is kept by Apple until it wakes.
    pub asleep: bool,
    /// Sends every result twice.
    pub duplicates: bool,
    /// Waits this long before every result.
    pub late_millis: u64,
    /// Leaves after sending a result, before reading the answer, this many times more.
    pub leaves_before_answer: u32,
    /// Breaks off in the middle of a result's body, this many times more.
    pub cuts_body: u32,
    pub signature: SignatureShape,
    /// Sends its SCEP request by GET even where POST is offered.
    pub scep_by_get: bool,
    /// After a last `NotNow` it polls by itself after this.
    pub repoll_millis: u64,
    /// A result that did not get through is sent again after this, then after twice this, and so on up to a minute.
    pub retry_millis: u64,
    /// Fails to install this many more replacements of its MDM profile, after Authenticate.
    pub fails_replacement: u32,
    /// Goes back to its old configuration this many times more, after a TokenUpdate that the server took: its answer was lost.
    pub forgets_replacement: u32,
    /// Apps it reports; thousands make a large result.
    pub apps: usize,
    /// Setup Assistant waits for DeviceConfigured after an enrolment.
    pub awaits_configuration: bool,
    /// A Shared iPad whose users wait for UserConfigured.
    pub awaits_user_configuration: bool,
    /// RequestTypes that end in an error.
    pub errors: BTreeSet<String>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            not_now: BTreeMap::new(),
            asleep: false,
            duplicates: false,
            late_millis: 0,
            leaves_before_answer: 0,
            cuts_body: 0,
            signature: SignatureShape::default(),
            scep_by_get: false,
            repoll_millis: 2_000,
            retry_millis: 1_000,
            fails_replacement: 0,
            forgets_replacement: 0,
            apps: 12,
            awaits_configuration: false,
            awaits_user_configuration: false,
            errors: BTreeSet::new(),
        }
    }
}

/// The management relationship: the profile as it came, the key and the certificate it brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub profile: Blob,
    pub key_pkcs8: Blob,
    /// Leaf first.
    pub chain: Vec<Blob>,
}

/// A body on its way to the server, kept until a 2xx.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outgoing {
    pub status: String,
    pub command_uuid: Option<String>,
    pub body: Blob,
}

/// One channel's side of the conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub token: Blob,
    pub magic: String,
    /// A result that the server has not yet taken with a 2xx.
    pub unsent: Option<Outgoing>,
    pub retries: u32,
    /// When the device connects by itself, ms since 1970.
    pub due_at: Option<i64>,
    /// A push came while the device was asleep, or its user away.
    pub push_waits: bool,
    #[serde(default)]
    pub wait: Option<Wait>,
}

/// A profile that management installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    pub channel: Channel,
    pub identifier: String,
    pub profile: Blob,
}

/// What became of one command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executed {
    pub channel: Channel,
    pub command_uuid: String,
    pub request_type: String,
    /// SHA-256 of the command's bytes when it first came.
    pub digest: Blob,
    /// How often the server handed it out.
    pub deliveries: u32,
    pub not_now: u32,
    /// How often it took effect; more than 1 would be a bug of the device.
    pub executions: u32,
    /// The final status, once there is one.
    pub status: Option<String>,
}

/// Something that happened, for assertions and for the demo's story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A check-in message and the status it got.
    CheckIn {
        message: String,
        status: u16,
    },
    Pushed,
    /// The push named a magic that is not ours.
    PushIgnored,
    /// A report (`Idle`, `Acknowledged`, …) and the HTTP status it got.
    Report {
        status: String,
        command_uuid: Option<String>,
        answer: u16,
    },
    Command {
        command_uuid: String,
        request_type: String,
    },
    /// No answer, or none that helps.
    Failed {
        what: String,
    },
    /// It left on purpose before the answer, or in the middle of the body.
    Left,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// ms since 1970.
    pub at: i64,
    pub channel: Channel,
    pub event: Event,
}

/// Everything. See [`super::device::Device::save`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub spec: Spec,
    pub behaviour: Behaviour,
    pub standing: Standing,
    pub held: Option<Held>,
    /// Counts enrolments; each brings new push tokens.
    pub generation: u32,
    pub device: Option<Line>,
    pub user: Option<Line>,
    #[serde(default)]
    pub agents: Vec<Agent>,
    /// Channels where somebody waits for DeviceConfigured or UserConfigured.
    #[serde(default)]
    pub awaiting: Vec<Channel>,
    /// Identifiers of the profiles whose passcode policy Setup Assistant read, in order.
    #[serde(default)]
    pub policies_read: Vec<String>,
    pub unlock_token: Option<Blob>,
    pub passcode: bool,
    pub locked: bool,
    #[serde(default)]
    pub lost_mode: bool,
    #[serde(default)]
    pub filevault: FileVault,
    #[serde(default)]
    pub locks: Locks,
    pub profiles: Vec<Installed>,
    /// Provisioning profiles, as files.
    #[serde(default)]
    pub provisioning: Vec<Blob>,
    /// Copies of removed ones on the computer that this device is synced with.
    #[serde(default)]
    pub synced_provisioning: Vec<Blob>,
    pub executed: Vec<Executed>,
    answers: Vec<(String, Outgoing)>,
    /// What the server did that it must not do.
    pub faults: Vec<String>,
    log: Vec<Entry>,
    /// When the enrolment went through, ms since 1970.
    pub enrolled_at: Option<i64>,
    /// First `Acknowledged` of each RequestType, ms since 1970.
    pub first_acknowledged: BTreeMap<String, i64>,
}

impl State {
    pub fn new(spec: Spec) -> Self {
        Self {
            spec,
            behaviour: Behaviour::default(),
            standing: Standing::Unmanaged,
            held: None,
            generation: 0,
            device: None,
            user: None,
            agents: Vec::new(),
            awaiting: Vec::new(),
            policies_read: Vec::new(),
            unlock_token: None,
            passcode: true,
            locked: false,
            lost_mode: false,
            filevault: FileVault::default(),
            locks: Locks::default(),
            profiles: Vec::new(),
            provisioning: Vec::new(),
            synced_provisioning: Vec::new(),
            executed: Vec::new(),
            answers: Vec::new(),
            faults: Vec::new(),
            log: Vec::new(),
            enrolled_at: None,
            first_acknowledged: BTreeMap::new(),
        }
    }

    /// Every channel that this device can have, its own first.
    pub fn channels(&self) -> Vec<Channel> {
        [Channel::Device, Channel::User].into_iter().chain((0..self.agents.len()).map(Channel::Agent)).collect()
    }

    /// The person who speaks on a channel.
    pub fn person(&self, channel: Channel) -> Option<&Person> {
        match channel {
            Channel::Device => None,
            Channel::User => self.spec.person.as_ref(),
            Channel::Agent(n) => self.agents.get(n).map(|a| &a.person),
        }
    }

    /// Several people share this iPad.
    pub fn is_shared_ipad(&self) -> bool {
        self.agents.iter().any(|a| a.account == Account::SharedIpad)
    }

    /// Whether somebody is there to answer a push on this channel.
    pub fn is_present(&self, channel: Channel) -> bool {
        match channel {
            Channel::Agent(n) => self.agents.get(n).is_some_and(|a| a.logged_in && !a.silent),
            Channel::Device | Channel::User => true,
        }
    }

    pub fn find_line(&self, channel: Channel) -> Option<&Line> {
        match channel {
            Channel::Device => self.device.as_ref(),
            Channel::User => self.user.as_ref(),
            Channel::Agent(n) => self.agents.get(n).and_then(|a| a.line.as_ref()),
        }
    }

    pub fn find_line_mut(&mut self, channel: Channel) -> Option<&mut Line> {
        match channel {
            Channel::Device => self.device.as_mut(),
            Channel::User => self.user.as_mut(),
            Channel::Agent(n) => self.agents.get_mut(n).and_then(|a| a.line.as_mut()),
        }
    }

    /// A fresh token and magic for this channel in the current generation.
    pub fn new_line(&self, channel: Channel) -> Line {
        let label = format!("push {channel:?} {}", self.generation);
        Line {
            token: Blob(derive(self.spec.seed, &label).to_vec()),
            magic: derived_uuid(self.spec.seed, &label),
            unsent: None,
            retries: 0,
            due_at: None,
            push_waits: false,
            wait: None,
        }
    }

    /// The end of management: keys, tokens, profiles and what was to be sent are gone; the log and the faults stay.
    pub fn forget_management(&mut self, standing: Standing) {
        self.standing = standing;
        self.held = None;
        self.device = None;
        self.user = None;
        for agent in &mut self.agents {
            agent.line = None;
            agent.auth_token = None;
            agent.logged_in = false;
        }
        self.awaiting.clear();
        self.unlock_token = None;
        self.profiles.clear();
        self.answers.clear();
        if standing == Standing::Erased {
            self.provisioning.clear();
            self.lost_mode = false;
        }
    }

    pub fn note(&mut self, at: Timestamp, channel: Channel, event: Event) {
        if self.log.len() >= MAX_LOG {
            self.log.drain(..MAX_LOG / 4);
        }
        self.log.push(Entry { at: at.0, channel, event });
    }

    pub fn log(&self) -> &[Entry] {
        &self.log
    }

    pub fn find_executed_mut(&mut self, command_uuid: &str) -> Option<&mut Executed> {
        self.executed.iter_mut().rev().find(|e| e.command_uuid == command_uuid)
    }

    /// Keeps the answer of a finished command, so that a repeated delivery gets the same bytes.
    pub fn keep_answer(&mut self, command_uuid: &str, answer: Outgoing) {
        if self.answers.len() >= MAX_ANSWERS_KEPT {
            self.answers.remove(0);
        }
        self.answers.push((command_uuid.to_owned(), answer));
    }

    pub fn find_answer(&self, command_uuid: &str) -> Option<&Outgoing> {
        self.answers.iter().rev().find(|(uuid, _)| uuid == command_uuid).map(|(_, answer)| answer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::Kind;
    use super::*;

    #[test]
    fn survives_json_whole() {
        let mut state = State::new(Spec::new(Kind::Mac, 4));
        state.device = Some(state.new_line(Channel::Device));
        state.user = Some(state.new_line(Channel::User));
        state.held = Some(Held { profile: Blob(vec![1]), key_pkcs8: Blob(vec![2]), chain: vec![Blob(vec![3])] });
        state.standing = Standing::ThrownOut(401);
        state.note(Timestamp(5), Channel::User, Event::CheckIn { message: "TokenUpdate".into(), status: 200 });
        let json = serde_json::to_vec(&state).unwrap();
        assert_eq!(serde_json::from_slice::<State>(&json).unwrap(), state);
        assert_ne!(state.device.as_ref().unwrap().token, state.user.as_ref().unwrap().token);
    }

    #[test]
    fn the_log_is_bounded() {
        let mut state = State::new(Spec::new(Kind::Ipad, 1));
        for n in 0..10_000 {
            state.note(Timestamp(n), Channel::Device, Event::Pushed);
        }
        assert!(state.log().len() <= MAX_LOG);
        assert_eq!(state.log().last().unwrap().at, 9_999);
    }

    #[test]
    fn a_new_generation_has_new_tokens() {
        let mut state = State::new(Spec::new(Kind::Ipad, 1));
        let old = state.new_line(Channel::Device);
        state.generation += 1;
        let new = state.new_line(Channel::Device);
        assert!(old.token != new.token && old.magic != new.magic);
    }
}
