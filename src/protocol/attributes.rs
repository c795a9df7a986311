//! What a device says of itself before it is enrolled: the attributes of over-the-air enrolment and `MachineInfo` of automated
//! enrolment, which share their keys. Read by `service` from signed messages, and by the fuzzer.
//!
//! Everything here is a claim: the signature shows a genuine Apple device, not which one.

use super::clip;
use crate::base::ids::{Serial, Udid};
use crate::base::secret::Secret;
use crate::plist::{Dict, PlistError, Value, parse_dict};

/// Apple's keys that are kept and shown, in this order.
const KEPT: [&str; 16] = [
    "PRODUCT",
    "VERSION",
    "OS_VERSION",
    "DEVICE_NAME",
    "SERIAL",
    "UDID",
    "IMEI",
    "MEID",
    "ICCID",
    "MAC_ADDRESS_EN0",
    "LANGUAGE",
    "UserID",
    "UserShortName",
    "UserLongName",
    "SUPPLEMENTAL_BUILD_VERSION",
    "SOFTWARE_UPDATE_DEVICE_ID",
];

/// The attributes that a `Profile Service` payload asks for.
pub const ASKED: [&str; 9] =
    ["UDID", "VERSION", "PRODUCT", "SERIAL", "IMEI", "MEID", "ICCID", "MAC_ADDRESS_EN0", "DEVICE_NAME"];

/// Longest value that is kept, in bytes.
const MAX_VALUE: usize = 256;

/// A device's word about itself.
#[derive(Debug, Clone)]
pub struct Attributes {
    pub udid: Option<Udid>,
    pub serial: Option<Serial>,
    /// Echo of the one-time word in the payload that asked; only over the air.
    pub challenge: Option<Secret<String>>,
    /// Apple's keys and the values, cut to a bounded length.
    pub kept: Vec<(&'static str, String)>,
}

impl Attributes {
    /// The value of one of the keys that are kept.
    pub fn find(&self, key: &str) -> Option<&str> {
        self.kept.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_str())
    }

    /// UDID, else serial number: what tells one device from another here. `None` when it said neither.
    pub fn name(&self) -> Option<&str> {
        self.udid.as_ref().map(Udid::as_str).or(self.serial.as_ref().map(Serial::as_str))
    }
}

/// Reads the signed content of an enrolment request.
///
/// # Errors
/// [`PlistError`] for what is no property list, and for ids and challenges that are none.
pub fn read(content: &[u8]) -> Result<Attributes, PlistError> {
    let dict = parse_dict(content)?;
    let challenge = dict.find_string("CHALLENGE")?.filter(|text| !text.is_empty());
    Ok(Attributes {
        udid: dict.find_id("UDID")?,
        serial: dict.find_id("SERIAL")?,
        challenge: challenge.map(|text| Secret::new(text.to_owned())),
        kept: KEPT.iter().filter_map(|key| Some((*key, shown(&dict, key)?))).collect(),
    })
}

fn shown(dict: &Dict, key: &str) -> Option<String> {
    let text = match dict.get(key)? {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Boolean(flag) => flag.to_string(),
        _ => return None,
    };
    let clean: String = text.chars().filter(|c| !c.is_control()).collect();
    Some(clip(&clean, MAX_VALUE)).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::samples::{doc, strings};
    use super::*;

    #[test]
    fn reads_what_a_device_says_over_the_air() {
        let said = read(&doc(&strings(&[
            ("UDID", "0f0e0d0c0b0a09080706050403020100ffeeddcc"),
            ("SERIAL", "DLXJ00XXF196"),
            ("PRODUCT", "iPad2,5"),
            ("VERSION", "13G36"),
            ("CHALLENGE", "one-time"),
            ("NotOnConsole", "x"),
        ])))
        .unwrap();
        assert_eq!(said.name(), Some("0f0e0d0c0b0a09080706050403020100ffeeddcc"));
        assert_eq!(said.challenge.as_ref().unwrap().expose(), "one-time");
        assert_eq!(said.find("PRODUCT"), Some("iPad2,5"));
        assert_eq!(said.kept.len(), 4);
        assert!(!format!("{said:?}").contains("one-time"));
    }

    #[test]
    fn odd_values_are_cut_or_refused_and_never_believed() {
        let long = "x".repeat(9_000);
        let said = read(&doc(&strings(&[("DEVICE_NAME", &long), ("SERIAL", ""), ("CHALLENGE", "")]))).unwrap();
        assert_eq!(said.find("DEVICE_NAME").unwrap().len(), MAX_VALUE);
        assert!(said.name().is_none() && said.challenge.is_none());
        let integer = read(&doc("<key>IMEI</key><integer>35</integer><key>PRODUCT</key><array/>")).unwrap();
        assert_eq!((integer.find("IMEI"), integer.find("PRODUCT")), (Some("35"), None));
        for bad in ["<key>UDID</key><integer>1</integer>", "<key>CHALLENGE</key><true/>"] {
            assert!(read(&doc(bad)).is_err(), "{bad}");
        }
        assert!(read(&doc(&strings(&[("UDID", &long)]))).is_err());
        assert!(read(b"").is_err());
    }
}
