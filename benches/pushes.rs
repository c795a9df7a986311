//! Pushes through the real sender to the local stand-in for Apple's service, on one HTTP/2 connection.

use crate::Fault;
use crate::report::{Goal, Line};
use crate::school::TOPIC;
use cordon::apple::apns::{Config, Sender};
use cordon::base::ids::upper_uuid;
use cordon::base::push::{PushMagic, PushTarget, PushToken, Topic};
use cordon::base::random;
use cordon::base::secret::Secret;
use cordon::pki::SystemRandom;
use cordon::pki::keys::PrivateKey;
use cordon::pki::x509::pem_to_ders;
use cordon::service::ports::{Push, PushCredential, PushResult, PushSender};
use cordon::simulator::apns::StandIn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Not counted: the handshake.
const WARM_UP: Duration = Duration::from_millis(500);
const SPAN: Duration = Duration::from_secs(4);

/// What became of the pushes.
#[derive(Default)]
struct Fates {
    accepted: AtomicUsize,
    lost: AtomicUsize,
}

/// Pushes per second, the stand-in on the same machine.
pub fn measure() -> Result<Vec<Line>, Fault> {
    let stand_in = StandIn::start()?;
    stand_in.accept_all(true);
    let mut config = Config::new(&stand_in.url(), Arc::new(SystemRandom));
    config.extra_ca_pem = Some(stand_in.ca_pem().into_bytes());
    let sender = Sender::start(config)?;
    let (certificate, key) = stand_in.push_certificate(TOPIC)?;
    let key_pkcs8 = Secret::new(PrivateKey::from_pem(&key)?.to_pkcs8_der().expose().clone());
    let topic = Topic::new(TOPIC)?;
    sender.set_credential(&topic, PushCredential { chain_der: pem_to_ders(&certificate), key_pkcs8 });

    let fates = Arc::new(Fates::default());
    let begun = Instant::now();
    let mut before = None;
    while begun.elapsed() < WARM_UP + SPAN {
        if before.is_none() && begun.elapsed() >= WARM_UP {
            before = Some((fates.accepted.load(Ordering::Relaxed), Instant::now()));
        }
        let counted = Arc::clone(&fates);
        let done = Box::new(move |result: PushResult| {
            let fate = if matches!(result, PushResult::Answered { status: 200, .. }) {
                &counted.accepted
            } else {
                &counted.lost
            };
            fate.fetch_add(1, Ordering::Relaxed);
        });
        if sender.send(push(&topic)?, done).is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let (before, since) = before.ok_or("the clock stood still")?;
    let rate = (fates.accepted.load(Ordering::Relaxed) - before) as f64 / since.elapsed().as_secs_f64();
    let lost = fates.lost.load(Ordering::Relaxed);
    if lost > 0 {
        return Err(format!("{lost} pushes were not accepted").into());
    }
    Ok(vec![Line {
        what: String::from("pushes, one connection"),
        unit: "/s",
        figure: rate,
        goal: Goal::AtLeast(20_000.0),
        raw: None,
    }])
}

fn push(topic: &Topic) -> Result<Push, Fault> {
    let token = PushToken::new(random::bytes::<32>(&SystemRandom).to_vec())?;
    let apns_id = upper_uuid(random::bytes(&SystemRandom)).to_lowercase();
    let target =
        PushTarget { topic: topic.clone(), token, magic: PushMagic::new("6A9F0E9C-0000-4000-8000-000000000000")? };
    Ok(Push { target, expiration_secs: 4_000_000_000, priority: 10, apns_id })
}
