//! The first start and every later one: machine key, data key, the school's certificate authorities. Called by `cli` before anything else.
//!
//! The machine key is on disk before the database's first commit, so that no crash can leave a database that nothing opens.

use super::{Authorities, Bell, Context, Error, Seen, Urls, recovery};
use crate::base::random::Random;
use crate::base::secret::Secret;
use crate::base::time::{Clock, Timestamp};
use crate::pki::keys::PrivateKey;
use crate::pki::sealing::{DataKey, Keyring};
use crate::pki::stretching::Cost;
use crate::pki::templates::{self, Authority};
use crate::pki::x509::Certificate;
use crate::store::{
    AuthorityRow, CertificateRow, Purpose, Standing, Store, StoreError, Tx, WrappedKey, create_machine_key,
    find_machine_key, next_machine_key, settle_machine_key,
};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, OnceLock, RwLock};

/// Setting: the highest time this installation has seen, milliseconds.
pub(super) const HIGHEST_TIME: &str = "highest_time";
/// Setting: the random part of this school's PayloadIdentifiers, minted once.
pub(super) const SCHOOL_ID: &str = "school_id";
/// Setting: the organisation's name as people wrote it.
pub(super) const ORGANIZATION: &str = "organization";
/// Setting: the host name that devices know.
pub(super) const HOSTNAME: &str = "hostname";

/// Names of the certificate authorities before set-up has given the organisation's.
const FIRST_ORGANIZATION: &str = "Cordon";

/// Where a database and its key are.
#[derive(Debug, Clone)]
pub struct Place {
    pub directory: PathBuf,
    /// Defaults to `machine.key` in the directory; packages put it elsewhere.
    pub machine_key: Option<PathBuf>,
}

impl Place {
    pub fn in_directory(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), machine_key: None }
    }

    /// Where the machine key lies.
    pub fn key_path(&self) -> PathBuf {
        self.machine_key.clone().unwrap_or_else(|| self.directory.join("machine.key"))
    }
}

/// Opens the school's database, founding it when it is new.
///
/// # Errors
/// When another server runs on it, the machine key does not fit, or the disk is full.
pub fn open(place: &Place, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Result<Context, Error> {
    let store = Store::open(&place.directory)?;
    let now = clock.now();
    let machine_key = machine_key(place, &store, &*random)?;
    let keyring = keyring(&store, &place.key_path(), &machine_key, &*random, now)?;
    let authorities = match load_authorities(&store, &keyring)? {
        Some(authorities) => authorities,
        None => found(&store, &keyring, &*random, now)?,
    };
    assemble(store, place, keyring, authorities, clock, random)
}

/// Opens a school whose machine key is lost or on another machine. Afterwards this machine's key opens it too: the one that is
/// there, or else a new one, which is on disk before the database knows of it.
///
/// # Errors
/// `Invalid` when the code does not open this database; else as [`open`].
pub fn open_with_recovery(
    place: &Place,
    code: &str,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
) -> Result<Context, Error> {
    let store = Store::open(&place.directory)?;
    let keyring = recovery::open_keyring(&store, code)?;
    let path = place.key_path();
    let machine_key = match find_machine_key(&path)? {
        Some(key) => key,
        None => {
            let key = Secret::new(crate::base::random::bytes::<32>(&*random));
            create_machine_key(&path, &key)?;
            key
        }
    };
    store.write(|tx| wrap_for_machine(tx, keyring.keys(), &machine_key, &*random, clock.now()))?;
    let authorities = load_authorities(&store, &keyring)?
        .ok_or_else(|| Error::internal("this database holds no certificate authority"))?;
    assemble(store, place, keyring, authorities, clock, random)
}

fn assemble(
    store: Store,
    place: &Place,
    keyring: Keyring,
    authorities: Authorities,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
) -> Result<Context, Error> {
    let now = clock.now();
    let highest = store.read(|db| db.find_setting(HIGHEST_TIME))?.and_then(|v| v.as_i64()).unwrap_or(now.0);
    let hooks = super::events::Hooks::load(&store)?;
    let guesses = super::guesses::Guesses::load(&store, now)?;
    Ok(Context {
        store,
        clock,
        random,
        authorities: RwLock::new(Arc::new(authorities)),
        keyring: RwLock::new(Arc::new(keyring)),
        rotation: super::rotating::Rotation::default(),
        purging: super::purging::Purging::default(),
        escrow: super::filevault::Escrow::default(),
        machine_key_path: place.key_path(),
        urls: RwLock::new(Urls::default()),
        seen: Mutex::new(Seen::default()),
        highest_time: AtomicI64::new(highest),
        push_work: Bell::default(),
        certificate_work: Bell::default(),
        acme_answers: super::acme::HttpAnswers::default(),
        password_cost: Cost::PASSWORD,
        asks_at_enrollment: true,
        guesses,
        refusals: super::auditing::Refusals::default(),
        hooks,
        backups: super::backing_up::Backups::default(),
        device_authorities: OnceLock::new(),
        directory: std::sync::RwLock::new(None),
        surroundings: std::sync::RwLock::new(None),
        mail_sender: std::sync::RwLock::new(None),
        synthetic: Mutex::default(),
        rounds: Default::default(),
    })
}

fn machine_key(place: &Place, store: &Store, random: &dyn Random) -> Result<Secret<[u8; 32]>, Error> {
    let path = place.key_path();
    if let Some(key) = find_machine_key(&path)? {
        return Ok(key);
    }
    if !store.read(|db| db.list_wrapped_keys(MACHINE_KEY))?.is_empty() {
        let database = store.path().display();
        return Err(Error::internal(format!(
            "the machine key {0} is missing, and {database} is sealed with it; put it back from where this machine's key is kept, \
             or make a new one with the recovery code: cordon restore {database} --recovery-code-file FILE",
            path.display()
        )));
    }
    let key = Secret::new(crate::base::random::bytes::<32>(random));
    create_machine_key(&path, &key)?;
    Ok(key)
}

/// The word of the `wrapping` column.
const MACHINE_KEY: &str = "machine-key";

/// Wraps these data keys under a machine key; what was wrapped under another one before is gone.
pub(super) fn wrap_for_machine<'k>(
    tx: &Tx<'_>,
    keys: impl Iterator<Item = &'k DataKey>,
    machine_key: &Secret<[u8; 32]>,
    random: &dyn Random,
    now: Timestamp,
) -> Result<(), StoreError> {
    for key in keys {
        let wrapped = key.wrap(random, machine_key);
        tx.put_wrapped_key(&WrappedKey { key_id: key.id(), wrapped, derivation: None, created_at: now }, MACHINE_KEY)?;
    }
    Ok(())
}

