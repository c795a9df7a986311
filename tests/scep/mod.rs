//! Other people's programs, unmodified, against the real `/scep`: Debian's `scepclient` (micromdm's, in Go), certmonger's helper (on
//! OpenSSL and libcurl), and `openssl` itself as the judge of what Cordon signs.
//!
//! A program that is not here is a failed test: `scripts/test` installs them all.

use crate::hostile::school::{Identity, SIGNER, School, TRANSACTION, authenticate, idle, token_update};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cordon::pki::cms::{DetachedForm, sign_detached};
use cordon::pki::digest::DigestKind;
use cordon::pki::keys::PrivateKey;
use cordon::pki::scep::client::Reply;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

const CERTMONGER: &str = "/usr/lib/certmonger/scep-submit";

/// Object identifiers as they stand in DER.
const DES: &[u8] = b"\x06\x05\x2b\x0e\x03\x02\x07";
const TRIPLE_DES: &[u8] = b"\x06\x08\x2a\x86\x48\x86\xf7\x0d\x03\x07";
const SHA1: &[u8] = b"\x06\x05\x2b\x0e\x03\x02\x1a";

/// Hands every connection on to the server and keeps what was said.
struct Recorder {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<u8>>>,
    told: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    fn before(server: SocketAddr) -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let made = Recorder { address: listener.local_addr().unwrap(), asked: Arc::default(), told: Arc::default() };
        let (asked, told) = (Arc::clone(&made.asked), Arc::clone(&made.told));
        // Ends with the process.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(server).unwrap());
                relay(client.try_clone().unwrap(), server.try_clone().unwrap(), Arc::clone(&asked));
                relay(server, client, Arc::clone(&told));
            }
        });
        made
    }
}

