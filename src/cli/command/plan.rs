//! What a command line means: RequestType and `KEY=VALUE` text become the property list that is sent, before anything is asked of a
//! server. Files are read here (`@FILE` for data, `--plist`), and dangerous commands are known here.

use crate::base::limits::MAX_COMMAND;
use crate::cli::failure::Failure;
use crate::cli::files;
use crate::cli::nearest::nearest;
use crate::plist::{Value, to_xml};
use crate::protocol::catalogue::{self, ArgFault, KeySpec, Kind};
use crate::protocol::command;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::path::Path;

/// What is asked before it is sent, because it cannot be undone from here.
const DANGERS: [(&str, &str); 13] = [
    ("EraseDevice", "erases everything on the device"),
    ("DeviceLock", "locks the device; a Mac then needs the PIN that was sent"),
    (
        "ClearPasscode",
        "leaves the device without a passcode, so whoever holds it gets in, and switches Data Protection off until a new one is set",
    ),
    ("ClearRestrictionsPassword", "takes the restrictions' password away"),
    ("RemoveProfile", "removes a profile, perhaps the one that manages the device"),
    ("RemoveApplication", "takes an app off the device, with what it kept there"),
    ("ClearActivationLockBypassCode", "makes the device forget the code that opens its Activation Lock"),
    ("RotateFileVaultKey", "replaces the recovery key that opens the Mac's disk"),
    ("DeleteUser", "deletes a user with all their data"),
    ("DisableLostMode", "ends lost mode"),
    ("SetFirmwarePassword", "sets or clears the firmware password"),
    ("SetRecoveryLock", "sets or clears the recovery lock"),
    ("SetAutoAdminPassword", "changes the administrator's password"),
];

/// A command, ready to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub request_type: String,
    /// XML property list: only the command, or with its envelope as it was in the file.
    pub body: Vec<u8>,
    /// Built by the schema, so the server may hold it to the schema; what comes from a file goes as it is.
    pub checked: bool,
}

impl Plan {
    /// From `KEY=VALUE` pairs, typed by Apple's schema.
    ///
    /// # Errors
    /// Wrong usage naming the key; a file that cannot be read.
    pub fn from_pairs(request_type: &str, pairs: &[(String, String)]) -> Result<Plan, Failure> {
        let Some(spec) = catalogue::find(request_type) else { return Err(unknown(request_type)) };
        let pairs: Vec<(String, String)> = pairs
            .iter()
            .map(|(key, value)| Ok((key.clone(), with_file(&spec.keys, key, value)?)))
            .collect::<Result<_, Failure>>()?;
        let keys = catalogue::build(request_type, &pairs).map_err(|error| {
            let near = match (&error.fault, pairs.iter().find(|(key, _)| *key == error.path)) {
                (ArgFault::UnknownKey(known), Some((key, _))) => nearest(key, known.iter().copied()),
                _ => None,
            };
            let near = near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
            Failure::usage(format!("{error}{near}. `cordon command types {request_type}` shows all keys."))
        })?;
        let mut dictionary = keys;
        dictionary.insert(String::from("RequestType"), request_type.into());
        Ok(Plan { request_type: request_type.to_owned(), body: to_xml(&Value::Dictionary(dictionary)), checked: true })
    }

    /// From a property list as it is: the whole command with its envelope, or only the dictionary with RequestType.
    ///
    /// # Errors
    /// When it is no command, or another one than `said`.
    pub fn from_plist(file: &Path, said: Option<&str>) -> Result<Plan, Failure> {
        let body = files::read(file, MAX_COMMAND)?;
        let (_, request_type, _) = command::parse_raw(&body)
            .map_err(|error| Failure::new("bad-plist", format!("{}: {error}", file.display())))?;
        if let Some(said) = said.filter(|said| *said != request_type) {
            return Err(Failure::usage(format!("{} holds a {request_type}, not a {said}", file.display())));
        }
        Ok(Plan { request_type, body, checked: false })
    }

    /// What it does that cannot be undone, as the rest of a sentence.
    pub fn danger(&self) -> Option<&'static str> {
        DANGERS.iter().find(|(name, _)| *name == self.request_type).map(|(_, words)| *words)
    }
}

/// `KEY=VALUE`, cut at the first `=`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(String::from("not KEY=VALUE, such as Queries=SerialNumber")),
    }
}

fn unknown(request_type: &str) -> Failure {
    let near = nearest(request_type, catalogue::list().iter().map(|spec| spec.request_type));
    let near = near.map(|near| format!(" Did you mean {near}?")).unwrap_or_default();
    Failure::usage(format!(
        "{request_type} is not a command of Apple's that is known here.{near} `cordon command types` lists them; a newer one can be sent with --plist FILE."
    ))
}

/// The value, or for keys of type data the content of `@FILE` in base64. Elsewhere `@` is a letter like others.
pub fn with_file(keys: &[KeySpec], key: &str, value: &str) -> Result<String, Failure> {
    match value.strip_prefix('@') {
        Some(file) if takes_data(keys, &key.split('.').collect::<Vec<_>>()) => {
            Ok(STANDARD.encode(files::read(Path::new(file), MAX_COMMAND)?))
        }
        _ => Ok(value.to_owned()),
    }
}

