//! The enrolment profile: built here for devices, read here by the simulator as a device would read it.
//!
//! Called by `service::enrollment` and `simulator`. Signing is `pki`'s work; where the names, keys and challenges come from is the service's.

mod enrollment;
mod read;
mod settings;

pub use enrollment::{Capabilities, EnrollmentProfile, Identity, MdmPayload, enrollment_profile};
pub use settings::{PASSCODE_POLICY, SettingsError, SettingsFacts, read_settings};
pub use read::{EnrollmentFacts, IdentityFacts, ScepFacts, read_enrollment};

use crate::plist::PlistError;

/// Content type of every `.mobileconfig`.
pub const CONFIG_TYPE: &str = "application/x-apple-aspen-config";

/// `com.apple.mdm.per-user-connections`: without it there is no user channel. Can never be added or removed later.
pub const PER_USER_CONNECTIONS: &str = "com.apple.mdm.per-user-connections";
/// `com.apple.mdm.bootstraptoken`: a Mac escrows its bootstrap token only with it.
pub const BOOTSTRAP_TOKEN: &str = "com.apple.mdm.bootstraptoken";
/// `com.apple.mdm.token`: the device may ask GetToken.
pub const GET_TOKEN: &str = "com.apple.mdm.token";

const MDM_TYPE: &str = "com.apple.mdm";
const SCEP_TYPE: &str = "com.apple.security.scep";
const PKCS12_TYPE: &str = "com.apple.security.pkcs12";
const ROOT_TYPE: &str = "com.apple.security.root";
const INTERMEDIATE_TYPE: &str = "com.apple.security.pkcs1";

/// `AccessRights`: what a server may do with a device. Can shrink in a renewal, never grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessRights(u16);

impl AccessRights {
    /// Every right.
    pub const ALL: AccessRights = AccessRights(8191);

    /// Checks Apple's rules: not 0, no unknown bit, 2 (install profiles) needs 1 (inspect them), 128 needs 64.
    ///
    /// # Errors
    /// [`ProfileError::AccessRights`] says which rule is broken.
    pub fn new(bits: u32) -> Result<Self, ProfileError> {
        let why = match bits {
            0 => "must not be 0",
            bits if bits > 8191 => "has bits above 4096",
            bits if bits & 2 != 0 && bits & 1 == 0 => "2 (install profiles) needs 1 (inspect profiles)",
            bits if bits & 128 != 0 && bits & 64 == 0 => "128 (install provisioning profiles) needs 64 (inspect them)",
            bits => {
                return u16::try_from(bits).map(Self).map_err(|_| ProfileError::AccessRights("has bits above 4096"));
            }
        };
        Err(ProfileError::AccessRights(why))
    }

    /// Apple's bit mask.
    pub fn bits(self) -> u32 {
        self.0.into()
    }
}

/// Why a profile cannot be built or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    #[error("AccessRights: {0}")]
    AccessRights(&'static str),
    #[error("{key}: {why}")]
    Value { key: &'static str, why: &'static str },
    #[error("{0}")]
    Plist(#[from] PlistError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_rights_by_apples_rules() {
        for (bits, good) in [
            (0, false),
            (1, true),
            (2, false),
            (3, true),
            (64, true),
            (128, false),
            (192, true),
            (8191, true),
            (8192, false),
        ] {
            assert_eq!(AccessRights::new(bits).is_ok(), good, "{bits}");
        }
        assert!(AccessRights::new(65_537).is_err());
        assert_eq!(AccessRights::new(8191), Ok(AccessRights::ALL));
        assert_eq!(AccessRights::ALL.bits(), 8191);
    }
}
