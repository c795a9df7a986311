//! What a simulated device does with one command and what it answers: the state changes here, the talking happens in `session`.
//!
//! Called by `session` once per CommandUUID. Commands that need the network (a new enrolment profile, leaving management) are handed
//! back as an [`Act`]. Rights and channels follow Apple's command table; a device that may not, answers `Error`, never silence.

use super::facts::{apps, bypass_code, find_fact, location, security_info};
use super::profile::{Enrolling, Refusal};
use super::spec::Kind;
use super::state::{Channel, State, Wait};
use super::{filevault, locks, profiles, provisioning, sharing};
use crate::plist::{Dict, Dictionary, PlistError, Value};

/// A final status with its keys.
#[derive(Debug)]
pub enum Reply {
    Acknowledged(Dictionary),
    Error(Refusal),
    /// The device cannot read the command.
    FormatError(String),
}

/// What follows from a command.
#[derive(Debug)]
pub enum Act {
    Answer(Reply),
    /// An enrolment profile arrived: enrol anew with these bytes, then answer.
    EnrollAgain(Vec<u8>),
    /// The MDM profile was removed: check out, no answer.
    Leave,
    /// Answer, then everything is gone.
    Erase(Dictionary),
}

/// RequestType, access right (0: none), kinds whose device channel takes it, whether a Mac's user channel does.
type Rule = (&'static str, u32, &'static [Kind], bool);

const ALL: &[Kind] = &[Kind::Ipad, Kind::Mac, Kind::Iphone, Kind::AppleTv];
const MOBILE: &[Kind] = &[Kind::Ipad, Kind::Iphone];
const NO_TV: &[Kind] = &[Kind::Ipad, Kind::Iphone, Kind::Mac];

const RULES: &[Rule] = &[
    ("DeviceInformation", 0, ALL, true),
    ("SecurityInfo", 1024, ALL, true),
    ("ProfileList", 1, ALL, true),
    ("InstallProfile", 2, ALL, true),
    ("RemoveProfile", 0, ALL, true), // right 2, except for the MDM profile: checked there
    ("CertificateList", 1, ALL, true),
    ("InstalledApplicationList", 256, ALL, true),
    ("ManagedApplicationList", 4096, ALL, true),
    ("ProvisioningProfileList", 64, ALL, false),
    ("InstallProvisioningProfile", 128, ALL, false),
    ("RemoveProvisioningProfile", 128, ALL, false),
    ("AvailableOSUpdates", 4096, ALL, false),
    ("Restrictions", 512, &[Kind::Ipad, Kind::Iphone, Kind::AppleTv], false),
    ("Settings", 2048, ALL, true),
    ("DeviceLock", 4, NO_TV, false),
    ("ClearPasscode", 4, MOBILE, false),
    ("EraseDevice", 8, ALL, false),
    ("RestartDevice", 4, ALL, false),
    ("ShutDownDevice", 4, NO_TV, false),
    ("DeviceConfigured", 0, ALL, false), // and a Mac's user channel while Setup Assistant waits there
    ("UserConfigured", 0, &[Kind::Ipad, Kind::Iphone], false),
    ("AccountConfiguration", 0, &[Kind::Mac], false),
    ("InstallApplication", 4096, ALL, true),
    ("UserList", 0, &[Kind::Ipad, Kind::Mac], false),
    ("LogOutUser", 0, &[Kind::Ipad], false),
    ("DeleteUser", 0, &[Kind::Ipad, Kind::Mac], false),
    ("EnableLostMode", 4, MOBILE, false),
    ("DisableLostMode", 4, MOBILE, false),
    ("DeviceLocation", 4, MOBILE, false),
    ("PlayLostModeSound", 4, MOBILE, false),
    ("ActivationLockBypassCode", 4, NO_TV, false),
    ("SetRecoveryLock", 4, &[Kind::Mac], false),
    ("VerifyRecoveryLock", 4, &[Kind::Mac], false),
    ("SetFirmwarePassword", 4, &[Kind::Mac], false),
    ("VerifyFirmwarePassword", 0, &[Kind::Mac], false),
    ("RotateFileVaultKey", 4, &[Kind::Mac], false),
];

