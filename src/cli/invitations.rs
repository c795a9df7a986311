//! `cordon enroll invite`, `enroll sheet`, `enroll door` and `cordon invitations`: who may enrol by the enrolment page.
//!
//! A code is printed when it is made and never again: the database keeps only its hash.

use super::failure::Failure;
use super::files;
use super::moment::told_field;
use super::reach::{Api, Call, escape};
use super::table::{Table, cell, field};
use super::voice::Voice;
use crate::base::time::Timestamp;
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Longest file of names.
const MAX_NAMES: usize = 256 * 1024;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon enroll invite --for \"Ada's iPad\"
  cordon enroll invite --person ada --class 7b
  cordon enroll invite --for 'Teachers of the Hill School' --uses 20 --expires-in 2w
  CODE=$(cordon enroll invite --for 'Lab Mac 3')

The code is shown once. Whoever opens the enrolment page with it gets a profile for one device; a device that fails on the way can
try again with the same code. Ends after 30 days unless --expires-in says otherwise.")]
pub struct InviteArgs {
    /// Whose device it is for, in your own words
    #[arg(long = "for", value_name = "NAME", required_unless_present = "person")]
    recipient: Option<String>,
    /// The person of the school whose device it will be, by short name
    #[arg(long, value_name = "USER", conflicts_with = "recipient")]
    person: Option<String>,
    /// The class that the device will belong to; if the school has none of that name, words for lists and sheets
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,
    /// Devices that this one invitation enrols
    #[arg(long, value_name = "N", default_value_t = 1)]
    uses: u32,
    /// Ends after this span, such as 12h, 30d, 2w [default: 30d]
    #[arg(long, value_name = "SPAN")]
    expires_in: Option<String>,
    /// Which way the page takes [default: the school's setting, `cordon enroll door`]
    #[arg(long, value_name = "WAY", value_parser = ["ota", "profile"])]
    way: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon enroll sheet --class 7b --output 7b.html
  cordon enroll sheet --class 7b --count 30 --output 7b.html
  cordon enroll sheet --class 7b --names pupils.txt --output 7b.html

Without --count and --names there is one for each pupil of the class, and the device that enrols with it is that pupil's.
The file has one invitation each, with a code and a QR code, and lines to cut along: open it in a browser and print it. Every call
makes new invitations. Keep the file as you would keep keys, and delete it when it is printed.")]
pub struct SheetArgs {
    /// The class, or what else they have in common
    #[arg(long, value_name = "CLASS")]
    class: String,
    /// So many, numbered
    #[arg(long, value_name = "N", conflicts_with = "names")]
    count: Option<u32>,
    /// A text file with one name in each line; - reads standard input
    #[arg(long, value_name = "FILE")]
    names: Option<PathBuf>,
    /// Ends after this span [default: 30d]
    #[arg(long, value_name = "SPAN")]
    expires_in: Option<String>,
    /// Which way the page takes
    #[arg(long, value_name = "WAY", value_parser = ["ota", "profile"])]
    way: Option<String>,
    /// Write the sheet to this file, readable for you only; - or nothing writes it to stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon enroll door
  cordon enroll door --way ota
  cordon enroll door --automated known

Without options, shows which way the enrolment page takes, and why. --way automatic leaves the choice to Cordon.")]
pub struct DoorArgs {
    /// ota: over-the-air delivery, as Apple recommends; profile: the profile as a download
    #[arg(long, value_name = "WAY", value_parser = ["automatic", "ota", "profile"])]
    way: Option<String>,
    /// Devices of Automated Device Enrolment: all, those whose serial number is here already, or none
    #[arg(long, value_name = "WHICH", value_parser = ["open", "known", "closed"])]
    automated: Option<String>,
}

pub fn invite(api: &dyn Api, args: &InviteArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    require_address(api)?;
    let people = args.person.as_ref().map(|person| [person]);
    let wish = json!({ "for": args.recipient, "people": people, "class": args.class, "uses": args.uses, "expires_in": args.expires_in, "way": args.way });
    let made = api.json(&Call::post_json("/api/v1/invitations", &wish))?;
    let one = &made["items"][0];
    voice.show(one, || field(one, "code"))?;
    let (url, until) = (field(one, "url"), told_field(&one["expires_at"], voice.now()));
    voice.advise(&format!("This is {}, good until {until}. Keep the code now: it is not shown again.\nThe page with the code filled in: {url}", field(one, "id")));
    Ok(())
}

pub fn sheet(api: &dyn Api, args: &SheetArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    require_address(api)?;
    let names = args.names.as_deref().map(|path| files::read_text(path, MAX_NAMES)).transpose()?;
    let names: Option<Vec<String>> =
        names.map(|text| text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect());
    if names.as_ref().is_some_and(Vec::is_empty) {
        return Err(Failure::usage("the file of names is empty"));
    }
    let pupils = args.count.is_none() && names.is_none();
    let wish = json!({ "class": args.class, "count": args.count, "names": names, "pupils": pupils, "expires_in": args.expires_in, "way": args.way });
    let html = api.bytes(&Call::post_json("/api/v1/invitations/sheet", &wish))?;
    match args.output.as_deref().filter(|path| *path != std::path::Path::new("-")) {
        Some(path) => {
            files::write_private(path, &html)?;
            let done = json!({ "output": path.to_string_lossy(), "bytes": html.len() });
            voice.show(&done, || format!("Wrote {}. Open it in a browser, print it, and delete it.", path.display()))
        }
        None if voice.is_json() => voice.show(&json!({ "sheet": String::from_utf8_lossy(&html) }), String::new),
        None => voice.data(&html),
    }
}

pub fn door(api: &dyn Api, args: &DoorArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let path = "/api/v1/enrollment-door";
    let call = match (&args.way, &args.automated) {
        (None, None) => Call::get(path),
        (way, automated) => {
            let change: serde_json::Map<_, _> = [("way", way), ("automated", automated)]
                .into_iter()
                .filter_map(|(key, value)| Some((key.to_owned(), json!(value.as_ref()?))))
                .collect();
            Call::patch_json(path, &Value::Object(change))
        }
    };
    let door = api.json(&call)?;
    voice.show(&door, || {
        format!(
            "Page:       {}\nWay:        {} ({})\nAutomated:  {}\n\n{}",
            field(&door, "page"),
            field(&door, "way_now"),
            field(&door, "way"),
            field(&door, "automated"),
            field(&door, "why")
        )
    })
}

fn require_address(api: &dyn Api) -> Result<(), Failure> {
    if api.knows_addresses() {
        return Ok(());
    }
    Err(Failure::new(
        "no-address",
        "Cordon does not know its own address yet, and an invitation must name it. Set it with `cordon setup --organization NAME --hostname NAME`, \
         or start the server with `cordon serve`.",
    ))
}

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Invitations that can be used, or were
    List(ListArgs),
    /// End an invitation; devices that came in by it stay
    Revoke(RevokeArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon invitations list
  cordon invitations list --class 7b --json")]
struct ListArgs {
    /// Of this class only
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,
    /// At most so many, newest first
    #[arg(long, value_name = "N", default_value_t = 200)]
    limit: usize,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon invitations revoke i-4k7qx2mn")]
struct RevokeArgs {
    /// Its id, from `cordon invitations list`
    id: String,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::List(args) => list(api, args, voice),
        Verb::Revoke(args) => revoke(api, args, voice),
    }
}

fn list(api: &dyn Api, args: &ListArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let call = Call::get("/api/v1/invitations").with("class", args.class.as_deref());
    let (items, next) = api.list(&call, Some(args.limit))?;
    let now = voice.now();
    voice.show(&json!({ "items": items, "next_cursor": next }), || {
        if items.is_empty() { String::new() } else { rows(&items, now) }
    })?;
    if items.is_empty() {
        voice.advise("There are no invitations. Make one: cordon enroll invite --for NAME, or a class's worth: cordon enroll sheet");
    }
    Ok(())
}

fn rows(items: &[Value], now: Timestamp) -> String {
    let mut table = Table::new(&["ID", "FOR", "CLASS", "STATE", "USED", "ENDS", "DEVICES"]);
    for item in items {
        let used = format!("{} of {}", item["used"], item["uses"]);
        let serials: Vec<String> =
            item["devices"].as_array().into_iter().flatten().map(|d| field(d, "serial")).collect();
        table.row([
            cell(item, "id"),
            cell(item, "for"),
            cell(item, "class"),
            cell(item, "state"),
            used,
            told_field(&item["expires_at"], now),
            serials.join(" "),
        ]);
    }
    table.render()
}

fn revoke(api: &dyn Api, args: &RevokeArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let mut done = api.json(&Call::delete(format!("/api/v1/invitations/{}", escape(&args.id))))?;
    if done.is_null() {
        done = json!({ "id": args.id, "revoked": true });
    }
    voice.show(&done, || format!("{} can no longer be used.", args.id))
}

#[cfg(test)]
mod tests {
    use super::super::args::{Cli, Verb as Top};
    use super::super::reach::fake::{Fake, heard};
    use super::*;
    use clap::Parser;

    fn asked(line: &[&str], answer: Value) -> (String, String, Value) {
        let fake = Fake::new(move |_| (200, answer.clone()));
        let (done, out, err) = heard(false, |voice| match Cli::try_parse_from(line).unwrap().verb {
            Top::Enroll(args) => super::super::enroll::run(&fake, &args, voice),
            Top::Invitations(args) => run(&fake, &args, voice),
            _ => panic!(),
        });
        assert_eq!(done, Ok(()));
        let body = serde_json::from_slice(&fake.last().body).unwrap_or(Value::Null);
        (out, err, body)
    }

    #[test]
    fn only_the_code_goes_to_stdout() {
        let made = json!({ "items": [{ "id": "i-1", "code": "k7m2-p9xw-4htz", "url": "https://x/enroll?code=y", "expires_at": "2026-12-24T00:00:00Z" }] });
        let (out, err, wish) = asked(&["cordon", "enroll", "invite", "--for", "Ada", "--uses", "2"], made);
        assert_eq!(out, "k7m2-p9xw-4htz\n");
        assert!(err.contains("not shown again") && !err.contains("k7m2"), "{err}");
        assert_eq!((wish["for"].as_str(), wish["uses"].as_u64()), (Some("Ada"), Some(2)));
    }

    #[test]
    fn a_class_by_count_or_by_names() {
        let dir = tempfile::tempdir().unwrap();
        let (names, output) = (dir.path().join("names"), dir.path().join("sheet.html"));
        std::fs::write(&names, "Ada\n\n Grace \n").unwrap();
        let output = output.to_str().unwrap();
        let line =
            ["cordon", "enroll", "sheet", "--class", "7b", "--names", names.to_str().unwrap(), "--output", output];
        let (_, _, wish) = asked(&line, json!("<html>"));
        assert_eq!(
            (&wish["names"], &wish["class"], &wish["count"]),
            (&json!(["Ada", "Grace"]), &json!("7b"), &Value::Null)
        );
        assert!(std::fs::read_to_string(output).unwrap().contains("html"));
        let (_, _, wish) = asked(&["cordon", "enroll", "sheet", "--class", "7b"], json!("<html>"));
        assert_eq!((&wish["pupils"], &wish["names"], &wish["count"]), (&json!(true), &Value::Null, &Value::Null));
        let (_, _, wish) = asked(&["cordon", "enroll", "sheet", "--class", "7b", "--count", "3"], json!("<html>"));
        assert_eq!((&wish["pupils"], &wish["count"]), (&json!(false), &json!(3)));
        assert!(Cli::try_parse_from(["cordon", "enroll", "invite"]).is_err());
        assert!(Cli::try_parse_from(["cordon", "enroll", "invite", "--person", "ada", "--for", "x"]).is_err());
    }

    #[test]
    fn the_list_and_the_end() {
        let item = json!({ "id": "i-1", "for": "Ada", "class": null, "state": "used", "used": 1, "uses": 1, "expires_at": "2026-11-19T12:00:00Z", "devices": [{ "serial": "C02" }] });
        let (out, _, _) = asked(&["cordon", "invitations", "list"], json!({ "items": [item], "next_cursor": null }));
        assert!(out.contains("1 of 1") && out.contains("C02"), "{out}");
        let (out, _, _) = asked(&["cordon", "invitations", "revoke", "i-1"], Value::Null);
        assert_eq!(out, "i-1 can no longer be used.\n");
    }
}
