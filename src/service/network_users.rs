//! Network users of Macs: `UserAuthenticate` answered, and every later message on a user's channel admitted or not. Called by
//! [`super::checkin`] and [`super::polling`] once the certificate is proven; the rules are `protocol::network_user`.

use super::actor::{Actor, Permission};
use super::{Context, Error, auditing, groups, guesses, users};
use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::base::time::{MINUTE, Timestamp};
use crate::pki::constant_time_eq;
use crate::pki::digest::sha256;
use crate::plist::{Dictionary, Value, to_xml};
use crate::protocol::digest::{self, Credentials};
use crate::protocol::network_user::{self, Admission, Candidate, First, Mode, Proof, Second, Standing};
use crate::protocol::sender::{Channel, Sender, UserKey};
use crate::protocol::status::{Outcome, RefusalStatus};
use crate::store::{Db, EnrollmentRow, PersonRow, StandingRow, Tx};
use base64::Engine;
use serde_json::json;

/// How long a challenge may be answered: a login goes on while the Mac computes.
const NONCE_LIFE: i64 = 2 * MINUTE;
/// Network users of one Mac that were not let in and are remembered; a Mac that makes names up fills no disk.
const MAX_OUTSIDE: usize = 64;
/// Setting: how network users are dealt with where no group says otherwise.
const MODE: &str = "network_users";
/// Setting: whether further local users of a Mac are served.
const SERVE_FURTHER: &str = "serve_further_local_users";

/// What the school says about users of Macs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    pub mode: Mode,
    pub serve_further: bool,
}

/// The school's policy.
pub fn policy(cx: &Context, actor: &Actor) -> Result<Policy, Error> {
    actor.require(Permission::LookAround)?;
    cx.store.read(find_policy)
}

/// Sets what is given.
///
/// # Errors
/// `Invalid` for a mode that is none; `Denied` for anybody but an owner or admin.
pub fn set_policy(
    cx: &Context,
    actor: &Actor,
    mode: Option<&str>,
    serve_further: Option<bool>,
) -> Result<Policy, Error> {
    actor.require(Permission::People)?;
    let mode = mode.map(parse_mode).transpose()?;
    let now = cx.now();
    cx.store.write(|tx| -> Result<(), Error> {
        if let Some(mode) = mode {
            tx.put_setting(MODE, &json!(mode.as_str()))?;
        }
        if let Some(serve) = serve_further {
            tx.put_setting(SERVE_FURTHER, &json!(serve))?;
        }
        let detail = json!({ "mode": mode.map(Mode::as_str), "serve_further": serve_further });
        auditing::record(tx, actor, "network-users.policy", None, Some(detail), now)
    })?;
    policy(cx, actor)
}

/// # Errors
/// `Invalid`, naming the modes there are.
pub(super) fn parse_mode(text: &str) -> Result<Mode, Error> {
    let why = || String::from("is one of known, digest and refuse");
    Mode::find(text).ok_or_else(|| Error::invalid(Text::BadArgument { key: String::from("mode"), why: why() }))
}

fn find_policy(db: &Db<'_>) -> Result<Policy, Error> {
    let mode = db.find_text_setting(MODE)?.and_then(|text| Mode::find(&text)).unwrap_or(Mode::Digest);
    let serve_further = db.find_setting(SERVE_FURTHER)?.and_then(|v| v.as_bool()).unwrap_or(true);
    Ok(Policy { mode, serve_further })
}

/// What becomes of a message on a user's channel. Only reads; [`settle`] writes what follows.
pub(super) fn admit(db: &Db<'_>, from: &Sender, device_channel: i64) -> Result<Admission, Error> {
    if !from.is_user() {
        return Ok(Admission::Serve);
    }
    let kept = db.find_standing(from.enrollment_id().as_str())?;
    let fits = match (kept.as_ref().and_then(|k| k.token_hash), &from.auth_token) {
        (Some(hash), Some(token)) => constant_time_eq(&sha256(token.expose().as_bytes()), &hash),
        _ => false,
    };
    let standing = standing(kept.as_ref());
    let installer = standing == Standing::Unknown && db.has_installer(device_channel)?;
    let serve_further = standing == Standing::Further && find_policy(db)?.serve_further;
    Ok(network_user::admit(from, standing, installer, fits, serve_further))
}

/// Remembers who a newly met local user is. What to do with the message in hand: `Some` ends it with nothing or a refusal.
pub(super) fn settle(
    tx: &Tx<'_>,
    admission: Admission,
    from: &Sender,
    device_channel: &EnrollmentRow,
    now: Timestamp,
) -> Result<Admission, Error> {
    let channel = from.enrollment_id();
    match admission {
        Admission::Install => {
            tx.put_standing(channel.as_str(), device_channel.id, "installer", None, None, now)?;
            Ok(Admission::Serve)
        }
        Admission::Meet => {
            tx.put_standing(channel.as_str(), device_channel.id, "further", None, None, now)?;
            let detail = json!({ "user": from.names.short });
            tx.tell(device_channel.device, None, None, "further-local-user", Some(&detail.to_string()), now)?;
            let serve = find_policy(tx)?.serve_further;
            Ok(if serve { Admission::Serve } else { Admission::Record })
        }
        other => Ok(other),
    }
}

