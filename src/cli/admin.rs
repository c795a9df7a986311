//! `cordon admin`: the people who may log in by name. Passwords come from a file or are typed unseen, never as an argument.

use super::asking;
use super::failure::Failure;
use super::moment::told_field;
use super::reach::{Api, Call, escape};
use super::table::{Table, cell, field};
use super::voice::Voice;
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::PathBuf;

const ROLES: [&str; 5] = ["owner", "admin", "helpdesk", "teacher", "auditor"];

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Let somebody log in
    Add(AddArgs),
    /// Who may log in
    List(ListArgs),
    /// Give somebody another role
    Role(RoleArgs),
    /// Set a new password; ends every session of that person
    Password(PasswordArgs),
    /// Let somebody log in no more, at once
    Disable(DisableArgs),
    /// Let somebody log in again
    Enable(EnableArgs),
    /// Forget somebody's wrong passwords, so that they need not wait
    Unlock(UnlockArgs),
    /// Where somebody is logged in
    Sessions(SessionsArgs),
    /// End somebody's sessions
    Logout(LogoutArgs),
    /// Put an authenticator app in force, or take it away
    Totp(TotpArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon admin add ada --role admin
  cordon admin add bob --role helpdesk --password-file bob.txt

The password is asked for twice, or taken from the first line of a file. 12 characters or more, of any kind.
Roles: auditor looks; helpdesk also sends harmless commands; admin also erases and enrols; owner may everything.")]
struct AddArgs {
    /// What they log in as
    name: String,
    /// What they may do
    #[arg(long, value_parser = ROLES)]
    role: String,
    /// First line of this file; `-` for standard input
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon admin list
  cordon admin list --json")]
struct ListArgs {}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon admin role bob --role admin

The last owner stays one.")]
struct RoleArgs {
    name: String,
    #[arg(long, value_parser = ROLES)]
    role: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon admin password ada
  cordon admin password ada --password-file new.txt")]
struct PasswordArgs {
    name: String,
    /// First line of this file; `-` for standard input
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon admin disable bob

Ends every session of that person. Nobody is deleted: the audit names them.")]
struct DisableArgs {
    name: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon admin enable bob")]
struct EnableArgs {
    name: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon admin totp ada                shows what to type into the app, then asks for a code
  cordon admin totp ada --code 123456  gives the first code, if it was not asked for
  cordon admin totp ada --remove       the phone is lost

From the first code on every login of that person needs one.")]
struct TotpArgs {
    name: String,
    /// The first code of an app that was begun before
    #[arg(long, value_name = "CODE", conflicts_with = "remove")]
    code: Option<String>,
    /// Log in without an app again
    #[arg(long)]
    remove: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon admin unlock bob
  cordon admin unlock bob --addresses    the whole school waits, behind one address")]
struct UnlockArgs {
    name: String,
    /// Forget the wrong tries of all addresses too
    #[arg(long)]
    addresses: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon admin sessions bob")]
struct SessionsArgs {
    name: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon admin logout bob
  cordon admin logout bob --session 12")]
struct LogoutArgs {
    name: String,
    /// Only this one, from `cordon admin sessions NAME`
    #[arg(long, value_name = "NUMBER")]
    session: Option<i64>,
}

pub fn run(api: &dyn Api, args: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::Add(args) => add(api, args, voice),
        Verb::List(_) => list(api, voice),
        Verb::Role(args) => change(
            api,
            &args.name,
            &json!({ "role": args.role }),
            &format!("{} is {} now.", args.name, args.role),
            voice,
        ),
        Verb::Password(args) => {
            let password = asking::new_password(args.password_file.as_deref(), &args.name, "--password-file FILE")?;
            let wish = json!({ "password": password.expose() });
            change(
                api,
                &args.name,
                &wish,
                &format!("{} has a new password and is logged out everywhere.", args.name),
                voice,
            )
        }
        Verb::Disable(args) => {
            change(api, &args.name, &json!({ "disabled": true }), &format!("{} can log in no more.", args.name), voice)
        }
        Verb::Enable(args) => {
            change(api, &args.name, &json!({ "disabled": false }), &format!("{} can log in again.", args.name), voice)
        }
        Verb::Unlock(args) => unlock(api, args, voice),
        Verb::Sessions(args) => sessions(api, args, voice),
        Verb::Logout(args) => logout(api, args, voice),
        Verb::Totp(args) => totp(api, args, voice),
    }
}

fn add(api: &dyn Api, args: &AddArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let password = asking::new_password(args.password_file.as_deref(), &args.name, "--password-file FILE")?;
    let wish = json!({ "name": args.name, "role": args.role, "password": password.expose() });
    let made = api.json(&Call::post_json("/api/v1/admins", &wish))?;
    voice.show(&made, || format!("{} may log in as {}.", args.name, args.role))
}

fn list(api: &dyn Api, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let (items, next) = api.list(&Call::get("/api/v1/admins"), None)?;
    let now = voice.now();
    let mut table = Table::new(&["NAME", "ROLE", "APP", "LAST LOGIN", "STATE"]);
    for item in &items {
        let app = if item["totp"] == true { "yes" } else { "no" };
        let state = match item["locked_until"].as_str() {
            _ if item["disabled_at"].is_string() => String::from("disabled"),
            Some(_) => format!("waits ({} wrong tries)", cell(item, "wrong_tries")),
            None => String::from("may log in"),
        };
        table.row([
            cell(item, "name"),
            cell(item, "role"),
            app.to_owned(),
            told_field(&item["last_login_at"], now),
            state,
        ]);
    }
    voice.show(&json!({ "items": items, "next_cursor": next }), || {
        if items.is_empty() { String::new() } else { table.render() }
    })?;
    if items.is_empty() {
        voice.talk("Nobody can log in by name yet. Let somebody: cordon admin add NAME --role owner");
    }
    Ok(())
}

fn unlock(api: &dyn Api, args: &UnlockArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let target = format!("/api/v1/admins/{}/unlock", escape(&args.name));
    api.json(&Call::post_json(target, &json!({ "addresses": args.addresses })))?;
    voice.show(&json!({ "name": args.name, "unlocked": true }), || format!("{} can try again now.", args.name))
}

fn sessions(api: &dyn Api, args: &SessionsArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let found = api.json(&Call::get(format!("/api/v1/admins/{}/sessions", escape(&args.name))))?;
    let now = voice.now();
    let items = found["items"].as_array().cloned().unwrap_or_default();
    voice.show(&found, || {
        let mut table = Table::new(&["NUMBER", "FROM", "BEGAN", "LAST USED", "ENDS"]);
        for item in &items {
            table.row([
                cell(item, "id"),
                cell(item, "origin"),
                told_field(&item["created_at"], now),
                told_field(&item["last_used_at"], now),
                told_field(&item["expires_at"], now),
            ]);
        }
        if items.is_empty() { String::new() } else { table.render() }
    })?;
    if items.is_empty() {
        voice.advise(&format!("{} is not logged in anywhere.", args.name));
    }
    Ok(())
}

fn logout(api: &dyn Api, args: &LogoutArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let mut target = format!("/api/v1/admins/{}/sessions", escape(&args.name));
    if let Some(session) = args.session {
        target.push_str(&format!("/{session}"));
    }
    let ended = api.json(&Call::delete(target))?;
    voice.show(&ended, || format!("{} session(s) of {} ended.", cell(&ended, "ended"), args.name))
}

fn change(api: &dyn Api, name: &str, wish: &Value, words: &str, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let done = api.json(&Call::patch_json(format!("/api/v1/admins/{}", escape(name)), wish))?;
    voice.show(&done, || words.to_owned())
}

fn totp(api: &dyn Api, args: &TotpArgs, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let target = format!("/api/v1/admins/{}/totp", escape(&args.name));
    if args.remove {
        api.json(&Call::delete(target))?;
        return voice
            .show(&json!({ "name": args.name, "totp": false }), || format!("{} logs in without an app.", args.name));
    }
    let mut code = args.code.clone();
    if code.is_none() {
        let begun = api.json(&Call::post_json(&target, &json!({})))?;
        let words = format!(
            "In the authenticator app, add an account by hand with this key:\n\n  {}\n\nor with this address:\n\n  {}\n",
            field(&begun, "secret"),
            field(&begun, "uri")
        );
        voice.show(&begun, || words)?;
        if voice.is_json() || !voice.can_ask {
            voice.talk(&format!("It counts once its first code is given: cordon admin totp {} --code CODE", args.name));
            return Ok(());
        }
        code = Some(asking::secret(None, "The code that the app shows now: ", "--code")?.expose().clone());
    }
    api.json(&Call::post_json(format!("{target}/confirm"), &json!({ "code": code })))?;
    voice.show(&json!({ "name": args.name, "totp": true }), || {
        format!("From now on {} needs a code from the app at every login.", args.name)
    })
}

#[cfg(test)]
mod tests {
    use super::super::reach::fake::{Fake, heard};
    use super::*;

    #[test]
    fn passwords_come_from_a_file_and_are_never_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        std::fs::write(&path, "tin roof in may\n").unwrap();
        let fake = Fake::new(|_| (201, json!({"name": "ada", "role": "admin"})));
        let args = AddArgs { name: "ada".into(), role: "admin".into(), password_file: Some(path) };
        let (done, out, err) = heard(false, |voice| add(&fake, &args, voice));
        assert_eq!((done, out.as_str(), err.as_str()), (Ok(()), "ada may log in as admin.\n", ""));
        let wish = json!({"name": "ada", "role": "admin", "password": "tin roof in may"});
        assert_eq!(fake.last(), Call::post_json("/api/v1/admins", &wish));
    }

    #[test]
    fn the_list_and_what_changes() {
        let fake = Fake::new(|_| {
            (
                200,
                json!({"items": [{"name": "ada", "role": "owner", "totp": true, "last_login_at": null, "disabled_at": null}]}),
            )
        });
        let (_, out, _) = heard(false, |voice| list(&fake, voice));
        assert_eq!(out, "NAME  ROLE   APP  LAST LOGIN  STATE\nada   owner  yes  never       may log in\n");
        let args = Args { verb: Verb::Disable(DisableArgs { name: "a b".into() }) };
        let (_, out, _) = heard(false, |voice| run(&fake, &args, voice));
        assert_eq!(
            (out.as_str(), fake.last()),
            ("a b can log in no more.\n", Call::patch_json("/api/v1/admins/a%20b", &json!({"disabled": true})))
        );
    }

    #[test]
    fn an_app_is_begun_and_confirmed() {
        let fake = Fake::new(|call| {
            if call.target.ends_with("confirm") {
                (204, Value::Null)
            } else {
                (201, json!({"secret": "ABC", "uri": "otpauth://x"}))
            }
        });
        let mut args = TotpArgs { name: "ada".into(), code: None, remove: false };
        let (_, out, err) = heard(false, |voice| totp(&fake, &args, voice));
        assert!(out.contains("ABC") && err.contains("--code"), "{out} {err}");
        args.code = Some("123456".into());
        let (_, out, _) = heard(false, |voice| totp(&fake, &args, voice));
        assert!(out.contains("every login"), "{out}");
        assert_eq!(fake.last(), Call::post_json("/api/v1/admins/ada/totp/confirm", &json!({"code": "123456"})));
    }
}
