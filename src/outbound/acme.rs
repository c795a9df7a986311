//! The ACME conversation (RFC 8555) over HTTPS: account, order, one challenge for each name, the request, the chain.
//!
//! Implements the port that `service::acme` orders through. Blocking, and patient within bounds; what the authority refuses is handed
//! back in its own words. Not here: keys, when to order, where answers are put up.

use super::{agent, extra_roots};
use crate::pki::jws;
use crate::service::ports::{AcmeAnswers, AcmeAuthority, AcmeOrder};
use serde_json::{Value, json};
use std::io::Read;
use std::time::{Duration, Instant};
use ureq::Agent;
use ureq::tls::RootCerts;

/// For one check or for the certificate to be made.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks, unless the authority asks for more; doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Answers of authorities have a few KB.
const MAX_ANSWER: u64 = 256 * 1024;
/// A nonce may be stale when an answer was long in coming.
const NONCE_TRIES: u32 = 4;

/// Speaks ACME to any directory.
pub struct AcmeClient {
    agent: Agent,
}

impl AcmeClient {
    /// `ca_pem`: authorities that the directory itself may be certified by, instead of the public ones.
    ///
    /// # Errors
    /// In words, when the PEM holds no certificate.
    pub fn new(ca_pem: Option<&[u8]>) -> Result<Self, String> {
        let roots = ca_pem.map_or(Ok(RootCerts::WebPki), extra_roots)?;
        Ok(Self { agent: agent(roots) })
    }
}

impl AcmeAuthority for AcmeClient {
    fn obtain(&self, order: &AcmeOrder, answers: &dyn AcmeAnswers) -> Result<String, String> {
        let mut talk = Talk::begin(&self.agent, order)?;
        let identifiers: Vec<Value> = order.names.iter().map(|name| identifier(name)).collect();
        let made = talk.post(&talk.url("newOrder")?, &json!({ "identifiers": identifiers }).to_string())?;
        let order_url = made.location.clone().ok_or("the authority's order has no address")?;
        for authorization in made.body["authorizations"].as_array().into_iter().flatten() {
            let url = authorization.as_str().ok_or("an authorization has no address")?;
            prove(&mut talk, url, order, answers)?;
        }
        let finalize = made.body["finalize"].as_str().ok_or("the order cannot be finished")?.to_owned();
        talk.wait(&order_url, "the order", &["ready", "valid"], answers)?;
        talk.post(&finalize, &json!({ "csr": jws::encode(&order.request) }).to_string())?;
        let done = talk.wait(&order_url, "the certificate", &["valid"], answers)?;
        let certificate = done.body["certificate"].as_str().ok_or("the certificate has no address")?.to_owned();
        let chain = talk.post(&certificate, "")?;
        String::from_utf8(chain.bytes).map_err(|_| String::from("the certificate is not PEM"))
    }
}

fn identifier(name: &str) -> Value {
    let kind = if name.parse::<std::net::IpAddr>().is_ok() { "ip" } else { "dns" };
    json!({ "type": kind, "value": name })
}

/// One name: put up the answer, say so, wait for the verdict.
fn prove(talk: &mut Talk<'_>, url: &str, order: &AcmeOrder, answers: &dyn AcmeAnswers) -> Result<(), String> {
    let authorization = talk.post(url, "")?.body;
    if authorization["status"] == "valid" {
        return Ok(());
    }
    let name = authorization["identifier"]["value"].as_str().unwrap_or_default().to_owned();
    let wanted = order.challenge.as_str();
    let offered = authorization["challenges"].as_array().cloned().unwrap_or_default();
    let challenge = offered.iter().find(|one| one["type"] == wanted);
    let challenge = challenge.ok_or_else(|| format!("the authority offers no {wanted} for {name}"))?;
    let text = |key: &str| challenge[key].as_str().map(str::to_owned).ok_or("a challenge is not complete");
    let (token, challenge_url) = (text("token")?, text("url")?);
    // RFC 8555 §8.1: base64url only; it becomes part of a path.
    if !token.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
        return Err(String::from("a challenge's token is not one"));
    }
    let thumbprint = jws::thumbprint(&order.account_key).map_err(|e| e.to_string())?;
    answers.put_up(&name, &token, &format!("{token}.{thumbprint}"))?;
    let proven = talk.post(&challenge_url, "{}").and_then(|_| talk.wait(url, &name, &["valid"], answers));
    answers.take_down(&token);
    proven.map(drop)
}

/// A conversation with one directory, as one account.
struct Talk<'a> {
    agent: &'a Agent,
    order: &'a AcmeOrder,
    directory: Value,
    account: Option<String>,
    nonce: Option<String>,
}

struct Answer {
    status: u16,
    location: Option<String>,
    retry_after: Option<Duration>,
    bytes: Vec<u8>,
    /// Null where it is no JSON.
    body: Value,
}

