//! Enrolment profiles, the school's policy for them, and the TLS certificate that devices meet, as JSON.

use super::reply::json;
use super::{Call, Response};
use crate::base::secret::Secret;
use crate::protocol::profile::{AccessRights, CONFIG_TYPE, IdentityMethod, RIGHTS};
use crate::service::Error;
use crate::service::actor::Permission;
use crate::service::enrolling::{self, Wish};
use crate::service::enrollment_policy::{self, Change, Policy, notes};
use crate::service::serving::{self, State};
use crate::service::tls_choice;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProfileWish {
    pub name: Option<String>,
    /// `com.apple.mdm.per-user-connections`; true by default, and can never be added later.
    pub user_channel: Option<bool>,
    pub signed: Option<bool>,
    /// `scep` or `pkcs12`; the policy's by default.
    pub identity: Option<String>,
    pub sign_message: Option<bool>,
    /// Sum of Apple's AccessRights, 1 to 8191; the policy's by default. Rights can shrink later, never grow.
    pub access_rights: Option<u32>,
    /// The same in words, such as `["all", "-lock"]`.
    pub rights: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyChange {
    /// `scep` or `pkcs12`.
    pub identity: Option<String>,
    /// Sum of Apple's AccessRights, 1 to 8191.
    pub access_rights: Option<u32>,
    /// The same in words, such as `["all", "-lock"]`.
    pub rights: Option<Vec<String>>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct EnrollmentPolicy {
    pub identity: &'static str,
    pub access_rights: u32,
    pub rights: Vec<Right>,
    /// What this choice means, in plain words.
    pub notes: Vec<&'static str>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Right {
    pub name: &'static str,
    pub words: &'static str,
    pub granted: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Tls {
    /// `source` (own-ca, given, files, acme), `subject`, `issuer`, `fingerprint`, `not_before`, `not_after`, `names`.
    #[schema(value_type = Object)]
    pub served: serde_json::Value,
    /// Every device trusts it already; then profiles bring no roots.
    pub publicly_trusted: bool,
    /// Subjects of the roots that profiles bring.
    pub anchors: Vec<String>,
    /// What is wrong with what should be served instead.
    pub fault: Option<String>,
    /// What is to be served: `own-ca`, `given`, `files` or `acme`.
    pub mode: String,
    /// The configuration says so; then it cannot be chosen here.
    pub by_configuration: bool,
}

fn rights(bits: Option<u32>, names: Option<&Vec<String>>) -> Result<Option<AccessRights>, Error> {
    match (bits, names) {
        (_, Some(names)) => enrollment_policy::rights_from_names(names.iter().map(String::as_str)).map(Some),
        (Some(bits), None) => enrollment_policy::rights_from_bits(bits).map(Some),
        (None, None) => Ok(None),
    }
}

fn identity(word: Option<&String>) -> Result<Option<IdentityMethod>, Error> {
    word.map(|word| enrollment_policy::parse_identity(word)).transpose()
}

pub fn profile(call: &Call<'_>) -> Result<Response, Error> {
    let body: ProfileWish = call.body()?;
    call.actor.require(Permission::Enroll)?;
    let default = Wish::default();
    let wish = Wish {
        per_user: body.user_channel.unwrap_or(default.per_user),
        signed: body.signed.unwrap_or(default.signed),
        identity: identity(body.identity.as_ref())?,
        sign_message: body.sign_message,
        access_rights: rights(body.access_rights, body.rights.as_ref())?,
        name: body.name,
        ..default
    };
    let issued = enrolling::issue(call.cx, &call.actor, &wish)?;
    let mut response = Response::new(201, CONFIG_TYPE, issued.bytes.expose().clone());
    response.headers.push(("content-disposition", format!("attachment; filename=\"{}\"", issued.file_name)));
    response.headers.push(("x-cordon-expires", issued.challenge_expires_at.to_string()));
    response.headers.push(("x-cordon-identity", issued.identity.as_str().to_owned()));
    for note in notes(issued.identity, issued.access_rights) {
        // Headers are ASCII.
        response.headers.push(("x-cordon-note", note.replace(['“', '”'], "\"")));
    }
    Ok(response)
}

pub fn show_policy(call: &Call<'_>) -> Result<Response, Error> {
    call.actor.require(Permission::LookAround)?;
    Ok(json(200, &view(enrollment_policy::find(call.cx)?)))
}

pub fn change_policy(call: &Call<'_>) -> Result<Response, Error> {
    let body: PolicyChange = call.body()?;
    call.actor.require(Permission::Administer)?;
    let change = Change {
        identity: identity(body.identity.as_ref())?,
        access_rights: rights(body.access_rights, body.rights.as_ref())?,
    };
    Ok(json(200, &view(enrollment_policy::change(call.cx, &call.actor, &change)?)))
}

fn view(policy: Policy) -> EnrollmentPolicy {
    let granted = |bit: u32| policy.access_rights.bits() & bit != 0;
    EnrollmentPolicy {
        identity: policy.identity.as_str(),
        access_rights: policy.access_rights.bits(),
        rights: RIGHTS.iter().map(|r| Right { name: r.name, words: r.words, granted: granted(r.bit) }).collect(),
        notes: notes(policy.identity, policy.access_rights),
    }
}

/// Where the listeners' certificate is to come from.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsChoice {
    /// `own-ca`, `given` or `acme`.
    pub mode: String,
    /// For `given`: PEM, the server's own certificate first; the key may stand in it too.
    pub certificate: Option<String>,
    /// For `given`: PEM.
    pub key: Option<String>,
    /// For `acme`: an e-mail address that the authority may write to.
    pub contact: Option<String>,
}

pub fn choose_tls(call: &Call<'_>) -> Result<Response, Error> {
    let body: TlsChoice = call.body()?;
    let TlsChoice { mode, certificate, key, contact } = body;
    let wish = tls_choice::Wish { mode, certificate, key: key.map(Secret::new), contact };
    tls_choice::choose(call.cx, &call.actor, wish)?;
    show_tls(call)
}

pub fn show_tls(call: &Call<'_>) -> Result<Response, Error> {
    call.actor.require(Permission::LookAround)?;
    let State { served, publicly_trusted, anchors, fault } = serving::find(call.cx)?;
    let chosen = tls_choice::find(call.cx)?;
    let by_configuration = chosen.by_configuration;
    Ok(json(200, &Tls { served, publicly_trusted, anchors, fault, mode: chosen.mode, by_configuration }))
}
