//! Stories that a school lives through, told to the whole server from outside: sockets, certificates, pushes, the API.

mod commands;
pub mod crash;
mod enrolling;
mod identity;
mod load;
mod office;
mod restart;
pub mod secrets;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// What a classroom is given: enough for every milestone of [`cordon::simulator::classroom`].
fn morning() -> [(&'static str, Value); 3] {
    let payload = concat!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><plist version=\"1.0\"><dict>",
        "<key>PayloadType</key><string>Configuration</string><key>PayloadVersion</key><integer>1</integer>",
        "<key>PayloadIdentifier</key><string>school.settings</string><key>PayloadUUID</key><string>SETTINGS</string>",
        "<key>PayloadContent</key><array><dict><key>PayloadType</key><string>com.apple.applicationaccess</string>",
        "<key>PayloadVersion</key><integer>1</integer><key>PayloadIdentifier</key><string>school.settings.1</string>",
        "<key>PayloadUUID</key><string>SETTINGS1</string><key>allowCamera</key><false/></dict></array></dict></plist>"
    );
    [
        ("DeviceInformation", json!({ "Queries": ["DeviceName", "OSVersion", "SerialNumber"] })),
        ("InstallProfile", json!({ "Payload": STANDARD.encode(payload) })),
        ("DeviceLock", json!({ "PIN": "123456" })),
    ]
}
