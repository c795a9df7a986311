//! Which right a command needs. A command that is not in these lists, and one that Apple adds next year, is an admin's: what nobody has
//! looked at may take something away.
//!
//! Called by `commands` before anything is queued or taken back. Deliberately not here: which devices somebody may command at all.

use super::actor::Permission;
use super::unlocking;
use crate::plist::{Dictionary, Value};

/// Questions, and what is over again by itself or can be taken back without loss: also a teacher's, on devices of own classes.
const HARMLESS: [&str; 19] = [
    "ActiveNSExtensions",
    "AvailableOSUpdates",
    "CertificateList",
    "ContentCachingInformation",
    "DeviceInformation",
    unlocking::ENABLE_LOST_MODE,
    "InstalledApplicationList",
    "ManagedApplicationAttributes",
    "ManagedApplicationList",
    "ManagedMediaList",
    "NSExtensionMappings",
    "OSUpdateStatus",
    "PlayLostModeSound",
    "ProfileList",
    "ProvisioningProfileList",
    "RequestMirroring",
    "Restrictions",
    "SecurityInfo",
    "StopMirroring",
];

/// What helps somebody at the desk and takes nothing away. Passwords, accounts, profiles, remote control and packages are not here:
/// by each of them one could come to rights that one was not given.
const HELPFUL: [&str; 15] = [
    "ActivationLockBypassCode",
    "DeclarativeManagement",
    INSTALL_APPLICATION,
    "InviteToProgram",
    "LogOutUser",
    "ManagedApplicationConfiguration",
    "ManagedApplicationFeedback",
    "RefreshCellularPlans",
    "RestartDevice",
    "ScheduleOSUpdate",
    "ScheduleOSUpdateScan",
    SETTINGS,
    "ShutDownDevice",
    "UserList",
    "ValidateApplications",
];

const INSTALL_APPLICATION: &str = "InstallApplication";
const SETTINGS: &str = "Settings";
/// Settings that are looks and comfort; any other may loosen what protects the device.
const PLAIN_SETTINGS: [&str; 10] = [
    "AccessibilitySettings",
    "Bluetooth",
    "DataRoaming",
    "DeviceName",
    "HostName",
    "OrganizationInfo",
    "PersonalHotspot",
    "TimeZone",
    "VoiceRoaming",
    "Wallpaper",
];
/// Keys of InstallApplication that name a package of anybody's making instead of one of Apple's store.
const FOREIGN_APP: [&str; 2] = ["ManifestURL", "Manifest"];

/// What erases, locks, opens or removes: nobody wants it done a second time.
const ONCE: [&str; 14] = [
    unlocking::ERASE_DEVICE,
    "DeviceLock",
    unlocking::CLEAR_PASSCODE,
    "ClearRestrictionsPassword",
    "ClearActivationLockBypassCode",
    unlocking::DISABLE_LOST_MODE,
    "RemoveApplication",
    "RemoveProfile",
    "DeleteUser",
    "UnlockUserAccount",
    "SetAutoAdminPassword",
    "SetFirmwarePassword",
    "SetRecoveryLock",
    "RotateFileVaultKey",
];

/// Whether a copy of the school that is brought back must not send this again.
pub(super) fn is_for_once(request_type: &str) -> bool {
    ONCE.contains(&request_type)
}

/// Whether many devices may be told it at once: not what opens, erases or removes, what marks a device lost or says where it is.
pub(super) fn is_for_many(request_type: &str) -> bool {
    !ONCE.contains(&request_type)
        && request_type != unlocking::ENABLE_LOST_MODE
        && usual(request_type) != Permission::Reveal
}

/// What sending this command needs.
pub(super) fn needed(request_type: &str, keys: &Dictionary) -> Permission {
    let more = match request_type {
        SETTINGS => !keys.get(SETTINGS).is_some_and(are_plain),
        INSTALL_APPLICATION => FOREIGN_APP.iter().any(|key| keys.contains_key(key)),
        _ => false,
    };
    if more { Permission::Destroy } else { usual(request_type) }
}

