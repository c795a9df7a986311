//! `cordon status`: is all well, and how many devices are there.

use super::failure::Failure;
use super::reach::{Api, Call};
use super::table::{Facts, cell};
use super::voice::{Voice, plain};
use serde_json::Value;

pub fn run(api: &dyn Api, voice: &mut Voice<'_>) -> Result<(), Failure> {
    // Not well is an answer with a body of its own, not a refusal.
    let reply = api.call(&Call::get("/healthz"))?;
    let health: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let Some(ok) = health.get("ok").and_then(Value::as_bool) else {
        return Err(Failure::from_answer(reply.status, &reply.body));
    };
    let running = api.is_live();
    voice.show(&health, || words(&health, ok, running))?;
    let reasons: Vec<&str> = health["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if ok {
        Ok(())
    } else {
        Err(Failure::new("not-well", format!("something needs attention: {}", reasons.join("; "))))
    }
}

fn words(health: &Value, ok: bool, running: bool) -> String {
    let devices = &health["devices"];
    let mut facts = Facts::default();
    facts.add("Server", if running { "running" } else { "not running (this is read from the file)" });
    facts.add("Version", cell(health, "version"));
    facts.add("Well", if ok { "yes" } else { "no" });
    let enrolled = format!(
        "{} enrolled, {} enrolling, {} gone",
        cell(devices, "active"),
        cell(devices, "started"),
        cell(devices, "gone")
    );
    facts.add("Devices", enrolled);
    let reasons = health["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str);
    reasons.fold(facts.render(), |text, reason| text + &format!("- {}\n", plain(reason)))
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;
    use serde_json::json;

    #[test]
    fn well_and_not_well() {
        let health = |ok: bool, reasons: Value| json!({"ok": ok, "reasons": reasons, "devices": {"started": 1, "active": 24, "gone": 0}, "version": "0.1.0"});
        let fake = Fake::new(move |_| (200, health(true, json!([]))));
        let (done, out, _) = heard(false, |voice| run(&fake, voice));
        assert_eq!(done, Ok(()));
        assert!(out.contains("24 enrolled, 1 enrolling, 0 gone"), "{out}");
        let fake = Fake::new(move |_| (503, health(false, json!(["the disk is nearly full"]))));
        let (done, out, _) = heard(true, |voice| run(&fake, voice));
        assert!(done.unwrap_err().detail.contains("nearly full"));
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["ok"], false);
        let fake = Fake::new(|_| (500, json!({"detail": "inside"})));
        assert_eq!(heard(false, |voice| run(&fake, voice)).0.unwrap_err().detail, "inside");
    }
}
