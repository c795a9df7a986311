//! `cordon device fields` and `cordon user fields`: what the school knows beside the rest, as variables of profiles.

use super::command::plan::pair;
use super::failure::Failure;
use super::reach::{Api, Call};
use super::table::Facts;
use super::voice::Voice;
use serde_json::{Map, Value, json};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon device fields DMPXXXXX room=12 cart=B
  cordon device fields DMPXXXXX cart=
  cordon user fields ada locker=311
  cordon user fields ada

A profile has them as {{device.room}} or {{user.locker}}. An empty value takes a field away. They are no place for passwords.")]
pub struct FieldsArgs {
    /// Whose: a device by id, UDID or serial number; a person by short name or id
    #[arg(value_name = "WHO")]
    who: String,
    /// Fields to set; without any they are shown
    #[arg(value_name = "NAME=VALUE", value_parser = pair)]
    pairs: Vec<(String, String)>,
}

/// `noun` is the API's: devices or users.
pub fn run(api: &dyn Api, noun: &str, args: &FieldsArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let path = format!("/api/v1/{noun}/{}/fields", super::reach::escape(&args.who));
    let fields = if args.pairs.is_empty() {
        api.json(&Call::get(path))?
    } else {
        let value = |text: &String| if text.is_empty() { Value::Null } else { json!(text) };
        let wish: Map<String, Value> = args.pairs.iter().map(|(name, text)| (name.clone(), value(text))).collect();
        api.json(&Call::patch_json(path, &Value::Object(wish)))?
    };
    voice.show(&fields, || {
        let mut facts = Facts::default();
        for (name, value) in fields.as_object().into_iter().flatten() {
            facts.add(name, value.as_str().unwrap_or_default());
        }
        facts.render()
    })?;
    if fields.as_object().is_none_or(Map::is_empty) {
        voice.advise("There are no fields.");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    #[test]
    fn an_empty_value_takes_a_field_away() {
        let fake = Fake::new(|_| (200, json!({ "room": "12" })));
        let pairs = vec![("room".to_owned(), "12".to_owned()), ("cart".to_owned(), String::new())];
        let args = FieldsArgs { who: "a b".into(), pairs };
        let (done, out, _) = heard(false, |voice| run(&fake, "devices", &args, voice));
        assert_eq!(done, Ok(()));
        assert!(out.contains("room") && out.contains("12"), "{out}");
        let sent: Value = serde_json::from_slice(&fake.last().body).unwrap();
        assert_eq!(sent, json!({ "room": "12", "cart": null }));
        assert_eq!(fake.last().target, "/api/v1/devices/a%20b/fields");
    }
}
