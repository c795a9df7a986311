//! A running server of its own for each test, what a school needs to enrol devices, and one good device. Used by [`super`] and by the
//! tests with other people's SCEP clients.

use super::wire::{self, Answer};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cordon::base::time::{Clock, ManualClock, SystemClock};
use cordon::http::control::Client;
use cordon::pki::cms::{self, ContentCipher};
use cordon::pki::digest::DigestKind;
use cordon::pki::keys::PrivateKey;
use cordon::pki::scep::client::{self, Reply};
use cordon::pki::x509::Certificate;
use cordon::pki::{SystemRandom, csr};
use cordon::protocol::profile::{EnrollmentFacts, IdentityFacts, read_enrollment};
use cordon::server::{Options, Server};
use cordon::service::founding::Place;
use cordon::simulator::apns::{StandIn, UnknownTokens};
use cordon::simulator::network::{ClientIdentity, tls_config_at};
use rustls::ClientConfig;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

pub const TOPIC: &str = "com.apple.mgmt.External.hostile";
/// The transaction id under which good devices ask.
pub const TRANSACTION: &str = "T-GOOD";
/// The next good client must be served within this; on an idle machine it takes some milliseconds.
const SERVED: Duration = Duration::from_secs(5);

/// A server with all three listeners, and the stand-in that it pushes to.
pub struct School {
    pub server: Server,
    pub clock: Arc<ManualClock>,
    apns: StandIn,
    directory: tempfile::TempDir,
}

/// A key and the certificate that was issued for it.
pub struct Identity {
    pub key: PrivateKey,
    pub certificate: Certificate,
}

impl School {
    pub fn start() -> School {
        Self::start_with(|_| ())
    }

    pub fn start_with(change: impl FnOnce(&mut Options)) -> School {
        let directory = tempfile::tempdir().unwrap();
        let apns = StandIn::start().unwrap();
        apns.on_unknown(UnknownTokens::Accept);
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let place = Place::in_directory(directory.path());
        let mut options =
            Options::new(place, "localhost", Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(SystemRandom));
        let free = || String::from("127.0.0.1:0");
        (options.listen_people, options.listen_devices, options.listen_proxied) = (free(), free(), free());
        options.apns_url = apns.url();
        options.apple_ca_pem = Some(apns.ca_pem().into_bytes());
        // Polls of the tests are answered with what the tests sent, and nothing else.
        options.asks_at_enrollment = false;
        change(&mut options);
        let school = School { server: Server::start(options).unwrap(), clock, apns, directory };
        let (certificate, key) = school.apns.push_certificate(TOPIC).unwrap();
        let push = json!({ "certificate_pem": certificate, "key_pem": key });
        assert_eq!(school.control("POST", "/api/v1/push-certificates", &push).0, 201);
        school
    }

    /// The database.
    pub fn file(&self) -> std::path::PathBuf {
        self.directory.path().join("cordon.db")
    }

    pub fn proxied(&self) -> SocketAddr {
        self.server.proxied().unwrap()
    }

    pub fn devices(&self) -> SocketAddr {
        self.server.devices().unwrap()
    }

