//! The sender against the stand-in and against a server that speaks raw frames, on real loopback sockets.

use super::*;
use crate::base::push::{PushMagic, PushTarget, PushToken};
use crate::base::secret::Secret;
use crate::base::time::{Clock, SystemClock, Timestamp};
use crate::protocol::push::{PushAction, action, expiration};
use crate::simulator::apns::{Goaway, StandIn, UnknownTokens};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use std::sync::mpsc::{Receiver, channel};

pub(super) const TOPIC: &str = "com.apple.mgmt.External.a1";
pub(super) const LONG: Duration = Duration::from_secs(20);

struct Fixed;
impl Random for Fixed {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
}

pub(super) fn topic() -> Topic {
    Topic::new(TOPIC).unwrap()
}

/// Short times: a test that waits must not take long.
pub(super) fn config(url: &str, ca_pem: String) -> Config {
    Config {
        extra_ca_pem: Some(ca_pem.into_bytes()),
        redial_first: Duration::from_millis(20),
        redial_max: Duration::from_millis(100),
        response_timeout: LONG,
        patience: LONG,
        ..Config::new(url, Arc::new(Fixed))
    }
}

pub(super) fn credential(stand_in: &StandIn, topic: &str) -> PushCredential {
    let (certificate, key) = stand_in.push_certificate(topic).unwrap();
    let chain_der = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap().to_vec()];
    let key = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).unwrap();
    PushCredential { chain_der, key_pkcs8: Secret::new(key.secret_pkcs8_der().to_vec()) }
}

/// A sender that may push to `stand_in`, after `change` of its configuration.
fn sender(stand_in: &StandIn, change: impl FnOnce(&mut Config)) -> Sender {
    let mut config = config(&stand_in.url(), stand_in.ca_pem());
    change(&mut config);
    let sender = Sender::start(config).unwrap();
    sender.set_credential(&topic(), credential(stand_in, TOPIC));
    sender
}

pub(super) fn push_to(token: &[u8]) -> Push {
    let target = PushTarget {
        topic: topic(),
        token: PushToken::new(token.to_vec()).unwrap(),
        magic: PushMagic::new("m").unwrap(),
    };
    let random = token.iter().fold([0; 16], |mut id: [u8; 16], b| {
        id.rotate_left(1);
        id[15] = *b;
        id
    });
    let apns_id = crate::base::ids::upper_uuid(random).to_lowercase();
    Push { target, expiration_secs: expiration(SystemClock.now()), priority: 10, apns_id }
}

fn start(sender: &Sender, push: Push) -> Receiver<PushResult> {
    let (done, result) = channel();
    sender.send(push, Box::new(move |r| done.send(r).unwrap())).unwrap();
    result
}

pub(super) fn send(sender: &Sender, token: &[u8]) -> PushResult {
    start(sender, push_to(token)).recv_timeout(LONG).unwrap()
}

/// Starts `count` pushes to different tokens; all results come through one channel.
pub(super) fn flood(sender: &Sender, count: u32) -> Receiver<PushResult> {
    let (done, results) = channel();
    for n in 0..count {
        let done = done.clone();
        sender.send(push_to(&n.to_be_bytes()), Box::new(move |r| done.send(r).unwrap())).unwrap();
    }
    results
}

pub(super) fn accepted() -> PushResult {
    PushResult::Answered { status: 200, reason: None, timestamp_ms: None, retry_after_secs: None }
}

fn unreached(result: PushResult) -> String {
    match result {
        PushResult::Unreached { why } => why,
        answered => panic!("{answered:?}"),
    }
}

