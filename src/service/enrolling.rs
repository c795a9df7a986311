//! Enrolment profiles: each with its own one-time permission, and a record of what it gave for ever.
//!
//! Called by the API, the enrolment page and renewals. [`prepare`] makes one without writing anything, so that a caller can record it in
//! its own transaction; [`issue`] does both. Not here: what is asked for by default (`enrollment_policy`), and trust (`trust`).

use super::actor::{Actor, Permission};
use super::founding::certificate_row;
use super::trust::{self, Trust};
use super::{Context, Error, auditing, certifying, enrollment_policy, revoking, school};
use crate::base::ids::{short_code, upper_uuid};
use crate::base::push::Topic;
use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::base::time::{HOUR, Timestamp};
use crate::pki::cms::{self, ContentCipher};
use crate::pki::digest::sha256;
use crate::pki::keys::PrivateKey;
use crate::pki::x509::Certificate;
use crate::pki::{pkcs12, templates};
use crate::protocol::profile::{
    AccessRights, Capabilities, EnrollmentProfile, Identity, IdentityMethod, MdmPayload, ProfileError,
    enrollment_profile,
};
pub use crate::store::Way;
use crate::store::{IssuedProfile, Purpose, Tx};
use serde_json::json;

/// A download is used at once; printed invitations, which live longer, are another matter.
pub const CHALLENGE_LIFE: i64 = HOUR;
/// What a device identity is called before the device has said who it is.
const SUBJECT: &str = "Cordon device";

/// What is asked of a profile.
#[derive(Debug, Clone)]
pub struct Wish {
    /// For people: whose it is, what it is for.
    pub name: Option<String>,
    pub way: Way,
    /// Row of the person whose device it is to be.
    pub person: Option<i64>,
    /// `com.apple.mdm.per-user-connections`; can never be added later.
    pub per_user: bool,
    pub signed: bool,
    /// `None`: the school's policy.
    pub identity: Option<IdentityMethod>,
    /// `Mdm-Signature` on every message; `None`: where a proxy takes the client certificate away.
    pub sign_message: Option<bool>,
    /// `None`: the school's policy.
    pub access_rights: Option<AccessRights>,
    /// How long the permission inside may wait for its device, milliseconds.
    pub life: i64,
    /// Encrypt the payloads to this device's present certificate.
    pub encrypt_to: Option<Certificate>,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            name: None,
            way: Way::Download,
            person: None,
            per_user: true,
            signed: true,
            identity: None,
            sign_message: None,
            access_rights: None,
            life: CHALLENGE_LIFE,
            encrypt_to: None,
        }
    }
}

/// A finished `.mobileconfig`.
#[derive(Debug)]
pub struct Issued {
    pub file_name: String,
    /// Holds the challenge or the key: give it to one device, do not log it.
    pub bytes: Secret<Vec<u8>>,
    /// Row of the record.
    pub issued_profile: i64,
    pub identity: IdentityMethod,
    pub access_rights: AccessRights,
    pub challenge_expires_at: Timestamp,
}

/// A profile that is not recorded yet: it enrols nobody before [`Prepared::record`].
pub struct Prepared {
    pub bytes: Secret<Vec<u8>>,
    pub expires_at: Timestamp,
    record: IssuedProfile,
    rights: AccessRights,
    permission: Given,
    enrollment: Option<i64>,
}

/// What lets the device in.
enum Given {
    /// Hash of a SCEP challenge.
    Challenge([u8; 32]),
    /// The identity itself, from a PKCS#12 container.
    Identity(Certificate),
}

impl Prepared {
    /// Writes what was given, and the audit row; the row of the record.
    ///
    /// # Errors
    /// Faults of the store.
    pub fn record(&self, tx: &Tx<'_>, actor: &Actor, now: Timestamp) -> Result<i64, Error> {
        let id = tx.insert_issued_profile(&self.record, now)?;
        match &self.permission {
            Given::Challenge(hash) => tx.insert_challenge(hash, id, self.enrollment, self.expires_at, now)?,
            Given::Identity(certificate) => {
                tx.insert_certificate(&certificate_row(certificate, Some(id)), Purpose::Identity, now)?;
            }
        }
        let record = &self.record;
        let detail = json!({ "name": record.name, "way": record.way.as_str(), "access_rights": record.access_rights,
            "per_user": record.per_user, "identity": record.identity.as_str() });
        auditing::record(tx, actor, "enrollment.profile", Some(&id.to_string()), Some(detail), now)?;
        Ok(id)
    }
}

