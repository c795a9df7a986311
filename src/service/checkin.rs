//! Check-in: a device enrols, says how to reach it, and leaves. One transaction per message; `protocol::lifecycle` decides.

use super::channel_facts::{binding_fact, create_user_channel, device_ids, distrust_text, known, note_user, unenroll};
use super::events::{self, Kind};
use super::identity::{self, Identity, Peer};
use super::login_policy::{self, SharedIpadUsers};
use super::{
    Context, Error, arriving, attention, custody, leaving, network_users, reconciling, renewing, revoking, setting_up,
};
use crate::base::ids::DeviceId;
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::plist::{Dictionary, Value, to_xml};
use crate::protocol::checkin::{Authenticate, Checkin, Message, TokenUpdate};
use crate::protocol::lifecycle::{self, BindingFact, Decision, Effect, Event, Speaker, State, Step};
use crate::protocol::network_user::Admission;
use crate::protocol::sender::{Channel, Sender, UserKey};
use crate::protocol::status::{Outcome, RefusalStatus};
use crate::store::{BindingState, DeviceFacts, EnrollmentRow, NewEnrollment, Tx};
use serde_json::json;

/// Receives one check-in message.
///
/// # Errors
/// Faults of ours; then nothing was stored and the device tries again. A doubt about the device is an [`Outcome`].
pub fn receive(cx: &Context, peer: &Peer, checkin: &Checkin) -> Result<Outcome, Error> {
    let now = cx.now();
    let behind = cx.clock_is_behind().is_some();
    let outcome = cx.store.write(|tx| {
        let identity = match identity::recognise(tx, peer, now, behind)? {
            Ok(identity) => identity,
            Err(distrust) => {
                let why = distrust_text(distrust);
                tracing::warn!(origin = peer.origin, message = checkin.message.message_type(), why, "check-in refused");
                return leaving::stranger(tx, &checkin.from, why);
            }
        };
        Visit { cx, tx, peer, identity, checkin, now }.decide()
    })?;
    cx.ring_pusher();
    cx.ring_teller();
    Ok(outcome)
}

fn refuse(peer: &Peer, checkin: &Checkin, why: &'static str) -> Outcome {
    let device = checkin.from.device.as_str();
    tracing::warn!(origin = peer.origin, device, message = checkin.message.message_type(), why, "check-in refused");
    Outcome::refuse(RefusalStatus::BadRequest, why)
}

/// A user of a Shared iPad whom the school does not manage, by its own decision.
fn is_guest(tx: &Tx<'_>, from: &Sender) -> Result<bool, Error> {
    let Channel::User(UserKey::SharedIpad(name)) = &from.channel else { return Ok(false) };
    if login_policy::shared_ipad_users(tx)? == SharedIpadUsers::Everyone {
        return Ok(false);
    }
    let person = tx.find_person(name.as_str())?;
    Ok(person.is_none_or(|person| person.disabled_at.is_some()))
}

/// One message being received, inside its transaction.
struct Visit<'a, 'c> {
    cx: &'a Context,
    tx: &'a Tx<'c>,
    peer: &'a Peer,
    identity: Identity,
    checkin: &'a Checkin,
    now: Timestamp,
}

