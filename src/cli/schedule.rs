//! `cordon schedule`: when assigned profiles are to be there, the school's time zone and its holidays.

use super::failure::Failure;
use super::reach::{Api, Call, escape};
use super::table::{Facts, Table, cell, field};
use super::voice::Voice;
use clap::Subcommand;
use serde_json::{Map, Value, json};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a schedule
    Add(AddArgs),
    /// Which there are, and which are open
    List(ListArgs),
    /// One schedule: when it opens next, and what follows it
    Show(NameArgs),
    /// Change its name, its windows, or whether it holds on holidays
    Change(ChangeArgs),
    /// Remove one that no assignment follows
    Remove(NameArgs),
    /// The school's time zone and its holidays
    Calendar(CalendarArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon schedule add 'School mornings' --window 'Mon-Fri 08:00-12:30'
  cordon schedule add Exams --window 'Mon 09:00-11:00' --window 'Thu 13:00-15:00'
  cordon schedule add Nights --window 'daily 21:00-06:00' --on-holidays yes
  cordon profile assign school.exam --group 7b --to devices --during Exams

Times are those of the clock on the school's wall. A window that ends before it begins goes on past midnight. When clocks are changed,
a window opens once and closes once.")]
struct AddArgs {
    name: String,
    /// Days and times; say it again for more
    #[arg(long = "window", value_name = "DAYS TIMES", required = true)]
    windows: Vec<String>,
    /// Whether windows open on the school's holidays too
    #[arg(long, value_name = "yes|no", value_parser = ["yes", "no"], default_value = "no")]
    on_holidays: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon schedule list
  cordon schedule list --json")]
struct ListArgs {}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon schedule show 'School mornings'
  cordon schedule remove Exams")]
struct NameArgs {
    /// Name or id
    schedule: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon schedule change Exams --window 'Fri 09:00-11:00'
  cordon schedule change Exams --name 'Exams in June'

The windows that are said take the place of all there were. Devices that follow it are brought to it at once.")]
struct ChangeArgs {
    /// Name or id
    schedule: String,
    #[arg(long)]
    name: Option<String>,
    /// Days and times; say it again for more
    #[arg(long = "window", value_name = "DAYS TIMES")]
    windows: Vec<String>,
    /// Whether windows open on the school's holidays too
    #[arg(long, value_name = "yes|no", value_parser = ["yes", "no"])]
    on_holidays: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon schedule calendar
  cordon schedule calendar --time-zone Europe/Berlin
  cordon schedule calendar --holiday 2026-12-21..2027-01-06 --holiday 2027-05-01
  cordon schedule calendar --no-holiday 2027-05-01

On a holiday no window opens, unless its schedule holds on holidays too.")]
struct CalendarArgs {
    /// Zone of the school's clocks
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// Add a date, or dates from..until
    #[arg(long = "holiday", value_name = "DATES")]
    holidays: Vec<String>,
    /// Take one out, as it is listed
    #[arg(long = "no-holiday", value_name = "DATES")]
    no_holidays: Vec<String>,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::Add(args) => {
            let on_holidays = args.on_holidays == "yes";
            let wish = json!({ "name": args.name, "windows": args.windows, "on_holidays": on_holidays });
            say(&api.json(&Call::post_json("/api/v1/schedules", &wish))?, voice)
        }
        Verb::List(_) => list(api, voice),
        Verb::Show(args) => say(&api.json(&Call::get(path(&args.schedule)))?, voice),
        Verb::Change(args) => change(api, args, voice),
        Verb::Remove(args) => {
            api.bytes(&Call::delete(path(&args.schedule)))?;
            voice.show(&json!({ "removed": args.schedule }), || format!("“{}” is removed.", args.schedule))
        }
        Verb::Calendar(args) => calendar(api, args, voice),
    }
}

fn path(schedule: &str) -> String {
    format!("/api/v1/schedules/{}", escape(schedule))
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn say(schedule: &Value, voice: &mut Voice<'_>) -> Result<(), Failure> {
    voice.show(schedule, || {
        let mut facts = Facts::default();
        facts.add("Name", field(schedule, "name"));
        facts.add("Id", field(schedule, "id"));
        facts.add("Windows", texts(&schedule["windows"]).join(", "));
        facts.add("On holidays too", if schedule["on_holidays"] == true { "yes" } else { "no" });
        facts.add("Now", if schedule["open"] == true { "open" } else { "closed" });
        for span in schedule["next"].as_array().into_iter().flatten() {
            facts.add("Open", field(span, "local"));
        }
        for one in schedule["uses"].as_array().into_iter().flatten() {
            facts.add("Followed by", format!("{} for {}", cell(one, "profile"), cell(one, "to")));
        }
        facts.render()
    })
}

fn list(api: &dyn Api, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let (items, next) = api.list(&Call::get("/api/v1/schedules"), None)?;
    voice.show(&json!({ "items": items, "next_cursor": next }), || {
        let mut table = Table::new(&["NAME", "WINDOWS", "NOW", "NEXT", "USED"]);
        for item in &items {
            let now = if item["open"] == true { "open" } else { "closed" };
            let next = cell(&item["next"][0], "local");
            let windows = texts(&item["windows"]).join(", ");
            table.row([cell(item, "name"), windows, now.to_owned(), next, cell(item, "used")]);
        }
        if items.is_empty() { String::new() } else { table.render() }
    })?;
    if items.is_empty() {
        voice.advise("There is no schedule. Make one: cordon schedule add NAME --window 'Mon-Fri 08:00-12:30'");
    }
    Ok(())
}

fn change(api: &dyn Api, args: &ChangeArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let mut wish = Map::new();
    if let Some(name) = &args.name {
        wish.insert(String::from("name"), json!(name));
    }
    if !args.windows.is_empty() {
        wish.insert(String::from("windows"), json!(args.windows));
    }
    if let Some(on) = &args.on_holidays {
        wish.insert(String::from("on_holidays"), json!(on == "yes"));
    }
    if wish.is_empty() {
        return Err(Failure::usage("say what is to change: --name, --window or --on-holidays"));
    }
    say(&api.json(&Call::patch_json(path(&args.schedule), &Value::Object(wish)))?, voice)
}

fn calendar(api: &dyn Api, args: &CalendarArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let mut calendar = api.json(&Call::get("/api/v1/calendar"))?;
    let mut wish = Map::new();
    if let Some(zone) = &args.time_zone {
        wish.insert(String::from("time_zone"), json!(zone));
    }
    if !args.holidays.is_empty() || !args.no_holidays.is_empty() {
        let mut all: Vec<String> = texts(&calendar["holidays"]).into_iter().map(str::to_owned).collect();
        if let Some(missing) = args.no_holidays.iter().find(|gone| !all.contains(gone)) {
            return Err(Failure::new("no-such-holiday", format!("{missing} is not in the list as it stands there")));
        }
        all.retain(|date| !args.no_holidays.contains(date));
        all.extend(args.holidays.iter().cloned());
        wish.insert(String::from("holidays"), json!(all));
    }
    if !wish.is_empty() {
        calendar = api.json(&Call::patch_json("/api/v1/calendar", &Value::Object(wish)))?;
    }
    voice.show(&calendar, || {
        let mut facts = Facts::default();
        facts.add("Time zone", calendar["time_zone"].as_str().unwrap_or("not set: UTC"));
        for date in texts(&calendar["holidays"]) {
            facts.add("Holiday", date);
        }
        facts.render()
    })
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    #[test]
    fn holidays_are_added_to_those_there_are() {
        let fake = Fake::new(|call| match call.method {
            "GET" => (200, json!({"time_zone": null, "holidays": ["2026-12-21", "2027-05-01"]})),
            _ => (200, json!({"time_zone": "Europe/Berlin", "holidays": ["2026-12-21", "2027-06-01"]})),
        });
        let args = CalendarArgs {
            time_zone: Some("Europe/Berlin".into()),
            holidays: vec!["2027-06-01".into()],
            no_holidays: vec!["2027-05-01".into()],
        };
        let (done, out, _) = heard(false, |voice| calendar(&fake, &args, voice));
        assert!(done.is_ok() && out.contains("Europe/Berlin") && out.contains("2027-06-01"), "{out}");
        let sent: Value = serde_json::from_slice(&fake.last().body).unwrap();
        assert_eq!(sent, json!({"time_zone": "Europe/Berlin", "holidays": ["2026-12-21", "2027-06-01"]}));
        let args = CalendarArgs { time_zone: None, holidays: vec![], no_holidays: vec!["2030-01-01".into()] };
        let (done, ..) = heard(false, |voice| calendar(&fake, &args, voice));
        assert_eq!(done.unwrap_err().id, "no-such-holiday");
    }
}