/// Does what `command` (the `Command` dictionary) asks.
pub fn perform(state: &mut State, enrolling: &Enrolling, channel: Channel, request_type: &str, command: &Dict) -> Act {
    if let Err(refusal) = check(state, enrolling.mdm.access_rights, channel, request_type) {
        return Act::Answer(Reply::Error(refusal));
    }
    if state.behaviour.errors.contains(request_type) {
        return Act::Answer(Reply::Error(Refusal::mdm(12008, format!("{request_type} failed on this device"))));
    }
    let done = match request_type {
        "DeviceConfigured" | "UserConfigured" => Ok(sharing::configured(state, channel)),
        "AccountConfiguration" => sharing::account_configuration(state).map_err(Trouble::from),
        "UserList" => Ok(answer("Users", sharing::user_list(state))),
        "LogOutUser" => sharing::log_out_user(state).map_err(Trouble::from),
        "DeleteUser" => sharing::delete_user(state, command),
        "DeviceInformation" => device_information(state, enrolling.mdm.access_rights, channel, command),
        "SecurityInfo" => Ok(answer("SecurityInfo", Value::Dictionary(security_info(state)))),
        "ProfileList" => profiles::list(state, enrolling, channel),
        "InstallProfile" => profiles::install(state, enrolling, channel, command),
        "RemoveProfile" => profiles::remove(state, enrolling, channel, command),
        "CertificateList" => Ok(certificate_list(state, enrolling)),
        "InstalledApplicationList" => installed_applications(state, command),
        "ManagedApplicationList" => Ok(answer("ManagedApplicationList", Value::Dictionary(Dictionary::new()))),
        "ProvisioningProfileList" | "InstallProvisioningProfile" | "RemoveProvisioningProfile" => {
            provisioning::perform(state, request_type, command)
        }
        "AvailableOSUpdates" => Ok(answer("AvailableOSUpdates", Value::Array(Vec::new()))),
        "Restrictions" => Ok(answer("GlobalRestrictions", Value::Dictionary(Dictionary::new()))),
        "Settings" => settings(state, command),
        "DeviceLock" => device_lock(state, command),
        "ClearPasscode" => clear_passcode(state, command),
        "EraseDevice" => erase(state, command),
        "EnableLostMode" => enable_lost_mode(state, command),
        "DisableLostMode" | "DeviceLocation" | "PlayLostModeSound" => in_lost_mode(state, request_type),
        "ActivationLockBypassCode" => bypass(state),
        "SetRecoveryLock" | "VerifyRecoveryLock" | "SetFirmwarePassword" | "VerifyFirmwarePassword" => {
            locks::perform(&mut state.locks, request_type, command)
                .map_err(Trouble::from)
                .and_then(|done| Ok(Act::Answer(Reply::Acknowledged(done?))))
        }
        "RotateFileVaultKey" => filevault::rotate(state, command)
            .map_err(Trouble::from)
            .and_then(|done| Ok(Act::Answer(Reply::Acknowledged(done?)))),
        _ => Ok(nothing_to_say()),
    };
    match done {
        Ok(act) => act,
        Err(Trouble::Unreadable(why)) => Act::Answer(Reply::FormatError(why.to_string())),
        Err(Trouble::Refused(refusal)) => Act::Answer(Reply::Error(refusal)),
    }
}

pub(super) enum Trouble {
    Unreadable(PlistError),
    Refused(Refusal),
}

impl From<PlistError> for Trouble {
    fn from(error: PlistError) -> Self {
        Trouble::Unreadable(error)
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Trouble::Refused(refusal)
    }
}