impl Visit<'_, '_> {
    fn decide(self) -> Result<Outcome, Error> {
        let from = &self.checkin.from;
        let topic = match &self.checkin.message {
            Message::Authenticate(said) => Some(&said.topic),
            Message::TokenUpdate(said) => Some(&said.target.topic),
            _ => None,
        };
        if let Some(topic) = topic
            && !self.tx.has_push_certificate(topic.as_str())?
        {
            return Ok(refuse(self.peer, self.checkin, "the Topic is not one of this server's"));
        }
        let device_channel = self.tx.find_enrollment(from.device_enrollment_id().as_str())?;
        let channel = if from.is_user() {
            self.tx.find_enrollment(from.enrollment_id().as_str())?
        } else {
            device_channel.clone()
        };
        let speaker = if !from.is_user() {
            Speaker::Device
        } else if is_guest(self.tx, from)? {
            Speaker::Guest
        } else {
            Speaker::User { known: channel.is_some() }
        };
        let mut fact = binding_fact(self.tx, &self.identity, device_channel.as_ref().map(|d| d.id))?;
        let mut known = device_channel.as_ref().map(|row| known(self.tx, row)).transpose()?;
        if let (Message::Authenticate(said), Some(row), Some(known)) =
            (&self.checkin.message, &device_channel, &mut known)
        {
            known.renewal_in_progress = renewing::is_of_open_renewal(self.tx, row.id, &self.identity)?;
            if matches!(fact, BindingFact::Current | BindingFact::Pending | BindingFact::Retired)
                && self.is_another_device(said, row.device)?
            {
                fact = BindingFact::BoundToOther;
            }
        }
        let step = lifecycle::next(known.as_ref(), speaker, event(&self.checkin.message), fact);
        let step = self.admitted(step, device_channel.as_ref())?;
        if let (Message::TokenUpdate(_), Some(row), Decision::Accept) =
            (&self.checkin.message, &device_channel, step.outcome)
        {
            let user = channel.as_ref().map(|c| c.id).filter(|_| from.is_user());
            renewing::token_updated(self.cx, self.tx, row, user, &self.identity, self.now)?;
        }

        let mut rows = Rows {
            device_channel: device_channel.as_ref().map(|d| d.id),
            channel: channel.as_ref().map(|c| c.id),
            device: None,
        };
        rows.device = device_channel.as_ref().map(|d| d.device);
        for effect in &step.effects {
            self.apply(*effect, &mut rows, device_channel.as_ref())?;
        }
        if let Some(channel) = channel.as_ref().filter(|_| !matches!(step.outcome, Decision::Refuse(_))) {
            note_user(self.tx, channel, from)?;
        }
        self.tell(&rows, &step.outcome)?;
        self.announce(&rows, &step.outcome, step.effects.contains(&Effect::MarkActive { first: true }))?;
        if let Some(channel) = rows.channel {
            self.cx.note_seen(channel, self.now);
        }
        if let (Decision::AuthenticateUser, Some(device_channel), Message::UserAuthenticate { digest_response }) =
            (step.outcome, &device_channel, &self.checkin.message)
        {
            let digest = digest_response.as_deref();
            return network_users::authenticate(self.cx, self.tx, from, digest, device_channel, self.now);
        }
        self.answer(&step.outcome, rows.device)
    }

    /// A user's message counts only if that user was let in; what would follow is dropped otherwise.
    fn admitted(&self, step: Step, device_channel: Option<&EnrollmentRow>) -> Result<Step, Error> {
        let from = &self.checkin.from;
        let (Some(device_channel), true) = (device_channel, from.is_user()) else { return Ok(step) };
        if matches!(
            step.outcome,
            Decision::Refuse(_) | Decision::RefuseStranger(_) | Decision::Unenroll | Decision::AuthenticateUser
        ) {
            return Ok(step);
        }
        let admission = network_users::admit(self.tx, from, device_channel.id)?;
        Ok(match network_users::settle(self.tx, admission, from, device_channel, self.now)? {
            Admission::Refuse(why) => Step { outcome: Decision::Refuse(why), effects: Vec::new() },
            _ => step,
        })
    }

    fn answer(&self, decision: &Decision, device: Option<i64>) -> Result<Outcome, Error> {
        Ok(match decision {
            Decision::Accept | Decision::Serve | Decision::ServeRenewal | Decision::AuthenticateUser => Outcome::Empty,
            Decision::GiveBootstrapToken => Outcome::Plist(self.bootstrap_token(device)?),
            Decision::DeclineUser => Outcome::refuse(RefusalStatus::Gone, "network users are not managed here"),
            Decision::Refuse(why) => refuse(self.peer, self.checkin, why),
            Decision::RefuseStranger(why) => leaving::stranger(self.tx, &self.checkin.from, why)?,
            Decision::Unenroll => {
                let row = device.map(|id| self.tx.find_device(id)).transpose()?.flatten();
                unenroll(row.as_ref())
            }
        })
    }

