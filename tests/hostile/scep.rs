//! `/scep` in the hands of those who should not get a certificate, and of clients whose requests look odd but are right.

use super::school::{SIGNER, School, TRANSACTION};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cordon::pki::SystemRandom;
use cordon::pki::keys::PrivateKey;
use cordon::pki::scep::client::{self, Reply};

/// failInfo badRequest (RFC 8894, section 3.2.1.4.5).
const BAD_REQUEST: Reply = Reply::Failure(2);

#[test]
fn a_message_cut_anywhere_is_refused() {
    let school = School::start();
    let good = school.enroll("AAAA-SCEP-0000001");
    let key = PrivateKey::generate_ec_p256().unwrap();
    let message = school.request(&key, &school.challenge(), "T-CUT");
    // Every length near both ends, where the framing is, and a sample of the middle.
    let middle = (64..message.len() - 64).step_by(17);
    for cut in (0..64).chain(middle).chain(message.len() - 64..message.len()) {
        assert_eq!(school.operate(&message[..cut]).of_device(), 400, "cut at {cut} of {}", message.len());
    }
    // One bit anywhere. CMS leaves a few fields around the signature unsigned; whatever happens to them, nobody gets a certificate
    // for a key that was not asked for.
    for at in (0..message.len()).step_by(41) {
        let mut bent = message.clone();
        bent[at] ^= 0x10;
        let answer = school.operate(&bent);
        assert!(matches!(answer.of_device(), 200 | 400), "bent at {at}: {}", answer.head);
        if answer.status == 200
            && let Reply::Success(certificate) = school.read_reply(&message, &answer)
        {
            assert!(certificate.key_matches(&key), "bent at {at}");
        }
    }
    // None of that has spoilt the right one.
    assert!(matches!(school.read_reply(&message, &school.operate(&message)), Reply::Success(_)));
    school.serves(&good);
}

#[test]
fn requests_by_get() {
    let school = School::start();
    let good = school.enroll("AAAA-SCEP-0000002");
    let get = |message: &str| school.ask("GET", &format!("/scep?operation=PKIOperation&message={message}"), &[], b"");
    for junk in ["", "%", "%zz", "!!!!", "AAAA", "====", "MIIB", "%00%ff", &"A".repeat(8_000), "%F0%9F%8D%8E"] {
        assert_eq!(get(junk).of_device(), 400, "{junk}");
    }
    for target in [
        "/scep",
        "/scep?",
        "/scep?operation=",
        "/scep?operation=PKIOperation",
        "/scep?operation=Surprise",
        "/scep?message=x",
        "/scep?operation=GetNextCACert",
    ] {
        assert_eq!(school.ask("GET", target, &[], b"").of_device(), 400, "{target}");
    }
    // Apple's client leaves `+` and `/` as they are.
    let key = PrivateKey::generate_ec_p256().unwrap();
    let message = school.request(&key, &school.challenge(), "T-GET");
    let text = BASE64_STANDARD.encode(&message);
    assert!(text.contains('+') && text.contains('/'), "2,000 random bytes without either");
    let Reply::Success(certificate) = school.read_reply(&message, &get(&text)) else { panic!("refused") };
    let escaped = text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    assert_eq!(school.read_reply(&message, &get(&escaped)), Reply::Success(certificate.clone()));
    let long = format!("{text}&padding={}", "x".repeat(8 * 1024));
    assert_eq!(school.read_reply(&message, &get(&long)), Reply::Success(certificate));
    let head = school.ask("GET", &format!("/scep?operation=GetCACaps&padding={}", "x".repeat(80 * 1024)), &[], b"");
    assert!(matches!(head.of_device(), 414 | 431), "{}", head.head);
    school.serves(&good);
}

#[test]
fn a_challenge_is_for_one_transaction() {
    let school = School::start();
    let good = school.enroll("AAAA-SCEP-0000003");
    let [key, other] = [(); 2].map(|()| PrivateKey::generate_ec_p256().unwrap());
    let ask = |key: &PrivateKey, challenge: &str, transaction: &str| {
        let message = school.request(key, challenge, transaction);
        school.read_reply(&message, &school.operate(&message))
    };
    for wrong in ["", "wrong", &"x".repeat(10_000)] {
        // A challenge that cannot be one makes the request itself unreadable: badMessageCheck.
        assert!(matches!(ask(&key, wrong, "T-1"), BAD_REQUEST | Reply::Failure(1)), "{} characters", wrong.len());
    }
    let challenge = school.challenge();
    let Reply::Success(first) = ask(&key, &challenge, "T-1") else { panic!("the right challenge was refused") };
    assert!(first.issued_by(&school.ca()));
    assert!(!first.subject().contains("the client's own idea"), "{}", first.subject());
    // The lost answer is asked for again, in a message of its own: the same certificate.
    assert_eq!(ask(&key, &challenge, "T-1"), Reply::Success(first));
    assert_eq!(ask(&key, &challenge, "T-2"), BAD_REQUEST, "another transaction");
    assert_eq!(ask(&other, &challenge, "T-1"), BAD_REQUEST, "another key");

    // Two at once: one of them gets it.
    let challenge = school.challenge();
    let won = std::thread::scope(|scope| {
        let asked = [(&key, "R-1"), (&other, "R-2")].map(|(key, name)| scope.spawn(|| ask(key, &challenge, name)));
        asked.map(|thread| thread.join().unwrap()).iter().filter(|reply| matches!(reply, Reply::Success(_))).count()
    });
    assert_eq!(won, 1);

    let late = school.challenge();
    school.clock.advance(cordon::service::enrolling::CHALLENGE_LIFE + 1);
    assert_eq!(ask(&key, &late, "T-3"), BAD_REQUEST, "an hour is over");
    school.serves(&good);
}

#[test]
fn a_poll_gives_nothing_new() {
    let school = School::start();
    let good = school.enroll("AAAA-SCEP-0000004");
    let (signer, signer_key) = &*SIGNER;
    let poll = |transaction: &str| {
        let poll =
            client::build_poll(signer.subject_der(), signer, signer_key, &school.ca(), transaction, &SystemRandom)
                .unwrap();
        school.read_reply(&poll, &school.operate(&poll))
    };
    // The device's own transaction: the certificate that it has already, of no use without its key.
    assert_eq!(poll(TRANSACTION), Reply::Success(good.identity.certificate.clone()));
    for unknown in ["T-0", "'; DROP TABLE challenge; --", &"x".repeat(256)] {
        assert_eq!(poll(unknown), Reply::Failure(4), "{unknown}");
    }
    school.serves(&good);
}
