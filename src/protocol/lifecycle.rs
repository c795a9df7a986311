//! The life of an enrollment, decided purely: what is known, what arrives, what follows. Called by `service::checkin` and
//! `service::commands`, which turn the effects into rows of one transaction.
//!
//! Deliberately not here: whether a certificate is ours, in date and not revoked (`pki` and the service look before they ask),
//! and whether policy lets a new device in. Everything unknown or mismatched is refused with 400; only a device that a person
//! blocked, and that proves to be itself, is told to un-enrol.

use std::fmt;
use std::str::FromStr;

/// Where an enrollment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Authenticate arrived; the rest of the profile may still fail and roll back. Not to be pushed.
    Started,
    /// TokenUpdate arrived: it can be pushed.
    Active,
    /// It checked out.
    Gone,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Started => "Started",
            State::Active => "Active",
            State::Gone => "Gone",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no [`State`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a state of an enrollment")]
pub struct UnknownState;

impl FromStr for State {
    type Err = UnknownState;
    fn from_str(text: &str) -> Result<Self, UnknownState> {
        [State::Started, State::Active, State::Gone]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(UnknownState)
    }
}

/// What the store knows of the device's own enrollment, also when one of its users speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    pub state: State,
    /// Counts enrolments, from 1.
    pub generation: i64,
    /// We sent a replacement of the MDM profile that is not answered yet, and the certificate shown is either the bound one or
    /// was issued to that replacement's own challenge. A certificate from elsewhere means a fresh enrolment: say `false`.
    pub renewal_in_progress: bool,
    /// A person decided that this device must leave.
    pub blocked: bool,
    /// A person ended this enrolment, and it is over: whoever still holds its identity is told to un-enrol. A fresh enrolment is not.
    pub dismissed: bool,
    /// It left by itself, and a person (or the school's policy) decided that it may come back as it is.
    pub welcome_back: bool,
}

/// How the certificate shown stands to the device named in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindingFact {
    /// Bound, and proven by a TokenUpdate.
    Current,
    /// Seen at Authenticate; TokenUpdate still to come. The current one stays valid until then, as the device may roll back.
    Pending,
    /// Was bound to this device once, and followed by another. During the grace after a renewal, say `Current` instead.
    Retired,
    /// Bound to nobody yet.
    Unbound,
    /// Bound to another device: a copied key, or a lie.
    BoundToOther,
    /// Set aside by a person or by a rule.
    Quarantined,
    /// Bound and current, but expired not long ago: it may fetch its renewal.
    Lapsed,
    /// Was bound to this device, and revoked only because the device left or got another one. The restore of a backup brings it back.
    Withdrawn,
}

/// Which channel speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    Device,
    /// `known`: this user's channel has a row already.
    User {
        known: bool,
    },
    /// A user of a Shared iPad whom the school does not manage.
    Guest,
}

/// What arrived, with what of it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Authenticate,
    TokenUpdate {
        has_unlock_token: bool,
    },
    CheckOut,
    UserAuthenticate,
    /// `has_token` false means: forget the stored one.
    SetBootstrapToken {
        has_token: bool,
    },
    GetBootstrapToken,
    GetToken,
    DeclarativeManagement,
    /// A report at the command URL, idle or with a result.
    Poll,
}

/// The answer, before it has bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// 200, zero bytes.
    Accept,
    /// Settle the report, then hand out the next command of this channel.
    Serve,
    /// Settle the report, then hand out the renewal of the identity and nothing else.
    ServeRenewal,
    /// 200 with the stored bootstrap token, or without one.
    GiveBootstrapToken,
    /// A network user logs in: `network_user` decides, by what the school knows.
    AuthenticateUser,
    /// 410: this user is not managed in this session; asked again at the next login.
    DeclineUser,
    /// 400. The text is for the log and the timeline.
    Refuse(&'static str),
    /// 400, or by the school's policy 401 or 403: nobody here knows this device.
    RefuseStranger(&'static str),
    /// 401 or 403: the device takes its MDM profile off.
    Unenroll,
}

/// A change that must be on disk before the answer leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Create the device's enrollment or raise its generation to this number.
    StartGeneration(i64),
    /// State Started. Not in a renewal of ours: if it fails, the device goes on with what it had.
    MarkStarted,
    /// Unfinished deliveries of the device and of every user under it become Cleared.
    ClearQueue,
    /// The renewal was ours: unfinished deliveries move to the new generation, the InstallProfile that caused it among them.
    KeepQueue,
    /// Forget the push targets of the device and of every user under it.
    DisablePush,
    /// Topic, token and magic of the channel that speaks; ends push-dead.
    StoreTarget,
    /// State Active, of the channel that speaks. `first`: it was not before (a new, renewed or restored enrolment).
    MarkActive {
        first: bool,
    },
    /// Bind the certificate shown to the device, pending.
    BindPending,
    /// The certificate shown becomes the current one.
    PromoteBinding,
    /// The device's other certificates are retired.
    RetireOthers,
    /// State Gone, of the device and of every user under it. Queue, history and bindings stay.
    MarkGone,
    StoreBootstrapToken,
    ForgetBootstrapToken,
    StoreUnlockToken,
    /// Record the user's channel under its device.
    CreateUserChannel,
    /// Push this channel if a delivery waits: only now can it be reached.
    Greet,
    /// It came back out of Gone as a person decided; the decision is used up.
    TakeBack,
    /// A person must decide: see [`Alert`].
    Raise(Alert),
}

