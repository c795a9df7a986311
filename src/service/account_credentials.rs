//! What accounts prove themselves with: sealed until every device that should have it acknowledged it, put into the profile at the moment
//! when it is sent, and then forgotten. Certificates come from the school's own authority. Called by `accounts`, `library` and `reconciling`.

use super::founding::certificate_row;
use super::{Context, Error, assigning, library, revoking, school, wanting};
use crate::base::ids::short_code;
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::pki::keys::PrivateKey;
use crate::pki::pkcs12;
use crate::pki::templates::{AccountSubject, issue_account_identity};
use crate::pki::x509::Certificate;
use crate::plist::Dictionary;
use crate::protocol::lifecycle::State;
use crate::protocol::profile::{AccountKind, Proof, with_proof};
use crate::store::{AccountRow, ChannelProfileRow, Credential, Db, ProfileRow, Purpose, Target, Tx};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

/// Life of an account's certificate, days.
pub const CERTIFICATE_DAYS: i64 = 365;

pub(super) fn place(account: i64) -> String {
    format!("account/{account}")
}

/// What devices are to be given.
pub(super) enum New {
    Password(Secret<String>),
    /// A key with its certificate, in a container with a password of its own.
    Identity {
        certificate: Certificate,
        pkcs12: Secret<Vec<u8>>,
        password: Secret<String>,
    },
}

/// A certificate for whoever the account is of. Making the key takes a moment: not for inside a transaction.
pub(super) fn issue(cx: &Context, holder: &Target, now: Timestamp) -> Result<New, Error> {
    let (name, mail) = cx.store.read(|db| subject(db, holder))?;
    let organization = school::organization(cx)?;
    let key = PrivateKey::generate_rsa(2048).map_err(Error::internal)?;
    let authorities = cx.authorities();
    let url = revoking::list_url(cx, &authorities.issuing.certificate);
    let whom = AccountSubject { common_name: &name, organization: &organization, mail: mail.as_deref() };
    let spki = key.spki_der();
    let made = issue_account_identity(&authorities.issuing, &spki, &whom, now, CERTIFICATE_DAYS, &url, &*cx.random);
    let certificate = made.map_err(Error::internal)?;
    let password = Secret::new(short_code(&cx.random_bytes::<20>()));
    let pkcs12 = pkcs12::write(&key, &certificate, &password, &name, &*cx.random).map_err(Error::internal)?;
    Ok(New::Identity { certificate, pkcs12, password })
}

/// Whom the certificate names, and their address for signed mail.
fn subject(db: &Db<'_>, holder: &Target) -> Result<(String, Option<String>), Error> {
    Ok(match holder {
        Target::Person(person) => match db.find_person_by_row(*person)? {
            Some(person) => (person.long_name.unwrap_or(person.short_name), person.mail),
            None => (String::from("account"), None),
        },
        Target::Device(device) => {
            let device = db.find_device(*device)?;
            (device.map_or_else(|| String::from("account"), |row| row.serial.unwrap_or(row.public_id)), None)
        }
        Target::User(name) => (name.clone(), Some(name.clone()).filter(|name| name.contains('@'))),
        _ => (String::from("account"), None),
    })
}

/// Seals it for the devices. A certificate goes into the register, as an account's.
pub(super) fn put(cx: &Context, tx: &Tx<'_>, account: i64, new: &New, now: Timestamp) -> Result<(), Error> {
    let (content, certificate) = match new {
        New::Password(password) => (json!({ "password": password.expose() }), None),
        New::Identity { certificate, pkcs12, password } => {
            tx.insert_certificate(&certificate_row(certificate, None), Purpose::Account, now)?;
            let content = json!({ "pkcs12": STANDARD.encode(pkcs12.expose()), "password": password.expose() });
            (content, Some(certificate.fingerprint()))
        }
    };
    let content = Secret::new(content.to_string());
    let sealed = cx.seal(&place(account), content.expose().as_bytes());
    Ok(tx.put_account_credential(account, &sealed, certificate.as_ref(), now)?)
}

