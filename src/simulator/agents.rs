//! The users of a device: they log in and out, are asked for, refused or taken, and wait at the login window until everything is there.
//!
//! Called by tests, the demo and the fleet's owner. The conversation itself is `session`'s; commands are `intake`'s.

use super::device::{Device, DeviceError, Managed};
use super::link::Link;
use super::messages::{self, CHECK_IN};
use super::profile;
use super::spec::{Person, derived_uuid};
use super::state::{Account, Agent, Channel, Event, Wait};
use crate::pki::digest::md5;
use crate::plist::{Dict, parse_dict};

/// How a login went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// The server manages this user; else the channel is silent for this session.
    pub managed: bool,
    /// Reports sent until the empty answer let the person in.
    pub round_trips: usize,
}

impl Device {
    /// An account for one more person; nobody is told yet.
    pub fn add_user(&mut self, short_name: &str, long_name: &str, account: Account) -> Channel {
        let guid = derived_uuid(self.state.spec.seed, &format!("agent {short_name}"));
        let person = Person { guid, short_name: short_name.to_owned(), long_name: long_name.to_owned() };
        let agent = Agent { person, account, line: None, logged_in: false, silent: false, auth_token: None };
        self.state.agents.push(agent);
        Channel::Agent(self.state.agents.len() - 1)
    }

    /// Somebody logs in. A Mac asks about network users first, tells where to push, and holds the login up until it has everything;
    /// a Shared iPad polls at once.
    ///
    /// # Errors
    /// [`DeviceError`] when the server does not answer as it must. The person is let in all the same, as on a real Mac.
    pub fn log_in(&mut self, channel: Channel) -> Result<Login, DeviceError> {
        let managed = self.managed.clone().ok_or(DeviceError::NotEnrolled)?;
        let mut link = self.link_to(&managed)?;
        if let Channel::Agent(n) = channel {
            let agent = self.state.agents.get_mut(n).ok_or(DeviceError::NotEnrolled)?;
            agent.logged_in = true;
            agent.silent = false;
            if let Account::Network { password } = agent.account.clone() {
                match self.authenticate_user(&mut link, &managed, channel, &password)? {
                    Some(token) => self.state.agents[n].auth_token = token,
                    None => return Ok(self.silence(n)),
                }
            }
        }
        let shared = self.state.is_shared_ipad();
        if shared && self.state.behaviour.awaits_user_configuration && !self.state.awaiting.contains(&channel) {
            self.state.awaiting.push(channel);
        }
        let line = self.state.find_line(channel).cloned().unwrap_or_else(|| self.state.new_line(channel));
        let body = messages::token_update(&self.state, &managed.enrolling.mdm, channel, &line, None);
        match self.send_check_in(&mut link, &managed.enrolling, channel, "TokenUpdate", &body) {
            Ok(()) => {}
            Err(DeviceError::Refused { status: 410, .. }) => {
                self.state.awaiting.retain(|waiting| *waiting != channel);
                let Channel::Agent(n) = channel else { return Ok(Login::default()) };
                return Ok(self.silence(n));
            }
            Err(error) => return Err(error),
        }
        match channel {
            Channel::Agent(n) => self.state.agents[n].line = Some(line),
            Channel::User => self.state.user = Some(line),
            Channel::Device => {}
        }
        drop(link);
        let wait = (!shared).then_some(Wait::Login);
        let round_trips = self.wait_for(channel, wait)?;
        Ok(Login { managed: true, round_trips })
    }

    fn silence(&mut self, n: usize) -> Login {
        self.state.agents[n].silent = true;
        Login::default()
    }

    /// One series while somebody waits; how many reports it took.
    fn wait_for(&mut self, channel: Channel, wait: Option<Wait>) -> Result<usize, DeviceError> {
        if let Some(line) = self.state.find_line_mut(channel) {
            line.wait = wait;
        }
        let reports = |device: &Device| {
            let is_report = |e: &&super::state::Entry| e.channel == channel && matches!(e.event, Event::Report { .. });
            device.log().iter().filter(is_report).count()
        };
        let before = reports(self);
        let done = self.poll(channel);
        if let Some(line) = self.state.find_line_mut(channel) {
            line.wait = None;
        }
        done.map(|()| reports(self).saturating_sub(before))
    }

