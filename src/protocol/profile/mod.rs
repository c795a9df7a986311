//! The enrolment profile: built here for devices, read here by the simulator as a device would read it.
//!
//! Called by `service::enrollment` and `simulator`. Signing is `pki`'s work; where the names, keys and challenges come from is the service's.

mod accounts;
mod building;
mod diff;
mod enrollment;
mod escrow;
mod lint;
mod over_the_air;
mod read;
mod rights;
mod settings;
mod splitting;
mod trust;
pub mod variables;

pub use accounts::{AccountKind, Proof, account_profile, find_secret, payload_types, with_proof};
pub use building::{Cover, Part, build};
pub use diff::{Difference, differences};
pub use enrollment::{Capabilities, Draft, EnrollmentProfile, Identity, MdmPayload, enrollment_profile};
pub use escrow::{ESCROW_TYPE, escrow_profile, is_recovery_key};
pub use lint::{Doubt, Place, fits, lint, unfit};
pub use over_the_air::{IdentityProfile, ProfileService, identity_profile, profile_service};
pub use read::{EnrollmentFacts, IdentityFacts, ScepFacts, read_enrollment};
pub use rights::{AccessRights, RIGHTS, Right};
pub use settings::{PASSCODE_POLICY, SettingsError, SettingsFacts, read_settings};
pub use splitting::{Piece, Pieces, split};
pub use trust::{Anchor, trust_profile};

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

/// How a device gets its identity: the school's PKI policy, or what was asked for one profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityMethod {
    /// The key is made on the device and never leaves it.
    Scep,
    /// Key and certificate come with the profile.
    Pkcs12,
}

impl IdentityMethod {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scep => "scep",
            Self::Pkcs12 => "pkcs12",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Scep, Self::Pkcs12].into_iter().find(|method| method.as_str() == text)
    }
}

/// Why a profile cannot be built or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    #[error("AccessRights: {0}")]
    AccessRights(&'static str),
    #[error("there is no right called {0}")]
    UnknownRight(String),
    #[error("{key}: {why}")]
    Value { key: &'static str, why: &'static str },
    #[error("{0}")]
    Plist(#[from] PlistError),
}
