//! How a simulated device comes under management: profile, identity, Authenticate, TokenUpdate. Either all of it happens, or the
//! device stays as it was, which is also how a replaced enrolment profile that fails is rolled back.
//!
//! Called by whoever hands a profile to a [`Device`], and by `session` when the profile comes as a command.

use std::sync::Arc;
use std::time::Duration;

use super::device::{Device, DeviceError, Managed, anchors_of};
use super::link::Link;
use super::messages::{self, CHECK_IN};
use super::profile::{self, Enrolling, IdentityPayload, Refusal};
use super::spec::{Kind, derive};
use super::state::{Blob, Channel, Event, Held, Line, Standing};
use super::{replacement, scep};
use crate::pki::pkcs12;

/// How often a message of an enrolment is sent when the server cannot take it now.
const ENROLL_ATTEMPTS: u32 = 3;

impl Device {
    /// Installs an enrolment profile by hand, or lets a newer one of the same identifier replace it. Afterwards it is silent until pushed.
    ///
    /// # Errors
    /// [`DeviceError`]; a device that was enrolled before keeps its old configuration.
    pub fn enroll(&mut self, profile: &[u8]) -> Result<(), DeviceError> {
        let enrolling = profile::read_enrollment(profile)?;
        if let Some(old) = &self.managed {
            if old.enrolling.profile.identifier != enrolling.profile.identifier {
                return Err(Refusal::mdm(12001, "the device is managed already").into());
            }
            replacement::check_replacement(&old.enrolling, &enrolling)?;
        }
        let held = self.obtain_identity(profile, &enrolling)?;
        let managed = Arc::new(Managed::from_held(&self.world, &held)?);
        let mut link = Link::open(&self.world, &managed, &held, &self.state.behaviour)?;
        self.check_in(&mut link, &managed.enrolling)?;
        self.state.held = Some(held);
        self.state.standing = Standing::Enrolled;
        self.state.enrolled_at = Some(self.world.clock.now().0);
        self.managed = Some(managed);
        Ok(())
    }

    fn obtain_identity(&self, profile: &[u8], enrolling: &Enrolling) -> Result<Held, DeviceError> {
        let profile = Blob(profile.to_vec());
        match &enrolling.identity {
            IdentityPayload::Scep(payload) => {
                let anchors = anchors_of(&self.world, enrolling);
                let identity = scep::obtain(&self.world, &anchors, payload, &self.state.behaviour)?;
                Ok(Held { profile, key_pkcs8: identity.key_pkcs8, chain: identity.chain })
            }
            IdentityPayload::Pkcs12 { der, password } => {
                let (key, certificate) = pkcs12::read(der.expose(), password)
                    .map_err(|e| Refusal::installation(4001, format!("the identity does not open: {e}")))?;
                let key_pkcs8 = Blob(key.to_pkcs8_der().expose().clone());
                Ok(Held { profile, key_pkcs8, chain: vec![Blob(certificate.der().to_vec())] })
            }
        }
    }

    /// Authenticate, then TokenUpdate for the device, then for the person at a Mac; the state changes only when all went through.
    fn check_in(&mut self, link: &mut Link, enrolling: &Enrolling) -> Result<(), DeviceError> {
        let mdm = &enrolling.mdm;
        let body = messages::authenticate(&self.state, mdm);
        self.send_check_in(link, enrolling, Channel::Device, "Authenticate", &body)?;
        self.state.generation += 1;
        self.state.awaiting.retain(|c| *c != Channel::Device);
        if self.state.behaviour.awaits_configuration {
            self.state.awaiting.push(Channel::Device);
        }
        if self.managed.is_some() && take_one(&mut self.state.behaviour.fails_replacement) {
            return Err(Refusal::installation(4001, "another payload of the profile could not be installed").into());
        }
        let line = self.state.new_line(Channel::Device);
        let unlock_token = self.new_unlock_token(mdm.access_rights);
        let body = messages::token_update(&self.state, mdm, Channel::Device, &line, unlock_token.as_ref());
        self.send_check_in(link, enrolling, Channel::Device, "TokenUpdate", &body)?;
        if self.managed.is_some() && take_one(&mut self.state.behaviour.forgets_replacement) {
            return Err(DeviceError::Refused { message: "TokenUpdate", status: 0 });
        }
        let user = if self.state.spec.person.is_some() && mdm.per_user_connections {
            self.check_user_in(link, enrolling)?
        } else {
            None
        };
        // What waited on the old line (a result that the server has not taken) still waits.
        let carried = |new: Line, old: Option<Line>| Line { unsent: old.and_then(|l| l.unsent), ..new };
        self.state.device = Some(carried(line, self.state.device.take()));
        self.state.user = user.map(|line| carried(line, self.state.user.take()));
        self.state.unlock_token = unlock_token;
        // Other users are asked about again when they next log in.
        for agent in &mut self.state.agents {
            agent.line = None;
            agent.logged_in = false;
        }
        Ok(())
    }

