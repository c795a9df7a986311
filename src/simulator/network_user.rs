//! A network user who logs in on a simulated Mac: `UserAuthenticate` with its digest, then the channel that it opens.
//!
//! Called by tests and by whoever plays several agents of one Mac. The Mac's identity is its [`Device`]'s; everything else is this
//! user's own. Written from the protocol's text and the RFC, with a computation of its own behind `protocol::digest`.

use super::device::{Device, DeviceError};
use super::messages::{CHECK_IN, REPORT};
use super::spec::{Person, derive};
use super::wire::Answer;
use crate::plist::{Dictionary, Value, parse_dict, to_xml};
use crate::protocol::digest::{self, Credentials};

/// Somebody at the login window.
#[derive(Debug, Clone)]
pub struct NetworkUser {
    pub person: Person,
    pub password: String,
    /// What goes into the digest as HTTP method; nobody knows what Macs really do.
    pub method: &'static str,
    /// From the last login that was let in; goes with every request.
    pub auth_token: Option<String>,
}

/// How a login ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginEnd {
    /// 410: silent until the next login.
    NotManaged,
    /// An empty challenge: managed, no token.
    WithoutSecret,
    /// An AuthToken came.
    LetIn,
    /// 200 with an empty AuthToken.
    WrongPassword,
}

impl NetworkUser {
    pub fn new(short_name: &str, guid: &str, password: &str) -> Self {
        let person =
            Person { guid: guid.to_owned(), short_name: short_name.to_owned(), long_name: short_name.to_owned() };
        Self { person, password: password.to_owned(), method: "PUT", auth_token: None }
    }

    /// The whole login: both requests, and the TokenUpdate that follows when it is let in.
    ///
    /// # Errors
    /// [`DeviceError`] for an answer that the protocol does not know.
    pub fn log_in(&mut self, mac: &Device) -> Result<LoginEnd, DeviceError> {
        let end = self.authenticate(mac)?;
        if matches!(end, LoginEnd::LetIn | LoginEnd::WithoutSecret) {
            let answer = self.token_update(mac)?;
            if answer.status != 200 {
                return Err(DeviceError::Refused { message: "TokenUpdate", status: answer.status });
            }
        }
        Ok(end)
    }

    /// `UserAuthenticate`, once or twice.
    ///
    /// # Errors
    /// As [`Self::log_in`].
    pub fn authenticate(&mut self, mac: &Device) -> Result<LoginEnd, DeviceError> {
        let first = self.user_authenticate(mac, None)?;
        if first.status == 410 {
            self.auth_token = None;
            return Ok(LoginEnd::NotManaged);
        }
        let challenge = text(&first, "DigestChallenge")?;
        if challenge.is_empty() {
            self.auth_token = None;
            return Ok(LoginEnd::WithoutSecret);
        }
        let answer = self.user_authenticate(mac, Some(&self.respond(&challenge)?))?;
        if answer.status == 410 {
            self.auth_token = None;
            return Ok(LoginEnd::NotManaged);
        }
        let token = text(&answer, "AuthToken")?;
        if token.is_empty() {
            return Ok(LoginEnd::WrongPassword);
        }
        self.auth_token = Some(token);
        Ok(LoginEnd::LetIn)
    }

    /// One of the two requests: only device and record are named, whatever else the Mac knows.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn user_authenticate(&self, mac: &Device, digest: Option<&str>) -> Result<Answer, DeviceError> {
        let mut message = Dictionary::new();
        put(&mut message, "MessageType", "UserAuthenticate");
        put(&mut message, "UDID", &mac.spec().udid);
        put(&mut message, "UserID", &self.person.guid);
        if let Some(digest) = digest {
            put(&mut message, "DigestResponse", digest);
        }
        self.check_in(mac, message)
    }

    /// The answer to a challenge.
    ///
    /// # Errors
    /// When the challenge is none.
    pub fn respond(&self, challenge: &str) -> Result<String, DeviceError> {
        let unreadable = || DeviceError::UnreadableCommand(format!("challenge {challenge}"));
        let said = digest::parameters(challenge).map_err(|_| unreadable())?;
        let find = |name: &str| said.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let (nonce, realm) = (find("nonce").ok_or_else(unreadable)?, find("realm").ok_or_else(unreadable)?);
        let ha1 = digest::ha1(&self.person.short_name, &realm, &self.password);
        let mut answer = Credentials {
            username: self.person.short_name.clone(),
            realm,
            nonce,
            uri: String::from("/"),
            response: String::new(),
            protection: None,
            session: false,
        };
        answer.response = digest::response(&answer, &ha1, self.method);
        let Credentials { username, realm, nonce, uri, response, .. } = answer;
        Ok(format!(
            "Digest username=\"{username}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\""
        ))
    }

    /// Where to push this user's channel.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn token_update(&self, mac: &Device) -> Result<Answer, DeviceError> {
        let managed = mac.managed.clone().ok_or(DeviceError::NotEnrolled)?;
        let mut message = self.identified(mac);
        put(&mut message, "MessageType", "TokenUpdate");
        put(&mut message, "Topic", &managed.enrolling.mdm.topic);
        put(&mut message, "PushMagic", &format!("magic-{}", self.person.guid));
        message.insert(String::from("Token"), Value::Data(self.push_token(mac)));
        self.check_in(mac, message)
    }

    /// The push token of this user on this Mac.
    pub fn push_token(&self, mac: &Device) -> Vec<u8> {
        derive(mac.spec().seed, &format!("token of {}", self.person.guid)).to_vec()
    }

    /// One report on this user's channel; `uuid` for the answer to a command.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn report(&self, mac: &Device, status: &str, uuid: Option<&str>) -> Result<Answer, DeviceError> {
        let managed = mac.managed.clone().ok_or(DeviceError::NotEnrolled)?;
        let mut message = self.identified(mac);
        put(&mut message, "Status", status);
        if let Some(uuid) = uuid {
            put(&mut message, "CommandUUID", uuid);
        }
        let body = to_xml(&Value::Dictionary(message));
        Ok(mac.link_to(&managed)?.put(&managed.enrolling.mdm.server_url, REPORT, &body)?)
    }

    fn check_in(&self, mac: &Device, message: Dictionary) -> Result<Answer, DeviceError> {
        let managed = mac.managed.clone().ok_or(DeviceError::NotEnrolled)?;
        let body = to_xml(&Value::Dictionary(message));
        Ok(mac.link_to(&managed)?.put(&managed.enrolling.mdm.check_in_url, CHECK_IN, &body)?)
    }

    /// The keys that every request of a user's channel carries after the login.
    fn identified(&self, mac: &Device) -> Dictionary {
        let mut message = Dictionary::new();
        put(&mut message, "UDID", &mac.spec().udid);
        put(&mut message, "UserID", &self.person.guid);
        put(&mut message, "UserShortName", &self.person.short_name);
        put(&mut message, "UserLongName", &self.person.long_name);
        if let Some(token) = &self.auth_token {
            put(&mut message, "AuthToken", token);
        }
        message
    }
}

fn text(answer: &Answer, key: &str) -> Result<String, DeviceError> {
    if answer.status != 200 {
        return Err(DeviceError::Refused { message: "UserAuthenticate", status: answer.status });
    }
    let unreadable = |_| DeviceError::UnreadableCommand(format!("no {key} in the answer to UserAuthenticate"));
    Ok(parse_dict(&answer.body).map_err(unreadable)?.string(key).map_err(unreadable)?.to_owned())
}

fn put(message: &mut Dictionary, key: &str, text: &str) {
    message.insert(key.to_owned(), Value::String(text.to_owned()));
}