/// Makes and records one enrolment profile.
///
/// # Errors
/// `Conflict` without a push certificate or with a clock that runs behind; `Denied` without the right to enrol.
pub fn issue(cx: &Context, actor: &Actor, wish: &Wish) -> Result<Issued, Error> {
    let prepared = prepare(cx, actor, wish)?;
    let issued_profile = cx.store.write(|tx| prepared.record(tx, actor, cx.now()))?;
    Ok(Issued {
        file_name: String::from("enroll.mobileconfig"),
        issued_profile,
        identity: prepared.record.identity,
        access_rights: prepared.rights,
        challenge_expires_at: prepared.expires_at,
        bytes: prepared.bytes,
    })
}

/// Makes a profile by the school's policy and present addresses, and writes nothing.
///
/// # Errors
/// As [`issue`].
pub fn prepare(cx: &Context, actor: &Actor, wish: &Wish) -> Result<Prepared, Error> {
    actor.require(Permission::Enroll)?;
    let certificate = cx.store.read(|db| db.find_current_push_certificate())?;
    let certificate = certificate.ok_or_else(|| Error::conflict(Text::NoPushCertificate))?;
    let policy = enrollment_policy::find(cx)?;
    let urls = cx.urls();
    let capabilities = Capabilities { per_user_connections: wish.per_user, ..Capabilities::default() };
    let record = IssuedProfile {
        payload_identifier: school::payload_identifier(cx)?,
        name: wish.name.clone().unwrap_or_else(|| String::from("Enrolment profile")),
        way: wish.way,
        person: wish.person,
        replaces: None,
        server_url: format!("{}/mdm/command", urls.devices),
        check_in_url: format!("{}/mdm/checkin", urls.devices),
        topic: certificate.topic,
        access_rights: wish.access_rights.unwrap_or(policy.access_rights).bits(),
        per_user: wish.per_user,
        capabilities: capabilities.names().into_iter().map(str::to_owned).collect(),
        sign_message: wish.sign_message.map_or_else(|| trust::devices_sign(cx), Ok)?,
        identity: wish.identity.unwrap_or(policy.identity),
        signed: wish.signed,
        signer: None,
        certificates: Vec::new(),
        ends_at: None,
        enroll_by: None,
        created_by: actor.name(),
    };
    finish(cx, record, None, cx.now().plus(wish.life), wish.encrypt_to.as_ref())
}

/// Makes the profile that takes the place of `old`, which `enrollment` (the device channel) holds: the same identifier, addresses,
/// topic and capabilities, a new identity, rights as `wish` says or as they were. Writes nothing.
///
/// # Errors
/// `NotFound` for a record that is not there; `Invalid` when rights would grow, which devices refuse; else as [`issue`].
pub fn prepare_renewal(cx: &Context, actor: &Actor, old: i64, enrollment: i64, wish: &Wish) -> Result<Prepared, Error> {
    actor.require(Permission::Enroll)?;
    let held = cx.store.read(|db| db.find_issued_profile(old))?;
    let held = held.ok_or_else(|| Error::internal("the profile that the device holds is not on record"))?;
    let before = AccessRights::new(held.access_rights).map_err(Error::internal)?;
    let after = wish.access_rights.unwrap_or(before);
    if !before.allows_later(after) {
        let words = |rights: AccessRights| rights.names().join(", ");
        let more = AccessRights::new(after.bits() & !before.bits()).map_or_else(|_| words(after), words);
        return Err(Error::invalid(Text::RightsNeverGrow { more }));
    }
    let record = IssuedProfile {
        name: wish.name.clone().unwrap_or_else(|| held.name.clone()),
        way: Way::Renewal,
        person: wish.person.or(held.person),
        replaces: Some(old),
        access_rights: after.bits(),
        identity: wish.identity.unwrap_or(held.identity),
        sign_message: wish.sign_message.unwrap_or(held.sign_message || trust::devices_sign(cx)?),
        certificates: Vec::new(),
        ends_at: None,
        enroll_by: None,
        signer: None,
        created_by: actor.name(),
        ..held
    };
    finish(cx, record, Some(enrollment), cx.now().plus(wish.life), wish.encrypt_to.as_ref())
}