    fn apply(&self, effect: Effect, rows: &mut Rows, before: Option<&EnrollmentRow>) -> Result<(), Error> {
        let (tx, now) = (self.tx, self.now);
        if let Effect::StartGeneration(generation) = effect {
            return self.start_generation(generation, rows, before);
        }
        if let Effect::Raise(alert) = effect {
            let at = attention::Sighting {
                from: &self.checkin.from,
                serial: serial(&self.checkin.message),
                origin: &self.peer.origin,
            };
            return attention::raise(self.cx, tx, alert, &self.identity, before, &at, now);
        }
        let Some(device_channel) = rows.device_channel else {
            return Err(Error::internal("an effect without a device"));
        };
        match effect {
            Effect::StartGeneration(_) | Effect::Raise(_) => {}
            Effect::MarkStarted => {
                tx.mark_started(device_channel)?;
                tx.forget_standings(device_channel)?;
            }
            // Its companions, MarkStarted and MarkGone, forget the push targets in the same statement.
            Effect::DisablePush => {}
            Effect::ClearQueue => {
                tx.clear_queue(device_channel, now)?;
                tx.forget_channel_profiles(device_channel)?;
                tx.forget_device_provisioning(device_channel)?;
                tx.forget_series(device_channel)?;
                tx.forget_setups(device_channel)?;
            }
            Effect::KeepQueue => {
                let generation = before.map_or(1, |b| b.generation + 1);
                tx.carry_queue(device_channel, generation)?;
            }
            Effect::StoreTarget => self.store_target(rows)?,
            Effect::MarkActive { .. } => {}
            Effect::BindPending => self.bind(device_channel, BindingState::Pending)?,
            Effect::PromoteBinding => {
                self.bind(device_channel, BindingState::Current)?;
                tx.restore_certificate(&self.identity.certificate.fingerprint)?;
                if let Some(issued_profile) = self.identity.certificate.issued_profile {
                    tx.put_issued_profile(device_channel, issued_profile)?;
                    if let Some(started) = before.filter(|before| before.state == State::Started) {
                        arriving::enrolled(tx, started.device, issued_profile, now)?;
                    }
                }
            }
            Effect::RetireOthers => {
                let fingerprint = &self.identity.certificate.fingerprint;
                tx.retire_other_bindings(fingerprint, device_channel, now)?;
                // While a renewal may still roll back, what it replaces stays good.
                if !renewing::is_of_open_renewal(tx, device_channel, &self.identity)? {
                    tx.revoke_bound(device_channel, Some(fingerprint), revoking::REPLACED, now)?;
                }
            }
            Effect::MarkGone => {
                tx.mark_gone(device_channel, now)?;
                tx.revoke_bound(device_channel, None, revoking::CHECKED_OUT, now)?;
            }
            Effect::TakeBack => attention::taken_back(tx, device_channel, now)?,
            Effect::StoreBootstrapToken => {
                if let Message::SetBootstrapToken { token: Some(token), .. } = &self.checkin.message {
                    self.keep_secret(rows, "bootstrap-token", token)?;
                }
            }
            Effect::ForgetBootstrapToken => {
                if let Some(device) = rows.device {
                    tx.withdraw_secret(device, "bootstrap-token", now)?;
                }
            }
            Effect::StoreUnlockToken => {
                if let Message::TokenUpdate(TokenUpdate { unlock_token: Some(token), .. }) = &self.checkin.message {
                    self.keep_secret(rows, "unlock-token", token)?;
                }
            }
            Effect::CreateUserChannel => {
                if let Some(parent) = before {
                    rows.channel = Some(create_user_channel(tx, parent, &self.checkin.from, now)?);
                }
            }
            Effect::Greet => {
                if let Some(channel) = rows.channel
                    && let Some(row) = tx.find_enrollment_by_row(channel)?
                {
                    custody::ask_bypass_code(self.cx, tx, &row, now)?;
                    custody::ask_what_it_is(self.cx, tx, &row, now)?;
                    reconciling::reconcile(self.cx, tx, &row, reconciling::Call::Push, now)?;
                    setting_up::heard(self.cx, tx, &row, now)?;
                }
                if let Some(channel) = rows.channel
                    && tx.has_waiting(channel)?
                {
                    tx.owe_push(channel, now, now)?;
                }
            }
        }
        Ok(())
    }

    fn bind(&self, device_channel: i64, state: BindingState) -> Result<(), Error> {
        self.tx.put_binding(&self.identity.certificate.fingerprint, device_channel, state, self.now)?;
        Ok(())
    }