/// The data keys that this machine key opens; all of them, or it is another database's.
pub(super) fn unwrap_all(wrapped: &[WrappedKey], machine_key: &Secret<[u8; 32]>) -> Option<Keyring> {
    let keys = wrapped.iter().map(|row| DataKey::unwrap(&row.wrapped, machine_key).ok()).collect::<Option<Vec<_>>>()?;
    Keyring::new(keys)
}

/// Whether this machine key opens every data key of the database.
pub(super) fn opens(store: &Store, machine_key: &Secret<[u8; 32]>) -> Result<bool, Error> {
    Ok(unwrap_all(&store.read(|db| db.list_wrapped_keys(MACHINE_KEY))?, machine_key).is_some())
}

/// Every data key of the database; the first one is made here.
fn keyring(
    store: &Store,
    path: &Path,
    machine_key: &Secret<[u8; 32]>,
    random: &dyn Random,
    now: Timestamp,
) -> Result<Keyring, Error> {
    let wrapped = store.read(|db| db.list_wrapped_keys(MACHINE_KEY))?;
    if wrapped.is_empty() {
        let key = DataKey::generate(random, 1);
        store.write(|tx| wrap_for_machine(tx, [&key].into_iter(), machine_key, random, now))?;
        return Keyring::new(vec![key]).ok_or_else(|| Error::internal("no data key"));
    }
    // A replacement of the machine key that was interrupted: the database turned to the next key already, or it did not yet.
    let next = find_machine_key(&next_machine_key(path))?;
    if let Some(ring) = unwrap_all(&wrapped, machine_key) {
        if next.is_some() {
            settle_machine_key(path, false)?;
        }
        return Ok(ring);
    }
    if let Some(ring) = next.and_then(|next| unwrap_all(&wrapped, &next)) {
        settle_machine_key(path, true)?;
        return Ok(ring);
    }
    Err(Error::internal(
        "the machine key does not open this database: it belongs to another one; the recovery code opens it all the same (cordon restore)",
    ))
}

