//! The gate of a pair, purely: a restriction stands on a channel, the device is asked until it complies, and only then may the capability
//! follow. Called by `service::gates`, which looks the facts up, asks, and remembers.
//!
//! Nothing is believed that was asked before the restriction stood, and without the restriction every gate is shut. Silence and refusals
//! change nothing: what was open stays open, what was shut stays shut, until the device says something.

use crate::base::time::{DAY, HOUR, MINUTE, Timestamp};
use crate::plist::{Dictionary, Value};
use std::fmt;
use std::str::FromStr;

/// Apple's grace for a passcode that a new policy finds too weak; afterwards nothing on the device can be opened until it is changed.
pub const GRACE: i64 = 60 * MINUTE;
/// Within the first hour the device is asked again this long after the restriction stood (or the lapse), then ever more seldom. Each
/// question waits for the answer to the one before, so a device that sleeps is called once and not again.
const FIRST: [i64; 5] = [5 * MINUTE, 15 * MINUTE, 30 * MINUTE, 45 * MINUTE, 61 * MINUTE];
/// Until when, and how often: somebody stands before a device that opens nothing.
const LATER: [(i64, i64); 2] = [(4 * HOUR, 15 * MINUTE), (DAY, HOUR)];
/// How long after a refused question it is put again, by the number of refusals in a row.
const AFTER_REFUSAL: [i64; 3] = [15 * MINUTE, 2 * HOUR, DAY];

/// What a device has to say before the capability follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// `SecurityInfo`: the passcode complies with every policy that profiles brought.
    Passcode,
    /// Nothing: it is enough that the restriction stands.
    Installed,
    /// A fact of `SecurityInfo` or `DeviceInformation` with this value.
    Says { query: Query, key: String, value: String },
}

/// Questions that a condition may be about; both only look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Query {
    SecurityInfo,
    DeviceInformation,
}

impl Query {
    pub const ALL: [Query; 2] = [Query::SecurityInfo, Query::DeviceInformation];

    /// The RequestType.
    pub fn as_str(self) -> &'static str {
        match self {
            Query::SecurityInfo => "SecurityInfo",
            Query::DeviceInformation => "DeviceInformation",
        }
    }

    /// Apple's right that an enrolment must grant for an answer.
    pub fn right(self) -> u32 {
        match self {
            Query::SecurityInfo => 1024,
            Query::DeviceInformation => 16,
        }
    }

    /// Where the answer has its facts.
    fn facts(self) -> &'static str {
        match self {
            Query::SecurityInfo => "SecurityInfo",
            Query::DeviceInformation => "QueryResponses",
        }
    }
}

/// What a device said about the condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Complies,
    /// It does not (yet).
    Fails,
    /// It answered, and said nothing about this.
    Silent,
    /// It answered with an error, or its enrolment does not let us ask.
    Refused,
}

impl Condition {
    /// The question to ask; `None` where nothing needs to be asked.
    pub fn query(&self) -> Option<Query> {
        match self {
            Condition::Passcode => Some(Query::SecurityInfo),
            Condition::Installed => None,
            Condition::Says { query, .. } => Some(*query),
        }
    }

    /// The key to ask for, where a question names its keys.
    pub fn key(&self) -> Option<&str> {
        match self {
            Condition::Says { key, .. } => Some(key),
            _ => None,
        }
    }

    /// What an acknowledged answer to [`Condition::query`] says about it.
    pub fn judge(&self, keys: &Dictionary) -> Answer {
        let facts = self.query().and_then(|query| keys.get(query.facts())).and_then(Value::as_dictionary);
        let Some(facts) = facts else { return Answer::Silent };
        let fact = match self {
            // Where the narrower fact is not told (user enrolment), the wider one covers it: it counts profiles too.
            Condition::Passcode => {
                facts.get("PasscodeCompliantWithProfiles").or_else(|| facts.get("PasscodeCompliant")).map(words)
            }
            Condition::Installed => None,
            Condition::Says { key, .. } => {
                let mut parts = key.split('.');
                let first = parts.next().and_then(|part| facts.get(part));
                parts.fold(first, |at, part| at?.as_dictionary()?.get(part)).map(words)
            }
        };
        let wanted = match self {
            Condition::Says { value, .. } => value.as_str(),
            _ => "true",
        };
        match fact.flatten() {
            None => Answer::Silent,
            Some(said) if said == wanted => Answer::Complies,
            Some(_) => Answer::Fails,
        }
    }
}

