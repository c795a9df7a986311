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
    let user = matches!(speaker, Speaker::User { .. });
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
mod tests {
    use super::*;
    use BindingFact::*;
    use Decision::{Accept, AuthenticateUser, GiveBootstrapToken, Serve, Unenroll};
    use Effect as F;

    const EVENTS: [Event; 11] = [
        Event::Authenticate,
        Event::TokenUpdate { has_unlock_token: false },
        Event::TokenUpdate { has_unlock_token: true },
        Event::CheckOut,
        Event::UserAuthenticate,
        Event::SetBootstrapToken { has_token: true },
        Event::SetBootstrapToken { has_token: false },
        Event::GetBootstrapToken,
        Event::GetToken,
        Event::DeclarativeManagement,
        Event::Poll,
    ];
    const BINDINGS: [BindingFact; 8] =
        [Current, Pending, Retired, Unbound, BoundToOther, Quarantined, Lapsed, Withdrawn];
    const DEVICE: Speaker = Speaker::Device;
    const USER: Speaker = Speaker::User { known: false };
    const TOKEN: Event = Event::TokenUpdate { has_unlock_token: false };

    fn known(state: State) -> Known {
        Known {
            state,
            generation: 3,
            renewal_in_progress: false,
            blocked: false,
            dismissed: false,
            welcome_back: false,
        }
    }

    /// Every row that is accepted; whatever is not listed here must be a refusal without effects.
    fn accepted(
        known: Option<State>,
        renewal: bool,
        speaker: Speaker,
        event: Event,
        binding: BindingFact,
    ) -> Option<(Decision, Vec<Effect>)> {
        use State::*;
        let fresh = |bind: bool| {
            let mut all =
                vec![F::StartGeneration(4), F::MarkStarted, F::DisablePush, F::ClearQueue, F::ForgetBootstrapToken];
            all.extend(bind.then_some(F::BindPending));
            (Accept, all)
        };
        let renewed = |bind: bool| {
            let mut all = vec![F::StartGeneration(4), F::KeepQueue];
            all.extend(bind.then_some(F::BindPending));
            (Accept, all)
        };
        let target = |promote: bool, unlock: bool, first: bool| {
            let mut all = vec![F::StoreTarget];
            if promote {
                all.extend([F::PromoteBinding, F::RetireOthers]);
            }
            all.extend(unlock.then_some(F::StoreUnlockToken));
            all.extend([F::MarkActive { first }, F::Greet]);
            (Accept, all)
        };
        Some(match (known, speaker, event, binding) {
            (None, DEVICE, Event::Authenticate, Current | Pending | Retired | Unbound) => {
                (Accept, vec![F::StartGeneration(1), F::MarkStarted, F::BindPending])
            }
            (None, ..) => return None,
            (Some(Active), DEVICE, Event::Authenticate, Unbound | Retired) if renewal => renewed(true),
            (Some(Active), DEVICE, Event::Authenticate, Current | Pending) if renewal => renewed(false),
            (Some(_), DEVICE, Event::Authenticate, Unbound | Retired) => fresh(true),
            (Some(_), DEVICE, Event::Authenticate, Current | Pending) => fresh(false),
            (Some(Gone), DEVICE, Event::CheckOut, Current | Pending | Retired | Withdrawn) => {
                (Accept, vec![F::MarkGone, F::DisablePush])
            }
            (Some(Gone), ..) => return None,
            (Some(state), DEVICE, Event::TokenUpdate { has_unlock_token }, Current) => {
                target(false, has_unlock_token, state != Active)
            }
            (Some(_), DEVICE, Event::TokenUpdate { has_unlock_token }, Pending | Retired | Withdrawn) => {
                target(true, has_unlock_token, true)
            }
            (Some(_), DEVICE, Event::CheckOut, Current | Pending) => (Accept, vec![F::MarkGone, F::DisablePush]),
            (_, DEVICE, Event::Poll, Lapsed) => (Decision::ServeRenewal, vec![]),
            (_, DEVICE, Event::SetBootstrapToken { has_token: true }, Current | Pending) => {
                (Accept, vec![F::StoreBootstrapToken])
            }
            (_, DEVICE, Event::SetBootstrapToken { .. }, Current | Pending) => (Accept, vec![F::ForgetBootstrapToken]),
            (_, DEVICE, Event::GetBootstrapToken, Current | Pending) => (GiveBootstrapToken, vec![]),
            (_, DEVICE, Event::Poll, Current | Pending) => (Serve, vec![]),
            (_, Speaker::User { known: false }, Event::TokenUpdate { .. }, Current | Pending) => {
                (Accept, vec![F::CreateUserChannel, F::StoreTarget, F::MarkActive { first: true }, F::Greet])
            }
            (_, Speaker::User { known: true }, Event::TokenUpdate { .. }, Current | Pending) => {
                (Accept, vec![F::StoreTarget, F::MarkActive { first: false }, F::Greet])
            }
            (_, Speaker::User { .. }, Event::UserAuthenticate, Current | Pending) => (AuthenticateUser, vec![]),
            (_, Speaker::User { known: false }, Event::Poll, Current | Pending) => (Serve, vec![F::CreateUserChannel]),
            (_, Speaker::User { known: true }, Event::Poll, Current | Pending) => (Serve, vec![]),
            _ => return None,
        })
    }

