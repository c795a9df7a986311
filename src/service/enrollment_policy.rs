//! The school's policy for enrolment profiles (its "PKI policy"): how devices get their identity and which rights are asked for.
//! Each profile may ask otherwise. Called by the API and by `enrolling`.

use super::actor::{Actor, Permission};
use super::{Context, Error, auditing};
use crate::base::texts::Text;
use crate::protocol::profile::{AccessRights, IdentityMethod, ProfileError};
use serde_json::{Value, json};

/// Setting: `scep` or `pkcs12`.
const IDENTITY: &str = "enrollment.identity";
/// Setting: Apple's AccessRights.
const RIGHTS: &str = "enrollment.access_rights";

/// What a profile holds that does not ask otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    pub identity: IdentityMethod,
    pub access_rights: AccessRights,
}

impl Default for Policy {
    /// As Apple recommends, and with every right: a right that is missing can never be added to an enrolled device.
    fn default() -> Self {
        Self { identity: IdentityMethod::Scep, access_rights: AccessRights::ALL }
    }
}

/// Changes to [`Policy`]; `None` leaves what is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change {
    pub identity: Option<IdentityMethod>,
    pub access_rights: Option<AccessRights>,
}

/// The policy in force; every profile is made by it, so it asks for no actor.
pub fn find(cx: &Context) -> Result<Policy, Error> {
    let (identity, rights) =
        cx.store.read(|db| Ok::<_, Error>((db.find_text_setting(IDENTITY)?, db.find_setting(RIGHTS)?)))?;
    let default = Policy::default();
    let rights = rights.as_ref().and_then(Value::as_u64).and_then(|bits| u32::try_from(bits).ok());
    Ok(Policy {
        identity: identity.as_deref().and_then(IdentityMethod::parse).unwrap_or(default.identity),
        access_rights: rights.and_then(|bits| AccessRights::new(bits).ok()).unwrap_or(default.access_rights),
    })
}

/// Changes the policy for profiles from now on; what devices hold stays as it is.
///
/// # Errors
/// `Denied` for anybody but the owner.
pub fn change(cx: &Context, actor: &Actor, change: &Change) -> Result<Policy, Error> {
    actor.require(Permission::Administer)?;
    let before = find(cx)?;
    let after = Policy {
        identity: change.identity.unwrap_or(before.identity),
        access_rights: change.access_rights.unwrap_or(before.access_rights),
    };
    let now = cx.now();
    cx.store.write(|tx| -> Result<(), Error> {
        for (name, new, old) in [
            (IDENTITY, json!(after.identity.as_str()), json!(before.identity.as_str())),
            (RIGHTS, json!(after.access_rights.bits()), json!(before.access_rights.bits())),
        ] {
            if new != old {
                tx.put_setting(name, &new)?;
                auditing::record(tx, actor, "setting.set", Some(name), Some(json!({ "value": new })), now)?;
            }
        }
        Ok(())
    })?;
    Ok(after)
}

/// Why SCEP is better; said wherever the other is chosen.
const PKCS12_NOTE: &str = "With pkcs12 the private key is made on the server and travels inside the profile: whoever gets a copy of the file \
     is the device. Cordon forgets the key after the one download. With scep the key is made on the device and never leaves it; use pkcs12 only for \
     devices that cannot reach the SCEP address.";
/// What is lost without the right to lock.
const NO_LOCK_NOTE: &str = "Without the right “lock”, devices hand over no UnlockToken: a forgotten passcode can only be solved by erasing the \
     device, and this cannot be changed without enrolling it again.";

/// What a choice means, for the person who makes it.
pub fn notes(identity: IdentityMethod, rights: AccessRights) -> Vec<&'static str> {
    let pkcs12 = (identity == IdentityMethod::Pkcs12).then_some(PKCS12_NOTE);
    let lock = (!rights.brings_unlock_token()).then_some(NO_LOCK_NOTE);
    pkcs12.into_iter().chain(lock).collect()
}

/// The method by its word.
///
/// # Errors
/// `Invalid`, naming the words there are.
pub fn parse_identity(word: &str) -> Result<IdentityMethod, Error> {
    let kind = || word.chars().take(40).collect();
    IdentityMethod::parse(word).ok_or_else(|| Error::invalid(Text::IdentityKindMissing { kind: kind() }))
}

/// Rights by Apple's number.
///
/// # Errors
/// `Invalid`, with the rule that is broken.
pub fn rights_from_bits(bits: u32) -> Result<AccessRights, Error> {
    AccessRights::new(bits).map_err(|e| wrong("access_rights", &e))
}

/// Rights by their names.
///
/// # Errors
/// `Invalid`, with the name or the rule.
pub fn rights_from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<AccessRights, Error> {
    AccessRights::from_names(names).map_err(|e| wrong("rights", &e))
}

fn wrong(key: &str, e: &ProfileError) -> Error {
    Error::invalid(Text::BadArgument { key: key.to_owned(), why: e.to_string() })
}