/// What a person must decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alert {
    /// A device that had left is back, as after a restore: take it back, or let it go.
    CameBack,
    /// One identity, two devices: a copied disk or a stolen key. The identity is set aside at once.
    Clone,
    /// A device of ours shows an identity of ours that is not its own yet, or no longer.
    OtherIdentity,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub outcome: Decision,
    pub effects: Vec<Effect>,
}

impl Step {
    fn new(outcome: Decision, effects: impl Into<Vec<Effect>>) -> Self {
        Self { outcome, effects: effects.into() }
    }

    fn refuse(why: &'static str) -> Self {
        Self::new(Decision::Refuse(why), [])
    }

    fn raise(why: &'static str, alert: Alert) -> Self {
        Self::new(Decision::Refuse(why), [Effect::Raise(alert)])
    }
}

/// Decides one message. `known` is the record of the *device's* enrollment; `binding` relates the certificate shown to that device.
pub fn next(known: Option<&Known>, speaker: Speaker, event: Event, binding: BindingFact) -> Step {
    if let Some(why) = wrong_channel(speaker, event) {
        return Step::refuse(why);
    }
    let own = matches!(
        binding,
        BindingFact::Current
            | BindingFact::Pending
            | BindingFact::Retired
            | BindingFact::Lapsed
            | BindingFact::Withdrawn
    );
    match known {
        // Only whoever proves to be the device: a stranger who names a blocked one learns and causes nothing.
        Some(known) if known.blocked && (own || (event == Event::Authenticate && binding == BindingFact::Unbound)) => {
            return blocked(event);
        }
        Some(known) if known.dismissed && own => return Step::new(Decision::Unenroll, []),
        Some(known) if known.state == State::Gone && own && event != Event::Authenticate => {
            return came_back(known, speaker, event, binding);
        }
        _ => {}
    }
    if let Some(refused) = wrong_certificate(known, speaker, event, binding) {
        return refused;
    }
    match known {
        Some(known) => known_device(known, speaker, event, binding),
        None if event == Event::Authenticate => {
            Step::new(Decision::Accept, [Effect::StartGeneration(1), Effect::MarkStarted, Effect::BindPending])
        }
        None => Step::new(Decision::RefuseStranger("this device never sent Authenticate"), []),
    }
}

/// Out of Gone there is one way back without enrolling anew: the TokenUpdate that follows the restore of a backup.
fn came_back(known: &Known, speaker: Speaker, event: Event, binding: BindingFact) -> Step {
    match event {
        Event::CheckOut if binding != BindingFact::Lapsed => {
            Step::new(Decision::Accept, [Effect::MarkGone, Effect::DisablePush])
        }
        Event::TokenUpdate { has_unlock_token }
            if speaker == Speaker::Device && known.welcome_back && binding != BindingFact::Lapsed =>
        {
            let mut effects = vec![Effect::StoreTarget, Effect::PromoteBinding, Effect::RetireOthers, Effect::TakeBack];
            if has_unlock_token {
                effects.push(Effect::StoreUnlockToken);
            }
            effects.extend([Effect::MarkActive { first: true }, Effect::Greet]);
            Step::new(Decision::Accept, effects)
        }
        _ if known.welcome_back => Step::refuse("this device checked out; its TokenUpdate is awaited"),
        _ => Step::raise("this device checked out", Alert::CameBack),
    }
}

fn wrong_channel(speaker: Speaker, event: Event) -> Option<&'static str> {
    let user = speaker != Speaker::Device;
    match event {
        Event::Authenticate if user => Some("Authenticate on a user channel"),
        Event::CheckOut if user => Some("CheckOut on a user channel"),
        Event::SetBootstrapToken { .. } | Event::GetBootstrapToken if user => {
            Some("a bootstrap token on a user channel")
        }
        Event::UserAuthenticate if !user => Some("UserAuthenticate on the device channel"),
        _ => None,
    }
}