fn wait_until(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < LONG, "waited in vain");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_push_reaches_its_device_exactly_as_asked() {
    let stand_in = StandIn::start().unwrap();
    let sender = sender(&stand_in, |_| ());
    let pushes = stand_in.register_channel(&[0xAB, 1], TOPIC, "m");
    let push = push_to(&[0xAB, 1]);
    assert_eq!(start(&sender, push.clone()).recv_timeout(LONG).unwrap(), accepted());
    let got = pushes.recv_timeout(LONG).unwrap();
    assert_eq!((got.token, got.topic.as_str(), got.magic.as_str()), (vec![0xAB, 1], TOPIC, "m"));
    assert_eq!((got.apns_id, got.expiration_secs, got.priority), (push.apns_id, push.expiration_secs, 10));
    // The strict stand-in refused nothing, and the connection is kept.
    assert_eq!(send(&sender, &[0xAB, 1]), accepted());
    let counts = stand_in.counts();
    assert_eq!((counts.connections, counts.delivered, counts.refused.len()), (1, 2, 0));
    assert_eq!(sender.waiting(), 0);
}

#[test]
fn a_device_that_was_away_gets_its_last_push() {
    let stand_in = StandIn::start().unwrap();
    let sender = sender(&stand_in, |_| ());
    let pushes = stand_in.register_channel(&[1], TOPIC, "m");
    stand_in.set_offline(&[1]);
    assert_eq!(send(&sender, &[1]), accepted());
    assert_eq!(send(&sender, &[1]), accepted());
    assert!(pushes.try_recv().is_err());
    assert!(stand_in.wake(&[1]));
    assert!(pushes.try_recv().unwrap().stored);
    assert!(pushes.try_recv().is_err());
}

#[test]
fn every_answer_comes_back_and_has_its_action() {
    let stand_in = StandIn::start().unwrap();
    let sender = sender(&stand_in, |_| ());
    let rows = [
        (400, "BadTopic"),
        (400, "PayloadEmpty"),
        (400, "TopicDisallowed"),
        (403, "BadCertificate"),
        (403, "Forbidden"),
        (403, "MissingProviderToken"),
        (404, "BadPath"),
        (405, "MethodNotAllowed"),
        (410, "Unregistered"),
        (410, "ExpiredToken"),
        (413, "PayloadTooLarge"),
        (429, "TooManyRequests"),
        (500, "InternalServerError"),
        (503, "ServiceUnavailable"),
        (503, "Shutdown"),
        (418, "Teapot"),
    ];
    let before = SystemClock.now();
    for (ordered, reason) in rows {
        stand_in.set_answer(&[9], Some((ordered, reason)));
        let PushResult::Answered { status, reason: Some(got), timestamp_ms, .. } = send(&sender, &[9]) else {
            panic!("{ordered} {reason}");
        };
        assert_eq!((status, got.as_str()), (ordered, reason));
        assert_eq!(timestamp_ms.is_some(), ordered == 410);
        let expected = action(ordered, Some(reason), timestamp_ms, Some(before));
        if ordered == 410 {
            assert_eq!(expected, PushAction::DeadToken { since: timestamp_ms.map(Timestamp) });
        }
    }
    stand_in.set_answer(&[9], None);
    let bad = send(&sender, &[9]);
    assert!(matches!(bad, PushResult::Answered { status: 400, reason: Some(r), .. } if r == "BadDeviceToken"));
    // 503 moves to another connection, the others do not.
    assert_eq!(stand_in.counts().connections, 3);
}

#[test]
fn idle_timeout_is_sent_again_elsewhere_and_reported_only_when_it_persists() {
    let stand_in = StandIn::start().unwrap();
    let sender = sender(&stand_in, |_| ());
    stand_in.set_answer(&[9], Some((400, "IdleTimeout")));
    let result = send(&sender, &[9]);
    assert!(matches!(result, PushResult::Answered { status: 400, reason: Some(r), .. } if r == "IdleTimeout"));
    assert_eq!((stand_in.counts().pushes, stand_in.counts().connections), (3, 3));
}