    /// The device and its channel exist from here on, under a new generation.
    fn start_generation(&self, generation: i64, rows: &mut Rows, before: Option<&EnrollmentRow>) -> Result<(), Error> {
        let Message::Authenticate(said) = &self.checkin.message else {
            return Err(Error::internal("a generation without Authenticate"));
        };
        let device = self.device_of(said, before)?;
        let row = match before {
            Some(before) => {
                if before.device != device {
                    self.tx.move_enrollment(before.id, device)?;
                }
                before.id
            }
            None => {
                let (udid, user_enrollment_id) = device_ids(&self.checkin.from);
                let id = self.checkin.from.device_enrollment_id();
                let new = NewEnrollment {
                    device,
                    parent: None,
                    enrollment_id: id.as_str(),
                    udid,
                    user_enrollment_id,
                    user_id: None,
                    user_short_name: None,
                    user_long_name: None,
                };
                self.tx.insert_enrollment(&new, self.now)?
            }
        };
        // A renewal counts when it is proven: until then the device may go back to the profile that it had.
        let renewal = renewing::is_of_open_renewal(self.tx, row, &self.identity)?;
        let issued_profile = self.identity.certificate.issued_profile.filter(|_| !renewal);
        self.tx.start_generation(row, generation, issued_profile, self.now)?;
        if !renewal {
            renewing::superseded(self.tx, row, self.now)?;
            self.tx.put_dismissed(row, None, None)?;
            self.tx.put_welcome_back(row, false)?;
            attention::settled_by_enrolment(self.tx, device, self.now)?;
        }
        self.tx.update_device(device, &facts(said))?;
        *rows = Rows { device_channel: Some(row), channel: Some(row), device: Some(device) };
        Ok(())
    }

    /// The identity of one device with the serial number of another.
    fn is_another_device(&self, said: &Authenticate, device: i64) -> Result<bool, Error> {
        let held = self.tx.find_device(device)?.and_then(|row| row.serial);
        Ok(match (&said.serial, held) {
            (Some(said), Some(held)) => said.as_str() != held,
            _ => false,
        })
    }

    /// The physical thing: by serial number where it gives one, else by its channel, else new.
    fn device_of(&self, said: &Authenticate, before: Option<&EnrollmentRow>) -> Result<i64, Error> {
        if let Some(serial) = &said.serial
            && let Some(found) = self.tx.find_device_by_serial(serial)?
        {
            return Ok(found.id);
        }
        match before {
            Some(before) => Ok(before.device),
            None => {
                let device = self.tx.insert_device(&DeviceId::mint(self.cx.random_bytes()), self.now)?;
                if self.cx.meets_synthetic(device_ids(&self.checkin.from).0, device) {
                    self.tx.mark_synthetic(device)?;
                }
                Ok(device)
            }
        }
    }

    fn store_target(&self, rows: &Rows) -> Result<(), Error> {
        let Message::TokenUpdate(update) = &self.checkin.message else {
            return Err(Error::internal("a target without TokenUpdate"));
        };
        let Some(channel) = rows.channel else { return Err(Error::internal("a target without a channel")) };
        self.tx.activate(channel, &update.target, update.awaiting_configuration, update.not_on_console, self.now)?;
        let names = &self.checkin.from.names;
        if self.checkin.from.is_user() {
            self.tx.update_user_names(channel, names.short.as_deref(), names.long.as_deref())?;
        }
        Ok(())
    }

    fn keep_secret(&self, rows: &Rows, kind: &str, value: &Secret<Vec<u8>>) -> Result<(), Error> {
        let Some(device) = rows.device else { return Err(Error::internal("a secret without a device")) };
        custody::keep(self.cx, self.tx, device, kind, value, self.now)
    }

    /// `{BootstrapToken: data}`; without the key when none is kept. Never an error.
    fn bootstrap_token(&self, device: Option<i64>) -> Result<Vec<u8>, Error> {
        let mut answer = Dictionary::new();
        if let Some(device) = device
            && let Some(row) = self.tx.find_secret(device, "bootstrap-token")?
            && row.withdrawn_at.is_none()
            && let Some(sealed) = &row.sealed_value
        {
            let value = self.cx.open(&custody::place(device, "bootstrap-token", row.generation), sealed)?;
            answer.insert(String::from("BootstrapToken"), Value::Data(value.expose().clone()));
        }
        Ok(to_xml(&Value::Dictionary(answer)))
    }

    fn tell(&self, rows: &Rows, outcome: &Decision) -> Result<(), Error> {
        let Some(device) = rows.device else { return Ok(()) };
        let detail = match outcome {
            Decision::Refuse(why) | Decision::RefuseStranger(why) => {
                Some(json!({ "refused": why, "origin": self.peer.origin }).to_string())
            }
            Decision::Unenroll => Some(json!({ "unenrolled": true }).to_string()),
            Decision::DeclineUser => {
                let user = self.checkin.from.names.short.as_deref();
                Some(json!({ "user": user, "declined": "the school does not manage this user" }).to_string())
            }
            _ => None,
        };
        self.tx.tell(device, rows.channel, None, self.checkin.message.message_type(), detail.as_deref(), self.now)?;
        Ok(())
    }
}