fn relay(mut from: TcpStream, mut to: TcpStream, kept: Arc<Mutex<Vec<u8>>>) {
    std::thread::spawn(move || {
        let mut chunk = [0; 16 * 1024];
        while let Ok(n @ 1..) = from.read(&mut chunk) {
            kept.lock().unwrap().extend_from_slice(&chunk[..n]);
            if to.write_all(&chunk[..n]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}

fn holds(said: &Mutex<Vec<u8>>, oid: &[u8]) -> bool {
    said.lock().unwrap().windows(oid.len()).any(|w| w == oid)
}

/// Runs a program to its end; `package` is where Debian has it.
fn run(program: &str, package: &str, arguments: &[&str], directory: &Path) -> Output {
    let made = Command::new(program).args(arguments).current_dir(directory).output();
    made.unwrap_or_else(|e| {
        panic!("{program} cannot be run ({e}). Install it: sudo apt-get install {package}, or use scripts/test.")
    })
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn openssl(arguments: &[&str], directory: &Path) -> String {
    let output = run("openssl", "openssl", arguments, directory);
    assert!(output.status.success(), "openssl {arguments:?}:\n{}", said(&output));
    said(&output)
}

/// A directory with the school's root and issuing certificates in PEM.
fn trust(school: &School) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("root.pem"), school.root().to_pem()).unwrap();
    std::fs::write(directory.path().join("issuing.pem"), school.ca().to_pem()).unwrap();
    directory
}

fn url(school: &School) -> String {
    format!("http://{}/scep", school.proxied())
}

/// Chain, usage and the subject that the server chose, as openssl sees them.
fn judge(certificate: &str, directory: &Path) {
    let verified = openssl(
        &[
            "verify",
            "-x509_strict",
            "-purpose",
            "sslclient",
            "-CAfile",
            "root.pem",
            "-untrusted",
            "issuing.pem",
            certificate,
        ],
        directory,
    );
    assert!(verified.contains(": OK"), "{verified}");
    let text = openssl(&["x509", "-in", certificate, "-noout", "-text", "-nameopt", "RFC2253"], directory);
    let subject = text.lines().find_map(|line| line.trim().strip_prefix("Subject:")).unwrap();
    assert!(subject.contains("CN=Cordon device ") && !subject.contains("my own idea"), "{subject}");
    assert!(text.contains("TLS Web Client Authentication") && text.contains("CA:FALSE"), "{text}");
    assert!(text.contains("sha256WithRSAEncryption"), "{text}");
}

/// This client's request is single DES signed with SHA-1, whatever GetCACaps says; it is answered with 3DES and SHA-256.
#[test]
fn scepclient_enrols() {
    let school = School::start();
    let directory = trust(&school);
    let wire = Recorder::before(school.proxied());
    let enrol = |challenge: &str, name: &str| {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
        let url = format!("http://{}/scep", wire.address);
        let arguments = [
            "-private-key",
            &key,
            "-certificate",
            &certificate,
            "-server-url",
            &url,
            "-challenge",
            challenge,
            "-cn",
            "my own idea",
        ];
        let nest = directory.path().join(name);
        std::fs::create_dir(&nest).unwrap();
        let output = run("scepclient", "scep", &arguments, &nest);
        (output.status.success(), said(&output), nest.join(certificate))
    };
    let challenge = school.challenge();
    let (done, words, certificate) = enrol(&challenge, "first");
    assert!(done, "{words}");
    judge(certificate.to_str().unwrap(), directory.path());

    assert!(
        holds(&wire.asked, DES) && holds(&wire.asked, SHA1),
        "scepclient is not old-fashioned any more: find another client that is"
    );
    assert!(holds(&wire.told, TRIPLE_DES) && !holds(&wire.told, DES) && !holds(&wire.told, SHA1));

    // Used before, and never given: refused in SCEP's own words, which the client understands.
    for (challenge, name) in [(challenge.as_str(), "second"), ("never-given", "third")] {
        let (done, words, certificate) = enrol(challenge, name);
        assert!(!done && !certificate.exists(), "{name}: {words}");
        assert!(words.contains("badRequest") || words.contains("failInfo: 2"), "{name}: {words}");
    }
}

/// certmonger's helper sends everything by GET: the request is 3.5 KB in the request line.
#[test]
fn certmongers_helper_enrols_by_get() {
    let school = School::start();
    let directory = trust(&school);
    let url = url(&school);
    let helper = |arguments: &[&str]| {
        let arguments = [&["-u", url.as_str()], arguments].concat();
        let output = run(CERTMONGER, "certmonger", &arguments, directory.path());
        (output.status.success(), said(&output))
    };
    let (done, words) = helper(&["-c"]);
    assert!(done && words.contains("SHA-256") && words.contains("AES"), "{words}");
    let (done, words) = helper(&["-C", "-N", "root.pem"]);
    let issuing = school.ca().to_pem();
    assert!(done && squeezed(&words).contains(&squeezed(&issuing)), "{words}");

    let key = PrivateKey::generate_rsa(2048).unwrap();
    let challenge = school.challenge();
    let send = |challenge: &str, transaction: &str| {
        let message = BASE64_STANDARD.encode(school.request(&key, challenge, transaction));
        let lines: Vec<&str> = message.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let text = format!("-----BEGIN PKCS7-----\n{}\n-----END PKCS7-----\n", lines.join("\n"));
        std::fs::write(directory.path().join("message.pem"), text).unwrap();
        helper(&["-p", "-r", "issuing.pem", "-N", "root.pem", "-I", "issuing.pem", "message.pem"])
    };
    let (done, words) = send(&challenge, "certmonger-1");
    assert!(done, "{words}");
    // The helper verified the signature and gives the envelope; what is inside is for the one who asked.
    let file = |name: &str, content: &[u8]| std::fs::write(directory.path().join(name), content).unwrap();
    file("envelope.pem", words.replace("PKCS7", "CMS").as_bytes());
    file("signer.key", SIGNER.1.to_pem().expose().as_bytes());
    file("device.key", key.to_pem().expose().as_bytes());
    openssl(
        &[
            "cms",
            "-decrypt",
            "-inform",
            "PEM",
            "-in",
            "envelope.pem",
            "-inkey",
            "signer.key",
            "-binary",
            "-out",
            "bag.der",
        ],
        directory.path(),
    );
    let bag = openssl(&["pkcs7", "-inform", "DER", "-in", "bag.der", "-print_certs"], directory.path());
    file("certificate.pem", bag.as_bytes());
    judge("certificate.pem", directory.path());
    let public = |arguments: &[&str]| openssl(arguments, directory.path());
    assert_eq!(
        public(&["x509", "-in", "certificate.pem", "-noout", "-pubkey"]),
        public(&["pkey", "-in", "device.key", "-pubout"])
    );

    // A refusal has no content (RFC 8894, section 3.3.2.2), which OpenSSL's PKCS #7 takes for a wrong signature; a refusal it stays.
    let (done, words) = send(&challenge, "certmonger-2");
    assert!(!done && !words.contains("BEGIN CMS"), "a challenge was used twice: {words}");
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}

#[test]
fn openssl_trusts_a_signed_enrolment_profile() {
    let school = School::start();
    let directory = trust(&school);
    std::fs::write(directory.path().join("profile.der"), school.profile()).unwrap();
    let verify = [
        "cms",
        "-verify",
        "-inform",
        "DER",
        "-in",
        "profile.der",
        "-purpose",
        "any",
        "-binary",
        "-out",
        "plain.xml",
        "-CAfile",
    ];
    openssl(&[&verify[..], &["root.pem"]].concat(), directory.path());
    let plain = std::fs::read(directory.path().join("plain.xml")).unwrap();
    let facts = cordon::protocol::profile::read_enrollment(&plain).unwrap();
    assert_eq!(facts.anchors, [school.root().der().to_vec()]);

    // Only because of our root: another school's does not do.
    std::fs::write(directory.path().join("other.pem"), School::start().root().to_pem()).unwrap();
    let output = run("openssl", "openssl", &[&verify[..], &["other.pem"]].concat(), directory.path());
    assert!(!output.status.success(), "a foreign root was enough");
}

/// `Mdm-Signature` both ways: what openssl signs enrols and serves a device behind a proxy, and what a simulated device signs, openssl
/// verifies up to the school's root. RSA and ECDSA; with signed attributes and without; DER, and BER of indefinite length as iOS sends it.
#[test]
fn openssl_and_cordon_agree_on_detached_signatures() {
    let school = School::start();
    let directory = trust(&school);
    let path = |name: &str| directory.path().join(name);
    // A device sends its own certificate only.
    std::fs::write(path("chain.pem"), school.root().to_pem() + &school.ca().to_pem()).unwrap();
    let keys = [PrivateKey::generate_ec_p256().unwrap(), PrivateKey::generate_rsa(2048).unwrap()];
    for (n, key) in keys.into_iter().enumerate() {
        let message = school.request(&key, &school.challenge(), &format!("{TRANSACTION}-{n}"));
        let Reply::Success(certificate) = school.read_reply(&message, &school.operate(&message)) else { panic!() };
        let identity = Identity { key, certificate };
        std::fs::write(path("identity.pem"), identity.certificate.to_pem()).unwrap();
        std::fs::write(path("identity.key"), identity.key.to_pem().expose()).unwrap();
        let udid = format!("AAAA-SIGNED-00000{n}");
        let say = |to: &str, body: &[u8], how: &[&str]| {
            std::fs::write(path("body"), body).unwrap();
            let fixed = ["cms", "-sign", "-binary", "-in", "body", "-signer", "identity.pem", "-inkey", "identity.key"];
            openssl(&[&fixed[..], how, &["-outform", "DER", "-out", "signature.der"]].concat(), directory.path());
            let signature = BASE64_STANDARD.encode(std::fs::read(path("signature.der")).unwrap());
            school.ask("PUT", to, &[("Mdm-Signature", &signature)], body).of_device()
        };
        assert_eq!(say("/mdm/checkin", &authenticate(&udid), &["-md", "sha256"]), 200);
        assert_eq!(say("/mdm/checkin", &token_update(&udid), &["-md", "sha1", "-noattr"]), 200);
        for how in [&["-md", "sha256", "-stream"][..], &["-md", "sha256", "-noattr", "-stream"], &["-md", "sha512"]] {
            assert_eq!(say("/mdm/command", &idle(&udid), how), 200, "{how:?}");
        }

        let body = idle(&udid);
        std::fs::write(path("body"), &body).unwrap();
        for form in [DetachedForm::WithAttributes, DetachedForm::Bare] {
            let signature =
                sign_detached(&body, &identity.certificate, &identity.key, form, DigestKind::Sha256).unwrap();
            std::fs::write(path("ours.der"), signature).unwrap();
            let verify = ["cms", "-verify", "-binary", "-inform", "DER", "-in", "ours.der", "-content", "body"];
            let trusting = ["-CAfile", "chain.pem", "-purpose", "sslclient", "-out", "seen"];
            openssl(&[&verify[..], &trusting[..]].concat(), directory.path());
            assert_eq!(std::fs::read(path("seen")).unwrap(), body);
        }
    }
}
