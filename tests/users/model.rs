//! A Mac's daemon and its agents against one database, in every order: a model says after each step what must be so.
//!
//! Short here; `scripts/fuzz model [STEPS] [SEED]` runs it long. A step is one request, or one thing that a person does. The model's
//! device carries out a command once, remembers what it carried out, and complains when it is handed anything that it must not be.

use cordon::base::time::{Clock, ManualClock, Timestamp};
use cordon::pki::SystemRandom;
use cordon::plist::{Dictionary, Value, to_xml};
use cordon::protocol::status::Outcome;
use cordon::protocol::{checkin, report};
use cordon::service::actor::Actor;
use cordon::service::commands::{self, Wish};
use cordon::service::founding::{self, Place};
use cordon::service::identity::Peer;
use cordon::service::{Context, checkin as checking, polling};
use cordon::store::{CertificateRow, NewPushCertificate, Purpose};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

const UDID: &str = "5B6B2D1E-0000-4000-8000-0000000000AA";
const TOPIC: &str = "com.apple.mgmt.External.model";
/// The daemon, and the agents of four people.
const CHANNELS: usize = 5;

/// xorshift64*: the same seed gives the same run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
    }
}

/// What the model knows of one command.
#[derive(Clone, Debug)]
struct Known {
    channel: usize,
    bytes: Option<Vec<u8>>,
    /// What the device answered with a final status, once that was taken.
    answered: Option<&'static str>,
    executions: u32,
    /// Taken back by a person, or swept away by a new enrolment.
    ended: bool,
}

