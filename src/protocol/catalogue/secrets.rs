//! Which keys of commands and results are secret, and of which kind. Kept by hand: the schema does not say.
//!
//! Called by `to_json`, and by the service to know what of a command or a result goes into custody.

/// Commands whose passwords have a kind of their own; in all others a password is a `password`.
const PASSWORDS: [(&str, &str); 4] = [
    ("SetFirmwarePassword", "firmware-password"),
    ("VerifyFirmwarePassword", "firmware-password"),
    ("SetRecoveryLock", "recovery-lock"),
    ("VerifyRecoveryLock", "recovery-lock"),
];

/// Keys that are secret wherever they stand.
const KEYS: [(&str, &str); 15] = [
    ("UnlockToken", "unlock-token"),
    ("PIN", "lock-pin"),
    ("BootstrapToken", "bootstrap-token"),
    ("ActivationLockBypassCode", "activation-lock-code"),
    ("FDE_PersonalRecoveryKeyCMS", "filevault-key"),
    ("EncryptedNewRecoveryKey", "filevault-key"),
    ("PrivateKeyExport", "filevault-key"),
    ("Challenge", "challenge"),
    ("MDMProfileData", "profile"),
    // Holds Wi-Fi passwords.
    ("WiFiProfileData", "profile"),
    ("ProvisioningProfile", "profile"),
    ("RedemptionCode", "redemption-code"),
    ("UnusedRedemptionCode", "redemption-code"),
    ("SecurityToken", "token"),
    ("AuthToken", "token"),
];

/// The kind of secret under `key` in this command or in its result, at any depth; `None` if it may be shown.
pub fn secret_kind(request_type: &str, key: &str) -> Option<&'static str> {
    if let Some((_, kind)) = KEYS.iter().find(|(name, _)| *name == key) {
        return Some(kind);
    }
    match (request_type, key) {
        // A profile as a whole: it may hold Wi-Fi passwords, challenges and private keys.
        ("InstallProfile", "Payload") => Some("profile"),
        // Where a lost device, and perhaps a child, is: shown only by the verb that records who looked.
        ("DeviceLocation", "Latitude" | "Longitude" | "Altitude" | "Course" | "Speed") => Some("location"),
        _ if is_password(key) => {
            Some(PASSWORDS.iter().find(|(command, _)| *command == request_type).map_or("password", |(_, kind)| kind))
        }
        _ => None,
    }
}

/// `Password`, `NewPassword`, `CurrentPassword`, `PrivateKeyExportPassword`, `passwordHash`, and whatever app makers name alike in
/// a managed configuration. `SetFirmwarePassword` is the name of a whole response.
pub fn is_password(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    let named = lower.ends_with("password") || lower.ends_with("passwordhash") || lower.ends_with("secret");
    named && !matches!(key, "SetFirmwarePassword" | "VerifyFirmwarePassword")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        let rows = [
            ("ClearPasscode", "UnlockToken", Some("unlock-token")),
            ("RequestUnlockToken", "UnlockToken", Some("unlock-token")),
            ("EraseDevice", "PIN", Some("lock-pin")),
            ("DeviceLock", "PIN", Some("lock-pin")),
            ("EraseDevice", "BootstrapToken", Some("bootstrap-token")),
            ("ActivationLockBypassCode", "ActivationLockBypassCode", Some("activation-lock-code")),
            ("SetFirmwarePassword", "NewPassword", Some("firmware-password")),
            ("SetFirmwarePassword", "CurrentPassword", Some("firmware-password")),
            ("VerifyFirmwarePassword", "Password", Some("firmware-password")),
            ("SetRecoveryLock", "NewPassword", Some("recovery-lock")),
            ("VerifyRecoveryLock", "Password", Some("recovery-lock")),
            ("RequestMirroring", "Password", Some("password")),
            ("RotateFileVaultKey", "Password", Some("password")),
            ("RotateFileVaultKey", "EncryptedNewRecoveryKey", Some("filevault-key")),
            ("SecurityInfo", "FDE_PersonalRecoveryKeyCMS", Some("filevault-key")),
            ("SetAutoAdminPassword", "passwordHash", Some("password")),
            ("InstallProfile", "Payload", Some("profile")),
            ("InstallProfile", "Challenge", Some("challenge")),
            ("InstallApplication", "clientSecret", Some("password")),
            ("DeviceLocation", "Latitude", Some("location")),
            ("DeviceLocation", "Timestamp", None),
            ("ProfileList", "Payload", None),
            ("SetFirmwarePassword", "SetFirmwarePassword", None),
            ("VerifyRecoveryLock", "PasswordVerified", None),
            ("DeviceInformation", "PINRequiredForDeviceLock", None),
            ("SecurityInfo", "PasscodePresent", None),
            ("DeviceInformation", "SerialNumber", None),
        ];
        for (request_type, key, wanted) in rows {
            assert_eq!(secret_kind(request_type, key), wanted, "{request_type} {key}");
        }
    }
}
