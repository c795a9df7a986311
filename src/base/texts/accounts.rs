//! What is said about accounts on devices and about provisioning profiles. Ids and English words side by side.

use std::fmt;

/// Part of [`super::Text`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accounts {
    NoSuchAccount { account: String },
    ProfileOfAccount { profile: String, account: String },
    OneHolder,
    NoCertificateThere { kind: &'static str },
    SecretInSettings { key: String },
    PasswordNotKept,
    NotByPassword { account: String },
    NothingToSplit { profile: String },
    NamesTaken { identifier: String },
    NotOnDevice { account: String, device: String },
    AccountChanged { account: String },
    OwnPageOver,
    NoSuchProvisioning { which: String },
    BadProvisioning { why: String },
    OlderProvisioning { name: String, there: String, new: String },
    ProvisioningOver { name: String, at: String },
    NotReturned { device: String, name: String },
    RemovalIsNoRevocation,
    DevicesOnly { group: String },
}

impl Accounts {
    pub(super) fn id(&self) -> &'static str {
        match self {
            Self::NoSuchAccount { .. } => "no-such-account",
            Self::ProfileOfAccount { .. } => "profile-of-account",
            Self::OneHolder => "one-holder",
            Self::NoCertificateThere { .. } => "no-certificate-there",
            Self::SecretInSettings { .. } => "secret-in-settings",
            Self::PasswordNotKept => "password-not-kept",
            Self::NotByPassword { .. } => "not-by-password",
            Self::NothingToSplit { .. } => "nothing-to-split",
            Self::NamesTaken { .. } => "names-taken",
            Self::NotOnDevice { .. } => "not-on-device",
            Self::AccountChanged { .. } => "account-changed",
            Self::OwnPageOver => "own-page-over",
            Self::NoSuchProvisioning { .. } => "no-such-provisioning",
            Self::BadProvisioning { .. } => "bad-provisioning",
            Self::OlderProvisioning { .. } => "older-provisioning",
            Self::ProvisioningOver { .. } => "provisioning-over",
            Self::NotReturned { .. } => "not-returned",
            Self::RemovalIsNoRevocation => "removal-is-no-revocation",
            Self::DevicesOnly { .. } => "devices-only",
        }
    }

    pub(super) fn english(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchAccount { account } => {
                write!(f, "No account is known as “{account}”. `cordon account list` shows those that are.")
            }
            Self::ProfileOfAccount { profile, account } => write!(
                f,
                "{profile} is the profile of the account {account} and is made from it. Change it there: cordon account show {account}"
            ),
            Self::OneHolder => f.write_str(
                "An account is one person's or one device's: say --user or --device. For many, add one for each; what all have in common is a profile.",
            ),
            Self::NoCertificateThere { kind } => write!(
                f,
                "Apple's payload for {kind} has no place for a certificate. Use a password, or let the device ask its user."
            ),
            Self::SecretInSettings { key } => write!(
                f,
                "{key} is a secret, and settings are kept. Give it as the account's password: it is sealed, sent once and forgotten."
            ),
            Self::PasswordNotKept => f.write_str(
                "The account's password is not kept here, so devices that get it anew ask their user for it. Send one along: cordon account password ACCOUNT",
            ),
            Self::NotByPassword { account } => write!(
                f,
                "{account} proves itself by a certificate. A new one is made by: cordon account repair {account}"
            ),
            Self::NothingToSplit { profile } => write!(f, "{profile} does not set up more than one account; there is nothing to split."),
            Self::NamesTaken { identifier } => write!(
                f,
                "A profile {identifier} is there already, and one of the parts would have that name. Rename or remove it first."
            ),
            Self::NotOnDevice { account, device } => {
                write!(f, "{account} is not on {device}. `cordon account show {account}` says whose it is.")
            }
            Self::AccountChanged { account } => write!(
                f,
                "{account} was changed by somebody else at this moment, and nothing was done. Look at it and do it again: cordon account show {account}"
            ),
            Self::OwnPageOver => f.write_str("This page had been open for too long. Log in once more."),
            Self::NoSuchProvisioning { which } => write!(
                f,
                "No provisioning profile is known as “{which}”. `cordon provisioning list` shows those that are."
            ),
            Self::BadProvisioning { why } => write!(
                f,
                "That is no provisioning profile: {why}. Take the .mobileprovision as Apple's developer site gave it."
            ),
            Self::OlderProvisioning { name, there, new } => write!(
                f,
                "“{name}” is there until {there}; the new one ends {new}. If that is meant, remove the other one first."
            ),
            Self::ProvisioningOver { name, at } => {
                write!(f, "“{name}” ended {at}; no device takes it. Renew it on Apple's developer site.")
            }
            Self::NotReturned { device, name } => {
                write!(f, "“{name}” has not come back on {device} since it was removed there.")
            }
            Self::RemovalIsNoRevocation => f.write_str(
                "Removing a provisioning profile is not a revocation: an app that is open or installed goes on working until the device is restarted, and a \
                 computer that syncs the device can put the profile back. To end the use of an app, remove the app, or have its certificate revoked at Apple.",
            ),
            Self::DevicesOnly { group } => write!(f, "“{group}” is a group of people; a provisioning profile goes to devices."),
        }
    }
}
