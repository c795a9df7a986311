//! What unit tests of the simulator share: an enrolment profile to bend, a device that is enrolled already, commands and reports.
//!
//! Test code only. The profile says `https://mdm.test`; a route strips the TLS, so that a scripted plain server can answer.

use std::sync::{Arc, OnceLock};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::device::{Device, Managed, World};
use super::network::{Network, Via};
use super::spec::{Kind, Spec};
use super::state::{Blob, Channel, Held, Standing};
use super::test_server::{Script, answer};
use crate::base::time::{Clock, ManualClock, SystemClock};
use crate::pki::SystemRandom;
use crate::pki::keys::PrivateKey;
use crate::pki::scep;
use crate::pki::templates::{Authority, issue_device_identity, new_issuing_ca, new_root};
use crate::plist::{Dict, Dictionary, Value, parse_dict, to_xml};

pub const MDM_IDENTIFIER: &str = "cordon.test.mdm";

/// The test CA and one identity of it; keys are slow, so there is one for all tests.
pub struct Pki {
    pub root: Authority,
    pub issuing: Authority,
    pub key: PrivateKey,
    pub identity: Vec<u8>,
}

pub fn pki() -> &'static Pki {
    static PKI: OnceLock<Pki> = OnceLock::new();
    PKI.get_or_init(|| {
        let now = SystemClock.now();
        let root = new_root("Test", now, &SystemRandom);
        let issuing = new_issuing_ca(&root, "Test", now, &SystemRandom);
        let key = PrivateKey::generate_rsa(2048).unwrap();
        let identity =
            issue_device_identity(&issuing, &key.spki_der(), "device", "Test", now, 365, &SystemRandom).unwrap();
        Pki { root, issuing, key, identity: identity.der().to_vec() }
    })
}

pub fn dict(pairs: &[(&str, Value)]) -> Dictionary {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect()
}

pub fn text(s: &str) -> Value {
    Value::String(s.to_owned())
}

pub fn number(n: i64) -> Value {
    Value::Integer(n.into())
}

fn payload(kind: &str, uuid: &str, rest: &[(&str, Value)]) -> Dictionary {
    let mut payload = dict(&[("PayloadType", text(kind)), ("PayloadUUID", text(uuid)), ("PayloadVersion", number(1))]);
    payload.insert("PayloadIdentifier".to_owned(), Value::String(format!("{MDM_IDENTIFIER}.{uuid}")));
    payload.extend(dict(rest));
    payload
}

/// The parts of an enrolment profile, to be changed before they become bytes.
pub struct Parts {
    pub top: Dictionary,
    pub root: Dictionary,
    pub scep: Dictionary,
    pub mdm: Dictionary,
}

pub fn parts() -> Parts {
    let inner = dict(&[
        ("URL", text("https://mdm.test/scep")),
        ("Subject", Value::Array(vec![Value::Array(vec![Value::Array(vec![text("CN"), text("device")])])])),
        ("Challenge", text("secret")),
        ("Keysize", number(2048)),
        ("Key Type", text("RSA")),
    ]);
    Parts {
        top: dict(&[
            ("PayloadType", text("Configuration")),
            ("PayloadVersion", number(1)),
            ("PayloadIdentifier", text(MDM_IDENTIFIER)),
            ("PayloadUUID", text("TOP")),
        ]),
        root: payload(
            "com.apple.security.root",
            "ROOT",
            &[("PayloadContent", Value::Data(pki().root.certificate.der().to_vec()))],
        ),
        scep: payload("com.apple.security.scep", "SCEP", &[("PayloadContent", Value::Dictionary(inner))]),
        mdm: payload(
            "com.apple.mdm",
            "MDM",
            &[
                ("IdentityCertificateUUID", text("SCEP")),
                ("Topic", text("com.apple.mgmt.External.test")),
                ("ServerURL", text("https://mdm.test/mdm/command")),
                ("CheckInURL", text("https://mdm.test/mdm/checkin")),
                ("AccessRights", number(8191)),
                ("CheckOutWhenRemoved", Value::Boolean(true)),
                ("ServerCapabilities", Value::Array(vec![text("com.apple.mdm.per-user-connections")])),
            ],
        ),
    }
}

impl Parts {
    pub fn bytes(mut self) -> Vec<u8> {
        let content = [self.root, self.scep, self.mdm].map(Value::Dictionary);
        self.top.entry("PayloadContent".to_owned()).or_insert(Value::Array(content.to_vec()));
        to_xml(&Value::Dictionary(self.top))
    }
}

/// An ordinary profile with one payload.
pub fn settings_profile(identifier: &str, uuid: &str) -> Vec<u8> {
    let content = payload("com.apple.applicationaccess", uuid, &[("allowCamera", Value::Boolean(false))]);
    let mut top = parts().top;
    top.insert("PayloadIdentifier".to_owned(), text(identifier));
    top.insert("PayloadContent".to_owned(), Value::Array(vec![Value::Dictionary(content)]));
    to_xml(&Value::Dictionary(top))
}