/// One side of the conversation.
#[derive(Clone, Default)]
struct Agent {
    /// The command in hand, to be answered.
    in_hand: Option<String>,
    /// The last answer, to be said again.
    last: Option<(String, &'static str)>,
    waiting_login: bool,
    setting_up: bool,
    /// Handed out in the series under way.
    series: Vec<String>,
}

struct Mac {
    cx: Arc<Context>,
    clock: Arc<ManualClock>,
    peer: Peer,
    commands: Mutex<BTreeMap<String, Known>>,
    _directory: tempfile::TempDir,
}

fn user(channel: usize) -> String {
    format!("0000000{channel}-0000-4000-8000-000000000000")
}

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

impl Mac {
    fn new() -> Self {
        // In memory where that is possible: the model is about order, not about the disk.
        let base = std::path::Path::new("/dev/shm");
        let directory = if base.is_dir() { tempfile::tempdir_in(base) } else { tempfile::tempdir() }.unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_795_000_000)));
        let mut cx =
            founding::open(&Place::in_directory(directory.path()), Arc::clone(&clock) as _, Arc::new(SystemRandom))
                .unwrap();
        cx.asks_at_enrollment = false;
        let fingerprint = [7; 32];
        let now = clock.now();
        cx.store
            .write(|tx| {
                let profile = tx.insert_issued_profile(&super::issued_profile(TOPIC), now)?;
                let new = NewPushCertificate {
                    topic: TOPIC,
                    chain_pem: "",
                    sealed_key: &[],
                    subject: "model",
                    not_before: now,
                    not_after: now.plus(86_400_000),
                    current: true,
                    apple_account: None,
                };
                tx.put_push_certificate(&new, now)?;
                let row = CertificateRow {
                    fingerprint,
                    der: vec![1],
                    serial: String::from("01"),
                    subject: String::from("CN=model"),
                    not_before: now.plus(-1_000),
                    not_after: now.plus(365 * 86_400_000),
                    issued_profile: Some(profile),
                    revoked_at: None,
                };
                tx.insert_certificate(&row, Purpose::Identity, now)
            })
            .map_err(|e: cordon::store::StoreError| e)
            .unwrap();
        let peer = Peer { fingerprint: Some(fingerprint), origin: String::from("model") };
        let mac = Self { cx: Arc::new(cx), clock, peer, commands: Mutex::default(), _directory: directory };
        mac.enrol();
        mac
    }

    fn keys(channel: usize, first: (&str, &str)) -> Dictionary {
        let mut keys = Dictionary::new();
        keys.insert(first.0.to_owned(), text(first.1));
        keys.insert("UDID".to_owned(), text(UDID));
        if channel > 0 {
            keys.insert("UserID".to_owned(), text(&user(channel)));
            keys.insert("UserShortName".to_owned(), text(&format!("user{channel}")));
        }
        keys
    }

    fn check_in(&self, mut keys: Dictionary) -> Outcome {
        keys.insert("Topic".to_owned(), text(TOPIC));
        let message = checkin::parse(&to_xml(&Value::Dictionary(keys))).unwrap();
        checking::receive(&self.cx, &self.peer, &message).unwrap()
    }

    /// Authenticate sweeps every queue of this Mac; then all channels say where to push.
    fn enrol(&self) {
        let mut hello = Self::keys(0, ("MessageType", "Authenticate"));
        for (key, value) in [("ProductName", "Mac14,2"), ("SerialNumber", "C02MODEL"), ("ModelName", "MacBook Air")] {
            hello.insert(key.to_owned(), text(value));
        }
        assert_eq!(self.check_in(hello), Outcome::Empty);
        for known in self.commands.lock().unwrap().values_mut().filter(|k| k.answered.is_none()) {
            known.ended = true;
        }
        for channel in 0..CHANNELS {
            self.token_update(channel);
        }
    }

    fn token_update(&self, channel: usize) {
        let mut update = Self::keys(channel, ("MessageType", "TokenUpdate"));
        update.insert("Token".to_owned(), Value::Data(vec![channel as u8 + 1; 32]));
        update.insert("PushMagic".to_owned(), text(&format!("magic{channel}")));
        assert_eq!(self.check_in(update), Outcome::Empty);
    }

    fn queue(&self, channel: usize) {
        let wish = Wish {
            request_type: String::from("ProfileList"),
            keys: Dictionary::new(),
            user: (channel > 0).then(|| user(channel)),
            uuid: None,
            not_before: None,
            expires_at: None,
            unchecked: false,
        };
        // Known before it can be handed out to another thread.
        let mut commands = self.commands.lock().unwrap();
        match commands::send(&self.cx, &Actor::LocalShell { user: String::from("model") }, UDID, &wish) {
            Ok(view) => {
                let known = Known { channel, bytes: None, answered: None, executions: 0, ended: false };
                commands.insert(view.delivery.command, known);
            }
            Err(full) => assert_eq!(full.public.id(), "queue-full"),
        }
    }

    fn cancel(&self, uuid: &str) {
        let mut commands = self.commands.lock().unwrap();
        let actor = Actor::LocalShell { user: String::from("model") };
        if commands::cancel(&self.cx, &actor, uuid).is_ok() {
            let known = commands.get_mut(uuid).unwrap();
            assert!(known.answered.is_none(), "{uuid} was answered and cannot be cancelled");
            known.ended = true;
        }
    }

    /// One report; what is handed out is looked at, unless the answer is lost on its way.
    fn say(&self, channel: usize, agent: &mut Agent, status: &'static str, uuid: Option<&str>, lost: bool) {
        let mut keys = Self::keys(channel, ("Status", status));
        if let Some(uuid) = uuid {
            keys.insert("CommandUUID".to_owned(), text(uuid));
        }
        if channel > 0 && agent.waiting_login {
            keys.insert("NeedSyncResponse".to_owned(), Value::Boolean(true));
        }
        if channel > 0 && agent.setting_up {
            keys.insert("UserConfiguration".to_owned(), Value::Boolean(true));
        }
        if status == "Idle" {
            agent.series.clear();
        }
        let body = to_xml(&Value::Dictionary(keys));
        let said = report::parse(&body).unwrap();
        let outcome = polling::receive(&self.cx, &self.peer, said, body.len()).unwrap();
        if let (Some(uuid), "Acknowledged" | "Error" | "CommandFormatError") = (uuid, status)
            && let Some(known) = self.commands.lock().unwrap().get_mut(uuid)
            && known.channel == channel
        {
            known.answered.get_or_insert(status);
        }
        agent.in_hand = None;
        let bytes = match outcome {
            Outcome::Plist(bytes) => bytes,
            Outcome::Empty => {
                (agent.waiting_login, agent.setting_up) = (false, false);
                return;
            }
            other => panic!("{channel} said {status}: {other:?}"),
        };
        if lost {
            return;
        }
        let handed = cordon::plist::parse_dict(&bytes).unwrap().string("CommandUUID").unwrap().to_owned();
        let mut commands = self.commands.lock().unwrap();
        let known = commands.get_mut(&handed).unwrap_or_else(|| panic!("{handed} is not known"));
        assert_eq!(known.channel, channel, "{handed} went to another queue");
        assert_eq!(known.answered, None, "{handed} was answered already");
        assert_eq!(*known.bytes.get_or_insert_with(|| bytes.clone()), bytes, "{handed} came with other bytes");
        if agent.waiting_login || agent.setting_up {
            assert!(!agent.series.contains(&handed), "{handed} went out twice in one series");
            agent.series.push(handed.clone());
        }
        agent.in_hand = Some(handed);
    }

    /// The device carries the command in hand out, at most once, and says how that went.
    fn answer(&self, channel: usize, agent: &mut Agent, dice: &mut Dice, lost: bool) {
        let Some(uuid) = agent.in_hand.clone() else { return self.say(channel, agent, "Idle", None, lost) };
        let status = match dice.below(10) {
            _ if agent.setting_up => "NotNow",
            0..=5 => "Acknowledged",
            6 => "Error",
            7 => "CommandFormatError",
            _ => "NotNow",
        };
        if status == "Acknowledged" {
            let mut commands = self.commands.lock().unwrap();
            let known = commands.get_mut(&uuid).unwrap();
            known.executions += 1;
            assert_eq!(known.executions, 1, "{uuid} was carried out twice");
        }
        if status != "NotNow" {
            agent.last = Some((uuid.clone(), status));
        }
        self.say(channel, agent, status, Some(&uuid), lost);
    }

    /// One step of one side.
    fn step(&self, channel: usize, agent: &mut Agent, dice: &mut Dice) {
        match dice.below(100) {
            0..=17 => self.queue(channel),
            18..=57 => self.answer(channel, agent, dice, false),
            // The answer is lost: the command that was in it comes again.
            58..=63 => self.answer(channel, agent, dice, true),
            64..=69 => self.say(channel, agent, "Idle", None, false),
            70..=74 => {
                // The same result twice, as after a broken line.
                if let Some((uuid, status)) = agent.last.clone() {
                    self.say(channel, agent, status, Some(&uuid), false);
                }
            }
            75..=79 if channel > 0 => {
                agent.waiting_login = true;
                agent.setting_up = false;
                self.say(channel, agent, "Idle", None, false);
            }
            80..=82 if channel > 0 => {
                agent.setting_up = true;
                agent.waiting_login = false;
                self.say(channel, agent, "Idle", None, false);
            }
            83..=86 => {
                // Somebody else's command: it settles nothing there.
                let foreign = self
                    .commands
                    .lock()
                    .unwrap()
                    .iter()
                    .rev()
                    .find(|(_, k)| k.channel != channel)
                    .map(|(u, _)| u.clone());
                if let Some(uuid) = foreign {
                    self.say(channel, agent, "Acknowledged", Some(&uuid), false);
                }
            }
            87..=90 => {
                let mine = |(_, k): &(&String, &Known)| k.channel == channel && k.answered.is_none() && !k.ended;
                let waiting = self.commands.lock().unwrap().iter().find(mine).map(|(u, _)| u.clone());
                if let Some(uuid) = waiting {
                    self.cancel(&uuid);
                }
            }
            91..=93 => self.token_update(channel),
            _ => self.clock.advance(dice.below(500) as i64),
        }
    }

    /// Every queue is emptied by ordinary polls; what was queued and not taken back has been answered, everywhere the same.
    fn settle_all(&self, agents: &mut [Agent]) {
        for (channel, agent) in agents.iter_mut().enumerate() {
            *agent = Agent { last: agent.last.take(), ..Agent::default() };
            self.say(channel, agent, "Idle", None, false);
            let mut rounds = 0;
            while let Some(uuid) = agent.in_hand.clone() {
                if let Some(known) = self.commands.lock().unwrap().get_mut(&uuid) {
                    known.executions += 1;
                    assert_eq!(known.executions, 1, "{uuid} was carried out twice");
                }
                self.say(channel, agent, "Acknowledged", Some(&uuid), false);
                rounds += 1;
                assert!(rounds < 5_000, "the queue of {channel} does not end");
            }
        }
        let actor = Actor::LocalShell { user: String::from("model") };
        for (uuid, known) in self.commands.lock().unwrap().iter() {
            let state = commands::show(&self.cx, &actor, uuid).unwrap().delivery.state;
            assert!(state.is_finished(), "{uuid} is lost in {state}");
            match known.answered {
                // Whoever took it back and whoever answered may have met: either is the truth, but only one.
                Some(status) if !known.ended => assert_eq!(state.as_str(), status, "{uuid}"),
                Some(_) => {}
                None => assert!(known.ended, "{uuid} is {state}, and nobody answered it"),
            }
        }
    }
}

