//! The doctor: looks at everything that a device, a browser or Apple would meet, and lets a simulated device enrol end to end through the
//! real listeners. Each finding is in plain words with the next step. Called by the API; the world is reached through a port.

use super::actor::{Actor, Permission};
use super::ports::Surroundings;
use super::{Context, Error, auditing};
use serde_json::json;
use std::sync::Arc;

mod looks;
mod rehearsal;
pub mod rounds;

pub(super) use looks::host_and_port;
pub use rehearsal::clean_up;

/// How a phase went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Good,
    /// It works; somebody should know.
    Warning,
    Bad,
    /// It could not be looked at, and `words` says why.
    Skipped,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Bad => "bad",
            Self::Skipped => "skipped",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// `database`, `disk`, `clock`, …; stable.
    pub phase: &'static str,
    pub verdict: Verdict,
    pub words: String,
    /// What to do, where something is to be done.
    pub next: Option<String>,
}

impl Finding {
    fn good(phase: &'static str, words: impl Into<String>) -> Self {
        Self { phase, verdict: Verdict::Good, words: words.into(), next: None }
    }

    fn skipped(phase: &'static str, words: impl Into<String>) -> Self {
        Self { phase, verdict: Verdict::Skipped, words: words.into(), next: None }
    }

    fn warning(phase: &'static str, words: impl Into<String>, next: impl Into<String>) -> Self {
        Self { phase, verdict: Verdict::Warning, words: words.into(), next: Some(next.into()) }
    }

    fn bad(phase: &'static str, words: impl Into<String>, next: impl Into<String>) -> Self {
        Self { phase, verdict: Verdict::Bad, words: words.into(), next: Some(next.into()) }
    }
}

/// One look: at the server itself, and at what is around it where that is known.
type Look = fn(&Context, Option<&dyn Surroundings>) -> Result<Vec<Finding>, Error>;

/// In the order in which one thing needs the other.
const LOOKS: [Look; 11] = [
    looks::database,
    looks::disk,
    looks::clock,
    looks::permissions,
    looks::names,
    looks::ports,
    looks::tls,
    looks::certificates,
    looks::settings,
    looks::push,
    rehearsal::enrol,
];

/// Looks at everything, in the order in which one thing needs the other. Takes seconds; half a minute where Apple cannot be reached.
///
/// # Errors
/// `Denied` for anybody but an owner. What is wrong with the server is a finding, never an error.
pub fn examine(cx: &Context, actor: &Actor) -> Result<Vec<Finding>, Error> {
    actor.require(Permission::Administer)?;
    let world = cx.surroundings();
    let world = world.as_ref().map(|world| &**world as &dyn Surroundings);
    let found: Vec<Finding> = LOOKS.into_iter().flat_map(|look| rounds::one(cx, world, look)).collect();
    conclude(cx, actor, &found)?;
    Ok(found)
}

fn conclude(cx: &Context, actor: &Actor, found: &[Finding]) -> Result<(), Error> {
    let bad: Vec<_> = found.iter().filter(|f| f.verdict == Verdict::Bad).map(|f| f.phase).collect();
    cx.store.write(|tx| auditing::record(tx, actor, "doctor", None, Some(json!({ "bad": bad })), cx.now()))
}

/// The simulated device that is enrolling now: it counts for nothing outside, and is told to nobody.
#[derive(Default)]
pub(super) struct Synthetic {
    /// Its UDID, known before it comes.
    udid: Option<String>,
    device: Option<i64>,
}

impl Context {
    pub fn surroundings(&self) -> Option<Arc<dyn Surroundings>> {
        self.surroundings.read().unwrap_or_else(|p| p.into_inner()).clone()
    }

    /// Set by whoever knows the listeners and may use the network; taken back (`None`) before the end.
    pub fn set_surroundings(&self, world: Option<Arc<dyn Surroundings>>) {
        *self.surroundings.write().unwrap_or_else(|p| p.into_inner()) = world;
    }

    /// A device comes for the first time: whether it is the doctor's.
    pub(super) fn meets_synthetic(&self, udid: Option<&str>, device: i64) -> bool {
        let mut synthetic = self.synthetic.lock().unwrap_or_else(|p| p.into_inner());
        let is_it = udid.is_some() && synthetic.udid.as_deref() == udid;
        if is_it {
            synthetic.device = Some(device);
        }
        is_it
    }

    /// Whether the doctor's device is on its way or here.
    pub(super) fn expects_synthetic(&self) -> bool {
        self.synthetic.lock().unwrap_or_else(|p| p.into_inner()).udid.is_some()
    }

    /// Whether this device is the doctor's.
    pub(super) fn is_synthetic(&self, device: i64) -> bool {
        self.synthetic.lock().unwrap_or_else(|p| p.into_inner()).device == Some(device)
    }

    fn expect_synthetic(&self, udid: Option<String>) {
        *self.synthetic.lock().unwrap_or_else(|p| p.into_inner()) = Synthetic { udid, device: None };
    }
}