/// Whether a path of keys ends in data, by any of the shapes that the schema allows there.
fn takes_data(keys: &[KeySpec], path: &[&str]) -> bool {
    let Some((name, rest)) = path.split_first() else { return false };
    keys.iter().filter(|key| !key.is_element && key.key == *name).any(|key| value_takes_data(key, rest))
}

fn value_takes_data(key: &KeySpec, rest: &[&str]) -> bool {
    let mut elements = key.children.iter().filter(|child| child.is_element);
    match (key.kind, rest) {
        (Kind::Data, []) => true,
        (Kind::Array, []) => elements.any(|element| element.kind == Kind::Data),
        (Kind::Array, [first, after @ ..]) => {
            let rest = if first.parse::<usize>().is_ok() { after } else { rest };
            elements.any(|element| value_takes_data(element, rest))
        }
        (Kind::Dictionary, rest) => takes_data(&key.children, rest),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::failure::{FAILED, USAGE};
    use serde_json::json;

    fn plan(request_type: &str, pairs: &[&str]) -> Result<Plan, Failure> {
        let pairs: Vec<_> = pairs.iter().map(|text| pair(text).unwrap()).collect();
        Plan::from_pairs(request_type, &pairs)
    }

    fn keys(plan: &Plan) -> serde_json::Value {
        let (uuid, request_type, keys) = command::parse_raw(&plan.body).unwrap();
        assert_eq!((uuid, &request_type), (None, &plan.request_type));
        catalogue::to_json("", &keys)
    }

    #[test]
    fn pairs_become_typed_keys_and_the_server_mints_the_uuid() {
        let info = plan("DeviceInformation", &["Queries=SerialNumber", "Queries=OSVersion"]).unwrap();
        assert_eq!(keys(&info), json!({"Queries": ["SerialNumber", "OSVersion"]}));
        assert!(info.checked && info.danger().is_none());
        let app = plan("InstallApplication", &["iTunesStoreID=361309726", "Options.PurchaseMethod=1"]).unwrap();
        assert_eq!(keys(&app), json!({"iTunesStoreID": 361_309_726, "Options": {"PurchaseMethod": 1}}));
        assert_eq!(keys(&plan("ProfileList", &[]).unwrap()), json!({}));
    }

    #[test]
    fn files_are_read_where_data_belongs_and_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.mobileconfig");
        std::fs::write(&file, [1, 2, 3]).unwrap();
        let at = file.display();
        assert_eq!(keys(&plan("InstallProfile", &[&format!("Payload=@{at}")]).unwrap()), json!({"Payload": "AQID"}));
        assert_eq!(keys(&plan("DeviceLock", &["Message=@home"]).unwrap()), json!({"Message": "@home"}));
        assert_eq!(plan("InstallProfile", &["Payload=@/no/such/file"]).unwrap_err().exit_code(), FAILED);
    }

    #[test]
    fn wrong_words_name_the_right_ones() {
        let table = [
            ("Devicelock", &[][..], "Did you mean DeviceLock?"),
            ("Zzzzzzzzzzzzzzzz", &[], "--plist FILE"),
            ("DeviceLock", &["Mesage=x"], "(did you mean Message?)"),
            ("InstallApplication", &["iTunesStoreID=x"], "iTunesStoreID: not of type integer"),
        ];
        for (request_type, pairs, wanted) in table {
            let failure = plan(request_type, pairs).unwrap_err();
            assert!(failure.detail.contains(wanted), "{failure}");
            assert_eq!(failure.exit_code(), USAGE);
        }
        assert!(pair("PIN").is_err() && pair("=x").is_err());
        assert_eq!(pair("A=b=c"), Ok(("A".into(), "b=c".into())));
    }

    #[test]
    fn plists_go_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("erase.plist");
        let text = b"<?xml version=\"1.0\"?><plist version=\"1.0\"><dict><key>RequestType</key><string>EraseDevice</string></dict></plist>";
        std::fs::write(&file, text).unwrap();
        let erase = Plan::from_plist(&file, None).unwrap();
        assert_eq!((erase.body.as_slice(), erase.checked), (text.as_slice(), false));
        assert!(erase.danger().unwrap().contains("erases everything"));
        assert_eq!(Plan::from_plist(&file, Some("EraseDevice")).unwrap(), erase);
        assert_eq!(Plan::from_plist(&file, Some("DeviceLock")).unwrap_err().exit_code(), USAGE);
        std::fs::write(&file, b"no").unwrap();
        assert_eq!(Plan::from_plist(&file, None).unwrap_err().id, "bad-plist");
    }

    #[test]
    fn every_danger_is_a_command() {
        for (name, _) in DANGERS {
            assert!(catalogue::find(name).is_some(), "{name}");
        }
    }
}
