//! One command for many devices: `cordon command send --group|--all`, with a bar while devices answer, and `cordon command bulk` for what
//! was asked before.

use super::WaitArgs;
use super::plan::Plan;
use crate::base::time::Timestamp;
use crate::cli::failure::Failure;
use crate::cli::moment::told_field;
use crate::cli::reach::{Api, Call, escape};
use crate::cli::table::{Table, cell, field};
use crate::cli::voice::Voice;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// What was asked of many devices, newest first
    List(ListArgs),
    /// One of them: how far it is, and what became of it for each device
    Show(ShowArgs),
    /// Take back what no device has been given yet
    Cancel(CancelArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon command bulk list
  cordon command bulk list --json")]
struct ListArgs {
    /// Show at most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon command bulk show bulk-4k7qx2mn
  cordon command bulk show bulk-4k7qx2mn --wait --timeout 600

With --wait it stays until every device has answered; exit code 1 unless all acknowledged.")]
struct ShowArgs {
    /// As `cordon command send` said it
    id: String,
    #[command(flatten)]
    wait: WaitArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon command bulk cancel bulk-4k7qx2mn")]
struct CancelArgs {
    /// As `cordon command send` said it
    id: String,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::List(args) => list(api, args, voice),
        Verb::Show(args) => {
            can_wait(api, &args.wait)?;
            let view = watch(api, &args.id, &args.wait, voice)?;
            report(api, &view, &args.wait, voice)
        }
        Verb::Cancel(args) => {
            let view = api.json(&Call::delete(path(&args.id)))?;
            voice.show(&view, || format!("Taken back where it could be. {}", counts(&view)))
        }
    }
}

fn path(id: &str) -> String {
    format!("/api/v1/bulk/{}", escape(id))
}

fn list(api: &dyn Api, args: &ListArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let (items, next) = api.list(&Call::get("/api/v1/bulk"), Some(args.limit as usize))?;
    let now = voice.now();
    voice.show(&json!({ "items": items, "next_cursor": next }), || {
        let mut table = Table::new(&["ID", "TYPE", "TO", "BY", "ASKED"]);
        for item in &items {
            let asked = told_field(&item["created_at"], now);
            table.row([
                cell(item, "id"),
                cell(item, "RequestType"),
                cell(item, "whom"),
                cell(item, "created_by"),
                asked,
            ]);
        }
        if items.is_empty() { String::new() } else { table.render() }
    })
}

/// Which devices, and when.
pub struct Asked<'a> {
    /// `None`: all.
    pub group: Option<&'a str>,
    pub not_before: Option<Timestamp>,
    pub expires: Option<Timestamp>,
}

/// Sends it to all of them; with `--wait` it stays until they have answered.
pub fn send(
    api: &dyn Api,
    plan: &Plan,
    asked: &Asked<'_>,
    wait: &WaitArgs,
    voice: &mut Voice<'_>,
) -> Result<(), Failure> {
    can_wait(api, wait)?;
    let call = Call::post("/api/v1/bulk", "application/xml", plan.body.clone())
        .with("checked", plan.checked.then_some("true"))
        .with("group", asked.group)
        .with("all", asked.group.is_none().then_some("true"))
        .with("not_before", asked.not_before.map(|at| at.to_string()))
        .with("expires_at", asked.expires.map(|at| at.to_string()));
    let sent = api.json(&call)?;
    let id = field(&sent, "id");
    if wait.wait {
        voice.advise(&format!("{} is asked of {} device(s) as {id}.", plan.request_type, cell(&sent, "total")));
        let view = watch(api, &id, wait, voice)?;
        return report(api, &view, wait, voice);
    }
    voice.show(&sent, || {
        let total = cell(&sent, "total");
        format!(
            "{} is asked of {total} device(s) as {id}. How far it is: cordon command bulk show {id}",
            plan.request_type
        )
    })?;
    super::send::owed(api, voice);
    Ok(())
}

/// Where no server runs one would wait for ever.
fn can_wait(api: &dyn Api, wait: &WaitArgs) -> Result<(), Failure> {
    if wait.wait && !api.is_live() {
        return Err(Failure::new("no-server", "no server is running, so no device can answer: leave --wait out"));
    }
    Ok(())
}

/// How far it is; with `--wait`, when every device is through or the time is over.
fn watch(api: &dyn Api, id: &str, wait: &WaitArgs, voice: &Voice<'_>) -> Result<Value, Failure> {
    let started = Instant::now();
    let limit = wait.timeout.map(|seconds| Duration::from_secs(seconds.into()));
    // Hidden by itself where stderr is no terminal.
    let bar = if voice.on_screen && wait.wait { ProgressBar::new(1) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    loop {
        let view = api.json(&Call::get(path(id)))?;
        let (done, total) = (view["done"].as_u64().unwrap_or(0), view["total"].as_u64().unwrap_or(0));
        bar.set_length(total);
        bar.set_position(done);
        bar.set_message(counts(&view));
        if !wait.wait || done >= total || limit.is_some_and(|limit| started.elapsed() >= limit) {
            bar.finish_and_clear();
            return Ok(view);
        }
        std::thread::sleep(limit.map_or(LOOK, |limit| LOOK.min(limit.saturating_sub(started.elapsed()))));
    }
}

/// `12 Acknowledged, 1 refused`.
fn counts(view: &Value) -> String {
    let one = |(state, n): (&String, &Value)| format!("{n} {state}");
    view["counts"].as_object().into_iter().flatten().map(one).collect::<Vec<_>>().join(", ")
}

/// The result of each device, and with `--wait` the verdict.
fn report(api: &dyn Api, view: &Value, wait: &WaitArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let (items, _) = api.list(&Call::get(format!("{}/items", path(&field(view, "id")))), None)?;
    let mut whole = view.clone();
    whole["items"] = json!(items);
    voice.show(&whole, || {
        let mut table = Table::new(&["DEVICE", "STATE", "COMMAND", "WHY"]);
        for item in &items {
            let device = ["name", "serial", "device"].into_iter().map(|key| field(item, key)).find(|t| !t.is_empty());
            let error = &item["error_chain"][0];
            let said = error["USEnglishDescription"].as_str().or(error["LocalizedDescription"].as_str());
            let why = item["refused"].as_str().or(said).unwrap_or_default().to_owned();
            table.row([device.unwrap_or_default(), cell(item, "state"), cell(item, "command_uuid"), why]);
        }
        let (done, total) = (cell(view, "done"), cell(view, "total"));
        format!("{}\n{done} of {total} device(s) are through: {}.", table.render(), counts(view))
    })?;
    if wait.wait && items.iter().any(|item| item["state"] != "Acknowledged") {
        return Err(Failure::new("not-acknowledged", "not every device acknowledged it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::reach::fake::{Fake, heard};

    fn answers(last: &'static str) -> Fake {
        Fake::new(move |call| {
            let item = |name: &str, state: &str| json!({"device": "d", "name": name, "state": state, "command_uuid": "U", "refused": null, "error_chain": null});
            if call.target.contains("/items") {
                return (
                    200,
                    json!({"items": [item("iPad 1", "Acknowledged"), item("iPad 2", last)], "next_cursor": null}),
                );
            }
            (201, json!({"id": "bulk-1", "done": 2, "total": 2, "counts": {"Acknowledged": 2}}))
        })
    }

    #[test]
    fn a_group_is_asked_and_waited_for() {
        let plan = Plan::from_pairs("ProfileList", &[]).unwrap();
        let asked = Asked { group: Some("7 b"), not_before: None, expires: None };
        let wait = WaitArgs { wait: true, timeout: None };
        let fake = answers("Acknowledged");
        let (done, out, _) = heard(false, |voice| send(&fake, &plan, &asked, &wait, voice));
        assert!(done.is_ok() && out.contains("iPad 2") && out.contains("2 of 2"), "{out}");
        assert_eq!(fake.asked.borrow()[0].target, "/api/v1/bulk?checked=true&group=7%20b");
        let (done, ..) = heard(false, |voice| send(&answers("Error"), &plan, &asked, &wait, voice));
        assert_eq!(done.unwrap_err().id, "not-acknowledged");
        // Without a server nobody answers: that is said instead of waiting for ever, of an old one as of a new one.
        let mut still = answers("Queued");
        still.live = false;
        let (done, ..) = heard(false, |voice| send(&still, &plan, &asked, &wait, voice));
        assert_eq!(done.unwrap_err().id, "no-server");
        let args = Args { verb: Verb::Show(ShowArgs { id: "bulk-1".into(), wait }) };
        let (done, ..) = heard(false, |voice| run(&still, &args, voice));
        assert_eq!((done.unwrap_err().id.as_str(), still.asked.borrow().len()), ("no-server", 0));
        let all = Asked { group: None, ..asked };
        let fake = answers("Error");
        let (done, out, _) = heard(false, |voice| send(&fake, &plan, &all, &WaitArgs::default(), voice));
        assert!(done.is_ok() && out.contains("bulk show bulk-1"), "{out}");
        assert_eq!(fake.last().target, "/api/v1/bulk?checked=true&all=true");
    }
}