#[test]
fn five_thousand_pushes_are_answered_once_each() {
    let stand_in = StandIn::start().unwrap();
    let sender = sender(&stand_in, |_| ());
    stand_in.on_unknown(UnknownTokens::Accept);
    let results = flood(&sender, 5_000);
    for n in 0..5_000 {
        assert_eq!(results.recv_timeout(LONG).unwrap(), accepted(), "{n}");
    }
    drop(sender);
    assert!(results.try_recv().is_err(), "no push was answered twice");
    let counts = stand_in.counts();
    assert_eq!((counts.pushes, counts.accepted, counts.connections), (5_000, 5_000, 1));
    assert!(counts.peak_in_flight <= limits::MAX_PUSHES_IN_FLIGHT, "{counts:?}");
}

#[test]
fn two_thousand_refusals_in_a_row_do_not_end_the_connection() {
    let stand_in = StandIn::start().unwrap();
    let sender = sender(&stand_in, |_| ());
    let results = flood(&sender, 2_000);
    for _ in 0..2_000 {
        let bad = results.recv_timeout(LONG).unwrap();
        assert!(matches!(bad, PushResult::Answered { status: 400, reason: Some(r), .. } if r == "BadDeviceToken"));
    }
    assert_eq!(stand_in.counts().connections, 1);
}

#[test]
fn the_servers_stream_limit_and_our_own_are_obeyed() {
    for (server, own, most) in [(10, 900, 10), (1_000, 5, 5)] {
        let stand_in = StandIn::start().unwrap();
        stand_in.set_max_streams(server);
        stand_in.set_delay(Duration::from_millis(1));
        stand_in.on_unknown(UnknownTokens::Accept);
        let sender = sender(&stand_in, |c| c.max_in_flight = own);
        let results = flood(&sender, 200);
        for _ in 0..200 {
            assert_eq!(results.recv_timeout(LONG).unwrap(), accepted());
        }
        let counts = stand_in.counts();
        assert_eq!((counts.pushes, counts.peak_in_flight, counts.connections), (200, most, 1));
    }
}

#[test]
fn a_graceful_goaway_loses_nothing_and_repeats_nothing() {
    let stand_in = StandIn::start().unwrap();
    stand_in.on_unknown(UnknownTokens::Accept);
    stand_in.set_delay(Duration::from_millis(100));
    stand_in.set_max_streams(50);
    let sender = sender(&stand_in, |_| ());
    let results = flood(&sender, 120);
    wait_until(|| stand_in.counts().peak_in_flight == 50);
    stand_in.goaway(Goaway::Graceful);
    for _ in 0..120 {
        assert_eq!(results.recv_timeout(LONG).unwrap(), accepted());
    }
    let counts = stand_in.counts();
    assert_eq!((counts.pushes, counts.connections), (120, 2));
}

#[test]
fn after_an_abrupt_goaway_or_a_cut_unanswered_pushes_are_sent_again() {
    let partings: [fn(&StandIn); 2] = [|s| s.goaway(Goaway::Abrupt), StandIn::cut];
    for part in partings {
        let stand_in = StandIn::start().unwrap();
        stand_in.on_unknown(UnknownTokens::Accept);
        stand_in.set_delay(LONG * 10);
        let sender = sender(&stand_in, |_| ());
        let results = flood(&sender, 30);
        wait_until(|| stand_in.counts().peak_in_flight == 30);
        stand_in.set_delay(Duration::ZERO);
        part(&stand_in);
        for _ in 0..30 {
            assert_eq!(results.recv_timeout(LONG).unwrap(), accepted());
        }
        assert!(results.try_recv().is_err());
        assert_eq!(stand_in.counts().connections, 2);
    }
}

#[test]
fn a_reset_push_is_sent_again_but_not_for_ever() {
    let stand_in = StandIn::start().unwrap();
    stand_in.on_unknown(UnknownTokens::Accept);
    let sender = sender(&stand_in, |_| ());
    stand_in.reset_next(2);
    assert_eq!(send(&sender, &[1]), accepted());
    stand_in.reset_next(3);
    assert!(unreached(send(&sender, &[1])).contains("stream error"));
    assert_eq!(send(&sender, &[1]), accepted());
    assert_eq!(stand_in.counts().connections, 1);
}