/// The profile with what the account proves itself with, as far as that is still here; without it a device asks its user.
pub(super) fn prove(cx: &Context, account: &AccountRow, profile: &Dictionary) -> Result<Dictionary, Error> {
    let (Some(sealed), Some(kind)) = (&account.sealed_credential, AccountKind::parse(&account.kind)) else {
        return Ok(profile.clone());
    };
    let opened = cx.open(&place(account.id), sealed)?;
    let content: serde_json::Value = serde_json::from_slice(opened.expose()).map_err(Error::internal)?;
    let odd = || Error::internal("a credential that cannot be read");
    let password = content["password"].as_str().ok_or_else(odd)?;
    Ok(match content["pkcs12"].as_str() {
        None => with_proof(profile, kind, &Proof::Password(password)),
        Some(text) => {
            let pkcs12 = Secret::new(STANDARD.decode(text).map_err(Error::internal)?);
            let mark = hex::encode(account.certificate.ok_or_else(odd)?);
            with_proof(profile, kind, &Proof::Identity { pkcs12: pkcs12.expose(), password, mark: &mark })
        }
    })
}

/// Why an account's profile cannot be sent: its key is with other devices alone, and a new one is not made yet.
pub(super) fn missing(db: &Db<'_>, profile: &ProfileRow) -> Result<Option<String>, Error> {
    let account = db.find_account_of_profile(profile.id)?;
    let lacks = |a: &AccountRow| a.credential == Credential::Certificate && a.sealed_credential.is_none();
    Ok(account.filter(lacks).map(|_| String::from("held back: a new certificate is made for it within the hour")))
}

/// A device acknowledged an account's profile: the command that brought it goes at once, and when nobody waits any more, the credential.
pub(super) fn installed(tx: &Tx<'_>, known: &ChannelProfileRow, now: Timestamp) -> Result<(), Error> {
    let Some(account) = tx.find_account_of_profile(known.profile)? else { return Ok(()) };
    tx.purge_plist(&known.command)?;
    if account.sealed_credential.is_some() && !is_wanted(tx, known.profile, now)? {
        forget(tx, &account, Some(now), now)?;
    }
    Ok(())
}

/// The credential goes. Certificates that were replaced are worth nothing from the moment when everybody has the new one.
pub(super) fn forget(tx: &Tx<'_>, account: &AccountRow, done: Option<Timestamp>, now: Timestamp) -> Result<(), Error> {
    if done.is_some() {
        for old in tx.list_replaced_certificates(account.id)? {
            tx.revoke(&old, revoking::REPLACED, now)?;
        }
    }
    Ok(tx.purge_account_credential(account.id, done)?)
}

/// The account goes, and with it everything that it ever proved itself with.
pub(super) fn end(tx: &Tx<'_>, account: &AccountRow, now: Timestamp) -> Result<(), Error> {
    let replaced = tx.list_replaced_certificates(account.id)?;
    for certificate in account.certificate.into_iter().chain(replaced) {
        tx.revoke(&certificate, revoking::REMOVED, now)?;
    }
    forget(tx, account, None, now)
}

/// Whether some channel should have the current version of this profile with today's values, could take it, and has not acknowledged it.
pub(super) fn is_wanted(db: &Db<'_>, profile: i64, now: Timestamp) -> Result<bool, Error> {
    for id in assigning::channels_of(db, profile)? {
        let Some(channel) = db.find_enrollment_by_row(id)?.filter(|channel| channel.state == State::Active) else {
            continue;
        };
        let have = db.list_channel_profiles(id)?;
        let picture = wanting::wanted(db, &channel, &have, now)?;
        let Some(due) = picture.due.into_iter().find(|due| due.profile.id == profile) else { continue };
        let has = have.into_iter().find(|known| known.profile == profile);
        let edition = (Some(due.profile.version), due.fill);
        if has.is_some_and(|known| (known.installed, known.installed_fill) == edition && !known.uncertain) {
            continue;
        }
        let Some(device) = db.find_device(channel.device)? else { continue };
        if library::unfit_there(db, &device, &channel, &due.profile)?.is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}
