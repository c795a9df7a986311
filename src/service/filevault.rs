//! FileVault: the profile by which a Mac escrows its recovery key, the opening of what it escrows, and a new key for the Mac after
//! somebody saw the old one. `polling` brings the answers, `revealing` asks for the new key; the keys themselves are in `custody`.

use super::actor::{Actor, Permission};
use super::commands::{self, CommandView, Wish};
use super::custody::{self, Captured};
use super::{Context, Error, devices, enrolling, founding, school};
use crate::base::ids::upper_uuid;
use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::base::time::Timestamp;
use crate::pki::cms;
use crate::pki::digest::sha256;
use crate::pki::keys::PrivateKey;
use crate::pki::templates::{self, Authority};
use crate::plist::{Dictionary, Value};
use crate::protocol::lifecycle::State;
use crate::protocol::profile::{escrow_profile, is_recovery_key};
use crate::store::{DeviceRow, EnrollmentRow, Purpose, Standing, Tx};
use std::sync::{Arc, RwLock};

pub(super) const KIND: &str = "filevault-key";
pub(super) const ROTATE: &str = "RotateFileVaultKey";

/// The keys that open what Macs escrow, once they were needed. Newest last; replaced ones open what older profiles brought.
#[derive(Default)]
pub struct Escrow(RwLock<Option<Arc<Vec<Authority>>>>);

fn keys(cx: &Context) -> Result<Arc<Vec<Authority>>, Error> {
    if let Some(held) = &*cx.escrow.0.read().unwrap_or_else(|p| p.into_inner()) {
        return Ok(Arc::clone(held));
    }
    let mut found = Vec::new();
    for (purpose, row) in cx.store.read(|db| db.list_authorities())? {
        if purpose == Purpose::Escrow {
            found.push(founding::authority(cx, purpose, &row)?);
        }
    }
    let found = Arc::new(found);
    *cx.escrow.0.write().unwrap_or_else(|p| p.into_inner()) = Some(Arc::clone(&found));
    Ok(found)
}

/// The escrow certificate in force; made, with its key, when it is first needed.
fn in_force(cx: &Context) -> Result<Authority, Error> {
    if let Some(authority) = keys(cx)?.last() {
        return Ok(authority.clone());
    }
    if let Some(seen) = cx.clock_is_behind() {
        return Err(Error::conflict(Text::ClockBehind { now: cx.now().to_string(), seen: seen.to_string() }));
    }
    let (now, key) = (cx.now(), PrivateKey::generate_rsa(2048).map_err(Error::internal)?);
    let (issuing, organization) = (cx.authorities(), school::organization(cx)?);
    let certificate = templates::issue_profile_signer(
        &issuing.issuing,
        &key.spki_der(),
        "FileVault recovery keys",
        &organization,
        now,
        founding::SIGNER_DAYS,
        &*cx.random,
    );
    let made = Authority { certificate: certificate.map_err(Error::internal)?, key };
    cx.store.write(|tx| {
        // Somebody else may have made one meanwhile; then that one counts.
        match tx.find_authority(Purpose::Escrow)? {
            Some(_) => Ok(()),
            None => founding::put(cx, tx, Purpose::Escrow, &made, Standing::Current, now),
        }
    })?;
    *cx.escrow.0.write().unwrap_or_else(|p| p.into_inner()) = None;
    keys(cx)?.last().cloned().ok_or_else(|| Error::internal("the escrow key just made is not there"))
}

fn build(cx: &Context) -> Result<Vec<u8>, Error> {
    let escrow = in_force(cx)?;
    let identifier = school::payload_identifier(cx)?.replace(".mdm", ".filevault");
    // The same certificate makes the same profile, so that sending it again changes nothing on the Mac.
    let uuid = |part: &str| {
        let hash = sha256(&[&escrow.certificate.fingerprint()[..], part.as_bytes()].concat());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        upper_uuid(bytes)
    };
    let uuids = [uuid("profile"), uuid("certificate"), uuid("escrow")];
    let organization = school::organization(cx)?;
    let der = escrow.certificate.der();
    Ok(escrow_profile(&identifier, &organization, der, [&uuids[0], &uuids[1], &uuids[2]]))
}