/// A command's bytes.
pub fn command(uuid: &str, request_type: &str, keys: &[(&str, Value)]) -> Vec<u8> {
    let mut body = dict(keys);
    body.insert("RequestType".to_owned(), text(request_type));
    to_xml(&Value::Dictionary(dict(&[("CommandUUID", text(uuid)), ("Command", Value::Dictionary(body))])))
}

/// The answer that hands out a command.
pub fn hand_out(command: &[u8]) -> Vec<u8> {
    answer(200, "application/xml", command)
}

pub fn world(server: &Script, clock: Arc<ManualClock>) -> Arc<World> {
    let network = Network::default();
    network.route("mdm.test", server.address, Via::StrippedTls).unwrap();
    Arc::new(World { clock, pause: Box::new(|_| {}), ..World::real(network) })
}

/// A device of this kind, enrolled by decree.
pub fn enrolled_with(kind: Kind, seed: u64, world: &Arc<World>, profile: Vec<u8>) -> Device {
    let mut device = Device::new(Arc::clone(world), Spec::new(kind, seed));
    let chain = vec![Blob(pki().identity.clone()), Blob(pki().issuing.certificate.der().to_vec())];
    let held = Held { profile: Blob(profile), key_pkcs8: Blob(pki().key.to_pkcs8_der().expose().clone()), chain };
    device.managed = Some(Arc::new(Managed::from_held(&device.world, &held).unwrap()));
    device.state.held = Some(held);
    device.state.standing = Standing::Enrolled;
    device.state.device = Some(device.state.new_line(Channel::Device));
    if kind == Kind::Mac {
        device.state.user = Some(device.state.new_line(Channel::User));
    }
    device.state.unlock_token = Some(Blob(b"unlock".to_vec()));
    device
}

pub fn enrolled(kind: Kind, server: &Script) -> (Device, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let world = world(server, Arc::clone(&clock));
    (enrolled_with(kind, 1, &world, parts().bytes()), clock)
}

/// The reports that a scripted server got, as dictionaries.
pub fn reports(server: &Script) -> Vec<Dict> {
    server.seen().iter().map(|seen| parse_dict(&seen.body).unwrap()).collect()
}

/// Their statuses, in order.
pub fn statuses(server: &Script) -> Vec<String> {
    reports(server)
        .iter()
        .map(|r| r.find_string("Status").unwrap().or(r.find_string("MessageType").unwrap()).unwrap().to_owned())
        .collect()
}

/// A small honest server: SCEP (pending `pending` times), check-ins accepted, no commands. Refuses Authenticate with `refuse` if given.
pub fn school(mut pending: u32, refuse: Option<u16>) -> Script {
    let ca = &pki().issuing;
    let now = SystemClock.now();
    let mut known = None;
    Script::answering(move |seen| match (seen.method.as_str(), seen.target.as_str()) {
        ("GET", "/scep?operation=GetCACaps") => answer(200, "text/plain", scep::CAPABILITIES.as_bytes()),
        ("GET", "/scep?operation=GetCACert") => answer(200, "application/x-x509-ca-cert", ca.certificate.der()),
        (_, target) if target.starts_with("/scep?operation=PKIOperation") => {
            let message = match target.split_once("&message=") {
                Some((_, text)) => STANDARD.decode(text.replace("%3D", "=")).unwrap(),
                None => seen.body.clone(),
            };
            let request = scep::Request::parse(&message, &ca.certificate, &ca.key).unwrap();
            if let scep::Kind::PkcsReq(csr) = &request.kind {
                assert_eq!(csr.challenge_password().unwrap().expose(), "secret");
                known = Some((request.transaction_id.clone(), csr.spki_der().to_vec()));
            }
            let (transaction, spki) = known.clone().unwrap();
            assert_eq!(transaction, request.transaction_id);
            let reply = if pending > 0 {
                pending -= 1;
                request.pending(ca, &SystemRandom)
            } else {
                let leaf = issue_device_identity(ca, &spki, "device", "Test", now, 365, &SystemRandom).unwrap();
                request.success(ca, &leaf, &[], &SystemRandom).unwrap()
            };
            answer(200, "application/x-pki-message", &reply)
        }
        (_, "/mdm/checkin") => {
            let authenticate = seen.body.windows(12).any(|w| w == b"Authenticate");
            answer(refuse.filter(|_| authenticate).unwrap_or(200), "text/plain", b"")
        }
        _ => answer(200, "text/plain", b""),
    })
}

/// The check-in messages that a scripted server got.
pub fn check_ins(server: &Script) -> Vec<Dict> {
    server.seen().iter().filter(|s| s.target == "/mdm/checkin").map(|s| parse_dict(&s.body).unwrap()).collect()
}