impl Visit<'_, '_> {
    /// Tells webhooks what a message has changed; never what it carried.
    fn announce(&self, rows: &Rows, outcome: &Decision, first: bool) -> Result<(), Error> {
        let (Some(device), Decision::Accept) = (rows.device, outcome) else { return Ok(()) };
        let from = &self.checkin.from;
        let (kind, kept) = match &self.checkin.message {
            Message::Authenticate(_) => (Kind::DeviceAuthenticated, None),
            Message::TokenUpdate(_) if first && !from.is_user() => (Kind::DeviceEnrolled, None),
            Message::TokenUpdate(_) => (Kind::DeviceTokenUpdated, None),
            Message::CheckOut { .. } => (Kind::DeviceCheckedOut, None),
            Message::SetBootstrapToken { token, .. } => (Kind::DeviceBootstrapToken, Some(token.is_some())),
            _ => return Ok(()),
        };
        events::record(self.cx, self.tx, kind, Some(device), self.now, || {
            let mut more = serde_json::Map::new();
            if from.is_user() {
                more.insert(String::from("user"), json!(from.names.short.as_deref().map(events::bounded)));
            }
            if let Some(kept) = kept {
                more.insert(String::from("bootstrap_token"), json!({ "kept": kept }));
            }
            serde_json::Value::Object(more)
        })
    }
}

/// Row ids as they come to exist while effects are applied.
struct Rows {
    device_channel: Option<i64>,
    channel: Option<i64>,
    device: Option<i64>,
}

/// The serial number that a message gives; only Authenticate does.
fn serial(message: &Message) -> Option<&str> {
    match message {
        Message::Authenticate(said) => said.serial.as_ref().map(|serial| serial.as_str()),
        _ => None,
    }
}

fn event(message: &Message) -> Event {
    match message {
        Message::Authenticate(_) => Event::Authenticate,
        Message::TokenUpdate(update) => Event::TokenUpdate { has_unlock_token: update.unlock_token.is_some() },
        Message::CheckOut { .. } => Event::CheckOut,
        Message::UserAuthenticate { .. } => Event::UserAuthenticate,
        Message::SetBootstrapToken { token, .. } => Event::SetBootstrapToken { has_token: token.is_some() },
        Message::GetBootstrapToken { .. } => Event::GetBootstrapToken,
        Message::GetToken { .. } => Event::GetToken,
        Message::DeclarativeManagement { .. } => Event::DeclarativeManagement,
    }
}

fn facts(said: &Authenticate) -> DeviceFacts {
    DeviceFacts {
        serial: said.serial.clone(),
        name: said.device_name.clone(),
        platform: platform(said.product_name.as_deref().or(said.model.as_deref()), said.model_name.as_deref()),
        model: said.model.clone(),
        model_name: said.model_name.clone(),
        product_name: said.product_name.clone(),
        os_version: said.os_version.clone(),
        build_version: said.build_version.clone(),
        imei: said.imei.clone(),
        meid: said.meid.clone(),
        supervised: None,
        lost_mode: None,
    }
}

/// The system by product identifier (`iPad13,1`, `MacBookAir10,1`) or, failing that, by model name.
pub(super) fn platform(product: Option<&str>, model_name: Option<&str>) -> Option<&'static str> {
    const FAMILIES: [(&str, &str); 12] = [
        ("iPad", "iPadOS"),
        ("iPhone", "iOS"),
        ("iPod", "iOS"),
        ("AppleTV", "tvOS"),
        ("Apple TV", "tvOS"),
        ("Watch", "watchOS"),
        ("Apple Watch", "watchOS"),
        ("RealityDevice", "visionOS"),
        ("iMac", "macOS"),
        ("Mac", "macOS"),
        ("VirtualMac", "macOS"),
        ("Xserve", "macOS"),
    ];
    let of = |text: &str| FAMILIES.iter().find(|(family, _)| text.starts_with(family)).map(|(_, system)| *system);
    product.and_then(of).or_else(|| model_name.and_then(of))
}
