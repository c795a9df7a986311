//! One simulated device in a fleet of its own: pushes that the stand-in delivers wake it, unless the test made it deaf.

use super::wire::Identity;
use super::{PATIENCE, Shared, TOPIC};
use cordon::simulator::agents::Login;
use cordon::simulator::apns::{Delivered, OnPush, StandIn};
use cordon::simulator::device::{Device, DeviceError, World};
use cordon::simulator::fleet::Fleet;
use cordon::simulator::spec::{Kind, Spec};
use cordon::simulator::state::{Account, Behaviour, Channel, Executed, Line, Standing};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub struct Handle {
    pub fleet: Fleet,
    udid: String,
    pushes: Shared<Vec<Delivered>>,
    deaf: Arc<AtomicBool>,
}

impl Handle {
    pub fn new(world: &Arc<World>, kind: Kind, seed: u64, behaviour: Behaviour) -> Self {
        let mut device = Device::new(Arc::clone(world), Spec::new(kind, seed));
        *device.behaviour_mut() = behaviour;
        let udid = device.spec().udid.clone();
        let fleet = Fleet::start(Arc::clone(world), vec![device], 1);
        Self { fleet, udid, pushes: Shared::default(), deaf: Arc::default() }
    }

    pub fn udid(&self) -> String {
        self.udid.clone()
    }

    /// Enrols, and fails the test if that does not go through.
    #[track_caller]
    pub fn enroll(&self, stand_in: &StandIn, profile: &[u8]) {
        self.try_enroll(stand_in, profile).unwrap();
        assert_eq!(self.with(|d| d.standing()), Standing::Enrolled);
    }

    /// The tokens of the enrolment to come are known to Apple before the server can use them.
    pub fn try_enroll(&self, stand_in: &StandIn, profile: &[u8]) -> Result<(), String> {
        let before = self.fleet.troubles().len();
        self.expect_tokens(stand_in);
        self.fleet.enroll(0, profile.to_vec());
        assert!(self.fleet.settle(PATIENCE), "the enrolment does not end");
        match self.fleet.troubles().get(before) {
            None => Ok(()),
            Some((_, trouble)) => Err(trouble.clone()),
        }
    }

    /// A new push token, told to the server.
    #[track_caller]
    pub fn renew_token(&self, stand_in: &StandIn, channel: Channel) {
        self.expect_tokens(stand_in);
        self.with(|d| d.renew_token(channel)).unwrap();
        self.learn();
    }

    /// Tokens follow from the seed and the generation, so the next ones can be told in advance.
    fn expect_tokens(&self, stand_in: &StandIn) {
        let mut next = self.with(|d| d.state().clone());
        next.generation += 1;
        for channel in next.channels() {
            self.register(stand_in, &next.new_line(channel));
        }
    }

    /// One more person with an account on the device; Apple knows the token that their channel will have.
    pub fn add_user(&self, stand_in: &StandIn, name: &str, account: Account) -> Channel {
        let channel = self.with(|d| d.add_user(name, &format!("{name} the User"), account));
        let line = self.with(|d| d.state().new_line(channel));
        self.register(stand_in, &line);
        channel
    }

    /// Somebody logs in, and the person is let in.
    #[track_caller]
    pub fn log_in(&self, channel: Channel) -> Login {
        let login = self.with(|d| d.log_in(channel)).unwrap();
        self.fleet.learn(0);
        login
    }

    /// For devices that check in by themselves: every token of so many enrolments to come.
    pub fn expect_many_tokens(&self, stand_in: &StandIn, generations: u32) {
        let mut next = self.with(|d| d.state().clone());
        for _ in 0..generations {
            next.generation += 1;
            for channel in [Channel::Device, Channel::User] {
                self.register(stand_in, &next.new_line(channel));
            }
        }
    }

    fn register(&self, stand_in: &StandIn, line: &Line) {
        let (pushes, deaf, receiver) = (Arc::clone(&self.pushes), Arc::clone(&self.deaf), self.fleet.receiver());
        let on_push: OnPush = Arc::new(move |push| {
            let (token, magic) = (push.token.clone(), push.magic.clone());
            pushes.lock().unwrap().push(push);
            if !deaf.load(Ordering::SeqCst) {
                receiver(&token, &magic);
            }
        });
        stand_in.register(&line.token.0, TOPIC, &line.magic, on_push);
    }

    /// A deaf device is pushed like any other, and does not come by itself.
    pub fn set_deaf(&self, deaf: bool) {
        self.deaf.store(deaf, Ordering::SeqCst);
    }

    pub fn with<T>(&self, look: impl FnOnce(&mut Device) -> T) -> T {
        self.fleet.with(0, look)
    }

    /// One session, now.
    pub fn poll(&self, channel: Channel) -> Result<(), DeviceError> {
        let ended = self.with(|d| d.poll(channel));
        self.learn();
        ended
    }

    /// Lets the fleet see what the test did to its device: new tokens, a session that it wants to hold later.
    fn learn(&self) {
        self.fleet.wake(0);
        assert!(self.fleet.settle(PATIENCE), "the device does not settle");
    }

    /// Pushes that reached this channel's present token.
    pub fn pushes(&self, channel: Channel) -> Vec<Delivered> {
        let token = self.token(channel);
        self.pushes.lock().unwrap().iter().filter(|p| p.token == token).cloned().collect()
    }

    pub fn token(&self, channel: Channel) -> Vec<u8> {
        self.with(|d| d.state().find_line(channel).unwrap().token.0.clone())
    }

    /// The commands that ever reached it.
    pub fn executed(&self) -> Vec<Executed> {
        self.with(|d| d.executed().to_vec())
    }

    /// Its certificate and key, for requests that a device of its own accord would never make.
    pub fn identity(&self) -> Identity {
        self.with(|d| {
            let held = d.state().held.as_ref().unwrap();
            Identity { chain: held.chain.iter().map(|c| c.0.clone()).collect(), key: held.key_pkcs8.0.clone() }
        })
    }

    /// The short name of the person at this Mac.
    pub fn user(&self) -> String {
        self.with(|d| d.spec().person.as_ref().unwrap().short_name.clone())
    }
}
