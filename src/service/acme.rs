//! Certificates by ACME (RFC 8555): when one is due, with which keys, and what becomes of it. The conversation itself is a port.
//!
//! Called by `serving`. Account key, certificate and its key are sealed in the database; a failed attempt waits longer each time.

use super::founding::TlsIdentity;
use super::ports::{AcmeAnswers, AcmeAuthority, AcmeBinding, AcmeChallenge, AcmeOrder, Doors};
use super::serving::{self, Demands, Judged};
use super::{Context, Error};
use crate::base::secret::Secret;
use crate::base::time::{DAY, HOUR, MINUTE, Timestamp};
use crate::pki::csr;
use crate::pki::keys::PrivateKey;
use crate::pki::templates;
use crate::store::{AcmeCertificate, AcmeRow};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// After the first failure; doubled with each further one, up to [`LONGEST_WAIT`].
const FIRST_WAIT: i64 = 5 * MINUTE;
const LONGEST_WAIT: i64 = DAY;
/// Between two orders that both went well.
const SHORTEST_PAUSE: i64 = HOUR;

/// Whom to ask, and how.
pub struct Acme {
    pub directory: String,
    pub contact: Option<String>,
    pub binding: Option<AcmeBinding>,
    pub challenge: AcmeChallenge,
    pub authority: Arc<dyn AcmeAuthority>,
}

/// Answers to HTTP-01 checks that are under way: token → key authorization.
#[derive(Default)]
pub struct HttpAnswers {
    held: Mutex<HashMap<String, String>>,
    stopping: AtomicBool,
}

impl HttpAnswers {
    /// The answer for a token, if a check for it is under way.
    pub fn find(&self, token: &str) -> Option<String> {
        self.held().get(token).cloned()
    }

    /// The server stops; an order that is under way is given up.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn account_place(directory: &str) -> String {
    format!("acme/account/{directory}")
}

fn certificate_place(directory: &str) -> String {
    format!("acme/certificate/{directory}")
}

/// The certificate from an earlier order, if it may still be served; the server starts with it.
pub(super) fn stored(cx: &Context, acme: &Acme, demands: &Demands) -> Result<Option<Judged>, Error> {
    let row = cx.store.read(|db| db.find_acme(&acme.directory))?;
    let Some(held) = row.and_then(|row| row.certificate) else { return Ok(None) };
    let key = cx.open(&certificate_place(&acme.directory), &held.sealed_key)?;
    let key = PrivateKey::from_pkcs8_der(key.expose()).map_err(Error::internal)?.to_pem();
    match serving::judge(&held.chain_pem, &key, demands, cx.now()) {
        Ok(judged) => Ok(Some(judged)),
        Err(why) => {
            // Other names are asked for, or it has ended: another is ordered.
            tracing::warn!(why, "the certificate that was obtained by ACME is not served");
            Ok(None)
        }
    }
}

/// Orders a certificate when there is none for these names or a third of its life is left. `None` when nothing was to be done.
pub(super) fn renew_if_due(
    cx: &Context,
    acme: &Acme,
    doors: &dyn Doors,
    demands: &Demands,
) -> Result<Option<Result<Judged, String>>, Error> {
    let now = cx.now();
    if cx.clock_is_behind().is_some() {
        return Ok(None);
    }
    let row = cx.store.read(|db| db.find_acme(&acme.directory))?;
    let row = match row {
        Some(row) => row,
        None => {
            let key = PrivateKey::generate_ec_p256().map_err(Error::internal)?;
            let sealed = cx.seal(&account_place(&acme.directory), key.to_pkcs8_der().expose());
            let row = AcmeRow {
                directory: acme.directory.clone(),
                sealed_account_key: sealed,
                certificate: None,
                failures: 0,
                due_at: now,
            };
            // Before the account is made with it: an account without its key is lost.
            cx.store.write(|tx| tx.put_acme(&row))?;
            row
        }
    };
    let held = stored(cx, acme, demands)?;
    let wanted = held.is_none_or(|held| serving::is_due(&held.leaf, now));
    if !wanted || now < row.due_at {
        return Ok(None);
    }
    order(cx, acme, doors, demands, row, now).map(Some)
}

fn order(
    cx: &Context,
    acme: &Acme,
    doors: &dyn Doors,
    demands: &Demands,
    row: AcmeRow,
    now: Timestamp,
) -> Result<Result<Judged, String>, Error> {
    let account = cx.open(&account_place(&acme.directory), &row.sealed_account_key)?;
    let key = PrivateKey::generate_ec_p256().map_err(Error::internal)?;
    let order = AcmeOrder {
        directory: acme.directory.clone(),
        account_key: PrivateKey::from_pkcs8_der(account.expose()).map_err(Error::internal)?,
        contact: acme.contact.clone(),
        binding: acme.binding.clone(),
        names: demands.names.clone(),
        request: csr::create_for_names(&key, &demands.names),
        challenge: acme.challenge,
    };
    let desk = Desk { cx, doors, challenge: acme.challenge };
    let obtained = acme
        .authority
        .obtain(&order, &desk)
        .and_then(|chain| serving::judge(&chain, &key.to_pem(), demands, cx.now()).map(|judged| (chain, judged)));
    let (row, done) = match obtained {
        Ok((chain_pem, judged)) => {
            let sealed_key = cx.seal(&certificate_place(&acme.directory), key.to_pkcs8_der().expose());
            let certificate = Some(AcmeCertificate { chain_pem, sealed_key });
            // Also where a clock or a very short life would have the next one due at once.
            let due_at = now.plus(SHORTEST_PAUSE);
            (AcmeRow { certificate, failures: 0, due_at, ..row }, Ok(judged))
        }
        Err(why) => {
            let failures = row.failures.saturating_add(1);
            let wait = FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(LONGEST_WAIT);
            (AcmeRow { failures, due_at: cx.now().plus(wait), ..row }, Err(why))
        }
    };
    cx.store.write(|tx| tx.put_acme(&row))?;
    Ok(done)
}

/// Puts answers up where the authority looks: under a path in clear, or in a TLS handshake.
struct Desk<'a> {
    cx: &'a Context,
    doors: &'a dyn Doors,
    challenge: AcmeChallenge,
}

impl AcmeAnswers for Desk<'_> {
    fn put_up(&self, name: &str, token: &str, key_authorization: &str) -> Result<(), String> {
        match self.challenge {
            AcmeChallenge::Http01 => {
                self.cx.acme_answers.held().insert(token.to_owned(), key_authorization.to_owned());
                Ok(())
            }
            AcmeChallenge::TlsAlpn01 => {
                let made = templates::new_alpn_answer(name, key_authorization, self.cx.now(), &*self.cx.random);
                let made = made.map_err(|e| e.to_string())?;
                let key_pkcs8: Secret<Vec<u8>> = made.key.to_pkcs8_der();
                let chain_der = vec![made.certificate.der().to_vec()];
                self.doors.answer_alpn(Some(&TlsIdentity { chain_der, key_pkcs8 }))
            }
        }
    }

    fn is_stopping(&self) -> bool {
        self.cx.acme_answers.stopping.load(Ordering::SeqCst)
    }

    fn take_down(&self, token: &str) {
        match self.challenge {
            AcmeChallenge::Http01 => {
                self.cx.acme_answers.held().remove(token);
            }
            AcmeChallenge::TlsAlpn01 => {
                if let Err(why) = self.doors.answer_alpn(None) {
                    tracing::error!(why, "the answer to a certificate authority's check stays up");
                }
            }
        }
    }
}