/// The place that an authority's key is sealed for.
pub(super) fn key_place(purpose: Purpose, fingerprint: &[u8; 32]) -> String {
    format!("authority/{}/{}", purpose.as_str(), hex::encode(fingerprint))
}

/// A certificate as a row of the register.
pub(super) fn certificate_row(certificate: &Certificate, issued_profile: Option<i64>) -> CertificateRow {
    CertificateRow {
        fingerprint: certificate.fingerprint(),
        der: certificate.der().to_vec(),
        serial: certificate.serial_hex(),
        subject: certificate.subject(),
        not_before: certificate.not_before(),
        not_after: certificate.not_after(),
        issued_profile,
        revoked_at: None,
    }
}

fn load_authorities(store: &Store, keyring: &Keyring) -> Result<Option<Authorities>, Error> {
    let load = |purpose: Purpose| -> Result<Option<Authority>, Error> {
        let row = store.read(|db| db.find_authority(purpose))?;
        row.map(|row| open_authority(keyring, purpose, &row)).transpose()
    };
    let (root, issuing, signer) =
        (store.read(|db| db.find_authority(Purpose::Root))?, load(Purpose::Issuing)?, load(Purpose::Signer)?);
    let (Some(root), Some(issuing), Some(signer)) = (root, issuing, signer) else { return Ok(None) };
    let root = Certificate::parse(&root.der).map_err(Error::internal)?;
    let mut authorities = Authorities { root, issuing, signer, next_roots: Vec::new(), other_issuing: Vec::new() };
    for (purpose, row) in store.read(|db| db.list_authorities())? {
        match (purpose, row.standing) {
            (Purpose::Root, Standing::Next) => {
                authorities.next_roots.push(Certificate::parse(&row.der).map_err(Error::internal)?);
            }
            (Purpose::Issuing, Standing::Next | Standing::Former) => {
                authorities.other_issuing.push(open_authority(keyring, purpose, &row)?);
            }
            _ => {}
        }
    }
    Ok(Some(authorities))
}

fn open_authority(keyring: &Keyring, purpose: Purpose, row: &AuthorityRow) -> Result<Authority, Error> {
    let certificate = Certificate::parse(&row.der).map_err(Error::internal)?;
    let place = key_place(purpose, &certificate.fingerprint());
    let key = keyring.open(&place, &row.sealed_key).map_err(Error::internal)?;
    let key = PrivateKey::from_pkcs8_der(key.expose()).map_err(Error::internal)?;
    Ok(Authority { certificate, key })
}

/// A key of the school with its certificate, for `service`'s own use.
pub(super) fn authority(cx: &Context, purpose: Purpose, row: &AuthorityRow) -> Result<Authority, Error> {
    open_authority(&cx.keyring(), purpose, row)
}

/// Takes what the database now says into memory: after authorities came, were put in force, or went.
pub(super) fn reload_authorities(cx: &Context) -> Result<(), Error> {
    let authorities = load_authorities(&cx.store, &cx.keyring())?;
    cx.set_authorities(authorities.ok_or_else(|| Error::internal("the school's authorities are gone"))?);
    Ok(())
}

/// Makes root, issuing CA and profile signer, in one transaction. The root's key stays sealed and is not kept in memory.
fn found(store: &Store, keyring: &Keyring, random: &dyn Random, now: Timestamp) -> Result<Authorities, Error> {
    let root = templates::new_root(FIRST_ORGANIZATION, now, random);
    let issuing = templates::new_issuing_ca(&root, FIRST_ORGANIZATION, now, random);
    let key = PrivateKey::generate_rsa(2048).map_err(Error::internal)?;
    let name = "Cordon profiles";
    let certificate =
        templates::issue_profile_signer(&issuing, &key.spki_der(), name, FIRST_ORGANIZATION, now, SIGNER_DAYS, random);
    let signer = Authority { certificate: certificate.map_err(Error::internal)?, key };
    let school_id = crate::base::ids::short_code(&crate::base::random::bytes::<12>(random));
    store.write(|tx| -> Result<(), StoreError> {
        for (purpose, authority) in [(Purpose::Root, &root), (Purpose::Issuing, &issuing), (Purpose::Signer, &signer)] {
            put_authority(tx, keyring, random, purpose, authority, Standing::Current, now)?;
        }
        tx.put_audit_head(&super::auditing::first_head(keyring, random))?;
        tx.put_setting(SCHOOL_ID, &json!(school_id))?;
        tx.put_setting(HIGHEST_TIME, &json!(now.0))
    })?;
    Ok(Authorities { root: root.certificate, issuing, signer, next_roots: Vec::new(), other_issuing: Vec::new() })
}

