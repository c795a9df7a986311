//! Between JSON and property lists: data is base64, dates are RFC 3339, and what is secret leaves only as `{"sealed": KIND}`.
//!
//! Called by the API (`from_json` for a command's keys) and by every view of a command or its result (`to_json`).

use super::{ArgError, ArgFault, KeySpec, Kind, arg_error, child, find, join, secret_kind};
use crate::plist::{Date, Dictionary, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json};
use std::time::SystemTime;

/// The keys of a command from the body of an API request. `RequestType` itself is skipped.
///
/// Types come from the schema; what it does not know is taken as it stands, so that newer keys and commands work (`check` reports them).
///
/// # Errors
/// [`ArgError`] names the key path.
pub fn from_json(request_type: &str, body: &Json) -> Result<Dictionary, ArgError> {
    let Json::Object(body) = body else { return Err(arg_error(request_type, ArgFault::Expected(Kind::Dictionary))) };
    let keys = find(request_type).map(|spec| spec.keys.as_slice()).unwrap_or_default();
    let mut dict = dictionary(keys, body, "")?;
    dict.remove("RequestType");
    Ok(dict)
}

/// A command's keys or its result as JSON for people and scripts, without secrets at any depth.
pub fn to_json(request_type: &str, dict: &Dictionary) -> Json {
    let member = |(key, value): (&String, &Value)| {
        let shown = match secret_kind(request_type, key) {
            // `PasswordChanged` and its like tell no secret; the names of secrets are exact, so this is only a second lock.
            Some(kind) if !matches!(value, Value::Boolean(_)) => serde_json::json!({ "sealed": kind }),
            _ => shown(request_type, value),
        };
        (key.clone(), shown)
    };
    Json::Object(dict.iter().map(member).collect())
}

fn shown(request_type: &str, value: &Value) -> Json {
    match value {
        Value::Array(items) => items.iter().map(|item| shown(request_type, item)).collect(),
        Value::Dictionary(dict) => to_json(request_type, dict),
        Value::Boolean(flag) => (*flag).into(),
        Value::Data(bytes) => STANDARD.encode(bytes).into(),
        Value::Date(date) => rfc_3339(*date).into(),
        Value::Integer(number) => {
            number.as_signed().map(Json::from).or_else(|| number.as_unsigned().map(Json::from)).into()
        }
        Value::Real(number) => (*number).into(),
        Value::String(text) => text.as_str().into(),
        Value::Uid(uid) => uid.get().into(),
        _ => Json::Null,
    }
}

pub(super) fn dictionary(keys: &[KeySpec], body: &Map<String, Json>, path: &str) -> Result<Dictionary, ArgError> {
    body.iter().map(|(name, json)| Ok((name.clone(), value(child(keys, name), json, &join(path, name))?))).collect()
}

fn value(spec: Option<&KeySpec>, json: &Json, path: &str) -> Result<Value, ArgError> {
    let Some(spec) = spec.filter(|spec| spec.kind != Kind::Any) else { return guess(json, path) };
    let found = match (spec.kind, json) {
        (Kind::Array, Json::Array(items)) => {
            let item = |(at, item): (usize, &Json)| {
                let name = item.get("Item").and_then(Json::as_str);
                value(spec.element(name), item, &join(path, &at.to_string()))
            };
            Some(Value::Array(items.iter().enumerate().map(item).collect::<Result<_, _>>()?))
        }
        (Kind::Dictionary, Json::Object(body)) => Some(Value::Dictionary(dictionary(&spec.children, body, path)?)),
        (Kind::Text, Json::String(text)) => Some(text.as_str().into()),
        (Kind::Boolean, Json::Bool(flag)) => Some((*flag).into()),
        (Kind::Integer, Json::Number(number)) => integer(number),
        (Kind::Real, Json::Number(number)) => number.as_f64().map(Value::from),
        (Kind::Data, Json::String(text)) => decode(text).map(Value::Data),
        (Kind::Date, Json::String(text)) => date(text).map(Value::Date),
        _ => None,
    };
    found.ok_or_else(|| arg_error(path, ArgFault::Expected(spec.kind)))
}

/// JSON without a schema. It has no data and no dates, and property lists have no null.
fn guess(json: &Json, path: &str) -> Result<Value, ArgError> {
    Ok(match json {
        Json::Null => return Err(arg_error(path, ArgFault::Expected(Kind::Any))),
        Json::Bool(flag) => (*flag).into(),
        Json::Number(number) => integer(number)
            .or_else(|| number.as_f64().map(Value::from))
            .ok_or_else(|| arg_error(path, ArgFault::Expected(Kind::Real)))?,
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => {
            let item = |(at, item): (usize, &Json)| guess(item, &join(path, &at.to_string()));
            Value::Array(items.iter().enumerate().map(item).collect::<Result<_, _>>()?)
        }
        Json::Object(body) => Value::Dictionary(dictionary(&[], body, path)?),
    })
}

fn integer(number: &serde_json::Number) -> Option<Value> {
    number.as_i64().map(Value::from).or_else(|| number.as_u64().map(Value::from))
}

/// Base64 with any white space in it.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let compact: String = text.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
    STANDARD.decode(compact).ok()
}

/// An RFC 3339 date of the years 1 to 9999; others cannot be written into a property list.
pub(super) fn date(text: &str) -> Option<Date> {
    let at: jiff::Timestamp = text.parse().ok()?;
    (-62_135_596_800..253_402_300_800).contains(&at.as_second()).then(|| SystemTime::from(at).into())
}