/// The escrow profile, signed, to be handed out by other means.
///
/// # Errors
/// `Denied` without the right to enrol; `Conflict` while the clock is behind and no certificate is there yet.
pub fn profile(cx: &Context, actor: &Actor) -> Result<Vec<u8>, Error> {
    actor.require(Permission::Enroll)?;
    Ok(enrolling::sign(cx, &build(cx)?, cx.now()))
}

/// Installs the escrow profile on a Mac by command.
///
/// # Errors
/// `Conflict` for a device that is not a Mac; else as for any command.
pub fn install(cx: &Context, actor: &Actor, device: &str) -> Result<CommandView, Error> {
    actor.require(Permission::Destroy)?;
    let found = devices::find(cx, actor, device)?;
    if !matches!(found.platform.as_str(), "macOS" | "unknown") {
        return Err(Error::conflict(Text::OnlyMacs { device: device.to_owned() }));
    }
    let wish = Wish {
        request_type: String::from("InstallProfile"),
        keys: Dictionary::from_iter([(String::from("Payload"), Value::Data(build(cx)?))]),
        user: None,
        uuid: None,
        not_before: None,
        expires_at: None,
        unchecked: false,
    };
    commands::send(cx, actor, device, &wish)
}

/// Opens what a Mac escrowed, where it was encrypted for this school; anything else is kept as it came.
pub(super) fn open_escrowed(cx: &Context, captured: Vec<Captured>) -> Vec<Captured> {
    captured.into_iter().map(|secret| if secret.kind == KIND { open_one(cx, secret) } else { secret }).collect()
}

fn open_one(cx: &Context, secret: Captured) -> Captured {
    let keys = match keys(cx) {
        Ok(keys) => keys,
        Err(fault) => {
            // The bytes are kept as they are; nothing is lost by it.
            tracing::error!(%fault, "the escrow keys cannot be read");
            return secret;
        }
    };
    for authority in keys.iter().rev() {
        if let Ok((plain, _)) = cms::open_envelope(secret.value.expose(), &authority.certificate, &authority.key) {
            let text = plain.expose().trim_ascii();
            if is_recovery_key(text) {
                return Captured { kind: KIND, value: Secret::new(text.to_vec()) };
            }
        }
    }
    secret
}

/// Whether somebody saw the key that is in force, so that the Mac gets a new one; in the transaction that records the look.
pub(super) fn rotate_after_reveal(
    cx: &Context,
    tx: &Tx<'_>,
    device: &DeviceRow,
    channel: Option<&EnrollmentRow>,
    generation: i64,
    now: Timestamp,
) -> Result<(), Error> {
    let in_force = tx.find_secret(device.id, KIND)?.filter(|row| row.generation == generation);
    let (Some(row), Some(channel)) = (in_force, channel.filter(|channel| channel.state != State::Gone)) else {
        return Ok(());
    };
    let Some(sealed) = &row.sealed_value else { return Ok(()) };
    let value = cx.open(&custody::place(device.id, KIND, generation), sealed)?;
    let keys = keys(cx)?;
    let (Some(escrow), true) = (keys.last(), is_recovery_key(value.expose())) else { return Ok(()) };
    if !tx.list_unfinished(device.id, ROTATE)?.is_empty() {
        return Ok(());
    }
    let unlock = Value::String(String::from_utf8_lossy(value.expose()).into_owned());
    let unlock = Dictionary::from_iter([(String::from("Password"), unlock)]);
    let command = Dictionary::from_iter([
        (String::from("KeyType"), Value::String(String::from("personal"))),
        (String::from("FileVaultUnlock"), Value::Dictionary(unlock)),
        (String::from("ReplyEncryptionCertificate"), Value::Data(escrow.certificate.der().to_vec())),
    ]);
    custody::send_by_itself(cx, tx, device, channel, ROTATE, command, now)
}
