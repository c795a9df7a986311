//! What profiles, pairs, provisioning profiles and accounts have in common: they are given to somebody and taken back, they leave every device
//! when they are removed, and the server notes what is worth knowing about that.

use super::failure::Failure;
use super::reach::{Api, Call};
use super::table::{cell, field};
use super::voice::Voice;
use serde_json::{Value, json};

/// What the server found worth knowing.
pub fn advise(one: &Value, voice: &mut Voice<'_>) {
    for note in one["notes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        voice.advise(note);
    }
}

/// Gives the one at `path` to somebody or takes it back. `verb` is `assign` or `unassign`; `units` is what it is on its way to, where that is
/// counted.
///
/// # Errors
/// As [`Api::call`], and the server's own.
pub fn assign(
    api: &dyn Api,
    path: &str,
    verb: &str,
    wish: &Value,
    units: Option<&str>,
    voice: &mut Voice<'_>,
) -> Result<(), Failure> {
    let one = api.json(&Call::post_json(format!("{path}/{verb}"), wish))?;
    voice.show(&one, || {
        let state = if verb == "assign" { "is assigned" } else { "is not assigned so any more" };
        let way = units.map(|units| format!("; on its way to {} {units}", cell(&one, "waiting")));
        format!("“{}” {state}{}.", field(&one, "name"), way.unwrap_or_default())
    })?;
    advise(&one, voice);
    Ok(())
}

/// Removes the one at `path`; `said` is what the person called it.
///
/// # Errors
/// As [`assign`].
pub fn remove(api: &dyn Api, path: String, said: &str, voice: &mut Voice<'_>) -> Result<(), Failure> {
    api.bytes(&Call::delete(path))?;
    voice.show(&json!({ "removed": said }), || String::from("It is removed, and leaves every device that has it."))
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    #[test]
    fn what_is_counted_is_said_and_nothing_else() {
        let fake = Fake::new(|_| (200, json!({ "name": "Mail", "waiting": 2, "notes": ["Two accounts."] })));
        let say = |verb, units| heard(false, |voice| assign(&fake, "/x", verb, &json!({}), units, voice));
        let (done, out, err) = say("assign", Some("device(s)"));
        assert_eq!((done, out.as_str()), (Ok(()), "“Mail” is assigned; on its way to 2 device(s).\n"));
        assert!(err.contains("Two accounts."), "{err}");
        assert_eq!(say("unassign", None).1, "“Mail” is not assigned so any more.\n");
        assert_eq!(fake.last().target, "/x/unassign");
    }
}