/// Not by the plist crate's own formatter, which panics on years that a device can make up with a time zone.
fn rfc_3339(date: Date) -> Option<String> {
    jiff::Timestamp::try_from(SystemTime::from(date)).ok().map(|at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plist::parse_dict;
    use crate::protocol::samples::doc;
    use serde_json::json;

    #[test]
    fn json_to_typed_keys_and_back() {
        let body = json!({
            "RequestType": "InstallApplication",
            "iTunesStoreID": 361309726,
            "Options": {"PurchaseMethod": 1},
            "Attributes": {"AssociatedDomains": ["a", "b"], "Removable": false},
            "Configuration": {"anything": [1, 2.5, "x", {"y": true}]},
        });
        let dict = from_json("InstallApplication", &body).unwrap();
        let mut wanted = body.clone();
        wanted.as_object_mut().unwrap().remove("RequestType");
        assert_eq!(to_json("InstallApplication", &dict), wanted);
    }

    #[test]
    fn data_and_dates_by_schema_type() {
        let dict = from_json("InstallProfile", &json!({"Payload": "AQID"})).unwrap();
        assert_eq!(dict.get("Payload"), Some(&Value::Data(vec![1, 2, 3])));
        let image = json!({"Settings": [{"Item": "Wallpaper", "Image": "AQID", "Where": 1}]});
        let dict = from_json("Settings", &image).unwrap();
        let item = dict.get("Settings").and_then(Value::as_array).and_then(|a| a[0].as_dictionary()).unwrap();
        assert_eq!(item.get("Image"), Some(&Value::Data(vec![1, 2, 3])));
        let result = parse_dict(&doc("<key>LastCloudBackupDate</key><date>2024-11-02T10:00:00Z</date>")).unwrap();
        assert_eq!(
            to_json("DeviceInformation", result.as_dictionary()),
            json!({"LastCloudBackupDate": "2024-11-02T10:00:00Z"})
        );
    }

    #[test]
    fn newer_commands_and_keys_pass_through() {
        let dict = from_json("TomorrowsCommand", &json!({"A": [1, "b", {"c": false}]})).unwrap();
        assert_eq!(to_json("TomorrowsCommand", &dict), json!({"A": [1, "b", {"c": false}]}));
        assert!(from_json("DeviceLock", &json!({"Tomorrow": 1})).is_ok());
    }

    #[test]
    fn wrong_types_name_the_path() {
        let fault = |request_type, body| from_json(request_type, &body).unwrap_err().to_string();
        assert_eq!(fault("InstallProfile", json!({"Payload": "***"})), "Payload: not data in base64");
        assert_eq!(fault("DeviceLock", json!({"PIN": 123456})), "PIN: not of type string");
        assert_eq!(fault("DeviceInformation", json!({"Queries": ["UDID", 1]})), "Queries.1: not of type string");
        assert_eq!(
            fault("InstallApplication", json!({"Options": {"PurchaseMethod": "1"}})),
            "Options.PurchaseMethod: not of type integer"
        );
        assert!(from_json("DeviceLock", &json!({"Tomorrow": null})).is_err());
        assert!(from_json("DeviceLock", &json!([])).is_err());
    }

    #[test]
    fn secrets_never_show_at_any_depth() {
        let hidden =
            |request_type, inner: &str| to_json(request_type, parse_dict(&doc(inner)).unwrap().as_dictionary());
        let sealed = |kind: &str| json!({ "sealed": kind });
        assert_eq!(hidden("DeviceLock", "<key>PIN</key><string>123456</string>")["PIN"], sealed("lock-pin"));
        assert_eq!(
            hidden("ClearPasscode", "<key>UnlockToken</key><data>AQ==</data>")["UnlockToken"],
            sealed("unlock-token")
        );
        let info = hidden(
            "SecurityInfo",
            "<key>SecurityInfo</key><dict><key>FDE_Enabled</key><true/><key>FDE_PersonalRecoveryKeyCMS</key><data>AQ==</data></dict>",
        );
        assert_eq!(
            info,
            json!({"SecurityInfo": {"FDE_Enabled": true, "FDE_PersonalRecoveryKeyCMS": {"sealed": "filevault-key"}}})
        );
        let accounts = "<key>AutoSetupAdminAccounts</key><array><dict><key>shortName</key><string>a</string>\
                        <key>passwordHash</key><data>AQ==</data></dict></array>";
        assert_eq!(
            hidden("AccountConfiguration", accounts)["AutoSetupAdminAccounts"][0]["passwordHash"],
            sealed("password")
        );
        let changed = "<key>SetFirmwarePassword</key><dict><key>PasswordChanged</key><true/></dict>";
        assert_eq!(hidden("SetFirmwarePassword", changed), json!({"SetFirmwarePassword": {"PasswordChanged": true}}));
    }

    #[test]
    fn no_date_can_panic() {
        for text in [
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "0000-01-01T00:00:00+23:59",
            "9999-12-31T23:59:59-23:59",
            "1e9",
        ] {
            if let Ok(dict) = parse_dict(&doc(&format!("<key>D</key><date>{text}</date>"))) {
                to_json("DeviceInformation", dict.as_dictionary());
            }
        }
        assert!(date("-000001-01-01T00:00:00Z").is_none());
        assert!(date("2026-09-01T07:30:00+02:00").is_some());
    }
}