/// A plain value as people write it.
fn words(value: &Value) -> Option<String> {
    match value {
        Value::Boolean(b) => Some(b.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Integer(n) => Some(n.to_string()),
        Value::Real(n) => Some(n.to_string()),
        _ => None,
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Passcode => f.write_str("passcode"),
            Condition::Installed => f.write_str("installed"),
            Condition::Says { query, key, value } => write!(f, "{}.{key}={value}", query.as_str()),
        }
    }
}

impl FromStr for Condition {
    type Err = &'static str;

    /// `passcode`, `installed`, or a fact such as `SecurityInfo.FDE_Enabled=true`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const HOW: &str = "is `passcode`, `installed`, or a fact such as `SecurityInfo.FDE_Enabled=true`";
        match text {
            "passcode" => return Ok(Condition::Passcode),
            "installed" => return Ok(Condition::Installed),
            _ => {}
        }
        let (path, value) = text.split_once('=').ok_or(HOW)?;
        let (query, key) = path.split_once('.').ok_or(HOW)?;
        let query = Query::ALL.into_iter().find(|q| q.as_str() == query).ok_or(HOW)?;
        let plain = |text: &str| !text.is_empty() && text.len() <= 128 && !text.chars().any(char::is_control);
        let is_key = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !plain(value) || !plain(key) || !key.split('.').all(is_key) {
            return Err(HOW);
        }
        Ok(Condition::Says { query, key: key.to_owned(), value: value.to_owned() })
    }
}

/// What becomes of the capability when a device that complied says that it does not any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLapse {
    /// It goes at once.
    Withdraw,
    /// It goes when the lapse has lasted for as long as Apple's grace.
    AfterGrace,
    /// It stays as long as the restriction does.
    Keep,
}

impl OnLapse {
    pub const ALL: [OnLapse; 3] = [OnLapse::Withdraw, OnLapse::AfterGrace, OnLapse::Keep];

    pub fn as_str(self) -> &'static str {
        match self {
            OnLapse::Withdraw => "withdraw",
            OnLapse::AfterGrace => "after-grace",
            OnLapse::Keep => "keep",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == text)
    }
}

/// What a pair wants of its gates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub condition: Condition,
    pub on_lapse: OnLapse,
    /// How often an open gate is looked after by a question of its own, ms; `None` where others ask the same often enough.
    pub watch: Option<i64>,
}

/// How far a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The restriction does not stand (any more).
    Waiting,
    /// It stands; the device may take its time ([`GRACE`]) until it complies.
    Grace,
    /// It stands, and the device does not comply.
    Unmet,
    /// The device complies.
    Open,
    /// It complied once, and says that it does not any more.
    Lapsed,
}

impl Phase {
    pub const ALL: [Phase; 5] = [Phase::Waiting, Phase::Grace, Phase::Unmet, Phase::Open, Phase::Lapsed];

    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Waiting => "waiting",
            Phase::Grace => "grace",
            Phase::Unmet => "unmet",
            Phase::Open => "open",
            Phase::Lapsed => "lapsed",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == text)
    }
}

/// One gate on one channel. `E` is the edition of the restriction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate<E> {
    pub phase: Phase,
    /// Since when it is in this phase.
    pub since: Timestamp,
    /// The edition of the restriction that stands, and since when that is known.
    pub restriction: Option<(E, Timestamp)>,
    /// When the device was last asked by this gate.
    pub asked_at: Option<Timestamp>,
    /// The last answer that counted, and when it came.
    pub answer: Option<(Answer, Timestamp)>,
    /// Refused questions in a row.
    pub refusals: u32,
}

impl<E: Copy + Eq> Gate<E> {
    /// A gate nobody has come to yet.
    pub fn new(now: Timestamp) -> Self {
        Gate { phase: Phase::Waiting, since: now, restriction: None, asked_at: None, answer: None, refusals: 0 }
    }

    fn enter(&mut self, phase: Phase, at: Timestamp) {
        if self.phase != phase {
            (self.phase, self.since) = (phase, at);
        }
    }