    #[test]
    fn every_row() {
        let states = [None, Some(State::Started), Some(State::Active), Some(State::Gone)];
        let mut rows = 0;
        for state in states {
            for renewal in [false, true] {
                for speaker in [DEVICE, USER, Speaker::User { known: true }] {
                    for event in EVENTS {
                        for binding in BINDINGS {
                            let record = state.map(|state| Known { renewal_in_progress: renewal, ..known(state) });
                            let step = next(record.as_ref(), speaker, event, binding);
                            let row =
                                format!("{state:?} renewal {renewal} {speaker:?} {event:?} {binding:?}: {step:?}");
                            match accepted(state, renewal, speaker, event, binding) {
                                Some((outcome, effects)) => assert_eq!(step, Step { outcome, effects }, "{row}"),
                                None => assert!(
                                    matches!(step.outcome, Decision::Refuse(_) | Decision::RefuseStranger(_))
                                        && step.effects.iter().all(|e| matches!(e, F::Raise(_))),
                                    "{row}"
                                ),
                            }
                            rows += 1;
                        }
                    }
                }
            }
        }
        assert_eq!(rows, 4 * 2 * 3 * 11 * 8);
    }

    #[test]
    fn only_a_blocked_device_that_proves_to_be_itself_is_unenrolled() {
        for state in [State::Started, State::Active, State::Gone] {
            let record = Known { blocked: true, ..known(state) };
            for event in EVENTS {
                for binding in BINDINGS {
                    for speaker in [DEVICE, USER] {
                        let open = next(Some(&known(state)), speaker, event, binding);
                        let step = next(Some(&record), speaker, event, binding);
                        assert_ne!(open.outcome, Unenroll);
                        if matches!(binding, BoundToOther | Quarantined) {
                            assert!(matches!(step.outcome, Decision::Refuse(_)), "{event:?} {binding:?}");
                        }
                        if binding == Unbound && event != Event::Authenticate {
                            assert!(matches!(step.outcome, Decision::Refuse(_)), "{event:?}");
                        }
                    }
                }
            }
            assert_eq!(next(Some(&record), DEVICE, Event::Poll, Current), Step::new(Unenroll, []));
            assert_eq!(next(Some(&record), USER, TOKEN, Current), Step::new(Unenroll, []));
            assert_eq!(next(Some(&record), DEVICE, Event::Authenticate, Unbound), Step::new(Unenroll, []));
            assert_eq!(
                next(Some(&record), DEVICE, Event::CheckOut, Current),
                Step::new(Unenroll, [F::MarkGone, F::DisablePush])
            );
        }
    }

