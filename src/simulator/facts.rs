//! What a simulated device says about itself: values for `DeviceInformation`, `SecurityInfo`, app lists. All follow from the spec's seed.
//!
//! Called by `answers`. Not here: whether the device may say it (access rights are checked there, per key of the table here).

use super::passcode;
use super::spec::{Kind, Spec, derive};
use super::state::{Channel, State};
use crate::plist::{Dictionary, Value};

/// The value of one `DeviceInformation` query and the access right it needs (0: none); `None` when this device has no such thing.
pub fn find_fact(state: &State, channel: Channel, query: &str) -> Option<(u32, Value)> {
    const DEVICE: u32 = 16;
    const NETWORK: u32 = 32;
    let spec = &state.spec;
    let mac = spec.kind == Kind::Mac;
    let text = |s: &str| Some(Value::String(s.to_owned()));
    let flag = |b: bool| Some(Value::Boolean(b));
    let (right, value) = match query {
        "UDID" => (0, text(&spec.udid)),
        "ProvisioningUDID" if mac => (0, text(&spec.udid)),
        "AwaitingConfiguration" => (0, flag(false)),
        "MDMOptions" => (0, Some(Value::Dictionary(Dictionary::new()))),
        "SoftwareUpdateDeviceID" => (0, text(&spec.product)),
        "iTunesStoreAccountIsActive" => (4096, flag(false)),
        "DeviceName" => (DEVICE, text(&spec.name)),
        "OSVersion" => (DEVICE, text(&spec.os_version)),
        "BuildVersion" => (DEVICE, text(&spec.build_version)),
        "ModelName" => (DEVICE, text(&spec.model_name)),
        "Model" | "ModelNumber" => (DEVICE, text(&spec.model_number)),
        "ProductName" => (DEVICE, text(&spec.product)),
        "SerialNumber" => (DEVICE, text(&spec.serial)),
        "IsAppleSilicon" | "HasBattery" | "SupportsiOSAppInstalls" | "SystemIntegrityProtectionEnabled" if mac => {
            (DEVICE, flag(true))
        }
        "SupportsLOMDevice" | "PINRequiredForEraseDevice" | "PINRequiredForDeviceLock" if mac => (DEVICE, flag(false)),
        "LocalHostName" | "HostName" if mac => (DEVICE, text(&spec.name.replace(' ', "-"))),
        "ActiveManagedUsers" if mac => {
            let guids = spec.person.iter().filter(|_| state.user.is_some()).map(|p| Value::String(p.guid.clone()));
            (DEVICE, Some(Value::Array(guids.collect())))
        }
        "DeviceCapacity" => (DEVICE, Some(Value::Real(f64::from(spec.capacity_gb)))),
        "AvailableDeviceCapacity" => (DEVICE, Some(Value::Real(f64::from(spec.capacity_gb) * fraction(spec, "free")))),
        "BatteryLevel" if spec.kind != Kind::AppleTv => (DEVICE, Some(Value::Real(fraction(spec, "battery")))),
        "IsSupervised" => (DEVICE, flag(spec.supervised)),
        "IsMDMLostModeEnabled" if !mac => (DEVICE, flag(state.lost_mode)),
        "IsMultiUser" | "IsCloudBackupEnabled" if !mac => (DEVICE, flag(false)),
        "IsDeviceLocatorServiceEnabled" | "IsDoNotDisturbInEffect" if !mac => (DEVICE, flag(false)),
        "IsActivationLockEnabled" => (DEVICE, flag(false)),
        "IsActivationLockSupported" if mac => (DEVICE, flag(true)),
        "DiagnosticSubmissionEnabled" | "AppAnalyticsEnabled" if !mac => (DEVICE, flag(false)),
        "TimeZone" if !mac => (DEVICE, text("Europe/Berlin")),
        "DeviceID" if spec.kind == Kind::AppleTv => (DEVICE, text(&mac_address(spec, "device"))),
        "PushToken" => (DEVICE, state.find_line(channel).map(|l| Value::Data(l.token.0.clone()))),
        "IMEI" if spec.kind == Kind::Iphone => (DEVICE, text(&imei(spec))),
        "WiFiMAC" => (NETWORK, text(&mac_address(spec, "wifi"))),
        "BluetoothMAC" => (NETWORK, text(&mac_address(spec, "bluetooth"))),
        "EthernetMAC" if mac => (NETWORK, text(&mac_address(spec, "ethernet"))),
        "IsNetworkTethered" | "DataRoamingEnabled" | "PersonalHotspotEnabled" if !mac => (NETWORK, flag(false)),
        _ => return None,
    };
    value.map(|v| (right, v))
}

