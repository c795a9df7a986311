//! Command property lists: made here once, frozen by the store, sent byte for byte until answered; and the reading of raw ones from admins.
//!
//! Called by `service::commands` and the simulator. Whether the keys make sense is the `catalogue`'s question.

use super::clip;
use crate::base::ids::CommandUuid;
use crate::plist::{Dictionary, PlistError, Value, parse_dict, to_xml};

/// Longest `RequestType`; Apple's are below 40 characters.
const MAX_REQUEST_TYPE: usize = 128;

/// The bytes of one command: `{Command: {RequestType, …keys}, CommandUUID}`. The same arguments give the same bytes.
///
/// A `RequestType` among `keys` is ignored.
pub fn encode(uuid: &CommandUuid, request_type: &str, keys: &Dictionary) -> Vec<u8> {
    let mut command = Dictionary::new();
    command.insert("RequestType".to_owned(), request_type.into());
    for (key, value) in keys.iter().filter(|(key, _)| *key != "RequestType") {
        command.insert(key.clone(), value.clone());
    }
    let mut top = Dictionary::new();
    top.insert("Command".to_owned(), Value::Dictionary(command));
    top.insert("CommandUUID".to_owned(), uuid.as_str().into());
    to_xml(&Value::Dictionary(top))
}

/// Why bytes are no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("{0}")]
    Plist(#[from] PlistError),
    #[error("there is no RequestType")]
    NoRequestType,
    #[error("the RequestType {0:?} is not a name")]
    BadRequestType(String),
}

/// Reads a command: the whole property list with `Command` and perhaps `CommandUUID`, or only the dictionary with `RequestType`.
///
/// Returns the CommandUUID if there is one, the RequestType, and the other keys of the command.
///
/// # Errors
/// [`CommandError`] for anything without a usable `RequestType`.
pub fn parse_raw(bytes: &[u8]) -> Result<(Option<CommandUuid>, String, Dictionary), CommandError> {
    let top = parse_dict(bytes)?;
    let uuid = top.find_id("CommandUUID")?;
    let command = top.find_dict("Command")?.unwrap_or(top);
    let request_type = command.find_string("RequestType")?.ok_or(CommandError::NoRequestType)?.to_owned();
    let good = request_type.len() <= MAX_REQUEST_TYPE
        && request_type.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if !good || request_type.is_empty() {
        return Err(CommandError::BadRequestType(clip(&request_type, 64)));
    }
    let mut keys = command.into_dictionary();
    keys.remove("RequestType");
    keys.remove("CommandUUID");
    Ok((uuid, request_type, keys))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::samples::{doc, strings};

    #[test]
    fn the_bytes_are_stable_and_read_back() {
        let uuid: CommandUuid = "AAAAAAAA-0000-4000-8000-000000000001".parse().unwrap();
        let mut keys = Dictionary::new();
        keys.insert("Message".into(), "a < b & \"c\"".into());
        keys.insert("Payload".into(), Value::Data(vec![0; 100]));
        keys.insert("RequestType".into(), "EraseDevice".into());
        let bytes = encode(&uuid, "DeviceLock", &keys);
        assert_eq!(bytes, encode(&uuid, "DeviceLock", &keys));
        let (read, request_type, back) = parse_raw(&bytes).unwrap();
        keys.remove("RequestType");
        assert_eq!((read, request_type.as_str(), back), (Some(uuid), "DeviceLock", keys));
    }

    #[test]
    fn exact_text_of_a_command_without_keys() {
        let uuid: CommandUuid = "C-1".parse().unwrap();
        let wanted = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
                      \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\">\n<dict>\n\t<key>Command</key>\n\t<dict>\n\t\t\
                      <key>RequestType</key>\n\t\t<string>ProfileList</string>\n\t</dict>\n\t<key>CommandUUID</key>\n\t<string>C-1</string>\n\
                      </dict>\n</plist>";
        assert_eq!(String::from_utf8(encode(&uuid, "ProfileList", &Dictionary::new())).unwrap(), wanted);
    }

    #[test]
    fn raw_commands_with_and_without_their_envelope() {
        let bare = parse_raw(&doc(&strings(&[("RequestType", "DeviceLock"), ("PIN", "123456")]))).unwrap();
        assert_eq!((bare.0, bare.1.as_str(), bare.2.len()), (None, "DeviceLock", 1));
        assert_eq!(parse_raw(&doc("")), Err(CommandError::NoRequestType));
        assert_eq!(parse_raw(&doc("<key>Command</key><dict></dict>")), Err(CommandError::NoRequestType));
        assert!(matches!(parse_raw(&doc("<key>Command</key><string>x</string>")), Err(CommandError::Plist(_))));
        for bad in ["", "Device Lock", &"x".repeat(200)] {
            assert!(
                matches!(parse_raw(&doc(&strings(&[("RequestType", bad)]))), Err(CommandError::BadRequestType(_))),
                "{bad}"
            );
        }
    }
}