    /// Setup Assistant looks for password policy before there is an account: every command is put off, and nothing persists. The
    /// identifiers of the profiles whose policy it read are in [`super::state::State::policies_read`].
    ///
    /// # Errors
    /// As [`Device::poll`].
    pub fn read_password_policy(&mut self, channel: Channel) -> Result<usize, DeviceError> {
        self.state.policies_read.clear();
        self.wait_for(channel, Some(Wait::Setup))
    }

    /// The policies inside an InstallProfile that is put off.
    pub(super) fn read_policy(&mut self, command: Option<&Dict>) {
        let Some(Ok(payload)) = command.map(|c| c.data("Payload")) else { return };
        let Ok(found) = profile::read(payload) else { return };
        if found.payloads.iter().any(|p| p.kind == "com.apple.mobiledevice.passwordpolicy") {
            self.state.policies_read.push(found.identifier);
        }
    }

    /// The session ends; the channel stays known, but nobody answers its pushes.
    pub fn log_out(&mut self, channel: Channel) {
        if let Channel::Agent(n) = channel
            && let Some(agent) = self.state.agents.get_mut(n)
        {
            agent.logged_in = false;
        }
    }

    /// Everybody is logged out; the device itself comes back and looks for work that a push announced meanwhile.
    ///
    /// # Errors
    /// As [`Device::poll`].
    pub fn reboot(&mut self) -> Result<(), DeviceError> {
        for agent in &mut self.state.agents {
            agent.logged_in = false;
        }
        self.state.behaviour.asleep = false;
        self.poll(Channel::Device)
    }

    /// UserAuthenticate, in one request or two. `None`: the server does not manage this user, or the password was wrong.
    fn authenticate_user(
        &mut self,
        link: &mut Link,
        managed: &Managed,
        channel: Channel,
        password: &str,
    ) -> Result<Option<Option<String>>, DeviceError> {
        let Some(first) = self.ask_for_user(link, managed, channel, None)? else { return Ok(None) };
        let challenge = first.find_string("DigestChallenge").ok().flatten().unwrap_or_default().to_owned();
        if challenge.is_empty() {
            return Ok(Some(None));
        }
        let name = self.state.person(channel).map(|p| p.short_name.clone()).unwrap_or_default();
        let Some(response) = digest_response(&challenge, &name, password) else {
            self.state.faults.push(format!("a digest challenge that cannot be answered: {challenge}"));
            return Ok(None);
        };
        let Some(second) = self.ask_for_user(link, managed, channel, Some(&response))? else { return Ok(None) };
        // A wrong password is answered 200 with an empty token.
        let token = second.find_string("AuthToken").ok().flatten().unwrap_or_default().to_owned();
        Ok((!token.is_empty()).then_some(Some(token)))
    }

    fn ask_for_user(
        &mut self,
        link: &mut Link,
        managed: &Managed,
        channel: Channel,
        digest_response: Option<&str>,
    ) -> Result<Option<Dict>, DeviceError> {
        let body = messages::user_authenticate(&self.state, channel, digest_response);
        let answer = link.put(&managed.enrolling.mdm.check_in_url, CHECK_IN, &body)?;
        self.note(channel, Event::CheckIn { message: "UserAuthenticate".to_owned(), status: answer.status });
        match answer.status {
            200 => parse_dict(&answer.body).map(Some).map_err(|e| DeviceError::UnreadableCommand(e.to_string())),
            410 => Ok(None),
            status => Err(DeviceError::Refused { message: "UserAuthenticate", status }),
        }
    }
}

/// RFC 2617 credentials for `nonce` and `realm` of a challenge like `Digest nonce="…",realm="…"`; `None` for a challenge without them.
fn digest_response(challenge: &str, name: &str, password: &str) -> Option<String> {
    let value = |key: &str| {
        let at = challenge.find(&format!("{key}=\""))? + key.len() + 2;
        challenge[at..].split('"').next().map(str::to_owned)
    };
    let (nonce, realm) = (value("nonce")?, value("realm")?);
    let hash = |text: String| hex::encode(md5(text.as_bytes()));
    let (ha1, ha2) = (hash(format!("{name}:{realm}:{password}")), hash(String::from("PUT:/")));
    let response = hash(format!("{ha1}:{nonce}:{ha2}"));
    Some(format!("Digest username=\"{name}\",realm=\"{realm}\",nonce=\"{nonce}\",uri=\"/\",response=\"{response}\""))
}