/// Whether work may be given to a user's channel.
///
/// # Errors
/// `NotFound` for a further local user whom the school does not want served.
pub(super) fn require_served(db: &Db<'_>, channel: &EnrollmentRow, device: &str) -> Result<(), Error> {
    if !is_served(db, channel)? {
        let user = channel.user_short_name.clone().or_else(|| channel.user_id.clone()).unwrap_or_default();
        return Err(Error::not_found(Text::UserNotManaged { user, device: device.to_owned() }));
    }
    Ok(())
}

/// As [`require_served`], for those who may not hear of it.
pub(super) fn is_served(db: &Db<'_>, channel: &EnrollmentRow) -> Result<bool, Error> {
    let kept = if channel.parent.is_some() { db.find_standing(&channel.enrollment_id)? } else { None };
    Ok(standing(kept.as_ref()) != Standing::Further || find_policy(db)?.serve_further)
}

fn standing(kept: Option<&StandingRow>) -> Standing {
    match kept.map(|kept| (kept.standing.as_str(), kept.token_hash)) {
        None => Standing::Unknown,
        Some(("installer", _)) => Standing::Installer,
        Some(("further", _)) => Standing::Further,
        Some(("managed", token)) => Standing::Managed { token: token.is_some() },
        Some(_) => Standing::Outside,
    }
}

/// Answers `UserAuthenticate` of a device that proved to be itself.
pub(super) fn authenticate(
    cx: &Context,
    tx: &Tx<'_>,
    from: &Sender,
    digest_response: Option<&str>,
    device_channel: &EnrollmentRow,
    now: Timestamp,
) -> Result<Outcome, Error> {
    let Channel::User(UserKey::UserId(guid)) = &from.channel else {
        return Ok(Outcome::refuse(RefusalStatus::Gone, "only users of a Mac with a directory record can be managed"));
    };
    let visit = Visit { cx, tx, from, guid: guid.as_str().to_ascii_uppercase(), device_channel, now };
    match digest_response {
        None => visit.first(),
        Some(text) => visit.second(text),
    }
}

struct Visit<'a, 'c> {
    cx: &'a Context,
    tx: &'a Tx<'c>,
    from: &'a Sender,
    guid: String,
    device_channel: &'a EnrollmentRow,
    now: Timestamp,
}

impl Visit<'_, '_> {
    fn first(&self) -> Result<Outcome, Error> {
        let person = self.tx.find_person_by_guid(&self.guid)?;
        let mode = self.mode(person.as_ref())?;
        let by_name = mode == Mode::Digest && person.is_none() && self.tx.has_person_without_guid()?;
        match network_user::first(mode, person.as_ref().map(candidate), by_name) {
            First::Decline(why) => self.decline(person.as_ref(), why),
            First::Manage => {
                self.put("managed", person.as_ref(), None)?;
                self.tell(person.as_ref(), "managed without a secret", None)?;
                Ok(text_answer("DigestChallenge", ""))
            }
            First::Challenge => {
                let Some(realm) = users::find_realm(self.tx)? else {
                    return self.decline(person.as_ref(), "nobody here has a digest secret");
                };
                let nonce = hex::encode(self.cx.random_bytes::<24>());
                let channel = self.from.enrollment_id();
                let expires_at = self.now.plus(NONCE_LIFE);
                let hash = sha256(nonce.as_bytes());
                self.tx.put_nonce(channel.as_str(), self.device_channel.id, &hash, expires_at, self.now)?;
                self.tx.trim_outside(self.device_channel.id, MAX_OUTSIDE)?;
                Ok(text_answer("DigestChallenge", &digest::challenge(&nonce, &realm)))
            }
        }
    }

    fn second(&self, text: &str) -> Result<Outcome, Error> {
        let realm = users::find_realm(self.tx)?;
        let said = digest::parse(text).ok().filter(|said| Some(&said.realm) == realm.as_ref());
        let fresh = match &said {
            Some(said) => self.use_nonce(&said.nonce)?,
            None => false,
        };
        let person = match (self.tx.find_person_by_guid(&self.guid)?, &said) {
            (Some(person), _) => Some(person),
            (None, Some(said)) => self.tx.find_person(&said.username)?,
            (None, None) => None,
        };
        let mode = self.mode(person.as_ref())?;
        let right = match (&said, &person) {
            (Some(said), Some(person)) if fresh => self.is_right(said, person)?,
            _ => false,
        };
        let proof = Proof { readable: said.is_some(), fresh, person: person.as_ref().map(candidate), right };
        match network_user::second(mode, &proof) {
            Second::Decline(why) => self.decline(person.as_ref(), why),
            Second::Wrong(why) => {
                self.tell(person.as_ref(), "not let in", Some(why))?;
                Ok(text_answer("AuthToken", ""))
            }
            Second::Nothing => {
                self.put("managed", person.as_ref(), None)?;
                Ok(Outcome::Empty)
            }
            Second::Admit => self.admit(person.as_ref()),
        }
    }