    /// 410 means: this person is not managed. Everything else but 2xx fails the enrolment.
    fn check_user_in(&mut self, link: &mut Link, enrolling: &Enrolling) -> Result<Option<Line>, DeviceError> {
        let line = self.state.new_line(Channel::User);
        let body = messages::token_update(&self.state, &enrolling.mdm, Channel::User, &line, None);
        match self.send_check_in(link, enrolling, Channel::User, "TokenUpdate", &body) {
            Ok(()) => Ok(Some(line)),
            Err(DeviceError::Refused { status: 410, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends one check-in message, again when the server is busy or the network broke.
    pub(super) fn send_check_in(
        &mut self,
        link: &mut Link,
        enrolling: &Enrolling,
        channel: Channel,
        message: &'static str,
        body: &[u8],
    ) -> Result<(), DeviceError> {
        let mut attempt = 1;
        loop {
            let sent = link.put(&enrolling.mdm.check_in_url, CHECK_IN, body);
            match &sent {
                Ok(answer) => self.note(channel, Event::CheckIn { message: message.to_owned(), status: answer.status }),
                Err(error) => self.note(channel, Event::Failed { what: format!("{message}: {error}") }),
            }
            match sent {
                Ok(answer) if answer.is_success() => return Ok(()),
                Ok(answer) if answer.status < 500 || attempt == ENROLL_ATTEMPTS => {
                    return Err(DeviceError::Refused { message, status: answer.status });
                }
                Err(error) if attempt == ENROLL_ATTEMPTS => return Err(error.into()),
                Ok(_) | Err(_) => (self.world.pause)(Duration::from_millis(self.state.behaviour.retry_millis)),
            }
            attempt += 1;
        }
    }

    /// iPads and iPhones hand over their unlock token when the server may clear passcodes.
    fn new_unlock_token(&self, access_rights: u32) -> Option<Blob> {
        let has_one = matches!(self.state.spec.kind, Kind::Ipad | Kind::Iphone) && access_rights & 4 != 0;
        let part = |n: u32| derive(self.state.spec.seed, &format!("unlock token {} {n}", self.state.generation));
        has_one.then(|| Blob((0..16).flat_map(part).collect()))
    }
}

/// Counts a misdeed down; whether it is to be done.
fn take_one(left: &mut u32) -> bool {
    let due = *left > 0;
    *left = left.saturating_sub(1);
    due
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};

    use super::super::network::{Network, tls_config};
    use super::super::spec::Spec;
    use super::super::state::SignatureShape;
    use super::super::test_school::{
        check_ins, command, enrolled_with, hand_out, number, parts, pki, school, text, world,
    };
    use super::super::test_server::{Script, answer};
    use super::*;
    use crate::base::time::{Clock, ManualClock, SystemClock};
    use crate::pki;
    use crate::pki::cms::{sign_attached, verify_detached};
    use crate::pki::x509::Certificate;
    use crate::plist::Value;

    fn new_device(kind: Kind, server: &Script) -> Device {
        Device::new(world(server, Arc::new(ManualClock::at(SystemClock.now()))), Spec::new(kind, 3))
    }

    fn messages(server: &Script) -> Vec<String> {
        check_ins(server).iter().map(|m| m.string("MessageType").unwrap().to_owned()).collect()
    }

    #[test]
    fn an_ipad_enrolls_and_then_is_silent() {
        let server = school(0, None);
        let mut device = new_device(Kind::Ipad, &server);
        device.enroll(&parts().bytes()).unwrap();
        assert_eq!(messages(&server), ["Authenticate", "TokenUpdate"]);
        let said = check_ins(&server);
        assert_eq!(said[0].string("SerialNumber").unwrap(), device.spec().serial);
        assert!(said[0].get("DeviceName").is_none());
        let line = device.state().device.as_ref().unwrap();
        assert_eq!(said[1].data("Token").unwrap(), line.token.0);
        assert_eq!(said[1].data("UnlockToken").unwrap(), device.state().unlock_token.as_ref().unwrap().0);
        let scep: Vec<_> =
            server.seen().iter().filter(|s| s.target.contains("PKIOperation")).map(|s| s.method.clone()).collect();
        assert_eq!(scep, ["POST"]);
        assert_eq!(device.standing(), Standing::Enrolled);
        let restored = Device::restore(Arc::clone(&device.world), &device.save()).unwrap();
        assert_eq!(restored.state(), device.state());
    }

    #[test]
    fn a_mac_brings_its_person_and_a_signed_profile_is_opened() {
        let server = school(0, None);
        let mut device = new_device(Kind::Mac, &server);
        let issuing = &pki().issuing;
        let signed = sign_attached(&parts().bytes(), &issuing.certificate, &issuing.key, &[], SystemClock.now());
        device.enroll(&signed).unwrap();
        assert_eq!(messages(&server), ["Authenticate", "TokenUpdate", "TokenUpdate"]);
        let said = check_ins(&server);
        assert_eq!(said[2].string("UserID").unwrap(), device.spec().person.as_ref().unwrap().guid);
        assert!(
            said[1].get("UnlockToken").is_none() && said[1].data("Token").unwrap() != said[2].data("Token").unwrap()
        );
        let mut without = parts();
        without.mdm.remove("ServerCapabilities");
        let server = school(0, None);
        let mut device = new_device(Kind::Mac, &server);
        device.enroll(&without.bytes()).unwrap();
        assert_eq!(messages(&server), ["Authenticate", "TokenUpdate"]);
    }

    #[test]
    fn is_patient_with_a_pending_certificate_also_by_get() {
        let server = school(2, None);
        let mut device = new_device(Kind::Ipad, &server);
        device.behaviour_mut().scep_by_get = true;
        device.enroll(&parts().bytes()).unwrap();
        let asked = server.seen().iter().filter(|s| s.target.contains("PKIOperation") && s.method == "GET").count();
        assert_eq!(asked, 3);
        let mut device = new_device(Kind::Ipad, &school(4, None));
        assert!(matches!(device.enroll(&parts().bytes()), Err(DeviceError::Scep(_))));
        assert_eq!(device.standing(), Standing::Unmanaged);
    }

    #[test]
    fn checks_the_fingerprint_of_the_authority() {
        let der = pki().issuing.certificate.der();
        let table = [
            (pki::digest::sha1(der).to_vec(), true),
            (pki::digest::sha256(der).to_vec(), true),
            (vec![0; 32], false),
            (vec![0; 16], false),
        ];
        for (fingerprint, good) in table {
            let mut parts = parts();
            let Some(Value::Dictionary(inner)) = parts.scep.get_mut("PayloadContent") else { panic!() };
            inner.insert("CAFingerprint".to_owned(), Value::Data(fingerprint));
            let mut device = new_device(Kind::Ipad, &school(0, None));
            assert_eq!(device.enroll(&parts.bytes()).is_ok(), good);
        }
    }

    #[test]
    fn a_failed_replacement_leaves_everything_as_it_was() {
        for refuse in [401, 500] {
            let server = school(0, Some(refuse));
            let world = world(&server, Arc::new(ManualClock::at(SystemClock.now())));
            let mut device = enrolled_with(Kind::Ipad, 1, &world, parts().bytes());
            let before = device.state().held.clone();
            assert!(
                matches!(device.enroll(&parts().bytes()), Err(DeviceError::Refused { status, .. }) if status == refuse)
            );
            assert_eq!((device.standing(), &device.state().held), (Standing::Enrolled, &before));
            let sent = messages(&server).len();
            assert_eq!(sent, if refuse == 401 { 1 } else { 3 });
        }
    }

    #[test]
    fn a_pushed_enrolment_profile_renews_the_identity() {
        let server = school(0, None);
        let world = world(&server, Arc::new(ManualClock::at(SystemClock.now())));
        let mut device = enrolled_with(Kind::Ipad, 1, &world, parts().bytes());
        let before = device.state().held.clone().unwrap();
        let old_token = device.state().device.clone().unwrap().token;
        let mut newer = parts();
        newer.mdm.insert("AccessRights".to_owned(), number(8191 - 8));
        let install = command("R", "InstallProfile", &[("Payload", Value::Data(newer.bytes()))]);
        // Commands come from a second server behind the same name, so that the first one stays simple.
        let commands = Script::start(vec![hand_out(&install), answer(200, "text/plain", b"")]);
        let split = Script::answering(relay(server.address, commands.address));
        world.network.route("mdm.test", split.address, crate::simulator::network::Via::StrippedTls).unwrap();
        device.poll(Channel::Device).unwrap();
        let after = device.state().held.clone().unwrap();
        assert!(after.chain != before.chain && after.key_pkcs8 != before.key_pkcs8);
        assert_ne!(device.state().device.as_ref().unwrap().token, old_token);
        assert_eq!(device.executed()[0].status.as_deref(), Some("Acknowledged"));
        assert_eq!(commands.seen().len(), 2);
    }

    /// Check-ins and SCEP to one server, commands to the other.
    fn relay(
        school: std::net::SocketAddr,
        commands: std::net::SocketAddr,
    ) -> impl FnMut(&super::super::test_server::Seen) -> Vec<u8> + Send {
        move |seen| {
            let to = if seen.target == "/mdm/command" { commands } else { school };
            let url = format!("http://{to}{}", seen.target).parse().unwrap();
            let mut client =
                super::super::wire::Client::new(Arc::new(Network::default()), tls_config(&[], None).unwrap());
            let request =
                super::super::wire::Request { method: &seen.method, url: &url, headers: &[], body: &seen.body };
            let got = client.send(&request).unwrap();
            answer(got.status, got.find_header("content-type").unwrap_or_default(), &got.body)
        }
    }

    #[test]
    fn signs_its_messages_where_the_profile_says_so() {
        for shape in [SignatureShape::Bare, SignatureShape::WithAttributes] {
            let server = school(0, None);
            let mut device = new_device(Kind::Ipad, &server);
            device.behaviour_mut().signature = shape;
            let mut signing = parts();
            signing.mdm.insert("SignMessage".to_owned(), Value::Boolean(true));
            device.enroll(&signing.bytes()).unwrap();
            device.poll(Channel::Device).unwrap();
            let leaf = Certificate::parse(&device.state().held.as_ref().unwrap().chain[0].0).unwrap();
            let signed: Vec<_> = server.seen().into_iter().filter(|s| s.target.starts_with("/mdm/")).collect();
            assert_eq!(signed.len(), 3);
            for seen in signed {
                let header = STANDARD.decode(seen.header("mdm-signature").unwrap()).unwrap();
                assert_eq!(verify_detached(&seen.body, &header).unwrap().signer, leaf);
            }
        }
        let server = school(0, None);
        new_device(Kind::Ipad, &server).enroll(&parts().bytes()).unwrap();
        assert!(server.seen().iter().all(|s| s.header("mdm-signature").is_none()));
    }

    #[test]
    fn a_second_management_is_refused() {
        let server = school(0, None);
        let mut device = new_device(Kind::Ipad, &server);
        device.enroll(&parts().bytes()).unwrap();
        let mut other = parts();
        other.top.insert("PayloadIdentifier".to_owned(), text("other.mdm"));
        let other = other.bytes();
        assert!(matches!(device.enroll(&other), Err(DeviceError::Profile(Refusal { code: 12001, .. }))));
        device.remove_management();
        assert_eq!(messages(&server), ["Authenticate", "TokenUpdate", "CheckOut"]);
        device.enroll(&other).unwrap();
        assert_eq!(device.standing(), Standing::Enrolled);
    }
}