    /// One request to the proxied listener.
    pub fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        wire::ask(self.proxied(), method, target, headers, body)
    }

    /// One request as the server's own user.
    pub fn control(&self, method: &str, path: &str, body: &Value) -> (u16, Vec<u8>) {
        let client = Client::new(self.server.socket().0);
        let (status, _, body) = client.request(method, path, &[], body.to_string().as_bytes()).unwrap();
        (status, body)
    }

    /// An API token of this role.
    pub fn token(&self, role: &str) -> String {
        let (status, body) = self.control("POST", "/api/v1/tokens", &json!({ "name": role, "role": role }));
        assert_eq!(status, 201);
        let made: Value = serde_json::from_slice(&body).unwrap();
        made["token"].as_str().unwrap().to_owned()
    }

    /// A new enrolment profile as downloaded: signed.
    pub fn profile(&self) -> Vec<u8> {
        let (status, bytes) = self.control("POST", "/api/v1/enrollments/profile", &json!({}));
        assert_eq!(status, 201, "{}", String::from_utf8_lossy(&bytes));
        bytes
    }

    /// What a device reads out of a new enrolment profile.
    pub fn facts(&self) -> EnrollmentFacts {
        read_enrollment(&cms::verify_attached(&self.profile()).unwrap().content).unwrap()
    }

    /// The one-time challenge of a new enrolment profile.
    pub fn challenge(&self) -> String {
        let IdentityFacts::Scep(scep) = self.facts().identity else { panic!("no SCEP payload") };
        scep.challenge.unwrap().expose().clone()
    }

    /// The one certificate that GetCACert gives.
    pub fn ca(&self) -> Certificate {
        Certificate::parse(&self.ask("GET", "/scep?operation=GetCACert", &[], b"").body).unwrap()
    }

    pub fn root(&self) -> Certificate {
        self.server.context().authorities().root.clone()
    }

    /// A PKIOperation, and what it was answered.
    pub fn operate(&self, message: &[u8]) -> Answer {
        self.ask("POST", "/scep?operation=PKIOperation", &[("Content-Type", "application/x-pki-message")], message)
    }

    /// Obtains an identity by SCEP with a new challenge.
    pub fn identity(&self) -> Identity {
        let key = PrivateKey::generate_ec_p256().unwrap();
        let message = self.request(&key, &self.challenge(), TRANSACTION);
        match self.read_reply(&message, &self.operate(&message)) {
            Reply::Success(certificate) => Identity { key, certificate },
            other => panic!("{other:?}"),
        }
    }

    /// A PKCSReq for `key`.
    pub fn request(&self, key: &PrivateKey, challenge: &str, transaction: &str) -> Vec<u8> {
        let csr = csr::create(key, &[("CN", "the client's own idea")], Some(challenge));
        let (signer, signer_key) = &*SIGNER;
        let (cipher, digest) = (ContentCipher::Aes128Cbc, DigestKind::Sha256);
        client::build_request(&csr, signer, signer_key, &self.ca(), transaction, cipher, digest, &SystemRandom).unwrap()
    }

    /// The CertRep inside an answer, which is 200 whatever it says.
    pub fn read_reply(&self, message: &[u8], answer: &Answer) -> Reply {
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some("application/x-pki-message")),
            "{}",
            answer.head
        );
        let nonce = client::sender_nonce(message).unwrap();
        client::read_reply(&answer.body, &self.ca(), &SIGNER.0, &SIGNER.1, &nonce).unwrap()
    }

    /// TLS as a device does it: trusts the school's root, shows `identity`.
    pub fn tls(&self, identity: Option<&Identity>) -> Arc<ClientConfig> {
        let root = vec![self.root().der().to_vec()];
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let Some(Identity { key, certificate }) = identity else { return tls_config_at(&root, None, &clock).unwrap() };
        let (chain, key) = (vec![certificate.der().to_vec()], key.to_pkcs8_der());
        tls_config_at(&root, Some(ClientIdentity { chain: &chain, key_pkcs8: key.expose() }), &clock).unwrap()
    }

    /// PUTs to the devices' listener over TLS.
    pub fn put(&self, identity: Option<&Identity>, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = wire::connect_tls(self.devices(), &self.tls(identity));
        wire::exchange(&mut stream, &wire::request("PUT", path, headers, body)).unwrap()
    }

    /// A device under management.
    pub fn enroll(&self, udid: &str) -> Pupil {
        let pupil = Pupil { identity: self.identity(), udid: udid.to_owned() };
        for message in [authenticate(udid), token_update(udid)] {
            let answer = self.put(Some(&pupil.identity), "/mdm/checkin", &[], &message);
            assert_eq!(answer.of_device(), 200, "{}", answer.head);
        }
        pupil
    }

    /// The server still serves a good device over TLS, and a good newcomer by SCEP, at once.
    pub fn serves(&self, pupil: &Pupil) {
        let since = Instant::now();
        let answer = self.put(Some(&pupil.identity), "/mdm/command", &[], &idle(&pupil.udid));
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{}", answer.head);
        let answer = self.ask("GET", "/scep?operation=GetCACaps", &[], b"");
        assert_eq!(answer.status, 200);
        assert!(since.elapsed() < SERVED, "a good client waited {:?}", since.elapsed());
    }
}

/// A good device, and its id.
pub struct Pupil {
    pub identity: Identity,
    pub udid: String,
}

impl Pupil {
    /// The header by which a proxy forwards this device's certificate (RFC 9440).
    pub fn forwarded(&self) -> String {
        format!(":{}:", BASE64_STANDARD.encode(self.identity.certificate.der()))
    }
}

/// Under which requests are sent; RSA keys are slow, so there is one for all tests.
pub static SIGNER: LazyLock<(Certificate, PrivateKey)> =
    LazyLock::new(|| client::throw_away_signer(SystemClock.now(), &SystemRandom).unwrap());

pub fn plist(inside: &str) -> Vec<u8> {
    let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
        <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\">";
    format!("{head}{inside}</plist>\n").into_bytes()
}

/// A dictionary of strings; `more` goes in as it is.
pub fn dict(pairs: &[(&str, &str)], more: &str) -> Vec<u8> {
    let pairs: String = pairs.iter().map(|(k, v)| format!("<key>{k}</key><string>{v}</string>")).collect();
    plist(&format!("<dict>{pairs}{more}</dict>"))
}

pub fn authenticate(udid: &str) -> Vec<u8> {
    let serial = format!("C0{}", &udid[udid.len().saturating_sub(6)..]);
    dict(&[("MessageType", "Authenticate"), ("UDID", udid), ("Topic", TOPIC), ("SerialNumber", &serial)], "")
}

pub fn token_update(udid: &str) -> Vec<u8> {
    let token = format!("<key>Token</key><data>{}</data>", BASE64_STANDARD.encode([7; 32]));
    dict(&[("MessageType", "TokenUpdate"), ("UDID", udid), ("Topic", TOPIC), ("PushMagic", "magic")], &token)
}

pub fn idle(udid: &str) -> Vec<u8> {
    dict(&[("Status", "Idle"), ("UDID", udid)], "")
}

/// Resident memory of this process, bytes.
pub fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
}