fn check(state: &State, rights: u32, channel: Channel, request_type: &str) -> Result<(), Refusal> {
    let invalid = || Refusal::mdm(12021, format!("“{request_type}” is not a valid request type."));
    let (_, right, kinds, user) = RULES.iter().find(|r| r.0 == request_type).ok_or_else(invalid)?;
    let known = match channel {
        Channel::Device => kinds.contains(&state.spec.kind),
        Channel::User | Channel::Agent(_) if state.spec.kind == Kind::Mac => {
            let setting_up = state.find_line(channel).is_some_and(|line| line.wait == Some(Wait::Setup));
            *user || (request_type == "DeviceConfigured" && setting_up)
        }
        Channel::User | Channel::Agent(_) => sharing::is_for_users(request_type),
    };
    if !known {
        return Err(invalid());
    }
    if right & !rights != 0 {
        return Err(Refusal::mdm(12007, format!("the enrolment does not grant the right to {request_type}")));
    }
    Ok(())
}

pub(super) fn nothing_to_say() -> Act {
    Act::Answer(Reply::Acknowledged(Dictionary::new()))
}

pub(super) fn answer(key: &str, value: Value) -> Act {
    let mut keys = Dictionary::new();
    keys.insert(key.to_owned(), value);
    Act::Answer(Reply::Acknowledged(keys))
}

/// Keys that the device cannot answer, or that rights forbid, are left out without a word.
fn device_information(state: &State, rights: u32, channel: Channel, command: &Dict) -> Result<Act, Trouble> {
    let mut found = Dictionary::new();
    for query in command.array("Queries")?.iter().filter_map(Value::as_string) {
        if let Some((right, value)) = find_fact(state, channel, query)
            && right & !rights == 0
        {
            found.insert(query.to_owned(), value);
        }
    }
    Ok(answer("QueryResponses", Value::Dictionary(found)))
}

fn certificate_list(state: &State, enrolling: &Enrolling) -> Act {
    let anchors = enrolling.certificates.iter().map(|der| (der, false));
    let identity = state.held.iter().flat_map(|h| h.chain.first()).map(|leaf| (&leaf.0, true));
    let entry = |(der, is_identity): (&Vec<u8>, bool)| {
        let name = crate::pki::x509::Certificate::parse(der).ok().and_then(|c| c.subject_common_name());
        let mut dict = Dictionary::new();
        dict.insert("CommonName".to_owned(), Value::String(name.unwrap_or_default()));
        dict.insert("IsIdentity".to_owned(), Value::Boolean(is_identity));
        dict.insert("Data".to_owned(), Value::Data(der.clone()));
        Value::Dictionary(dict)
    };
    answer("CertificateList", Value::Array(anchors.chain(identity).map(entry).collect()))
}

fn installed_applications(state: &State, command: &Dict) -> Result<Act, Trouble> {
    let words = |key: &str| -> Result<Option<Vec<String>>, PlistError> {
        Ok(command.find_array(key)?.map(|a| a.iter().filter_map(|v| v.as_string().map(str::to_owned)).collect()))
    };
    let (wanted, items) = (words("Identifiers")?, words("Items")?);
    if command.flag("ManagedAppsOnly")? {
        return Ok(answer("InstalledApplicationList", Value::Array(Vec::new())));
    }
    let mut list = apps(&state.spec, state.behaviour.apps);
    if let Some(wanted) = wanted {
        list.retain(|app| {
            app.get("Identifier").and_then(Value::as_string).is_some_and(|id| wanted.iter().any(|w| w == id))
        });
    }
    if let Some(items) = items {
        for app in &mut list {
            *app = std::mem::take(app).into_iter().filter(|(key, _)| items.contains(key)).collect();
        }
    }
    Ok(answer("InstalledApplicationList", Value::Array(list.into_iter().map(Value::Dictionary).collect())))
}