impl<'a> Talk<'a> {
    fn begin(agent: &'a Agent, order: &'a AcmeOrder) -> Result<Self, String> {
        let mut talk = Self { agent, order, directory: Value::Null, account: None, nonce: None };
        let found = agent.get(&order.directory).call().map_err(|e| unreached(&order.directory, &e))?;
        talk.directory = talk.read(found, &order.directory)?.body;
        let account = json!({ "termsOfServiceAgreed": true });
        let mut account = match &order.contact {
            None => account,
            Some(contact) => json!({ "termsOfServiceAgreed": true, "contact": [contact] }),
        };
        let url = talk.url("newAccount")?;
        if let Some(binding) = &order.binding {
            let protected = json!({ "alg": "HS256", "kid": binding.kid, "url": url }).to_string();
            let jwk = jws::jwk(&order.account_key).map_err(|e| e.to_string())?;
            let bound = jws::authenticate(binding.key.expose(), &protected, &jwk);
            account["externalAccountBinding"] = serde_json::from_str(&bound).map_err(|e| e.to_string())?;
        }
        let account = talk.post(&url, &account.to_string())?;
        talk.account = Some(account.location.ok_or("the authority's account has no address")?);
        Ok(talk)
    }

    fn url(&self, name: &str) -> Result<String, String> {
        let missing = || format!("{} is not an ACME directory: it has no {name}", self.order.directory);
        self.directory[name].as_str().map(str::to_owned).ok_or_else(missing)
    }

    /// A signed request; an empty payload is a POST-as-GET.
    fn post(&mut self, url: &str, payload: &str) -> Result<Answer, String> {
        let mut tries = 0;
        loop {
            tries += 1;
            let answer = self.post_once(url, payload)?;
            let stale = answer.body["type"] == "urn:ietf:params:acme:error:badNonce";
            match answer.status {
                200..=299 => return Ok(answer),
                _ if stale && tries < NONCE_TRIES => {}
                status => return Err(refusal(status, &answer.body)),
            }
        }
    }

    fn post_once(&mut self, url: &str, payload: &str) -> Result<Answer, String> {
        let nonce = match self.nonce.take() {
            Some(nonce) => nonce,
            None => {
                let from = self.url("newNonce")?;
                let fresh = self.agent.head(&from).call().map_err(|e| unreached(&from, &e))?;
                self.read(fresh, &from)?;
                self.nonce.take().ok_or("the authority gives no nonce")?
            }
        };
        let key = &self.order.account_key;
        let mut protected = json!({ "alg": "ES256", "nonce": nonce, "url": url });
        match &self.account {
            Some(account) => protected["kid"] = json!(account),
            None => {
                let jwk = jws::jwk(key).map_err(|e| e.to_string())?;
                protected["jwk"] = serde_json::from_str(&jwk).map_err(|e| e.to_string())?;
            }
        }
        let body = jws::sign(key, &protected.to_string(), payload).map_err(|e| e.to_string())?;
        let sent = self.agent.post(url).header("content-type", "application/jose+json").send(body.as_bytes());
        let answer = sent.map_err(|e| unreached(url, &e))?;
        self.read(answer, url)
    }

    fn read(&mut self, mut answer: ureq::http::Response<ureq::Body>, url: &str) -> Result<Answer, String> {
        let header = |name: &str| answer.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        if let Some(nonce) = header("replay-nonce") {
            self.nonce = Some(nonce);
        }
        let location = header("location");
        let retry_after = header("retry-after").and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let status = answer.status().as_u16();
        let mut bytes = Vec::new();
        let read = answer.body_mut().as_reader().take(MAX_ANSWER).read_to_end(&mut bytes);
        read.map_err(|e| format!("the answer of {url} broke off: {e}"))?;
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(Answer { status, location, retry_after, bytes, body })
    }

    /// Looks at an order or authorization until it has one of these states.
    fn wait(&mut self, url: &str, what: &str, states: &[&str], answers: &dyn AcmeAnswers) -> Result<Answer, String> {
        let until = Instant::now() + PATIENCE;
        let mut pause = FIRST_PAUSE;
        loop {
            let answer = self.post(url, "")?;
            let status = answer.body["status"].as_str().unwrap_or_default();
            if states.contains(&status) {
                return Ok(answer);
            }
            if !matches!(status, "pending" | "processing" | "ready") {
                let challenges = answer.body["challenges"].as_array().cloned().unwrap_or_default();
                let reason = challenges.iter().map(|one| &one["error"]).chain([&answer.body["error"]]);
                let reason = reason.filter_map(|error| error["detail"].as_str()).next().unwrap_or("no reason is given");
                return Err(format!("the authority did not accept {what}: {reason}"));
            }
            if Instant::now() > until {
                return Err(format!("the authority did not decide on {what} within two minutes"));
            }
            let again = Instant::now() + answer.retry_after.unwrap_or(pause).min(LONGEST_PAUSE);
            while Instant::now() < again {
                if answers.is_stopping() {
                    return Err(String::from("the server stops; the order is made again at its next start"));
                }
                std::thread::sleep(FIRST_PAUSE.min(again.saturating_duration_since(Instant::now())));
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

fn unreached(url: &str, error: &ureq::Error) -> String {
    format!("{url} cannot be reached: {error}")
}

fn refusal(status: u16, problem: &Value) -> String {
    let text = |key: &str| problem[key].as_str().unwrap_or_default().chars().filter(|c| !c.is_control()).take(400);
    let (kind, detail): (String, String) = (text("type").collect(), text("detail").collect());
    format!("the authority answered {status}: {detail} ({})", kind.rsplit(':').next().unwrap_or_default())
}