fn put_authority(
    tx: &Tx<'_>,
    keyring: &Keyring,
    random: &dyn Random,
    purpose: Purpose,
    authority: &Authority,
    standing: Standing,
    now: Timestamp,
) -> Result<(), StoreError> {
    let fingerprint = authority.certificate.fingerprint();
    let sealed = keyring.seal(random, &key_place(purpose, &fingerprint), authority.key.to_pkcs8_der().expose());
    tx.insert_certificate(&certificate_row(&authority.certificate, None), purpose, now)?;
    tx.insert_authority(purpose, &fingerprint, &sealed, standing, now)
}

/// Puts an authority into the register and its key, sealed, into the file.
pub(super) fn put(
    cx: &Context,
    tx: &Tx<'_>,
    purpose: Purpose,
    authority: &Authority,
    standing: Standing,
    now: Timestamp,
) -> Result<(), Error> {
    Ok(put_authority(tx, &cx.keyring(), &*cx.random, purpose, authority, standing, now)?)
}

/// Life of the profile signer: ten years. Replacing it is easy over MDM, but a user who looks at an expired one is alarmed.
pub(super) const SIGNER_DAYS: i64 = 3650;

/// How long a TLS certificate of our own CA is valid. Apple refuses more than 825 days even from private roots.
const TLS_DAYS: i64 = 397;

/// What the listeners prove themselves with.
pub struct TlsIdentity {
    /// Leaf first, without the root.
    pub chain_der: Vec<Vec<u8>>,
    pub key_pkcs8: Secret<Vec<u8>>,
}

/// The chain and key that the listeners serve for `names`; issued anew when the names or the authority changed, or a third of its
/// life is left.
///
/// # Errors
/// `Internal` when the sealed keys cannot be opened.
pub fn tls_identity(cx: &Context, names: &[String]) -> Result<TlsIdentity, Error> {
    let now = cx.now();
    let authorities = cx.authorities();
    let issuing = &authorities.issuing;
    if cx.store.read(|db| db.find_setting(TLS_NAMES))? == Some(json!(names))
        && let Some(row) = cx.store.read(|db| db.find_authority(Purpose::Tls))?
    {
        let leaf = Certificate::parse(&row.der).map_err(Error::internal)?;
        let life = leaf.not_after().since(leaf.not_before());
        let ours = leaf.issued_by(&issuing.certificate);
        if ours && (leaf.not_after().since(now) > life / 3 || cx.clock_is_behind().is_some()) {
            let key = cx.open(&key_place(Purpose::Tls, &leaf.fingerprint()), &row.sealed_key)?;
            let chain_der = vec![leaf.der().to_vec(), issuing.certificate.der().to_vec()];
            return Ok(TlsIdentity { chain_der, key_pkcs8: key });
        }
    }
    issue_tls_identity(cx, names)
}

/// A new certificate for the listeners, from the authority in force, whatever the age of the one before.
///
/// # Errors
/// `Internal` when the authority cannot issue.
pub(super) fn issue_tls_identity(cx: &Context, names: &[String]) -> Result<TlsIdentity, Error> {
    let (now, authorities) = (cx.now(), cx.authorities());
    let issuing = &authorities.issuing;
    let key = PrivateKey::generate_ec_p256().map_err(Error::internal)?;
    let leaf = templates::issue_tls_server(issuing, names, &key.spki_der(), now, TLS_DAYS, &*cx.random)
        .map_err(Error::internal)?;
    let authority = Authority { certificate: leaf.clone(), key };
    cx.store.write(|tx| {
        put_authority(tx, &cx.keyring(), &*cx.random, Purpose::Tls, &authority, Standing::Current, now)?;
        tx.put_setting(TLS_NAMES, &json!(names))
    })?;
    let chain_der = vec![leaf.der().to_vec(), issuing.certificate.der().to_vec()];
    Ok(TlsIdentity { chain_der, key_pkcs8: authority.key.to_pkcs8_der() })
}

/// Setting: the names on the current TLS certificate.
pub(super) const TLS_NAMES: &str = "tls_names";