/// Always acknowledged; each item tells how it fared, in the order asked.
fn settings(state: &mut State, command: &Dict) -> Result<Act, Trouble> {
    let mut outcomes = Vec::new();
    for item in command.array("Settings")? {
        let Value::Dictionary(item) = item else {
            return Ok(Act::Answer(Reply::FormatError("Settings: an element is not a dictionary".to_owned())));
        };
        let item = Dict::new(item.clone());
        let name = item.string("Item")?;
        if name == "DeviceName" {
            state.spec.name = item.string("DeviceName")?.to_owned();
        }
        let mut outcome = Dictionary::new();
        outcome.insert("Item".to_owned(), Value::String(name.to_owned()));
        outcome.insert("Status".to_owned(), Value::String("Acknowledged".to_owned()));
        outcomes.push(Value::Dictionary(outcome));
    }
    Ok(answer("Settings", Value::Array(outcomes)))
}

fn device_lock(state: &mut State, command: &Dict) -> Result<Act, Trouble> {
    check_pin(state, command)?;
    let message = command.find_string("Message")?.is_some() || command.find_string("PhoneNumber")?.is_some();
    state.locked = true;
    Ok(if message { answer("MessageResult", Value::String("Success".to_owned())) } else { nothing_to_say() })
}

fn clear_passcode(state: &mut State, command: &Dict) -> Result<Act, Trouble> {
    let token = command.data("UnlockToken")?;
    if state.unlock_token.as_ref().is_none_or(|own| own.0 != token) {
        let text = "the passcode cannot be cleared: this is not the device's unlock token".to_owned();
        return Err(Refusal { domain: "MCPasscodeErrorDomain", code: 5013, text }.into());
    }
    state.passcode = false;
    Ok(nothing_to_say())
}

fn erase(state: &State, command: &Dict) -> Result<Act, Trouble> {
    check_pin(state, command)?;
    Ok(Act::Erase(Dictionary::new()))
}

/// Only a supervised device, and with something to show.
fn enable_lost_mode(state: &mut State, command: &Dict) -> Result<Act, Trouble> {
    if !state.spec.supervised {
        return Err(Refusal::mdm(12021, "the device is not supervised").into());
    }
    if command.find_string("Message")?.is_none() && command.find_string("PhoneNumber")?.is_none() {
        return Err(Refusal::mdm(12008, "neither a message nor a phone number").into());
    }
    state.lost_mode = true;
    Ok(nothing_to_say())
}

fn in_lost_mode(state: &mut State, request_type: &str) -> Result<Act, Trouble> {
    if !state.lost_mode {
        return Err(Refusal::mdm(12078, "the device is not in Lost Mode").into());
    }
    match request_type {
        "DeviceLocation" => Ok(Act::Answer(Reply::Acknowledged(location(&state.spec)))),
        "DisableLostMode" => {
            state.lost_mode = false;
            Ok(nothing_to_say())
        }
        _ => Ok(nothing_to_say()),
    }
}

fn bypass(state: &State) -> Result<Act, Trouble> {
    if !state.spec.supervised {
        return Err(Refusal::mdm(12021, "the device is not supervised").into());
    }
    Ok(answer("ActivationLockBypassCode", Value::String(bypass_code(&state.spec))))
}