fn finish(
    cx: &Context,
    mut record: IssuedProfile,
    enrollment: Option<i64>,
    expires_at: Timestamp,
    encrypt_to: Option<&Certificate>,
) -> Result<Prepared, Error> {
    if let Some(seen) = cx.clock_is_behind() {
        return Err(Error::conflict(Text::ClockBehind { now: cx.now().to_string(), seen: seen.to_string() }));
    }
    cx.require_space()?;
    let now = cx.now();
    let organization = school::organization(cx)?;
    let (identity, permission) = match record.identity {
        IdentityMethod::Scep => scep(cx, &organization),
        IdentityMethod::Pkcs12 => pkcs12(cx, &organization, now)?,
    };
    let trust = trust::current(cx)?;
    let rights = AccessRights::new(record.access_rights).map_err(|e| wrong(&e))?;
    let profile = profile(&record, &organization, &trust, identity, rights)?;
    let draft = enrollment_profile(&profile, &mut || upper_uuid(cx.random_bytes())).map_err(|e| wrong(&e))?;
    let plain = match encrypt_to {
        None => draft.plain(),
        Some(device) => {
            let sealed = cms::envelope(&draft.contents(), device, ContentCipher::Aes256Cbc, &*cx.random);
            draft.encrypted(sealed.map_err(Error::internal)?)
        }
    };
    let inside: Vec<&Certificate> = trust.anchors.iter().chain(&trust.intermediates).collect();
    let authorities = cx.authorities();
    let signer = record.signed.then_some(&authorities.signer.certificate);
    record.certificates = inside.iter().map(|one| one.fingerprint()).collect();
    record.ends_at = inside.into_iter().chain(signer).map(Certificate::not_after).min();
    record.signer = signer.map(Certificate::fingerprint);
    record.enroll_by = (record.identity == IdentityMethod::Pkcs12).then_some(expires_at);
    let bytes = Secret::new(if record.signed { sign(cx, &plain, now) } else { plain });
    Ok(Prepared { bytes, expires_at, record, rights, permission, enrollment })
}

/// A key that the device makes itself, and a challenge that works once.
fn scep(cx: &Context, organization: &str) -> (Identity, Given) {
    let challenge = Secret::new(short_code(&cx.random_bytes::<32>()));
    let given = Given::Challenge(sha256(challenge.expose().as_bytes()));
    let identity = Identity::Scep {
        url: format!("{}/scep", cx.urls().people),
        name: certifying::ca_name(cx),
        challenge,
        ca_fingerprint: certifying::ca_fingerprint(cx).to_vec(),
        subject_cn: String::from(SUBJECT),
        organization: organization.to_owned(),
    };
    (identity, given)
}

/// A key that is made here, put into the profile, and forgotten: only the certificate is kept.
fn pkcs12(cx: &Context, organization: &str, now: Timestamp) -> Result<(Identity, Given), Error> {
    let key = PrivateKey::generate_rsa(2048).map_err(Error::internal)?;
    let name = format!("{SUBJECT} {}", short_code(&cx.random_bytes::<10>()));
    let issued = templates::issue_listed_identity(
        &cx.authorities().issuing,
        &key.spki_der(),
        &name,
        organization,
        now,
        certifying::IDENTITY_DAYS,
        Some(&revoking::list_url(cx, &cx.authorities().issuing.certificate)),
        &*cx.random,
    );
    let certificate = issued.map_err(Error::internal)?;
    let password = Secret::new(short_code(&cx.random_bytes::<20>()));
    let der = pkcs12::write(&key, &certificate, &password, &name, &*cx.random).map_err(Error::internal)?;
    Ok((Identity::Pkcs12 { der, password, name: String::from("identity.p12") }, Given::Identity(certificate)))
}

fn profile(
    record: &IssuedProfile,
    organization: &str,
    trust: &Trust,
    identity: Identity,
    access_rights: AccessRights,
) -> Result<EnrollmentProfile, Error> {
    let named = |all: &[Certificate]| -> Vec<(String, Vec<u8>)> {
        let name = |one: &Certificate| one.subject_common_name().unwrap_or_else(|| one.subject());
        all.iter().map(|one| (format!("{organization}: {}", name(one)), one.der().to_vec())).collect()
    };
    let has = |name: &str| record.capabilities.iter().any(|held| held == name);
    Ok(EnrollmentProfile {
        payload_identifier: record.payload_identifier.clone(),
        organization: organization.to_owned(),
        display_name: format!("{organization}: device management"),
        anchors: named(&trust.anchors),
        intermediates: named(&trust.intermediates),
        identity,
        mdm: MdmPayload {
            server_url: record.server_url.clone(),
            check_in_url: record.check_in_url.clone(),
            topic: Topic::new(&record.topic).map_err(Error::internal)?,
            access_rights,
            sign_message: record.sign_message,
            capabilities: Capabilities::from_names(has),
        },
    })
}

fn wrong(e: &ProfileError) -> Error {
    Error::invalid(Text::BadArgument { key: String::from("profile"), why: e.to_string() })
}

/// Signs a profile with the school's signer, chain included.
pub(super) fn sign(cx: &Context, plain: &[u8], now: Timestamp) -> Vec<u8> {
    let authorities = cx.authorities();
    let signer = &authorities.signer;
    let chain = std::slice::from_ref(&authorities.issuing.certificate);
    cms::sign_attached(plain, &signer.certificate, &signer.key, chain, now)
}