#[test]
fn a_server_that_falls_silent_is_left() {
    let stand_in = StandIn::start().unwrap();
    stand_in.on_unknown(UnknownTokens::Accept);
    let sender = sender(&stand_in, |c| c.response_timeout = Duration::from_millis(300));
    assert_eq!(send(&sender, &[1]), accepted());
    stand_in.set_delay(LONG * 10);
    assert!(unreached(send(&sender, &[1])).contains("no answer within 0.3 s"));
    stand_in.set_delay(Duration::ZERO);
    assert_eq!(send(&sender, &[1]), accepted());
    assert!(stand_in.counts().connections >= 3);
}

#[test]
fn an_idle_connection_is_probed_and_kept() {
    let stand_in = StandIn::start().unwrap();
    stand_in.on_unknown(UnknownTokens::Accept);
    let sender = sender(&stand_in, |c| c.ping_after = Duration::from_millis(20));
    assert_eq!(send(&sender, &[1]), accepted());
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(send(&sender, &[1]), accepted());
    assert_eq!(stand_in.counts().connections, 1);
}

#[test]
fn a_new_certificate_replaces_connection_and_keeps_pushes() {
    let stand_in = StandIn::start().unwrap();
    stand_in.on_unknown(UnknownTokens::Accept);
    let sender = sender(&stand_in, |_| ());
    // The wrong certificate for the topic: Apple says BadTopic.
    sender.set_credential(&topic(), credential(&stand_in, "com.apple.mgmt.External.other"));
    assert!(
        matches!(send(&sender, &[1]), PushResult::Answered { status: 400, reason: Some(r), .. } if r == "BadTopic")
    );
    stand_in.set_delay(LONG * 10);
    let results = flood(&sender, 20);
    wait_until(|| stand_in.counts().peak_in_flight == 20);
    stand_in.set_delay(Duration::ZERO);
    sender.set_credential(&topic(), credential(&stand_in, TOPIC));
    for _ in 0..20 {
        assert_eq!(results.recv_timeout(LONG).unwrap(), accepted());
    }
    assert_eq!(stand_in.counts().connections, 2);
    sender.remove_credential(&topic());
    assert!(unreached(send(&sender, &[1])).contains("no push certificate"));
}

#[test]
fn an_unusable_or_untrusted_certificate_is_told() {
    let stand_in = StandIn::start().unwrap();
    let sender = sender(&stand_in, |c| c.patience = Duration::from_millis(500));
    let broken = PushCredential { chain_der: vec![vec![1, 2, 3]], key_pkcs8: Secret::new(vec![4]) };
    sender.set_credential(&topic(), broken);
    assert!(unreached(send(&sender, &[1])).contains("unusable"));
    let stranger = StandIn::start().unwrap();
    sender.set_credential(&topic(), credential(&stranger, TOPIC));
    let why = unreached(send(&sender, &[1]));
    assert!(why.contains("connection") || why.contains("TLS"), "{why}");
    wait_until(|| stand_in.counts().failed_handshakes > 0);
    // Someone who is not Apple: the server's certificate is of another CA.
    let other =
        Sender::start(Config { patience: Duration::from_millis(500), ..config(&stand_in.url(), stranger.ca_pem()) })
            .unwrap();
    other.set_credential(&topic(), credential(&stand_in, TOPIC));
    assert!(unreached(send(&other, &[1])).contains("TLS"));
}

