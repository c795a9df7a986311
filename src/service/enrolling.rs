//! Enrolment profiles: each with its own one-time challenge, and a record of what it gave for ever.

use super::actor::{Actor, Permission};
use super::{Context, Error, auditing, certifying, school};
use crate::base::ids::upper_uuid;
use crate::base::push::Topic;
use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::base::time::{HOUR, Timestamp};
use crate::pki::cms;
use crate::pki::digest::sha256;
use crate::protocol::profile::{
    AccessRights, Capabilities, EnrollmentProfile, Identity, MdmPayload, ProfileError, enrollment_profile,
};
use crate::store::IssuedProfile;
use serde_json::json;

/// A download is used at once; printed invitations, which live longer, are another matter.
pub const CHALLENGE_LIFE: i64 = HOUR;
/// Every right: rights can shrink later, never grow.
pub const ALL_RIGHTS: u32 = 8191;

/// What is asked of a profile.
#[derive(Debug, Clone)]
pub struct Wish {
    /// For people: whose it is, what it is for.
    pub name: Option<String>,
    /// `com.apple.mdm.per-user-connections`; can never be added later.
    pub per_user: bool,
    pub signed: bool,
    /// `scep`.
    pub identity: String,
    /// `Mdm-Signature` on every message; only where a proxy takes the client certificate away.
    pub sign_message: bool,
    pub access_rights: u32,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            name: None,
            per_user: true,
            signed: true,
            identity: String::from("scep"),
            sign_message: false,
            access_rights: ALL_RIGHTS,
        }
    }
}

/// A finished `.mobileconfig`.
#[derive(Debug)]
pub struct Issued {
    pub file_name: String,
    /// Holds the challenge: give it to one device, do not log it.
    pub bytes: Secret<Vec<u8>>,
    pub challenge_expires_at: Timestamp,
}

/// Makes one enrolment profile.
///
/// # Errors
/// `Conflict` without a push certificate or with a clock that runs behind; `Invalid` for rights or identity kinds that are none.
pub fn issue(cx: &Context, actor: &Actor, wish: &Wish) -> Result<Issued, Error> {
    actor.require(Permission::Enroll)?;
    if wish.identity != "scep" {
        return Err(Error::invalid(Text::IdentityKindMissing { kind: wish.identity.clone() }));
    }
    if let Some(seen) = cx.clock_is_behind() {
        return Err(Error::conflict(Text::ClockBehind { now: cx.now().to_string(), seen: seen.to_string() }));
    }
    cx.require_space()?;
    let certificate = cx.store.read(|db| db.find_current_push_certificate())?;
    let certificate = certificate.ok_or_else(|| Error::conflict(Text::NoPushCertificate))?;
    let topic = Topic::new(&certificate.topic).map_err(Error::internal)?;

    let organization = school::organization(cx)?;
    let urls = cx.urls();
    let challenge = Secret::new(crate::base::ids::short_code(&cx.random_bytes::<32>()));
    let now = cx.now();
    let challenge_expires_at = now.plus(CHALLENGE_LIFE);
    let record = IssuedProfile {
        payload_identifier: school::payload_identifier(cx)?,
        name: wish.name.clone().unwrap_or_else(|| String::from("Enrolment profile")),
        server_url: format!("{}/mdm/command", urls.devices),
        check_in_url: format!("{}/mdm/checkin", urls.devices),
        topic: topic.as_str().to_owned(),
        access_rights: wish.access_rights,
        per_user: wish.per_user,
        sign_message: wish.sign_message,
        identity: "scep",
        signed: wish.signed,
        created_by: actor.name(),
    };
    let plain = render(cx, &record, &organization, topic, &urls.people, &challenge)?;
    let bytes = if wish.signed { sign(cx, &plain, now) } else { plain };

    cx.store.write(|tx| -> Result<(), Error> {
        let issued_profile = tx.insert_issued_profile(&record, now)?;
        tx.insert_challenge(&sha256(challenge.expose().as_bytes()), issued_profile, challenge_expires_at, now)?;
        let detail = json!({ "name": record.name, "access_rights": record.access_rights, "per_user": record.per_user });
        auditing::record(tx, actor, "enrollment.profile", Some(&issued_profile.to_string()), Some(detail), now)
    })?;
    Ok(Issued { file_name: String::from("enroll.mobileconfig"), bytes: Secret::new(bytes), challenge_expires_at })
}

fn render(
    cx: &Context,
    record: &IssuedProfile,
    organization: &str,
    topic: Topic,
    people_url: &str,
    challenge: &Secret<String>,
) -> Result<Vec<u8>, Error> {
    let wrong =
        |e: ProfileError| Error::invalid(Text::BadArgument { key: String::from("profile"), why: e.to_string() });
    let authorities = cx.authorities();
    let issuing = &authorities.issuing.certificate;
    let profile = EnrollmentProfile {
        payload_identifier: record.payload_identifier.clone(),
        organization: organization.to_owned(),
        display_name: format!("{organization}: device management"),
        anchors: vec![(format!("{organization}: root certificate"), authorities.root.der().to_vec())],
        intermediates: vec![(format!("{organization}: issuing certificate"), issuing.der().to_vec())],
        identity: Identity::Scep {
            url: format!("{people_url}/scep"),
            name: String::from("cordon"),
            challenge: challenge.clone(),
            ca_fingerprint: certifying::ca_fingerprint(cx).to_vec(),
            subject_cn: String::from("Cordon device"),
            organization: organization.to_owned(),
        },
        mdm: MdmPayload {
            server_url: record.server_url.clone(),
            check_in_url: record.check_in_url.clone(),
            topic,
            access_rights: AccessRights::new(record.access_rights).map_err(wrong)?,
            sign_message: record.sign_message,
            capabilities: Capabilities { per_user_connections: record.per_user, ..Capabilities::default() },
        },
    };
    let mut new_uuid = || upper_uuid(cx.random_bytes());
    enrollment_profile(&profile, &mut new_uuid).map_err(wrong)
}

fn sign(cx: &Context, plain: &[u8], now: Timestamp) -> Vec<u8> {
    let authorities = cx.authorities();
    let signer = &authorities.signer;
    cms::sign_attached(
        plain,
        &signer.certificate,
        &signer.key,
        std::slice::from_ref(&authorities.issuing.certificate),
        now,
    )
}
