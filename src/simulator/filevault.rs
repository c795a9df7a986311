//! A simulated Mac's FileVault: its recovery key, what it escrows once a profile asks for it, and a new key by command.
//!
//! Called by `answers` and `facts`. The key is text as people type it; only the school's certificate can read what leaves the Mac.

use super::profile::{self, Refusal};
use super::spec::derive;
use super::state::{Blob, State};
use crate::pki::SystemRandom;
use crate::pki::cms::{ContentCipher, envelope};
use crate::pki::x509::Certificate;
use crate::plist::{Dict, Dictionary, PlistError, Value};
use crate::protocol::profile::ESCROW_TYPE;
use serde::{Deserialize, Serialize};

/// What changes of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FileVault {
    /// How often the key was changed.
    pub turns: u32,
    /// The key, encrypted to the school, as it was escrowed.
    pub escrowed: Option<Blob>,
}

/// The recovery key in force: six groups of four.
pub fn recovery_key(state: &State) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let bytes = derive(state.spec.seed, &format!("filevault {}", state.filevault.turns));
    let groups: Vec<String> = bytes[..24]
        .chunks(4)
        .map(|group| group.iter().map(|b| char::from(LETTERS[usize::from(*b) % 32])).collect())
        .collect();
    groups.join("-")
}

/// A profile came: if it asks for the key, the key is escrowed from now on.
pub fn installed(state: &mut State, new: &profile::Profile) {
    let Some(escrow) = new.payloads.iter().find(|p| p.kind == ESCROW_TYPE) else { return };
    let Ok(wanted) = escrow.dict.string("EncryptCertPayloadUUID") else { return };
    let certificate = new.payloads.iter().find(|p| p.uuid == wanted).and_then(|p| p.dict.data("PayloadContent").ok());
    state.filevault.escrowed = certificate.and_then(|der| sealed(state, der));
}

fn sealed(state: &State, certificate_der: &[u8]) -> Option<Blob> {
    let certificate = Certificate::parse(certificate_der).ok()?;
    let key = recovery_key(state);
    envelope(key.as_bytes(), &certificate, ContentCipher::Aes256Cbc, &SystemRandom).ok().map(Blob)
}

/// Its part of `SecurityInfo`.
pub fn security_info(state: &State, info: &mut Dictionary) {
    info.insert("FDE_HasPersonalRecoveryKey".to_owned(), Value::Boolean(true));
    if let Some(cms) = &state.filevault.escrowed {
        info.insert("FDE_PersonalRecoveryKeyCMS".to_owned(), Value::Data(cms.0.clone()));
        info.insert("FDE_PersonalRecoveryKeyDeviceKey".to_owned(), Value::String(state.spec.serial.clone()));
    }
}

/// `RotateFileVaultKey`: only who knows the key in force gets a new one.
pub fn rotate(state: &mut State, command: &Dict) -> Result<Result<Dictionary, Refusal>, PlistError> {
    if command.string("KeyType")? != "personal" {
        return Ok(Err(Refusal::mdm(12008, "there is no institutional recovery key")));
    }
    let unlock = command.get("FileVaultUnlock").and_then(Value::as_dictionary).cloned().unwrap_or_default();
    if unlock.get("Password").and_then(Value::as_string) != Some(recovery_key(state).as_str()) {
        return Ok(Err(Refusal::mdm(12074, "FileVault cannot be unlocked with this password")));
    }
    state.filevault.turns += 1;
    let mut result = Dictionary::new();
    if let Some(der) = command.find_data("ReplyEncryptionCertificate")?
        && let Some(cms) = sealed(state, der)
    {
        result.insert("EncryptedNewRecoveryKey".to_owned(), Value::Data(cms.0.clone()));
        state.filevault.escrowed = Some(cms);
    }
    Ok(Ok(Dictionary::from_iter([("RotateResult".to_owned(), Value::Dictionary(result))])))
}