#[test]
fn a_server_that_is_down_is_tried_with_patience() {
    let stand_in = StandIn::start().unwrap();
    stand_in.on_unknown(UnknownTokens::Accept);
    stand_in.set_down(true).unwrap();
    let impatient = sender(&stand_in, |c| c.patience = Duration::from_millis(500));
    let why = unreached(send(&impatient, &[1]));
    assert!(why.contains("refused"), "{why}");
    let patient = sender(&stand_in, |_| ());
    let results = flood(&patient, 10);
    std::thread::sleep(Duration::from_millis(100));
    stand_in.set_down(false).unwrap();
    for _ in 0..10 {
        assert_eq!(results.recv_timeout(LONG).unwrap(), accepted());
    }
    // And down again while connected.
    stand_in.set_down(true).unwrap();
    let results = flood(&patient, 10);
    std::thread::sleep(Duration::from_millis(50));
    stand_in.set_down(false).unwrap();
    for _ in 0..10 {
        assert_eq!(results.recv_timeout(LONG).unwrap(), accepted());
    }
}

#[test]
fn a_full_sender_says_so_and_takes_more_when_there_is_room() {
    let stand_in = StandIn::start().unwrap();
    stand_in.on_unknown(UnknownTokens::Accept);
    stand_in.set_delay(Duration::from_millis(50));
    let sender = sender(&stand_in, |c| c.max_waiting = 3);
    let results = flood(&sender, 3);
    let refused = sender.send(push_to(&[9]), Box::new(|_| panic!("a refused push is not answered")));
    assert_eq!(refused, Err(SenderFull));
    for _ in 0..3 {
        assert_eq!(results.recv_timeout(LONG).unwrap(), accepted());
    }
    assert_eq!(send(&sender, &[9]), accepted());
}

#[test]
fn stopping_answers_what_waits() {
    let stand_in = StandIn::start().unwrap();
    stand_in.on_unknown(UnknownTokens::Accept);
    stand_in.set_delay(LONG * 10);
    stand_in.set_max_streams(5);
    let sender = sender(&stand_in, |_| ());
    let results = flood(&sender, 10);
    wait_until(|| stand_in.counts().peak_in_flight == 5);
    drop(sender);
    for _ in 0..10 {
        assert!(unreached(results.try_recv().unwrap()).contains("stopping"));
    }
}

#[test]
fn a_callback_may_panic_push_again_or_be_the_last_owner() {
    let stand_in = StandIn::start().unwrap();
    stand_in.on_unknown(UnknownTokens::Accept);
    let sender = Arc::new(sender(&stand_in, |_| ()));
    sender.send(push_to(&[1]), Box::new(|_| panic!("this panic is part of the test"))).unwrap();
    assert_eq!(send(&sender, &[2]), accepted());
    let (again, (done, result)) = (sender.clone(), channel());
    let second: PushDone = Box::new(move |r| done.send(r).unwrap());
    sender.send(push_to(&[3]), Box::new(move |_| again.send(push_to(&[4]), second).unwrap())).unwrap();
    assert_eq!(result.recv_timeout(LONG).unwrap(), accepted());
    let (last, (done, result)) = (sender.clone(), channel());
    stand_in.set_delay(Duration::from_millis(50));
    let owner = Box::new(move |_| {
        drop(last);
        done.send(()).unwrap();
    });
    sender.send(push_to(&[5]), owner).unwrap();
    drop(sender);
    result.recv_timeout(LONG).unwrap();
}

#[test]
fn a_push_that_apple_would_refuse_for_its_size_is_not_sent() {
    let stand_in = StandIn::start().unwrap();
    let sender = sender(&stand_in, |_| ());
    let mut push = push_to(&[1]);
    push.target.magic = PushMagic::new(&"\u{1}".repeat(1_000)).unwrap();
    assert!(unreached(start(&sender, push).recv_timeout(LONG).unwrap()).contains("longer"));
    assert_eq!(stand_in.counts().pushes, 0);
}

#[test]
fn odd_configurations_do_not_start() {
    let stand_in = StandIn::start().unwrap();
    assert!(Sender::start(config("http://127.0.0.1:1", stand_in.ca_pem())).is_err());
    assert!(Sender::start(config(&stand_in.url(), String::new())).is_err());
}