    /// The gate as it is now, with the restriction in this edition on the channel, or without it.
    #[must_use]
    pub fn look(mut self, policy: &Policy, restriction: Option<E>, now: Timestamp) -> Self {
        match (self.restriction, restriction) {
            (_, None) => {
                (self.restriction, self.asked_at, self.answer, self.refusals) = (None, None, None, 0);
                self.enter(Phase::Waiting, now);
            }
            (Some((known, _)), Some(stands)) if known == stands => {}
            (_, Some(stands)) => {
                (self.restriction, self.asked_at, self.refusals) = (Some((stands, now)), None, 0);
                if matches!(self.phase, Phase::Waiting | Phase::Grace | Phase::Unmet) {
                    // A new edition may ask for more: the device has its time again.
                    (self.phase, self.since, self.answer) = (self.first_phase(policy), now, None);
                }
            }
        }
        if policy.condition == Condition::Installed && self.restriction.is_some() {
            self.enter(Phase::Open, now);
        }
        if let Some(ends) = self.grace_ends().filter(|ends| *ends <= now) {
            self.enter(Phase::Unmet, ends);
        }
        self
    }

    fn first_phase(&self, policy: &Policy) -> Phase {
        match policy.condition {
            Condition::Passcode => Phase::Grace,
            Condition::Installed => Phase::Open,
            Condition::Says { .. } => Phase::Unmet,
        }
    }

    /// When the time that the device may take is over.
    pub fn grace_ends(&self) -> Option<Timestamp> {
        (self.phase == Phase::Grace).then(|| self.since.plus(GRACE))
    }

    /// The gate after an answer to a question that was put at `asked_at`; `None` for an answer that does not count, because the
    /// restriction did not stand then.
    #[must_use]
    pub fn hear(mut self, answer: Answer, asked_at: Timestamp, now: Timestamp) -> Option<Self> {
        self.restriction.filter(|(_, since)| asked_at >= *since)?;
        self.refusals = if answer == Answer::Refused { self.refusals.saturating_add(1) } else { 0 };
        self.answer = Some((answer, now));
        match (answer, self.phase) {
            (Answer::Complies, _) => self.enter(Phase::Open, now),
            (Answer::Fails, Phase::Open) => self.enter(Phase::Lapsed, now),
            _ => {}
        }
        Some(self)
    }

    /// Whether the capability may stand on the channel.
    pub fn releases(&self, policy: &Policy, now: Timestamp) -> bool {
        match self.phase {
            Phase::Open => true,
            Phase::Lapsed => match policy.on_lapse {
                OnLapse::Withdraw => false,
                OnLapse::AfterGrace => self.since.plus(GRACE) > now,
                OnLapse::Keep => true,
            },
            Phase::Waiting | Phase::Grace | Phase::Unmet => false,
        }
    }

    /// When the device is to be asked (again); `None` when nobody needs to. A time that has passed means now.
    pub fn ask_at(&self, policy: &Policy) -> Option<Timestamp> {
        policy.condition.query()?;
        let (_, stands_since) = self.restriction?;
        let Some(asked) = self.asked_at else { return Some(stands_since) };
        if self.refusals > 0 {
            let at = usize::try_from(self.refusals - 1).unwrap_or(usize::MAX).min(AFTER_REFUSAL.len() - 1);
            return Some(asked.plus(AFTER_REFUSAL[at]));
        }
        match self.phase {
            Phase::Waiting => None,
            Phase::Open => policy.watch.map(|every| asked.plus(every)),
            Phase::Grace | Phase::Unmet => Some(next_after(stands_since, asked)),
            Phase::Lapsed => Some(next_after(self.since, asked)),
        }
    }

    /// When this gate is to be looked at again, whatever happens in between: a question, the end of the grace, the end of a lapse's time.
    pub fn due_at(&self, policy: &Policy, now: Timestamp) -> Option<Timestamp> {
        let lapse_ends = (self.phase == Phase::Lapsed && policy.on_lapse == OnLapse::AfterGrace)
            .then(|| self.since.plus(GRACE))
            .filter(|ends| *ends > now);
        [self.ask_at(policy), self.grace_ends(), lapse_ends].into_iter().flatten().min()
    }
}

/// The first time of the plan that began at `begun` after `asked`.
fn next_after(begun: Timestamp, asked: Timestamp) -> Timestamp {
    if let Some(at) = FIRST.iter().map(|wait| begun.plus(*wait)).find(|at| *at > asked) {
        return at;
    }
    let every = LATER.iter().find(|(until, _)| asked.since(begun) < *until).map_or(DAY, |(_, every)| *every);
    asked.plus(every)
}

#[cfg(test)]
mod tests;