/// Authenticate may come with a new certificate; everything else needs one that is bound. A TokenUpdate under a retired one is
/// the restore of an older backup to the same device: its old identity came back with it.
fn wrong_certificate(known: Option<&Known>, speaker: Speaker, event: Event, binding: BindingFact) -> Option<Step> {
    match (binding, event, speaker) {
        (BindingFact::BoundToOther, ..) => Some(Step::raise("the certificate belongs to another device", Alert::Clone)),
        (BindingFact::Quarantined, ..) => Some(Step::refuse("the certificate is in quarantine")),
        (BindingFact::Lapsed, Event::Poll, Speaker::Device) => None,
        (BindingFact::Lapsed, ..) => Some(Step::refuse("the client certificate has expired")),
        (BindingFact::Retired | BindingFact::Withdrawn, Event::TokenUpdate { .. }, Speaker::Device) => None,
        (BindingFact::Withdrawn, ..) => {
            Some(Step::raise("the certificate was replaced and revoked", Alert::OtherIdentity))
        }
        (BindingFact::Current | BindingFact::Pending, ..) | (_, Event::Authenticate, _) => None,
        (BindingFact::Retired, ..) => Some(Step::raise("the certificate was replaced", Alert::OtherIdentity)),
        (BindingFact::Unbound, ..) if known.is_some() => {
            Some(Step::raise("the certificate is not bound to this device", Alert::OtherIdentity))
        }
        (BindingFact::Unbound, ..) => None,
    }
}

fn blocked(event: Event) -> Step {
    match event {
        Event::CheckOut => Step::new(Decision::Unenroll, [Effect::MarkGone, Effect::DisablePush]),
        _ => Step::new(Decision::Unenroll, []),
    }
}

fn known_device(known: &Known, speaker: Speaker, event: Event, binding: BindingFact) -> Step {
    match (event, speaker) {
        (Event::Authenticate, _) => authenticate(known, binding),
        (Event::TokenUpdate { has_unlock_token }, Speaker::Device) => token_update(known, has_unlock_token, binding),
        (Event::CheckOut, _) => Step::new(Decision::Accept, [Effect::MarkGone, Effect::DisablePush]),
        (Event::TokenUpdate { .. }, Speaker::User { known }) => user_token_update(known),
        (Event::TokenUpdate { .. }, Speaker::Guest) => Step::new(Decision::DeclineUser, []),
        (Event::Poll, Speaker::Guest) => Step::new(Decision::Accept, []),
        (Event::UserAuthenticate, _) => Step::new(Decision::AuthenticateUser, []),
        (Event::SetBootstrapToken { has_token: true }, _) => Step::new(Decision::Accept, [Effect::StoreBootstrapToken]),
        (Event::SetBootstrapToken { has_token: false }, _) => {
            Step::new(Decision::Accept, [Effect::ForgetBootstrapToken])
        }
        (Event::GetBootstrapToken, _) => Step::new(Decision::GiveBootstrapToken, []),
        (Event::GetToken, _) => Step::refuse("no token service is offered"),
        (Event::DeclarativeManagement, _) => Step::refuse("declarative management is off"),
        (Event::Poll, _) if binding == BindingFact::Lapsed => Step::new(Decision::ServeRenewal, []),
        (Event::Poll, Speaker::User { known: false }) => Step::new(Decision::Serve, [Effect::CreateUserChannel]),
        (Event::Poll, _) => Step::new(Decision::Serve, []),
    }
}

/// An enrolment begins again: by a person, after an erase, or because we sent a replacement profile.
fn authenticate(known: &Known, binding: BindingFact) -> Step {
    let mut effects = vec![Effect::StartGeneration(known.generation.saturating_add(1))];
    if known.renewal_in_progress && known.state == State::Active {
        effects.push(Effect::KeepQueue);
    } else {
        effects.extend([Effect::MarkStarted, Effect::DisablePush, Effect::ClearQueue, Effect::ForgetBootstrapToken]);
    }
    // An embedded PKCS#12 comes back with the certificate that is bound already.
    if matches!(binding, BindingFact::Unbound | BindingFact::Retired) {
        effects.push(Effect::BindPending);
    }
    Step::new(Decision::Accept, effects)
}

/// The device can be reached. Without an Authenticate before it, it is the restore of a backup to the same device.
fn token_update(known: &Known, has_unlock_token: bool, binding: BindingFact) -> Step {
    let mut effects = vec![Effect::StoreTarget];
    if binding != BindingFact::Current {
        effects.extend([Effect::PromoteBinding, Effect::RetireOthers]);
    }
    if has_unlock_token {
        effects.push(Effect::StoreUnlockToken);
    }
    let first = known.state != State::Active || binding != BindingFact::Current;
    effects.extend([Effect::MarkActive { first }, Effect::Greet]);
    Step::new(Decision::Accept, effects)
}

fn user_token_update(known: bool) -> Step {
    let mut effects = Vec::with_capacity(4);
    if !known {
        effects.push(Effect::CreateUserChannel);
    }
    effects.extend([Effect::StoreTarget, Effect::MarkActive { first: !known }, Effect::Greet]);
    Step::new(Decision::Accept, effects)
}

#[cfg(test)]
mod tests;