    #[test]
    fn out_of_gone_a_person_decides() {
        let gone = known(State::Gone);
        let raised = |alert| vec![F::Raise(alert)];
        for binding in [Current, Retired, Withdrawn] {
            let step = next(Some(&gone), DEVICE, TOKEN, binding);
            assert!(matches!(step.outcome, Decision::Refuse(_)), "{binding:?}");
            assert_eq!(step.effects, raised(Alert::CameBack));
            let welcome = Known { welcome_back: true, ..gone };
            let step = next(Some(&welcome), DEVICE, TOKEN, binding);
            assert_eq!(step.outcome, Accept);
            assert!(step.effects.contains(&F::TakeBack) && step.effects.contains(&F::PromoteBinding));
            assert!(matches!(next(Some(&welcome), DEVICE, Event::Poll, binding).outcome, Decision::Refuse(_)));
            let dismissed = Known { dismissed: true, ..gone };
            assert_eq!(next(Some(&dismissed), DEVICE, TOKEN, binding).outcome, Unenroll);
            assert_eq!(next(Some(&dismissed), DEVICE, Event::Authenticate, Unbound).outcome, Accept);
        }
        let strangers = [Unbound, BoundToOther, Quarantined];
        for binding in strangers {
            let dismissed = Known { dismissed: true, ..gone };
            assert!(matches!(next(Some(&dismissed), DEVICE, TOKEN, binding).outcome, Decision::Refuse(_)));
        }
        assert_eq!(next(Some(&gone), DEVICE, TOKEN, BoundToOther).effects, raised(Alert::Clone));
        assert_eq!(next(None, DEVICE, Event::Poll, BoundToOther).effects, raised(Alert::Clone));
    }

    #[test]
    fn an_expired_identity_fetches_its_renewal_and_nothing_else() {
        for event in EVENTS {
            let step = next(Some(&known(State::Active)), DEVICE, event, Lapsed);
            assert_eq!(step.outcome == Decision::ServeRenewal, event == Event::Poll, "{event:?}");
            assert!(step.effects.is_empty());
            assert!(matches!(next(Some(&known(State::Active)), USER, event, Lapsed).outcome, Decision::Refuse(_)));
        }
    }

    #[test]
    fn the_story_of_a_renewal() {
        let mut record = Known { renewal_in_progress: true, ..known(State::Active) };
        let step = next(Some(&record), DEVICE, Event::Authenticate, Unbound);
        assert_eq!(step.effects, [F::StartGeneration(4), F::KeepQueue, F::BindPending]);
        // It fails on the device, which goes on under the old certificate as if nothing had happened.
        record.generation = 4;
        assert_eq!(next(Some(&record), DEVICE, Event::Poll, Current).outcome, Serve);
        // It succeeds: the pending certificate is promoted, the old one refused from then on.
        let step = next(Some(&record), DEVICE, TOKEN, Pending);
        assert_eq!(
            step.effects,
            [F::StoreTarget, F::PromoteBinding, F::RetireOthers, F::MarkActive { first: true }, F::Greet]
        );
        assert!(matches!(next(Some(&record), DEVICE, Event::Poll, Retired).outcome, Decision::Refuse(_)));
    }

    #[test]
    fn a_renewal_on_a_device_that_left_is_a_fresh_enrolment() {
        for state in [State::Started, State::Gone] {
            let record = Known { renewal_in_progress: true, ..known(state) };
            let step = next(Some(&record), DEVICE, Event::Authenticate, Unbound);
            assert!(
                step.effects.contains(&F::ClearQueue) && step.effects.contains(&F::ForgetBootstrapToken),
                "{state}"
            );
        }
    }

    #[test]
    fn states_spell_and_read_back() {
        for state in [State::Started, State::Active, State::Gone] {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert!("active".parse::<State>().is_err());
    }
}