    fn admit(&self, person: Option<&PersonRow>) -> Result<Outcome, Error> {
        let random = Secret::new(self.cx.random_bytes::<32>());
        let token = Secret::new(base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(random.expose()));
        let hash = sha256(token.expose().as_bytes());
        self.put("managed", person, Some(&hash))?;
        if let Some(person) = person
            && self.tx.find_person_by_guid(&self.guid)?.is_none()
            && self.tx.list_guids(person.id)?.len() < users::MAX_GUIDS
        {
            // Proven by the password: at the next login the first request finds the person.
            self.tx.put_guid(person.id, &self.guid, "learned", self.now)?;
            let job = Actor::Job("network-login");
            auditing::record(self.tx, &job, "user.guid", Some(&person.public_id), None, self.now)?;
        }
        self.tell(person, "let in", None)?;
        Ok(text_answer("AuthToken", token.expose()))
    }

    /// 410. Whatever this user was let in for before is over.
    fn decline(&self, person: Option<&PersonRow>, why: &'static str) -> Result<Outcome, Error> {
        self.put("outside", person, None)?;
        self.tx.forget_nonce(self.from.enrollment_id().as_str())?;
        self.tx.trim_outside(self.device_channel.id, MAX_OUTSIDE)?;
        self.tell(person, "not managed", Some(why))?;
        Ok(Outcome::refuse(RefusalStatus::Gone, why))
    }

    fn put(&self, standing: &str, person: Option<&PersonRow>, token: Option<&[u8; 32]>) -> Result<(), Error> {
        let channel = self.from.enrollment_id();
        let person = person.map(|p| p.id);
        Ok(self.tx.put_standing(channel.as_str(), self.device_channel.id, standing, person, token, self.now)?)
    }

    /// The challenge is closed by any answer, right or wrong.
    fn use_nonce(&self, nonce: &str) -> Result<bool, Error> {
        let channel = self.from.enrollment_id();
        let Some(kept) = self.tx.find_standing(channel.as_str())? else { return Ok(false) };
        let (Some(hash), Some(expires_at)) = (kept.nonce_hash, kept.nonce_expires_at) else { return Ok(false) };
        if !constant_time_eq(&sha256(nonce.as_bytes()), &hash) {
            return Ok(false);
        }
        self.tx.forget_nonce(channel.as_str())?;
        Ok(expires_at > self.now)
    }

    fn is_right(&self, said: &Credentials, person: &PersonRow) -> Result<bool, Error> {
        let keys = guesses::keys_of("digest", &person.short_name, None);
        if self.cx.guesses.refuse_blocked(&keys, self.now).is_err() {
            return Ok(false);
        }
        let Some(ha1) = users::find_ha1(self.cx, self.tx, person.id)? else { return Ok(false) };
        let right = digest::is_right(said, &ha1);
        if right {
            self.cx.guesses.forget(&keys[0]);
        } else {
            self.cx.guesses.count_wrong(&keys, self.now);
        }
        Ok(right)
    }

    /// By the groups of the person and of the device; without any, the school's.
    fn mode(&self, person: Option<&PersonRow>) -> Result<Mode, Error> {
        let groups = groups::login_modes(self.tx, person.map(|p| p.id), self.device_channel.device)?;
        let groups = groups.iter().filter_map(|text| Mode::find(text));
        Ok(Mode::strictest(find_policy(self.tx)?.mode, groups))
    }

    fn tell(&self, person: Option<&PersonRow>, what: &str, why: Option<&str>) -> Result<(), Error> {
        let detail = json!({ "guid": self.guid, "person": person.map(|p| &p.public_id), "result": what, "why": why });
        let device = self.device_channel.device;
        Ok(self.tx.tell(device, None, None, "network-user", Some(&detail.to_string()), self.now)?)
    }
}

fn candidate(person: &PersonRow) -> Candidate {
    Candidate { disabled: person.disabled_at.is_some(), has_secret: person.has_digest }
}

/// A property list of one text.
fn text_answer(key: &str, text: &str) -> Outcome {
    let mut answer = Dictionary::new();
    answer.insert(key.to_owned(), Value::String(text.to_owned()));
    Outcome::Plist(to_xml(&Value::Dictionary(answer)))
}
