//! Certificates of devices and of the school: `/devices/{id}/renew`, `/renewals`, `/certificates`, `/authorities`, `/tls/renew`.

use super::reply::json;
use super::views::Page;
use super::{Call, Response};
use crate::base::texts::Text;
use crate::pki::x509::Certificate;
use crate::service::{Error, renewing, replacing, revoking};
use crate::store::{IdentityFilter, IdentityRow, Purpose, Standing};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub struct RenewalBegun {
    /// The InstallProfile that brings the new profile.
    pub command_uuid: String,
}

pub fn renew(call: &Call<'_>, device: &str) -> Result<Response, Error> {
    let command_uuid = renewing::renew(call.cx, &call.actor, device)?;
    Ok(json(201, &RenewalBegun { command_uuid }))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct RenewalsBegun {
    pub begun: usize,
}

pub fn renew_due(call: &Call<'_>) -> Result<Response, Error> {
    Ok(json(202, &RenewalsBegun { begun: renewing::renew_due(call.cx, &call.actor)? }))
}

/// The certificate by which a device is known.
#[derive(Debug, Serialize, ToSchema)]
pub struct Identity {
    /// Serial number in hex.
    pub serial: String,
    /// SHA-256 in hex.
    pub fingerprint: String,
    pub subject: String,
    pub not_before: String,
    pub not_after: String,
    pub device_id: Option<String>,
    /// `pending`, `current`, `retired` or `quarantined`; null if no device ever showed it.
    pub binding: Option<String>,
    pub revoked_at: Option<String>,
    /// `checked-out`, `removed`, `replaced`, `renewal-failed` or `manual`.
    pub revoked_why: Option<String>,
}

fn identity(row: IdentityRow) -> Identity {
    Identity {
        serial: row.serial,
        fingerprint: hex::encode(row.fingerprint),
        subject: row.subject,
        not_before: row.not_before.to_string(),
        not_after: row.not_after.to_string(),
        device_id: row.device_id,
        binding: row.binding,
        revoked_at: row.revoked_at.map(|at| at.to_string()),
        revoked_why: row.revoked_why,
    }
}

pub fn list(call: &Call<'_>) -> Result<Response, Error> {
    let revoked = match call.query("revoked").as_deref() {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) => {
            let why = String::from("must be true or false");
            return Err(Error::invalid(Text::BadArgument { key: String::from("revoked"), why }));
        }
    };
    let filter = IdentityFilter { device: None, search: call.query("search"), revoked, limit: call.limit()? };
    let rows = revoking::list(call.cx, &call.actor, call.query("device").as_deref(), filter)?;
    Ok(json(200, &Page { items: rows.into_iter().map(identity).collect(), next_cursor: None }))
}

pub fn revoke(call: &Call<'_>, which: &str) -> Result<Response, Error> {
    Ok(json(200, &identity(revoking::revoke(call.cx, &call.actor, which)?)))
}

/// A certificate of the school's own.
#[derive(Debug, Serialize, ToSchema)]
pub struct Authority {
    /// `root`, `issuing`, `signer` or `tls`.
    pub purpose: &'static str,
    /// `current`, or `next`: it goes out to the devices first.
    pub standing: &'static str,
    pub subject: String,
    /// SHA-256 in hex.
    pub fingerprint: String,
    pub not_before: String,
    pub not_after: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Authorities {
    pub items: Vec<Authority>,
    /// A new root is on its way to the devices.
    pub replacing: bool,
    /// Enrolled devices.
    pub devices: usize,
    /// Those among them that would be stranded by the root to come, by serial number or id.
    pub missing: Vec<String>,
}

fn authority(purpose: Purpose, standing: Standing, certificate: &Certificate) -> Authority {
    Authority {
        purpose: purpose.as_str(),
        standing: if standing == Standing::Next { "next" } else { "current" },
        subject: certificate.subject(),
        fingerprint: hex::encode(certificate.fingerprint()),
        not_before: certificate.not_before().to_string(),
        not_after: certificate.not_after().to_string(),
    }
}

pub fn status(call: &Call<'_>) -> Result<Response, Error> {
    let status = replacing::status(call.cx, &call.actor)?;
    let replacing = status.authorities.iter().any(|(_, standing, _)| *standing == Standing::Next);
    let items = status.authorities.iter().map(|(purpose, standing, one)| authority(*purpose, *standing, one)).collect();
    Ok(json(200, &Authorities { items, replacing, devices: status.devices, missing: status.missing }))
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Replacement {
    /// `root` (by default; everything below it is replaced too, and devices get it first), `issuing` or `signer`.
    pub what: Option<String>,
}

pub fn replace(call: &Call<'_>) -> Result<Response, Error> {
    let body: Replacement = call.body()?;
    match body.what.as_deref() {
        None | Some("root") => replacing::begin(call.cx, &call.actor)?,
        Some("issuing") => replacing::replace_issuing(call.cx, &call.actor)?,
        Some("signer") => replacing::replace_signer(call.cx, &call.actor)?,
        Some(_) => {
            let why = String::from("must be root, issuing or signer");
            return Err(Error::invalid(Text::BadArgument { key: String::from("what"), why }));
        }
    }
    status(call)
}

pub fn finish(call: &Call<'_>) -> Result<Response, Error> {
    replacing::finish(call.cx, &call.actor)?;
    status(call)
}

pub fn cancel(call: &Call<'_>) -> Result<Response, Error> {
    replacing::cancel(call.cx, &call.actor)?;
    status(call)
}

pub fn renew_tls(call: &Call<'_>) -> Result<Response, Error> {
    let certificate = replacing::renew_tls(call.cx, &call.actor)?;
    Ok(json(200, &authority(Purpose::Tls, Standing::Current, &certificate)))
}