/// Only Macs take a PIN, and it has six characters.
fn check_pin(state: &State, command: &Dict) -> Result<(), Trouble> {
    match command.find_string("PIN")? {
        Some(pin) if state.spec.kind == Kind::Mac && pin.chars().count() != 6 => {
            Err(Refusal::mdm(12008, "the PIN does not have six characters").into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::profile::read_enrollment;
    use super::super::spec::Spec;
    use super::super::state::Blob;
    use super::super::test_school::{dict, number, parts, settings_profile, text};
    use super::*;

    fn with_rights(rights: i64) -> Enrolling {
        let mut parts = parts();
        parts.mdm.insert("AccessRights".to_owned(), number(rights));
        read_enrollment(&parts.bytes()).unwrap()
    }

    fn ask(state: &mut State, rights: i64, channel: Channel, request_type: &str, keys: &[(&str, Value)]) -> Act {
        perform(state, &with_rights(rights), channel, request_type, &Dict::new(dict(keys)))
    }

    /// `0` for Acknowledged, `-1` for CommandFormatError, else the code of the error; `-2` for acts.
    fn code(act: &Act) -> i64 {
        match act {
            Act::Answer(Reply::Acknowledged(_)) => 0,
            Act::Answer(Reply::FormatError(_)) => -1,
            Act::Answer(Reply::Error(refusal)) => refusal.code,
            _ => -2,
        }
    }

    fn keys(act: Act) -> Dictionary {
        match act {
            Act::Answer(Reply::Acknowledged(keys)) => keys,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rights_kinds_and_channels() {
        let lock: &[(&str, Value)] = &[("PIN", text("123456"))];
        let short: &[(&str, Value)] = &[("PIN", text("12"))];
        let device = Channel::Device;
        type Row<'a> = (Kind, Channel, i64, &'a str, &'a [(&'a str, Value)], i64);
        let table: [Row<'_>; 16] = [
            (Kind::Ipad, device, 8191, "SecurityInfo", &[], 0),
            (Kind::Ipad, device, 8191 - 1024, "SecurityInfo", &[], 12007),
            (Kind::Mac, device, 8191, "DeviceLock", lock, 0),
            (Kind::Mac, device, 8191, "DeviceLock", short, 12008),
            (Kind::Ipad, device, 8191, "DeviceLock", short, 0),
            (Kind::AppleTv, device, 8191, "DeviceLock", &[], 12021),
            (Kind::Mac, Channel::User, 8191, "DeviceLock", lock, 12021),
            (Kind::Mac, Channel::User, 8191, "ProfileList", &[], 0),
            (Kind::Mac, device, 8191, "ClearPasscode", &[], 12021),
            (Kind::Ipad, device, 8191, "ClearPasscode", &[], -1),
            (Kind::Ipad, device, 8191, "ClearPasscode", &[("UnlockToken", Value::Data(vec![1]))], 5013),
            (Kind::Ipad, device, 8191, "DeviceInformation", &[], -1),
            (Kind::Ipad, device, 8191, "DeviceInformation", &[("Queries", text("UDID"))], -1),
            (Kind::Ipad, device, 8191, "InstallProfile", &[("Payload", Value::Data(b"junk".to_vec()))], 1000),
            (Kind::Ipad, device, 8191, "RemoveProfile", &[("Identifier", text("unknown"))], 12013),
            (Kind::Ipad, device, 1, "RemoveProfile", &[("Identifier", text("unknown"))], 12007),
        ];
        for (n, (kind, channel, rights, request_type, keys, wanted)) in table.into_iter().enumerate() {
            let mut state = State::new(Spec::new(kind, 1));
            assert_eq!(code(&ask(&mut state, rights, channel, request_type, keys)), wanted, "row {n}: {request_type}");
        }
    }

    #[test]
    fn facts_without_a_right_are_left_out() {
        let queries = [("Queries", Value::Array(["UDID", "SerialNumber", "WiFiMAC", "Nonsense"].map(text).to_vec()))];
        let mut state = State::new(Spec::new(Kind::Ipad, 1));
        for (rights, wanted) in [(8191, 3), (8191 - 16, 2), (8191 - 16 - 32, 1)] {
            let found = keys(ask(&mut state, rights, Channel::Device, "DeviceInformation", &queries));
            assert_eq!(found["QueryResponses"].as_dictionary().unwrap().len(), wanted);
        }
    }

    #[test]
    fn lost_mode_and_the_bypass_code() {
        let mut state = State::new(Spec::new(Kind::Ipad, 1));
        let message: &[(&str, Value)] = &[("Message", text("Please call"))];
        type Row<'a> = (&'a str, &'a [(&'a str, Value)], i64);
        let table: [Row<'_>; 8] = [
            ("DeviceLocation", &[], 12078),
            ("DisableLostMode", &[], 12078),
            ("EnableLostMode", &[], 12008),
            ("EnableLostMode", message, 0),
            ("DeviceLocation", &[], 0),
            ("PlayLostModeSound", &[], 0),
            ("DisableLostMode", &[], 0),
            ("ActivationLockBypassCode", &[], 0),
        ];
        for (request_type, keys, wanted) in table {
            assert_eq!(code(&ask(&mut state, 8191, Channel::Device, request_type, keys)), wanted, "{request_type}");
        }
        state.spec.supervised = false;
        for (request_type, keys) in [("EnableLostMode", message), ("ActivationLockBypassCode", &[])] {
            assert_eq!(code(&ask(&mut state, 8191, Channel::Device, request_type, keys)), 12021, "{request_type}");
        }
    }

    #[test]
    fn profiles_are_replaced_by_identifier_and_listed() {
        let mut state = State::new(Spec::new(Kind::Ipad, 1));
        let mut install = |identifier: &str, uuid: &str| {
            let payload = Value::Data(settings_profile(identifier, uuid));
            code(&ask(&mut state, 8191, Channel::Device, "InstallProfile", &[("Payload", payload)]))
        };
        assert_eq!((install("a", "U1"), install("b", "U2"), install("a", "U3")), (0, 0, 0));
        let list = keys(ask(&mut state, 8191, Channel::Device, "ProfileList", &[]));
        let names: Vec<_> = list["ProfileList"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p.as_dictionary().unwrap()["PayloadIdentifier"].clone())
            .collect();
        assert_eq!(names, [text("cordon.test.mdm"), text("b"), text("a")]);
        assert_eq!(code(&ask(&mut state, 8191, Channel::Device, "RemoveProfile", &[("Identifier", text("a"))])), 0);
        assert_eq!(state.profiles.len(), 1);
    }

    #[test]
    fn the_mdm_profile_is_special() {
        let mut state = State::new(Spec::new(Kind::Ipad, 1));
        let mut install = |bytes: Vec<u8>| {
            ask(&mut state, 8191, Channel::Device, "InstallProfile", &[("Payload", Value::Data(bytes))])
        };
        assert!(matches!(install(parts().bytes()), Act::EnrollAgain(_)));
        assert_eq!(code(&install(settings_profile("cordon.test.mdm", "U"))), 4015);
        let mut foreign = parts();
        foreign.top.insert("PayloadIdentifier".to_owned(), text("other.mdm"));
        assert_eq!(code(&install(foreign.bytes())), 12001);
        // Leaving is always allowed, whatever the rights.
        let remove = ask(&mut state, 1, Channel::Device, "RemoveProfile", &[("Identifier", text("cordon.test.mdm"))]);
        assert!(matches!(remove, Act::Leave));
    }

    #[test]
    fn passcode_settings_and_apps() {
        let mut state = State::new(Spec::new(Kind::Ipad, 1));
        state.unlock_token = Some(Blob(vec![7]));
        assert_eq!(
            code(&ask(&mut state, 8191, Channel::Device, "ClearPasscode", &[("UnlockToken", Value::Data(vec![7]))])),
            0
        );
        assert!(!state.passcode);
        let item = dict(&[("Item", text("DeviceName")), ("DeviceName", text("Cart 7"))]);
        let settings = [("Settings", Value::Array(vec![Value::Dictionary(item)]))];
        assert_eq!(
            keys(ask(&mut state, 8191, Channel::Device, "Settings", &settings))["Settings"].as_array().unwrap().len(),
            1
        );
        assert_eq!(state.spec.name, "Cart 7");
        state.behaviour.apps = 500;
        let only = [
            ("Items", Value::Array(vec![text("Identifier")])),
            ("Identifiers", Value::Array(vec![text("com.apple.Pages")])),
        ];
        let list = keys(ask(&mut state, 8191, Channel::Device, "InstalledApplicationList", &only));
        let apps = list["InstalledApplicationList"].as_array().unwrap();
        assert_eq!((apps.len(), apps[0].as_dictionary().unwrap().len()), (1, 1));
        let all = keys(ask(&mut state, 8191, Channel::Device, "InstalledApplicationList", &[]));
        assert_eq!(all["InstalledApplicationList"].as_array().unwrap().len(), 500);
    }
}
