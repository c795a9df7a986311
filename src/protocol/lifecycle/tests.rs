//! The lifecycle as tables: every message in every state, and what must follow.

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
const BINDINGS: [BindingFact; 8] = [Current, Pending, Retired, Unbound, BoundToOther, Quarantined, Lapsed, Withdrawn];
const DEVICE: Speaker = Speaker::Device;
const USER: Speaker = Speaker::User { known: false };
const TOKEN: Event = Event::TokenUpdate { has_unlock_token: false };

fn known(state: State) -> Known {
    Known { state, generation: 3, renewal_in_progress: false, blocked: false, dismissed: false, welcome_back: false }
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
                        let row = format!("{state:?} renewal {renewal} {speaker:?} {event:?} {binding:?}: {step:?}");
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
        assert!(step.effects.contains(&F::ClearQueue) && step.effects.contains(&F::ForgetBootstrapToken), "{state}");
    }
}

#[test]
fn states_spell_and_read_back() {
    for state in [State::Started, State::Active, State::Gone] {
        assert_eq!(state.as_str().parse(), Ok(state));
    }
    assert!("active".parse::<State>().is_err());
}
