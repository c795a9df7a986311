//! The passcode of a simulated iPhone or iPad: how strong it is, what the policies of installed profiles want, and Apple's hour of grace
//! after which nothing on the device can be opened until it is changed.
//!
//! Called by `intake` after each command, by `facts` for what the device says of it, and by tests for what its user does.

use super::device::{Device, DeviceError};
use super::messages;
use super::profile;
use super::state::{Blob, Channel, State};
use crate::base::time::{HOUR, Timestamp};
use serde::{Deserialize, Serialize};

const POLICY: &str = "com.apple.mobiledevice.passwordpolicy";
/// The user may put a new passcode off for so long (Apple's best practices).
const GRACE: i64 = HOUR;

/// What the user typed, as far as policies look at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passcode {
    /// Characters.
    pub length: i64,
    /// Since when a policy wants another one, ms since 1970.
    pub wanted_since: Option<i64>,
}

impl Default for Passcode {
    fn default() -> Self {
        Self { length: 6, wanted_since: None }
    }
}

/// Whether the passcode complies with what profiles want.
pub fn complies(state: &State) -> bool {
    state.profiles.iter().filter(|installed| installed.channel == Channel::Device).all(|installed| {
        let Ok(profile) = profile::read(&installed.profile.0) else { return true };
        profile.payloads.iter().filter(|payload| payload.kind == POLICY).all(|payload| {
            let least = payload.dict.find_integer("minLength").ok().flatten().unwrap_or(0);
            let needed = payload.dict.flag("forcePIN").unwrap_or(false) || least > 0;
            !needed || (state.passcode && state.passcode_held.length >= least)
        })
    })
}

/// Starts the user's hour when a policy is not met any more, and ends it when it is.
pub(super) fn look(state: &mut State, now: Timestamp) {
    let wanted = !complies(state);
    let held = &mut state.passcode_held;
    held.wanted_since = wanted.then(|| held.wanted_since.unwrap_or(now.0));
}

impl Device {
    /// Whether its user may open an app: not when the hour for a new passcode is over.
    pub fn opens_apps(&self) -> bool {
        let now = self.world.clock.now();
        self.state.passcode_held.wanted_since.is_none_or(|since| now.since(Timestamp(since)) < GRACE)
    }

    /// Its user types a new passcode. The device tells the server its new unlock token, where it has one.
    ///
    /// # Errors
    /// [`DeviceError`] when the server did not take it; the passcode is changed all the same.
    pub fn change_passcode(&mut self, length: i64) -> Result<(), DeviceError> {
        (self.state.passcode, self.state.passcode_held.length) = (length > 0, length);
        let now = self.world.clock.now();
        look(&mut self.state, now);
        let Some(managed) = self.managed.clone() else { return Ok(()) };
        let (Some(token), Some(line)) = (&self.state.unlock_token, self.state.device.clone()) else { return Ok(()) };
        let mut fresh = token.0.clone();
        fresh.push(u8::try_from(length.clamp(0, 255)).unwrap_or(0));
        let fresh = Blob(fresh);
        let mut link = self.link_to(&managed)?;
        let body = messages::token_update(&self.state, &managed.enrolling.mdm, Channel::Device, &line, Some(&fresh));
        self.send_check_in(&mut link, &managed.enrolling, Channel::Device, "TokenUpdate", &body)?;
        self.state.unlock_token = Some(fresh);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::{Kind, Spec};
    use super::super::state::Installed;
    use super::*;
    use crate::protocol::profile::{Cover, Part, build};

    #[test]
    fn an_hour_begins_with_a_policy_that_is_not_met_and_ends_with_the_new_passcode() {
        let mut state = State::new(Spec::new(Kind::Ipad, 1));
        let policy = |least: i64| {
            let keys = crate::plist::Dictionary::from_iter([(
                "minLength".to_owned(),
                crate::plist::Value::Integer(least.into()),
            )]);
            let part = Part { payload_type: POLICY.to_owned(), keys };
            let profile = build(&Cover { identifier: "a.b", name: "a", organization: None }, &[part]);
            Installed { channel: Channel::Device, identifier: "a.b".to_owned(), profile: Blob(profile) }
        };
        assert!(complies(&state));
        state.profiles = vec![policy(6)];
        assert!(complies(&state));
        state.profiles = vec![policy(8)];
        look(&mut state, Timestamp(5));
        look(&mut state, Timestamp(9));
        assert_eq!((complies(&state), state.passcode_held.wanted_since), (false, Some(5)));
        state.passcode_held.length = 8;
        look(&mut state, Timestamp(10));
        assert_eq!((complies(&state), state.passcode_held.wanted_since), (true, None));
        state.passcode = false;
        assert!(!complies(&state));
    }
}