/// All sides in one thread, the next one chosen by the dice.
fn interleaved(steps: u64, seed: u64) {
    let mac = Mac::new();
    let mut dice = Dice(seed | 1);
    let mut agents = vec![Agent::default(); CHANNELS];
    for step in 1..=steps {
        let channel = dice.below(CHANNELS as u64) as usize;
        mac.step(channel, &mut agents[channel], &mut dice);
        if dice.below(2_000) == 0 {
            // A new enrolment: what was in anybody's hand is answered late, or never.
            mac.enrol();
        }
        if step % 5_000 == 0 {
            mac.settle_all(&mut agents);
            mac.commands.lock().unwrap().clear();
            eprintln!("{step} steps of seed {seed}");
        }
    }
    mac.settle_all(&mut agents);
}

/// Each side in a thread of its own, as on a real Mac.
fn at_once(steps: u64, seed: u64) {
    let mac = Mac::new();
    let mut agents = vec![Agent::default(); CHANNELS];
    let rounds = steps.div_ceil(5_000).max(1);
    for round in 0..rounds {
        std::thread::scope(|scope| {
            for (channel, agent) in agents.iter_mut().enumerate() {
                let mac = &mac;
                scope.spawn(move || {
                    let mut dice = Dice((seed + round * 97 + channel as u64 * 7919) | 1);
                    for _ in 0..steps / rounds / CHANNELS as u64 {
                        mac.step(channel, agent, &mut dice);
                    }
                });
            }
        });
        mac.settle_all(&mut agents);
        mac.commands.lock().unwrap().clear();
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn daemon_and_agents_in_any_order() {
    let seed = number("CORDON_MODEL_SEED", 20_261_122);
    interleaved(number("CORDON_MODEL_STEPS", 1_500), seed);
}

#[test]
fn daemon_and_agents_at_the_same_time() {
    let seed = number("CORDON_MODEL_SEED", 20_261_122);
    at_once(number("CORDON_MODEL_STEPS", 1_500), seed);
}

#[test]
fn a_slow_agent_blocks_nobody() {
    let mac = Mac::new();
    let mut agents: HashMap<usize, Agent> = (0..CHANNELS).map(|n| (n, Agent::default())).collect();
    (0..CHANNELS).for_each(|channel| mac.queue(channel));
    // Each takes its command and keeps it in hand; the others are served all the same.
    for channel in 0..CHANNELS {
        let agent = agents.get_mut(&channel).unwrap();
        agent.waiting_login = channel > 0;
        mac.say(channel, agent, "Idle", None, false);
        assert!(agent.in_hand.is_some(), "{channel}");
    }
    for channel in (0..CHANNELS).rev() {
        let agent = agents.get_mut(&channel).unwrap();
        let uuid = agent.in_hand.clone().unwrap();
        mac.say(channel, agent, "Acknowledged", Some(&uuid), false);
        assert!(agent.in_hand.is_none());
    }
}
