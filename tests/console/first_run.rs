//! The whole way of somebody who has never seen Cordon: the real program prints a link, the pages behind it set the school up, an invitation
//! is made, an iPad enrols with it, and is locked. A real headless Chromium does it by visible labels; this file is the world around it:
//! Apple who signs the push certificate, and the iPad in its person's hands.

use super::browser::{artefacts, folder};
use crate::support::{TOPIC, lasting_address};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon::base::time::{Clock, SystemClock};
use cordon::pki::SystemRandom;
use cordon::pki::csr::Csr;
use cordon::simulator::apns::{OnPush, StandIn};
use cordon::simulator::arriving::Pass;
use cordon::simulator::built_in::Factory;
use cordon::simulator::device::{Device, World};
use cordon::simulator::fleet::Fleet;
use cordon::simulator::network::Network;
use cordon::simulator::spec::{Kind, Spec};
use cordon::simulator::state::Standing;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// A process that ends with the test, whatever becomes of it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the browser's story asks of the world: one line of JSON each, answered by one.
struct Around {
    stand_in: StandIn,
    fleet: Fleet,
}

impl Around {
    fn answer(&self, question: &Value) -> Value {
        match question["ask"].as_str() {
            Some("sign") => json!({ "certificate": self.sign(question["request"].as_str().unwrap()) }),
            Some("enrol") => self.enrol(question),
            Some("locks") => {
                let done = self.fleet.with(0, |d| d.executed().to_vec());
                json!({ "locks": done.iter().filter(|one| one.request_type == "DeviceLock").count() })
            }
            other => panic!("{other:?} is not known here"),
        }
    }

    /// Apple, with the request that a person brings.
    fn sign(&self, request: &str) -> String {
        let body: String = request.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
        let csr = Csr::parse(&STANDARD.decode(body).unwrap()).unwrap();
        self.stand_in.push_certificate_for(TOPIC, csr.spki_der()).unwrap()
    }

    /// A person types address and code of the invitation into the iPad.
    fn enrol(&self, question: &Value) -> Value {
        let decode = |text: &Value| STANDARD.decode(text.as_str().unwrap()).unwrap();
        let anchors: Vec<Vec<u8>> = question["anchors"].as_array().unwrap().iter().map(decode).collect();
        let page = question["page"].as_str().unwrap().parse().unwrap();
        let built_in = Factory::new(SystemClock.now(), &SystemRandom).build("iPad", SystemClock.now(), &SystemRandom);
        let receiver = self.fleet.receiver();
        let on_push: OnPush = Arc::new(move |push| receiver(&push.token, &push.magic));
        let serial = self.fleet.with(0, |ipad| {
            let mut next = ipad.state().clone();
            next.generation += 1;
            for channel in next.channels() {
                let line = next.new_line(channel);
                self.stand_in.register(&line.token.0, TOPIC, &line.magic, Arc::clone(&on_push));
            }
            let pass = Pass::Code(question["code"].as_str().unwrap());
            ipad.enroll_by_page(&page, &anchors, pass, &built_in.unwrap()).unwrap();
            assert_eq!(ipad.standing(), Standing::Enrolled);
            ipad.spec().serial.clone()
        });
        self.fleet.learn(0);
        json!({ "serial": serial })
    }
}

#[test]
fn from_the_printed_link_to_a_locked_ipad() {
    let folder_of_data = tempfile::tempdir().unwrap();
    let directory = folder_of_data.path().join("data");
    std::fs::create_dir(&directory).unwrap();
    let stand_in = StandIn::start().unwrap();
    let ca_file = folder_of_data.path().join("ca.pem");
    std::fs::write(&ca_file, stand_in.ca_pem()).unwrap();
    let mut network = Network::default();
    network.timeout = Duration::from_secs(10);
    let world = Arc::new(World::real(network));
    let fleet = Fleet::start(Arc::clone(&world), vec![Device::new(world, Spec::new(Kind::Ipad, 1))], 1);
    let around = Around { stand_in, fleet };

    // What somebody starts, and what they read.
    let log = std::fs::File::create(folder_of_data.path().join("log")).unwrap();
    let mut server = Command::new(env!("CARGO_BIN_EXE_cordon"));
    server.arg("serve").env_clear().env("CORDON_DATA_DIR", &directory).env("CORDON_HOSTNAME", "localhost");
    server.env("CORDON_LISTEN_PEOPLE", lasting_address()).env("CORDON_LISTEN_DEVICES", lasting_address());
    server.env("CORDON_APPLE_APNS_URL", around.stand_in.url()).env("CORDON_APPLE_CA_FILE", &ca_file);
    let mut server = Running(server.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap());
    let mut printed = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut printed).unwrap();
    let link = printed.split_whitespace().find(|word| word.contains("/setup/"));
    let link = link.unwrap_or_else(|| panic!("no link is printed: {printed:?}")).to_owned();

    let mut node = Command::new("node");
    node.current_dir(folder()).arg("first-run.mjs").env("CORDON_ARTEFACTS", artefacts()).env("CORDON_LINK", link);
    let node = node.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut node = Running(node.expect("`node` could not be started: `scripts/test` installs it"));
    let mut answers = node.0.stdin.take().unwrap();
    let said = BufReader::new(node.0.stdout.take().unwrap());
    let mut steps = Vec::new();
    for line in said.lines().map_while(Result::ok) {
        match serde_json::from_str::<Value>(&line) {
            Ok(question) => writeln!(answers, "{}", around.answer(&question)).unwrap(),
            Err(_) => steps.push(line),
        }
    }
    let mut complaint = String::new();
    std::io::Read::read_to_string(&mut node.0.stderr.take().unwrap(), &mut complaint).unwrap();
    let log = std::fs::read_to_string(folder_of_data.path().join("log")).unwrap_or_default();
    assert!(node.0.wait().unwrap().success(), "after {steps:#?}:\n{complaint}\n{log}");
}
