//! `cordon retention`: how long things are kept.

use super::failure::Failure;
use super::reach::{Api, Call};
use super::table::field;
use super::voice::Voice;
use clap::Subcommand;
use serde_json::json;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// How long answers, stories and the log of webhooks are kept
    #[command(after_help = "Examples:
  cordon retention show
  cordon retention show --json")]
    Show,
    /// Keep them longer or shorter
    Set(SetArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon retention set --results-days 30
  cordon retention set --results-days 90 --timeline-days 400 --webhook-log-days 30

What is too old by then goes within some minutes and does not come back. Commands themselves are purged when they are finished;
the audit, secrets in custody and certificates are kept for ever.")]
#[group(required = true, multiple = true)]
struct SetArgs {
    /// What devices answered
    #[arg(long, value_name = "DAYS")]
    results_days: Option<i64>,
    /// Stories of devices, and that there were commands
    #[arg(long, value_name = "DAYS")]
    timeline_days: Option<i64>,
    /// What webhooks were told, and how it went
    #[arg(long, value_name = "DAYS")]
    webhook_log_days: Option<i64>,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let call = match &args.verb {
        Verb::Show => Call::get("/api/v1/retention"),
        Verb::Set(args) => {
            let said = [
                ("results_days", args.results_days),
                ("timeline_days", args.timeline_days),
                ("webhook_log_days", args.webhook_log_days),
            ];
            let body: serde_json::Map<_, _> =
                said.into_iter().filter_map(|(key, days)| Some((key.to_owned(), json!(days?)))).collect();
            Call::patch_json("/api/v1/retention", &body.into())
        }
    };
    let kept = api.json(&call)?;
    voice.show(&kept, || {
        let [results, timeline, log] =
            ["results_days", "timeline_days", "webhook_log_days"].map(|key| field(&kept, key));
        format!("Answers of devices: {results} days\nStories of devices: {timeline} days\nLog of webhooks: {log} days")
    })
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;
    use serde_json::Value;

    #[test]
    fn only_what_is_said_is_changed() {
        let fake = Fake::new(|_| (200, json!({"results_days": 30, "timeline_days": 400, "webhook_log_days": 30})));
        let set = SetArgs { results_days: Some(30), timeline_days: None, webhook_log_days: None };
        let (done, out, _) = heard(false, |voice| run(&fake, &Args { verb: Verb::Set(set) }, voice));
        assert!(done.is_ok() && out.contains("Answers of devices: 30 days"), "{out}");
        let asked = fake.last();
        assert_eq!((asked.method, asked.target.as_str()), ("PATCH", "/api/v1/retention"));
        assert_eq!(serde_json::from_slice::<Value>(&asked.body).unwrap(), json!({"results_days": 30}));
    }
}
