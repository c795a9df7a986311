//! Posts over real sockets on this machine.

use super::*;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::channel;

/// Answers one connection after another, each request with the next of `answers`; hands over the heads of what came.
fn receiver(answers: Vec<&'static str>) -> (SocketAddr, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (heard, hear) = channel();
    std::thread::spawn(move || {
        let mut answers = answers.into_iter();
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            loop {
                let (mut head, mut length) = (String::new(), 0);
                loop {
                    let mut line = String::new();
                    if reader.read_line(&mut line).unwrap_or(0) == 0 {
                        break;
                    }
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    head.push_str(&line);
                    if line == "\r\n" {
                        break;
                    }
                }
                if head.is_empty() {
                    break;
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let _ = heard.send(head + &String::from_utf8_lossy(&body));
                let Some(answer) = answers.next() else { return };
                let _ = reader.get_mut().write_all(answer.as_bytes());
            }
        }
    });
    (address, hear)
}

fn post(url: &str, body: &str) -> Post {
    Post { url: url.to_owned(), headers: vec![("x-cordon-event", String::from("k"))], body: body.to_owned() }
}

fn sent(outbound: &Outbound, posts: Vec<Post>) -> Vec<PostResult> {
    let (back, results) = channel();
    outbound.send(posts, Box::new(move |r| back.send(r).unwrap())).unwrap();
    results.recv_timeout(Duration::from_secs(15)).unwrap()
}

#[test]
fn a_batch_ends_with_its_first_failure_and_redirects_are_not_followed() {
    let ok = "HTTP/1.1 204 No Content\r\n\r\n";
    let away = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/elsewhere\r\nContent-Length: 5\r\n\r\nA\u{1b}\nB\r";
    let (address, hear) = receiver(vec![ok, away, ok]);
    let url = format!("http://{address}/hook?x=1");
    let outbound = Outbound::new(None).unwrap();
    let results = sent(&outbound, vec![post(&url, "{\"n\":1}"), post(&url, "{\"n\":2}"), post(&url, "{\"n\":3}")]);
    let wanted = [
        PostResult::Answered { status: 204, excerpt: String::new() },
        PostResult::Answered { status: 302, excerpt: String::from("A  B") },
    ];
    assert_eq!(results, wanted);
    let first = hear.recv().unwrap();
    assert!(
        first.starts_with("POST /hook?x=1 HTTP/1.1\r\n")
            && first.contains("x-cordon-event: k\r\n")
            && first.ends_with("{\"n\":1}"),
        "{first}"
    );
    assert!(hear.recv().unwrap().ends_with("{\"n\":2}"));
    assert!(hear.recv_timeout(Duration::from_millis(200)).is_err(), "the third must wait for its turn");
}

#[test]
fn what_does_not_answer_is_unreached_and_answers_are_bounded() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let outbound = Outbound::new(None).unwrap();
    assert!(matches!(
        &sent(&outbound, vec![post(&format!("http://{closed}/"), "{}")])[..],
        [PostResult::Unreached { .. }]
    ));
    let long: &'static str =
        Box::leak(format!("HTTP/1.1 500 X\r\nContent-Length: 9999999\r\n\r\n{}", "x".repeat(100_000)).into_boxed_str());
    let (address, _hear) = receiver(vec![long]);
    let results = sent(&outbound, vec![post(&format!("http://{address}/"), "{}")]);
    assert!(
        matches!(&results[..], [PostResult::Answered { status: 500, excerpt }] if excerpt.len() == MAX_WEBHOOK_ANSWER),
        "{}",
        results.len()
    );
}

#[test]
fn strangers_are_not_trusted_over_https() {
    // Something that does not speak TLS at all, and the public roots: both end before a byte of the event is out.
    let (address, hear) = receiver(vec!["HTTP/1.1 204 No Content\r\n\r\n"]);
    let outbound = Outbound::new(None).unwrap();
    let results = sent(&outbound, vec![post(&format!("https://{address}/"), "{\"secret\":1}")]);
    assert!(matches!(&results[..], [PostResult::Unreached { .. }]), "{results:?}");
    while let Ok(head) = hear.recv_timeout(Duration::from_millis(200)) {
        assert!(!head.contains("secret"));
    }
    assert!(Outbound::new(Some(b"not PEM")).is_err());
}

#[test]
fn a_private_authority_is_trusted_when_named() {
    use crate::base::time::{Clock, SystemClock};
    use crate::pki::{SystemRandom, keys::PrivateKey, templates};
    let (now, random) = (SystemClock.now(), SystemRandom);
    let root = templates::new_root("Hill", now, &random);
    let issuing = templates::new_issuing_ca(&root, "Hill", now, &random);
    let key = PrivateKey::generate_ec_p256().unwrap();
    let leaf =
        templates::issue_tls_server(&issuing, &[String::from("localhost")], &key.spki_der(), now, 30, &random).unwrap();
    let chain = [leaf.der(), issuing.certificate.der()].map(|der| CertificateDer::from(der.to_vec())).to_vec();
    let tls = crate::http::tls::server_config(
        chain.iter().map(|c| c.to_vec()).collect(),
        key.to_pkcs8_der().expose(),
        crate::http::tls::ClientAuth::None,
    );
    let mut tls = (*tls.unwrap()).clone();
    tls.alpn_protocols.clear();
    let tls = Arc::new(tls);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(Arc::clone(&tls)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream.unwrap());
            let mut bytes = [0; 4096];
            while let Ok(n) = stream.read(&mut bytes) {
                if bytes[..n].ends_with(b"{}") || n == 0 {
                    break;
                }
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
        }
    });
    let named = Outbound::new(Some(root.certificate.to_pem().as_bytes())).unwrap();
    assert_eq!(
        sent(&named, vec![post(&url, "{}")]),
        [PostResult::Answered { status: 200, excerpt: String::from("hi") }]
    );
    let unnamed = sent(&Outbound::new(None).unwrap(), vec![post(&url, "{}")]);
    assert!(matches!(&unnamed[..], [PostResult::Unreached { .. }]), "{unnamed:?}");
}
