//! Property lists from anyone: never a panic, never more than was bounded, and what was accepted survives a round trip.
#![no_main]

use cordon::plist::{Value, parse_dict, to_xml};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(dict) = parse_dict(bytes) else { return };
    // What Cordon stores and sends again must be readable by the same rules.
    let again = to_xml(&Value::Dictionary(dict.into_dictionary()));
    assert!(parse_dict(&again).is_ok(), "written but not readable: {}", String::from_utf8_lossy(&again));
});