/// What taking it back needs: as much as sending it. Taking back a Lost Mode is ending it.
pub(super) fn needed_to_cancel(request_type: &str) -> Permission {
    if request_type == unlocking::ENABLE_LOST_MODE { Permission::Destroy } else { usual(request_type) }
}

fn usual(request_type: &str) -> Permission {
    match request_type {
        unlocking::DEVICE_LOCATION => Permission::Reveal,
        harmless if HARMLESS.contains(&harmless) => Permission::Ask,
        helpful if HELPFUL.contains(&helpful) => Permission::Command,
        _ => Permission::Destroy,
    }
}

fn are_plain(settings: &Value) -> bool {
    let is_plain = |one: &Value| {
        let item = one.as_dictionary().and_then(|one| one.get("Item")).and_then(Value::as_string);
        item.is_some_and(|item| PLAIN_SETTINGS.contains(&item))
    };
    settings.as_array().is_some_and(|all| all.iter().all(is_plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::catalogue;

    fn settings(items: &[&str]) -> Dictionary {
        let one = |item: &&str| Value::Dictionary(Dictionary::from_iter([(String::from("Item"), Value::from(*item))]));
        Dictionary::from_iter([(SETTINGS.to_owned(), Value::Array(items.iter().map(one).collect()))])
    }

    #[test]
    fn names_are_apples_and_stand_in_one_list() {
        for name in HARMLESS.iter().chain(&HELPFUL).chain(&ONCE) {
            assert!(catalogue::find(name).is_some(), "{name}");
        }
        assert!(!HARMLESS.iter().any(|name| HELPFUL.contains(name)));
        assert!(ONCE.iter().all(|name| usual(name) == Permission::Destroy));
    }

    #[test]
    fn what_takes_away_or_is_not_known_is_an_admins() {
        let none = Dictionary::new();
        for name in [
            "EraseDevice",
            "DeviceLock",
            "ClearPasscode",
            "ClearRestrictionsPassword",
            "ClearActivationLockBypassCode",
            "DisableLostMode",
            "RemoveProfile",
            "RemoveApplication",
            "DeleteUser",
            "UnlockUserAccount",
            "SetFirmwarePassword",
            "VerifyFirmwarePassword",
            "SetRecoveryLock",
            "SetAutoAdminPassword",
            "RotateFileVaultKey",
            "RequestUnlockToken",
            "InstallProfile",
            "InstallEnterpriseApplication",
            "AccountConfiguration",
            "EnableRemoteDesktop",
            "DeviceConfigured",
            "LOMDeviceRequest",
            "NextYearsCommand",
            "erasedevice",
        ] {
            assert_eq!(
                (needed(name, &none), needed_to_cancel(name)),
                (Permission::Destroy, Permission::Destroy),
                "{name}"
            );
        }
        assert_eq!(needed("DeviceLocation", &none), Permission::Reveal);
        assert_eq!(needed("DeviceInformation", &none), Permission::Ask);
        assert_eq!(needed("RestartDevice", &none), Permission::Command);
        let lost = unlocking::ENABLE_LOST_MODE;
        assert_eq!((needed(lost, &none), needed_to_cancel(lost)), (Permission::Ask, Permission::Destroy));
    }

    #[test]
    fn some_depend_on_what_they_say() {
        let rows = [
            (settings(&["DeviceName", "Wallpaper"]), Permission::Command),
            (settings(&["DeviceName", "MDMOptions"]), Permission::Destroy),
            (settings(&["PasscodeLockGracePeriod"]), Permission::Destroy),
            (
                Dictionary::from_iter([(SETTINGS.to_owned(), Value::Array(vec!["DeviceName".into()]))]),
                Permission::Destroy,
            ),
            (Dictionary::new(), Permission::Destroy),
        ];
        for (keys, wanted) in rows {
            assert_eq!(needed(SETTINGS, &keys), wanted, "{keys:?}");
        }
        let app = |key: &str| Dictionary::from_iter([(key.to_owned(), Value::from("https://x.example/app.plist"))]);
        assert_eq!(needed(INSTALL_APPLICATION, &app("Identifier")), Permission::Command);
        assert_eq!(needed(INSTALL_APPLICATION, &app("ManifestURL")), Permission::Destroy);
    }
}