/// The `SecurityInfo` dictionary of this kind of device.
pub fn security_info(state: &State) -> Dictionary {
    let mut info = Dictionary::new();
    let mut put = |key: &str, value: Value| info.insert(key.to_owned(), value);
    let mut management = Dictionary::new();
    if state.spec.kind == Kind::Mac {
        for key in ["FDE_Enabled", "SystemIntegrityProtectionEnabled", "AuthenticatedRootVolumeEnabled"] {
            put(key, Value::Boolean(true));
        }
        for key in ["FDE_HasInstitutionalRecoveryKey", "RemoteDesktopEnabled", "IsRecoveryLockEnabled"] {
            put(key, Value::Boolean(false));
        }
        let mut firewall = Dictionary::new();
        for key in ["FirewallEnabled", "BlockAllIncoming", "StealthMode"] {
            firewall.insert(key.to_owned(), Value::Boolean(key == "FirewallEnabled"));
        }
        put("FirewallSettings", Value::Dictionary(firewall));
        management.insert("UserApprovedEnrollment".to_owned(), Value::Boolean(true));
    } else {
        put("HardwareEncryptionCaps", Value::Integer(3.into()));
        put("PasscodePresent", Value::Boolean(state.passcode));
        let complies = passcode::complies(state);
        put("PasscodeCompliant", Value::Boolean(complies));
        put("PasscodeCompliantWithProfiles", Value::Boolean(complies));
        put("PasscodeLockGracePeriod", Value::Integer(0.into()));
        put("PasscodeLockGracePeriodEnforced", Value::Integer(0.into()));
    }
    management.insert("EnrolledViaDEP".to_owned(), Value::Boolean(false));
    put("ManagementStatus", Value::Dictionary(management));
    if state.spec.kind == Kind::Mac {
        super::filevault::security_info(state, &mut info);
    }
    info
}

/// The code that opens Apple's Activation Lock, in the shape that devices use.
pub fn bypass_code(spec: &Spec) -> String {
    let code = hex::encode_upper(derive(spec.seed, "activation lock"));
    format!("{}-{}-{}-{}-{}-{}", &code[..5], &code[5..10], &code[10..14], &code[14..18], &code[18..22], &code[22..26])
}

/// What a device in Lost Mode answers to DeviceLocation: a place in the middle of the sea.
pub fn location(spec: &Spec) -> Dictionary {
    let mut place = Dictionary::new();
    let mut put = |key: &str, value: f64| place.insert(key.to_owned(), Value::Real(value));
    put("Latitude", 31.004_17 + fraction(spec, "latitude"));
    put("Longitude", -41.008_23 - fraction(spec, "longitude"));
    put("HorizontalAccuracy", 65.0);
    put("VerticalAccuracy", -1.0);
    put("Altitude", 0.5);
    put("Speed", -1.0);
    put("Course", -1.0);
    place.insert("Timestamp".to_owned(), Value::String("2026-09-01T07:30:00Z".to_owned()));
    place
}

/// `n` apps with the keys of `InstalledApplicationList`.
pub fn apps(spec: &Spec, n: usize) -> Vec<Dictionary> {
    const KNOWN: [(&str, &str); 6] = [
        ("com.apple.Pages", "Pages"),
        ("com.apple.Numbers", "Numbers"),
        ("com.apple.Keynote", "Keynote"),
        ("com.apple.iMovie", "iMovie"),
        ("com.apple.garageband", "GarageBand"),
        ("com.apple.Playgrounds", "Swift Playgrounds"),
    ];
    let app = |i: usize| {
        let (identifier, name) = match KNOWN.get(i) {
            Some((identifier, name)) => ((*identifier).to_owned(), (*name).to_owned()),
            None => (format!("school.example.app{i}"), format!("Learning App {i}")),
        };
        let hash = derive(spec.seed, &identifier);
        let size = (u64::from(hash[0]) + 1) * 1_048_576;
        let mut app = Dictionary::new();
        app.insert("Identifier".to_owned(), Value::String(identifier));
        app.insert("Name".to_owned(), Value::String(name));
        app.insert("Version".to_owned(), Value::String(format!("{}.{}", hash[1] % 14 + 1, hash[2] % 10)));
        app.insert("ShortVersion".to_owned(), Value::String(format!("{}.{}", hash[1] % 14 + 1, hash[2] % 10)));
        app.insert("BundleSize".to_owned(), Value::Integer(size.into()));
        app.insert("DynamicSize".to_owned(), Value::Integer((size / 16).into()));
        app.insert("IsValidated".to_owned(), Value::Boolean(true));
        app
    };
    (0..n).map(app).collect()
}

/// Between 0.25 and 1.0, two decimals.
fn fraction(spec: &Spec, label: &str) -> f64 {
    f64::from(25 + u32::from(derive(spec.seed, label)[0]) * 75 / 255) / 100.0
}

fn mac_address(spec: &Spec, label: &str) -> String {
    let hash = derive(spec.seed, label);
    // The locally administered, unicast form: nobody's real address.
    let first = hash[0] & 0xfc | 0x02;
    format!("{first:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", hash[1], hash[2], hash[3], hash[4], hash[5])
}

fn imei(spec: &Spec) -> String {
    let digits: String = derive(spec.seed, "imei")[..12].iter().map(|b| char::from(b'0' + b % 10)).collect();
    format!(
        "35{}",
        digits.as_bytes().chunks(6).map(|c| String::from_utf8_lossy(c).into_owned()).collect::<Vec<_>>().join(" ")
    )
}
