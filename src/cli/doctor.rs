//! `cordon doctor`: looks at everything, lets a simulated device enrol, and says what to do.

use super::failure::Failure;
use super::reach::{Api, Call};
use super::table::cell;
use super::voice::{Voice, plain};
use serde_json::Value;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon doctor
  cordon doctor --json

Looks at database, disk, clock, names, ports, certificates and Apple's push service, and lets a simulated device enrol through the running
server; it is forgotten again, and nobody is told of it. Exit code 1 when something is wrong; warnings do not count.")]
pub struct Args {}

pub fn run(api: &dyn Api, _: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let told = api.json(&Call::post_json("/api/v1/doctor", &Value::Null))?;
    let findings: Vec<&Value> = told["findings"].as_array().into_iter().flatten().collect();
    voice.show(&told, || words(&findings))?;
    let bad: Vec<String> = findings.iter().filter(|f| f["verdict"] == "bad").map(|f| cell(f, "phase")).collect();
    if bad.is_empty() {
        Ok(())
    } else {
        Err(Failure::new("not-well", format!("something is wrong: {}", bad.join(", "))))
    }
}

fn words(findings: &[&Value]) -> String {
    let mut text = String::new();
    for finding in findings {
        let mark = match finding["verdict"].as_str() {
            Some("good") => "  ok ",
            Some("warning") => "  !  ",
            Some("skipped") => "  -  ",
            _ => " BAD ",
        };
        text.push_str(&format!("{mark}{:<13} {}\n", cell(finding, "phase"), plain(&cell(finding, "words"))));
        if let Some(next) = finding["next"].as_str() {
            text.push_str(&format!("     {:<13} → {}\n", "", plain(next)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_wrong_is_said_with_the_next_step_and_a_monitor_hears_it() {
        let finding = |phase: &str, verdict: &str, next: Value| json!({"phase": phase, "verdict": verdict, "words": "It is so.", "next": next});
        let report = |bad: &str| json!({"ok": bad != "bad", "findings": [finding("disk", "good", Value::Null), finding("push", bad, json!("Renew it."))]});
        let sick = report("bad");
        let fake = Fake::new(move |_| (200, sick.clone()));
        let (done, out, _) = heard(false, |voice| run(&fake, &Args {}, voice));
        assert!(done.unwrap_err().detail.contains("push"));
        assert!(out.contains("ok disk") && out.contains("BAD push") && out.contains("→ Renew it."), "{out}");
        let warned = report("warning");
        let fake = Fake::new(move |_| (200, warned.clone()));
        assert!(heard(false, |voice| run(&fake, &Args {}, voice)).0.is_ok());
    }
}
