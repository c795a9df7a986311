//! The passwords that a simulated Mac keeps under its system: recovery lock and firmware password. Changing or clearing one needs the
//! one in force, as on a real Mac.
//!
//! Called by `answers`.

use super::profile::Refusal;
use crate::plist::{Dict, Dictionary, PlistError, Value};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Locks {
    pub recovery: Option<String>,
    pub firmware: Option<String>,
}

/// What a command about one of these passwords comes to.
pub fn perform(
    locks: &mut Locks,
    request_type: &str,
    command: &Dict,
) -> Result<Result<Dictionary, Refusal>, PlistError> {
    let held = match request_type {
        "SetFirmwarePassword" | "VerifyFirmwarePassword" => &mut locks.firmware,
        _ => &mut locks.recovery,
    };
    let verified = |right| Dictionary::from_iter([("PasswordVerified".to_owned(), Value::Boolean(right))]);
    let answer = match request_type {
        "VerifyRecoveryLock" => verified(held.as_deref() == Some(command.string("Password")?)),
        "VerifyFirmwarePassword" => {
            let inner = verified(held.as_deref() == Some(command.string("Password")?));
            Dictionary::from_iter([(request_type.to_owned(), Value::Dictionary(inner))])
        }
        _ => {
            let new = command.find_string("NewPassword")?.unwrap_or_default().to_owned();
            if held.is_some() && command.find_string("CurrentPassword")? != held.as_deref() {
                return Ok(Err(Refusal::mdm(12008, "the current password is wrong")));
            }
            *held = Some(new).filter(|new| !new.is_empty());
            match request_type {
                "SetFirmwarePassword" => {
                    let inner = Dictionary::from_iter([("PasswordChanged".to_owned(), Value::Boolean(true))]);
                    Dictionary::from_iter([(request_type.to_owned(), Value::Dictionary(inner))])
                }
                _ => Dictionary::new(),
            }
        }
    };
    Ok(Ok(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_knows_the_password_changes_it() {
        let mut locks = Locks::default();
        let mut ask = |request_type: &str, pairs: &[(&str, &str)]| {
            let keys = pairs.iter().map(|(key, value)| ((*key).to_owned(), Value::String((*value).to_owned())));
            perform(&mut locks, request_type, &Dict::new(keys.collect())).unwrap()
        };
        assert!(ask("SetRecoveryLock", &[("NewPassword", "one")]).is_ok());
        assert!(ask("SetRecoveryLock", &[("NewPassword", "two")]).is_err());
        assert!(ask("SetRecoveryLock", &[("NewPassword", "two"), ("CurrentPassword", "one")]).is_ok());
        assert_eq!(
            ask("VerifyRecoveryLock", &[("Password", "two")]).unwrap()["PasswordVerified"],
            Value::Boolean(true)
        );
        assert_eq!(
            ask("VerifyRecoveryLock", &[("Password", "one")]).unwrap()["PasswordVerified"],
            Value::Boolean(false)
        );
        assert!(ask("SetRecoveryLock", &[("NewPassword", ""), ("CurrentPassword", "two")]).is_ok());
        assert!(ask("SetFirmwarePassword", &[("NewPassword", "x")]).unwrap().contains_key("SetFirmwarePassword"));
        assert_eq!((locks.recovery, locks.firmware.as_deref()), (None, Some("x")));
    }
}
